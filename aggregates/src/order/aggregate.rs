//! The Order aggregate: decides by the table of [`super::state`], keeps what decisions need.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::command::{Execution, OrderCommand, Trigger};
use super::error::OrderError;
use super::event::{Lifetime, OrderEvent};
use super::legs::net_amount;
use super::spec::{OrderClass, OrderSpec, Side, TimeInForce};
use super::state::{Happening, OrderStatus, next};
use crate::id::FillId;
use crate::market::MarketTime;
use crate::money::{AmountError, Money, Price, Quantity};
use crate::rules::Rules;
use crate::stream::{Decide, Impossible, event_sourced};

/// One order. `Default` is an order that does not exist yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    status: Option<OrderStatus>,
    spec: Option<OrderSpec>,
    revision: u32,
    fills: u32,
    filled_qty: Quantity,
    /// What its fills cost or brought, before fees.
    #[serde(default)]
    pub(super) filled_amount: Money,
    reserve_price: Option<Price>,
    expires_at: Option<MarketTime>,
    placed_at: Option<MarketTime>,
    /// The market time of its last event.
    changed_at: Option<MarketTime>,
    /// The splits that it has followed.
    pub(super) splits: BTreeSet<String>,
}

event_sourced!(Order, "order", OrderCommand, OrderEvent {
    OrderPlaced "1.4",
    OrderRejected "1.4",
    OrderActivated "1.0",
    OrderTriggered "1.1",
    OrderFilled "1.2",
    OrderReplaced "1.2",
    OrderResized "1.1",
    OrderAdjusted "1.1",
    OrderCanceled "1.7",
    OrderExpired "1.1",
}, OrderError);

impl Order {
    /// Where it stands; `None` before its first event.
    pub fn status(&self) -> Option<OrderStatus> {
        self.status
    }

    /// What was asked for, as replaced and adjusted since.
    pub fn spec(&self) -> Option<&OrderSpec> {
        self.spec.as_ref()
    }

    /// Taken and not ended.
    pub fn is_open(&self) -> bool {
        self.status.is_some_and(|status| !status.is_terminal())
    }

    /// How often it was replaced, resized or adjusted.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// The number of its fills.
    pub fn fills(&self) -> u32 {
        self.fills
    }

    /// Shares filled.
    pub fn filled_qty(&self) -> Quantity {
        self.filled_qty
    }

    /// The price that a buy reserves for each share.
    pub fn reserve_price(&self) -> Option<Price> {
        self.reserve_price
    }

    /// When its time is over, by the market clock.
    pub fn expires_at(&self) -> Option<MarketTime> {
        self.expires_at
    }

    /// The market time of its acceptance.
    pub fn placed_at(&self) -> Option<MarketTime> {
        self.placed_at
    }

    /// The market time of its last event: time does not go back in an order's life.
    pub fn changed_at(&self) -> Option<MarketTime> {
        self.changed_at
    }

    /// Shares still open; 0 before the first event, and of a notional order, which names none.
    pub fn leaves_qty(&self) -> Result<Quantity, AmountError> {
        let spec = self.spec.as_ref().filter(|spec| spec.notional.is_none());
        spec.map_or(Ok(Quantity::ZERO), |spec| spec.qty.minus(self.filled_qty))
    }

    /// The most that `qty` shares of this buy can cost, fees included: what is reserved for them.
    pub fn worst_cost(&self, qty: Quantity, rules: &Rules) -> Result<Money, AmountError> {
        match self.reserve_price {
            Some(price) => worst_cost(qty, price, rules),
            None => Ok(Money::ZERO),
        }
    }

    pub(super) fn open_spec(&self) -> Result<&OrderSpec, OrderError> {
        match (self.status, &self.spec) {
            (Some(status), _) if status.is_terminal() => Err(OrderError::NotOpen(status)),
            (Some(_), Some(spec)) => Ok(spec),
            _ => Err(OrderError::NotFound),
        }
    }

