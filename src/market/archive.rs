//! The port through which readers ask what a source knows beside its standing quotes: bars, splits and depth.
//!
//! An answer never goes beyond the market's clock, which comes with the question. What a source lacks is
//! [`ArchiveError::Lacks`]; nothing is made up in its place.

use aggregates::market::MarketTime;
use async_trait::async_trait;
use futures::future::try_join_all;

use super::bars::{BarQuery, Bars, Candle};
use super::tick::{Depth, Split};

/// Why a source does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It has no such thing.
    #[error("the market source '{source_name}' has no {what}")]
    Lacks {
        /// The source's word.
        source_name: &'static str,
        /// What was asked for, and what there is instead, if anything.
        what: String,
    },
    /// It does not know the symbol.
    #[error("the market source does not know the symbol")]
    UnknownSymbol,
    /// Where it is kept does not answer.
    #[error("the market's record cannot be read")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Bars of one symbol, and the splits that have changed its terms.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The bars, the oldest first.
    pub candles: Vec<Candle>,
    /// The splits in force.
    pub splits: Vec<Split>,
}

/// Symbols that are looked at beside each other, by a source that looks at one at a time.
const BESIDE: usize = 4;

/// What a source knows beside its standing quotes.
#[async_trait]
pub trait Archive: Send + Sync {
    /// The word for it beside everything that came from it.
    fn source(&self) -> &'static str;

    /// Bars that are over by `now`.
    async fn bars(&self, query: &BarQuery, now: MarketTime) -> Result<Bars, ArchiveError>;

    /// The splits of a symbol that are in force by `now`, as far back as its bars go.
    async fn splits(&self, symbol: &str, now: MarketTime) -> Result<Vec<Split>, ArchiveError>;

    /// Bars and splits of several symbols, in the order of the questions; nothing of one that the source has no such bars of.
    async fn told(&self, queries: &[BarQuery], now: MarketTime) -> Result<Vec<Told>, ArchiveError> {
        let mut told = Vec::with_capacity(queries.len());
        for beside in queries.chunks(BESIDE) {
            told.extend(try_join_all(beside.iter().map(|query| told_of(self, query, now))).await?);
        }
        Ok(told)
    }

    /// The levels of a symbol's book as they stand at `now`.
    async fn depth(&self, symbol: &str, now: MarketTime) -> Result<Depth, ArchiveError>;

    /// The sector of a symbol, where the source says.
    fn sector(&self, symbol: &str) -> Option<&'static str>;
}

async fn told_of<A: Archive + ?Sized>(
    archive: &A,
    query: &BarQuery,
    now: MarketTime,
) -> Result<Told, ArchiveError> {
    let candles = match archive.bars(query, now).await {
        Ok(found) => found.candles,
        Err(ArchiveError::Lacks { .. } | ArchiveError::UnknownSymbol) => Vec::new(),
        Err(error) => return Err(error),
    };
    let splits = match candles.is_empty() {
        true => Vec::new(),
        false => archive.splits(&query.symbol, now).await?,
    };
    Ok(Told { candles, splits })
}
