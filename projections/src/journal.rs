//! The double-entry journal: what each event moves, from which book to which, in cash and in shares.
//!
//! An entry is one event; its postings sum to zero in each unit (cash, or one instrument). An amount above zero
//! goes into a book. Books of the account: `available` and `reserved` are its cash, `shares` and `shares_reserved`
//! its holding (below zero when short), `dividends_due` what issuers owe it and has accrued. The other side stands
//! in the books of the world, kept by account too: `external` (deposits, withdrawals, resets), `market` (fills, and options that
//! end), `fees`,
//! `issuers` (dividends, splits, cash in lieu). So for every account `available + reserved` is its cash,
//! `shares + shares_reserved` its quantity, and the sum over all books is zero. In a margin account `reserved` is
//! margin, so that `available` may be below zero; `shares_reserved` counts the shares that orders close, of a short
//! holding too: 10 short of which 4 are to be bought back are -14 and 4.

use aggregates::account::AccountEvent;
use aggregates::id::{AccountId, FillId, InstrumentId, OrderId, TenantId};
use aggregates::market::MarketTime;
use aggregates::money::{Money, Quantity};
use aggregates::order::Side;
use aggregates::position::PositionEvent;
use aggregates::stream::{Event, Impossible, StreamId};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fold::inexact;
use crate::log::Recorded;
use crate::row::{Rows, view_row};

/// Where an amount stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Book {
    /// Cash of the account that no order reserves.
    Available,
    /// Cash of the account that open orders reserve; of a margin account, its margin.
    Reserved,
    /// Dividends that have accrued and are not yet paid.
    DividendsDue,
    /// Shares of the account that no order reserves.
    Shares,
    /// Shares of the account that open orders reserve to close them.
    SharesReserved,
    /// Where deposits come from and withdrawals go, and what an account gives up that begins again.
    External,
    /// The other side of every fill, and of the end of options.
    Market,
    /// Where fees go.
    Fees,
    /// Who pays dividends and cash in lieu, and issues and takes shares, and options on them, in a split.
    Issuers,
}

impl Book {
    /// Every book.
    pub const ALL: [Self; 9] = [
        Self::Available,
        Self::Reserved,
        Self::DividendsDue,
        Self::Shares,
        Self::SharesReserved,
        Self::External,
        Self::Market,
        Self::Fees,
        Self::Issuers,
    ];

    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Reserved => "reserved",
            Self::DividendsDue => "dividends_due",
            Self::Shares => "shares",
            Self::SharesReserved => "shares_reserved",
            Self::External => "external",
            Self::Market => "market",
            Self::Fees => "fees",
            Self::Issuers => "issuers",
        }
    }
}

view_row! {
    /// One entry: an event that moved something.
    EntryRow in "journal_entries",
    key {
        /// The place of the event.
        position: u64 = 0,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Whose.
        account_id: AccountId,
        /// What happened.
        event_type: String,
        /// What was traded, split or paid a dividend.
        instrument_id: Option<InstrumentId>,
        /// The order behind it.
        order_id: Option<OrderId>,
        /// The fill behind it, or the end of an option.
        fill_id: Option<FillId>,
        /// The corporate action behind it.
        action_id: Option<String>,
        /// The market time, where the event names it.
        at: Option<MarketTime>,
        /// When it was recorded, by the wall clock.
        recorded_at: DateTime<Utc>,
    }
}

view_row! {
    /// One posting of an entry.
    PostingRow in "journal_postings",
    key {
        /// The place of the event.
        position: u64 = 0,
        /// Its number in the entry, from 1.
        line: u8 = 1,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Whose.
        account_id: AccountId,
        /// Which book it moves.
        book: Book,
        /// The unit: shares of this instrument, or cash.
        instrument_id: Option<InstrumentId>,
        /// Into the book, or out of it when below zero. Never zero.
        amount: Decimal,
    }
}

view_row! {
    /// The shares that one open sell has set aside.
    ShareReservationRow in "share_reservations",
    key {
        /// Whose.
        account_id: AccountId = 0,
        /// Of what.
        instrument_id: InstrumentId = 1,
        /// The sell.
        order_id: OrderId = 2,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// How many.
        qty: Quantity,
    }
}

