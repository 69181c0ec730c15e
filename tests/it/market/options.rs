//! Options of a market that is fed: what their lines say, and what nobody may do with them yet.

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{OPEN, TestRest, quote};

const CALL: &str = "AAPL240119C00100000";

fn option(symbol: &str, underlying: &str) -> Value {
    json!({"t": "instrument", "symbol": symbol, "kind": "option", "underlying": underlying,
        "style": "american", "settlement": "physical"})
}

#[tokio::test]
async fn an_option_is_listed_and_quoted_and_no_order_of_it_is_taken() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    server.quoted().await;
    let lines = [option(CALL, "AAPL"), quote("AAPL  240119C00100000", "2.50", "2.60", OPEN)];
    let fed = server.feed(&lines).await.expect(200);
    assert_eq!((&fed["accepted"], &fed["ignored"]), (&json!(2), &json!(0)));
    let shown = server.get(&format!("/v1/market/quotes/{CALL}")).await.expect(200);
    assert_eq!(shown["quote"]["bid"], "2.50");
    let listed = server.get("/v1/market/instruments?query=240119C").await.expect(200);
    assert_eq!(listed["items"][0]["kind"], "option");

    let account = server.account("100000").await;
    let before = server.head();
    let body =
        json!({"symbol": CALL, "side": "buy", "type": "limit", "limit_price": "3", "qty": "1"});
    for path in ["orders", "orders/preview"] {
        let refused = server.post(&format!("/v1/accounts/{account}/{path}"), body.clone()).await;
        let refused = refused.expect(422);
        assert_eq!(
            (&refused["code"], &refused["errors"][0]["field"]),
            (&json!("unsupported"), &json!("symbol"))
        );
        let said = refused["detail"].as_str().unwrap();
        assert_eq!(said, format!("{CALL} is an option: options cannot be traded yet, stocks can"));
    }
    assert_eq!(server.head(), before, "nothing is recorded");
}

#[tokio::test]
async fn a_line_that_contradicts_its_symbol_is_refused_and_one_that_contradicts_the_list_is_counted()
 {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    server.quoted().await;
    let refused = server.feed(&[option(CALL, "AAPL"), option(CALL, "MSFT")]).await.expect(400);
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("line 2: field 'underlying'"), "{said}");
    let refused = server.feed(&[option("AAPL240231C00100000", "AAPL")]).await.expect(400);
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("expiration of an OCC symbol is a date as YYMMDD"), "{said}");
    server.get(&format!("/v1/market/quotes/{CALL}")).await.expect(404);

    server.feed(&[option(CALL, "AAPL")]).await.expect(200);
    let mut european = option(CALL, "AAPL");
    european["style"] = json!("european");
    let stock = json!({"t": "instrument", "symbol": CALL, "kind": "stock"});
    let fed = server.feed(&[option(CALL, "AAPL"), european, stock]).await.expect(200);
    assert_eq!(fed["reasons"], json!({"contradictory": 2, "duplicate": 1}));
}
