//! The port through which a market reaches the engine, and the feed, which has nothing of its own.
//!
//! A source says what it can deliver and hands its ticks over one by one, in order. When they may be handed over is
//! not its business: that is [`super::pace`]. Nothing here reads a clock. What a source lacks is
//! [`SourceError::Lacks`] to whoever asks; nothing is made up in its place.

use std::collections::BTreeSet;
use std::io;

use aggregates::market::MarketTime;

use super::reading::TickError;
use super::tick::Tick;

/// What a source can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Best bids and asks.
    Quotes,
    /// Trades.
    Trades,
    /// Bars.
    Bars,
    /// Levels of the book.
    Depth,
    /// Contracts of an underlying.
    OptionChain,
    /// Splits, dividends, halts and auctions.
    Events,
    /// Analysts' ratings.
    Ratings,
    /// News.
    News,
    /// The exchange's hours.
    Calendar,
}

impl Capability {
    /// The word in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quotes => "quotes",
            Self::Trades => "trades",
            Self::Bars => "bars",
            Self::Depth => "depth",
            Self::OptionChain => "option chains",
            Self::Events => "corporate events",
            Self::Ratings => "ratings",
            Self::News => "news",
            Self::Calendar => "a calendar",
        }
    }

    /// What a line of this kind shows that its source can deliver.
    pub(super) const fn shown_by(tick: &Tick) -> Option<Self> {
        match tick {
            Tick::Quote(_) => Some(Self::Quotes),
            Tick::Trade(_) => Some(Self::Trades),
            Tick::Bar(_) => Some(Self::Bars),
            Tick::Depth(_) => Some(Self::Depth),
            Tick::OpenInterest(_) => Some(Self::OptionChain),
            Tick::Status(_)
            | Tick::Split(_)
            | Tick::Dividend(_)
            | Tick::Luld(_)
            | Tick::Auction(_) => Some(Self::Events),
            Tick::Clock(_) | Tick::Instrument(_) | Tick::Chain(_) | Tick::Rate(_) => None,
        }
    }
}

/// Why a source does not deliver.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It has no such thing.
    #[error("the market source '{source_name}' has no {}", .capability.word())]
    Lacks {
        /// The source's word.
        source_name: &'static str,
        /// What was asked for.
        capability: Capability,
    },
    /// The recording cannot be opened.
    #[error("the recording '{path}' cannot be opened")]
    Unopened {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The recording cannot be read on.
    #[error("the recording cannot be read at line {line}")]
    Unread {
        /// The line.
        line: u64,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A line of the recording is not a tick.
    #[error("the recording is malformed: {0}")]
    Malformed(#[from] TickError),
    /// A line is earlier than the one before it.
    #[error("line {line} of the recording is out of order: {at} comes after {before}")]
    OutOfOrder {
        /// The line.
        line: u64,
        /// Its time.
        at: MarketTime,
        /// The latest time before it.
        before: MarketTime,
    },
    /// It failed before and delivers nothing more.
    #[error("the recording failed at line {line} and delivers nothing after it")]
    Stopped {
        /// The line at which it failed.
        line: u64,
    },
}

/// A source of ticks. They come in the order of their time; instruments carry none and come where they stand.
pub trait MarketData: Send {
    /// The word for it beside everything that came from it.
    fn name(&self) -> &'static str;

    /// Goes to where the market's clock stands: `None` if nothing has set it yet. Called before the first tick, and again
    /// when another process has moved the clock meanwhile.
    ///
    /// Gives the instant up to which ticks are handed over at once, whatever the pace: they open the market, or were
    /// worked before and are ignored.
    fn begin(&mut self, clock: Option<MarketTime>) -> Option<MarketTime> {
        clock
    }

    /// What it can deliver, as far as is known now.
    fn capabilities(&self) -> BTreeSet<Capability>;

    /// The tick that comes next; `None` when there is no more (of its own, or ever).
    fn peek(&mut self) -> Result<Option<&Tick>, SourceError>;

    /// Hands over the tick that comes next.
    fn take(&mut self) -> Result<Option<Tick>, SourceError>;

    /// Fails by name if it lacks the capability.
    fn require(&self, capability: Capability) -> Result<(), SourceError> {
        if self.capabilities().contains(&capability) {
            return Ok(());
        }
        Err(SourceError::Lacks { source_name: self.name(), capability })
    }
}

/// The word for lines that the operator posts.
pub const FEED: &str = "feed";

/// Ticks that the operator posts: the source itself never has one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Feed;

impl MarketData for Feed {
    fn name(&self) -> &'static str {
        FEED
    }

    /// Whatever a line can say.
    fn capabilities(&self) -> BTreeSet<Capability> {
        use Capability::{Bars, Calendar, Depth, Events, OptionChain, Quotes, Trades};
        BTreeSet::from([Quotes, Trades, Bars, Depth, OptionChain, Events, Calendar])
    }

    fn peek(&mut self) -> Result<Option<&Tick>, SourceError> {
        Ok(None)
    }

    fn take(&mut self) -> Result<Option<Tick>, SourceError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_lacks_is_an_error_that_says_so() {
        assert!(Feed.require(Capability::Quotes).is_ok());
        let error = Feed.require(Capability::Ratings).unwrap_err();
        assert_eq!(error.to_string(), "the market source 'feed' has no ratings");
    }
}