/// An entry under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The entry itself.
    pub entry: EntryRow,
    /// What it moves.
    pub postings: Vec<PostingRow>,
}

impl Entry {
    fn begin(recorded: &Recorded, account_id: AccountId) -> Self {
        let entry = EntryRow {
            position: recorded.position,
            tenant_id: recorded.tenant_id,
            account_id,
            event_type: recorded.event_type.clone(),
            instrument_id: None,
            order_id: None,
            fill_id: None,
            action_id: None,
            at: None,
            recorded_at: recorded.recorded_at,
        };
        Self { entry, postings: Vec::new() }
    }

    fn post(&mut self, book: Book, unit: Option<InstrumentId>, amount: Decimal) {
        if amount.is_zero() {
            return;
        }
        let line = u8::try_from(self.postings.len() + 1).unwrap_or(u8::MAX);
        self.postings.push(PostingRow {
            position: self.entry.position,
            line,
            tenant_id: self.entry.tenant_id,
            account_id: self.entry.account_id,
            book,
            instrument_id: unit,
            amount,
        });
    }

    /// Cash from one book into another.
    fn cash(&mut self, from: Book, into: Book, amount: Money) {
        self.post(into, None, amount.decimal());
        self.post(from, None, amount.negated().decimal());
    }

    /// Shares from one book into another.
    fn shares(&mut self, unit: InstrumentId, from: Book, into: Book, qty: Quantity) {
        self.post(into, Some(unit), qty.decimal());
        self.post(from, Some(unit), qty.negated().decimal());
    }
}

/// The entry of an event; `None` if it moves nothing. `reserved` holds the share reservations of the order that
/// the event names (of the whole position, for a split) and is kept up to date.
///
/// # Errors
/// The amounts of the event cannot be held.
pub fn entry_of(
    recorded: &Recorded,
    event: &Event,
    reserved: &mut Rows<ShareReservationRow>,
) -> Result<Option<Entry>, Impossible> {
    let entry = match (recorded.stream, event) {
        (StreamId::Account(account_id), Event::Account(event)) => {
            of_account(Entry::begin(recorded, account_id), event)?
        }
        (StreamId::Position(account_id, unit), Event::Position(event)) => {
            let mut entry = Entry::begin(recorded, account_id);
            entry.entry.instrument_id = Some(unit);
            of_position(entry, unit, event, reserved)?
        }
        _ => return Ok(None),
    };
    Ok(Some(entry).filter(|entry| !entry.postings.is_empty()))
}

