//! The Sequencer: gives every event its place in one order, and decides every command on the aggregates in memory.
//!
//! A step machine without I/O: [`Sequencer::form`] turns waiting commands into one [`Batch`], the driver appends it,
//! and one of [`Sequencer::committed`] or [`Sequencer::abandoned`] follows. The runtime drives it over Postgres, the
//! simulation over a log that fails on purpose.
//!
//! What it guarantees:
//! - Each command is decided on the state that all commands before it left, in this batch or an earlier one.
//! - Decisions change nothing until all of a command is decided, so a refusal leaves no trace. Events are applied
//!   to memory as the batch forms; if the batch does not commit, every stream that it touched is forgotten and
//!   loaded again, so memory never holds what the log does not.
//! - A key acts once: a known key is answered, an unknown one goes into the batch, where the log's unique index
//!   decides.
//!
//! What it costs: one append a batch, 5 to 10 microseconds a command to decide and encode.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aggregates::account::AccountCommand;
use aggregates::id::{AccountId, CommandId, ENGINE, MARKET_TENANT, RequestId};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::rules::Rules;
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{self, Command, Undecided, World};
use aggregates::writer::WriterCommand;
use chrono::{DateTime, Utc};
use projections::log::Recorded;
use serde::Serialize;
use uuid::Uuid;

use super::log::{Batch, Head, KeyRow, LoadUnit, LoadedStream, LogFault};
use super::proof;
use super::submission::{
    Committed, CommittedEvent, Interface, Key, LedgerError, Origin, Submission, TapeBlock,
};
use super::world::Memory;

/// Commands in one batch at the most. More only adds latency: see `docs/performance.md`.
pub const BATCH_COMMANDS: usize = 256;
/// Events after which a batch takes no further command.
pub const BATCH_EVENTS: usize = 512;
/// Keys remembered in memory. Older ones are found by the log's unique index.
const REMEMBERED_KEYS: usize = 200_000;
/// How often one command may be in a batch that the log refuses because something is taken.
const ATTEMPTS: u32 = 3;

/// Where random bytes come from: the system, or a seed.
pub trait Entropy: Send {
    /// 16 random bytes.
    fn salt(&mut self) -> [u8; 16];
    /// A fresh id, ordered by time.
    fn uuid(&mut self) -> Uuid;
}

/// What is asked of the Sequencer. `T` finds the caller again.
#[derive(Debug)]
pub struct Pending<T> {
    /// What to do.
    pub request: Request,
    /// Whom to answer.
    pub ticket: T,
    attempts: u32,
}

/// One thing that is decided as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A command.
    Command(Box<Submission>),
    /// Events that were decided already, to be appended to one stream if it has `expected` events.
    Append {
        /// On whose behalf.
        origin: Origin,
        /// The stream.
        stream: StreamId,
        /// The sequence of its last event as the caller knows it.
        expected: u64,
        /// The events.
        events: Vec<Event>,
    },
    /// Lines of the tape, to be appended in one statement with what they caused.
    Tape {
        /// The lines.
        block: TapeBlock,
        /// How many of the requests that come next they caused.
        caused: usize,
    },
}

impl<T> Pending<T> {
    /// Something new to do.
    pub fn new(request: Request, ticket: T) -> Self {
        Self { request, ticket, attempts: 0 }
    }
}

/// An answer for a caller.
pub type Reply<T> = (T, Result<Committed, LedgerError>);

/// What forming a batch came to.
#[derive(Debug)]
pub struct Formed<T> {
    /// What to append, if anything.
    pub batch: Option<Batch>,
    /// What can be answered without an append: replays and refusals.
    pub replies: Vec<Reply<T>>,
    /// What has to be loaded; the commands that need it wait.
    pub loads: Vec<LoadUnit>,
}

/// A key that was seen.
#[derive(Clone, Copy, Debug)]
struct KnownKey {
    fingerprint: i64,
    outcome: Uuid,
    /// `None` while its batch is not yet committed.
    position: Option<u64>,
}

