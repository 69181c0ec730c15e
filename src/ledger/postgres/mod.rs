//! The log in Postgres. An append is one statement and one round trip; see `append.sql`. Loads run beside it, on
//! connections of their own: `loading.rs`.

mod loading;

use std::time::Duration;

use aggregates::id::AccountId;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use projections::log::Recorded;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use super::log::{Appended, Batch, Head, KeyRow, KeysMet, Log, LogFault, Settled};
use super::proof::Frontier;
use crate::database::WriterPool;
pub use loading::PostgresLoader;

/// Appends a batch with a compare-and-set of the head.
const APPEND: &str = include_str!("append.sql");

/// Raises the epoch of a writer whose answer was lost. Waits behind its statement if that still runs.
const SETTLE: &str = "UPDATE ledger_head SET epoch = epoch + 1 WHERE shard = $1 AND epoch = $2
     RETURNING epoch, position, tape_place";

/// Keeps the lease of a writer that has nothing to append.
const RENEW: &str =
    "UPDATE ledger_head SET lease_until = clock_timestamp() + make_interval(secs => $3)
     WHERE shard = $1 AND epoch = $2";

/// The epoch of a shard's last writer, and where it listens.
const HOLDER: &str = "SELECT epoch, owner_url FROM ledger_head WHERE shard = $1";

/// Takes a shard over from the writer of epoch `$6`: at once if `$5` says that it is gone, else when its lease has
/// run out.
const TAKE_OVER: &str = "UPDATE ledger_head
     SET epoch = epoch + 1, owner = $2, owner_url = $3, lease_until = clock_timestamp() + make_interval(secs => $4)
     WHERE shard = $1 AND epoch = $6 AND ($5 OR lease_until IS NULL OR lease_until < clock_timestamp())
     RETURNING epoch, position, tape_place, frontier, greatest(recorded_at, 'epoch') AS recorded_at";

/// Drops the keys of requests among those given that are older than 24 hours.
const DROP_OLD: &str =
    "DELETE FROM request_keys WHERE key = ANY($1) AND made_at < now() - interval '24 hours'";

/// The keys among those given that are taken.
const TAKEN_KEYS: &str = "SELECT true AS lasting, key, fingerprint, outcome, 0::bigint AS position
     FROM order_keys WHERE key = ANY($1)
     UNION ALL SELECT false, key, fingerprint, outcome, position FROM request_keys
     WHERE key = ANY($1) AND made_at >= now() - interval '24 hours'";

/// Whether the writer of epoch `$2` is gone: the connection that it writes on holds this lock while it lives. Held
/// until the transaction ends. Only a hint for a quick take-over; safety is the compare-and-set.
const IS_GONE: &str = "SELECT pg_try_advisory_xact_lock(hashtext('blotter/writer/' || $1::smallint), ($2::bigint % 2147483647)::int)";

/// Shows that the writer of epoch `$2` lives, while this connection does.
const HOLD: &str = "SELECT pg_try_advisory_lock(hashtext('blotter/writer/' || $1::smallint), ($2::bigint % 2147483647)::int)";

/// Ends every sign of life of this connection.
const LET_GO: &str = "SELECT pg_advisory_unlock_all()";

/// How long a writer is believed to live after it was last heard of.
pub const LEASE: Duration = Duration::from_secs(5);

/// The writing side, on a connection of its own. The connection is put back only after it has answered, so a call
/// that is dropped, or that failed, leaves the next one a new connection.
pub struct PostgresLog {
    pool: WriterPool,
    line: Option<Line>,
}

/// A connection, and the epoch that it shows to be alive.
struct Line {
    connection: PgConnection,
    holds: Option<u64>,
}

impl Line {
    /// Shows that the writer of `epoch` lives. Fails while the connection that it had before is not yet gone: then
    /// that one still shows it, and the next call tries again.
    async fn hold(&mut self, shard: u16, epoch: u64) -> Result<(), sqlx::Error> {
        if self.holds != Some(epoch) {
            let held: bool = sqlx::query_scalar(HOLD)
                .bind(shard.cast_signed())
                .bind(epoch.cast_signed())
                .fetch_one(&mut self.connection)
                .await?;
            self.holds = held.then_some(epoch);
        }
        Ok(())
    }
}

