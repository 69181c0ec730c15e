//! Bars, depth and hours of a market that is fed.

use blotter::identity::Act;
use blotter::service::{Fresh, Interface, Period, Timeframe};
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{OPEN, TOKEN, TestRest, instrument, quote};

fn trade(price: &str, size: &str, at: &str) -> Value {
    json!({"t": "trade", "symbol": "AAPL", "price": price, "size": size, "at": at})
}

fn minute_bar(minute: u32, [open, high, low, close]: [&str; 4]) -> Value {
    let at = format!("2024-01-17T15:{minute:02}:00Z");
    json!({"t": "bar", "symbol": "AAPL", "open": open, "high": high, "low": low, "close": close, "volume": "100", "at": at, "span": "1m"})
}

#[tokio::test]
async fn bars_that_were_posted_are_shown_and_joined_into_longer_ones() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    server.feed(&[instrument("AAPL")]).await.expect(200);
    for minute in 0..7 {
        let open = (100 + minute).to_string();
        let (high, low) = ((110 + minute).to_string(), (90 + minute).to_string());
        server.feed(&[minute_bar(minute, [&open, &high, &low, &open])]).await.expect(200);
    }
    let path = "/v1/market/bars/AAPL?start=2024-01-17&timeframe=";
    let minutes = server.get(&format!("{path}1Min")).await.expect(200);
    assert_eq!(minutes["items"].as_array().unwrap().len(), 7);
    assert_eq!(minutes["source"], "feed");
    assert_eq!(minutes["adjustment"], "raw");
    let joined = server.get(&format!("{path}5Min")).await.expect(200);
    let expected = json!([{
        "at": "2024-01-17T15:00:00Z", "open": "100.00", "high": "114.00", "low": "90.00", "close": "104.00",
        "volume": "500", "trade_count": null
    }]);
    assert_eq!(joined["items"], expected, "the second is not over");
    let end = "&end=2024-01-17T15:02:00Z&limit=1";
    let page = server.get(&format!("{path}1Min{end}")).await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("{path}1Min{end}&cursor={cursor}")).await.expect(200);
    assert_eq!(rest["items"][0]["at"], "2024-01-17T15:01:00Z");
    assert_eq!(rest["next_cursor"], Value::Null);
    server.get(&format!("{path}1Hour{end}&cursor={cursor}")).await.expect(400);
}

#[tokio::test]
async fn bars_are_built_from_trades_where_none_were_posted() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    server.quoted().await;
    let lacking = server.get("/v1/market/bars/AAPL?timeframe=1Min").await.expect(409);
    assert_eq!(lacking["code"], "capability_missing");
    let trades = [
        trade("100", "10", "2024-01-17T15:00:05Z"),
        trade("103", "20", "2024-01-17T15:00:30Z"),
        trade("99.5", "5", "2024-01-17T15:00:59Z"),
        trade("101", "1", "2024-01-17T15:01:30Z"),
    ];
    server.feed(&trades).await.expect(200);
    let bars = server.get("/v1/market/bars/AAPL?timeframe=1Min").await.expect(200);
    let expected = json!([{
        "at": OPEN, "open": "100.00", "high": "103.00", "low": "99.50", "close": "99.50",
        "volume": "35", "trade_count": 3
    }]);
    assert_eq!(bars["items"], expected, "the second minute is not over");
    let daily = server.get("/v1/market/bars/AAPL?timeframe=1Day").await.expect(200);
    assert_eq!(daily["items"], json!([]), "nor is the day");
    server.feed(&[json!({"t": "clock", "at": "2024-01-17T21:00:00Z"})]).await.expect(200);
    let daily = server.get("/v1/market/bars/AAPL?timeframe=1Day").await.expect(200);
    assert_eq!(daily["items"][0]["volume"], "36");
}

#[tokio::test]
async fn depth_is_what_was_posted_or_missing() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    server.quoted().await;
    let lacking = server.get("/v1/market/depth/AAPL").await.expect(409);
    assert_eq!(lacking["code"], "capability_missing");
    let depth = json!({"t": "depth", "symbol": "AAPL", "bids": [["100", "5"], ["99", "7"]], "asks": [["101", "6"]], "at": OPEN});
    server.feed(&[depth]).await.expect(200);
    let shown = server.get("/v1/market/depth/AAPL").await.expect(200);
    assert_eq!(shown["bids"][1], json!({"price": "99.00", "size": "7"}));
    assert_eq!(shown["asks"], json!([{"price": "101.00", "size": "6"}]));
    assert_eq!(shown["source"], "feed");
    server.get("/v1/market/depth/NOPE").await.expect(404);
}

