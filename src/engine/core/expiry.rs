//! The end of options. When the clock has passed the close of a contract's last session and the official close of what it
//! is on is known, the contract expires; then every account is settled that holds it or has orders of it, all contracts of
//! one underlying and session together; then it is done. That session is the exchange's, whatever the market's own hours:
//! one that goes on trading then has no official close at that instant, and its last price up to it is what counts.
//!
//! Each step stands in the log, so a restart between two of them goes on with the next. Without an official close a
//! contract waits for it. Once a later session has closed it cannot come any more: then the daily bar of its own session, if
//! that has been told, else the last price up to its close stands in for it; without either the contract goes on waiting,
//! and the daily bar of its session is taken whenever it comes. A split in force since its close does not wait for it: what the contract delivers are shares of before.
//! Costs nothing while no contract is over, else O(h + o), h its holders and o the open orders.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::instrument::{InstrumentCommand, OptionTerms, Split};
use aggregates::margin::Marks;
use aggregates::market::{MarketTime, Reference};
use aggregates::money::Price;
use aggregates::trading::Command;
use chrono::NaiveDate;

use super::Core;
use super::book::Working;
use super::matching::ROUND_CAP;
use super::rounds::Round;
use super::sessions::session_on;
use super::state::{EngineState, Issue, Last, Terms};
use crate::market::calendar::{last_session, new_york_date};
use crate::market::tick::{Span, Tick};

/// A contract whose last session is over.
#[derive(Clone, Copy)]
struct Over {
    instrument_id: InstrumentId,
    underlying_id: InstrumentId,
    /// The date of that session.
    session: NaiveDate,
    /// When it closed.
    close: MarketTime,
}

/// What one account has of contracts that have expired together.
#[derive(Default)]
struct Part {
    contracts: BTreeSet<InstrumentId>,
    orders: BTreeSet<OrderId>,
}

/// When a contract's last session closes: from then on nothing of it is traded. `None` outside the calendar.
pub(super) fn close_of(terms: &OptionTerms) -> Option<MarketTime> {
    last_session(terms.expiration).map(|session| session.close)
}

impl EngineState {
    /// A contract is held or asked for: it is to expire.
    pub(super) fn expects(&mut self, instrument_id: InstrumentId, terms: &OptionTerms) {
        // What nobody is in any more may have been told of anew.
        if self.contracts.get(&instrument_id).is_some_and(|known| known != terms)
            && !self.is_open_in(instrument_id)
        {
            self.forget_contract(instrument_id);
        }
        if self.contracts.contains_key(&instrument_id) {
            return;
        }
        self.contracts.insert(instrument_id, terms.clone());
        let close = close_of(terms).map(|close| (close, terms.underlying_id, instrument_id));
        self.expiring.extend(close);
        // An order may have been on its way when a line told of it otherwise: what it was taken as stands.
        let issue = self.issues.get_mut(&instrument_id);
        if let Some(issue) = issue.filter(|issue| issue.contract().as_ref() != Some(terms)) {
            issue.terms = Some(Terms::taken(terms));
            self.put_on(instrument_id);
        }
    }

    /// Nothing is left of a contract.
    pub(super) fn forget_contract(&mut self, instrument_id: InstrumentId) {
        if let Some(terms) = self.contracts.remove(&instrument_id) {
            if let Some(close) = close_of(&terms) {
                self.expiring.remove(&(close, terms.underlying_id, instrument_id));
            }
            self.last_before_end.remove(&instrument_id);
        }
    }

    /// When the time of an order is over that was taken until then: at the close of its first contract at the latest.
    pub(super) fn order_ends(
        &self,
        order: &Working,
        until: Option<MarketTime>,
    ) -> Option<MarketTime> {
        if order.package.is_none() {
            return until;
        }
        let concerns = order.concerns();
        let contracts = concerns.iter().filter_map(|id| self.contracts.get(id));
        until.into_iter().chain(contracts.filter_map(close_of)).min()
    }

    /// Whether somebody holds an option or has open orders of it.
    pub(super) fn is_open_in(&self, instrument_id: InstrumentId) -> bool {
        self.is_held(instrument_id) || self.orders.has(instrument_id)
    }

