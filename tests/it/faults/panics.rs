//! Panics in the parts of the real binary: random bytes of the system that are needed for ids and salts fail, one call
//! after the other, while it works.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use super::workload::{Record, Told, Workload};
use super::{
    PATIENCE, says_that_it_is_unknown, says_that_nothing_happened, verify_database, writes,
};
use crate::support::rest::{Answer, OPEN, instrument, quote};
use crate::support::{FailingEntropy, Server, TestDatabase, scratch_directory};

/// What no answer says: the words of the panic.
const WORDS: &str = "random";
/// How soon every request is answered, whatever panics.
const ANSWERED: Duration = Duration::from_secs(15);

/// What the answer to an order says of it: the id of the order, or that it has to be asked again.
fn told(answer: &Answer) -> Told {
    assert!(!answer.text.contains(WORDS), "{answer:?}");
    match answer.status.as_u16() {
        200 | 201 => Told::Acked(answer.json()["order_id"].as_str().unwrap().to_owned()),
        500 => {
            let problem = answer.json();
            let said = [&problem["code"], &problem["status"]];
            assert_eq!(said, [&json!("defect"), &json!(500)], "{problem}");
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            Told::Unknown
        }
        _ if says_that_nothing_happened(answer) => Told::Refused,
        _ if says_that_it_is_unknown(answer) => Told::Unknown,
        _ => panic!("{answer:?}"),
    }
}

/// The same of a tool.
fn told_by_tool(answer: &Answer) -> Told {
    if answer.status.as_u16() == 500 {
        return told(answer);
    }
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    assert!(!answer.text.contains(WORDS), "{answer:?}");
    let told = answer.json();
    match told["result"]["structuredContent"]["order_id"].as_str() {
        Some(order) => Told::Acked(order.to_owned()),
        None => {
            assert!(told["result"]["isError"] == true || told["error"].is_object(), "{told}");
            Told::Unknown
        }
    }
}

/// The orders of a round: one that rests, one that fills, one of an agent that rests, and a stop.
const ORDERS: [u32; 4] = [0, 1, 2, 4];
/// How they stand at its end.
const STATUSES: [&str; 4] = ["accepted", "filled", "accepted", "filled"];

/// One round of work on an account, in which the market goes up over the stop and down again, twice.
struct Round<'a> {
    base: &'a str,
    workload: &'a Workload,
    n: i64,
}

