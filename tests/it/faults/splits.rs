//! Options whose underlying is split, over REST, and the server killed right after it: the audit and the replay find what
//! the accounts were told.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stops::{call, feed};
use super::{verify_directory, writes};
use crate::options_trading::{contract, listed};
use crate::support::rest::{OPEN, instrument, quote};
use crate::support::{Server, scratch_with_cluster};

async fn killed(mut server: Server, directory: &std::path::Path) -> Server {
    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    let server = Server::launch_with(directory, &["--hours", "nyse"]);
    writes(&server).await;
    server
}

/// A server of the feed, with AAPL at 200 and options on it.
async fn quoted(directory: &std::path::Path) -> Server {
    let server = Server::launch_with(directory, &["--hours", "nyse"]);
    writes(&server).await;
    let mut lines = vec![instrument("AAPL")];
    lines.extend(
        [("C", 200), ("C", 210), ("P", 190)]
            .map(|(right, strike)| listed(&contract(right, strike))),
    );
    lines.push(quote("AAPL", "199", "200", OPEN));
    for (right, strike, bid, ask) in
        [("C", 200, "5.00", "5.10"), ("C", 210, "2.00", "2.05"), ("P", 190, "1.50", "1.60")]
    {
        lines.push(quote(&contract(right, strike), bid, ask, OPEN));
    }
    feed(&server, &lines).await;
    server
}

async fn open(server: &Server, kind: &str, level: u8) -> String {
    let body =
        json!({"name": kind, "kind": kind, "starting_balance": "100000", "option_level": level});
    let opened = call(server, Method::POST, "/v1/accounts", Some(body)).await;
    format!("/v1/accounts/{}", opened["account_id"].as_str().unwrap())
}

async fn place(server: &Server, account: &str, side: &str, symbol: &str, qty: &str) {
    let body = json!({"symbol": symbol, "side": side, "type": "market", "qty": qty});
    let placed = call(server, Method::POST, &format!("{account}/orders"), Some(body)).await;
    assert_eq!(placed["status"], "filled", "{placed}");
}

/// Symbol, quantity and cost of what an account holds.
async fn positions(server: &Server, account: &str) -> Vec<[String; 3]> {
    let answer = call(server, Method::GET, &format!("{account}/positions"), None).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |item: &Value| ["symbol", "qty", "cost_basis"].map(|name| text(&item[name]));
    let mut held: Vec<_> = answer["items"].as_array().unwrap().iter().map(of).collect();
    held.sort();
    held
}

/// Symbol, side, quantity and cash of what a split did to the options of an account.
async fn adjustments(server: &Server, account: &str) -> Vec<[String; 4]> {
    let path = format!("{account}/activities?types=OPCA");
    let answer = call(server, Method::GET, &path, None).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |item: &Value| ["symbol", "side", "qty", "net_amount"].map(|name| text(&item[name]));
    let mut told: Vec<_> = answer["items"].as_array().unwrap().iter().map(of).collect();
    told.sort();
    told
}

fn split(numerator: &str, denominator: &str) -> Value {
    json!({"t": "split", "symbol": "AAPL", "numerator": numerator, "denominator": denominator, "id": "s1",
        "at": "2024-01-18T13:00:00Z"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_become_those_of_the_divided_strike_when_their_stock_is_split() {
    let directory = scratch_with_cluster("adjusted-options").await;
    let mut server = quoted(directory.path()).await;
    let (margin, cash) = (open(&server, "margin", 4).await, open(&server, "cash", 2).await);
    place(&server, &margin, "buy", &contract("C", 200), "2").await;
    place(&server, &margin, "sell", &contract("C", 210), "2").await;
    place(&server, &cash, "sell", &contract("P", 190), "1").await;
    let rests = json!({"symbol": contract("C", 200), "side": "sell", "type": "limit", "qty": "1", "limit_price": "9",
        "time_in_force": "gtc"});
    let rests = call(&server, Method::POST, &format!("{margin}/orders"), Some(rests)).await;
    let before = call(&server, Method::GET, &cash, None).await;
    feed(&server, &[split("4", "1")]).await;
    server = killed(server, directory.path()).await;

    let after = call(&server, Method::GET, &cash, None).await;
    for name in ["cash", "reserved"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    let strike = |right: &str, thousandths: u32| format!("AAPL240216{right}{thousandths:08}");
    let (long, short, put) = (strike("C", 50_000), strike("C", 52_500), strike("P", 47_500));
    let rows =
        |rows: &[[&str; 3]]| rows.iter().map(|row| row.map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(
        positions(&server, &margin).await,
        rows(&[[&long, "8", "1020.00"], [&short, "-8", "-400.00"]])
    );
    assert_eq!(positions(&server, &cash).await, rows(&[[&put, "-4", "-150.00"]]));
    let path = format!("{margin}/orders/{}", rests["order_id"].as_str().unwrap());
    let ended = call(&server, Method::GET, &path, None).await;
    assert_eq!(ended["cancel_reason"], "contract_adjusted");
    let told = adjustments(&server, &cash).await;
    let expected = [[&*put, "sell", "4", "0.00"], [&contract("P", 190), "buy", "1", "0.00"]];
    assert_eq!(told, expected.map(|row| row.map(str::to_owned)));

    // The market quotes them, so they are worth something and can be closed.
    let at = "2024-01-18T15:00:00Z";
    let market = [
        quote("AAPL", "50.00", "50.10", at),
        quote(&long, "1.30", "1.35", at),
        quote(&short, "0.50", "0.55", at),
    ];
    feed(&server, &market).await;
    let shown = call(&server, Method::GET, &margin, None).await;
    // 100,000 - 1,020 + 400 + 8 * 130 - 8 * 55
    assert_eq!(shown["equity"], "99980.00", "{shown}");
    place(&server, &margin, "buy", &short, "8").await;
    place(&server, &margin, "sell", &long, "8").await;
    assert_eq!(positions(&server, &margin).await, rows(&[]));

    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_are_paid_out_when_a_split_makes_no_whole_ones_of_them() {
    let directory = scratch_with_cluster("paid-out-options").await;
    let mut server = quoted(directory.path()).await;
    let account = open(&server, "margin", 4).await;
    place(&server, &account, "buy", &contract("C", 200), "2").await;
    place(&server, &account, "sell", &contract("C", 210), "1").await;
    feed(&server, &[split("3", "2")]).await;
    server = killed(server, directory.path()).await;
    assert!(positions(&server, &account).await.is_empty());
    // 100,000 - 1,020 + 200 + 2 * 505 - 202.50
    let shown = call(&server, Method::GET, &account, None).await;
    assert_eq!((&shown["cash"], &shown["equity"]), (&json!("99987.50"), &json!("99987.50")));
    let told = adjustments(&server, &account).await;
    let expected = [
        [contract("C", 200), "sell".into(), "2".into(), "1010.00".into()],
        [contract("C", 210), "buy".into(), "1".into(), "-202.50".into()],
    ];
    assert_eq!(told, expected);
    drop(server);
    verify_directory(directory.path());
}
