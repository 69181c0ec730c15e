//! What REST makes of bad input: a fitting 4xx that names what is wrong, and nothing in the log.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument, quote, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_by_name_and_leaves_nothing() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("1000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let head = rest.head();

    for (body, status) in [
        ("", 400),
        ("not json", 400),
        ("[]", 400),
        ("null", 400),
        (r#"{"symbol":"AAPL","symbol":"AAPL"}"#, 400),
        (r#"{"symbol":"AAPL"} trailing"#, 400),
        (r#"{"symbol":"AAPL","qty":1e400}"#, 400),
        (r#"{"symbol":"A\u0000","side":"buy","type":"market","qty":"1"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"market","qty":"1","note":"\u202e"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"market","qty":"1","surprise":1}"#, 422),
        (r#"{"symbol":"AAPL","side":"BUY","type":"market","qty":"1"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"market"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"market","notional":"0"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"market","qty":"0"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"market","qty":"-1"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"market","qty":"1","limit_price":"5"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"limit","qty":"1"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"limit","qty":"1","limit_price":"1.001"}"#, 422),
        (r#"{"symbol":"AAPL","side":"buy","type":"stop","qty":"1"}"#, 422),
        (
            r#"{"symbol":"AAPL","side":"buy","type":"trailing_stop_limit","qty":"1","trail_price":"5"}"#,
            422,
        ),
        (r#"{"symbol":"AAPL","side":"buy","type":"market","qty":"1","client_order_id":""}"#, 422),
    ] {
        let answer = rest.post_text(&orders, body).await;
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{body}");
        let problem = answer.expect(status);
        assert_eq!(problem["status"], status, "{body}");
        assert!(problem["code"].is_string() && problem["detail"].is_string(), "{body}");
        assert_eq!(problem["errors"].is_array(), status == 422, "{body}");
    }
    for empty in ["", " \n"] {
        let problem = rest.post_text(&orders, empty).await.expect(400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("the body is empty: send a JSON object"), "{detail}");
    }
    let odd = r#"{"symbol":"AAPL","side":"buy","type":"market","qty":"1","quantity":"1"}"#;
    let problem = rest.post_text(&orders, odd).await.expect(422);
    let message = problem["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("it has ") && message.contains(", qty, "), "{message}");
    for decimal in
        ["\"1_000\"", "\"1E5\"", "\"+5\"", "\".5\"", "1e2", "0.1234567890123456", "true", "{}"]
    {
        let body = format!(r#"{{"symbol":"AAPL","side":"buy","type":"market","qty":{decimal}}}"#);
        let problem = rest.post_text(&orders, body).await.expect(422);
        assert_eq!(problem["errors"][0]["field"], "qty", "{decimal}");
    }
    let deep = format!(r#"{{"legs":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    rest.post_text(&orders, deep).await.expect(400);
    let large = format!(r#"{{"note":"{}"}}"#, "x".repeat(300 * 1024));
    rest.post_text(&orders, large).await.expect(413);
    rest.post_text(&orders, vec![b'{', 0xff, b'}']).await.expect(400);
    let request = rest.request(Method::POST, &orders).header("content-type", "text/plain");
    rest.send(request.body("{}")).await.expect(415);
    for (header, value) in
        [("content-type", "application/json; charset=utf-16"), ("content-encoding", "gzip")]
    {
        let mut request = rest.request(Method::POST, &orders).header(header, value);
        if header != "content-type" {
            request = request.header("content-type", "application/json");
        }
        rest.send(request.body("{}")).await.expect(415);
    }
    for path in [
        "/v1/accounts/%ff".to_owned(),
        format!("{orders}/%ff"),
        format!("{orders}/by-client-id/%ff"),
        format!("{orders}/by-client-id/%00"),
        format!("/v1/accounts/{account}/positions/%00"),
        "/v1/market/quotes/%ff".to_owned(),
    ] {
        let answer = rest.get(&path).await;
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{path}");
        answer.expect(404);
    }
    for query in ["?limit=0", "?limit=501", "?limit=x", "?status=odd", "?after=noon"] {
        rest.get(&format!("{orders}{query}")).await.expect(422);
    }
    for query in ["?limit=1&limit=2", "?symbol=%zz", "?symbol=%ff", "?surprise=1"] {
        rest.get(&format!("{orders}{query}")).await.expect(400);
    }
    for key in [String::new(), "x".repeat(200)] {
        let path = format!("/v1/accounts/{account}/deposits");
        let request = rest.request(Method::POST, &path).header("idempotency-key", key);
        rest.send(request.json(&json!({"amount": "1"}))).await.expect(400);
    }
    assert_eq!(rest.head(), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_where_none_is_taken_is_refused_and_nothing_happens() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("10000").await;
    let order = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    rest.post(&format!("/v1/accounts/{account}/orders"), order).await.expect(201);
    let head = rest.head();
    let path = format!("/v1/accounts/{account}/positions/AAPL");
    for method in [Method::DELETE, Method::GET] {
        for body in ["{\"qty\":\"1\"}", "x"] {
            let request = rest.request(method.clone(), &path).body(body);
            let request = request.header("content-type", "application/json");
            assert_eq!(
                rest.send(request).await.expect(400)["code"],
                "unreadable",
                "{method} {body}"
            );
        }
    }
    assert_eq!(rest.head(), head);
    let empty = rest.request(Method::DELETE, &format!("{path}?qty=1")).body("");
    assert_eq!(rest.send(empty).await.expect(201)["qty"], "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_field_is_named_at_once() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("1000").await;
    let body = json!({"symbol": "AAPL", "side": "up", "type": "limit", "qty": "x", "stop_price": "5", "extra": 1,
        "time_in_force": "forever", "take_profit": {"limit_price": "1"}});
    let problem = rest.post(&format!("/v1/accounts/{account}/orders"), body).await.expect(422);
    let mut named: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    named.sort_by_key(Value::to_string);
    let expected =
        ["extra", "limit_price", "qty", "side", "stop_price", "take_profit", "time_in_force"];
    assert_eq!(named, expected);
    let body = json!({"kind": "credit", "starting_balance": "-1", "option_level": 9});
    let problem = rest.post("/v1/accounts", body).await.expect(422);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 4, "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_methods_and_paths_say_so() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let answer = rest.send(rest.request(Method::PUT, "/v1/accounts")).await;
    let allowed = answer.headers["allow"].to_str().unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    assert_eq!(answer.expect(405)["code"], "method_not_allowed");
    let answer = send(rest.request(Method::POST, "/readyz")).await;
    assert!(answer.headers.contains_key("allow") && answer.headers.contains_key("x-request-id"));
    answer.expect(405);
    for path in ["/", "/v1", "/v1/nowhere", "/v1/accounts/"] {
        assert_eq!(rest.get(path).await.expect(404)["code"], "not_found", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_malformed_line_of_a_feed_is_named_and_none_is_applied() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let head = rest.head();
    let lines = [
        instrument("MSFT"),
        quote("MSFT", "1", "2", "2024-01-17T15:01:00Z"),
        json!({"t": "nonsense"}),
    ];
    let problem = rest.feed(&lines).await.expect(400);
    assert!(problem["detail"].as_str().unwrap().starts_with("line 3"), "{problem}");
    assert_eq!(rest.head(), head);
    rest.get("/v1/market/quotes/MSFT").await.expect(404);
    let request = rest.request(Method::POST, "/v1/market/feed").json(&lines[0]);
    rest.send(request).await.expect(415);
    let large = vec![b'\n'; 8 * 1024 * 1024 + 1];
    let request = rest.request(Method::POST, "/v1/market/feed");
    let request = request.header("content-type", "application/x-ndjson").body(large);
    rest.send(request).await.expect(413);
}
