//! Every route and every tool, asked by everybody: what may be done is what the document says, and nothing else.
//!
//! The rows are made from the OpenAPI document and from the list of tools, so that what is added is asked too.

use aggregates::id::AccountId;
use aggregates::user::{GrantRole, Scope};
use blotter::identity::{Act, Reach, Showing};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rest::openapi::{nowhere, operations};
use crate::support::TestDatabase;
use crate::support::people::{Agent, Person};
use crate::support::rest::{Answer, TestRest, send};

/// Somebody who asks.
struct Who {
    name: String,
    agent: Option<Agent>,
    /// The role on the account; `None` for a stranger.
    role: Option<&'static str>,
    /// What the token is for.
    scopes: Vec<&'static str>,
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
    match (&who.agent, permission["tokens"].as_bool().unwrap()) {
        (None, _) => Said::Unknown,
        (Some(_), false) => Said::Forbidden,
        _ if scope.is_some_and(|scope| !who.scopes.contains(&scope)) => Said::Scope,
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

async fn everybody(database: &TestDatabase, rest: &TestRest) -> (AccountId, Vec<Who>) {
    let ada = Person::register(database, "ada").await;
    let owner = ada.agent(rest).await;
    let account = owner.account(rest, "ada's").await;
    let all: Vec<_> = Scope::ALL.iter().map(|scope| scope.word()).collect();
    let who = |name: &str, agent, role, scopes: &[&'static str]| Who {
        name: name.to_owned(),
        agent,
        role,
        scopes: scopes.to_vec(),
    };
    let mut everybody = vec![who("anonymous", None, None, &[])];
    for role in GrantRole::ALL {
        let person = Person::register(database, role.word()).await;
        owner.grant(rest, account, &person, *role).await;
        let agent = person.agent(rest).await;
        everybody.push(who(role.word(), Some(agent), Some(role.word()), &all));
    }
    let stranger = Person::register(database, "stranger").await.agent(rest).await;
    everybody.push(who("stranger", Some(stranger), None, &all));
    for scope in Scope::ALL {
        let agent = ada.agent_for(rest, &[*scope]).await;
        everybody.push(who(scope.word(), Some(agent), Some("owner"), &[scope.word()]));
    }
    everybody.push(who("the owner", Some(owner), Some("owner"), &all));
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
    let (account, everybody) = everybody(&database, &rest).await;
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
    let (account, everybody) = everybody(&database, &rest).await;
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
        let permission = json!({"roles": roles, "scope": scope, "tokens": tokens});
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
