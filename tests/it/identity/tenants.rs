//! Two tenants on one server: nothing of one is in any byte that the other receives.

use std::io::BufReader;

use aggregates::user::GrantRole;
use blotter::audit::{Evidence, verify_export};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rest::openapi::{nowhere, operations};
use crate::support::TestDatabase;
use crate::support::people::{Agent, Person};
use crate::support::rest::{TestRest, send};

/// What stands in everything that Ada has.
const MARKER: &str = "mark-of-ada";

struct Scene {
    _database: TestDatabase,
    rest: TestRest,
    ada: Agent,
    bob: Agent,
    bob_himself: Person,
    /// Ada's account and order.
    account: String,
    order: String,
    /// What is Ada's alone.
    secrets: Vec<String>,
}

async fn scene() -> Scene {
    let database = TestDatabase::new().await;
    let rest = TestRest::start_always_open(&database).await;
    rest.quoted().await;
    let (person, bob_himself) =
        (Person::register(&database, MARKER).await, Person::register(&database, "bob").await);
    let (ada, bob) = (person.agent(&rest).await, bob_himself.agent(&rest).await);
    let account = ada.account(&rest, MARKER).await.to_string();
    let order = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "3", "limit_price": "77.31",
        "client_order_id": MARKER, "note": MARKER});
    let path = format!("/v1/accounts/{account}/orders");
    let order = ada.post(&rest, &path, &order).await.expect(201);
    let order = order["order_id"].as_str().unwrap().to_owned();
    bob.account(&rest, "bob's").await;
    let token_id =
        rest.service.authenticate(&ada.0, blotter::service::Interface::Rest).await.unwrap();
    let token_id = token_id.unwrap().principal.token_id();
    let secrets = vec![
        MARKER.to_owned(),
        "77.31".to_owned(),
        account.clone(),
        order.clone(),
        token_id,
        person.tenant.to_string(),
        person.user_id.to_string(),
        ada.0.clone(),
    ];
    Scene { _database: database, rest, ada, bob, bob_himself, account, order, secrets }
}

