//! Prices as books count them.

use aggregates::money::Price;

/// A price in billionths of a dollar, so that finding an order compares whole numbers. Where the highest price comes
/// first, all of them are turned: negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(i64);

impl Level {
    /// The level of a price.
    pub(super) fn of(price: Price) -> Self {
        Self(price.billionths())
    }

    /// The price again.
    pub(super) fn price(self) -> Price {
        Price::of_billionths(self.0)
    }

    /// It turned, if `turned` says so; the same again gives it back.
    pub(super) fn turned(self, turned: bool) -> Self {
        if turned { Self(-self.0) } else { self }
    }
}
