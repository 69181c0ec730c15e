//! What the engine recovers from: its checkpoint, and the tails of log and tape after it.
//!
//! Costs one read of the checkpoint and a round trip for each page of either tail: it does not grow with the length
//! of the log, unless the checkpoint was deleted.

use std::collections::VecDeque;
use std::future::Future;

use aggregates::market::TapePlace;
use projections::log::{LogError, Recorded, read_after};
use sqlx::{PgConnection, Row};
use tokio::sync::Mutex;

use super::core::{Core, EngineState, Reason, STATE_VERSION, Settings};
use super::tape::{TapeError, TapeLine, decode};
use crate::database::{AuditorPool, DatabaseError, Read, WriterPool};
use crate::ledger::TapeBlock;

/// Events of one page.
const EVENTS_PAGE: u32 = 10_000;
/// Blocks of one page.
const BLOCKS_PAGE: i64 = 64;

/// Why the engine cannot recover.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The database failed.
    #[error("the engine's history cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The tape cannot be read.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A block of the tape is missing.
    #[error("the line at place {0} of the tape does not follow the line before it")]
    Gap(u64),
    /// A checkpoint of what log and tape do not hold.
    #[error(
        "the engine's state after event {position} and line {place} is not what the log and the tape hold"
    )]
    Ahead {
        /// The last event that it observed.
        position: u64,
        /// The last line that it worked.
        place: TapePlace,
    },
    /// An event that does not say which command it came from.
    #[error("position {position} does not say which command it came from: {reason}")]
    Metadata {
        /// The event.
        position: u64,
        /// Why.
        reason: String,
    },
    /// An event that cannot have happened after those before it.
    #[error("position {position} is impossible: {reason}")]
    Impossible {
        /// The event.
        position: u64,
        /// Why.
        reason: String,
    },
    /// The engine does not come to an end with a line.
    #[error("the engine comes to no end with the line at place {0}")]
    Endless(TapePlace),
    /// The state cannot be stored.
    #[error("the engine's checkpoint cannot be written: {0}")]
    Unwritable(serde_json::Error),
}

/// Where log and tape are read.
pub trait Past: Send + Sync {
    /// Events after a position, a page.
    fn events(
        &self,
        after: u64,
    ) -> impl Future<Output = Result<Vec<Recorded>, RecoveryError>> + Send;
    /// Blocks of the tape with lines after a place, a page.
    fn blocks(
        &self,
        after: u64,
    ) -> impl Future<Output = Result<Vec<TapeBlock>, RecoveryError>> + Send;
}

/// What the engine recovers from.
pub trait History: Past + 'static {
    /// The last checkpoint, if there is one that this program can read.
    fn checkpoint(&self)
    -> impl Future<Output = Result<Option<EngineState>, RecoveryError>> + Send;
    /// The last event of the log and the last line of the tape.
    fn head(&self) -> impl Future<Output = Result<(u64, TapePlace), RecoveryError>> + Send;
    /// Stores a checkpoint, unless it is ahead of log and tape.
    fn keep(&self, state: &EngineState) -> impl Future<Output = Result<(), RecoveryError>> + Send;
}

/// The history in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresHistory {
    pool: WriterPool,
    shard: u16,
}

impl PostgresHistory {
    /// The history of one shard.
    pub fn new(pool: WriterPool, shard: u16) -> Self {
        Self { pool, shard }
    }

    fn shard(&self) -> i16 {
        self.shard.cast_signed()
    }
}

const READ_CHECKPOINT: &str =
    "SELECT state FROM engine_checkpoints WHERE shard = $1 AND version = $2";
const KEEP_CHECKPOINT: &str = "INSERT INTO engine_checkpoints (shard, version, position, tape_place, state) \
     SELECT $1, $2, $3, $4, $5 FROM ledger_head WHERE shard = $1 AND position >= $3 AND tape_place >= $4 \
     ON CONFLICT (shard) DO UPDATE SET version = excluded.version, position = excluded.position, \
     tape_place = excluded.tape_place, state = excluded.state";
