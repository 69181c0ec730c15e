//! The engine against a naive scan for a symbol that has no quotes: trades alone, or bars alone. As in `naive.rs`, the
//! scan knows the rule book, counts in whole cents and shares, and shares no code with the engine.

use aggregates::order::OrderStatus;
use proptest::prelude::*;

use super::desk::{Desk, Fill};
use super::naive_trails::PlainTrail;
use super::print_scan::{Plain, Scan};
use super::scan::{MILLIONTHS, PlainStop, Triggered, cents};

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
    /// An entry with its exits, or two exits; the prices are for exits that sell, those that buy have them the other way
    /// round.
    Family {
        closes: bool,
        qty: i64,
        limit: Option<i64>,
        above: i64,
        below: i64,
    },
    Cancel {
        which: usize,
    },
    Halt,
    Resume,
    Rebuild,
    Reload,
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
        8 => (
            any::<bool>(),
            1i64..30,
            prop::option::weighted(0.7, price()),
            (200i64..210).prop_map(|half| half * 50),
            (190i64..200).prop_map(|half| half * 50),
        )
            .prop_map(|(closes, qty, limit, above, below)| Step::Family {
                closes,
                qty,
                limit,
                above,
                below
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

/// What the account holds enough of that every order that may close has something to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Long,
    /// In a margin account.
    Short,
}

/// Runs the steps on both and gives what each did.
fn both(market: Market, held: Held, steps: &[Step]) -> (Happened, Happened) {
    let mut desk = Desk::nyse();
    let tell = |desk: &mut Desk, second, prices, size| {
        let (line, path) = print(market, prices, size, &time(second));
        (desk.line(&line).place.expect("a print is worked"), path)
    };
    // Enough shares and cash that the ledger refuses nothing.
    tell(&mut desk, 0, [10_000; 3], 1);
    let account = match held {
        Held::Long => desk.account("1000000000"),
        Held::Short => desk.margin_account("1000000000"),
    };
    let side = if held == Held::Long { "buy" } else { "sell" };
    desk.place(account, &format!("{side} 100000 gtc"));
    let (place, _) = tell(&mut desk, 60, [10_000; 3], 1_000_000);
    let before = desk.fills().len();
    assert_eq!(before, 1);
    let mut scan = Scan {
        last: Some((10_000, place)),
        shown: 10_000,
        met: place,
        margin: held == Held::Short,
        ..Scan::default()
    };
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
                let plain = Plain::new(n, (buy, *qty), turn);
                scan.orders.push(Plain { limit, stop, open, ..plain });
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
                let plain = Plain::new(n, (buy, left), turn);
                scan.orders.push(Plain { limit, stop, trail, from, offset, ..plain });
            }
            Step::Family { closes, qty, limit, above, below } => {
                let exits_buy = held == Held::Short;
                let (profit, loss) = if exits_buy { (below, above) } else { (above, below) };
                let side = if exits_buy == *closes { "buy" } else { "sell" };
                let (part, limit) =
                    if *closes { (" closes", Some(*profit)) } else { (" opens", *limit) };
                let part = if (side == "sell") == *closes { "" } else { part };
                let at = limit.map(|limit| format!(" @ {}", cents(limit))).unwrap_or_default();
                let profits =
                    if *closes { String::new() } else { format!(" profit {}", cents(*profit)) };
                let n = desk.place(
                    account,
                    &format!("{side} {qty}{part}{at}{profits} loss {} gtc", cents(*loss)),
                );
                assert_ne!(desk.status(n), OrderStatus::Rejected);
                scan.family(n, (exits_buy, *closes, *qty), limit, (*profit, *loss));
                let reached =
                    |(price, _): &(i64, u64)| if exits_buy { price >= loss } else { price <= loss };
                if let Some((_, place)) = scan.last.filter(|last| *closes && reached(last)) {
                    scan.trigger(scan.orders.len() - 1, place);
                }
            }
            Step::Cancel { which } => {
                if !scan.orders.is_empty() {
                    let i = which % scan.orders.len();
                    let (n, open) = (scan.orders[i].n, scan.orders[i].open);
                    assert_eq!(desk.cancel(account, n), open, "order {n}");
                    scan.end(i);
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
        for held in [Held::Long, Held::Short] {
            let (engine, scan) = both(Market::Trades, held, &steps);
            prop_assert_eq!(engine, scan);
        }
    }

    #[test]
    fn bars_fill_as_a_naive_scan_does(steps in prop::collection::vec(step(), 1..50)) {
        for held in [Held::Long, Held::Short] {
            let (engine, scan) = both(Market::Bars, held, &steps);
            prop_assert_eq!(engine, scan);
        }
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
        let (engine, scan) = both(market, Held::Long, &steps);
        assert_eq!(engine, scan);
        engine.1.into_iter().map(|(n, _, price, qty)| format!("{n}: {qty} at {price}")).collect()
    };
    let trades: Vec<String> = seen(Market::Trades);
    assert_eq!(trades, ["4: 5 at 100.00"]);
    let bars: Vec<String> = seen(Market::Bars);
    assert_eq!(bars, ["4: 5 at 100.00", "2: 5 at 99.00", "3: 5 at 101.00"]);
}
