//! Projections on a real database: run twice, raced, stopped by a bad event, rebuilt while the log grows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregates::id::{AccountId, InstrumentId, OPERATOR_TENANT, OrderId};
use aggregates::stream::StreamId;
use aggregates::trading::World;
use blotter::ledger::log::{LoadUnit, Loader};
use blotter::ledger::postgres::PostgresLoader;
use blotter::ledger::world::Memory;
use projections::checkpoint::{self, Status};
use projections::log::Recorded;
use projections::orders::OrderRow;
use projections::positions::{LotRow, PositionRow};
use projections::row::Row as _;
use projections::trading::Trading;
use projections::{Group, Runner, Step, rebuild};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, Row};

use crate::history::{History, Move, moves};
use crate::support::TestDatabase;
use crate::support::proxy::Proxy;

/// A history of `count` moves, the same in every run.
pub fn a_history(count: usize) -> History {
    History::of(&some_moves(count))
}

pub fn some_moves(count: usize) -> Vec<Move> {
    moves(count).new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// Appends rows to the log as the writer.
pub async fn append(pool: &PgPool, rows: &[Recorded]) {
    const APPEND: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version,
            payload, metadata, shard, position, tenant_id, account_id, recorded_at, salt, leaf)
        SELECT t, i, s, e, v, p::json, '{}', 0, n, tenant, account, at, decode(repeat('07', 16), 'hex'),
            decode(repeat('09', 32), 'hex')
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[],
            $8::uuid[], $9::uuid[], $10::timestamptz[]) AS row (t, i, s, e, v, p, n, tenant, account, at)";
    fn all<T>(rows: &[Recorded], of: impl Fn(&Recorded) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    sqlx::query(APPEND)
        .bind(all(rows, |row| row.stream.aggregate_type()))
        .bind(all(rows, |row| row.stream.aggregate_id()))
        .bind(all(rows, |row| row.sequence.cast_signed()))
        .bind(all(rows, |row| row.event_type.clone()))
        .bind(all(rows, |row| row.event_version.clone()))
        .bind(all(rows, |row| row.payload.clone()))
        .bind(all(rows, |row| row.position.cast_signed()))
        .bind(all(rows, |row| row.tenant_id.uuid()))
        .bind(all(rows, |row| row.account_id.map(|id| id.uuid())))
        .bind(all(rows, |row| row.recorded_at))
        .execute(pool)
        .await
        .unwrap();
}

/// Steps a generation until there is nothing left to fold.
pub async fn catch_up(connection: &mut PgConnection, group: Group, generation: i32) -> u64 {
    loop {
        match group.step(connection, generation).await.unwrap() {
            Step::Advanced { .. } => {}
            Step::Idle { position } => return position,
            other => panic!("{other:?}"),
        }
    }
}

async fn stored<R: projections::row::Row>(
    connection: &mut PgConnection,
    generation: i32,
) -> Vec<R> {
    let statement =
        format!("SELECT * FROM {} WHERE generation = $1 ORDER BY {}", R::TABLE, R::KEY.join(", "));
    let rows = sqlx::query(&statement).bind(generation).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| R::read(row).unwrap()).collect()
}

/// Every row of a group's tables as text, generation apart: what two fillings must agree on.
pub async fn image(connection: &mut PgConnection, group: Group, generation: i32) -> Vec<String> {
    let mut image = Vec::new();
    for table in group.tables() {
        let statement = format!(
            "SELECT (to_jsonb(t) - 'generation')::text FROM {table} t WHERE generation = $1 ORDER BY 1"
        );
        let rows: Vec<String> = sqlx::query_scalar(&statement)
            .bind(generation)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        image.push(table.to_string());
        image.extend(rows);
    }
    image
}

pub fn in_memory(log: &[Recorded]) -> Trading {
    let mut rows = Trading::default();
    for recorded in log {
        rows.fold(recorded, recorded.event().unwrap()).unwrap();
    }
    rows
}

#[tokio::test]
async fn stored_rows_are_the_fold_of_the_log() {
    let database = TestDatabase::new().await;
    let history = a_history(600);
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    for group in Group::ALL {
        assert_eq!(catch_up(&mut connection, group, 1).await, history.log.len() as u64);
    }
    let memory = in_memory(&history.log);
    let rows: Vec<OrderRow> = stored(&mut connection, 1).await;
    assert!(rows.iter().eq(memory.orders.iter()));
    let rows: Vec<PositionRow> = stored(&mut connection, 1).await;
    assert!(rows.iter().eq(memory.positions.iter()));
    let rows: Vec<LotRow> = stored(&mut connection, 1).await;
    assert!(rows.iter().eq(memory.lots.iter()));
    assert!(memory.orders.iter().count() > 50);
}

