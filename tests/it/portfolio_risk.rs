//! The risk of an account over REST and MCP, by numbers that were worked by hand.

#![expect(clippy::float_arithmetic, reason = "estimates, no money")]

use chrono::{Datelike, NaiveDate, Weekday};
use serde_json::{Value, json};

use crate::mcp::desk::{Client, Desk, handshake};
use crate::options_trading::{contract, market, single};
use crate::support::TestDatabase;
use crate::support::people::Person;
use crate::support::rest::{OPEN, TestRest, instrument, quote};

/// Returns of AAPL day by day, each of -20 to 19 thousandths once.
fn thousandths(day: i64) -> i64 {
    (day * 7) % 40 - 20
}

/// Sessions before the day on which the tests trade, the last ones of them.
fn sessions(count: usize) -> Vec<NaiveDate> {
    let date = |month, day| NaiveDate::from_ymd_opt(2023, month, day).unwrap();
    let mut closed = vec![date(11, 23), date(12, 25)];
    closed.extend(NaiveDate::from_ymd_opt(2024, 1, 1));
    closed.extend(NaiveDate::from_ymd_opt(2024, 1, 15));
    let end = NaiveDate::from_ymd_opt(2024, 1, 16).unwrap();
    let open = |date: &NaiveDate| {
        !matches!(date.weekday(), Weekday::Sat | Weekday::Sun) && !closed.contains(date)
    };
    let mut dates: Vec<_> =
        date(11, 1).iter_days().take_while(|it| *it <= end).filter(open).collect();
    dates.split_off(dates.len() - count)
}

fn bar(symbol: &str, date: NaiveDate, close: f64) -> Value {
    let price = format!("{close:.4}");
    json!({"t": "bar", "symbol": symbol, "span": "1d", "at": format!("{date}T05:00:00Z"),
        "open": price, "high": price, "low": price, "close": price, "volume": "1000"})
}

/// Daily bars of so many days: AAPL with its returns, SPY with half of them. AAPL is split 2 for 1 in their middle.
fn bars(days: usize) -> Vec<Value> {
    let mut lines = vec![instrument("AAPL"), instrument("SPY")];
    let (mut aapl, mut spy, mut terms) = (1_000.0, 4_000.0, 2.0);
    for (day, date) in sessions(days).into_iter().enumerate() {
        if day > 0 {
            let moved = thousandths(day as i64 - 1) as f64 / 1_000.0;
            aapl *= 1.0 + moved;
            spy *= 1.0 + moved / 2.0;
        }
        if day == days / 2 {
            terms = 1.0;
            lines.push(json!({"t": "split", "symbol": "AAPL", "numerator": "2", "denominator": "1", "id": "s",
                "at": format!("{date}T05:00:00Z")}));
        }
        lines.extend([bar("AAPL", date, aapl * terms), bar("SPY", date, spy)]);
    }
    lines
}

/// A server whose market has so many days of bars behind it, and the quotes of [`market`]; and a client of it.
async fn desk(name: &str, days: usize) -> (Desk, Client) {
    let desk = Desk::silent(name).await;
    desk.feed(&bars(days)).await;
    desk.feed(&market()).await;
    let client = desk.client(handshake()).await;
    (desk, client)
}

async fn get(desk: &Desk, path: &str, status: u16) -> Value {
    let answer = desk.request("GET", path).send().await.unwrap();
    let found = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(found, status, "{body}");
    body
}

async fn post(desk: &Desk, path: &str, body: &Value) -> Value {
    let answer = desk.post(path).json(body).send().await.unwrap();
    let found = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(found, 201, "{body}");
    body
}

/// An account with 100 AAPL, and other orders of it filled.
async fn holding(desk: &Desk, more: &[Value]) -> String {
    let body = json!({"name": "risk", "kind": "margin", "starting_balance": "100000"});
    let account =
        post(desk, "/v1/accounts", &body).await["account_id"].as_str().unwrap().to_owned();
    let shares = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "100"});
    for order in std::iter::once(&shares).chain(more) {
        let placed = post(desk, &format!("/v1/accounts/{account}/orders"), order).await;
        assert_eq!(placed["status"], "filled", "{placed}");
    }
    account
}

/// What MCP leaves out.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).parse().unwrap()
}

fn near(value: &Value, expected: f64, by: f64) {
    assert!((number(value) - expected).abs() <= by, "{value} is not {expected}");
}

