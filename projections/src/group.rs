//! Groups of views, and one step of one group: read a batch of the log, fold it, write rows and checkpoint in one
//! transaction.
//!
//! A step has no state of its own: whatever it needs is in the database. Run by two processes at once, one waits
//! for the other and goes on from where that one came to. A step on a batch costs one transaction of about a dozen
//! round trips, whatever the batch's length.

use sqlx::{Connection, PgConnection};
use tracing::error;

use crate::checkpoint::{self, Checkpoint, Status};
use crate::error::ProjectionError;
use crate::log::{LogError, Recorded, read_after};
use crate::{books, market, snapshots, trading};

/// The shard that is projected; there is one.
const SHARD: u16 = 0;

/// The most events of one step. Larger steps save round trips; smaller ones keep a rebuild's transactions short.
pub const BATCH: u32 = 2_000;

/// Views that share a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Accounts, orders, fills, positions, lots, activities.
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

    async fn project(
        self,
        connection: &mut PgConnection,
        generation: i32,
        batch: &[Recorded],
    ) -> Result<(), ProjectionError> {
        match self {
            Self::Trading => trading::project(connection, generation, batch).await,
            Self::Books => books::project(connection, generation, batch).await,
            Self::Market => market::project(connection, generation, batch).await,
            Self::Snapshots => snapshots::project(connection, generation, batch).await,
        }
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
        let mut limit = batch;
        loop {
            let Attempt { from, outcome } = self.attempt(connection, generation, limit).await?;
            let (position, reason) = match outcome {
                Ok(step) => return Ok(step),
                Err(ProjectionError::Poison { position, reason }) => (position, reason),
                Err(ProjectionError::Log(LogError::Unreadable { position, source })) => {
                    (position, source.to_string())
                }
                Err(other) => return Err(other),
            };
            // What stands before the bad event is good: fold that first, and stop exactly before it.
            if position > from + 1 {
                limit = u32::try_from(position - from - 1).unwrap_or(batch).min(batch);
                continue;
            }
            let error = format!("position {position} cannot be folded: {reason}");
            if checkpoint::stop(connection, self.name(), generation, from, &error).await? {
                error!(
                    group = self.name(),
                    generation, position, reason, "a projection has stopped"
                );
                return Ok(Step::Stopped { position: from, error });
            }
            limit = batch;
        }
    }

    async fn attempt(
        self,
        connection: &mut PgConnection,
        generation: i32,
        limit: u32,
    ) -> Result<Attempt, ProjectionError> {
        // Rows that a crash takes back are folded again: nothing waits for the disk here.
        let mut transaction =
            connection.begin_with("BEGIN; SET LOCAL synchronous_commit = off").await?;
        let Some(from) = checkpoint::lock(&mut transaction, self.name(), generation).await? else {
            return Ok(Attempt { from: 0, outcome: Ok(Step::Retired) });
        };
        let position = from.position;
        let outcome = match from.status {
            Status::Retired => Ok(Step::Retired),
            Status::Stopped => {
                Ok(Step::Stopped { position, error: from.error.clone().unwrap_or_default() })
            }
            Status::Live | Status::Building => {
                let outcome = self.fold(&mut transaction, &from, limit).await;
                if outcome.is_ok() {
                    transaction.commit().await?;
                } else {
                    transaction.rollback().await?;
                }
                outcome
            }
        };
        Ok(Attempt { from: position, outcome })
    }

    async fn fold(
        self,
        connection: &mut PgConnection,
        from: &Checkpoint,
        limit: u32,
    ) -> Result<Step, ProjectionError> {
        let batch = read_after(connection, SHARD, from.position, limit).await?;
        let Some(last) = batch.last() else {
            return Ok(Step::Idle { position: from.position });
        };
        for (expected, recorded) in (from.position + 1..).zip(&batch) {
            if recorded.position != expected {
                let reason = format!("the log goes on at {}", recorded.position);
                return Err(ProjectionError::poison(expected, reason));
            }
        }
        let position = last.position;
        self.project(connection, from.generation, &batch).await?;
        if !checkpoint::advance(connection, from, position).await? {
            // The row is locked since it was read: it cannot have moved.
            let reason = format!("checkpoint of {} moved while it was locked", self.name());
            return Err(sqlx::Error::Protocol(reason).into());
        }
        let full = batch.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Step::Advanced { position, more: full })
    }
}

/// One try at a batch: where it began, and what became of it.
struct Attempt {
    from: u64,
    outcome: Result<Step, ProjectionError>,
}
