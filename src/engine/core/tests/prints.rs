//! The engine against a naive scan for a symbol that has no quotes: trades alone, or bars alone. As in `naive.rs`, the
//! scan knows the rule book, counts in whole cents and shares, and shares no code with the engine.

use proptest::prelude::*;

use super::desk::{Desk, Fill};
use super::scan::{MILLIONTHS, PlainStop, PlainTrail, Triggered, cents};

/// What the symbol prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Market {
    Trades,
    Bars,
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A trade at the first price; or a bar that opens there, with the other two as its extremes.
    Print {
        prices: [i64; 3],
        size: i64,
    },
    Place {
        buy: bool,
        qty: i64,
        limit: Option<i64>,
        stop: Option<i64>,
        kind: &'static str,
    },
    Trail {
        buy: bool,
        qty: i64,
        trail: PlainTrail,
        offset: Option<i64>,
        from: Option<i64>,
    },
    Cancel {
        which: usize,
    },
    Halt,
    Resume,
    Rebuild,
    Reload,
}

struct Plain {
    n: u128,
    buy: bool,
    left: i64,
    limit: Option<i64>,
    /// Until it is triggered.
    stop: Option<i64>,
    /// What it follows at, and its mark in millionths.
    trail: Option<(PlainTrail, i64)>,
    /// From where on it follows; none once it does.
    from: Option<i64>,
    /// How far beyond its stop its limit is.
    offset: Option<PlainTrail>,
    /// The place of what triggered it.
    since: u64,
    open: bool,
    /// Its turn among orders at one price.
    turn: usize,
}

#[derive(Default)]
struct Scan {
    orders: Vec<Plain>,
    fills: Vec<Fill>,
    triggers: Vec<Triggered>,
    turns: usize,
    /// The latest price that may trigger an order that arrives.
    last: Option<(i64, u64)>,
    /// The latest price.
    shown: i64,
    halted: bool,
    /// The next trade is the first since a halt.
    first: bool,
    /// It prints trades, and the place of the last one that orders have met.
    trades: bool,
    met: u64,
}

impl Scan {
    /// One price meets one side: every order that it goes through, the most aggressive first, then the oldest.
    /// Limits get `price` if it is `better` than theirs by rule, else their own. Gives what is left of the size.
    fn meet(
        &mut self,
        place: u64,
        buy: bool,
        price: i64,
        size: i64,
        open: bool,
        better: bool,
    ) -> i64 {
        let through = |limit: i64| if buy { price < limit } else { price > limit };
        let mut turn: Vec<usize> = (0..self.orders.len())
            .filter(|i| {
                let order = &self.orders[*i];
                let works = order.open && order.stop.is_none();
                works && order.buy == buy && order.limit.map_or(open, through)
            })
            .collect();
        turn.sort_by_key(|i| {
            let order = &self.orders[*i];
            let rung = order.limit.map(|limit| if buy { -limit } else { limit });
            (rung.is_some(), rung, order.turn)
        });
        let mut left = size;
        for i in turn {
            let order = &mut self.orders[i];
            let qty = order.left.min(left);
            if qty > 0 {
                left -= qty;
                order.left -= qty;
                order.open = order.left > 0;
                let new = self.trades && self.met < order.since;
                let at = order.limit.filter(|_| !better && !new).unwrap_or(price);
                self.fills.push((order.n, place, cents(at), qty.to_string()));
            }
        }
        left
    }

