//! What is void before its time: sessions that ended while their access tokens are still good.
//!
//! Guarantees: what this process ends is void here at once; what another ends, within a quarter of a second while the
//! database answers. When it has not answered for [`BLIND`], nothing that could have been ended passes. Whoever keeps an
//! answer open can wait for the end of its session. Costs one small query five times a second, whose answer also tells how
//! far the clocks are apart; a check costs a look into a map.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aggregates::id::{SessionId, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};
use tokio::sync::watch;
use uuid::Uuid;

use super::access::LIFETIME;
use super::skew::Skew;
use crate::database::IdentityPool;

/// How often the end of sessions elsewhere is looked for.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// After this time without an answer of the database nothing passes.
const BLIND: Duration = Duration::from_secs(5);
/// How far a look goes back behind the last: longer than any transaction of identity lasts.
const OVERLAP: TimeDelta = TimeDelta::seconds(15);
/// How long an end is remembered: longer than an access token is good.
pub(super) const KEPT: TimeDelta = TimeDelta::minutes(60);

/// By the database's clock, in one row at least.
const NEW: &str =
    "SELECT told_at, subject, made_at FROM (VALUES (clock_timestamp())) clock (told_at)
    LEFT JOIN revocations ON kind = 'session' AND made_at > $1";
const REVOKE: &str =
    "INSERT INTO revocations (tenant_id, kind, subject) VALUES ($1, 'session', $2)";

#[derive(Debug)]
struct Known {
    ended: HashMap<SessionId, Instant>,
    /// When the database last told everything.
    told: Option<Instant>,
    /// The latest end that was told.
    latest: DateTime<Utc>,
}

/// The sessions that are known to have ended. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations {
    known: Arc<RwLock<Known>>,
    changed: Arc<watch::Sender<()>>,
    skew: Arc<Skew>,
}

/// What is to be thought of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not ended.
    Good,
    /// It has.
    Ended,
    /// It cannot be known now.
    Unknown,
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl Revocations {
    /// Nothing is known yet: no session passes before the first look, which takes in whatever is kept, since the clock of
    /// this process may be wrong.
    pub fn new() -> Self {
        let (changed, _) = watch::channel(());
        let known = Known { ended: HashMap::new(), told: None, latest: DateTime::UNIX_EPOCH };
        Self {
            known: Arc::new(RwLock::new(known)),
            changed: Arc::new(changed),
            skew: Arc::default(),
        }
    }

    /// How far the clock of this process is off the one that ends are told by, as of the last look.
    pub fn skew(&self) -> &Skew {
        &self.skew
    }

    /// How a session stands.
    pub fn standing(&self, session: SessionId) -> Standing {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.ended.contains_key(&session) {
            Standing::Ended
        } else if known.told.is_some_and(|told| told.elapsed() < BLIND) {
            Standing::Good
        } else {
            Standing::Unknown
        }
    }

    /// Ready when the session has ended.
    pub fn ended(&self, session: SessionId) -> impl Future<Output = ()> + Send + 'static {
        let (revocations, mut changed) = (self.clone(), self.changed.subscribe());
        async move {
            while revocations.standing(session) != Standing::Ended {
                if changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Takes in what this process has ended. Call it after the commit.
    pub fn note(&self, sessions: &[SessionId]) {
        self.take_in(sessions.iter().copied());
    }

    fn take_in(&self, sessions: impl Iterator<Item = SessionId>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let (before, now) = (known.ended.len(), Instant::now());
        for session in sessions {
            known.ended.entry(session).or_insert(now);
        }
        let grew = known.ended.len() > before;
        let good_for = (LIFETIME + OVERLAP + OVERLAP).to_std().unwrap_or_default();
        known.ended.retain(|_, ended| ended.elapsed() < good_for);
        drop(known);
        if grew {
            self.changed.send_replace(());
        }
    }

    /// Asks what has ended anywhere.
    ///
    /// # Errors
    /// The database failed.
    pub async fn look(&self, pool: &IdentityPool) -> Result<(), sqlx::Error> {
        let (asked, asked_at) = (Instant::now(), Utc::now());
        let since = self.known.read().unwrap_or_else(PoisonError::into_inner).latest - OVERLAP;
        let rows = sqlx::query(NEW).bind(since).fetch_all(pool.pool()).await?;
        let answered_at = Utc::now();
        let mut sessions = Vec::with_capacity(rows.len());
        let mut latest = since + OVERLAP;
        if let Some(row) = rows.first() {
            self.skew.measure(asked_at, row.try_get("told_at")?, answered_at);
        }
        for row in &rows {
            let Some(subject) = row.try_get::<Option<Uuid>, _>("subject")? else { continue };
            sessions.push(SessionId::new(subject));
            latest = latest.max(row.try_get("made_at")?);
        }
        self.take_in(sessions.into_iter());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.latest = latest;
        known.told = Some(asked);
        Ok(())
    }
}

/// Says in the transaction that ends sessions that they have, to every process.
///
/// # Errors
/// The database failed.
pub(super) async fn revoke(
    transaction: &mut PgConnection,
    tenant: TenantId,
    session: SessionId,
) -> Result<(), sqlx::Error> {
    sqlx::query(REVOKE)
        .bind(tenant.uuid())
        .bind(session.uuid())
        .execute(transaction)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_passes_that_could_have_ended_and_what_ended_is_told_to_who_waits() {
        let revocations = Revocations::new();
        let (one, other) = (SessionId::new(Uuid::now_v7()), SessionId::new(Uuid::now_v7()));
        assert_eq!(revocations.standing(one), Standing::Unknown);
        revocations.known.write().unwrap().told = Some(Instant::now());
        assert_eq!(revocations.standing(one), Standing::Good);
        let waiting = tokio::spawn(revocations.ended(one));
        revocations.note(&[other]);
        assert_eq!(revocations.standing(other), Standing::Ended);
        assert!(!waiting.is_finished());
        revocations.note(&[one]);
        waiting.await.unwrap();
        let long_ago = Instant::now().checked_sub(2 * BLIND).unwrap();
        revocations.known.write().unwrap().told = Some(long_ago);
        assert_eq!(revocations.standing(SessionId::new(Uuid::now_v7())), Standing::Unknown);
        assert_eq!(revocations.standing(one), Standing::Ended);
    }
}
