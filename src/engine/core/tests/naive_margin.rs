//! The naive scan's margin account: what it holds, what orders have set aside of that to close it, and what a fill takes
//! of what others have set aside. Exits of orders that belong together lose what is taken of theirs, and an entry closes
//! nothing. Orders for dollars buy and sell parts of shares, of which none is ever short.

use super::scan::{MILLIONTHS, NANO, Scan};

impl Scan {
    /// Whether an order is an exit.
    pub(super) fn is_exit(&self, i: usize) -> bool {
        self.orders[i].kin.is_some_and(|kin| !kin.entry)
    }

    /// Shares held that an order of this side closes.
    pub(super) fn against(&self, buy: bool) -> i64 {
        let held = if buy { -self.held } else { self.held };
        if self.margin { held.max(0) } else { 0 }
    }

    /// Whether an order is an entry that would close something.
    pub(super) fn is_opposed(&self, i: usize) -> bool {
        let order = &self.orders[i];
        order.kin.is_some_and(|kin| kin.entry) && self.against(order.buy) > 0
    }

    /// The orders that have shares set aside, each with how many: of exits that are open together the first. In the order
    /// in which they have to give them up: the newest first, and exits last.
    fn lenders(&self) -> Vec<(usize, i64)> {
        let mut lenders: Vec<(bool, u128, usize, i64)> = Vec::new();
        for (i, order) in self.orders.iter().enumerate().filter(|(_, order)| order.open) {
            match order.kin {
                None => lenders.push((true, order.n, i, order.aside)),
                Some(kin) if self.is_exit(i) && !kin.held => {
                    // Between a fill of one of them and its being told to the other they differ.
                    let known = lenders.iter_mut().find(|it| !it.0 && it.1 == kin.family);
                    match known {
                        Some((.., left)) => *left = order.left.min(*left),
                        None => lenders.push((false, kin.family, i, order.left)),
                    }
                }
                Some(_) => {}
            }
        }
        lenders.sort_by_key(|(plain, n, ..)| std::cmp::Reverse((*plain, *n)));
        lenders.into_iter().map(|(.., i, shares)| (i, shares)).collect()
    }

    /// Shares held that an order of this side closes and nobody has set aside.
    pub(super) fn free(&self, buy: bool) -> i64 {
        let against = self.against(buy);
        let aside: i64 = self.lenders().iter().map(|(_, shares)| shares).sum();
        if against == 0 { 0 } else { against - aside }
    }

    /// Whether an order for dollars is taken: a buy closes no short position, and a sell needs shares that are free.
    pub(super) fn takes_dollars(&self, buy: bool) -> bool {
        let priced = self.shown.is_some() || self.shown_last.is_some();
        priced && (!self.margin || if buy { self.held >= 0 } else { self.free(false) > 0 })
    }

    /// Whether an order by itself for so many whole shares would leave a part of one short.
    pub(super) fn opens_part(&self, buy: bool, qty: i64) -> bool {
        let opens = qty * NANO - self.free(buy).min(qty * NANO);
        self.margin && !buy && opens % NANO != 0
    }

    /// Whether there are parts of shares anywhere: what an order may be changed to then depends on what it has reserved.
    pub(super) fn has_parts(&self) -> bool {
        let parts = |shares: i64| shares % NANO != 0;
        let open = self.orders.iter().filter(|order| order.open);
        self.margin
            && (parts(self.held) || open.into_iter().any(|it| parts(it.left) || parts(it.aside)))
    }

    /// Whether a fill of so many shares would leave a part of one short, or is for dollars and would close one that is.
    pub(super) fn part_short(&self, i: usize, qty: i64) -> bool {
        let order = &self.orders[i];
        if !self.margin || self.is_exit(i) || order.dollars.is_some() && !order.buy {
            return false;
        }
        let after = if order.buy { self.held + qty } else { self.held - qty };
        after < 0 && after % NANO != 0 || order.dollars.is_some() && self.held < 0
    }

    /// The most shares that an order can deliver: one that sells for dollars those that it has set aside and free ones.
    pub(super) fn sellable(&self, i: usize) -> i64 {
        let order = &self.orders[i];
        match order.dollars.filter(|_| self.margin && !order.buy) {
            Some(_) => self.free(false) + order.aside,
            None => i64::MAX,
        }
    }

    /// An order for dollars came: one that sells sets aside what they come to at the bid, else at the last price.
    pub(super) fn set_dollars_aside(&mut self, i: usize) {
        let order = &self.orders[i];
        let Some(dollars) = order.dollars.filter(|_| self.margin && !order.buy) else { return };
        let bid = self.shown.map(|(bid, _)| bid);
        let price = bid.or(self.shown_last).expect("it was taken");
        self.orders[i].aside = (dollars * MILLIONTHS * NANO / price).min(self.free(false));
    }

    /// An order by itself came or was changed: it closes what is free.
    pub(super) fn set_aside(&mut self, i: usize) {
        if !self.margin || self.orders[i].kin.is_some() {
            return;
        }
        self.orders[i].aside = 0;
        let free = self.free(self.orders[i].buy);
        let order = &mut self.orders[i];
        order.aside = free.min(order.left);
    }

    /// An order has filled `qty` shares.
    pub(super) fn hold(&mut self, i: usize, qty: i64) {
        let order = &mut self.orders[i];
        let (buy, own) = (order.buy, order.aside.min(qty));
        order.aside -= own;
        let left = (self.against(buy) - qty).max(0);
        if self.against(buy) > 0 {
            let others = self.lenders();
            let mut beyond = others.iter().map(|(_, shares)| shares).sum::<i64>() - left;
            for (other, shares) in others.into_iter().filter(|(other, _)| *other != i) {
                let part = beyond.clamp(0, shares);
                beyond -= part;
                self.lose(other, part);
            }
        }
        self.held += if buy { qty } else { -qty };
    }

    fn lose(&mut self, i: usize, shares: i64) {
        let Some(kin) = self.orders[i].kin else {
            self.orders[i].aside -= shares;
            return;
        };
        let gone = self.orders[i].left == shares;
        for other in self.of_family(kin.family) {
            let exit = self.is_exit(other);
            let order = &mut self.orders[other];
            if gone {
                order.open = false;
            } else if exit {
                order.left -= shares;
            }
        }
    }
}
