//! What an account that may only reduce may not do beside opening: take away what covers its short options, by a new order
//! or by a change of one that rests.

use aggregates::account::{AccountCommand, PolicyChange, TradingState};
use aggregates::order::{Exits, OrderChange, OrderClass, OrderSpec, Side, StopLoss, TimeInForce};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::trading::{Command, Decision};

use crate::book::*;
use crate::examples::me;
use crate::option_life::hold;
use crate::option_orders::{
    CALL_100, CALL_110, LATER_CALL_100, PUT_90, cash, list_option, margin, one, package, shown,
    trade,
};

const PRICES: [(&str, &str); 5] = [
    ("AAPL", "100"),
    (CALL_100, "2.50"),
    (CALL_110, "0.60"),
    (LATER_CALL_100, "3.50"),
    (PUT_90, "1.00"),
];

fn set(book: &mut Book, state: TradingState) {
    let change = PolicyChange { trading_state: Some(state), ..PolicyChange::default() };
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
}

/// A level 4 account that holds these and may only reduce.
fn reducing(held: &[(&str, &str)]) -> Book {
    let mut book = margin(4);
    for (symbol, qty) in held {
        hold(&mut book, symbol, qty, "100");
    }
    set(&mut book, TradingState::Reducing);
    book
}

fn shares(side: Side, qty: &str, limit: &str) -> OrderSpec {
    spec(me(), "AAPL", side, qty, Some(limit))
}

fn refusal(book: &mut Book, n: u128, order: &OrderSpec) -> Refusal {
    let placed = book.place(n, order, &shown(&PRICES));
    placed.rejected.unwrap_or_else(|| panic!("{order:?} was taken"))
}

fn taken(book: &mut Book, n: u128, order: &OrderSpec) {
    assert_eq!(book.place(n, order, &shown(&PRICES)).rejected, None);
}

fn figures(refusal: &Refusal) -> [&str; 4] {
    ["uncovered", "uncovered_before", "shares_needed", "covers"].map(|name| &*refusal.figures[name])
}

fn exercise(book: &mut Book, symbol: &str, prices: &[(&str, &str)]) -> Result<Decision, Refusal> {
    let market = shown(prices);
    book.submit(&Command::Exercise {
        account_id: me(),
        exercise_id: command_id(1),
        instrument_id: stock(symbol),
        qty: quantity("1"),
        contract_end: None,
        underlying: None,
        marks: market.marks,
        at: market.at,
    })
}

fn change(n: u128, change: OrderChange) -> Command {
    let (account_id, order_id, market) = (me(), order_id(n), shown(&PRICES));
    Command::Replace { account_id, order_id, change, seen: None, market }
}

fn limit(to: &str) -> OrderChange {
    OrderChange { limit_price: Some(price(to)), ..OrderChange::default() }
}

fn qty(to: &str) -> OrderChange {
    OrderChange { qty: Some(quantity(to)), ..OrderChange::default() }
}

#[test]
fn no_sale_takes_the_shares_from_under_a_call() {
    let mut book = reducing(&[("AAPL", "250"), (CALL_110, "-2")]);
    let told = refusal(&mut book, 1, &shares(Side::Sell, "51", "100"));
    assert_eq!(told.code, RefusalCode::ReduceOnly);
    assert_eq!(figures(&told), ["1", "0", "200", "2"]);
    assert_eq!(
        told.message,
        "the account may only reduce, and this would leave 1 short calls on AAPL uncovered, 0 before it: 200 shares that no \
         other order has reserved have to stay for 2 of them, so sell fewer, or buy the calls back first"
    );
    let all = refusal(&mut book, 2, &shares(Side::Sell, "250", "100"));
    assert_eq!(figures(&all), ["2", "0", "200", "2"]);
    // What covers nothing is sold; after that each share is needed.
    taken(&mut book, 3, &shares(Side::Sell, "50", "100"));
    let one_more = refusal(&mut book, 4, &shares(Side::Sell, "1", "100"));
    assert_eq!(figures(&one_more), ["1", "0", "200", "2"]);
    // A call that is bought back covers no more; one that is only to be bought back does.
    let back = one(CALL_110, Side::Buy, "1", Some("0.60"));
    taken(&mut book, 5, &back);
    assert_eq!(figures(&refusal(&mut book, 6, &shares(Side::Sell, "100", "100")))[0], "1");
    crate::option_orders::fill(&mut book, 5, "1", &[(CALL_110, "0.60")]);
    taken(&mut book, 7, &shares(Side::Sell, "100", "100"));
}

