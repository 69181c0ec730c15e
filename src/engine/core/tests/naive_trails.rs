//! The naive scan's orders that follow the market.

use super::scan::{MILLIONTHS, Plain, PlainStop, Scan, cents};

/// The distance of an order that follows the market, in hundredths of a cent or of a percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlainTrail {
    pub(super) percent: bool,
    pub(super) distance: i64,
}

impl PlainTrail {
    /// In the words of [`Desk::place`].
    pub(super) fn words(self) -> String {
        let kind = if self.percent { "percent" } else { "trail" };
        let shown = if self.percent { self.distance } else { self.distance / 100 };
        format!(" {kind} {}", cents(shown))
    }

    /// A distance in cents, or in hundredths of a percent.
    pub(super) fn new(percent: bool, distance: i64) -> Self {
        Self { percent, distance: if percent { distance } else { 100 * distance } }
    }

    /// Two new shares for an old one: to the cent from a dollar on, up.
    pub(super) fn split(&mut self) {
        if self.percent {
            return;
        }
        let tick = if self.distance < 20_000 { 1 } else { 100 };
        self.distance = (self.distance + 2 * tick - 1) / (2 * tick) * tick;
    }

    /// The stop in cents at this distance from a mark in millionths.
    pub(super) fn stop(self, buy: bool, mark: i64) -> i64 {
        let (sign, mark) = (if buy { 1 } else { -1 }, i128::from(mark));
        let millionths = if self.percent {
            mark * i128::from(10_000 + sign * self.distance)
        } else {
            (mark + i128::from(sign * self.distance * 100)) * 10_000
        };
        let cent = i128::from(MILLIONTHS) * 10_000;
        i64::try_from((millionths + cent / 2).div_euclid(cent)).unwrap()
    }
}

impl Scan {
    /// Moves the marks of one side that look at such prices and that `price` is better than.
    pub(super) fn follow(&mut self, buy: bool, price: i64, looks: impl Fn(PlainStop) -> bool) {
        for order in self.orders.iter_mut().filter(|order| order.buy == buy && order.open) {
            if let (Some((trail, mark)), Some(stop)) = (&mut order.trail, &mut order.stop)
                && looks(*stop)
            {
                let here = price * MILLIONTHS;
                if let Some(from) = order.from {
                    if if buy { price > from } else { price < from } {
                        continue;
                    }
                    (*mark, order.from) = (here, None);
                }
                *mark = if buy { here.min(*mark) } else { here.max(*mark) };
                stop.price = trail.stop(buy, *mark);
            }
        }
    }

    /// Changes how far an order stays behind the market, and lets it meet what stands.
    pub(super) fn retrail(&mut self, i: usize, distance: i64) {
        self.turns += 1;
        let order = &mut self.orders[i];
        if let (Some((trail, mark)), Some(stop)) = (&mut order.trail, &mut order.stop) {
            let changed = PlainTrail::new(trail.percent, distance);
            if changed.distance == trail.distance {
                return;
            }
            *trail = changed;
            stop.price = changed.stop(order.buy, *mark);
        }
        order.turn = self.turns;
        self.set_aside(i);
        self.meet(i, "day");
    }

    /// Changes from where on an order follows the market, or its offset, and lets it meet what stands. Whether that may be.
    pub(super) fn refollow(&mut self, i: usize, from: Option<i64>, offset: Option<i64>) -> bool {
        let order = &mut self.orders[i];
        let offset = offset.map(|offset| PlainTrail::new(false, offset));
        if offset.is_some() && order.offset.is_none() {
            return false;
        }
        let (from, offset) = (from.or(order.activation), offset.or(order.offset));
        if (from, offset) == (order.activation, order.offset) {
            return true;
        }
        if let (Some(price), Some((_, mark))) = (from, order.trail)
            && from != order.activation
        {
            let here =
                if order.buy { mark <= price * MILLIONTHS } else { mark >= price * MILLIONTHS };
            order.from = from.filter(|_| order.from.is_some() || !here);
        }
        self.turns += 1;
        (order.activation, order.offset, order.turn) = (from, offset, self.turns);
        self.set_aside(i);
        self.meet(i, "day");
        true
    }

    /// An order that follows the market from the price that it is accepted by, if there is one, or from another one on.
    pub(super) fn arrive_trailing(
        &mut self,
        n: u128,
        (buy, qty): (bool, i64),
        trail: PlainTrail,
        by_quote: bool,
        (offset, from): (Option<i64>, Option<i64>),
    ) {
        let touch = self.shown.map(|(bid, ask)| if buy { ask } else { bid });
        let seen = if by_quote || !self.traded { touch } else { self.shown_last };
        let mark = seen.or(self.shown_last).unwrap();
        self.turns += 1;
        let stop = Some(PlainStop { price: trail.stop(buy, mark), by_quote });
        self.orders.push(Plain {
            stop,
            trail: Some((trail, mark)),
            activation: from,
            from: from.filter(|from| {
                if buy { mark > from * MILLIONTHS } else { mark < from * MILLIONTHS }
            }),
            offset: offset.map(|offset| PlainTrail::new(false, offset)),
            ..Plain::new(n, (buy, qty), self.turns)
        });
        self.set_aside(self.orders.len() - 1);
    }
}

impl Plain {
    /// Whether it is the order `n`, and waits behind the market.
    pub(super) fn trails(&self, n: u128) -> bool {
        self.n == n && self.open && self.trail.is_some() && self.stop.is_some()
    }
}
