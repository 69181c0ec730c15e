//! Reading the log: rows of `events` as they were written, in order of position.
//!
//! Positions are gapless and given under the head row, so `position > after ORDER BY position` misses nothing and
//! repeats nothing. A batch is one round trip.

use aggregates::id::{AccountId, CommandId, TenantId};
use aggregates::stream::{Event, StreamId, Unreadable};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// One row of the log, payload and metadata as the bytes that were hashed.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The shard; 0 unless there are several.
    pub shard: u16,
    /// The place in the shard's order, from 1, without gaps.
    pub position: u64,
    /// Who may see it.
    pub tenant_id: TenantId,
    /// The account that it belongs to, if it is not a fact of the market or the writer.
    pub account_id: Option<AccountId>,
    /// The stream.
    pub stream: StreamId,
    /// The place in its stream, from 1, without gaps.
    pub sequence: u64,
    /// What happened.
    pub event_type: String,
    /// The version of the payload's shape.
    pub event_version: String,
    /// The event, as JSON text.
    pub payload: String,
    /// Tenant, actor, token, interface, request, command, causation and epoch, as JSON text of strings.
    pub metadata: String,
    /// The later of the wall clock and the event before, in whole microseconds.
    pub recorded_at: DateTime<Utc>,
    /// 16 random bytes that keep the leaf from being guessed.
    pub salt: [u8; 16],
    /// The leaf of the Merkle tree.
    pub leaf: [u8; 32],
}

impl Recorded {
    /// The event inside.
    pub fn event(&self) -> Result<Event, Unreadable> {
        Event::read(self.stream, &self.event_type, &self.event_version, &self.payload)
    }
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The database failed.
    #[error("the log cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// A row that is not an event of ours.
    #[error("position {position} of the log cannot be read: {source}")]
    Unreadable {
        /// The row.
        position: u64,
        /// Why.
        source: Unreadable,
    },
}

/// The columns of a row, for every statement that reads the log. Payload and metadata come as the text stored.
const COLUMNS: &str = "shard, position, tenant_id, account_id, aggregate_type, aggregate_id, sequence, event_type, \
     event_version, payload::text AS payload, metadata::text AS metadata, recorded_at, salt, leaf";

/// The position of the last event of `shard` that is committed.
pub async fn head(connection: &mut PgConnection, shard: u16) -> Result<u64, LogError> {
    let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head WHERE shard = $1")
        .bind(i16::try_from(shard).unwrap_or(i16::MAX))
        .fetch_one(connection)
        .await?;
    Ok(position.cast_unsigned())
}

/// Up to `limit` rows of `shard` after `after`, in order.
pub async fn read_after(
    connection: &mut PgConnection,
    shard: u16,
    after: u64,
    limit: u32,
) -> Result<Vec<Recorded>, LogError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3"
    );
    let rows = sqlx::query(&statement)
        .bind(i16::try_from(shard).unwrap_or(i16::MAX))
        .bind(after.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(recorded).collect()
}

/// All rows of one stream after `after` (a sequence), in order.
pub async fn read_stream(
    connection: &mut PgConnection,
    stream: StreamId,
    after: u64,
) -> Result<Vec<Recorded>, LogError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3 \
         ORDER BY sequence"
    );
    let rows = sqlx::query(&statement)
        .bind(stream.aggregate_type())
        .bind(stream.aggregate_id())
        .bind(after.cast_signed())
        .fetch_all(connection)
        .await?;
    rows.iter().map(recorded).collect()
}

/// Which rows of the log. What is absent does not narrow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Those of one tenant.
    pub tenant: Option<TenantId>,
    /// Those of one account.
    pub account: Option<AccountId>,
    /// Those of one stream.
    pub stream: Option<StreamId>,
}

