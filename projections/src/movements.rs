//! The view of what moved in each account, summed by the hour of market time: what an account held at a close is what it
//! holds now, less what moved since, and costs hours and instruments however many events they had.
//!
//! Closes of sessions are at whole hours, by the calendar of any market, so that each hour is before a close or after it
//! as a whole, also before a close that is told of days later. What moves belongs to the hour of the time that its event
//! names, which may be of an earlier day than that of the event before it: an order for a closing auction fills at its
//! close when that is told. The money of a fill belongs to the time of the fill. What names no time (money moved while the
//! market had none) belongs to the latest hour before it. An account that begins again begins with nothing here.
//!
//! It is of the group of accounts and positions, since an answer takes from what these hold: it must not be ahead of them.

use aggregates::account::AccountEvent;
use aggregates::id::{AccountId, FillId, InstrumentId, TenantId};
use aggregates::market::MarketTime;
use aggregates::money::{Money, Quantity};
use aggregates::order::Side;
use aggregates::position::PositionEvent;
use aggregates::stream::{Event, StreamId};
use rust_decimal::Decimal;

use crate::error::ProjectionError;
use crate::log::Recorded;
use crate::row::{Row, Rows, view_row};

/// An hour of market time: after the whole hour before it, up to its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(pub(crate) i64);

impl Hour {
    /// That of what moved before the market had a time.
    pub const UNTIMED: Self = Self(i64::MIN);

    /// The hour that an instant is in: one at a whole hour is in the hour that ends with it.
    pub const fn of(at: MarketTime) -> Self {
        const MICROSECONDS: i64 = 3_600_000_000;
        Self((at.timestamp_micros() + MICROSECONDS - 1).div_euclid(MICROSECONDS))
    }

    /// The next one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Cash, in dollars.
    Cash,
    /// Shares of an instrument, or contracts.
    Of(InstrumentId),
}

impl Unit {
    /// Shares of an instrument, or cash.
    pub const fn of(instrument_id: Option<InstrumentId>) -> Self {
        match instrument_id {
            Some(instrument_id) => Self::Of(instrument_id),
            None => Self::Cash,
        }
    }

    /// The instrument, if it is not cash.
    pub const fn instrument(self) -> Option<InstrumentId> {
        match self {
            Self::Of(instrument_id) => Some(instrument_id),
            Self::Cash => None,
        }
    }
}

view_row! {
    /// What moved in an account in an hour. Of cash there is a row of each hour in which an event names a time or a fill;
    /// others are not zero.
    MovementRow in "movements",
    key {
        /// Whose.
        account_id: AccountId = 0,
        /// When.
        hour: Hour = 1,
        /// What.
        unit: Unit = 2,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Into the account, reserved or not.
        held: Decimal,
        /// Cash paid in, less cash paid out.
        paid_in: Decimal,
    }
}

/// When something moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    /// As the event says.
    At(MarketTime),
    /// With the fill whose money it is.
    With(FillId),
    /// With what came before it.
    Before,
}

/// What one event moves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Movement {
    pub(crate) account_id: AccountId,
    pub(crate) when: When,
    /// The account begins again: nothing that moved up to here counts.
    pub(crate) begins: bool,
    unit: Unit,
    held: Decimal,
    paid_in: Decimal,
}

impl Movement {
    /// What an event moves, or which time it tells to what follows it; `None` if neither.
    pub(crate) fn of(recorded: &Recorded, event: &Event) -> Option<Self> {
        match (recorded.stream, event) {
            (StreamId::Account(account_id), Event::Account(event)) => {
                Self::of_account(account_id, event)
            }
            (StreamId::Position(account_id, unit), Event::Position(event)) => {
                Self::of_position(account_id, unit, event)
            }
            _ => None,
        }
    }

    /// The hour that it belongs to, if its fill was at `filled`; `None` for that of what came before.
    pub(crate) fn hour(&self, filled: impl Fn(FillId) -> Option<MarketTime>) -> Option<Hour> {
        let at = match self.when {
            When::At(at) => Some(at),
            When::With(fill_id) => filled(fill_id),
            When::Before => None,
        };
        at.map(Hour::of)
    }

    /// The rows that it changes, if the log tells its hour.
    pub(crate) fn keys(&self, hour: Hour) -> [(AccountId, Hour, Unit); 2] {
        [Unit::Cash, self.unit].map(|unit| (self.account_id, hour, unit))
    }

    fn of_account(account_id: AccountId, event: &AccountEvent) -> Option<Self> {
        let cash = |held: Money, at: When| Self {
            account_id,
            when: at,
            begins: false,
            unit: Unit::Cash,
            held: held.decimal(),
            paid_in: Decimal::ZERO,
        };
        let paid_in = |amount: Money, at: &Option<MarketTime>| {
            let at = at.map_or(When::Before, When::At);
            Self { paid_in: amount.decimal(), ..cash(amount, at) }
        };
        Some(match event {
            AccountEvent::CashDeposited { amount, at, .. } => paid_in(*amount, at),
            AccountEvent::CashWithdrawn { amount, at, .. } => paid_in(amount.negated(), at),
            AccountEvent::FillSettled { fill_id, amount, .. } => {
                cash(*amount, When::With(*fill_id))
            }
            AccountEvent::FeeCharged { fill_id, amount, .. } => {
                cash(amount.negated(), When::With(*fill_id))
            }
            AccountEvent::DividendPaid { amount, at, .. }
            | AccountEvent::CashPaidInLieu { amount, at, .. }
            | AccountEvent::OptionSettled { amount, at, .. } => cash(*amount, When::At(*at)),
            AccountEvent::AccountReset { amount, released, at, .. } => {
                // One that changes nothing is none.
                let begins = !amount.is_zero() || !released.is_zero();
                Self { begins, ..cash(Money::ZERO, at.map_or(When::Before, When::At)) }
            }
            AccountEvent::AccountOpened { .. }
            | AccountEvent::CashReserved { .. }
            | AccountEvent::ReservationReleased { .. }
            | AccountEvent::ReservationsAdjusted { .. }
            | AccountEvent::PolicyChanged { .. }
            | AccountEvent::TradingDayBegan { .. }
            | AccountEvent::LossLimitReached { .. }
            | AccountEvent::LossLimitLifted { .. }
            | AccountEvent::AccessOffered { .. }
            | AccountEvent::OfferEnded { .. }
            | AccountEvent::AccessGranted { .. }
            | AccountEvent::AccessRevoked { .. } => return None,
        })
    }

