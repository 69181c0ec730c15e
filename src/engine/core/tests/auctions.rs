//! Opening and closing auctions: which price, how many shares, what ends, and when orders for them are taken.

use aggregates::market::MarketTime;
use aggregates::order::{CancelReason, OrderStatus};
use aggregates::refusal::RefusalCode;
use aggregates::trading::AuctionEntry;

use super::desk::{Desk, trade};
use crate::market::calendar::Calendar;

const ACCOUNT_CASH: &str = "1000000";

/// A desk at 20:00 of a Friday in New York, with 100 shares bought that day.
fn friday() -> (Desk, aggregates::id::AccountId) {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, "2026-11-20T20:00:00Z");
    let account = desk.account(ACCOUNT_CASH);
    desk.place(account, "buy 100");
    desk.clock("2026-11-21T01:00:00Z");
    (desk, account)
}

fn print(desk: &mut Desk, price: &str, at: &str) {
    let line =
        format!(r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"5","at":"{at}"}}"#);
    assert!(desk.line(&line).place.is_some());
}

fn auction(desk: &mut Desk, kind: &str, price: &str, size: &str, at: &str) {
    let line = format!(
        r#"{{"t":"auction","symbol":"AAPL","kind":"{kind}","price":"{price}","size":"{size}","at":"{at}"}}"#
    );
    assert!(desk.line(&line).place.is_some());
}

#[test]
fn an_opening_auction_fills_at_its_price_as_far_as_its_shares_go_and_ends_the_rest() {
    let (mut desk, account) = friday();
    let limit = desk.place(account, "buy 10 @ 101.00 opg");
    let better = desk.place(account, "buy 10 @ 103.00 opg");
    let market = desk.place(account, "buy 10 opg");
    let beyond = desk.place(account, "buy 10 @ 99.99 opg");
    let sell = desk.place(account, "sell 25 opg");
    let day = desk.place(account, "buy 10 @ 100.00 gtc");
    assert_eq!(desk.trades().len(), 1, "none meets what stands");
    desk.quote("99.00", 500, "99.50", 500, "2026-11-23T14:29:00Z");
    auction(&mut desk, "open", "100.00", "25", "2026-11-23T14:30:00Z");
    let opened = [
        trade(market, "100.00", "10"),
        trade(better, "100.00", "10"),
        trade(limit, "100.00", "5"),
        trade(sell, "100.00", "25"),
    ];
    assert_eq!(desk.trades()[1..], opened);
    for n in [limit, beyond] {
        assert_eq!(desk.reason(n), Some(CancelReason::AuctionUnfilled));
    }
    assert_eq!(desk.status(day), OrderStatus::Accepted, "it is for no auction");
    let before = desk.trades();
    desk.rebuild();
    desk.reload();
    assert_eq!(desk.trades(), before);
}

#[test]
fn a_symbol_without_auctions_opens_at_its_first_trade_whole_and_one_without_trades_at_the_quote() {
    let (mut desk, account) = friday();
    let buy = desk.place(account, "buy 600 opg");
    let sell = desk.place(account, "sell 10 @ 99.00 opg");
    desk.quote("98.00", 500, "101.00", 500, "2026-11-23T14:29:59Z");
    desk.quote("99.00", 500, "102.00", 500, "2026-11-23T14:30:00Z");
    assert_eq!(desk.trades()[1..], [trade(buy, "102.00", "600"), trade(sell, "99.00", "10")]);
    print(&mut desk, "103.00", "2026-11-23T14:30:01Z");
    desk.clock("2026-11-24T00:00:00Z");
    let next = desk.place(account, "buy 10 @ 104.00 opg");
    desk.quote("98.00", 500, "101.00", 500, "2026-11-24T14:30:00Z");
    assert_eq!(desk.status(next), OrderStatus::Accepted, "it has trades now");
    print(&mut desk, "103.50", "2026-11-24T14:30:02Z");
    assert_eq!(desk.trades()[3..], [trade(next, "103.50", "10")]);
}

