//! A server with a market, and clients of it.

use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::support::rest::{OPEN, instrument, quote};
use crate::support::{Scratch, Server, scratch_with_cluster};

/// A server with one account of 10,000 dollars, and AAPL quoted at 100 by 101 in an open market.
pub struct Desk {
    pub server: Server,
    pub http: reqwest::Client,
    _directory: Scratch,
}

/// An option that the market quotes.
pub const CALL: &str = "AAPL240216C00100000";

impl Desk {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// The same with more arguments of `blotter serve`.
    pub async fn start_with(name: &str, arguments: &[&str]) -> Self {
        let desk = Self::without_market(name, arguments).await;
        let yesterday = json!({
            "t": "bar", "symbol": "AAPL", "span": "1d", "at": "2024-01-16T05:00:00Z",
            "open": "98", "high": "103", "low": "97", "close": "100", "volume": "5000",
        });
        let depth = json!({
            "t": "depth", "symbol": "AAPL", "at": OPEN,
            "bids": [["100", "1000"], ["99", "500"]], "asks": [["101", "1000"]],
        });
        let quoted = quote("AAPL", "100", "101", OPEN);
        desk.feed(&[instrument("AAPL"), yesterday, quoted, depth]).await;
        let rate = |kind: &str, value: &str| json!({"t": "rate", "kind": kind, "symbol": null, "value": value, "at": OPEN});
        let bar = json!({
            "t": "bar", "symbol": CALL, "span": "1d", "at": "2024-01-16T05:00:00Z",
            "open": "3.4", "high": "3.7", "low": "3.3", "close": "3.5", "volume": "70",
        });
        let call = json!({"t": "instrument", "symbol": CALL, "kind": "option", "underlying": "AAPL", "style": "american"});
        let quoted = quote(CALL, "3.80", "3.90", OPEN);
        desk.feed(&[call, rate("risk_free", "0.05"), rate("dividend_yield", "0"), bar, quoted])
            .await;
        desk
    }

    /// A server whose market nobody has told anything.
    pub async fn silent(name: &str) -> Self {
        Self::without_market(name, &[]).await
    }

    async fn without_market(name: &str, arguments: &[&str]) -> Self {
        let directory = scratch_with_cluster(name).await;
        let market = ["--market", "feed", "--hours", "nyse"];
        let server = Server::serve_with(directory.path(), &[&market, arguments].concat()).await;
        let desk = Self { server, http: reqwest::Client::new(), _directory: directory };
        let account = json!({"name": "agents", "kind": "cash", "starting_balance": "10000"});
        assert_eq!(desk.post("/v1/accounts").json(&account).send().await.unwrap().status(), 201);
        desk
    }

    /// Posts lines of the market.
    pub async fn feed(&self, lines: &[Value]) {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let request = self.post("/v1/market/feed").header("content-type", "application/x-ndjson");
        assert_eq!(request.body(body).send().await.unwrap().status(), 200);
    }

    /// Quotes AAPL anew, a minute after it opened.
    pub async fn quote(&self, bid: &str, ask: &str) {
        self.feed(&[quote("AAPL", bid, ask, "2024-01-17T15:01:00Z")]).await;
    }

    /// A request of the operator's.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.server.base()));
        request.bearer_auth(self.server.token())
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.request("POST", path).header("accept", "application/json, text/event-stream")
    }

    /// The official client, after its handshake.
    pub async fn client(&self, lifecycle: ClientLifecycleMode) -> Client {
        let uri = format!("{}/mcp", self.server.base());
        let config =
            StreamableHttpClientTransportConfig::with_uri(uri).auth_header(self.server.token());
        let transport = StreamableHttpClientTransport::from_config(config);
        Client(().serve_with_lifecycle(transport, lifecycle).await.unwrap())
    }

    /// A call of the stateless era, which brings all that the server has to know.
    pub fn stateless(&self, name: &str, arguments: &Value) -> reqwest::RequestBuilder {
        self.modern("tools/call", Some(name), json!({"name": name, "arguments": arguments}))
    }

    /// A request of the stateless era; `name` is what a request about one thing names in its headers too.
    pub fn modern(
        &self,
        method: &str,
        name: Option<&str>,
        mut params: Value,
    ) -> reqwest::RequestBuilder {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        params["_meta"] = meta;
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let mut request = self
            .post("/mcp")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        request.json(&call)
    }
}

/// A client of the official crate.
pub struct Client(pub RunningService<RoleClient, ()>);

impl Client {
    pub async fn call(&self, name: &'static str, arguments: Value) -> CallToolResult {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let call = CallToolRequestParams::new(name).with_arguments(arguments);
        self.0.call_tool(call).await.unwrap()
    }

    /// The structured answer of a call that is expected to succeed.
    pub async fn answer(&self, name: &'static str, arguments: Value) -> Value {
        let result = self.call(name, arguments).await;
        assert_ne!(result.is_error, Some(true), "{name}: {result:?}");
        let structured = result.structured_content.unwrap();
        let text: Value = serde_json::from_str(&result.content[0].as_text().unwrap().text).unwrap();
        assert_eq!(text, structured, "clients without structured content read the same");
        structured
    }

    /// The sentence and the block of a call that is expected to be refused.
    pub async fn refusal(&self, name: &'static str, arguments: Value) -> (String, Value) {
        let result = self.call(name, arguments).await;
        assert_eq!(result.is_error, Some(true), "{name}: {result:?}");
        assert_eq!(result.structured_content, None);
        let [sentence, block] = result.content.as_slice() else { panic!("{result:?}") };
        let block = serde_json::from_str(&block.as_text().unwrap().text).unwrap();
        (sentence.as_text().unwrap().text.clone(), block)
    }
}

/// The lifecycle of revisions before 2026-07-28.
pub fn handshake() -> ClientLifecycleMode {
    ClientLifecycleMode::Initialize
}

/// The lifecycle of 2026-07-28.
pub fn discovery() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}