/// The answer to a key that was seen before.
enum KeyAnswer {
    /// Right away.
    Now(Result<Committed, LedgerError>),
    /// Together with this command of the batch.
    With(usize),
}

/// A command in the batch under way. A refusal waits with the others: it stands on what they did, and is decided
/// again if they do not commit.
#[derive(Debug)]
struct InFlight<T> {
    pending: Pending<T>,
    decided: Result<Decided, LedgerError>,
    /// Copies of the same command under the same key, answered as replays of it.
    followers: Vec<T>,
}

/// What a command in the batch came to.
#[derive(Debug)]
struct Decided {
    /// The rows of its events: a range of the batch.
    rows: Range<usize>,
    rejected: Option<Refusal>,
}

/// The batch under way.
#[derive(Debug)]
struct Flight<T> {
    commands: Vec<InFlight<T>>,
    events: Vec<Arc<CommittedEvent>>,
    head: Head,
    touched: Vec<StreamId>,
    keys: Vec<KeyRow>,
    tape: Vec<TapeBlock>,
}

/// The Sequencer of one shard.
pub struct Sequencer<T> {
    shard: u16,
    epoch: u64,
    head: Head,
    memory: Memory,
    rules: Rules,
    entropy: Box<dyn Entropy>,
    keys: HashMap<Uuid, KnownKey>,
    key_order: VecDeque<Uuid>,
    parked: HashMap<LoadUnit, Vec<Pending<T>>>,
    flight: Option<Flight<T>>,
}

/// The metadata of an event: strings all, in this order.
#[derive(Serialize)]
struct Metadata<'a> {
    tenant: String,
    actor: String,
    token: &'a str,
    interface: Interface,
    request: String,
    command: String,
    causation: &'a str,
    epoch: String,
}

impl<T> Sequencer<T> {
    /// A Sequencer that goes on from `head` under `epoch`.
    pub fn new(
        shard: u16,
        epoch: u64,
        head: Head,
        rules: Rules,
        entropy: Box<dyn Entropy>,
    ) -> Self {
        Self {
            shard,
            epoch,
            head,
            memory: Memory::default(),
            rules,
            entropy,
            keys: HashMap::new(),
            key_order: VecDeque::new(),
            parked: HashMap::new(),
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

    /// The number of commands that wait for a load.
    pub fn parked(&self) -> usize {
        self.parked.values().map(Vec::len).sum()
    }

    /// The command that records a take-over: the first of every epoch.
    pub fn take_over(&mut self, key_name: &str, public_key: &str) -> Request {
        Request::Command(Box::new(Submission {
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
                    key_name: key_name.to_owned(),
                    public_key: public_key.to_owned(),
                },
            },
            key: None,
        }))
    }

