//! The OpenAPI document is that of the routes, and the routes are those of the document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::identity::people::Person;
use crate::support::TestDatabase;
use crate::support::rest::{TOKEN, TestRest, send};

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The operations of a path, by method.
pub fn operations(document: &Value) -> impl Iterator<Item = (&str, BTreeMap<Method, &Value>)> {
    document["paths"].as_object().unwrap().iter().map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        let method = |word: &str| Method::from_bytes(word.to_uppercase().as_bytes()).unwrap();
        (path.as_str(), operations.map(|(word, operation)| (method(word), operation)).collect())
    })
}

/// A path of which every name is one that nobody has.
pub fn nowhere(path: &str) -> String {
    let mut parts = path.split(['{', '}']);
    let mut filled = parts.next().unwrap().to_owned();
    while let (Some(name), Some(rest)) = (parts.next(), parts.next()) {
        let id = uuid::Uuid::now_v7().to_string();
        filled.push_str(if name == "symbol" { "NONE" } else { &id });
        filled.push_str(rest);
    }
    filled
}

/// Whether every reference in `value` leads somewhere in `root`.
fn check_references(root: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(root.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|field| check_references(root, field));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(root, item)),
        _ => {}
    }
}

#[test]
fn the_document_in_the_repository_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let written = std::fs::read_to_string(path).unwrap();
    let made = format!("{:#}\n", blotter::rest::document());
    assert!(
        written == made,
        "run `cargo run -- openapi > docs/openapi.json` and look at what changed"
    );
}

#[test]
fn the_page_of_the_market_tells_every_way_to_steer_it_and_the_document_too() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/market.md"));
    let page = page.unwrap();
    let document = blotter::rest::document();
    let control = &document["paths"]["/v1/market/control"]["post"];
    let schema = &control["requestBody"]["content"]["application/json"]["schema"];
    let actions = schema["properties"]["action"]["enum"].as_array().unwrap();
    assert_eq!(actions.len(), 3);
    let told = control["description"].as_str().unwrap();
    for action in actions.iter().map(|action| action.as_str().unwrap()) {
        assert!(page.contains(&format!("\n| `{action}` | ")), "{action}");
        assert!(told.contains(&format!("`{action}`")), "{action}: {told}");
    }
}

#[test]
fn the_document_is_whole() {
    let document = blotter::rest::document();
    check_references(&document, &document);
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (path, operations) in operations(&document) {
        for (method, operation) in operations {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} names two operations");
            used.insert(operation["tags"][0].as_str().unwrap());
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
            let token = operation["security"] != json!([]);
            assert!(!token || answers.contains_key("401"), "{method} {path}");
            let body = operation["requestBody"].is_object();
            for status in ["413", "415"] {
                assert_eq!(answers.contains_key(status), body, "{method} {path} {status}");
            }
            assert!(
                !body
                    || operation["requestBody"]["content"]
                        .as_object()
                        .unwrap()
                        .values()
                        .all(|content| !content["example"].is_null()),
                "{method} {path} has an example"
            );
        }
    }
    let tags: BTreeSet<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    assert_eq!(tags, used);
}