/// The change of the equity in a cell of the stress grid.
fn stressed(risk: &Value, underlying: &str, volatility: &str) -> f64 {
    let cells = risk["stress"].as_array().unwrap();
    let cell = cells.iter().find(|cell| {
        cell["underlying_change"] == underlying && cell["volatility_change"] == volatility
    });
    number(&cell.unwrap()["equity_change"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_have_the_risk_that_is_worked_by_hand_over_rest_and_mcp() {
    let (desk, client) = desk("risk-shares", 41).await;
    let account = holding(&desk, &[]).await;
    let path = format!("/v1/accounts/{account}/risk");
    let risk = get(&desk, &path, 200).await;
    // 100 bought at 101 are worth 100 each.
    assert_eq!((&risk["cash"], &risk["equity"]), (&json!("89900.00"), &json!("99900.00")));
    let exposure = json!({"long": "10000.00", "short": "0.00", "gross": "10000.00", "net": "10000.00",
        "leverage": "0.1001", "net_rate": "0.1001"});
    assert_eq!(risk["exposure"], exposure);
    let concentration = json!({"hhi": "1", "effective_underlyings": "1", "underlyings": 1,
        "largest_symbol": "AAPL", "largest_weight": "1"});
    assert_eq!(risk["concentration"], concentration);
    // Moves are from the middle of the quote, 100.50.
    assert_eq!(
        (&risk["greeks"]["dollar_delta"], &risk["greeks"]["vega"]),
        (&json!("10050.00"), &json!("0.00"))
    );
    for (change, gain) in [("-0.2", -2_010.0), ("-0.05", -502.5), ("0", 0.0), ("0.1", 1_005.0)] {
        for volatility in ["-0.25", "0", "0.25"] {
            assert_eq!(stressed(&risk, change, volatility), gain, "shares are a straight line");
        }
    }
    assert_eq!(risk["stress"].as_array().unwrap().len(), 21);
    // Losses of -19 to 20 thousandths of 10,050: the 38th of the 40 is 18, and beyond it are 19 and 20.
    let told = &risk["value_at_risk"];
    assert_eq!(
        (&told["method"], &told["confidence"], &told["horizon_days"], &told["days"]),
        (&json!("historical"), &json!("0.95"), &json!(1), &json!(40))
    );
    near(&told["value_at_risk"], 180.90, 0.01);
    near(&told["expected_shortfall"], 195.98, 0.015);
    near(&told["value_at_risk_rate"], 180.90 / 99_900.0, 1e-6);
    let four = get(&desk, &format!("{path}?horizon_days=4"), 200).await;
    near(&four["value_at_risk"]["value_at_risk"], 361.80, 0.02);
    // The mean is -0.5 thousandths, the standard deviation that of 40 whole numbers: the root of 40 * 41 / 12.
    let (mean, deviation) = (-5.025, 10.05 * (40.0 * 41.0 / 12.0_f64).sqrt());
    let normal = get(&desk, &format!("{path}?method=parametric&confidence=0.99"), 200).await;
    near(&normal["value_at_risk"]["value_at_risk"], 2.326_347_874 * deviation - mean, 0.02);
    near(&normal["value_at_risk"]["expected_shortfall"], 2.665_214_220 * deviation - mean, 0.02);
    let drawn = get(&desk, &format!("{path}?method=monte_carlo"), 200).await;
    let again = get(&desk, &format!("{path}?method=monte_carlo"), 200).await;
    assert_eq!(drawn["value_at_risk"], again["value_at_risk"]);
    assert_eq!(
        (&drawn["value_at_risk"]["draws"], &drawn["value_at_risk"]["seed"]),
        (&json!(10_000), &json!(1))
    );
    let expected = 1.644_853_627 * deviation - mean;
    near(&drawn["value_at_risk"]["value_at_risk"], expected, 0.03 * expected);
    // SPY does half of what AAPL does, and AAPL is a tenth of the equity.
    let history = &risk["history"];
    near(&history["beta"], 2.0 * 10_050.0 / 99_900.0, 1e-5);
    near(&history["volatility"], deviation / 99_900.0 * 252.0_f64.sqrt(), 1e-5);
    assert_eq!(
        (&history["days"], &history["from"], &history["to"], &history["benchmark_days"]),
        (&json!(40), &json!(sessions(41)[0]), &json!("2024-01-16"), &json!(40))
    );
    assert_eq!((&risk["source"], &risk["days_a_year"]), (&json!("feed"), &json!(252)));
    // Nothing has closed since the account was opened.
    assert_eq!(risk["performance"]["sessions"], 0);
    let figures: Vec<_> =
        risk["missing"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
    assert_eq!(figures, ["too_little_history", "too_little_history"]);

    let over_mcp = client.answer("portfolio_risk", json!({"account_id": account})).await;
    assert_eq!(over_mcp, without_nulls(&risk));
    let arguments = json!({"account_id": account, "method": "parametric", "confidence": 0.99});
    assert_eq!(client.answer("portfolio_risk", arguments).await, without_nulls(&normal));
    let portfolio = get(&desk, &format!("/v1/accounts/{account}/portfolio"), 200).await;
    assert_eq!(portfolio["greeks"], Value::Null, "it holds no options");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_are_revalued_with_the_shares_that_they_are_on() {
    let (desk, client) = desk("risk-options", 41).await;
    let (call, put) = (contract("C", 100), contract("P", 98));
    let orders = [single("buy", &call, "2.60"), single("buy", &put, "1.55")];
    let account = holding(&desk, &orders).await;
    let risk = get(&desk, &format!("/v1/accounts/{account}/risk"), 200).await;
    let over_mcp = client.answer("portfolio_risk", json!({"account_id": account})).await;
    assert_eq!(over_mcp, without_nulls(&risk));
    // 100 at 100, a call at 2.50 and a put at 1.50, of 100 shares each: all on AAPL.
    assert_eq!(risk["exposure"]["gross"], "10400.00");
    assert_eq!(risk["concentration"]["hhi"], "1");
    let greeks = &risk["greeks"];
    let of_aapl = &greeks["underlyings"][0];
    let grouped = client.answer("aggregate_option_positions", json!({"account_id": account})).await;
    let grouped = &grouped["items"][0]["greeks"];
    for name in ["delta", "gamma", "theta", "vega", "rho"] {
        assert_eq!(of_aapl[name], grouped[name], "{name}");
    }
    near(&greeks["dollar_delta"], number(&of_aapl["delta"]) * 100.5, 0.1);
    near(&greeks["dollar_gamma"], number(&of_aapl["gamma"]) * 100.5 * 100.5 / 100.0, 0.01);
    near(&greeks["vega"], number(&of_aapl["vega"]), 0.01);
    assert_eq!(
        (&greeks["missing"], &of_aapl["underlying_price"]["price"]),
        (&json!([]), &json!("100.50"))
    );
    let portfolio = get(&desk, &format!("/v1/accounts/{account}/portfolio"), 200).await;
    assert_eq!(&portfolio["greeks"], greeks);
    let summary = client.answer("get_portfolio_summary", json!({"account_id": account})).await;
    assert_eq!(summary["greeks"]["dollar_delta"], greeks["dollar_delta"]);
    assert_eq!(summary["greeks"]["underlyings"], Value::Null);

    // At 80.40 the put is worth 17.60 or little less, the call nothing: they cost 1.525 and 2.55 at their middles.
    assert_eq!(stressed(&risk, "0", "0"), 0.0);
    let fallen = stressed(&risk, "-0.2", "0");
    let expected = -2_010.0 + (1_760.0 - 152.5) - 255.0;
    assert!((expected - 40.0..=expected + 1.0).contains(&fallen), "{fallen} is not {expected}");
    assert!(fallen > -0.2 * number(&greeks["dollar_delta"]) + 500.0, "it bends");
    assert!(stressed(&risk, "0", "0.25") > 20.0 && stressed(&risk, "0", "-0.25") < -20.0);
    // A straight line by delta would lose 18 thousandths of it.
    let told = number(&risk["value_at_risk"]["value_at_risk"]);
    let straight = 0.018 * number(&greeks["dollar_delta"]);
    assert!((0.7 * straight..0.97 * straight).contains(&told), "{told} is not below {straight}");

    // Without a rate options are not valued, and what needs them says so.
    let other = Desk::silent("risk-unvalued").await;
    let lines: Vec<Value> = market().into_iter().filter(|line| line["t"] != "rate").collect();
    other.feed(&lines).await;
    let account = holding(&other, &[single("buy", &call, "2.60")]).await;
    let risk = get(&other, &format!("/v1/accounts/{account}/risk"), 200).await;
    let why = risk["missing"].as_array().unwrap().iter().find(|it| it["code"] == "not_valued");
    let why = why.unwrap_or_else(|| panic!("{risk}"));
    assert_eq!(
        (&why["symbols"], &why["figures"]),
        (&json!([call]), &json!(["stress", "value_at_risk", "history"]))
    );
    assert_eq!(
        (&risk["stress"], &risk["value_at_risk"], &risk["greeks"]["dollar_delta"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(risk["greeks"]["missing"][0]["why"], json!(["risk_free_rate", "dividend_yield"]));
    assert_eq!(risk["exposure"]["gross"], "10250.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_history_is_said_with_what_there_is_and_what_it_takes() {
    let (desk, _client) = desk("risk-short", 10).await;
    let account = holding(&desk, &[]).await;
    let risk = get(&desk, &format!("/v1/accounts/{account}/risk"), 200).await;
    assert_eq!((&risk["value_at_risk"], &risk["history"]), (&Value::Null, &Value::Null));
    let missing = risk["missing"].as_array().unwrap();
    let why = missing.iter().find(|it| it["figures"][0] == "value_at_risk").unwrap();
    assert_eq!(
        (&why["code"], &why["have"], &why["need"], &why["symbols"]),
        (&json!("too_little_history"), &json!(9), &json!(30), &json!(["AAPL"]))
    );
    assert_eq!(stressed(&risk, "-0.1", "0"), -1_005.0, "what needs no history is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_told_how_it_did_with_what_was_paid_in_left_out() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let base = format!("/v1/accounts/{account}");
    rest.quoted().await;
    let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "10"});
    rest.post(&format!("{base}/orders"), body).await.expect(201);
    let close = async |price: &str, date: &str| {
        let trade = json!({"t": "trade", "symbol": "AAPL", "price": price, "size": "10", "at": format!("{date}T20:59:00Z")});
        let clock = json!({"t": "clock", "at": format!("{date}T21:00:01Z")});
        rest.feed(&[trade, clock]).await.expect(200);
    };
    // 8,990 in cash and ten at 103; then 500 more in cash and ten at 93.
    close("103", "2024-01-17").await;
    rest.post(&format!("{base}/deposits"), json!({"amount": "500"})).await.expect(201);
    close("93", "2024-01-18").await;
    close("98", "2024-01-19").await;
    rest.feed(&[quote("AAPL", "98", "99", "2024-01-22T15:00:00Z")]).await.expect(200);
    let risk = rest.get(&format!("{base}/risk")).await.expect(200);
    let told = &risk["performance"];
    assert_eq!(
        (&told["sessions"], &told["from"], &told["to"]),
        (&json!(3), &json!("2024-01-17"), &json!("2024-01-19"))
    );
    // From 10,020 it lost 100, and then gained 50 on 10,420.
    near(&told["max_drawdown"], 100.0 / 10_020.0, 1e-8);
    near(&told["drawdown"], 1.0 - 9_920.0 / 10_020.0 * (10_470.0 / 10_420.0), 1e-8);
    assert_eq!((&told["volatility"], &told["sharpe_ratio"]), (&Value::Null, &Value::Null));
    let why = &risk["missing"][0];
    assert_eq!(
        (&why["code"], &why["have"], &why["need"]),
        (&json!("too_little_history"), &json!(3), &json!(30))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_wrongly_is_named_and_another_tenants_account_is_nobodys() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let path = format!("/v1/accounts/{account}/risk");
    assert_eq!(rest.get(&path).await.expect(422)["code"], "market_clock_unset");
    rest.feed(&[instrument("AAPL"), quote("AAPL", "100", "101", OPEN)]).await.expect(200);
    for (query, field) in [
        ("method=guess", "method"),
        ("confidence=0.5", "confidence"),
        ("confidence=0.9991", "confidence"),
        ("confidence=95", "confidence"),
        ("horizon_days=0", "horizon_days"),
        ("horizon_days=31", "horizon_days"),
    ] {
        let problem = rest.get(&format!("{path}?{query}")).await.expect(422);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let every = rest.get(&format!("{path}?method=x&confidence=1&horizon_days=x")).await.expect(422);
    assert_eq!(every["errors"].as_array().unwrap().len(), 3, "{every}");
    for query in ["confidence=0.501", "confidence=0.999", "horizon_days=30&method=monte_carlo"] {
        rest.get(&format!("{path}?{query}")).await.expect(200);
    }
    let bob = Person::register(&database, "bob").await.agent(&rest).await;
    let mut answers = Vec::new();
    for id in [account.as_str(), "01890a5d-ac96-774b-bcce-b302099a8057"] {
        let answer = bob.get(&rest, &format!("/v1/accounts/{id}/risk")).await;
        answers.push((answer.status, answer.text));
    }
    assert_eq!(answers[0].0, 404);
    assert_eq!(answers[0], answers[1]);
}
