//! The tokens that users make for agents: shown once, kept as a hash, looked up whenever one is shown.
//!
//! Guarantees: a token that was revoked or halted, whose time is over or whose user is disabled is so for every process
//! with the next request, since nothing of it is remembered; when the database does not answer, no token passes. What
//! happens to a token is a fact of its user in the log, without its name or anything that it could be guessed by. Costs
//! one look-up by key a request, and a write a minute while it is used.

use std::collections::BTreeSet;

use aggregates::id::{AccountId, TenantId, TokenId, UserId};
use aggregates::user::{Face, Scope, TokenEnd, TokenLimits, UserEvent};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::AgentToken;
use super::facts::{Cause, Fact, Facts, Written, new_fact, write};
use super::opaque::{self, Opaque, Purpose};
use crate::database::IdentityPool;
use crate::ledger::Interface;

/// What a token begins with.
pub const PREFIX: &str = Purpose::Token.prefix();
/// Live tokens of one user at the most.
pub const TOKENS_MAX: i64 = 50;
/// How often a use is written down.
const USE: TimeDelta = TimeDelta::minutes(1);

/// The columns of a token.
const COLUMNS: &str = "token_id, tenant_id, user_id, name, scopes, accounts, limits, created_at, \
    expires_at, first_used_at, last_used_at, halted_at";
/// Whose they are, with the state of their users; $1 to $3 is where a page begins and how long it is.
const OF_ALL: &str = "SELECT token_id, tokens.tenant_id, tokens.user_id, name, scopes, accounts, limits,
        tokens.created_at, expires_at, first_used_at, last_used_at, halted_at, revoked_at, email, users.state
    FROM tokens JOIN users ON users.tenant_id = tokens.tenant_id AND users.user_id = tokens.user_id
    WHERE $1::timestamptz IS NULL OR (tokens.created_at, token_id) > ($1, $2)
    ORDER BY tokens.created_at, token_id LIMIT $3";
/// A token is live that was not revoked and whose time is not over at $1.
const LIVE: &str = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)";
const LOCK: &str = "SELECT tenant_id FROM users WHERE user_id = $1 AND state = 'active' FOR UPDATE";
const MADE: &str = "SELECT EXISTS (SELECT FROM tokens WHERE hash = $1)";
const INSERT: &str = "INSERT INTO tokens (token_id, tenant_id, user_id, name, hash, scopes, accounts, limits, created_at,
    expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const FIRST_USE: &str = "UPDATE tokens SET first_used_at = $2, last_used_at = $2
    WHERE token_id = $1 AND first_used_at IS NULL";
const LATER_USE: &str =
    "UPDATE tokens SET last_used_at = $2 WHERE token_id = $1 AND last_used_at < $2";
const HALT: &str = "UPDATE tokens SET halted_at = CASE WHEN $3 THEN $1 END
    WHERE token_id = $2 AND (halted_at IS NULL) = $3";
const REVOKE: &str = "UPDATE tokens SET revoked_at = $1 WHERE token_id = $2 AND revoked_at IS NULL";

/// What a new token shall be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What its user calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The only accounts that it may be used on; absent for all that its user reaches.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// What it may do at the most.
    pub limits: TokenLimits,
    /// When it stops; absent for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token as it is kept.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// What matters to who may do what.
    pub agent: AgentToken,
    /// What its user calls it.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was shown first.
    pub first_used_at: Option<DateTime<Utc>>,
    /// When it was shown last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was halted.
    pub halted_at: Option<DateTime<Utc>>,
}

/// A token as the operator sees it: one that is over too.
#[derive(Clone, Debug)]
pub struct OwnedToken {
    /// The token.
    pub token: TokenRow,
    /// The address of its user.
    pub owner: String,
    /// Whether its user may act at all.
    pub owner_active: bool,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Why a token was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nobody whom tokens can belong to.
    #[error(
        "tokens belong to users, and this caller is none: log in as the user whom it shall act for"
    )]
    NoUser,
    /// There are as many as there may be.
    #[error("{TOKENS_MAX} tokens are live, which is as many as a user has: revoke one first")]
    TooMany,
    /// No such token, or another's.
    #[error("there is no such token")]
    NotFound,
    /// No chance to be had.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The tokens of one database.
#[derive(Clone, Debug)]
pub struct Tokens {
    pool: IdentityPool,
    facts: Facts,
}

impl Tokens {
    /// Those of this database, whose facts go this way.
    pub fn new(pool: IdentityPool, facts: Facts) -> Self {
        Self { pool, facts }
    }

