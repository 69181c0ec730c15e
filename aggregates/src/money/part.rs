//! Parts of an amount of money.

use super::{AmountError, Money, Round, divide, times};

impl Money {
    /// So many percent of this amount, rounded up to the cent: what margin has to back.
    ///
    /// # Errors
    /// The part is beyond the bound of money.
    pub fn percent_up(self, percent: u32) -> Result<Self, AmountError> {
        let product = times(self.units()?, percent.into())?;
        Self::of_cents(divide(product, 100, Round::Up)?)
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
}
