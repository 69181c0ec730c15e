//! A source under control: paused, resumed, run to an instant, at a speed.
//!
//! Guarantees: ticks come in the source's order, none twice, none left out; after a run to an instant the last tick
//! is a `clock` at that instant, and then it is paused. A step function: the wall time that has passed comes in.

use std::time::Duration;

use aggregates::market::MarketTime;

use super::pace::{Backwards, Pace, Release};
use super::source::{MarketData, SourceError};
use super::tick::{Clock, Tick};

/// A source and its pace.
pub struct Playback<S> {
    source: S,
    pace: Pace,
    /// Up to here everything is handed over at once.
    opening: Option<MarketTime>,
}

impl<S: MarketData> Playback<S> {
    /// Plays the source at this pace.
    pub const fn new(source: S, pace: Pace) -> Self {
        Self { source, pace, opening: None }
    }

    /// The source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Goes to where the market's clock stands. What opens the market there comes first, paused or not.
    pub fn begin(&mut self, clock: Option<MarketTime>) {
        self.opening = self.source.begin(clock);
        if let Some(at) = self.opening {
            self.pace.reached(at);
        }
    }

    /// What opens the market has not been handed over to its end.
    pub const fn is_opening(&self) -> bool {
        self.opening.is_some()
    }

    /// The instant that it is running to.
    pub const fn target(&self) -> Option<MarketTime> {
        self.pace.target()
    }

    /// Where market time has come to here.
    pub const fn now(&self) -> Option<MarketTime> {
        self.pace.now()
    }

    /// Hands nothing over until told.
    pub const fn pause(&mut self) {
        self.pace.pause();
    }

    /// Goes on at its speed.
    pub const fn resume(&mut self) {
        self.pace.resume();
    }

    /// Everything up to and with the instant, then the clock at the instant, then a pause.
    pub fn run_to(&mut self, to: MarketTime) -> Result<(), Backwards> {
        self.pace.run_to(to)
    }

    /// The next tick that may be worked, after this much more wall time; `None` when there is none for now.
    ///
    /// Call it again with [`Duration::ZERO`] until it says `None`.
    pub fn step(&mut self, elapsed: Duration) -> Result<Option<Tick>, SourceError> {
        let (there_is_one, next) = match self.source.peek()? {
            Some(tick) => (true, tick.at()),
            None => (false, None),
        };
        if let Some(until) = self.opening {
            if there_is_one && next.is_none_or(|at| at <= until) {
                return self.source.take();
            }
            self.opening = None;
        }
        let due = match self.pace.step(elapsed, next) {
            Release::Nothing => false,
            // what carries no time comes where it stands
            Release::UpTo(until) => there_is_one && next.is_none_or(|at| at <= until),
            Release::Everything => there_is_one,
        };
        if due {
            if let Some(at) = next {
                self.pace.reached(at);
            }
            return self.source.take();
        }
        let Some(at) = self.pace.target() else { return Ok(None) };
        self.pace.reached(at);
        self.pace.pause();
        Ok(Some(Tick::Clock(Clock { at })))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::market::pace::Speed;
    use crate::market::recorded::Recorded;

    #[test]
    fn what_was_worked_before_a_restart_comes_at_once_and_the_rest_at_its_pace() {
        let mut playback = autumn("3600x".parse().unwrap(), true);
        playback.begin(Some(at("2008-08-04T20:00:00Z")));
        assert_eq!(due(&mut playback, Duration::ZERO).len(), 12, "paused, and yet: two days");
        assert!(!playback.is_opening());
        playback.resume();
        // from the close of Monday to the midnight of Tuesday are eight market hours
        assert_eq!(due(&mut playback, Duration::from_secs(7)).len(), 0);
        assert_eq!(due(&mut playback, Duration::from_secs(1)).len(), 4);
    }

    fn autumn(speed: Speed, paused: bool) -> Playback<Recorded> {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/daily-2008-autumn.jsonl.gz");
        Playback::new(Recorded::open(&path).unwrap(), Pace::new(speed, paused))
    }

    fn at(text: &str) -> MarketTime {
        text.parse().unwrap()
    }

    fn due(playback: &mut Playback<Recorded>, elapsed: Duration) -> Vec<Tick> {
        let mut ticks: Vec<Tick> = playback.step(elapsed).unwrap().into_iter().collect();
        while let Some(tick) = playback.step(Duration::ZERO).unwrap() {
            ticks.push(tick);
        }
        ticks
    }

    #[test]
    fn a_run_to_an_instant_delivers_what_is_at_it_and_ends_with_the_clock() {
        let mut playback = autumn(Speed::Max, true);
        assert_eq!(due(&mut playback, Duration::from_secs(9)), []);
        let second_day = at("2008-08-04T04:00:00Z");
        playback.run_to(second_day).unwrap();
        let ticks = due(&mut playback, Duration::ZERO);
        // four instruments, four bars of Friday, four of Monday whose `at` is the instant itself
        assert_eq!(ticks.len(), 13);
        assert_eq!(ticks[12], Tick::Clock(Clock { at: second_day }));
        assert_eq!(ticks[11].at(), Some(second_day));
        assert_eq!(due(&mut playback, Duration::from_secs(9)), [], "paused again");
        assert!(playback.run_to(at("2008-08-01T04:00:00Z")).is_err());
    }

    #[test]
    fn however_it_is_stepped_the_same_ticks_come_in_the_same_order() {
        let whole = due(&mut autumn(Speed::Max, false), Duration::ZERO);
        let mut slow = autumn("3600x".parse().unwrap(), false);
        let mut ticks = Vec::new();
        // a market hour a step, from August to the end of the year
        for hour in 0..24 * 160 {
            if hour == 1000 {
                slow.pause();
                assert_eq!(due(&mut slow, Duration::from_secs(1)), []);
                slow.resume();
            }
            ticks.extend(due(&mut slow, Duration::from_secs(1)));
        }
        assert_eq!(ticks.len(), whole.len());
        assert_eq!(ticks, whole);
    }

    #[test]
    fn a_slow_source_holds_the_next_day_back() {
        let mut playback = autumn("3600x".parse().unwrap(), false);
        assert_eq!(due(&mut playback, Duration::ZERO).len(), 8, "instruments and the first day");
        // Friday to Monday is 72 market hours
        assert_eq!(due(&mut playback, Duration::from_secs(71)).len(), 0);
        assert_eq!(due(&mut playback, Duration::from_secs(1)).len(), 4);
    }

    #[test]
    fn after_its_end_a_recording_still_runs_its_clock_to_an_instant() {
        let mut playback = autumn(Speed::Max, false);
        due(&mut playback, Duration::ZERO);
        let later = at("2009-01-05T12:00:00Z");
        playback.run_to(later).unwrap();
        assert_eq!(due(&mut playback, Duration::ZERO), [Tick::Clock(Clock { at: later })]);
    }
}
