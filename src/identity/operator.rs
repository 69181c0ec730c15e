//! The operator's bearer token: it may do everything.
//!
//! It comes from `BLOTTER_OPERATOR_TOKEN`, else from the file `operator.token` in the data directory, which the
//! first start makes with 32 random bytes. Only its hash stays in memory, and no log ever shows it. Comparing
//! costs one SHA-256 and takes the same time whatever is presented.

use std::fs::{self, File, OpenOptions, Permissions};
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The file's name in the data directory.
const FILE: &str = "operator.token";

/// Why there is no operator's token.
#[derive(Debug, thiserror::Error)]
pub enum OperatorTokenError {
    /// The file cannot be read or made.
    #[error("the operator's token {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The file can be read by others.
    #[error("the operator's token {path} can be read by others: chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file holds nothing.
    #[error("the operator's token {path} is empty: remove the file to get a new one")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Knows the operator's token when it sees it.
#[derive(Clone)]
pub struct OperatorToken([u8; 32]);

impl OperatorToken {
    /// The token `given` (from the environment), else that of `data_dir`, made when there is none.
    ///
    /// # Errors
    /// See [`OperatorTokenError`].
    pub fn load(given: Option<&str>, data_dir: &Path) -> Result<Self, OperatorTokenError> {
        Self::text(given, data_dir).map(|token| Self::new(&token))
    }

    /// The token itself, for whoever calls a server of `data_dir` as the operator; found, or made, as
    /// [`OperatorToken::load`] does.
    ///
    /// # Errors
    /// See [`OperatorTokenError`].
    pub fn text(given: Option<&str>, data_dir: &Path) -> Result<String, OperatorTokenError> {
        match given.filter(|token| !token.is_empty()) {
            Some(token) => Ok(token.to_owned()),
            None => from_file(&data_dir.join(FILE)),
        }
    }

    fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether `presented` is the token, in constant time.
    pub fn is(&self, presented: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let different =
            self.0.iter().zip(presented).fold(0, |found, (a, b)| black_box(found | (a ^ b)));
        different == 0
    }
}

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorToken(redacted)")
    }
}

fn from_file(path: &Path) -> Result<String, OperatorTokenError> {
    let failed = |source| OperatorTokenError::File { path: path.to_owned(), source };
    if !path.try_exists().map_err(failed)? {
        make(path, &random()?).map_err(failed)?;
    }
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(OperatorTokenError::Exposed { path: path.to_owned() });
    }
    let token = fs::read_to_string(path).map_err(failed)?.trim().to_owned();
    if token.is_empty() {
        return Err(OperatorTokenError::Empty { path: path.to_owned() });
    }
    Ok(token)
}

fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Writes the file whole or not at all; when another server makes it at the same moment, the first one wins.
fn make(path: &Path, token: &str) -> io::Result<()> {
    let directory = path.parent().expect("the file lies in a directory");
    fs::create_dir_all(directory)?;
    let unfinished = path.with_extension(format!("token.{}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(directory)?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("blotter-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_first_start_makes_a_private_file_and_the_second_reads_it() {
        let scratch = Scratch::new("token");
        let directory = scratch.0.join("data");
        OperatorToken::load(None, &directory).unwrap();
        let path = directory.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let token = fs::read_to_string(&path).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(token.trim()).unwrap().len(), 32);
        let operator = OperatorToken::load(None, &directory).unwrap();
        assert!(operator.is(token.trim()));
        assert!(!operator.is(""));
        assert!(!operator.is(&token.trim()[1..]));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_given_token_wins_and_an_empty_one_is_none() {
        let scratch = Scratch::new("given");
        let operator = OperatorToken::load(Some("secret"), &scratch.0).unwrap();
        assert!(operator.is("secret"));
        assert!(!scratch.0.join(FILE).exists());
        assert!(!OperatorToken::load(Some(""), &scratch.0).unwrap().is(""));
        assert_eq!(format!("{operator:?}"), "OperatorToken(redacted)");
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_empty_is_refused() {
        let scratch = Scratch::new("exposed");
        let path = scratch.0.join(FILE);
        fs::write(&path, "token").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let load = || OperatorToken::load(None, &scratch.0);
        assert!(matches!(load(), Err(OperatorTokenError::Exposed { .. })));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "\n").unwrap();
        assert!(matches!(load(), Err(OperatorTokenError::Empty { .. })));
    }
}
