//! What is recorded and what is not: the same orders and lines under `all` and under `working` give the same log, and
//! what is on the tape is enough to go on from.

use aggregates::id::InstrumentId;
use aggregates::market::EvidenceTick;
use aggregates::order::{OrderEvent, OrderStatus};
use aggregates::stream::{Event, StreamId};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::super::{Reason, Record, Settings};
use super::desk::Desk;
use super::naive_trails::PlainTrail;
use super::scan::{PlainStop, cents};
use crate::market::calendar::Calendar;
use crate::market::tick::Tick;

const SYMBOLS: [&str; 3] = ["AAPL", "IBM", "T"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Quote {
        which: usize,
        bid: i64,
        spread: i64,
        size: i64,
        late: i64,
    },
    Trade {
        which: usize,
        price: i64,
    },
    Bar {
        which: usize,
        price: i64,
    },
    Depth {
        which: usize,
    },
    Clock,
    /// A line that was told before.
    Again {
        back: usize,
    },
    Place {
        which: usize,
        qty: i64,
        limit: Option<i64>,
        kind: &'static str,
        awaited: bool,
    },
    /// A buy that waits for a stop.
    PlaceStop {
        which: usize,
        qty: i64,
        limit: Option<i64>,
        stop: PlainStop,
        awaited: bool,
    },
    PlaceTrailing {
        which: usize,
        qty: i64,
        trail: PlainTrail,
        by_quote: bool,
    },
    SellAll {
        which: usize,
        limit: Option<i64>,
    },
    Cancel {
        n: u128,
    },
    Status {
        which: usize,
        halted: bool,
    },
    Split {
        which: usize,
    },
    Dividend {
        which: usize,
    },
    Wait {
        seconds: i64,
    },
    /// An order is in the log and the engine is lost before it has evaluated it.
    LoseAfterPlacing {
        which: usize,
        qty: i64,
        limit: Option<i64>,
    },
    Rebuild,
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0usize..SYMBOLS.len();
    let limit = || prop::option::weighted(0.7, 9_700i64..10_300);
    let kind = prop::sample::select(vec!["gtc", "day", "ioc", "fok"]);
    let stop = (9_700i64..10_300, any::<bool>())
        .prop_map(|(price, by_quote)| PlainStop { price, by_quote });
    let late = prop::sample::select(vec![0i64, 0, 0, 0, 30, 90]);
    prop_oneof![
        12 => (which(), 9_700i64..10_300, -2i64..40, 1i64..40, late).prop_map(
            |(which, bid, spread, size, late)| Step::Quote { which, bid, spread, size, late }
        ),
        3 => (which(), 9_700i64..10_300).prop_map(|(which, price)| Step::Trade { which, price }),
        2 => (which(), 9_700i64..10_300).prop_map(|(which, price)| Step::Bar { which, price }),
        1 => which().prop_map(|which| Step::Depth { which }),
        1 => Just(Step::Clock),
        2 => (1usize..6).prop_map(|back| Step::Again { back }),
        5 => (which(), 1i64..30, limit(), kind, any::<bool>()).prop_map(
            |(which, qty, limit, kind, awaited)| Step::Place { which, qty, limit, kind, awaited }
        ),
        5 => (which(), 1i64..30, limit(), stop, any::<bool>()).prop_map(
            |(which, qty, limit, stop, awaited)| Step::PlaceStop { which, qty, limit, stop, awaited }
        ),
        3 => (which(), 1i64..30, any::<bool>(), 1i64..300, any::<bool>()).prop_map(
            |(which, qty, percent, distance, by_quote)| {
                let trail = PlainTrail::new(percent, distance);
                Step::PlaceTrailing { which, qty, trail, by_quote }
            }
        ),
        4 => (which(), limit()).prop_map(|(which, limit)| Step::SellAll { which, limit }),
        2 => (1u128..20).prop_map(|n| Step::Cancel { n }),
        2 => (which(), any::<bool>()).prop_map(|(which, halted)| Step::Status { which, halted }),
        1 => which().prop_map(|which| Step::Split { which }),
        1 => which().prop_map(|which| Step::Dividend { which }),
        3 => prop::sample::select(vec![1i64, 20, 59, 61, 600, 3 * 3_600, 20 * 3_600])
            .prop_map(|seconds| Step::Wait { seconds }),
        2 => (which(), 1i64..30, limit())
            .prop_map(|(which, qty, limit)| Step::LoseAfterPlacing { which, qty, limit }),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reload),
    ]
}

