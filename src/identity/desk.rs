//! Everything that this process knows of users, in one place, and what keeps it up to date.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use aggregates::id::{ActorId, RequestId, SessionId, TenantId};
use aggregates::user::SessionEnd;
use chrono::{TimeDelta, Utc};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::access::{Audience, Bearer, Jwk};
use super::access_keys::{self, AccessKeys};
use super::error::IdentityError;
use super::facts::{Cause, Facts, Written};
use super::passwords::Hasher;
use super::revocations::{self, Revocations, Standing};
use super::turns::Turns;
use super::{grants, sessions, throttle};
use crate::database::IdentityPool;
use crate::ledger::Interface;

/// How often what is over is cleared away.
const CLEAR: Duration = Duration::from_secs(600);
/// How long what is known of a session that has ended is kept.
const KEPT_AFTER_END: TimeDelta = TimeDelta::days(30);

/// Of one transaction.
const MAY_WAIT: &str = "SET LOCAL synchronous_commit = off";
const CLEAR_REVOCATIONS: &str = "DELETE FROM revocations WHERE made_at < $1";
const CLEAR_THROTTLES: &str = "DELETE FROM throttles WHERE failures > 0 AND last_at < $1";
const CLEAR_HOMES: &str = "DELETE FROM throttles WHERE last_at < $1";
const CLEAR_KEYS: &str = "DELETE FROM access_keys WHERE not_after < $1";
const CLEAR_INVITATIONS: &str = "DELETE FROM invitations WHERE expires_at < $1";
/// A session goes with its client.
const CLEAR_SESSIONS: &str = "DELETE FROM clients WHERE client_id IN
    (SELECT client_id FROM sessions WHERE ended_at < $1 LIMIT 1000)";

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everybody.
    Open,
    /// Who has an invitation.
    Invited,
    /// Nobody but by the operator.
    Closed,
}

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Who may register.
    pub admission: Admission,
    /// How long a session lasts that is not used.
    pub idle: TimeDelta,
    /// How long a session lasts however much it is used.
    pub lifetime: TimeDelta,
}

/// A request whose sender shows nothing: what is known of it all the same.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Where it comes from.
    pub address: IpAddr,
    /// What its program calls itself.
    pub user_agent: String,
    /// The face.
    pub interface: Interface,
    /// The request.
    pub request: RequestId,
}

impl Guest {
    /// What an event says of it.
    pub(super) fn cause(&self, actor: ActorId, token: String, client: String) -> Cause {
        Cause { actor, token, client, interface: self.interface, request: self.request }
    }
}

/// Users, sessions and keys, as this process works on them.
#[derive(Debug)]
pub struct Identity {
    pub(super) pool: IdentityPool,
    pub(super) hasher: Hasher,
    pub(super) settings: Settings,
    pub(super) throttled: throttle::Memory,
    pub(super) turns: Turns,
    /// None where nobody logs in.
    keys: Option<AccessKeys>,
    revocations: Revocations,
    pub(super) facts: Facts,
}

impl Identity {
    /// Loads the key of this process and learns what is void.
    ///
    /// # Errors
    /// The key's file cannot be used, or the database failed.
    pub async fn open(
        pool: IdentityPool,
        facts: Facts,
        data_dir: PathBuf,
        settings: Settings,
    ) -> Result<Self, IdentityError> {
        let keys = AccessKeys::open(pool.clone(), data_dir).await?;
        let revocations = Revocations::new();
        revocations.look(&pool).await?;
        let (keys, throttled) = (Some(keys), throttle::Memory::default());
        let (hasher, turns) = (Hasher::new()?, Turns::default());
        Ok(Self { hasher, pool, settings, throttled, turns, keys, revocations, facts })
    }

    /// For changing users beside a server: nobody logs in here, and no key is made or read.
    ///
    /// # Errors
    /// No random bytes.
    pub fn beside(pool: IdentityPool) -> Result<Self, IdentityError> {
        let settings = Settings {
            admission: Admission::Closed,
            idle: TimeDelta::zero(),
            lifetime: TimeDelta::zero(),
        };
        let (facts, revocations) = (Facts::new(pool.clone()), Revocations::new());
        let throttled = throttle::Memory::default();
        Ok(Self {
            hasher: Hasher::new()?,
            pool,
            settings,
            throttled,
            turns: Turns::default(),
            keys: None,
            revocations,
            facts,
        })
    }

    fn keys(&self) -> Result<&AccessKeys, IdentityError> {
        let none = || IdentityError::Defect("this process has no key to sign by".to_owned());
        self.keys.as_ref().ok_or_else(none)
    }