#[tokio::test]
async fn where_batches_end_makes_no_difference() {
    let database = TestDatabase::new().await;
    let history = a_history(300);
    let mut connection = database.projector.pool().acquire().await.unwrap();
    for rows in history.log.chunks(7) {
        append(database.writer.pool(), rows).await;
        for group in Group::ALL {
            catch_up(&mut connection, group, 1).await;
        }
    }
    for group in Group::ALL {
        let generation = rebuild::begin(&mut connection, group).await.unwrap();
        catch_up(&mut connection, group, generation).await;
        let (pieces, whole) = (
            image(&mut connection, group, 1).await,
            image(&mut connection, group, generation).await,
        );
        if group == Group::Snapshots {
            // When accounts and positions are kept depends on the batches; what lives does not.
            let live = |rows: Vec<String>| {
                rows.into_iter().filter(|row| row.contains(r#""live": true"#)).collect::<Vec<_>>()
            };
            assert_eq!(live(pieces), live(whole));
        } else {
            assert_eq!(pieces, whole, "{}", group.name());
        }
    }
}

#[tokio::test]
async fn two_steppers_at_once_fold_every_event_once() {
    let database = TestDatabase::new().await;
    let history = a_history(500);
    append(database.writer.pool(), &history.log).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        for group in Group::ALL {
            let pool = database.projector.pool().clone();
            tasks.spawn(async move {
                let mut connection = pool.acquire().await.unwrap();
                catch_up(&mut connection, group, 1).await
            });
        }
    }
    while let Some(position) = tasks.join_next().await {
        assert_eq!(position.unwrap(), history.log.len() as u64);
    }
    let mut connection = database.projector.pool().acquire().await.unwrap();
    let memory = in_memory(&history.log);
    let rows: Vec<OrderRow> = stored(&mut connection, 1).await;
    assert!(rows.iter().eq(memory.orders.iter()));
}

#[tokio::test]
async fn what_a_follower_keeps_from_step_to_step_is_what_is_stored_whoever_else_steps() {
    let database = TestDatabase::new().await;
    let history = a_history(400);
    let (head, receiver) = tokio::sync::watch::channel(0);
    let (runner, views) = Runner::new(database.projector.pool().clone(), receiver);
    let following = tokio::spawn(runner.run());
    let mut connection = database.projector.pool().acquire().await.unwrap();
    for (n, rows) in history.log.chunks(7).enumerate() {
        append(database.writer.pool(), rows).await;
        let position = rows.last().unwrap().position;
        if n % 3 == 0 {
            // Before the follower, which nobody has woken.
            assert_eq!(catch_up(&mut connection, Group::Trading, 1).await, position);
        } else {
            head.send_replace(position);
            assert!(views.wait(Group::Trading, position, Duration::from_secs(30)).await, "{n}");
        }
    }
    following.abort();
    let generation = rebuild::begin(&mut connection, Group::Trading).await.unwrap();
    catch_up(&mut connection, Group::Trading, generation).await;
    let (followed, whole) = (
        image(&mut connection, Group::Trading, 1).await,
        image(&mut connection, Group::Trading, generation).await,
    );
    assert_eq!(followed, whole);
}

#[tokio::test]
async fn an_event_that_cannot_be_folded_stops_its_group_exactly_before_it() {
    let database = TestDatabase::new().await;
    let mut history = a_history(200);
    let bad = history.log.iter().rposition(|row| row.event_type == "OrderFilled").unwrap();
    history.log[bad].event_version = "9.0".into();
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    let step = Group::Trading.step(&mut connection, 1).await.unwrap();
    assert_eq!(step, Step::Advanced { position: bad as u64, more: true });
    for _ in 0..2 {
        let step = Group::Trading.step(&mut connection, 1).await.unwrap();
        let Step::Stopped { position, error } = step else { panic!("{step:?}") };
        assert_eq!(position, bad as u64);
        assert!(error.contains("9.0"), "{error}");
    }
    let row = checkpoint::active(&mut connection, "trading").await.unwrap();
    assert_eq!((row.status, row.position), (Status::Stopped, bad as u64));
    assert_eq!(catch_up(&mut connection, Group::Books, 1).await, history.log.len() as u64);
    let memory = in_memory(&history.log[..bad]);
    let rows: Vec<OrderRow> = stored(&mut connection, 1).await;
    assert!(rows.iter().eq(memory.orders.iter()));
}

#[tokio::test]
async fn an_impossible_event_stops_a_group_too() {
    let database = TestDatabase::new().await;
    let mut history = a_history(200);
    let bad = history.log.iter().rposition(|row| row.event_type == "OrderFilled").unwrap();
    history.log[bad].sequence += 1_000;
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    Group::Trading.step(&mut connection, 1).await.unwrap();
    let step = Group::Trading.step(&mut connection, 1).await.unwrap();
    assert!(matches!(step, Step::Stopped { position, .. } if position == bad as u64), "{step:?}");
}

/// As by a failover that tells nobody: what is connected never hears anything again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_go_on_by_new_connections_where_the_old_ones_never_answer_again() {
    let database = TestDatabase::new().await;
    let history = a_history(60);
    let proxy = Proxy::new(&database, "moved");
    let pool = proxy.projector();
    let (head, receiver) = tokio::sync::watch::channel(0);
    let (runner, views) = Runner::new(pool.pool().clone(), receiver);
    let following = tokio::spawn(runner.patient(Duration::from_secs(2)).run());
    let (before, after) = history.log.split_at(history.log.len() / 2);
    for (rows, moves_away) in [(before, true), (after, false)] {
        append(database.writer.pool(), rows).await;
        let position = rows.last().unwrap().position;
        head.send_replace(position);
        for group in Group::ALL {
            let arrived = views.wait(group, position, Duration::from_secs(30)).await;
            assert!(arrived, "{group:?}: {:?}", views.progress(group));
        }
        if moves_away {
            proxy.move_away();
        }
    }
    following.abort();
}

