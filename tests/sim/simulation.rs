//! The run of one seed: chooses what happens next, and has everything checked after it.

use aggregates::money::{Money, Price};
use aggregates::rules::{FeeSchedule, Rules};
use blotter::engine::core::Record;
use blotter::ledger::LedgerError;
use blotter::ledger::memory::{Dice, Faults, MemoryLog, MemoryStore};
use blotter::ledger::sequencer::{Reply, Request};
use chrono::{DateTime, TimeDelta, Utc};

use crate::checker::Checker;
use crate::clients::Clients;
use crate::engine::{Engine, Proposal};
use crate::market::{Board, noon};
use crate::packages;
use crate::process::{Happened, Process, Ticket};
use crate::tally::Tally;
use crate::wishes::{Wish, wish};
use crate::works::{Standing, Works};

/// Tickets from here on are of lines of the tape.
const LINES: Ticket = Ticket::MAX / 2;

/// Options are traded in every so manieth seed, which takes so many times as many steps: what they are on, and they, have
/// to be quoted, bought, and come to their ends.
const OPTIONS: u64 = 25;
const LONGER: usize = 4;

pub struct Simulation {
    dice: Dice,
    now: DateTime<Utc>,
    pub rules: Rules,
    faults: Faults,
    log: MemoryLog,
    processes: [Option<Process>; 2],
    /// The one that took over last.
    latest: usize,
    /// How often processes start and crash, in a thousand steps.
    restless: u32,
    pub clients: Clients,
    engine: Engine,
    /// Options are traded, in some of the seeds.
    options: bool,
    /// What clients are shown of the market.
    board: Board,
    /// The real engine, in half of the seeds, recording all or not; in the others one that proposes what it likes.
    pub works: Option<Works>,
    /// What became of each call with lines; nothing yet, or whether they are certainly settled.
    lines: Vec<Option<bool>>,
    found_again: u64,
    pub checker: Checker,
}

fn faults(dice: &mut Dice, options: bool) -> Faults {
    // Some seeds are quiet, some are rough, so that rare faults meet both.
    let most = [0_u64, 30, if options { 60 } else { 150 }][dice.below(3) as usize];
    let mut rate = || dice.below(most + 1) as u32;
    Faults {
        lost_after: rate(),
        lost_before: rate(),
        lost_running: rate(),
        duplicated: rate(),
        taken: rate(),
        failed: rate(),
        unreadable: rate(),
    }
}

