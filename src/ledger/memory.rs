//! The log in memory, for tests and the simulation: the same rules as the log in Postgres, and a plan of faults.
//!
//! One store is shared by any number of [`MemoryLog`]s, as one database is by processes. A store draws each fault
//! from a seed at the rates of its [`Faults`], so that a run can be repeated. What can happen to an append:
//! - the answer is lost, after it was written or without it being written;
//! - the answer is lost and the statement still runs: it is written, or fenced, by what comes next;
//! - it is sent twice, and the second must change nothing;
//! - it is refused because something is taken, or fails, without anything being written.
//!
//! A crash before or after a commit is a lost answer that nobody settles: see the simulation. Every call is ready at
//! once; nothing here waits, sleeps or reads a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregates::stream::StreamId;
use async_trait::async_trait;
use chrono::DateTime;
use uuid::Uuid;

use super::log::{
    Appended, Batch, Head, KeyRow, KeysMet, LoadUnit, Loaded, LoadedStream, Loader, Log, LogFault,
    Settled,
};
use super::proof::Frontier;
use super::submission::{CommittedEvent, TapeBlock};

/// How often each fault happens, in a thousand calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// An append is written and its answer lost.
    pub lost_after: u32,
    /// An append is not written and its answer lost.
    pub lost_before: u32,
    /// The answer to an append is lost while it still runs.
    pub lost_running: u32,
    /// An append is sent twice.
    pub duplicated: u32,
    /// An append is refused as taken, though nothing is.
    pub taken: u32,
    /// An append fails without being written.
    pub failed: u32,
    /// A load or a look-up of keys fails.
    pub unreadable: u32,
}

/// A stream of numbers from a seed (SplitMix64): the same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is above zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }

    /// True `rate` times in a thousand.
    pub fn permille(&mut self, rate: u32) -> bool {
        self.below(1_000) < u64::from(rate)
    }
}

/// What a database would hold.
#[derive(Debug)]
pub struct MemoryStore {
    faults: Faults,
    dice: Dice,
    epoch: u64,
    head: Head,
    events: Vec<Arc<CommittedEvent>>,
    sequences: BTreeMap<StreamId, u64>,
    keys: BTreeMap<Uuid, KeyRow>,
    tape: Vec<TapeBlock>,
    /// Statements whose answer was lost and that still run.
    running: Vec<Batch>,
}

impl MemoryStore {
    /// An empty log that fails as `faults` say.
    pub fn new(seed: u64, faults: Faults) -> Self {
        let head = Head {
            position: 0,
            tape_place: 0,
            frontier: Frontier::default(),
            recorded_at: DateTime::UNIX_EPOCH,
        };
        Self {
            faults,
            dice: Dice::new(seed),
            epoch: 0,
            head,
            events: Vec::new(),
            sequences: BTreeMap::new(),
            keys: BTreeMap::new(),
            tape: Vec::new(),
            running: Vec::new(),
        }
    }

    /// Where the log ends.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The epoch of the last writer.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every event, in order.
    pub fn events(&self) -> &[Arc<CommittedEvent>] {
        &self.events
    }

    /// Every block of the tape, in order.
    pub fn tape(&self) -> &[TapeBlock] {
        &self.tape
    }

    /// Every key.
    pub fn keys(&self) -> &BTreeMap<Uuid, KeyRow> {
        &self.keys
    }

    /// Fails as `faults` say from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// A new writer: the epoch that it gets, and where the log ends.
    pub fn take_over(&mut self) -> (u64, Head) {
        self.finish_running();
        self.epoch += 1;
        (self.epoch, self.head.clone())
    }

    /// Statements that still run end, in any order: each is written if the head is still where it expects it.
    pub fn finish_running(&mut self) {
        while !self.running.is_empty() {
            let next = self.dice.below(self.running.len() as u64) as usize;
            let batch = self.running.swap_remove(next);
            self.write(&batch);
        }
    }

    /// The statement itself, by the rules of the database: all or nothing.
    fn write(&mut self, batch: &Batch) -> Appended {
        let expected = (batch.epoch, batch.expected_position, batch.expected_tape_place);
        if expected != (self.epoch, self.head.position, self.head.tape_place) {
            return Appended::HeadMoved;
        }
        let mut ends: BTreeMap<StreamId, u64> = BTreeMap::new();
        for event in &batch.events {
            // The primary key: a place in a stream is taken once.
            let stream = event.row.stream;
            let last = ends
                .entry(stream)
                .or_insert_with(|| self.sequences.get(&stream).copied().unwrap_or_default());
            if event.row.sequence <= *last {
                return Appended::Taken;
            }
            *last = event.row.sequence;
        }
        let hashes: BTreeSet<Uuid> = batch.keys.iter().map(|key| key.hash).collect();
        if hashes.len() < batch.keys.len() || hashes.iter().any(|hash| self.keys.contains_key(hash))
        {
            return Appended::Taken;
        }
        self.sequences.extend(ends);
        self.head = batch.head.clone();
        self.events.extend(batch.events.iter().cloned());
        self.tape.extend(batch.tape.iter().cloned());
        self.keys.extend(batch.keys.iter().map(|key| (key.hash, *key)));
        Appended::Committed
    }

