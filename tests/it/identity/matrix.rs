//! Every route and every tool, asked by everybody: what may be done is what the document says, and nothing else.
//!
//! The rows are made from the OpenAPI document and from the list of tools, so that what is added is asked too.

use aggregates::id::AccountId;
use aggregates::user::{GrantRole, Scope};
use blotter::identity::{Act, Reach, Showing};
use reqwest::Method;
use serde_json::{Value, json};

use super::people::{PASSWORD, Person, call};
use crate::rest::openapi::{nowhere, operations};
use crate::support::TestDatabase;
use crate::support::people::Agent;
use crate::support::rest::{Answer, TestRest, send};

/// Somebody who asks.
struct Who {
    name: String,
    agent: Option<Agent>,
    /// The role on the account; `None` for a stranger.
    role: Option<&'static str>,
    /// What the token is for; `None` for somebody who has logged in.
    scopes: Option<Vec<&'static str>>,
}

/// What an answer says of the permission.
#[derive(Debug, PartialEq)]
enum Said {
    Unknown,
    Scope,
    Forbidden,
    NoAccount,
    Permitted,
}

fn expected(who: &Who, permission: &Value, on_account: bool) -> Said {
    let roles = permission["roles"].as_array().unwrap();
    let scope = permission["scope"].as_str();
    let may_ever = match &who.scopes {
        Some(_) => permission["tokens"].as_bool().unwrap(),
        None => permission["reach"] != "operator",
    };
    let lacks = |scope: &str| who.scopes.as_ref().is_some_and(|scopes| !scopes.contains(&scope));
    match &who.agent {
        None => Said::Unknown,
        Some(_) if !may_ever => Said::Forbidden,
        _ if scope.is_some_and(lacks) => Said::Scope,
        _ if !on_account => Said::Permitted,
        _ => match who.role {
            None => Said::NoAccount,
            Some(role) if roles.contains(&json!(role)) => Said::Permitted,
            Some(_) => Said::Forbidden,
        },
    }
}

fn said(status: u16, code: &Value) -> Said {
    match (status, code.as_str().unwrap_or_default()) {
        (401, _) => Said::Unknown,
        (_, "insufficient_scope") => Said::Scope,
        (_, "forbidden") => Said::Forbidden,
        (_, "account_not_found") => Said::NoAccount,
        _ => Said::Permitted,
    }
}

/// An access token of another session, for this face.
async fn session(person: &Person, base: &str, audience: &str) -> Agent {
    let body = json!({"email": person.email, "password": PASSWORD, "audience": audience});
    let tokens = call(base, Method::POST, "/v1/sessions", None, Some(body)).await.expect(200);
    Agent(tokens["access_token"].as_str().unwrap().to_owned())
}

/// A token with these scopes.
async fn token(person: &Person, scopes: &[&str]) -> Agent {
    let made = person.post("/v1/tokens", json!({"name": "matrix", "scopes": scopes})).await;
    Agent(made.expect(201)["token"].as_str().unwrap().to_owned())
}

