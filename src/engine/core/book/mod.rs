//! The open orders, and each instrument's book of them: ladders of those that fill, in the order in which they do, and
//! the stops that wait, in the order in which a price reaches them.
//!
//! Finding the next order that a price reaches costs O(log n). The orders are the truth that is stored; books and
//! expiries follow from them and are built again after loading.

mod ladders;
mod level;
mod stops;
mod trails;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::market::{BarPoint, MarketTime, TapePlace};
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{Leg, Side, TimeInForce, Trail, TriggerBy};
use serde::{Deserialize, Serialize};

use super::packages::Package;

pub use ladders::Reach;

use ladders::Ladders;
use level::Level;
use stops::{Stops, rung};
use trails::Trails;

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
    /// It fills in extended hours too.
    pub extended: bool,
    /// Waits for its parent and is in no book.
    pub held: bool,
    /// It was activated and no line has begun since: until then it is in no book.
    #[serde(default)]
    pub fresh: bool,
    /// The family that it belongs to: of its orders one acts at a time.
    #[serde(default)]
    pub family: Option<OrderId>,
    /// Shares filled.
    pub filled: Quantity,
    /// Shares still open; 0 of a notional order.
    pub leaves: Quantity,
    /// What is left of the dollars of a notional order.
    pub notional: Option<Money>,
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
    /// It came, or was changed, when no quote could fill it: the last line of the tape before that was known. The first
    /// quote after it is to this order what a standing one is to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmet: Option<TapePlace>,
    /// Of an order of options what it is of; none of an order of a stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Box<Package>>,
}

/// What an order waits for, or waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The price; of a trailing stop the one that was reached, and before that none that counts.
    pub price: Price,
    /// What makes it follow the market.
    pub trailing: Option<Trailing>,
    /// Which prices reach it.
    pub by: TriggerBy,
    /// The tick that reached it.
    pub sprung: Option<Sprung>,
}

/// What makes a stop follow the market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trailing {
    /// The distance.
    pub trail: Trail,
    /// The price from which on it follows.
    pub activation: Option<Price>,
    /// The mark: the best price since it follows; none before. While the order is in the book, the book has it.
    pub mark: Option<Price>,
    /// No line has begun since it came.
    pub fresh: bool,
}

/// A stop that a price has reached.
#[derive(Clone, Copy, Debug)]
pub struct Reached<'a> {
    /// Whose.
    pub order: &'a Working,
    /// The stop in force.
    pub stop_price: Price,
    /// The mark of a trailing one.
    pub mark: Option<Price>,
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

    /// Shares still open at `price`: of a notional order those that what is left buys.
    pub fn leaves_at(&self, price: Price) -> Quantity {
        match self.notional {
            Some(left) => left.shares_at(price).unwrap_or_default(),
            None => self.leaves,
        }
    }

    /// Its legs, if it has several.
    pub fn legs(&self) -> &[Leg] {
        self.package.as_deref().map(|package| &*package.legs).unwrap_or_default()
    }

    /// Every instrument whose price or state decides about it: its own, those of its legs, and what options are on.
    pub fn concerns(&self) -> BTreeSet<InstrumentId> {
        let on = self.package.as_deref().map(|package| package.underlying_id);
        let legs = self.legs().iter().map(|leg| leg.instrument_id);
        legs.chain(on).chain([self.instrument_id]).collect()
    }

    /// What splits it when that is split: what options are on, else what it trades.
    pub fn splits_with(&self) -> InstrumentId {
        self.package.as_deref().map_or(self.instrument_id, |package| package.underlying_id)
    }

    /// Takes its mark from the book that it leaves or is stored with.
    fn remark(&mut self, trails: &Trails) {
        if let Some(mark) = trails.mark(self.order_id)
            && let Some(trailing) = self.trailing_mut()
        {
            trailing.mark = Some(mark);
        }
    }

    /// What makes its stop follow the market.
    pub fn trailing_mut(&mut self) -> Option<&mut Trailing> {
        self.stop.as_mut()?.trailing.as_mut()
    }

    /// It follows the market from `price` on, where that is named: its mark stays if it has come there.
    pub fn follow_from(&mut self, price: Option<Price>) {
        let side = self.side;
        if let Some((trailing, price)) = self.trailing_mut().zip(price) {
            trailing.activation = Some(price);
            trailing.mark = trailing.mark.filter(|mark| match side {
                Side::Buy => *mark <= price,
                Side::Sell => *mark >= price,
            });
        }
    }

    /// Its stop is `price` from now on, if it has one that is fixed.
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
    /// Orders for the opening auction.
    opening: Ladders,
    /// Orders for the closing auction.
    closing: Ladders,
    stops: Stops,
    trails: Trails,
    /// Trailing stops that do not follow the market yet: each waits as a stop of the other side does.
    dormant: Stops,
    /// Trailing stops that came and exits that were activated since the last line began: that line does not move the
    /// marks of the former and does not meet the latter.
    fresh: BTreeSet<OrderId>,
    /// Orders of several legs by each of these, the oldest first: they are in no ladder.
    packages: BTreeMap<InstrumentId, BTreeSet<(u64, OrderId)>>,
    /// How many there are that each instrument concerns; no entry for none.
    counts: BTreeMap<InstrumentId, usize>,
    expiries: BTreeSet<(MarketTime, OrderId)>,
}

