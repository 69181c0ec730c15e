//! What orders of options move, with every figure worked out by hand.

use serde_json::json;

use super::{Desk, contract, credit_spread, fields, iron_condor, single};
use crate::support::rest::quote;

/// 10,000 - 2.60 * 100 = 9,740. The bid is 2.50: the call is worth 250, 10 less than it cost.
#[tokio::test]
async fn a_long_call_costs_a_hundred_times_its_price() {
    let desk = Desk::start("margin", "10000", 3).await;
    let call = contract("C", 100);
    let order = desk.place(single("buy", &call, "2.70")).await;
    let names = [
        "status",
        "filled_qty",
        "filled_avg_price",
        "kind",
        "underlying_symbol",
        "position_intent",
    ];
    let told = ["filled", "1", "2.60", "option", "AAPL", "buy_to_open"];
    assert_eq!(fields(&order, &names), told);
    let now = desk.now().await;
    let names = [
        "cash",
        "reserved",
        "equity",
        "long_market_value",
        "initial_margin",
        "options_buying_power",
    ];
    assert_eq!(fields(&now, &names), ["9740.00", "0.00", "9990.00", "250.00", "0.00", "9740.00"]);
    let held = desk.position(&call).await;
    let names = ["kind", "qty", "avg_entry_price", "cost_basis", "market_value", "unrealized_pl"];
    assert_eq!(fields(&held, &names), ["option", "1", "2.60", "260.00", "250.00", "-10.00"]);

    let sold = desk.place(single("sell", &call, "2.50")).await;
    assert_eq!(fields(&sold, &["status", "position_intent"]), ["filled", "sell_to_close"]);
    assert_eq!(fields(&desk.now().await, &["cash", "equity"]), ["9990.00", "9990.00"]);
    let closed = desk.position(&call).await;
    assert_eq!(fields(&closed, &["qty", "realized_pl"]), ["0", "-10.00"]);
}

/// 20,000 - 101 * 100 = 9,900; + 2.08 * 100 = 10,108. The shares cover the call: they cannot be sold while it is short.
#[tokio::test]
async fn a_call_is_covered_by_shares_that_then_stay() {
    let desk = Desk::start("cash", "20000", 1).await;
    let call = contract("C", 101);
    let refused = desk.refused(single("sell", &call, "2.08")).await;
    assert_eq!(refused["code"], "option_level", "{refused}");
    let shares = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "100"});
    assert_eq!(desk.place(shares).await["status"], "filled");
    let sold = desk.place(single("sell", &call, "2.08")).await;
    assert_eq!(fields(&sold, &["status", "position_intent"]), ["filled", "sell_to_open"]);
    assert_eq!(fields(&desk.now().await, &["cash", "short_market_value"]), ["10108.00", "-212.00"]);
    let shares = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "1"});
    let refused = desk.rest.post(&desk.path("/orders"), shares).await;
    let refused = refused.json();
    assert!(
        refused["code"] == "option_level" || refused["cancel_reason"] == "option_level",
        "{refused}"
    );
    let said = "covers each call by 100 shares that no order has reserved, so keep or buy those, buy calls back first";
    assert!(refused.to_string().contains(said), "{refused}");
    let held = desk.position("AAPL").await;
    assert_eq!(fields(&held, &["qty", "qty_available", "qty_covering"]), ["100", "0", "100"]);
    assert_eq!(desk.now().await["collateral"], "0.00");
    let grouped = desk.rest.get(&desk.path("/option-positions")).await.expect(200);
    let covers = json!([{"name": "covered_call", "requirement": "0.00",
        "legs": [{"symbol": "AAPL", "qty": "100"}, {"symbol": call, "qty": "-1"}]}]);
    assert_eq!(
        (&grouped["items"][0]["covers"], &grouped["items"][0]["requirement"]),
        (&covers, &json!("0.00"))
    );
    desk.place(single("buy", &call, "2.12")).await;
    let held = desk.position("AAPL").await;
    assert_eq!(fields(&held, &["qty_available", "qty_covering"]), ["100", "0"], "nothing is short");
}

/// Of 300 shares 100 cover the call, and the other 200 can be sold in one order.
#[tokio::test]
async fn shares_that_cover_no_call_are_sold() {
    let desk = Desk::start("cash", "50000", 1).await;
    let shares = |side, qty| json!({"symbol": "AAPL", "side": side, "type": "market", "qty": qty});
    assert_eq!(desk.place(shares("buy", "300")).await["status"], "filled");
    let sold = desk.place(single("sell", &contract("C", 101), "2.08")).await;
    assert_eq!(sold["status"], "filled");
    assert_eq!(desk.position("AAPL").await["qty_available"], "200");
    let sold = desk.place(shares("sell", "200")).await;
    assert_eq!(fields(&sold, &["status", "filled_qty"]), ["filled", "200"]);
    let held = desk.position("AAPL").await;
    assert_eq!(fields(&held, &["qty", "qty_available", "qty_covering"]), ["100", "0", "100"]);
}

