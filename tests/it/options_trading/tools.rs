//! The tools of options: an agent's round of them, and who takes one for the other kind.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{contract, fields, market};
use crate::mcp::desk::{Client, Desk, handshake};
use crate::mcp::work::misfit;
use crate::support::rest::quote;

/// The tools that an agent's round of options calls, each held against its schema there.
pub const OF_OPTIONS: [&str; 14] = [
    "buy_option_limit",
    "sell_option_limit",
    "option_credit_spread",
    "option_debit_spread",
    "place_multi_leg_order",
    "options_orders",
    "open_option_orders",
    "cancel_option_order_by_id",
    "cancel_all_option_orders_tool",
    "open_option_positions",
    "all_option_positions",
    "aggregate_option_positions",
    "exercise_option",
    "do_not_exercise_option",
];

/// A client that remembers what it was answered.
struct Round {
    client: Client,
    answers: RefCell<Vec<(&'static str, Value)>>,
}

impl Round {
    async fn answer(&self, name: &'static str, arguments: Value) -> Value {
        let answer = self.client.answer(name, arguments).await;
        self.answers.borrow_mut().push((name, answer.clone()));
        answer
    }
}

/// A desk with options, and an account of 10,000 on margin; its id.
async fn started(name: &str) -> (Desk, Client, String) {
    let desk = Desk::start(name).await;
    desk.feed(&market()).await;
    let body = json!({"name": "margin", "kind": "margin", "starting_balance": "10000"});
    let opened = desk.post("/v1/accounts").json(&body).send().await.unwrap();
    let opened: Value = opened.json().await.unwrap();
    let account = opened["account_id"].as_str().unwrap().to_owned();
    let client = desk.client(handshake()).await;
    (desk, client, account)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_trades_options() {
    let (_desk, client, account) = started("option-tools").await;
    let client = Round { client, answers: RefCell::default() };
    let (short, long) = (contract("C", 100), contract("C", 101));
    let spread = json!({"short_instrument_id": short, "long_instrument_id": long, "quantity": "1",
        "credit_price": "0.38", "client_order_id": "spread", "account_id": account});
    let placed = client.answer("option_credit_spread", spread.clone()).await;
    assert_eq!(
        (&placed["status"], &placed["filled_avg_price"]),
        (&json!("filled"), &json!("-0.38"))
    );
    let again = client.answer("option_credit_spread", spread).await;
    assert_eq!((&again["order_id"], &again["replayed"]), (&placed["order_id"], &json!(true)));
    let open = client.answer("open_option_positions", json!({"account_id": account})).await;
    assert_eq!(open["items"].as_array().unwrap().len(), 2);
    let grouped = client.answer("aggregate_option_positions", json!({"account_id": account})).await;
    assert_eq!(grouped["items"][0]["underlying_symbol"], "AAPL");

    // Bought back: the same spread the other way, at 2.60 - 2.08.
    let back = json!({"short_instrument_id": long, "long_instrument_id": short, "quantity": "1",
        "debit_price": "0.52", "account_id": account});
    let back = client.answer("option_debit_spread", back).await;
    assert_eq!(back["status"], "filled");
    let intents: Vec<_> =
        back["legs"].as_array().unwrap().iter().map(|leg| leg["position_intent"].clone()).collect();
    assert_eq!(intents, ["sell_to_close", "buy_to_close"]);
    let open = client.answer("open_option_positions", json!({"account_id": account})).await;
    assert_eq!(open["items"], json!([]));
    let all = client.answer("all_option_positions", json!({"account_id": account})).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);

    let legs = json!([{"symbol": contract("P", 98), "side": "buy"}, {"symbol": long, "side": "buy", "ratio_qty": 1}]);
    let straddle = json!({"legs": legs.to_string(), "quantity": "1", "limit_price": "3.00", "account_id": account});
    let resting = client.answer("place_multi_leg_order", straddle).await;
    assert_eq!(resting["status"], "accepted");
    let bought = json!({"instrument_id": long, "quantity": "1", "limit_price": "1.00", "account_id": account});
    let single = client.answer("buy_option_limit", bought).await;
    let orders = client.answer("open_option_orders", json!({"account_id": account})).await;
    assert_eq!(orders["items"].as_array().unwrap().len(), 2);
    let change = json!({"order_id": single["order_id"], "quantity": "2", "account_id": account});
    assert_eq!(client.answer("replace_order", change).await["qty"], "2");
    let named = json!({"order_id": single["order_id"], "account_id": account});
    assert_eq!(client.answer("cancel_option_order_by_id", named).await["status"], "canceled");
    let ended =
        client.answer("cancel_all_option_orders_tool", json!({"account_id": account})).await;
    assert_eq!(ended["items"][0]["order_id"], resting["order_id"]);
    let all = client.answer("options_orders", json!({"account_id": account})).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 4);
    let stocks = client.answer("stock_orders", json!({"account_id": account})).await;
    assert_eq!(stocks["items"], json!([]));
    let preview = json!({"order_class": "mleg", "type": "limit", "qty": "1", "limit_price": "4.00", "legs": legs, "account_id": account});
    let told = client.answer("preview_order", preview).await;
    assert_eq!(
        (&told["status"], &told["payoff"]["unlimited_profit"]),
        (&json!("filled"), &json!(true))
    );