    /// Makes a token: its text, which is never shown again, the row, and the position of the log that contains it.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn make(
        &self,
        user: UserId,
        cause: &Cause,
        new: NewToken,
    ) -> Result<(String, TokenRow, u64), TokenError> {
        let secret = Opaque::new(Purpose::Token)?;
        let (fact_id, at) = new_fact();
        let token_id = TokenId::new(Uuid::now_v7());
        let mut transaction = self.pool.begin().await?;
        let tenant: Option<Uuid> =
            sqlx::query_scalar(LOCK).bind(user.uuid()).fetch_optional(&mut *transaction).await?;
        let tenant = TenantId::new(tenant.ok_or(TokenError::NoUser)?);
        let count = format!("SELECT count(*) FROM tokens WHERE user_id = $2 AND {LIVE}");
        let live: i64 = sqlx::query_scalar(&count)
            .bind(at)
            .bind(user.uuid())
            .fetch_one(&mut *transaction)
            .await?;
        if live >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.word()).collect();
        let accounts: Option<Vec<Uuid>> = new
            .accounts
            .as_ref()
            .map(|accounts| accounts.iter().map(|account| account.uuid()).collect());
        sqlx::query(INSERT)
            .bind(token_id.uuid())
            .bind(tenant.uuid())
            .bind(user.uuid())
            .bind(&new.name)
            .bind(secret.hash.as_slice())
            .bind(scopes)
            .bind(accounts)
            .bind(Json(&new.limits))
            .bind(at)
            .bind(new.expires_at)
            .execute(&mut *transaction)
            .await?;
        let made = UserEvent::TokenMade {
            fact_id,
            at,
            token_id,
            scopes: new.scopes.clone(),
            accounts: new.accounts.clone(),
            limits: new.limits.clone(),
            expires_at: new.expires_at,
        };
        let written = write(&mut transaction, tenant, cause, Fact::Of(user, made)).await?;
        transaction.commit().await?;
        let row = TokenRow {
            agent: AgentToken {
                token_id,
                user_id: user,
                tenant,
                scopes: new.scopes,
                accounts: new.accounts,
                limits: new.limits,
                halted: false,
            },
            name: new.name,
            created_at: at,
            expires_at: new.expires_at,
            first_used_at: None,
            last_used_at: None,
            halted_at: None,
        };
        Ok((secret.text.to_string(), row, self.facts.settled(written).await?))
    }

    /// The live tokens of a user, oldest first: [`TOKENS_MAX`] at the most.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(&self, user: UserId) -> Result<Vec<TokenRow>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens WHERE user_id = $2 AND {LIVE} ORDER BY created_at, token_id"
        );
        let query = sqlx::query(&statement).bind(Utc::now()).bind(user.uuid());
        query.fetch_all(self.pool.pool()).await?.iter().map(read).collect()
    }

    /// Tokens of everybody, oldest first, live or not, from the one after `after`: `limit` at the most.
    ///
    /// # Errors
    /// The database failed.
    pub async fn of_all(
        &self,
        after: Option<(DateTime<Utc>, TokenId)>,
        limit: i64,
    ) -> Result<Vec<OwnedToken>, sqlx::Error> {
        let (time, token) = after.unzip();
        let query = sqlx::query(OF_ALL).bind(time).bind(token.map(TokenId::uuid)).bind(limit);
        let owned = |row: &PgRow| {
            Ok(OwnedToken {
                token: read(row)?,
                owner: row.try_get("email")?,
                owner_active: row.try_get::<String, _>("state")? == "active",
                revoked_at: row.try_get("revoked_at")?,
            })
        };
        query.fetch_all(self.pool.pool()).await?.iter().map(owned).collect()
    }

    /// One live token of a user, or of whomever it is.
    ///
    /// # Errors
    /// There is none, or the database failed.
    pub async fn get(&self, user: Option<UserId>, token: TokenId) -> Result<TokenRow, TokenError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens WHERE coalesce(user_id = $2, true) AND token_id = $3 AND {LIVE}"
        );
        let user = user.map(UserId::uuid);
        let query = sqlx::query(&statement).bind(Utc::now()).bind(user).bind(token.uuid());
        let row = query.fetch_optional(self.pool.pool()).await?.ok_or(TokenError::NotFound)?;
        Ok(read(&row)?)
    }

    /// Halts a token of a user, or of whomever it is, or lets it go on: the row after it, and the position that contains it. Again it changes nothing.
    ///
    /// # Errors
    /// There is none, or the database failed.
    pub async fn halt(
        &self,
        user: Option<UserId>,
        token_id: TokenId,
        cause: &Cause,
        halted: bool,
    ) -> Result<(TokenRow, Option<u64>), TokenError> {
        let mut row = self.get(user, token_id).await?;
        let (fact_id, at) = new_fact();
        let event = match halted {
            true => UserEvent::TokenHalted { fact_id, at, token_id },
            false => UserEvent::TokenResumed { fact_id, at, token_id },
        };
        let mut transaction = self.pool.begin().await?;
        let change = sqlx::query(HALT).bind(at).bind(token_id.uuid());
        let changed = change.bind(halted).execute(&mut *transaction).await?.rows_affected() > 0;
        if !changed {
            return Ok((row, None));
        }
        let written = self.fact(&mut transaction, &row.agent, cause, event).await?;
        transaction.commit().await?;
        row.halted_at = halted.then_some(at);
        row.agent.halted = halted;
        Ok((row, Some(self.facts.settled(written).await?)))
    }

    /// Revokes a token of a user, or of whomever it is, for good; the position that contains it.
    ///
    /// # Errors
    /// There is none, or the database failed.
    pub async fn revoke(
        &self,
        user: Option<UserId>,
        token_id: TokenId,
        cause: &Cause,
    ) -> Result<u64, TokenError> {
        let row = self.get(user, token_id).await?;
        let (fact_id, at) = new_fact();
        let mut transaction = self.pool.begin().await?;
        let change = sqlx::query(REVOKE).bind(at).bind(token_id.uuid());
        if change.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Err(TokenError::NotFound);
        }
        let event = UserEvent::TokenRevoked { fact_id, at, token_id, reason: TokenEnd::Revoked };
        let written = self.fact(&mut transaction, &row.agent, cause, event).await?;
        transaction.commit().await?;
        Ok(self.facts.settled(written).await?)
    }

    /// The token that was shown over a face, if it is one and good; that it was used is written down.
    ///
    /// # Errors
    /// The database failed: nobody knows whether it is good.
    pub async fn shown(
        &self,
        secret: &str,
        cause: impl FnOnce(&AgentToken) -> Cause,
    ) -> Result<Option<AgentToken>, sqlx::Error> {
        let Some(hash) = opaque::shown(Purpose::Token, secret) else { return Ok(None) };
        let now = Utc::now();
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens JOIN users USING (tenant_id, user_id)
             WHERE hash = $2 AND users.state = 'active' AND {LIVE}"
        );
        // Both tables have a time at which they were made.
        let statement = statement.replace("created_at", "tokens.created_at");
        let query = sqlx::query(&statement).bind(now).bind(hash.to_vec());
        let Some(row) = query.fetch_optional(self.pool.pool()).await? else { return Ok(None) };
        let TokenRow { agent, first_used_at, last_used_at, .. } = read(&row)?;
        match (first_used_at, last_used_at) {
            (None, _) => self.first_use(&agent, &cause(&agent), now).await?,
            (_, Some(last)) if now - last < USE => {}
            _ => {
                let used = sqlx::query(LATER_USE).bind(agent.token_id.uuid()).bind(now);
                used.execute(self.pool.pool()).await?;
            }
        }
        Ok(Some(agent))
    }

    /// Whether this is the secret of a token that was made here, good or not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn was_made(&self, secret: &str) -> Result<bool, sqlx::Error> {
        let Some(hash) = opaque::shown(Purpose::Token, secret) else { return Ok(false) };
        sqlx::query_scalar(MADE).bind(hash.to_vec()).fetch_one(self.pool.pool()).await
    }

    /// Whether a token is still good.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_good(&self, token: TokenId) -> Result<bool, sqlx::Error> {
        let statement = format!(
            "SELECT EXISTS (SELECT FROM tokens JOIN users USING (tenant_id, user_id)
             WHERE token_id = $2 AND users.state = 'active' AND {LIVE})"
        );
        let query = sqlx::query_scalar(&statement).bind(Utc::now()).bind(token.uuid());
        query.fetch_one(self.pool.pool()).await
    }

    async fn first_use(
        &self,
        token: &AgentToken,
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let interface = match cause.interface {
            Interface::Mcp => Face::Mcp,
            Interface::Rest | Interface::Cli | Interface::Engine | Interface::Ledger => Face::Rest,
        };
        let (fact_id, at) = new_fact();
        let mut transaction = self.pool.begin().await?;
        let used = sqlx::query(FIRST_USE).bind(token.token_id.uuid()).bind(now);
        if used.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(());
        }
        let event = UserEvent::TokenFirstUsed { fact_id, at, token_id: token.token_id, interface };
        let _told = self.fact(&mut transaction, token, cause, event).await?;
        transaction.commit().await?;
        self.facts.wake();
        Ok(())
    }

    async fn fact(
        &self,
        transaction: &mut PgConnection,
        token: &AgentToken,
        cause: &Cause,
        event: UserEvent,
    ) -> Result<Written, sqlx::Error> {
        write(transaction, token.tenant, cause, Fact::Of(token.user_id, event)).await
    }
}

/// One row with [`COLUMNS`].
fn read(row: &PgRow) -> Result<TokenRow, sqlx::Error> {
    let unreadable = |error: aggregates::user::UnknownWord| sqlx::Error::Decode(error.into());
    let scopes: Vec<String> = row.try_get("scopes")?;
    let accounts: Option<Vec<Uuid>> = row.try_get("accounts")?;
    let Json(limits) = row.try_get("limits")?;
    let halted_at: Option<DateTime<Utc>> = row.try_get("halted_at")?;
    Ok(TokenRow {
        agent: AgentToken {
            token_id: TokenId::new(row.try_get("token_id")?),
            user_id: UserId::new(row.try_get("user_id")?),
            tenant: TenantId::new(row.try_get("tenant_id")?),
            scopes: scopes
                .iter()
                .map(|word| word.parse().map_err(unreadable))
                .collect::<Result<_, _>>()?,
            accounts: accounts.map(|ids| ids.into_iter().map(AccountId::new).collect()),
            limits,
            halted: halted_at.is_some(),
        },
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        first_used_at: row.try_get("first_used_at")?,
        last_used_at: row.try_get("last_used_at")?,
        halted_at,
    })
}
