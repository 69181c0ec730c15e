//! Options of a market that is fed: what their lines say.

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{OPEN, TestRest, instrument, quote};

const CALL: &str = "AAPL240119C00100000";

fn option(symbol: &str, underlying: &str) -> Value {
    json!({"t": "instrument", "symbol": symbol, "kind": "option", "underlying": underlying,
        "style": "american", "settlement": "physical"})
}

#[tokio::test]
async fn an_option_is_listed_and_quoted() {
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

/// A spot of 100, two rates, and at two expirations calls and puts at three strikes, each with a quote and open interest.
async fn chain(server: &TestRest) {
    server.feed(&[json!({"t": "instrument", "symbol": "AAPL", "kind": "stock"})]).await.expect(200);
    let mut lines = vec![
        quote("AAPL", "99.95", "100.05", OPEN),
        json!({"t": "rate", "kind": "risk_free", "symbol": null, "value": "0.05", "at": OPEN}),
        json!({"t": "rate", "kind": "dividend_yield", "symbol": "AAPL", "value": "0", "at": OPEN}),
    ];
    let strikes = [
        ("095", ["6.50", "6.60"], ["1.20", "1.30"], "10"),
        ("100", ["3.50", "3.60"], ["3.10", "3.20"], "50"),
        ("105", ["1.50", "1.60"], ["6.20", "6.30"], "20"),
    ];
    for date in ["240216", "240315"] {
        for (strike, call, put, open) in strikes {
            for (right, [bid, ask], volume) in [("C", call, "4"), ("P", put, "1")] {
                let symbol = format!("AAPL{date}{right}00{strike}000");
                lines.push(option(&symbol, "AAPL"));
                lines.push(quote(&symbol, bid, ask, OPEN));
                lines.push(json!({"t": "open_interest", "symbol": symbol, "value": open, "volume": volume, "at": OPEN}));
            }
        }
    }
    server.feed(&lines).await.expect(200);
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).parse().unwrap()
}

#[tokio::test]
async fn greeks_come_with_all_that_they_were_made_from() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    chain(&server).await;
    let path = "/v1/market/options/contracts/AAPL240216C00100000";
    let later = json!({"t": "clock", "at": "2024-01-17T15:10:00Z"});
    server.feed(&[later]).await.expect(200);
    let greeks = server.get(&format!("{path}/greeks")).await.expect(200);
    assert_eq!(
        greeks["model"], "black_scholes_merton",
        "a call without dividends is not exercised early"
    );
    assert_eq!((&greeks["valued_as"], &greeks["missing"]), (&json!("american"), &json!([])));
    assert_eq!(greeks["price"]["price"], "3.55");
    assert_eq!(greeks["price"]["basis"], "mid");
    assert_eq!(
        (&greeks["price"]["age_seconds"], &greeks["price"]["source"]),
        (&json!(600), &json!("feed"))
    );
    assert_eq!(greeks["underlying_price"]["price"], "100.00");
    assert_eq!(
        (&greeks["risk_free_rate"]["value"], &greeks["dividend_yield"]["value"]),
        (&json!("0.05"), &json!("0"))
    );
    assert_eq!(greeks["intrinsic_value"], "0.00");
    // By Black and Scholes: S 100, K 100, r 5 %, 30.24 days, 3.55 dollars imply 29.147 %.
    let near = |value: &Value, low: f64, high: f64| {
        assert!((low..high).contains(&number(value)), "{value} of {greeks}");
    };
    near(&greeks["implied_volatility"], 0.291_46, 0.291_48);
    near(&greeks["greeks"]["delta"], 0.536_37, 0.536_39);
    near(&greeks["greeks"]["vega"], 0.114_35, 0.114_37);
    assert!(number(&greeks["greeks"]["theta"]) < 0.0 && greeks["greeks"]["speed"].is_string());
    let put = server.get("/v1/market/options/contracts/AAPL240216P00105000").await.expect(200);
    assert_eq!(put["valuation"]["model"], "leisen_reimer");
    assert_eq!(put["valuation"]["greeks"]["speed"], Value::Null);
    assert!(number(&put["valuation"]["greeks"]["delta"]) < -0.5);
    assert_eq!(
        (&put["open_interest"]["value"], &put["open_interest"]["volume"]),
        (&json!("20"), &json!("1"))
    );
    assert_eq!(put["multiplier"], 100);

    let below = quote("AAPL240216C00095000", "4.00", "4.10", "2024-01-17T15:10:00Z");
    server.feed(&[below]).await.expect(200);
    let below =
        server.get("/v1/market/options/contracts/AAPL240216C00095000/greeks").await.expect(200);
    assert_eq!(below["no_implied_volatility"]["code"], "below_intrinsic");
    assert_eq!((&below["implied_volatility"], &below["greeks"]), (&Value::Null, &Value::Null));
    server.get("/v1/market/options/contracts/AAPL240216C00096000/greeks").await.expect(404);
    let wrong = server.get("/v1/market/options/contracts/AAPL/greeks").await.expect(422);
    assert_eq!(wrong["errors"][0]["field"], "option_symbol");
}

