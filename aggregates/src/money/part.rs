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
