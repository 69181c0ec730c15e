//! Amounts: money, prices and quantities as bounded exact decimals.
//!
//! Every amount is a `rust_decimal::Decimal` behind a type of its own, written as a JSON string. The bounds
//! (quantity at most 1e9 with 9 decimals, price at most 1e7 with 9, money at most 1e13 with 2) are small enough
//! that the product of any two is exact in a 128-bit integer. Rounding happens once, in the named functions of this
//! file and nowhere else; a result beyond its bound is an error.

mod billionths;
mod part;
mod residue;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use residue::Residue;

/// Why an amount is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not of the one form that amounts are written in. Its first characters, fit to be shown.
    #[error(
        "'{0}' is not a plain decimal such as 187.25 (at most 18 digits before and 9 after the point, no exponent, sign '+', separators or leading zeros)"
    )]
    Unreadable(String),
    /// Beyond the bound of its kind.
    #[error("{value} is beyond the largest {kind}, {max}")]
    TooLarge {
        /// What the amount is of.
        kind: &'static str,
        /// The amount as given.
        value: Decimal,
        /// The largest amount allowed.
        max: Decimal,
    },
    /// More decimals than its kind carries.
    #[error("{value} has more than {decimals} decimals, the most that a {kind} carries")]
    TooPrecise {
        /// What the amount is of.
        kind: &'static str,
        /// The amount as given.
        value: Decimal,
        /// The most decimals allowed.
        decimals: u32,
    },
    /// Zero or less where only more makes sense.
    #[error("{value} is not above 0, a {kind} has to be")]
    NotPositive {
        /// What the amount is of.
        kind: &'static str,
        /// The amount as given.
        value: Decimal,
    },
    /// A result that cannot be held exactly.
    #[error("the result of the calculation cannot be held exactly")]
    Inexact,
}

/// Reads `^-?(0|[1-9]\d{0,17})(\.\d{1,9})?$` and nothing else, exactly.
///
/// `rust_decimal` by itself also takes `1_000`, `1E5`, `+5` and `.5`, and rounds a 29th decimal silently.
pub fn parse_decimal(text: &str) -> Result<Decimal, AmountError> {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let unreadable = || AmountError::Unreadable(text.chars().take(40).map(shown).collect());
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let whole_fits =
        all_digits(whole) && whole.len() <= 18 && (whole == "0" || !whole.starts_with('0'));
    let fraction_fits = fraction.is_none_or(|part| all_digits(part) && part.len() <= 9);
    if !(whole_fits && fraction_fits) {
        return Err(unreadable());
    }
    Decimal::from_str_exact(text).map_err(|_| unreadable())
}

/// Which way the one rounding of a calculation goes.
#[derive(Clone, Copy)]
enum Round {
    /// To the nearest, a tie to the even neighbour.
    HalfEven,
    /// To the nearest, a tie towards plus infinity.
    HalfUp,
    /// Towards plus infinity.
    Up,
    /// Towards zero.
    Down,
}

/// `value` as a whole number of `10^-decimals`.
fn units(value: Decimal, decimals: u32) -> Result<i128, AmountError> {
    let shift = decimals.checked_sub(value.scale()).ok_or(AmountError::Inexact)?;
    let factor = 10i128.checked_pow(shift).ok_or(AmountError::Inexact)?;
    value.mantissa().checked_mul(factor).ok_or(AmountError::Inexact)
}

fn from_units(units: i128, decimals: u32) -> Result<Decimal, AmountError> {
    Decimal::try_from_i128_with_scale(units, decimals).map_err(|_| AmountError::Inexact)
}

fn times(a: i128, b: i128) -> Result<i128, AmountError> {
    a.checked_mul(b).ok_or(AmountError::Inexact)
}

