//! What has happened to an order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::legs::LegFill;
use super::spec::{OrderSpec, TimeInForce};
use super::trail::Trail;
use crate::id::FillId;
use crate::market::{Evidence, MarketTime, Reference, TapePlace};
use crate::money::{Money, Price, Quantity};
use crate::refusal::Refusal;

/// How long an order lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lifetime {
    /// The rule.
    pub time_in_force: TimeInForce,
    /// When its time is over, by the market clock; absent for gtc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<MarketTime>,
}

/// Facts of an order's life, written as `{"OrderFilled": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum OrderEvent {
    /// Taken: it works from now on, or waits for its parent.
    OrderPlaced {
        /// What was asked for.
        order: OrderSpec,
        /// Waits for its parent's fill.
        held: bool,
        /// The price that a buy reserves for each share: its worst. Absent for a sell, which reserves shares.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reserve_price: Option<Price>,
        /// The price that the worst cost of a market order was estimated from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<Reference>,
        /// When its time is over, by the market clock; absent for gtc.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<MarketTime>,
        /// The last line of the tape before it.
        tape_place: TapePlace,
        /// The market time of its acceptance.
        at: MarketTime,
    },
    /// Refused by the business: the first and only event of the order.
    OrderRejected {
        /// What was asked for.
        order: OrderSpec,
        /// Why, with the figures.
        reject: Refusal,
        /// The last line of the tape before it.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// The parent has filled: it works from now on, for this quantity.
    OrderActivated {
        /// Shares that it works for.
        qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// The stop was reached.
    OrderTriggered {
        /// The stop price in force.
        stop_price: Price,
        /// The mark of a trailing stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Price>,
        /// The limit that a trailing stop limit works at from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_price: Option<Price>,
        /// The tick that reached it.
        evidence: Evidence,
        /// The market time.
        at: MarketTime,
    },
    /// Some or all of it was executed.
    OrderFilled {
        /// This execution.
        fill_id: FillId,
        /// Which fill of the order it is, from 1.
        n: u32,
        /// Shares of this fill.
        qty: Quantity,
        /// The price of each.
        price: Price,
        /// `qty * price`, rounded once to the cent, half to even: of options times the shares of a contract. Of an mleg order
        /// what its legs cost less what they brought: below 0 money came in.
        amount: Money,
        /// What the fill was charged.
        fees: Money,
        /// Shares filled so far, this fill included.
        filled_qty: Quantity,
        /// Shares still open: of a notional order those that what is left buys at this price, or sells as far as there are
        /// shares to sell.
        leaves_qty: Quantity,
        /// The revision that was filled.
        revision: u32,
        /// The tick that it filled against.
        evidence: Evidence,
        /// The legs of an mleg order, all of them; none of others.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        legs: Vec<LegFill>,
        /// The market time.
        at: MarketTime,
    },
    /// The owner changed it.
    OrderReplaced {
        /// The new revision, from 1.
        revision: u32,
        /// The new total quantity, what has filled included.
        qty: Quantity,
        /// The new limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_price: Option<Price>,
        /// The new stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_price: Option<Price>,
        /// The new price that a buy reserves for each share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reserve_price: Option<Price>,
        /// The new distance of a trailing stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trail: Option<Trail>,
        /// The new offset of a trailing stop limit; absent if that stays as it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_offset: Option<Price>,
        /// The new price from which on a trailing type follows the market; absent if that stays as it was. A mark that has
        /// come to it stays, else the order waits for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activation_price: Option<Price>,
        /// How long it lives from now on; absent if that stays as it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifetime: Option<Lifetime>,
        /// Whether it goes behind all orders at its price.
        loses_priority: bool,
        /// The market time.
        at: MarketTime,
    },
    /// An order that it belongs with was filled, or changed by its owner: it works for another quantity from now on.
    OrderResized {
        /// The new revision.
        revision: u32,
        /// The new total quantity, what has filled included.
        qty: Quantity,
        /// What made it necessary.
        cause: ResizeCause,
        /// The market time.
        at: MarketTime,
    },
    /// A split changed it: what is open is multiplied and rounded down, prices are divided.
    OrderAdjusted {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// The new revision.
        revision: u32,
        /// The new total: what has filled (in old shares) and what is open (in new ones).
        qty: Quantity,
        /// The new limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_price: Option<Price>,
        /// The new stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_price: Option<Price>,
        /// The new distance of a trailing stop: dollars are divided and rounded up, percents stay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trail: Option<Trail>,
        /// The new offset of a trailing stop limit, rounded up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_offset: Option<Price>,
        /// The new price from which on a trailing type follows the market: of a buy rounded up, of a sell down, so that a
        /// mark that has reached it has still reached it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activation_price: Option<Price>,
        /// The new price that a buy reserves for each share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reserve_price: Option<Price>,
        /// The market time.
        at: MarketTime,
    },
    /// Ended by its owner or by a rule. What has filled stays.
    OrderCanceled {
        /// Why.
        reason: CancelReason,
        /// Shares that were still open.
        leaves_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// Ended by time. What has filled stays.
    OrderExpired {
        /// Which time.
        reason: ExpiryReason,
        /// Shares that were still open.
        leaves_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
}

/// The market time of an event, shared or to be changed.
macro_rules! time_of {
    ($event:expr) => {
        match $event {
            OrderEvent::OrderPlaced { at, .. }
            | OrderEvent::OrderRejected { at, .. }
            | OrderEvent::OrderActivated { at, .. }
            | OrderEvent::OrderTriggered { at, .. }
            | OrderEvent::OrderFilled { at, .. }
            | OrderEvent::OrderReplaced { at, .. }
            | OrderEvent::OrderResized { at, .. }
            | OrderEvent::OrderAdjusted { at, .. }
            | OrderEvent::OrderCanceled { at, .. }
            | OrderEvent::OrderExpired { at, .. } => at,
        }
    };
}

impl OrderEvent {
    /// Its market time.
    pub fn at(&self) -> MarketTime {
        *time_of!(self)
    }

    /// Lets it happen at `earliest` if its market time is before that.
    pub(super) fn not_before(&mut self, earliest: Option<MarketTime>) {
        let at = time_of!(self);
        *at = earliest.map_or(*at, |earliest| earliest.max(*at));
    }
}

/// What gives an exit another quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResizeCause {
    /// Its entry has filled some more.
    EntryFilled,
    /// Its entry was given another quantity before it filled.
    EntryReplaced,
    /// The other exit has filled in part.
    SiblingFilled,
    /// Another order has closed some of the shares that it was for.
    PositionReduced,
}

/// Why an order was canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Its owner said so.
    Requested,
    /// What an ioc order did not fill at once.
    ImmediateOrCancel,
    /// A fok order could not fill whole at once.
    FillOrKill,
    /// The account could not pay the fill beyond the reservation.
    InsufficientBuyingPower,
    /// The fill would have taken its amount, the cash or the holding beyond the largest that there is.
    AmountOutOfBounds,
    /// A reverse split cancels open orders.
    ReverseSplit,
    /// A split left less than the smallest quantity open.
    SplitRoundedToNothing,
    /// A split made more of it than an order may have.
    SplitOutOfBounds,
    /// Its parent ended without a fill.
    ParentEnded,
    /// Its sibling filled.
    SiblingFilled,
    /// Its sibling was canceled.
    SiblingEnded,
    /// Its exits have filled or were canceled: what it filled from now on would have none.
    ExitsEnded,
    /// Its account began again.
    AccountReset,
    /// Its auction did not fill it: its limit was beyond the price, or what was traded there was used up.
    AuctionUnfilled,
    /// Its account has reached a limit on losses, and it would have opened or added to a position.
    LossLimit,
    /// Another order, or the exercise or assignment of an option, has closed the shares that it was for.
    PositionClosed,
    /// It was to open a position, and would have closed one that is held the other way.
    OpposingPosition,
    /// The fill would have left a part of a share short.
    FractionalShort,
    /// Other orders have sold the shares that it was to sell for dollars.
    SharesGone,
    /// The fill would have left options uncovered that the account's option level does not permit.
    OptionLevel,
    /// Its contract has expired, or was exercised or assigned.
    ContractEnded,
    /// What its options are on was split: they are other contracts now, or were paid out.
    ContractAdjusted,
    /// A line told of its contract otherwise while it was on its way: to those who hold it or ask for it the symbol is
    /// another contract.
    ContradictsHeld,
    /// What was to happen to it could not be decided, for a defect of the program.
    Defect,
}

impl CancelReason {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::ImmediateOrCancel => "immediate_or_cancel",
            Self::FillOrKill => "fill_or_kill",
            Self::InsufficientBuyingPower => "insufficient_buying_power",
            Self::AmountOutOfBounds => "amount_out_of_bounds",
            Self::ReverseSplit => "reverse_split",
            Self::SplitRoundedToNothing => "split_rounded_to_nothing",
            Self::SplitOutOfBounds => "split_out_of_bounds",
            Self::ParentEnded => "parent_ended",
            Self::SiblingFilled => "sibling_filled",
            Self::SiblingEnded => "sibling_ended",
            Self::ExitsEnded => "exits_ended",
            Self::AccountReset => "account_reset",
            Self::AuctionUnfilled => "auction_unfilled",
            Self::LossLimit => "loss_limit",
            Self::PositionClosed => "position_closed",
            Self::OpposingPosition => "opposing_position",
            Self::FractionalShort => "fractional_short",
            Self::SharesGone => "shares_gone",
            Self::OptionLevel => "option_level",
            Self::ContractEnded => "contract_ended",
            Self::ContractAdjusted => "contract_adjusted",
            Self::ContradictsHeld => "contradicts_held",
            Self::Defect => "defect",
        }
    }
}

/// Which time ended an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryReason {
    /// A day order met the close of its session.
    SessionClosed,
    /// A gtd order met its time.
    TimeReached,
    /// The auction of an opg or cls order had no price by the end of its session, or of the after-hours.
    AuctionMissed,
}
