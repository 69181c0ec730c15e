//! MCP over the real binary, as clients speak it: the official client in both eras of the protocol, and raw requests
//! for what it would never send.

use reqwest::{Response, StatusCode};
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::support::rest::{OPEN, instrument, quote};
use crate::support::{Scratch, Server, scratch_with_cluster};

/// A server with one account of 10,000 dollars, and AAPL quoted at 100 by 101 in an open market.
struct Desk {
    server: Server,
    http: reqwest::Client,
    _directory: Scratch,
}

impl Desk {
    async fn start(name: &str) -> Self {
        let directory = scratch_with_cluster(name).await;
        let server = Server::serve(directory.path()).await;
        let desk = Self { server, http: reqwest::Client::new(), _directory: directory };
        let account = json!({"name": "agents", "kind": "cash", "starting_balance": "10000"});
        assert_eq!(desk.post("/v1/accounts").json(&account).send().await.unwrap().status(), 201);
        let lines = format!("{}\n{}\n", instrument("AAPL"), quote("AAPL", "100", "101", OPEN));
        let feed =
            desk.post("/v1/market/feed").header("content-type", "application/x-ndjson").body(lines);
        assert_eq!(feed.send().await.unwrap().status(), 200);
        desk
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}{path}", self.server.base()))
            .bearer_auth(self.server.token())
            .header("accept", "application/json, text/event-stream")
    }

    /// The official client, after its handshake.
    async fn client(&self, lifecycle: ClientLifecycleMode) -> Client {
        let uri = format!("{}/mcp", self.server.base());
        let config =
            StreamableHttpClientTransportConfig::with_uri(uri).auth_header(self.server.token());
        let transport = StreamableHttpClientTransport::from_config(config);
        Client(().serve_with_lifecycle(transport, lifecycle).await.unwrap())
    }

    /// A call of the stateless era, which brings all that the server has to know.
    fn stateless(&self, name: &str, arguments: &Value) -> reqwest::RequestBuilder {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": name, "arguments": arguments, "_meta": meta});
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
        self.post("/mcp")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", name)
            .json(&call)
    }
}

struct Client(RunningService<RoleClient, ()>);

impl Client {
    async fn call(&self, name: &'static str, arguments: Value) -> CallToolResult {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let call = CallToolRequestParams::new(name).with_arguments(arguments);
        self.0.call_tool(call).await.unwrap()
    }

    /// The structured answer of a call that is expected to succeed.
    async fn answer(&self, name: &'static str, arguments: Value) -> Value {
        let result = self.call(name, arguments).await;
        assert_ne!(result.is_error, Some(true), "{name}: {result:?}");
        let structured = result.structured_content.unwrap();
        let text: Value = serde_json::from_str(&result.content[0].as_text().unwrap().text).unwrap();
        assert_eq!(text, structured, "clients without structured content read the same");
        structured
    }

    /// The sentence and the block of a call that is expected to be refused.
    async fn refusal(&self, name: &'static str, arguments: Value) -> (String, Value) {
        let result = self.call(name, arguments).await;
        assert_eq!(result.is_error, Some(true), "{name}: {result:?}");
        assert_eq!(result.structured_content, None);
        let [sentence, block] = result.content.as_slice() else { panic!("{result:?}") };
        let block = serde_json::from_str(&block.as_text().unwrap().text).unwrap();
        (sentence.as_text().unwrap().text.clone(), block)
    }
}

fn handshake() -> ClientLifecycleMode {
    ClientLifecycleMode::Initialize
}

