//! What the read functions of the views answer, against plain filters over the fold in memory.

use std::time::Duration;

use aggregates::id::OPERATOR_TENANT;
use aggregates::order::{OrderClass, Side};
use projections::orders::OrderRow;
use projections::query::{self, ActivitiesWanted, OrdersWanted};
use projections::{Group, Runner};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::history::{History, SYMBOLS, account_id, tenant_of};
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
        proptest::option::of(proptest::bool::ANY),
        proptest::option::of(proptest::sample::select(SYMBOLS.to_vec())),
        proptest::option::of(proptest::sample::select(vec![Side::Buy, Side::Sell])),
        proptest::option::of(proptest::sample::select(vec![OrderClass::Simple, OrderClass::Oco])),
        (a_time.clone(), a_time),
        (0..3u8, 1..40usize),
    );
    let mut runner = TestRunner::deterministic();
    let mut found = 0;
    for _ in 0..64 {
        let (open, symbol, side, class, (after, until), (account, rows)) =
            filters.new_tree(&mut runner).unwrap().current();
        let account = account_id(account);
        let mut filter = OrdersWanted {
            open,
            kind: None,
            symbol: symbol.map(str::to_owned),
            side,
            class,
            after,
            until,
            before: None,
            rows,
        };
        let mut read = database.reader.begin(tenant_of(account), None).await.unwrap();
        let expected: Vec<OrderRow> = all
            .iter()
            .filter(|order| order.account_id == account)
            .filter(|order| open.is_none_or(|open| open != order.status.is_terminal()))
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
            assert!(page.len() <= rows);
            filter.before = Some(last.created_position);
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
    let own = account_id(0);
    // One in which the account has filled something and still holds something.
    let tells = |history: &History| {
        let memory = in_memory(&history.log);
        memory.orders.iter().any(|order| order.account_id == own && order.fills > 0)
            && memory.lots.iter().any(|lot| lot.account_id == own)
    };
    let history = (300..1_200).step_by(50).map(a_history).find(tells).unwrap();
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
    let other = account_id(2);
    let mut read = database.reader.begin(OPERATOR_TENANT, None).await.unwrap();
    let account = query::account(&mut read, own).await.unwrap().unwrap();
    assert_eq!(Some(&account), memory.accounts.get(&(own,)));
    assert_eq!(query::account(&mut read, other).await.unwrap(), None);
    assert_eq!(query::accounts(&mut read, 0, 100).await.unwrap().len(), 2);
    let order = memory.orders.iter().find(|order| order.account_id == own && order.fills > 0);
    let order = order.unwrap();
    let found = query::order(&mut read, own, order.order_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(order));
    let found = query::order_by_client_id(&mut read, own, &order.client_order_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(order));
    let held = query::positions(&mut read, own, None, 100).await.unwrap();
    let ids: Vec<_> = held.iter().map(|row| row.instrument_id).collect();
    let lots = query::lots(&mut read, own, &ids, usize::MAX).await.unwrap();
    let first = query::lots(&mut read, own, &ids, 1).await.unwrap();
    assert_eq!(lots.len(), first.len());
    for (all, one) in lots.values().zip(first.values()) {
        assert_eq!((all.total, one.total), (all.first.len() as u64, all.total));
        assert_eq!(one.first, all.first[..1]);
        assert!(all.first.is_sorted_by_key(|lot| lot.opened_position));
    }
    for row in &held {
        assert_eq!(memory.positions.get(&(own, row.instrument_id)), Some(row));
    }
    assert!(
        !lots.is_empty()
            && lots.values().flat_map(|lots| &lots.first).all(|lot| lot.account_id == own)
    );
    let entries = query::journal(&mut read, own, None, 1_000).await.unwrap();
    assert!(!entries.is_empty() && entries.iter().all(|entry| entry.postings.len() >= 2));
    let five = ActivitiesWanted { rows: 5, ..ActivitiesWanted::default() };
    assert_eq!(query::activities(&mut read, own, &five).await.unwrap().len(), 5);
    let found = query::instruments(&mut read, None, Some("aap"), None, 10).await.unwrap();
    // The stock and the options on it, and nothing else.
    assert!(found.len() > 1 && found.iter().all(|row| row.symbol.starts_with("AAPL")));
    running.abort();
}