impl PartialEq for Orders {
    /// All else follows from the orders and their marks.
    fn eq(&self, other: &Self) -> bool {
        let marked = |order: &Working, trails: &Trails| {
            let mut order = order.clone();
            order.remark(trails);
            order
        };
        let mut pairs = self.by_id.values().zip(other.by_id.values());
        self.by_id.len() == other.by_id.len()
            && pairs.all(|(one, two)| marked(one, &self.trails) == marked(two, &other.trails))
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
        let Orders { by_id, trails, .. } = orders;
        let marked = by_id.into_values().map(|mut order| {
            order.remark(&trails);
            order
        });
        Self(marked.collect())
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

    /// Whether an instrument concerns open orders, held ones included.
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
        self.shelve(&order);
        self.count_in(&order);
        self.by_id.insert(order.order_id, order);
    }

    /// Puts an order into the book that it works in.
    fn shelve(&mut self, order: &Working) {
        match order.waits_for() {
            _ if order.held => {}
            _ if order.fresh => {
                self.fresh.insert(order.order_id);
            }
            _ if !order.legs().is_empty() => {
                for leg in order.legs() {
                    let working = self.packages.entry(leg.instrument_id).or_default();
                    working.insert((order.rank, order.order_id));
                }
            }
            Some(stop) => match &stop.trailing {
                None => self.stops.insert(order, stop),
                Some(Trailing { fresh: true, .. }) => {
                    self.fresh.insert(order.order_id);
                }
                Some(trailing) => self.watch(order, stop, trailing),
            },
            None => self.ladders_of(order.time_in_force).insert(order),
        }
    }

    /// Takes an order out; nothing if it is not there.
    pub fn remove(&mut self, order_id: OrderId) -> Option<Working> {
        let mut order = self.by_id.remove(&order_id)?;
        order.remark(&self.trails);
        if let Some(at) = order.expires_at {
            self.expiries.remove(&(at, order_id));
        }
        self.count_out(&order);
        match order.waits_for() {
            _ if order.held => {}
            _ if order.fresh => {
                self.fresh.remove(&order_id);
            }
            _ if !order.legs().is_empty() => {
                for leg in order.legs() {
                    if let Entry::Occupied(mut working) = self.packages.entry(leg.instrument_id) {
                        working.get_mut().remove(&(order.rank, order_id));
                        if working.get().is_empty() {
                            working.remove();
                        }
                    }
                }
            }
            Some(stop) => match &stop.trailing {
                None => self.stops.remove(&order, stop),
                Some(Trailing { fresh: true, .. }) => {
                    self.fresh.remove(&order_id);
                }
                Some(Trailing { mark: None, activation: Some(price), .. }) => {
                    self.dormant.await_no_more(&order, order.side.other(), stop.by, *price);
                }
                Some(trailing) => self.trails.remove(&order, trailing),
            },
            None => self.ladders_of(order.time_in_force).remove(&order),
        }
        Some(order)
    }

    /// Counts an order where it concerns: a stock's costs no more than its own entry.
    fn count_in(&mut self, order: &Working) {
        if order.package.is_none() {
            *self.counts.entry(order.instrument_id).or_default() += 1;
            return;
        }
        for instrument_id in order.concerns() {
            *self.counts.entry(instrument_id).or_default() += 1;
        }
    }

