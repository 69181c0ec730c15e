//! Checkpoints: what the log was, signed, as C2SP tlog-checkpoint notes.
//!
//! ```text
//! blotter/6f1d…            the log: its first leaf, see below
//! 42                        the number of events
//! mB0x…=                    the root of the tree over their leaves, base64
//!
//! — blotter-04c7… Nv1X…     an Ed25519 signature of the three lines above
//! ```
//!
//! The origin is `blotter/` and the first 16 bytes of the log's first leaf in hexadecimal. That leaf covers 16 random
//! bytes and the first writer's key, so no two logs share an origin, nothing has to be stored for it, and a log whose
//! first event was exchanged says so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use signed_note::{Note, NoteError, StandardVerifier, Verifier, VerifierList};

use super::key::ProcessKey;
use crate::ledger::proof::Frontier;

/// A state of a log: so many events, under this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// The number of events, which is the position of the last one.
    pub size: u64,
    /// The root of the tree over their leaves.
    pub root: [u8; 32],
}

/// Why a note is not a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note.
    #[error("not a signed note: {0}")]
    Note(#[from] NoteError),
    /// A note that states something else.
    #[error("a checkpoint has an origin, a size and a root of 32 bytes in base64, each on a line")]
    Body,
}

/// The origin of the log that begins with this leaf.
pub fn origin(first_leaf: &[u8; 32]) -> String {
    let hex: String = first_leaf[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("blotter/{hex}")
}

impl Checkpoint {
    /// The state of the log `origin` whose tree this is.
    pub fn of(origin: String, tree: &Frontier) -> Self {
        Self { origin, size: tree.size(), root: tree.root() }
    }

    /// The three lines that are signed.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// The signed note.
    ///
    /// # Errors
    /// The signer failed.
    pub fn sign(&self, key: &ProcessKey) -> Result<String, CheckpointError> {
        let mut note = Note::new(self.body().as_bytes(), &[])?;
        note.add_sigs(&[key.signer()])?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Body)
    }

    /// What a note states, whoever signed it.
    ///
    /// # Errors
    /// It is no note, or no checkpoint.
    pub fn read(note: &str) -> Result<Self, CheckpointError> {
        let text = Note::from_bytes(note.as_bytes())?;
        let text = std::str::from_utf8(text.text()).map_err(|_| CheckpointError::Body)?;
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Body);
        };
        let root = BASE64.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        let plain = size == "0" || !size.starts_with(['0', '+']);
        match (size.parse(), root) {
            (Ok(size), Some(root)) if plain && !origin.is_empty() => {
                Ok(Self { origin: origin.to_owned(), size, root })
            }
            _ => Err(CheckpointError::Body),
        }
    }
}

/// Whether a note is signed by one of these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// By one of them.
    Known,
    /// By none of them.
    Unknown,
    /// In the name of one of them, but not by it.
    Forged,
}

/// Looks at the signatures of a note.
///
/// # Errors
/// It is no note.
pub(super) fn signed(note: &str, keys: &[StandardVerifier]) -> Result<Signed, CheckpointError> {
    let keys = keys.iter().cloned().map(|key| Box::new(key) as Box<dyn Verifier>).collect();
    match Note::from_bytes(note.as_bytes())?.verify(&VerifierList::new(keys)) {
        Ok(_) => Ok(Signed::Known),
        Err(NoteError::UnverifiedNote) => Ok(Signed::Unknown),
        Err(NoteError::InvalidSignature { .. } | NoteError::MismatchedVerifier) => {
            Ok(Signed::Forged)
        }
        Err(other) => Err(other.into()),
    }
}

/// The notes of a file that holds one after another, each with the newline after its signatures, and the number of
/// bytes that they take: what follows them is a note that was cut short.
pub fn split_notes(bytes: &[u8]) -> (Vec<&str>, usize) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut notes = Vec::new();
    let (mut start, mut at, mut signatures) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        let is_signature = line.starts_with('\u{2014}') && line.ends_with('\n');
        if signatures && !is_signature {
            notes.push(&text[start..at]);
            start = at;
        }
        signatures = is_signature;
        at += line.len();
    }
    if signatures {
        notes.push(&text[start..at]);
        start = at;
    }
    (notes, start)
}
