//! The ledger: everything that is written to the log goes through here.

pub mod proof;
