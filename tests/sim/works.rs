//! The engine itself at work on the simulated log: recovers from log and tape, works random lines, has what it
//! proposes carried out, and starts anew whenever it does not know what became of a proposal.

use std::collections::BTreeSet;
use std::sync::Arc;

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
use chrono::{SecondsFormat, TimeDelta};
use futures::FutureExt;
use projections::log::Recorded;

use crate::clients::{SYMBOLS, noon};
use crate::engine::Proposal;
use crate::process::Ticket;

/// Log and tape of a store, read at once.
pub struct MemoryHistory(pub MemoryLog);

impl Past for MemoryHistory {
    async fn events(&self, after: u64) -> Result<Vec<Recorded>, RecoveryError> {
        let store = self.0.store();
        Ok(store.events().iter().skip(after as usize).map(|event| event.row.clone()).collect())
    }

    async fn blocks(&self, after: u64) -> Result<Vec<TapeBlock>, RecoveryError> {
        let store = self.0.store();
        Ok(store.tape().iter().filter(|block| block.last_place > after).cloned().collect())
    }
}

impl History for MemoryHistory {
    async fn checkpoint(&self) -> Result<Option<EngineState>, RecoveryError> {
        Ok(None)
    }

    async fn head(&self) -> Result<(u64, TapePlace), RecoveryError> {
        let store = self.0.store();
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
    /// Lines that passed unrecorded.
    pub passed: u64,
    pub sent: BTreeSet<Ticket>,
    quarter: i64,
    actions: u64,
    /// No more lines come.
    pub quiet: bool,
    /// The last step had nothing to send, and waited for nothing.
    pub idle: bool,
}

fn settings(record: Record) -> Settings {
    Settings { max_quote_age: None, record, ..Settings::new(Calendar::always()) }
}

fn recovered(log: &MemoryLog, record: Record) -> Result<Core, String> {
    let core = recover(&MemoryHistory(log.clone()), settings(record)).now_or_never();
    core.expect("memory is ready at once").map_err(|error| format!("the engine: {error}"))
}

impl Works {
    /// An engine that records these lines.
    pub fn new(record: Record) -> Self {
        Self { record, ..Self::default() }
    }

    /// What the engine does, run again over log and tape.
    pub fn run_again<P: Past>(&self, past: &P, rules: &Rules) -> Result<Replayed, String> {
        let replayed = replay(past, settings(self.record), rules, |_| {}).now_or_never();
        replayed.expect("memory is ready at once").map_err(|error| format!("the replay: {error}"))
    }

    /// The engine, run again, does what the log says: how many of its commands that has.
    pub fn is_found_again(&self, log: &MemoryLog, rules: &Rules) -> Result<u64, String> {
        let replayed = self.run_again(&MemoryHistory(log.clone()), rules)?;
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
            }
        }
        self.sent.clear();
        let core = match &mut self.core {
            Some(core) => core,
            None => self.core.insert(recovered(log, self.record)?),
        };
        observe(core, log.store().events());
        let mut commands = core.again();
        if commands.is_empty() {
            let symbol = SYMBOLS[dice.below(2) as usize];
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
        if commands.is_empty() && self.block.is_empty() && !self.quiet {
            let tick = match self.unfinished.take() {
                Some(tick) => tick,
                None => {
                    let line = self.line(dice);
                    let tick = parse_line(line.as_bytes(), 1);
                    tick.map_err(|error| format!("{line}: {error}"))?.ok_or("an empty line")?
                }
            };
            commands = self.work(tick);
        }
        let block = self.block.take();
        self.idle = block.is_none() && commands.is_empty();
        let after = self.core.as_ref().map_or(0, |core| core.state().position);
        Ok((!self.idle).then_some(Proposal { block, commands, after }))
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

    /// A line of a market that trades, halts and splits.
    fn line(&mut self, dice: &mut Dice) -> String {
        self.quarter += dice.below(12) as i64;
        let at = noon() + TimeDelta::seconds(15 * self.quarter);
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let symbol = SYMBOLS[dice.below(2) as usize];
        let cents = 9_000 + dice.below(2_000);
        let price = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
        let (low, mid, high) = (price(cents), price(cents + 20), price(cents + 50));
        let size = 1 + dice.below(6);
        match dice.below(20) {
            0 => format!(r#"{{"t":"clock","at":"{at}"}}"#),
            1..4 => format!(
                r#"{{"t":"bar","symbol":"{symbol}","open":"{mid}","high":"{high}","low":"{low}","close":"{mid}","volume":"{size}","span":"1m","at":"{at}"}}"#
            ),
            4 => {
                let state = if dice.permille(400) { "halted" } else { "trading" };
                let symbol = if dice.permille(300) { "*" } else { symbol };
                format!(r#"{{"t":"status","symbol":"{symbol}","state":"{state}","at":"{at}"}}"#)
            }
            5 => {
                self.actions += 1;
                let (new, old) = if dice.permille(700) { (2, 1) } else { (1, 2) };
                let id = self.actions;
                format!(
                    r#"{{"t":"split","symbol":"{symbol}","numerator":"{new}","denominator":"{old}","id":"split {id}","at":"{at}"}}"#
                )
            }
            6 => format!(
                r#"{{"t":"trade","symbol":"{symbol}","price":"{mid}","size":"{size}","at":"{at}"}}"#
            ),
            _ => format!(
                r#"{{"t":"quote","symbol":"{symbol}","bid":"{low}","bid_size":"{size}","ask":"{high}","ask_size":"{size}","at":"{at}"}}"#
            ),
        }
    }

    /// At rest, what the engine knows is what it would know after a restart.
    pub fn is_what_it_recovers(&mut self, log: &MemoryLog) -> Result<(), String> {
        let Some(core) = &mut self.core else { return Ok(()) };
        observe(core, log.store().events());
        let mut again = recovered(log, self.record)?;
        // What it would propose was refused before: the line ends as it did.
        while !again.again().is_empty() {}
        let (known, again) = (core.state(), again.state());
        let parts = [
            ("orders", known.orders == again.orders),
            ("holders", known.holders == again.holders),
            ("issues", known.issues == again.issues),
            ("gates", known.gates == again.gates),
            ("watch", known.watch == again.watch),
            ("halt", known.market_halt == again.market_halt),
            ("position", known.position == again.position),
            ("place", known.place == again.place),
            ("clock", known.clock == again.clock),
        ];
        if let Some((part, _)) = parts.iter().find(|(_, same)| !same) {
            return Err(format!("I19: the engine recovers to other {part}"));
        }
        Ok(())
    }
}

fn observe(core: &mut Core, events: &[Arc<CommittedEvent>]) {
    for event in events.iter().skip(core.state().position as usize) {
        let row = &event.row;
        core.observe(row.position, row.tenant_id, row.stream, &event.event);
    }
}
