//! Bars of a symbol, page by page, and its price over a period.
//!
//! Only bars that are over by the market clock, raw: a split changes their terms from its day on.

use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use chrono::{TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::market::archive::ArchiveError;
use crate::market::bars::{BarQuery, Candle, Timeframe};
use crate::market::calendar::{new_york_date, new_york_midnight};
use crate::service::{Caller, Fault, Page, PageRequest, Service, ServiceError};

/// Bars of a price history at the most.
const HISTORY_MAX: usize = 2_000;

/// One bar. Amounts are dollars a share.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Bar")]
pub struct BarAnswer {
    /// Where it begins; of a daily bar, the midnight of its New York session date.
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
    pub trade_count: Option<u64>,
}

/// Which bars.
#[derive(Clone, Debug)]
pub struct BarsRequest {
    /// How long a bar is.
    pub timeframe: Timeframe,
    /// Those that begin here or later: today's by the market clock if absent, of daily ones those of a year.
    pub start: Option<MarketTime>,
    /// Those that begin before this: all that are over if absent.
    pub end: Option<MarketTime>,
    /// Which page of them.
    pub page: PageRequest,
}

/// A page of bars, in the order of their times.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Bars")]
pub struct BarsAnswer {
    /// The ticker.
    pub symbol: String,
    /// How long a bar is.
    pub timeframe: &'static str,
    /// Where they come from.
    pub source: &'static str,
    /// `raw`: not adjusted for splits and dividends.
    pub adjustment: &'static str,
    /// Nothing before this is known to the source.
    pub covers_from: Option<MarketTime>,
    /// The market clock: what is not over by it is not shown.
    pub market_time: MarketTime,
    /// The bars.
    #[serde(flatten)]
    pub page: Page<BarAnswer>,
}

/// How far back a price history goes from the market clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
    /// 91 days.
    ThreeMonths,
    /// 365 days.
    Year,
    /// 1,826 days.
    FiveYears,
}

impl Period {
    /// Every one, with its word.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("3month", Self::ThreeMonths),
        ("year", Self::Year),
        ("5year", Self::FiveYears),
    ];

    /// The word in requests and answers.
    pub fn word(self) -> &'static str {
        let [(day, _), (week, _), (month, _), (three, _), (year, _), (five, _)] = Self::WORDS;
        match self {
            Self::Day => day,
            Self::Week => week,
            Self::Month => month,
            Self::ThreeMonths => three,
            Self::Year => year,
            Self::FiveYears => five,
        }
    }

    const fn length(self) -> TimeDelta {
        TimeDelta::days(match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::ThreeMonths => 91,
            Self::Year => 365,
            Self::FiveYears => 1_826,
        })
    }

    /// The shortest bars that a history of this length is told in unless asked otherwise.
    const fn interval(self) -> Timeframe {
        match self {
            Self::Day => Timeframe::FiveMinutes,
            Self::Week => Timeframe::Hour,
            Self::Month | Self::ThreeMonths | Self::Year | Self::FiveYears => Timeframe::Day,
        }
    }
}

/// The price of a symbol over a period up to now.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "PriceHistory")]
pub struct HistoryAnswer {
    /// The ticker.
    pub symbol: String,
    /// How far back.
    pub period: &'static str,
    /// How long a bar is.
    pub interval: &'static str,
    /// Where the bars come from.
    pub source: &'static str,
    /// `raw`: not adjusted for splits and dividends.
    pub adjustment: &'static str,
    /// Nothing before this is known to the source.
    pub covers_from: Option<MarketTime>,
    /// The market clock.
    pub market_time: MarketTime,
    /// The bars, in the order of their times.
    pub bars: Vec<BarAnswer>,
}

/// Prices and volumes as they were at the time.
const RAW: &str = "raw";

