//! The naive scan: every order is looked at with every tick. It knows the rules of quotes and stops from the rule book
//! alone, counts in whole cents and shares, and has no book, no rounds, no clock.

use std::fmt::Write;

use super::desk::Fill;
use super::naive_families::Kin;
use super::naive_trails::PlainTrail;

/// One trigger as the tests compare it: order, place on the tape, stop.
pub(super) type Triggered = (u128, u64, String);

/// What an order waits for, in cents.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainStop {
    pub(super) price: i64,
    pub(super) by_quote: bool,
}

impl PlainStop {
    /// In the words of [`Desk::place`].
    pub(super) fn words(self) -> String {
        let by = if self.by_quote { " quote" } else { "" };
        format!(" stop {}{by}", cents(self.price))
    }
}

/// Billionths of a share in one.
pub(super) const NANO: i64 = 1_000_000_000;

/// Millionths of a dollar in a cent.
pub(super) const MILLIONTHS: i64 = 10_000;

/// An order as the scan keeps it.
pub(super) struct Plain {
    pub(super) n: u128,
    pub(super) buy: bool,
    /// In billionths of a share.
    pub(super) left: i64,
    /// The same of what has filled.
    pub(super) filled: i64,
    /// What is left of the cents that it is for, in place of shares.
    pub(super) dollars: Option<i64>,
    pub(super) limit: Option<i64>,
    /// Until it is triggered; of one that follows the market its price is that of the mark.
    pub(super) stop: Option<PlainStop>,
    /// The stop of a stop-loss, also once it is triggered.
    pub(super) stop_loss: Option<i64>,
    /// The place of the tick that triggered it: what came before does not fill it.
    pub(super) since: u64,
    /// What it follows at, and its mark in millionths.
    pub(super) trail: Option<(PlainTrail, i64)>,
    /// Where it was told to follow from.
    pub(super) activation: Option<i64>,
    /// From where on it follows; none once it does.
    pub(super) from: Option<i64>,
    /// How far beyond its stop its limit is.
    pub(super) offset: Option<PlainTrail>,
    pub(super) open: bool,
    /// It came when no quote could fill it, and has met none since.
    pub(super) unmet: bool,
    /// Its turn among orders at one price.
    pub(super) turn: u64,
    /// It fills outside regular hours too.
    pub(super) extended: bool,
    /// It ends with its session.
    pub(super) day: bool,
    /// It is for this auction alone.
    pub(super) auction: Option<Auction>,
    /// The number of the session that it came for.
    pub(super) session: u32,
    /// What it is among orders that belong together.
    pub(super) kin: Option<Kin>,
    /// Shares that it has set aside in a margin account to close them.
    pub(super) aside: i64,
}

impl Plain {
    /// Whether it is for this auction of this session.
    fn is_for(&self, auction: Auction, session: u32) -> bool {
        self.auction == Some(auction) && (auction == Auction::Opening || self.session == session)
    }

    /// Whether so many shares may be open of it: a part of one is asked for in the day alone.
    pub(super) fn may_have(&self, open: i64) -> bool {
        self.day || open * NANO == self.left || self.filled % NANO == 0
    }

    /// An open market order for whole shares that comes at this turn, and has nothing that only some orders have.
    pub(super) fn new(n: u128, (buy, left): (bool, i64), turn: u64) -> Self {
        Self {
            n,
            buy,
            left: left * NANO,
            filled: 0,
            dollars: None,
            limit: None,
            stop: None,
            stop_loss: None,
            since: 0,
            trail: None,
            activation: None,
            from: None,
            offset: None,
            open: true,
            unmet: false,
            turn,
            extended: false,
            day: false,
            auction: None,
            session: 0,
            kin: None,
            aside: 0,
        }
    }
}

/// The auctions of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auction {
    Opening,
    Closing,
}

