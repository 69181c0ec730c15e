//! European options: Black, Scholes and Merton, in closed form.
//!
//! Source: Haug, The Complete Guide to Option Pricing Formulas, 2nd edition, chapters 1 and 2, with a cost of carry of
//! rate less dividend yield. Greeks over time have the sign of time that passes: a long option has a theta below zero.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use aggregates::instrument::Right;

use super::{Claim, Conditions, DAYS, Greeks, HUNDRED};
use crate::analysis::normal::{below, density};

/// What all formulas share.
struct Terms {
    /// 1 of a call, -1 of a put.
    sign: f64,
    d1: f64,
    d2: f64,
    root: f64,
    /// What a dollar at expiration is worth now.
    discount: f64,
    /// The same of a share, whose dividends are given up.
    share: f64,
}

impl Terms {
    fn of(claim: &Claim, by: &Conditions, volatility: f64) -> Self {
        let Conditions { spot, rate, dividend_yield } = *by;
        let root = libm::sqrt(claim.years);
        let spread = volatility * root;
        let drift = (rate - dividend_yield + 0.5 * volatility * volatility) * claim.years;
        let d1 = (libm::log(spot / claim.strike) + drift) / spread;
        Self {
            sign: sign(claim.right),
            d1,
            d2: d1 - spread,
            root,
            discount: libm::exp(-rate * claim.years),
            share: libm::exp(-dividend_yield * claim.years),
        }
    }
}

pub(super) const fn sign(right: Right) -> f64 {
    match right {
        Right::Call => 1.0,
        Right::Put => -1.0,
    }
}

/// Dollars a share.
pub(super) fn value(claim: &Claim, by: &Conditions, volatility: f64) -> f64 {
    let Terms { sign, d1, d2, discount, share, .. } = Terms::of(claim, by, volatility);
    sign * (by.spot * share * below(sign * d1) - claim.strike * discount * below(sign * d2))
}

/// Every one of them.
pub(super) fn greeks(claim: &Claim, by: &Conditions, volatility: f64) -> Greeks {
    let Terms { sign, d1, d2, root, discount, share } = Terms::of(claim, by, volatility);
    let Conditions { spot, rate, dividend_yield } = *by;
    let (years, strike) = (claim.years, claim.strike);
    let spread = volatility * root;
    let dense = share * density(d1);
    let in_money = below(sign * d2);
    let delta = sign * share * below(sign * d1);
    let gamma = dense / (spot * spread);
    let vega = spot * dense * root;
    // How d1 moves with time, times two: what charm, color and the decay of delta share.
    let moving = (2.0 * (rate - dividend_yield) * years - d2 * spread) / spread;
    let theta = -spot * dense * volatility / (2.0 * root)
        - sign * rate * strike * discount * in_money
        + dividend_yield * spot * delta;
    let charm = dividend_yield * delta - dense * moving / (2.0 * years);
    let color =
        dense / (2.0 * spot * years * spread) * (2.0 * dividend_yield * years + 1.0 + moving * d1);
    let veta = vega
        * (dividend_yield + (rate - dividend_yield) * d1 / spread
            - (1.0 + d1 * d2) / (2.0 * years));
    Greeks {
        delta,
        gamma,
        theta: theta / DAYS,
        vega: vega / HUNDRED,
        rho: sign * strike * years * discount * in_money / HUNDRED,
        vanna: -dense * d2 / volatility / HUNDRED,
        charm: charm / DAYS,
        vomma: vega * d1 * d2 / volatility / (HUNDRED * HUNDRED),
        veta: veta / (HUNDRED * DAYS),
        speed: Some(-gamma / spot * (d1 / spread + 1.0)),
        zomma: Some(gamma * (d1 * d2 - 1.0) / volatility / HUNDRED),
        color: Some(color / DAYS),
    }
}
