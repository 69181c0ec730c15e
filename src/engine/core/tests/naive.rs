//! The engine against a naive scan over all orders that shares no code with it: the same orders, ticks, changes, cancels,
//! halts, splits and restarts give the same sequences of triggers (order, place, stop) and of fills (order, place, price,
//! quantity).
//!
//! Everything happens on a few days and in their nights, in one rich account.

use aggregates::order::OrderStatus;
use proptest::prelude::*;

use super::desk::{Desk, Fill};
use super::naive_trails::PlainTrail;
use super::scan::{Auction, NANO, Part, PlainStop, Scan, Triggered, cents};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Quote {
        bid: i64,
        spread: i64,
        bid_size: i64,
        ask_size: i64,
    },
    Trade {
        price: i64,
    },
    Again,
    Place {
        buy: bool,
        qty: i64,
        limit: Option<i64>,
        stop: Option<PlainStop>,
        kind: &'static str,
        extended: bool,
    },
    Dollars {
        buy: bool,
        amount: i64,
    },
    Later,
    Replace {
        which: usize,
        open: Option<i64>,
        limit: Option<i64>,
    },
    Family {
        sell: bool,
        closes: bool,
        qty: i64,
        limit: Option<i64>,
        above: Option<i64>,
        below: Option<i64>,
    },
    Trail {
        buy: bool,
        qty: i64,
        trail: PlainTrail,
        by_quote: bool,
        offset: Option<i64>,
        from: Option<i64>,
    },
    Retrail {
        which: usize,
        distance: i64,
    },
    Refollow {
        which: usize,
        from: Option<i64>,
        offset: Option<i64>,
    },
    Cancel {
        which: usize,
    },
    Halt,
    Resume,
    HaltAll,
    ResumeAll,
    Split,
    Rebuild,
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let at_once = (
        prop::option::weighted(0.8, 9_500i64..10_500),
        prop::sample::select(vec!["gtc", "gtc", "day", "day", "ioc", "fok", "opg", "cls"]),
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
        9 => (any::<bool>(), 1i64..30, prop_oneof![at_once, waiting], prop::bool::weighted(0.4))
            .prop_map(|(buy, qty, (limit, stop, kind), extended)| {
                let may = limit.is_some() && stop.is_none() && matches!(kind, "gtc" | "day");
                Step::Place { buy, qty, limit, stop, kind, extended: extended && may }
            }),
        3 => (any::<bool>(), 1i64..300_000).prop_map(|(buy, amount)| Step::Dollars { buy, amount }),
        1 => Just(Step::Later),
        4 => (0usize..64, prop::option::of(1i64..30), prop::option::of(9_500i64..10_500))
            .prop_map(|(which, open, limit)| Step::Replace { which, open, limit }),
        6 => (
            (any::<bool>(), 1i64..30, any::<bool>(), 1i64..400, any::<bool>()),
            prop::option::weighted(0.4, 0i64..100),
            prop::option::weighted(0.4, 9_500i64..10_500),
        )
            .prop_map(|((buy, qty, percent, distance, by_quote), offset, from)| {
                let trail = PlainTrail::new(percent, distance);
                Step::Trail { buy, qty, trail, by_quote, offset, from }
            }),
        2 => (0usize..64, 1i64..400).prop_map(|(which, distance)| Step::Retrail { which, distance }),
        2 => (0usize..64, 9_500i64..10_500, 0i64..100, 0u8..3).prop_map(|(which, from, offset, what)| {
            let (from, offset) = (Some(from).filter(|_| what > 0), Some(offset).filter(|_| what < 2));
            Step::Refollow { which, from, offset }
        }),
        2 => (0usize..64).prop_map(|which| Step::Cancel { which }),
        8 => (
            (any::<bool>(), any::<bool>()),
            1i64..30,
            prop::option::weighted(0.8, 9_500i64..10_500),
            prop::option::weighted(0.8, 9_900i64..10_500),
            prop::option::weighted(0.8, 9_500i64..9_900),
        )
            .prop_map(|((sell, closes), qty, limit, above, below)| Step::Family {
                sell,
                closes,
                qty,
                limit,
                above,
                below
            }),
        1 => Just(Step::Halt),
        1 => Just(Step::Resume),
        1 => Just(Step::HaltAll),
        1 => Just(Step::ResumeAll),
        1 => Just(Step::Split),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reload),
    ]
}

