//! Tokens and grants over two servers on one database, and over one that cannot ask it who may (H12).

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use sqlx::Connection;

use super::people::{Person, call};
use super::processes::on;
use crate::support::TestDatabase;
use crate::support::rest::TOKEN;

/// Within which every process knows what another one did.
const SOON: Duration = Duration::from_secs(1);

async fn asked(base: &str, path: &str, bearer: &str) -> u16 {
    call(base, Method::GET, path, Some(bearer), None).await.status.as_u16()
}

/// Waits until the server at `base` answers so.
async fn becomes(base: &str, path: &str, bearer: &str, status: u16, within: Duration) {
    let began = Instant::now();
    loop {
        let now = asked(base, path, bearer).await;
        if now == status {
            return;
        }
        assert!(began.elapsed() < within, "{path} is {now} after {within:?}, not {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An account of Ada's, a token of hers to read it, and Bob, whom she has made a viewer of it.
struct Scene {
    ada: Person,
    bob: Person,
    account: String,
    token: String,
    token_id: String,
    grant_id: String,
}

async fn scene(base: &str) -> Scene {
    let (ada, bob) = (Person::new(base, "ada").await, Person::new(base, "bob").await);
    let body = json!({"name": "mine", "kind": "cash", "starting_balance": "10000"});
    let account = ada.post("/v1/accounts", body).await.expect(201);
    let account = account["account_id"].as_str().unwrap().to_owned();
    let body = json!({"name": "reader", "scopes": ["ledger:read"]});
    let made = ada.post("/v1/tokens", body).await.expect(201);
    let given = json!({"user": bob.email, "role": "viewer"});
    let grant = ada.post(&format!("/v1/accounts/{account}/grants"), given).await.expect(201);
    let grant_id = grant["grant_id"].as_str().unwrap().to_owned();
    bob.send(Method::POST, &format!("/v1/grants/{grant_id}/accept"), None).await.expect(200);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    Scene { ada, bob, account, token: text("token"), token_id: text("token_id"), grant_id }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_permits_or_revokes_the_other_knows_within_a_second() {
    let database = TestDatabase::new().await;
    let (one, _one) = on(&database, "standby-one", &[]).await;
    let (two, _two) = on(&database, "standby-two", &[]).await;
    let Scene { ada, bob, account, token, token_id, grant_id } = scene(one.base()).await;
    let path = format!("/v1/accounts/{account}");
    becomes(two.base(), &path, &token, 200, SOON).await;
    becomes(two.base(), &path, &bob.access, 200, SOON).await;
    // Revoked where the standby is, and on it by whoever calls there.
    let revoked = format!("/v1/tokens/{token_id}");
    call(two.base(), Method::DELETE, &revoked, Some(&ada.access), None).await.expect(200);
    assert_eq!(asked(two.base(), &path, &token).await, 401, "at once where it was done");
    becomes(one.base(), &path, &token, 401, SOON).await;
    assert_eq!(asked(one.base(), &path, &bob.access).await, 200);
    let taken = format!("{path}/grants/{grant_id}");
    call(one.base(), Method::DELETE, &taken, Some(&ada.access), None).await.expect(200);
    assert_eq!(asked(one.base(), &path, &bob.access).await, 404);
    becomes(two.base(), &path, &bob.access, 404, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_cannot_be_asked_who_may_nobody_may() {
    let database = TestDatabase::new().await;
    let (server, _keys) = on(&database, "fails-closed", &[]).await;
    let base = server.base();
    let Scene { ada, bob, account, token, .. } = scene(base).await;
    let path = format!("/v1/accounts/{account}");
    let mut superuser = database.superuser().await;
    for (table, path, bearer) in [
        ("tokens", path.as_str(), token.as_str()),
        ("grants", path.as_str(), bob.access.as_str()),
        ("revocations", "/v1/users/me", ada.access.as_str()),
    ] {
        assert_eq!(asked(base, path, bearer).await, 200, "{table}");
        let rename = format!("ALTER TABLE {table} RENAME TO away");
        sqlx::query(&rename).execute(&mut superuser).await.unwrap();
        // What was known just now holds for a second, what has ended for five.
        becomes(base, path, bearer, 503, Duration::from_secs(8)).await;
        let refused = call(base, Method::GET, path, Some(bearer), None).await;
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        assert_eq!(refused.json()["code"], "unavailable");
        assert!(!refused.text.contains("away") && !refused.text.contains(table), "{refused:?}");
        assert_eq!(asked(base, "/v1/accounts", TOKEN).await, 200, "the operator asks no table");
        let back = format!("ALTER TABLE away RENAME TO {table}");
        sqlx::query(&back).execute(&mut superuser).await.unwrap();
        becomes(base, path, bearer, 200, Duration::from_secs(8)).await;
    }
    superuser.close().await.unwrap();
}
