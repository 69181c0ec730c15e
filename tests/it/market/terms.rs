//! Hours that change with a start: what was traded stays, and the market goes on by the new ones.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{get, post};
use crate::support::rest::quote;
use crate::support::{Server, scratch_with_cluster};

async fn feed(server: &Server, lines: &[Value]) -> Value {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = reqwest::Client::new().post(format!("{}/v1/market/feed", server.base()));
    let request =
        request.bearer_auth(server.token()).header("content-type", "application/x-ndjson");
    crate::support::rest::send(request.body(body)).await.expect(200)
}

fn daily_bar(at: &str) -> Value {
    json!({"t": "bar", "symbol": "IBM", "open": "9", "high": "9", "low": "9", "close": "9", "volume": "5", "at": at, "span": "1d"})
}

#[tokio::test]
async fn a_killed_server_that_is_started_with_other_hours_trades_on() {
    let directory = scratch_with_cluster("other-hours").await;
    let orders = async |server: &Server, account: &str, body: Value| {
        post(server, &format!("/v1/accounts/{account}/orders"), body).await.expect(201)
    };
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});

    let mut server = Server::serve_with(directory.path(), &["--hours", "always"]).await;
    feed(&server, &[daily_bar("2026-11-23T05:00:00Z")]).await;
    feed(&server, &[quote("AAPL", "100", "101", "2026-11-24T10:00:00Z")]).await;
    let body = json!({"name": "test", "kind": "cash", "starting_balance": "10000"});
    let account = post(&server, "/v1/accounts", body).await.expect(201);
    let account = account["account_id"].as_str().unwrap().to_owned();
    assert_eq!(orders(&server, &account, buy.clone()).await["status"], "filled");
    feed(
        &server,
        &[daily_bar("2026-11-25T05:00:00Z"), json!({"t": "clock", "at": "2026-11-25T10:00:00Z"})],
    )
    .await;
    server.signal(Signal::KILL);
    server.wait();

    let mut server = Server::serve_with(directory.path(), &["--hours", "nyse"]).await;
    assert_eq!(get(&server, "/v1/market/hours").await.expect(200)["is_open"], false);
    feed(&server, &[json!({"t": "clock", "at": "2026-11-26T06:00:00Z"})]).await;
    let waiting = orders(&server, &account, buy.clone()).await;
    assert_eq!(waiting["status"], "accepted", "the exchange is closed at night");
    server.signal(Signal::KILL);
    server.wait();

    let server = Server::serve_with(directory.path(), &["--hours", "always"]).await;
    feed(&server, &[quote("AAPL", "100", "102", "2026-11-26T10:00:00Z")]).await;
    let path = format!("/v1/accounts/{account}/orders/{}", waiting["order_id"].as_str().unwrap());
    let filled = get(&server, &path).await.expect(200);
    assert_eq!(
        (&filled["status"], &filled["filled_avg_price"]),
        (&json!("filled"), &json!("102.00"))
    );
}