    pub(super) fn permits(&self, happening: Happening) -> Result<(), OrderError> {
        if next(self.status, happening).is_some() {
            return Ok(());
        }
        Err(match self.status {
            None => OrderError::NotFound,
            Some(_) if happening.begins() => OrderError::Exists,
            Some(status) if status.is_terminal() => OrderError::NotOpen(status),
            Some(status) => OrderError::OutOfTurn(status),
        })
    }

    fn fill(
        &self,
        fill_id: FillId,
        execution: &Execution,
        (most, at): (Option<Quantity>, MarketTime),
        rules: &Rules,
    ) -> Result<OrderEvent, OrderError> {
        let spec = self.open_spec()?;
        let Execution { revision, after_fills, qty, price, evidence, .. } = execution;
        if (*revision, *after_fills) != (self.revision, self.fills) {
            return Err(OrderError::Stale { revision: self.revision, fills: self.fills });
        }
        if spec.order_type.is_stop() && self.status == Some(OrderStatus::Accepted) {
            return Err(OrderError::OutOfTurn(OrderStatus::Accepted));
        }
        let leaves = self.leaves_at(*price)?;
        if !qty.is_positive() || *qty > leaves {
            return Err(OrderError::Overfill { asked: *qty, leaves });
        }
        let qty = most.map_or(*qty, |most| most.min(*qty));
        let within_limit = match (spec.side, spec.limit_price) {
            (Side::Buy, Some(limit)) => *price <= limit,
            (Side::Sell, Some(limit)) => *price >= limit,
            (_, None) => true,
        };
        let net = spec.order_class == OrderClass::Mleg;
        if !within_limit || !net && !price.is_positive() {
            return Err(OrderError::BeyondLimit);
        }
        if spec.time_in_force == TimeInForce::Fok && qty != leaves {
            return Err(OrderError::AllOrNothing { asked: qty, leaves });
        }
        let legs = spec.leg_fills(fill_id, qty, execution)?;
        let amount = match legs.is_empty() {
            true => spec.value(qty, *price)?,
            false => net_amount(&legs)?,
        };
        let leaves_qty = match self.left_notional()? {
            Some(left) => {
                let open = left.minus(amount)?.shares_at(*price)?;
                most.map_or(Ok(open), |most| Ok::<_, AmountError>(open.min(most.minus(qty)?)))?
            }
            None => leaves.minus(qty)?,
        };
        self.permits(if leaves_qty.is_zero() { Happening::FillRest } else { Happening::FillPart })?;
        Ok(OrderEvent::OrderFilled {
            fill_id,
            n: self.fills + 1,
            qty,
            price: *price,
            amount,
            fees: rules.fees.of(spec, qty)?,
            filled_qty: self.filled_qty.plus(qty)?,
            leaves_qty,
            revision: self.revision,
            evidence: evidence.clone(),
            legs,
            at,
        })
    }

    /// The stop was reached, by the tick that the engine names.
    fn trigger(&self, trigger: &Trigger, at: MarketTime) -> Result<OrderEvent, OrderError> {
        let spec = self.open_spec()?;
        self.permits(Happening::Trigger)?;
        if trigger.revision != self.revision {
            return Err(OrderError::Stale { revision: self.revision, fills: self.fills });
        }
        let right = spec.stop_at(trigger.mark) == Some(trigger.stop_price)
            && trigger.mark.is_some() == spec.trail.is_some()
            && trigger.mark.is_none_or(|mark| spec.is_activated_by(mark));
        if !right || !trigger.is_reached(spec.side) {
            return Err(OrderError::NotReached);
        }
        let Trigger { mark, stop_price, evidence, .. } = trigger.clone();
        let limit_price = spec.limit_once_triggered(stop_price);
        Ok(OrderEvent::OrderTriggered { stop_price, mark, limit_price, evidence, at })
    }
}

/// The most that a buy of `qty` at `price` or better can cost, fees included.
pub fn worst_cost(qty: Quantity, price: Price, rules: &Rules) -> Result<Money, AmountError> {
    if qty.is_zero() {
        return Ok(Money::ZERO);
    }
    Money::at_most(qty, price)?.plus(rules.fees.fee(qty)?)
}

