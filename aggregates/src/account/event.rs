//! What has happened to an account.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::losses::LossLimit;
use super::policy::Policy;
use crate::id::{AccountId, CommandId, FillId, GrantId, InstrumentId, OrderId, UserId};
use crate::instrument::OptionEnd;
use crate::margin::{Marked, Standing};
use crate::market::{MarketTime, TapePlace};
use crate::money::Money;
use crate::user::{GrantRole, OfferEnd};

/// What an account may do with money that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// Nothing: cash and available cash are never negative.
    Cash,
    /// Borrow against its positions.
    Margin,
}

impl AccountKind {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Margin => "margin",
        }
    }

    /// The highest option level that an account of this kind can have: spreads and naked options need margin.
    pub const fn most_option_level(self) -> u8 {
        match self {
            Self::Cash => 2,
            Self::Margin => 4,
        }
    }

    /// The option level of an account whose owner names none.
    pub const fn usual_option_level(self) -> u8 {
        match self {
            Self::Cash => 0,
            Self::Margin => 3,
        }
    }
}

/// What an account may trade at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TradingState {
    /// Everything.
    #[default]
    Active,
    /// Only what reduces positions. Cancels pass.
    Reducing,
    /// Nothing. Cancels pass.
    Halted,
}

impl TradingState {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reducing => "reducing",
            Self::Halted => "halted",
        }
    }
}

/// Why a reservation ended without a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// The order was canceled.
    Canceled,
    /// The order expired.
    Expired,
}

/// A new amount of one reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReservationChange {
    /// The order.
    pub order_id: OrderId,
    /// What was reserved.
    pub from: Money,
    /// What is reserved now; 0 ends the reservation.
    pub to: Money,
}