#[tokio::test]
async fn hours_follow_the_calendar_and_the_markets_clock() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    let unset = server.get("/v1/market/hours").await.expect(422);
    assert_eq!(unset["code"], "market_clock_unset");
    let early = server.get("/v1/market/hours?date=2024-11-29").await.expect(200);
    assert_eq!(early["early_close"], true);
    assert_eq!(early["close"], "2024-11-29T18:00:00Z");
    assert_eq!(early["after_hours_close"], "2024-11-29T22:00:00Z");
    assert_eq!(early["is_open"], Value::Null, "the market has no time yet");
    server.quoted().await;
    let open = server.get("/v1/market/hours").await.expect(200);
    assert_eq!((&open["is_open"], &open["date"]), (&json!(true), &json!("2024-01-17")));
    assert_eq!(open["premarket_open"], "2024-01-17T09:00:00Z");
    assert_eq!(open["next_close"], "2024-01-17T21:00:00Z");
    assert_eq!(open["next_open"], "2024-01-18T14:30:00Z");
    server.feed(&[quote("AAPL", "100", "101", "2024-01-19T21:00:00Z")]).await.expect(200);
    let closed = server.get("/v1/market/hours").await.expect(200);
    assert_eq!(closed["is_open"], false);
    assert_eq!(closed["next_open"], "2024-01-22T14:30:00Z", "a weekend lies between");
    let holiday = server.get("/v1/market/hours?date=2024-01-15").await.expect(200);
    assert_eq!((&holiday["is_holiday"], &holiday["open"]), (&json!(true), &Value::Null));
    let unknown = server.get("/v1/market/hours?date=2060-01-01").await.expect(422);
    assert_eq!(unknown["code"], "outside_calendar");
    server.get("/v1/market/hours?date=tomorrow").await.expect(422);
}

#[tokio::test]
async fn a_price_is_the_last_paid_else_the_bid_and_changes_from_the_official_close() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    server.quoted().await;
    let price = server.service.price("AAPL").unwrap();
    assert_eq!((price.price.unwrap().to_string(), price.basis), ("100.00".into(), Some("bid")));
    assert_eq!((price.previous_close, price.change), (None, None));
    server.feed(&[trade("104", "10", "2024-01-17T20:59:00Z")]).await.expect(200);
    server.feed(&[json!({"t": "clock", "at": "2024-01-17T21:00:01Z"})]).await.expect(200);
    server.feed(&[trade("101.4", "10", "2024-01-18T15:00:00Z")]).await.expect(200);
    let price = server.service.price("AAPL").unwrap();
    assert_eq!((price.price.unwrap().to_string(), price.basis), ("101.40".into(), Some("last")));
    assert_eq!(price.previous_close.unwrap().to_string(), "104.00");
    assert_eq!(price.change.unwrap().to_string(), "-2.60");
    assert_eq!(price.change_rate.as_deref(), Some("-0.025"));
    let visitor = server.service.authenticate(TOKEN, Interface::Rest).await.unwrap().unwrap();
    let caller = server.service.permit(&visitor, Act::ReadMarket, None).await.unwrap();
    let info = server.service.info(&caller, "AAPL", Fresh::default()).await.unwrap();
    assert_eq!((info.instrument.name.as_str(), info.instrument.sector), ("A stock", None));
    assert_eq!(info.price.price, price.price);
    assert!(server.service.price("NOPE").is_err());
}

#[tokio::test]
async fn a_history_takes_the_shortest_bars_that_suit_it_and_that_there_are() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    let daily = |at: &str, close: &str| json!({"t": "bar", "symbol": "IBM", "open": close, "high": close, "low": close, "close": close, "volume": "100", "at": at, "span": "1d"});
    server.feed(&[daily("2024-01-16T05:00:00Z", "160")]).await.expect(200);
    server.feed(&[daily("2024-01-17T05:00:00Z", "161")]).await.expect(200);
    let history = server.service.history("IBM", Period::Week, None).await.unwrap();
    assert_eq!((history.interval, history.bars.len(), history.source), ("1Day", 2, "feed"));
    let day = server.service.history("IBM", Period::Day, None).await.unwrap();
    assert_eq!(day.bars.len(), 1, "the clock is at the close of the second");
    let refused = server.service.history("IBM", Period::Week, Some(Timeframe::Hour)).await;
    assert_eq!(refused.unwrap_err().code(), "capability_missing");
}
