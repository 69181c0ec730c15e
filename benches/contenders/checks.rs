//! After every run: nothing acknowledged is missing, nothing is there twice, and the money adds up.

use anyhow::ensure;
use sqlx::{PgPool, Row};

const LOG: &str = "SELECT count(*) AS rows, coalesce(max(position), 0) AS last,
    (SELECT count(*) FROM (SELECT 1 FROM events GROUP BY aggregate_type, aggregate_id
        HAVING count(*) <> max(sequence)) AS sparse) AS sparse_streams,
    count(*) FILTER (WHERE event_type = 'OrderPlaced') AS placed,
    count(*) FILTER (WHERE event_type = 'OrderFilled') AS filled
    FROM events";

/// Every account's last balance is its deposits and fills, summed by the database from the payloads.
const MONEY: &str = "WITH moved AS (
        SELECT aggregate_id, sequence, event_type,
            (payload -> event_type ->> 'amount')::numeric AS amount, (payload -> event_type ->> 'cash')::numeric AS cash
        FROM events WHERE aggregate_type = 'account' AND event_type IN ('CashDeposited', 'FillSettled')
    ), accounts AS (
        SELECT aggregate_id, sum(amount) AS summed, (array_agg(cash ORDER BY sequence DESC))[1] AS stated
        FROM moved GROUP BY aggregate_id
    )
    SELECT count(*) FROM accounts WHERE summed <> stated";

/// What our log must hold after a run with `placed` and `filled` acknowledged.
pub async fn log(pool: &PgPool, placed: usize, filled: usize) -> anyhow::Result<()> {
    let row = sqlx::query(LOG).fetch_one(pool).await?;
    let number = |column: &str| row.try_get::<i64, _>(column);
    ensure!(number("rows")? == number("last")?, "positions are not gapless");
    ensure!(number("sparse_streams")? == 0, "sequences are not dense");
    ensure!(
        number("placed")? == i64::try_from(placed)?,
        "{placed} orders acknowledged, {} placed",
        number("placed")?
    );
    ensure!(
        number("filled")? == i64::try_from(filled)?,
        "{filled} fills acknowledged, {} filled",
        number("filled")?
    );
    let wrong: i64 = sqlx::query_scalar(MONEY).fetch_one(pool).await?;
    ensure!(wrong == 0, "{wrong} accounts whose money does not add up");
    Ok(())
}

/// The rows of a plain table after a run.
pub async fn rows(pool: &PgPool, table: &str, expected: usize) -> anyhow::Result<()> {
    let statement = format!("SELECT count(*) FROM {table}");
    let rows: i64 = sqlx::query_scalar(&statement).fetch_one(pool).await?;
    ensure!(rows == i64::try_from(expected)?, "{expected} rows acknowledged, {rows} in {table}");
    Ok(())
}
