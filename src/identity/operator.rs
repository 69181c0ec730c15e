//! The operator's bearer token: it may do everything.
//!
//! It comes from `BLOTTER_OPERATOR_TOKEN`, else from the file `operator.token` in the data directory, which the
//! first start makes with 32 random bytes. With one that is tried first the server does not start, and of one that could be guessed it warns.
//! Only its hash stays in memory, and no log ever shows it. Comparing costs one SHA-256 and takes the same time whatever is presented.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::passwords::why_guessable;
use super::secret::{self, SecretError};

/// The file's name in the data directory.
const FILE: &str = "operator.token";
/// The shortest token, in characters.
const SHORTEST: usize = 8;
/// The shortest that is not warned of: so many hex digits are 16 random bytes.
const SAFE: usize = 32;
/// The fewest different characters.
const DIFFERENT: usize = 4;
/// What stands in examples everywhere, and is tried first.
const EXAMPLES: [&str; 5] = ["changeme", "change-me", "password", "12345678", "00000000"];

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
        let (from, token) = match given.filter(|token| !token.is_empty()) {
            Some(token) => ("BLOTTER_OPERATOR_TOKEN".into(), token.to_owned()),
            None => {
                let path = data_dir.join(FILE);
                (path.display().to_string(), secret::load(&path)?)
            }
        };
        let (length, least) = (token.chars().count(), SHORTEST);
        if length < least {
            return Err(SecretError::Short { from, length, least });
        }
        let (different, least) = (token.chars().collect::<BTreeSet<_>>().len(), DIFFERENT);
        if different < least {
            return Err(SecretError::Monotonous { from, different, least });
        }
        let tried = token.to_ascii_lowercase();
        if EXAMPLES.iter().any(|example| tried.replace(example, "").is_empty()) {
            return Err(SecretError::Example { from });
        }
        let why = why_guessable(&token, &[]);
        if length < SAFE || why.is_some() {
            let why = why.unwrap_or_default();
            tracing::warn!(
                from,
                length,
                why,
                "the operator's token could be guessed: `openssl rand -hex 32` makes one that cannot"
            );
        }
        Ok(token)
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

    /// As short as a token is that nobody is warned of.
    const GIVEN: &str = "5f0c71e29ab4836d1d9e40c7b2f85a36";

    #[test]
    fn a_given_token_wins_and_an_empty_one_is_none() {
        let scratch = Scratch::new("given");
        let operator = OperatorToken::load(Some(GIVEN), &scratch.0).unwrap();
        assert!(operator.is(GIVEN));
        assert!(!scratch.0.join(FILE).exists());
        assert!(!OperatorToken::load(Some(""), &scratch.0).unwrap().is(""));
        assert_eq!(format!("{operator:?}"), "OperatorToken(redacted)");
    }

    #[test]
    fn a_token_that_is_tried_first_is_not_taken_wherever_it_comes_from() {
        let scratch = Scratch::new("short");
        for (given, named) in [
            ("x", "has 1 characters, and one below 8"),
            (&GIVEN[..7], "has 7 characters"),
            ("aaaaaaaaaaaa", "has 1 different characters, and one below 4"),
            (&"abc".repeat(20), "has 3 different characters"),
            ("        ", "has 1 different characters"),
            ("Password", "is one of the first that anybody tries"),
            (&"changeme".repeat(5), "is one of the first that anybody tries"),
        ] {
            let told = OperatorToken::load(Some(given), &scratch.0).unwrap_err().to_string();
            assert!(
                told.contains("BLOTTER_OPERATOR_TOKEN") && told.contains("rand -hex 32"),
                "{told}"
            );
            assert!(
                told.contains(named) && (given.len() < 8 || !told.contains(given)),
                "{given}: {told}"
            );
        }
        OperatorToken::load(None, &scratch.0).unwrap();
        OperatorToken::load(Some(&GIVEN[..8]), &scratch.0).unwrap();
        std::fs::write(scratch.0.join(FILE), "chang\n").unwrap();
        let told = OperatorToken::load(None, &scratch.0).unwrap_err().to_string();
        assert!(told.contains(FILE) && told.contains("has 5 characters"), "{told}");
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
