//! The view of orders: what was asked for, as replaced and adjusted since, and how far it has come. One row an
//! order, rejected ones included.

use aggregates::id::{AccountId, InstrumentId, OrderId, TenantId};
use aggregates::instrument::OptionTerms;
use aggregates::market::MarketTime;
use aggregates::money::{AmountError, Money, Price, Quantity, Residue};
use aggregates::order::{
    CancelReason, ExpiryReason, Lifetime, Order, OrderClass, OrderEvent, OrderSpec, OrderStatus,
    OrderType, PositionIntent, Side, TimeInForce, Trail, TriggerBy,
};
use aggregates::refusal::Refusal;
use aggregates::stream::{Event, Impossible, StreamId};

use crate::error::ProjectionError;
use crate::fold::{Mirror, Stamped, fold, inexact};
use crate::legs::{OrderLeg, fill_legs, priced};
use crate::log::Recorded;
use crate::row::view_row;

view_row! {
    /// One order. Times are of the market clock.
    #[derive(serde::Serialize, serde::Deserialize)]
    OrderRow in "orders",
    key {
        /// Its id.
        order_id: OrderId = 0,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Whose order.
        account_id: AccountId,
        /// What is traded.
        instrument_id: InstrumentId,
        /// Its ticker when the order was placed.
        symbol: String,
        /// Buy or sell.
        side: Side,
        /// How its price is found.
        order_type: OrderType,
        /// Shares, what has filled included.
        qty: Quantity,
        /// Dollars that it buys for in place of a quantity, which is 0 then until it is filled.
        notional: Option<Money>,
        /// The worst price of limit types.
        limit_price: Option<Price>,
        /// The trigger of stop types.
        stop_price: Option<Price>,
        /// The distance of trailing types.
        trail: Option<Trail>,
        /// How far the limit of a trailing stop limit is beyond the stop that triggers it.
        limit_offset: Option<Price>,
        /// The price from which on a trailing type follows the market.
        activation_price: Option<Price>,
        /// Which prices trigger stop types.
        trigger_by: Option<TriggerBy>,
        /// The mark of a trailing stop when it was triggered.
        hwm: Option<Price>,
        /// How long it lives.
        time_in_force: TimeInForce,
        /// Whether it may fill outside regular hours.
        extended_hours: bool,
        /// Which other orders it belongs with.
        order_class: OrderClass,
        /// Of an order of one option, whether it opens a position or closes one.
        position_intent: Option<PositionIntent>,
        /// Of an order of one option, the contract.
        contract: Option<OptionTerms>,
        /// The legs of an mleg order.
        legs: Option<Vec<OrderLeg>>,
        /// The client's own id.
        client_order_id: String,
        /// The order that it was placed with, as one of its exits.
        parent_order_id: Option<OrderId>,
        /// Where it stands.
        status: OrderStatus,
        /// Taken and not ended.
        open: bool,
        /// How often it was replaced, resized or adjusted.
        revision: u32,
        /// The number of its fills.
        fills: u32,
        /// Shares filled.
        filled_qty: Quantity,
        /// What they cost or brought, before fees.
        filled_amount: Money,
        /// What rounding each of them to the cent left off.
        filled_residue: Residue,
        /// What the fills were charged.
        fees: Money,
        /// Why the business refused it.
        reject: Option<Refusal>,
        /// Why it was canceled.
        cancel_reason: Option<CancelReason>,
        /// Which time ended it.
        expiry_reason: Option<ExpiryReason>,
        /// When its time is over.
        expires_at: Option<MarketTime>,
        /// When it was taken or refused.
        created_at: MarketTime,
        /// When anything last happened to it.
        updated_at: MarketTime,
        /// When its stop was reached.
        triggered_at: Option<MarketTime>,
        /// When its owner last changed it.
        replaced_at: Option<MarketTime>,
        /// When all of it had filled.
        filled_at: Option<MarketTime>,
        /// When it was canceled.
        canceled_at: Option<MarketTime>,
        /// When its time was over.
        expired_at: Option<MarketTime>,
        /// The place of its first event: the order of lists.
        created_position: u64,
        /// The number of its events.
        sequence: u64,
        /// The place of its last event.
        position: u64,
    }
}

