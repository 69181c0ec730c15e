//! The REST face over a test database, in this process: ledger, engine and views as a server composes them, and a
//! client with the operator's token.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use aggregates::rules::Rules;
use axum::middleware::from_fn_with_state;
use blotter::engine::core::{Record, Settings};
use blotter::engine::{PostgresHistory, TapeArchive, engine};
use blotter::identity::facts::Facts;
use blotter::identity::grants::Grants;
use blotter::identity::tokens::Tokens;
use blotter::identity::usage::Usage;
use blotter::identity::{Denials, Identity, OperatorToken, Rates, desk};
use blotter::ledger::postgres::{Owner, PostgresLoader, PostgresLog};
use blotter::ledger::{Campaign, Ledger, SHARD, SigningName, SystemEntropy, Words};
use blotter::market::calendar::Calendar;
use blotter::rest::auth::{Gate, authenticate};
use blotter::rest::proxies::Proxies;
use blotter::service::{CursorKey, Interface, Parts, Service};
use blotter::{mcp, rest};
use chrono::{TimeDelta, Utc};
use metrics_exporter_prometheus::PrometheusBuilder;
use projections::Runner;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Scratch, TestDatabase, scratch_directory};

/// The operator's token of every test server.
pub const TOKEN: &str = "the-operators-token-of-all-the-tests";
/// A time at which the market is open: a Wednesday, 10:00 in New York.
pub const OPEN: &str = "2024-01-17T15:00:00Z";

/// The public key of the first test vector of RFC 8032, base64: nothing is signed here.
const PUBLIC_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// A server in this process. Everything of it ends when it is dropped.
pub struct TestRest {
    base: String,
    client: reqwest::Client,
    pub ledger: Ledger,
    /// The use cases behind the face.
    pub service: Arc<Service>,
    _tasks: JoinSet<()>,
    _keys: Scratch,
    _stop: DropGuard,
}

/// An answer, its body read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer that has to have this status.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }
}

impl TestRest {
    /// Serves a database of which it is the only writer, in the hours of the exchange.
    pub async fn start(database: &TestDatabase) -> Self {
        Self::start_in(database, Calendar::nyse()).await
    }

    /// The same with a market that never closes.
    pub async fn start_always_open(database: &TestDatabase) -> Self {
        Self::start_in(database, Calendar::always()).await
    }

    async fn start_in(database: &TestDatabase, calendar: Calendar) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let ledger = Ledger::new();
        let (tenures, mut terms) = mpsc::channel(1);
        let campaign = Campaign {
            log: PostgresLog::new(database.writer.clone()),
            loader: Arc::new(PostgresLoader::new(database.writer.clone())),
            owner: Owner { name: "test".to_owned(), url: None, sole: false },
            rules: Rules::default(),
            key: SigningName { name: "test".to_owned(), public_key: PUBLIC_KEY.to_owned() },
            now: Utc::now,
            entropy: || Box::new(SystemEntropy),
            tenures,
        };
        let (campaigns, until) = (ledger.clone(), stop.clone());
        tasks.spawn(async move { campaigns.campaign(campaign, until).await.unwrap() });

        let (head, heads) = watch::channel(0);
        let mut ledger_head = ledger.head();
        tasks.spawn(async move {
            while ledger_head.changed().await.is_ok() {
                head.send_replace(ledger_head.borrow().position);
            }
        });
        let (runner, views) = Runner::new(database.projector.pool().clone(), heads);
        tasks.spawn(runner.run());

        let (engine, mut works) = engine();
        let history = PostgresHistory::new(database.writer.clone(), SHARD);
        let (desk, until) = (ledger.clone(), stop.clone());
        tasks.spawn(async move {
            let settings = Settings { max_quote_age: None, ..Settings::new(calendar) };
            while let Some(tenure) = terms.recv().await {
                works.term(&desk, &history, &settings, tenure.feed, &until).await;
            }
        });

