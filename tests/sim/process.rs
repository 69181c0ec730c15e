//! One process: a Sequencer, what waits for it and what it waits for. Does what the driver does, a step at a time.

use std::sync::Arc;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::rules::Rules;
use aggregates::stream::StreamId;
use aggregates::trading::World;
use blotter::ledger::log::{Appended, Batch, LoadUnit, Loaded, LogFault};
use blotter::ledger::memory::{Dice, MemoryStore};
use blotter::ledger::sequencer::{
    Entropy, Formed, Pending, Reply, Request, Sequencer, Settlement, SigningName,
};
use blotter::ledger::{CommittedEvent, LedgerError};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::checker::Checker;

/// Finds the attempt that an answer is for.
pub type Ticket = usize;

/// Random bytes of a seed.
pub struct Seeded(pub Dice);

impl Entropy for Seeded {
    fn salt(&mut self) -> [u8; 16] {
        self.uuid().into_bytes()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.0.any(), self.0.any())
    }
}

/// What a step of a process came to.
#[derive(Default)]
pub struct Happened {
    pub replies: Vec<Reply<Ticket>>,
    pub committed: Vec<Arc<CommittedEvent>>,
    /// It writes no longer.
    pub stepped_down: bool,
}

/// A load on its way: asked, read, delivered.
type Load = (LoadUnit, Option<Result<Loaded, LogFault>>);

pub struct Process {
    sequencer: Sequencer<Ticket>,
    waiting: Vec<Pending<Ticket>>,
    loads: Vec<Load>,
    batch: Option<Batch>,
}

impl Process {
    /// Takes the log over.
    pub fn start(store: &mut MemoryStore, seed: u64, rules: Rules) -> Self {
        let (epoch, head) = store.take_over();
        let signing = SigningName { name: "simulated".to_owned(), public_key: "key".to_owned() };
        let entropy = Box::new(Seeded(Dice::new(seed)));
        let sequencer = Sequencer::new(0, epoch, head, rules, entropy, signing);
        Self { sequencer, waiting: Vec::new(), loads: Vec::new(), batch: None }
    }

    pub fn send(&mut self, requests: Vec<(Request, Ticket)>) {
        self.waiting.extend(Pending::together(requests));
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.loads.is_empty()
            && self.batch.is_none()
            && self.sequencer.parked() == 0
            && !self.sequencer.has_work()
            && !self.sequencer.must_record_epoch()
    }

    /// Where the log ends for it, if it is the writer.
    pub fn knows(&self, store: &MemoryStore) -> Option<u64> {
        (self.sequencer.epoch() == store.epoch()).then_some(self.sequencer.head().position)
    }

