//! Tokens of agents: made, used, limited, halted, revoked.

use std::collections::BTreeSet;
use std::time::Duration;

use aggregates::id::{AccountId, TokenId};
use aggregates::user::{Scope, TokenLimits};
use blotter::identity::Act;
use blotter::identity::tokens::{NewToken, TOKENS_MAX};
use blotter::service::Interface;
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::people::{Agent, Person, token};
use crate::support::rest::TestRest;

async fn scene() -> (TestDatabase, TestRest, Person) {
    let database = TestDatabase::new().await;
    let rest = TestRest::start_always_open(&database).await;
    rest.quoted().await;
    let ada = Person::register(&database, "ada").await;
    (database, rest, ada)
}

fn buy(qty: &str, limit: Option<&str>) -> Value {
    let mut order = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": qty});
    if let Some(limit) = limit {
        order["type"] = json!("limit");
        order["limit_price"] = json!(limit);
    }
    order
}

/// The types of the events of a user, once they are `count`.
async fn facts(rest: &TestRest, person: &Person, count: usize) -> Vec<String> {
    for _ in 0..200 {
        let path = format!("/v1/audit/events?stream=user/{}&limit=500", person.user_id);
        let events = rest.get(&path).await.expect(200);
        let events = events["items"].as_array().unwrap();
        if events.len() >= count {
            assert_eq!(events[0]["tenant_id"], person.tenant.to_string());
            return events.iter().map(|e| e["event_type"].as_str().unwrap().to_owned()).collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there are no {count} facts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_once_kept_as_a_hash_and_what_happens_to_it_is_in_the_log() {
    let (database, rest, ada) = scene().await;
    let (secret, token_id) = ada.make(&rest, token(Scope::ALL)).await;
    assert!(secret.starts_with("blt_") && secret.len() == 47, "{} characters", secret.len());
    let agent = Agent(secret.clone());
    let account = agent.account(&rest, "a name").await;
    agent.get(&rest, &format!("/v1/accounts/{account}")).await.expect(200);

    let caller = ada.caller(&rest, Act::ManageTokens, None).await;
    let listed = rest.service.list_tokens(&caller).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert!(listed.items[0].last_used_at.is_some() && !listed.items[0].halted);
    let halted = rest.service.halt_token(&caller, token_id, true).await.unwrap();
    assert!(halted.halted);
    let again = rest.service.halt_token(&caller, token_id, true).await.unwrap();
    assert!(again.halted, "twice is once");
    agent.get(&rest, &format!("/v1/accounts/{account}")).await.expect(200);
    let path = format!("/v1/accounts/{account}/orders");
    let refused = agent.post(&rest, &path, &buy("1", None)).await.expect(403);
    assert_eq!(refused["code"], "token_halted");
    assert_eq!(agent.call(&rest, Method::DELETE, &path).await.expect(403)["code"], "token_halted");
    rest.service.halt_token(&caller, token_id, false).await.unwrap();
    agent.post(&rest, &path, &buy("1", None)).await.expect(201);
    rest.service.revoke_token(&caller, token_id).await.unwrap();
    let answer = agent.get(&rest, "/v1/accounts").await;
    assert_eq!(answer.status.as_u16(), 401);
    assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    assert!(rest.service.revoke_token(&caller, token_id).await.is_err());
    assert!(rest.service.list_tokens(&caller).await.unwrap().items.is_empty());

    let expected = [
        "UserRegistered",
        "TokenMade",
        "TokenFirstUsed",
        "TokenHalted",
        "AccessDenied",
        "AccessDenied",
        "TokenResumed",
        "TokenRevoked",
    ];
    assert_eq!(facts(&rest, &ada, expected.len()).await, expected);
    let log = rest.get("/v1/audit/events?limit=500").await;
    let hashed: Vec<String> = sqlx::query_scalar("SELECT tokens::text FROM tokens")
        .fetch_all(database.identity.pool())
        .await
        .unwrap();
    for kept in hashed.into_iter().chain([log.text]) {
        assert!(!kept.contains(&secret) && !kept.contains(&secret[4..]), "the secret is nowhere");
    }
    let verdict = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], true, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_over_or_whose_user_is_disabled_opens_nothing() {
    let (database, rest, ada) = scene().await;
    let soon = Utc::now() + TimeDelta::milliseconds(1_500);
    let (short, _) =
        ada.make(&rest, NewToken { expires_at: Some(soon), ..token(Scope::ALL) }).await;
    let agent = ada.agent(&rest).await;
    Agent(short.clone()).get(&rest, "/v1/accounts").await.expect(200);
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    Agent(short).get(&rest, "/v1/accounts").await.expect(401);
    agent.get(&rest, "/v1/accounts").await.expect(200);
    sqlx::query("UPDATE users SET state = 'disabled'")
        .execute(database.identity.pool())
        .await
        .unwrap();
    agent.get(&rest, "/v1/accounts").await.expect(401);
    for odd in ["blt_", "blt_x", &format!("blt_{}", "A".repeat(43)), "blr_x"] {
        Agent(odd.to_owned()).get(&rest, "/v1/accounts").await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_so_many_live_tokens_and_what_makes_no_sense_is_named() {
    let (_database, rest, ada) = scene().await;
    let caller = ada.caller(&rest, Act::ManageTokens, None).await;
    let visitor = ada.visitor();
    let make = |new| rest.service.make_token(&visitor, &caller, new);
    let mut made: Option<TokenId> = None;
    for _ in 0..TOKENS_MAX {
        made = Some(make(token(&[Scope::LedgerRead])).await.unwrap().about.token_id);
    }
    assert_eq!(make(token(&[Scope::LedgerRead])).await.err().unwrap().code(), "conflict");
    rest.service.revoke_token(&caller, made.unwrap()).await.unwrap();
    make(token(&[Scope::LedgerRead])).await.unwrap();
    rest.service.token(&caller, made.unwrap()).await.unwrap_err();
    let stranger = AccountId::new(uuid::Uuid::now_v7());
    for (new, field) in [
        (NewToken { expires_at: Some(Utc::now()), ..token(&[]) }, "expires_at"),
        (NewToken { accounts: Some([stranger].into()), ..token(&[]) }, "accounts"),
        (NewToken { name: "a\u{202e}b".to_owned(), ..token(&[]) }, "name"),
    ] {
        let error = make(new).await.err().unwrap();
        assert!(format!("{error:?}").contains(&format!("field: \"{field}\"")), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_a_token_hold_over_both_faces_in_previews_and_for_closing() {
    let (_database, rest, ada) = scene().await;
    let owner = ada.agent(&rest).await;
    let account = owner.account(&rest, "limited").await;
    owner
        .post(&rest, &format!("/v1/accounts/{account}/orders"), &buy("10", None))
        .await
        .expect(201);
    let money = |text: &str| Some(text.parse().unwrap());
    let one = TokenLimits { max_order_notional: money("1000"), ..TokenLimits::default() };
    let day = TokenLimits { max_daily_notional: money("1000"), ..TokenLimits::default() };
    let minute = TokenLimits { max_orders_per_minute: Some(1), ..TokenLimits::default() };
    let symbols = TokenLimits {
        symbols: Some(BTreeSet::from(["MSFT".to_owned()])),
        ..TokenLimits::default()
    };
    let path = format!("/v1/accounts/{account}/orders");
    let preview = format!("/v1/accounts/{account}/orders/preview");
    // At 101 and a collar of 5 % ten shares may come to 1,060.50.
    for (limits, order, beyond) in [
        (one.clone(), buy("10", None), true),
        (one.clone(), buy("10", Some("100.01")), true),
        (one.clone(), buy("10", Some("100")), false),
        (day.clone(), buy("10", None), true),
        (day.clone(), buy("9", None), false),
        (symbols, buy("1", Some("1")), true),
    ] {
        let agent = ada.limited(&rest, limits.clone()).await;
        let status = if beyond { 403 } else { 200 };
        let previewed = agent.post(&rest, &preview, &order).await.expect(status);
        let placed = agent.post(&rest, &path, &order).await;
        let placed = placed.expect(if beyond { 403 } else { 201 });
        if beyond {
            assert_eq!(
                (&previewed["code"], &placed["code"]),
                (&json!("token_limit"), &json!("token_limit"))
            );
            let tool =
                if order["type"] == "market" { "buy_stock_market" } else { "buy_stock_limit" };
            let mut arguments =
                json!({"symbol": "AAPL", "quantity": order["qty"], "account_id": account});
            if tool == "buy_stock_limit" {
                arguments["limit_price"] = order["limit_price"].clone();
            }
            assert_eq!(agent.tool(&rest, tool, &arguments).await.unwrap_err(), "token_limit");
        }
    }
    let agent = ada.limited(&rest, one).await;
    let position = format!("/v1/accounts/{account}/positions/AAPL");
    let closed = agent.call(&rest, Method::DELETE, &position).await.expect(403);
    assert_eq!(closed["code"], "token_limit", "19 shares at 100 are 1,900: {closed}");
    assert!(closed["figures"]["max"].is_string() && closed["figures"]["notional"].is_string());
    let agent = ada.limited(&rest, minute).await;
    let order = |id: &str| {
        let mut order = buy("1", Some("1"));
        order["client_order_id"] = json!(id);
        order
    };
    agent.post(&rest, &path, &order("first")).await.expect(201);
    let refused = agent.post(&rest, &path, &order("second")).await.expect(403);
    assert_eq!(refused["code"], "token_limit");
    assert!(refused["figures"]["retry_after"].is_string(), "{refused}");
    let again = agent.post(&rest, &path, &order("first")).await.expect(200);
    assert_eq!(again["replayed"], true, "what was placed is answered as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_never_both_take_the_last_of_a_day_and_what_is_not_placed_gives_it_back() {
    let (_database, rest, ada) = scene().await;
    let account = ada.agent(&rest).await.account(&rest, "daily").await;
    let limits =
        TokenLimits { max_daily_notional: Some("1000".parse().unwrap()), ..TokenLimits::default() };
    let agent = ada.limited(&rest, limits).await;
    let path = format!("/v1/accounts/{account}/orders");
    // Refused by the business and recorded: it costs nothing of the day.
    let mut odd = buy("9", Some("100"));
    odd["symbol"] = json!("NONE");
    for _ in 0..3 {
        agent.post(&rest, &path, &odd).await.expect(422);
    }
    let mut sell = buy("9", Some("101"));
    sell["side"] = json!("sell");
    for _ in 0..3 {
        assert_eq!(
            agent.post(&rest, &path, &sell).await.expect(422)["code"],
            "insufficient_shares"
        );
    }
    let order = buy("1", Some("90"));
    let orders = (0..32).map(|_| agent.post(&rest, &path, &order));
    let answers = futures::future::join_all(orders).await;
    let placed = answers.iter().filter(|answer| answer.status.as_u16() == 201).count();
    assert_eq!(placed, 11, "11 times 90 is the most below 1,000");
    assert!(answers.iter().all(|answer| [201, 403].contains(&answer.status.as_u16())));
    let mut named = buy("1", Some("10"));
    named["client_order_id"] = json!("last");
    agent.post(&rest, &path, &named).await.expect(201);
    for _ in 0..2 {
        assert_eq!(agent.post(&rest, &path, &named).await.expect(200)["replayed"], true);
    }
    assert_eq!(
        agent.post(&rest, &path, &buy("1", Some("0.01"))).await.expect(403)["code"],
        "token_limit"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_for_the_accounts_that_it_names_and_sees_no_other() {
    let (_database, rest, ada) = scene().await;
    let owner = ada.agent(&rest).await;
    let (mine, other) = (owner.account(&rest, "mine").await, owner.account(&rest, "other").await);
    let third = owner.account(&rest, "third").await;
    let agent = ada.confined(&rest, [mine].into()).await;
    let listed = agent.get(&rest, "/v1/accounts").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["account_id"], mine.to_string());
    let random = agent.get(&rest, &format!("/v1/accounts/{}", uuid::Uuid::now_v7())).await;
    let denied = agent.get(&rest, &format!("/v1/accounts/{other}")).await;
    assert_eq!((denied.status, &denied.text), (random.status, &random.text));
    assert_eq!(
        agent.tool(&rest, "account_info", &json!({})).await.unwrap()["account_id"],
        mine.to_string()
    );
    let events = agent.get(&rest, "/v1/audit/events?limit=500").await;
    assert!(events.text.contains(&mine.to_string()) && !events.text.contains(&other.to_string()));
    let two = ada.confined(&rest, [mine, third].into()).await;
    assert_eq!(
        two.get(&rest, "/v1/accounts?limit=1").await.expect(200)["items"].as_array().unwrap().len(),
        1
    );
    let mut seen = BTreeSet::new();
    let mut path = "/v1/accounts?limit=1".to_owned();
    loop {
        let page = two.get(&rest, &path).await.expect(200);
        for item in page["items"].as_array().unwrap() {
            assert!(seen.insert(item["account_id"].as_str().unwrap().to_owned()));
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/accounts?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, BTreeSet::from([mine.to_string(), third.to_string()]));
    assert_eq!(
        two.get(&rest, "/v1/audit/events").await.expect(422)["errors"][0]["field"],
        "account_id"
    );
    two.get(&rest, &format!("/v1/audit/events?account_id={third}")).await.expect(200);
    two.get(&rest, &format!("/v1/audit/events?account_id={other}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_token_sees_the_tools_that_it_may_call_and_is_told_what_the_others_need() {
    let (_database, rest, ada) = scene().await;
    let acts: Vec<_> = blotter::mcp::acts().collect();
    for scope in Scope::ALL {
        let agent = ada.agent_for(&rest, &[*scope]).await;
        let visitor = rest.service.authenticate(&agent.0, Interface::Mcp).await.unwrap().unwrap();
        let expected: BTreeSet<_> = acts
            .iter()
            .filter(|(_, act)| visitor.principal.may(*act).is_ok())
            .map(|(name, _)| (*name).to_owned())
            .collect();
        assert_eq!(agent.tools(&rest).await, expected, "{scope}");
        assert!(expected.contains("list_tools") && expected.len() < acts.len(), "{scope}");
        for (name, _) in acts.iter().filter(|(name, _)| !expected.contains(*name)) {
            let refused = agent.tool(&rest, name, &json!({})).await.unwrap_err();
            assert_eq!(refused, "insufficient_scope", "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_stops_any_token_and_a_user_their_own_alone() {
    let (database, rest, ada) = scene().await;
    let bob = Person::register(&database, "bob").await;
    let (secret, token_id) = ada.make(&rest, token(&[Scope::Admin, Scope::LedgerRead])).await;
    let agent = Agent(secret);
    let of_bob = bob.caller(&rest, Act::StopToken, None).await;
    for halted in [true, false] {
        rest.service.halt_token(&of_bob, token_id, halted).await.unwrap_err();
    }
    rest.service.revoke_token(&of_bob, token_id).await.unwrap_err();

    let path = format!("/v1/tokens/{token_id}");
    agent.call(&rest, Method::DELETE, &path).await.expect(403);
    let halted = rest.patch(&path, json!({"halted": true})).await.expect(200);
    assert_eq!((&halted["token_id"], &halted["halted"]), (&json!(token_id), &json!(true)));
    let body = json!({"name": "x", "kind": "cash", "starting_balance": "1"});
    let refused = agent.post(&rest, "/v1/accounts", &body).await.expect(403);
    assert_eq!(refused["code"], "token_halted");
    assert!(refused["detail"].as_str().unwrap().contains("opening an account"), "{refused}");
    rest.patch(&path, json!({"halted": false})).await.expect(200);
    agent.post(&rest, "/v1/accounts", &body).await.expect(201);
    rest.delete(&path).await.expect(200);
    agent.get(&rest, "/v1/accounts").await.expect(401);
    rest.delete(&path).await.expect(404);
}
