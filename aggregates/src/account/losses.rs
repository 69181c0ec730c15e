//! The limits on what an account may lose, and its stop when it has reached one.
//!
//! Losses are counted from the equity: cash, dividends that have accrued, and what the positions are worth. The daily
//! ones from that with which the trading day began, the drawdown from the highest since the count began. Money that comes
//! in or goes out moves both of them with it, and so do fees: none of it is a loss or a profit. What is told here follows
//! from the account's events alone; how far the equity has risen since the last of them is known to who sees the prices.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::{AccountEvent, TradingState};
use super::policy::Policy;
use crate::margin::Marked;
use crate::market::MarketTime;
use crate::money::{AmountError, Money};

/// A limit on losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossLimit {
    /// On what is lost since the trading day began.
    DailyLoss,
    /// On what is lost since the equity was highest.
    Drawdown,
}

impl LossLimit {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DailyLoss => "daily_loss",
            Self::Drawdown => "drawdown",
        }
    }
}

/// What an account was worth, with all that is needed to reckon it again: its cash is known from the events before.
#[derive(Clone, Debug, PartialEq)]
pub struct Worth {
    /// Cash, dividends due, and the value of the holdings: short ones less than nothing.
    pub equity: Money,
    /// Dividends that have accrued and are not yet paid.
    pub dividends_due: Money,
    /// The holdings, by instrument.
    pub holdings: Vec<Marked>,
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub limit: LossLimit,
    /// The equity that the loss is counted from.
    pub base: Money,
    /// What the policy lets the account lose of it.
    pub max_loss: Money,
}

/// The stop of an account that has reached a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossStop {
    /// Which limit.
    pub limit: LossLimit,
    /// The equity that the loss is counted from, as it was then.
    pub base: Money,
    /// What the policy let the account lose of it.
    pub max_loss: Money,
    /// What the account was worth.
    pub equity: Money,
    /// What it might trade before.
    pub before: TradingState,
    /// The market time.
    pub at: MarketTime,
}

/// What the losses of an account are counted from, as its events tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// The trading day.
    pub day: NaiveDate,
    /// The equity that it began with, and what came in and went out since.
    pub opening: Money,
    /// The highest equity since the count began, as it was last told, and what came in and went out since.
    pub peak: Money,
    /// The limit that stopped the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<LossStop>,
}

impl LossStop {
    /// Whether the account may be stopped by `limit` after this: by a drawdown, which stops for longer than a daily loss.
    pub fn gives_way_to(&self, limit: LossLimit) -> bool {
        (self.limit, limit) == (LossLimit::DailyLoss, LossLimit::Drawdown)
    }
}

impl Losses {
    /// Whether this limit can stop the account, as it stands.
    pub fn may_stop_by(&self, limit: LossLimit) -> bool {
        self.stop.as_ref().is_none_or(|stop| stop.gives_way_to(limit))
    }

    /// The limit that an account with this equity has reached, when its highest was `peak`: the drawdown before the
    /// daily loss, since it stops for longer.
    ///
    /// # Errors
    /// A figure is beyond the bound of money.
    pub fn reached(
        policy: &Policy,
        (opening, peak): (Money, Money),
        equity: Money,
    ) -> Result<Option<Reached>, AmountError> {
        let drawdown = (LossLimit::Drawdown, peak, policy.max_drawdown_of(peak)?);
        let daily = (LossLimit::DailyLoss, opening, policy.max_daily_loss_of(opening)?);
        for (limit, base, max_loss) in [drawdown, daily] {
            let Some(max_loss) = max_loss else { continue };
            let loss = base.minus(equity)?;
            if loss.is_positive() && loss >= max_loss {
                return Ok(Some(Reached { limit, base, max_loss }));
            }
        }
        Ok(None)
    }

    /// What an event of an account leaves of its policy and of the count of its losses. A reset, a person who sets
    /// the trading state while the account is stopped, and a policy without such limits end the count: the first line
    /// after it, if there are limits then, begins it again.
    ///
    /// # Errors
    /// A figure is beyond the bound of money.
    pub fn follow(
        policy: &mut Policy,
        losses: &mut Option<Self>,
        event: &AccountEvent,
    ) -> Result<(), AmountError> {
        match event {
            AccountEvent::PolicyChanged { policy: changed, ends_stop } => {
                let stopped = losses.as_ref().is_some_and(|losses| losses.stop.is_some());
                let sets = changed.trading_state != policy.trading_state;
                if stopped && (sets || *ends_stop) || !changed.limits_losses() {
                    *losses = None;
                }
                *policy = changed.clone();
            }
            AccountEvent::TradingDayBegan { day, equity, peak, .. } => {
                let stop = losses.take().and_then(|losses| losses.stop);
                *losses = Some(Self { day: *day, opening: *equity, peak: *peak, stop });
            }
            AccountEvent::LossLimitReached {
                limit,
                trading_state,
                base,
                max_loss,
                equity,
                peak,
                at,
                ..
            } => {
                let state = std::mem::replace(&mut policy.trading_state, *trading_state);
                if let Some(losses) = losses {
                    // A daily loss had stopped it before: what it might trade then is given back when this ends.
                    let before = losses.stop.as_ref().map_or(state, |stop| stop.before);
                    losses.peak = *peak;
                    losses.stop = Some(LossStop {
                        limit: *limit,
                        base: *base,
                        max_loss: *max_loss,
                        equity: *equity,
                        before,
                        at: *at,
                    });
                }
            }
            AccountEvent::LossLimitLifted { trading_state, .. } => {
                policy.trading_state = *trading_state;
                if let Some(losses) = losses {
                    losses.stop = None;
                }
            }
            AccountEvent::AccountReset { .. } => {
                if let Some(stop) = losses.take().and_then(|losses| losses.stop) {
                    policy.trading_state = stop.before;
                }
            }
            AccountEvent::CashDeposited { amount, .. } => Self::moved(losses, *amount)?,
            AccountEvent::CashWithdrawn { amount, .. }
            | AccountEvent::FeeCharged { amount, .. } => Self::moved(losses, amount.negated())?,
            _ => {}
        }
        Ok(())
    }

    fn moved(losses: &mut Option<Self>, amount: Money) -> Result<(), AmountError> {
        if let Some(losses) = losses {
            losses.opening = losses.opening.plus(amount)?;
            losses.peak = losses.peak.plus(amount)?;
        }
        Ok(())
    }
}

impl Policy {
    /// Whether it limits what the account may lose.
    pub fn limits_losses(&self) -> bool {
        self.max_daily_loss.is_some()
            || self.max_daily_loss_pct.is_some()
            || self.max_drawdown_pct.is_some()
    }

    /// What may be lost of the equity that a day began with; `None` without such a limit.
    ///
    /// # Errors
    /// The part cannot be held.
    pub fn max_daily_loss_of(&self, opening: Money) -> Result<Option<Money>, AmountError> {
        let part = self.max_daily_loss_pct.map(|percent| opening.percent_down(percent));
        let part = part.transpose()?;
        Ok(match (self.max_daily_loss, part) {
            (Some(dollars), Some(part)) => Some(dollars.min(part)),
            (dollars, part) => dollars.or(part),
        })
    }

    /// What may be lost of the highest equity; `None` without such a limit.
    ///
    /// # Errors
    /// The part cannot be held.
    pub fn max_drawdown_of(&self, peak: Money) -> Result<Option<Money>, AmountError> {
        self.max_drawdown_pct.map(|percent| peak.percent_down(percent)).transpose()
    }
}
