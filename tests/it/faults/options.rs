//! Options of many accounts that expire, and packages of many that fill, while the server is killed in the middle: every
//! account is settled once, and every package has all of its legs or none.

use std::time::Instant;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stops::{call, feed};
use super::{PATIENCE, verify, writes};
use crate::support::rest::{OPEN, TOKEN, instrument, quote};
use crate::support::{Scratch, Server, TestDatabase, blotter, scratch_directory};

/// Stocks, each with contracts of its own, whose ends are settled one after the other.
const STOCKS: u8 = 20;
/// Accounts, two for each of them.
const ACCOUNTS: i64 = 2 * STOCKS as i64;
/// The contracts of the even stocks are two calls, those of the odd ones a put.
const CONTRACTS: i64 = 3 * STOCKS as i64 / 2;

/// What is held of each symbol.
type Holdings = Vec<(Value, Value)>;

fn stock(n: u8) -> String {
    format!("X{}", char::from(b'A' + n))
}

/// A contract that expires on the day of [`OPEN`].
fn contract(n: u8, right: char, strike: u32) -> String {
    format!("{}240117{right}{strike:05}000", stock(n))
}

/// Every stock at 100.00 by 100.10, and contracts on it.
fn market() -> Vec<Value> {
    let mut lines = Vec::new();
    for n in 0..STOCKS {
        let contracts = match n % 2 {
            0 => vec![("C", 100, "2.50", "2.60"), ("C", 105, "0.90", "1.00")],
            _ => vec![("P", 105, "5.20", "5.30")],
        };
        lines.extend([instrument(&stock(n)), quote(&stock(n), "100.00", "100.10", OPEN)]);
        for (right, strike, bid, ask) in contracts {
            let symbol = contract(n, right.chars().next().unwrap(), strike);
            lines.push(json!({"t": "instrument", "symbol": symbol, "kind": "option",
                "underlying": stock(n), "style": "american", "settlement": "physical"}));
            lines.push(quote(&symbol, bid, ask, OPEN));
        }
    }
    lines
}

/// A server on a database that outlives it.
struct Desk {
    database: TestDatabase,
    directory: Scratch,
    server: Server,
}

impl Desk {
    async fn start(name: &str) -> Self {
        let (database, directory) = (TestDatabase::new().await, scratch_directory(name));
        let server = on(&database, &directory);
        writes(&server).await;
        feed(&server, &market()).await;
        Self { database, directory, server }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        call(&self.server, Method::POST, path, Some(body)).await
    }

    /// Opens an account and places an order in it: the account's path.
    async fn account(&self, kind: &str, balance: &str, order: Value) -> String {
        let level = if kind == "margin" { 3 } else { 2 };
        let body = json!({"name": "one of many", "kind": kind, "starting_balance": balance, "option_level": level});
        let opened = self.post("/v1/accounts", body).await;
        let path = format!("/v1/accounts/{}", opened["account_id"].as_str().unwrap());
        self.post(&format!("{path}/orders"), order).await;
        path
    }

    /// How many the log has, by a query.
    async fn count(&self, what: &str) -> i64 {
        let mut connection = self.database.superuser().await;
        sqlx::query_scalar(what).fetch_one(&mut connection).await.unwrap()
    }

    /// Kills the server as soon as a query counts `from`, and starts it again; without `lines` while it goes on with what it
    /// finds, else while it is fed them. What the query counted when the server was gone comes back.
    async fn kill_at(&mut self, what: &str, from: i64, lines: &[Value]) -> i64 {
        if !lines.is_empty() {
            writes(&self.server).await;
            let text: Vec<String> = lines.iter().map(Value::to_string).collect();
            let post = reqwest::Client::new()
                .post(format!("{}/v1/market/feed", self.server.base()))
                .bearer_auth(TOKEN)
                .header("content-type", "application/x-ndjson")
                .body(text.join("\n"));
            // Nobody answers it.
            drop(tokio::spawn(post.send()));
        }
        let start = Instant::now();
        let mut connection = self.database.superuser().await;
        loop {
            let query = sqlx::query_scalar::<_, i64>(what);
            if query.fetch_one(&mut connection).await.unwrap() >= from {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "it does not come to {from}");
        }
        self.server.signal(Signal::KILL);
        assert!(!self.server.wait().success());
        let found = self.count(what).await;
        self.server = on(&self.database, &self.directory);
        found
    }

    /// The account's cash, and what it holds of each symbol.
    async fn holds(&self, account: &str) -> (Value, Holdings) {
        let now = call(&self.server, Method::GET, account, None).await;
        let held = call(&self.server, Method::GET, &format!("{account}/positions"), None).await;
        let held = held["items"].as_array().unwrap().iter();
        let held = held.map(|it| (it["symbol"].clone(), it["qty"].clone())).collect();
        (now["cash"].clone(), held)
    }

    /// The audit finds nothing, and the engine does the same again.
    async fn verify(self) {
        let url = self.database.url("postgres");
        drop(self.server);
        let verified = tokio::task::spawn_blocking(move || {
            let place = ["--database-url", &url];
            let (code, report) = verify(&place);
            assert_eq!(code, 0, "{report:#}");
            let output = blotter(&["audit", "replay", "--json"]).args(place).output().unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(0), "{told}");
        });
        verified.await.unwrap();
    }
}

fn on(database: &TestDatabase, directory: &Scratch) -> Server {
    Server::launch_with(directory.path(), &["--database-url", &database.url("postgres")])
}

fn package(legs: [(&str, &str, u32); 2], net: &str) -> Value {
    let legs = legs
        .map(|(side, symbol, ratio)| json!({"symbol": symbol, "side": side, "ratio_qty": ratio}));
    json!({"order_class": "mleg", "type": "limit", "qty": "1", "limit_price": net, "legs": legs})
}

