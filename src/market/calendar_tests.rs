//! The calendar against the package that its table came from, and at its edges.

use std::collections::BTreeMap;
use std::io::Read;

use super::*;

fn at(text: &str) -> MarketTime {
    text.parse().unwrap()
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Date to (open, close), from `data/calendar/sessions.csv.gz`.
fn fixture() -> BTreeMap<NaiveDate, (MarketTime, MarketTime)> {
    let packed = include_bytes!("../../data/calendar/sessions.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (date(fields[0]), (at(fields[1]), at(fields[2])))
        })
        .collect()
}

#[test]
fn every_day_is_a_session_with_those_hours_or_none_as_the_package_says() {
    let sessions = fixture();
    assert!(sessions.len() > 12_000);
    let calendar = Calendar::nyse();
    let (mut day, last) = (date("2000-01-03"), date("2050-12-30"));
    while day <= last {
        let computed = calendar.session_on(day).unwrap();
        let hours = computed.map(|session| (session.open, session.close));
        assert_eq!(hours, sessions.get(&day).copied(), "{day}");
        if let Some(session) = computed {
            let length = session.close - session.open;
            assert_eq!(session.early, length < chrono::TimeDelta::hours(6), "{day}");
        }
        day = following(day);
    }
}

/// What moves is summed by the hour, and each hour has to be before a close or after it as a whole.
#[test]
fn every_session_closes_at_a_whole_hour() {
    for calendar in [Calendar::nyse(), Calendar::always()] {
        let (mut day, mut sessions) = (date("2000-01-03"), 0);
        while day <= date("2050-12-30") {
            if let Some(session) = calendar.session_on(day).unwrap() {
                assert_eq!(session.close.timestamp_micros() % 3_600_000_000, 0, "{day}");
                sessions += 1;
            }
            day = following(day);
        }
        assert!(sessions > 12_000);
    }
}

#[test]
fn the_parts_of_a_day_follow_new_york_through_its_clock_changes_and_early_closes() {
    let calendar = Calendar::nyse();
    for (instant, phase) in [
        ("2026-11-23T08:59:59Z", Phase::Closed),
        ("2026-11-23T09:00:00Z", Phase::PreMarket),
        ("2026-11-23T14:30:00Z", Phase::Regular),
        ("2026-11-23T21:00:00Z", Phase::AfterHours),
        ("2026-11-24T00:59:59Z", Phase::AfterHours),
        ("2026-11-24T01:00:00Z", Phase::Closed),
        // The day after Thanksgiving closes at 13:00, and its after-hours end at 17:00.
        ("2026-11-27T17:59:59Z", Phase::Regular),
        ("2026-11-27T18:00:00Z", Phase::AfterHours),
        ("2026-11-27T22:00:00Z", Phase::Closed),
        // Thanksgiving, and a Saturday.
        ("2026-11-26T15:00:00Z", Phase::Closed),
        ("2026-11-28T15:00:00Z", Phase::Closed),
        // Clocks go forward on March 8th: an hour earlier in UTC from the Monday on; and back on November 1st.
        ("2026-03-06T09:00:00Z", Phase::PreMarket),
        ("2026-03-09T07:59:59Z", Phase::Closed),
        ("2026-03-09T08:00:00Z", Phase::PreMarket),
        ("2026-03-09T13:30:00Z", Phase::Regular),
        ("2026-10-30T23:59:59Z", Phase::AfterHours),
        ("2026-11-03T00:30:00Z", Phase::AfterHours),
    ] {
        assert_eq!(calendar.phase_at(at(instant)), Ok(phase), "{instant}");
    }
    let always = Calendar::always();
    assert_eq!(always.phase_at(at("2026-11-28T03:00:00Z")), Ok(Phase::Regular));
}

#[test]
fn unplanned_closures_are_no_sessions() {
    for day in ["2001-09-11", "2001-09-14", "2004-06-11", "2012-10-29", "2018-12-05", "2025-01-09"]
    {
        assert_eq!(Calendar::nyse().session_on(date(day)), Ok(None), "{day}");
    }
}

#[test]
fn a_session_holds_its_open_and_not_its_close() {
    let calendar = Calendar::nyse();
    let session = |text: &str| calendar.session_at(at(text)).unwrap().map(|found| found.date);
    assert_eq!(session("2026-11-23T14:29:59.999Z"), None);
    assert_eq!(session("2026-11-23T14:30:00Z"), Some(date("2026-11-23")));
    assert_eq!(session("2026-11-23T20:59:59.999Z"), Some(date("2026-11-23")));
    assert_eq!(session("2026-11-23T21:00:00Z"), None);
    // the day after Thanksgiving closes at 13:00
    assert_eq!(session("2026-11-27T18:00:00Z"), None);
}

