//! Secrets that are nothing but random: a prefix that says what they are, and 32 bytes. Only their SHA-256 is kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of chance in one.
const BYTES: usize = 32;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Goes on with a session.
    Refresh,
    /// Lets somebody register.
    Invitation,
    /// Lets an agent call.
    Token,
}

impl Purpose {
    /// What the text begins with, so that a scanner of leaked secrets knows it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "blr_",
            Self::Invitation => "bli_",
            Self::Token => "blt_",
        }
    }
}

/// The SHA-256 of a secret, as it is kept.
pub type Hash = [u8; 32];

/// A secret that was just made.
pub struct Opaque {
    /// What its owner gets, once.
    pub text: Zeroizing<String>,
    /// What is kept.
    pub hash: Hash,
}

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaque(redacted)")
    }
}

impl Opaque {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(purpose: Purpose) -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(bytes.as_mut())?;
        let text = format!("{}{}", purpose.prefix(), URL_SAFE_NO_PAD.encode(*bytes));
        Ok(Self { hash: Sha256::digest(&text).into(), text: Zeroizing::new(text) })
    }
}

/// The hash of a secret that was shown, if it can be one of this purpose at all.
pub fn shown(purpose: Purpose, text: &str) -> Option<Hash> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(purpose.prefix())?).map(Zeroizing::new);
    (bytes.ok()?.len() == BYTES).then(|| Sha256::digest(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_hash_and_only_for_its_purpose() {
        let made = Opaque::new(Purpose::Refresh).unwrap();
        assert_eq!(shown(Purpose::Refresh, &made.text), Some(made.hash));
        assert_eq!(shown(Purpose::Invitation, &made.text), None);
        for odd in ["", "blr_", "blr_x", &format!("{}x", *made.text), &made.text[1..]] {
            assert_eq!(shown(Purpose::Refresh, odd), None, "{odd:?}");
        }
        assert_ne!(Opaque::new(Purpose::Refresh).unwrap().hash, made.hash);
        assert_eq!(format!("{made:?}"), "Opaque(redacted)");
    }
}
