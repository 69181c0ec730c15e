//! What every answer has, of REST and MCP alike: its id, the headers for browsers, a line of the access log.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::rest::{TOKEN, send};
use crate::support::{Server, blotter, scratch_with_cluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_an_id_and_the_headers_for_browsers() {
    let directory = scratch_with_cluster("edge-headers").await;
    let server = Server::serve(directory.path()).await;
    let http = reqwest::Client::new();
    let large = "x".repeat(300 * 1024);
    for (method, path, token, body, status) in [
        (Method::GET, "/livez", false, "", 200),
        (Method::GET, "/readyz", false, "", 200),
        (Method::GET, "/openapi.json", false, "", 200),
        (Method::GET, "/docs", false, "", 200),
        (Method::GET, "/", false, "", 404),
        (Method::GET, "/nowhere", false, "", 404),
        (Method::POST, "/livez", false, "", 405),
        (Method::GET, "/metrics", false, "", 401),
        (Method::GET, "/metrics", true, "", 200),
        (Method::POST, "/metrics", true, "", 405),
        (Method::GET, "/v1/accounts", true, "", 200),
        (Method::GET, "/v1/accounts?odd=1", true, "", 400),
        (Method::POST, "/v1/accounts", true, "{}", 422),
        (Method::POST, "/v1/accounts", true, &large, 413),
        (Method::GET, "/mcp", false, "", 401),
        (Method::GET, "/mcp", true, "", 405),
        (Method::DELETE, "/mcp", true, "", 405),
        (Method::PUT, "/mcp", true, "", 405),
    ] {
        let asked = format!("{method} {path}");
        let mut request = http.request(method, format!("{}{path}", server.base()));
        if token {
            request = request.bearer_auth(server.token());
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let answer = send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{asked} {answer:?}");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{asked}");
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.headers[header], value, "{asked} {header}");
        }
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{asked}");
        assert!(answer.headers.contains_key("cache-control"), "{asked}");
        assert!(!answer.headers.contains_key("server"), "{asked}");
        if status >= 400 {
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{asked}");
            assert_eq!(answer.json()["status"], status, "{asked}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            let next: &[&str] = match status {
                404 => &["/docs", "/openapi.json"],
                401 => &["operator.token", "BLOTTER_OPERATOR_TOKEN"],
                _ => &[],
            };
            assert!(next.iter().all(|next| detail.contains(next)), "{asked} {detail}");
            let home = directory.path().to_str().unwrap();
            assert!(!detail.contains(home), "{asked} {detail}");
        }
        assert_eq!(status == 405, answer.headers.contains_key("allow"), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_one_line_of_the_log_without_what_it_carried() {
    let directory = scratch_with_cluster("edge-log").await;
    let server = Server::launch_with(directory.path(), &["--log-format", "json"]);
    let base = logged_base(&server);
    let http = reqwest::Client::new();
    for _ in 0..400 {
        let ready = http.get(format!("{base}/readyz")).send().await.unwrap();
        let ready: Value = ready.json().await.unwrap();
        if ready["ready"] == true && ready["writer"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let id = "0190c2f0-0000-7000-8000-00000000abcd";
    let body = json!({"name": "canary-name", "kind": "cash", "starting_balance": "1"});
    let request = http.post(format!("{base}/v1/accounts")).bearer_auth(TOKEN);
    let opened = send(request.header("x-request-id", id).json(&body)).await;
    assert_eq!(opened.headers["x-request-id"], id);
    let account = opened.expect(201);
    let line = server.wait_for_line(id);
    let entry: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(entry["target"], "blotter::access");
    let fields = &entry["fields"];
    assert_eq!(
        (&fields["method"], &fields["route"], &fields["status"]),
        (&json!("POST"), &json!("/v1/accounts"), &json!(201))
    );
    assert_eq!(fields["actor"], aggregates::id::OPERATOR.to_string());
    assert!(fields["micros"].as_u64().unwrap() > 0);

    let events =
        format!("{base}/v1/audit/events?account_id={}", account["account_id"].as_str().unwrap());
    let events = send(http.get(events).bearer_auth(TOKEN)).await.expect(200);
    assert_eq!(events["items"][0]["metadata"]["request"], id);
    let line = server.wait_for_line("/v1/audit/events");
    for secret in [TOKEN, "canary-name", account["account_id"].as_str().unwrap()] {
        assert!(!line.contains(secret), "{line}");
    }
    send(http.get(format!("{base}/mcp")).bearer_auth(TOKEN)).await.expect(405);
    let line = server.wait_for_line("\"route\":\"/mcp\"");
    assert!(line.contains(&aggregates::id::OPERATOR.to_string()), "{line}");
    let quote = format!("{base}/v1/market/quotes/canary-symbol?canary=1");
    send(http.get(quote).bearer_auth("canary-token")).await.expect(401);
    let line = server.wait_for_line("\"status\":401");
    assert!(line.contains("/v1/market/quotes/{symbol}") && !line.contains("canary"), "{line}");
    // Nor does what agents ask for that is not there.
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    for (method, name, params) in [
        (
            "tools/call",
            "canary-tool",
            json!({"name": "canary-tool", "arguments": {}, "_meta": meta}),
        ),
        ("resources/read", "canary:one", json!({"uri": "canary:one", "_meta": meta})),
    ] {
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let mut asked = http.post(format!("{base}/mcp")).bearer_auth(TOKEN).json(&call);
        for (header, value) in [
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
            ("mcp-name", name),
        ] {
            asked = asked.header(header, value);
        }
        let told = send(asked).await;
        assert!(told.json()["error"]["message"].is_string(), "{told:?}");
    }
    let last = "0190c2f0-0000-7000-8000-00000000dead";
    send(http.get(format!("{base}/livez")).header("x-request-id", last)).await;
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains(last)) {
        lines.extend(server.log_so_far());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(lines.iter().filter(|line| line.contains("/mcp")).count() >= 2, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("canary")), "{lines:?}");
}

/// Where a server listens that logs as JSON.
fn logged_base(server: &Server) -> String {
    let line: Value = serde_json::from_str(&server.wait_for_line("\"listening\"")).unwrap();
    format!("http://{}", line["fields"]["address"].as_str().unwrap())
}

#[test]
fn the_document_is_printed_without_a_server() {
    let output = blotter(&["openapi"]).output().unwrap();
    assert!(output.status.success());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, ::blotter::rest::document());
}
