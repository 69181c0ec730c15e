//! Replacing orders, by hand: `docs/rules.md`, Replacing.

use aggregates::account::{AccountCommand, PolicyChange, TradingState};
use aggregates::order::{
    ExpiryReason, OrderChange, OrderError, OrderEvent, OrderSpec, OrderStatus, OrderType, Side,
    TimeInForce, Trail, Trigger,
};
use aggregates::refusal::RefusalCode;
use aggregates::stream::Event;
use aggregates::trading::Command;

use chrono::TimeDelta;

use crate::book::*;
use crate::examples::{book, me};

fn to(qty: &str) -> OrderChange {
    OrderChange { qty: Some(quantity(qty)), ..OrderChange::default() }
}

fn at_limit(limit: &str) -> OrderChange {
    OrderChange { limit_price: Some(price(limit)), ..OrderChange::default() }
}

fn policy(change: PolicyChange) -> Command {
    let command = AccountCommand::ChangePolicy { change };
    Command::Account { account_id: me(), command }
}

#[test]
fn a_buy_needs_only_what_the_new_terms_cost_beyond_the_old_ones() {
    let mut book = book("1000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "9", Some("100")), &market(None));
    assert_eq!(book.reserved(me()), "900.00");
    book.submit(&replace(1, me(), at_limit("111.11"))).unwrap();
    assert_eq!(book.reserved(me()), "999.99", "99.99 more, of the 100 that were free");
    assert_eq!(
        book.refused(&replace(1, me(), at_limit("111.12"))),
        RefusalCode::InsufficientBuyingPower
    );
    assert_eq!(book.reserved(me()), "999.99", "a refusal leaves the order as it was");
    assert_eq!(book.orders[&order_id(1)].revision(), 1);
    book.fill(1, "4", "100");
    assert_eq!((book.cash(me()), book.reserved(me())), ("600.00".into(), "555.55".into()));
    book.submit(&replace(1, me(), to("6"))).unwrap();
    assert_eq!(book.reserved(me()), "222.22", "two are open: four of six have filled");
    book.fill(1, "2", "111.11");
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Filled));
    assert_eq!((book.cash(me()), book.reserved(me())), ("377.78".into(), "0.00".into()));
}

#[test]
fn a_market_buy_that_waits_keeps_the_price_that_it_reserves_at() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", None), &market(Some("200")));
    assert_eq!(book.reserved(me()), "2100.00");
    book.submit(&replace(1, me(), to("4"))).unwrap();
    assert_eq!(book.reserved(me()), "840.00", "4 * 210, though the stock stands at 100.01 now");
}

#[test]
fn a_sell_sets_aside_what_is_open_of_it() {
    let mut book = book("1000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    book.fill(1, "10", "100");
    book.place(2, &spec(me(), "AAPL", Side::Sell, "4", Some("110")), &market(None));
    book.fill(2, "1", "110");
    book.submit(&replace(2, me(), to("10"))).unwrap();
    let held = &book.positions[&(me(), stock("AAPL"))];
    assert_eq!(held.reservation(order_id(2)), quantity("9"), "all that is held");
    assert_eq!(book.refused(&replace(2, me(), to("11"))), RefusalCode::InsufficientShares);
    book.submit(&replace(2, me(), to("2"))).unwrap();
    assert_eq!(book.positions[&(me(), stock("AAPL"))].reservation(order_id(2)), quantity("1"));
}

#[test]
fn a_change_of_price_or_more_shares_lose_priority_and_fewer_or_another_time_do_not() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    let gtc = OrderChange { time_in_force: Some(TimeInForce::Gtc), ..OrderChange::default() };
    for (change, loses) in
        [(to("9"), false), (gtc, false), (to("10"), true), (at_limit("99.99"), true)]
    {
        let decision = book.submit(&replace(1, me(), change)).unwrap();
        let Event::Order(OrderEvent::OrderReplaced { loses_priority, .. }) = decision.events[0].1
        else {
            panic!("{decision:?}")
        };
        assert_eq!(loses_priority, loses, "{decision:?}");
    }
    let again = book.submit(&replace(1, me(), at_limit("99.99"))).unwrap();
    assert!(again.events.is_empty(), "it is so already");
}

