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