impl Decide for Order {
    fn decide(&self, command: &OrderCommand, rules: &Rules) -> Result<Vec<OrderEvent>, OrderError> {
        let mut event = match command {
            OrderCommand::Place {
                spec,
                held,
                reserve_price,
                reference,
                expires_at,
                tape_place,
                at,
            } => {
                self.permits(if *held { Happening::PlaceHeld } else { Happening::Place })?;
                if let Some(fault) = spec.faults().into_iter().next() {
                    return Err(fault);
                }
                OrderEvent::OrderPlaced {
                    order: spec.clone(),
                    held: *held,
                    reserve_price: *reserve_price,
                    reference: reference.clone(),
                    expires_at: *expires_at,
                    tape_place: *tape_place,
                    at: *at,
                }
            }
            OrderCommand::Reject { spec, reject, tape_place, at } => {
                self.permits(Happening::Reject)?;
                OrderEvent::OrderRejected {
                    order: spec.clone(),
                    reject: reject.clone(),
                    tape_place: *tape_place,
                    at: *at,
                }
            }
            OrderCommand::Fill { fill_id, execution, most, at } => {
                self.fill(*fill_id, execution, (*most, *at), rules)?
            }
            OrderCommand::Trigger { trigger, at } => self.trigger(trigger, *at)?,
            OrderCommand::Activate { qty, at } => {
                self.permits(Happening::Activate)?;
                OrderEvent::OrderActivated { qty: *qty, at: *at }
            }
            OrderCommand::Replace { change, reserve_price, expires_at, at } => {
                match self.replace(change, *reserve_price, *expires_at, *at)? {
                    Some(event) => event,
                    None => return Ok(Vec::new()),
                }
            }
            OrderCommand::Resize { qty, cause, at } => {
                self.permits(Happening::Resize)?;
                self.resize(*qty, *cause, *at)?
            }
            OrderCommand::Adjust { .. } => self.adjust(command)?,
            OrderCommand::Cancel { reason, at } => {
                self.permits(Happening::Cancel)?;
                OrderEvent::OrderCanceled {
                    reason: *reason,
                    leaves_qty: self.leaves_qty()?,
                    at: *at,
                }
            }
            OrderCommand::Expire { reason, at } => {
                self.permits(Happening::Expire)?;
                OrderEvent::OrderExpired {
                    reason: *reason,
                    leaves_qty: self.leaves_qty()?,
                    at: *at,
                }
            }
        };
        // Who asks may have read the market's clock before the order's last event moved it.
        event.not_before(self.changed_at);
        Ok(vec![event])
    }

