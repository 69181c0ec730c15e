//! What holdings gain in scenarios: moves of a grid, the days that were, and draws.
//!
//! All of it revalues the present holdings as a whole, from their present prices; nothing is bought or sold meanwhile and
//! no time passes. It takes from a millisecond to a second or two and is done off the threads that serve requests.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use chrono::NaiveDate;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::closes::{Aligned, Closes};
use crate::analysis::risk::draws::{Correlated, Draws};
use crate::analysis::risk::sample::{beta, deviation, mean};
use crate::analysis::risk::stake::{Ladder, Stake};
use crate::analysis::risk::tail::{self, Tail};
use crate::service::Fault;

/// The longest horizon, in trading days.
pub const HORIZON_MAX: u64 = 30;
/// Draws of a Monte Carlo.
pub(super) const DRAWS: usize = 10_000;
/// What they are drawn from: the same holdings on the same days have the same figures.
pub(super) const SEED: u64 = 1;
/// What every underlying does in the stress grid, in percent.
const SPOT_CHANGES: [i64; 7] = [-20, -10, -5, 0, 5, 10, 20];
/// What every implied volatility does, in percent of itself.
const VOLATILITY_CHANGES: [i64; 3] = [-25, 0, 25];
/// The confidence, if the asker does not say.
const CONFIDENCE: Decimal = Decimal::from_parts(95, 0, 0, false, 2);
/// A confidence is above the first and at most the second.
const CONFIDENCES: (Decimal, Decimal) =
    (Decimal::from_parts(5, 0, 0, false, 1), Decimal::from_parts(999, 0, 0, false, 3));

/// How value at risk is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskMethod {
    /// From the days that were, as they were.
    Historical,
    /// From a normal distribution with their mean and standard deviation.
    Parametric,
    /// From draws of normal returns that move together as theirs did.
    MonteCarlo,
}

impl RiskMethod {
    /// Every one, with its word.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("historical", Self::Historical),
        ("parametric", Self::Parametric),
        ("monte_carlo", Self::MonteCarlo),
    ];

    /// The word in requests and answers.
    pub fn word(self) -> &'static str {
        let [(historical, _), (parametric, _), (monte_carlo, _)] = Self::WORDS;
        match self {
            Self::Historical => historical,
            Self::Parametric => parametric,
            Self::MonteCarlo => monte_carlo,
        }
    }
}

/// Which value at risk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RiskRequest {
    /// How it is found.
    pub method: RiskMethod,
    /// The probability with which the loss is not exceeded.
    pub confidence: Decimal,
    /// Over how many trading days, 1 to [`HORIZON_MAX`].
    pub horizon_days: u64,
}

impl RiskRequest {
    /// As it was asked for: historical, 0.95 and a day where nothing is said.
    pub fn new(
        method: Option<RiskMethod>,
        confidence: Option<Decimal>,
        horizon_days: Option<u64>,
    ) -> Self {
        Self {
            method: method.unwrap_or(RiskMethod::Historical),
            confidence: confidence.unwrap_or(CONFIDENCE),
            horizon_days: horizon_days.unwrap_or(1),
        }
    }

    /// A confidence that no value at risk is found at.
    pub fn fault(&self) -> Option<Fault> {
        let (beyond, most) = CONFIDENCES;
        let message =
            format!("confidence is above {beyond} and at most {most}, such as 0.95 for 95 %");
        let fits = beyond < self.confidence && self.confidence <= most;
        (!fits).then(|| Fault::new("confidence", "invalid_value", message))
    }
}

/// One cell of the stress grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    /// What every underlying does, as a part of its price.
    pub(super) spot_change: Decimal,
    /// What every implied volatility does, as a part of itself.
    pub(super) volatility_change: Decimal,
    /// Dollars.
    pub(super) gain: f64,
}

