//! The words that settings are made of.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

/// A text that is never printed: `Debug` and [`fmt::Display`] show that it is there, and no more of it than where
/// it points.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl fmt::Display for Secret {
    /// A URL without its password and its parameters; anything else not at all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split_once("://").map(|(scheme, rest)| {
            let (rest, parameters) =
                rest.split_once('?').map_or((rest, ""), |(a, _)| (a, "?redacted"));
            // The last @ ends the login: a password may hold one that nobody has escaped.
            let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
            let user = login.split_once(':').map_or(login, |(user, _)| user);
            let at = match login.len().cmp(&user.len()) {
                std::cmp::Ordering::Greater => ":redacted@",
                _ if login.is_empty() => "",
                _ => "@",
            };
            format!("{scheme}://{user}{at}{place}{parameters}")
        });
        f.write_str(shown.as_deref().unwrap_or("redacted"))
    }
}

/// Where ticks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Market {
    /// The operator posts them.
    Feed,
    /// A file of ticks, played back.
    Recorded(PathBuf),
    /// Made from a seed.
    Simulated,
}

impl FromStr for Market {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("recorded:")) {
            ("feed", _) => Ok(Self::Feed),
            ("simulated", _) => Ok(Self::Simulated),
            (_, Some(file)) if !file.is_empty() => Ok(Self::Recorded(file.into())),
            _ => Err("a market is feed, recorded:FILE or simulated"),
        }
    }
}

/// When the market is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hours {
    /// In the sessions of the New York Stock Exchange, by the market's clock.
    Nyse,
    /// Day and night.
    Always,
}

/// Which ticks go on the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Record {
    /// Those of symbols with working orders, held symbols, and underlyings of held options.
    Working,
    /// Every tick.
    All,
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Those whom the operator invites.
    Invite,
    /// Nobody: the operator makes users.
    Closed,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_without_its_password() {
        for (secret, shown) in [
            ("postgres://u:p%40ss@h:5432/d", "postgres://u:redacted@h:5432/d"),
            ("postgres://u:p@ss@h/d?password=x", "postgres://u:redacted@h/d?redacted"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://h/d", "postgres://h/d"),
            ("host=h password=p", "redacted"),
        ] {
            let secret: Secret = secret.parse().unwrap();
            assert_eq!(secret.to_string(), shown);
            assert_eq!(format!("{secret:?}"), format!("Secret({shown})"));
        }
    }

    #[test]
    fn markets_are_read_and_nothing_like_them() {
        assert_eq!("recorded:a b.gz".parse(), Ok(Market::Recorded("a b.gz".into())));
        for wrong in ["recorded:", "recorded", "live", ""] {
            assert!(wrong.parse::<Market>().is_err(), "{wrong}");
        }
    }
}
