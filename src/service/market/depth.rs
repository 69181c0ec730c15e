//! The book behind the quote.

use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use schemars::JsonSchema;
use serde::Serialize;

use crate::service::{Service, ServiceError};

/// The levels of a symbol's book.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Depth")]
pub struct DepthAnswer {
    /// Its ticker.
    pub symbol: String,
    /// What buyers offer, best first.
    pub bids: Vec<LevelAnswer>,
    /// What sellers ask, best first.
    pub asks: Vec<LevelAnswer>,
    /// When, by the market clock.
    pub at: MarketTime,
    /// Where it came from.
    pub source: &'static str,
    /// The market clock.
    pub market_time: MarketTime,
}

/// One level of a book.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Level")]
pub struct LevelAnswer {
    /// Dollars a share.
    pub price: Price,
    /// Shares.
    pub size: Quantity,
}

impl Service {
    /// The levels of a symbol's book.
    ///
    /// # Errors
    /// No line of the market has named it, the market has no time yet, or its source has no depth of it.
    pub async fn depth(&self, symbol: &str) -> Result<DepthAnswer, ServiceError> {
        self.is_listed(symbol)?;
        let market_time = self.now()?;
        let depth = self.parts.archive.depth(symbol, market_time).await?;
        let levels = |levels: Vec<(Price, Quantity)>| {
            levels.into_iter().map(|(price, size)| LevelAnswer { price, size }).collect()
        };
        Ok(DepthAnswer {
            symbol: depth.symbol,
            bids: levels(depth.bids),
            asks: levels(depth.asks),
            at: depth.at,
            source: self.parts.archive.source(),
            market_time,
        })
    }
}
