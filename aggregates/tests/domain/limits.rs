//! The limits of a policy that look at the market, the position, other orders and the equity, by hand.

use aggregates::account::{AccountCommand, PolicyChange};
use aggregates::order::{OrderChange, OrderSpec, Side};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::trading::{Command, MarketView};

use crate::book::*;
use crate::examples::{book, me};
use crate::option_endings::{assign, exercise};
use crate::option_life::{PUT_100, ends, hold, line};
use crate::option_orders::{CALL_100, CALL_101, cash, shown};

fn limited(balance: &str, change: PolicyChange) -> Book {
    let mut book = book(balance);
    book.list("F");
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
    book
}

fn order(side: Side, qty: &str, limit: Option<&str>) -> OrderSpec {
    spec(me(), "AAPL", side, qty, limit)
}

fn rejected(book: &mut Book, n: u128, order: &OrderSpec, market: &MarketView) -> Refusal {
    book.place(n, order, market).rejected.expect("a rejection")
}

fn taken(book: &mut Book, n: u128, order: &OrderSpec, market: &MarketView) {
    assert_eq!(book.place(n, order, market).rejected, None);
}

#[test]
fn a_collar_holds_limits_that_are_beyond_the_market() {
    let change = PolicyChange { price_collar_pct: Some(Some(price("5"))), ..Default::default() };
    let mut book = limited("10000", change);
    let at_100 = market(Some("100"));
    let far = rejected(&mut book, 1, &order(Side::Buy, "1", Some("105.01")), &at_100);
    assert_eq!((far.code, &*far.figures["bound"]), (RefusalCode::PriceCollar, "105.00"));
    assert_eq!(far.field.as_deref(), Some("limit_price"));
    taken(&mut book, 2, &order(Side::Buy, "1", Some("105")), &at_100);
    taken(&mut book, 3, &order(Side::Buy, "1", Some("1")), &at_100);
    book.fill(2, "1", "100");
    let far = rejected(&mut book, 4, &order(Side::Sell, "1", Some("94.99")), &at_100);
    assert_eq!((far.code, &*far.figures["bound"]), (RefusalCode::PriceCollar, "95.00"));
    taken(&mut book, 5, &order(Side::Sell, "1", Some("200")), &at_100);
    let unknown = rejected(&mut book, 6, &order(Side::Buy, "1", Some("1")), &market(None));
    assert_eq!(unknown.code, RefusalCode::NoReferencePrice);
    let change = OrderChange { limit_price: Some(price("106")), ..OrderChange::default() };
    assert_eq!(book.refused(&replace(3, me(), change)), RefusalCode::PriceCollar);
    taken(&mut book, 7, &order(Side::Buy, "1", None), &at_100);
}

#[test]
fn a_position_limit_counts_the_open_orders_that_add_to_it() {
    let change =
        PolicyChange { max_position_qty: Some(Some(quantity("10"))), ..Default::default() };
    let mut book = limited("10000", change);
    let shown = market(Some("100.01"));
    taken(&mut book, 1, &order(Side::Buy, "4", Some("100")), &shown);
    book.fill(1, "4", "100");
    taken(&mut book, 2, &order(Side::Buy, "5", Some("90")), &shown);
    let over = rejected(&mut book, 3, &order(Side::Buy, "2", Some("90")), &shown);
    assert_eq!((over.code, &*over.figures["position"]), (RefusalCode::PositionLimit, "11"));
    taken(&mut book, 4, &order(Side::Buy, "1", Some("90")), &shown);
    taken(&mut book, 5, &order(Side::Sell, "4", Some("110")), &shown);
    taken(&mut book, 6, &spec(me(), "F", Side::Buy, "10", Some("10")), &shown);
    let change = OrderChange { qty: Some(quantity("6")), ..OrderChange::default() };
    assert_eq!(book.refused(&replace(2, me(), change)), RefusalCode::PositionLimit);
    let change = OrderChange { qty: Some(quantity("3")), ..OrderChange::default() };
    book.submit(&replace(2, me(), change)).unwrap();
}

#[test]
fn a_concentration_limit_is_a_part_of_the_equity() {
    let change =
        PolicyChange { max_concentration_pct: Some(Some(price("25"))), ..Default::default() };
    let mut book = limited("10000", change);
    let prices = [("AAPL", "100"), ("F", "10")];
    let shown = marked("100", &prices);
    let over = rejected(&mut book, 1, &order(Side::Buy, "26", Some("100")), &shown);
    assert_eq!(over.code, RefusalCode::ConcentrationLimit);
    assert_eq!((&*over.figures["value"], &*over.figures["max"]), ("2600.00", "2500.00"));
    taken(&mut book, 2, &order(Side::Buy, "25", Some("100")), &shown);
    book.fill(2, "25", "100");
    // At 80 the equity is 9,500: 2,375 may be held, and 2,000 are.
    let shown = marked("80", &[("AAPL", "80"), ("F", "10")]);
    taken(&mut book, 3, &order(Side::Buy, "4", Some("80")), &shown);
    let over = rejected(&mut book, 4, &order(Side::Buy, "1", Some("80")), &shown);
    assert_eq!((&*over.figures["value"], &*over.figures["max"]), ("2400.00", "2375.00"));
    taken(&mut book, 5, &order(Side::Sell, "25", Some("80")), &shown);
    let unknown = marked("10", &[("F", "10")]);
    let refused = rejected(&mut book, 6, &spec(me(), "F", Side::Buy, "1", Some("10")), &unknown);
    assert_eq!((refused.code, &*refused.figures["symbol"]), (RefusalCode::NoMark, "AAPL"));
}

