//! A binomial tree whose steps are chosen so that its end straddles the strike: its error falls without the waves of
//! other trees, so that two of them tell what an endless one would.
//!
//! Source: Leisen and Reimer, Binomial Models for Option Valuation (1996), with the second inversion of Peizer and
//! Pratt. Costs about half the square of the steps, some tens of microseconds.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use super::european::sign;
use super::{Claim, Conditions};

/// Steps of the finer of two trees: odd, as the method wants.
pub const STEPS: usize = 201;
/// Steps of the coarser one.
pub const COARSE_STEPS: usize = 101;

/// A wider spread of the underlying at the end changes no value by as much as a bit of it.
const SPREAD_MAX: f64 = 20.0;

/// What the inversion gives: the probability of a step up, and of one down, each exact when it is small.
fn odds(d: f64, steps: usize) -> (f64, f64) {
    let n = steps as f64;
    let scaled = d / (n + 1.0 / 3.0 + 0.1 / (n + 1.0));
    let tail = libm::exp(-scaled * scaled * (n + 1.0 / 6.0));
    let root = libm::sqrt(1.0 - tail);
    let (large, small) = (0.5 * (1.0 + root), 0.5 * tail / (1.0 + root));
    if d >= 0.0 { (large, small) } else { (small, large) }
}

/// What the right to exercise a claim at every moment adds to its value, in dollars a share: the difference of the two
/// options in trees of [`COARSE_STEPS`] and [`STEPS`] steps, and as much further as their error in the inverse of the steps goes.
pub(super) fn early_exercise(claim: &Claim, by: &Conditions, volatility: f64) -> f64 {
    let adds = |steps| {
        let (american, european) = values(claim, by, volatility, steps);
        american - european
    };
    let (fine, coarse) = (adds(STEPS), adds(COARSE_STEPS));
    let further = COARSE_STEPS as f64 / (STEPS - COARSE_STEPS) as f64;
    (fine + (fine - coarse) * further).max(0.0)
}

/// The values, in dollars a share, of a claim that may be exercised at every step and of one that may not.
fn values(claim: &Claim, by: &Conditions, volatility: f64, steps: usize) -> (f64, f64) {
    let Conditions { spot, rate, dividend_yield } = *by;
    let Claim { strike, years, .. } = *claim;
    let (sign, step) = (sign(claim.right), years / steps as f64);
    let spread = (volatility * libm::sqrt(years)).min(SPREAD_MAX);
    let drift = (rate - dividend_yield) * years;
    let d2 = (libm::log(spot / strike) + drift) / spread - 0.5 * spread;
    let ((up_odds, down_odds), (up_share, down_share)) =
        (odds(d2, steps), odds(d2 + spread, steps));
    let smallest = up_odds.min(down_odds).min(up_share).min(down_share);
    if smallest < f64::MIN_POSITIVE {
        return without_chance(claim, by);
    }
    let growth = libm::exp((rate - dividend_yield) * step);
    let (up, down) = (growth * up_share / up_odds, growth * down_share / down_odds);
    let discount = libm::exp(-rate * step);
    let (up_weight, down_weight) = (discount * up_odds, discount * down_odds);
    let ratio = up / down;
    // Prices of the underlying in the last row, from the lowest; the row before has them divided by `down`.
    let mut prices = [0.0; STEPS + 1];
    let mut price = spot * libm::exp(libm::log(down) * steps as f64);
    for slot in &mut prices[..=steps] {
        *slot = price;
        price *= ratio;
    }
    let mut american = prices.map(|price| (sign * (price - strike)).max(0.0));
    let mut european = american;
    for row in (0..steps).rev() {
        for node in 0..=row {
            prices[node] /= down;
            let held = down_weight * american[node] + up_weight * american[node + 1];
            american[node] = held.max(sign * (prices[node] - strike));
            european[node] = down_weight * european[node] + up_weight * european[node + 1];
        }
    }
    (american[0], european[0])
}

/// The same when the underlying cannot but grow as it is expected to: exercised at the best moment, and at the end.
fn without_chance(claim: &Claim, by: &Conditions) -> (f64, f64) {
    let Conditions { spot, rate, dividend_yield } = *by;
    let Claim { strike, years, .. } = *claim;
    let sign = sign(claim.right);
    let worth = |years: f64| {
        let share = spot * libm::exp(-dividend_yield * years);
        (sign * (share - strike * libm::exp(-rate * years))).max(0.0)
    };
    let turning = libm::log(rate * strike / (dividend_yield * spot)) / (rate - dividend_yield);
    let between = (turning > 0.0 && turning < years).then(|| worth(turning));
    let end = worth(years);
    (worth(0.0).max(end).max(between.unwrap_or(0.0)), end)
}