/// What a take-over gives.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenOver {
    /// The epoch to write under.
    pub epoch: u64,
    /// Where the log ends.
    pub head: Head,
}

/// What became of an attempt to take a shard over.
#[derive(Clone, Debug, PartialEq)]
pub enum Bid {
    /// This process writes now.
    Won(TakenOver),
    /// Another writes.
    Held {
        /// Where it listens, if it says so.
        url: Option<String>,
    },
}

impl Bid {
    /// What was taken over, if it was.
    pub fn won(self) -> Option<TakenOver> {
        match self {
            Self::Won(taken) => Some(taken),
            Self::Held { .. } => None,
        }
    }
}

/// How a process shows itself to others.
#[derive(Clone, Debug)]
pub struct Owner {
    /// A name that is unique to the process.
    pub name: String,
    /// Where it listens.
    pub url: Option<String>,
    /// The database belongs to this process alone (the embedded one): any other holder is dead.
    pub sole: bool,
}

impl PostgresLog {
    /// A writing side that connects when it is first used.
    pub fn new(pool: WriterPool) -> Self {
        Self { pool, line: None }
    }

    async fn line(&mut self) -> Result<Line, LogFault> {
        match self.line.take() {
            Some(line) => Ok(line),
            None => {
                let connected = self.pool.connect().await;
                let connection = connected.map_err(|error| LogFault::Failed(error.to_string()))?;
                Ok(Line { connection, holds: None })
            }
        }
    }

    /// Takes the shard over if its holder is gone or has not been heard of.
    pub async fn take_over(&mut self, shard: u16, owner: &Owner) -> Result<Bid, LogFault> {
        let mut line = self.line().await?;
        let bid = try_take_over(&mut line, shard, owner).await?;
        self.line = Some(line);
        Ok(bid)
    }

    /// Gives the shard back, so that the next process need not wait for the lease.
    pub async fn release(&mut self, shard: u16, epoch: u64) -> Result<(), LogFault> {
        const RELEASE: &str =
            "UPDATE ledger_head SET lease_until = NULL, owner = NULL, owner_url = NULL
             WHERE shard = $1 AND epoch = $2";
        let mut line = self.line().await?;
        sqlx::query(RELEASE)
            .bind(shard.cast_signed())
            .bind(epoch.cast_signed())
            .execute(&mut line.connection)
            .await
            .map_err(failed)?;
        line.connection.close().await.map_err(failed)
    }
}

async fn try_take_over(line: &mut Line, shard: u16, owner: &Owner) -> Result<Bid, LogFault> {
    if line.holds.take().is_some() {
        sqlx::query(LET_GO).execute(&mut line.connection).await.map_err(failed)?;
    }
    let mut transaction = line.connection.begin().await.map_err(failed)?;
    let (last, url): (i64, Option<String>) = sqlx::query_as(HOLDER)
        .bind(shard.cast_signed())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let gone: bool = sqlx::query_scalar(IS_GONE)
        .bind(shard.cast_signed())
        .bind(last)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let row = sqlx::query(TAKE_OVER)
        .bind(shard.cast_signed())
        .bind(&owner.name)
        .bind(&owner.url)
        .bind(LEASE.as_secs_f64())
        .bind(gone || owner.sole)
        .bind(last)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
    let Some(row) = row else {
        transaction.rollback().await.map_err(failed)?;
        return Ok(Bid::Held { url });
    };
    let taken = TakenOver {
        epoch: row.try_get::<i64, _>("epoch").map_err(failed)?.cast_unsigned(),
        head: head(&row)?,
    };
    // Before anyone can see the new epoch: nobody may find it without a sign of life.
    let held: bool = sqlx::query_scalar(HOLD)
        .bind(shard.cast_signed())
        .bind(taken.epoch.cast_signed())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    line.holds = held.then_some(taken.epoch);
    Ok(Bid::Won(taken))
}

