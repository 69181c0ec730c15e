//! `blotter audit` as a process beside the server whose log it reads.

use std::path::Path;
use std::time::{Duration, Instant};

use blotter::audit::{Scope, split_notes};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use super::{Audited, exported};
use crate::support::rest::{OPEN, quote, send};
use crate::support::{Server, TestDatabase, blotter, scratch_directory, scratch_with_cluster};

/// How a command ended and what it said, on standard output and on standard error.
fn audit(arguments: &[&str], data_dir: &Path) -> (Option<i32>, String, String) {
    run(&["audit"], arguments, data_dir)
}

/// The same of any command. None of them waits for a server that runs there.
fn run(command: &[&str], arguments: &[&str], data_dir: &Path) -> (Option<i32>, String, String) {
    let began = Instant::now();
    let mut command = blotter(command);
    let output = command.args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{command:?}: {:?}", began.elapsed());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Opens an account over HTTP, once the server writes.
async fn open_account(port: &str, data_dir: &Path) {
    let token = std::fs::read_to_string(data_dir.join("operator.token")).unwrap();
    let body = json!({"name": "Alice", "kind": "cash", "starting_balance": "10000"});
    let request = reqwest::Client::new().post(format!("http://127.0.0.1:{port}/v1/accounts"));
    let start = Instant::now();
    loop {
        let request = request.try_clone().unwrap().bearer_auth(token.trim()).json(&body);
        let answer = request.send().await.unwrap();
        if answer.status() == reqwest::StatusCode::CREATED {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_beside_a_running_server_ends_with_0_for_valid_1_for_not_2_for_no_verdict() {
    let directory = scratch_with_cluster("audit-beside").await;
    let data_dir = directory.path();
    let server = Server::start(data_dir);
    let line = server.wait_for_line("listening");
    // Colours may stand around the address.
    let (_, port) = line.split_once("127.0.0.1:").unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    open_account(&port, data_dir).await;

    let (code, text, errors) = audit(&["verify"], data_dir);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(text.starts_with("verdict       valid\n"), "{text}");
    let (code, text, errors) = audit(&["verify", "--json"], data_dir);
    assert_eq!(code, Some(0), "{text}{errors}");
    let report: Value = serde_json::from_str(&text).unwrap();
    // The take-over, the account and its deposit.
    assert_eq!((&report["valid"], &report["position"]), (&json!(true), &json!(3)), "{report}");

    let (file, kept) = (data_dir.join("log.jsonl"), data_dir.join("checkpoints"));
    let start = Instant::now();
    while std::fs::read(&kept).unwrap_or_default().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing was signed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (code, _, errors) = audit(&["export", "--out", file.to_str().unwrap()], data_dir);
    assert_eq!((code, errors.as_str()), (Some(0), "3 events\n"));
    let (code, lines, _) = audit(&["export"], data_dir);
    assert_eq!((code, lines.lines().count()), (Some(0), 4));
    let (code, text, errors) = audit(&["verify", "--file", file.to_str().unwrap()], data_dir);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(text.contains("checkpoints   1\n") && text.contains("the only checkpoint"), "{text}");
    assert!(!text.contains("no checkpoint"), "one or none, not both: {text}");
    let arguments =
        ["verify", "--file", file.to_str().unwrap(), "--checkpoints", kept.to_str().unwrap()];
    let (code, text, errors) = audit(&arguments, data_dir);
    assert!(code == Some(0) && !text.contains("only checkpoint"), "{text}{errors}");

    let (code, text, errors) = run(&["projections", "rebuild"], &["books"], data_dir);
    assert_eq!(code, Some(0), "{text}{errors}");

    let socket = data_dir.join("pg").to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://postgres@{socket}:5432/blotter");
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let change = "ALTER TABLE events DISABLE TRIGGER ALL;
        UPDATE events SET payload = replace(payload::text, '10000.00', '90000.00')::json WHERE position = 3";
    owner.execute(change).await.unwrap();
    let (code, text, errors) = audit(&["verify"], data_dir);
    assert_eq!(code, Some(1), "{text}{errors}");
    assert!(text.starts_with("verdict       NOT VALID\nfirst bad     3\n"), "{text}");

    let nothing = scratch_directory("audit-nothing");
    let missing = nothing.path().join("no checkpoints");
    let arguments = ["verify", "--checkpoints", missing.to_str().unwrap()];
    let (code, text, errors) = audit(&arguments, data_dir);
    assert_eq!((code, text.as_str()), (Some(2), ""), "{errors}");
    assert!(errors.starts_with("blotter: ") && errors.contains("no checkpoints"), "{errors}");
    assert_eq!(errors.matches("No such file").count(), 1, "each cause once: {errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_elsewhere_is_held_against_the_checkpoints_that_are_named_and_no_others() {
    let (database, other) = (TestDatabase::new().await, TestDatabase::new().await);
    let home = scratch_directory("audit-elsewhere");
    let (own, default) = (home.path().join("own"), home.path().join("share/blotter"));
    for (data_dir, database) in [(&own, &database), (&default, &other)] {
        std::fs::create_dir_all(data_dir).unwrap();
        let url = database.url("postgres");
        let mut server = Server::launch_with(data_dir, &["--database-url", &url]);
        let (client, start) = (reqwest::Client::new(), Instant::now());
        while !data_dir.join("checkpoints").exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "nothing was signed");
            let health = client.get(format!("{}/readyz", server.base())).send().await.unwrap();
            assert!(health.status().is_success() || health.status().is_server_error());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server.signal(rustix::process::Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
    }
    let url = database.url("postgres");
    let run = |arguments: &[&str]| {
        let mut command = blotter(&["audit"]);
        // The default directory is below it, but for root, whose default is one for the whole machine.
        command.env("XDG_DATA_HOME", home.path().join("share"));
        let output = command.args(arguments).args(["--database-url", &url]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let verify = |arguments: &[&str]| {
        let (code, text) = run(&[&["verify", "--json"], arguments].concat());
        let report: Value = serde_json::from_str(&text).unwrap();
        let notes = report["notes"].to_string();
        (code, report["checkpoints"].as_u64().unwrap(), notes.contains("--checkpoints FILE"))
    };
    assert_eq!(verify(&[]), (Some(0), 0, true));
    let (own, default) = (own.to_str().unwrap(), default.to_str().unwrap());
    let (code, checkpoints, unchecked) = verify(&["--data-dir", own]);
    assert!(code == Some(0) && checkpoints > 0 && !unchecked, "{code:?} {checkpoints}");
    let kept = format!("{own}/checkpoints");
    assert_eq!(verify(&["--checkpoints", &kept]), (code, checkpoints, false));
    // What another log's server has signed is evidence against this one, if somebody says that it belongs here.
    assert_eq!(verify(&["--data-dir", default]), (Some(1), 0, false));

    let (_, exported) = run(&["export"]);
    let header: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!(header["checkpoint"], Value::Null);
    let (_, exported) = run(&["export", "--data-dir", own]);
    let header: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert!(header["checkpoint"].is_string(), "{header}");
}

#[test]
fn what_works_on_a_database_makes_none_where_there_is_none() {
    let directory = scratch_directory("audit-typo");
    let typo = directory.path().join("typo");
    let commands =
        [&["audit", "verify"][..], &["audit", "export"][..], &["projections", "rebuild"][..]];
    for command in commands {
        let output = blotter(command).arg("--data-dir").arg(&typo).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {message}");
        assert!(message.contains(typo.to_str().unwrap()), "{command:?}: {message}");
        assert!(output.stdout.is_empty() && !typo.exists(), "{command:?}");
    }
}

#[tokio::test]
async fn an_audit_of_no_log_or_of_another_schema_has_no_verdict_and_changes_nothing() {
    let directory = scratch_with_cluster("audit-as-it-is").await;
    let data_dir = directory.path();
    for _ in 0..2 {
        let (code, text, errors) = audit(&["verify"], data_dir);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{errors}");
        assert!(errors.contains("\"blotter\" does not exist"), "{errors}");
    }
    {
        let _server = Server::start(data_dir);
        let socket = data_dir.join("pg").to_str().unwrap().replace('/', "%2F");
        let url = format!("postgres://postgres@{socket}:5432/blotter");
        let mut owner = PgConnection::connect(&url).await.unwrap();
        let newer =
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (9000, 'later', true, '', 0)";
        owner.execute(newer).await.unwrap();
    }
    let (code, text, errors) = audit(&["verify"], data_dir);
    assert_eq!((code, text.as_str()), (Some(2), ""), "{errors}");
    assert!(errors.contains("has schema 9000"), "{errors}");
    assert!(errors.contains("a newer blotter wrote it"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_finds_what_the_engine_did_and_that_other_fees_would_have_made_it_another_log() {
    let directory = scratch_with_cluster("audit-replay").await;
    let data_dir = directory.path();
    let server = Server::serve_with(data_dir, &["--fee-per-fill", "0.50"]).await;
    let token = std::fs::read_to_string(data_dir.join("operator.token")).unwrap();
    let client = reqwest::Client::new();
    let post = async |path: &str, body: String, kind: &str| -> Value {
        let request = client.post(format!("{}{path}", server.base())).bearer_auth(token.trim());
        let answer = send(request.header("content-type", kind).body(body)).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        answer.json()
    };
    let feed = |lines: &[Value]| lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let ndjson = "application/x-ndjson";
    post("/v1/market/feed", feed(&[quote("AAPL", "99.00", "101.00", OPEN)]), ndjson).await;
    let body = json!({"name": "Alice", "kind": "cash", "starting_balance": "10000"}).to_string();
    let account = post("/v1/accounts", body, "application/json").await;
    let orders = format!("/v1/accounts/{}/orders", account["account_id"].as_str().unwrap());
    for order in [
        json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "5"}),
        json!({"symbol": "AAPL", "side": "sell", "type": "stop", "qty": "5", "stop_price": "95"}),
    ] {
        post(&orders, order.to_string(), "application/json").await;
    }
    let gap = [quote("AAPL", "90.00", "91.00", "2024-01-17T15:00:05Z")];
    post("/v1/market/feed", feed(&gap), ndjson).await;

    let (code, text, errors) = audit(&["replay", "--fee-per-fill", "0.50"], data_dir);
    assert_eq!(code, Some(0), "{text}{errors}");
    let by = "rules         fees of 0.50 a fill, 0.00 a share, 0.00 a contract; collar 0.05\n";
    assert!(text.starts_with(&format!("replay        the same\n{by}")), "{text}");
    for count in ["triggers      1\n", "fills         2\n", "differences   0\n"] {
        assert!(text.contains(count), "{text}");
    }
    let (code, text, _) = audit(&["replay", "--json"], data_dir);
    assert_eq!(code, Some(1), "{text}");
    let replayed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(replayed["differing"], 2);
    let none = json!({"per_fill": "0.00", "per_share": "0.00", "per_contract": "0.00"});
    assert_eq!(replayed["rules"], json!({"collar": "0.05", "fees": none}));
    assert!(replayed["differences"][0]["what"].as_str().unwrap().contains("FeeCharged"), "{text}");
}

/// The checkpoint that the server serves once it is over this position, and how many events it is over.
async fn checkpoint_from(server: &Server, position: u64) -> (String, u64) {
    let start = Instant::now();
    loop {
        let request = reqwest::Client::new().get(format!("{}/v1/audit/checkpoint", server.base()));
        let answer = send(request.bearer_auth(server.token())).await;
        let size = answer.text.lines().nth(1).and_then(|size| size.parse().ok());
        match size.filter(|size| answer.status.is_success() && *size >= position) {
            Some(size) => return (answer.text, size),
            None => assert!(start.elapsed() < Duration::from_secs(30), "{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What [the page of the audit](../../../docs/audit.md) has an auditor do, and why in this order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_contains_what_a_checkpoint_read_before_it_was_signed_over_and_not_one_read_after_it()
 {
    let directory = scratch_with_cluster("audit-order").await;
    let data_dir = directory.path();
    let server = Server::serve_with(data_dir, &["--market", "feed"]).await;
    let http = reqwest::Client::new();
    let open = async || {
        let body = json!({"name": "Alice", "kind": "cash", "starting_balance": "10000"});
        let request = http.post(format!("{}/v1/accounts", server.base())).json(&body);
        let opened = send(request.bearer_auth(server.token())).await.expect(201);
        opened["position"].as_u64().unwrap()
    };
    let (before, size) = checkpoint_from(&server, open().await).await;
    let request = http.get(format!("{}/v1/audit/export", server.base()));
    let export = send(request.bearer_auth(server.token())).await;
    assert!(export.status.is_success() && export.text.lines().count() as u64 > size, "{size}");
    let (after, later) = checkpoint_from(&server, open().await).await;
    assert!(later > size);
    let file = data_dir.join("export.jsonl");
    std::fs::write(&file, &export.text).unwrap();
    for (name, note, code, said) in [
        ("before", before, 0, "verdict       valid".to_owned()),
        ("after", after, 1, format!("signed {later} events: those after {size} are missing")),
    ] {
        let kept = data_dir.join(name);
        std::fs::write(&kept, note).unwrap();
        let arguments =
            ["verify", "--file", file.to_str().unwrap(), "--checkpoints", kept.to_str().unwrap()];
        let (ended, text, errors) = audit(&arguments, data_dir);
        assert!(ended == Some(code) && text.contains(&said), "{name}: {text}{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_a_whole_checkpoint_gives_no_verdict_and_one_with_says_how_far_it_reaches() {
    let audited = Audited::new("audit-reach").await;
    let lines = exported(&audited.database, Scope::default()).await;
    let file = audited.directory.path().join("export.jsonl");
    std::fs::write(&file, &lines).unwrap();
    let kept = audited.directory.path().join("kept");
    let against = |text: &str, others: &[&str]| {
        std::fs::write(&kept, text).unwrap();
        let mut command = blotter(&["audit", "verify", "--checkpoints"]);
        command.arg(&kept).arg("--file").arg(&file).args(others);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let notes = std::fs::read_to_string(&audited.checkpoints()[0]).unwrap();
    let (first, _) = split_notes(notes.as_bytes());
    let first = first[0];
    // Nothing, something else, and one that lost its last line break hold the log to nothing.
    for none in ["", "garbage\n", "{\"code\":\"unauthorized\"}", first.trim_end()] {
        let (code, text, errors) = against(none, &[]);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{none}: {errors}");
        let named = format!("{} holds no whole checkpoint", kept.display());
        assert!(errors.contains(&named) && errors.contains("GET /v1/audit/checkpoint"), "{errors}");
        let whole = audited.checkpoints();
        let (code, ..) = against(none, &["--checkpoints", whole[0].to_str().unwrap()]);
        assert_eq!(code, Some(2), "another file's do not stand for it");
    }
    // One that is cut short behind a whole one costs that nothing, and the verdict says how far it reaches.
    let beyond = audited.size - audited.first;
    for (torn, noted) in [("", false), ("blotter/torn\n", true)] {
        let (code, text, errors) = against(&format!("{first}{torn}"), &[]);
        assert_eq!(code, Some(0), "{text}{errors}");
        assert_eq!(text.contains("is cut short"), noted, "{text}");
        let covered = format!(
            "covered       the first {} rows by a checkpoint that was given; {beyond} lie beyond it\n",
            audited.first
        );
        assert!(text.contains(&covered), "{text}");
    }
    let (_, text, _) = against(first, &["--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (report["covered"].as_u64(), report["beyond"].as_u64()),
        (Some(audited.first), Some(beyond))
    );
    let (_, text, _) = against(&notes, &[]);
    let covered =
        format!("covered       all {} rows by a checkpoint that was given\n", audited.size);
    assert!(text.contains(&covered), "{text}");
}
