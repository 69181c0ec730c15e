//! T1: what a tick costs in a mixed book, in memory: the engine's book, the engine with its whole line, and a plain
//! scan of all orders, which also says whether the book fires what it has to.
//!
//! A third of the ticks are quotes, which fill limits; the others are trades, which trigger stops and move the marks of
//! trailing ones. The price wanders within one percent of where it began. Orders stand half a percent to fifty percent
//! away from there; one that fires is taken out and another put in, at least two percent away, so that their number stays. That
//! is not in the time of a tick: it has rows of its own.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aggregates::id::{AccountId, InstrumentId, OPERATOR_TENANT, OrderId};
use aggregates::instrument::{InstrumentEvent, InstrumentKind};
use aggregates::market::MarketTime;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{Side, TimeInForce, Trail, TriggerBy};
use aggregates::stream::{Event, StreamId};
use anyhow::{Context, ensure};
use blotter::engine::core::{Core, EngineState, Orders, Reach, Settings, Stop, Trailing, Working};
use blotter::market::calendar::Calendar;
use blotter::market::tick::{Quote, Tick, Trade};
use chrono::TimeDelta;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::report::{Report, Sample};

/// Resting orders.
const BOOKS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Ticks that are worked, and those of them that the scan is given: its cost is that of the book's size.
const TICKS: usize = 1_000_000;
const LOOKS: usize = 20_000_000;
/// How many orders are put in and taken out again to time that.
const MOVES: usize = 10_000;
/// Cents that the price begins at and stays around.
const MIDDLE: i64 = 10_000;
const BAND: i64 = 100;
const SYMBOL: &str = "BNCH";

/// A generator that needs no package: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.roll() % span).unwrap_or_default()
    }
}

/// What the market says next.
#[derive(Clone, Copy)]
enum Told {
    Trade(Price),
    Quote { bid: Price, ask: Price },
}

/// What the book says that a tick reaches, and then what it does to the marks.
trait Book {
    fn tick(&mut self, told: Told, fired: &mut Vec<OrderId>);
}

fn cents(cents: i64) -> Price {
    Price::new(Decimal::new(cents, 2)).expect("a price in cents")
}

/// Its id is a hash of its symbol, which no tick has to make again.
static INSTRUMENT: LazyLock<InstrumentId> = LazyLock::new(|| InstrumentId::of_symbol(SYMBOL));

/// The ticks of a run, always the same.
fn walk() -> Vec<Told> {
    let (mut dice, mut price) = (Dice(0x9e37_79b9_7f4a_7c15), MIDDLE);
    (0..TICKS)
        .map(|n| {
            price = (price + dice.between(-1, 1)).clamp(MIDDLE - BAND, MIDDLE + BAND);
            match n % 3 {
                0 => Told::Quote { bid: cents(price - 1), ask: cents(price + 1) },
                _ => Told::Trade(cents(price)),
            }
        })
        .collect()
}

/// The `n`th order of a mixed book, at least `nearest` cents from the middle.
fn order(n: usize, dice: &mut Dice, nearest: i64) -> Working {
    let side = if dice.roll().is_multiple_of(2) { Side::Buy } else { Side::Sell };
    let distance = dice.between(nearest, MIDDLE / 2);
    let away = |up: bool| cents(if up { MIDDLE + distance } else { MIDDLE - distance });
    let (beyond, within) = (away(side == Side::Buy), away(side == Side::Sell));
    let trailing = |trail| Stop {
        price: cents(MIDDLE),
        trailing: Some(Trailing {
            trail,
            activation: None,
            mark: Some(cents(MIDDLE)),
            fresh: false,
        }),
        by: TriggerBy::Last,
        sprung: None,
    };
    let fixed = || Stop { price: beyond, trailing: None, by: TriggerBy::Last, sprung: None };
    let (limit, stop) = match n % 5 {
        0 => (Some(within), None),
        1 => (None, Some(fixed())),
        2 => (Some(beyond), Some(fixed())),
        3 => (None, Some(trailing(Trail::Price(cents(distance))))),
        // Of 100.00 a cent is a hundredth of a percent.
        _ => (None, Some(trailing(Trail::Percent(cents(distance))))),
    };
    Working {
        order_id: OrderId::new(Uuid::now_v7()),
        account_id: AccountId::new(Uuid::from_u64_pair(1, n as u64 % 10_000)),
        instrument_id: *INSTRUMENT,
        side,
        limit,
        stop,
        time_in_force: TimeInForce::Gtc,
        extended: false,
        held: false,
        fresh: false,
        family: None,
        filled: Quantity::ZERO,
        leaves: "1".parse().expect("a quantity"),
        notional: None::<Money>,
        revision: 0,
        fills: 0,
        placed_at: began(),
        expires_at: None,
        rank: n as u64 + 1,
        unmet: None,
        package: None,
    }
}

