//! Options that have expired are forgotten from the New York midnight after their day on, once nobody is in them: the log
//! alone knows of them then, and lines about them change nothing. So what the engine knows is bounded by what is listed and
//! held, however long it runs. Costs nothing on a day of which all are forgotten, else O(n), n those that are kept.

use aggregates::id::InstrumentId;
use aggregates::instrument::{Contract, InstrumentKind};
use aggregates::market::MarketTime;

use super::Core;
use super::state::EngineState;
use crate::market::calendar::new_york_date;
use crate::market::tick::Tick;

impl EngineState {
    /// An instrument is listed: an option is to be forgotten.
    pub(super) fn is_listed(&mut self, instrument_id: InstrumentId) {
        let issue = self.issues.get(&instrument_id);
        let option = issue.filter(|issue| issue.kind == InstrumentKind::Option);
        if let Some(contract) = option.and_then(|it| it.symbol.parse::<Contract>().ok()) {
            self.listed_until.insert((contract.expiration(), instrument_id));
        }
    }

    /// Whether something is still to come of an option that has expired.
    fn is_left_of(&self, instrument_id: InstrumentId) -> bool {
        let issue = self.issues.get(&instrument_id);
        // What a split makes of contracts is held by nobody before their accounts follow.
        let splits = issue.is_some_and(|it| {
            it.gate.is_some() || it.on.is_some_and(|on| self.gates.contains(&on))
        });
        splits || self.contracts.contains_key(&instrument_id) || self.is_open_in(instrument_id)
    }
}

impl Core {
    /// Forgets the options that have expired on a day that is over when the clock comes to `now`.
    pub(super) fn forget_expired(&mut self, now: MarketTime) {
        let (state, today) = (&self.state, new_york_date(now));
        // A session of their day may close at midnight itself.
        let closing = state.session.map(|session| session.date);
        let expired = state
            .listed_until
            .iter()
            .take_while(|(date, _)| *date < today && closing.is_none_or(|closing| *date < closing));
        let left = expired.filter(|(_, id)| !state.is_left_of(*id)).copied();
        for (date, instrument_id) in left.collect::<Vec<_>>() {
            self.state.listed_until.remove(&(date, instrument_id));
            self.state.holders.remove(&instrument_id);
            if let Some(issue) = self.state.issues.remove(&instrument_id) {
                self.state.symbols.remove(&issue.symbol);
                self.state.notes.remove(&issue.symbol);
                self.state.rates.remove(&issue.symbol);
                self.state.interest.remove(&issue.symbol);
                self.passing.forget(instrument_id, &issue.symbol);
            }
        }
    }

    /// Whether a line is about an option that has expired, on a day that is over, and that nobody is in.
    pub(super) fn is_of_expired(&self, tick: &Tick) -> bool {
        match tick {
            Tick::Instrument(listing) if listing.kind != InstrumentKind::Option => false,
            Tick::Chain(chain) => chain.contracts.iter().all(|symbol| self.has_left(symbol)),
            _ => tick.symbol().is_some_and(|symbol| self.has_left(symbol)),
        }
    }

    /// Whether a symbol is of an option that is not known, and would be over.
    pub(super) fn has_left(&self, symbol: &str) -> bool {
        let Some(clock) = self.state.clock.filter(|_| !self.state.symbols.contains_key(symbol))
        else {
            return false;
        };
        let contract = symbol.parse::<Contract>();
        contract.is_ok_and(|contract| contract.expiration() < new_york_date(clock))
    }
}
