//! What follows a batch: its answers when it committed, its commands again when it did not, and what was loaded.

use std::sync::Arc;

use aggregates::stream::StreamId;
use uuid::Uuid;

use super::flight::{Decided, Flight, InFlight, regroup};
use super::keys::KnownKey;
use super::request::{Pending, Reply, Request};
use super::{ATTEMPTS, Sequencer, Settlement, needs};
use crate::ledger::log::{Batch, KeyRow, KeysMet, LoadUnit, Loaded, LogFault, Settled};
use crate::ledger::submission::{Committed, CommittedEvent, LedgerError};

impl<T> Sequencer<T> {
    /// The batch is durable: gives the answers, and its events in order for the engine.
    pub fn committed(&mut self) -> (Vec<Reply<T>>, Vec<Arc<CommittedEvent>>) {
        let Some(flight) = self.flight.take() else { return (Vec::new(), Vec::new()) };
        for key in &flight.keys {
            self.keys.settle(key.hash, key.position);
        }
        if !flight.events.is_empty() {
            self.recorded_epoch = flight.epoch;
        }
        if flight.writes() {
            self.head = flight.head;
        }
        if self.open.as_ref().is_some_and(|open| open.epoch != self.epoch) {
            // The epoch was raised while it was formed, and the take-over comes first.
            self.give_up_open();
        }
        let mut replies = Vec::with_capacity(flight.commands.len());
        for command in flight.commands {
            let outcome = command.outcome();
            let InFlight { member, decided, followers, .. } = command;
            for stream in needs::named(&member.request) {
                self.evict_if_idle(stream);
            }
            let Decided { rows, rejected, foretold } = match decided {
                Ok(decided) => decided,
                Err(error) => {
                    replies.push((member.ticket, Err(error)));
                    continue;
                }
            };
            let events = flight.events[rows].to_vec();
            let position = events.last().map_or(self.head.position, |event| event.row.position);
            let (impact, stands_on) = foretold.unzip();
            let position = stands_on.unwrap_or(position);
            let copies = followers.into_iter();
            replies.extend(copies.map(|copy| (copy.ticket, Ok(replay(position, outcome)))));
            let committed =
                Committed { position, outcome, events, rejected, impact, replayed: false };
            replies.push((member.ticket, Ok(committed)));
        }
        for stream in flight.touched {
            self.evict_if_idle(stream);
        }
        (replies, flight.events)
    }

    /// Lets a stream go that no decision will need soon, unless a batch that is not yet committed has changed it:
    /// what is loaded next would be older.
    fn evict_if_idle(&mut self, stream: StreamId) {
        let mut uncommitted = self.flight.iter().chain(&self.open);
        if !uncommitted.any(|flight| flight.touched.contains(&stream)) {
            self.memory.evict_if_idle(stream);
        }
    }

    /// Gives the open batch up: memory forgets what it touched, and its calls come first in the next.
    pub(super) fn give_up_open(&mut self) {
        if let Some(open) = self.open.take() {
            let calls = self.scrap(open);
            self.again.splice(0..0, calls);
        }
    }

