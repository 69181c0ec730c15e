//! The open orders, and each instrument's book of them in the order in which they fill.
//!
//! Market orders come first, in the order of their acceptance; then limits, the most aggressive price first and, at
//! one price, the oldest first. Finding the next order that a price reaches costs O(log n). The orders are the truth
//! that is stored; books and expiries follow from them and are built again after loading.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use aggregates::order::{Side, TimeInForce};
use serde::{Deserialize, Serialize};

/// What the engine knows of one open order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Working {
    /// Which order.
    pub order_id: OrderId,
    /// Whose.
    pub account_id: AccountId,
    /// Of what.
    pub instrument_id: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// The limit; `None` is a market order.
    pub limit: Option<Price>,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// Waits for its parent and is in no book.
    pub held: bool,
    /// Shares filled.
    pub filled: Quantity,
    /// Shares still open.
    pub leaves: Quantity,
    /// Its revision.
    pub revision: u32,
    /// The number of its fills.
    pub fills: u32,
    /// The market time of its acceptance.
    pub placed_at: MarketTime,
    /// When its time is over.
    pub expires_at: Option<MarketTime>,
    /// Its time priority: the log position that gave it its place in the queue.
    pub rank: u64,
}

impl Working {
    /// Its time is over by this clock: it fills no more.
    pub fn is_over(&self, clock: Option<MarketTime>) -> bool {
        self.expires_at.zip(clock).is_some_and(|(end, clock)| end <= clock)
    }
}

/// Where a limit stands in its side: the most aggressive price first, then time. Prices of buys are negated.
type Rung = (Price, u64);

/// One side of one instrument's book.
#[derive(Clone, Debug, Default, PartialEq)]
struct Ladder {
    market: BTreeMap<u64, OrderId>,
    limits: BTreeMap<Rung, OrderId>,
}

/// Every open order, by id, by book and by expiry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Orders {
    by_id: BTreeMap<OrderId, Working>,
    ladders: BTreeMap<(InstrumentId, Side), Ladder>,
    /// How many there are of each instrument; no entry for none.
    counts: BTreeMap<InstrumentId, usize>,
    expiries: BTreeSet<(MarketTime, OrderId)>,
}

/// How orders are stored.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Stored(Vec<Working>);

impl From<Stored> for Orders {
    fn from(stored: Stored) -> Self {
        let mut orders = Self::default();
        for order in stored.0 {
            orders.insert(order);
        }
        orders
    }
}

impl From<Orders> for Stored {
    fn from(orders: Orders) -> Self {
        Self(orders.by_id.into_values().collect())
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
fn rung_price(side: Side, price: Price) -> Price {
    match side {
        Side::Buy => price.negated(),
        Side::Sell => price,
    }
}

impl Orders {
    /// One order, while it is open.
    pub fn get(&self, order_id: OrderId) -> Option<&Working> {
        self.by_id.get(&order_id)
    }

    /// Every open order, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Working> {
        self.by_id.values()
    }

    /// Whether an instrument has open orders, held ones included.
    pub fn has(&self, instrument_id: InstrumentId) -> bool {
        self.counts.contains_key(&instrument_id)
    }

    /// The number of open orders.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Takes an order in, or changes one that is there.
    pub fn insert(&mut self, order: Working) {
        self.remove(order.order_id);
        if let Some(at) = order.expires_at {
            self.expiries.insert((at, order.order_id));
        }
        if !order.held {
            let ladder = self.ladders.entry((order.instrument_id, order.side)).or_default();
            match order.limit {
                None => ladder.market.insert(order.rank, order.order_id),
                Some(limit) => ladder
                    .limits
                    .insert((rung_price(order.side, limit), order.rank), order.order_id),
            };
        }
        *self.counts.entry(order.instrument_id).or_default() += 1;
        self.by_id.insert(order.order_id, order);
    }

    /// Takes an order out; nothing if it is not there.
    pub fn remove(&mut self, order_id: OrderId) -> Option<Working> {
        let order = self.by_id.remove(&order_id)?;
        if let Some(at) = order.expires_at {
            self.expiries.remove(&(at, order_id));
        }
        if let Entry::Occupied(mut count) = self.counts.entry(order.instrument_id) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        let key = (order.instrument_id, order.side);
        if let Some(ladder) = self.ladders.get_mut(&key) {
            match order.limit {
                None => ladder.market.remove(&order.rank),
                Some(limit) => ladder.limits.remove(&(rung_price(order.side, limit), order.rank)),
            };
            if ladder.market.is_empty() && ladder.limits.is_empty() {
                self.ladders.remove(&key);
            }
        }
        Some(order)
    }

    /// A fill left `leaves` shares open. The order keeps its place; filled whole, it leaves the book.
    pub fn filled(&mut self, order_id: OrderId, n: u32, filled: Quantity, leaves: Quantity) {
        if leaves.is_zero() {
            self.remove(order_id);
        } else if let Some(order) = self.by_id.get_mut(&order_id) {
            order.fills = n;
            order.filled = filled;
            order.leaves = leaves;
        }
    }

    /// The orders of one side that `price` reaches, in the order in which they fill.
    pub fn reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        price: Price,
        reach: Reach,
    ) -> impl Iterator<Item = &Working> {
        let ladder = self.ladders.get(&(instrument_id, side));
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
        market.chain(limits).filter_map(|order_id| self.by_id.get(order_id))
    }

    /// The orders whose time is over at `now`, the earliest first.
    pub fn expired(&self, now: MarketTime) -> impl Iterator<Item = (MarketTime, &Working)> {
        let expired = self.expiries.iter().take_while(move |(at, _)| *at <= now);
        expired.filter_map(|(at, order_id)| Some((*at, self.by_id.get(order_id)?)))
    }

    /// The open orders of one instrument by account, held ones included. Costs a look at every open order: for
    /// corporate actions, not for ticks.
    pub fn of_instrument(&self, instrument_id: InstrumentId) -> BTreeMap<AccountId, Vec<OrderId>> {
        let mut accounts: BTreeMap<AccountId, Vec<OrderId>> = BTreeMap::new();
        for order in self.by_id.values().filter(|order| order.instrument_id == instrument_id) {
            accounts.entry(order.account_id).or_default().push(order.order_id);
        }
        accounts
    }
}
