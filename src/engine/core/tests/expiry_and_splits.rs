//! Contracts whose last session is over when what they are on is split: they end in shares of before.

use aggregates::id::AccountId;
use aggregates::instrument::InstrumentEvent;
use aggregates::stream::Event;

use super::super::Reason;
use super::desk::Desk;
use super::expiry::{C190, end_of, held, of_contracts, print, silent_on_friday};

const C47_50: &str = "AAPL261127C00047500";

fn split(at: &str) -> String {
    format!(
        r#"{{"t":"split","symbol":"AAPL","numerator":"4","denominator":"1","id":"s1","at":"{at}"}}"#
    )
}

/// The words of what happened to the market, from the first of these on.
fn market_since(desk: &Desk, word: &str) -> Vec<String> {
    desk.market_events().into_iter().skip_while(|it| it != word).collect()
}

fn has_ended(desk: &Desk, account: AccountId) {
    let wednesday = "2026-11-25T20:59:59Z".parse().unwrap();
    assert_eq!(end_of(desk), ("194.00".to_owned(), Some(wednesday)));
    // 50,000 less 200 for the call and 19,000 for 100 shares, of which 4 have been made each.
    assert_eq!((desk.cash(account), desk.held(account)), ("30800.00".into(), "400".into()));
    assert_eq!((held(desk, account, C190), held(desk, account, C47_50)), ("0".into(), "0".into()));
    let words = ["ContractExpired", "ContractSettled", "SplitBegun", "SplitCompleted"];
    assert_eq!(market_since(desk, "ContractExpired"), words);
}

#[test]
fn contracts_that_wait_for_their_close_end_before_a_split_of_the_day_after() {
    let (mut desk, account) = silent_on_friday();
    desk.clock("2026-11-27T22:00:00Z");
    assert_eq!(desk.core.contracts_without_close().count(), 1);
    desk.line(&split("2026-11-28T05:00:00Z"));
    has_ended(&desk, account);
    // The close of Friday is in shares that are no more.
    let late = desk.daily_bar("2026-11-27", ["191.00", "193.00", "190.00", "192.50"], 1000);
    assert_eq!(late.ignored, Some(Reason::OutOfOrder));
    desk.rebuild();
    has_ended(&desk, account);
}

#[test]
fn the_close_that_is_known_ends_them_before_the_split() {
    let (mut desk, account) = silent_on_friday();
    desk.clock("2026-11-27T22:00:00Z");
    desk.daily_bar("2026-11-27", ["191.00", "193.00", "190.00", "192.50"], 1000);
    desk.line(&split("2026-11-28T05:00:00Z"));
    assert_eq!(end_of(&desk), ("192.50".to_owned(), None));
    assert_eq!((desk.cash(account), desk.held(account)), ("30800.00".into(), "400".into()));
}

#[test]
fn a_restart_between_any_two_steps_of_that_goes_on_with_the_next() {
    let ended = |steps: Option<usize>| {
        let (mut desk, account) = silent_on_friday();
        desk.clock("2026-11-27T22:00:00Z");
        let line = split("2026-11-28T05:00:00Z");
        desk.line_or_restart(&line, steps);
        desk.clock("2026-11-30T15:00:00Z");
        has_ended(&desk, account);
        desk.log.clone()
    };
    let whole = ended(None);
    for steps in 0..6 {
        assert!(ended(Some(steps)) == whole, "after {steps} steps");
    }
}

/// It was in force on their last day: what is told of that day is in shares of after it.
#[test]
fn a_split_that_is_told_late_but_was_in_force_before_their_close_makes_others_of_them() {
    for restarts in [false, true] {
        let (mut desk, account) = silent_on_friday();
        print(&mut desk, "192.00", "30T15:00:00");
        desk.line(&split("2026-11-27T05:00:00Z"));
        assert_eq!(held(&desk, account, C47_50), "4");
        if restarts {
            desk.rebuild();
        }
        assert!(of_contracts(&desk).is_empty());
        print(&mut desk, "49.00", "30T20:59:59");
        desk.clock("2026-11-30T21:00:01Z");
        // The last price before Friday's close was Wednesday's, of shares that have become 4.
        let wednesday = "2026-11-25T20:59:59Z".parse().unwrap();
        assert_eq!(end_of(&desk), ("48.50".to_owned(), Some(wednesday)));
        assert_eq!((desk.cash(account), desk.held(account)), ("30800.00".into(), "400".into()));
        assert!(desk.core.state().last_before_end.is_empty(), "nothing is kept of it");
    }
}

#[test]
fn contracts_without_any_price_up_to_their_close_follow_the_split() {
    let mut desk = super::expiry::quoted();
    let account = desk.options_account(aggregates::account::AccountKind::Cash, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, C190)], aggregates::order::TimeInForce::Day);
    desk.clock("2026-11-27T22:00:00Z");
    desk.line(&split("2026-11-28T05:00:00Z"));
    assert_eq!(
        (held(&desk, account, C190), held(&desk, account, C47_50)),
        ("0".into(), "4".into())
    );
    let begun = desk.log.iter().any(|(_, event)| {
        matches!(event, Event::Instrument(InstrumentEvent::SplitCompleted { .. }))
    });
    assert!(begun, "nobody is held up");
}
