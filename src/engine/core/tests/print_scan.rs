//! The naive scan of a symbol that has no quotes: every order is looked at with every trade, or at every point of a bar.

use super::desk::{Fill, loss, profit};
use super::naive_trails::PlainTrail;
use super::scan::{MILLIONTHS, Triggered, cents};

pub(super) struct Plain {
    pub(super) n: u128,
    pub(super) buy: bool,
    pub(super) left: i64,
    pub(super) limit: Option<i64>,
    /// Until it is triggered.
    pub(super) stop: Option<i64>,
    /// What it follows at, and its mark in millionths.
    pub(super) trail: Option<(PlainTrail, i64)>,
    /// From where on it follows; none once it does.
    pub(super) from: Option<i64>,
    /// How far beyond its stop its limit is.
    pub(super) offset: Option<PlainTrail>,
    /// The place of what triggered it.
    pub(super) since: u64,
    pub(super) open: bool,
    /// Its turn among orders at one price.
    pub(super) turn: usize,
    /// What it is among orders that belong together.
    pub(super) kin: Option<Kin>,
}

#[derive(Clone, Copy)]
pub(super) struct Kin {
    family: u128,
    entry: bool,
    /// It waits for its entry.
    held: bool,
    /// The place of the line by which it came to work: it meets the next one.
    since: u64,
}

impl Plain {
    /// An open market order that has nothing that only some orders have.
    pub(super) fn new(n: u128, (buy, left): (bool, i64), turn: usize) -> Self {
        let (limit, stop, trail, from, offset, kin) = (None, None, None, None, None, None);
        Self { n, buy, left, limit, stop, trail, from, offset, since: 0, open: true, turn, kin }
    }

    /// Whether it meets the line at this place.
    fn acts(&self, place: u64) -> bool {
        self.open && self.kin.is_none_or(|kin| !kin.held && kin.since < place)
    }
}

/// One price that one side meets.
#[derive(Clone, Copy)]
struct Met {
    pub(super) buy: bool,
    price: i64,
    /// Market orders fill too.
    pub(super) open: bool,
    /// Limits get the price itself.
    better: bool,
    /// The high and the low of a bar whose way between them nobody knows.
    between: Option<(i64, i64)>,
}

#[derive(Default)]
pub(super) struct Scan {
    pub(super) orders: Vec<Plain>,
    pub(super) fills: Vec<Fill>,
    pub(super) triggers: Vec<Triggered>,
    pub(super) turns: usize,
    /// The latest price that may trigger an order that arrives.
    pub(super) last: Option<(i64, u64)>,
    /// The latest price.
    pub(super) shown: i64,
    pub(super) halted: bool,
    /// The next trade is the first since a halt.
    pub(super) first: bool,
    /// It prints trades, and the place of the last one that orders have met.
    pub(super) trades: bool,
    pub(super) met: u64,
    /// The account is a margin account.
    pub(super) margin: bool,
}

impl Scan {
    fn take(&mut self, i: usize, place: u64, price: i64, qty: i64) {
        let order = &mut self.orders[i];
        order.left -= qty;
        order.open = order.left > 0;
        self.fills.push((order.n, place, cents(price), qty.to_string()));
        let (n, done) = (order.n, order.left == 0);
        let Some(kin) = order.kin else { return };
        for order in self.orders.iter_mut().filter(|order| order.open && order.n != n) {
            let of = order.kin.as_mut().filter(|of| of.family == kin.family);
            let Some(of) = of else { continue };
            if kin.entry && of.held {
                (of.held, of.since, order.left) = (false, place, qty);
                self.turns += 1;
                order.turn = self.turns;
            } else if kin.entry {
                order.left += qty;
            } else if done {
                order.open = false;
            } else if !of.entry {
                order.left -= qty;
            }
        }
    }

    /// Whether an order leaves a bar to the stop-loss of its family, which the bar reaches too.
    fn yields(&self, i: usize, place: u64, between: Option<(i64, i64)>) -> bool {
        let (Some((high, low)), Some(kin)) = (between, self.orders[i].kin) else { return false };
        self.orders.iter().any(|other| {
            let sibling = other.kin.is_some_and(|of| of.family == kin.family && !of.entry);
            let of_side = sibling && other.buy == self.orders[i].buy && other.acts(place);
            let stop = other.stop.filter(|_| of_side && other.n != self.orders[i].n);
            stop.is_some_and(|stop| if other.buy { high >= stop } else { low <= stop })
        })
    }

