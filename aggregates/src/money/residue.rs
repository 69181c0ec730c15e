//! What rounding left off: the cash of a fill is whole cents, the average price of an order's fills is not made of those.
//!
//! Cash and residue together are the exact value. It is kept beside the cash because the value alone, with 18 decimals,
//! would not fit a decimal of 28 digits.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{AmountError, Money, Price, Quantity, Round, divide, from_units, times, units};

/// What rounding the cash of fills to the cent left off, exactly: at most half a cent a fill, to 18 decimals. Negative
/// where it was rounded up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residue(Decimal);

impl Residue {
    /// Nothing was left off.
    pub const ZERO: Self = Self(Decimal::ZERO);
    /// The most decimals: those of a quantity and of a price.
    pub const DECIMALS: u32 = Quantity::DECIMALS + Price::DECIMALS;

    /// Of one fill: `quantity * price` less its rounded cash.
    pub fn of_fill(quantity: Quantity, price: Price, cash: Money) -> Result<Self, AmountError> {
        let cent = 10i128.pow(Self::DECIMALS - Money::DECIMALS);
        let rounded = times(cash.units()?, cent)?;
        let exact = times(quantity.units()?, price.units()?)?;
        let residue = exact.checked_sub(rounded).ok_or(AmountError::Inexact)?;
        Self::new(from_units(residue, Self::DECIMALS)?)
    }

    /// One that was stored.
    pub fn new(value: Decimal) -> Result<Self, AmountError> {
        let value = value.normalize();
        if value.scale() > Self::DECIMALS { Err(AmountError::Inexact) } else { Ok(Self(value)) }
    }

    /// The number inside.
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// Of several fills.
    pub fn plus(self, other: Self) -> Result<Self, AmountError> {
        Self::new(self.0.checked_add(other.0).ok_or(AmountError::Inexact)?)
    }

    fn units(self) -> Result<i128, AmountError> {
        units(self.0, Self::DECIMALS)
    }
}

impl Serialize for Residue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Residue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(Decimal::from_str_exact(&text).map_err(de::Error::custom)?)
            .map_err(de::Error::custom)
    }
}

impl Price {
    /// The average price of fills of `quantity` shares, weighted by their quantities, to 6 decimals, half to even:
    /// `filled_avg_price`. They cost `money`, of which rounding left off `residue`. `None` for no quantity.
    pub fn of_fills(money: Money, residue: Residue, quantity: Quantity) -> Option<Self> {
        let cent = 10i128.pow(Residue::DECIMALS - Money::DECIMALS);
        let exact = times(money.units().ok()?, cent).ok()?;
        let exact = exact.checked_add(residue.units().ok()?)?;
        let share = 10i128.pow(Residue::DECIMALS - Quantity::DECIMALS - 6);
        let shares = times(quantity.units().ok()?, share).ok()?;
        let average = divide(exact, shares, Round::HalfEven).ok()?;
        Self::new(from_units(average, 6).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }
    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }
    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn the_average_of_fills_is_that_of_their_prices_and_not_of_their_rounded_cash() {
        let fills = [("0.5", "0.25"), ("0.000000001", "0.123456789"), ("3", "33.335")];
        let (mut cash, mut residue) = (Money::ZERO, Residue::ZERO);
        for (qty, at) in fills {
            let (qty, at) = (quantity(qty), price(at));
            let paid = Money::of_fill(qty, at).unwrap();
            cash = cash.plus(paid).unwrap();
            residue = residue.plus(Residue::of_fill(qty, at, paid).unwrap()).unwrap();
        }
        // 0.125 + 0.000000000123456789 + 100.005
        assert_eq!(residue.decimal().to_string(), "0.010000000123456789");
        let all = quantity("3.500000001");
        assert_eq!(Price::of_fills(cash, residue, all), Some(price("28.608571")));
        assert_eq!(Price::of_fills(money("0.12"), residue, Quantity::ZERO), None);
        let (half, most) = (quantity("0.5"), Quantity::MAX);
        let one = Residue::of_fill(half, price("0.25"), money("0.12")).unwrap();
        assert_eq!(Price::of_fills(money("0.12"), one, half), Some(price("0.25")), "not 0.24");
        let value = Money::of_fill(most, price("9999.999999999")).unwrap();
        let rest = Residue::of_fill(most, price("9999.999999999"), value).unwrap();
        assert_eq!(Price::of_fills(value, rest, most), Some(price("10000")));
    }
}
