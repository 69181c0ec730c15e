//! The market day by day: where each stock opens and closes, and the corporate actions that fall on a day.
//!
//! Days are folded from the first that the exchange's calendar knows, so that a day is the same whoever asks for it
//! and whenever. A stock's return is its beta times the market's, half its sector's and its own, each with a part
//! overnight (the gap) and a part in the session; weeks are calmer or wilder. Prices drift up by a trend and are drawn
//! back to it, so that they stay plausible however long it runs. One that has grown to two and a half times its first price is split 2 for 1. The
//! first ask costs some tens of milliseconds for the thousands of days before; memory is 8 bytes a stock and day.

#![expect(
    clippy::float_arithmetic,
    reason = "paths of a simulation; `to_tick` alone leads to prices"
)]

use std::sync::Arc;

use aggregates::market::MarketTime;
use chrono::{Datelike, Days as DayCount, NaiveDate};

use super::chance::{Chance, Purpose};
use super::universe::{STOCKS, Sector, Stock};
use crate::market::calendar::{Calendar, Hours, Session};
use crate::market::calendar_table::RANGE;

/// A year's standard deviation of the market's return.
const MARKET_VOLATILITY: f64 = 0.16;
/// The same of what a sector does beyond the market.
const SECTOR_VOLATILITY: f64 = 0.12;
/// How much of its sector's return a stock makes.
const SECTOR_WEIGHT: f64 = 0.5;
/// The part of a day's variance that falls between the sessions.
const OVERNIGHT: f64 = 0.2;
/// What prices grow in a year.
const GROWTH: f64 = 0.08;
/// How much of its distance to its trend a price loses in a year.
const REVERSION: f64 = 0.8;
/// A price that has grown by this is split.
const SPLIT_AT: f64 = 2.5;
/// No price falls below this, in dollars: a book of ten levels fits below it.
const FLOOR: f64 = 4.0;
/// Calendar days from one dividend of a stock to its next.
const QUARTER: i64 = 91;
/// Calendar days from a dividend's announcement to its ex date, and from there to its payment.
const NOTICE: u64 = 14;
const UNTIL_PAID: u64 = 21;

/// The factor that stands for the market; sectors come after it, then each stock's own.
const MARKET: usize = 0;

/// The factor of a sector.
const fn sector_factor(sector: Sector) -> usize {
    1 + sector as usize
}

/// The factor that is a stock's own.
const fn own_factor(stock: usize) -> usize {
    1 + Sector::COUNT + stock
}

/// What happens to a stock at the open of a day, beside its price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    /// Two shares for one.
    Split,
    /// A dividend becomes known.
    Dividend(Declared),
}

/// A dividend as it is announced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Declared {
    /// Cents a share.
    pub(super) cents: i64,
    /// The first session without it.
    pub(super) ex: NaiveDate,
    /// When it is paid.
    pub(super) pay: NaiveDate,
}

/// One session of the market.
#[derive(Debug)]
pub(super) struct Day {
    pub(super) session: Session,
    /// Where each stock opens, in dollars.
    pub(super) opens: Vec<f64>,
    /// By stock.
    pub(super) actions: Vec<(usize, Action)>,
}

impl Day {
    /// The days since year 1: what draws of the day are made from.
    pub(super) fn number(&self) -> i64 {
        number(self.session.date)
    }

    /// Whole minutes of the session.
    pub(super) fn minutes(&self) -> usize {
        let minutes = (self.session.close - self.session.open).num_minutes();
        usize::try_from(minutes).unwrap_or_default()
    }
}

/// The scale of a session's returns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    seed: u64,
    day: i64,
    /// The square root of a day's part of a year, times how wild the week is.
    day_root: f64,
}

impl Scale {
    pub(super) fn of(seed: u64, calendar: Calendar, date: NaiveDate) -> Self {
        let day = number(date);
        let week = Chance::of(seed, Purpose::Week, 0, day.div_euclid(7)).unit();
        let day_root = (1.0 / sessions_of_a_year(calendar)).sqrt() * (0.6 + 0.8 * week);
        Self { seed, day, day_root }
    }