#[test]
fn a_short_position_is_limited_by_its_size() {
    let change = PolicyChange {
        max_position_qty: Some(Some(quantity("10"))),
        max_concentration_pct: Some(Some(price("8"))),
        ..Default::default()
    };
    let mut book = limited("1", change.clone());
    let short = account_id(2);
    book.open_margin(short, "10000");
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: short, command }).unwrap();
    let shown = marked("100", &[("AAPL", "100")]);
    let sell = |qty| spec(short, "AAPL", Side::Sell, qty, Some("100"));
    let over = rejected(&mut book, 1, &sell("11"), &shown);
    assert_eq!((over.code, &*over.figures["position"]), (RefusalCode::PositionLimit, "11"));
    let over = rejected(&mut book, 2, &sell("9"), &shown);
    assert_eq!((over.code, &*over.figures["value"]), (RefusalCode::ConcentrationLimit, "900.00"));
    taken(&mut book, 3, &sell("8"), &shown);
    book.fill_marked(3, "8", "100", &[("AAPL", "100")]);
    taken(&mut book, 4, &spec(short, "AAPL", Side::Buy, "8", Some("100")), &shown);
}

#[test]
fn open_orders_are_counted_and_a_change_of_one_is_none_more() {
    let change = PolicyChange { max_open_orders: Some(Some(2)), ..Default::default() };
    let mut book = limited("10000", change);
    let shown = market(Some("100.01"));
    for n in 1..3 {
        taken(&mut book, n, &order(Side::Buy, "1", Some("90")), &shown);
    }
    let over = rejected(&mut book, 3, &order(Side::Buy, "1", Some("90")), &shown);
    assert_eq!((over.code, &*over.figures["open_orders"]), (RefusalCode::OpenOrdersLimit, "2"));
    let change = OrderChange { qty: Some(quantity("2")), ..OrderChange::default() };
    book.submit(&replace(2, me(), change)).unwrap();
    book.submit(&cancel(1, me())).unwrap();
    taken(&mut book, 4, &order(Side::Buy, "1", Some("90")), &shown);
}

#[test]
fn a_limit_that_permits_nothing_is_refused() {
    let mut book = book("1");
    for change in [
        PolicyChange { price_collar_pct: Some(Some(price("0"))), ..Default::default() },
        PolicyChange { max_position_qty: Some(Some(quantity("0"))), ..Default::default() },
        PolicyChange { max_concentration_pct: Some(Some(price("-1"))), ..Default::default() },
        PolicyChange { max_open_orders: Some(Some(0)), ..Default::default() },
    ] {
        let command = AccountCommand::ChangePolicy { change };
        let command = Command::Account { account_id: me(), command };
        assert_eq!(book.refused(&command), RefusalCode::InvalidAmount);
    }
}

#[test]
fn what_an_exchange_does_to_a_position_is_held_by_no_limit() {
    let mut book = cash(2, "40000");
    for (symbol, qty) in [(CALL_100, "1"), (CALL_101, "1"), (PUT_100, "-1")] {
        hold(&mut book, symbol, qty, "200");
    }
    let change = PolicyChange {
        max_order_qty: Some(Some(quantity("10"))),
        max_order_notional: Some(Some(money("500"))),
        max_position_qty: Some(Some(quantity("50"))),
        max_concentration_pct: Some(Some(price("1"))),
        ..PolicyChange::default()
    };
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
    book.submit(&exercise(CALL_100, "1", &[("AAPL", "110")])).unwrap();
    book.submit(&assign(PUT_100, "1", &[("AAPL", "90")])).unwrap();
    ends(&mut book, "110", &[CALL_101]);
    assert!(line(&book, "AAPL").starts_with("300 cost "), "{}", line(&book, "AAPL"));
    let at_100 = shown(&[("AAPL", "100")]);
    let one_more = rejected(&mut book, 1, &order(Side::Buy, "1", Some("100")), &at_100);
    assert_eq!(one_more.code, RefusalCode::PositionLimit);
    taken(&mut book, 2, &order(Side::Sell, "10", Some("100")), &at_100);
    let too_many = rejected(&mut book, 3, &order(Side::Sell, "11", Some("100")), &at_100);
    assert_eq!(too_many.code, RefusalCode::OrderLimit);
}
