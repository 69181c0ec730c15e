//! Who writes, and what is known of what was written: fencing, take-over, lost answers, keys across restarts, and
//! that the framework's own store reads all of it.

use std::time::{Duration, Instant};

use aggregates::account::{Account, AccountCommand};
use aggregates::id::{AccountId, CommandId, FactId, OPERATOR_TENANT, UserId};
use aggregates::instrument::{Instrument, InstrumentCommand, Split};
use aggregates::margin::Marks;
use aggregates::market::{Evidence, EvidenceTick};
use aggregates::money::{Money, Quantity};
use aggregates::order::{CancelReason, Execution, Order};
use aggregates::position::Position;
use aggregates::rules::Rules;
use aggregates::stream::{Decide, StreamId};
use aggregates::trading::Command;
use aggregates::user::{Door, User, UserCommand, UserEvent};
use aggregates::writer::Writer;
use blotter::ledger::log::{Appended, LoadUnit, Loader, Log, Settled};
use blotter::ledger::postgres::{Owner, PostgresLoader, PostgresLog, TakenOver};
use blotter::ledger::sequencer::{Sent, Sequencer};
use blotter::ledger::{Key, LedgerError, SHARD, SigningName, SystemEntropy};
use chrono::Utc;
use cqrs_es::EventStore;
use cqrs_es::persist::PersistedEventStore;
use postgres_es::PostgresEventRepository;
use projections::log::{Recorded, read_after};
use sqlx::Executor;
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::ledger::{TestLedger, buy, noon};
use crate::support::proxy::{Cut, Proxy};

fn owner(name: &str) -> Owner {
    Owner { name: name.to_owned(), url: None, sole: false }
}

fn signing() -> SigningName {
    SigningName { name: "test".to_owned(), public_key: "a test key".to_owned() }
}

async fn end_lease(database: &TestDatabase) {
    let ended = "UPDATE ledger_head SET lease_until = clock_timestamp() - interval '1 second'";
    database.superuser().await.execute(ended).await.unwrap();
}

fn deposit(account_id: AccountId, amount: &str) -> Command {
    let amount: Money = amount.parse().unwrap();
    let deposit_id = CommandId::new(Uuid::now_v7());
    Command::Account {
        account_id,
        command: AccountCommand::Deposit { deposit_id, amount, at: None },
    }
}

fn withdraw(account_id: AccountId, amount: &str) -> Command {
    let (amount, withdrawal_id) = (amount.parse().unwrap(), CommandId::new(Uuid::now_v7()));
    Command::Withdraw { account_id, withdrawal_id, amount, marks: Marks::new(), at: None }
}

async fn log_of(database: &TestDatabase) -> Vec<Recorded> {
    let mut auditor = database.auditor.begin().await.unwrap();
    read_after(&mut auditor, SHARD, 0, 10_000).await.unwrap()
}