    let call = json!({"instrument_id": short, "quantity": "2", "limit_price": "2.60", "account_id": account});
    assert_eq!(client.answer("buy_option_limit", call).await["status"], "filled");
    let sold = json!({"instrument_id": short, "quantity": "1", "limit_price": "9.00", "account_id": account});
    assert_eq!(client.answer("sell_option_limit", sold).await["position_intent"], "sell_to_close");
    // One of the two is set aside for the order that sells it.
    let exercised =
        json!({"instrument_id": short, "account_id": account, "idempotency_key": "once"});
    let cash =
        client.client.answer("account_info", json!({"account_id": account})).await["cash"].clone();
    let first = client.answer("exercise_option", exercised.clone()).await;
    assert_eq!(first["qty"], "1");
    let told = &first["ended"];
    assert_eq!(
        fields(told, &["end", "qty", "underlying_symbol", "shares", "net_amount", "shares_after"]),
        ["exercised", "1", "AAPL", "100", "-10000.00", "100"]
    );
    let [before, after] = [&cash, &told["cash_after"]]
        .map(|amount| amount.as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap());
    assert_eq!(before - after, 10_000.into());
    let again = client.answer("exercise_option", exercised).await;
    assert_eq!((&again["qty"], &again["replayed"]), (&json!("1"), &json!(true)));
    assert_eq!(&again["ended"], told, "sent again it tells what it did");
    let held = client.client.answer("positions", json!({"account_id": account})).await;
    let held = held["items"].as_array().unwrap();
    let shares = held.iter().find(|position| position["symbol"] == "AAPL").unwrap();
    // 100 * 100 for the shares, and 260 for the option.
    assert_eq!((&shares["qty"], &shares["cost_basis"]), (&json!("100"), &json!("10260.00")));
    client.answer("cancel_all_option_orders_tool", json!({"account_id": account})).await;
    let left = json!({"instrument_id": short, "account_id": account});
    client.answer("do_not_exercise_option", left).await;

