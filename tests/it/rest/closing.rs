//! Closing positions, changing policies and beginning again over REST.

use reqwest::Method;
use serde_json::json;

use crate::support::TestDatabase;
use crate::support::rest::TestRest;

async fn held(rest: &TestRest, qty: &str) -> String {
    rest.quoted().await;
    let account = rest.account("10000").await;
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": qty});
    rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201);
    account
}

/// A margin account, while AAPL is quoted.
async fn margin(rest: &TestRest) -> String {
    rest.quoted().await;
    let body = json!({"name": "margin", "kind": "margin", "starting_balance": "10000"});
    let account = rest.post("/v1/accounts", body).await.expect(201);
    account["account_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_closed_once_under_a_key_and_in_parts() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = held(&rest, "9").await;
    let path = format!("/v1/accounts/{account}/positions/AAPL");
    let close = |query: &str, key: &str| {
        let request = rest.request(Method::DELETE, &format!("{path}{query}"));
        rest.send(request.header("idempotency-key", key))
    };
    let half = close("?percentage=50", "half").await.expect(201);
    assert_eq!(
        (&half["side"], &half["type"], &half["qty"]),
        (&json!("sell"), &json!("market"), &json!("4"))
    );
    assert_eq!((&half["status"], &half["replayed"]), (&json!("filled"), &json!(false)));
    let again = close("?percentage=50", "half").await.expect(200);
    assert_eq!((&again["order_id"], &again["replayed"]), (&half["order_id"], &json!(true)));
    assert_eq!(close("?percentage=51", "half").await.expect(422)["code"], "key_reused");
    let two = rest.delete(&format!("{path}?qty=2&client_order_id=two")).await.expect(201);
    assert_eq!((&two["qty"], &two["client_order_id"]), (&json!("2"), &json!("two")));
    let too_many = rest.delete(&format!("{path}?qty=4")).await.expect(422);
    assert_eq!(too_many["code"], "insufficient_shares");
    for query in
        ["?percentage=0", "?percentage=100.1", "?qty=0", "?qty=1&percentage=1", "?percentage=1"]
    {
        let refused = rest.delete(&format!("{path}{query}")).await.expect(422);
        assert!(refused["errors"][0]["field"].is_string(), "{query}: {refused}");
    }
    let rest_of_it = rest.delete(&path).await.expect(201);
    assert_eq!((&rest_of_it["qty"], &rest_of_it["status"]), (&json!("3"), &json!("filled")));
    // The same close as before, though nothing is left.
    assert_eq!(close("?percentage=50", "half").await.expect(200)["order_id"], half["order_id"]);
    let nothing = rest.delete(&path).await.expect(409);
    assert_eq!(
        (&nothing["code"], &nothing["figures"]["held"]),
        (&json!("nothing_to_close"), &json!("0"))
    );
    rest.delete(&format!("/v1/accounts/{account}/positions/MSFT")).await.expect(409);
    rest.delete(&format!("/v1/accounts/{}/positions/AAPL", uuid::Uuid::now_v7())).await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_that_open_sells_reserve_are_not_closed() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = held(&rest, "10").await;
    let body = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "10", "limit_price": "150"});
    let sell = rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201);
    let path = format!("/v1/accounts/{account}/positions/AAPL");
    let nothing = rest.delete(&path).await.expect(409);
    let by = &sell["order_id"];
    assert_eq!(nothing["figures"], json!({"held": "10", "reserved": "10", "reserved_by": by}));
    let sell = sell["order_id"].as_str().unwrap();
    assert_eq!(
        nothing["detail"],
        format!(
            "nothing of AAPL can be closed: 10 shares are held, and open orders are to close 10 of them: cancel these first, or \
             let them fill: {sell}"
        )
    );
    rest.delete(&format!("/v1/accounts/{account}/orders/{sell}")).await.expect(200);
    let all = rest.delete(&path).await.expect(201);
    assert_eq!((&all["qty"], &all["left"]), (&json!("10"), &json!(null)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_close_leaves_is_told_with_the_orders_that_hold_it() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = held(&rest, "10").await;
    let body = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "4", "limit_price": "150"});
    let sell = rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201);
    let path = format!("/v1/accounts/{account}/positions/AAPL");
    let by = json!([{"order_id": sell["order_id"], "qty": "4"}]);
    let part = rest.delete(&format!("{path}?qty=1&client_order_id=part")).await.expect(201);
    assert_eq!(part["filled_qty"], "1");
    let next = "1 open orders are to close 4 of the 9 shares that stay: let them fill or cancel them, and close again for the \
                other 5";
    let left = json!({"qty": "9", "reserved": "4", "reserved_by": by, "next_step": next});
    assert_eq!(part["left"], left);
    let all = rest.delete(&path).await.expect(201);
    assert_eq!(all["qty"], "5");
    let next = "1 open orders are to close the 4 shares that stay: let them fill, or cancel them and close again";
    let left = json!({"qty": "4", "reserved": "4", "reserved_by": by, "next_step": next});
    assert_eq!(all["left"], left);
    // The same close again is told what is left by now.
    let again = rest.delete(&format!("{path}?qty=1&client_order_id=part")).await.expect(200);
    assert_eq!((&again["order_id"], &again["left"]), (&part["order_id"], &left));
    let sell = sell["order_id"].as_str().unwrap();
    rest.delete(&format!("/v1/accounts/{account}/orders/{sell}")).await.expect(200);
    let half = rest.delete(&format!("{path}?percentage=50")).await.expect(201);
    assert_eq!(half["left"]["next_step"], "close again for the 2 shares that stay");
}

