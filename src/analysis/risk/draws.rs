//! Draws for Monte Carlo: days of several underlyings that move together as their returns did.
//!
//! Logarithmic returns are taken as normal, with the means and covariances of the sample, and those of several days as
//! independent: over h days the mean is h times a day's, and so is the covariance. Draws are made by the Cholesky factor
//! of the covariances: Glasserman, Monte Carlo Methods in Financial Engineering (2003), section 2.3.
#![expect(clippy::float_arithmetic, reason = "estimates, no money")]

use std::f64::consts::TAU;

use super::sample::{covariance, mean};

/// A pivot below this part of its variance is rounding: what it belongs to is told by what came before it.
const ROUNDING: f64 = 1e-10;
/// Steps of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Draws from a seed.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// Those of a seed: the same ones each time.
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0 and at most 1.
    fn unit(&mut self) -> f64 {
        // 2^-53: the top bits are exact as a float
        ((self.next() >> 11) + 1) as f64 * 1.110_223_024_625_156_5e-16
    }

    /// A standard normal number: Box and Muller, A Note on the Generation of Random Normal Deviates (1958).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
        radius * libm::cos(TAU * self.unit())
    }
}

/// Underlyings that move together.
#[derive(Clone, Debug)]
pub struct Correlated {
    means: Vec<f64>,
    /// Row by row what each makes of the draws, up to its own.
    factor: Vec<Vec<f64>>,
}

impl Correlated {
    /// As the logarithmic returns of the same days did, one list an underlying; `None` of fewer than two days.
    pub fn of(returns: &[Vec<f64>]) -> Option<Self> {
        let means = returns.iter().map(|it| mean(it)).collect::<Option<Vec<f64>>>()?;
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(returns.len());
        for (row, of) in returns.iter().enumerate() {
            let mut weights: Vec<f64> = Vec::with_capacity(row + 1);
            for (column, with) in returns[..row].iter().enumerate() {
                let explained = products(&weights, &factor[column]);
                let pivot = factor[column][column];
                let left = covariance(of, with)? - explained;
                weights.push(if pivot > 0.0 { left / pivot } else { 0.0 });
            }
            let variance = covariance(of, of)?;
            let left = variance - products(&weights, &weights);
            weights.push(if left > ROUNDING * variance { libm::sqrt(left) } else { 0.0 });
            factor.push(weights);
        }
        Some(Self { means, factor })
    }

    /// The change of each underlying's price over so many days, as a part of it.
    pub fn changes(&self, draws: &mut Draws, days: f64) -> Vec<f64> {
        let normals: Vec<f64> = self.means.iter().map(|_| draws.normal()).collect();
        let root = libm::sqrt(days);
        let each = self.means.iter().zip(&self.factor);
        each.map(|(mean, weights)| libm::expm1(days * mean + root * products(weights, &normals)))
            .collect()
    }
}

fn products(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}
