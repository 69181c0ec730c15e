//! Fills on bars: the gap at the open, strictly through, the path, the volume, the clock.

use aggregates::market::{BarPoint, EvidenceTick};
use aggregates::order::{OrderEvent, OrderStatus};
use aggregates::stream::Event;

use super::desk::{Desk, trade};
use crate::market::reading::parse_line;

fn day_before() -> Desk {
    let mut desk = Desk::nyse();
    desk.daily_bar("2008-10-10", ["90.00", "95.00", "85.00", "91.00"], 1_000_000);
    desk
}

#[test]
fn a_daily_bar_moves_the_clock_to_its_open_and_then_to_its_close_where_day_orders_expire() {
    let mut desk = day_before();
    assert_eq!(desk.core.state().clock.unwrap().to_rfc3339(), "2008-10-10T20:00:00+00:00");
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 50.00 day");
    desk.place(account, "buy 10 day");
    desk.daily_bar("2008-10-13", ["96.00", "99.00", "94.00", "98.00"], 1_000_000);
    assert_eq!(desk.trades(), [trade(2, "96.00", "10")], "market orders fill at the open");
    assert_eq!(desk.status(1), OrderStatus::Expired);
    assert_eq!(desk.core.state().clock.unwrap().to_rfc3339(), "2008-10-13T20:00:00+00:00");
}

#[test]
fn a_favourable_gap_fills_at_the_open_and_a_touch_is_not_through() {
    let mut desk = day_before();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 97.00 gtc");
    desk.place(account, "buy 10 @ 94.00 gtc");
    desk.place(account, "buy 10 @ 94.01 gtc");
    desk.place(account, "buy 10 @ 96.00 gtc");
    desk.daily_bar("2008-10-13", ["96.00", "99.00", "94.00", "98.00"], 1_000_000);
    let expected = [trade(1, "96.00", "10"), trade(4, "96.00", "10"), trade(3, "94.01", "10")];
    assert_eq!(desk.trades(), expected);
    assert_eq!(desk.status(2), OrderStatus::Accepted);
}

