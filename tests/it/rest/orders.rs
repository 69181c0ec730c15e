//! Orders over REST: from the post to the fill, once under each key, never more than there is.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::TestDatabase;
use crate::support::rest::{OPEN, TestRest, instrument, quote, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketable_order_is_answered_filled_and_every_view_agrees() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": 10, "note": "a first buy"});
    let order = rest.post(&orders, body).await.expect(201);
    assert_eq!(order["status"], "filled");
    assert_eq!(order["filled_qty"], "10");
    assert_eq!(order["filled_avg_price"], "101.00");
    assert_eq!(order["note"], "a first buy");
    assert_eq!(order["replayed"], false);

    let order_id = order["order_id"].as_str().unwrap();
    let account_now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(account_now["cash"], "8990.00");
    assert_eq!(account_now["reserved"], "0.00");
    assert_eq!(account_now["buying_power"], "8990.00");
    assert_eq!(account_now["long_market_value"], "1000.00");
    assert_eq!(account_now["equity"], "9990.00");
    assert_eq!(account_now["mark_sources"], json!(["feed"]));

    let position = rest.get(&format!("/v1/accounts/{account}/positions/AAPL")).await.expect(200);
    assert_eq!(position["qty"], "10");
    assert_eq!(position["avg_entry_price"], "101.00");
    assert_eq!(position["unrealized_pl"], "-10.00");
    assert_eq!(position["unrealized_plpc"], "-0.009901");
    assert_eq!(position["lots"].as_array().unwrap().len(), 1);

    let events = rest.get(&format!("{orders}/{order_id}/events")).await.expect(200);
    let types: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|e| e["event_type"].clone()).collect();
    assert_eq!(types, ["OrderPlaced", "OrderFilled"]);

    let journal = rest.get(&format!("/v1/accounts/{account}/journal")).await.expect(200);
    assert!(journal["items"].as_array().unwrap().len() >= 3, "{journal}");
    let postings = journal["items"].as_array().unwrap().iter();
    let cash: Vec<&str> = postings
        .flat_map(|entry| entry["postings"].as_array().unwrap())
        .filter(|posting| posting["instrument_id"].is_null())
        .map(|posting| posting["amount"].as_str().unwrap())
        .collect();
    assert!(cash.contains(&"10000.00") && cash.contains(&"-1010.00"), "{cash:?}");
    let activities =
        rest.get(&format!("/v1/accounts/{account}/activities?types=FILL")).await.expect(200);
    assert_eq!(activities["items"][0]["net_amount"], "-1010.00");
    assert_eq!(activities["items"].as_array().unwrap().len(), 1);
}

