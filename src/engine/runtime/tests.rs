//! The supervision of the engine, over a ledger and a history that fail by a script: what passes is tried again, what
//! does not and what panics ends in a new start from the tape, and no line is ever on it twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aggregates::market::MarketTime;
use projections::log::Recorded;
use tokio::task::JoinHandle;

use super::super::core::EngineState;
use super::super::handle::{Engine, EngineError, engine};
use super::super::tape::BLOCK_LINES;
use super::committing::ATTEMPTS;
use super::*;
use crate::engine::history::Past;
use crate::ledger::TapeBlock;
use crate::market::calendar::Calendar;
use crate::market::reading::parse_lines;

/// What the ledger does with one call instead of carrying it out.
#[derive(Debug)]
enum Act {
    Panic,
    Fail(LedgerError),
    Carry,
    /// It is carried out, and nobody hears of it.
    LoseAnswer,
    /// It is carried out after so long, which is told then.
    Dawdle(Duration),
}

/// A tape in memory, its calls, and what happens to the next ones.
#[derive(Default)]
struct Scripted {
    tape: Vec<TapeBlock>,
    calls: usize,
    desk: VecDeque<Act>,
    poisoned_reads: usize,
    kept: Vec<EngineState>,
}

#[derive(Clone, Default)]
struct Poisoned(Arc<Mutex<Scripted>>);

impl Poisoned {
    fn with(acts: impl IntoIterator<Item = Act>) -> Self {
        let poisoned = Self::default();
        poisoned.0.lock().unwrap().desk.extend(acts);
        poisoned
    }

    /// Lines of the tape, and calls of the ledger.
    fn seen(&self) -> (u64, usize) {
        let scripted = self.0.lock().unwrap();
        let lines = scripted.tape.iter().map(|block| block.last_place - block.first_place + 1);
        (lines.sum(), scripted.calls)
    }

    /// Takes the next act and lets go of the lock: a panic poisons nothing but the call.
    fn next(&self) -> Option<Act> {
        let mut scripted = self.0.lock().unwrap();
        scripted.calls += 1;
        scripted.desk.pop_front()
    }
}

impl Desk for Poisoned {
    async fn work(&self, work: Work) -> Result<Vec<Result<Committed, LedgerError>>, LedgerError> {
        assert!(work.submissions.is_empty(), "a clock causes nothing");
        let act = self.next();
        if let Some(Act::Dawdle(long)) = act {
            tokio::time::sleep(long).await;
        }
        match act {
            Some(Act::Panic) => panic!("a defect, on purpose"),
            Some(Act::Fail(fault)) => return Err(fault),
            Some(Act::Carry | Act::LoseAnswer | Act::Dawdle(_)) | None => {
                self.0.lock().unwrap().tape.extend(work.block);
            }
        }
        if matches!(act, Some(Act::LoseAnswer)) {
            Err(LedgerError::OutcomeUnknown)
        } else {
            Ok(Vec::new())
        }
    }
}

impl Past for Poisoned {
    async fn events(&self, _: u64) -> Result<Vec<Recorded>, RecoveryError> {
        Ok(Vec::new())
    }

    async fn blocks(&self, after: u64) -> Result<Vec<TapeBlock>, RecoveryError> {
        let scripted = self.0.lock().unwrap();
        Ok(scripted.tape.iter().filter(|block| block.last_place > after).cloned().collect())
    }
}

impl History for Poisoned {
    async fn checkpoint(&self) -> Result<Option<EngineState>, RecoveryError> {
        let poisoned = {
            let mut scripted = self.0.lock().unwrap();
            let left = scripted.poisoned_reads;
            scripted.poisoned_reads = left.saturating_sub(1);
            left > 0
        };
        assert!(!poisoned, "a poisoned read, on purpose");
        Ok(self.0.lock().unwrap().kept.last().cloned())
    }

    async fn head(&self) -> Result<(u64, TapePlace), RecoveryError> {
        let scripted = self.0.lock().unwrap();
        Ok((0, scripted.tape.last().map_or(0, |block| block.last_place)))
    }

    async fn keep(&self, state: &EngineState) -> Result<(), RecoveryError> {
        self.0.lock().unwrap().kept.push(state.clone());
        Ok(())
    }
}

