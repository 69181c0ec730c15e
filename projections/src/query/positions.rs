//! Positions and their lots.

use std::collections::BTreeMap;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::instrument::OptionTerms;
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

/// What the options among these are that an account holds or has held.
///
/// # Errors
/// The database failed.
pub async fn contracts(
    connection: &mut PgConnection,
    account_id: AccountId,
    instruments: &[InstrumentId],
) -> Result<BTreeMap<InstrumentId, OptionTerms>, ProjectionError> {
    let ids: Vec<Uuid> = instruments.iter().map(|id| id.uuid()).collect();
    let statement = format!(
        "{} AND account_id = $1 AND instrument_id = ANY($2) AND contract IS NOT NULL",
        select::<PositionRow>("trading")
    );
    let rows =
        sqlx::query(&statement).bind(account_id.uuid()).bind(ids).fetch_all(connection).await?;
    let rows: Vec<PositionRow> = read_all(&rows)?;
    Ok(rows.into_iter().filter_map(|row| Some((row.instrument_id, row.contract?))).collect())
}

/// The lots of one position.
#[derive(Clone, Debug, Default)]
pub struct Lots {
    /// The first of them, in the order in which sells take them.
    pub first: Vec<LotRow>,
    /// How many there are.
    pub total: u64,
}

/// The first `most` lots of each of these positions of an account, and how many there are. Reads those and the index of
/// the others.
///
/// # Errors
/// The database failed.
pub async fn lots(
    connection: &mut PgConnection,
    account_id: AccountId,
    instruments: &[InstrumentId],
    most: usize,
) -> Result<BTreeMap<InstrumentId, Lots>, ProjectionError> {
    let ids: Vec<Uuid> = instruments.iter().map(|id| id.uuid()).collect();
    let statement = format!(
        "SELECT kept.* FROM unnest($2::uuid[]) AS held (id) CROSS JOIN LATERAL \
         ({} AND account_id = $1 AND instrument_id = held.id ORDER BY opened_position, lot_id LIMIT $3) AS kept",
        select::<LotRow>("trading")
    );
    let rows = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(&ids)
        .bind(super::limit(most))
        .fetch_all(&mut *connection)
        .await?;
    let mut lots: BTreeMap<InstrumentId, Lots> = BTreeMap::new();
    for row in read_all::<LotRow>(&rows)? {
        lots.entry(row.instrument_id).or_default().first.push(row);
    }
    const COUNT: &str = "SELECT instrument_id, count(*) FROM lots \
        WHERE generation = blotter_generation('trading') AND account_id = $1 AND instrument_id = ANY($2) \
        GROUP BY instrument_id";
    let counts: Vec<(Uuid, i64)> =
        sqlx::query_as(COUNT).bind(account_id.uuid()).bind(ids).fetch_all(connection).await?;
    for (instrument, total) in counts {
        let lots = lots.entry(InstrumentId::new(instrument)).or_default();
        lots.total = total.cast_unsigned();
        lots.first.sort_by_key(|lot| (lot.opened_position, lot.lot_id));
    }
    Ok(lots)
}
