//! Daily closes of what is held, on the days that all of it has.
//!
//! Closes are those of the source's daily bars that are over by the market's clock, before a split on the terms after it;
//! dividends are left in, so returns are of prices alone.
#![expect(clippy::float_arithmetic, reason = "returns are estimates, no money")]

use std::collections::{BTreeMap, BTreeSet};

use aggregates::market::MarketTime;
use chrono::{NaiveDate, TimeDelta};
use rust_decimal::prelude::ToPrimitive;

use super::missing::MissingAnswer;
use crate::market::archive::DailyCloses;
use crate::market::bars::Timeframe;
use crate::market::calendar::new_york_date;
use crate::service::{Service, ServiceError};

/// Days that returns are taken of at the most: the latest ones, about a year of sessions.
pub(super) const DAYS_MAX: usize = 252;
/// Days below which nothing is told of them.
pub(super) const DAYS_MIN: usize = 30;
/// How far back closes are asked for: [`DAYS_MAX`] sessions and some holidays more.
const REACH: TimeDelta = TimeDelta::days(380);

/// The closes of one symbol by New York date.
#[derive(Clone, Debug, Default)]
pub(super) struct Closes(pub(super) BTreeMap<NaiveDate, f64>);

/// The closes of several symbols, in their order, on the days that all of them have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aligned {
    pub(super) dates: Vec<NaiveDate>,
    pub(super) closes: Vec<Vec<f64>>,
}

impl Service {
    /// The closes of these symbols, in their order, of as many days as returns are taken of; none where the source has no
    /// daily bars. Asked for together: a source looks once.
    ///
    /// # Errors
    /// The market's record cannot be read.
    pub(super) async fn closes(
        &self,
        symbols: impl Iterator<Item = &str>,
        now: MarketTime,
    ) -> Result<Vec<Closes>, ServiceError> {
        let symbols: Vec<String> = symbols.map(str::to_owned).collect();
        let told = self.parts.archive.daily_closes(&symbols, now - REACH, now).await?;
        Ok(told.into_iter().map(|told| self.closes_of(told)).collect())
    }

    /// These closes, on the terms of today.
    fn closes_of(&self, DailyCloses { closes, splits }: DailyCloses) -> Closes {
        let closes = closes.into_iter().filter_map(|(at, close)| {
            let over = Timeframe::Day.end_of(self.parts.calendar, at);
            let later = splits.iter().filter(|split| over <= split.at);
            let terms = later.map(|split| {
                let (new, old) = (split.numerator.decimal(), split.denominator.decimal());
                old.checked_div(new).and_then(|part| part.to_f64())
            });
            let terms: Option<f64> = terms.product();
            let close = close.decimal().to_f64()? * terms?;
            (close > 0.0).then(|| (new_york_date(at), close))
        });
        Closes(closes.collect())
    }
}

impl Aligned {
    /// The latest days that all of these symbols have a close of.
    ///
    /// # Errors
    /// There are fewer of them than returns are told of: the symbols that lack days, or all if each has enough of its own.
    pub(super) fn of(all: &[(String, Closes)]) -> Result<Self, MissingAnswer> {
        let mut each = all.iter().map(|(_, closes)| closes.0.keys().copied().collect());
        let first: BTreeSet<NaiveDate> = each.next().unwrap_or_default();
        let common = each.fold(first, |common: BTreeSet<NaiveDate>, dates: BTreeSet<NaiveDate>| {
            common.intersection(&dates).copied().collect()
        });
        let have = common.len().saturating_sub(1);
        if have < DAYS_MIN {
            let lacks = |closes: &Closes| closes.0.len() <= DAYS_MIN;
            let short = all.iter().filter(|(_, closes)| lacks(closes));
            let mut symbols: Vec<String> = short.map(|(symbol, _)| symbol.clone()).collect();
            if symbols.is_empty() {
                symbols.extend(all.iter().map(|(symbol, _)| symbol.clone()));
            }
            let what = "daily returns that all holdings have";
            return Err(MissingAnswer::too_little_history(what, have, DAYS_MIN).of(symbols));
        }
        let dates: Vec<NaiveDate> =
            common.into_iter().skip((have + 1).saturating_sub(DAYS_MAX + 1)).collect();
        let closes = all.iter().map(|(_, closes)| {
            dates.iter().filter_map(|date| closes.0.get(date).copied()).collect()
        });
        Ok(Self { closes: closes.collect(), dates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closes(from: usize, days: usize) -> Closes {
        let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
        let day = |at: usize| (first + chrono::Days::new(at as u64), at as f64);
        Closes((from..from + days).map(day).collect())
    }

    #[test]
    fn days_are_those_that_all_have_the_latest_of_them() {
        let all = [("A".to_owned(), closes(0, 300)), ("B".to_owned(), closes(7, 290))];
        let aligned = Aligned::of(&all).unwrap();
        assert_eq!((aligned.dates.len(), aligned.closes.len()), (DAYS_MAX + 1, 2));
        assert_eq!(aligned.closes[0], aligned.closes[1]);
        assert_eq!(aligned.closes[0].last(), Some(&296.0));
    }

    #[test]
    fn who_lacks_days_is_named_with_what_there_is() {
        let short = [("A".to_owned(), closes(0, 300)), ("B".to_owned(), closes(0, 30))];
        let missing = Aligned::of(&short).unwrap_err();
        assert_eq!((missing.have, missing.need), (Some(29), Some(30)));
        assert_eq!((missing.code, missing.symbols), ("too_little_history", vec!["B".to_owned()]));
        let apart = [("A".to_owned(), closes(0, 100)), ("B".to_owned(), closes(90, 100))];
        let missing = Aligned::of(&apart).unwrap_err();
        assert_eq!((missing.have, missing.symbols.len()), (Some(9), 2));
        let enough = [("A".to_owned(), closes(0, 31))];
        assert_eq!(Aligned::of(&enough).unwrap().dates.len(), 31);
    }
}
