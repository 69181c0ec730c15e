//! Reads over REST: they see writes, page by opaque cursors, and tell nothing about what is not the caller's.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_after_a_write_contains_it() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("0").await;
    for n in 1..=50 {
        let paid = rest
            .post(&format!("/v1/accounts/{account}/deposits"), json!({"amount": "1.01"}))
            .await
            .expect(201);
        let read = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
        assert_eq!(read["cash"], format!("{}.{:02}", n + n / 100, n % 100), "deposit {n}");
        assert!(read["position"].as_u64() >= paid["position"].as_u64());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_min_position_that_is_reached_is_served_and_one_that_is_not_is_503() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("5").await;
    let path = format!("/v1/accounts/{account}?min_position=");
    rest.get(&format!("{path}{}", rest.head())).await.expect(200);
    let asked = std::time::Instant::now();
    let answer = rest.get(&format!("{path}{}", rest.head() + 1)).await;
    assert!(
        asked.elapsed() < std::time::Duration::from_secs(3),
        "who writes knows that it is not there"
    );
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.expect(503)["code"], "behind");
}

/// An order that was just placed is not said not to exist because its view is late: nor is one of nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_late_view_does_not_show_is_behind_and_not_missing() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("1000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let mut superuser = database.superuser().await;
    let mut held = superuser.begin().await.unwrap();
    let hold = "SELECT * FROM projections WHERE name = 'trading' FOR UPDATE";
    sqlx::query(hold).execute(&mut *held).await.unwrap();
    let order = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "limit_price": "1", "qty": "1",
        "time_in_force": "day"});
    let placed = rest.post(&orders, order).await.expect(201);
    let own = format!("{orders}/{}", placed["order_id"].as_str().unwrap());
    let fresh = json!({"name": "fresh", "kind": "cash", "starting_balance": "1"});
    let request = rest.authorized(Method::POST, "/v1/accounts").json(&fresh);
    let opening = tokio::spawn(send(request.header("idempotency-key", "fresh")));
    let paths = [(own, 200), (format!("{orders}/{}", Uuid::now_v7()), 404)];
    for (path, _) in &paths {
        let answer = rest.get(path).await;
        assert!(answer.headers.contains_key("retry-after"));
        let problem = answer.expect(503);
        assert_eq!(problem["code"], "behind");
        let wanted: u64 = problem["figures"]["wanted"].as_str().unwrap().parse().unwrap();
        assert!(wanted >= placed["position"].as_u64().unwrap(), "{problem}");
    }
    let close = format!("/v1/accounts/{account}/positions/AAPL");
    assert_eq!(rest.delete(&close).await.expect(503)["code"], "behind");
    held.rollback().await.unwrap();
    for (path, status) in &paths {
        rest.get(path).await.expect(*status);
    }
    assert_eq!(rest.delete(&close).await.expect(409)["code"], "nothing_to_close");
    assert!(opening.await.unwrap().status.is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposits_and_withdrawals_happen_once_under_a_key() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let open = |key: &'static str, name: &'static str| {
        let request = rest.request(Method::POST, "/v1/accounts").header("idempotency-key", key);
        rest.send(request.json(&json!({"name": name, "kind": "cash", "starting_balance": "100"})))
    };
    let account = open("k", "first").await.expect(201);
    let again = open("k", "first").await.expect(200);
    assert_eq!(account["account_id"], again["account_id"]);
    assert_eq!((&again["replayed"], &again["name"]), (&json!(true), &json!("first")));
    assert_eq!(open("k", "other").await.expect(422)["code"], "key_reused");
    let names: i64 = sqlx::query_scalar("SELECT count(*) FROM account_names")
        .fetch_one(database.auditor.pool())
        .await
        .unwrap();
    assert_eq!(names, 1);

    let account = account["account_id"].as_str().unwrap();
    let pay = |noun: &'static str, amount: &'static str| {
        let path = format!("/v1/accounts/{account}/{noun}");
        let request = rest.request(Method::POST, &path).header("idempotency-key", "k");
        rest.send(request.json(&json!({"amount": amount})))
    };
    assert_eq!(pay("deposits", "50").await.expect(201)["cash"], "150.00");
    assert_eq!(pay("deposits", "50.00").await.expect(200)["cash"], "150.00");
    assert_eq!(pay("deposits", "51").await.expect(422)["code"], "key_reused");
    assert_eq!(pay("withdrawals", "30").await.expect(201)["cash"], "120.00");
    assert_eq!(pay("withdrawals", "30").await.expect(200)["cash"], "120.00");
    let path = format!("/v1/accounts/{account}/withdrawals");
    let too_much = rest.post(&path, json!({"amount": "120.01"})).await.expect(422);
    assert_eq!(too_much["code"], "insufficient_cash");
    assert_eq!(too_much["figures"]["available"], "120.00");
    assert_eq!(too_much["errors"][0]["field"], "amount");
    for amount in ["0", "-1", "0.001", "10000000000001"] {
        let refused = rest.post(&path, json!({"amount": amount})).await.expect(422);
        assert_eq!(refused["code"], "invalid_amount", "{amount}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_by_cursor_hold_every_order_once_and_foreign_cursors_are_refused() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("100000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    for n in 0..7 {
        let side = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1",
            "limit_price": if n < 2 { "101" } else { "50" }});
        rest.post(&orders, side).await.expect(201);
    }
    let (mut seen, mut path, mut pages) = (Vec::new(), format!("{orders}?limit=3"), 0);
    let first_cursor = rest.get(&path).await.expect(200)["next_cursor"].clone();
    loop {
        let page = rest.get(&path).await.expect(200);
        pages += 1;
        let ids = page["items"].as_array().unwrap().iter();
        seen.extend(ids.map(|order| order["order_id"].as_str().unwrap().to_owned()));
        let Value::String(cursor) = &page["next_cursor"] else { break };
        path = format!("{orders}?limit=3&cursor={cursor}");
    }
    assert_eq!((pages, seen.len()), (3, 7));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 7);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "newest first");

    let cursor = first_cursor.as_str().unwrap();
    let mut tampered = cursor.to_owned().into_bytes();
    let last = tampered.len() - 1;
    tampered[last - 2] = if tampered[last - 2] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for bad in [
        format!("{orders}?cursor={tampered}"),
        format!("{orders}?status=open&cursor={cursor}"),
        format!("{orders}?cursor=!"),
        format!("/v1/accounts?cursor={cursor}"),
    ] {
        assert_eq!(rest.get(&bad).await.expect(400)["code"], "bad_cursor", "{bad}");
    }

    for (query, expected) in [
        ("status=open", 5),
        ("status=closed", 2),
        ("status=all", 7),
        ("symbol=AAPL", 7),
        ("symbol=MSFT", 0),
        ("side=sell", 0),
        ("class=simple", 7),
        ("kind=stock", 7),
        ("kind=option", 0),
        ("after=2024-01-17T15:00:00Z", 0),
        ("after=2024-01-17T14:59:59Z", 7),
        ("until=2024-01-17T10:00:00-05:00", 7),
    ] {
        let page = rest.get(&format!("{orders}?{query}")).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_found_in_its_own_account_alone() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("1000").await;
    let body =
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "1"});
    let order = rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(201);
    let order = order["order_id"].as_str().unwrap();
    let other = rest.account("1").await;
    for (method, path) in [
        (Method::GET, format!("/v1/accounts/{other}/orders/{order}")),
        (Method::DELETE, format!("/v1/accounts/{other}/orders/{order}")),
        (Method::GET, format!("/v1/accounts/{other}/orders/{order}/events")),
        (Method::GET, format!("/v1/accounts/{account}/orders/{}", Uuid::now_v7())),
    ] {
        let answer = rest.send(rest.request(method, &path)).await;
        assert_eq!(answer.expect(404)["code"], "order_not_found", "{path}");
    }
}