    let answers = client.answers.take();
    let called: BTreeSet<_> = answers.iter().map(|(name, _)| *name).collect();
    let uncalled = OF_OPTIONS.iter().filter(|name| !called.contains(*name));
    assert_eq!(uncalled.count(), 0, "each of them was called");
    let tools = client.client.0.list_all_tools().await.unwrap();
    for (name, answer) in answers {
        let tool = tools.iter().find(|tool| tool.name == name).unwrap();
        let schema = Value::Object((**tool.output_schema.as_ref().unwrap()).clone());
        assert_eq!(misfit(&schema, &answer), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_a_tool_for_the_other_kind_is_told_which_to_use() {
    let (_desk, client, account) = started("option-kinds").await;
    let call = contract("C", 100);
    let stock_tool =
        json!({"symbol": call, "quantity": "1", "limit_price": "2.60", "account_id": account});
    let (said, block) = client.refusal("buy_stock_limit", stock_tool).await;
    assert!(said.contains("is an option: use buy_option_limit"), "{said}");
    assert_eq!(block["errors"][0]["field"], "symbol");
    let option_tool = json!({"instrument_id": "AAPL", "quantity": "1", "limit_price": "100", "account_id": account});
    let (said, block) = client.refusal("sell_option_limit", option_tool).await;
    assert!(said.contains("is a stock: use a tool for stock orders"), "{said}");
    assert_eq!(block["errors"][0]["field"], "instrument_id");
    // The calls on AAPL are at 100 and 101, those on MSFT none.
    for (unknown, near) in [
        ("AAPL240216C00777000", "nearest to it are AAPL240216C00101000, AAPL240216C00100000;"),
        ("AAPL240223C00090000", "nearest to it are AAPL240216C00100000, AAPL240216C00101000;"),
        ("MSFT240216C00777000", "nor any call on MSFT"),
    ] {
        let order = json!({"instrument_id": unknown, "quantity": "1", "limit_price": "1", "account_id": account});
        let (said, block) = client.refusal("buy_option_limit", order).await;
        assert!(said.contains(&format!("no contract {unknown} is listed")), "{said}");
        assert!(said.contains(near), "{said}");
        assert_eq!(block["code"], "unknown_symbol");
    }
    let legs =
        json!([{"symbol": call, "side": "sell"}, {"symbol": "AAPL240216C00102000", "side": "buy"}]);
    let package =
        json!({"legs": legs, "quantity": "1", "limit_price": "-0.10", "account_id": account});
    let (said, _) = client.refusal("place_multi_leg_order", package).await;
    assert!(said.contains("no contract AAPL240216C00102000 is listed: nearest"), "{said}");

    let resting =
        json!({"instrument_id": call, "quantity": "1", "limit_price": "1", "account_id": account});
    let resting = client.answer("buy_option_limit", resting).await;
    let named = json!({"order_id": resting["order_id"], "account_id": account});
    let (said, _) = client.refusal("cancel_stock_order_by_id", named).await;
    assert!(said.contains("use cancel_option_order_by_id"), "{said}");

    let negative = json!({"short_instrument_id": call, "long_instrument_id": contract("C", 101), "quantity": "1",
        "credit_price": "-0.38", "account_id": account});
    let (said, _) = client.refusal("option_credit_spread", negative).await;
    assert!(said.contains("credit_price has to be above 0"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spread_whose_legs_are_swapped_is_told_the_right_way_round() {
    let (_desk, client, account) = started("option-swapped").await;
    let calls = (contract("C", 100), contract("C", 101));
    let puts = (contract("P", 99), contract("P", 98));
    for (tool, price, (short, long), said_of) in [
        (
            "option_credit_spread",
            "credit_price",
            (&calls.1, &calls.0),
            "the call sold at 101.00 is worth less than the call bought at 100.00, so the spread costs money",
        ),
        (
            "option_debit_spread",
            "debit_price",
            (&calls.0, &calls.1),
            "the call sold at 100.00 is worth more than the call bought at 101.00, so the spread brings money",
        ),
        (
            "option_credit_spread",
            "credit_price",
            (&puts.1, &puts.0),
            "the put sold at 98.00 is worth less than the put bought at 99.00, so the spread costs money",
        ),
        (
            "option_debit_spread",
            "debit_price",
            (&puts.0, &puts.1),
            "the put sold at 99.00 is worth more than the put bought at 98.00, so the spread brings money",
        ),
    ] {
        let arguments = json!({"short_instrument_id": short, "long_instrument_id": long, "quantity": "1",
            price: "0.38", "account_id": account});
        let (said, block) = client.refusal(tool, arguments).await;
        assert!(said.contains(said_of), "{tool}: {said}");
        let turned =
            format!("give {long} as short_instrument_id and {short} as long_instrument_id");
        assert!(said.contains(&turned), "{tool}: {said}");
        assert_eq!(
            (&block["code"], &block["field"]),
            (&json!("invalid_order"), &json!("short_instrument_id"))
        );
    }
    let orders = client.answer("options_orders", json!({"account_id": account})).await;
    assert_eq!(orders["items"], json!([]), "nothing is recorded of them");
}

/// The clock has passed the last session, and the official close is not told: the options wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_ends_an_option_after_its_last_session_is_told_the_same_over_rest_and_mcp() {
    let (desk, client, account) = started("option-over").await;
    let (long, short) = (contract("C", 100), contract("P", 99));
    let order = |symbol: &str, price: &str| json!({"instrument_id": symbol, "quantity": "1", "limit_price": price, "account_id": account});
    client.answer("buy_option_limit", order(&long, "2.60")).await;
    client.answer("sell_option_limit", order(&short, "1.90")).await;
    desk.feed(&[quote("AAPL", "105", "106", "2024-02-20T15:00:00Z")]).await;
    let over_rest = async |symbol: &str, what: &str| {
        let path = format!("/v1/accounts/{account}/positions/{symbol}/{what}");
        let answer = desk.post(&path).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), 422, "{what}");
        answer.json::<Value>().await.unwrap()
    };
    for (what, tool) in
        [("exercise", "exercise_option"), ("do-not-exercise", "do_not_exercise_option")]
    {
        let told = over_rest(&long, what).await;
        assert_eq!(told["code"], "contract_expired", "{told}");
        let arguments = json!({"instrument_id": long, "account_id": account});
        let (said, block) = client.refusal(tool, arguments).await;
        assert_eq!((&block["code"], &json!(said)), (&told["code"], &told["detail"]));
    }
    assert_eq!(over_rest(&short, "assign").await["code"], "contract_expired");
}
