//! Runs the core: takes lines, has their tape block and what they cause committed, observes what the log then says.
//!
//! One task, so nothing here is locked. A line's cascade has committed before the next line is worked; lines that
//! cause nothing share a block. A fault that passes is tried again for some seconds; one that does not, and a panic,
//! end in a new start from log and tape, announced on the [`Board`]: [`committing`]. Cost of a line that causes nothing: no round
//! trip of its own; of one that does: one for each round.

mod committing;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use aggregates::market::TapePlace;
use aggregates::trading::Command;
use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::alarms::{MissingCloses, note_missed_auction};
use super::board::{Board, Condition};
use super::core::{Core, Reason, Settings, Written};
use super::following::Following;
use super::handle::{Ask, Call, Report, Works};
use super::history::{History, RecoveryError, recover};
use super::tape::{BLOCK_LINES, BlockBuilder};
use crate::ledger::{Committed, CommittedEvent, Ledger, LedgerError, Work};
use crate::market::tick::{Clock, Tick};

/// An order that was told to be on its way is awaited for so long: longer than a call of the ledger takes.
const AWAITED: Duration = Duration::from_secs(30);
/// The pause before the engine starts anew. While it is stuck it is doubled each time, up to the longest: what follows from log
/// and tape and cannot be done follows from them again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A checkpoint is kept after this many events and lines.
const CHECKPOINT_EVERY: u64 = 20_000;

/// The ledger as the engine needs it.
pub trait Desk: Clone + Send + Sync + 'static {
    /// Appends lines of the tape with what they caused, in one statement: see [`Ledger::work`].
    fn work(
        &self,
        work: Work,
    ) -> impl Future<Output = Result<Vec<Result<Committed, LedgerError>>, LedgerError>> + Send;
}

impl Desk for Ledger {
    async fn work(&self, work: Work) -> Result<Vec<Result<Committed, LedgerError>>, LedgerError> {
        Self::work(self, work).await
    }
}

/// The events of a term, as the ledger announces them.
pub type Feed = mpsc::UnboundedReceiver<Vec<Arc<CommittedEvent>>>;

/// Why the engine stopped working.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The term of this process as the writer is over, or the process ends.
    #[error("the term is over")]
    Term,
    /// It cannot know what the log holds without reading it.
    #[error("work was lost on the way to the ledger: {0}")]
    Lost(LedgerError),
    /// The ledger met a defect over what it proposes, and no order can be ended for it. It goes on with nothing else.
    #[error("what follows next cannot be done, for a defect: see the line before")]
    Stuck,
    /// The log could not be read.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
}

impl Works {
    /// Works for one term of this process as the writer: recovers, works, and starts anew after a defect. Returns
    /// when the term is over or `stop` says so.
    pub async fn term<D: Desk, H: History>(
        &mut self,
        desk: &D,
        history: &H,
        settings: &Settings,
        mut feed: Feed,
        stop: &CancellationToken,
    ) {
        self.board.set_follows(false);
        let mut pause = RESTART_PAUSE;
        loop {
            let run = self.run(desk, history, settings, &mut feed, stop);
            let ended = AssertUnwindSafe(run).catch_unwind().await;
            let stuck = matches!(ended, Ok(Ended::Stuck));
            let why = match ended {
                Ok(Ended::Term) => break,
                Ok(ended) => ended.to_string(),
                Err(_panic) => "it met a defect of its own".to_owned(),
            };
            tracing::error!(%why, "the engine starts anew from log and tape");
            self.board.set_condition(Condition::Restarting(why));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            pause = if stuck { (pause * 2).min(LONGEST_PAUSE) } else { RESTART_PAUSE };
            if feed.is_closed() && feed.is_empty() {
                break;
            }
        }
        self.board.set_condition(Condition::Idle);
    }

    async fn run<D: Desk, H: History>(
        &mut self,
        desk: &D,
        history: &H,
        settings: &Settings,
        feed: &mut Feed,
        stop: &CancellationToken,
    ) -> Ended {
        self.board.set_condition(Condition::Recovering);
        // What it reads in the log, nobody is told of.
        self.following.lose_sight();
        let core = match recover(history, settings.clone()).await {
            Ok(core) => core,
            Err(error) => return error.into(),
        };
        let kept = core.state().position + core.state().place;
        let (settled, following, board) = (&self.settled, &self.following, &self.board);
        let patience = self.patience;
        let written = core.state().place;
        let mut shift = Shift {
            core,
            written,
            block: BlockBuilder::default(),
            desk,
            feed,
            calls: &mut self.calls,
            until: BTreeMap::new(),
            settled,
            following,
            board,
            patience,
            touched: BTreeSet::new(),
            passed: 0,
            closes: MissingCloses::default(),
        };
        board.show_all(&shift.core);
        tracing::info!(
            position = shift.core.state().position,
            place = shift.core.state().place,
            orders = shift.core.state().orders.count(),
            "the engine works"
        );
        let ended = match shift.work(&mut self.inbox, settings, history, kept, stop).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        if matches!(ended, Ended::Term) && shift.is_at_rest() {
            shift.keep(history).await;
        }
        ended
    }
}

