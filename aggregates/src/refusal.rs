//! Why a command was not carried out, in the words of both faces.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of answer a refusal is: faces map it to a status, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The command makes no sense by itself: a price that its type does not take, a quantity of 0.
    Invalid,
    /// There is no such thing, or not for this caller: the two read the same.
    NotFound,
    /// The thing is not in a state that permits it: cancelling a filled order.
    Conflict,
    /// A rule of the business says no: buying power, limits, trading state.
    Business,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $word:literal $kind:ident),+ $(,)?) => {
        /// The machine words of refusals: the same over REST and MCP, never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum RefusalCode { $($(#[$doc])* $variant),+ }

        impl RefusalCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The machine word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What kind of answer it is.
            pub const fn kind(self) -> RefusalKind {
                match self { $(Self::$variant => RefusalKind::$kind),+ }
            }
        }
    };
}

codes! {
    /// An amount out of bounds, too precise or not exact.
    InvalidAmount "invalid_amount" Invalid,
    /// A field that the order's type lacks or does not take, or a price off its tick.
    InvalidOrder "invalid_order" Invalid,
    /// A kind of order or account that this version does not handle.
    Unsupported "unsupported" Invalid,
    /// No such symbol.
    UnknownSymbol "unknown_symbol" Invalid,
    /// The market has no time yet: no tick has come.
    MarketClockUnset "market_clock_unset" Invalid,
    /// No such account, or not for this caller.
    AccountNotFound "account_not_found" NotFound,
    /// No such order, or not for this caller.
    OrderNotFound "order_not_found" NotFound,
    /// No such instrument.
    InstrumentNotFound "instrument_not_found" NotFound,
    /// No such user, or not for this caller.
    UserNotFound "user_not_found" NotFound,
    /// The account exists already.
    AccountExists "account_exists" Conflict,
    /// The order is in a terminal state that forbids it.
    OrderNotOpen "order_not_open" Conflict,
    /// The order changed since the caller looked.
    OrderChanged "order_changed" Conflict,
    /// The corporate action was applied already.
    AlreadyApplied "already_applied" Conflict,
    /// A corporate action is being applied to the symbol: a moment later it is over.
    CorporateAction "corporate_action" Conflict,
    /// More cash than is available.
    InsufficientCash "insufficient_cash" Business,
    /// More buying power than is available.
    InsufficientBuyingPower "insufficient_buying_power" Business,
    /// More shares than are held and free.
    InsufficientShares "insufficient_shares" Business,
    /// A margin account whose equity is below its maintenance margin.
    MarginCall "margin_call" Business,
    /// A position has no price, so the margin of the account is not known.
    NoMark "no_mark" Business,
    /// A short position is held in whole shares.
    FractionalShort "fractional_short" Business,
    /// An order that is to open a position would close one that is held the other way.
    OpposingPosition "opposing_position" Business,
    /// Nothing to estimate the worst cost from.
    NoReferencePrice "no_reference_price" Business,
    /// The market is closed and the order cannot wait.
    MarketClosed "market_closed" Business,
    /// The auction takes no orders at this time of the day, or there is none.
    AuctionClosed "auction_closed" Business,
    /// The account's trading state, or a halt of the symbol, forbids it.
    TradingHalted "trading_halted" Business,
    /// The account may only reduce risk.
    ReduceOnly "reduce_only" Business,
    /// The order is larger than the account's policy allows.
    OrderLimit "order_limit" Business,
    /// A limit price is further beyond the market than the account's policy allows.
    PriceCollar "price_collar" Business,
    /// A position would come to more shares than the account's policy allows.
    PositionLimit "position_limit" Business,
    /// A position would be a larger part of the equity than the account's policy allows.
    ConcentrationLimit "concentration_limit" Business,
    /// The account has as many open orders as its policy allows.
    OpenOrdersLimit "open_orders_limit" Business,
    /// The account has lost as much as its policy allows for a trading day.
    DailyLossLimit "daily_loss_limit" Business,
    /// The account has lost as much of its highest equity as its policy allows.
    DrawdownLimit "drawdown_limit" Business,
    /// The account's option level does not permit what the order would leave.
    OptionLevel "option_level" Business,
    /// The order would open more contracts on one underlying than are covered together.
    ContractsLimit "contracts_limit" Business,
    /// The option has expired.
    ContractExpired "contract_expired" Business,
    /// The key or `client_order_id` was used for another request.
    KeyReused "key_reused" Invalid,
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A refusal with its figures: one sentence for a person or a model, one word and the numbers for a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The machine word.
    pub code: RefusalCode,
    /// What failed, the actual numbers, and the next step.
    pub message: String,
    /// The field of the request that is to blame, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The numbers by name, as strings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, String>,
}

impl Refusal {
    /// A refusal with neither field nor figures.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, figures: BTreeMap::new() }
    }

    /// Names the field to blame.
    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Adds a figure.
    #[must_use]
    pub fn figure(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.figures.insert(name.to_owned(), value.to_string());
        self
    }
}

impl From<crate::money::AmountError> for Refusal {
    fn from(error: crate::money::AmountError) -> Self {
        Self::new(RefusalCode::InvalidAmount, error.to_string())
    }
}
