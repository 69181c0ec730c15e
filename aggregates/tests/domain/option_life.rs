//! The expiry of options: each way in which a holding ends, with cash, shares, basis and profit worked out by hand.

use aggregates::account::{AccountEvent, AccountKind};
use aggregates::id::FillId;
use aggregates::instrument::{InstrumentCommand, OptionEnd, OptionTerms, Settlement};
use aggregates::market::Reference;
use aggregates::order::Side;
use aggregates::position::{PositionCommand, PositionEvent, Trade};
use aggregates::refusal::RefusalCode;
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::trading::{Command, Decision};
use chrono::NaiveDate;

use crate::book::*;
use crate::examples::me;
use crate::option_orders::*;

pub const PUT_100: &str = "AAPL231215P00100000";
pub const PUT_1: &str = "AAPL231215P00001000";

/// The session that options of December end with.
pub fn session() -> NaiveDate {
    NaiveDate::from_ymd_opt(2023, 12, 15).unwrap()
}

/// An account holds so many of something, which cost so much, or brought it when short; its cash is what it had left.
pub fn hold(book: &mut Book, symbol: &str, qty: &str, cost: &str) {
    let contract = (symbol != "AAPL").then(|| terms(symbol));
    hold_as(book, (symbol, contract), qty, cost);
}

pub fn hold_as(
    book: &mut Book,
    (symbol, contract): (&str, Option<OptionTerms>),
    qty: &str,
    cost: &str,
) {
    let instrument_id = stock(symbol);
    if !book.instruments.contains_key(&instrument_id) {
        list_option(book, symbol);
    }
    let (stream, qty) = (StreamId::Position(me(), instrument_id), quantity(qty));
    let place = book.log.len() as u64;
    let trade = PositionCommand::Trade(Trade {
        account_id: me(),
        instrument_id,
        symbol: symbol.into(),
        contract,
        fill_id: FillId::of(order_id(900), 0, place, 1),
        order_id: order_id(900),
        side: if qty.is_negative() { Side::Sell } else { Side::Buy },
        qty: qty.abs(),
        price: price("1"),
        amount: money(cost),
        cuts: Vec::new(),
        at: at(1),
    });
    book.load(stream);
    let position = &book.positions[&(me(), instrument_id)];
    for event in position.decide(&trade, &book.rules).unwrap() {
        book.evolve(stream, &Event::Position(event));
    }
}

/// The options expire, their underlying having closed so.
pub fn expire(book: &mut Book, close: &str, symbols: &[&str]) {
    for symbol in symbols {
        let (session, price, source) = (session(), price(close), "trades".to_owned());
        let command =
            InstrumentCommand::Expire { session, price, source, last_price_at: None, at: at(50) };
        let instrument_id = stock(symbol);
        book.submit(&Command::Instrument { instrument_id, command }).unwrap();
    }
}

/// The settlement of these options, each with its last bid.
pub fn settlement(
    contracts: &[(&str, Option<&str>)],
    orders: &[u128],
    prices: &[(&str, &str)],
) -> Command {
    let bid = |bid: &str| Reference { price: price(bid), source: "feed".into(), at: at(49) };
    Command::SettleExpired {
        account_id: me(),
        underlying_id: stock("AAPL"),
        session: session(),
        contracts: contracts.iter().map(|(symbol, last)| (stock(symbol), last.map(bid))).collect(),
        orders: orders.iter().map(|n| order_id(*n)).collect(),
        marks: marks(prices),
        at: at(51),
    }
}

/// The options expire and are settled; nobody bids.
pub fn ends(book: &mut Book, close: &str, symbols: &[&str]) -> Decision {
    expire(book, close, symbols);
    let contracts: Vec<(&str, Option<&str>)> = symbols.iter().map(|it| (*it, None)).collect();
    book.submit(&settlement(&contracts, &[], &[])).unwrap()
}

/// What is held of something, what that cost, and the profit that was taken of it.
pub fn line(book: &Book, symbol: &str) -> String {
    let position = &book.positions[&(me(), stock(symbol))];
    let (qty, cost) = (position.qty(), position.cost().unwrap());
    format!("{qty} cost {cost} realized {}", position.realized_pl())
}