#[test]
fn a_symbol_of_bars_opens_at_the_first_and_closes_at_the_daily_close() {
    let mut desk = Desk::nyse();
    let account = desk.account(ACCOUNT_CASH);
    desk.daily_bar("2026-11-20", ["100", "101", "99", "100"], 5000);
    desk.clock("2026-11-21T00:00:00Z");
    let open = desk.place(account, "buy 10 opg");
    let close = desk.place(account, "buy 10 @ 104.00 cls");
    let beyond = desk.place(account, "buy 10 @ 103.99 cls");
    desk.daily_bar("2026-11-23", ["102", "105", "101", "104"], 5000);
    assert_eq!(desk.trades(), [trade(open, "102.00", "10"), trade(close, "104.00", "10")]);
    assert_eq!(desk.reason(beyond), Some(CancelReason::AuctionUnfilled));
}

#[test]
fn a_closing_order_fills_at_the_official_close_the_last_trade_to_the_close() {
    let (mut desk, account) = friday();
    let market = desk.place(account, "sell 10 cls");
    let limit = desk.place(account, "sell 10 @ 98.00 cls");
    let beyond = desk.place(account, "sell 10 @ 98.01 cls");
    print(&mut desk, "97.00", "2026-11-23T20:59:00Z");
    print(&mut desk, "98.00", "2026-11-23T21:00:00Z");
    assert_eq!(desk.trades().len(), 1, "another trade of the close may come");
    desk.quote("120.00", 500, "121.00", 500, "2026-11-23T21:00:01Z");
    assert_eq!(desk.trades()[1..], [trade(market, "98.00", "10"), trade(limit, "98.00", "10")]);
    assert_eq!(desk.reason(beyond), Some(CancelReason::AuctionUnfilled));
    desk.rebuild();
    assert_eq!(desk.trades().len(), 3);
}

#[test]
fn a_symbol_whose_auctions_are_told_waits_five_minutes_for_the_line_and_then_takes_the_close() {
    let (mut desk, account) = friday();
    let opening = desk.place(account, "buy 10 opg");
    let closing = desk.place(account, "sell 10 cls");
    auction(&mut desk, "open", "100.00", "500", "2026-11-23T14:30:00Z");
    assert_eq!(desk.status(opening), OrderStatus::Filled);
    print(&mut desk, "97.00", "2026-11-23T20:59:00Z");
    desk.clock("2026-11-23T21:00:01Z");
    auction(&mut desk, "close", "97.50", "4", "2026-11-23T21:00:02Z");
    assert_eq!(desk.trades()[2..], [trade(closing, "97.50", "4")]);
    assert_eq!(desk.reason(closing), Some(CancelReason::AuctionUnfilled));
    desk.clock("2026-11-24T00:00:00Z");
    let (opening, closing) =
        (desk.place(account, "buy 10 opg"), desk.place(account, "sell 10 cls"));
    print(&mut desk, "96.00", "2026-11-24T14:34:59Z");
    assert_eq!(desk.status(opening), OrderStatus::Accepted);
    print(&mut desk, "95.00", "2026-11-24T14:35:00Z");
    assert_eq!(desk.trades()[3..], [trade(opening, "95.00", "10")]);
    desk.clock("2026-11-24T21:04:59Z");
    assert_eq!(desk.status(closing), OrderStatus::Accepted);
    desk.clock("2026-11-24T21:05:00Z");
    assert_eq!(desk.trades()[4..], [trade(closing, "95.00", "10")]);
}

