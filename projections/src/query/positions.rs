//! Positions and their lots.

use aggregates::id::{AccountId, InstrumentId};
use sqlx::PgConnection;

use super::{fetch, select};
use crate::error::ProjectionError;
use crate::group::Group;
use crate::positions::{LotRow, PositionRow};

/// The positions that an account holds, by ticker; with `closed` those too that it has held.
///
/// # Errors
/// The database failed.
pub async fn positions(
    connection: &mut PgConnection,
    account_id: AccountId,
    closed: bool,
) -> Result<Vec<PositionRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND ($2 OR qty <> 0) ORDER BY symbol, instrument_id",
        select::<PositionRow>(Group::Trading)
    );
    fetch(connection, sqlx::query(&statement).bind(account_id.uuid()).bind(closed)).await
}

/// One position, also when it is closed.
///
/// # Errors
/// The database failed.
pub async fn position(
    connection: &mut PgConnection,
    account_id: AccountId,
    instrument_id: InstrumentId,
) -> Result<Option<PositionRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND instrument_id = $2",
        select::<PositionRow>(Group::Trading)
    );
    let statement = sqlx::query(&statement).bind(account_id.uuid()).bind(instrument_id.uuid());
    Ok(fetch(connection, statement).await?.pop())
}

/// The lots of all positions of an account (of one, if given), oldest first within a position.
///
/// # Errors
/// The database failed.
pub async fn lots(
    connection: &mut PgConnection,
    account_id: AccountId,
    instrument_id: Option<InstrumentId>,
) -> Result<Vec<LotRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND ($2::uuid IS NULL OR instrument_id = $2) \
         ORDER BY instrument_id, opened_position",
        select::<LotRow>(Group::Trading)
    );
    let instrument_id = instrument_id.map(InstrumentId::uuid);
    fetch(connection, sqlx::query(&statement).bind(account_id.uuid()).bind(instrument_id)).await
}
