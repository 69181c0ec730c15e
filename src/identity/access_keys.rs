//! The keys that access tokens are signed and read by, over all processes of a database.
//!
//! Each process signs by the key in its own data directory and keeps the public half in the database, where the others
//! find it; it stays there for as long as the process runs and a token of it may be good. A key that was replaced in its
//! file is taken up within half a second, without a restart, and what it signed before stays good until it is over. A
//! token of a key that is not known yet has the database asked once more, so that none is refused for being too new.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row;
use tokio::sync::Mutex;
use tracing::{info, warn};
use uuid::Uuid;

use super::access::{
    AccessError, Audience, Bearer, Issued, Jwk, KeyRing, LIFETIME, PrivateKey, PublicKey,
};
use super::error::IdentityError;
use crate::database::IdentityPool;

/// How often the file and the keys of other processes are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// A key that is not known has the database asked at the most so often.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long a public key is kept after the last sign of its process: longer than what it signed is good.
const KEPT: TimeDelta = TimeDelta::minutes(LIFETIME.num_minutes() + 5);
/// How often a process shows that it still signs by its key.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

const SHOW: &str = "INSERT INTO access_keys (kid, public_key, made_at, not_after) VALUES ($1, $2, $3, $4)
    ON CONFLICT (kid) DO UPDATE SET not_after = greatest(access_keys.not_after, excluded.not_after)";
const KNOWN: &str = "SELECT public_key FROM access_keys WHERE not_after > $1 ORDER BY kid";

/// The keys, as they are now.
#[derive(Debug)]
pub struct AccessKeys {
    pool: IdentityPool,
    data_dir: PathBuf,
    ring: RwLock<Arc<KeyRing>>,
    shown: Mutex<Shown>,
}

/// What the database was told and asked last.
#[derive(Debug)]
struct Shown {
    kid: String,
    at: Instant,
    asked: Instant,
    public: Vec<PublicKey>,
}

impl AccessKeys {
    /// Loads the key of this process, makes it known, and learns those of the others.
    ///
    /// # Errors
    /// The file cannot be used, or the database failed.
    pub async fn open(pool: IdentityPool, data_dir: PathBuf) -> Result<Self, IdentityError> {
        let private = PrivateKey::load(&data_dir)?;
        let now = Instant::now();
        let shown = Shown { kid: String::new(), at: now, asked: now, public: Vec::new() };
        let ring = RwLock::new(Arc::new(KeyRing::new(&private, [])));
        let keys = Self { pool, data_dir, ring, shown: Mutex::new(shown) };
        keys.look().await?;
        Ok(keys)
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the file and at the database, and works by what they say from now on.
    ///
    /// # Errors
    /// The file cannot be used, or the database failed.
    pub async fn look(&self) -> Result<(), IdentityError> {
        let mut shown = self.shown.lock().await;
        self.look_into(&mut shown).await
    }

    async fn look_into(&self, shown: &mut Shown) -> Result<(), IdentityError> {
        shown.asked = Instant::now();
        let directory = self.data_dir.clone();
        let private = tokio::task::spawn_blocking(move || PrivateKey::load(&directory)).await;
        let private = private.map_err(|error| IdentityError::Defect(error.to_string()))??;
        let own = private.public();
        if shown.kid != own.kid || shown.at.elapsed() >= SIGN_OF_LIFE {
            let now = Utc::now();
            sqlx::query(SHOW)
                .bind(&own.kid)
                .bind(URL_SAFE_NO_PAD.encode(own.bytes))
                .bind(now)
                .bind(now + KEPT)
                .execute(self.pool.pool())
                .await?;
            shown.at = Instant::now();
        }
        let known = self.known(Utc::now()).await?;
        if shown.kid != own.kid || shown.public != known {
            if !shown.kid.is_empty() && shown.kid != own.kid {
                info!(kid = %own.kid, "access tokens are signed by a new key");
            }
            let ring = Arc::new(KeyRing::new(&private, known.iter().cloned()));
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
            shown.kid = own.kid;
            shown.public = known;
        }
        Ok(())
    }

    async fn known(&self, now: DateTime<Utc>) -> Result<Vec<PublicKey>, sqlx::Error> {
        let rows = sqlx::query(KNOWN).bind(now).fetch_all(self.pool.pool()).await?;
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            let text: String = row.try_get("public_key")?;
            let bytes = URL_SAFE_NO_PAD.decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
            match bytes {
                Some(bytes) => known.push(PublicKey::new(bytes)),
                None => warn!("a row of access_keys holds no key"),
            }
        }
        Ok(known)
    }

    /// A token for `bearer`, from now on.
    ///
    /// # Errors
    /// It cannot be signed: a fault of this program.
    pub fn issue(&self, bearer: Bearer, audience: Audience) -> Result<Issued, AccessError> {
        self.ring().issue(bearer, audience, Uuid::now_v7(), Utc::now())
    }

    /// Whom a token speaks for on this face; `None` for a token that is not good.
    ///
    /// # Errors
    /// Its key is not known, and the database cannot be asked for it.
    pub async fn read(
        &self,
        token: &str,
        audience: Audience,
    ) -> Result<Option<Bearer>, IdentityError> {
        match self.ring().read(token, audience) {
            Ok(bearer) => return Ok(Some(bearer)),
            Err(AccessError::Key) => {}
            Err(_) => return Ok(None),
        }
        // A key is made known before anything is signed by it: a look that begins from here on finds it.
        let arrived = Instant::now();
        let mut shown = self.shown.lock().await;
        if shown.asked < arrived {
            tokio::time::sleep(ASK_AGAIN.saturating_sub(shown.asked.elapsed())).await;
            self.look_into(&mut shown).await?;
        }
        drop(shown);
        Ok(self.ring().read(token, audience).ok())
    }

    /// Whom a token speaks for on this face, by the keys that are known already.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn verify(&self, token: &str, audience: Audience) -> Result<Bearer, AccessError> {
        self.ring().read(token, audience)
    }

    /// The public keys.
    pub fn jwks(&self) -> Vec<Jwk> {
        self.ring().jwks()
    }
}