fn single(side: &str, symbol: &str, limit: &str) -> Value {
    json!({"symbol": symbol, "side": side, "type": "limit", "qty": "1", "limit_price": limit})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_account_is_settled_once_when_the_server_is_killed_while_options_end() {
    let mut desk = Desk::start("expiry-and-kill").await;
    let mut accounts: Vec<(String, &str, Holdings)> = Vec::new();
    let shares = |n: u8| vec![(json!(stock(n)), json!("100"))];
    for n in 0..STOCKS {
        let (low, high) = (contract(n, 'C', 100), contract(n, 'C', 105));
        let (put, stock) = (contract(n, 'P', 105), stock(n));
        if n % 2 == 0 {
            // 20,000 - 170 for the spread at 2.60 less 0.90; the long call takes 100 shares at 100.
            let spread = package([("buy", &low, 1), ("sell", &high, 1)], "1.70");
            accounts.push((desk.account("margin", "20000", spread).await, "9830.00", shares(n)));
            // 20,000 - 9,760 for shares at 100.10 less 2.50; they go at 100.
            let covered = package([("buy", &stock, 100), ("sell", &low, 1)], "97.60");
            accounts.push((desk.account("cash", "20000", covered).await, "20240.00", Vec::new()));
        } else {
            // 5,000 - 530, and no shares to deliver: sold at its last bid of 2.10.
            let long = single("buy", &put, "5.30");
            accounts.push((desk.account("cash", "5000", long).await, "4680.00", Vec::new()));
            // 20,000 + 520, and 100 shares at 105.
            let secured = single("sell", &put, "5.20");
            accounts.push((desk.account("cash", "20000", secured).await, "10020.00", shares(n)));
        }
    }
    let mut lines: Vec<Value> = Vec::new();
    for n in 0..STOCKS {
        let put = contract(n, 'P', 105);
        lines.extend((n % 2 == 1).then(|| quote(&put, "2.10", "2.20", "2024-01-17T20:59:58Z")));
        lines.push(json!({"t": "trade", "symbol": stock(n), "price": "103.00", "size": "10",
            "at": "2024-01-17T20:59:59Z"}));
    }
    lines.push(json!({"t": "clock", "at": "2024-01-17T21:00:01Z"}));

    let settled = "SELECT count(DISTINCT account_id) FROM events WHERE event_type = 'OptionEnded'";
    let expired = "SELECT count(*) FROM events WHERE event_type = 'ContractExpired'";
    desk.kill_at(expired, 1, &lines).await;
    let mut found = vec![desk.count(settled).await];
    for from in [1, ACCOUNTS / 2] {
        found.push(desk.kill_at(settled, from, &[]).await);
    }
    println!("settled when it was killed: {found:?} of {ACCOUNTS}");
    let between = found.iter().any(|found| (1..ACCOUNTS).contains(found));
    assert!(between, "no kill fell between the first settlement and the last: {found:?}");
    writes(&desk.server).await;
    feed(&desk.server, &lines).await;

    for (account, cash, shares) in &accounts {
        assert_eq!(desk.holds(account).await, (json!(cash), shares.clone()), "{account}");
    }
    // The spread has two contracts, the others one.
    let ended = "SELECT count(*) FROM events WHERE event_type = 'OptionEnded'";
    assert_eq!(desk.count(ended).await, ACCOUNTS + i64::from(STOCKS) / 2);
    assert_eq!(desk.count(expired).await, CONTRACTS);
    let over = "SELECT count(*) FROM events WHERE event_type = 'ContractSettled'";
    assert_eq!(desk.count(over).await, CONTRACTS);
    desk.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_has_all_of_its_legs_or_none_when_the_server_is_killed_while_many_fill() {
    let mut desk = Desk::start("packages-and-kill").await;
    let (mut accounts, mut lines) = (Vec::new(), Vec::new());
    for n in (0..STOCKS).step_by(2) {
        let (low, high) = (contract(n, 'C', 100), contract(n, 'C', 105));
        for _ in 0..4 {
            let spread = package([("buy", &low, 1), ("sell", &high, 1)], "1.50");
            accounts.push((n, desk.account("margin", "20000", spread).await));
        }
        lines.push(quote(&low, "2.20", "2.30", "2024-01-17T15:00:01Z"));
    }
    let fills = "SELECT count(*) FROM events WHERE event_type = 'OrderFilled'";
    let legs = "SELECT count(*) FROM events WHERE event_type = 'PositionOpened'";
    let mut found = Vec::new();
    for from in [1, ACCOUNTS / 2, 3 * ACCOUNTS / 4] {
        found.push(desk.kill_at(fills, from, &lines).await);
        assert_eq!(desk.count(legs).await, 2 * desk.count(fills).await);
    }
    println!("filled when it was killed: {found:?} of {ACCOUNTS}");
    let between = found.iter().any(|found| (1..ACCOUNTS).contains(found));
    assert!(between, "no kill fell between the first fill and the last: {found:?}");
    writes(&desk.server).await;
    feed(&desk.server, &lines).await;
    assert_eq!(desk.count(fills).await, ACCOUNTS);
    for (n, account) in &accounts {
        // 20,000 less 2.30 and 0.90 for a hundred shares.
        let (low, high) = (contract(*n, 'C', 100), contract(*n, 'C', 105));
        let (cash, mut held) = desk.holds(account).await;
        held.sort_by_key(|(symbol, _)| symbol.to_string());
        let legs = vec![(json!(low), json!("1")), (json!(high), json!("-1"))];
        assert_eq!((cash, held), (json!("19860.00"), legs), "{account}");
    }
    desk.verify().await;
}