/// How contracts ended, in order.
pub fn ways(decision: &Decision) -> Vec<(OptionEnd, String)> {
    let ended = |(_, event): &(StreamId, Event)| match event {
        Event::Position(PositionEvent::OptionEnded { how, qty, .. }) => {
            Some((*how, qty.to_string()))
        }
        _ => None,
    };
    decision.events.iter().filter_map(ended).collect()
}

fn only(how: OptionEnd, qty: &str) -> Vec<(OptionEnd, String)> {
    vec![(how, qty.to_owned())]
}

const NOTHING: &str = "0 cost 0.00 realized 0.00";

#[test]
fn a_long_call_in_the_money_buys_shares_that_cost_the_strike_and_the_premium() {
    let mut book = cash(2, "15000");
    hold(&mut book, CALL_100, "1", "250");
    let done = ends(&mut book, "110", &[CALL_100]);
    assert_eq!(ways(&done), only(OptionEnd::Exercised, "1"));
    // 15,000 - 100 * 100
    assert_eq!(book.cash(me()), "5000.00");
    assert_eq!(line(&book, CALL_100), NOTHING);
    assert_eq!(line(&book, "AAPL"), "100 cost 10250.00 realized 0.00");
}

#[test]
fn a_cent_in_the_money_is_exercised_and_less_is_not() {
    for (close, realized, cash_left) in [
        ("100.01", "0.00", "5000.00"),
        ("100.009", "-250.00", "15000.00"),
        ("100", "-250.00", "15000.00"),
    ] {
        let mut book = cash(2, "15000");
        hold(&mut book, CALL_100, "1", "250");
        ends(&mut book, close, &[CALL_100]);
        assert_eq!(line(&book, CALL_100), format!("0 cost 0.00 realized {realized}"), "{close}");
        assert_eq!(book.cash(me()), cash_left, "{close}");
    }
}

#[test]
fn a_long_put_in_the_money_sells_shares_for_the_strike_less_the_premium() {
    let mut book = cash(2, "0");
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, PUT_100, "1", "300");
    let done = ends(&mut book, "90", &[PUT_100]);
    assert_eq!(ways(&done), only(OptionEnd::Exercised, "1"));
    assert_eq!(book.cash(me()), "10000.00");
    assert_eq!(line(&book, PUT_100), NOTHING);
    // 10,000 - 300 - 9,000
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized 700.00");
}

#[test]
fn the_shares_of_a_covered_call_bring_the_strike_and_the_premium() {
    let mut book = cash(1, "0");
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, CALL_100, "-1", "250");
    let done = ends(&mut book, "110", &[CALL_100]);
    assert_eq!(ways(&done), only(OptionEnd::Assigned, "1"));
    assert_eq!(book.cash(me()), "10000.00");
    assert_eq!(line(&book, CALL_100), NOTHING);
    // 10,000 + 250 - 9,000
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized 1250.00");
}

#[test]
fn the_shares_of_a_cash_secured_put_cost_the_strike_less_the_premium() {
    let mut book = cash(1, "12000");
    hold(&mut book, PUT_100, "-1", "300");
    let done = ends(&mut book, "95", &[PUT_100]);
    assert_eq!(ways(&done), only(OptionEnd::Assigned, "1"));
    assert_eq!(book.cash(me()), "2000.00");
    assert_eq!(line(&book, PUT_100), NOTHING);
    assert_eq!(line(&book, "AAPL"), "100 cost 9700.00 realized 0.00");
}

#[test]
fn what_expires_worthless_realizes_its_cost_or_its_premium() {
    let mut book = margin(4);
    hold(&mut book, CALL_110, "2", "300");
    hold(&mut book, PUT_90, "-3", "450");
    let done = ends(&mut book, "100", &[CALL_110, PUT_90]);
    assert!(ways(&done).iter().all(|(how, _)| *how == OptionEnd::Expired));
    assert_eq!(book.cash(me()), "10000.00");
    assert_eq!(line(&book, CALL_110), "0 cost 0.00 realized -300.00");
    assert_eq!(line(&book, PUT_90), "0 cost 0.00 realized 450.00");
    let of_account = |(stream, _): &&(StreamId, Event)| matches!(stream, StreamId::Account(_));
    assert_eq!(done.events.iter().filter(of_account).count(), 0, "no cash moves");
}

