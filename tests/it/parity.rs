//! A refusal is the same over REST and MCP: the same code, the same numbers, the same field, the same sentence.
//!
//! Every [`RefusalCode`] and every kind of [`ServiceError`] has a row here. Those that can be caused from outside are,
//! on both faces of one server; those that cannot say why. A new one does not compile, or fails, until it has its row.

use aggregates::margin::MOST_CONTRACTS;
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::user::Scope;
use axum::response::IntoResponse;
use blotter::identity::{Act, Denied, IdentityError};
use blotter::mcp::results::refused;
use blotter::rest::Problem;
use blotter::service::{Fault, ServiceError};
use serde_json::{Value, json};

use crate::mcp::desk::{Client, Desk, handshake};
use crate::support::rest::{OPEN, instrument, quote, send};

/// How a code comes about.
enum Cause {
    /// By a request to either face, on a server in this state.
    Both(Scene, Request),
    /// By a request to REST that no tool makes.
    RestAlone(Scene, Request),
    /// Not by a request to a server that is well; why.
    Inside(&'static str),
}

use Cause::{Both, Inside, RestAlone};

/// The state of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scene {
    /// AAPL is quoted, NEW is listed and has no price.
    Quoted,
    /// The market has no time.
    Silent,
    /// It is evening.
    Closed,
    /// The account has this policy.
    Policy(&'static str),
    /// The account is a margin account that sold short what has become dear.
    Called,
    /// The account is a margin account with as many contracts on AAPL as are covered together, one of them short.
    Crowded,
    /// The account has this policy, and has lost 10 of 10,000.
    Lost(&'static str),
}

use Scene::{Called, Closed, Crowded, Lost, Policy, Quoted, Silent};

/// A request in the words of both faces. `{account}` and `{filled}` stand for ids.
struct Request {
    method: &'static str,
    path: &'static str,
    body: Value,
    tool: &'static str,
    arguments: Value,
}

fn request(
    (method, path): (&'static str, &'static str),
    body: Value,
    tool: &'static str,
    arguments: Value,
) -> Request {
    Request { method, path, body, tool, arguments }
}

const ORDERS: (&str, &str) = ("POST", "/v1/accounts/{account}/orders");
const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// An order of `qty` shares at the market, or at a limit of 90; `more` are other fields.
fn order(side: &'static str, symbol: &str, qty: &str, limit: bool, more: &Value) -> Request {
    let mut body = json!({"symbol": symbol, "side": side, "qty": qty, "type": "market"});
    let mut arguments = json!({"symbol": symbol, "quantity": qty});
    if limit {
        body["type"] = json!("limit");
        body["limit_price"] = json!("90");
        arguments["limit_price"] = json!("90");
    }
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
        arguments[name] = value.clone();
    }
    let tool = match (side, limit) {
        ("buy", false) => "buy_stock_market",
        ("buy", true) => "buy_stock_limit",
        (_, false) => "sell_stock_market",
        (_, true) => "sell_stock_limit",
    };
    request(ORDERS, body, tool, arguments)
}

/// An option that is bought at a limit of 3.
fn call(symbol: &'static str) -> Request {
    let body =
        json!({"symbol": symbol, "side": "buy", "qty": "1", "type": "limit", "limit_price": "3"});
    let arguments = json!({"instrument_id": symbol, "quantity": "1", "limit_price": "3"});
    request(ORDERS, body, "buy_option_limit", arguments)
}

/// A sell at the market in an account that is not the only one.
fn sell_of_one(qty: &str) -> Request {
    let body = json!({"symbol": "AAPL", "side": "sell", "qty": qty, "type": "market"});
    let arguments = json!({"symbol": "AAPL", "quantity": qty, "account_id": "{account}"});
    request(ORDERS, body, "sell_stock_market", arguments)
}

/// An option on AAPL at a limit of 3, in an account that is not the only one.
fn option_of_one(side: &'static str, strike: usize) -> Request {
    let symbol = format!("AAPL240119C{strike:05}000");
    let order =
        json!({"symbol": symbol, "side": side, "qty": "1", "type": "limit", "limit_price": "3"});
    let arguments = json!({"instrument_id": symbol, "quantity": "1", "limit_price": "3",
        "account_id": "{account}"});
    let tool = if side == "buy" { "buy_option_limit" } else { "sell_option_limit" };
    request(ORDERS, order, tool, arguments)
}

/// A bracket that buys, in an account that is not the only one.
fn bracket_of_one() -> Request {
    let body = json!({"symbol": "AAPL", "side": "buy", "qty": "1", "type": "market", "order_class": "bracket",
        "take_profit": {"limit_price": "170"}, "stop_loss": {"stop_price": "150"}});
    let arguments = json!({"symbol": "AAPL", "side": "buy", "quantity": "1", "account_id": "{account}",
        "take_profit_limit_price": "170", "stop_loss_stop_price": "150"});
    request(ORDERS, body, "place_bracket_order", arguments)
}

fn cause(code: RefusalCode) -> Cause {
    let none = json!({});
    match code {
        RefusalCode::InvalidAmount => Both(Quoted, order("buy", "AAPL", "1_000", true, &none)),
        RefusalCode::InvalidOrder => Both(Quoted, order("buy", "AAPL", "0", true, &none)),
        RefusalCode::Unsupported => {
            let path = ("POST", "/v1/accounts/{account}/positions/AAPL/exercise");
            RestAlone(Quoted, request(path, none.clone(), "", none.clone()))
        }
        RefusalCode::ContractsLimit => Both(Crowded, option_of_one("buy", 101 + MOST_CONTRACTS)),
        RefusalCode::OptionLevel => Both(Quoted, call("NEW240119C00190000")),
        RefusalCode::ContractExpired => Both(Closed, call("NEW240117C00190000")),
        RefusalCode::AuctionClosed => {
            Both(Quoted, order("buy", "AAPL", "1", true, &json!({"time_in_force": "opg"})))
        }
        RefusalCode::UnknownSymbol => Both(Quoted, order("buy", "ZZZZZ", "1", true, &none)),
        RefusalCode::MarketClockUnset => Both(Silent, order("buy", "AAPL", "1", true, &none)),
        RefusalCode::AccountNotFound => {
            let path = ("GET", "/v1/accounts/01890a5d-ac96-774b-bcce-b302099a8057");
            Both(Quoted, request(path, Value::Null, "account_info", json!({"account_id": NOBODY})))
        }
        RefusalCode::OrderNotFound => {
            let path =
                ("DELETE", "/v1/accounts/{account}/orders/01890a5d-ac96-774b-bcce-b302099a8057");
            let arguments = json!({"order_id": NOBODY});
            Both(Quoted, request(path, Value::Null, "cancel_stock_order_by_id", arguments))
        }
        RefusalCode::OrderNotOpen => {
            let path = ("DELETE", "/v1/accounts/{account}/orders/{filled}");
            let arguments = json!({"order_id": "{filled}"});
            Both(Quoted, request(path, Value::Null, "cancel_stock_order_by_id", arguments))
        }
        RefusalCode::InsufficientCash => {
            let path = ("POST", "/v1/accounts/{account}/withdrawals");
            RestAlone(Quoted, request(path, json!({"amount": "10000.01"}), "", none.clone()))
        }
        RefusalCode::InsufficientBuyingPower => {
            Both(Quoted, order("buy", "AAPL", "1000", true, &none))
        }
        RefusalCode::InsufficientShares => Both(Quoted, order("sell", "AAPL", "1000", true, &none)),
        RefusalCode::NoReferencePrice => Both(Quoted, order("buy", "NEW", "1", false, &none)),
        RefusalCode::MarketClosed => {
            Both(Closed, order("buy", "AAPL", "1", false, &json!({"time_in_force": "ioc"})))
        }
        RefusalCode::TradingHalted => {
            Both(Policy(r#"{"trading_state":"halted"}"#), order("buy", "AAPL", "1", true, &none))
        }
        RefusalCode::ReduceOnly => {
            Both(Policy(r#"{"trading_state":"reducing"}"#), order("buy", "AAPL", "1", true, &none))
        }
        RefusalCode::OrderLimit => {
            Both(Policy(r#"{"max_order_notional":"100"}"#), order("buy", "AAPL", "2", true, &none))
        }
        RefusalCode::KeyReused => {
            Both(Quoted, order("buy", "AAPL", "2", true, &json!({"client_order_id": "used"})))
        }
        RefusalCode::PriceCollar => {
            Both(Policy(r#"{"price_collar_pct":"5"}"#), order("sell", "AAPL", "1", true, &none))
        }
        RefusalCode::PositionLimit => {
            Both(Policy(r#"{"max_position_qty":"1"}"#), order("buy", "AAPL", "1", true, &none))
        }
        RefusalCode::ConcentrationLimit => Both(
            Policy(r#"{"max_concentration_pct":"2"}"#),
            order("buy", "AAPL", "10", true, &none),
        ),
        RefusalCode::OpenOrdersLimit => {
            Both(Policy(r#"{"max_open_orders":1}"#), order("buy", "AAPL", "1", true, &none))
        }
        RefusalCode::DailyLossLimit => {
            Both(Lost(r#"{"max_daily_loss":"5"}"#), order("buy", "AAPL", "1", true, &none))
        }
        RefusalCode::DrawdownLimit => {
            Both(Lost(r#"{"max_drawdown_pct":"0.05"}"#), order("buy", "AAPL", "1", true, &none))
        }
        RefusalCode::MarginCall => Both(Called, sell_of_one("1")),
        RefusalCode::FractionalShort => Both(Called, sell_of_one("0.5")),
        RefusalCode::OpposingPosition => Both(Called, bracket_of_one()),
        RefusalCode::NoMark => Inside("what an account holds has traded, so it has a price"),
        RefusalCode::InstrumentNotFound => Inside("only the engine speaks to instruments"),
        RefusalCode::UserNotFound => Inside("facts are recorded of users who are there"),
        RefusalCode::AccountExists => Inside("ids of accounts are made by the server"),
        RefusalCode::OrderChanged => {
            Inside("only the engine decides on what it has seen of an order")
        }
        RefusalCode::AlreadyApplied => {
            Inside("only the engine applies corporate actions, and stops accounts")
        }
        RefusalCode::CorporateAction => {
            Inside("it lasts for the moment in which a split is applied")
        }
    }
}

/// One [`ServiceError`] of every kind, and how it comes about. A kind without a row does not compile.
macro_rules! kinds {
    ($($kind:pat => $sample:expr, $cause:expr;)+) => {
        fn kinds() -> Vec<(ServiceError, Cause)> {
            vec![$(($sample, $cause)),+]
        }

        #[expect(dead_code, reason = "it is there to compile")]
        fn every_kind_has_a_row(error: &ServiceError) {
            match error { $($kind => {})+ }
        }
    };
}

fn refusal() -> Refusal {
    Refusal::new(RefusalCode::OrderLimit, "too large").field("qty").figure("max", "1")
}

kinds! {
    ServiceError::Invalid(_) => ServiceError::Invalid(vec![
            Fault::new("qty", "invalid_amount", "qty is odd"),
            Fault::new("side", "missing_field", "side is missing"),
        ]), Both(Quoted, order("buy", "AAPL", "x", true, &json!({"extended_hours": "odd"})));
    ServiceError::Refused(_) => refusal().into(),
        Inside("the codes of refusals have rows of their own");
    ServiceError::Rejected { .. } => ServiceError::Rejected {
            refusal: refusal(), order_id: NOBODY.parse().unwrap(), replayed: false, position: 7,
        }, Inside("the codes of refusals have rows of their own");
    ServiceError::NothingToClose { .. } => ServiceError::NothingToClose {
            symbol: "AAPL".to_owned(), unit: "shares", held: "3".parse().unwrap(), reserved: "3".parse().unwrap(),
            reserved_by: vec![NOBODY.parse().unwrap()],
        }, Both(Quoted, request(
            ("DELETE", "/v1/accounts/{account}/positions/NEW"),
            Value::Null, "close_position", json!({"symbol": "NEW"}),
        ));
    ServiceError::Denied(_) => Denied::Scope { act: Act::PlaceOrder, scope: Scope::OrdersWrite }.into(),
        Inside("everybody who has a token is the operator");
    ServiceError::Identity(_) => ServiceError::Identity(IdentityError::EmailTaken),
        Inside("users register and log in over REST alone");
    ServiceError::BadCursor => ServiceError::BadCursor,
        Both(Quoted, request(("GET", "/v1/accounts?cursor=x"), Value::Null, "get_all_accounts", json!({"cursor": "x"})));
    ServiceError::Behind { .. } => ServiceError::Behind { position: 7, wanted: 9 },
        RestAlone(Quoted, request(("GET", "/v1/accounts?min_position=1000000"), Value::Null, "", json!({})));
    ServiceError::Degraded(_) => ServiceError::Degraded("trading"),
        Inside("a view has to meet an event that it cannot fold");
    ServiceError::NotFound(_) => ServiceError::NotFound("symbol"),
        Both(Quoted, request(("GET", "/v1/market/quotes/ZZZZZ"), Value::Null, "stock_price", json!({"symbol": "ZZZZZ"})));
    ServiceError::Unlisted(_) => ServiceError::Unlisted("nearest to it are others".to_owned()),
        Both(Quoted, request(
            ("GET", "/v1/market/options/contracts/AAPL240216C00105000"),
            Value::Null, "option_market_data", json!({"option_symbol": "AAPL240216C00105000"}),
        ));
    ServiceError::Unreadable(_) => ServiceError::Unreadable("line 1".to_owned()),
        Inside("no tool feeds the market");
    ServiceError::Conflict(_) => ServiceError::Conflict("the market is fed".to_owned()),
        RestAlone(Quoted, request(("POST", "/v1/market/control"), json!({"action": "pause"}), "", json!({})));
    ServiceError::Lacking(_) => ServiceError::Lacking("no depth".to_owned()),
        Both(Quoted, request(("GET", "/v1/market/depth/NEW"), Value::Null, "stock_level2_data", json!({"symbol": "NEW"})));
    ServiceError::Busy => ServiceError::Busy, Inside("the queue has to be full");
    ServiceError::Enough { .. } => ServiceError::Enough { most: 4 },
        Inside("requests that take a processor have to be worked meanwhile");
    ServiceError::Crowded => ServiceError::Crowded, Inside("every connection has to be in use");
    ServiceError::NotHere(_) => ServiceError::NotHere("another writes".to_owned()),
        Inside("another process has to write");
    ServiceError::OutcomeUnknown(_) => ServiceError::OutcomeUnknown("perhaps".to_owned()),
        Inside("the database has to fail in the middle of a commit");
    ServiceError::Database(_) => ServiceError::Database("down".into()), Inside("the database has to fail");
    ServiceError::Defect(_) => ServiceError::Defect("inside".to_owned()), Inside("there has to be one");
}

/// What a refusal says, whichever face it comes from.
#[derive(Debug, PartialEq)]
struct Said {
    code: Value,
    figures: Value,
    fields: Vec<Value>,
    sentences: Vec<String>,
}

fn of_rest(problem: &Value) -> Said {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let mut sentences: Vec<_> =
        errors.iter().map(|error| error["message"].as_str().unwrap().to_owned()).collect();
    if sentences.is_empty() {
        sentences.push(problem["detail"].as_str().unwrap().to_owned());
    }
    Said {
        code: problem["code"].clone(),
        figures: problem["figures"].clone(),
        fields: errors.iter().map(|error| error["field"].clone()).collect(),
        sentences,
    }
}

/// The same, in the words of REST: what it calls qty is the quantity of a tool, and the symbol of an option its instrument_id.
fn of_mcp(sentence: &str, block: &Value) -> Said {
    let errors = block["errors"].as_array().cloned().unwrap_or_default();
    let mut fields: Vec<_> = errors.iter().map(|error| error["field"].clone()).collect();
    if fields.is_empty() {
        fields.extend(block.get("field").cloned());
    }
    let renamed = |name: &mut Value| match name.as_str() {
        Some("quantity") => *name = json!("qty"),
        Some("instrument_id") => *name = json!("symbol"),
        _ => {}
    };
    fields.iter_mut().for_each(renamed);
    let mut sentences: Vec<String> =
        errors.iter().map(|error| error["message"].as_str().unwrap().to_owned()).collect();
    if sentences.is_empty() {
        sentences.push(sentence.to_owned());
    }
    let sentences = sentences.into_iter().map(|said| match said.strip_prefix("quantity") {
        Some(rest) => format!("qty{rest}"),
        None => said,
    });
    Said {
        code: block["code"].clone(),
        figures: block["figures"].clone(),
        fields,
        sentences: sentences.collect(),
    }
}

#[tokio::test]
async fn every_kind_of_failure_is_rendered_alike() {
    let refusals = RefusalCode::ALL
        .iter()
        .map(|code| Refusal::new(*code, "no").field("symbol").figure("available", "1.00").into());
    let all = || kinds().into_iter().map(|(error, _)| error).chain(refusals.clone());
    for (for_rest, for_mcp) in all().zip(all()) {
        let shown = format!("{for_rest:?}");
        let answer = Problem::from(for_rest).into_response();
        let status = answer.status();
        assert!(status.is_client_error() || status.is_server_error(), "{shown}");
        let body = axum::body::to_bytes(answer.into_body(), 65_536).await.unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        let result = refused(&for_mcp);
        assert_eq!(result.is_error, Some(true), "{shown}");
        let [sentence, block] = result.content.as_slice() else { panic!("{shown}: {result:?}") };
        let block: Value = serde_json::from_str(&block.as_text().unwrap().text).unwrap();
        assert_eq!(of_rest(&problem), of_mcp(&sentence.as_text().unwrap().text, &block), "{shown}");
        assert_eq!(problem["order_id"], block["order_id"], "{shown}");
    }
}

/// A server in a scene, and what rows have in common.
struct Stage {
    desk: Desk,
    client: Client,
    account: String,
    filled: String,
}

impl Stage {
    async fn set(scene: Scene) -> Self {
        let name = format!("parity-{scene:?}");
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let desk = match scene {
            Silent => Desk::silent(&name).await,
            _ => Desk::start(&name).await,
        };
        let client = desk.client(handshake()).await;
        let account = client.answer("account_info", json!({})).await["account_id"].clone();
        let mut stage = Self {
            desk,
            client,
            account: account.as_str().unwrap().to_owned(),
            filled: String::new(),
        };
        if scene != Silent {
            let option = json!({"t": "instrument", "symbol": "NEW240119C00190000", "kind": "option",
                "underlying": "NEW", "style": "american", "settlement": "physical"});
            let mut expires = option.clone();
            expires["symbol"] = json!("NEW240117C00190000");
            let lines = [instrument("NEW"), option, expires, quote("AAPL", "100", "101", OPEN)];
            stage.desk.feed(&lines).await;
            let filled = order("buy", "AAPL", "1", false, &json!({"client_order_id": "used"}));
            let filled = stage.rest(&filled).await.expect(201);
            stage.filled = filled["order_id"].as_str().unwrap().to_owned();
        }
        match scene {
            Closed => stage.desk.feed(&[json!({"t": "clock", "at": "2024-01-17T23:00:00Z"})]).await,
            Policy(policy) | Lost(policy) => {
                let rests = json!({"limit_price": "50", "client_order_id": "rests"});
                stage.rest(&order("buy", "AAPL", "1", true, &rests)).await.expect(201);
                let path = "/v1/accounts/{account}/policy";
                let body = serde_json::from_str(policy).unwrap();
                let change = request(("PATCH", path), body, "", json!({}));
                stage.rest(&change).await.expect(200);
                if matches!(scene, Lost(_)) {
                    let fallen = quote("AAPL", "90", "101", "2024-01-17T15:01:00Z");
                    stage.desk.feed(&[fallen]).await;
                }
            }
            Called => {
                let body = json!({"name": "short", "kind": "margin", "starting_balance": "10000"});
                let open = request(("POST", "/v1/accounts"), body, "", json!({}));
                let opened = stage.rest(&open).await.expect(201);
                stage.account = opened["account_id"].as_str().unwrap().to_owned();
                stage.rest(&sell_of_one("100")).await.expect(201);
                let dear = quote("AAPL", "160", "161", "2024-01-17T15:01:00Z");
                stage.desk.feed(&[dear]).await;
            }
            Crowded => {
                let body = json!({"name": "crowded", "kind": "margin", "starting_balance": "1000000",
                    "option_level": 4});
                let open = request(("POST", "/v1/accounts"), body, "", json!({}));
                let opened = stage.rest(&open).await.expect(201);
                stage.account = opened["account_id"].as_str().unwrap().to_owned();
                let strikes = 101..=101 + MOST_CONTRACTS;
                let calls = strikes.clone().map(|strike| format!("AAPL240119C{strike:05}000"));
                let quotes: Vec<Value> = calls.map(|call| quote(&call, "1", "1.1", OPEN)).collect();
                stage.desk.feed(&quotes).await;
                for strike in strikes.take(MOST_CONTRACTS) {
                    let side = if strike == 101 { "sell" } else { "buy" };
                    stage.rest(&option_of_one(side, strike)).await.expect(201);
                }
            }
            Quoted | Silent => {}
        }
        stage
    }

    fn filled_in(&self, text: &str) -> String {
        text.replace("{account}", &self.account).replace("{filled}", &self.filled)
    }

    async fn rest(&self, row: &Request) -> crate::support::rest::Answer {
        let mut request = self.desk.request(row.method, &self.filled_in(row.path));
        if !row.body.is_null() {
            request = request.json(&row.body);
        }
        send(request).await
    }

    async fn compare(&self, code: &str, row: &Request) {
        let answer = self.rest(row).await;
        assert!(answer.status.as_u16() >= 400, "{code}: {answer:?}");
        let over_rest = of_rest(&answer.json());
        assert_eq!(over_rest.code, code, "{answer:?}");
        if row.tool.is_empty() {
            return;
        }
        let arguments = self.filled_in(&row.arguments.to_string());
        let arguments = serde_json::from_str(&arguments).unwrap();
        let (sentence, block) = self.client.refusal(row.tool, arguments).await;
        assert_eq!(of_mcp(&sentence, &block), over_rest, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_that_can_be_caused_is_the_same_over_both_faces() {
    let refusals = RefusalCode::ALL.iter().map(|code| (code.word(), cause(*code)));
    let kinds = kinds().into_iter().map(|(error, cause)| (error.code(), cause));
    let mut rows: Vec<(Scene, &str, Request)> = Vec::new();
    for (code, cause) in refusals.chain(kinds) {
        match cause {
            Both(scene, row) => {
                assert!(!row.tool.is_empty(), "{code} names a tool");
                rows.push((scene, code, row));
            }
            RestAlone(scene, row) => rows.push((scene, code, row)),
            Inside(why) => assert!(!why.is_empty(), "{code} says why it cannot be caused"),
        }
    }
    while let Some((scene, _, _)) = rows.first() {
        let scene = *scene;
        let stage = Stage::set(scene).await;
        for (_, code, row) in rows.extract_if(.., |(of, _, _)| *of == scene) {
            stage.compare(code, &row).await;
        }
    }
}
