//! Orders of options: what they open and close, what they reserve, and what a fill of every leg moves.

use std::collections::BTreeMap;

use aggregates::account::{AccountCommand, PolicyChange, TradingState};
use aggregates::id::AccountId;
use aggregates::instrument::{Contract, InstrumentCommand, InstrumentKind, OptionTerms};
use aggregates::margin::Marks;
use aggregates::order::{
    CancelReason, Execution, Leg, LegExecution, OrderChange, OrderClass, OrderEvent, OrderSpec,
    OrderStatus, OrderType, PositionIntent, Side, TimeInForce, net_price,
};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::stream::Event;
use aggregates::trading::{Command, Decision, MarketView};

use crate::book::*;
use crate::examples::me;

/// Options on `AAPL`, which stands at 100 in these tests unless another price is shown.
pub const CALL_100: &str = "AAPL231215C00100000";
pub const CALL_101: &str = "AAPL231215C00101000";
pub const CALL_110: &str = "AAPL231215C00110000";
pub const PUT_90: &str = "AAPL231215P00090000";
pub const PUT_95: &str = "AAPL231215P00095000";
pub const LATER_CALL_100: &str = "AAPL240119C00100000";
const ALL: [&str; 6] = [CALL_100, CALL_101, CALL_110, PUT_90, PUT_95, LATER_CALL_100];

pub fn terms(symbol: &str) -> OptionTerms {
    let contract: Contract = symbol.parse().unwrap();
    OptionTerms::of(&contract, "AAPL", None, None).unwrap()
}

pub fn list_option(book: &mut Book, symbol: &str) {
    let (instrument_id, symbol) = (stock(symbol), symbol.to_owned());
    let (name, kind) = (symbol.clone(), InstrumentKind::Option);
    let command = InstrumentCommand::List { instrument_id, symbol, name, kind, at: None };
    book.submit(&Command::Instrument { instrument_id, command }).unwrap();
}

/// An account of this level that has so much, in a market with AAPL and its options.
pub fn desk(kind: aggregates::account::AccountKind, level: u8, balance: &str) -> Book {
    let mut book = Book::default();
    book.list("AAPL");
    for symbol in ALL {
        list_option(&mut book, symbol);
    }
    let mut open = open_as(kind, me(), balance);
    if let Command::Account { command: AccountCommand::Open { option_level, .. }, .. } = &mut open {
        *option_level = level;
    }
    book.submit(&open).unwrap();
    book
}

pub fn margin(level: u8) -> Book {
    desk(aggregates::account::AccountKind::Margin, level, "10000")
}

pub fn cash(level: u8, balance: &str) -> Book {
    desk(aggregates::account::AccountKind::Cash, level, balance)
}

/// The market as an order of options meets it: AAPL at 100, and these options.
pub fn shown(prices: &[(&str, &str)]) -> MarketView {
    let mut all = vec![("AAPL", "100")];
    all.retain(|(symbol, _)| prices.iter().all(|(named, _)| named != symbol));
    all.extend_from_slice(prices);
    let contracts = ALL.iter().map(|symbol| (stock(symbol), terms(symbol))).collect();
    MarketView {
        contracts,
        contracts_end: Some(at(86_400)),
        ..marked(prices.first().map_or("1", |(_, price)| price), &all)
    }
}

/// An order of one option.
pub fn one(symbol: &str, side: Side, qty: &str, limit: Option<&str>) -> OrderSpec {
    spec(me(), symbol, side, qty, limit)
}

fn leg(symbol: &str, side: Side, ratio_qty: u32) -> Leg {
    let (instrument_id, symbol) = (stock(symbol), symbol.to_owned());
    Leg { instrument_id, symbol, side, ratio_qty, position_intent: None, contract: None }
}

/// An order of several legs at a net price.
pub fn package(legs: &[(&str, Side, u32)], qty: &str, net: &str) -> OrderSpec {
    let legs = legs.iter().map(|(symbol, side, ratio)| leg(symbol, *side, *ratio)).collect();
    let order = spec(me(), "", Side::Buy, qty, Some(net));
    OrderSpec { order_class: OrderClass::Mleg, legs: Some(legs), ..order }
}

/// Places an order and fills it, each leg at its price.
pub fn trade(book: &mut Book, n: u128, order: &OrderSpec, prices: &[(&str, &str)]) -> Decision {
    let placed = book.place(n, order, &shown(prices));
    assert_eq!(placed.rejected, None);
    fill(book, n, &order.qty.to_string(), prices)
}

pub fn fill(book: &mut Book, n: u128, qty: &str, prices: &[(&str, &str)]) -> Decision {
    let command = proposal(book, n, qty, prices);
    book.submit(&command).unwrap()
}

