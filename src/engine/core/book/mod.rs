//! The open orders, and each instrument's book of them: ladders of those that fill, in the order in which they do, and
//! the stops that wait, in the order in which a price reaches them.
//!
//! Finding the next order that a price reaches costs O(log n). The orders are the truth that is stored; books and
//! expiries follow from them and are built again after loading.

mod ladders;
mod stops;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::market::{BarPoint, MarketTime, TapePlace};
use aggregates::money::{Price, Quantity};
use aggregates::order::{Side, TimeInForce, TriggerBy};
use serde::{Deserialize, Serialize};

pub use ladders::Reach;

use ladders::Ladders;
use stops::{Stops, merged};

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
    /// The limit; `None` is a market order, or a stop that becomes one.
    pub limit: Option<Price>,
    /// The stop of stop types.
    pub stop: Option<Stop>,
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

/// What an order waits for, or waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The price in force.
    pub price: Price,
    /// Which prices reach it.
    pub by: TriggerBy,
    /// The tick that reached it.
    pub sprung: Option<Sprung>,
}

/// The tick that triggered an order: older ones do not fill it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sprung {
    /// Its market time.
    pub at: MarketTime,
    /// Its place on the tape.
    pub place: TapePlace,
    /// Which point of a bar it was.
    pub point: Option<BarPoint>,
}

impl Working {
    /// The stop that it waits for; `None` once it was reached, and for other types.
    pub fn waits_for(&self) -> Option<&Stop> {
        self.stop.as_ref().filter(|stop| stop.sprung.is_none())
    }

    /// Its stop is `price` from now on, if it has one.
    pub fn move_stop(&mut self, price: Option<Price>) {
        if let Some((stop, price)) = self.stop.as_mut().zip(price) {
            stop.price = price;
        }
    }

    /// The tick that triggered it.
    pub fn sprung(&self) -> Option<&Sprung> {
        self.stop.as_ref()?.sprung.as_ref()
    }

    /// Its time is over by this clock: it fills no more.
    pub fn is_over(&self, clock: Option<MarketTime>) -> bool {
        self.expires_at.zip(clock).is_some_and(|(end, clock)| end <= clock)
    }
}

/// Every open order, by id, by book and by expiry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Orders {
    by_id: BTreeMap<OrderId, Working>,
    ladders: Ladders,
    stops: Stops,
    /// How many there are of each instrument; no entry for none.
    counts: BTreeMap<InstrumentId, usize>,
    expiries: BTreeSet<(MarketTime, OrderId)>,
}

impl PartialEq for Orders {
    /// All else follows from the orders.
    fn eq(&self, other: &Self) -> bool {
        self.by_id == other.by_id
    }
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
        match order.waits_for() {
            _ if order.held => {}
            Some(stop) => self.stops.insert(&order, stop),
            None => self.ladders.insert(&order),
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
        match order.waits_for() {
            _ if order.held => {}
            Some(stop) => self.stops.remove(&order, stop),
            None => self.ladders.remove(&order),
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
        let reached = self.ladders.reached(instrument_id, side, price, reach);
        reached.filter_map(|order_id| self.by_id.get(&order_id))
    }

    /// The waiting stops of one side that `price` has reached, of those that it triggers, in the order in which it did.
    pub fn stops_reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        triggers: &[TriggerBy],
        price: Price,
    ) -> impl Iterator<Item = &Working> {
        let of = |by| {
            let by = triggers.contains(&by).then_some(by).into_iter();
            by.flat_map(move |by| self.stops.reached(instrument_id, side, by, price))
        };
        let reached = merged(of(TriggerBy::Last), of(TriggerBy::Quote));
        reached.filter_map(|(_, order_id)| self.by_id.get(&order_id))
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