fn began() -> MarketTime {
    "2024-01-17T15:00:00Z".parse().expect("a time")
}

impl Book for Orders {
    fn tick(&mut self, told: Told, fired: &mut Vec<OrderId>) {
        let (instrument, by) = (*INSTRUMENT, &[TriggerBy::Last]);
        for side in [Side::Buy, Side::Sell] {
            match told {
                Told::Quote { bid, ask } => {
                    let price = if side == Side::Buy { ask } else { bid };
                    let reached = self.reached((instrument, side), price, Reach::Touch, true);
                    fired.extend(reached.map(|order| order.order_id));
                }
                Told::Trade(price) => {
                    let reached = self.stops_reached(instrument, side, by, price);
                    fired.extend(reached.map(|reached| reached.order.order_id));
                }
            }
        }
        if let Told::Trade(price) = told {
            self.ratchet(instrument, Side::Buy, by, price);
            self.ratchet(instrument, Side::Sell, by, price);
        }
    }
}

/// Every order looked at, every time.
struct Scan(Vec<Working>);

impl Book for Scan {
    fn tick(&mut self, told: Told, fired: &mut Vec<OrderId>) {
        for order in &mut self.0 {
            let reached = match (told, &mut order.stop) {
                (Told::Quote { bid, ask }, None) => match order.side {
                    Side::Buy => order.limit.is_some_and(|limit| ask <= limit),
                    Side::Sell => order.limit.is_some_and(|limit| bid >= limit),
                },
                (Told::Trade(price), Some(stop)) => {
                    let mark = stop.trailing.as_ref().and_then(|trailing| trailing.mark);
                    let at = match (&stop.trailing, mark) {
                        (Some(trailing), Some(mark)) => trailing.trail.stop(order.side, mark),
                        _ => stop.price,
                    };
                    if let (Some(trailing), Some(mark)) = (&mut stop.trailing, mark) {
                        trailing.mark = Some(match order.side {
                            Side::Buy => mark.min(price),
                            Side::Sell => mark.max(price),
                        });
                    }
                    match order.side {
                        Side::Buy => price >= at,
                        Side::Sell => price <= at,
                    }
                }
                _ => false,
            };
            if reached {
                fired.push(order.order_id);
            }
        }
    }
}

/// What ticks came to.
struct Ran {
    took: Duration,
    fired: Vec<(usize, Vec<OrderId>)>,
}

/// Works `ticks`; what fires is handed to `replace`, whose time does not count.
fn run<B: Book>(book: &mut B, ticks: &[Told], mut replace: impl FnMut(&mut B, OrderId)) -> Ran {
    let (mut fired, mut all) = (Vec::new(), Vec::new());
    let (began, mut beside) = (Instant::now(), Duration::ZERO);
    for (n, told) in ticks.iter().enumerate() {
        book.tick(*told, &mut fired);
        if fired.is_empty() {
            continue;
        }
        let paused = Instant::now();
        fired.iter().for_each(|order_id| replace(book, *order_id));
        fired.sort_unstable();
        all.push((n, std::mem::take(&mut fired)));
        beside += paused.elapsed();
    }
    Ran { took: began.elapsed().saturating_sub(beside), fired: all }
}

/// KiB of this process in memory.
fn resident() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.context("no VmRSS")?.trim().parse()?)
}

fn per(took: Duration, count: usize) -> f64 {
    took.as_secs_f64() * 1e9 / count as f64
}

