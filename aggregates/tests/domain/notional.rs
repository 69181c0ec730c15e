//! Orders for an amount of dollars: what they take, reserve and refuse.

use aggregates::account::{AccountCommand, PolicyChange};
use aggregates::order::{
    OrderChange, OrderEvent, OrderSpec, OrderStatus, OrderType, Side, TimeInForce,
};
use aggregates::refusal::RefusalCode;
use aggregates::stream::Event;
use aggregates::trading::Command;

use crate::book::*;
use crate::examples::{book, me};

fn dollars(amount: &str) -> OrderSpec {
    let spec = spec(me(), "AAPL", Side::Buy, "0", None);
    OrderSpec { notional: Some(money(amount)), time_in_force: TimeInForce::Day, ..spec }
}

#[test]
fn dollars_are_above_0_and_of_a_market_order_for_the_day_without_a_quantity() {
    let good = dollars("100");
    assert_eq!(faults(&good), Vec::<&str>::new());
    for bad in [
        dollars("0"),
        dollars("-1"),
        OrderSpec { qty: quantity("1"), ..good.clone() },
        OrderSpec { time_in_force: TimeInForce::Gtc, ..good.clone() },
        OrderSpec { time_in_force: TimeInForce::Opg, ..good.clone() },
        OrderSpec { order_type: OrderType::Limit, limit_price: Some(price("1")), ..good.clone() },
    ] {
        assert_eq!(faults(&bad), ["notional"], "{bad:?}");
    }
    let neither = OrderSpec { notional: None, ..good };
    assert_eq!(faults(&neither), ["qty"]);
}

#[test]
fn it_reserves_its_dollars_and_the_fee_of_the_shares_that_they_would_buy() {
    let mut book = book("1000");
    book.rules.fees.per_fill = money("0.35");
    book.rules.fees.per_share = price("0.01");
    // 3.333333333 shares at 90.00.
    book.place(1, &dollars("300"), &market(Some("90")));
    assert_eq!(book.reserved(me()), "300.39");
    let order = &book.orders[&order_id(1)];
    assert_eq!((order.reserve_price(), order.leaves_qty().unwrap()), (None, quantity("0")));
    let beyond = book.place(2, &dollars("700"), &market(Some("90"))).rejected.unwrap();
    assert_eq!(beyond.code, RefusalCode::InsufficientBuyingPower);
    let unpriced = book.place(3, &dollars("1"), &market(None)).rejected.unwrap();
    assert_eq!(unpriced.code, RefusalCode::NoReferencePrice);
}

#[test]
fn each_fill_takes_what_is_left_of_the_dollars_and_the_last_one_sets_the_quantity() {
    let mut book = book("1000");
    book.place(1, &dollars("300"), &market(Some("90")));
    let beyond = book.proposal(1, quantity("3.333333334"), price("90"));
    assert_eq!(book.refused(&beyond), RefusalCode::OrderChanged);
    book.fill(1, "1", "90");
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("910.00", "210.00"));
    let decision = book.fill(1, "2.1", "100");
    let (_, Event::Order(OrderEvent::OrderFilled { leaves_qty, filled_qty, .. })) =
        &decision.events[0]
    else {
        panic!("{decision:?}")
    };
    assert_eq!((*leaves_qty, *filled_qty), (quantity("0"), quantity("3.1")));
    let order = &book.orders[&order_id(1)];
    assert_eq!(order.status(), Some(OrderStatus::Filled));
    assert_eq!(order.spec().unwrap().qty, quantity("3.1"));
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("700.00", "0.00"));
}

#[test]
fn a_cent_is_done_where_it_buys_less_than_the_smallest_part_of_a_share() {
    let mut book = book("10000000");
    book.place(1, &dollars("5000000.01"), &market(Some("10000000")));
    // Half a share leaves a cent, which buys a billionth.
    book.fill(1, "0.5", "10000000");
    let order = &book.orders[&order_id(1)];
    assert_eq!(order.status(), Some(OrderStatus::PartiallyFilled));
    assert_eq!(order.leaves_at(price("10000000")).unwrap(), quantity("0.000000001"));
    book.fill(1, "0.000000001", "10000000");
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Filled));
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn it_is_canceled_and_not_changed_and_a_split_ends_it() {
    let mut book = book("1000");
    book.place(1, &dollars("300"), &market(Some("90")));
    let more = OrderChange { qty: Some(quantity("5")), ..OrderChange::default() };
    assert_eq!(book.refused(&replace(1, me(), more)), RefusalCode::InvalidOrder);
    book.fill(1, "1", "90");
    book.submit(&cancel(1, me())).unwrap();
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("910.00", "0.00"));
    book.place(2, &dollars("300"), &market(Some("90")));
    book.fill(2, "1", "90");
    book.submit(&begin_split("s", "AAPL", ("2", "1"), Some("90"))).unwrap();
    book.submit(&follow_split(me(), "AAPL", &[2])).unwrap();
    assert_eq!(book.orders[&order_id(2)].status(), Some(OrderStatus::Canceled));
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("820.00", "0.00"));
}

#[test]
fn dollars_count_as_the_shares_that_they_would_buy_where_a_policy_limits_shares() {
    let mut book = book("10000");
    let change = PolicyChange {
        max_order_qty: Some(Some(quantity("5"))),
        max_position_qty: Some(Some(quantity("8"))),
        ..PolicyChange::default()
    };
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
    let mut code = |n, amount: &str| {
        let rejected = book.place(n, &dollars(amount), &market(Some("100"))).rejected;
        rejected.map(|refusal| refusal.code)
    };
    assert_eq!(code(1, "500.01"), Some(RefusalCode::OrderLimit), "5.0001 shares are beyond 5");
    assert_eq!(code(2, "500"), None);
    assert_eq!(code(3, "300.01"), Some(RefusalCode::PositionLimit), "8.0001 with the five");
    assert_eq!(code(4, "300"), None);
}

