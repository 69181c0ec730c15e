//! What the read functions of the views answer, against plain filters over the fold in memory.

use std::time::Duration;

use aggregates::id::OPERATOR_TENANT;
use aggregates::order::{OrderClass, Side};
use projections::orders::OrderRow;
use projections::query::{self, OrderCursor, OrderFilter, OrderState};
use projections::{Group, Runner};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::history::{SYMBOLS, account_id, tenant_of};
use crate::projections::{a_history, append, catch_up, in_memory};
use crate::support::TestDatabase;

#[tokio::test]
async fn every_filter_of_orders_is_a_plain_filter_and_pages_join_without_gap_or_overlap() {
    let database = TestDatabase::new().await;
    let history = a_history(400);
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    catch_up(&mut connection, Group::Trading, 1).await;
    let memory = in_memory(&history.log);
    let mut all: Vec<&OrderRow> = memory.orders.iter().collect();
    all.sort_by_key(|order| std::cmp::Reverse((order.created_position, order.order_id)));
    let times: Vec<_> = all.iter().map(|order| order.created_at).collect();
    let a_time = proptest::option::of(proptest::sample::select(times));
    let filters = (
        proptest::sample::select(vec![OrderState::Open, OrderState::Closed, OrderState::All]),
        proptest::option::of(proptest::sample::select(SYMBOLS.to_vec())),
        proptest::option::of(proptest::sample::select(vec![Side::Buy, Side::Sell])),
        proptest::option::of(proptest::sample::select(vec![OrderClass::Simple, OrderClass::Oco])),
        (a_time.clone(), a_time),
        (0..3u8, 1..40u32),
    );
    let mut runner = TestRunner::deterministic();
    let mut found = 0;
    for _ in 0..64 {
        let (state, symbol, side, class, (after, until), (account, limit)) =
            filters.new_tree(&mut runner).unwrap().current();
        let account = account_id(account);
        let mut filter = OrderFilter {
            state,
            symbol: symbol.map(str::to_owned),
            side,
            class,
            after,
            until,
            cursor: None,
            limit,
        };
        let mut read = database.reader.begin(tenant_of(account), None).await.unwrap();
        let expected: Vec<OrderRow> = all
            .iter()
            .filter(|order| order.account_id == account)
            .filter(|order| match state {
                OrderState::Open => !order.status.is_terminal(),
                OrderState::Closed => order.status.is_terminal(),
                OrderState::All => true,
            })
            .filter(|order| symbol.is_none_or(|symbol| order.symbol == symbol))
            .filter(|order| side.is_none_or(|side| order.side == side))
            .filter(|order| class.is_none_or(|class| order.order_class == class))
            .filter(|order| after.is_none_or(|after| order.created_at > after))
            .filter(|order| until.is_none_or(|until| order.created_at <= until))
            .map(|order| (*order).clone())
            .collect();
        let mut answered = Vec::new();
        loop {
            let page = query::orders(&mut read, account, &filter).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= usize::try_from(limit).unwrap());
            let (created_position, order_id) = (last.created_position, last.order_id);
            filter.cursor = Some(OrderCursor { created_position, order_id });
            answered.extend(page);
        }
        found += answered.len();
        assert_eq!(answered, expected, "{filter:?}");
    }
    assert!(found > 100);
}

#[tokio::test]
async fn a_read_after_the_wait_sees_the_write_and_another_tenant_sees_nothing() {
    let database = TestDatabase::new().await;
    let history = a_history(300);
    let (head, moved) = tokio::sync::watch::channel(0);
    let (runner, views) = Runner::new(database.projector.pool().clone(), moved);
    let running = tokio::spawn(runner.run());
    append(database.writer.pool(), &history.log).await;
    let position = history.log.len() as u64;
    head.send(position).unwrap();
    for group in Group::ALL {
        assert!(views.wait(group, position, Duration::from_secs(20)).await, "{}", group.name());
    }
    assert!(!views.wait(Group::Trading, position + 1, Duration::from_millis(10)).await);
    let memory = in_memory(&history.log);
    let (own, other) = (account_id(0), account_id(2));
    let mut read = database.reader.begin(OPERATOR_TENANT, None).await.unwrap();
    let checkpoint = query::checkpoint_of(&mut read, Group::Trading).await.unwrap();
    assert_eq!(checkpoint.position, position);
    let account = query::account(&mut read, own).await.unwrap().unwrap();
    assert_eq!(Some(&account), memory.accounts.get(&(own,)));
    assert_eq!(query::account(&mut read, other).await.unwrap(), None);
    assert_eq!(query::accounts(&mut read).await.unwrap().len(), 2);
    let order = memory.orders.iter().find(|order| order.account_id == own && order.fills > 0);
    let order = order.unwrap();
    let found = query::order(&mut read, own, order.order_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(order));
    let found = query::order_by_client_id(&mut read, own, &order.client_order_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(order));
    let fills = query::fills(&mut read, order.order_id).await.unwrap();
    assert_eq!(fills.len(), usize::try_from(order.fills).unwrap());
    let events = query::order_events(&mut read, order.order_id, position).await.unwrap();
    assert_eq!(events.len() as u64, order.sequence);
    let held = query::positions(&mut read, own, true).await.unwrap();
    let lots = query::lots(&mut read, own, None).await.unwrap();
    for row in &held {
        assert_eq!(memory.positions.get(&(own, row.instrument_id)), Some(row));
    }
    assert!(lots.iter().eq(lots.iter().filter(|lot| lot.account_id == own)) && !lots.is_empty());
    let entries = query::journal(&mut read, own, None, 1_000).await.unwrap();
    assert!(!entries.is_empty() && entries.iter().all(|entry| entry.postings.len() >= 2));
    let filter = query::ActivityFilter { limit: 5, ..Default::default() };
    assert_eq!(query::activities(&mut read, own, &filter).await.unwrap().len(), 5);
    assert_eq!(query::instruments(&mut read, "aap").await.unwrap().len(), 1);
    let instrument = query::instrument_by_symbol(&mut read, "IBM").await.unwrap().unwrap();
    assert!(query::closes(&mut read, instrument.instrument_id, 10).await.unwrap().len() <= 10);
    running.abort();
}