/// The triggers and fills of one side of the comparison.
type Happened = (Vec<Triggered>, Vec<Fill>);

/// The hours in which things happen: 10 in the morning and 4 in the afternoon in New York, 9 in the evening, 5 in the
/// morning.
const HOURS: [&str; 9] = [
    "2026-11-23T15",
    "2026-11-23T21",
    "2026-11-24T02",
    "2026-11-24T10",
    "2026-11-24T15",
    "2026-11-24T21",
    "2026-11-25T02",
    "2026-11-25T10",
    "2026-11-25T15",
];

/// The most splits of one case: shares are bounded.
const SPLITS: u32 = 2;

/// Which account everything happens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It holds enough to sell.
    Cash,
    /// It holds nothing, and sells short.
    Margin,
}

/// Runs the steps on both and gives what each did.
fn both(kind: Kind, steps: &[Step]) -> (Happened, Happened) {
    let mut desk = Desk::nyse();
    let (mut second, hour) = (0u32, std::cell::Cell::new(0));
    let mut time = || {
        second += 1;
        format!("{}:{:02}:{:02}Z", HOURS[hour.get()], second / 60, second % 60)
    };
    // Enough shares and cash that the ledger refuses nothing for want of them.
    desk.quote("100.00", 1, "100.00", 1_000_000, &time());
    let account = match kind {
        Kind::Cash => desk.account("1000000000"),
        Kind::Margin => desk.margin_account("1000000000"),
    };
    let mut scan = Scan { place: 1, margin: kind == Kind::Margin, ..Scan::default() };
    if kind == Kind::Cash {
        assert_eq!(desk.place(account, "buy 100000 ioc"), 1);
        scan.held = 100_000 * NANO;
    }
    // The scan reckons in cents, so no stop may come below a dollar, where ticks are finer.
    desk.quote("50.00", 1, "900.00", 1, &time());
    scan.quote(5_000, 1, 90_000, 1);
    let before = desk.fills().len();
    let mut splits = 0;
    // Of the symbol, and of the whole market.
    let mut halts = (false, false);
    let mut last: Option<(String, u32, String, u32, String)> = None;
    for step in steps {
        let changes =
            matches!(step, Step::Replace { .. } | Step::Retrail { .. } | Step::Refollow { .. });
        if changes && scan.has_parts() {
            continue;
        }
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
            Step::Place { buy, qty, limit, stop, kind, extended } => {
                let side = if *buy { "buy" } else { "sell" };
                let limit = limit.map(now);
                let stop = stop.map(|stop| PlainStop { price: now(stop.price), ..stop });
                let limit_text = limit.map(|limit| format!(" @ {}", cents(limit)));
                let stop_text = stop.map(PlainStop::words).unwrap_or_default();
                let hours = if *extended { " extended" } else { "" };
                let order = format!(
                    "{side} {qty}{stop_text}{}{hours} {kind}",
                    limit_text.unwrap_or_default()
                );
                let n = desk.place(account, &order);
                // One that is done at once needs an open market, and one for an auction one that takes orders.
                let at_market = limit.is_none() && stop.is_none();
                let closed = scan.part != Part::Regular && matches!(*kind, "ioc" | "fok");
                let untaken = Auction::of(kind).is_some_and(|it| !it.takes_orders(scan.part));
                let opens_part = scan.opens_part(*buy, *qty);
                if desk.status(n) == OrderStatus::Rejected {
                    assert!(closed && at_market || untaken || opens_part, "order {n}");
                    continue;
                }
                assert!(!untaken && !opens_part, "order {n}");
                scan.arrive(n, (*buy, *qty), limit, stop, (*kind, *extended));
            }
            Step::Dollars { buy, amount } => {
                let side = if *buy { "buy" } else { "sell" };
                let n = desk.place(account, &format!("{side} for {}", cents(*amount)));
                let taken = scan.takes_dollars(*buy);
                assert_eq!(desk.status(n) != OrderStatus::Rejected, taken, "order {n}");
                if taken {
                    scan.arrive_dollars(n, *buy, *amount);
                }
            }
            Step::Later if hour.get() + 1 < HOURS.len() => {
                hour.set(hour.get() + 1);
                desk.clock(&time());
                scan.later();
            }
            Step::Later => {}
            Step::Family { sell, closes, qty, limit, above, below } => {
                let (exits, limit) = ((above.map(now), below.map(now)), limit.map(now));
                // A cash account buys before it sells.
                let closes = if kind == Kind::Cash { *sell } else { *closes };
                scan.family(&mut desk, account, (*sell, closes, *qty), limit, exits);
            }
            Step::Replace { which, open, limit } => {
                let limit = limit.map(now);
                if !scan.orders.is_empty() {
                    let i = which % scan.orders.len();
                    let order = &scan.orders[i];
                    let n = order.n;
                    let limit = limit.filter(|_| order.limit.is_some());
                    // What is so already is so at any time.
                    let same = open.is_none_or(|open| open * NANO == order.left)
                        && limit.is_none_or(|limit| Some(limit) == order.limit);
                    let taken = same || order.auction.is_none_or(|it| it.takes_orders(scan.part));
                    let may = order.open
                        && order.dollars.is_none()
                        && open.is_none_or(|open| order.may_have(open))
                        && taken
                        && (open.is_some() || limit.is_some())
                        && scan.permits(i, *open, limit);
                    let text = limit.map(cents);
                    assert_eq!(desk.replace(account, n, *open, text.as_deref()), may, "order {n}");
                    if may {
                        scan.replace(i, *open, limit);
                    }
                }
            }
            Step::Trail { buy, qty, trail, by_quote, offset, from } => {
                let (side, by) =
                    (if *buy { "buy" } else { "sell" }, if *by_quote { " quote" } else { "" });
                let from = from.map(now);
                let words = |word: &str, price: Option<i64>| {
                    price.map(|price| format!(" {word} {}", cents(price))).unwrap_or_default()
                };
                let more = words("offset", *offset) + &words("from", from);
                let n =
                    desk.place(account, &format!("{side} {qty}{}{more}{by} gtc", trail.words()));
                let refused = scan.opens_part(*buy, *qty);
                assert_eq!(desk.status(n) == OrderStatus::Rejected, refused, "order {n}");
                if refused {
                    continue;
                }
                scan.arrive_trailing(n, (*buy, *qty), *trail, *by_quote, (*offset, from));
            }
            Step::Refollow { which, from, offset } => {
                let n = *which as u128 + 2;
                if let Some(i) = scan.orders.iter().position(|order| order.trails(n)) {
                    let from = from.map(now);
                    let may = scan.refollow(i, from, *offset);
                    assert_eq!(desk.refollow(account, n, from, *offset), may, "order {n}");
                }
            }
            Step::Retrail { which, distance } => {
                let n = *which as u128 + 1;
                if let Some(i) = scan.orders.iter().position(|order| order.trails(n)) {
                    assert!(desk.retrail(account, n, &cents(*distance)), "order {n}");
                    scan.retrail(i, *distance);
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
            Step::Halt | Step::Resume | Step::HaltAll | Step::ResumeAll => {
                let halt = matches!(step, Step::Halt | Step::HaltAll);
                let all = matches!(step, Step::HaltAll | Step::ResumeAll);
                let (symbol, halted) =
                    if all { ("*", &mut halts.1) } else { ("AAPL", &mut halts.0) };
                let state = if halt { "halted" } else { "trading" };
                let at = time();
                let worked = desk.line(&format!(
                    r#"{{"t":"status","symbol":"{symbol}","state":"{state}","at":"{at}"}}"#
                ));
                assert_eq!(worked.place.is_some(), *halted != halt);
                if worked.place.is_some() {
                    *halted = halt;
                    scan.interrupt();
                    scan.halted = halts.0 || halts.1;
                }
            }
            Step::Split if splits < SPLITS => {
                let at = time();
                let worked = desk.line(&format!(
                    r#"{{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"{at}","at":"{at}"}}"#
                ));
                assert!(worked.place.is_some());
                splits += 1;
                scan.split();
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
        let (engine, scan) = both(Kind::Cash, &steps);
        prop_assert_eq!(engine, scan);
    }

    #[test]
    fn in_a_margin_account_too(steps in prop::collection::vec(step(), 1..60)) {
        let (engine, scan) = both(Kind::Margin, &steps);
        prop_assert_eq!(engine, scan);
    }
}

#[test]
fn the_comparison_sees_triggers_and_fills() {
    let stop = Some(PlainStop { price: 10_000, by_quote: true });
    let place = |stop: Option<PlainStop>| {
        let qty = if stop.is_some() { 5 } else { 15 };
        Step::Place { buy: true, qty, limit: None, stop, kind: "gtc", extended: false }
    };
    let steps = [
        Step::Quote { bid: 9_900, spread: 10, bid_size: 10, ask_size: 10 },
        place(None),
        Step::Quote { bid: 9_900, spread: 20, bid_size: 10, ask_size: 10 },
        place(stop),
        Step::Quote { bid: 9_990, spread: 30, bid_size: 10, ask_size: 10 },
    ];
    let (engine, scan) = both(Kind::Cash, &steps);
    assert_eq!(engine, scan);
    assert_eq!(engine.0, [(3, 5, "100.00".to_owned())]);
    let prices: Vec<&str> = engine.1.iter().map(|fill| fill.2.as_str()).collect();
    assert_eq!(prices, ["99.10", "99.20", "100.20"]);
}

/// The buy closes the short position that the exit is for, and the family ends with it: what it would have taken is for the
/// order behind its entry, at once.
#[test]
fn an_order_behind_an_entry_whose_family_ends_fills_once() {
    let place = |buy, qty, limit| {
        let (stop, kind, extended) = (None, "gtc", false);
        Step::Place { buy, qty, limit, stop, kind, extended }
    };
    let (limit, above, below) = (None, None, Some(9_500));
    let steps = [
        place(true, 1, Some(9_785)),
        Step::Family { sell: true, closes: false, qty: 2, limit, above, below },
        place(false, 27, None),
        Step::Quote { bid: 9_500, spread: 0, bid_size: 2, ask_size: 1 },
    ];
    let (engine, scan) = both(Kind::Margin, &steps);
    assert_eq!(engine, scan);
    let fills: Vec<_> = engine.1.iter().map(|fill| (fill.0, fill.3.as_str())).collect();
    assert_eq!(fills, [(2, "1"), (1, "1"), (3, "2")]);
}

#[test]
fn the_comparison_sees_parts_of_shares_in_a_margin_account() {
    let dollars = |buy, amount| Step::Dollars { buy, amount };
    let sell = |qty, limit| {
        let (stop, kind, extended) = (None, "gtc", false);
        Step::Place { buy: false, qty, limit: Some(limit), stop, kind, extended }
    };
    let steps = [
        Step::Quote { bid: 9_900, spread: 100, bid_size: 10, ask_size: 10 },
        dollars(true, 25_000),
        // Three would leave half a share short, and two set aside all but half a one.
        sell(3, 10_500),
        sell(2, 10_400),
        dollars(false, 100_000),
    ];
    let (engine, scan) = both(Kind::Margin, &steps);
    assert_eq!(engine, scan);
    let fills: Vec<_> =
        engine.1.iter().map(|fill| (fill.0, fill.2.as_str(), fill.3.as_str())).collect();
    assert_eq!(fills, [(1, "100.00", "2.5"), (4, "99.00", "0.5")]);
}

#[test]
fn the_comparison_sees_auctions_and_extended_hours() {
    let place =
        |buy, limit, kind, extended| Step::Place { buy, qty: 5, limit, stop: None, kind, extended };
    let steps = [
        Step::Trade { price: 10_000 },
        place(true, None, "cls", false),
        place(true, Some(9_999), "cls", false),
        Step::Later,
        place(true, Some(9_800), "gtc", true),
        place(true, Some(9_800), "gtc", false),
        Step::Quote { bid: 9_600, spread: 100, bid_size: 10, ask_size: 10 },
        Step::Later,
        place(false, None, "opg", false),
        Step::Later,
        Step::Later,
        Step::Trade { price: 10_100 },
    ];
    let (engine, scan) = both(Kind::Cash, &steps);
    assert_eq!(engine, scan);
    let filled: Vec<_> = engine.1.iter().map(|fill| (fill.0, fill.2.as_str())).collect();
    assert_eq!(filled, [(2, "100.00"), (4, "98.00"), (6, "101.00")]);
}
