//! What has happened to a position.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::ReleaseReason;
use crate::id::{AccountId, CommandId, FillId, InstrumentId, LotId, OrderId};
use crate::instrument::{OptionEnd, OptionTerms};
use crate::market::{MarketTime, Reference};
use crate::money::{Money, Price, Quantity};
use crate::order::Side;

/// Shares acquired (or, below zero, sold short) by one fill or delivery and still held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lot {
    /// Its id.
    pub lot_id: LotId,
    /// Shares left of it; negative is short.
    pub qty: Quantity,
    /// What these shares cost, or brought when sold short; never negative.
    pub cost: Money,
    /// The market time of the fill.
    pub opened_at: MarketTime,
}

/// Shares of one lot that a fill or a split took away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClosedLot {
    /// The lot.
    pub lot_id: LotId,
    /// Shares taken, above zero.
    pub qty: Quantity,
    /// Their part of the lot's cost.
    pub cost: Money,
}

/// Shares that a delivery took from the oldest lots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClosedShares {
    /// Shares, above zero.
    pub qty: Quantity,
    /// What they brought (or cost to cover): their part of the delivery's amount.
    pub proceeds: Money,
    /// The shares taken from each lot.
    pub lots: Vec<ClosedLot>,
    /// Proceeds less cost for long, cost less what covering took for short.
    pub realized_pl: Money,
}

/// Shares that one open order has reserved to close the holding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareReservation {
    /// The order.
    pub order_id: OrderId,
    /// Shares reserved now.
    pub qty: Quantity,
}