/// Up to `limit` rows of `shard` after `after` that are `wanted`, in order. Those of an account or a stream are found
/// by an index.
pub async fn read_matching(
    connection: &mut PgConnection,
    shard: u16,
    wanted: &Wanted,
    after: u64,
    limit: u32,
) -> Result<Vec<Recorded>, LogError> {
    let account =
        if wanted.account.is_some() { "AND account_id = $4" } else { "AND $4::uuid IS NULL" };
    let stream = match wanted.stream {
        Some(_) => "AND aggregate_type = $5 AND aggregate_id = $6",
        None => "AND $5::text IS NULL AND $6::text IS NULL",
    };
    let tenant =
        if wanted.tenant.is_some() { "AND tenant_id = $7" } else { "AND $7::uuid IS NULL" };
    let statement = format!(
        "SELECT {COLUMNS} FROM events WHERE shard = $1 AND position > $2 {account} {stream} {tenant} \
         ORDER BY position LIMIT $3"
    );
    let rows = sqlx::query(&statement)
        .bind(i16::try_from(shard).unwrap_or(i16::MAX))
        .bind(after.cast_signed())
        .bind(i64::from(limit))
        .bind(wanted.account.map(AccountId::uuid))
        .bind(wanted.stream.map(StreamId::aggregate_type))
        .bind(wanted.stream.map(StreamId::aggregate_id))
        .bind(wanted.tenant.map(TenantId::uuid))
        .fetch_all(connection)
        .await?;
    rows.iter().map(recorded).collect()
}

/// The rows that `command` wrote for `account`, in order. They stand together, and `last` is the position of the last:
/// none but they are looked at.
pub async fn read_command(
    connection: &mut PgConnection,
    shard: u16,
    account: AccountId,
    command: CommandId,
    last: u64,
) -> Result<Vec<Recorded>, LogError> {
    let before = "SELECT position FROM events WHERE shard = $1 AND account_id = $2 AND position <= $3 \
         AND metadata->>'command' <> $4 ORDER BY position DESC LIMIT 1";
    let statement = format!(
        "SELECT {COLUMNS} FROM events WHERE shard = $1 AND account_id = $2 AND position <= $3 \
         AND position > coalesce(({before}), 0) ORDER BY position"
    );
    let rows = sqlx::query(&statement)
        .bind(i16::try_from(shard).unwrap_or(i16::MAX))
        .bind(account.uuid())
        .bind(last.cast_signed())
        .bind(command.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(recorded).collect()
}

/// Up to `limit` rows of `shard` that are `tenant`'s own, after `after` and up to `to`, in order.
pub async fn read_tenant(
    connection: &mut PgConnection,
    shard: u16,
    tenant: TenantId,
    after: u64,
    to: u64,
    limit: u32,
) -> Result<Vec<Recorded>, LogError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events WHERE shard = $1 AND position > $2 AND position <= $3 AND tenant_id = $4 \
         ORDER BY position LIMIT $5"
    );
    let rows = sqlx::query(&statement)
        .bind(i16::try_from(shard).unwrap_or(i16::MAX))
        .bind(after.cast_signed())
        .bind(to.cast_signed())
        .bind(tenant.uuid())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(recorded).collect()
}

/// One row with [`COLUMNS`].
pub fn recorded(row: &PgRow) -> Result<Recorded, LogError> {
    let position = row.try_get::<i64, _>("position")?.cast_unsigned();
    let aggregate_type: &str = row.try_get("aggregate_type")?;
    let aggregate_id: &str = row.try_get("aggregate_id")?;
    let stream = StreamId::parse(aggregate_type, aggregate_id)
        .map_err(|source| LogError::Unreadable { position, source: source.into() })?;
    Ok(Recorded {
        shard: row.try_get::<i16, _>("shard")?.cast_unsigned(),
        position,
        tenant_id: TenantId::new(row.try_get("tenant_id")?),
        account_id: row.try_get::<Option<Uuid>, _>("account_id")?.map(AccountId::new),
        stream,
        sequence: row.try_get::<i64, _>("sequence")?.cast_unsigned(),
        event_type: row.try_get("event_type")?,
        event_version: row.try_get("event_version")?,
        payload: row.try_get("payload")?,
        metadata: row.try_get("metadata")?,
        recorded_at: row.try_get("recorded_at")?,
        salt: fixed(row, "salt")?,
        leaf: fixed(row, "leaf")?,
    })
}

fn fixed<const N: usize>(row: &PgRow, column: &str) -> Result<[u8; N], sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{} bytes where {N} belong", bytes.len()).into(),
    })
}