#[test]
fn a_sale_that_leaves_naked_calls_as_many_passes() {
    // One call is naked before and after.
    let mut book = reducing(&[("AAPL", "150"), (CALL_110, "-2")]);
    taken(&mut book, 1, &shares(Side::Sell, "50", "100"));
    let told = refusal(&mut book, 2, &shares(Side::Sell, "1", "100"));
    assert_eq!(figures(&told), ["2", "1", "100", "1"]);
    // The long call covers it as well.
    let mut book = reducing(&[("AAPL", "100"), (CALL_100, "-1"), (LATER_CALL_100, "1")]);
    taken(&mut book, 1, &shares(Side::Sell, "100", "100"));
    // And where that is to be sold it does not.
    let mut book = reducing(&[("AAPL", "100"), (CALL_100, "-1"), (LATER_CALL_100, "1")]);
    taken(&mut book, 1, &one(LATER_CALL_100, Side::Sell, "1", Some("3.50")));
    refusal(&mut book, 2, &shares(Side::Sell, "100", "100"));
}

#[test]
fn an_account_that_may_open_sells_from_under_a_call_at_level_4() {
    let mut book = reducing(&[("AAPL", "100"), (CALL_110, "-1")]);
    set(&mut book, TradingState::Active);
    taken(&mut book, 1, &shares(Side::Sell, "100", "100"));
    // A cash account is told of its level, as ever.
    let mut book = cash(2, "10000");
    hold(&mut book, "AAPL", "100", "100");
    hold(&mut book, CALL_110, "-1", "100");
    set(&mut book, TradingState::Reducing);
    let told = refusal(&mut book, 1, &shares(Side::Sell, "100", "100"));
    assert_eq!(told.code, RefusalCode::OptionLevel);
}

#[test]
fn exits_dollars_and_packages_take_no_cover_away_either() {
    let held = [("AAPL", "100"), (CALL_110, "-1")];
    let mut book = reducing(&held);
    let stop_loss = StopLoss { stop_price: price("90"), limit_price: None };
    let oco = OrderSpec {
        order_class: OrderClass::Oco,
        exits: Some(Box::new(Exits { take_profit: None, stop_loss: Some(stop_loss) })),
        ..shares(Side::Sell, "100", "120")
    };
    assert_eq!(refusal(&mut book, 1, &oco).code, RefusalCode::ReduceOnly);
    let dollars = OrderSpec {
        qty: quantity("0"),
        notional: Some(money("500")),
        ..spec(me(), "AAPL", Side::Sell, "1", None)
    };
    assert_eq!(figures(&refusal(&mut book, 2, &dollars)), ["1", "0", "100", "1"]);
    let mut book = reducing(&[("AAPL", "100"), (CALL_110, "-1"), (LATER_CALL_100, "1")]);
    let both = package(&[("AAPL", Side::Sell, 100), (LATER_CALL_100, Side::Sell, 1)], "1", "-103");
    assert_eq!(refusal(&mut book, 3, &both).code, RefusalCode::ReduceOnly);
    let back = package(&[("AAPL", Side::Sell, 100), (CALL_110, Side::Buy, 1)], "1", "-99");
    taken(&mut book, 4, &back);
}

