//! Extended hours: what fills in the pre-market and after the close, at what price, and when a day is over there.

use aggregates::order::OrderStatus;

use super::desk::{Desk, trade};

/// A desk in the pre-market of a Monday, 09:00 in New York, with 100 shares of the Friday before.
fn monday() -> (Desk, aggregates::id::AccountId) {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "100.00", 500, "2026-11-20T20:00:00Z");
    let account = desk.account("1000000");
    desk.place(account, "buy 100");
    desk.quote("99.00", 500, "101.00", 500, "2026-11-23T14:00:00Z");
    (desk, account)
}

#[test]
fn orders_of_extended_hours_alone_fill_before_the_open_and_after_the_close() {
    let (mut desk, account) = monday();
    let regular = desk.place(account, "buy 10 @ 102.00 gtc");
    let market = desk.place(account, "buy 10 gtc");
    let stop = desk.place(account, "sell 10 stop 100.00 quote gtc");
    let extended = desk.place(account, "buy 10 @ 102.00 extended day");
    assert_eq!(desk.trades()[1..], [trade(extended, "101.00", "10")], "it meets what stands");
    let resting = desk.place(account, "sell 10 @ 103.00 extended gtc");
    desk.quote("103.00", 500, "104.00", 500, "2026-11-23T14:01:00Z");
    assert_eq!(desk.trades()[2..], [trade(resting, "103.00", "10")]);
    desk.quote("98.00", 500, "99.00", 500, "2026-11-23T14:29:59Z");
    for n in [regular, market, stop] {
        assert_eq!(desk.status(n), OrderStatus::Accepted, "order {n}");
    }
    // What stands from the pre-market fills no other order at the open either.
    desk.clock("2026-11-23T14:30:00Z");
    assert_eq!(desk.trades().len(), 3);
    desk.quote("98.50", 500, "99.50", 500, "2026-11-23T14:30:01Z");
    let opened =
        [trade(market, "99.50", "10"), trade(regular, "99.50", "10"), trade(stop, "98.50", "10")];
    assert_eq!(desk.trades()[3..], opened);
    let late = desk.place(account, "sell 10 @ 99.00 extended gtc");
    desk.clock("2026-11-23T21:00:00Z");
    desk.quote("99.00", 500, "99.10", 500, "2026-11-23T22:00:00Z");
    assert_eq!(desk.trades()[6..], [trade(late, "99.00", "10")]);
    let night = desk.place(account, "sell 10 @ 99.00 extended gtc");
    desk.clock("2026-11-24T01:00:00Z");
    desk.quote("110.00", 500, "111.00", 500, "2026-11-24T02:00:00Z");
    assert_eq!(
        desk.status(night),
        OrderStatus::Filled,
        "it met the quote that stood after the close"
    );
    let night = desk.place(account, "sell 10 @ 99.00 extended gtc");
    assert_eq!(desk.status(night), OrderStatus::Accepted, "nothing fills at 21:00");
    let before = desk.trades();
    desk.rebuild();
    desk.reload();
    assert_eq!(desk.trades(), before);
}

#[test]
fn the_first_quote_of_the_pre_market_is_the_first_of_the_session_for_orders_of_extended_hours() {
    let (mut desk, account) = monday();
    desk.clock("2026-11-24T03:00:00Z");
    let early = desk.place(account, "sell 10 @ 100.00 extended gtc");
    let late = desk.place(account, "sell 10 @ 105.00 extended gtc");
    let regular = desk.place(account, "sell 10 @ 105.00 gtc");
    desk.quote("102.00", 500, "103.00", 500, "2026-11-24T09:00:00Z");
    assert_eq!(desk.trades()[1..], [trade(early, "102.00", "10")], "better than its limit");
    desk.quote("106.00", 500, "107.00", 500, "2026-11-24T14:30:00Z");
    let opened = [trade(late, "105.00", "10"), trade(regular, "106.00", "10")];
    assert_eq!(desk.trades()[2..], opened, "one rests since 04:00, the other meets the open");
}

