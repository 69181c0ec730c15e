//! The market as everyone reads it, and as the operator feeds it. Prices are shown with their source and time.

use std::collections::BTreeMap;

use aggregates::id::InstrumentId;
use aggregates::instrument::InstrumentKind;
use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use chrono::NaiveDate;
use projections::Group;
use projections::instruments::InstrumentRow;
use projections::query;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Caller, Fresh, Page, PageRequest, Service, ServiceError};
use crate::engine::core::Glance;
use crate::engine::player::Control;
use crate::market::reading::{MAX_FEED_LINES, parse_lines};

/// What the lines of the feed are marked with as their source.
const FEED: &str = "feed";

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
    /// The latest price of a trade or a bar.
    pub last: Option<LastPrice>,
    /// The last official close.
    pub previous_close: Option<Price>,
    /// The session that it closed.
    pub previous_session: Option<NaiveDate>,
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

/// Something that can be traded.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Instrument")]
pub struct InstrumentAnswer {
    /// Its id.
    pub instrument_id: InstrumentId,
    /// Its ticker.
    pub symbol: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: InstrumentKind,
    /// Nothing fills or triggers.
    pub halted: bool,
    /// The market's word for why.
    pub halt_reason: Option<String>,
    /// The last official close.
    pub last_close: Option<Price>,
    /// The session that it closed.
    pub last_session: Option<NaiveDate>,
}

/// What became of lines that were posted.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "FeedResult")]
pub struct FeedAnswer {
    /// Lines that were worked.
    pub accepted: u64,
    /// Lines that changed or filled nothing.
    pub ignored: u64,
    /// How many were ignored for each reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The last position of the log when all that they caused had committed.
    pub position: u64,
}

/// Where the market stands after it was told what to do.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "ControlResult")]
pub struct ControlAnswer {
    /// The market clock.
    pub market_time: Option<MarketTime>,
    /// The last position of the log.
    pub position: u64,
}

impl Service {
    /// The market clock, once there is one.
    pub(super) fn market_time(&self) -> Option<MarketTime> {
        self.parts.engine.board().now().map(|now| now.at)
    }

    /// What is known of a symbol's prices.
    ///
    /// # Errors
    /// No line of the market has named it.
    pub fn quote(&self, symbol: &str) -> Result<QuoteAnswer, ServiceError> {
        let board = self.parts.engine.board();
        let glance = board.glance(symbol).ok_or(ServiceError::NotFound("symbol"))?;
        Ok(quote_answer(&glance, self.market_time()))
    }

    /// What can be traded, by symbol: all of it, or what has `search` in its ticker or name.
    ///
    /// # Errors
    /// A cursor of another list.
    pub async fn instruments(
        &self,
        caller: &Caller,
        search: Option<&str>,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<InstrumentAnswer>, ServiceError> {
        let list = format!("instruments/{search:?}");
        let after: Option<String> = self.after(&list, page)?;
        let mut snapshot = self.snapshot(caller, None, Group::Market, fresh).await?;
        let size = page.size();
        let rows =
            query::instruments(snapshot.connection(), search, after.as_deref(), size + 1).await?;
        let seal = |row: &InstrumentRow| self.parts.cursors.seal(&list, &row.symbol);
        Ok(Page::cut(rows, size, snapshot.position, seal, InstrumentAnswer::from))
    }

    /// Works lines of the market. Answers when all that they caused has committed; a line that was worked before is
    /// ignored.
    ///
    /// # Errors
    /// The caller is not the operator, the market has a source of its own, a line is malformed (none is applied), or
    /// the engine's.
    pub async fn feed(&self, caller: &Caller, lines: &[u8]) -> Result<FeedAnswer, ServiceError> {
        caller.operator_only("the feed")?;
        if self.parts.player.is_some() {
            let message = "the market has a source of its own: start the server with --market feed to post lines";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let ticks = parse_lines(lines, MAX_FEED_LINES)
            .map_err(|error| ServiceError::Unreadable(error.to_string()))?;
        let report = self.parts.engine.lines(FEED, ticks).await?;
        let reasons = report.reasons.into_iter().map(|(reason, n)| (reason.word(), n)).collect();
        Ok(FeedAnswer {
            accepted: report.accepted,
            ignored: report.ignored,
            reasons,
            position: report.position,
        })
    }
}

impl Service {
    /// Tells a market with a source of its own what to do, and answers when it has been done: a run to an instant
    /// when everything up to it, and what that caused, has committed.
    ///
    /// # Errors
    /// The caller is not the operator, the market is fed, time would go back, or the source failed.
    pub async fn control(
        &self,
        caller: &Caller,
        control: Control,
    ) -> Result<ControlAnswer, ServiceError> {
        caller.operator_only("the market's control")?;
        let Some(player) = &self.parts.player else {
            let message =
                "the market is fed: its clock is that of the lines posted to /v1/market/feed";
            return Err(ServiceError::Conflict(message.to_owned()));
        };
        player.control(control).await.map_err(|error| ServiceError::Conflict(error.to_string()))?;
        let position = self.parts.ledger.head().borrow().position;
        Ok(ControlAnswer { market_time: self.market_time(), position })
    }
}

fn quote_answer(glance: &Glance, market_time: Option<MarketTime>) -> QuoteAnswer {
    let quote = glance.quote.as_ref().map(|quote| StandingQuote {
        bid: quote.bid,
        bid_size: quote.bid_size,
        ask: quote.ask,
        ask_size: quote.ask_size,
        at: quote.at,
        source: quote.source.clone(),
    });
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
        quote,
        last,
        previous_close,
        previous_session,
        market_time,
    }
}

impl From<InstrumentRow> for InstrumentAnswer {
    fn from(row: InstrumentRow) -> Self {
        Self {
            instrument_id: row.instrument_id,
            symbol: row.symbol,
            name: row.name,
            kind: row.kind,
            halted: row.halted,
            halt_reason: row.halt_reason,
            last_close: row.last_close,
            last_session: row.last_session,
        }
    }
}
