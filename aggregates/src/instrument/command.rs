//! What an instrument is asked to do.

use chrono::NaiveDate;

use super::event::{ClosingQuote, InstrumentKind, Split};
use crate::id::InstrumentId;
use crate::market::MarketTime;
use crate::money::Price;

/// Commands of an instrument.
#[derive(Clone, Debug, PartialEq)]
pub enum InstrumentCommand {
    /// List it.
    List {
        /// Its id.
        instrument_id: InstrumentId,
        /// Its ticker.
        symbol: String,
        /// Its name.
        name: String,
        /// What it is.
        kind: InstrumentKind,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// Halt trading in it.
    Halt {
        /// The market's word for why.
        reason: String,
        /// The market time.
        at: MarketTime,
    },
    /// Let it trade again.
    Resume {
        /// The market's word for why.
        reason: String,
        /// The market time.
        at: MarketTime,
    },
    /// Gate it for a split.
    BeginSplit {
        /// The corporate action.
        action_id: String,
        /// The ratio and its time.
        split: Split,
    },
    /// Every account has followed: open it again.
    CompleteSplit {
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
    /// Make a dividend known.
    DeclareDividend {
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
    CompleteAccrual {
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
    /// Every account was paid.
    CompleteDividend {
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
    /// End an option whose last session is over: every account that holds it is settled from then on.
    Expire {
        /// The New York date of that session.
        session: NaiveDate,
        /// The official close of what it is on.
        price: Price,
        /// Which market data that came from.
        source: String,
        /// Of another price, which stands in for an official close that cannot come any more, its market time.
        last_price_at: Option<MarketTime>,
        /// The market time.
        at: MarketTime,
    },
    /// Every account that held the expired option is settled.
    CompleteExpiry {
        /// The market time.
        at: MarketTime,
    },
    /// Fix the official close of a session.
    Close {
        /// The New York date of the session.
        session: NaiveDate,
        /// The price.
        price: Price,
        /// Which market data it came from.
        source: String,
        /// Of an option that did not trade in the session, the quote of which the price is the middle.
        quote: Option<ClosingQuote>,
        /// The market time.
        at: MarketTime,
    },
}
