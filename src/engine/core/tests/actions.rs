//! Splits and dividends on positions and open orders, and restarts in the middle of them.

use aggregates::id::AccountId;
use aggregates::instrument::InstrumentEvent;
use aggregates::order::{CancelReason, OrderStatus};
use aggregates::stream::Event;

use super::super::Reason;
use super::desk::{Desk, trade};

/// Two accounts that hold 100 and 33 shares, bought at 100, with orders resting around it.
fn holders() -> (Desk, AccountId, AccountId) {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 5000, "100.00", 5000, "2026-11-23T15:00:00Z");
    let (one, two) = (desk.account("100000"), desk.account("100000"));
    desk.place(one, "buy 100");
    desk.place(two, "buy 33");
    (desk, one, two)
}

fn split(numerator: &str, denominator: &str) -> String {
    format!(
        r#"{{"t":"split","symbol":"AAPL","numerator":"{numerator}","denominator":"{denominator}","id":"s1","at":"2026-11-24T05:00:00Z"}}"#
    )
}

#[test]
fn a_split_multiplies_holdings_and_open_orders_and_divides_prices() {
    let (mut desk, one, two) = holders();
    desk.place(one, "buy 10 @ 90.01 gtc");
    desk.place(two, "sell 33 @ 120.01 gtc");
    let line = split("4", "1");
    desk.line(&line);
    assert_eq!((desk.held(one), desk.held(two)), ("400".into(), "132".into()));
    let buy = desk.order(3).spec().unwrap();
    assert_eq!(
        (buy.qty.to_string(), buy.limit_price.unwrap().to_string()),
        ("40".into(), "22.50".into())
    );
    let sell = desk.order(4).spec().unwrap();
    assert_eq!(
        (sell.qty.to_string(), sell.limit_price.unwrap().to_string()),
        ("132".into(), "30.01".into())
    );
    assert_eq!(desk.market_events()[1..], ["SplitBegun", "SplitCompleted"]);
    let log = desk.log.len();
    assert!(desk.line(&line).ignored.is_some(), "the same split again");
    assert_eq!(desk.log.len(), log);
    desk.quote("22.00", 50, "22.50", 50, "2026-11-24T15:00:00Z");
    assert_eq!(desk.trades()[2..], [trade(3, "22.50", "40")]);
}

#[test]
fn what_is_told_late_of_the_time_before_a_split_is_in_shares_that_are_no_more_and_left_off() {
    let (mut desk, _, two) = holders();
    desk.line(&split("4", "1"));
    desk.place(two, "sell 4 @ 90.00 gtc");
    for late in [
        r#"{"t":"quote","symbol":"AAPL","bid":"99.00","bid_size":"5","ask":"100.00","ask_size":"5","at":"2026-11-23T20:00:00Z"}"#,
        r#"{"t":"trade","symbol":"AAPL","price":"99.00","size":"1","at":"2026-11-23T20:00:00Z"}"#,
        r#"{"t":"bar","symbol":"AAPL","span":"1d","open":"99.00","high":"101.00","low":"98.00","close":"100.00","volume":"1000","at":"2026-11-23T05:00:00Z"}"#,
    ] {
        assert_eq!(desk.line(late).ignored, Some(Reason::OutOfOrder), "{late}");
    }
    assert_eq!(desk.trades().len(), 2, "it fills nothing");
}

#[test]
fn a_reverse_split_cancels_open_orders_and_pays_fractions_in_cash() {
    let (mut desk, _, two) = holders();
    desk.line(
        r#"{"t":"trade","symbol":"AAPL","price":"99.00","size":"1","at":"2026-11-23T20:00:00Z"}"#,
    );
    desk.place(two, "sell 10 @ 120.00 gtc");
    desk.line(&split("1", "10"));
    assert_eq!(desk.held(two), "3");
    assert_eq!(desk.reason(3), Some(CancelReason::ReverseSplit));
    // 100,000 - 3,300 + 0.3 * 990
    assert_eq!(desk.cash(two), "96997.00");
}

#[test]
fn a_fraction_of_what_has_never_traded_is_paid_at_the_bid_and_the_symbol_opens_again() {
    let (mut desk, _, two) = holders();
    desk.line(&split("1", "10"));
    assert_eq!(desk.held(two), "3");
    // 100,000 - 3,300 + 0.3 * 990
    assert_eq!(desk.cash(two), "96997.00");
    assert_eq!(desk.market_events()[1..], ["SplitBegun", "SplitCompleted"]);
}

