//! What an option is quoted at: a value on a declared surface of volatility, and a spread around it.
//!
//! The value is that of a European option by [`crate::analysis::options`], whose functions every machine rounds alike, and
//! at least what exercising brings: trees, which know what exercising early adds, would cost a hundred times as much.
#![expect(
    clippy::float_arithmetic,
    reason = "a surface of a simulation; `to_tick` alone leads to prices"
)]

use aggregates::instrument::Right;

use super::days::to_tick;
use super::universe::Stock;
use crate::analysis::options::{Claim, Conditions};

/// What money earns without risk, in hundredths of a percent a year.
pub(super) const RISK_FREE: i64 = 400;
/// The volatility of an option that expires at once, as a part of its stock's, and what it gains in a year.
const TERM: (f64, f64) = (0.95, 0.2);
/// Years from which on it gains no more.
const TERM_YEARS: f64 = 0.5;
/// How much the volatility falls with the strike, and how much it rises away from the price, by standard deviations that
/// the strike is away.
const SKEW: f64 = 0.06;
const SMILE: f64 = 0.02;
/// Standard deviations from which on it stays.
const AWAY_MOST: f64 = 3.0;
/// Half of the spread, as a part of the value: at the price, and more for each standard deviation away from it.
const HALF_SPREAD: f64 = 0.006;
/// The most of it, in ticks.
const HALF_SPREAD_MOST: i64 = 100;
/// What is worth less than this, in dollars, is not quoted.
const WORTHLESS: f64 = 0.005;

/// What is quoted, on a share of `stock`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoting<'a> {
    pub(super) stock: &'a Stock,
    pub(super) right: Right,
    /// Dollars.
    pub(super) strike: f64,
    /// Years until it expires, above 0.
    pub(super) years: f64,
    /// Dollars that the stock costs.
    pub(super) spot: f64,
}

impl Quoting<'_> {
    /// Standard deviations from the price up to the strike.
    fn away(&self) -> f64 {
        let deviation = self.stock.volatility * self.years.sqrt();
        ((self.strike / self.spot - 1.0) / deviation).clamp(-AWAY_MOST, AWAY_MOST)
    }

    /// The volatility that it is valued by: higher for later expirations, for strikes below the price, and far from it.
    pub(super) fn volatility(&self) -> f64 {
        let (at_once, gain) = TERM;
        let term = at_once + gain * self.years.min(TERM_YEARS);
        let away = self.away();
        self.stock.volatility * term * (1.0 - SKEW * away + SMILE * away * away)
    }

    /// Dollars a share.
    pub(super) fn value(&self) -> f64 {
        let Self { right, strike, years, spot, .. } = *self;
        let claim = Claim { right, american: false, strike, years };
        let rate = RISK_FREE as f64 / 10_000.0;
        let by = Conditions { spot, rate, dividend_yield: self.stock.dividends };
        claim.value(&by, self.volatility()).max(claim.intrinsic(spot))
    }

    /// Bid and ask in ticks, the bid below the ask; none of what is worth nothing.
    pub(super) fn quote(&self) -> Option<(i64, i64)> {
        let value = self.value();
        if value < WORTHLESS {
            return None;
        }
        let half = to_tick(value * HALF_SPREAD * (1.0 + self.away().abs())).min(HALF_SPREAD_MOST);
        let middle = to_tick(value);
        Some(((middle - half).max(1), middle + half))
    }
}

#[cfg(test)]
mod tests {
    use super::super::universe::STOCKS;
    use super::*;

