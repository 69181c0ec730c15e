//! A server that is sent bad input, and what has to be true after each.

use std::time::{Duration, Instant};

use blotter::service::text::is_hidden;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::table::Names;
use crate::mcp::desk;
use crate::support::rest::{Answer, OPEN, quote, send};

/// What half of the answers have to be faster than.
const FAST: Duration = Duration::from_millis(100);
/// How long a connection may stay open.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters in a row that no answer may have from what was sent.
const ECHO: usize = 65;

/// What is sent, and how a failure names it.
pub struct Sent {
    shown: String,
    path: String,
    body: Vec<u8>,
}

impl Sent {
    pub fn new(name: &str, value: &str, body: Vec<u8>) -> Self {
        let value: String = value.chars().take(200).collect();
        Self { shown: format!("{name}: {value}"), path: String::new(), body }
    }

    /// The path that it is sent to, where that is what is bad.
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }
}

/// A server with an account that has an open order and one that has filled.
pub struct Desk {
    inner: desk::Desk,
    pub names: Names,
    before: Value,
    took: Vec<Duration>,
    faults: Vec<String>,
}

impl Desk {
    pub async fn start(name: &str) -> Self {
        let inner = desk::Desk::start(name).await;
        let base = inner.server.base().to_owned();
        let client = inner.http.clone();
        let token = inner.server.token().to_owned();
        let accounts = send(client.get(format!("{base}/v1/accounts")).bearer_auth(&token)).await;
        let account = accounts.json()["items"][0]["account_id"].as_str().unwrap().to_owned();
        let mut ids = Vec::new();
        for order in [
            json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"}),
            json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "2", "limit_price": "50"}),
        ] {
            let request = inner.post(&format!("/v1/accounts/{account}/orders")).json(&order);
            let order = send(request).await.expect(201);
            ids.push(order["order_id"].as_str().unwrap().to_owned());
        }
        inner.feed(&[quote("AAPL", "100", "101", OPEN)]).await;
        let names = Names::from([
            ("account", account),
            ("filled", ids.remove(0)),
            ("nobody", Uuid::now_v7().to_string()),
            ("token", token),
        ]);
        let mut desk =
            Self { inner, names, before: Value::Null, took: Vec::new(), faults: Vec::new() };
        desk.before = desk.account().await;
        assert_eq!(desk.before["reserved"], "100.00");
        desk
    }

    /// The account: its money, what is reserved, and where the log ends.
    async fn account(&self) -> Value {
        let path = format!("/v1/accounts/{}", self.names["account"]);
        send(self.request("GET", &path)).await.expect(200)
    }

    /// A request without a token.
    pub fn nobody(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.inner.http.request(method, format!("{}{path}", self.inner.server.base()))
    }

    /// A request of the operator's.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.nobody(method, path).bearer_auth(self.inner.server.token())
    }

    /// A request to the MCP face without the headers of a revision.
    pub fn legacy(&self) -> RequestBuilder {
        self.request("POST", "/mcp").header("accept", "application/json, text/event-stream")
    }

    /// The headers of a request of the stateless revision.
    pub fn modern(&self, method: &str, name: Option<&str>) -> RequestBuilder {
        let request = self
            .legacy()
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        name.into_iter().fold(request, |request, name| request.header("mcp-name", name))
    }

    /// The body of a call with these arguments, as they are.
    pub fn call(&self, tool: &str, arguments: &[u8]) -> Vec<u8> {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let head = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"_meta":{meta},"name":"{tool}","arguments":"#
        );
        [head.as_bytes(), arguments, b"}}"].concat()
    }

    /// Sends bad input and sees that it is answered as expected, has left nothing, and is handed back to nobody.
    pub async fn expect(&mut self, sent: &Sent, request: RequestBuilder, expected: &Expected<'_>) {
        let began = Instant::now();
        let answer = send(request.body(sent.body.clone())).await;
        self.took.push(began.elapsed());
        let verdict = expected.fault(&answer).or_else(|| handed_back(sent, &answer.text));
        self.judge(sent, verdict, &answer.text).await;
    }

    /// Sends bytes on a connection of their own, and sees the status of the answer.
    pub async fn expect_on_the_wire(&mut self, sent: &Sent, status: u16) {
        let address = self.inner.server.base().trim_start_matches("http://").to_owned();
        let began = Instant::now();
        let mut connection = TcpStream::connect(address).await.unwrap();
        // The server may answer, and close, before it has read all of a head that is too long.
        let written = connection.write_all(&sent.body).await;
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
        self.took.push(began.elapsed());
        let answer = String::from_utf8_lossy(&answer);
        let answered = answer.starts_with(&format!("HTTP/1.1 {status} "));
        let verdict = (!answered).then(|| format!("not {status} ({written:?}, {read:?})"));
        self.judge(sent, verdict, &answer).await;
    }

    async fn judge(&mut self, sent: &Sent, verdict: Option<String>, answer: &str) {
        if let Some(fault) = verdict {
            let answer: String = answer.chars().take(400).collect();
            self.faults.push(format!("{}\n    {fault}: {answer:?}", sent.shown));
        }
        assert_eq!(self.account().await, self.before, "{} has left something", sent.shown);
    }

    /// Sees at the end that all was answered as expected, that the server was fast all along, and that it can show
    /// that nothing has happened.
    pub async fn close(mut self) {
        let all = self.took.len();
        assert!(
            self.faults.is_empty(),
            "{} of {all}:\n{}",
            self.faults.len(),
            self.faults.join("\n")
        );
        self.took.sort();
        let median = self.took[all / 2];
        assert!(median < FAST, "half of {all} answers took longer than {median:?}");
        let verdict = send(self.request("GET", "/v1/audit/verify")).await.expect(200);
        assert_eq!(verdict["valid"], true, "{verdict}");
    }
}

