//! How well an account did, from its returns day by day.
//!
//! Returns are parts of the worth before the day, deposits left out: 0.01 is 1 %. Yearly figures are those of a day times
//! the days, or the root of the days, of a year.
#![expect(clippy::float_arithmetic, reason = "estimates, no money")]

use super::sample::{deviation, mean};

/// How far below its highest worth something was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawdown {
    /// The furthest, as a part of the highest worth before it: 0.25 is 25 %.
    pub largest: f64,
    /// At the end.
    pub present: f64,
}

/// A year's standard deviation; `None` of fewer than two days.
pub fn volatility(returns: &[f64], days: f64) -> Option<f64> {
    Some(deviation(returns)? * libm::sqrt(days))
}

/// The mean return beyond the risk-free one over the standard deviation, of a year. `None` of fewer than two days, or if
/// nothing has moved. Source: Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21 (1994).
pub fn sharpe(returns: &[f64], risk_free: f64, days: f64) -> Option<f64> {
    let deviation = deviation(returns).filter(|deviation| *deviation > 0.0)?;
    Some((mean(returns)? - risk_free / days) / deviation * libm::sqrt(days))
}

/// The mean return beyond the risk-free one over the downside deviation, of a year: the root of the mean, over all days, of
/// the squares of what a return lacks to the risk-free one. `None` of nothing, or if no day lacked any. Source: Sortino and
/// Price, Performance measurement in a downside risk framework, Journal of Investing 3 (1994).
pub fn sortino(returns: &[f64], risk_free: f64, days: f64) -> Option<f64> {
    let target = risk_free / days;
    let lacking: Vec<f64> = returns.iter().map(|it| (it - target).min(0.0)).collect();
    let squares: Vec<f64> = lacking.iter().map(|it| it * it).collect();
    let downside = mean(&squares).map(libm::sqrt).filter(|downside| *downside > 0.0)?;
    Some((mean(returns)? - target) / downside * libm::sqrt(days))
}

/// Drawdowns of a dollar that had these returns one after the other; `None` of nothing.
pub fn drawdown(returns: &[f64]) -> Option<Drawdown> {
    let (mut worth, mut highest, mut largest): (f64, f64, f64) = (1.0, 1.0, 0.0);
    for it in returns {
        worth *= 1.0 + it;
        highest = highest.max(worth);
        largest = largest.max(1.0 - worth / highest);
    }
    let present = 1.0 - worth / highest;
    (!returns.is_empty()).then_some(Drawdown { largest, present })
}
