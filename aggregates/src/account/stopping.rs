//! The begin of a trading day for an account whose losses are limited, and its stop.

use super::aggregate::Account;
use super::command::AccountCommand;
use super::error::AccountError;
use super::event::{AccountEvent, TradingState};
use super::losses::{LossLimit, Losses, Reached};
use crate::money::Money;
use crate::stream::Impossible;

impl Account {
    /// The highest equity, `rise` above what was last told.
    fn peak(losses: &Losses, rise: Money) -> Result<Money, AccountError> {
        Ok(losses.peak.plus(rise.max(Money::ZERO))?)
    }

    pub(super) fn begin_day(
        &self,
        command: &AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        let AccountCommand::BeginDay { day, seen, rise, worth, tape_place, at } = command else {
            return Err(AccountError::NotAlone);
        };
        let begun = self.losses().is_some_and(|losses| losses.day >= *day);
        if begun || !self.policy().limits_losses() || *seen != self.changes() {
            return Err(AccountError::LossesChanged);
        }
        let (day, at, equity) = (*day, *at, worth.equity);
        let mut events = Vec::new();
        let stop = self.losses().and_then(|losses| losses.stop.as_ref());
        if let Some(stop) = stop.filter(|stop| stop.limit == LossLimit::DailyLoss) {
            let trading_state = stop.before;
            events.push(AccountEvent::LossLimitLifted { day, trading_state, at });
        }
        let peak = match self.losses() {
            Some(losses) => Self::peak(losses, *rise)?.max(equity),
            None => equity,
        };
        events.push(AccountEvent::TradingDayBegan {
            day,
            equity,
            peak,
            dividends_due: worth.dividends_due,
            holdings: worth.holdings.clone(),
            tape_place: *tape_place,
            at,
        });
        Ok(events)
    }

    pub(super) fn stop_losses(
        &self,
        command: &AccountCommand,
    ) -> Result<AccountEvent, AccountError> {
        let AccountCommand::StopLosses { seen, rise, worth, tape_place, at } = command else {
            return Err(AccountError::NotAlone);
        };
        let unchanged = *seen == self.changes();
        let losses = self.losses().filter(|_| unchanged).ok_or(AccountError::LossesChanged)?;
        let (peak, equity) = (Self::peak(losses, *rise)?, worth.equity);
        let reached = Losses::reached(self.policy(), (losses.opening, peak), equity)?;
        let reached = reached.filter(|reached| losses.may_stop_by(reached.limit));
        let Reached { limit, base, max_loss } = reached.ok_or(AccountError::LossesChanged)?;
        // What a person has halted stays halted.
        let trading_state = match self.policy().trading_state {
            TradingState::Halted => TradingState::Halted,
            TradingState::Active | TradingState::Reducing => TradingState::Reducing,
        };
        Ok(AccountEvent::LossLimitReached {
            limit,
            trading_state,
            base,
            max_loss,
            equity,
            peak,
            dividends_due: worth.dividends_due,
            holdings: worth.holdings.clone(),
            tape_place: *tape_place,
            at: *at,
        })
    }

    /// That what an event says of the losses can have happened in this state.
    pub(super) fn counts_losses(&self, event: &AccountEvent) -> Result<(), Impossible> {
        let stopped = self.losses().and_then(|losses| losses.stop.as_ref());
        let fits = match event {
            AccountEvent::TradingDayBegan { day, equity, peak, .. } => {
                self.policy().limits_losses()
                    && equity <= peak
                    && self.losses().is_none_or(|losses| losses.day < *day)
            }
            AccountEvent::LossLimitReached { limit, .. } => {
                self.losses().is_some_and(|losses| losses.may_stop_by(*limit))
            }
            AccountEvent::LossLimitLifted { trading_state, .. } => {
                stopped.is_some_and(|stop| stop.before == *trading_state)
            }
            _ => true,
        };
        if fits {
            return Ok(());
        }
        Err(Impossible(format!("{event:?} of an account whose losses are {:?}", self.losses())))
    }
}
