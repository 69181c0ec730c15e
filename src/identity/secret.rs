//! Secrets in files of the data directory: made by the first start, readable by their owner alone.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::database::data_directory;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or made.
    #[error("the secret in {path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The file can be read by others.
    #[error("the secret in {path} can be read by others: chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file holds nothing.
    #[error("{path} is empty: remove the file to get a new secret")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else than it should.
    #[error(
        "{path} does not hold a secret that was made here: restore it, or remove it to get a new one"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A token of the operator's that is too short.
    #[error(
        "the operator's token of {from} has {length} characters, and one below {least} could be guessed: make one with \
         `openssl rand -hex 32`, or set none and leave it to the file that the first start makes"
    )]
    Short {
        /// Where it stands.
        from: String,
        /// Its length, in characters.
        length: usize,
        /// The shortest that is taken.
        least: usize,
    },
    /// A token of the operator's of too few different characters.
    #[error(
        "the operator's token of {from} has {different} different characters, and one below {least} could be guessed: make \
         one with `openssl rand -hex 32`, or set none and leave it to the file that the first start makes"
    )]
    Monotonous {
        /// Where it stands.
        from: String,
        /// How many there are.
        different: usize,
        /// How many there have to be.
        least: usize,
    },
    /// A token of the operator's that stands in examples.
    #[error(
        "the operator's token of {from} is one of the first that anybody tries: make one with `openssl rand -hex 32`, or set \
         none and leave it to the file that the first start makes"
    )]
    Example {
        /// Where it stands.
        from: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// The secret in this file, made with 32 random bytes if there is none yet.
///
/// # Errors
/// The file cannot be read or made, holds nothing, or may be read by others.
pub fn load(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    if !path.try_exists().map_err(failed)? {
        make(path, &random()?).map_err(failed)?;
    }
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned() });
    }
    let secret = fs::read_to_string(path).map_err(failed)?.trim().to_owned();
    if secret.is_empty() {
        return Err(SecretError::Empty { path: path.to_owned() });
    }
    Ok(secret)
}

fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A new secret of 32 random bytes in this file, in the place of the one that is there.
///
/// # Errors
/// No random bytes, or the file cannot be written.
pub fn replace(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let secret = random()?;
    let unfinished = write(path, &secret).map_err(failed)?;
    fs::rename(&unfinished, path).and_then(|()| synced(path)).map_err(failed)?;
    Ok(secret)
}

/// Writes the file whole or not at all; when another server makes it at the same moment, the first one wins.
fn make(path: &Path, secret: &str) -> io::Result<()> {
    let unfinished = write(path, secret)?;
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => synced(path),
    }
}

/// Writes a file beside `path` that may take its name.
fn write(path: &Path, secret: &str) -> io::Result<PathBuf> {
    data_directory::make(directory(path))?;
    let unfinished = path.with_extension(format!("new.{}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    Ok(unfinished)
}

/// Sees that the name of the file lasts.
fn synced(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

fn directory(path: &Path) -> &Path {
    path.parent().expect("the file lies in a directory")
}

/// A directory of one test.
#[cfg(test)]
pub struct Scratch(pub PathBuf);

#[cfg(test)]
impl Scratch {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("blotter-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

#[cfg(test)]
impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_load_makes_a_private_file_and_the_second_reads_it() {
        let scratch = Scratch::new("secret");
        let directory = scratch.0.join("data");
        let path = directory.join("a.secret");
        let secret = load(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(URL_SAFE_NO_PAD.decode(&secret).unwrap().len(), 32);
        assert_eq!(load(&path).unwrap(), secret);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_empty_is_refused() {
        let scratch = Scratch::new("exposed");
        let path = scratch.0.join("a.secret");
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load(&path), Err(SecretError::Exposed { .. })));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "\n").unwrap();
        assert!(matches!(load(&path), Err(SecretError::Empty { .. })));
    }
}
