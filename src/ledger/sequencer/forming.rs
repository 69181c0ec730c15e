//! Forming a batch: every waiting call is decided in order, and what it makes happen becomes rows of the open batch.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aggregates::account::AccountCommand;
use aggregates::id::{AccountId, CommandId, ENGINE, MARKET_TENANT, OrderId, RequestId};
use aggregates::order::OrderSpec;
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::stream::StreamId;
use aggregates::trading::{self, Command, Decision, Undecided, World};
use aggregates::writer::WriterCommand;
use chrono::{DateTime, Utc};
use projections::log::Recorded;
use uuid::Uuid;

use super::answering::replay;
use super::flight::{Decided, Flight, InFlight, Metadata, regroup};
use super::keys::KnownKey;
use super::request::{Formed, Member, Pending, Request, Sent};
use super::{BATCH_COMMANDS, BATCH_EVENTS, Sequencer, needs};
use crate::ledger::log::{Batch, Head, KeyRow, LoadUnit};
use crate::ledger::proof;
use crate::ledger::submission::TapeBlock;
use crate::ledger::submission::{CommittedEvent, Interface, Key, LedgerError, Origin, Submission};

/// What taking one request into the batch came to.
enum Taken<T> {
    /// It is in the batch, or answered.
    Done,
    /// This has to be loaded first.
    Absent(LoadUnit, Box<Member<T>>),
    /// A defect of this one's: what is in memory cannot be trusted.
    Defect(T),
}

/// What is known of the key of a request.
enum KeyState {
    /// It has none.
    None,
    /// Nothing: the log may have it.
    Unknown(Uuid),
    /// Its command is committed.
    Settled { position: u64, outcome: Uuid },
    /// Its command is this one of the open batch.
    Open(usize),
    /// Its command is this one of the batch under way.
    Sent(usize),
    /// Another request used it.
    Reused,
}

impl<T> Sequencer<T> {
    /// Decides `waiting` in order, and adds what they make happen to the open batch.
    pub fn take(&mut self, waiting: Vec<Pending<T>>, now: DateTime<Utc>) -> Formed<T> {
        let mut formed = Formed { replies: Vec::new(), loads: Vec::new(), rest: Vec::new() };
        if self.holds() {
            formed.rest = waiting;
            return formed;
        }
        let mut queue: VecDeque<Pending<T>> = self.again.drain(..).chain(waiting).collect();
        let mut flight = match self.open.take() {
            Some(open) => open,
            None => self.take_off(now),
        };
        if let Err(unit) = self.record_epoch(&mut flight) {
            // Nothing comes before the record of a take-over.
            self.park(unit, queue.into(), &mut formed);
            return formed;
        }
        if self.superseded {
            let tickets = queue.into_iter().flat_map(Pending::into_tickets);
            let told = LedgerError::NotWriter { owner_url: None };
            formed.replies.extend(tickets.map(|ticket| (ticket, Err(told.clone()))));
            return formed;
        }
        while let Some(call) = queue.pop_front() {
            let full = flight.commands.len() + call.members.len() > BATCH_COMMANDS
                || flight.events.len() >= BATCH_EVENTS;
            if full && !flight.commands.is_empty() {
                formed.rest = std::iter::once(call).chain(queue).collect();
                break;
            }
            let together = call.members.len() > 1;
            if together
                || call.members.iter().any(|member| needs::ends_all_of(&member.request).is_some())
            {
                for member in call.members.iter().filter(|member| member.attempts == 0) {
                    self.begin_fresh(&member.request);
                }
                let missing = call
                    .members
                    .iter()
                    .flat_map(|member| needs::missing(&self.memory, &member.request));
                let missing: Vec<LoadUnit> = missing.collect();
                if let Some(first) = missing.first() {
                    missing.iter().for_each(|unit| self.park(*unit, Vec::new(), &mut formed));
                    self.park(*first, vec![call], &mut formed);
                    continue;
                }
            }
            let taken_before = flight.commands.len();
            flight.calls += 1;
            let mut members = VecDeque::from(call.members);
            while let Some(member) = members.pop_front() {
                if let Request::Tape(block) = &member.request
                    && let Err(refusal) = follows(block, &flight.head)
                {
                    // Without the lines nothing that they caused happens either.
                    let call = flight.calls;
                    let refused = std::iter::once(member).chain(members.drain(..));
                    flight.commands.extend(refused.map(|member| InFlight {
                        member,
                        call,
                        decided: Err(refusal.clone().into()),
                        followers: Vec::new(),
                    }));
                    break;
                }
                match self.admit(member, &mut flight, &mut formed) {
                    Taken::Done => {}
                    Taken::Absent(unit, member) if !together => {
                        self.park(unit, vec![Pending { members: vec![*member] }], &mut formed);
                    }
                    Taken::Absent(unit, member) => {
                        // Only seen in the middle of the call: it leaves the batch whole.
                        let begun = regroup(flight.commands.split_off(taken_before));
                        let mut whole: Vec<Member<T>> =
                            begun.into_iter().flat_map(|call| call.members).collect();
                        whole.push(*member);
                        whole.extend(members);
                        self.park(unit, vec![Pending { members: whole }], &mut formed);
                        let again = self.scrap(flight);
                        queue = again.into_iter().chain(queue).collect();
                        flight = self.take_off(now);
                        break;
                    }
                    Taken::Defect(ticket) => {
                        // The batch is formed anew without the offender.
                        formed.replies.push((ticket, Err(LedgerError::Defect)));
                        let mut again = self.scrap(flight);
                        let members: Vec<Member<T>> = members.into();
                        if !members.is_empty() {
                            again.push(Pending { members });
                        }
                        queue = again.into_iter().chain(queue).collect();
                        flight = self.take_off(now);
                        break;
                    }
                }
            }
            if flight.calls == 0 && self.flight.is_some() {
                // It was scrapped, and what it touched may not be loaded before the batch under way is answered.
                self.again = queue.into();
                break;
            }
            // Nothing of the flight is left after it was scrapped: the take-over comes first again.
            if let Err(unit) = self.record_epoch(&mut flight) {
                self.park(unit, queue.into(), &mut formed);
                break;
            }
        }
        self.open = Some(flight);
        formed
    }

