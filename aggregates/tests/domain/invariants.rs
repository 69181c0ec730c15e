//! What has to hold of accounts, positions and orders after every event.

use std::collections::BTreeMap;

use aggregates::account::AccountEvent;
use aggregates::id::{AccountId, OrderId};
use aggregates::money::Quantity;
use aggregates::order::{OrderStatus, Side};
use aggregates::position::Position;
use aggregates::rules::FeeSchedule;
use aggregates::stream::{Event, StreamId};
use rust_decimal::Decimal;

use crate::book::*;

/// Reservations add up, and nothing is spent that is not there. `before` has what each account had available.
pub fn check_account(
    book: &Book,
    id: AccountId,
    event: &Event,
    before: &mut BTreeMap<AccountId, Decimal>,
) {
    let account = &book.accounts[&id];
    let sum: Decimal = account.reservations().values().map(|amount| amount.decimal()).sum();
    assert_eq!(sum, account.reserved().decimal(), "the sum of reservations");
    assert!(!account.reserved().is_negative());
    assert!(account.reservations().values().all(|amount| amount.is_positive()));
    let available = account.available().unwrap().decimal();
    let previous = before.insert(id, available).unwrap_or_default();
    let owed = matches!(event, Event::Account(AccountEvent::FeeCharged { .. }));
    assert!(
        available >= Decimal::ZERO || available >= previous || owed,
        "{available} available after {event:?}"
    );
    if book.rules.fees == FeeSchedule::default() {
        assert!(
            available >= Decimal::ZERO && !account.cash().is_negative(),
            "{available} available without fees"
        );
    }
    if let Event::Account(AccountEvent::FeeCharged { order_id, .. }) = event {
        let buys = book.orders[order_id].spec().unwrap().side == Side::Buy;
        assert!(!buys || available >= Decimal::ZERO, "a buy left {available} available");
    }
}

/// Lots add up, and no more is reserved than held.
pub fn check_position(position: &Position) {
    let lots: Decimal = position.lots().map(|lot| lot.qty.decimal()).sum();
    assert_eq!(lots, position.qty().decimal(), "the sum of lots");
    assert!(position.lots().all(|lot| !lot.qty.is_zero() && !lot.cost.is_negative()));
    assert!(!position.qty().is_negative(), "a cash account is never short");
    assert!(!position.reserved_qty().is_negative() && position.reserved_qty() <= position.qty());
}

/// An order fills only forward, and is filled exactly when all of it is.
pub fn check_order(book: &Book, id: OrderId, before: &mut BTreeMap<OrderId, Quantity>) {
    let order = &book.orders[&id];
    let (filled, qty) = (order.filled_qty(), order.spec().unwrap().qty);
    let previous = before.insert(id, filled).unwrap_or_default();
    assert!(previous <= filled && filled <= qty, "{filled} of {qty} filled, {previous} before");
    assert_eq!(
        order.status() == Some(OrderStatus::Filled),
        filled == qty,
        "filled exactly when all is"
    );
}

/// The log folded from its stored form.
pub fn refold(book: &Book) -> Book {
    let mut folded = Book { rules: book.rules.clone(), ..Book::default() };
    for (stream, event) in &book.log {
        let (kind, id) = (stream.aggregate_type(), stream.aggregate_id());
        let stream = StreamId::parse(kind, &id).unwrap();
        let payload = event.payload().unwrap();
        let read =
            Event::read(stream, &event.event_type(), &event.event_version(), &payload).unwrap();
        assert_eq!(read.payload().unwrap(), payload, "the same bytes again");
        folded.evolve(stream, &read);
    }
    for stream in book.streams() {
        folded.load(stream);
    }
    folded
}
