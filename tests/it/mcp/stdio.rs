//! `blotter mcp` as a host runs it: lines in, lines out.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::Desk;
use crate::support::{blotter, scratch_with_cluster, tls};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `blotter mcp`.
pub(super) struct Pipe {
    child: Child,
    pub(super) input: Option<ChildStdin>,
    output: Receiver<String>,
    /// Answers that came before they were asked about.
    early: BTreeMap<u64, Value>,
    last: u64,
}

impl Pipe {
    fn open(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may have ended; the pipe must be drained all the same.
                let _ = sender.send(line);
            }
        });
        let input = child.stdin.take();
        Self { child, input, output, early: BTreeMap::new(), last: 0 }
    }

    /// A thin client of the desk's server.
    pub(super) fn to(desk: &Desk) -> Self {
        let mut command = blotter(&["mcp", "--server", desk.server.base()]);
        Self::open(command.env("BLOTTER_TOKEN", desk.server.token()))
    }

    pub(super) fn send(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line: JSON-RPC, or the test fails.
    pub(super) fn next(&mut self) -> Value {
        let line = self.output.recv_timeout(PATIENCE).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    pub(super) fn ask(&mut self, method: &str, params: &Value) -> u64 {
        self.last += 1;
        let id = self.last;
        self.send(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        id
    }

    pub(super) fn answer(&mut self, id: u64) -> Value {
        loop {
            if let Some(answer) = self.early.remove(&id) {
                return answer;
            }
            let message = self.next();
            self.early.insert(message["id"].as_u64().unwrap(), message);
        }
    }

    pub(super) fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.ask(method, params);
        self.answer(id)
    }

    pub(super) fn handshake(&mut self) -> Value {
        let client = json!({"name": "test", "version": "1"});
        let version = "2025-11-25";
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
        let answer = self.request("initialize", &params);
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        answer
    }

    /// The structured answer of a tool.
    pub(super) fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        let answer = self.request("tools/call", &json!({"name": name, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        answer["result"]["structuredContent"].clone()
    }

    /// Closes the input and gives the exit code when it has ended.
    pub(super) fn end(&mut self) -> Option<i32> {
        self.input = None;
        self.child.wait().unwrap().code()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_client_relays_both_eras_and_tells_what_the_server_says() {
    let desk = Desk::start("stdio-thin").await;
    let mut pipe = Pipe::to(&desk);
    let hello = pipe.handshake();
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(hello["result"]["serverInfo"]["name"], "blotter");
    let bought = pipe.tool("buy_stock_market", &json!({"symbol": "AAPL", "quantity": "1"}));
    assert_eq!(bought["filled_avg_price"], "101.00");
    let modern_call = modern(json!({"name": "account_info", "arguments": {}}));
    let account = pipe.request("tools/call", &modern_call);
    assert_eq!(account["result"]["structuredContent"]["cash"], "9899.00");
    assert_eq!(account["result"]["resultType"], "complete");

    let refused = pipe.request("tools/call", &json!({"name": "buy_stock_market", "arguments": {}}));
    assert_eq!(refused["result"]["isError"], true);
    let unknown = pipe.request("tools/dance", &json!({}));
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    pipe.send("{");
    let unreadable = pipe.next();
    assert_eq!((&unreadable["id"], &unreadable["error"]["code"]), (&Value::Null, &json!(-32700)));
    pipe.send(r#"{"jsonrpc":"2.0","id":9,"id":9,"method":"tools/list"}"#);
    assert_eq!(pipe.next()["error"]["code"], -32700, "the server judges a line as it is");
    assert_eq!(pipe.end(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_beside_each_other_and_are_answered_when_the_input_has_ended() {
    let desk = Desk::start("stdio-beside").await;
    let mut pipe = Pipe::to(&desk);
    pipe.handshake();
    let order = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99"});
    let order = pipe.tool("buy_stock_limit", &order)["order_id"].clone();
    let wait =
        json!({"name": "wait_for_order", "arguments": {"order_id": order, "timeout_seconds": 2}});
    let long = pipe.ask("tools/call", &wait);
    let short = pipe.ask("tools/list", &json!({}));
    assert_eq!(pipe.next()["id"], short, "a wait holds nobody up");
    let canceled = pipe.ask("tools/call", &wait);
    let reason = json!({"requestId": canceled, "reason": "enough"});
    pipe.send(
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": reason})
            .to_string(),
    );
    pipe.input = None;
    let waited = pipe.answer(long);
    assert_eq!(waited["result"]["structuredContent"]["reached"], false);
    assert_eq!(pipe.end(), Some(0));
    assert!(pipe.output.recv().is_err(), "a cancelled call is not answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_work_in_both_eras_over_stdio() {
    let desk = Desk::start("stdio-subscribe").await;
    let mut pipe = Pipe::to(&desk);
    let hello = pipe.handshake();
    assert_eq!(hello["result"]["capabilities"]["resources"]["subscribe"], true);
    let account = pipe.tool("account_info", &json!({}))["account_id"].clone();
    let uri = format!("blotter://accounts/{}/orders/open", account.as_str().unwrap());
    assert_eq!(pipe.request("resources/subscribe", &json!({"uri": uri}))["result"], json!({}));
    let nothing = pipe.request("resources/subscribe", &json!({"uri": "blotter://nothing"}));
    assert_eq!(nothing["error"]["code"], -32002, "{nothing}");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let order = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99"});
    pipe.ask("tools/call", &json!({"name": "buy_stock_limit", "arguments": order}));
    let mut told = [pipe.next(), pipe.next()];
    told.sort_by_key(|message| message["method"].is_null());
    assert_eq!(told[0]["method"], "notifications/resources/updated");
    assert_eq!(told[0]["params"], json!({"uri": uri}));
    assert_eq!(pipe.request("resources/unsubscribe", &json!({"uri": uri}))["result"], json!({}));

    let listen = modern(json!({"notifications": {"resourceSubscriptions": [uri]}}));
    let listening = pipe.ask("subscriptions/listen", &listen);
    let told = pipe.next();
    assert_eq!(told["method"], "notifications/subscriptions/acknowledged");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let all =
        pipe.ask("tools/call", &json!({"name": "cancel_all_stock_orders_tool", "arguments": {}}));
    let told = [pipe.next(), pipe.next()];
    assert!(told.iter().any(|message| message["id"] == all), "{told:?}");
    let updated =
        told.iter().find(|message| message["method"] == "notifications/resources/updated");
    let meta = &updated.unwrap()["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], listening);
    assert_eq!(pipe.end(), Some(0), "an open subscription does not keep it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_client_says_what_is_wrong_between_it_and_the_server() {
    let desk = Desk::start("stdio-wrong").await;
    let base = desk.server.base();
    let mut command = blotter(&["mcp", "--server", base]);
    let mut pipe = Pipe::open(command.env("BLOTTER_TOKEN", "nobody's"));
    let answer = pipe.request("tools/list", &json!({}));
    assert!(answer["error"]["message"].as_str().unwrap().contains("BLOTTER_TOKEN"), "{answer}");
    let mut command = blotter(&["mcp", "--server", "http://127.0.0.1:9"]);
    let mut pipe = Pipe::open(command.env("BLOTTER_OPERATOR_TOKEN", "t"));
    let answer = pipe.request("tools/list", &json!({}));
    assert!(answer["error"]["message"].as_str().unwrap().contains("blotter serve"), "{answer}");
    let mut pipe = Pipe::open(&mut blotter(&["mcp", "--server", base]));
    assert_eq!(pipe.end(), Some(2), "without a token there is nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_client_speaks_tls_with_a_server_whose_certificate_the_system_trusts_and_with_no_other()
 {
    let desk = Desk::start("stdio-tls").await;
    let port = tls::front(desk.server.base().strip_prefix("http://").unwrap()).await;
    let open = |host: &str, trusted: &str| {
        let address = format!("https://{host}:{port}");
        let mut command = blotter(&["mcp", "--server", &address]);
        command.env("SSL_CERT_FILE", tls::certificate(trusted)).env_remove("SSL_CERT_DIR");
        Pipe::open(command.env("BLOTTER_TOKEN", desk.server.token()))
    };
    let mut pipe = open("localhost", "authority.pem");
    assert_eq!(pipe.handshake()["result"]["serverInfo"]["name"], "blotter");
    assert_eq!(pipe.tool("account_info", &json!({}))["cash"], "10000.00");
    assert_eq!(pipe.end(), Some(0));
    // Signed by an authority that is not trusted; made out to another host.
    for (host, trusted, why) in [
        ("localhost", "stranger.pem", "UnknownIssuer"),
        ("127.0.0.1", "authority.pem", "localhost"),
    ] {
        let mut pipe = open(host, trusted);
        let answer = pipe.request("tools/list", &json!({}));
        let told = answer["error"]["message"].as_str().unwrap();
        assert!(told.contains("does not trust") && told.contains(why), "{told}");
        assert!(told.contains("SSL_CERT_FILE") && told.contains(host), "{told}");
        assert!(!told.contains("blotter serve"), "it runs: {told}");
    }
    let mut pipe = open("localhost", "no.such.pem");
    assert_eq!(pipe.end(), Some(1), "nobody can be trusted without certificates");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_client_narrows_what_it_offers() {
    let desk = Desk::start("stdio-narrow").await;
    let mut command = blotter(&["mcp", "--server", desk.server.base(), "--read-only"]);
    command.args(["--toolsets", "stock_orders,account"]);
    let mut pipe = Pipe::open(command.env("BLOTTER_TOKEN", desk.server.token()));
    pipe.handshake();
    let tools = pipe.request("tools/list", &json!({}));
    let tools = tools["result"]["tools"].as_array().unwrap();
    assert!(!tools.is_empty());
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_inside_needs_nothing_else_and_leaves_with_its_input() {
    let directory = scratch_with_cluster("stdio-standalone").await;
    let mut command = blotter(&["mcp", "--standalone", "--market", "feed", "--data-dir"]);
    let mut pipe = Pipe::open(command.arg(directory.path()));
    let hello = pipe.handshake();
    assert_eq!(hello["result"]["serverInfo"]["name"], "blotter");
    assert_eq!(pipe.tool("health_check", &json!({}))["writer"], true);
    // There is something to trade with: no tool opens an account.
    let account = pipe.tool("account_info", &json!({}));
    assert_eq!(account["cash"], "100000.00");
    // A cash account has no higher level: it buys options, and sells covered and secured ones.
    assert_eq!(account["option_level"], 2);
    assert_eq!(pipe.end(), Some(0));
    assert!(!directory.path().join("pg/postmaster.pid").exists(), "its Postgres left too");
}
