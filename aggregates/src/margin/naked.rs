//! What a short option needs that nothing covers.
//!
//! | a share of a short | needs |
//! |---|---|
//! | call | premium + max(20 % U - out of the money, 10 % U) |
//! | put | premium + max(20 % U - out of the money, 10 % K) |
//!
//! U is the price of the underlying, K the strike; of a broad index 15 % stand in place of 20 %. Source: FINRA Rule
//! 4210(f)(2)(D), Cboe Rule 10.3. Figures are billionths of a dollar a contract, exact.

use crate::instrument::{Contract, MULTIPLIER, Right};
use crate::money::Price;

/// Of the underlying's value, in percent.
const PERCENT: i128 = 20;
/// Of the value of a broad index, in percent.
const BROAD_INDEX_PERCENT: i128 = 15;
/// Of the value of the underlying of a call or of the strike of a put, in percent: the least.
const LEAST_PERCENT: i128 = 10;

/// Ten times the largest price of a share, for a contract, in billionths of a dollar.
const UNWANTED: i128 = 10 * 10_000_000 * MULTIPLIER as i128 * 1_000_000_000;

/// What one short contract needs when nothing covers it, in billionths of a dollar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naked {
    /// What it would cost to buy it back.
    premium: i128,
    /// What is needed beyond that.
    beyond: i128,
}

impl Naked {
    /// One contract at `premium` a share, with the underlying at `price`.
    pub(super) fn of(contract: &Contract, premium: Price, price: Price, broad_index: bool) -> Self {
        let shares = i128::from(MULTIPLIER);
        let percent = |percent: i128, price: i128| percent * price * shares / 100;
        let (strike, price) =
            (i128::from(contract.strike().billionths()), i128::from(price.billionths()));
        let (out, base) = match contract.right() {
            Right::Call => (strike - price, price),
            Right::Put => (price - strike, strike),
        };
        let of_price = percent(if broad_index { BROAD_INDEX_PERCENT } else { PERCENT }, price);
        let beyond = (of_price - out.max(0) * shares).max(percent(LEAST_PERCENT, base));
        Self { premium: i128::from(premium.billionths()) * shares, beyond }
    }

    /// One short put whose strike is set aside in full.
    pub(super) fn secured(contract: &Contract) -> Self {
        let strike = i128::from(contract.strike().billionths());
        Self { premium: 0, beyond: strike * i128::from(MULTIPLIER) }
    }

    /// One short call that is to be covered if anything can cover it: it needs more than any spread can lose.
    pub(super) fn unwanted() -> Self {
        Self { premium: 0, beyond: UNWANTED }
    }

    /// All that it needs.
    pub(super) fn whole(self) -> i128 {
        self.premium + self.beyond
    }

    /// A call and a put together, only one of which can be in the money: the greater need, and the premium of the other.
    pub(super) fn with(self, other: Self) -> i128 {
        let (mine, its) = (self.whole(), other.whole());
        let led_by_me = mine + other.premium;
        let led_by_other = its + self.premium;
        match mine.cmp(&its) {
            std::cmp::Ordering::Greater => led_by_me,
            std::cmp::Ordering::Less => led_by_other,
            std::cmp::Ordering::Equal => led_by_me.max(led_by_other),
        }
    }
}
