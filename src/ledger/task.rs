//! Drives the Sequencer over a log: takes what waits, appends it, answers; keeps the lease; steps down when somebody
//! else writes. One task, so commands need no lock; a batch forms by itself from what came in while the last one
//! was being appended.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::log::{Appended, Batch, LoadUnit, LoadedStream, Loader, Log, LogFault, Settled};
use super::sequencer::{BATCH_COMMANDS, BATCH_EVENTS, Pending, Reply, Request, Sequencer};
use super::submission::{Committed, CommittedEvent, LedgerError};

/// An append that takes longer counts as lost, and is settled.
const APPEND_DEADLINE: Duration = Duration::from_secs(10);
/// A writer with nothing to append renews its lease this often: a third of the lease.
const RENEWAL: Duration = Duration::from_millis(1_600);
/// Between two attempts to settle a lost answer.
const SETTLE_PAUSE: Duration = Duration::from_millis(200);

/// Where an answer goes.
pub type Ticket = Option<oneshot::Sender<Result<Committed, LedgerError>>>;

/// One call of a client: requests that stay together and in order.
pub type Ask = Vec<Pending<Ticket>>;

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
    loaded: mpsc::UnboundedReceiver<Loaded>,
    loads: mpsc::UnboundedSender<Loaded>,
    waiting: Vec<Pending<Ticket>>,
    key: SigningName,
}

/// The key that this process signs checkpoints with, as the log names it.
#[derive(Clone, Debug)]
pub struct SigningName {
    /// The name in its notes.
    pub name: String,
    /// The Ed25519 key, base64.
    pub public_key: String,
}

