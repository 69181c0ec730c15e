//! The engine on a real ledger: lines become tape and fills in one commit, and a restart finds where it was.

use std::path::Path;
use std::time::Duration;

use aggregates::id::{AccountId, OPERATOR_TENANT};
use aggregates::market::MarketTime;
use aggregates::order::OrderEvent;
use aggregates::stream::Event;
use aggregates::trading::Command;
use blotter::engine::core::{Reason, Settings};
use blotter::engine::{Control, Engine, PostgresHistory, engine, player};
use blotter::market::calendar::Calendar;
use blotter::market::pace::{Pace, Speed};
use blotter::market::playback::Playback;
use blotter::market::reading::parse_lines;
use blotter::market::recorded::Recorded;
use projections::log::read_after;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::TestDatabase;
use crate::support::ledger::{TestLedger, buy};

/// A ledger and an engine on it, until dropped.
struct Running {
    test: TestLedger,
    engine: Engine,
    _stop: DropGuard,
}

impl Running {
    async fn start(database: &TestDatabase, name: &str) -> Self {
        let mut test = TestLedger::start(database, name).await;
        let feed = test.tenure.take().unwrap().feed;
        let (engine, mut works) = engine();
        let settings = Settings { max_quote_age: None, ..Settings::new(Calendar::nyse()) };
        let history = PostgresHistory::new(database.writer.clone(), 0);
        let (ledger, stop) = (test.ledger.clone(), CancellationToken::new());
        let until = stop.clone();
        tokio::spawn(async move { works.term(&ledger, &history, &settings, feed, &until).await });
        let head = test.ledger.head().borrow().position;
        let started = engine.settled(head, Duration::from_secs(10)).await.is_some();
        assert!(started, "{:?}", engine.board().condition());
        Self { test, engine, _stop: stop.drop_guard() }
    }

    async fn lines(&self, text: &str) -> blotter::engine::Report {
        let ticks = parse_lines(text.as_bytes(), 1_000, MarketTime::MAX_UTC).unwrap();
        self.engine.lines("feed", ticks).await.unwrap()
    }

    /// Places a limit buy as a face does, and waits for its arrival to be evaluated.
    async fn buy(&self, account: AccountId, qty: &str, limit: &str, id: &str) -> u64 {
        let (order_id, command, key) = buy(account, "AAPL", qty, limit, id);
        let Command::Place { spec, .. } = command else { panic!("buy places") };
        let board = self.engine.board();
        let market = board.view_for(&spec).unwrap();
        let place = Command::Place { order_id, spec, market };
        let committed = self.test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
        let settled = self.engine.settled(committed.position, Duration::from_secs(5)).await;
        assert!(settled.is_some());
        committed.position
    }
}

/// Price, quantity and place on the tape of every fill in the log.
async fn fills(database: &TestDatabase) -> Vec<(String, String, u64)> {
    let mut auditor = database.auditor.begin().await.unwrap();
    let rows = read_after(&mut auditor, 0, 0, 10_000).await.unwrap();
    let fill = |event: Event| match event {
        Event::Order(OrderEvent::OrderFilled { price, qty, evidence, .. }) => {
            Some((price.to_string(), qty.to_string(), evidence.tape_place))
        }
        _ => None,
    };
    rows.iter().filter_map(|row| fill(row.event().unwrap())).collect()
}

const OPEN: &str = r#"{"t":"clock","at":"2024-01-17T15:00:00Z"}
{"t":"quote","symbol":"AAPL","bid":"187.20","bid_size":"300","ask":"187.25","ask_size":"100","at":"2024-01-17T15:00:01Z"}"#;
const LOWER: &str = r#"{"t":"quote","symbol":"AAPL","bid":"186.00","bid_size":"300","ask":"186.10","ask_size":"40","at":"2024-01-17T15:01:00Z"}"#;

