//! The Sequencer: gives every event its place in one order, and decides every command on the aggregates in memory.
//!
//! A step machine without I/O: [`Sequencer::take`] decides waiting calls into the open batch, [`Sequencer::send`]
//! closes it for the driver to append, and one of [`Sequencer::committed`] or [`Sequencer::abandoned`] follows, after
//! [`Sequencer::settled`] if the answer was lost. One batch is under way at a time; the next is formed meanwhile, on
//! what it leaves if it commits, and is sent only when it has. The runtime drives it over Postgres, the simulation
//! over a log that fails on purpose.
//!
//! What it guarantees:
//! - Each command is decided on the state that all commands before it left, in this batch or an earlier one.
//! - Decisions change nothing until all of a command is decided, so a refusal leaves no trace. Events are applied
//!   to memory as the batch forms; if the batch does not commit, every stream that it or the open batch touched is
//!   forgotten and loaded again, so memory never holds what the log does not.
//! - Nothing is loaded that the batch under way touches: what it touched stays in memory until it is answered.
//! - The requests of one call are in one batch, in order: a line of the tape is never written without what it caused.
//! - A key acts once: a known key is answered, an unknown one goes into the batch, where the log's unique index
//!   decides; a command under an unknown key is refused only after the log was asked for the key. The key of a command
//!   that did nothing is kept too; a batch of such keys alone leaves the head where it is. A batch that a key of its
//!   own stood in the way of is formed again without it, however often that happens.
//! - The first event of an epoch records its take-over.
//!
//! What it costs: one append a batch, 5 to 10 microseconds a command to decide and encode.

mod answering;
mod flight;
mod foretelling;
mod forming;
mod keys;
mod needs;
mod request;

use std::collections::BTreeMap;

use aggregates::rules::Rules;
use aggregates::stream::StreamId;
use uuid::Uuid;

use super::log::{Head, LoadUnit};
use super::world::Memory;
use flight::Flight;
use keys::Keys;
pub use request::{Formed, Pending, Reply, Request, Sent};

/// Commands in one batch at the most, a call that is larger by itself excepted. More only adds latency: see
/// `docs/performance.md`.
pub const BATCH_COMMANDS: usize = 256;
/// Events after which a batch takes no further call.
pub const BATCH_EVENTS: usize = 512;
/// How often one command may be in a batch that is not written.
const ATTEMPTS: u32 = 3;

/// Where random bytes come from: the system, or a seed.
pub trait Entropy: Send {
    /// 16 random bytes.
    fn salt(&mut self) -> [u8; 16];
    /// A fresh id, ordered by time.
    fn uuid(&mut self) -> Uuid;
}

/// The key that a process signs checkpoints with, as its take-over records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningName {
    /// The name in its notes.
    pub name: String,
    /// The Ed25519 key, base64.
    pub public_key: String,
}

/// What became of a batch whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is durable: [`Sequencer::committed`] follows.
    Committed,
    /// It never will be: [`Sequencer::abandoned`] follows.
    Abandoned,
    /// Somebody else writes; what became of it is not known here.
    Fenced,
    /// The head is where this writer cannot have put it.
    Corrupt(String),
}

/// The Sequencer of one shard.
pub struct Sequencer<T> {
    shard: u16,
    epoch: u64,
    /// The last epoch whose take-over is recorded.
    recorded_epoch: u64,
    /// A later take-over is in the log: this one writes nothing any more.
    superseded: bool,
    signing: SigningName,
    head: Head,
    memory: Memory,
    rules: Rules,
    entropy: Box<dyn Entropy>,
    keys: Keys,
    parked: BTreeMap<LoadUnit, Vec<Pending<T>>>,
    /// The batch under way.
    flight: Option<Flight<T>>,
    /// The batch that is being formed: begins where the one under way ends.
    open: Option<Flight<T>>,
    /// Calls that were in an open batch which was given up; they come first in the next.
    again: Vec<Pending<T>>,
}

impl<T> Sequencer<T> {
    /// A Sequencer that goes on from `head` under `epoch`, an epoch that the log has just given it.
    pub fn new(
        shard: u16,
        epoch: u64,
        head: Head,
        rules: Rules,
        entropy: Box<dyn Entropy>,
        signing: SigningName,
    ) -> Self {
        Self {
            shard,
            epoch,
            recorded_epoch: 0,
            superseded: false,
            signing,
            head,
            memory: Memory::default(),
            rules,
            entropy,
            keys: Keys::default(),
            parked: BTreeMap::new(),
            flight: None,
            open: None,
            again: Vec::new(),
        }
    }

    /// Where the log ends, as far as it is committed.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The epoch that it writes under.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The aggregates in memory, as the open batch leaves them.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The number of calls that wait for a load.
    pub fn parked(&self) -> usize {
        self.parked.values().map(Vec::len).sum()
    }

    /// Whether its take-over has yet to be recorded: a batch shall be formed, also of nothing.
    pub fn must_record_epoch(&self) -> bool {
        self.recorded_epoch != self.epoch && !self.superseded
    }

    /// Whether a batch can be formed of what it has taken already.
    pub fn has_work(&self) -> bool {
        self.open.is_some() || !self.again.is_empty()
    }

    /// Whether it takes nothing until the batch under way is answered: what it gave up stands on that batch.
    pub fn holds(&self) -> bool {
        self.flight.is_some() && !self.again.is_empty()
    }

    /// Whether the take-over waits for the history of writers.
    pub fn waits_for_writer(&self) -> bool {
        self.parked.contains_key(&LoadUnit::Stream(StreamId::Writer(self.shard)))
    }
}
