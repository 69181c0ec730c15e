//! Portfolios and their history over REST, by cases that were worked by hand.

use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{OPEN, TestRest, instrument, quote};

fn trade(symbol: &str, price: &str, at: &str) -> Value {
    json!({"t": "trade", "symbol": symbol, "price": price, "size": "10", "at": at})
}

fn clock(at: &str) -> Value {
    json!({"t": "clock", "at": at})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_worked_by_hand_is_as_of_each_close() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let base = format!("/v1/accounts/{account}");
    // Wednesday: ten at 101, closing at 103: 8,990 in cash and 1,030 in shares.
    rest.quoted().await;
    let orders = format!("{base}/orders");
    let order = |side: &str, qty: &str| {
        let body = json!({"symbol": "AAPL", "side": side, "type": "market", "qty": qty});
        rest.post(&orders, body)
    };
    order("buy", "10").await.expect(201);
    rest.feed(&[trade("AAPL", "103", "2024-01-17T20:59:00Z"), clock("2024-01-17T21:00:01Z")])
        .await
        .expect(200);
    // After the close: 500 paid in, which belong to Thursday.
    rest.post(&format!("{base}/deposits"), json!({"amount": "500"})).await.expect(201);
    // Thursday: four sold at 104, closing at 99: 9,906 in cash and 594 in shares.
    rest.feed(&[quote("AAPL", "104", "105", "2024-01-18T15:00:00Z")]).await.expect(200);
    order("sell", "4").await.expect(201);
    rest.feed(&[trade("AAPL", "99", "2024-01-18T20:59:00Z"), clock("2024-01-18T21:00:01Z")])
        .await
        .expect(200);
    // Friday: 2 for 1 in the morning, closing at 50: 9,906 in cash and twelve at 50.
    let split = json!({"t": "split", "symbol": "AAPL", "numerator": "2", "denominator": "1", "id": "s", "at": "2024-01-19T13:00:00Z"});
    rest.feed(&[split, quote("AAPL", "50", "51", "2024-01-19T14:31:00Z")]).await.expect(200);
    let split = &rest.get(&format!("{base}/portfolio")).await.expect(200)["positions"][0];
    // It closed at 99 for what is two now.
    assert_eq!(
        (&split["lastday_price"], &split["current_price"], &split["change_today"]),
        (&json!("49.50"), &json!("50.00"), &json!("0.010101"))
    );
    rest.feed(&[trade("AAPL", "50", "2024-01-19T20:59:00Z"), clock("2024-01-19T21:00:01Z")])
        .await
        .expect(200);
    // Monday, under way.
    rest.feed(&[quote("AAPL", "52", "53", "2024-01-22T15:00:00Z")]).await.expect(200);

    let history = rest.get(&format!("{base}/portfolio/history")).await.expect(200);
    let points: Vec<[&Value; 5]> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            [&p["session"], &p["cash"], &p["equity"], &p["profit_loss"], &p["profit_loss_pct"]]
        })
        .collect();
    assert_eq!(
        json!(points),
        json!([
            ["2024-01-17", "8990.00", "10020.00", "20.00", "0.002"],
            ["2024-01-18", "9906.00", "10500.00", "0.00", "0"],
            ["2024-01-19", "9906.00", "10506.00", "6.00", "0.0006"],
        ])
    );
    assert_eq!(
        (&history["base_value"], &history["base_value_asof"]),
        (&json!("10000.00"), &json!(null))
    );
    assert_eq!((&history["timeframe"], &history["next_cursor"]), (&json!("1D"), &json!(null)));
    // From the close of the session before the period.
    let week =
        rest.get(&format!("{base}/portfolio/history?period=4D&timeframe=1D")).await.expect(200);
    assert_eq!(week["items"].as_array().unwrap().len(), 1, "{week}");
    assert_eq!(
        (&week["base_value"], &week["base_value_asof"]),
        (&json!("10500.00"), &json!("2024-01-18"))
    );
    assert_eq!(week["items"][0]["profit_loss"], "6.00");
    // A shorter period is the end of a longer one, and begins with the close before it.
    let whole = history["items"].as_array().unwrap();
    for days in 1..9 {
        let path = format!("{base}/portfolio/history?period={days}D");
        let part = rest.get(&path).await.expect(200);
        let points = part["items"].as_array().unwrap();
        let (before, end) = whole.split_at(whole.len() - points.len());
        let equities = |points: &[Value]| -> Vec<Value> {
            points.iter().map(|p| json!([p["session"], p["cash"], p["equity"]])).collect()
        };
        assert_eq!(equities(points), equities(end), "{days}");
        let base_value = before.last().map_or(&history["base_value"], |close| &close["equity"]);
        assert_eq!(&part["base_value"], base_value, "{days}");
    }
    // Page by page it is the same, also when the base is not on the page.
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{base}/portfolio/history?limit=2{cursor}");
        let page = rest.get(&path).await.expect(200);
        assert_eq!(page["base_value"], history["base_value"]);
        pages.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        cursor = format!("&cursor={next}");
        let other = format!("{base}/portfolio/history?period=all{cursor}");
        assert_eq!(rest.get(&other).await.expect(400)["code"], "bad_cursor");
    }
    assert_eq!(json!(pages), history["items"]);
    for query in ["period=1Y", "timeframe=1Min", "period=0D", "limit=501"] {
        rest.get(&format!("{base}/portfolio/history?{query}")).await.expect(422);
    }

    let now = rest.get(&format!("{base}/portfolio")).await.expect(200);
    // Twelve at the bid of 52: 624. They cost 606: six of ten at 101.
    for (field, value) in [
        ("equity", "10530.00"),
        ("cash", "9906.00"),
        ("long_market_value", "624.00"),
        ("cost_basis", "606.00"),
        ("unrealized_pl", "18.00"),
        ("realized_pl", "12.00"),
        ("last_equity", "10506.00"),
        ("last_session", "2024-01-19"),
        ("paid_in", "0.00"),
        ("day_change", "24.00"),
        ("day_change_pct", "0.002284"),
    ] {
        assert_eq!(now[field], value, "{field} of {now}");
    }
    let holding = &now["positions"][0];
    assert_eq!(
        (&holding["weight"], &holding["lastday_price"]),
        (&json!("0.059259"), &json!("50.00"))
    );
    assert_eq!(
        (&holding["change_today"], &holding["mark_source"]),
        (&json!("0.04"), &json!("feed"))
    );
    assert_eq!(now["unmarked"], json!([]));
}