        let facts = Facts::new(database.identity.clone());
        tasks.spawn(facts.clone().carry(ledger.clone(), stop.clone()));
        let keys = scratch_directory("keys");
        let identity = Identity::open(
            database.identity.clone(),
            facts.clone(),
            keys.path().to_owned(),
            desk::Settings {
                admission: desk::Admission::Open,
                idle: TimeDelta::days(14),
                lifetime: TimeDelta::days(90),
            },
        );
        let identity = Arc::new(identity.await.unwrap());
        let (kept, until) = (Arc::clone(&identity), stop.clone());
        tasks.spawn(async move { kept.keep(until).await });
        let service = Arc::new(Service::new(Parts {
            ledger: ledger.clone(),
            words: Words::new(database.writer.clone()),
            reader: database.reader.clone(),
            auditor: database.auditor.clone(),
            views,
            engine,
            player: None,
            archive: Arc::new(TapeArchive::new(
                database.reader.clone(),
                SHARD,
                "feed",
                Calendar::nyse(),
                Record::All,
            )),
            calendar: Calendar::nyse(),
            checkpoint: watch::channel(None).1,
            checkpoint_files: Vec::new(),
            operator: OperatorToken::load(Some(TOKEN), Path::new("/nowhere")).unwrap(),
            identity,
            tokens: Tokens::new(database.identity.clone(), facts.clone()),
            usage: Usage::new(database.identity.clone()),
            grants: Grants::new(database.identity.clone(), facts.clone()),
            denials: Denials::new(database.identity.clone(), facts.clone()),
            rules: Rules::default(),
            cursors: CursorKey::of("the secret of test cursors"),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}");
        let rates = Arc::new(Rates::new(NonZeroU32::MAX));
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let face = rest::Face {
            service: Arc::clone(&service),
            metrics,
            stop: stop.clone(),
            streams: rest::streams(),
            rates: Arc::clone(&rates),
            origins: Arc::default(),
        };
        let gate = Gate::new(Arc::clone(&service), Interface::Mcp, rates);
        let mcp = mcp::router(Arc::clone(&service), mcp::Shelf::default(), address, stop.clone())
            .layer(from_fn_with_state(gate, authenticate));
        let router =
            rest::edge::around(rest::router(face).merge(mcp), Proxies::default(), stop.clone());
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = reqwest::Client::new();
        let server = Self {
            base,
            client,
            ledger,
            service,
            _tasks: tasks,
            _keys: keys,
            _stop: stop.drop_guard(),
        };
        for _ in 0..400 {
            let health = server.get("/readyz").await;
            if health.status == StatusCode::OK && health.json()["writer"] == json!(true) {
                return server;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("not ready: {:?}", server.get("/readyz").await);
    }
    /// A request without a token, to be completed.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// A request with the operator's token, to be completed.
    pub fn authorized(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request(method, path).bearer_auth(TOKEN)
    }

    /// Where it listens.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request with the operator's token.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        send(request.bearer_auth(TOKEN)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        send(self.authorized(Method::PATCH, path).json(&body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// Posts a body as it is.
    pub async fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    /// Posts lines of the market.
    pub async fn feed(&self, lines: &[Value]) -> Answer {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let request = self.request(Method::POST, "/v1/market/feed");
        self.send(request.header("content-type", "application/x-ndjson").body(body)).await
    }

    /// Opens a cash account and gives its id.
    pub async fn account(&self, balance: &str) -> String {
        let body = json!({"name": "test", "kind": "cash", "starting_balance": balance});
        let account = self.post("/v1/accounts", body).await.expect(201);
        account["account_id"].as_str().unwrap().to_owned()
    }

    /// Lists AAPL and quotes it at 100 by 101, 1,000 shares each, in an open market.
    pub async fn quoted(&self) {
        self.feed(&[instrument("AAPL"), quote("AAPL", "100", "101", OPEN)]).await.expect(200);
    }

    /// The position at which the log ends.
    pub fn head(&self) -> u64 {
        self.ledger.head().borrow().position
    }
}

/// Sends a request and reads the answer.
pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// A line that lists a stock.
pub fn instrument(symbol: &str) -> Value {
    json!({"t": "instrument", "symbol": symbol, "name": "A stock", "kind": "stock", "tick": "0.01"})
}

/// A line that quotes 1,000 shares on each side.
pub fn quote(symbol: &str, bid: &str, ask: &str, at: &str) -> Value {
    json!({"t": "quote", "symbol": symbol, "bid": bid, "bid_size": "1000", "ask": ask, "ask_size": "1000", "at": at})
}