impl Auction {
    pub(super) fn of(kind: &str) -> Option<Self> {
        match kind {
            "opg" => Some(Self::Opening),
            "cls" => Some(Self::Closing),
            _ => None,
        }
    }

    /// Whether it takes orders at 5 and 10 in the morning, and at 4 and 9 in the evening.
    pub(super) fn takes_orders(self, part: Part) -> bool {
        match part {
            Part::Night | Part::Early => true,
            Part::Regular => self == Self::Closing,
            Part::Late => false,
        }
    }
}

/// The parts of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Night,
    Early,
    #[default]
    Regular,
    Late,
}

impl Part {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Night => Self::Early,
            Self::Early => Self::Regular,
            Self::Regular => Self::Late,
            Self::Late => Self::Night,
        }
    }

    fn fills(self, extended: bool) -> bool {
        self == Self::Regular || extended && self != Self::Night
    }
}

#[derive(Default)]
pub(super) struct Scan {
    pub(super) orders: Vec<Plain>,
    pub(super) fills: Vec<Fill>,
    /// Billionths of a share.
    pub(super) held: i64,
    pub(super) triggers: Vec<Triggered>,
    /// bid, bid size left, ask, ask size left, place
    pub(super) quote: Option<(i64, i64, i64, i64, u64)>,
    /// The place of the last quote that orders have met.
    pub(super) met: u64,
    /// price, place
    pub(super) last: Option<(i64, u64)>,
    /// What is shown, in millionths: bid and ask, and the last price.
    pub(super) shown: Option<(i64, i64)>,
    pub(super) shown_last: Option<i64>,
    /// There was a trade.
    pub(super) traded: bool,
    /// The last trade of the session, in millionths.
    pub(super) closing: Option<i64>,
    /// The number of the session that is under way or comes next.
    pub(super) session: u32,
    pub(super) halted: bool,
    /// The next tick of regular hours is the first.
    pub(super) fresh: bool,
    /// The next tick of regular or extended hours is the first.
    pub(super) fresh_extended: bool,
    pub(super) part: Part,
    /// The part of the day in which the quote came.
    pub(super) quoted_in: Part,
    pub(super) place: u64,
    pub(super) turns: u64,
    /// In a margin account orders set aside what they close.
    pub(super) margin: bool,
    /// What entries were about to take of the bid and the ask that would have closed something.
    pub(super) supposed: [i64; 2],
}

/// A price in millionths as it is shown: to the cent, or as finely as it needs.
fn millionths(price: i64) -> String {
    if price % MILLIONTHS == 0 {
        return cents(price / MILLIONTHS);
    }
    let text = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
    text.trim_end_matches('0').to_owned()
}

