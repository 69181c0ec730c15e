//! The ledger: everything that is written to the log goes through here.
//!
//! REST, MCP and the engine hand a [`Submission`] to the same [`Ledger`]. The [`sequencer`] decides it on the
//! aggregates in memory and gives its events their place in one order; [`log`] makes them durable, a batch in one
//! round trip; [`task`] drives the two. Who may write is settled in the database: the head row's epoch.

mod handle;
pub mod log;
pub mod memory;
pub mod postgres;
pub mod proof;
pub mod sequencer;
pub mod store;
mod submission;
pub mod task;
mod words;
pub mod world;

pub use handle::{Campaign, Ledger, SHARD, SystemEntropy, Tenure, Work};
pub use sequencer::SigningName;
pub use submission::{
    Committed, CommittedEvent, Interface, Key, LedgerError, Origin, Submission, TapeBlock,
};
pub use task::{HeadView, SteppedDown};
pub use words::Words;
