//! Trailing stops: what moves the mark, what triggers, restarts, splits; and on bars of 2008, worked by hand.

use std::io::Read;

use aggregates::order::OrderStatus;
use flate2::read::GzDecoder;

use super::desk::{Desk, order_id, trade};

fn minute(n: u32) -> String {
    format!("2026-11-23T14:{n:02}:00Z")
}

/// A desk that holds 100 shares, quoted 99.00 to 101.00, with a last trade at 100.00.
fn holder() -> (Desk, aggregates::id::AccountId) {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "101.00", 500, &minute(30));
    let account = desk.account("1000000");
    desk.place(account, "buy 100");
    print(&mut desk, "100.00", 31);
    (desk, account)
}

fn print(desk: &mut Desk, price: &str, at: u32) {
    let at = minute(at);
    let worked = desk.line(&format!(
        r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"50","at":"{at}"}}"#
    ));
    assert!(worked.place.is_some());
}

fn mark(desk: &Desk, n: u128) -> String {
    desk.core.state().orders.mark(order_id(n)).unwrap().to_string()
}

#[test]
fn the_mark_starts_at_the_last_trade_and_moves_in_favour_alone() {
    let (mut desk, account) = holder();
    let sell = desk.place(account, "sell 10 trail 10 gtc");
    let buy = desk.place(account, "buy 10 trail 10 gtc");
    let mut marks = vec![(mark(&desk, sell), mark(&desk, buy))];
    for (price, at) in [("95.00", 32), ("97.50", 33), ("105.00", 34)] {
        print(&mut desk, price, at);
        marks.push((mark(&desk, sell), desk.triggers().len().to_string()));
    }
    // The stops of the sell are 90, 90, 90, 95; that of the buy is 105 from the 95.00 on.
    assert_eq!(marks[0], ("100.00".into(), "100.00".into()));
    let sells: Vec<&str> = marks.iter().map(|marks| marks.0.as_str()).collect();
    assert_eq!(sells, ["100.00", "100.00", "100.00", "105.00"]);
    assert_eq!(desk.triggers(), [(buy, 5, "105.00".to_owned())]);
    print(&mut desk, "95.00", 35);
    assert_eq!(desk.triggers()[1..], [(sell, 6, "95.00".to_owned())]);
    desk.quote("94.00", 500, "96.00", 500, &minute(36));
    assert_eq!(desk.trades()[1..], [trade(buy, "96.00", "10"), trade(sell, "94.00", "10")]);
}

#[test]
fn a_percentage_is_of_the_mark_and_rounds_half_up_to_the_tick() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 percent 5 gtc");
    print(&mut desk, "101.10", 32);
    // 101.10 * 0.95 = 96.045
    print(&mut desk, "96.06", 33);
    assert_eq!(desk.status(n), OrderStatus::Accepted);
    print(&mut desk, "96.05", 34);
    assert_eq!(desk.triggers(), [(n, 5, "96.05".to_owned())]);
}

#[test]
fn one_that_looks_at_quotes_follows_the_side_that_it_would_meet() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 trail 2 quote gtc");
    assert_eq!(mark(&desk, n), "99.00");
    print(&mut desk, "150.00", 32);
    desk.quote("103.00", 500, "160.00", 500, &minute(33));
    assert_eq!(mark(&desk, n), "103.00");
    desk.quote("101.00", 500, "102.00", 500, &minute(34));
    assert_eq!(desk.trades()[1..], [trade(n, "101.00", "10")]);
}

#[test]
fn marks_stand_still_in_a_halt_and_survive_restarts() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 trail 10 gtc");
    print(&mut desk, "110.00", 32);
    let status = |state: &str, at: u32| {
        let at = minute(at);
        format!(r#"{{"t":"status","symbol":"AAPL","state":"{state}","at":"{at}"}}"#)
    };
    desk.line(&status("halted", 33));
    print(&mut desk, "150.00", 34);
    desk.line(&status("trading", 35));
    assert_eq!(mark(&desk, n), "110.00");
    desk.rebuild();
    assert_eq!(mark(&desk, n), "110.00", "from log and tape");
    desk.reload();
    assert_eq!(mark(&desk, n), "110.00", "from a stored state");
    let later = desk.place(account, "sell 10 trail 10 gtc");
    assert_eq!(mark(&desk, later), "150.00", "it is the last price, of a halt or not");
    print(&mut desk, "120.00", 36);
    assert_eq!(desk.triggers(), [(later, 7, "140.00".to_owned())]);
    assert_eq!(mark(&desk, n), "120.00");
}