pub fn proposal(book: &mut Book, n: u128, qty: &str, prices: &[(&str, &str)]) -> Command {
    let market = shown(prices);
    let mut command = book.proposal(n, quantity(qty), price("1"));
    let legs = book.orders[&order_id(n)].spec().unwrap().package();
    let Command::Fill { execution, marks, .. } = &mut command else { panic!() };
    let prices: BTreeMap<_, _> =
        market.marks.iter().map(|(id, mark)| (*id, mark.long.price)).collect();
    if legs.len() > 1 {
        execution.price =
            net_price(&legs, legs.iter().map(|leg| prices[&leg.instrument_id])).unwrap();
        execution.legs = legs
            .iter()
            .map(|leg| LegExecution {
                instrument_id: leg.instrument_id,
                price: prices[&leg.instrument_id],
                evidence: evidence(1, prices[&leg.instrument_id]),
            })
            .collect();
    } else {
        execution.price = prices[&book.orders[&order_id(n)].spec().unwrap().instrument_id];
    }
    *marks = market.marks;
    command
}

pub fn held(book: &Book, symbol: &str) -> String {
    let held = book.positions.get(&(me(), stock(symbol)));
    held.map_or("0".to_owned(), |position| position.qty().to_string())
}

fn cost(book: &Book, symbol: &str) -> String {
    book.positions[&(me(), stock(symbol))].cost().unwrap().to_string()
}

pub fn refused(decision: &Decision) -> RefusalCode {
    decision.rejected.as_ref().expect("a rejection").code
}

