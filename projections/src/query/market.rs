//! Instruments.

use std::collections::BTreeMap;

use aggregates::id::InstrumentId;
use aggregates::instrument::InstrumentKind;
use aggregates::money::Price;
use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{limit, read_all, select};
use crate::error::ProjectionError;
use crate::instruments::InstrumentRow;

/// Instruments by symbol, after a symbol: all, or those of one kind, and that have `search` in their ticker or name, in any
/// case.
///
/// # Errors
/// The database failed.
pub async fn instruments(
    connection: &mut PgConnection,
    kind: Option<InstrumentKind>,
    search: Option<&str>,
    after: Option<&str>,
    rows: usize,
) -> Result<Vec<InstrumentRow>, ProjectionError> {
    let statement = format!(
        "{} AND ($1::text IS NULL OR strpos(lower(symbol), lower($1)) > 0 OR strpos(lower(name), lower($1)) > 0) \
         AND ($2::text IS NULL OR symbol COLLATE \"C\" > $2) AND ($4::text IS NULL OR kind = $4) \
         ORDER BY symbol COLLATE \"C\" LIMIT $3",
        select::<InstrumentRow>("market")
    );
    let rows = sqlx::query(&statement)
        .bind(search)
        .bind(after)
        .bind(limit(rows))
        .bind(kind.map(InstrumentKind::word))
        .fetch_all(connection)
        .await?;
    read_all(&rows)
}

/// The instrument of this symbol.
///
/// # Errors
/// The database failed.
pub async fn instrument(
    connection: &mut PgConnection,
    symbol: &str,
) -> Result<Option<InstrumentRow>, ProjectionError> {
    let statement = format!("{} AND symbol = $1", select::<InstrumentRow>("market"));
    let rows = sqlx::query(&statement).bind(symbol).fetch_all(connection).await?;
    Ok(read_all(&rows)?.into_iter().next())
}

/// What these instruments are.
///
/// # Errors
/// The database failed.
pub async fn kinds(
    connection: &mut PgConnection,
    instruments: &[InstrumentId],
) -> Result<BTreeMap<InstrumentId, InstrumentKind>, ProjectionError> {
    let rows = by_id(connection, instruments).await?;
    Ok(rows.into_iter().map(|row| (row.instrument_id, row.kind)).collect())
}

/// The tickers of these instruments.
///
/// # Errors
/// The database failed.
pub async fn symbols(
    connection: &mut PgConnection,
    instruments: &[InstrumentId],
) -> Result<BTreeMap<InstrumentId, String>, ProjectionError> {
    let rows = by_id(connection, instruments).await?;
    Ok(rows.into_iter().map(|row| (row.instrument_id, row.symbol)).collect())
}

/// The last official close of these instruments and its session, of those that have one.
///
/// # Errors
/// The database failed.
pub async fn last_closes(
    connection: &mut PgConnection,
    instruments: &[InstrumentId],
) -> Result<BTreeMap<InstrumentId, (NaiveDate, Price)>, ProjectionError> {
    let rows = by_id(connection, instruments).await?;
    let closed = rows
        .into_iter()
        .filter_map(|row| Some((row.instrument_id, (row.last_session?, row.last_close?))));
    Ok(closed.collect())
}

async fn by_id(
    connection: &mut PgConnection,
    instruments: &[InstrumentId],
) -> Result<Vec<InstrumentRow>, ProjectionError> {
    if instruments.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = instruments.iter().map(|id| id.uuid()).collect();
    let statement = format!("{} AND instrument_id = ANY($1)", select::<InstrumentRow>("market"));
    let rows = sqlx::query(&statement).bind(ids).fetch_all(connection).await?;
    read_all(&rows)
}
