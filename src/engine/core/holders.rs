//! Who holds an instrument, now and at the closes of the last days: a dividend belongs to who held it at the close
//! before its ex date, also when the market tells of it later.
//!
//! For each New York day on which a holding changed it keeps what was held when that day began: one entry an account
//! that traded. Days older than [`KEPT_DAYS`] are forgotten, so it does not grow with the length of the log.

use std::collections::BTreeMap;

use aggregates::id::AccountId;
use aggregates::money::Quantity;
use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

/// How far back holdings are known, in days before the market's date.
const KEPT_DAYS: u64 = 31;

/// The first date whose holdings are known on `today`.
pub(super) fn known_since(today: NaiveDate) -> NaiveDate {
    today.checked_sub_days(Days::new(KEPT_DAYS)).unwrap_or(NaiveDate::MIN)
}

/// The holders of one instrument.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Holders {
    /// Shares held: never zero.
    held: BTreeMap<AccountId, Quantity>,
    /// What was held when a day began, of the accounts whose holding changed on it.
    before: BTreeMap<NaiveDate, BTreeMap<AccountId, Quantity>>,
}

impl Holders {
    /// Nobody holds anything.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What an account holds now.
    pub fn qty(&self, account_id: AccountId) -> Quantity {
        self.held.get(&account_id).copied().unwrap_or_default()
    }

    /// The accounts that hold shares now.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.held.keys().copied()
    }

    /// An account holds `qty` since some time of `today`.
    pub(super) fn set(&mut self, account_id: AccountId, qty: Quantity, today: NaiveDate) {
        let before = if qty.is_zero() {
            self.held.remove(&account_id)
        } else {
            self.held.insert(account_id, qty)
        };
        let day = self.before.entry(today).or_default();
        day.entry(account_id).or_insert(before.unwrap_or_default());
        let since = known_since(today);
        while self.before.first_key_value().is_some_and(|(day, _)| *day < since) {
            self.before.pop_first();
        }
    }

    /// An account began again: it gives up what it holds, and what it would have earned by having held it.
    pub(super) fn give_up(&mut self, account_id: AccountId, today: NaiveDate) {
        self.set(account_id, Quantity::ZERO, today);
        for day in self.before.values_mut() {
            if let Some(before) = day.get_mut(&account_id) {
                *before = Quantity::ZERO;
            }
        }
    }

    /// What each account held at the close before `day`; nobody with nothing.
    pub(super) fn at_close_before(&self, day: NaiveDate) -> BTreeMap<AccountId, Quantity> {
        let mut held = self.held.clone();
        // The first change since then says what was held until then.
        for changes in self.before.range(day..).rev().map(|(_, changes)| changes) {
            held.extend(changes.iter().map(|(account_id, qty)| (*account_id, *qty)));
        }
        held.retain(|_, qty| !qty.is_zero());
        held
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn holdings_are_known_for_each_close_of_the_days_that_are_kept() {
        let day = |n| NaiveDate::from_ymd_opt(2026, 3, n).unwrap();
        let shares = |n: u32| Quantity::new(n.into()).unwrap();
        let [one, two] = [1, 2].map(|n| AccountId::new(Uuid::from_u128(n)));
        let mut holders = Holders::default();
        holders.set(one, shares(10), day(2));
        holders.set(one, shares(15), day(2));
        holders.set(two, shares(7), day(4));
        holders.set(one, shares(0), day(5));
        let at = |holders: &Holders, n| -> Vec<(AccountId, Quantity)> {
            holders.at_close_before(day(n)).into_iter().collect()
        };
        assert_eq!(at(&holders, 2), []);
        assert_eq!(at(&holders, 3), [(one, shares(15))]);
        assert_eq!(at(&holders, 4), [(one, shares(15))]);
        assert_eq!(at(&holders, 5), [(one, shares(15)), (two, shares(7))]);
        assert_eq!(at(&holders, 6), [(two, shares(7))]);
        holders.give_up(one, day(6));
        assert_eq!(at(&holders, 5), [(two, shares(7))], "what was given up earns nothing");
        let later = day(5).checked_add_days(Days::new(KEPT_DAYS)).unwrap();
        holders.set(two, shares(8), later);
        assert_eq!(holders.before.len(), 3, "the days before the fifth are forgotten");
    }
}