#[tokio::test]
async fn what_nobody_has_told_is_missing_and_may_be_given_with_the_request() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    server.quoted().await;
    server.feed(&[quote(CALL, "2.50", "2.60", OPEN)]).await.expect(200);
    let path = format!("/v1/market/options/contracts/{CALL}");
    let bare = server.get(&path).await.expect(200);
    let missing = json!(["style", "risk_free_rate", "dividend_yield"]);
    assert_eq!(bare["valuation"]["missing"], missing);
    for absent in ["model", "implied_volatility", "greeks", "risk_free_rate"] {
        assert_eq!(bare["valuation"][absent], Value::Null, "{absent}");
    }
    assert_eq!((&bare["open_interest"], &bare["style"]), (&Value::Null, &Value::Null));
    let given = format!("{path}/greeks?risk_free_rate=0.04&dividend_yield=0.01");
    let given = server.get(&given).await.expect(200);
    assert_eq!(given["risk_free_rate"], json!({"value": "0.04", "at": null, "source": "request"}));
    assert_eq!(given["missing"], json!(["style"]));
    assert!(number(&given["implied_volatility"]) > 0.0);
    let wild = server.get(&format!("{path}?risk_free_rate=45")).await.expect(422);
    assert_eq!(wild["errors"][0]["field"], "risk_free_rate");
    // A day after it has expired nothing is computed of it.
    server.feed(&[json!({"t": "clock", "at": "2024-01-19T21:00:01Z"})]).await.expect(200);
    let over = format!("{path}/greeks?risk_free_rate=0.04&dividend_yield=0.01");
    let over = server.get(&over).await.expect(200);
    assert_eq!(over["no_implied_volatility"]["code"], "expired");
    assert_eq!(over["time_value"], Value::Null, "no time is left to be worth anything");
    let chain = server.get("/v1/market/options/AAPL").await.expect(200);
    assert_eq!(chain["items"], json!([]));
}

#[tokio::test]
async fn a_chain_is_read_by_pages_dates_types_and_strikes() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    chain(&server).await;
    let symbols = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|row| row["symbol"].as_str().unwrap().to_owned()).collect()
    };
    let path = "/v1/market/options/AAPL";
    let whole = server.get(path).await.expect(200);
    assert_eq!(whole["items"].as_array().unwrap().len(), 12);
    assert!(whole["items"].as_array().unwrap().iter().all(|row| row["delta"].is_string()));
    let first = server.get(&format!("{path}?limit=5")).await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("{path}?limit=7&cursor={cursor}")).await.expect(200);
    assert_eq!(rest["next_cursor"], Value::Null);
    assert_eq!([symbols(&first), symbols(&rest)].concat(), symbols(&whole));
    let narrowed = "?expiration_date=2024-02-16&type=put&strike_price_gte=96&strike_price_lte=105";
    let narrowed = server.get(&format!("{path}{narrowed}")).await.expect(200);
    assert_eq!(symbols(&narrowed), ["AAPL240216P00100000", "AAPL240216P00105000"]);
    let contracts = server.get(&format!("{path}/contracts?type=call")).await.expect(200);
    assert_eq!(contracts["items"].as_array().unwrap().len(), 6);
    assert_eq!(contracts["items"][0]["expires_at"], "2024-02-16T21:00:00Z");
    let dates = server.get(&format!("{path}/expirations")).await.expect(200);
    assert_eq!(dates["items"][1]["expiration_date"], "2024-03-15");
    assert_eq!((&dates["items"][0]["days"], &dates["items"][0]["puts"]), (&json!(30), &json!(3)));
    let strikes =
        server.get(&format!("{path}/strikes?expiration_date=2024-02-16")).await.expect(200);
    assert_eq!(strikes["items"][2], json!({"strike_price": "105.00", "calls": 1, "puts": 1}));
    server.get("/v1/market/options/NOPE").await.expect(404);
    server.get(&format!("{path}?expiration_date=soon")).await.expect(422);
}

