//! Settings that change between two starts: each line is worked again by those of its time.

use aggregates::order::OrderStatus;

use super::super::{Core, EngineState, Reason, Settings};
use super::desk::{Desk, trade};
use crate::market::calendar::Calendar;

fn always() -> Settings {
    Settings { max_quote_age: None, ..Settings::new(Calendar::always()) }
}

#[test]
fn a_restart_with_other_hours_changes_what_comes_and_nothing_that_was() {
    let mut desk = Desk::nyse();
    let one = {
        desk.quote("99.00", 5000, "100.00", 5000, "2026-11-23T15:00:00Z");
        desk.account("100000")
    };
    desk.clock("2026-11-23T22:00:00Z");
    let waits = desk.place(one, "buy 10");
    desk.restart_by(always());
    assert_eq!(
        desk.status(waits),
        OrderStatus::Accepted,
        "it was placed in a market that was closed"
    );
    desk.quote("99.00", 5000, "101.00", 5000, "2026-11-23T23:00:00Z");
    assert_eq!(desk.trades(), [trade(waits, "101.00", "10")], "open at 18:00 in New York");
    let marked =
        |desk: &Desk| -> Vec<bool> { desk.tape.iter().map(|(_, by, _, _)| by.is_some()).collect() };
    assert_eq!(marked(&desk), [true, false, true], "the tape says by what, where it changes");
    desk.restart_by(always());
    desk.quote("99.00", 5000, "102.00", 5000, "2026-11-23T23:01:00Z");
    assert_eq!(marked(&desk), [true, false, true, false]);
    desk.reload();
    let now = desk.core.state().clone();
    desk.rebuild();
    assert_eq!(desk.core.state(), &now);
}

#[test]
fn what_stands_on_the_tape_is_worked_again_also_where_it_would_not_be_taken_today() {
    let mut desk = Desk::new(always());
    // Under `always` a daily bar begins at midnight, so that 05:00 in New York comes after it.
    desk.tick_alone(&bar());
    desk.clock("2026-11-23T10:00:00Z");
    let (settings, mut places) = (Settings::new(Calendar::nyse()), Vec::new());
    let mut core = Core::new(settings, EngineState::default());
    // A tape of before it said which settings were in force.
    for (_, _, _, tick) in &desk.tape {
        places.push(core.line_again("feed", tick));
    }
    assert_eq!(places, [(1, None), (2, Some(Reason::OutOfOrder)), (3, None)]);
    assert_eq!(core.state().clock, desk.core.state().clock);
}

fn bar() -> crate::market::tick::Tick {
    let line = br#"{"t":"bar","symbol":"AAPL","open":"9","high":"9","low":"9","close":"9","volume":"5","at":"2026-11-23T05:00:00Z","span":"1d"}"#;
    crate::market::reading::parse_line(line, 1).unwrap().unwrap()
}