impl Round<'_> {
    fn id(&self, order: u32) -> String {
        format!("round-{}-{order}", self.n)
    }

    async fn place(&self, order: u32) -> Told {
        let Self { base, workload, .. } = self;
        let (id, start) = (self.id(order), Instant::now());
        let told = match order {
            2 => {
                let arguments = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "50",
                    "time_in_force": "gtc", "client_order_id": id});
                let answer = workload.tool(base, "buy_stock_limit", &arguments).await;
                told_by_tool(&answer.unwrap())
            }
            4 => {
                let body = json!({"symbol": "AAPL", "side": "buy", "type": "stop", "qty": "1",
                    "stop_price": "105", "trigger_by": "quote", "time_in_force": "gtc", "client_order_id": id});
                told(&workload.order(base, &body).await.unwrap())
            }
            _ => told(&workload.place_once(base, &id).await.unwrap()),
        };
        assert!(start.elapsed() < ANSWERED, "{id}: {told:?} after {:?}", start.elapsed());
        told
    }

    /// Goes over the stop and down again, for the first or the second time.
    async fn feed(&self, time: i64) -> Answer {
        let open = DateTime::parse_from_rfc3339(OPEN).unwrap();
        let at = |second| (open + TimeDelta::seconds(4 * self.n + 2 * time + second)).to_rfc3339();
        let lines = [quote("AAPL", "105", "106", &at(1)), quote("AAPL", "100", "101", &at(2))];
        self.workload.feed(self.base, &lines).await.unwrap()
    }

    /// What was told of each order.
    async fn work(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for order in ORDERS {
            told.push(self.place(order).await);
        }
        let fed = self.feed(0).await;
        assert!(!fed.text.contains(WORDS), "{fed:?}");
        assert!([200, 500, 503].contains(&fed.status.as_u16()), "{fed:?}");
        told
    }

    /// Does what was not done, and sees that what was done is so and goes on.
    async fn settle(&self, told: Vec<Told>, record: &mut Record) {
        let mut placed = Vec::new();
        for (order, before) in ORDERS.into_iter().zip(told) {
            let now = self.place(order).await;
            let Told::Acked(id) = &now else {
                panic!("{order} of {} is not settled: {now:?}", self.n)
            };
            placed.push(id.clone());
            record.entry(self.id(order)).or_default().extend([before, now]);
        }
        self.feed(1).await.expect(200);
        for (id, status) in placed.into_iter().zip(STATUSES) {
            let order = self.workload.get(self.base, &format!("/orders/{id}")).await.unwrap();
            assert_eq!(order.expect(200)["status"], status, "round {}", self.n);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_anywhere_costs_what_it_met_alone() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("panics"));
    let entropy = FailingEntropy::new();
    let server = entropy.serve(&database, directory.path());
    writes(&server).await;
    let (base, workload, mut record) =
        (server.base(), Workload::begin(&server).await, Record::new());
    let (begun, mut calls) = (Instant::now(), 0);
    for n in 0.. {
        let round = Round { base, workload: &workload, n };
        let before = entropy.calls();
        if n > 0 {
            entropy.fail(n - 1, 1);
        }
        let told = round.work().await;
        entropy.mend();
        if n == 0 {
            calls = entropy.calls() - before;
        }
        writes(&server).await;
        round.settle(told, &mut record).await;
        if n == calls {
            break;
        }
    }
    println!("each of {calls} calls failed once, in {:?}", begun.elapsed());
    let log = server.log_so_far();
    for (part, said) in [
        ("the edge", "request=- actor="),
        ("a handler", "route=\"/v1/accounts/{account_id}/orders\" status=500"),
        ("the engine", "the engine starts anew from log and tape"),
        ("the Sequencer", "a decided event cannot be written"),
    ] {
        let hits = log.iter().filter(|line| line.contains(said)).count();
        println!("{part} was hit {hits} times");
        assert!(hits > 0, "{part} was not hit: {log:#?}");
    }
    workload.check(&server, &record).await;
    verify_database(&database).await;
}