impl OrderRow {
    /// The average price of what has filled, to 6 decimals, from the exact sum of its fills: dollars a share. Of an mleg
    /// order it is net, below zero where money came in.
    pub fn filled_avg_price(&self) -> Option<Price> {
        let shares = self.priced(self.filled_qty).ok()?;
        Price::of_fills(self.filled_amount, self.filled_residue, shares)
    }

    /// Whether it is of options: of one contract, or of several legs.
    pub fn is_of_options(&self) -> bool {
        self.contract.is_some() || self.order_class == OrderClass::Mleg
    }

    /// The shares that the price of so many of it is paid for.
    fn priced(&self, qty: Quantity) -> Result<Quantity, AmountError> {
        priced((self.order_class, self.contract.as_ref()), qty)
    }

    fn begin(order: &OrderSpec, status: OrderStatus, at: MarketTime) -> Self {
        Self {
            order_id: OrderId::default(),
            tenant_id: TenantId::default(),
            account_id: order.account_id,
            instrument_id: order.instrument_id,
            symbol: order.symbol.clone(),
            side: order.side,
            order_type: order.order_type,
            qty: order.qty,
            notional: order.notional,
            limit_price: order.limit_price,
            stop_price: order.stop_price,
            trail: order.trail,
            limit_offset: order.limit_offset,
            activation_price: order.activation_price,
            trigger_by: order.trigger_by,
            hwm: None,
            time_in_force: order.time_in_force,
            extended_hours: order.extended_hours,
            order_class: order.order_class,
            position_intent: order.position_intent,
            contract: order.contract.as_deref().cloned(),
            legs: order.legs.as_ref().map(|legs| legs.iter().map(OrderLeg::begin).collect()),
            client_order_id: order.client_order_id.clone(),
            parent_order_id: order.parent_order_id,
            status,
            open: !status.is_terminal(),
            revision: 0,
            fills: 0,
            filled_qty: Quantity::ZERO,
            filled_amount: Money::ZERO,
            filled_residue: Residue::ZERO,
            fees: Money::ZERO,
            reject: None,
            cancel_reason: None,
            expiry_reason: None,
            expires_at: None,
            created_at: at,
            updated_at: at,
            triggered_at: None,
            replaced_at: None,
            filled_at: None,
            canceled_at: None,
            expired_at: None,
            created_position: 0,
            sequence: 0,
            position: 0,
        }
    }
}

/// The row that the events of one order make, the first one first: what the view shows once it has come as far. None
/// without events.
///
/// # Errors
/// An event is impossible, of another stream, or not the next.
pub fn row_of<'a>(
    events: impl IntoIterator<Item = (&'a Recorded, &'a Event)>,
) -> Result<Option<OrderRow>, ProjectionError> {
    events.into_iter().try_fold(None, |row, (recorded, event)| match event {
        Event::Order(event) => fold::<Order, _>(row, recorded, event.clone()).map(Some),
        _ => Err(ProjectionError::poison(recorded.position, "no event of an order".to_owned())),
    })
}