/// Facts of a position, written as `{"PositionOpened": {…}}`. `position_qty` is the holding after the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum PositionEvent {
    /// A fill began a holding.
    PositionOpened {
        /// Whose.
        account_id: AccountId,
        /// Of what.
        instrument_id: InstrumentId,
        /// Its ticker at the time.
        symbol: String,
        /// The fill.
        fill_id: FillId,
        /// The order.
        order_id: OrderId,
        /// Buy for long, sell for short.
        side: Side,
        /// Shares, above zero.
        qty: Quantity,
        /// The fill's price.
        price: Price,
        /// The lot's cost (or proceeds, when short): the fill's rounded cash.
        cost: Money,
        /// The lot.
        lot_id: LotId,
        /// The holding after it.
        position_qty: Quantity,
        /// Of an option what it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contract: Option<OptionTerms>,
        /// The market time.
        at: MarketTime,
    },
    /// A fill added a lot on the side held.
    PositionIncreased {
        /// The fill.
        fill_id: FillId,
        /// The order.
        order_id: OrderId,
        /// Buy for long, sell for short.
        side: Side,
        /// Shares, above zero.
        qty: Quantity,
        /// The fill's price.
        price: Price,
        /// The lot's cost.
        cost: Money,
        /// The lot.
        lot_id: LotId,
        /// The holding after it.
        position_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// A fill took shares from the oldest lots.
    PositionReduced {
        /// The fill.
        fill_id: FillId,
        /// The order.
        order_id: OrderId,
        /// Sell for long, buy for short.
        side: Side,
        /// Shares, above zero.
        qty: Quantity,
        /// The fill's price.
        price: Price,
        /// What the shares brought (or cost to cover).
        proceeds: Money,
        /// The shares taken from each lot.
        lots: Vec<ClosedLot>,
        /// Proceeds less cost for long, cost less what covering took for short.
        realized_pl: Money,
        /// The holding after it.
        position_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// A fill took all that was left.
    PositionClosed {
        /// The fill.
        fill_id: FillId,
        /// The order.
        order_id: OrderId,
        /// Sell for long, buy for short.
        side: Side,
        /// Shares, above zero: all that was held.
        qty: Quantity,
        /// The fill's price.
        price: Price,
        /// What the shares brought (or cost to cover).
        proceeds: Money,
        /// The shares taken from each lot.
        lots: Vec<ClosedLot>,
        /// Proceeds less cost for long, cost less what covering took for short.
        realized_pl: Money,
        /// The market time.
        at: MarketTime,
    },
    /// An open order set shares aside that it closes.
    SharesReserved {
        /// The order: a sell of a long holding, a buy of a short one.
        order_id: OrderId,
        /// How many.
        qty: Quantity,
        /// All that is reserved after it.
        reserved_qty: Quantity,
    },
    /// An order sets another number of shares aside: its owner changed it, or a fill of another one took of them.
    SharesReservationAdjusted {
        /// The order: a sell of a long holding, a buy of a short one.
        order_id: OrderId,
        /// What it had set aside.
        from: Quantity,
        /// What it sets aside now; 0 ends the reservation.
        to: Quantity,
        /// All that is reserved after it.
        reserved_qty: Quantity,
    },
    /// The shares of an order that ended are free again.
    SharesReleased {
        /// The order: a sell of a long holding, a buy of a short one.
        order_id: OrderId,
        /// How many: all that were left of its reservation.
        qty: Quantity,
        /// Why.
        reason: ReleaseReason,
        /// All that is reserved after it.
        reserved_qty: Quantity,
    },
    /// A split multiplied the holding; the cost of what stays is unchanged.
    PositionSplit {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// The holding before it.
        qty_before: Quantity,
        /// The holding after it.
        position_qty: Quantity,
        /// New shares that could not be delivered whole and were paid in cash.
        fraction: Quantity,
        /// What the fraction was paid, at the last close divided by the split.
        cash_in_lieu: Money,
        /// The part of the cost that the fraction had.
        fraction_cost: Money,
        /// Cash in lieu less that cost.
        realized_pl: Money,
        /// The lots after it.
        lots: Vec<Lot>,
        /// What open orders reserve after it.
        reservations: Vec<ShareReservation>,
        /// The market time.
        at: MarketTime,
    },
    /// The holding, or the cash for a fraction of it, would have been beyond its bound: the split left it as it was.
    /// The account's open orders ended by the same command.
    SplitNotFollowed {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// The holding, in old shares.
        position_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// The account began again: whatever the position held, had taken as profit or was due is gone. Open sells of it
    /// ended by the same command.
    PositionReset {
        /// The command.
        reset_id: CommandId,
        /// The holding before it.
        qty: Quantity,
        /// What it had cost.
        cost: Money,
        /// The profit that had been taken.
        realized_pl: Money,
        /// What open orders had reserved.
        reserved_qty: Quantity,
        /// Dividends that had accrued and were not yet paid.
        dividends_due: Money,
        /// The market time.
        at: MarketTime,
    },
    /// The holding at the close before the ex date earns a dividend, or owes it when short.
    DividendAccrued {
        /// The corporate action.
        action_id: String,
        /// The holding at that close.
        qty: Quantity,
        /// Dollars a share.
        per_share: Price,
        /// `qty * per_share` to the cent, half to even; negative is owed.
        amount: Money,
        /// The market time.
        at: MarketTime,
    },
    /// The owner of a long option said whether it shall be exercised when it expires in the money. Without a word it is.
    ExerciseInstructed {
        /// Whether it shall.
        exercise: bool,
        /// The market time.
        at: MarketTime,
    },
    /// Contracts of an option ended otherwise than by a fill: see `docs/rules.md`, Options.
    OptionEnded {
        /// How.
        how: OptionEnd,
        /// The end, which the shares and the account name that it moved.
        ending_id: FillId,
        /// Sell for long, buy for short.
        side: Side,
        /// Contracts, above zero.
        qty: Quantity,
        /// The price of what it is on that decided, in dollars a share: the official close of its last session; before that
        /// the last price, if one is known; the last close before a split.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settlement_price: Option<Price>,
        /// The bid that it was sold at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bid: Option<Reference>,
        /// The split that paid it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action_id: Option<String>,
        /// What it was worth before that split, in dollars a share: what it was paid out at. Without it that is what it was
        /// in the money by at `settlement_price`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Reference>,
        /// The contracts taken from each lot.
        lots: Vec<ClosedLot>,
        /// What they had cost, or brought when sold short.
        cost: Money,
        /// What they brought by themselves, or took when short: the difference in cash, the bid, or what a split paid for
        /// them. 0 where shares were delivered.
        proceeds: Money,
        /// The part of `cost` that the delivered shares take over, never below 0: a call's is added to what the strike comes
        /// to, a put's is taken from it, as far as that goes.
        moved: Money,
        /// What is left: of long ones proceeds less the cost that stayed, of short ones that less the proceeds.
        realized_pl: Money,
        /// The holding after it.
        position_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// The exercise or assignment of an option brought shares, or took them: it closed the oldest lots that are held the other
    /// way, and opened one with what was left.
    SharesDelivered {
        /// Whose.
        account_id: AccountId,
        /// Of what.
        instrument_id: InstrumentId,
        /// Its ticker at the time.
        symbol: String,
        /// The option.
        option_id: InstrumentId,
        /// The end of the option.
        ending_id: FillId,
        /// Buy if it brought shares, sell if it took them.
        side: Side,
        /// Shares, above zero.
        qty: Quantity,
        /// The strike.
        price: Price,
        /// What the shares cost or brought: what the strike comes to, with what the option had cost or brought.
        amount: Money,
        /// Those that closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closed: Option<ClosedShares>,
        /// Those that opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opened: Option<Lot>,
        /// The holding after it.
        position_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// A split of what these contracts are on made others of them: nothing is held any more of this one, nothing was
    /// realized, and no cash moved.
    ContractAdjusted {
        /// The corporate action.
        action_id: String,
        /// New shares for `denominator` old ones: new contracts for old ones.
        numerator: Quantity,
        /// Old shares.
        denominator: Quantity,
        /// What they are from now on: the contract at the strike divided by the split.
        into: InstrumentId,
        /// The holding before it; negative is short.
        qty: Quantity,
        /// What it had cost, or brought when sold short: the new ones take it over.
        cost: Money,
        /// The market time.
        at: MarketTime,
    },
    /// A split of what an option is on brought these contracts in place of others.
    AdjustedContractOpened {
        /// Whose.
        account_id: AccountId,
        /// Of what.
        instrument_id: InstrumentId,
        /// Its ticker.
        symbol: String,
        /// What it is.
        contract: OptionTerms,
        /// The corporate action.
        action_id: String,
        /// What the contracts were before.
        from: InstrumentId,
        /// The lots, oldest first: those of before, with more contracts, at what they had cost or brought, from when they were
        /// opened.
        lots: Vec<Lot>,
        /// Whether their owner does not want them exercised when they expire, as said before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        do_not_exercise: bool,
        /// The holding after it.
        position_qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// The dividend that had accrued was paid to the account.
    DividendSettled {
        /// The corporate action.
        action_id: String,
        /// The amount that had accrued.
        amount: Money,
        /// The market time.
        at: MarketTime,
    },
}
