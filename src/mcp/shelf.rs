//! Which tools a server offers: all of them, some toolsets, only those that read.
//!
//! Some hosts take 40 tools at the most, and a model chooses better among fewer. A request may narrow what its server
//! offers by the headers [`TOOLSETS_HEADER`] and [`READ_ONLY_HEADER`]; nothing widens it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;

/// Narrows one request to some toolsets, by their words with commas between them.
pub const TOOLSETS_HEADER: &str = "x-mcp-toolsets";
/// Narrows one request to tools that read, when it is `true`.
pub const READ_ONLY_HEADER: &str = "x-mcp-readonly";

macro_rules! toolsets {
    ($($(#[$doc:meta])* $variant:ident $word:literal),+ $(,)?) => {
        /// A group of tools that are wanted together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Toolset { $($(#[$doc])* $variant),+ }

        impl Toolset {
            /// Every toolset, in the order in which their tools are listed.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word on the command line and in answers.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

toolsets! {
    /// The server itself.
    System "system",
    /// Accounts and what they hold.
    Account "account",
    /// Placing stock orders.
    StockOrders "stock_orders",
    /// Placing orders of options, and exercising them.
    OptionOrders "option_orders",
    /// Following, changing and ending orders.
    OrderManagement "order_management",
    /// The risk of an account, and what orders do to it.
    Risk "risk",
    /// What the market says.
    MarketData "market_data",
    /// What the market and a model say of options.
    OptionsData "options_data",
    /// The log and its proof.
    Audit "audit",
}

/// Why a list of toolsets cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no toolset {0:?}: take all, or some of {known} with commas between them", known = words())]
pub struct UnknownToolset(String);

fn words() -> String {
    let words: Vec<_> = Toolset::ALL.iter().map(|toolset| toolset.word()).collect();
    words.join(", ")
}

impl FromStr for Toolset {
    type Err = UnknownToolset;

    /// Reads a word; its parts may be joined by `_`, `-` or a space.
    fn from_str(text: &str) -> Result<Self, UnknownToolset> {
        let word = text.trim().to_ascii_lowercase().replace(['-', ' '], "_");
        let found = Self::ALL.iter().find(|toolset| toolset.word() == word);
        found.copied().ok_or_else(|| UnknownToolset(text.to_owned()))
    }
}

/// Some toolsets: `all`, or their words with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolsets(BTreeSet<Toolset>);

impl Default for Toolsets {
    fn default() -> Self {
        Self(Toolset::ALL.iter().copied().collect())
    }
}

impl FromStr for Toolsets {
    type Err = UnknownToolset;

    fn from_str(text: &str) -> Result<Self, UnknownToolset> {
        if text.trim() == "all" {
            return Ok(Self::default());
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Toolsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|toolset| toolset.word()).collect();
        f.write_str(&words.join(","))
    }
}

/// What is on offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Of which toolsets.
    pub toolsets: Toolsets,
    /// Only tools that change nothing.
    pub read_only: bool,
}

impl Shelf {
    /// Whether a tool of `toolset` is on offer, that reads or does not.
    pub fn offers(&self, toolset: Toolset, reads: bool) -> bool {
        self.toolsets.0.contains(&toolset) && (reads || !self.read_only)
    }

    /// What is left of it for a request with these headers.
    ///
    /// # Errors
    /// A header cannot be read. Then nothing may be offered: a word that was meant to narrow would not.
    pub fn narrowed(&self, headers: &HeaderMap) -> Result<Self, UnknownToolset> {
        let text = |name| {
            headers
                .get(name)
                .map(|value| value.to_str().map_err(|_| UnknownToolset(format!("{value:?}"))))
        };
        let mut shelf = self.clone();
        if let Some(given) = text(TOOLSETS_HEADER).transpose()? {
            let wanted: Toolsets = given.parse()?;
            shelf.toolsets.0.retain(|toolset| wanted.0.contains(toolset));
        }
        if let Some(given) = text(READ_ONLY_HEADER).transpose()? {
            shelf.read_only |= !given.eq_ignore_ascii_case("false");
        }
        Ok(shelf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolsets_are_read_by_their_words_and_written_so() {
        assert_eq!("all".parse(), Ok(Toolsets::default()));
        let two: Toolsets = "order-management, account".parse().unwrap();
        assert_eq!(two.to_string(), "account,order_management");
        assert_eq!(two.to_string().parse(), Ok(two));
        for wrong in ["", "accounts", "account,", "all,account"] {
            assert!(wrong.parse::<Toolsets>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_request_narrows_and_never_widens() {
        let server = Shelf { toolsets: "account,audit".parse().unwrap(), read_only: true };
        let mut headers = HeaderMap::new();
        assert_eq!(server.narrowed(&headers), Ok(server.clone()));
        headers.insert(TOOLSETS_HEADER, "account,stock_orders".parse().unwrap());
        headers.insert(READ_ONLY_HEADER, "false".parse().unwrap());
        let narrowed = server.narrowed(&headers).unwrap();
        assert_eq!(narrowed, Shelf { toolsets: "account".parse().unwrap(), read_only: true });
        assert!(narrowed.offers(Toolset::Account, true));
        assert!(!narrowed.offers(Toolset::Account, false));
        assert!(!narrowed.offers(Toolset::StockOrders, false));
        headers.insert(TOOLSETS_HEADER, "acount".parse().unwrap());
        assert!(server.narrowed(&headers).is_err());
    }
}