/// Whatever happens in between, portfolio and history say the same, however often they were asked before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portfolio_is_compared_with_the_last_close_of_the_history_whatever_was_asked_before() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let base = format!("/v1/accounts/{account}");
    let mut paid_in = 0;
    let check = async |paid_in: i64| {
        for _ in 0..2 {
            let now = rest.get(&format!("{base}/portfolio")).await.expect(200);
            let history =
                rest.get(&format!("{base}/portfolio/history?period=all")).await.expect(200);
            let last = history["items"].as_array().unwrap().last();
            let (value, session) = match last {
                Some(last) => (&last["equity"], &last["session"]),
                None => (&history["base_value"], &json!(null)),
            };
            assert_eq!((&now["last_equity"], &now["last_session"]), (value, session), "{now}");
            let since = if last.is_some() { paid_in } else { 0 };
            assert_eq!(now["paid_in"], format!("{since}.00"), "{now}");
        }
    };
    let deposit = async |amount: &str| {
        let body = json!({ "amount": amount });
        rest.post(&format!("{base}/deposits"), body).await.expect(201);
    };
    let buy = async |qty: &str| {
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": qty});
        rest.post(&format!("{base}/orders"), body).await.expect(201);
    };
    check(paid_in).await;
    rest.quoted().await;
    for day in 17..20 {
        let at = |time: &str| format!("2024-01-{day}T{time}Z");
        rest.feed(&[quote("AAPL", "99", "100", &at("15:00:00"))]).await.expect(200);
        check(paid_in).await;
        buy("2").await;
        check(paid_in).await;
        deposit("7").await;
        paid_in += 7;
        check(paid_in).await;
        // At the instant of the close, which is before it.
        rest.feed(&[trade("AAPL", "101", &at("20:59:00")), clock(&at("21:00:00"))])
            .await
            .expect(200);
        check(paid_in).await;
        deposit("11").await;
        rest.feed(&[clock(&at("21:00:01"))]).await.expect(200);
        paid_in = 0;
        check(paid_in).await;
        deposit("13").await;
        paid_in += 13;
        check(paid_in).await;
    }
    rest.post(&format!("{base}/reset"), json!({"starting_balance": "500"})).await.expect(200);
    check(0).await;
    deposit("3").await;
    check(0).await;
    rest.feed(&[trade("AAPL", "90", "2024-01-22T20:59:00Z"), clock("2024-01-22T21:00:01Z")])
        .await
        .expect(200);
    check(0).await;
    deposit("4").await;
    check(4).await;
}

