//! A database that does not keep tenants apart is not served from, and every way to break the rules is named.

use blotter::database::{Database, DatabaseError, Source, isolation};
use sqlx::{Connection, Executor};

use crate::support::{TestDatabase, blotter, scratch_directory};

/// What breaks a rule, and what is said of it.
const BROKEN: &[(&str, &str)] = &[
    ("ALTER ROLE blotter_reader BYPASSRLS", "role blotter_reader has to be without BYPASSRLS"),
    (
        "ALTER ROLE blotter_writer SUPERUSER CREATEDB",
        "role blotter_writer has to be without SUPERUSER, CREATEDB",
    ),
    (
        "GRANT blotter_migrator TO blotter_projector",
        "role blotter_projector has to be no member of blotter_migrator",
    ),
    (
        "ALTER TABLE orders OWNER TO blotter_projector",
        "orders belongs to blotter_projector and has to belong to blotter_migrator",
    ),
    (
        "ALTER TABLE users OWNER TO CURRENT_USER",
        "users belongs to postgres and has to belong to blotter_migrator",
    ),
    (
        "GRANT pg_read_all_data TO blotter_reader",
        "role blotter_reader has to be no member of pg_read_all_data",
    ),
    (
        "CREATE TABLE more_fills () INHERITS (fills)",
        "more_fills has rows of tenants and has to FORCE ROW LEVEL SECURITY",
    ),
    (
        "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER away FOREIGN DATA WRAPPER far;
         CREATE FOREIGN TABLE orders_away (tenant_id uuid) SERVER away; GRANT SELECT ON orders_away TO blotter_reader",
        "orders_away is a foreign table, whose rows no policy protects, and is read by blotter_reader",
    ),
    (
        "REVOKE SELECT ON orders FROM blotter_reader",
        "role blotter_reader has to be granted SELECT on orders",
    ),
    (
        "REVOKE SELECT ON ledger_head FROM blotter_reader",
        "role blotter_reader has to be granted SELECT on ledger_head",
    ),
    (
        "REVOKE SELECT ON events FROM blotter_auditor",
        "role blotter_auditor has to be granted SELECT on events",
    ),
    (
        "REVOKE INSERT ON events FROM blotter_writer",
        "role blotter_writer has to be granted INSERT on events",
    ),
    (
        "REVOKE DELETE ON sessions FROM blotter_identity",
        "role blotter_identity has to be granted DELETE on sessions",
    ),
    (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "role blotter_reader has to be without CREATE on the schema public",
    ),
    (
        "ALTER TABLE fills NO FORCE ROW LEVEL SECURITY",
        "fills has rows of tenants and has to FORCE ROW LEVEL SECURITY",
    ),
    (
        "CREATE TABLE secrets (tenant_id uuid, secret text)",
        "secrets has rows of tenants and has to FORCE ROW LEVEL SECURITY",
    ),
    (
        "CREATE TABLE leak (row text); GRANT SELECT (row) ON leak TO blotter_reader",
        "leak has no column tenant_id and is read by requests",
    ),
    (
        "GRANT SELECT ON order_keys TO PUBLIC",
        "order_keys has no column tenant_id and is read by requests",
    ),
    (
        "CREATE POLICY wide ON positions FOR SELECT TO PUBLIC USING (true)",
        "the policy wide on positions lets requests see more than the rows of their tenant, account and market",
    ),
    (
        "ALTER POLICY reader ON lots USING (tenant_id = blotter_tenant() OR true)",
        "the policy reader on lots lets requests see more than the rows of their tenant, account and market",
    ),
    (
        "CREATE VIEW all_orders AS SELECT * FROM orders",
        "the view all_orders has to be made WITH (security_invoker = true)",
    ),
    (
        "CREATE MATERIALIZED VIEW every_order AS SELECT * FROM orders; GRANT SELECT ON every_order TO blotter_reader",
        "every_order is a materialized view, whose rows no policy protects, and is read by blotter_reader",
    ),
    (
        "CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM events'",
        "the function peek() is SECURITY DEFINER without a fixed search_path",
    ),
    (
        "GRANT INSERT (name) ON account_names TO blotter_reader",
        "blotter_reader may INSERT account_names",
    ),
    ("GRANT UPDATE ON orders TO blotter_auditor", "blotter_auditor may UPDATE orders"),
    ("GRANT TRUNCATE ON orders TO blotter_projector", "blotter_projector may TRUNCATE orders"),
    ("GRANT INSERT ON events TO blotter_projector", "blotter_projector may INSERT events"),
    ("GRANT DELETE ON tape TO blotter_writer", "blotter_writer may DELETE tape"),
    (
        "ALTER TABLE throttles NO FORCE ROW LEVEL SECURITY",
        "throttles is of identity and has to FORCE ROW LEVEL SECURITY",
    ),
    (
        "GRANT SELECT (email) ON users TO blotter_writer",
        "users is of identity and is open to blotter_writer",
    ),
    (
        "GRANT SELECT ON refresh_tokens TO blotter_auditor",
        "refresh_tokens is of identity and is open to blotter_auditor",
    ),
    (
        "CREATE POLICY reader ON tokens FOR SELECT TO blotter_reader USING (true)",
        "the policy reader on tokens is of identity and has to be for blotter_identity alone",
    ),
    ("GRANT INSERT ON orders TO blotter_identity", "blotter_identity may INSERT orders"),
    ("GRANT UPDATE ON order_notes TO blotter_identity", "blotter_identity may UPDATE order_notes"),
    ("GRANT INSERT ON events TO blotter_identity", "blotter_identity may INSERT events"),
    (
        "ALTER TABLE events ENABLE TRIGGER append_only_rows",
        "events has to refuse UPDATE, DELETE and TRUNCATE by triggers that are ENABLE ALWAYS",
    ),
    (
        "DROP TRIGGER append_only_table ON tape",
        "tape has to refuse UPDATE, DELETE and TRUNCATE by triggers that are ENABLE ALWAYS",
    ),
    (
        "CREATE OR REPLACE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON events FOR EACH ROW WHEN (false)
             EXECUTE FUNCTION blotter_refuse_change(); ALTER TABLE events ENABLE ALWAYS TRIGGER append_only_rows",
        "events has to refuse UPDATE, DELETE and TRUNCATE by triggers that are ENABLE ALWAYS",
    ),
    (
        "CREATE OR REPLACE TRIGGER append_only_rows BEFORE UPDATE OF salt OR DELETE ON events FOR EACH ROW
             EXECUTE FUNCTION blotter_refuse_change(); ALTER TABLE events ENABLE ALWAYS TRIGGER append_only_rows",
        "events has to refuse UPDATE, DELETE and TRUNCATE by triggers that are ENABLE ALWAYS",
    ),
    (
        "CREATE OR REPLACE TRIGGER append_only_rows BEFORE DELETE ON tape FOR EACH ROW
             EXECUTE FUNCTION blotter_refuse_change(); ALTER TABLE tape ENABLE ALWAYS TRIGGER append_only_rows",
        "tape has to refuse UPDATE, DELETE and TRUNCATE by triggers that are ENABLE ALWAYS",
    ),
    (
        "CREATE OR REPLACE FUNCTION blotter_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
             RETURN '00000000-0000-8000-8000-000000000001'::uuid",
        "the function blotter_tenant() has to be what the migrations make",
    ),
    (
        "CREATE OR REPLACE FUNCTION blotter_account() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE RETURN NULL::uuid",
        "the function blotter_account() has to be what the migrations make",
    ),
    (
        "ALTER FUNCTION blotter_tenant() IMMUTABLE",
        "the function blotter_tenant() has to be what the migrations make",
    ),
    (
        "CREATE OR REPLACE FUNCTION blotter_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "the function blotter_refuse_change() has to be what the migrations make",
    ),
    (
        "CREATE SCHEMA side; GRANT USAGE ON SCHEMA side TO PUBLIC; CREATE TABLE side.copy AS SELECT * FROM events;
         GRANT SELECT ON side.copy TO blotter_reader",
        "side.copy is in a schema of nobody's and is open to blotter_reader",
    ),
    (
        "CREATE FUNCTION count_all() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public
             AS 'SELECT count(*) FROM events'",
        "the function count_all() is SECURITY DEFINER and is open to blotter_reader",
    ),
    (
        "DROP POLICY reader ON orders",
        "orders has no policy by which blotter_reader may SELECT its rows",
    ),
    (
        "DROP POLICY writer ON events",
        "events has no policy by which blotter_writer may INSERT its rows",
    ),
    (
        "ALTER POLICY auditor ON events USING (position > 9)",
        "events has no policy by which blotter_auditor may SELECT its rows",
    ),
    (
        "CREATE POLICY narrow ON fills AS RESTRICTIVE FOR SELECT USING (qty > 9)",
        "the policy narrow on fills is RESTRICTIVE and hides rows",
    ),
    (
        "CREATE RULE kept AS ON DELETE TO sessions DO INSTEAD NOTHING",
        "the rule kept on sessions changes what is done to it",
    ),
    (
        "CREATE FUNCTION copy_hash() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER copied AFTER INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION copy_hash()",
        "the trigger copied on tokens is none of the migrations",
    ),
    (
        "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO blotter_projector', current_database()); END $$",
        "role blotter_projector has to be without CREATE on the database",
    ),
];

