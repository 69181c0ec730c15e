//! Roles that users have on accounts of others: what owners offer, and what holders make of it.

use aggregates::id::{AccountId, GrantId, UserId};
use aggregates::user::GrantRole;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Caller, Fault, Page, Service, ServiceError};
use crate::identity::grants::{GrantError, GrantRow, Grantee};

/// How far a grant has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It was offered, and permits nothing until it is accepted.
    Offered,
    /// It is in force.
    Accepted,
}

/// A role of a user on an account, as those see it who own the account.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Grant")]
pub struct GrantAnswer {
    /// Its id.
    pub grant_id: GrantId,
    /// The account.
    pub account_id: AccountId,
    /// Whose it is.
    pub user_id: UserId,
    /// How whoever gave it named them: an address or an id. Absent where that was not kept.
    pub user: Option<String>,
    /// What it permits.
    pub role: GrantRole,
    /// Whether it is offered or accepted.
    pub state: GrantState,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When the offer is over if nobody accepts it.
    pub lapses_at: Option<DateTime<Utc>>,
    /// The last event of the log that this contains.
    pub position: u64,
}

/// A role on an account, as the user sees it whom it was given.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "HeldGrant")]
pub struct HeldGrantAnswer {
    /// Its id.
    pub grant_id: GrantId,
    /// The account.
    pub account_id: AccountId,
    /// What its owner calls the account; absent once erased.
    pub account_name: Option<String>,
    /// What it permits.
    pub role: GrantRole,
    /// Whether it is offered or accepted.
    pub state: GrantState,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When the offer is over if it is not accepted.
    pub lapses_at: Option<DateTime<Utc>>,
    /// The last event of the log that this contains.
    pub position: u64,
}

/// A grant or an offer that has ended.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RevokedGrant {
    /// Its id.
    pub grant_id: GrantId,
    /// Where that stands in the log.
    pub position: u64,
}

fn state(row: &GrantRow) -> GrantState {
    if row.accepted_at.is_some() { GrantState::Accepted } else { GrantState::Offered }
}

impl GrantAnswer {
    fn new(row: GrantRow, position: u64) -> Self {
        Self {
            grant_id: row.grant_id,
            account_id: row.account_id,
            user_id: row.user_id,
            state: state(&row),
            lapses_at: row.lapses_at(),
            user: row.grantee,
            role: row.role,
            created_at: row.created_at,
            accepted_at: row.accepted_at,
            position,
        }
    }
}

impl HeldGrantAnswer {
    fn new(row: &GrantRow, account_name: Option<String>, position: u64) -> Self {
        Self {
            grant_id: row.grant_id,
            account_id: row.account_id,
            account_name,
            role: row.role,
            state: state(row),
            created_at: row.created_at,
            accepted_at: row.accepted_at,
            lapses_at: row.lapses_at(),
            position,
        }
    }
}

impl Service {
    /// Offers a user a role on an account; the operator gives it.
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
        let (account, cause) = ((caller.tenant, account_id), caller.cause());
        let given = self.parts.grants.give(account, grantee, role, caller.giver(), &cause).await;
        let (row, position) = given?;
        Ok(GrantAnswer::new(row, position))
    }

    /// The grants and offers on an account, oldest first, all on one page.
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
        let items = rows.into_iter().map(|row| GrantAnswer::new(row, position)).collect();
        Ok(Page { items, next_cursor: None, position })
    }

    /// Takes a grant on an account, which is over with the next request of its user, or an offer.
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
        let position = self.parts.grants.take(account_id, grant_id, &caller.cause()).await?;
        Ok(RevokedGrant { grant_id, position })
    }

    /// What the caller holds on accounts of others and is offered, oldest first, all on one page.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn held_grants(
        &self,
        caller: &Caller,
    ) -> Result<Page<HeldGrantAnswer>, ServiceError> {
        let position = self.head(caller).await?;
        let rows = self.parts.grants.seen_by(caller.user_id()).await?;
        let items = rows.into_iter().map(|(row, name)| HeldGrantAnswer::new(&row, name, position));
        Ok(Page { items: items.collect(), next_cursor: None, position })
    }

    /// Accepts an offer to the caller. One that was accepted before is answered as it is.
    ///
    /// # Errors
    /// There is none.
    pub async fn accept_grant(
        &self,
        caller: &Caller,
        grant_id: GrantId,
    ) -> Result<HeldGrantAnswer, ServiceError> {
        let user = caller.user_id();
        let accepted = self.parts.grants.accept(user, grant_id, &caller.cause()).await?;
        let position = match accepted.position {
            Some(position) => position,
            None => self.head(caller).await?,
        };
        Ok(HeldGrantAnswer::new(&accepted.row, accepted.account_name, position))
    }

    /// Gives a grant of the caller's back, or declines an offer.
    ///
    /// # Errors
    /// There is none.
    pub async fn leave_grant(
        &self,
        caller: &Caller,
        grant_id: GrantId,
    ) -> Result<RevokedGrant, ServiceError> {
        let left = self.parts.grants.leave(caller.user_id(), grant_id, &caller.cause()).await;
        Ok(RevokedGrant { grant_id, position: left? })
    }
}

impl From<GrantError> for ServiceError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::NoUser => {
                Self::Invalid(vec![Fault::new("user", "no_such_user", error.to_string())])
            }
            GrantError::NoOwner => Self::no_account(),
            GrantError::Own
            | GrantError::Held
            | GrantError::TooMany
            | GrantError::TooManyHeld
            | GrantError::TooManyOffered
            | GrantError::TooManyOffers
            | GrantError::Declined(_) => Self::Conflict(error.to_string()),
            GrantError::NotFound => Self::NotFound("grant"),
            GrantError::Database(error) => error.into(),
        }
    }
}
