//! Roles that other users have on an account.

use aggregates::id::{AccountId, GrantId, UserId};
use aggregates::user::GrantRole;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Caller, Fault, Page, Service, ServiceError};
use crate::identity::grants::{GrantError, GrantRow, Grantee};

/// A role of a user on an account.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Grant")]
pub struct GrantAnswer {
    /// Its id.
    pub grant_id: GrantId,
    /// The account.
    pub account_id: AccountId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it permits.
    pub role: GrantRole,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// The last event of the log that this contains.
    pub position: u64,
}

/// A grant that was taken.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RevokedGrant {
    /// Its id.
    pub grant_id: GrantId,
    /// Where that stands in the log.
    pub position: u64,
}

impl GrantAnswer {
    fn new(row: &GrantRow, position: u64) -> Self {
        Self {
            grant_id: row.grant_id,
            account_id: row.account_id,
            user_id: row.user_id,
            role: row.role,
            created_at: row.created_at,
            position,
        }
    }
}

impl Service {
    /// Gives a user a role on an account.
    ///
    /// # Errors
    /// There is no such user, it owns the account or has a grant on it already, or there are as many as there may be.
    pub async fn give_grant(
        &self,
        caller: &Caller,
        account_id: AccountId,
        grantee: &Grantee,
        role: GrantRole,
    ) -> Result<GrantAnswer, ServiceError> {
        caller.on(account_id)?;
        let (tenant, cause) = (caller.tenant, caller.cause());
        let given = self.parts.grants.give(tenant, account_id, grantee, role, &cause).await;
        let (row, position) = given?;
        Ok(GrantAnswer::new(&row, position))
    }

    /// The grants on an account, oldest first, all on one page.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn grants(
        &self,
        caller: &Caller,
        account_id: AccountId,
    ) -> Result<Page<GrantAnswer>, ServiceError> {
        caller.on(account_id)?;
        let position = self.head(caller).await?;
        let rows = self.parts.grants.on(account_id).await?;
        let items = rows.iter().map(|row| GrantAnswer::new(row, position)).collect();
        Ok(Page { items, next_cursor: None, position })
    }

    /// Takes a grant on an account: it is over with the next request of its user.
    ///
    /// # Errors
    /// There is none on this account.
    pub async fn take_grant(
        &self,
        caller: &Caller,
        account_id: AccountId,
        grant_id: GrantId,
    ) -> Result<RevokedGrant, ServiceError> {
        caller.on(account_id)?;
        let (tenant, cause) = (caller.tenant, caller.cause());
        let position = self.parts.grants.take(tenant, account_id, grant_id, &cause).await?;
        Ok(RevokedGrant { grant_id, position })
    }
}

impl From<GrantError> for ServiceError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::NoUser => {
                Self::Invalid(vec![Fault::new("user", "no_such_user", error.to_string())])
            }
            GrantError::Own | GrantError::Held | GrantError::TooMany => {
                Self::Conflict(error.to_string())
            }
            GrantError::NotFound => Self::NotFound("grant"),
            GrantError::Database(error) => error.into(),
        }
    }
}
