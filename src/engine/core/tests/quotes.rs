//! Fills on quotes and trades, arrival, sizes, halts, day expiry.

use aggregates::order::{CancelReason, OrderStatus};

use super::super::{Reason, Settings};
use super::desk::{Desk, order_id, trade};
use crate::market::calendar::Calendar;

// 2026-11-23 is a Monday; New York is UTC-5, so the session is 14:30-21:00 UTC.
fn open_desk() -> Desk {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "101.00", 500, "2026-11-23T14:30:00Z");
    desk
}

#[test]
fn an_order_that_has_met_no_quote_gets_the_first_ones_price_and_its_limit_from_then_on() {
    let mut desk = Desk::nyse();
    let print = |desk: &mut Desk, at: &str| {
        let line = format!(
            r#"{{"t":"trade","symbol":"AAPL","price":"101.00","size":"5","at":"2026-11-23T{at}Z"}}"#
        );
        assert!(desk.line(&line).place.is_some());
    };
    print(&mut desk, "15:00:00");
    let account = desk.account("1000000");
    let buy = desk.place(account, "buy 10 @ 100.00 gtc");
    let below = desk.place(account, "buy 10 @ 98.00 gtc");
    print(&mut desk, "15:00:01");
    desk.rebuild();
    desk.quote("98.50", 500, "99.00", 4, "2026-11-23T15:00:02Z");
    assert_eq!(desk.trades(), [trade(buy, "99.00", "4")], "it was never evaluated before");
    desk.reload();
    desk.quote("97.00", 500, "97.50", 500, "2026-11-23T15:00:03Z");
    assert_eq!(desk.trades()[1..], [trade(buy, "100.00", "6"), trade(below, "98.00", "10")]);
    // One that is changed while none stands meets none by that.
    let other = desk.place(account, "buy 10 @ 90.00 gtc");
    let status = |state: &str, at: &str| {
        format!(r#"{{"t":"status","symbol":"AAPL","state":"{state}","at":"2026-11-23T{at}Z"}}"#)
    };
    desk.line(&status("halted", "15:01:00"));
    desk.line(&status("trading", "15:01:01"));
    assert!(desk.replace(account, other, None, Some("95.00")));
    print(&mut desk, "15:01:02");
    desk.quote("93.00", 500, "94.00", 500, "2026-11-23T15:01:03Z");
    assert_eq!(desk.trades()[3..], [trade(other, "94.00", "10")]);
}

#[test]
fn a_market_buy_gets_the_ask_on_arrival_and_a_market_sell_the_bid() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    desk.place(account, "buy 10");
    desk.place(account, "sell 10");
    assert_eq!(desk.trades(), [trade(1, "101.00", "10"), trade(2, "99.00", "10")]);
    assert_eq!(desk.status(2), OrderStatus::Filled);
}

#[test]
fn a_marketable_limit_gets_the_touch_and_a_resting_one_its_limit() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 105.00 day");
    desk.place(account, "buy 10 @ 100.00 day");
    assert_eq!(desk.status(2), OrderStatus::Accepted);
    desk.quote("98.00", 500, "99.50", 500, "2026-11-23T14:31:00Z");
    assert_eq!(desk.trades(), [trade(1, "101.00", "10"), trade(2, "100.00", "10")]);
}

#[test]
fn a_touch_fills_a_limit_on_quotes() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 100.00 day");
    desk.quote("98.00", 500, "100.01", 500, "2026-11-23T14:31:00Z");
    assert_eq!(desk.trades(), []);
    desk.quote("98.00", 500, "100.00", 500, "2026-11-23T14:32:00Z");
    assert_eq!(desk.trades(), [trade(1, "100.00", "10")]);
}

#[test]
fn the_displayed_size_is_shared_in_price_time_order_and_not_refilled_before_the_next_quote() {
    let mut desk = open_desk();
    let account = desk.account("1000000");
    desk.place(account, "buy 100 @ 100.00 gtc");
    desk.place(account, "buy 100 @ 100.50 gtc");
    desk.place(account, "buy 100 @ 100.00 gtc");
    desk.quote("98.00", 500, "100.00", 150, "2026-11-23T14:31:00Z");
    assert_eq!(desk.trades(), [trade(2, "100.50", "100"), trade(1, "100.00", "50")]);
    assert_eq!(desk.status(1), OrderStatus::PartiallyFilled);
    let again = desk.quote("98.00", 500, "100.00", 150, "2026-11-23T14:31:00Z");
    assert_eq!((again.ignored, again.place), (Some(Reason::Duplicate), None));
    desk.place(account, "buy 5");
    assert_eq!(desk.fills().len(), 2, "nothing is left of the quote");
    desk.quote("98.00", 500, "100.00", 120, "2026-11-23T14:32:00Z");
    let fills = desk.trades();
    let next = [trade(4, "100.00", "5"), trade(1, "100.00", "50"), trade(3, "100.00", "65")];
    assert_eq!(fills[2..], next);
}

