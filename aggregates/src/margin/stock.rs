//! Margin of stock.
//!
//! | a holding of stock | initial | maintenance |
//! |---|---|---|
//! | long | 50 % of its value | 25 % of its value |
//! | short at 5.00 and above | 50 % of its value | the higher of 5.00 a share and 30 % of its value |
//! | short below 5.00 | 50 % of its value | the higher of 2.50 a share and its value |
//!
//! Source: FINRA Rule 4210 and Regulation T. Each figure of each holding is rounded up to the cent.

use rust_decimal::Decimal;

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