/// What the holdings gain, in dollars, in every cell of the stress grid.
pub(super) fn stress(stakes: &[Stake]) -> Vec<Cell> {
    let changes = SPOT_CHANGES.iter().flat_map(|spot| VOLATILITY_CHANGES.map(|it| (*spot, it)));
    let cell = |(spot, volatility): (i64, i64)| {
        let gains = stakes.iter().map(|it| it.gain(spot as f64 / 100.0, volatility as f64 / 100.0));
        Cell {
            spot_change: Decimal::new(spot, 2).normalize(),
            volatility_change: Decimal::new(volatility, 2).normalize(),
            gain: gains.sum(),
        }
    };
    changes.map(cell).collect()
}

/// What the holdings would have gained on the days that were.
pub(super) struct Past {
    /// Dollars, day by day.
    gains: Vec<f64>,
    /// The days: the first is the one that the first gain is counted from.
    pub(super) dates: Vec<NaiveDate>,
    /// Logarithmic returns of the underlyings on these days.
    returns: Vec<Vec<f64>>,
}

impl Past {
    /// Of these stakes, each with the closes in the same place.
    pub(super) fn of(stakes: &[Stake], aligned: Aligned) -> Self {
        let changes: Vec<Vec<f64>> = aligned
            .closes
            .iter()
            .map(|closes| closes.windows(2).map(|pair| pair[1] / pair[0]).collect())
            .collect();
        let days = aligned.dates.len().saturating_sub(1);
        let gain = |day: usize| -> f64 {
            stakes.iter().zip(&changes).map(|(it, of)| it.gain(of[day] - 1.0, 0.0)).sum()
        };
        let returns = changes.iter().map(|of| of.iter().copied().map(libm::log).collect());
        Self {
            gains: (0..days).map(gain).collect(),
            returns: returns.collect(),
            dates: aligned.dates,
        }
    }

    /// How many days there are.
    pub(super) fn days(&self) -> usize {
        self.gains.len()
    }

    /// The standard deviation of a day's gain, in dollars.
    pub(super) fn deviation(&self) -> Option<f64> {
        deviation(&self.gains)
    }

    /// What may be lost of these stakes, in dollars.
    pub(super) fn tail(&self, stakes: &[Stake], request: &RiskRequest) -> Option<Tail> {
        let confidence = request.confidence.to_f64()?;
        let days = request.horizon_days as f64;
        match request.method {
            RiskMethod::Historical => {
                let losses = self.gains.iter().map(|gain| -gain).collect();
                Some(tail::empirical(losses, confidence)?.times(libm::sqrt(days)))
            }
            RiskMethod::Parametric => {
                let spread = deviation(&self.gains)? * libm::sqrt(days);
                Some(tail::normal(mean(&self.gains)? * days, spread, confidence))
            }
            RiskMethod::MonteCarlo => tail::empirical(self.drawn(stakes, days)?, confidence),
        }
    }

    /// What the stakes lose in each draw.
    fn drawn(&self, stakes: &[Stake], days: f64) -> Option<Vec<f64>> {
        let together = Correlated::of(&self.returns)?;
        let mut draws = Draws::of(SEED);
        let all: Vec<Vec<f64>> = (0..DRAWS).map(|_| together.changes(&mut draws, days)).collect();
        let mut losses = vec![0.0; DRAWS];
        for (place, stake) in stakes.iter().enumerate() {
            let of_stake = || all.iter().map(|changes| changes[place]);
            let low = of_stake().fold(f64::INFINITY, f64::min);
            let high = of_stake().fold(f64::NEG_INFINITY, f64::max);
            let ladder = Ladder::new(stake, low, high);
            losses.iter_mut().zip(of_stake()).for_each(|(loss, it)| *loss -= ladder.gain(it));
        }
        Some(losses)
    }

    /// How many dollars the gains move by for each whole return of a benchmark, and on how many days: those that begin and
    /// end with a close of it.
    pub(super) fn beta(&self, benchmark: &Closes) -> (Option<f64>, usize) {
        let closes = |date: &NaiveDate| benchmark.0.get(date).copied();
        let days = self.dates.windows(2).zip(&self.gains).filter_map(|(pair, gain)| {
            let (before, after) = (closes(&pair[0])?, closes(&pair[1])?);
            Some((*gain, after / before - 1.0))
        });
        let (own, of_benchmark): (Vec<f64>, Vec<f64>) = days.unzip();
        (beta(&own, &of_benchmark), own.len())
    }
}