    /// Closes the open batch: it is under way now, if it has anything to append.
    ///
    /// # Panics
    /// If the batch before has neither been committed nor abandoned.
    pub fn send(&mut self) -> Sent<T> {
        assert!(self.flight.is_none(), "one batch at a time is under way");
        self.flight = self.open.take();
        if let Some(flight) = self.flight.as_mut().filter(|flight| !flight.moves_the_head()) {
            flight.head = self.head.clone();
        }
        match &self.flight {
            Some(flight) if flight.writes() => {
                Sent { batch: Some(self.batch(flight)), replies: Vec::new() }
            }
            _ => Sent { batch: None, replies: self.committed().0 },
        }
    }

    /// An empty batch that begins where the one under way ends, or else at the head.
    fn take_off(&mut self, now: DateTime<Utc>) -> Flight<T> {
        let touched = self.flight.as_ref().map_or(&[][..], |flight| &flight.touched);
        self.memory.shed(touched);
        let mut head = self.flight.as_ref().map_or(&self.head, |flight| &flight.head).clone();
        // Postgres keeps microseconds: what is hashed is what is stored.
        let now =
            DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(head.recorded_at);
        head.recorded_at = head.recorded_at.max(now);
        Flight {
            epoch: self.epoch,
            base: (head.position, head.tape_place),
            calls: 0,
            commands: Vec::new(),
            events: Vec::new(),
            head,
            touched: Vec::new(),
            keys: Vec::new(),
            tape: Vec::new(),
        }
    }