impl Mirror<Order> for OrderRow {
    fn fold(row: Option<Self>, event: &OrderEvent) -> Result<Self, Impossible> {
        let Some(mut row) = row else {
            return match event {
                OrderEvent::OrderPlaced { order, held, expires_at, at, .. } => {
                    let status = if *held { OrderStatus::Held } else { OrderStatus::Accepted };
                    Ok(Self { expires_at: *expires_at, ..Self::begin(order, status, *at) })
                }
                OrderEvent::OrderRejected { order, reject, at, .. } => Ok(Self {
                    reject: Some(reject.clone()),
                    ..Self::begin(order, OrderStatus::Rejected, *at)
                }),
                _ => Err(Impossible("an order that was never placed".into())),
            };
        };
        if row.status.is_terminal() {
            return Err(Impossible(format!("an event of an order that is {}", row.status.word())));
        }
        match event {
            OrderEvent::OrderPlaced { .. } | OrderEvent::OrderRejected { .. } => {
                return Err(Impossible("an order placed twice".into()));
            }
            OrderEvent::OrderActivated { qty, at } => {
                row.qty = *qty;
                row.status = OrderStatus::Accepted;
                row.updated_at = *at;
            }
            OrderEvent::OrderResized { revision, qty, at, .. } => {
                (row.revision, row.qty) = (*revision, *qty);
                row.updated_at = *at;
            }
            OrderEvent::OrderTriggered { stop_price, mark, limit_price, at, .. } => {
                (row.stop_price, row.hwm) = (Some(*stop_price), *mark);
                row.limit_price = limit_price.or(row.limit_price);
                if row.status != OrderStatus::PartiallyFilled {
                    row.status = OrderStatus::Triggered;
                }
                row.triggered_at = Some(*at);
                row.updated_at = *at;
            }
            OrderEvent::OrderFilled {
                n,
                qty,
                price,
                amount,
                fees,
                filled_qty,
                leaves_qty,
                legs,
                at,
                ..
            } => {
                row.fills = *n;
                row.filled_qty = *filled_qty;
                row.filled_amount = row.filled_amount.plus(*amount).map_err(inexact)?;
                let shares = row.priced(*qty).map_err(inexact)?;
                let residue = Residue::of_fill(shares, *price, *amount).map_err(inexact)?;
                row.filled_residue = row.filled_residue.plus(residue).map_err(inexact)?;
                row.fees = row.fees.plus(*fees).map_err(inexact)?;
                fill_legs(row.legs.as_deref_mut().unwrap_or_default(), legs)?;
                row.updated_at = *at;
                if leaves_qty.is_zero() {
                    row.status = OrderStatus::Filled;
                    row.qty = *filled_qty;
                    row.filled_at = Some(*at);
                } else {
                    row.status = OrderStatus::PartiallyFilled;
                }
            }
            OrderEvent::OrderReplaced {
                revision,
                qty,
                limit_price,
                stop_price,
                trail,
                limit_offset,
                activation_price,
                lifetime,
                at,
                ..
            } => {
                (row.revision, row.qty) = (*revision, *qty);
                let triggered = row.trail.and(row.stop_price);
                (row.limit_price, row.stop_price) = (*limit_price, stop_price.or(triggered));
                row.trail = *trail;
                row.limit_offset = limit_offset.or(row.limit_offset);
                row.activation_price = activation_price.or(row.activation_price);
                if let Some(Lifetime { time_in_force, expires_at }) = lifetime {
                    (row.time_in_force, row.expires_at) = (*time_in_force, *expires_at);
                }
                row.replaced_at = Some(*at);
                row.updated_at = *at;
            }
            OrderEvent::OrderAdjusted {
                revision,
                qty,
                limit_price,
                stop_price,
                trail,
                limit_offset,
                activation_price,
                at,
                ..
            } => {
                // What was triggered before the split stays as it was.
                let triggered = row.trail.and(row.stop_price);
                row.trail = *trail;
                (row.limit_offset, row.activation_price) = (*limit_offset, *activation_price);
                (row.revision, row.qty) = (*revision, *qty);
                (row.limit_price, row.stop_price) = (*limit_price, stop_price.or(triggered));
                row.updated_at = *at;
            }
            OrderEvent::OrderCanceled { reason, at, .. } => {
                row.status = OrderStatus::Canceled;
                row.cancel_reason = Some(*reason);
                row.canceled_at = Some(*at);
                row.updated_at = *at;
            }
            OrderEvent::OrderExpired { reason, at, .. } => {
                row.status = OrderStatus::Expired;
                row.expiry_reason = Some(*reason);
                row.expired_at = Some(*at);
                row.updated_at = *at;
            }
        }
        row.open = !row.status.is_terminal();
        Ok(row)
    }
}

impl Stamped for OrderRow {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn stamp(&mut self, recorded: &Recorded) {
        if recorded.sequence == 1 {
            self.tenant_id = recorded.tenant_id;
            self.created_position = recorded.position;
            if let StreamId::Order(order_id) = recorded.stream {
                self.order_id = order_id;
            }
        }
        self.sequence = recorded.sequence;
        self.position = recorded.position;
    }
}