    fn count_out(&mut self, order: &Working) {
        let concerns = match order.package.is_none() {
            true => BTreeSet::from([order.instrument_id]),
            false => order.concerns(),
        };
        for instrument_id in concerns {
            if let Entry::Occupied(mut count) = self.counts.entry(instrument_id) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// The orders of several legs that have this leg, the oldest first.
    pub fn packages(&self, leg: InstrumentId) -> impl Iterator<Item = &Working> {
        let working = self.packages.get(&leg).into_iter().flatten();
        working.filter_map(|(_, order_id)| self.by_id.get(order_id))
    }

    /// Lets a trailing stop follow the market, or wait until it does.
    fn watch(&mut self, order: &Working, stop: &Stop, trailing: &Trailing) {
        match (trailing.mark, trailing.activation) {
            (Some(mark), _) => self.trails.insert(order, stop, trailing, mark),
            (None, Some(price)) => {
                self.dormant.await_price(order, order.side.other(), stop.by, price);
            }
            (None, None) => {}
        }
    }

    /// Fill `n` of `amount` dollars left `leaves` shares open. The order keeps its place; filled whole, it leaves the book.
    pub fn filled(
        &mut self,
        order_id: OrderId,
        (n, amount): (u32, Money),
        filled: Quantity,
        leaves: Quantity,
    ) {
        if leaves.is_zero() {
            self.remove(order_id);
        } else if let Some(order) = self.by_id.get_mut(&order_id) {
            order.fills = n;
            order.filled = filled;
            match &mut order.notional {
                Some(left) => *left = left.minus(amount).unwrap_or_default(),
                None => order.leaves = leaves,
            }
        }
    }

    fn ladders_of(&mut self, time_in_force: TimeInForce) -> &mut Ladders {
        match time_in_force {
            TimeInForce::Opg => &mut self.opening,
            TimeInForce::Cls => &mut self.closing,
            _ => &mut self.ladders,
        }
    }

    fn auction(&self, time_in_force: TimeInForce) -> &Ladders {
        if time_in_force == TimeInForce::Opg { &self.opening } else { &self.closing }
    }

    /// The instruments that have orders for an auction.
    pub fn in_auctions(&self, auction: TimeInForce) -> BTreeSet<InstrumentId> {
        self.auction(auction).instruments().collect()
    }

    /// Whether an instrument has orders for an auction.
    pub fn has_auction(&self, auction: TimeInForce, instrument_id: InstrumentId) -> bool {
        self.auction(auction).has(instrument_id)
    }

    /// The orders of one side for an auction that its price reaches, in the order in which they fill.
    pub fn auctioned(
        &self,
        auction: TimeInForce,
        side: (InstrumentId, Side),
        price: Price,
    ) -> impl Iterator<Item = &Working> {
        let reached = self.auction(auction).reached(side, price, Reach::Touch, true);
        reached.filter_map(|order_id| self.by_id.get(&order_id))
    }

    /// The orders of both sides for an auction.
    pub fn all_auctioned(
        &self,
        auction: TimeInForce,
        instrument_id: InstrumentId,
    ) -> impl Iterator<Item = &Working> {
        let all = self.auction(auction).all(instrument_id);
        all.filter_map(|order_id| self.by_id.get(&order_id))
    }

    /// The orders of one side that `price` reaches, in the order in which they fill: outside regular hours those of
    /// extended hours alone.
    pub fn reached(
        &self,
        side: (InstrumentId, Side),
        price: Price,
        reach: Reach,
        regular: bool,
    ) -> impl Iterator<Item = &Working> {
        let reached = self.ladders.reached(side, price, reach, regular);
        reached.filter_map(|order_id| self.by_id.get(&order_id))
    }

    /// The waiting stops of one side that `price` has reached, of those that it triggers, in the order in which it did
    /// and, at one stop, the oldest first.
    pub fn stops_reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        triggers: &[TriggerBy],
        price: Price,
    ) -> impl Iterator<Item = Reached<'_>> {
        // Once for all of them: it is most of what looking costs.
        let price = Level::of(price);
        let any = triggers.iter().any(|by| {
            self.stops.any_reached(instrument_id, side, *by, price)
                || self.trails.any_reached(instrument_id, side, *by, price)
        });
        let reached = any.then(|| self.stops_in_order(instrument_id, side, triggers, price));
        reached.into_iter().flatten()
    }

