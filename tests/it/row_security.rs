//! Each role connects as itself and can do its own part only.

use aggregates::id::{AccountId, MARKET_TENANT, TenantId};
use sqlx::Connection;
use uuid::Uuid;

use crate::support::{EventRow, TestDatabase, sqlstate};

const NO_RIGHT: &str = "42501";

fn tenant(n: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(n))
}

fn account(n: u128) -> AccountId {
    AccountId::new(Uuid::from_u128(n))
}

/// Positions 1 and 2: two accounts of tenant 1; 3: tenant 1 as such; 4: tenant 2; 5: the market.
async fn with_events() -> TestDatabase {
    let database = TestDatabase::new().await;
    let rows = [
        (tenant(1), Some(account(11))),
        (tenant(1), Some(account(12))),
        (tenant(1), None),
        (tenant(2), Some(account(21))),
        (MARKET_TENANT, None),
    ];
    for (position, (tenant, account)) in (1..).zip(rows) {
        EventRow { tenant, account, position }.insert(database.writer.pool()).await.unwrap();
    }
    database
}

async fn seen(database: &TestDatabase, tenant: TenantId, account: Option<AccountId>) -> Vec<i64> {
    let mut read = database.reader.begin(tenant, account).await.unwrap();
    sqlx::query_scalar("SELECT position FROM events ORDER BY position")
        .fetch_all(&mut *read)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_reader_sees_its_tenant_and_the_market_alone() {
    let database = with_events().await;
    assert_eq!(seen(&database, tenant(1), None).await, [1, 2, 3, 5]);
    assert_eq!(seen(&database, tenant(2), None).await, [4, 5]);
    assert_eq!(seen(&database, tenant(3), None).await, [5]);
}

#[tokio::test]
async fn a_reader_restricted_to_an_account_sees_it_and_the_market_alone() {
    let database = with_events().await;
    assert_eq!(seen(&database, tenant(1), Some(account(12))).await, [2, 5]);
    assert_eq!(seen(&database, tenant(1), Some(account(21))).await, [5]);
}

#[tokio::test]
async fn nothing_of_a_transaction_stays_on_its_pooled_connection() {
    let database = with_events().await;
    let (url, read) = (database.url("blotter_reader"), "SELECT position FROM events ORDER BY 1");
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    for (tenant, expected) in [(tenant(1), vec![1, 5]), (tenant(2), vec![5])] {
        let mut transaction = connection.begin().await.unwrap();
        for (name, value) in [("tenant", tenant.to_string()), ("account", account(11).to_string())]
        {
            sqlx::query("SELECT set_config('blotter.' || $1, $2, true)")
                .bind(name)
                .bind(value)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        let inside: Vec<i64> = sqlx::query_scalar(read).fetch_all(&mut *transaction).await.unwrap();
        assert_eq!(inside, expected);
        transaction.commit().await.unwrap();
        let outside: Vec<i64> = sqlx::query_scalar(read).fetch_all(&mut connection).await.unwrap();
        assert_eq!(outside, [5], "settings outlived their transaction");
    }
    connection.close().await.unwrap();

    // The pool's own transactions, many more than it has connections, dropped half way.
    for n in 0..40 {
        let (tenant, expected) = if n % 2 == 0 { (tenant(1), 4) } else { (tenant(2), 2) };
        let mut read = database.reader.begin(tenant, None).await.unwrap();
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut *read).await.unwrap();
        assert_eq!(count, expected);
    }
}

#[tokio::test]
async fn a_reader_cannot_write_whatever_transaction_it_opens() {
    let database = with_events().await;
    let row = EventRow { tenant: tenant(1), account: None, position: 6 };
    let mut read = database.reader.begin(tenant(1), None).await.unwrap();
    const READ_ONLY: &str = "25006";
    assert_eq!(
        sqlstate(sqlx::query("CREATE TEMP TABLE t (x int)").execute(&mut *read).await),
        READ_ONLY
    );
    drop(read);

    let url = database.url("blotter_reader");
    let mut plain = sqlx::PgConnection::connect(&url).await.unwrap();
    assert_eq!(sqlstate(row.insert(&mut plain).await), NO_RIGHT);
    for statement in [
        "UPDATE ledger_head SET epoch = epoch + 1",
        "DELETE FROM request_keys",
        "INSERT INTO account_names VALUES (gen_random_uuid(), gen_random_uuid(), 'x')",
        "CREATE TABLE mine (x int)",
        "SELECT 1 FROM order_keys",
        "SET ROLE blotter_writer",
        "SELECT blotter_protect('ledger_head')",
    ] {
        assert_eq!(
            sqlstate(sqlx::query(statement).execute(&mut plain).await),
            NO_RIGHT,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn the_auditor_reads_every_row_and_writes_none() {
    let database = with_events().await;
    let mut read = database.auditor.begin().await.unwrap();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut *read).await.unwrap();
    assert_eq!(count, 5);
    drop(read);
    let row = EventRow { tenant: tenant(1), account: None, position: 6 };
    assert_eq!(sqlstate(row.insert(database.auditor.pool()).await), NO_RIGHT);
}

#[tokio::test]
async fn the_projector_reads_the_log_and_does_not_write_it() {
    let database = with_events().await;
    let pool = database.projector.pool();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(pool).await.unwrap();
    assert_eq!(count, 5);
    let row = EventRow { tenant: tenant(1), account: None, position: 6 };
    assert_eq!(sqlstate(row.insert(pool).await), NO_RIGHT);
}

#[tokio::test]
async fn every_table_with_a_tenant_has_forced_row_level_security_and_a_plain_owner() {
    let database = TestDatabase::new().await;
    const TENANTED: &str = "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity, r.rolname::text
        FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
            AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')
        ORDER BY 1";
    let tables: Vec<(String, bool, String)> =
        sqlx::query_as(TENANTED).fetch_all(&mut database.superuser().await).await.unwrap();
    assert!(tables.iter().any(|(name, ..)| name == "events"));
    for (table, forced, owner) in tables {
        assert!(forced, "{table} has no forced row-level security");
        assert_eq!(owner, "blotter_migrator", "owner of {table}");
    }
}

#[tokio::test]
async fn no_role_of_the_running_server_may_bypass_row_level_security_or_owns_anything() {
    let database = TestDatabase::new().await;
    const UNFIT: &str = "SELECT rolname::text FROM pg_roles r WHERE rolname ~ '^blotter_'
        AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb
            OR rolname <> 'blotter_migrator' AND EXISTS (SELECT FROM pg_class WHERE relowner = r.oid))";
    let unfit: Vec<String> =
        sqlx::query_scalar(UNFIT).fetch_all(&mut database.superuser().await).await.unwrap();
    assert!(unfit.is_empty(), "{unfit:?}");
}

#[tokio::test]
async fn the_market_tenant_of_the_policies_is_that_of_the_code() {
    let database = TestDatabase::new().await;
    let market: Uuid = sqlx::query_scalar("SELECT blotter_market_tenant()")
        .fetch_one(&mut database.superuser().await)
        .await
        .unwrap();
    assert_eq!(market, MARKET_TENANT.uuid());
}

/// Tables of identity, each with a statement that would show what is in them.
const IDENTITY: [&str; 12] = [
    "users",
    "invitations",
    "clients",
    "sessions",
    "refresh_tokens",
    "tokens",
    "token_days",
    "grants",
    "throttles",
    "access_keys",
    "revocations",
    "identity_facts",
];

#[tokio::test]
async fn users_and_their_secrets_are_seen_by_identity_alone() {
    let database = TestDatabase::new().await;
    for table in IDENTITY {
        let read = format!("SELECT count(*) FROM {table}");
        for role in ["blotter_reader", "blotter_writer", "blotter_projector", "blotter_auditor"] {
            let mut connection = sqlx::PgConnection::connect(&database.url(role)).await.unwrap();
            let seen = sqlx::query(&read).execute(&mut connection).await;
            assert_eq!(sqlstate(seen), NO_RIGHT, "{role} reads {table}");
        }
        sqlx::query(&read).execute(database.identity.pool()).await.unwrap();
    }
}

#[tokio::test]
async fn identity_erases_words_and_touches_nothing_else_of_the_ledger() {
    let database = with_events().await;
    let pool = database.identity.pool();
    sqlx::query("INSERT INTO account_names VALUES (gen_random_uuid(), $1, 'mine')")
        .bind(tenant(1).uuid())
        .execute(database.writer.pool())
        .await
        .unwrap();
    let erased = sqlx::query("DELETE FROM account_names WHERE tenant_id = $1")
        .bind(tenant(1).uuid())
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(erased.rows_affected(), 1);
    for statement in [
        "SELECT count(*) FROM events",
        "SELECT count(*) FROM orders",
        "SELECT count(*) FROM order_keys",
        "INSERT INTO account_names VALUES (gen_random_uuid(), gen_random_uuid(), 'x')",
        "UPDATE order_notes SET note = ''",
        "UPDATE ledger_head SET epoch = epoch + 1",
        "TRUNCATE identity_facts",
    ] {
        assert_eq!(sqlstate(sqlx::query(statement).execute(pool).await), NO_RIGHT, "{statement}");
    }
}
