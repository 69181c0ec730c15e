//! The limits on losses: what an account is worth at the prices that came with the command, and its stop.
//!
//! A stopped account has no order left that could open or add to a position: they are canceled in the same commit, so
//! that none of them fills while it falls on. What reduces positions stays, the exits of a bracket among it.

use chrono::NaiveDate;

use super::exits::Ending;
use super::margin::standing;
use super::{Desk, Undecided, World};
use crate::account::{AccountCommand, ReleaseReason, Worth};
use crate::id::{AccountId, OrderId};
use crate::margin::Marks;
use crate::market::{MarketTime, TapePlace};
use crate::money::Money;
use crate::order::{CancelReason, OrderCommand};

impl<W: World> Desk<'_, W> {
    /// What an account is worth at these prices.
    fn worth(&self, account_id: AccountId, marks: &Marks) -> Result<Worth, Undecided> {
        let standing = standing(self.world, account_id, marks)?;
        let mut dividends_due = Money::ZERO;
        for instrument_id in self.look_holdings(account_id)? {
            let position = self.look_position(account_id, instrument_id)?;
            dividends_due = dividends_due.plus(position.dividends_due()?)?;
        }
        let equity = standing.worth()?.plus(dividends_due)?;
        Ok(Worth { equity, dividends_due, holdings: standing.holdings })
    }

    /// Counts the losses of an account from what it is worth.
    pub(super) fn begin_day(
        &mut self,
        account_id: AccountId,
        day: NaiveDate,
        (seen, rise): (u64, Money),
        marks: &Marks,
        (tape_place, at): (TapePlace, MarketTime),
    ) -> Result<(), Undecided> {
        let worth = self.worth(account_id, marks)?;
        let begin = AccountCommand::BeginDay { day, seen, rise, worth, tape_place, at };
        self.account(account_id, &begin)
    }

    /// Stops an account that has reached a limit.
    pub(super) fn stop_losses(
        &mut self,
        account_id: AccountId,
        (seen, rise): (u64, Money),
        marks: &Marks,
        (tape_place, at): (TapePlace, MarketTime),
    ) -> Result<(), Undecided> {
        let worth = self.worth(account_id, marks)?;
        let stop = AccountCommand::StopLosses { seen, rise, worth, tape_place, at };
        self.account(account_id, &stop)?;
        let reservations = self.look_account(account_id)?.reservations();
        let opening: Vec<OrderId> = reservations.keys().copied().collect();
        let mut ended = Vec::new();
        for order_id in opening {
            let cancel = OrderCommand::Cancel { reason: CancelReason::LossLimit, at };
            self.order(order_id, &cancel)?;
            ended.extend(self.end_with(order_id, Ending::Canceled, &cancel, at)?);
            ended.push(order_id);
        }
        self.release(account_id, &ended, ReleaseReason::Canceled)
    }
}