fn row(took: Duration, count: usize, extra: &[(&'static str, f64)]) -> Sample {
    let each_ms = took.as_secs_f64() * 1e3 / count as f64;
    let mut extra: BTreeMap<&'static str, f64> = extra.iter().copied().collect();
    extra.insert("ns_each", per(took, count));
    let per_second = count as f64 / took.as_secs_f64();
    // Of the whole: single ticks are shorter than what a clock can tell.
    Sample { per_second, p50_ms: each_ms, p99_ms: each_ms, extra }
}

pub fn play(report: &mut Report) -> anyhow::Result<()> {
    let ticks = walk();
    for size in BOOKS {
        book(size, &ticks, report)?;
        line(size, &ticks, report)?;
    }
    let each = |report: &Report, size| report.extra("T1", "ours, book", size, "ns_each");
    for (key, size) in [("T1.ns_per_tick_100k", 100_000), ("T1.ns_per_tick_1m", 1_000_000)] {
        report.ratio(key, each(report, size), Some(1.0));
    }
    report.ratio("T1.1m_of_10k", each(report, 1_000_000), each(report, 10_000));
    let scan = report.extra("T1", "plain scan", 10_000, "ns_each");
    report.ratio("T1.scan_of_book_10k", scan, each(report, 10_000));
    Ok(())
}

/// The book alone, and the scan of the same orders and ticks.
fn book(size: usize, ticks: &[Told], report: &mut Report) -> anyhow::Result<()> {
    let dice = &mut Dice(size as u64 * 2 + 1);
    let orders: Vec<Working> = (0..size).map(|n| order(n, dice, BAND / 2)).collect();
    let mut scan = Scan(orders.clone());
    let before = resident()?;
    let (mut book, began) = (Orders::default(), Instant::now());
    orders.into_iter().for_each(|order| book.insert(order));
    let inserted = began.elapsed();
    // The list that they came from is gone: what is left is the book's.
    let bytes = (resident()? - before) * 1_024.0 / size as f64 + size_of::<Working>() as f64;
    let moves: Vec<Working> = (0..MOVES).map(|n| order(size + n, dice, BAND * 2)).collect();
    let ids: Vec<OrderId> = moves.iter().map(|order| order.order_id).collect();
    let began = Instant::now();
    moves.into_iter().for_each(|order| book.insert(order));
    let one = began.elapsed();
    let began = Instant::now();
    for order_id in &ids {
        black_box(book.remove(*order_id));
    }
    let gone = began.elapsed();

    let next = &mut (size * 2);
    let mut replaced: BTreeMap<OrderId, Working> = BTreeMap::new();
    let ran = run(&mut book, ticks, |book, order_id| {
        book.remove(order_id);
        *next += 1;
        let order = order(*next, dice, BAND * 2);
        replaced.insert(order_id, order.clone());
        book.insert(order);
    });
    let fired: usize = ran.fired.iter().map(|(_, orders)| orders.len()).sum();
    // Of a small book, what the process has in memory tells nothing.
    let bytes = (size >= 100_000).then_some(("bytes_per_order", bytes));
    let extra: Vec<_> = bytes.into_iter().chain([("fired", fired as f64)]).collect();
    report.add("T1", "ours, book", size, row(ran.took, ticks.len(), &extra));
    report.add("T1", "ours, first inserts", size, row(inserted, size, &[]));
    report.add("T1", "ours, insert", size, row(one, MOVES, &[]));
    report.add("T1", "ours, cancel", size, row(gone, MOVES, &[]));

    let some = &ticks[..(LOOKS / size).min(ticks.len())];
    let scanned = run(&mut scan, some, |scan, order_id| {
        let at = scan.0.iter().position(|order| order.order_id == order_id);
        if let (Some(at), Some(order)) = (at, replaced.get(&order_id)) {
            scan.0[at] = order.clone();
        }
    });
    report.add("T1", "plain scan", size, row(scanned.took, some.len(), &[]));
    let ours: Vec<_> = ran.fired.into_iter().take_while(|(n, _)| *n < some.len()).collect();
    ensure!(ours == scanned.fired, "the book and the scan fire different orders");
    Ok(())
}

/// The whole of the engine, from the line to its last proposal, among orders that no tick reaches.
fn line(size: usize, ticks: &[Told], report: &mut Report) -> anyhow::Result<()> {
    let mut state = EngineState::default();
    let listed = InstrumentEvent::InstrumentListed {
        instrument_id: *INSTRUMENT,
        symbol: SYMBOL.to_owned(),
        name: SYMBOL.to_owned(),
        kind: InstrumentKind::Stock,
        at: None,
    };
    let (stream, listed) = (StreamId::Instrument(*INSTRUMENT), Event::Instrument(listed));
    state.observe(1, OPERATOR_TENANT, stream, &listed);
    let dice = &mut Dice(size as u64 * 2 + 1);
    (0..size).for_each(|n| state.orders.insert(order(n, dice, BAND * 4)));
    let mut core = Core::new(Settings::new(Calendar::always()), state);
    let size_shown: Quantity = "100".parse()?;
    let lines: Vec<Tick> = (0_i64..)
        .zip(ticks)
        .map(|(n, told)| {
            let (symbol, at) = (SYMBOL.to_owned(), began() + TimeDelta::milliseconds(n));
            match *told {
                Told::Trade(price) => Tick::Trade(Trade { symbol, price, size: size_shown, at }),
                Told::Quote { bid, ask } => Tick::Quote(Quote {
                    symbol,
                    bid,
                    bid_size: size_shown,
                    ask,
                    ask_size: size_shown,
                    at,
                }),
            }
        })
        .collect();
    let began = Instant::now();
    for tick in &lines {
        ensure!(core.line("bench", tick).commands.is_empty(), "an order out of reach was reached");
    }
    report.add("T1", "ours, whole line", size, row(began.elapsed(), lines.len(), &[]));
    Ok(())
}
