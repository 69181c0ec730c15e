//! A feed that does everything wrong: it stalls, comes back with what it has told, garbles, leaps, and floods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stops::call;
use super::workload::{Told, Workload};
use super::{PATIENCE, verify_directory, writes};
use crate::support::rest::{Answer, OPEN, TOKEN, quote, send};
use crate::support::{Server, scratch_with_cluster};

/// The most lines that a call may have.
const LINES_MAX: usize = 50_000;

/// What a server was told and what it said to that.
struct Feed {
    url: String,
    ignored: BTreeMap<String, u64>,
}

impl Feed {
    fn of(server: &Server) -> Self {
        Self { url: format!("{}/v1/market/feed", server.base()), ignored: BTreeMap::new() }
    }

    /// Posts a body as it is.
    async fn post(&self, body: String) -> reqwest::Result<Answer> {
        let request = Client::new().post(&self.url).bearer_auth(TOKEN);
        let request = request.header("content-type", "application/x-ndjson").body(body);
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// Posts lines, each of which is worked or ignored, and gives how many were ignored for each reason.
    async fn tell(&mut self, lines: &[Value]) -> BTreeMap<String, u64> {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let answer = self.post(body).await.unwrap().expect(200);
        self.take_in(&answer, lines.len())
    }

    /// Counts what an answer to so many lines says.
    fn take_in(&mut self, answer: &Value, lines: usize) -> BTreeMap<String, u64> {
        let count = |name: &str| answer[name].as_u64().unwrap();
        assert_eq!(count("accepted") + count("ignored"), lines as u64, "{answer}");
        let reasons: BTreeMap<String, u64> =
            serde_json::from_value(answer["reasons"].clone()).unwrap();
        assert_eq!(reasons.values().sum::<u64>(), count("ignored"), "{answer}");
        for (reason, n) in &reasons {
            *self.ignored.entry(reason.clone()).or_default() += n;
        }
        reasons
    }

    /// The metrics of the server count what its answers did.
    async fn is_counted(&self, workload: &Workload, server: &Server) {
        let metrics = workload.read(server.base(), "/metrics").await.unwrap().text;
        let counted = |line: &str| {
            let (reason, n) =
                line.strip_prefix("blotter_lines_ignored_total{reason=\"")?.split_once("\"} ")?;
            Some((reason.to_owned(), n.parse().unwrap()))
        };
        let counted: BTreeMap<String, u64> = metrics.lines().filter_map(counted).collect();
        assert_eq!(counted, self.ignored);
    }
}

/// So many milliseconds into the session.
fn at(millis: i64) -> String {
    let open: DateTime<Utc> = OPEN.parse().unwrap();
    (open + TimeDelta::milliseconds(millis)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A quote of AAPL, so many seconds into the session.
fn shown((bid, bid_size): (&str, &str), (ask, ask_size): (&str, &str), second: i64) -> Value {
    json!({"t": "quote", "symbol": "AAPL", "bid": bid, "bid_size": bid_size, "ask": ask, "ask_size": ask_size,
        "at": at(1_000 * second)})
}

/// The orders of a new account.
async fn orders(server: &Server, balance: &str) -> String {
    let body = json!({"name": "feed", "kind": "cash", "starting_balance": balance});
    let account = call(server, Method::POST, "/v1/accounts", Some(body)).await;
    format!("/v1/accounts/{}/orders", account["account_id"].as_str().unwrap())
}

/// Places an order of AAPL and gives the path that it is read at.
async fn place(server: &Server, orders: &str, side: &str, qty: &str, more: Value) -> String {
    let mut body = json!({"symbol": "AAPL", "side": side, "type": "market", "qty": qty});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let order = call(server, Method::POST, orders, Some(body)).await;
    format!("{orders}/{}", order["order_id"].as_str().unwrap())
}

/// What has become of an order.
async fn order(server: &Server, path: &str) -> Value {
    let order = call(server, Method::GET, path, None).await;
    json!([order["status"], order["filled_qty"], order["filled_avg_price"]])
}

async fn quoted(server: &Server) -> Value {
    call(server, Method::GET, "/v1/market/quotes/AAPL", None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_garbled_feed_only_what_is_good_fills_and_all_the_rest_is_named_or_counted() {
    let directory = scratch_with_cluster("garbled-feed").await;
    let server = Server::launch_with(directory.path(), &["--market", "feed", "--hours", "nyse"]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let mut feed = Feed::of(&server);
    let orders = orders(&server, "100000").await;
    let good = shown(("100", "10"), ("101", "10"), 1);
    assert_eq!(feed.tell(std::slice::from_ref(&good)).await, [].into());
    let buy = place(&server, &orders, "buy", "15", json!({})).await;
    let waits = json!(["partially_filled", "10", "101.00"]);
    assert_eq!(order(&server, &buy).await, waits);

    for (reason, line) in [
        ("duplicate", good.clone()),
        ("out_of_order", shown(("99", "50"), ("99.50", "50"), 0)),
        ("crossed", shown(("102", "50"), ("101", "50"), 2)),
        ("one_sided", shown(("0", "50"), ("101", "50"), 3)),
        ("one_sided", shown(("100", "50"), ("0", "0"), 4)),
        ("one_sided", shown(("100", "50"), ("101", "0"), 5)),
        ("non_positive", shown(("-1", "50"), ("101", "50"), 6)),
        ("non_positive", shown(("-2", "50"), ("-1", "50"), 7)),
        ("outside_calendar", json!({"t": "clock", "at": "2051-01-03T15:00:00Z"})),
        ("out_of_order", good.clone()),
    ] {
        let told = feed.tell(std::slice::from_ref(&line)).await;
        assert_eq!(told, [(reason.to_owned(), 1)].into(), "{line}");
        let quote = &quoted(&server).await["quote"];
        let standing = (&quote["bid"], &quote["ask"], &quote["at"]);
        assert_eq!(
            standing,
            (&json!("100.00"), &json!("101.00"), &json!("2024-01-17T15:00:01Z")),
            "{line}"
        );
        assert_eq!(order(&server, &buy).await, waits, "{line}");
    }

    // One line that cannot be read: nothing of its call is worked, what came before it included.
    let before = quoted(&server).await;
    let trade = |price: &str| {
        format!(
            r#"{{"t":"trade","symbol":"AAPL","price":{price},"size":"1","at":"{}"}}"#,
            at(9_000)
        )
    };
    let mut garbled: Vec<String> = [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "101",
        "null",
        "[]",
        r#""NaN""#,
        r#""Infinity""#,
        r#""1e400""#,
        r#""1e2""#,
        r#""-1""#,
        r#""0""#,
        r#""100000000""#,
        r#""101.00001""#,
        r#""101"#,
    ]
    .map(trade)
    .to_vec();
    let line = trade(r#""101""#);
    garbled.extend([
        line.replace("AAPL", "aapl"),
        line.replace(r#""size":"1""#, r#""size":"-1""#),
        line.replace(r#""size":"1","#, ""),
        line.replace("trade", "trades"),
        line.replace(r#""size""#, r#""price":"101","size""#),
        line.replace(r#""size""#, r#""sizes":"1","size""#),
        line.replace("15:00:09.000Z", "15:00:60Z"),
        line.replace("15:00:09.000Z", "15:00:09"),
        line.replace("2024-01-17", "2024-02-30"),
        line.replace("2024-", "2049-"),
        line.replace("2024-", "2200-"),
        "0".to_owned(),
        "\u{0}".to_owned(),
    ]);
    for line in garbled {
        let good = shown(("100", "50"), ("101", "50"), 8);
        let answer = feed.post(format!("{good}\n{line}\n{good}\n")).await.unwrap().expect(400);
        let detail = answer["detail"].as_str().unwrap();
        assert!(
            answer["code"] == "unreadable" && detail.starts_with("line 2: "),
            "{line}: {answer}"
        );
        assert_eq!(quoted(&server).await, before, "{line}");
    }
    assert_eq!(order(&server, &buy).await, waits);

    // A symbol that nobody meant is another one.
    let mut wrong = shown(("1", "50"), ("2", "50"), 10);
    wrong["symbol"] = json!("APPL");
    assert_eq!(feed.tell(&[wrong]).await, [].into());
    assert_eq!(quoted(&server).await["quote"], before["quote"]);
    assert_eq!(order(&server, &buy).await, waits);

    assert_eq!(feed.tell(&[shown(("100", "10"), ("101.50", "5"), 11)]).await, [].into());
    assert_eq!(order(&server, &buy).await, json!(["filled", "15", "101.166667"]));
    feed.is_counted(&workload, &server).await;
    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spike_fills_what_can_pay_it_and_nothing_beyond_bands() {
    let directory = scratch_with_cluster("spiking-feed").await;
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let mut feed = Feed::of(&server);
    feed.tell(&[shown(("100", "5"), ("101", "5"), 1)]).await;
    let (rich, poor) = (orders(&server, "100000").await, orders(&server, "2000").await);
    place(&server, &rich, "buy", "5", json!({})).await;
    let resting = json!({"type": "limit", "limit_price": "150", "time_in_force": "gtc"});
    let sell = place(&server, &rich, "sell", "5", resting).await;
    let pays = place(&server, &rich, "buy", "1", json!({})).await;
    let cannot = place(&server, &poor, "buy", "10", json!({})).await;
    let waits = json!(["accepted", "0", null]);
    for path in [&sell, &pays, &cannot] {
        assert_eq!(order(&server, path).await, waits);
    }
    feed.tell(&[shown(("10000", "50"), ("10100", "50"), 2)]).await;
    assert_eq!(order(&server, &pays).await, json!(["filled", "1", "10100.00"]));
    assert_eq!(order(&server, &sell).await, json!(["filled", "5", "150.00"]), "it rested");
    let canceled = call(&server, Method::GET, &cannot, None).await;
    assert_eq!(
        (&canceled["status"], &canceled["cancel_reason"], &canceled["filled_qty"]),
        (&json!("canceled"), &json!("insufficient_buying_power"), &json!("0"))
    );

    // The same under bands.
    let bands = json!({"t": "luld", "symbol": "AAPL", "down": "95", "up": "105", "at": at(3_000)});
    feed.tell(&[bands, shown(("100", "5"), ("101", "5"), 4)]).await;
    let buy = place(&server, &rich, "buy", "15", json!({})).await;
    let waits = json!(["partially_filled", "5", "101.00"]);
    for (ask, second) in [("10100", 5), ("105.01", 6), ("10100", 7)] {
        feed.tell(&[shown(("100", "50"), (ask, "50"), second)]).await;
        assert_eq!(order(&server, &buy).await, waits, "{ask}");
    }
    feed.tell(&[shown(("100", "50"), ("105", "50"), 8)]).await;
    assert_eq!(order(&server, &buy).await, json!(["filled", "15", "103.666667"]));
    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_of_a_feed_that_is_silent_stands_and_shows_its_age() {
    let directory = scratch_with_cluster("silent-feed").await;
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let mut feed = Feed::of(&server);
    let clock = json!({"t": "clock", "at": "2024-01-17T17:00:00Z"});
    feed.tell(&[shown(("100", "50"), ("101", "50"), 1), clock]).await;
    let orders = orders(&server, "100000").await;
    let buy = place(&server, &orders, "buy", "10", json!({})).await;
    assert_eq!(order(&server, &buy).await, json!(["filled", "10", "101.00"]));
    let shown = quoted(&server).await;
    assert_eq!(
        (&shown["quote"]["at"], &shown["market_time"]),
        (&json!("2024-01-17T15:00:01Z"), &json!("2024-01-17T17:00:00Z"))
    );
    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_market_order_waits_while_a_recording_is_silent_and_fills_with_the_next_quote() {
    let directory = scratch_with_cluster("silent-recording").await;
    let file = directory.path().join("silent.jsonl");
    let lines = [
        quote("AAPL", "100", "101", "2024-01-17T15:00:00Z"),
        json!({"t": "clock", "at": "2024-01-17T15:01:01Z"}),
        quote("AAPL", "102", "103", "2024-01-17T15:10:00Z"),
    ];
    std::fs::write(&file, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let market = format!("recorded:{}", file.display());
    let server = Server::launch_with(directory.path(), &["--market", &market, "--paused"]);
    writes(&server).await;
    let run_to = async |at: &str| {
        let run = json!({"action": "run_to", "at": at});
        call(&server, Method::POST, "/v1/market/control", Some(run)).await
    };
    run_to("2024-01-17T15:01:00Z").await;
    let orders = orders(&server, "100000").await;
    let early = place(&server, &orders, "buy", "10", json!({})).await;
    assert_eq!(order(&server, &early).await, json!(["filled", "10", "101.00"]), "60 s old");
    run_to("2024-01-17T15:09:59Z").await;
    let late = place(&server, &orders, "buy", "10", json!({})).await;
    assert_eq!(order(&server, &late).await, json!(["accepted", "0", null]));
    let stands = quoted(&server).await;
    assert_eq!(
        (&stands["quote"]["at"], &stands["market_time"]),
        (&json!("2024-01-17T15:00:00Z"), &json!("2024-01-17T15:09:59Z"))
    );
    run_to("2024-01-17T15:10:00Z").await;
    assert_eq!(order(&server, &late).await, json!(["filled", "10", "103.00"]));
    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_wrong_year_does_not_take_the_market_there_and_a_clock_line_does() {
    let directory = scratch_with_cluster("leaping-feed").await;
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let mut feed = Feed::of(&server);
    let orders = orders(&server, "100000").await;
    feed.tell(&[shown(("100", "5"), ("101", "5"), 1)]).await;
    let buy = place(&server, &orders, "buy", "10", json!({})).await;
    let before = quoted(&server).await;
    let mut wrong = shown(("1", "50"), ("2", "50"), 2);
    wrong["at"] = json!("2049-01-15T15:00:02Z");
    let body = format!("{}\n{wrong}\n", shown(("100", "50"), ("101", "50"), 2));
    let answer = feed.post(body).await.unwrap().expect(400);
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.starts_with("line 2: field 'at': expected a time up to "), "{detail}");
    assert!(detail.contains("2049-01-15") && detail.contains("a clock line before it"), "{detail}");
    assert_eq!(quoted(&server).await, before);
    feed.tell(&[shown(("100", "50"), ("102", "5"), 2)]).await;
    assert_eq!(order(&server, &buy).await, json!(["filled", "10", "101.50"]), "the market goes on");

    // Whoever means it says so.
    let day =
        place(&server, &orders, "buy", "1", json!({"type": "limit", "limit_price": "50"})).await;
    let clock = json!({"t": "clock", "at": "2049-01-15T15:00:00Z"});
    assert_eq!(feed.tell(&[clock, wrong]).await, [].into());
    assert_eq!(order(&server, &day).await, json!(["expired", "0", null]));
    let buy = place(&server, &orders, "buy", "1", json!({})).await;
    assert_eq!(order(&server, &buy).await, json!(["filled", "1", "2.00"]));
    let told = feed.tell(&[shown(("100", "50"), ("101", "50"), 3)]).await;
    assert_eq!(told, [("out_of_order".to_owned(), 1)].into(), "the clock never goes back");

    // The calendar ends, and nothing breaks there.
    let end = ["2050-12-30T20:59:00Z", "2050-12-30T22:00:00Z", "2051-01-03T15:00:00Z"];
    let told = feed.tell(&end.map(|at| json!({"t": "clock", "at": at}))).await;
    assert_eq!(told, [("outside_calendar".to_owned(), 1)].into());
    let late = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
    let request = Client::new().post(format!("{}{orders}", server.base())).bearer_auth(TOKEN);
    let answer = send(request.json(&late)).await;
    assert_eq!(answer.status.as_u16(), 422, "{answer:?}");
    println!("after the end of the calendar: {}", answer.text);
    feed.is_counted(&workload, &server).await;
    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_kill_cuts_off_is_sent_again_and_fills_nothing_twice() {
    /// Lines of the call, each of which fills a share.
    const LINES: usize = 400;
    let directory = scratch_with_cluster("cut-off-feed").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    Feed::of(&server).tell(&[shown(("100", "1"), ("102", "1"), 0)]).await;
    let orders = orders(&server, "1000000").await;
    let qty = (2 * LINES).to_string();
    let rests = json!({"type": "limit", "limit_price": "101"});
    let buy = place(&server, &orders, "buy", &qty, rests).await;
    let lines: Vec<Value> = (1..=LINES as i64)
        .map(|n| {
            let mut line = shown(("100", "1"), ("101", "1"), 0);
            line["at"] = json!(at(n));
            line
        })
        .collect();
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let cut_off = tokio::spawn({
        let (feed, body) = (Feed::of(&server), body.clone());
        async move { feed.post(body).await }
    });
    let filled = async |server: &Server| -> u64 {
        let order = call(server, Method::GET, &buy, None).await;
        order["filled_qty"].as_str().unwrap().parse().unwrap()
    };
    let start = Instant::now();
    while filled(&server).await < 20 {
        assert!(start.elapsed() < PATIENCE, "nothing fills");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    assert!(cut_off.await.unwrap().is_err(), "it was under way");
    server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let worked = filled(&server).await;
    assert!((20..LINES as u64).contains(&worked), "{worked}");

    let mut feed = Feed::of(&server);
    let again = feed.tell(&lines).await;
    let known = again.values().sum::<u64>();
    println!("{worked} of {LINES} lines had filled; {again:?} were known");
    assert!(known >= worked, "{again:?}");
    assert!(again.keys().all(|reason| ["duplicate", "out_of_order"].contains(&reason.as_str())));
    assert_eq!(filled(&server).await, LINES as u64);
    let third = feed.tell(&lines).await;
    assert_eq!(
        third,
        [("duplicate".to_owned(), 1), ("out_of_order".to_owned(), LINES as u64 - 1)].into()
    );
    assert_eq!(filled(&server).await, LINES as u64);
    drop(server);
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_calls_at_the_same_time_are_worked_once_and_orders_go_on_beside() {
    let directory = scratch_with_cluster("flooding-feed").await;
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let line = |n: usize| {
        let (bid, at) = (100 + n % 50, at(n as i64));
        format!(
            r#"{{"t":"quote","symbol":"BURST","bid":"{bid}","bid_size":"1","ask":"151","ask_size":"1","at":"{at}"}}"#
        )
    };
    let mut body: String = (0..LINES_MAX).map(|n| line(n) + "\n").collect();
    let mut feed = Feed::of(&server);
    let calls = [(); 2].map(|()| {
        let (feed, body) = (Feed::of(&server), body.clone());
        tokio::spawn(async move { feed.post(body).await.unwrap() })
    });
    let mut beside = 0;
    while beside == 0 || calls.iter().any(|call| !call.is_finished()) {
        let told = workload.place(server.base(), &format!("beside-{beside}")).await;
        assert!(matches!(told, Told::Acked(_)), "{told:?}");
        beside += 1;
    }
    let mut ignored = 0;
    for call in calls {
        let answer = call.await.unwrap().expect(200);
        ignored += feed.take_in(&answer, LINES_MAX).values().sum::<u64>();
    }
    println!("{beside} orders were placed beside");
    assert_eq!(ignored, LINES_MAX as u64, "each line is worked once");
    let last = call(&server, Method::GET, "/v1/market/quotes/BURST", None).await;
    assert_eq!(
        last["quote"]["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(),
        at(LINES_MAX as i64 - 1).parse::<DateTime<Utc>>().unwrap()
    );

    // One more is one too many, and then none is worked.
    body.push_str(&line(LINES_MAX));
    let answer = feed.post(body).await.unwrap().expect(400);
    assert_eq!(answer["detail"], "line 50001: more than 50000 lines");
    let after = call(&server, Method::GET, "/v1/market/quotes/BURST", None).await;
    assert_eq!(after["quote"], last["quote"]);
    feed.is_counted(&workload, &server).await;
    drop(server);
    verify_directory(directory.path());
}