/// An engine at work on what is poisoned.
struct Running {
    engine: Engine,
    task: JoinHandle<()>,
    stop: CancellationToken,
    _feed: mpsc::UnboundedSender<Vec<Arc<CommittedEvent>>>,
}

impl Running {
    async fn start(poisoned: &Poisoned) -> Self {
        Self::start_with(poisoned, engine()).await
    }

    async fn start_with(poisoned: &Poisoned, (engine, mut works): (Engine, Works)) -> Self {
        let (feed, events) = mpsc::unbounded_channel();
        let (poisoned, stop) = (poisoned.clone(), CancellationToken::new());
        let until = stop.clone();
        let task = tokio::spawn(async move {
            let settings = Settings::new(Calendar::nyse());
            works.term(&poisoned, &poisoned, &settings, events, &until).await;
        });
        let running = Self { engine, task, stop, _feed: feed };
        running.works().await;
        running
    }

    async fn works(&self) {
        let start = Instant::now();
        while self.engine.board().condition() != Condition::Working {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not come back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the clock come to a minute after ten.
    async fn clock(&self, minute: u32) -> Result<Report, EngineError> {
        let line = format!(r#"{{"t":"clock","at":"2024-01-17T15:{minute:02}:00Z"}}"#);
        self.engine
            .lines("feed", parse_lines(line.as_bytes(), 1, MarketTime::MAX_UTC).unwrap())
            .await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("no panic gets out of it");
        assert_eq!(self.engine.board().condition(), Condition::Idle);
    }
}

#[tokio::test]
async fn a_panic_costs_its_own_call_and_the_engine_starts_anew() {
    let poisoned = Poisoned::with([Act::Panic]);
    let running = Running::start(&poisoned).await;
    assert_eq!(running.clock(1).await, Err(EngineError::Interrupted));
    assert_ne!(running.engine.board().condition(), Condition::Working, "and it shows");
    running.works().await;
    assert_eq!(running.clock(1).await.unwrap().accepted, 1);
    assert_eq!(poisoned.seen(), (1, 2));
    running.end().await;
}

#[tokio::test]
async fn a_recovery_that_panics_is_tried_until_it_succeeds() {
    let poisoned = Poisoned::default();
    poisoned.0.lock().unwrap().poisoned_reads = 2;
    let start = Instant::now();
    let running = Running::start(&poisoned).await;
    assert!(start.elapsed() >= 2 * RESTART_PAUSE, "with a pause before each");
    assert_eq!(running.clock(1).await.unwrap().accepted, 1);
    running.end().await;
}

#[tokio::test]
async fn following_another_writer_that_panics_begins_anew() {
    let (poisoned, (engine, mut works)) = (Poisoned::default(), engine());
    poisoned.0.lock().unwrap().poisoned_reads = 1;
    let settings = Settings::new(Calendar::nyse());
    tokio::select! {
        never = works.follow(&poisoned, &settings) => match never {},
        () = async {
            while !engine.board().knows_marks() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        } => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it does not come back"),
    }
    assert_eq!(poisoned.0.lock().unwrap().poisoned_reads, 0);
}

#[tokio::test]
async fn faults_that_pass_are_waited_for_and_the_caller_hears_nothing_of_them() {
    let faults = [LedgerError::Busy, LedgerError::Unavailable, LedgerError::Busy];
    let poisoned = Poisoned::with(faults.map(Act::Fail));
    let running = Running::start(&poisoned).await;
    assert_eq!(running.clock(1).await.unwrap().accepted, 1);
    assert_eq!(poisoned.seen(), (1, 4));
    running.end().await;
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_reading_the_tape_again() {
    let poisoned = Poisoned::with([Act::LoseAnswer]);
    let running = Running::start(&poisoned).await;
    assert_eq!(running.clock(1).await, Err(EngineError::Interrupted));
    running.works().await;
    let at = running.engine.board().now().expect("the line was on the tape").at;
    assert_eq!(at.to_rfc3339(), "2024-01-17T15:01:00+00:00");
    running.clock(2).await.unwrap();
    assert_eq!(poisoned.seen().0, 2);
    running.end().await;
}

#[tokio::test]
async fn while_the_ledger_does_not_answer_the_engine_waits_and_shows_it_and_does_not_start_anew() {
    let poisoned = Poisoned::with([Act::Dawdle(Duration::from_millis(500))]);
    let (engine, mut works) = engine();
    works.patience = Duration::from_millis(50);
    let running = Running::start_with(&poisoned, (engine, works)).await;
    let waits = tokio::time::timeout(Duration::from_secs(10), async {
        while running.engine.board().condition() != Condition::Waiting {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let (answer, waits) = tokio::join!(running.clock(1), waits);
    assert_eq!((answer.unwrap().accepted, waits), (1, Ok(())));
    assert_eq!(running.engine.board().condition(), Condition::Working);
    assert_eq!(poisoned.seen(), (1, 1), "the line was handed over once");
    running.end().await;
}

#[tokio::test]
async fn another_writer_ends_the_term_and_no_restart_follows() {
    let poisoned = Poisoned::with([Act::Fail(LedgerError::NotWriter { owner_url: None })]);
    let running = Running::start(&poisoned).await;
    assert_eq!(running.clock(1).await, Err(EngineError::Interrupted));
    tokio::time::timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
    assert_eq!(running.engine.board().condition(), Condition::Idle);
    assert_eq!(poisoned.seen(), (0, 1));
}

#[tokio::test]
async fn no_checkpoint_is_kept_of_lines_that_the_ledger_did_not_take() {
    let poisoned = Poisoned::with([Act::Fail(LedgerError::NotWriter { owner_url: None })]);
    let running = Running::start(&poisoned).await;
    assert_eq!(running.clock(1).await, Err(EngineError::Interrupted));
    running.end().await;
    assert_eq!(poisoned.0.lock().unwrap().kept, [], "the line is on no tape");
    let running = Running::start(&poisoned).await;
    assert_eq!(running.clock(1).await.unwrap().accepted, 1);
    running.end().await;
    let places: Vec<_> = poisoned.0.lock().unwrap().kept.iter().map(|state| state.place).collect();
    assert_eq!(places, [1], "one of what is on the tape is");
}

#[tokio::test]
async fn a_checkpoint_ahead_of_the_tape_is_ignored_and_replaced() {
    let ahead = [
        EngineState { place: 1, ..EngineState::default() },
        EngineState { position: 1, ..EngineState::default() },
    ];
    for ahead in ahead {
        let poisoned = Poisoned::default();
        poisoned.0.lock().unwrap().kept.push(ahead);
        let running = Running::start(&poisoned).await;
        assert_eq!(poisoned.0.lock().unwrap().kept.last(), Some(&EngineState::default()));
        assert_eq!(running.clock(1).await.unwrap().accepted, 1);
        assert_eq!(poisoned.0.lock().unwrap().tape[0].first_place, 1);
        running.end().await;
    }
}

#[tokio::test]
async fn the_clock_is_shown_with_each_block_and_not_after_the_whole_call_alone() {
    let faults = std::iter::repeat_n(LedgerError::Unavailable, ATTEMPTS as usize - 1);
    let poisoned = Poisoned::default();
    let running = Running::start(&poisoned).await;
    // The second block waits for the database, while the first is on the tape.
    poisoned.0.lock().unwrap().desk.push_back(Act::Carry);
    poisoned.0.lock().unwrap().desk.extend(faults.map(Act::Fail));
    let lines: Vec<String> = (0..2 * BLOCK_LINES)
        .map(|second| {
            let (hour, minute, second) = (15 + second / 3600, second / 60 % 60, second % 60);
            format!(r#"{{"t":"clock","at":"2024-01-17T{hour}:{minute:02}:{second:02}Z"}}"#)
        })
        .collect();
    let ticks = parse_lines(lines.join("\n").as_bytes(), lines.len(), MarketTime::MAX_UTC).unwrap();
    let engine = running.engine.clone();
    let call = tokio::spawn(async move { engine.lines("feed", ticks).await });
    let start = Instant::now();
    while running.engine.board().now().is_none() {
        assert!(!call.is_finished() && start.elapsed() < Duration::from_secs(10), "not shown");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let now = running.engine.board().now().unwrap();
    assert_eq!((now.tape_place, call.is_finished()), (BLOCK_LINES, false));
    assert_eq!(call.await.unwrap().unwrap().accepted, 2 * BLOCK_LINES);
    running.end().await;
}
