//! Drives the Sequencer over a log: takes what waits, appends it, answers; keeps the lease; steps down when somebody
//! else writes. One task, so commands need no lock; a batch forms by itself from what came in while the last one
//! was being appended.
//!
//! Every caller is answered by what is known: "not carried out" only when that is certain, "outcome unknown" when a
//! batch may have committed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::log::{Appended, Batch, LoadUnit, Loaded, Loader, Log, LogFault};
use super::sequencer::{BATCH_COMMANDS, Pending, Reply, Request, Sequencer, Settlement};
use super::submission::{Committed, CommittedEvent, LedgerError};

/// A call to the log that takes longer counts as lost. A lost append is settled.
const DEADLINE: Duration = Duration::from_secs(10);
/// A writer that has not appended for this long renews its lease: a third of the lease.
const RENEWAL: Duration = Duration::from_millis(1_600);
/// Between two attempts to settle a lost answer, and before a failed load is answered: a storm of either against a
/// database that fails is no help.
const PAUSE: Duration = Duration::from_millis(200);
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

/// The two lanes of a writer. Cancels and the engine do not wait behind new orders.
pub struct Lanes {
    /// Cancels, and what the engine causes.
    pub urgent: mpsc::Receiver<Ask>,
    /// Everything else.
    pub commands: mpsc::Receiver<Ask>,
}

