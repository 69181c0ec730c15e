//! Limit-up limit-down bands: what they keep from filling, and until when they hold.

use aggregates::order::OrderStatus;

use super::desk::{Desk, trade};

fn luld(desk: &mut Desk, down: &str, up: &str, at: &str) {
    let line = format!(r#"{{"t":"luld","symbol":"AAPL","down":"{down}","up":"{up}","at":"{at}"}}"#);
    assert!(desk.line(&line).place.is_some());
}

#[test]
fn nothing_fills_beyond_the_bands_neither_on_arrival_nor_later() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, "2026-11-23T15:00:00Z");
    let account = desk.account("1000000");
    desk.place(account, "buy 100");
    luld(&mut desk, "95.00", "105.00", "2026-11-23T15:00:01Z");
    desk.quote("104.00", 500, "105.01", 500, "2026-11-23T15:00:02Z");
    let market = desk.place(account, "buy 10");
    let limit = desk.place(account, "buy 10 @ 110.00");
    let sell = desk.place(account, "sell 10");
    assert_eq!(desk.trades()[1..], [trade(sell, "104.00", "10")], "the bid is within them");
    desk.quote("105.00", 500, "105.02", 500, "2026-11-23T15:00:03Z");
    for n in [market, limit] {
        assert_eq!(desk.status(n), OrderStatus::Accepted);
    }
    desk.rebuild();
    desk.reload();
    desk.quote("104.00", 500, "105.00", 500, "2026-11-23T15:00:04Z");
    assert_eq!(desk.trades()[2..], [trade(market, "105.00", "10"), trade(limit, "105.00", "10")]);
    desk.quote("94.99", 500, "95.00", 500, "2026-11-23T15:00:05Z");
    let low = desk.place(account, "sell 10");
    assert_eq!(desk.status(low), OrderStatus::Accepted);
    luld(&mut desk, "90.00", "100.00", "2026-11-23T15:00:30Z");
    desk.quote("94.99", 500, "95.00", 500, "2026-11-23T15:00:31Z");
    assert_eq!(desk.trades()[4..], [trade(low, "94.99", "10")]);
}

#[test]
fn a_stop_is_triggered_beyond_a_band_and_fills_within_it() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, "2026-11-23T15:00:00Z");
    let account = desk.account("1000000");
    desk.place(account, "buy 100");
    luld(&mut desk, "95.00", "105.00", "2026-11-23T15:00:01Z");
    let n = desk.place(account, "sell 10 stop 96.00 quote");
    desk.quote("94.00", 500, "95.00", 500, "2026-11-23T15:00:02Z");
    assert_eq!(desk.status(n), OrderStatus::Triggered);
    desk.quote("95.00", 500, "95.50", 500, "2026-11-23T15:00:03Z");
    assert_eq!(desk.trades()[1..], [trade(n, "95.00", "10")]);
}

#[test]
fn bands_hold_in_regular_hours_of_their_day() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, "2026-11-23T15:00:00Z");
    let account = desk.account("1000000");
    luld(&mut desk, "95.00", "105.00", "2026-11-23T20:59:00Z");
    let late = desk.place(account, "buy 10 @ 110.00 extended gtc");
    assert_eq!(desk.status(late), OrderStatus::Filled);
    desk.quote("106.00", 500, "107.00", 500, "2026-11-23T20:59:30Z");
    let extended = desk.place(account, "buy 10 @ 110.00 extended gtc");
    let regular = desk.place(account, "buy 10 @ 110.00 gtc");
    assert_eq!(desk.trades().len(), 1);
    desk.quote("106.00", 500, "107.00", 500, "2026-11-23T21:30:00Z");
    assert_eq!(desk.trades()[1..], [trade(extended, "110.00", "10")]);
    desk.quote("106.00", 500, "107.00", 500, "2026-11-24T14:30:00Z");
    assert_eq!(desk.trades()[2..], [trade(regular, "107.00", "10")]);
}