fn sold(amount: &str) -> OrderSpec {
    OrderSpec { side: Side::Sell, ..dollars(amount) }
}

/// Shares that the orders set aside, in order of their numbers.
fn set_aside<const N: usize>(book: &Book, orders: [u128; N]) -> [String; N] {
    let position = &book.positions[&(me(), stock("AAPL"))];
    orders.map(|n| position.reservation(order_id(n)).to_string())
}

#[test]
fn a_sell_sets_the_shares_of_its_dollars_aside_and_each_fill_those_of_what_is_left() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "10", "100");
    book.place(2, &sold("500"), &market(Some("125")));
    assert_eq!(set_aside(&book, [2]), ["4"]);
    assert_eq!(book.reserved(me()), "0.00");
    book.fill(2, "1", "100");
    assert_eq!(set_aside(&book, [2]), ["4"], "400.00 at 100 are 4 more");
    book.fill(2, "1", "80");
    assert_eq!(set_aside(&book, [2]), ["4"], "320.00 at 80");
    book.fill(2, "1", "160");
    assert_eq!(set_aside(&book, [2]), ["1"], "160.00 at 160");
    book.fill(2, "0.8", "200");
    let order = &book.orders[&order_id(2)];
    assert_eq!(order.status(), Some(OrderStatus::Filled));
    assert_eq!(order.spec().unwrap().qty, quantity("3.8"));
    assert_eq!((book.cash(me()).as_str(), set_aside(&book, [2])), ("500.00", ["0".to_owned()]));
}

#[test]
fn a_sell_takes_what_is_held_and_free_and_is_done_with_it() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "10", "100");
    book.place(2, &sold("1000"), &market(Some("125")));
    book.fill(2, "2", "125");
    assert_eq!(set_aside(&book, [2]), ["6"]);
    let decision = book.fill(2, "10", "75");
    let (_, Event::Order(OrderEvent::OrderFilled { qty, leaves_qty, .. })) = &decision.events[0]
    else {
        panic!("{decision:?}")
    };
    assert_eq!((*qty, *leaves_qty), (quantity("8"), quantity("0")), "eight are there");
    assert_eq!(book.orders[&order_id(2)].status(), Some(OrderStatus::Filled));
    assert_eq!(book.cash(me()), "850.00");
    let rejected = book.place(3, &sold("1"), &market(Some("75"))).rejected.unwrap();
    assert_eq!(rejected.code, RefusalCode::InsufficientShares, "none is held");
}

#[test]
fn a_sell_leaves_alone_what_others_have_set_aside() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "10", "100");
    book.place(2, &spec(me(), "AAPL", Side::Sell, "7", Some("200")), &market(Some("100")));
    book.place(3, &sold("1000"), &market(Some("100")));
    assert_eq!(set_aside(&book, [2, 3]), ["7", "3"]);
    let none = book.place(4, &sold("1"), &market(Some("100"))).rejected.unwrap();
    assert_eq!(none.code, RefusalCode::InsufficientShares);
    book.fill(3, "10", "100");
    assert_eq!(book.orders[&order_id(3)].spec().unwrap().qty, quantity("3"));
    assert_eq!(set_aside(&book, [2]), ["7"]);
    book.place(5, &sold("1"), &market(None));
    book.submit(&cancel(2, me())).unwrap();
    book.place(6, &sold("100"), &market(Some("100")));
    book.submit(&cancel(6, me())).unwrap();
    assert_eq!(set_aside(&book, [2, 6]), ["0", "0"]);
}

#[test]
fn in_a_margin_account_a_sell_for_dollars_opens_nothing_and_ends_when_others_have_its_shares() {
    let mut book = Book::default();
    book.list("AAPL");
    book.open_margin(me(), "10000");
    let none = book.place(1, &sold("100"), &market(Some("100"))).rejected.unwrap();
    assert_eq!(none.code, RefusalCode::InsufficientShares, "it does not go short");
    book.place(
        2,
        &spec(me(), "AAPL", Side::Buy, "10", Some("100")),
        &marked("100", &[("AAPL", "100")]),
    );
    book.fill_marked(2, "10", "100", &[("AAPL", "100")]);
    book.place(3, &sold("1000"), &marked("100", &[("AAPL", "100")]));
    assert_eq!(set_aside(&book, [3]), ["10"]);
    // All of the shares are set aside, so this one would open; when it fills it takes them.
    book.place(
        4,
        &spec(me(), "AAPL", Side::Sell, "10", Some("100")),
        &marked("100", &[("AAPL", "100")]),
    );
    book.fill_marked(4, "6", "100", &[("AAPL", "100")]);
    assert_eq!(set_aside(&book, [3]), ["4"]);
    book.fill_marked(3, "1", "100", &[("AAPL", "100")]);
    assert_eq!(set_aside(&book, [3]), ["3"], "it is open for what is there");
    book.fill_marked(4, "3", "100", &[("AAPL", "100")]);
    assert_eq!(set_aside(&book, [3]), ["0"]);
    let command = book.proposal(3, quantity("1"), price("100"));
    let decision = book.submit(&command).unwrap();
    assert!(decision.rejected.is_some());
    assert_eq!(book.orders[&order_id(3)].status(), Some(OrderStatus::Canceled));
    assert_eq!(book.cash(me()), "10000.00");
}
