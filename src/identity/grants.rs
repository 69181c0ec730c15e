//! Roles of users on accounts of other tenants: offered, accepted, ended.
//!
//! Guarantees: a grant opens nothing until its holder accepts it, the operator's apart; one that has ended has done so
//! for every process with the next request, since none is remembered; on one account a user has one grant or offer; an
//! offer ends with its giver's right to make it.
//! What happens to a grant is a fact of its account in the log. A user who is being forgotten is given nothing, and
//! nothing of theirs is given. Costs one look-up by key a request on another's account.

use aggregates::id::{AccountId, ActorId, GrantId, RequestId, TenantId, UserId};
use aggregates::user::{GrantRole, OfferEnd};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::bounds::{
    self, DECLINED_DAYS, GRANTS_MAX, HELD_MAX, OF_STRANGERS_MAX, OFFERED_MAX, OFFERS_EACH,
};
use super::facts::{Cause, Fact, Facts, Written, write};
use crate::database::IdentityPool;
use crate::ledger::Interface;

/// How long an offer waits, in days.
pub const OFFER_DAYS: i64 = 30;
/// Offers that are ended together when their time is over.
const LAPSED_AT_ONCE: i64 = 1_000;

/// Whoever gives or accepts a grant has all of them to themselves until that is done: that the bounds hold.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('blotter/grants', 0))";
/// Nobody forgets either of them until the grant is given.
const USER: &str = "SELECT user_id, tenant_id FROM users
    WHERE user_id = $1 OR email = $2 FOR SHARE";
const OWNER: &str = "SELECT user_id FROM users WHERE tenant_id = $1 FOR SHARE";
const INSERT: &str = "INSERT INTO grants
        (grant_id, tenant_id, account_id, user_id, role, created_at, accepted_at, given_by, grantee)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (tenant_id, account_id, user_id) WHERE revoked_at IS NULL DO NOTHING";
pub(super) const COLUMNS: &str =
    "grant_id, tenant_id, account_id, user_id, role, created_at, accepted_at, grantee";
/// What the owner of a grant's account calls it.
pub(super) const NAME: &str =
    "(SELECT name FROM account_names n WHERE n.account_id = g.account_id) AS name";
/// $1 is when the oldest offer was made that still waits.
pub(super) const LIVE: &str = "revoked_at IS NULL AND (accepted_at IS NOT NULL OR created_at > $1)";
/// What is known of one that ends: whose it was, and whether it was accepted.
const ENDED: &str = "revoked_at = $2, grantee = NULL";
const OF_GIVER: &str = "account_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL
    AND given_by = (SELECT tenant_id FROM users WHERE user_id = $3)";
const LAPSED: &str = "SELECT grant_id FROM grants
    WHERE accepted_at IS NULL AND revoked_at IS NULL AND created_at <= $1
        AND ($3::uuid IS NULL OR account_id = $3 OR user_id = $4)
    ORDER BY created_at LIMIT $5 FOR UPDATE SKIP LOCKED";

/// A grant or an offer of one.
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
    /// How the giver named the holder.
    pub grantee: Option<String>,
    /// What it permits.
    pub role: GrantRole,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// When it was accepted; until then it permits nothing.
    pub accepted_at: Option<DateTime<Utc>>,
}

impl GrantRow {
    /// When an offer is over that nobody accepts.
    pub fn lapses_at(&self) -> Option<DateTime<Utc>> {
        let open = self.accepted_at.is_none();
        open.then(|| self.created_at + TimeDelta::days(OFFER_DAYS))
    }
}

/// A user as whoever gives a grant names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// By id.
    Id(UserId),
    /// By address, normalised.
    Email(String),
}

/// Who gives a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giver {
    /// Who runs the server: nobody is asked.
    Operator,
    /// A user, by its tenant: it is an offer.
    User(TenantId),
}

