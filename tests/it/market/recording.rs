//! What is recorded: with `--record working` a market that nobody trades in leaves next to nothing on the tape, an order
//! finds what it needs there, and nothing is lost by a crash.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{get, post};
use crate::support::{Server, blotter, scratch_with_cluster};

/// A fast market: some hundred lines a second.
const MARKET: [&str; 4] = ["--market", "simulated", "--speed", "60x"];
/// How long it plays.
const PLAYED: Duration = Duration::from_secs(4);

/// The private Postgres of a server, by its socket.
async fn database(data_dir: &Path) -> PgPool {
    let socket = data_dir.join("pg").to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://blotter_reader@{socket}:5432/blotter");
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