const READ_HEAD: &str = "SELECT position, tape_place FROM ledger_head WHERE shard = $1";
const READ_BLOCKS: &str = "SELECT first_place, last_place, lines, digest FROM tape \
     WHERE shard = $1 AND last_place > $2 ORDER BY last_place LIMIT $3";

impl Past for PostgresHistory {
    async fn events(&self, after: u64) -> Result<Vec<Recorded>, RecoveryError> {
        let mut connection = self.pool.pool().acquire().await?;
        Ok(read_after(&mut connection, self.shard, after, EVENTS_PAGE).await?)
    }

    async fn blocks(&self, after: u64) -> Result<Vec<TapeBlock>, RecoveryError> {
        let mut connection = self.pool.pool().acquire().await?;
        read_blocks(&mut connection, self.shard, after).await
    }
}

impl History for PostgresHistory {
    async fn checkpoint(&self) -> Result<Option<EngineState>, RecoveryError> {
        let stored: Option<String> = sqlx::query_scalar(READ_CHECKPOINT)
            .bind(self.shard())
            .bind(STATE_VERSION.cast_signed())
            .fetch_optional(self.pool.pool())
            .await?;
        Ok(stored.and_then(|text| match serde_json::from_str(&text) {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::warn!(%error, "the engine's checkpoint is unreadable and is ignored");
                None
            }
        }))
    }

    async fn head(&self) -> Result<(u64, TapePlace), RecoveryError> {
        let head: Option<(i64, i64)> =
            sqlx::query_as(READ_HEAD).bind(self.shard()).fetch_optional(self.pool.pool()).await?;
        let (position, place) = head.unwrap_or_default();
        Ok((position.cast_unsigned(), place.cast_unsigned()))
    }

    async fn keep(&self, state: &EngineState) -> Result<(), RecoveryError> {
        let text = serde_json::to_string(state).map_err(RecoveryError::Unwritable)?;
        let EngineState { position, place, .. } = *state;
        let kept = sqlx::query(KEEP_CHECKPOINT)
            .bind(self.shard())
            .bind(STATE_VERSION.cast_signed())
            .bind(position.cast_signed())
            .bind(place.cast_signed())
            .bind(text)
            .execute(self.pool.pool())
            .await?;
        if kept.rows_affected() == 0 {
            return Err(RecoveryError::Ahead { position, place });
        }
        Ok(())
    }
}

/// Log and tape as they stood at one moment, for whoever may read everything.
#[derive(Debug)]
pub struct Snapshot {
    transaction: Mutex<Read>,
    shard: u16,
}

impl Snapshot {
    /// Those of one shard, now.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn of(auditor: &AuditorPool, shard: u16) -> Result<Self, DatabaseError> {
        Ok(Self { transaction: Mutex::new(auditor.begin().await?), shard })
    }
}

impl Past for Snapshot {
    async fn events(&self, after: u64) -> Result<Vec<Recorded>, RecoveryError> {
        let mut transaction = self.transaction.lock().await;
        Ok(read_after(&mut transaction, self.shard, after, EVENTS_PAGE).await?)
    }

    async fn blocks(&self, after: u64) -> Result<Vec<TapeBlock>, RecoveryError> {
        let mut transaction = self.transaction.lock().await;
        read_blocks(&mut transaction, self.shard, after).await
    }
}

/// Blocks of a shard's tape with lines after a place, a page, in order.
pub(super) async fn read_blocks(
    connection: &mut PgConnection,
    shard: u16,
    after: u64,
) -> Result<Vec<TapeBlock>, RecoveryError> {
    let rows = sqlx::query(READ_BLOCKS)
        .bind(shard.cast_signed())
        .bind(after.cast_signed())
        .bind(BLOCKS_PAGE)
        .fetch_all(connection)
        .await?;
    let block = |row: &sqlx::postgres::PgRow| -> Result<TapeBlock, RecoveryError> {
        let digest: Vec<u8> = row.try_get("digest")?;
        let first_place = row.try_get::<i64, _>("first_place")?.cast_unsigned();
        Ok(TapeBlock {
            first_place,
            last_place: row.try_get::<i64, _>("last_place")?.cast_unsigned(),
            bytes: row.try_get("lines")?,
            digest: digest.try_into().map_err(|_| TapeError::Digest { place: first_place })?,
        })
    };
    rows.iter().map(block).collect()
}

