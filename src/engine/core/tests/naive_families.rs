//! The naive scan's orders that belong together: an entry with its exits, or two exits.

use aggregates::id::AccountId;
use aggregates::order::OrderStatus;

use super::desk::{Desk, loss as loss_of, profit as profit_of};
use super::scan::{NANO, Plain, PlainStop, Scan, cents};

/// What an order is among those that it belongs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kin {
    /// The order that was asked for.
    pub(super) family: u128,
    pub(super) entry: bool,
    /// It waits for its entry.
    pub(super) held: bool,
    /// The place of the line by which it came to work: it meets the next one.
    since: u64,
}

impl Scan {
    /// Whether an order meets the line at hand.
    pub(super) fn acts(&self, order: &Plain) -> bool {
        order.open && order.kin.is_none_or(|kin| !kin.held && kin.since < self.place)
    }

    pub(super) fn of_family(&self, family: u128) -> Vec<usize> {
        let of = |order: &Plain| order.kin.is_some_and(|kin| kin.family == family);
        (0..self.orders.len()).filter(|i| of(&self.orders[*i])).collect()
    }

    /// What a fill of `qty` shares does to the others.
    pub(super) fn tell_kin(&mut self, i: usize, qty: i64) {
        let Some(kin) = self.orders[i].kin else { return };
        let done = self.orders[i].left == 0;
        for other in self.of_family(kin.family).into_iter().filter(|other| *other != i) {
            let place = self.place;
            let order = &mut self.orders[other];
            let Some(of) = &mut order.kin else { continue };
            if !order.open {
                continue;
            }
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

    /// An order is canceled.
    pub(super) fn end(&mut self, i: usize) {
        let was_open = std::mem::replace(&mut self.orders[i].open, false);
        let Some(kin) = self.orders[i].kin.filter(|_| was_open) else { return };
        for other in self.of_family(kin.family) {
            let order = &mut self.orders[other];
            order.open &= kin.entry && !order.kin.unwrap().held;
        }
    }

    /// An order was changed: held exits are of their entry's quantity. Whether it is held itself, and meets nothing.
    pub(super) fn resize_kin(&mut self, i: usize) -> bool {
        let Some(kin) = self.orders[i].kin else { return false };
        let left = self.orders[i].left;
        for other in self.of_family(kin.family).into_iter().filter(|_| kin.entry) {
            if self.orders[other].kin.unwrap().held {
                self.orders[other].left = left;
            }
        }
        kin.held
    }

    /// Whether an exit may be changed so.
    pub(super) fn permits(&self, i: usize, open: Option<i64>, limit: Option<i64>) -> bool {
        let order = &self.orders[i];
        let same = open.is_none_or(|open| open * NANO == order.left)
            && limit.is_none_or(|limit| Some(limit) == order.limit);
        let Some(kin) = order.kin.filter(|kin| !kin.entry) else {
            return same || !self.is_opposed(i);
        };
        let mut others = self.of_family(kin.family).into_iter().filter(|other| *other != i);
        let below = others.all(|other| {
            let sibling = &self.orders[other];
            let stop = sibling.stop_loss.filter(|_| sibling.open);
            let apart = |(stop, limit)| if order.buy { stop > limit } else { stop < limit };
            stop.zip(limit).is_none_or(apart)
        });
        below && open.is_none_or(|open| open * NANO == order.left)
    }

    /// Places a family on both sides of the comparison: one that is for shares that are held `closes`. The prices are
    /// for exits that sell, and those that buy have them the other way round.
    pub(super) fn family(
        &mut self,
        desk: &mut Desk,
        account: AccountId,
        (sell, closes, qty): (bool, bool, i64),
        limit: Option<i64>,
        (above, below): (Option<i64>, Option<i64>),
    ) {
        let words = |word: &str, price: Option<i64>| {
            price.map(|price| format!(" {word} {}", cents(price))).unwrap_or_default()
        };
        let exits_buy = sell != closes;
        let (profit, loss) = if exits_buy { (below, above) } else { (above, below) };
        let (far_profit, far_loss) = if exits_buy { (500, 90_000) } else { (10_500, 1) };
        let (limit, profit) =
            if closes { (Some(profit.unwrap_or(far_profit)), None) } else { (limit, profit) };
        let loss = if closes { Some(loss.unwrap_or(far_loss)) } else { loss };
        if profit.is_none() && loss.is_none() {
            return;
        }
        let side = match (sell, closes) {
            (true, true) => "sell",
            (true, false) => "sell opens",
            (false, true) => "buy closes",
            (false, false) => "buy",
        };
        let (side, part) = side.split_once(' ').unwrap_or((side, ""));
        let (at, profits, losses) =
            (words("@", limit), words("profit", profit), words("loss", loss));
        let n = desk.place(account, &format!("{side} {qty} {part}{at}{profits}{losses} gtc"));
        let refused = desk.status(n) == OrderStatus::Rejected;
        if self.margin {
            let fits =
                if closes { qty * NANO <= self.free(!sell) } else { self.against(!sell) == 0 };
            assert_eq!(refused, !fits, "order {n}");
        }
        if refused {
            return;
        }
        let plain = |n, limit, stop: Option<i64>, turn, kin: Kin| Plain {
            limit,
            stop: stop.map(|price| PlainStop { price, by_quote: false }),
            stop_loss: stop,
            kin: Some(kin),
            ..Plain::new(n, (if kin.entry { !sell } else { exits_buy }, qty), turn)
        };
        let kin = |entry, held| Kin { family: n, entry, held, since: 0 };
        let first = self.orders.len();
        let mut turn = || {
            self.turns += 1;
            self.turns
        };
        let turns = [turn(), turn(), turn()];
        self.orders.push(plain(n, limit, None, turns[0], kin(!closes, false)));
        if let Some(profit) = profit {
            self.orders.push(plain(profit_of(n), Some(profit), None, turns[1], kin(false, true)));
        }
        if let Some(loss) = loss {
            self.orders.push(plain(loss_of(n), None, Some(loss), turns[2], kin(false, !closes)));
        }
        self.meet(first, "gtc");
        if closes && self.orders[first + 1].open {
            self.meet(first + 1, "gtc");
        }
    }
}
