//! Roles of users on accounts of other tenants.
//!
//! Guarantees: a grant that was taken is so for every process with the next request, since none is remembered; on one
//! account a user has one live grant. What happens to a grant is a fact of its account in the log. Costs one look-up by
//! key a request on another's account.

use aggregates::id::{AccountId, GrantId, TenantId, UserId};
use aggregates::user::GrantRole;
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::facts::{Cause, Fact, Facts, write};
use crate::database::IdentityPool;

/// Live grants of one account at the most.
pub const GRANTS_MAX: i64 = 100;
/// Live grants that one user holds at the most.
pub const HELD_MAX: i64 = 100;

/// Whoever gives a grant has these to themselves until it is given: that the bounds hold.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('blotter/grants', 0))";
const USER: &str = "SELECT user_id, tenant_id FROM users
    WHERE state = 'active' AND (user_id = $1 OR email = $2)";
const COUNTS: &str =
    "SELECT count(*) FILTER (WHERE account_id = $1), count(*) FILTER (WHERE user_id = $2)
    FROM grants WHERE revoked_at IS NULL AND (account_id = $1 OR user_id = $2)";
const INSERT: &str =
    "INSERT INTO grants (grant_id, tenant_id, account_id, user_id, role, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (tenant_id, account_id, user_id) WHERE revoked_at IS NULL DO NOTHING";
const COLUMNS: &str = "grant_id, tenant_id, account_id, user_id, role, created_at";
const REVOKE: &str = "UPDATE grants SET revoked_at = $3
    WHERE grant_id = $1 AND account_id = $2 AND revoked_at IS NULL";

/// A live grant.
#[derive(Clone, Debug)]
pub struct GrantRow {
    /// The grant.
    pub grant_id: GrantId,
    /// The account's tenant.
    pub tenant: TenantId,
    /// The account.
    pub account_id: AccountId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it permits.
    pub role: GrantRole,
    /// When it was given.
    pub created_at: DateTime<Utc>,
}

/// A user as whoever gives a grant names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// By id.
    Id(UserId),
    /// By address, normalised.
    Email(String),
}

/// Why a grant was not given or taken.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Nobody is called so.
    #[error(
        "there is no such user: a grant is given to somebody who has registered, by address or user id"
    )]
    NoUser,
    /// The account is that user's own.
    #[error("the account is this user's own: nothing can be granted that is not there already")]
    Own,
    /// The user has a grant on the account.
    #[error("this user has a grant on this account: take it first to give another role")]
    Held,
    /// There are as many as there may be.
    #[error(
        "there are as many grants as there may be: {GRANTS_MAX} on an account, and {HELD_MAX} that a user holds"
    )]
    TooMany,
    /// No such grant, or on another account.
    #[error("there is no such grant")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The grants of one database.
#[derive(Clone, Debug)]
pub struct Grants {
    pool: IdentityPool,
    facts: Facts,
}

impl Grants {
    /// Those of this database, whose facts go this way.
    pub fn new(pool: IdentityPool, facts: Facts) -> Self {
        Self { pool, facts }
    }

