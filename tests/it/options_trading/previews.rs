//! Previews of orders of options: they tell what placing does, and what the options come to when they expire.

use serde_json::{Value, json};

use super::{Desk, contract, credit_spread, fields, iron_condor, package, single};

const FIGURES: [&str; 6] = [
    "cash",
    "reserved",
    "buying_power",
    "options_buying_power",
    "initial_margin",
    "maintenance_margin",
];

#[tokio::test]
async fn a_preview_is_what_placing_does() {
    let desk = Desk::start("margin", "10000", 3).await;
    let call = contract("C", 100);
    let orders = [
        single("buy", &call, "2.60"),
        single("buy", &call, "2.00"),
        single("sell", &call, "2.50"),
        credit_spread("-0.38"),
        credit_spread("-0.50"),
        iron_condor("-0.73"),
        single("sell", &call, "9.00"),
        single("buy", &call, "500.00"),
        package(&[("buy", contract("P", 98)), ("buy", contract("C", 101))], "3.67"),
    ];
    let mut refused = 0;
    for body in orders {
        let before = desk.now().await;
        let head = desk.rest.head();
        let told = desk.rest.post(&desk.path("/orders/preview"), body.clone()).await;
        assert_eq!(desk.rest.head(), head, "a preview writes nothing");
        let done = desk.rest.post(&desk.path("/orders"), body.clone()).await;
        let status = told.status;
        let (told, order) = (told.json(), done.json());
        if done.status == 422 {
            refused += 1;
            assert_eq!(status, 422, "{body}: {told}");
            assert_eq!((&told["code"], &told["figures"]), (&order["code"], &order["figures"]));
            continue;
        }
        assert_eq!((status.as_u16(), done.status.as_u16()), (200, 201), "{body}: {told}");
        let names =
            ["symbol", "side", "status", "filled_qty", "filled_avg_price", "position_intent"];
        assert_eq!(fields(&told, &names), fields(&order, &names), "{body}");
        assert_eq!(fields(&told["before"], &FIGURES), fields(&before, &FIGURES), "{body}");
        assert_eq!(fields(&told["after"], &FIGURES), fields(&desk.now().await, &FIGURES), "{body}");
        let intents = |of: &Value| {
            let legs = of["legs"].as_array().unwrap().iter();
            legs.map(|leg| leg["position_intent"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(intents(&told), intents(&order), "{body}");
    }
    assert!(refused >= 1, "one of them is beyond the means of the account");
}

async fn payoff(desk: &Desk, body: Value) -> Vec<String> {
    let told = desk.rest.post(&desk.path("/orders/preview"), body).await.expect(200);
    let names =
        ["net_cost", "max_loss", "unlimited_loss", "max_profit", "unlimited_profit", "break_even"];
    fields(&told["payoff"], &names)
}

#[tokio::test]
async fn a_preview_says_what_can_be_lost_and_won() {
    let desk = Desk::start("margin", "100000", 4).await;
    // Sold at 2.50, bought at 2.12, a dollar apart: 38 to win, 62 to lose.
    let told = payoff(&desk, credit_spread("-0.38")).await;
    assert_eq!(told, ["-38.00", "62.00", "false", "38.00", "false", "[\"100.38\"]"]);
    let told = payoff(&desk, single("buy", &contract("C", 100), "2.60")).await;
    assert_eq!(told, ["260.00", "260.00", "false", "null", "true", "[\"102.60\"]"]);
    let told = payoff(&desk, single("sell", &contract("C", 100), "2.50")).await;
    assert_eq!(told, ["-250.00", "null", "true", "250.00", "false", "[\"102.50\"]"]);
    let told = payoff(&desk, iron_condor("-0.73")).await;
    assert_eq!(told, ["-73.00", "27.00", "false", "73.00", "false", "[\"98.27\",\"100.73\"]"]);
}

#[tokio::test]
async fn a_preview_has_the_greeks_of_the_package_and_the_risk_those_of_the_position() {
    let desk = Desk::start("margin", "10000", 3).await;
    let call = contract("C", 100);
    let told = desk.rest.post(&desk.path("/orders/preview"), single("buy", &call, "2.60")).await;
    let told = told.expect(200);
    let number = |of: &Value| of.as_str().unwrap().parse::<f64>().unwrap();
    let delta = number(&told["greeks"]["delta"]);
    let one =
        desk.rest.get(&format!("/v1/market/options/contracts/{call}/greeks")).await.expect(200);
    let of_share = number(&one["greeks"]["delta"]);
    assert!((delta - 100.0 * of_share).abs() < 0.01, "{delta} {of_share}");

    desk.place(single("buy", &call, "2.60")).await;
    let shares =
        json!({"symbol": call, "side": "buy", "type": "limit", "qty": "1", "limit_price": "2.60"});
    let risk = desk.rest.post(&desk.path("/orders/preview/risk"), shares).await.expect(200);
    let (before, after) =
        (number(&risk["greeks_before"]["delta"]), number(&risk["greeks_after"]["delta"]));
    assert!((before - delta).abs() < 0.01 && (after - 2.0 * delta).abs() < 0.02, "{risk}");
}

#[tokio::test]
async fn greeks_that_cannot_be_told_are_missing_with_a_reason() {
    let desk = Desk::start("margin", "10000", 3).await;
    let unpriced = contract("C", 105);
    desk.rest.feed(&[super::listed(&unpriced)]).await.expect(200);
    let told =
        desk.rest.post(&desk.path("/orders/preview"), single("buy", &unpriced, "0.50")).await;
    let told = told.expect(200);
    assert_eq!(told["greeks"]["delta"], Value::Null);
    let missing = json!([{"symbol": unpriced, "why": ["option_price"]}]);
    assert_eq!(told["greeks"]["missing"], missing);
    assert_eq!(told["payoff"]["max_loss"], "50.00", "what it costs is known: {told}");
}

/// 100 shares bought at 101 and a call of 101 sold at 2.08: 10,100 - 208 can be lost, 208 can be won.
#[tokio::test]
async fn a_preview_of_a_covered_call_counts_the_shares_that_cover_it() {
    let desk = Desk::start("cash", "20000", 1).await;
    let shares = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "150"});
    assert_eq!(desk.place(shares).await["status"], "filled");
    let call = single("sell", &contract("C", 101), "2.08");
    let names = ["covering_shares", "covering_price"];
    for path in ["/orders/preview", "/orders/preview/risk"] {
        let told = desk.rest.post(&desk.path(path), call.clone()).await.expect(200);
        assert_eq!(fields(&told["payoff"], &names), ["100", "101.00"], "{told}");
    }
    let told = payoff(&desk, call.clone()).await;
    assert_eq!(told, ["-208.00", "9892.00", "false", "208.00", "false", "[\"98.92\"]"]);
    // The other 50 cover no second one, which a cash account cannot sell: a margin account loses without bound by it.
    let desk = Desk::start("margin", "100000", 4).await;
    let shares = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "150"});
    assert_eq!(desk.place(shares).await["status"], "filled");
    assert_eq!(desk.place(call.clone()).await["status"], "filled");
    let told = payoff(&desk, call).await;
    assert_eq!(told, ["-208.00", "null", "true", "208.00", "false", "[\"103.08\"]"]);
}