#[test]
fn a_split_divides_marks_and_amounts_and_leaves_percentages() {
    let (mut desk, account) = holder();
    let amount = desk.place(account, "sell 10 trail 9.99 gtc");
    let percent = desk.place(account, "sell 10 percent 10 gtc");
    print(&mut desk, "110.00", 32);
    let at = minute(33);
    desk.line(&format!(
        r#"{{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"s","at":"{at}"}}"#
    ));
    assert_eq!((mark(&desk, amount), mark(&desk, percent)), ("55.00".into(), "55.00".into()));
    print(&mut desk, "50.01", 34);
    assert_eq!(desk.triggers(), []);
    // 4.995 rounds up to 5.00, and 10 % of 55 are 5.50.
    print(&mut desk, "50.00", 35);
    print(&mut desk, "49.50", 36);
    let triggers = [(amount, 6, "50.00".to_owned()), (percent, 7, "49.50".to_owned())];
    assert_eq!(desk.triggers(), triggers);
}

#[test]
fn one_that_waits_for_a_price_follows_the_market_from_there_on_across_restarts() {
    let (mut desk, account) = holder();
    let marks =
        |desk: &Desk, n| desk.core.state().orders.mark(order_id(n)).map(|mark| mark.to_string());
    let sell = desk.place(account, "sell 10 trail 5 from 110.00 gtc");
    let buy = desk.place(account, "buy 10 trail 5 from 90.00 gtc");
    let at_once = desk.place(account, "sell 10 trail 50 from 99.00 gtc");
    assert_eq!((marks(&desk, sell), marks(&desk, buy)), (None, None));
    assert_eq!(marks(&desk, at_once).as_deref(), Some("100.00"), "the market is there already");
    print(&mut desk, "109.99", 32);
    print(&mut desk, "90.01", 33);
    assert_eq!((marks(&desk, sell), marks(&desk, buy)), (None, None));
    desk.reload();
    print(&mut desk, "112.00", 34);
    assert_eq!(marks(&desk, sell).as_deref(), Some("112.00"), "the price that was there first");
    desk.rebuild();
    print(&mut desk, "88.00", 35);
    assert_eq!(desk.triggers(), [(sell, 6, "107.00".to_owned())]);
    assert_eq!(marks(&desk, buy).as_deref(), Some("88.00"));
    print(&mut desk, "93.00", 36);
    assert_eq!(desk.triggers()[1..], [(buy, 7, "93.00".to_owned())]);
}

#[test]
fn another_activation_price_leaves_a_mark_that_has_come_there_and_else_begins_anew() {
    let (mut desk, account) = holder();
    let marks =
        |desk: &Desk, n| desk.core.state().orders.mark(order_id(n)).map(|mark| mark.to_string());
    let n = desk.place(account, "sell 10 trail 5 offset 1.00 gtc");
    print(&mut desk, "112.00", 32);
    assert!(desk.refollow(account, n, Some(11_000), None));
    assert_eq!(marks(&desk, n).as_deref(), Some("112.00"));
    assert!(desk.refollow(account, n, Some(11_500), Some(200)));
    assert_eq!(marks(&desk, n), None);
    desk.rebuild();
    print(&mut desk, "90.00", 33);
    assert_eq!(desk.triggers(), [], "it does not follow the market any more");
    assert!(desk.refollow(account, n, Some(8_000), None));
    assert_eq!(marks(&desk, n), None, "the next price counts, and none that was");
    desk.reload();
    print(&mut desk, "116.00", 34);
    print(&mut desk, "111.00", 35);
    assert_eq!(desk.triggers(), [(n, 6, "111.00".to_owned())]);
    let limit = desk.order(n).spec().unwrap().limit_price;
    assert_eq!(limit, Some("109.00".parse().unwrap()));
    assert!(!desk.refollow(account, n, Some(9_000), None), "it was triggered");
}

