//! What an order is asked to do.

use super::event::{CancelReason, ExpiryReason, ResizeCause};
use super::legs::LegExecution;
use super::replacing::OrderChange;
use super::spec::{OrderSpec, Side};
use crate::id::FillId;
use crate::market::{BarPoint, Evidence, EvidenceTick, MarketTime, Reference, TapePlace};
use crate::money::{Price, Quantity};
use crate::refusal::Refusal;

/// One execution as the engine proposes it. The Order decides whether it may still be.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// The revision that the engine saw: a later one makes the execution stale.
    pub revision: u32,
    /// The fills that the engine had seen: it proposes number `after_fills + 1`. Delivered twice, it acts once.
    pub after_fills: u32,
    /// Shares.
    pub qty: Quantity,
    /// The price of each.
    pub price: Price,
    /// The tick that it fills against; of an mleg order the one that made its price.
    pub evidence: Evidence,
    /// The legs of an mleg order, in the order of its spec; none of others. Its price is their net price.
    pub legs: Vec<LegExecution>,
}

/// A stop that was reached, as the engine saw it. The Order decides whether it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The revision that the engine saw: a later one makes the trigger stale.
    pub revision: u32,
    /// The mark of a trailing stop.
    pub mark: Option<Price>,
    /// The stop in force.
    pub stop_price: Price,
    /// The tick that reached it.
    pub evidence: Evidence,
}

impl Trigger {
    /// Whether the tick has reached the stop of an order of `side`.
    pub(super) fn is_reached(&self, side: Side) -> bool {
        let price = match (&self.evidence.tick, side) {
            (EvidenceTick::Quote { ask, .. }, Side::Buy) => *ask,
            (EvidenceTick::Quote { bid, .. }, Side::Sell) => *bid,
            (
                EvidenceTick::Trade { price, .. }
                | EvidenceTick::Auction { price, .. }
                | EvidenceTick::OfficialClose { price, .. },
                _,
            ) => *price,
            (EvidenceTick::Bar { open, high, low, close, point, .. }, _) => match point {
                BarPoint::Open => *open,
                BarPoint::High => *high,
                BarPoint::Low => *low,
                BarPoint::Close => *close,
            },
        };
        match side {
            Side::Buy => price >= self.stop_price,
            Side::Sell => price <= self.stop_price,
        }
    }
}

/// Commands of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderCommand {
    /// Take it.
    Place {
        /// What was asked for.
        spec: OrderSpec,
        /// To wait for its parent.
        held: bool,
        /// The price that a buy reserves for each share.
        reserve_price: Option<Price>,
        /// Where that price came from.
        reference: Option<Reference>,
        /// When its time is over.
        expires_at: Option<MarketTime>,
        /// The last line of the tape before it.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// Refuse it, for a reason of the business.
    Reject {
        /// What was asked for.
        spec: OrderSpec,
        /// Why.
        reject: Refusal,
        /// The last line of the tape before it.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// Execute some of it.
    Fill {
        /// The id of the fill.
        fill_id: FillId,
        /// What the engine proposes.
        execution: Execution,
        /// The most shares that it can deliver, of an order that sells for dollars: of a larger execution so many fill, and
        /// with the last of them it is done.
        most: Option<Quantity>,
        /// The market time.
        at: MarketTime,
    },
    /// A stop was reached.
    Trigger {
        /// What the engine proposes.
        trigger: Trigger,
        /// The market time.
        at: MarketTime,
    },
    /// The parent has filled.
    Activate {
        /// Shares to work for.
        qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// Change quantity, prices or the time that it lives.
    Replace {
        /// What changes.
        change: OrderChange,
        /// The new price that a buy reserves for each share.
        reserve_price: Option<Price>,
        /// When its time is over, if the change is of that.
        expires_at: Option<MarketTime>,
        /// The market time.
        at: MarketTime,
    },
    /// Work for another quantity: an order that it belongs with has filled or was changed.
    Resize {
        /// The new total, what has filled included.
        qty: Quantity,
        /// Why.
        cause: ResizeCause,
        /// The market time.
        at: MarketTime,
    },
    /// Follow a split.
    Adjust {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// Leave whole shares open even if a fraction was: of a sell out of a position that was whole.
        whole: bool,
        /// The market time.
        at: MarketTime,
    },
    /// End it.
    Cancel {
        /// Why.
        reason: CancelReason,
        /// The market time.
        at: MarketTime,
    },
    /// End it by time.
    Expire {
        /// Which time.
        reason: ExpiryReason,
        /// The market time.
        at: MarketTime,
    },
}
