//! What a chain says as a whole: smile and term structure of volatility, expected move, put-call ratios, max pain,
//! liquidity.
//!
//! All of it is of contracts that have not expired. Sums are of those whose open interest or volume has been told, and say
//! of how many; a ratio without calls is absent.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use std::collections::BTreeMap;

use aggregates::instrument::Right;
use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;

use super::chains::{ChainRequest, Row};
use super::valuing::{Implied, Setting};
use super::{Assumed, BasisAnswer, RateAnswer, computed, figure};
use crate::service::unlisted::NAMED;
use crate::service::{Service, ServiceError};

/// Expirations of a term structure at the most, the next ones.
const EXPIRATIONS_MAX: usize = 24;
/// Strikes of a smile at the most, those nearest to the underlying's price.
const SMILE_MAX: usize = 40;

/// What a chain says as a whole.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionChainAnalysis")]
pub struct ChainAnalysis {
    /// On what.
    pub underlying: String,
    /// Its price.
    pub underlying_price: Option<BasisAnswer>,
    /// What money earns without risk.
    pub risk_free_rate: Option<RateAnswer>,
    /// What holders of the underlying are paid.
    pub dividend_yield: Option<RateAnswer>,
    /// What the market has not told, so that volatilities are absent.
    pub missing: Vec<&'static str>,
    /// The expiration that smile and liquidity are of: the one asked for, else the next.
    pub expiration_date: NaiveDate,
    /// Volatility by strike.
    pub smile: Vec<SmileAnswer>,
    /// Strikes further from the underlying's price that the smile leaves out.
    pub strikes_left_out: usize,
    /// How well the expiration is quoted and traded.
    pub liquidity: LiquidityAnswer,
    /// The next expirations.
    pub term_structure: Vec<ExpirationAnalysis>,
    /// Later expirations that the term structure leaves out.
    pub expirations_left_out: usize,
    /// The market clock.
    pub market_time: MarketTime,
}

/// What the prices at one strike imply.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "SmilePoint")]
pub struct SmileAnswer {
    /// Dollars a share.
    pub strike_price: Price,
    /// The strike as a part of the underlying's price.
    pub moneyness: Option<String>,
    /// The volatility that the call's price implies.
    pub call_volatility: Option<String>,
    /// The volatility that the put's price implies.
    pub put_volatility: Option<String>,
    /// Why one of them is absent although it has a price: the call's, else the put's.
    pub no_volatility: Option<&'static str>,
}

/// How well options are quoted and traded.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionLiquidity")]
pub struct LiquidityAnswer {
    /// Contracts listed.
    pub contracts: usize,
    /// Contracts with a standing quote.
    pub quoted: usize,
    /// The median of ask less bid as a part of their middle: 0.05 is 5 %.
    pub median_spread_rate: Option<String>,
    /// Contracts whose open interest has been told.
    pub open_interest_known_of: usize,
    /// The sum of these.
    pub open_interest: Option<Quantity>,
    /// Contracts whose volume has been told.
    pub volume_known_of: usize,
    /// The sum of these.
    pub volume: Option<Quantity>,
}

/// What the options of one expiration say.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionExpirationAnalysis")]
pub struct ExpirationAnalysis {
    /// The last day on which they can be exercised.
    pub expiration_date: NaiveDate,
    /// Days until it expires, by the market clock.
    pub days_to_expiration: Option<String>,
    /// The strike nearest to the forward, or to the underlying's price while the rates are not known.
    pub at_the_money_strike: Option<Price>,
    /// The mean of the volatilities that call and put imply there; of one of them, where the other implies none.
    pub at_the_money_volatility: Option<String>,
    /// Prices of call and put there together, in dollars a share: what the market pays for a move in either direction.
    pub expected_move: Option<Price>,
    /// The same as a part of the underlying's price.
    pub expected_move_rate: Option<String>,
    /// Open interest of puts for one of calls.
    pub put_call_ratio_open_interest: Option<String>,
    /// Volume of puts for one of calls.
    pub put_call_ratio_volume: Option<String>,
    /// The strike at which all open contracts together would be worth the least at expiration.
    pub max_pain: Option<Price>,
    /// Contracts listed.
    pub contracts: usize,
}

