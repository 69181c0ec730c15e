//! The private Postgres: starts, stops, keeps what it was given, and survives what can happen to it.

use std::time::{Duration, Instant};

use blotter::database::embedded::Options;
use blotter::database::{Database, DatabaseError, EmbeddedError, Source};
use sqlx::Executor;

use crate::support::{Server, TestDatabase, scratch_directory, scratch_with_cluster};

async fn open(directory: &std::path::Path) -> Result<Database, DatabaseError> {
    Database::open(Source::Embedded(Options::new(directory))).await
}

async fn keys(database: &Database) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM order_keys")
        .fetch_one(database.writer().pool())
        .await
        .unwrap()
}

const KEY: &str = "INSERT INTO order_keys VALUES (gen_random_uuid(), 1, gen_random_uuid())";

#[tokio::test]
async fn a_cluster_is_made_stopped_and_started_again_with_what_it_holds() {
    let directory = scratch_directory("restart");
    let database = open(directory.path()).await.unwrap();
    assert!(database.is_sole_owner());
    database.writer().pool().execute(KEY).await.unwrap();
    database.close().await.unwrap();
    assert!(!directory.path().join("pg/postmaster.pid").exists(), "stopped cleanly");

    let database = open(directory.path()).await.unwrap();
    assert_eq!(keys(&database).await, 1);
    const DURABLE: &str = "SELECT string_agg(current_setting(s), ',' ORDER BY s)
        FROM unnest(ARRAY['data_checksums', 'fsync', 'full_page_writes', 'synchronous_commit']) s";
    let durable: String =
        sqlx::query_scalar(DURABLE).fetch_one(database.writer().pool()).await.unwrap();
    assert_eq!(durable, "on,on,on,on");
    let listens: String = sqlx::query_scalar("SHOW listen_addresses")
        .fetch_one(database.writer().pool())
        .await
        .unwrap();
    assert_eq!(listens, "");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_directory_serves_one_server_at_a_time() {
    let directory = scratch_with_cluster("lock").await;
    let database = open(directory.path()).await.unwrap();
    let second = open(directory.path()).await;
    assert!(matches!(second, Err(DatabaseError::Embedded(EmbeddedError::Locked { .. }))));
    assert_eq!(keys(&database).await, 0, "the first goes on");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_stopping_is_waited_for() {
    let directory = scratch_with_cluster("handover").await;
    let first = open(directory.path()).await.unwrap();
    let (second, ()) = tokio::join!(open(directory.path()), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        first.close().await.unwrap();
    });
    second.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn the_data_directory_is_left_as_it_was_and_the_cluster_is_private() {
    use std::os::unix::fs::MetadataExt;
    let directory = scratch_directory("owner");
    let before = std::fs::metadata(directory.path()).unwrap();
    let database = open(directory.path()).await.unwrap();
    let after = std::fs::metadata(directory.path()).unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
    let cluster = std::fs::metadata(directory.path().join("pg")).unwrap();
    assert_eq!(cluster.mode() & 0o777, 0o700);
    assert_ne!(cluster.uid(), 0, "Postgres does not run as root");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_directory_too_deep_for_a_socket_gets_a_short_one() {
    let directory = scratch_directory("deep");
    let deep = directory.path().join("d".repeat(60)).join("e".repeat(60));
    let database = open(&deep).await.unwrap();
    assert_eq!(keys(&database).await, 0);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_the_unprivileged_user_cannot_enter_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = scratch_directory("closed");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = open(&directory.path().join("data")).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Embedded(EmbeddedError::Unreachable { .. })), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[tokio::test]
async fn a_postmaster_that_is_killed_is_started_again_with_what_was_committed() {
    let directory = scratch_with_cluster("postmaster").await;
    let database = open(directory.path()).await.unwrap();
    database.writer().pool().execute(KEY).await.unwrap();
    let pid = std::fs::read_to_string(directory.path().join("pg/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    let start = Instant::now();
    let count = loop {
        let found: Result<i64, _> = sqlx::query_scalar("SELECT count(*) FROM order_keys")
            .fetch_one(database.writer().pool())
            .await;
        match found {
            Ok(count) => break count,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(10), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(count, 1);
    database.close().await.unwrap();
}

/// As after a power cut, when the number of the old postmaster has gone to another process of the same user.
#[tokio::test]
async fn what_a_dead_postmaster_left_is_forgotten_though_its_number_belongs_to_another() {
    use std::os::unix::fs::{MetadataExt, chown};
    let (living, dead) = (scratch_with_cluster("living").await, scratch_with_cluster("dead").await);
    let other = open(living.path()).await.unwrap();
    let owner = std::fs::metadata(dead.path().join("pg")).unwrap();
    for name in ["pg/postmaster.pid", "pg/.s.PGSQL.5432.lock"] {
        let left = dead.path().join(name);
        std::fs::copy(living.path().join(name), &left).unwrap();
        chown(left, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let database = open(dead.path()).await.unwrap();
    assert_eq!(keys(&database).await, 0);
    database.close().await.unwrap();
    assert_eq!(keys(&other).await, 0, "the other goes on");
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_directory_keeps_one_server_though_the_database_is_elsewhere() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("claimed"));
    let data_dir = directory.path().join("data");
    let url = database.url("postgres");
    let first = Server::launch_with(&data_dir, &["--database-url", &url]);
    first.wait_for_line("listening");
    let mut second = Server::launch_with(&data_dir, &["--database-url", &url]);
    second.wait_for_line("another blotter is running on the data directory");
    assert_eq!(second.wait().code(), Some(1));
    drop(first);
    let next = Server::launch_with(&data_dir, &["--database-url", &url]);
    next.wait_for_line("listening");
}
