//! Orders of options and of several legs, each by a case worked by hand.

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId};
use aggregates::order::{OrderEvent, OrderStatus, TimeInForce};
use aggregates::stream::Event;

use super::super::{Record, Settings};
use super::desk::{AAPL, Desk, trade};
use crate::market::calendar::Calendar;

// 2026-11-23 is a Monday; the session is 14:30-21:00 UTC. The contracts expire on Friday, December 18.
const C190: &str = "AAPL261218C00190000";
const C195: &str = "AAPL261218C00195000";

fn price(desk: &mut Desk, symbol: &str, quote: [&str; 4], at: &str) {
    let [bid, bid_size, ask, ask_size] = quote;
    desk.line(&format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"{bid_size}","ask":"{ask}","ask_size":"{ask_size}","at":"2026-11-23T{at}Z"}}"#
    ));
}

fn status(desk: &mut Desk, symbol: &str, state: &str, at: &str) {
    desk.line(&format!(
        r#"{{"t":"status","symbol":"{symbol}","state":"{state}","at":"2026-11-23T{at}Z"}}"#
    ));
}

/// The stock at 191, the 190 call at 5.00 to 5.10 with 10 each, the 195 call at 2.90 to 3.00 with 6 each.
fn quoted(mut desk: Desk) -> Desk {
    price(&mut desk, AAPL, ["190.99", "500", "191.00", "500"], "15:00:00");
    price(&mut desk, C190, ["5.00", "10", "5.10", "10"], "15:00:00");
    price(&mut desk, C195, ["2.90", "6", "3.00", "6"], "15:00:00");
    desk
}

fn held(desk: &Desk, account: AccountId, symbol: &str) -> String {
    desk.held_of(account, InstrumentId::of_symbol(symbol))
}

/// A debit spread: long the 190, short the 195.
const SPREAD: [(&str, u32, &str); 2] = [("buy", 1, C190), ("sell", 1, C195)];

#[test]
fn an_option_fills_by_its_own_quotes_in_contracts_and_pays_for_a_hundred_shares() {
    let mut desk = quoted(Desk::nyse());
    let account = desk.options_account(AccountKind::Cash, "10000");
    let n = desk.place_legs(account, 12, Some("5.10"), &[("buy", 1, C190)], TimeInForce::Day);
    assert_eq!(desk.trades(), [trade(n, "5.10", "10")], "ten are offered");
    price(&mut desk, C190, ["4.90", "10", "5.00", "10"], "15:00:01");
    assert_eq!(desk.trades()[1..], [trade(n, "5.10", "2")]);
    assert_eq!(
        (desk.cash(account).as_str(), held(&desk, account, C190).as_str()),
        ("3880.00", "12")
    );
}

#[test]
fn a_market_order_of_an_option_waits_for_a_quote_and_no_trade_of_it_fills_anything() {
    let mut desk = Desk::nyse();
    price(&mut desk, AAPL, ["190.99", "500", "191.00", "500"], "15:00:00");
    let print = |desk: &mut Desk, at: &str| {
        desk.line(&format!(
            r#"{{"t":"trade","symbol":"{C190}","price":"5.00","size":"5","at":"2026-11-23T{at}Z"}}"#
        ));
    };
    print(&mut desk, "15:00:01");
    let account = desk.options_account(AccountKind::Cash, "10000");
    let n = desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    print(&mut desk, "15:00:02");
    assert_eq!((desk.status(n), desk.trades()), (OrderStatus::Accepted, vec![]));
    price(&mut desk, C190, ["5.00", "10", "5.10", "10"], "15:00:03");
    assert_eq!(desk.trades(), [trade(n, "5.10", "1")]);
}

