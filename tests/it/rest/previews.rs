//! Previews over REST: they tell what placing does, store nothing, and refuse as placing refuses.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument, quote};

/// The figures of an account and its position in AAPL, in the words of a preview.
async fn figures(rest: &TestRest, account: &str) -> Value {
    let now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    let position = rest.get(&format!("/v1/accounts/{account}/positions/AAPL")).await;
    let position = if position.status == 200 { position.json() } else { Value::Null };
    let held = |field: &str, none: &str| position.get(field).cloned().unwrap_or(json!(none));
    let of_margin =
        |field: &str| if now["kind"] == "margin" { now[field].clone() } else { Value::Null };
    json!({
        "equity": now["equity"],
        "initial_margin": of_margin("initial_margin"),
        "maintenance_margin": of_margin("maintenance_margin"),
        "cash": now["cash"],
        "reserved": now["reserved"],
        "buying_power": now["buying_power"],
        "options_buying_power": now["options_buying_power"],
        "position_qty": held("qty", "0"),
        "position_qty_available": held("qty_available", "0"),
        "avg_entry_price": position.get("avg_entry_price").cloned().unwrap_or(Value::Null),
        "cost_basis": held("cost_basis", "0.00"),
        "realized_pl": held("realized_pl", "0.00"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_what_placing_does_when_the_market_has_not_moved() {
    let seen = told_and_done("cash").await;
    assert!(seen.contains("insufficient_shares"), "{seen:?}");
    let seen = told_and_done("margin").await;
    assert!(seen.contains("opposing_position"), "{seen:?}");
}

/// Previews and places orders in an account of this kind; what came of them.
async fn told_and_done(kind: &str) -> BTreeSet<String> {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let body = json!({"name": "test", "kind": kind, "starting_balance": "20000"});
    let account = rest.post("/v1/accounts", body).await.expect(201);
    let account = account["account_id"].as_str().unwrap();
    let orders = format!("/v1/accounts/{account}/orders");
    // A fixed sequence that looks random: every kind of order, sizes beyond the quote and beyond the means.
    let mut seed = 7u64;
    let mut draw = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let mut seen = BTreeSet::new();
    for n in 0..80 {
        if n % 5 == 0 {
            // Sizes are refilled by the next quote alone.
            let at = format!("2024-01-17T15:{:02}:00Z", n / 5 + 1);
            let mut line = quote("AAPL", "100", "101", &at);
            line["ask_size"] = json!("12");
            line["bid_size"] = json!("8");
            rest.feed(&[line]).await.expect(200);
        }
        let side = ["buy", "sell"][usize::try_from(draw(2)).unwrap()];
        let time = ["day", "gtc", "ioc", "fok"][usize::try_from(draw(4)).unwrap()];
        let qty = [1, 3, 10, 15, 40, 400][usize::try_from(draw(6)).unwrap()].to_string();
        let mut body = json!({"symbol": "AAPL", "side": side, "type": "market", "qty": qty, "time_in_force": time});
        if draw(3) > 0 {
            let price = ["99", "100", "100.5", "101", "102"][usize::try_from(draw(5)).unwrap()];
            body["type"] = json!("limit");
            body["limit_price"] = json!(price);
        }
        if draw(3) == 0 {
            // Some have been passed already, and some wait.
            let limited = body.get("limit_price").is_some();
            body["type"] = json!(if limited { "stop_limit" } else { "stop" });
            body["stop_price"] =
                json!(["99", "100", "101", "102"][usize::try_from(draw(4)).unwrap()]);
            body["trigger_by"] = json!(["last", "quote"][usize::try_from(draw(2)).unwrap()]);
        }
        if draw(3) == 0 {
            // Some of them are no orders that can be, in a cash account all that sell first or buy back.
            let class = ["bracket", "oto", "oco"][usize::try_from(draw(3)).unwrap()];
            body["order_class"] = json!(class);
            let exits_sell = (class == "oco") == (side == "sell");
            let stops = if exits_sell { ["90", "99", "100"] } else { ["101", "102", "110"] };
            let stop = stops[usize::try_from(draw(3)).unwrap()];
            body["stop_loss"] = json!({ "stop_price": stop });
            if class == "bracket" {
                body["take_profit"] = json!({"limit_price": if exits_sell { "110" } else { "90" }});
            }
        }
        let (head, before) = (rest.head(), figures(&rest, account).await);
        let foretold = rest.post(&format!("{orders}/preview"), body.clone()).await;
        assert_eq!(rest.head(), head, "a preview writes nothing");
        let placed = rest.post(&orders, body.clone()).await;
        let after = figures(&rest, account).await;
        let (told, order) = (foretold.json(), placed.json());
        if placed.status == 422 {
            assert_eq!(foretold.status, 422, "{body}: {told}, then {order}");
            for field in ["code", "detail", "figures"] {
                assert_eq!(told[field], order[field], "{body}");
            }
            assert!(told.get("order_id").is_none());
            seen.insert(order["code"].as_str().unwrap().to_owned());
            continue;
        }
        assert_eq!((foretold.status.as_u16(), placed.status.as_u16()), (200, 201), "{body}");
        for field in ["status", "cancel_reason", "filled_qty", "filled_avg_price", "fees"] {
            assert_eq!(told[field], order[field], "{field} of {body}: {told}, then {order}");
        }
        assert_eq!(told["before"], before, "{body}");
        assert_eq!(told["after"], after, "{body}: {told}, then {order}");
        assert_eq!(told["position"], head);
        seen.insert(order["status"].as_str().unwrap().to_owned());
    }
    for word in [
        "filled",
        "partially_filled",
        "accepted",
        "canceled",
        "insufficient_buying_power",
        "invalid_order",
    ] {
        assert!(seen.contains(word), "no {word} among {seen:?}");
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_by_hand_before_any_order_and_of_one_that_rests() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let preview = format!("/v1/accounts/{account}/orders/preview");
    let limit = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": "99.50"});
    assert_eq!(rest.post(&preview, limit.clone()).await.expect(422)["code"], "market_clock_unset");
    rest.quoted().await;
    let told = rest.post(&preview, limit).await.expect(200);
    assert_eq!((&told["status"], &told["filled_qty"]), (&json!("accepted"), &json!("0")));
    assert_eq!(
        (&told["estimated_price"], &told["estimated_cost"]),
        (&json!("99.50"), &json!("995.00"))
    );
    assert_eq!(
        (&told["worst_cost"], &told["after"]["reserved"]),
        (&json!("995.00"), &json!("995.00"))
    );
    assert_eq!(told["after"]["buying_power"], "9005.00");
    let market = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    let told = rest.post(&preview, market).await.expect(200);
    // Ten at the ask of 101; set aside: 101 and 5 %.
    assert_eq!(
        (&told["estimated_cost"], &told["worst_cost"]),
        (&json!("1010.00"), &json!("1060.50"))
    );
    assert_eq!(told["reference"]["source"], "feed");
    assert_eq!(told["after"]["cash"], "8990.00");

    rest.feed(&[instrument("MSFT")]).await.expect(200);
    let refused = |body: Value| rest.post(&preview, body);
    let priceless = json!({"symbol": "MSFT", "side": "buy", "type": "market", "qty": "1"});
    assert_eq!(refused(priceless).await.expect(422)["code"], "no_reference_price");
    let unknown = json!({"symbol": "NOPE", "side": "buy", "type": "market", "qty": "1"});
    assert_eq!(refused(unknown).await.expect(422)["code"], "unknown_symbol");
    let malformed = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "0"});
    let malformed = refused(malformed).await.expect(422);
    assert_eq!(malformed["errors"].as_array().unwrap().len(), 2, "{malformed}");
    let nobody = format!("/v1/accounts/{}/orders/preview", uuid::Uuid::now_v7());
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
    assert_eq!(rest.post(&nobody, body).await.expect(404)["code"], "account_not_found");
    let orders = rest.get(&format!("/v1/accounts/{account}/orders")).await.expect(200);
    assert_eq!(orders["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_of_what_waits_tells_its_stop_its_reservation_and_no_fill() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    // The ask is 101: a trail of 4 begins at a stop of 105, and its limit would be 105.50.
    let limited = json!({"symbol": "AAPL", "side": "buy", "type": "trailing_stop_limit", "qty": "10",
        "trail_price": "4", "limit_offset": "0.5"});
    let mut later = limited.clone();
    later["activation_price"] = json!("95");
    for (body, stop, worst) in [
        (limited, json!("105.00"), "1055.00"),
        // It follows from 95 on, so its limit is 99.50 at most.
        (later, Value::Null, "995.00"),
    ] {
        let told = rest.post(&format!("{orders}/preview"), body.clone()).await.expect(200);
        let shown = json!([told["status"], told["stop_price"], told["worst_cost"]]);
        assert_eq!(shown, json!(["accepted", stop, worst]), "{body}");
        let placed = rest.post(&orders, body).await.expect(201);
        assert_eq!((&placed["status"], &placed["stop_price"]), (&json!("accepted"), &stop));
        let now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
        assert_eq!(now["reserved"], told["after"]["reserved"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_market_order_at_the_instant_of_midnight_fills_under_hours_that_never_close() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start_always_open(&database).await;
    rest.feed(&[instrument("AAPL"), quote("AAPL", "100", "101", "2024-01-18T04:59:59Z")])
        .await
        .expect(200);
    // Midnight in New York.
    rest.feed(&[json!({"t": "clock", "at": "2024-01-18T05:00:00Z"})]).await.expect(200);
    let account = rest.account("1000").await;
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
    let order = rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201);
    assert_eq!(order["status"], "filled");
}
