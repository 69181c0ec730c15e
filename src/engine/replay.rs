//! Runs the engine again over log and tape, and holds what it does against what the log says that it did.
//!
//! Every line is worked anew and every order that arrived evaluated anew. What the engine proposes is decided anew, on
//! the aggregates as the events before made them, and has to come to the events of the log: the same streams, types and
//! payloads, to the byte. So nothing is in the log that the engine would not do, and nothing is missing that it would.
//! What came from elsewhere, orders and cancels, is taken as it stands. What the engine knew of it when it made a proposal
//! stands beside what came of that ([`causation`]), so a proposal which came too late then comes too late again.
//!
//! Reads log and tape once, from their start: no checkpoint, snapshot or view has a part in it. Keeps accounts,
//! positions, open orders and those with exits in memory.

use std::collections::VecDeque;
use std::fmt;

use aggregates::id::{ActorId, ENGINE};
use aggregates::market::TapePlace;
use aggregates::order::{CancelReason, Order, OrderClass, OrderEvent};
use aggregates::rules::{FeeSchedule, Rules};
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{Command, Undecided, World, decide};
use projections::log::{LogError, Recorded};
use serde::{Deserialize, Serialize};

use super::core::{Core, EngineState, Settings};
use super::history::{Past, RecoveryError};
use super::tape::{TapeLine, decode};
use crate::ledger::world::Memory;

/// Differences that are kept; all are counted.
pub const KEPT: usize = 20;
/// Events that are read ahead at the least: what the engine writes follows what it knew of by far fewer.
const AHEAD: usize = 5_000;
/// Rounds that one line may cause: a core that proposes for ever is a defect.
const ROUNDS: u32 = 1_000_000;

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The rules that it was run by: they have to be those of the server.
    pub rules: Rules,
    /// The last event of the log.
    pub position: u64,
    /// The last line of the tape.
    pub place: TapePlace,
    /// Commands of the engine that the log has.
    pub commands: u64,
    /// Orders that the engine triggered.
    pub triggers: u64,
    /// Fills.
    pub fills: u64,
    /// Orders that it ended since what was to happen to them could not be decided then, for a defect. Nobody can tell
    /// afterwards that it could not.
    pub given_up: u64,
    /// What the engine had not yet written when log and tape were read.
    pub under_way: usize,
    /// How often replay and log differ.
    pub differing: u64,
    /// The first of these, [`KEPT`] at the most.
    pub differences: Vec<Difference>,
}

/// Where the log is not what the engine does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The event of the log, or the last one before what is missing.
    pub position: u64,
    /// The line that was worked last.
    pub place: TapePlace,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.differing == 0 { "the same" } else { "not the same" };
        writeln!(f, "replay        {verdict}")?;
        let Rules { collar, fees } = &self.rules;
        let FeeSchedule { per_fill, per_share, per_contract } = fees;
        writeln!(
            f,
            "rules         fees of {per_fill} a fill, {per_share} a share, {per_contract} a contract; collar {collar}"
        )?;
        for (name, count) in [
            ("events", self.position),
            ("lines", self.place),
            ("commands", self.commands),
            ("triggers", self.triggers),
            ("fills", self.fills),
            ("given up", self.given_up),
            ("under way", self.under_way as u64),
            ("differences", self.differing),
        ] {
            writeln!(f, "{name:<14}{count}")?;
        }
        for Difference { position, place, what } in &self.differences {
            writeln!(f, "position {position}, line {place}: {what}")?;
        }
        Ok(())
    }
}

/// What made a command of the engine necessary, for the metadata of its events: the line that it works, and the last
/// event that it knew of.
pub fn causation(place: TapePlace, position: u64) -> String {
    format!("tape/{place}/log/{position}")
}

/// The position in a [`causation`]; `None` in one of a time when there was none.
fn known_then(causation: &str) -> Option<u64> {
    causation.rsplit_once("/log/")?.1.parse().ok()
}

/// A row of the log, read.
struct Read {
    row: Recorded,
    event: Event,
}

/// The part of an event's metadata that tells which command it came from.
#[derive(Deserialize)]
struct Cause {
    command: String,
    actor: ActorId,
    causation: String,
}

impl Cause {
    fn of(row: &Recorded) -> Result<Self, RecoveryError> {
        let position = row.position;
        serde_json::from_str(&row.metadata)
            .map_err(|source| RecoveryError::Metadata { position, reason: source.to_string() })
    }

