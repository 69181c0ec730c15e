//! Users and their sessions: the use cases of whoever registers, logs in and runs the server.
//!
//! Who may act is decided by [`crate::identity`]; here is who may ask for it, and what is answered. Every answer to a
//! change tells where its fact stands in the log.

use aggregates::id::{SessionId, TenantId, UserId};
use aggregates::user::SessionEnd;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Caller, Fault, Page, PageRequest, Service, ServiceError};
use crate::identity::access::{Audience, Jwk, LIFETIME};
use crate::identity::desk::Guest;
use crate::identity::email::Email;
use crate::identity::facts::{Cause, Written as Fact};
use crate::identity::passwords::Password;
use crate::identity::registering::{Entry, Invited};
use crate::identity::sessions::{Session, Tokens, Whose};
use crate::identity::users::Profile;
use crate::identity::{Act, Denied, IdentityError};

/// The name of the list of users in its cursors.
const USERS: &str = "users";
/// Days that an invitation is good for, where the operator does not say.
pub const INVITATION_DAYS: u64 = 7;
/// Days that an invitation is good for at the most.
pub const INVITATION_DAYS_MAX: u64 = 90;

/// A user.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "User")]
pub struct UserAnswer {
    /// The user, also the actor in events.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// Whose accounts are the user's own.
    #[schemars(with = "String")]
    pub tenant_id: TenantId,
    /// The address to log in with, in lower case.
    pub email: String,
    /// `active` or `disabled`.
    pub status: &'static str,
    /// When the user registered.
    pub created_at: DateTime<Utc>,
}

/// The answer to a change of a user or a session.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Changed{T}")]
pub struct Changed<T> {
    /// What it left behind.
    #[serde(flatten)]
    pub answer: T,
    /// Where the fact of it stands in the log; where that ends, if it was not recorded within a second.
    pub position: u64,
}

/// What a user is known by after they are gone, or after something of theirs changed.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "UserChange")]
pub struct UserChange {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
}

/// A session that ended.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "EndedSession")]
pub struct EndedSession {
    /// The session.
    #[schemars(with = "String")]
    pub session_id: SessionId,
}

/// What a session goes on with.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "SessionTokens")]
pub struct TokensAnswer {
    /// Shown as a bearer token, for ten minutes.
    pub access_token: String,
    /// Exchanged once for the next access token; absent where a cookie holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds that the access token is good for.
    pub expires_in: i64,
    /// The session.
    #[schemars(with = "String")]
    pub session_id: SessionId,
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// When the session ends if it is not used.
    pub idle_until: DateTime<Utc>,
}

impl std::fmt::Debug for TokensAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokensAnswer({})", self.session_id)
    }
}

/// A live session.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Session")]
pub struct SessionAnswer {
    /// The session.
    #[schemars(with = "String")]
    pub session_id: SessionId,
    /// It is the one that asks.
    pub current: bool,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it last went on.
    pub last_used_at: DateTime<Utc>,
    /// When it ends if it is not used.
    pub ends_at: DateTime<Utc>,
    /// What the program called itself.
    pub user_agent: String,
    /// Where it came from.
    pub address: String,
}

/// A code that lets one person register.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Invitation")]
pub struct InvitationAnswer {
    /// The code, shown once.
    pub invitation: String,
    /// The user whom it makes.
    pub user_id: UserId,
    /// When it is over.
    pub expires_at: DateTime<Utc>,
    /// Why the code opens nothing for now: nobody may register.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<&'static str>,
}

/// Said of an invitation that nobody can use.
const CLOSED: &str = "registration is closed on this server: nobody can use this code before it is started with \
    --registration invite, or open";

/// The public keys that access tokens are verified by (RFC 7517).
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "PublicKeys")]
pub struct KeysAnswer {
    /// The keys.
    #[schemars(with = "Vec<std::collections::BTreeMap<String, String>>")]
    pub keys: Vec<Jwk>,
}

/// An address out of a request.
fn email(text: &str) -> Result<Email, ServiceError> {
    Ok(Email::read(text).map_err(IdentityError::from)?)
}

impl UserAnswer {
    fn of(profile: Profile) -> Self {
        Self {
            user_id: profile.whose.user,
            tenant_id: profile.whose.tenant,
            email: profile.email,
            status: if profile.active { "active" } else { "disabled" },
            created_at: profile.created_at,
        }
    }
}

impl Caller {
    /// The user and the session that call.
    ///
    /// # Errors
    /// Nobody logged in: it is the operator or a token.
    fn session(&self, act: Act) -> Result<(Whose, SessionId), ServiceError> {
        let session = self.user.as_ref().ok_or(Denied::UsersOnly(act))?;
        Ok((Whose { tenant: session.tenant, user: session.user_id }, session.session_id))
    }

    /// What the log says of what the caller does.
    pub(super) fn cause(&self) -> Cause {
        Cause {
            actor: self.actor,
            token: self.token_id.clone(),
            client: self.client.clone(),
            interface: self.interface,
            request: self.request,
        }
    }
}

