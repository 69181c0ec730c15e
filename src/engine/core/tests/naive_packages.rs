//! Orders of options against a naive scan over all of them: the same orders of one contract and of several legs, quotes of
//! the stock and of the contracts, halts of any of them, changes, cancels, nights and restarts give the same fills, leg by
//! leg.
//!
//! Every order has an account of its own, so that nothing but the sizes that are shown is between them. Some of the accounts
//! hold all that is traded, and their sells close; the others hold nothing of the contracts, and sell them short.

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId};
use aggregates::order::{OrderEvent, TimeInForce};
use aggregates::stream::{Event, StreamId};
use proptest::prelude::*;

use super::super::{FillModel, Settings};
use super::desk::{AAPL, Desk};
use super::package_scan::{Filled, PackageScan, PlainLeg, STOCK, THINGS, signed};
use crate::market::calendar::Calendar;

/// What is traded: the contracts expire long after.
const SYMBOLS: [&str; THINGS] =
    [AAPL, "AAPL261218C00100000", "AAPL261218C00105000", "AAPL270115P00100000"];

/// Accounts that hold some of everything, and as many that do not.
const HOLDERS: usize = 6;

/// The hours in which things happen: in sessions, and after them.
const HOURS: [&str; 5] =
    ["2026-11-23T15", "2026-11-23T22", "2026-11-24T15", "2026-11-24T22", "2026-11-25T15"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Quote { thing: usize, level: i64, spread: i64, sizes: (i64, i64) },
    Again,
    Place { legs: Vec<PlainLeg>, qty: i64, limit: Option<i64>, day: bool },
    Replace { which: usize, open: Option<i64>, limit: Option<i64> },
    Cancel { which: usize },
    Status { thing: Option<usize>, halted: bool },
    Later,
    Rebuild,
    Reload,
}

/// What a thing is quoted at, more or less, in cents.
fn around(thing: usize) -> i64 {
    if thing == STOCK { 10_000 } else { 400 }
}

fn quote() -> impl Strategy<Value = Step> {
    (0..THINGS, -60i64..60, -2i64..12, (1i64..12, 1i64..12))
        .prop_map(|(thing, level, spread, sizes)| Step::Quote { thing, level, spread, sizes })
}

/// Legs of 1 to 4 things, a limit near what they are worth.
fn place() -> impl Strategy<Value = Step> {
    let legs = prop::collection::vec((any::<bool>(), 1i64..3), THINGS);
    let which = prop::sample::subsequence((0..THINGS).collect::<Vec<_>>(), 1..=THINGS);
    (which, legs, 1i64..8, prop::option::weighted(0.8, -120i64..120), any::<bool>()).prop_map(
        |(which, sides, qty, limit, day)| {
            let single = which.len() == 1;
            let leg = |thing: usize| {
                let (buy, ratio) = sides[thing];
                PlainLeg { thing, buy, ratio: if single { 1 } else { ratio } }
            };
            let mut legs: Vec<PlainLeg> = which.into_iter().map(leg).collect();
            // In lowest terms, where a leg of shares is in hundreds.
            if legs.iter().all(|leg| leg.thing == STOCK || leg.ratio == 2) {
                let options = legs.iter_mut().filter(|leg| leg.thing != STOCK);
                options.for_each(|leg| leg.ratio = 1);
            }
            let worth = |leg: &PlainLeg| {
                let amount = around(leg.thing) * leg.ratio;
                if leg.buy || single { amount } else { -amount }
            };
            let net: i64 = legs.iter().map(worth).sum();
            Step::Place { legs, qty, limit: limit.map(|limit| net + limit), day }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => quote(),
        1 => Just(Step::Again),
        8 => place(),
        3 => (0usize..64, prop::option::of(1i64..8), prop::option::of(-100i64..100))
            .prop_map(|(which, open, limit)| Step::Replace { which, open, limit }),
        1 => (0usize..64).prop_map(|which| Step::Cancel { which }),
        2 => (prop::option::weighted(0.8, 0..THINGS), prop::bool::weighted(0.4))
            .prop_map(|(thing, halted)| Step::Status { thing, halted }),
        1 => Just(Step::Later),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reload),
    ]
}

