//! What moved in an account between the closes of sessions: sums of its journal between instants.
//!
//! An entry belongs to the market time that its event names; the money of a fill to that of what its order moves next,
//! which is the same fill; what names no
//! time (money moved while the market had none) to that of the entry before it. Market time never goes back along
//! the log. Costs one pass over the account's entries since the first of the closes, however long its journal is.

use aggregates::id::{AccountId, InstrumentId};
use aggregates::market::MarketTime;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{read_all, select};
use crate::error::ProjectionError;
use crate::instruments::CloseRow;

/// A session whose official closes are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedSession {
    /// Its New York date.
    pub session: NaiveDate,
    /// The instant of its close.
    pub at: MarketTime,
    /// The place of the last of its closes in the log.
    pub told: u64,
}

/// What moved in one unit between two closes.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// The number of closes before it.
    pub after: usize,
    /// Shares of this instrument, or cash.
    pub instrument_id: Option<InstrumentId>,
    /// Into the account, reserved or not.
    pub held: Decimal,
    /// Cash paid in, less cash paid out.
    pub paid_in: Decimal,
}

/// The place of the last event by which an account began again, up to a position of the log.
///
/// # Errors
/// The database failed.
pub async fn last_reset(
    connection: &mut PgConnection,
    account_id: AccountId,
    up_to: u64,
) -> Result<Option<u64>, ProjectionError> {
    const LAST_RESET: &str = "SELECT max(position) FROM journal_entries
        WHERE generation = blotter_generation('books') AND account_id = $1 AND position <= $2
        AND event_type IN ('AccountReset', 'PositionReset')";
    let position: Option<i64> = sqlx::query_scalar(LAST_RESET)
        .bind(account_id.uuid())
        .bind(up_to.cast_signed())
        .fetch_one(connection)
        .await?;
    Ok(position.map(i64::cast_unsigned))
}

/// How far back closes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    All,
    /// Those later than this date, and the last one that is not.
    LaterThan(NaiveDate),
    /// The last one.
    Last,
}

/// Sessions in which something traded that closed in the log after one position and up to another, as far back as `reach` says, oldest first.
///
/// # Errors
/// The database failed.
pub async fn closed_sessions(
    connection: &mut PgConnection,
    (after, up_to): (u64, u64),
    reach: Reach,
) -> Result<Vec<ClosedSession>, ProjectionError> {
    const CLOSED_SESSIONS: &str =
        "SELECT session, max(at) AS at, max(position) AS told FROM official_closes
        WHERE generation = blotter_generation('market') AND position <= $2
        AND ($4 OR session >= coalesce((SELECT max(session) FROM official_closes
            WHERE generation = blotter_generation('market') AND position <= $2 AND quoted_at IS NULL
            AND session <= coalesce($3, 'infinity')), $3))
        GROUP BY session HAVING max(position) > $1 AND bool_or(quoted_at IS NULL) ORDER BY session";
    let later_than = match reach {
        Reach::LaterThan(date) => Some(date),
        Reach::All | Reach::Last => None,
    };
    let rows = sqlx::query(CLOSED_SESSIONS)
        .bind(after.cast_signed())
        .bind(up_to.cast_signed())
        .bind(later_than)
        .bind(reach == Reach::All)
        .fetch_all(connection)
        .await?;
    let read = |row| -> Result<_, sqlx::Error> {
        let row: &sqlx::postgres::PgRow = row;
        let told = row.try_get::<i64, _>("told")?.cast_unsigned();
        Ok(ClosedSession { session: row.try_get("session")?, at: row.try_get("at")?, told })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The position of the last entry of an account that names a time up to `at`; 0 if there is none. Costs what moved
/// since then.
///
/// # Errors
/// The database failed.
pub async fn last_entry(
    connection: &mut PgConnection,
    account_id: AccountId,
    at: MarketTime,
    up_to: u64,
) -> Result<u64, ProjectionError> {
    const LAST_ENTRY: &str = "SELECT position FROM journal_entries
        WHERE generation = blotter_generation('books') AND account_id = $1 AND position <= $2 AND at <= $3
        ORDER BY position DESC LIMIT 1";
    let position: Option<i64> = sqlx::query_scalar(LAST_ENTRY)
        .bind(account_id.uuid())
        .bind(up_to.cast_signed())
        .bind(at)
        .fetch_optional(connection)
        .await?;
    Ok(position.unwrap_or_default().cast_unsigned())
}

/// The official closes of these instruments in these sessions, up to a position of the log.
///
/// # Errors
/// The database failed.
pub async fn closes(
    connection: &mut PgConnection,
    instruments: &[InstrumentId],
    sessions: &[NaiveDate],
    up_to: u64,
) -> Result<Vec<CloseRow>, ProjectionError> {
    let ids: Vec<Uuid> = instruments.iter().map(|id| id.uuid()).collect();
    let statement = format!(
        "{} AND instrument_id = ANY($1) AND session = ANY($2) AND position <= $3",
        select::<CloseRow>("market")
    );
    let rows = sqlx::query(&statement)
        .bind(ids)
        .bind(sessions)
        .bind(up_to.cast_signed())
        .fetch_all(connection)
        .await?;
    read_all(&rows)
}

/// What moved in an account before, between and after the closes of `sessions`: behind the entry at one position of the
/// log, up to another.
///
/// # Errors
/// The database failed.
pub async fn moved(
    connection: &mut PgConnection,
    account_id: AccountId,
    sessions: &[ClosedSession],
    (behind, up_to): (u64, u64),
) -> Result<Vec<Moved>, ProjectionError> {
    // What happens at the close itself is before it: times are whole microseconds. The entry at `behind` lends its time
    // to what follows it without one.
    const MOVED: &str = "WITH entries AS (
            SELECT position, coalesce(at, CASE WHEN fill_id IS NOT NULL THEN min(at) OVER (PARTITION BY order_id
                    ORDER BY position ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) END,
                max(at) OVER (ORDER BY position), '-infinity') AS moved_at
            FROM journal_entries
            WHERE generation = blotter_generation('books') AND account_id = $1 AND position BETWEEN $4 AND $2),
        postings AS (
            SELECT moved_at, instrument_id, amount, book FROM entries JOIN journal_postings USING (position)
            WHERE generation = blotter_generation('books') AND position > $4
            AND book IN ('available', 'reserved', 'shares', 'shares_reserved', 'external'))
        SELECT CASE WHEN cardinality($3::timestamptz[]) = 0 THEN 0
                ELSE width_bucket(moved_at, $3::timestamptz[]) END AS after,
            instrument_id,
            coalesce(sum(amount) FILTER (WHERE book <> 'external'), 0) AS held,
            -coalesce(sum(amount) FILTER (WHERE book = 'external'), 0) AS paid_in
        FROM postings GROUP BY 1, 2";
    let ends: Vec<MarketTime> =
        sessions.iter().map(|close| close.at + chrono::TimeDelta::microseconds(1)).collect();
    let rows = sqlx::query(MOVED)
        .bind(account_id.uuid())
        .bind(up_to.cast_signed())
        .bind(ends)
        .bind(behind.cast_signed())
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(read_moved).collect::<Result<_, _>>()?)
}

