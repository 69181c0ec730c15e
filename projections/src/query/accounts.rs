//! Accounts and their names.

use std::collections::BTreeMap;

use aggregates::id::AccountId;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{limit, read_all, read_one, select};
use crate::accounts::AccountRow;
use crate::error::ProjectionError;

/// One account.
///
/// # Errors
/// The database failed.
pub async fn account(
    connection: &mut PgConnection,
    account_id: AccountId,
) -> Result<Option<AccountRow>, ProjectionError> {
    let statement = format!("{} AND account_id = $1", select::<AccountRow>("trading"));
    let row = sqlx::query(&statement).bind(account_id.uuid()).fetch_optional(connection).await?;
    read_one(row.as_ref())
}

/// Accounts that were opened after a position of the log, oldest first.
///
/// # Errors
/// The database failed.
pub async fn accounts(
    connection: &mut PgConnection,
    after: u64,
    rows: usize,
) -> Result<Vec<AccountRow>, ProjectionError> {
    let statement = format!(
        "{} AND opened_position > $1 ORDER BY opened_position LIMIT $2",
        select::<AccountRow>("trading")
    );
    let rows = sqlx::query(&statement)
        .bind(after.cast_signed())
        .bind(limit(rows))
        .fetch_all(connection)
        .await?;
    read_all(&rows)
}

/// What the owners of accounts call them; erased names are absent.
///
/// # Errors
/// The database failed.
pub async fn account_names(
    connection: &mut PgConnection,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, String>, ProjectionError> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query("SELECT account_id, name FROM account_names WHERE account_id = ANY($1)")
        .bind(ids)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((AccountId::new(row.try_get("account_id")?), row.try_get("name")?)))
        .collect()
}
