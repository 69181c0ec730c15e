//! What an option contract is, as orders, positions and margin keep it.

use std::fmt;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contract::{Contract, ContractError, MULTIPLIER, Right};
use crate::id::InstrumentId;
use crate::money::{AmountError, Money, Price, Quantity};

/// What a contract is called of which only the terms count.
const ANY_ROOT: &str = "X";

/// When an option may be exercised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExerciseStyle {
    /// Until it expires.
    American,
    /// When it expires.
    European,
}

/// What the exercise of an option delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Shares.
    Physical,
    /// Money.
    Cash,
}

/// How a holding of an option ended otherwise than by a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptionEnd {
    /// A long one took its right: shares at the strike.
    Exercised,
    /// A short one met its duty: shares at the strike.
    Assigned,
    /// It was not in the money, or what it would have moved is beyond the bound of amounts: it is worth nothing.
    Expired,
    /// Money for what it was in the money by.
    CashSettled,
    /// A long one in the money that the account could not pay for: sold at its last bid.
    SoldOut,
    /// A long one in the money that was not exercised: its owner had said so, or the account could not pay for it and nobody
    /// bid.
    Abandoned,
    /// A split of what it is on does not come out in whole contracts: money for what it was worth before.
    PaidOut,
}

impl OptionEnd {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exercised => "exercised",
            Self::Assigned => "assigned",
            Self::Expired => "expired",
            Self::CashSettled => "cash_settled",
            Self::SoldOut => "sold_out",
            Self::Abandoned => "abandoned",
            Self::PaidOut => "paid_out",
        }
    }

    /// Whether it delivers shares at the strike.
    pub const fn delivers(self) -> bool {
        matches!(self, Self::Exercised | Self::Assigned)
    }

    /// Whether a holding can end so that is long, or one that is short.
    pub const fn can_end(self, long: bool) -> bool {
        match self {
            Self::Exercised | Self::SoldOut | Self::Abandoned => long,
            Self::Assigned => !long,
            Self::Expired | Self::CashSettled | Self::PaidOut => true,
        }
    }
}

/// The terms of one option contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OptionTerms {
    /// What it is on.
    pub underlying_id: InstrumentId,
    /// The ticker of that.
    pub underlying: String,
    /// The last day on which it can be traded and exercised.
    pub expiration: NaiveDate,
    /// Call or put.
    pub right: Right,
    /// Dollars a share at which it is exercised.
    pub strike: Price,
    /// When it may be exercised.
    pub style: ExerciseStyle,
    /// What its exercise delivers.
    pub settlement: Settlement,
    /// Shares that one contract is on: what its price is multiplied by to give its value.
    pub shares: Quantity,
}

impl fmt::Display for OptionTerms {
    /// What a symbol does not say by itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = match self.style {
            ExerciseStyle::American => "american",
            ExerciseStyle::European => "european",
        };
        let settled = match self.settlement {
            Settlement::Physical => "in shares",
            Settlement::Cash => "in cash",
        };
        write!(f, "{style} on {} shares of {}, settled {settled}", self.shares, self.underlying)
    }
}

impl OptionTerms {
    /// The terms of a contract. One whose market has not told style and settlement is taken for what options on stocks are:
    /// american, and delivered in shares.
    ///
    /// # Errors
    /// None that a contract can have: the shares of a contract are within the bound of quantities.
    pub fn of(
        contract: &Contract,
        underlying: &str,
        style: Option<ExerciseStyle>,
        settlement: Option<Settlement>,
    ) -> Result<Self, AmountError> {
        Ok(Self {
            underlying_id: InstrumentId::of_symbol(underlying),
            underlying: underlying.to_owned(),
            expiration: contract.expiration(),
            right: contract.right(),
            strike: contract.strike(),
            style: style.unwrap_or(ExerciseStyle::American),
            settlement: settlement.unwrap_or(Settlement::Physical),
            shares: Quantity::new(MULTIPLIER.into())?,
        })
    }

    /// The contract by its terms alone, whatever root it is listed by.
    ///
    /// # Errors
    /// Terms that no contract has.
    pub fn contract(&self) -> Result<Contract, ContractError> {
        Contract::new(ANY_ROOT, self.expiration, self.right, self.strike)
    }

    /// The shares that so many contracts are on.
    ///
    /// # Errors
    /// More than the largest quantity.
    pub fn shares_of(&self, contracts: Quantity) -> Result<Quantity, AmountError> {
        contracts.times(self.shares)
    }

    /// What so many contracts cost or bring at a price in dollars a share: rounded once to the cent, half to even.
    ///
    /// # Errors
    /// Beyond the bound of money.
    pub fn value(&self, contracts: Quantity, price: Price) -> Result<Money, AmountError> {
        Money::of_fill(self.shares_of(contracts)?, price)
    }

    /// What exercising so many contracts pays or takes for the shares: strike times shares, to the cent.
    ///
    /// # Errors
    /// Beyond the bound of money.
    pub fn exercise_amount(&self, contracts: Quantity) -> Result<Money, AmountError> {
        Money::of_fill(self.shares_of(contracts)?, self.strike)
    }

    /// What exercising is worth for each share when the underlying is at `price`: never below 0.
    ///
    /// # Errors
    /// None within the bounds of prices.
    pub fn intrinsic(&self, price: Price) -> Result<Price, AmountError> {
        let gain = match self.right {
            Right::Call => price.minus(self.strike)?,
            Right::Put => self.strike.minus(price)?,
        };
        Ok(gain.max(Price::ZERO))
    }
}
