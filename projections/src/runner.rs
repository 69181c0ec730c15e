//! Keeps every group of views current: one task a group, woken by the head of the log.
//!
//! The loop decides nothing: what to do follows from the rows of `projections` (follow the log, fill a generation
//! that is being rebuilt, sweep a retired one). A group that stops does not stop the others. A database that fails
//! is tried again with growing pauses, and so is what panics: no group ends before the process does.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use sqlx::{PgConnection, PgPool};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::checkpoint::{self, Checkpoint, Status};
use crate::error::ProjectionError;
use crate::group::{BATCH, Group, Lately, Step, Stepped};
use crate::rebuild;
use crate::tail::Tail;

/// How often a group looks at the log when nobody wakes it: a wake-up that was lost costs no more than this.
pub const POLL: Duration = Duration::from_millis(500);
/// How long a process that was too late gives the other one that keeps the same views before it goes after it again.
const GRACE: Duration = Duration::from_millis(10);
/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long one turn of a group may take: longer than any of its statements may, which the database ends after five minutes.
/// What takes longer waits for a database that does not answer on this connection any more.
const TURN: Duration = Duration::from_secs(330);

/// How a group is doing in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last event that the rows which are read contain, as far as this process knows.
    pub position: u64,
    /// Why it stopped, if it did: its rows are degraded, and stay as they are.
    pub stopped: Option<String>,
    /// Why its last try failed, if it did: it goes on trying.
    pub failing: Option<String>,
    /// Its last try met a defect: it goes on trying, and may come no further than this.
    pub defective: bool,
}

/// What readers and `/readyz` ask of the running projections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Views {
    progress: [watch::Receiver<Progress>; Group::ALL.len()],
}

impl Views {
    fn receiver(&self, group: Group) -> &watch::Receiver<Progress> {
        &self.progress[group as usize]
    }

    /// How a group is doing now.
    pub fn progress(&self, group: Group) -> Progress {
        self.receiver(group).borrow().clone()
    }

