//! The end of options. When the clock has passed the close of a contract's last session and the official close of what it
//! is on is known, the contract expires; then every account is settled that holds it or has orders of it, all contracts of
//! one underlying and session together; then it is done.
//!
//! Each step stands in the log, so a restart between two of them goes on with the next. Without an official close a
//! contract waits for it. Once a later session has closed it cannot come any more: then the daily bar of its own session, if
//! that has been told, else the last price up to its close stands in for it; without either the contract goes on waiting.
//! A split in force since its close does not wait for it: what the contract delivers are shares of before.
//! Costs nothing while no contract is over, else O(h + o), h its holders and o the open orders.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::instrument::{InstrumentCommand, OptionTerms};
use aggregates::margin::Marks;
use aggregates::market::{MarketTime, Reference};
use aggregates::money::Price;
use aggregates::trading::Command;
use chrono::NaiveDate;

use super::Core;
use super::matching::ROUND_CAP;
use super::sessions::{Session, last_session, session_on};
use super::state::{EngineState, Issue, Last, Terms};
use crate::market::calendar::new_york_date;

/// A contract whose last session is over.
#[derive(Clone, Copy)]
struct Over {
    instrument_id: InstrumentId,
    underlying_id: InstrumentId,
    session: Session,
}

/// What one account has of contracts that have expired together.
#[derive(Default)]
struct Part {
    contracts: BTreeSet<InstrumentId>,
    orders: BTreeSet<OrderId>,
}

