//! Interruptions of trading, of one instrument or of all: what stood before one fills nothing after it, and the next tick
//! is a first one.
//!
//! An option is held up while what it is on is halted or being split: nothing tells of that but the event of the
//! underlying. It costs O(n) once, n the instruments.
//!
//! A halt of the whole market stands on the tape alone, as the clock does: no instrument has an event for it, so that it
//! costs one line and not one event a symbol. It costs O(n) once, n the instruments, and nothing at the ticks after it.

use aggregates::id::InstrumentId;
use aggregates::instrument::InstrumentEvent;
use aggregates::stream::{Event, StreamId};

use super::Core;
use super::state::{EngineState, Issue, MarketHalt, WorkedOn};
use crate::market::tick::{Status, TradingState};

impl EngineState {
    /// The whole market is halted, or trades again. What is halted by itself stays so.
    pub(super) fn follow_market(&mut self, status: &Status) {
        let halt = MarketHalt { reason: status.reason.clone(), at: status.at };
        self.market_halt = Some(halt).filter(|_| status.state == TradingState::Halted);
        for issue in self.issues.values_mut() {
            issue.market_halted = self.market_halt.is_some();
            issue.interrupt();
        }
    }

    /// Trading of what options may be on has stopped or goes on: so has that of the options.
    pub(super) fn hold_up(&mut self, underlying_id: InstrumentId) {
        let stopped = self.is_stopped(underlying_id);
        for issue in self.issues.values_mut().filter(|issue| issue.on == Some(underlying_id)) {
            issue.held_up = stopped;
            issue.interrupt();
        }
    }

    /// A listed option is known to be on something, by its symbol or by its line.
    pub(super) fn put_on(&mut self, instrument_id: InstrumentId) {
        let issue = self.issues.get(&instrument_id);
        let on = issue.and_then(Issue::contract).map(|terms| terms.underlying_id);
        let stopped = on.is_some_and(|on| self.is_stopped(on));
        if let Some(issue) = self.issues.get_mut(&instrument_id) {
            (issue.on, issue.held_up) = (on, stopped);
        }
    }

    /// Whether an instrument is halted by itself or being split.
    fn is_stopped(&self, instrument_id: InstrumentId) -> bool {
        let issue = self.issues.get(&instrument_id);
        issue.is_some_and(|issue| issue.halted || issue.gate.is_some())
    }
}

/// Whether an event stops the trading of an instrument or lets it go on.
pub(super) const fn is_interruption(event: &InstrumentEvent) -> bool {
    matches!(
        event,
        InstrumentEvent::TradingHalted { .. }
            | InstrumentEvent::TradingResumed { .. }
            | InstrumentEvent::SplitBegun { .. }
            | InstrumentEvent::SplitCompleted { .. }
    )
}

impl Core {
    /// What is known of options beyond the tape follows what they are on too.
    pub(super) fn hold_up_passing(&mut self, stream: StreamId, event: &Event) {
        if let (StreamId::Instrument(instrument_id), Event::Instrument(event)) = (stream, event)
            && is_interruption(event)
        {
            let stopped = self.state.is_stopped(instrument_id);
            self.passing.hold_up(instrument_id, stopped);
            if let InstrumentEvent::SplitBegun { split, .. } = event {
                self.passing.void_contracts(instrument_id, split);
            }
        }
    }

    /// The symbols of which an event changes what is shown: that of its instrument, and of options on it whose trading it
    /// stops or lets go on.
    pub fn concerned(&self, stream: StreamId, event: &Event) -> impl Iterator<Item = &str> {
        let own = match stream {
            StreamId::Instrument(id) | StreamId::Position(_, id) => Some(id),
            _ => None,
        };
        let stops = matches!(event, Event::Instrument(event) if is_interruption(event));
        let options = stops.then(|| self.state.issues.values()).into_iter().flatten();
        let options = options.filter(move |issue| own.is_some() && issue.on == own);
        own.and_then(|id| self.state.issues.get(&id))
            .into_iter()
            .chain(options)
            .map(|issue| &*issue.symbol)
    }
}

impl Issue {
    /// Trading is interrupted: what stands may not fill any more, and the next tick is a first one.
    pub(super) fn interrupt(&mut self) {
        if let Some(quote) = &mut self.quote {
            (quote.eligible, quote.extended) = (false, false);
        }
        if let Some(print) = &mut self.print {
            print.eligible = false;
        }
        self.worked = WorkedOn::default();
    }
}
