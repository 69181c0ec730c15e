//! What the holdings of an account may do: their greeks, a grid of moves, what may be lost, and what the days that were
//! say of them.

use aggregates::market::MarketTime;
use chrono::NaiveDate;
use projections::positions::PositionRow;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;

use super::closes::{Aligned, Closes, DAYS_MIN};
use super::missing::MissingAnswer;
use super::scenarios::{self, Cell, DRAWS, Past, RiskMethod, RiskRequest, SEED};
use crate::analysis::risk::stake::Stake;
use crate::analysis::risk::tail::Tail;
use crate::service::market::{OnUnderlying, computed, figure};
use crate::service::positions::rate;
use crate::service::turns::Turn;
use crate::service::{AccountGreeksAnswer, Service, ServiceError, Value};

/// What stands for the market.
const BENCHMARK: &str = "SPY";
/// Options that are revalued at the most: each takes some hundred valuations, of trees where it may be exercised early.
const OPTIONS_MAX: usize = 100;
/// Underlyings whose days are looked at at the most.
const UNDERLYINGS_MAX: usize = 100;

/// One cell of the stress grid.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "StressCell")]
pub struct StressAnswer {
    /// What every underlying does: -0.1 is 10 % down.
    pub underlying_change: String,
    /// What every implied volatility does, as a part of itself: 0.25 is from 20 % to 25 %.
    pub volatility_change: String,
    /// What the equity changes by.
    pub equity_change: Option<Value>,
    /// The same as a rate of the equity.
    pub equity_change_rate: Option<String>,
}

/// What may be lost of the present holdings. A loss is above zero; below zero even that case is a gain.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "ValueAtRisk")]
pub struct ValueAtRiskAnswer {
    /// `historical`, `parametric` or `monte_carlo`.
    pub method: &'static str,
    /// The probability with which the loss is not exceeded.
    pub confidence: String,
    /// Over how many trading days.
    pub horizon_days: u64,
    /// The smallest loss that is not exceeded with that probability.
    pub value_at_risk: Option<Value>,
    /// The same as a rate of the equity.
    pub value_at_risk_rate: Option<String>,
    /// The mean loss of the cases beyond it.
    pub expected_shortfall: Option<Value>,
    /// The same as a rate of the equity.
    pub expected_shortfall_rate: Option<String>,
    /// How many daily returns it was found from.
    pub days: usize,
    /// How many draws were made, of `monte_carlo`.
    pub draws: Option<usize>,
    /// What they were drawn from.
    pub seed: Option<u64>,
}

/// What the present holdings would have done on the days that all of them have closes of.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "HistoryRisk")]
pub struct HistoryRiskAnswer {
    /// How many daily returns there are.
    pub days: usize,
    /// The day of the close that the first is counted from.
    pub from: Option<NaiveDate>,
    /// The day of the last close.
    pub to: Option<NaiveDate>,
    /// A year's standard deviation of what they would have gained, as a part of the equity.
    pub volatility: Option<String>,
    /// How much of the benchmark's return the account makes by them.
    pub beta: Option<String>,
    /// What stands for the market.
    pub benchmark: &'static str,
    /// How many of the days the benchmark has closes of.
    pub benchmark_days: usize,
}

/// What figures are told by.
pub(super) struct About {
    /// The equity, if it is above zero.
    pub(super) worth: Option<Value>,
    /// Trading days of a year.
    pub(super) year: f64,
    /// The market clock.
    pub(super) now: MarketTime,
}

/// What holdings may do.
pub(super) struct Outlook {
    pub(super) greeks: AccountGreeksAnswer,
    pub(super) stress: Option<Vec<StressAnswer>>,
    pub(super) value_at_risk: Option<ValueAtRiskAnswer>,
    pub(super) history: Option<HistoryRiskAnswer>,
    pub(super) missing: Vec<MissingAnswer>,
}

impl Service {
    /// What these holdings of an account may do.
    ///
    /// # Errors
    /// The market has no time yet, or its record cannot be read.
    pub(super) async fn outlook(
        &self,
        held: &[PositionRow],
        request: &RiskRequest,
        about: &About,
        turn: &Turn,
    ) -> Result<Outlook, ServiceError> {
        let holdings = self.by_underlying(held).await?;
        let mut outlook = Outlook {
            greeks: AccountGreeksAnswer::of(&holdings),
            stress: None,
            value_at_risk: None,
            history: None,
            missing: Vec::new(),
        };
        let stakes = match revalued(&holdings) {
            Ok(stakes) => stakes,
            Err(why) => {
                outlook.missing.push(why.told(&["stress", "value_at_risk", "history"]));
                return Ok(outlook);
            }
        };
        let (aligned, benchmark) = match self.days_of(&holdings, about.now).await? {
            Ok((aligned, benchmark)) => (Some(aligned), benchmark),
            Err(why) => {
                outlook.missing.push(why.told(&["value_at_risk", "history"]));
                (None, Closes::default())
            }
        };
        let by = *request;
        let place = turn.place().await?;
        let (stress, past) = computed(move || {
            let past = aligned.map(|aligned| {
                let past = Past::of(&stakes, aligned);
                let tail = past.tail(&stakes, &by);
                (past, tail)
            });
            (scenarios::stress(&stakes), past)
        })
        .await?;
        drop(place);
        outlook.stress = Some(stress.iter().map(|it| StressAnswer::of(it, about.worth)).collect());
        if let Some((past, tail)) = past {
            let told = |tail| ValueAtRiskAnswer::of(tail, request, about.worth, past.days());
            outlook.value_at_risk = tail.map(told);
            let (history, why) = HistoryRiskAnswer::of(&past, &benchmark, about);
            outlook.history = Some(history);
            outlook.missing.extend(why);
        }
        Ok(outlook)
    }

