//! The sessions of the market on its own clock, from the exchange's calendar.

use aggregates::market::{AuctionKind, MarketTime};
use aggregates::trading::AuctionEntry;
use chrono::{Days, NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use super::state::EngineState;
use crate::market::calendar::{self, Calendar, Hours, SEARCH_DAYS, new_york_date};

/// One session: open from `open` to before `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its New York date.
    pub date: NaiveDate,
    /// When it opens.
    pub open: MarketTime,
    /// When it closes.
    pub close: MarketTime,
}

impl From<calendar::Session> for Session {
    fn from(session: calendar::Session) -> Self {
        let calendar::Session { date, open, close, .. } = session;
        Self { date, open, close }
    }
}

impl Session {
    /// Whether orders can fill at `at`.
    pub fn is_open(&self, at: MarketTime) -> bool {
        self.open <= at && at < self.close
    }

    /// Whether a trade at `at` counts for the official close: in (open, close].
    pub fn counts_for_close(&self, at: MarketTime) -> bool {
        self.open < at && at <= self.close
    }
}

impl EngineState {
    /// The session that closes next after `at`: that which is under way, also when it began at this very instant.
    pub(super) fn session_at(&self, calendar: Calendar, at: MarketTime) -> Option<Session> {
        match self.session {
            Some(session) if session.close > at => Some(session),
            _ => session_after(calendar, at),
        }
    }
}

/// The session of a New York date; `None` if it has none, and outside the calendar.
pub fn session_on(calendar: Calendar, date: NaiveDate) -> Option<Session> {
    calendar.session_on(date).ok()?.map(Session::from)
}

/// The trading day at `at`: the date of the latest session that is not of a later New York day. It begins at midnight in
/// New York, and lasts over what has no session. `None` outside the calendar.
pub fn trading_day(calendar: Calendar, at: MarketTime) -> Option<NaiveDate> {
    let today = new_york_date(at);
    let mut days = (0..SEARCH_DAYS).filter_map(|days| today.checked_sub_days(Days::new(days)));
    days.find(|date| session_on(calendar, *date).is_some())
}

/// No more orders for the opening auction are taken from so long before the open on.
const OPENING_STOP: TimeDelta = TimeDelta::minutes(2);
/// No more orders for the closing auction are taken from so long before the close on.
const CLOSING_STOP: TimeDelta = TimeDelta::minutes(10);

/// Whether an order for one of the auctions can be taken at `at`: from 19:00 on for the next session. `None` in a market
/// that has no auctions, and outside the calendar.
pub fn auction_entry(
    calendar: Calendar,
    kind: AuctionKind,
    at: MarketTime,
) -> Option<AuctionEntry> {
    if calendar.hours() == Hours::Always {
        return None;
    }
    let ends = |session: &calendar::Session| match kind {
        AuctionKind::Open => session.close,
        AuctionKind::Close => session.after_hours_end(),
    };
    let today = new_york_date(at);
    if let Some(session) = calendar.session_on(today).ok()? {
        let since = match kind {
            AuctionKind::Open => session.open - OPENING_STOP,
            AuctionKind::Close => session.close - CLOSING_STOP,
        };
        let until = session.auctions_resume();
        if at < since {
            return Some(AuctionEntry::Taken { ends: ends(&session) });
        }
        if at < until {
            return Some(AuctionEntry::Refused { since, until });
        }
    }
    let next = (1..SEARCH_DAYS)
        .find_map(|days| calendar.session_on(today.checked_add_days(Days::new(days))?).ok()?)?;
    Some(AuctionEntry::Taken { ends: ends(&next) })
}

/// Whether orders of extended hours can fill at `at`: also in regular hours.
pub fn is_extended(calendar: Calendar, at: MarketTime) -> bool {
    let hours = calendar.extended_on(new_york_date(at)).ok().flatten();
    hours.is_some_and(|(from, until)| from <= at && at < until)
}

/// The end of the after-hours that are under way at `at` or come next; `None` outside the calendar.
pub fn extended_close_after(calendar: Calendar, at: MarketTime) -> Option<MarketTime> {
    let first = new_york_date(at);
    let mut ends = (0..SEARCH_DAYS).filter_map(|days| {
        let date = first.checked_add_days(Days::new(days))?;
        Some(calendar.extended_on(date).ok()??.1)
    });
    ends.find(|end| *end > at)
}

/// The first session that closes after `at`; `None` outside the calendar.
pub fn session_after(calendar: Calendar, at: MarketTime) -> Option<Session> {
    search(calendar, at, |session| session.close > at)
}

/// The first session that closes at `at` or after it; `None` outside the calendar.
pub fn session_not_before(calendar: Calendar, at: MarketTime) -> Option<Session> {
    search(calendar, at, |session| session.close >= at)
}

/// Looks from the day before, which under `always` ends at the instant at which the next begins.
fn search(
    calendar: Calendar,
    at: MarketTime,
    wanted: impl Fn(&Session) -> bool,
) -> Option<Session> {
    let first = new_york_date(at).checked_sub_days(Days::new(1))?;
    (0..SEARCH_DAYS)
        .filter_map(|days| session_on(calendar, first.checked_add_days(Days::new(days))?))
        .find(wanted)
}
