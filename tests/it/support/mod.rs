//! What integration tests stand on: a Postgres with a fresh database per test, and the real binary.

mod failing_entropy;
pub mod history;
pub mod ledger;
pub mod people;
mod postgres;
mod preloaded;
pub mod proxy;
pub mod rest;
mod rows;
mod server;
mod shifted_clock;
pub mod tls;

pub use failing_entropy::FailingEntropy;
pub use postgres::{Scratch, TestDatabase, scratch_directory, scratch_with_cluster};
pub use rows::{EventRow, sqlstate};
pub use server::{Server, blotter};
pub use shifted_clock::ShiftedClock;
