//! Rows that are not what this program wrote: an event that cannot be folded, a snapshot that was changed, an event
//! that was tampered with. Put there by a superuser, past every right of ours.

use std::time::Duration;

use blotter::ledger::proof::Frontier;
use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Executor, Row};

use super::workload::{Record, Told, Workload};
use super::{until, verify, writes};
use crate::support::{Scratch, Server, TestDatabase, scratch_directory};

/// A database with a log of some orders, and a server's directory; the server was stopped.
struct Stopped {
    database: TestDatabase,
    keys: Scratch,
    workload: Workload,
    record: Record,
}

impl Stopped {
    async fn after_some_orders(name: &str) -> Self {
        let (database, keys) = (TestDatabase::new().await, scratch_directory(name));
        let mut server = start(&database, &keys);
        writes(&server).await;
        let workload = Workload::begin(&server).await;
        let mut record = Record::new();
        for n in 0..10 {
            let id = format!("{name}-{n}");
            let told = workload.place(server.base(), &id).await;
            assert!(matches!(told, Told::Acked(_)), "{told:?}");
            record.insert(id, vec![told]);
        }
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        Self { database, keys, workload, record }
    }

    async fn verify(&self) -> (i32, Value) {
        let url = self.database.url("postgres");
        tokio::task::spawn_blocking(move || verify(&["--database-url", &url])).await.unwrap()
    }
}

fn start(database: &TestDatabase, keys: &Scratch) -> Server {
    Server::launch_with(keys.path(), &["--database-url", &database.url("postgres")])
}

fn view<'a>(health: &'a Value, name: &str) -> &'a Value {
    let views = health["views"].as_array().unwrap();
    views.iter().find(|view| view["name"] == name).unwrap()
}

/// Appends, to a log that nobody writes, a deposit into an account that was never opened: well formed, and
/// impossible.
async fn append_poison(database: &TestDatabase) -> i64 {
    const POISON: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version,
            payload, metadata, shard, position, tenant_id, account_id, recorded_at, salt, leaf)
        SELECT aggregate_type, gen_random_uuid()::text, 1, event_type, event_version, payload, metadata, shard,
            (SELECT position + 1 FROM ledger_head), tenant_id, account_id, recorded_at, salt, leaf
        FROM events WHERE aggregate_type = 'account' AND sequence = 2 RETURNING position, leaf";
    let mut superuser = database.superuser().await;
    let poison = sqlx::query(POISON).fetch_one(&mut superuser).await.unwrap();
    let position: i64 = poison.get("position");
    let frontier: Vec<u8> = sqlx::query_scalar("SELECT frontier FROM ledger_head")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    let mut frontier = Frontier::from_bytes(&frontier).unwrap();
    frontier.push(poison.get::<Vec<u8>, _>("leaf").try_into().unwrap());
    sqlx::query("UPDATE ledger_head SET position = $1, frontier = $2")
        .bind(position)
        .bind(frontier.to_bytes())
        .execute(&mut superuser)
        .await
        .unwrap();
    position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_stops_the_groups_that_fold_it_and_no_other() {
    let stopped = Stopped::after_some_orders("poison").await;
    let poison = append_poison(&stopped.database).await;
    let server = start(&stopped.database, &stopped.keys);
    let stands = poison - 1;
    until(&server, |_, health| view(health, "trading")["degraded"] == true).await;
    until(&server, |status, health| {
        let follows = |name| {
            let view = view(health, name);
            view["degraded"] == false && view["position"].as_i64() > Some(poison)
        };
        status == 200
            && view(health, "trading")["position"] == stands
            && follows("market")
            && follows("books")
    })
    .await;
    let base = server.base();
    for path in ["", "/orders", "/positions", "/activities"] {
        let answer = stopped.workload.get(base, path).await.unwrap().expect(503);
        assert_eq!(answer["code"], "degraded", "{path}");
    }
    for path in ["/v1/market/instruments", "/v1/audit/events"] {
        stopped.workload.read(base, path).await.unwrap().expect(200);
    }
    // It stays so: nothing skips the event, however long it is left alone.
    tokio::time::sleep(Duration::from_secs(1)).await;
    until(&server, |_, health| view(health, "trading")["position"] == stands).await;
    let (code, report) = stopped.verify().await;
    assert_eq!((code, &report["first_bad_position"]), (1, &poison.into()), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_snapshots_and_checkpoints_are_ignored_and_the_state_is_right() {
    let stopped = Stopped::after_some_orders("snapshots").await;
    let mut superuser = stopped.database.superuser().await;
    for damage in [
        "UPDATE snapshots SET state = replace(state, '1', '2')",
        "UPDATE engine_checkpoints SET state = left(state, 40)",
    ] {
        assert!(superuser.execute(damage).await.unwrap().rows_affected() > 0, "{damage}");
    }
    let server = start(&stopped.database, &stopped.keys);
    writes(&server).await;
    let Stopped { workload, mut record, .. } = stopped;
    for id in ["after-1", "after-2"] {
        record.insert(id.to_owned(), vec![workload.place(server.base(), id).await]);
    }
    workload.check(&server, &record).await;
    let odd = record.keys().filter(|id| id.ends_with(['1', '3', '5', '7', '9'])).count();
    let held = workload.get(server.base(), "/positions/AAPL").await.unwrap().expect(200);
    assert_eq!(held["qty"], odd.to_string(), "every second order has filled, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_event_is_named_by_the_audit() {
    let stopped = Stopped::after_some_orders("tampered").await;
    assert_eq!(stopped.verify().await.0, 0);
    let mut superuser = stopped.database.superuser().await;
    superuser.execute("ALTER TABLE events DISABLE TRIGGER USER").await.unwrap();
    let tamper = "UPDATE events SET payload = replace(payload::text, '\"1\"', '\"2\"')::json
        WHERE event_type = 'OrderPlaced' AND position > (SELECT max(position) / 2 FROM events) RETURNING position";
    let tampered: Vec<i64> = sqlx::query_scalar(tamper).fetch_all(&mut superuser).await.unwrap();
    let first = tampered.iter().min().copied();
    assert!(tampered.len() > 1);
    let (code, report) = stopped.verify().await;
    assert_eq!((code, report["first_bad_position"].as_i64()), (1, first), "{report:#}");
}
