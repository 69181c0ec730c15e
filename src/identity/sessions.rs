//! Log-ins, and what goes on from them until they end.
//!
//! A refresh token is good once: it is exchanged for the next by one statement, so that of many uses at once one wins.
//! A second use means that two have it, so it ends the session with every token of it. An answer that was lost therefore
//! costs a log-in. Somebody who is unknown, who is disabled or who sends a wrong password reads the same and takes the
//! same time. A refresh hashes no password; it costs one transaction.

use std::net::IpAddr;

use aggregates::id::{ClientId, SessionId, TenantId, UserId};
use aggregates::user::{LogInRefusal, SessionEnd, UserEvent};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::access::{Audience, Bearer, Issued};
use super::desk::{Change, Guest, Identity};
use super::email::Email;
use super::error::IdentityError;
use super::facts::{self, Cause, Fact, Written, new_fact};
use super::opaque::{Opaque, Purpose, shown};
use super::passwords::{Comparison, Password};
use super::rates::network;
use super::throttle::{Counted, Tries, stay_home};

/// Live sessions of a user at the most: a log-in beyond it ends the one that was used longest ago.
pub const SESSIONS_MAX: i64 = 50;
/// What is kept of the name of a program, in characters.
const USER_AGENT_MAX: usize = 200;
/// Sessions whose time is over that are ended at once.
const EXPIRED_AT_ONCE: i64 = 500;

const USER: &str = "SELECT user_id, tenant_id, password_hash, state FROM users WHERE email = $1";
/// Nobody logs in by a password or an address that is changed meanwhile.
const STILL: &str = "SELECT 1 FROM users
    WHERE user_id = $1 AND password_hash = $2 AND email = $3 AND state = 'active' FOR UPDATE";
const REHASHED: &str = "UPDATE users SET password_hash = $2 WHERE user_id = $1";
const CLIENT: &str = "INSERT INTO clients (client_id, tenant_id, user_id, user_agent, address)
    VALUES ($1, $2, $3, $4, $5)";
const SESSION: &str =
    "INSERT INTO sessions (session_id, tenant_id, user_id, client_id, created_at, last_used_at,
        idle_until, expires_at)
    VALUES ($1, $2, $3, $4, $5, $5, $6, $7)";
const TOKEN: &str = "INSERT INTO refresh_tokens (hash, tenant_id, session_id, state, made_at)
    VALUES ($1, $2, $3, 'active', $4)";
/// Not the one that begins, whose time may be before that of others: a clock may have been set back.
const BEYOND: &str = "SELECT session_id FROM sessions
    WHERE tenant_id = $1 AND user_id = $2 AND ended_at IS NULL AND session_id <> $3
    ORDER BY last_used_at DESC, session_id DESC OFFSET $4";
const ROTATE: &str = "UPDATE refresh_tokens token SET state = 'used'
    FROM sessions session, users person, clients client
    WHERE token.hash = $1 AND token.state = 'active'
        AND session.tenant_id = token.tenant_id AND session.session_id = token.session_id
        AND session.ended_at IS NULL AND session.idle_until > $2 AND session.expires_at > $2
        AND person.user_id = session.user_id AND person.state = 'active' AND client.client_id = session.client_id
    RETURNING session.tenant_id, session.user_id, session.session_id, session.client_id, session.expires_at,
        person.email, client.address";
const USED: &str = "UPDATE sessions SET last_used_at = $3, idle_until = $4, expires_at = $5
    WHERE tenant_id = $1 AND session_id = $2 AND ended_at IS NULL";
const REUSED: &str =
    "SELECT session.tenant_id, session.user_id, session.session_id, session.client_id
    FROM refresh_tokens token JOIN sessions session
        ON session.tenant_id = token.tenant_id AND session.session_id = token.session_id
    WHERE token.hash = $1 AND token.state = 'used' AND session.ended_at IS NULL";
/// Who ends all sessions of a user ends those of log-ins and of others that do so at the same time one after the other.
const ALONE: &str = "SELECT 1 FROM users WHERE user_id = $1 FOR UPDATE";
const END: &str = "UPDATE sessions SET ended_at = $3
    WHERE tenant_id = $1 AND user_id = $2 AND ended_at IS NULL
        AND ($4::uuid IS NULL OR session_id = $4) AND ($5::uuid IS NULL OR session_id <> $5)
    RETURNING session_id";
const EXPIRED: &str = "SELECT tenant_id, user_id, session_id FROM sessions
    WHERE ended_at IS NULL AND least(idle_until, expires_at) < $1
    ORDER BY session_id LIMIT $2 FOR UPDATE SKIP LOCKED";
const LIVE: &str =
    "SELECT session_id, created_at, last_used_at, idle_until, expires_at, user_agent, address
    FROM sessions JOIN clients USING (client_id)
    WHERE sessions.tenant_id = $1 AND sessions.user_id = $2 AND ended_at IS NULL
        AND idle_until > $3 AND expires_at > $3
    ORDER BY last_used_at DESC, session_id DESC";

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
}

