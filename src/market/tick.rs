//! What a market can say: one typed tick for each kind of line.
//!
//! Files, the feed and live adapters all speak this format, one JSON object a line, told apart by `t`. A tick that
//! exists is well-formed: [`super::reading`] is the only way in from text, and [`Tick::to_line`] writes the one
//! canonical form, which reads back as the same tick. Well-formed is not the same as usable: quotes that are crossed,
//! one-sided, zero or negative are ticks like others; the engine ignores and counts them. The word for the source
//! (`feed`, `recorded` …) is not part of a line: it is known by where the line came from.
//!
//! Times are written in UTC, prices and sizes as strings.

use aggregates::instrument::{ExerciseStyle, InstrumentKind, Settlement};
use aggregates::market::{AuctionKind, MarketTime};
use aggregates::money::{Price, Quantity};
use chrono::{NaiveDate, TimeDelta};
use rust_decimal::Decimal;
use serde::Serialize;

/// One line of a market.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Tick {
    /// Nothing but the time.
    Clock(Clock),
    /// Best bid and ask.
    Quote(Quote),
    /// A trade.
    Trade(Trade),
    /// Open, high, low and close of a span.
    Bar(Bar),
    /// A halt or its end.
    Status(Status),
    /// A split, in force from its time on.
    Split(Split),
    /// A cash dividend becomes known.
    Dividend(Dividend),
    /// An instrument exists.
    Instrument(Instrument),
    /// Options on one underlying exist.
    Chain(Chain),
    /// The limit-up limit-down bands.
    Luld(Luld),
    /// The result of an auction.
    Auction(Auction),
    /// The order book's best levels.
    Depth(Depth),
    /// Open interest of an option.
    OpenInterest(OpenInterest),
    /// A rate that option maths uses.
    Rate(Rate),
}

/// `clock`: moves the market's clock and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clock {
    /// The market time.
    pub at: MarketTime,
}

/// `quote`: prices may be zero, negative or crossed; sizes are not negative.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quote {
    /// The ticker, or an OCC symbol.
    pub symbol: String,
    /// Best bid.
    pub bid: Price,
    /// Shares or contracts wanted at the bid.
    pub bid_size: Quantity,
    /// Best ask.
    pub ask: Price,
    /// Shares or contracts offered at the ask.
    pub ask_size: Quantity,
    /// The market time.
    pub at: MarketTime,
}

/// `trade`: the price is positive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trade {
    /// The ticker.
    pub symbol: String,
    /// The price.
    pub price: Price,
    /// Shares or contracts.
    pub size: Quantity,
    /// The market time.
    pub at: MarketTime,
}

/// `bar`: `low <= open, close <= high`, all positive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// The ticker.
    pub symbol: String,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Shares traded.
    pub volume: Quantity,
    /// Where the bar starts; of a daily bar, the start of its New York session date.
    pub at: MarketTime,
    /// How long it is.
    pub span: Span,
}

/// The lengths of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Span {
    /// One minute.
    #[serde(rename = "1m")]
    Minute,
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    Hour,
    /// One session.
    #[serde(rename = "1d")]
    Day,
}

impl Span {
    /// The time from start to end; `None` for a session, whose length the calendar knows.
    pub const fn length(self) -> Option<TimeDelta> {
        match self {
            Self::Minute => Some(TimeDelta::minutes(1)),
            Self::FiveMinutes => Some(TimeDelta::minutes(5)),
            Self::Hour => Some(TimeDelta::hours(1)),
            Self::Day => None,
        }
    }
}

/// `status`: a halt or its end, of one symbol or of the whole market.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The ticker, or [`Status::EVERY`].
    pub symbol: String,
    /// What holds from now on.
    pub state: TradingState,
    /// The market's word for why, such as `LUDP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The market time.
    pub at: MarketTime,
}

impl Status {
    /// Stands for every symbol at once: the line of a market-wide circuit breaker.
    pub const EVERY: &str = "*";

    /// Whether it is about the whole market.
    pub fn is_of_market(&self) -> bool {
        self.symbol == Self::EVERY
    }
}

/// Whether a symbol trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TradingState {
    /// Nothing is filled or triggered.
    Halted,
    /// It trades.
    Trading,
}

/// `split`: `numerator` new shares for `denominator` old ones, both positive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Split {
    /// The ticker.
    pub symbol: String,
    /// New shares.
    pub numerator: Quantity,
    /// Old shares.
    pub denominator: Quantity,
    /// The corporate action: it is applied once.
    pub id: String,
    /// From when on it is in force.
    pub at: MarketTime,
}

/// `dividend`: a positive amount of dollars a share, to 9 decimals; `pay` is not before `ex`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dividend {
    /// The ticker.
    pub symbol: String,
    /// Dollars a share.
    pub amount: Price,
    /// The first New York session without it.
    pub ex: NaiveDate,
    /// The New York date on which it is paid.
    pub pay: NaiveDate,
    /// The corporate action: it is applied once.
    pub id: String,
    /// When it becomes known.
    pub at: MarketTime,
}

