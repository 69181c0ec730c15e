//! Up to which market time ticks may be handed over, as a pure function of the wall time that has passed.
//!
//! Guarantees: what has been released is never taken back; no clock is read, the elapsed time comes in, so that a
//! test or a simulation drives it without sleeping.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use aggregates::market::MarketTime;
use chrono::TimeDelta;

/// How fast market time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// This many market seconds a wall second.
    Times(NonZeroU32),
    /// As fast as the ticks are worked.
    Max,
}

/// Neither `max` nor a number of times such as `60x`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a speed: expected 'max' or market seconds a wall second such as '60x'")]
pub struct NotASpeed(String);

impl FromStr for Speed {
    type Err = NotASpeed;

    fn from_str(text: &str) -> Result<Self, NotASpeed> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let digits =
            text.strip_suffix('x').filter(|times| times.bytes().all(|b| b.is_ascii_digit()));
        let times = digits.and_then(|times| times.parse().ok());
        times.map(Self::Times).ok_or_else(|| NotASpeed(text.chars().take(40).collect()))
    }
}

/// The market's time cannot go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot run to {to}: the market is already at {now}")]
pub struct Backwards {
    /// What was asked for.
    pub to: MarketTime,
    /// Where it is.
    pub now: MarketTime,
}

/// What may be handed over now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Nothing.
    Nothing,
    /// What is stamped at or before this.
    UpTo(MarketTime),
    /// All of it.
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Paused,
    Running,
    RunTo(MarketTime),
}

/// Where the pace is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    speed: Speed,
    mode: Mode,
    now: Option<MarketTime>,
}

impl Pace {
    /// At this speed, from the first tick on.
    pub const fn new(speed: Speed, paused: bool) -> Self {
        let mode = if paused { Mode::Paused } else { Mode::Running };
        Self { speed, mode, now: None }
    }

    /// Hands nothing over until told. Ends a run to an instant.
    pub const fn pause(&mut self) {
        self.mode = Mode::Paused;
    }

    /// Goes on at its speed from where it is.
    pub const fn resume(&mut self) {
        self.mode = Mode::Running;
    }

    /// Hands over everything up to the instant, as fast as it is worked, and pauses there.
    pub fn run_to(&mut self, to: MarketTime) -> Result<(), Backwards> {
        match self.now {
            Some(now) if to < now => Err(Backwards { to, now }),
            _ => {
                self.mode = Mode::RunTo(to);
                Ok(())
            }
        }
    }

    /// The instant that it is to run to.
    pub const fn target(&self) -> Option<MarketTime> {
        match self.mode {
            Mode::RunTo(to) => Some(to),
            Mode::Paused | Mode::Running => None,
        }
    }

    /// Where market time has come to.
    pub const fn now(&self) -> Option<MarketTime> {
        self.now
    }

    /// Market time has come to here: a tick was handed over, or the target was reached.
    pub fn reached(&mut self, at: MarketTime) {
        self.now = self.now.max(Some(at));
    }

    /// What may be handed over after this much more wall time, if the next tick is stamped `next`.
    ///
    /// Before the first tick, time starts at that tick. Paused time does not count.
    pub fn step(&mut self, elapsed: Duration, next: Option<MarketTime>) -> Release {
        match (self.mode, self.speed) {
            (Mode::Paused, _) => Release::Nothing,
            (Mode::RunTo(to), _) => Release::UpTo(to),
            (Mode::Running, Speed::Max) => Release::Everything,
            (Mode::Running, Speed::Times(times)) => match (self.now, next) {
                // time has not begun: only what carries none
                (None, None) => Release::UpTo(MarketTime::MIN_UTC),
                (None, Some(first)) => self.released(first),
                (Some(now), _) => self.released(later(now, elapsed, times)),
            },
        }
    }

    fn released(&mut self, at: MarketTime) -> Release {
        self.now = Some(at);
        Release::UpTo(at)
    }
}

/// Saturates at the end of time.
fn later(now: MarketTime, elapsed: Duration, times: NonZeroU32) -> MarketTime {
    let passed =
        elapsed.checked_mul(times.get()).and_then(|passed| TimeDelta::from_std(passed).ok());
    passed.and_then(|passed| now.checked_add_signed(passed)).unwrap_or(MarketTime::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> MarketTime {
        text.parse().unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn speeds_are_max_or_a_number_of_times() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("60x".parse(), Ok(Speed::Times(NonZeroU32::new(60).unwrap())));
        for bad in ["", "x", "0x", "-1x", "60", "1.5x", "Max", "4294967296x"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn market_time_passes_that_many_times_faster_from_the_first_tick() {
        let mut pace = Pace::new("60x".parse().unwrap(), false);
        let first = at("2026-11-23T14:30:00Z");
        assert_eq!(pace.step(SECOND, None), Release::UpTo(MarketTime::MIN_UTC));
        assert_eq!(pace.step(SECOND, Some(first)), Release::UpTo(first));
        assert_eq!(pace.step(SECOND, None), Release::UpTo(at("2026-11-23T14:31:00Z")));
        assert_eq!(pace.step(SECOND / 2, None), Release::UpTo(at("2026-11-23T14:31:30Z")));
    }

    #[test]
    fn time_does_not_pass_while_paused() {
        let mut pace = Pace::new("60x".parse().unwrap(), false);
        let first = at("2026-11-23T14:30:00Z");
        pace.step(SECOND, Some(first));
        pace.pause();
        assert_eq!(pace.step(SECOND * 1000, None), Release::Nothing);
        pace.resume();
        assert_eq!(pace.step(SECOND, None), Release::UpTo(at("2026-11-23T14:31:00Z")));
    }

    #[test]
    fn a_run_to_an_instant_is_never_backwards() {
        let mut pace = Pace::new(Speed::Max, true);
        pace.reached(at("2026-11-23T14:30:00Z"));
        assert!(pace.run_to(at("2026-11-23T14:29:59Z")).is_err());
        assert_eq!(pace.step(SECOND, None), Release::Nothing, "still paused");
        let to = at("2026-11-24T00:00:00Z");
        pace.run_to(to).unwrap();
        assert_eq!(pace.step(Duration::ZERO, None), Release::UpTo(to));
    }

    #[test]
    fn no_length_of_time_overflows() {
        let mut pace = Pace::new("4000000000x".parse().unwrap(), false);
        pace.step(SECOND, Some(at("2026-11-23T14:30:00Z")));
        assert_eq!(pace.step(Duration::MAX, None), Release::UpTo(MarketTime::MAX_UTC));
    }
}