    /// The batch that it has closed and not yet appended.
    pub fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref()
    }

    /// Reads or delivers one load, if there is one.
    pub fn load(&mut self, store: &mut MemoryStore, dice: &mut Dice) -> Happened {
        let mut happened = Happened::default();
        if self.loads.is_empty() {
            return happened;
        }
        let chosen = dice.below(self.loads.len() as u64) as usize;
        if self.loads[chosen].1.is_none() {
            self.loads[chosen].1 = Some(store.load(self.loads[chosen].0));
        } else if let (unit, Some(loaded)) = self.loads.swap_remove(chosen) {
            let (replies, waiting) = self.sequencer.loaded(unit, loaded);
            happened.replies = replies;
            self.waiting.extend(waiting);
        }
        happened
    }

    /// Takes what waits into the open batch and sometimes closes it, or appends the one that was closed.
    pub fn work(
        &mut self,
        store: &mut MemoryStore,
        dice: &mut Dice,
        now: DateTime<Utc>,
        panicked: bool,
    ) -> Result<Happened, String> {
        let ahead = !self.waiting.is_empty() && dice.permille(500);
        if !ahead && let Some(batch) = self.batch.take() {
            return self.append(store, &batch, panicked);
        }
        let Formed { mut replies, loads, rest } =
            self.sequencer.take(std::mem::take(&mut self.waiting), now);
        self.waiting = rest;
        self.loads.extend(loads.into_iter().map(|unit| (unit, None)));
        if self.batch.is_none() && dice.permille(700) {
            let sent = self.sequencer.send();
            self.batch = sent.batch;
            replies.extend(sent.replies);
        }
        Ok(Happened { replies, ..Happened::default() })
    }

    fn append(
        &mut self,
        store: &mut MemoryStore,
        batch: &Batch,
        crash_when_lost: bool,
    ) -> Result<Happened, String> {
        Ok(match store.append(batch) {
            Ok(Appended::Committed) => self.commit(),
            Ok(Appended::HeadMoved) => {
                let mut happened = self.refuse(&LedgerError::NotWriter { owner_url: None });
                happened.stepped_down = true;
                happened
            }
            Ok(Appended::Taken) => match store.taken(&self.sequencer.keys_in_flight()) {
                Ok(taken) => {
                    let (replies, again) = self.sequencer.taken(&taken);
                    self.form_again(replies, again)
                }
                Err(_) => self.refuse(&LedgerError::Unavailable),
            },
            Err(LogFault::Failed(_)) => self.refuse(&LedgerError::Unavailable),
            Err(LogFault::Corrupt(fault)) => return Err(fault),
            Err(LogFault::AnswerLost(_)) if crash_when_lost => {
                Happened { stepped_down: true, ..Happened::default() }
            }
            Err(LogFault::AnswerLost(_)) => {
                let settled = store.settle(self.sequencer.epoch());
                match self.sequencer.settled(&settled, batch) {
                    Settlement::Committed => self.commit(),
                    Settlement::Abandoned => self.again(&LedgerError::Unavailable),
                    Settlement::Fenced => Happened { stepped_down: true, ..Happened::default() },
                    Settlement::Corrupt(fault) => return Err(fault),
                }
            }
        })
    }

    fn commit(&mut self) -> Happened {
        let (replies, committed) = self.sequencer.committed();
        Happened { replies, committed, stepped_down: false }
    }

    fn again(&mut self, error: &LedgerError) -> Happened {
        let (replies, again) = self.sequencer.abandoned(error);
        self.form_again(replies, again)
    }

    fn form_again(&mut self, replies: Vec<Reply<Ticket>>, again: Vec<Pending<Ticket>>) -> Happened {
        self.waiting.splice(0..0, again);
        Happened { replies, ..Happened::default() }
    }

    fn refuse(&mut self, error: &LedgerError) -> Happened {
        let (mut replies, again) = self.sequencer.abandoned(error);
        let tickets = again.into_iter().flat_map(Pending::into_tickets);
        replies.extend(tickets.map(|ticket| (ticket, Err(error.clone()))));
        Happened { replies, ..Happened::default() }
    }

    /// Steps down in order: everyone is answered.
    pub fn dissolve(self) -> Vec<Reply<Ticket>> {
        let waiting = self.waiting.into_iter().flat_map(Pending::into_tickets);
        let mut replies: Vec<Reply<Ticket>> = waiting
            .map(|ticket| (ticket, Err(LedgerError::NotWriter { owner_url: None })))
            .collect();
        replies.extend(self.sequencer.dissolve());
        replies
    }

    /// Whoever still waits: nobody will answer them.
    pub fn crash(self) -> Vec<Ticket> {
        self.dissolve().into_iter().map(|(ticket, _)| ticket).collect()
    }

    /// I18: what is in memory is the fold of the log. Only of the writer, between two batches.
    pub fn memory_is(&self, checker: &Checker, store: &MemoryStore) -> Result<(), String> {
        if self.batch.is_some()
            || self.sequencer.has_work()
            || self.sequencer.epoch() != store.epoch()
        {
            return Ok(());
        }
        let memory = self.sequencer.memory();
        let same = |what: StreamId, equal: Option<bool>| {
            let sequence = memory.sequence(what);
            let agreed = sequence.is_none_or(|it| Some(&it) == checker.sequences.get(&what));
            if agreed && equal != Some(false) {
                return Ok(());
            }
            Err(format!("I18: {what} in memory is not the fold of the log"))
        };
        let whose = |id: &(AccountId, InstrumentId)| StreamId::Position(id.0, id.1);
        for (id, it) in &checker.accounts {
            same(StreamId::Account(*id), memory.account(*id).map(|other| other == it))?;
        }
        for (id, it) in &checker.orders {
            same(StreamId::Order(*id), memory.order(*id).map(|other| other == it))?;
        }
        for (id, it) in &checker.positions {
            same(whose(id), memory.position(id.0, id.1).map(|other| other == it))?;
        }
        for (id, it) in &checker.instruments {
            same(StreamId::Instrument(*id), memory.instrument(*id).map(|other| other == it))?;
        }
        for (id, it) in &checker.users {
            same(StreamId::User(*id), memory.user(*id).map(|other| other == it))?;
        }
        for (shard, it) in &checker.writers {
            same(StreamId::Writer(*shard), memory.writer(*shard).map(|other| other == it))?;
        }
        if self.sequencer.head() != store.head() {
            return Err("the writer's head is not the log's".to_owned());
        }
        Ok(())
    }
}
