//! Migrating is harmless at any time, and a privileged URL still works under each role.

use blotter::database::{Database, Source, migrate};
use sqlx::Executor;

use crate::support::TestDatabase;

#[tokio::test]
async fn concurrent_migrations_of_one_database_are_safe_and_repeating_one_does_nothing() {
    let database = TestDatabase::unmigrated().await;
    let (mut one, mut two) = (database.superuser().await, database.superuser().await);
    let (first, second) = tokio::join!(migrate(&mut one), migrate(&mut two));
    first.unwrap();
    second.unwrap();
    migrate(&mut one).await.unwrap();
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
        .fetch_one(&mut two)
        .await
        .unwrap();
    let distinct: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut two)
            .await
            .unwrap();
    assert!(applied >= 2);
    assert_eq!(applied, distinct);
}

#[tokio::test]
async fn a_start_on_what_a_newer_binary_migrated_names_both_schemas_and_changes_nothing() {
    let database = TestDatabase::unmigrated().await;
    let mut owner = database.superuser().await;
    migrate(&mut owner).await.unwrap();
    let own: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let newer = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ({}, 'later', true, '', 0)",
        own + 1
    );
    owner.execute(newer.as_str()).await.unwrap();
    let source = Source::Url { url: database.url("postgres"), migrate_url: None };
    let told = [
        migrate(&mut owner).await.unwrap_err().to_string(),
        Database::open(source).await.unwrap_err().to_string(),
    ];
    let names = format!(
        "the database has schema {}, and this blotter works with schema {own}; nothing was changed: a newer blotter wrote it, \
         so use that one",
        own + 1
    );
    assert_eq!(told, [names.clone(), names]);
}

#[tokio::test]
async fn databases_of_one_cluster_are_migrated_at_the_same_moment() {
    let (one, two) = (TestDatabase::unmigrated().await, TestDatabase::unmigrated().await);
    let (mut one, mut two) = (one.superuser().await, two.superuser().await);
    let (first, second) = tokio::join!(migrate(&mut one), migrate(&mut two));
    first.unwrap();
    second.unwrap();
}

async fn roles_at_work(database: &Database) -> Vec<String> {
    let mut reader = database.reader().begin(aggregates::id::OPERATOR_TENANT, None).await.unwrap();
    let mut roles = vec![
        sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *reader).await.unwrap(),
    ];
    for pool in [
        database.writer().pool(),
        database.projector().pool(),
        database.identity().pool(),
        database.auditor().pool(),
    ] {
        roles.push(sqlx::query_scalar("SELECT current_user::text").fetch_one(pool).await.unwrap());
    }
    let mut alone = database.writer().connect().await.unwrap();
    roles
        .push(sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut alone).await.unwrap());
    roles
}

const ROLES: [&str; 6] = [
    "blotter_reader",
    "blotter_writer",
    "blotter_projector",
    "blotter_identity",
    "blotter_auditor",
    "blotter_writer",
];

#[tokio::test]
async fn a_privileged_url_migrates_and_then_works_under_each_role() {
    let database = TestDatabase::unmigrated().await;
    let source = Source::Url { url: database.url("postgres"), migrate_url: None };
    let opened = Database::open(source).await.unwrap();
    assert_eq!(roles_at_work(&opened).await, ROLES);
    assert!(!opened.is_sole_owner());
    opened.close().await.unwrap();
}

#[tokio::test]
async fn a_plain_login_works_when_another_one_migrates() {
    let database = TestDatabase::unmigrated().await;
    let mut superuser = database.superuser().await;
    superuser
        .execute("DROP ROLE IF EXISTS plain_login; CREATE ROLE plain_login LOGIN")
        .await
        .unwrap();
    let source = Source::Url {
        url: database.url("plain_login"),
        migrate_url: Some(database.url("postgres")),
    };
    let opened = Database::open(source).await.unwrap();
    assert_eq!(roles_at_work(&opened).await, ROLES);
    opened.close().await.unwrap();
}

#[tokio::test]
async fn no_index_of_a_view_begins_with_what_all_its_rows_have() {
    let database = TestDatabase::new().await;
    let of_views = "SELECT index.indexrelid::regclass::text FROM pg_index AS index
        JOIN pg_attribute AS first ON first.attrelid = index.indrelid AND first.attnum = index.indkey[0]
        WHERE first.attname = $1";
    let mut superuser = database.superuser().await;
    let mut begin_with = async |column: &str| -> Vec<String> {
        sqlx::query_scalar(of_views).bind(column).fetch_all(&mut superuser).await.unwrap()
    };
    assert_eq!(begin_with("generation").await, Vec::<String>::new());
    let by_order = begin_with("order_id").await;
    assert!(by_order.contains(&"orders_pkey".to_owned()), "{by_order:?}");
}
