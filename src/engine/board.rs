//! What the engine shows to everyone: the market clock, quotes, its own condition. Reading it asks nobody and waits
//! for nothing but a short lock.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use aggregates::account::AccountEvent;
use aggregates::id::{AccountId, OrderId};
use aggregates::instrument::Right;
use aggregates::margin::Marks;
use aggregates::market::Evidence;
use aggregates::money::Price;
use aggregates::order::{OrderEvent, OrderSpec};
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{MarketView, Offer};
use chrono::NaiveDate;

use super::core::{Core, Counted, Glance, Listed, MarketHalt, MarketNow, Rates, Reason, Settings};
use crate::market::calendar::new_york_date;

/// How the engine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// This process does not write the ledger, so it works no lines.
    #[default]
    Idle,
    /// Finding where log and tape left it.
    Recovering,
    /// Working.
    Working,
    /// The ledger has not told for a while what became of its work, and it does nothing before it knows.
    Waiting,
    /// It met a defect or a lasting fault, and starts again from log and tape.
    Restarting(String),
}

#[derive(Debug, Default)]
struct Shown {
    now: Option<MarketNow>,
    /// The clock is beyond the last session that the calendar knows.
    ended: bool,
    halt: Option<MarketHalt>,
    glances: BTreeMap<String, Arc<Glance>>,
    /// The symbols of the options on each underlying, by expiration, strike and right.
    chains: BTreeMap<String, BTreeMap<Place, String>>,
    /// The New York date that the chains are of: what expired before it has left.
    chains_on: Option<NaiveDate>,
    rates: BTreeMap<String, Rates>,
    /// The symbols that each account holds that is decided with their prices.
    priced: BTreeMap<AccountId, BTreeSet<String>>,
    /// What is counted of the accounts whose policy limits losses.
    counted: BTreeMap<AccountId, Counted>,
    /// The symbols that such an account has had open orders of: one of them may fill before the next order is decided.
    asked: BTreeMap<AccountId, BTreeSet<String>>,
    settings: Option<Settings>,
    condition: Condition,
    follows: bool,
    ignored: BTreeMap<Reason, u64>,
}

/// Where an option stands in the chain of its underlying; its root tells an adjusted one from the others.
type Place = (NaiveDate, Price, Right, String);

fn place(option: &Listed) -> Place {
    let contract = &option.contract;
    (contract.expiration(), contract.strike(), contract.right(), contract.root().to_owned())
}

impl Shown {
    /// The rates of a symbol: its own, else those of the market.
    fn rates(&self, symbol: &str) -> Rates {
        let own = self.rates.get(symbol).cloned().unwrap_or_default();
        let all = self.rates.get("").cloned().unwrap_or_default();
        Rates {
            risk_free: own.risk_free.or(all.risk_free),
            dividend_yield: own.dividend_yield.or(all.dividend_yield),
        }
    }

    /// Shows an option in the chain of its underlying, which a line may have named only now.
    fn link(&mut self, before: Option<&Listed>, glance: &Glance) {
        let Some(option) = &glance.option else { return };
        if let Some(before) = before.filter(|before| before.underlying != option.underlying)
            && let Some(chain) = self.chains.get_mut(&before.underlying)
        {
            chain.remove(&place(before));
        }
        let chain = self.chains.entry(option.underlying.clone()).or_default();
        chain.entry(place(option)).or_insert_with(|| glance.symbol.clone());
    }

    /// The market as an order meets it, with the prices that its account is decided with.
    fn view_for(&self, spec: &OrderSpec) -> Option<MarketView> {
        let glance = |symbol: &str| self.glances.get(symbol).map(Arc::as_ref);
        let mut view = self.now?.view_for(spec, &glance);
        view.marks.extend(self.marks(spec.account_id, Some(&spec.symbol)));
        Some(view)
    }

    /// Has options leave that have expired before a date, but for those that orders or holders are left of.
    fn drop_expired(&mut self, core: &Core, today: NaiveDate) {
        let expired = self
            .chains
            .values()
            .flat_map(|chain| chain.iter().take_while(|((expiration, ..), _)| *expiration < today));
        let left = expired.filter(|(_, symbol)| {
            let glance = self.glances.get(*symbol);
            glance.is_none_or(|glance| has_left(core, glance, today))
        });
        let left: Vec<String> = left.map(|(_, symbol)| symbol.clone()).collect();
        left.iter().for_each(|symbol| self.drop_option(symbol));
    }

    /// Has one leave.
    fn drop_option(&mut self, symbol: &str) {
        let glance = self.glances.remove(symbol);
        let Some(option) = glance.as_ref().and_then(|glance| glance.option.as_ref()) else {
            return;
        };
        if let Entry::Occupied(mut chain) = self.chains.entry(option.underlying.clone()) {
            chain.get_mut().remove(&place(option));
            if chain.get().is_empty() {
                chain.remove();
            }
        }
    }

