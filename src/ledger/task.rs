//! Drives the Sequencer over a log: takes what waits, appends it, answers; keeps the lease; steps down when somebody
//! else writes. One task, so commands need no lock; a batch forms by itself from what comes in while the last one
//! is being appended, goes out as soon as that one is known to have committed, and only then are the answers given.
//!
//! Every caller is answered by what is known: "not carried out" only when that is certain, "outcome unknown" when a
//! batch may have committed.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::log::{Appended, Batch, Head, LoadUnit, Loaded, Loader, Log, LogFault};
use super::sequencer::{BATCH_COMMANDS, Pending, Reply, Request, Sent, Sequencer, Settlement};
use super::submission::{Committed, CommittedEvent, LedgerError};

/// A call to the log that takes longer counts as lost. A lost append is settled.
const DEADLINE: Duration = Duration::from_secs(10);
/// A writer that has not appended for this long renews its lease: a third of the lease.
const RENEWAL: Duration = Duration::from_millis(1_600);
/// Between two attempts to settle a lost answer, and before a failed load is answered: a storm of either against a
/// database that fails is no help.
const PAUSE: Duration = Duration::from_millis(200);
/// Calls decided at once while a batch is under way: its answer waits no longer than these take.
const SLICE: usize = 32;
/// Of so many calls that are taken, one comes from the lane of ordinary commands if one waits there: cancels and the
/// engine come first, and however many they are, new orders get their turn.
const TURN: usize = 4;
/// How often old keys are dropped.
const PURGE: Duration = Duration::from_secs(600);

/// Where an answer goes.
pub type Ticket = Option<oneshot::Sender<Result<Committed, LedgerError>>>;

/// One call of a client: requests that stay together and in order.
pub type Ask = Pending<Ticket>;

/// What is known of the end of the log in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadView {
    /// The last position that is known to be committed.
    pub position: u64,
    /// The last place of the tape.
    pub tape_place: u64,
    /// The epoch of the writer.
    pub epoch: u64,
    /// Whether this process writes.
    pub writing: bool,
}

/// Why a writer stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteppedDown {
    /// The process ends.
    #[error("the process ends")]
    Stopped,
    /// The head has another epoch, position or place than this writer gave it.
    #[error("another process writes the log now")]
    Fenced,
    /// The log contradicts itself.
    #[error("the log is corrupt: {0}")]
    Corrupt(String),
}

/// The two lanes of a writer. Cancels and the engine do not wait behind new orders, and cannot keep them out.
pub struct Lanes {
    /// Cancels, and what the engine causes.
    pub urgent: mpsc::Receiver<Ask>,
    /// Everything else.
    pub commands: mpsc::Receiver<Ask>,
}

impl Lanes {
    /// The call to take after `taken` others, if one waits: an urgent one, but each [`TURN`]th an ordinary one.
    fn next(&mut self, taken: usize) -> Option<Ask> {
        let Self { urgent, commands } = self;
        let next = if taken % TURN == TURN - 1 {
            commands.try_recv().or_else(|_| urgent.try_recv())
        } else {
            urgent.try_recv().or_else(|_| commands.try_recv())
        };
        next.ok()
    }
}

/// A Sequencer with the log that it writes.
pub struct Driver<L> {
    log: L,
    shard: u16,
    desk: Desk,
}

/// All of a driver but the log, so that it works on while the log appends.
struct Desk {
    loader: Arc<dyn Loader>,
    sequencer: Sequencer<Ticket>,
    lanes: Lanes,
    feed: mpsc::UnboundedSender<Vec<Arc<CommittedEvent>>>,
    head: watch::Sender<HeadView>,
    now: fn() -> DateTime<Utc>,
    loaded: mpsc::UnboundedReceiver<Arrival>,
    loads: mpsc::UnboundedSender<Arrival>,
    waiting: Vec<Ask>,
    /// When the log last answered that this writer's epoch holds.
    heard: Instant,
    purged: Option<Instant>,
}

type Arrival = (LoadUnit, Result<Loaded, LogFault>);

/// What a commit makes known: the events to the engine, the head to readers, the answers to callers.
struct News {
    events: Vec<Arc<CommittedEvent>>,
    head: HeadView,
    replies: Vec<Reply<Ticket>>,
}

