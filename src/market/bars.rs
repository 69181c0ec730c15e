//! Bars as they are asked for: how long, from when to when, and how finer ones and trades make longer ones.
//!
//! A bar is only ever shown when it is over: what would tell its end is not known before. Intraday bars begin at whole
//! multiples of their length since the hour, a daily bar at the midnight of its New York session date and ends with the session.
//! Prices and volumes are raw: a split changes their terms from its day on.

use std::collections::BTreeMap;
use std::str::FromStr;

use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use chrono::{TimeDelta, TimeZone, Utc};

use super::calendar::{Calendar, new_york_date, new_york_midnight};
use super::tick::{Bar, Span};

/// How long a bar is, in Alpaca's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timeframe {
    /// `1Min`
    Minute,
    /// `5Min`
    FiveMinutes,
    /// `15Min`
    QuarterHour,
    /// `1Hour`
    Hour,
    /// `1Day`: one session.
    Day,
}

impl Timeframe {
    /// Every one, the shortest first.
    pub const ALL: [Self; 5] =
        [Self::Minute, Self::FiveMinutes, Self::QuarterHour, Self::Hour, Self::Day];

    /// The word in requests and answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Minute => "1Min",
            Self::FiveMinutes => "5Min",
            Self::QuarterHour => "15Min",
            Self::Hour => "1Hour",
            Self::Day => "1Day",
        }
    }

    /// Its length; `None` for a session, whose length the calendar knows.
    pub const fn length(self) -> Option<TimeDelta> {
        match self {
            Self::Minute => Some(TimeDelta::minutes(1)),
            Self::FiveMinutes => Some(TimeDelta::minutes(5)),
            Self::QuarterHour => Some(TimeDelta::minutes(15)),
            Self::Hour => Some(TimeDelta::hours(1)),
            Self::Day => None,
        }
    }

    /// Where the bar begins that an instant is in.
    pub fn start_of(self, at: MarketTime) -> MarketTime {
        let Some(length) = self.length() else { return new_york_midnight(new_york_date(at)) };
        let seconds = length.num_seconds();
        let start = at.timestamp().div_euclid(seconds) * seconds;
        Utc.timestamp_opt(start, 0).single().unwrap_or(at)
    }

    /// When the bar that begins here is over: never after the session's close.
    pub fn end_of(self, calendar: Calendar, start: MarketTime) -> MarketTime {
        let session = calendar.session_on(new_york_date(start)).ok().flatten();
        let end = self.length().and_then(|length| start.checked_add_signed(length));
        match (end, session) {
            (Some(end), Some(session)) if session.contains(start) => end.min(session.close),
            (Some(end), _) => end,
            (None, Some(session)) => session.close,
            // a daily bar of a day without a session is over when it is told
            (None, None) => start,
        }
    }

    /// The bar of a line that is this long.
    pub const fn of_span(span: Span) -> Self {
        match span {
            Span::Minute => Self::Minute,
            Span::FiveMinutes => Self::FiveMinutes,
            Span::Hour => Self::Hour,
            Span::Day => Self::Day,
        }
    }
}

/// Not the word of a timeframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a timeframe is 1Min, 5Min, 15Min, 1Hour or 1Day")]
pub struct NotATimeframe;

impl FromStr for Timeframe {
    type Err = NotATimeframe;

    fn from_str(text: &str) -> Result<Self, NotATimeframe> {
        Self::ALL.into_iter().find(|timeframe| timeframe.word() == text).ok_or(NotATimeframe)
    }
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Candle {
    /// Where it begins.
    pub at: MarketTime,
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
    /// Trades, where the bar was built from them.
    pub trades: Option<u64>,
}

impl Candle {
    /// Of one trade.
    pub fn of_trade(at: MarketTime, price: Price, size: Quantity) -> Self {
        let (open, high, low, close) = (price, price, price, price);
        Self { at, open, high, low, close, volume: size, trades: Some(1) }
    }

    /// As a line tells it.
    pub fn of_bar(bar: &Bar) -> Self {
        let Bar { open, high, low, close, volume, at, .. } = *bar;
        Self { at, open, high, low, close, volume, trades: None }
    }

