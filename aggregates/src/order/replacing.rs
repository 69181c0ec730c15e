//! What a replacement changes of an open order, and the order as it is then.

use super::aggregate::Order;
use super::error::OrderError;
use super::event::{Lifetime, OrderEvent};
use super::spec::{OrderSpec, OrderType, TimeInForce};
use super::state::{Happening, OrderStatus};
use crate::market::MarketTime;
use crate::money::{Price, Quantity};

/// What a replacement changes of an open order; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderChange {
    /// The new total quantity, what has filled included.
    pub qty: Option<Quantity>,
    /// The new limit.
    pub limit_price: Option<Price>,
    /// The new stop.
    pub stop_price: Option<Price>,
    /// The new distance of a trailing stop, in the measure that it has.
    pub trail: Option<Price>,
    /// The new offset of a trailing stop limit.
    pub limit_offset: Option<Price>,
    /// The new price from which on a trailing type follows the market.
    pub activation_price: Option<Price>,
    /// How long it lives from now on: day, gtc or gtd.
    pub time_in_force: Option<TimeInForce>,
    /// When a gtd order ends.
    pub good_till: Option<MarketTime>,
}

impl OrderChange {
    /// The order as it would be.
    ///
    /// # Errors
    /// The change names nothing, or something that an order of this kind does not have.
    pub fn of(&self, spec: &OrderSpec) -> Result<OrderSpec, OrderError> {
        let malformed = |field, message: String| Err(OrderError::Malformed { field, message });
        if *self == Self::default() {
            let message = "nothing to change: name qty, limit_price, stop_price, trail, limit_offset, activation_price, \
                           time_in_force or expires_at";
            return malformed("qty", message.into());
        }
        let trail = match (self.trail, spec.trail) {
            (None, trail) => trail,
            (Some(distance), Some(trail)) => Some(trail.at(distance)),
            (Some(_), None) => {
                let word = spec.order_type.word();
                return malformed("trail", format!("a {word} order has no trail to change"));
            }
        };
        let time_in_force = self.time_in_force.unwrap_or(spec.time_in_force);
        let rests = !time_in_force.is_immediate();
        if !rests
            || matches!(time_in_force, TimeInForce::Opg | TimeInForce::Cls)
                && time_in_force != spec.time_in_force
        {
            let word = time_in_force.word();
            let message =
                format!("an open order cannot become {word}: day, gtc and gtd can be had");
            return malformed("time_in_force", message);
        }
        let kept = spec.good_till.filter(|_| time_in_force == TimeInForce::Gtd);
        Ok(OrderSpec {
            qty: self.qty.unwrap_or(spec.qty),
            limit_price: self.limit_price.or(spec.limit_price),
            stop_price: self.stop_price.or(spec.stop_price),
            trail,
            limit_offset: self.limit_offset.or(spec.limit_offset),
            activation_price: self.activation_price.or(spec.activation_price),
            time_in_force,
            good_till: self.good_till.or(kept),
            ..spec.clone()
        })
    }

    /// Whether a type has the prices that this changes: the type itself stays.
    fn fits(&self, order_type: OrderType) -> Result<(), OrderError> {
        let trails = order_type.trails();
        let offsets = order_type == OrderType::TrailingStopLimit;
        let given = [
            ("limit_price", self.limit_price, order_type.has_limit_price()),
            ("stop_price", self.stop_price, order_type.has_stop_price()),
            ("limit_offset", self.limit_offset, offsets),
            ("activation_price", self.activation_price, trails),
        ];
        let odd = given.into_iter().find(|(_, price, has)| price.is_some() && !has);
        let Some((field, ..)) = odd else { return Ok(()) };
        let has = match (trails, offsets) {
            (true, true) => " (trail and limit_offset change its distances)",
            (true, false) => " (trail changes its distance)",
            (false, _) => "",
        };
        let message = format!(
            "a {} order takes no {field}, and a change keeps the type: leave it out{has}, or cancel the order and send another",
            order_type.word()
        );
        Err(OrderError::Malformed { field, message })
    }
}

impl Order {
    /// The order as a replacement would leave it.
    ///
    /// # Errors
    /// It is not open, the change makes no sense for it, or leaves less than what has filled.
    pub fn replaced(&self, change: &OrderChange) -> Result<OrderSpec, OrderError> {
        let spec = self.open_spec()?;
        self.permits(Happening::Replace)?;
        if spec.notional.is_some() {
            return Err(OrderError::Malformed {
                field: "qty",
                message: "a notional order is not changed: cancel it and send another one".into(),
            });
        }
        let replaced = change.of(spec)?;
        let waits = matches!(self.status(), Some(OrderStatus::Held | OrderStatus::Accepted));
        if let Some(field) = moved(spec, &replaced).filter(|_| !waits) {
            let message = format!("the stop was reached: {field} can be changed no more");
            return Err(OrderError::Malformed { field, message });
        }
        // What was triggered is a limit order, or one at the market. Its exits are orders of their own by now.
        let works = if waits || !spec.order_type.trails() {
            replaced.clone()
        } else {
            replaced.once_triggered()
        };
        change.fits(works.order_type)?;
        let asks_anew = replaced.qty != spec.qty || !replaced.lives_as(spec);
        let fraction = replaced.fraction_fault().filter(|_| asks_anew);
        if let Some(fault) = works.own_faults().into_iter().chain(fraction).next() {
            return Err(fault);
        }
        if replaced.qty <= self.filled_qty() {
            return Err(OrderError::BelowFilled { qty: replaced.qty, filled: self.filled_qty() });
        }
        Ok(replaced)
    }

    /// None if the order is so already.
    pub(super) fn replace(
        &self,
        change: &OrderChange,
        reserve_price: Option<Price>,
        expires_at: Option<MarketTime>,
        at: MarketTime,
    ) -> Result<Option<OrderEvent>, OrderError> {
        let (spec, replaced) = (self.open_spec()?, self.replaced(change)?);
        let OrderSpec {
            qty,
            limit_price,
            stop_price,
            trail,
            limit_offset,
            activation_price,
            time_in_force,
            ..
        } = replaced;
        if replaced == *spec {
            return Ok(None);
        }
        let lifetime = (!replaced.lives_as(spec)).then_some(Lifetime { time_in_force, expires_at });
        let loses_priority =
            qty > spec.qty || limit_price != spec.limit_price || moved(spec, &replaced).is_some();
        let revision = self.revision() + 1;
        Ok(Some(OrderEvent::OrderReplaced {
            revision,
            qty,
            limit_price,
            stop_price,
            reserve_price,
            trail,
            limit_offset: limit_offset.filter(|_| limit_offset != spec.limit_offset),
            activation_price: activation_price
                .filter(|_| activation_price != spec.activation_price),
            lifetime,
            loses_priority,
            at,
        }))
    }
}

/// The first field of a stop that a change moves; `None` if it stays where it is.
fn moved(spec: &OrderSpec, replaced: &OrderSpec) -> Option<&'static str> {
    [
        ("stop_price", replaced.stop_price != spec.stop_price),
        ("trail", replaced.trail != spec.trail),
        ("limit_offset", replaced.limit_offset != spec.limit_offset),
        ("activation_price", replaced.activation_price != spec.activation_price),
    ]
    .into_iter()
    .find_map(|(field, moved)| moved.then_some(field))
}
