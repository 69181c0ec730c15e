//! The words of access: scopes of tokens, roles of grants, limits of tokens, reasons of denials.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::Money;

/// A word that is none of those expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {known}")]
pub struct UnknownWord {
    /// What was found.
    pub word: String,
    /// What there is.
    pub known: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every one, in the order of the documents.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in fields, columns and events; never renamed.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|known| known.word() == text).ok_or_else(|| UnknownWord {
                    word: text.to_owned(),
                    known: [$($word),+].join(", "),
                })
            }
        }
    };
}

words! {
    /// What a token may be used for. It never permits more than its user may.
    Scope {
        /// Read accounts, orders, positions and what follows from them.
        LedgerRead "ledger:read",
        /// Ask what an order would come to.
        OrdersPreview "orders:preview",
        /// Place and replace orders, close positions.
        OrdersWrite "orders:write",
        /// Cancel orders.
        OrdersCancel "orders:cancel",
        /// Read the market.
        MarketRead "market:read",
        /// Read events, proofs and verdicts.
        AuditRead "audit:read",
        /// Open and reset accounts, move money, change policies, give and take grants.
        Admin "admin",
    }
}

words! {
    /// What a grant permits on its account.
    GrantRole {
        /// Everything but to forget the account.
        Owner "owner",
        /// Read, preview, place, replace, cancel and close.
        Trader "trader",
        /// Read.
        Viewer "viewer",
        /// Read, and check: events, proofs, exports, verdicts.
        Auditor "auditor",
    }
}

words! {
    /// How an offer of a role ended that was not accepted.
    OfferEnd {
        /// Who was offered it did not want it.
        Declined "declined",
        /// It was taken back.
        Withdrawn "withdrawn",
        /// Nobody accepted it in time.
        Lapsed "lapsed",
        /// One of the two was forgotten.
        Forgotten "forgotten",
    }
}

words! {
    /// Why something that was reachable was not permitted.
    Denial {
        /// The role on the account does not permit it.
        Role "role",
        /// The token lacks the scope.
        Scope "scope",
        /// No token may do it, whatever its scopes.
        SessionOnly "session_only",
        /// The operator alone may do it.
        OperatorOnly "operator_only",
        /// It goes beyond a limit of the token.
        TokenLimit "token_limit",
        /// The token is halted.
        TokenHalted "token_halted",
    }
}

/// What a token may do at the most, beside its scopes. What is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenLimits {
    /// The highest worst cost of one order, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_order_notional: Option<Money>,
    /// The highest worst cost of all orders of one day of New York, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_daily_notional: Option<Money>,
    /// Orders in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_orders_per_minute: Option<u32>,
    /// The only symbols that it may trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols: Option<BTreeSet<String>>,
}