    /// Keeps up with other processes and clears away what is over, until `stop`.
    pub async fn keep(&self, stop: CancellationToken) {
        let beat = |every| {
            let mut beat = interval(every);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        };
        let (mut look, mut keys, mut clear) =
            (beat(revocations::LOOK), beat(access_keys::LOOK), beat(CLEAR));
        loop {
            let kept = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = look.tick() => self.revocations.look(&self.pool).await.map_err(Into::into),
                _ = keys.tick() => match &self.keys {
                    Some(keys) => keys.look().await,
                    None => Ok(()),
                },
                _ = clear.tick() => self.clear().await,
            };
            if let Err(error) = kept {
                warn!(%error, "what is known of users cannot be kept up to date");
            }
        }
    }

    /// Ends sessions and offers whose time is over, and deletes what nobody asks for any more: by this clock and the
    /// database's, so that none of it is lost to a clock that is ahead for a while.
    async fn clear(&self) -> Result<(), IdentityError> {
        let now = self.revocations.skew().earlier(Utc::now());
        self.end_expired(now).await?;
        let mut change = self.begin().await?;
        grants::lapse(change.connection(), now, None).await?;
        self.commit(change).await?;
        for (statement, before) in [
            (CLEAR_REVOCATIONS, now - revocations::KEPT),
            (CLEAR_THROTTLES, now - throttle::FORGOTTEN),
            (CLEAR_HOMES, now - throttle::HOME),
            (CLEAR_KEYS, now),
            (CLEAR_INVITATIONS, now),
            (CLEAR_SESSIONS, now - KEPT_AFTER_END),
        ] {
            sqlx::query(statement).bind(before).execute(self.pool.pool()).await?;
        }
        Ok(())
    }

    async fn end_expired(&self, now: chrono::DateTime<Utc>) -> Result<(), IdentityError> {
        let mut change = self.begin().await?;
        let expired = sessions::expired(&mut change.transaction, now).await?;
        for (tenant, user, session) in expired {
            let cause = Cause {
                actor: user.actor(),
                token: session.to_string(),
                client: String::new(),
                interface: Interface::Ledger,
                request: RequestId::new(Uuid::now_v7()),
            };
            let whose = sessions::Whose { tenant, user };
            change.end(whose, sessions::Which::One(session), SessionEnd::Expired, &cause).await?;
        }
        self.commit(change).await
    }

    /// A transaction that changes who may act.
    pub(super) async fn begin(&self) -> Result<Change, sqlx::Error> {
        Ok(Change { transaction: self.pool.begin().await?, ended: Vec::new(), hurries: true })
    }

    /// Makes a change true, here at once.
    pub(super) async fn commit(&self, change: Change) -> Result<(), IdentityError> {
        change.transaction.commit().await?;
        self.revocations.note(&change.ended);
        if change.hurries {
            self.facts.wake();
        }
        Ok(())
    }

    /// Where a fact stands in the log, or where that ends a second later.
    ///
    /// # Errors
    /// The database failed.
    pub async fn position(&self, written: Written) -> Result<u64, IdentityError> {
        Ok(self.facts.settled(written).await?)
    }

    /// Whom an access token speaks for on this face; `None` if for nobody.
    ///
    /// # Errors
    /// It cannot be known now whether its session has ended.
    pub async fn bearer(
        &self,
        token: &str,
        audience: Audience,
    ) -> Result<Option<Bearer>, IdentityError> {
        let Some(bearer) = self.keys()?.read(token, audience).await? else { return Ok(None) };
        match self.revocations.standing(bearer.session) {
            Standing::Good => Ok(Some(bearer)),
            Standing::Ended => Ok(None),
            Standing::Unknown => Err(IdentityError::Stale),
        }
    }

    /// Why an access token for this face, signed by a key that is known here, is good no more; `None` for any other text.
    pub fn void_by(&self, token: &str, audience: Audience) -> Option<VoidBy> {
        match self.keys.as_ref()?.verify(token, audience) {
            Ok(bearer) => {
                let ended = self.revocations.standing(bearer.session) == Standing::Ended;
                ended.then_some(VoidBy::Session)
            }
            Err(error) => error.is_of_time().then_some(VoidBy::Time),
        }
    }

    /// Ready when the session has ended.
    pub fn ended(&self, session: SessionId) -> impl Future<Output = ()> + Send + 'static {
        self.revocations.ended(session)
    }

    /// The public keys that access tokens are verified by.
    pub fn jwks(&self) -> Vec<Jwk> {
        self.keys.as_ref().map(AccessKeys::jwks).unwrap_or_default()
    }

    /// A new access token.
    pub(super) fn issue(
        &self,
        bearer: Bearer,
        audience: Audience,
    ) -> Result<super::access::Issued, IdentityError> {
        Ok(self.keys()?.issue(bearer, audience)?)
    }
}

/// Why a token that was signed or made here is good no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidBy {
    /// The time of an access token is over.
    Time,
    /// Its session has ended.
    Session,
    /// It is an agent's, and was revoked, has expired, or its user may not act.
    Token,
}

/// A change of who may act, not yet committed.
pub(super) struct Change {
    pub(super) transaction: Transaction<'static, Postgres>,
    pub(super) ended: Vec<SessionId>,
    /// Whether its facts are carried to the log at once, and it waits for the disk.
    hurries: bool,
}

impl Change {
    /// The connection that it is made on.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Lets it commit without waiting for the disk, and its facts wait for others: what comes in floods must not hold
    /// up what comes beside it. A crash of the database within a second can take it back whole.
    pub(super) async fn may_wait(&mut self) -> Result<(), sqlx::Error> {
        self.hurries = false;
        sqlx::query(MAY_WAIT).execute(&mut *self.transaction).await.map(drop)
    }

    /// Says to every process that a session has ended.
    pub(super) async fn revoke(
        &mut self,
        tenant: TenantId,
        session: SessionId,
    ) -> Result<(), sqlx::Error> {
        revocations::revoke(&mut self.transaction, tenant, session).await?;
        self.ended.push(session);
        Ok(())
    }
}
