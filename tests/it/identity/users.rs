//! Registering, passwords, throttling, disabling and forgetting (A1-A7), and what the log says of it.

use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use reqwest::Method;
use serde_json::{Value, json};

use super::people::{PASSWORD, Person, call, log_in, refresh, register};
use crate::support::TestDatabase;
use crate::support::rest::TestRest;

pub(super) async fn started() -> (TestDatabase, TestRest) {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    (database, rest)
}

async fn hash_of(database: &TestDatabase, email: &str) -> String {
    sqlx::query_scalar("SELECT password_hash FROM users WHERE email = $1")
        .bind(email)
        .fetch_one(database.identity.pool())
        .await
        .unwrap()
}

/// The events of a user that the log has, once nothing waits for it.
pub(super) async fn events(database: &TestDatabase, user_id: &str) -> Vec<(String, Value)> {
    loop {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM identity_facts")
            .fetch_one(database.identity.pool())
            .await
            .unwrap();
        if waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    const EVENTS: &str = "SELECT event_type, payload::text FROM events
        WHERE aggregate_type = 'user' AND aggregate_id = $1 ORDER BY position";
    let rows: Vec<(String, String)> =
        sqlx::query_as(EVENTS).bind(user_id).fetch_all(database.auditor.pool()).await.unwrap();
    rows.into_iter()
        .map(|(name, payload)| {
            let payload: Value = serde_json::from_str(&payload).unwrap();
            (name.clone(), payload[&name].clone())
        })
        .collect()
}

pub(super) fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_registers_logs_in_and_works_in_a_tenant_of_their_own() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "Ada").await;
    let me = ada.get("/v1/users/me").await.expect(200);
    assert_eq!((&me["email"], &me["status"]), (&json!("ada@example.org"), &json!("active")));
    assert_eq!(me["user_id"], json!(ada.user_id));
    let open = json!({"name": "mine", "kind": "cash", "starting_balance": "100"});
    let account = ada.post("/v1/accounts", open).await.expect(201);
    let id = account["account_id"].as_str().unwrap().to_owned();
    assert_eq!(ada.get("/v1/accounts").await.expect(200)["items"].as_array().unwrap().len(), 1);
    let bob = Person::new(base, "bob").await;
    assert_eq!(bob.get("/v1/accounts").await.expect(200)["items"], json!([]));
    let path = format!("/v1/accounts/{id}");
    let nobodys = bob.get(&format!("/v1/accounts/{}", uuid::Uuid::now_v7())).await;
    let others = bob.get(&path).await;
    assert_eq!((others.status, others.text), (nobodys.status, nobodys.text));
    assert_eq!(ada.get(&path).await.status.as_u16(), 200);

    let events = events(&database, &ada.user_id).await;
    assert_eq!(names(&events), ["UserRegistered", "LoggedIn"]);
    assert_eq!(events[0].1["by"], "open");
    assert_eq!(events[1].1["session_id"], json!(ada.session_id));
    let metadata: String = sqlx::query_scalar(
        "SELECT metadata::text FROM events WHERE event_type = 'AccountOpened' AND tenant_id = $1::uuid",
    )
    .bind(&ada.tenant_id)
    .fetch_one(database.auditor.pool())
    .await
    .unwrap();
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["actor"], json!(ada.user_id));
    assert_eq!(metadata["token"], json!(ada.session_id));
    assert_eq!(metadata["client"], events[1].1["client_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_measured_and_kept_by_argon2id_and_hashed_anew_when_the_parameters_rise() {
    let (database, rest) = started().await;
    let base = rest.base();
    let long = "x7 ".repeat(30_000);
    for (password, status) in [
        ("password1", 422),
        ("Xk9#", 422),
        ("u15@example.org", 422),
        (long.as_str(), 422),
        ("correct horse battery staple and then some more, 64 characters!!", 201),
    ] {
        let began = Instant::now();
        let answer = register(base, &format!("u{}@example.org", password.len()), password).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        if password.len() > 256 {
            assert!(began.elapsed() < Duration::from_millis(500), "nothing was hashed");
        }
        if status == 422 {
            assert_eq!(answer.json()["errors"][0]["field"], "password");
            assert!(!answer.text.contains(password), "no answer repeats a password");
        }
    }
    let ada = Person::new(base, "ada").await;
    assert!(hash_of(&database, &ada.email).await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    let upper = PASSWORD.to_uppercase();
    assert_eq!(log_in(base, &ada.email, &upper).await.status.as_u16(), 401, "case matters");

    let low = Params::new(8_192, 1, 1, None).unwrap();
    let low = Argon2::new(Algorithm::Argon2id, Version::V0x13, low);
    let weak = low.hash_password(PASSWORD.as_bytes()).unwrap().to_string();
    sqlx::query("UPDATE users SET password_hash = $1 WHERE email = $2")
        .bind(&weak)
        .bind(&ada.email)
        .execute(database.identity.pool())
        .await
        .unwrap();
    log_in(base, &ada.email, PASSWORD).await.expect(200);
    let kept = hash_of(&database, &ada.email).await;
    assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    let events = events(&database, &ada.user_id).await;
    assert!(names(&events).contains(&"PasswordRehashed"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_belongs_to_one_user_in_any_spelling() {
    let (_database, rest) = started().await;
    let base = rest.base();
    register(base, "ada@example.org", PASSWORD).await.expect(201);
    let taken = register(base, "ADA@Example.Org", PASSWORD).await;
    assert_eq!(
        (taken.status.as_u16(), taken.json()["code"].as_str().unwrap()),
        (409, "email_taken")
    );
    for odd in ["ada", "a@b\nBcc: x@y.z", "\u{430}da@example.org", "ada@example.org.", ""] {
        let refused = register(base, odd, PASSWORD).await;
        assert_eq!(refused.status.as_u16(), 422, "{odd:?}");
        assert_eq!(refused.json()["errors"][0]["field"], "email");
    }
    log_in(base, "Ada@EXAMPLE.org", PASSWORD).await.expect(200);
    let surplus =
        json!({"email": "b@example.org", "password": PASSWORD, "tenant_id": "x", "role": "admin"});
    call(base, Method::POST, "/v1/users", None, Some(surplus)).await.expect(422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tries_make_the_next_ones_wait_and_no_header_helps() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    for _ in 0..5 {
        assert_eq!(log_in(base, &ada.email, "wrong wrong wrong").await.status.as_u16(), 401);
    }
    for email in [ada.email.as_str(), "ADA@example.org"] {
        let waits = log_in(base, email, PASSWORD).await;
        assert_eq!(waits.status.as_u16(), 429, "the right password waits too: {waits:?}");
        assert_eq!(waits.json()["code"], "throttled");
        let after: u64 = waits.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=2).contains(&after), "{after}");
    }
    let spoofed = rest
        .request(Method::POST, "/v1/sessions")
        .header("x-forwarded-for", "203.0.113.7")
        .json(&json!({"email": ada.email, "password": PASSWORD}));
    assert_eq!(crate::support::rest::send(spoofed).await.status.as_u16(), 429);
    // Nobody else is kept waiting, and neither is the right person for ever.
    Person::new(base, "bob").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    log_in(base, &ada.email, PASSWORD).await.expect(200);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM throttles WHERE failures >= 5")
        .fetch_one(database.identity.pool())
        .await
        .unwrap();
    assert_eq!(left, 2, "the address and the user; both together are forgiven");
    let events = events(&database, &ada.user_id).await;
    let throttled = events.iter().filter(|(_, body)| body["reason"] == "throttled");
    assert_eq!(throttled.count(), 1, "of three in a minute one is recorded: {events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tries_that_come_together_are_no_more_than_those_that_come_one_by_one() {
    let (_database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let tries = (0..30).map(|_| log_in(base, &ada.email, "wrong wrong wrong"));
    let answers = futures::future::join_all(tries).await;
    let of = |status: u16| answers.iter().filter(|it| it.status.as_u16() == status).count();
    // The first waits are of a second and two, which a busy machine lets pass.
    assert!((5..=7).contains(&of(401)), "{} came to be tried", of(401));
    assert_eq!(of(401) + of(429), 30, "{} were busy", of(503));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_ins_is_turned_away_and_others_are_served_meanwhile() {
    let (_database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let flood = (0..120).map(|n| {
        let email = format!("flood{n}@example.org");
        async move { log_in(base, &email, "not the password at all").await }
    });
    let served = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let began = Instant::now();
            ada.get("/v1/accounts").await.expect(200);
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (answers, slowest) = tokio::join!(futures::future::join_all(flood), served);
    let of = |status: u16| answers.iter().filter(|it| it.status.as_u16() == status).count();
    assert_eq!(of(401) + of(429) + of(503), 120);
    assert!(of(401) > 0 && of(503) > 0, "{} 401, {} 429, {} 503", of(401), of(429), of(503));
    for turned in answers.iter().filter(|it| it.status.as_u16() != 401) {
        assert!(turned.headers.contains_key("retry-after"), "{turned:?}");
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_needs_the_present_one_and_ends_the_other_sessions() {
    const NEW: &str = "four other words entirely";
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let other = ada.elsewhere().await;
    let change =
        |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let path = "/v1/users/me/password";
    let wrong = ada.send(Method::PUT, path, Some(change("not it at all", NEW))).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["code"]), (403, &json!("wrong_password")));
    let weak = ada.send(Method::PUT, path, Some(change(PASSWORD, "password1"))).await.expect(422);
    assert_eq!(weak["errors"][0]["field"], "new_password");
    let same = ada.send(Method::PUT, path, Some(change(PASSWORD, PASSWORD))).await.expect(422);
    assert_eq!(same["errors"][0]["field"], "new_password");
    assert_eq!(same["errors"][0]["code"], "same_password");
    assert!(other.is_in().await, "nothing has changed");
    let changed = ada.send(Method::PUT, path, Some(change(PASSWORD, NEW))).await.expect(200);
    assert!(ada.is_in().await, "the session that asked goes on");
    assert!(!other.is_in().await);
    assert_eq!(refresh(base, &other.refresh).await.status.as_u16(), 401);
    assert_eq!(log_in(base, &ada.email, PASSWORD).await.status.as_u16(), 401);
    log_in(base, &ada.email, NEW).await.expect(200);

    let wrong = ada
        .send(
            Method::PATCH,
            "/v1/users/me",
            Some(json!({"email": "x@example.org", "password": PASSWORD})),
        )
        .await;
    assert_eq!(wrong.status.as_u16(), 403);
    Person::new(base, "bob").await;
    let taken = json!({"email": "bob@example.org", "password": NEW});
    assert_eq!(ada.send(Method::PATCH, "/v1/users/me", Some(taken)).await.status.as_u16(), 409);
    let moved = json!({"email": "Lovelace@example.org", "password": NEW});
    let me = ada.send(Method::PATCH, "/v1/users/me", Some(moved)).await.expect(200);
    assert_eq!(me["email"], "lovelace@example.org");
    log_in(base, "lovelace@example.org", NEW).await.expect(200);

    let events = events(&database, &ada.user_id).await;
    let of = |name: &str| names(&events).into_iter().filter(|it| *it == name).count();
    assert_eq!((of("PasswordChanged"), of("EmailChanged"), of("SessionEnded")), (1, 1, 1));
    assert_eq!(of("LogInRefused"), 3, "{events:?}");
    let position = changed["position"].as_u64().unwrap();
    let at: String = sqlx::query_scalar("SELECT event_type FROM events WHERE position = $1")
        .bind(position.cast_signed())
        .fetch_one(database.auditor.pool())
        .await
        .unwrap();
    assert_eq!(at, "PasswordChanged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_lists_disables_enables_and_forgets_and_nobody_else_does() {
    let (database, rest) = started().await;
    let base = rest.base();
    let (ada, bob) = (Person::new(base, "ada").await, Person::new(base, "bob").await);
    let listed = rest.get("/v1/users?limit=1").await.expect(200);
    assert_eq!(listed["items"][0]["email"], "ada@example.org");
    let next = listed["next_cursor"].as_str().unwrap();
    let listed = rest.get(&format!("/v1/users?limit=1&cursor={next}")).await.expect(200);
    assert_eq!(listed["items"][0]["email"], "bob@example.org");
    let one = |what: &str| format!("/v1/users/{}{what}", ada.user_id);
    for (method, path) in [
        (Method::GET, "/v1/users".to_owned()),
        (Method::POST, one("/disable")),
        (Method::POST, one("/enable")),
        (Method::DELETE, one("")),
    ] {
        let refused = bob.send(method, &path, None).await;
        assert_eq!(refused.status.as_u16(), 403, "{path}");
        assert_eq!(refused.json()["code"], "forbidden");
    }
    rest.send(rest.request(Method::POST, &one("/disable"))).await.expect(200);
    assert!(!ada.is_in().await && bob.is_in().await);
    assert_eq!(refresh(base, &ada.refresh).await.status.as_u16(), 401);
    assert_eq!(log_in(base, &ada.email, PASSWORD).await.status.as_u16(), 401);
    rest.send(rest.request(Method::POST, &one("/disable"))).await.expect(200);
    let enabled = rest.send(rest.request(Method::POST, &one("/enable"))).await.expect(200);
    assert_eq!(enabled["status"], "active");
    assert!(!ada.is_in().await, "what ended stays ended");
    assert!(ada.elsewhere().await.is_in().await);
    rest.delete(&one("")).await.expect(200);
    assert_eq!(log_in(base, &ada.email, PASSWORD).await.status.as_u16(), 401);
    for (method, path) in [(Method::POST, one("/disable")), (Method::DELETE, one(""))] {
        let gone = rest.send(rest.request(method, &path)).await.expect(404);
        assert_eq!(gone["code"], "user_not_found");
    }
    let seen = events(&database, &ada.user_id).await;
    let told: Vec<&str> =
        names(&seen).into_iter().filter(|name| name.starts_with("User")).collect();
    assert_eq!(told, ["UserRegistered", "UserDisabled", "UserEnabled", "UserForgotten"]);
    let me = rest.get("/v1/users/me").await;
    assert_eq!(me.status.as_u16(), 403, "the operator is no user: {me:?}");
}

/// The tables and columns of text that hold `marker` anywhere, the log's included.
async fn found(database: &TestDatabase, marker: &str) -> Vec<String> {
    let mut superuser = database.superuser().await;
    const TABLES: &str = "SELECT relname::text FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut superuser).await.unwrap();
    let mut found = Vec::new();
    for table in tables {
        let search =
            format!("SELECT EXISTS (SELECT FROM {table} t WHERE t::text ILIKE '%' || $1 || '%')");
        let holds: bool =
            sqlx::query_scalar(&search).bind(marker).fetch_one(&mut superuser).await.unwrap();
        if holds {
            found.push(table);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_forgotten_leaves_ids_and_nothing_else() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "canarybird").await;
    let open = json!({"name": "CANARYNAME", "kind": "cash", "starting_balance": "10000"});
    let account = ada.post("/v1/accounts", open).await.expect(201);
    rest.quoted().await;
    let order = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "50",
        "time_in_force": "gtc", "note": "CANARYNOTE"});
    let id = account["account_id"].as_str().unwrap();
    ada.post(&format!("/v1/accounts/{id}/orders"), order).await.expect(201);
    let agent = rest
        .request(Method::POST, "/v1/sessions")
        .header("user-agent", "CANARYAGENT/1")
        .json(&json!({"email": ada.email, "password": PASSWORD}));
    crate::support::rest::send(agent).await.expect(200);
    assert_eq!(found(&database, "canarybird").await, ["users"]);
    assert_eq!(found(&database, "CANARYAGENT").await, ["clients"]);
    assert_eq!(found(&database, PASSWORD).await, [""; 0]);

    let wrong =
        ada.send(Method::DELETE, "/v1/users/me", Some(json!({"password": "not it at all"}))).await;
    assert_eq!(wrong.status.as_u16(), 403);
    let body = Some(json!({"password": PASSWORD}));
    ada.send(Method::DELETE, "/v1/users/me", body).await.expect(200);
    assert!(!ada.is_in().await);
    assert_eq!(refresh(base, &ada.refresh).await.status.as_u16(), 401);
    for marker in ["canary", &ada.refresh, "127.0.0.1"] {
        assert_eq!(found(&database, marker).await, [""; 0], "{marker}");
    }
    let events = events(&database, &ada.user_id).await;
    let ended = events
        .iter()
        .filter(|(name, body)| name == "SessionEnded" && body["reason"] == "forgotten");
    assert_eq!(ended.count(), 2);
    assert_eq!(names(&events).last(), Some(&"UserForgotten"));
    let verdict = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], true, "{verdict:#}");
    // The address is free again, for somebody else.
    let again = register(base, &ada.email, PASSWORD).await.expect(201);
    assert_ne!(again["user_id"], json!(ada.user_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_nothing_personal_stands_in_the_log() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "canarybird").await;
    log_in(base, &ada.email, "CANARY wrong password").await;
    refresh(base, &ada.refresh).await.expect(200);
    refresh(base, &ada.refresh).await;
    events(&database, &ada.user_id).await;
    let log: String =
        sqlx::query_scalar("SELECT string_agg(payload::text || metadata::text, ' ') FROM events")
            .fetch_one(database.auditor.pool())
            .await
            .unwrap();
    assert!(log.contains(&ada.user_id));
    for secret in ["canary", "argon2", "blr_", "eyJ", "127.0.0.1", &ada.access, &ada.refresh] {
        assert!(!log.to_lowercase().contains(&secret.to_lowercase()), "{secret}");
    }
    let metrics = rest.get("/metrics").await;
    assert!(!metrics.text.to_lowercase().contains("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_nobody_before_somebody_registers() {
    let (database, rest) = started().await;
    for (email, password) in [
        ("admin@example.org", "admin"),
        ("operator@example.org", "operator"),
        ("root@example.org", "root"),
    ] {
        assert_eq!(log_in(rest.base(), email, password).await.status.as_u16(), 401);
    }
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(database.identity.pool())
        .await
        .unwrap();
    assert_eq!(users, 0);
}
