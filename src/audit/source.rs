//! The log and its head as they stand in the database: raw rows, in chunks, so that a row of any kind can be reported.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::chain::Head;
use super::error::AuditError;
use super::row::{Content, Row};
use crate::ledger::proof::Frontier;

/// Rows of one round trip.
pub(super) const CHUNK: i64 = 2000;

const ROWS: &str =
    "SELECT position, shard, tenant_id, account_id, aggregate_type, aggregate_id, sequence,
        event_type, event_version, payload::text AS payload, metadata::text AS metadata,
        (extract(epoch FROM recorded_at) * 1000000)::bigint AS recorded_at, salt, leaf
    FROM events WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3";

const LEAVES: &str =
    "SELECT leaf FROM events WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3";

const HEAD: &str = "SELECT position, epoch, frontier FROM ledger_head WHERE shard = $1";

/// Up to [`CHUNK`] rows after a position.
pub(super) async fn rows(
    connection: &mut PgConnection,
    shard: u16,
    after: u64,
) -> Result<Vec<Row>, AuditError> {
    let rows = sqlx::query(ROWS).bind(number(shard)).bind(after.cast_signed()).bind(CHUNK);
    Ok(rows.fetch_all(connection).await?.iter().map(row).collect::<Result<_, _>>()?)
}

fn row(row: &PgRow) -> Result<Row, sqlx::Error> {
    let content = Content {
        shard: row.try_get::<i16, _>("shard")?.cast_unsigned(),
        tenant_id: row.try_get("tenant_id")?,
        account_id: row.try_get("account_id")?,
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        sequence: row.try_get::<i64, _>("sequence")?.cast_unsigned(),
        event_type: row.try_get("event_type")?,
        event_version: row.try_get("event_version")?,
        recorded_at: row.try_get("recorded_at")?,
        salt: fixed(row, "salt")?,
        payload: row.try_get("payload")?,
        metadata: row.try_get("metadata")?,
    };
    let position = row.try_get::<i64, _>("position")?.cast_unsigned();
    Ok(Row { position, leaf: fixed(row, "leaf")?, content: Some(content) })
}

/// The frontier that the head row keeps, and the epoch; an empty log has an empty one.
pub(super) async fn head(
    connection: &mut PgConnection,
    shard: u16,
) -> Result<(Head, Frontier), AuditError> {
    let row = sqlx::query(HEAD).bind(number(shard)).fetch_optional(connection).await?;
    let row = row.ok_or(AuditError::NoShard(shard))?;
    let bytes: &[u8] = row.try_get("frontier")?;
    let tree = if bytes.is_empty() { Frontier::default() } else { Frontier::from_bytes(bytes)? };
    let head = Head {
        position: row.try_get::<i64, _>("position")?.cast_unsigned(),
        epoch: Some(row.try_get::<i64, _>("epoch")?.cast_unsigned()),
        root: tree.root(),
    };
    Ok((head, tree))
}

/// Up to `limit` leaves after a position, without the rest of their rows.
pub(super) async fn leaves(
    connection: &mut PgConnection,
    shard: u16,
    after: u64,
    limit: i64,
) -> Result<Vec<[u8; 32]>, AuditError> {
    let rows = sqlx::query(LEAVES).bind(number(shard)).bind(after.cast_signed()).bind(limit);
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.iter().map(|row| fixed(row, "leaf")).collect::<Result<_, _>>()?)
}

fn number(shard: u16) -> i16 {
    shard.cast_signed()
}

fn fixed<const N: usize>(row: &PgRow, column: &str) -> Result<[u8; N], sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{} bytes where {N} belong", bytes.len()).into(),
    })
}
