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
fn dollars_are_above_0_and_of_a_market_buy_for_the_day_without_a_quantity() {
    let good = dollars("100");
    assert_eq!(faults(&good), Vec::<&str>::new());
    for bad in [
        dollars("0"),
        dollars("-1"),
        OrderSpec { qty: quantity("1"), ..good.clone() },
        OrderSpec { side: Side::Sell, ..good.clone() },
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
