//! What a position is asked to do.

use super::closing::Cut;
use crate::account::ReleaseReason;
use crate::id::{AccountId, CommandId, FillId, InstrumentId, OrderId};
use crate::market::MarketTime;
use crate::money::{Money, Price, Quantity};
use crate::order::Side;

/// A fill as the position sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trade {
    /// Whose.
    pub account_id: AccountId,
    /// Of what.
    pub instrument_id: InstrumentId,
    /// Its ticker.
    pub symbol: String,
    /// The fill.
    pub fill_id: FillId,
    /// The order.
    pub order_id: OrderId,
    /// Buy or sell.
    pub side: Side,
    /// Shares.
    pub qty: Quantity,
    /// The price of each.
    pub price: Price,
    /// `qty * price`, rounded once.
    pub amount: Money,
    /// What it takes of the shares that other orders have set aside: see [`super::Position::cuts`].
    pub cuts: Vec<Cut>,
    /// The market time.
    pub at: MarketTime,
}

/// Commands of a position.
#[derive(Clone, Debug, PartialEq)]
pub enum PositionCommand {
    /// Set shares aside for an order that closes them.
    Reserve {
        /// The order.
        order_id: OrderId,
        /// How many.
        qty: Quantity,
    },
    /// Set another number of shares aside for an order: its owner changed it.
    Rereserve {
        /// The order.
        order_id: OrderId,
        /// How many.
        qty: Quantity,
    },
    /// Free the shares of orders that ended.
    Release {
        /// The orders, each once.
        orders: Vec<OrderId>,
        /// Why.
        reason: ReleaseReason,
    },
    /// Take a fill in.
    Trade(Trade),
    /// Follow a split.
    Split {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// The last close before it; a fraction is paid at this price divided by the split.
        last_close: Option<Price>,
        /// What each open order shall reserve after it: every one that reserves shares now is named.
        keep: Vec<(OrderId, Quantity)>,
        /// The market time.
        at: MarketTime,
    },
    /// Stay as it is in a split that it cannot follow.
    StayBehind {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// Give everything up: the account begins again.
    Reset {
        /// The command.
        reset_id: CommandId,
        /// The market time.
        at: MarketTime,
    },
    /// Earn a dividend, or owe it.
    AccrueDividend {
        /// The corporate action.
        action_id: String,
        /// What was held at the close before the ex date, whatever is held now; negative is short.
        qty: Quantity,
        /// Dollars a share.
        per_share: Price,
        /// The market time.
        at: MarketTime,
    },
    /// The dividend is paid.
    SettleDividend {
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
}