    /// The prices of what an account holds that is decided with them, of what it has asked for, and of `symbol`; none for
    /// another one.
    fn marks(&self, account_id: AccountId, symbol: Option<&str>) -> Marks {
        let Some(held) = self.priced.get(&account_id) else { return Marks::new() };
        let asked = self.asked.get(&account_id).into_iter().flatten();
        let symbols = held.iter().chain(asked).map(String::as_str).chain(symbol);
        let glances = symbols.filter_map(|symbol| self.glances.get(symbol));
        glances.filter_map(|glance| Some((glance.instrument_id, glance.marks()?))).collect()
    }
}

/// Whether it is an option that has expired before a date and that no orders and no holders are left of.
fn has_left(core: &Core, glance: &Glance, today: NaiveDate) -> bool {
    let id = glance.instrument_id;
    let is_held = || core.state().holders.get(&id).is_some_and(|held| !held.is_empty());
    let option = glance.option.as_ref();
    option.is_some_and(|option| option.contract.expiration() < today)
        && !core.state().orders.has(id)
        && !is_held()
}

/// The engine's read side. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<RwLock<Shown>>);

impl Board {
    /// The market clock, once there is one.
    pub fn now(&self) -> Option<MarketNow> {
        self.read(|shown| shown.now)
    }

    /// Whether there is no market clock since it is beyond the last session of the calendar.
    pub fn is_beyond_calendar(&self) -> bool {
        self.read(|shown| shown.ended)
    }

    /// The halt of the whole market, while it lasts.
    pub fn market_halt(&self) -> Option<MarketHalt> {
        self.read(|shown| shown.halt.clone())
    }

    /// What is known of a symbol; `None` if no line has named it.
    pub fn glance(&self, symbol: &str) -> Option<Arc<Glance>> {
        self.read(|shown| shown.glances.get(symbol).cloned())
    }

    /// What is known of every symbol, in their order.
    pub fn glances(&self) -> Vec<Arc<Glance>> {
        self.read(|shown| shown.glances.values().cloned().collect())
    }

    /// The options on an underlying that expire on `from` or later, by expiration, strike and right: none that a split has
    /// made another of.
    pub fn chain(&self, underlying: &str, from: NaiveDate) -> Vec<Arc<Glance>> {
        self.read(|shown| {
            let chain = shown.chains.get(underlying).into_iter().flatten();
            let chain = chain.skip_while(|((expiration, ..), _)| *expiration < from);
            let glances = chain.filter_map(|(_, symbol)| shown.glances.get(symbol).cloned());
            glances.filter(|glance| glance.adjusted.is_none()).collect()
        })
    }

    /// The rates that option maths uses of an underlying: its own, else those of the market.
    pub fn rates(&self, underlying: &str) -> Rates {
        self.read(|shown| shown.rates(underlying))
    }

    /// Whether an order of this symbol need not be awaited: its lines are on the tape, or no line has named it.
    pub(super) fn is_recorded(&self, symbol: &str) -> bool {
        self.read(|shown| shown.glances.get(symbol).is_none_or(|glance| glance.recorded))
    }

    /// The market as an order meets it, which may be one as it was asked for: an order of several legs names them by their
    /// symbols. Of an order of options it has its contracts, when the first of them ends, and the prices of its legs and of
    /// what they are on. `None` before the first line: `market_clock_unset`.
    pub fn view_for(&self, spec: &OrderSpec) -> Option<MarketView> {
        self.read(|shown| shown.view_for(spec))
    }

    /// The same, with what would trigger and what would fill an order the moment it arrives.
    pub fn meeting(
        &self,
        spec: &OrderSpec,
    ) -> Option<(MarketView, Option<Evidence>, Option<Offer>)> {
        self.read(|shown| {
            let (view, now) = (shown.view_for(spec)?, shown.now?);
            let glance = |symbol: &str| shown.glances.get(symbol).map(Arc::as_ref);
            let met = shown.settings.as_ref().map(|it| now.meeting(spec, it, &glance));
            let (trigger, offer) = met.unwrap_or_default();
            Some((view, trigger, offer))
        })
    }

    /// The prices of what an account holds that is decided with them; none for another one.
    pub fn marks(&self, account_id: AccountId) -> Marks {
        self.read(|shown| shown.marks(account_id, None))
    }

    /// What is counted of an account whose policy limits losses.
    pub fn counted(&self, account_id: AccountId) -> Option<Counted> {
        self.read(|shown| shown.counted.get(&account_id).copied())
    }

    /// How the engine is.
    pub fn condition(&self) -> Condition {
        self.read(|shown| shown.condition.clone())
    }

    /// Whether marks of trailing stops are known: it works here, or follows the process that does.
    pub(super) fn knows_marks(&self) -> bool {
        self.read(|shown| shown.follows || shown.condition == Condition::Working)
    }

    pub(super) fn set_follows(&self, follows: bool) {
        self.write(|shown| shown.follows = follows);
    }

