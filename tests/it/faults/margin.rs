//! A margin account that is short and has orders open, and the server killed.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stops::{call, feed};
use super::{verify_directory, writes};
use crate::support::rest::{OPEN, TOKEN, quote, send};
use crate::support::{Server, scratch_with_cluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_account_is_after_a_kill_what_it_was_and_trades_on() {
    let directory = scratch_with_cluster("short-and-kill").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    feed(&server, &[quote("AAPL", "50.00", "50.00", OPEN), quote("F", "10.00", "10.00", OPEN)])
        .await;
    let body = json!({"name": "short", "kind": "margin", "starting_balance": "10000"});
    let opened = call(&server, Method::POST, "/v1/accounts", Some(body)).await;
    let account = format!("/v1/accounts/{}", opened["account_id"].as_str().unwrap());
    let orders = format!("{account}/orders");
    let place = async |server: &Server, body: Value| -> Value {
        call(server, Method::POST, &orders, Some(body)).await
    };
    let sell = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "100"});
    assert_eq!(place(&server, sell).await["status"], "filled");
    // 15,000 of cash less 5,000 of shares: 2,500 back them, and 1,000 the order that rests.
    let resting = json!({"symbol": "F", "side": "buy", "type": "limit", "qty": "250", "limit_price": "8",
        "time_in_force": "gtc"});
    place(&server, resting).await;
    let cover = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "30", "limit_price": "40",
        "time_in_force": "gtc"});
    place(&server, cover).await;
    let figures = async |server: &Server| -> Value {
        let now = call(server, Method::GET, &account, None).await;
        let names = ["cash", "reserved", "buying_power", "equity", "initial_margin"];
        Value::from_iter(names.map(|name| now[name].clone()))
    };
    let expected = json!(["15000.00", "1000.00", "13000.00", "10000.00", "2500.00"]);
    assert_eq!(figures(&server).await, expected);

    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    assert_eq!(figures(&server).await, expected);
    // The prices that a decision needs are there again, with nothing sent: 13,000 of stock can be bought.
    let beyond =
        json!({"symbol": "F", "side": "buy", "type": "limit", "qty": "1301", "limit_price": "10"});
    let request = reqwest::Client::new().post(format!("{}{orders}", server.base()));
    let refused = send(request.bearer_auth(TOKEN).json(&beyond)).await;
    assert_eq!(refused.status.as_u16(), 422, "{}", refused.text);
    assert_eq!(refused.json()["figures"], json!({"needed": "13010.00", "available": "13000.00"}));
    let within =
        json!({"symbol": "F", "side": "buy", "type": "limit", "qty": "1000", "limit_price": "10"});
    assert_eq!(place(&server, within).await["filled_qty"], "1000");
    feed(
        &server,
        &[
            quote("AAPL", "39.00", "40.00", "2024-01-17T15:01:00Z"),
            quote("F", "7.00", "8.00", "2024-01-17T15:01:00Z"),
        ],
    )
    .await;
    let short = call(&server, Method::GET, &format!("{account}/positions/AAPL"), None).await;
    let shown = json!([short["qty"], short["realized_pl"], short["side"]]);
    assert_eq!(shown, json!(["-70", "300.00", "short"]));
    let long = call(&server, Method::GET, &format!("{account}/positions/F"), None).await;
    assert_eq!(long["qty"], "1250");
    // 15,000 less 10,000, 1,200 and 2,000; 1,250 F at 7 and -70 AAPL at 40.
    let held = json!(["1800.00", "0.00", "3950.00", "7750.00", "5775.00"]);
    assert_eq!(figures(&server).await, held);

    drop(server);
    verify_directory(directory.path());
}
