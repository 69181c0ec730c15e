//! Refresh tokens, cookies and the end of sessions (R1-R7).

use std::collections::BTreeSet;
use std::time::Duration;

use blotter::identity::Identity;
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::people::{PASSWORD, Person, call, log_in, refresh};
use crate::support::TestDatabase;
use crate::support::rest::{Answer, TestRest, send};

async fn started() -> (TestDatabase, TestRest) {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    (database, rest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_good_once_and_a_second_use_ends_the_session() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let other = ada.elsewhere().await;
    let second = refresh(base, &ada.refresh).await.expect(200);
    assert_eq!(second["session_id"], json!(ada.session_id));
    assert_eq!((&second["token_type"], &second["expires_in"]), (&json!("Bearer"), &json!(600)));
    let access = second["access_token"].as_str().unwrap();
    let me = |token: String| async move {
        call(base, Method::GET, "/v1/users/me", Some(&token), None).await.status.as_u16()
    };
    assert_eq!((me(access.to_owned()).await, me(ada.access.clone()).await), (200, 200));
    let reused = refresh(base, &ada.refresh).await;
    assert_eq!((reused.status.as_u16(), &reused.json()["code"]), (401, &json!("session_over")));
    let third = refresh(base, second["refresh_token"].as_str().unwrap()).await;
    assert_eq!((third.status, &third.text), (reused.status, &reused.text));
    assert_eq!((me(access.to_owned()).await, me(ada.access.clone()).await), (401, 401));
    assert!(other.is_in().await, "another session goes on");
    for odd in ["", "blr_x", &ada.access, &format!("{}A", ada.refresh), &ada.refresh.to_uppercase()]
    {
        let answer = refresh(base, odd).await;
        assert!([401, 422].contains(&answer.status.as_u16()), "{odd:?} {answer:?}");
    }
    assert_eq!(me(ada.refresh.clone()).await, 401, "a refresh token opens nothing by itself");
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM refresh_tokens")
        .fetch_all(database.identity.pool())
        .await
        .unwrap();
    assert!(kept.iter().all(|hash| hash.len() == 32));
    let told: Vec<String> = sqlx::query_scalar(
        "SELECT event_type FROM events WHERE aggregate_type = 'user' AND aggregate_id = $1 ORDER BY position",
    )
    .bind(&ada.user_id)
    .fetch_all(database.auditor.pool())
    .await
    .unwrap();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(told[..4], ["UserRegistered", "LoggedIn", "LoggedIn", "SessionRefreshed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_uses_of_one_refresh_token_one_wins() {
    let (database, rest) = started().await;
    let base = rest.base();
    for n in 0..4 {
        let ada = Person::new(base, &format!("ada{n}")).await;
        let answers = join_all((0..32).map(|_| refresh(base, &ada.refresh))).await;
        let won: Vec<&Answer> = answers.iter().filter(|it| it.status.as_u16() == 200).collect();
        assert_eq!(won.len(), 1);
        assert!(answers.iter().all(|it| [200, 401].contains(&it.status.as_u16())));
        let live: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM refresh_tokens JOIN sessions USING (session_id)
             WHERE session_id = $1::uuid AND state = 'active' AND ended_at IS NULL",
        )
        .bind(&ada.session_id)
        .fetch_one(database.identity.pool())
        .await
        .unwrap();
        assert_eq!(live, 0, "31 second uses ended the session");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_it_was_idle_too_long_and_when_it_is_too_old() {
    let (database, rest) = started().await;
    let base = rest.base();
    for column in ["idle_until", "expires_at"] {
        let ada = Person::new(base, column.trim_matches('_')).await;
        let over = format!(
            "UPDATE sessions SET {column} = now() - interval '1 s' WHERE session_id = $1::uuid"
        );
        sqlx::query(&over).bind(&ada.session_id).execute(database.identity.pool()).await.unwrap();
        assert_eq!(refresh(base, &ada.refresh).await.status.as_u16(), 401, "{column}");
    }
    let ada = Person::new(base, "ada").await;
    sqlx::query(
        "UPDATE sessions SET expires_at = now() + interval '1 h' WHERE session_id = $1::uuid",
    )
    .bind(&ada.session_id)
    .execute(database.identity.pool())
    .await
    .unwrap();
    let tokens = refresh(base, &ada.refresh).await.expect(200);
    let until: chrono::DateTime<chrono::Utc> =
        tokens["idle_until"].as_str().unwrap().parse().unwrap();
    assert!(until - chrono::Utc::now() < chrono::TimeDelta::hours(1), "use does not make it older");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_time_is_over_is_ended_and_recorded_by_whoever_looks_next() {
    let (database, rest) = started().await;
    let ada = Person::new(rest.base(), "ada").await;
    let other = ada.elsewhere().await;
    sqlx::query(
        "UPDATE sessions SET idle_until = now() - interval '1 s' WHERE session_id = $1::uuid",
    )
    .bind(&ada.session_id)
    .execute(database.identity.pool())
    .await
    .unwrap();
    for old in [
        "INSERT INTO throttles VALUES (decode(repeat('00', 32), 'hex'), 7, now() - interval '2 days')",
        "INSERT INTO invitations (code_hash, user_id, tenant_id, made_at, expires_at) VALUES
            (decode(repeat('00', 32), 'hex'), gen_random_uuid(), gen_random_uuid(), now(), now() - interval '1 s')",
        "INSERT INTO access_keys VALUES ('old', '', now(), now() - interval '1 s')",
        "INSERT INTO revocations (tenant_id, kind, subject, made_at)
            VALUES (gen_random_uuid(), 'session', gen_random_uuid(), now() - interval '2 hours')",
        "WITH made AS (
            INSERT INTO clients SELECT gen_random_uuid(), tenant_id, user_id, '', 'old' FROM users
            RETURNING client_id, tenant_id, user_id
        ) INSERT INTO sessions SELECT gen_random_uuid(), tenant_id, user_id, client_id, now(), now(), now(), now(),
            now() - interval '31 days' FROM made",
    ] {
        sqlx::query(old).execute(database.identity.pool()).await.unwrap();
    }
    // Another process looks when it starts.
    let stop = CancellationToken::new();
    let next = Identity::beside(database.identity.clone()).unwrap();
    let looks = tokio::spawn({
        let stop = stop.clone();
        async move { next.keep(stop).await }
    });
    const ENDED: &str = "SELECT payload::text FROM events WHERE event_type = 'SessionEnded'";
    let ended: String = loop {
        let found =
            sqlx::query_scalar(ENDED).fetch_optional(database.auditor.pool()).await.unwrap();
        match found {
            Some(ended) => break ended,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    // Homes are kept for longer.
    const OLD: &str = "SELECT (SELECT count(*) FROM throttles WHERE failures > 0) + (SELECT count(*) FROM invitations)
        + (SELECT count(*) FROM access_keys WHERE kid = 'old')
        + (SELECT count(*) FROM revocations WHERE made_at < now() - interval '1 hour')
        + (SELECT count(*) FROM clients WHERE address = 'old')
        + (SELECT count(*) FROM sessions WHERE ended_at < now() - interval '1 day')";
    while sqlx::query_scalar::<_, i64>(OLD).fetch_one(database.identity.pool()).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    looks.await.unwrap();
    let ended: Value = serde_json::from_str(&ended).unwrap();
    let ended = &ended["SessionEnded"];
    assert_eq!(
        (&ended["session_id"], &ended["reason"]),
        (&json!(ada.session_id), &json!("expired"))
    );
    assert!(other.is_in().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_sees_and_ends_their_own_sessions_and_no_others() {
    let (_database, rest) = started().await;
    let base = rest.base();
    let (ada, bob) = (Person::new(base, "ada").await, Person::new(base, "bob").await);
    let other = ada.elsewhere().await;
    let listed = ada.get("/v1/sessions").await.expect(200);
    let items = listed["items"].as_array().unwrap();
    let ids: BTreeSet<&str> = items.iter().map(|it| it["session_id"].as_str().unwrap()).collect();
    assert_eq!(ids, BTreeSet::from([ada.session_id.as_str(), other.session_id.as_str()]));
    let current: Vec<&Value> = items.iter().filter(|it| it["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["session_id"], json!(ada.session_id));
    let one = |id: &str| format!("/v1/sessions/{id}");
    let nobodys = bob.delete(&one(&uuid::Uuid::now_v7().to_string())).await;
    let others = bob.delete(&one(&ada.session_id)).await;
    assert_eq!((others.status.as_u16(), &others.text), (404, &nobodys.text));
    ada.delete(&one(&other.session_id)).await.expect(200);
    assert!(ada.is_in().await && !other.is_in().await && bob.is_in().await);
    let ended = ada.delete(&one("current")).await.expect(200);
    assert!(ended["position"].as_u64().unwrap() > 0);
    assert!(!ada.is_in().await);
    assert_eq!(refresh(base, &ada.refresh).await.status.as_u16(), 401);
    assert_eq!(rest.get("/v1/sessions").await.status.as_u16(), 403, "the operator has none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_logs_out_everywhere_at_once_and_agents_go_on() {
    let (database, rest) = started().await;
    let base = rest.base();
    let (ada, bob) = (Person::new(base, "ada").await, Person::new(base, "bob").await);
    let (other, third) = (ada.elsewhere().await, ada.elsewhere().await);
    let made = json!({"name": "reads", "scopes": ["ledger:read"]});
    let made = ada.post("/v1/tokens", made).await.expect(201);
    let agent = made["token"].as_str().unwrap();
    let stream = rest.request(Method::GET, "/v1/stream").bearer_auth(&other.access);
    let mut stream = stream.send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);

    let refused = call(base, Method::DELETE, "/v1/sessions", Some(agent), None).await;
    assert_eq!(refused.expect(403)["code"], "forbidden");
    rest.delete("/v1/sessions").await.expect(403);
    assert!(ada.is_in().await && other.is_in().await);

    let out = rest.request(Method::DELETE, "/v1/sessions").bearer_auth(&ada.access);
    let out = send(out.header("cookie", format!("__Host-blotter_refresh={}", ada.refresh))).await;
    assert_eq!(out.headers["clear-site-data"], "\"cookies\", \"storage\"");
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    let ended = out.expect(200);
    assert_eq!(ended["user_id"], json!(ada.user_id));
    assert!(ended["position"].as_u64().unwrap() > 0);
    let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(1), end).await.expect("the stream ends at once");
    for session in [&ada, &other, &third] {
        assert!(!session.is_in().await);
        let refreshed = refresh(base, &session.refresh).await;
        assert_eq!(refreshed.expect(401)["code"], "session_over");
    }
    assert!(bob.is_in().await);
    call(base, Method::GET, "/v1/accounts", Some(agent), None).await.expect(200);

    let told: Vec<(String, String)> = sqlx::query_as(
        "SELECT data->>'session_id', data->>'reason'
         FROM (SELECT payload::jsonb->'SessionEnded' AS data FROM events
             WHERE event_type = 'SessionEnded' AND aggregate_id = $1) AS ended",
    )
    .bind(&ada.user_id)
    .fetch_all(database.auditor.pool())
    .await
    .unwrap();
    let expected = [(&ada, "logged_out"), (&other, "ended_by_user"), (&third, "ended_by_user")];
    let expected = expected.map(|(who, reason)| (who.session_id.clone(), reason.to_owned()));
    assert_eq!(told.len(), 3);
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    ada.elsewhere().await.get("/v1/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_end_all_sessions_at_the_same_time_do_not_keep_each_other_waiting() {
    let (_database, rest) = started().await;
    let ada = Person::new(rest.base(), "ada").await;
    let all = [ada.elsewhere().await, ada.elsewhere().await, ada.elsewhere().await];
    let answers = join_all(all.iter().map(|session| session.delete("/v1/sessions"))).await;
    let said: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(said.iter().filter(|status| **status == 200).count(), 1, "{said:?}");
    assert!(said.iter().all(|status| [200, 401, 404].contains(status)), "{said:?}");
    assert!(!ada.is_in().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_what_was_good_once_is_told_so_and_nobody_else() {
    let (database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let other = ada.elsewhere().await;
    let mut agents = Vec::new();
    for name in ["revoked", "over"] {
        let made = json!({"name": name, "scopes": ["ledger:read"]});
        agents.push(other.post("/v1/tokens", made).await.expect(201));
    }
    let token = |index: usize| agents[index]["token"].as_str().unwrap().to_owned();
    let said = async |shown: &str| {
        let answer = call(base, Method::GET, "/v1/accounts", Some(shown), None).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
        answer.expect(401)["detail"].as_str().unwrap().to_owned()
    };
    other
        .delete(&format!("/v1/tokens/{}", agents[0]["token_id"].as_str().unwrap()))
        .await
        .expect(200);
    sqlx::query("UPDATE tokens SET expires_at = now() - interval '1 s' WHERE name = 'over'")
        .execute(database.identity.pool())
        .await
        .unwrap();
    ada.delete("/v1/sessions/current").await.expect(200);

    let ended = said(&ada.access).await;
    assert!(ended.starts_with("this access token was good and is no more: its session has ended"));
    for index in 0..2 {
        let void = said(&token(index)).await;
        assert!(void.starts_with("this token was good and is no more: it was revoked"), "{void}");
    }
    // What was not signed or made here tells nothing.
    let forged = |token: &str| match token.strip_suffix('A') {
        Some(head) => format!("{head}Q"),
        None => format!("{}A", &token[..token.len() - 1]),
    };
    let another_key = ada.access.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    for odd in [forged(&token(0)), another_key, "blt_".to_owned(), "nothing".to_owned()] {
        let unknown = said(&odd).await;
        assert!(unknown.starts_with("send the header Authorization: Bearer"), "{odd}: {unknown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_beyond_the_bound_ends_the_session_that_was_used_longest_ago() {
    let (database, rest) = started().await;
    let base = rest.base();
    let first = Person::new(base, "ada").await;
    // Fifty log-ins cost fifty hashes: the sessions between are made by hand.
    sqlx::query(
        "WITH made AS (
            INSERT INTO clients SELECT gen_random_uuid(), tenant_id, user_id, '', '' FROM users, generate_series(1, 48)
            RETURNING client_id, tenant_id, user_id
        ) INSERT INTO sessions SELECT gen_random_uuid(), tenant_id, user_id, client_id, now(), now(),
            now() + interval '1 day', now() + interval '1 day', NULL FROM made",
    )
    .execute(database.identity.pool())
    .await
    .unwrap();
    let fiftieth = first.elsewhere().await;
    assert!(first.is_in().await);
    let beyond = first.elsewhere().await;
    assert!(!first.is_in().await && fiftieth.is_in().await && beyond.is_in().await);
    let listed = beyond.get("/v1/sessions").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 50);

    // The clock was set back since the others were used.
    sqlx::query("UPDATE sessions SET last_used_at = last_used_at + interval '1 hour'")
        .execute(database.identity.pool())
        .await
        .unwrap();
    let earlier = beyond.elsewhere().await;
    assert!(earlier.is_in().await && fiftieth.is_in().await && beyond.is_in().await);
    let listed = earlier.get("/v1/sessions").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_keeps_its_refresh_token_in_a_cookie_that_no_other_site_can_use() {
    let (_database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let host = base.strip_prefix("http://").unwrap().to_owned();
    let login = json!({"email": ada.email, "password": PASSWORD, "cookie": true});
    let ours =
        |request: RequestBuilder| request.header("origin", base).header("x-blotter-csrf", "1");
    let answer = send(ours(rest.request(Method::POST, "/v1/sessions")).json(&login)).await;
    let set = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    let tokens = answer.expect(200);
    assert!(tokens["refresh_token"].is_null(), "{tokens}");
    let (pair, attributes) = set.split_once("; ").unwrap();
    let (name, token) = pair.split_once('=').unwrap();
    assert_eq!(name, "__Host-blotter_refresh");
    assert!(token.starts_with("blr_"));
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(attributes.split("; ").any(|it| it == attribute), "{attributes}");
    }
    assert!(!attributes.contains("Domain"));

    let by_cookie = |cookie: &str| {
        let request = rest.request(Method::POST, "/v1/sessions/refresh");
        request.header("cookie", format!("a=b; {cookie}")).header("host", host.clone())
    };
    let attacks: [(&str, RequestBuilder); 5] = [
        ("no header", by_cookie(pair).header("origin", base).json(&json!({}))),
        ("no origin", by_cookie(pair).header("x-blotter-csrf", "1").json(&json!({}))),
        (
            "another origin",
            by_cookie(pair)
                .header("x-blotter-csrf", "1")
                .header("origin", "https://evil.example")
                .json(&json!({})),
        ),
        (
            "no origin at all",
            by_cookie(pair).header("x-blotter-csrf", "1").header("origin", "null").json(&json!({})),
        ),
        (
            "a prefix",
            by_cookie(pair)
                .header("x-blotter-csrf", "1")
                .header("origin", format!("{base}.evil.example"))
                .json(&json!({})),
        ),
    ];
    for (attack, request) in attacks {
        let refused = send(request).await;
        assert_eq!(refused.status.as_u16(), 403, "{attack} {refused:?}");
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    let form = ours(by_cookie(pair)).header("content-type", "text/plain").body("{}");
    assert_eq!(send(form).await.status.as_u16(), 415);
    let evil = rest
        .request(Method::POST, "/v1/sessions")
        .json(&login)
        .header("origin", "https://evil.example");
    assert_eq!(send(evil.header("x-blotter-csrf", "1")).await.status.as_u16(), 403);

    let refreshed = send(ours(by_cookie(pair)).json(&json!({}))).await;
    let next =
        refreshed.headers["set-cookie"].to_str().unwrap().split_once(';').unwrap().0.to_owned();
    let tokens = refreshed.expect(200);
    assert_ne!(next, pair);
    let access = tokens["access_token"].as_str().unwrap();
    let out = rest.request(Method::DELETE, "/v1/sessions/current").header("cookie", next.clone());
    let out = send(out.bearer_auth(access)).await;
    assert_eq!(out.status.as_u16(), 200);
    assert_eq!(out.headers["clear-site-data"], "\"cookies\", \"storage\"");
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(send(ours(by_cookie(&next)).json(&json!({}))).await.status.as_u16(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_session_and_a_get_changes_nothing() {
    let (_database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let other = ada.elsewhere().await;
    let stream = rest.request(Method::GET, "/v1/stream").bearer_auth(&ada.access);
    let mut stream = stream.send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    let kept = rest.request(Method::GET, "/v1/stream").bearer_auth(&other.access);
    let mut kept = kept.send().await.unwrap();
    ada.delete("/v1/sessions/current").await.expect(200);
    let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(1), end).await.expect("the stream ends at once");
    let goes_on = async { while let Ok(Some(_)) = kept.chunk().await {} };
    tokio::time::timeout(Duration::from_millis(300), goes_on).await.expect_err("the other goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_is_for_the_face_that_it_was_asked_for() {
    let (_database, rest) = started().await;
    let base = rest.base();
    let ada = Person::new(base, "ada").await;
    let body = json!({"email": ada.email, "password": PASSWORD, "audience": "mcp"});
    let tokens = call(base, Method::POST, "/v1/sessions", None, Some(body)).await.expect(200);
    let access = tokens["access_token"].as_str().unwrap();
    let me = call(base, Method::GET, "/v1/users/me", Some(access), None).await;
    assert_eq!(me.status.as_u16(), 401);
    assert_eq!(me.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    let odd = json!({"email": ada.email, "password": PASSWORD, "audience": "all"});
    call(base, Method::POST, "/v1/sessions", None, Some(odd)).await.expect(422);
    log_in(base, &ada.email, PASSWORD).await.expect(200);
    // Once it is over, who shows it is told how to log in for this face.
    ada.delete("/v1/sessions").await.expect(200);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let over = call(base, Method::POST, "/mcp", Some(access), Some(ping)).await.expect(401);
    let told = over["detail"].as_str().unwrap();
    assert!(
        told.contains("its session has ended") && told.contains(r#"{"audience": "mcp"}"#),
        "{told}"
    );
}
