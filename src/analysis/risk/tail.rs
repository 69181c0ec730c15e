//! Value at risk and expected shortfall.
//!
//! A loss is above 0 and a gain below. Value at risk at a confidence c is the smallest loss that is not exceeded with a
//! probability of at least c; expected shortfall is the mean of the quantiles beyond it, the integral from c to 1 over
//! 1 - c, which is never below value at risk. Source: Acerbi and Tasche, On the coherence of expected shortfall, Journal of
//! Banking and Finance 26 (2002).
#![expect(clippy::float_arithmetic, reason = "estimates, no money")]

use crate::analysis::normal::{density, quantile};

/// Losses closer to a whole number than this are at it: what a confidence such as 0.95 loses as a float.
const ROUNDING: f64 = 1e-9;

/// What may be lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The loss that is not exceeded, at the confidence.
    pub value_at_risk: f64,
    /// The mean loss of the worst cases.
    pub expected_shortfall: f64,
}

impl Tail {
    /// The same of losses that are so many times as large.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            value_at_risk: self.value_at_risk * factor,
            expected_shortfall: self.expected_shortfall * factor,
        }
    }
}

/// Of losses as they were, each as likely as the others. With n losses from the smallest to the largest, value at risk is
/// the one at place k = ceil(c n): an order statistic, nothing between two losses. Expected shortfall is the sum of those
/// behind it and of the part k - c n of it, over n (1 - c). `None` of nothing.
pub fn empirical(mut losses: Vec<f64>, confidence: f64) -> Option<Tail> {
    losses.sort_by(f64::total_cmp);
    let covered = confidence * losses.len() as f64;
    let place = libm::ceil(covered - ROUNDING).max(1.0);
    let value_at_risk = *losses.get(place as usize - 1)?;
    let beyond: f64 = losses.iter().skip(place as usize).sum();
    let part = (place - covered).max(0.0) * value_at_risk;
    let expected_shortfall = (beyond + part) / (losses.len() as f64 - covered);
    Some(Tail { value_at_risk, expected_shortfall: expected_shortfall.max(value_at_risk) })
}

/// Of gains that are normal with this mean and standard deviation: value at risk is z s - m with z the quantile of c,
/// expected shortfall s n(z) / (1 - c) - m with n the density.
pub fn normal(mean: f64, deviation: f64, confidence: f64) -> Tail {
    let z = quantile(confidence);
    Tail {
        value_at_risk: z * deviation - mean,
        expected_shortfall: density(z) / (1.0 - confidence) * deviation - mean,
    }
}