    /// The days that were of these holdings and of the benchmark, or why nothing is told of them.
    async fn days_of(
        &self,
        holdings: &[OnUnderlying],
        now: MarketTime,
    ) -> Result<Result<(Aligned, Closes), MissingAnswer>, ServiceError> {
        if holdings.is_empty() {
            return Ok(Err(MissingAnswer::nothing_held()));
        }
        if holdings.len() > UNDERLYINGS_MAX {
            let message =
                format!("days are looked at of {UNDERLYINGS_MAX} underlyings at the most");
            let why = MissingAnswer::new("too_many_underlyings", message);
            return Ok(Err(why.counted(holdings.len(), UNDERLYINGS_MAX)));
        }
        let symbols = || holdings.iter().map(|it| it.greeks.underlying_symbol.as_str());
        let mut closes = self.closes(symbols().chain([BENCHMARK]), now).await?;
        let benchmark = closes.pop().unwrap_or_default();
        let all: Vec<_> = symbols().map(str::to_owned).zip(closes).collect();
        Ok(Aligned::of(&all).map(|aligned| (aligned, benchmark)))
    }
}

/// What can be revalued, or what is in the way of that.
fn revalued(holdings: &[OnUnderlying]) -> Result<Vec<Stake>, MissingAnswer> {
    let stakes: Option<Vec<Stake>> = holdings.iter().map(|it| it.stake.clone()).collect();
    let Some(stakes) = stakes else {
        let message = "a holding cannot be valued by the model: greeks.missing says why";
        let unvalued = holdings.iter().flat_map(|it| &it.greeks.greeks.missing);
        let symbols = unvalued.map(|it| it.symbol.clone());
        return Err(MissingAnswer::new("not_valued", message).of(symbols));
    };
    let options = stakes.iter().map(|stake| stake.options.len()).sum();
    if options > OPTIONS_MAX {
        let message = format!("{OPTIONS_MAX} options are revalued at the most");
        return Err(MissingAnswer::new("too_many_options", message).counted(options, OPTIONS_MAX));
    }
    Ok(stakes)
}

/// An estimate of dollars, and the same as a rate of the equity.
fn of_equity(dollars: f64, equity: Option<Value>) -> (Option<Value>, Option<String>) {
    let dollars = Value::estimated(dollars);
    let part = dollars.zip(equity).and_then(|(dollars, equity)| rate(dollars, equity));
    (dollars, part)
}

impl StressAnswer {
    fn of(cell: &Cell, equity: Option<Value>) -> Self {
        let (equity_change, equity_change_rate) = of_equity(cell.gain, equity);
        Self {
            underlying_change: cell.spot_change.to_string(),
            volatility_change: cell.volatility_change.to_string(),
            equity_change,
            equity_change_rate,
        }
    }
}

impl ValueAtRiskAnswer {
    fn of(tail: Tail, request: &RiskRequest, equity: Option<Value>, days: usize) -> Self {
        let (value_at_risk, value_at_risk_rate) = of_equity(tail.value_at_risk, equity);
        let (expected_shortfall, expected_shortfall_rate) =
            of_equity(tail.expected_shortfall, equity);
        let drawn = request.method == RiskMethod::MonteCarlo;
        Self {
            method: request.method.word(),
            confidence: request.confidence.normalize().to_string(),
            horizon_days: request.horizon_days,
            value_at_risk,
            value_at_risk_rate,
            expected_shortfall,
            expected_shortfall_rate,
            days,
            draws: drawn.then_some(DRAWS),
            seed: drawn.then_some(SEED),
        }
    }
}

impl HistoryRiskAnswer {
    #[expect(clippy::float_arithmetic, reason = "estimates, no money")]
    fn of(past: &Past, benchmark: &Closes, about: &About) -> (Self, Option<MissingAnswer>) {
        let worth = about.worth.and_then(|worth| worth.decimal().to_f64());
        let a_day = past.deviation().zip(worth).map(|(deviation, worth)| deviation / worth);
        let (dollars, benchmark_days) = past.beta(benchmark);
        let enough = benchmark_days >= DAYS_MIN;
        let beta = dollars.filter(|_| enough).zip(worth).map(|(dollars, worth)| dollars / worth);
        let why = match dollars {
            _ if !enough => {
                let message =
                    format!("{BENCHMARK} stands for the market, and lacks closes of these days");
                let why =
                    MissingAnswer::new("no_benchmark", message).counted(benchmark_days, DAYS_MIN);
                Some(why.of([BENCHMARK.to_owned()]))
            }
            None => Some(MissingAnswer::new("no_variation", "the benchmark has not moved")),
            Some(_) => None,
        };
        let history = Self {
            days: past.days(),
            from: past.dates.first().copied(),
            to: past.dates.last().copied(),
            volatility: a_day.and_then(|a_day| figure(a_day * libm::sqrt(about.year))),
            beta: beta.and_then(figure),
            benchmark: BENCHMARK,
            benchmark_days,
        };
        (history, why.map(|why| why.told(&["history.beta"])))
    }
}