#[test]
fn a_day_of_extended_hours_ends_with_the_after_hours_also_after_an_early_close() {
    let (mut desk, account) = monday();
    let ends = |desk: &Desk, n| desk.order(n).expires_at().unwrap().to_rfc3339();
    for (now, regular, extended) in [
        ("2026-11-23T15:00:00Z", "2026-11-23T21:00:00+00:00", "2026-11-24T01:00:00+00:00"),
        ("2026-11-23T21:00:00Z", "2026-11-24T21:00:00+00:00", "2026-11-24T01:00:00+00:00"),
        ("2026-11-24T01:00:00Z", "2026-11-24T21:00:00+00:00", "2026-11-25T01:00:00+00:00"),
        // Thanksgiving, and the day after it, which closes at 13:00.
        ("2026-11-26T15:00:00Z", "2026-11-27T18:00:00+00:00", "2026-11-27T22:00:00+00:00"),
        ("2026-11-27T18:00:00Z", "2026-11-30T21:00:00+00:00", "2026-11-27T22:00:00+00:00"),
        ("2026-11-27T22:00:00Z", "2026-11-30T21:00:00+00:00", "2026-12-01T01:00:00+00:00"),
        // Clocks go forward in the night to Sunday, March 14th.
        ("2027-03-12T23:00:00Z", "2027-03-15T20:00:00+00:00", "2027-03-13T01:00:00+00:00"),
        ("2027-03-13T12:00:00Z", "2027-03-15T20:00:00+00:00", "2027-03-16T00:00:00+00:00"),
    ] {
        if desk.now().at.to_rfc3339() != now.replace('Z', "+00:00") {
            desk.clock(now);
        }
        let one = desk.place(account, "buy 1 @ 10.00 day");
        let two = desk.place(account, "buy 1 @ 10.00 extended day");
        assert_eq!(
            (ends(&desk, one).as_str(), ends(&desk, two).as_str()),
            (regular, extended),
            "{now}"
        );
        desk.clock(&regular.min(extended).replace("+00:00", "Z"));
        let ended = if regular < extended { one } else { two };
        assert_eq!(desk.status(ended), OrderStatus::Expired, "{now}");
        desk.cancel(account, one);
        desk.cancel(account, two);
    }
}

#[test]
fn a_halt_before_the_open_holds_for_extended_hours_and_reopens_at_a_better_price() {
    let (mut desk, account) = monday();
    let n = desk.place(account, "sell 10 @ 102.00 extended gtc");
    let status = |state: &str, at: &str| {
        format!(r#"{{"t":"status","symbol":"AAPL","state":"{state}","at":"{at}"}}"#)
    };
    desk.line(&status("halted", "2026-11-23T14:05:00Z"));
    desk.quote("104.00", 500, "105.00", 500, "2026-11-23T14:06:00Z");
    desk.line(&status("trading", "2026-11-23T14:10:00Z"));
    assert_eq!(desk.status(n), OrderStatus::Accepted);
    desk.quote("103.00", 500, "105.00", 500, "2026-11-23T14:11:00Z");
    assert_eq!(desk.trades()[1..], [trade(n, "103.00", "10")]);
}

#[test]
fn a_symbol_of_trades_alone_fills_in_extended_hours_by_them() {
    let mut desk = Desk::nyse();
    let account = desk.account("1000000");
    let print = |price: &str, at: &str| {
        format!(r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"50","at":"{at}"}}"#)
    };
    desk.line(&print("100.00", "2026-11-23T13:00:00Z"));
    let regular = desk.place(account, "buy 10 @ 99.00 gtc");
    let extended = desk.place(account, "buy 10 @ 99.00 extended gtc");
    desk.line(&print("98.00", "2026-11-23T13:01:00Z"));
    assert_eq!(desk.trades(), [trade(extended, "99.00", "10")]);
    desk.line(&print("97.00", "2026-11-23T14:30:00Z"));
    assert_eq!(desk.trades()[1..], [trade(regular, "97.00", "10")]);
}