    fn evolve(&mut self, event: &OrderEvent) -> Result<(), Impossible> {
        let happening = match event {
            OrderEvent::OrderPlaced { held: false, .. } => Happening::Place,
            OrderEvent::OrderPlaced { held: true, .. } => Happening::PlaceHeld,
            OrderEvent::OrderRejected { .. } => Happening::Reject,
            OrderEvent::OrderActivated { .. } => Happening::Activate,
            OrderEvent::OrderTriggered { .. } => Happening::Trigger,
            OrderEvent::OrderFilled { leaves_qty, .. } if leaves_qty.is_zero() => {
                Happening::FillRest
            }
            OrderEvent::OrderFilled { .. } => Happening::FillPart,
            OrderEvent::OrderReplaced { .. } => Happening::Replace,
            OrderEvent::OrderResized { .. } => Happening::Resize,
            OrderEvent::OrderAdjusted { .. } => Happening::Adjust,
            OrderEvent::OrderCanceled { .. } => Happening::Cancel,
            OrderEvent::OrderExpired { .. } => Happening::Expire,
        };
        let status = next(self.status, happening).ok_or_else(|| {
            Impossible(format!("{happening:?} of an order that is {:?}", self.status))
        })?;
        match event {
            OrderEvent::OrderPlaced { order, reserve_price, expires_at, at, .. } => {
                self.spec = Some(order.clone());
                self.reserve_price = *reserve_price;
                self.expires_at = *expires_at;
                self.placed_at = Some(*at);
            }
            OrderEvent::OrderRejected { order, at, .. } => {
                self.spec = Some(order.clone());
                self.placed_at = Some(*at);
            }
            OrderEvent::OrderActivated { qty, .. } => {
                if let Some(spec) = &mut self.spec {
                    spec.qty = *qty;
                }
            }
            OrderEvent::OrderFilled {
                n, qty, amount, filled_qty, leaves_qty, revision, ..
            } => {
                let total = self.spec.as_ref().map_or(Quantity::ZERO, |spec| spec.qty);
                let notional = self.spec.as_ref().is_some_and(|spec| spec.notional.is_some());
                let sums = self.filled_qty.plus(*qty).ok() == Some(*filled_qty)
                    && (notional || filled_qty.plus(*leaves_qty).ok() == Some(total))
                    && (*n, *revision) == (self.fills + 1, self.revision);
                if !sums {
                    return Err(Impossible(format!(
                        "fill {n} of {qty} after {} of {total}",
                        self.filled_qty
                    )));
                }
                self.filled_qty = *filled_qty;
                self.filled_amount = self
                    .filled_amount
                    .plus(*amount)
                    .map_err(|error| Impossible(error.to_string()))?;
                self.fills = *n;
                if let Some(spec) = self.spec.as_mut().filter(|_| notional && leaves_qty.is_zero())
                {
                    spec.qty = *filled_qty;
                }
            }
            OrderEvent::OrderReplaced {
                revision,
                qty,
                limit_price,
                stop_price,
                reserve_price,
                ..
            }
            | OrderEvent::OrderAdjusted {
                revision,
                qty,
                limit_price,
                stop_price,
                reserve_price,
                ..
            } => {
                if *revision != self.revision + 1 {
                    return Err(Impossible(format!(
                        "revision {revision} after revision {}",
                        self.revision
                    )));
                }
                self.revision = *revision;
                self.reserve_price = *reserve_price;
                if let Some(spec) = &mut self.spec {
                    spec.qty = *qty;
                    spec.limit_price = *limit_price;
                    spec.stop_price = *stop_price;
                }
            }
            OrderEvent::OrderTriggered { limit_price, .. } => {
                if let Some(spec) = &mut self.spec {
                    spec.limit_price = limit_price.or(spec.limit_price);
                }
            }
            OrderEvent::OrderResized { revision, qty, .. } => {
                if *revision != self.revision + 1 || *qty <= self.filled_qty {
                    return Err(Impossible(format!(
                        "revision {revision} with {qty} shares after revision {} with {} filled",
                        self.revision, self.filled_qty
                    )));
                }
                self.revision = *revision;
                if let Some(spec) = &mut self.spec {
                    spec.qty = *qty;
                }
            }
            OrderEvent::OrderCanceled { .. } | OrderEvent::OrderExpired { .. } => {}
        }
        match event {
            OrderEvent::OrderAdjusted {
                action_id, trail, limit_offset, activation_price, ..
            } => {
                self.splits.insert(action_id.clone());
                if let Some(spec) = &mut self.spec {
                    spec.trail = *trail;
                    spec.limit_offset = *limit_offset;
                    spec.activation_price = *activation_price;
                }
            }
            OrderEvent::OrderReplaced {
                trail, limit_offset, activation_price, lifetime, ..
            } => {
                if let Some(spec) = &mut self.spec {
                    spec.trail = *trail;
                    spec.limit_offset = limit_offset.or(spec.limit_offset);
                    spec.activation_price = activation_price.or(spec.activation_price);
                    if let Some(Lifetime { time_in_force, expires_at }) = lifetime {
                        spec.time_in_force = *time_in_force;
                        spec.good_till = expires_at.filter(|_| *time_in_force == TimeInForce::Gtd);
                        self.expires_at = *expires_at;
                    }
                }
            }
            _ => {}
        }
        self.status = Some(status);
        self.changed_at = Some(event.at());
        Ok(())
    }
}
