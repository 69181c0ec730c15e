//! Stops: what triggers them, what fills them, gaps, arrival, bars, halts, splits, and a restart in between.

use aggregates::market::{BarPoint, EvidenceTick};
use aggregates::order::{OrderEvent, OrderStatus};
use aggregates::stream::Event;

use super::super::Reason;
use super::desk::{Desk, order_id, trade};

fn minute(n: u32) -> String {
    format!("2026-11-23T14:{n:02}:00Z")
}

/// A desk that holds 100 shares, quoted 99.00 to 101.00.
fn holder() -> (Desk, aggregates::id::AccountId) {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "101.00", 500, &minute(30));
    let account = desk.account("1000000");
    desk.place(account, "buy 100");
    (desk, account)
}

fn print(desk: &mut Desk, price: &str, at: &str) {
    let worked = desk.line(&format!(
        r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"50","at":"{at}"}}"#
    ));
    assert!(worked.place.is_some());
}

fn status(desk: &mut Desk, state: &str, at: &str) {
    desk.line(&format!(r#"{{"t":"status","symbol":"AAPL","state":"{state}","at":"{at}"}}"#));
}

#[test]
fn a_quote_triggers_and_fills_a_stop_at_its_own_price_where_there_are_no_trades() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 stop 95.00 gtc");
    desk.quote("95.01", 500, "96.00", 500, &minute(31));
    assert_eq!(desk.status(n), OrderStatus::Accepted);
    desk.quote("94.50", 500, "95.50", 500, &minute(32));
    assert_eq!(desk.triggers(), [(n, 3, "95.00".to_owned())]);
    assert_eq!(desk.trades()[1..], [trade(n, "94.50", "10")]);
}

#[test]
fn a_trade_triggers_and_only_a_quote_of_its_time_or_later_fills() {
    let (mut desk, account) = holder();
    print(&mut desk, "100.00", &minute(31));
    let n = desk.place(account, "sell 10 stop 95.00 gtc");
    desk.quote("94.00", 500, "96.00", 500, &minute(32));
    assert_eq!(
        desk.status(n),
        OrderStatus::Accepted,
        "a quote triggers no stop that looks at trades"
    );
    print(&mut desk, "95.00", &minute(34));
    assert_eq!(desk.status(n), OrderStatus::Triggered);
    desk.quote("94.40", 500, "96.00", 500, &minute(33));
    assert_eq!(desk.status(n), OrderStatus::Triggered, "that quote is older");
    desk.quote("94.50", 500, "96.00", 500, &minute(34));
    assert_eq!(desk.trades()[1..], [trade(n, "94.50", "10")]);
}

#[test]
fn a_standing_quote_of_the_very_time_of_the_trade_fills_at_once() {
    let (mut desk, account) = holder();
    print(&mut desk, "100.00", &minute(31));
    let n = desk.place(account, "buy 10 stop 104.00 gtc");
    desk.quote("103.00", 500, "105.00", 500, &minute(32));
    print(&mut desk, "104.50", &minute(32));
    assert_eq!(desk.trades()[1..], [trade(n, "105.00", "10")]);
}

#[test]
fn a_stop_that_looks_at_quotes_is_not_triggered_by_trades() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "buy 10 stop 105.00 quote gtc");
    print(&mut desk, "110.00", &minute(31));
    assert_eq!(desk.status(n), OrderStatus::Accepted);
    desk.quote("104.00", 500, "105.00", 500, &minute(32));
    assert_eq!(desk.trades()[1..], [trade(n, "105.00", "10")]);
}

#[test]
fn a_gap_fills_at_the_first_price_beyond_the_stop() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 stop 95.00 gtc");
    desk.quote("80.00", 500, "81.00", 500, "2026-11-24T14:30:00Z");
    assert_eq!(desk.trades()[1..], [trade(n, "80.00", "10")]);
}

#[test]
fn a_stop_beyond_the_market_is_triggered_on_its_arrival() {
    let (mut desk, account) = holder();
    let by_quote = desk.place(account, "sell 10 stop 99.50 gtc");
    assert_eq!(desk.trades()[1..], [trade(by_quote, "99.00", "10")]);
    print(&mut desk, "102.00", &minute(31));
    let by_trade = desk.place(account, "buy 10 stop 101.50 gtc");
    assert_eq!(desk.status(by_trade), OrderStatus::Triggered, "the standing quote is older");
    let limit = desk.place(account, "buy 10 stop 101.50 @ 100.50 gtc");
    assert_eq!(desk.status(limit), OrderStatus::Triggered);
    desk.quote("100.00", 500, "101.00", 500, &minute(32));
    assert_eq!(desk.trades()[2..], [trade(by_trade, "101.00", "10")]);
    desk.quote("99.00", 500, "100.40", 500, &minute(33));
    assert_eq!(desk.trades()[3..], [trade(limit, "100.50", "10")], "it rested at its limit");
}

