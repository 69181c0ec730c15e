//! Users: changed, disabled, forgotten.
//!
//! Whatever changes who may act ends the sessions that it must, in
//! the same transaction. Forgetting deletes all that tells of the person, the names of their accounts and the notes of
//! their orders included; the log keeps ids, and stays verifiable.

use aggregates::id::{SessionId, TokenId, UserId};
use aggregates::user::{By, LogInRefusal, SessionEnd, TokenEnd, UserEvent};
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::desk::{Change, Guest, Identity};
use super::email::Email;
use super::error::IdentityError;
use super::facts::{self, Cause, Fact, Written, new_fact};
use super::grants;
use super::passwords::{Comparison, Password, measure};
use super::sessions::{Which, Whose};
use super::throttle::{Tries, leave_homes};

const ONE: &str = "SELECT user_id, tenant_id, email, state, created_at, password_hash FROM users WHERE user_id = $1";
const BY_EMAIL: &str = "SELECT user_id, tenant_id, email, state, created_at, password_hash FROM users WHERE email = $1";
const PAGE: &str = "SELECT user_id, tenant_id, email, state, created_at, password_hash FROM users
    WHERE $1::timestamptz IS NULL OR (created_at, user_id) > ($1, $2)
    ORDER BY created_at, user_id LIMIT $3";
const SET_EMAIL: &str = "UPDATE users SET email = $2 WHERE user_id = $1 AND password_hash = $3";
const SET_PASSWORD: &str = "UPDATE users SET password_hash = $2 WHERE user_id = $1
    AND ($3::text IS NULL OR password_hash = $3)";
const SET_STATE: &str =
    "UPDATE users SET state = $2 WHERE user_id = $1 AND state <> $2 RETURNING tenant_id, user_id";
const LOCK: &str = "SELECT tenant_id, user_id, email FROM users WHERE user_id = $1
    AND ($2::text IS NULL OR password_hash = $2) FOR UPDATE";
const ADDRESSES: &str =
    "SELECT DISTINCT address FROM clients WHERE tenant_id = $1 AND user_id = $2";
const LIVE_TOKENS: &str =
    "SELECT token_id FROM tokens WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL";
/// What stands beside the log of a tenant.
const WORDS: [&str; 2] = [
    "DELETE FROM account_names WHERE tenant_id = $1",
    "DELETE FROM order_notes WHERE tenant_id = $1",
];
const DELETE: &str = "DELETE FROM users WHERE user_id = $1";

/// How a unique address is violated, as Postgres calls it.
const TAKEN: &str = "users_email";

/// A user as the tables have one.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Who, and whose tenant.
    pub whose: Whose,
    /// The address.
    pub email: String,
    /// Whether the user may log in.
    pub active: bool,
    /// When the user registered.
    pub created_at: DateTime<Utc>,
    password_hash: String,
}

impl Profile {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            whose: super::sessions::whose(row)?,
            email: row.try_get("email")?,
            active: row.try_get::<String, _>("state")? == "active",
            created_at: row.try_get("created_at")?,
            password_hash: row.try_get("password_hash")?,
        })
    }
}

impl Identity {
    /// One user.
    ///
    /// # Errors
    /// There is none of this id, or the database failed.
    pub async fn profile(&self, user: UserId) -> Result<Profile, IdentityError> {
        let row = sqlx::query(ONE).bind(user.uuid()).fetch_optional(self.pool.pool()).await?;
        Ok(Profile::read(&row.ok_or(IdentityError::NoUser)?)?)
    }

    /// The user with this address.
    ///
    /// # Errors
    /// There is none, or the database failed.
    pub async fn by_email(&self, email: &Email) -> Result<Profile, IdentityError> {
        let row = sqlx::query(BY_EMAIL).bind(email.text()).fetch_optional(self.pool.pool()).await?;
        Ok(Profile::read(&row.ok_or(IdentityError::NoUser)?)?)
    }

