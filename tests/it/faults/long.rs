//! One account whose history is long: what is read of it stays bounded, and so does a start after a kill.
//!
//! 20,000 events in an ordinary run; `BLOTTER_TEST_EVENTS=1000000` makes it a million, which takes half an hour. What it
//! prints is the table of `docs/performance.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use super::workload::Workload;
use super::{verify_directory, writes};
use crate::support::{Server, scratch_with_cluster};

/// Events of one order that fills at once.
const EVENTS: usize = 5;
const CLIENTS: usize = 24;
/// How long an answer may take, whatever the length: other tests run beside.
const BOUND: Duration = Duration::from_secs(5);

fn orders() -> usize {
    let events = std::env::var("BLOTTER_TEST_EVENTS").ok().map(|text| text.parse().unwrap());
    events.unwrap_or(20_000_usize).div_ceil(EVENTS)
}

/// Buys a share and sells it again, many at the same time.
async fn trade(workload: &Workload, base: &str, orders: usize) {
    let (left, mut clients) = (Arc::new(AtomicUsize::new(orders)), JoinSet::new());
    for _ in 0..CLIENTS {
        let (workload, base, left) = (workload.clone(), base.to_owned(), Arc::clone(&left));
        clients.spawn(async move {
            for n in 0.. {
                let taken = left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                if taken.is_err() {
                    break;
                }
                let side = if n % 2 == 0 { "buy" } else { "sell" };
                let body = json!({"symbol": "AAPL", "side": side, "type": "market", "qty": "1",
                    "time_in_force": "day"});
                let order = workload.order(&base, &body).await.unwrap().expect(201);
                assert_eq!(order["status"], "filled", "{order}");
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_a_long_history_is_read_and_started_as_soon_as_another() {
    let directory = scratch_with_cluster("long-history").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    // One quote that is never used up.
    let quote = json!({"t": "quote", "symbol": "AAPL", "bid": "100", "bid_size": "900000000", "ask": "101",
        "ask_size": "900000000", "at": "2024-01-17T15:00:01Z"});
    workload.feed(server.base(), &[quote]).await.unwrap().expect(200);
    let (orders, begun) = (orders(), Instant::now());
    trade(&workload, server.base(), orders).await;
    println!("{orders} orders of {CLIENTS} clients in {:?}", begun.elapsed());

    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    let killed = Instant::now();
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    println!("takes orders {:?} after a kill", killed.elapsed());
    for path in [
        "/portfolio",
        "/portfolio/history?period=all",
        "/risk",
        "/positions",
        "/orders?status=all&limit=500",
        "/activities?limit=100",
    ] {
        for time in ["first", "again"] {
            let asked = Instant::now();
            workload.get(server.base(), path).await.unwrap().expect(200);
            let took = asked.elapsed();
            println!("{path} {time}: {took:?}");
            assert!(took < BOUND, "{path} took {took:?}");
        }
    }
    let asked = Instant::now();
    trade(&workload, server.base(), CLIENTS).await;
    println!("{CLIENTS} orders more in {:?}", asked.elapsed());
    let audited = Instant::now();
    let replayed = verify_directory(directory.path());
    println!("verified and replayed in {:?}: {replayed}", audited.elapsed());
    assert_eq!(replayed["fills"], orders + CLIENTS);
}