#[test]
fn what_one_tick_triggers_fills_in_the_order_of_the_stops_behind_what_waits_and_before_limits() {
    let (mut desk, account) = holder();
    status(&mut desk, "halted", &minute(31));
    let market = desk.place(account, "sell 5 gtc");
    let limit = desk.place(account, "sell 20 @ 90.00 gtc");
    let far = desk.place(account, "sell 10 stop 94.00 gtc");
    let near = desk.place(account, "sell 10 stop 95.00 gtc");
    status(&mut desk, "trading", &minute(32));
    desk.quote("93.00", 30, "94.00", 500, &minute(33));
    assert_eq!(
        desk.trades()[1..],
        [
            trade(market, "93.00", "5"),
            trade(near, "93.00", "10"),
            trade(far, "93.00", "10"),
            trade(limit, "93.00", "5")
        ]
    );
}

#[test]
fn nothing_triggers_in_a_halt_outside_hours_or_by_a_quote_that_is_none() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 stop 95.00 gtc");
    status(&mut desk, "halted", &minute(31));
    desk.quote("90.00", 500, "91.00", 500, &minute(32));
    status(&mut desk, "trading", &minute(33));
    let crossed = desk.quote("94.00", 500, "93.00", 500, &minute(34));
    assert_eq!(crossed.ignored, Some(Reason::Crossed));
    let one_sided = desk.quote("94.00", 500, "96.00", 0, &minute(35));
    assert_eq!(one_sided.ignored, Some(Reason::OneSided));
    desk.quote("94.00", 500, "96.00", 500, "2026-11-23T22:00:00Z");
    assert_eq!(desk.status(n), OrderStatus::Accepted);
    desk.quote("92.00", 500, "93.00", 500, "2026-11-24T14:30:00Z");
    assert_eq!(desk.trades()[1..], [trade(n, "92.00", "10")]);
}

#[test]
fn a_day_stop_expires_untriggered_and_a_canceled_one_is_never_triggered() {
    let (mut desk, account) = holder();
    let day = desk.place(account, "sell 10 stop 95.00 day");
    let canceled = desk.place(account, "sell 10 stop 95.00 gtc");
    assert!(desk.cancel(account, canceled));
    desk.quote("90.00", 500, "91.00", 500, "2026-11-24T14:30:00Z");
    assert_eq!(desk.status(day), OrderStatus::Expired);
    assert_eq!(desk.triggers(), []);
}

#[test]
fn a_split_moves_stops_and_what_was_seen_before_it_triggers_nothing() {
    let (mut desk, account) = holder();
    print(&mut desk, "100.00", &minute(31));
    let sell = desk.place(account, "sell 10 stop 95.01 gtc");
    let buy = desk.place(account, "buy 10 stop 105.01 @ 110.00 gtc");
    let action = minute(32);
    desk.line(&format!(
        r#"{{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"s","at":"{action}"}}"#
    ));
    let stop = |desk: &Desk, n| desk.order(n).spec().unwrap().stop_price.unwrap().to_string();
    assert_eq!((stop(&desk, sell), stop(&desk, buy)), ("47.50".into(), "52.51".into()));
    let late = desk.place(account, "sell 10 stop 51.00 gtc");
    assert_eq!(desk.status(late), OrderStatus::Accepted, "the last trade is from before the split");
    print(&mut desk, "47.50", &minute(33));
    assert_eq!(desk.status(sell), OrderStatus::Triggered);
    assert_eq!(desk.status(late), OrderStatus::Triggered);
    desk.quote("47.00", 500, "52.51", 500, &minute(34));
    let sold = [trade(late, "47.00", "10"), trade(sell, "47.00", "20")];
    assert_eq!(desk.trades()[1..], sold, "the stop that was reached first is first");
    assert_eq!(desk.status(buy), OrderStatus::Accepted);
}

