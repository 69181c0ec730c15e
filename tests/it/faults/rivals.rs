//! Two servers on one database: one writes, the other reads and waits; a writer that was paused is fenced.

use std::time::{Duration, Instant};

use projections::runner;
use reqwest::StatusCode;
use rustix::process::Signal;

use super::workload::{Record, Told, Workload};
use super::{says_that_nothing_happened, until, verify_database, writes};
use crate::support::{Scratch, Server, TestDatabase, scratch_directory};

/// A server on `database`, with a directory of its own for its keys.
fn on(database: &TestDatabase, name: &str) -> (Server, Scratch) {
    let directory = scratch_directory(name);
    let url = database.url("postgres");
    (Server::launch_with(directory.path(), &["--database-url", &url]), directory)
}

/// The epoch of every event, in the order of the log.
pub async fn epochs(database: &TestDatabase) -> Vec<i64> {
    let epochs = "SELECT (metadata->>'epoch')::bigint FROM events ORDER BY position";
    sqlx::query_scalar(epochs).fetch_all(&mut database.superuser().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_under_the_same_load_one_writes_and_every_order_is_there_once() {
    let database = TestDatabase::new().await;
    let (first, _first_keys) = on(&database, "rival-one");
    writes(&first).await;
    let (second, _second_keys) = on(&database, "rival-two");
    until(&second, |status, health| status == 200 && health["writer"] == false).await;
    let workload = Workload::begin(&first).await;
    let loads = [&first, &second].map(|server| workload.start(server.base(), "same", 3));
    tokio::time::sleep(Duration::from_millis(700)).await;

    let turned_away = workload.place_once(second.base(), "turned-away").await.unwrap();
    assert!(says_that_nothing_happened(&turned_away), "{turned_away:?}");
    assert_eq!(turned_away.headers["retry-after"], "1");
    let detail = turned_away.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(first.base()), "it names the writer: {detail}");
    let read = workload.get(second.base(), "").await.unwrap();
    assert_eq!(read.status, StatusCode::OK, "{read:?}");

    // The writer leaves in the middle of it: the other goes on at once, with the same keys.
    first.signal(Signal::TERM);
    let left = Instant::now();
    writes(&second).await;
    println!("the other writes {:?} after the writer was asked to stop", left.elapsed());
    tokio::time::sleep(Duration::from_millis(700)).await;
    let (mut record, mut acked) = (Record::new(), Vec::new());
    for load in loads {
        acked.push(load.stop(&mut record).await);
    }
    assert!(acked.iter().all(|&acked| acked > 0), "both have written: {acked:?}");
    record.entry("turned-away".to_owned()).or_default().push(Told::Refused);
    workload.check(&second, &record).await;
    assert!(epochs(&database).await.is_sorted());
    verify_database(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_server_is_told_of_a_write_and_need_not_look_for_it() {
    let database = TestDatabase::new().await;
    let (first, _first_keys) = on(&database, "teller");
    writes(&first).await;
    let (second, _second_keys) = on(&database, "told");
    until(&second, |status, health| status == 200 && health["writer"] == false).await;
    let workload = Workload::begin(&first).await;
    let mut delays = Vec::new();
    for n in 0..15 {
        let order = workload.settle(first.base(), &format!("told-{n}")).await;
        let placed = Instant::now();
        // Waits for what was committed before it came.
        let read = workload.get(second.base(), &format!("/orders/{order}")).await.unwrap();
        delays.push(placed.elapsed());
        assert_eq!(read.status, StatusCode::OK, "{read:?}");
    }
    delays.sort_unstable();
    println!("the other server reads an order after {:?} (median)", delays[7]);
    assert!(delays[7] < runner::POLL / 3, "{delays:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_paused_is_followed_and_its_late_batch_is_refused() {
    let database = TestDatabase::new().await;
    let (first, _first_keys) = on(&database, "paused");
    writes(&first).await;
    let workload = Workload::begin(&first).await;
    let (second, _second_keys) = on(&database, "follower");
    until(&second, |status, _| status == 200).await;
    let (mut record, load) = (Record::new(), workload.start(first.base(), "early", 4));
    tokio::time::sleep(Duration::from_millis(500)).await;

    first.signal(Signal::STOP);
    let paused = Instant::now();
    writes(&second).await;
    println!("the other writes {:?} after the writer was paused", paused.elapsed());
    let later = workload.start(second.base(), "late", 2);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    // What its clients have sent meanwhile waits in its sockets: it forms a batch of that when it wakes.
    first.signal(Signal::CONT);
    until(&first, |status, health| status == 200 && health["writer"] == false).await;
    let refused = workload.place_once(first.base(), "refused").await.unwrap();
    assert!(says_that_nothing_happened(&refused), "{refused:?}");
    assert!(load.stop(&mut record).await > 0);
    assert!(later.stop(&mut record).await > 0);
    workload.check(&second, &record).await;
    assert!(epochs(&database).await.is_sorted());
    verify_database(&database).await;
}
