//! Stop orders: what each type takes and needs, what it reserves, and what a trigger is.

use aggregates::market::{BarPoint, Evidence, EvidenceTick};
use aggregates::order::{
    OrderChange, OrderEvent, OrderSpec, OrderStatus, OrderType, Side, TimeInForce, Trail, Trigger,
    TriggerBy,
};
use aggregates::refusal::RefusalCode;
use aggregates::stream::Event;
use aggregates::trading::Command;

use crate::book::*;
use crate::examples::{book, me};

fn stop(side: Side, qty: &str, stop_price: &str, limit: Option<&str>) -> OrderSpec {
    let order_type = if limit.is_some() { OrderType::StopLimit } else { OrderType::Stop };
    let spec = spec(me(), "AAPL", side, qty, limit);
    OrderSpec { order_type, stop_price: Some(price(stop_price)), ..spec }
}

fn trigger(n: u128, stop_price: &str, evidence: Evidence) -> Command {
    let stop_price = price(stop_price);
    let trigger = Trigger { revision: 0, mark: None, stop_price, evidence };
    Command::Trigger { order_id: order_id(n), trigger, at: at(2) }
}

#[test]
fn each_type_needs_its_prices_and_takes_no_other() {
    let (five, trail) = (Some(price("5")), Some(Trail::Price(price("5"))));
    let of = |order_type, limit_price, stop_price, trail| OrderSpec {
        order_type,
        limit_price,
        stop_price,
        trail,
        ..spec(me(), "AAPL", Side::Buy, "1", None)
    };
    for (order_type, wrong_with_all, wrong_with_none) in [
        (OrderType::Market, vec!["limit_price", "stop_price", "trail_price"], vec![]),
        (OrderType::Limit, vec!["stop_price", "trail_price"], vec!["limit_price"]),
        (OrderType::Stop, vec!["limit_price", "trail_price"], vec!["stop_price"]),
        (OrderType::StopLimit, vec!["trail_price"], vec!["limit_price", "stop_price"]),
        (OrderType::TrailingStop, vec!["limit_price", "stop_price"], vec!["trail_price"]),
        (
            OrderType::TrailingStopLimit,
            vec!["limit_price", "stop_price", "limit_offset"],
            vec!["trail_price", "limit_offset"],
        ),
    ] {
        let word = order_type.word();
        assert_eq!(faults(&of(order_type, five, five, trail)), wrong_with_all, "{word}");
        assert_eq!(faults(&of(order_type, None, None, None)), wrong_with_none, "{word}");
    }
    let fine = Some(price("100.001"));
    assert_eq!(faults(&of(OrderType::StopLimit, fine, fine, None)), ["limit_price", "stop_price"]);
    let zero = Some(price("0"));
    assert_eq!(faults(&of(OrderType::Stop, None, zero, None)), ["stop_price"]);
}

fn trailing(side: Side, qty: &str, trail: Trail) -> OrderSpec {
    let spec = spec(me(), "AAPL", side, qty, None);
    OrderSpec { order_type: OrderType::TrailingStop, trail: Some(trail), ..spec }
}

#[test]
fn a_distance_is_above_0_on_the_tick_and_a_percentage_below_100() {
    for (trail, wrong) in [
        (Trail::Price(price("5")), vec![]),
        (Trail::Price(price("0.0001")), vec![]),
        (Trail::Price(price("0")), vec!["trail_price"]),
        (Trail::Price(price("5.001")), vec!["trail_price"]),
        (Trail::Percent(price("99.9999")), vec![]),
        (Trail::Percent(price("100")), vec!["trail_percent"]),
        (Trail::Percent(price("0")), vec!["trail_percent"]),
        (Trail::Percent(price("-1")), vec!["trail_percent"]),
        (Trail::Percent(price("1.00001")), vec!["trail_percent"]),
    ] {
        assert_eq!(faults(&trailing(Side::Sell, "1", trail)), wrong, "{trail:?}");
    }
}

#[test]
fn a_trailing_stop_is_at_its_distance_from_the_mark_half_up_on_the_tick() {
    let amount = |text| Trail::Price(price(text));
    let percent = |text| Trail::Percent(price(text));
    for (trail, side, mark, stop) in [
        (amount("10"), Side::Sell, "100", "90"),
        (amount("10"), Side::Buy, "100", "110"),
        (percent("5"), Side::Sell, "101.10", "96.05"),
        (percent("5"), Side::Buy, "101.10", "106.16"),
        (percent("2.5"), Side::Sell, "1.02", "0.9945"),
        (amount("0.005"), Side::Sell, "50.00", "50.00"),
        (amount("60"), Side::Sell, "50.00", "0"),
    ] {
        assert_eq!(trail.stop(side, price(mark)), price(stop), "{trail:?} {side:?} {mark}");
    }
}