pub(super) async fn foreign_account(rest: &TestRest) -> Uuid {
    use aggregates::account::{AccountCommand, AccountKind};
    use aggregates::id::{AccountId, CommandId, TenantId};
    use aggregates::trading::Command;

    let account_id = AccountId::new(Uuid::now_v7());
    let command = AccountCommand::Open {
        account_id,
        kind: AccountKind::Cash,
        option_level: 0,
        name_digest: String::new(),
        starting_balance: "1000".parse().unwrap(),
        deposit_id: CommandId::new(Uuid::now_v7()),
        at: None,
    };
    let command = Command::Account { account_id, command };
    let tenant = TenantId::new(Uuid::now_v7());
    let sent = crate::support::ledger::submission(tenant, command, None);
    rest.ledger.submit(sent).await.unwrap();
    account_id.uuid()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_the_token_gets_in_and_health_needs_none() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    for header in
        ["", "Bearer", "Bearer wrong", "Basic dGVzdDp0ZXN0", "the-operators-token-of-all-the-tests"]
    {
        for path in ["/v1/accounts", "/v1/nowhere", "/v1/audit/verify"] {
            let request = rest.request(Method::GET, path).header("authorization", header);
            let answer = send(request).await;
            assert_eq!(answer.status.as_u16(), 401, "{header} {path}");
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer"), "{challenge}");
            assert_eq!(answer.json()["code"], "unauthenticated");
        }
    }
    let alive = send(rest.request(Method::GET, "/livez")).await;
    assert_eq!(alive.status.as_u16(), 200);
    let ready = send(rest.request(Method::GET, "/readyz")).await.expect(200);
    assert_eq!((&ready["writer"], &ready["engine"]), (&json!(true), &json!("working")));
    assert_eq!(ready["views"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_shows_events_as_they_are_stored_and_finds_the_log_valid() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10").await;
    let page = rest.get(&format!("/v1/audit/events?account_id={account}")).await.expect(200);
    let types: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|e| e["event_type"].clone()).collect();
    assert_eq!(types, ["AccountOpened", "CashDeposited"]);
    assert_eq!(page["items"][0]["metadata"]["actor"], aggregates::id::OPERATOR.to_string());
    assert_eq!(page["items"][0]["metadata"]["interface"], "rest");
    let stream = rest.get(&format!("/v1/audit/events?stream=account/{account}&limit=1")).await;
    let stream = stream.expect(200);
    assert_eq!(stream["items"].as_array().unwrap().len(), 1);
    assert!(stream["next_cursor"].is_string());
    let all = rest.get("/v1/audit/events?after=1").await.expect(200);
    assert_eq!(all["items"][0]["position"], 2);
    rest.get("/v1/audit/events?stream=nothing").await.expect(422);
    let verdict = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], true, "{verdict}");
    assert_eq!(verdict["position"], rest.head());
    rest.get("/v1/audit/checkpoint").await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotes_and_instruments_come_with_source_and_time() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.get("/v1/market/quotes/AAPL").await.expect(404);
    rest.quoted().await;
    let quote = rest.get("/v1/market/quotes/AAPL").await.expect(200);
    assert_eq!(quote["quote"]["bid"], "100.00");
    assert_eq!(quote["quote"]["source"], "feed");
    assert_eq!(quote["market_time"], crate::support::rest::OPEN);
    let found = rest.get("/v1/market/instruments?query=aap").await.expect(200);
    assert_eq!(found["items"][0]["symbol"], "AAPL");
    let none = rest.get("/v1/market/instruments?query=zzz").await.expect(200);
    assert_eq!(none["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_that_the_clock_makes_official_is_shown_at_once() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let trade = json!({"t": "trade", "symbol": "AAPL", "price": "100.50", "size": "10", "at": "2024-01-17T20:00:00Z"});
    let clock = json!({"t": "clock", "at": "2024-01-17T21:00:01Z"});
    rest.feed(&[trade]).await.expect(200);
    rest.feed(&[clock]).await.expect(200);
    let quote = rest.get("/v1/market/quotes/AAPL").await.expect(200);
    assert_eq!(quote["previous_close"], "100.50");
    assert_eq!(quote["previous_session"], "2024-01-17");
}