    /// Puts the take-over at the front of the first batch of an epoch. `Err` is what has to be loaded for it.
    fn record_epoch(&mut self, flight: &mut Flight<T>) -> Result<(), LoadUnit> {
        if !self.must_record_epoch() || self.flight.is_some() || !flight.events.is_empty() {
            return Ok(());
        }
        let request = Request::Command(Box::new(Submission {
            origin: Origin {
                tenant: MARKET_TENANT,
                actor: ENGINE,
                token: String::new(),
                client: String::new(),
                interface: Interface::Ledger,
                request: RequestId::new(self.entropy.uuid()),
                causation: format!("epoch:{}", self.epoch),
            },
            command_id: CommandId::new(self.entropy.uuid()),
            command: Command::Writer {
                shard: self.shard,
                command: WriterCommand::TakeOver {
                    epoch: self.epoch,
                    key_name: self.signing.name.clone(),
                    public_key: self.signing.public_key.clone(),
                },
            },
            key: None,
        }));
        let Request::Command(submission) = &request else { return Ok(()) };
        let written = match trading::decide(&self.memory, &submission.command, &self.rules) {
            Ok(decision) => self.write(&request, decision, flight).map(drop),
            Err(Undecided::Absent(stream)) => return Err(LoadUnit::of(stream)),
            Err(Undecided::Refused(refusal)) => Err(refusal.message),
        };
        if let Err(error) = written {
            self.superseded = true;
            tracing::error!(epoch = self.epoch, error, "the take-over cannot be recorded");
        }
        Ok(())
    }

    fn batch(&self, flight: &Flight<T>) -> Batch {
        Batch {
            shard: self.shard,
            epoch: self.epoch,
            expected_position: flight.base.0,
            expected_tape_place: flight.base.1,
            head: flight.head.clone(),
            events: flight.events.clone(),
            keys: flight.keys.clone(),
            tape: flight.tape.clone(),
        }
    }

    /// Lets calls wait until `unit` is loaded; the first to wait for it has it loaded.
    fn park(&mut self, unit: LoadUnit, calls: Vec<Pending<T>>, formed: &mut Formed<T>) {
        let waiting = self.parked.entry(unit).or_insert_with(|| {
            formed.loads.push(unit);
            Vec::new()
        });
        waiting.extend(calls);
    }

    /// Decides one request and adds what it makes happen to the batch.
    fn admit(
        &mut self,
        member: Member<T>,
        flight: &mut Flight<T>,
        formed: &mut Formed<T>,
    ) -> Taken<T> {
        if let Request::Preview(trial) = &member.request {
            let foretold = self.foretell(trial, flight.head.position);
            return match foretold {
                Some(Err(Undecided::Absent(stream))) => {
                    Taken::Absent(LoadUnit::of(stream), Box::new(member))
                }
                Some(Err(Undecided::Refused(refusal))) => take(member, Err(refusal.into()), flight),
                Some(Ok(decided)) => take(member, Ok(decided), flight),
                None => {
                    formed.replies.push((member.ticket, Err(LedgerError::Defect)));
                    Taken::Done
                }
            };
        }
        let key = self.look_at_key(&member.request, flight);
        let decided = match key {
            KeyState::Settled { position, outcome } => {
                formed.replies.push((member.ticket, Ok(replay(position, outcome))));
                return Taken::Done;
            }
            KeyState::Open(first) => {
                flight.commands[first].followers.push(member);
                return Taken::Done;
            }
            KeyState::Sent(first) => {
                let sent = self.flight.as_mut().expect("the key was found in it");
                sent.commands[first].followers.push(member);
                return Taken::Done;
            }
            KeyState::Reused => Err(Undecided::Refused(reused())),
            KeyState::Unknown(_) | KeyState::None => match self.decide(&member) {
                Some(decided) => decided,
                None => {
                    formed.replies.push((member.ticket, Err(LedgerError::Defect)));
                    return Taken::Done;
                }
            },
        };
        let decided = match decided {
            Ok(decision) => {
                if let Request::Tape(block) = &member.request {
                    flight.head.tape_place = block.last_place;
                    flight.tape.push(block.clone());
                }
                let written = catch_unwind(AssertUnwindSafe(|| {
                    self.write(&member.request, decision, flight)
                }));
                match written.unwrap_or_else(|_| Err("it panicked".to_owned())) {
                    Ok(decided) => Ok(decided),
                    Err(error) => {
                        tracing::error!(request = ?member.request, error, "a decided event cannot be written");
                        return Taken::Defect(member.ticket);
                    }
                }
            }
            Err(Undecided::Refused(refusal)) => match key {
                // It may have been carried out before this process remembers: then this is a replay.
                KeyState::Unknown(hash) if !member.key_is_new => {
                    return Taken::Absent(LoadUnit::Key(hash), Box::new(member));
                }
                _ => Err(refusal.into()),
            },
            Err(Undecided::Absent(stream)) => {
                return Taken::Absent(LoadUnit::of(stream), Box::new(member));
            }
        };
        take(member, decided, flight)
    }

