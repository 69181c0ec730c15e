//! What fills: market orders in the order in which they came to work, then limits, the most aggressive price first and,
//! at one price, the oldest first.

use std::collections::BTreeMap;
use std::ops::Bound;

use aggregates::id::{InstrumentId, OrderId};
use aggregates::money::Price;
use aggregates::order::Side;

use super::Working;

/// Where a limit stands in its side: the most aggressive price first, then time. Prices of buys are negated.
type Rung = (Price, u64);

/// One side of one instrument's book.
#[derive(Clone, Debug, Default)]
struct Ladder {
    market: BTreeMap<u64, OrderId>,
    limits: BTreeMap<Rung, OrderId>,
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
fn rung_price(side: Side, price: Price) -> Price {
    match side {
        Side::Buy => price.negated(),
        Side::Sell => price,
    }
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
                ladder.limits.insert((rung_price(order.side, limit), order.rank), order.order_id)
            }
        };
    }

    pub(super) fn remove(&mut self, order: &Working) {
        let key = (order.instrument_id, order.side);
        let Some(ladder) = self.0.get_mut(&key) else { return };
        match order.limit {
            None => ladder.market.remove(&order.rank),
            Some(limit) => ladder.limits.remove(&(rung_price(order.side, limit), order.rank)),
        };
        if ladder.market.is_empty() && ladder.limits.is_empty() {
            self.0.remove(&key);
        }
    }

    /// The orders of one side that `price` reaches, in the order in which they fill.
    pub(super) fn reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        price: Price,
        reach: Reach,
    ) -> impl Iterator<Item = OrderId> {
        let ladder = self.0.get(&(instrument_id, side));
        let price = rung_price(side, price);
        let end = match reach {
            Reach::MarketOnly => None,
            Reach::Touch => Some(Bound::Included((price, u64::MAX))),
            Reach::Through => Some(Bound::Excluded((price, 0))),
        };
        let market = ladder.into_iter().flat_map(|ladder| ladder.market.values());
        let limits = ladder.zip(end).into_iter().flat_map(|(ladder, end)| {
            ladder.limits.range((Bound::Unbounded, end)).map(|(_, order_id)| order_id)
        });
        market.chain(limits).copied()
    }
}
