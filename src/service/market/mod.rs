//! The market as everyone reads it, and as the operator feeds it. Prices are shown with their source and time.
//!
//! Quotes and the clock come from the engine's board, bars and depth from the source's archive, up to that clock and
//! never beyond it. What a source lacks is refused with `capability_missing`; nothing is made up in its place.

mod bars;
mod depth;
mod feed;
mod hours;
mod instruments;
mod options;

use aggregates::id::InstrumentId;
use aggregates::instrument::Contract;
use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

pub use bars::{BarAnswer, BarsAnswer, BarsRequest, HistoryAnswer, Period};
pub use depth::{DepthAnswer, LevelAnswer};
pub use feed::{ControlAnswer, FeedAnswer};
pub use hours::HoursAnswer;
pub use instruments::{InfoAnswer, InstrumentAnswer};
pub use options::{
    AccountGreeksAnswer, Assumed, CHAIN_MAX, ChainAnalysis, ChainAnswer, ChainRequest,
    ContractAnswer, ContractsAnswer, ExpirationsAnswer, HoldingGreeksAnswer, OptionAnswer,
    OptionGreeksAnswer, RIGHTS, RateAnswer, StrikesAnswer,
};
pub(super) use options::{OnUnderlying, computed, figure};

use super::{Service, ServiceError};
use crate::engine::core::{Glance, MarketNow, Standing};
use crate::market::archive::ArchiveError;
use crate::market::calendar::Phase;

/// Decimals of a rate of change.
const RATE_DECIMALS: u32 = 6;

/// The last that is known of a symbol's prices. What is not known is absent.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Market")]
pub struct QuoteAnswer {
    /// Its ticker.
    pub symbol: String,
    /// Its id.
    pub instrument_id: InstrumentId,
    /// Nothing fills or triggers.
    pub halted: bool,
    /// The standing quote.
    pub quote: Option<StandingQuote>,
    /// The limit-up limit-down bands that hold now.
    pub luld: Option<LuldAnswer>,
    /// The latest price of a trade or a bar.
    pub last: Option<LastPrice>,
    /// The last official close.
    pub previous_close: Option<Price>,
    /// The session that it closed.
    pub previous_session: Option<NaiveDate>,
    /// The part of the day that the market is in: outside regular hours orders of extended hours fill alone.
    pub session: Option<Phase>,
    /// The market clock.
    pub market_time: Option<MarketTime>,
}

/// A quote, as it was displayed.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Quote")]
pub struct StandingQuote {
    /// What buyers offer.
    pub bid: Price,
    /// For how many shares.
    pub bid_size: Quantity,
    /// What sellers ask.
    pub ask: Price,
    /// For how many shares.
    pub ask_size: Quantity,
    /// When, by the market clock.
    pub at: MarketTime,
    /// Where it came from.
    pub source: String,
}

/// Limit-up limit-down bands: nothing trades beyond them.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Bands")]
pub struct LuldAnswer {
    /// The lower one.
    pub down: Price,
    /// The upper one.
    pub up: Price,
    /// When, by the market clock.
    pub at: MarketTime,
    /// `up` while buyers stand at the upper band, `down` while sellers stand at the lower one.
    pub limit_state: Option<&'static str>,
}

/// A price that was paid.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct LastPrice {
    /// How much.
    pub price: Price,
    /// When, by the market clock.
    pub at: MarketTime,
    /// Where it came from.
    pub source: String,
}

/// One price of a symbol, and how it has changed.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "LatestPrice")]
pub struct PriceAnswer {
    /// Its ticker.
    pub symbol: String,
    /// The last price that was paid, else the bid; absent if there is neither.
    pub price: Option<Price>,
    /// `last` or `bid`.
    pub basis: Option<&'static str>,
    /// When it was seen, by the market clock.
    pub at: Option<MarketTime>,
    /// Where it came from.
    pub source: Option<String>,
    /// What buyers offer.
    pub bid: Option<Price>,
    /// What sellers ask.
    pub ask: Option<Price>,
    /// The last official close.
    pub previous_close: Option<Price>,
    /// The price less that close.
    pub change: Option<Price>,
    /// The same as a rate of the close: 0.05 is 5 %.
    pub change_rate: Option<String>,
    /// Nothing fills or triggers.
    pub halted: bool,
    /// The part of the day that the market is in: outside regular hours orders of extended hours fill alone.
    pub session: Option<Phase>,
    /// The market clock.
    pub market_time: Option<MarketTime>,
}

impl Service {
    /// The market clock, once there is one.
    pub(in crate::service) fn market_time(&self) -> Option<MarketTime> {
        self.parts.engine.board().now().map(|now| now.at)
    }

