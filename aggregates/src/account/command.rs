//! What an account is asked to do.

use super::event::{AccountKind, Policy, ReleaseReason};
use crate::id::{AccountId, CommandId, FillId, InstrumentId, OrderId};
use crate::market::MarketTime;
use crate::money::Money;

/// Commands of an account.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountCommand {
    /// Begin it.
    Open {
        /// Its id.
        account_id: AccountId,
        /// Cash or margin.
        kind: AccountKind,
        /// Which options it may trade.
        option_level: u8,
        /// SHA-256 of the name.
        name_digest: String,
        /// The first deposit: 0 or more.
        starting_balance: Money,
        /// The command that brings it.
        deposit_id: CommandId,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// Bring money in.
    Deposit {
        /// The command.
        deposit_id: CommandId,
        /// How much.
        amount: Money,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// Take money out.
    Withdraw {
        /// The command.
        withdrawal_id: CommandId,
        /// How much.
        amount: Money,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// Set the worst cost of an order aside.
    Reserve {
        /// The order.
        order_id: OrderId,
        /// How much.
        amount: Money,
    },
    /// Free what is set aside for an order that ended.
    Release {
        /// The order.
        order_id: OrderId,
        /// Why.
        reason: ReleaseReason,
    },
    /// Pay or take the money of a fill.
    Settle {
        /// The order.
        order_id: OrderId,
        /// The fill.
        fill_id: FillId,
        /// The change of cash before fees: negative for a buy.
        amount: Money,
        /// What the fill is charged.
        fees: Money,
        /// What the order's reservation shall be after it, at most: it never grows.
        keep: Money,
    },
    /// Follow a split: cash for a fraction, and what the orders that it adjusted reserve now.
    FollowSplit {
        /// The corporate action.
        action_id: String,
        /// What was split.
        instrument_id: InstrumentId,
        /// Cash for the fraction of a share; 0 for none.
        cash_in_lieu: Money,
        /// What each order shall reserve.
        keep: Vec<(OrderId, Money)>,
        /// The market time.
        at: MarketTime,
    },
    /// Pay a dividend, or take one from a short seller.
    PayDividend {
        /// The corporate action.
        action_id: String,
        /// What pays it.
        instrument_id: InstrumentId,
        /// How much.
        amount: Money,
        /// The market time.
        at: MarketTime,
    },
    /// Trade under other limits.
    ChangePolicy {
        /// All limits.
        policy: Policy,
    },
}
