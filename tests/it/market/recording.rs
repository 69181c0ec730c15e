//! What is recorded: with `--record working` a market that nobody trades in leaves next to nothing on the tape, an order
//! finds what it needs there, and nothing is lost by a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use blotter::engine::tape::decode;
use blotter::ledger::TapeBlock;
use blotter::market::tick::Tick;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{get, post};
use crate::support::{Server, blotter, scratch_with_cluster};

/// A fast market: some hundred lines a second.
const MARKET: [&str; 4] = ["--market", "simulated", "--speed", "60x"];
/// How long it plays before it is counted: by then each symbol has passed the quote that it began with, which is written once.
const BEGUN: Duration = Duration::from_secs(2);
/// How long it plays.
const PLAYED: Duration = Duration::from_secs(4);

/// The private Postgres of a server, by its socket.
async fn database(data_dir: &Path) -> PgPool {
    let socket = data_dir.join("pg").to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://blotter_auditor@{socket}:5432/blotter");
    PgPool::connect(&url).await.expect("the server's Postgres")
}

/// Lines of the tape, and their bytes with those of their digests.
async fn tape(data_dir: &Path) -> (i64, i64) {
    let pool = database(data_dir).await;
    let sums = "SELECT coalesce(max(last_place), 0), \
                coalesce(sum(octet_length(lines) + octet_length(digest)), 0)::bigint FROM tape";
    let found = sqlx::query_as(sums).fetch_one(&pool).await.expect("the tape");
    pool.close().await;
    found
}

/// Every line of the tape, by its place.
async fn lines(pool: &PgPool) -> BTreeMap<u64, Tick> {
    let blocks = "SELECT first_place, last_place, lines, digest FROM tape ORDER BY last_place";
    let blocks: Vec<(i64, i64, Vec<u8>, Vec<u8>)> =
        sqlx::query_as(blocks).fetch_all(pool).await.expect("the tape");
    let blocks = blocks.into_iter().map(|(first, last, bytes, digest)| TapeBlock {
        first_place: first.cast_unsigned(),
        last_place: last.cast_unsigned(),
        bytes,
        digest: digest.try_into().expect("32 bytes"),
    });
    let lines = blocks.flat_map(|block| decode(&block).expect("a whole block"));
    lines.map(|line| (line.place, line.tick)).collect()
}

async fn account(server: &Server) -> String {
    let body = json!({"name": "test", "kind": "cash", "starting_balance": "100000"});
    let opened = post(server, "/v1/accounts", body).await.expect(201);
    opened["account_id"].as_str().unwrap().to_owned()
}

async fn order(server: &Server, account: &str, order: Value) -> Value {
    post(server, &format!("/v1/accounts/{account}/orders"), order).await.expect(201)
}

async fn market_time(server: &Server) -> chrono::DateTime<chrono::Utc> {
    let hours = get(server, "/v1/market/hours").await.expect(200);
    hours["market_time"].as_str().unwrap().parse().unwrap()
}

/// Plays a market that nobody trades in; what is on the tape before and after.
async fn idle(record: &str) -> ((i64, i64), (i64, i64)) {
    let directory = scratch_with_cluster(&format!("idle-{record}")).await;
    let arguments = [&MARKET[..], &["--record", record]].concat();
    let server = Server::serve_with(directory.path(), &arguments).await;
    tokio::time::sleep(BEGUN).await;
    let before = tape(directory.path()).await;
    tokio::time::sleep(PLAYED).await;
    let after = tape(directory.path()).await;
    drop(server);
    (before, after)
}

#[tokio::test]
async fn a_market_that_nobody_trades_in_leaves_a_hundredth_on_the_tape() {
    let (all, working) = tokio::join!(idle("all"), idle("working"));
    let written =
        |(before, after): ((i64, i64), (i64, i64))| (after.0 - before.0, after.1 - before.1);
    println!(
        "in {PLAYED:?}, lines and bytes: all {:?}, working {:?}",
        written(all),
        written(working)
    );
    let (lines, bytes) = written(all);
    let (few, small) = written(working);
    assert!(lines > 500, "it played: {lines}");
    assert!(few * 50 < lines, "{few} of {lines} lines");
    assert!(small * 10 < bytes, "{small} of {bytes} bytes");
}