    /// What is known of a symbol's prices.
    ///
    /// # Errors
    /// No line of the market has named it.
    pub fn quote(&self, symbol: &str) -> Result<QuoteAnswer, ServiceError> {
        let board = self.parts.engine.board();
        let glance = board.glance(symbol).ok_or_else(|| self.no_symbol(symbol))?;
        let now = board.now();
        let session = now.and_then(|now| self.parts.calendar.phase_at(now.at).ok());
        Ok(quote_answer(&glance, session, now))
    }

    /// The price of a symbol and how it has changed since the last official close.
    ///
    /// # Errors
    /// No line of the market has named it.
    pub fn price(&self, symbol: &str) -> Result<PriceAnswer, ServiceError> {
        Ok(price_answer(self.quote(symbol)?))
    }

    /// The market clock, or why there is none.
    fn now(&self) -> Result<MarketTime, ServiceError> {
        self.market_time().ok_or_else(|| self.no_clock())
    }

    /// Sees that a line of the market has named the symbol.
    fn is_listed(&self, symbol: &str) -> Result<(), ServiceError> {
        let found = self.parts.engine.board().glance(symbol);
        found.map(drop).ok_or_else(|| self.no_symbol(symbol))
    }

    /// That no line has named a symbol, or that the market forgot a contract when it had expired.
    fn no_symbol(&self, symbol: &str) -> ServiceError {
        match symbol.parse::<Contract>() {
            Ok(contract) => ServiceError::Unlisted(self.nearest(&contract)),
            Err(_) => ServiceError::NotFound("symbol"),
        }
    }
}

impl From<ArchiveError> for ServiceError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Lacks { .. } => Self::Lacking(error.to_string()),
            ArchiveError::Unavailable(cause) => Self::Database(cause),
        }
    }
}

fn price_answer(quote: QuoteAnswer) -> PriceAnswer {
    let QuoteAnswer { symbol, halted, quote, last, previous_close, session, market_time, .. } =
        quote;
    let (bid, ask) = quote.as_ref().map(|quote| (quote.bid, quote.ask)).unzip();
    let seen = match (last, quote) {
        (Some(last), _) => Some((last.price, "last", last.at, last.source)),
        (None, Some(quote)) => Some((quote.bid, "bid", quote.at, quote.source)),
        (None, None) => None,
    };
    let price = seen.as_ref().map(|(price, ..)| *price);
    let change = price.zip(previous_close).and_then(|(price, close)| price.minus(close).ok());
    let change_rate = change.zip(previous_close).and_then(|(change, close)| {
        let rate: Decimal = change.decimal().checked_div(close.decimal())?;
        Some(rate.round_dp(RATE_DECIMALS).normalize().to_string())
    });
    let (basis, at, source) = match seen {
        Some((_, basis, at, source)) => (Some(basis), Some(at), Some(source)),
        None => (None, None, None),
    };
    PriceAnswer {
        symbol,
        price,
        basis,
        at,
        source,
        bid,
        ask,
        previous_close,
        change,
        change_rate,
        halted,
        session,
        market_time,
    }
}

fn quote_answer(glance: &Glance, session: Option<Phase>, now: Option<MarketNow>) -> QuoteAnswer {
    let last = glance.last.as_ref().map(|last| LastPrice {
        price: last.price,
        at: last.at,
        source: last.source.clone(),
    });
    let (previous_session, previous_close) = glance.closed.unzip();
    QuoteAnswer {
        symbol: glance.symbol.clone(),
        instrument_id: glance.instrument_id,
        halted: glance.halted,
        quote: standing(glance),
        luld: now.and_then(|now| luld_answer(glance, &now)),
        last,
        previous_close,
        previous_session,
        session,
        market_time: now.map(|now| now.at),
    }
}

/// The standing quote of an instrument.
fn standing(glance: &Glance) -> Option<StandingQuote> {
    glance.quote.as_ref().map(|quote| StandingQuote {
        bid: quote.bid,
        bid_size: quote.bid_size,
        ask: quote.ask,
        ask_size: quote.ask_size,
        at: quote.at,
        source: quote.source.clone(),
    })
}

fn luld_answer(glance: &Glance, now: &MarketNow) -> Option<LuldAnswer> {
    let bands = glance.bands_at(now)?;
    let at_band = |quote: &Standing| match () {
        () if quote.bid == bands.up => Some("up"),
        () if quote.ask == bands.down => Some("down"),
        () => None,
    };
    Some(LuldAnswer {
        down: bands.down,
        up: bands.up,
        at: bands.at,
        limit_state: glance.quote.as_ref().and_then(at_band),
    })
}