fn count(log: &[Recorded], event_type: &str) -> usize {
    log.iter().filter(|row| row.event_type == event_type).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_paused_has_its_next_batch_refused_and_does_not_take_the_log_back() {
    let database = TestDatabase::new().await;
    let mut paused = PostgresLog::new(database.writer.clone());
    let TakenOver { epoch, head } =
        paused.take_over(SHARD, &owner("paused")).await.unwrap().won().unwrap();
    let mut next = PostgresLog::new(database.writer.clone());
    assert_eq!(next.take_over(SHARD, &owner("next")).await.unwrap().won(), None, "its lease runs");
    end_lease(&database).await;
    let taken = next.take_over(SHARD, &owner("next")).await.unwrap().won().unwrap();
    assert_eq!(taken.epoch, epoch + 1);

    let loader = PostgresLoader::new(database.writer.clone());
    let entropy = Box::new(SystemEntropy);
    let mut sequencer =
        Sequencer::<()>::new(SHARD, epoch, head, Rules::default(), entropy, signing());
    for unit in sequencer.take(vec![], Utc::now()).loads {
        sequencer.loaded(unit, loader.load(unit).await);
    }
    sequencer.take(vec![], Utc::now());
    let Sent { batch, .. } = sequencer.send();
    let appended = paused.append(&batch.unwrap()).await.unwrap();
    assert_eq!(appended, Appended::HeadMoved);
    assert!(!paused.renew(SHARD, epoch).await.unwrap());
    assert_eq!(paused.settle(SHARD, epoch).await.unwrap(), Settled::Theirs);
    assert_eq!(paused.take_over(SHARD, &owner("paused")).await.unwrap().won(), None);
    assert!(next.renew(SHARD, taken.epoch).await.unwrap());
    assert!(log_of(&database).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_gone_is_followed_at_once_and_one_on_a_new_connection_is_not_gone() {
    let database = TestDatabase::new().await;
    let mut first = PostgresLog::new(database.writer.clone());
    let taken = first.take_over(SHARD, &owner("first")).await.unwrap().won().unwrap();
    let Settled::Mine { epoch, .. } = first.settle(SHARD, taken.epoch).await.unwrap() else {
        panic!("it is fenced by nobody");
    };
    let mut second = PostgresLog::new(database.writer.clone());
    assert_eq!(second.take_over(SHARD, &owner("second")).await.unwrap().won(), None, "{epoch}");
    drop(first);
    let gone = Instant::now();
    let taken = loop {
        match second.take_over(SHARD, &owner("second")).await.unwrap().won() {
            Some(taken) => break taken,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(gone.elapsed() < Duration::from_secs(3), "before the lease of 5 s runs out");
    assert_eq!(taken.epoch, epoch + 1);
}

async fn one_deposit_whatever_is_cut(cut: Cut, name: &str) {
    let database = TestDatabase::new().await;
    let proxy = Proxy::new(&database, name);
    let test = TestLedger::start_over(proxy.writer(), "one", signing()).await;
    let account = test.account("10").await;
    proxy.cut("77.77", cut);
    let key = Key::request(OPERATOR_TENANT, None, "deposits", "cut", b"77.77");
    let told = test.submit(OPERATOR_TENANT, deposit(account, "77.77"), Some(key)).await.unwrap();
    assert!(proxy.has_cut() && !told.replayed);
    let again = test.submit(OPERATOR_TENANT, deposit(account, "77.77"), Some(key)).await.unwrap();
    assert!(again.replayed && again.position == told.position);
    // One of the start, one of the lost answer: the question raised the epoch.
    test.account("1").await;
    let log = log_of(&database).await;
    assert_eq!(count(&log, "WriterTookOver"), 2);
    let deposits = log.iter().filter(|row| row.payload.contains("77.77"));
    assert_eq!(deposits.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_never_arrived_is_settled_and_sent_again() {
    one_deposit_whatever_is_cut(Cut::Before, "cut-before").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_settled_and_not_repeated() {
    one_deposit_whatever_is_cut(Cut::After, "cut-after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_answered_across_restarts_also_where_the_command_would_now_be_refused() {
    let database = TestDatabase::new().await;
    let first = TestLedger::start(&database, "one").await;
    first.stock("AAPL").await;
    let account = first.account("1000").await;
    let (_, place, order_key) = buy(account, "AAPL", "1", "100", "mine");
    let placed = first.submit(OPERATOR_TENANT, place.clone(), Some(order_key)).await.unwrap();
    let key = Key::request(OPERATOR_TENANT, None, "withdrawals", "all", b"900");
    let all = first.submit(OPERATOR_TENANT, withdraw(account, "900"), Some(key)).await.unwrap();
    drop(first);

    let second = TestLedger::start(&database, "two").await;
    let again = second.submit(OPERATOR_TENANT, withdraw(account, "900"), Some(key)).await.unwrap();
    assert!(again.replayed && (again.position, again.outcome) == (all.position, all.outcome));
    let other = Key::request(OPERATOR_TENANT, None, "withdrawals", "all", b"901");
    let other = second.submit(OPERATOR_TENANT, withdraw(account, "901"), Some(other)).await;
    assert!(
        matches!(other, Err(LedgerError::Refused(refusal)) if refusal.code.word() == "key_reused")
    );
    let replay = second.submit(OPERATOR_TENANT, place, Some(order_key)).await.unwrap();
    assert!(replay.replayed && replay.outcome == placed.outcome);
    let head = log_of(&database).await.len() as u64;
    assert!((placed.position..=head).contains(&replay.position), "{}", replay.position);
    drop(second);

    let old = "UPDATE request_keys SET made_at = now() - interval '25 hours'";
    database.superuser().await.execute(old).await.unwrap();
    let third = TestLedger::start(&database, "three").await;
    third.submit(OPERATOR_TENANT, deposit(account, "900"), None).await.unwrap();
    let anew = third.submit(OPERATOR_TENANT, withdraw(account, "900"), Some(key)).await.unwrap();
    assert!(!anew.replayed, "a key of a request is free after 24 hours");
}

fn execution(qty: &str, price: &str, after_fills: u32) -> Execution {
    let (price, size): (_, Quantity) = (price.parse().unwrap(), "1000".parse().unwrap());
    let tick = EvidenceTick::Quote { bid: price, bid_size: size, ask: price, ask_size: size };
    let evidence = Evidence { source: "feed".to_owned(), tape_place: 1, at: noon(), tick };
    Execution {
        revision: 0,
        after_fills,
        qty: qty.parse().unwrap(),
        price,
        evidence,
        legs: Vec::new(),
    }
}

/// One account with a position in each of `symbols` stocks, an order that was canceled, and a split.
async fn busy(test: &TestLedger, symbols: usize) -> AccountId {
    let account_id = test.account("100000").await;
    for n in 0..symbols {
        let symbol = format!("S{n}");
        let instrument_id = test.stock(&symbol).await;
        let (order_id, place, key) = buy(account_id, &symbol, "10", "10", &symbol);
        test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
        for fill in 0..2 {
            let fill = Command::Fill {
                order_id,
                execution: execution("4", "9.99", fill),
                marks: Marks::new(),
                at: noon(),
            };
            test.submit(OPERATOR_TENANT, fill, None).await.unwrap();
        }
        if n == 0 {
            let split = Split {
                numerator: "3".parse().unwrap(),
                denominator: "1".parse().unwrap(),
                last_close: None,
                at: noon(),
            };
            let (action_id, orders) = ("split".to_owned(), vec![order_id]);
            let begin = InstrumentCommand::BeginSplit { action_id: action_id.clone(), split };
            let follow = Command::FollowSplit {
                account_id,
                instrument_id,
                orders,
                contracts: Vec::new(),
                at: noon(),
            };
            let complete = InstrumentCommand::CompleteSplit { action_id, at: noon() };
            for command in [
                Command::Instrument { instrument_id, command: begin },
                follow,
                Command::Instrument { instrument_id, command: complete },
            ] {
                test.submit(OPERATOR_TENANT, command, None).await.unwrap();
            }
        }
        if n % 2 == 0 {
            let reason = CancelReason::Requested;
            let cancel = Command::Cancel { account_id, order_id, reason, at: noon() };
            test.submit(OPERATOR_TENANT, cancel, None).await.unwrap();
        }
    }
    account_id
}

async fn reads_the_same<A: Decide>(database: &TestDatabase, log: &[Recorded], stream: StreamId) {
    let repository = PostgresEventRepository::new(database.writer.pool().clone());
    let unmodified = PersistedEventStore::<_, A>::new_event_store(repository);
    let theirs = unmodified.load_aggregate(&stream.aggregate_id()).await.unwrap();
    let mut ours = A::default();
    for row in log.iter().filter(|row| row.stream == stream) {
        ours.evolve(&serde_json::from_str(&row.payload).unwrap()).unwrap();
    }
    assert_eq!(theirs.aggregate, ours, "{stream}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmodified_postgres_es_store_loads_every_stream_with_equal_state() {
    let database = TestDatabase::new().await;
    let test = TestLedger::start(&database, "one").await;
    busy(&test, 4).await;
    let (user_id, fact_id) = (UserId::new(Uuid::now_v7()), FactId::new(Uuid::now_v7()));
    let fact = UserEvent::UserRegistered { fact_id, at: noon(), user_id, by: Door::Open };
    let command = UserCommand::Record(fact);
    test.submit(OPERATOR_TENANT, Command::User { user_id, command }, None).await.unwrap();
    let log = log_of(&database).await;
    let mut types = std::collections::BTreeSet::new();
    let streams: std::collections::BTreeSet<StreamId> = log.iter().map(|row| row.stream).collect();
    for stream in streams {
        types.insert(stream.aggregate_type());
        match stream {
            StreamId::Account(_) => reads_the_same::<Account>(&database, &log, stream).await,
            StreamId::Order(_) => reads_the_same::<Order>(&database, &log, stream).await,
            StreamId::Position(..) => reads_the_same::<Position>(&database, &log, stream).await,
            StreamId::Instrument(_) => reads_the_same::<Instrument>(&database, &log, stream).await,
            StreamId::User(_) => reads_the_same::<User>(&database, &log, stream).await,
            StreamId::Writer(_) => reads_the_same::<Writer>(&database, &log, stream).await,
        }
    }
    assert_eq!(types.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_many_positions_is_loaded_whole_by_the_next_writer() {
    let database = TestDatabase::new().await;
    let first = TestLedger::start(&database, "one").await;
    let account = busy(&first, 30).await;
    first.account("1").await;
    drop(first);
    let loader = PostgresLoader::new(database.writer.clone());
    let loaded = loader.load(LoadUnit::Account(account)).await.unwrap();
    assert_eq!(loaded.streams.len(), 31);
    let rows = log_of(&database).await;
    let of_account = |row: &&Recorded| LoadUnit::of(row.stream) == LoadUnit::Account(account);
    let events: usize = loaded.streams.iter().map(|stream| stream.events.len()).sum();
    assert_eq!(events, rows.iter().filter(of_account).count());

    let second = TestLedger::start(&database, "two").await;
    let (order_id, mut place, key) = buy(account, "S29", "8", "11", "sell");
    if let Command::Place { spec, .. } = &mut place {
        spec.side = aggregates::order::Side::Sell;
    }
    let sold = second.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
    assert_eq!(sold.rejected, None, "all 8 shares are known");
    let fill = Command::Fill {
        order_id,
        execution: execution("8", "12", 0),
        marks: Marks::new(),
        at: noon(),
    };
    second.submit(OPERATOR_TENANT, fill, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_panics_is_answered_and_the_ledger_lives() {
    let database = TestDatabase::new().await;
    let test = TestLedger::start(&database, "one").await;
    test.stock("AAPL").await;
    let account = test.account("1000").await;
    let (order_id, place, key) = buy(account, "AAPL", "1", "100", "mine");
    test.submit(OPERATOR_TENANT, place, Some(key)).await.unwrap();
    // The number of the next fill does not fit: an overflow that no engine can come to, checked in this build.
    let fill = Command::Fill {
        order_id,
        execution: execution("1", "99", u32::MAX),
        marks: Marks::new(),
        at: noon(),
    };
    let told = test.submit(OPERATOR_TENANT, fill, None).await.unwrap_err();
    assert_eq!(told, LedgerError::Defect);
    let fill = Command::Fill {
        order_id,
        execution: execution("1", "99", 0),
        marks: Marks::new(),
        at: noon(),
    };
    test.submit(OPERATOR_TENANT, fill, None).await.unwrap();
}
