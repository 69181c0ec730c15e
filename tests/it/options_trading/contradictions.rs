//! An option that the market tells of in two ways: what is held stays what it is, and the log is valid.

use serde_json::{Value, json};

use super::{Desk, contract, single};
use crate::support::rest::{OPEN, quote};

/// By its root on `AAPL1`; its letters let it be on `AAPL` too.
const OTHER: &str = "AAPL1240216C00100000";

fn listing(symbol: &str, style: &str) -> Value {
    json!({"t": "instrument", "symbol": symbol, "kind": "option", "underlying": "AAPL",
        "style": style, "settlement": "physical"})
}

async fn is_valid(desk: &Desk) {
    let verdict = desk.rest.get("/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], true, "{verdict}");
}

#[tokio::test]
async fn what_is_held_stays_what_it_is_through_other_listings_and_a_split() {
    let desk = Desk::start("margin", "100000", 4).await;
    desk.rest.feed(&[quote(OTHER, "2.50", "2.60", OPEN)]).await.expect(200);
    desk.place(single("buy", OTHER, "2.60")).await;
    assert_eq!(desk.position(OTHER).await["qty"], "1");
    let fed = desk.rest.feed(&[listing(OTHER, "american")]).await.expect(200);
    assert_eq!(fed["reasons"], json!({"contradicts_held": 1}));
    is_valid(&desk).await;

    // What the call of 100 would become is listed as another contract: it is paid out.
    let (call, other) = (contract("C", 100), contract("C", 50));
    desk.place(single("buy", &call, "2.60")).await;
    desk.rest.feed(&[listing(&other, "european")]).await.expect(200);
    let split = json!({"t": "split", "symbol": "AAPL", "numerator": "2", "denominator": "1", "id": "s1", "at": OPEN});
    desk.rest.feed(&[split]).await.expect(200);
    let paid_out = desk.rest.get(&desk.path(&format!("/positions/{call}"))).await.expect(200);
    assert_eq!(paid_out["qty"], "0", "{paid_out}");
    desk.rest.get(&desk.path(&format!("/positions/{other}"))).await.expect(404);
    assert_eq!(desk.position(OTHER).await["qty"], "1", "it is on AAPL1");
    // 100,000 - 2 * 260 + 255
    assert_eq!(desk.now().await["cash"], "99735.00");
    is_valid(&desk).await;

    // Once nobody is in it any more, it may be told of anew.
    desk.place(single("sell", OTHER, "2.50")).await;
    let fed = desk.rest.feed(&[listing(OTHER, "american")]).await.expect(200);
    assert_eq!(fed["ignored"], 0, "{fed}");
    is_valid(&desk).await;
}
