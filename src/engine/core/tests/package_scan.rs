//! The naive scan of orders of options: at every quote every order is looked at. It knows the rule book alone, counts in
//! cents and whole contracts, and has no book, no rounds, no clock.

use super::scan::cents;

/// What can be traded: the stock, in hundreds, and the contracts on it.
pub(super) const THINGS: usize = 4;
/// The stock among them.
pub(super) const STOCK: usize = 0;

/// A leg of one fill: its price, what was filled, and the place of the quote.
pub(super) type LegFilled = (String, i64, u64);
/// One fill as the tests compare it: order, place, price, packages, legs; a fill of one option has none.
pub(super) type Filled = (u128, u64, String, i64, Vec<LegFilled>);

/// A price as it is shown, below zero too.
pub(super) fn signed(amount: i64) -> String {
    if amount < 0 { format!("-{}", cents(-amount)) } else { cents(amount) }
}

/// One leg: what, buy or sell, and how many of it a package has.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainLeg {
    pub(super) thing: usize,
    pub(super) buy: bool,
    pub(super) ratio: i64,
}

/// An order as the scan keeps it.
pub(super) struct Plain {
    pub(super) n: u128,
    pub(super) legs: Vec<PlainLeg>,
    pub(super) left: i64,
    /// Of one option its price; of several legs the net of a package.
    pub(super) limit: Option<i64>,
    pub(super) open: bool,
    day: bool,
    turn: u64,
    /// It came when no quote could fill it, and has met none since.
    unmet: bool,
}

/// A quote that may fill, and what is left of it.
#[derive(Clone, Copy)]
struct Shown {
    bid: i64,
    bid_left: i64,
    ask: i64,
    ask_left: i64,
    place: u64,
}

impl Shown {
    fn touch(&self, buy: bool) -> (i64, i64) {
        if buy { (self.ask, self.ask_left) } else { (self.bid, self.bid_left) }
    }
}

/// One thing that is traded.
#[derive(Clone, Copy, Default)]
struct Thing {
    shown: Option<Shown>,
    halted: bool,
    /// It had a quote since the open, or since it was last stopped.
    begun: bool,
}

#[derive(Default)]
pub(super) struct PackageScan {
    pub(super) orders: Vec<Plain>,
    pub(super) fills: Vec<Filled>,
    pub(super) place: u64,
    /// Sizes are not looked at.
    unlimited: bool,
    things: [Thing; THINGS],
    market_halted: bool,
    night: bool,
    turns: u64,
}

impl PackageScan {
    pub(super) fn new(unlimited: bool) -> Self {
        Self { unlimited, ..Self::default() }
    }

    /// Nothing of it fills.
    fn is_stopped(&self, thing: usize) -> bool {
        self.market_halted || self.things[thing].halted || self.things[STOCK].halted
    }

    fn stop(&mut self, thing: usize) {
        (self.things[thing].shown, self.things[thing].begun) = (None, false);
    }

    /// Trading of one thing, or of all, stops or goes on: what stood is over. The contracts follow what they are on.
    pub(super) fn status(&mut self, thing: Option<usize>, halted: bool) -> bool {
        let known = thing.map_or(&mut self.market_halted, |thing| &mut self.things[thing].halted);
        if *known == halted {
            return false;
        }
        *known = halted;
        self.place += 1;
        match thing {
            None | Some(STOCK) => (0..THINGS).for_each(|thing| self.stop(thing)),
            Some(thing) => self.stop(thing),
        }
        true
    }

    /// The session closes, or the next one opens.
    pub(super) fn later(&mut self) {
        self.place += 1;
        self.night = !self.night;
        // A quote of the session stands in the next one, whose first quote is a first one.
        self.things.iter_mut().for_each(|thing| thing.begun = false);
        let ends = |order: &&mut Plain| order.day;
        if self.night {
            self.orders.iter_mut().filter(ends).for_each(|order| order.open = false);
        }
    }

    pub(super) fn quote(&mut self, thing: usize, bid: (i64, i64), ask: (i64, i64)) {
        self.place += 1;
        if bid.0 > ask.0 {
            return;
        }
        if self.night || self.is_stopped(thing) {
            self.things[thing].shown = None;
            return;
        }
        let left = |size: i64| if self.unlimited { i64::MAX / 4 } else { size };
        let (bid_left, ask_left) = (left(bid.1), left(ask.1));
        let place = self.place;
        let shown = Shown { bid: bid.0, bid_left, ask: ask.0, ask_left, place };
        let first = !self.things[thing].begun;
        (self.things[thing].shown, self.things[thing].begun) = (Some(shown), true);
        for buy in [true, false] {
            for i in self.in_turn(thing, buy) {
                let order = &self.orders[i];
                let touch = shown.touch(buy).0;
                let price = order.limit.filter(|_| !first && !order.unmet).unwrap_or(touch);
                self.fill_one(i, price);
            }
        }
        let own = |order: &&mut Plain| order.legs.len() == 1 && order.legs[0].thing == thing;
        self.orders.iter_mut().filter(own).for_each(|order| order.unmet = false);
        let has =
            |order: &Plain| order.legs.len() > 1 && order.legs.iter().any(|leg| leg.thing == thing);
        let mut packages: Vec<usize> =
            (0..self.orders.len()).filter(|i| has(&self.orders[*i])).collect();
        packages.sort_by_key(|i| self.orders[*i].turn);
        packages.into_iter().for_each(|i| self.fill_package(i));
    }

