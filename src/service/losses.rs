//! What an account has lost, and what its policy lets it lose.

use aggregates::account::{LossLimit, LossStop, Losses, Policy, TradingState};
use aggregates::market::MarketTime;
use aggregates::money::{AmountError, Money};
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;

use super::Value;
use crate::engine::core::Counted;

/// How an account whose policy limits losses stands. Amounts are dollars; money that came in or went out since, and fees,
/// count neither as a profit nor as a loss.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Losses")]
pub struct LossesAnswer {
    /// The trading day, by the New York date of its session.
    pub day: NaiveDate,
    /// The equity that it began with, and what came in and went out since.
    pub day_opening_equity: Money,
    /// What is lost since then, below zero when it is a profit; absent when a position has no price, or none since a split
    /// or a dividend changed what its shares are worth.
    pub day_loss: Option<Value>,
    /// What may be lost in the day.
    pub max_daily_loss: Option<Money>,
    /// The highest equity since the count began, and what came in and went out since.
    pub peak_equity: Money,
    /// What is lost of it; absent as `day_loss` is.
    pub drawdown: Option<Value>,
    /// What may be lost of it.
    pub max_drawdown: Option<Money>,
    /// The limit that stopped the account: it may only reduce positions.
    pub stopped: Option<StopAnswer>,
}

/// The stop of an account.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "LossStop")]
pub struct StopAnswer {
    /// Which limit was reached: a daily loss stops until the next trading day, a drawdown until a person sets the trading
    /// state.
    pub limit: LossLimit,
    /// The equity that the loss was counted from.
    pub base: Money,
    /// What might be lost of it.
    pub max_loss: Money,
    /// What the account was worth then.
    pub equity: Money,
    /// What it might trade before.
    pub trading_state_before: TradingState,
    /// The market time.
    pub at: MarketTime,
}

impl LossesAnswer {
    /// Of an account with this equity, if losses are counted by it now. `counted` is what the engine knows beyond the log: the highest
    /// equity, and dividends due.
    ///
    /// # Errors
    /// A figure cannot be held.
    pub(super) fn of(
        policy: &Policy,
        losses: &Losses,
        counted: Option<Counted>,
        equity: Option<Value>,
    ) -> Result<Self, AmountError> {
        let told = Counted { peak: losses.peak, dividends_due: Money::ZERO };
        let Counted { peak, dividends_due } = counted.unwrap_or(told);
        let equity = equity.map(|equity| equity.plus(dividends_due)).transpose()?;
        let lost = |base: Money| equity.map(|equity| Value::from(base).minus(equity)).transpose();
        Ok(Self {
            day: losses.day,
            day_opening_equity: losses.opening,
            day_loss: lost(losses.opening)?,
            max_daily_loss: policy.max_daily_loss_of(losses.opening)?,
            peak_equity: peak,
            drawdown: lost(peak)?,
            max_drawdown: policy.max_drawdown_of(peak)?,
            stopped: losses.stop.as_ref().map(StopAnswer::of),
        })
    }
}

impl StopAnswer {
    fn of(stop: &LossStop) -> Self {
        let LossStop { limit, base, max_loss, equity, before, at } = *stop;
        Self { limit, base, max_loss, equity, trading_state_before: before, at }
    }
}
