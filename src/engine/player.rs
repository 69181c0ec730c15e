//! Plays a source of its own pace (recorded, simulated) into the engine, under control: pause, resume, run to.
//!
//! A source begins where the market's clock stands, once this process writes; before, it is not asked for anything.
//! Lines go in groups that never part lines of one instant. A group that the engine did not take is handed in again:
//! identical lines are ignored. An answer to a run means that everything up to the instant has committed. Every order
//! is heard between two groups, also during a run, which it ends.

use std::time::Duration;

use aggregates::market::MarketTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::Condition;
use super::handle::{Engine, EngineError};
use crate::market::pace::Backwards;
use crate::market::playback::Playback;
use crate::market::source::{MarketData, SourceError};
use crate::market::tick::Tick;

/// A group is cut after this many lines, where the instant changes: so soon a pause is heard.
const GROUP: usize = 256;
/// How often the engine is looked at before it works for the first time.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// How often a running source is asked for what is due.
const BEAT: Duration = Duration::from_millis(100);

/// What the operator asks of a market that plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Hand nothing over until told.
    Pause,
    /// Go on.
    Resume,
    /// Everything up to the instant, as fast as it is worked; then pause. Any order after it ends it.
    RunTo(MarketTime),
}

/// Why the market did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum PlayerError {
    /// Its time cannot go back.
    #[error(transparent)]
    Backwards(#[from] Backwards),
    /// The market plays where the ledger is written.
    #[error(
        "the market does not play in this process at present: another one writes, or it is starting"
    )]
    NotHere,
    /// It was told something else on the way.
    #[error("the run to {to} was ended by another order, when the market had come to {}", shown(.now.as_ref()))]
    Interrupted {
        /// Where it was to run to.
        to: MarketTime,
        /// Where it was then.
        now: Option<MarketTime>,
    },
    /// Its source failed, and it plays no more.
    #[error("the market's source has failed and plays no more: the server's log says why")]
    Over,
}

fn shown(now: Option<&MarketTime>) -> String {
    now.map_or_else(|| "no time yet".to_owned(), ToString::to_string)
}

type Answer = oneshot::Sender<Result<(), PlayerError>>;
type Told = (Control, Answer);

/// The controls of a market that plays. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Player {
    told: mpsc::Sender<Told>,
    open: watch::Receiver<bool>,
}

impl Player {
    /// What opens the market has been worked: the clock is set and, as far as the source goes, everything is quoted. A
    /// market whose source has failed opens no further, and nobody waits for it.
    pub fn is_open(&self) -> bool {
        *self.open.borrow() || self.open.has_changed().is_err()
    }

    /// Tells the market, and waits until it is so.
    pub async fn control(&self, control: Control) -> Result<(), PlayerError> {
        let (answer, done) = oneshot::channel();
        self.told.send((control, answer)).await.map_err(|_| PlayerError::Over)?;
        done.await.map_err(|_| PlayerError::Over)?
    }
}

/// The controls of `playback`, and the future that plays it until `stop`; it fails with its source.
pub fn player<S: MarketData>(
    playback: Playback<S>,
    engine: Engine,
    stop: CancellationToken,
) -> (Player, impl Future<Output = Result<(), SourceError>>) {
    let (told, orders) = mpsc::channel(16);
    let (opened, open) = watch::channel(false);
    let source = playback.source().name();
    let (next, beat, run) = (None, Instant::now(), None);
    let paused = false;
    let deck = Deck { playback, engine, source, opened, next, beat, paused, run };
    (Player { told, open }, deck.play(orders, stop))
}

struct Deck<S> {
    playback: Playback<S>,
    engine: Engine,
    source: &'static str,
    opened: watch::Sender<bool>,
    /// Taken from the source, not yet handed over.
    next: Option<Tick>,
    beat: Instant,
    /// It was told to pause: what was taken from the source waits too.
    paused: bool,
    /// The run under way, and who waits for its end.
    run: Option<(MarketTime, Answer)>,
}