/// The engine at work, from one recovery to the next.
struct Shift<'a, D> {
    core: Core,
    /// The last line that is known to be on the tape.
    written: TapePlace,
    block: BlockBuilder,
    desk: &'a D,
    feed: &'a mut Feed,
    calls: &'a mut mpsc::Receiver<Call>,
    /// How long orders of these symbols are awaited.
    until: BTreeMap<String, Instant>,
    settled: &'a watch::Sender<u64>,
    following: &'a Following,
    board: &'a Board,
    patience: Duration,
    touched: BTreeSet<String>,
    /// Lines that passed unrecorded and are not shown yet.
    passed: u64,
    closes: MissingCloses,
}

impl<D: Desk> Shift<'_, D> {
    async fn work<H: History>(
        &mut self,
        inbox: &mut mpsc::Receiver<Ask>,
        settings: &Settings,
        history: &H,
        mut kept: u64,
        stop: &CancellationToken,
    ) -> Result<std::convert::Infallible, Ended> {
        let unfinished = self.core.again();
        self.carry(unfinished).await?;
        self.arrivals().await?;
        // What was under way is done as it began; what comes is worked by the settings of this start.
        self.core.work_by(settings.clone());
        self.board.show_all(&self.core);
        self.board.set_condition(Condition::Working);
        loop {
            self.arrivals().await?;
            let state = self.core.state();
            if state.position + state.place >= kept + CHECKPOINT_EVERY && self.is_at_rest() {
                kept = state.position + state.place;
                self.keep(history).await;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Ended::Term),
                batch = self.feed.recv() => match batch {
                    Some(batch) => self.observe(&batch),
                    None => return Err(Ended::Term),
                },
                Some(call) = self.calls.recv() => self.take_call(call).await?,
                ask = inbox.recv() => match ask {
                    Some(ask) => self.answer(ask).await?,
                    None => return Err(Ended::Term),
                },
            }
        }
    }

    /// Every line that was worked is on the tape, with all that it caused. A block that was handed to the ledger and
    /// did not come to be is not: what the core knows then never happened.
    fn is_at_rest(&self) -> bool {
        let state = self.core.state();
        state.place == self.written && state.round.is_none()
    }

    async fn keep<H: History>(&self, history: &H) {
        if let Err(error) = history.keep(self.core.state()).await {
            tracing::warn!(%error, "no checkpoint of the engine was kept; the next start takes longer");
        }
    }

    /// Works the lines of one call, commits what they cause and answers.
    async fn answer(&mut self, ask: Ask) -> Result<(), Ended> {
        let mut report = Report::default();
        for tick in &ask.ticks {
            let ignored = self.line(&ask.source, tick).await?;
            match ignored {
                None => report.accepted += 1,
                Some(reason) => {
                    report.ignored += 1;
                    *report.reasons.entry(reason).or_default() += 1;
                    self.board.count(reason);
                    metrics::counter!("blotter_lines_ignored_total", "reason" => reason.word())
                        .increment(1);
                }
            }
        }
        if let Some(at) = self.core.pending_end() {
            self.line(&ask.source, &Tick::Clock(Clock { at })).await?;
        }
        // What the last line has triggered may meet the standing quote.
        self.arrivals().await?;
        self.commit(&[]).await?;
        report.position = self.core.state().position;
        self.closes.note(&self.core);
        self.show();
        // A caller that went away has no use for the answer.
        let _gone = ask.answer.send(report);
        Ok(())
    }

    /// Works one line and commits what it causes. Lines that cause nothing wait for company.
    async fn line(&mut self, source: &str, tick: &Tick) -> Result<Option<Reason>, Ended> {
        loop {
            self.arrivals().await?;
            let after = self.core.state().position;
            let worked = self.core.line(source, tick);
            self.push_before(&worked.before);
            if let Some(place) = worked.place {
                self.block.push(place, after, source, worked.by.as_ref(), None, tick);
            } else if worked.ignored.is_none() && !worked.unfinished {
                self.passed += 1;
            }
            if worked.ignored.is_none() || worked.place.is_some() {
                self.touch_all(tick);
            }
            let caused = !worked.commands.is_empty();
            self.carry(worked.commands).await?;
            if self.block.is_full() {
                self.commit(&[]).await?;
            }
            // Orders take their time from what is shown, so a long call shows how far it has come with each block.
            let news = worked.place.is_some() || self.passed >= BLOCK_LINES;
            if caused || news && self.block.is_empty() {
                self.show();
            }
            if !worked.unfinished {
                return Ok(worked.ignored);
            }
        }
    }

    /// Lines that go on the tape before the one at hand.
    fn push_before(&mut self, lines: &[Written]) {
        let after = self.core.state().position;
        for line in lines {
            self.block.push_before(after, line);
            self.touch(line.tick.symbol());
        }
    }

    /// The symbols that a line is about: all of a chain, and every one when it halts or resumes the whole market.
    fn touch_all(&mut self, tick: &Tick) {
        match tick {
            Tick::Status(status) if status.is_of_market() => {
                self.touched.extend(self.core.state().symbols.keys().cloned());
            }
            Tick::Chain(chain) => self.touched.extend(chain.contracts.iter().cloned()),
            _ => self.touch(tick.symbol()),
        }
    }

    fn touch(&mut self, symbol: Option<&str>) {
        let symbol = symbol.filter(|symbol| !self.touched.contains(*symbol));
        self.touched.extend(symbol.map(str::to_owned));
    }

    /// Has the standing lines of a symbol written of which an order is on its way, or tells marks.
    async fn take_call(&mut self, call: Call) -> Result<(), Ended> {
        let (symbol, written) = match call {
            Call::Await { symbol, written } => (symbol, written),
            Call::Marks { orders, marks } => {
                // Whoever does not wait any more has no use for them.
                let _gone = marks.send(self.core.state().orders.marks(orders));
                return Ok(());
            }
        };
        let lines = self.core.await_order(&symbol);
        self.push_before(&lines);
        self.commit(&[]).await?;
        self.until.insert(symbol, Instant::now() + AWAITED);
        self.show();
        // Whoever does not wait any more has gone ahead.
        let _gone = written.send(());
        Ok(())
    }

    /// Orders that have not come in time are awaited no more: those that are in the log are known by it.
    fn await_no_more(&mut self) {
        if self.until.is_empty() {
            return;
        }
        let now = Instant::now();
        let (until, core) = (&mut self.until, &mut self.core);
        until.retain(|symbol, until| {
            let awaited = now < *until;
            if !awaited {
                core.await_no_more(symbol);
            }
            awaited
        });
    }

    /// Evaluates the orders that have arrived, until none waits.
    async fn arrivals(&mut self) -> Result<(), Ended> {
        loop {
            while let Ok(batch) = self.feed.try_recv() {
                self.observe(&batch);
            }
            while let Ok(call) = self.calls.try_recv() {
                self.take_call(call).await?;
            }
            self.await_no_more();
            let before = self.core.before_arrivals();
            self.push_before(&before);
            let commands = self.core.arrivals();
            if commands.is_empty() {
                break;
            }
            self.commit(&commands).await?;
            // What they took of the quotes is not there any more.
            self.show();
        }
        let position = self.core.state().position;
        self.settled.send_if_modified(|settled| {
            let moved = *settled < position;
            *settled = position.max(*settled);
            moved
        });
        Ok(())
    }

    /// Commits what a line causes, round after round.
    async fn carry(&mut self, mut commands: Vec<Command>) -> Result<(), Ended> {
        while !commands.is_empty() {
            self.commit(&commands).await?;
            commands = self.core.again();
        }
        Ok(())
    }

    async fn observe_up_to(&mut self, position: u64) -> Result<(), Ended> {
        while self.core.state().position < position {
            let Some(batch) = self.feed.recv().await else { return Err(Ended::Term) };
            self.observe(&batch);
        }
        Ok(())
    }

    fn observe(&mut self, batch: &[Arc<CommittedEvent>]) {
        self.following.observe(batch);
        for committed in batch {
            let row = &committed.row;
            self.core.observe(row.position, row.tenant_id, row.stream, &committed.event);
            note_missed_auction(row.stream, &committed.event);
            self.board.follow(&self.core, row.stream, &committed.event);
            // A line that names no symbol changes instruments too: a clock makes their closes official. So does a
            // fill: it takes of what is shown.
            for symbol in self.core.concerned(row.stream, &committed.event) {
                if !self.touched.contains(symbol) {
                    self.touched.insert(symbol.to_owned());
                }
            }
        }
    }

    fn show(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        self.passed = 0;
        for account_id in self.core.take_risen() {
            self.board.show_counted(&self.core, account_id);
        }
        self.board.show(&self.core, touched.iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests;
