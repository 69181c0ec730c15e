//! Orders for the auctions over REST: taken in the evening, filled at the open and at the close, refused in between.

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument, quote};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_for_the_auctions_fill_in_them_and_are_refused_while_they_are_prepared() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    // 20:00 in New York.
    rest.feed(&[instrument("AAPL"), quote("AAPL", "100", "101", "2024-01-17T01:00:00Z")])
        .await
        .expect(200);
    let account = rest.account("100000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let body = |side: &str, limit: Option<&str>, time: &str| {
        let mut body = json!({"symbol": "AAPL", "side": side, "type": "market", "qty": "10", "time_in_force": time});
        if let Some(limit) = limit {
            body["type"] = json!("limit");
            body["limit_price"] = json!(limit);
        }
        body
    };
    let preview = rest.post(&format!("{orders}/preview"), body("buy", None, "opg")).await;
    assert_eq!(preview.expect(200)["status"], "accepted");
    let open = rest.post(&orders, body("buy", None, "opg")).await.expect(201);
    assert_eq!(
        (&open["status"], &open["expires_at"]),
        (&json!("accepted"), &json!("2024-01-17T21:00:00Z"))
    );
    let low = rest.post(&orders, body("buy", Some("90"), "opg")).await.expect(201);
    let close = rest.post(&orders, body("buy", Some("99"), "cls")).await.expect(201);
    let read = async |order: &Value| -> Value {
        let path = format!("{orders}/{}", order["order_id"].as_str().unwrap());
        rest.get(&path).await.expect(200)
    };
    let auction = json!({"t": "auction", "symbol": "AAPL", "kind": "open", "price": "100.50", "size": "1000",
        "at": "2024-01-17T14:30:00Z"});
    rest.feed(&[auction]).await.expect(200);
    assert_eq!(read(&open).await["filled_avg_price"], "100.50");
    assert_eq!(read(&low).await["cancel_reason"], "auction_unfilled");
    let refused = rest.post(&orders, body("buy", None, "opg")).await.expect(422);
    assert_eq!(refused["code"], "auction_closed");
    assert_eq!(refused["figures"]["until"], "2024-01-18T00:00:00Z");
    assert_eq!(read(&refused).await["status"], "rejected");
    let trade = json!({"t": "trade", "symbol": "AAPL", "price": "98.75", "size": "1", "at": "2024-01-17T20:59:00Z"});
    let after = json!({"t": "clock", "at": "2024-01-17T21:05:00Z"});
    rest.feed(&[trade, after]).await.expect(200);
    let filled = read(&close).await;
    assert_eq!(
        (&filled["status"], &filled["filled_avg_price"]),
        (&json!("filled"), &json!("98.75"))
    );
    let verified = rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");
}