    /// The ledger says in the engine's name who took over.
    fn is_engine(&self, row: &Recorded) -> bool {
        self.actor == ENGINE && !matches!(row.stream, StreamId::Writer(_))
    }
}

/// What one command wrote.
struct Group {
    by_engine: bool,
    rows: Vec<Read>,
}

/// The log, command by command.
struct Commands<'a, P> {
    past: &'a P,
    waiting: VecDeque<(Recorded, Cause)>,
    /// The last event that was read.
    read: u64,
    /// There is nothing after it.
    ended: bool,
    /// The next event of the engine among those that wait, and what the engine knew of when it proposed it.
    ahead: Option<(u64, Option<u64>)>,
    /// Up to where it was looked for.
    looked: u64,
}

impl<'a, P: Past> Commands<'a, P> {
    fn of(past: &'a P) -> Self {
        let waiting = VecDeque::new();
        Self { past, waiting, read: 0, ended: false, ahead: None, looked: 0 }
    }

    async fn fill(&mut self) -> Result<(), RecoveryError> {
        if self.waiting.len() < AHEAD && !self.ended {
            let page = self.past.events(self.read).await?;
            self.ended = page.is_empty();
            self.read = page.last().map_or(self.read, |row| row.position);
            for row in page {
                let cause = Cause::of(&row)?;
                self.waiting.push_back((row, cause));
            }
        }
        Ok(())
    }

    /// What the engine knew of when it proposed what it writes next, if that stands at `last` or before.
    async fn proposed_at(&mut self, last: u64) -> Result<Option<u64>, RecoveryError> {
        self.fill().await?;
        let front = self.waiting.front().map_or(u64::MAX, |(row, _)| row.position);
        if self.ahead.is_none_or(|(position, _)| position < front) {
            let looked = self.waiting.partition_point(|(row, _)| row.position <= self.looked);
            let mut unseen = self.waiting.iter().skip(looked);
            let next = unseen.find(|(row, cause)| cause.is_engine(row));
            self.ahead = next.map(|(row, cause)| (row.position, known_then(&cause.causation)));
            self.looked = self.ahead.map_or(self.read, |(position, _)| position);
        }
        Ok(self.ahead.filter(|(position, _)| *position <= last).and_then(|(_, known)| known))
    }

    /// The next command's events, if the first of them stands at `last` or before.
    async fn next(&mut self, last: u64) -> Result<Option<Group>, RecoveryError> {
        self.fill().await?;
        if self.waiting.front().is_none_or(|(row, _)| row.position > last) {
            return Ok(None);
        }
        let mut group: Option<(Cause, Group)> = None;
        loop {
            self.fill().await?;
            let of = group.as_ref().map(|(of, _)| &of.command);
            let follows = |(_, cause): &(Recorded, Cause)| of.is_none_or(|of| *of == cause.command);
            if !self.waiting.front().is_some_and(follows) {
                return Ok(group.map(|(_, group)| group));
            }
            let Some((row, cause)) = self.waiting.pop_front() else { return Ok(None) };
            let event = row
                .event()
                .map_err(|source| LogError::Unreadable { position: row.position, source })?;
            let by_engine = cause.is_engine(&row);
            let (_, group) =
                group.get_or_insert_with(|| (cause, Group { by_engine, rows: Vec::new() }));
            group.rows.push(Read { row, event });
        }
    }
}

/// The engine and the aggregates that its proposals are decided on.
struct Machine<'a> {
    core: Core,
    world: Memory,
    rules: &'a Rules,
    /// What was proposed and is not yet found in the log.
    proposed: Vec<Command>,
    /// What the engine knew of when it proposed that.
    known: Option<u64>,
    /// Orders that something has happened to.
    touched: Vec<StreamId>,
    replayed: Replayed,
}

/// Replays the whole of log and tape. `settings` are those of a tape that says nothing; `rules` have to be those that
/// the log was written by. `told` is called after each block of the tape, with the place that was reached.
///
/// # Errors
/// Log or tape cannot be read. A log that differs is a result.
pub async fn replay<P: Past>(
    past: &P,
    settings: Settings,
    rules: &Rules,
    mut told: impl FnMut(TapePlace),
) -> Result<Replayed, RecoveryError> {
    let mut machine = Machine {
        core: Core::new(settings, EngineState::default()),
        world: Memory::default(),
        rules,
        proposed: Vec::new(),
        known: None,
        touched: Vec::new(),
        replayed: Replayed { rules: rules.clone(), ..Replayed::default() },
    };
    let mut commands = Commands::of(past);
    loop {
        let blocks = past.blocks(machine.core.state().place).await?;
        if blocks.is_empty() {
            break;
        }
        for block in &blocks {
            for line in decode(block)? {
                machine.take_all(&mut commands, line.after).await?;
                // How prices stand is written before the orders are evaluated that arrived.
                machine.finish(line.stood.is_none())?;
                machine.line(line)?;
            }
            told(machine.core.state().place);
        }
    }
    machine.take_all(&mut commands, u64::MAX).await?;
    Ok(machine.end())
}