impl<L: Log> Driver<L> {
    /// A driver that has yet to record its take-over.
    #[expect(clippy::too_many_arguments, reason = "the parts that a writer is composed of")]
    pub fn new(
        log: L,
        loader: Arc<dyn Loader>,
        sequencer: Sequencer<Ticket>,
        shard: u16,
        lanes: Lanes,
        feed: mpsc::UnboundedSender<Vec<Arc<CommittedEvent>>>,
        head: watch::Sender<HeadView>,
        now: fn() -> DateTime<Utc>,
    ) -> Self {
        let (loads, loaded) = mpsc::unbounded_channel();
        let (waiting, heard) = (Vec::new(), Instant::now());
        let desk = Desk {
            loader,
            sequencer,
            lanes,
            feed,
            head,
            now,
            loaded,
            loads,
            waiting,
            heard,
            purged: None,
        };
        Self { log, shard, desk }
    }

    /// Writes until it is stopped or somebody else writes. Gives the log back, so that it may be released.
    pub async fn run(mut self, stop: &CancellationToken) -> (L, u64, SteppedDown) {
        let stepped_down = loop {
            if let Err(stepped_down) = self.step(stop).await {
                break stepped_down;
            }
        };
        let desk = self.desk;
        let epoch = desk.sequencer.epoch();
        desk.head.send_modify(|head| head.writing = false);
        let Lanes { mut urgent, mut commands } = desk.lanes;
        urgent.close();
        commands.close();
        let queued = std::iter::from_fn(|| urgent.try_recv().or_else(|_| commands.try_recv()).ok());
        // What was never in a batch has not happened.
        refuse(desk.waiting.into_iter().chain(queued), &not_writer());
        answer(desk.sequencer.dissolve());
        (self.log, epoch, stepped_down)
    }

    async fn step(&mut self, stop: &CancellationToken) -> Result<(), SteppedDown> {
        if stop.is_cancelled() {
            return Err(SteppedDown::Stopped);
        }
        if !self.desk.has_work() {
            self.wait(stop).await?;
        } else if self.desk.heard.elapsed() >= RENEWAL {
            // Busy, but nothing was appended: refusals, or appends that fail.
            self.renew().await?;
        }
        self.desk.take(BATCH_COMMANDS);
        let mut next = self.desk.send();
        let mut news = None;
        while let Some(batch) = next {
            news = self.append(&batch, news, stop).await?;
            if stop.is_cancelled() {
                break;
            }
            next = news.as_ref().and_then(|_| self.desk.send());
        }
        news.into_iter().for_each(|news| self.desk.publish(news));
        Ok(())
    }

    /// Waits for the first thing to do, and renews the lease meanwhile.
    async fn wait(&mut self, stop: &CancellationToken) -> Result<(), SteppedDown> {
        while !self.desk.has_work() {
            let renewal = self.desk.heard + RENEWAL;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(SteppedDown::Stopped),
                arrived = self.desk.arrival() => arrived?,
                () = tokio::time::sleep_until(renewal) => self.renew().await?,
            }
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), SteppedDown> {
        let renewed = timeout(DEADLINE, self.log.renew(self.shard, self.desk.sequencer.epoch()));
        let renewed = renewed.await;
        // Also after a failure: the next attempt waits its turn.
        self.desk.heard = Instant::now();
        match renewed {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Err(SteppedDown::Fenced),
            Ok(Err(fault)) => tracing::warn!(%fault, "the lease could not be renewed"),
            Err(_) => tracing::warn!("the lease could not be renewed in time"),
        }
        Ok(())
    }