/// How bad input is to be answered.
pub enum Expected<'a> {
    /// With a problem document that has this status and code and names the field.
    Problem(u16, &'a str, Option<&'a str>),
    /// With an error of a tool that has this code and names the argument.
    Refusal(&'a str, Option<&'a str>),
    /// With this status and error of JSON-RPC, if the status alone does not say it.
    Rpc(u16, Option<i64>),
}

impl Expected<'_> {
    /// What is not as expected.
    fn fault(&self, answer: &Answer) -> Option<String> {
        let wanted = match self {
            Self::Problem(status, ..) | Self::Rpc(status, _) => *status,
            Self::Refusal(..) => 200,
        };
        let status = answer.status.as_u16();
        if status != wanted {
            return Some(format!("{status}, not {wanted}"));
        }
        match self {
            Self::Problem(_, code, field) => {
                if answer.headers["content-type"] != "application/problem+json" {
                    return Some("no problem document".to_owned());
                }
                let problem = answer.json();
                let whole = problem["status"] == status && problem["detail"].is_string();
                if whole {
                    unsaid(&problem, code, *field)
                } else {
                    Some("half a problem".to_owned())
                }
            }
            Self::Refusal(code, field) => {
                let result = &answer.json()["result"];
                let block = result["content"][1]["text"].as_str();
                let block = block.and_then(|text| serde_json::from_str(text).ok());
                match block {
                    Some(block) if result["isError"] == true => unsaid(&block, code, *field),
                    _ => Some("no error of a tool".to_owned()),
                }
            }
            Self::Rpc(_, None) => None,
            Self::Rpc(_, Some(code)) => {
                (answer.json()["error"]["code"] != *code).then(|| format!("not {code}"))
            }
        }
    }
}

/// What of `code` and `field` a refusal does not say.
fn unsaid(refusal: &Value, code: &str, field: Option<&str>) -> Option<String> {
    let errors = refusal["errors"].as_array().cloned().unwrap_or_default();
    let mut named: Vec<_> = errors.iter().map(|error| error["field"].clone()).collect();
    named.extend(refusal.get("field").cloned());
    match field {
        _ if refusal["code"] != code => Some(format!("not {code}")),
        Some(field) if !named.contains(&json!(field)) => Some(format!("{field} is not named")),
        _ => None,
    }
}

/// What an answer repeats of what was sent, or has of characters that hide or reorder text.
fn handed_back(sent: &Sent, answer: &str) -> Option<String> {
    if answer.contains(is_hidden) {
        return Some("characters that hide".to_owned());
    }
    let pieces = sent.body.chunks_exact(ECHO).chain(sent.path.as_bytes().chunks_exact(ECHO));
    let mut pieces = pieces.filter_map(|piece| str::from_utf8(piece).ok());
    pieces.find(|piece| answer.contains(piece)).map(|piece| format!("hands back {piece:?}"))
}
