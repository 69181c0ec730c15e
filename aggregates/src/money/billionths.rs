//! Prices and quantities as whole numbers, for what compares or combines many of them.

use super::{AmountError, Price, Quantity, from_units};

impl Price {
    /// It in billionths of a dollar, the finest that a price is: exact, and in the order of prices.
    pub fn billionths(self) -> i64 {
        let scale = Self::DECIMALS.saturating_sub(self.decimal().scale());
        let units = i64::try_from(self.decimal().mantissa()).ok();
        // The largest price has 17 digits so.
        let units = units.and_then(|units| units.checked_mul(10i64.checked_pow(scale)?));
        units.unwrap_or(if self.decimal().is_sign_negative() { i64::MIN } else { i64::MAX })
    }

    /// The price of so many billionths; the largest where there is none.
    pub fn of_billionths(units: i64) -> Self {
        let price = from_units(units.into(), Self::DECIMALS).ok().and_then(|it| Self::new(it).ok());
        price.unwrap_or(if units < 0 { Self::MAX.negated() } else { Self::MAX })
    }
}

impl Quantity {
    /// It in billionths of a share or contract, the finest that a quantity is.
    ///
    /// # Errors
    /// Never within the bound of a quantity.
    pub(crate) fn billionths(self) -> Result<i128, AmountError> {
        self.units()
    }

    /// The quantity of so many billionths.
    ///
    /// # Errors
    /// It is beyond the bound of a quantity.
    pub(crate) fn of_billionths(units: i128) -> Result<Self, AmountError> {
        Self::new(from_units(units, Self::DECIMALS)?)
    }
}