/// What moved in an account since a close: `behind` is its last entry before that, and what follows it without a time of its
/// own moved before the close too. The same as [`moved`] says of that session alone, in a third of the time and less, since nothing
/// is asked for its time. Without a close everything behind the entry is before the first one. Costs what moved.
///
/// # Errors
/// The database failed.
pub async fn moved_since(
    connection: &mut PgConnection,
    account_id: AccountId,
    close: Option<ClosedSession>,
    (behind, up_to): (u64, u64),
) -> Result<Vec<Moved>, ProjectionError> {
    const MOVED_SINCE: &str = "WITH first AS (
            SELECT position FROM journal_entries
            WHERE generation = blotter_generation('books') AND account_id = $1 AND position > $3 AND position <= $2
            AND $4 AND (at IS NOT NULL OR fill_id IS NOT NULL)
            ORDER BY position LIMIT 1)
        SELECT CASE WHEN position >= (SELECT position FROM first) THEN 1 ELSE 0 END AS after,
            instrument_id,
            coalesce(sum(amount) FILTER (WHERE book <> 'external'), 0) AS held,
            -coalesce(sum(amount) FILTER (WHERE book = 'external'), 0) AS paid_in
        FROM journal_postings
        WHERE generation = blotter_generation('books') AND account_id = $1 AND position > $3 AND position <= $2
        AND book IN ('available', 'reserved', 'shares', 'shares_reserved', 'external')
        GROUP BY 1, 2";
    let rows = sqlx::query(MOVED_SINCE)
        .bind(account_id.uuid())
        .bind(up_to.cast_signed())
        .bind(behind.cast_signed())
        .bind(close.is_some())
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(read_moved).collect::<Result<_, _>>()?)
}

fn read_moved(row: &sqlx::postgres::PgRow) -> Result<Moved, sqlx::Error> {
    let instrument_id: Option<Uuid> = row.try_get("instrument_id")?;
    Ok(Moved {
        after: usize::try_from(row.try_get::<i32, _>("after")?).unwrap_or_default(),
        instrument_id: instrument_id.map(InstrumentId::new),
        held: row.try_get("held")?,
        paid_in: row.try_get("paid_in")?,
    })
}

/// Cash paid into an account behind one position of the log and up to another, less what was paid out. Costs what was
/// paid in and out since the account was opened.
///
/// # Errors
/// The database failed.
pub async fn paid_in(
    connection: &mut PgConnection,
    account_id: AccountId,
    (behind, up_to): (u64, u64),
) -> Result<Decimal, ProjectionError> {
    const PAID_IN: &str = "SELECT -coalesce(sum(amount), 0) FROM journal_postings
        WHERE generation = blotter_generation('books') AND account_id = $1 AND book = 'external'
        AND instrument_id IS NULL AND position > $2 AND position <= $3";
    let paid_in = sqlx::query_scalar(PAID_IN).bind(account_id.uuid());
    Ok(paid_in.bind(behind.cast_signed()).bind(up_to.cast_signed()).fetch_one(connection).await?)
}

/// The profit that an account has taken in all its positions, closed ones included.
///
/// # Errors
/// The database failed, or the sum is beyond the bound of money.
pub async fn realized(
    connection: &mut PgConnection,
    account_id: AccountId,
) -> Result<Decimal, ProjectionError> {
    const REALIZED: &str = "SELECT coalesce(sum(realized_pl), 0) FROM positions
        WHERE generation = blotter_generation('trading') AND account_id = $1";
    Ok(sqlx::query_scalar(REALIZED).bind(account_id.uuid()).fetch_one(connection).await?)
}
