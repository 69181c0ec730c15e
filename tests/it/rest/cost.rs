//! What orders cost the database: what is looked up by a key is found by it, however empty the table was when a session
//! planned how.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::TestDatabase;
use crate::support::rest::{OPEN, TestRest, instrument, quote};

/// Orders that are placed and ended.
const ORDERS: usize = 150;
/// Rows that one look at an index may come to, on the average: more than a key has, far fewer than there are.
const ROWS_MAX: f64 = 10.0;

/// Looks at indexes of a table, and the rows that they came to.
async fn looks(superuser: &mut PgConnection, table: &str) -> (i64, i64) {
    sqlx::query_as("SELECT idx_scan, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = $1")
        .bind(table)
        .fetch_one(superuser)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_order_costs_no_more_beside_those_that_came_before() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("100000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    for n in 0..ORDERS {
        let fills = n % 2 == 0;
        let order = if fills {
            json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"})
        } else {
            json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "1"})
        };
        let order = rest.post(&orders, order).await.expect(201);
        let order = format!("{orders}/{}", order["order_id"].as_str().unwrap());
        rest.get(&order).await.expect(200);
        if !fills {
            rest.delete(&order).await.expect(200);
        }
    }
    // Sessions tell what they have done at most a second late.
    tokio::time::sleep(Duration::from_secs(2)).await;
    rest.get(&orders).await.expect(200);
    let mut superuser = database.superuser().await;
    for table in ["orders", "accounts", "positions"] {
        let (looks, rows) = looks(&mut superuser, table).await;
        assert!(looks > 50, "{table}: {looks} looks tell nothing");
        let each = rows as f64 / looks as f64;
        assert!(each < ROWS_MAX, "{table}: {each:.1} rows a look, {rows} rows in {looks} looks");
    }
    superuser.close().await.unwrap();
}

#[tokio::test]
async fn a_portfolio_its_history_and_its_risk_cost_no_more_beside_what_their_account_has_traded() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("100000").await;
    for _ in 0..ORDERS {
        let order = json!({"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1"});
        rest.post(&format!("/v1/accounts/{account}/orders"), order).await.expect(201);
    }
    let mut superuser = database.superuser().await;
    for path in ["portfolio", "portfolio/history?period=all", "portfolio/history", "risk"] {
        let path = format!("/v1/accounts/{account}/{path}");
        rest.get(&path).await.expect(200);
        let mut rows = async || {
            // Sessions tell what they have done at most a second late, when they do something.
            tokio::time::sleep(Duration::from_secs(2)).await;
            for _ in 0..5 {
                rest.get(&path).await.expect(200);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let sums: (i64, i64) = sqlx::query_as(
                "SELECT sum(idx_tup_fetch + seq_tup_read)::bigint, sum(idx_scan + seq_scan)::bigint
                FROM pg_stat_user_tables
                WHERE relname IN ('journal_entries', 'journal_postings', 'fills', 'lots', 'movements')",
            )
            .fetch_one(&mut superuser)
            .await
            .unwrap();
            sums
        };
        let before = rows().await;
        const READS: i64 = 50;
        for _ in 0..READS {
            rest.get(&path).await.expect(200);
        }
        let after = rows().await;
        assert!(after.1 - before.1 >= READS, "{before:?} {after:?}: looks that tell nothing");
        let each = (after.0 - before.0) as f64 / READS as f64;
        assert!(each < ROWS_MAX, "{path}: {each:.1} rows of what was traded each time");
    }
    superuser.close().await.unwrap();
}

/// Symbols that one account holds beside another's one.
const HELD: usize = 12;

#[tokio::test]
async fn the_risk_of_many_holdings_looks_at_the_tape_as_often_as_that_of_one() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let symbols: Vec<String> = (0..HELD).map(|n| format!("S{n}")).collect();
    let quotes = symbols.iter().map(|symbol| quote(symbol, "100", "101", OPEN));
    let lines: Vec<_> = symbols.iter().map(|symbol| instrument(symbol)).chain(quotes).collect();
    rest.feed(&lines).await.expect(200);
    let mut paths = Vec::new();
    for held in [1, HELD] {
        let account = rest.account("100000").await;
        for symbol in &symbols[..held] {
            let order = json!({"symbol": symbol, "side": "buy", "type": "market", "qty": "1"});
            rest.post(&format!("/v1/accounts/{account}/orders"), order).await.expect(201);
        }
        paths.push(format!("/v1/accounts/{account}/risk"));
    }
    let mut superuser = database.superuser().await;
    const READS: usize = 10;
    let mut looks = Vec::new();
    for path in &paths {
        rest.get(path).await.expect(200);
        let mut each = Vec::new();
        for reads in [0, READS] {
            for _ in 0..reads {
                rest.get(path).await.expect(200);
            }
            // Sessions tell what they have done at most a second late, when they do something.
            tokio::time::sleep(Duration::from_secs(2)).await;
            rest.get(path).await.expect(200);
            tokio::time::sleep(Duration::from_millis(200)).await;
            let told: i64 = sqlx::query_scalar(
                "SELECT coalesce(seq_scan + idx_scan, seq_scan) FROM pg_stat_user_tables WHERE relname = 'tape'",
            )
            .fetch_one(&mut superuser)
            .await
            .unwrap();
            each.push(told);
        }
        looks.push(each[1] - each[0]);
    }
    assert!(looks[0] >= READS as i64, "{looks:?}: looks that tell nothing");
    assert!(looks[1] < 3 * looks[0], "{looks:?}: looks for each holding");
    superuser.close().await.unwrap();
}
