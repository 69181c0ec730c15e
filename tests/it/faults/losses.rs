//! Accounts that have reached a limit on losses, and the server killed right after it.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stops::{call, feed};
use super::{verify_directory, writes};
use crate::support::rest::{OPEN, TOKEN, quote, send};
use crate::support::{Server, scratch_with_cluster};

/// One price for both sides.
fn at(symbol: &str, price: &str, at: &str) -> Value {
    quote(symbol, price, price, at)
}

async fn killed(mut server: Server, directory: &std::path::Path) -> Server {
    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    let server = Server::launch_with(directory, &[]);
    writes(&server).await;
    server
}

async fn events(server: &Server, account: &str) -> Vec<Value> {
    let id = account.rsplit('/').next().unwrap();
    let path = format!("/v1/audit/events?account_id={id}&limit=200");
    let all = call(server, Method::GET, &path, None).await;
    let of = |event: &Value| {
        let word = event["event_type"].as_str().unwrap();
        word.starts_with("LossLimit") || word == "TradingDayBegan"
    };
    all["items"].as_array().unwrap().iter().filter(|event| of(event)).cloned().collect()
}

fn words(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event_type"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_a_loss_has_stopped_is_stopped_after_a_kill_until_the_next_day() {
    let directory = scratch_with_cluster("loss-and-kill").await;
    let mut server = Server::launch_with(directory.path(), &["--hours", "nyse"]);
    writes(&server).await;
    feed(&server, &[at("AAPL", "100.00", OPEN), at("F", "10.00", OPEN)]).await;
    let open = async |server: &Server, kind: &str, policy: Value| -> String {
        let body = json!({"name": kind, "kind": kind, "starting_balance": "10000"});
        let opened = call(server, Method::POST, "/v1/accounts", Some(body)).await;
        let account = format!("/v1/accounts/{}", opened["account_id"].as_str().unwrap());
        call(server, Method::PATCH, &format!("{account}/policy"), Some(policy)).await;
        account
    };
    let place = async |server: &Server, account: &str, body: Value| -> Value {
        call(server, Method::POST, &format!("{account}/orders"), Some(body)).await
    };
    let daily = open(&server, "cash", json!({"max_daily_loss": "500"})).await;
    let drawdown = open(&server, "margin", json!({"max_drawdown_pct": "10"})).await;
    place(&server, &daily, json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "50"}))
        .await;
    // Short: what it sold becomes dearer.
    place(
        &server,
        &drawdown,
        json!({"symbol": "F", "side": "sell", "type": "market", "qty": "500"}),
    )
    .await;
    let rests = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "5", "limit_price": "80",
        "time_in_force": "gtc"});
    let rests = place(&server, &daily, rests).await;
    let exit = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "5", "limit_price": "150",
        "time_in_force": "gtc"});
    let exit = place(&server, &daily, exit).await;
    feed(
        &server,
        &[at("F", "9.00", "2024-01-17T15:01:00Z"), at("AAPL", "91.00", "2024-01-17T15:01:00Z")],
    )
    .await;
    let shown = call(&server, Method::GET, &daily, None).await;
    let names = ["day", "day_opening_equity", "day_loss", "max_daily_loss", "stopped"];
    assert_eq!(
        Value::from_iter(names.map(|name| shown["losses"][name].clone())),
        json!(["2024-01-17", "10000.00", "450.00", "500.00", null])
    );
    let paid = json!({"amount": "1000"});
    call(&server, Method::POST, &format!("{daily}/withdrawals"), Some(paid)).await;
    // 10,500 were the highest of the short account: 1,050 may be lost of that.
    feed(
        &server,
        &[at("AAPL", "79.00", "2024-01-17T15:02:00Z"), at("F", "11.10", "2024-01-17T15:02:00Z")],
    )
    .await;

    server = killed(server, directory.path()).await;
    let shown = call(&server, Method::GET, &daily, None).await;
    assert_eq!((&shown["status"], &shown["reserved"]), (&json!("reducing"), &json!("0.00")));
    let losses = &shown["losses"];
    let figures =
        json!([losses["day_opening_equity"], losses["day_loss"], losses["stopped"]["limit"]]);
    assert_eq!(figures, json!(["9000.00", "1050.00", "daily_loss"]));
    let shown = call(&server, Method::GET, &drawdown, None).await;
    let losses = &shown["losses"];
    let figures = json!([
        losses["peak_equity"],
        losses["drawdown"],
        losses["max_drawdown"],
        losses["stopped"]["base"]
    ]);
    assert_eq!(figures, json!(["10500.00", "1050.00", "1050.00", "10500.00"]));
    let read = async |server: &Server, order: &Value| -> Value {
        let path = format!("{daily}/orders/{}", order["order_id"].as_str().unwrap());
        call(server, Method::GET, &path, None).await
    };
    assert_eq!(read(&server, &rests).await["cancel_reason"], "loss_limit");
    assert_eq!(read(&server, &exit).await["status"], "accepted");
    let buy =
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "79"});
    for path in ["orders", "orders/preview"] {
        let request = reqwest::Client::new().post(format!("{}{daily}/{path}", server.base()));
        let refused = send(request.bearer_auth(TOKEN).json(&buy)).await;
        assert_eq!(refused.status.as_u16(), 422, "{}", refused.text);
        let told = refused.json();
        assert_eq!(told["code"], "daily_loss_limit");
        assert_eq!(
            told["figures"],
            json!({"base": "9000.00", "equity": "7950.00", "loss": "1050.00", "max_loss": "500.00"})
        );
    }
    let cover = json!({"symbol": "F", "side": "buy", "type": "market", "qty": "100"});
    assert_eq!(place(&server, &drawdown, cover).await["status"], "filled");
    let of_daily = events(&server, &daily).await;
    assert_eq!(words(&of_daily), ["TradingDayBegan", "LossLimitReached"]);
    let stop = &of_daily[1]["payload"]["LossLimitReached"];
    assert_eq!((&stop["base"], &stop["max_loss"]), (&json!("9000.00"), &json!("500.00")));
    assert_eq!(stop["holdings"][0]["price"], "79.00");

    // So many events make a snapshot of it, which the audit holds against its own.
    for _ in 0..100 {
        let cent = json!({"amount": "0.01"});
        call(&server, Method::POST, &format!("{daily}/deposits"), Some(cent)).await;
    }

    // The next day lifts one of the two stops.
    feed(&server, &[json!({"t": "clock", "at": "2024-01-18T15:00:00Z"})]).await;
    server = killed(server, directory.path()).await;
    let now = call(&server, Method::GET, &daily, None).await;
    assert_eq!((&now["status"], &now["losses"]["stopped"]), (&json!("active"), &json!(null)));
    assert_eq!(now["losses"]["day_opening_equity"], "7951.00");
    assert_eq!(call(&server, Method::GET, &drawdown, None).await["status"], "reducing");
    let active = json!({"trading_state": "active"});
    call(&server, Method::PATCH, &format!("{drawdown}/policy"), Some(active)).await;
    feed(&server, &[at("F", "11.20", "2024-01-18T15:01:00Z")]).await;
    let now = call(&server, Method::GET, &drawdown, None).await;
    assert_eq!(
        (&now["status"], &now["losses"]["peak_equity"]),
        (&json!("active"), &json!("9450.00"))
    );
    assert_eq!(
        words(&events(&server, &drawdown).await),
        ["TradingDayBegan", "LossLimitReached", "TradingDayBegan", "TradingDayBegan"]
    );

    // A split changes what a share is worth: nothing is counted before the next price.
    let split = json!({"t": "split", "symbol": "AAPL", "numerator": "2", "denominator": "1", "id": "s",
        "at": "2024-01-18T15:02:00Z"});
    feed(&server, &[split]).await;
    let figures = async |server: &Server| {
        let losses = &call(server, Method::GET, &daily, None).await["losses"];
        json!([losses["day_opening_equity"], losses["day_loss"], losses["drawdown"]])
    };
    assert_eq!(figures(&server).await, json!(["7951.00", null, null]));
    feed(&server, &[at("AAPL", "39.00", "2024-01-18T15:03:00Z")]).await;
    assert_eq!(figures(&server).await[1], "50.00");

    // A person who sets what the stop has set makes it their own, beyond the day.
    feed(&server, &[at("AAPL", "34.00", "2024-01-18T15:04:00Z")]).await;
    let stopped = call(&server, Method::GET, &daily, None).await;
    assert_eq!(stopped["losses"]["stopped"]["limit"], "daily_loss");
    let reducing = json!({"trading_state": "reducing"});
    let set = call(&server, Method::PATCH, &format!("{daily}/policy"), Some(reducing)).await;
    assert_eq!((&set["status"], &set["losses"]), (&json!("reducing"), &json!(null)));
    feed(&server, &[json!({"t": "clock", "at": "2024-01-19T15:00:00Z"})]).await;
    assert_eq!(call(&server, Method::GET, &daily, None).await["status"], "reducing");

    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_of_the_whole_market_lasts_through_a_kill() {
    let directory = scratch_with_cluster("market-halt-and-kill").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    feed(&server, &[at("AAPL", "100.00", OPEN), at("F", "10.00", OPEN)]).await;
    let body = json!({"name": "one", "kind": "cash", "starting_balance": "10000"});
    let opened = call(&server, Method::POST, "/v1/accounts", Some(body)).await;
    let orders = format!("/v1/accounts/{}/orders", opened["account_id"].as_str().unwrap());
    let status = |state: &str, at: &str| json!({"t": "status", "symbol": "*", "state": state, "reason": "MWC1", "at": at});
    feed(&server, &[status("halted", "2024-01-17T15:01:00Z")]).await;
    server = killed(server, directory.path()).await;
    let hours = call(&server, Method::GET, "/v1/market/hours", None).await;
    assert_eq!((&hours["halted"], &hours["halt_reason"]), (&json!(true), &json!("MWC1")));
    for symbol in ["AAPL", "F"] {
        let shown = call(&server, Method::GET, &format!("/v1/market/quotes/{symbol}"), None).await;
        assert_eq!(shown["halted"], true, "{symbol}");
    }
    let buy = json!({"symbol": "F", "side": "buy", "type": "market", "qty": "5"});
    let waits = call(&server, Method::POST, &orders, Some(buy)).await;
    assert_eq!(waits["status"], "accepted");
    feed(
        &server,
        &[
            at("F", "9.00", "2024-01-17T15:02:00Z"),
            status("trading", "2024-01-17T15:16:00Z"),
            at("F", "9.50", "2024-01-17T15:16:01Z"),
        ],
    )
    .await;
    let path = format!("{orders}/{}", waits["order_id"].as_str().unwrap());
    assert_eq!(call(&server, Method::GET, &path, None).await["filled_avg_price"], "9.50");
    let hours = call(&server, Method::GET, "/v1/market/hours", None).await;
    assert_eq!(hours["halted"], false);

    drop(server);
    verify_directory(directory.path());
}