#[test]
fn a_trailing_buy_reserves_its_first_stop_and_the_collar_and_none_follows_without_a_price() {
    let mut book = book("2000");
    let order = trailing(Side::Buy, "10", Trail::Percent(price("10")));
    book.place(1, &order, &market(Some("100")));
    assert_eq!(book.reserved(me()), "1155.00");
    book.buy(2, me(), "AAPL", "1", "10");
    let sell = trailing(Side::Sell, "1", Trail::Price(price("1")));
    let unpriced = book.place(3, &sell, &market(None)).rejected.unwrap();
    assert_eq!(unpriced.code, RefusalCode::NoReferencePrice);
}

#[test]
fn a_trailing_stop_is_triggered_by_the_stop_of_its_mark_alone() {
    let mut book = book("2000");
    book.place(1, &trailing(Side::Buy, "10", Trail::Price(price("10"))), &market(Some("100")));
    let with_mark = |mark: Option<&str>, stop_price: &str, at_price: &str| {
        let trigger = Trigger {
            revision: 0,
            mark: mark.map(price),
            stop_price: price(stop_price),
            evidence: evidence(7, price(at_price)),
        };
        Command::Trigger { order_id: order_id(1), trigger, at: at(2) }
    };
    for wrong in [
        with_mark(None, "105", "106"),
        with_mark(Some("95"), "104.99", "106"),
        with_mark(Some("95"), "105", "104.99"),
    ] {
        assert_eq!(book.refused(&wrong), RefusalCode::OrderChanged);
    }
    book.submit(&with_mark(Some("95"), "105", "106")).unwrap();
    book.fill(1, "10", "106");
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("940.00", "0.00"));
}

fn limited(side: Side, qty: &str, distance: &str, offset: &str) -> OrderSpec {
    let trail = Trail::Price(price(distance));
    OrderSpec {
        order_type: OrderType::TrailingStopLimit,
        limit_offset: Some(price(offset)),
        ..trailing(side, qty, trail)
    }
}

#[test]
fn an_offset_is_0_or_more_and_an_activation_price_above_0_and_each_on_the_tick_of_trailing_types() {
    let of = |order: &OrderSpec, offset: Option<&str>, activation: Option<&str>| {
        let (limit_offset, activation_price) = (offset.map(price), activation.map(price));
        faults(&OrderSpec { limit_offset, activation_price, ..order.clone() })
    };
    let limited = limited(Side::Sell, "1", "5", "0");
    let plain = trailing(Side::Sell, "1", Trail::Price(price("5")));
    let fixed = stop(Side::Sell, "1", "5", None);
    for (order, offset, activation, wrong) in [
        (&limited, Some("0"), None, vec![]),
        (&limited, Some("0.0001"), Some("110"), vec![]),
        (&limited, Some("-0.01"), Some("0"), vec!["limit_offset", "activation_price"]),
        (&limited, Some("1.001"), Some("110.001"), vec!["limit_offset", "activation_price"]),
        (&plain, None, Some("110"), vec![]),
        (&plain, Some("1"), None, vec!["limit_offset"]),
        (&fixed, Some("1"), Some("110"), vec!["limit_offset", "activation_price"]),
    ] {
        assert_eq!(of(order, offset, activation), wrong, "{offset:?} {activation:?}");
    }
}

/// A trigger with a mark, by a tick at `at_price`.
fn trigger_at(n: u128, mark: &str, stop_price: &str, at_price: &str) -> Command {
    let trigger = Trigger {
        revision: 0,
        mark: Some(price(mark)),
        stop_price: price(stop_price),
        evidence: evidence(7, price(at_price)),
    };
    Command::Trigger { order_id: order_id(n), trigger, at: at(2) }
}

