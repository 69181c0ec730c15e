//! What waits for a price: stops by what triggers them, the one that a price reaches first in front and, at one price,
//! the oldest first.

use std::collections::BTreeMap;

use aggregates::id::{InstrumentId, OrderId};
use aggregates::money::Price;
use aggregates::order::{Side, TriggerBy};

use super::level::Level;
use super::{Stop, Working};

/// Where a stop stands: the price that is reached first in front, then time. Prices of sells are turned.
pub(super) type Rung = (Level, u64);

/// The rung of a stop.
pub(super) fn rung(side: Side, stop: Level, rank: u64) -> Rung {
    (stop.turned(side == Side::Sell), rank)
}

/// The stops of every instrument.
#[derive(Clone, Debug, Default)]
pub(super) struct Stops(BTreeMap<(InstrumentId, Side, TriggerBy), BTreeMap<Rung, OrderId>>);

impl Stops {
    pub(super) fn insert(&mut self, order: &Working, stop: &Stop) {
        self.await_price(order, order.side, stop.by, stop.price);
    }

    pub(super) fn remove(&mut self, order: &Working, stop: &Stop) {
        self.await_no_more(order, order.side, stop.by, stop.price);
    }

    /// Lets an order wait for a price as a stop of `side` does.
    pub(super) fn await_price(&mut self, order: &Working, side: Side, by: TriggerBy, price: Price) {
        let rungs = self.0.entry((order.instrument_id, side, by)).or_default();
        rungs.insert(rung(side, Level::of(price), order.rank), order.order_id);
    }

    /// Takes an order out that waits so.
    pub(super) fn await_no_more(
        &mut self,
        order: &Working,
        side: Side,
        by: TriggerBy,
        price: Price,
    ) {
        let key = (order.instrument_id, side, by);
        let Some(rungs) = self.0.get_mut(&key) else { return };
        rungs.remove(&rung(side, Level::of(price), order.rank));
        if rungs.is_empty() {
            self.0.remove(&key);
        }
    }

    /// Whether `price` has reached any stop of one side. Most prices reach none, and this costs less than to begin to
    /// list them.
    pub(super) fn any_reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        by: TriggerBy,
        price: Level,
    ) -> bool {
        let rungs = self.0.get(&(instrument_id, side, by));
        let first = rungs.and_then(BTreeMap::first_key_value);
        first.is_some_and(|(first, _)| *first <= rung(side, price, u64::MAX))
    }

    /// The stops of one side that `price` has reached, in the order in which it did, with their rungs.
    pub(super) fn reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        by: TriggerBy,
        price: Level,
    ) -> impl Iterator<Item = (Rung, OrderId)> {
        let rungs = self.0.get(&(instrument_id, side, by));
        let end = rung(side, price, u64::MAX);
        let reached = rungs.into_iter().flat_map(move |rungs| rungs.range(..=end));
        reached.map(|(rung, order_id)| (*rung, *order_id))
    }
}

/// Two sequences in order, as one in order.
pub(super) fn merged<T: Ord>(
    one: impl Iterator<Item = T>,
    other: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second < first => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}
