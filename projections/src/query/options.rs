//! What an account holds of options.

use aggregates::id::AccountId;
use sqlx::PgConnection;

use super::{limit, read_all, select};
use crate::error::ProjectionError;
use crate::positions::PositionRow;

/// The positions of an account in options, by symbol, after a symbol: those that are held, or closed ones too.
///
/// # Errors
/// The database failed.
pub async fn option_positions(
    connection: &mut PgConnection,
    account_id: AccountId,
    held: bool,
    after: Option<&str>,
    rows: usize,
) -> Result<Vec<PositionRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND (qty <> 0 OR NOT $2) AND ($3::text IS NULL OR symbol COLLATE \"C\" > $3) \
         AND EXISTS (SELECT FROM instruments i WHERE i.instrument_id = positions.instrument_id \
         AND i.generation = blotter_generation('market') AND i.kind = 'option') \
         ORDER BY symbol COLLATE \"C\" LIMIT $4",
        select::<PositionRow>("trading")
    );
    let rows = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(held)
        .bind(after)
        .bind(limit(rows))
        .fetch_all(connection)
        .await?;
    read_all(&rows)
}

/// The calls that a cash account is short of: shares cover them. None of a margin account.
///
/// # Errors
/// The database failed.
pub async fn covered_calls(
    connection: &mut PgConnection,
    account_id: AccountId,
) -> Result<Vec<PositionRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND qty < 0 AND contract ->> 'right' = 'call' \
         AND EXISTS (SELECT FROM accounts a WHERE a.generation = positions.generation AND a.account_id = $1 AND a.kind = 'cash')",
        select::<PositionRow>("trading")
    );
    let rows = sqlx::query(&statement).bind(account_id.uuid()).fetch_all(connection).await?;
    read_all(&rows)
}
