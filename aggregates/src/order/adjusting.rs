//! What a split makes of an open order.

use super::aggregate::Order;
use super::command::OrderCommand;
use super::error::OrderError;
use super::event::{CancelReason, OrderEvent};
use super::exits::Part;
use super::spec::Side;
use super::state::Happening;
use super::trail::Trail;
use crate::money::{Price, Ratio};

impl Order {
    /// A split while the order is open: see `docs/rules.md`, Splits. A reverse split cancels it.
    pub(super) fn adjust(&self, command: &OrderCommand) -> Result<OrderEvent, OrderError> {
        let OrderCommand::Adjust { action_id, numerator, denominator, whole, at } = command else {
            return Err(OrderError::NotFound);
        };
        let spec = self.open_spec()?;
        self.permits(Happening::Adjust)?;
        if self.splits.contains(action_id) {
            return Err(OrderError::AlreadyAdjusted(action_id.clone()));
        }
        let ratio = Ratio::of_split(*numerator, *denominator)?;
        let leaves_qty = self.leaves_qty()?;
        let canceled = |reason| OrderEvent::OrderCanceled { reason, leaves_qty, at: *at };
        if ratio.is_reverse() {
            return Ok(canceled(CancelReason::ReverseSplit));
        }
        let open = leaves_qty.split_by(ratio, *whole || leaves_qty.is_whole());
        let total = open.as_ref().ok().and_then(|open| self.filled_qty().plus(*open).ok());
        // One order that cannot follow would hold up the split for everybody.
        let (Ok(open), Some(qty)) = (open, total) else {
            return Ok(canceled(CancelReason::SplitOutOfBounds));
        };
        let (limit_up, stop_up) = match spec.side {
            Side::Buy => (false, true),
            Side::Sell => (true, false),
        };
        let divided =
            |price: Option<Price>, up| price.map(|price| price.split_by(ratio, up)).transpose();
        let limit_price = divided(spec.limit_price, limit_up)?;
        let stop_price = divided(spec.stop_price, stop_up)?;
        let trail = match spec.trail {
            Some(Trail::Price(distance)) => Some(Trail::Price(distance.split_by(ratio, true)?)),
            other => other,
        };
        let limit_offset = divided(spec.limit_offset, true)?;
        let activation_price = divided(spec.activation_price, spec.side == Side::Buy)?;
        if open.is_zero() || [limit_price, stop_price].contains(&Some(Price::ZERO)) {
            return Ok(canceled(CancelReason::SplitRoundedToNothing));
        }
        let reserve_price = match limit_price {
            // An exit closes, and reserves at no price.
            _ if matches!(spec.part(), Some(Part::Exit(_))) => None,
            Some(limit) if spec.side == Side::Buy => Some(limit),
            _ => divided(self.reserve_price(), false)?,
        };
        Ok(OrderEvent::OrderAdjusted {
            action_id: action_id.clone(),
            numerator: *numerator,
            denominator: *denominator,
            revision: self.revision() + 1,
            qty,
            limit_price,
            stop_price,
            trail,
            limit_offset,
            activation_price,
            reserve_price,
            at: *at,
        })
    }
}