    fn trigger(&mut self, i: usize, place: u64) {
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
            let watches = order.open && order.buy == buy && order.from.is_none();
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

    fn trade(&mut self, place: u64, price: i64, size: i64) {
        self.shown = price;
        self.last = Some((price, place)).filter(|_| !self.halted);
        if self.halted {
            return;
        }
        for buy in [true, false] {
            self.watch(place, buy, price);
        }
        self.trades = true;
        for buy in [true, false] {
            self.meet(place, buy, price, size, true, self.first);
        }
        (self.first, self.met) = (false, place);
        for buy in [true, false] {
            self.follow(buy, price);
        }
    }

    /// One extreme of a bar: the stops of one side that it goes through fill at their stops, then the limits of the
    /// other.
    fn extreme(&mut self, place: u64, high: bool, price: i64, left: &mut [i64; 2]) {
        let [stops, limits] = if high { [true, false] } else { [false, true] };
        for (stop, i) in self.watch(place, stops, price) {
            let order = &mut self.orders[i];
            let inside =
                order.limit.is_none_or(|limit| if stops { stop < limit } else { stop > limit });
            let qty = order.left.min(left[usize::from(stops)]);
            if inside && qty > 0 {
                left[usize::from(stops)] -= qty;
                order.left -= qty;
                order.open = order.left > 0;
                self.fills.push((order.n, place, cents(stop), qty.to_string()));
            }
        }
        let side = usize::from(limits);
        left[side] = self.meet(place, limits, price, left[side], false, false);
    }

    fn bar(&mut self, place: u64, [open, high, low, close]: [i64; 4], volume: i64) {
        self.shown = close;
        self.last = Some((close, place)).filter(|_| !self.halted);
        if self.halted {
            return;
        }
        for buy in [true, false] {
            self.watch(place, buy, open);
        }
        let buys = self.meet(place, true, open, volume, true, true);
        let sells = self.meet(place, false, open, volume, true, true);
        let mut left = [sells, buys];
        let up_first = high - open < open - low;
        for high_now in [up_first, !up_first] {
            let price = if high_now { high } else { low };
            self.extreme(place, high_now, price, &mut left);
        }
        self.follow(true, low);
        self.follow(false, high);
        // What has followed an extreme may be beyond the close.
        for buy in [true, false] {
            let side = usize::from(buy);
            for (_, i) in self.watch(place, buy, close) {
                let order = &mut self.orders[i];
                let inside =
                    order.limit.is_none_or(|limit| if buy { close < limit } else { close > limit });
                let qty = order.left.min(left[side]);
                if inside && qty > 0 {
                    left[side] -= qty;
                    order.left -= qty;
                    order.open = order.left > 0;
                    self.fills.push((order.n, place, cents(close), qty.to_string()));
                }
            }
        }
        self.meet(place, true, close, left[1], false, false);
        self.meet(place, false, close, left[0], false, false);
    }
}

fn step() -> impl Strategy<Value = Step> {
    // Few prices, so that many are touched and not gone through.
    let price = || (190i64..210).prop_map(|half| half * 50);
    let kind = prop::sample::select(vec!["gtc", "gtc", "day", "ioc", "fok"]);
    prop_oneof![
        6 => ([price(), price(), price()], 1i64..60)
            .prop_map(|(prices, size)| Step::Print { prices, size }),
        8 => (any::<bool>(), 1i64..30, prop::option::weighted(0.8, price()), kind)
            .prop_map(|(buy, qty, limit, kind)| Step::Place { buy, qty, limit, stop: None, kind }),
        8 => (any::<bool>(), 1i64..30, prop::option::weighted(0.5, price()), price()).prop_map(
            |(buy, qty, limit, stop)| Step::Place { buy, qty, limit, stop: Some(stop), kind: "gtc" }
        ),
        6 => (
            (any::<bool>(), 1i64..30, any::<bool>(), 1i64..400),
            prop::option::weighted(0.4, 0i64..100),
            prop::option::weighted(0.4, price()),
        )
            .prop_map(|((buy, qty, percent, distance), offset, from)| {
                Step::Trail { buy, qty, trail: PlainTrail::new(percent, distance), offset, from }
            }),
        2 => (0usize..64).prop_map(|which| Step::Cancel { which }),
        1 => Just(Step::Halt),
        1 => Just(Step::Resume),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reload),
    ]
}

/// This many seconds into the hour before the first print.
fn time(second: u32) -> String {
    format!("2026-11-23T{:02}:{:02}:{:02}Z", 15 + second / 3_600, second / 60 % 60, second % 60)
}

/// The line of a print, and its open, high, low and close.
fn print(market: Market, prices: [i64; 3], size: i64, at: &str) -> (String, [i64; 4]) {
    let [open, one, other] = prices;
    let (high, low) = (open.max(one).max(other), open.min(one).min(other));
    let line = match market {
        Market::Trades => format!(
            r#"{{"t":"trade","symbol":"AAPL","price":"{}","size":"{size}","at":"{at}"}}"#,
            cents(open)
        ),
        Market::Bars => format!(
            r#"{{"t":"bar","symbol":"AAPL","open":"{}","high":"{}","low":"{}","close":"{}","volume":"{size}","at":"{at}","span":"1m"}}"#,
            cents(open),
            cents(high),
            cents(low),
            cents(other)
        ),
    };
    (line, [open, high, low, other])
}

/// The triggers and fills of one side of the comparison.
type Happened = (Vec<Triggered>, Vec<Fill>);

