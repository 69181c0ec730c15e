//! American options: the European one, in closed form, and what trees say that exercising early adds; and differences
//! of that.
//!
//! Differences are central. Third derivatives are left out: the tree's value bends where a row begins to be exercised, and
//! such a difference would show the bends.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use super::{Claim, Conditions, DAYS, Greeks, HUNDRED, european, tree};

/// How far the underlying is moved, as a part of the spread that it is expected to have.
const SPOT_PART: f64 = 0.1;
/// The least and the most of that, as parts of its price.
const SPOT_PARTS: (f64, f64) = (0.001, 0.05);
/// How far the volatility is moved: a point, but no more than a part of it.
const VOLATILITY_STEP: f64 = 0.01;
const VOLATILITY_PART: f64 = 0.1;
/// How far the rate is moved.
const RATE_STEP: f64 = 0.001;
/// How far time is moved: a day, but no more than a part of what is left.
const TIME_PART: f64 = 0.05;

/// Dollars a share: never below what exercising it at once brings, nor below the European option.
pub(super) fn value(claim: &Claim, by: &Conditions, volatility: f64) -> f64 {
    let early = tree::early_exercise(claim, by, volatility);
    (european::value(claim, by, volatility) + early).max(claim.intrinsic(by.spot))
}

/// How far the underlying is moved, in dollars.
fn spot_step(claim: &Claim, by: &Conditions, volatility: f64) -> f64 {
    let (least, most) = SPOT_PARTS;
    let expected = volatility * libm::sqrt(claim.years) * SPOT_PART;
    by.spot * expected.clamp(least, most)
}

/// Dollars for a dollar of the underlying.
pub(super) fn delta(claim: &Claim, by: &Conditions, volatility: f64) -> f64 {
    let h = spot_step(claim, by, volatility);
    let at = |spot: f64| value(claim, &Conditions { spot, ..*by }, volatility);
    (at(by.spot + h) - at(by.spot - h)) / (2.0 * h)
}

/// All but the third derivatives.
pub(super) fn greeks(claim: &Claim, by: &Conditions, volatility: f64) -> Greeks {
    let h = spot_step(claim, by, volatility);
    let v = VOLATILITY_STEP.min(volatility * VOLATILITY_PART);
    let t = (1.0 / DAYS).min(claim.years * TIME_PART);
    let at = |spot: f64, volatility: f64, years: f64| {
        let (claim, by) = (Claim { years, ..*claim }, Conditions { spot, ..*by });
        value(&claim, &by, volatility)
    };
    let (spot, years) = (by.spot, claim.years);
    let middle = at(spot, volatility, years);
    let (high, low) = (at(spot + h, volatility, years), at(spot - h, volatility, years));
    let (more, less) = (at(spot, volatility + v, years), at(spot, volatility - v, years));
    let (later, sooner) = (at(spot, volatility, years + t), at(spot, volatility, years - t));
    let slope = |volatility: f64, years: f64| {
        (at(spot + h, volatility, years) - at(spot - h, volatility, years)) / (2.0 * h)
    };
    let vega_at = |years: f64| {
        (at(spot, volatility + v, years) - at(spot, volatility - v, years)) / (2.0 * v)
    };
    let at_rate = |rate: f64| value(claim, &Conditions { rate, ..*by }, volatility);
    let rho = (at_rate(by.rate + RATE_STEP) - at_rate(by.rate - RATE_STEP)) / (2.0 * RATE_STEP);
    let vanna = (slope(volatility + v, years) - slope(volatility - v, years)) / (2.0 * v);
    let charm = (slope(volatility, years - t) - slope(volatility, years + t)) / (2.0 * t);
    let veta = (vega_at(years - t) - vega_at(years + t)) / (2.0 * t);
    Greeks {
        delta: (high - low) / (2.0 * h),
        gamma: (high - 2.0 * middle + low) / (h * h),
        theta: (sooner - later) / (2.0 * t) / DAYS,
        vega: (more - less) / (2.0 * v) / HUNDRED,
        rho: rho / HUNDRED,
        vanna: vanna / HUNDRED,
        charm: charm / DAYS,
        vomma: (more - 2.0 * middle + less) / (v * v) / (HUNDRED * HUNDRED),
        veta: veta / (HUNDRED * DAYS),
        speed: None,
        zomma: None,
        color: None,
    }
}
