//! Positions and their lots.

use std::collections::BTreeMap;

use aggregates::id::{AccountId, InstrumentId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{read_all, read_one, select};
use crate::error::ProjectionError;
use crate::positions::{LotRow, PositionRow};

/// What these accounts hold.
///
/// # Errors
/// The database failed.
pub async fn holdings(
    connection: &mut PgConnection,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, Vec<PositionRow>>, ProjectionError> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.uuid()).collect();
    let statement =
        format!("{} AND account_id = ANY($1) AND qty <> 0", select::<PositionRow>("trading"));
    let rows = sqlx::query(&statement).bind(ids).fetch_all(connection).await?;
    let mut held: BTreeMap<AccountId, Vec<PositionRow>> = BTreeMap::new();
    for row in read_all::<PositionRow>(&rows)? {
        held.entry(row.account_id).or_default().push(row);
    }
    Ok(held)
}

/// What an account holds, by symbol, after a symbol.
///
/// # Errors
/// The database failed.
pub async fn positions(
    connection: &mut PgConnection,
    account_id: AccountId,
    after: Option<&str>,
    rows: usize,
) -> Result<Vec<PositionRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND qty <> 0 AND ($2::text IS NULL OR symbol COLLATE \"C\" > $2) \
         ORDER BY symbol COLLATE \"C\" LIMIT $3",
        select::<PositionRow>("trading")
    );
    let rows = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(after)
        .bind(super::limit(rows))
        .fetch_all(connection)
        .await?;
    read_all(&rows)
}

/// The position of an account in one instrument, also when it is closed.
///
/// # Errors
/// The database failed.
pub async fn position(
    connection: &mut PgConnection,
    account_id: AccountId,
    instrument_id: InstrumentId,
) -> Result<Option<PositionRow>, ProjectionError> {
    let statement =
        format!("{} AND account_id = $1 AND instrument_id = $2", select::<PositionRow>("trading"));
    let row = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(instrument_id.uuid())
        .fetch_optional(connection)
        .await?;
    read_one(row.as_ref())
}

/// The lots of an account in these instruments, in the order in which sells take them.
///
/// # Errors
/// The database failed.
pub async fn lots(
    connection: &mut PgConnection,
    account_id: AccountId,
    instruments: &[InstrumentId],
) -> Result<BTreeMap<InstrumentId, Vec<LotRow>>, ProjectionError> {
    let ids: Vec<Uuid> = instruments.iter().map(|id| id.uuid()).collect();
    let statement = format!(
        "{} AND account_id = $1 AND instrument_id = ANY($2) ORDER BY opened_position, lot_id",
        select::<LotRow>("trading")
    );
    let rows =
        sqlx::query(&statement).bind(account_id.uuid()).bind(ids).fetch_all(connection).await?;
    let mut lots: BTreeMap<InstrumentId, Vec<LotRow>> = BTreeMap::new();
    for row in read_all::<LotRow>(&rows)? {
        lots.entry(row.instrument_id).or_default().push(row);
    }
    Ok(lots)
}
