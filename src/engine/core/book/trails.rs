//! Trailing stops: orders that share a mark are one group, so that a new high moves a group and not its orders.
//!
//! A price beyond marks takes all groups that it passes into one, the smaller into the larger, so that an order changes
//! its group O(log n) times however often the mark moves. Within a group amounts and percents are apart: each keeps its
//! order whatever the mark is, so the first of the two is the group's next stop, and groups stand in the order of these.
//! A tick costs O(log n + k), k the orders that it triggers, and its share of the groups that it takes together.
//!
//! Both sides are worked as a sell is: marks, stops and prices of buys are turned.

use std::collections::btree_map::Iter;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use aggregates::id::{InstrumentId, OrderId};
use aggregates::money::Price;
use aggregates::order::{Side, Trail, TriggerBy};

use super::level::Level;
use super::{Stop, Trailing, Working};

/// Where an order stands in its group: the smallest distance first, then time.
type Place = (Level, u64);

/// What is watched together.
type Key = (InstrumentId, Side, TriggerBy);

/// Orders with one mark.
#[derive(Clone, Debug)]
struct Group {
    /// The mark, turned for buys.
    mark: Level,
    amounts: BTreeMap<Place, OrderId>,
    percents: BTreeMap<Place, OrderId>,
    /// The stop that a price reaches first, turned for buys; none without orders.
    next_stop: Option<Level>,
}

/// The groups that watch the same prices.
#[derive(Clone, Debug, Default)]
struct Watch {
    groups: BTreeMap<u64, Group>,
    /// Groups by mark: no two have the same.
    marks: BTreeMap<Level, u64>,
    /// Groups by their next stop.
    stops: BTreeSet<(Level, u64)>,
    /// The number of the next group.
    next: u64,
}

/// An order that a price has triggered: its stop and its mark.
#[derive(Clone, Debug)]
pub(super) struct Tripped {
    pub(super) stop: Price,
    pub(super) rank: u64,
    pub(super) order_id: OrderId,
    pub(super) mark: Price,
}

/// Every trailing stop that has met a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Trails {
    watches: BTreeMap<Key, Watch>,
    /// The group of each order.
    homes: BTreeMap<OrderId, (Key, u64)>,
}

/// A price as a sell would see it.
fn turned(side: Side, price: Level) -> Level {
    price.turned(side == Side::Buy)
}

/// The price that a sell would see so.
fn price_of(side: Side, level: Level) -> Price {
    level.turned(side == Side::Buy).price()
}

impl Group {
    fn new(mark: Level) -> Self {
        Self { mark, amounts: BTreeMap::new(), percents: BTreeMap::new(), next_stop: None }
    }

    fn len(&self) -> usize {
        self.amounts.len() + self.percents.len()
    }

    fn kind(&mut self, trail: Trail) -> (&mut BTreeMap<Place, OrderId>, Level) {
        match trail {
            Trail::Price(amount) => (&mut self.amounts, Level::of(amount)),
            Trail::Percent(percent) => (&mut self.percents, Level::of(percent)),
        }
    }

    /// The stop at a distance.
    fn stop(&self, side: Side, trail: Trail) -> Level {
        turned(side, Level::of(trail.stop(side, price_of(side, self.mark))))
    }

    /// Finds its next stop again.
    fn renew(&mut self, side: Side) {
        let first = |places: &BTreeMap<Place, OrderId>| places.keys().next().map(|place| place.0);
        let amount = first(&self.amounts).map(|amount| Trail::Price(amount.price()));
        let percent = first(&self.percents).map(|percent| Trail::Percent(percent.price()));
        let trails = amount.into_iter().chain(percent);
        self.next_stop = trails.map(|trail| self.stop(side, trail)).max();
    }

    /// Its orders by kind, each in the order of its stops.
    fn lists(&self) -> [List<'_>; 2] {
        [
            (Trail::Price as Measure, self.amounts.iter().peekable()),
            (Trail::Percent, self.percents.iter().peekable()),
        ]
        .map(|(measure, places)| List { group: self, measure, places })
    }
}

