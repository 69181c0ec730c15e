//! Parts of an amount.

use rust_decimal::Decimal;

use super::{AmountError, Money, Price, Quantity, Round, divide, times};

impl Money {
    /// So many percent of this amount, rounded up to the cent: what margin has to back.
    ///
    /// # Errors
    /// The part is beyond the bound of money.
    pub fn percent_up(self, percent: u32) -> Result<Self, AmountError> {
        let product = times(self.units()?, percent.into())?;
        Self::of_cents(divide(product, 100, Round::Up)?)
    }

    /// `value / parts` in billionths of a billionth of a dollar, rounded up to the cent: what backs parts of contracts,
    /// in billionths, at prices in billionths.
    ///
    /// # Errors
    /// It is beyond the bound of money, or `parts` is not above 0.
    pub(crate) fn of_contracts_up(value: i128, parts: i128) -> Result<Self, AmountError> {
        let cent = 10i128.pow(Quantity::DECIMALS + Price::DECIMALS - Self::DECIMALS);
        Self::of_cents(divide(value, times(cent, parts)?, Round::Up)?)
    }

    /// So many percent of this amount, down to the cent; nothing of less than nothing: what a limit leaves. What would be
    /// more than there can be limits nothing.
    ///
    /// # Errors
    /// The part cannot be computed.
    pub fn percent_down(self, percent: Price) -> Result<Self, AmountError> {
        let product = self.max(Self::ZERO).decimal().checked_mul(percent.decimal());
        let part = product.and_then(|product| product.checked_div(Decimal::ONE_HUNDRED));
        let part = part.ok_or(AmountError::Inexact)?.trunc_with_scale(Self::DECIMALS);
        Ok(Self::new(part).unwrap_or(Self::MAX))
    }
}

impl Quantity {
    /// This quantity `n` times: the shares of so many contracts, the contracts of so many combinations.
    ///
    /// # Errors
    /// More than the largest quantity, or finer than quantities are.
    pub fn times(self, n: Self) -> Result<Self, AmountError> {
        Self::new(self.0.checked_mul(n.0).ok_or(AmountError::Inexact)?)
    }

    /// The whole number of times that `part` goes into it; nothing goes into less than nothing.
    ///
    /// # Errors
    /// `part` is not above 0.
    pub fn whole_times(self, part: Self) -> Result<Self, AmountError> {
        if !part.is_positive() {
            return Err(AmountError::NotPositive { kind: "quantity", value: part.0 });
        }
        let times = self.max(Self::ZERO).0.checked_div(part.0).ok_or(AmountError::Inexact)?;
        Self::new(times.trunc())
    }

    /// The whole shares of it, towards zero.
    #[must_use]
    pub fn whole_part(self) -> Self {
        Self(self.0.trunc().normalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_cent_is_a_cent_more() {
        let part = |amount: &str, percent| {
            amount.parse::<Money>().unwrap().percent_up(percent).unwrap().to_string()
        };
        assert_eq!(part("1000.00", 50), "500.00");
        assert_eq!(part("0.01", 50), "0.01");
        assert_eq!(part("10.03", 25), "2.51");
        assert_eq!(part("0.00", 30), "0.00");
        assert_eq!(part("33.33", 100), "33.33");
    }

    #[test]
    fn a_part_of_a_share_is_left_off() {
        let whole = |qty: &str| qty.parse::<Quantity>().unwrap().whole_part().to_string();
        assert_eq!(["2.999999999", "0.5", "10", "-1.5"].map(whole), ["2", "0", "10", "-1"]);
    }
}