fn head(row: &sqlx::postgres::PgRow) -> Result<Head, LogFault> {
    let position = row.try_get::<i64, _>("position").map_err(failed)?.cast_unsigned();
    let bytes: &[u8] = row.try_get("frontier").map_err(failed)?;
    let frontier = match bytes {
        [] => Frontier::default(),
        bytes => {
            Frontier::from_bytes(bytes).map_err(|error| LogFault::Corrupt(error.to_string()))?
        }
    };
    if frontier.size() != position {
        let fault =
            format!("the head is at {position}, its Merkle tree has {} leaves", frontier.size());
        return Err(LogFault::Corrupt(fault));
    }
    Ok(Head {
        position,
        tape_place: row.try_get::<i64, _>("tape_place").map_err(failed)?.cast_unsigned(),
        frontier,
        recorded_at: row.try_get::<DateTime<Utc>, _>("recorded_at").map_err(failed)?,
    })
}

/// A statement that changed nothing, as far as it matters: it may be sent again.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
fn failed(error: sqlx::Error) -> LogFault {
    LogFault::Failed(error.to_string())
}

/// An append that failed: either the server said so, and nothing was written, or the answer was lost.
fn append_fault(error: &sqlx::Error) -> Result<Appended, LogFault> {
    match error {
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("23505") => Ok(Appended::Taken),
            // The server or the connection is going down: whether the commit came first is not said.
            Some(code) if code.starts_with("57P") || code.starts_with("08") => {
                Err(LogFault::AnswerLost(error.to_string()))
            }
            _ => Err(LogFault::Failed(error.to_string())),
        },
        _ => Err(LogFault::AnswerLost(error.to_string())),
    }
}

/// The arrays of one batch, a column each.
#[derive(Default)]
struct Columns<'a> {
    aggregate_type: Vec<&'a str>,
    aggregate_id: Vec<String>,
    sequence: Vec<i64>,
    event_type: Vec<&'a str>,
    event_version: Vec<&'a str>,
    payload: Vec<&'a str>,
    metadata: Vec<&'a str>,
    tenant_id: Vec<Uuid>,
    account_id: Vec<Option<Uuid>>,
    salt: Vec<&'a [u8]>,
    leaf: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: &'a Recorded) {
        self.aggregate_type.push(row.stream.aggregate_type());
        self.aggregate_id.push(row.stream.aggregate_id());
        self.sequence.push(row.sequence.cast_signed());
        self.event_type.push(&row.event_type);
        self.event_version.push(&row.event_version);
        self.payload.push(&row.payload);
        self.metadata.push(&row.metadata);
        self.tenant_id.push(row.tenant_id.uuid());
        self.account_id.push(row.account_id.map(AccountId::uuid));
        self.salt.push(&row.salt);
        self.leaf.push(&row.leaf);
    }
}

