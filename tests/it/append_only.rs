//! Log and tape can only grow, whoever asks.

use aggregates::id::TenantId;
use sqlx::Executor;
use uuid::Uuid;

use crate::support::{EventRow, TestDatabase, sqlstate};

const NO_RIGHT: &str = "42501";
const CHECK: &str = "23514";
const DUPLICATE: &str = "23505";

const TAPE: &str = "INSERT INTO tape VALUES (0, 1, 2, '', decode(repeat('00', 32), 'hex'))";

async fn with_rows() -> TestDatabase {
    let database = TestDatabase::new().await;
    row(1).insert(database.writer.pool()).await.unwrap();
    database.writer.pool().execute(TAPE).await.unwrap();
    database
}

fn row(position: i64) -> EventRow {
    EventRow { tenant: TenantId::new(Uuid::from_u128(1)), account: None, position }
}

const CHANGES: [&str; 6] = [
    "UPDATE events SET payload = '{}'",
    "DELETE FROM events",
    "TRUNCATE events",
    "UPDATE tape SET lines = ''",
    "DELETE FROM tape",
    "TRUNCATE tape",
];

#[tokio::test]
async fn the_writer_has_no_right_to_change_log_or_tape() {
    let database = with_rows().await;
    for change in CHANGES {
        let refused = sqlx::query(change).execute(database.writer.pool()).await.unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("permission denied"), "{change}: {message}");
    }
}

#[tokio::test]
async fn a_superuser_is_refused_too_and_as_a_replica() {
    let database = with_rows().await;
    let mut superuser = database.superuser().await;
    for mode in ["origin", "replica"] {
        superuser.execute(format!("SET session_replication_role = {mode}").as_str()).await.unwrap();
        for change in CHANGES {
            let refused = sqlx::query(change).execute(&mut superuser).await;
            assert_eq!(sqlstate(refused), NO_RIGHT, "{change} as {mode}");
        }
    }
}

#[tokio::test]
async fn keys_of_orders_are_for_ever_and_keys_of_requests_are_not() {
    let database = TestDatabase::new().await;
    let pool = database.writer.pool();
    assert_eq!(sqlstate(sqlx::query("DELETE FROM order_keys").execute(pool).await), NO_RIGHT);
    assert_eq!(
        sqlstate(sqlx::query("UPDATE order_keys SET fingerprint = 0").execute(pool).await),
        NO_RIGHT
    );
    sqlx::query("DELETE FROM request_keys").execute(pool).await.unwrap();
}

#[tokio::test]
async fn a_position_a_stream_version_and_a_place_are_taken_once() {
    let database = with_rows().await;
    let pool = database.writer.pool();
    assert_eq!(sqlstate(row(1).insert(pool).await), DUPLICATE);
    assert_eq!(sqlstate(sqlx::query(TAPE).execute(pool).await), DUPLICATE);
    assert_eq!(sqlstate(row(0).insert(pool).await), CHECK);
}

#[tokio::test]
async fn payloads_are_stored_to_the_byte() {
    let database = TestDatabase::new().await;
    const ODD: &str = r#"{"z": 1,  "a":"2.50","a":"2.5"}"#;
    const INSERT: &str = "INSERT INTO events SELECT 'order', 'x', 1, 'OrderPlaced', '1', $1::text::json, '{}', 0, 1,
        gen_random_uuid(), NULL, now(), decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex')";
    sqlx::query(INSERT).bind(ODD).execute(database.writer.pool()).await.unwrap();
    let stored: String = sqlx::query_scalar("SELECT payload::text FROM events")
        .fetch_one(database.auditor.pool())
        .await
        .unwrap();
    assert_eq!(stored, ODD);
}
