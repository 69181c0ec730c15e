//! The accounts whose policy limits losses: what they are worth, the begin of their trading days, their stops.
//!
//! An account's highest equity is that with which any line began, of those since its count began. So it follows from log
//! and tape alone: a restart, which sees a line's own events later than the line, finds the same. Whether a limit is reached is
//! looked at once a line, when its tick is taken in and before it fills anything; an account to which something else has
//! happened since the line began waits for the next one.
//!
//! A tick costs nothing when no such account holds its symbol, else O(k log n), k the holdings of those that do.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::account::{AccountEvent, LossLimit, Losses, Policy};
use aggregates::id::{AccountId, InstrumentId};
use aggregates::market::MarketTime;
use aggregates::money::{Money, Quantity};
use aggregates::position::PositionEvent;
use aggregates::trading::Command;
use chrono::Days;
use serde::{Deserialize, Serialize};

use super::Core;
use super::matching::ROUND_CAP;
use super::rounds::Round;
use super::sessions::trading_day;
use super::state::EngineState;
use crate::market::calendar::new_york_midnight;

/// An account whose policy limits losses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Its limits.
    policy: Policy,
    /// What its losses are counted from; `None` until the count begins.
    losses: Option<Losses>,
    /// How far its highest equity has risen since the log told it.
    rise: Money,
    /// Something happened to it since the line at hand began that the line is not to be looked at with.
    fresh: bool,
}

/// The money of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Purse {
    cash: Money,
    /// How often the account was changed: see [`aggregates::account::Account::changes`].
    changes: u64,
}

/// What is known of an account's losses beyond the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The highest equity with which a line began, since the count began, with what came in and went out since.
    pub peak: Money,
    /// Dividends that have accrued and are not yet paid.
    pub dividends_due: Money,
}

/// The money of all accounts, and those that are watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    purses: BTreeMap<AccountId, Purse>,
    /// Dividends that have accrued and are not yet paid; never zero.
    dividends_due: BTreeMap<AccountId, Money>,
    accounts: BTreeMap<AccountId, Watched>,
    /// Those of them that hold each instrument.
    holders: BTreeMap<InstrumentId, BTreeSet<AccountId>>,
    /// When the next trading day of each begins at the earliest; at once where the count has not begun.
    days: BTreeSet<(Option<MarketTime>, AccountId)>,
    /// Those whose equity may have moved since the line at hand began.
    moved: BTreeSet<AccountId>,
    /// Those whose equity had moved before it, since the line before began.
    looked: BTreeSet<AccountId>,
}

impl Watch {
    /// Takes in an event of an account, which holds these instruments.
    pub(super) fn observe_account(
        &mut self,
        account_id: AccountId,
        event: &AccountEvent,
        held: Option<&BTreeSet<InstrumentId>>,
    ) {
        let purse = self.purses.entry(account_id).or_default();
        purse.cash = cash_after(event).unwrap_or(purse.cash);
        purse.changes += u64::from(event.is_change());
        let known = self.accounts.contains_key(&account_id);
        let limited = match event {
            AccountEvent::PolicyChanged { policy, .. } => policy.limits_losses(),
            _ => known,
        };
        if !limited {
            if known {
                self.unwatch(account_id, held);
            }
            return;
        }
        if !known {
            for instrument_id in held.into_iter().flatten() {
                self.holders.entry(*instrument_id).or_default().insert(account_id);
            }
        }
        let watched = self.accounts.entry(account_id).or_default();
        self.days.remove(&(watched.begins(), account_id));
        watched.follow(event);
        self.days.insert((watched.begins(), account_id));
        self.moved.insert(account_id);
    }

    fn unwatch(&mut self, account_id: AccountId, held: Option<&BTreeSet<InstrumentId>>) {
        if let Some(watched) = self.accounts.remove(&account_id) {
            self.days.remove(&(watched.begins(), account_id));
        }
        for instrument_id in held.into_iter().flatten() {
            self.leave(account_id, *instrument_id);
        }
        self.moved.remove(&account_id);
        self.looked.remove(&account_id);
    }

    fn leave(&mut self, account_id: AccountId, instrument_id: InstrumentId) {
        if let Some(holders) = self.holders.get_mut(&instrument_id) {
            holders.remove(&account_id);
            if holders.is_empty() {
                self.holders.remove(&instrument_id);
            }
        }
    }