#[async_trait]
impl Log for PostgresLog {
    async fn append(&mut self, batch: &Batch) -> Result<Appended, LogFault> {
        let mut columns = Columns::default();
        for event in &batch.events {
            columns.push(&event.row);
        }
        let (lasting, passing): (Vec<KeyRow>, Vec<KeyRow>) =
            batch.keys.iter().partition(|key| key.lasting);
        let keys = |rows: &[KeyRow]| -> (Vec<Uuid>, Vec<i64>, Vec<Uuid>) {
            let mut columns = (Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                columns.0.push(row.hash);
                columns.1.push(row.fingerprint);
                columns.2.push(row.outcome);
            }
            columns
        };
        let (lasting, passing_keys) = (keys(&lasting), keys(&passing));
        let passing_positions: Vec<i64> =
            passing.iter().map(|key| key.position.cast_signed()).collect();
        let statement = sqlx::query(APPEND)
            .bind(batch.shard.cast_signed())
            .bind(batch.epoch.cast_signed())
            .bind(batch.expected_position.cast_signed())
            .bind(batch.expected_tape_place.cast_signed())
            .bind(batch.head.position.cast_signed())
            .bind(batch.head.tape_place.cast_signed())
            .bind(batch.head.frontier.to_bytes())
            .bind(batch.head.recorded_at)
            .bind(LEASE.as_secs_f64())
            .bind(columns.aggregate_type)
            .bind(columns.aggregate_id)
            .bind(columns.sequence)
            .bind(columns.event_type)
            .bind(columns.event_version)
            .bind(columns.payload)
            .bind(columns.metadata)
            .bind(columns.tenant_id)
            .bind(columns.account_id)
            .bind(columns.salt)
            .bind(columns.leaf)
            .bind(
                batch.tape.iter().map(|block| block.first_place.cast_signed()).collect::<Vec<_>>(),
            )
            .bind(batch.tape.iter().map(|block| block.last_place.cast_signed()).collect::<Vec<_>>())
            .bind(batch.tape.iter().map(|block| &block.bytes[..]).collect::<Vec<_>>())
            .bind(batch.tape.iter().map(|block| &block.digest[..]).collect::<Vec<_>>())
            .bind(lasting.0)
            .bind(lasting.1)
            .bind(lasting.2)
            .bind(passing_keys.0)
            .bind(passing_keys.1)
            .bind(passing_keys.2)
            .bind(passing_positions);
        let mut line = self.line().await?;
        line.hold(batch.shard, batch.epoch).await.map_err(failed)?;
        let appended = match statement.fetch_optional(&mut line.connection).await {
            Ok(Some(_)) => Appended::Committed,
            Ok(None) => Appended::HeadMoved,
            Err(error) => append_fault(&error)?,
        };
        self.line = Some(line);
        Ok(appended)
    }

    async fn settle(&mut self, shard: u16, epoch: u64) -> Result<Settled, LogFault> {
        self.line = None;
        let mut line = self.line().await?;
        let mut transaction = line.connection.begin().await.map_err(failed)?;
        let row = sqlx::query(SETTLE)
            .bind(shard.cast_signed())
            .bind(epoch.cast_signed())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(Settled::Theirs) };
        let number =
            |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned).map_err(failed);
        let (epoch, position, tape_place) =
            (number("epoch")?, number("position")?, number("tape_place")?);
        // As in a take-over: the new epoch is never seen without a sign of life.
        let held: bool = sqlx::query_scalar(HOLD)
            .bind(shard.cast_signed())
            .bind(epoch.cast_signed())
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        line.holds = held.then_some(epoch);
        self.line = Some(line);
        Ok(Settled::Mine { epoch, position, tape_place })
    }

    async fn keys(&mut self, hashes: &[Uuid]) -> Result<KeysMet, LogFault> {
        let mut line = self.line().await?;
        let old = sqlx::query(DROP_OLD).bind(hashes).execute(&mut line.connection).await;
        let dropped = old.map_err(failed)?.rows_affected();
        let taken = taken_keys(&mut line.connection, hashes).await?;
        self.line = Some(line);
        Ok(KeysMet { taken, dropped })
    }

    async fn renew(&mut self, shard: u16, epoch: u64) -> Result<bool, LogFault> {
        let mut line = self.line().await?;
        line.hold(shard, epoch).await.map_err(failed)?;
        let renewed = sqlx::query(RENEW)
            .bind(shard.cast_signed())
            .bind(epoch.cast_signed())
            .bind(LEASE.as_secs_f64())
            .execute(&mut line.connection)
            .await
            .map_err(failed)?;
        self.line = Some(line);
        Ok(renewed.rows_affected() == 1)
    }
}

async fn taken_keys(
    connection: &mut PgConnection,
    hashes: &[Uuid],
) -> Result<Vec<KeyRow>, LogFault> {
    let rows = sqlx::query(TAKEN_KEYS).bind(hashes).fetch_all(connection).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(KeyRow {
                lasting: row.try_get("lasting").map_err(failed)?,
                hash: row.try_get("key").map_err(failed)?,
                fingerprint: row.try_get("fingerprint").map_err(failed)?,
                outcome: row.try_get("outcome").map_err(failed)?,
                position: row.try_get::<i64, _>("position").map_err(failed)?.cast_unsigned(),
            })
        })
        .collect()
}
