//! Replacing an open order: the same order with other terms, and the reservation that these ask for, in one commit.
//!
//! Nothing is ever reserved for both: the account has to pay only what the new terms need beyond the old ones.

use super::placing::expiry;
use super::{Desk, MarketView, Undecided, World};
use crate::account::{AccountCommand, AccountError, TradingState};
use crate::id::{AccountId, OrderId};
use crate::order::{
    OrderChange, OrderCommand, OrderError, OrderSpec, OrderStatus, Side, worst_cost,
};
use crate::position::PositionCommand;
use crate::refusal::{Refusal, RefusalCode};

impl<W: World> Desk<'_, W> {
    /// Changes an order of this account; another account's order reads as none. One that is so already stays as it
    /// is. A refusal leaves the order as it was and is not recorded.
    pub(super) fn replace(
        &mut self,
        account_id: AccountId,
        order_id: OrderId,
        (change, seen): (&OrderChange, Option<u32>),
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let order = self.look_order(order_id)?;
        let spec = order.spec().filter(|spec| spec.account_id == account_id);
        let spec = spec.ok_or(OrderError::NotFound)?;
        let replaced = order.replaced(change)?;
        let (revision, fills) = (order.revision(), order.fills());
        if seen.is_some_and(|seen| seen != revision) {
            return Err(OrderError::Stale { revision, fills }.into());
        }
        if replaced == *spec {
            return Ok(());
        }
        if let Some((action_id, _)) = self.look_instrument(spec.instrument_id)?.splitting() {
            let message = format!(
                "the split {action_id} of {} is being applied: send the change again",
                spec.symbol
            );
            return Err(Refusal::new(RefusalCode::CorporateAction, message).into());
        }
        let reserve_price = match spec.side {
            Side::Buy if same_price(spec, &replaced) => order.reserve_price(),
            Side::Buy => Some(self.worst_price(&replaced, market)?),
            Side::Sell => None,
        };
        let leaves = replaced.qty.minus(order.filled_qty())?;
        let cost = reserve_price.map(|price| worst_cost(leaves, price, self.rules)).transpose()?;
        let account = self.look_account(account_id)?;
        let reserved = account.reservation(order_id);
        if account.policy().trading_state == TradingState::Halted {
            return Err(AccountError::Halted(TradingState::Halted).into());
        }
        if replaced.qty > spec.qty || cost.is_some_and(|cost| cost > reserved) {
            account.permits_order(spec.side, replaced.qty, cost.unwrap_or_default())?;
        }
        let expires_at = if replaced.lives_as(spec) { None } else { expiry(&replaced, market)? };
        self.order(
            order_id,
            &OrderCommand::Replace {
                change: change.clone(),
                reserve_price,
                expires_at,
                at: market.at,
            },
        )?;
        // A child that waits for its parent reserves nothing yet.
        if order.status() == Some(OrderStatus::Held) {
            return Ok(());
        }
        match cost {
            Some(amount) => {
                self.account(account_id, &AccountCommand::Rereserve { order_id, amount })
            }
            None => {
                let command = PositionCommand::Rereserve { order_id, qty: leaves };
                self.position(account_id, spec.instrument_id, &command)
            }
        }
    }
}

/// Whether the price that a buy reserves stays what it was.
fn same_price(spec: &OrderSpec, replaced: &OrderSpec) -> bool {
    let priced = |spec: &OrderSpec| (spec.limit_price, spec.stop_price, spec.trail);
    priced(spec) == priced(replaced)
}
