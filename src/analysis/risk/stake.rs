//! What is held on one underlying, and what it gains when that moves.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use crate::analysis::options::{Claim, Conditions};

/// The distance between points of a [`Ladder`], as a part of the underlying's price.
const RUNG: f64 = 0.0025;
/// Points of a ladder at the most: beyond that they stand further apart.
const RUNGS_MAX: usize = 600;

/// An option that is held, as it is priced now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optioned {
    claim: Claim,
    by: Conditions,
    volatility: f64,
    shares: f64,
    /// Dollars a share, now.
    value: f64,
}

impl Optioned {
    /// An option on so many shares (below 0 when short) at the volatility that its price implies.
    pub fn new(claim: Claim, by: Conditions, volatility: f64, shares: f64) -> Self {
        Self { claim, by, volatility, shares, value: claim.value(&by, volatility) }
    }

    fn gain(&self, spot_change: f64, volatility_change: f64) -> f64 {
        let by = Conditions { spot: self.by.spot * (1.0 + spot_change), ..self.by };
        let value = self.claim.value(&by, self.volatility * (1.0 + volatility_change));
        self.shares * (value - self.value)
    }
}

/// What is held on one underlying.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stake {
    /// Dollars a share of it.
    pub spot: f64,
    /// Shares of it, below 0 when short.
    pub shares: f64,
    /// Options on it.
    pub options: Vec<Optioned>,
}

impl Stake {
    /// Dollars that it gains when the underlying's price and the volatilities of its options change at once by these parts
    /// of themselves, each above -1, and nothing else does: no time passes.
    pub fn gain(&self, spot_change: f64, volatility_change: f64) -> f64 {
        let options = self.options.iter().map(|it| it.gain(spot_change, volatility_change));
        self.shares * self.spot * spot_change + options.sum::<f64>()
    }
}

/// What a stake gains at many changes of its underlying's price: revalued at points a quarter of a percent apart, and on a
/// straight line between two of them. Without options that line is exact.
#[derive(Clone, Debug)]
pub struct Ladder {
    low: f64,
    rung: f64,
    gains: Vec<f64>,
}

impl Ladder {
    /// From one change to another, higher one.
    pub fn new(stake: &Stake, low: f64, high: f64) -> Self {
        let most = if stake.options.is_empty() { 1 } else { RUNGS_MAX };
        let rungs = (libm::ceil((high - low) / RUNG) as usize).clamp(1, most);
        let rung = (high - low) / rungs as f64;
        let gains = (0..=rungs).map(|at| stake.gain(low + rung * at as f64, 0.0)).collect();
        Self { low, rung, gains }
    }

    /// What it gains at a change between the two.
    pub fn gain(&self, change: f64) -> f64 {
        let last = self.gains.len() - 2;
        let at = if self.rung > 0.0 { (change - self.low) / self.rung } else { 0.0 };
        let below = (libm::floor(at).max(0.0) as usize).min(last);
        let (low, high) = (self.gains[below], self.gains[below + 1]);
        low + (high - low) * (at - below as f64)
    }
}