impl Simulation {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let options = seed.is_multiple_of(OPTIONS);
        let faults = faults(&mut dice, options);
        let rest = if options { [0, 2, 5] } else { [0, 5, 30] };
        let restless = rest[dice.below(3) as usize];
        let works = match dice.below(4) {
            0 => Some(Works::new(Record::All, options)),
            1 => Some(Works::new(Record::Working, options)),
            _ => None,
        };
        let mut rules = Rules::default();
        if dice.permille(500) {
            let (per_fill, per_share): (Money, Price) =
                ("0.35".parse().unwrap(), "0.005".parse().unwrap());
            rules.fees = FeeSchedule { per_fill, per_share, ..FeeSchedule::default() };
        }
        let log = MemoryLog::new(MemoryStore::new(dice.any(), faults));
        let first = Process::start(&mut log.store(), dice.any(), rules.clone());
        Self {
            dice,
            now: noon(),
            rules,
            faults,
            log,
            processes: [Some(first), None],
            latest: 0,
            restless,
            clients: Clients::default(),
            engine: Engine::default(),
            options,
            board: Board::default(),
            works,
            lines: Vec::new(),
            found_again: 0,
            checker: Checker::default(),
        }
    }

    /// Steps that it takes, where one without options takes so many.
    pub fn steps(&self, steps: usize) -> usize {
        if self.options { LONGER * steps } else { steps }
    }

    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// One step, and every check after it.
    pub fn step(&mut self) -> Result<(), String> {
        if self.dice.permille(self.restless) || self.processes.iter().all(Option::is_none) {
            self.start_or_crash()?;
            return self.check();
        }
        match self.dice.below(100) {
            0..20 => self.ask()?,
            20..24 => self.ask_again()?,
            24..32 if self.works.is_some() => self.work_engine()?,
            // Options take many lines.
            92.. if self.works.is_some() && self.options => self.work_engine()?,
            24..28 => {
                let tape_end = self.log.store().head().tape_place;
                let proposal = self.engine.tick(&mut self.dice, &self.checker, tape_end);
                self.propose(proposal)?;
            }
            28 => {
                let proposal = packages::expiry(&mut self.dice, &self.checker);
                self.propose(proposal)?;
            }
            29..32 => {
                let proposal = self.engine.corporate_action(&mut self.dice, &self.checker);
                self.propose(proposal)?;
            }
            32..36 => {
                // The wall clock goes on, stands still, or back.
                let quarters = self.dice.below(20) as i64 - 4;
                self.now += TimeDelta::milliseconds(quarters * 250);
            }
            // An account that trades options has many streams.
            36..56 => (0..if self.options { 4 } else { 1 }).try_for_each(|_| self.load())?,
            _ => self.work()?,
        }
        self.check()
    }

    /// Mostly the process that took over last, sometimes the other.
    fn chosen(&mut self) -> usize {
        if self.dice.permille(150) { 1 - self.latest } else { self.latest }
    }

    fn ask(&mut self) -> Result<(), String> {
        if let Some(works) = &self.works {
            works.show(&mut self.board);
        }
        let wish = wish(&mut self.dice, &self.checker, &self.board, self.options);
        let key = self.clients.key_for(&mut self.dice, &wish);
        let copies = if self.dice.permille(100) { 3 } else { 1 };
        for _ in 0..copies {
            let (ticket, submission) =
                self.clients.attempt(&mut self.dice, wish.clone(), key, &self.board);
            self.send(vec![(Request::Command(Box::new(submission)), ticket)])?;
        }
        Ok(())
    }

    /// A client sends again what it has a key for, mostly because it does not know the outcome.
    fn ask_again(&mut self) -> Result<(), String> {
        if self.clients.attempts.is_empty() {
            return Ok(());
        }
        let from = self.dice.below(self.clients.attempts.len() as u64) as usize;
        let eager = self.dice.permille(300);
        let again = self.clients.attempts[from..]
            .iter()
            .find(|attempt| attempt.key.is_some() && (eager || attempt.is_in_doubt()))
            .map(|attempt| (attempt.wish.clone(), attempt.key));
        if let Some((wish, key)) = again {
            let (ticket, submission) = self.clients.attempt(&mut self.dice, wish, key, &self.board);
            self.send(vec![(Request::Command(Box::new(submission)), ticket)])?;
        }
        Ok(())
    }

    fn propose(&mut self, proposal: Proposal) -> Result<(), String> {
        let mut requests = Vec::new();
        if let Some(block) = proposal.block {
            requests.push((Request::Tape(block), LINES + self.lines.len()));
            self.lines.push(None);
        }
        for command in proposal.commands {
            let wish = Wish::Engine(Box::new(command), proposal.after);
            let (ticket, submission) =
                self.clients.attempt(&mut self.dice, wish, None, &self.board);
            requests.push((Request::Command(Box::new(submission)), ticket));
        }
        if let Some(works) = &mut self.works {
            works.sent = requests.iter().map(|(_, ticket)| *ticket).collect();
        }
        self.send(requests)
    }

    /// The real engine goes a step further.
    fn work_engine(&mut self) -> Result<(), String> {
        let Some(works) = &mut self.works else { return Ok(()) };
        let mut standing = Standing::Done;
        for ticket in &works.sent {
            let settled = match self.clients.attempts.get(*ticket) {
                None => self.lines[ticket - LINES],
                Some(attempt) if attempt.lost => Some(false),
                Some(attempt) => attempt
                    .answer
                    .as_ref()
                    .map(|answer| matches!(answer, Ok(_) | Err(LedgerError::Refused(_)))),
            };
            standing = match settled {
                None => Standing::Waiting,
                Some(false) => Standing::Lost,
                Some(true) => continue,
            };
            break;
        }
        let proposal = works.step(&mut self.dice, &self.log, &standing)?;
        proposal.map_or(Ok(()), |proposal| self.propose(proposal))
    }

    fn send(&mut self, requests: Vec<(Request, Ticket)>) -> Result<(), String> {
        let mut to = self.chosen();
        if self.processes[to].is_none() && self.dice.permille(900) {
            to = 1 - to;
        }
        match &mut self.processes[to] {
            Some(process) => {
                process.send(requests);
                Ok(())
            }
            None => self.answer(
                requests
                    .into_iter()
                    .map(|(_, ticket)| (ticket, Err(LedgerError::NotWriter { owner_url: None })))
                    .collect(),
                None,
            ),
        }
    }

    fn answer(&mut self, replies: Vec<Reply<Ticket>>, known: Option<u64>) -> Result<(), String> {
        let store = self.log.store();
        for (ticket, answer) in replies {
            if let Some(lines) = ticket.checked_sub(LINES) {
                self.lines[lines] = Some(answer.is_ok());
            } else {
                self.clients.answered(ticket, answer, &store, known, self.faults.taken > 0)?;
            }
        }
        Ok(())
    }

    /// A process starts and takes the log over, or crashes: before it appends, after, or while it appends.
    fn start_or_crash(&mut self) -> Result<(), String> {
        let which = self.dice.below(2) as usize;
        let Some(process) = self.processes[which].take() else {
            let seed = self.dice.any();
            let rules = self.rules.clone();
            let process = Process::start(&mut self.log.store(), seed, rules);
            self.processes[which] = Some(process);
            self.latest = which;
            return Ok(());
        };
        if self.dice.permille(300) {
            // It stops in order.
            let replies = process.dissolve();
            return self.answer(replies, None);
        }
        if let Some(batch) = process.batch()
            && self.dice.permille(500)
        {
            // Whatever the log answers, nobody hears it.
            drop(self.log.store().append(batch));
        }
        for ticket in process.crash() {
            self.lose(ticket);
        }
        Ok(())
    }

    fn lose(&mut self, ticket: Ticket) {
        match self.clients.attempts.get_mut(ticket) {
            Some(attempt) => attempt.lost = true,
            None => self.lines[ticket - LINES] = Some(false),
        }
    }

    fn load(&mut self) -> Result<(), String> {
        let which = self.chosen();
        let Some(process) = &mut self.processes[which] else { return Ok(()) };
        let known = process.knows(&self.log.store());
        let happened = process.load(&mut self.log.store(), &mut self.dice);
        self.after(which, happened, known)
    }

    fn work(&mut self) -> Result<(), String> {
        let which = self.chosen();
        let crash = self.dice.permille(100);
        let Some(process) = &mut self.processes[which] else { return Ok(()) };
        let known = process.knows(&self.log.store());
        if known.is_none() && process.batch().is_none() && self.dice.permille(100) {
            // Its lease could not be renewed.
            let happened = Happened { stepped_down: true, ..Happened::default() };
            return self.after(which, happened, None);
        }
        let happened = process.work(&mut self.log.store(), &mut self.dice, self.now, crash)?;
        if happened.stepped_down && crash {
            let crashed = self.processes[which].take();
            self.answer(happened.replies, known)?;
            for ticket in crashed.into_iter().flat_map(Process::crash) {
                self.lose(ticket);
            }
            return Ok(());
        }
        self.after(which, happened, known)
    }

    fn after(
        &mut self,
        which: usize,
        happened: Happened,
        known: Option<u64>,
    ) -> Result<(), String> {
        let Happened { replies, committed, stepped_down } = happened;
        if let (Some(first), Some(last)) = (committed.first(), committed.last()) {
            let read = self.log.store();
            let (from, to) = (first.row.position as usize - 1, last.row.position as usize);
            if read.events().get(from..to) != Some(&committed[..]) {
                return Err("what the engine is fed is not what the log has".to_owned());
            }
        }
        self.answer(replies, known)?;
        if stepped_down && let Some(process) = self.processes[which].take() {
            let replies = process.dissolve();
            self.answer(replies, None)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let store = self.log.store();
        self.checker.read(store.events(), store.tape(), store.head())?;
        for process in self.processes.iter().flatten() {
            process.memory_is(&self.checker, &store)?;
        }
        self.clients.agree_with(&self.checker)
    }

    /// No more faults, no more demands: everyone gets an answer, and the whole agrees.
    pub fn come_to_rest(&mut self) -> Result<(), String> {
        self.log.store().set_faults(Faults::default());
        if let Some(works) = &mut self.works {
            works.quiet = true;
        }
        for _ in 0..5_000 {
            if self.is_at_rest() {
                break;
            }
            if self.processes.iter().all(Option::is_none) {
                self.start_or_crash()?;
            }
            self.work_engine()?;
            self.load()?;
            self.work()?;
            self.check()?;
        }
        if !self.is_at_rest() {
            return Err("I28: it does not come to rest".to_owned());
        }
        if let Some(works) = &mut self.works {
            works.is_what_it_recovers(&self.log)?;
            self.found_again = works.is_found_again(&self.log, &self.rules)?;
            self.checker.all_is_settled()?;
        }
        self.clients.agree_in_the_end(&self.checker)?;
        self.checker.views_agree()?;
        self.checker.audit_agrees(self.log.store().events(), self.works.is_some())?;
        self.checker.root_is(&self.log.store().head().frontier)
    }

    fn is_at_rest(&self) -> bool {
        self.processes.iter().flatten().all(Process::is_idle)
            && self.works.as_ref().is_none_or(|works| works.idle)
    }

    pub fn tally(&self) -> Tally {
        let store = self.log.store();
        let mut tally = Tally {
            events: self.checker.events(),
            lines: store.head().tape_place,
            passed: self.works.as_ref().map_or(0, |works| works.passed),
            found_again: self.found_again,
            ..Tally::default()
        };
        store.events().iter().for_each(|event| tally.count(event));
        for attempt in &self.clients.attempts {
            match &attempt.answer {
                Some(Ok(committed)) if committed.replayed => tally.replayed += 1,
                Some(Ok(_)) => tally.acknowledged += 1,
                Some(Err(LedgerError::Refused(_))) => tally.refused += 1,
                _ if attempt.is_in_doubt() => tally.in_doubt += 1,
                _ => {}
            }
        }
        tally
    }
}
