//! What orders cost the database: what is looked up by a key is found by it, however empty the table was when a session
//! planned how.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::TestDatabase;
use crate::support::rest::TestRest;

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
