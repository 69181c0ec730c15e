//! What things are worth: sums of money that are computed for an answer and never stored.
//!
//! Money that is stored is bounded; the market value of shares and the sums over it are not, since prices come from
//! outside. A value beyond the bound of [`Money`] is told as it is, to the cent: an account that has grown beyond it
//! is read like any other.

use std::fmt;

use aggregates::margin::{Marked, Standing};
use aggregates::money::{AmountError, Money, Price, Quantity};
use aggregates::trading::Figures;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// An amount of US dollars in whole cents, of any size that an answer can have; written as [`Money`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(transparent)]
pub struct Value(#[schemars(with = "String")] Decimal);

impl Value {
    /// What `quantity` is worth at `price`, rounded as a fill of it would be.
    ///
    /// # Errors
    /// The product cannot be held exactly.
    pub fn of_fill(quantity: Quantity, price: Price) -> Result<Self, AmountError> {
        match Money::of_fill(quantity, price) {
            Ok(money) => Ok(money.into()),
            // Rounded to the cent already, and only more than an account may hold.
            Err(AmountError::TooLarge { value, .. }) => Ok(Self(value)),
            Err(other) => Err(other),
        }
    }

    /// What a holding is worth, less than nothing when short.
    ///
    /// # Errors
    /// It cannot be held exactly.
    pub fn of_holding(holding: &Marked) -> Result<Self, AmountError> {
        match holding.value() {
            Err(AmountError::TooLarge { value, .. }) => Ok(Self(value)),
            value => Ok(value?.into()),
        }
    }

    /// What all holdings of an account are worth and the cash with it: options too, which back nothing.
    ///
    /// # Errors
    /// It cannot be held exactly.
    pub fn worth(standing: &Standing) -> Result<Self, AmountError> {
        let options = standing.holdings.iter().filter(|holding| holding.contract.is_some());
        options
            .map(Self::of_holding)
            .try_fold(standing.equity.into(), |sum: Self, it| sum.plus(it?))
    }

    /// What an account may still open for: a margin account borrows as much again, beyond what an amount of money can be
    /// where it has much. `None` where a price lacks.
    pub fn buying_power(figures: &Figures) -> Option<Self> {
        let free = Self::from(figures.options_buying_power?);
        if figures.margin { free.plus(free).ok() } else { Some(free) }
    }

    /// An estimate to the nearest cent; `None` of what is no number, or beyond all that can be written.
    pub fn estimated(number: f64) -> Option<Self> {
        Some(Self(Decimal::from_f64_retain(number)?.round_dp(Money::DECIMALS)))
    }

    /// The sum of amounts of money.
    pub fn sum(amounts: impl IntoIterator<Item = Decimal>) -> Self {
        Self(amounts.into_iter().sum())
    }

    /// The number inside.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// The magnitude.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// Below zero.
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }

    /// The sum.
    ///
    /// # Errors
    /// It cannot be held exactly.
    pub fn plus(self, other: impl Into<Self>) -> Result<Self, AmountError> {
        Self::exact(self.0.checked_add(other.into().0))
    }

    /// The difference.
    ///
    /// # Errors
    /// It cannot be held exactly.
    pub fn minus(self, other: impl Into<Self>) -> Result<Self, AmountError> {
        Self::exact(self.0.checked_sub(other.into().0))
    }

    fn exact(sum: Option<Decimal>) -> Result<Self, AmountError> {
        sum.map(Self).ok_or(AmountError::Inexact)
    }
}

impl From<Money> for Value {
    fn from(money: Money) -> Self {
        Self(money.decimal())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.normalize();
        shown.rescale(Money::DECIMALS);
        f.pad(&shown.to_string())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_beyond_the_bound_of_money_is_exact_and_written_alike() {
        let (most, dearest) = (Quantity::MAX, "9999999.999999999".parse().unwrap());
        let value = Value::of_fill(most, dearest).unwrap();
        assert_eq!(value.to_string(), "9999999999999999.00");
        let short = Value::of_fill(most.negated(), dearest).unwrap();
        assert_eq!(short.to_string(), "-9999999999999999.00");
        assert_eq!(value.plus(short).unwrap(), Value::default());
        assert_eq!(value.plus(Money::MAX).unwrap().to_string(), "10009999999999999.00");
        for text in ["0.00", "-0.01", "12.50", "10000000000000.00"] {
            assert_eq!(Value::from(text.parse::<Money>().unwrap()).to_string(), text);
        }
    }
}
