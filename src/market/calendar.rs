//! When New York trades: sessions as instants, by IANA zone and a checked table.
//!
//! Regular hours are 09:30-16:00 in `America/New_York`, 13:00 on early closes; pre-market from 04:00, after-hours to
//! 20:00, 17:00 on early closes. Holidays, early closes and the closures that nobody had planned come from
//! [`super::calendar_table`]; every session is compared with the package that it was generated from. A date that the
//! table does not know is an error, never a guess. Pure; a look-up is a binary search.

use aggregates::market::MarketTime;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::America::New_York;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calendar_table::{CLOSED, EARLY, RANGE};

/// The calendar does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{date} is outside the exchange calendar, which knows {first} to {last}")]
pub struct OutsideCalendar {
    /// The New York date asked about.
    pub date: NaiveDate,
    /// The first date known.
    pub first: NaiveDate,
    /// The last date known.
    pub last: NaiveDate,
}

/// One session's hours, as instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The New York date.
    pub date: NaiveDate,
    /// Regular hours begin: the first instant inside.
    pub open: MarketTime,
    /// Regular hours end: the first instant after.
    pub close: MarketTime,
    /// Whether it closes at 13:00.
    pub early: bool,
}

impl Session {
    /// 04:00: pre-market begins.
    pub fn premarket(&self) -> MarketTime {
        new_york(self.date, 4, 0)
    }

    /// 20:00, or 17:00 on early closes: after-hours end.
    pub fn after_hours_end(&self) -> MarketTime {
        new_york(self.date, if self.early { 17 } else { 20 }, 0)
    }

    /// 19:00: orders for the auctions of the next session are taken.
    pub fn auctions_resume(&self) -> MarketTime {
        new_york(self.date, 19, 0)
    }

    /// Whether the instant is in regular hours.
    pub fn contains(&self, at: MarketTime) -> bool {
        self.open <= at && at < self.close
    }

    /// Whether the instant is in pre-market, regular or after-hours.
    pub fn contains_extended(&self, at: MarketTime) -> bool {
        self.premarket() <= at && at < self.after_hours_end()
    }
}

/// The parts of a day of the market, and the time between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing fills.
    Closed,
    /// Before regular hours, from 04:00: orders of extended hours fill.
    PreMarket,
    /// All orders fill.
    Regular,
    /// After regular hours, to 20:00, or to 17:00 after an early close: orders of extended hours fill.
    AfterHours,
}

/// Which hours the market keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hours {
    /// New York's sessions.
    Nyse,
    /// Always open: a session is a New York day, midnight to midnight.
    Always,
}

/// The calendar of a market, stored as the word for its hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calendar {
    hours: Hours,
}

impl Calendar {
    /// New York's sessions.
    pub const fn nyse() -> Self {
        Self { hours: Hours::Nyse }
    }

    /// Always open.
    pub const fn always() -> Self {
        Self { hours: Hours::Always }
    }

    /// Which hours it keeps.
    pub const fn hours(self) -> Hours {
        self.hours
    }

    /// The session of a New York date; `None` if there is none that day.
    pub fn session_on(self, date: NaiveDate) -> Result<Option<Session>, OutsideCalendar> {
        within_range(date)?;
        if self.hours == Hours::Always {
            let (open, close) = (new_york_midnight(date), new_york_midnight(following(date)));
            return Ok(Some(Session { date, open, close, early: false }));
        }
        let weekend = matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
        let key = (date.year(), date.month(), date.day());
        if weekend || CLOSED.binary_search(&key).is_ok() {
            return Ok(None);
        }
        let early = EARLY.binary_search(&key).is_ok();
        let close = new_york(date, if early { 13 } else { 16 }, 0);
        Ok(Some(Session { date, open: new_york(date, 9, 30), close, early }))
    }

    /// The session whose regular hours the instant is in.
    pub fn session_at(self, at: MarketTime) -> Result<Option<Session>, OutsideCalendar> {
        Ok(self.session_on(new_york_date(at))?.filter(|session| session.contains(at)))
    }

    /// The hours of a date in which orders of extended hours fill, from the pre-market to the end of after-hours; the whole
    /// day of a market that is always open. `None` if there is no session that day.
    pub fn extended_on(
        self,
        date: NaiveDate,
    ) -> Result<Option<(MarketTime, MarketTime)>, OutsideCalendar> {
        let session = self.session_on(date)?;
        Ok(session.map(|session| match self.hours {
            Hours::Nyse => (session.premarket(), session.after_hours_end()),
            Hours::Always => (session.open, session.close),
        }))
    }

