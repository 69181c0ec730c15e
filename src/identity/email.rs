//! Addresses that users log in with: one spelling each, so that an address belongs to one user.

/// The longest address, in bytes (RFC 5321).
pub const LONGEST: usize = 254;
/// The longest part before the `@`.
const LONGEST_LOCAL: usize = 64;

/// An address in its one spelling: lower case, ASCII. Shown in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "email has to be an address such as ada@example.org, of at most {LONGEST} ASCII characters without spaces"
)]
pub struct NoEmail;

impl Email {
    /// Reads an address. Whether mail arrives there is not asked.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &str) -> Result<Self, NoEmail> {
        let (local, domain) = text.rsplit_once('@').ok_or(NoEmail)?;
        let of_local =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
        let of_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let sound = text.len() <= LONGEST
            && (1..=LONGEST_LOCAL).contains(&local.len())
            && local.bytes().all(of_local)
            && local.split('.').all(|part| !part.is_empty())
            && domain.contains('.')
            && domain.split('.').all(of_label);
        sound.then(|| Self(text.to_ascii_lowercase())).ok_or(NoEmail)
    }

    /// The address.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Words that a password of its user may not lean on.
    pub fn words(&self) -> Vec<String> {
        let parts = self.0.split(['@', '.']).filter(|part| part.len() > 2).map(str::to_owned);
        std::iter::once(self.0.clone()).chain(parts).collect()
    }
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Email(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for text in ["ada@example.org", "Ada@Example.ORG", "ADA@EXAMPLE.ORG"] {
            assert_eq!(Email::read(text).unwrap().text(), "ada@example.org");
        }
        assert_eq!(Email::read("a.b+c@x-y.example").unwrap().text(), "a.b+c@x-y.example");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}.org", "b.".repeat(130));
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@localhost",
            "ada@example.org.",
            "ada@.org",
            "a b@example.org",
            "ada@exa mple.org",
            "ada@example.org\nBcc: x@y.z",
            "a@b@example.org",
            ".ada@example.org",
            "a..b@example.org",
            "ada@-x.org",
            "\u{430}da@example.org",
            &long,
            &longer,
        ] {
            assert_eq!(Email::read(text), Err(NoEmail), "{text:?}");
        }
        assert_eq!(format!("{:?}", Email::read("ada@example.org").unwrap()), "Email(redacted)");
    }
}