    /// Takes in what came after it, up to the end of the same longer bar.
    pub fn join(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        // beyond the bound of a quantity the volume stands at it
        self.volume = self.volume.plus(later.volume).unwrap_or(Quantity::MAX);
        self.trades = self.trades.zip(later.trades).map(|(a, b)| a + b);
    }
}

/// Joins bars or trades that come in the order of their times into longer bars.
#[derive(Clone, Debug, Default)]
pub struct Joined(BTreeMap<MarketTime, Candle>);

impl Joined {
    /// Takes in the next.
    pub fn add(&mut self, timeframe: Timeframe, candle: &Candle) {
        let at = timeframe.start_of(candle.at);
        match self.0.get_mut(&at) {
            Some(whole) => whole.join(candle),
            None => {
                self.0.insert(at, Candle { at, ..candle.clone() });
            }
        }
    }

    /// All of it, in order.
    pub fn into_candles(self) -> impl Iterator<Item = Candle> {
        self.0.into_values()
    }
}

/// Which bars.
#[derive(Clone, Debug, PartialEq)]
pub struct BarQuery {
    /// Of what.
    pub symbol: String,
    /// How long.
    pub timeframe: Timeframe,
    /// Those that begin here or later.
    pub start: MarketTime,
    /// Those that begin before this.
    pub end: MarketTime,
    /// At the most, the first of them.
    pub limit: usize,
}

impl BarQuery {
    /// Whether a bar that begins here is asked for.
    pub fn wants(&self, at: MarketTime) -> bool {
        self.start <= at && at < self.end
    }
}

/// Bars, in the order of their times, and how far back the source could have them.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// The bars.
    pub candles: Vec<Candle>,
    /// Nothing before this is known; `None` if that is unknown too.
    pub covers_from: Option<MarketTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> MarketTime {
        text.parse().unwrap()
    }

    #[test]
    fn bars_begin_and_end_with_their_hour_and_their_session() {
        let nyse = Calendar::nyse();
        let noon = at("2026-11-23T17:07:31Z");
        for (timeframe, start, end) in [
            (Timeframe::Minute, "2026-11-23T17:07:00Z", "2026-11-23T17:08:00Z"),
            (Timeframe::FiveMinutes, "2026-11-23T17:05:00Z", "2026-11-23T17:10:00Z"),
            (Timeframe::QuarterHour, "2026-11-23T17:00:00Z", "2026-11-23T17:15:00Z"),
            (Timeframe::Hour, "2026-11-23T17:00:00Z", "2026-11-23T18:00:00Z"),
            (Timeframe::Day, "2026-11-23T05:00:00Z", "2026-11-23T21:00:00Z"),
        ] {
            assert_eq!(timeframe.start_of(noon), at(start));
            assert_eq!(timeframe.end_of(nyse, at(start)), at(end));
            assert_eq!(timeframe.word().parse(), Ok(timeframe));
        }
        let last = at("2026-11-27T17:30:00Z");
        let close = at("2026-11-27T18:00:00Z");
        assert_eq!(Timeframe::Hour.end_of(nyse, last), close, "an early close cuts the last hour");
        assert!("1min".parse::<Timeframe>().is_err());
    }

    #[test]
    fn joined_bars_have_the_first_open_the_last_close_and_the_sum() {
        let candle = |minute: &str, [open, high, low, close]: [&str; 4]| Candle {
            at: at(&format!("2026-11-23T17:{minute}:00Z")),
            open: open.parse().unwrap(),
            high: high.parse().unwrap(),
            low: low.parse().unwrap(),
            close: close.parse().unwrap(),
            volume: "100".parse().unwrap(),
            trades: Some(2),
        };
        let mut joined = Joined::default();
        joined.add(Timeframe::FiveMinutes, &candle("05", ["10", "12", "9", "11"]));
        joined.add(Timeframe::FiveMinutes, &candle("06", ["11", "13", "10", "10.5"]));
        joined.add(Timeframe::FiveMinutes, &candle("10", ["10.5", "10.5", "8", "8"]));
        let found: Vec<Candle> = joined.into_candles().collect();
        assert_eq!(found.len(), 2);
        let mut first = candle("05", ["10", "13", "9", "10.5"]);
        (first.volume, first.trades) = ("200".parse().unwrap(), Some(4));
        assert_eq!(found[0], first);
        assert_eq!(found[1].at, at("2026-11-23T17:10:00Z"));
    }
}
