//! Why an account refuses.

use super::event::TradingState;
use super::losses::{LossLimit, LossStop};
use crate::money::{AmountError, Money, Quantity};
use crate::refusal::{Refusal, RefusalCode};

/// What is wrong with a command to an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The account exists already.
    #[error("the account exists already")]
    Exists,
    /// There is no such account.
    #[error("there is no such account")]
    NotFound,
    /// An amount that must be above zero is not.
    #[error("the amount is {0}: it must be above 0")]
    NotPositive(Money),
    /// A balance to begin with that is below zero.
    #[error("the balance is {0}: it must be 0 or more")]
    BalanceNegative(Money),
    /// More cash than is available.
    #[error(
        "{asked} is more than the {available} available ({cash} cash less {reserved} reserved for open orders): withdraw less, or cancel orders first"
    )]
    InsufficientCash {
        /// What was asked for.
        asked: Money,
        /// Cash less reservations.
        available: Money,
        /// The balance.
        cash: Money,
        /// What orders reserve.
        reserved: Money,
    },
    /// More than a margin account can do without.
    #[error(
        "{asked} is more than the {available} that margin leaves free ({equity} of margin equity less {initial} that backs the positions and {reserved} for open orders): withdraw less, or reduce positions first"
    )]
    InsufficientMargin {
        /// What was asked for.
        asked: Money,
        /// What is free.
        available: Money,
        /// Cash and what shares are worth: options back nothing.
        equity: Money,
        /// The initial margin of the positions.
        initial: Money,
        /// What orders reserve.
        reserved: Money,
    },
    /// More than the account can pay.
    #[error(
        "the order needs {needed} at worst, {available} is available: lower the quantity or the price, or cancel open orders first"
    )]
    InsufficientBuyingPower {
        /// What the order needs.
        needed: Money,
        /// What is available.
        available: Money,
    },
    /// The trading state forbids it.
    #[error("the account is {}: it takes no new orders until its policy's trading_state is active, cancels pass", .0.word())]
    Halted(TradingState),
    /// The margin equity of an account is below its maintenance margin.
    #[error(
        "the account is under a margin call: its margin equity, cash and shares without options, is {equity}, and its positions have to be backed with {maintenance}: deposit, or reduce positions; orders that only reduce pass"
    )]
    MarginCall {
        /// Cash and what shares are worth: options back nothing.
        equity: Money,
        /// The maintenance margin.
        maintenance: Money,
    },
    /// The trading state permits only what reduces positions.
    #[error(
        "the account is reducing: until its policy's trading_state is active, it takes only orders that reduce a position"
    )]
    ReduceOnly,
    /// A cash account owes money: see `Account::in_deficit`.
    #[error(
        "the account owes {0}: until that is deposited, it takes only orders that reduce a position"
    )]
    InDeficit(Money),
    /// A limit on losses is reached.
    #[error("{}", stopped(.0))]
    LossLimit(Box<LossStop>),
    /// The trading day has begun, the account is stopped already, or no limit is reached: the account is not as whoever
    /// sent the command took it to be.
    #[error("the losses of the account are not as they were taken to be: look again")]
    LossesChanged,
    /// An order for more shares than the policy allows.
    #[error(
        "qty {qty} is more than the {max} that the account's policy allows for one order: lower it"
    )]
    OrderQty {
        /// What was asked for.
        qty: Quantity,
        /// What is allowed.
        max: Quantity,
    },
    /// An order that costs more than the policy allows.
    #[error(
        "the order costs {cost} at worst, more than the {max} that the account's policy allows for one order: lower the \
         quantity"
    )]
    OrderNotional {
        /// What it costs at worst.
        cost: Money,
        /// What is allowed.
        max: Money,
    },
    /// A limit that permits nothing.
    #[error(
        "{0} has to be above 0: null lifts the limit, and the trading state halted forbids all orders"
    )]
    LimitNotPositive(&'static str),
    /// An order reserved already, or never.
    #[error("no such reservation")]
    NoReservation,
    /// Money of an order or a corporate action, apart from it.
    #[error("money of an order, a corporate action or a reset moves only with it")]
    NotAlone,
    /// A level that accounts of this kind do not have.
    #[error(
        "option_level {asked} is above {most}, the highest of such an account: spreads and naked options need margin"
    )]
    OptionLevel {
        /// What was asked for.
        asked: u8,
        /// The highest.
        most: u8,
    },
    /// An amount that cannot be held.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