#[test]
fn an_auction_without_a_price_ends_opening_orders_and_leaves_closing_ones_until_the_next_close() {
    let (mut desk, account) = friday();
    let opening = desk.place(account, "buy 10 opg");
    let closing = desk.place(account, "sell 10 cls");
    desk.clock("2026-11-23T21:00:00Z");
    assert_eq!(desk.status(opening), OrderStatus::Expired);
    desk.clock("2026-11-24T00:59:59Z");
    assert_eq!(desk.status(closing), OrderStatus::Accepted, "quotes make no official close");
    desk.clock("2026-11-24T01:00:00Z");
    assert_eq!(desk.status(closing), OrderStatus::Accepted, "it waits for the close");
    assert_eq!(desk.core.without_close().count(), 1);
    let next = desk.place(account, "sell 10 cls");
    desk.rebuild();
    print(&mut desk, "97.00", "2026-11-24T20:59:00Z");
    assert_eq!(desk.status(closing), OrderStatus::Accepted);
    desk.clock("2026-11-24T21:00:01Z");
    assert_eq!(desk.status(closing), OrderStatus::Expired, "its own will not be told any more");
    assert_eq!(desk.trades()[1..], [trade(next, "97.00", "10")]);
    assert_eq!(desk.core.without_close().count(), 0);
}

#[test]
fn a_close_that_is_told_late_fills_the_orders_that_wait_for_it_and_no_others() {
    let late: [fn(&mut Desk); 3] = [
        |desk| print(desk, "97.00", "2026-11-23T20:59:00Z"),
        |desk| {
            desk.daily_bar("2026-11-23", ["102", "105", "96", "97"], 5000);
        },
        |desk| auction(desk, "close", "97.00", "500", "2026-11-23T21:00:00Z"),
    ];
    for tell in late {
        let (mut desk, account) = friday();
        let waits = desk.place(account, "sell 10 cls");
        let beyond = desk.place(account, "sell 10 @ 97.01 cls");
        // Monday ends, and Tuesday is under way.
        desk.clock("2026-11-24T15:00:00Z");
        let next = desk.place(account, "sell 10 cls");
        tell(&mut desk);
        desk.clock("2026-11-24T15:00:01Z");
        assert_eq!(desk.trades()[1..], [trade(waits, "97.00", "10")]);
        assert_eq!(desk.reason(beyond), Some(CancelReason::AuctionUnfilled));
        assert_eq!(desk.status(next), OrderStatus::Accepted);
        desk.rebuild();
        assert_eq!(desk.trades().len(), 2);
    }
}

