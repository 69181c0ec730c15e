//! What opens nothing, shown to a server (J1-J6, J10); the rules themselves are tested beside the code that reads.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::people::{Person, call};
use crate::support::TestDatabase;
use crate::support::rest::{TestRest, send};

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_that_was_made_up_or_changed_opens_anything() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let base = rest.base();
    let (ada, bob) = (Person::new(base, "ada").await, Person::new(base, "bob").await);
    let parts: Vec<&str> = ada.access.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("{parts:?}") };
    let (header, body) = (decoded(head), decoded(claims));
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    for claim in ["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "sid", "tenant"] {
        assert!(!body[claim].is_null(), "{claim} in {body}");
    }
    let with = |value: &Value, name: &str, set: Value| {
        let mut changed = value.clone();
        changed[name] = set;
        encoded(&changed)
    };
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32])});
    let mut odd = vec![
        format!("{head}.{claims}."),
        format!("{head}.{claims}"),
        format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        format!("{head}.{claims}.{signature}="),
        format!("{head}.{claims}.{signature}.{signature}"),
        format!("{head}.{}.{signature}", bob.access.split('.').nth(1).unwrap()),
        format!("{}.{claims}.{signature}", with(&header, "jwk", jwk)),
        format!("{}.{claims}.{signature}", with(&header, "jku", json!("http://127.0.0.1:1/"))),
        format!("{}.{claims}.{signature}", with(&header, "typ", json!("JWT"))),
        ada.refresh.clone(),
        "x".repeat(5_000),
    ];
    for alg in ["none", "None", "nOnE", "HS256", "ES256", "RS256"] {
        odd.push(format!("{}.{claims}.", with(&header, "alg", json!(alg))));
        odd.push(format!("{}.{claims}.{signature}", with(&header, "alg", json!(alg))));
    }
    for kid in ["../../dev/null", "' OR 1=1--", "", &"k".repeat(3_000)] {
        odd.push(format!("{}.{claims}.{signature}", with(&header, "kid", json!(kid))));
    }
    for (claim, value) in [
        ("exp", json!("9999999999")),
        ("exp", json!(9_999_999_999_u64)),
        ("sub", json!(bob.user_id)),
        ("tenant", json!(bob.tenant_id)),
        ("aud", json!(["blotter/rest", "blotter/mcp"])),
    ] {
        odd.push(format!("{head}.{}.{signature}", with(&body, claim, value)));
    }
    let mut bodies = std::collections::BTreeSet::new();
    for token in &odd {
        let answer = call(base, Method::GET, "/v1/users/me", Some(token), None).await;
        assert_eq!(answer.status.as_u16(), 401, "{token} {answer:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
        bodies.insert(answer.text);
    }
    assert_eq!(bodies.len(), 1, "whatever is wrong reads the same: {bodies:?}");
    assert!(ada.is_in().await);
    let in_query =
        send(rest.request(Method::GET, &format!("/v1/users/me?access_token={}", ada.access))).await;
    assert_eq!(in_query.status.as_u16(), 401, "a token in a query is none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_keys_are_public_and_hold_nothing_else() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let ada = Person::new(rest.base(), "ada").await;
    let keys = send(rest.request(Method::GET, "/.well-known/jwks.json")).await.expect(200);
    let [key] = keys["keys"].as_array().unwrap().as_slice() else { panic!("{keys}") };
    let header = decoded(ada.access.split('.').next().unwrap());
    assert_eq!(key["kid"], header["kid"]);
    let names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
}
