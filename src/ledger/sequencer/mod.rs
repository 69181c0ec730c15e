//! The Sequencer: gives every event its place in one order, and decides every command on the aggregates in memory.
//!
//! A step machine without I/O: [`Sequencer::form`] turns waiting calls into one [`Batch`], the driver appends it,
//! and one of [`Sequencer::committed`] or [`Sequencer::abandoned`] follows, after [`Sequencer::settled`] if the answer
//! was lost. The runtime drives it over Postgres, the simulation over a log that fails on purpose.
//!
//! What it guarantees:
//! - Each command is decided on the state that all commands before it left, in this batch or an earlier one.
//! - Decisions change nothing until all of a command is decided, so a refusal leaves no trace. Events are applied
//!   to memory as the batch forms; if the batch does not commit, every stream that it touched is forgotten and
//!   loaded again, so memory never holds what the log does not.
//! - The requests of one call are in one batch, in order: a line of the tape is never written without what it caused.
//! - A key acts once: a known key is answered, an unknown one goes into the batch, where the log's unique index
//!   decides; a command under an unknown key is refused only after the log was asked for the key.
//! - The first event of an epoch records its take-over.
//!
//! What it costs: one append a batch, 5 to 10 microseconds a command to decide and encode.

mod flight;
mod keys;
mod needs;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aggregates::account::AccountCommand;
use aggregates::id::{AccountId, CommandId, ENGINE, MARKET_TENANT, RequestId};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::rules::Rules;
use aggregates::stream::StreamId;
use aggregates::trading::{self, Command, Decision, Undecided, World};
use aggregates::writer::WriterCommand;
use chrono::{DateTime, Utc};
use projections::log::Recorded;
use uuid::Uuid;

