//! When options expire: on Fridays, or on the session before where the exchange is closed on one.
//!
//! Those of third Fridays are monthlies, listed months ahead; all others are weeklies. A function of the exchange's
//! calendar alone, whatever the hours of the market.

use chrono::{Datelike, Days, NaiveDate, Weekday};

use crate::market::calendar::last_session;

/// Fridays ahead that options expire on, and third Fridays after these.
const NEXT: usize = 2;
const MONTHLIES: usize = 2;
/// Weeks in which that many third Fridays are found.
const WEEKS: u64 = 5 * (1 + MONTHLIES as u64);

/// One expiration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiration {
    /// The last date on which its options trade.
    pub(super) date: NaiveDate,
    /// It is the month's: its Friday is the third one.
    pub(super) monthly: bool,
}

/// Those that are listed on a date, in their order: the next Fridays, the date included, and the third Fridays after them.
/// One that is listed stays so until it is over. Fewer at the end of the calendar.
pub(super) fn on(date: NaiveDate) -> Vec<Expiration> {
    let days_to_friday =
        (Weekday::Fri.num_days_from_monday() + 7 - date.weekday().num_days_from_monday()) % 7;
    let friday = |week: u64| date.checked_add_days(Days::new(u64::from(days_to_friday) + 7 * week));
    let ahead = (0..WEEKS + NEXT as u64).filter_map(friday).filter_map(|friday| {
        let monthly = (15..=21).contains(&friday.day());
        Some(Expiration { date: last_session(friday)?.date, monthly })
    });
    // Where this week's Friday is no session, its options may have expired before it.
    let mut ahead = ahead.filter(|expiration| expiration.date >= date);
    let mut found: Vec<_> = ahead.by_ref().take(NEXT).collect();
    found.extend(ahead.filter(|expiration| expiration.monthly).take(MONTHLIES));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn dates(on_date: &str) -> Vec<(String, bool)> {
        on(date(on_date)).iter().map(|it| (it.date.to_string(), it.monthly)).collect()
    }

    fn of(dates: [(&str, bool); 4]) -> Vec<(String, bool)> {
        dates.map(|(date, monthly)| (date.to_owned(), monthly)).into()
    }

    #[test]
    fn the_next_two_fridays_and_the_two_third_fridays_after_them() {
        let monday = of([
            ("2026-11-27", false),
            ("2026-12-04", false),
            ("2026-12-18", true),
            ("2027-01-15", true),
        ]);
        assert_eq!(dates("2026-11-23"), monday);
        assert_eq!(dates("2026-11-27"), monday, "a day's own expiration is listed on it");
        let after = of([
            ("2026-12-04", false),
            ("2026-12-11", false),
            ("2026-12-18", true),
            ("2027-01-15", true),
        ]);
        assert_eq!(dates("2026-11-28"), after);
        let monthly_is_near = of([
            ("2026-12-11", false),
            ("2026-12-18", true),
            ("2027-01-15", true),
            ("2027-02-19", true),
        ]);
        assert_eq!(dates("2026-12-05"), monthly_is_near);
    }

    #[test]
    fn a_friday_without_a_session_lets_options_expire_on_the_session_before() {
        // 2026-06-19, a third Friday, is Juneteenth; 2027-03-26 is Good Friday, a last one
        assert!(dates("2026-06-15").contains(&("2026-06-18".to_owned(), true)));
        assert!(dates("2027-03-22").contains(&("2027-03-25".to_owned(), false)));
        assert_eq!(dates("2026-06-19")[0].0, "2026-06-26", "it is over on the holiday itself");
    }

    #[test]
    fn what_is_listed_stays_so_until_it_is_over() {
        let mut day = date("2025-01-01");
        let mut before = on(day);
        while day < date("2030-01-01") {
            day = day.succ_opt().unwrap();
            let now = on(day);
            assert_eq!(now.len(), 4, "{day}");
            assert!(now.is_sorted_by_key(|expiration| expiration.date), "{day}");
            for expiration in before.iter().filter(|expiration| expiration.date >= day) {
                assert!(now.contains(expiration), "{expiration:?} on {day}");
            }
            before = now;
        }
    }

    #[test]
    fn at_the_end_of_the_calendar_fewer_expire_and_beyond_it_none() {
        assert!(on(date("2050-12-20")).len() < 4);
        assert!(on(date("2051-06-01")).is_empty());
    }
}