impl Service {
    /// What the chain asked for says as a whole.
    ///
    /// # Errors
    /// No line of the market has named the underlying, it has no options (at that date), or the market has no time yet.
    pub async fn analyze_chain(
        &self,
        request: &ChainRequest,
        assumed: Assumed,
    ) -> Result<ChainAnalysis, ServiceError> {
        let (assumed, now) = (assumed.checked()?, self.now()?);
        let every = ChainRequest { expiration_date: None, ..request.clone() };
        let mut chains: BTreeMap<NaiveDate, Vec<Row>> = BTreeMap::new();
        for row in self.rows(&every, now)? {
            chains.entry(row.1.contract.expiration()).or_default().push(row);
        }
        let next = request.expiration_date.or_else(|| chains.keys().next().copied());
        let chosen = next.filter(|date| chains.contains_key(date));
        let chosen = chosen.ok_or_else(|| no_chain(request, chains.keys()))?;
        let setting = self.setting(&request.underlying, assumed, now);
        let underlying = request.underlying.clone();
        computed(move || {
            let rows = &chains[&chosen];
            let (smile, strikes_left_out) = smile(&setting, rows);
            let nearest = chains.iter().take(EXPIRATIONS_MAX);
            let term_structure = nearest.map(|(date, rows)| expiration(&setting, *date, rows));
            ChainAnalysis {
                smile,
                strikes_left_out,
                liquidity: liquidity(rows),
                term_structure: term_structure.collect(),
                expirations_left_out: chains.len().saturating_sub(EXPIRATIONS_MAX),
                missing: setting.missing(),
                underlying,
                underlying_price: setting.underlying,
                risk_free_rate: setting.risk_free,
                dividend_yield: setting.dividend_yield,
                expiration_date: chosen,
                market_time: now,
            }
        })
        .await
    }
}

/// Why there is no chain as asked for, with the expirations that there are.
fn no_chain<'a>(
    request: &ChainRequest,
    listed: impl Iterator<Item = &'a NaiveDate>,
) -> ServiceError {
    let ChainRequest { underlying, expiration_date, right, .. } = request;
    let what = right.map_or("options", |right| match right {
        Right::Call => "calls",
        Right::Put => "puts",
    });
    let mut listed: Vec<NaiveDate> = listed.copied().collect();
    let message = match expiration_date {
        Some(asked) if !listed.is_empty() => {
            listed.sort_by_key(|date| (date.signed_duration_since(*asked).num_days().abs(), *date));
            let nearest = listed.iter().take(NAMED).map(NaiveDate::to_string);
            let nearest = nearest.collect::<Vec<_>>().join(", ");
            format!(
                "no {what} on {underlying} expire on {asked}: nearest to it are those of {nearest}; ask for the expirations of \
                 {underlying}"
            )
        }
        _ => format!(
            "the market has listed no {what} on {underlying} that have not expired, so there is no chain to analyze: \
             instruments of kind option are those that it has listed"
        ),
    };
    ServiceError::Unlisted(message)
}

fn smile(setting: &Setting, rows: &[Row]) -> (Vec<SmileAnswer>, usize) {
    let spot = setting.underlying.as_ref().map(|underlying| underlying.price);
    let mut strikes: BTreeMap<Price, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        strikes.entry(row.1.contract.strike()).or_default().push(row);
    }
    let mut nearest: Vec<Price> = strikes.keys().copied().collect();
    let all = nearest.len();
    if let Some(spot) = spot {
        nearest.sort_by_key(|strike| (strike.decimal() - spot.decimal()).abs());
    }
    nearest.truncate(SMILE_MAX);
    nearest.sort();
    let left_out = all - nearest.len();
    let points = nearest.into_iter().map(|strike| {
        let mut point = SmileAnswer {
            strike_price: strike,
            moneyness: spot.and_then(|spot| ratio(strike.decimal(), spot.decimal())),
            call_volatility: None,
            put_volatility: None,
            no_volatility: None,
        };
        for (glance, listed) in strikes.get(&strike).into_iter().flatten() {
            let slot = match listed.contract.right() {
                Right::Call => &mut point.call_volatility,
                Right::Put => &mut point.put_volatility,
            };
            match setting.implied(glance, listed).volatility {
                Some(Ok(volatility)) => *slot = figure(volatility),
                Some(Err(why)) => point.no_volatility = point.no_volatility.or(Some(why.word())),
                None => {}
            }
        }
        point
    });
    (points.collect(), left_out)
}

fn liquidity(rows: &[Row]) -> LiquidityAnswer {
    let mut spreads: Vec<Decimal> = rows
        .iter()
        .filter_map(|(glance, _)| {
            let quote = glance.quote.as_ref()?;
            let (bid, ask) = (quote.bid.decimal(), quote.ask.decimal());
            (ask - bid).checked_div((ask + bid).checked_div(Decimal::TWO)?)
        })
        .collect();
    spreads.sort();
    let median = spreads.get(spreads.len() / 2).and_then(|spread| figure(spread.to_f64()?));
    let interests: Vec<_> = rows.iter().filter_map(|(_, it)| it.interest.as_ref()).collect();
    let volumes: Vec<_> = interests.iter().filter_map(|interest| interest.volume).collect();
    LiquidityAnswer {
        contracts: rows.len(),
        quoted: spreads.len(),
        median_spread_rate: median,
        open_interest_known_of: interests.len(),
        open_interest: sum(interests.iter().map(|interest| interest.value)),
        volume_known_of: volumes.len(),
        volume: sum(volumes.into_iter()),
    }
}

