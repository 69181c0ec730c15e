//! What callers that go away leave behind on the connections that others get.

use std::time::Duration;

use aggregates::id::OPERATOR_TENANT;
use tokio::time::{Instant, sleep, timeout};

use crate::support::TestDatabase;

/// How long connections may take to be tidied up.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_transaction_whose_caller_goes_away_while_it_begins_is_not_left_open() {
    let database = TestDatabase::new().await;
    let mut given_up = 0;
    for micros in 0..400 {
        let begun = database.reader.begin(OPERATOR_TENANT, None);
        given_up += u32::from(timeout(Duration::from_micros(micros), begun).await.is_err());
        let begun = database.identity.begin();
        given_up += u32::from(timeout(Duration::from_micros(micros), begun).await.is_err());
    }
    assert!(given_up > 20, "{given_up} callers went away: too few to tell anything");
    let mut superuser = database.superuser().await;
    let count = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let began = Instant::now();
    loop {
        let open: i64 = sqlx::query_scalar(count).fetch_one(&mut superuser).await.unwrap();
        if open == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{open} transactions are open, and nobody has them");
        sleep(Duration::from_millis(20)).await;
    }
}
