//! What a face may ask of the views. Every function runs in the caller's transaction, which has one snapshot and
//! is bound to a tenant: rows of others do not exist there. All read the active generation, so that a rebuild is
//! never seen half-done; one round trip each, by an index.
//!
//! Lists are pages: newest first, at most [`PAGE_MAX`] rows, going on after the key of the last row seen.

mod accounts;
mod journal;
mod market;
mod orders;
mod positions;

pub use accounts::{ActivityFilter, account, accounts, activities};
pub use journal::{JournalEntry, journal};
pub use market::{actions, closes, instrument_by_symbol, instruments};
pub use orders::{
    OrderCursor, OrderFilter, OrderState, fills, order, order_by_client_id, order_events, orders,
};
pub use positions::{lots, position, positions};

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};

use crate::error::ProjectionError;
use crate::group::Group;
use crate::row::Row;
use crate::{checkpoint, checkpoint::Checkpoint};

/// The most rows of one page.
pub const PAGE_MAX: u32 = 1_000;

/// How far the views of a group have come in this snapshot: the `position` of an answer made of them, and whether
/// they are degraded (its status is then stopped).
///
/// # Errors
/// The database failed.
pub async fn checkpoint_of(
    connection: &mut PgConnection,
    group: Group,
) -> Result<Checkpoint, ProjectionError> {
    checkpoint::active(connection, group.name()).await
}

/// `SELECT columns FROM table WHERE active generation`, to be continued with ` AND …`.
fn select<R: Row>(group: Group) -> String {
    format!(
        "SELECT {} FROM {} WHERE generation = blotter_generation('{}')",
        [R::KEY, R::FACTS].concat().join(", "),
        R::TABLE,
        group.name()
    )
}

fn read_all<R: Row>(rows: &[PgRow]) -> Result<Vec<R>, ProjectionError> {
    Ok(rows.iter().map(R::read).collect::<Result<_, _>>()?)
}

async fn fetch<R: Row>(
    connection: &mut PgConnection,
    statement: Query<'_, Postgres, PgArguments>,
) -> Result<Vec<R>, ProjectionError> {
    read_all(&statement.fetch_all(connection).await?)
}
