//! Accounts and their activities.

use aggregates::id::AccountId;
use sqlx::PgConnection;

use super::{PAGE_MAX, fetch, select};
use crate::accounts::AccountRow;
use crate::activities::{ActivityRow, ActivityType};
use crate::error::ProjectionError;
use crate::group::Group;

/// Every account that the transaction may see, oldest first.
///
/// # Errors
/// The database failed.
pub async fn accounts(connection: &mut PgConnection) -> Result<Vec<AccountRow>, ProjectionError> {
    let statement = format!("{} ORDER BY opened_position", select::<AccountRow>(Group::Trading));
    fetch(connection, sqlx::query(&statement)).await
}

/// One account.
///
/// # Errors
/// The database failed.
pub async fn account(
    connection: &mut PgConnection,
    account_id: AccountId,
) -> Result<Option<AccountRow>, ProjectionError> {
    let statement = format!("{} AND account_id = $1", select::<AccountRow>(Group::Trading));
    Ok(fetch(connection, sqlx::query(&statement).bind(account_id.uuid())).await?.pop())
}

/// Which activities a page holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    /// Of these types; empty for all.
    pub types: Vec<ActivityType>,
    /// Only those before this position: the last one of the page before.
    pub before: Option<u64>,
    /// How many, at most [`PAGE_MAX`].
    pub limit: u32,
}

/// A page of an account's activities, newest first.
///
/// # Errors
/// The database failed.
pub async fn activities(
    connection: &mut PgConnection,
    account_id: AccountId,
    filter: &ActivityFilter,
) -> Result<Vec<ActivityRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND (cardinality($2) = 0 OR activity_type = ANY ($2)) AND position < $3 \
         ORDER BY position DESC LIMIT $4",
        select::<ActivityRow>(Group::Trading)
    );
    let types: Vec<&str> = filter.types.iter().map(|kind| kind.word()).collect();
    let statement = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(types)
        .bind(filter.before.map_or(i64::MAX, u64::cast_signed))
        .bind(i64::from(filter.limit.min(PAGE_MAX)));
    fetch(connection, statement).await
}
