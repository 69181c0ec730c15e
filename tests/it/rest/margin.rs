//! Margin accounts over REST: borrowing, short sales, margin calls, and what each read shows of them.

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument, quote};

async fn margin(rest: &TestRest, balance: &str) -> String {
    let body = json!({"name": "margin", "kind": "margin", "starting_balance": balance});
    let account = rest.post("/v1/accounts", body).await.expect(201);
    account["account_id"].as_str().unwrap().to_owned()
}

async fn order(rest: &TestRest, account: &str, body: Value) -> Value {
    rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201)
}

/// Cash, reserved, buying power, equity, long and short value, initial and maintenance margin.
async fn figures(rest: &TestRest, account: &str) -> Value {
    let account = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    let names = [
        "cash",
        "reserved",
        "buying_power",
        "equity",
        "long_market_value",
        "short_market_value",
        "initial_margin",
        "maintenance_margin",
    ];
    Value::from_iter(names.map(|name| account[name].clone()))
}

fn quoted_at(bid: &str, ask: &str, second: u32) -> Value {
    quote("AAPL", bid, ask, &format!("2024-01-17T15:{:02}:{:02}Z", second / 60, second % 60))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_margin_account_buys_for_twice_its_equity_and_borrows() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.feed(&[instrument("AAPL"), quoted_at("99", "100", 0)]).await.expect(200);
    let account = margin(&rest, "10000").await;
    let nothing =
        json!(["10000.00", "0.00", "20000.00", "10000.00", "0.00", "0.00", "0.00", "0.00"]);
    assert_eq!(figures(&rest, &account).await, nothing);
    let buy = |qty: &str, limit: &str| json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": limit});
    let preview = format!("/v1/accounts/{account}/orders/preview");
    let told = rest.post(&preview, buy("100", "100")).await.expect(200);
    assert_eq!((&told["status"], &told["worst_cost"]), (&json!("filled"), &json!("5000.00")));
    let risk = rest.post(&format!("{preview}/risk"), buy("100", "100")).await.expect(200);
    let shown = ["equity", "maintenance_margin", "margin_call_distance", "leverage"]
        .map(|figure| risk["after"][figure].clone());
    assert_eq!(json!(shown), json!(["9900.00", "2475.00", "7425.00", "1"]), "{risk}");
    let short = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "1000", "limit_price": "1"});
    let refused = rest.post(&format!("{preview}/risk"), short).await.expect(422);
    assert_eq!(refused["code"], "insufficient_buying_power");
    let resting = order(&rest, &account, buy("100", "98")).await;
    let rests = figures(&rest, &account).await;
    assert_eq!((&rests[1], &rests[2]), (&json!("4900.00"), &json!("10200.00")));
    let path = format!("/v1/accounts/{account}/orders/{}", resting["order_id"].as_str().unwrap());
    rest.delete(&path).await.expect(200);
    order(&rest, &account, buy("100", "100")).await;
    // 100 shares at the bid of 99.
    let held =
        json!(["0.00", "0.00", "9900.00", "9900.00", "9900.00", "0.00", "4950.00", "2475.00"]);
    assert_eq!(figures(&rest, &account).await, held);
    let after = &told["after"];
    let foretold = [
        &after["cash"],
        &after["reserved"],
        &after["buying_power"],
        &after["equity"],
        &after["initial_margin"],
        &after["maintenance_margin"],
    ];
    assert_eq!(
        json!(foretold),
        json!(["0.00", "0.00", "9900.00", "9900.00", "4950.00", "2475.00"])
    );
    let orders = format!("/v1/accounts/{account}/orders");
    let refused = rest.post(&orders, buy("100", "100")).await.expect(422);
    assert_eq!(refused["code"], "insufficient_buying_power");
    assert_eq!(refused["figures"], json!({"needed": "10000.00", "available": "9900.00"}));
    order(&rest, &account, buy("99", "100")).await;
    let borrowed = figures(&rest, &account).await;
    assert_eq!((&borrowed[0], &borrowed[3]), (&json!("-9900.00"), &json!("9801.00")));
    let withdrawals = format!("/v1/accounts/{account}/withdrawals");
    let refused = rest.post(&withdrawals, json!({"amount": "0.01"})).await.expect(422);
    assert_eq!(refused["code"], "insufficient_cash");
    assert_eq!(refused["figures"]["margin_equity"], "9801.00");
    let portfolio = rest.get(&format!("/v1/accounts/{account}/portfolio")).await.expect(200);
    let shown = json!([portfolio["initial_margin"], portfolio["maintenance_margin"]]);
    assert_eq!(shown, json!(["9850.50", "4925.25"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_position_is_shown_called_and_bought_back() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.feed(&[instrument("AAPL"), quoted_at("50", "50.10", 0)]).await.expect(200);
    let account = margin(&rest, "10000").await;
    let sell = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "100"});
    let sold = order(&rest, &account, sell).await;
    assert_eq!((&sold["status"], &sold["filled_avg_price"]), (&json!("filled"), &json!("50.00")));
    let expected = json!([
        "15000.00", "0.00", "14970.00", "9990.00", "0.00", "-5010.00", "2505.00", "1503.00"
    ]);
    assert_eq!(figures(&rest, &account).await, expected);
    let path = format!("/v1/accounts/{account}/positions/AAPL");
    let position = rest.get(&path).await.expect(200);
    let shown =
        ["side", "qty", "qty_available", "avg_entry_price", "market_value", "unrealized_pl"];
    assert_eq!(
        Value::from_iter(shown.map(|name| position[name].clone())),
        json!(["short", "-100", "-100", "50.00", "-5010.00", "-10.00"])
    );
    assert_eq!(position["lots"][0]["qty"], "-100");

    rest.feed(&[quoted_at("119", "120", 1)]).await.expect(200);
    let account_now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(account_now["flags"], json!(["margin_call"]));
    let orders = format!("/v1/accounts/{account}/orders");
    let more = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "1"});
    let refused = rest.post(&orders, more.clone()).await.expect(422);
    assert_eq!(refused["code"], "margin_call");
    assert_eq!(
        refused["figures"],
        json!({"margin_equity": "3000.00", "maintenance_margin": "3600.00"})
    );
    let foretold = rest.post(&format!("{orders}/preview"), more).await.expect(422);
    assert_eq!(foretold["figures"], refused["figures"]);
    let cover = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "60", "limit_price": "100"});
    let resting = order(&rest, &account, cover).await;
    let position = rest.get(&path).await.expect(200);
    assert_eq!(position["qty_available"], "-40");
    let refused = rest.delete(&format!("{path}?qty=41")).await.expect(422);
    assert_eq!(refused["code"], "insufficient_shares");
    let closed = rest.delete(&path).await.expect(201);
    let shown = json!([closed["side"], closed["qty"], closed["status"]]);
    assert_eq!(shown, json!(["buy", "40", "filled"]));
    rest.delete(&format!("{orders}/{}", resting["order_id"].as_str().unwrap())).await.expect(200);
    rest.delete(&path).await.expect(201);
    // 15,000 less 100 bought back at 120.
    let done = json!(["3000.00", "0.00", "6000.00", "3000.00", "0.00", "0.00", "0.00", "0.00"]);
    assert_eq!(figures(&rest, &account).await, done);
    assert_eq!(rest.get(&path).await.expect(200)["realized_pl"], "-7000.00");
    let journal = rest.get(&format!("/v1/accounts/{account}/journal")).await.expect(200);
    assert!(!journal["items"].as_array().unwrap().is_empty());
    let verdict = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!((&verdict["valid"], &verdict["problems"]), (&json!(true), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sell_beyond_what_is_held_crosses_zero_and_a_cash_account_refuses_it() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.feed(&[instrument("AAPL"), quoted_at("99", "100", 0)]).await.expect(200);
    let (account, cash) = (margin(&rest, "10000").await, rest.account("10000").await);
    for account in [&account, &cash] {
        let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
        order(&rest, account, buy).await;
    }
    rest.feed(&[quoted_at("110", "111", 1)]).await.expect(200);
    let sell = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "15"});
    let refused = rest.post(&format!("/v1/accounts/{cash}/orders"), sell.clone()).await.expect(422);
    assert_eq!(refused["code"], "insufficient_shares");
    order(&rest, &account, sell).await;
    let position = rest.get(&format!("/v1/accounts/{account}/positions/AAPL")).await.expect(200);
    let shown = json!([position["qty"], position["realized_pl"], position["avg_entry_price"]]);
    assert_eq!(shown, json!(["-5", "100.00", "110.00"]));
    let history = rest.get(&format!("/v1/accounts/{account}/activities")).await.expect(200);
    assert_eq!(history["items"][0]["net_amount"], "1650.00");
    let verdict = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["problems"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_beside_the_fill_of_another_symbol_has_its_price() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let msft = |bid: &str, ask: &str, second: u32| {
        quote("MSFT", bid, ask, &format!("2024-01-17T15:{:02}:{:02}Z", second / 60, second % 60))
    };
    let quotes =
        [instrument("AAPL"), instrument("MSFT"), quoted_at("99", "100", 0), msft("49", "50", 0)];
    rest.feed(&quotes).await.expect(200);
    for round in 0..20 {
        let account = margin(&rest, "10000").await;
        let waits = json!({"symbol": "MSFT", "side": "buy", "type": "limit", "qty": "1", "limit_price": "48"});
        order(&rest, &account, waits).await;
        let line = [msft("47", "48", 10 * round + 1), msft("49", "50", 10 * round + 2)];
        let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
        let orders = format!("/v1/accounts/{account}/orders");
        let (fed, placed) = tokio::join!(rest.feed(&line), rest.post(&orders, buy));
        fed.expect(200);
        placed.expect(201);
    }
}

/// Twice what is free is more than an amount of money can be: it is told, and refuses no preview of what placing takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_nine_trillion_is_told_what_placing_does() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.feed(&[instrument("AAPL"), quoted_at("99", "100", 0)]).await.expect(200);
    let account = margin(&rest, "9000000000000").await;
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "100", "limit_price": "100"});
    let preview = format!("/v1/accounts/{account}/orders/preview");
    let told = rest.post(&preview, buy.clone()).await.expect(200);
    let risk = rest.post(&format!("{preview}/risk"), buy.clone()).await.expect(200);
    for told in [&told, &risk] {
        assert_eq!(told["before"]["buying_power"], "18000000000000.00");
        // 100 shares cost 10,000 and are worth 9,900, of which half backs them.
        assert_eq!(told["after"]["cash"], "8999999990000.00");
        assert_eq!(told["after"]["buying_power"], "17999999989900.00");
        assert_eq!(told["after"]["equity"], "8999999999900.00");
    }
    assert_eq!(risk["after"]["margin_call_distance"], "8999999997425.00");
    order(&rest, &account, buy).await;
    let now = figures(&rest, &account).await;
    assert_eq!((&now[0], &now[2]), (&told["after"]["cash"], &told["after"]["buying_power"]));
}