    /// So many users, the oldest first, after one of them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn users(
        &self,
        after: Option<(DateTime<Utc>, UserId)>,
        limit: i64,
    ) -> Result<Vec<Profile>, IdentityError> {
        let (time, user) = after.unzip();
        let rows = sqlx::query(PAGE)
            .bind(time)
            .bind(user.map(UserId::uuid))
            .bind(limit)
            .fetch_all(self.pool.pool())
            .await?;
        Ok(rows.iter().map(Profile::read).collect::<Result<_, _>>()?)
    }

    /// Sees that somebody who is logged in knows their password; wrong ones count as they do at a log-in, and by the
    /// session in place of user and address.
    async fn confirm(
        &self,
        user: UserId,
        password: &Password,
        (guest, cause): (&Guest, &Cause),
    ) -> Result<Profile, IdentityError> {
        let _turn = self.turns.take(guest.address).await?;
        let profile = self.profile(user).await?;
        let email = Email::read(&profile.email)
            .map_err(|error| IdentityError::Defect(error.to_string()))?;
        let tries = Tries::in_session(&email, guest.address, &cause.token);
        if let Some(wait) = self.throttled.wait(&tries) {
            return Err(IdentityError::Throttled(wait));
        }
        let place = self.hasher.place()?;
        let mut connection = self.pool.pool().acquire().await?;
        let counted = tries.count(&mut connection, Utc::now(), &self.throttled).await?;
        let counted = counted.map_err(IdentityError::Throttled)?;
        drop(connection);
        if place.compare(password, Some(&profile.password_hash)).await? != Comparison::Different {
            counted.give_back(&mut *self.pool.pool().acquire().await?).await?;
            return Ok(profile);
        }
        let change = self.begin().await?;
        self.refused(change, profile.whose, LogInRefusal::WrongPassword, guest).await?;
        Err(IdentityError::WrongPassword)
    }

    /// Gives a user another address.
    ///
    /// # Errors
    /// The password is wrong, or the address is taken; the database failed.
    pub async fn change_email(
        &self,
        user: UserId,
        password: &Password,
        email: &Email,
        (guest, cause): (&Guest, &Cause),
    ) -> Result<Written, IdentityError> {
        let profile = self.confirm(user, password, (guest, cause)).await?;
        let mut change = self.begin().await?;
        let set = sqlx::query(SET_EMAIL)
            .bind(user.uuid())
            .bind(email.text())
            .bind(&profile.password_hash)
            .execute(change.connection())
            .await;
        match set {
            Ok(done) if done.rows_affected() == 1 => {}
            Ok(_) => return Err(IdentityError::WrongPassword),
            Err(sqlx::Error::Database(error)) if error.constraint() == Some(TAKEN) => {
                return Err(IdentityError::EmailTaken);
            }
            Err(error) => return Err(error.into()),
        }
        change.leave_homes(profile.whose, &profile.email).await?;
        let (fact_id, at) = new_fact();
        let fact = Fact::Of(user, UserEvent::EmailChanged { fact_id, at });
        let written = facts::write(change.connection(), profile.whose.tenant, cause, fact).await?;
        self.commit(change).await?;
        Ok(written)
    }

    /// Gives a user another password and ends every session but the one that asks.
    ///
    /// # Errors
    /// The present password is wrong, or the new one not fit or the same; the database failed.
    pub async fn change_password(
        &self,
        (user, session): (UserId, SessionId),
        password: &Password,
        new: &Password,
        (guest, cause): (&Guest, &Cause),
    ) -> Result<Written, IdentityError> {
        measure(new)?;
        let profile = self.confirm(user, password, (guest, cause)).await?;
        if new.is(password) {
            return Err(IdentityError::SamePassword);
        }
        let email = Email::read(&profile.email)
            .map_err(|error| IdentityError::Defect(error.to_string()))?;
        let hash = self.hasher.place()?.keep(new, email.words()).await??;
        let mut change = self.begin().await?;
        let set = sqlx::query(SET_PASSWORD)
            .bind(user.uuid())
            .bind(hash)
            .bind(Some(&profile.password_hash))
            .execute(change.connection())
            .await?;
        if set.rows_affected() == 0 {
            return Err(IdentityError::WrongPassword);
        }
        let reason = SessionEnd::PasswordChanged;
        change.end(profile.whose, Which::AllBut(session), reason, cause).await?;
        let (fact_id, at) = new_fact();
        let fact = Fact::Of(user, UserEvent::PasswordChanged { fact_id, at, by: By::User });
        let written = facts::write(change.connection(), profile.whose.tenant, cause, fact).await?;
        self.commit(change).await?;
        Ok(written)
    }

    /// Gives a user another password on the operator's word, and ends every session.
    ///
    /// # Errors
    /// No such user, or the password is not fit; the database failed.
    pub async fn reset_password(
        &self,
        user: UserId,
        new: &Password,
        cause: &Cause,
    ) -> Result<Written, IdentityError> {
        let profile = self.profile(user).await?;
        let email = Email::read(&profile.email)
            .map_err(|error| IdentityError::Defect(error.to_string()))?;
        let hash = self.hasher.place()?.keep(new, email.words()).await??;
        let mut change = self.begin().await?;
        let set = sqlx::query(SET_PASSWORD).bind(user.uuid()).bind(hash).bind(None::<String>);
        if set.execute(change.connection()).await?.rows_affected() == 0 {
            return Err(IdentityError::NoUser);
        }
        change.end(profile.whose, Which::All, SessionEnd::PasswordChanged, cause).await?;
        let (fact_id, at) = new_fact();
        let fact = Fact::Of(user, UserEvent::PasswordChanged { fact_id, at, by: By::Operator });
        let written = facts::write(change.connection(), profile.whose.tenant, cause, fact).await?;
        self.commit(change).await?;
        Ok(written)
    }

    /// Lets a user log in, or not any more: then every session ends. `None` if it is so already.
    ///
    /// # Errors
    /// No such user, or the database failed.
    pub async fn set_active(
        &self,
        user: UserId,
        active: bool,
        cause: &Cause,
    ) -> Result<Option<Written>, IdentityError> {
        let state = if active { "active" } else { "disabled" };
        let mut change = self.begin().await?;
        let set = sqlx::query(SET_STATE).bind(user.uuid()).bind(state);
        let Some(row) = set.fetch_optional(change.connection()).await? else {
            let there = sqlx::query(ONE).bind(user.uuid());
            let there = there.fetch_optional(change.connection()).await?;
            return there.map(|_| None).ok_or(IdentityError::NoUser);
        };
        let whose = super::sessions::whose(&row)?;
        let ((fact_id, at), by) = (new_fact(), By::Operator);
        let event = if active {
            UserEvent::UserEnabled { fact_id, at, by }
        } else {
            change.end(whose, Which::All, SessionEnd::Disabled, cause).await?;
            UserEvent::UserDisabled { fact_id, at, by }
        };
        let fact = Fact::Of(user, event);
        let written = facts::write(change.connection(), whose.tenant, cause, fact).await?;
        self.commit(change).await?;
        Ok(Some(written))
    }

    /// Forgets a user who knows their password.
    ///
    /// # Errors
    /// The password is wrong, or the database failed.
    pub async fn forget_me(
        &self,
        user: UserId,
        password: &Password,
        (guest, cause): (&Guest, &Cause),
    ) -> Result<Written, IdentityError> {
        let profile = self.confirm(user, password, (guest, cause)).await?;
        self.forget_if(user, Some(&profile.password_hash), By::User, cause).await
    }

    /// Forgets a user on the operator's word.
    ///
    /// # Errors
    /// No such user, or the database failed.
    pub async fn forget(&self, user: UserId, cause: &Cause) -> Result<Written, IdentityError> {
        self.forget_if(user, None, By::Operator, cause).await
    }

    async fn forget_if(
        &self,
        user: UserId,
        password_hash: Option<&str>,
        by: By,
        cause: &Cause,
    ) -> Result<Written, IdentityError> {
        let mut change = self.begin().await?;
        let row = sqlx::query(LOCK)
            .bind(user.uuid())
            .bind(password_hash)
            .fetch_optional(change.connection())
            .await?;
        let row = row.ok_or(IdentityError::NoUser)?;
        let whose = super::sessions::whose(&row)?;
        change.leave_homes(whose, row.try_get("email")?).await?;
        change.end(whose, Which::All, SessionEnd::Forgotten, cause).await?;
        change.end_tokens(whose, cause).await?;
        grants::forget(change.connection(), whose.user, whose.tenant, cause).await?;
        for statement in WORDS {
            sqlx::query(statement).bind(whose.tenant.uuid()).execute(change.connection()).await?;
        }
        sqlx::query(DELETE).bind(user.uuid()).execute(change.connection()).await?;
        let (fact_id, at) = new_fact();
        let fact = Fact::Of(user, UserEvent::UserForgotten { fact_id, at, by });
        let written = facts::write(change.connection(), whose.tenant, cause, fact).await?;
        self.commit(change).await?;
        Ok(written)
    }
}