    /// Appends a batch, publishes the `news` of the one before while it is under way, and forms the next. Gives what
    /// it made known if it committed.
    async fn append(
        &mut self,
        batch: &Batch,
        news: Option<News>,
        stop: &CancellationToken,
    ) -> Result<Option<News>, SteppedDown> {
        let began = Instant::now();
        let appended = {
            let mut append = pin!(timeout(DEADLINE, self.log.append(batch)));
            // The statement goes out first.
            let early = poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
            news.into_iter().for_each(|news| self.desk.publish(news));
            match early {
                Poll::Ready(appended) => appended,
                Poll::Pending => self.desk.work_until(append).await,
            }
        };
        metrics::histogram!("blotter_append_seconds").record(began.elapsed());
        metrics::counter!("blotter_batches_total").increment(1);
        metrics::counter!("blotter_events_total").increment(batch.events.len() as u64);
        let late = || Err(LogFault::AnswerLost("no answer in time".to_owned()));
        match appended.unwrap_or_else(|_| late()) {
            Ok(Appended::Committed) => return Ok(Some(self.desk.commit())),
            Ok(Appended::HeadMoved) => {
                // Certain: nothing of it was written, by this statement or any other.
                self.desk.refuse_flight(&not_writer());
                return Err(SteppedDown::Fenced);
            }
            Ok(Appended::Taken) => self.look_up_keys().await,
            Err(LogFault::Failed(fault)) => {
                tracing::error!(fault, "a batch was not appended; its commands are refused");
                self.desk.refuse_flight(&LedgerError::Unavailable);
            }
            Err(LogFault::Corrupt(fault)) => return Err(SteppedDown::Corrupt(fault)),
            Err(LogFault::AnswerLost(fault)) => {
                tracing::warn!(fault, "the answer to an append was lost; settling it");
                return self.settle(batch, stop).await;
            }
        }
        Ok(None)
    }

    /// Something of the batch is taken: a key that was used before this process remembered, or a defect.
    async fn look_up_keys(&mut self) {
        let hashes = self.desk.sequencer.keys_in_flight();
        let keys = timeout(DEADLINE, self.log.keys(&hashes)).await;
        match keys.unwrap_or_else(|_| Err(LogFault::Failed("no answer in time".to_owned()))) {
            Ok(taken) => self.desk.come_again(|sequencer| sequencer.taken(&taken)),
            Err(fault) => {
                tracing::error!(%fault, "keys cannot be looked up");
                self.desk.refuse_flight(&LedgerError::Unavailable);
            }
        }
    }

    /// Asks until the log answers whether the batch committed. The question raises the epoch, so that the batch
    /// cannot commit later.
    async fn settle(
        &mut self,
        batch: &Batch,
        stop: &CancellationToken,
    ) -> Result<Option<News>, SteppedDown> {
        loop {
            let settled = self.log.settle(self.shard, self.desk.sequencer.epoch());
            let settled = timeout(DEADLINE, settled).await;
            match settled.unwrap_or_else(|_| Err(LogFault::Failed("no answer in time".to_owned())))
            {
                Ok(settled) => match self.desk.sequencer.settled(&settled, batch) {
                    Settlement::Committed => return Ok(Some(self.desk.commit())),
                    Settlement::Abandoned => {
                        self.desk.come_again(|it| it.abandoned(&LedgerError::Unavailable));
                    }
                    Settlement::Fenced => return Err(SteppedDown::Fenced),
                    Settlement::Corrupt(fault) => return Err(SteppedDown::Corrupt(fault)),
                },
                Err(fault) => {
                    tracing::warn!(%fault, "a lost answer cannot be settled yet");
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Err(SteppedDown::Stopped),
                        () = sleep(PAUSE) => continue,
                    }
                }
            }
            return Ok(None);
        }
    }
}

impl Desk {
    /// Whether there is something to form a batch of, a take-over that does not wait for a load included.
    fn has_work(&self) -> bool {
        let epoch = self.sequencer.must_record_epoch() && !self.sequencer.waits_for_writer();
        epoch || !self.waiting.is_empty() || self.sequencer.has_work()
    }

    /// Waits for a call or a load. Fails when no more can come.
    async fn arrival(&mut self) -> Result<(), SteppedDown> {
        tokio::select! {
            biased;
            Some((unit, loaded)) = self.loaded.recv() => self.take_in(unit, loaded),
            Some(ask) = self.lanes.urgent.recv() => self.waiting.push(ask),
            Some(ask) = self.lanes.commands.recv() => self.waiting.push(ask),
            else => return Err(SteppedDown::Stopped),
        }
        Ok(())
    }

    /// Forms the next batch of what arrives until `appended` is there.
    async fn work_until<T>(&mut self, mut appended: impl Future<Output = T> + Unpin) -> T {
        loop {
            let room = self.waiting.is_empty() && !self.sequencer.holds();
            tokio::select! {
                biased;
                appended = &mut appended => return appended,
                arrived = self.arrival(), if room => match arrived {
                    Ok(()) => self.take(SLICE),
                    Err(_) => return appended.await,
                },
            }
        }
    }