#[test]
fn the_nearer_of_high_and_low_comes_first() {
    for (open, first) in [("96.00", BarPoint::High), ("92.00", BarPoint::Low)] {
        let mut desk = day_before();
        let account = desk.account("100000");
        desk.place(account, "buy 10 day");
        desk.daily_bar("2008-10-13", ["91.00", "91.00", "91.00", "91.00"], 100);
        desk.place(account, "buy 10 @ 90.50 gtc");
        desk.place(account, "sell 10 @ 97.50 gtc");
        desk.daily_bar("2008-10-14", [open, "98.00", "90.00", "95.00"], 1_000_000);
        let points: Vec<BarPoint> = desk
            .log
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Order(OrderEvent::OrderFilled { evidence, .. }) => match evidence.tick {
                    EvidenceTick::Bar { point, .. } => Some(point),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        assert_eq!(points[1], first, "open {open}");
        assert_eq!(points.len(), 3);
        let sold = trade(3, "97.50", "10");
        assert!(desk.trades().contains(&sold) && desk.trades().contains(&trade(2, "90.50", "10")));
    }
}

#[test]
fn the_volume_of_a_bar_caps_what_it_fills() {
    let mut desk = day_before();
    let account = desk.account("100000");
    desk.place(account, "buy 60 gtc");
    desk.place(account, "buy 60 @ 97.00 gtc");
    desk.daily_bar("2008-10-13", ["96.00", "99.00", "94.00", "98.00"], 100);
    assert_eq!(desk.trades(), [trade(1, "96.00", "60"), trade(2, "96.00", "40")]);
    desk.daily_bar("2008-10-14", ["98.00", "99.00", "96.00", "98.00"], 100);
    assert_eq!(desk.trades()[2..], [trade(2, "97.00", "20")]);
}

#[test]
fn a_bar_that_began_before_the_order_never_fills_it() {
    let mut desk = day_before();
    let account = desk.account("100000");
    desk.clock("2008-10-13T15:00:00Z");
    desk.place(account, "buy 10 gtc");
    desk.daily_bar("2008-10-13", ["96.00", "99.00", "94.00", "98.00"], 100);
    assert_eq!(desk.trades(), []);
    desk.daily_bar("2008-10-14", ["98.00", "99.00", "96.00", "98.00"], 100);
    assert_eq!(desk.trades(), [trade(1, "98.00", "10")]);
}

#[test]
fn a_bar_that_began_before_an_order_was_changed_knows_nothing_of_the_change() {
    let mut desk = day_before();
    let account = desk.account("100000");
    desk.place(account, "buy 10 @ 90.00 gtc");
    desk.clock("2008-10-13T15:00:00Z");
    assert!(desk.replace(account, 1, None, Some("97.00")));
    desk.daily_bar("2008-10-13", ["96.00", "99.00", "94.00", "98.00"], 100);
    assert_eq!(desk.trades(), []);
    desk.daily_bar("2008-10-14", ["98.00", "99.00", "96.00", "98.00"], 100);
    assert_eq!(desk.trades(), [trade(1, "97.00", "10")]);
}

#[test]
fn minute_bars_end_by_the_close_and_fill_nothing_outside_hours() {
    let mut desk = day_before();
    let account = desk.account("100000");
    desk.place(account, "buy 10 gtc");
    let bar = |at: &str, span: &str| {
        format!(
            r#"{{"t":"bar","symbol":"AAPL","open":"90","high":"95","low":"85","close":"91","volume":"100","at":"{at}","span":"{span}"}}"#
        )
    };
    desk.line(&bar("2008-10-13T13:00:00Z", "1m"));
    assert_eq!(desk.trades(), [], "before the open");
    desk.line(&bar("2008-10-13T13:30:00Z", "1m"));
    assert_eq!(desk.trades(), [trade(1, "90.00", "10")]);
    desk.line(&bar("2008-10-13T19:30:00Z", "1h"));
    assert_eq!(desk.core.state().clock.unwrap().to_rfc3339(), "2008-10-13T20:00:00+00:00");
}

#[test]
fn a_daily_bar_gives_the_official_close_unless_a_trade_of_its_session_does() {
    let mut desk = day_before();
    assert_eq!(desk.market_events(), ["InstrumentListed", "OfficiallyClosed"]);
    desk.clock("2008-10-13T13:30:00Z");
    let print = |price: &str, at: &str| {
        format!(r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"1","at":"{at}"}}"#)
    };
    desk.line(&print("97.00", "2008-10-13T19:00:00Z"));
    desk.line(&print("98.50", "2008-10-13T20:00:00Z"));
    desk.line(&print("70.00", "2008-10-13T20:00:01Z"));
    let id = desk.core.state().symbols["AAPL"];
    let (session, price) = desk.core.state().issues[&id].closed.unwrap();
    assert_eq!((session.to_string(), price.to_string()), ("2008-10-13".into(), "98.50".into()));
}

#[test]
fn all_bars_of_one_start_are_worked_before_the_session_is_over() {
    let mut desk = day_before();
    let account = desk.account("100000");
    desk.place(account, "buy 10 day");
    let bar = |symbol: &str| {
        let line = format!(
            r#"{{"t":"bar","symbol":"{symbol}","open":"90","high":"95","low":"85","close":"91","volume":"100","at":"2008-10-13T04:00:00Z","span":"1d"}}"#
        );
        parse_line(line.as_bytes(), 1).unwrap().unwrap()
    };
    desk.tick_alone(&bar("IBM"));
    assert_eq!(desk.status(1), OrderStatus::Accepted);
    desk.tick(&bar("AAPL"));
    assert_eq!(desk.trades(), [trade(1, "90.00", "10")]);
    desk.rebuild();
    let closes = desk.market_events().iter().filter(|name| *name == "OfficiallyClosed").count();
    assert_eq!(closes, 3);
}