/// `a / b` in whole units, rounded once; `b` above zero.
fn divide(a: i128, b: i128, round: Round) -> Result<i128, AmountError> {
    if b <= 0 {
        return Err(AmountError::Inexact);
    }
    let (floor, rest) = (a.div_euclid(b), a.rem_euclid(b));
    let up = match round {
        Round::HalfEven => match rest.cmp(&(b - rest)) {
            Ordering::Less => false,
            Ordering::Equal => floor % 2 != 0,
            Ordering::Greater => true,
        },
        Round::HalfUp => rest >= b - rest,
        Round::Up => rest > 0,
        Round::Down => rest > 0 && a < 0,
    };
    Ok(if up { floor + 1 } else { floor })
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $kind:literal, max $max:literal, decimals $decimals:literal, shown with at least $shown:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(transparent)]
        pub struct $name(#[schemars(with = "String")] Decimal);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(Decimal::ZERO);
            /// The largest magnitude.
            pub const MAX: Self = Self(Decimal::from_parts(
                ($max as u64 & 0xffff_ffff) as u32,
                ($max as u64 >> 32) as u32,
                0,
                false,
                0,
            ));
            /// The most decimals carried.
            pub const DECIMALS: u32 = $decimals;

            /// Checks bound and precision.
            pub fn new(value: Decimal) -> Result<Self, AmountError> {
                let value = value.normalize();
                if value.abs() > Self::MAX.0 {
                    return Err(AmountError::TooLarge { kind: $kind, value, max: Self::MAX.0 });
                }
                if value.scale() > $decimals {
                    return Err(AmountError::TooPrecise { kind: $kind, value, decimals: $decimals });
                }
                Ok(Self(value))
            }

            /// The number inside.
            pub const fn decimal(self) -> Decimal {
                self.0
            }

            fn units(self) -> Result<i128, AmountError> {
                units(self.0, $decimals)
            }

            /// Exactly zero.
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }

            /// Above zero.
            pub fn is_positive(self) -> bool {
                self.0 > Decimal::ZERO
            }

            /// Below zero.
            pub fn is_negative(self) -> bool {
                self.0 < Decimal::ZERO
            }

            /// The sum, within the bound.
            pub fn plus(self, other: Self) -> Result<Self, AmountError> {
                Self::new(self.0.checked_add(other.0).ok_or(AmountError::Inexact)?)
            }

            /// The difference, within the bound.
            pub fn minus(self, other: Self) -> Result<Self, AmountError> {
                Self::new(self.0.checked_sub(other.0).ok_or(AmountError::Inexact)?)
            }

            /// The magnitude.
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }

            /// The same amount with the other sign.
            pub fn negated(self) -> Self {
                Self(if self.0.is_zero() { self.0 } else { -self.0 })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = self.0.normalize();
                shown.rescale(shown.scale().max($shown));
                // pad, so that tables line up
                f.pad(&shown.to_string())
            }
        }

        impl FromStr for $name {
            type Err = AmountError;

            fn from_str(text: &str) -> Result<Self, AmountError> {
                Self::new(parse_decimal(text)?)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

amount! {
    /// An amount of the account's currency (US dollars), in whole cents; negative is owed.
    Money, "sum of money", max 10_000_000_000_000u64, decimals 2, shown with at least 2
}
amount! {
    /// A price of one share (or, for options, of one share of the deliverable).
    Price, "price", max 10_000_000u64, decimals 9, shown with at least 2
}
amount! {
    /// A number of shares or contracts; negative is short.
    Quantity, "quantity", max 1_000_000_000u64, decimals 9, shown with at least 0
}

impl Money {
    /// `quantity * price`, rounded once to the cent, half to even: what a fill costs or brings.
    pub fn of_fill(quantity: Quantity, price: Price) -> Result<Self, AmountError> {
        Self::rounded(quantity, price, Round::HalfEven)
    }

    /// The shares that this buys at `price`, to 9 decimals, down; at most the largest quantity.
    pub fn shares_at(self, price: Price) -> Result<Quantity, AmountError> {
        let unit = 10i128.pow(Quantity::DECIMALS + Price::DECIMALS - Self::DECIMALS);
        let shares = divide(times(self.units()?, unit)?, price.units()?, Round::Down)?;
        let most = Quantity::MAX.units()?;
        Quantity::new(from_units(shares.min(most), Quantity::DECIMALS)?)
    }

    /// `quantity * price`, rounded up to the cent: what is reserved for it, and how fees round.
    pub fn at_most(quantity: Quantity, price: Price) -> Result<Self, AmountError> {
        Self::rounded(quantity, price, Round::Up)
    }

    /// The cash for `fraction` new shares at the last close before the split, half to even; negative is owed.
    pub fn in_lieu(fraction: Quantity, close: Price, ratio: Ratio) -> Result<Self, AmountError> {
        let product = times(fraction.units()?, close.units()?)?;
        let cent = 10i128.pow(Quantity::DECIMALS + Price::DECIMALS - Self::DECIMALS);
        Self::of_cents(divide(
            times(product, ratio.old)?,
            times(cent, ratio.new)?,
            Round::HalfEven,
        )?)
    }

    fn rounded(quantity: Quantity, price: Price, round: Round) -> Result<Self, AmountError> {
        let cent = 10i128.pow(Quantity::DECIMALS + Price::DECIMALS - Self::DECIMALS);
        Self::of_cents(divide(times(quantity.units()?, price.units()?)?, cent, round)?)
    }

    fn of_cents(cents: i128) -> Result<Self, AmountError> {
        Self::new(from_units(cents, Self::DECIMALS)?)
    }

    /// The part `taken / whole` of this amount, to the cent, half to even. All of it when `taken == whole`.
    ///
    /// The cost of the shares that leave a lot; what stays is the difference, so that nothing is lost.
    pub fn share(self, taken: Quantity, whole: Quantity) -> Result<Self, AmountError> {
        if taken == whole {
            return Ok(self);
        }
        let product = times(self.units()?, taken.units()?)?;
        Self::of_cents(divide(product, whole.units()?, Round::HalfEven)?)
    }
}

impl Price {
    /// The price of one share when `quantity` of them cost `money`, to 6 decimals: `avg_entry_price`. `None` for no
    /// quantity.
    pub fn average(money: Money, quantity: Quantity) -> Option<Self> {
        let scale = 10i128.pow(6 + Quantity::DECIMALS - Money::DECIMALS);
        let cents = money.abs().units().ok()?;
        let average =
            divide(times(cents, scale).ok()?, quantity.abs().units().ok()?, Round::HalfEven);
        Self::new(from_units(average.ok()?, 6).ok()?).ok()
    }

    /// This price raised by `rate` (0.05 is 5 %, at most 9 decimals), rounded up to 4 decimals: the collar of a
    /// market order.
    pub fn raised_by(self, rate: Decimal) -> Result<Self, AmountError> {
        let factor = Decimal::ONE.checked_add(rate).ok_or(AmountError::Inexact)?.normalize();
        let product = times(self.units()?, units(factor, Self::DECIMALS)?)?;
        let scale = 10i128.pow(2 * Self::DECIMALS - 4);
        Self::new(from_units(divide(product, scale, Round::Up)?, 4)?)
    }

    /// What lies between this price and another, to 9 decimals, half to even.
    ///
    /// # Errors
    /// The sum is beyond the bound.
    pub fn middle(self, other: Self) -> Result<Self, AmountError> {
        let sum = self.units()? + other.units()?;
        Self::new(from_units(divide(sum, 2, Round::HalfEven)?, Self::DECIMALS)?)
    }

    /// This price after a split, on the tick: 2 decimals from 1.00 on, 4 below. It can become 0 when rounded down.
    pub fn split_by(self, ratio: Ratio, up: bool) -> Result<Self, AmountError> {
        let round = if up { Round::Up } else { Round::Down };
        let (product, unit) = (times(self.units()?, ratio.old)?, ratio.new);
        let below_one = product < times(10i128.pow(Self::DECIMALS), unit)?;
        let decimals = if below_one { 4 } else { 2 };
        let tick = times(unit, 10i128.pow(Self::DECIMALS - decimals))?;
        Self::new(from_units(divide(product, tick, round)?, decimals)?)
    }

    /// This price less `distance`, or more where it is `up`, on the tick; see [`Self::at_percent`].
    pub fn at_distance(self, distance: Self, up: bool) -> Result<Self, AmountError> {
        let (price, distance) = (self.units()?, distance.units()?);
        Self::on_tick(if up { price + distance } else { price - distance }, 1)
    }

    /// This price less `percent` of it, or more where it is `up`, on the tick: 2 decimals from 1.00 on, 4 below, half
    /// up.
    pub fn at_percent(self, percent: Self, up: bool) -> Result<Self, AmountError> {
        let hundred = 100 * 10i128.pow(Self::DECIMALS);
        let percent = percent.units()?;
        let factor = if up { hundred + percent } else { hundred - percent };
        Self::on_tick(times(self.units()?, factor)?, hundred)
    }

    /// `units / unit`, on the tick, half up.
    fn on_tick(units: i128, unit: i128) -> Result<Self, AmountError> {
        let below_one = units < times(10i128.pow(Self::DECIMALS), unit)?;
        let decimals = if below_one { 4 } else { 2 };
        let tick = times(unit, 10i128.pow(Self::DECIMALS - decimals))?;
        Self::new(from_units(divide(units, tick, Round::HalfUp)?, decimals)?)
    }

    /// The smallest price that an order may name.
    pub const SMALLEST_TICK: Self = Self(Decimal::from_parts(1, 0, 0, false, 4));

    /// Whether an order may name this price: positive, 2 decimals from 1.00 on, 4 below.
    pub fn is_on_tick(self) -> bool {
        let decimals = if self.0 >= Decimal::ONE { 2 } else { 4 };
        self.is_positive() && self.0.normalize().scale() <= decimals
    }
}

impl Quantity {
    /// No fraction of a share.
    pub fn is_whole(self) -> bool {
        self.0.fract().is_zero()
    }

    /// This quantity after a split, towards zero to 9 decimals, or to whole shares.
    pub fn split_by(self, ratio: Ratio, whole: bool) -> Result<Self, AmountError> {
        let decimals = if whole { 0 } else { Self::DECIMALS };
        let unit = times(ratio.old, 10i128.pow(Self::DECIMALS - decimals))?;
        let split = divide(times(self.units()?, ratio.new)?, unit, Round::Down)?;
        Self::new(from_units(split, decimals)?)
    }
}

/// New shares for old ones, in lowest terms and both above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    new: i128,
    old: i128,
}

impl Ratio {
    /// `numerator` new shares for `denominator` old ones; neither needs to be whole (1.5 for 1 is 3 for 2).
    pub fn of_split(numerator: Quantity, denominator: Quantity) -> Result<Self, AmountError> {
        for side in [numerator, denominator] {
            if !side.is_positive() {
                return Err(AmountError::NotPositive { kind: "side of a split", value: side.0 });
            }
        }
        let (new, old) = (numerator.units()?, denominator.units()?);
        let (mut divisor, mut rest) = (new, old);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        Ok(Self { new: new / divisor, old: old / divisor })
    }

    /// Fewer shares after it than before.
    pub fn is_reverse(self) -> bool {
        self.new < self.old
    }

    /// How many new shares there are for one old one, if that is a whole number.
    pub fn whole(self) -> Option<Quantity> {
        let new = Decimal::try_from_i128_with_scale(self.new, 0).ok().filter(|_| self.old == 1)?;
        Quantity::new(new).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn only_plain_decimals_are_read() {
        for good in ["0", "-0.5", "187.25", "999999999999999999", "0.000000001"] {
            assert!(parse_decimal(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-",
            ".5",
            "5.",
            "+5",
            "1_000",
            "1E5",
            "01",
            "0.0000000001",
            "1e3",
            " 1",
            "1 ",
            "٣",
            "NaN",
            "1000000000000000000",
        ] {
            assert!(parse_decimal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_and_precision_are_kept() {
        assert!(matches!("1000000000.1".parse::<Quantity>(), Err(AmountError::TooLarge { .. })));
        assert!(matches!("0.001".parse::<Money>(), Err(AmountError::TooPrecise { .. })));
        assert_eq!(money("10000000000000"), Money::MAX);
        assert!(Money::MAX.plus(money("0.01")).is_err());
    }

    #[test]
    fn fills_round_half_to_even_and_reservations_up() {
        assert_eq!(Money::of_fill(quantity("0.5"), price("0.25")).unwrap(), money("0.12"));
        assert_eq!(Money::of_fill(quantity("1.5"), price("0.25")).unwrap(), money("0.38"));
        assert_eq!(Money::at_most(quantity("0.5"), price("0.25")).unwrap(), money("0.13"));
        assert_eq!(Money::at_most(quantity("2"), price("0.25")).unwrap(), money("0.50"));
    }

    #[test]
    fn products_are_exact_up_to_the_bound_and_refused_beyond_it() {
        let most = quantity("999999999.999999999");
        assert!(Money::of_fill(most, price("9999999.999999999")).is_err());
        // 9999.999999999 * 999999999.999999999 = 9999999999998.999990000000000001
        let amount = Money::of_fill(most, price("9999.999999999")).unwrap();
        assert_eq!(amount, money("9999999999999.00"));
        assert_eq!(
            Money::at_most(quantity("0.000000001"), price("0.000000001")).unwrap(),
            money("0.01")
        );
        assert_eq!(Money::of_fill(quantity("0.000000001"), Price::MAX).unwrap(), money("0.01"));
        assert_eq!(
            Money::MAX.share(quantity("333333333.333333333"), quantity("1000000000")).unwrap(),
            money("3333333333333.33")
        );
    }

    #[test]
    fn splits_divide_to_the_tick_and_multiply_towards_zero() {
        let ratio = |new: &str, old: &str| Ratio::of_split(quantity(new), quantity(old)).unwrap();
        assert_eq!(ratio("1.5", "1"), ratio("3", "2"));
        assert!(ratio("1", "10").is_reverse() && !ratio("2", "1").is_reverse());
        assert!(Ratio::of_split(quantity("0"), quantity("1")).is_err());
        assert!(Ratio::of_split(quantity("1"), quantity("-1")).is_err());
        assert_eq!(price("100").split_by(ratio("3", "1"), false).unwrap(), price("33.33"));
        assert_eq!(price("100").split_by(ratio("3", "1"), true).unwrap(), price("33.34"));
        assert_eq!(price("1.00").split_by(ratio("3", "1"), true).unwrap(), price("0.3334"));
        assert_eq!(price("1.9999").split_by(ratio("2", "1"), true).unwrap(), price("1.00"));
        assert_eq!(price("0.0001").split_by(ratio("2", "1"), false).unwrap(), Price::ZERO);
        assert_eq!(quantity("5").split_by(ratio("3", "2"), true).unwrap(), quantity("7"));
        assert_eq!(quantity("-5").split_by(ratio("3", "2"), true).unwrap(), quantity("-7"));
        assert_eq!(
            quantity("1").split_by(ratio("1", "3"), false).unwrap(),
            quantity("0.333333333")
        );
        let in_lieu = Money::in_lieu(quantity("0.5"), price("100.01"), ratio("3", "2")).unwrap();
        assert_eq!(in_lieu, money("33.34"), "0.5 * 66.67333…");
    }

    #[test]
    fn a_collar_rounds_up_and_an_average_half_to_even() {
        let collar = Decimal::new(5, 2);
        assert_eq!(price("187.25").raised_by(collar).unwrap(), price("196.6125"));
        assert_eq!(price("0.0001").raised_by(collar).unwrap(), price("0.0002"));
        assert_eq!(Price::average(money("100"), quantity("3")), Some(price("33.333333")));
        assert_eq!(Price::average(money("200"), quantity("-3")), Some(price("66.666667")));
        assert_eq!(Price::average(money("1"), Quantity::ZERO), None);
    }

    #[test]
    fn there_is_one_zero() {
        for text in ["-0", "-0.00", "0.000"] {
            assert_eq!(quantity(text).to_string(), "0", "{text}");
        }
    }

    #[test]
    fn amounts_are_written_as_strings_with_their_usual_decimals() {
        assert_eq!(serde_json::to_string(&money("10")).unwrap(), r#""10.00""#);
        assert_eq!(serde_json::to_string(&price("187.2")).unwrap(), r#""187.20""#);
        assert_eq!(serde_json::to_string(&quantity("10.500")).unwrap(), r#""10.5""#);
        assert!(serde_json::from_str::<Money>("10").is_err(), "a JSON number is not an amount");
    }

    proptest! {
        #[test]
        fn shares_of_a_cost_add_up(cents in 0i64..1_000_000_000, whole in 2u32..10_000, cut in 1u32..10_000) {
            let cost = Money::new(Decimal::new(cents, 2)).unwrap();
            let whole = Quantity::new(Decimal::from(whole)).unwrap();
            let taken = Quantity::new(Decimal::from(cut).min(whole.decimal())).unwrap();
            let part = cost.share(taken, whole).unwrap();
            prop_assert!(part <= cost && !part.is_negative());
            prop_assert_eq!(part.plus(cost.minus(part).unwrap()).unwrap(), cost);
        }

        #[test]
        fn what_is_written_is_read_back(mantissa in -1_000_000_000_000_000i64..1_000_000_000_000_000, scale in 0u32..3) {
            if let Ok(amount) = Money::new(Decimal::new(mantissa, scale)) {
                let text = serde_json::to_string(&amount).unwrap();
                prop_assert_eq!(serde_json::from_str::<Money>(&text).unwrap(), amount);
            }
        }
    }
}