#[test]
fn a_fraction_that_a_second_split_leaves_is_paid_by_what_was_quoted_before_the_first() {
    let (mut desk, _, two) = holders();
    desk.line(&split("4", "1"));
    let again = split("1", "10").replace("s1", "s2").replace("-24T", "-25T");
    assert_eq!(desk.line(&again).ignored, None);
    assert_eq!(desk.held(two), "13");
    // 100,000 - 3,300 + 0.2 * 247.50: 132 shares at 24.75 have become 13.2.
    assert_eq!(desk.cash(two), "96749.50");
}

#[test]
fn a_holding_that_a_split_would_take_beyond_its_bound_stays_and_holds_nobody_up() {
    let mut desk = Desk::unlimited();
    desk.quote("99.00", 5, "100.00", 5, "2026-11-23T15:00:00Z");
    let (one, much) = (desk.account("100000"), desk.account("1000000000000"));
    desk.place(one, "buy 100");
    desk.place(much, "buy 900000000");
    let (sell, buy) =
        (desk.place(much, "sell 5 @ 120.00 gtc"), desk.place(much, "buy 5 @ 90.00 gtc"));
    desk.line(&split("4", "1"));
    assert_eq!((desk.held(one), desk.held(much)), ("400".into(), "900000000".into()));
    for order in [sell, buy] {
        assert_eq!(desk.reason(order), Some(CancelReason::SplitOutOfBounds));
    }
    assert_eq!(desk.market_events()[1..], ["SplitBegun", "SplitCompleted"]);
    desk.quote("24.00", 5, "25.00", 5, "2026-11-24T15:00:00Z");
    let out = desk.place(much, "sell 900000000");
    assert_eq!(desk.status(out), OrderStatus::Filled, "all of it is free");
    desk.rebuild();
}

#[test]
fn a_restart_in_the_middle_of_a_split_finishes_it() {
    for stop_after in 0..6 {
        let (mut desk, one, two) = holders();
        desk.place(two, "sell 33 @ 120.01 gtc");
        let line = split("4", "1");
        desk.line_until(&line, stop_after);
        desk.rebuild();
        assert_eq!((desk.held(one), desk.held(two)), ("400".into(), "132".into()));
        assert_eq!(desk.order(3).spec().unwrap().qty.to_string(), "132");
        assert_eq!(desk.market_events()[1..], ["SplitBegun", "SplitCompleted"], "{stop_after}");
    }
}

const DIVIDEND: &str = r#"{"t":"dividend","symbol":"AAPL","amount":"0.50","ex":"2026-11-24","pay":"2026-12-01","id":"d1","at":"2026-11-23T16:00:00Z"}"#;

#[test]
fn a_dividend_goes_to_who_held_at_the_close_before_the_ex_date_and_is_paid_on_its_day() {
    let (mut desk, one, two) = holders();
    desk.line(DIVIDEND);
    desk.clock("2026-11-23T22:00:00Z");
    desk.quote("99.00", 5000, "100.00", 5000, "2026-11-24T14:30:00Z");
    let late = desk.account("100000");
    desk.place(two, "sell 33");
    desk.place(late, "buy 10");
    assert_eq!(desk.cash(one), "90000.00");
    desk.clock("2026-12-01T04:59:59Z");
    assert_eq!(desk.cash(one), "90000.00");
    desk.clock("2026-12-01T05:00:00Z");
    assert_eq!(desk.cash(one), "90050.00");
    assert_eq!(desk.cash(two), "99983.50", "entitled, though sold since");
    assert_eq!(desk.cash(late), "99000.00");
    let events = desk.market_events();
    let expected = ["DividendDeclared", "DividendAccrualCompleted", "DividendCompleted"];
    assert_eq!(events[1..], expected);
}

#[test]
fn a_dividend_that_is_told_late_goes_to_who_held_at_the_close_before_its_ex_date_all_the_same() {
    let (mut desk, one, two) = holders();
    desk.quote("99.00", 5000, "100.00", 5000, "2026-11-24T15:00:00Z");
    let late = desk.account("100000");
    desk.place(two, "sell 33");
    desk.place(late, "buy 10");
    desk.place(one, "buy 20");
    desk.clock("2026-11-25T15:00:00Z");
    let worked = desk.line(&DIVIDEND.replace("2026-11-23T16", "2026-11-24T16"));
    assert_eq!(worked.ignored, None);
    desk.clock("2026-12-01T05:00:00Z");
    assert_eq!(desk.cash(one), "88050.00", "for 100, not for 120");
    assert_eq!(desk.cash(two), "99983.50", "sold on the ex date");
    assert_eq!(desk.cash(late), "99000.00", "bought on the ex date");
    desk.reload();
    desk.rebuild();
}