#[test]
fn a_close_that_could_not_be_had_in_a_halt_ends_its_orders_with_the_after_hours() {
    let (mut desk, account) = friday();
    let n = desk.place(account, "sell 10 cls");
    print(&mut desk, "97.00", "2026-11-23T20:59:00Z");
    let at = "2026-11-23T20:59:30Z";
    desk.line(&format!(r#"{{"t":"status","symbol":"AAPL","state":"halted","at":"{at}"}}"#));
    desk.clock("2026-11-24T00:59:59Z");
    assert_eq!(desk.status(n), OrderStatus::Accepted);
    desk.clock("2026-11-24T01:00:00Z");
    assert_eq!(desk.status(n), OrderStatus::Expired);
}

#[test]
fn a_line_that_comes_days_later_still_finds_the_close_of_the_session() {
    let (mut desk, account) = friday();
    let closing = desk.place(account, "sell 10 cls");
    print(&mut desk, "97.00", "2026-11-23T20:59:00Z");
    desk.clock("2026-11-25T15:00:00Z");
    assert_eq!(desk.trades()[1..], [trade(closing, "97.00", "10")]);
}

#[test]
fn nothing_fills_in_the_auction_of_a_symbol_that_is_halted() {
    let (mut desk, account) = friday();
    let n = desk.place(account, "buy 10 opg");
    let at = "2026-11-23T14:00:00Z";
    desk.line(&format!(r#"{{"t":"status","symbol":"AAPL","state":"halted","at":"{at}"}}"#));
    auction(&mut desk, "open", "100.00", "500", "2026-11-23T14:30:00Z");
    assert_eq!(desk.status(n), OrderStatus::Accepted);
}

#[test]
fn an_auction_line_outside_its_hours_fills_nothing() {
    let (mut desk, account) = friday();
    let (opening, closing) =
        (desk.place(account, "buy 10 opg"), desk.place(account, "sell 10 cls"));
    auction(&mut desk, "open", "100.00", "500", "2026-11-23T14:29:59Z");
    auction(&mut desk, "close", "100.00", "500", "2026-11-23T20:59:59Z");
    for n in [opening, closing] {
        assert_eq!(desk.status(n), OrderStatus::Accepted);
    }
}

#[test]
fn orders_for_an_auction_are_refused_from_shortly_before_it_to_the_evening() {
    let (mut desk, account) = friday();
    for (now, opg, cls) in [
        ("2026-11-23T14:27:59Z", true, true),
        ("2026-11-23T14:28:00Z", false, true),
        ("2026-11-23T20:49:59Z", false, true),
        ("2026-11-23T20:50:00Z", false, false),
        ("2026-11-23T23:59:59Z", false, false),
        ("2026-11-24T00:00:00Z", true, true),
        // Thanksgiving has no auctions, so nothing is being prepared on it.
        ("2026-11-26T15:00:00Z", true, true),
        // The day after it closes at 13:00.
        ("2026-11-27T17:49:59Z", false, true),
        ("2026-11-27T17:50:00Z", false, false),
        // Clocks have gone forward on Sunday, March 14th: 09:28 is an hour earlier.
        ("2027-03-15T13:27:59Z", true, true),
        ("2027-03-15T13:28:00Z", false, true),
    ] {
        desk.clock(now);
        for (word, taken) in [("opg", opg), ("cls", cls)] {
            let n = desk.place(account, &format!("buy 1 @ 1.00 {word}"));
            let status = if taken { OrderStatus::Accepted } else { OrderStatus::Rejected };
            assert_eq!(desk.status(n), status, "{word} at {now}");
            if taken {
                desk.cancel(account, n);
            } else {
                let rejected = desk.rejection(n);
                assert_eq!(rejected.code, RefusalCode::AuctionClosed);
                assert!(rejected.figures.contains_key("until"), "{rejected:?}");
            }
        }
    }
}

#[test]
fn one_that_rests_is_changed_until_its_auction_is_prepared() {
    let (mut desk, account) = friday();
    let n = desk.place(account, "buy 10 @ 99.00 opg");
    assert!(desk.replace(account, n, None, Some("101.00")));
    desk.clock("2026-11-23T14:28:00Z");
    assert!(!desk.replace(account, n, None, Some("102.00")));
    print(&mut desk, "101.00", "2026-11-23T14:30:00Z");
    assert_eq!(desk.trades()[1..], [trade(n, "101.00", "10")]);
}

#[test]
fn a_market_that_is_always_open_has_no_auctions() {
    let always = super::super::Settings::new(Calendar::always());
    let mut desk = Desk::new(always);
    desk.quote("99.00", 500, "100.00", 500, "2026-11-20T20:00:00Z");
    let account = desk.account(ACCOUNT_CASH);
    let n = desk.place(account, "buy 1 opg");
    assert_eq!(desk.rejection(n).code, RefusalCode::AuctionClosed);
}

#[test]
fn an_order_for_an_auction_lives_to_its_end() {
    let ends = |kind, at: &str| {
        let at: MarketTime = at.parse().unwrap();
        match super::super::sessions::auction_entry(Calendar::nyse(), kind, at).unwrap() {
            AuctionEntry::Taken { ends } => ends.to_rfc3339(),
            AuctionEntry::Refused { .. } => panic!("refused"),
        }
    };
    use aggregates::market::AuctionKind::{Close, Open};
    assert_eq!(ends(Open, "2026-11-25T12:00:00Z"), "2026-11-25T21:00:00+00:00");
    assert_eq!(ends(Close, "2026-11-25T12:00:00Z"), "2026-11-26T01:00:00+00:00");
    assert_eq!(ends(Open, "2026-11-26T00:30:00Z"), "2026-11-27T18:00:00+00:00");
    assert_eq!(ends(Close, "2026-11-26T00:30:00Z"), "2026-11-27T22:00:00+00:00");
}