#[test]
fn both_legs_of_a_vertical_end_and_their_shares_net_out() {
    let mut book = margin(3);
    hold(&mut book, CALL_100, "1", "600");
    hold(&mut book, CALL_110, "-1", "200");
    let done = ends(&mut book, "120", &[CALL_110, CALL_100]);
    // The shares come before they go, in whatever order the contracts are named.
    let expected = vec![(OptionEnd::Exercised, "1".to_owned()), (OptionEnd::Assigned, "1".into())];
    assert_eq!(ways(&done), expected);
    // 10,000 - 10,000 + 11,000
    assert_eq!(book.cash(me()), "11000.00");
    // (11,000 + 200) - (10,000 + 600): the width less the net debit of 400.
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized 600.00");
    // The money comes before it goes.
    let mut balances = Vec::new();
    for (_, event) in &done.events {
        if let Event::Account(AccountEvent::OptionSettled { how, amount, cash, margin, .. }) = event
        {
            balances.push((amount.to_string(), cash.to_string()));
            assert_eq!(margin.is_some(), *how == OptionEnd::Exercised);
        }
    }
    let expected = [("11000.00", "21000.00"), ("-10000.00", "11000.00")];
    assert_eq!(balances, expected.map(|(amount, cash)| (amount.into(), cash.into())));
}

#[test]
fn a_vertical_between_its_strikes_keeps_the_shares_of_its_long_leg() {
    let mut book = margin(3);
    hold(&mut book, CALL_100, "1", "600");
    hold(&mut book, CALL_110, "-1", "200");
    ends(&mut book, "105", &[CALL_100, CALL_110]);
    assert_eq!(book.cash(me()), "0.00");
    assert_eq!(line(&book, "AAPL"), "100 cost 10600.00 realized 0.00");
    assert_eq!(line(&book, CALL_110), "0 cost 0.00 realized 200.00");
}

#[test]
fn an_iron_condor_ends_leg_by_leg() {
    let legs = [
        (PUT_90, "1", "100"),
        (PUT_95, "-1", "200"),
        (CALL_101, "-1", "200"),
        (CALL_110, "1", "100"),
    ];
    let symbols = legs.map(|(symbol, ..)| symbol);
    // In the middle its credit of 200 is left.
    let mut book = margin(3);
    for (symbol, qty, cost) in legs {
        hold(&mut book, symbol, qty, cost);
    }
    ends(&mut book, "98", &symbols);
    assert_eq!(book.cash(me()), "10000.00");
    let realized: Vec<String> = symbols.map(|it| line(&book, it)).to_vec();
    let expected = ["-100.00", "200.00", "200.00", "-100.00"];
    assert_eq!(realized, expected.map(|it| format!("0 cost 0.00 realized {it}")));
    // Below it the puts net out at the width of 500.
    let mut book = margin(3);
    for (symbol, qty, cost) in legs {
        hold(&mut book, symbol, qty, cost);
    }
    ends(&mut book, "80", &symbols);
    assert_eq!(book.cash(me()), "9500.00");
    // Bought at 9,500 - 200, sold at 9,000 - 100.
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized -400.00");
    assert_eq!(line(&book, CALL_101), "0 cost 0.00 realized 200.00");
    assert_eq!(line(&book, CALL_110), "0 cost 0.00 realized -100.00");
}

#[test]
fn the_near_leg_of_a_calendar_ends_and_the_far_one_stays() {
    let mut book = margin(3);
    hold(&mut book, CALL_100, "-1", "200");
    hold(&mut book, LATER_CALL_100, "1", "500");
    let done = ends(&mut book, "104", &[CALL_100]);
    assert_eq!(ways(&done), only(OptionEnd::Assigned, "1"));
    assert_eq!(book.cash(me()), "20000.00");
    assert_eq!(line(&book, "AAPL"), "-100 cost 10200.00 realized 0.00");
    assert_eq!(line(&book, LATER_CALL_100), "1 cost 500.00 realized 0.00");
}