impl Scene {
    /// Sees that nothing of Ada's is in what Bob received, except what he sent himself.
    fn clean(&self, asked: &str, received: &str) {
        for secret in &self.secrets {
            if !asked.contains(secret.as_str()) {
                assert!(!received.contains(secret.as_str()), "{asked} has {secret}: {received}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_one_tenant_is_in_any_byte_that_another_receives() {
    let scene = scene().await;
    let (rest, bob) = (&scene.rest, &scene.bob);
    let mine = bob.get(rest, "/v1/accounts").await.expect(200)["items"][0]["account_id"].clone();
    let mine = mine.as_str().unwrap();
    let stream =
        rest.request(Method::GET, "/v1/stream").bearer_auth(&bob.0).header("last-event-id", "0");
    let mut stream = stream.send().await.unwrap().bytes_stream();
    let document = blotter::rest::document();
    for (path, operations) in operations(&document) {
        for (method, operation) in operations {
            if operation["x-permission"].is_null() || path == "/v1/stream" {
                continue;
            }
            for account in [mine, scene.account.as_str()] {
                for order in [uuid::Uuid::now_v7().to_string(), scene.order.clone()] {
                    let path = path.replace("{account_id}", account).replace("{order_id}", &order);
                    let path = nowhere(&path.replace("{client_order_id}", MARKER));
                    let mut request = rest.request(method.clone(), &path).bearer_auth(&bob.0);
                    if operation["requestBody"].is_object() {
                        request = request.json(&json!({}));
                    }
                    let answer = send(request).await;
                    let headers = format!("{:?}", answer.headers);
                    scene.clean(&path, &format!("{headers}{}", answer.text));
                    if account == scene.account && path.contains(account) {
                        // What is the operator's alone says so of every account, one's own too.
                        let operators = operation["x-permission"]["reach"] == "operator";
                        let expected = if operators { 403 } else { 404 };
                        assert_eq!(answer.status.as_u16(), expected, "{method} {path} {answer:?}");
                    }
                }
            }
        }
    }
    let listed = bob.mcp(rest, "tools/list", json!({})).await.expect(200);
    for tool in listed["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        for account in [mine, scene.account.as_str()] {
            let mut arguments = json!({"order_id": scene.order, "symbol": "AAPL", "quantity": "1", "position": 5,
                "limit_price": "1", "query": "a", "period": "day", "side": "buy", "type": "market", "qty": "1"});
            let takes = tool["inputSchema"]["properties"].as_object().unwrap();
            arguments.as_object_mut().unwrap().retain(|name, _| takes.contains_key(name));
            arguments["account_id"] = json!(account);
            let params = json!({"name": name, "arguments": arguments});
            let answer = bob.mcp(rest, "tools/call", params.clone()).await;
            scene.clean(&params.to_string(), &answer.text);
        }
    }
    let uri = format!("blotter://accounts/{}", scene.account);
    for (method, params) in [
        ("resources/list", json!({})),
        ("resources/read", json!({"uri": "blotter://accounts"})),
        ("resources/read", json!({"uri": uri})),
        ("resources/read", json!({"uri": format!("{uri}/orders/open")})),
        (
            "prompts/get",
            json!({"name": "review_portfolio", "arguments": {"account_id": scene.account}}),
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "blotter://accounts/{account_id}"},
            "argument": {"name": "account_id", "value": ""}}),
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "blotter://accounts/{account_id}"},
            "argument": {"name": "order_id", "value": ""}, "context": {"arguments": {"account_id": scene.account}}}),
        ),
    ] {
        let answer = bob.mcp(rest, method, params.clone()).await;
        scene.clean(&params.to_string(), &answer.text);
    }
    // What Ada pages by opens nothing to Bob.
    for path in ["/v1/accounts?limit=1", "/v1/audit/events?limit=1"] {
        scene.ada.account(rest, MARKER).await;
        let page = scene.ada.get(rest, path).await.expect(200);
        let cursor = page["next_cursor"].as_str().unwrap();
        scene.clean("", &cursor.replace(MARKER, ""));
        let answer = bob.get(rest, &format!("{path}&cursor={cursor}")).await;
        assert_eq!(answer.json()["code"], "bad_cursor", "{answer:?}");
    }
    // All that was streamed to Bob so far.
    let mut streamed = String::new();
    while let Ok(Some(Ok(bytes))) =
        tokio::time::timeout(std::time::Duration::from_millis(500), stream.next()).await
    {
        streamed.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(streamed.contains("AccountOpened") && streamed.contains(mine), "{streamed}");
    scene.clean("", &streamed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_tenants_reads_byte_for_byte_as_what_is_not_there() {
    let scene = scene().await;
    let mine = scene.bob.get(&scene.rest, "/v1/accounts").await.expect(200);
    let mine = mine["items"][0]["account_id"].as_str().unwrap().to_owned();
    let nobodys = uuid::Uuid::now_v7().to_string();
    let bytes = |answer: crate::support::rest::Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id");
        headers.remove("date");
        (answer.status, headers, answer.text)
    };
    for (method, template) in [
        (Method::GET, "/v1/accounts/{a}"),
        (Method::GET, "/v1/accounts/{a}/orders"),
        (Method::GET, "/v1/accounts/{a}/orders/{o}"),
        (Method::DELETE, "/v1/accounts/{a}/orders/{o}"),
        (Method::DELETE, "/v1/accounts/{a}/orders"),
        (Method::GET, "/v1/accounts/{a}/orders/{o}/events"),
        (Method::GET, "/v1/accounts/{a}/grants"),
        (Method::DELETE, "/v1/accounts/{m}/orders/{o}"),
        (Method::GET, "/v1/accounts/{m}/orders/{o}"),
        (Method::GET, "/v1/audit/events?account_id={a}"),
        (Method::GET, "/v1/audit/events?stream=order/{o}"),
        (Method::GET, "/v1/audit/export?account_id={a}"),
        (Method::GET, "/v1/stream?account_id={a}"),
    ] {
        let filled = |account: &str, order: &str| {
            template.replace("{a}", account).replace("{o}", order).replace("{m}", &mine)
        };
        let theirs = scene
            .bob
            .call(&scene.rest, method.clone(), &filled(&scene.account, &scene.order))
            .await;
        let none = scene.bob.call(&scene.rest, method.clone(), &filled(&nobodys, &nobodys)).await;
        assert_eq!(bytes(theirs), bytes(none), "{method} {template}");
    }
    for (header, path) in [("x-tenant-id", "/v1/accounts"), ("x-account-id", "/v1/accounts")] {
        let request = scene.rest.request(Method::GET, path).bearer_auth(&scene.bob.0);
        let answer = send(request.header(header, &scene.secrets[5])).await;
        scene.clean("", &answer.text);
    }
    for path in ["/v1/accounts?tenant_id=x", "/v1/accounts?sort=price;drop%20table%20events"] {
        assert_eq!(scene.bob.get(&scene.rest, path).await.expect(400)["code"], "unknown_parameter");
    }
    let body = json!({"name": "x", "kind": "cash", "starting_balance": "1", "tenant_id": scene.secrets[5]});
    let refused = scene.bob.post(&scene.rest, "/v1/accounts", &body).await.expect(422);
    assert_eq!(refused["code"], "unknown_field");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_shows_what_its_reader_may_see_and_verifies_all_the_same() {
    let scene = scene().await;
    let (rest, bob) = (&scene.rest, &scene.bob);
    let verified =
        |text: &str| verify_export(BufReader::new(text.as_bytes()), Evidence::default()).unwrap();
    let whole = rest.get("/v1/audit/export").await;
    let verdict = verified(&whole.text);
    assert!(
        verdict.valid && verdict.blanked == 0 && whole.text.contains(&scene.account),
        "{verdict}"
    );
    let his = bob.get(rest, "/v1/audit/export").await;
    assert_eq!(his.headers["content-type"], "application/x-ndjson");
    scene.clean("", &his.text);
    let verdict = verified(&his.text);
    assert!(verdict.valid && verdict.blanked > 0, "{verdict}");
    assert!(his.text.contains("bob") || his.text.contains(&scene.bob_himself.tenant.to_string()));
    // An auditor of the account reads its rows, and of Ada nothing else.
    let account = scene.account.parse().unwrap();
    scene.ada.grant(rest, account, &scene.bob_himself, GrantRole::Auditor).await;
    let path = format!("/v1/audit/export?account_id={account}");
    let audited = bob.get(rest, &path).await;
    let verdict = verified(&audited.text);
    assert!(verdict.valid && audited.text.contains("77.31"), "{verdict}");
    assert!(!audited.text.contains("\"aggregate_type\":\"user\""), "a user is no account's");
    let events = bob.get(rest, &format!("/v1/audit/events?account_id={account}")).await.expect(200);
    assert!(!events["items"].as_array().unwrap().is_empty());
    let verdict: Value = bob.get(rest, "/v1/audit/verify").await.expect(200);
    assert_eq!((&verdict["valid"], &verdict["problems"]), (&json!(true), &json!([])));
    assert!(bob.get(rest, "/metrics").await.status.as_u16() == 403);
}