    fn of_position(
        account_id: AccountId,
        instrument_id: InstrumentId,
        event: &PositionEvent,
    ) -> Option<Self> {
        let shares = |held: Decimal, at: MarketTime| Self {
            account_id,
            when: When::At(at),
            begins: false,
            unit: Unit::Of(instrument_id),
            held,
            paid_in: Decimal::ZERO,
        };
        let traded = |side: Side, qty: Quantity, at| match side {
            Side::Buy => shares(qty.decimal(), at),
            Side::Sell => shares(-qty.decimal(), at),
        };
        Some(match event {
            PositionEvent::PositionOpened { side, qty, at, .. }
            | PositionEvent::PositionIncreased { side, qty, at, .. }
            | PositionEvent::PositionReduced { side, qty, at, .. }
            | PositionEvent::PositionClosed { side, qty, at, .. }
            | PositionEvent::OptionEnded { side, qty, at, .. }
            | PositionEvent::SharesDelivered { side, qty, at, .. } => traded(*side, *qty, *at),
            PositionEvent::ContractAdjusted { qty, at, .. } => shares(-qty.decimal(), *at),
            PositionEvent::AdjustedContractOpened { position_qty, at, .. } => {
                shares(position_qty.decimal(), *at)
            }
            PositionEvent::PositionSplit { qty_before, position_qty, at, .. } => {
                shares(position_qty.decimal() - qty_before.decimal(), *at)
            }
            PositionEvent::DividendAccrued { at, .. } => shares(Decimal::ZERO, *at),
            PositionEvent::PositionReset { qty, reserved_qty, dividends_due, at, .. } => {
                let begins = !qty.is_zero() || !reserved_qty.is_zero() || !dividends_due.is_zero();
                Self { begins, ..shares(Decimal::ZERO, *at) }
            }
            PositionEvent::SharesReserved { .. }
            | PositionEvent::SharesReservationAdjusted { .. }
            | PositionEvent::SharesReleased { .. }
            | PositionEvent::DividendSettled { .. }
            | PositionEvent::SplitNotFollowed { .. }
            | PositionEvent::ExerciseInstructed { .. } => return None,
        })
    }

    /// Adds it to the rows, which have to hold those that it changes: all of its account where it begins again or `told`, its
    /// hour by the log, is none.
    ///
    /// # Errors
    /// An hour comes to more than can be held.
    pub(crate) fn add(
        &self,
        rows: &mut Rows<MovementRow>,
        recorded: &Recorded,
        told: Option<Hour>,
    ) -> Result<(), ProjectionError> {
        let own = |row: &&MovementRow| row.account_id == self.account_id;
        if self.begins {
            let gone: Vec<_> = rows.iter().filter(own).map(Row::key).collect();
            gone.iter().for_each(|key| rows.remove(key));
        }
        let latest = || rows.iter().filter(own).map(|row| row.hour).max();
        let hour = told.or_else(latest).unwrap_or(Hour::UNTIMED);
        let beyond =
            || ProjectionError::poison(recorded.position, "an hour moves more than can be held");
        let sum = |one: Decimal, other| one.checked_add(other).ok_or_else(beyond);
        let tells = (told.is_some() && self.unit != Unit::Cash).then_some((
            Unit::Cash,
            Decimal::ZERO,
            Decimal::ZERO,
        ));
        for (unit, held, paid_in) in tells.into_iter().chain([(self.unit, self.held, self.paid_in)])
        {
            let key = (self.account_id, hour, unit);
            let before = rows.get(&key).map(|row| (row.held, row.paid_in)).unwrap_or_default();
            let held = sum(before.0, held)?.normalize();
            let paid_in = sum(before.1, paid_in)?.normalize();
            let stays = unit == Unit::Cash && hour != Hour::UNTIMED;
            if stays || !held.is_zero() || !paid_in.is_zero() {
                let (account_id, tenant_id) = (self.account_id, recorded.tenant_id);
                rows.put(MovementRow { account_id, hour, unit, tenant_id, held, paid_in });
            } else if rows.get(&key).is_some() {
                rows.remove(&key);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_in_the_hour_that_ends_with_it_or_after_it() {
        let hour = |at: &str| Hour::of(at.parse().unwrap());
        let close = hour("2026-11-23T21:00:00Z");
        assert_eq!(hour("2026-11-23T20:00:00.000001Z"), close);
        assert_eq!(hour("2026-11-23T21:00:00.000001Z"), close.next());
        assert_eq!(hour("2026-11-23T20:00:00Z").next(), close);
        assert_eq!(hour("1969-12-31T23:59:59.999999Z"), Hour(0));
        assert_eq!(hour("1969-12-31T23:00:00Z"), Hour(-1));
        assert!(Hour::UNTIMED < hour("1600-01-01T00:00:00Z"));
    }
}
