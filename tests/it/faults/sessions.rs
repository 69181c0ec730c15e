//! Orders for other hours than the regular ones, and the server killed while they wait.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stops::{call, feed};
use super::{verify_directory, writes};
use crate::support::rest::quote;
use crate::support::{Server, scratch_with_cluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_for_the_auctions_and_for_extended_hours_wait_through_a_kill_at_each_step() {
    let directory = scratch_with_cluster("sessions-and-kill").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    // 20:00 in New York.
    feed(&server, &[quote("AAPL", "99.00", "101.00", "2024-01-17T01:00:00Z")]).await;
    let account = json!({"name": "sessions", "kind": "cash", "starting_balance": "100000"});
    let account = call(&server, Method::POST, "/v1/accounts", Some(account)).await;
    let orders = format!("/v1/accounts/{}/orders", account["account_id"].as_str().unwrap());
    let place = async |server: &Server, more: Value| -> Value {
        let mut body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": "100"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(server, Method::POST, &orders, Some(body)).await
    };
    let opening = place(&server, json!({"time_in_force": "opg"})).await;
    let closing = place(&server, json!({"time_in_force": "cls"})).await;
    let early = place(&server, json!({"extended_hours": true})).await;
    let late = place(&server, json!({"extended_hours": true, "limit_price": "98"})).await;
    let status = async |server: &Server, order: &Value| -> Value {
        let path = format!("{orders}/{}", order["order_id"].as_str().unwrap());
        let order = call(server, Method::GET, &path, None).await;
        json!([order["status"], order["filled_avg_price"]])
    };
    let waits = json!(["accepted", null]);
    let trade = |price: &str, at: &str| json!({"t": "trade", "symbol": "AAPL", "price": price, "size": "10", "at": at});
    let auction = json!({"t": "auction", "symbol": "AAPL", "kind": "open", "price": "99.75", "size": "1000",
        "at": "2024-01-17T14:30:00Z"});
    let filled = |price: &str| json!(["filled", price]);
    for (lines, expected) in [
        // 05:00: a first quote that is better than its limit.
        (
            vec![quote("AAPL", "99.00", "99.50", "2024-01-17T10:00:00Z")],
            [waits.clone(), waits.clone(), filled("99.50"), waits.clone()],
        ),
        (vec![auction], [filled("99.75"), waits.clone(), filled("99.50"), waits.clone()]),
        // The market tells of its auctions, so the close waits five minutes for its line.
        (
            vec![
                trade("99.25", "2024-01-17T20:59:59Z"),
                json!({"t": "clock", "at": "2024-01-17T21:00:01Z"}),
            ],
            [filled("99.75"), waits.clone(), filled("99.50"), waits.clone()],
        ),
        (
            vec![quote("AAPL", "97.00", "97.50", "2024-01-17T21:05:00Z")],
            [filled("99.75"), filled("99.25"), filled("99.50"), filled("98.00")],
        ),
    ] {
        server.signal(Signal::KILL);
        assert!(!server.wait().success());
        server = Server::launch_with(directory.path(), &[]);
        writes(&server).await;
        feed(&server, &lines).await;
        let mut found = Vec::new();
        for order in [&opening, &closing, &early, &late] {
            found.push(status(&server, order).await);
        }
        assert_eq!(found, expected, "after {lines:?}");
    }
    drop(server);
    verify_directory(directory.path());
}