    /// What is known of a request's key.
    fn look_at_key(&self, request: &Request, flight: &Flight<T>) -> KeyState {
        let Request::Command(submission) = request else { return KeyState::None };
        let Some(key) = submission.key else { return KeyState::None };
        let Some(known) = self.keys.get(key.hash) else { return KeyState::Unknown(key.hash) };
        if known.fingerprint != key.fingerprint {
            return KeyState::Reused;
        }
        if let Some(position) = known.position {
            return KeyState::Settled { position, outcome: known.outcome };
        }
        let of = |flight: &Flight<T>| {
            flight.commands.iter().position(|first| first.outcome() == known.outcome)
        };
        let sent = || self.flight.as_ref().and_then(of).map(KeyState::Sent);
        of(flight).map(KeyState::Open).or_else(sent).unwrap_or(KeyState::Unknown(key.hash))
    }

    /// What a request makes happen; `None` if deciding it panicked.
    fn decide(&mut self, member: &Member<T>) -> Option<Result<Decision, Undecided>> {
        Some(match &member.request {
            Request::Tape(_) | Request::Preview(_) => Ok(Decision::default()),
            Request::Append { stream, expected, events, .. } => match self.memory.sequence(*stream)
            {
                None => Err(Undecided::Absent(*stream)),
                Some(sequence) if sequence != *expected => {
                    let message = format!("{stream} has {sequence} events, not {expected}");
                    Err(Refusal::new(RefusalCode::OrderChanged, message).into())
                }
                Some(_) => Ok(Decision {
                    events: events.iter().map(|event| (*stream, event.clone())).collect(),
                    rejected: None,
                }),
            },
            Request::Command(submission) => {
                if member.attempts == 0 {
                    self.begin_fresh(&member.request);
                }
                let (memory, rules) = (&self.memory, &self.rules);
                let decide = || trading::decide(memory, &submission.command, rules);
                match catch_unwind(AssertUnwindSafe(decide)) {
                    Ok(decided) => decided,
                    Err(_) => {
                        tracing::error!(command = ?submission.command, "a decision panicked; its command is dropped");
                        return None;
                    }
                }
            }
        })
    }

    /// Ids that come fresh with the command have no events: nothing needs to be loaded for them. If one has, the
    /// batch is refused, and the next attempt loads it.
    fn begin_fresh(&mut self, request: &Request) {
        let Request::Command(submission) = request else { return };
        match &submission.command {
            Command::Place { order_id, spec, .. } | Command::Close { order_id, spec, .. } => {
                self.memory.begin(StreamId::Order(*order_id));
                for (child_id, _) in spec.children(*order_id) {
                    self.memory.begin(StreamId::Order(child_id));
                }
            }
            Command::Account { account_id, command: AccountCommand::Open { .. } } => {
                self.memory.begin(StreamId::Account(*account_id));
            }
            _ => {}
        }
    }