fn of_account(mut entry: Entry, event: &AccountEvent) -> Result<Entry, Impossible> {
    use Book::{Available, DividendsDue, External, Fees, Issuers, Market, Reserved};
    match event {
        AccountEvent::CashDeposited { amount, at, .. } => {
            entry.entry.at = *at;
            entry.cash(External, Available, *amount);
        }
        AccountEvent::CashWithdrawn { amount, at, .. } => {
            entry.entry.at = *at;
            entry.cash(Available, External, *amount);
        }
        AccountEvent::CashReserved { order_id, amount, .. } => {
            entry.entry.order_id = Some(*order_id);
            entry.cash(Available, Reserved, *amount);
        }
        AccountEvent::ReservationReleased { order_id, amount, .. } => {
            entry.entry.order_id = Some(*order_id);
            entry.cash(Reserved, Available, *amount);
        }
        AccountEvent::ReservationsAdjusted { action_id, changes, .. } => {
            entry.entry.action_id.clone_from(action_id);
            entry.entry.order_id = match &changes[..] {
                [change] if action_id.is_none() => Some(change.order_id),
                _ => None,
            };
            let mut freed = Money::ZERO;
            for change in changes {
                let less = change.from.minus(change.to).map_err(inexact)?;
                freed = freed.plus(less).map_err(inexact)?;
            }
            entry.cash(Reserved, Available, freed);
        }
        AccountEvent::FillSettled { order_id, fill_id, amount, released, .. } => {
            entry.entry.order_id = Some(*order_id);
            entry.entry.fill_id = Some(*fill_id);
            entry.cash(Reserved, Available, *released);
            entry.cash(Market, Available, *amount);
        }
        AccountEvent::FeeCharged { order_id, fill_id, amount, .. } => {
            entry.entry.order_id = Some(*order_id);
            entry.entry.fill_id = Some(*fill_id);
            entry.cash(Available, Fees, *amount);
        }
        AccountEvent::DividendPaid { action_id, instrument_id, amount, at, .. } => {
            entry.entry.instrument_id = Some(*instrument_id);
            entry.entry.action_id = Some(action_id.clone());
            entry.entry.at = Some(*at);
            entry.cash(DividendsDue, Available, *amount);
        }
        AccountEvent::CashPaidInLieu { action_id, instrument_id, amount, at, .. } => {
            entry.entry.instrument_id = Some(*instrument_id);
            entry.entry.action_id = Some(action_id.clone());
            entry.entry.at = Some(*at);
            entry.cash(Issuers, Available, *amount);
        }
        AccountEvent::OptionSettled { instrument_id, ending_id, amount, at, .. } => {
            entry.entry.instrument_id = Some(*instrument_id);
            entry.entry.fill_id = Some(*ending_id);
            entry.entry.at = Some(*at);
            entry.cash(Market, Available, *amount);
        }
        AccountEvent::AccountReset { amount, released, at, .. } => {
            entry.entry.at = *at;
            entry.cash(Reserved, Available, *released);
            entry.cash(External, Available, *amount);
        }
        AccountEvent::AccountOpened { .. }
        | AccountEvent::PolicyChanged { .. }
        | AccountEvent::TradingDayBegan { .. }
        | AccountEvent::LossLimitReached { .. }
        | AccountEvent::LossLimitLifted { .. }
        | AccountEvent::AccessOffered { .. }
        | AccountEvent::OfferEnded { .. }
        | AccountEvent::AccessGranted { .. }
        | AccountEvent::AccessRevoked { .. } => {}
    }
    Ok(entry)
}

