//! Option maths: value, greeks and implied volatility of one contract.
//!
//! European options by Black, Scholes and Merton with a continuous dividend yield, in closed form. American ones by the
//! European one and what Leisen-Reimer trees of [`tree::STEPS`] and fewer steps say that exercising early adds; where that is
//! never worth it they are European. Implied volatility by Brent's method on a bracket, with a reason where there is none.
//!
//! Everything here is `f64`: these are estimates under a model, and no money is moved by them. Rates are continuous and
//! yearly (0.045 is 4.5 %), a volatility of 1 is 100 % a year, a year has 365 days. The functions are those of `libm`, so
//! the same inputs give the same bits everywhere. Formulas, units and measured errors: `docs/options.md`.

mod american;
mod european;
mod implied;
pub mod tree;

#[cfg(test)]
mod tests;

use aggregates::instrument::Right;

pub use implied::{NoVolatility, VOLATILITY_MAX, VOLATILITY_MIN};

/// What is valued: one contract, a share of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// Call or put.
    pub right: Right,
    /// It may be exercised before it expires.
    pub american: bool,
    /// Dollars a share, above 0.
    pub strike: f64,
    /// Years until it expires, above 0.
    pub years: f64,
}

/// What it is valued by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Dollars a share of the underlying, above 0.
    pub spot: f64,
    /// What money earns without risk.
    pub rate: f64,
    /// What holders of the underlying are paid.
    pub dividend_yield: f64,
}

/// How the value of a claim on one share changes. Of American options that may be worth exercising early, what a tree
/// cannot tell is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Greeks {
    /// Dollars for a dollar of the underlying.
    pub delta: f64,
    /// Delta for a dollar of the underlying.
    pub gamma: f64,
    /// Dollars as a calendar day passes.
    pub theta: f64,
    /// Dollars for a point of volatility: 0.20 to 0.21.
    pub vega: f64,
    /// Dollars for a percent of the rate: 0.04 to 0.05.
    pub rho: f64,
    /// Delta for a point of volatility.
    pub vanna: f64,
    /// Delta as a calendar day passes.
    pub charm: f64,
    /// Vega for a point of volatility; volga is another word for it.
    pub vomma: f64,
    /// Vega as a calendar day passes.
    pub veta: f64,
    /// Gamma for a dollar of the underlying.
    pub speed: Option<f64>,
    /// Gamma for a point of volatility.
    pub zomma: Option<f64>,
    /// Gamma as a calendar day passes.
    pub color: Option<f64>,
}

/// Days of a year, for greeks a day.
const DAYS: f64 = 365.0;
/// Points of a volatility of 1, and percents of a rate of 1.
const HUNDRED: f64 = 100.0;

impl Claim {
    /// What it would bring if it were exercised at once, in dollars a share.
    #[expect(clippy::float_arithmetic, reason = "an estimate, no money")]
    pub fn intrinsic(&self, spot: f64) -> f64 {
        match self.right {
            Right::Call => (spot - self.strike).max(0.0),
            Right::Put => (self.strike - spot).max(0.0),
        }
    }

    /// The word for how it is valued.
    pub fn model(&self, by: &Conditions) -> &'static str {
        if self.is_european(by) { "black_scholes_merton" } else { "leisen_reimer" }
    }

    /// Whether exercising it early is never worth it, so that it has the value of a European option.
    fn is_european(&self, by: &Conditions) -> bool {
        !self.american
            || match self.right {
                Right::Call => by.dividend_yield <= 0.0 && by.rate >= 0.0,
                Right::Put => by.rate <= 0.0 && by.dividend_yield >= 0.0,
            }
    }

    /// Its value in dollars a share at a volatility above 0.
    pub fn value(&self, by: &Conditions, volatility: f64) -> f64 {
        if self.is_european(by) {
            european::value(self, by, volatility)
        } else {
            american::value(self, by, volatility)
        }
    }

    /// Its greeks at a volatility above 0.
    pub fn greeks(&self, by: &Conditions, volatility: f64) -> Greeks {
        if self.is_european(by) {
            european::greeks(self, by, volatility)
        } else {
            american::greeks(self, by, volatility)
        }
    }

    /// The first of its greeks alone, for a part of what all of them cost.
    pub fn delta(&self, by: &Conditions, volatility: f64) -> f64 {
        if self.is_european(by) {
            european::greeks(self, by, volatility).delta
        } else {
            american::delta(self, by, volatility)
        }
    }

    /// The volatility at which it has this value.
    ///
    /// # Errors
    /// There is none, or it is not the only one.
    pub fn implied_volatility(&self, by: &Conditions, value: f64) -> Result<f64, NoVolatility> {
        implied::volatility(self, by, value)
    }
}
