//! How far the clock of this server is off the database's.
//!
//! Guarantees: tells what is certain. The database reads its clock between the moment it is asked and that of its answer,
//! so a time between these two is no difference, and a slow answer raises no alarm. One line of the log says that the
//! clocks are more than [`ALARM`] apart and one that this is over. Costs nothing of its own: it is measured where the
//! database is asked anyway.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// Clocks that are further apart are told of.
const ALARM: TimeDelta = TimeDelta::seconds(1);
/// Clocks that were told of are right again when they are no further apart than this, so that a difference about as large
/// as [`ALARM`] is not told of again and again.
const RIGHT: TimeDelta = TimeDelta::milliseconds(500);

/// The difference as it was measured last.
#[derive(Debug, Default)]
pub struct Skew(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    /// How far the server's clock is ahead, at least; below zero if it is behind.
    ahead: TimeDelta,
    told: bool,
}

impl Skew {
    /// Takes in that the database said `told` between these two times of the server.
    pub fn measure(&self, asked: DateTime<Utc>, told: DateTime<Utc>, answered: DateTime<Utc>) {
        let ahead = ahead((asked, answered), told);
        metrics::gauge!("blotter_clock_skew_seconds").set(ahead.as_seconds_f64());
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        measured.ahead = ahead;
        let seconds = ahead.as_seconds_f64();
        if !measured.told && ahead.abs() > ALARM {
            measured.told = true;
            tracing::warn!(ahead = seconds, "this server's clock is off the database's");
        } else if measured.told && ahead.abs() <= RIGHT {
            measured.told = false;
            tracing::warn!(ahead = seconds, "this server's clock is right again by the database's");
        }
    }

    /// The earlier of both clocks, at this time of the server's: what is over by it is over by either.
    pub fn earlier(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let ahead = self.0.lock().unwrap_or_else(PoisonError::into_inner).ahead;
        now - ahead.max(TimeDelta::zero())
    }
}

/// How far a clock that said the first two times, in any order since it may have been set in between, is at least ahead of
/// one that said `told` meanwhile.
fn ahead((one, other): (DateTime<Utc>, DateTime<Utc>), told: DateTime<Utc>) -> TimeDelta {
    let (first, last) = (one.min(other), one.max(other));
    told.clamp(first, last).signed_duration_since(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
    }

    #[test]
    fn what_lies_between_the_question_and_its_answer_is_no_difference() {
        for (asked, told, answered, expected) in [
            (0, 4_000, 9_000, 0),
            (3_000, 1_000, 3_010, 2_000),
            (1_000, 3_010, 1_010, -2_000),
            // Set back by an hour in between: nothing is certain.
            (3_600_000, 3_600_000, 10, 0),
        ] {
            let found = ahead((at(asked), at(answered)), at(told));
            assert_eq!(found, TimeDelta::milliseconds(expected), "{asked} {told} {answered}");
        }
    }

    #[test]
    fn a_difference_is_told_of_once_and_once_when_it_is_over() {
        let skew = Skew::default();
        let told = |millis| {
            skew.measure(at(millis), at(0), at(millis));
            skew.0.lock().unwrap().told
        };
        let told = [1_000, 1_001, 999, 1_001, 501, 500, -1_000, -1_001, -500].map(told);
        assert_eq!(told, [false, true, true, true, true, false, false, true, false]);
    }

    #[test]
    fn nothing_is_over_that_one_of_the_clocks_holds_to_come() {
        let skew = Skew::default();
        skew.measure(at(9_000), at(2_000), at(9_000));
        assert_eq!(skew.earlier(at(9_500)), at(2_500));
        skew.measure(at(2_000), at(9_000), at(2_000));
        assert_eq!(skew.earlier(at(2_500)), at(2_500));
    }
}