impl<S: MarketData> Deck<S> {
    async fn play(
        mut self,
        mut orders: mpsc::Receiver<Told>,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        // Orders that come while it starts here wait for that.
        while self.engine.board().condition() != Condition::Working {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some((_, answer)) = orders.recv(), if self.is_elsewhere() => {
                    let _gone = answer.send(Err(PlayerError::NotHere));
                }
                () = tokio::time::sleep(FIRST_LOOK) => {}
            }
        }
        self.begin();
        let mut more = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some((control, answer)) = orders.recv() => {
                    self.obey(control, answer);
                    more |= self.run.is_some();
                    continue;
                }
                () = async { if !more { tokio::time::sleep(BEAT).await } } => {}
            }
            more = self.group(&stop).await?;
            if self.playback.target().is_none() && !more {
                self.end_run(|_, _| Ok(()));
            }
        }
    }

    /// Another process writes, so the market plays there.
    fn is_elsewhere(&self) -> bool {
        self.engine.board().condition() == Condition::Idle
    }

    fn begin(&mut self) {
        let clock = self.engine.board().now().map(|now| now.at);
        self.playback.begin(clock);
        self.beat = Instant::now();
    }

    /// Who does not wait for an answer has no use for it: that it cannot be given is no fault.
    fn obey(&mut self, control: Control, answer: Answer) {
        if self.is_elsewhere() {
            let _gone = answer.send(Err(PlayerError::NotHere));
            return;
        }
        match control {
            Control::Pause => self.playback.pause(),
            Control::Resume => self.playback.resume(),
            Control::RunTo(to) => {
                if let Err(backwards) = self.playback.run_to(to) {
                    let _gone = answer.send(Err(backwards.into()));
                    return;
                }
            }
        }
        self.paused = control == Control::Pause;
        self.end_run(|to, now| Err(PlayerError::Interrupted { to, now }));
        if let Control::RunTo(to) = control {
            self.run = Some((to, answer));
        } else {
            let _gone = answer.send(Ok(()));
        }
    }

    /// Tells who waits for the run under way how it ended, from where it was to run to and where the market is.
    fn end_run(
        &mut self,
        how: impl FnOnce(MarketTime, Option<MarketTime>) -> Result<(), PlayerError>,
    ) {
        if let Some((to, answer)) = self.run.take() {
            let _gone = answer.send(how(to, self.playback.now()));
        }
    }

    /// Hands over what is due, up to one group; whether more is due already.
    async fn group(&mut self, stop: &CancellationToken) -> Result<bool, SourceError> {
        let now = Instant::now();
        let mut elapsed = now.duration_since(std::mem::replace(&mut self.beat, now));
        if self.paused && *self.opened.borrow() {
            return Ok(false);
        }
        let mut group: Vec<Tick> = self.next.take().into_iter().collect();
        while let Some(tick) = self.playback.step(std::mem::take(&mut elapsed))? {
            let cut = group.last().is_some_and(|last| last.at() != tick.at());
            if cut && group.len() >= GROUP {
                self.next = Some(tick);
                break;
            }
            group.push(tick);
        }
        let mut elsewhere = false;
        while !group.is_empty() {
            match self.engine.lines(self.source, group.clone()).await {
                Ok(_) => break,
                Err(error) => {
                    elsewhere |= matches!(error, EngineError::NotRunning);
                    tracing::debug!(%error, "lines are handed in again");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(false),
                        () = tokio::time::sleep(BEAT) => {}
                    }
                }
            }
        }
        let clock = self.engine.board().now().map(|now| now.at);
        if elsewhere && clock > self.playback.now() {
            // another process wrote in between, and its market went on
            self.begin();
        }
        if !self.playback.is_opening() && self.next.is_none() {
            self.opened.send_if_modified(|open| !std::mem::replace(open, true));
        }
        Ok(self.next.is_some() || self.playback.is_opening())
    }
}
