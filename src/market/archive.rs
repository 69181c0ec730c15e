//! The port through which readers ask what a source knows beside its standing quotes: bars, splits and depth.
//!
//! An answer never goes beyond the market's clock, which comes with the question. What a source lacks is
//! [`ArchiveError::Lacks`]; nothing is made up in its place.

use aggregates::market::MarketTime;
use aggregates::money::Price;
use async_trait::async_trait;

use super::bars::{BarQuery, Bars};
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
    /// Where it is kept does not answer.
    #[error("the market's record cannot be read")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The daily closes of one symbol, and the splits that have changed its terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DailyCloses {
    /// Where each daily bar begins and its close, raw, the oldest first.
    pub closes: Vec<(MarketTime, Price)>,
    /// The splits in force.
    pub splits: Vec<Split>,
}

/// What a source knows beside its standing quotes.
#[async_trait]
pub trait Archive: Send + Sync {
    /// The word for it beside everything that came from it.
    fn source(&self) -> &'static str;

    /// Bars that are over by `now`.
    async fn bars(&self, query: &BarQuery, now: MarketTime) -> Result<Bars, ArchiveError>;

    /// The daily closes since an instant and the splits of several symbols, in their order, of the bars that are over by `now`;
    /// nothing of a symbol that the source has no daily bars of.
    async fn daily_closes(
        &self,
        symbols: &[String],
        since: MarketTime,
        now: MarketTime,
    ) -> Result<Vec<DailyCloses>, ArchiveError>;

    /// The levels of a symbol's book as they stand at `now`.
    async fn depth(&self, symbol: &str, now: MarketTime) -> Result<Depth, ArchiveError>;

    /// The sector of a symbol, where the source says.
    fn sector(&self, symbol: &str) -> Option<&'static str>;
}