/// Runs the steps on both and gives what each did.
fn both(market: Market, steps: &[Step]) -> (Happened, Happened) {
    let mut desk = Desk::nyse();
    let tell = |desk: &mut Desk, second, prices, size| {
        let (line, path) = print(market, prices, size, &time(second));
        (desk.line(&line).place.expect("a print is worked"), path)
    };
    // Enough shares and cash that the ledger refuses nothing.
    tell(&mut desk, 0, [10_000; 3], 1);
    let account = desk.account("1000000000");
    desk.place(account, "buy 100000 gtc");
    let (place, _) = tell(&mut desk, 60, [10_000; 3], 1_000_000);
    let before = desk.fills().len();
    assert_eq!(before, 1);
    let mut scan =
        Scan { last: Some((10_000, place)), shown: 10_000, met: place, ..Scan::default() };
    // A bar of a minute is over before the next step.
    for (second, step) in (120..).step_by(90).zip(steps) {
        match step {
            Step::Print { prices, size } => {
                let (place, path) = tell(&mut desk, second, *prices, *size);
                match market {
                    Market::Trades => scan.trade(place, prices[0], *size),
                    Market::Bars => scan.bar(place, path, *size),
                }
            }
            Step::Place { buy, qty, limit, stop, kind } => {
                let side = if *buy { "buy" } else { "sell" };
                let limit_text = limit.map(|limit| format!(" @ {}", cents(limit)));
                // Which prices trigger it makes no difference where there is one kind.
                let stop_text = stop.map(|price| PlainStop { price, by_quote: *buy }.words());
                let order = format!(
                    "{side} {qty}{}{} {kind}",
                    stop_text.unwrap_or_default(),
                    limit_text.unwrap_or_default()
                );
                let n = desk.place(account, &order);
                // There is no standing quote to meet on arrival: what may not rest ends.
                let open = !["ioc", "fok"].contains(kind);
                scan.turns += 1;
                let (buy, limit, stop, turn) = (*buy, *limit, *stop, scan.turns);
                scan.orders.push(Plain {
                    n,
                    buy,
                    left: *qty,
                    limit,
                    stop,
                    trail: None,
                    from: None,
                    offset: None,
                    since: 0,
                    open,
                    turn,
                });
                let reached = |(price, _): &(i64, u64)| {
                    stop.is_some_and(|stop| if buy { *price >= stop } else { *price <= stop })
                };
                if let Some((_, place)) = scan.last.filter(reached) {
                    scan.trigger(scan.orders.len() - 1, place);
                }
            }
            Step::Trail { buy, qty, trail, offset, from } => {
                let side = if *buy { "buy" } else { "sell" };
                let words = |word: &str, price: Option<i64>| {
                    price.map(|price| format!(" {word} {}", cents(price))).unwrap_or_default()
                };
                let more = words("offset", *offset) + &words("from", *from);
                let n = desk.place(account, &format!("{side} {qty}{}{more} gtc", trail.words()));
                scan.turns += 1;
                let (mark, turn) = (scan.shown * MILLIONTHS, scan.turns);
                let (stop, trail) = (Some(trail.stop(*buy, mark)), Some((*trail, mark)));
                let (buy, left, limit, shown) = (*buy, *qty, None, scan.shown);
                let offset = offset.map(|offset| PlainTrail::new(false, offset));
                let from = from.filter(|from| if buy { shown > *from } else { shown < *from });
                scan.orders.push(Plain {
                    n,
                    buy,
                    left,
                    limit,
                    stop,
                    trail,
                    from,
                    offset,
                    since: 0,
                    open: true,
                    turn,
                });
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
                let at = time(second);
                let worked = desk.line(&format!(
                    r#"{{"t":"status","symbol":"AAPL","state":"{state}","at":"{at}"}}"#
                ));
                assert_eq!(worked.place.is_some(), scan.halted != halt);
                if scan.halted != halt {
                    (scan.first, scan.last) = (true, None);
                }
                scan.halted = halt;
            }
            Step::Rebuild => desk.rebuild(),
            Step::Reload => desk.reload(),
        }
    }
    ((desk.triggers(), desk.fills().split_off(before)), (scan.triggers, scan.fills))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn trades_fill_as_a_naive_scan_does(steps in prop::collection::vec(step(), 1..50)) {
        let (engine, scan) = both(Market::Trades, &steps);
        prop_assert_eq!(engine, scan);
    }

    #[test]
    fn bars_fill_as_a_naive_scan_does(steps in prop::collection::vec(step(), 1..50)) {
        let (engine, scan) = both(Market::Bars, &steps);
        prop_assert_eq!(engine, scan);
    }
}

#[test]
fn the_comparison_sees_fills() {
    let steps = [
        Step::Place { buy: true, qty: 15, limit: Some(9_900), stop: None, kind: "gtc" },
        Step::Place { buy: false, qty: 5, limit: Some(10_100), stop: None, kind: "gtc" },
        Step::Place { buy: true, qty: 5, limit: None, stop: None, kind: "gtc" },
        Step::Print { prices: [10_000, 10_200, 9_800], size: 10 },
    ];
    let seen = |market| {
        let (engine, scan) = both(market, &steps);
        assert_eq!(engine, scan);
        engine.1.into_iter().map(|(n, _, price, qty)| format!("{n}: {qty} at {price}")).collect()
    };
    let trades: Vec<String> = seen(Market::Trades);
    assert_eq!(trades, ["4: 5 at 100.00"]);
    let bars: Vec<String> = seen(Market::Bars);
    assert_eq!(bars, ["4: 5 at 100.00", "2: 5 at 99.00", "3: 5 at 101.00"]);
}
