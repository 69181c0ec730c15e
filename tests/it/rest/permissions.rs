//! Every route says who may do what it does, and lets nobody else.

use std::collections::BTreeSet;

use blotter::identity::{Act, Reach};
use reqwest::Method;
use serde_json::{Value, json};

use super::openapi::{nowhere, operations};
use crate::support::people::Person;
use crate::support::rest::{Answer, TestRest, send};
use crate::support::{Server, TestDatabase, scratch_with_cluster};

#[test]
fn every_operation_names_its_act_as_the_table_has_it_or_needs_no_token() {
    let document = blotter::rest::document();
    let mut named = BTreeSet::new();
    for (path, operations) in operations(&document) {
        for (method, operation) in operations {
            let asked = format!("{method} {path}");
            let permission = &operation["x-permission"];
            if operation["security"] == json!([]) {
                assert!(permission.is_null(), "{asked}");
                continue;
            }
            let act = Act::ALL.iter().find(|act| permission["act"] == act.word());
            let act = act.unwrap_or_else(|| panic!("{asked} names no act: {permission}"));
            let rule = act.rule();
            assert_eq!(permission["reach"], rule.reach.word(), "{asked}");
            let roles: Vec<_> = rule.roles.iter().map(|role| role.word()).collect();
            assert_eq!(permission["roles"], json!(roles), "{asked}");
            // Assigning is the operator's, on any account.
            let of_account = rule.reach == Reach::Account || *act == Act::AssignOption;
            assert_eq!(path.contains("{account_id}"), of_account, "{asked}");
            let reads_too = [Act::PreviewOrder, Act::ManageGrants].contains(act);
            if !matches!(rule.reach, Reach::Operator | Reach::Own) && !reads_too {
                assert_eq!(method == Method::GET, !act.writes(), "{asked}");
            }
            named.insert(*act);
        }
    }
    let unused: Vec<_> = Act::ALL.iter().filter(|act| !named.contains(act)).collect();
    assert_eq!(unused, [&Act::ReadServer], "a tool's alone");
}

/// What no answer leaves out, and what it says.
fn assert_guarded(answer: &Answer, asked: &str) {
    for (header, begins) in [
        ("content-security-policy", "default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=()"),
        ("cache-control", "no-"),
    ] {
        let found = answer.headers.get(header).map(|value| value.to_str().unwrap());
        assert!(found.is_some_and(|found| found.starts_with(begins)), "{asked} {header} {found:?}");
    }
    for header in ["server", "x-powered-by", "access-control-allow-origin"] {
        assert!(!answer.headers.contains_key(header), "{asked} {header}");
    }
}

/// Nobody gets past a route without a token, and no answer of any route is without what browsers are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_token_or_nobodys_is_told_so_by_every_route_and_nothing_else() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let document = blotter::rest::document();
    let mut bodies = BTreeSet::new();
    for (path, operations) in operations(&document) {
        for (method, operation) in operations {
            let asked = format!("{method} {path}");
            let open = operation["security"] == json!([]);
            let request = || rest.request(method.clone(), &nowhere(path));
            for (request, challenge) in [
                (request(), "Bearer"),
                (request().bearer_auth("nobodys"), "Bearer error=\"invalid_token\""),
                (
                    request().header("authorization", "Basic b3A6b3A="),
                    "Bearer error=\"invalid_token\"",
                ),
                (
                    request().bearer_auth("a").header("authorization", "Bearer b"),
                    "Bearer error=\"invalid_token\"",
                ),
            ] {
                let answer = send(request.header("origin", "https://evil.example")).await;
                assert_guarded(&answer, &asked);
                assert_eq!(answer.status.as_u16() == 401, !open, "{asked} {answer:?}");
                if !open {
                    assert_eq!(answer.headers["www-authenticate"], challenge, "{asked}");
                    bodies.insert(answer.text);
                }
            }
            let answer = send(rest.request(Method::TRACE, &nowhere(path))).await;
            assert_guarded(&answer, &asked);
            assert!(answer.status.is_client_error(), "{asked} {answer:?}");
        }
    }
    assert_eq!(bodies.len(), 1, "who is not known learns nothing: {bodies:?}");
    let answer = rest.get("/v1/accounts?access_token=blotter-test-operator").await;
    assert_eq!(answer.status.as_u16(), 400, "a token is no parameter");
    for path in ["/nowhere", "/v1/nowhere", "/v1/accounts/%00", "/v1/accounts/%FF"] {
        let answer = rest.get(path).await;
        assert_eq!(answer.status.as_u16(), 404, "{path} {answer:?}");
        assert_guarded(&answer, path);
    }
    let large = rest.post_text("/v1/accounts", "x".repeat(300 * 1024)).await;
    assert_eq!(large.status.as_u16(), 413);
    assert_guarded(&large, "a large body");
}

