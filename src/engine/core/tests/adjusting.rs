//! Options whose underlying is split, each by a case worked by hand, and restarts in the middle.

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId};
use aggregates::order::{CancelReason, OrderStatus, TimeInForce};
use aggregates::stream::{Event, StreamId};

use super::super::{Reason, Record, Settings};
use super::desk::{AAPL, Desk};
use crate::market::calendar::Calendar;

// 2026-11-23 is a Monday; the contracts expire on Friday, December 18.
const C200: &str = "AAPL261218C00200000";
const C50: &str = "AAPL261218C00050000";
const C12_50: &str = "AAPL261218C00012500";
const P180: &str = "AAPL261218P00180000";
const P45: &str = "AAPL261218P00045000";

fn price(desk: &mut Desk, symbol: &str, bid: &str, ask: &str, at: &str) {
    desk.line(&format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"50","ask":"{ask}","ask_size":"50","at":"2026-{at}Z"}}"#
    ));
}

fn split(numerator: &str, denominator: &str) -> String {
    format!(
        r#"{{"t":"split","symbol":"AAPL","numerator":"{numerator}","denominator":"{denominator}","id":"s1","at":"2026-11-24T05:00:00Z"}}"#
    )
}

fn held(desk: &Desk, account: AccountId, symbol: &str) -> String {
    desk.held_of(account, InstrumentId::of_symbol(symbol))
}

fn quoted(mut desk: Desk) -> Desk {
    desk.quote("199.99", 500, "200.00", 500, "2026-11-23T15:00:00Z");
    price(&mut desk, C200, "5.00", "5.10", "11-23T15:00:00");
    price(&mut desk, C50, "150.00", "151.00", "11-23T15:00:00");
    price(&mut desk, P180, "1.00", "1.25", "11-23T15:00:00");
    desk
}

/// One holds nothing but options, one a strangle short beside shares, one has nothing but an order.
fn holders(desk: &mut Desk) -> ([AccountId; 3], u128) {
    let accounts = [(); 3].map(|()| desk.options_account(AccountKind::Margin, "500000"));
    let [one, two, three] = accounts;
    desk.place_legs(one, 2, None, &[("buy", 1, C200)], TimeInForce::Day);
    desk.place_legs(one, 1, None, &[("buy", 1, C50)], TimeInForce::Day);
    desk.place(two, "buy 100");
    desk.place_legs(two, 1, None, &[("sell", 1, C200)], TimeInForce::Day);
    desk.place_legs(two, 3, None, &[("sell", 1, P180)], TimeInForce::Day);
    let order = desk.place_legs(three, 1, Some("2.00"), &[("buy", 1, C200)], TimeInForce::Gtc);
    desk.place_legs(
        three,
        1,
        Some("1.00"),
        &[("buy", 1, C200), ("sell", 1, P180)],
        TimeInForce::Gtc,
    );
    (accounts, order)
}

#[test]
fn contracts_become_what_the_market_has_never_listed_and_their_quotes_are_void() {
    let mut desk = quoted(Desk::nyse());
    let ([one, two, three], order) = holders(&mut desk);
    let cash = [one, two, three].map(|account| desk.cash(account));
    desk.line(&split("4", "1"));
    for (account, symbol, qty) in [
        (one, C200, "0"),
        (one, C50, "8"),
        (one, C12_50, "4"),
        (two, AAPL, "400"),
        (two, C50, "-4"),
        (two, P45, "-12"),
        (two, P180, "0"),
    ] {
        assert_eq!(held(&desk, account, symbol), qty, "{symbol}");
    }
    assert_eq!([one, two, three].map(|account| desk.cash(account)), cash);
    for order in [order, order + 1] {
        assert_eq!(desk.reason(order), Some(CancelReason::ContractAdjusted));
    }
    let words = desk.market_events();
    let listed = ["SplitBegun", "InstrumentListed", "InstrumentListed", "SplitCompleted"];
    assert_eq!(words[words.len() - 4..], listed, "{C50} was listed before");
    for (symbol, into) in [(C200, Some(C50)), (C50, None), (P180, Some(P45))] {
        let glance = desk.core.glance(symbol).unwrap();
        let void = glance.quote.is_none() && glance.last.is_none();
        assert_eq!(void, symbol != C50, "{symbol}, which another may have become");
        let became = glance.adjusted.and_then(|it| it.into).map(|(_, symbol)| symbol);
        assert_eq!(became.as_deref(), into, "{symbol}");
    }
    // What was quoted of a contract values what it has become.
    for (symbol, bid) in [(C50, "1.25"), (C12_50, "37.50"), (P45, "0.25")] {
        let quote = desk.core.glance(symbol).unwrap().quote.unwrap();
        assert_eq!((quote.bid.to_string().as_str(), quote.eligible), (bid, false), "{symbol}");
    }
    let state = desk.core.state();
    let of = InstrumentId::of_symbol;
    let on = &state.held_on[&of(AAPL)];
    assert_eq!(on.iter().copied().collect::<Vec<_>>().len(), 3);
    assert!([C50, C12_50, P45].iter().all(|symbol| on.contains(&of(symbol))));
    let events = desk.log.len();
    desk.rebuild();
    desk.reload();
    assert_eq!(desk.log.len(), events, "it is done once");

    // It can be closed, and what is held of it expires.
    price(&mut desk, AAPL, "49.99", "50.00", "11-24T15:00:00");
    price(&mut desk, C50, "1.30", "1.40", "11-24T15:00:00");
    let close = desk.place_legs(one, 3, None, &[("sell", 1, C50)], TimeInForce::Day);
    assert_eq!(desk.status(close), OrderStatus::Filled);
    assert_eq!(held(&desk, one, C50), "5");
    desk.line(
        r#"{"t":"trade","symbol":"AAPL","price":"60.00","size":"5","at":"2026-12-18T20:59:59Z"}"#,
    );
    desk.clock("2026-12-18T21:00:01Z");
    for (account, symbol) in [(one, C50), (one, C12_50), (two, C50), (two, P45)] {
        assert_eq!(held(&desk, account, symbol), "0", "{symbol}");
    }
    assert_eq!((desk.held(one).as_str(), desk.held(two).as_str()), ("900", "0"));
    assert!(desk.core.state().expiring.is_empty());
}

