//! The engine itself at work on the simulated log: recovers from log and tape, works random lines, has what it
//! proposes carried out, and starts anew whenever it does not know what became of a proposal.

use std::collections::BTreeSet;
use std::sync::Arc;

use aggregates::id::InstrumentId;
use aggregates::instrument::OptionTerms;
use aggregates::market::TapePlace;
use aggregates::rules::Rules;
use aggregates::trading::Command;
use blotter::engine::core::{Core, EngineState, Record, Settings};
use blotter::engine::history::{History, Past, RecoveryError, recover};
use blotter::engine::replay::{Replayed, replay};
use blotter::engine::tape::BlockBuilder;
use blotter::ledger::memory::{Dice, MemoryLog};
use blotter::ledger::{CommittedEvent, TapeBlock};
use blotter::market::calendar::Calendar;
use blotter::market::reading::parse_line;
use blotter::market::tick::Tick;
use futures::FutureExt;
use projections::log::Recorded;

use crate::engine::Proposal;
use crate::lines::Lines;
use crate::market::Board;
use crate::process::Ticket;

/// Log and tape of a store, read at once, and a checkpoint as it was stored.
pub struct MemoryHistory {
    log: MemoryLog,
    kept: Option<String>,
}

impl Past for MemoryHistory {
    async fn events(&self, after: u64) -> Result<Vec<Recorded>, RecoveryError> {
        let store = self.log.store();
        Ok(store.events().iter().skip(after as usize).map(|event| event.row.clone()).collect())
    }

    async fn blocks(&self, after: u64) -> Result<Vec<TapeBlock>, RecoveryError> {
        let store = self.log.store();
        Ok(store.tape().iter().filter(|block| block.last_place > after).cloned().collect())
    }
}

impl History for MemoryHistory {
    async fn checkpoint(&self) -> Result<Option<EngineState>, RecoveryError> {
        Ok(self.kept.as_ref().map(|kept| serde_json::from_str(kept).unwrap()))
    }

    async fn head(&self) -> Result<(u64, TapePlace), RecoveryError> {
        let store = self.log.store();
        let last = store.tape().last().map_or(0, |block| block.last_place);
        Ok((store.events().len() as u64, last))
    }

    async fn keep(&self, _: &EngineState) -> Result<(), RecoveryError> {
        Ok(())
    }
}

/// How the proposals that were sent stand.
pub enum Standing {
    /// Some have no answer yet.
    Waiting,
    /// All were carried out or refused.
    Done,
    /// Of some it is not known.
    Lost,
}

#[derive(Default)]
pub struct Works {
    record: Record,
    core: Option<Core>,
    block: BlockBuilder,
    /// A line that a clock was worked before.
    unfinished: Option<Tick>,
    /// The last checkpoint that was stored.
    kept: Option<String>,
    /// Lines that passed unrecorded.
    pub passed: u64,
    pub sent: BTreeSet<Ticket>,
    lines: Lines,
    /// No more lines come.
    pub quiet: bool,
    /// The last step had nothing to send, and waited for nothing.
    pub idle: bool,
}

fn read(line: &str) -> Result<Tick, String> {
    let tick = parse_line(line.as_bytes(), 1).map_err(|error| format!("{line}: {error}"))?;
    tick.ok_or_else(|| "an empty line".to_owned())
}

fn settings(record: Record) -> Settings {
    Settings { max_quote_age: None, record, ..Settings::new(Calendar::always()) }
}

fn recovered(log: &MemoryLog, record: Record, kept: Option<&str>) -> Result<Core, String> {
    let history = MemoryHistory { log: log.clone(), kept: kept.map(str::to_owned) };
    let core = recover(&history, settings(record)).now_or_never();
    core.expect("memory is ready at once").map_err(|error| format!("the engine: {error}"))
}

impl Works {
    /// An engine that records these lines, of a market with options or without.
    pub fn new(record: Record, options: bool) -> Self {
        Self { record, lines: Lines::new(options), ..Self::default() }
    }

    /// Shows clients what it knows.
    pub fn show(&self, board: &mut Board) {
        if let Some(core) = &self.core {
            board.look(core);
        }
    }

    /// What the engine does, run again over log and tape.
    pub fn run_again<P: Past>(&self, past: &P, rules: &Rules) -> Result<Replayed, String> {
        let replayed = replay(past, settings(self.record), rules, |_| {}).now_or_never();
        replayed.expect("memory is ready at once").map_err(|error| format!("the replay: {error}"))
    }

    /// The engine, run again, does what the log says: how many of its commands that has.
    pub fn is_found_again(&self, log: &MemoryLog, rules: &Rules) -> Result<u64, String> {
        let past = MemoryHistory { log: log.clone(), kept: None };
        let replayed = self.run_again(&past, rules)?;
        match replayed.differences.first() {
            Some(difference) => Err(format!("the replay: {difference:?}")),
            None => Ok(replayed.commands),
        }
    }