#[tokio::test]
async fn an_analysis_says_what_the_chain_says() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    chain(&server).await;
    let said = server.get("/v1/market/options/AAPL/analysis").await.expect(200);
    assert_eq!((&said["expiration_date"], &said["missing"]), (&json!("2024-02-16"), &json!([])));
    assert_eq!(said["smile"].as_array().unwrap().len(), 3);
    assert_eq!(said["smile"][0]["moneyness"], "0.95");
    assert!(said["smile"][1]["put_volatility"].is_string());
    assert_eq!(said["liquidity"]["quoted"], 6);
    assert_eq!(said["liquidity"]["open_interest"], "160");
    let next = &said["term_structure"][0];
    assert_eq!(next["at_the_money_strike"], "100.00");
    // 3.55 and 3.15
    assert_eq!(
        (&next["expected_move"], &next["expected_move_rate"]),
        (&json!("6.70"), &json!("0.067"))
    );
    assert_eq!(next["put_call_ratio_open_interest"], "1");
    assert_eq!(next["put_call_ratio_volume"], "0.25");
    // At 95 calls bring 0 and puts 450; at 100 calls 50 and puts 100; at 105 calls 350 and puts 0.
    assert_eq!(next["max_pain"], "100.00");
    let options = "/v1/market/options";
    // What there is not is told with what there is.
    for (path, instead) in [
        ("AAPL/analysis?expiration_date=2024-02-17", "nearest to it are those of 2024-02-16, "),
        ("contracts/AAPL240216C00096000", "nearest to it are AAPL240216C00095000, "),
        ("contracts/AAPL240216C00096000/greeks", "nearest to it are AAPL240216C00095000, "),
    ] {
        let lacking = server.get(&format!("{options}/{path}")).await.expect(404);
        let said = lacking["detail"].as_str().unwrap();
        assert!(lacking["code"] == "not_found" && said.contains(instead), "{path}: {lacking}");
    }
    server.feed(&[instrument("MSFT")]).await.expect(200);
    let lacking = server.get(&format!("{options}/MSFT/analysis")).await.expect(404);
    assert!(lacking["detail"].as_str().unwrap().contains("listed no options on MSFT"), "{lacking}");
    server.get("/v1/market/options/NOPE/analysis").await.expect(404);
}

/// 44.00 by 44.10 become 14.666666667 by 14.70, whose middle is told to the 9th decimal, half to even.
#[tokio::test]
async fn a_split_of_a_standing_quote_leaves_the_middle_between_its_sides() {
    let database = TestDatabase::new().await;
    let server = TestRest::start(&database).await;
    let split = json!({"t": "split", "symbol": "AAPL", "numerator": "3", "denominator": "1", "id": "s",
        "at": "2024-01-17T15:01:00Z"});
    let call = quote("AAPL240216C00015000", "0.50", "0.55", "2024-01-17T15:02:00Z");
    let lines = [instrument("AAPL"), quote("AAPL", "44.00", "44.10", OPEN), split, call];
    server.feed(&lines).await.expect(200);
    let chain = server.get("/v1/market/options/AAPL").await.expect(200);
    assert_eq!(chain["underlying_price"]["price"], "14.683333334", "{chain}");
}