/// A desk, the market's time, and what it has said.
struct Scene {
    desk: Desk,
    now: DateTime<Utc>,
    told: Vec<String>,
    actions: u32,
}

impl Scene {
    fn new(record: Record, age: Option<i64>) -> Self {
        let settings = Settings::new(Calendar::nyse());
        let settings = Settings { max_quote_age: age.map(TimeDelta::seconds), record, ..settings };
        let now = "2026-11-23T14:29:00Z".parse().unwrap();
        let mut scene = Self { desk: Desk::new(settings), now, told: Vec::new(), actions: 0 };
        scene.desk.account("1000000000");
        for symbol in SYMBOLS {
            let line = format!(r#"{{"t":"instrument","symbol":"{symbol}","kind":"stock"}}"#);
            scene.desk.line(&line);
        }
        scene
    }

    fn account(&self) -> aggregates::id::AccountId {
        aggregates::id::AccountId::new(uuid::Uuid::from_u128(1_000_001))
    }

    /// A line at the next second: `rest` follows its time and its symbol.
    fn tell(&mut self, t: &str, which: Option<usize>, rest: &str) {
        self.now += TimeDelta::seconds(1);
        let at = self.now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let symbol = which.map(|which| format!(r#","symbol":"{}""#, SYMBOLS[which]));
        let line = format!(r#"{{"t":"{t}","at":"{at}"{}{rest}}}"#, symbol.unwrap_or_default());
        self.desk.line(&line);
        self.told.push(line);
    }

    fn quote(&mut self, which: usize, bid: i64, spread: i64, size: i64) {
        let (bid, ask) = (cents(bid), cents(bid + spread));
        let rest =
            format!(r#","bid":"{bid}","bid_size":"{size}","ask":"{ask}","ask_size":"{size}""#);
        self.tell("quote", Some(which), &rest);
    }

    /// Places as the service does: an order that is awaited has what it meets on the tape before it.
    fn place_only(&mut self, which: usize, order: &str, awaited: bool) {
        let symbol = SYMBOLS[which];
        if awaited {
            let written = self.desk.core.await_order(symbol);
            self.desk.write(written);
        }
        if let Some(now) = self.desk.core.now() {
            self.desk.place_in(symbol, now, self.account(), order);
        }
        self.desk.core.await_no_more(symbol);
    }

    fn place(&mut self, which: usize, order: &str, awaited: bool) {
        self.place_only(which, order, awaited);
        self.desk.run(Vec::new());
    }

    /// After a restart the source tells everything anew: the quote of each symbol, and a trade of what has traded.
    fn start(&mut self) {
        for (which, symbol) in SYMBOLS.into_iter().enumerate() {
            self.quote(which, 10_000, 10, 5);
            if self.desk.core.glance(symbol).is_some_and(|glance| glance.kinds.trades) {
                self.tell("trade", Some(which), r#","price":"100.05","size":"7""#);
            }
        }
    }

    fn step(&mut self, step: &Step, restarts: bool) {
        let limit = |limit: &Option<i64>| {
            limit.map(|limit| format!(" @ {}", cents(limit))).unwrap_or_default()
        };
        match step {
            Step::Quote { which, bid, spread, size, late } => {
                self.now -= TimeDelta::seconds(*late);
                self.quote(*which, *bid, *spread, *size);
                self.now += TimeDelta::seconds(*late);
            }
            Step::Trade { which, price } => {
                let rest = format!(r#","price":"{}","size":"7""#, cents(*price));
                self.tell("trade", Some(*which), &rest);
            }
            Step::Bar { which, price } => {
                let (mid, high) = (cents(*price), cents(price + 9));
                let rest = format!(
                    r#","open":"{mid}","high":"{high}","low":"{mid}","close":"{high}","volume":"9","span":"1m""#
                );
                self.tell("bar", Some(*which), &rest);
            }
            Step::Depth { which } => self.tell("depth", Some(*which), r#","bids":[],"asks":[]"#),
            Step::Clock => self.tell("clock", None, ""),
            Step::Again { back } => {
                if let Some(line) = self.told.len().checked_sub(*back).map(|n| self.told[n].clone())
                {
                    self.desk.line(&line);
                }
            }
            Step::Place { which, qty, limit: at, kind, awaited } => {
                let awaited = *awaited || restarts;
                self.place(*which, &format!("buy {qty}{} {kind}", limit(at)), awaited);
            }
            Step::PlaceStop { which, qty, limit: at, stop, awaited } => {
                let (awaited, stop) = (*awaited || restarts, stop.words());
                self.place(*which, &format!("buy {qty}{stop}{} gtc", limit(at)), awaited);
            }
            Step::PlaceTrailing { which, qty, trail, by_quote } => {
                let by = if *by_quote { " quote" } else { "" };
                self.place(*which, &format!("buy {qty}{}{by} gtc", trail.words()), true);
            }
            Step::SellAll { which, limit: at } => {
                let id = InstrumentId::of_symbol(SYMBOLS[*which]);
                let held = self.desk.held_of(self.account(), id);
                if held != "0" {
                    self.place(*which, &format!("sell {held}{} gtc", limit(at)), true);
                }
            }
            Step::Cancel { n } => {
                self.desk.cancel(self.account(), *n);
            }
            Step::Status { which, halted } => {
                let state = if *halted { "halted" } else { "trading" };
                self.tell("status", Some(*which), &format!(r#","state":"{state}""#));
            }
            // A restart loses the official closes of what nobody works, and with them what a fraction is paid.
            Step::Split { which } if !restarts => {
                self.actions += 1;
                let id = self.actions;
                let rest = format!(r#","numerator":"3","denominator":"2","id":"s{id}""#);
                self.tell("split", Some(*which), &rest);
            }
            Step::Dividend { which } => {
                self.actions += 1;
                let id = self.actions;
                let rest = format!(
                    r#","amount":"0.10","ex":"2026-11-25","pay":"2026-11-27","id":"d{id}""#
                );
                self.tell("dividend", Some(*which), &rest);
            }
            Step::Wait { seconds } => self.now += TimeDelta::seconds(*seconds),
            Step::LoseAfterPlacing { which, qty, limit: at } if restarts => {
                self.place_only(*which, &format!("buy {qty}{} gtc", limit(at)), true);
                self.desk.rebuild();
                self.start();
            }
            Step::Rebuild if restarts => {
                self.desk.rebuild();
                self.start();
            }
            Step::Reload if restarts => {
                self.desk.reload();
                self.start();
            }
            _ => {}
        }
    }

    fn play(&mut self, steps: &[Step], restarts: bool) {
        for which in 0..SYMBOLS.len() {
            self.quote(which, 10_000, 10, 5);
        }
        for step in steps {
            self.step(step, restarts);
        }
    }

    /// Every event in words, without places on the tape.
    fn log(&self) -> Vec<String> {
        let mut log = Vec::new();
        for (stream, event) in &self.desk.log {
            let kind = event.event_type();
            let mut event: serde_json::Value =
                serde_json::from_str(&event.payload().unwrap()).unwrap();
            forget_places(&mut event);
            log.push(format!("{stream:?} {kind} {event}"));
        }
        log
    }

    /// What is shown of each symbol, without places on the tape, and the clock.
    fn shown(&self) -> Vec<String> {
        let mut shown = vec![format!("{:?}", self.desk.core.clock())];
        for symbol in SYMBOLS {
            let glance = self.desk.core.glance(symbol).unwrap();
            let quote = glance.quote.map(|quote| super::super::Standing { place: 0, ..quote });
            shown
                .push(format!("{quote:?} {:?} {:?} {}", glance.last, glance.closed, glance.halted));
        }
        shown
    }

    /// Order, line, price and quantity of every fill; the line has to be on the tape where the fill says.
    fn fills(&self) -> Vec<String> {
        let mut fills = Vec::new();
        for (stream, event) in &self.desk.log {
            let Event::Order(OrderEvent::OrderFilled { qty, price, evidence, .. }) = event else {
                continue;
            };
            let (_, _, _, tick) = &self.desk.tape[evidence.tape_place as usize - 1];
            assert_eq!(tick.at(), Some(evidence.at));
            match (tick, &evidence.tick) {
                (Tick::Quote(quote), EvidenceTick::Quote { bid, bid_size, ask, ask_size }) => {
                    assert_eq!((&quote.bid, &quote.bid_size), (bid, bid_size));
                    assert_eq!((&quote.ask, &quote.ask_size), (ask, ask_size));
                }
                (Tick::Trade(trade), EvidenceTick::Trade { price, size }) => {
                    assert_eq!((&trade.price, &trade.size), (price, size));
                }
                (Tick::Bar(bar), EvidenceTick::Bar { open, close, .. }) => {
                    assert_eq!((&bar.open, &bar.close), (open, close));
                }
                other => panic!("a fill against another line: {other:?}"),
            }
            fills.push(format!("{stream:?} {} {price} {qty}", tick.to_line()));
        }
        fills
    }

    /// What the engine knows is what it finds again from log and tape.
    fn is_a_fold(&mut self) -> Result<(), TestCaseError> {
        let known = self.desk.core.state().clone();
        self.desk.rebuild();
        let found = self.desk.core.state();
        prop_assert_eq!(&known.orders, &found.orders);
        prop_assert_eq!(&known.issues, &found.issues);
        prop_assert_eq!(&known.holders, &found.holders);
        prop_assert_eq!(known.session, found.session);
        prop_assert_eq!((known.clock, known.place), (found.clock, found.place));
        Ok(())
    }
}

fn forget_places(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            // The ids of fills and lots are made from places.
            for field in ["tape_place", "fill_id", "lot_id", "settlement_id"] {
                fields.remove(field);
            }
            fields.values_mut().for_each(forget_places);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(forget_places),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_recorded_changes_nothing_of_what_happens(
        steps in prop::collection::vec(step(), 1..80),
        age in prop::sample::select(vec![None, Some(60)]),
    ) {
        let mut scenes = [Record::All, Record::Working].map(|record| {
            let mut scene = Scene::new(record, age);
            scene.play(&steps, false);
            scene
        });
        let [all, working] = &scenes;
        let logs = all.log().into_iter().zip(working.log());
        for (all, working) in logs {
            prop_assert_eq!(all, working);
        }
        prop_assert_eq!(all.desk.log.len(), working.desk.log.len());
        prop_assert_eq!(all.shown(), working.shown());
        prop_assert_eq!(all.fills(), working.fills());
        for scene in &mut scenes {
            scene.is_a_fold()?;
        }
    }

    #[test]
    fn wherever_it_is_lost_the_engine_fills_as_if_everything_had_been_recorded(
        steps in prop::collection::vec(step(), 1..80),
        age in prop::sample::select(vec![None, Some(60)]),
    ) {
        let [all, working] = [Record::All, Record::Working].map(|record| {
            let mut scene = Scene::new(record, age);
            scene.play(&steps, true);
            (scene.fills(), scene.desk.log.iter().filter(|(stream, _)| {
                matches!(stream, StreamId::Order(_))
            }).count())
        });
        prop_assert_eq!(all, working);
    }
}

#[test]
fn a_symbol_that_nobody_works_leaves_nothing_on_the_tape_and_an_order_brings_it_there() {
    let mut scene = Scene::new(Record::Working, Some(60));
    scene.now = "2026-11-23T15:00:00Z".parse().unwrap();
    scene.tell("clock", None, "");
    let before = scene.desk.tape.len();
    for n in 0..50 {
        scene.quote(1, 10_000 + n, 10, 20);
    }
    assert_eq!(scene.desk.tape.len(), before);
    assert_eq!(scene.desk.core.glance("IBM").unwrap().quote.unwrap().bid.to_string(), "100.49");
    scene.place(1, "buy 5 @ 101.00 day", true);
    assert_eq!(scene.desk.trades(), [(1, "100.59".into(), "5".into())]);
    let lines: Vec<&str> = scene.desk.tape[before..]
        .iter()
        .map(|(_, _, _, tick)| if tick.symbol().is_some() { "quote" } else { "clock" })
        .collect();
    assert_eq!(lines, ["quote", "clock"]);
    // Held: every line is kept, and the size that was taken stays taken.
    scene.quote(1, 10_000, 10, 20);
    scene.place(1, "buy 30 gtc", true);
    assert_eq!(scene.desk.trades()[1..], [(2, "100.10".into(), "20".into())]);
    let clock = scene.desk.core.clock();
    scene.desk.rebuild();
    assert_eq!(scene.desk.core.clock(), clock, "what an order was placed by is not forgotten");
    assert_eq!(scene.desk.trades().len(), 2);
    assert_eq!(scene.desk.status(2), OrderStatus::PartiallyFilled);
}

#[test]
fn a_clock_line_at_the_instant_of_a_line_that_passed_is_where_a_restart_begins() {
    let mut scene = Scene::new(Record::Working, Some(60));
    scene.now = "2026-11-23T15:00:00Z".parse().unwrap();
    scene.tell("clock", None, "");
    let before = scene.desk.tape.len();
    let desk = &mut scene.desk;
    let passed = r#"{"t":"quote","symbol":"IBM","bid":"100","bid_size":"1","ask":"101","ask_size":"1","at":"2026-11-23T15:00:33.066Z"}"#;
    desk.line(passed);
    assert_eq!(desk.tape.len(), before);
    let clock = desk.core.clock();
    desk.clock("2026-11-23T15:00:33.066Z");
    assert_eq!(desk.tape.len(), before + 1);
    let again = desk.line(r#"{"t":"clock","at":"2026-11-23T15:00:33.066Z"}"#);
    assert_eq!((again.ignored, desk.tape.len()), (Some(Reason::Duplicate), before + 1));
    desk.rebuild();
    assert_eq!(desk.core.clock(), clock);
}

#[test]
fn what_is_on_the_tape_of_a_symbol_that_nobody_works_any_more_fills_no_order_after_a_restart() {
    let mut scene = Scene::new(Record::Working, None);
    scene.now = "2026-11-23T15:00:00Z".parse().unwrap();
    scene.quote(0, 10_000, 10, 100);
    scene.place(0, "buy 5 gtc", true);
    scene.quote(0, 9_000, 10, 100);
    scene.place(0, "sell 5 gtc", true);
    // Recorded as the latest, then passed by another that is not.
    scene.quote(0, 20_000, 10, 100);
    scene.quote(0, 20_100, 10, 100);
    scene.desk.rebuild();
    scene.place(0, "buy 5 gtc", true);
    assert_eq!(scene.desk.trades().len(), 2, "the quote that stood is not known");
    scene.quote(0, 30_000, 10, 100);
    assert_eq!(scene.desk.trades()[2], (3, "300.10".into(), "5".into()));
}