#[tokio::test]
async fn a_turn_that_panics_is_taken_again_and_said_meanwhile() {
    let database = TestDatabase::new().await;
    let history = a_history(30);
    append(database.writer.pool(), &history.log).await;
    let poisoned = Arc::new(AtomicBool::new(true));
    let pool = PgPoolOptions::new().after_connect({
        let poisoned = Arc::clone(&poisoned);
        move |_, _| {
            assert!(!poisoned.load(Ordering::SeqCst), "a defect, on purpose");
            Box::pin(async { Ok(()) })
        }
    });
    let options = database.projector.pool().connect_options();
    let pool = pool.connect_lazy_with((*options).clone());
    let position = history.log.last().unwrap().position;
    let (runner, views) = Runner::new(pool, tokio::sync::watch::channel(position).1);
    let following = tokio::spawn(runner.run());
    let arrives = async |group| views.wait(group, position, Duration::from_secs(30)).await;
    for group in Group::ALL {
        while !views.progress(group).defective {
            assert!(!following.is_finished());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    poisoned.store(false, Ordering::SeqCst);
    for group in Group::ALL {
        assert!(arrives(group).await, "{group:?}: {:?}", views.progress(group));
        let progress = views.progress(group);
        assert_eq!((progress.defective, progress.failing), (false, None), "{group:?}");
    }
    following.abort();
}

#[tokio::test]
async fn a_rebuild_while_the_log_grows_ends_equal_and_can_be_killed_anywhere() {
    let database = TestDatabase::new().await;
    let history = a_history(400);
    let (first, rest) = history.log.split_at(history.log.len() * 2 / 3);
    append(database.writer.pool(), first).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    let group = Group::Trading;
    catch_up(&mut connection, group, 1).await;
    let generation = rebuild::begin(&mut connection, group).await.unwrap();
    assert_eq!(generation, 2);
    // A step that is dropped half-way leaves no trace, one that is done leaves all of it.
    {
        let mut other = database.projector.pool().acquire().await.unwrap();
        let step = group.step(&mut other, generation);
        tokio::time::timeout(std::time::Duration::from_millis(3), step).await.ok();
    }
    group.step_up_to(&mut connection, generation, 100).await.unwrap();
    assert!(!rebuild::switch(&mut connection, group, generation).await.unwrap());
    // Begun again it is the same rebuild.
    assert_eq!(rebuild::begin(&mut connection, group).await.unwrap(), generation);
    append(database.writer.pool(), rest).await;
    catch_up(&mut connection, group, 1).await;
    let before = image(&mut connection, group, 1).await;
    rebuild::run(&mut connection, group).await.unwrap();
    let row = checkpoint::active(&mut connection, "trading").await.unwrap();
    assert_eq!((row.generation, row.position), (generation, history.log.len() as u64));
    assert_eq!(image(&mut connection, group, generation).await, before);
    let rows = checkpoint::all(&mut connection).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.name == "trading").count(), 1);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM orders WHERE generation = 1")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_database_itself_refuses_a_journal_entry_that_does_not_balance() {
    let database = TestDatabase::new().await;
    let post = "INSERT INTO journal_postings (generation, position, line, tenant_id, account_id, book, amount)
        VALUES (1, 1, 1, gen_random_uuid(), gen_random_uuid(), 'available', 1.00),
               (1, 1, 2, gen_random_uuid(), gen_random_uuid(), 'external', -0.99)";
    let refused = sqlx::query(post).execute(database.projector.pool()).await;
    assert_eq!(crate::support::sqlstate(refused), "23514");
}

