//! The way of prices through one session, minute by minute.
//!
//! A factor's way is a random walk that ends at its return of the session (a bridge), wider at the open and the close
//! than at noon; a stock's way combines those of the market, its sector and its own, as its returns are. Between two
//! minutes it goes straight. Costs one draw a minute and factor: some tens of microseconds a stock and session.

#![expect(
    clippy::float_arithmetic,
    reason = "paths of a simulation; `to_tick` alone leads to prices"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::{Chance, Purpose};
use super::days::{Day, Scale, loadings};
use crate::market::calendar::Calendar;

/// How busy a session is after this part of it: a U, with a mean of 1.
pub(super) fn shape(part: f64) -> f64 {
    let from_noon = 2.0 * part - 1.0;
    0.55 + 1.35 * from_noon * from_noon
}

/// The ways of one session: those of some stocks, or of all.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) day: Arc<Day>,
    /// The price in dollars at each minute from the open to the close, by stock.
    by_stock: BTreeMap<usize, Vec<f64>>,
}

impl Paths {
    /// The ways of `stocks`.
    pub(super) fn of(
        seed: u64,
        calendar: Calendar,
        day: Arc<Day>,
        stocks: impl Iterator<Item = usize>,
    ) -> Self {
        let scale = Scale::of(seed, calendar, day.session.date);
        let mut walks: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        let mut by_stock = BTreeMap::new();
        for stock in stocks {
            let mut way = vec![0.0; day.minutes() + 1];
            for (factor, weight) in loadings(stock) {
                let walk = walks.entry(factor).or_insert_with(|| walk(seed, &day, &scale, factor));
                for (moved, of_factor) in way.iter_mut().zip(walk) {
                    *moved += weight * *of_factor;
                }
            }
            let open = day.opens[stock];
            for moved in &mut way {
                *moved = (open * (1.0 + *moved)).max(open / 2.0);
            }
            by_stock.insert(stock, way);
        }
        Self { day, by_stock }
    }

    /// The price in dollars of a stock, this many seconds after the open.
    pub(super) fn dollars(&self, stock: usize, seconds: usize) -> f64 {
        let Some(way) = self.by_stock.get(&stock) else { return self.day.opens[stock] };
        let last = way.len() - 1;
        let (from, to) = (way[(seconds / 60).min(last)], way[(seconds / 60 + 1).min(last)]);
        from + (to - from) * (seconds % 60) as f64 / 60.0
    }
}

/// A factor's return from the open, at each minute.
fn walk(seed: u64, day: &Day, scale: &Scale, factor: usize) -> Vec<f64> {
    let minutes = day.minutes();
    let whole = minutes.max(1) as f64;
    let step = scale.in_session(factor) / whole.sqrt();
    let mut chance = Chance::of(seed, Purpose::Walk, factor, day.number());
    let (mut way, mut sum) = (vec![0.0], 0.0);
    for minute in 0..minutes {
        sum += step * shape((minute as f64 + 0.5) / whole).sqrt() * chance.normal();
        way.push(sum);
    }
    let (_, moved) = scale.returns(factor);
    let off = moved - sum;
    for (minute, value) in way.iter_mut().enumerate() {
        *value += off * minute as f64 / whole;
    }
    way
}