    /// A step: what to send next, with its lines, if anything. `standing` is of what was sent before.
    pub fn step(
        &mut self,
        dice: &mut Dice,
        log: &MemoryLog,
        standing: &Standing,
    ) -> Result<Option<Proposal>, String> {
        self.idle = false;
        match standing {
            Standing::Waiting => return Ok(None),
            Standing::Done => {}
            Standing::Lost => {
                self.core = None;
                self.block = BlockBuilder::default();
                self.unfinished = None;
                self.lines.last_again();
            }
        }
        self.sent.clear();
        let core = match &mut self.core {
            Some(core) => core,
            None => self.core.insert(recovered(log, self.record, self.kept.as_deref())?),
        };
        observe(core, log.store().events());
        // All that it knows by now is on log and tape.
        if core.state().round.is_none() && dice.permille(50) {
            self.kept = Some(serde_json::to_string(core.state()).unwrap());
        }
        let mut commands = core.again();
        if commands.is_empty() {
            let symbol = self.lines.symbol(dice);
            let mut before = match dice.below(8) {
                // An order that is awaited may come or not.
                0 => core.await_order(symbol),
                1 => {
                    core.await_no_more(symbol);
                    Vec::new()
                }
                _ => Vec::new(),
            };
            before.extend(core.before_arrivals());
            let after = core.state().position;
            before.iter().for_each(|line| self.block.push_before(after, line));
            commands = core.arrivals();
        }
        // Lines that cause nothing wait for company.
        let company = if self.block.is_empty() { self.lines.company(dice) } else { 0 };
        for _ in 0..company {
            if !commands.is_empty() {
                break;
            }
            let Some(tick) = self.tick(dice)? else { break };
            commands = self.work(tick);
        }
        let block = self.block.take();
        let idle = block.is_none() && commands.is_empty();
        self.idle = idle && !(self.quiet && self.lines.has_last());
        let after = self.core.as_ref().map_or(0, |core| core.state().position);
        Ok((!idle).then_some(Proposal { block, commands, after }))
    }

    /// The next line, if there is one.
    fn tick(&mut self, dice: &mut Dice) -> Result<Option<Tick>, String> {
        if let Some(tick) = self.unfinished.take() {
            return Ok(Some(tick));
        }
        let line = if self.quiet { self.lines.last() } else { Some(self.lines.next(dice)) };
        line.map(|line| read(&line)).transpose()
    }

    fn work(&mut self, tick: Tick) -> Vec<Command> {
        let Some(core) = &mut self.core else { return Vec::new() };
        let after = core.state().position;
        let worked = core.line("simulated", &tick);
        worked.before.iter().for_each(|line| self.block.push_before(after, line));
        if let Some(place) = worked.place {
            self.block.push(place, after, "simulated", worked.by.as_ref(), None, &tick);
        }
        if worked.unfinished {
            self.unfinished = Some(tick);
        } else if worked.place.is_none() && worked.ignored.is_none() {
            self.passed += 1;
        }
        worked.commands
    }

    /// At rest, what the engine knows is what it would know after a restart.
    pub fn is_what_it_recovers(&mut self, log: &MemoryLog) -> Result<(), String> {
        let Some(core) = &mut self.core else { return Ok(()) };
        observe(core, log.store().events());
        for kept in [None, self.kept.as_deref()] {
            let mut again = recovered(log, self.record, kept)?;
            // What it would propose was refused before: the line ends as it did.
            while !again.again().is_empty() {}
            same(core.state(), again.state())?;
        }
        Ok(())
    }
}

/// The contracts that somebody holds: others are forgotten with the next line, or were with the last.
fn contracts(state: &EngineState) -> Vec<(&InstrumentId, &OptionTerms)> {
    let held = |id: &InstrumentId| state.holders.get(id).is_some_and(|it| !it.is_empty());
    state.contracts.iter().filter(|(id, _)| held(id)).collect()
}

/// Whether two engines know the same, but for what passed unrecorded.
fn same(known: &EngineState, again: &EngineState) -> Result<(), String> {
    let parts = [
        ("orders", known.orders == again.orders),
        ("holders", known.holders == again.holders),
        ("issues", known.issues == again.issues),
        ("gates", known.gates == again.gates),
        ("watch", known.watch == again.watch),
        ("halt", known.market_halt == again.market_halt),
        ("contracts", contracts(known) == contracts(again)),
        ("options held", known.held_on == again.held_on),
        ("position", known.position == again.position),
        ("place", known.place == again.place),
        ("clock", known.clock == again.clock),
    ];
    match parts.iter().find(|(_, same)| !same) {
        Some((part, _)) => Err(format!("I19: the engine recovers to other {part}")),
        None => Ok(()),
    }
}

fn observe(core: &mut Core, events: &[Arc<CommittedEvent>]) {
    for event in events.iter().skip(core.state().position as usize) {
        let row = &event.row;
        core.observe(row.position, row.tenant_id, row.stream, &event.event);
    }
}
