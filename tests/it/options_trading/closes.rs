//! What an account with options was worth at closes in which they did not trade.

use serde_json::{Value, json};

use super::{Desk, contract, fields, single};
use crate::support::rest::quote;

fn trade(at: &str) -> Value {
    json!({"t": "trade", "symbol": "AAPL", "price": "100.50", "size": "10", "at": at})
}

fn clock(at: &str) -> Value {
    json!({"t": "clock", "at": at})
}

/// 10,000 - 260 = 9,740; the call closes between 2.70 and 2.91, at 2.805: 10,020.50. On Thursday nothing is quoted of it.
#[tokio::test]
async fn an_option_without_trades_is_worth_the_middle_of_its_last_quote_at_the_close_and_nothing_without_one()
 {
    let desk = Desk::start("cash", "10000", 2).await;
    let call = contract("C", 100);
    assert_eq!(desk.place(single("buy", &call, "2.60")).await["status"], "filled");
    let day = [
        quote(&call, "2.70", "2.91", "2024-01-17T20:58:00Z"),
        trade("2024-01-17T20:59:00Z"),
        clock("2024-01-17T21:00:01Z"),
        quote(&call, "3.00", "3.10", "2024-01-18T15:00:00Z"),
    ];
    desk.rest.feed(&day).await.expect(200);
    let now = desk.rest.get(&desk.path("/portfolio")).await.expect(200);
    let names = ["equity", "last_session", "last_equity", "day_change", "day_change_pct"];
    assert_eq!(
        fields(&now, &names),
        ["10040.00", "2024-01-17", "10020.50", "19.50", "0.001946"],
        "{now}"
    );
    assert_eq!((&now["last_at_midpoint"], &now["last_unmarked"]), (&json!([call]), &json!([])));
    assert_eq!(now["positions"][0]["lastday_price"], "2.805");

    // From Friday's midnight on its quote of Thursday is the last: Friday closes without one.
    let days = [
        trade("2024-01-18T20:59:00Z"),
        clock("2024-01-18T21:00:01Z"),
        trade("2024-01-19T20:59:00Z"),
        clock("2024-01-19T21:00:01Z"),
    ];
    desk.rest.feed(&days).await.expect(200);
    let history = desk.rest.get(&desk.path("/portfolio/history")).await.expect(200);
    let points = history["items"].as_array().unwrap().iter().map(|point| {
        json!([
            point["session"],
            point["equity"],
            point["profit_loss"],
            point["at_midpoint"],
            point["unmarked"]
        ])
    });
    assert_eq!(
        json!(points.collect::<Vec<_>>()),
        json!([
            ["2024-01-17", "10020.50", "20.50", [call], []],
            ["2024-01-18", "10045.00", "45.00", [call], []],
            ["2024-01-19", null, null, [], [call]],
        ])
    );
    let now = desk.rest.get(&desk.path("/portfolio")).await.expect(200);
    assert_eq!(
        fields(&now, &["last_session", "last_equity", "day_change"]),
        ["2024-01-19", "null", "null"]
    );
    assert_eq!((&now["last_at_midpoint"], &now["last_unmarked"]), (&json!([]), &json!([call])));
    // Asked again, what is remembered says the same.
    let again = desk.rest.get(&desk.path("/portfolio")).await.expect(200);
    assert_eq!(again["last_unmarked"], json!([call]));
    let risk = desk.rest.get(&desk.path("/risk")).await.expect(200);
    let missing = risk["missing"].as_array().unwrap().iter();
    let of_performance = missing.filter(|it| it["figures"][0] == "performance.volatility");
    let symbols: Vec<&Value> = of_performance.map(|it| &it["symbols"]).collect();
    assert_eq!(symbols, [&json!([call])], "{risk}");
}

/// Nobody holds it, so it does not close: what is told of the market does not depend on quotes that are not kept.
#[tokio::test]
async fn an_option_that_nobody_holds_does_not_close_without_a_trade() {
    let desk = Desk::start("cash", "10000", 2).await;
    let day = [trade("2024-01-17T20:59:00Z"), clock("2024-01-17T21:00:01Z")];
    desk.rest.feed(&day).await.expect(200);
    let call = contract("C", 100);
    let told = desk.rest.get(&format!("/v1/market/quotes/{call}")).await.expect(200);
    assert_eq!(told["previous_session"], Value::Null, "{told}");
    let stock = desk.rest.get("/v1/market/quotes/AAPL").await.expect(200);
    assert_eq!(stock["previous_session"], "2024-01-17", "{stock}");
}
