//! Who may register where not everybody may, asked from outside.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::people::{PASSWORD, Person, call, log_in, register};
use super::processes::on;
use super::users::events;
use crate::support::TestDatabase;
use crate::support::rest::TOKEN;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_registration_is_closed_the_operator_makes_users_and_a_stranger_finds_no_way() {
    let database = TestDatabase::new().await;
    let (server, _keys) = on(&database, "identity-closed", &["--registration", "closed"]).await;
    let base = server.base();
    let refused = register(base, "eve@example.org", PASSWORD).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (403, &json!("registration_closed"))
    );
    let by_the_operator = |email: &str| {
        let body = json!({"email": email, "password": PASSWORD});
        async { call(base, Method::POST, "/v1/users", Some(TOKEN), Some(body)).await }
    };
    let ada = by_the_operator("ada@example.org").await.expect(201);
    let ada =
        Person::again(base, "ada@example.org", PASSWORD, ada["tenant_id"].as_str().unwrap()).await;
    let told = events(&database, &ada.user_id).await;
    assert_eq!((told[0].0.as_str(), &told[0].1["by"]), ("UserRegistered", &json!("operator")));
    let invitation =
        call(base, Method::POST, "/v1/invitations", Some(TOKEN), Some(json!({}))).await.expect(201);
    assert!(invitation["warning"].as_str().unwrap().contains("closed"), "{invitation}");
    let eve = || json!({"email": "eve@example.org", "password": PASSWORD});
    let mut invited = eve();
    invited["invitation"] = invitation["invitation"].clone();
    for (bearer, body) in [
        (None, invited),
        (Some(ada.access.as_str()), eve()),
        (Some("nobody's"), eve()),
        (Some(""), eve()),
    ] {
        let refused = call(base, Method::POST, "/v1/users", bearer, Some(body)).await;
        assert_eq!(refused.status.as_u16(), 403, "{refused:?}");
        assert_eq!(refused.json()["code"], "registration_closed");
    }
    for (method, path, stranger) in [
        (Method::POST, "/v1/invitations", 401),
        (Method::PATCH, "/v1/users/me", 401),
        (Method::PUT, "/v1/users", 401),
        (Method::POST, "/v1/users/me", 401),
        (Method::POST, "/v1/sessions", 401),
    ] {
        let refused = call(base, method.clone(), path, None, Some(eve())).await;
        assert_eq!(refused.status.as_u16(), stranger, "{method} {path} {refused:?}");
    }
    let invite = call(base, Method::POST, "/v1/invitations", Some(&ada.access), Some(json!({})));
    assert_eq!(invite.await.status.as_u16(), 403);
    assert_eq!(log_in(base, "eve@example.org", PASSWORD).await.status.as_u16(), 401);
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(database.identity.pool())
        .await
        .unwrap();
    assert_eq!(users, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_invited_or_not_free_to_take_an_address_costs_no_hash() {
    const TRIES: u32 = 10;
    let database = TestDatabase::new().await;
    let (server, _keys) = on(&database, "identity-cheap", &["--registration", "invite"]).await;
    let base = server.base();
    let body = |password: &str| json!({"email": "ada@example.org", "password": password});
    call(base, Method::POST, "/v1/users", Some(TOKEN), Some(body(PASSWORD))).await.expect(201);
    let mut quickest = [Duration::MAX; 2];
    for _ in 0..TRIES {
        let uninvited = json!({"email": "eve@example.org", "password": PASSWORD,
            "invitation": format!("bli_{}", "A".repeat(43))});
        for (which, bearer, body, status) in
            [(0, None, uninvited, 403), (1, Some(TOKEN), body(PASSWORD), 409)]
        {
            let began = Instant::now();
            let answer = call(base, Method::POST, "/v1/users", bearer, Some(body)).await;
            quickest[which] = quickest[which].min(began.elapsed());
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        }
    }
    let began = Instant::now();
    log_in(base, "ada@example.org", PASSWORD).await.expect(200);
    let hash = began.elapsed();
    assert!(quickest[0] < hash / 2 && quickest[1] < hash / 2, "{quickest:?}, a log-in {hash:?}");
}