/// The market tells of a close a day late: what fills at it moved before it, and what was traded meanwhile did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_at_a_close_that_is_told_late_belongs_to_that_close_and_what_came_meanwhile_does_not()
 {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let base = format!("/v1/accounts/{account}");
    let order = async |symbol: &str, qty: &str, time_in_force: &str| {
        let body = json!({"symbol": symbol, "side": "buy", "type": "market", "qty": qty, "time_in_force": time_in_force});
        let placed = rest.post(&format!("{base}/orders"), body).await.expect(201);
        format!("{base}/orders/{}", placed["order_id"].as_str().unwrap())
    };
    rest.quoted().await;
    rest.feed(&[instrument("MSFT"), quote("MSFT", "49", "50", OPEN)]).await.expect(200);
    // Wednesday: nobody tells of a trade of AAPL, MSFT closes at 50.
    let at_the_close = order("AAPL", "3", "cls").await;
    rest.feed(&[trade("MSFT", "50", "2024-01-17T20:59:00Z"), clock("2024-01-17T21:00:01Z")])
        .await
        .expect(200);
    // Thursday: ten of MSFT at 52. Then AAPL's bar of Wednesday, which closes at 104, comes.
    rest.feed(&[quote("MSFT", "51", "52", "2024-01-18T15:00:00Z")]).await.expect(200);
    order("MSFT", "10", "day").await;
    let bar = json!({"t": "bar", "symbol": "AAPL", "open": "101", "high": "105", "low": "100", "close": "104",
        "volume": "1000", "at": "2024-01-17T14:30:00Z", "span": "1d"});
    rest.feed(&[bar, clock("2024-01-18T15:00:01Z")]).await.expect(200);
    assert_eq!(rest.get(&at_the_close).await.expect(200)["status"], "filled");

    // Of Wednesday: 312 for AAPL, which is worth them, and nothing of MSFT.
    for period in ["all", "1D", "2D", "1M"] {
        let path = format!("{base}/portfolio/history?period={period}");
        let history = rest.get(&path).await.expect(200);
        let point = history["items"].as_array().unwrap().last();
        let told = match point {
            Some(point) => {
                assert_eq!(point["cash"], "9688.00", "{history}");
                (&point["session"], &point["equity"])
            }
            None => (&history["base_value_asof"], &history["base_value"]),
        };
        assert_eq!(told, (&json!("2024-01-17"), &json!("10000.00")), "{period}: {history}");
    }
    let now = rest.get(&format!("{base}/portfolio")).await.expect(200);
    assert_eq!(
        (&now["last_session"], &now["last_equity"], &now["cash"]),
        (&json!("2024-01-17"), &json!("10000.00"), &json!("9168.00"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holding_without_a_price_is_named_and_never_counted_as_nothing() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    rest.feed(&[instrument("MSFT"), quote("MSFT", "10", "11", OPEN)]).await.expect(200);
    let account = rest.account("10000").await;
    let base = format!("/v1/accounts/{account}");
    let fresh = rest.get(&format!("{base}/portfolio")).await.expect(200);
    assert_eq!((&fresh["equity"], &fresh["day_change"]), (&json!("10000.00"), &json!("0.00")));
    for symbol in ["AAPL", "MSFT"] {
        let body = json!({"symbol": symbol, "side": "buy", "type": "market", "qty": "1"});
        rest.post(&format!("{base}/orders"), body).await.expect(201);
    }
    // Only AAPL trades, so only AAPL closes officially.
    rest.feed(&[trade("AAPL", "100", "2024-01-17T20:00:00Z"), clock("2024-01-17T21:00:01Z")])
        .await
        .expect(200);
    let history = rest.get(&format!("{base}/portfolio/history?period=all")).await.expect(200);
    let point = &history["items"][0];
    assert_eq!((&point["equity"], &point["profit_loss"]), (&json!(null), &json!(null)));
    assert_eq!((&point["unmarked"], &point["cash"]), (&json!(["MSFT"]), &json!("9888.00")));
    let now = rest.get(&format!("{base}/portfolio")).await.expect(200);
    assert_eq!(
        (&now["equity"], &now["last_equity"], &now["day_change"]),
        (&json!("9998.00"), &json!(null), &json!(null))
    );
    rest.get(&format!("/v1/accounts/{}/portfolio", uuid::Uuid::now_v7())).await.expect(404);
    rest.get(&format!("{base}/portfolio?min_position={}", rest.head())).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_worth_more_than_money_is_bounded_by_reads_as_any_other() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("20000000").await;
    let base = format!("/v1/accounts/{account}");
    let (cheap, dear) = ("2024-01-17T15:00:00Z", "2024-01-17T15:00:01Z");
    let quoted = |bid: &str, ask: &str, at: &str| {
        json!({"t": "quote", "symbol": "PNY", "bid": bid, "ask": ask, "bid_size": "1000000000",
            "ask_size": "1000000000", "at": at})
    };
    rest.feed(&[instrument("PNY"), quoted("0.01", "0.01", cheap)]).await.expect(200);
    let order = json!({"symbol": "PNY", "side": "buy", "type": "market", "qty": "1000000000"});
    let bought = rest.post(&format!("{base}/orders"), order).await.expect(201);
    assert_eq!(bought["status"], "filled", "{bought}");
    let later = clock("2024-01-17T21:00:01Z");
    let close = trade("PNY", "20000", "2024-01-17T20:59:00Z");
    rest.feed(&[quoted("20000", "20001", dear), close, later]).await.expect(200);

    let (worth, equity) = ("20000000000000.00", "20000010000000.00");
    let read = rest.get(&base).await.expect(200);
    assert_eq!((&read["long_market_value"], &read["equity"]), (&json!(worth), &json!(equity)));
    let listed = rest.get("/v1/accounts").await.expect(200);
    assert_eq!(listed["items"][0]["equity"], equity);
    let held = rest.get(&format!("{base}/positions")).await.expect(200);
    assert_eq!(held["items"][0]["market_value"], worth);
    assert_eq!(held["items"][0]["unrealized_pl"], "19999990000000.00");
    let portfolio = rest.get(&format!("{base}/portfolio")).await.expect(200);
    assert_eq!(portfolio["equity"], equity);
    let history = rest.get(&format!("{base}/portfolio/history")).await.expect(200);
    assert_eq!(history["items"][0]["equity"], equity, "{history}");
    let paid = rest.post(&format!("{base}/deposits"), json!({"amount": "1"})).await.expect(201);
    assert_eq!(paid["equity"], "20000010000001.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_positions_shows_ten_lots_of_each_and_says_how_many_there_are() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("10000").await;
    let base = format!("/v1/accounts/{account}");
    rest.quoted().await;
    for _ in 0..12 {
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
        rest.post(&format!("{base}/orders"), body).await.expect(201);
    }
    let list = rest.get(&format!("{base}/positions")).await.expect(200);
    let one = rest.get(&format!("{base}/positions/AAPL")).await.expect(200);
    let listed = &list["items"][0];
    assert_eq!((&listed["lots_total"], &one["lots_total"]), (&json!(12), &json!(12)));
    let (some, all) = (listed["lots"].as_array().unwrap(), one["lots"].as_array().unwrap());
    assert_eq!((some.len(), all.len()), (10, 12));
    assert_eq!(some, &all[..10], "the first that a sell takes");
    assert_eq!((&listed["cost_basis"], &one["cost_basis"]), (&json!("1212.00"), &json!("1212.00")));
}
