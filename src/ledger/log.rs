//! The log as the Sequencer sees it: append with compare-and-set, load, look keys up. Two implementations:
//! [`super::postgres`], and [`super::memory`] that can fail on purpose.

use std::sync::Arc;

use aggregates::stream::{Event, StreamId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::submission::{CommittedEvent, TapeBlock};
use crate::ledger::proof::Frontier;
use aggregates::id::AccountId;

/// Where a shard's log ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The last position; 0 for an empty log.
    pub position: u64,
    /// The last place of the tape; 0 for none.
    pub tape_place: u64,
    /// The Merkle tree over all leaves.
    pub frontier: Frontier,
    /// `recorded_at` of the last event.
    pub recorded_at: DateTime<Utc>,
}

/// A key and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Whether it is kept for ever.
    pub lasting: bool,
    /// The key.
    pub hash: Uuid,
    /// The request that used it first.
    pub fingerprint: i64,
    /// What became of it.
    pub outcome: Uuid,
    /// The position of its last event. Not stored for a lasting key, whose rows are kept small: 0 when read back.
    pub position: u64,
}

/// Everything that one statement appends.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The shard.
    pub shard: u16,
    /// The writer's epoch.
    pub epoch: u64,
    /// The position that the head must have.
    pub expected_position: u64,
    /// The place of the tape that the head must have.
    pub expected_tape_place: u64,
    /// The head after it.
    pub head: Head,
    /// The events.
    pub events: Vec<Arc<CommittedEvent>>,
    /// The keys of its commands.
    pub keys: Vec<KeyRow>,
    /// The lines of the tape.
    pub tape: Vec<TapeBlock>,
}

/// What became of an append that the log answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Committed,
    /// Position, place or epoch of the head are others: somebody else writes. Nothing was written.
    HeadMoved,
    /// A key or a place in a stream is taken. Nothing was written.
    Taken,
}

/// The keys of a batch that stood in its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysMet {
    /// Those that the log has.
    pub taken: Vec<KeyRow>,
    /// How many were older than 24 hours: they stand in nobody's way any more.
    pub dropped: u64,
}

/// A fault of the log's storage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// The answer was lost: what was asked may or may not have happened.
    #[error("the answer of the log was lost: {0}")]
    AnswerLost(String),
    /// It did not happen.
    #[error("the log failed: {0}")]
    Failed(String),
    /// What is stored cannot be what was written.
    #[error("the log is corrupt: {0}")]
    Corrupt(String),
}

/// What a lost answer turned out to be. The question fences: the epoch is raised, so that a statement that has not
/// begun never will.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// The writer goes on under this epoch; the head is where it is.
    Mine {
        /// The new epoch.
        epoch: u64,
        /// The position of the head.
        position: u64,
        /// The place of the tape.
        tape_place: u64,
    },
    /// Somebody else writes.
    Theirs,
}

/// What is loaded at once: an account with all its positions, one other stream, or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadUnit {
    /// An account and its positions.
    Account(AccountId),
    /// Any other stream.
    Stream(StreamId),
    /// A key by its hash, if the log has it.
    Key(Uuid),
}

impl LoadUnit {
    /// The unit that brings `stream` into memory.
    pub fn of(stream: StreamId) -> Self {
        match stream {
            StreamId::Account(account) | StreamId::Position(account, _) => Self::Account(account),
            other => Self::Stream(other),
        }
    }
}

/// One stream as loaded: a snapshot if there is one, and the events after it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedStream {
    /// The stream.
    pub stream: StreamId,
    /// The state after `snapshot.0` events, as JSON text.
    pub snapshot: Option<(u64, String)>,
    /// The events after that, with their sequences.
    pub events: Vec<(u64, Event)>,
}

/// What was loaded for one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Every stream of it that has events.
    pub streams: Vec<LoadedStream>,
    /// The key, if the log has it.
    pub keys: Vec<KeyRow>,
}

/// The writing side of a log. One writer at a time holds one of these. A call may be dropped before it answers: it
/// then counts as lost, and the next call does not wait for it.
#[async_trait]
pub trait Log: Send {
    /// Appends all of `batch`, or nothing.
    async fn append(&mut self, batch: &Batch) -> Result<Appended, LogFault>;
    /// Finds out what became of an append whose answer was lost, and fences it.
    async fn settle(&mut self, shard: u16, epoch: u64) -> Result<Settled, LogFault>;
    /// The keys among `hashes` that are taken. Keys of requests that are older than 24 hours are dropped instead.
    async fn keys(&mut self, hashes: &[Uuid]) -> Result<KeysMet, LogFault>;
    /// Keeps the lease; `false` if the epoch is no longer the head's.
    async fn renew(&mut self, shard: u16, epoch: u64) -> Result<bool, LogFault>;
}

/// The loading side: works beside the writer, never on its connection.
#[async_trait]
pub trait Loader: Send + Sync {
    /// What the log has of `unit`.
    async fn load(&self, unit: LoadUnit) -> Result<Loaded, LogFault>;
    /// Drops keys of requests that are older than 24 hours.
    async fn purge_keys(&self) -> Result<(), LogFault>;
}