    /// The part of the day that the instant is in.
    pub fn phase_at(self, at: MarketTime) -> Result<Phase, OutsideCalendar> {
        let date = new_york_date(at);
        let (session, hours) = (self.session_on(date)?, self.extended_on(date)?);
        Ok(match (session, hours) {
            (Some(session), _) if session.contains(at) => Phase::Regular,
            (Some(session), Some((from, _))) if from <= at && at < session.open => Phase::PreMarket,
            (Some(session), Some((_, until))) if session.close <= at && at < until => {
                Phase::AfterHours
            }
            _ => Phase::Closed,
        })
    }

    /// The first session that opens after the instant.
    pub fn next_session(self, after: MarketTime) -> Result<Session, OutsideCalendar> {
        self.first_session(after, |session| session.open > after)
    }

    /// When a `day` order sent at the instant expires: at the close of the session that it is in or that comes next.
    pub fn day_order_expiry(self, at: MarketTime) -> Result<MarketTime, OutsideCalendar> {
        Ok(self.first_session(at, |session| session.close > at)?.close)
    }

    /// The end of the table ends the search.
    fn first_session(
        self,
        from: MarketTime,
        wanted: impl Fn(&Session) -> bool,
    ) -> Result<Session, OutsideCalendar> {
        let mut date = new_york_date(from);
        loop {
            if let Some(session) = self.session_on(date)?.filter(&wanted) {
                return Ok(session);
            }
            date = following(date);
        }
    }
}

/// The longest run of days without a session: the exchange was closed for six days in September 2001.
pub const SEARCH_DAYS: u64 = 14;

/// The exchange's last session of a date or before it, whatever the market's own hours: options that expire on the date are
/// traded until it closes. `None` outside the calendar.
pub fn last_session(date: NaiveDate) -> Option<Session> {
    let exchange = Calendar::nyse();
    within_range(date).ok()?;
    let dates = (0..SEARCH_DAYS).filter_map(|days| date.checked_sub_days(Days::new(days)));
    dates.filter_map(|date| exchange.session_on(date).ok()?).next()
}

/// Hours from the midnight of a date that the calendar does not know until the options of that date expire.
const EXPIRY_HOURS: i64 = 16;

/// When the options of a date expire: at the close of its [`last_session`]; at 16:00 outside the calendar.
pub fn options_expire_at(date: NaiveDate) -> MarketTime {
    let outside = || new_york_midnight(date) + TimeDelta::hours(EXPIRY_HOURS);
    last_session(date).map_or_else(outside, |session| session.close)
}

/// The date in New York at an instant.
pub fn new_york_date(at: MarketTime) -> NaiveDate {
    at.with_timezone(&New_York).date_naive()
}

/// The last date that the exchange's calendar knows.
pub fn calendar_end() -> NaiveDate {
    range()[1]
}

fn range() -> [NaiveDate; 2] {
    RANGE.map(|(year, month, day)| {
        NaiveDate::from_ymd_opt(year, month, day).expect("the table's range is dates")
    })
}

fn within_range(date: NaiveDate) -> Result<(), OutsideCalendar> {
    let [first, last] = range();
    let known = (first..=last).contains(&date);
    if known { Ok(()) } else { Err(OutsideCalendar { date, first, last }) }
}

/// Only of dates within the table, or one after.
fn following(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(Days::new(1)).expect("the table ends long before time does")
}

/// The instant at which a New York date begins.
pub fn new_york_midnight(date: NaiveDate) -> MarketTime {
    let local = date.and_time(NaiveTime::MIN);
    match New_York.from_local_datetime(&local).earliest() {
        Some(at) => at.to_utc(),
        // Clocks in New York have never been put forward at midnight; dates at the ends of time have no offset.
        None => Utc.from_utc_datetime(&local),
    }
}

/// Clocks change at 02:00, which no hour of the market is: each local time is exactly one instant.
fn new_york(date: NaiveDate, hour: u32, minute: u32) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(hour, minute, 0).expect("hours of the market are times");
    let local = New_York.from_local_datetime(&date.and_time(time)).single();
    local.expect("no hour of the market is skipped or doubled").to_utc()
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
