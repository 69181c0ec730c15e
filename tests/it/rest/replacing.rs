//! Changing orders over REST and MCP: in place, once under a key, against fills that come at the same moment.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, send};

/// A quote of AAPL with these prices, of so many shares.
fn quote(bid: &str, (ask, size): (&str, &str), at: &str) -> Value {
    json!({"t": "quote", "symbol": "AAPL", "bid": bid, "bid_size": "100", "ask": ask, "ask_size": size, "at": at})
}

/// Places a resting limit buy.
async fn resting(rest: &TestRest, account: &str, qty: &str, limit: &str) -> String {
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": limit,
        "time_in_force": "gtc"});
    let order = rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201);
    assert_eq!(order["status"], "accepted", "{order}");
    order["order_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_changed_in_place_and_meets_the_quote_that_stands() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let order = resting(&rest, &account, "10", "99").await;
    let path = format!("/v1/accounts/{account}/orders/{order}");
    let lower = rest.patch(&path, json!({"qty": "12", "limit_price": "98.5"})).await.expect(200);
    assert_eq!((&lower["revision"], &lower["status"]), (&json!(1), &json!("accepted")));
    assert_eq!((&lower["qty"], &lower["limit_price"]), (&json!("12"), &json!("98.50")));
    assert!(lower["replaced_at"].is_string(), "{lower}");
    let cash = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(cash["reserved"], "1182.00", "12 * 98.50");
    let again = rest.patch(&path, json!({"qty": "12"})).await.expect(200);
    assert_eq!(again["revision"], 1, "it is so already");
    let dear = rest.patch(&path, json!({"limit_price": "1000"})).await.expect(422);
    assert_eq!(dear["code"], "insufficient_buying_power");
    let filled = rest.patch(&path, json!({"limit_price": "101"})).await.expect(200);
    assert_eq!(
        (&filled["status"], &filled["filled_avg_price"]),
        (&json!("filled"), &json!("101.00"))
    );
    assert_eq!((&filled["order_id"], &filled["revision"]), (&json!(order), &json!(2)));
    rest.patch(&path, json!({"qty": "13"})).await.expect(409);
    let events = rest.get(&format!("{path}/events")).await.expect(200);
    let types = events["items"].as_array().unwrap().iter().map(|event| event["event_type"].clone());
    let types: Vec<Value> = types.collect();
    assert_eq!(types, ["OrderPlaced", "OrderReplaced", "OrderReplaced", "OrderFilled"]);
    let page = rest.get(&format!("{path}/events?limit=3")).await.expect(200);
    let next = format!("{path}/events?limit=3&cursor={}", page["next_cursor"].as_str().unwrap());
    let last = rest.get(&next).await.expect(200);
    assert_eq!((page["items"].as_array().unwrap().len(), &last["next_cursor"]), (3, &Value::Null));
    assert_eq!(last["items"], json!([events["items"][3]]));
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_and_activation_price_of_an_order_that_follows_the_market_are_changed_until_its_trigger()
 {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "trailing_stop_limit", "qty": "10",
        "trail_price": "5", "limit_offset": "0.50", "trigger_by": "quote", "time_in_force": "gtc"});
    let placed = rest.post(&orders, body).await.expect(201);
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    rest.feed(&[quote("98", ("99", "100"), "2024-01-17T15:00:01Z")]).await.expect(200);
    let shown = |order: &Value| {
        json!([order["hwm"], order["stop_price"], order["limit_offset"], order["activation_price"]])
    };
    assert_eq!(shown(&rest.get(&path).await.expect(200)), json!(["99.00", "104.00", "0.50", null]));
    let change = json!({"limit_offset": "2", "activation_price": "99"});
    let changed = rest.patch(&path, change).await.expect(200);
    assert_eq!(shown(&changed), json!(["99.00", "104.00", "2.00", "99.00"]), "it has come there");
    let changed = rest.patch(&path, json!({"activation_price": "97"})).await.expect(200);
    assert_eq!(shown(&changed), json!([null, null, "2.00", "97.00"]), "it waits for it");
    rest.feed(&[
        quote("109", ("110", "100"), "2024-01-17T15:00:02Z"),
        quote("95", ("96", "100"), "2024-01-17T15:00:03Z"),
    ])
    .await
    .expect(200);
    assert_eq!(
        shown(&rest.get(&path).await.expect(200)),
        json!(["96.00", "101.00", "2.00", "97.00"])
    );
    rest.feed(&[quote("101", ("102", "100"), "2024-01-17T15:00:04Z")]).await.expect(200);
    let filled = rest.get(&path).await.expect(200);
    assert_eq!(json!([filled["status"], filled["limit_price"]]), json!(["filled", "103.00"]));
    for late in [json!({"limit_offset": "3"}), json!({"activation_price": "96"})] {
        rest.patch(&path, late).await.expect(409);
    }
    let limit = resting(&rest, &account, "1", "50").await;
    let refused = rest.patch(&format!("{orders}/{limit}"), json!({"limit_offset": "1"})).await;
    assert_eq!(refused.expect(422)["code"], "invalid_order");
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_price_goes_to_the_end_of_the_queue_and_fewer_shares_stay() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(resting(&rest, &account, "10", "99").await);
    }
    let path = |n: usize| format!("/v1/accounts/{account}/orders/{}", orders[n]);
    rest.patch(&path(0), json!({"limit_price": "98"})).await.expect(200);
    rest.patch(&path(0), json!({"limit_price": "99"})).await.expect(200);
    rest.patch(&path(1), json!({"qty": "9"})).await.expect(200);
    rest.feed(&[quote("98.9", ("99", "19"), "2024-01-17T15:00:01Z")]).await.expect(200);
    let mut filled = Vec::new();
    for n in 0..3 {
        filled.push(rest.get(&path(n)).await.expect(200)["filled_qty"].clone());
    }
    assert_eq!(filled, ["0", "9", "10"], "the first has lost its place, the second has not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_happens_once_under_its_key_and_another_one_is_refused() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let order = resting(&rest, &account, "10", "99").await;
    let path = format!("/v1/accounts/{account}/orders/{order}");
    let keyed = |body: Value| {
        send(rest.authorized(Method::PATCH, &path).header("Idempotency-Key", "k").json(&body))
    };
    let first = keyed(json!({"qty": "5"})).await.expect(200);
    rest.patch(&path, json!({"qty": "7"})).await.expect(200);
    let again = keyed(json!({"qty": "5"})).await.expect(200);
    assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(again["qty"], "7", "it is not carried out again");
    keyed(json!({"qty": "6"})).await.expect(422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_till_a_time_ends_when_the_clock_comes_to_it() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "90",
        "time_in_force": "gtd", "expires_at": "2024-01-19T15:00:00Z"});
    let order = rest.post(&orders, body.clone()).await.expect(201);
    assert_eq!(order["expires_at"], "2024-01-19T15:00:00Z");
    let path = format!("{orders}/{}", order["order_id"].as_str().unwrap());
    let mut late = body.clone();
    late["expires_at"] = json!("2024-01-16T15:00:00Z");
    assert_eq!(rest.post(&orders, late).await.expect(422)["code"], "invalid_order");
    let later = json!({"expires_at": "2024-01-19T16:00:00Z"});
    rest.patch(&path, later).await.expect(200);
    let clock = |at: &str| json!({"t": "clock", "at": at});
    rest.feed(&[clock("2024-01-19T15:59:59Z")]).await.expect(200);
    assert_eq!(rest.get(&path).await.expect(200)["status"], "accepted");
    rest.feed(&[clock("2024-01-19T16:00:00Z")]).await.expect(200);
    let ended = rest.get(&path).await.expect(200);
    assert_eq!(
        (&ended["status"], &ended["expiry_reason"]),
        (&json!("expired"), &json!("time_reached"))
    );
    let cash = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(cash["reserved"], "0.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_against_fills_leave_every_order_whole() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("1000000").await;
    for round in 1..40 {
        let order = resting(&rest, &account, "10", "99").await;
        let path = format!("/v1/accounts/{account}/orders/{order}");
        let at = format!("2024-01-17T15:{round:02}:00Z");
        let touching = [quote("98.9", ("99", "4"), &at)];
        let (changed, fed) = tokio::join!(
            rest.patch(&path, json!({"qty": "6", "limit_price": "99.5"})),
            rest.feed(&touching)
        );
        fed.expect(200);
        changed.expect(200);
        let now = rest.get(&path).await.expect(200);
        let filled: u32 = now["filled_qty"].as_str().unwrap().parse().unwrap();
        assert_eq!((&now["qty"], filled <= 6), (&json!("6"), true), "{now}");
        rest.delete(&path).await;
        let calm = format!("2024-01-17T15:{round:02}:30Z");
        rest.feed(&[quote("99.9", ("101", "100"), &calm)]).await.expect(200);
    }
    let cash = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(cash["reserved"], "0.00");
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}