    /// Appends with a fault, if the dice say so.
    pub fn append(&mut self, batch: &Batch) -> Result<Appended, LogFault> {
        let faults = self.faults;
        let lost = || Err(LogFault::AnswerLost("by plan".to_owned()));
        if self.dice.permille(faults.failed) {
            return Err(LogFault::Failed("by plan".to_owned()));
        }
        if self.dice.permille(faults.taken) {
            return Ok(Appended::Taken);
        }
        if self.dice.permille(faults.lost_before) {
            return lost();
        }
        if self.dice.permille(faults.lost_running) {
            self.running.push(batch.clone());
            return lost();
        }
        let appended = self.write(batch);
        if self.dice.permille(faults.duplicated) {
            self.write(batch);
        }
        if self.dice.permille(faults.lost_after) {
            return lost();
        }
        Ok(appended)
    }

    /// Raises the epoch if it is still `epoch`. A statement that still runs is waited for, or fenced.
    pub fn settle(&mut self, epoch: u64) -> Settled {
        if self.dice.permille(500) {
            self.finish_running();
        }
        if self.epoch != epoch {
            return Settled::Theirs;
        }
        self.epoch += 1;
        let Head { position, tape_place, .. } = self.head;
        let settled = Settled::Mine { epoch: self.epoch, position, tape_place };
        self.finish_running();
        settled
    }

    fn read_back(&self, hash: Uuid) -> Option<KeyRow> {
        let row = *self.keys.get(&hash)?;
        // As in the database: the position of a lasting key is not stored.
        Some(KeyRow { position: if row.lasting { 0 } else { row.position }, ..row })
    }

    /// The keys among `hashes` that are taken.
    pub fn taken(&mut self, hashes: &[Uuid]) -> Result<KeysMet, LogFault> {
        self.readable()?;
        let taken = hashes.iter().filter_map(|hash| self.read_back(*hash)).collect();
        // It has no clock: no key is ever old.
        Ok(KeysMet { taken, dropped: 0 })
    }

    /// What the log has of `unit`.
    pub fn load(&mut self, unit: LoadUnit) -> Result<Loaded, LogFault> {
        self.readable()?;
        let belongs = |stream: StreamId| match unit {
            LoadUnit::Key(_) => false,
            unit => LoadUnit::of(stream) == unit,
        };
        let streams = self.sequences.keys().copied().filter(|stream| belongs(*stream));
        let streams = streams.map(|stream| {
            let rows = self.events.iter().filter(|event| event.row.stream == stream);
            let events = rows.map(|event| (event.row.sequence, event.event.clone())).collect();
            LoadedStream { stream, snapshot: None, events }
        });
        let keys = match unit {
            LoadUnit::Key(hash) => self.read_back(hash).into_iter().collect(),
            LoadUnit::Account(_) | LoadUnit::Stream(_) => Vec::new(),
        };
        Ok(Loaded { streams: streams.collect(), keys })
    }

    fn readable(&mut self) -> Result<(), LogFault> {
        if self.dice.permille(self.faults.unreadable) {
            return Err(LogFault::Failed("by plan".to_owned()));
        }
        Ok(())
    }
}

/// A writing and loading side of a [`MemoryStore`]. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    store: Arc<Mutex<MemoryStore>>,
}

impl MemoryLog {
    /// A side of `store`.
    pub fn new(store: MemoryStore) -> Self {
        Self { store: Arc::new(Mutex::new(store)) }
    }

    /// The store, alone for as long as the guard lives.
    pub fn store(&self) -> MutexGuard<'_, MemoryStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&mut self, batch: &Batch) -> Result<Appended, LogFault> {
        self.store().append(batch)
    }

    async fn settle(&mut self, _: u16, epoch: u64) -> Result<Settled, LogFault> {
        Ok(self.store().settle(epoch))
    }

    async fn keys(&mut self, hashes: &[Uuid]) -> Result<KeysMet, LogFault> {
        self.store().taken(hashes)
    }

    async fn renew(&mut self, _: u16, epoch: u64) -> Result<bool, LogFault> {
        Ok(self.store().epoch() == epoch)
    }
}

#[async_trait]
impl Loader for MemoryLog {
    async fn load(&self, unit: LoadUnit) -> Result<Loaded, LogFault> {
        self.store().load(unit)
    }

    async fn purge_keys(&self) -> Result<(), LogFault> {
        // It has no clock: keys of requests are kept.
        Ok(())
    }
}
