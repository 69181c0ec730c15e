//! Clients that place orders and write down each intent with what they were told, and the comparison of all that
//! with what a server knows afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, says_that_it_is_unknown, says_that_nothing_happened};
use crate::support::Server;
use crate::support::rest::{Answer, OPEN, TOKEN, instrument, quote};

/// What a client was told about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is there, under this id.
    Acked(String),
    /// Nothing happened.
    Refused,
    /// Nothing, or that the outcome is unknown.
    Unknown,
}

/// What was told about each order, by its client's id.
pub type Record = BTreeMap<String, Vec<Told>>;

/// An account that orders are placed in. Copies are of the same account.
#[derive(Clone)]
pub struct Workload {
    client: Client,
    account: String,
}

/// Clients at work.
pub struct Load {
    clients: JoinSet<Vec<(String, Told)>>,
    stop: CancellationToken,
}

impl Workload {
    /// Lists a stock, quotes it at 100 by 101, and opens an account that can afford everything.
    pub async fn begin(server: &Server) -> Self {
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        let workload = Self { client, account: String::new() };
        workload.quote(server).await;
        let body = json!({"name": "load", "kind": "cash", "starting_balance": "90000000"});
        let opened = workload.post(server.base(), "/v1/accounts", &body).await.unwrap();
        let account = opened.expect(201)["account_id"].as_str().unwrap().to_owned();
        Self { account, ..workload }
    }

    /// Lists the stock, once more or for the first time, and quotes it.
    pub async fn quote(&self, server: &Server) {
        let lines = [instrument("AAPL"), quote("AAPL", "100", "101", OPEN)];
        self.feed(server.base(), &lines).await.unwrap().expect(200);
    }

    /// The same with another account.
    pub async fn another(&self, base: &str) -> Self {
        let body = json!({"name": "another", "kind": "cash", "starting_balance": "1000"});
        let opened = self.post(base, "/v1/accounts", &body).await.unwrap();
        let account = opened.expect(201)["account_id"].as_str().unwrap().to_owned();
        Self { account, ..self.clone() }
    }

    /// The answer to a change of something of the account.
    pub async fn patch(&self, base: &str, path: &str, body: &Value) -> reqwest::Result<Answer> {
        let path = format!("/v1/accounts/{}{path}", self.account);
        send(self.request(Method::PATCH, base, &path).json(body)).await
    }

    /// Starts `clients` clients of the server at `base`, who name their orders after `name`: two loads of one name
    /// place the same orders.
    pub fn start(&self, base: &str, name: &str, clients: usize) -> Load {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for number in 0..clients {
            let (workload, stop) = (self.clone(), stop.clone());
            let (base, name) = (base.to_owned(), format!("{name}-{number}"));
            tasks.spawn(async move {
                let mut told = Vec::new();
                while !stop.is_cancelled() {
                    let id = format!("{name}-{}", told.len());
                    let answer = workload.place(&base, &id).await;
                    if !matches!(answer, Told::Acked(_)) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    told.push((id, answer));
                }
                told
            });
        }
        Load { clients: tasks, stop }
    }

    /// Places the order of this name: the same one, however often it is called.
    pub async fn place(&self, base: &str, id: &str) -> Told {
        let answer = match self.place_once(base, id).await {
            Ok(answer) => answer,
            // Never connected, never sent.
            Err(error) if error.is_connect() => return Told::Refused,
            Err(_) => return Told::Unknown,
        };
        match answer.status.as_u16() {
            200 | 201 => Told::Acked(answer.json()["order_id"].as_str().unwrap().to_owned()),
            _ if says_that_it_is_unknown(&answer) => Told::Unknown,
            _ if says_that_nothing_happened(&answer) => Told::Refused,
            _ => panic!("{id}: {answer:?}"),
        }
    }