#[test]
fn a_contract_settled_in_cash_moves_the_difference_alone() {
    let in_cash = |symbol| OptionTerms { settlement: Settlement::Cash, ..terms(symbol) };
    let mut book = margin(4);
    hold_as(&mut book, (CALL_100, Some(in_cash(CALL_100))), "2", "500");
    hold_as(&mut book, (PUT_1, Some(in_cash(PUT_1))), "1", "5");
    hold_as(&mut book, (CALL_101, Some(in_cash(CALL_101))), "-1", "250");
    let done = ends(&mut book, "107.50", &[CALL_100, CALL_101, PUT_1]);
    let ways = ways(&done);
    assert!(ways.contains(&(OptionEnd::CashSettled, "2".into())), "{ways:?}");
    assert!(ways.contains(&(OptionEnd::Expired, "1".into())), "{ways:?}");
    // 10,000 + 2 * 750 - 650
    assert_eq!(book.cash(me()), "10850.00");
    assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized 1000.00");
    assert_eq!(line(&book, CALL_101), "0 cost 0.00 realized -400.00");
    assert_eq!(line(&book, PUT_1), "0 cost 0.00 realized -5.00");
    assert!(!book.positions.contains_key(&(me(), stock("AAPL"))) || held(&book, "AAPL") == "0");
}

fn instruct(exercise: bool) -> Command {
    let instrument_id = stock(CALL_100);
    let contract_end = Some(at(41));
    Command::InstructExercise {
        account_id: me(),
        instrument_id,
        exercise,
        contract_end,
        at: at(40),
    }
}

#[test]
fn a_long_option_whose_owner_said_so_is_abandoned() {
    let mut book = cash(2, "15000");
    hold(&mut book, CALL_100, "1", "250");
    assert_eq!(book.submit(&instruct(true)).unwrap().events, [], "it is without a word");
    assert_eq!(book.submit(&instruct(false)).unwrap().events.len(), 1);
    assert_eq!(book.submit(&instruct(false)).unwrap().events, []);
    let done = ends(&mut book, "110", &[CALL_100]);
    assert_eq!(ways(&done), only(OptionEnd::Abandoned, "1"));
    assert_eq!(book.cash(me()), "15000.00");
    assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized -250.00");
    assert_eq!(book.refused(&instruct(false)), RefusalCode::ContractExpired);
}

#[test]
fn an_instruction_can_be_taken_back_and_ends_with_the_holding() {
    let mut book = cash(2, "15000");
    assert_eq!(book.refused(&instruct(false)), RefusalCode::InsufficientShares);
    hold(&mut book, CALL_100, "1", "250");
    book.submit(&instruct(false)).unwrap();
    book.submit(&instruct(true)).unwrap();
    assert!(!book.positions[&(me(), stock(CALL_100))].do_not_exercise());
    book.submit(&instruct(false)).unwrap();
    hold(&mut book, CALL_100, "-1", "200");
    hold(&mut book, CALL_100, "1", "250");
    assert!(!book.positions[&(me(), stock(CALL_100))].do_not_exercise(), "another holding");
    assert_eq!(ways(&ends(&mut book, "110", &[CALL_100])), only(OptionEnd::Exercised, "1"));
}

#[test]
fn what_cannot_be_paid_is_sold_at_its_bid_or_abandoned() {
    // 15,000 pay for one of two contracts.
    let mut book = cash(2, "15000");
    hold(&mut book, CALL_100, "2", "500");
    expire(&mut book, "110", &[CALL_100]);
    let done = book.submit(&settlement(&[(CALL_100, Some("9.90"))], &[], &[])).unwrap();
    let expected = vec![(OptionEnd::Exercised, "1".to_owned()), (OptionEnd::SoldOut, "1".into())];
    assert_eq!(ways(&done), expected);
    // 15,000 - 10,000 + 990
    assert_eq!(book.cash(me()), "5990.00");
    assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized 740.00");
    assert_eq!(line(&book, "AAPL"), "100 cost 10250.00 realized 0.00");

    // A bid of nothing is none.
    for bid in [None, Some("0")] {
        let mut book = cash(2, "9999.99");
        hold(&mut book, CALL_100, "1", "250");
        expire(&mut book, "110", &[CALL_100]);
        let done = book.submit(&settlement(&[(CALL_100, bid)], &[], &[])).unwrap();
        assert_eq!(ways(&done), only(OptionEnd::Abandoned, "1"));
        assert_eq!(book.cash(me()), "9999.99");
        assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized -250.00");
    }
}

