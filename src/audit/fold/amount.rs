//! Exact amounts of the audit: whole billionths in `i128`, and no decimal package, so that a defect of the ledger's
//! arithmetic is not repeated by what checks it.

use std::fmt;

/// Billionths in one.
const ONE: i128 = 1_000_000_000;
/// Billionths in a cent.
const CENT: i128 = 10_000_000;
/// Billionths in a thousandth.
const THOUSANDTH: i128 = 1_000_000;
/// The most shares of an order.
const MOST_SHARES: i128 = 1_000_000_000 * ONE;
/// The largest price.
const MAX_PRICE: i128 = 10_000_000 * ONE;

/// A number of dollars, of shares, or of dollars a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::audit) struct Amount(i128);

impl Amount {
    pub(in crate::audit) const ZERO: Self = Self(0);

    /// Reads a plain decimal of at most 14 digits before the point and 9 behind it, which bounds every product.
    pub(in crate::audit) fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let leading = whole.len() > 1 && whole.starts_with('0');
        if !plain(whole) || !plain(fraction) || leading || whole.len() > 14 || fraction.len() > 9 {
            return None;
        }
        let whole: i128 = whole.parse().ok()?;
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        let value = whole * ONE + fraction;
        Some(Self(if text.starts_with('-') { -value } else { value }))
    }

    pub(in crate::audit) fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub(in crate::audit) fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// -1, 0 or 1.
    pub(in crate::audit) fn sign(self) -> i128 {
        self.0.signum()
    }

    /// No part of a cent.
    pub(in crate::audit) fn is_cents(self) -> bool {
        self.0 % CENT == 0
    }

    pub(in crate::audit) fn is_whole(self) -> bool {
        self.0 % ONE == 0
    }

    /// `self * price` to the cent, half to even.
    pub(in crate::audit) fn cash(self, price: Self) -> Option<Self> {
        Some(Self(half_even(self.0.checked_mul(price.0)?, ONE * CENT) * CENT))
    }

    /// The nearest floating point number.
    #[expect(
        clippy::cast_precision_loss,
        clippy::float_arithmetic,
        reason = "what is compared with it allows for that"
    )]
    pub(in crate::audit) fn float(self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    /// A whole number.
    pub(in crate::audit) fn whole(number: u64) -> Self {
        Self(i128::from(number) * ONE)
    }

    /// So many times this; `None` if it is finer than amounts are.
    pub(in crate::audit) fn times(self, times: Self) -> Option<Self> {
        let product = self.0.checked_mul(times.0)?;
        (product % ONE == 0).then_some(Self(product / ONE))
    }

    /// A hundredth of this; `None` if it is finer than amounts are.
    pub(in crate::audit) fn hundredth(self) -> Option<Self> {
        (self.0 % 100 == 0).then_some(Self(self.0 / 100))
    }

    /// `self * price` less the cash that it was rounded to.
    pub(in crate::audit) fn residue(self, price: Self, cash: Self) -> Option<Residue> {
        Some(Residue(self.0.checked_mul(price.0)?.checked_sub(cash.0.checked_mul(ONE)?)?))
    }

    /// `self * price` to the cent, up.
    pub(in crate::audit) fn cash_up(self, price: Self) -> Option<Self> {
        let product = self.0.checked_mul(price.0)?;
        Some(Self(-(-product).div_euclid(ONE * CENT) * CENT))
    }

    /// So many percent of these dollars, down to the cent; nothing of less than nothing.
    pub(in crate::audit) fn part_down(self, percent: Self) -> Option<Self> {
        let product = self.0.max(0).checked_mul(percent.0)?;
        Some(Self(product.div_euclid(100 * ONE * CENT) * CENT))
    }

    /// With two digits behind the point, as events have dollars.
    pub(in crate::audit) fn dollars(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.abs() / CENT;
        format!("{sign}{}.{:02}", cents / 100, cents % 100)
    }

    /// The part `taken / whole` of these dollars to the cent, half to even.
    pub(in crate::audit) fn share(self, taken: Self, whole: Self) -> Option<Self> {
        if taken == whole {
            return Some(self);
        }
        if whole.0 <= 0 {
            return None;
        }
        Some(Self(half_even((self.0 / CENT).checked_mul(taken.0)?, whole.0) * CENT))
    }

    /// The largest multiple of `unit` that is no more than these, which are not below zero; nothing of no unit.
    pub(in crate::audit) fn in_wholes_of(self, unit: Self) -> Self {
        if unit.0 <= 0 { Self::ZERO } else { Self(self.0 / unit.0 * unit.0) }
    }

    /// `self * numerator / denominator` to 9 decimals, towards zero.
    pub(in crate::audit) fn scaled(self, numerator: Self, denominator: Self) -> Option<Self> {
        (denominator.0 > 0).then_some(())?;
        Some(Self(self.0.checked_mul(numerator.0)? / denominator.0))
    }

    /// This strike divided by `numerator / denominator`, to the thousandth that a symbol can say, half to even.
    pub(in crate::audit) fn strike_after(self, numerator: Self, denominator: Self) -> Option<Self> {
        (numerator.0 > 0).then_some(())?;
        let product = self.0.checked_mul(denominator.0)?;
        Some(Self(half_even(product, numerator.0.checked_mul(THOUSANDTH)?) * THOUSANDTH))
    }

    /// The middle of this price and another, half to even.
    pub(in crate::audit) fn middle(self, other: Self) -> Self {
        Self(half_even(self.0 + other.0, 2))
    }

    /// The stop at `distance` from this mark, above it for a buy, to the tick.
    pub(in crate::audit) fn trailed_by(self, distance: Self, is_buy: bool) -> Self {
        let stop = if is_buy { self.0 + distance.0 } else { self.0 - distance.0 };
        Self::on_tick(stop, 1)
    }

    /// The stop at `percent` from this mark, above it for a buy, to the tick.
    pub(in crate::audit) fn trailed_by_percent(self, percent: Self, is_buy: bool) -> Self {
        let all = 100 * ONE;
        let part = if is_buy { all + percent.0 } else { all - percent.0 };
        Self::on_tick(self.0 * part, all)
    }

    /// The shares that these dollars buy at `price`, to 9 decimals, down.
    pub(in crate::audit) fn shares_at(self, price: Self) -> Option<Self> {
        (price.0 > 0).then_some(())?;
        Some(Self(self.0.checked_mul(ONE)?.div_euclid(price.0).min(MOST_SHARES)))
    }

    /// The limit of what is triggered at this stop, `offset` above it for a buy: a price that an order can name.
    pub(in crate::audit) fn limit_beyond(self, offset: Self, is_buy: bool) -> Self {
        self.trailed_by(offset, is_buy).clamp(Self(CENT / 100), Self(MAX_PRICE))
    }

    /// A quotient to the cent, or below 1 to the hundredth of a cent, half up; never below 0.
    fn on_tick(over: i128, under: i128) -> Self {
        let tick = under * if over < ONE * under { CENT / 100 } else { CENT };
        Self((over.max(0) + tick / 2) / tick * tick / under)
    }

    /// What is behind the point.
    pub(in crate::audit) fn fraction(self) -> Self {
        Self(self.0 % ONE)
    }
}