    /// Takes what waits into the open batch, `calls` at the most.
    fn take(&mut self, calls: usize) {
        self.purge();
        while let Ok((unit, loaded)) = self.loaded.try_recv() {
            self.take_in(unit, loaded);
        }
        while self.waiting.len() < calls {
            let Some(ask) = self.lanes.next(self.waiting.len()) else { break };
            self.waiting.push(ask);
        }
        let formed = self.sequencer.take(std::mem::take(&mut self.waiting), (self.now)());
        self.waiting = formed.rest;
        answer(formed.replies);
        for unit in formed.loads {
            self.load(unit);
        }
    }

    /// Closes the open batch.
    fn send(&mut self) -> Option<Batch> {
        let Sent { batch, replies } = self.sequencer.send();
        answer(replies);
        batch
    }

    fn take_in(&mut self, unit: LoadUnit, loaded: Result<Loaded, LogFault>) {
        let (replies, waiting) = self.sequencer.loaded(unit, loaded);
        answer(replies);
        self.waiting.extend(waiting);
    }

    fn load(&self, unit: LoadUnit) {
        let (loader, loads) = (Arc::clone(&self.loader), self.loads.clone());
        tokio::spawn(async move {
            // Whoever waits for it would wait for ever.
            let loaded = AssertUnwindSafe(loader.load(unit)).catch_unwind().await;
            let loaded =
                loaded.unwrap_or_else(|_| Err(LogFault::Failed("loading panicked".to_owned())));
            if loaded.is_err() {
                sleep(PAUSE).await;
            }
            // The writer may have stepped down meanwhile; nobody waits for the answer then.
            drop(loads.send((unit, loaded)));
        });
    }

    fn purge(&mut self) {
        if self.purged.is_some_and(|last| last.elapsed() < PURGE) {
            return;
        }
        self.purged = Some(Instant::now());
        let loader = Arc::clone(&self.loader);
        tokio::spawn(async move {
            if let Err(fault) = loader.purge_keys().await {
                tracing::warn!(%fault, "old keys could not be dropped; that is tried again later");
            }
        });
    }

    fn commit(&mut self) -> News {
        self.heard = Instant::now();
        let (replies, events) = self.sequencer.committed();
        let Head { position, tape_place, .. } = *self.sequencer.head();
        let epoch = self.sequencer.epoch();
        let head = HeadView { position, tape_place, epoch, writing: true };
        News { events, head, replies }
    }

    /// The engine reads ahead of the callers: an order is in its book before its placer is answered.
    fn publish(&self, News { events, head, replies }: News) {
        drop(self.feed.send(events));
        self.head.send_replace(head);
        answer(replies);
    }

    fn refuse_flight(&mut self, error: &LedgerError) {
        let (replies, again) = self.sequencer.abandoned(error);
        answer(replies);
        refuse(again, error);
    }

    fn come_again(
        &mut self,
        given_up: impl FnOnce(&mut Sequencer<Ticket>) -> (Vec<Reply<Ticket>>, Vec<Ask>),
    ) {
        let (replies, again) = given_up(&mut self.sequencer);
        answer(replies);
        self.waiting.splice(0..0, again);
    }
}

fn not_writer() -> LedgerError {
    LedgerError::NotWriter { owner_url: None }
}

fn refuse(asks: impl IntoIterator<Item = Ask>, error: &LedgerError) {
    let tickets = asks.into_iter().flat_map(Pending::into_tickets);
    answer(tickets.map(|ticket| (ticket, Err(error.clone()))).collect());
}

fn answer(replies: Vec<Reply<Ticket>>) {
    for (ticket, reply) in replies {
        if let Some(ticket) = ticket {
            // A caller that went away does not want the answer.
            drop(ticket.send(reply));
        }
    }
}

/// Requests that stay together and in order, and where their answers come.
pub fn asked(
    requests: Vec<Request>,
) -> (Option<Ask>, Vec<oneshot::Receiver<Result<Committed, LedgerError>>>) {
    let mut answers = Vec::with_capacity(requests.len());
    let ticketed = requests.into_iter().map(|request| {
        let (ticket, answer) = oneshot::channel();
        answers.push(answer);
        (request, Some(ticket))
    });
    (Pending::together(ticketed.collect()), answers)
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