#[tokio::test]
async fn snapshots_hold_every_open_order_and_instrument_and_damaged_ones_are_read_from_the_log() {
    let database = TestDatabase::new().await;
    let mut history = a_history(1_600);
    history.try_move(&Move::Policy { account: 0, reducing: false });
    history.try_move(&Move::Deposit { account: 0, cents: 5_000_000 });
    let open =
        Move::Place { account: 0, instrument: 0, buy: true, qty: 1, cents: Some(200), tif: 1 };
    history.try_move(&open);
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    catch_up(&mut connection, Group::Snapshots, 1).await;
    let open: BTreeMap<OrderId, _> = history
        .orders
        .iter()
        .filter(|(_, order)| order.is_open())
        .map(|(id, order)| (*id, order))
        .collect();
    assert!(!open.is_empty());
    for damage in [
        "UPDATE snapshots SET schema_version = 2",
        "UPDATE snapshots SET state = replace(state, '1', '2')",
        "UPDATE snapshots SET schema_version = 99",
    ] {
        sqlx::query(damage).execute(&mut *connection).await.unwrap();
        // As the Sequencer loads them: the snapshot, if there is a sound one, and the events since.
        let loader = PostgresLoader::new(database.writer.clone());
        let mut memory = Memory::default();
        let accounts = history.accounts.keys().map(|id| StreamId::Account(*id));
        let orders = open.keys().map(|id| StreamId::Order(*id));
        let instruments = history.instruments.keys().map(|id| StreamId::Instrument(*id));
        for stream in accounts.chain(orders).chain(instruments) {
            let unit = LoadUnit::of(stream);
            memory.install(unit, loader.load(unit).await.unwrap().streams).unwrap();
        }
        assert!(open.iter().all(|(id, order)| memory.order(*id) == Some(*order)), "{damage}");
        let found =
            |(id, instrument): (&InstrumentId, _)| memory.instrument(*id) == Some(instrument);
        assert!(history.instruments.iter().all(found), "{damage}");
        let found = |(id, account): (&AccountId, _)| memory.account(*id) == Some(account);
        assert!(history.accounts.iter().all(found), "{damage}");
        let found = |((account, instrument), position): (&(AccountId, InstrumentId), _)| {
            memory.position(*account, *instrument) == Some(position)
        };
        assert!(history.positions.iter().all(found), "{damage}");
    }
    let kept: i64 = sqlx::query("SELECT count(*) FROM snapshots WHERE aggregate_type = 'account'")
        .fetch_one(&mut *connection)
        .await
        .unwrap()
        .get(0);
    assert!(kept > 0);
}

#[tokio::test]
async fn a_reader_sees_the_view_rows_of_its_tenant_alone() {
    let database = TestDatabase::new().await;
    let history = a_history(200);
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    catch_up(&mut connection, Group::Trading, 1).await;
    let mut read = database.reader.begin(OPERATOR_TENANT, None).await.unwrap();
    let rows: Vec<OrderRow> = stored(&mut read, 1).await;
    let own = in_memory(&history.log);
    let own: Vec<_> = own.orders.iter().filter(|row| row.tenant_id == OPERATOR_TENANT).collect();
    assert!(rows.iter().eq(own.iter().copied()));
    assert!(!own.is_empty());
    assert!(rows.iter().all(|row| OrderRow::key(row).0 == row.order_id));
}