    fn stops_in_order(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        triggers: &[TriggerBy],
        price: Level,
    ) -> impl Iterator<Item = Reached<'_>> {
        let wanted = |by| triggers.contains(&by).then_some(by).into_iter();
        let of =
            |by| wanted(by).flat_map(move |by| self.stops.reached(instrument_id, side, by, price));
        let fixed = stops::merged(of(TriggerBy::Last), of(TriggerBy::Quote));
        let fixed = fixed.map(|(rung, order_id)| (rung, order_id, None));
        let of = |by| {
            let tripped =
                wanted(by).flat_map(move |by| self.trails.reached(instrument_id, side, by, price));
            tripped.map(move |tripped| {
                let rung = rung(side, Level::of(tripped.stop), tripped.rank);
                (rung, tripped.order_id, Some((tripped.stop, tripped.mark)))
            })
        };
        let trailing = stops::merged(of(TriggerBy::Last), of(TriggerBy::Quote));
        stops::merged(fixed, trailing).filter_map(|(_, order_id, trailed)| {
            let order = self.by_id.get(&order_id)?;
            let stop_price = trailed.map_or(order.stop.as_ref()?.price, |(stop, _)| stop);
            Some(Reached { order, stop_price, mark: trailed.map(|(_, mark)| mark) })
        })
    }

    /// A line begins: what came before it follows the market and meets it from now on.
    pub fn begin_line(&mut self) {
        for order_id in std::mem::take(&mut self.fresh) {
            let Some(mut order) = self.by_id.remove(&order_id) else { continue };
            order.fresh = false;
            if let Some(trailing) = order.trailing_mut() {
                trailing.fresh = false;
            }
            self.shelve(&order);
            self.by_id.insert(order_id, order);
        }
    }

    /// Moves the marks of one side that `price` is beyond, of the orders that it triggers, and lets those follow it from now
    /// on whose activation price it has come to.
    pub fn ratchet(
        &mut self,
        instrument_id: InstrumentId,
        side: Side,
        triggers: &[TriggerBy],
        price: Price,
    ) {
        let level = Level::of(price);
        for by in triggers {
            self.trails.ratchet(instrument_id, side, *by, level);
            if !self.dormant.any_reached(instrument_id, side.other(), *by, level) {
                continue;
            }
            let woken = self.dormant.reached(instrument_id, side.other(), *by, level);
            let woken: Vec<OrderId> = woken.map(|(_, order_id)| order_id).collect();
            for order_id in woken {
                let Some(mut order) = self.remove(order_id) else { continue };
                if let Some(trailing) = order.trailing_mut() {
                    trailing.mark = Some(price);
                }
                self.insert(order);
            }
        }
    }

    /// Whether an order has met a quote: see [`Working::unmet`].
    pub(super) fn set_unmet(&mut self, order_id: OrderId, unmet: Option<TapePlace>) {
        if let Some(order) = self.by_id.get_mut(&order_id) {
            order.unmet = unmet;
        }
    }

    /// The mark of a trailing stop that waits; none before it follows the market.
    pub fn mark(&self, order_id: OrderId) -> Option<Price> {
        let waiting = || self.by_id.get(&order_id)?.waits_for()?.trailing.as_ref();
        self.trails.mark(order_id).or_else(|| waiting()?.mark)
    }

    /// The marks of these, of those that there are.
    pub fn marks(&self, orders: Vec<OrderId>) -> BTreeMap<OrderId, Price> {
        orders.into_iter().filter_map(|id| Some((id, self.mark(id)?))).collect()
    }

    /// The orders whose time is over at `now`, the earliest first.
    pub fn expired(&self, now: MarketTime) -> impl Iterator<Item = (MarketTime, &Working)> {
        let expired = self.expiries.iter().take_while(move |(at, _)| *at <= now);
        expired.filter_map(|(at, order_id)| Some((*at, self.by_id.get(order_id)?)))
    }

    /// The open orders of one instrument by account, held ones included, and those of options on it. Costs a look at every open order: for
    /// corporate actions, not for ticks.
    pub fn of_instrument(&self, instrument_id: InstrumentId) -> BTreeMap<AccountId, Vec<OrderId>> {
        let mut accounts: BTreeMap<AccountId, Vec<OrderId>> = BTreeMap::new();
        for order in self.by_id.values().filter(|order| order.splits_with() == instrument_id) {
            accounts.entry(order.account_id).or_default().push(order.order_id);
        }
        accounts
    }
}
