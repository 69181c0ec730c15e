//! What a server that does not write tells of the market: it follows the tape of the one that does.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::rest::{TOKEN, quote, send};
use crate::support::{Server, TestDatabase, scratch_directory};

/// Within which it is where the writer is: far more than it needs.
const SOON: Duration = Duration::from_secs(20);

async fn get(base: &str, path: &str) -> (u16, Value) {
    let request = Client::new().get(format!("{base}{path}")).bearer_auth(TOKEN);
    let answer = send(request).await;
    (answer.status.as_u16(), answer.json())
}

async fn post(base: &str, path: &str, body: String, status: u16) -> Value {
    let request = Client::new().request(Method::POST, format!("{base}{path}"));
    let kind = if path.ends_with("feed") { "application/x-ndjson" } else { "application/json" };
    let request = request.bearer_auth(TOKEN).header("content-type", kind).body(body);
    send(request).await.expect(status)
}

/// Waits until what a server answers is as wanted.
async fn becomes(base: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, answer) = get(base, path).await;
        if status == 200 && wanted(&answer) {
            return answer;
        }
        assert!(began.elapsed() < SOON, "{path} is {status} {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_write_shows_prices_and_the_marks_of_orders_that_follow_them() {
    let database = TestDatabase::new().await;
    let url = database.url("postgres");
    let arguments = ["--database-url", &url];
    let (first, second) = (scratch_directory("writes"), scratch_directory("follows"));
    let mut writer = Server::launch_with(first.path(), &arguments);
    becomes(writer.base(), "/readyz", |health| health["writer"] == true).await;
    let standby = Server::launch_with(second.path(), &arguments);
    becomes(standby.base(), "/readyz", |health| health["writer"] == false).await;
    let feed = async |lines: &[Value]| {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        post(writer.base(), "/v1/market/feed", lines, 200).await;
    };
    feed(&[quote("AAPL", "99", "101", "2024-01-17T15:00:00Z")]).await;
    let account = json!({"name": "one", "kind": "cash", "starting_balance": "10000"}).to_string();
    let account = post(writer.base(), "/v1/accounts", account, 201).await;
    let orders = format!("/v1/accounts/{}/orders", account["account_id"].as_str().unwrap());
    let order = json!({"symbol": "AAPL", "side": "buy", "type": "trailing_stop", "qty": "10",
        "trail_price": "5", "trigger_by": "quote", "time_in_force": "gtc"});
    let placed = post(writer.base(), &orders, order.to_string(), 201).await;
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    feed(&[
        quote("AAPL", "96", "97", "2024-01-17T15:00:01Z"),
        quote("AAPL", "97", "98", "2024-01-17T15:00:02Z"),
    ])
    .await;
    let asked = "/v1/market/quotes/AAPL";
    let shown = becomes(standby.base(), asked, |it| it["quote"]["ask"] == "98.00").await;
    assert_eq!(shown["market_time"], "2024-01-17T15:00:02Z");
    let here = becomes(standby.base(), &path, |order| order["hwm"] == "97.00").await;
    let there = get(writer.base(), &path).await.1;
    assert_eq!(json!([here["hwm"], here["stop_price"]]), json!(["97.00", "102.00"]));
    assert_eq!(there["hwm"], here["hwm"]);
    let refused = post(standby.base(), &orders, order.to_string(), 503).await;
    assert_eq!(refused["code"], "not_writer");
    writer.signal(Signal::KILL);
    writer.wait();
    becomes(standby.base(), "/readyz", |health| health["writer"] == true).await;
    let after = becomes(standby.base(), &path, |order| order["hwm"] == "97.00").await;
    assert_eq!(after["stop_price"], "102.00");
}