/// Facts of an account, written as `{"CashReserved": {…}}`. `cash` is the balance after the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum AccountEvent {
    /// The account exists. Its name is free text and stands in a side table.
    AccountOpened {
        /// Its id.
        account_id: AccountId,
        /// Cash or margin.
        kind: AccountKind,
        /// Which options it may trade, 0 (none) to 4.
        option_level: u8,
        /// SHA-256 of the name, in hexadecimal.
        name_digest: String,
    },
    /// Money came in.
    CashDeposited {
        /// The command that brought it.
        deposit_id: CommandId,
        /// How much.
        amount: Money,
        /// The balance after it.
        cash: Money,
        /// The market time, once there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<MarketTime>,
    },
    /// Money went out.
    CashWithdrawn {
        /// The command that took it.
        withdrawal_id: CommandId,
        /// How much.
        amount: Money,
        /// The balance after it.
        cash: Money,
        /// The market time, once there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<MarketTime>,
        /// How a margin account stood that relied on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        margin: Option<Standing>,
    },
    /// The worst cost of an order was set aside; in a margin account the initial margin of it.
    CashReserved {
        /// The order.
        order_id: OrderId,
        /// How much.
        amount: Money,
        /// All that is reserved after it.
        reserved: Money,
        /// How a margin account stood that relied on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        margin: Option<Standing>,
    },
    /// What was set aside for an order that ended is free again.
    ReservationReleased {
        /// The order.
        order_id: OrderId,
        /// How much: all that was left of the reservation.
        amount: Money,
        /// Why.
        reason: ReleaseReason,
        /// All that is reserved after it.
        reserved: Money,
    },
    /// A split or a replacement changed what orders reserve, or a fill took shares that others had set aside to close.
    ReservationsAdjusted {
        /// The corporate action, if one is the cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action_id: Option<String>,
        /// Each reservation that changed.
        changes: Vec<ReservationChange>,
        /// All that is reserved after it.
        reserved: Money,
        /// How a margin account stood that relied on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        margin: Option<Standing>,
    },
    /// A fill was paid, or brought money.
    FillSettled {
        /// The order.
        order_id: OrderId,
        /// The fill.
        fill_id: FillId,
        /// The change of cash: negative for a buy.
        amount: Money,
        /// What it freed of the order's reservation.
        released: Money,
        /// The balance after it.
        cash: Money,
        /// All that is reserved after it.
        reserved: Money,
        /// How a margin account stood that relied on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        margin: Option<Standing>,
    },
    /// A fill was charged.
    FeeCharged {
        /// The order.
        order_id: OrderId,
        /// The fill.
        fill_id: FillId,
        /// How much, above zero.
        amount: Money,
        /// The balance after it.
        cash: Money,
    },
    /// A dividend was paid to a holder, or by a short seller (negative).
    DividendPaid {
        /// The corporate action.
        action_id: String,
        /// What paid it.
        instrument_id: InstrumentId,
        /// How much.
        amount: Money,
        /// The balance after it.
        cash: Money,
        /// The market time.
        at: MarketTime,
    },
    /// The fraction of a share that a split left was paid out.
    CashPaidInLieu {
        /// The corporate action.
        action_id: String,
        /// What was split.
        instrument_id: InstrumentId,
        /// How much.
        amount: Money,
        /// The balance after it.
        cash: Money,
        /// The market time.
        at: MarketTime,
    },
    /// The end of a holding of an option paid or took money: for shares at the strike, or in place of them.
    OptionSettled {
        /// The option.
        instrument_id: InstrumentId,
        /// The end, which its position and the shares name.
        ending_id: FillId,
        /// How it ended.
        how: OptionEnd,
        /// The change of cash: negative is paid.
        amount: Money,
        /// The balance after it.
        cash: Money,
        /// How a margin account stands once all that ended with it is settled, where it was exercised because of that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        margin: Option<Standing>,
        /// The market time.
        at: MarketTime,
    },
    /// The account began again with another balance: nothing is reserved any more. Its positions and open orders
    /// ended by the same command.
    AccountReset {
        /// The command.
        reset_id: CommandId,
        /// The change of cash: what it took to come to the new balance.
        amount: Money,
        /// What orders had reserved.
        released: Money,
        /// The new balance.
        cash: Money,
        /// The market time, once there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<MarketTime>,
    },
    /// The account trades under other limits now.
    PolicyChanged {
        /// All limits after the change.
        policy: Policy,
        /// A person named the trading state while a limit on losses had stopped the account: that ends the stop, also where
        /// the state stays the one that the stop had left.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ends_stop: bool,
    },
    /// A trading day began for an account whose policy limits losses, or their count began within one: they are counted
    /// from this equity.
    TradingDayBegan {
        /// The New York date of its session.
        day: NaiveDate,
        /// Cash, dividends due, and what the holdings are worth.
        equity: Money,
        /// The highest equity since the count began.
        peak: Money,
        /// Dividends that have accrued and are not yet paid.
        dividends_due: Money,
        /// The holdings, by instrument, at the prices of this moment.
        holdings: Vec<Marked>,
        /// The line of the tape that it began with: the prices are of those before it.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// The account has lost what its policy lets it lose: it may only reduce positions from now on. Its open orders that
    /// would have opened or added to a position ended by the same command.
    LossLimitReached {
        /// Which limit.
        limit: LossLimit,
        /// What it may trade from now on.
        trading_state: TradingState,
        /// The equity that the loss is counted from: that of the day's begin, or the highest, with what came in and went
        /// out since.
        base: Money,
        /// What the policy lets it lose of that.
        max_loss: Money,
        /// Cash, dividends due, and what the holdings are worth.
        equity: Money,
        /// The highest equity since the count began.
        peak: Money,
        /// Dividends that have accrued and are not yet paid.
        dividends_due: Money,
        /// The holdings, by instrument, at the prices that reached the limit.
        holdings: Vec<Marked>,
        /// The line of the tape that did.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// The next trading day began: an account that its daily loss had stopped may trade again.
    LossLimitLifted {
        /// The New York date of its session.
        day: NaiveDate,
        /// What it may trade from now on: what it might before the stop.
        trading_state: TradingState,
        /// The market time.
        at: MarketTime,
    },
    /// A user was offered a role on the account, which permits nothing until it is accepted.
    AccessOffered {
        /// The grant that it would be.
        grant_id: GrantId,
        /// To whom.
        user_id: UserId,
        /// What it would permit.
        role: GrantRole,
    },
    /// An offer has ended without ever having permitted anything.
    OfferEnded {
        /// The grant that it would have been.
        grant_id: GrantId,
        /// To whom it was made.
        user_id: UserId,
        /// What it would have permitted.
        role: GrantRole,
        /// How.
        reason: OfferEnd,
    },
    /// A user may do on the account what the role permits, from now on.
    AccessGranted {
        /// The grant.
        grant_id: GrantId,
        /// Whose.
        user_id: UserId,
        /// What it permits.
        role: GrantRole,
    },
    /// A grant has ended, by whoever the metadata names: who gave it, who held it, or the operator.
    AccessRevoked {
        /// The grant.
        grant_id: GrantId,
        /// Whose.
        user_id: UserId,
        /// What it permitted.
        role: GrantRole,
    },
}

impl AccountEvent {
    /// Whether somebody changed by it what losses are counted by: the policy, or the money that there is.
    pub const fn is_change(&self) -> bool {
        matches!(
            self,
            Self::PolicyChanged { .. }
                | Self::CashDeposited { .. }
                | Self::CashWithdrawn { .. }
                | Self::AccountReset { .. }
        )
    }
}