    /// Decides `waiting` in order and forms the batch of what they make happen.
    ///
    /// # Panics
    /// If the batch before has neither been committed nor abandoned.
    pub fn form(&mut self, waiting: Vec<Pending<T>>, now: DateTime<Utc>) -> Formed<T> {
        assert!(self.flight.is_none(), "one batch at a time is under way");
        let mut formed = Formed { batch: None, replies: Vec::new(), loads: Vec::new() };
        let mut queue = VecDeque::from(waiting);
        let mut flight = self.take_off(now, queue.len());
        while let Some(pending) = queue.pop_front() {
            let caused = match &pending.request {
                Request::Tape { caused, .. } => (*caused).min(queue.len()),
                Request::Command(_) | Request::Append { .. } => 0,
            };
            if let Some(unit) = queue.iter().take(caused).find_map(|next| self.lacks(&next.request))
            {
                let together = std::iter::once(pending).chain(queue.drain(..caused)).collect();
                self.park(unit, together, &mut formed);
                continue;
            }
            if let Err(offender) = self.take(pending, &mut flight, &mut formed) {
                // A defect: what is in memory cannot be trusted, so the batch is formed anew without the offender.
                formed.replies.push((offender, Err(LedgerError::Defect)));
                self.flight = Some(flight);
                let (replies, again) = self.abandoned();
                formed.replies.extend(replies);
                queue = again.into_iter().chain(queue).collect();
                flight = self.take_off(now, queue.len());
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
            commands: Vec::with_capacity(commands),
            events: Vec::with_capacity(commands * 3),
            head,
            touched: Vec::new(),
            keys: Vec::new(),
            tape: Vec::new(),
        }
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

    fn park(&mut self, unit: LoadUnit, pendings: Vec<Pending<T>>, formed: &mut Formed<T>) {
        let waiting = self.parked.entry(unit).or_default();
        if waiting.is_empty() {
            formed.loads.push(unit);
        }
        waiting.extend(pendings);
    }

    /// What has to be loaded before a command of the engine can be decided: lines and what they caused are
    /// appended together, so none of it may wait alone.
    fn lacks(&self, request: &Request) -> Option<LoadUnit> {
        let Request::Command(submission) = request else { return None };
        let (memory, stream) = (&self.memory, LoadUnit::Stream);
        let order = |id| match memory.order(id) {
            None => Some(stream(StreamId::Order(id))),
            Some(order) => {
                let account = order.spec()?.account_id;
                memory.account(account).is_none().then_some(LoadUnit::Account(account))
            }
        };
        let account = |id| memory.account(id).is_none().then_some(LoadUnit::Account(id));
        let instrument =
            |id| memory.instrument(id).is_none().then_some(stream(StreamId::Instrument(id)));
        match &submission.command {
            Command::Fill { order_id, .. }
            | Command::Expire { order_id, .. }
            | Command::Cancel { order_id, .. } => order(*order_id),
            Command::FollowSplit { account_id, instrument_id, orders, .. } => account(*account_id)
                .or_else(|| instrument(*instrument_id))
                .or_else(|| orders.iter().find_map(|id| order(*id))),
            Command::AccrueDividend { account_id, instrument_id, .. }
            | Command::PayDividend { account_id, instrument_id, .. } => {
                account(*account_id).or_else(|| instrument(*instrument_id))
            }
            Command::Place { spec, .. } => {
                account(spec.account_id).or_else(|| instrument(spec.instrument_id))
            }
            Command::Account { account_id, .. } => account(*account_id),
            Command::Instrument { instrument_id, .. } => instrument(*instrument_id),
            Command::Writer { .. } => None,
        }
    }

    /// Decides one request and adds what it makes happen to the batch. `Err` is a defect of this one's.
    fn take(
        &mut self,
        pending: Pending<T>,
        flight: &mut Flight<T>,
        formed: &mut Formed<T>,
    ) -> Result<(), T> {
        let decided = match &pending.request {
            Request::Tape { block, .. } => {
                if block.first_place != flight.head.tape_place + 1
                    || block.last_place < block.first_place
                {
                    return Err(pending.ticket);
                }
                flight.head.tape_place = block.last_place;
                flight.tape.push(block.clone());
                Ok(trading::Decision::default())
            }
            Request::Append { stream, expected, events, .. } => match self.memory.sequence(*stream)
            {
                None => Err(Undecided::Absent(*stream)),
                Some(sequence) if sequence != *expected => {
                    let message = format!("{stream} has {sequence} events, not {expected}");
                    Err(Refusal::new(RefusalCode::OrderChanged, message).into())
                }
                Some(_) => Ok(trading::Decision {
                    events: events.iter().map(|event| (*stream, event.clone())).collect(),
                    rejected: None,
                }),
            },
            Request::Command(submission) => {
                if let Some(answered) = self.known_key(submission, flight) {
                    match answered {
                        KeyAnswer::Now(answer) => formed.replies.push((pending.ticket, answer)),
                        KeyAnswer::With(first) => {
                            flight.commands[first].followers.push(pending.ticket)
                        }
                    }
                    return Ok(());
                }
                if pending.attempts == 0 {
                    self.begin_fresh(&submission.command);
                }
                let (memory, rules) = (&self.memory, &self.rules);
                match catch_unwind(AssertUnwindSafe(|| {
                    trading::decide(memory, &submission.command, rules)
                })) {
                    Ok(decided) => decided,
                    Err(_) => {
                        tracing::error!(command = ?submission.command, "a decision panicked; its command is dropped");
                        formed.replies.push((pending.ticket, Err(LedgerError::Defect)));
                        return Ok(());
                    }
                }
            }
        };
        let decided = match decided {
            Ok(decision) => match self.write(&pending.request, decision, flight) {
                Ok(decided) => Ok(decided),
                Err(error) => {
                    tracing::error!(request = ?pending.request, error, "a decided event cannot be written");
                    return Err(pending.ticket);
                }
            },
            Err(Undecided::Refused(refusal)) => Err(refusal.into()),
            Err(Undecided::Absent(stream)) => {
                self.park(LoadUnit::of(stream), vec![pending], formed);
                return Ok(());
            }
        };
        flight.commands.push(InFlight { pending, decided, followers: Vec::new() });
        Ok(())
    }

    /// The answer to a command whose key was seen before; `None` for a new key.
    fn known_key(&self, submission: &Submission, flight: &Flight<T>) -> Option<KeyAnswer> {
        let key = submission.key?;
        let known = self.keys.get(&key.hash)?;
        if known.fingerprint != key.fingerprint {
            let message = "the key was used for another request: use a new key, or send the first request again as \
                           it was";
            return Some(KeyAnswer::Now(Err(Refusal::new(RefusalCode::KeyReused, message).into())));
        }
        if let Some(position) = known.position {
            return Some(KeyAnswer::Now(Ok(replay(position, known.outcome))));
        }
        let first = flight.commands.iter().position(
            |first| matches!(&first.pending.request, Request::Command(s) if s.outcome() == known.outcome),
        );
        Some(first.map_or(KeyAnswer::Now(Err(LedgerError::Defect)), KeyAnswer::With))
    }

    /// Ids that come fresh with the command have no events: nothing needs to be loaded for them.
    fn begin_fresh(&mut self, command: &Command) {
        match command {
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
        decision: trading::Decision,
        flight: &mut Flight<T>,
    ) -> Result<Decided, String> {
        let (origin, command_id) = match request {
            Request::Command(submission) => (&submission.origin, submission.command_id),
            Request::Append { origin, .. } => (origin, CommandId::new(origin.request.uuid())),
            Request::Tape { .. } => {
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
        if let Request::Command(submission) = request
            && let Some(Key { lasting, hash, fingerprint }) = submission.key
        {
            let outcome = submission.outcome();
            flight.keys.push(KeyRow {
                lasting,
                hash,
                fingerprint,
                outcome,
                position: flight.head.position,
            });
            self.remember(hash, KnownKey { fingerprint, outcome, position: None });
        }
        Ok(Decided { rows: first..flight.events.len(), rejected: decision.rejected })
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
        serde_json::to_string(&Metadata {
            tenant: origin.tenant.to_string(),
            actor: origin.actor.to_string(),
            token: &origin.token,
            interface: origin.interface,
            request: origin.request.to_string(),
            command: command.to_string(),
            causation: &origin.causation,
            epoch: self.epoch.to_string(),
        })
        .expect("strings always serialize")
    }

    /// The batch is durable: gives the answers, and its events in order for the engine.
    pub fn committed(&mut self) -> (Vec<Reply<T>>, Vec<Arc<CommittedEvent>>) {
        let Some(flight) = self.flight.take() else { return (Vec::new(), Vec::new()) };
        for key in &flight.keys {
            if let Some(known) = self.keys.get_mut(&key.hash) {
                known.position = Some(key.position);
            }
        }
        self.head = flight.head;
        let mut replies = Vec::with_capacity(flight.commands.len());
        for InFlight { pending, decided, followers } in flight.commands {
            let Decided { rows, rejected } = match decided {
                Ok(decided) => decided,
                Err(error) => {
                    replies.push((pending.ticket, Err(error)));
                    continue;
                }
            };
            let events = flight.events[rows].to_vec();
            let position = events.last().map_or(self.head.position, |event| event.row.position);
            let outcome = match &pending.request {
                Request::Command(submission) => submission.outcome(),
                Request::Append { origin, .. } => origin.request.uuid(),
                Request::Tape { .. } => Uuid::nil(),
            };
            replies.extend(
                followers.into_iter().map(|follower| (follower, Ok(replay(position, outcome)))),
            );
            replies.push((
                pending.ticket,
                Ok(Committed { position, outcome, events, rejected, replayed: false }),
            ));
        }
        for stream in flight.touched {
            self.memory.evict_if_ended(stream);
        }
        (replies, flight.events)
    }

    /// The batch was not written: memory forgets what it touched, and its commands come back to be formed anew.
    /// A command that was in too many such batches is answered as a defect.
    pub fn abandoned(&mut self) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        let Some(flight) = self.flight.take() else { return (Vec::new(), Vec::new()) };
        for stream in flight.touched {
            self.memory.evict(stream);
        }
        for key in &flight.keys {
            self.keys.remove(&key.hash);
        }
        let mut replies = Vec::new();
        let mut again = Vec::new();
        for mut command in flight.commands {
            command.pending.attempts += 1;
            let request = command.pending.request.clone();
            if command.pending.attempts >= ATTEMPTS {
                tracing::error!(request = ?command.pending.request, "a command cannot be appended; it is dropped");
                replies.push((command.pending.ticket, Err(LedgerError::Defect)));
            } else {
                again.push(command.pending);
            }
            // Copies are commands of their own again: the first may come out differently now.
            again.extend(
                command.followers.into_iter().map(|ticket| Pending::new(request.clone(), ticket)),
            );
        }
        (replies, again)
    }

    /// Everyone who waits is told `error`: the Sequencer steps down.
    pub fn dissolve(mut self, error: &LedgerError) -> Vec<Reply<T>> {
        let flight = self.flight.take();
        let in_flight = flight
            .into_iter()
            .flat_map(|flight| flight.commands)
            .flat_map(|command| std::iter::once(command.pending.ticket).chain(command.followers));
        let parked = self.parked.into_values().flatten().map(|pending| pending.ticket);
        in_flight.chain(parked).map(|ticket| (ticket, Err(error.clone()))).collect()
    }

    /// Takes over the epoch that settling a lost answer has given.
    pub fn fenced(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Takes in what was loaded, and gives the commands that waited for it.
    pub fn loaded(
        &mut self,
        unit: LoadUnit,
        streams: Result<Vec<LoadedStream>, LogFault>,
    ) -> (Vec<Reply<T>>, Vec<Pending<T>>) {
        let waiting = self.parked.remove(&unit).unwrap_or_default();
        match streams.and_then(|streams| self.memory.install(unit, streams)) {
            Ok(()) => (Vec::new(), waiting),
            Err(fault) => {
                tracing::error!(?unit, %fault, "a stream cannot be loaded");
                let error = match fault {
                    LogFault::Corrupt(_) => LedgerError::Defect,
                    LogFault::AnswerLost(_) | LogFault::Failed(_) => LedgerError::Unavailable,
                };
                (
                    waiting
                        .into_iter()
                        .map(|pending| (pending.ticket, Err(error.clone())))
                        .collect(),
                    Vec::new(),
                )
            }
        }
    }

    /// Takes in keys that the log has.
    pub fn known(&mut self, keys: &[KeyRow]) {
        for key in keys {
            let KeyRow { hash, fingerprint, outcome, position, .. } = *key;
            self.remember(hash, KnownKey { fingerprint, outcome, position: Some(position) });
        }
    }

    /// The keys of the batch under way: what to look up when something of it is taken.
    pub fn keys_in_flight(&self) -> Vec<Uuid> {
        self.flight.iter().flat_map(|flight| flight.keys.iter().map(|key| key.hash)).collect()
    }

    fn remember(&mut self, hash: Uuid, known: KnownKey) {
        if self.keys.insert(hash, known).is_none() {
            self.key_order.push_back(hash);
        }
        while self.key_order.len() > REMEMBERED_KEYS {
            if let Some(oldest) = self.key_order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }
}

fn replay(position: u64, outcome: Uuid) -> Committed {
    Committed { position, outcome, events: Vec::new(), rejected: None, replayed: true }
}
