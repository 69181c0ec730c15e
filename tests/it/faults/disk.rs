//! A disk that is full: what is written beyond the end of what is there fails. Made by a limit on the size of files,
//! which the processes of Postgres meet and the server does not.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use blotter::database::embedded;
use rustix::process::Pid;
use sqlx::{ConnectOptions, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::workload::{Record, Told, Workload};
use super::{says_that_it_is_unknown, says_that_nothing_happened, until, verify_directory, writes};
use crate::support::{Server, scratch_with_cluster};

/// A segment of the write-ahead log.
const SEGMENT: i64 = 16 << 20;

/// The superuser's connection to the cluster in a data directory.
async fn superuser(data_dir: &Path) -> PgConnection {
    embedded::running(data_dir).unwrap().username("postgres").connect().await.unwrap()
}

/// Limits how large the files become that this process writes; `None` for as large as may be. Whoever runs the tests
/// may not do so to a process of another user, so that user does.
fn limit(pid: Pid, bytes: Option<i64>) {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let Ok(owner) = std::fs::metadata(&process) else { return };
    let bytes = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={}", pid.as_raw_nonzero())).arg(format!("--fsize={bytes}:"));
    let output = command.uid(owner.uid()).gid(owner.gid()).current_dir("/").output().unwrap();
    // It may have ended meanwhile.
    let limited = output.status.success() || !Path::new(&process).exists();
    assert!(limited, "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every process of the cluster in a data directory.
fn processes(data_dir: &Path) -> Vec<Pid> {
    let cluster = embedded::cluster_of(data_dir);
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|working| working == cluster)
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// A disk without room for another byte of the write-ahead log. It stays full for processes that come later.
struct Full {
    data_dir: PathBuf,
    stop: CancellationToken,
    kept: JoinHandle<()>,
}

impl Full {
    async fn begin(data_dir: &Path) -> Self {
        let written = "SELECT mod(pg_current_wal_insert_lsn() - '0/0', $1)::bigint";
        let written = sqlx::query_scalar(written).bind(SEGMENT);
        let written: i64 = written.fetch_one(&mut superuser(data_dir).await).await.unwrap();
        // What Postgres says of it has to find room.
        let bytes = written.max(64 << 10);
        let (data_dir, stop) = (data_dir.to_owned(), CancellationToken::new());
        let (directory, until) = (data_dir.clone(), stop.clone());
        let kept = tokio::spawn(async move {
            let mut limited = BTreeSet::new();
            while !until.is_cancelled() {
                for pid in processes(&directory) {
                    if limited.insert(pid.as_raw_nonzero()) {
                        limit(pid, Some(bytes));
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { data_dir, stop, kept }
    }

    /// Makes room.
    async fn end(self) {
        self.stop.cancel();
        self.kept.await.unwrap();
        // What one of them starts meanwhile has its limit, and is found next time.
        for _ in 0..3 {
            processes(&self.data_dir).into_iter().for_each(|pid| limit(pid, None));
        }
    }
}

/// What Postgres has said.
fn postgres_log(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("postgres.log")).unwrap()
}

async fn is_alive(server: &Server) {
    let answer = reqwest::get(format!("{}/livez", server.base())).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_postgres_and_with_room_everything_is_there_once() {
    let directory = scratch_with_cluster("full-disk").await;
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let (mut record, load) = (Record::new(), workload.start(server.base(), "full", 4));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let full = Full::begin(directory.path()).await;
    until(&server, |status, health| status == 503 && health["database"] == false).await;
    is_alive(&server).await;
    let told = workload.place_once(server.base(), "no-room").await.unwrap();
    println!("{} {}", told.status, told.json()["code"]);
    assert!(says_that_it_is_unknown(&told) || says_that_nothing_happened(&told), "{told:?}");
    assert_eq!(told.headers["retry-after"], "1");
    record.insert("no-room".to_owned(), vec![Told::Unknown]);
    is_alive(&server).await;

    full.end().await;
    writes(&server).await;
    workload.settle(server.base(), "room").await;
    record.insert("room".to_owned(), vec![Told::Unknown]);
    assert!(load.stop(&mut record).await > 0);
    let log = postgres_log(directory.path());
    assert!(log.contains("PANIC") && log.contains("File too large"), "{log}");
    workload.check(&server, &record).await;
    verify_directory(directory.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_room_to_grow_costs_the_orders_that_need_it_and_nothing_else() {
    let directory = scratch_with_cluster("full-table").await;
    let server = Server::launch_with(directory.path(), &[]);
    writes(&server).await;
    let workload = Workload::begin(&server).await;
    let (mut record, load) = (Record::new(), workload.start(server.base(), "before", 4));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(load.stop(&mut record).await > 0);

    // The write-ahead log begins a file, which is there as a whole, and is written far below the limit.
    let mut superuser = superuser(directory.path()).await;
    for begin in ["SELECT pg_switch_wal()", "SELECT pg_logical_emit_message(true, '', '')"] {
        sqlx::query(begin).execute(&mut superuser).await.unwrap();
    }
    let size = sqlx::query_scalar("SELECT pg_relation_size('events')");
    let size: i64 = size.fetch_one(&mut superuser).await.unwrap();
    let backends = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'";
    let backends: Vec<i32> = sqlx::query_scalar(backends).fetch_all(&mut superuser).await.unwrap();
    // Later ones have it of the first.
    let first = std::fs::read_to_string(directory.path().join("pg/postmaster.pid")).unwrap();
    let first: i32 = first.lines().next().unwrap().parse().unwrap();
    let limited: Vec<Pid> =
        std::iter::once(first).chain(backends).filter_map(Pid::from_raw).collect();
    limited.iter().for_each(|&pid| limit(pid, Some(size)));

    let mut refused = None;
    for n in 0..100 {
        let id = format!("grows-{n}");
        let told = workload.place_once(server.base(), &id).await.unwrap();
        if told.status.is_success() {
            let order = told.json()["order_id"].as_str().unwrap().to_owned();
            record.insert(id, vec![Told::Acked(order)]);
            continue;
        }
        record.insert(id, vec![Told::Refused]);
        refused = Some(told);
        break;
    }
    let refused = refused.expect("the table has to grow");
    println!("{refused:?}");
    assert!(says_that_nothing_happened(&refused), "{refused:?}");
    assert_eq!(refused.headers["retry-after"], "1");
    is_alive(&server).await;
    let log = postgres_log(directory.path());
    assert!(log.contains("could not extend file") && !log.contains("PANIC"), "{log}");

    processes(directory.path()).into_iter().for_each(|pid| limit(pid, None));
    writes(&server).await;
    workload.settle(server.base(), "has-grown").await;
    record.insert("has-grown".to_owned(), vec![Told::Unknown]);
    workload.check(&server, &record).await;
    verify_directory(directory.path());
}
