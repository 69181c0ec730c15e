//! The Sequencer over a real Postgres: order, idempotency, fencing, and the framework's own store on our log.

use aggregates::account::{Account, AccountCommand};
use aggregates::id::{OPERATOR, OPERATOR_TENANT, RequestId};
use aggregates::order::{CancelReason, Order};
use aggregates::refusal::RefusalCode;
use aggregates::rules::Rules;
use aggregates::trading::Command;
use blotter::ledger::proof::{Frontier, leaf_of};
use blotter::ledger::store::SequencedStore;
use blotter::ledger::{Interface, Key, LedgerError, Origin};
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{AggregateError, CqrsFramework, EventStore};
use postgres_es::PostgresEventRepository;
use projections::log::read_after;
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::ledger::{TestLedger, buy, noon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_and_its_reservation_are_one_commit_with_gapless_positions_and_provable_leaves() {
    let database = TestDatabase::new().await;
    let test = TestLedger::start(&database, "one").await;
    test.stock("AAPL").await;
    let account = test.account("10000").await;
    let (order_id, place, key) = buy(account, "AAPL", "10", "187.25", "a");
    let placed = test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
    assert_eq!(placed.outcome, order_id.uuid());
    assert_eq!(placed.events.len(), 2);
    let cancel = Command::Cancel {
        account_id: account,
        order_id,
        reason: CancelReason::Requested,
        at: noon(),
    };
    test.submit(OPERATOR_TENANT, cancel.clone(), None).await.unwrap();
    let again = test.submit(OPERATOR_TENANT, cancel, None).await.unwrap_err();
    assert!(
        matches!(&again, LedgerError::Refused(refusal) if refusal.code == RefusalCode::OrderNotOpen),
        "{again}"
    );

    let mut auditor = database.auditor.begin().await.unwrap();
    let rows = read_after(&mut auditor, 0, 0, 100).await.unwrap();
    let mut tree = Frontier::default();
    for (row, position) in rows.iter().zip(1..) {
        assert_eq!(row.position, position);
        assert_eq!(leaf_of(row), row.leaf, "position {position}");
        tree.push(row.leaf);
    }
    let head: Vec<u8> = sqlx::query_scalar("SELECT frontier FROM ledger_head")
        .fetch_one(&mut *auditor)
        .await
        .unwrap();
    assert_eq!(Frontier::from_bytes(&head).unwrap(), tree);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_copies_of_one_order_make_one_order_also_after_a_take_over() {
    let database = TestDatabase::new().await;
    let first = TestLedger::start(&database, "one").await;
    first.stock("AAPL").await;
    let account = first.account("10000").await;
    let mut outcomes = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..64 {
        let (_, place, key) = buy(account, "AAPL", "10", "187.25", "same");
        let ledger = first.ledger.clone();
        let sent = crate::support::ledger::submission(OPERATOR_TENANT, place, Some(key));
        answers.push(tokio::spawn(async move { ledger.submit(sent).await }));
    }
    for answer in answers {
        outcomes.push(answer.await.unwrap().unwrap());
    }
    assert_eq!(outcomes.iter().filter(|committed| !committed.replayed).count(), 1);
    assert!(outcomes.iter().all(|committed| committed.outcome == outcomes[0].outcome));
    drop(first);

    let second = TestLedger::start(&database, "two").await;
    let (_, place, key) = buy(account, "AAPL", "10", "187.25", "same");
    let replayed = second.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
    assert!(replayed.replayed && replayed.outcome == outcomes[0].outcome);
    let (_, place, key) = buy(account, "AAPL", "11", "187.25", "same");
    let other = second.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap_err();
    assert!(
        matches!(&other, LedgerError::Refused(refusal) if refusal.code == RefusalCode::KeyReused),
        "{other}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_orders_never_spend_more_than_there_is() {
    let database = TestDatabase::new().await;
    let test = TestLedger::start(&database, "one").await;
    test.stock("AAPL").await;
    let account = test.account("1000").await;
    let mut answers = Vec::new();
    for n in 0..50 {
        let (_, place, key) = buy(account, "AAPL", "1", "100", &n.to_string());
        let ledger = test.ledger.clone();
        let sent = crate::support::ledger::submission(OPERATOR_TENANT, place, Some(key));
        answers.push(tokio::spawn(async move { ledger.submit(sent).await.unwrap() }));
    }
    let mut taken = 0;
    for answer in answers {
        let committed = answer.await.unwrap();
        match &committed.rejected {
            None => taken += 1,
            Some(refusal) => assert_eq!(refusal.code, RefusalCode::InsufficientBuyingPower),
        }
    }
    assert_eq!(taken, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmodified_framework_reads_our_log_and_our_store_writes_it() {
    let database = TestDatabase::new().await;
    let test = TestLedger::start(&database, "one").await;
    test.stock("AAPL").await;
    let account = test.account("10000").await;
    let (order_id, place, key) = buy(account, "AAPL", "10", "187.25", "a");
    test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();

    let origin = Origin {
        tenant: OPERATOR_TENANT,
        actor: OPERATOR,
        token: String::new(),
        client: String::new(),
        interface: Interface::Ledger,
        request: RequestId::new(Uuid::now_v7()),
        causation: "test".to_owned(),
    };
    let store = || SequencedStore::new(test.ledger.clone(), &database.writer, origin.clone());
    let framework = CqrsFramework::<Account, _>::new(store(), vec![], Rules::default());
    let deposit = AccountCommand::Deposit {
        deposit_id: aggregates::id::CommandId::new(Uuid::now_v7()),
        amount: "5".parse().unwrap(),
        at: None,
    };
    framework.execute(&account.to_string(), deposit).await.unwrap();

    let unmodified = || {
        let pool = database.writer.pool().clone();
        PersistedEventStore::<_, Account>::new_event_store(PostgresEventRepository::new(pool))
    };
    let theirs = unmodified().load_aggregate(&account.to_string()).await.unwrap();
    assert_eq!(theirs.aggregate.cash(), "10005".parse().unwrap());
    let ours = EventStore::<Account>::load_aggregate(&store(), &account.to_string()).await.unwrap();
    assert_eq!(ours.aggregate, theirs.aggregate);
    let order = EventStore::<Order>::load_aggregate(&store(), &order_id.to_string()).await.unwrap();
    assert!(order.aggregate.is_open());

    let late = EventStore::<Account>::load_aggregate(&store(), &account.to_string()).await.unwrap();
    test.submit(
        OPERATOR_TENANT,
        Command::Withdraw {
            account_id: account,
            withdrawal_id: aggregates::id::CommandId::new(Uuid::now_v7()),
            amount: "1".parse().unwrap(),
            marks: Default::default(),
            at: None,
        },
        None,
    )
    .await
    .unwrap();
    let conflict = EventStore::<Account>::commit(&store(), vec![], late, Default::default()).await;
    assert!(matches!(conflict, Err(AggregateError::AggregateConflict)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_kept_though_its_command_did_nothing_also_after_a_take_over() {
    let database = TestDatabase::new().await;
    let first = TestLedger::start(&database, "one").await;
    first.stock("AAPL").await;
    let account = first.account("10000").await;
    let route = format!("DELETE /v1/accounts/{account}/orders");
    let key = Key::request(OPERATOR_TENANT, None, &route, "once", b"all");
    let all = Command::CancelAll { account_id: account, kind: None, at: Some(noon()) };
    let nothing = first.submit(OPERATOR_TENANT, all.clone(), Some(key)).await.unwrap();
    assert!(nothing.events.is_empty() && !nothing.replayed);
    let (_, place, order_key) = buy(account, "AAPL", "10", "187.25", "a");
    first.submit(OPERATOR_TENANT, place, Some(order_key)).await.unwrap();
    let told = (nothing.outcome, nothing.position);
    let again = first.submit(OPERATOR_TENANT, all.clone(), Some(key)).await.unwrap();
    assert_eq!((again.outcome, again.position), told);
    drop(first);

    let second = TestLedger::start(&database, "two").await;
    let again = second.submit(OPERATOR_TENANT, all.clone(), Some(key)).await.unwrap();
    assert!(again.replayed && again.events.is_empty());
    assert_eq!((again.outcome, again.position), told);
    // Without the key it is another command. The order and its account are not in memory yet.
    let done = second.submit(OPERATOR_TENANT, all, None).await.unwrap();
    assert_eq!(done.events.len(), 2);
}
