//! Access tokens: who a session's caller is, signed, for ten minutes (RFC 9068).
//!
//! Guarantees: a token is read only if it is `at+jwt`, signed by EdDSA with a key of the ring that its `kid` names, has
//! every claim of [`Claims`] once and nothing else, is for the face that reads it, and is neither expired nor early by
//! more than [`LEEWAY`]. Nothing in a token says how it is verified, and no token makes the server fetch anything. The
//! private key never leaves its file. Costs about 60 microseconds a token and no I/O.

mod provider;

use std::collections::BTreeMap;
use std::path::Path;

use aggregates::id::{SessionId, TenantId, UserId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::secret::{self, SecretError};

/// How long an access token is good.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// How far the clocks of two servers may be apart, in seconds.
pub const LEEWAY: u64 = 5;
/// The longest token that is looked at, in bytes.
pub const TOKEN_MAX: usize = 4096;

/// The file of the private key in the data directory.
const FILE: &str = "access.key";
/// Who issues tokens.
const ISSUER: &str = "blotter";
/// What a token says that it is.
const TYPE: &str = "at+jwt";

/// The face that a token is for: one that was made for a browser is no good to an agent, and the other way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// REST.
    #[default]
    Rest,
    /// MCP.
    Mcp,
}

impl Audience {
    /// The claim `aud`.
    pub const fn claim(self) -> &'static str {
        match self {
            Self::Rest => "blotter/rest",
            Self::Mcp => "blotter/mcp",
        }
    }
}

/// On whose behalf a token speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: UserId,
    /// Whose rows are the user's own.
    pub tenant: TenantId,
    /// The log-in that it comes from, and ends with.
    pub session: SessionId,
}

/// What a token says: all of it is required, and nothing else is taken.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    tenant: TenantId,
    sid: SessionId,
    jti: Uuid,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// A token that was just signed.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Zeroizing<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Why a token opens nothing. Clients hear only that it is invalid.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It is longer than any that we sign.
    #[error("the token is longer than {TOKEN_MAX} bytes")]
    TooLong,
    /// Its header asks for something else than we sign.
    #[error("the header is not that of an access token")]
    Header,
    /// No key of the ring has its `kid`.
    #[error("the key is not known")]
    Key,
    /// The signature, a claim or its times do not hold.
    #[error(transparent)]
    Invalid(#[from] jsonwebtoken::errors::Error),
}

impl AccessError {
    /// Whether everything but the time of the token holds: what is signed is looked at before it is.
    pub fn is_of_time(&self) -> bool {
        let Self::Invalid(error) = self else { return false };
        matches!(error.kind(), ErrorKind::ExpiredSignature)
    }
}

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What tokens name it by: the thumbprint of the key (RFC 7638).
    pub kid: String,
    /// The key.
    pub bytes: [u8; 32],
}

impl PublicKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        // RFC 8037: the members that identify the key, in this order and without spaces.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encoded(&bytes));
        Self { kid: encoded(&Sha256::digest(members)), bytes }
    }
}

/// One public key as `/.well-known/jwks.json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: &'static str,
    /// `Ed25519`.
    pub crv: &'static str,
    /// `EdDSA`.
    pub alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    pub used_for: &'static str,
    /// What tokens name it by.
    pub kid: String,
    /// The key, base64url.
    pub x: String,
}

/// The private key of one process.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The key in the file `access.key` of `data_dir`, made by the first start.
    ///
    /// # Errors
    /// The file cannot be read or made, may be read by others, or holds no key.
    pub fn load(data_dir: &Path) -> Result<Self, SecretError> {
        Self::of(&data_dir.join(FILE), &Zeroizing::new(secret::load(&data_dir.join(FILE))?))
    }

    /// A new key in the place of the one in `data_dir`: whole or not at all.
    ///
    /// # Errors
    /// As [`PrivateKey::load`].
    pub fn replace(data_dir: &Path) -> Result<Self, SecretError> {
        let path = data_dir.join(FILE);
        Self::of(&path, &Zeroizing::new(secret::replace(&path)?))
    }

    fn of(path: &Path, text: &str) -> Result<Self, SecretError> {
        let seed = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).ok();
        let seed = seed.and_then(|seed| seed.as_slice().try_into().map(Zeroizing::new).ok());
        let seed = seed.ok_or_else(|| SecretError::Malformed { path: path.to_owned() })?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key().to_bytes())
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// The keys that this process signs and reads by.
#[derive(Clone, Debug)]
pub struct KeyRing {
    signing: EncodingKey,
    kid: String,
    known: BTreeMap<String, [u8; 32]>,
}

impl KeyRing {
    /// Signs by `private`, and reads what that and the keys of `others` signed. Bytes that are no key read nothing.
    pub fn new(private: &PrivateKey, others: impl IntoIterator<Item = PublicKey>) -> Self {
        provider::install();
        let public = private.public();
        let usable = |key: &PublicKey| VerifyingKey::from_bytes(&key.bytes).is_ok();
        let others = others.into_iter().filter(usable);
        let known = others.chain([public.clone()]).map(|key| (key.kid, key.bytes)).collect();
        Self { signing: EncodingKey::from_ed_der(private.0.as_bytes()), kid: public.kid, known }
    }

    /// A token for `bearer`, from `now` on.
    ///
    /// # Errors
    /// It cannot be signed: a fault of this program.
    pub fn issue(
        &self,
        bearer: Bearer,
        audience: Audience,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Issued, AccessError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        let expires_at = now + LIFETIME;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: audience.claim().to_owned(),
            sub: bearer.user,
            tenant: bearer.tenant,
            sid: bearer.session,
            jti: id,
            iat: seconds(now),
            nbf: seconds(now),
            exp: seconds(expires_at),
        };
        let token = Zeroizing::new(jsonwebtoken::encode(&header, &claims, &self.signing)?);
        Ok(Issued { token, expires_at })
    }

    /// Whom `token` speaks for on this face. Whether the session has ended since is not in it.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn read(&self, token: &str, audience: Audience) -> Result<Bearer, AccessError> {
        if token.len() > TOKEN_MAX {
            return Err(AccessError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token)?;
        let kid = header.kid.clone().unwrap_or_default();
        let mut expected = Header::new(Algorithm::EdDSA);
        expected.typ = Some(TYPE.to_owned());
        expected.kid = Some(kid.clone());
        if header != expected {
            return Err(AccessError::Header);
        }
        let key = self.known.get(&kid).ok_or(AccessError::Key)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_audience(&[audience.claim()]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        let key = DecodingKey::from_ed_der(key);
        let Claims { sub: user, tenant, sid: session, .. } =
            jsonwebtoken::decode(token, &key, &validation)?.claims;
        Ok(Bearer { user, tenant, session })
    }

    /// The public keys, for whoever wants to verify a token.
    pub fn jwks(&self) -> Vec<Jwk> {
        let shown = |(kid, bytes): (&String, &[u8; 32])| Jwk {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            used_for: "sig",
            kid: kid.clone(),
            x: encoded(bytes),
        };
        self.known.iter().map(shown).collect()
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970, as tokens have them; a clock before that is taken for 1970.
fn seconds(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
