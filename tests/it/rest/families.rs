//! Brackets, ocos and otos over REST: placed whole and once, listed as orders, filled against one another, changed and
//! ended together.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, send};

/// A quote of AAPL with these prices, of 100 shares.
fn quote(bid: &str, ask: &str, at: &str) -> Value {
    json!({"t": "quote", "symbol": "AAPL", "bid": bid, "bid_size": "100", "ask": ask, "ask_size": "100", "at": at})
}

fn bracket(qty: &str, limit: &str) -> Value {
    json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": limit, "time_in_force": "gtc",
        "order_class": "bracket", "take_profit": {"limit_price": "110"},
        "stop_loss": {"stop_price": "90", "limit_price": "89.50"}})
}

/// Status, quantity and what has filled of each child.
fn children(order: &Value) -> Vec<Value> {
    let children = order["children"].as_array().unwrap().iter();
    children.map(|it| json!([it["type"], it["status"], it["qty"], it["filled_qty"]])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bracket_is_placed_whole_and_once_and_its_exits_are_orders() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let mut body = bracket("10", "99");
    body["client_order_id"] = json!("mine");
    let placed = rest.post(&orders, body.clone()).await.expect(201);
    let held = [json!(["limit", "held", "10", "0"]), json!(["stop_limit", "held", "10", "0"])];
    assert_eq!(children(&placed), held);
    let again = rest.post(&orders, body.clone()).await.expect(200);
    assert_eq!((&again["replayed"], &again["children"]), (&json!(true), &placed["children"]));
    body["stop_loss"]["stop_price"] = json!("91");
    assert_eq!(rest.post(&orders, body).await.expect(422)["code"], "key_reused");

    let listed = rest.get(&format!("{orders}?status=open&class=bracket")).await.expect(200);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    let parents: Vec<&Value> = items.iter().map(|order| &order["parent_order_id"]).collect();
    assert_eq!(parents, [&placed["order_id"], &placed["order_id"], &Value::Null]);
    assert_eq!(items[0]["client_order_id"], items[0]["order_id"], "a name is made for it");
    let cash = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(cash["reserved"], "990.00", "held exits reserve nothing");

    rest.feed(&[quote("98", "99", "2024-01-17T15:00:10Z")]).await.expect(200);
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    let filled = rest.get(&path).await.expect(200);
    let works =
        [json!(["limit", "accepted", "10", "0"]), json!(["stop_limit", "accepted", "10", "0"])];
    assert_eq!((&filled["status"], children(&filled)), (&json!("filled"), works.to_vec()));
    let position = rest.get(&format!("/v1/accounts/{account}/positions/AAPL")).await.expect(200);
    assert_eq!((&position["qty"], &position["qty_available"]), (&json!("10"), &json!("0")));
    let closing = rest.delete(&format!("/v1/accounts/{account}/positions/AAPL")).await;
    assert_eq!(closing.expect(409)["code"], "nothing_to_close");

    rest.feed(&[quote("110", "111", "2024-01-17T15:00:20Z")]).await.expect(200);
    let sold = rest.get(&path).await.expect(200);
    let done =
        [json!(["limit", "filled", "10", "10"]), json!(["stop_limit", "canceled", "10", "0"])];
    assert_eq!(children(&sold), done);
    assert_eq!(sold["children"][1]["cancel_reason"], "sibling_filled");
    let stop = sold["children"][1]["order_id"].as_str().unwrap();
    let events = rest.get(&format!("{orders}/{stop}/events")).await.expect(200);
    let types: Vec<&Value> =
        events["items"].as_array().unwrap().iter().map(|event| &event["event_type"]).collect();
    assert_eq!(types, ["OrderPlaced", "OrderActivated", "OrderCanceled"]);
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exits_are_changed_and_ended_together() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let mut body = bracket("10", "101");
    body["time_in_force"] = json!("day");
    let bought = rest.post(&orders, body.clone()).await.expect(201);
    assert_eq!(bought["status"], "filled");
    let child =
        |n: usize| format!("{orders}/{}", bought["children"][n]["order_id"].as_str().unwrap());
    let moved = rest.patch(&child(0), json!({"limit_price": "105"})).await.expect(200);
    assert_eq!(moved["limit_price"], "105.00");
    let more = rest.patch(&child(0), json!({"qty": "11"})).await.expect(422);
    assert_eq!(
        (&more["code"], &more["errors"][0]["field"]),
        (&json!("invalid_order"), &json!("qty"))
    );
    let under = rest.patch(&child(0), json!({"limit_price": "90"})).await.expect(422);
    assert_eq!(under["errors"][0]["field"], "limit_price");
    rest.patch(&child(1), json!({"time_in_force": "gtc"})).await.expect(200);
    assert_eq!(rest.get(&child(0)).await.expect(200)["time_in_force"], "gtc");
    let ended = rest.delete(&child(1)).await.expect(200);
    assert_eq!(
        (&ended["status"], &ended["cancel_reason"]),
        (&json!("canceled"), &json!("requested"))
    );
    let sibling = rest.get(&child(0)).await.expect(200);
    assert_eq!(sibling["cancel_reason"], "sibling_ended");

    let two = [
        json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "10", "time_in_force": "gtc",
            "order_class": "oco", "take_profit": {"limit_price": "120"}, "stop_loss": {"stop_price": "80"}}),
        bracket("5", "95"),
    ];
    for body in two {
        rest.post(&orders, body).await.expect(201);
    }
    let keyed = send(rest.authorized(Method::DELETE, &orders).header("Idempotency-Key", "k"));
    let all = keyed.await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 5, "the oco's two and the bracket's three");
    let open = rest.get(&format!("{orders}?status=open")).await.expect(200);
    assert_eq!(open["items"], json!([]));
    rest.post(&orders, bracket("5", "95")).await.expect(201);
    rest.post(&format!("/v1/accounts/{account}/reset"), json!({})).await.expect(200);
    let open = rest.get(&format!("{orders}?status=open")).await.expect(200);
    assert_eq!(open["items"], json!([]));
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oco_sells_what_is_held_once_and_what_is_wrong_with_exits_is_named() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    rest.post(&orders, buy).await.expect(201);
    let oco = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "10", "order_class": "oco",
        "take_profit": {"limit_price": "120"}, "stop_loss": {"stop_price": "95"}});
    let placed = rest.post(&orders, oco.clone()).await.expect(201);
    assert_eq!(placed["limit_price"], "120.00", "the take-profit is the order itself");
    assert_eq!(children(&placed), [json!(["stop", "accepted", "10", "0"])]);
    assert_eq!(rest.post(&orders, oco.clone()).await.expect(422)["code"], "insufficient_shares");
    rest.feed(&[quote("94", "96", "2024-01-17T15:00:10Z")]).await.expect(200);
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    let ended = rest.get(&path).await.expect(200);
    assert_eq!(
        (&ended["status"], &ended["cancel_reason"]),
        (&json!("canceled"), &json!("sibling_filled"))
    );
    assert_eq!(ended["children"][0]["filled_avg_price"], "94.00");

    let named = |problem: Value| -> Vec<Value> {
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect()
    };
    let mut wrong = bracket("10", "99");
    wrong["take_profit"] = json!({"limit_price": "90"});
    wrong["stop_loss"] = json!({"stop_price": "95", "more": 1});
    let problem = rest.post(&orders, wrong).await.expect(422);
    assert_eq!(named(problem), ["stop_loss.more", "take_profit.limit_price"]);
    let mut two_limits = oco;
    two_limits["limit_price"] = json!("121");
    assert_eq!(named(rest.post(&orders, two_limits).await.expect(422)), ["limit_price"]);
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