/// Why a grant was not given or taken.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Nobody is called so.
    #[error(
        "there is no such user: a grant is given to somebody who has registered, by address or user id"
    )]
    NoUser,
    /// Nobody has the account any more.
    #[error("the account's user is not there any more")]
    NoOwner,
    /// The account is that user's own.
    #[error("the account is this user's own: nothing can be granted that is not there already")]
    Own,
    /// The user has a grant on the account.
    #[error(
        "this user has a grant on this account, or an offer of one: take it first to give another role"
    )]
    Held,
    /// There are as many on the account as there may be.
    #[error(
        "{GRANTS_MAX} grants and offers are on this account, which is as many as there may be: take one first"
    )]
    TooMany,
    /// The user holds as many as they may.
    #[error(
        "{HELD_MAX} grants are held by this user, which is as many as there may be: one has to be given back first"
    )]
    TooManyHeld,
    /// As many offers wait for the user as may.
    #[error(
        "as many offers wait for this user as may: {OFFERED_MAX}, and {OF_STRANGERS_MAX} for an offer of somebody of whom \
         they have accepted none yet: try again when some were answered"
    )]
    TooManyOffered,
    /// The user has declined what the same giver offered.
    #[error(
        "this user has declined an offer of yours: the next one can be made {DECLINED_DAYS} days after that, from {0} on"
    )]
    Declined(DateTime<Utc>),
    /// The same giver waits for the same user often enough.
    #[error(
        "{OFFERS_EACH} offers of yours wait for this user, which is as many as there may be: take one back, or wait \
         until they are accepted"
    )]
    TooManyOffers,
    /// No such grant, or another's.
    #[error("there is no such grant")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The grants of one database.
#[derive(Clone, Debug)]
pub struct Grants {
    pub(super) pool: IdentityPool,
    pub(super) facts: Facts,
}

impl Grants {
    /// Those of this database, whose facts go this way.
    pub fn new(pool: IdentityPool, facts: Facts) -> Self {
        Self { pool, facts }
    }

