//! Users over real servers: two on one database, a key that is replaced under load, a restart in the middle, and the
//! operator's commands.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use super::people::{PASSWORD, Person, call, log_in, refresh, register};
use super::users::events;
use crate::support::rest::{TOKEN, instrument, quote, send};
use crate::support::{
    Scratch, Server, TestDatabase, blotter, scratch_directory, scratch_with_cluster,
};

/// A server on `database`, with a directory of its own for its keys, when it answers.
pub(super) async fn on(
    database: &TestDatabase,
    name: &str,
    arguments: &[&str],
) -> (Server, Scratch) {
    let directory = scratch_directory(name);
    let url = database.url("postgres");
    let mut all = vec!["--database-url", &url];
    all.extend(arguments);
    let server = Server::launch_with(directory.path(), &all);
    ready(&server).await;
    (server, directory)
}

async fn ready(server: &Server) {
    let began = Instant::now();
    loop {
        let health = reqwest::get(format!("{}/readyz", server.base())).await;
        if health.is_ok_and(|health| health.status().as_u16() == 200) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn status(base: &str, token: &str) -> u16 {
    call(base, Method::GET, "/v1/users/me", Some(token), None).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_each_knows_what_the_other_signed_and_what_it_ended() {
    let database = TestDatabase::new().await;
    let (one, _one) = on(&database, "identity-one", &[]).await;
    let (two, _two) = on(&database, "identity-two", &[]).await;
    let ada = Person::new(one.base(), "ada").await;
    assert_eq!(status(two.base(), &ada.access).await, 200, "a key of the other");
    // Who does not write the log changes users all the same.
    let there = Person::again(two.base(), &ada.email, PASSWORD, &ada.tenant_id).await;
    assert_eq!(status(one.base(), &there.access).await, 200);
    let stream =
        reqwest::Client::new().get(format!("{}/v1/stream", two.base())).bearer_auth(&ada.access);
    let mut stream = stream.send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    ada.delete("/v1/sessions/current").await.expect(200);
    assert_eq!(status(one.base(), &ada.access).await, 401, "at once where it was done");
    let began = Instant::now();
    while status(two.base(), &ada.access).await != 401 {
        assert!(began.elapsed() < Duration::from_secs(1), "within a second elsewhere");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(1), end).await.expect("and so its streams");
    assert_eq!(status(two.base(), &there.access).await, 200);
    // What the other did is in the log of the one that writes.
    let told: i64 = sqlx::query_scalar("SELECT count(*) FROM events WHERE event_type = 'LoggedIn'")
        .fetch_one(database.auditor.pool())
        .await
        .unwrap();
    assert_eq!(told, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_replaced_under_load_without_one_token_refused() {
    let database = TestDatabase::new().await;
    let (one, directory) = on(&database, "rotate-one", &[]).await;
    let (two, _two) = on(&database, "rotate-two", &[]).await;
    let ada = Person::new(one.base(), "ada").await;
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    let (mut tokens, mut calls, began) = (ada.refresh.clone(), 0, Instant::now());
    let (mut access, mut rotated) = (ada.access.clone(), None);
    while began.elapsed() < Duration::from_secs(4) {
        if rotated.is_none() && began.elapsed() > Duration::from_millis(500) {
            let done =
                blotter(&["keys", "rotate", "--data-dir"]).arg(directory.path()).output().unwrap();
            assert!(done.status.success(), "{done:?}");
            rotated = Some((Instant::now(), kid(&access)));
        }
        let next = refresh(one.base(), &tokens).await.expect(200);
        tokens = next["refresh_token"].as_str().unwrap().to_owned();
        access = next["access_token"].as_str().unwrap().to_owned();
        for token in [&access, &ada.access] {
            for base in [one.base(), two.base()] {
                assert_eq!(status(base, token).await, 200);
                calls += 1;
            }
        }
    }
    let (_, old) = rotated.unwrap();
    assert_ne!(kid(&access), old, "the new key signs");
    assert!(calls > 40, "{calls}");
    let keys = reqwest::get(format!("{}/.well-known/jwks.json", two.base())).await.unwrap();
    let keys: serde_json::Value = keys.json().await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 3, "old, new, and the other server's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_counts_of_wrong_tries_survive_a_restart() {
    let scratch = scratch_with_cluster("identity-restart").await;
    let mut first = Server::serve_with(scratch.path(), &["--log", "debug"]).await;
    let ada = Person::new(first.base(), "canarybird").await;
    for _ in 0..6 {
        log_in(first.base(), "bob@example.org", "wrong wrong wrong").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let ended = ada.elsewhere().await;
    ended.delete("/v1/sessions/current").await.expect(200);
    first.signal(Signal::TERM);
    first.wait();
    let log = first.rest_of_log().join("\n");
    assert!(log.contains("/v1/sessions"), "its requests are in it");
    for secret in
        ["canarybird", PASSWORD, "wrong wrong", "argon2", "blr_", &ada.access, &ada.refresh]
    {
        assert!(!log.contains(secret), "{secret} is in the log of the process");
    }
    let second = Server::serve(scratch.path()).await;
    assert_eq!(status(second.base(), &ada.access).await, 200);
    assert_eq!(status(second.base(), &ended.access).await, 401, "what ended stays ended");
    let tokens = refresh(second.base(), &ada.refresh).await.expect(200);
    assert_eq!(tokens["session_id"], json!(ada.session_id));
    let mut waits = 0;
    for _ in 0..3 {
        let answer = log_in(second.base(), "bob@example.org", "wrong wrong wrong").await;
        waits += u32::from(answer.status.as_u16() == 429);
    }
    assert!(waits >= 2, "the count goes on from where it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_log_of_the_process_nor_its_metrics_hold_what_a_tenant_wrote() {
    const MARK: &str = "mark-of-ada";
    const PRICE: &str = "77.31";
    let database = TestDatabase::new().await;
    let (mut server, _keys) =
        on(&database, "identity-marks", &["--log", "debug", "--hours", "always"]).await;
    let (base, operator) = (server.base().to_owned(), Some(TOKEN));
    let fed = reqwest::Client::new().post(format!("{base}/v1/market/feed"));
    let fed = fed.bearer_auth(TOKEN).header("content-type", "application/x-ndjson");
    let lines = [instrument("AAPL"), quote("AAPL", "99.00", "101.00", "2024-01-17T15:00:00Z")];
    send(fed.body(lines.map(|line| line.to_string()).join("\n"))).await.expect(200);
    let ada = Person::new(&base, MARK).await;
    let named = json!({"name": MARK, "kind": "cash", "starting_balance": "1000"});
    let account = ada.post("/v1/accounts", named).await.expect(201)["account_id"].clone();
    let account = format!("/v1/accounts/{}", account.as_str().unwrap());
    let order = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "3", "limit_price": PRICE,
        "client_order_id": MARK, "note": MARK});
    ada.post(&format!("{account}/orders"), order).await.expect(201);
    let made = json!({"name": MARK, "scopes": ["ledger:read"]});
    let token = ada.post("/v1/tokens", made).await.expect(201)["token"].clone();
    let token = token.as_str().unwrap();
    let asked = |path: String| {
        let base = base.as_str();
        async move { call(base, Method::GET, &path, Some(token), None).await.status.as_u16() }
    };
    assert_eq!(asked(format!("{account}/orders")).await, 200);
    assert_eq!(asked(format!("{account}/orders/by-client-id/{MARK}")).await, 200);
    assert_eq!(asked(format!("{account}/orders?cursor={MARK}")).await, 400);
    assert_eq!(asked(format!("/v1/{MARK}")).await, 404);
    log_in(&base, &format!("{MARK}@example.org"), MARK).await.expect(401);
    ada.post(&account, json!({ MARK: MARK })).await;
    ada.post(&format!("{account}/orders"), json!({"symbol": MARK, MARK: MARK})).await.expect(422);
    let metrics = call(&base, Method::GET, "/metrics", operator, None).await;
    assert_eq!(metrics.status.as_u16(), 200);
    server.signal(Signal::TERM);
    server.wait();
    let log = server.rest_of_log().join("\n");
    for (name, text, proof) in
        [("log", &log, "/v1/tokens"), ("metrics", &metrics.text, "blotter_http_requests_total")]
    {
        assert!(text.contains(proof), "the {name} tells of what was done");
        for secret in [MARK, PRICE, PASSWORD, token, &ada.access, &ada.refresh, &ada.tenant_id] {
            assert!(!text.contains(secret), "{secret} is in the {name}");
        }
    }
}

/// Runs `blotter` on a database with a line of standard input.
fn run(arguments: &[&str], url: &str, data_dir: &std::path::Path, line: &str) -> (bool, String) {
    let mut command = blotter(arguments);
    command.args(["--database-url", url, "--data-dir"]).arg(data_dir);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_makes_invites_and_forgets_users_on_the_command_line() {
    const NEW: &str = "four other words entirely";
    let database = TestDatabase::new().await;
    let (server, directory) = on(&database, "identity-cli", &["--registration", "invite"]).await;
    let base = server.base();
    let url = database.url("postgres");
    let run = |arguments: &[&str], line: &str| {
        run(&[&["user"], arguments].concat(), &url, directory.path(), line)
    };
    let refused = register(base, "eve@example.org", PASSWORD).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("not_invited")));

    let (done, text) = run(&["add", "ada@example.org"], &format!("{PASSWORD}\n"));
    assert!(done && text.trim().len() == 36, "{text}");
    let (done, text) = run(&["add", "weak@example.org"], "password1\n");
    assert!(!done && text.contains("guessed"), "{text}");
    let ada = Person::again(base, "ada@example.org", PASSWORD, "").await;
    let (_, listed) = run(&["list"], "");
    assert!(listed.contains("ada@example.org") && listed.contains("active"), "{listed}");
    assert!(run(&["reset-password", "ada@example.org"], &format!("{NEW}\n")).0);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(status(base, &ada.access).await, 401, "every session ended");
    let ada = Person::again(base, "ada@example.org", NEW, "").await;
    assert!(run(&["disable", "ada@example.org"], "").0);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(status(base, &ada.access).await, 401);
    assert!(run(&["enable", "ada@example.org"], "").0);
    log_in(base, "ada@example.org", NEW).await.expect(200);

    let (_, code) = run(&["invite"], "");
    let invited = |email: &str| {
        let body = json!({"email": email, "password": PASSWORD, "invitation": code.trim()});
        let request = reqwest::Client::new().post(format!("{base}/v1/users")).json(&body);
        send(request)
    };
    let bob = invited("bob@example.org").await.expect(201);
    assert_eq!(invited("carol@example.org").await.status.as_u16(), 403, "good once");
    let (done, text) = run(&["forget", "ada@example.org"], "");
    assert!(!done && text.contains("--yes"), "nobody was asked: {text}");
    let (done, text) = run(&["forget", "--yes", "ada@example.org"], "");
    assert!(done && text.contains("stay on their accounts: 0"), "{text}");
    let (done, text) = run(&["forget", "--yes", "ada@example.org"], "");
    assert!(!done && text.contains("no such user"), "{text}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    let told: Vec<String> = sqlx::query_scalar(
        "SELECT event_type || ' ' || (metadata->>'interface') FROM events
         WHERE event_type LIKE 'User%' ORDER BY position",
    )
    .fetch_all(database.auditor.pool())
    .await
    .unwrap();
    let expected = [
        "UserRegistered cli",
        "UserDisabled cli",
        "UserEnabled cli",
        "UserInvited cli",
        "UserRegistered rest",
        "UserForgotten cli",
    ];
    assert_eq!(told, expected);
    let bob = events(&database, bob["user_id"].as_str().unwrap()).await;
    let [(invited, made), (registered, came), ..] = &bob[..] else { panic!("{bob:?}") };
    assert_eq!([invited.as_str(), registered.as_str()], ["UserInvited", "UserRegistered"]);
    assert!(made["expires_at"].is_string() && came["by"] == "invitation", "{bob:?}");
    let text = format!("{bob:?}");
    assert!(!text.contains("example.org") && !text.contains(code.trim()), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_lists_the_tokens_of_everybody_and_revokes_one() {
    let database = TestDatabase::new().await;
    let (server, directory) = on(&database, "identity-tokens", &[]).await;
    let (base, url) = (server.base(), database.url("postgres"));
    let run =
        |arguments: &[&str]| run(&[&["token"], arguments].concat(), &url, directory.path(), "");
    assert_eq!(run(&["list", "--json"]), (true, "[]\n".to_owned()));
    let (ada, bob) = (Person::new(base, "ada").await, Person::new(base, "bob").await);
    let opened = json!({"name": "mine", "kind": "cash", "starting_balance": "1000"});
    let account = ada.post("/v1/accounts", opened).await.expect(201)["account_id"].clone();
    let limited = json!({"name": "Limited 日", "scopes": ["ledger:read", "orders:write"], "accounts": [account],
        "limits": {"max_order_notional": "12.50", "symbols": ["AAPL", "MSFT"]}, "expires_at": "2100-01-01T00:00:00Z"});
    let limited = ada.post("/v1/tokens", limited).await.expect(201);
    let plain = json!({"name": "Plain", "scopes": ["ledger:read"]});
    let [used, halted, ended] = [
        bob.post("/v1/tokens", plain.clone()).await.expect(201),
        bob.post("/v1/tokens", plain.clone()).await.expect(201),
        bob.post("/v1/tokens", plain).await.expect(201),
    ];
    let path =
        |token: &serde_json::Value| format!("/v1/tokens/{}", token["token_id"].as_str().unwrap());
    bob.send(Method::PATCH, &path(&halted), Some(json!({"halted": true}))).await.expect(200);
    bob.delete(&path(&ended)).await.expect(200);
    let secret = used["token"].as_str().unwrap();
    let ask = || call(base, Method::GET, "/v1/accounts", Some(secret), None);
    ask().await.expect(200);

    let (done, text) = run(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let items = listed.as_array().unwrap();
    let shown: Vec<_> = items
        .iter()
        .map(|token| {
            [&token["token_id"], &token["owner"], &token["state"]].map(|it| it.as_str().unwrap())
        })
        .collect();
    let id = |token: &serde_json::Value| token["token_id"].as_str().unwrap().to_owned();
    let ids = [&limited, &used, &halted, &ended].map(id);
    let expected = [
        [ids[0].as_str(), ada.email.as_str(), "live"],
        [&ids[1], &bob.email, "live"],
        [&ids[2], &bob.email, "halted"],
        [&ids[3], &bob.email, "revoked"],
    ];
    assert!(done && shown == expected, "{text}");
    assert_eq!(items[0]["accounts"], json!([account]));
    assert_eq!(items[0]["scopes"], json!(["ledger:read", "orders:write"]));
    assert_eq!(
        items[0]["limits"],
        json!({"max_order_notional": "12.50", "symbols": ["AAPL", "MSFT"]})
    );
    assert_eq!(items[0]["expires_at"], "2100-01-01T00:00:00Z");
    for (row, field, there) in [
        (0, "last_used_at", false),
        (1, "last_used_at", true),
        (1, "accounts", false),
        (2, "halted_at", true),
        (2, "revoked_at", false),
        (3, "revoked_at", true),
    ] {
        assert_eq!(items[row][field].is_string(), there, "{field} of {}", items[row]);
    }

    let (done, text) = run(&["list"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(done && lines.len() == 5, "{text}");
    assert!(
        lines[1].contains("order<=12.50,symbols=AAPL|MSFT") && lines[1].ends_with("Limited 日"),
        "{text}"
    );
    let state = lines[0].find("STATE").unwrap();
    for (line, [token, owner, word]) in lines[1..].iter().zip(expected) {
        assert!(line.starts_with(token) && line[state..].starts_with(word), "{text}");
        assert!(line.contains(owner) && !line.contains("blt_"), "{text}");
    }

    let gone = "01890000-0000-7000-8000-000000000000";
    for (token, named) in [(gone, "no live token"), (&ids[3], "was revoked"), ("all", "all")] {
        let (done, text) = run(&["revoke", token]);
        assert!(!done && text.contains(named), "{text}");
    }
    ask().await.expect(200);
    assert_eq!(run(&["revoke", &ids[1]]), (true, format!("revoked {}\n", ids[1])));
    ask().await.expect(401);
    let (_, text) = run(&["list", "--live"]);
    assert!(text.contains(&ids[2]) && !text.contains(&ids[1]) && !text.contains(&ids[3]), "{text}");
    let ends: Vec<String> = sqlx::query_scalar(
        "SELECT (metadata->>'interface') || ' ' || (payload->'TokenRevoked'->>'token_id') FROM events
         WHERE event_type = 'TokenRevoked' ORDER BY position",
    )
    .fetch_all(database.auditor.pool())
    .await
    .unwrap();
    assert_eq!(ends, [format!("rest {}", ids[3]), format!("cli {}", ids[1])]);
}