#[test]
fn a_trailing_stop_limit_is_a_limit_order_beyond_the_stop_that_triggers_it() {
    let mut book = book("2000");
    // The first stop is 110 and the limit then 110.50: no later one is higher.
    book.place(1, &limited(Side::Buy, "10", "10", "0.5"), &market(Some("100")));
    assert_eq!(book.reserved(me()), "1105.00");
    let decision = book.submit(&trigger_at(1, "95", "105", "106")).unwrap();
    let [(_, Event::Order(OrderEvent::OrderTriggered { limit_price, .. }))] = &decision.events[..]
    else {
        panic!("{decision:?}")
    };
    assert_eq!(*limit_price, Some(price("105.5")));
    let beyond = book.proposal(1, quantity("1"), price("105.51"));
    assert_eq!(book.refused(&beyond), RefusalCode::OrderChanged);
    book.fill(1, "4", "105.5");
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("1578.00", "663.00"));
    let more = OrderChange { limit_price: Some(price("106")), ..OrderChange::default() };
    book.submit(&replace(1, me(), more)).unwrap();
    assert_eq!(book.reserved(me()), "636.00");
    let back = OrderChange { trail: Some(price("1")), ..OrderChange::default() };
    assert_eq!(book.refused(&replace(1, me(), back)), RefusalCode::InvalidOrder);
}

#[test]
fn offset_and_activation_price_can_be_changed_until_the_trigger_and_the_reservation_follows() {
    let mut book = book("2000");
    let changed = |limit_offset: Option<&str>, activation: Option<&str>| OrderChange {
        limit_offset: limit_offset.map(price),
        activation_price: activation.map(price),
        ..OrderChange::default()
    };
    book.place(1, &limited(Side::Buy, "10", "10", "0.5"), &market(Some("100")));
    book.submit(&replace(1, me(), changed(Some("2"), None))).unwrap();
    assert_eq!(book.reserved(me()), "1120.10", "the ask is 100.01 by now");
    // It follows from 90 on now, so its stop is at most 100.
    book.submit(&replace(1, me(), changed(None, Some("90")))).unwrap();
    assert_eq!(book.reserved(me()), "1020.00");
    let same = book.submit(&replace(1, me(), changed(Some("2"), Some("90")))).unwrap();
    assert_eq!(same.events, [], "it is so already");
    for wrong in [changed(Some("-1"), None), changed(Some("1.001"), None), changed(None, Some("0"))]
    {
        assert_eq!(book.refused(&replace(1, me(), wrong)), RefusalCode::InvalidOrder);
    }
    let trigger = |mark: &str, stop: &str| {
        let Command::Trigger { order_id, trigger, at } = trigger_at(1, mark, stop, "106") else {
            panic!("a trigger")
        };
        Command::Trigger { order_id, trigger: Trigger { revision: 2, ..trigger }, at }
    };
    assert_eq!(book.refused(&trigger("95", "105")), RefusalCode::OrderChanged, "it waits for 90");
    let decision = book.submit(&trigger("90", "100")).unwrap();
    let [(_, Event::Order(OrderEvent::OrderTriggered { limit_price, .. }))] = &decision.events[..]
    else {
        panic!("{decision:?}")
    };
    assert_eq!(*limit_price, Some(price("102")));
    for late in [changed(Some("3"), None), changed(None, Some("80"))] {
        assert_eq!(book.refused(&replace(1, me(), late)), RefusalCode::InvalidOrder);
    }
    book.place(2, &trailing(Side::Buy, "1", Trail::Price(price("5"))), &market(Some("100")));
    let offset = replace(2, me(), changed(Some("1"), None));
    assert_eq!(book.refused(&offset), RefusalCode::InvalidOrder, "it is no limit order");
}

#[test]
fn one_that_is_changed_to_follow_from_a_higher_price_reserves_by_the_highest_that_may_come_next() {
    let mut book = book("2000");
    let order =
        OrderSpec { activation_price: Some(price("90")), ..limited(Side::Buy, "10", "5", "1") };
    book.place(1, &order, &market(Some("100")));
    assert_eq!(book.reserved(me()), "960.00", "a mark of 90, a stop of 95, a limit of 96");
    let from = |activation: &str| OrderChange {
        activation_price: Some(price(activation)),
        ..OrderChange::default()
    };
    // The next price may be 120, and its limit 126 then.
    book.submit(&replace(1, me(), from("120"))).unwrap();
    assert_eq!(book.reserved(me()), "1260.00");
    assert_eq!(
        book.refused(&replace(1, me(), from("500"))),
        RefusalCode::InsufficientBuyingPower,
        "5,060 at worst"
    );
    let wider = OrderChange { trail: Some(price("7")), ..OrderChange::default() };
    book.submit(&replace(1, me(), wider)).unwrap();
    assert_eq!(book.reserved(me()), "1280.00", "it may not have met a price since");
}

