//! The limits that an account trades under. All are off by default; cancels pass in every state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::AccountError;
use super::event::TradingState;
use crate::money::{Money, Price, Quantity};

/// The limits that an account trades under. Off by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// What it may trade at present.
    pub trading_state: TradingState,
    /// The most shares of one order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_order_qty: Option<Quantity>,
    /// The highest worst cost of one order that opens or adds to a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_order_notional: Option<Money>,
    /// How far a limit may be beyond the market, in percent of the reference: 5 is 5 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_collar_pct: Option<Price>,
    /// The most shares that a position may come to, long or short, if all open orders that add to it fill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_position_qty: Option<Quantity>,
    /// The most that such a position may be worth, in percent of the equity: 25 is 25 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concentration_pct: Option<Price>,
    /// The most open orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_open_orders: Option<u32>,
    /// What may be lost of the equity that a trading day begins with, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_daily_loss: Option<Money>,
    /// The same in percent of that equity: 5 is 5 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_daily_loss_pct: Option<Price>,
    /// What may be lost of the highest equity, in percent of it: 10 is 10 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_drawdown_pct: Option<Price>,
}

impl Policy {
    /// Whether a decision under it needs the prices of what the account holds.
    pub fn needs_prices(&self) -> bool {
        self.max_concentration_pct.is_some()
    }

    /// Whether the engine has to know of it before anything else happens.
    pub fn needs_engine(&self) -> bool {
        self.needs_prices() || self.limits_losses()
    }
}

/// A change of limits: what is `None` stays as it is, and `Some(None)` lifts a limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyChange {
    /// What it may trade from now on.
    pub trading_state: Option<TradingState>,
    /// The most shares of one order.
    pub max_order_qty: Option<Option<Quantity>>,
    /// The highest worst cost of one order that opens or adds to a position.
    pub max_order_notional: Option<Option<Money>>,
    /// How far a limit may be beyond the market, in percent.
    pub price_collar_pct: Option<Option<Price>>,
    /// The most shares that a position may come to.
    pub max_position_qty: Option<Option<Quantity>>,
    /// The most that a position may be worth, in percent of the equity.
    pub max_concentration_pct: Option<Option<Price>>,
    /// The most open orders.
    pub max_open_orders: Option<Option<u32>>,
    /// What may be lost of a trading day's first equity, in dollars.
    pub max_daily_loss: Option<Option<Money>>,
    /// The same in percent.
    pub max_daily_loss_pct: Option<Option<Price>>,
    /// What may be lost of the highest equity, in percent.
    pub max_drawdown_pct: Option<Option<Price>>,
}

impl PolicyChange {
    /// The policy after this change.
    ///
    /// # Errors
    /// A limit that permits nothing.
    pub(super) fn of(&self, policy: &Policy) -> Result<Policy, AccountError> {
        let named = [
            ("max_order_qty", self.max_order_qty.flatten().map(Quantity::is_positive)),
            ("max_order_notional", self.max_order_notional.flatten().map(Money::is_positive)),
            ("price_collar_pct", self.price_collar_pct.flatten().map(Price::is_positive)),
            ("max_position_qty", self.max_position_qty.flatten().map(Quantity::is_positive)),
            ("max_concentration_pct", self.max_concentration_pct.flatten().map(Price::is_positive)),
            ("max_open_orders", self.max_open_orders.flatten().map(|max| max > 0)),
            ("max_daily_loss", self.max_daily_loss.flatten().map(Money::is_positive)),
            ("max_daily_loss_pct", self.max_daily_loss_pct.flatten().map(Price::is_positive)),
            ("max_drawdown_pct", self.max_drawdown_pct.flatten().map(Price::is_positive)),
        ];
        if let Some((field, _)) = named.iter().find(|(_, permits)| *permits == Some(false)) {
            return Err(AccountError::LimitNotPositive(field));
        }
        Ok(Policy {
            trading_state: self.trading_state.unwrap_or(policy.trading_state),
            max_order_qty: self.max_order_qty.unwrap_or(policy.max_order_qty),
            max_order_notional: self.max_order_notional.unwrap_or(policy.max_order_notional),
            price_collar_pct: self.price_collar_pct.unwrap_or(policy.price_collar_pct),
            max_position_qty: self.max_position_qty.unwrap_or(policy.max_position_qty),
            max_concentration_pct: self
                .max_concentration_pct
                .unwrap_or(policy.max_concentration_pct),
            max_open_orders: self.max_open_orders.unwrap_or(policy.max_open_orders),
            max_daily_loss: self.max_daily_loss.unwrap_or(policy.max_daily_loss),
            max_daily_loss_pct: self.max_daily_loss_pct.unwrap_or(policy.max_daily_loss_pct),
            max_drawdown_pct: self.max_drawdown_pct.unwrap_or(policy.max_drawdown_pct),
        })
    }
}

impl From<Policy> for PolicyChange {
    /// The change to exactly this policy.
    fn from(policy: Policy) -> Self {
        Self {
            trading_state: Some(policy.trading_state),
            max_order_qty: Some(policy.max_order_qty),
            max_order_notional: Some(policy.max_order_notional),
            price_collar_pct: Some(policy.price_collar_pct),
            max_position_qty: Some(policy.max_position_qty),
            max_concentration_pct: Some(policy.max_concentration_pct),
            max_open_orders: Some(policy.max_open_orders),
            max_daily_loss: Some(policy.max_daily_loss),
            max_daily_loss_pct: Some(policy.max_daily_loss_pct),
            max_drawdown_pct: Some(policy.max_drawdown_pct),
        }
    }
}