/// Shares as they are shown.
fn shares(qty: i64) -> String {
    let text = format!("{}.{:09}", qty / NANO, qty % NANO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Cents of billionths of them, half to even.
fn half_even(amount: i64) -> i64 {
    let (whole, rest) = (amount / NANO, amount % NANO);
    whole + i64::from(2 * rest > NANO || 2 * rest == NANO && whole % 2 == 1)
}

pub(super) fn cents(amount: i64) -> String {
    let mut text = String::new();
    write!(text, "{}.{:02}", amount / 100, amount % 100).unwrap();
    text
}

impl Scan {
    pub(super) fn fill(&mut self, i: usize, price: i64) -> bool {
        let (sellable, opposed) = (self.sellable(i), self.is_opposed(i));
        let asked = self.asked(i, price);
        let part_short = self.part_short(i, asked);
        let Some(quote) = &mut self.quote else { return false };
        let order = &mut self.orders[i];
        let size = if order.buy { &mut quote.3 } else { &mut quote.1 };
        let supposed = &mut self.supposed[usize::from(order.buy)];
        if asked > 0 && (opposed || part_short || sellable <= 0) {
            *supposed += asked;
            self.end(i);
        } else if asked > 0 {
            let qty = asked.min(sellable);
            *supposed += asked - qty;
            *size -= qty;
            order.filled += qty;
            if let Some(left) = &mut order.dollars {
                *left -= half_even(qty * price);
                let open = (*left * NANO / price).min(sellable - qty);
                order.open = open > 0;
                if self.margin && !order.buy {
                    order.aside = qty + open;
                }
            } else {
                order.left -= qty;
                order.open = order.left > 0;
            }
            self.fills.push((order.n, quote.4, cents(price), shares(qty)));
            self.tell_kin(i, qty);
            self.hold(i, qty);
        }
        asked > 0
    }

    /// What an order asks of the standing quote at a price.
    fn asked(&self, i: usize, price: i64) -> i64 {
        let Some((_, bid_left, _, ask_left, _)) = self.quote else { return 0 };
        let order = &self.orders[i];
        let shown = if order.buy { ask_left } else { bid_left };
        let left = order.dollars.map_or(order.left, |left| left * NANO / price);
        let qty = left.min(shown - self.supposed[usize::from(order.buy)]);
        // An order for whole shares of a margin account fills in whole ones.
        if self.margin && order.dollars.is_none() && left % NANO == 0 {
            qty - qty % NANO
        } else {
            qty
        }
    }

    pub(super) fn trigger(&mut self, i: usize, place: u64) {
        self.turns += 1;
        let order = &mut self.orders[i];
        (order.turn, order.since) = (self.turns, place);
        if let Some(stop) = order.stop.take() {
            if let Some(offset) = order.offset {
                order.limit = Some(offset.stop(order.buy, stop.price * MILLIONTHS));
            }
            self.triggers.push((order.n, place, cents(stop.price)));
        }
    }

    /// Triggers every stop of one side that looks at such prices and that `price` has reached.
    pub(super) fn watch(&mut self, buy: bool, price: i64, looks: impl Fn(PlainStop) -> bool) {
        let reached = |stop: PlainStop| if buy { price >= stop.price } else { price <= stop.price };
        let mut turn: Vec<(i64, u64, usize)> = Vec::new();
        for (i, order) in self.orders.iter().enumerate() {
            if let Some(stop) = order.stop.filter(|stop| looks(*stop) && reached(*stop))
                && self.acts(order)
                && order.from.is_none()
                && order.buy == buy
            {
                turn.push((if buy { stop.price } else { -stop.price }, order.turn, i));
            }
        }
        turn.sort_unstable();
        for (_, _, i) in turn {
            self.trigger(i, self.place);
        }
    }

    pub(super) fn quote(&mut self, bid: i64, bid_size: i64, ask: i64, ask_size: i64) {
        self.line();
        if bid > ask {
            return;
        }
        self.shown = Some((bid * MILLIONTHS, ask * MILLIONTHS));
        if self.halted {
            self.quote = None;
            return;
        }
        let met = self.met;
        self.quote = Some((bid, bid_size * NANO, ask, ask_size * NANO, self.place));
        self.quoted_in = self.part;
        let traded = self.traded;
        let regular = self.part == Part::Regular;
        if regular {
            self.met = self.place;
            if !traded {
                self.cross(Auction::Opening, (ask * MILLIONTHS, bid * MILLIONTHS));
            }
            for (buy, price) in [(true, ask), (false, bid)] {
                self.watch(buy, price, |stop| stop.by_quote || !traded);
            }
        }
        // Of orders that belong together one fills, and then all of them are looked at again.
        let mut filled = true;
        while filled {
            filled = false;
            let mut acted = Vec::new();
            let mut moved = false;
            // Who is in turn is found before anything fills.
            let turns =
                [(true, ask), (false, bid)].map(|(buy, touch)| (self.in_turn(buy, touch), touch));
            for (turn, touch) in turns {
                for i in turn {
                    let family = self.orders[i].kin.map(|kin| kin.family);
                    if family.is_some_and(|family| acted.contains(&family)) {
                        continue;
                    }
                    // Another order may have taken of its shares: it and all behind it wait.
                    if moved && family.is_some() {
                        break;
                    }
                    let Plain { extended, since, unmet, .. } = self.orders[i];
                    let fresh = if extended { self.fresh_extended } else { self.fresh };
                    let resting = !fresh && !unmet && met >= since;
                    let price = self.orders[i].limit.filter(|_| resting).unwrap_or(touch);
                    if self.fill(i, price) {
                        acted.extend(family);
                        moved |= family.is_none() && self.margin;
                        filled = true;
                    }
                }
            }
            self.supposed = [0, 0];
        }
        let part = self.part;
        let meets = |order: &&mut Plain| part.fills(order.extended);
        self.orders.iter_mut().filter(meets).for_each(|order| order.unmet = false);
        self.seen();
        for (buy, price) in [(true, ask), (false, bid)].into_iter().filter(|_| regular) {
            self.follow(buy, price, |stop| stop.by_quote || !traded);
        }
    }

    /// The orders of one side that a price reaches, in the order in which they fill.
    fn in_turn(&self, buy: bool, price: i64) -> Vec<usize> {
        let reached = |limit: i64| if buy { price <= limit } else { price >= limit };
        let mut turn: Vec<usize> = (0..self.orders.len())
            .filter(|i| {
                let order = &self.orders[*i];
                let works = self.acts(order) && self.part.fills(order.extended);
                works
                    && order.auction.is_none()
                    && order.stop.is_none()
                    && order.buy == buy
                    && order.limit.is_none_or(reached)
            })
            .collect();
        turn.sort_by_key(|i| {
            let order = &self.orders[*i];
            let price = order.limit.map(|limit| if buy { -limit } else { limit });
            (price.is_some(), price, order.turn)
        });
        turn
    }

    /// Fills the orders for an auction that a buy's and a sell's price in millionths reach, whole, and ends the others.
    pub(super) fn cross(&mut self, auction: Auction, (bought_at, sold_at): (i64, i64)) {
        for buy in [true, false] {
            let price = if buy { bought_at } else { sold_at };
            let mut turn: Vec<usize> = (0..self.orders.len())
                .filter(|i| {
                    let order = &self.orders[*i];
                    let reached = order.limit.is_none_or(|limit| {
                        if buy { price <= limit * MILLIONTHS } else { price >= limit * MILLIONTHS }
                    });
                    order.open && order.is_for(auction, self.session) && order.buy == buy && reached
                })
                .collect();
            turn.sort_by_key(|i| {
                let order = &self.orders[*i];
                let price = order.limit.map(|limit| if buy { -limit } else { limit });
                (price.is_some(), price, order.turn)
            });
            for i in turn {
                if self.part_short(i, self.orders[i].left) {
                    self.end(i);
                    continue;
                }
                let order = &mut self.orders[i];
                let qty = order.left;
                self.fills.push((order.n, self.place, millionths(price), shares(qty)));
                // Of what is shown at the open there is less for others.
                if let Some(quote) = self.quote.as_mut().filter(|quote| quote.4 == self.place) {
                    let size = if buy { &mut quote.3 } else { &mut quote.1 };
                    *size = (*size - qty).max(0);
                }
                order.open = false;
                self.hold(i, qty);
            }
        }
        let session = self.session;
        let rest = self.orders.iter_mut().filter(|order| order.is_for(auction, session));
        rest.for_each(|order| order.open = false);
    }

    /// Once a session has a close, orders for an earlier one have none to come.
    fn give_up_closes(&mut self) {
        let session = self.session;
        let over =
            |order: &&mut Plain| order.auction == Some(Auction::Closing) && order.session < session;
        self.orders.iter_mut().filter(over).for_each(|order| order.open = false);
    }

    /// After the close the orders for the closing auction fill at the last trade, unless it is halted.
    fn settle_close(&mut self) {
        let after = matches!(self.part, Part::Late | Part::Night) && !self.halted;
        if let Some(price) = self.closing.filter(|_| after) {
            self.cross(Auction::Closing, (price, price));
            self.closing = None;
        }
    }

    /// A line comes.
    fn line(&mut self) {
        self.place += 1;
        self.settle_close();
    }

    /// A tick came that is a first one no more.
    pub(super) fn seen(&mut self) {
        self.fresh &= self.part != Part::Regular;
        self.fresh_extended &= self.part == Part::Night;
    }

    /// The next part of the day comes.
    pub(super) fn later(&mut self) {
        self.place += 1;
        self.part = self.part.next();
        match self.part {
            Part::Night | Part::Late => {
                let late = self.part == Part::Late;
                if late && self.closing.is_some() {
                    self.give_up_closes();
                }
                self.settle_close();
                let (over, session) = (self.closing.is_some(), self.session);
                let ends = |order: &&mut Plain| match order.auction {
                    // One whose close was not told waits for it.
                    Some(Auction::Closing) => !late && over && order.session == session,
                    Some(Auction::Opening) => late,
                    None => order.day && order.extended != late,
                };
                self.orders.iter_mut().filter(ends).for_each(|order| order.open = false);
                if !late {
                    self.closing = None;
                    self.session += 1;
                }
            }
            Part::Early => (self.fresh, self.fresh_extended) = (true, true),
            Part::Regular => {}
        }
    }

    pub(super) fn trade(&mut self, price: i64) {
        self.line();
        self.traded = true;
        self.shown_last = Some(price * MILLIONTHS);
        self.last = None;
        if self.part == Part::Regular {
            self.closing = self.shown_last;
        }
        if !self.halted {
            self.seen();
        }
        if !self.halted && self.part == Part::Regular {
            self.last = Some((price, self.place));
            self.cross(Auction::Opening, (price * MILLIONTHS, price * MILLIONTHS));
            for buy in [true, false] {
                self.watch(buy, price, |stop| !stop.by_quote);
                self.follow(buy, price, |stop| !stop.by_quote);
            }
        }
    }

    /// Whether the standing quote may fill an order now.
    pub(super) fn stands(&self, extended: bool) -> bool {
        self.part.fills(extended) && self.quoted_in.fills(extended)
    }

    /// The place of the standing price that has reached the stop of an order that arrives.
    pub(super) fn reached(&self, buy: bool, stop: PlainStop) -> Option<u64> {
        let (price, place) = if stop.by_quote || !self.traded {
            self.stands(false).then_some(())?;
            let (bid, _, ask, _, place) = self.quote?;
            (if buy { ask } else { bid }, place)
        } else {
            self.last?
        };
        (if buy { price >= stop.price } else { price <= stop.price }).then_some(place)
    }

    pub(super) fn arrive(
        &mut self,
        n: u128,
        (buy, qty): (bool, i64),
        limit: Option<i64>,
        stop: Option<PlainStop>,
        (kind, extended): (&str, bool),
    ) {
        self.turns += 1;
        self.orders.push(Plain {
            limit,
            stop,
            extended,
            day: kind == "day",
            auction: Auction::of(kind),
            session: self.session,
            ..Plain::new(n, (buy, qty), self.turns)
        });
        let i = self.orders.len() - 1;
        self.set_aside(i);
        self.meet(i, kind);
        if kind == "ioc" || kind == "fok" {
            self.orders[i].open = false;
        }
    }

    /// A market order for the day, for so many cents.
    pub(super) fn arrive_dollars(&mut self, n: u128, buy: bool, amount: i64) {
        self.turns += 1;
        let order = Plain::new(n, (buy, 0), self.turns);
        self.orders.push(Plain { dollars: Some(amount), day: true, ..order });
        let i = self.orders.len() - 1;
        self.set_dollars_aside(i);
        self.meet(i, "day");
    }

    /// Lets an order meet what stands, once.
    pub(super) fn meet(&mut self, i: usize, kind: &str) {
        let Plain { buy, left: qty, stop, from, .. } = self.orders[i];
        if self.orders[i].auction.is_some() || stop.is_some() && from.is_some() {
            return;
        }
        if let Some(stop) = stop {
            let trades = !self.halted && self.part == Part::Regular;
            match self.reached(buy, stop).filter(|_| trades) {
                Some(place) => self.trigger(i, place),
                None => return,
            }
        }
        let Plain { since, limit, extended, .. } = self.orders[i];
        let stands = !self.halted && self.stands(extended);
        let met = self.quote.filter(|quote| stands && quote.4 >= since);
        self.orders[i].unmet = self.quote.is_none() || !stands;
        if let Some((bid, bid_left, ask, ask_left, _)) = met {
            let (touch, size) = if buy { (ask, ask_left) } else { (bid, bid_left) };
            let reached =
                limit.is_none_or(|limit| if buy { touch <= limit } else { touch >= limit });
            if reached && (kind != "fok" || size >= qty) {
                self.fill(i, touch);
                self.supposed = [0, 0];
            }
        }
    }

    /// Changes an open order; one that has a limit may get another one.
    pub(super) fn replace(&mut self, i: usize, open: Option<i64>, limit: Option<i64>) {
        let order = &mut self.orders[i];
        let (open, limit) = (open.map_or(order.left, |open| open * NANO), limit.or(order.limit));
        if (open, limit) == (order.left, order.limit) {
            return;
        }
        if open > order.left || limit != order.limit {
            self.turns += 1;
            order.turn = self.turns;
        }
        (order.left, order.limit) = (open, limit);
        self.set_aside(i);
        if !self.resize_kin(i) {
            self.meet(i, "day");
        }
    }

    /// What stood is over, and the next tick is a first one.
    pub(super) fn interrupt(&mut self) {
        self.line();
        (self.quote, self.last) = (None, None);
        (self.fresh, self.fresh_extended) = (true, true);
    }

    /// Two new shares for an old one.
    pub(super) fn split(&mut self) {
        self.interrupt();
        self.shown = self.shown.map(|(bid, ask)| (bid / 2, ask / 2));
        self.shown_last = self.shown_last.map(|last| last / 2);
        self.closing = self.closing.map(|price| price / 2);
        let mut broken = Vec::new();
        for order in &mut self.orders {
            let whole = order.left % NANO == 0 || !order.buy && self.held % NANO == 0;
            order.left *= 2;
            order.aside *= 2;
            if whole {
                order.left -= order.left % NANO;
            }
            // Nothing that is left ends an order, and with it those that it belongs with.
            let ends = order.dollars.is_some() || order.left == 0;
            if ends && order.open {
                order.open = false;
                broken.extend(order.kin.map(|kin| kin.family));
            }
            let (down, up) = (|price: i64| price / 2, |price: i64| (price + 1) / 2);
            order.limit = order.limit.map(|limit| if order.buy { down(limit) } else { up(limit) });
            order.stop_loss = order.stop_loss.map(if order.buy { up } else { down });
            if let (Some((trail, mark)), Some(stop)) = (&mut order.trail, &mut order.stop) {
                *mark /= 2;
                trail.split();
                order.offset.iter_mut().for_each(PlainTrail::split);
                let divided = if order.buy { up } else { down };
                order.from = order.from.map(divided);
                order.activation = order.activation.map(divided);
                stop.price = trail.stop(order.buy, *mark);
            } else if let Some(stop) = &mut order.stop {
                stop.price = if order.buy { up(stop.price) } else { down(stop.price) };
            }
        }
        self.held *= 2;
        let ends = |order: &&mut Plain| order.kin.is_some_and(|kin| broken.contains(&kin.family));
        self.orders.iter_mut().filter(ends).for_each(|order| order.open = false);
    }
}