/// `instrument`: carries no time. An option names its underlying; a stock has none of the option's fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Instrument {
    /// The ticker, or an OCC symbol.
    pub symbol: String,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Stock or option.
    pub kind: InstrumentKind,
    /// The smallest step of its price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick: Option<Price>,
    /// What the option is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub underlying: Option<String>,
    /// When the option may be exercised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<ExerciseStyle>,
    /// What an exercise delivers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
}

/// `chain`: carries no time. Says of up to [`Chain::MAX_CONTRACTS`] options what as many `instrument` lines would, so that
/// they are listed together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// What the options are on.
    pub underlying: String,
    /// When they may be exercised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<ExerciseStyle>,
    /// What an exercise delivers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
    /// Their OCC symbols, at least one.
    pub contracts: Vec<String>,
}

impl Chain {
    /// The most contracts of one line: their listings are committed together.
    pub const MAX_CONTRACTS: usize = 256;
}

/// `luld`: positive bands, `down <= up`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Luld {
    /// The ticker.
    pub symbol: String,
    /// The lower band.
    pub down: Price,
    /// The upper band.
    pub up: Price,
    /// The market time.
    pub at: MarketTime,
}

/// `auction`: its price is positive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Auction {
    /// The ticker.
    pub symbol: String,
    /// Which auction.
    pub kind: AuctionKind,
    /// The price at which it cleared.
    pub price: Price,
    /// Shares.
    pub size: Quantity,
    /// The market time.
    pub at: MarketTime,
}

/// `depth`: levels as sent, best first, at most [`Depth::MAX_LEVELS`] a side; each `[price, size]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Depth {
    /// The ticker.
    pub symbol: String,
    /// The buying side.
    pub bids: Vec<(Price, Quantity)>,
    /// The selling side.
    pub asks: Vec<(Price, Quantity)>,
    /// The market time.
    pub at: MarketTime,
}

impl Depth {
    /// The most levels a side.
    pub const MAX_LEVELS: usize = 100;
}

/// `open_interest`: of an option.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenInterest {
    /// An OCC symbol.
    pub symbol: String,
    /// Contracts open.
    pub value: Quantity,
    /// Contracts traded this session, where the source says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Quantity>,
    /// The market time.
    pub at: MarketTime,
}

/// `rate`: a yearly rate, 0.045 is 4.5 %; between -1 and 10.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Which rate.
    pub kind: RateKind,
    /// The symbol that it is of; `None` (written `null`) for the market's.
    pub symbol: Option<String>,
    /// The rate.
    #[serde(serialize_with = "as_text::serialize")]
    pub value: Decimal,
    /// The market time.
    pub at: MarketTime,
}

/// A rate is written as text.
pub(crate) mod as_text {
    use aggregates::money::parse_decimal;
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(
        value: &Decimal,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Decimal, D::Error> {
        parse_decimal(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The rates that option maths uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKind {
    /// What money earns without risk.
    RiskFree,
    /// What holders of a share are paid.
    DividendYield,
}

impl Tick {
    /// The market time that the line carries; instruments and chains carry none.
    pub fn at(&self) -> Option<MarketTime> {
        match self {
            Self::Clock(tick) => Some(tick.at),
            Self::Quote(tick) => Some(tick.at),
            Self::Trade(tick) => Some(tick.at),
            Self::Bar(tick) => Some(tick.at),
            Self::Status(tick) => Some(tick.at),
            Self::Split(tick) => Some(tick.at),
            Self::Dividend(tick) => Some(tick.at),
            Self::Instrument(_) | Self::Chain(_) => None,
            Self::Luld(tick) => Some(tick.at),
            Self::Auction(tick) => Some(tick.at),
            Self::Depth(tick) => Some(tick.at),
            Self::OpenInterest(tick) => Some(tick.at),
            Self::Rate(tick) => Some(tick.at),
        }
    }

    /// The symbol that it is about; none for the clock, for a chain, which is about many, and for the rates and the halts
    /// of the whole market.
    pub fn symbol(&self) -> Option<&str> {
        match self {
            Self::Clock(_) | Self::Chain(_) => None,
            Self::Quote(tick) => Some(&tick.symbol),
            Self::Trade(tick) => Some(&tick.symbol),
            Self::Bar(tick) => Some(&tick.symbol),
            Self::Status(tick) => Some(tick.symbol.as_str()).filter(|_| !tick.is_of_market()),
            Self::Split(tick) => Some(&tick.symbol),
            Self::Dividend(tick) => Some(&tick.symbol),
            Self::Instrument(tick) => Some(&tick.symbol),
            Self::Luld(tick) => Some(&tick.symbol),
            Self::Auction(tick) => Some(&tick.symbol),
            Self::Depth(tick) => Some(&tick.symbol),
            Self::OpenInterest(tick) => Some(&tick.symbol),
            Self::Rate(tick) => tick.symbol.as_deref(),
        }
    }

    /// The canonical line, without a line break.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a tick holds nothing that JSON cannot write")
    }
}
