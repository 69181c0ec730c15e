//! Orders that belong together, as they are asked for and answered: an entry with its exits, or two exits.

use std::collections::BTreeMap;

use aggregates::id::OrderId;
use aggregates::money::{Price, Quantity};
use aggregates::order::{
    CancelReason, Exit, Exits, ExpiryReason, OrderClass, OrderStatus, OrderType, Side, TakeProfit,
};
use projections::orders::OrderRow;
use projections::query;
use schemars::JsonSchema;
use serde::Serialize;

use super::reading::Snapshot;
use super::{Fault, OrderRequest, ServiceError};

/// An exit beside the order that it was placed with. It is an order like any other: read it by its id for the rest.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Child")]
pub struct ChildAnswer {
    /// Its id.
    pub order_id: OrderId,
    /// Buy or sell.
    pub side: Side,
    /// How the price is found.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// Shares, what has filled included.
    pub qty: Quantity,
    /// The worst price of limit types.
    pub limit_price: Option<Price>,
    /// The trigger of stop types.
    pub stop_price: Option<Price>,
    /// Where it stands: `held` until its entry fills.
    pub status: OrderStatus,
    /// Shares filled.
    pub filled_qty: Quantity,
    /// Their average price, to 6 decimals.
    pub filled_avg_price: Option<Price>,
    /// Why it was canceled.
    pub cancel_reason: Option<CancelReason>,
    /// Which time ended it.
    pub expiry_reason: Option<ExpiryReason>,
}

impl From<OrderRow> for ChildAnswer {
    fn from(row: OrderRow) -> Self {
        Self {
            order_id: row.order_id,
            side: row.side,
            order_type: row.order_type,
            qty: row.qty,
            limit_price: row.limit_price,
            stop_price: row.stop_price,
            status: row.status,
            filled_qty: row.filled_qty,
            filled_avg_price: row.filled_avg_price(),
            cancel_reason: row.cancel_reason,
            expiry_reason: row.expiry_reason,
        }
    }
}

/// The orders that were placed with those of `rows`, by these, the take-profit first. All rows are of one account.
pub(super) async fn children(
    snapshot: &mut Snapshot,
    rows: &[OrderRow],
) -> Result<BTreeMap<OrderId, Vec<ChildAnswer>>, ServiceError> {
    let parents = rows.iter().filter(|row| {
        row.order_class.is_family()
            && row.parent_order_id.is_none()
            && row.status != OrderStatus::Rejected
    });
    let ids: Vec<OrderId> = parents
        .flat_map(|row| [Exit::TakeProfit, Exit::StopLoss].map(|exit| row.order_id.exit(exit)))
        .collect();
    let mut children: BTreeMap<OrderId, Vec<ChildAnswer>> = BTreeMap::new();
    let Some(account_id) = rows.first().map(|row| row.account_id).filter(|_| !ids.is_empty())
    else {
        return Ok(children);
    };
    let found = query::orders_named(snapshot.connection(), account_id, &ids).await?;
    // Newest first: the take-profit was placed before the stop-loss.
    for row in found.into_iter().rev() {
        if let Some(parent) = row.parent_order_id {
            children.entry(parent).or_default().push(row.into());
        }
    }
    Ok(children)
}

impl OrderRequest {
    /// The limit and the exits in the words of the domain: the take-profit of an oco is the order itself.
    pub(super) fn limit_and_exits(&self) -> (Option<Price>, Option<Exits>) {
        match self.exits {
            Some(exits) if self.order_class == OrderClass::Oco => {
                let limit = exits.take_profit.map(|TakeProfit { limit_price }| limit_price);
                let exits = Exits { take_profit: None, ..exits };
                (self.limit_price.or(limit), Some(exits))
            }
            exits => (self.limit_price, exits),
        }
    }

    /// An oco whose limit is not that of its take-profit.
    pub(super) fn oco_fault(&self) -> Option<Fault> {
        let profit = self.exits?.take_profit?.limit_price;
        let limit = self.limit_price.filter(|_| self.order_class == OrderClass::Oco)?;
        let message = format!(
            "the limit_price {limit} of an oco is that of its take_profit, {profit}: leave limit_price out"
        );
        (limit != profit).then(|| Fault::new("limit_price", "invalid_order", message))
    }
}
