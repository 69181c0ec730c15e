//! The engine against a naive scan for a symbol that has no quotes: trades alone, or bars alone. As in `naive.rs`, the
//! scan knows the rule book, counts in whole cents and shares, and shares no code with the engine.

use proptest::prelude::*;

use super::desk::{Desk, Fill};
use super::naive::cents;

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
        kind: &'static str,
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
    open: bool,
}

#[derive(Default)]
struct Scan {
    orders: Vec<Plain>,
    fills: Vec<Fill>,
    halted: bool,
    /// The next trade is the first since a halt.
    first: bool,
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
                order.open && order.buy == buy && order.limit.map_or(open, through)
            })
            .collect();
        turn.sort_by_key(|i| {
            let order = &self.orders[*i];
            let rung = order.limit.map(|limit| if buy { -limit } else { limit });
            (rung.is_some(), rung, order.n)
        });
        let mut left = size;
        for i in turn {
            let order = &mut self.orders[i];
            let qty = order.left.min(left);
            if qty > 0 {
                left -= qty;
                order.left -= qty;
                order.open = order.left > 0;
                let at = order.limit.filter(|_| !better).unwrap_or(price);
                self.fills.push((order.n, place, cents(at), qty.to_string()));
            }
        }
        left
    }

    fn trade(&mut self, place: u64, price: i64, size: i64) {
        if self.halted {
            return;
        }
        for buy in [true, false] {
            self.meet(place, buy, price, size, true, self.first);
        }
        self.first = false;
    }

    fn bar(&mut self, place: u64, [open, high, low]: [i64; 3], volume: i64) {
        if self.halted {
            return;
        }
        let buys = self.meet(place, true, open, volume, true, true);
        let sells = self.meet(place, false, open, volume, true, true);
        if high - open < open - low {
            self.meet(place, false, high, sells, false, false);
            self.meet(place, true, low, buys, false, false);
        } else {
            self.meet(place, true, low, buys, false, false);
            self.meet(place, false, high, sells, false, false);
        }
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
            .prop_map(|(buy, qty, limit, kind)| Step::Place { buy, qty, limit, kind }),
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

/// The line of a print, and its open, high and low.
fn print(market: Market, prices: [i64; 3], size: i64, at: &str) -> (String, [i64; 3]) {
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
    (line, [open, high, low])
}

/// Runs the steps on both and gives the fills of each.
fn both(market: Market, steps: &[Step]) -> (Vec<Fill>, Vec<Fill>) {
    let mut desk = Desk::nyse();
    let tell = |desk: &mut Desk, second, prices, size| {
        let (line, path) = print(market, prices, size, &time(second));
        (desk.line(&line).place.expect("a print is worked"), path)
    };
    // Enough shares and cash that the ledger refuses nothing.
    tell(&mut desk, 0, [10_000; 3], 1);
    let account = desk.account("1000000000");
    desk.place(account, "buy 100000 gtc");
    tell(&mut desk, 60, [10_000; 3], 1_000_000);
    let before = desk.fills().len();
    assert_eq!(before, 1);
    let mut scan = Scan::default();
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
            Step::Place { buy, qty, limit, kind } => {
                let side = if *buy { "buy" } else { "sell" };
                let limit_text = limit.map(|limit| format!(" @ {}", cents(limit)));
                let order = format!("{side} {qty}{} {kind}", limit_text.unwrap_or_default());
                let n = desk.place(account, &order);
                // There is no standing quote to meet on arrival: what may not rest ends.
                let open = !["ioc", "fok"].contains(kind);
                scan.orders.push(Plain { n, buy: *buy, left: *qty, limit: *limit, open });
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
                scan.first |= scan.halted != halt;
                scan.halted = halt;
            }
            Step::Rebuild => desk.rebuild(),
            Step::Reload => desk.reload(),
        }
    }
    (desk.fills().split_off(before), scan.fills)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

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
        Step::Place { buy: true, qty: 15, limit: Some(9_900), kind: "gtc" },
        Step::Place { buy: false, qty: 5, limit: Some(10_100), kind: "gtc" },
        Step::Place { buy: true, qty: 5, limit: None, kind: "gtc" },
        Step::Print { prices: [10_000, 10_200, 9_800], size: 10 },
    ];
    let seen = |market| {
        let (engine, scan) = both(market, &steps);
        assert_eq!(engine, scan);
        engine.into_iter().map(|(n, _, price, qty)| format!("{n}: {qty} at {price}")).collect()
    };
    let trades: Vec<String> = seen(Market::Trades);
    assert_eq!(trades, ["4: 5 at 100.00"]);
    let bars: Vec<String> = seen(Market::Bars);
    assert_eq!(bars, ["4: 5 at 100.00", "2: 5 at 99.00", "3: 5 at 101.00"]);
}