/// Everybody who may ask over this face: by tokens and in sessions.
async fn everybody(rest: &TestRest, audience: &str) -> (AccountId, Vec<Who>) {
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let body = json!({"name": "ada's", "kind": "cash", "starting_balance": "10000"});
    let opened = ada.post("/v1/accounts", body).await.expect(201);
    let account: AccountId = opened["account_id"].as_str().unwrap().parse().unwrap();
    let all: Vec<_> = Scope::ALL.iter().map(|scope| scope.word()).collect();
    let mut everybody =
        vec![Who { name: "anonymous".into(), agent: None, role: None, scopes: Some(Vec::new()) }];
    let mut add = |name: &str, agent, role, scopes: Option<&[&'static str]>| {
        let name = format!("{name} {}", if scopes.is_some() { "by token" } else { "in a session" });
        let scopes = scopes.map(<[_]>::to_vec);
        everybody.push(Who { name, agent: Some(agent), role, scopes });
    };
    for role in GrantRole::ALL {
        let person = Person::new(base, role.word()).await;
        let offer = json!({"user": person.email, "role": role.word()});
        let offer = ada.post(&format!("/v1/accounts/{account}/grants"), offer).await.expect(201);
        let accept = format!("/v1/grants/{}/accept", offer["grant_id"].as_str().unwrap());
        person.send(Method::POST, &accept, None).await.expect(200);
        add(role.word(), token(&person, &all).await, Some(role.word()), Some(&all));
        add(role.word(), session(&person, base, audience).await, Some(role.word()), None);
    }
    // One who was offered a role is a stranger until it is accepted.
    for name in ["stranger", "offered"] {
        let person = Person::new(base, name).await;
        if name == "offered" {
            let offer = json!({"user": person.email, "role": "owner"});
            ada.post(&format!("/v1/accounts/{account}/grants"), offer).await.expect(201);
        }
        add(name, token(&person, &all).await, None, Some(&all));
        add(name, session(&person, base, audience).await, None, None);
    }
    for scope in Scope::ALL {
        let word = scope.word();
        add(word, token(&ada, &[word]).await, Some("owner"), Some(&[word]));
    }
    add("the owner", session(&ada, base, audience).await, Some("owner"), None);
    add("the owner", token(&ada, &all).await, Some("owner"), Some(&all));
    (account, everybody)
}

