//! Orders of options over REST and MCP: what they are taken for, what they move, and how a wrong one is told.

mod activities;
mod closes;
mod contradictions;
mod ends;
mod lifecycle;
mod money;
mod previews;
mod refusals;
pub mod tools;

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{OPEN, TestRest, instrument, quote};

/// A contract on AAPL of 2024-02-16, by its right and strike.
pub fn contract(right: &str, strike: u32) -> String {
    format!("AAPL240216{right}{strike:05}000")
}

/// A line that lists a contract on AAPL.
pub fn listed(symbol: &str) -> Value {
    json!({"t": "instrument", "symbol": symbol, "kind": "option", "underlying": "AAPL",
        "style": "american", "settlement": "physical"})
}

/// What is quoted: calls and puts a dollar apart, AAPL at 100 by 101.
pub const QUOTES: [(&str, u32, &str, &str); 4] = [
    ("C", 100, "2.50", "2.60"),
    ("C", 101, "2.08", "2.12"),
    ("P", 99, "1.90", "1.95"),
    ("P", 98, "1.50", "1.55"),
];

/// The lines that quote all of it, with two rates.
pub fn market() -> Vec<Value> {
    let rate = |kind: &str, value: &str| json!({"t": "rate", "kind": kind, "symbol": null, "value": value, "at": OPEN});
    let mut lines =
        vec![instrument("AAPL"), rate("risk_free", "0.05"), rate("dividend_yield", "0")];
    lines.extend(QUOTES.map(|(right, strike, ..)| listed(&contract(right, strike))));
    lines.push(quote("AAPL", "100", "101", OPEN));
    lines.extend(
        QUOTES.map(|(right, strike, bid, ask)| quote(&contract(right, strike), bid, ask, OPEN)),
    );
    lines
}

/// A server with the market, and the id of an account of this kind, balance and option level.
pub struct Desk {
    pub rest: TestRest,
    pub account: String,
    _database: TestDatabase,
}

impl Desk {
    pub async fn start(kind: &str, balance: &str, level: u8) -> Self {
        let database = TestDatabase::new().await;
        let rest = TestRest::start(&database).await;
        Self::open(database, rest, kind, balance, level).await
    }

    /// The same in a market that never closes.
    pub async fn start_always_open(kind: &str, balance: &str, level: u8) -> Self {
        let database = TestDatabase::new().await;
        let rest = TestRest::start_always_open(&database).await;
        Self::open(database, rest, kind, balance, level).await
    }

    async fn open(
        database: TestDatabase,
        rest: TestRest,
        kind: &str,
        balance: &str,
        level: u8,
    ) -> Self {
        rest.feed(&market()).await.expect(200);
        let body = json!({"name": "test", "kind": kind, "starting_balance": balance, "option_level": level});
        let opened = rest.post("/v1/accounts", body).await.expect(201);
        assert_eq!(opened["option_level"], level);
        let account = opened["account_id"].as_str().unwrap().to_owned();
        Self { rest, account, _database: database }
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/v1/accounts/{}{rest}", self.account)
    }

    /// Places an order that is taken.
    pub async fn place(&self, body: Value) -> Value {
        self.rest.post(&self.path("/orders"), body).await.expect(201)
    }

    /// Places an order that is refused.
    pub async fn refused(&self, body: Value) -> Value {
        self.rest.post(&self.path("/orders"), body).await.expect(422)
    }

    /// The account as it is.
    pub async fn now(&self) -> Value {
        self.rest.get(&self.path("")).await.expect(200)
    }

    /// A position as it is.
    pub async fn position(&self, symbol: &str) -> Value {
        self.rest.get(&self.path(&format!("/positions/{symbol}"))).await.expect(200)
    }
}

/// An order of one option at a limit.
pub fn single(side: &str, symbol: &str, limit: &str) -> Value {
    json!({"symbol": symbol, "side": side, "type": "limit", "qty": "1", "limit_price": limit})
}

/// An order of several legs at a net price: each a side and a symbol.
pub fn package(legs: &[(&str, String)], net: &str) -> Value {
    let legs: Vec<Value> = legs
        .iter()
        .map(|(side, symbol)| json!({"symbol": symbol, "side": side, "ratio_qty": 1}))
        .collect();
    json!({"order_class": "mleg", "type": "limit", "qty": "1", "limit_price": net, "legs": legs})
}

/// A call spread a dollar wide that is sold.
pub fn credit_spread(net: &str) -> Value {
    package(&[("sell", contract("C", 100)), ("buy", contract("C", 101))], net)
}

/// That spread, and one of puts.
pub fn iron_condor(net: &str) -> Value {
    let legs = [
        ("buy", contract("P", 98)),
        ("sell", contract("P", 99)),
        ("sell", contract("C", 100)),
        ("buy", contract("C", 101)),
    ];
    package(&legs, net)
}

/// Some fields of an answer, as texts.
pub fn fields(of: &Value, names: &[&str]) -> Vec<String> {
    let shown = |name: &&str| match &of[*name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    names.iter().map(shown).collect()
}
