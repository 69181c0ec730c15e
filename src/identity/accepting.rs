//! Accepting an offer.
//!
//! Guarantees: who asks for what they were not offered holds nobody up, since that is answered before all grants are locked,
//! and nobody waits for a second connection while they are. What is answered is what was true when it was accepted,
//! though it ended at once.

use aggregates::id::{GrantId, UserId};
use chrono::{SubsecRound, Utc};
use sqlx::{PgExecutor, Row};

use super::bounds;
use super::facts::{Cause, Fact, write};
use super::grants::{COLUMNS, GrantError, GrantRow, Grants, LIVE, LOCK, NAME, oldest, read};

/// The giver may still offer it: it is their account, or they own it by a grant.
const STILL_OFFERED: &str =
    "(g.given_by = g.tenant_id OR EXISTS (SELECT FROM grants o JOIN users u USING (user_id)
    WHERE u.tenant_id = g.given_by AND o.account_id = g.account_id AND o.role = 'owner'
        AND o.accepted_at IS NOT NULL AND o.revoked_at IS NULL))";

/// A grant that its holder has accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The grant.
    pub row: GrantRow,
    /// What its owner calls the account.
    pub account_name: Option<String>,
    /// Where it stands in the log, if it was not accepted before.
    pub position: Option<u64>,
}

impl Grants {
    /// Accepts an offer to `user`.
    ///
    /// # Errors
    /// There is none, or whoever made it may not offer it any more; the user holds as many as they may; the database
    /// failed.
    pub async fn accept(
        &self,
        user: UserId,
        grant_id: GrantId,
        cause: &Cause,
    ) -> Result<Accepted, GrantError> {
        let (row, account_name) = one(self.pool.pool(), user, grant_id).await?;
        if row.accepted_at.is_some() {
            return Ok(Accepted { row, account_name, position: None });
        }
        let now = Utc::now().trunc_subsecs(6);
        let accept = format!(
            "UPDATE grants g SET accepted_at = $2 WHERE {LIVE} AND accepted_at IS NULL AND grant_id = $3
                 AND user_id = $4 AND {STILL_OFFERED} RETURNING {COLUMNS}"
        );
        let mut transaction = self.pool.begin().await?;
        sqlx::query(LOCK).execute(&mut *transaction).await?;
        let accepted = sqlx::query(&accept)
            .bind(oldest(now))
            .bind(now)
            .bind(grant_id.uuid())
            .bind(user.uuid())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = accepted.as_ref().map(read).transpose()? else {
            // Another request was faster, or it is over.
            let (row, account_name) = one(&mut *transaction, user, grant_id).await?;
            let accepted = row.accepted_at.is_some();
            let found = Accepted { row, account_name, position: None };
            return if accepted { Ok(found) } else { Err(GrantError::NotFound) };
        };
        bounds::check_held(&mut transaction, user).await?;
        let GrantRow { account_id, user_id, role, .. } = row;
        let fact = Fact::Granted { account_id, grant_id, user_id, role };
        let written = write(&mut transaction, row.tenant, cause, fact).await?;
        transaction.commit().await?;
        let position = Some(self.facts.settled(written).await?);
        Ok(Accepted { row, account_name, position })
    }
}

/// A live grant of a user, or an offer, with the name of its account.
async fn one(
    executor: impl PgExecutor<'_>,
    user: UserId,
    grant_id: GrantId,
) -> Result<(GrantRow, Option<String>), GrantError> {
    let statement = format!(
        "SELECT {COLUMNS}, {NAME} FROM grants g WHERE {LIVE} AND grant_id = $2 AND user_id = $3"
    );
    let query = sqlx::query(&statement).bind(oldest(Utc::now()));
    let row = query.bind(grant_id.uuid()).bind(user.uuid()).fetch_optional(executor).await?;
    let row = row.ok_or(GrantError::NotFound)?;
    Ok((read(&row)?, row.try_get("name")?))
}
