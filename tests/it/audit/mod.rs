//! The audit finds what was changed behind the ledger's back, and names the first position that is not right.

mod losses;
mod margin;
mod options;
mod process;
mod views;

use std::io::BufReader;
use std::path::{Path, PathBuf};

use blotter::audit::{
    CHECKPOINT_FILE, Checkpointer, Code, Evidence, ProcessKey, Report, Rollback, Scope,
    check_rollback, export, signable, verify_database, verify_export,
};
use blotter::ledger::SigningName;
use projections::{Group, Step};
use sqlx::Executor;

use crate::support::history::{History, write_history};
use crate::support::ledger::TestLedger;
use crate::support::{Scratch, TestDatabase, blotter, scratch_directory};

/// A log with checkpoints after its first half and its end.
struct Audited {
    database: TestDatabase,
    directory: Scratch,
    history: History,
    /// The size of the first checkpoint.
    first: u64,
    size: u64,
}

impl Audited {
    async fn new(name: &str) -> Self {
        let database = TestDatabase::new().await;
        let directory = scratch_directory(name);
        let key = ProcessKey::open_or_create(directory.path()).unwrap();
        let name = SigningName { name: key.name().to_owned(), public_key: key.public_key() };
        let test = TestLedger::start_signing(&database, "one", name).await;
        let mut checkpoints = Checkpointer::open(directory.path(), key).unwrap();
        let history = write_history(&test).await;
        let first = record(&database, &mut checkpoints).await;
        write_history_again(&test, &history).await;
        let size = record(&database, &mut checkpoints).await;
        assert!(first < size);
        project(&database).await;
        Self { database, directory, history, first, size }
    }

    fn checkpoints(&self) -> Vec<PathBuf> {
        vec![self.directory.path().join(CHECKPOINT_FILE)]
    }

    async fn verify(&self) -> Report {
        let evidence = Evidence::read(&self.checkpoints()).unwrap();
        verify_database(&self.database.auditor, 0, evidence).await.unwrap()
    }

    /// Changes the log as an owner of the database can: with the triggers off.
    async fn tamper(&self, statements: &str) {
        let mut superuser = self.database.superuser().await;
        superuser.execute("ALTER TABLE events DISABLE TRIGGER ALL").await.unwrap();
        superuser.execute(statements).await.unwrap();
    }

    async fn position_of(&self, event_type: &str) -> u64 {
        let position: i64 =
            sqlx::query_scalar("SELECT min(position) FROM events WHERE event_type = $1")
                .bind(event_type)
                .fetch_one(self.database.auditor.pool())
                .await
                .unwrap();
        position.cast_unsigned()
    }
}

async fn write_history_again(test: &TestLedger, history: &History) {
    history
        .place(test, aggregates::order::Side::Buy, "1", Some("20"), "after the checkpoint")
        .await;
}

/// Brings every view up to the head.
async fn project(database: &TestDatabase) {
    let mut connection = database.projector.pool().acquire().await.unwrap();
    for group in [Group::Trading, Group::Books, Group::Market, Group::Snapshots] {
        while !matches!(group.step(&mut connection, 1).await.unwrap(), Step::Idle { .. }) {}
    }
}

async fn record(database: &TestDatabase, checkpoints: &mut Checkpointer) -> u64 {
    let (origin, tree) = signable(&database.auditor, 0).await.unwrap().unwrap();
    checkpoints.record(&origin, &tree).unwrap().unwrap();
    tree.size()
}