    /// Prices meet sides: every order that they go through, the most aggressive first, then the oldest. Of orders that
    /// belong together one fills, and then all are looked at again. `left` is what is left for sells and for buys.
    fn meet(&mut self, place: u64, prices: &[Met], left: &mut [i64; 2]) {
        let mut filled = true;
        while filled {
            filled = false;
            let mut acted = Vec::new();
            let mut moved = false;
            // Who is in turn is found before anything fills.
            let turn = |met: &Met| (*met, self.in_turn(place, met.buy, met.price, met.open));
            let turns: Vec<_> = prices.iter().map(turn).collect();
            for (Met { buy, price, better, between, .. }, turn) in turns {
                for i in turn {
                    let family = self.orders[i].kin.map(|kin| kin.family);
                    let bound = family.is_some_and(|family| acted.contains(&family));
                    if bound || self.yields(i, place, between) {
                        continue;
                    }
                    // Another order may have taken of the shares of its family: it and all behind it wait.
                    if moved && family.is_some() {
                        break;
                    }
                    let order = &self.orders[i];
                    let qty = order.left.min(left[usize::from(buy)]);
                    if qty == 0 || !order.open {
                        continue;
                    }
                    left[usize::from(buy)] -= qty;
                    let new = self.trades && self.met < order.since;
                    let at = order.limit.filter(|_| !better && !new).unwrap_or(price);
                    self.take(i, place, at, qty);
                    acted.extend(family);
                    moved |= family.is_none() && self.margin;
                    filled = true;
                }
            }
        }
    }

    fn in_turn(&self, place: u64, buy: bool, price: i64, open: bool) -> Vec<usize> {
        let through = |limit: i64| if buy { price < limit } else { price > limit };
        let mut turn: Vec<usize> = (0..self.orders.len())
            .filter(|i| {
                let order = &self.orders[*i];
                let works = order.acts(place) && order.stop.is_none();
                works && order.buy == buy && order.limit.map_or(open, through)
            })
            .collect();
        turn.sort_by_key(|i| {
            let order = &self.orders[*i];
            let rung = order.limit.map(|limit| if buy { -limit } else { limit });
            (rung.is_some(), rung, order.turn)
        });
        turn
    }

    pub(super) fn trigger(&mut self, i: usize, place: u64) {
        self.turns += 1;
        let order = &mut self.orders[i];
        (order.turn, order.since) = (self.turns, place);
        if let Some(stop) = order.stop.take() {
            if let Some(offset) = order.offset {
                order.limit = Some(offset.stop(order.buy, stop * MILLIONTHS));
            }
            self.triggers.push((order.n, place, cents(stop)));
        }
    }

    /// Triggers every stop of one side that `price` has reached. Gives them with their stops, in their order.
    fn watch(&mut self, place: u64, buy: bool, price: i64) -> Vec<(i64, usize)> {
        let mut turn: Vec<(i64, usize, usize)> = Vec::new();
        for (i, order) in self.orders.iter().enumerate() {
            let watches = order.acts(place) && order.buy == buy && order.from.is_none();
            if let Some(stop) = order.stop.filter(|_| watches)
                && (if buy { price >= stop } else { price <= stop })
            {
                turn.push((if buy { stop } else { -stop }, order.turn, i));
            }
        }
        turn.sort_unstable();
        for (_, _, i) in &turn {
            self.trigger(*i, place);
        }
        turn.into_iter().map(|(stop, _, i)| (stop.abs(), i)).collect()
    }

    /// Moves the marks of one side that `price` is better than.
    fn follow(&mut self, buy: bool, price: i64) {
        for order in self.orders.iter_mut().filter(|order| order.buy == buy && order.open) {
            if let (Some((trail, mark)), Some(stop)) = (&mut order.trail, &mut order.stop) {
                let here = price * MILLIONTHS;
                if let Some(from) = order.from {
                    if if buy { price > from } else { price < from } {
                        continue;
                    }
                    (*mark, order.from) = (here, None);
                }
                *mark = if buy { here.min(*mark) } else { here.max(*mark) };
                *stop = trail.stop(buy, *mark);
            }
        }
    }