fn of_position(
    mut entry: Entry,
    unit: InstrumentId,
    event: &PositionEvent,
    reserved: &mut Rows<ShareReservationRow>,
) -> Result<Entry, Impossible> {
    use Book::{DividendsDue, External, Issuers, Market, Shares, SharesReserved};
    let (account_id, tenant_id) = (entry.entry.account_id, entry.entry.tenant_id);
    let reservation = |order_id, qty| ShareReservationRow {
        account_id,
        instrument_id: unit,
        order_id,
        tenant_id,
        qty,
    };
    match event {
        PositionEvent::PositionOpened { fill_id, order_id, side, qty, at, .. }
        | PositionEvent::PositionIncreased { fill_id, order_id, side, qty, at, .. }
        | PositionEvent::PositionReduced { fill_id, order_id, side, qty, at, .. }
        | PositionEvent::PositionClosed { fill_id, order_id, side, qty, at, .. } => {
            entry.entry.fill_id = Some(*fill_id);
            entry.entry.order_id = Some(*order_id);
            entry.entry.at = Some(*at);
            let freed = take_reservation(reserved, (account_id, unit, *order_id), *qty)?;
            entry.shares(unit, SharesReserved, Shares, freed);
            match side {
                Side::Buy => entry.shares(unit, Market, Shares, *qty),
                Side::Sell => entry.shares(unit, Shares, Market, *qty),
            }
        }
        PositionEvent::OptionEnded { ending_id, side, qty, at, .. }
        | PositionEvent::SharesDelivered { ending_id, side, qty, at, .. } => {
            if let PositionEvent::OptionEnded { action_id, .. } = event {
                entry.entry.action_id.clone_from(action_id);
            }
            entry.entry.fill_id = Some(*ending_id);
            entry.entry.at = Some(*at);
            match side {
                Side::Buy => entry.shares(unit, Market, Shares, *qty),
                Side::Sell => entry.shares(unit, Shares, Market, *qty),
            }
        }
        PositionEvent::ContractAdjusted { action_id, qty, at, .. } => {
            entry.entry.action_id = Some(action_id.clone());
            entry.entry.at = Some(*at);
            entry.shares(unit, Shares, Issuers, *qty);
        }
        PositionEvent::AdjustedContractOpened { action_id, position_qty, at, .. } => {
            entry.entry.action_id = Some(action_id.clone());
            entry.entry.at = Some(*at);
            entry.shares(unit, Issuers, Shares, *position_qty);
        }
        PositionEvent::SharesReserved { order_id, qty, .. } => {
            entry.entry.order_id = Some(*order_id);
            reserved.put(reservation(*order_id, *qty));
            entry.shares(unit, Shares, SharesReserved, *qty);
        }
        PositionEvent::SharesReservationAdjusted { order_id, from, to, .. } => {
            entry.entry.order_id = Some(*order_id);
            let freed = take_reservation(reserved, (account_id, unit, *order_id), *from)?;
            if !to.is_zero() {
                reserved.put(reservation(*order_id, *to));
            }
            entry.shares(unit, SharesReserved, Shares, freed.minus(*to).map_err(inexact)?);
        }
        PositionEvent::SharesReleased { order_id, qty, .. } => {
            entry.entry.order_id = Some(*order_id);
            let freed = take_reservation(reserved, (account_id, unit, *order_id), *qty)?;
            entry.shares(unit, SharesReserved, Shares, freed);
        }
        PositionEvent::PositionSplit {
            action_id,
            qty_before,
            position_qty,
            reservations,
            at,
            ..
        } => {
            entry.entry.action_id = Some(action_id.clone());
            entry.entry.at = Some(*at);
            let before: Vec<ShareReservationRow> = reserved
                .iter()
                .filter(|row| (row.account_id, row.instrument_id) == (account_id, unit))
                .cloned()
                .collect();
            let mut more = Quantity::ZERO;
            for row in before {
                more = more.minus(row.qty).map_err(inexact)?;
                reserved.remove(&(account_id, unit, row.order_id));
            }
            for after in reservations {
                more = more.plus(after.qty).map_err(inexact)?;
                reserved.put(reservation(after.order_id, after.qty));
            }
            let issued = position_qty.minus(*qty_before).map_err(inexact)?;
            entry.shares(unit, Issuers, Shares, issued);
            entry.shares(unit, Shares, SharesReserved, more);
        }
        PositionEvent::PositionReset { qty, reserved_qty, dividends_due, at, .. } => {
            entry.entry.at = Some(*at);
            let gone: Vec<OrderId> = reserved
                .iter()
                .filter(|row| (row.account_id, row.instrument_id) == (account_id, unit))
                .map(|row| row.order_id)
                .collect();
            for order_id in gone {
                reserved.remove(&(account_id, unit, order_id));
            }
            entry.shares(unit, SharesReserved, Shares, *reserved_qty);
            entry.shares(unit, Shares, External, *qty);
            entry.cash(DividendsDue, External, *dividends_due);
        }
        PositionEvent::DividendAccrued { action_id, amount, at, .. } => {
            entry.entry.action_id = Some(action_id.clone());
            entry.entry.at = Some(*at);
            entry.cash(Issuers, DividendsDue, *amount);
        }
        // The account's own event moves the cash; a holding that stays moves nothing.
        PositionEvent::DividendSettled { .. }
        | PositionEvent::SplitNotFollowed { .. }
        | PositionEvent::ExerciseInstructed { .. } => {}
    }
    Ok(entry)
}

/// Takes up to `qty` shares out of an order's reservation: how many there were to take.
fn take_reservation(
    reserved: &mut Rows<ShareReservationRow>,
    key: (AccountId, InstrumentId, OrderId),
    qty: Quantity,
) -> Result<Quantity, Impossible> {
    let Some(row) = reserved.get_mut(&key) else {
        return Ok(Quantity::ZERO);
    };
    let part = qty.min(row.qty);
    row.qty = row.qty.minus(part).map_err(inexact)?;
    if row.qty.is_zero() {
        reserved.remove(&key);
    }
    Ok(part)
}
