//! What has happened to an instrument, and what it consists of.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::InstrumentId;
use crate::market::MarketTime;
use crate::money::{AmountError, Price, Quantity};

/// What kind of thing an instrument is: the kind decides what is a stock, never the spelling of its symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstrumentKind {
    /// A share or a fund.
    #[default]
    Stock,
    /// An option contract.
    Option,
}

impl InstrumentKind {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Option => "option",
        }
    }
}

/// A split that has been announced by the market: `numerator` new shares for `denominator` old ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// New shares.
    pub numerator: Quantity,
    /// Old shares.
    pub denominator: Quantity,
    /// The last close before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_close: Option<Price>,
    /// The market time from which it is in force.
    pub at: MarketTime,
}

/// A cash dividend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dividend {
    /// Dollars a share.
    pub amount: Price,
    /// The first New York session without it.
    pub ex: NaiveDate,
    /// The New York date on which it is paid.
    pub pay: NaiveDate,
    /// How far it has come.
    pub stage: DividendStage,
}

/// The last quote of a session of an option that did not trade in it: the session closes at its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClosingQuote {
    /// Best bid.
    pub bid: Price,
    /// Best ask.
    pub ask: Price,
    /// The market time of the quote, in the session.
    pub at: MarketTime,
}

impl ClosingQuote {
    /// What lies between bid and ask.
    ///
    /// # Errors
    /// It is no price that can be written exactly.
    pub fn middle(&self) -> Result<Price, AmountError> {
        self.bid.middle(self.ask)
    }
}

/// How an option has expired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expired {
    /// The New York date of its last session.
    pub session: NaiveDate,
    /// The official close of what it is on, or the price that stands in for it.
    pub price: Price,
    /// Which market data that came from.
    pub source: String,
    /// The market time of a price that stands in for the official close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_price_at: Option<MarketTime>,
    /// The market time.
    pub at: MarketTime,
    /// Whether every account that held it is settled.
    pub settled: bool,
}

/// How far a dividend has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DividendStage {
    /// Known; nothing has accrued.
    Declared,
    /// Accrued in every position held at the close before the ex date.
    Accrued,
    /// Paid to every account.
    Paid,
}

/// Facts of an instrument, written as `{"InstrumentListed": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum InstrumentEvent {
    /// It can be traded.
    InstrumentListed {
        /// Its id.
        instrument_id: InstrumentId,
        /// Its ticker.
        symbol: String,
        /// Its name: the symbol, where the market has named none.
        name: String,
        /// What it is.
        kind: InstrumentKind,
        /// The market time, once there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<MarketTime>,
    },
    /// Orders are taken and canceled, nothing fills or triggers.
    TradingHalted {
        /// The market's word for why.
        reason: String,
        /// The market time.
        at: MarketTime,
    },
    /// It trades again.
    TradingResumed {
        /// The market's word for why.
        reason: String,
        /// The market time.
        at: MarketTime,
    },
    /// It is gated until every account has followed the split.
    SplitBegun {
        /// The corporate action.
        action_id: String,
        /// The ratio and its time.
        split: Split,
    },
    /// Every account has followed.
    SplitCompleted {
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
    /// A dividend is known.
    DividendDeclared {
        /// The corporate action.
        action_id: String,
        /// Dollars a share.
        amount: Price,
        /// The ex date.
        ex: NaiveDate,
        /// The pay date.
        pay: NaiveDate,
        /// The market time.
        at: MarketTime,
    },
    /// Every position held at the close before the ex date has accrued it.
    DividendAccrualCompleted {
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
    /// Every account was paid.
    DividendCompleted {
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
    /// The official close of a session.
    OfficiallyClosed {
        /// The New York date of the session.
        session: NaiveDate,
        /// The price.
        price: Price,
        /// Which market data it came from.
        source: String,
        /// Of an option that did not trade in the session: the last quote of it, of which the price is the middle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<ClosingQuote>,
        /// The market time.
        at: MarketTime,
    },
    /// An option has expired: nothing of it is traded any more, and every account that holds it is settled.
    ContractExpired {
        /// The New York date of its last session.
        session: NaiveDate,
        /// What it is settled at: the official close of what it is on.
        price: Price,
        /// Which market data that came from.
        source: String,
        /// Where there is no official close of that session and none can come any more, since a later session has closed: the
        /// market time of the price, the last one up to the close.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_price_at: Option<MarketTime>,
        /// The market time.
        at: MarketTime,
    },
    /// Every account that held the expired option is settled.
    ContractSettled {
        /// The market time.
        at: MarketTime,
    },
}