/// Buys 10 AAPL, which pay a dividend of 0.50 then.
async fn buy_and_be_paid(rest: &TestRest, account: &str) {
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201);
    let dividend = json!({"t": "dividend", "symbol": "AAPL", "amount": "0.50", "ex": "2024-01-18",
        "pay": "2024-01-25", "id": "d1", "at": OPEN});
    let paid = json!({"t": "clock", "at": "2024-01-25T15:00:00Z"});
    rest.feed(&[dividend, paid]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dividend_is_an_activity_that_names_who_paid_it() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    buy_and_be_paid(&rest, &account).await;
    let activities =
        rest.get(&format!("/v1/accounts/{account}/activities?types=DIV")).await.expect(200);
    let dividend = &activities["items"][0];
    assert_eq!((&dividend["symbol"], &dividend["net_amount"]), (&json!("AAPL"), &json!("5.00")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_by_another_view_is_answered_when_that_view_has_come_as_far() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    // Whoever holds its checkpoint keeps the view of instruments where it is.
    let mut superuser = database.superuser().await;
    let mut held = superuser.begin().await.unwrap();
    let hold = "SELECT * FROM projections WHERE name = 'market' FOR UPDATE";
    sqlx::query(hold).execute(&mut *held).await.unwrap();
    rest.quoted().await;
    buy_and_be_paid(&rest, &account).await;
    let ask = |path: &str| {
        let path = format!("/v1/accounts/{account}/{path}");
        tokio::spawn(send(rest.authorized(reqwest::Method::GET, &path)))
    };
    let (activities, positions) = (ask("activities?types=DIV"), ask("positions"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!activities.is_finished() && !positions.is_finished());
    held.rollback().await.unwrap();
    let activities = activities.await.unwrap().expect(200);
    assert_eq!(activities["items"][0]["symbol"], "AAPL");
    assert_eq!(positions.await.unwrap().expect(200)["items"][0]["kind"], "stock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resting_order_fills_by_the_feed_and_a_line_sent_again_refills_nothing() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "5", "limit_price": "99.50",
        "client_order_id": "mine"});
    let order = rest.post(&orders, body).await.expect(201);
    assert_eq!(order["status"], "accepted");
    let account_now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(account_now["reserved"], "497.50");
    let line = quote("AAPL", "99", "99.40", "2024-01-17T15:00:10Z");
    let fed = rest.feed(std::slice::from_ref(&line)).await.expect(200);
    assert_eq!(fed["accepted"], 1);
    let order = rest.get(&format!("{orders}/by-client-id/mine")).await.expect(200);
    assert_eq!(order["status"], "filled");
    assert!(order["position"].as_u64() >= fed["position"].as_u64());
    let again = rest.feed(&[line]).await.expect(200);
    assert_eq!((&again["ignored"], &again["reasons"]), (&json!(1), &json!({"duplicate": 1})));
    assert_eq!(again["position"], fed["position"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_order_is_canceled_once_and_a_filled_one_cannot_be() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let limit = |limit: &str| json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": limit});
    let order = rest.post(&orders, limit("90")).await.expect(201);
    let path = format!("{orders}/{}", order["order_id"].as_str().unwrap());
    let canceled = rest.delete(&path).await.expect(200);
    assert_eq!((&canceled["status"], &canceled["replayed"]), (&json!("canceled"), &json!(false)));
    let head = rest.head();
    let again = rest.delete(&path).await.expect(200);
    assert_eq!((&again["status"], &again["replayed"]), (&json!("canceled"), &json!(true)));
    assert_eq!(rest.head(), head);

    let filled = rest.post(&orders, limit("101")).await.expect(201);
    let path = format!("{orders}/{}", filled["order_id"].as_str().unwrap());
    assert_eq!(rest.delete(&path).await.expect(409)["code"], "order_not_open");

    for price in ["91", "92", "93"] {
        rest.post(&orders, limit(price)).await.expect(201);
    }
    let none = rest.delete(&format!("{orders}?kind=option")).await.expect(200);
    assert_eq!(none["items"], json!([]));
    let all = rest.delete(&format!("{orders}?kind=stock")).await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    assert!(all["items"].as_array().unwrap().iter().all(|order| order["status"] == "canceled"));
    let open = rest.get(&format!("{orders}?status=open")).await.expect(200);
    assert_eq!(open["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_one_key_all_orders_are_canceled_once_and_those_placed_since_stay() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let place = |price: &'static str| {
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": price});
        rest.post(&orders, body)
    };
    let cancel = |key: &'static str, query: &'static str| {
        let request = rest.request(reqwest::Method::DELETE, &format!("{orders}{query}"));
        rest.send(request.header("idempotency-key", key))
    };
    let nothing = cancel("early", "").await.expect(200);
    assert_eq!((&nothing["items"], &nothing["replayed"]), (&json!([]), &json!(false)));
    let (first, second) = (place("90").await.expect(201), place("91").await.expect(201));
    let mut again = cancel("early", "").await.expect(200);
    assert_eq!(again["replayed"], json!(true));
    again["replayed"] = json!(false);
    assert_eq!(again, nothing, "orders that were placed since are not its own");

    let ended = cancel("all", "").await.expect(200);
    let ids: Vec<_> = ended["items"].as_array().unwrap().iter().map(|o| &o["order_id"]).collect();
    assert_eq!(ids, [&second["order_id"], &first["order_id"]]);
    assert!(ended["items"].as_array().unwrap().iter().all(|order| order["status"] == "canceled"));
    let third = place("92").await.expect(201);
    let mut again = cancel("all", "").await.expect(200);
    assert_eq!(again["replayed"], json!(true));
    again["replayed"] = json!(false);
    assert_eq!(again, ended);
    assert_eq!(cancel("all", "?kind=stock").await.expect(422)["code"], "key_reused");
    let open = rest.get(&format!("{orders}?status=open")).await.expect(200);
    assert_eq!(open["items"][0]["order_id"], third["order_id"]);
    assert_eq!(cancel("", "").await.expect(400)["code"], "unreadable");
    assert_eq!(rest.get("/v1/audit/verify").await.expect(200)["valid"], json!(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_by_the_business_is_recorded_and_replayed_as_itself() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("100").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": "101",
        "client_order_id": "too-much", "note": "greedy"});
    let refused = rest.post(&orders, body.clone()).await.expect(422);
    assert_eq!(refused["code"], "insufficient_buying_power");
    assert_eq!(refused["replayed"], false);
    let order_id = refused["order_id"].as_str().unwrap();
    let order = rest.get(&format!("{orders}/{order_id}")).await.expect(200);
    assert_eq!(order["status"], "rejected");
    assert_eq!(order["reject"]["code"], "insufficient_buying_power");
    assert_eq!(order["note"], "greedy");
    let head = rest.head();
    let again = rest.post(&orders, body).await.expect(422);
    assert_eq!(again["order_id"], refused["order_id"]);
    assert_eq!(again["code"], "insufficient_buying_power");
    assert_eq!(again["replayed"], true);
    assert_eq!(rest.head(), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_parallel_posts_of_one_client_order_id_make_one_order() {
    let database = TestDatabase::new().await;
    let rest = std::sync::Arc::new(TestRest::start(&database).await);
    rest.quoted().await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = |qty: &str| {
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": "50",
            "client_order_id": "same", "note": "one of many"})
    };
    let posts: Vec<_> = (0..64)
        .map(|_| {
            let (rest, path, body) = (rest.clone(), orders.clone(), body("1"));
            tokio::spawn(async move { rest.post(&path, body).await })
        })
        .collect();
    let (mut ids, mut created) = (std::collections::BTreeSet::new(), 0);
    for post in posts {
        let answer = post.await.unwrap();
        let status = answer.status.as_u16();
        assert!(status == 200 || status == 201, "{answer:?}");
        created += usize::from(status == 201);
        let order = answer.json();
        assert_eq!(order["replayed"], json!(status == 200));
        ids.insert(order["order_id"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), created), (1, 1));
    let all = rest.get(&orders).await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest.post(&orders, body("2")).await.expect(422)["code"], "key_reused");
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM order_notes")
        .fetch_one(database.auditor.pool())
        .await
        .unwrap();
    assert_eq!(notes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_orders_that_are_affordable_alone_never_overspend() {
    let database = TestDatabase::new().await;
    let rest = std::sync::Arc::new(TestRest::start(&database).await);
    rest.quoted().await;
    let account = rest.account("1010").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let posts: Vec<_> = (0..50)
        .map(|_| {
            let (rest, path) = (rest.clone(), orders.clone());
            let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "101"});
            tokio::spawn(async move { rest.post(&path, body).await })
        })
        .collect();
    let mut filled = 0;
    for post in posts {
        let answer = post.await.unwrap();
        match answer.status.as_u16() {
            201 => filled += 1,
            422 => assert_eq!(answer.json()["code"], "insufficient_buying_power"),
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert_eq!(filled, 10);
    let account_now = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(account_now["cash"], "0.00");
    assert_eq!(account_now["long_market_value"], "1000.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_need_a_market_clock_a_known_symbol_and_an_account_of_the_caller() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("1000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body =
        |symbol: &str| json!({"symbol": symbol, "side": "buy", "type": "market", "qty": "1"});
    let head = rest.head();
    let early = rest.post(&orders, body("AAPL")).await.expect(422);
    assert_eq!(early["code"], "market_clock_unset");
    rest.feed(&[json!({"t": "clock", "at": crate::support::rest::OPEN})]).await.expect(200);
    let unknown = rest.post(&orders, body("NOPE")).await.expect(422);
    assert_eq!(unknown["code"], "unknown_symbol");
    assert_eq!(unknown["errors"][0]["field"], "symbol");
    let nobody = format!("/v1/accounts/{}/orders", uuid::Uuid::now_v7());
    assert_eq!(rest.post(&nobody, body("AAPL")).await.expect(404)["code"], "account_not_found");
    assert_eq!(rest.head(), head);

    rest.feed(&[instrument("MSFT")]).await.expect(200);
    let priceless = rest.post(&orders, body("MSFT")).await.expect(422);
    assert_eq!(priceless["code"], "no_reference_price");
    assert!(priceless["order_id"].is_string());
    let short =
        json!({"symbol": "MSFT", "side": "sell", "type": "limit", "qty": "1", "limit_price": "5"});
    assert_eq!(rest.post(&orders, short).await.expect(422)["code"], "insufficient_shares");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ioc_and_fok_are_answered_terminal() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("1000000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = |qty: &str, time: &str| json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": "101", "time_in_force": time});
    let killed = rest.post(&orders, body("1500", "fok")).await.expect(201);
    assert_eq!((&killed["status"], &killed["filled_qty"]), (&json!("canceled"), &json!("0")));
    assert_eq!(killed["cancel_reason"], "fill_or_kill");
    let partial = rest.post(&orders, body("1500", "ioc")).await.expect(201);
    assert_eq!((&partial["status"], &partial["filled_qty"]), (&json!("canceled"), &json!("1000")));
    let none: Value = rest.post(&orders, body("1", "ioc")).await.expect(201);
    assert_eq!((&none["status"], &none["filled_qty"]), (&json!("canceled"), &json!("0")));
}

/// The answer to placing is folded from the order's own events, the answer to reading is a row of the view.
#[tokio::test]
async fn an_order_is_answered_when_it_is_placed_as_it_is_read_afterwards() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("1000000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let plain = json!({"symbol": "AAPL", "side": "buy", "qty": "1"});
    for (status, more) in [
        ("filled", json!({"type": "market", "note": "words of my own"})),
        ("filled", json!({"type": "limit", "limit_price": "1000", "qty": "2.5"})),
        ("partially_filled", json!({"type": "market", "qty": "5000"})),
        ("accepted", json!({"type": "limit", "limit_price": "5", "time_in_force": "gtc"})),
        ("accepted", json!({"type": "stop", "stop_price": "900", "client_order_id": "mine"})),
        ("accepted", json!({"type": "trailing_stop", "side": "sell", "trail_percent": "5"})),
        ("canceled", json!({"type": "limit", "limit_price": "5", "time_in_force": "ioc"})),
        ("accepted", json!({"type": "market", "qty": null, "notional": "50.00"})),
    ] {
        let mut order = plain.clone();
        for (field, value) in more.as_object().unwrap() {
            order[field] = value.clone();
        }
        let mut placed = rest.post(&orders, order).await.expect(201);
        let path = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
        let mut read = rest.get(&path).await.expect(200);
        assert!(read["position"].as_u64() >= placed["position"].as_u64(), "{placed} {read}");
        placed.as_object_mut().unwrap().remove("replayed");
        placed["position"].take();
        read["position"].take();
        assert_eq!(placed, read);
        assert_eq!(placed["status"], status, "{placed}");
    }
}

/// 2050-12-30 is the last session that the calendar knows, and it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_calendar_an_order_is_told_that_it_ends() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
    let before = rest.post(&orders, body.clone()).await.expect(422);
    assert_eq!(before["code"], "market_clock_unset");
    assert!(before["detail"].as_str().unwrap().contains("the market has no time yet"), "{before}");
    rest.quoted().await;
    rest.feed(&[json!({"t": "clock", "at": "2050-12-30T22:00:00Z"})]).await.expect(200);
    for path in [&orders, &format!("{orders}/preview")] {
        let told = rest.post(path, body.clone()).await.expect(422);
        assert_eq!(told["code"], "market_clock_unset");
        let said = told["detail"].as_str().unwrap();
        assert!(said.contains("the exchange's calendar ends with 2050-12-30"), "{said}");
    }
}