impl Change {
    /// Forgets from where a user has logged in by this address for mail.
    async fn leave_homes(&mut self, whose: Whose, email: &str) -> Result<(), IdentityError> {
        let email = Email::read(email).map_err(|error| IdentityError::Defect(error.to_string()))?;
        let addresses: Vec<String> = sqlx::query_scalar(ADDRESSES)
            .bind(whose.tenant.uuid())
            .bind(whose.user.uuid())
            .fetch_all(self.connection())
            .await?;
        let addresses = addresses.iter().filter_map(|address| address.parse().ok());
        Ok(leave_homes(self.connection(), &email, addresses).await?)
    }

    /// The facts of the end of every live token of a user, whose rows go with the user.
    async fn end_tokens(&mut self, whose: Whose, cause: &Cause) -> Result<(), sqlx::Error> {
        let tokens: Vec<Uuid> = sqlx::query_scalar(LIVE_TOKENS)
            .bind(whose.tenant.uuid())
            .bind(whose.user.uuid())
            .fetch_all(self.connection())
            .await?;
        for token_id in tokens.into_iter().map(TokenId::new) {
            let ((fact_id, at), reason) = (new_fact(), TokenEnd::Forgotten);
            let event = UserEvent::TokenRevoked { fact_id, at, token_id, reason };
            let fact = Fact::Of(whose.user, event);
            let _ = facts::write(self.connection(), whose.tenant, cause, fact).await?;
        }
        Ok(())
    }
}