#[test]
fn cash_that_orders_reserve_or_that_secures_puts_pays_for_no_exercise() {
    let mut book = cash(2, "12000");
    hold(&mut book, CALL_100, "1", "250");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "21", Some("100")), &shown(&[]));
    assert_eq!(book.reserved(me()), "2100.00");
    let done = ends(&mut book, "110", &[CALL_100]);
    assert_eq!(ways(&done), only(OptionEnd::Abandoned, "1"));

    // Of 19,000 the later put takes 9,000.
    let later_put = "AAPL240119P00090000";
    for (balance, how) in [("19000", OptionEnd::Exercised), ("18999.99", OptionEnd::Abandoned)] {
        let mut book = cash(2, balance);
        hold(&mut book, CALL_100, "1", "250");
        hold(&mut book, later_put, "-1", "100");
        assert_eq!(ways(&ends(&mut book, "110", &[CALL_100])), only(how, "1"));
    }
}

#[test]
fn a_margin_account_pays_with_what_initial_margin_leaves() {
    // Shares worth 11,000 for 10,000 need 5,500 and bring 1,000: 4,500 have to be there.
    for (balance, how) in [("4500", OptionEnd::Exercised), ("4499.99", OptionEnd::Abandoned)] {
        let mut book = desk(AccountKind::Margin, 2, balance);
        hold(&mut book, CALL_100, "1", "250");
        assert_eq!(ways(&ends(&mut book, "110", &[CALL_100])), only(how, "1"), "{balance}");
    }
    // A put that is exercised without shares sells them short: 9,000 for 10,000 need 4,500.
    for (balance, how) in [("3500", OptionEnd::Exercised), ("3499.99", OptionEnd::Abandoned)] {
        let mut book = desk(AccountKind::Margin, 2, balance);
        hold(&mut book, PUT_100, "1", "250");
        assert_eq!(ways(&ends(&mut book, "90", &[PUT_100])), only(how, "1"), "{balance}");
    }
}

#[test]
fn a_cash_account_sells_no_share_that_it_does_not_hold() {
    let mut book = cash(2, "50000");
    hold(&mut book, "AAPL", "150", "15000");
    hold(&mut book, PUT_100, "2", "600");
    let done = ends(&mut book, "90", &[PUT_100]);
    let expected = vec![(OptionEnd::Exercised, "1".to_owned()), (OptionEnd::Abandoned, "1".into())];
    assert_eq!(ways(&done), expected);
    assert_eq!(held(&book, "AAPL"), "50");
    assert_eq!(line(&book, PUT_100), "0 cost 0.00 realized -300.00");
}

#[test]
fn shares_that_cover_a_later_call_are_not_delivered() {
    let mut book = cash(2, "50000");
    hold(&mut book, "AAPL", "100", "10000");
    hold(&mut book, LATER_CALL_100, "-1", "250");
    hold(&mut book, PUT_100, "1", "300");
    let done = ends(&mut book, "90", &[PUT_100]);
    assert_eq!(ways(&done), only(OptionEnd::Abandoned, "1"));
    assert_eq!((held(&book, "AAPL"), held(&book, LATER_CALL_100)), ("100".into(), "-1".into()));
}

