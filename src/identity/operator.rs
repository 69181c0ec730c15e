//! The operator's bearer token: it may do everything.
//!
//! It comes from `BLOTTER_OPERATOR_TOKEN`, else from the file `operator.token` in the data directory, which the
//! first start makes with 32 random bytes. Only its hash stays in memory, and no log ever shows it. Comparing
//! costs one SHA-256 and takes the same time whatever is presented.

use std::hint::black_box;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::secret::{self, SecretError};

/// The file's name in the data directory.
const FILE: &str = "operator.token";

/// Knows the operator's token when it sees it.
#[derive(Clone)]
pub struct OperatorToken([u8; 32]);

impl OperatorToken {
    /// The token `given` (from the environment), else that of `data_dir`, made when there is none.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn load(given: Option<&str>, data_dir: &Path) -> Result<Self, SecretError> {
        Self::text(given, data_dir).map(|token| Self::new(&token))
    }

    /// The token itself, for whoever calls a server of `data_dir` as the operator; found, or made, as
    /// [`OperatorToken::load`] does.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn text(given: Option<&str>, data_dir: &Path) -> Result<String, SecretError> {
        match given.filter(|token| !token.is_empty()) {
            Some(token) => Ok(token.to_owned()),
            None => secret::load(&data_dir.join(FILE)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::secret::Scratch;

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
    fn the_first_start_makes_a_token_and_the_second_knows_it() {
        let scratch = Scratch::new("token");
        OperatorToken::load(None, &scratch.0).unwrap();
        let token = std::fs::read_to_string(scratch.0.join(FILE)).unwrap();
        let operator = OperatorToken::load(None, &scratch.0).unwrap();
        assert!(operator.is(token.trim()));
        assert!(!operator.is(""));
        assert!(!operator.is(&token.trim()[1..]));
    }
}
