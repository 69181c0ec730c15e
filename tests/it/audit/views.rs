//! What was changed in a view, in the journal or in a snapshot is found, whatever the column.

use aggregates::instrument::InstrumentCommand;
use aggregates::order::Side;
use blotter::audit::{Code, Evidence, Report, verify_database};
use blotter::ledger::SigningName;
use sqlx::{Connection, Executor};

use super::project;
use crate::support::TestDatabase;
use crate::support::history::write_history;
use crate::support::ledger::{TestLedger, noon};

/// The public key of the first test vector of RFC 8032, base64: nothing is signed here.
const PUBLIC_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// So many orders there and back give account and position a snapshot.
const ENOUGH: u32 = 50;

/// A database with a history, and so many orders placed and canceled after it.
async fn projected(turns: u32) -> TestDatabase {
    let database = TestDatabase::new().await;
    let (name, public_key) = ("one".to_owned(), PUBLIC_KEY.to_owned());
    let test = TestLedger::start_charging(&database, "one", SigningName { name, public_key }).await;
    let history = write_history(&test).await;
    for n in 0..turns {
        let name = format!("turn {n}");
        let order = history.place(&test, Side::Sell, "1", Some("300"), &name).await;
        history.cancel(&test, order).await;
        let order = history.place(&test, Side::Buy, "1", Some("2"), &format!("{name} back")).await;
        history.cancel(&test, order).await;
    }
    let reason = "news".to_owned();
    history.instrument(&test, InstrumentCommand::Halt { reason, at: noon() }).await;
    project(&database).await;
    database
}

async fn verify(database: &TestDatabase) -> Report {
    verify_database(&database.auditor, 0, Evidence::read(&[]).unwrap()).await.unwrap()
}