/// What a distance is of.
type Measure = fn(Price) -> Trail;

/// The orders of one kind in a group that were not told yet, in the order of their stops.
struct List<'a> {
    group: &'a Group,
    measure: Measure,
    places: Peekable<Iter<'a, Place, OrderId>>,
}

impl List<'_> {
    /// The stop of its next order.
    fn next_stop(&mut self, side: Side) -> Option<Level> {
        let ((distance, _), _) = self.places.peek()?;
        Some(self.group.stop(side, (self.measure)(distance.price())))
    }

    /// Takes its orders at `stop`.
    fn take_at(&mut self, side: Side, stop: Level, taken: &mut Vec<Tripped>) {
        while self.next_stop(side) == Some(stop) {
            let Some(((_, rank), order_id)) = self.places.next() else { return };
            let (rank, order_id) = (*rank, *order_id);
            let (stop, mark) = (price_of(side, stop), price_of(side, self.group.mark));
            taken.push(Tripped { stop, rank, order_id, mark });
        }
    }
}

/// The orders whose stops a price has reached, one stop after the other, and the oldest first at each. Takes from the groups
/// only what is asked for.
struct Reached<'a, I: Iterator<Item = &'a Group>> {
    side: Side,
    /// The price, turned.
    price: Level,
    /// The groups that were not looked at, that whose next stop comes first in front.
    groups: Peekable<I>,
    /// What was looked at, by the next stop of each.
    lists: BTreeMap<Level, Vec<List<'a>>>,
    /// The orders at the stop that was reached last.
    level: std::vec::IntoIter<Tripped>,
}

impl<'a, I: Iterator<Item = &'a Group>> Reached<'a, I> {
    /// Keeps a list by its next stop, if that is reached.
    fn keep(&mut self, mut list: List<'a>) {
        if let Some(stop) = list.next_stop(self.side).filter(|stop| *stop >= self.price) {
            self.lists.entry(stop).or_default().push(list);
        }
    }

    /// The orders at the next stop; none where there is no more.
    fn next_level(&mut self) -> Vec<Tripped> {
        let side = self.side;
        let known = self.lists.last_key_value().map(|(stop, _)| *stop);
        let fresh = self.groups.peek().and_then(|group| group.next_stop);
        let Some(stop) = known.max(fresh) else { return Vec::new() };
        while let Some(group) = self.groups.next_if(|group| group.next_stop >= Some(stop)) {
            group.lists().into_iter().for_each(|list| self.keep(list));
        }
        let mut level = Vec::new();
        for mut list in self.lists.remove(&stop).unwrap_or_default() {
            list.take_at(side, stop, &mut level);
            self.keep(list);
        }
        level.sort_unstable_by_key(|tripped| tripped.rank);
        level
    }
}

impl<'a, I: Iterator<Item = &'a Group>> Iterator for Reached<'a, I> {
    type Item = Tripped;

    fn next(&mut self) -> Option<Tripped> {
        if self.level.len() == 0 {
            self.level = self.next_level().into_iter();
        }
        self.level.next()
    }
}

impl Watch {
    /// Changes a group, and keeps its place by its next stop; one that is empty goes.
    fn change(&mut self, side: Side, id: u64, change: impl FnOnce(&mut Group)) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let before = group.next_stop;
        change(group);
        group.renew(side);
        let after = group.next_stop;
        if before != after {
            before.map(|stop| self.stops.remove(&(stop, id)));
            after.map(|stop| self.stops.insert((stop, id)));
        }
        if after.is_none() {
            let mark = group.mark;
            self.groups.remove(&id);
            self.marks.remove(&mark);
        }
    }

    /// The group with this mark, turned; made if there is none.
    fn group(&mut self, mark: Level) -> u64 {
        let next = self.next;
        let id = *self.marks.entry(mark).or_insert(next);
        if id == next {
            self.next += 1;
            self.groups.insert(id, Group::new(mark));
        }
        id
    }

    /// Takes a group out whole.
    fn take(&mut self, id: u64) -> Option<Group> {
        let group = self.groups.remove(&id)?;
        self.marks.remove(&group.mark);
        group.next_stop.map(|stop| self.stops.remove(&(stop, id)));
        Some(group)
    }
}