#[test]
fn what_a_line_said_of_a_contract_holds_for_what_it_becomes() {
    let mut desk = Desk::nyse();
    let (option, becomes) = ("BRKB261218C00500000", "BRKB261218C00250000");
    desk.line(r#"{"t":"quote","symbol":"BRK.B","bid":"499.00","bid_size":"50","ask":"500.00","ask_size":"50","at":"2026-11-23T15:00:00Z"}"#);
    desk.line(&format!(
        r#"{{"t":"instrument","symbol":"{option}","kind":"option","underlying":"BRK.B","style":"european","settlement":"physical"}}"#
    ));
    price(&mut desk, option, "9.00", "9.10", "11-23T15:00:00");
    let account = desk.options_account(AccountKind::Cash, "5000");
    desk.place_legs(account, 1, None, &[("buy", 1, option)], TimeInForce::Day);
    desk.line(&split("2", "1").replace("AAPL", "BRK.B"));
    assert_eq!(held(&desk, account, becomes), "2");
    let listed = desk.core.glance(becomes).unwrap().option.unwrap();
    assert_eq!(listed.underlying, "BRK.B");
    let line = format!(
        r#"{{"t":"chain","underlying":"BRK.B","style":"european","settlement":"physical","contracts":["{becomes}"]}}"#
    );
    assert_eq!(desk.line(&line).ignored, Some(Reason::Duplicate), "it says what is known");
    desk.rebuild();
    price(&mut desk, becomes, "4.50", "4.60", "11-24T15:00:00");
    let close = desk.place_legs(account, 2, None, &[("sell", 1, becomes)], TimeInForce::Day);
    assert_eq!(desk.status(close), OrderStatus::Filled);
}

#[test]
fn a_split_that_makes_no_whole_contracts_pays_them_out_in_the_middle_of_their_last_quotes() {
    for (numerator, denominator, shares) in [("3", "2", "150"), ("1", "10", "10")] {
        let mut desk = quoted(Desk::nyse());
        let ([one, two, _], order) = holders(&mut desk);
        desk.line(&split(numerator, denominator));
        // 500,000 - 1,020 - 15,100 + 2 * 505 + 15,050
        assert_eq!(desk.cash(one), "499940.00");
        // 500,000 - 20,000 + 500 + 300 - 505 - 3 * 112.50
        assert_eq!(desk.cash(two), "479957.50");
        assert_eq!(held(&desk, two, AAPL), shares);
        for (account, symbol) in [(one, C200), (one, C50), (two, C200), (two, P180)] {
            assert_eq!(held(&desk, account, symbol), "0", "{symbol}");
        }
        assert_eq!(desk.reason(order), Some(CancelReason::ContractAdjusted));
        assert!(desk.core.state().held_on.is_empty());
        desk.rebuild();
    }
}

#[test]
fn a_restart_between_any_two_steps_of_a_split_goes_on_with_the_next() {
    for (numerator, denominator, most) in [("4", "1", 7), ("3", "2", 5)] {
        let ended = |steps: Option<usize>| {
            let mut desk = quoted(Desk::nyse());
            holders(&mut desk);
            let line = split(numerator, denominator);
            desk.line_or_restart(&line, steps);
            desk.clock("2026-11-24T15:00:00Z");
            desk.log.iter().map(|(stream, event)| (*stream, event.clone())).collect::<Vec<_>>()
        };
        let whole: Vec<(StreamId, Event)> = ended(None);
        for steps in 0..=most {
            assert_eq!(ended(Some(steps)), whole, "{numerator}:{denominator} after {steps} steps");
        }
    }
}

#[test]
fn a_split_of_what_only_options_are_held_on_waits_for_a_price_of_it() {
    let mut desk = Desk::nyse();
    price(&mut desk, C200, "5.00", "5.10", "11-23T15:00:00");
    let account = desk.options_account(AccountKind::Cash, "5000");
    desk.place_legs(account, 1, None, &[("buy", 1, C200)], TimeInForce::Day);
    assert_eq!(desk.line(&split("3", "2")).ignored, Some(Reason::Unpriced));
    price(&mut desk, AAPL, "199.99", "200.00", "11-23T16:00:00");
    assert_eq!(desk.line(&split("3", "2")).ignored, None);
    // 5,000 - 510 + 505
    assert_eq!(desk.cash(account), "4995.00");
}

#[test]
fn what_passed_unrecorded_of_options_is_void_too() {
    let settings = Settings { max_quote_age: None, ..Settings::new(Calendar::nyse()) };
    let mut desk = quoted(Desk::new(Settings { record: Record::Working, ..settings }));
    assert!(desk.core.glance(C200).unwrap().quote.is_some());
    desk.line(&split("4", "1"));
    assert!(desk.core.glance(C200).unwrap().quote.is_none());
    desk.rebuild();
}