impl Service {
    /// A page of a symbol's bars.
    ///
    /// # Errors
    /// No line of the market has named it, the market has no time yet, its source has no such bars, or a cursor of
    /// another list.
    pub async fn bars(
        &self,
        caller: &Caller,
        symbol: &str,
        request: &BarsRequest,
    ) -> Result<BarsAnswer, ServiceError> {
        self.is_listed(symbol)?;
        let (now, timeframe) = (self.now()?, request.timeframe);
        let BarsRequest { start, end, ref page, .. } = *request;
        let list = format!("bars/{symbol}/{}/{start:?}/{end:?}", timeframe.word());
        let after: Option<i64> = self.after(&list, page)?;
        let start = match after {
            Some(micros) => {
                let shown = chrono::DateTime::<Utc>::from_timestamp_micros(micros);
                shown.ok_or(ServiceError::BadCursor)? + TimeDelta::microseconds(1)
            }
            None => start.unwrap_or_else(|| first_of(timeframe, now)),
        };
        let size = page.size();
        let query = BarQuery {
            symbol: symbol.to_owned(),
            timeframe,
            start,
            end: end.map_or(now, |end| end.min(now)),
            limit: size + 1,
        };
        let found = self.parts.archive.bars(&query, now).await?;
        let position = self.head(caller).await?;
        let seal =
            |last: &Candle| self.parts.cursors.seal(&list, &last.at.timestamp_micros().to_string());
        Ok(BarsAnswer {
            symbol: query.symbol,
            timeframe: timeframe.word(),
            source: self.parts.archive.source(),
            adjustment: RAW,
            covers_from: found.covers_from,
            market_time: now,
            page: Page::cut(found.candles, size, position, seal, BarAnswer::from),
        })
    }

    /// The price of a symbol over a period, in bars of `interval`; without one, in the shortest that suit the period
    /// and that the source has.
    ///
    /// # Errors
    /// No line of the market has named it, the market has no time yet, its source has no such bars, or the interval
    /// is too short for the period.
    pub async fn history(
        &self,
        symbol: &str,
        period: Period,
        interval: Option<Timeframe>,
    ) -> Result<HistoryAnswer, ServiceError> {
        self.is_listed(symbol)?;
        let market_time = self.now()?;
        let mut query = BarQuery {
            symbol: symbol.to_owned(),
            timeframe: interval.unwrap_or_else(|| period.interval()),
            start: market_time - period.length(),
            end: market_time,
            limit: HISTORY_MAX + 1,
        };
        let found = loop {
            let longer = Timeframe::ALL.into_iter().find(|other| *other > query.timeframe);
            match (self.parts.archive.bars(&query, market_time).await, longer) {
                (Err(ArchiveError::Lacks { .. }), Some(longer)) if interval.is_none() => {
                    query.timeframe = longer;
                }
                (found, _) => break found?,
            }
        };
        if found.candles.len() > HISTORY_MAX {
            let message = format!(
                "a history of a {} in bars of {} has more than {HISTORY_MAX} bars: choose a longer interval",
                period.word(),
                query.timeframe.word()
            );
            let fault = Fault::new("interval", "invalid_value", message);
            return Err(ServiceError::Invalid(vec![fault]));
        }
        Ok(HistoryAnswer {
            symbol: query.symbol,
            period: period.word(),
            interval: query.timeframe.word(),
            source: self.parts.archive.source(),
            adjustment: RAW,
            covers_from: found.covers_from,
            market_time,
            bars: found.candles.into_iter().map(BarAnswer::from).collect(),
        })
    }
}

/// Where bars begin that are asked for without a start.
fn first_of(timeframe: Timeframe, now: MarketTime) -> MarketTime {
    match timeframe {
        Timeframe::Day => now - TimeDelta::days(365),
        _ => new_york_midnight(new_york_date(now)),
    }
}

impl From<Candle> for BarAnswer {
    fn from(candle: Candle) -> Self {
        let Candle { at, open, high, low, close, volume, trades } = candle;
        Self { at, open, high, low, close, volume, trade_count: trades }
    }
}