/// [`blotter::rest`] adds routes in one way, which describes them.
#[test]
fn there_is_no_route_beside_those_that_are_described() {
    let mut rooms = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rest")];
    let mut adding = BTreeSet::new();
    while let Some(room) = rooms.pop() {
        for entry in std::fs::read_dir(room).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rooms.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            if [".route(", ".route_service(", ".nest_service("].iter().any(|way| code.contains(way))
            {
                adding.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(adding.into_iter().collect::<Vec<_>>(), ["routes.rs"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_described_route_answers_and_takes_no_other_method() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let document = blotter::rest::document();
    for (path, operations) in operations(&document) {
        let filled = nowhere(path);
        for method in METHODS {
            let asked = format!("{method} {path}");
            let bare = send(rest.request(method.clone(), &filled)).await;
            let Some(operation) = operations.get(&method) else {
                let answer = rest.send(rest.request(method, &filled)).await;
                assert_eq!(answer.status.as_u16(), 405, "{asked}");
                let allowed = answer.headers["allow"].to_str().unwrap();
                let allowed: BTreeSet<_> =
                    allowed.split(',').filter(|word| *word != "HEAD").collect();
                let described: BTreeSet<_> = operations.keys().map(Method::as_str).collect();
                assert_eq!(allowed, described, "{asked}");
                assert_eq!(answer.json()["code"], "method_not_allowed");
                continue;
            };
            let token = operation["security"] != json!([]);
            assert_eq!(bare.status.as_u16() == 401, token, "{asked}");
            let unknown = rest.request(method.clone(), &format!("{filled}?surprise=1&odd=2"));
            let problem = rest.send(unknown).await.expect(400);
            assert_eq!(problem["code"], "unknown_parameter", "{asked}");
            let named: Vec<_> =
                problem["errors"].as_array().unwrap().iter().map(|fault| &fault["field"]).collect();
            assert_eq!(named, ["surprise", "odd"], "{asked}");
            if path == "/v1/stream" || path == "/v1/audit/verify" {
                continue;
            }
            let answer = rest.send(rest.request(method, &filled)).await;
            let status = answer.status.as_u16().to_string();
            assert!(!operation["responses"][&status].is_null(), "{asked} answers {answer:?}");
            assert!(!answer.text.contains("nothing at this path"), "{asked}");
        }
    }
}

/// A field that is described is read: given something that no field takes, it is named, and not as unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_described_field_of_a_body_and_a_query_is_read() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("1").await;
    let somebody = Person::new(rest.base(), "somebody").await;
    let document = blotter::rest::document();
    let mut checked = 0;
    for (path, operations) in operations(&document) {
        let filled = nowhere(&path.replace("{account_id}", &account));
        for (method, operation) in operations {
            let named = |problem: &Value| -> BTreeSet<String> {
                let faults = problem["errors"].as_array().unwrap().iter();
                faults
                    .inspect(|fault| {
                        assert_ne!(fault["code"], "unknown_field", "{method} {path} {fault}")
                    })
                    .map(|fault| fault["field"].as_str().unwrap().to_owned())
                    .collect()
            };
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if let Some(properties) = schema["properties"].as_object() {
                let odd: Map<String, Value> =
                    properties.keys().map(|name| (name.clone(), json!([]))).collect();
                let own = operation["x-permission"]["reach"] == "own";
                let token = if own { somebody.access.as_str() } else { TOKEN };
                let request = rest.request(method.clone(), &filled).json(&odd).bearer_auth(token);
                let expected: BTreeSet<String> = properties.keys().cloned().collect();
                assert_eq!(named(&send(request).await.expect(422)), expected, "{method} {path}");
                checked += 1;
            }
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let query: BTreeSet<String> = parameters
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect();
            if !query.is_empty() {
                let odd: Vec<_> = query.iter().map(|name| format!("{name}=%E2%80%AE")).collect();
                let request = rest.request(method.clone(), &format!("{filled}?{}", odd.join("&")));
                assert_eq!(named(&rest.send(request).await.expect(422)), query, "{method} {path}");
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "{checked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_the_document_and_runs_nothing_else() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let served = send(rest.request(Method::GET, "/openapi.json")).await;
    assert_eq!(served.headers["content-type"], "application/json");
    assert_eq!(served.expect(200), blotter::rest::document());
    let page = send(rest.request(Method::GET, "/docs")).await;
    assert_eq!(page.status.as_u16(), 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    for foreign in ["http://", "https://", "src=", "@import", " on", "style="] {
        let found = page.text.lines().find(|line| line.contains(foreign) && line.contains('<'));
        assert_eq!(found, None, "{foreign}");
    }
    assert_eq!(
        (page.text.matches("<script>").count(), page.text.matches("<style>").count()),
        (1, 1)
    );
}