/// At the market a package may cost what is bought with the collar: 2.12 * 1.05 = 2.226; what is sold may bring nothing.
#[tokio::test]
async fn a_preview_says_what_price_the_worst_cost_is_counted_at() {
    let desk = Desk::start("margin", "10000", 3).await;
    let mut body = credit_spread("-0.38");
    let told = desk.rest.post(&desk.path("/orders/preview"), body.clone()).await.expect(200);
    assert_eq!(fields(&told, &["worst_price"]), ["-0.38"], "{told}");
    body["type"] = json!("market");
    body.as_object_mut().unwrap().remove("limit_price");
    let told = desk.rest.post(&desk.path("/orders/preview"), body).await.expect(200);
    assert_eq!(fields(&told, &["worst_price"]), ["2.226"], "{told}");
}

/// 9,740 in cash and a call at its bid of 2.50, which a split divides: 2 calls at 1.25, until somebody quotes them.
#[tokio::test]
async fn a_preview_of_a_cash_account_has_the_same_equity_before_and_after_a_split() {
    let desk = Desk::start("cash", "10000", 2).await;
    let call = contract("C", 100);
    assert_eq!(desk.place(single("buy", &call, "2.60")).await["status"], "filled");
    let share = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
    let valued = async || {
        for path in ["/orders/preview", "/orders/preview/risk"] {
            let told = desk.rest.post(&desk.path(path), share.clone()).await.expect(200);
            assert_eq!(fields(&told["before"], &["equity"]), ["9990.00"], "{told}");
            assert_eq!(
                (&told["unmarked"], &told["before"]["initial_margin"]),
                (&json!([]), &Value::Null)
            );
        }
    };
    valued().await;
    let split = json!({"t": "split", "symbol": "AAPL", "numerator": "2", "denominator": "1", "id": "s",
        "at": "2024-01-17T15:01:00Z"});
    let halved = crate::support::rest::quote("AAPL", "50", "51", "2024-01-17T15:01:01Z");
    desk.rest.feed(&[split, halved]).await.expect(200);
    valued().await;
}

/// 10,000 less 1.50 * 100 for a call, less 10 * 100 for the shares that exercising it brings: nobody has quoted those.
#[tokio::test]
async fn a_preview_of_a_cash_account_names_a_holding_without_a_price_and_counts_it_as_nothing() {
    let desk = Desk::start("cash", "10000", 2).await;
    let call = "MSFT240216C00010000";
    let quoted = crate::support::rest::quote(call, "1.40", "1.50", crate::support::rest::OPEN);
    let mut option = super::listed(call);
    option["underlying"] = json!("MSFT");
    let lines = [crate::support::rest::instrument("MSFT"), option, quoted];
    desk.rest.feed(&lines).await.expect(200);
    assert_eq!(desk.place(single("buy", call, "1.50")).await["status"], "filled");
    let exercise = desk.path(&format!("/positions/{call}/exercise"));
    desk.rest.post(&exercise, json!({})).await.expect(200);
    assert_eq!(fields(&desk.position("MSFT").await, &["qty", "current_price"]), ["100", "null"]);
    let share = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
    for path in ["/orders/preview", "/orders/preview/risk"] {
        let told = desk.rest.post(&desk.path(path), share.clone()).await.expect(200);
        assert_eq!(told["unmarked"], json!(["MSFT"]), "{path}: {told}");
        let names = ["cash", "equity", "buying_power"];
        assert_eq!(fields(&told["before"], &names), ["8850.00", "null", "8850.00"], "{told}");
        // One share at the ask of 101: a cash account needs no price of what it holds to pay for it.
        assert_eq!(fields(&told["after"], &names), ["8749.00", "null", "8749.00"], "{told}");
    }
    assert_eq!(desk.place(share).await["status"], "filled");
}
