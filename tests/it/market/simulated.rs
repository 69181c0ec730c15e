//! The simulated market as a process: it opens before it is ready, trades, and goes on after a restart.

use serde_json::{Value, json};

use super::{get, post};
use crate::support::{Server, scratch_with_cluster};

/// Every symbol's quote.
async fn quotes(server: &Server) -> Vec<Value> {
    let instruments = get(server, "/v1/market/instruments?kind=stock&limit=100").await.expect(200);
    let mut quotes = Vec::new();
    for instrument in instruments["items"].as_array().unwrap() {
        let symbol = instrument["symbol"].as_str().unwrap();
        assert!(instrument["sector"].is_string(), "{instrument}");
        quotes.push(get(server, &format!("/v1/market/quotes/{symbol}")).await.expect(200));
    }
    quotes
}

async fn account(server: &Server) -> String {
    let body = json!({"name": "test", "kind": "cash", "starting_balance": "100000"});
    let opened = post(server, "/v1/accounts", body).await.expect(201);
    opened["account_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_server_with_no_settings_has_a_market_in_which_an_order_fills_at_once() {
    let directory = scratch_with_cluster("simulated").await;
    let server = Server::serve_with(directory.path(), &["--market", "simulated"]).await;
    let quotes = quotes(&server).await;
    assert_eq!(quotes.len(), 51);
    for quote in &quotes {
        assert_eq!(quote["quote"]["source"], "simulated", "{quote}");
    }
    let account = account(&server).await;
    let order = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    let path = format!("/v1/accounts/{account}/orders");
    let order = post(&server, &path, order).await.expect(201);
    assert_eq!((&order["status"], &order["filled_qty"]), (&json!("filled"), &json!("10")));
    let lines = "{\"t\":\"clock\",\"at\":\"2030-01-01T00:00:00Z\"}";
    let refused = post(&server, "/v1/market/feed", json!(lines)).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
}

/// A number that is written as a string.
fn number(of: &Value) -> f64 {
    of.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn options_are_quoted_when_the_server_is_ready_and_have_sane_volatilities() {
    let directory = scratch_with_cluster("simulated-options").await;
    let server = Server::serve_with(directory.path(), &["--market", "simulated", "--paused"]).await;
    for (symbol, volatility) in [("SPY", 0.16), ("AAPL", 0.28), ("NVDA", 0.48)] {
        let path = format!("/v1/market/options/{symbol}");
        let dates = get(&server, &format!("{path}/expirations")).await.expect(200);
        let dates = dates["items"].as_array().unwrap().clone();
        assert!((3..=4).contains(&dates.len()), "{dates:?}");
        // The last one is a monthly, weeks away.
        let date = dates.last().unwrap()["expiration_date"].as_str().unwrap();
        let chain = format!("{path}?expiration_date={date}&limit=100");
        let chain = get(&server, &chain).await.expect(200);
        assert_eq!(chain["missing"], json!([]), "{chain}");
        let spot = number(&chain["underlying_price"]["price"]);
        let contracts = chain["items"].as_array().unwrap();
        assert!(contracts.len() >= 18, "nine strikes, calls and puts: {}", contracts.len());
        for contract in contracts {
            assert_eq!(contract["quote"]["source"], "simulated", "{contract}");
            assert_eq!(contract["style"], "american", "{contract}");
            assert!(number(&contract["quote"]["bid"]) < number(&contract["quote"]["ask"]));
            assert!(number(&contract["open_interest"]["value"]) > 0.0, "{contract}");
            let strike = number(&contract["strike_price"]);
            let out = (contract["type"] == "call") == (strike > spot);
            if out {
                let implied = number(&contract["implied_volatility"]);
                let bounds = 0.85 * volatility..1.5 * volatility;
                assert!(bounds.contains(&implied), "{contract}");
            }
        }
    }
    let none = get(&server, "/v1/market/options/KO").await.expect(200);
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn a_run_is_ended_by_a_pause_and_never_goes_beyond_what_the_calendar_knows() {
    let directory = scratch_with_cluster("run-paused").await;
    let server = Server::serve_with(directory.path(), &["--market", "simulated", "--paused"]).await;
    let control = "/v1/market/control";
    let beyond = json!({"action": "run_to", "at": "2199-01-01T00:00:00Z"});
    let refused = post(&server, control, beyond).await.expect(422);
    assert!(refused.to_string().contains("2050-12-30"), "{refused}");
    let far = json!({"action": "run_to", "at": "2050-01-03T15:00:00Z"});
    let run = post(&server, control, far);
    let pause = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let asked = std::time::Instant::now();
        let paused = post(&server, control, json!({"action": "pause"})).await.expect(200);
        (paused, asked.elapsed())
    };
    let (run, (paused, took)) = tokio::join!(run, pause);
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    let ended = run.expect(409);
    assert!(ended["detail"].as_str().unwrap().contains("2050-01-03"), "{ended}");
    let now = get(&server, "/v1/market/hours").await.expect(200)["market_time"].clone();
    assert_eq!(now, paused["market_time"], "it stands still");
}

#[tokio::test]
async fn bars_depth_and_hours_are_there_and_say_that_they_are_simulated() {
    let directory = scratch_with_cluster("simulated-reads").await;
    let arguments = ["--market", "simulated", "--paused"];
    let server = Server::serve_with(directory.path(), &arguments).await;
    let path = "/v1/market/bars/AAPL?timeframe=1Day&limit=5";
    let first = get(&server, path).await.expect(200);
    assert_eq!(first["source"], "simulated");
    assert_eq!(first["items"].as_array().unwrap().len(), 5);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(&server, &format!("{path}&cursor={cursor}")).await.expect(200);
    assert!(second["items"][0]["at"].as_str() > first["items"][4]["at"].as_str());
    let depth = get(&server, "/v1/market/depth/AAPL").await.expect(200);
    let quote = get(&server, "/v1/market/quotes/AAPL").await.expect(200);
    assert_eq!(depth["source"], "simulated");
    assert_eq!(depth["bids"].as_array().unwrap().len(), 10);
    assert_eq!(depth["bids"][0]["price"], quote["quote"]["bid"]);
    assert_eq!(depth["asks"][0]["size"], quote["quote"]["ask_size"]);
    let hours = get(&server, "/v1/market/hours").await.expect(200);
    assert_eq!((&hours["is_open"], &hours["hours"]), (&json!(true), &json!("always")));
    let minutes = get(&server, "/v1/market/bars/AAPL?timeframe=1Min&limit=500").await.expect(200);
    let now = hours["market_time"].as_str().unwrap();
    for bar in minutes["items"].as_array().unwrap() {
        assert!(bar["at"].as_str().unwrap() < now, "{bar} at {now}");
    }
    get(&server, "/v1/market/bars/NOPE").await.expect(404);
    // An option is listed and quoted, and has neither.
    let chain = get(&server, "/v1/market/options/AAPL/contracts?limit=1").await.expect(200);
    let option = chain["items"][0]["symbol"].as_str().unwrap();
    for what in ["bars", "depth"] {
        let lacking = get(&server, &format!("/v1/market/{what}/{option}")).await.expect(409);
        assert_eq!(lacking["code"], "capability_missing", "{lacking}");
        let said = lacking["detail"].as_str().unwrap();
        for instead in [option, "option_market_data", "the stock that it is on, AAPL"] {
            assert!(said.contains(instead), "{said}");
        }
    }
    get(&server, "/v1/market/bars/AAPL?timeframe=2Min&start=x").await.expect(422);
}

#[tokio::test]
async fn after_a_restart_the_clock_and_the_prices_go_on_from_where_they_were() {
    let directory = scratch_with_cluster("simulated-restart").await;
    let arguments = ["--market", "simulated", "--paused", "--seed", "7"];
    let server = Server::serve_with(directory.path(), &arguments).await;
    let begun = get(&server, "/v1/market/hours").await.expect(200)["market_time"].clone();
    let begun: chrono::DateTime<chrono::Utc> = begun.as_str().unwrap().parse().unwrap();
    let run_to = |minutes: i64| {
        let at = (begun + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
        json!({"action": "run_to", "at": at})
    };
    let prices = |quotes: &[Value]| -> Vec<Value> {
        quotes.iter().map(|quote| quote["quote"].clone()).collect()
    };
    post(&server, "/v1/market/control", run_to(3)).await.expect(200);
    let before = quotes(&server).await;
    drop(server);
    let server = Server::serve_with(directory.path(), &arguments).await;
    // The last price of a stock that nobody works may be older than what a start tells.
    assert_eq!(prices(&quotes(&server).await), prices(&before));
    post(&server, "/v1/market/control", run_to(5)).await.expect(200);
    let after = quotes(&server).await;
    assert!(after.iter().zip(&before).all(|(after, before)| after["quote"] != before["quote"]));
    post(&server, "/v1/market/control", run_to(4)).await.expect(409);
    drop(server);

    // another server, run through to the same instant, quotes the same
    let other = scratch_with_cluster("simulated-other").await;
    let server = Server::serve_with(other.path(), &arguments).await;
    post(&server, "/v1/market/control", run_to(5)).await.expect(200);
    assert_eq!(prices(&quotes(&server).await), prices(&after));
}
