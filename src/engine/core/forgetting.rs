//! Options that have expired are forgotten from the New York midnight after their day on, once nobody is in them: the log
//! alone knows of them then, and lines about them change nothing. So what the engine knows is bounded by what is listed and
//! held, however long it runs; and one is never listed whose end nobody can say. Costs nothing on a day of which all are forgotten, else O(n), n those that are kept.

use aggregates::id::InstrumentId;
use aggregates::instrument::{Contract, InstrumentKind};
use aggregates::market::MarketTime;

use super::Core;
use super::judge::Reason;
use super::state::EngineState;
use crate::market::calendar::{last_session, new_york_date};
use crate::market::tick::{Chain, Tick};

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

    /// Why a line is not worked since no option is listed by it: all that it names are over, or nobody can say when one ends.
    pub(super) fn lists_no_option(&self, tick: &Tick) -> Option<Reason> {
        match tick {
            Tick::Instrument(listing) if listing.kind != InstrumentKind::Option => None,
            Tick::Chain(Chain { contracts, .. }) => {
                let mut refused = contracts.iter().map(|symbol| self.refuses_option(symbol));
                if refused.clone().any(|reason| reason == Some(Reason::OutsideCalendar)) {
                    return Some(Reason::OutsideCalendar);
                }
                refused.all(|reason| reason.is_some()).then_some(Reason::Expired)
            }
            _ => self.refuses_option(tick.symbol()?),
        }
    }

    /// Whether a symbol is of an option that is not known, and would be over.
    pub(super) fn has_left(&self, symbol: &str) -> bool {
        self.refuses_option(symbol) == Some(Reason::Expired)
    }

    /// Why a symbol that is not known is not listed as an option: it is over, or expires beyond the calendar.
    fn refuses_option(&self, symbol: &str) -> Option<Reason> {
        if self.state.symbols.contains_key(symbol) {
            return None;
        }
        let expiration = symbol.parse::<Contract>().ok()?.expiration();
        if self.state.clock.is_some_and(|clock| expiration < new_york_date(clock)) {
            return Some(Reason::Expired);
        }
        last_session(expiration).is_none().then_some(Reason::OutsideCalendar)
    }
}
