//! Orders for an amount of dollars over REST: no quantity until they are filled, and the same as their preview.

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::TestRest;

/// A quote of AAPL with so many shares at the ask.
fn quote(ask: &str, size: &str, at: &str) -> Value {
    json!({"t": "quote", "symbol": "AAPL", "bid": "90", "bid_size": "100", "ask": ask, "ask_size": size, "at": at})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dollars_buy_what_they_can_and_the_quantity_is_known_at_the_end() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    rest.feed(&[quote("100", "4", "2024-01-17T15:00:01Z")]).await.expect(200);
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "notional": "1000"});
    let told = rest.post(&format!("{orders}/preview"), body.clone()).await.expect(200);
    let foretold = json!([
        told["status"],
        told["qty"],
        told["filled_qty"],
        told["worst_cost"],
        told["estimated_cost"]
    ]);
    assert_eq!(foretold, json!(["partially_filled", null, "4", "1000.00", "1000.00"]));
    let placed = rest.post(&orders, body).await.expect(201);
    let shown = |order: &Value| {
        json!([order["status"], order["qty"], order["notional"], order["filled_qty"]])
    };
    assert_eq!(shown(&placed), json!(["partially_filled", null, "1000.00", "4"]));
    let now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!((&now["cash"], &now["reserved"]), (&json!("9600.00"), &json!("600.00")));
    assert_eq!(now["reserved"], told["after"]["reserved"]);
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    assert_eq!(rest.patch(&path, json!({"qty": "5"})).await.expect(422)["code"], "invalid_order");
    rest.feed(&[quote("110", "1000", "2024-01-17T15:00:02Z")]).await.expect(200);
    let filled = rest.get(&path).await.expect(200);
    // 600.00 at 110 are 5.454545454 shares, for 600.00.
    assert_eq!(shown(&filled), json!(["filled", "9.454545454", "1000.00", "9.454545454"]));
    let now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!((&now["cash"], &now["reserved"]), (&json!("9000.00"), &json!("0.00")));
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_margin_account_dollars_reserve_their_initial_margin_and_close_no_short_position() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    rest.feed(&[quote("100", "4", "2024-01-17T15:00:01Z")]).await.expect(200);
    let account = json!({"name": "margin", "kind": "margin", "starting_balance": "10000"});
    let account = rest.post("/v1/accounts", account).await.expect(201);
    let account = account["account_id"].as_str().unwrap().to_owned();
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "notional": "1000"});
    rest.post(&orders, body.clone()).await.expect(201);
    let now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(
        (&now["cash"], &now["reserved"]),
        (&json!("9600.00"), &json!("300.00")),
        "half of 600"
    );
    rest.feed(&[quote("100", "1000", "2024-01-17T15:00:02Z")]).await.expect(200);
    let now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!((&now["cash"], &now["reserved"]), (&json!("9000.00"), &json!("0.00")));
    let short = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "15"});
    rest.post(&orders, short).await.expect(201);
    let refused = rest.post(&orders, body).await.expect(422);
    assert_eq!(refused["code"], "fractional_short");
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dollars_are_sold_for_as_far_as_there_are_shares_and_the_audit_finds_it_right() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let bid = |bid: &str, size: &str, at: &str| {
        json!({"t": "quote", "symbol": "AAPL", "bid": bid, "bid_size": size, "ask": "130", "ask_size": "100",
            "at": at})
    };
    rest.feed(&[quote("100", "100", "2024-01-17T15:00:01Z")]).await.expect(200);
    for kind in ["cash", "margin"] {
        let account = json!({"name": kind, "kind": kind, "starting_balance": "1000"});
        let account = rest.post("/v1/accounts", account).await.expect(201);
        let account = account["account_id"].as_str().unwrap().to_owned();
        let orders = format!("/v1/accounts/{account}/orders");
        let sell = json!({"symbol": "AAPL", "side": "sell", "type": "market", "notional": "1000"});
        let none = rest.post(&orders, sell.clone()).await.expect(422);
        assert_eq!(none["code"], "insufficient_shares", "{kind}");
        let second = if kind == "cash" { 2 } else { 12 };
        let at = |more: u32| format!("2024-01-17T15:00:{:02}Z", second + more);
        rest.feed(&[quote("100", "100", &at(0))]).await.expect(200);
        let buy = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": "100"});
        rest.post(&orders, buy).await.expect(201);
        rest.feed(&[bid("125", "2", &at(1))]).await.expect(200);
        let told = rest.post(&format!("{orders}/preview"), sell.clone()).await.expect(200);
        assert_eq!(told["estimated_cost"], "-1000.00", "{told}");
        let placed = rest.post(&orders, sell).await.expect(201);
        let shown = |order: &Value| {
            json!([order["status"], order["qty"], order["filled_qty"], order["notional"]])
        };
        assert_eq!(shown(&placed), json!(["partially_filled", null, "2", "1000.00"]), "{kind}");
        let position = format!("/v1/accounts/{account}/positions/AAPL");
        let held = rest.get(&position).await.expect(200);
        assert_eq!(json!([held["qty"], held["qty_available"]]), json!(["8", "2"]));
        rest.feed(&[bid("75", "1000", &at(2))]).await.expect(200);
        let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
        let filled = rest.get(&path).await.expect(200);
        assert_eq!(shown(&filled), json!(["filled", "10", "10", "1000.00"]), "{kind}");
        let now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
        assert_eq!((&now["cash"], &now["reserved"]), (&json!("850.00"), &json!("0.00")));
    }
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}
