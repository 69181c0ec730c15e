//! The volatility that a price implies, or why there is none.
//!
//! A value rises with volatility, so what is between its least and its largest has one root; it is bracketed and found by
//! Brent's method, which cannot leave the bracket. Nothing outside is answered with an edge of it.
//!
//! Source of the method: Brent, Algorithms for Minimization without Derivatives (1973), chapter 4.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use super::{Claim, Conditions};

/// The least volatility that is looked for: 0.1 % a year.
pub const VOLATILITY_MIN: f64 = 0.001;
/// The largest volatility that is looked for: 1,000 % a year.
pub const VOLATILITY_MAX: f64 = 10.0;
/// How close to a root is close enough, as a volatility.
const TOLERANCE: f64 = 1e-9;
/// Values closer than this, as a part of the larger of spot and strike, are the same.
const SAME: f64 = 1e-10;
/// Steps of the search: halving alone would need 34.
const STEPS_MAX: usize = 100;

/// Why a price implies no volatility.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVolatility {
    /// No time is left.
    #[error("the option has expired")]
    Expired,
    /// A price, a spot or a strike that is zero or less, or no number.
    #[error("price, spot and strike must be numbers above zero")]
    NotPositive,
    /// The price is below what the option is worth without any volatility.
    #[error("the price is below what the option is worth without any volatility")]
    BelowIntrinsic,
    /// The price is what the option is worth without any volatility: every small one fits.
    #[error("the price holds no time value, so every small volatility fits it")]
    NoTimeValue,
    /// The price is at or above what the option can be worth: of a call the underlying's price, of a put the strike.
    #[error("the price is at or above what the option can be worth at any volatility")]
    AboveBound,
    /// The price needs more than the largest volatility that is looked for.
    #[error("the price needs a volatility above 1000 %")]
    AboveLargest,
    /// The search did not end.
    #[error("no volatility was found in the steps that the search may take")]
    NoConvergence,
}

impl NoVolatility {
    /// The machine word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotPositive => "not_positive",
            Self::BelowIntrinsic => "below_intrinsic",
            Self::NoTimeValue => "no_time_value",
            Self::AboveBound => "above_bound",
            Self::AboveLargest => "above_largest",
            Self::NoConvergence => "no_convergence",
        }
    }
}

/// The volatility at which a claim has this value.
pub(super) fn volatility(claim: &Claim, by: &Conditions, value: f64) -> Result<f64, NoVolatility> {
    let positive = |number: f64| number.is_finite() && number > 0.0;
    if ![value, by.spot, claim.strike].into_iter().all(positive) {
        return Err(NoVolatility::NotPositive);
    }
    if !positive(claim.years) {
        return Err(NoVolatility::Expired);
    }
    let same = SAME * by.spot.max(claim.strike);
    let (least, bound) = (claim.value(by, VOLATILITY_MIN), bound(claim, by));
    if value < least - same {
        return Err(NoVolatility::BelowIntrinsic);
    }
    if value <= least + same {
        return Err(NoVolatility::NoTimeValue);
    }
    if value >= bound {
        return Err(NoVolatility::AboveBound);
    }
    let off = |volatility: f64| claim.value(by, volatility) - value;
    let (low, high) = ((VOLATILITY_MIN, least - value), (VOLATILITY_MAX, off(VOLATILITY_MAX)));
    if high.1 < 0.0 {
        return Err(NoVolatility::AboveLargest);
    }
    root(off, low, high).ok_or(NoVolatility::NoConvergence)
}

/// What no volatility can lift the value to.
fn bound(claim: &Claim, by: &Conditions) -> f64 {
    use aggregates::instrument::Right::{Call, Put};
    let later = |rate: f64| {
        let at_end = libm::exp(-rate * claim.years);
        if claim.american { at_end.max(1.0) } else { at_end }
    };
    match claim.right {
        Call => by.spot * later(by.dividend_yield),
        Put => claim.strike * later(by.rate),
    }
}

/// The root of `off` between two points with values of different signs.
fn root(off: impl Fn(f64) -> f64, low: (f64, f64), high: (f64, f64)) -> Option<f64> {
    let ((mut a, mut fa), (mut b, mut fb)) = (low, high);
    let (mut c, mut fc) = (a, fa);
    let mut step = b - a;
    let mut before = step;
    for _ in 0..STEPS_MAX {
        if (fb > 0.0) == (fc > 0.0) {
            (c, fc) = (a, fa);
            step = b - a;
            before = step;
        }
        if fc.abs() < fb.abs() {
            (a, fa) = (b, fb);
            (b, fb) = (c, fc);
            (c, fc) = (a, fa);
        }
        let close = 2.0 * f64::EPSILON * b.abs() + 0.5 * TOLERANCE;
        let half = 0.5 * (c - b);
        if half.abs() <= close || fb == 0.0 {
            return Some(b);
        }
        (step, before) = if before.abs() >= close && fa.abs() > fb.abs() {
            interpolated((a, fa), (b, fb), (c, fc), before, close)
                .map_or((half, half), |next| (next, step))
        } else {
            (half, half)
        };
        (a, fa) = (b, fb);
        b += if step.abs() > close { step } else { close.copysign(half) };
        fb = off(b);
    }
    None
}

/// The step of an interpolation, if it stays well inside and is less than half of the one before the last.
fn interpolated(
    (a, fa): (f64, f64),
    (b, fb): (f64, f64),
    (c, fc): (f64, f64),
    before: f64,
    close: f64,
) -> Option<f64> {
    let (half, s) = (0.5 * (c - b), fb / fa);
    let (p, q) = if a == c {
        (2.0 * half * s, 1.0 - s)
    } else {
        let (q, r) = (fa / fc, fb / fc);
        let p = s * (2.0 * half * q * (q - r) - (b - a) * (r - 1.0));
        (p, (q - 1.0) * (r - 1.0) * (s - 1.0))
    };
    let (p, q) = if p > 0.0 { (p, -q) } else { (-p, q) };
    let inside = (3.0 * half * q - (close * q).abs()).min((before * q).abs());
    (2.0 * p < inside).then(|| p / q)
}