fn expiration(setting: &Setting, date: NaiveDate, rows: &[Row]) -> ExpirationAnalysis {
    let spot = setting.underlying.as_ref().map(|underlying| underlying.price.decimal());
    let years = rows.first().map(|(_, listed)| setting.claim(listed).years);
    let middle = years.and_then(|years| setting.forward(years)).or_else(|| spot?.to_f64());
    let strikes = rows.iter().map(|(_, listed)| listed.contract.strike());
    let at_the_money = middle.and_then(|middle| {
        let away = |strike: &Price| strike.decimal().to_f64().map(|strike| (strike - middle).abs());
        strikes.min_by(|a, b| away(a).partial_cmp(&away(b)).unwrap_or(std::cmp::Ordering::Equal))
    });
    let there = rows.iter().filter(|(_, it)| Some(it.contract.strike()) == at_the_money);
    let there: Vec<(Right, Implied)> = there
        .map(|(glance, listed)| (listed.contract.right(), setting.implied(glance, listed)))
        .collect();
    let found: Vec<f64> =
        there.iter().filter_map(|(_, implied)| implied.volatility?.ok()).collect();
    let mean = (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64);
    let price_of = |right| {
        let (_, implied) = there.iter().find(|(other, _)| *other == right)?;
        Some(implied.price.as_ref()?.price)
    };
    let expected_move =
        price_of(Right::Call).zip(price_of(Right::Put)).and_then(|(call, put)| call.plus(put).ok());
    let told = |right, of: fn(&Row) -> Option<Quantity>| {
        sum(rows.iter().filter(|(_, it)| it.contract.right() == right).filter_map(of))
    };
    let put_call = |of| {
        let (puts, calls): (Quantity, Quantity) = (told(Right::Put, of)?, told(Right::Call, of)?);
        ratio(puts.decimal(), calls.decimal())
    };
    ExpirationAnalysis {
        expiration_date: date,
        days_to_expiration: years.and_then(|years| figure(years * 365.0)),
        at_the_money_strike: at_the_money,
        at_the_money_volatility: mean.and_then(figure),
        expected_move,
        expected_move_rate: expected_move
            .zip(spot)
            .and_then(|(it, spot)| ratio(it.decimal(), spot)),
        put_call_ratio_open_interest: put_call(open_interest),
        put_call_ratio_volume: put_call(volume),
        max_pain: max_pain(rows),
        contracts: rows.len(),
    }
}

fn open_interest((_, listed): &Row) -> Option<Quantity> {
    Some(listed.interest.as_ref()?.value)
}

fn volume((_, listed): &Row) -> Option<Quantity> {
    listed.interest.as_ref()?.volume
}

/// The strike at which what is open would be worth the least; the lower one of two.
fn max_pain(rows: &[Row]) -> Option<Price> {
    let open: Vec<(Right, f64, f64)> = rows
        .iter()
        .filter_map(|row| {
            let contract = &row.1.contract;
            let open = open_interest(row)?.decimal().to_f64()?;
            Some((contract.right(), contract.strike().decimal().to_f64()?, open))
        })
        .filter(|(.., open)| *open > 0.0)
        .collect();
    if open.is_empty() {
        return None;
    }
    let worth = |at: f64| -> f64 {
        let each = open.iter().map(|(right, strike, open)| match right {
            Right::Call => (at - strike).max(0.0) * open,
            Right::Put => (strike - at).max(0.0) * open,
        });
        each.sum()
    };
    let mut least: Option<(Price, f64)> = None;
    for (_, listed) in rows {
        let strike = listed.contract.strike();
        let worth = worth(strike.decimal().to_f64()?);
        if least.is_none_or(|(_, least)| worth < least) {
            least = Some((strike, worth));
        }
    }
    least.map(|(strike, _)| strike)
}

/// The sum of what has been told; none of nothing.
fn sum(told: impl Iterator<Item = Quantity>) -> Option<Quantity> {
    told.fold(None, |sum: Option<Quantity>, next| match sum {
        Some(sum) => Some(sum.plus(next).unwrap_or(Quantity::MAX)),
        None => Some(next),
    })
}

fn ratio(of: Decimal, to: Decimal) -> Option<String> {
    figure(of.checked_div(to)?.to_f64()?)
}
