//! Replacing an open order: the same order with other terms, and the reservation that these ask for, in one commit.
//!
//! Nothing is ever reserved for both: the account has to pay only what the new terms need beyond the old ones.

use super::margin::to_reserve;
use super::placing::{expiry, takes_part};
use super::reducing::asks_more;
use super::{Desk, MarketView, Undecided, World};
use crate::account::{AccountCommand, AccountError, TradingState};
use crate::id::{AccountId, OrderId};
use crate::market::MarketTime;
use crate::money::Money;
use crate::order::{
    OrderChange, OrderCommand, OrderError, OrderSpec, OrderStatus, Part, ResizeCause, worst_cost,
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
        if spec.is_of_options() {
            return self.replace_options(order_id, (order, spec, &replaced), change, market);
        }
        self.permits_exit(order_id, spec, &replaced)?;
        if spec.part() == Some(Part::Entry) {
            self.keeps_its_part(order_id, spec)?;
        }
        if let Some((action_id, _)) = self.look_instrument(spec.instrument_id)?.splitting() {
            let message = format!(
                "the split {action_id} of {} is being applied: send the change again",
                spec.symbol
            );
            return Err(Refusal::new(RefusalCode::CorporateAction, message).into());
        }
        takes_part(spec, market)?;
        let leaves = replaced.qty.minus(order.filled_qty())?;
        let parts = self.parts(order_id, &replaced, leaves)?;
        let reserve_price = match order.reserve_price() {
            _ if parts.opens.is_zero() => None,
            Some(price) if same_price(spec, &replaced) => Some(price),
            _ => self.reserve_price(&replaced, &parts, &market.once_changed(&replaced))?,
        };
        let account = self.look_account(account_id)?;
        let reserved = account.reservation(order_id);
        let (cost, amount) = match reserve_price {
            Some(price) => (
                worst_cost(parts.opens, price, self.rules)?,
                to_reserve(account, parts.opens, price, self.rules)?,
            ),
            None => (Money::ZERO, Money::ZERO),
        };
        let opens_more = amount > reserved;
        if account.policy().trading_state == TradingState::Halted {
            return Err(AccountError::Halted(TradingState::Halted).into());
        }
        if replaced.qty > spec.qty || opens_more {
            account.permits_order(!parts.opens.is_zero(), replaced.qty, cost)?;
            self.is_whole(&replaced, &parts)?;
        }
        let expires_at = if replaced.lives_as(spec) { None } else { expiry(&replaced, market)? };
        if asks_more(order, (spec, &replaced), expires_at) {
            if !parts.opens.is_zero() {
                account.may_open()?;
            }
            self.keeps_covered(order_id, &replaced, leaves)?;
        }
        if replaced.qty > spec.qty {
            self.uncovers((order_id, &replaced), leaves, &market.marks)?;
        }
        if replaced.qty > spec.qty || !same_price(spec, &replaced) {
            self.within_policy((order_id, &replaced), leaves, &parts, market)?;
        }
        self.order(
            order_id,
            &OrderCommand::Replace {
                change: change.clone(),
                reserve_price,
                expires_at,
                at: market.at,
            },
        )?;
        self.replace_relatives(order_id, (spec, &replaced), expires_at, market.at)?;
        // The shares of exits follow fills, and one that is held reserves nothing yet.
        if matches!(spec.part(), Some(Part::Exit(_))) {
            return Ok(());
        }
        if !parts.closes.is_zero() {
            let command = PositionCommand::Rereserve { order_id, qty: parts.closes };
            self.position(account_id, spec.instrument_id, &command)?;
        }
        if parts.opens.is_zero() && reserved.is_zero() {
            return Ok(());
        }
        let margin = if opens_more { self.backing(account_id, &market.marks)? } else { None };
        let collateral = self.collateral(account_id)?;
        self.account(
            account_id,
            &AccountCommand::Rereserve { order_id, amount, margin, collateral, of_options: false },
        )
    }

    /// What a change of one order of a family does to the others: they live as long, and held exits are of the entry's
    /// quantity.
    fn replace_relatives(
        &mut self,
        order_id: OrderId,
        (spec, replaced): (&OrderSpec, &OrderSpec),
        expires_at: Option<MarketTime>,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let lives_on = replaced.lives_as(spec);
        for (relative, _, order) in self.open_relatives(order_id, spec)? {
            let held = order.status() == Some(OrderStatus::Held);
            let command = if !lives_on {
                let qty = (held && replaced.qty != spec.qty).then_some(replaced.qty);
                let change = OrderChange {
                    qty,
                    time_in_force: Some(replaced.time_in_force),
                    good_till: replaced.good_till,
                    ..OrderChange::default()
                };
                let reserve_price = order.reserve_price();
                OrderCommand::Replace { change, reserve_price, expires_at, at }
            } else if held && replaced.qty != spec.qty {
                let (qty, cause) = (replaced.qty, ResizeCause::EntryReplaced);
                OrderCommand::Resize { qty, cause, at }
            } else {
                continue;
            };
            self.order(relative, &command)?;
        }
        Ok(())
    }
}

/// Whether the price that a buy reserves stays what it was.
fn same_price(spec: &OrderSpec, replaced: &OrderSpec) -> bool {
    let priced = |spec: &OrderSpec| {
        let OrderSpec { limit_price, stop_price, trail, limit_offset, activation_price, .. } =
            *spec;
        (limit_price, stop_price, trail, limit_offset, activation_price)
    };
    priced(spec) == priced(replaced)
}
