//! The handle that everybody submits through, and the campaign that makes this process the writer when it may.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use aggregates::rules::Rules;
use aggregates::trading::{Command, Impact, Trial};
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::log::{Loader, LogFault};
use super::postgres::{Bid, Owner, PostgresLog, TakenOver};
use super::sequencer::{Entropy, Request, Sequencer, SigningName};
use super::submission::{Committed, CommittedEvent, LedgerError, Submission, TapeBlock};
use super::task::{Ask, Driver, HeadView, Lanes, SteppedDown, asked};

/// Calls that wait in the lane of ordinary commands at the most; beyond it callers are told to come back.
const COMMAND_LANE: usize = 4_096;
/// Calls that wait in the lane of cancels and of the engine at the most.
const URGENT_LANE: usize = 4_096;
/// After this time a caller is told that the outcome is unknown.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(10);
/// How often a process that does not write asks whether it may.
const CAMPAIGN_PAUSE: Duration = Duration::from_millis(500);

/// A take-over or a release that takes longer is given up, and tried again.
const TAKE_OVER_DEADLINE: Duration = Duration::from_secs(5);

/// The only shard of this version.
pub const SHARD: u16 = 0;

/// Who may be asked to write.
#[derive(Clone)]
enum Role {
    /// Nobody is known to write: this process has not asked for the log yet, or has just lost it.
    Candidate,
    /// Another process writes.
    Standby {
        /// Where the writer listens, as far as it is known.
        writer_url: Option<String>,
    },
    Writer {
        urgent: mpsc::Sender<Ask>,
        commands: mpsc::Sender<Ask>,
    },
}

struct Shared {
    role: RwLock<Role>,
    head: watch::Sender<HeadView>,
}

/// The ledger, as REST, MCP and the engine see it. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

/// A term of this process as the writer.
pub struct Tenure {
    /// Where the log ended when it began.
    pub taken: TakenOver,
    /// Every committed event from then on, in order, a batch at a time. Ends with the term.
    pub feed: mpsc::UnboundedReceiver<Vec<Arc<CommittedEvent>>>,
}