/// 10,000 + 1.90 * 100 = 10,190, of which the strike of 99 * 100 = 9,900 is set aside.
#[tokio::test]
async fn a_put_is_secured_by_cash_that_is_then_set_aside() {
    let desk = Desk::start("cash", "10000", 1).await;
    let sold = desk.place(single("sell", &contract("P", 99), "1.90")).await;
    assert_eq!(sold["status"], "filled");
    let now = desk.now().await;
    let names = ["cash", "reserved", "collateral", "buying_power"];
    assert_eq!(fields(&now, &names), ["10190.00", "0.00", "9900.00", "290.00"]);
    let worth = desk.rest.get(&desk.path("/portfolio")).await.expect(200);
    assert_eq!(fields(&worth, &names), ["10190.00", "0.00", "9900.00", "290.00"]);
    let grouped = desk.rest.get(&desk.path("/option-positions")).await.expect(200);
    let cover = &grouped["items"][0]["covers"][0];
    assert_eq!(fields(cover, &["name", "requirement"]), ["cash_secured_put", "9900.00"]);
    let more = desk.refused(single("sell", &contract("P", 98), "1.50")).await;
    assert_eq!(more["code"], "insufficient_buying_power", "{more}");
}

/// The legs bring 2.50 - 2.12 = 0.38. Cash 10,038 less the width of 100 leaves 9,938 for options, twice that for stock.
#[tokio::test]
async fn a_credit_spread_is_one_order_and_needs_its_width() {
    let desk = Desk::start("margin", "10000", 3).await;
    let order = desk.place(credit_spread("-0.38")).await;
    let names =
        ["symbol", "side", "underlying_symbol", "order_class", "status", "filled_avg_price"];
    assert_eq!(fields(&order, &names), ["null", "null", "AAPL", "mleg", "filled", "-0.38"]);
    let names =
        ["symbol", "side", "ratio_qty", "position_intent", "filled_qty", "filled_avg_price"];
    let (short, long) = (contract("C", 100), contract("C", 101));
    assert_eq!(
        fields(&order["legs"][0], &names),
        [&short, "sell", "1", "sell_to_open", "1", "2.50"]
    );
    assert_eq!(fields(&order["legs"][1], &names), [&long, "buy", "1", "buy_to_open", "1", "2.12"]);
    let names = ["cash", "reserved", "initial_margin", "options_buying_power", "buying_power"];
    let told = ["10038.00", "0.00", "100.00", "9938.00", "19876.00"];
    assert_eq!(fields(&desk.now().await, &names), told);

    let alone = desk.refused(single("sell", &long, "2.08")).await;
    assert_eq!(alone["code"], "option_level", "the short leg would be naked: {alone}");
}

/// 0.38 of the calls and 1.90 - 1.55 = 0.35 of the puts: cash 10,073. Only one wing can be lost: 100, which leaves 9,973.
#[tokio::test]
async fn an_iron_condor_needs_its_larger_wing() {
    let desk = Desk::start("margin", "10000", 3).await;
    let order = desk.place(iron_condor("-0.70")).await;
    assert_eq!(fields(&order, &["status", "filled_avg_price"]), ["filled", "-0.73"]);
    let names = ["cash", "initial_margin", "options_buying_power"];
    assert_eq!(fields(&desk.now().await, &names), ["10073.00", "100.00", "9973.00"]);
    let grouped = desk.rest.get(&desk.path("/option-positions")).await.expect(200);
    let of = &grouped["items"][0];
    let names = ["underlying_symbol", "shares", "long_contracts", "short_contracts", "cost_basis"];
    // 1.55 + 2.12 bought, 1.90 + 2.50 sold: 367 - 440.
    assert_eq!(fields(of, &names), ["AAPL", "0", "2", "-2", "-73.00"]);
    // What a short holding brought is below zero on every page.
    let short = desk.position(&contract("C", 100)).await;
    let names = ["qty", "avg_entry_price", "cost_basis"];
    assert_eq!(fields(&short, &names), ["-1", "2.50", "-250.00"]);
    let portfolio = desk.rest.get(&desk.path("/portfolio")).await.expect(200);
    assert_eq!(portfolio["cost_basis"], "-73.00", "{portfolio}");
    let shown = portfolio["positions"].as_array().unwrap().iter();
    let costs: Vec<&str> = shown.map(|it| it["cost_basis"].as_str().unwrap()).collect();
    assert_eq!(costs, ["-250.00", "212.00", "155.00", "-190.00"]);
    assert_eq!(fields(&of["covers"][0], &["name", "requirement"]), ["iron_condor", "100.00"]);
    assert_eq!(of["covers"].as_array().unwrap().len(), 1);
    assert_eq!(of["covers"][0]["legs"].as_array().unwrap().len(), 4);
    assert_eq!(of["requirement"], "100.00");
    assert_eq!(of["greeks"]["missing"], json!([]), "{of}");
    let delta: f64 = of["greeks"]["delta"].as_str().unwrap().parse().unwrap();
    assert!(delta.abs() < 20.0, "{of}");
}