    /// Lines that filled nothing since the process started, by reason.
    pub fn ignored(&self) -> BTreeMap<Reason, u64> {
        self.read(|shown| shown.ignored.clone())
    }

    pub(super) fn set_condition(&self, condition: Condition) {
        self.write(|shown| shown.condition = condition);
    }

    pub(super) fn count(&self, reason: Reason) {
        self.write(|shown| *shown.ignored.entry(reason).or_default() += 1);
    }

    /// Shows what `core` knows of these symbols, and its clock. Options leave on the day after they have expired.
    pub(super) fn show<'a>(&self, core: &Core, symbols: impl Iterator<Item = &'a str>) {
        let now = core.now();
        let today = now.map(|now| new_york_date(now.at));
        let stays = |glance: &Glance| today.is_none_or(|today| !has_left(core, glance, today));
        let glances: Vec<_> = symbols
            .map(|symbol| (symbol.to_owned(), core.glance(symbol).filter(stays).map(Arc::new)))
            .collect();
        self.write(|shown| {
            shown.now = now;
            shown.ended = core.clock().is_some() && now.is_none();
            if let Some(today) = today.filter(|today| shown.chains_on != Some(*today)) {
                shown.drop_expired(core, today);
                shown.chains_on = Some(today);
            }
            if shown.halt != core.state().market_halt {
                shown.halt.clone_from(&core.state().market_halt);
            }
            if shown.rates != core.state().rates {
                shown.rates.clone_from(&core.state().rates);
            }
            for (symbol, glance) in glances {
                let Some(glance) = glance else {
                    shown.drop_option(&symbol);
                    continue;
                };
                let before = shown.glances.insert(symbol, Arc::clone(&glance));
                shown.link(before.as_ref().and_then(|before| before.option.as_ref()), &glance);
            }
            if shown.settings.as_ref() != Some(core.settings()) {
                shown.settings = Some(core.settings().clone());
            }
        });
    }

    /// Shows all that `core` knows, after a recovery, and nothing that it has forgotten.
    pub(super) fn show_all(&self, core: &Core) {
        let known = &core.state().symbols;
        let forgotten = |shown: &Shown| -> Vec<String> {
            shown.glances.keys().filter(|symbol| !known.contains_key(*symbol)).cloned().collect()
        };
        let forgotten = self.read(forgotten);
        self.show(core, known.keys().chain(&forgotten).map(String::as_str));
        for account_id in core.state().priced.keys() {
            self.show_holdings(core, *account_id);
        }
        core.watched().for_each(|account_id| self.show_counted(core, account_id));
        for order in core.state().orders.iter() {
            self.show_asked(core, order.account_id, order.order_id);
        }
    }

    /// Shows what an event changes of the prices that an account is decided with, and of what is counted of its losses.
    pub(super) fn follow(&self, core: &Core, stream: StreamId, event: &Event) {
        use AccountEvent::{AccountOpened, PolicyChanged};
        match (stream, event) {
            (
                StreamId::Account(account_id),
                Event::Account(AccountOpened { .. } | PolicyChanged { .. }),
            )
            | (StreamId::Position(account_id, _), Event::Position(_)) => {
                self.show_holdings(core, account_id);
            }
            (StreamId::Order(order_id), Event::Order(OrderEvent::OrderPlaced { order, .. })) => {
                self.show_asked(core, order.account_id, order_id);
            }
            _ => {}
        }
        if let StreamId::Account(account_id) | StreamId::Position(account_id, _) = stream {
            self.show_counted(core, account_id);
        }
    }

    /// Shows what is counted of an account, if its policy limits losses.
    pub(super) fn show_counted(&self, core: &Core, account_id: AccountId) {
        match core.counted(account_id) {
            Some(counted) => self.write(|shown| shown.counted.insert(account_id, counted)),
            None if self.read(|shown| shown.counted.contains_key(&account_id)) => {
                self.write(|shown| shown.counted.remove(&account_id))
            }
            None => None,
        };
    }

    /// Shows what an account holds, if it is decided with prices.
    fn show_holdings(&self, core: &Core, account_id: AccountId) {
        match core.priced_symbols(account_id) {
            Some(held) => self.write(|shown| shown.priced.insert(account_id, held)),
            None if self.read(|shown| shown.priced.contains_key(&account_id)) => {
                self.write(|shown| shown.priced.remove(&account_id))
            }
            None => None,
        };
    }

    /// Shows that an account which is decided with prices has an order that concerns these symbols.
    fn show_asked(&self, core: &Core, account_id: AccountId, order_id: OrderId) {
        if core.state().priced.contains_key(&account_id) {
            let symbols = core.symbols_of(order_id);
            self.write(|shown| shown.asked.entry(account_id).or_default().extend(symbols));
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Shown) -> T) -> T {
        // A writer that panicked left whole values behind: every change is one assignment.
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Shown) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