    /// Whether somebody holds it, long or short.
    pub(super) fn is_held(&self, instrument_id: InstrumentId) -> bool {
        self.holders.get(&instrument_id).is_some_and(|held| !held.is_empty())
    }

    fn has_expired(&self, instrument_id: InstrumentId) -> bool {
        self.issues.get(&instrument_id).is_some_and(|issue| issue.expired)
    }
}

impl Core {
    /// The contracts whose last session is over when the clock comes to `now`, the earliest first.
    fn over(&self, now: MarketTime) -> impl Iterator<Item = Over> {
        let over = self.state.expiring.iter().take_while(move |(close, ..)| *close <= now);
        over.map(|(close, underlying_id, instrument_id)| Over {
            instrument_id: *instrument_id,
            underlying_id: *underlying_id,
            session: new_york_date(*close),
            close: *close,
        })
    }

    /// Whether what is traded until a contract's close has an official close at that instant.
    fn closes_officially(&self, over: Over) -> bool {
        let session = session_on(self.settings.calendar, over.session);
        session.is_some_and(|session| session.close == over.close)
    }

    /// The next step of the contracts that are over.
    pub(super) fn expiries(&self, now: MarketTime) -> Vec<Command> {
        if self.state.expiring.first().is_none_or(|(close, ..)| *close > now) {
            return Vec::new();
        }
        let over: Vec<Over> = self.over(now).collect();
        self.steps_of(&over, |over| self.expire_contract(over, now))
    }

    /// The next step of the contracts on what is to be split that were over when the split came into force: they end in
    /// shares of before, also where their official close has not been told, if there is any price that stands in for it.
    pub(super) fn end_before_split(
        &self,
        underlying_id: InstrumentId,
        split_at: MarketTime,
        now: MarketTime,
    ) -> Vec<Command> {
        let before = |over: &Over| over.underlying_id == underlying_id && over.close <= split_at;
        let over: Vec<Over> = self.over(now).filter(before).collect();
        self.steps_of(&over, |over| self.expire_at_last(over))
    }

    /// The next step of these contracts, which are over: `expire` tells how one expires, if it can.
    fn steps_of(&self, over: &[Over], expire: impl Fn(Over) -> Option<Command>) -> Vec<Command> {
        let open = |over: &Over| {
            !self.state.has_expired(over.instrument_id) && self.state.is_open_in(over.instrument_id)
        };
        let steps: Vec<Command> = over
            .iter()
            .copied()
            .filter(open)
            .filter_map(expire)
            .filter(|command| !self.is_tried_command(command))
            .take(ROUND_CAP)
            .collect();
        if !steps.is_empty() {
            return steps;
        }
        let mut together: BTreeMap<(MarketTime, InstrumentId), (Over, Vec<InstrumentId>)> =
            BTreeMap::new();
        for over in over.iter().filter(|over| self.state.has_expired(over.instrument_id)) {
            let key = (over.close, over.underlying_id);
            let (_, contracts) = together.entry(key).or_insert((*over, Vec::new()));
            contracts.push(over.instrument_id);
        }
        for (first, contracts) in together.into_values() {
            let steps = self.settle_together(first, &contracts);
            if !steps.is_empty() {
                return steps;
            }
        }
        Vec::new()
    }

    fn expire_contract(&self, over: Over, now: MarketTime) -> Option<Command> {
        if !self.closes_officially(over) {
            // A trade at the close itself may still come.
            return if now > over.close { self.expire_at_last(over) } else { None };
        }
        let issue = self.state.issues.get(&over.underlying_id)?;
        let Some((_, price)) = issue.closed.filter(|(date, _)| *date == over.session) else {
            let closed_since = issue.closed.is_some_and(|(date, _)| date > over.session);
            // A close that is told after a split is in shares that are no more.
            let split_since = issue.split_at.is_some_and(|at| at >= over.close);
            return if closed_since || split_since { self.expire_at_last(over) } else { None };
        };
        let source = issue.last.as_ref().map(|last| last.source.clone()).unwrap_or_default();
        Some(self.expire_at(over, (price, source, None)))
    }