#[test]
fn a_day_order_becomes_gtd_and_ends_at_its_own_time() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    let till = |seconds| OrderChange {
        time_in_force: Some(TimeInForce::Gtd),
        good_till: Some(at(seconds)),
        ..OrderChange::default()
    };
    assert_eq!(book.refused(&replace(1, me(), till(0))), RefusalCode::InvalidOrder, "not later");
    let years =
        |days: i64| OrderChange { good_till: Some(at(0) + TimeDelta::days(days)), ..till(0) };
    assert_eq!(
        book.refused(&replace(1, me(), years(3_654))),
        RefusalCode::InvalidOrder,
        "too late"
    );
    let fine = OrderChange { good_till: Some(at(7_200) + TimeDelta::nanoseconds(1)), ..till(0) };
    assert_eq!(book.refused(&replace(1, me(), fine)), RefusalCode::InvalidOrder, "too fine");
    let without = OrderChange { good_till: None, ..till(0) };
    assert_eq!(book.refused(&replace(1, me(), without)), RefusalCode::InvalidOrder);
    book.submit(&replace(1, me(), years(3_653))).unwrap();
    book.submit(&replace(1, me(), till(7_200))).unwrap();
    assert_eq!(book.orders[&order_id(1)].expires_at(), Some(at(7_200)));
    let later = OrderChange { good_till: Some(at(9_000)), ..OrderChange::default() };
    book.submit(&replace(1, me(), later)).unwrap();
    assert_eq!(book.orders[&order_id(1)].expires_at(), Some(at(9_000)));
    let reason = ExpiryReason::TimeReached;
    book.submit(&Command::Expire { order_id: order_id(1), reason, at: at(9_000) }).unwrap();
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn what_an_open_order_cannot_become_is_refused_by_field() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    book.place(2, &spec(me(), "AAPL", Side::Buy, "10", None), &market(Some("100")));
    let none = OrderChange::default;
    let immediate = OrderChange { time_in_force: Some(TimeInForce::Ioc), ..none() };
    let trailing = OrderChange { trail: Some(price("1")), ..none() };
    let stop = OrderChange { stop_price: Some(price("90")), ..none() };
    for (n, change) in [
        (1, none()),
        (1, to("0")),
        (1, at_limit("100.001")),
        (2, at_limit("100")),
        (1, immediate),
        (1, trailing),
        (1, stop),
    ] {
        let why = format!("{change:?}");
        assert_eq!(book.refused(&replace(n, me(), change)), RefusalCode::InvalidOrder, "{why}");
    }
    book.fill(1, "4", "100");
    assert_eq!(book.refused(&replace(1, me(), to("4"))), RefusalCode::InvalidOrder);
    assert_eq!(book.refused(&replace(1, account_id(2), to("5"))), RefusalCode::OrderNotFound);
    book.submit(&cancel(1, me())).unwrap();
    assert_eq!(book.refused(&replace(1, me(), to("5"))), RefusalCode::OrderNotOpen);
}

/// A change cannot name another type, so what it is told to do instead does not either.
#[test]
fn a_price_that_the_type_of_the_order_has_not_is_told_what_changes_it() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    let trailing = OrderSpec {
        order_type: OrderType::TrailingStop,
        trail: Some(Trail::Price(price("5"))),
        ..spec(me(), "AAPL", Side::Buy, "10", None)
    };
    book.place(2, &trailing, &market(Some("100")));
    let stop = OrderChange { stop_price: Some(price("90")), ..OrderChange::default() };
    let offset = OrderChange { limit_offset: Some(price("1")), ..OrderChange::default() };
    for (n, change, field, said) in [
        (
            1,
            stop,
            "stop_price",
            "a limit order takes no stop_price, and a change keeps the type: leave it out, or cancel",
        ),
        (
            2,
            at_limit("100"),
            "limit_price",
            "a change keeps the type: leave it out (trail changes its distance), or cancel",
        ),
        (
            2,
            offset,
            "limit_offset",
            "leave it out (trail changes its distance), or cancel the order and send another",
        ),
    ] {
        let order = &book.orders[&order_id(n)];
        let Err(OrderError::Malformed { field: found, message }) = order.replaced(&change) else {
            panic!("{change:?} was taken")
        };
        assert_eq!(found, field);
        assert!(message.contains(said), "{message}");
        assert_eq!(book.refused(&replace(n, me(), change)), RefusalCode::InvalidOrder);
    }
    let nearer = OrderChange { trail: Some(price("4")), ..OrderChange::default() };
    book.orders[&order_id(2)].replaced(&nearer).unwrap();
}

#[test]
fn a_stop_is_moved_until_it_is_reached() {
    let mut book = book("10000");
    let stop = OrderSpec {
        order_type: OrderType::Stop,
        stop_price: Some(price("110")),
        ..spec(me(), "AAPL", Side::Buy, "10", None)
    };
    book.place(1, &stop, &market(Some("100")));
    assert_eq!(book.reserved(me()), "1155.00", "10 * 110 * 1.05");
    let moved = |stop| OrderChange { stop_price: Some(price(stop)), ..OrderChange::default() };
    book.submit(&replace(1, me(), moved("120"))).unwrap();
    assert_eq!(book.reserved(me()), "1260.00");
    let trigger = Trigger {
        revision: 1,
        mark: None,
        stop_price: price("120"),
        evidence: evidence(1, price("120.5")),
    };
    book.submit(&Command::Trigger { order_id: order_id(1), trigger, at: at(1) }).unwrap();
    assert_eq!(book.refused(&replace(1, me(), moved("121"))), RefusalCode::InvalidOrder);
    book.submit(&replace(1, me(), to("4"))).unwrap();
    assert_eq!(book.reserved(me()), "504.00");
}

#[test]
fn limits_of_the_account_hold_for_what_a_change_adds() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    let trading = |state| PolicyChange { trading_state: Some(state), ..PolicyChange::default() };
    book.submit(&policy(trading(TradingState::Reducing))).unwrap();
    assert_eq!(book.refused(&replace(1, me(), to("11"))), RefusalCode::ReduceOnly);
    book.submit(&replace(1, me(), to("9"))).unwrap();
    book.submit(&policy(trading(TradingState::Halted))).unwrap();
    assert_eq!(book.refused(&replace(1, me(), to("8"))), RefusalCode::TradingHalted);
    let limits = PolicyChange {
        max_order_notional: Some(Some(money("950"))),
        ..trading(TradingState::Active)
    };
    book.submit(&policy(limits)).unwrap();
    assert_eq!(book.refused(&replace(1, me(), at_limit("105.56"))), RefusalCode::OrderLimit);
    book.submit(&replace(1, me(), at_limit("105.55"))).unwrap();
}
