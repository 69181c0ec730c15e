//! A recorded market shows what its file says up to the market's clock, and nothing after it.

use serde_json::json;

use super::{get, post};
use crate::support::{Server, scratch_with_cluster};

#[tokio::test]
async fn a_recorded_market_never_shows_a_bar_that_is_not_over() {
    let directory = scratch_with_cluster("recorded-bars").await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/daily-2008-autumn.jsonl.gz");
    let market = format!("recorded:{file}");
    let arguments = ["--market", &market, "--paused"];
    let server = Server::serve_with(directory.path(), &arguments).await;
    let bars = "/v1/market/bars/AAPL?timeframe=1Day&start=2008-08-01&end=2009-01-01&limit=200";
    get(&server, bars).await.expect(404);
    let run_to = async |server: &Server, at: &str| {
        let body = json!({"action": "run_to", "at": at});
        post(server, "/v1/market/control", body).await.expect(200);
    };
    run_to(&server, "2008-08-08T22:00:00Z").await;
    let shown = get(&server, bars).await.expect(200);
    let items = shown["items"].as_array().unwrap();
    assert_eq!((items.len(), &shown["source"]), (6, &json!("recorded")));
    assert_eq!(items[5]["at"], "2008-08-08T04:00:00Z");
    assert_eq!(items[5]["close"], "169.55");

    let lacking = get(&server, "/v1/market/bars/AAPL?timeframe=1Min").await.expect(409);
    assert_eq!(lacking["code"], "capability_missing");
    assert!(lacking["detail"].as_str().unwrap().contains("1Day"), "{lacking}");
    let lacking = get(&server, "/v1/market/depth/AAPL").await.expect(409);
    assert_eq!(lacking["code"], "capability_missing");
    drop(server);

    // the clock goes on where it was, and what was shown is shown again
    let server = Server::serve_with(directory.path(), &arguments).await;
    assert_eq!(get(&server, bars).await.expect(200)["items"], shown["items"]);
    run_to(&server, "2008-08-11T22:00:00Z").await;
    assert_eq!(get(&server, bars).await.expect(200)["items"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_recording_that_fails_at_once_leaves_a_server_that_is_ready() {
    let directory = scratch_with_cluster("recorded-broken").await;
    let file = directory.path().join("broken.jsonl");
    std::fs::write(&file, "{}\n").unwrap();
    let market = format!("recorded:{}", file.display());
    let server = Server::serve_with(directory.path(), &["--market", &market]).await;
    let unset = get(&server, "/v1/market/hours").await.expect(422);
    assert_eq!(unset["code"], "market_clock_unset");
    let run = json!({"action": "run_to", "at": "2026-11-23T15:00:00Z"});
    post(&server, "/v1/market/control", run).await.expect(409);
}