/// Every fill of the log, leg by leg.
fn filled(desk: &Desk) -> Vec<Filled> {
    let fills = desk.log.iter().filter_map(|(stream, event)| match (stream, event) {
        (
            StreamId::Order(order_id),
            Event::Order(OrderEvent::OrderFilled { qty, price, evidence, legs, .. }),
        ) => {
            let whole = |qty: &dyn ToString| qty.to_string().parse::<i64>().unwrap();
            let leg = |leg: &aggregates::order::LegFill| {
                (leg.price.to_string(), whole(&leg.qty), leg.evidence.tape_place)
            };
            let legs = legs.iter().map(leg).collect();
            let n = order_id.uuid().as_u128();
            Some((n, evidence.tape_place, price.to_string(), whole(qty), legs))
        }
        _ => None,
    });
    fills.collect()
}

/// Quotes a thing, and gives whether the line was taken.
fn tell(desk: &mut Desk, line: &(usize, i64, i64, (i64, i64), String)) -> bool {
    let (thing, bid, ask, (bid_size, ask_size), at) = line;
    let (symbol, bid, ask) = (SYMBOLS[*thing], signed(*bid), signed(*ask));
    let line = format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"{bid_size}","ask":"{ask}","ask_size":"{ask_size}","at":"{at}"}}"#
    );
    desk.line(&line).place.is_some()
}

/// Runs the steps on both and gives what each filled.
fn both(fill_model: FillModel, steps: &[Step]) -> (Vec<Filled>, Vec<Filled>) {
    let settings = Settings { max_quote_age: None, fill_model, ..Settings::new(Calendar::nyse()) };
    let mut desk = Desk::new(settings);
    let (mut second, hour) = (0u32, std::cell::Cell::new(0));
    let mut time = || {
        second += 1;
        format!("{}:{:02}:{:02}Z", HOURS[hour.get()], second / 60, second % 60)
    };
    // Everything is priced, and half of the accounts hold of it.
    let mut scan = PackageScan::new(fill_model == FillModel::Unlimited);
    for thing in 0..THINGS {
        let price = around(thing);
        assert!(tell(&mut desk, &(thing, price, price, (1, 1_000_000), time())));
    }
    let (mut holders, mut others): (Vec<AccountId>, Vec<AccountId>) = (Vec::new(), Vec::new());
    for n in 0..2 * HOLDERS {
        let account = desk.options_account(AccountKind::Margin, "1000000000");
        if n % 2 == 0 {
            others.push(account);
        } else {
            holders.push(account);
            desk.place(account, "buy 20000 ioc");
            for symbol in &SYMBOLS[1..] {
                desk.place_legs(account, 100, None, &[("buy", 1, symbol)], TimeInForce::Day);
                assert_eq!(desk.held_of(account, InstrumentId::of_symbol(symbol)), "100");
            }
        }
    }
    // From here on what stood before is over.
    for thing in 0..THINGS {
        let line = (thing, around(thing) - 300, around(thing) + 300, (1, 1), time());
        assert!(tell(&mut desk, &line));
    }
    scan.place = desk.tape.len() as u64 - THINGS as u64;
    for thing in 0..THINGS {
        scan.quote(thing, (around(thing) - 300, 1), (around(thing) + 300, 1));
    }
    let before = filled(&desk).len();
    let mut last = None;
    for step in steps {
        match step {
            Step::Quote { thing, level, spread, sizes } => {
                let bid = around(*thing) + level;
                let unit = if *thing == STOCK { 100 } else { 1 };
                let sizes = (sizes.0 * unit, sizes.1 * unit);
                let line = (*thing, bid, bid + spread, sizes, time());
                assert!(tell(&mut desk, &line));
                last = Some(line);
                scan.quote(*thing, (bid, sizes.0), (bid + spread, sizes.1));
            }
            Step::Again => {
                if let Some(line) = &last {
                    assert!(!tell(&mut desk, line));
                }
            }
            Step::Place { legs, qty, limit, day } => {
                // Shares are sold that are held, by whoever holds them.
                let sells_shares = legs.iter().any(|leg| leg.thing == STOCK && !leg.buy);
                let alone = legs.len() == 1 && legs[0].thing == STOCK;
                let holds = sells_shares || qty % 2 == 0;
                let accounts = if holds { &mut holders } else { &mut others };
                let Some(account) = accounts.pop().filter(|_| !alone) else { continue };
                let texts: Vec<(&str, u32, &str)> = legs
                    .iter()
                    .map(|leg| {
                        let unit = if leg.thing == STOCK && legs.len() > 1 { 100 } else { 1 };
                        let ratio = u32::try_from(leg.ratio * unit).unwrap();
                        (if leg.buy { "buy" } else { "sell" }, ratio, SYMBOLS[leg.thing])
                    })
                    .collect();
                let text = limit.map(signed);
                let time_in_force = if *day { TimeInForce::Day } else { TimeInForce::Gtc };
                let packages = u32::try_from(*qty).unwrap();
                let n = desk.place_legs(account, packages, text.as_deref(), &texts, time_in_force);
                let placed = desk.order(n).spec().is_some() && desk.order(n).status().is_some();
                assert!(placed, "order {n}");
                scan.arrive(n, legs.clone(), (*qty, *limit), *day);
            }
            Step::Replace { which, open, limit } if !scan.orders.is_empty() => {
                let i = which % scan.orders.len();
                let order = &scan.orders[i];
                let limit = order.limit.zip(*limit).map(|(limit, more)| limit + more);
                let limit = limit.filter(|limit| order.legs.len() > 1 || *limit > 0);
                let may = order.open && (open.is_some() || limit.is_some());
                let (n, text) = (order.n, limit.map(signed));
                let account = desk.order(n).spec().unwrap().account_id;
                assert_eq!(desk.replace(account, n, *open, text.as_deref()), may, "order {n}");
                if may {
                    scan.replace(i, *open, limit);
                }
            }
            Step::Replace { .. } => {}
            Step::Cancel { which } if !scan.orders.is_empty() => {
                let i = which % scan.orders.len();
                let (n, open) = (scan.orders[i].n, scan.orders[i].open);
                let account = desk.order(n).spec().unwrap().account_id;
                assert_eq!(desk.cancel(account, n), open, "order {n}");
                scan.orders[i].open = false;
            }
            Step::Cancel { .. } => {}
            Step::Status { thing, halted } => {
                let symbol = thing.map_or("*", |thing| SYMBOLS[thing]);
                let (state, at) = (if *halted { "halted" } else { "trading" }, time());
                let worked = desk.line(&format!(
                    r#"{{"t":"status","symbol":"{symbol}","state":"{state}","at":"{at}"}}"#
                ));
                assert_eq!(worked.place.is_some(), scan.status(*thing, *halted));
            }
            Step::Later if hour.get() + 1 < HOURS.len() => {
                hour.set(hour.get() + 1);
                desk.clock(&time());
                scan.later();
            }
            Step::Later => {}
            Step::Rebuild => desk.rebuild(),
            Step::Reload => desk.reload(),
        }
    }
    (filled(&desk).split_off(before), scan.fills)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn options_and_packages_fill_as_a_naive_scan_has_them_fill(
        steps in prop::collection::vec(step(), 1..70),
    ) {
        let (engine, scan) = both(FillModel::DisplayedSize, &steps);
        prop_assert_eq!(engine, scan);
    }

    #[test]
    fn without_a_bound_on_sizes_they_do_too(steps in prop::collection::vec(step(), 1..40)) {
        let (engine, scan) = both(FillModel::Unlimited, &steps);
        prop_assert_eq!(engine, scan);
    }
}

