//! The engine against a naive scan over all orders that shares no code with it: the same orders, ticks, changes, cancels,
//! halts, splits and restarts give the same sequences of triggers (order, place, stop) and of fills (order, place, price,
//! quantity).
//!
//! The scan knows the rules of quotes and stops from the rule book alone, counts in whole cents and shares, and has no
//! book, no rounds, no clock: everything happens inside one session, in one rich account.

use std::fmt::Write;

use aggregates::order::OrderStatus;
use proptest::prelude::*;

use super::desk::{Desk, Fill};

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

/// The distance of an order that follows the market, in hundredths of a cent or of a percent.
#[derive(Clone, Copy, Debug)]
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
    fn split(&mut self) {
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

/// Millionths of a dollar in a cent.
pub(super) const MILLIONTHS: i64 = 10_000;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Quote { bid: i64, spread: i64, bid_size: i64, ask_size: i64 },
    Trade { price: i64 },
    Again,
    Place { buy: bool, qty: i64, limit: Option<i64>, stop: Option<PlainStop>, kind: &'static str },
    Replace { which: usize, open: Option<i64>, limit: Option<i64> },
    Trail { buy: bool, qty: i64, trail: PlainTrail, by_quote: bool },
    Cancel { which: usize },
    Halt,
    Resume,
    Split,
    Rebuild,
    Reload,
}

/// An order as the scan keeps it.
struct Plain {
    n: u128,
    buy: bool,
    left: i64,
    limit: Option<i64>,
    /// Until it is triggered; of one that follows the market its price is that of the mark.
    stop: Option<PlainStop>,
    /// The place of the tick that triggered it: what came before does not fill it.
    since: u64,
    /// What it follows at, and its mark in millionths.
    trail: Option<(PlainTrail, i64)>,
    open: bool,
    /// Its turn among orders at one price.
    turn: u64,
}

#[derive(Default)]
struct Scan {
    orders: Vec<Plain>,
    fills: Vec<Fill>,
    triggers: Vec<Triggered>,
    /// bid, bid size left, ask, ask size left, place
    quote: Option<(i64, i64, i64, i64, u64)>,
    /// The place of the last quote that orders have met.
    met: u64,
    /// price, place
    last: Option<(i64, u64)>,
    /// What is shown: bid and ask, and the last price in millionths.
    shown: Option<(i64, i64)>,
    shown_last: Option<i64>,
    /// There was a trade.
    traded: bool,
    halted: bool,
    fresh: bool,
    place: u64,
    turns: u64,
}

pub(super) fn cents(amount: i64) -> String {
    let mut text = String::new();
    write!(text, "{}.{:02}", amount / 100, amount % 100).unwrap();
    text
}

impl Scan {
    fn fill(&mut self, i: usize, price: i64) {
        let Some(quote) = &mut self.quote else { return };
        let order = &mut self.orders[i];
        let size = if order.buy { &mut quote.3 } else { &mut quote.1 };
        let qty = order.left.min(*size);
        if qty > 0 {
            *size -= qty;
            order.left -= qty;
            order.open = order.left > 0;
            self.fills.push((order.n, quote.4, cents(price), qty.to_string()));
        }
    }

    fn trigger(&mut self, i: usize, place: u64) {
        self.turns += 1;
        let order = &mut self.orders[i];
        (order.turn, order.since) = (self.turns, place);
        if let Some(stop) = order.stop.take() {
            self.triggers.push((order.n, place, cents(stop.price)));
        }
    }

    /// Triggers every stop of one side that looks at such prices and that `price` has reached.
    fn watch(&mut self, buy: bool, price: i64, looks: impl Fn(PlainStop) -> bool) {
        let reached = |stop: PlainStop| if buy { price >= stop.price } else { price <= stop.price };
        let mut turn: Vec<(i64, u64, usize)> = Vec::new();
        for (i, order) in self.orders.iter().enumerate() {
            if let Some(stop) = order.stop.filter(|stop| looks(*stop) && reached(*stop))
                && order.open
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

    fn quote(&mut self, bid: i64, bid_size: i64, ask: i64, ask_size: i64) {
        self.place += 1;
        if bid > ask {
            return;
        }
        self.shown = Some((bid, ask));
        if self.halted {
            self.quote = None;
            return;
        }
        let met = std::mem::replace(&mut self.met, self.place);
        self.quote = Some((bid, bid_size, ask, ask_size, self.place));
        let traded = self.traded;
        for (buy, price) in [(true, ask), (false, bid)] {
            self.watch(buy, price, |stop| stop.by_quote || !traded);
        }
        for buy in [true, false] {
            let mut turn: Vec<usize> = (0..self.orders.len())
                .filter(|i| {
                    let order = &self.orders[*i];
                    let reached = order
                        .limit
                        .is_none_or(|limit| if buy { ask <= limit } else { bid >= limit });
                    order.open && order.stop.is_none() && order.buy == buy && reached
                })
                .collect();
            turn.sort_by_key(|i| {
                let order = &self.orders[*i];
                let price = order.limit.map(|limit| if buy { -limit } else { limit });
                (price.is_some(), price, order.turn)
            });
            for i in turn {
                let touch = if buy { ask } else { bid };
                let resting = !self.fresh && met >= self.orders[i].since;
                let price = self.orders[i].limit.filter(|_| resting).unwrap_or(touch);
                self.fill(i, price);
            }
        }
        self.fresh = false;
        for (buy, price) in [(true, ask), (false, bid)] {
            self.follow(buy, price, |stop| stop.by_quote || !traded);
        }
    }

    /// Moves the marks of one side that look at such prices and that `price` is better than.
    fn follow(&mut self, buy: bool, price: i64, looks: impl Fn(PlainStop) -> bool) {
        for order in self.orders.iter_mut().filter(|order| order.buy == buy && order.open) {
            if let (Some((trail, mark)), Some(stop)) = (&mut order.trail, &mut order.stop)
                && looks(*stop)
            {
                let price = price * MILLIONTHS;
                *mark = if buy { price.min(*mark) } else { price.max(*mark) };
                stop.price = trail.stop(buy, *mark);
            }
        }
    }

    fn trade(&mut self, price: i64) {
        self.place += 1;
        self.traded = true;
        self.shown_last = Some(price * MILLIONTHS);
        self.last = None;
        if !self.halted {
            self.last = Some((price, self.place));
            self.fresh = false;
            for buy in [true, false] {
                self.watch(buy, price, |stop| !stop.by_quote);
                self.follow(buy, price, |stop| !stop.by_quote);
            }
        }
    }

    /// The place of the standing price that has reached the stop of an order that arrives.
    fn reached(&self, buy: bool, stop: PlainStop) -> Option<u64> {
        let (price, place) = if stop.by_quote || !self.traded {
            let (bid, _, ask, _, place) = self.quote?;
            (if buy { ask } else { bid }, place)
        } else {
            self.last?
        };
        (if buy { price >= stop.price } else { price <= stop.price }).then_some(place)
    }

    fn arrive(
        &mut self,
        n: u128,
        buy: bool,
        qty: i64,
        limit: Option<i64>,
        stop: Option<PlainStop>,
        kind: &str,
    ) {
        self.turns += 1;
        let turn = self.turns;
        self.orders.push(Plain {
            n,
            buy,
            left: qty,
            limit,
            stop,
            since: 0,
            trail: None,
            open: true,
            turn,
        });
        let i = self.orders.len() - 1;
        self.meet(i, kind);
        if kind == "ioc" || kind == "fok" {
            self.orders[i].open = false;
        }
    }

    /// Lets an order meet what stands, once.
    fn meet(&mut self, i: usize, kind: &str) {
        let Plain { buy, left: qty, limit, stop, trail, .. } = self.orders[i];
        if trail.is_some() && stop.is_some() {
            return;
        }
        if let Some(stop) = stop {
            match self.reached(buy, stop).filter(|_| !self.halted) {
                Some(place) => self.trigger(i, place),
                None => return,
            }
        }
        let since = self.orders[i].since;
        let met = self.quote.filter(|quote| !self.halted && quote.4 >= since);
        if let Some((bid, bid_left, ask, ask_left, _)) = met {
            let (touch, size) = if buy { (ask, ask_left) } else { (bid, bid_left) };
            let reached =
                limit.is_none_or(|limit| if buy { touch <= limit } else { touch >= limit });
            if reached && (kind != "fok" || size >= qty) {
                self.fill(i, touch);
            }
        }
    }

    /// Changes an open order; one that has a limit may get another one.
    fn replace(&mut self, i: usize, open: Option<i64>, limit: Option<i64>) {
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
        self.meet(i, "day");
    }

    /// An order that follows the market from the price that it is accepted by, if there is one.
    fn arrive_trailing(&mut self, n: u128, buy: bool, qty: i64, trail: PlainTrail, by_quote: bool) {
        let touch = self.shown.map(|(bid, ask)| MILLIONTHS * if buy { ask } else { bid });
        let seen = if by_quote || !self.traded { touch } else { self.shown_last };
        let mark = seen.or(self.shown_last).unwrap();
        self.turns += 1;
        let stop = Some(PlainStop { price: trail.stop(buy, mark), by_quote });
        self.orders.push(Plain {
            n,
            buy,
            left: qty,
            limit: None,
            stop,
            since: 0,
            trail: Some((trail, mark)),
            open: true,
            turn: self.turns,
        });
    }

    /// What stood is over, and the next tick is a first one.
    fn interrupt(&mut self) {
        self.place += 1;
        (self.quote, self.last, self.fresh) = (None, None, true);
    }

    /// Two new shares for an old one.
    fn split(&mut self) {
        self.interrupt();
        self.shown = None;
        self.shown_last = self.shown_last.map(|last| last / 2);
        for order in &mut self.orders {
            order.left *= 2;
            let (down, up) = (|price: i64| price / 2, |price: i64| (price + 1) / 2);
            order.limit = order.limit.map(|limit| if order.buy { down(limit) } else { up(limit) });
            if let (Some((trail, mark)), Some(stop)) = (&mut order.trail, &mut order.stop) {
                *mark /= 2;
                trail.split();
                stop.price = trail.stop(order.buy, *mark);
            } else if let Some(stop) = &mut order.stop {
                stop.price = if order.buy { up(stop.price) } else { down(stop.price) };
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let at_once = (
        prop::option::weighted(0.8, 9_500i64..10_500),
        prop::sample::select(vec!["gtc", "day", "ioc", "fok"]),
    )
        .prop_map(|(limit, kind)| (limit, None, kind));
    let stop = (9_500i64..10_500, any::<bool>())
        .prop_map(|(price, by_quote)| PlainStop { price, by_quote });
    let waiting = (
        prop::option::weighted(0.4, 9_500i64..10_500),
        stop,
        prop::sample::select(vec!["gtc", "day"]),
    )
        .prop_map(|(limit, stop, kind)| (limit, Some(stop), kind));
    prop_oneof![
        5 => (9_500i64..10_500, -3i64..30, 1i64..40, 1i64..40).prop_map(
            |(bid, spread, bid_size, ask_size)| Step::Quote { bid, spread, bid_size, ask_size }
        ),
        1 => (9_500i64..10_500).prop_map(|price| Step::Trade { price }),
        1 => Just(Step::Again),
        9 => (any::<bool>(), 1i64..30, prop_oneof![at_once, waiting])
            .prop_map(|(buy, qty, (limit, stop, kind))| Step::Place { buy, qty, limit, stop, kind }),
        4 => (0usize..64, prop::option::of(1i64..30), prop::option::of(9_500i64..10_500))
            .prop_map(|(which, open, limit)| Step::Replace { which, open, limit }),
        6 => (any::<bool>(), 1i64..30, any::<bool>(), 1i64..400, any::<bool>()).prop_map(
            |(buy, qty, percent, distance, by_quote)| {
                Step::Trail { buy, qty, trail: PlainTrail::new(percent, distance), by_quote }
            }
        ),
        2 => (0usize..64).prop_map(|which| Step::Cancel { which }),
        1 => Just(Step::Halt),
        1 => Just(Step::Resume),
        1 => Just(Step::Split),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reload),
    ]
}

/// The triggers and fills of one side of the comparison.
type Happened = (Vec<Triggered>, Vec<Fill>);

/// The most splits of one case: shares are bounded.
const SPLITS: u32 = 2;

/// Runs the steps on both and gives what each did.
fn both(steps: &[Step]) -> (Happened, Happened) {
    let mut desk = Desk::nyse();
    let mut second = 0u32;
    let mut time = || {
        second += 1;
        format!("2026-11-23T15:{:02}:{:02}Z", second / 60, second % 60)
    };
    // Enough shares and cash that the ledger refuses nothing.
    desk.quote("100.00", 1, "100.00", 1_000_000, &time());
    let account = desk.account("1000000000");
    desk.place(account, "buy 100000 ioc");
    let mut scan = Scan { place: 1, fresh: false, ..Scan::default() };
    desk.quote("1.00", 1, "900.00", 1, &time());
    scan.quote(100, 1, 90_000, 1);
    let before = desk.fills().len();
    let mut splits = 0;
    let mut last: Option<(String, u32, String, u32, String)> = None;
    for step in steps {
        // Prices follow the splits.
        let now = |price: i64| price >> splits;
        match step {
            Step::Quote { bid, spread, bid_size, ask_size } => {
                let (bid, ask) = (now(*bid), now(bid + spread));
                let (bid_shown, ask_shown) =
                    (u32::try_from(*bid_size).unwrap(), u32::try_from(*ask_size).unwrap());
                let line = (cents(bid), bid_shown, cents(ask), ask_shown, time());
                desk.quote(&line.0, line.1, &line.2, line.3, &line.4);
                last = Some(line);
                scan.quote(bid, *bid_size, ask, *ask_size);
            }
            Step::Trade { price } => {
                let (price, at) = (now(*price), time());
                desk.line(&format!(
                    r#"{{"t":"trade","symbol":"AAPL","price":"{}","size":"7","at":"{at}"}}"#,
                    cents(price)
                ));
                scan.trade(price);
            }
            Step::Again => {
                if let Some(line) = &last {
                    let worked = desk.quote(&line.0, line.1, &line.2, line.3, &line.4);
                    assert_eq!(worked.place, None);
                }
            }
            Step::Place { buy, qty, limit, stop, kind } => {
                let side = if *buy { "buy" } else { "sell" };
                let limit = limit.map(now);
                let stop = stop.map(|stop| PlainStop { price: now(stop.price), ..stop });
                let limit_text = limit.map(|limit| format!(" @ {}", cents(limit)));
                let stop_text = stop.map(PlainStop::words).unwrap_or_default();
                let order =
                    format!("{side} {qty}{stop_text}{} {kind}", limit_text.unwrap_or_default());
                let n = desk.place(account, &order);
                // A buy at the market needs a price: there is none after a split of what never traded.
                if desk.status(n) == OrderStatus::Rejected {
                    assert!(scan.quote.is_none() && limit.is_none() && stop.is_none() && *buy);
                    continue;
                }
                scan.arrive(n, *buy, *qty, limit, stop, kind);
            }
            Step::Replace { which, open, limit } => {
                let n = *which as u128 + 2;
                let limit = limit.map(now);
                if let Some(i) = scan.orders.iter().position(|order| order.n == n) {
                    let order = &scan.orders[i];
                    let limit = limit.filter(|_| order.limit.is_some());
                    let may = order.open && (open.is_some() || limit.is_some());
                    let text = limit.map(cents);
                    assert_eq!(desk.replace(account, n, *open, text.as_deref()), may, "order {n}");
                    if may {
                        scan.replace(i, *open, limit);
                    }
                }
            }
            Step::Trail { buy, qty, trail, by_quote } => {
                let (side, by) =
                    (if *buy { "buy" } else { "sell" }, if *by_quote { " quote" } else { "" });
                let n = desk.place(account, &format!("{side} {qty}{}{by} gtc", trail.words()));
                if desk.status(n) == OrderStatus::Rejected {
                    assert!(scan.shown.is_none() && scan.shown_last.is_none());
                    continue;
                }
                scan.arrive_trailing(n, *buy, *qty, *trail, *by_quote);
            }
            Step::Cancel { which } => {
                let n = *which as u128 + 2;
                if let Some(order) = scan.orders.iter_mut().find(|order| order.n == n) {
                    assert_eq!(desk.cancel(account, n), order.open, "order {n}");
                    order.open = false;
                }
            }
            Step::Halt | Step::Resume => {
                let halt = matches!(step, Step::Halt);
                let state = if halt { "halted" } else { "trading" };
                let at = time();
                let worked = desk.line(&format!(
                    r#"{{"t":"status","symbol":"AAPL","state":"{state}","at":"{at}"}}"#
                ));
                assert_eq!(worked.place.is_some(), scan.halted != halt);
                if worked.place.is_some() {
                    scan.halted = halt;
                    scan.interrupt();
                }
            }
            Step::Split if splits < SPLITS => {
                let at = time();
                let worked = desk.line(&format!(
                    r#"{{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"{at}","at":"{at}"}}"#
                ));
                // Shares that are held and have no price are not split.
                if worked.place.is_some() {
                    splits += 1;
                    scan.split();
                }
            }
            Step::Split => {}
            Step::Rebuild => desk.rebuild(),
            Step::Reload => desk.reload(),
        }
    }
    ((desk.triggers(), desk.fills().split_off(before)), (scan.triggers, scan.fills))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_triggers_and_fills_as_a_naive_scan_does(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (engine, scan) = both(&steps);
        prop_assert_eq!(engine, scan);
    }
}

#[test]
fn the_comparison_sees_triggers_and_fills() {
    let stop = Some(PlainStop { price: 10_000, by_quote: true });
    let steps = [
        Step::Quote { bid: 9_900, spread: 10, bid_size: 10, ask_size: 10 },
        Step::Place { buy: true, qty: 15, limit: None, stop: None, kind: "gtc" },
        Step::Quote { bid: 9_900, spread: 20, bid_size: 10, ask_size: 10 },
        Step::Place { buy: true, qty: 5, limit: None, stop, kind: "gtc" },
        Step::Quote { bid: 9_990, spread: 30, bid_size: 10, ask_size: 10 },
    ];
    let (engine, scan) = both(&steps);
    assert_eq!(engine, scan);
    assert_eq!(engine.0, [(3, 5, "100.00".to_owned())]);
    let prices: Vec<&str> = engine.1.iter().map(|fill| fill.2.as_str()).collect();
    assert_eq!(prices, ["99.10", "99.20", "100.20"]);
}
