//! The Ed25519 key that a process signs its checkpoints with.
//!
//! It lies in the data directory, outside the database, in the text form of C2SP signed notes
//! (`PRIVATE+KEY+name+id+base64`), readable by its owner alone. It is made at the first start and its public half is
//! logged when the process first takes over. The name is `blotter-` and the first 8 bytes of the public key in
//! hexadecimal, so that two processes never share one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{SigningKey, VerifyingKey};
use signed_note::{Signer, StandardSigner, StandardVerifier, key_id, new_ed25519_verifier_key};

use crate::database::data_directory;

/// The file of the key in the data directory.
pub const KEY_FILE: &str = "signing.key";

/// The algorithm byte of Ed25519 in keys of signed notes.
const ED25519: u8 = 1;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the signing key {path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is there and holds no key.
    #[error(
        "{path} does not hold a signing key: restore it from a backup, or move it away to begin a new one"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Others could read the key.
    #[error(
        "{path} may be read by others (mode {mode:o}): the key in it proves nothing; chmod 600 and replace it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a signing key: {0}")]
    Random(getrandom::Error),
}

/// A process's key.
pub struct ProcessKey {
    signer: StandardSigner,
    public: VerifyingKey,
}

impl std::fmt::Debug for ProcessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessKey").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl ProcessKey {
    /// The key of this data directory, made if there is none yet.
    ///
    /// # Errors
    /// The file cannot be read or made, holds no key, or may be read by others.
    pub fn open_or_create(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(KEY_FILE);
        let failed = |source| KeyError::File { path: path.clone(), source };
        match File::open(&path) {
            Ok(mut file) => {
                let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(KeyError::Exposed { path, mode });
                }
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed)?;
                Self::read(text.trim_end()).ok_or(KeyError::Malformed { path })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(KeyError::Random)?;
                let text = encode(&SigningKey::from_bytes(&seed));
                store(data_dir, &path, &text).map_err(failed)?;
                Self::read(&text).ok_or(KeyError::Malformed { path })
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let signer = StandardSigner::new(text).ok()?;
        let secret = BASE64.decode(text.splitn(5, '+').last()?).ok()?;
        let seed: [u8; 32] = secret.get(1..)?.try_into().ok()?;
        Some(Self { signer, public: SigningKey::from_bytes(&seed).verifying_key() })
    }

    /// The name that its checkpoints are signed under, for `WriterTookOver`.
    pub fn name(&self) -> &str {
        self.signer.name()
    }

    /// The public half, 32 bytes in base64, for `WriterTookOver`.
    pub fn public_key(&self) -> String {
        BASE64.encode(self.public.as_bytes())
    }

    pub(super) fn signer(&self) -> &StandardSigner {
        &self.signer
    }

    pub(super) fn verifier(&self) -> Option<StandardVerifier> {
        verifier(self.name(), &self.public_key())
    }
}

/// What verifies checkpoints of the key that a `WriterTookOver` names; `None` if it names none.
pub(super) fn verifier(name: &str, public_key: &str) -> Option<StandardVerifier> {
    let bytes: [u8; 32] = BASE64.decode(public_key).ok()?.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&bytes).ok()?;
    StandardVerifier::new(&new_ed25519_verifier_key(name, &key)).ok()
}

fn encode(key: &SigningKey) -> String {
    let public = key.verifying_key();
    let hex: String = public.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("blotter-{hex}");
    let id = key_id(&name, &[&[ED25519], public.as_bytes().as_slice()].concat());
    let secret = BASE64.encode([&[ED25519], key.to_bytes().as_slice()].concat());
    format!("PRIVATE+KEY+{name}+{id:08x}+{secret}")
}

/// Writes the key beside its place and moves it there, so that a crash leaves a whole key or none. A data
/// directory that is not there yet is made.
fn store(data_dir: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    data_directory::make(data_dir)?;
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(data_dir)?.sync_all()
}