    /// The answer to the order of this name. Every other one fills on arrival.
    pub async fn place_once(&self, base: &str, id: &str) -> reqwest::Result<Answer> {
        let limit = if id.ends_with(['1', '3', '5', '7', '9']) { "101" } else { "50" };
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1",
            "limit_price": limit, "time_in_force": "gtc", "client_order_id": id});
        self.order(base, &body).await
    }

    /// The answer to an order of any kind.
    pub async fn order(&self, base: &str, body: &Value) -> reqwest::Result<Answer> {
        self.post(base, &format!("/v1/accounts/{}/orders", self.account), body).await
    }

    /// The answer to a call of the tool `name` about the account.
    pub async fn tool(&self, base: &str, name: &str, arguments: &Value) -> reqwest::Result<Answer> {
        let mut arguments = arguments.clone();
        arguments["account_id"] = json!(self.account);
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": name, "arguments": arguments, "_meta": meta});
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
        let mut request = self.request(Method::POST, base, "/mcp").json(&call);
        for (name, value) in [
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", name),
        ] {
            request = request.header(name, value);
        }
        send(request).await
    }

    /// The answer to lines of the market.
    pub async fn feed(&self, base: &str, lines: &[Value]) -> reqwest::Result<Answer> {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let feed = self.request(Method::POST, base, "/v1/market/feed").body(lines);
        send(feed.header("content-type", "application/x-ndjson")).await
    }

    /// An answer about the account.
    pub async fn get(&self, base: &str, path: &str) -> reqwest::Result<Answer> {
        self.read(base, &format!("/v1/accounts/{}{path}", self.account)).await
    }

    /// Any other answer.
    pub async fn read(&self, base: &str, path: &str) -> reqwest::Result<Answer> {
        send(self.request(Method::GET, base, path)).await
    }

    /// Settles what is unknown by asking again, and compares all that was told with the orders of the server.
    pub async fn check(&self, server: &Server, record: &Record) {
        let mut expected = BTreeMap::new();
        for (id, told) in record {
            let acked: BTreeSet<&String> = told.iter().filter_map(Told::order).collect();
            assert!(acked.len() <= 1, "{id} was acknowledged as several orders: {acked:?}");
            if let Some(&order) = acked.first() {
                expected.insert(id.clone(), order.clone());
            } else if told.contains(&Told::Unknown) {
                expected.insert(id.clone(), self.settle(server.base(), id).await);
            }
        }
        assert_eq!(self.orders(server).await, expected, "what is there is what was acknowledged");
    }

    /// Asks again until the order is there.
    pub async fn settle(&self, base: &str, id: &str) -> String {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Told::Acked(order) = self.place(base, id).await {
                return order;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{id} is not settled")
    }

    /// Every order of the account, by its client's id, each of which is there once.
    pub async fn orders(&self, server: &Server) -> BTreeMap<String, String> {
        let (mut orders, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("/orders?status=all&limit=500{cursor}");
            let page = self.get(server.base(), &path).await.unwrap().expect(200);
            for order in page["items"].as_array().unwrap() {
                let word = |field: &str| order[field].as_str().unwrap().to_owned();
                let double = orders.insert(word("client_order_id"), word("order_id"));
                assert_eq!(double, None, "{order}");
            }
            match &page["next_cursor"] {
                Value::String(next) => cursor = format!("&cursor={next}"),
                _ => return orders,
            }
        }
    }

    async fn post(&self, base: &str, path: &str, body: &Value) -> reqwest::Result<Answer> {
        send(self.request(Method::POST, base, path).json(body)).await
    }

    fn request(&self, method: Method, base: &str, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{base}{path}")).bearer_auth(TOKEN)
    }
}

async fn send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

impl Told {
    fn order(&self) -> Option<&String> {
        match self {
            Self::Acked(order) => Some(order),
            Self::Refused | Self::Unknown => None,
        }
    }
}

impl Load {
    /// Lets every client end its last request, and adds what they were told to `record`. How many orders were
    /// acknowledged comes back.
    pub async fn stop(mut self, record: &mut Record) -> usize {
        self.stop.cancel();
        let mut acked = 0;
        while let Some(told) = self.clients.join_next().await {
            for (id, told) in told.unwrap() {
                acked += usize::from(told.order().is_some());
                record.entry(id).or_default().push(told);
            }
        }
        acked
    }
}
