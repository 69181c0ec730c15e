//! Every state of an order met with everything that can happen, through real commands: what the table allows happens,
//! all else is refused.

use aggregates::order::{
    CancelReason, Execution, ExpiryReason, Happening, Order, OrderChange, OrderCommand, OrderEvent,
    OrderStatus, OrderType, ResizeCause, Side, TABLE, Trigger, next,
};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::rules::Rules;
use aggregates::stream::Decide;

use crate::book::*;
use crate::documents::hold_section;

/// What makes `happening` of an order: placed as a limit order, or as one that a stop triggers.
fn command(order: &Order, happening: Happening, stops: bool) -> OrderCommand {
    let mut spec = spec(account_id(1), "AAPL", Side::Buy, "10", Some("100"));
    if stops {
        (spec.order_type, spec.stop_price) = (OrderType::StopLimit, Some(price("98")));
    }
    let place = |held| OrderCommand::Place {
        spec: spec.clone(),
        held,
        reserve_price: Some(price("100")),
        reference: None,
        expires_at: None,
        tape_place: 1,
        at: at(0),
    };
    let fill = |qty: &str| OrderCommand::Fill {
        fill_id: aggregates::id::FillId::of(order_id(1), 0, 1, 1),
        execution: Execution {
            revision: order.revision(),
            after_fills: order.fills(),
            qty: quantity(qty),
            price: price("99"),
            evidence: evidence(1, price("99")),
            legs: Vec::new(),
        },
        most: None,
        at: at(1),
    };
    match happening {
        Happening::Place => place(false),
        Happening::PlaceHeld => place(true),
        Happening::Reject => OrderCommand::Reject {
            spec,
            reject: Refusal::new(RefusalCode::ReduceOnly, "no"),
            tape_place: 1,
            at: at(0),
        },
        Happening::Activate => OrderCommand::Activate { qty: quantity("10"), at: at(1) },
        Happening::Trigger => OrderCommand::Trigger {
            trigger: Trigger {
                revision: order.revision(),
                mark: None,
                stop_price: price("98"),
                evidence: evidence(1, price("99")),
            },
            at: at(1),
        },
        Happening::FillPart => fill("1"),
        Happening::FillRest => fill(&order.leaves_qty().unwrap().to_string()),
        Happening::Replace => OrderCommand::Replace {
            change: OrderChange {
                qty: Some(quantity("12")),
                limit_price: Some(price("101")),
                ..OrderChange::default()
            },
            reserve_price: Some(price("101")),
            expires_at: None,
            at: at(1),
        },
        Happening::Resize => OrderCommand::Resize {
            qty: quantity("8"),
            cause: ResizeCause::SiblingFilled,
            at: at(1),
        },
        Happening::Adjust => OrderCommand::Adjust {
            action_id: "split-1".into(),
            numerator: quantity("2"),
            denominator: quantity("1"),
            whole: false,
            at: at(1),
        },
        Happening::Cancel => OrderCommand::Cancel { reason: CancelReason::Requested, at: at(1) },
        Happening::Expire => {
            OrderCommand::Expire { reason: ExpiryReason::SessionClosed, at: at(1) }
        }
    }
}

/// An order brought to a state by commands alone, in which `happening` may come next if it ever may.
fn order_in(state: Option<OrderStatus>, happening: Happening) -> Order {
    use Happening::{Cancel, Expire, FillPart, FillRest, Place, PlaceHeld, Reject, Trigger};
    let path: &[Happening] = match state {
        None => &[],
        Some(OrderStatus::Held) => &[PlaceHeld],
        Some(OrderStatus::Accepted) => &[Place],
        Some(OrderStatus::Triggered) => &[Place, Trigger],
        Some(OrderStatus::PartiallyFilled) => &[Place, FillPart],
        Some(OrderStatus::Filled) => &[Place, FillPart, FillRest],
        Some(OrderStatus::Canceled) => &[Place, Cancel],
        Some(OrderStatus::Expired) => &[Place, Expire],
        Some(OrderStatus::Rejected) => &[Reject],
    };
    let stops = happening == Trigger || path.contains(&Trigger);
    let mut path = path.to_vec();
    if stops && path.contains(&FillPart) {
        path.insert(1, Trigger);
    }
    let mut order = Order::default();
    for happening in path {
        let command = command(&order, happening, stops);
        for event in order.decide(&command, &Rules::default()).unwrap() {
            order.evolve(&event).unwrap();
        }
    }
    assert_eq!(order.status(), state);
    order
}

fn states() -> impl Iterator<Item = Option<OrderStatus>> {
    std::iter::once(None).chain(OrderStatus::ALL.into_iter().map(Some))
}

#[test]
fn every_state_allows_what_the_table_says_and_refuses_the_rest() {
    let mut allowed = 0;
    for state in states() {
        for happening in Happening::ALL {
            let mut order = order_in(state, happening);
            let command = command(&order, happening, happening == Happening::Trigger);
            let decided = order.decide(&command, &Rules::default());
            let Some(after) = next(state, happening) else {
                assert!(
                    decided.is_err(),
                    "{happening:?} of an order that is {state:?}: {decided:?}"
                );
                continue;
            };
            let events = decided.unwrap_or_else(|error| panic!("{state:?} {happening:?}: {error}"));
            assert_eq!(events.len(), 1);
            order.evolve(&events[0]).unwrap();
            assert_eq!(order.status(), Some(after), "{state:?} {happening:?}");
            allowed += 1;
        }
    }
    assert_eq!(allowed, TABLE.len());
}

#[test]
fn an_event_out_of_turn_is_impossible() {
    for state in states() {
        for happening in Happening::ALL {
            if next(state, happening).is_some() {
                continue;
            }
            // The event as it would be decided in a state that allows it.
            let elsewhere = TABLE.iter().find(|row| row.1 == happening).unwrap().0;
            let other = order_in(elsewhere, happening);
            let command = command(&other, happening, happening == Happening::Trigger);
            let events = other.decide(&command, &Rules::default()).unwrap();
            assert!(
                order_in(state, happening).evolve(&events[0]).is_err(),
                "{state:?} {happening:?}"
            );
        }
    }
}

#[test]
fn what_contradicts_the_order_is_impossible_even_in_turn() {
    let mut order = order_in(Some(OrderStatus::PartiallyFilled), Happening::FillPart);
    let next = |order: &Order, happening| {
        order.decide(&command(order, happening, false), &Rules::default()).unwrap()
    };
    let fill = next(&order, Happening::FillPart);
    order.evolve(&fill[0]).unwrap();
    assert!(order.evolve(&fill[0]).is_err(), "the same fill again");
    let replace = next(&order, Happening::Replace);
    order.evolve(&replace[0]).unwrap();
    assert!(order.evolve(&replace[0]).is_err(), "the same revision again");
    assert!(matches!(replace[0], OrderEvent::OrderReplaced { loses_priority: true, .. }));
}

#[test]
fn the_documents_draw_the_table() {
    use std::fmt::Write as _;

    let word = |state: Option<OrderStatus>| state.map_or("[*]", OrderStatus::word);
    let mut drawing = String::from("```mermaid\nstateDiagram-v2\n");
    for (from, happening, to) in TABLE {
        writeln!(drawing, "    {} --> {}: {happening:?}", word(*from), word(Some(*to))).unwrap();
    }
    for state in OrderStatus::ALL.into_iter().filter(|state| state.is_terminal()) {
        writeln!(drawing, "    {} --> [*]", state.word()).unwrap();
    }
    drawing.push_str("```\n");
    hold_section("rules.md", "state machine", &drawing);
}