    /// The standard deviation of a factor between the open and the close.
    pub(super) fn in_session(&self, factor: usize) -> f64 {
        volatility(factor) * self.day_root * (1.0 - OVERNIGHT).sqrt()
    }

    /// A factor's returns: overnight, and from the open to the close.
    pub(super) fn returns(&self, factor: usize) -> (f64, f64) {
        let mut chance = Chance::of(self.seed, Purpose::Session, factor, self.day);
        let overnight = volatility(factor) * self.day_root * OVERNIGHT.sqrt() * chance.normal();
        (overnight, self.in_session(factor) * chance.normal())
    }
}

/// A year's standard deviation of a factor; a stock's own is what is left of its volatility.
fn volatility(factor: usize) -> f64 {
    match factor.checked_sub(1 + Sector::COUNT) {
        Some(stock) => {
            let stock = &STOCKS[stock];
            let of_market = stock.beta * MARKET_VOLATILITY;
            let (of_sector, least) = match stock.sector {
                Sector::Index => (0.0, 0.01),
                _ => (SECTOR_WEIGHT * SECTOR_VOLATILITY, 0.3 * stock.volatility),
            };
            let whole = stock.volatility * stock.volatility;
            let left = whole - of_market * of_market - of_sector * of_sector;
            left.max(least * least).sqrt()
        }
        None if factor == MARKET => MARKET_VOLATILITY,
        None => SECTOR_VOLATILITY,
    }
}

/// The factors that a stock's return is made of, and how much of each: market, sector, its own. The index has no
/// sector.
pub(super) fn loadings(stock: usize) -> [(usize, f64); 3] {
    let Stock { beta, sector, .. } = STOCKS[stock];
    let in_sector = match sector {
        Sector::Index => (MARKET, 0.0),
        sector => (sector_factor(sector), SECTOR_WEIGHT),
    };
    [(MARKET, beta), in_sector, (own_factor(stock), 1.0)]
}

/// What a stock makes of what its factors do.
fn combined(stock: usize, of: impl Fn(usize) -> f64) -> f64 {
    loadings(stock).iter().map(|(factor, weight)| weight * of(*factor)).sum()
}

fn sessions_of_a_year(calendar: Calendar) -> f64 {
    match calendar.hours() {
        Hours::Nyse => 252.0,
        Hours::Always => 365.0,
    }
}

/// Dollars to the nearest tick of a cent, at least one: the only way from a path to a price.
pub(super) fn to_tick(dollars: f64) -> i64 {
    let cents = (dollars * 100.0 + 0.5).floor();
    // a float beyond the range ends at it
    (cents as i64).clamp(1, 900_000_000)
}

fn number(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce())
}

/// Where a stock has come to.
#[derive(Clone, Copy, Debug)]
struct Stand {
    close: f64,
    trend: f64,
    /// The dividend that it has announced, until its ex date.
    announced: Option<Declared>,
}

/// The days that were folded so far, in order.
#[derive(Debug)]
pub(super) struct Days {
    seed: u64,
    calendar: Calendar,
    known: Vec<Arc<Day>>,
    stands: Vec<Stand>,
    /// The date to look at next; `None` beyond the calendar.
    next: Option<NaiveDate>,
}

impl Days {
    pub(super) fn new(seed: u64, calendar: Calendar) -> Self {
        let (year, month, day) = RANGE[0];
        let stand = |price| Stand { close: price, trend: price, announced: None };
        Self {
            seed,
            calendar,
            known: Vec::new(),
            stands: STOCKS.iter().map(|stock| stand(stock.price)).collect(),
            next: NaiveDate::from_ymd_opt(year, month, day),
        }
    }

    /// The day whose session the instant is in, or the first after it; `None` beyond the calendar.
    pub(super) fn at_or_after(&mut self, at: MarketTime) -> Option<Arc<Day>> {
        while self.known.last().is_none_or(|day| day.session.close <= at) {
            self.fold_next()?;
        }
        let index = self.known.partition_point(|day| day.session.close <= at);
        self.known.get(index).cloned()
    }