/// A margin account with 10,000.
async fn margin(rest: &TestRest) -> String {
    let body = json!({"name": "margin", "kind": "margin", "starting_balance": "10000"});
    let account = rest.post("/v1/accounts", body).await.expect(201);
    account["account_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_sale_has_exits_that_buy_it_back_and_an_entry_closes_nothing() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = margin(&rest).await;
    let orders = format!("/v1/accounts/{account}/orders");
    let short = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "10", "time_in_force": "gtc",
        "order_class": "bracket", "take_profit": {"limit_price": "90"}, "stop_loss": {"stop_price": "110"}});
    let placed = rest.post(&orders, short).await.expect(201);
    assert_eq!(placed["status"], "filled");
    let works = [json!(["limit", "accepted", "10", "0"]), json!(["stop", "accepted", "10", "0"])];
    assert_eq!(children(&placed), works);
    assert_eq!(placed["children"][0]["side"], "buy");
    let refused = rest.post(&orders, bracket("5", "99")).await.expect(422);
    assert_eq!(
        (&refused["code"], &refused["figures"]["held"]),
        (&json!("opposing_position"), &json!("-10"))
    );
    // A buy by itself takes four shares of what the exits are for.
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "4"});
    assert_eq!(rest.post(&orders, buy).await.expect(201)["status"], "filled");
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    let less = [json!(["limit", "accepted", "6", "0"]), json!(["stop", "accepted", "6", "0"])];
    assert_eq!(children(&rest.get(&path).await.expect(200)), less);
    let stop = placed["children"][1]["order_id"].as_str().unwrap();
    let events = rest.get(&format!("{orders}/{stop}/events")).await.expect(200);
    let last = events["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["event_type"], &last["payload"]["OrderResized"]["cause"]),
        (&json!("OrderResized"), &json!("position_reduced")),
        "{last}"
    );
    rest.feed(&[quote("110", "111", "2024-01-17T15:00:20Z")]).await.expect(200);
    let done = [json!(["limit", "canceled", "6", "0"]), json!(["stop", "filled", "6", "6"])];
    assert_eq!(children(&rest.get(&path).await.expect(200)), done);
    let held = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!((&held["reserved"], &held["initial_margin"]), (&json!("0.00"), &json!("0.00")));
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oco_buys_a_short_position_back_and_ends_when_it_is_closed_otherwise() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = margin(&rest).await;
    let orders = format!("/v1/accounts/{account}/orders");
    let sell = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "10"});
    rest.post(&orders, sell).await.expect(201);
    let oco = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "order_class": "oco",
        "take_profit": {"limit_price": "90"}, "stop_loss": {"stop_price": "110"}});
    let told = rest.post(&format!("{orders}/preview"), oco.clone()).await.expect(200);
    assert_eq!((&told["status"], &told["worst_cost"]), (&json!("accepted"), &json!("0.00")));
    let placed = rest.post(&orders, oco.clone()).await.expect(201);
    assert_eq!(rest.post(&orders, oco).await.expect(422)["code"], "insufficient_shares");
    // Fifteen are bought: ten close what was short, and five are held.
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "15"});
    assert_eq!(rest.post(&orders, buy).await.expect(201)["status"], "filled");
    let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    let ended = rest.get(&path).await.expect(200);
    assert_eq!(
        (&ended["cancel_reason"], &ended["children"][0]["cancel_reason"]),
        (&json!("position_closed"), &json!("position_closed"))
    );
    let position = rest.get(&format!("/v1/accounts/{account}/positions/AAPL")).await.expect(200);
    assert_eq!((&position["qty"], &position["qty_available"]), (&json!("5"), &json!("5")));
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}
