//! The view of fills: every execution, with the tick that it filled against. Append-only.

use aggregates::id::{AccountId, FillId, InstrumentId, OrderId, TenantId};
use aggregates::market::{Evidence, MarketTime};
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{LegFill, OrderEvent, Side};

use crate::log::Recorded;
use crate::orders::OrderRow;
use crate::row::view_row;

view_row! {
    /// One execution of one order.
    FillRow in "fills",
    key {
        /// Its id.
        fill_id: FillId = 0,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Whose.
        account_id: AccountId,
        /// Of which order.
        order_id: OrderId,
        /// Of what.
        instrument_id: InstrumentId,
        /// Its ticker when the order was placed.
        symbol: String,
        /// Buy or sell.
        side: Side,
        /// Which fill of the order, from 1.
        n: u32,
        /// Shares; contracts of an option; packages of an mleg order.
        qty: Quantity,
        /// Dollars a share; of an mleg order net, below zero where money came in.
        price: Price,
        /// `qty * price`, rounded once to the cent; of options times the shares of a contract. Of an mleg order what its
        /// legs cost less what they brought.
        amount: Money,
        /// What it was charged.
        fees: Money,
        /// The revision of the order that was filled.
        revision: u32,
        /// The tick that it filled against.
        evidence: Evidence,
        /// The legs of an mleg order.
        legs: Option<Vec<LegFill>>,
        /// The market time.
        at: MarketTime,
        /// The place of the event.
        position: u64,
    }
}

/// The fill that `event` of `order` is, if it is one.
pub fn fill_of(order: &OrderRow, recorded: &Recorded, event: &OrderEvent) -> Option<FillRow> {
    let OrderEvent::OrderFilled {
        fill_id,
        n,
        qty,
        price,
        amount,
        fees,
        revision,
        evidence,
        legs,
        at,
        ..
    } = event
    else {
        return None;
    };
    Some(FillRow {
        fill_id: *fill_id,
        tenant_id: recorded.tenant_id,
        account_id: order.account_id,
        order_id: order.order_id,
        instrument_id: order.instrument_id,
        symbol: order.symbol.clone(),
        side: order.side,
        n: *n,
        qty: *qty,
        price: *price,
        amount: *amount,
        fees: *fees,
        revision: *revision,
        evidence: evidence.clone(),
        legs: Some(legs.clone()).filter(|legs| !legs.is_empty()),
        at: *at,
        position: recorded.position,
    })
}