#[test]
fn a_restart_between_trigger_and_fill_goes_on_there() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 stop 95.00 gtc");
    // The trigger commits, and the engine is lost before the fill.
    desk.line_until(
        r#"{"t":"quote","symbol":"AAPL","bid":"94.00","bid_size":"50","ask":"95.00","ask_size":"50","at":"2026-11-23T14:31:00Z"}"#,
        1,
    );
    assert_eq!(desk.status(n), OrderStatus::Triggered);
    desk.rebuild();
    assert_eq!(desk.trades()[1..], [trade(n, "94.00", "10")]);
    assert_eq!(desk.triggers().len(), 1);
}

/// The bars of a symbol without quotes; the first lets an account buy 30 shares at 100.
fn bars() -> (Desk, aggregates::id::AccountId) {
    let mut desk = Desk::nyse();
    desk.daily_bar("2008-10-10", ["100.00"; 4], 1_000_000);
    let account = desk.account("1000000");
    desk.place(account, "buy 30 day");
    desk.daily_bar("2008-10-13", ["100.00"; 4], 1_000_000);
    (desk, account)
}

/// The point of the bar that triggered an order.
fn point(desk: &Desk, n: u128) -> Option<BarPoint> {
    desk.log.iter().find_map(|(stream, event)| match event {
        Event::Order(OrderEvent::OrderTriggered { evidence, .. })
            if *stream == aggregates::stream::StreamId::Order(order_id(n)) =>
        {
            match evidence.tick {
                EvidenceTick::Bar { point, .. } => Some(point),
                _ => None,
            }
        }
        _ => None,
    })
}

#[test]
fn a_bar_that_goes_through_a_stop_fills_at_it_and_one_that_opens_beyond_fills_at_its_open() {
    let (mut desk, account) = bars();
    let through = desk.place(account, "sell 10 stop 95.00 gtc");
    let gap = desk.place(account, "sell 10 stop 90.00 gtc");
    desk.daily_bar("2008-10-14", ["99.00", "101.00", "94.00", "98.00"], 1_000_000);
    assert_eq!(desk.trades()[1..], [trade(through, "95.00", "10")]);
    assert_eq!(point(&desk, through), Some(BarPoint::Low));
    desk.daily_bar("2008-10-15", ["88.00", "96.00", "87.00", "95.00"], 1_000_000);
    assert_eq!(desk.trades()[2..], [trade(gap, "88.00", "10")]);
    assert_eq!(point(&desk, gap), Some(BarPoint::Open));
}

#[test]
fn a_stop_limit_in_a_bar_fills_at_its_stop_or_where_the_rest_of_the_path_goes_through_its_limit() {
    let (mut desk, account) = bars();
    let marketable = desk.place(account, "buy 1 stop 105.00 @ 106.00 gtc");
    let back_down = desk.place(account, "buy 2 stop 105.00 @ 104.00 gtc");
    let never = desk.place(account, "buy 3 stop 105.00 @ 101.00 gtc");
    // Low is nearer, so the high is the last extreme and the path ends by going down to the close.
    desk.daily_bar("2008-10-14", ["100.00", "110.00", "99.00", "102.00"], 1_000_000);
    let fills = [trade(marketable, "105.00", "1"), trade(back_down, "104.00", "2")];
    assert_eq!(desk.trades()[1..], fills);
    assert_eq!(desk.status(never), OrderStatus::Triggered);
    let gap = desk.place(account, "sell 4 stop 90.00 @ 85.00 gtc");
    let beyond = desk.place(account, "sell 5 stop 90.00 @ 89.00 gtc");
    desk.daily_bar("2008-10-15", ["88.00", "95.00", "87.00", "94.00"], 1_000_000);
    let fills = [trade(never, "88.00", "3"), trade(gap, "88.00", "4"), trade(beyond, "89.00", "5")];
    assert_eq!(desk.trades()[3..], fills);
}

#[test]
fn a_restart_inside_a_bar_fills_a_stop_at_the_point_that_triggered_it() {
    let (mut desk, account) = bars();
    let n = desk.place(account, "sell 10 stop 95.00 gtc");
    desk.line_until(
        r#"{"t":"bar","symbol":"AAPL","open":"99.00","high":"101.00","low":"94.00","close":"98.00","volume":"1000","at":"2008-10-14T05:00:00Z","span":"1d"}"#,
        1,
    );
    assert_eq!(desk.status(n), OrderStatus::Triggered);
    desk.rebuild();
    assert_eq!(desk.trades()[1..], [trade(n, "95.00", "10")]);
}