#[tokio::test]
async fn an_order_fills_is_kept_through_a_crash_and_the_ledger_verifies() {
    let directory = scratch_with_cluster("working-crash").await;
    let mut server = Server::serve_with(directory.path(), &MARKET).await;
    let account = account(&server).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bought = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    let bought = order(&server, &account, bought).await;
    assert_eq!((&bought["status"], &bought["filled_qty"]), (&json!("filled"), &json!("10")));
    let low = json!({"symbol": "MSFT", "side": "buy", "type": "limit", "qty": "1", "limit_price": "1.00",
                     "time_in_force": "gtc"});
    let resting = order(&server, &account, low).await;
    assert_eq!(resting["status"], "accepted");
    let placed: chrono::DateTime<chrono::Utc> =
        resting["created_at"].as_str().unwrap().parse().unwrap();
    server.signal(Signal::KILL);
    server.wait();
    drop(server);

    let paused = [&MARKET[..], &["--paused"]].concat();
    let server = Server::serve_with(directory.path(), &paused).await;
    assert!(market_time(&server).await >= placed, "the clock does not go back behind an order");
    let path = format!("/v1/accounts/{account}/orders/{}", resting["order_id"].as_str().unwrap());
    assert_eq!(get(&server, &path).await.expect(200)["status"], "accepted");
    let sold = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "10"});
    let sold = order(&server, &account, sold).await;
    assert_eq!(sold["status"], "filled", "{sold}");
    let other = json!({"symbol": "NVDA", "side": "buy", "type": "market", "qty": "1"});
    let other = order(&server, &account, other).await;
    assert_eq!(other["status"], "filled", "of a symbol that nobody had worked: {other}");
    let verdict = get(&server, "/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], json!(true), "{verdict}");
    drop(server);
    let verified =
        blotter(&["audit", "verify", "--data-dir"]).arg(directory.path()).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[tokio::test]
async fn every_fill_names_the_line_that_the_tape_has_at_its_place_whenever_the_server_was_killed() {
    let directory = scratch_with_cluster("working-evidence").await;
    let mut account_id = None;
    for killed_after in [150, 400, 900] {
        let mut server = Server::serve_with(directory.path(), &MARKET).await;
        let account_id = match &account_id {
            Some(account_id) => account_id,
            None => account_id.insert(account(&server).await),
        };
        let (client, token) = (reqwest::Client::new(), server.token().to_owned());
        let url = format!("{}/v1/accounts/{account_id}/orders", server.base());
        let instruments =
            get(&server, "/v1/market/instruments?kind=stock&limit=100").await.expect(200);
        let symbols = instruments["items"].as_array().unwrap().iter();
        let orders = symbols.enumerate().map(|(n, instrument)| {
            // A third sells again what was bought before, so symbols come and go.
            let side = if n % 3 == 2 { "sell" } else { "buy" };
            let order =
                json!({"symbol": instrument["symbol"], "side": side, "type": "market", "qty": "1"});
            client.post(&url).bearer_auth(&token).json(&order).send()
        });
        let kill = async {
            tokio::time::sleep(Duration::from_millis(killed_after)).await;
            server.signal(Signal::KILL);
        };
        let placing = async {
            let _the_server_is_killed_meanwhile =
                tokio::time::timeout(Duration::from_secs(3), futures::future::join_all(orders))
                    .await;
        };
        tokio::join!(kill, placing);
        server.wait();
    }
    let server = Server::serve_with(directory.path(), &MARKET).await;
    let pool = database(directory.path()).await;
    let fills = "SELECT payload::text FROM events WHERE event_type = 'OrderFilled'";
    let fills: Vec<String> = sqlx::query_scalar(fills).fetch_all(&pool).await.expect("the log");
    let lines = lines(&pool).await;
    pool.close().await;
    assert!(fills.len() > 20, "{} fills", fills.len());
    for fill in fills {
        let fill: Value = serde_json::from_str(&fill).unwrap();
        let evidence = &fill["OrderFilled"]["evidence"];
        let quoted = &evidence["tick"]["quote"];
        let line = &lines[&evidence["tape_place"].as_u64().unwrap()];
        let line: Value = serde_json::from_str(&line.to_line()).unwrap();
        for figure in ["bid", "bid_size", "ask", "ask_size"] {
            assert_eq!(line[figure], quoted[figure], "{line} is not what filled {fill}");
        }
        assert_eq!(line["at"], evidence["at"], "{line} is not what filled {fill}");
    }
    let verdict = get(&server, "/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], json!(true), "{verdict}");
}

#[tokio::test]
async fn bars_of_a_feed_with_gaps_are_refused_by_name() {
    let directory = scratch_with_cluster("working-feed").await;
    let arguments = ["--market", "feed", "--hours", "always", "--record", "working"];
    let server = Server::serve_with(directory.path(), &arguments).await;
    let lines = (0..20).map(|second| {
        format!(
            r#"{{"t":"trade","symbol":"AAPL","price":"10.00","size":"1","at":"2026-11-23T15:00:{second:02}Z"}}"#
        )
    });
    let lines: Vec<String> = lines.collect();
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/market/feed", server.base()))
        .bearer_auth(server.token())
        .header("content-type", "application/x-ndjson")
        .body(lines.join("\n"))
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["accepted"], 20, "{answer}");
    let refused = get(&server, "/v1/market/bars/AAPL?timeframe=1Min").await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("--record working"), "{refused}");
    let quote = get(&server, "/v1/market/quotes/AAPL").await.expect(200);
    assert_eq!(quote["last"]["at"], "2026-11-23T15:00:19Z", "{quote}");
}