use super::log::{Batch, Head, KeyRow, LoadUnit, Loaded, LogFault, Settled};
use super::proof;
use super::submission::{
    Committed, CommittedEvent, Interface, Key, LedgerError, Origin, Submission,
};
use super::world::Memory;
use flight::{Decided, Flight, InFlight, Metadata, regroup};
use keys::{Keys, KnownKey};
use request::Member;
pub use request::{Formed, Pending, Reply, Request};

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
    /// Its command is this one of the batch under way.
    InFlight(usize),
    /// Another request used it.
    Reused,
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
    flight: Option<Flight<T>>,
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

    /// The aggregates in memory, as the batch under way leaves them.
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

    /// Whether the take-over waits for the history of writers.
    pub fn waits_for_writer(&self) -> bool {
        self.parked.contains_key(&LoadUnit::Stream(StreamId::Writer(self.shard)))
    }

    /// Decides `waiting` in order and forms the batch of what they make happen.
    ///
    /// # Panics
    /// If the batch before has neither been committed nor abandoned.
    pub fn form(&mut self, waiting: Vec<Pending<T>>, now: DateTime<Utc>) -> Formed<T> {
        assert!(self.flight.is_none(), "one batch at a time is under way");
        let mut formed =
            Formed { batch: None, replies: Vec::new(), loads: Vec::new(), rest: Vec::new() };
        let mut queue = VecDeque::from(waiting);
        let mut flight = self.take_off(now, queue.len());
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
            if together {
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
                match self.take(member, &mut flight, &mut formed) {
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
                        flight = self.take_off(now, queue.len());
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
                        flight = self.take_off(now, queue.len());
                        break;
                    }
                }
            }
            // Nothing of the flight is left after it was scrapped: the take-over comes first again.
            if let Err(unit) = self.record_epoch(&mut flight) {
                self.park(unit, queue.into(), &mut formed);
                break;
            }
        }
        self.flight = Some(flight);
        match &self.flight {
            Some(flight) if !flight.events.is_empty() || !flight.tape.is_empty() => {
                formed.batch = Some(self.batch(flight));
            }
            _ => formed.replies.extend(self.committed().0),
        }
        formed
    }

    /// An empty batch that begins at the head.
    fn take_off(&self, now: DateTime<Utc>, commands: usize) -> Flight<T> {
        // Postgres keeps microseconds: what is hashed is what is stored.
        let now = DateTime::from_timestamp_micros(now.timestamp_micros())
            .unwrap_or(self.head.recorded_at);
        let mut head = self.head.clone();
        head.recorded_at = head.recorded_at.max(now);
        Flight {
            epoch: self.epoch,
            calls: 0,
            commands: Vec::with_capacity(commands),
            events: Vec::with_capacity(commands * 3),
            head,
            touched: Vec::new(),
            keys: Vec::new(),
            tape: Vec::new(),
        }
    }

    /// Puts the take-over at the front of the first batch of an epoch. `Err` is what has to be loaded for it.
    fn record_epoch(&mut self, flight: &mut Flight<T>) -> Result<(), LoadUnit> {
        if !self.must_record_epoch() || !flight.events.is_empty() {
            return Ok(());
        }
        let request = Request::Command(Box::new(Submission {
            origin: Origin {
                tenant: MARKET_TENANT,
                actor: ENGINE,
                token: String::new(),
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
            expected_position: self.head.position,
            expected_tape_place: self.head.tape_place,
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
    fn take(
        &mut self,
        member: Member<T>,
        flight: &mut Flight<T>,
        formed: &mut Formed<T>,
    ) -> Taken<T> {
        let key = self.look_at_key(&member.request, flight);
        let decided = match key {
            KeyState::Settled { position, outcome } => {
                formed.replies.push((member.ticket, Ok(replay(position, outcome))));
                return Taken::Done;
            }
            KeyState::InFlight(first) => {
                flight.commands[first].followers.push(member);
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
        let call = flight.calls;
        flight.commands.push(InFlight { member, call, decided, followers: Vec::new() });
        Taken::Done
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
        let mut commands = flight.commands.iter();
        commands
            .position(|first| first.outcome() == known.outcome)
            .map_or(KeyState::Unknown(key.hash), KeyState::InFlight)
    }

    /// What a request makes happen; `None` if deciding it panicked.
    fn decide(&mut self, member: &Member<T>) -> Option<Result<Decision, Undecided>> {
        Some(match &member.request {
            Request::Tape(_) => Ok(Decision::default()),
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
            Command::Place { order_id, .. } => self.memory.begin(StreamId::Order(*order_id)),
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
            Request::Tape(_) => {
                let end = flight.events.len();
                return Ok(Decided { rows: end..end, rejected: None });
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
            && !rows.is_empty()
        {
            let (outcome, position) = (submission.outcome(), flight.head.position);
            flight.keys.push(KeyRow { lasting, hash, fingerprint, outcome, position });
            self.keys.remember(hash, KnownKey { fingerprint, outcome, position: None });
        }
        Ok(Decided { rows, rejected: decision.rejected })
    }

    /// The account that an event of `stream` belongs to.
    fn account_of(&self, stream: StreamId) -> Option<AccountId> {
        match stream {
            StreamId::Account(account) | StreamId::Position(account, _) => Some(account),
            StreamId::Order(id) => self.memory.order(id)?.spec().map(|spec| spec.account_id),
            StreamId::Instrument(_) | StreamId::Writer(_) => None,
        }
    }

    fn metadata(&self, origin: &Origin, command: CommandId) -> String {
        Metadata {
            tenant: origin.tenant.to_string(),
            actor: origin.actor.to_string(),
            token: &origin.token,
            interface: origin.interface,
            request: origin.request.to_string(),
            command: command.to_string(),
            causation: &origin.causation,
            epoch: self.epoch.to_string(),
        }
        .text()
    }

    /// The batch is durable: gives the answers, and its events in order for the engine.
    pub fn committed(&mut self) -> (Vec<Reply<T>>, Vec<Arc<CommittedEvent>>) {
        let Some(flight) = self.flight.take() else { return (Vec::new(), Vec::new()) };
        for key in &flight.keys {
            self.keys.settle(key.hash, key.position);
        }
        if !flight.events.is_empty() {
            self.recorded_epoch = flight.epoch;
        }
        if !flight.events.is_empty() || !flight.tape.is_empty() {
            self.head = flight.head;
        }
        let mut replies = Vec::with_capacity(flight.commands.len());
        for command in flight.commands {
            let outcome = command.outcome();
            let InFlight { member, decided, followers, .. } = command;
            for stream in needs::named(&member.request) {
                self.memory.evict_if_idle(stream);
            }
            let Decided { rows, rejected } = match decided {
                Ok(decided) => decided,
                Err(error) => {
                    replies.push((member.ticket, Err(error)));
                    continue;
                }
            };
            let events = flight.events[rows].to_vec();
            let position = events.last().map_or(self.head.position, |event| event.row.position);
            let copies = followers.into_iter();
            replies.extend(copies.map(|copy| (copy.ticket, Ok(replay(position, outcome)))));
            let committed = Committed { position, outcome, events, rejected, replayed: false };
            replies.push((member.ticket, Ok(committed)));
        }
        for stream in flight.touched {
            self.memory.evict_if_idle(stream);
        }
        (replies, flight.events)
    }

    /// The batch was not written: memory forgets what it touched, and its calls come back to be formed anew. A
    /// command that was in too many such batches is answered with `error`.
    pub fn abandoned(&mut self, error: &LedgerError) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        let Some(flight) = self.flight.take() else { return (Vec::new(), Vec::new()) };
        let mut replies = Vec::new();
        let mut again = Vec::new();
        for mut call in self.scrap(flight) {
            call.members.iter_mut().for_each(|member| member.attempts += 1);
            if call.members.iter().any(|member| member.attempts >= ATTEMPTS) {
                tracing::error!(?error, "a call cannot be appended; it is dropped");
                replies.extend(call.into_tickets().map(|ticket| (ticket, Err(error.clone()))));
            } else {
                again.push(call);
            }
        }
        (replies, again)
    }

    /// Memory forgets what a batch touched; its calls come back as they were.
    fn scrap(&mut self, flight: Flight<T>) -> Vec<Pending<T>> {
        for stream in flight.touched {
            self.memory.evict(stream);
        }
        self.keys.forget(flight.keys.iter().map(|key| key.hash));
        regroup(flight.commands)
    }

    /// Everyone who waits is told: what is in a batch under way may have happened, what waits for a load has not.
    pub fn dissolve(mut self) -> Vec<Reply<T>> {
        let flight = self.flight.take().map_or_else(Vec::new, |flight| regroup(flight.commands));
        let told = |calls: Vec<Pending<T>>, error: LedgerError| {
            let tickets = calls.into_iter().flat_map(Pending::into_tickets);
            tickets.map(|ticket| (ticket, Err(error.clone()))).collect::<Vec<_>>()
        };
        let mut replies = told(flight, LedgerError::OutcomeUnknown);
        let parked = self.parked.into_values().flatten().collect();
        replies.extend(told(parked, LedgerError::NotWriter { owner_url: None }));
        replies
    }

    /// What settling the answer to `batch` means for it. Takes over the epoch that the log has given.
    pub fn settled(&mut self, settled: &Settled, batch: &Batch) -> Settlement {
        let Settled::Mine { epoch, position, tape_place } = *settled else {
            return Settlement::Fenced;
        };
        self.epoch = epoch;
        let reached = (position, tape_place);
        if reached == (batch.head.position, batch.head.tape_place) {
            Settlement::Committed
        } else if reached == (batch.expected_position, batch.expected_tape_place) {
            Settlement::Abandoned
        } else {
            let fault = format!("the head is at {reached:?} after a batch that ended elsewhere");
            Settlement::Corrupt(fault)
        }
    }

    /// Takes in what was loaded, and gives the calls that waited for it.
    ///
    /// # Panics
    /// If a batch is under way: what is loaded beside it may be older than what it wrote.
    pub fn loaded(
        &mut self,
        unit: LoadUnit,
        loaded: Result<Loaded, LogFault>,
    ) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        assert!(self.flight.is_none(), "what is loaded is taken in between two batches");
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
            for stream in members.flat_map(|member| needs::named(&member.request)) {
                self.memory.evict_if_idle(stream);
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
    pub fn known(&mut self, keys: &[KeyRow]) {
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
    fn outcome(&self) -> Uuid {
        match &self.member.request {
            Request::Command(submission) => submission.outcome(),
            Request::Append { origin, .. } => origin.request.uuid(),
            Request::Tape(_) => Uuid::nil(),
        }
    }
}

/// Whether a block of the tape begins where the head ends.
fn follows(block: &super::submission::TapeBlock, head: &Head) -> Result<(), Refusal> {
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

fn replay(position: u64, outcome: Uuid) -> Committed {
    Committed { position, outcome, events: Vec::new(), rejected: None, replayed: true }
}