/// The core as log and tape leave it, merged by the position that each line was worked after, and read on as they grow.
pub(super) struct Tail<'a, H> {
    history: &'a H,
    pub(super) core: Core,
    /// Events that were read and not yet observed.
    waiting: VecDeque<Recorded>,
    /// There are no more.
    ended: bool,
    /// The first line that would not be taken today, and why.
    overruled: Option<(TapePlace, Reason)>,
}

impl<'a, H: History> Tail<'a, H> {
    /// Goes on from `state`. `settings` are those of a tape that says nothing.
    pub(super) fn new(history: &'a H, settings: Settings, state: EngineState) -> Self {
        let settings = state.by.clone().unwrap_or(settings);
        let core = Core::new(settings, state);
        Self { history, core, waiting: VecDeque::new(), ended: false, overruled: None }
    }

    /// Works every line that there is again, each after the events that it was worked after. Whether there were any.
    pub(super) async fn read_on(&mut self) -> Result<bool, RecoveryError> {
        self.ended = false;
        let before = self.core.state().place;
        loop {
            let blocks = self.history.blocks(self.core.state().place).await?;
            if blocks.is_empty() {
                return Ok(self.core.state().place > before);
            }
            for block in &blocks {
                for line in decode(block)? {
                    self.line(line).await?;
                }
            }
        }
    }

    async fn line(&mut self, line: TapeLine) -> Result<(), RecoveryError> {
        let TapeLine { place, after, source, by, stood, tick } = line;
        if place <= self.core.state().place {
            return Ok(());
        }
        self.observe_up_to(after).await?;
        if let Some(by) = by {
            self.core.work_again_by(by);
        }
        let (at, refused) = match stood {
            Some(stood) => (self.core.stand(&source, &tick, &stood), None),
            None => self.core.line_again(&source, &tick),
        };
        if at != place {
            return Err(RecoveryError::Gap(place));
        }
        self.overruled = self.overruled.or(refused.map(|reason| (place, reason)));
        Ok(())
    }

    /// Observes every event up to `last`.
    async fn observe_up_to(&mut self, last: u64) -> Result<(), RecoveryError> {
        loop {
            while self.waiting.front().is_some_and(|row| row.position <= last) {
                let Some(row) = self.waiting.pop_front() else { break };
                let event = row
                    .event()
                    .map_err(|source| LogError::Unreadable { position: row.position, source })?;
                self.core.observe(row.position, row.tenant_id, row.stream, &event);
            }
            if !self.waiting.is_empty() || self.ended || self.core.state().position >= last {
                return Ok(());
            }
            self.waiting = self.history.events(self.core.state().position).await?.into();
            self.ended = self.waiting.is_empty();
        }
    }
}

/// The engine as log and tape left it. What its last line and the last arrivals still cause is proposed next. A
/// checkpoint of what they do not hold is ignored and replaced: the tape would grow beyond it, and then it could not be
/// told from a true one.
///
/// Lines are worked again by the settings that the tape has beside them; `settings` are those of a tape that says
/// nothing. It is left working by the last of them.
pub async fn recover<H: History>(history: &H, settings: Settings) -> Result<Core, RecoveryError> {
    let head = history.head().await?;
    let stored = history.checkpoint().await?;
    let is_ahead = |state: &EngineState| state.position > head.0 || state.place > head.1;
    let refused = stored.as_ref().is_some_and(is_ahead);
    let mut tail = Tail::new(history, settings, stored.filter(|_| !refused).unwrap_or_default());
    tail.read_on().await?;
    tail.observe_up_to(u64::MAX).await?;
    let Tail { mut core, overruled, .. } = tail;
    core.retry();
    if let Some((place, reason)) = overruled {
        let reason = reason.word();
        tracing::warn!(
            place,
            reason,
            "from this line of the tape on there are some that would not be taken today; they only move the clock"
        );
    }
    if refused {
        tracing::warn!(
            "the engine's checkpoint was ahead of log and tape; it was ignored and is replaced"
        );
        history.keep(core.state()).await?;
    }
    Ok(core)
}
