//! What the ledger can be asked to do: one enum for REST, MCP and the engine.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::account::AccountCommand;
use crate::id::{AccountId, CommandId, InstrumentId, OrderId, UserId};
use crate::instrument::{InstrumentCommand, InstrumentKind, OptionTerms};
use crate::margin::Marks;
use crate::market::{MarketTime, Reference, TapePlace};
use crate::money::{Money, Quantity};
use crate::order::{CancelReason, Execution, ExpiryReason, OrderChange, OrderSpec, Trigger};
use crate::user::UserCommand;
use crate::writer::WriterCommand;

/// Whether an order for an auction can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuctionEntry {
    /// It takes part in the next one.
    Taken {
        /// When it ends if that has no price for it.
        ends: MarketTime,
    },
    /// None is taken between these instants: the auction is being prepared, or was held.
    Refused {
        /// The first of them.
        since: MarketTime,
        /// The first after them.
        until: MarketTime,
    },
}

/// What the market looks like to an order that arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketView {
    /// The market clock.
    pub at: MarketTime,
    /// The last line of the tape.
    pub tape_place: TapePlace,
    /// The price that a market buy's worst cost is estimated from; `None` if the symbol has no price yet.
    pub reference: Option<Reference>,
    /// When the time of a day order that arrives now is over.
    pub session_close: MarketTime,
    /// The same for one of extended hours: the end of the after-hours.
    pub extended_close: MarketTime,
    /// Whether orders can fill at this moment, by the hours of the market.
    pub open: bool,
    /// The prices of what the account holds and of what is traded, if it is a margin account; of an order of options those
    /// of its legs and of what they are on, whatever the account.
    pub marks: Marks,
    /// Of an order of options what each of its contracts is.
    pub contracts: BTreeMap<InstrumentId, OptionTerms>,
    /// When the first of these contracts expires: a gtc order ends then.
    pub contracts_end: Option<MarketTime>,
    /// The auction that an opg or cls order asks for; `None` for other orders, and in a market that has no auctions.
    pub auction: Option<AuctionEntry>,
}

impl MarketView {
    /// By what an order is judged once it was changed: whether it follows the market by now is not known here, and if it does
    /// not, its first mark is the next price that comes, which can be as high as the price from which on it follows.
    pub fn once_changed(&self, spec: &OrderSpec) -> Self {
        let mut view = self.clone();
        if let Some((reference, from)) = view.reference.as_mut().zip(spec.activation_price) {
            reference.price = reference.price.max(from);
        }
        view
    }
}

/// What is known of a contract that a split changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BeforeSplit {
    /// What it was worth before, in dollars a share, if that is known.
    pub worth: Option<Reference>,
    /// What is listed, held or asked for under the symbol that it becomes, if the market has told of one there.
    pub listed: Option<OptionTerms>,
}