    /// Gives a role on an account of `tenant`: the grant, and the position of the log that contains it.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub async fn give(
        &self,
        tenant: TenantId,
        account_id: AccountId,
        grantee: &Grantee,
        role: GrantRole,
        cause: &Cause,
    ) -> Result<(GrantRow, u64), GrantError> {
        let (id, email) = match grantee {
            Grantee::Id(id) => (Some(id.uuid()), None),
            Grantee::Email(email) => (None, Some(email)),
        };
        let mut transaction = self.pool.pool().begin().await?;
        sqlx::query(LOCK).execute(&mut *transaction).await?;
        let user = sqlx::query(USER).bind(id).bind(email).fetch_optional(&mut *transaction).await?;
        let user = user.ok_or(GrantError::NoUser)?;
        let user_id = UserId::new(user.try_get("user_id")?);
        if user.try_get::<Uuid, _>("tenant_id")? == tenant.uuid() {
            return Err(GrantError::Own);
        }
        let (given, held): (i64, i64) = sqlx::query_as(COUNTS)
            .bind(account_id.uuid())
            .bind(user_id.uuid())
            .fetch_one(&mut *transaction)
            .await?;
        if given >= GRANTS_MAX || held >= HELD_MAX {
            return Err(GrantError::TooMany);
        }
        let grant_id = GrantId::new(Uuid::now_v7());
        let created_at = Utc::now();
        let given = sqlx::query(INSERT)
            .bind(grant_id.uuid())
            .bind(tenant.uuid())
            .bind(account_id.uuid())
            .bind(user_id.uuid())
            .bind(role.word())
            .bind(created_at)
            .execute(&mut *transaction)
            .await?;
        if given.rows_affected() == 0 {
            return Err(GrantError::Held);
        }
        let fact = Fact::Granted { account_id, grant_id, user_id, role };
        let written = write(&mut transaction, tenant, cause, fact).await?;
        transaction.commit().await?;
        let row = GrantRow { grant_id, tenant, account_id, user_id, role, created_at };
        Ok((row, self.facts.settled(written).await?))
    }

    /// Takes a grant; the position of the log that contains it.
    ///
    /// # Errors
    /// There is none on this account, or the database failed.
    pub async fn take(
        &self,
        tenant: TenantId,
        account_id: AccountId,
        grant_id: GrantId,
        cause: &Cause,
    ) -> Result<u64, GrantError> {
        let mut transaction = self.pool.pool().begin().await?;
        let taken = sqlx::query(REVOKE)
            .bind(grant_id.uuid())
            .bind(account_id.uuid())
            .bind(Utc::now())
            .execute(&mut *transaction)
            .await?;
        if taken.rows_affected() == 0 {
            return Err(GrantError::NotFound);
        }
        let fact = Fact::Revoked { account_id, grant_id };
        let written = write(&mut transaction, tenant, cause, fact).await?;
        transaction.commit().await?;
        Ok(self.facts.settled(written).await?)
    }

    /// The live grants on an account, oldest first: [`GRANTS_MAX`] at the most.
    ///
    /// # Errors
    /// The database failed.
    pub async fn on(&self, account_id: AccountId) -> Result<Vec<GrantRow>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM grants WHERE account_id = $1 AND revoked_at IS NULL ORDER BY grant_id"
        );
        let query = sqlx::query(&statement).bind(account_id.uuid());
        query.fetch_all(self.pool.pool()).await?.iter().map(read).collect()
    }

    /// The live grants that a user holds, oldest first: [`HELD_MAX`] at the most.
    ///
    /// # Errors
    /// The database failed.
    pub async fn of(&self, user: UserId) -> Result<Vec<GrantRow>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM grants WHERE user_id = $1 AND revoked_at IS NULL ORDER BY grant_id"
        );
        let query = sqlx::query(&statement).bind(user.uuid());
        query.fetch_all(self.pool.pool()).await?.iter().map(read).collect()
    }

    /// The live grant of a user on an account.
    ///
    /// # Errors
    /// The database failed: nobody knows whether there is one.
    pub async fn held(
        &self,
        user: UserId,
        account_id: AccountId,
    ) -> Result<Option<GrantRow>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM grants WHERE user_id = $1 AND account_id = $2 AND revoked_at IS NULL"
        );
        let query = sqlx::query(&statement).bind(user.uuid()).bind(account_id.uuid());
        query.fetch_optional(self.pool.pool()).await?.as_ref().map(read).transpose()
    }
}

/// One row with [`COLUMNS`].
fn read(row: &PgRow) -> Result<GrantRow, sqlx::Error> {
    let role: String = row.try_get("role")?;
    Ok(GrantRow {
        grant_id: GrantId::new(row.try_get("grant_id")?),
        tenant: TenantId::new(row.try_get("tenant_id")?),
        account_id: AccountId::new(row.try_get("account_id")?),
        user_id: UserId::new(row.try_get("user_id")?),
        role: role
            .parse()
            .map_err(|error: aggregates::user::UnknownWord| sqlx::Error::Decode(error.into()))?,
        created_at: row.try_get("created_at")?,
    })
}