    /// The batch was not written: memory forgets what it and the open batch touched, and the calls of both come back
    /// to be formed anew. A command that was in too many such batches is answered with `error`.
    pub fn abandoned(&mut self, error: &LedgerError) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        self.come_back(Some(error))
    }

    /// The batch was not written because something of it is taken: its calls come back as in [`Self::abandoned`]. If
    /// that was a key, its command goes on next time, so however many such batches follow each other, none of them is
    /// a fault of the commands beside it; one without counts.
    pub fn taken(&mut self, keys: &KeysMet) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        let by_key = !keys.taken.is_empty() || keys.dropped > 0;
        let came = self.come_back((!by_key).then_some(&LedgerError::Defect));
        self.known(&keys.taken);
        came
    }

    /// `counts` is the answer to commands that were in too many batches which were not written, if this is one of them.
    fn come_back(&mut self, counts: Option<&LedgerError>) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        let Some(flight) = self.flight.take() else { return (Vec::new(), Vec::new()) };
        self.give_up_open();
        let mut replies = Vec::new();
        let mut again = Vec::new();
        for mut call in self.scrap(flight) {
            let Some(error) = counts else {
                again.push(call);
                continue;
            };
            call.members.iter_mut().for_each(|member| member.attempts += 1);
            if call.members.iter().any(|member| member.attempts >= ATTEMPTS) {
                tracing::error!(?error, "a call cannot be appended; it is dropped");
                replies.extend(call.into_tickets().map(|ticket| (ticket, Err(error.clone()))));
            } else {
                again.push(call);
            }
        }
        again.append(&mut self.again);
        (replies, again)
    }

    /// Memory forgets what a batch touched; its calls come back as they were.
    pub(super) fn scrap(&mut self, flight: Flight<T>) -> Vec<Pending<T>> {
        for stream in flight.touched {
            self.memory.evict(stream);
        }
        self.keys.forget(flight.keys.iter().map(|key| key.hash));
        regroup(flight.commands)
    }

    /// Everyone who waits is told: what is in a batch under way may have happened, what was never sent has not.
    pub fn dissolve(mut self) -> Vec<Reply<T>> {
        self.give_up_open();
        let flight = self.flight.take().map_or_else(Vec::new, |flight| regroup(flight.commands));
        let told = |calls: Vec<Pending<T>>, error: LedgerError| {
            let tickets = calls.into_iter().flat_map(Pending::into_tickets);
            tickets.map(|ticket| (ticket, Err(error.clone()))).collect::<Vec<_>>()
        };
        let mut replies = told(flight, LedgerError::OutcomeUnknown);
        let unsent = self.again.into_iter().chain(self.parked.into_values().flatten());
        replies.extend(told(unsent.collect(), LedgerError::NotWriter { owner_url: None }));
        replies
    }

    /// What settling the answer to `batch` means for it. Takes over the epoch that the log has given.
    pub fn settled(&mut self, settled: &Settled, batch: &Batch) -> Settlement {
        let Settled::Mine { epoch, position, tape_place } = *settled else {
            return Settlement::Fenced;
        };
        self.epoch = epoch;
        let reached = (position, tape_place);
        // A batch of nothing but keys does not move the head, so that counts as abandoned: if it did commit, its keys
        // are found taken when it is sent again, and answer it.
        if reached == (batch.expected_position, batch.expected_tape_place) {
            Settlement::Abandoned
        } else if reached == (batch.head.position, batch.head.tape_place) {
            Settlement::Committed
        } else {
            let fault = format!("the head is at {reached:?} after a batch that ended elsewhere");
            Settlement::Corrupt(fault)
        }
    }

    /// Takes in what was loaded, and gives the calls that waited for it. It is never older than a batch under way:
    /// what that one touched was in memory when it was sent, and stays there until it is answered.
    pub fn loaded(
        &mut self,
        unit: LoadUnit,
        loaded: Result<Loaded, LogFault>,
    ) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        let mut waiting = self.parked.remove(&unit).unwrap_or_default();
        let installed = loaded.and_then(|loaded| {
            self.known(&loaded.keys);
            self.memory.install(unit, loaded.streams)
        });
        if let Err(fault) = installed {
            tracing::error!(?unit, %fault, "it cannot be loaded");
            let error = match fault {
                LogFault::Corrupt(_) => LedgerError::Defect,
                LogFault::AnswerLost(_) | LogFault::Failed(_) => LedgerError::Unavailable,
            };
            let members = waiting.iter().flat_map(|call| &call.members);
            let named: Vec<StreamId> =
                members.flat_map(|member| needs::named(&member.request)).collect();
            for stream in named {
                self.evict_if_idle(stream);
            }
            let tickets = waiting.into_iter().flat_map(Pending::into_tickets);
            return (tickets.map(|ticket| (ticket, Err(error.clone()))).collect(), Vec::new());
        }
        if let LoadUnit::Key(hash) = unit {
            for member in waiting.iter_mut().flat_map(|call| &mut call.members) {
                member.key_is_new |= matches!(&member.request,
                    Request::Command(s) if s.key.is_some_and(|key| key.hash == hash));
            }
        }
        (Vec::new(), waiting)
    }

    /// Takes in keys that the log has.
    fn known(&mut self, keys: &[KeyRow]) {
        for key in keys {
            let KeyRow { lasting, hash, fingerprint, outcome, position } = *key;
            // Where the position is not stored, the answer is that of now: the log has grown past it.
            let position = if lasting { self.head.position } else { position };
            self.keys.remember(hash, KnownKey { fingerprint, outcome, position: Some(position) });
        }
    }

    /// The keys of the batch under way: what to look up when something of it is taken.
    pub fn keys_in_flight(&self) -> Vec<Uuid> {
        self.flight.iter().flat_map(|flight| flight.keys.iter().map(|key| key.hash)).collect()
    }
}

impl<T> InFlight<T> {
    /// What a key of it stands for.
    pub(super) fn outcome(&self) -> Uuid {
        match &self.member.request {
            Request::Command(submission) => submission.outcome(),
            Request::Append { origin, .. } => origin.request.uuid(),
            Request::Tape(_) | Request::Preview(_) => Uuid::nil(),
        }
    }
}

pub(super) fn replay(position: u64, outcome: Uuid) -> Committed {
    Committed {
        position,
        outcome,
        events: Vec::new(),
        rejected: None,
        impact: None,
        replayed: true,
    }
}