    /// Waits until the rows of `group` contain the event at `position`. False when that took longer than
    /// `patience`, or when the group has stopped before it.
    pub async fn wait(&self, group: Group, position: u64, patience: Duration) -> bool {
        let mut receiver = self.receiver(group).clone();
        let arrived = receiver
            .wait_for(|progress| progress.position >= position || progress.stopped.is_some());
        match tokio::time::timeout(patience, arrived).await {
            Ok(Ok(progress)) => progress.position >= position,
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

/// The projections of one process.
#[derive(Debug)]
pub struct Runner {
    pool: PgPool,
    head: watch::Receiver<u64>,
    progress: Vec<(Group, watch::Sender<Progress>)>,
    patience: Duration,
}

impl Runner {
    /// Projections that write on `pool` (as `blotter_projector`) and are woken by `head`, the position of the
    /// last event that this process knows of.
    pub fn new(pool: PgPool, head: watch::Receiver<u64>) -> (Self, Views) {
        let channels = Group::ALL.map(|_| watch::channel(Progress::default()));
        let progress = channels.each_ref().map(|(_, receiver)| receiver.clone());
        let senders = Group::ALL.into_iter().zip(channels.into_iter().map(|(sender, _)| sender));
        (Self { pool, head, progress: senders.collect(), patience: TURN }, Views { progress })
    }

    /// The same, with another bound of one turn: a connection that a turn has waited on for so long is given up.
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Runs until it is dropped. A step that is under way then leaves no trace.
    pub async fn run(self) {
        self.run_until(std::future::pending()).await;
    }

    /// Runs until `stop`, and returns when nothing of it uses the pool any more. A step that is under way then leaves
    /// no trace. Should one group end before, which none does by itself, the others end with it: their views are not to grow
    /// old unseen.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let (mut tasks, tail) = (JoinSet::new(), Tail::default());
        for (group, progress) in self.progress {
            let (pool, head, tail) = (self.pool.clone(), self.head.clone(), tail.clone());
            let lately = Lately::default();
            let (looked, second) = (None, false);
            let follower = Follower { group, pool, head, tail, lately, progress, looked, second };
            tasks.spawn(follower.follow(self.patience));
        }
        tokio::select! {
            biased;
            () = stop => {}
            ended = tasks.join_next() => error!(?ended, "a projection has ended, and with it all of them"),
        }
        tasks.shutdown().await;
    }
}

/// What a turn came to for one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tended {
    /// Nothing to do before the head moves.
    Rests,
    /// More to do at once.
    Busy,
    /// It may be another kind of generation now, or none: look again, at once.
    Changed,
}

/// One group, followed.
struct Follower {
    group: Group,
    pool: PgPool,
    head: watch::Receiver<u64>,
    tail: Tail,
    lately: Lately,
    progress: watch::Sender<Progress>,
    /// Its generations, and when they were looked at: others begin and end them seldom. What this process did to them
    /// since then is in it.
    looked: Option<(Instant, Vec<Checkpoint>)>,
    /// Another process keeps these views too, and was there first.
    second: bool,
}

impl Follower {
    async fn follow(mut self, patience: Duration) {
        let mut pause = PAUSES.0;
        let mut resumed = false;
        loop {
            self.head.mark_unchanged();
            let turned = AssertUnwindSafe(self.turn_within(patience, &mut resumed));
            let turned = turned.catch_unwind().await;
            match turned.unwrap_or_else(|_panic| Err(self.begin_anew())) {
                Ok(busy) => {
                    pause = PAUSES.0;
                    if !busy {
                        self.rest().await;
                    }
                }
                Err(failure) => {
                    warn!(group = self.group.name(), %failure, "a projection failed and tries again");
                    self.progress.send_modify(|progress| {
                        progress.failing = Some(failure.to_string());
                        progress.defective = matches!(failure, ProjectionError::Defect);
                    });
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Forgets what it had in memory when it panicked.
    fn begin_anew(&mut self) -> ProjectionError {
        (self.lately, self.looked) = (Lately::default(), None);
        error!(group = self.group.name(), "a projection met a defect of its own and begins anew");
        ProjectionError::Defect
    }

    /// Waits for the head to move, but not longer than [`POLL`], and then a moment for what comes with it.
    async fn rest(&mut self) {
        match tokio::time::timeout(POLL, self.head.changed()).await {
            Ok(Ok(())) => tokio::time::sleep(self.group.linger()).await,
            // Nobody moves the head in this process any more.
            Ok(Err(_)) => tokio::time::sleep(POLL).await,
            Err(_) => {}
        }
    }

    /// One turn on a connection that is given up if it takes too long: the next turn has another one, and finds what that one
    /// has left, since a step reads where its group stands.
    async fn turn_within(
        &mut self,
        patience: Duration,
        resumed: &mut bool,
    ) -> Result<bool, ProjectionError> {
        if self.second {
            tokio::time::sleep(GRACE).await;
        }
        let mut connection = self.pool.acquire().await?;
        let turned = tokio::time::timeout(patience, self.turn(&mut connection, resumed)).await;
        match turned {
            Ok(turned) => turned,
            Err(_) => {
                // Nobody waits for it to be put back in order: it may never answer.
                connection.close_on_drop();
                Err(ProjectionError::Silent(patience))
            }
        }
    }

    /// One step of every generation that needs one. True: there is more to do at once.
    async fn turn(
        &mut self,
        connection: &mut PgConnection,
        resumed: &mut bool,
    ) -> Result<bool, ProjectionError> {
        if !*resumed {
            // A stop is kept over restarts of the same program only by being met again.
            checkpoint::resume(connection, self.group.name()).await?;
            *resumed = true;
        }
        let looked = self.looked.take().filter(|(at, _)| at.elapsed() < POLL && !self.second);
        let (at, mut generations) = match looked {
            Some(looked) => looked,
            None => {
                let mut all = checkpoint::all(connection).await?;
                all.retain(|row| row.name == self.group.name());
                (Instant::now(), all)
            }
        };
        let mut most = Tended::Rests;
        for row in &mut generations {
            most = most.max(self.tend(connection, row).await?);
        }
        if most < Tended::Changed {
            self.looked = Some((at, generations));
        }
        Ok(most > Tended::Rests)
    }

    async fn tend(
        &mut self,
        connection: &mut PgConnection,
        row: &mut Checkpoint,
    ) -> Result<Tended, ProjectionError> {
        if row.status == Status::Retired {
            let swept = rebuild::sweep(connection, self.group, row.generation).await?;
            return Ok(if swept { Tended::Changed } else { Tended::Busy });
        }
        let from = row.clone();
        let Stepped { step, late } =
            self.group.step_from(connection, from, BATCH, (&self.tail, &mut self.lately)).await?;
        match step {
            Step::Advanced { position, .. } => {
                (row.position, self.second) = (position, late);
            }
            Step::Idle { position } => {
                row.position = position;
                self.second |= late;
            }
            Step::Stopped { .. } | Step::Retired => {}
        }
        if row.active {
            self.publish(&step);
        }
        Ok(match step {
            Step::Stopped { .. } if row.status != Status::Stopped => Tended::Changed,
            Step::Advanced { more: true, .. } => Tended::Busy,
            // The batch was read by another group, before all that is there now.
            Step::Advanced { position, .. } if row.active && position < *self.head.borrow() => {
                Tended::Busy
            }
            Step::Advanced { .. } | Step::Idle { .. } if row.status == Status::Building => {
                rebuild::switch(connection, self.group, row.generation).await?;
                Tended::Changed
            }
            // What came meanwhile has moved the head, which wakes this group again.
            Step::Advanced { .. } | Step::Idle { .. } | Step::Stopped { .. } => Tended::Rests,
            Step::Retired => Tended::Changed,
        })
    }

    fn publish(&self, step: &Step) {
        let (position, stopped) = match step {
            Step::Idle { position } | Step::Advanced { position, .. } => (*position, None),
            Step::Stopped { position, error } => (*position, Some(error.clone())),
            Step::Retired => return,
        };
        let now = Progress { position, stopped, ..Progress::default() };
        self.progress.send_if_modified(|progress| {
            let changed = *progress != now;
            *progress = now;
            changed
        });
    }
}