    /// Every tenth of a percent to a fifth below and above the price.
    fn across(stock: &Stock, right: Right, days: f64) -> Vec<Quoting<'_>> {
        let spot = stock.price;
        let strikes = (-200..=200).map(|thousandths| spot * (1.0 + f64::from(thousandths) / 1e3));
        let years = days / 365.0;
        strikes.map(|strike| Quoting { stock, right, strike, years, spot }).collect()
    }

    fn all() -> impl Iterator<Item = (&'static Stock, f64)> {
        let days = [0.1, 1.0, 5.0, 11.0, 30.0, 60.0, 95.0];
        STOCKS[..4].iter().flat_map(move |stock| days.map(|days| (stock, days)))
    }

    #[test]
    fn no_strikes_can_be_bought_and_sold_for_a_sure_gain() {
        for (stock, days) in all() {
            for right in Right::ALL {
                let values: Vec<f64> =
                    across(stock, right, days).iter().map(Quoting::value).collect();
                let step = stock.price / 1e3;
                for three in values.windows(3) {
                    let sign = if right == Right::Call { -1.0 } else { 1.0 };
                    let change = sign * (three[1] - three[0]);
                    assert!(
                        (-1e-9..=step + 1e-9).contains(&change),
                        "{} {days} {three:?}",
                        stock.symbol
                    );
                }
                let coarse: Vec<f64> = values.iter().step_by(20).copied().collect();
                for three in coarse.windows(3) {
                    let bent = three[0] + three[2] - 2.0 * three[1];
                    assert!(bent > -0.01, "{} {days} {right:?} {three:?}", stock.symbol);
                }
            }
        }
    }

    #[test]
    fn calls_and_puts_are_in_parity_within_the_spread() {
        for (stock, days) in all() {
            let (calls, puts) = (across(stock, Right::Call, days), across(stock, Right::Put, days));
            for (call, put) in calls.iter().zip(&puts).step_by(10) {
                let Some((call_quoted, put_quoted)) = call.quote().zip(put.quote()) else {
                    continue;
                };
                let dollars = |ticks: i64| ticks as f64 / 100.0;
                // To buy the call and sell the put, and the other way round.
                let (dear, cheap) =
                    (dollars(call_quoted.1 - put_quoted.0), dollars(call_quoted.0 - put_quoted.1));
                let rate = RISK_FREE as f64 / 10_000.0;
                let discounted = call.strike * (-rate * call.years).exp();
                let paid = call.spot * (-stock.dividends * call.years).exp();
                // The bounds of American options: exercising early may be worth the interest on the strike.
                assert!(dear >= paid - call.strike - 0.02, "{} {days} {call:?}", stock.symbol);
                assert!(cheap <= call.spot - discounted + 0.02, "{} {days} {put:?}", stock.symbol);
            }
        }
    }

    #[test]
    fn volatility_rises_away_from_the_price_more_below_it_and_with_time() {
        for (stock, days) in all() {
            let smile: Vec<f64> =
                across(stock, Right::Call, days).iter().map(Quoting::volatility).collect();
            let (low, middle, high) = (smile[0], smile[200], smile[400]);
            assert!(low > middle && low > high, "{} {days}", stock.symbol);
            let bounds = 0.9 * stock.volatility..1.6 * stock.volatility;
            assert!(smile.iter().all(|volatility| bounds.contains(volatility)), "{smile:?}");
        }
        let at_the_money = |days: f64| across(&STOCKS[1], Right::Put, days)[200].volatility();
        assert!(at_the_money(7.0) < at_the_money(30.0) && at_the_money(30.0) < at_the_money(90.0));
    }

    #[test]
    fn spreads_are_a_tick_at_least_and_widen_away_from_the_price() {
        for (stock, days) in all() {
            for right in Right::ALL {
                let across = across(stock, right, days);
                let relative = |quoting: &Quoting<'_>| {
                    let (bid, ask) = quoting.quote()?;
                    assert!(0 < bid && bid < ask && ask - bid <= 2 * HALF_SPREAD_MOST);
                    Some((ask - bid) as f64 / (ask + bid) as f64)
                };
                let widths: Vec<Option<f64>> = across.iter().map(relative).collect();
                let middle = widths[200].unwrap();
                // Out of the money, where the value falls too.
                let out = if right == Right::Call { 230 } else { 170 };
                assert!(widths[out].is_none_or(|width| width > middle), "{} {days}", stock.symbol);
            }
        }
    }
}