    /// Applies a decision to memory and writes its rows.
    fn write(
        &mut self,
        request: &Request,
        decision: Decision,
        flight: &mut Flight<T>,
    ) -> Result<Decided, String> {
        let (origin, command_id) = match request {
            Request::Command(submission) => (&submission.origin, submission.command_id),
            Request::Append { origin, .. } => (origin, CommandId::new(origin.request.uuid())),
            Request::Tape(_) | Request::Preview(_) => {
                let end = flight.events.len();
                return Ok(Decided { rows: end..end, rejected: None, foretold: None });
            }
        };
        let metadata = self.metadata(origin, command_id);
        let first = flight.events.len();
        for (stream, event) in decision.events {
            flight.touched.push(stream);
            let sequence = self.memory.evolve(stream, &event).map_err(|error| error.to_string())?;
            let payload = event.payload().map_err(|error| error.to_string())?;
            let mut row = Recorded {
                shard: self.shard,
                position: flight.head.position + 1,
                tenant_id: origin.tenant,
                account_id: self.account_of(stream),
                stream,
                sequence,
                event_type: event.event_type(),
                event_version: event.event_version(),
                payload,
                metadata: metadata.clone(),
                recorded_at: flight.head.recorded_at,
                salt: self.entropy.salt(),
                leaf: [0; 32],
            };
            row.leaf = proof::leaf_of(&row);
            flight.head.position = row.position;
            flight.head.frontier.push(row.leaf);
            flight.events.push(Arc::new(CommittedEvent { row, event }));
        }
        let rows = first..flight.events.len();
        if let Request::Command(submission) = request
            && let Some(Key { lasting, hash, fingerprint }) = submission.key
        {
            // Also when nothing happened: the same command again, later, is still this one.
            let (outcome, position) = (submission.outcome(), flight.head.position);
            let keys = std::iter::once((Key { lasting, hash, fingerprint }, outcome));
            for (key, outcome) in keys.chain(self.keys_of_children(submission)) {
                let Key { lasting, hash, fingerprint } = key;
                flight.keys.push(KeyRow { lasting, hash, fingerprint, outcome, position });
                self.keys.remember(hash, KnownKey { fingerprint, outcome, position: None });
            }
        }
        Ok(Decided { rows, rejected: decision.rejected, foretold: None })
    }

    /// The keys of the orders that were placed with another one: their names are used for ever too.
    fn keys_of_children(&self, submission: &Submission) -> Vec<(Key, Uuid)> {
        let Command::Place { order_id, spec, .. } = &submission.command else { return Vec::new() };
        let placed = |id| self.memory.order(id).is_some_and(|order| order.spec().is_some());
        let children =
            spec.children(*order_id).into_iter().filter(|(child_id, _)| placed(*child_id));
        let key = |(child_id, child): (OrderId, OrderSpec)| {
            let (tenant, id) = (submission.origin.tenant, child_id.uuid());
            let key = Key::order(tenant, child.account_id, &child.client_order_id, id.as_bytes());
            (key, id)
        };
        children.map(key).collect()
    }

    /// The account that an event of `stream` belongs to.
    fn account_of(&self, stream: StreamId) -> Option<AccountId> {
        match stream {
            StreamId::Account(account) | StreamId::Position(account, _) => Some(account),
            StreamId::Order(id) => self.memory.order(id)?.spec().map(|spec| spec.account_id),
            StreamId::Instrument(_) | StreamId::User(_) | StreamId::Writer(_) => None,
        }
    }

    fn metadata(&self, origin: &Origin, command: CommandId) -> String {
        Metadata {
            tenant: origin.tenant.to_string(),
            actor: origin.actor.to_string(),
            token: &origin.token,
            client: &origin.client,
            interface: origin.interface,
            request: origin.request.to_string(),
            command: command.to_string(),
            causation: &origin.causation,
            epoch: self.epoch.to_string(),
        }
        .text()
    }
}

/// Puts a request into the batch with what it came to.
fn take<T>(
    member: Member<T>,
    decided: Result<Decided, LedgerError>,
    flight: &mut Flight<T>,
) -> Taken<T> {
    let call = flight.calls;
    flight.commands.push(InFlight { member, call, decided, followers: Vec::new() });
    Taken::Done
}

/// Whether a block of the tape begins where the head ends.
fn follows(block: &TapeBlock, head: &Head) -> Result<(), Refusal> {
    if block.first_place == head.tape_place + 1 && block.last_place >= block.first_place {
        return Ok(());
    }
    let message = format!(
        "the tape ends at place {}: a block from {} to {} does not follow",
        head.tape_place, block.first_place, block.last_place
    );
    Err(Refusal::new(RefusalCode::AlreadyApplied, message))
}

fn reused() -> Refusal {
    let message = "the key was used for another request: use a new key, or send the first request again as it was";
    Refusal::new(RefusalCode::KeyReused, message)
}
