//! A bracket, and the server killed between its steps: placed, its entry filled in part, one exit filled in part; one
//! that buys first and one that sells short first.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stops::{call, feed};
use super::{verify_directory, writes};
use crate::support::rest::{OPEN, quote};
use crate::support::{Server, scratch_with_cluster};

fn sized(bid: (&str, &str), ask: (&str, &str), at: &str) -> Value {
    let mut line = quote("AAPL", bid.0, ask.0, at);
    (line["bid_size"], line["ask_size"]) = (json!(bid.1), json!(ask.1));
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bracket_goes_on_after_a_kill_between_any_two_of_its_steps() {
    let directory = scratch_with_cluster("bracket-and-kill").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    feed(&server, &[sized(("99.00", "100"), ("101.00", "100"), OPEN)]).await;
    let account = json!({"name": "brackets", "kind": "cash", "starting_balance": "100000"});
    let account = call(&server, Method::POST, "/v1/accounts", Some(account)).await;
    let account = format!("/v1/accounts/{}", account["account_id"].as_str().unwrap());
    let orders = format!("{account}/orders");
    let bracket = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "100", "limit_price": "100",
        "time_in_force": "gtc", "order_class": "bracket", "client_order_id": "b",
        "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"}});
    let placed = call(&server, Method::POST, &orders, Some(bracket.clone())).await;
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    let steps = [
        (None, ("accepted", "0"), ["held", "held"], ["100", "100"]),
        (
            Some(sized(("99.00", "100"), ("100.00", "60"), "2024-01-17T15:00:10Z")),
            ("partially_filled", "60"),
            ["accepted", "accepted"],
            ["60", "60"],
        ),
        (
            Some(sized(("110.00", "20"), ("111.00", "100"), "2024-01-17T15:00:20Z")),
            ("partially_filled", "60"),
            ["partially_filled", "accepted"],
            ["60", "40"],
        ),
        (
            Some(sized(("99.00", "100"), ("100.00", "100"), "2024-01-17T15:00:30Z")),
            ("filled", "100"),
            ["partially_filled", "accepted"],
            ["100", "80"],
        ),
        (
            Some(sized(("94.00", "50"), ("95.00", "100"), "2024-01-17T15:00:40Z")),
            ("filled", "100"),
            ["partially_filled", "partially_filled"],
            ["50", "80"],
        ),
        (
            Some(sized(("93.00", "100"), ("94.00", "100"), "2024-01-17T15:00:50Z")),
            ("filled", "100"),
            ["canceled", "filled"],
            ["50", "80"],
        ),
    ];
    for (line, (status, filled), exits, quantities) in steps {
        if let Some(line) = line {
            feed(&server, &[line]).await;
        }
        server.signal(Signal::KILL);
        assert!(!server.wait().success());
        server = Server::launch_with(directory.path(), &[]);
        writes(&server).await;
        let order = call(&server, Method::GET, &path, None).await;
        let children = &order["children"];
        let shown = json!([
            order["status"],
            order["filled_qty"],
            children[0]["status"],
            children[1]["status"],
            children[0]["qty"],
            children[1]["qty"]
        ]);
        let [profit, loss] = exits;
        assert_eq!(shown, json!([status, filled, profit, loss, quantities[0], quantities[1]]));
    }
    let again = call(&server, Method::POST, &orders, Some(bracket)).await;
    assert_eq!((&again["replayed"], &again["order_id"]), (&json!(true), &placed["order_id"]));
    // 100 at 100 bought; 20 at 110, 50 at 94 and 30 at 93 sold.
    let now = call(&server, Method::GET, &account, None).await;
    assert_eq!((&now["cash"], &now["reserved"]), (&json!("99690.00"), &json!("0.00")));
    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_bracket_goes_on_after_a_kill_and_replays() {
    let directory = scratch_with_cluster("short-bracket-and-kill").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    feed(&server, &[sized(("99.00", "100"), ("101.00", "100"), OPEN)]).await;
    let account = json!({"name": "shorts", "kind": "margin", "starting_balance": "100000"});
    let account = call(&server, Method::POST, "/v1/accounts", Some(account)).await;
    let account = format!("/v1/accounts/{}", account["account_id"].as_str().unwrap());
    let orders = format!("{account}/orders");
    let bracket = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "100", "limit_price": "100",
        "time_in_force": "gtc", "order_class": "bracket", "client_order_id": "b",
        "take_profit": {"limit_price": "90"}, "stop_loss": {"stop_price": "105"}});
    let placed = call(&server, Method::POST, &orders, Some(bracket)).await;
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    let steps = [
        // A fraction is shown: what is short is in whole shares.
        (
            sized(("100.00", "60.5"), ("101.00", "100"), "2024-01-17T15:00:10Z"),
            ("partially_filled", "60"),
            ["accepted", "accepted"],
            ["60", "60"],
        ),
        (
            sized(("89.00", "100"), ("90.00", "20"), "2024-01-17T15:00:20Z"),
            ("partially_filled", "60"),
            ["partially_filled", "accepted"],
            ["60", "40"],
        ),
        (
            sized(("100.00", "100"), ("101.00", "100"), "2024-01-17T15:00:30Z"),
            ("filled", "100"),
            ["partially_filled", "accepted"],
            ["100", "80"],
        ),
        (
            sized(("105.00", "100"), ("106.00", "50"), "2024-01-17T15:00:40Z"),
            ("filled", "100"),
            ["partially_filled", "partially_filled"],
            ["50", "80"],
        ),
        (
            sized(("106.00", "100"), ("107.00", "100"), "2024-01-17T15:00:50Z"),
            ("filled", "100"),
            ["canceled", "filled"],
            ["50", "80"],
        ),
    ];
    for (line, (status, filled), exits, quantities) in steps {
        feed(&server, &[line]).await;
        server.signal(Signal::KILL);
        assert!(!server.wait().success());
        server = Server::launch_with(directory.path(), &[]);
        writes(&server).await;
        let order = call(&server, Method::GET, &path, None).await;
        let children = &order["children"];
        let shown = json!([
            order["status"],
            order["filled_qty"],
            children[0]["status"],
            children[1]["status"],
            children[0]["qty"],
            children[1]["qty"]
        ]);
        let [profit, loss] = exits;
        assert_eq!(shown, json!([status, filled, profit, loss, quantities[0], quantities[1]]));
    }
    // 100 at 100 sold; 20 at 90, 50 at 106 and 30 at 107 bought.
    let now = call(&server, Method::GET, &account, None).await;
    assert_eq!((&now["cash"], &now["reserved"]), (&json!("99690.00"), &json!("0.00")));
    drop(server);
    verify_directory(directory.path());
}
