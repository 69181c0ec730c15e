//! How orders end without a fill of their whole: all or nothing, a closed market, a reset, all of them at once.

use aggregates::account::AccountEvent;
use aggregates::instrument::{InstrumentCommand, InstrumentKind};
use aggregates::order::{OrderStatus, Side, TimeInForce};
use aggregates::position::PositionEvent;
use aggregates::refusal::RefusalCode;
use aggregates::stream::Event;
use aggregates::trading::{Command, Decision};

use crate::book::*;
use crate::examples::{book, me};

#[test]
fn a_fok_order_fills_whole_or_not_at_all() {
    let mut book = book("1000");
    let mut order = spec(me(), "AAPL", Side::Buy, "10", Some("100"));
    order.time_in_force = TimeInForce::Fok;
    book.place(1, &order, &market(None));
    let part = book.proposal(1, quantity("9"), price("100"));
    assert_eq!(book.refused(&part), RefusalCode::OrderChanged);
    book.fill(1, "10", "100");
    assert_eq!(book.cash(me()), "0.00");
}

#[test]
fn a_market_order_that_cannot_wait_is_rejected_when_the_market_is_closed() {
    let mut book = book("1000");
    let closed = aggregates::trading::MarketView { open: false, ..market(Some("100")) };
    let mut order = spec(me(), "AAPL", Side::Buy, "1", None);
    book.place(1, &order, &closed);
    assert_eq!(
        book.orders[&order_id(1)].status(),
        Some(OrderStatus::Accepted),
        "a day order waits"
    );
    for (n, time_in_force) in [(2, TimeInForce::Ioc), (3, TimeInForce::Fok)] {
        order.time_in_force = time_in_force;
        assert_eq!(
            book.place(n, &order, &closed).rejected.unwrap().code,
            RefusalCode::MarketClosed
        );
    }
}

#[test]
fn a_reset_ends_orders_and_positions_and_begins_with_the_new_balance() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "5", "100");
    book.place(2, &spec(me(), "AAPL", Side::Sell, "2", Some("110")), &market(None));
    book.place(3, &spec(me(), "AAPL", Side::Buy, "1", Some("50")), &market(None));
    book.place(4, &spec(me(), "AAPL", Side::Sell, "1", Some("120")), &market(None));
    book.fill(4, "1", "120");
    let reset = |balance: &str, at| Command::Reset {
        account_id: me(),
        reset_id: command_id(9),
        balance: money(balance),
        at,
    };
    assert_eq!(book.refused(&reset("-0.01", Some(at(6)))), RefusalCode::InvalidAmount);
    assert_eq!(book.refused(&reset("2000", None)), RefusalCode::MarketClockUnset);
    book.submit(&begin_split("s", "AAPL", ("2", "1"), Some("100"))).unwrap();
    assert_eq!(book.refused(&reset("2000", Some(at(6)))), RefusalCode::CorporateAction);
    book.submit(&follow_split(me(), "AAPL", &[2, 3])).unwrap();
    let command = InstrumentCommand::CompleteSplit { action_id: "s".into(), at: at(5) };
    book.submit(&Command::Instrument { instrument_id: stock("AAPL"), command }).unwrap();

    let done = book.submit(&reset("2000", Some(at(6)))).unwrap();
    let types: Vec<_> = done.events.iter().map(|(_, event)| event.event_type()).collect();
    assert_eq!(types, ["OrderCanceled", "OrderCanceled", "PositionReset", "AccountReset"]);
    assert_eq!((book.cash(me()).as_str(), book.reserved(me()).as_str()), ("2000.00", "0.00"));
    let position = &book.positions[&(me(), stock("AAPL"))];
    assert!(position.is_blank() && position.lots().next().is_none());
    let AccountEvent::AccountReset { amount, released, .. } = account_event(&done) else {
        panic!()
    };
    // 1,000 less 500 for five, and 120 for one: 620 in cash; 50 were reserved.
    assert_eq!((*amount, *released), (money("1380"), money("50")));
    book.buy(5, me(), "AAPL", "20", "100");
    assert_eq!(book.cash(me()), "0.00");
}

#[test]
fn all_open_orders_of_a_kind_end_together_and_free_what_they_reserved_step_by_step() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "5", "100");
    for (n, side, limit) in
        [(2, Side::Buy, "50"), (3, Side::Sell, "110"), (4, Side::Buy, "60"), (5, Side::Sell, "120")]
    {
        book.place(n, &spec(me(), "AAPL", side, "1", Some(limit)), &market(None));
    }
    let all = |kind, at| Command::CancelAll { account_id: me(), kind, at };
    assert!(
        book.submit(&all(Some(InstrumentKind::Option), Some(at(6)))).unwrap().events.is_empty()
    );
    assert_eq!(book.refused(&all(None, None)), RefusalCode::MarketClockUnset);
    let stranger = Command::CancelAll { account_id: account_id(9), kind: None, at: None };
    assert_eq!(book.refused(&stranger), RefusalCode::AccountNotFound);

    let done = book.submit(&all(Some(InstrumentKind::Stock), Some(at(6)))).unwrap();
    let types: Vec<_> = done.events.iter().map(|(_, event)| event.event_type()).collect();
    let (ended, freed) = types.split_at(4);
    assert_eq!(ended, ["OrderCanceled"; 4]);
    assert_eq!(
        freed,
        ["ReservationReleased", "ReservationReleased", "SharesReleased", "SharesReleased"]
    );
    let reserved: Vec<String> = done
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Account(AccountEvent::ReservationReleased { reserved, .. }) => {
                Some(reserved.to_string())
            }
            Event::Position(PositionEvent::SharesReleased { reserved_qty, .. }) => {
                Some(reserved_qty.to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(reserved, ["60.00", "0.00", "1", "0"]);
    assert!(book.submit(&all(None, None)).unwrap().events.is_empty(), "nothing is left to end");
}

fn account_event(decision: &Decision) -> &AccountEvent {
    match decision.events.last() {
        Some((_, Event::Account(event))) => event,
        other => panic!("{other:?}"),
    }
}