#[test]
fn a_sell_whose_cash_would_be_beyond_its_bound_ends_and_says_why() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 5000, "100.00", 5000, "2026-11-23T15:00:00Z");
    let rich = desk.account("10000000000000");
    desk.place(rich, "buy 10");
    desk.quote("200.00", 5000, "201.00", 5000, "2026-11-23T15:00:01Z");
    for order in ["sell 10 ioc", "sell 10 fok", "sell 10 day"] {
        let n = desk.place(rich, order);
        assert_eq!(desk.reason(n), Some(CancelReason::AmountOutOfBounds), "{order}");
    }
    let part = desk.place(rich, "sell 4 ioc");
    assert_eq!(desk.trades().last(), Some(&trade(part, "200.00", "4")));
}

#[test]
fn a_quote_from_before_the_open_fills_neither_what_waited_nor_what_is_new() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 5, "100.00", 5, "2026-11-23T14:00:00Z");
    let one = desk.account("100000");
    let waited = desk.place(one, "buy 3");
    desk.clock("2026-11-23T14:30:00Z");
    let new = desk.place(one, "buy 3");
    let now = desk.place(one, "buy 3 ioc");
    assert_eq!(desk.trades(), []);
    assert_eq!(desk.reason(now), Some(CancelReason::ImmediateOrCancel));
    desk.quote("99.00", 5, "101.00", 5, "2026-11-23T14:31:00Z");
    assert_eq!(desk.trades(), [trade(waited, "101.00", "3"), trade(new, "101.00", "2")]);
    desk.clock("2026-11-24T15:00:00Z");
    let later = desk.place(one, "sell 4");
    assert_eq!(desk.trades().last(), Some(&trade(later, "99.00", "4")), "it stands from Monday");
}

#[test]
fn the_unlimited_model_fills_whole() {
    let mut desk = Desk::unlimited();
    desk.quote("99.00", 1, "101.00", 1, "2026-11-23T14:30:00Z");
    let account = desk.account("1000000");
    desk.place(account, "buy 1000");
    assert_eq!(desk.trades(), [trade(1, "101.00", "1000")]);
}

#[test]
fn ioc_fills_what_it_can_and_cancels_the_rest_fok_all_or_nothing() {
    let mut desk = open_desk();
    let account = desk.account("10000000");
    desk.place(account, "buy 501 fok");
    assert_eq!(desk.reason(1), Some(CancelReason::FillOrKill));
    desk.place(account, "buy 300 fok");
    desk.place(account, "buy 300 ioc");
    assert_eq!(desk.trades(), [trade(2, "101.00", "300"), trade(3, "101.00", "200")]);
    assert_eq!(desk.reason(3), Some(CancelReason::ImmediateOrCancel));
    desk.place(account, "buy 10 @ 90.00 ioc");
    assert_eq!(desk.reason(4), Some(CancelReason::ImmediateOrCancel));
}