type Loaded = (LoadUnit, Result<Vec<LoadedStream>, LogFault>);

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
        key: SigningName,
    ) -> Self {
        let (loads, loaded) = mpsc::unbounded_channel();
        let waiting = Vec::new();
        Self { log, loader, sequencer, shard, lanes, feed, head, now, loaded, loads, waiting, key }
    }

    /// Writes until it is stopped or somebody else writes. Gives the log back, so that it may be released.
    pub async fn run(mut self, stop: &CancellationToken) -> (L, u64, SteppedDown) {
        self.record_take_over();
        let stepped_down = loop {
            if self.waiting.is_empty()
                && let Err(stepped_down) = self.wait(stop).await
            {
                break stepped_down;
            }
            self.drain();
            let formed = self.sequencer.form(std::mem::take(&mut self.waiting), (self.now)());
            answer(formed.replies);
            for unit in formed.loads {
                self.load(unit);
            }
            if let Some(batch) = formed.batch
                && let Err(stepped_down) = self.append(&batch).await
            {
                break stepped_down;
            }
        };
        let epoch = self.sequencer.epoch();
        self.head.send_modify(|head| head.writing = false);
        let error = LedgerError::NotWriter { owner_url: None };
        let unanswered =
            self.waiting.into_iter().map(|pending| (pending.ticket, Err(error.clone())));
        answer(unanswered.collect());
        let in_doubt = match stepped_down {
            // A batch that was being appended may have happened: settling it was refused.
            SteppedDown::Fenced => LedgerError::OutcomeUnknown,
            SteppedDown::Stopped | SteppedDown::Corrupt(_) => error,
        };
        answer(self.sequencer.dissolve(&in_doubt));
        (self.log, epoch, stepped_down)
    }

    fn record_take_over(&mut self) {
        let request = self.sequencer.take_over(&self.key.name, &self.key.public_key);
        self.waiting.insert(0, Pending::new(request, None));
    }

    /// Waits for the first thing to do, and renews the lease meanwhile.
    async fn wait(&mut self, stop: &CancellationToken) -> Result<(), SteppedDown> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(SteppedDown::Stopped),
                Some((unit, streams)) = self.loaded.recv() => {
                    self.take_in(unit, streams);
                    if !self.waiting.is_empty() {
                        return Ok(());
                    }
                }
                Some(ask) = self.lanes.urgent.recv() => {
                    self.waiting.extend(ask);
                    return Ok(());
                }
                Some(ask) = self.lanes.commands.recv() => {
                    self.waiting.extend(ask);
                    return Ok(());
                }
                () = tokio::time::sleep(RENEWAL) => {
                    match self.log.renew(self.shard, self.sequencer.epoch()).await {
                        Ok(true) => {}
                        Ok(false) => return Err(SteppedDown::Fenced),
                        Err(fault) => tracing::warn!(%fault, "the lease could not be renewed"),
                    }
                }
                else => return Err(SteppedDown::Stopped),
            }
        }
    }

    fn take_in(&mut self, unit: LoadUnit, streams: Result<Vec<LoadedStream>, LogFault>) {
        let (replies, waiting) = self.sequencer.loaded(unit, streams);
        answer(replies);
        self.waiting.extend(waiting);
    }

    /// Takes what else waits, urgent lane first, up to the size of a batch.
    fn drain(&mut self) {
        while let Ok((unit, streams)) = self.loaded.try_recv() {
            self.take_in(unit, streams);
        }
        // An order that rests makes 2 events, one that fills 5 in two commands.
        while self.waiting.len() < BATCH_COMMANDS.min(BATCH_EVENTS) {
            let Ok(ask) = self.lanes.urgent.try_recv().or_else(|_| self.lanes.commands.try_recv())
            else {
                return;
            };
            self.waiting.extend(ask);
        }
    }

    fn load(&self, unit: LoadUnit) {
        let (loader, loads) = (Arc::clone(&self.loader), self.loads.clone());
        tokio::spawn(async move {
            let streams = loader.load(unit).await;
            // The writer may have stepped down meanwhile; nobody waits for the answer then.
            drop(loads.send((unit, streams)));
        });
    }

    async fn append(&mut self, batch: &Batch) -> Result<(), SteppedDown> {
        let appended = tokio::time::timeout(APPEND_DEADLINE, self.log.append(batch)).await;
        let appended =
            appended.unwrap_or_else(|_| Err(LogFault::AnswerLost("no answer in time".to_owned())));
        match appended {
            Ok(Appended::Committed) => self.commit(),
            Ok(Appended::HeadMoved) => return Err(SteppedDown::Fenced),
            Ok(Appended::Taken) => self.look_up_keys().await,
            Err(LogFault::Failed(fault)) => {
                tracing::error!(fault, "a batch was not appended; its commands are refused");
                self.refuse_flight(&LedgerError::Unavailable);
            }
            Err(LogFault::Corrupt(fault)) => return Err(SteppedDown::Corrupt(fault)),
            Err(LogFault::AnswerLost(fault)) => {
                tracing::warn!(fault, "the answer to an append was lost; settling it");
                return self.settle(batch).await;
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
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
        let (replies, again) = self.sequencer.abandoned();
        answer(replies);
        answer(again.into_iter().map(|pending| (pending.ticket, Err(error.clone()))).collect());
    }

    /// Something of the batch is taken: a key that was used before this process remembered, or a defect.
    async fn look_up_keys(&mut self) {
        let hashes = self.sequencer.keys_in_flight();
        match self.log.keys(&hashes).await {
            Ok(taken) => {
                let (replies, again) = self.sequencer.abandoned();
                self.sequencer.known(&taken);
                answer(replies);
                self.waiting.splice(0..0, again);
            }
            Err(fault) => {
                tracing::error!(%fault, "keys cannot be looked up");
                self.refuse_flight(&LedgerError::Unavailable);
            }
        }
    }

    /// Asks until the log answers whether the batch committed. The question raises the epoch, so that the batch
    /// cannot commit later.
    async fn settle(&mut self, batch: &Batch) -> Result<(), SteppedDown> {
        loop {
            match self.log.settle(self.shard, self.sequencer.epoch()).await {
                Ok(Settled::Theirs) => return Err(SteppedDown::Fenced),
                Ok(Settled::Mine { epoch, position, tape_place }) => {
                    self.sequencer.fenced(epoch);
                    let reached = (position, tape_place);
                    if reached == (batch.head.position, batch.head.tape_place) {
                        self.commit();
                    } else if reached == (batch.expected_position, batch.expected_tape_place) {
                        let (replies, again) = self.sequencer.abandoned();
                        answer(replies);
                        self.waiting.splice(0..0, again);
                    } else {
                        let fault = format!(
                            "the head is at {reached:?} after a batch that ended elsewhere"
                        );
                        return Err(SteppedDown::Corrupt(fault));
                    }
                    self.record_take_over();
                    return Ok(());
                }
                Err(fault) => {
                    tracing::warn!(%fault, "a lost answer cannot be settled yet");
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
            }
        }
    }
}

fn answer(replies: Vec<Reply<Ticket>>) {
    for (ticket, reply) in replies {
        if let Some(ticket) = ticket {
            // A caller that went away does not want the answer.
            drop(ticket.send(reply));
        }
    }
}

/// A request whose answer comes by the receiver.
pub fn asked(
    request: Request,
) -> (Pending<Ticket>, oneshot::Receiver<Result<Committed, LedgerError>>) {
    let (ticket, answer) = oneshot::channel();
    (Pending::new(request, Some(ticket)), answer)
}