#[test]
fn a_hedge_does_not_fail_because_of_the_order_of_its_legs() {
    // Neither leg could be paid by itself, and a third contract cannot be paid beside them.
    let mut book = desk(AccountKind::Margin, 3, "100");
    hold(&mut book, CALL_100, "3", "3000");
    hold(&mut book, CALL_101, "-2", "1800");
    expire(&mut book, "130", &[CALL_100, CALL_101]);
    let contracts = [(CALL_100, Some("29.50")), (CALL_101, None)];
    let done = book.submit(&settlement(&contracts, &[], &[])).unwrap();
    let ways = ways(&done);
    for expected in
        [(OptionEnd::Exercised, "2"), (OptionEnd::Assigned, "2"), (OptionEnd::SoldOut, "1")]
    {
        assert!(ways.contains(&(expected.0, expected.1.into())), "{expected:?} of {ways:?}");
    }
    // 100 - 20,000 + 20,200 + 2,950
    assert_eq!(book.cash(me()), "3250.00");
    // (20,200 + 1,800) - (20,000 + 2,000)
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized 0.00");
    assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized 1950.00");
}

#[test]
fn shares_that_one_exercise_brings_another_delivers() {
    // A call at 90 and a put at 100: the put has no shares but those of the call.
    let call_90 = "AAPL231215C00090000";
    let mut book = cash(2, "9000");
    hold(&mut book, call_90, "1", "600");
    hold(&mut book, PUT_100, "1", "500");
    let done = ends(&mut book, "95", &[PUT_100, call_90]);
    assert_eq!(ways(&done).len(), 2);
    assert!(ways(&done).iter().all(|(how, _)| *how == OptionEnd::Exercised));
    assert_eq!(book.cash(me()), "10000.00");
    // (10,000 - 500) - (9,000 + 600)
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized -100.00");
}

#[test]
fn an_account_that_cannot_pay_is_assigned_all_the_same() {
    let mut book = cash(1, "2000");
    hold(&mut book, PUT_100, "-1", "300");
    ends(&mut book, "80", &[PUT_100]);
    assert_eq!(book.cash(me()), "-8000.00");
    assert!(book.accounts[&me()].in_deficit());
    assert_eq!(line(&book, "AAPL"), "100 cost 9700.00 realized 0.00");
}

#[test]
fn a_put_dearer_than_its_strike_moves_no_more_than_the_strike_into_the_shares() {
    let mut book = cash(1, "1000");
    hold(&mut book, PUT_1, "-1", "150");
    ends(&mut book, "0.50", &[PUT_1]);
    assert_eq!(book.cash(me()), "900.00");
    assert_eq!(line(&book, "AAPL"), "100 cost 0.00 realized 0.00");
    assert_eq!(line(&book, PUT_1), "0 cost 0.00 realized 50.00");

    let mut book = cash(2, "0");
    hold(&mut book, "AAPL", "100", "700");
    hold(&mut book, PUT_1, "1", "150");
    ends(&mut book, "0.50", &[PUT_1]);
    assert_eq!(book.cash(me()), "100.00");
    // The shares bring nothing, and 50 of what the put had cost are lost with it.
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized -700.00");
    assert_eq!(line(&book, PUT_1), "0 cost 0.00 realized -50.00");
}

#[test]
fn a_delivery_that_crosses_zero_closes_the_oldest_lots_and_opens_with_the_rest() {
    let mut book = margin(4);
    hold(&mut book, "AAPL", "60", "5000");
    hold(&mut book, "AAPL", "40", "4000");
    hold(&mut book, CALL_100, "-3", "600");
    let done = ends(&mut book, "110", &[CALL_100]);
    assert_eq!(book.cash(me()), "40000.00");
    // 30,600 for 300: 10,200 for the hundred that cost 9,000, and 20,400 for two hundred that are short now.
    assert_eq!(line(&book, "AAPL"), "-200 cost 20400.00 realized 1200.00");
    let delivered = done.events.iter().find_map(|(_, event)| match event {
        Event::Position(PositionEvent::SharesDelivered {
            closed, opened, position_qty, ..
        }) => Some((closed.clone().unwrap(), opened.clone().unwrap(), *position_qty)),
        _ => None,
    });
    let (closed, opened, position_qty) = delivered.unwrap();
    assert_eq!((closed.qty, closed.proceeds), (quantity("100"), money("10200")));
    assert_eq!(closed.lots.len(), 2);
    assert_eq!((opened.qty, opened.cost), (quantity("-200"), money("20400")));
    assert_eq!(position_qty, quantity("-200"));
}
