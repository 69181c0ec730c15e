//! A day of an agent, in both eras of the protocol.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::options_trading::tools::OF_OPTIONS;

use super::desk::{CALL, Client, Desk, discovery, handshake};

/// What the part of JSON schema that our tools use says against a value.
pub fn misfit(schema: &Value, value: &Value) -> Option<String> {
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

/// A day of an agent: every tool once but those that [`OF_OPTIONS`] names, what it answers held against the schema that the list gives.
async fn work(client: &Client) {
    let tools = client.0.list_all_tools().await.unwrap();
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
    let listed = call("list_tools", json!({})).await;
    let names: Vec<_> = listed["tools"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    assert_eq!(names, tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>());
    assert_eq!(call("health_check", json!({})).await["ready"], true);
    let aapl = json!({"symbol": "AAPL"});
    assert_eq!(call("stock_price", aapl.clone()).await["ask"], "101.00");
    assert_eq!(call("stock_info", aapl.clone()).await["price"]["bid"], "100.00");
    assert_eq!(call("stock_level2_data", aapl.clone()).await["bids"][1]["price"], "99.00");
    assert_eq!(call("market_hours", json!({"date": "2024-01-15"})).await["is_holiday"], true);
    assert_eq!(call("market_hours", json!({})).await["is_open"], true);
    let month = json!({"symbol": "AAPL", "period": "month"});
    assert_eq!(call("price_history", month).await["bars"][0]["high"], "103.00");
    let chain = json!({"symbol": "AAPL", "expiration_date": "2024-02-16", "option_type": "call"});
    for name in ["options_chains", "find_options"] {
        assert_eq!(call(name, chain.clone()).await["items"][0]["symbol"], CALL, "{name}");
    }
    let option = json!({"option_symbol": CALL});
    assert_eq!(call("option_market_data", option.clone()).await["quote"]["bid"], "3.80");
    let greeks = call("option_greeks", option).await;
    assert_eq!(
        (&greeks["model"], &greeks["missing"]),
        (&json!("black_scholes_merton"), &json!([]))
    );
    assert!(greeks["greeks"]["delta"].as_str().unwrap().starts_with("0.5"), "{greeks}");
    let dates = call("option_expirations", aapl.clone()).await;
    assert_eq!(dates["items"][0]["expiration_date"], "2024-02-16");
    assert_eq!(call("option_strikes", chain).await["items"][0]["strike_price"], "100.00");
    assert_eq!(call("analyze_option_chain", aapl.clone()).await["liquidity"]["quoted"], 1);
    let history = json!({"symbol": "AAPL", "expiration_date": "2024-02-16", "strike_price": "100", "option_type": "call"});
    assert_eq!(call("option_historicals", history).await["bars"][0]["high"], "3.70");
    let found = call("search_stocks_tool", json!({"query": "aap"})).await;
    assert_eq!(found["items"][0]["symbol"], "AAPL");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    let preview = call("preview_order", body).await;
    assert_eq!(
        (&preview["status"], &preview["estimated_cost"]),
        (&json!("filled"), &json!("1010.00"))
    );
    let order =
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": "95"});
    let risk = call("analyze_order_risk", order).await;
    let shown = json!([
        risk["status"],
        risk["before"]["concentration"],
        risk["after"]["reserved"],
        risk["if_filled_price"],
        risk["if_filled"]["cash"],
        risk["if_filled"]["position_value"],
    ]);
    assert_eq!(shown, json!(["accepted", "0", "950.00", "95.00", "9050.00", "1000.00"]));
    let empty = call("portfolio_risk", json!({})).await;
    assert_eq!(empty["missing"][2]["code"], "nothing_held", "{empty}");
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
    for (tool, stop, limit) in [
        ("buy_stock_stop_loss", "110.00", None),
        ("sell_stock_stop_loss", "90.00", None),
        ("buy_stock_stop_limit", "110.00", Some("111.00")),
        ("sell_stock_stop_limit", "90.00", Some("89.00")),
    ] {
        let mut order =
            json!({"symbol": "AAPL", "quantity": "1", "stop_price": stop, "trigger_by": "quote"});
        if let Some(limit) = limit {
            order["limit_price"] = json!(limit);
        }
        let waiting = call(tool, order).await;
        let shown = json!([
            waiting["status"],
            waiting["stop_price"],
            waiting["limit_price"],
            waiting["trigger_by"]
        ]);
        assert_eq!(shown, json!(["accepted", stop, limit, "quote"]), "{tool}");
        let cancel = json!({"order_id": waiting["order_id"]});
        assert_eq!(call("cancel_stock_order_by_id", cancel).await["status"], "canceled");
    }
    for (tool, hwm, stop) in [
        ("buy_stock_trailing_stop", "101.00", "106.05"),
        ("sell_stock_trailing_stop", "100.00", "95.00"),
    ] {
        let order = json!({"symbol": "AAPL", "quantity": "1", "trail_amount": "5", "trail_type": "percent",
            "trigger_by": "quote"});
        let waiting = call(tool, order).await;
        let shown = json!([
            waiting["status"],
            waiting["hwm"],
            waiting["stop_price"],
            waiting["trail_percent"]
        ]);
        assert_eq!(shown, json!(["accepted", hwm, stop, "5.00"]), "{tool}");
        let cancel = json!({"order_id": waiting["order_id"]});
        assert_eq!(call("cancel_stock_order_by_id", cancel).await["status"], "canceled");
    }
    let order = json!({"symbol": "AAPL", "quantity": "1", "trail_amount": "5", "trail_type": "price",
        "limit_offset": "0.5", "activation_price": "120", "trigger_by": "quote"});
    let waiting = call("sell_stock_trailing_stop", order).await;
    let shown = json!([waiting["type"], waiting["hwm"], waiting["activation_price"]]);
    assert_eq!(shown, json!(["trailing_stop_limit", null, "120.00"]));
    let change =
        json!({"order_id": waiting["order_id"], "limit_offset": "1", "activation_price": "130"});
    let changed = call("replace_order", change).await;
    let shown = json!([changed["limit_offset"], changed["activation_price"], changed["revision"]]);
    assert_eq!(shown, json!(["1.00", "130.00", 1]));
    let cancel = json!({"order_id": waiting["order_id"]});
    assert_eq!(call("cancel_stock_order_by_id", cancel).await["status"], "canceled");
    let bracket = json!({"symbol": "AAPL", "side": "buy", "quantity": "1", "limit_price": "99",
        "take_profit_limit_price": "110", "stop_loss_stop_price": "90", "stop_loss_limit_price": "89.5"});
    let waiting = call("place_bracket_order", bracket).await;
    assert_eq!((&waiting["status"], &waiting["type"]), (&json!("accepted"), &json!("limit")));
    let exits = waiting["children"].as_array().unwrap().iter();
    let exits: Vec<_> = exits.map(|exit| json!([exit["status"], exit["type"]])).collect();
    assert_eq!(exits, [json!(["held", "limit"]), json!(["held", "stop_limit"])]);
    let exit = call("order_by_id", json!({"order_id": waiting["children"][1]["order_id"]})).await;
    assert_eq!(exit["parent_order_id"], waiting["order_id"]);
    let cancel = json!({"order_id": waiting["order_id"]});
    let ended = call("cancel_stock_order_by_id", cancel).await;
    assert_eq!(ended["children"][0]["cancel_reason"], "parent_ended");
    let oto = json!({"symbol": "AAPL", "side": "buy", "quantity": "1", "limit_price": "99", "order_class": "oto",
        "stop_loss_stop_price": "90"});
    let waiting = call("place_bracket_order", oto).await;
    let exits = waiting["children"].as_array().unwrap().iter();
    let exits: Vec<_> = exits.map(|exit| json!([exit["status"], exit["type"]])).collect();
    assert_eq!(exits, [json!(["held", "stop"])]);
    let cancel = json!({"order_id": waiting["order_id"]});
    assert_eq!(call("cancel_stock_order_by_id", cancel).await["status"], "canceled");
    let oco = json!({"symbol": "AAPL", "side": "sell", "quantity": "1", "order_class": "oco",
        "take_profit_limit_price": "110", "stop_loss_stop_price": "90"});
    let pair = call("place_bracket_order", oco).await;
    let shown = json!([pair["status"], pair["limit_price"], pair["children"][0]["stop_price"]]);
    assert_eq!(shown, json!(["accepted", "110.00", "90.00"]));
    let cancel = json!({"order_id": pair["children"][0]["order_id"]});
    assert_eq!(call("cancel_stock_order_by_id", cancel).await["status"], "canceled");
    let body = json!({"symbol": "AAPL", "side": "sell", "type": "limit", "qty": "1", "order_class": "oco",
        "take_profit": {"limit_price": 110}, "stop_loss": {"stop_price": "90"}});
    let preview = call("preview_order", body).await;
    let (before, after) = (&preview["before"], &preview["after"]);
    let free = |figures: &Value| figures["position_qty_available"].as_str().unwrap().parse::<i64>();
    assert_eq!(free(before).unwrap() - free(after).unwrap(), 1, "reserved once for both");
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1", "order_class": "bracket",
        "take_profit": {"limit_price": 110}, "stop_loss": {"stop_price": "90"}});
    let preview = call("preview_order", body).await;
    let after = &preview["after"];
    let shown = json!([preview["status"], after["position_qty"], after["position_qty_available"]]);
    assert_eq!(shown, json!(["filled", "11", "8"]), "its exits would reserve what it buys");
    let sold = call("sell_stock_market", json!({"symbol": "AAPL", "quantity": "3"})).await;
    assert_eq!(sold["filled_avg_price"], "100.00");
    let open = call("stock_orders", json!({"status": "open"})).await;
    assert_eq!(open["items"].as_array().unwrap().len(), 2);
    assert_eq!(call("open_stock_orders", json!({"symbol": "AAPL"})).await["items"], open["items"]);
    let by_id = call("order_by_id", json!({"order_id": resting["order_id"]})).await;
    assert_eq!(by_id["status"], "accepted");
    let waited = json!({"order_id": bought["order_id"], "status": "filled"});
    assert_eq!(call("wait_for_order", waited).await["reached"], true);
    let change = json!({"order_id": resting["order_id"], "quantity": "4", "limit_price": "99"});
    let replaced = call("replace_order", change).await;
    assert_eq!((&replaced["qty"], &replaced["revision"]), (&json!("4"), &json!(1)));
    let canceled = call("cancel_stock_order_by_id", json!({"order_id": resting["order_id"]})).await;
    assert_eq!(canceled["status"], "canceled");
    let history = call("order_history", json!({"order_id": resting["order_id"]})).await;
    let events: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|event| &event["event_type"]).collect();
    assert_eq!(events, ["OrderPlaced", "OrderReplaced", "OrderCanceled"]);
    let positions = call("positions", json!({})).await;
    assert_eq!(positions["items"][0]["qty"], "7");
    assert_eq!(positions["items"][0]["qty_available"], "5");
    // 10,000 - 10 x 101 + 3 x 100
    assert_eq!(call("account_info", json!({})).await["cash"], "9290.00");
    assert_eq!(call("account_details", json!({})).await["cash"], "9290.00");
    assert_eq!(call("get_account_balance", json!({})).await["buying_power"], "9290.00");
    assert_eq!(call("get_all_accounts", json!({})).await["items"][0]["name"], "agents");
    for wanted in [json!({"types": ["FILL"]}), json!({"types": "FILL", "period": "1D"})] {
        let activities = call("account_activities", wanted).await;
        assert_eq!(activities["items"].as_array().unwrap().len(), 2);
    }
    // Seven shares at the bid of 100.
    for name in ["portfolio", "get_portfolio"] {
        let portfolio = call(name, json!({})).await;
        assert_eq!(
            (&portfolio["equity"], &portfolio["positions"][0]["qty"]),
            (&json!("9990.00"), &json!("7"))
        );
    }
    assert_eq!(call("get_portfolio_summary", json!({})).await["equity"], "9990.00");
    let history = call("portfolio_history", json!({"period": "1M", "limit": 500})).await;
    assert_eq!(history["timeframe"], "1D");
    assert_eq!(history["items"].as_array().unwrap().len(), 1);
    let then = call("replay_account_at", json!({"position": bought["position"]})).await;
    assert_eq!((&then["cash"], &then["positions"][0]["qty"]), (&json!("8990.00"), &json!("10")));
    let ended = call("cancel_all_stock_orders_tool", json!({})).await;
    assert_eq!(ended["items"].as_array().unwrap().len(), 1);
    let closed = call("close_position", json!({"symbol": "AAPL", "percentage": 50})).await;
    assert_eq!((&closed["qty"], &closed["status"]), (&json!("3"), &json!("filled")));
    let trail = call("audit_trail", json!({"order_id": resting["order_id"]})).await;
    assert_eq!(trail["items"].as_array().unwrap().len(), 3);
    assert_eq!(trail["items"][0]["metadata"]["interface"], "mcp");
    assert_eq!(call("verify_audit", json!({})).await["valid"], true);

    let called: BTreeSet<_> = answers.iter().map(|(name, _)| *name).collect();
    let known = |name: &str| called.contains(name) || OF_OPTIONS.contains(&name);
    let uncalled = tools.iter().filter(|tool| !known(&tool.name));
    assert_eq!(uncalled.count(), 0, "each tool was called");
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
    work(&desk.client(discovery()).await).await;
}

