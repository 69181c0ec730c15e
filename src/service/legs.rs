//! The legs of mleg orders as they are answered.

use aggregates::money::{Price, Quantity};
use aggregates::order::{PositionIntent, Side};
use projections::legs::OrderLeg;
use schemars::JsonSchema;
use serde::Serialize;

use super::LegRequest;

/// One leg of an mleg order.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Leg")]
pub struct LegAnswer {
    /// The OCC symbol of the option, or the ticker of the stock.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// How many of it one package has: contracts of an option, shares of a stock.
    pub ratio_qty: u32,
    /// Whether it opens a position or closes one.
    pub position_intent: Option<PositionIntent>,
    /// Contracts, or shares, filled.
    pub filled_qty: Quantity,
    /// Their average price in dollars a share, to 6 decimals.
    pub filled_avg_price: Option<Price>,
}

impl LegAnswer {
    /// What would have to be asked for to have this leg as it is.
    pub(super) fn as_asked(&self) -> LegRequest {
        LegRequest {
            symbol: self.symbol.clone(),
            side: self.side,
            ratio_qty: self.ratio_qty,
            position_intent: self.position_intent,
        }
    }
}

impl From<OrderLeg> for LegAnswer {
    fn from(leg: OrderLeg) -> Self {
        Self {
            filled_avg_price: leg.filled_avg_price(),
            symbol: leg.symbol,
            side: leg.side,
            ratio_qty: leg.ratio_qty,
            position_intent: leg.position_intent,
            filled_qty: leg.filled_qty,
        }
    }
}