    /// Offers a role on an account of `tenant`, or gives it if the operator does: the grant, and the position of the
    /// log that contains it.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub async fn give(
        &self,
        (tenant, account_id): (TenantId, AccountId),
        grantee: &Grantee,
        role: GrantRole,
        giver: Giver,
        cause: &Cause,
    ) -> Result<(GrantRow, u64), GrantError> {
        let (id, email) = match grantee {
            Grantee::Id(id) => (Some(id.uuid()), None),
            Grantee::Email(email) => (None, Some(email)),
        };
        let mut transaction = self.pool.begin().await?;
        sqlx::query(LOCK).execute(&mut *transaction).await?;
        let user = sqlx::query(USER).bind(id).bind(email).fetch_optional(&mut *transaction).await?;
        let user = user.ok_or(GrantError::NoUser)?;
        let user_id = UserId::new(user.try_get("user_id")?);
        if user.try_get::<Uuid, _>("tenant_id")? == tenant.uuid() {
            return Err(GrantError::Own);
        }
        let owner =
            sqlx::query(OWNER).bind(tenant.uuid()).fetch_optional(&mut *transaction).await?;
        let given_by = match giver {
            Giver::Operator => tenant,
            Giver::User(_) if owner.is_none() => return Err(GrantError::NoOwner),
            Giver::User(giver) => giver,
        };
        // As the table keeps it.
        let created_at = Utc::now().trunc_subsecs(6);
        lapse(&mut transaction, created_at, Some((account_id, user_id))).await?;
        let row = GrantRow {
            grant_id: GrantId::new(Uuid::now_v7()),
            tenant,
            account_id,
            user_id,
            grantee: Some(match grantee {
                Grantee::Id(id) => id.to_string(),
                Grantee::Email(email) => email.clone(),
            }),
            role,
            created_at,
            accepted_at: (giver == Giver::Operator).then_some(created_at),
        };
        let inserted = sqlx::query(INSERT)
            .bind(row.grant_id.uuid())
            .bind(tenant.uuid())
            .bind(account_id.uuid())
            .bind(user_id.uuid())
            .bind(role.word())
            .bind(created_at)
            .bind(row.accepted_at)
            .bind(given_by.uuid())
            .bind(&row.grantee)
            .execute(&mut *transaction)
            .await?;
        if inserted.rows_affected() == 0 {
            return Err(GrantError::Held);
        }
        bounds::check_new(&mut transaction, &row, given_by).await?;
        let grant_id = row.grant_id;
        let fact = match row.accepted_at {
            Some(_) => Fact::Granted { account_id, grant_id, user_id, role },
            None => Fact::Offered { account_id, grant_id, user_id, role },
        };
        let written = write(&mut transaction, tenant, cause, fact).await?;
        transaction.commit().await?;
        Ok((row, self.facts.settled(written).await?))
    }

    /// Takes a grant on an account, or an offer; the position of the log that contains it.
    ///
    /// # Errors
    /// There is none on this account, or the database failed.
    pub async fn take(
        &self,
        account_id: AccountId,
        grant_id: GrantId,
        cause: &Cause,
    ) -> Result<u64, GrantError> {
        self.end(("account_id", account_id.uuid()), grant_id, OfferEnd::Withdrawn, cause).await
    }

    /// Gives a grant back, or declines an offer; the position of the log that contains it.
    ///
    /// # Errors
    /// The user has none such, or the database failed.
    pub async fn leave(
        &self,
        user: UserId,
        grant_id: GrantId,
        cause: &Cause,
    ) -> Result<u64, GrantError> {
        self.end(("user_id", user.uuid()), grant_id, OfferEnd::Declined, cause).await
    }

    async fn end(
        &self,
        (column, whose): (&'static str, Uuid),
        grant_id: GrantId,
        reason: OfferEnd,
        cause: &Cause,
    ) -> Result<u64, GrantError> {
        let now = Utc::now();
        let end = format!(
            "UPDATE grants SET {ENDED}, declined = $5 AND accepted_at IS NULL
             WHERE {LIVE} AND grant_id = $3 AND {column} = $4 RETURNING {COLUMNS}"
        );
        let mut transaction = self.pool.begin().await?;
        let ended = sqlx::query(&end)
            .bind(oldest(now))
            .bind(now)
            .bind(grant_id.uuid())
            .bind(whose)
            .bind(reason == OfferEnd::Declined)
            .fetch_optional(&mut *transaction)
            .await?;
        let row = read(&ended.ok_or(GrantError::NotFound)?)?;
        let written = over(&mut transaction, &row, reason, cause).await?;
        if row.accepted_at.is_some() && row.role == GrantRole::Owner {
            withdraw_of(&mut transaction, &row, cause).await?;
        }
        transaction.commit().await?;
        Ok(self.facts.settled(written).await?)
    }

    /// The grants and offers on an account, oldest first: [`GRANTS_MAX`] at the most.
    ///
    /// # Errors
    /// The database failed.
    pub async fn on(&self, account_id: AccountId) -> Result<Vec<GrantRow>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM grants WHERE {LIVE} AND account_id = $2 ORDER BY grant_id"
        );
        let query = sqlx::query(&statement).bind(oldest(Utc::now())).bind(account_id.uuid());
        query.fetch_all(self.pool.pool()).await?.iter().map(read).collect()
    }

    /// The grants that a user holds, oldest first: [`HELD_MAX`] at the most.
    ///
    /// # Errors
    /// The database failed.
    pub async fn of(&self, user: UserId) -> Result<Vec<GrantRow>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM grants WHERE user_id = $1 AND accepted_at IS NOT NULL AND revoked_at IS NULL
             ORDER BY grant_id"
        );
        let query = sqlx::query(&statement).bind(user.uuid());
        query.fetch_all(self.pool.pool()).await?.iter().map(read).collect()
    }

    /// The grants and offers of a user, oldest first, each with the name of its account: [`HELD_MAX`] and [`OFFERED_MAX`]
    /// at the most.
    ///
    /// # Errors
    /// The database failed.
    pub async fn seen_by(
        &self,
        user: UserId,
    ) -> Result<Vec<(GrantRow, Option<String>)>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS}, {NAME} FROM grants g WHERE {LIVE} AND user_id = $2 ORDER BY grant_id"
        );
        let query = sqlx::query(&statement).bind(oldest(Utc::now())).bind(user.uuid());
        let rows = query.fetch_all(self.pool.pool()).await?;
        rows.iter().map(|row| Ok((read(row)?, row.try_get("name")?))).collect()
    }

    /// The grant that a user holds on an account.
    ///
    /// # Errors
    /// The database failed: nobody knows whether there is one.
    pub async fn held(
        &self,
        user: UserId,
        account_id: AccountId,
    ) -> Result<Option<GrantRow>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM grants
             WHERE user_id = $1 AND account_id = $2 AND accepted_at IS NOT NULL AND revoked_at IS NULL"
        );
        let query = sqlx::query(&statement).bind(user.uuid()).bind(account_id.uuid());
        query.fetch_optional(self.pool.pool()).await?.as_ref().map(read).transpose()
    }
}

