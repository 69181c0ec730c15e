//! Orders for dollars in the account: the shares that they are counted as, and those that a sell may deliver.
//!
//! A sell sets aside the shares that its dollars come to at the reference, as far as there are free ones. Each fill may take
//! free ones beside those, and sets aside what is left to sell at its price: so it sells what is held, and never more.

use super::{Desk, MarketView, Undecided, World};
use crate::id::OrderId;
use crate::money::{Money, Price, Quantity};
use crate::order::{OrderSpec, Side};
use crate::position::{PositionCommand, PositionError};
use crate::refusal::{Refusal, RefusalCode};

impl<W: World> Desk<'_, W> {
    /// The shares of an order for dollars when it comes: those that they buy at the reference, of a sell no more than are
    /// held and free.
    pub(super) fn shares_for(
        &self,
        notional: Money,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<Quantity, Undecided> {
        let shares = notional.shares_at(worst_reference(spec, market)?)?;
        if !spec.sells_for_dollars() {
            return Ok(shares);
        }
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        let free = position.free_against(Side::Sell)?;
        if free.is_zero() {
            let (held, reserved) = (position.qty(), position.reserved_qty());
            let (asked, available) = (shares, free);
            let none = PositionError::InsufficientShares { asked, available, held, reserved };
            return Err(none.into());
        }
        Ok(shares.min(free))
    }

    /// A notional order buys parts of shares, and short positions are in whole ones: so it closes none, neither one that is
    /// there when it comes nor one that was opened since.
    pub(super) fn opens_long(&self, spec: &OrderSpec) -> Result<(), Undecided> {
        let held = self.look_position(spec.account_id, spec.instrument_id)?.qty();
        if spec.notional.is_none() || spec.side == Side::Sell || !held.is_negative() {
            return Ok(());
        }
        let message = format!(
            "a notional order buys parts of shares, and with {held} held it would close a short position: buy by qty"
        );
        let refusal = Refusal::new(RefusalCode::FractionalShort, message).field("notional");
        Err(refusal.figure("held", held).into())
    }

    /// The most shares that an order can deliver which sells for dollars: its own and free ones. `None` for another order.
    ///
    /// # Errors
    /// There are none: others have sold them.
    pub(super) fn sellable(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
        asked: Quantity,
    ) -> Result<Option<Quantity>, Undecided> {
        if !spec.sells_for_dollars() {
            return Ok(None);
        }
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        let own = position.reservation(order_id);
        let available = position.free_against(Side::Sell)?.plus(own)?;
        if available.is_positive() {
            return Ok(Some(available));
        }
        let (held, reserved) = (position.qty(), position.reserved_qty());
        Err(PositionError::InsufficientShares { asked, available, held, reserved }.into())
    }

    /// Sets aside what a fill of `qty` shares delivers and what it leaves open, before it does.
    pub(super) fn set_aside(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        (qty, leaves): (Quantity, Quantity),
    ) -> Result<(), Undecided> {
        let command = PositionCommand::Rereserve { order_id, qty: qty.plus(leaves)? };
        self.position(spec.account_id, spec.instrument_id, &command)
    }
}

/// The price that the shares of an order for dollars are counted at.
fn worst_reference(spec: &OrderSpec, market: &MarketView) -> Result<Price, Undecided> {
    if let Some(reference) = &market.reference {
        return Ok(reference.price);
    }
    let message = format!(
        "{} has no price yet, so the shares of a notional order cannot be estimated: wait for a quote",
        spec.symbol
    );
    Err(Refusal::new(RefusalCode::NoReferencePrice, message).field("symbol").into())
}
