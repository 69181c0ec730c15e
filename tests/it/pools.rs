//! What callers that go away leave behind on the connections that others get.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use aggregates::id::OPERATOR_TENANT;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use crate::support::TestDatabase;

/// How long a connection may take to be tidied up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until no transaction is open that nobody works in. The next one on its connection would end it: so it has to be
/// looked for before.
async fn none_is_open(superuser: &mut PgConnection) {
    let count = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let began = Instant::now();
    loop {
        let open: i64 = sqlx::query_scalar(count).fetch_one(&mut *superuser).await.unwrap();
        if open == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{open} transactions are open, and nobody has them");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Goes away after so many looks at whether it has begun; false if it had.
async fn goes_away<T>(begin: impl Future<Output = T>, looks: usize) -> bool {
    let mut begin = pin!(begin);
    for _ in 0..looks {
        let look = poll_fn(|context| Poll::Ready(begin.as_mut().poll(context).is_ready()));
        if look.await {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

#[tokio::test]
async fn a_transaction_whose_caller_goes_away_while_it_begins_is_not_left_open() {
    let database = TestDatabase::new().await;
    let mut superuser = database.superuser().await;
    drop(database.reader.begin(OPERATOR_TENANT, None).await.unwrap());
    drop(database.identity.begin().await.unwrap());
    none_is_open(&mut superuser).await;
    let mut gone = 0;
    for looks in (1..=5).cycle().take(50) {
        let read = goes_away(database.reader.begin(OPERATOR_TENANT, None), looks).await;
        let change = goes_away(database.identity.begin(), looks).await;
        gone += u32::from(read) + u32::from(change);
        // What was on its way to the server has come there.
        sleep(Duration::from_millis(2)).await;
        none_is_open(&mut superuser).await;
    }
    assert!(gone > 20, "{gone} callers went away: too few to tell anything");
}