    pub(super) fn trade(&mut self, place: u64, price: i64, size: i64) {
        self.shown = price;
        self.last = Some((price, place)).filter(|_| !self.halted);
        if self.halted {
            return;
        }
        for buy in [true, false] {
            self.watch(place, buy, price);
        }
        self.trades = true;
        let (open, better, between) = (true, self.first, None);
        let met = [true, false].map(|buy| Met { buy, price, open, better, between });
        self.meet(place, &met, &mut [size, size]);
        (self.first, self.met) = (false, place);
        for buy in [true, false] {
            self.follow(buy, price);
        }
    }

    /// One extreme of a bar: the stops of one side that it goes through fill at their stops, then the limits of the
    /// other.
    fn extreme(
        &mut self,
        place: u64,
        high: bool,
        (price, between): (i64, Option<(i64, i64)>),
        left: &mut [i64; 2],
    ) {
        let [stops, buy] = if high { [true, false] } else { [false, true] };
        for (stop, i) in self.watch(place, stops, price) {
            let order = &self.orders[i];
            let inside =
                order.limit.is_none_or(|limit| if stops { stop < limit } else { stop > limit });
            let qty = order.left.min(left[usize::from(stops)]);
            if inside && qty > 0 {
                left[usize::from(stops)] -= qty;
                self.take(i, place, stop, qty);
            }
        }
        self.meet(place, &[Met { buy, price, open: false, better: false, between }], left);
    }

    pub(super) fn bar(&mut self, place: u64, [open, high, low, close]: [i64; 4], volume: i64) {
        self.shown = close;
        self.last = Some((close, place)).filter(|_| !self.halted);
        if self.halted {
            return;
        }
        for buy in [true, false] {
            self.watch(place, buy, open);
        }
        let mut left = [volume, volume];
        let opens = |buy| Met { buy, price: open, open: true, better: true, between: None };
        self.meet(place, &[true, false].map(opens), &mut left);
        let between = Some((high, low));
        let up_first = high - open < open - low;
        for high_now in [up_first, !up_first] {
            let price = if high_now { high } else { low };
            self.extreme(place, high_now, (price, between), &mut left);
        }
        self.follow(true, low);
        self.follow(false, high);
        // What has followed an extreme may be beyond the close.
        for buy in [true, false] {
            let side = usize::from(buy);
            for (_, i) in self.watch(place, buy, close) {
                let order = &self.orders[i];
                let inside =
                    order.limit.is_none_or(|limit| if buy { close < limit } else { close > limit });
                let qty = order.left.min(left[side]);
                if inside && qty > 0 {
                    left[side] -= qty;
                    self.take(i, place, close, qty);
                }
            }
        }
        let closes = |buy| Met { buy, price: close, open: false, better: false, between };
        self.meet(place, &[true, false].map(closes), &mut left);
    }

    /// Takes a family in that was placed as order `n`: one whose exits buy, for shares that are held or not.
    pub(super) fn family(
        &mut self,
        n: u128,
        (exits_buy, closes, qty): (bool, bool, i64),
        limit: Option<i64>,
        (profit_at, stop): (i64, i64),
    ) {
        let mut plain = |n, buy, limit, stop, kin| {
            self.turns += 1;
            self.orders.push(Plain {
                limit,
                stop,
                kin: Some(kin),
                ..Plain::new(n, (buy, qty), self.turns)
            });
        };
        let kin = |entry, held| Kin { family: n, entry, held, since: 0 };
        if closes {
            plain(n, exits_buy, Some(profit_at), None, kin(false, false));
            plain(loss(n), exits_buy, None, Some(stop), kin(false, false));
        } else {
            plain(n, !exits_buy, limit, None, kin(true, false));
            plain(profit(n), exits_buy, Some(profit_at), None, kin(false, true));
            plain(loss(n), exits_buy, None, Some(stop), kin(false, true));
        }
    }

    /// Ends an order, and what ends with it.
    pub(super) fn end(&mut self, i: usize) {
        let was_open = std::mem::replace(&mut self.orders[i].open, false);
        let Some(kin) = self.orders[i].kin.filter(|_| was_open) else { return };
        for order in &mut self.orders {
            if let Some(of) = order.kin.filter(|of| of.family == kin.family) {
                order.open &= kin.entry && !of.held;
            }
        }
    }
}