    /// A contract expires whose official close cannot come any more: by the daily bar of its session, else at the last price
    /// up to its close. In a market that goes on trading the bar ends later: a price of the same day comes before it.
    fn expire_at_last(&self, over: Over) -> Option<Command> {
        let issue = self.state.issues.get(&over.underlying_id)?;
        let of_session = issue.daily.as_ref().filter(|(date, _)| *date == over.session);
        let daily = of_session.map(|(_, last)| (last, None));
        let before = self.last_up_to(over, issue).map(|last| (last, Some(last.at)));
        let goes_on = session_on(self.settings.calendar, over.session)
            .filter(|session| session.close != over.close);
        let of_day = |(last, _): &(&Last, _)| goes_on.is_some_and(|day| day.open < last.at);
        let (last, seen) = before.filter(of_day).or(daily).or(before)?;
        Some(self.expire_at(over, (last.price, last.source.clone(), seen)))
    }

    /// The last price up to the close of a contract of what it is on, as far as one is known.
    fn last_up_to<'a>(&'a self, over: Over, issue: &'a Issue) -> Option<&'a Last> {
        let last = issue.last.as_ref().filter(|last| last.at <= over.close);
        let kept = self.state.last_before_end.get(&over.instrument_id);
        kept.into_iter().chain(last).max_by_key(|last| last.at)
    }

    fn expire_at(
        &self,
        Over { instrument_id, session, close, .. }: Over,
        (price, source, last_price_at): (Price, String, Option<MarketTime>),
    ) -> Command {
        let at = self.settled_at(close);
        let command = InstrumentCommand::Expire { session, price, source, last_price_at, at };
        Command::Instrument { instrument_id, command }
    }

    /// Keeps the last price up to the close of contracts whose last session is over at `now`, before there is a later one:
    /// it stands in for an official close that never comes.
    pub(super) fn keep_last_prices(&mut self, now: MarketTime) {
        let kept = self.over(now).filter_map(|over| {
            let issue = self.state.issues.get(&over.underlying_id)?;
            let last = self.last_up_to(over, issue)?;
            let known = self.state.last_before_end.get(&over.instrument_id);
            (known != Some(last)).then(|| (over.instrument_id, last.clone()))
        });
        let kept: Vec<(InstrumentId, Last)> = kept.collect();
        self.state.last_before_end.extend(kept);
    }

    /// When contracts of a session end: at its close, or when that is told later.
    fn settled_at(&self, close: MarketTime) -> MarketTime {
        self.state.clock.map_or(close, |clock| clock.max(close))
    }

    /// Settles every account in these contracts, which have expired; once nobody is left in one, it is done.
    fn settle_together(
        &self,
        Over { underlying_id, session, close, .. }: Over,
        contracts: &[InstrumentId],
    ) -> Vec<Command> {
        let at = self.settled_at(close);
        let settled = self.parts_of(contracts).into_iter().map(|(account_id, part)| {
            let bid =
                |id: &InstrumentId| (*id, self.state.issues.get(id).and_then(Issue::last_bid));
            let priced = self.state.priced.contains_key(&account_id);
            Command::SettleExpired {
                account_id,
                underlying_id,
                session,
                contracts: part.contracts.iter().map(bid).collect(),
                orders: part.orders.into_iter().collect(),
                marks: if priced { self.all_marks(account_id) } else { Marks::new() },
                at,
            }
        });
        let untried = |command: &Command| !self.is_tried_command(command);
        let settled: Vec<Command> = settled.filter(untried).take(ROUND_CAP).collect();
        if !settled.is_empty() {
            return settled;
        }
        let left = contracts.iter().filter(|id| !self.state.is_open_in(**id));
        let complete = left.map(|instrument_id| Command::Instrument {
            instrument_id: *instrument_id,
            command: InstrumentCommand::CompleteExpiry { at },
        });
        complete.filter(untried).take(ROUND_CAP).collect()
    }

    /// Who holds these contracts or has open orders of them, and which.
    fn parts_of(&self, contracts: &[InstrumentId]) -> BTreeMap<AccountId, Part> {
        let mut parts: BTreeMap<AccountId, Part> = BTreeMap::new();
        for instrument_id in contracts {
            let holders = self.state.holders.get(instrument_id);
            for account_id in holders.into_iter().flat_map(|holders| holders.accounts()) {
                parts.entry(account_id).or_default().contracts.insert(*instrument_id);
            }
        }
        if contracts.iter().any(|id| self.state.orders.has(*id)) {
            for order in self.state.orders.iter().filter(|order| order.package.is_some()) {
                let concerns = order.concerns();
                for instrument_id in contracts.iter().filter(|id| concerns.contains(*id)) {
                    let part = parts.entry(order.account_id).or_default();
                    part.contracts.insert(*instrument_id);
                    part.orders.insert(order.order_id);
                }
            }
        }
        parts
    }

