//! What orders have set aside of a holding to close it: sells of a long one, buys of a short one.
//!
//! No more is ever set aside than is held. A fill closes shares that are its own, then free ones; only an order of a
//! margin account that had none goes beyond those, and takes from what others have set aside.

use super::aggregate::Position;
use super::error::PositionError;
use super::event::PositionEvent;
use crate::id::OrderId;
use crate::money::{AmountError, Quantity};
use crate::order::Side;

/// Shares that a fill takes from what another order has set aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The other order.
    pub order_id: OrderId,
    /// What it had set aside.
    pub from: Quantity,
    /// What it has set aside from now on.
    pub to: Quantity,
}

impl Position {
    /// Shares that an order of `side` closes before it opens: all of a long holding for a sell, of a short one for a
    /// buy.
    pub fn held_against(&self, side: Side) -> Quantity {
        let against = match side {
            Side::Buy => self.qty().is_negative(),
            Side::Sell => self.qty().is_positive(),
        };
        if against { self.qty().abs() } else { Quantity::ZERO }
    }

    /// Those of them that no order has set aside.
    pub fn free_against(&self, side: Side) -> Result<Quantity, AmountError> {
        match self.held_against(side) {
            held if held.is_zero() => Ok(Quantity::ZERO),
            held => held.minus(self.reserved_qty()),
        }
    }

    pub(super) fn reserve(
        &self,
        order_id: OrderId,
        qty: Quantity,
    ) -> Result<PositionEvent, PositionError> {
        let available = self.available()?.abs();
        if !qty.is_positive() || qty > available {
            return Err(self.insufficient(qty, available));
        }
        if self.reservations.contains_key(&order_id) {
            return Err(PositionError::NoReservation);
        }
        let reserved_qty = self.reserved_qty().plus(qty)?;
        Ok(PositionEvent::SharesReserved { order_id, qty, reserved_qty })
    }

    /// None if that many are set aside already.
    pub(super) fn rereserve(
        &self,
        order_id: OrderId,
        qty: Quantity,
    ) -> Result<Option<PositionEvent>, PositionError> {
        let from = self.reservation(order_id);
        let available = self.available()?.abs().plus(from)?;
        if !qty.is_positive() || qty > from && qty > available {
            return Err(self.insufficient(qty, available));
        }
        let reserved_qty = self.reserved_qty().minus(from)?.plus(qty)?;
        let adjusted =
            PositionEvent::SharesReservationAdjusted { order_id, from, to: qty, reserved_qty };
        Ok((from != qty).then_some(adjusted))
    }

    fn insufficient(&self, asked: Quantity, available: Quantity) -> PositionError {
        let (held, reserved) = (self.qty(), self.reserved_qty());
        PositionError::InsufficientShares { asked, available, held, reserved }
    }

    /// What a fill of `qty` by this order takes from others, in this order of theirs.
    pub fn cuts(
        &self,
        order_id: OrderId,
        side: Side,
        qty: Quantity,
        others: &[OrderId],
    ) -> Result<Vec<Cut>, AmountError> {
        let mut beyond = self.beyond(order_id, side, qty)?;
        let mut cuts = Vec::new();
        for other in others.iter().filter(|other| **other != order_id) {
            if !beyond.is_positive() {
                break;
            }
            let from = self.reservation(*other);
            let part = beyond.min(from);
            cuts.push(Cut { order_id: *other, from, to: from.minus(part)? });
            beyond = beyond.minus(part)?;
        }
        Ok(cuts)
    }

    /// The shares that a fill of `qty` by this order takes from others, beyond its own and free ones; none if not above 0.
    pub fn beyond(
        &self,
        order_id: OrderId,
        side: Side,
        qty: Quantity,
    ) -> Result<Quantity, AmountError> {
        let held = self.held_against(side);
        if held.is_zero() {
            return Ok(Quantity::ZERO);
        }
        let own = self.reservation(order_id);
        let left = held.minus(qty.min(held))?;
        self.reserved_qty().minus(own.min(qty))?.minus(left)
    }

    /// The events of what a fill takes from others: they come before those of the fill, so that no more than is held is
    /// ever set aside.
    pub(super) fn cut(&self, cuts: &[Cut]) -> Result<Vec<PositionEvent>, AmountError> {
        let mut reserved_qty = self.reserved_qty();
        let mut events = Vec::with_capacity(cuts.len());
        for Cut { order_id, from, to } in cuts {
            reserved_qty = reserved_qty.minus(*from)?.plus(*to)?;
            events.push(PositionEvent::SharesReservationAdjusted {
                order_id: *order_id,
                from: *from,
                to: *to,
                reserved_qty,
            });
        }
        Ok(events)
    }
}
