//! Who may register where not everybody may, asked from outside.

use std::time::{Duration, Instant};

use futures::future::join_all;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_lets_one_person_in_whoever_comes_with_it_and_from_wherever() {
    let database = TestDatabase::new().await;
    let invite_only = ["--registration", "invite"];
    let (one, _one) = on(&database, "invited-one", &invite_only).await;
    let (two, _two) = on(&database, "invited-two", &invite_only).await;
    let invite = async || {
        let made = call(one.base(), Method::POST, "/v1/invitations", Some(TOKEN), Some(json!({})));
        made.await.expect(201)["invitation"].as_str().unwrap().to_owned()
    };
    let come = async |base: &str, email: &str, code: &str| {
        let body = json!({"email": email, "password": PASSWORD, "invitation": code});
        call(base, Method::POST, "/v1/users", None, Some(body)).await
    };
    // Ten people race for one invitation, on two servers.
    let code = invite().await;
    let racers: Vec<_> = (0..10)
        .map(|n| {
            (if n % 2 == 0 { one.base() } else { two.base() }, format!("racer{n}@example.org"))
        })
        .collect();
    let told = join_all(racers.iter().map(|(base, email)| come(base, email, &code))).await;
    let of = |status: u16| told.iter().filter(|it| it.status.as_u16() == status).count();
    assert_eq!((of(201), of(403)), (1, 9), "{told:?}");
    for refused in told.iter().filter(|it| it.status.as_u16() == 403) {
        assert_eq!(refused.json()["code"], "not_invited");
    }
    let winner = told.iter().position(|it| it.status.as_u16() == 201).unwrap();
    let winner = Person::again(two.base(), &racers[winner].1, PASSWORD, "").await;
    // Used, by the winner as well; nobody's; another secret of theirs; of a code a part.
    let agent = json!({"name": "a", "scopes": ["ledger:read"]});
    let agent = winner.post("/v1/tokens", agent).await.expect(201)["token"].clone();
    let other = invite().await;
    for wrong in [
        code.as_str(),
        "bli_",
        &format!("bli_{}", "A".repeat(43)),
        agent.as_str().unwrap(),
        &winner.refresh,
        TOKEN,
        &other[..other.len() - 1],
        &format!("{other}A"),
        &other.to_lowercase(),
    ] {
        let refused = come(two.base(), "eve@example.org", wrong).await;
        assert_eq!(refused.status.as_u16(), 403, "{wrong}: {refused:?}");
        assert_eq!(refused.json()["code"], "not_invited", "{wrong}");
    }
    // Nobody chooses whom it makes.
    for field in ["tenant_id", "user_id"] {
        let mut body =
            json!({"email": "eve@example.org", "password": PASSWORD, "invitation": other});
        body[field] = json!(if field == "user_id" { &winner.user_id } else { &winner.tenant_id });
        let refused = call(one.base(), Method::POST, "/v1/users", None, Some(body)).await;
        assert_eq!(refused.status.as_u16(), 422, "{refused:?}");
    }
    // What is refused for another reason leaves it good.
    assert_eq!(come(one.base(), &winner.email, &other).await.status.as_u16(), 409);
    let weak = json!({"email": "eve@example.org", "password": "password1", "invitation": other});
    call(one.base(), Method::POST, "/v1/users", None, Some(weak)).await.expect(422);
    let bob = come(two.base(), "bob@example.org", &other).await.expect(201);
    let bob = Person::again(one.base(), "bob@example.org", PASSWORD, "").await.user_id
        == bob["user_id"].as_str().unwrap();
    assert!(bob, "whom the invitation made logs in");
    // A second before its end, and after it.
    let late = invite().await;
    let end = async |statement: &str| {
        let ended = sqlx::query(statement).execute(database.identity.pool()).await.unwrap();
        assert_eq!(ended.rows_affected(), 1);
    };
    end("UPDATE invitations SET expires_at = now() WHERE used_at IS NULL").await;
    assert_eq!(come(one.base(), "carol@example.org", &late).await.status.as_u16(), 403, "expired");
    end("UPDATE invitations SET expires_at = now() + interval '1 minute' WHERE used_at IS NULL")
        .await;
    come(one.base(), "carol@example.org", &late).await.expect(201);
    // Each is a tenant of its own, and sees nothing of the others.
    let tenants: i64 = sqlx::query_scalar("SELECT count(DISTINCT tenant_id) FROM users")
        .fetch_one(database.identity.pool())
        .await
        .unwrap();
    assert_eq!(tenants, 3);
    let tokens = winner.get("/v1/tokens").await.expect(200);
    assert_eq!(tokens["items"].as_array().unwrap().len(), 1);
}