/// Which sessions of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them.
    All,
    /// One.
    One(SessionId),
    /// All but one.
    AllBut(SessionId),
}

/// What a session was given to go on with.
#[derive(Debug)]
pub struct Tokens {
    /// The session.
    pub session: SessionId,
    /// The user.
    pub user: UserId,
    /// For the next ten minutes.
    pub access: Issued,
    /// For the next access token.
    pub refresh: Zeroizing<String>,
    /// When the session ends if it is not used.
    pub idle_until: DateTime<Utc>,
    /// The fact of it.
    pub written: Written,
}

/// A session as its user sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which.
    pub session: SessionId,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it last went on.
    pub last_used_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// What the program called itself.
    pub user_agent: String,
    /// Where it came from.
    pub address: String,
}

/// A user as a log-in looks at one.
pub(super) struct Known {
    pub(super) whose: Whose,
    pub(super) password_hash: String,
    pub(super) active: bool,
}

/// The user with this address, if there is one.
pub(super) async fn known(
    connection: &mut PgConnection,
    email: &Email,
) -> Result<Option<Known>, sqlx::Error> {
    let row = sqlx::query(USER).bind(email.text()).fetch_optional(connection).await?;
    row.map(|row| {
        Ok(Known {
            whose: whose(&row)?,
            password_hash: row.try_get("password_hash")?,
            active: row.try_get::<String, _>("state")? == "active",
        })
    })
    .transpose()
}

pub(super) fn whose(row: &PgRow) -> Result<Whose, sqlx::Error> {
    Ok(Whose {
        tenant: TenantId::new(row.try_get("tenant_id")?),
        user: UserId::new(row.try_get("user_id")?),
    })
}

/// Sessions whose time is over and that nobody has ended.
pub(super) async fn expired(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<(TenantId, UserId, SessionId)>, sqlx::Error> {
    let rows = sqlx::query(EXPIRED).bind(now).bind(EXPIRED_AT_ONCE).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let Whose { tenant, user } = whose(row)?;
            Ok((tenant, user, SessionId::new(row.try_get("session_id")?)))
        })
        .collect()
}

impl Identity {
    /// Begins a session for whoever has this address and this password.
    ///
    /// # Errors
    /// [`IdentityError::WrongCredentials`] whatever it is that is wrong; too many tries; too many at once; the database
    /// failed.
    pub async fn log_in(
        &self,
        email: &Email,
        password: &Password,
        audience: Audience,
        guest: &Guest,
    ) -> Result<Tokens, IdentityError> {
        // Held to the end: what becomes of this try is known before the next one of the address begins.
        let _turn = self.turns.take(guest.address).await?;
        // Whoever has to wait or finds no place is told so before the database is asked for anything.
        let tries = Tries::new(email, guest.address);
        if let Some(wait) = self.throttled.wait(&tries) {
            return Err(IdentityError::Throttled(wait));
        }
        let place = self.hasher.place()?;
        let mut connection = self.pool.pool().acquire().await?;
        let counted = tries.count(&mut connection, Utc::now(), &self.throttled).await?;
        let known = known(&mut connection, email).await?;
        let counted = match counted {
            Ok(counted) => counted,
            Err(wait) => {
                if self.throttled.is_due(&tries) {
                    self.note_throttled(connection, known.map(|known| known.whose), guest);
                }
                return Err(IdentityError::Throttled(wait));
            }
        };
        drop(connection);
        let kept = known.as_ref().map(|known| known.password_hash.as_str());
        let compared = place.compare(password, kept).await?;
        let (Some(known), true) = (&known, compared != Comparison::Different) else {
            let whose = known.as_ref().map(|known| known.whose);
            return self.refuse(whose, LogInRefusal::WrongPassword, guest).await;
        };
        if !known.active {
            let whose = Some(known.whose);
            return self.refuse(whose, LogInRefusal::Disabled, guest).await;
        }
        let stronger = self.hasher.renew(password, compared).await?;
        self.admit((email, counted), known, stronger, audience, guest).await
    }