#[test]
fn nothing_of_an_option_fills_while_what_it_is_on_is_halted_nor_on_what_stood_before() {
    let mut desk = quoted(Desk::nyse());
    let account = desk.options_account(AccountKind::Margin, "10000");
    status(&mut desk, AAPL, "halted", "15:00:01");
    let single = desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    let spread = desk.place_legs(account, 1, None, &SPREAD, TimeInForce::Day);
    price(&mut desk, C190, ["5.00", "10", "5.10", "10"], "15:00:02");
    assert!(desk.trades().is_empty());
    desk.reload();
    status(&mut desk, AAPL, "trading", "15:00:03");
    price(&mut desk, AAPL, ["190.99", "500", "191.00", "500"], "15:00:03");
    price(&mut desk, C195, ["2.90", "6", "3.00", "6"], "15:00:03");
    assert!(desk.trades().is_empty(), "the other leg was quoted while it was halted");
    desk.rebuild();
    price(&mut desk, C190, ["5.00", "10", "5.10", "10"], "15:00:04");
    assert_eq!(desk.trades(), [trade(single, "5.10", "1"), trade(spread, "2.20", "1")]);
}

#[test]
fn a_package_fills_whole_at_the_natural_price_on_arrival_and_takes_of_the_size_of_every_leg() {
    let mut desk = quoted(Desk::nyse());
    let account = desk.options_account(AccountKind::Margin, "10000");
    let n = desk.place_legs(account, 8, Some("2.50"), &SPREAD, TimeInForce::Day);
    assert_eq!(desk.trades(), [trade(n, "2.20", "6")], "six are wanted of the short leg");
    assert_eq!((&*held(&desk, account, C190), &*held(&desk, account, C195)), ("6", "-6"));
    let single = desk.place_legs(account, 9, None, &[("buy", 1, C190)], TimeInForce::Day);
    assert_eq!(desk.trades()[1..], [trade(single, "5.10", "4")], "four are left of the long one");
    let Some(Event::Order(OrderEvent::OrderFilled { evidence, legs, .. })) =
        desk.log.iter().map(|(_, event)| event).find(|event| event.event_type() == "OrderFilled")
    else {
        panic!("it has filled")
    };
    let places: Vec<u64> = legs.iter().map(|leg| leg.evidence.tape_place).collect();
    assert_eq!(
        (evidence.tape_place, &*places),
        (3, &[2, 3][..]),
        "the latest of its quotes made it"
    );
    // 10,000 less 6 packages at 2.20 and 4 contracts at 5.10.
    assert_eq!(desk.cash(account), "6640.00");
}

#[test]
fn a_package_that_rests_fills_when_a_quote_of_any_leg_brings_it_to_its_limit() {
    let mut desk = quoted(Desk::nyse());
    let account = desk.options_account(AccountKind::Margin, "10000");
    let n = desk.place_legs(account, 2, Some("2.00"), &SPREAD, TimeInForce::Gtc);
    price(&mut desk, C190, ["4.90", "10", "5.00", "10"], "15:00:01");
    assert!(desk.trades().is_empty(), "2.10 is above the limit");
    desk.rebuild();
    price(&mut desk, C195, ["3.05", "1", "3.20", "6"], "15:00:02");
    assert_eq!(desk.trades(), [trade(n, "1.95", "1")], "the natural price, not the limit");
    price(&mut desk, C195, ["3.00", "6", "3.20", "6"], "15:00:03");
    assert_eq!(desk.trades()[1..], [trade(n, "2.00", "1")]);
    assert_eq!(desk.status(n), OrderStatus::Filled);
}

#[test]
fn the_book_of_a_leg_comes_before_packages_and_these_in_the_order_of_arrival() {
    let mut desk = quoted(Desk::nyse());
    let account = desk.options_account(AccountKind::Margin, "100000");
    let first = desk.place_legs(account, 4, Some("1.00"), &SPREAD, TimeInForce::Day);
    let second = desk.place_legs(account, 4, Some("1.20"), &SPREAD, TimeInForce::Day);
    let single = desk.place_legs(account, 3, Some("4.00"), &[("buy", 1, C190)], TimeInForce::Day);
    price(&mut desk, C190, ["3.80", "10", "3.90", "8"], "15:00:01");
    let all = [trade(single, "4.00", "3"), trade(first, "1.00", "4"), trade(second, "1.00", "1")];
    assert_eq!(desk.trades(), all, "eight contracts are offered, six wanted of the other leg");
}