/// An account that nobody has, whoever names it and however.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_an_account_that_is_not_there_answers_the_same() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let document = blotter::rest::document();
    let mut bodies = BTreeSet::new();
    for (path, operations) in operations(&document) {
        if !path.contains("{account_id}") {
            continue;
        }
        for method in operations.into_keys() {
            for id in
                [uuid::Uuid::now_v7().to_string(), "me".to_owned(), uuid::Uuid::nil().to_string()]
            {
                let path = nowhere(&path.replace("{account_id}", &id));
                let answer = rest.send(rest.request(method.clone(), &path).json(&json!({}))).await;
                let of_get = method == Method::GET && answer.status.as_u16() == 400;
                assert!(of_get || answer.status.as_u16() == 404, "{method} {path} {answer:?}");
                if !of_get {
                    bodies.insert(answer.text);
                }
            }
        }
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let body: Value = serde_json::from_str(bodies.first().unwrap()).unwrap();
    assert_eq!(body["code"], "account_not_found");
    for path in ["/v1/audit/events", "/v1/stream"] {
        let id = uuid::Uuid::now_v7();
        let answer = rest.get(&format!("{path}?account_id={id}")).await.expect(404);
        assert_eq!(answer, body, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_knocks_too_often_is_told_when_to_come_back_and_the_operator_goes_on() {
    let directory = scratch_with_cluster("knocking").await;
    let server = Server::serve_with(directory.path(), &["--rate-limit", "1"]).await;
    let http = reqwest::Client::new();
    let accounts = format!("{}/v1/accounts", server.base());
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let answer = send(http.get(&accounts).bearer_auth("nobodys")).await;
        seen.insert(answer.status.as_u16());
        if answer.status.as_u16() == 429 {
            assert_eq!(answer.json()["code"], "rate_limited");
            let after: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=2).contains(&after), "{after}");
        }
    }
    assert_eq!(seen, BTreeSet::from([401, 429]));
    let mcp = send(http.post(format!("{}/mcp", server.base())).json(&json!({}))).await;
    assert_eq!(mcp.status.as_u16(), 429, "the faces share it");
    for _ in 0..20 {
        let answer = send(http.get(&accounts).bearer_auth(server.token())).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_verifications_are_refused_at_once_and_the_operators_are_not_among_them() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let ada = Person::register(&database, "ada").await;
    let agent = ada.agent(&rest).await;
    let many = (0..24).map(|_| agent.get(&rest, "/v1/audit/verify"));
    let (answers, operators) = tokio::join!(
        futures::future::join_all(many),
        futures::future::join_all((0..3).map(|_| rest.get("/v1/audit/verify")))
    );
    let verified = answers.iter().filter(|answer| answer.status.as_u16() == 200).count();
    let busy = answers.iter().filter(|answer| answer.text.contains("\"busy\"")).count();
    assert!(verified >= 1 && busy >= 1, "{verified} {busy}");
    assert_eq!(verified + busy, answers.len());
    assert!(operators.iter().all(|answer| answer.status.as_u16() == 200), "{operators:?}");
}
