//! What a split of a stock makes of the options on it.
//!
//! A split that makes `n` whole shares of each makes `n` contracts of each, at the strike divided by `n`: what they are on
//! and what their exercise moves stay as they are. One that comes out otherwise would leave contracts on other than a
//! hundred shares: they are paid out. Source: Article VI, Section 11A of the OCC's by-laws; for the second case the OCC changes
//! what a contract delivers instead. Why it is paid out here: `docs/adr/adjusted-contracts.md`.

use super::event::Split;
use crate::money::{AmountError, Quantity, Ratio};

/// What happens to the contracts on what is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// Nothing: there are as many shares as before.
    None,
    /// Each becomes so many, 2 or more, at the strike divided by that.
    Multiplied(Quantity),
    /// They are paid out in cash.
    PaidOut,
}

impl Split {
    /// What it makes of contracts.
    ///
    /// # Errors
    /// A side of the ratio is not above zero.
    pub fn adjustment(&self) -> Result<Adjustment, AmountError> {
        let whole = Ratio::of_split(self.numerator, self.denominator)?.whole();
        Ok(match whole {
            _ if self.numerator == self.denominator => Adjustment::None,
            Some(times) => Adjustment::Multiplied(times),
            None => Adjustment::PaidOut,
        })
    }
}