/// Sends a request that is permitted or not, and does nothing if it is: its body is empty.
async fn ask(rest: &TestRest, who: &Who, method: &Method, path: &str) -> Answer {
    let mut request = rest.request(method.clone(), path);
    if let Some(Agent(token)) = &who.agent {
        request = request.bearer_auth(token);
    }
    if *method == Method::POST || *method == Method::PATCH {
        request = request.json(&json!({}));
    }
    // A stream has no end: its head says it.
    if path.contains("/v1/stream") {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text =
            if status.is_success() { "{}".to_owned() } else { response.text().await.unwrap() };
        return Answer { status, headers, text };
    }
    send(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_lets_everybody_do_what_the_document_says_and_nothing_else() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start_always_open(&database).await;
    rest.quoted().await;
    let (account, everybody) = everybody(&rest, "rest").await;
    let document = blotter::rest::document();
    let mut wrong = Vec::new();
    for (path, operations) in operations(&document) {
        for (method, operation) in operations {
            let permission = &operation["x-permission"];
            if permission.is_null() {
                continue;
            }
            let named = nowhere(&path.replace("{account_id}", &account.to_string()));
            let mut asked = vec![(named.clone(), path.contains("{account_id}"))];
            let parameters = operation["parameters"].as_array().unwrap();
            if parameters.iter().any(|p| p["name"] == "account_id" && p["in"] == "query") {
                asked.push((format!("{named}?account_id={account}"), true));
            }
            for (path, on_account) in asked {
                for who in &everybody {
                    // They end the session that asks, who would be nobody for the rest.
                    let ends = method == Method::DELETE
                        && ["/v1/sessions", "/v1/sessions/current"].contains(&path.as_str());
                    if ends && who.scopes.is_none() {
                        continue;
                    }
                    let answer = ask(&rest, who, &method, &path).await;
                    let code = match answer.status.is_success() {
                        true => Value::Null,
                        false => answer.json()["code"].clone(),
                    };
                    let found = said(answer.status.as_u16(), &code);
                    let expected = expected(who, permission, on_account);
                    if found != expected {
                        wrong.push(format!(
                            "{method} {path} {}: {found:?}, not {expected:?}",
                            who.name
                        ));
                    }
                    if found == Said::Scope {
                        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
                        let scope = permission["scope"].as_str().unwrap();
                        assert!(challenge.contains(&format!("scope=\"{scope}\"")), "{challenge}");
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tool_lets_everybody_do_what_its_act_says_and_nothing_else() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start_always_open(&database).await;
    rest.quoted().await;
    let (account, everybody) = everybody(&rest, "mcp").await;
    let owner = everybody.last().and_then(|who| who.agent.as_ref()).unwrap();
    let listed = owner.mcp(&rest, "tools/list", json!({})).await.expect(200);
    let acts: std::collections::BTreeMap<&str, Act> = blotter::mcp::acts().collect();
    let mut wrong = Vec::new();
    for tool in listed["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        let rule = acts[name].rule();
        let (_, example) = tool["description"].as_str().unwrap().split_once("Example: ").unwrap();
        let mut arguments = serde_json::Deserializer::from_str(example)
            .into_iter::<Value>()
            .next()
            .unwrap()
            .unwrap();
        let on_account = tool["inputSchema"]["properties"]["account_id"].is_object();
        if on_account {
            arguments["account_id"] = json!(account);
        }
        if arguments["order_id"].is_string() {
            arguments["order_id"] = json!(uuid::Uuid::now_v7());
        }
        if arguments["timeout_seconds"].is_number() {
            arguments["timeout_seconds"] = json!(0);
        }
        let roles: Vec<_> = rule.roles.iter().map(|role| role.word()).collect();
        let scope = match rule.token {
            Showing::Scope(scope) => Some(scope.word()),
            Showing::Anything | Showing::Nothing => None,
        };
        let tokens = rule.reach != Reach::Operator && rule.token != Showing::Nothing;
        let reach = rule.reach.word();
        let permission = json!({"roles": roles, "scope": scope, "tokens": tokens, "reach": reach});
        for who in everybody.iter().filter(|who| who.agent.is_some()) {
            let answered = who.agent.as_ref().unwrap().tool(&rest, name, &arguments).await;
            let code = answered.err().map_or(Value::Null, Value::from);
            let (found, expected) = (said(200, &code), expected(who, &permission, on_account));
            if found != expected {
                wrong.push(format!("{name} {}: {found:?} ({code}), not {expected:?}", who.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let anonymous = Agent("nobodys".to_owned());
    assert_eq!(anonymous.mcp(&rest, "tools/list", json!({})).await.status.as_u16(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_are_offered_to_those_who_may_do_what_they_ask_for() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start_always_open(&database).await;
    let ada = Person::new(rest.base(), "ada").await;
    let body = json!({"name": "ada's", "kind": "cash", "starting_balance": "10000"});
    ada.post("/v1/accounts", body).await.expect(201);
    let reads = ["review_portfolio", "explain_fill", "check_risk"];
    let all = ["plan_trade", "review_portfolio", "explain_fill", "check_risk"];
    let cases: [(&[&str], &[&str], &str); 5] = [
        (&["market:read", "orders:write", "orders:preview"], &[], "ledger:read"),
        (&["ledger:read"], &reads, "market:read"),
        (&["ledger:read", "orders:write"], &reads, "market:read"),
        (&["ledger:read", "market:read"], &reads, "orders:write"),
        (&["ledger:read", "market:read", "orders:write"], &all, ""),
    ];
    for (scopes, expected, lacking) in cases {
        let agent = token(&ada, scopes).await;
        let listed = agent.mcp(&rest, "prompts/list", json!({})).await.expect(200);
        let prompts = listed["result"]["prompts"].as_array().unwrap();
        let names: Vec<_> = prompts.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{scopes:?}");
        let params = json!({"name": "plan_trade", "arguments": {"symbol": "AAPL"}});
        let got = agent.mcp(&rest, "prompts/get", params).await.json();
        assert_eq!(got["result"].is_object(), expected.contains(&"plan_trade"), "{got}");
        if got["result"].is_null() {
            let said = got["error"]["message"].as_str().unwrap();
            assert!(said.contains(&format!("the scope {lacking}")), "{scopes:?}: {said}");
        }
    }
}
