//! The ends of orders that are not fills: canceled or expired, and their reservations released with them.

use std::collections::{BTreeMap, BTreeSet};

use super::exits::Ending;
use super::{Desk, Undecided, World};
use crate::account::{AccountCommand, AccountError, ReleaseReason};
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::instrument::InstrumentKind;
use crate::market::MarketTime;
use crate::order::{CancelReason, ExpiryReason, OrderCommand, OrderError, OrderSpec};
use crate::position::PositionCommand;
use crate::refusal::{Refusal, RefusalCode};

impl<'a, W: World> Desk<'a, W> {
    /// Ends an order of this account; another account's order reads as none.
    pub(super) fn cancel(
        &mut self,
        account_id: AccountId,
        order_id: OrderId,
        reason: CancelReason,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let owner = self.look_order(order_id)?.spec().map(|spec| spec.account_id);
        if owner != Some(account_id) {
            return Err(OrderError::NotFound.into());
        }
        let cancel = OrderCommand::Cancel { reason, at };
        self.order(order_id, &cancel)?;
        let mut ended = self.end_with(order_id, Ending::Canceled, &cancel, at)?;
        ended.push(order_id);
        self.release(account_id, &ended, ReleaseReason::Canceled)
    }

    /// Ends an order that cannot be decided, if it is as it was when that was found.
    pub(super) fn give_up(
        &mut self,
        order_id: OrderId,
        revision: u32,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let order = self.look_order(order_id)?;
        let spec = order.spec().ok_or(OrderError::NotFound)?;
        if order.revision() != revision {
            let (revision, fills) = (order.revision(), order.fills());
            return Err(OrderError::Stale { revision, fills }.into());
        }
        self.cancel(spec.account_id, order_id, CancelReason::Defect, at)
    }

    /// Ends every open order of an account, or those of one kind; nothing happens if there is none.
    pub(super) fn cancel_all(
        &mut self,
        account_id: AccountId,
        kind: Option<InstrumentKind>,
        at: Option<MarketTime>,
    ) -> Result<(), Undecided> {
        let mut orders = Vec::new();
        for order_id in self.open_orders(account_id)? {
            let of_options = self.look_spec(order_id)?.is_of_options();
            if kind.is_none_or(|kind| (kind == InstrumentKind::Option) == of_options) {
                orders.push(order_id);
            }
        }
        if orders.is_empty() {
            return Ok(());
        }
        let Some(at) = at else {
            let message =
                "the market has no time yet, so orders cannot end: wait for the first tick";
            return Err(Refusal::new(RefusalCode::MarketClockUnset, message).into());
        };
        for order_id in &orders {
            let cancel = OrderCommand::Cancel { reason: CancelReason::Requested, at };
            self.order(*order_id, &cancel)?;
        }
        self.release(account_id, &orders, ReleaseReason::Canceled)
    }

    /// Ends an order whose time is over.
    pub(super) fn expire(
        &mut self,
        order_id: OrderId,
        reason: ExpiryReason,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let expire = OrderCommand::Expire { reason, at };
        self.order(order_id, &expire)?;
        let mut ended = self.end_with(order_id, Ending::Expired, &expire, at)?;
        ended.push(order_id);
        let account_id = self.look_spec(order_id)?.account_id;
        self.release(account_id, &ended, ReleaseReason::Expired)
    }

    /// The open orders of an account, in order of their ids: those that reserve something, and those that belong with
    /// one of them.
    pub(super) fn open_orders(
        &self,
        account_id: AccountId,
    ) -> Result<BTreeSet<OrderId>, Undecided> {
        let mut orders = self.reserving_orders(account_id)?;
        for order_id in orders.clone() {
            let relatives = self.open_relatives(order_id, self.look_spec(order_id)?)?;
            orders.extend(relatives.into_iter().map(|(relative, ..)| relative));
        }
        Ok(orders)
    }

    /// The open orders that reserve something, in order of their ids: of those that belong together one stands for all.
    pub(super) fn reserving_orders(
        &self,
        account_id: AccountId,
    ) -> Result<BTreeSet<OrderId>, Undecided> {
        let account = self.look_account(account_id)?;
        if !account.is_open() {
            return Err(AccountError::NotFound.into());
        }
        let mut orders: BTreeSet<OrderId> = account.reservations().keys().copied().collect();
        for instrument_id in self.look_holdings(account_id)? {
            orders.extend(self.look_position(account_id, instrument_id)?.reserving_orders());
        }
        Ok(orders)
    }

    /// Frees what orders of one account still reserve: cash, shares, or nothing.
    pub(super) fn release(
        &mut self,
        account_id: AccountId,
        ended: &[OrderId],
        reason: ReleaseReason,
    ) -> Result<(), Undecided> {
        let account = self.look_account(account_id)?;
        let mut orders = Vec::new();
        let mut sells: BTreeMap<InstrumentId, Vec<OrderId>> = BTreeMap::new();
        for order_id in ended {
            if !account.reservation(*order_id).is_zero() {
                orders.push(*order_id);
            }
            for instrument_id in self.look_spec(*order_id)?.instruments() {
                let position = self.look_position(account_id, instrument_id)?;
                if !position.reservation(*order_id).is_zero() {
                    sells.entry(instrument_id).or_default().push(*order_id);
                }
            }
        }
        if !orders.is_empty() {
            self.account(account_id, &AccountCommand::Release { orders, reason })?;
        }
        for (instrument_id, orders) in sells {
            let command = PositionCommand::Release { orders, reason };
            self.position(account_id, instrument_id, &command)?;
        }
        Ok(())
    }

    /// What an order asks for.
    pub(super) fn look_spec(&self, order_id: OrderId) -> Result<&'a OrderSpec, Undecided> {
        let spec = self.look_order(order_id)?.spec();
        spec.ok_or_else(|| OrderError::NotFound.into())
    }
}
