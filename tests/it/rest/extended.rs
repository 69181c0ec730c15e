//! Extended hours over REST: what fills in the pre-market, what the market's hours are called, and a restart of the day.

use serde_json::json;

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument, quote};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_extended_hours_fills_before_the_open_and_ends_with_the_after_hours() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    // 08:00 in New York.
    rest.feed(&[instrument("AAPL"), quote("AAPL", "100", "101", "2024-01-17T13:00:00Z")])
        .await
        .expect(200);
    let hours = rest.get("/v1/market/hours").await.expect(200);
    assert_eq!((&hours["session"], &hours["is_open"]), (&json!("pre_market"), &json!(false)));
    let shown = rest.get("/v1/market/quotes/AAPL").await.expect(200);
    assert_eq!(shown["session"], "pre_market");
    let account = rest.account("10000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = |limit: &str, extended: bool| {
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": limit,
            "extended_hours": extended})
    };
    let regular = rest.post(&orders, body("101", false)).await.expect(201);
    assert_eq!(regular["status"], "accepted");
    assert_eq!(regular["expires_at"], "2024-01-17T21:00:00Z");
    let told = rest.post(&format!("{orders}/preview"), body("101.5", true)).await.expect(200);
    assert_eq!((&told["status"], &told["filled_qty"]), (&json!("filled"), &json!("10")));
    let filled = rest.post(&orders, body("101.5", true)).await.expect(201);
    assert_eq!(
        (&filled["status"], &filled["filled_avg_price"]),
        (&json!("filled"), &json!("101.00"))
    );
    assert_eq!(filled["extended_hours"], true);
    let resting = rest.post(&orders, body("90", true)).await.expect(201);
    assert_eq!(resting["expires_at"], "2024-01-18T01:00:00Z");
    for (at, session, open) in [
        ("2024-01-17T14:30:00Z", "regular", true),
        ("2024-01-17T21:00:00Z", "after_hours", true),
        ("2024-01-18T01:00:00Z", "closed", false),
    ] {
        rest.feed(&[json!({"t": "clock", "at": at})]).await.expect(200);
        assert_eq!(rest.get("/v1/market/hours").await.expect(200)["session"], session);
        let path = format!("{orders}/{}", resting["order_id"].as_str().unwrap());
        let status = rest.get(&path).await.expect(200)["status"].clone();
        assert_eq!(status, if open { "accepted" } else { "expired" }, "{at}");
    }
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}