impl EngineState {
    /// A contract is held or asked for: it is to expire.
    pub(super) fn expects(&mut self, instrument_id: InstrumentId, terms: &OptionTerms) {
        let OptionTerms { expiration, underlying_id, .. } = *terms;
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
        self.expiring.insert((expiration, underlying_id, instrument_id));
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
            self.expiring.remove(&(terms.expiration, terms.underlying_id, instrument_id));
            self.last_before_end.remove(&instrument_id);
        }
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
        let (today, calendar) = (new_york_date(now), self.settings.calendar);
        let due = self.state.expiring.iter().take_while(move |(date, ..)| *date <= today);
        let over = due.filter_map(move |(date, underlying_id, instrument_id)| {
            let session = last_session(calendar, *date)?;
            let (instrument_id, underlying_id) = (*instrument_id, *underlying_id);
            Some(Over { instrument_id, underlying_id, session })
        });
        over.filter(move |over| over.session.close <= now)
    }

    /// The next step of the contracts that are over.
    pub(super) fn expiries(&self, now: MarketTime) -> Vec<Command> {
        if self.state.expiring.first().is_none_or(|(date, ..)| *date > new_york_date(now)) {
            return Vec::new();
        }
        self.steps_of(&self.over(now).collect::<Vec<_>>(), Self::expire_contract)
    }

    /// The next step of the contracts on what is to be split that were over when the split came into force: they end in
    /// shares of before, also where their official close has not been told, if there is any price that stands in for it.
    pub(super) fn end_before_split(
        &self,
        underlying_id: InstrumentId,
        split_at: MarketTime,
        now: MarketTime,
    ) -> Vec<Command> {
        let before =
            |over: &Over| over.underlying_id == underlying_id && over.session.close <= split_at;
        let over: Vec<Over> = self.over(now).filter(before).collect();
        self.steps_of(&over, Self::expire_at_last)
    }

    /// The next step of these contracts, which are over: `expire` tells how one expires, if it can.
    fn steps_of(
        &self,
        over: &[Over],
        expire: impl Fn(&Self, Over) -> Option<Command>,
    ) -> Vec<Command> {
        let open = |over: &Over| {
            !self.state.has_expired(over.instrument_id) && self.state.is_open_in(over.instrument_id)
        };
        let steps: Vec<Command> = over
            .iter()
            .copied()
            .filter(open)
            .filter_map(|over| expire(self, over))
            .filter(|command| !self.is_tried_command(command))
            .take(ROUND_CAP)
            .collect();
        if !steps.is_empty() {
            return steps;
        }
        let mut together: BTreeMap<(NaiveDate, InstrumentId), (Session, Vec<InstrumentId>)> =
            BTreeMap::new();
        for over in over.iter().filter(|over| self.state.has_expired(over.instrument_id)) {
            let key = (over.session.date, over.underlying_id);
            let (_, contracts) = together.entry(key).or_insert((over.session, Vec::new()));
            contracts.push(over.instrument_id);
        }
        for ((_, underlying_id), (session, contracts)) in together {
            let steps = self.settle_together(underlying_id, session, &contracts);
            if !steps.is_empty() {
                return steps;
            }
        }
        Vec::new()
    }

    fn expire_contract(&self, over: Over) -> Option<Command> {
        let Over { underlying_id, session, .. } = over;
        let issue = self.state.issues.get(&underlying_id)?;
        let (closed, price) = issue.closed.filter(|(date, _)| *date >= session.date)?;
        if closed > session.date {
            return self.expire_at_last(over);
        }
        let source = issue.last.as_ref().map(|last| last.source.clone()).unwrap_or_default();
        Some(self.expire_at(over, (price, source, None)))
    }

    /// A contract expires whose official close cannot come any more: by the daily bar of its session, else at the last price
    /// up to its close.
    fn expire_at_last(&self, over: Over) -> Option<Command> {
        let issue = self.state.issues.get(&over.underlying_id)?;
        let of_session = issue.daily.as_ref().filter(|(date, _)| *date == over.session.date);
        let daily = of_session.map(|(_, last)| (last, None));
        let before = || self.state.last_before_end.get(&over.instrument_id);
        let (last, seen) = daily.or_else(|| before().map(|last| (last, Some(last.at))))?;
        Some(self.expire_at(over, (last.price, last.source.clone(), seen)))
    }

    fn expire_at(
        &self,
        Over { instrument_id, session, .. }: Over,
        (price, source, last_price_at): (Price, String, Option<MarketTime>),
    ) -> Command {
        let (session, at) = (session.date, self.settled_at(session));
        let command = InstrumentCommand::Expire { session, price, source, last_price_at, at };
        Command::Instrument { instrument_id, command }
    }

    /// Keeps the last price up to the close of contracts whose last session is over when the clock comes to `now`: it stands
    /// in for their official close if that never comes.
    pub(super) fn keep_last_prices(&mut self, now: MarketTime) {
        let kept = self.over(now).filter_map(|over| {
            let last = self.state.issues.get(&over.underlying_id)?.last.as_ref()?;
            let known = self.state.last_before_end.get(&over.instrument_id);
            let later = known.is_none_or(|known| known.at < last.at);
            (later && last.at <= over.session.close).then(|| (over.instrument_id, last.clone()))
        });
        let kept: Vec<(InstrumentId, Last)> = kept.collect();
        self.state.last_before_end.extend(kept);
    }

    /// When contracts of a session end: at its close, or when that is told later.
    fn settled_at(&self, session: Session) -> MarketTime {
        self.state.clock.map_or(session.close, |clock| clock.max(session.close))
    }

    /// Settles every account in these contracts, which have expired; once nobody is left in one, it is done.
    fn settle_together(
        &self,
        underlying_id: InstrumentId,
        session: Session,
        contracts: &[InstrumentId],
    ) -> Vec<Command> {
        let at = self.settled_at(session);
        let settled = self.parts_of(contracts).into_iter().map(|(account_id, part)| {
            let bid =
                |id: &InstrumentId| (*id, self.state.issues.get(id).and_then(Issue::last_bid));
            let priced = self.state.priced.contains_key(&account_id);
            Command::SettleExpired {
                account_id,
                underlying_id,
                session: session.date,
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
        self.over(now).filter(|over| {
            !self.state.has_expired(over.instrument_id)
                && self.state.is_open_in(over.instrument_id)
                && self.expire_contract(*over).is_none()
        })
    }

    /// Those of them when the market is where it is.
    pub fn contracts_without_close(&self) -> impl Iterator<Item = InstrumentId> {
        let waiting = self.state.clock.map(|now| self.waiting_for_price(now));
        waiting.into_iter().flatten().map(|over| over.instrument_id)
    }

    /// The official closes of sessions that are over for which contracts wait, where the market has told of them since.
    pub(super) fn late_settlements(&self, now: MarketTime) -> Option<Command> {
        self.waiting_for_price(now).find_map(|over| {
            let session = session_on(self.settings.calendar, over.session.date)?;
            let issue = self.state.issues.get(&over.underlying_id)?;
            let last = issue.last_of(session, now > session.close)?;
            self.close(over.underlying_id, issue, session, last)
        })
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