/// `numerator / denominator` to a whole number, half to even; the denominator is above zero.
fn half_even(numerator: i128, denominator: i128) -> i128 {
    let (down, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    match (rest * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => down,
        std::cmp::Ordering::Greater => down + 1,
        std::cmp::Ordering::Equal => down + down.rem_euclid(2),
    }
}

impl std::ops::Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::ops::Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::ops::SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|amount| amount.0).sum())
    }
}

/// Without zeros at the end, as Postgres writes `trim_scale(numeric)`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.abs() / ONE, self.0.abs() % ONE);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// What rounding to the cent left off, in billionths of billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::audit) struct Residue(i128);

impl Residue {
    pub(in crate::audit) fn plus(self, other: Self) -> Option<Self> {
        Some(Self(self.0.checked_add(other.0)?))
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.abs() / (ONE * ONE), self.0.abs() % (ONE * ONE));
        let digits = format!("{whole}.{rest:018}");
        write!(f, "{sign}{}", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::read(text).expect("an amount")
    }

    #[test]
    fn only_plain_decimals_are_amounts() {
        for bad in
            ["", "-", ".5", "5.", "01", "1e3", "+1", "1.0000000001", "1_0", "100000000000000000"]
        {
            assert_eq!(Amount::read(bad), None, "{bad}");
        }
        for good in ["0", "-0.5", "187.25", "0.000000001", "10000000000000"] {
            assert_eq!(amount(good).to_string(), good);
        }
        assert_eq!(amount("187.20").to_string(), "187.2");
    }

    #[test]
    fn cash_is_rounded_half_to_even_and_reservations_up() {
        let quarter = amount("0.25");
        assert_eq!(amount("0.5").cash(quarter), Some(amount("0.12")));
        assert_eq!(amount("1.5").cash(quarter), Some(amount("0.38")));
        assert_eq!(amount("-0.5").cash(quarter), Some(amount("-0.12")));
        assert_eq!(amount("0.5").cash_up(quarter), Some(amount("0.13")));
        assert_eq!(amount("2").cash_up(quarter), Some(amount("0.5")));
    }

    #[test]
    fn shares_and_splits_are_exact() {
        assert_eq!(amount("10").share(amount("1"), amount("3")), Some(amount("3.33")));
        assert_eq!(amount("0.05").share(amount("1"), amount("2")), Some(amount("0.02")));
        assert_eq!(amount("10").share(amount("1"), amount("0")), None);
        assert_eq!(amount("10").scaled(amount("1"), amount("3")), Some(amount("3.333333333")));
        assert_eq!(amount("2.5").strike_after(amount("3"), amount("1")), Some(amount("0.833")));
        assert_eq!(amount("0.125").strike_after(amount("2"), amount("1")), Some(amount("0.062")));
        assert_eq!(amount("-10").scaled(amount("1"), amount("3")), Some(amount("-3.333333333")));
    }
}