#[tokio::test]
async fn a_wait_ends_with_the_fill_that_it_waits_for_and_not_before() {
    let desk = Desk::start("mcp-wait").await;
    let client = desk.client(discovery()).await;
    let order = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99"});
    let order = client.answer("buy_stock_limit", order).await["order_id"].clone();
    let wait = |status: &str, seconds: u32| json!({"order_id": order, "status": status, "timeout_seconds": seconds});

    let start = Instant::now();
    let waited = client.answer("wait_for_order", wait("filled", 1)).await;
    assert_eq!((&waited["reached"], &waited["status"]), (&json!(false), &json!("accepted")));
    assert_eq!(waited["stopping"], false, "the time was over");
    assert!(start.elapsed() >= Duration::from_secs(1));
    let waited = client.answer("wait_for_order", wait("accepted", 0)).await;
    assert_eq!(waited["reached"], true);

    let start = Instant::now();
    let waiting = client.answer("wait_for_order", wait("filled", 30));
    let falling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        desk.quote("98", "99").await;
    };
    let (waited, ()) = tokio::join!(waiting, falling);
    assert_eq!((&waited["reached"], &waited["filled_avg_price"]), (&json!(true), &json!("99.00")));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());

    // It will never be canceled any more: there is nothing to wait for.
    let start = Instant::now();
    let waited = client.answer("wait_for_order", wait("canceled", 30)).await;
    assert_eq!((&waited["reached"], &waited["status"]), (&json!(false), &json!("filled")));
    assert!(start.elapsed() < Duration::from_secs(10));
    let (_, block) = client.refusal("wait_for_order", wait("filled", 61)).await;
    assert_eq!(block["field"], "timeout_seconds");
}

#[tokio::test]
async fn what_is_refused_honestly_names_what_it_is() {
    let desk = Desk::start("mcp-extended").await;
    let client = desk.client(handshake()).await;
    let order = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99", "extended_hours": true,
            "time_in_force": "fok"});
    let (_, block) = client.refusal("buy_stock_limit", order).await;
    assert_eq!(
        (&block["code"], &block["field"]),
        (&json!("invalid_order"), &json!("extended_hours"))
    );
}