fn assert_bad(report: &Report, position: u64, code: Code) {
    assert!(!report.valid);
    assert_eq!(report.first_bad_position, Some(position), "{report}");
    assert!(
        report.problems.iter().any(|problem| (problem.position, problem.code) == (position, code)),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_touched_is_valid() {
    let audited = Audited::new("untouched").await;
    let report = audited.verify().await;
    assert!(report.valid, "{report}");
    assert_eq!((report.position, report.checkpoints), (audited.size, 2));
    assert!(report.view_rows > 50, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_writes_again_with_its_key_is_believed() {
    let audited = Audited::new("again").await;
    let key = ProcessKey::open_or_create(audited.directory.path()).unwrap();
    let name = SigningName { name: key.name().to_owned(), public_key: key.public_key() };
    let again = TestLedger::start_signing(&audited.database, "one", name).await;
    let mut checkpoints = Checkpointer::open(audited.directory.path(), key).unwrap();
    let size = record(&audited.database, &mut checkpoints).await;
    project(&audited.database).await;
    let report = audited.verify().await;
    assert!(report.valid, "{report}");
    assert_eq!((report.position, report.checkpoints), (size, 3));
    drop(again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_idempotency_key_is_found_at_its_order() {
    let audited = Audited::new("key").await;
    let mut superuser = audited.database.superuser().await;
    const LOSE: &str =
        "DELETE FROM order_keys WHERE outcome = (SELECT aggregate_id::uuid FROM events
        WHERE event_type = 'OrderRejected')";
    superuser.execute(LOSE).await.unwrap();
    assert_bad(
        &audited.verify().await,
        audited.position_of("OrderRejected").await,
        Code::Idempotency,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_payload_is_found() {
    let audited = Audited::new("bit").await;
    let position = audited.position_of("FillSettled").await;
    audited
        .tamper(
            "UPDATE events SET payload = overlay(payload::text PLACING chr(ascii(substr(payload::text, 20, 1)) # 1)
             FROM 20 FOR 1)::json WHERE position = (SELECT min(position) FROM events WHERE event_type = 'FillSettled')",
        )
        .await;
    assert_bad(&audited.verify().await, position, Code::Leaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_events_that_changed_places_are_found() {
    let audited = Audited::new("swap").await;
    audited
        .tamper(
            "ALTER TABLE events DROP CONSTRAINT events_position;
             UPDATE events SET position = CASE position WHEN 5 THEN 6 ELSE 5 END WHERE position IN (5, 6)",
        )
        .await;
    assert_bad(&audited.verify().await, 5, Code::Leaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_last_event_is_found() {
    let audited = Audited::new("last").await;
    audited.tamper("DELETE FROM events WHERE position = (SELECT max(position) FROM events)").await;
    assert_bad(&audited.verify().await, audited.size, Code::Position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_stream_is_found() {
    let audited = Audited::new("stream").await;
    let position = audited.position_of("OrderPlaced").await;
    audited
        .tamper(
            "DELETE FROM events WHERE aggregate_id = (SELECT aggregate_id FROM events
             WHERE event_type = 'OrderPlaced' ORDER BY position LIMIT 1)",
        )
        .await;
    assert_bad(&audited.verify().await, position, Code::Position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_dated_event_is_found() {
    let audited = Audited::new("date").await;
    let position = audited.position_of("CashWithdrawn").await;
    audited
        .tamper("UPDATE events SET recorded_at = recorded_at - interval '1 day' WHERE event_type = 'CashWithdrawn'")
        .await;
    let report = audited.verify().await;
    assert_bad(&report, position, Code::Leaf);
    assert!(report.problems.iter().any(|problem| problem.code == Code::Time), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_rewritten_as_a_whole_is_found_by_the_checkpoints_outside() {
    let audited = Audited::new("rewritten").await;
    // Another honest ledger's rows, every leaf and the head right in themselves, in place of the ones that were signed.
    let other = Audited::new("another").await;
    let lines = exported(&other.database, Scope::default()).await;
    audited.tamper("TRUNCATE events").await;
    let mut superuser = audited.database.superuser().await;
    for line in lines.lines().skip(1) {
        const INSERT: &str = "INSERT INTO events SELECT r->>'aggregate_type', r->>'aggregate_id',
            (r->>'sequence')::bigint, r->>'event_type', r->>'event_version', (r->>'payload')::json,
            (r->>'metadata')::json, (r->>'shard')::smallint, (r->>'position')::bigint, (r->>'tenant_id')::uuid,
            (r->>'account_id')::uuid, (r->>'recorded_at')::timestamptz, decode(r->>'salt', 'hex'),
            decode(r->>'leaf', 'hex') FROM (SELECT $1::jsonb AS r) AS row";
        sqlx::query(INSERT).bind(line).execute(&mut superuser).await.unwrap();
    }
    let mut source = other.database.superuser().await;
    let (position, frontier): (i64, Vec<u8>) =
        sqlx::query_as("SELECT position, frontier FROM ledger_head")
            .fetch_one(&mut source)
            .await
            .unwrap();
    sqlx::query("UPDATE ledger_head SET position = $1, frontier = $2")
        .bind(position)
        .bind(frontier)
        .execute(&mut superuser)
        .await
        .unwrap();
    let without =
        verify_database(&audited.database.auditor, 0, Evidence::read(&[]).unwrap()).await.unwrap();
    let beside_the_log = [Code::View, Code::Snapshot, Code::Idempotency];
    assert!(
        without.problems.iter().all(|problem| beside_the_log.contains(&problem.code)),
        "{without}"
    );
    assert!(!without.notes.is_empty(), "{without}");
    assert_bad(&audited.verify().await, 1, Code::Checkpoint);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewritten_tail_is_bounded_by_the_last_checkpoint_that_still_agrees() {
    let audited = Audited::new("tail").await;
    // The salt of the last event is another, its leaf right, and the head follows: only the signature is left.
    let rows = exported(&audited.database, Scope::default()).await;
    let last = rows.lines().last().unwrap();
    let row: serde_json::Value = serde_json::from_str(last).unwrap();
    let text = |name: &str| row[name].as_str().unwrap();
    let recorded_at = chrono::DateTime::parse_from_rfc3339(text("recorded_at")).unwrap();
    let leaf = blotter::ledger::proof::leaf(&blotter::ledger::proof::LeafInput {
        shard: 0,
        position: audited.size,
        tenant_id: text("tenant_id").parse().unwrap(),
        account_id: row["account_id"].as_str().map(|id| id.parse().unwrap()),
        aggregate_type: text("aggregate_type"),
        aggregate_id: text("aggregate_id"),
        sequence: row["sequence"].as_u64().unwrap(),
        event_type: text("event_type"),
        event_version: text("event_version"),
        recorded_at_micros: recorded_at.timestamp_micros().cast_unsigned(),
        salt: &[9; 16],
        payload: text("payload"),
        metadata: text("metadata"),
    });
    let hex: String = leaf.iter().map(|byte| format!("{byte:02x}")).collect();
    let salt = "09".repeat(16);
    let size = audited.size;
    audited
        .tamper(&format!(
            "UPDATE events SET salt = decode('{salt}', 'hex'), leaf = decode('{hex}', 'hex') WHERE position = {size}"
        ))
        .await;
    let report = audited.verify().await;
    assert_bad(&report, audited.first + 1, Code::Checkpoint);
    assert_eq!(report.checkpoints, 1);
    // The head was not corrected: that alone tells, too.
    assert!(report.problems.iter().any(|problem| problem.code == Code::Root), "{report}");
}

async fn exported(database: &TestDatabase, scope: Scope) -> String {
    let mut out = Vec::new();
    export(&database.auditor, 0, scope, None, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

fn verify_lines(lines: &str, checkpoints: &[PathBuf]) -> Report {
    let evidence = Evidence::read(checkpoints).unwrap();
    let report = verify_export(BufReader::new(lines.as_bytes()), evidence).unwrap();
    for problem in &report.problems {
        // What a derived `Debug` leaves: problems are for people.
        let raw = ["Amount(", "Some(", "None", " { ", "[(", "\\\""];
        assert!(!raw.iter().any(|raw| problem.message.contains(raw)), "{}", problem.message);
    }
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_verifies_without_a_database_whole_and_blanked() {
    let audited = Audited::new("export").await;
    let whole = exported(&audited.database, Scope::default()).await;
    let report = verify_lines(&whole, &audited.checkpoints());
    assert!(report.valid, "{report}");
    assert_eq!((report.position, report.checkpoints, report.blanked), (audited.size, 2, 0));
    assert_eq!((report.covered, report.beyond), (audited.size, 0));
    let unheld = verify_lines(&whole, &[]);
    assert_eq!((unheld.covered, unheld.beyond), (0, audited.size));
    assert!(unheld.to_string().contains("covered       no row by a checkpoint"), "{unheld}");
    let report = verify_lines(&format!("{whole}\n \n"), &audited.checkpoints());
    assert!(report.valid && report.position == audited.size, "{report}");

    let nobody = uuid::Uuid::from_u128(7);
    let blanked = exported(&audited.database, Scope { account: Some(nobody), tenant: None }).await;
    let account = audited.history.account.to_string();
    assert!(whole.contains(&account) && !blanked.contains(&account));
    let report = verify_lines(&blanked, &audited.checkpoints());
    assert!(report.valid && report.blanked > 20, "{report}");
    assert_eq!(report.root, verify_lines(&whole, &[]).root);

    let own = exported(
        &audited.database,
        Scope { account: Some(audited.history.account.uuid()), tenant: None },
    )
    .await;
    assert!(verify_lines(&own, &[]).valid);

    let changed = whole.replacen("187.20", "187.30", 1);
    let report = verify_lines(&changed, &audited.checkpoints());
    assert!(!report.valid && report.problems[0].code == Code::Leaf, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_stops_the_process_that_signed_more() {
    let audited = Audited::new("backup").await;
    let key = || ProcessKey::open_or_create(audited.directory.path()).unwrap();
    let mut own = Checkpointer::open(audited.directory.path(), key()).unwrap();
    let signed = own.last().unwrap().clone();
    assert_eq!(check_rollback(&audited.database.auditor, 0, &signed).await.unwrap(), Ok(()));
    let before = blotter::audit::Checkpoint { size: audited.first, ..signed.clone() };
    let other = check_rollback(&audited.database.auditor, 0, &before).await.unwrap();
    assert_eq!(other, Err(Rollback::Other { signed: audited.first }), "the root of another size");

    let empty = TestDatabase::new().await;
    let verdict = check_rollback(&empty.auditor, 0, &signed).await.unwrap();
    assert_eq!(verdict, Err(Rollback::Behind { position: 0, signed: audited.size }));

    let aside = own.supersede(audited.directory.path()).unwrap();
    assert!(aside.exists() && own.last().is_none());
    assert!(Path::new(&audited.checkpoints()[0]).exists());
    assert!(audited.verify().await.valid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_tells_valid_from_invalid_from_unchecked_by_its_exit_code() {
    let audited = Audited::new("command").await;
    let lines = exported(&audited.database, Scope::default()).await;
    let file = audited.directory.path().join("export.jsonl");
    let verify = |file: &Path| {
        let mut command = blotter(&["audit", "verify", "--checkpoints"]);
        command.arg(&audited.checkpoints()[0]).arg("--file").arg(file);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    std::fs::write(&file, &lines).unwrap();
    let (code, text) = verify(&file);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("verdict       valid\n"), "{text}");

    std::fs::write(&file, lines.replacen("187.20", "187.30", 1)).unwrap();
    let (code, text) = verify(&file);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&format!("first bad     {}\n", audited.position_of("OrderFilled").await)),
        "{text}"
    );

    assert_eq!(verify(Path::new("/nowhere")).0, Some(2));
    std::fs::write(&file, "not an export\n").unwrap();
    assert_eq!(verify(&file).0, Some(2));

    let shown = blotter(&["audit", "checkpoint", "--data-dir"])
        .arg(audited.directory.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let signed = ::blotter::audit::Checkpoint::read(&shown).unwrap();
    assert_eq!(signed.size, audited.size);
}

/// The export with this row's text changed and its leaf made right again, as a writer with a defect would have it.
fn rewritten(lines: &str, event_type: &str, from: &str, to: &str) -> String {
    let mut done = false;
    let lines = lines.lines().map(|line| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        if done || row["event_type"] != event_type {
            return line.to_owned();
        }
        for column in ["payload", "metadata"] {
            let text = row[column].as_str().unwrap().to_owned();
            done |= text.contains(from);
            row[column] = text.replacen(from, to, 1).into();
        }
        let text = |name: &str| row[name].as_str().unwrap();
        let salt: Vec<u8> = (0..16)
            .map(|n| u8::from_str_radix(&text("salt")[2 * n..2 * n + 2], 16).unwrap())
            .collect();
        let recorded_at = chrono::DateTime::parse_from_rfc3339(text("recorded_at")).unwrap();
        let leaf = ::blotter::ledger::proof::leaf(&::blotter::ledger::proof::LeafInput {
            shard: 0,
            position: row["position"].as_u64().unwrap(),
            tenant_id: text("tenant_id").parse().unwrap(),
            account_id: row["account_id"].as_str().map(|id| id.parse().unwrap()),
            aggregate_type: text("aggregate_type"),
            aggregate_id: text("aggregate_id"),
            sequence: row["sequence"].as_u64().unwrap(),
            event_type: text("event_type"),
            event_version: text("event_version"),
            recorded_at_micros: recorded_at.timestamp_micros().cast_unsigned(),
            salt: &salt.try_into().unwrap(),
            payload: text("payload"),
            metadata: text("metadata"),
        });
        row["leaf"] = leaf.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        row.to_string()
    });
    let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert!(done, "{event_type} has no {from}");
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_break_a_rule_are_found_though_every_leaf_is_right() {
    let audited = Audited::new("rules").await;
    let lines = exported(&audited.database, Scope::default()).await;
    for (event_type, from, to, code) in [
        ("CashDeposited", r#""cash":"10000.00""#, r#""cash":"10000.01""#, Code::Account),
        ("CashWithdrawn", r#""amount":"100.01""#, r#""amount":"100.02""#, Code::Account),
        ("CashReserved", r#""amount":"1872.50""#, r#""amount":"1872.49""#, Code::Reservation),
        ("OrderFilled", r#""ask":"187.20""#, r#""ask":"187.21""#, Code::Evidence),
        ("OrderFilled", r#""leaves_qty":"6""#, r#""leaves_qty":"5""#, Code::Order),
        ("OrderFilled", r#""amount":"748.80""#, r#""amount":"748.81""#, Code::Order),
        ("FillSettled", r#""amount":"-748.80""#, r#""amount":"-748.70""#, Code::Command),
        ("PositionOpened", r#""cost":"748.80""#, r#""cost":"748.70""#, Code::Command),
        ("PositionReduced", r#""realized_pl":"#, r#""realized_pl":"1.00","was":"#, Code::Holding),
        ("PositionSplit", r#""fraction_cost":"#, r#""fraction_cost":"0.01","was":"#, Code::Holding),
        ("DividendAccrued", r#""per_share":"0.255""#, r#""per_share":"0.256""#, Code::Holding),
        ("OrderCanceled", r#""epoch":"1""#, r#""epoch":"2""#, Code::Epoch),
        ("OrderCanceled", r#""actor":"#, r#""password":"#, Code::Secret),
        ("OrderPlaced", r#""held":false"#, r#""hold":false"#, Code::Payload),
        (
            "OrderRejected",
            r#""client_order_id":"too much""#,
            r#""client_order_id":"first""#,
            Code::Idempotency,
        ),
    ] {
        let report = verify_lines(&rewritten(&lines, event_type, from, to), &[]);
        let codes: Vec<_> = report.problems.iter().map(|problem| problem.code).collect();
        assert!(codes.contains(&code), "{event_type} {to}: {report}");
        assert!(!codes.contains(&Code::Leaf), "{event_type} {to}: {report}");
    }
}
