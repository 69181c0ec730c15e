//! How many grants and offers there may be: on an account, of a user, and by one giver for one user. What waits is
//! counted apart from what is held, so that strangers' offers are in nobody's way.
//!
//! Asked in the transaction that gives or accepts, which has all grants to itself until it is over.

use aggregates::id::{TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

use super::grants::{GrantError, GrantRow};

/// Grants and offers of one account at the most.
pub const GRANTS_MAX: i64 = 100;
/// Grants that one user holds at the most.
pub const HELD_MAX: i64 = 100;
/// Offers that wait for one user at the most.
pub const OFFERED_MAX: i64 = 100;
/// The part of them that givers may fill with whom the user has not had a grant in common yet: what is left over is for
/// those with whom they have.
pub const OF_STRANGERS_MAX: i64 = 80;
/// Offers of one giver that wait for one user at the most: nobody fills the list of another.
pub const OFFERS_EACH: i64 = 5;
/// How long a giver whose offer was declined makes that user no other, in days.
pub const DECLINED_DAYS: i64 = 7;

const COUNTS: &str = "SELECT count(*) FILTER (WHERE account_id = $1) AS given,
        count(*) FILTER (WHERE user_id = $2 AND accepted_at IS NOT NULL) AS held,
        count(*) FILTER (WHERE user_id = $2 AND accepted_at IS NULL) AS offered,
        count(*) FILTER (WHERE user_id = $2 AND accepted_at IS NULL AND given_by = $3) AS of_giver
    FROM grants WHERE revoked_at IS NULL AND (account_id = $1 OR user_id = $2)";
/// Whether one of them has ever accepted a grant of the other's.
const ACQUAINTED: &str =
    "SELECT EXISTS (SELECT FROM grants WHERE accepted_at IS NOT NULL AND user_id = $1
            AND (given_by = $2 OR tenant_id = $2))
        OR EXISTS (SELECT FROM grants JOIN users giver USING (user_id), users holder
            WHERE accepted_at IS NOT NULL AND giver.tenant_id = $2 AND holder.user_id = $1
                AND (given_by = holder.tenant_id OR grants.tenant_id = holder.tenant_id))";
const DECLINED: &str = "SELECT max(revoked_at) FROM grants
    WHERE declined AND user_id = $1 AND given_by = $2 AND revoked_at > $3";
const HELD: &str = "SELECT count(*) FROM grants
    WHERE user_id = $1 AND revoked_at IS NULL AND accepted_at IS NOT NULL";

/// Sees that with this new grant or offer nobody and nothing has more than they may.
pub(super) async fn check_new(
    connection: &mut PgConnection,
    row: &GrantRow,
    given_by: TenantId,
) -> Result<(), GrantError> {
    let (user, giver) = (row.user_id.uuid(), given_by.uuid());
    let counts = sqlx::query(COUNTS).bind(row.account_id.uuid()).bind(user).bind(giver);
    let counts = counts.fetch_one(&mut *connection).await?;
    let exceeds = |name, most: i64| counts.try_get::<i64, _>(name).map(|count| count > most);
    if exceeds("given", GRANTS_MAX)? {
        return Err(GrantError::TooMany);
    }
    if row.accepted_at.is_some() {
        let full = exceeds("held", HELD_MAX)?;
        return if full { Err(GrantError::TooManyHeld) } else { Ok(()) };
    }
    if exceeds("of_giver", OFFERS_EACH)? {
        return Err(GrantError::TooManyOffers);
    }
    if exceeds("offered", OF_STRANGERS_MAX)? {
        let acquainted = sqlx::query_scalar(ACQUAINTED).bind(user).bind(giver);
        let acquainted: bool = acquainted.fetch_one(&mut *connection).await?;
        if !acquainted || exceeds("offered", OFFERED_MAX)? {
            return Err(GrantError::TooManyOffered);
        }
    }
    let rest = TimeDelta::days(DECLINED_DAYS);
    let declined: Option<DateTime<Utc>> = sqlx::query_scalar(DECLINED)
        .bind(user)
        .bind(giver)
        .bind(row.created_at - rest)
        .fetch_one(connection)
        .await?;
    declined.map_or(Ok(()), |declined| Err(GrantError::Declined(declined + rest)))
}

/// Sees that this user, who has just accepted a grant, holds no more than they may.
pub(super) async fn check_held(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<(), GrantError> {
    let held: i64 = sqlx::query_scalar(HELD).bind(user.uuid()).fetch_one(connection).await?;
    if held > HELD_MAX { Err(GrantError::TooManyHeld) } else { Ok(()) }
}
