//! Instruments, official closes and corporate actions.

use aggregates::id::InstrumentId;
use sqlx::PgConnection;

use super::{PAGE_MAX, fetch, select};
use crate::error::ProjectionError;
use crate::group::Group;
use crate::instruments::{ActionRow, CloseRow, InstrumentRow};

/// The instruments whose ticker or name contains `query` in any case, by ticker; the first [`PAGE_MAX`].
///
/// # Errors
/// The database failed.
pub async fn instruments(
    connection: &mut PgConnection,
    query: &str,
) -> Result<Vec<InstrumentRow>, ProjectionError> {
    let statement = format!(
        "{} AND (strpos(upper(symbol), upper($1)) > 0 OR strpos(upper(name), upper($1)) > 0) \
         ORDER BY symbol, instrument_id LIMIT $2",
        select::<InstrumentRow>(Group::Market)
    );
    fetch(connection, sqlx::query(&statement).bind(query).bind(i64::from(PAGE_MAX))).await
}

/// The instrument that bears this ticker.
///
/// # Errors
/// The database failed.
pub async fn instrument_by_symbol(
    connection: &mut PgConnection,
    symbol: &str,
) -> Result<Option<InstrumentRow>, ProjectionError> {
    let statement = format!(
        "{} AND symbol = $1 ORDER BY position DESC LIMIT 1",
        select::<InstrumentRow>(Group::Market)
    );
    Ok(fetch(connection, sqlx::query(&statement).bind(symbol)).await?.pop())
}

/// The last `limit` official closes of an instrument, newest first.
///
/// # Errors
/// The database failed.
pub async fn closes(
    connection: &mut PgConnection,
    instrument_id: InstrumentId,
    limit: u32,
) -> Result<Vec<CloseRow>, ProjectionError> {
    let statement = format!(
        "{} AND instrument_id = $1 ORDER BY session DESC LIMIT $2",
        select::<CloseRow>(Group::Market)
    );
    let limit = i64::from(limit.min(PAGE_MAX));
    fetch(connection, sqlx::query(&statement).bind(instrument_id.uuid()).bind(limit)).await
}

/// The corporate actions of an instrument, newest first.
///
/// # Errors
/// The database failed.
pub async fn actions(
    connection: &mut PgConnection,
    instrument_id: InstrumentId,
) -> Result<Vec<ActionRow>, ProjectionError> {
    let statement = format!(
        "{} AND instrument_id = $1 ORDER BY at DESC, action_id",
        select::<ActionRow>(Group::Market)
    );
    fetch(connection, sqlx::query(&statement).bind(instrument_id.uuid())).await
}