#[test]
fn hours_follow_the_zone_over_a_change_of_clocks() {
    let calendar = Calendar::nyse();
    let open = |text: &str| calendar.session_on(date(text)).unwrap().unwrap().open;
    assert_eq!(open("2026-03-06"), at("2026-03-06T14:30:00Z"));
    assert_eq!(open("2026-03-09"), at("2026-03-09T13:30:00Z"));
}

#[test]
fn extended_hours_end_earlier_on_early_closes() {
    let session = |text: &str| Calendar::nyse().session_on(date(text)).unwrap().unwrap();
    let whole = session("2026-11-23");
    assert_eq!(whole.premarket(), at("2026-11-23T09:00:00Z"));
    assert_eq!(whole.after_hours_end(), at("2026-11-24T01:00:00Z"));
    let early = session("2026-11-27");
    assert_eq!(early.after_hours_end(), at("2026-11-27T22:00:00Z"));
    assert!(early.contains_extended(at("2026-11-27T21:59:59Z")));
    assert!(!early.contains_extended(at("2026-11-27T22:00:00Z")));
}

#[test]
fn a_day_order_lives_until_the_close_of_its_session_or_of_the_next() {
    let expiry = |text: &str| Calendar::nyse().day_order_expiry(at(text)).unwrap();
    let monday = at("2026-11-23T21:00:00Z");
    assert_eq!(expiry("2026-11-23T15:00:00Z"), monday);
    assert_eq!(expiry("2026-11-23T12:00:00Z"), monday, "before the open");
    assert_eq!(expiry("2026-11-21T12:00:00Z"), monday, "at the weekend");
    assert_eq!(expiry("2026-11-20T21:00:00Z"), monday, "at the close itself");
    // over Thanksgiving to the early close
    assert_eq!(expiry("2026-11-25T21:00:00Z"), at("2026-11-27T18:00:00Z"));
}

#[test]
fn the_next_session_opens_after_the_instant() {
    let next = |text: &str| Calendar::nyse().next_session(at(text)).unwrap().date;
    assert_eq!(next("2026-11-23T14:29:59Z"), date("2026-11-23"));
    assert_eq!(next("2026-11-23T14:30:00Z"), date("2026-11-24"));
    assert_eq!(next("2001-09-10T20:00:00Z"), date("2001-09-17"));
}

#[test]
fn always_is_open_and_its_days_end_at_new_york_midnight() {
    let calendar = Calendar::always();
    let saturday = at("2026-11-21T12:00:00Z");
    assert_eq!(calendar.session_at(saturday).unwrap().unwrap().date, date("2026-11-21"));
    assert_eq!(calendar.day_order_expiry(saturday), Ok(at("2026-11-22T05:00:00Z")));
    // the day on which clocks are put forward has 23 hours
    let short = calendar.session_on(date("2026-03-08")).unwrap().unwrap();
    assert_eq!(short.close - short.open, chrono::TimeDelta::hours(23));
}

#[test]
fn outside_the_table_is_an_error_and_not_a_guess() {
    let calendar = Calendar::nyse();
    assert!(calendar.session_on(date("1999-12-31")).is_err());
    assert_eq!(
        calendar.session_at(at("2051-01-03T15:00:00Z")).unwrap_err().date,
        date("2051-01-03")
    );
    assert!(calendar.next_session(at("2050-12-30T15:00:00Z")).is_err());
    assert!(calendar.day_order_expiry(at("2050-12-30T22:00:00Z")).is_err());
}

#[test]
fn options_expire_at_the_close_of_the_exchanges_last_session_of_their_day_or_before() {
    for (day, close) in [
        ("2026-11-20", "2026-11-20T21:00:00Z"),
        ("2026-11-27", "2026-11-27T18:00:00Z"),
        ("2026-07-17", "2026-07-17T20:00:00Z"),
        // Good Friday, and a Saturday, on which options expired for decades.
        ("2026-04-03", "2026-04-02T20:00:00Z"),
        ("2014-01-18", "2014-01-17T21:00:00Z"),
        // The exchange stayed closed from Tuesday on.
        ("2001-09-16", "2001-09-10T20:00:00Z"),
    ] {
        assert_eq!(last_session(date(day)).unwrap().close, at(close), "{day}");
        assert_eq!(options_expire_at(date(day)), at(close), "{day}");
    }
    assert_eq!(last_session(date("2051-01-06")), None, "nobody knows");
    assert_eq!(options_expire_at(date("2051-01-06")), at("2051-01-06T21:00:00Z"));
}