/// What the part of JSON schema that our tools use says against a value.
fn misfit(schema: &Value, value: &Value) -> Option<String> {
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        other => return Some(format!("no rule for {other:?}")),
    };
    if !fits {
        return Some(format!("{value} is not {schema}"));
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.map(|name| name.as_str().unwrap()) {
        if value.get(name).is_none() {
            return Some(format!("{name} is missing in {value}"));
        }
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    let of_fields = properties
        .filter_map(|(name, schema)| value.get(name).and_then(|field| misfit(schema, field)));
    let items = value.as_array().into_iter().flatten();
    let of_items = items
        .filter_map(|item| schema.get("items").and_then(|schema| misfit(schema, item)))
        .collect::<Vec<_>>();
    of_fields.chain(of_items).next()
}

/// A day of an agent: every tool once, what it answers held against the schema that the list gives.
async fn work(client: &Client) {
    let tools = client.0.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 11);
    let schema = |name: &str| {
        let tool = tools.iter().find(|tool| tool.name == name).unwrap();
        Value::Object((**tool.output_schema.as_ref().unwrap()).clone())
    };
    let hints = |name: &str| {
        let tool = tools.iter().find(|tool| tool.name == name).unwrap();
        let hints = tool.annotations.as_ref().unwrap();
        [hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint]
            .map(Option::unwrap)
    };
    assert_eq!(hints("positions"), [true, false, true, false]);
    assert_eq!(hints("buy_stock_limit"), [false, false, false, false]);
    assert_eq!(hints("cancel_stock_order_by_id"), [false, true, true, false]);

    let mut answers = Vec::new();
    let mut call = async |name, arguments| {
        let answer = client.answer(name, arguments).await;
        answers.push((name, answer.clone()));
        answer
    };
    assert_eq!(call("health_check", json!({})).await["ready"], true);
    let bought = call("buy_stock_market", json!({"symbol": "AAPL", "quantity": "10"})).await;
    assert_eq!(
        (&bought["status"], &bought["filled_avg_price"]),
        (&json!("filled"), &json!("101.00"))
    );
    let below = json!({"symbol": "AAPL", "quantity": 5, "limit_price": 99.5, "time_in_force": "gtc", "note": "low"});
    let resting = call("buy_stock_limit", below).await;
    assert_eq!((&resting["status"], &resting["note"]), (&json!("accepted"), &json!("low")));
    let above = json!({"symbol": "AAPL", "quantity": "2", "limit_price": "120"});
    assert_eq!(call("sell_stock_limit", above).await["status"], "accepted");
    let sold = call("sell_stock_market", json!({"symbol": "AAPL", "quantity": "3"})).await;
    assert_eq!(sold["filled_avg_price"], "100.00");
    let open = call("stock_orders", json!({"status": "open"})).await;
    assert_eq!(open["items"].as_array().unwrap().len(), 2);
    let canceled = call("cancel_stock_order_by_id", json!({"order_id": resting["order_id"]})).await;
    assert_eq!(canceled["status"], "canceled");
    let history = call("order_history", json!({"order_id": resting["order_id"]})).await;
    let events: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|event| &event["event_type"]).collect();
    assert_eq!(events, ["OrderPlaced", "OrderCanceled"]);
    let positions = call("positions", json!({})).await;
    assert_eq!(positions["items"][0]["qty"], "7");
    assert_eq!(positions["items"][0]["qty_available"], "5");
    // 10,000 - 10 x 101 + 3 x 100
    assert_eq!(call("account_info", json!({})).await["cash"], "9290.00");
    assert_eq!(call("verify_audit", json!({})).await["valid"], true);

    assert_eq!(answers.len(), tools.len(), "each tool was called");
    for (name, answer) in answers {
        assert_eq!(misfit(&schema(name), &answer), None, "{name}");
    }
}

#[tokio::test]
async fn the_official_client_does_all_that_an_agent_needs_after_a_handshake() {
    let desk = Desk::start("mcp-handshake").await;
    work(&desk.client(handshake()).await).await;
}

#[tokio::test]
async fn the_official_client_does_all_that_an_agent_needs_without_a_handshake() {
    let desk = Desk::start("mcp-discover").await;
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    work(&desk.client(ClientLifecycleMode::Discover { preferred_versions }).await).await;
}

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
    assert_eq!(fields, ["limit_price", "quantity", "limit_pric"]);

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
