//! What the domain knows of the market: the facts that a decision carries as its evidence.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::{Price, Quantity};

/// A moment of the market clock. Never the wall clock.
pub type MarketTime = DateTime<Utc>;

/// A place on the tape: the number of the line that was worked, from 1; 0 is before the first.
pub type TapePlace = u64;

/// What an order was filled against or triggered by: enough for an auditor to check the price alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Where the tick came from: `feed`, `recorded`, `simulated` …
    pub source: String,
    /// The line's place on the tape.
    pub tape_place: TapePlace,
    /// The market time of the tick.
    pub at: MarketTime,
    /// The tick itself.
    pub tick: EvidenceTick,
}

/// The tick behind a fill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceTick {
    /// The standing quote.
    Quote {
        /// Best bid.
        bid: Price,
        /// Shares wanted at the bid.
        bid_size: Quantity,
        /// Best ask.
        ask: Price,
        /// Shares offered at the ask.
        ask_size: Quantity,
    },
    /// A trade, for a symbol that has no quotes.
    Trade {
        /// The trade's price.
        price: Price,
        /// The trade's size.
        size: Quantity,
    },
    /// A bar, for a symbol that has neither.
    Bar {
        /// First price.
        open: Price,
        /// Highest price.
        high: Price,
        /// Lowest price.
        low: Price,
        /// Last price.
        close: Price,
        /// Shares traded.
        volume: Quantity,
        /// Which point of the bar's path it was: `open`, `high`, `low` or `close`.
        point: BarPoint,
    },
    /// The result of an auction.
    Auction {
        /// Which.
        kind: AuctionKind,
        /// The price at which it cleared.
        price: Price,
        /// The shares traded there.
        size: Quantity,
    },
    /// The official close of a session, for an auction that the market did not tell of.
    OfficialClose {
        /// The New York date of the session.
        session: NaiveDate,
        /// The price.
        price: Price,
    },
}

/// The auctions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuctionKind {
    /// At the open.
    Open,
    /// At the close.
    Close,
}

/// The points of a bar in the order of its assumed path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BarPoint {
    /// The first price: gaps are seen here.
    Open,
    /// The highest price.
    High,
    /// The lowest price.
    Low,
    /// The last price.
    Close,
}

/// The price that an order's worst cost was estimated from when it was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// The ask for a buy with a quote, else the last price.
    pub price: Price,
    /// Where it came from.
    pub source: String,
    /// The market time of the tick.
    pub at: MarketTime,
}
