//! Registering: who may, and how one becomes a user.
//!
//! A user has one address, one password and one tenant. An invitation says which user and tenant whoever comes by it will
//! be, so that the log tells who came by which without the code and the address in it. Whatever can refuse a registration does so before a password is
//! hashed for it, and again in the transaction that makes the user.

use aggregates::id::{TenantId, UserId};
use aggregates::user::{Door, UserEvent};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::desk::{Admission, Guest, Identity};
use super::email::Email;
use super::error::IdentityError;
use super::facts::{self, Cause, Fact, Written, new_fact};
use super::opaque::{Hash, Opaque, Purpose, shown};
use super::passwords::Password;
use super::sessions::{self, Whose};

const INSERT: &str =
    "INSERT INTO users (user_id, tenant_id, email, password_hash, state, created_at)
    VALUES ($1, $2, $3, $4, 'active', $5) ON CONFLICT ON CONSTRAINT users_email DO NOTHING";
const INVITE: &str = "INSERT INTO invitations (code_hash, user_id, tenant_id, made_at, expires_at)
    VALUES ($1, $2, $3, $4, $5)";
const TAKEN: &str = "SELECT 1 FROM users WHERE email = $1";
const INVITED: &str =
    "SELECT 1 FROM invitations WHERE code_hash = $1 AND used_at IS NULL AND expires_at > $2";
const USE_INVITATION: &str = "UPDATE invitations SET used_at = $2
    WHERE code_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING user_id, tenant_id";

/// By which way somebody wants in.
#[derive(Clone, Debug)]
pub enum Entry<'a> {
    /// As a stranger, with an invitation or without.
    Stranger(Option<&'a str>),
    /// The operator lets them in.
    Operator,
}

/// A user who has just registered.
#[derive(Debug)]
pub struct Registered {
    /// Who.
    pub whose: Whose,
    /// The address in its one spelling.
    pub email: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// The fact of it.
    pub written: Written,
}

/// An invitation that was just made.
#[derive(Debug)]
pub struct Invited {
    /// What is shown to register, and not kept.
    pub code: Zeroizing<String>,
    /// Whom it makes.
    pub user: UserId,
    /// When it is over.
    pub expires_at: DateTime<Utc>,
    /// The fact of it.
    pub written: Written,
}

impl Whose {
    /// Of a user who is new, with a tenant of their own.
    fn anew() -> Self {
        Self { tenant: TenantId::new(Uuid::now_v7()), user: UserId::new(Uuid::now_v7()) }
    }
}

impl Identity {
    /// Registers a user, with a tenant of their own.
    ///
    /// # Errors
    /// Registration is not open to them, the password is not fit, the address is taken; too many at once; the database
    /// failed.
    pub async fn register(
        &self,
        email: &Email,
        password: &Password,
        entry: Entry<'_>,
        guest: &Guest,
    ) -> Result<Registered, IdentityError> {
        let (door, invitation) = self.door(&entry)?;
        let _turn = match entry {
            Entry::Stranger(_) => Some(self.turns.take(guest.address).await?),
            Entry::Operator => None,
        };
        let place = self.hasher.place()?;
        // What needs no password is asked before one is hashed.
        if let Some(code) = &invitation {
            let good = sqlx::query(INVITED).bind(&code[..]).bind(Utc::now());
            if good.fetch_optional(self.pool.pool()).await?.is_none() {
                return Err(IdentityError::NotInvited);
            }
        }
        let taken = sqlx::query(TAKEN).bind(email.text());
        if taken.fetch_optional(self.pool.pool()).await?.is_some() {
            return Err(IdentityError::EmailTaken);
        }
        let hash = place.keep(password, email.words()).await??;
        // As the table keeps it.
        let created_at = Utc::now().trunc_subsecs(6);
        let mut change = self.begin().await?;
        let whose = match invitation {
            Some(code) => {
                let used = sqlx::query(USE_INVITATION).bind(&code[..]).bind(created_at);
                let row = used.fetch_optional(change.connection()).await?;
                sessions::whose(&row.ok_or(IdentityError::NotInvited)?)?
            }
            None => Whose::anew(),
        };
        let Whose { tenant, user } = whose;
        let actor = match entry {
            Entry::Stranger(_) => user.actor(),
            Entry::Operator => aggregates::id::OPERATOR,
        };
        let inserted = sqlx::query(INSERT)
            .bind(user.uuid())
            .bind(tenant.uuid())
            .bind(email.text())
            .bind(hash)
            .bind(created_at)
            .execute(change.connection())
            .await?;
        if inserted.rows_affected() == 0 {
            return Err(IdentityError::EmailTaken);
        }
        let cause = guest.cause(actor, String::new(), String::new());
        let (fact_id, at) = new_fact();
        let event = UserEvent::UserRegistered { fact_id, at, user_id: user, by: door };
        let written =
            facts::write(change.connection(), tenant, &cause, Fact::Of(user, event)).await?;
        self.commit(change).await?;
        Ok(Registered { whose, email: email.text().to_owned(), created_at, written })
    }

    fn door(&self, entry: &Entry<'_>) -> Result<(Door, Option<Hash>), IdentityError> {
        match (entry, self.settings.admission) {
            (Entry::Operator, _) => Ok((Door::Operator, None)),
            (Entry::Stranger(_), Admission::Closed) => Err(IdentityError::RegistrationClosed),
            (Entry::Stranger(None), Admission::Open) => Ok((Door::Open, None)),
            (Entry::Stranger(invitation), _) => {
                let code = invitation.and_then(|text| shown(Purpose::Invitation, text));
                code.map(|code| (Door::Invitation, Some(code))).ok_or(IdentityError::NotInvited)
            }
        }
    }

    /// Whether nobody but the operator lets anybody in, an invitation or not.
    pub fn is_closed(&self) -> bool {
        self.settings.admission == Admission::Closed
    }

    /// A code that lets one person register until it is over.
    ///
    /// # Errors
    /// No random bytes, or the database failed.
    pub async fn invite(
        &self,
        good_for: TimeDelta,
        cause: &Cause,
    ) -> Result<Invited, IdentityError> {
        let Opaque { text: code, hash } = Opaque::new(Purpose::Invitation)?;
        let Whose { tenant, user } = Whose::anew();
        let made_at = Utc::now().trunc_subsecs(6);
        let expires_at = made_at + good_for;
        let mut change = self.begin().await?;
        sqlx::query(INVITE)
            .bind(&hash[..])
            .bind(user.uuid())
            .bind(tenant.uuid())
            .bind(made_at)
            .bind(expires_at)
            .execute(change.connection())
            .await?;
        let (fact_id, at) = new_fact();
        let event = UserEvent::UserInvited { fact_id, at, user_id: user, expires_at };
        let fact = Fact::Of(user, event);
        let written = facts::write(change.connection(), tenant, cause, fact).await?;
        self.commit(change).await?;
        Ok(Invited { code, user, expires_at, written })
    }
}