#[test]
fn a_credit_with_ratios_and_shares_fills_by_whole_packages_or_not_at_all() {
    let mut desk = quoted(Desk::nyse());
    let account = desk.options_account(AccountKind::Margin, "1000000");
    // A stock leg sells what is held.
    desk.place(account, "buy 500");
    let legs = [("buy", 1, C190), ("sell", 2, C195), ("sell", 100, AAPL)];
    let far = desk.place_legs(account, 1, Some("-192.00"), &legs, TimeInForce::Day);
    assert_eq!(desk.status(far), OrderStatus::Accepted, "{:?}", desk.log.last());
    let n = desk.place_legs(account, 4, None, &legs, TimeInForce::Day);
    // 5.10 less twice 2.90 less 190.99.
    assert_eq!(
        desk.trades()[1..],
        [trade(n, "-191.69", "3")],
        "six of the short leg are three packages"
    );
    assert_eq!(desk.held(account), "200");
    price(&mut desk, C195, ["2.90", "1", "3.00", "6"], "15:00:01");
    assert_eq!(desk.trades().len(), 2, "one contract is no package");
}

#[test]
fn a_package_waits_for_quotes_of_all_legs_that_are_fresh_and_of_open_hours() {
    let mut desk = quoted(Desk::new(Settings::new(Calendar::nyse())));
    let account = desk.options_account(AccountKind::Margin, "10000");
    price(&mut desk, C195, ["2.90", "6", "3.00", "6"], "15:01:01");
    let n = desk.place_legs(account, 1, None, &SPREAD, TimeInForce::Day);
    assert!(desk.trades().is_empty(), "the quote of one leg is 61 seconds old");
    status(&mut desk, C190, "halted", "15:01:02");
    price(&mut desk, C190, ["5.00", "10", "5.10", "10"], "15:01:03");
    assert!(desk.trades().is_empty(), "one leg is halted");
    status(&mut desk, C190, "trading", "15:01:04");
    price(&mut desk, C190, ["5.00", "10", "5.10", "10"], "21:00:00");
    assert_eq!((desk.status(n), desk.trades()), (OrderStatus::Expired, vec![]));
}

#[test]
fn without_a_bound_on_sizes_a_package_fills_whole() {
    let mut desk = quoted(Desk::unlimited());
    let account = desk.options_account(AccountKind::Margin, "100000");
    let n = desk.place_legs(account, 40, Some("2.20"), &SPREAD, TimeInForce::Day);
    assert_eq!(desk.trades(), [trade(n, "2.20", "40")]);
}

#[test]
fn the_underlying_of_a_short_option_is_among_the_prices_that_an_account_is_decided_with() {
    let mut desk = quoted(Desk::nyse());
    let account = desk.options_account(AccountKind::Margin, "100000");
    desk.place_legs(account, 1, None, &[("sell", 1, C195)], TimeInForce::Day);
    assert_eq!(desk.trades().len(), 1);
    let symbols = desk.core.priced_symbols(account).unwrap();
    assert_eq!(symbols.into_iter().collect::<Vec<_>>(), [AAPL, C195]);
    // Bought back: it needs no more.
    desk.place_legs(account, 1, None, &[("buy", 1, C195)], TimeInForce::Day);
    assert_eq!(
        (held(&desk, account, C195).as_str(), desk.cash(account).as_str()),
        ("0", "99990.00")
    );
    assert!(desk.core.state().held_on.is_empty());
}

#[test]
fn the_legs_of_working_orders_and_what_options_are_on_are_kept_on_a_tape_of_what_is_worked() {
    let settings = Settings {
        record: Record::Working,
        max_quote_age: None,
        ..Settings::new(Calendar::nyse())
    };
    let mut desk = quoted(Desk::new(settings));
    let account = desk.options_account(AccountKind::Margin, "10000");
    assert!(!desk.core.glance(AAPL).unwrap().recorded);
    let n = desk.place_legs(account, 1, Some("2.00"), &SPREAD, TimeInForce::Day);
    for symbol in [AAPL, C190, C195] {
        assert!(desk.core.glance(symbol).unwrap().recorded, "{symbol}");
    }
    desk.rebuild();
    price(&mut desk, C190, ["4.80", "10", "4.90", "10"], "15:00:01");
    assert_eq!(desk.trades(), [trade(n, "2.00", "1")]);
    desk.rebuild();
    assert!(desk.core.glance(AAPL).unwrap().recorded, "options on it are held");
}
