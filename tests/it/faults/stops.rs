//! A stop that was triggered, and the server killed before it could fill.

use aggregates::order::OrderStatus;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{verify_directory, writes};
use crate::support::rest::{OPEN, TOKEN, quote, send};
use crate::support::{Server, scratch_with_cluster};

pub(super) async fn call(
    server: &Server,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Value {
    let request = reqwest::Client::new().request(method, format!("{}{path}", server.base()));
    let request = request.bearer_auth(TOKEN);
    let answer = send(match body {
        Some(body) => request.json(&body),
        None => request,
    });
    let answer = answer.await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    answer.json()
}

pub(super) async fn feed(server: &Server, lines: &[Value]) {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    let request = reqwest::Client::new()
        .post(format!("{}/v1/market/feed", server.base()))
        .bearer_auth(TOKEN)
        .header("content-type", "application/x-ndjson")
        .body(text.join("\n"));
    let answer = send(request).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
}

fn trade(price: &str, at: &str) -> Value {
    json!({"t": "trade", "symbol": "AAPL", "price": price, "size": "100", "at": at})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_was_triggered_before_a_kill_fills_after_it_and_one_that_waits_still_waits() {
    let directory = scratch_with_cluster("stop-and-kill").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    feed(
        &server,
        &[quote("AAPL", "99.00", "101.00", OPEN), trade("100.00", "2024-01-17T15:00:01Z")],
    )
    .await;
    let account = json!({"name": "stops", "kind": "cash", "starting_balance": "100000"});
    let account = call(&server, Method::POST, "/v1/accounts", Some(account)).await;
    let orders = format!("/v1/accounts/{}/orders", account["account_id"].as_str().unwrap());
    let place = async |server: &Server, body: Value| -> Value {
        call(server, Method::POST, &orders, Some(body)).await
    };
    place(&server, json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "50"})).await;
    let stop = json!({"symbol": "AAPL", "side": "sell", "type": "stop", "qty": "10",
        "stop_price": "95.00", "time_in_force": "gtc"});
    let first = place(&server, stop.clone()).await;
    let mut lower = stop;
    lower["stop_price"] = json!("90.00");
    let second = place(&server, lower).await;
    let trailing = place(
        &server,
        json!({"symbol": "AAPL", "side": "sell", "type": "trailing_stop", "qty": "10", "trail_price": "8.00",
            "trigger_by": "quote", "time_in_force": "gtc"}),
    )
    .await;
    assert_eq!((&trailing["hwm"], &trailing["stop_price"]), (&json!("99.00"), &json!("91.00")));
    let limited = place(
        &server,
        json!({"symbol": "AAPL", "side": "sell", "type": "trailing_stop_limit", "qty": "10", "trail_price": "4.00",
            "limit_offset": "0.50", "activation_price": "99.50", "trigger_by": "quote", "time_in_force": "gtc"}),
    )
    .await;
    let kept = place(
        &server,
        json!({"symbol": "AAPL", "side": "sell", "type": "trailing_stop_limit", "qty": "10", "trail_price": "4.00",
            "limit_offset": "0", "trigger_by": "quote", "time_in_force": "gtc"}),
    )
    .await;
    let shown = |order: &Value| json!([order["hwm"], order["stop_price"], order["limit_price"]]);
    assert_eq!(shown(&limited), json!([null, null, null]), "it does not follow the market yet");
    assert_eq!(first["status"], OrderStatus::Accepted.word());
    assert_eq!((&first["stop_price"], &first["trigger_by"]), (&json!("95.00"), &json!("last")));
    // The standing quote is older than the trade, so it does not fill what the trade triggers.
    feed(
        &server,
        &[
            quote("AAPL", "99.50", "101.00", "2024-01-17T15:00:30Z"),
            trade("94.00", "2024-01-17T15:01:00Z"),
        ],
    )
    .await;
    let read = async |server: &Server, order: &Value| -> Value {
        let path = format!("{orders}/{}", order["order_id"].as_str().unwrap());
        call(server, Method::GET, &path, None).await
    };
    assert_eq!(read(&server, &first).await["status"], OrderStatus::Triggered.word());

    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    assert_eq!(read(&server, &first).await["status"], OrderStatus::Triggered.word());
    assert_eq!(read(&server, &second).await["status"], OrderStatus::Accepted.word());
    let marked = read(&server, &trailing).await;
    assert_eq!((&marked["hwm"], &marked["stop_price"]), (&json!("99.50"), &json!("91.50")));
    assert_eq!(shown(&read(&server, &limited).await), json!(["99.50", "95.50", null]));
    feed(&server, &[quote("AAPL", "93.50", "94.50", "2024-01-17T15:02:00Z")]).await;
    let filled = read(&server, &first).await;
    assert_eq!(
        (&filled["status"], &filled["filled_avg_price"]),
        (&json!("filled"), &json!("93.50"))
    );
    assert_eq!(read(&server, &second).await["status"], OrderStatus::Accepted.word());
    // The bid of 93.50 has reached its stop and is below the limit that it has since.
    let triggered = read(&server, &limited).await;
    assert_eq!(triggered["status"], OrderStatus::Triggered.word());
    assert_eq!(shown(&triggered), json!(["99.50", "95.50", "95.00"]));
    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    feed(&server, &[quote("AAPL", "94.99", "96.00", "2024-01-17T15:02:30Z")]).await;
    assert_eq!(read(&server, &limited).await["status"], OrderStatus::Triggered.word());
    feed(&server, &[quote("AAPL", "95.10", "96.00", "2024-01-17T15:02:40Z")]).await;
    assert_eq!(read(&server, &limited).await["filled_avg_price"], "95.00");
    feed(
        &server,
        &[
            trade("89.00", "2024-01-17T15:03:00Z"),
            quote("AAPL", "88.00", "89.00", "2024-01-17T15:03:00Z"),
        ],
    )
    .await;
    assert_eq!(read(&server, &second).await["filled_avg_price"], "88.00");
    let sold = read(&server, &trailing).await;
    let shown = json!([sold["filled_avg_price"], sold["hwm"], sold["stop_price"]]);
    assert_eq!(shown, json!(["88.00", "99.50", "91.50"]));

    // What the audit finds kept of it is what its events say.
    let kept = read(&server, &kept).await;
    assert_eq!((&kept["status"], &kept["stop_price"]), (&json!("triggered"), &json!("95.50")));

    let path = format!("{orders}/{}/events", first["order_id"].as_str().unwrap());
    let events = call(&server, Method::GET, &path, None).await;
    let items = events["items"].as_array().unwrap();
    let types: Vec<&str> = items.iter().map(|e| e["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["OrderPlaced", "OrderTriggered", "OrderFilled"]);
    let trigger = &items[1]["payload"]["OrderTriggered"];
    assert_eq!(trigger["stop_price"], "95.00");
    assert_eq!(trigger["evidence"]["tick"]["trade"]["price"], "94.00", "it says why");
    drop(server);
    verify_directory(directory.path());
}