#[test]
fn a_bar_lets_a_stop_follow_by_its_extreme_and_tests_the_close() {
    let mut desk = Desk::nyse();
    let account = desk.account("1000000");
    desk.daily_bar("2026-11-19", ["100", "100", "100", "100"], 5000);
    desk.place(account, "buy 100 gtc");
    desk.daily_bar("2026-11-20", ["100", "100", "100", "100"], 5000);
    let n = desk.place(account, "sell 10 trail 5 from 110.00 gtc");
    let limited = desk.place(account, "sell 10 trail 5 from 110.00 offset 2.00 gtc");
    // Up to 112 first: from there on the stop is 107, and the close is below it. The limit is 105.
    desk.daily_bar("2026-11-23", ["109", "112", "101", "106"], 5000);
    assert_eq!(desk.triggers(), [(n, 5, "107.00".into()), (limited, 5, "107.00".into())]);
    assert_eq!(desk.trades()[1..], [trade(n, "106.00", "10"), trade(limited, "106.00", "10")]);
}

#[test]
fn a_distance_that_is_made_smaller_triggers_at_once_where_the_market_is_beyond_it() {
    let (mut desk, account) = holder();
    let n = desk.place(account, "sell 10 trail 10 gtc");
    print(&mut desk, "110.00", 32);
    print(&mut desk, "105.00", 33);
    assert!(desk.retrail(account, n, "6"));
    assert_eq!(desk.status(n), OrderStatus::Accepted, "104.00 is not reached");
    assert!(desk.retrail(account, n, "5"));
    assert_eq!(desk.triggers(), [(n, 4, "105.00".to_owned())]);
    desk.quote("104.00", 500, "106.00", 500, &minute(34));
    assert_eq!(desk.trades()[1..], [trade(n, "104.00", "10")]);
}

/// The daily bars of AAPL in the autumn of 2008, by date.
fn autumn() -> impl Iterator<Item = String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/daily-2008-autumn.jsonl.gz");
    let mut text = String::new();
    let file = std::fs::File::open(file).unwrap();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let bars: Vec<String> =
        text.lines().filter(|line| line.contains(r#""AAPL""#)).map(str::to_owned).collect();
    bars.into_iter()
}

#[test]
fn trailing_stops_and_a_gap_on_the_bars_of_2008() {
    let mut desk = Desk::nyse();
    let account = desk.account("1000000");
    let mut orders = Vec::new();
    for line in autumn() {
        desk.line(&line);
        let closed = |date: &str| line.contains(&format!(r#""at":"{date}T"#));
        if closed("2008-08-04") {
            // Fills at the open of August 5th, 155.50.
            orders.push(desk.place(account, "buy 40 gtc"));
        } else if closed("2008-08-05") {
            // Closed at 160.64: the first stop is 155.64. August 6th, low 158.00, high 167.40, close 164.19: the stop is 162.40
            // then. August 7th opens at 162.89 and has a low of 161.50: it fills at 162.40.
            orders.push(desk.place(account, "sell 10 trail 5 gtc"));
            // The highest until it ends is the 180.45 of August 14th, 162.405 less a tenth: 162.41. The lows stay above the
            // stop until September 4th, which opens at 165.86 and goes down to 160.81: it fills at 162.41.
            orders.push(desk.place(account, "sell 10 percent 10 gtc"));
            // The low of September 12th is 146.50, and September 15th opens at 142.03: it fills there, below its stop.
            orders.push(desk.place(account, "sell 10 stop 145.00 gtc"));
        } else if closed("2008-10-09") {
            // Closed at 88.74: the first stop is 100.24. October 10th has a high of 100.00 and does not reach it, a low of 85.00,
            // from which the stop is 96.50, and closes at 96.80: beyond it, so it fills at the close.
            orders.push(desk.place(account, "buy 10 trail 11.50 gtc"));
        }
    }
    let [bought, amount, percent, gap, close] = orders[..] else { panic!("{orders:?}") };
    let expected = [
        trade(bought, "155.50", "40"),
        trade(amount, "162.40", "10"),
        trade(percent, "162.41", "10"),
        trade(gap, "142.03", "10"),
        trade(close, "96.80", "10"),
    ];
    assert_eq!(desk.trades(), expected);
    desk.rebuild();
    assert_eq!(desk.trades(), expected);
}