#[test]
fn no_shares_are_bought_back_that_cover_a_short_put() {
    let mut book = reducing(&[("AAPL", "-150"), (PUT_90, "-1")]);
    let told = refusal(&mut book, 1, &shares(Side::Buy, "51", "100"));
    assert_eq!(told.code, RefusalCode::ReduceOnly);
    assert_eq!(figures(&told), ["1", "0", "100", "1"]);
    assert!(told.message.contains("buy back fewer, or buy the puts back first"), "{told}");
    taken(&mut book, 2, &shares(Side::Buy, "50", "100"));
    trade(&mut book, 3, &one(PUT_90, Side::Buy, "1", Some("1.00")), &PRICES);
    taken(&mut book, 4, &shares(Side::Buy, "100", "100"));
}

#[test]
fn the_exercise_of_a_put_takes_no_shares_from_under_a_call() {
    let held = [("AAPL", "100"), (CALL_110, "-1"), (PUT_90, "1")];
    let mut book = reducing(&held);
    let told = exercise(&mut book, PUT_90, &PRICES).unwrap_err();
    assert_eq!((told.code, figures(&told)[0]), (RefusalCode::ReduceOnly, "1"));
    set(&mut book, TradingState::Active);
    exercise(&mut book, PUT_90, &PRICES).unwrap();
}

/// As many are naked before and after by the best cover. But the put of 50 needs 510 and that of 100, which that of 95
/// covered for 500, needs 2,300 by itself.
#[test]
fn an_exercise_leaves_no_options_that_need_more() {
    let [dear, far, low, near] = [
        "AAPL231215P00100000",
        "AAPL231215P00040000",
        "AAPL240119P00050000",
        "AAPL240119P00095000",
    ];
    let mut book = margin(4);
    hold(&mut book, "AAPL", "100", "100");
    for (symbol, qty) in [(dear, "-1"), (far, "1"), (low, "-1"), (near, "1")] {
        list_option(&mut book, symbol);
        hold(&mut book, symbol, qty, "100");
    }
    set(&mut book, TradingState::Reducing);
    let prices = [("AAPL", "100"), (dear, "3"), (far, "0.10"), (low, "0.10"), (near, "2")];
    let told = exercise(&mut book, near, &prices).unwrap_err();
    assert_eq!(told.code, RefusalCode::ReduceOnly);
    let figures = ["requirement", "requirement_before"].map(|name| &*told.figures[name]);
    assert_eq!(figures, ["2810.00", "1010.00"], "{told}");
}

/// A change that brings an order nearer to a fill is asked what a new order is.
#[test]
fn a_change_brings_nothing_nearer_that_may_not_be_placed() {
    let mut book = margin(4);
    hold(&mut book, "AAPL", "100", "100");
    hold(&mut book, CALL_110, "-1", "100");
    let far = OrderSpec { time_in_force: TimeInForce::Gtc, ..shares(Side::Sell, "100", "200") };
    taken(&mut book, 1, &far);
    taken(&mut book, 2, &OrderSpec { symbol: "AAPL".into(), ..shares(Side::Sell, "40", "200") });
    let naked = one(PUT_90, Side::Sell, "1", Some("5.00"));
    taken(&mut book, 3, &naked);
    set(&mut book, TradingState::Reducing);
    // The first takes the shares from under the call, the second sells short, the third opens a put.
    for n in [1, 2] {
        let told = book.submit(&change(n, limit("100"))).unwrap_err();
        assert_eq!(told.code, RefusalCode::ReduceOnly, "{n}");
    }
    assert_eq!(figures(&book.submit(&change(1, limit("100"))).unwrap_err())[0], "1");
    assert_eq!(book.refused(&change(3, limit("4.00"))), RefusalCode::ReduceOnly);
    let longer = OrderChange { time_in_force: Some(TimeInForce::Gtc), ..OrderChange::default() };
    assert_eq!(book.refused(&change(2, longer.clone())), RefusalCode::ReduceOnly);
    assert_eq!(book.refused(&change(3, longer)), RefusalCode::ReduceOnly);
    // What asks for less passes.
    for (n, less) in [(1, qty("60")), (1, limit("201")), (2, qty("30")), (3, limit("6.00"))] {
        book.submit(&change(n, less)).unwrap();
    }
    let shorter = OrderChange { time_in_force: Some(TimeInForce::Day), ..OrderChange::default() };
    book.submit(&change(1, shorter)).unwrap();
}