impl Trails {
    pub(super) fn insert(
        &mut self,
        order: &Working,
        stop: &Stop,
        trailing: &Trailing,
        mark: Price,
    ) {
        let side = order.side;
        let key = (order.instrument_id, side, stop.by);
        let watch = self.watches.entry(key).or_default();
        let id = watch.group(turned(side, Level::of(mark)));
        watch.change(side, id, |group| {
            let (kind, distance) = group.kind(trailing.trail);
            kind.insert((distance, order.rank), order.order_id);
        });
        self.homes.insert(order.order_id, (key, id));
    }

    pub(super) fn remove(&mut self, order: &Working, trailing: &Trailing) {
        let Some((key, id)) = self.homes.remove(&order.order_id) else { return };
        let Some(watch) = self.watches.get_mut(&key) else { return };
        watch.change(order.side, id, |group| {
            let (kind, distance) = group.kind(trailing.trail);
            kind.remove(&(distance, order.rank));
        });
        if watch.groups.is_empty() {
            self.watches.remove(&key);
        }
    }

    /// The mark of an order.
    pub(super) fn mark(&self, order_id: OrderId) -> Option<Price> {
        let (key, id) = self.homes.get(&order_id)?;
        let group = self.watches.get(key)?.groups.get(id)?;
        Some(price_of(key.1, group.mark))
    }

    /// Moves every mark that `price` is beyond.
    pub(super) fn ratchet(
        &mut self,
        instrument_id: InstrumentId,
        side: Side,
        by: TriggerBy,
        price: Level,
    ) {
        let (key, price) = ((instrument_id, side, by), turned(side, price));
        let Some(watch) = self.watches.get_mut(&key) else { return };
        if watch.marks.first_key_value().is_none_or(|(lowest, _)| *lowest >= price) {
            return;
        }
        let passed: Vec<u64> = watch.marks.range(..price).map(|(_, id)| *id).collect();
        let there = watch.marks.get(&price).copied();
        let ids = passed.into_iter().chain(there);
        let mut taken: Vec<(u64, Group)> =
            ids.filter_map(|id| Some((id, watch.take(id)?))).collect();
        // The largest stays as it is, and the others move into it.
        taken.sort_by_key(|(_, group)| group.len());
        let Some((id, mut largest)) = taken.pop() else { return };
        for (_, group) in taken {
            for order_id in group.amounts.values().chain(group.percents.values()) {
                self.homes.insert(*order_id, (key, id));
            }
            largest.amounts.extend(group.amounts);
            largest.percents.extend(group.percents);
        }
        largest.mark = price;
        largest.renew(side);
        largest.next_stop.map(|stop| watch.stops.insert((stop, id)));
        watch.marks.insert(price, id);
        watch.groups.insert(id, largest);
    }

    /// Whether `price` has reached any stop of one side, which costs less than to begin to list them.
    pub(super) fn any_reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        by: TriggerBy,
        price: Level,
    ) -> bool {
        let watch = self.watches.get(&(instrument_id, side, by));
        let next = watch.and_then(|watch| watch.stops.last());
        next.is_some_and(|(stop, _)| *stop >= turned(side, price))
    }

    /// The orders of one side whose stops `price` has reached, in the order in which it did.
    pub(super) fn reached(
        &self,
        instrument_id: InstrumentId,
        side: Side,
        by: TriggerBy,
        price: Level,
    ) -> impl Iterator<Item = Tripped> {
        let price = turned(side, price);
        let watch = self.watches.get(&(instrument_id, side, by)).into_iter();
        let groups = watch.flat_map(move |watch| {
            let stops = watch.stops.range((price, 0)..).rev();
            stops.filter_map(|(_, id)| watch.groups.get(id))
        });
        let (groups, lists, level) = (groups.peekable(), BTreeMap::new(), Vec::new().into_iter());
        Reached { side, price, groups, lists, level }
    }
}
