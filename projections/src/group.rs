//! Groups of views, and one step of one group: read a batch of the log, fold it, write rows and checkpoint in one
//! statement.
//!
//! A step needs no state of its own: whatever it needs is in the database, and what is kept from the last step is a copy
//! ([`Lately`]). It reads without a lock; what it writes counts
//! only if the checkpoint is still where it was read ([`Writes`]). Rows change only together with their checkpoint, so
//! that then all that was read was of one moment. Of two processes at once one is therefore too late, and goes on from
//! where the other came to. A step costs a round trip to read the log, one a table that it needs rows of, and one to
//! write, whatever the batch's length.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::error;

use crate::checkpoint::{self, Checkpoint, Status};
use crate::error::ProjectionError;
use crate::log::{LogError, Recorded};
use crate::tail::Tail;
use crate::trading::Trading;
use crate::writes::Writes;
use crate::{books, market, snapshots, trading};

/// The shard that is projected; there is one.
const SHARD: u16 = 0;

/// The most events of one step. Larger steps save round trips; smaller ones keep a rebuild's transactions short.
pub const BATCH: u32 = 2_000;

/// Views that share a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Accounts, orders, fills, positions, lots, activities, and what moved by the hour.
    Trading,
    /// The double-entry journal.
    Books,
    /// Instruments, official closes, corporate actions.
    Market,
    /// Aggregates as they are, for starting.
    Snapshots,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to fold: its rows contain everything up to here.
    Idle {
        /// The checkpoint.
        position: u64,
    },
    /// It folded a batch.
    Advanced {
        /// The checkpoint after it.
        position: u64,
        /// The batch was full: there may be more.
        more: bool,
    },
    /// It met, now or before, an event that it cannot fold.
    Stopped {
        /// The last event that its rows contain.
        position: u64,
        /// What is wrong with the next.
        error: String,
    },
    /// The generation is not kept any more.
    Retired,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 4] = [Self::Trading, Self::Books, Self::Market, Self::Snapshots];

    /// Its name in `projections` and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trading => "trading",
            Self::Books => "books",
            Self::Market => "market",
            Self::Snapshots => "snapshots",
        }
    }

    /// The group that bears a name.
    ///
    /// # Errors
    /// None does.
    pub fn by_name(name: &str) -> Result<Self, ProjectionError> {
        Self::ALL
            .into_iter()
            .find(|group| group.name() == name)
            .ok_or_else(|| ProjectionError::UnknownGroup(name.to_owned()))
    }

    /// Its tables; each has a column `generation`.
    pub const fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Trading => trading::TABLES,
            Self::Books => books::TABLES,
            Self::Market => market::TABLES,
            Self::Snapshots => snapshots::TABLES,
        }
    }

    /// How long it waits, when the log has moved, for what is about to come: an order that fills at once is two commits a
    /// millisecond or two apart, and one step is cheaper than two. Nobody waits for snapshots, and most of them are gone
    /// again a moment later.
    pub(crate) const fn linger(self) -> Duration {
        match self {
            Self::Trading | Self::Books | Self::Market => Duration::from_millis(2),
            Self::Snapshots => Duration::from_millis(100),
        }
    }

    /// Folds a batch. What it touched of what the next step may want again.
    async fn project(
        self,
        connection: &mut PgConnection,
        generation: i32,
        batch: &[Recorded],
        lately: &Lately,
        writes: &mut Writes,
    ) -> Result<Option<Trading>, ProjectionError> {
        match self {
            Self::Trading => {
                let rows = trading::project(connection, generation, batch, &lately.trading, writes);
                return rows.await.map(Some);
            }
            Self::Books => books::project(connection, generation, batch, writes).await,
            Self::Market => market::project(connection, generation, batch, writes).await,
            Self::Snapshots => snapshots::project(connection, generation, batch, writes).await,
        }?;
        Ok(None)
    }

    /// Folds the next batch into `generation`.
    ///
    /// # Errors
    /// The database failed; the step left no trace. An event that cannot be folded is no error but a stop.
    pub async fn step(
        self,
        connection: &mut PgConnection,
        generation: i32,
    ) -> Result<Step, ProjectionError> {
        self.step_up_to(connection, generation, BATCH).await
    }

    /// A step of at most `batch` events.
    ///
    /// # Errors
    /// Those of [`Self::step`].
    pub async fn step_up_to(
        self,
        connection: &mut PgConnection,
        generation: i32,
        batch: u32,
    ) -> Result<Step, ProjectionError> {
        let Some(from) = checkpoint::one(connection, self.name(), generation).await? else {
            return Ok(Step::Retired);
        };
        Ok(self
            .step_from(connection, from, batch, (&Tail::default(), &mut Lately::default()))
            .await?
            .step)
    }

    /// A step of at most `batch` events that `tail` reads, from where the group was when somebody last looked.
    ///
    /// # Errors
    /// Those of [`Self::step`].
    pub(crate) async fn step_from(
        self,
        connection: &mut PgConnection,
        mut from: Checkpoint,
        batch: u32,
        (tail, lately): (&Tail, &mut Lately),
    ) -> Result<Stepped, ProjectionError> {
        let (mut limit, mut late) = (batch, false);
        loop {
            match from.status {
                Status::Retired => return Ok(Stepped { step: Step::Retired, late }),
                Status::Stopped => {
                    let error = from.error.unwrap_or_default();
                    return Ok(Stepped {
                        step: Step::Stopped { position: from.position, error },
                        late,
                    });
                }
                Status::Live | Status::Building => {}
            }
            match self.attempt(connection, &from, limit, (tail, lately)).await {
                Ok(Some(step)) => return Ok(Stepped { step, late }),
                Ok(None) => late = true,
                Err(
                    ProjectionError::Poison { position, .. }
                    | ProjectionError::Log(LogError::Unreadable { position, .. }),
                ) if position > from.position + 1 => {
                    // What stands before the bad event is good: fold that first, and stop exactly before it.
                    limit = u32::try_from(position - from.position - 1).unwrap_or(batch).min(batch);
                    continue;
                }
                Err(
                    error @ (ProjectionError::Poison { .. }
                    | ProjectionError::Log(LogError::Unreadable { .. })),
                ) => {
                    let (position, reason) = (from.position + 1, error.to_string());
                    if checkpoint::stop(connection, &from, &reason).await? {
                        let (group, generation) = (self.name(), from.generation);
                        error!(group, generation, position, reason, "a projection has stopped");
                        let step = Step::Stopped { position: from.position, error: reason };
                        return Ok(Stepped { step, late });
                    }
                    late = true;
                }
                Err(other) => return Err(other),
            }
            match checkpoint::one(connection, self.name(), from.generation).await? {
                Some(now) => (from, limit) = (now, batch),
                None => return Ok(Stepped { step: Step::Retired, late }),
            }
        }
    }

    /// Folds a batch; `None` if the checkpoint has moved meanwhile.
    async fn attempt(
        self,
        connection: &mut PgConnection,
        from: &Checkpoint,
        limit: u32,
        (tail, lately): (&Tail, &mut Lately),
    ) -> Result<Option<Step>, ProjectionError> {
        let batch = tail.read_after(connection, SHARD, from.position, limit).await?;
        let Some(last) = batch.last() else {
            return Ok(Some(Step::Idle { position: from.position }));
        };
        for (expected, recorded) in (from.position + 1..).zip(&*batch) {
            if recorded.position != expected {
                let reason = format!("the log goes on at {}", recorded.position);
                return Err(ProjectionError::poison(expected, reason));
            }
        }
        let position = last.position;
        let mut writes = Writes::of(from, position)?;
        lately.stand_at(from);
        let rows = self.project(connection, from.generation, &batch, lately, &mut writes).await?;
        let full = batch.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let moved = writes.send(connection).await?;
        if !moved {
            return Ok(None);
        }
        if let Some(rows) = rows {
            lately.trading.take(rows);
        }
        lately.at = Some((from.generation, position));
        Ok(Some(Step::Advanced { position, more: full }))
    }
}

/// Rows that a process keeps of a group from step to step. They stand as the tables do: nobody writes them but with the
/// checkpoint, so that they hold where it is still where the last step has left it.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    /// The generation and the checkpoint that they are of.
    at: Option<(i32, u64)>,
    trading: trading::Lately,
}

impl Lately {
    /// Forgets them unless they are of this checkpoint. Until the step is written they are of none.
    fn stand_at(&mut self, from: &Checkpoint) {
        if self.at.take() != Some((from.generation, from.position)) {
            self.trading = trading::Lately::default();
        }
    }
}

/// What a step did, and whether somebody else had been there first.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) step: Step,
    pub(crate) late: bool,
}