fn malformed(book: &mut Book, order: &OrderSpec, market: &MarketView) -> Refusal {
    match book.submit(&place(99, order, market)) {
        Err(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// What its options need and what is free of a margin account, options unmultiplied.
fn free(book: &Book, prices: &[(&str, &str)]) -> String {
    let account = &book.accounts[&me()];
    let marks = shown(prices).marks;
    let standing = aggregates::trading::standing(book, me(), &marks).unwrap();
    standing.excess(account.reserved()).unwrap().to_string()
}

#[test]
fn a_contract_costs_a_hundred_times_its_price() {
    let mut book = margin(2);
    let order = one(CALL_100, Side::Buy, "3", Some("2.50"));
    book.place(1, &order, &shown(&[(CALL_100, "2.40")]));
    assert_eq!(book.reserved(me()), "750.00");
    fill(&mut book, 1, "3", &[(CALL_100, "2.40")]);
    assert_eq!((book.cash(me()), book.reserved(me())), ("9280.00".into(), "0.00".into()));
    assert_eq!((held(&book, CALL_100), cost(&book, CALL_100)), ("3".into(), "720.00".into()));
    assert_eq!(book.positions[&(me(), stock(CALL_100))].contract(), Some(&terms(CALL_100)));

    let sell = one(CALL_100, Side::Sell, "2", Some("3.00"));
    trade(&mut book, 2, &sell, &[(CALL_100, "3.00")]);
    let position = &book.positions[&(me(), stock(CALL_100))];
    assert_eq!(position.realized_pl(), money("120"));
    assert_eq!((book.cash(me()), held(&book, CALL_100)), ("9880.00".into(), "1".into()));
}

#[test]
fn whether_it_opens_or_closes_is_found_and_never_both() {
    let mut book = margin(4);
    trade(&mut book, 1, &one(CALL_100, Side::Buy, "2", Some("2")), &[(CALL_100, "2")]);
    let intent = |book: &Book, n| book.orders[&order_id(n)].spec().unwrap().position_intent;
    assert_eq!(intent(&book, 1), Some(PositionIntent::BuyToOpen));
    book.place(2, &one(CALL_100, Side::Sell, "1", Some("9")), &shown(&[(CALL_100, "2")]));
    assert_eq!(intent(&book, 2), Some(PositionIntent::SellToClose));

    let market = shown(&[(CALL_100, "2")]);
    let too_many = book.place(3, &one(CALL_100, Side::Sell, "2", Some("9")), &market);
    assert_eq!(refused(&too_many), RefusalCode::InsufficientShares);
    let opens = OrderSpec {
        position_intent: Some(PositionIntent::SellToOpen),
        ..one(CALL_100, Side::Sell, "1", Some("9"))
    };
    let against = book.place(4, &opens, &market);
    assert_eq!(refused(&against), RefusalCode::OpposingPosition);
    let sides = OrderSpec {
        position_intent: Some(PositionIntent::BuyToClose),
        ..one(CALL_100, Side::Sell, "1", Some("9"))
    };
    assert_eq!(malformed(&mut book, &sides, &market).code, RefusalCode::InvalidOrder);
}

#[test]
fn a_level_permits_what_it_says() {
    type Legs<'a> = &'a [(&'a str, Side, u32)];
    let spread: Legs<'_> = &[(CALL_100, Side::Sell, 1), (CALL_101, Side::Buy, 1)];
    let prices = [(CALL_100, "2"), (CALL_101, "1.62"), (PUT_90, "1")];
    for (order, least) in [
        (one(CALL_100, Side::Buy, "1", Some("2")), 2),
        (package(spread, "1", "-0.38"), 3),
        (one(CALL_100, Side::Sell, "1", Some("2")), 4),
        (one(PUT_90, Side::Sell, "1", Some("1")), 1),
    ] {
        for level in 0..=4 {
            let mut book = margin(level);
            let placed = book.place(1, &order, &shown(&prices));
            let code = placed.rejected.map(|refusal| refusal.code);
            let expected = (level < least).then_some(RefusalCode::OptionLevel);
            assert_eq!(code, expected, "level {level}, {order:?}");
        }
    }
}

#[test]
fn a_credit_spread_is_one_order_and_takes_its_width() {
    let mut book = margin(3);
    let order = package(&[(CALL_100, Side::Sell, 1), (CALL_101, Side::Buy, 1)], "1", "-0.38");
    let prices = [(CALL_100, "2.00"), (CALL_101, "1.62")];
    book.place(1, &order, &shown(&prices));
    // The width of 100 less the credit of 38.
    assert_eq!(book.reserved(me()), "62.00");
    let filled = fill(&mut book, 1, "1", &prices);
    let fills = filled.events.iter().filter_map(|(_, event)| match event {
        Event::Order(OrderEvent::OrderFilled { price, amount, legs, .. }) => {
            Some((*price, *amount, legs.len()))
        }
        _ => None,
    });
    assert_eq!(fills.collect::<Vec<_>>(), [(price("-0.38"), money("-38"), 2)]);
    assert_eq!((held(&book, CALL_100), held(&book, CALL_101)), ("-1".into(), "1".into()));
    assert_eq!((book.cash(me()), book.reserved(me())), ("10038.00".into(), "0.00".into()));
    assert_eq!(free(&book, &prices), "9938.00");

    // Closing the long leg by itself leaves a naked call.
    let close = one(CALL_101, Side::Sell, "1", Some("1"));
    let refusal = book.place(2, &close, &shown(&prices));
    assert_eq!(refused(&refusal), RefusalCode::OptionLevel);
    // Both together bring it back.
    let back = package(&[(CALL_100, Side::Buy, 1), (CALL_101, Side::Sell, 1)], "1", "0.50");
    trade(&mut book, 3, &back, &prices);
    assert_eq!((held(&book, CALL_100), held(&book, CALL_101)), ("0".into(), "0".into()));
    assert_eq!((book.cash(me()), free(&book, &prices)), ("10000.00".into(), "10000.00".into()));
}

#[test]
fn an_iron_condor_takes_its_larger_wing() {
    let mut book = margin(3);
    let legs = [
        (PUT_90, Side::Buy, 1),
        (PUT_95, Side::Sell, 1),
        (CALL_101, Side::Sell, 1),
        (CALL_110, Side::Buy, 1),
    ];
    let prices = [(PUT_90, "0.50"), (PUT_95, "1.50"), (CALL_101, "2.00"), (CALL_110, "1.00")];
    trade(&mut book, 1, &package(&legs, "2", "-2.00"), &prices);
    // 400 came in; the wings are 5 and 9 wide, so 2 * 900 have to be there.
    assert_eq!((book.cash(me()), free(&book, &prices)), ("10400.00".into(), "8600.00".into()));
}

#[test]
fn a_naked_put_takes_what_the_formula_says_or_its_strike() {
    let prices = [(PUT_90, "1.00")];
    // 1.00 + max(20 - 10, 9) a share.
    for (level, reserved, after) in [(4, "1000.00", "9000.00"), (3, "8900.00", "1100.00")] {
        let mut book = margin(level);
        book.place(1, &one(PUT_90, Side::Sell, "1", Some("1")), &shown(&prices));
        assert_eq!(book.reserved(me()), reserved, "level {level}");
        fill(&mut book, 1, "1", &prices);
        assert_eq!(book.cash(me()), "10100.00");
        assert_eq!(free(&book, &prices), after, "level {level}");
    }
}

#[test]
fn a_cash_account_secures_its_puts_and_covers_its_calls() {
    let mut book = cash(1, "20000");
    let prices = [(PUT_90, "1.00"), (CALL_110, "2.00")];
    trade(&mut book, 1, &one(PUT_90, Side::Sell, "2", Some("1")), &prices);
    assert_eq!(book.cash(me()), "20200.00");
    // 18,000 of it secure the puts: 2,200 are left.
    let buy = spec(me(), "AAPL", Side::Buy, "22", Some("100"));
    let more = OrderSpec { qty: quantity("23"), ..buy.clone() };
    let refusal = book.place(2, &more, &shown(&prices));
    assert_eq!(refused(&refusal), RefusalCode::InsufficientBuyingPower);
    book.place(3, &buy, &shown(&prices));
    book.submit(&cancel(3, me())).unwrap();

    let naked = book.place(4, &one(CALL_110, Side::Sell, "1", Some("2")), &shown(&prices));
    assert_eq!(refused(&naked), RefusalCode::OptionLevel);
    let close = one(PUT_90, Side::Buy, "2", Some("1"));
    trade(&mut book, 5, &close, &prices);
    trade(&mut book, 6, &spec(me(), "AAPL", Side::Buy, "100", Some("100")), &prices);
    trade(&mut book, 7, &one(CALL_110, Side::Sell, "1", Some("2")), &prices);
    assert_eq!(book.cash(me()), "10200.00");
    // The shares cover the call and cannot be sold while it is open.
    let sell = spec(me(), "AAPL", Side::Sell, "1", Some("100"));
    assert_eq!(refused(&book.place(8, &sell, &shown(&prices))), RefusalCode::OptionLevel);
    trade(&mut book, 9, &one(CALL_110, Side::Buy, "1", Some("2")), &prices);
    trade(&mut book, 10, &sell, &prices);
    assert_eq!(book.cash(me()), "10100.00");
}

#[test]
fn a_buy_write_fills_both_legs_or_none() {
    let mut book = cash(1, "10000");
    let legs = [("AAPL", Side::Buy, 100), (CALL_110, Side::Sell, 1)];
    let prices = [("AAPL", "100"), (CALL_110, "2.00")];
    let order = package(&legs, "1", "98.00");
    book.place(1, &order, &shown(&prices));
    assert_eq!(book.reserved(me()), "9800.00");
    fill(&mut book, 1, "1", &prices);
    assert_eq!((held(&book, "AAPL"), held(&book, CALL_110)), ("100".into(), "-1".into()));
    assert_eq!(book.cash(me()), "200.00");

    // One that the account cannot pay any more ends, and no leg of it moves.
    let mut book = cash(1, "10000");
    book.place(1, &package(&legs, "1", "99.00"), &shown(&prices));
    book.submit(&withdrawal("100")).unwrap();
    let dear = [("AAPL", "100.99"), (CALL_110, "2.00")];
    let beyond = proposal(&mut book, 1, "1", &dear);
    let done = book.submit(&beyond).unwrap();
    assert_eq!(done.rejected, None);
    assert_eq!(book.cash(me()), "1.00");
}

fn withdrawal(amount: &str) -> Command {
    Command::Withdraw {
        account_id: me(),
        withdrawal_id: command_id(7),
        amount: money(amount),
        marks: marks(&[]),
        at: None,
    }
}

#[test]
fn a_fill_whose_legs_are_not_the_orders_is_refused() {
    let mut book = margin(3);
    let order = package(&[(CALL_100, Side::Sell, 1), (CALL_101, Side::Buy, 1)], "2", "-0.38");
    let prices = [(CALL_100, "2.00"), (CALL_101, "1.62")];
    book.place(1, &order, &shown(&prices));
    let right = proposal(&mut book, 1, "1", &prices);
    let spoil = |change: &dyn Fn(&mut Execution)| {
        let mut command = right.clone();
        let Command::Fill { execution, .. } = &mut command else { panic!() };
        change(execution);
        command
    };
    for wrong in [
        spoil(&|execution| drop(execution.legs.pop())),
        spoil(&|execution| execution.legs.swap(0, 1)),
        spoil(&|execution| execution.price = price("-0.39")),
        spoil(&|execution| execution.legs.clear()),
    ] {
        assert!(book.submit(&wrong).is_err(), "{wrong:?}");
    }
    book.submit(&right).unwrap();
    assert_eq!((held(&book, CALL_100), held(&book, CALL_101)), ("-1".into(), "1".into()));
    assert_eq!(book.reserved(me()), "62.00");
    book.submit(&cancel(1, me())).unwrap();
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn a_fill_that_would_leave_what_the_level_does_not_permit_ends_the_order() {
    let mut book = margin(3);
    trade(&mut book, 1, &one(CALL_101, Side::Buy, "1", Some("2")), &[(CALL_101, "1.62")]);
    let prices = [(CALL_100, "2.00"), (CALL_101, "1.62")];
    // Two orders that the one long call covers, each by itself.
    book.place(2, &one(CALL_100, Side::Sell, "1", Some("2")), &shown(&prices));
    let other = one(CALL_110, Side::Sell, "1", Some("1"));
    let all = [(CALL_100, "2.00"), (CALL_101, "1.62"), (CALL_110, "1.00")];
    book.place(3, &other, &shown(&all));
    fill(&mut book, 2, "1", &all);
    fill(&mut book, 3, "1", &all);
    let order = &book.orders[&order_id(3)];
    assert_eq!(order.status(), Some(OrderStatus::Canceled));
    assert_eq!((held(&book, CALL_110), book.reserved(me())), ("0".into(), "0.00".into()));
    let ended = book.log.iter().any(|(_, event)| {
        matches!(
            event,
            Event::Order(OrderEvent::OrderCanceled { reason: CancelReason::OptionLevel, .. })
        )
    });
    assert!(ended);
}

#[test]
fn an_order_of_options_ends_with_its_contract_at_the_latest() {
    let mut book = margin(2);
    let gtc =
        OrderSpec { time_in_force: TimeInForce::Gtc, ..one(CALL_100, Side::Buy, "1", Some("2")) };
    book.place(1, &gtc, &shown(&[(CALL_100, "2")]));
    assert_eq!(book.orders[&order_id(1)].expires_at(), Some(at(86_400)));
    let over = MarketView { at: at(86_400), ..shown(&[(CALL_100, "2")]) };
    assert_eq!(refused(&book.place(2, &gtc, &over)), RefusalCode::ContractExpired);
    // Of several legs the one that is over is named.
    let legs = [(LATER_CALL_100, Side::Buy, 1), (CALL_100, Side::Sell, 1)];
    let calendar = book.place(3, &package(&legs, "1", "1"), &over).rejected.unwrap();
    assert_eq!(calendar.code, RefusalCode::ContractExpired);
    assert!(calendar.message.starts_with(CALL_100), "{}", calendar.message);
}

#[test]
fn a_leg_of_shares_counts_in_hundreds_where_ratios_are_in_lowest_terms() {
    let order = |puts: u32, shares: u32| {
        package(&[(PUT_90, Side::Buy, puts), ("AAPL", Side::Buy, shares)], "1", "105")
    };
    let market = shown(&[(PUT_90, "1"), ("AAPL", "100")]);
    for puts in 1..=4 {
        let placed = margin(3).place(1, &order(puts, 100), &market);
        assert_eq!(placed.rejected, None, "{puts} puts and 100 shares");
    }
    for (puts, shares) in [(2, 200), (2, 50), (1, 50)] {
        let refusal = malformed(&mut margin(3), &order(puts, shares), &market);
        assert_eq!(refusal.code, RefusalCode::InvalidOrder, "{puts} puts and {shares} shares");
    }
    // As many hundreds of shares as there may be contracts, and no more of either.
    let rich = || desk(aggregates::account::AccountKind::Margin, 3, "10000000");
    let at = |puts, shares| OrderSpec { limit_price: Some(price("10001")), ..order(puts, shares) };
    for (puts, shares) in [(1, 200), (3, 200), (1, 10_000), (99, 10_000)] {
        let placed = rich().place(1, &at(puts, shares), &market);
        assert_eq!(placed.rejected, None, "{puts} puts and {shares} shares");
    }
    for (puts, shares, told) in [
        (1, 10_100, "ratio_qty 10100 of AAPL is more than 10000 shares of one package"),
        (
            101,
            100,
            "ratio_qty 101 of AAPL231215P00090000 is more than 100 contracts of one package",
        ),
    ] {
        let refusal = malformed(&mut rich(), &at(puts, shares), &market);
        assert_eq!(refusal.code, RefusalCode::InvalidOrder);
        assert!(refusal.message.starts_with(told), "{refusal}");
    }
}

#[test]
fn what_options_do_not_take_is_refused_by_name() {
    let mut book = margin(3);
    let market = shown(&[(CALL_100, "2"), (CALL_101, "1")]);
    let buy = one(CALL_100, Side::Buy, "1", Some("2"));
    let spread = package(&[(CALL_100, Side::Sell, 1), (CALL_101, Side::Buy, 1)], "1", "-0.38");
    let stop = OrderSpec {
        order_type: OrderType::Stop,
        limit_price: None,
        stop_price: Some(price("2")),
        ..buy.clone()
    };
    for (order, field) in [
        (OrderSpec { qty: quantity("1.5"), ..buy.clone() }, "qty"),
        (OrderSpec { time_in_force: TimeInForce::Ioc, ..buy.clone() }, "time_in_force"),
        (OrderSpec { extended_hours: true, ..buy.clone() }, "extended_hours"),
        (OrderSpec { limit_price: Some(price("0.0125")), ..buy.clone() }, "limit_price"),
        (stop, "type"),
        (package(&[(CALL_100, Side::Buy, 1)], "1", "1"), "legs"),
        (package(&[(CALL_100, Side::Buy, 1), (CALL_100, Side::Sell, 1)], "1", "1"), "legs"),
        (package(&[(CALL_100, Side::Buy, 2), (CALL_101, Side::Sell, 4)], "1", "1"), "legs"),
        (package(&[(CALL_100, Side::Buy, 0), (CALL_101, Side::Sell, 1)], "1", "1"), "legs"),
        (package(&[("AAPL", Side::Buy, 10), (CALL_101, Side::Sell, 1)], "1", "1"), "legs"),
        (OrderSpec { limit_price: None, ..spread.clone() }, "limit_price"),
        (OrderSpec { limit_price: Some(price("0.125")), ..spread }, "limit_price"),
    ] {
        let refusal = malformed(&mut book, &order, &market);
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (RefusalCode::InvalidOrder, Some(field)),
            "{order:?}"
        );
    }
}

#[test]
fn a_change_reserves_what_it_needs_then() {
    let mut book = margin(3);
    let prices = [(CALL_100, "2.00"), (CALL_101, "1.62")];
    let order = package(&[(CALL_100, Side::Sell, 1), (CALL_101, Side::Buy, 1)], "1", "-0.38");
    book.place(1, &order, &shown(&prices));
    let change = |qty: Option<&str>, limit: Option<&str>| {
        let (qty, limit_price) = (qty.map(quantity), limit.map(price));
        let change = OrderChange { qty, limit_price, ..OrderChange::default() };
        let (account_id, order_id) = (me(), order_id(1));
        Command::Replace { account_id, order_id, change, seen: None, market: shown(&prices) }
    };
    book.submit(&change(Some("3"), None)).unwrap();
    assert_eq!(book.reserved(me()), "186.00");
    book.submit(&change(None, Some("-0.50"))).unwrap();
    assert_eq!(book.reserved(me()), "150.00");
    let beyond = book.submit(&change(Some("201"), None));
    assert!(matches!(beyond, Err(refusal) if refusal.code == RefusalCode::InsufficientBuyingPower));
    assert_eq!(book.reserved(me()), "150.00");
}

#[test]
fn what_an_order_of_options_lacks_is_told_as_it_is_and_not_as_the_stock_that_it_would_open() {
    let mut book = margin(3);
    let placed = book.place(1, &one(PUT_90, Side::Sell, "2", Some("1")), &shown(&[(PUT_90, "1")]));
    let refusal = placed.rejected.expect("a rejection");
    // 18,000 secure the strikes, and 200 come in.
    assert_eq!(refusal.figures["needed"], "17800.00");
    assert_eq!(refusal.figures["available"], "10000.00");
}

#[test]
fn a_stock_leg_sells_what_is_held_and_nothing_short() {
    let legs = [("AAPL", Side::Sell, 100), (CALL_100, Side::Buy, 1)];
    let prices = [("AAPL", "100"), (CALL_100, "2.60")];
    for mut book in [cash(2, "10000"), margin(4)] {
        let short = book.place(1, &package(&legs, "10", "-90"), &shown(&prices));
        assert_eq!(refused(&short), RefusalCode::InsufficientShares);
        assert_eq!((held(&book, "AAPL"), book.reserved(me())), ("0".into(), "0.00".into()));
        // Of what is held it sells as much as there is.
        trade(&mut book, 2, &spec(me(), "AAPL", Side::Buy, "90", Some("100")), &prices);
        let more = book.place(3, &package(&legs, "1", "-90"), &shown(&prices));
        assert_eq!(refused(&more), RefusalCode::InsufficientShares);
    }
}

#[test]
fn a_change_sells_no_shares_from_under_a_call_as_no_order_does() {
    let mut book = margin(3);
    let prices = [(CALL_110, "2.00"), ("AAPL", "100")];
    trade(&mut book, 1, &spec(me(), "AAPL", Side::Buy, "150", Some("100")), &prices);
    trade(&mut book, 2, &one(CALL_110, Side::Sell, "1", Some("2")), &prices);
    let sell = |qty: &str| spec(me(), "AAPL", Side::Sell, qty, Some("110"));
    assert_eq!(refused(&book.place(3, &sell("51"), &shown(&prices))), RefusalCode::OptionLevel);
    assert_eq!(book.place(4, &sell("50"), &shown(&prices)).rejected, None);
    let changed = |qty: &str| {
        let change = OrderChange { qty: Some(quantity(qty)), ..OrderChange::default() };
        let market = shown(&prices);
        Command::Replace { account_id: me(), order_id: order_id(4), change, seen: None, market }
    };
    assert_eq!(book.refused(&changed("100")), RefusalCode::OptionLevel);
    book.submit(&changed("40")).unwrap();
    book.submit(&changed("50")).unwrap();
}

#[test]
fn an_account_that_may_only_reduce_takes_nothing_away_that_covers_its_options() {
    let prices = [(CALL_100, "2.50"), (CALL_110, "0.60"), ("AAPL", "100")];
    let mut book = margin(4);
    trade(&mut book, 1, &spec(me(), "AAPL", Side::Buy, "50", Some("100")), &prices);
    let legs = [(CALL_100, Side::Sell, 1), (CALL_110, Side::Buy, 1)];
    trade(&mut book, 2, &package(&legs, "1", "-1.90"), &prices);
    let reducing =
        PolicyChange { trading_state: Some(TradingState::Reducing), ..PolicyChange::default() };
    limited(&mut book, reducing);
    let sell = one(CALL_110, Side::Sell, "1", Some("0.60"));
    assert_eq!(refused(&book.place(3, &sell, &shown(&prices))), RefusalCode::ReduceOnly);
    // The short leg may be bought back, and then nothing is covered by the long one.
    trade(&mut book, 4, &one(CALL_100, Side::Buy, "1", Some("2.50")), &prices);
    trade(&mut book, 5, &sell, &prices);
    trade(&mut book, 6, &spec(me(), "AAPL", Side::Sell, "50", Some("100")), &prices);
}

#[test]
fn a_level_is_told_by_the_best_cover_and_not_by_the_cheapest() {
    // Far out of the money a naked call needs less than the spread can lose.
    let mut book = margin(3);
    let legs = [(CALL_100, Side::Sell, 1), (CALL_110, Side::Buy, 1)];
    let near = [("AAPL", "100"), (CALL_100, "2.50"), (CALL_110, "0.60")];
    trade(&mut book, 1, &package(&legs, "1", "-1.90"), &near);
    let far = [("AAPL", "40"), (CALL_100, "0.05"), (CALL_110, "0.02")];
    let close = book.place(2, &one(CALL_110, Side::Sell, "1", Some("0.02")), &shown(&far));
    assert_eq!(refused(&close), RefusalCode::OptionLevel);
    // And such a spread is one all the same.
    let mut book = margin(3);
    let placed = book.place(1, &package(&legs, "1", "-0.03"), &shown(&far));
    assert_eq!(placed.rejected, None);
}

#[test]
fn legs_are_on_one_underlying() {
    let mut book = margin(3);
    book.list("MSFT");
    let order = package(&[("MSFT", Side::Buy, 100), (CALL_101, Side::Sell, 1)], "1", "1");
    let refusal = malformed(&mut book, &order, &shown(&[("MSFT", "50"), (CALL_101, "1")]));
    assert_eq!(refusal.field.as_deref(), Some("legs"));
    let id: AccountId = me();
    assert_eq!(book.accounts[&id].reserved(), money("0"));
}

fn limited(book: &mut Book, change: PolicyChange) {
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
}

#[test]
fn limits_on_one_position_hold_each_leg_of_a_package() {
    let mut book = margin(3);
    let most = |qty: &str| PolicyChange {
        max_position_qty: Some(Some(quantity(qty))),
        ..PolicyChange::default()
    };
    limited(&mut book, most("2"));
    let market = shown(&[(CALL_100, "3"), (CALL_101, "2.50")]);
    let spread = |qty: &str, net: &str| {
        package(&[(CALL_100, Side::Sell, 1), (CALL_101, Side::Buy, 1)], qty, net)
    };
    let over = book.place(1, &spread("3", "-0.60"), &market).rejected.unwrap();
    assert_eq!((over.code, &*over.figures["position"]), (RefusalCode::PositionLimit, "3"));
    assert_eq!(book.place(2, &spread("2", "-0.60"), &market).rejected, None);
    let more = book.place(3, &spread("1", "-0.60"), &market);
    assert_eq!(refused(&more), RefusalCode::PositionLimit, "with the two that are open");
    let single = book.place(4, &one(CALL_101, Side::Buy, "1", Some("2")), &market);
    assert_eq!(refused(&single), RefusalCode::PositionLimit, "the leg of an open order counts");
    let change = OrderChange { qty: Some(quantity("3")), ..OrderChange::default() };
    let replace = Command::Replace {
        account_id: me(),
        order_id: order_id(2),
        change,
        seen: None,
        market: market.clone(),
    };
    assert_eq!(book.refused(&replace), RefusalCode::PositionLimit);
    // Packages on AAPL are no shares of it.
    let shares = spec(me(), "AAPL", Side::Buy, "2", Some("90"));
    assert_eq!(book.place(5, &shares, &market).rejected, None);

    let mut book = margin(3);
    let percent = Some(Some(price("5")));
    limited(&mut book, PolicyChange { max_concentration_pct: percent, ..PolicyChange::default() });
    let over = book.place(1, &spread("2", "-0.50"), &market).rejected.unwrap();
    let told = (over.code, &*over.figures["value"], &*over.figures["max"]);
    assert_eq!(told, (RefusalCode::ConcentrationLimit, "600.00", "500.00"));
    assert_eq!(book.place(2, &spread("1", "-0.50"), &market).rejected, None);
    // A net price is held by no collar.
    limited(&mut book, PolicyChange { price_collar_pct: percent, ..PolicyChange::default() });
    limited(
        &mut book,
        PolicyChange { max_concentration_pct: Some(None), ..PolicyChange::default() },
    );
    assert_eq!(book.place(3, &spread("1", "-0.05"), &market).rejected, None);
}

/// 10,500, of which 10,000 secure a put: the four shares that were to cost 400 come to 504.
#[test]
fn what_secures_a_put_pays_for_no_shares_beyond_what_their_order_has_reserved() {
    for (at_price, paid) in [("125", true), ("126", false)] {
        let mut book = cash(1, "10500");
        crate::option_life::hold(&mut book, crate::option_life::PUT_100, "-1", "300");
        let order = spec(me(), "AAPL", Side::Buy, "4", None);
        assert_eq!(book.place(1, &order, &shown(&[("AAPL", "100")])).rejected, None);
        let fill = book.proposal(1, quantity("4"), price(at_price));
        let done = book.submit(&fill).unwrap();
        assert_eq!(
            done.rejected.map(|it| it.code),
            (!paid).then_some(RefusalCode::InsufficientBuyingPower)
        );
        assert_eq!(book.cash(me()), if paid { "10000.00" } else { "10500.00" });
    }
}

/// A price that lacks holds nothing up that can only make the margin less; what may make it more waits for one.
#[test]
fn what_only_buys_back_or_leaves_nothing_short_needs_no_price_of_anything() {
    let mut book = margin(4);
    trade(&mut book, 1, &one(CALL_100, Side::Sell, "2", Some("3")), &[(CALL_100, "3")]);
    let prices = [(CALL_110, "1"), (CALL_100, "3"), (PUT_90, "1")];
    trade(&mut book, 2, &one(CALL_110, Side::Buy, "1", Some("1")), &prices);
    trade(&mut book, 3, &one(PUT_90, Side::Sell, "1", Some("1")), &prices);
    let blind = MarketView { marks: Marks::new(), ..shown(&[(CALL_100, "4")]) };
    let closed = |book: &mut Book, n: u128, order: &OrderSpec, prices: &[(&str, &str)]| {
        let placed = book.place(n, order, &blind);
        assert_eq!(placed.rejected, None);
        assert_eq!(book.accounts[&me()].reservation(order_id(n)).to_string(), "0.00");
        let mut command = proposal(book, n, "1", prices);
        let Command::Fill { marks, .. } = &mut command else { panic!() };
        marks.clear();
        book.submit(&command).unwrap();
    };
    let back = one(CALL_100, Side::Buy, "1", Some("4"));
    closed(&mut book, 4, &back, &[(CALL_100, "4")]);
    // The long call covers the other short one: selling it alone may need more.
    let sell = one(CALL_110, Side::Sell, "1", Some("0.50"));
    let refused = book.place(5, &sell, &blind).rejected.expect("it waits for a price");
    assert_eq!(refused.code, RefusalCode::NoMark);
    closed(&mut book, 6, &one(PUT_90, Side::Buy, "1", Some("1")), &[(PUT_90, "1")]);
    let spread = package(&[(CALL_100, Side::Buy, 1), (CALL_110, Side::Sell, 1)], "1", "3.50");
    closed(&mut book, 7, &spread, &[(CALL_100, "4"), (CALL_110, "0.50")]);
    // 10,000 + 600 - 100 + 100 - 400 - 100 - 350.
    assert_eq!(book.cash(me()), "9750.00");
}