/// One command to the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// To one account alone: open, deposit, policy, grants.
    Account {
        /// Which.
        account_id: AccountId,
        /// What.
        command: AccountCommand,
    },
    /// Take money out of an account.
    Withdraw {
        /// Whose.
        account_id: AccountId,
        /// The command.
        withdrawal_id: CommandId,
        /// How much.
        amount: Money,
        /// The prices of what the account holds, if it is a margin account.
        marks: Marks,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// To one instrument alone: list, halt, resume, splits and dividends, official close.
    Instrument {
        /// Which.
        instrument_id: InstrumentId,
        /// What.
        command: InstrumentCommand,
    },
    /// To one user: record a fact.
    User {
        /// Whom.
        user_id: UserId,
        /// What.
        command: UserCommand,
    },
    /// To the writer of a shard: record a take-over.
    Writer {
        /// Which.
        shard: u16,
        /// What.
        command: WriterCommand,
    },
    /// Place an order. A refusal by the business is recorded as a rejected order.
    Place {
        /// Its id, fresh.
        order_id: OrderId,
        /// What is asked for.
        spec: OrderSpec,
        /// The market that it arrives at.
        market: MarketView,
    },
    /// Place an order that closes what its account holds, or a part of that. Refused, and not recorded, where it would do more
    /// than that: what is held and free may have changed since somebody looked.
    Close {
        /// Its id, fresh.
        order_id: OrderId,
        /// What is asked for.
        spec: OrderSpec,
        /// The market that it arrives at.
        market: MarketView,
    },
    /// Change an open order: the same order, its next revision. What its owner asks too much for is refused, and the
    /// order stays as it is.
    Replace {
        /// Whose order it has to be.
        account_id: AccountId,
        /// Which.
        order_id: OrderId,
        /// What changes.
        change: OrderChange,
        /// The revision that the change was meant for, if it was: it is refused for another one.
        seen: Option<u32>,
        /// The market that the change arrives at.
        market: MarketView,
    },
    /// End an order: by its owner, or by a rule of its own (ioc, fok).
    Cancel {
        /// Whose order it has to be.
        account_id: AccountId,
        /// Which.
        order_id: OrderId,
        /// Why.
        reason: CancelReason,
        /// The market time.
        at: MarketTime,
    },
    /// End an order that a defect keeps from being decided, as it was when that was found: one that was changed since may be
    /// another matter.
    GiveUp {
        /// Which.
        order_id: OrderId,
        /// Its revision then.
        revision: u32,
        /// The market time.
        at: MarketTime,
    },
    /// End every open order of an account, or those of one kind of instrument, in one commit.
    CancelAll {
        /// Whose.
        account_id: AccountId,
        /// Of which kind; of every kind if `None`.
        kind: Option<InstrumentKind>,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// End an order whose time is over.
    Expire {
        /// Which.
        order_id: OrderId,
        /// Which time.
        reason: ExpiryReason,
        /// The market time.
        at: MarketTime,
    },
    /// Let an account begin again: its open orders are canceled, its positions given up, its cash becomes `balance`.
    Reset {
        /// Whose.
        account_id: AccountId,
        /// The command.
        reset_id: CommandId,
        /// The new balance.
        balance: Money,
        /// The market time, once there is one.
        at: Option<MarketTime>,
    },
    /// Count the losses of an account from what it is worth now: a trading day has begun, or its policy limits losses
    /// since. The stop of a daily loss ends with it.
    BeginDay {
        /// Whose.
        account_id: AccountId,
        /// The trading day, by its New York date.
        day: NaiveDate,
        /// How often the account had been changed when this was proposed: after another change it is proposed anew.
        seen: u64,
        /// How far the account's highest equity has risen since it was last told: 0 or more.
        rise: Money,
        /// The prices of what the account holds.
        marks: Marks,
        /// The line of the tape that it begins with.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// Stop an account that has reached a limit on losses, and end its orders that would open or add to a position.
    StopLosses {
        /// Whose.
        account_id: AccountId,
        /// How often the account had been changed when this was proposed: after another change it is proposed anew.
        seen: u64,
        /// How far the account's highest equity has risen since it was last told: 0 or more.
        rise: Money,
        /// The prices of what the account holds.
        marks: Marks,
        /// The line of the tape that reached it.
        tape_place: TapePlace,
        /// The market time.
        at: MarketTime,
    },
    /// Execute some of an order.
    Fill {
        /// Which.
        order_id: OrderId,
        /// The engine's proposal.
        execution: Execution,
        /// The prices of what the account holds, if it is a margin account.
        marks: Marks,
        /// The market time.
        at: MarketTime,
    },
    /// Let an order work whose stop was reached.
    Trigger {
        /// Which.
        order_id: OrderId,
        /// The engine's proposal.
        trigger: Trigger,
        /// The market time.
        at: MarketTime,
    },
    /// Let one account follow the split that gates an instrument.
    FollowSplit {
        /// Whose.
        account_id: AccountId,
        /// Of what.
        instrument_id: InstrumentId,
        /// Its open orders in that instrument and in options on it: all of them.
        orders: Vec<OrderId>,
        /// The options on it that the account holds: all of them whose last session is not over.
        contracts: Vec<(InstrumentId, BeforeSplit)>,
        /// The market time.
        at: MarketTime,
    },
    /// Let a dividend accrue in one position.
    AccrueDividend {
        /// Whose.
        account_id: AccountId,
        /// Of what.
        instrument_id: InstrumentId,
        /// The corporate action.
        action_id: String,
        /// What was held at the close before the ex date.
        qty: Quantity,
        /// The market time.
        at: MarketTime,
    },
    /// Pay an accrued dividend to one account.
    PayDividend {
        /// Whose.
        account_id: AccountId,
        /// Of what.
        instrument_id: InstrumentId,
        /// The corporate action.
        action_id: String,
        /// The market time.
        at: MarketTime,
    },
    /// Settle what one account holds of the contracts on one underlying that have expired in a session, all at once: each
    /// is exercised, assigned, paid its difference, sold at its bid, or ends for nothing.
    SettleExpired {
        /// Whose.
        account_id: AccountId,
        /// What the contracts are on.
        underlying_id: InstrumentId,
        /// The New York date of their last session.
        session: NaiveDate,
        /// The contracts, all that the account holds of them, each with its last bid if there was one.
        contracts: Vec<(InstrumentId, Option<Reference>)>,
        /// The account's open orders that have one of them as a leg: all of them.
        orders: Vec<OrderId>,
        /// The prices of what the account holds, if it is a margin account.
        marks: Marks,
        /// The market time.
        at: MarketTime,
    },
    /// Exercise a long option before it expires.
    Exercise {
        /// Whose.
        account_id: AccountId,
        /// The option.
        instrument_id: InstrumentId,
        /// The command.
        exercise_id: CommandId,
        /// How many contracts.
        qty: Quantity,
        /// When its last session closes, as far as the calendar goes: from then on nothing but expiry ends it.
        contract_end: Option<MarketTime>,
        /// The last price of what it is on, if there is one: one that is settled in cash needs it.
        underlying: Option<Reference>,
        /// The prices of what the account holds and of what the option is on, if it is a margin account.
        marks: Marks,
        /// The market time.
        at: MarketTime,
    },
    /// Assign a short option before it expires, whether the account can pay or not.
    Assign {
        /// Whose.
        account_id: AccountId,
        /// The option.
        instrument_id: InstrumentId,
        /// The command.
        assignment_id: CommandId,
        /// How many contracts.
        qty: Quantity,
        /// When its last session closes, as far as the calendar goes: from then on nothing but expiry ends it.
        contract_end: Option<MarketTime>,
        /// The prices of the moment: one that is settled in cash needs that of what it is on.
        marks: Marks,
        /// The market time.
        at: MarketTime,
    },
    /// Say whether a long option shall be exercised when it expires in the money.
    InstructExercise {
        /// Whose.
        account_id: AccountId,
        /// The option.
        instrument_id: InstrumentId,
        /// Whether it shall: without a word it is.
        exercise: bool,
        /// When its last session closes, as far as the calendar goes: from then on nothing but expiry ends it.
        contract_end: Option<MarketTime>,
        /// The market time.
        at: MarketTime,
    },
}