    async fn admit(
        &self,
        (email, counted): (&Email, Counted),
        known: &Known,
        stronger: Option<String>,
        audience: Audience,
        guest: &Guest,
    ) -> Result<Tokens, IdentityError> {
        let Whose { tenant, user } = known.whose;
        let session = SessionId::new(Uuid::now_v7());
        let client = ClientId::of(session);
        let cause = guest.cause(user.actor(), session.to_string(), client.to_string());
        let mut change = self.begin().await?;
        let still = sqlx::query(STILL).bind(user.uuid()).bind(&known.password_hash);
        let still = still.bind(email.text());
        if still.fetch_optional(change.connection()).await?.is_none() {
            return Err(IdentityError::WrongCredentials);
        }
        if let Some(stronger) = stronger {
            let kept = sqlx::query(REHASHED).bind(user.uuid()).bind(stronger);
            kept.execute(change.connection()).await?;
            let (fact_id, at) = new_fact();
            let event = UserEvent::PasswordRehashed { fact_id, at };
            let _ =
                facts::write(change.connection(), tenant, &cause, Fact::Of(user, event)).await?;
        }
        let now = Utc::now();
        let user_agent: String =
            guest.user_agent.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX).collect();
        sqlx::query(CLIENT)
            .bind(client.uuid())
            .bind(tenant.uuid())
            .bind(user.uuid())
            .bind(user_agent)
            .bind(guest.address.to_string())
            .execute(change.connection())
            .await?;
        let expires_at = now + self.settings.lifetime;
        let idle_until = (now + self.settings.idle).min(expires_at);
        sqlx::query(SESSION)
            .bind(session.uuid())
            .bind(tenant.uuid())
            .bind(user.uuid())
            .bind(client.uuid())
            .bind(now)
            .bind(idle_until)
            .bind(expires_at)
            .execute(change.connection())
            .await?;
        let refresh = change.refresh_token(tenant, session, now).await?;
        let beyond: Vec<Uuid> = sqlx::query_scalar(BEYOND)
            .bind(tenant.uuid())
            .bind(user.uuid())
            .bind(session.uuid())
            .bind(SESSIONS_MAX - 1)
            .fetch_all(change.connection())
            .await?;
        for old in beyond {
            let old = Which::One(SessionId::new(old));
            change.end(known.whose, old, SessionEnd::EndedByUser, &cause).await?;
        }
        // After the sessions, as a refresh locks them: one of a session that ends here waits and is told, in no deadlock.
        counted.logged_in(change.connection(), now).await?;
        let (fact_id, at) = new_fact();
        let event = UserEvent::LoggedIn { fact_id, at, session_id: session, client_id: client };
        let written =
            facts::write(change.connection(), tenant, &cause, Fact::Of(user, event)).await?;
        self.commit(change).await?;
        let access = self.issue(Bearer { user, tenant, session }, audience)?;
        Ok(Tokens { session, user, access, refresh, idle_until, written })
    }

    /// Exchanges a refresh token for the next one.
    ///
    /// # Errors
    /// [`IdentityError::SessionOver`] for a token that is not good any more; one that was used before ends its session.
    pub async fn refresh(
        &self,
        token: &str,
        audience: Audience,
        guest: &Guest,
    ) -> Result<Tokens, IdentityError> {
        let Some(hash) = shown(Purpose::Refresh, token) else {
            return Err(IdentityError::SessionOver);
        };
        let now = Utc::now();
        let mut change = self.begin().await?;
        let rotated = sqlx::query(ROTATE).bind(&hash[..]).bind(now);
        let Some(row) = rotated.fetch_optional(change.connection()).await? else {
            return self.reused(change, &hash, guest).await;
        };
        let Whose { tenant, user } = whose(&row)?;
        let session = SessionId::new(row.try_get("session_id")?);
        let client = ClientId::new(row.try_get("client_id")?);
        // A session that began while the clock was ahead lasts no longer for that.
        let expires_at = row.try_get::<DateTime<Utc>, _>("expires_at")?;
        let expires_at = expires_at.min(now + self.settings.lifetime);
        let idle_until = (now + self.settings.idle).min(expires_at);
        let used = sqlx::query(USED)
            .bind(tenant.uuid())
            .bind(session.uuid())
            .bind(now)
            .bind(idle_until)
            .bind(expires_at)
            .execute(change.connection())
            .await?;
        if used.rows_affected() == 0 {
            // It ended at this very moment.
            return Err(IdentityError::SessionOver);
        }
        // Where the session began is a home for as long as it goes on there.
        let began: Option<IpAddr> = row.try_get::<String, _>("address")?.parse().ok();
        if began.map(network) == Some(network(guest.address)) {
            let email = Email::read(row.try_get("email")?)
                .map_err(|error| IdentityError::Defect(error.to_string()))?;
            stay_home(change.connection(), &email, guest.address, now).await?;
        }
        let refresh = change.refresh_token(tenant, session, now).await?;
        let cause = guest.cause(user.actor(), session.to_string(), client.to_string());
        let (fact_id, at) = new_fact();
        let event = UserEvent::SessionRefreshed { fact_id, at, session_id: session };
        let written =
            facts::write(change.connection(), tenant, &cause, Fact::Of(user, event)).await?;
        self.commit(change).await?;
        let access = self.issue(Bearer { user, tenant, session }, audience)?;
        Ok(Tokens { session, user, access, refresh, idle_until, written })
    }

    /// Ends the session of a token that was used before.
    async fn reused(
        &self,
        mut change: Change,
        hash: &[u8],
        guest: &Guest,
    ) -> Result<Tokens, IdentityError> {
        let row = sqlx::query(REUSED).bind(hash).fetch_optional(change.connection()).await?;
        let Some(row) = row else { return Err(IdentityError::SessionOver) };
        let whose = whose(&row)?;
        let session_id = SessionId::new(row.try_get("session_id")?);
        let client = ClientId::new(row.try_get("client_id")?);
        let cause = guest.cause(whose.user.actor(), session_id.to_string(), client.to_string());
        let (fact_id, at) = new_fact();
        let event = UserEvent::RefreshReused { fact_id, at, session_id };
        let fact = Fact::Of(whose.user, event);
        let _ = facts::write(change.connection(), whose.tenant, &cause, fact).await?;
        if change.end(whose, Which::One(session_id), SessionEnd::Reuse, &cause).await?.is_some() {
            self.commit(change).await?;
        }
        Err(IdentityError::SessionOver)
    }

    /// The live sessions of a user, the one that was used last first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sessions(&self, whose: Whose) -> Result<Vec<Session>, IdentityError> {
        let rows = sqlx::query(LIVE)
            .bind(whose.tenant.uuid())
            .bind(whose.user.uuid())
            .bind(Utc::now())
            .fetch_all(self.pool.pool())
            .await?;
        let read = |row: &PgRow| {
            let (idle, absolute) = (row.try_get("idle_until")?, row.try_get("expires_at")?);
            Ok(Session {
                session: SessionId::new(row.try_get("session_id")?),
                created_at: row.try_get("created_at")?,
                last_used_at: row.try_get("last_used_at")?,
                ends_at: DateTime::<Utc>::min(idle, absolute),
                user_agent: row.try_get("user_agent")?,
                address: row.try_get("address")?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Ends one session of a user.
    ///
    /// # Errors
    /// The user has no such live session, or the database failed.
    pub async fn end_session(
        &self,
        whose: Whose,
        session: SessionId,
        reason: SessionEnd,
        cause: &Cause,
    ) -> Result<Written, IdentityError> {
        let mut change = self.begin().await?;
        let ended = change.end(whose, Which::One(session), reason, cause).await?;
        let written = ended.ok_or(IdentityError::NoSession)?;
        self.commit(change).await?;
        Ok(written)
    }

    /// Ends every session of a user at once, the one that asks too.
    ///
    /// # Errors
    /// No session of the user is live any more, or the database failed.
    pub async fn end_every_session(
        &self,
        whose: Whose,
        asking: SessionId,
        cause: &Cause,
    ) -> Result<Written, IdentityError> {
        let mut change = self.begin().await?;
        sqlx::query(ALONE).bind(whose.user.uuid()).execute(change.connection()).await?;
        let others = Which::AllBut(asking);
        let others = change.end(whose, others, SessionEnd::EndedByUser, cause).await?;
        let own = change.end(whose, Which::One(asking), SessionEnd::LoggedOut, cause).await?;
        let written = own.or(others).ok_or(IdentityError::NoSession)?;
        self.commit(change).await?;
        Ok(written)
    }
}

impl Change {
    /// A new refresh token of a session.
    async fn refresh_token(
        &mut self,
        tenant: TenantId,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<Zeroizing<String>, IdentityError> {
        let Opaque { text, hash } = Opaque::new(Purpose::Refresh)?;
        sqlx::query(TOKEN)
            .bind(&hash[..])
            .bind(tenant.uuid())
            .bind(session.uuid())
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(text)
    }

    /// Ends live sessions of a user; the fact of the last one, if any was live.
    pub(super) async fn end(
        &mut self,
        whose: Whose,
        which: Which,
        reason: SessionEnd,
        cause: &Cause,
    ) -> Result<Option<Written>, sqlx::Error> {
        let (one, but) = match which {
            Which::All => (None, None),
            Which::One(session) => (Some(session), None),
            Which::AllBut(session) => (None, Some(session)),
        };
        let ended: Vec<Uuid> = sqlx::query_scalar(END)
            .bind(whose.tenant.uuid())
            .bind(whose.user.uuid())
            .bind(Utc::now())
            .bind(one.map(SessionId::uuid))
            .bind(but.map(SessionId::uuid))
            .fetch_all(self.connection())
            .await?;
        let mut last = None;
        for session_id in ended.into_iter().map(SessionId::new) {
            self.revoke(whose.tenant, session_id).await?;
            let (fact_id, at) = new_fact();
            let event = UserEvent::SessionEnded { fact_id, at, session_id, reason };
            let fact = Fact::Of(whose.user, event);
            last = Some(facts::write(self.connection(), whose.tenant, cause, fact).await?);
        }
        Ok(last)
    }
}