/// Lines of the tape and what they caused.
#[derive(Clone, Debug)]
pub struct Work {
    /// The lines; none for a second round of the same line.
    pub block: Option<TapeBlock>,
    /// What they caused, in order.
    pub submissions: Vec<Submission>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Ledger {
    /// A ledger that nobody writes yet.
    pub fn new() -> Self {
        let (head, _) = watch::channel(HeadView::default());
        Self { shared: Arc::new(Shared { role: RwLock::new(Role::Candidate), head }) }
    }

    /// The end of the log as this process knows it: exact while it writes.
    pub fn head(&self) -> watch::Receiver<HeadView> {
        self.shared.head.subscribe()
    }

    /// Whether this process writes.
    pub fn is_writer(&self) -> bool {
        self.shared.head.borrow().writing
    }

    /// Whether another process is known to write: this one waits for its turn.
    pub fn another_writes(&self) -> bool {
        matches!(self.role(), Role::Standby { .. })
    }

    /// Carries one command out. Answers when its events are durable.
    pub async fn submit(&self, submission: Submission) -> Result<Committed, LedgerError> {
        let urgent =
            matches!(submission.command, Command::Cancel { .. } | Command::CancelAll { .. });
        self.ask_one(Request::Command(Box::new(submission)), urgent).await
    }

    /// Tells what an order would come to, and the position of the log that this stands on. It takes its turn among
    /// the commands, so that it sees what was committed before it was asked; nothing of it is appended.
    ///
    /// # Errors
    /// The refusal that placing would meet, or the ledger's.
    pub async fn preview(&self, trial: Trial) -> Result<(Impact, u64), LedgerError> {
        let told = self.ask_one(Request::Preview(Box::new(trial)), false).await?;
        let position = told.position;
        told.impact.map(|impact| (*impact, position)).ok_or(LedgerError::Defect)
    }

    /// Appends lines of the tape with what they caused, in one statement and in order. The outer error is that of
    /// the lines: none of it happened, or its outcome is unknown. The inner ones are of single commands. Waits for as long
    /// as this process writes: who works the tape goes on with what became of a line, and reading the log cannot tell it
    /// while the log may yet take it.
    pub async fn work(
        &self,
        work: Work,
    ) -> Result<Vec<Result<Committed, LedgerError>>, LedgerError> {
        let taped = work.block.is_some();
        let caused = work.submissions.into_iter().map(Box::new).map(Request::Command);
        let requests = work.block.map(Request::Tape).into_iter().chain(caused).collect();
        let (ask, answers) = asked(requests);
        let Some(ask) = ask else { return Ok(Vec::new()) };
        self.send(ask, true)?;
        let mut answers = answers.into_iter();
        if taped && let Some(lines) = answers.next() {
            answered(lines).await?;
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(answered(answer).await);
        }
        Ok(results)
    }

    /// Appends events that were decided elsewhere to one stream, if it has `expected` events.
    pub(super) async fn append(&self, request: Request) -> Result<Committed, LedgerError> {
        self.ask_one(request, false).await
    }

    async fn ask_one(&self, request: Request, urgent: bool) -> Result<Committed, LedgerError> {
        let (ticket, answer) = oneshot::channel();
        self.send(Ask::new(request, Some(ticket)), urgent)?;
        wait(answer).await
    }

    fn send(&self, ask: Ask, urgent: bool) -> Result<(), LedgerError> {
        let Role::Writer { urgent: fast, commands } = self.role() else {
            return Err(self.not_writer());
        };
        let lane = if urgent { fast } else { commands };
        lane.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LedgerError::Busy,
            mpsc::error::TrySendError::Closed(_) => LedgerError::NotWriter { owner_url: None },
        })
    }

    /// The error of a command that this process cannot carry out because another writes: names that one.
    pub fn not_writer(&self) -> LedgerError {
        let owner_url = match self.role() {
            Role::Standby { writer_url } => writer_url,
            Role::Candidate | Role::Writer { .. } => None,
        };
        LedgerError::NotWriter { owner_url }
    }

    fn role(&self) -> Role {
        self.shared.role.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set_role(&self, role: Role) {
        *self.shared.role.write().unwrap_or_else(std::sync::PoisonError::into_inner) = role;
    }

    /// Asks for the log until it may write, writes until it must stop, and begins again; ends with `stop`, or when
    /// the log is corrupt. Each term is announced on `tenures`.
    pub async fn campaign(
        &self,
        campaign: Campaign,
        stop: CancellationToken,
    ) -> Result<(), SteppedDown> {
        let mut log = campaign.log;
        loop {
            let taken = loop {
                let taken = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    taken = tokio::time::timeout(TAKE_OVER_DEADLINE, log.take_over(SHARD, &campaign.owner)) => taken,
                };
                match taken {
                    Ok(Ok(Bid::Won(taken))) => break taken,
                    Ok(Ok(Bid::Held { url })) => self.set_role(Role::Standby { writer_url: url }),
                    Ok(Err(fault @ LogFault::Corrupt(_))) => {
                        return Err(SteppedDown::Corrupt(fault.to_string()));
                    }
                    Ok(Err(fault)) => tracing::warn!(%fault, "the log cannot be taken over yet"),
                    Err(_) => {
                        tracing::warn!("the log does not answer; it cannot be taken over yet")
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(CAMPAIGN_PAUSE) => {}
                }
            };
            tracing::info!(
                epoch = taken.epoch,
                position = taken.head.position,
                "this process writes the log"
            );
            let (urgent, urgent_lane) = mpsc::channel(URGENT_LANE);
            let (commands, command_lane) = mpsc::channel(COMMAND_LANE);
            let (feed, feed_end) = mpsc::unbounded_channel();
            let rules = campaign.rules.clone();
            let sequencer = Sequencer::new(
                SHARD,
                taken.epoch,
                taken.head.clone(),
                rules,
                (campaign.entropy)(),
                campaign.key.clone(),
            );
            let lanes = Lanes { urgent: urgent_lane, commands: command_lane };
            let (loader, head) = (Arc::clone(&campaign.loader), self.shared.head.clone());
            let driver =
                Driver::new(log, loader, sequencer, SHARD, lanes, feed, head, campaign.now);
            if campaign.tenures.send(Tenure { taken, feed: feed_end }).await.is_err() {
                return Ok(());
            }
            self.set_role(Role::Writer { urgent, commands });
            let (returned, epoch, why) = driver.run(&stop).await;
            self.set_role(Role::Candidate);
            log = returned;
            match why {
                SteppedDown::Stopped => {
                    let released =
                        tokio::time::timeout(TAKE_OVER_DEADLINE, log.release(SHARD, epoch)).await;
                    if !matches!(released, Ok(Ok(()))) {
                        tracing::warn!(
                            ?released,
                            "the log could not be given back; others wait for the lease"
                        );
                    }
                    return Ok(());
                }
                SteppedDown::Fenced => tracing::warn!(epoch, "another process writes the log now"),
                SteppedDown::Corrupt(_) => return Err(why),
            }
        }
    }
}

/// What a process campaigns with.
pub struct Campaign {
    /// The writing side of the log.
    pub log: PostgresLog,
    /// The loading side.
    pub loader: Arc<dyn Loader>,
    /// How this process shows itself.
    pub owner: Owner,
    /// The settings that decisions depend on.
    pub rules: Rules,
    /// The key that it signs checkpoints with.
    pub key: SigningName,
    /// The wall clock.
    pub now: fn() -> DateTime<Utc>,
    /// Where salts and ids come from.
    pub entropy: fn() -> Box<dyn Entropy>,
    /// Told of each term.
    pub tenures: mpsc::Sender<Tenure>,
}

type Answer = oneshot::Receiver<Result<Committed, LedgerError>>;

/// What became of a request; unknown when the writer went away with the ticket.
async fn answered(answer: Answer) -> Result<Committed, LedgerError> {
    answer.await.unwrap_or(Err(LedgerError::OutcomeUnknown))
}

/// The same for who cannot wait for ever: the writer may still be at it.
async fn wait(answer: Answer) -> Result<Committed, LedgerError> {
    let answer = tokio::time::timeout(SUBMIT_DEADLINE, answered(answer)).await;
    answer.unwrap_or(Err(LedgerError::OutcomeUnknown))
}

/// Random bytes of the system.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn salt(&mut self) -> [u8; 16] {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).expect("the system has random bytes");
        salt
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_writes_only_when_it_was_seen_to() {
        let ledger = Ledger::new();
        assert!(!ledger.another_writes(), "this process has not asked yet");
        ledger.set_role(Role::Standby { writer_url: None });
        assert!(ledger.another_writes());
        ledger.set_role(Role::Candidate);
        assert!(!ledger.another_writes(), "it lost the log, and nobody is known to have it");
    }
}