/// Makes each change, and expects that it is found, by this code and in these words; then undoes it.
async fn assert_found(database: &TestDatabase, code: Code, changes: &[(&str, &str)]) {
    let mut superuser = database.superuser().await;
    superuser.execute("ALTER TABLE journal_postings DISABLE TRIGGER ALL").await.unwrap();
    for (change, words) in changes {
        // UPDATE table, DELETE FROM table, INSERT INTO table.
        let mut words_of =
            change.split_whitespace().skip_while(|word| word.to_uppercase() == *word);
        let table = words_of.next().unwrap();
        let keep = format!("CREATE TEMP TABLE kept AS SELECT * FROM {table}");
        superuser.execute(keep.as_str()).await.unwrap();
        let mut work = superuser.begin().await.unwrap();
        let changed = work.execute(*change).await.unwrap().rows_affected();
        work.commit().await.unwrap();
        assert!(changed > 0, "{change} changes nothing");
        let report = verify(database).await;
        let named = report.problems.iter().any(|problem| problem.message.contains(words));
        assert!(!report.valid && named, "{change}: {report}");
        assert!(report.problems.iter().all(|problem| problem.code == code), "{change}: {report}");
        let back =
            format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept");
        superuser.execute(back.as_str()).await.unwrap();
    }
    let report = verify(database).await;
    assert!(report.valid, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_lost_or_invented_row_of_any_view_is_found() {
    let database = projected(0).await;
    let changes = [
        ("UPDATE accounts SET cash = cash + 0.01", "cash is"),
        ("UPDATE accounts SET policy = '{\"trading_state\":\"halted\"}'", "policy is"),
        (
            "UPDATE orders SET filled_at = filled_at + interval '1 us' WHERE status = 'filled'",
            "filled_at",
        ),
        ("UPDATE orders SET reject = NULL WHERE status = 'rejected'", "reject is"),
        ("DELETE FROM orders WHERE status = 'canceled'", "is not in the view"),
        ("UPDATE fills SET price = price + 0.000000001 WHERE n = 2", "price is"),
        ("UPDATE fills SET evidence = '{}' WHERE n = 2", "evidence is"),
        ("DELETE FROM fills WHERE n = 2", "fills"),
        ("UPDATE positions SET realized_pl = realized_pl - 1", "realized_pl is"),
        ("UPDATE lots SET cost = cost - 0.01", "cost is"),
        ("DELETE FROM activities WHERE activity_type = 'CSW'", "activities"),
        (
            "UPDATE activities SET at = at + interval '1 us' WHERE activity_type = 'FEE' OR activity_type = 'CSD'",
            "at is",
        ),
        (
            "UPDATE activities SET at = at + interval '1 us' WHERE activity_type = 'DIV'",
            "at is",
        ),
        ("UPDATE activities SET side = 'sell' WHERE side = 'buy'", "side is"),
        ("UPDATE activities SET order_id = NULL WHERE order_id IS NOT NULL", "order_id is"),
        (
            "INSERT INTO activities SELECT generation, -1, tenant_id, account_id, 'CSD', NULL, NULL, NULL, NULL, NULL,
                1, NULL, NULL, NULL, at, 0, NULL FROM activities LIMIT 1",
            "is in the view and in no event",
        ),
        ("UPDATE movements SET held = held + 0.01 WHERE held <> 0", "held is"),
        ("UPDATE movements SET paid_in = paid_in + 1 WHERE paid_in <> 0", "paid_in is"),
        ("UPDATE movements SET hour = hour + 100000", "is in the view and in no event"),
        ("UPDATE movements SET unit = gen_random_uuid() WHERE held <> 0", "is not in the view"),
        ("UPDATE movements SET tenant_id = gen_random_uuid()", "tenant_id is"),
        ("DELETE FROM movements", "is not in the view"),
    ];
    assert_found(&database, Code::View, &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_lost_or_invented_row_of_the_books_is_found() {
    let database = projected(0).await;
    let changes = [
        (
            "UPDATE journal_postings SET amount = amount * 2 WHERE position = (SELECT max(position)
                FROM journal_entries WHERE event_type = 'CashWithdrawn')",
            "amount is",
        ),
        ("UPDATE journal_postings SET tenant_id = gen_random_uuid()", "tenant_id is"),
        ("UPDATE journal_entries SET event_type = 'FeeCharged' WHERE event_type = 'CashWithdrawn'", "event_type is"),
        ("UPDATE journal_entries SET order_id = NULL WHERE event_type = 'SharesReserved'", "order_id is"),
        ("UPDATE journal_entries SET fill_id = gen_random_uuid() WHERE event_type = 'FillSettled'", "fill_id is"),
        ("UPDATE journal_entries SET action_id = 'another' WHERE event_type = 'PositionSplit'", "action_id is"),
        ("UPDATE journal_entries SET instrument_id = NULL WHERE event_type = 'DividendPaid'", "instrument_id is"),
        ("UPDATE journal_entries SET at = at + interval '1 us' WHERE event_type = 'DividendAccrued'", "at is"),
        ("UPDATE journal_entries SET recorded_at = recorded_at - interval '1 us'", "recorded_at is"),
        ("UPDATE journal_entries SET tenant_id = gen_random_uuid()", "tenant_id is"),
        ("DELETE FROM journal_entries WHERE event_type = 'CashReserved'", "is not in the view"),
        ("UPDATE share_reservations SET qty = qty + 1", "qty is"),
        ("UPDATE share_reservations SET tenant_id = gen_random_uuid()", "tenant_id is"),
        ("DELETE FROM share_reservations", "is not in the view"),
        (
            "INSERT INTO share_reservations SELECT generation, account_id, instrument_id, gen_random_uuid(), tenant_id, 1
             FROM share_reservations",
            "is in the view and in no event",
        ),
    ];
    assert_found(&database, Code::View, &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_lost_or_invented_row_of_the_market_is_found() {
    let database = projected(0).await;
    let changes = [
        ("UPDATE instruments SET halted = false", "halted is"),
        ("UPDATE instruments SET halt_reason = 'other news'", "halt_reason is"),
        ("UPDATE instruments SET listed_at = now()", "listed_at is"),
        ("UPDATE official_closes SET at = at + interval '1 us'", "at is"),
        ("UPDATE official_closes SET position = position - 1", "position is"),
        (
            "INSERT INTO official_closes SELECT generation, instrument_id, session - 1, price, source, at, position
             FROM official_closes",
            "official_closes",
        ),
        ("UPDATE corporate_actions SET numerator = 5 WHERE kind = 'split'", "numerator is"),
        ("UPDATE corporate_actions SET amount = 0.256 WHERE kind = 'dividend'", "amount is"),
        ("UPDATE corporate_actions SET ex = ex + 1 WHERE kind = 'dividend'", "ex is"),
        ("UPDATE corporate_actions SET pay = pay + 1 WHERE kind = 'dividend'", "pay is"),
        ("UPDATE corporate_actions SET stage = 'begun' WHERE kind = 'split'", "stage is"),
        ("UPDATE corporate_actions SET at = at + interval '1 us'", "at is"),
        ("UPDATE corporate_actions SET position = position - 1", "position is"),
        ("DELETE FROM corporate_actions WHERE kind = 'split'", "is not in the view"),
    ];
    assert_found(&database, Code::View, &changes).await;
}

/// A change of the state, with the digest made right again.
fn rewritten(kind: &str, from: &str, to: &str) -> String {
    format!(
        "UPDATE snapshots SET state = other, digest = sha256(int4send(schema_version) || convert_to(other, 'UTF8'))
         FROM (SELECT aggregate_type AS t, aggregate_id AS i, regexp_replace(state, '{from}', '{to}') AS other
               FROM snapshots) AS changed
         WHERE (t, i) = (aggregate_type, aggregate_id) AND aggregate_type = '{kind}' AND other <> state"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_not_the_fold_of_its_stream_is_found() {
    let database = projected(ENOUGH).await;
    let states = [
        ("account", r#""cash":"."#, r#""cash":"1"#, "state.cash"),
        ("account", r#""reserved":""#, r#""reserved":"1"#, "state.reserved"),
        (
            "account",
            r#""reservations":\{""#,
            r#""reservations":{"a":"1.00",""#,
            "state.reservations",
        ),
        ("account", "active", "halted", "state.policy"),
        ("position", r#""qty":""#, r#""qty":"1"#, "state.qty"),
        ("position", r#""cost":""#, r#""cost":"1"#, "state.lots[0].cost"),
        ("position", r#""opened_at":"2024"#, r#""opened_at":"2023"#, "state.lots[0].opened_at"),
        ("position", r#""realized_pl":".."#, r#""realized_pl":"99"#, "state.realized_pl"),
        ("position", r#""reservations":\{"[^}]*\}"#, r#""reservations":{}"#, "state.reservations"),
        ("position", "split-1", "split-2", "state.splits[0]"),
        ("order", r#""status":"accepted""#, r#""status":"triggered""#, "state.status"),
        ("order", r#""filled_qty":"0"#, r#""filled_qty":"1"#, "state.filled_qty"),
        ("order", r#""qty":""#, r#""qty":"1"#, "state.spec.qty"),
        ("order", r#""limit_price":""#, r#""limit_price":"1"#, "state.spec.limit_price"),
        (
            "order",
            r#""client_order_id":""#,
            r#""client_order_id":"x"#,
            "state.spec.client_order_id",
        ),
        ("order", r#""revision":1"#, r#""revision":2"#, "state.revision"),
        ("instrument", r#""halted":true"#, r#""halted":false"#, "state.halted"),
        (
            "instrument",
            r#""last_close":\["2024-01-17""#,
            r#""last_close":["2024-01-16""#,
            "state.last_close[0]",
        ),
        (
            "instrument",
            r#""stage":"paid""#,
            r#""stage":"accrued""#,
            "state.dividends.dividend-1.stage",
        ),
        (
            "instrument",
            r#""numerator":"4""#,
            r#""numerator":"5""#,
            "state.splits.split-1.numerator",
        ),
        ("writer", r#""epoch":1"#, r#""epoch":2"#, "state.epoch"),
        ("writer", "11qYAY", "11qYAZ", "state.public_key"),
    ];
    let states: Vec<(String, &str)> =
        states.iter().map(|(kind, from, to, words)| (rewritten(kind, from, to), *words)).collect();
    let mut changes: Vec<(&str, &str)> =
        states.iter().map(|(change, words)| (change.as_str(), *words)).collect();
    changes.extend([
        ("UPDATE snapshots SET state = state || ' '", "its digest is not that of its state"),
        ("UPDATE snapshots SET schema_version = 1 WHERE aggregate_type = 'account'", "its digest is not"),
        ("UPDATE snapshots SET sequence = sequence - 1 WHERE aggregate_type = 'account'", "it is of account"),
        ("UPDATE snapshots SET account_id = NULL WHERE aggregate_type = 'position'", "it is of account none"),
        ("UPDATE snapshots SET position = position + 1 WHERE aggregate_type = 'account'", "its position is not"),
        ("UPDATE snapshots SET live = false WHERE aggregate_type = 'order'", "has no live snapshot"),
        ("DELETE FROM snapshots WHERE aggregate_type = 'order'", "has no live snapshot"),
        ("DELETE FROM snapshots WHERE aggregate_type = 'instrument'", "has no live snapshot"),
        ("DELETE FROM snapshots WHERE aggregate_type = 'writer'", "has no live snapshot"),
        (
            "INSERT INTO snapshots SELECT s.generation, 'order', o.order_id::text, o.account_id, o.sequence, o.position,
                s.schema_version, true, s.state, s.digest
             FROM snapshots s, orders o WHERE s.aggregate_type = 'order' AND o.status = 'rejected'
             ORDER BY s.aggregate_id LIMIT 1",
            "and is not open",
        ),
    ]);
    assert_found(&database, Code::Snapshot, &changes).await;
}
