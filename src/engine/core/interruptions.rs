//! Interruptions of trading, of one instrument or of all: what stood before one fills nothing after it, and the next tick
//! is a first one.
//!
//! A halt of the whole market stands on the tape alone, as the clock does: no instrument has an event for it, so that it
//! costs one line and not one event a symbol. It costs O(n) once, n the instruments, and nothing at the ticks after it.

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
