//! What faces ask of the views. Every question is one statement on the generation that is read, in the
//! caller's transaction: row-level security decides which rows there are, one snapshot makes answers agree.
//!
//! Lists are keysets: what comes after a key, up to a limit, by an index.

mod accounts;
mod books;
mod history;
mod market;
mod options;
mod orders;
mod positions;

pub use accounts::{account, account_names, accounts};
pub use books::{ActivitiesWanted, activities, journal};
pub use history::{
    ClosedSession, Moved, Reach, closed_sessions, closes, last_reset, moved, realized,
};
pub use market::{instrument, instruments, kinds, last_closes, symbols};
pub use options::{covered_calls, option_positions};
pub use orders::{OrdersWanted, order, order_by_client_id, order_notes, orders, orders_named};
pub use positions::{Lots, contracts, holdings, lots, position, positions};

use sqlx::postgres::PgRow;

use crate::error::ProjectionError;
use crate::row::Row;

/// The columns of a row, as a list.
fn columns<R: Row>() -> String {
    [R::KEY, R::FACTS].concat().join(", ")
}

/// Rows of `table` that are read, without a condition yet.
fn select<R: Row>(group: &str) -> String {
    format!(
        "SELECT {} FROM {} WHERE generation = blotter_generation('{group}')",
        columns::<R>(),
        R::TABLE
    )
}

fn read_all<R: Row>(rows: &[PgRow]) -> Result<Vec<R>, ProjectionError> {
    Ok(rows.iter().map(R::read).collect::<Result<_, _>>()?)
}

fn read_one<R: Row>(row: Option<&PgRow>) -> Result<Option<R>, ProjectionError> {
    Ok(row.map(R::read).transpose()?)
}

/// A limit as Postgres takes it.
fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
