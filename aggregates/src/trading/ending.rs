//! The ends of an order that are not fills: canceled or expired, and its reservation released with it.

use super::{Desk, Undecided, World};
use crate::account::{AccountCommand, ReleaseReason};
use crate::id::{AccountId, OrderId};
use crate::market::MarketTime;
use crate::order::{CancelReason, ExpiryReason, OrderCommand, OrderError};
use crate::position::PositionCommand;

impl<W: World> Desk<'_, W> {
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
        self.order(order_id, &OrderCommand::Cancel { reason, at })?;
        self.release(order_id, ReleaseReason::Canceled)
    }

    /// Ends an order whose time is over.
    pub(super) fn expire(
        &mut self,
        order_id: OrderId,
        reason: ExpiryReason,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        self.order(order_id, &OrderCommand::Expire { reason, at })?;
        self.release(order_id, ReleaseReason::Expired)
    }

    /// Frees what the order still reserves: cash, shares, or nothing.
    fn release(&mut self, order_id: OrderId, reason: ReleaseReason) -> Result<(), Undecided> {
        let Some(spec) = self.look_order(order_id)?.spec() else {
            return Err(OrderError::NotFound.into());
        };
        if !self.look_account(spec.account_id)?.reservation(order_id).is_zero() {
            self.account(spec.account_id, &AccountCommand::Release { order_id, reason })?;
        }
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        if !position.reservation(order_id).is_zero() {
            let command = PositionCommand::Release { order_id, reason };
            self.position(spec.account_id, spec.instrument_id, &command)?;
        }
        Ok(())
    }
}