#[test]
fn a_buy_that_cannot_be_paid_is_canceled_and_leaves_its_size_to_the_next() {
    let mut desk = open_desk();
    let poor = desk.account("1100");
    let rich = desk.account("100000");
    desk.line(r#"{"t":"status","symbol":"AAPL","state":"halted","reason":"LUDP","at":"2026-11-23T14:40:00Z"}"#);
    desk.place(poor, "buy 10 day");
    desk.place(rich, "buy 10 day");
    desk.line(r#"{"t":"status","symbol":"AAPL","state":"trading","at":"2026-11-23T14:45:00Z"}"#);
    desk.quote("110.00", 10, "120.00", 10, "2026-11-23T14:46:00Z");
    assert_eq!(desk.reason(1), Some(CancelReason::InsufficientBuyingPower));
    assert_eq!(desk.trades(), [trade(2, "120.00", "10")]);
}

#[test]
fn quotes_that_are_crossed_one_sided_zero_or_negative_fill_nothing_and_are_counted() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 100.00 day");
    let minute = |n: u32| format!("2026-11-23T14:3{n}:00Z");
    let cases = [
        (("95.00", 5, "94.00", 5), Reason::Crossed),
        (("95.00", 5, "96.00", 0), Reason::OneSided),
        (("0", 5, "96.00", 5), Reason::OneSided),
        (("-1", 5, "96.00", 5), Reason::NonPositive),
    ];
    for (n, ((bid, bid_size, ask, ask_size), reason)) in (1..).zip(cases) {
        let worked = desk.quote(bid, bid_size, ask, ask_size, &minute(n));
        assert_eq!(worked.ignored, Some(reason));
        assert!(worked.place.is_some(), "it moves the clock, so it is on the tape");
    }
    assert_eq!(desk.trades(), []);
    let old = desk.quote("95.00", 5, "96.00", 5, "2026-11-23T14:30:30Z");
    assert_eq!((old.ignored, old.place), (Some(Reason::OutOfOrder), None));
    desk.place(account, "buy 1 day");
    assert_eq!(desk.trades(), [trade(2, "101.00", "1")], "the last valid quote stands");
}

#[test]
fn a_quote_older_than_the_limit_fills_nothing() {
    let mut desk = Desk::new(Settings::new(Calendar::nyse()));
    desk.quote("99.00", 500, "101.00", 500, "2026-11-23T14:30:00Z");
    let account = desk.account("100000");
    desk.clock("2026-11-23T14:31:00Z");
    desk.place(account, "buy 1 day");
    desk.clock("2026-11-23T14:31:01Z");
    desk.place(account, "buy 1 day");
    assert_eq!(desk.trades(), [trade(1, "101.00", "1")]);
    let late = desk.quote("99.00", 500, "101.00", 500, "2026-11-23T14:30:00.5Z");
    assert_eq!(late.ignored, Some(Reason::Stale));
}

#[test]
fn the_first_quote_of_a_session_gives_resting_limits_the_better_price() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 100.00 gtc");
    desk.place(account, "buy 10 @ 95.00 gtc");
    desk.quote("80.00", 500, "81.00", 500, "2026-11-23T22:00:00Z");
    assert_eq!(desk.trades(), [], "the market is closed");
    desk.quote("96.00", 500, "97.00", 500, "2026-11-24T14:30:00Z");
    desk.quote("93.00", 500, "94.00", 500, "2026-11-24T14:31:00Z");
    assert_eq!(desk.trades(), [trade(1, "97.00", "10"), trade(2, "95.00", "10")]);
}

#[test]
fn nothing_fills_in_a_halt_no_tick_of_it_ever_does_and_the_first_quote_after_it_gives_the_better_price()
 {
    let mut desk = open_desk();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 100.00 gtc");
    desk.line(r#"{"t":"status","symbol":"AAPL","state":"halted","reason":"LUDP","at":"2026-11-23T14:40:00Z"}"#);
    desk.quote("80.00", 500, "81.00", 500, "2026-11-23T14:41:00Z");
    desk.place(account, "buy 10 day");
    desk.place(account, "buy 1 ioc");
    assert_eq!(desk.reason(3), Some(CancelReason::ImmediateOrCancel));
    desk.line(r#"{"t":"status","symbol":"AAPL","state":"trading","at":"2026-11-23T14:45:00Z"}"#);
    desk.place(account, "buy 10 day");
    assert_eq!(desk.trades(), []);
    desk.quote("90.00", 500, "91.00", 500, "2026-11-23T14:46:00Z");
    let expected = [trade(2, "91.00", "10"), trade(4, "91.00", "10"), trade(1, "91.00", "10")];
    assert_eq!(desk.trades(), expected);
}

#[test]
fn orders_outside_hours_wait_and_day_orders_live_in_the_next_session() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "101.00", 500, "2026-11-25T22:00:00Z");
    let account = desk.account("100000");
    desk.place(account, "buy 10 day");
    desk.place(account, "buy 10 @ 90.00 day");
    assert_eq!(desk.trades(), []);
    // 2026-11-26 is Thanksgiving; the exchange closes at 13:00 on the 27th.
    assert_eq!(desk.order(2).expires_at().unwrap().to_rfc3339(), "2026-11-27T18:00:00+00:00");
    desk.quote("99.00", 500, "102.00", 500, "2026-11-27T14:30:00Z");
    assert_eq!(desk.trades(), [trade(1, "102.00", "10")]);
    desk.clock("2026-11-27T17:59:59Z");
    assert_eq!(desk.status(2), OrderStatus::Accepted);
    desk.clock("2026-11-27T18:00:00Z");
    assert_eq!(desk.status(2), OrderStatus::Expired);
    desk.place(account, "buy 10 @ 90.00 day");
    assert_eq!(desk.order(3).expires_at().unwrap().to_rfc3339(), "2026-11-30T21:00:00+00:00");
}