/// Ends the offers on an account that somebody made whose grant to own it has ended.
async fn withdraw_of(
    connection: &mut PgConnection,
    owned: &GrantRow,
    cause: &Cause,
) -> Result<(), sqlx::Error> {
    let statement = format!("UPDATE grants SET {ENDED} WHERE {OF_GIVER} RETURNING {COLUMNS}");
    let ended = sqlx::query(&statement)
        .bind(owned.account_id.uuid())
        .bind(Utc::now())
        .bind(owned.user_id.uuid())
        .fetch_all(&mut *connection)
        .await?;
    for row in &ended {
        let _ = over(connection, &read(row)?, OfferEnd::Withdrawn, cause).await?;
    }
    Ok(())
}

/// Ends every grant and offer to a user, every one on the accounts of the user's tenant, and what the user has offered.
pub(super) async fn forget(
    connection: &mut PgConnection,
    user: UserId,
    tenant: TenantId,
    cause: &Cause,
) -> Result<(), sqlx::Error> {
    let statement = format!(
        "UPDATE grants SET {ENDED} WHERE revoked_at IS NULL
             AND (user_id = $1 OR tenant_id = $3 OR given_by = $3 AND accepted_at IS NULL) RETURNING {COLUMNS}"
    );
    let ended = sqlx::query(&statement)
        .bind(user.uuid())
        .bind(Utc::now())
        .bind(tenant.uuid())
        .fetch_all(&mut *connection)
        .await?;
    for row in &ended {
        let _ = over(connection, &read(row)?, OfferEnd::Forgotten, cause).await?;
    }
    Ok(())
}

/// Ends offers whose time is over, [`LAPSED_AT_ONCE`] at the most: those on one account or to one user, or all.
pub(super) async fn lapse(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    of: Option<(AccountId, UserId)>,
) -> Result<(), sqlx::Error> {
    let (account, user) = of.unzip();
    let statement =
        format!("UPDATE grants SET {ENDED} WHERE grant_id IN ({LAPSED}) RETURNING {COLUMNS}");
    let lapsed = sqlx::query(&statement)
        .bind(oldest(now))
        .bind(now)
        .bind(account.map(AccountId::uuid))
        .bind(user.map(UserId::uuid))
        .bind(LAPSED_AT_ONCE)
        .fetch_all(&mut *connection)
        .await?;
    for row in &lapsed {
        let row = read(row)?;
        let cause = Cause {
            actor: ActorId::new(row.user_id.uuid()),
            token: String::new(),
            client: String::new(),
            interface: Interface::Ledger,
            request: RequestId::new(Uuid::now_v7()),
        };
        let _ = over(connection, &row, OfferEnd::Lapsed, &cause).await?;
    }
    Ok(())
}

/// Writes that a grant has ended, or an offer in this way.
async fn over(
    connection: &mut PgConnection,
    row: &GrantRow,
    reason: OfferEnd,
    cause: &Cause,
) -> Result<Written, sqlx::Error> {
    let (account_id, grant_id) = (row.account_id, row.grant_id);
    let fact = match row.accepted_at {
        Some(_) => Fact::Revoked { account_id, grant_id },
        None => Fact::OfferEnded { account_id, grant_id, reason },
    };
    write(connection, row.tenant, cause, fact).await
}

/// When the oldest offer was made that waits at `now`.
pub(super) fn oldest(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::days(OFFER_DAYS)
}

/// One row with [`COLUMNS`].
pub(super) fn read(row: &PgRow) -> Result<GrantRow, sqlx::Error> {
    let role: String = row.try_get("role")?;
    Ok(GrantRow {
        grant_id: GrantId::new(row.try_get("grant_id")?),
        tenant: TenantId::new(row.try_get("tenant_id")?),
        account_id: AccountId::new(row.try_get("account_id")?),
        user_id: UserId::new(row.try_get("user_id")?),
        grantee: row.try_get("grantee")?,
        role: role
            .parse()
            .map_err(|error: aggregates::user::UnknownWord| sqlx::Error::Decode(error.into()))?,
        created_at: row.try_get("created_at")?,
        accepted_at: row.try_get("accepted_at")?,
    })
}