#[test]
fn a_dividend_from_before_the_holdings_that_are_known_is_left_off_with_its_reason() {
    let (mut desk, one, _) = holders();
    desk.clock("2026-12-28T15:00:00Z");
    let log = desk.log.len();
    let worked = desk.line(DIVIDEND);
    assert_eq!((worked.ignored, worked.place), (Some(Reason::TooLate), None));
    assert_eq!((desk.cash(one), desk.log.len()), ("90000.00".into(), log));
    let known = DIVIDEND.replace("\"2026-11-24\"", "\"2026-11-27\"");
    assert_eq!(desk.line(&known).ignored, None, "31 days");
    assert_eq!(desk.cash(one), "90050.00", "due at once");
}

#[test]
fn a_restart_at_any_point_of_a_dividend_pays_it_once() {
    for stop_after in 0..8 {
        let (mut desk, one, two) = holders();
        desk.line(DIVIDEND);
        desk.line_until(r#"{"t":"clock","at":"2026-12-01T05:00:00Z"}"#, stop_after);
        desk.rebuild();
        desk.clock("2026-12-01T05:00:01Z");
        assert_eq!((desk.cash(one), desk.cash(two)), ("90050.00".into(), "96716.50".into()));
    }
}

#[test]
fn a_halted_symbol_takes_orders_and_cancels_and_says_so_once() {
    let (mut desk, one, _) = holders();
    let halt = r#"{"t":"status","symbol":"AAPL","state":"halted","reason":"LUDP","at":"2026-11-23T16:00:00Z"}"#;
    desk.line(halt);
    assert!(desk.line(halt).ignored.is_some());
    let n = desk.place(one, "buy 1 gtc");
    assert_eq!(desk.status(n), OrderStatus::Accepted);
    assert!(desk.cancel(one, n));
    assert_eq!(desk.market_events()[1..], ["TradingHalted"]);
}

#[test]
fn a_line_of_any_kind_that_is_sent_again_is_ignored_and_so_is_an_older_one() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 5, "100.00", 5, "2026-11-23T15:00:00Z");
    for line in [
        r#"{"t":"depth","symbol":"AAPL","bids":[["99.00","5"]],"asks":[["100.00","5"]],"at":"AT"}"#,
        r#"{"t":"depth","symbol":"MSFT","bids":[["99.00","5"]],"asks":[["100.00","5"]],"at":"AT"}"#,
        r#"{"t":"luld","symbol":"AAPL","down":"95.00","up":"105.00","at":"AT"}"#,
        r#"{"t":"auction","symbol":"AAPL","kind":"open","price":"99.50","size":"10","at":"AT"}"#,
        r#"{"t":"open_interest","symbol":"AAPL261218C00190000","value":"1200","at":"AT"}"#,
        r#"{"t":"rate","kind":"risk_free","symbol":null,"value":"0.045","at":"AT"}"#,
        r#"{"t":"rate","kind":"dividend_yield","symbol":"AAPL","value":"0.005","at":"AT"}"#,
    ] {
        let told = line.replace("AT", "2026-11-23T15:00:02Z");
        assert_eq!(desk.line(&told).ignored, None, "{told}");
        assert_eq!(desk.line(&told).ignored, Some(Reason::Duplicate), "{told}");
        let older = line.replace("AT", "2026-11-23T15:00:01Z");
        assert_eq!(desk.line(&older).ignored, Some(Reason::OutOfOrder), "{older}");
        desk.reload();
        assert_eq!(desk.line(&told).place, None, "{told}");
    }
    let places = desk.tape.len();
    desk.rebuild();
    assert_eq!(desk.core.state().place, places as u64);
}

