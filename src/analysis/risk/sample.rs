//! What a sample of returns says of what it was taken from.
#![expect(clippy::float_arithmetic, reason = "estimates, no money")]

/// The mean; `None` of nothing.
pub fn mean(sample: &[f64]) -> Option<f64> {
    (!sample.is_empty()).then(|| sample.iter().sum::<f64>() / sample.len() as f64)
}

/// How two samples of the same days vary together: the sum of products of their distances from their means, over one
/// less than the number of days. `None` of fewer than two days.
pub fn covariance(one: &[f64], other: &[f64]) -> Option<f64> {
    let (mean_one, mean_other) = (mean(one)?, mean(other)?);
    let products = one.iter().zip(other).map(|(a, b)| (a - mean_one) * (b - mean_other));
    let days = one.len().min(other.len());
    (days >= 2).then(|| products.sum::<f64>() / (days - 1) as f64)
}

/// The standard deviation of the sample: the root of its covariance with itself. `None` of fewer than two days.
pub fn deviation(sample: &[f64]) -> Option<f64> {
    covariance(sample, sample).map(libm::sqrt)
}

/// How much of a benchmark's return comes along: covariance over the benchmark's variance. `None` of fewer than two days,
/// or if the benchmark has not moved.
pub fn beta(returns: &[f64], benchmark: &[f64]) -> Option<f64> {
    let variance = covariance(benchmark, benchmark).filter(|variance| *variance > 0.0)?;
    Some(covariance(returns, benchmark)? / variance)
}