impl Service {
    async fn changed<T>(&self, fact: Fact, answer: T) -> Result<Changed<T>, ServiceError> {
        let position = self.parts.identity.position(fact).await;
        Ok(Changed {
            answer,
            position: position.map_err(|e| ServiceError::from(e).after_commit())?,
        })
    }

    async fn tokens(&self, tokens: Tokens) -> Result<Changed<TokensAnswer>, ServiceError> {
        let answer = TokensAnswer {
            access_token: tokens.access.token.to_string(),
            refresh_token: Some(tokens.refresh.to_string()),
            token_type: "Bearer",
            expires_in: LIFETIME.num_seconds(),
            session_id: tokens.session,
            user_id: tokens.user,
            idle_until: tokens.idle_until,
        };
        self.changed(tokens.written, answer).await
    }

    /// Registers a user.
    ///
    /// # Errors
    /// A field is wrong, registration is not open to them, or the address is taken.
    pub async fn register(
        &self,
        address: &str,
        password: &Password,
        entry: Entry<'_>,
        guest: &Guest,
    ) -> Result<Changed<UserAnswer>, ServiceError> {
        let email = email(address)?;
        let registered = self.parts.identity.register(&email, password, entry, guest).await?;
        let answer = UserAnswer {
            user_id: registered.whose.user,
            tenant_id: registered.whose.tenant,
            email: registered.email,
            status: "active",
            created_at: registered.created_at,
        };
        self.changed(registered.written, answer).await
    }

    /// Begins a session.
    ///
    /// # Errors
    /// Address or password are wrong, or there were too many tries.
    pub async fn log_in(
        &self,
        address: &str,
        password: &Password,
        audience: Audience,
        guest: &Guest,
    ) -> Result<Changed<TokensAnswer>, ServiceError> {
        let email = email(address)?;
        let tokens = self.parts.identity.log_in(&email, password, audience, guest).await?;
        self.tokens(tokens).await
    }

    /// Goes on with a session.
    ///
    /// # Errors
    /// The token is not good any more.
    pub async fn refresh(
        &self,
        token: &str,
        audience: Audience,
        guest: &Guest,
    ) -> Result<Changed<TokensAnswer>, ServiceError> {
        let tokens = self.parts.identity.refresh(token, audience, guest).await?;
        self.tokens(tokens).await
    }

    /// The caller's sessions.
    ///
    /// # Errors
    /// Nobody logged in.
    pub async fn sessions(&self, caller: &Caller) -> Result<Page<SessionAnswer>, ServiceError> {
        let (whose, current) = caller.session(Act::ManageSessions)?;
        let sessions = self.parts.identity.sessions(whose).await?;
        let answer = |session: Session| SessionAnswer {
            session_id: session.session,
            current: session.session == current,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            ends_at: session.ends_at,
            user_agent: session.user_agent,
            address: session.address,
        };
        let items = sessions.into_iter().map(answer).collect();
        Ok(Page { items, next_cursor: None, position: self.head(caller).await? })
    }

    /// Ends one of the caller's sessions; the one that asks, if none is named.
    ///
    /// # Errors
    /// Nobody logged in, or the caller has no such session.
    pub async fn end_session(
        &self,
        caller: &Caller,
        session: Option<SessionId>,
    ) -> Result<Changed<EndedSession>, ServiceError> {
        let (whose, current) = caller.session(Act::ManageSessions)?;
        let session_id = session.unwrap_or(current);
        let reason =
            if session_id == current { SessionEnd::LoggedOut } else { SessionEnd::EndedByUser };
        let identity = &self.parts.identity;
        let fact = identity.end_session(whose, session_id, reason, &caller.cause()).await?;
        self.changed(fact, EndedSession { session_id }).await
    }

    /// Ends every session of the caller, the one that asks too.
    ///
    /// # Errors
    /// Nobody logged in.
    pub async fn end_every_session(
        &self,
        caller: &Caller,
    ) -> Result<Changed<UserChange>, ServiceError> {
        let (whose, current) = caller.session(Act::ManageSessions)?;
        let identity = &self.parts.identity;
        let fact = identity.end_every_session(whose, current, &caller.cause()).await?;
        self.changed(fact, UserChange { user_id: whose.user }).await
    }

    /// The caller as a user.
    ///
    /// # Errors
    /// Nobody logged in.
    pub async fn profile(&self, caller: &Caller) -> Result<UserAnswer, ServiceError> {
        let (whose, _) = caller.session(Act::ManageProfile)?;
        Ok(UserAnswer::of(self.parts.identity.profile(whose.user).await?))
    }

