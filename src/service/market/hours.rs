//! When the market is open, by its own clock and the exchange's calendar.

use aggregates::market::MarketTime;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;

use crate::market::calendar::{Hours, OutsideCalendar, Phase, Session, new_york_date};
use crate::service::{Fault, Service, ServiceError};

/// A date's hours, and how the market stands now. Times are instants; a date is one of New York.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Hours")]
pub struct HoursAnswer {
    /// The date asked about: the market clock's if none was.
    pub date: NaiveDate,
    /// `nyse`, or `always`: open day and night, a session being a day.
    pub hours: &'static str,
    /// There is a session on the date.
    pub is_trading_day: bool,
    /// It is a weekday without a session.
    pub is_holiday: bool,
    /// The session closes at 13:00.
    pub early_close: bool,
    /// Regular hours begin.
    pub open: Option<MarketTime>,
    /// Regular hours end.
    pub close: Option<MarketTime>,
    /// Pre-market begins.
    pub premarket_open: Option<MarketTime>,
    /// After-hours end.
    pub after_hours_close: Option<MarketTime>,
    /// The market is in regular hours now; absent while it has no time.
    pub is_open: Option<bool>,
    /// The whole market is halted now, as by a circuit breaker: in no symbol anything fills.
    pub halted: bool,
    /// The market's word for why, such as `MWC1`.
    pub halt_reason: Option<String>,
    /// The part of the day that the market is in now.
    pub session: Option<Phase>,
    /// When it opens next.
    pub next_open: Option<MarketTime>,
    /// When it closes next.
    pub next_close: Option<MarketTime>,
    /// The market clock.
    pub market_time: Option<MarketTime>,
}

impl Service {
    /// The hours of a date, or of today by the market clock.
    ///
    /// # Errors
    /// The calendar does not know the date, or none was given and the market has no time yet.
    pub fn hours(&self, date: Option<NaiveDate>) -> Result<HoursAnswer, ServiceError> {
        let (calendar, now) = (self.parts.calendar, self.market_time());
        let date = match date {
            Some(date) => date,
            None => new_york_date(self.now()?),
        };
        let session = calendar.session_on(date).map_err(|error| outside("date", &error))?;
        let by_session = |of: fn(&Session) -> MarketTime| session.as_ref().map(of);
        let always = calendar.hours() == Hours::Always;
        let extended = |of: fn(&Session) -> MarketTime| by_session(of).filter(|_| !always);
        // the end of the calendar ends what is known
        let is_open = now.map(|now| calendar.session_at(now).is_ok_and(|found| found.is_some()));
        let halt = self.parts.engine.board().market_halt();
        Ok(HoursAnswer {
            date,
            hours: if always { "always" } else { "nyse" },
            is_trading_day: session.is_some(),
            is_holiday: session.is_none() && !is_weekend(date),
            early_close: session.is_some_and(|session| session.early),
            open: by_session(|session| session.open),
            close: by_session(|session| session.close),
            premarket_open: extended(Session::premarket),
            after_hours_close: extended(Session::after_hours_end),
            is_open,
            halted: halt.is_some(),
            halt_reason: halt.and_then(|halt| halt.reason),
            session: now.and_then(|now| calendar.phase_at(now).ok()),
            next_open: now.and_then(|now| Some(calendar.next_session(now).ok()?.open)),
            next_close: now.and_then(|now| calendar.day_order_expiry(now).ok()),
            market_time: now,
        })
    }
}

fn is_weekend(date: NaiveDate) -> bool {
    use chrono::{Datelike, Weekday};
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The field names a time that the calendar does not know.
pub(super) fn outside(field: &'static str, error: &OutsideCalendar) -> ServiceError {
    ServiceError::Invalid(vec![Fault::new(field, "outside_calendar", error.to_string())])
}
