//! Margin of stock: what the holdings of an account are worth at given prices, and what has to back them.
//!
//! | a holding of stock | initial | maintenance |
//! |---|---|---|
//! | long | 50 % of its value | 25 % of its value |
//! | short at 5.00 and above | 50 % of its value | the higher of 5.00 a share and 30 % of its value |
//! | short below 5.00 | 50 % of its value | the higher of 2.50 a share and its value |
//!
//! Source: FINRA Rule 4210 and Regulation T, as `docs/rules.md` states them. Each figure of each holding is rounded up
//! to the cent. A holding without a price is an error that names it: unknown is never zero.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::InstrumentId;
use crate::market::{MarketTime, Reference};
use crate::money::{AmountError, Money, Price, Quantity};

/// What backs a holding when it is opened, in percent of its value.
pub const INITIAL_PERCENT: u32 = 50;
/// What has to back a long holding, in percent of its value.
pub const LONG_PERCENT: u32 = 25;
/// What has to back a short holding at 5.00 and above, in percent of its value.
pub const SHORT_PERCENT: u32 = 30;
/// What has to back a short holding below 5.00, in percent of its value.
pub const LOW_SHORT_PERCENT: u32 = 100;
/// The price from which on a short holding is no low-priced one, and what has to back each of its shares at least,
/// in cents.
const SHORT_FLOOR_CENTS: i64 = 500;
/// What has to back each share of a short holding below that price at least, in cents.
const LOW_SHORT_FLOOR_CENTS: i64 = 250;
/// Dollars of stock that a dollar of margin opens.
const MULTIPLE: u32 = 100 / INITIAL_PERCENT;

/// The prices that one instrument is valued at.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// What a share brings: the bid, else the last price.
    pub long: Reference,
    /// What a share costs that was sold short: the ask, else the last price.
    pub short: Reference,
}

/// The prices that a decision may stand on, by instrument.
pub type Marks = BTreeMap<InstrumentId, Mark>;

/// A holding at the price that it was valued at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Marked {
    /// Of what.
    pub instrument_id: InstrumentId,
    /// Shares; negative is short.
    pub qty: Quantity,
    /// The bid of a long holding, the ask of a short one, else the last price.
    pub price: Price,
    /// Where the price came from.
    pub source: String,
    /// Its market time.
    pub at: MarketTime,
}

/// How a margin account stood when a decision relied on it: all that is needed to compute it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Cash, and what the holdings are worth: short ones less than nothing.
    pub equity: Money,
    /// What backs the holdings when they are opened.
    pub initial: Money,
    /// What has to back the holdings.
    pub maintenance: Money,
    /// The holdings, by instrument.
    pub holdings: Vec<Marked>,
}

impl Standing {
    /// The standing of an account with this cash and these holdings.
    ///
    /// # Errors
    /// A figure is beyond the bound of money.
    pub fn of(cash: Money, holdings: Vec<Marked>) -> Result<Self, AmountError> {
        let begin = Self {
            equity: cash,
            initial: Money::ZERO,
            maintenance: Money::ZERO,
            holdings: Vec::with_capacity(holdings.len()),
        };
        holdings.into_iter().try_fold(begin, |mut standing, holding| {
            let Requirement { value, initial, maintenance } =
                Requirement::of(holding.qty, holding.price)?;
            standing.equity = standing.equity.plus(value)?;
            standing.initial = standing.initial.plus(initial)?;
            standing.maintenance = standing.maintenance.plus(maintenance)?;
            standing.holdings.push(holding);
            Ok(standing)
        })
    }

    /// Equity beyond what backs the holdings and what open orders reserve; below zero when it does not reach.
    pub fn excess(&self, reserved: Money) -> Result<Money, AmountError> {
        self.equity.minus(self.initial)?.minus(reserved)
    }

    /// The cost of stock that the account may still open.
    pub fn buying_power(&self, reserved: Money) -> Result<Money, AmountError> {
        bought_by(self.excess(reserved)?)
    }

    /// Whether the equity is below what has to back the holdings: it may only reduce risk.
    pub fn is_called(&self) -> bool {
        self.equity < self.maintenance
    }
}

/// The cost of stock that so much margin opens: nothing by less than nothing.
pub fn bought_by(margin: Money) -> Result<Money, AmountError> {
    margin.max(Money::ZERO).percent_up(MULTIPLE * 100)
}

/// What the opening of stock for `cost` reserves.
pub fn initial_of(cost: Money) -> Result<Money, AmountError> {
    cost.percent_up(INITIAL_PERCENT)
}

/// What one holding is worth, and what has to back it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requirement {
    /// Quantity times price, to the cent; negative when short.
    pub value: Money,
    /// What backs it when it is opened.
    pub initial: Money,
    /// What has to back it.
    pub maintenance: Money,
}

impl Requirement {
    /// The requirement of `qty` shares at `price`; negative is short.
    ///
    /// # Errors
    /// A figure is beyond the bound of money.
    pub fn of(qty: Quantity, price: Price) -> Result<Self, AmountError> {
        let value = Money::of_fill(qty, price)?;
        let size = value.abs();
        let maintenance = if qty.is_negative() {
            let (floor, percent) = match price >= dollars(SHORT_FLOOR_CENTS)? {
                true => (SHORT_FLOOR_CENTS, SHORT_PERCENT),
                false => (LOW_SHORT_FLOOR_CENTS, LOW_SHORT_PERCENT),
            };
            Money::at_most(qty.abs(), dollars(floor)?)?.max(size.percent_up(percent)?)
        } else {
            size.percent_up(LONG_PERCENT)?
        };
        Ok(Self { value, initial: initial_of(size)?, maintenance })
    }
}

fn dollars(cents: i64) -> Result<Price, AmountError> {
    Price::new(Decimal::new(cents, Money::DECIMALS))
}
