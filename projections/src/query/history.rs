//! What moved in an account between the closes of sessions, and the closes themselves.

use aggregates::id::{AccountId, InstrumentId};
use aggregates::market::MarketTime;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{read_all, select};
use crate::column::{self, Column};
use crate::error::ProjectionError;
use crate::instruments::CloseRow;
use crate::movements::{Hour, Unit};

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

/// What moved in an account before, between and after the closes of `sessions`, since it began; but not what moved up to
/// the close of `base`, if there is one. What happens at a close itself is before it: see [`crate::movements`]. Costs the
/// hours since then and what moved in each, however many events they had.
///
/// # Errors
/// The database failed.
pub async fn moved(
    connection: &mut PgConnection,
    account_id: AccountId,
    sessions: &[ClosedSession],
    base: Option<&ClosedSession>,
) -> Result<Vec<Moved>, ProjectionError> {
    const MOVED: &str = "SELECT
            CASE WHEN cardinality($2) = 0 THEN 0 ELSE width_bucket(hour, $2) END AS after,
            unit, sum(held) AS held, sum(paid_in) AS paid_in
        FROM movements
        WHERE generation = blotter_generation('trading') AND account_id = $1 AND hour >= $3
        GROUP BY 1, 2 HAVING sum(held) <> 0 OR sum(paid_in) <> 0";
    let ends: Vec<_> =
        sessions.iter().filter_map(|close| Hour::of(close.at).next().stored()).collect();
    let first = base.map_or(Hour::UNTIMED, |base| Hour::of(base.at).next());
    let rows = sqlx::query(MOVED)
        .bind(account_id.uuid())
        .bind(ends)
        .bind(first.stored())
        .fetch_all(connection)
        .await?;
    let read = |row| -> Result<_, sqlx::Error> {
        let row: &sqlx::postgres::PgRow = row;
        Ok(Moved {
            after: usize::try_from(row.try_get::<i32, _>("after")?).unwrap_or_default(),
            instrument_id: column::read::<Unit>(row, "unit")?.instrument(),
            held: row.try_get("held")?,
            paid_in: row.try_get("paid_in")?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
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
