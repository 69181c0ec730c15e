//! Orders for an amount of dollars: what they take of each quote, when they are done, restarts.

use aggregates::order::{CancelReason, OrderStatus};
use aggregates::refusal::RefusalCode;

use super::desk::{Desk, trade};

fn minute(n: u32) -> String {
    format!("2026-11-23T15:{n:02}:00Z")
}

#[test]
fn dollars_buy_shares_at_each_price_until_nothing_is_left() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 4, &minute(0));
    let account = desk.account("2000");
    let n = desk.place(account, "buy for 1000.00");
    assert_eq!(desk.trades(), [trade(n, "100.00", "4")], "as many as are shown");
    assert_eq!(desk.status(n), OrderStatus::PartiallyFilled);
    assert_eq!(desk.order(n).left_notional().unwrap(), Some("600".parse().unwrap()));
    desk.reload();
    desk.rebuild();
    desk.quote("129.00", 500, "130.00", 2, &minute(1));
    assert_eq!(desk.trades()[1..], [trade(n, "130.00", "2")]);
    // 340.00 are left: 2.833333333 shares are 339.99999996, which is 340.00.
    desk.quote("119.00", 500, "120.00", 500, &minute(2));
    assert_eq!(desk.trades()[2..], [trade(n, "120.00", "2.833333333")]);
    assert_eq!(desk.status(n), OrderStatus::Filled);
    assert_eq!(desk.order(n).spec().unwrap().qty, "8.833333333".parse().unwrap());
    assert_eq!(
        (desk.cash(account).as_str(), desk.held(account).as_str()),
        ("1000.00", "8.833333333")
    );
    let before = desk.fills();
    desk.rebuild();
    assert_eq!(desk.fills(), before);
    assert_eq!(desk.core.state().orders.count(), 0);
}

#[test]
fn an_order_for_dollars_waits_for_the_open_and_ends_with_the_day() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, "2026-11-23T14:00:00Z");
    let account = desk.account("2000");
    let first = desk.place(account, "buy for 500.00");
    desk.quote("124.00", 500, "125.00", 500, "2026-11-23T14:30:00Z");
    assert_eq!(desk.trades(), [trade(first, "125.00", "4")]);
    desk.quote("124.00", 500, "125.00", 1, &minute(0));
    let second = desk.place(account, "buy for 500.00");
    desk.clock("2026-11-23T21:00:00Z");
    assert_eq!(desk.status(second), OrderStatus::Expired);
    assert_eq!(desk.cash(account), "1375.00");
}

#[test]
fn it_keeps_its_turn_beside_orders_for_shares() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, "2026-11-23T14:00:00Z");
    let account = desk.account("10000");
    let dollars = desk.place(account, "buy for 500.00");
    let shares = desk.place(account, "buy 10");
    desk.quote("99.00", 500, "100.00", 8, "2026-11-23T14:30:00Z");
    assert_eq!(desk.trades(), [trade(dollars, "100.00", "5"), trade(shares, "100.00", "3")]);
}

#[test]
fn a_sell_for_dollars_takes_what_is_held_at_each_price_and_leaves_the_rest_of_the_bid_to_others() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, &minute(0));
    let account = desk.account("10000");
    desk.place(account, "buy 10");
    desk.quote("125.00", 2, "126.00", 500, &minute(1));
    let n = desk.place(account, "sell for 1000.00");
    assert_eq!(desk.trades()[1..], [trade(n, "125.00", "2")]);
    let other = desk.account("10000");
    desk.place(other, "buy 10");
    let beside = desk.place(other, "sell 10");
    desk.reload();
    desk.rebuild();
    // 750.00 would be 10 shares and 8 are held: the other order has the two that are left at the bid.
    desk.quote("75.00", 10, "76.00", 500, &minute(2));
    assert_eq!(desk.trades()[3..], [trade(n, "75.00", "8"), trade(beside, "75.00", "2")]);
    assert_eq!(desk.status(n), OrderStatus::Filled);
    assert_eq!(desk.cash(account), "9850.00");
    let before = desk.fills();
    desk.rebuild();
    assert_eq!(desk.fills(), before);
}

#[test]
fn dollars_take_every_part_of_a_share_that_is_shown_in_a_margin_account_too() {
    for open in [Desk::account, Desk::margin_account] {
        let mut desk = Desk::nyse();
        let shown = |size: &str, at: &str| {
            format!(
                r#"{{"t":"quote","symbol":"AAPL","bid":"99.00","bid_size":"9","ask":"100.00","ask_size":"{size}","at":"{at}"}}"#
            )
        };
        desk.line(&shown("0.5", &minute(0)));
        let account = open(&mut desk, "2000");
        let n = desk.place(account, "buy for 1000.00");
        assert_eq!(desk.trades(), [trade(n, "100.00", "0.5")]);
        desk.line(&shown("5.5", &minute(1)));
        desk.rebuild();
        desk.line(&shown("50", &minute(2)));
        assert_eq!(desk.trades()[1..], [trade(n, "100.00", "5.5"), trade(n, "100.00", "4")]);
        assert_eq!(desk.status(n), OrderStatus::Filled);
    }
}

#[test]
fn dollars_close_no_short_position_whether_it_is_there_when_they_come_or_when_they_would_fill() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 2, &minute(0));
    let account = desk.margin_account("10000");
    let dollars = desk.place(account, "buy for 1000.00");
    desk.place(account, "sell 10");
    assert_eq!(desk.held(account), "-8");
    desk.quote("89.00", 500, "90.00", 500, &minute(1));
    assert_eq!(desk.reason(dollars), Some(CancelReason::FractionalShort));
    assert_eq!((desk.held(account).as_str(), desk.trades().len()), ("-8", 2));
    assert!(desk.account_of(account).reserved().is_zero());
    // All of its shares are set aside by another order, which changes nothing.
    desk.place(account, "buy 8 @ 50.00");
    let late = desk.place(account, "buy for 100.00");
    assert_eq!(desk.rejection(late).code, RefusalCode::FractionalShort);
}