/// Why an account takes no order that opens or adds to a position, and until when.
fn stopped(stop: &LossStop) -> String {
    let LossStop { limit, base, max_loss, equity, .. } = stop;
    let (from, until) = match limit {
        LossLimit::DailyLoss => (
            "the equity that its trading day began with",
            "with the next trading day, or when its trading_state is set",
        ),
        LossLimit::Drawdown => ("its highest equity", "when its trading_state is set to active"),
    };
    format!(
        "the account came down to {equity} from {base}, {from}, and its policy lets it lose {max_loss}: it may only reduce \
         positions; this ends {until}"
    )
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        let code = match &error {
            AccountError::Exists => RefusalCode::AccountExists,
            AccountError::NotFound => RefusalCode::AccountNotFound,
            AccountError::NotPositive(_)
            | AccountError::BalanceNegative(_)
            | AccountError::LimitNotPositive(_)
            | AccountError::Amount(_) => RefusalCode::InvalidAmount,
            AccountError::InsufficientCash { .. } | AccountError::InsufficientMargin { .. } => {
                RefusalCode::InsufficientCash
            }
            AccountError::MarginCall { .. } => RefusalCode::MarginCall,
            AccountError::InsufficientBuyingPower { .. } => RefusalCode::InsufficientBuyingPower,
            AccountError::Halted(_) => RefusalCode::TradingHalted,
            AccountError::ReduceOnly | AccountError::InDeficit(_) => RefusalCode::ReduceOnly,
            AccountError::OrderQty { .. } | AccountError::OrderNotional { .. } => {
                RefusalCode::OrderLimit
            }
            AccountError::LossLimit(stop) => match stop.limit {
                LossLimit::DailyLoss => RefusalCode::DailyLossLimit,
                LossLimit::Drawdown => RefusalCode::DrawdownLimit,
            },
            AccountError::LossesChanged => RefusalCode::AlreadyApplied,
            AccountError::NoReservation | AccountError::NotAlone => RefusalCode::OrderChanged,
            AccountError::OptionLevel { .. } => RefusalCode::InvalidOrder,
        };
        let refusal = Self::new(code, error.to_string());
        match error {
            AccountError::NotPositive(amount) => refusal.field("amount").figure("amount", amount),
            AccountError::BalanceNegative(balance) => {
                refusal.field("starting_balance").figure("starting_balance", balance)
            }
            AccountError::LimitNotPositive(field) => refusal.field(field),
            AccountError::InDeficit(owed) => refusal.figure("owed", owed),
            AccountError::InsufficientCash { asked, available, cash, reserved } => refusal
                .field("amount")
                .figure("asked", asked)
                .figure("available", available)
                .figure("cash", cash)
                .figure("reserved", reserved),
            AccountError::InsufficientMargin { asked, available, equity, initial, reserved } => {
                refusal
                    .field("amount")
                    .figure("asked", asked)
                    .figure("available", available)
                    .figure("margin_equity", equity)
                    .figure("initial_margin", initial)
                    .figure("reserved", reserved)
            }
            AccountError::MarginCall { equity, maintenance } => {
                refusal.figure("margin_equity", equity).figure("maintenance_margin", maintenance)
            }
            AccountError::InsufficientBuyingPower { needed, available } => {
                refusal.figure("needed", needed).figure("available", available)
            }
            AccountError::OrderQty { qty, max } => {
                refusal.field("qty").figure("qty", qty).figure("max", max)
            }
            AccountError::OptionLevel { asked, most } => {
                refusal.field("option_level").figure("asked", asked).figure("most", most)
            }
            AccountError::OrderNotional { cost, max } => {
                refusal.figure("cost", cost).figure("max", max)
            }
            AccountError::LossLimit(stop) => {
                let refusal = refusal.figure("equity", stop.equity).figure("base", stop.base);
                match stop.base.minus(stop.equity) {
                    Ok(loss) => refusal.figure("loss", loss),
                    Err(_) => refusal,
                }
                .figure("max_loss", stop.max_loss)
            }
            _ => refusal,
        }
    }
}
