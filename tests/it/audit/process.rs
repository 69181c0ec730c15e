//! `blotter audit` as a process beside the server whose log it reads.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Server, blotter, scratch_directory, scratch_with_cluster};

/// How a command ended and what it said, on standard output and on standard error.
fn audit(arguments: &[&str], data_dir: &Path) -> (Option<i32>, String, String) {
    let mut command = blotter(&["audit"]);
    let output = command.args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
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

    let file = data_dir.join("log.jsonl");
    let (code, _, errors) = audit(&["export", "--out", file.to_str().unwrap()], data_dir);
    assert_eq!((code, errors.as_str()), (Some(0), "3 events\n"));
    let (code, lines, _) = audit(&["export"], data_dir);
    assert_eq!((code, lines.lines().count()), (Some(0), 4));
    let (code, text, errors) = audit(&["verify", "--file", file.to_str().unwrap()], data_dir);
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
}
