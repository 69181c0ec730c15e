//! A server that is killed, asked to stop, or loses its Postgres, each under load. Durable as in earnest: fsync is on.

use std::path::Path;
use std::time::{Duration, Instant};

use blotter::database::{Embedded, embedded};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::workload::{Record, Told, Workload};
use super::{until, verify, verify_directory, writes};
use crate::support::{Server, scratch_directory, scratch_with_cluster};

/// How often the server is killed.
const KILLS: usize = 20;
/// How long a restart may take, until commands are taken again; on a machine that is busy with other tests, the
/// worst of many may take [`BUSY`] times as long.
const RECOVERY: Duration = Duration::from_secs(5);
const BUSY: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_nothing_and_double_nothing() {
    let (begin, directory) = (Instant::now(), scratch_with_cluster("twenty-kills").await);
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let (mut record, mut recoveries, mut acked) = (Record::new(), Vec::new(), 0);
    for kill in 0..KILLS {
        let load = workload.start(server.base(), &format!("kill-{kill}"), 4);
        // Another moment of a batch each time.
        tokio::time::sleep(Duration::from_millis(400 + 37 * (kill as u64 % 7))).await;
        server.signal(Signal::KILL);
        assert!(!server.wait().success());
        let killed = Instant::now();
        acked += load.stop(&mut record).await;
        server = Server::launch_with(directory.path(), &[]);
        writes(&server).await;
        recoveries.push(killed.elapsed());
    }
    workload.check(&server, &record).await;
    verify_directory(directory.path());
    let unknown = record.values().filter(|told| told.contains(&Told::Unknown)).count();
    recoveries.sort_unstable();
    println!(
        "{KILLS} kills in {:?}: {acked} orders acknowledged, {unknown} unknown; back after {:?} (median), {:?} (worst)",
        begin.elapsed(),
        recoveries[KILLS / 2],
        recoveries[KILLS - 1]
    );
    assert!(unknown > 0 && acked > KILLS, "the kills met work under way");
    assert!(recoveries[KILLS / 2] < RECOVERY, "{recoveries:?}");
    assert!(recoveries[KILLS - 1] < BUSY * RECOVERY, "{recoveries:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_asked_to_stop_under_load_answers_all_that_it_has_done() {
    let directory = scratch_with_cluster("term-under-load").await;
    let mut server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let (mut record, load) = (Record::new(), workload.start(server.base(), "term", 8));
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.signal(Signal::TERM);
    let asked = Instant::now();
    assert_eq!(server.wait().code(), Some(0));
    let took = asked.elapsed();
    let acked = load.stop(&mut record).await;
    println!("{acked} orders acknowledged; stopped in {took:?}");
    assert!(acked > 0 && took < Duration::from_secs(10), "{took:?}");

    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    // Whoever was not answered was not heard: what is there was acknowledged.
    for (id, order) in workload.orders(&server).await {
        assert_eq!(record.get(&id), Some(&vec![Told::Acked(order)]), "{id}");
    }
    workload.check(&server, &record).await;
    verify_directory(directory.path());
}

/// The process of the private Postgres, if its file names one.
fn postmaster(data_dir: &Path) -> Option<Pid> {
    let file = std::fs::read_to_string(data_dir.join("pg/postmaster.pid")).ok()?;
    Pid::from_raw(file.lines().next()?.parse().ok()?)
}

/// Kills the Postgres in `cluster` twice under load; whoever keeps it brings it back. The server takes commands again
/// by itself, and every order is there once.
async fn outlives_its_postgres(server: &Server, cluster: &Path) {
    writes(server).await;
    let workload = Workload::begin(server).await;
    let (mut record, mut acked) = (Record::new(), Vec::new());
    for round in ["one", "two"] {
        let load = workload.start(server.base(), round, 4);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let pid = postmaster(cluster).expect("Postgres runs");
        kill_process(pid, Signal::KILL).unwrap();
        let killed = Instant::now();
        // It may be back before anybody saw it gone, so what is waited for is another process.
        let back = |status, health: &Value| {
            let other = postmaster(cluster).is_some_and(|now| now != pid);
            status == 200 && health["writer"] == true && other
        };
        until(server, back).await;
        let name = format!("after-{round}");
        workload.settle(server.base(), &name).await;
        record.entry(name).or_default().push(Told::Unknown);
        println!("commands are taken {:?} after Postgres was killed", killed.elapsed());
        assert!(killed.elapsed() < BUSY * RECOVERY);
        acked.push(load.stop(&mut record).await);
    }
    assert!(acked.iter().all(|&acked| acked > 0), "{acked:?}");
    workload.check(server, &record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_is_brought_back_and_the_server_goes_on_by_itself() {
    let directory = scratch_with_cluster("postmaster").await;
    let server = Server::launch_with(directory.path(), &[]);
    outlives_its_postgres(&server, directory.path()).await;
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_others_may_be_killed_and_restarted_under_the_server() {
    let (theirs, ours) = (scratch_with_cluster("their-cluster").await, scratch_directory("ours"));
    let cluster = Embedded::start(embedded::Options::new(theirs.path())).await.unwrap();
    cluster.create_database("ledger").await.unwrap();
    let login = cluster.superuser("ledger");
    let socket = login.get_socket().unwrap().to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://{}@{socket}:{}/ledger", login.get_username(), login.get_port());
    let server = Server::launch_with(ours.path(), &["--database-url", &url]);
    outlives_its_postgres(&server, theirs.path()).await;
    let verdict = tokio::task::spawn_blocking(move || verify(&["--database-url", &url]));
    let (code, report) = verdict.await.unwrap();
    assert_eq!(code, 0, "{report:#}");
    drop(server);
    cluster.stop().await.unwrap();
}