    /// The orders of one option that its quote reaches, in the order in which they fill.
    fn in_turn(&self, thing: usize, buy: bool) -> Vec<usize> {
        let Some(shown) = self.things[thing].shown else { return Vec::new() };
        let touch = shown.touch(buy).0;
        let reached = |limit: i64| if buy { touch <= limit } else { touch >= limit };
        let of = |order: &Plain| {
            let [leg] = order.legs.as_slice() else { return false };
            order.open && (leg.thing, leg.buy) == (thing, buy) && order.limit.is_none_or(reached)
        };
        let mut turn: Vec<usize> =
            (0..self.orders.len()).filter(|i| of(&self.orders[*i])).collect();
        turn.sort_by_key(|i| {
            let order = &self.orders[*i];
            let price = order.limit.map(|limit| if buy { -limit } else { limit });
            (price.is_some(), price, order.turn)
        });
        turn
    }

    /// So many packages of an order are taken of what is shown.
    fn take(&mut self, i: usize, qty: i64) {
        for leg in &self.orders[i].legs {
            let Some(shown) = &mut self.things[leg.thing].shown else { continue };
            let left = if leg.buy { &mut shown.ask_left } else { &mut shown.bid_left };
            let shares = if leg.thing == STOCK { 100 } else { 1 };
            *left -= qty * leg.ratio * shares;
        }
        let order = &mut self.orders[i];
        order.left -= qty;
        order.open = order.left > 0;
    }

    fn fill_one(&mut self, i: usize, price: i64) {
        let (order, leg) = (&self.orders[i], self.orders[i].legs[0]);
        let Some(shown) = self.things[leg.thing].shown else { return };
        let qty = order.left.min(shown.touch(leg.buy).1);
        if qty > 0 {
            self.fills.push((order.n, shown.place, signed(price), qty, Vec::new()));
            self.take(i, qty);
        }
    }

    /// All legs at their own quotes, or none.
    fn fill_package(&mut self, i: usize) {
        let order = &self.orders[i];
        if !order.open || self.night {
            return;
        }
        let (mut net, mut qty, mut place) = (0, order.left, 0);
        let mut met = Vec::new();
        for leg in &order.legs {
            let Some(shown) = self.things[leg.thing].shown else { return };
            let (price, left) = shown.touch(leg.buy);
            let each = leg.ratio * if leg.thing == STOCK { 100 } else { 1 };
            net += if leg.buy { price * leg.ratio } else { -price * leg.ratio };
            qty = qty.min(left / each);
            place = place.max(shown.place);
            met.push((signed(price), each, shown.place));
        }
        if order.limit.is_some_and(|limit| net > limit) || qty <= 0 {
            return;
        }
        let legs = met.into_iter().map(|(price, each, place)| (price, each * qty, place));
        self.fills.push((order.n, place, signed(net), qty, legs.collect()));
        self.take(i, qty);
    }

    pub(super) fn arrive(
        &mut self,
        n: u128,
        legs: Vec<PlainLeg>,
        (left, limit): (i64, Option<i64>),
        day: bool,
    ) {
        self.turns += 1;
        let (turn, unmet) = (self.turns, false);
        self.orders.push(Plain { n, legs, left, limit, open: true, day, turn, unmet });
        self.meet(self.orders.len() - 1);
    }

    /// Lets an order meet what stands, once.
    fn meet(&mut self, i: usize) {
        let order = &mut self.orders[i];
        let [leg] = order.legs.as_slice() else { return self.fill_package(i) };
        let stands = self.things[leg.thing].shown.filter(|_| !self.night);
        order.unmet = stands.is_none();
        let Some(shown) = stands else { return };
        let touch = shown.touch(leg.buy).0;
        let reached = |limit: i64| if leg.buy { touch <= limit } else { touch >= limit };
        if order.limit.is_none_or(reached) {
            self.fill_one(i, touch);
        }
    }

    /// Changes an open order; one that has a limit may get another one.
    pub(super) fn replace(&mut self, i: usize, open: Option<i64>, limit: Option<i64>) {
        let order = &mut self.orders[i];
        let (open, limit) = (open.unwrap_or(order.left), limit.or(order.limit));
        if (open, limit) == (order.left, order.limit) {
            return;
        }
        if open > order.left || limit != order.limit {
            self.turns += 1;
            order.turn = self.turns;
        }
        (order.left, order.limit) = (open, limit);
        self.meet(i);
    }
}
