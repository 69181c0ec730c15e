//! The standard normal distribution.
#![expect(clippy::float_arithmetic, reason = "probabilities, no money")]

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The probability of at most `x`, to the last few bits in both tails.
pub(super) fn below(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// The density at `x`.
pub(super) fn density(x: f64) -> f64 {
    libm::exp(-0.5 * x * x) / libm::sqrt(2.0 * PI)
}

/// How far from 0 a quantile is looked for: more than any confidence that a float below 1 can tell.
const FARTHEST: f64 = 40.0;
/// Halvings of that: a double has no closer numbers.
const HALVINGS: usize = 80;

/// The number that a standard normal is at most with this probability, which is above 0 and below 1: by halving, since
/// [`below`] rises.
pub(super) fn quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-FARTHEST, FARTHEST);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if below(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
