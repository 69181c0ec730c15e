//! What fills: market orders in the order in which they came to work, then limits, the most aggressive price first and,
//! at one price, the oldest first.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use aggregates::id::{InstrumentId, OrderId};
use aggregates::money::Price;
use aggregates::order::Side;

use super::Working;
use super::level::Level;
use super::stops::merged;

/// Where a limit stands in its side: the most aggressive price first, then time. Prices of buys are turned.
type Rung = (Level, u64);

/// One side of one instrument's book.
#[derive(Clone, Debug, Default)]
struct Ladder {
    market: BTreeMap<u64, OrderId>,
    limits: BTreeMap<Rung, OrderId>,
    /// The limits of orders of extended hours, apart, so that prices outside regular hours cost nothing for the others.
    extended: BTreeMap<Rung, OrderId>,
}

impl Ladder {
    fn limits_of(&mut self, order: &Working) -> &mut BTreeMap<Rung, OrderId> {
        if order.extended { &mut self.extended } else { &mut self.limits }
    }
}

/// Which limits a price reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No limit: market orders alone.
    MarketOnly,
    /// Limits that the price touches.
    Touch,
    /// Limits that the price goes through.
    Through,
}

/// A price as a rung counts it.
fn level(side: Side, price: Price) -> Level {
    Level::of(price).turned(side == Side::Buy)
}

/// The sides of every instrument's book.
#[derive(Clone, Debug, Default)]
pub(super) struct Ladders(BTreeMap<(InstrumentId, Side), Ladder>);

impl Ladders {
    pub(super) fn insert(&mut self, order: &Working) {
        let ladder = self.0.entry((order.instrument_id, order.side)).or_default();
        match order.limit {
            None => ladder.market.insert(order.rank, order.order_id),
            Some(limit) => {
                let rung = (level(order.side, limit), order.rank);
                ladder.limits_of(order).insert(rung, order.order_id)
            }
        };
    }

    pub(super) fn remove(&mut self, order: &Working) {
        let key = (order.instrument_id, order.side);
        let Some(ladder) = self.0.get_mut(&key) else { return };
        match order.limit {
            None => ladder.market.remove(&order.rank),
            Some(limit) => ladder.limits_of(order).remove(&(level(order.side, limit), order.rank)),
        };
        if ladder.market.is_empty() && ladder.limits.is_empty() && ladder.extended.is_empty() {
            self.0.remove(&key);
        }
    }

    /// The instruments that have orders, each once or twice.
    pub(super) fn instruments(&self) -> impl Iterator<Item = InstrumentId> {
        self.0.keys().map(|(instrument_id, _)| *instrument_id)
    }

    /// Whether an instrument has orders.
    pub(super) fn has(&self, instrument_id: InstrumentId) -> bool {
        [Side::Buy, Side::Sell].iter().any(|side| self.0.contains_key(&(instrument_id, *side)))
    }

    /// The orders of both sides.
    pub(super) fn all(&self, instrument_id: InstrumentId) -> impl Iterator<Item = OrderId> {
        let sides = [Side::Buy, Side::Sell].into_iter();
        let ladders = sides.filter_map(move |side| self.0.get(&(instrument_id, side)));
        ladders.flat_map(|ladder| {
            let limits = ladder.limits.values().chain(ladder.extended.values());
            ladder.market.values().chain(limits).copied()
        })
    }

    /// The orders of one side that `price` reaches, in the order in which they fill: outside regular hours those of
    /// extended hours alone.
    pub(super) fn reached(
        &self,
        (instrument_id, side): (InstrumentId, Side),
        price: Price,
        reach: Reach,
        regular: bool,
    ) -> impl Iterator<Item = OrderId> {
        let ladder = self.0.get(&(instrument_id, side));
        let level = level(side, price);
        let end = match reach {
            Reach::MarketOnly => None,
            Reach::Touch => Some(Bound::Included((level, u64::MAX))),
            Reach::Through => Some(Bound::Excluded((level, 0))),
        };
        let in_hours = ladder.filter(|_| regular);
        let market = in_hours.into_iter().flat_map(|ladder| ladder.market.values().copied());
        let limits = merged(
            up_to(in_hours.map(|ladder| &ladder.limits), end),
            up_to(ladder.map(|ladder| &ladder.extended), end),
        );
        market.chain(limits.map(|(_, order_id)| order_id))
    }
}

/// The limits up to a rung, in their order; none without either.
fn up_to(
    limits: Option<&BTreeMap<Rung, OrderId>>,
    end: Option<Bound<Rung>>,
) -> impl Iterator<Item = (Rung, OrderId)> {
    let within = |(limits, end): &(&BTreeMap<Rung, OrderId>, Bound<Rung>)| {
        let first = limits.first_key_value();
        first.is_some_and(|(first, _)| (Bound::Unbounded, *end).contains(first))
    };
    limits.zip(end).filter(within).into_iter().flat_map(|(limits, end)| {
        limits.range((Bound::Unbounded, end)).map(|(rung, order_id)| (*rung, *order_id))
    })
}