#[test]
fn what_is_listed_before_the_market_has_a_time_is_listed_at_none() {
    let mut desk = Desk::nyse();
    desk.line(r#"{"t":"instrument","symbol":"AAPL","name":"Apple Inc.","kind":"stock"}"#);
    let listed = desk.log.iter().find_map(|(_, event)| match event {
        Event::Instrument(InstrumentEvent::InstrumentListed { at, .. }) => Some(*at),
        _ => None,
    });
    assert_eq!(listed, Some(None));
    desk.rebuild();
}

#[test]
fn option_symbols_are_listed_as_options() {
    let mut desk = Desk::nyse();
    desk.line(r#"{"t":"quote","symbol":"AAPL261218C00190000","bid":"1.00","bid_size":"5","ask":"1.10","ask_size":"5","at":"2026-11-23T15:00:00Z"}"#);
    let state = desk.core.state();
    let issue = &state.issues[&state.symbols["AAPL261218C00190000"]];
    assert_eq!(issue.kind, aggregates::instrument::InstrumentKind::Option);
}

#[test]
fn an_options_line_may_come_after_its_quotes_and_then_says_what_it_is_once() {
    let mut desk = Desk::nyse();
    let line = |kind: &str| {
        format!(r#"{{"t":"instrument","symbol":"AAPL261218C00190000","kind":{kind}}}"#)
    };
    let american = line(r#""option","underlying":"AAPL","style":"american""#);
    let ignored = |desk: &mut Desk, line: &str| desk.line(line).ignored;
    desk.line(r#"{"t":"quote","symbol":"AAPL261218C00190000","bid":"1.00","bid_size":"5","ask":"1.10","ask_size":"5","at":"2026-11-23T15:00:00Z"}"#);
    assert_eq!(ignored(&mut desk, &line(r#""stock""#)), Some(Reason::Contradictory));
    assert_eq!(ignored(&mut desk, &american), None);
    assert_eq!(ignored(&mut desk, &american), Some(Reason::Duplicate));
    let european = line(r#""option","underlying":"AAPL","style":"european""#);
    assert_eq!(ignored(&mut desk, &european), Some(Reason::Contradictory));
    assert_eq!(desk.market_events(), ["InstrumentListed"]);
    let known = desk.core.state().clone();
    let terms = known.issues[&known.symbols["AAPL261218C00190000"]].terms.clone();
    assert_eq!(terms.map(|terms| terms.underlying).as_deref(), Some("AAPL"));
    desk.rebuild();
    assert_eq!(desk.core.state().issues, known.issues);
}

#[test]
fn a_chain_lists_its_contracts_together_and_says_of_those_that_quotes_have_listed_what_they_are() {
    let mut desk = Desk::nyse();
    let chain = |style: &str, contracts: &str| {
        format!(
            r#"{{"t":"chain","underlying":"AAPL","style":"{style}","contracts":[{contracts}]}}"#
        )
    };
    let (call, put) = (r#""AAPL261218C00190000""#, r#""AAPL261218P00190000""#);
    desk.line(r#"{"t":"quote","symbol":"AAPL261218C00190000","bid":"1.00","bid_size":"5","ask":"1.10","ask_size":"5","at":"2026-11-23T15:00:00Z"}"#);
    let both = chain("american", &format!("{call},{put}"));
    assert_eq!(desk.line(&both).ignored, None);
    assert_eq!(desk.market_events(), ["InstrumentListed", "InstrumentListed"]);
    let known = desk.core.state().clone();
    for symbol in [call, put] {
        let issue = &known.issues[&known.symbols[symbol.trim_matches('"')]];
        assert_eq!(issue.kind, aggregates::instrument::InstrumentKind::Option);
        let terms = issue.terms.as_ref().unwrap();
        assert_eq!(terms.underlying, "AAPL");
        assert_eq!(terms.style, Some(aggregates::instrument::ExerciseStyle::American));
    }
    let known_call = desk.core.glance("AAPL261218C00190000").unwrap();
    assert_eq!(known_call.quote.unwrap().bid.to_string(), "1.00");
    assert_eq!(desk.line(&both).ignored, Some(Reason::Duplicate));
    assert_eq!(desk.line(&chain("american", put)).ignored, Some(Reason::Duplicate));
    let next = r#""AAPL261218C00195000""#;
    let other = chain("european", &format!("{next},{put}"));
    assert_eq!(desk.line(&other).ignored, Some(Reason::Contradictory));
    assert_eq!(desk.market_events().len(), 2, "nothing of it is listed");
    desk.rebuild();
    assert_eq!(desk.core.state().issues, known.issues);
}

#[test]
fn instruments_may_come_before_the_market_has_a_time() {
    let mut desk = Desk::nyse();
    desk.line(r#"{"t":"instrument","symbol":"AAPL","name":"Apple Inc.","kind":"stock"}"#);
    assert_eq!(desk.core.state().clock, None);
    assert_eq!(desk.market_events(), ["InstrumentListed"]);
    desk.quote("99.00", 5, "100.00", 5, "2026-11-23T15:00:00Z");
    assert_eq!(desk.market_events(), ["InstrumentListed"]);
    desk.rebuild();
    assert!(desk.core.state().clock.is_some());
}

#[test]
fn a_time_that_the_calendar_does_not_know_is_refused_and_leaves_no_trace() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 5, "100.00", 5, "2026-11-23T15:00:00Z");
    let before = desk.core.state().clone();
    let worked = desk.line(r#"{"t":"clock","at":"2199-11-22T15:00:00Z"}"#);
    assert_eq!((worked.place, worked.ignored), (None, Some(Reason::OutsideCalendar)));
    assert_eq!(desk.core.state(), &before);
}
