//! What an account can pay: a cash account out of its cash, a margin account by its margin.
//!
//! Available to a cash account is its cash less reservations and less what secures short puts. To a margin account it is the equity beyond initial
//! margin and reservations, at the prices that came with the command; without them nothing is known, and nothing
//! passes.

use super::aggregate::Account;
use super::command::{AccountCommand, Opening};
use super::error::AccountError;
use super::event::{AccountEvent, ReservationChange};
use crate::margin::{Standing, bought_by};
use crate::money::Money;

impl Account {
    /// What it can still reserve or pay out; below zero when reservations and holdings are not backed.
    pub(super) fn free(
        &self,
        margin: Option<&Standing>,
        collateral: Money,
    ) -> Result<Money, AccountError> {
        match (self.is_margin(), margin) {
            (false, _) => Ok(self.available()?.minus(collateral)?),
            (true, Some(standing)) => Ok(standing.excess(self.reserved())?),
            (true, None) => Err(AccountError::NotAlone),
        }
    }

    /// That it cannot reserve `needed` of what is free: of a margin account both are told as the stock that they open, but
    /// for options.
    fn cannot_pay(
        &self,
        (needed, free): (Money, Money),
        of_options: bool,
    ) -> Result<AccountError, AccountError> {
        let told = |amount: Money| match self.is_margin() && !of_options {
            true => bought_by(amount),
            false => Ok(amount),
        };
        let (needed, available) = (told(needed)?, told(free)?);
        Ok(AccountError::InsufficientBuyingPower { needed, available })
    }

    pub(super) fn withdraw(
        &self,
        asked: Money,
        margin: Option<&Standing>,
        collateral: Money,
    ) -> Result<Money, AccountError> {
        let available = self.free(margin, collateral)?;
        let (cash, reserved) = (self.cash(), self.reserved());
        match margin.filter(|_| self.is_margin()) {
            _ if asked <= available => Ok(cash.minus(asked)?),
            Some(Standing { equity, initial, .. }) => Err(AccountError::InsufficientMargin {
                asked,
                available: available.max(Money::ZERO),
                equity: *equity,
                initial: *initial,
                reserved,
            }),
            None => Err(AccountError::InsufficientCash { asked, available, cash, reserved }),
        }
    }

    pub(super) fn reserve(&self, command: &AccountCommand) -> Result<AccountEvent, AccountError> {
        let AccountCommand::Reserve { order_id, amount, margin, collateral, of_options } = command
        else {
            return Err(AccountError::NoReservation);
        };
        let free = self.free(margin.as_ref(), *collateral)?;
        if *amount > free {
            return Err(self.cannot_pay((*amount, free), *of_options)?);
        }
        if self.reservations().contains_key(order_id) || !amount.is_positive() {
            return Err(AccountError::NoReservation);
        }
        Ok(AccountEvent::CashReserved {
            order_id: *order_id,
            amount: *amount,
            reserved: self.reserved().plus(*amount)?,
            margin: margin.clone(),
        })
    }

    /// None if that much is reserved already.
    pub(super) fn rereserve(
        &self,
        command: &AccountCommand,
    ) -> Result<Option<AccountEvent>, AccountError> {
        let AccountCommand::Rereserve { order_id, amount, margin, collateral, of_options } =
            command
        else {
            return Err(AccountError::NoReservation);
        };
        let from = self.reservation(*order_id);
        if *amount > from {
            let free = self.free(margin.as_ref(), *collateral)?.plus(from)?;
            if *amount > free {
                return Err(self.cannot_pay((*amount, free), *of_options)?);
            }
        }
        if amount.is_negative() {
            return Err(AccountError::NotPositive(*amount));
        }
        let change = ReservationChange { order_id: *order_id, from, to: *amount };
        let adjusted = AccountEvent::ReservationsAdjusted {
            action_id: None,
            changes: vec![change],
            reserved: self.reserved().minus(from)?.plus(*amount)?,
            margin: margin.clone().filter(|_| *amount > from),
        };
        Ok((from != *amount).then_some(adjusted))
    }

    pub(super) fn settle(
        &self,
        command: &AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        let AccountCommand::Settle { order_id, fill_id, amount, fees, keep, opening } = command
        else {
            return Err(AccountError::NoReservation);
        };
        let held = self.reservation(*order_id);
        // A reservation never grows after acceptance: a split can leave less than the formula asks for.
        let keep = held.min(*keep);
        let released = held.minus(keep)?;
        let reserved = self.reserved().minus(released)?;
        let cash = self.cash().plus(*amount)?;
        let after_fees = cash.minus(*fees)?;
        if let Some(opening) = opening {
            self.can_open(opening, released)?;
        }
        let of_cash = |opening: &Opening| !self.is_margin() && !opening.of_options;
        if opening.as_ref().is_none_or(of_cash) {
            // A buy, also one so small that its cash rounds to nothing. Only the fees of a sell may leave a deficit.
            let buys = amount.is_negative() || held.is_positive();
            if buys && after_fees < reserved {
                let available = self.available()?.plus(held)?;
                let needed = fees.minus(*amount)?.plus(keep)?;
                return Err(AccountError::InsufficientBuyingPower { needed, available });
            }
        }
        let mut events = vec![AccountEvent::FillSettled {
            order_id: *order_id,
            fill_id: *fill_id,
            amount: *amount,
            released,
            cash,
            reserved,
            margin: opening.as_ref().and_then(|opening| opening.margin.clone()),
        }];
        if !fees.is_zero() {
            events.push(AccountEvent::FeeCharged {
                order_id: *order_id,
                fill_id: *fill_id,
                amount: *fees,
                cash: after_fees,
            });
        }
        let passed_on = opening.as_ref().map_or(&[][..], |opening| &opening.passed_on);
        if !passed_on.is_empty() {
            let (mut reserved, mut changes) = (reserved, Vec::with_capacity(passed_on.len()));
            for (order_id, more) in passed_on {
                let from = self.reservation(*order_id);
                changes.push(ReservationChange {
                    order_id: *order_id,
                    from,
                    to: from.plus(*more)?,
                });
                reserved = reserved.plus(*more)?;
            }
            let (action_id, margin) = (None, None);
            events.push(AccountEvent::ReservationsAdjusted {
                action_id,
                changes,
                reserved,
                margin,
            });
        }
        Ok(events)
    }

    /// Whether margin backs what a fill opens: what the order had reserved for it, and beyond that what is free.
    fn can_open(&self, opening: &Opening, released: Money) -> Result<(), AccountError> {
        let beyond = opening.needed.minus(released)?;
        if !beyond.is_positive() {
            return Ok(());
        }
        let free = self.free(opening.margin.as_ref(), opening.collateral)?;
        if beyond <= free {
            return Ok(());
        }
        Err(self.cannot_pay((opening.needed, free.plus(released)?), opening.of_options)?)
    }
}