    /// The last day whose session has begun at the instant; `None` before the first.
    pub(super) fn at_or_before(&mut self, at: MarketTime) -> Option<Arc<Day>> {
        // beyond the calendar the last day known is the last there is
        let _beyond = self.at_or_after(at);
        let begun = self.known.partition_point(|day| day.session.open <= at);
        self.known.get(begun.checked_sub(1)?).cloned()
    }

    /// The days on which something happened to a stock and whose sessions have begun at the instant.
    pub(super) fn until(&mut self, at: MarketTime) -> Vec<Arc<Day>> {
        // beyond the calendar the last day known is the last there is
        let _beyond = self.at_or_after(at);
        let begun = self.known.iter().take_while(|day| day.session.open <= at);
        begun.filter(|day| !day.actions.is_empty()).cloned().collect()
    }

    fn fold_next(&mut self) -> Option<()> {
        loop {
            let date = self.next?;
            let session = self.calendar.session_on(date);
            self.next = session.ok().and_then(|_| date.checked_add_days(DayCount::new(1)));
            if let Ok(Some(session)) = session {
                let day = self.fold(session);
                self.known.push(Arc::new(day));
                return Some(());
            }
        }
    }

    fn fold(&mut self, session: Session) -> Day {
        let date = session.date;
        let scale = Scale::of(self.seed, self.calendar, date);
        let factors = own_factor(STOCKS.len());
        let returns: Vec<(f64, f64)> = (0..factors).map(|factor| scale.returns(factor)).collect();
        let before = self.known.last().map_or(number(date), |day| day.number());
        let part = 1.0 / sessions_of_a_year(self.calendar);
        let (mut opens, mut actions) = (Vec::with_capacity(STOCKS.len()), Vec::new());
        for (index, stock) in STOCKS.iter().enumerate() {
            let mut stand = self.stands[index];
            stand.trend *= 1.0 + GROWTH * part;
            if stand.announced.is_none() && stand.close > SPLIT_AT * stock.price {
                stand.close /= 2.0;
                stand.trend /= 2.0;
                actions.push((index, Action::Split));
            } else if let Some(declared) = self.dividend(index, &stand, before, date) {
                stand.announced = Some(declared);
                actions.push((index, Action::Dividend(declared)));
            }
            let drawn_back = REVERSION * part * (stand.trend / stand.close - 1.0);
            let gap = combined(index, |factor| returns[factor].0) + drawn_back;
            let paid = match stand.announced {
                Some(Declared { cents, ex, .. }) if ex <= date => {
                    stand.announced = None;
                    cents as f64 / 100.0
                }
                _ => 0.0,
            };
            let open = (stand.close * (1.0 + gap).max(0.5) - paid).max(FLOOR);
            let moved = combined(index, |factor| returns[factor].1);
            stand.close = (open * (1.0 + moved).max(0.5)).max(FLOOR);
            opens.push(open);
            self.stands[index] = stand;
        }
        Day { session, opens, actions }
    }

    /// The dividend that a stock announces on a date: once a quarter, on the first session of its turn.
    fn dividend(
        &self,
        index: usize,
        stand: &Stand,
        before: i64,
        date: NaiveDate,
    ) -> Option<Declared> {
        let stock = &STOCKS[index];
        let turn = |day: i64| (day + 13 * index as i64).div_euclid(QUARTER);
        if stock.dividends <= 0.0 || stand.announced.is_some() || turn(before) == turn(number(date))
        {
            return None;
        }
        let mut ex = date.checked_add_days(DayCount::new(NOTICE))?;
        while self.calendar.session_on(ex).ok()?.is_none() {
            ex = ex.checked_add_days(DayCount::new(1))?;
        }
        let pay = ex.checked_add_days(DayCount::new(UNTIL_PAID))?;
        let cents = to_tick(stand.close * stock.dividends / 4.0);
        Some(Declared { cents, ex, pay })
    }
}