    /// The contracts that cannot expire since what they are on has no official close of their last session, nor anything
    /// that stands in for it.
    fn waiting_for_price(&self, now: MarketTime) -> impl Iterator<Item = Over> {
        self.over(now).filter(move |over| {
            !self.state.has_expired(over.instrument_id)
                && self.state.is_open_in(over.instrument_id)
                && self.expire_contract(*over, now).is_none()
        })
    }

    /// Those of them when the market is where it is. At the instant of the close itself nothing is missing yet.
    pub fn contracts_without_close(&self) -> impl Iterator<Item = InstrumentId> {
        let waiting = self
            .state
            .clock
            .map(|now| self.waiting_for_price(now).filter(move |over| over.close < now));
        waiting.into_iter().flatten().map(|over| over.instrument_id)
    }

    /// The official closes of sessions that are over for which contracts wait, where the market has told of them since.
    pub(super) fn late_settlements(&self, now: MarketTime) -> Option<Command> {
        let mut waiting = self.waiting_for_price(now).filter(|over| self.closes_officially(*over));
        waiting.find_map(|over| {
            let session = session_on(self.settings.calendar, over.session)?;
            let issue = self.state.issues.get(&over.underlying_id)?;
            let last = issue.last_of(session, now > session.close)?;
            self.close(over.underlying_id, issue, session, last)
        })
    }

    /// The contracts that wait for their close, and for which nothing known stands in, whose session a daily bar is of.
    fn waiting_for_bar(&self, tick: &Tick) -> Vec<Over> {
        let (Tick::Bar(bar), Some(now)) = (tick, self.state.clock) else { return Vec::new() };
        let found = self.issue(&bar.symbol).filter(|(_, issue)| issue.gate.is_none());
        let (Some((underlying_id, _)), Span::Day) = (found, bar.span) else { return Vec::new() };
        let session = new_york_date(bar.at);
        let of_bar = |over: &Over| over.underlying_id == underlying_id && over.session == session;
        let waiting = self.waiting_for_price(now).filter(of_bar);
        waiting.filter(|over| self.expire_at_last(*over).is_none()).collect()
    }

    /// Whether a daily bar is taken for contracts that wait for it, though it is of a time before what was told last.
    pub(super) fn is_waited_for(&self, tick: &Tick) -> bool {
        !self.waiting_for_bar(tick).is_empty()
    }

    /// Keeps the close of such a bar for these contracts, divided by the splits since.
    pub(super) fn take_late(&mut self, round: &Round) {
        let (Tick::Bar(bar), Some(ends)) = (&round.tick, round.ends) else { return };
        let issue = self.issue(&bar.symbol);
        let splits = issue.into_iter().flat_map(|(_, issue)| issue.splits.values());
        let mut since: Vec<&Split> = splits.filter(|split| ends <= split.at).collect();
        since.sort_by_key(|split| split.at);
        let mut close = Last { price: bar.close, at: ends, source: round.source.clone() };
        since.into_iter().for_each(|split| close.rescale(split));
        for over in self.waiting_for_bar(&round.tick) {
            let last = Last { at: over.close, ..close.clone() };
            self.state.last_before_end.insert(over.instrument_id, last);
        }
    }

    /// Forgets the contracts that are over and in which nobody is any more.
    pub(super) fn forget_contracts(&mut self, now: MarketTime) {
        let done = self.over(now).map(|over| over.instrument_id).filter(|instrument_id| {
            !self.state.has_expired(*instrument_id) && !self.state.is_open_in(*instrument_id)
        });
        let done: Vec<InstrumentId> = done.collect();
        for instrument_id in done {
            self.state.forget_contract(instrument_id);
        }
    }
}

impl Issue {
    /// The bid of its last quote.
    fn last_bid(&self) -> Option<Reference> {
        let quote = self.quote.as_ref()?;
        Some(Reference { price: quote.bid, source: quote.source.clone(), at: quote.at })
    }
}