#[test]
fn the_comparison_sees_options_and_packages_that_share_what_is_shown() {
    let leg = |thing, buy, ratio| PlainLeg { thing, buy, ratio };
    let quote = |thing, level, size| Step::Quote { thing, level, spread: 0, sizes: (size, size) };
    let place = |legs: Vec<PlainLeg>, qty, limit| Step::Place { legs, qty, limit, day: true };
    let steps = [
        quote(1, 0, 5),
        quote(2, 0, 4),
        quote(STOCK, 0, 9),
        place(vec![leg(1, true, 1), leg(2, false, 2)], 3, Some(-400)),
        place(vec![leg(1, true, 1)], 4, Some(400)),
        place(vec![leg(STOCK, false, 1), leg(1, true, 1)], 2, None),
        Step::Reload,
        Step::Status { thing: Some(STOCK), halted: true },
        quote(1, -1, 9),
        Step::Status { thing: Some(STOCK), halted: false },
        quote(2, 0, 4),
        Step::Rebuild,
        quote(1, -1, 9),
    ];
    let (engine, scan) = both(FillModel::DisplayedSize, &steps);
    assert_eq!(engine, scan);
    let told: Vec<_> = engine.iter().map(|it| (it.2.as_str(), it.3, it.4.len())).collect();
    // Two packages, three of the five contracts that were shown, none of the third order: at the first quote after the halt
    // the single order gets its price, and what is left is for the package.
    assert_eq!(told, [("-4.00", 2, 2), ("4.00", 3, 0), ("3.99", 1, 0), ("-4.01", 1, 2)]);
}