#[test]
fn a_day_order_expires_before_the_tick_that_shows_its_session_over() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 100.00 day");
    desk.quote("89.00", 500, "90.00", 500, "2026-11-24T14:30:00Z");
    assert_eq!(desk.status(1), OrderStatus::Expired);
    assert_eq!(desk.trades(), []);
}

#[test]
fn with_hours_always_a_day_ends_at_midnight_in_new_york() {
    let mut desk = Desk::new(Settings { max_quote_age: None, ..Settings::new(Calendar::always()) });
    desk.quote("99.00", 500, "101.00", 500, "2026-11-29T03:00:00Z");
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 90.00 day");
    desk.place(account, "buy 10 day");
    assert_eq!(desk.trades(), [trade(2, "101.00", "10")]);
    assert_eq!(desk.order(1).expires_at().unwrap().to_rfc3339(), "2026-11-29T05:00:00+00:00");
}

#[test]
fn trades_fill_only_symbols_without_quotes_limits_strictly_through_and_never_an_older_trade() {
    let mut desk = Desk::nyse();
    let print = |price: &str, size: u32, at: &str| {
        format!(r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"{size}","at":"{at}"}}"#)
    };
    desk.line(&print("100.00", 100, "2026-11-23T14:30:00Z"));
    let account = desk.account("1000000");
    desk.place(account, "buy 10 @ 99.00 day");
    desk.place(account, "buy 5 day");
    desk.line(&print("99.00", 100, "2026-11-23T14:31:00Z"));
    assert_eq!(desk.trades(), [trade(2, "99.00", "5")], "a touch is not through");
    desk.line(&print("98.50", 4, "2026-11-23T14:32:00Z"));
    desk.line(&print("98.50", 4, "2026-11-23T14:32:00Z"));
    assert_eq!(desk.trades()[1..], [trade(1, "99.00", "4")], "capped by the trade's size");
    desk.quote("97.00", 500, "99.50", 500, "2026-11-23T14:33:00Z");
    desk.line(&print("90.00", 100, "2026-11-23T14:34:00Z"));
    assert_eq!(desk.fills().len(), 2, "a symbol with quotes is filled by quotes only");
}

#[test]
fn a_canceled_order_never_fills() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    let n = desk.place(account, "buy 10 @ 100.00 day");
    assert!(desk.cancel(account, n));
    desk.quote("89.00", 500, "90.00", 500, "2026-11-23T14:31:00Z");
    assert_eq!(desk.trades(), []);
}

#[test]
fn a_day_order_that_was_placed_by_an_old_clock_expires_instead_of_filling_in_the_next_session() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    let monday = desk.now();
    desk.quote("99.00", 500, "101.00", 500, "2026-11-24T14:30:00Z");
    let late = [
        desk.place_by(monday, account, "buy 10 @ 105.00 day"),
        desk.place_by(monday, account, "buy 10 day"),
    ];
    desk.run(Vec::new());
    desk.quote("99.00", 500, "100.00", 500, "2026-11-24T14:31:00Z");
    assert_eq!(desk.trades(), []);
    for n in late {
        assert_eq!(desk.status(n), OrderStatus::Expired);
        assert_eq!(Some(desk.order(n).changed_at()), Some(desk.order(n).expires_at()));
    }
    desk.place(account, "buy 10 @ 105.00 day");
    assert_eq!(desk.status(3), OrderStatus::Filled, "one of today fills");
    desk.rebuild();
    assert_eq!(desk.status(1), OrderStatus::Expired);
}

/// However long no line comes.
#[test]
fn orders_that_end_before_the_next_line_leave_nothing_behind() {
    let mut desk = open_desk();
    let account = desk.account("100000");
    let rests = desk.place(account, "buy 1 @ 90.00 gtc");
    for _ in 0..20 {
        desk.place(account, "buy 1");
        desk.place(account, "buy 1 @ 90.00 ioc");
        let canceled = desk.place(account, "buy 1 @ 90.00 gtc");
        assert!(desk.cancel(account, canceled));
    }
    let state = desk.core.state();
    assert!(state.arrivals.is_empty());
    assert_eq!(state.arrived, [order_id(rests)].into());
    desk.rebuild();
}