impl Machine<'_> {
    /// Works a line; all that the one before caused is done.
    fn line(&mut self, line: TapeLine) -> Result<(), RecoveryError> {
        let TapeLine { place, source, by, stood, tick, .. } = line;
        if let Some(by) = by {
            self.core.work_again_by(by);
        }
        let at = match stood {
            Some(stood) => self.core.stand(&source, &tick, &stood),
            None => {
                let (at, proposed) = self.core.line_anew(&source, &tick);
                self.known = Some(self.core.state().position).filter(|_| !proposed.is_empty());
                self.proposed = proposed;
                at
            }
        };
        if at == place { Ok(()) } else { Err(RecoveryError::Gap(place)) }
    }

    /// Takes in what was written up to a position of the log.
    async fn take_all<P: Past>(
        &mut self,
        commands: &mut Commands<'_, P>,
        last: u64,
    ) -> Result<(), RecoveryError> {
        loop {
            // What was proposed before and has not come by now came too late.
            if let Some(known) = commands.proposed_at(last).await?
                && self.known != Some(known)
                && self.core.state().position >= known
            {
                self.known = Some(known);
                // What would be carried out now and was not then met a fault, and the engine started anew: it has forgotten
                // what it had tried.
                let (world, rules) = (&mut self.world, self.rules);
                if self.proposed.iter().any(|it| outcome(world, rules, it).is_some()) {
                    self.core.retry();
                }
                self.propose(true);
            }
            let Some(group) = commands.next(last).await? else { return Ok(()) };
            self.take(&group)?;
        }
    }

    /// Takes in what a command wrote; the engine's own has to be what it proposes.
    fn take(&mut self, group: &Group) -> Result<(), RecoveryError> {
        if group.by_engine {
            self.compare(group);
            self.replayed.commands += 1;
        }
        for Read { row, event } in &group.rows {
            if !matches!(row.stream, StreamId::User(_) | StreamId::Writer(_)) {
                self.world.evolve(row.stream, event).map_err(|impossible| {
                    RecoveryError::Impossible { position: row.position, reason: impossible.0 }
                })?;
            }
            match row.event_type.as_str() {
                "OrderTriggered" => self.replayed.triggers += 1,
                "OrderFilled" => self.replayed.fills += 1,
                _ => {}
            }
            self.core.observe(row.position, row.tenant_id, row.stream, event);
        }
        let orders = group.rows.iter().map(|read| read.row.stream);
        self.touched.extend(orders.filter(|stream| matches!(stream, StreamId::Order(_))));
        Ok(())
    }

    /// Finds the proposal that a command of the engine in the log is, or in place of which it ended an order.
    fn compare(&mut self, group: &Group) {
        let given_up = group.rows.iter().any(|read| is_end_for_a_defect(&read.event));
        let mut nearest = None;
        loop {
            let mut stands = false;
            for (n, command) in self.proposed.iter().enumerate() {
                let end = self.core.instead_of(command).filter(|_| given_up);
                let end = end.and_then(|end| outcome(&mut self.world, self.rules, &end));
                if end.is_some_and(|end| differs(&group.rows, &end).is_none()) {
                    self.proposed.remove(n);
                    self.replayed.given_up += 1;
                    return;
                }
                let Some(events) = outcome(&mut self.world, self.rules, command) else { continue };
                stands = true;
                match differs(&group.rows, &events) {
                    None => {
                        self.proposed.remove(n);
                        return;
                    }
                    Some(what) if events.iter().any(|(stream, _)| is_of(group, *stream)) => {
                        nearest.get_or_insert((n, what));
                    }
                    Some(_) => {}
                }
            }
            // While one of them would still be carried out, the engine proposes nothing else.
            if stands || !self.propose(true) {
                break;
            }
        }
        let what = match nearest {
            Some((n, what)) => {
                self.proposed.remove(n);
                what
            }
            None => {
                let types = group.rows.iter().map(|read| read.row.event_type.as_str());
                format!(
                    "the log has {} of the engine, which it would not write here",
                    types.collect::<Vec<_>>().join(", ")
                )
            }
        };
        let position = group.rows.first().map_or(0, |read| read.row.position);
        self.differ(position, what);
    }

    /// What the engine proposes next, of orders that arrived too or not, when all before is done; false when it has
    /// nothing more to do.
    fn propose(&mut self, arrivals: bool) -> bool {
        self.proposed = self.core.again();
        if arrivals && self.proposed.is_empty() {
            self.proposed = self.core.arrivals();
        }
        !self.proposed.is_empty()
    }

    /// Ends the line at hand: what it, or an arrival, still causes should have been in the log before the next one.
    fn finish(&mut self, arrivals: bool) -> Result<(), RecoveryError> {
        for _ in 0..ROUNDS {
            for command in std::mem::take(&mut self.proposed) {
                let Some(events) = outcome(&mut self.world, self.rules, &command) else { continue };
                let types = events.iter().map(|(_, event)| event.event_type());
                let what = format!(
                    "the engine would write {} here, and the log has it not",
                    types.collect::<Vec<_>>().join(", ")
                );
                self.differ(self.core.state().position, what);
            }
            if !self.propose(arrivals) {
                self.forget_ended();
                return Ok(());
            }
        }
        Err(RecoveryError::Endless(self.core.state().place))
    }

    /// Forgets orders that have ended: what is proposed from now on names them no more, but as the entry of exits.
    fn forget_ended(&mut self) {
        for stream in std::mem::take(&mut self.touched) {
            if let StreamId::Order(order_id) = stream
                && let Some(spec) = self.world.order(order_id).and_then(Order::spec)
                && matches!(spec.order_class, OrderClass::Simple | OrderClass::Mleg)
            {
                self.world.evict_if_idle(stream);
            }
        }
    }

    fn differ(&mut self, position: u64, what: String) {
        let place = self.core.state().place;
        self.replayed.differing += 1;
        if self.replayed.differences.len() < KEPT {
            self.replayed.differences.push(Difference { position, place, what });
        }
    }

    fn end(mut self) -> Replayed {
        if self.proposed.is_empty() {
            self.propose(true);
        }
        let (world, rules) = (&mut self.world, self.rules);
        let open = self.proposed.iter().filter(|it| outcome(world, rules, it).is_some());
        self.replayed.under_way = open.count();
        (self.replayed.position, self.replayed.place) =
            (self.core.state().position, self.core.state().place);
        self.replayed
    }
}