/// In a margin account too, where the order would be taken and leave the other one to sell short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_closed_than_is_free_however_that_is_said() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = margin(&rest).await;
    let orders = format!("/v1/accounts/{account}/orders");
    let buy = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    assert_eq!(rest.post(&orders, buy).await.expect(201)["status"], "filled");
    let sell = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "8", "limit_price": "150"});
    rest.post(&orders, sell).await.expect(201);
    let path = format!("/v1/accounts/{account}/positions/AAPL");
    for (asked, field, qty) in [
        ("qty=5", "qty", "5"),
        ("percentage=50", "percentage", "5"),
        ("percentage=100", "percentage", "10"),
    ] {
        let refused = rest.delete(&format!("{path}?{asked}")).await.expect(422);
        assert_eq!(refused["code"], "insufficient_shares", "{refused}");
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
        let figures = &refused["figures"];
        assert_eq!((&figures["available"], &figures["reserved"]), (&json!("2"), &json!("8")));
        assert!(
            refused["detail"].as_str().unwrap().contains(&format!("needs {qty} shares")),
            "{refused}"
        );
    }
    assert_eq!(rest.delete(&format!("{path}?percentage=20")).await.expect(201)["qty"], "2");
}

/// However many close at the same time, what they close is closed once, in a margin account too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_at_the_same_time_never_opens_the_other_side() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = margin(&rest).await;
    for (side, sign) in [("buy", ""), ("sell", "-")] {
        let order = json!({"symbol": "AAPL", "side": side, "type": "market", "qty": "5"});
        let placed = rest.post(&format!("/v1/accounts/{account}/orders"), order).await.expect(201);
        assert_eq!(placed["status"], "filled");
        let path = format!("/v1/accounts/{account}/positions/AAPL");
        assert_eq!(rest.get(&path).await.expect(200)["qty"], format!("{sign}5"));
        let closes = (0..8).map(|_| rest.delete(&path));
        let answers = futures::future::join_all(closes).await;
        let (mut closed, mut codes) = (0, Vec::new());
        for answer in answers {
            match answer.status.as_u16() {
                201 => closed += 1,
                _ => codes.push(answer.json()["code"].as_str().unwrap().to_owned()),
            }
        }
        let known = ["nothing_to_close", "insufficient_shares"];
        assert!(codes.iter().all(|code| known.contains(&code.as_str())), "{codes:?}");
        assert_eq!(closed, 1, "{codes:?}");
        assert_eq!(rest.get(&path).await.expect(200)["qty"], "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_stands_in_for_the_clients_own_order_id() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let post = |qty: &str| {
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": "50"});
        let request = rest.request(Method::POST, &format!("/v1/accounts/{account}/orders"));
        rest.send(request.header("idempotency-key", "once").json(&body))
    };
    let first = post("1").await.expect(201);
    assert_eq!(first["client_order_id"], "once");
    let again = post("1").await.expect(200);
    assert_eq!((&again["order_id"], &again["replayed"]), (&first["order_id"], &json!(true)));
    assert_eq!(post("2").await.expect(422)["code"], "key_reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_beside_another_client_order_id_is_refused_and_not_dropped() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let head = rest.head();
    let post = |id: &str| {
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "50",
            "client_order_id": id});
        let request = rest.request(Method::POST, &format!("/v1/accounts/{account}/orders"));
        rest.send(request.header("idempotency-key", "once").json(&body))
    };
    let refused = post("A1").await.expect(422);
    assert_eq!(refused["errors"][0]["field"], "client_order_id");
    assert_eq!(rest.head(), head);
    assert_eq!(post("once").await.expect(201)["client_order_id"], "once");
    assert_eq!(post("once").await.expect(200)["replayed"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_changed_limit_by_limit_and_null_lifts_one() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let patch = |body: serde_json::Value| {
        let request = rest.request(Method::PATCH, &format!("/v1/accounts/{account}/policy"));
        rest.send(request.json(&body))
    };
    let orders = format!("/v1/accounts/{account}/orders");
    let order = |qty: &str| {
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": "50"});
        rest.post(&orders, body)
    };
    let limited =
        patch(json!({"max_order_qty": "5", "max_order_notional": "240"})).await.expect(200);
    assert_eq!(
        limited["policy"],
        json!({"trading_state": "active", "max_order_qty": "5", "max_order_notional": "240.00"})
    );
    let refused = order("6").await.expect(422);
    assert_eq!(
        (&refused["code"], &refused["figures"]["max"]),
        (&json!("order_limit"), &json!("5"))
    );
    assert_eq!(order("5").await.expect(422)["figures"]["max"], "240.00");
    let lifted = patch(json!({"max_order_notional": null})).await.expect(200);
    assert_eq!(lifted["policy"], json!({"trading_state": "active", "max_order_qty": "5"}));
    order("5").await.expect(201);
    let more = json!({"price_collar_pct": "5", "max_position_qty": "90", "max_concentration_pct": "12.5",
        "max_open_orders": 3});
    let limited = patch(more).await.expect(200)["policy"].clone();
    let shown =
        ["price_collar_pct", "max_position_qty", "max_concentration_pct", "max_open_orders"];
    assert_eq!(
        serde_json::Value::from_iter(shown.map(|name| limited[name].clone())),
        json!(["5.00", "90", "12.50", 3])
    );
    order("5").await.expect(201);
    let none = json!({"price_collar_pct": null, "max_position_qty": null, "max_concentration_pct": null,
        "max_open_orders": null});
    let lifted = patch(none).await.expect(200);
    assert_eq!(lifted["policy"], json!({"trading_state": "active", "max_order_qty": "5"}));
    let head = rest.head();
    patch(json!({"max_order_qty": "5"})).await.expect(200);
    patch(json!({})).await.expect(200);
    assert_eq!(rest.head(), head, "a change of nothing is no event");
    let halted = patch(json!({"trading_state": "halted"})).await.expect(200);
    assert_eq!(halted["status"], "halted");
    assert_eq!(order("1").await.expect(422)["code"], "trading_halted");
    for body in [
        json!({"max_order_qty": "0"}),
        json!({"max_order_notional": "-1"}),
        json!({"trading_state": "on"}),
        json!({"price_collar_pct": "0"}),
        json!({"max_open_orders": 0}),
        json!({"max_daily_loss": "0"}),
        json!({"max_drawdown_pct": "-1"}),
        json!({"max_open_orders": "1.5"}),
        json!({"x": 1}),
    ] {
        patch(body).await.expect(422);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_begins_again_once_under_its_key_and_everything_still_verifies() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = held(&rest, "10").await;
    let orders = format!("/v1/accounts/{account}/orders");
    for (side, price) in [("sell", "150"), ("buy", "50")] {
        let body = json!({"symbol": "AAPL", "side": side, "type": "limit", "qty": "4", "limit_price": price});
        rest.post(&orders, body).await.expect(201);
    }
    let paid = rest
        .post(&format!("/v1/accounts/{account}/deposits"), json!({"amount": "500"}))
        .await
        .expect(201);
    let reset = |body: serde_json::Value| {
        let request = rest.request(Method::POST, &format!("/v1/accounts/{account}/reset"));
        rest.send(request.header("idempotency-key", "again").json(&body))
    };
    let begun = reset(json!({})).await.expect(200);
    assert_eq!(
        (&begun["cash"], &begun["reserved"], &begun["equity"]),
        (&json!("10000.00"), &json!("0.00"), &json!("10000.00"))
    );
    let head = rest.head();
    assert_eq!(reset(json!({})).await.expect(200)["replayed"], true);
    assert_eq!(reset(json!({"starting_balance": "5"})).await.expect(422)["code"], "key_reused");
    assert_eq!(rest.head(), head);
    let all = rest.get(&orders).await.expect(200);
    let ended: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["cancel_reason"].clone())
        .collect();
    assert_eq!(ended, [json!("account_reset"), json!("account_reset"), json!(null)]);
    let held = rest.get(&format!("/v1/accounts/{account}/positions")).await.expect(200);
    assert_eq!(held["items"], json!([]));
    let portfolio = rest.get(&format!("/v1/accounts/{account}/portfolio")).await.expect(200);
    assert_eq!(
        (&portfolio["realized_pl"], &portfolio["day_change"]),
        (&json!("0.00"), &json!("0.00"))
    );
    let activities =
        rest.get(&format!("/v1/accounts/{account}/activities?types=RESET")).await.expect(200);
    // 10,500 less ten at 101 are 9,490.
    assert_eq!(activities["items"][0]["net_amount"], "510.00");

    let then =
        rest.get(&format!("/v1/accounts/{account}?as_of={}", paid["position"])).await.expect(200);
    assert_eq!((&then["cash"], &then["reserved"]), (&json!("9490.00"), &json!("200.00")));
    assert_eq!((&then["positions"][0]["qty"], &then["open_orders"]), (&json!("10"), &json!(2)));
    assert_eq!((&then["position"], &then["equity"]), (&paid["position"], &json!(null)));
    let just_now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    for now in [just_now, rest.head().to_string()] {
        let now = rest.get(&format!("/v1/accounts/{account}?as_of={now}")).await.expect(200);
        assert_eq!((&now["cash"], &now["positions"]), (&json!("10000.00"), &json!([])));
    }
    for (later, present) in [
        ("2999-01-01T00:00:00Z".to_owned(), chrono::Utc::now().format("%Y-%m-%dT").to_string()),
        ((rest.head() + 1).to_string(), format!("position {}:", rest.head())),
        (i64::MAX.to_string(), format!("position {}:", rest.head())),
    ] {
        let refused = rest.get(&format!("/v1/accounts/{account}?as_of={later}")).await.expect(422);
        let fault = &refused["errors"][0];
        assert_eq!((&fault["field"], &fault["code"]), (&json!("as_of"), &json!("invalid_value")));
        let message = fault["message"].as_str().unwrap();
        assert!(
            message.contains(&present) && message.contains(later.trim_end_matches('Z')),
            "{message}"
        );
    }
    rest.get(&format!("/v1/accounts/{account}?as_of=1")).await.expect(404);
    rest.get(&format!("/v1/accounts/{account}?as_of=yesterday")).await.expect(422);

    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    rest.post(&orders, body).await.expect(201);
    assert_eq!(
        rest.delete(&format!("/v1/accounts/{account}/positions/AAPL")).await.expect(201)["status"],
        "filled"
    );
    let verdict = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], true, "{verdict}");
}
