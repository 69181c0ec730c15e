//! What a position is asked to do.

use super::closing::Cut;
use super::event::Lot;
use crate::account::ReleaseReason;
use crate::id::{AccountId, CommandId, FillId, InstrumentId, OrderId};
use crate::instrument::{OptionEnd, OptionTerms};
use crate::market::{MarketTime, Reference};
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
    /// Of an option what it is.
    pub contract: Option<OptionTerms>,
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
    /// What it cost or brought, rounded once: `qty * price`, of an option times its shares.
    pub amount: Money,
    /// What it takes of the shares that other orders have set aside: see [`super::Position::cuts`].
    pub cuts: Vec<Cut>,
    /// The market time.
    pub at: MarketTime,
}

/// The end of contracts of an option.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How.
    pub how: OptionEnd,
    /// Its id.
    pub ending_id: FillId,
    /// Contracts.
    pub qty: Quantity,
    /// The price of what it is on, if it is known: it has to be for a difference in cash.
    pub settlement_price: Option<Price>,
    /// The bid that it is sold at.
    pub bid: Option<Reference>,
    /// The split that pays it out.
    pub split: Option<PaidOut>,
    /// The market time.
    pub at: MarketTime,
}

/// A split that pays contracts out.
#[derive(Clone, Debug, PartialEq)]
pub struct PaidOut {
    /// The corporate action.
    pub action_id: String,
    /// What a contract was worth before it, in dollars a share; without it that is what it was in the money by.
    pub mark: Option<Reference>,
}

/// Contracts that a split makes of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjusted {
    /// Whose.
    pub account_id: AccountId,
    /// What they are now.
    pub instrument_id: InstrumentId,
    /// Its ticker.
    pub symbol: String,
    /// The same as terms.
    pub contract: OptionTerms,
    /// The corporate action.
    pub action_id: String,
    /// What they were before.
    pub from: InstrumentId,
    /// Their lots, oldest first, in contracts of now.
    pub lots: Vec<Lot>,
    /// Whether their owner does not want them exercised when they expire.
    pub do_not_exercise: bool,
    /// The market time.
    pub at: MarketTime,
}

/// Shares that the end of an option brings or takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Whose.
    pub account_id: AccountId,
    /// Of what.
    pub instrument_id: InstrumentId,
    /// Its ticker.
    pub symbol: String,
    /// The option.
    pub option_id: InstrumentId,
    /// The end of the option.
    pub ending_id: FillId,
    /// Buy if it brings shares, sell if it takes them.
    pub side: Side,
    /// Shares.
    pub qty: Quantity,
    /// The strike.
    pub price: Price,
    /// What the shares cost or brought, with what the option had cost or brought.
    pub amount: Money,
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
    /// Say whether a long option shall be exercised when it expires.
    InstructExercise {
        /// Whether it shall.
        exercise: bool,
        /// The market time.
        at: MarketTime,
    },
    /// End contracts of an option.
    EndOption(Ending),
    /// Take in the shares that the end of an option brings, or give those that it takes.
    Deliver(Delivery),
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
    /// Become other contracts by a split of what they are on.
    Adjust {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// What the contracts are from now on.
        into: InstrumentId,
        /// The market time.
        at: MarketTime,
    },
    /// Take in the contracts that a split makes of others.
    TakeAdjusted(Adjusted),
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
