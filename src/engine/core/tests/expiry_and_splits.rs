//! Contracts whose last session is over when what they are on is split: they end in shares of before.

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId};
use aggregates::instrument::InstrumentEvent;
use aggregates::order::TimeInForce;
use aggregates::stream::{Event, StreamId};

use super::super::{EngineState, Reason};
use super::desk::{AAPL, Desk};
use super::expiry::{C190, end_of, held, of_contracts, price, print, silent_on_friday};

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

/// A call of 190 is held, and what it is on has been quoted and had no price before its close.
fn without_a_price() -> (Desk, AccountId) {
    let mut desk = super::expiry::quoted();
    let account = desk.options_account(AccountKind::Cash, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    desk.clock("2026-11-27T22:00:00Z");
    (desk, account)
}

/// Half of what there is becomes twice as many.
fn twice(id: &str, at: &str) -> String {
    format!(
        r#"{{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"{id}","at":"{at}"}}"#
    )
}

/// The daily bar of Friday, in its shares.
fn friday(desk: &mut Desk) -> Option<Reason> {
    desk.daily_bar("2026-11-27", ["191.00", "193.00", "190.00", "192.50"], 1000).ignored
}

/// A call of 190 becomes 4 of 47.50, and 192.50 is 48.125: each delivers 100 shares for 4,750 and was worth 62.50.
#[test]
fn the_daily_bar_of_their_session_ends_contracts_without_any_other_price_after_splits() {
    for (monday, restarts) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut desk, account) = without_a_price();
        let step = |desk: &mut Desk| {
            if restarts {
                desk.rebuild();
            }
        };
        desk.line(&twice("s1", "2026-11-28T05:00:00Z"));
        desk.line(&twice("s2", "2026-11-29T05:00:00Z"));
        assert_eq!(held(&desk, account, C47_50), "4");
        if monday {
            print(&mut desk, "40.00", "30T15:00:00");
            print(&mut desk, "41.00", "30T20:59:59");
            desk.clock("2026-11-30T21:00:01Z");
        }
        step(&mut desk);
        assert!(of_contracts(&desk).is_empty());
        assert_eq!(desk.core.contracts_without_close().count(), 1);
        let before = desk.core.state().clone();
        assert_eq!(friday(&mut desk), None);
        let issue = |state: &EngineState| state.issues[&InstrumentId::of_symbol(AAPL)].clone();
        assert_eq!(issue(desk.core.state()), issue(&before), "it is a price of nothing else");
        assert_eq!(desk.core.state().clock, before.clock);
        assert_eq!(desk.core.contracts_without_close().count(), 0);
        step(&mut desk);
        assert_eq!(friday(&mut desk), Some(Reason::OutOfOrder), "nobody waits for it any more");
        print(&mut desk, "42.00", "30T22:00:00");
        let close = "2026-11-27T18:00:00Z".parse().unwrap();
        assert_eq!(end_of(&desk), ("48.125".to_owned(), Some(close)));
        // 50,000 less 200 for the call and 19,000 for 400 shares.
        assert_eq!((desk.cash(account), desk.held(account)), ("30800.00".into(), "400".into()));
        assert_eq!(held(&desk, account, C47_50), "0");
        let stock = StreamId::Instrument(InstrumentId::of_symbol(AAPL));
        let of_stock = desk.log.iter().filter(|(stream, _)| *stream == stock);
        let closes = of_stock.filter(|(_, event)| match event {
            Event::Instrument(InstrumentEvent::OfficiallyClosed { session, .. }) => {
                session.to_string() == "2026-11-27"
            }
            _ => false,
        });
        assert_eq!(closes.count(), 0, "Friday did not close in shares of Monday");
        assert!(desk.core.state().last_before_end.is_empty(), "nothing is kept of it");
    }
}

/// Without a split they end at it too, once what they are on has closed since.
#[test]
fn the_daily_bar_of_their_session_is_taken_after_a_later_bar() {
    for restarts in [false, true] {
        let (mut desk, account) = without_a_price();
        desk.daily_bar("2026-11-30", ["170.00", "171.00", "169.00", "170.00"], 1000);
        desk.clock("2026-11-30T21:00:01Z");
        assert_eq!(desk.core.contracts_without_close().count(), 1);
        // That of a day on which nothing ended is of no use.
        let thursday = desk.daily_bar("2026-11-25", ["1", "1", "1", "1"], 1000);
        assert_eq!(thursday.ignored, Some(Reason::OutOfOrder));
        assert_eq!(friday(&mut desk), None);
        if restarts {
            desk.rebuild();
        }
        desk.clock("2026-11-30T21:00:02Z");
        let close = "2026-11-27T18:00:00Z".parse().unwrap();
        assert_eq!(end_of(&desk), ("192.50".to_owned(), Some(close)));
        assert_eq!((desk.cash(account), desk.held(account)), ("30800.00".into(), "100".into()));
    }
}

#[test]
fn a_restart_between_any_two_steps_of_that_bar_goes_on_with_the_next() {
    let ended = |steps: Option<usize>| {
        let (mut desk, account) = without_a_price();
        desk.line(&twice("s1", "2026-11-28T05:00:00Z"));
        assert_eq!(friday(&mut desk), None);
        desk.line_or_restart(r#"{"t":"clock","at":"2026-11-30T15:00:00Z"}"#, steps);
        desk.clock("2026-11-30T15:00:01Z");
        assert_eq!((desk.cash(account), desk.held(account)), ("30800.00".into(), "200".into()));
        desk.log.clone()
    };
    let whole = ended(None);
    for steps in 0..5 {
        assert!(ended(Some(steps)) == whole, "after {steps} steps");
    }
}

#[test]
fn contracts_without_any_price_up_to_their_close_follow_the_split() {
    let (mut desk, account) = without_a_price();
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

/// A split that nothing could price is left off, and sent again after a quote: the contract is 100 shares at 190 before it and
/// 2 times 100 at 95 after it, and the bar of its session is in shares of that time either way.
#[test]
fn a_split_that_was_left_off_comes_to_the_same_before_the_daily_bar_of_their_session_and_after_it()
{
    let bid = r#"{"t":"quote","symbol":"AAPL","bid":"94.00","bid_size":"100","ask":"94.02","ask_size":"100","at":"2026-11-30T15:00:00Z"}"#;
    let sent = twice("s1", "2026-11-28T05:00:00Z");
    for split_first in [true, false] {
        let mut desk = Desk::nyse();
        price(&mut desk, C190, "1.90", "2.00", "27T15:00:00");
        let account = desk.options_account(AccountKind::Cash, "50000");
        desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
        desk.clock("2026-11-27T22:00:00Z");
        assert_eq!(desk.line(&sent).ignored, Some(Reason::Unpriced));
        desk.line(bid);
        if split_first {
            assert_eq!(desk.line(&sent).ignored, None);
            assert_eq!(friday(&mut desk), None);
            desk.clock("2026-11-30T21:00:01Z");
        } else {
            assert_eq!(friday(&mut desk), None);
            desk.clock("2026-11-30T21:00:01Z");
            assert_eq!(desk.held(account), "100");
            assert_eq!(desk.line(&sent).ignored, None);
        }
        assert_eq!((desk.cash(account), desk.held(account)), ("30800.00".into(), "200".into()));
        desk.rebuild();
    }
}
