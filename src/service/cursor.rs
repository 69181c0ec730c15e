//! Cursors of lists: where the next page begins, opaque and authenticated.
//!
//! A cursor is good for the list, the filters and the caller that it was given for, as long as the data directory
//! keeps its key: across restarts, but not on a server with another data directory. Costs one SHA-256.

use std::hint::black_box;
use std::path::Path;

use aggregates::id::derived_uuid;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::ServiceError;
use crate::identity::secret::{self, SecretError};

/// The file of the key in the data directory.
const FILE: &str = "cursor.key";
/// Bytes of a cursor that authenticate the rest.
const TAG: usize = 16;

/// Makes cursors and knows its own.
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// The key of this data directory, made by the first start.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn load(data_dir: &Path) -> Result<Self, SecretError> {
        Ok(Self::of(&secret::load(&data_dir.join(FILE))?))
    }

    /// The key that follows from a secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// The cursor for what follows `after` in `list`, which names the list, its filters and its caller.
    pub fn seal(&self, list: &str, after: &str) -> String {
        let mut bytes = self.tag(list, after).to_vec();
        bytes.extend_from_slice(after.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a cursor of `list` stands for.
    ///
    /// # Errors
    /// This server did not give it for this list.
    pub fn open(&self, list: &str, cursor: &str) -> Result<String, ServiceError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ServiceError::BadCursor)?;
        let (tag, after) = bytes.split_at_checked(TAG).ok_or(ServiceError::BadCursor)?;
        let after = std::str::from_utf8(after).map_err(|_| ServiceError::BadCursor)?;
        let expected = self.tag(list, after);
        let different =
            tag.iter().zip(expected).fold(0, |found, (a, b)| black_box(found | (a ^ b)));
        if different == 0 { Ok(after.to_owned()) } else { Err(ServiceError::BadCursor) }
    }

    /// Every part is hashed behind its length, so that no tag can be extended to that of a longer text.
    fn tag(&self, list: &str, after: &str) -> [u8; TAG] {
        let parts: [&[u8]; 3] = [&self.0, list.as_bytes(), after.as_bytes()];
        derived_uuid("blotter/cursor", &parts).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::secret::Scratch;

    #[test]
    fn a_cursor_opens_for_its_own_list_alone_unchanged_and_after_a_restart() {
        let (here, there) = (Scratch::new("cursors"), Scratch::new("other-cursors"));
        let key = CursorKey::load(&here.0).unwrap();
        let cursor = key.seal("orders/open", "42");
        assert_eq!(key.open("orders/open", &cursor).unwrap(), "42");
        let again = CursorKey::load(&here.0).unwrap();
        assert_eq!(again.open("orders/open", &cursor).unwrap(), "42");
        assert!(key.open("orders/closed", &cursor).is_err());
        assert!(CursorKey::load(&there.0).unwrap().open("orders/open", &cursor).is_err());
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(key.open("orders/open", &changed).is_err(), "{changed}");
        }
        assert!(key.open("orders/open", "").is_err());
    }
}