#[tokio::test]
async fn whatever_breaks_a_rule_of_isolation_is_named() {
    let database = TestDatabase::new().await;
    let mut superuser = database.superuser().await;
    isolation::check(&mut superuser).await.unwrap();
    for (broken, said) in BROKEN {
        // Roles are the cluster's: what is done to them here is seen here, and undone.
        let mut transaction = superuser.begin().await.unwrap();
        transaction.execute(*broken).await.unwrap();
        let error = isolation::check(&mut transaction).await.expect_err(broken);
        let DatabaseError::NotIsolated(violations) = &error else { panic!("{broken}: {error}") };
        let violations = violations.to_string();
        assert!(
            violations.split("; ").any(|violation| violation == *said),
            "{broken}: {violations}"
        );
        transaction.rollback().await.unwrap();
    }
    isolation::check(&mut superuser).await.unwrap();
}

#[tokio::test]
async fn what_an_extension_brings_does_not_keep_a_server_from_starting() {
    let database = TestDatabase::new().await;
    let mut superuser = database.superuser().await;
    superuser
        .execute("CREATE VIEW statements AS SELECT 1; GRANT SELECT ON statements TO PUBLIC")
        .await
        .unwrap();
    isolation::check(&mut superuser).await.expect_err("it is a view of nobody's");
    superuser.execute("ALTER EXTENSION plpgsql ADD VIEW statements").await.unwrap();
    isolation::check(&mut superuser).await.unwrap();
}

#[tokio::test]
async fn nothing_is_served_from_a_database_that_does_not_keep_tenants_apart() {
    let database = TestDatabase::new().await;
    let mut superuser = database.superuser().await;
    superuser.execute("ALTER TABLE orders DISABLE ROW LEVEL SECURITY").await.unwrap();
    let directory = scratch_directory("not-isolated");
    let mut command =
        blotter(&["serve", "--database-url", &database.url("postgres"), "--data-dir"]);
    let refused = command.arg(directory.path()).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains("orders has rows of tenants and has to FORCE ROW LEVEL SECURITY"),
        "{told}"
    );
    let source = || Source::Url { url: database.url("postgres"), migrate_url: None };
    let error = Database::open(source()).await.expect_err("it is not isolated").to_string();
    assert!(error.contains("orders has rows of tenants"), "{error}");
    superuser.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY").await.unwrap();
    Database::open(source()).await.unwrap().close().await.unwrap();
}