    /// Takes in an event of a position, after which so much is held, if it changes that.
    pub(super) fn observe_position(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        event: &PositionEvent,
        held: Option<Quantity>,
    ) {
        let due = match event {
            PositionEvent::DividendAccrued { amount, .. } => *amount,
            PositionEvent::DividendSettled { amount, .. } => amount.negated(),
            PositionEvent::PositionReset { dividends_due, .. } => dividends_due.negated(),
            _ => Money::ZERO,
        };
        if !due.is_zero() {
            let before = self.dividends_due.remove(&account_id).unwrap_or_default();
            // The account could not have taken more than there can be.
            let after = before.plus(due).unwrap_or_default();
            if !after.is_zero() {
                self.dividends_due.insert(account_id, after);
            }
        }
        let Some(watched) = self.accounts.get_mut(&account_id) else { return };
        self.moved.insert(account_id);
        let Some(held) = held else { return };
        watched.fresh = true;
        if held.is_zero() {
            self.leave(account_id, instrument_id);
        } else {
            self.holders.entry(instrument_id).or_default().insert(account_id);
        }
    }

    fn purse(&self, account_id: AccountId) -> Purse {
        self.purses.get(&account_id).copied().unwrap_or_default()
    }

    /// A price of this instrument has moved.
    pub(super) fn price_moved(&mut self, instrument_id: InstrumentId) {
        if let Some(holders) = self.holders.get(&instrument_id) {
            self.moved.extend(holders);
        }
    }
}

impl Watched {
    fn follow(&mut self, event: &AccountEvent) {
        // An account whose figures are beyond the bound of money takes no such event.
        if Losses::follow(&mut self.policy, &mut self.losses, event).is_err() {
            self.losses = None;
        }
        let settled =
            matches!(event, AccountEvent::FillSettled { .. } | AccountEvent::OptionSettled { .. });
        self.fresh |= event.is_change() || settled;
        let told = matches!(
            event,
            AccountEvent::TradingDayBegan { .. } | AccountEvent::LossLimitReached { .. }
        );
        if told || self.losses.is_none() {
            self.rise = Money::ZERO;
        }
    }

    /// When its next trading day begins at the earliest.
    fn begins(&self) -> Option<MarketTime> {
        let day = self.losses.as_ref()?.day;
        Some(new_york_midnight(day.checked_add_days(Days::new(1))?))
    }
}

/// The balance after an event.
fn cash_after(event: &AccountEvent) -> Option<Money> {
    match event {
        AccountEvent::CashDeposited { cash, .. }
        | AccountEvent::CashWithdrawn { cash, .. }
        | AccountEvent::FillSettled { cash, .. }
        | AccountEvent::OptionSettled { cash, .. }
        | AccountEvent::FeeCharged { cash, .. }
        | AccountEvent::DividendPaid { cash, .. }
        | AccountEvent::CashPaidInLieu { cash, .. }
        | AccountEvent::AccountReset { cash, .. } => Some(*cash),
        _ => None,
    }
}

impl EngineState {
    /// What an account is worth: cash, dividends due, and its holdings. `None` while one of them is being split, or has no
    /// price since it was, or since a dividend of it accrued.
    fn worth(&self, account_id: AccountId) -> Option<Money> {
        let Purse { cash, .. } = self.watch.purse(account_id);
        let due = self.watch.dividends_due.get(&account_id).copied().unwrap_or_default();
        let mut held = self.held.get(&account_id).into_iter().flatten();
        held.try_fold(cash.plus(due).ok()?, |sum, instrument_id| {
            let issue = self.issues.get(instrument_id)?;
            if issue.gate.is_some() || issue.awaits_price {
                return None;
            }
            let qty = self.holders.get(instrument_id)?.qty(account_id);
            let mark = issue.mark()?;
            let price = if qty.is_negative() { mark.short.price } else { mark.long.price };
            let value = match self.contracts.get(instrument_id) {
                Some(terms) => terms.value(qty, price),
                None => Money::of_fill(qty, price),
            };
            sum.plus(value.ok()?).ok()
        })
    }