/// Two or three calls fail one after the other, at each place of what a line causes: what the engine proposes there meets a defect
/// when it is handed in and when it is handed in again. A stop that cannot be triggered or filled ends, and says why; where
/// there is no order to end, the engine stops until it can go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_defective_twice_ends_its_order_or_stops_the_engine() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("defects"));
    let entropy = FailingEntropy::new();
    let server = entropy.serve(&database, directory.path());
    writes(&server).await;
    let (base, workload) = (server.base(), Workload::begin(&server).await);
    let other = workload.another(base).await;
    for limited in [&workload, &other] {
        let policy = json!({"max_daily_loss": "1000000"});
        limited.patch(base, "/policy", &policy).await.unwrap().expect(200);
    }
    let (mut calls, mut given_up) = (0, 0);
    for n in 0.. {
        let body = json!({"symbol": "AAPL", "side": "buy", "type": "stop", "qty": "1",
            "stop_price": "105", "trigger_by": "quote", "time_in_force": "gtc"});
        let placed = workload.order(base, &body).await.unwrap().expect(201);
        let path = format!("/orders/{}", placed["order_id"].as_str().unwrap());
        // A symbol is listed, a trading day begins for both accounts, and the stop is reached and filled: each on a Tuesday, of
        // which none is a holiday.
        let (open, symbol) = (DateTime::parse_from_rfc3339(OPEN).unwrap(), format!("NEW{n}"));
        let day = open + TimeDelta::days(7 * n + 6);
        let at = |second| (day + TimeDelta::seconds(second)).to_rfc3339();
        let lines = [
            instrument(&symbol),
            quote("AAPL", "105", "106", &at(2)),
            quote("AAPL", "100", "101", &at(3)),
        ];
        let before = entropy.calls();
        let (after, count) = ((n - 1) / 2, 2 + (n - 1) % 2);
        if n > 0 {
            entropy.fail(after, count);
        }
        let fed = workload.feed(base, &lines).await.unwrap();
        assert!([200, 500, 503].contains(&fed.status.as_u16()), "{fed:?}");
        entropy.mend();
        if n == 0 {
            calls = entropy.calls() - before;
        }
        writes(&server).await;
        // Lines that were taken come for the second time.
        workload.feed(base, &lines).await.unwrap().expect(200);
        let order = workload.get(base, &path).await.unwrap().expect(200);
        let events = workload.get(base, &format!("{path}/events")).await.unwrap().expect(200);
        let last = events["items"].as_array().unwrap().last().unwrap();
        println!("{count} after {after} of {calls} calls: {}", last["event_type"]);
        match order["status"].as_str() {
            Some("filled") => assert_eq!(last["event_type"], "OrderFilled", "{last}"),
            Some("canceled") => {
                assert_eq!(last["event_type"], "OrderCanceled", "{last}");
                assert_eq!(last["payload"]["OrderCanceled"]["reason"], "defect", "{last}");
                given_up += 1;
            }
            _ => panic!("{order}"),
        }
        let listed = workload.read(base, &format!("/v1/market/instruments?query={symbol}")).await;
        let listed = listed.unwrap().expect(200);
        assert_eq!(listed["items"][0]["symbol"], symbol, "{listed}");
        if n == 2 * calls {
            break;
        }
    }
    let log = server.log_so_far();
    let stuck = |command: &str| {
        let stops = log.iter().filter(|line| line.contains("carried out: the engine stops"));
        stops.filter(|line| line.contains(command)).count()
    };
    println!("{given_up} orders ended; stuck {} and {}", stuck("List"), stuck("BeginDay"));
    let said = |words: &str| log.iter().filter(|line| line.contains(words)).count();
    // Where the third call makes the engine start anew, the order is carried out after all.
    assert!(said("a proposal cannot be carried out: its order ends") >= given_up, "{log:#?}");
    assert!(given_up > 0, "no order was hit: {log:#?}");
    // Of two days that begin by one line, one begins and the other does not.
    assert!(stuck("BeginDay") > 0, "{log:#?}");
    let replayed = verify_database(&database).await;
    assert_eq!(replayed["given_up"], given_up, "{replayed}");
}

/// How a server ends while it starts, if it does not write in time, and what it said.
async fn comes_to(server: &mut Server) -> (Option<ExitStatus>, Vec<String>) {
    let (client, start, mut log) = (reqwest::Client::new(), Instant::now(), Vec::new());
    while start.elapsed() < PATIENCE {
        log.extend(server.log_so_far());
        if let Some(status) = server.ended() {
            log.extend(server.rest_of_log());
            return (Some(status), log);
        }
        let listens = log.iter().find_map(|line| line.split_once("listening address="));
        if let Some((_, address)) = listens
            && let Ok(answer) = client.get(format!("http://{address}/readyz")).send().await
            && answer.status().is_success()
            && answer.json::<Value>().await.unwrap()["writer"] == true
        {
            return (None, log);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it lives, and does not write: {log:#?}")
}

/// The take-over is recorded by the Sequencer itself, whose panic nothing catches: its process ends, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_never_lives_on_without_its_sequencer() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("take-over"));
    let entropy = FailingEntropy::new();
    let mut calls = 0;
    // The first start makes what the others find.
    for _ in 0..2 {
        let before = entropy.calls();
        let server = entropy.serve(&database, directory.path());
        writes(&server).await;
        calls = entropy.calls() - before;
    }
    let mut ended = 0;
    // Asking whether it is ready takes random bytes too, so where the take-over takes its own is not known.
    for after in (0..calls).rev() {
        if ended > 0 {
            break;
        }
        entropy.fail(after, 1);
        let mut server = entropy.serve(&database, directory.path());
        let (status, log) = comes_to(&mut server).await;
        entropy.mend();
        println!("after {after} of {calls} calls: {status:?}, {:?}", log.last());
        if let Some(status) = status {
            assert!(!status.success(), "{log:#?}");
            ended += usize::from(log.iter().any(|line| line.starts_with("blotter: the ledger")));
        }
    }
    assert!(ended > 0, "the Sequencer was not hit");
    let server = entropy.serve(&database, directory.path());
    writes(&server).await;
    verify_database(&database).await;
}