fn fill(price: &str, qty: &str, place: u64) -> (String, String, u64) {
    (price.to_owned(), qty.to_owned(), place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_on_arrival_a_fill_by_a_line_and_a_restart_between_them() {
    let database = TestDatabase::new().await;
    let first = Running::start(&database, "one").await;
    assert!(first.engine.board().now().is_none(), "no clock yet");
    let report = first.lines(OPEN).await;
    assert_eq!((report.accepted, report.ignored), (2, 0));
    let account = first.test.account("100000").await;
    first.buy(account, "60", "188.00", "a").await;
    assert_eq!(fills(&database).await, [fill("187.25", "60", 2)]);
    first.buy(account, "60", "187.25", "b").await;
    first.buy(account, "10", "186.50", "c").await;
    let shown = [fill("187.25", "60", 2), fill("187.25", "40", 2)];
    assert_eq!(fills(&database).await, shown, "the displayed size is shared");
    drop(first);

    let second = Running::start(&database, "two").await;
    let again = second.lines(OPEN).await;
    let ignored: Vec<(Reason, u64)> = again.reasons.into_iter().collect();
    assert_eq!(ignored, [(Reason::Duplicate, 1), (Reason::OutOfOrder, 1)]);
    assert_eq!(fills(&database).await, shown, "a restart refills nothing");
    let glance = second.engine.board().glance("AAPL").unwrap();
    assert_eq!(glance.quote.as_ref().unwrap().ask.to_string(), "187.25");
    let report = second.lines(LOWER).await;
    let expected =
        [shown[0].clone(), shown[1].clone(), fill("187.25", "20", 3), fill("186.50", "10", 3)];
    assert_eq!(fills(&database).await, expected);
    assert_eq!(report.position, second.test.ledger.head().borrow().position);
    assert_eq!(second.test.ledger.head().borrow().tape_place, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lines_share_blocks_and_keep_their_places() {
    let database = TestDatabase::new().await;
    let running = Running::start(&database, "one").await;
    let lines: Vec<String> = (0..1_300)
        .map(|n| {
            let (minute, second) = (n / 60, n % 60);
            format!(
                r#"{{"t":"quote","symbol":"S{}","bid":"10.00","bid_size":"1","ask":"10.01","ask_size":"1","at":"2024-01-17T15:{minute:02}:{second:02}Z"}}"#,
                n % 7
            )
        })
        .collect();
    let ticks = parse_lines(lines.join("\n").as_bytes(), 2_000, MarketTime::MAX_UTC).unwrap();
    let report = running.engine.lines("feed", ticks).await.unwrap();
    assert_eq!(report.accepted, 1_300);
    let blocks: Vec<(i64, i64)> =
        sqlx::query_as("SELECT first_place, last_place FROM tape ORDER BY first_place")
            .fetch_all(database.writer.pool())
            .await
            .unwrap();
    assert!(blocks.len() <= 12, "seven lines list a symbol, the others share: {blocks:?}");
    let mut next = 1;
    for (first, last) in blocks {
        assert_eq!(first, next);
        next = last + 1;
    }
    assert_eq!(next, 1_301);
    assert_eq!(running.engine.board().glances().len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_market_runs_to_an_instant_and_fills_what_waited() {
    let database = TestDatabase::new().await;
    let running = Running::start(&database, "one").await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/daily-2008-autumn.jsonl.gz");
    let playback = Playback::new(Recorded::open(&path).unwrap(), Pace::new(Speed::Max, true));
    let stop = CancellationToken::new();
    let _until = stop.clone().drop_guard();
    let (player, plays) = player(playback, running.engine.clone(), stop);
    tokio::spawn(plays);
    let run_to = |at: &str| player.control(Control::RunTo(at.parse().unwrap()));
    run_to("2008-08-04T22:00:00Z").await.unwrap();
    let account = running.test.account("100000").await;
    running.buy(account, "10", "500.00", "a").await;
    assert_eq!(fills(&database).await, [], "bars that began before the order never fill it");
    run_to("2008-08-05T22:00:00Z").await.unwrap();
    let filled = fills(&database).await;
    assert_eq!(filled.len(), 1);
    assert_eq!(filled[0].1, "10");
    let now = running.engine.board().now().unwrap().at.to_rfc3339();
    assert_eq!(now, "2008-08-05T22:00:00+00:00");
    assert!(run_to("2008-08-01T22:00:00Z").await.is_err(), "time does not go back");
}
