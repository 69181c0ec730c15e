//! How many contracts on one underlying an account may have to cover together, of which some are short.

use aggregates::account::AccountKind;
use aggregates::margin::{MOST_CONTRACTS, MOST_UNEVEN_CONTRACTS};
use aggregates::order::{OrderSpec, Side};
use aggregates::refusal::RefusalCode;
use aggregates::trading::MarketView;

use crate::book::*;
use crate::examples::me;
use crate::option_orders::{desk, list_option, one, shown, terms};

/// The n-th of many calls, from a strike of 101 on.
fn call(n: usize) -> String {
    format!("AAPL231215C{:05}000", 100 + n)
}

/// An account that may be naked, in a market with so many calls.
fn desk_of(calls: usize) -> Book {
    let mut book = desk(AccountKind::Margin, 4, "10000000");
    // Those that every desk has.
    let listed = [call(1), call(10)];
    let others = (1..=calls).map(call).filter(|symbol| !listed.contains(symbol));
    others.for_each(|symbol| list_option(&mut book, &symbol));
    book
}

/// The market as an order of the n-th call meets it, in which all calls stand at a dollar.
fn market_of(n: usize) -> MarketView {
    let calls: Vec<String> = std::iter::once(call(n)).chain((1..=50).map(call)).collect();
    let prices: Vec<(&str, &str)> = calls.iter().map(|symbol| (symbol.as_str(), "1")).collect();
    let mut market = shown(&prices);
    market.contracts.insert(stock(&call(n)), terms(&call(n)));
    market
}

/// An order for one of a call, which waits.
fn order(n: usize, side: Side) -> OrderSpec {
    one(&call(n), side, "1", Some(if side == Side::Buy { "0.50" } else { "2.00" }))
}

fn place_order(book: &mut Book, n: usize, side: Side) {
    let placed = book.place(n as u128, &order(n, side), &market_of(n));
    assert_eq!(placed.rejected, None, "{n}");
}

#[test]
fn as_many_contracts_as_are_covered_together_may_be_held_or_ordered_where_some_are_short() {
    let beyond = MOST_CONTRACTS + 1;
    let mut book = desk_of(beyond);
    place_order(&mut book, 1, Side::Sell);
    (2..beyond).for_each(|n| place_order(&mut book, n, Side::Buy));
    for (id, side) in [(1_000, Side::Buy), (1_001, Side::Sell)] {
        let one_more = place(id, &order(beyond, side), &market_of(beyond));
        let refusal = book.submit(&one_more).unwrap().rejected.unwrap();
        assert_eq!(refusal.code, RefusalCode::ContractsLimit);
        assert_eq!(refusal.figures["contracts"], beyond.to_string());
        assert_eq!(refusal.figures["max_contracts"], MOST_CONTRACTS.to_string());
    }
    let more_of_one = book.place(1_002, &order(2, Side::Buy), &market_of(2));
    assert_eq!(more_of_one.rejected, None, "it is no other contract");
    book.submit(&cancel(5, me())).unwrap();
    place_order(&mut book, beyond, Side::Buy);
}

#[test]
fn fewer_contracts_are_covered_together_where_a_strike_is_no_multiple_of_half_a_dollar() {
    let mut book = desk_of(MOST_UNEVEN_CONTRACTS);
    let uneven = "AAPL231215C00100250";
    list_option(&mut book, uneven);
    place_order(&mut book, 1, Side::Sell);
    (2..=MOST_UNEVEN_CONTRACTS).for_each(|n| place_order(&mut book, n, Side::Buy));
    let mut market = market_of(1);
    market.contracts.insert(stock(uneven), terms(uneven));
    let order = one(uneven, Side::Buy, "1", Some("0.50"));
    let refusal = book.submit(&place(1_000, &order, &market)).unwrap().rejected.unwrap();
    assert_eq!(refusal.code, RefusalCode::ContractsLimit);
    assert_eq!(refusal.figures["max_contracts"], MOST_UNEVEN_CONTRACTS.to_string());
}

#[test]
fn what_is_long_alone_is_not_bounded_and_keeps_out_what_is_short() {
    let beyond = MOST_CONTRACTS + 1;
    let mut book = desk_of(beyond + 1);
    for n in 1..=beyond {
        place_order(&mut book, n, Side::Buy);
        book.fill(n as u128, "1", "0.50");
    }
    let short = place(1_000, &order(beyond + 1, Side::Sell), &market_of(beyond + 1));
    let refusal = book.submit(&short).unwrap().rejected.unwrap();
    assert_eq!(refusal.code, RefusalCode::ContractsLimit);
}
