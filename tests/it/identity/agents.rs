//! Agents at a real server: a token that was made in a session, over REST, MCP and standard input, and across a restart.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::people::{Person, call};
use crate::support::rest::{OPEN, instrument, quote, send};
use crate::support::{Server, blotter, scratch_with_cluster};

async fn feed(server: &Server, lines: &[Value]) {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = reqwest::Client::new().post(format!("{}/v1/market/feed", server.base()));
    let request =
        request.header("content-type", "application/x-ndjson").bearer_auth(server.token());
    send(request.body(body)).await.expect(200);
}

/// Opens an account in a session.
async fn account(person: &Person) -> String {
    let body = json!({"name": "mine", "kind": "cash", "starting_balance": "10000"});
    let opened = person.post("/v1/accounts", body).await.expect(201);
    opened["account_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_its_day_and_a_grant_are_the_same_after_a_restart() {
    let directory = scratch_with_cluster("agents").await;
    let server = Server::serve_with(directory.path(), &["--hours", "always"]).await;
    feed(&server, &[instrument("AAPL"), quote("AAPL", "100", "101", OPEN)]).await;
    let (ada, bob) =
        (Person::new(server.base(), "ada").await, Person::new(server.base(), "bob").await);
    let account = account(&ada).await;
    let body = json!({"name": "trader", "accounts": [account], "limits": {"max_daily_notional": "100"},
        "scopes": ["ledger:read", "orders:write"]});
    let made = ada.post("/v1/tokens", body).await.expect(201);
    let (token, token_id) = (made["token"].as_str().unwrap(), made["token_id"].as_str().unwrap());
    let given = json!({"user": bob.email, "role": "viewer"});
    let given = ada.post(&format!("/v1/accounts/{account}/grants"), given).await.expect(201);
    let accept = format!("/v1/grants/{}/accept", given["grant_id"].as_str().unwrap());
    call(server.base(), Method::POST, &accept, Some(&bob.access), None).await.expect(200);
    let orders = format!("/v1/accounts/{account}/orders");
    let order =
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "90"});
    let place = async |base: &str| {
        call(base, Method::POST, &orders, Some(token), Some(order.clone())).await
    };
    place(server.base()).await.expect(201);
    let refused = place(server.base()).await.expect(403);
    assert_eq!(refused["figures"], json!({"max": "100.00", "notional": "90.00", "used": "90.00"}));
    // No token makes another, and none is the operator's.
    let again = json!({"name": "more", "scopes": ["admin"]});
    for bearer in [token, server.token()] {
        let answer =
            call(server.base(), Method::POST, "/v1/tokens", Some(bearer), Some(again.clone()))
                .await;
        assert_eq!(answer.expect(403)["code"], "forbidden");
    }

    let said = over_standard_input(&server, token);
    assert!(said.contains("\"account_info\"") && said.contains("\"buy_stock_market\""), "{said}");
    assert!(!said.contains("\"preview_order\"") && !said.contains("\"audit_trail\""), "{said}");

    drop(server);
    let server = Server::serve_with(directory.path(), &["--hours", "always"]).await;
    let (base, path) = (server.base(), format!("/v1/accounts/{account}"));
    call(base, Method::GET, &path, Some(token), None).await.expect(200);
    assert_eq!(place(base).await.expect(403)["code"], "token_limit", "the day is not forgotten");
    call(base, Method::GET, &path, Some(&bob.access), None).await.expect(200);
    let order = Some(order.clone());
    let viewer = call(base, Method::POST, &orders, Some(&bob.access), order).await;
    assert_eq!(viewer.expect(403)["code"], "forbidden");
    let halted = Some(json!({"halted": true}));
    let one = format!("/v1/tokens/{token_id}");
    call(base, Method::PATCH, &one, Some(&bob.access), halted.clone()).await.expect(404);
    call(base, Method::PATCH, &one, Some(&ada.access), halted).await.expect(200);
    assert_eq!(place(base).await.expect(403)["code"], "token_halted");
    call(base, Method::DELETE, &one, Some(&ada.access), None).await.expect(200);
    call(base, Method::GET, &path, Some(token), None).await.expect(401);
    let verdict = call(base, Method::GET, "/v1/audit/verify", Some(server.token()), None).await;
    assert_eq!(verdict.expect(200)["valid"], true);
}