    /// A line begins: the equity that it begins with may be the highest of an account. Gives those of which it is.
    pub(super) fn look_at_equity(&mut self) -> BTreeSet<AccountId> {
        let mut risen = BTreeSet::new();
        let moved = std::mem::take(&mut self.watch.moved);
        for account_id in &moved {
            let worth = self.worth(*account_id);
            let Some(watched) = self.watch.accounts.get_mut(account_id) else { continue };
            watched.fresh = false;
            match (worth, &watched.losses) {
                (Some(worth), Some(losses)) => {
                    let rise = worth.minus(losses.peak).unwrap_or_default();
                    if rise > watched.rise {
                        watched.rise = rise;
                        risen.insert(*account_id);
                    }
                }
                (None, _) => {
                    self.watch.moved.insert(*account_id);
                }
                (Some(_), None) => {}
            }
        }
        self.watch.looked = moved;
        risen
    }
}

impl Core {
    /// The days that begin for watched accounts when the clock comes to `now`: as soon as all that they hold has a price.
    pub(super) fn days(&self, now: MarketTime) -> Vec<Command> {
        let watch = &self.state.watch;
        let begins = |at: &Option<MarketTime>| at.is_none_or(|at| at <= now);
        if !watch.days.first().is_some_and(|(at, _)| begins(at)) {
            return Vec::new();
        }
        let Some(day) = trading_day(self.settings.calendar, now) else { return Vec::new() };
        let due = watch.days.iter().take_while(|(at, _)| begins(at));
        let commands = due.filter_map(|(_, account_id)| {
            let watched = watch.accounts.get(account_id).filter(|watched| !watched.fresh)?;
            if watched.losses.as_ref().is_some_and(|losses| losses.day >= day) {
                return None;
            }
            self.state.worth(*account_id)?;
            let command = Command::BeginDay {
                account_id: *account_id,
                day,
                seen: watch.purse(*account_id).changes,
                rise: watched.rise,
                marks: self.all_marks(*account_id),
                tape_place: self.state.place,
                at: now,
            };
            (!self.is_tried_command(&command)).then_some(command)
        });
        commands.take(ROUND_CAP).collect()
    }

    /// The stops of watched accounts that have reached a limit by the tick of this round.
    pub(super) fn stops(&self, round: &Round) -> Vec<Command> {
        let (watch, at) = (&self.state.watch, self.state.clock.unwrap_or(round.began));
        let day = trading_day(self.settings.calendar, at);
        let commands = watch.looked.union(&watch.moved).filter_map(|account_id| {
            let watched = watch.accounts.get(account_id).filter(|watched| !watched.fresh)?;
            let losses = watched.losses.as_ref()?;
            let equity = self.state.worth(*account_id)?;
            let peak = losses.peak.plus(watched.rise).ok()?;
            let reached =
                Losses::reached(&watched.policy, (losses.opening, peak), equity).ok()??;
            // What a day began with says nothing of the next one, which begins once all that is held has a price.
            let is_over = day.is_some_and(|day| losses.day < day);
            let counts = reached.limit == LossLimit::Drawdown || !is_over;
            (counts && losses.may_stop_by(reached.limit)).then_some(())?;
            let command = Command::StopLosses {
                account_id: *account_id,
                seen: watch.purse(*account_id).changes,
                rise: watched.rise,
                marks: self.all_marks(*account_id),
                tape_place: round.place,
                at,
            };
            (!self.is_tried_command(&command)).then_some(command)
        });
        commands.take(ROUND_CAP).collect()
    }

    /// What is counted of a watched account; `None` for another one, and until its count begins.
    pub fn counted(&self, account_id: AccountId) -> Option<Counted> {
        let watched = self.state.watch.accounts.get(&account_id)?;
        let peak = watched.losses.as_ref()?.peak.plus(watched.rise).ok()?;
        let due = self.state.watch.dividends_due.get(&account_id);
        Some(Counted { peak, dividends_due: due.copied().unwrap_or_default() })
    }

    /// The accounts that are watched.
    pub fn watched(&self) -> impl Iterator<Item = AccountId> {
        self.state.watch.accounts.keys().copied()
    }

    /// The accounts whose highest equity has risen since this was asked last.
    pub fn take_risen(&mut self) -> BTreeSet<AccountId> {
        std::mem::take(&mut self.risen)
    }
}
