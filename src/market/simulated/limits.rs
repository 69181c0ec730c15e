//! The limit-up limit-down bands of one session.
//!
//! The reference is the mean of a stock's price at the last five whole minutes. As on the exchanges it stays until that
//! mean is 1 % or more away from it, so bands are told some times a day and not every minute. They follow from the ways
//! of the day alone: whoever begins in the middle finds the same.

#![expect(
    clippy::float_arithmetic,
    reason = "a mean over paths of a simulation; `to_tick` alone leads to prices"
)]

use chrono::TimeDelta;

use super::days::to_tick;
use super::moments::price;
use super::paths::Paths;
use super::universe::STOCKS;
use crate::market::luld::around;
use crate::market::tick::{Luld, Tick};

/// Minutes that a reference is the mean of.
const MINUTES: usize = 5;
/// A reference stays while the mean is less than so many hundredths of it away.
const STAYS_PERCENT: i64 = 1;
/// Minutes before the close from which on widths are doubled.
const LATE: usize = 25;

/// The bands of all stocks in the session of `paths`, in the order of their times. `closes` says whether the session ends
/// with a close of the exchange, so that it has a late part.
pub(super) fn bands(paths: &Paths, closes: bool) -> Vec<Tick> {
    let minutes = paths.day.minutes();
    let late_from = if closes { minutes.saturating_sub(LATE) } else { minutes };
    let mut lines = Vec::new();
    for (stock, about) in STOCKS.iter().enumerate() {
        let (mut reference, mut was_late) = (0, false);
        for minute in 0..minutes {
            let mean = to_tick(mean(paths, stock, minute));
            let late = minute >= late_from;
            let moved = (mean - reference).abs() * 100 >= STAYS_PERCENT * reference;
            if !moved && late == was_late {
                continue;
            }
            reference = if moved { mean } else { reference };
            was_late = late;
            let (down, up) = around(about.tier, reference, late);
            let at = paths.day.session.open + TimeDelta::minutes(minute as i64);
            let symbol = about.symbol.to_owned();
            lines.push(Tick::Luld(Luld { symbol, down: price(down), up: price(up), at }));
        }
    }
    lines.sort_by_key(Tick::at);
    lines
}

/// The mean of a stock's price in dollars at the last whole minutes, this one included.
fn mean(paths: &Paths, stock: usize, minute: usize) -> f64 {
    let first = (minute + 1).saturating_sub(MINUTES);
    let sum: f64 = (first..=minute).map(|minute| paths.dollars(stock, minute * 60)).sum();
    sum / (minute + 1 - first) as f64
}