#[test]
fn a_limit_beyond_a_low_stop_is_the_smallest_price() {
    let order = limited(Side::Sell, "1", "1", "5");
    assert_eq!(order.limit_once_triggered(price("4.99")), Some(price("0.0001")));
    let order = limited(Side::Buy, "1", "1", "5");
    let most = aggregates::money::Price::MAX;
    assert_eq!(order.limit_once_triggered(most), Some(most));
    assert_eq!(order.limit_once_triggered(price("4.99")), Some(price("9.99")));
}

#[test]
fn one_that_follows_from_a_price_on_is_not_triggered_before_and_reserves_by_its_first_stop_then() {
    let mut book = book("2000");
    let order = OrderSpec {
        activation_price: Some(price("90")),
        ..trailing(Side::Buy, "10", Trail::Price(price("12")))
    };
    // It follows from 90 on, so its stop is at most 102: and 5 % more.
    book.place(1, &order, &market(Some("100")));
    assert_eq!(book.reserved(me()), "1071.00");
    assert_eq!(book.refused(&trigger_at(1, "90.01", "102.01", "103")), RefusalCode::OrderChanged);
    book.submit(&trigger_at(1, "90", "102", "103")).unwrap();
    let near = OrderSpec { activation_price: Some(price("101")), ..order };
    let mut book = crate::examples::book("2000");
    book.place(1, &near, &market(Some("100")));
    assert_eq!(book.reserved(me()), "1176.00", "it follows from the 100 on");
}

#[test]
fn a_split_divides_offsets_up_and_activation_prices_so_that_what_is_reached_stays_reached() {
    let mut book = book("2000");
    book.buy(1, me(), "AAPL", "10", "100");
    for (n, side) in [(2, Side::Buy), (3, Side::Sell)] {
        let order = OrderSpec {
            activation_price: Some(price("100.01")),
            ..limited(side, "3", "10", "1.01")
        };
        book.place(n, &order, &market(Some("90")));
    }
    book.submit(&begin_split("s", "AAPL", ("2", "1"), Some("100"))).unwrap();
    book.submit(&follow_split(me(), "AAPL", &[2, 3])).unwrap();
    let of = |n| {
        let spec = book.orders[&order_id(n)].spec().unwrap().clone();
        (spec.limit_offset, spec.activation_price)
    };
    assert_eq!(of(2), (Some(price("0.505")), Some(price("50.01"))));
    assert_eq!(of(3), (Some(price("0.505")), Some(price("50"))));
}

#[test]
fn only_a_stop_has_a_trigger_and_one_that_waits_cannot_be_immediate() {
    let limit = OrderSpec {
        trigger_by: Some(TriggerBy::Quote),
        ..spec(me(), "AAPL", Side::Buy, "1", Some("100"))
    };
    assert_eq!(faults(&limit), ["trigger_by"]);
    for (time_in_force, wrong) in [
        (TimeInForce::Day, vec![]),
        (TimeInForce::Gtc, vec![]),
        (TimeInForce::Ioc, vec!["time_in_force"]),
        (TimeInForce::Fok, vec!["time_in_force"]),
    ] {
        let order = OrderSpec {
            time_in_force,
            trigger_by: Some(TriggerBy::Quote),
            ..stop(Side::Buy, "1", "100", None)
        };
        assert_eq!(faults(&order), wrong, "{}", time_in_force.word());
    }
}

#[test]
fn a_buy_reserves_its_stop_and_the_collar_its_limit_or_the_market_that_is_beyond_its_stop() {
    for (order, reference, reserved) in [
        (stop(Side::Buy, "10", "110", None), Some("100"), "1155.00"),
        (stop(Side::Buy, "10", "110", None), None, "1155.00"),
        (stop(Side::Buy, "10", "110", Some("112")), Some("100"), "1120.00"),
        (stop(Side::Buy, "10", "1", None), Some("100"), "1050.00"),
    ] {
        let mut book = book("2000");
        book.place(1, &order, &market(reference));
        assert_eq!(book.reserved(me()), reserved, "{order:?}");
    }
    let mut book = book("1154.99");
    let placed = book.place(1, &stop(Side::Buy, "10", "110", None), &market(Some("100")));
    assert_eq!(placed.rejected.unwrap().code, RefusalCode::InsufficientBuyingPower);
}

#[test]
fn a_sell_stop_sets_its_shares_aside_while_it_waits() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "10", "100");
    book.place(2, &stop(Side::Sell, "7", "90", None), &market(Some("100")));
    let more = book.place(3, &stop(Side::Sell, "4", "80", Some("79")), &market(Some("100")));
    assert_eq!(more.rejected.unwrap().code, RefusalCode::InsufficientShares);
    book.submit(&cancel(2, me())).unwrap();
    assert_eq!(book.positions[&(me(), stock("AAPL"))].reserved_qty(), quantity("0"));
}