    /// Gives the caller another address.
    ///
    /// # Errors
    /// The password is wrong, or the address is none or taken.
    pub async fn change_email(
        &self,
        caller: &Caller,
        password: &Password,
        address: &str,
        guest: &Guest,
    ) -> Result<Changed<UserAnswer>, ServiceError> {
        let (whose, _) = caller.session(Act::ManageProfile)?;
        let (email, cause) = (email(address)?, caller.cause());
        let identity = &self.parts.identity;
        let fact = identity.change_email(whose.user, password, &email, (guest, &cause)).await?;
        let profile =
            identity.profile(whose.user).await.map_err(|e| ServiceError::from(e).after_commit())?;
        self.changed(fact, UserAnswer::of(profile)).await
    }

    /// Gives the caller another password and ends the other sessions.
    ///
    /// # Errors
    /// The present password is wrong, or the new one not fit.
    pub async fn change_password(
        &self,
        caller: &Caller,
        password: &Password,
        new: &Password,
        guest: &Guest,
    ) -> Result<Changed<UserChange>, ServiceError> {
        let (Whose { user: user_id, .. }, session) = caller.session(Act::ManageProfile)?;
        let cause = caller.cause();
        let identity = &self.parts.identity;
        let changed =
            identity.change_password((user_id, session), password, new, (guest, &cause)).await;
        let fact = changed.map_err(|error| match error {
            IdentityError::Password(_) | IdentityError::SamePassword => {
                let fault = Fault::new("new_password", error.code(), error.to_string());
                ServiceError::Invalid(vec![fault])
            }
            error => error.into(),
        })?;
        self.changed(fact, UserChange { user_id }).await
    }

    /// Forgets the caller.
    ///
    /// # Errors
    /// The password is wrong.
    pub async fn forget_me(
        &self,
        caller: &Caller,
        password: &Password,
        guest: &Guest,
    ) -> Result<Changed<UserChange>, ServiceError> {
        let (Whose { user: user_id, .. }, _) = caller.session(Act::ManageProfile)?;
        let cause = caller.cause();
        let fact = self.parts.identity.forget_me(user_id, password, (guest, &cause)).await?;
        self.changed(fact, UserChange { user_id }).await
    }

    /// A page of all users, the oldest first.
    ///
    /// # Errors
    /// The cursor is not of this list.
    pub async fn users(
        &self,
        caller: &Caller,
        page: &PageRequest,
    ) -> Result<Page<UserAnswer>, ServiceError> {
        let after = match self.after::<String>(USERS, page)? {
            None => None,
            Some(text) => Some(place(&text).ok_or(ServiceError::BadCursor)?),
        };
        let size = page.size();
        let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
        let rows = self.parts.identity.users(after, limit).await?;
        let position = self.head(caller).await?;
        let seal = |last: &Profile| {
            let at = last.created_at.timestamp_micros();
            self.parts.cursors.seal(USERS, &format!("{at}/{}", last.whose.user))
        };
        Ok(Page::cut(rows, size, position, seal, UserAnswer::of))
    }

    /// Lets a user log in, or not any more.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn set_active(
        &self,
        caller: &Caller,
        user: UserId,
        active: bool,
    ) -> Result<Changed<UserAnswer>, ServiceError> {
        let identity = &self.parts.identity;
        let fact = identity.set_active(user, active, &caller.cause()).await?;
        let answer = UserAnswer::of(identity.profile(user).await?);
        match fact {
            Some(fact) => self.changed(fact, answer).await,
            None => Ok(Changed { answer, position: self.head(caller).await? }),
        }
    }

    /// Forgets a user.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn forget_user(
        &self,
        caller: &Caller,
        user_id: UserId,
    ) -> Result<Changed<UserChange>, ServiceError> {
        let fact = self.parts.identity.forget(user_id, &caller.cause()).await?;
        self.changed(fact, UserChange { user_id }).await
    }

    /// Makes a code that lets one person register.
    ///
    /// # Errors
    /// The database failed.
    pub async fn invite(
        &self,
        caller: &Caller,
        days: Option<u64>,
    ) -> Result<Changed<InvitationAnswer>, ServiceError> {
        let days = days.unwrap_or(INVITATION_DAYS).min(INVITATION_DAYS_MAX);
        let good_for = TimeDelta::days(i64::try_from(days).unwrap_or(1));
        let invited = self.parts.identity.invite(good_for, &caller.cause()).await?;
        let Invited { code, user: user_id, expires_at, written } = invited;
        self.changed(
            written,
            InvitationAnswer {
                invitation: code.to_string(),
                user_id,
                expires_at,
                warning: self.parts.identity.is_closed().then_some(CLOSED),
            },
        )
        .await
    }

    /// The public keys that access tokens are verified by.
    pub fn public_keys(&self) -> KeysAnswer {
        KeysAnswer { keys: self.parts.identity.jwks() }
    }
}

/// Where a page of users begins: microseconds since 1970, and the user.
fn place(text: &str) -> Option<(DateTime<Utc>, UserId)> {
    let (at, user) = text.split_once('/')?;
    Some((DateTime::from_timestamp_micros(at.parse().ok()?)?, user.parse().ok()?))
}