/// What a command comes to as things stand; `None` if it is refused.
fn outcome(world: &mut Memory, rules: &Rules, command: &Command) -> Option<Vec<(StreamId, Event)>> {
    loop {
        match decide(world, command, rules) {
            Ok(decision) => return Some(decision.events).filter(|events| !events.is_empty()),
            // Orders leave when they have ended.
            Err(Undecided::Absent(StreamId::Order(_)) | Undecided::Refused(_)) => return None,
            Err(Undecided::Absent(stream)) => world.begin(stream),
        }
    }
}

fn is_end_for_a_defect(event: &Event) -> bool {
    matches!(event, Event::Order(OrderEvent::OrderCanceled { reason: CancelReason::Defect, .. }))
}

fn is_of(group: &Group, stream: StreamId) -> bool {
    group.rows.iter().any(|read| read.row.stream == stream)
}

/// How rows are not these events. Bytes are compared where they are of the same version; an older one is compared by
/// what it says.
fn differs(rows: &[Read], events: &[(StreamId, Event)]) -> Option<String> {
    let types = |types: Vec<String>| types.join(", ");
    let written = || rows.iter().map(|read| read.row.event_type.clone()).collect();
    if rows.len() != events.len() {
        let would = events.iter().map(|(_, event)| event.event_type()).collect();
        return Some(format!("the log has {} where {} belong", types(written()), types(would)));
    }
    for (Read { row, event: stored }, (stream, event)) in rows.iter().zip(events) {
        let payload = event.payload().unwrap_or_default();
        let same = row.stream == *stream
            && row.event_type == event.event_type()
            && if row.event_version == event.event_version() {
                row.payload == payload
            } else {
                stored == event
            };
        if !same {
            return Some(format!(
                "the log has {} {} in {} where {} {payload} in {stream} belongs",
                row.event_type,
                row.payload,
                row.stream,
                event.event_type()
            ));
        }
    }
    None
}