#[test]
fn a_stop_fills_once_it_is_triggered_and_is_triggered_once() {
    let mut book = book("2000");
    book.place(1, &stop(Side::Buy, "10", "110", None), &market(Some("100")));
    let early = book.proposal(1, quantity("10"), price("111"));
    assert_eq!(book.refused(&early), RefusalCode::OrderChanged);
    let reached = trigger(1, "110", evidence(7, price("111")));
    let decision = book.submit(&reached).unwrap();
    let [(_, Event::Order(OrderEvent::OrderTriggered { stop_price, mark, evidence, .. }))] =
        &decision.events[..]
    else {
        panic!("{decision:?}")
    };
    assert_eq!((*stop_price, *mark, evidence.tape_place), (price("110"), None, 7));
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Triggered));
    assert_eq!(book.refused(&reached), RefusalCode::OrderChanged);
    book.fill(1, "4", "111");
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::PartiallyFilled));
    assert_eq!(book.refused(&reached), RefusalCode::OrderChanged);
    book.fill(1, "6", "112");
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("884.00", "0.00"));
}

#[test]
fn a_tick_that_has_not_reached_the_stop_triggers_nothing_nor_does_another_stop() {
    let mut book = book("2000");
    book.place(1, &stop(Side::Buy, "10", "110", None), &market(Some("100")));
    let tick = |tick| Evidence { tick, ..evidence(7, price("1")) };
    let size = quantity("1");
    let bar = |point| EvidenceTick::Bar {
        open: price("105"),
        high: price("115"),
        low: price("100"),
        close: price("109.99"),
        volume: size,
        point,
    };
    let not_there = [
        tick(EvidenceTick::Quote {
            bid: price("109"),
            bid_size: size,
            ask: price("109.99"),
            ask_size: size,
        }),
        tick(EvidenceTick::Trade { price: price("109.99"), size }),
        tick(bar(BarPoint::Open)),
        tick(bar(BarPoint::Low)),
        tick(bar(BarPoint::Close)),
    ];
    for evidence in not_there {
        assert_eq!(book.refused(&trigger(1, "110", evidence)), RefusalCode::OrderChanged);
    }
    let high = tick(bar(BarPoint::High));
    assert_eq!(book.refused(&trigger(1, "109", high.clone())), RefusalCode::OrderChanged);
    book.submit(&trigger(1, "110", high)).unwrap();
    // A limit order has no stop.
    book.place(2, &spec(me(), "AAPL", Side::Buy, "1", Some("1")), &market(None));
    let none = trigger(2, "1", evidence(8, price("1")));
    assert_eq!(book.refused(&none), RefusalCode::OrderChanged);
}

#[test]
fn a_stop_limit_keeps_to_its_limit_and_a_triggered_order_ends_as_any() {
    let mut book = book("2000");
    book.place(1, &stop(Side::Buy, "10", "110", Some("112")), &market(Some("100")));
    book.submit(&trigger(1, "110", evidence(7, price("115")))).unwrap();
    let beyond = book.proposal(1, quantity("1"), price("112.01"));
    assert_eq!(book.refused(&beyond), RefusalCode::OrderChanged);
    book.fill(1, "1", "112");
    book.submit(&cancel(1, me())).unwrap();
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("1888.00", "0.00"));
}

#[test]
fn nothing_is_triggered_in_a_symbol_that_is_being_split_and_the_split_moves_the_stop() {
    let mut book = book("2000");
    book.place(1, &stop(Side::Buy, "3", "99.99", Some("100.01")), &market(Some("90")));
    book.submit(&begin_split("s", "AAPL", ("3", "2"), Some("100"))).unwrap();
    let reached = trigger(1, "99.99", evidence(7, price("100")));
    assert_eq!(book.refused(&reached), RefusalCode::CorporateAction);
    book.submit(&follow_split(me(), "AAPL", &[1])).unwrap();
    let order = &book.orders[&order_id(1)];
    let spec = order.spec().unwrap();
    // 66.66 exactly, and 66.6733… down.
    assert_eq!((spec.stop_price, spec.limit_price), (Some(price("66.66")), Some(price("66.67"))));
    assert_eq!(order.reserve_price(), Some(price("66.67")));
    assert_eq!(book.reserved(me()), "266.68");
}