/// A spread that can lose 100 at most, a call that shares cover, and two puts: what each needs comes to the margin of all.
#[tokio::test]
async fn what_each_strategy_needs_sums_to_the_margin_of_the_options() {
    let desk = Desk::start("margin", "60000", 4).await;
    let shares = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "100"});
    desk.place(shares).await;
    desk.place(single("sell", &contract("C", 101), "2.08")).await;
    desk.place(credit_spread("-0.38")).await;
    desk.place(single("sell", &contract("P", 99), "1.90")).await;
    desk.place(single("sell", &contract("P", 98), "1.50")).await;
    let now = desk.now().await;
    let grouped = desk.rest.get(&desk.path("/option-positions")).await.expect(200);
    let of = &grouped["items"][0];
    let covers = of["covers"].as_array().unwrap();
    let cents =
        |of: &serde_json::Value| of.as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
    let sum: i64 = covers.iter().map(|cover| cents(&cover["requirement"])).sum();
    assert_eq!(sum, cents(&of["requirement"]), "{of}");
    // Half of the shares at the bid of 100, and the options.
    assert_eq!(cents(&now["initial_margin"]), 500_000 + sum, "{of}");
    assert!(sum > 0 && covers.len() > 2, "{of}");
}

/// The example of the rules: what a margin account has for options and for stock.
#[tokio::test]
async fn buying_power_is_what_shares_options_and_orders_leave_of_the_margin_equity() {
    let desk = Desk::start("margin", "10000", 3).await;
    desk.place(json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"})).await;
    desk.place(credit_spread("-0.38")).await;
    let resting = desk.place(single("buy", &contract("P", 98), "1.00")).await;
    assert_eq!(resting["status"], "accepted");
    let names =
        ["cash", "initial_margin", "reserved", "options_buying_power", "buying_power", "equity"];
    let told = ["9028.00", "600.00", "100.00", "9328.00", "18656.00", "9976.00"];
    assert_eq!(fields(&desk.now().await, &names), told);
}

/// The example of the rules: 10,000 - 30 * 260 + 20 * 100 = 4,200 in cash. 20 shares are bought back for 4,000, the calls
/// bring 7,500, and 30 % of 4,000 have to back the shares.
#[tokio::test]
async fn a_margin_call_is_told_by_the_margin_equity_and_the_equity_counts_the_options_beside_it() {
    let desk = Desk::start("margin", "10000", 3).await;
    let mut calls = single("buy", &contract("C", 100), "2.60");
    calls["qty"] = json!("30");
    let bought = desk.place(calls).await;
    assert_eq!(bought["status"], "filled");
    let short = json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "20"});
    assert_eq!(desk.place(short.clone()).await["status"], "filled");
    let names = ["cash", "equity", "margin_equity", "maintenance_margin"];
    // 20 * 101 are owed, of which 30 % have to back them.
    let told = ["4200.00", "9680.00", "2180.00", "606.00"];
    assert_eq!(fields(&desk.now().await, &names), told);
    let high = quote("AAPL", "199", "200", "2024-01-17T15:01:00Z");
    desk.rest.feed(&[high]).await.expect(200);
    let now = desk.now().await;
    assert_eq!(fields(&now, &names), ["4200.00", "7700.00", "200.00", "1200.00"]);
    assert_eq!(now["flags"], json!(["margin_call"]));
    let refused = desk.refused(short.clone()).await;
    assert_eq!(refused["code"], "margin_call");
    let figures = json!({"margin_equity": "200.00", "maintenance_margin": "1200.00"});
    assert_eq!(refused["figures"], figures);
    // What the event of the rejection keeps is the same.
    let path = desk.path(&format!("/orders/{}/events", refused["order_id"].as_str().unwrap()));
    let events = desk.rest.get(&path).await.expect(200);
    assert_eq!(
        events["items"][0]["payload"]["OrderRejected"]["reject"]["figures"], figures,
        "{events}"
    );
}

/// AAPL asked at 101, a put of 98 sold and asked at 1.55: 155 and the higher of 2,020 - 300 and 980 at level 4, else its
/// whole strike, which margin equity backs, and so has a name of its own.
#[tokio::test]
async fn a_naked_put_below_the_level_for_it_sets_its_whole_strike_aside() {
    for (level, margin, left, name) in
        [(4, "1875.00", "8275.00", "naked_put"), (3, "9800.00", "350.00", "secured_put")]
    {
        let desk = Desk::start("margin", "10000", level).await;
        desk.place(single("sell", &contract("P", 98), "1.50")).await;
        let names = ["cash", "initial_margin", "options_buying_power"];
        assert_eq!(fields(&desk.now().await, &names), ["10150.00", margin, left], "{level}");
        let grouped = desk.rest.get(&desk.path("/option-positions")).await.expect(200);
        let cover = &grouped["items"][0]["covers"][0];
        assert_eq!(fields(cover, &["name", "requirement"]), [name, margin], "{level}");
    }
}