/// A Sequencer with what it needs to run.
pub struct Driver<L> {
    log: L,
    loader: Arc<dyn Loader>,
    sequencer: Sequencer<Ticket>,
    shard: u16,
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
        Self {
            log,
            loader,
            sequencer,
            shard,
            lanes,
            feed,
            head,
            now,
            loaded,
            loads,
            waiting,
            heard,
            purged: None,
        }
    }

    /// Writes until it is stopped or somebody else writes. Gives the log back, so that it may be released.
    pub async fn run(mut self, stop: &CancellationToken) -> (L, u64, SteppedDown) {
        let stepped_down = loop {
            if let Err(stepped_down) = self.step(stop).await {
                break stepped_down;
            }
        };
        let epoch = self.sequencer.epoch();
        self.head.send_modify(|head| head.writing = false);
        let Lanes { mut urgent, mut commands } = self.lanes;
        urgent.close();
        commands.close();
        let queued = std::iter::from_fn(|| urgent.try_recv().or_else(|_| commands.try_recv()).ok());
        // What was never in a batch has not happened.
        refuse(self.waiting.into_iter().chain(queued), &not_writer());
        answer(self.sequencer.dissolve());
        (self.log, epoch, stepped_down)
    }

    async fn step(&mut self, stop: &CancellationToken) -> Result<(), SteppedDown> {
        if stop.is_cancelled() {
            return Err(SteppedDown::Stopped);
        }
        if self.waiting.is_empty() && !self.may_record_epoch() {
            self.wait(stop).await?;
        } else if self.heard.elapsed() >= RENEWAL {
            // Busy, but nothing was appended: refusals, or appends that fail.
            self.renew().await?;
        }
        self.purge();
        self.drain();
        let formed = self.sequencer.form(std::mem::take(&mut self.waiting), (self.now)());
        self.waiting = formed.rest;
        answer(formed.replies);
        for unit in formed.loads {
            self.load(unit);
        }
        match formed.batch {
            Some(batch) => self.append(&batch, stop).await,
            None => Ok(()),
        }
    }

    /// Whether there is a take-over to record that does not wait for a load.
    fn may_record_epoch(&self) -> bool {
        self.sequencer.must_record_epoch() && !self.sequencer.waits_for_writer()
    }

    /// Waits for the first thing to do, and renews the lease meanwhile.
    async fn wait(&mut self, stop: &CancellationToken) -> Result<(), SteppedDown> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(SteppedDown::Stopped),
                Some((unit, loaded)) = self.loaded.recv() => {
                    self.take_in(unit, loaded);
                    if !self.waiting.is_empty() || self.may_record_epoch() {
                        return Ok(());
                    }
                }
                Some(ask) = self.lanes.urgent.recv() => {
                    self.waiting.push(ask);
                    return Ok(());
                }
                Some(ask) = self.lanes.commands.recv() => {
                    self.waiting.push(ask);
                    return Ok(());
                }
                () = tokio::time::sleep_until(self.heard + RENEWAL) => self.renew().await?,
                else => return Err(SteppedDown::Stopped),
            }
        }
    }

    async fn renew(&mut self) -> Result<(), SteppedDown> {
        let renewed = timeout(DEADLINE, self.log.renew(self.shard, self.sequencer.epoch())).await;
        // Also after a failure: the next attempt waits its turn.
        self.heard = Instant::now();
        match renewed {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Err(SteppedDown::Fenced),
            Ok(Err(fault)) => tracing::warn!(%fault, "the lease could not be renewed"),
            Err(_) => tracing::warn!("the lease could not be renewed in time"),
        }
        Ok(())
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

    fn take_in(&mut self, unit: LoadUnit, loaded: Result<Loaded, LogFault>) {
        let (replies, waiting) = self.sequencer.loaded(unit, loaded);
        answer(replies);
        self.waiting.extend(waiting);
    }

    /// Takes what else waits, urgent lane first, up to the size of a batch.
    fn drain(&mut self) {
        while let Ok((unit, loaded)) = self.loaded.try_recv() {
            self.take_in(unit, loaded);
        }
        while self.waiting.len() < BATCH_COMMANDS {
            let Ok(ask) = self.lanes.urgent.try_recv().or_else(|_| self.lanes.commands.try_recv())
            else {
                return;
            };
            self.waiting.push(ask);
        }
    }

    fn load(&self, unit: LoadUnit) {
        let (loader, loads) = (Arc::clone(&self.loader), self.loads.clone());
        tokio::spawn(async move {
            let loaded = loader.load(unit).await;
            if loaded.is_err() {
                sleep(PAUSE).await;
            }
            // The writer may have stepped down meanwhile; nobody waits for the answer then.
            drop(loads.send((unit, loaded)));
        });
    }

    async fn append(&mut self, batch: &Batch, stop: &CancellationToken) -> Result<(), SteppedDown> {
        let began = Instant::now();
        let appended = timeout(DEADLINE, self.log.append(batch)).await;
        metrics::histogram!("blotter_append_seconds").record(began.elapsed());
        metrics::counter!("blotter_batches_total").increment(1);
        metrics::counter!("blotter_events_total").increment(batch.events.len() as u64);
        let late = || Err(LogFault::AnswerLost("no answer in time".to_owned()));
        match appended.unwrap_or_else(|_| late()) {
            Ok(Appended::Committed) => self.commit(),
            Ok(Appended::HeadMoved) => {
                // Certain: nothing of it was written, by this statement or any other.
                self.refuse_flight(&not_writer());
                return Err(SteppedDown::Fenced);
            }
            Ok(Appended::Taken) => self.look_up_keys().await,
            Err(LogFault::Failed(fault)) => {
                tracing::error!(fault, "a batch was not appended; its commands are refused");
                self.refuse_flight(&LedgerError::Unavailable);
            }
            Err(LogFault::Corrupt(fault)) => return Err(SteppedDown::Corrupt(fault)),
            Err(LogFault::AnswerLost(fault)) => {
                tracing::warn!(fault, "the answer to an append was lost; settling it");
                return self.settle(batch, stop).await;
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        self.heard = Instant::now();
        let (replies, events) = self.sequencer.committed();
        let (position, tape_place) =
            (self.sequencer.head().position, self.sequencer.head().tape_place);
        let epoch = self.sequencer.epoch();
        // The engine reads ahead of the callers: an order is in its book before its placer is answered.
        drop(self.feed.send(events));
        self.head.send_replace(HeadView { position, tape_place, epoch, writing: true });
        answer(replies);
    }

    fn refuse_flight(&mut self, error: &LedgerError) {
        let (replies, again) = self.sequencer.abandoned(error);
        answer(replies);
        refuse(again, error);
    }

    fn form_again(&mut self, error: &LedgerError) {
        let (replies, again) = self.sequencer.abandoned(error);
        answer(replies);
        self.waiting.splice(0..0, again);
    }

    /// Something of the batch is taken: a key that was used before this process remembered, or a defect.
    async fn look_up_keys(&mut self) {
        let hashes = self.sequencer.keys_in_flight();
        let keys = timeout(DEADLINE, self.log.keys(&hashes)).await;
        match keys.unwrap_or_else(|_| Err(LogFault::Failed("no answer in time".to_owned()))) {
            Ok(taken) => {
                self.form_again(&LedgerError::Defect);
                self.sequencer.known(&taken);
            }
            Err(fault) => {
                tracing::error!(%fault, "keys cannot be looked up");
                self.refuse_flight(&LedgerError::Unavailable);
            }
        }
    }

    /// Asks until the log answers whether the batch committed. The question raises the epoch, so that the batch
    /// cannot commit later.
    async fn settle(&mut self, batch: &Batch, stop: &CancellationToken) -> Result<(), SteppedDown> {
        loop {
            let settled = self.log.settle(self.shard, self.sequencer.epoch());
            let settled = timeout(DEADLINE, settled).await;
            match settled.unwrap_or_else(|_| Err(LogFault::Failed("no answer in time".to_owned())))
            {
                Ok(settled) => match self.sequencer.settled(&settled, batch) {
                    Settlement::Committed => self.commit(),
                    Settlement::Abandoned => self.form_again(&LedgerError::Unavailable),
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
            return Ok(());
        }
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
