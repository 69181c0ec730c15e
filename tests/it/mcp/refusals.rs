//! What is refused: orders, requests that are no proper ones, strangers.

use reqwest::{Response, StatusCode};
use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};

use super::desk::{Desk, handshake};

#[tokio::test]
async fn a_refusal_is_a_sentence_and_a_block_that_names_what_to_change() {
    let desk = Desk::start("mcp-refusals").await;
    let client = desk.client(handshake()).await;

    let much = json!({"symbol": "AAPL", "quantity": "1000", "limit_price": "100"});
    let (sentence, block) = client.refusal("buy_stock_limit", much).await;
    assert!(sentence.contains("100000.00") && sentence.contains("10000.00"), "{sentence}");
    assert_eq!(block["code"], "insufficient_buying_power");
    assert_eq!(block["figures"]["available"], "10000.00");
    let rejected = json!({"order_id": block["order_id"]});
    let history = client.answer("order_history", rejected).await;
    assert_eq!(history["items"][0]["event_type"], "OrderRejected");

    let (_, block) = client
        .refusal("buy_stock_limit", json!({"symbol": "AAPL", "quantity": "ten", "limit_pric": "1"}))
        .await;
    let fields: Vec<_> = block["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
    assert_eq!(fields, ["quantity", "limit_price", "limit_pric"]);
    let unknown = block["errors"][2]["message"].as_str().unwrap();
    assert!(unknown.contains("the tool takes ") && unknown.contains(", limit_price,"), "{unknown}");

    let unknown = json!({"order_id": "01890a5d-ac96-774b-bcce-b302099a8057"});
    let (_, block) = client.refusal("cancel_stock_order_by_id", unknown).await;
    assert_eq!(block["code"], "order_not_found");

    let bought =
        client.answer("buy_stock_market", json!({"symbol": "AAPL", "quantity": "1"})).await;
    let filled = json!({"order_id": bought["order_id"]});
    let (_, block) = client.refusal("cancel_stock_order_by_id", filled).await;
    assert_eq!(block["code"], "order_not_open");

    let call = CallToolRequestParams::new("buy_the_moon");
    assert!(client.0.call_tool(call).await.is_err(), "an unknown tool is an error of the protocol");
}

#[tokio::test]
async fn what_is_wrong_with_the_headers_of_a_request_is_said_in_the_protocol() {
    let desk = Desk::start("mcp-headers").await;
    for accept in ["application/json", "text/html"] {
        let request = desk.request("POST", "/mcp").header("accept", accept);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert!(answer.headers().contains_key("x-request-id"));
        let told: Value = answer.json().await.unwrap();
        assert_eq!((&told["jsonrpc"], &told["error"]["code"]), (&json!("2.0"), &json!(-32600)));
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("application/json and text/event-stream"), "{message}");
    }
    let empty = desk.post("/mcp").header("content-type", "application/json").send().await.unwrap();
    assert_eq!(empty.status(), StatusCode::BAD_REQUEST);
    let told: Value = empty.json().await.unwrap();
    assert_eq!(told["error"]["message"], "the request is empty: send one JSON-RPC 2.0 request");
}

#[tokio::test]
async fn all_orders_are_canceled_once_under_a_key_and_those_placed_since_stay() {
    let desk = Desk::start("mcp-cancel-all").await;
    let client = desk.client(handshake()).await;
    let place = |limit: &str| json!({"symbol": "AAPL", "quantity": "1", "limit_price": limit});
    let first = client.answer("buy_stock_limit", place("90")).await;
    let key = json!({"idempotency_key": "end-of-day"});
    let mut ended = client.answer("cancel_all_stock_orders_tool", key.clone()).await;
    assert_eq!(ended["items"].as_array().unwrap().len(), 1);
    assert_eq!(ended["items"][0]["order_id"], first["order_id"]);
    let second = client.answer("buy_stock_limit", place("91")).await;
    let again = client.answer("cancel_all_stock_orders_tool", key).await;
    assert_eq!((&ended["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    ended["replayed"] = json!(true);
    assert_eq!(again, ended);
    let open = client.answer("open_stock_orders", json!({})).await;
    assert_eq!(open["items"].as_array().unwrap().len(), 1);
    assert_eq!(open["items"][0]["order_id"], second["order_id"]);
}

#[tokio::test]
async fn a_call_sent_again_under_its_client_order_id_is_the_same_order() {
    let desk = Desk::start("mcp-again").await;
    let client = desk.client(handshake()).await;
    let call = json!({"symbol": "AAPL", "quantity": "1", "client_order_id": "once"});
    let first = client.answer("buy_stock_market", call.clone()).await;
    let again = client.answer("buy_stock_market", call).await;
    assert_eq!(first["order_id"], again["order_id"]);
    assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    let other = json!({"symbol": "AAPL", "quantity": "2", "client_order_id": "once"});
    client.refusal("buy_stock_market", other).await;
    assert_eq!(client.answer("account_info", json!({})).await["cash"], "9899.00");
}

async fn status(request: reqwest::RequestBuilder) -> StatusCode {
    request.send().await.as_ref().map(Response::status).unwrap()
}

#[tokio::test]
async fn whoever_is_not_meant_gets_nothing() {
    let desk = Desk::start("mcp-strangers").await;
    let call = || desk.stateless("health_check", &json!({}));
    assert_eq!(status(call()).await, 200);
    assert_eq!(status(call().header("origin", "http://localhost:3000")).await, 200);
    assert_eq!(status(call().header("origin", "https://evil.example")).await, 403);
    assert_eq!(status(call().header("origin", "null")).await, 403);
    assert_eq!(status(call().header("host", "evil.example")).await, 403);
    for token in ["", "Bearer", "Bearer no"] {
        let mut request = call().build().unwrap();
        request.headers_mut().insert("authorization", token.parse().unwrap());
        assert_eq!(desk.http.execute(request).await.unwrap().status(), 401, "{token:?}");
    }
    let mut bare = call().build().unwrap();
    bare.headers_mut().remove("authorization");
    let answer = desk.http.execute(bare).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_call_whose_headers_and_body_differ_is_refused() {
    let desk = Desk::start("mcp-headers").await;
    let good = desk.stateless("account_info", &json!({})).send().await.unwrap();
    assert_eq!(good.status(), 200);
    let good: Value = good.json().await.unwrap();
    assert_eq!(good["result"]["structuredContent"]["cash"], "10000.00");
    assert_eq!(good["result"]["resultType"], "complete");
    let mut other = desk.stateless("account_info", &json!({})).build().unwrap();
    other.headers_mut().insert("mcp-name", "positions".parse().unwrap());
    assert_eq!(desk.http.execute(other).await.unwrap().status(), 400);
    let mut unknown = desk.stateless("account_info", &json!({})).build().unwrap();
    unknown.headers_mut().insert("mcp-protocol-version", "1999-01-01".parse().unwrap());
    assert_eq!(desk.http.execute(unknown).await.unwrap().status(), 400);
}
