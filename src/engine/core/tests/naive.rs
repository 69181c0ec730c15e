//! The engine against a naive scan over all orders that shares no code with it: the same orders, ticks, cancels,
//! halts and restarts give the same sequence of (order, place, price, quantity).
//!
//! The scan knows the rules of quotes from the rule book alone, counts in whole cents and shares, and has no book,
//! no rounds, no clock: everything happens inside one session, in one rich account.

use std::fmt::Write;

use proptest::prelude::*;

use super::desk::{Desk, Fill};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Quote { bid: i64, spread: i64, bid_size: i64, ask_size: i64 },
    Again,
    Place { buy: bool, qty: i64, limit: Option<i64>, kind: &'static str },
    Cancel { which: usize },
    Halt,
    Resume,
    Rebuild,
    Reload,
}

/// An order as the scan keeps it.
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
    /// bid, bid size left, ask, ask size left, place
    quote: Option<(i64, i64, i64, i64, u64)>,
    halted: bool,
    fresh: bool,
    place: u64,
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

    fn quote(&mut self, bid: i64, bid_size: i64, ask: i64, ask_size: i64) {
        self.place += 1;
        if bid > ask {
            return;
        }
        if self.halted {
            self.quote = None;
            return;
        }
        self.quote = Some((bid, bid_size, ask, ask_size, self.place));
        for buy in [true, false] {
            let mut turn: Vec<usize> = (0..self.orders.len())
                .filter(|i| {
                    let order = &self.orders[*i];
                    let reached = order
                        .limit
                        .is_none_or(|limit| if buy { ask <= limit } else { bid >= limit });
                    order.open && order.buy == buy && reached
                })
                .collect();
            turn.sort_by_key(|i| {
                let order = &self.orders[*i];
                let price = order.limit.map(|limit| if buy { -limit } else { limit });
                (price.is_some(), price, order.n)
            });
            for i in turn {
                let touch = if buy { ask } else { bid };
                let price = self.orders[i].limit.filter(|_| !self.fresh).unwrap_or(touch);
                self.fill(i, price);
            }
        }
        self.fresh = false;
    }

    fn place(&mut self, n: u128, buy: bool, qty: i64, limit: Option<i64>, kind: &str) {
        self.orders.push(Plain { n, buy, left: qty, limit, open: true });
        let i = self.orders.len() - 1;
        if let Some((bid, bid_left, ask, ask_left, _)) = self.quote.filter(|_| !self.halted) {
            let (touch, size) = if buy { (ask, ask_left) } else { (bid, bid_left) };
            let reached =
                limit.is_none_or(|limit| if buy { touch <= limit } else { touch >= limit });
            if reached && (kind != "fok" || size >= qty) {
                self.fill(i, touch);
            }
        }
        if kind == "ioc" || kind == "fok" {
            self.orders[i].open = false;
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(vec!["gtc", "day", "ioc", "fok"]);
    prop_oneof![
        5 => (9_500i64..10_500, -3i64..30, 1i64..40, 1i64..40).prop_map(
            |(bid, spread, bid_size, ask_size)| Step::Quote { bid, spread, bid_size, ask_size }
        ),
        1 => Just(Step::Again),
        8 => (any::<bool>(), 1i64..30, prop::option::weighted(0.8, 9_500i64..10_500), kind)
            .prop_map(|(buy, qty, limit, kind)| Step::Place { buy, qty, limit, kind }),
        2 => (0usize..64).prop_map(|which| Step::Cancel { which }),
        1 => Just(Step::Halt),
        1 => Just(Step::Resume),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reload),
    ]
}

/// Runs the steps on both and gives the fills of each.
fn both(steps: &[Step]) -> (Vec<Fill>, Vec<Fill>) {
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
    let mut last: Option<(String, u32, String, u32, String)> = None;
    for step in steps {
        match step {
            Step::Quote { bid, spread, bid_size, ask_size } => {
                let ask = bid + spread;
                let (bid_shown, ask_shown) =
                    (u32::try_from(*bid_size).unwrap(), u32::try_from(*ask_size).unwrap());
                let line = (cents(*bid), bid_shown, cents(ask), ask_shown, time());
                desk.quote(&line.0, line.1, &line.2, line.3, &line.4);
                last = Some(line);
                scan.quote(*bid, *bid_size, ask, *ask_size);
            }
            Step::Again => {
                if let Some(line) = &last {
                    let worked = desk.quote(&line.0, line.1, &line.2, line.3, &line.4);
                    assert_eq!(worked.place, None);
                }
            }
            Step::Place { buy, qty, limit, kind } => {
                let side = if *buy { "buy" } else { "sell" };
                let limit_text = limit.map(|limit| format!(" @ {}", cents(limit)));
                let order = format!("{side} {qty}{} {kind}", limit_text.unwrap_or_default());
                let n = desk.place(account, &order);
                scan.place(n, *buy, *qty, *limit, kind);
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
                    scan.place += 1;
                    scan.halted = halt;
                    scan.quote = None;
                    scan.fresh = true;
                }
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
    fn the_engine_fills_as_a_naive_scan_does(steps in prop::collection::vec(step(), 1..60)) {
        let (engine, scan) = both(&steps);
        prop_assert_eq!(engine, scan);
    }
}

#[test]
fn the_comparison_sees_fills() {
    let steps = [
        Step::Quote { bid: 9_900, spread: 10, bid_size: 10, ask_size: 10 },
        Step::Place { buy: true, qty: 15, limit: None, kind: "gtc" },
        Step::Quote { bid: 9_900, spread: 20, bid_size: 10, ask_size: 10 },
    ];
    let (engine, scan) = both(&steps);
    assert_eq!(engine, scan);
    let prices: Vec<&str> = engine.iter().map(|fill| fill.2.as_str()).collect();
    assert_eq!(prices, ["99.10", "99.20"]);
}