/// What `blotter mcp` says of the tools to whoever starts it with this token.
fn over_standard_input(server: &Server, token: &str) -> String {
    let mut child = blotter(&["mcp", "--server", server.base()])
        .env("BLOTTER_TOKEN", token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{hello}\n{ready}\n{list}").unwrap();
    drop(input);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_asks_too_much_is_slowed_down_and_costs_no_other() {
    let directory = scratch_with_cluster("slowed").await;
    let server = Server::serve_with(directory.path(), &["--rate-limit", "5"]).await;
    let ada = Person::new(server.base(), "ada").await;
    let bob = Person::new(server.base(), "bob").await;
    let mut slowed = 0;
    for _ in 0..15 {
        let answer = ada.get("/v1/users/me").await;
        if answer.status.as_u16() == 429 {
            assert_eq!(answer.json()["code"], "rate_limited");
            assert!(answer.headers.contains_key("retry-after"));
            slowed += 1;
        } else {
            answer.expect(200);
        }
    }
    assert!(slowed > 0);
    bob.get("/v1/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_a_token_hold_for_what_it_changes_an_order_to() {
    let directory = scratch_with_cluster("agents-change").await;
    let server = Server::serve_with(directory.path(), &["--hours", "always"]).await;
    feed(&server, &[instrument("AAPL"), quote("AAPL", "100", "101", OPEN)]).await;
    let ada = Person::new(server.base(), "ada").await;
    let account = account(&ada).await;
    let orders = format!("/v1/accounts/{account}/orders");
    let order = |qty: &str, limit: &str| json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": qty, "limit_price": limit});
    let agent = async |limits: Value| {
        let body =
            json!({"name": "trader", "limits": limits, "scopes": ["ledger:read", "orders:write"]});
        let made = ada.post("/v1/tokens", body).await.expect(201);
        made["token"].as_str().unwrap().to_owned()
    };
    let by = async |token: &str, order: &Value, change: Value| {
        let path = format!("{orders}/{}", order["order_id"].as_str().unwrap());
        call(server.base(), Method::PATCH, &path, Some(token), Some(change)).await
    };
    let place = async |token: &str, body: Value| {
        call(server.base(), Method::POST, &orders, Some(token), Some(body)).await.expect(201)
    };

    let token = agent(json!({"max_order_notional": "400"})).await;
    for _ in 0..10 {
        let placed = place(&token, order("100", "1")).await;
        let (more, dearer) = tokio::join!(
            by(&token, &placed, json!({"qty": "300"})),
            by(&token, &placed, json!({"limit_price": "4"})),
        );
        for answer in [&more, &dearer] {
            assert!([200, 403, 409].contains(&answer.status.as_u16()), "{answer:?}");
        }
        let now = ada.get(&format!("{orders}/{}", placed["order_id"].as_str().unwrap())).await;
        let now = now.expect(200);
        assert!(now["qty"] == "100" || now["limit_price"] == "1.00", "both came through: {now}");
        ada.delete(&orders).await.expect(200);
    }
    // A price that asks for no more of the order that it was judged by, and for ten times as much of another.
    for _ in 0..10 {
        let placed = place(&token, order("9", "40")).await;
        let (larger, same) = tokio::join!(
            by(&token, &placed, json!({"qty": "90", "limit_price": "4"})),
            by(&token, &placed, json!({"limit_price": "40"})),
        );
        for answer in [&larger, &same] {
            assert!([200, 403, 409].contains(&answer.status.as_u16()), "{answer:?}");
        }
        let now = ada.get(&format!("{orders}/{}", placed["order_id"].as_str().unwrap())).await;
        let now = now.expect(200);
        assert!(now["qty"] == "9" || now["limit_price"] == "4.00", "both came through: {now}");
        ada.delete(&orders).await.expect(200);
    }
    let trailing = json!({"symbol": "AAPL", "side": "buy", "type": "trailing_stop", "qty": "3", "trail_price": "1"});
    let placed = place(&token, trailing).await;
    assert_eq!(
        by(&token, &placed, json!({"trail": "500"})).await.expect(403)["code"],
        "token_limit"
    );
    by(&token, &placed, json!({"trail": "2"})).await.expect(200);
    let dormant = json!({"symbol": "AAPL", "side": "buy", "type": "trailing_stop", "qty": "1", "trail_price": "250", "activation_price": "90"});
    let placed = place(&token, dormant).await;
    assert_eq!(by(&token, &placed, json!({"qty": "2"})).await.expect(403)["code"], "token_limit");
    ada.delete(&orders).await.expect(200);
    let large = ada.post(&orders, order("1000", "1")).await.expect(201);
    by(&token, &large, json!({"qty": "900"})).await.expect(200);
    assert_eq!(by(&token, &large, json!({"qty": "901"})).await.expect(403)["code"], "token_limit");
    ada.delete(&orders).await.expect(200);

    let token = agent(json!({"max_daily_notional": "300"})).await;
    let placed = place(&token, order("100", "1")).await;
    for _ in 0..5 {
        by(&token, &placed, json!({"qty": "100"})).await.expect(200);
    }
    by(&token, &placed, json!({"qty": "150"})).await.expect(200);
    assert_eq!(by(&token, &placed, json!({"qty": "160"})).await.expect(403)["code"], "token_limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_asks_without_end_keeps_its_user_from_nothing_that_stops_it() {
    let directory = scratch_with_cluster("flooding").await;
    let server = Server::serve_with(directory.path(), &["--rate-limit", "3"]).await;
    let base = server.base();
    let ada = Person::new(base, "ada").await;
    let mut tokens = Vec::new();
    for n in 0..2 {
        let body = json!({"name": format!("{n}"), "scopes": ["ledger:read"]});
        tokens.push(ada.post("/v1/tokens", body).await.expect(201));
    }
    let secret = tokens[0]["token"].as_str().unwrap();
    let flood = async || {
        let asked = (0..40).map(|_| call(base, Method::GET, "/v1/accounts", Some(secret), None));
        let answers = futures::future::join_all(asked).await;
        answers.iter().filter(|answer| answer.status.as_u16() == 429).count()
    };
    assert!(flood().await > 10);
    let path = |n: usize| format!("/v1/tokens/{}", tokens[n]["token_id"].as_str().unwrap());
    let halted = ada.send(Method::PATCH, &path(0), Some(json!({"halted": true}))).await;
    assert_eq!(halted.expect(200)["halted"], true);
    assert!(flood().await > 10, "it may still read, and is still slowed down");
    ada.delete(&path(0)).await.expect(200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    flood().await;
    ada.delete("/v1/sessions/current").await.expect(200);
}
