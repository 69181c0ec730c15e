//! What an account is asked to do.

use chrono::NaiveDate;

use super::event::{AccountKind, ReleaseReason};
use super::losses::Worth;
use super::policy::PolicyChange;
use crate::id::{AccountId, CommandId, FillId, GrantId, InstrumentId, OrderId, UserId};
use crate::instrument::OptionEnd;
use crate::margin::Standing;
use crate::market::{MarketTime, TapePlace};
use crate::money::Money;
use crate::user::{GrantRole, OfferEnd};

/// What the part of a fill comes to that opens or adds to a holding of a margin account, or that a cash account pays which has
/// money set aside for short puts.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    /// Its initial margin and its fees: 0 if the fill only closes.
    pub needed: Money,
    /// How the account stands, if the order has not reserved that much.
    pub margin: Option<Standing>,
    /// What a cash account has set aside for the short puts that it holds.
    pub collateral: Money,
    /// It is for options: a refusal tells its figures as they are, not as the stock that they open.
    pub of_options: bool,
    /// What of the order's reservation goes over to orders whose shares it takes.
    pub passed_on: Vec<(OrderId, Money)>,
}

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
        /// How the account stands, if it is a margin account.
        margin: Option<Standing>,
        /// What a cash account has set aside for the short puts that it holds.
        collateral: Money,
    },
    /// Set the worst cost of an order aside; in a margin account the initial margin of it.
    Reserve {
        /// The order.
        order_id: OrderId,
        /// How much.
        amount: Money,
        /// How the account stands, if it is a margin account.
        margin: Option<Standing>,
        /// What a cash account has set aside for the short puts that it holds.
        collateral: Money,
        /// It is for options: a refusal tells its figures as they are, not as the stock that they open.
        of_options: bool,
    },
    /// Reserve another amount for an order: its owner changed it.
    Rereserve {
        /// The order.
        order_id: OrderId,
        /// What it shall reserve.
        amount: Money,
        /// How the account stands, if it is a margin account.
        margin: Option<Standing>,
        /// What a cash account has set aside for the short puts that it holds.
        collateral: Money,
        /// It is for options: a refusal tells its figures as they are, not as the stock that they open.
        of_options: bool,
    },
    /// Free what is set aside for orders that ended.
    Release {
        /// The orders, each once.
        orders: Vec<OrderId>,
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
        /// What a margin account has to have for it.
        opening: Option<Opening>,
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
    /// Pay or take the money of the end of a holding of an option, whether it is there or not.
    SettleOption {
        /// The option.
        instrument_id: InstrumentId,
        /// The end.
        ending_id: FillId,
        /// How it ended.
        how: OptionEnd,
        /// The change of cash: negative is paid.
        amount: Money,
        /// How the account stands afterwards, if that was looked at.
        margin: Option<Standing>,
        /// The market time.
        at: MarketTime,
    },
    /// Begin again: see [`crate::trading::Command::Reset`].
    Reset {
        /// The command.
        reset_id: CommandId,
        /// The new balance: 0 or more.
        balance: Money,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// Trade under other limits.
    ChangePolicy {
        /// Which limits change.
        change: PolicyChange,
    },
    /// Count losses from what it is worth now: see [`crate::trading::Command::BeginDay`].
    BeginDay {
        /// The trading day.
        day: NaiveDate,
        /// How often it had been changed when this was proposed: see [`super::Account::changes`].
        seen: u64,
        /// How far its highest equity has risen since it was last told.
        rise: Money,
        /// What it is worth.
        worth: Worth,
        /// The line of the tape that it begins with.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// Stop, since a limit on losses is reached: see [`crate::trading::Command::StopLosses`].
    StopLosses {
        /// How often it had been changed when this was proposed: see [`super::Account::changes`].
        seen: u64,
        /// How far its highest equity has risen since it was last told.
        rise: Money,
        /// What it is worth.
        worth: Worth,
        /// The line of the tape.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// Record that a user is offered a role on it. Recorded once, however often it is sent.
    Offer {
        /// The grant that it would be.
        grant_id: GrantId,
        /// To whom.
        user_id: UserId,
        /// What it would permit.
        role: GrantRole,
    },
    /// Record that an offer has ended that was not accepted. Recorded once, however often it is sent.
    EndOffer {
        /// The grant that it would have been.
        grant_id: GrantId,
        /// How.
        reason: OfferEnd,
    },
    /// Record that a user has a role on it. Recorded once, however often it is sent.
    Grant {
        /// The grant.
        grant_id: GrantId,
        /// Whose.
        user_id: UserId,
        /// What it permits.
        role: GrantRole,
    },
    /// Record that a grant is revoked. Recorded once, however often it is sent.
    Revoke {
        /// The grant.
        grant_id: GrantId,
    },
}
