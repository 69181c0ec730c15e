//! The end of options over REST: when it comes, and what is refused from then on.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Desk, contract, fields, single};
use crate::support::rest::{quote, send};

fn print(price: &str, at: &str) -> Value {
    json!({"t": "trade", "symbol": "AAPL", "price": price, "size": "5", "at": at})
}

/// What takes no field that has to be there takes no body either.
#[tokio::test]
async fn no_body_at_all_is_one_without_fields() {
    let desk = Desk::start("cash", "20000", 2).await;
    let call = contract("C", 100);
    assert_eq!(desk.place(single("buy", &call, "2.60")).await["status"], "filled");
    let empty = |what: &str| {
        let path = desk.path(&format!("/positions/{call}/{what}"));
        desk.rest.authorized(Method::POST, &path)
    };
    assert_eq!(send(empty("do-not-exercise")).await.expect(200)["do_not_exercise"], true);
    let text = empty("exercise").header("content-type", "text/plain");
    send(text).await.expect(415);
    let untyped = empty("exercise").body("{\"qty\": \"1\"}");
    send(untyped).await.expect(415);
    let json = empty("exercise").header("content-type", "application/json");
    let told = send(json).await.expect(200);
    assert_eq!(fields(&told["ended"], &["end", "qty", "shares"]), ["exercised", "1", "100"]);
    let refused = send(empty("assign")).await.expect(422);
    assert_eq!(refused["code"], "insufficient_shares", "{refused}");
}

/// The exchange closes at 21:00 UTC on Friday, and the market goes on.
#[tokio::test]
async fn in_a_market_that_never_closes_options_end_when_the_exchange_closes() {
    let desk = Desk::start_always_open("margin", "20000", 3).await;
    let (call, put) = (contract("C", 100), contract("P", 98));
    let close = "2024-02-16T21:00:00Z";
    assert_eq!(desk.place(single("buy", &call, "2.60")).await["status"], "filled");
    let mut rests = single("buy", &put, "0.10");
    rests["time_in_force"] = json!("gtc");
    let rests = desk.place(rests).await;
    assert_eq!(fields(&rests, &["status", "expires_at"]), ["accepted", close]);
    assert_eq!(desk.position(&call).await["contract"]["expires_at"], close);
    let told = desk.path(&format!("/positions/{call}/do-not-exercise"));
    let before = quote(&call, "7.90", "8.00", "2024-02-16T20:59:59Z");
    desk.rest.feed(&[before, print("108.00", "2024-02-16T20:59:59Z")]).await.expect(200);
    desk.rest.post(&told, json!({})).await.expect(200);
    desk.rest.post(&told, json!({"exercise": true})).await.expect(200);

    desk.rest.feed(&[json!({"t": "clock", "at": close})]).await.expect(200);
    let path = desk.path(&format!("/orders/{}", rests["order_id"].as_str().unwrap()));
    assert_eq!(desk.rest.get(&path).await.expect(200)["status"], "expired");
    let order = single("sell", &call, "7.90");
    assert_eq!(desk.refused(order.clone()).await["code"], "contract_expired");
    let preview = desk.rest.post(&desk.path("/orders/preview"), order).await;
    assert!(preview.text.contains("contract_expired"), "{}", preview.text);
    for what in ["exercise", "do-not-exercise", "assign"] {
        let path = desk.path(&format!("/positions/{call}/{what}"));
        let refused = desk.rest.post(&path, json!({})).await.expect(422);
        assert_eq!(refused["code"], "contract_expired", "{what}: {refused}");
    }
    let chain = desk.rest.get("/v1/market/options/AAPL").await.expect(200);
    assert_eq!(chain["items"], json!([]));
    assert_eq!(desk.position(&call).await["qty"], "1", "a trade at the close may still come");

    let lines = [print("109.50", close), print("90.00", "2024-02-16T21:00:01Z")];
    desk.rest.feed(&lines).await.expect(200);
    assert_eq!(desk.position("AAPL").await["qty"], "100");
    // 20,000 less 260 for the call and 10,000 for the shares, which cost both.
    assert_eq!(fields(&desk.now().await, &["cash", "reserved"]), ["9740.00", "0.00"]);
    assert_eq!(desk.position("AAPL").await["cost_basis"], "10260.00");
    let page = desk.rest.get(&desk.path("/activities?types=OPEXC")).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
}

/// It waits for a close over midnight, and is gone with its settlement.
#[tokio::test]
async fn an_option_that_was_settled_late_has_no_quote_any_more() {
    let desk = Desk::start("margin", "20000", 3).await;
    let (call, put) = (contract("C", 100), contract("P", 98));
    assert_eq!(desk.place(single("buy", &call, "2.60")).await["status"], "filled");
    let clock = |at: &str| json!({"t": "clock", "at": at});
    desk.rest.feed(&[clock("2024-02-17T05:00:01Z")]).await.expect(200);
    let shown = async |symbol: &str, status: u16| {
        for path in ["/v1/market/options/contracts/", "/v1/market/quotes/"] {
            desk.rest.get(&format!("{path}{symbol}")).await.expect(status);
        }
    };
    shown(&call, 200).await;
    shown(&put, 404).await;
    let bar = json!({"t": "bar", "symbol": "AAPL", "open": "104", "high": "106", "low": "103", "close": "105",
        "volume": "900", "span": "1d", "at": "2024-02-16T05:00:00Z"});
    desk.rest.feed(&[bar, clock("2024-02-17T05:00:02Z")]).await.expect(200);
    assert_eq!(desk.position("AAPL").await["qty"], "100");
    shown(&call, 404).await;
    let late = quote(&call, "5.00", "5.10", "2024-02-17T05:00:03Z");
    let fed = desk.rest.feed(&[late]).await.expect(200);
    assert_eq!(fed["reasons"], json!({"expired": 1}), "{fed}");
    shown(&call, 404).await;
    let refused = desk.refused(single("buy", &call, "5.10")).await;
    assert_eq!(refused["code"], "contract_expired", "{refused}");
    let listed = desk.rest.get(&format!("/v1/market/instruments?query={call}")).await.expect(200);
    assert_eq!(listed["items"][0]["symbol"], call.as_str(), "{listed}");
}
