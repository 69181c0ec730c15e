//! What moved between closes, by the hour, against the journal asked entry by entry: on histories in which fills come late,
//! money names no time and accounts begin again.

use std::collections::BTreeMap;

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::market::MarketTime;
use aggregates::stream::StreamId;
use chrono::TimeDelta;
use projections::query::{self, ClosedSession, Moved};
use projections::{Group, Step, rebuild};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::{Executor, PgConnection, Row as _};
use uuid::Uuid;

use crate::history::{History, account_id};
use crate::projections::{append, catch_up, image, some_moves};
use crate::support::TestDatabase;

/// Every entry at the time that it names; the money of a fill with what its order moves next, which is the same fill; what
/// names no time with the entry before it. An entry at `$4` lends its time to what follows it.
const BY_ENTRY: &str = "WITH entries AS (
        SELECT position, coalesce(at, CASE WHEN fill_id IS NOT NULL THEN min(at) OVER (PARTITION BY order_id
                ORDER BY position ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) END,
            max(at) OVER (ORDER BY position), '-infinity') AS moved_at
        FROM journal_entries
        WHERE generation = blotter_generation('books') AND account_id = $1 AND position BETWEEN $4 AND $2),
    postings AS (
        SELECT moved_at, instrument_id, amount, book FROM entries JOIN journal_postings USING (position)
        WHERE generation = blotter_generation('books') AND position > $4
        AND book IN ('available', 'reserved', 'shares', 'shares_reserved', 'external'))
    SELECT (SELECT count(*) FROM unnest($3::timestamptz[]) AS close WHERE close < moved_at) AS after,
        instrument_id,
        coalesce(sum(amount) FILTER (WHERE book <> 'external'), 0) AS held,
        -coalesce(sum(amount) FILTER (WHERE book = 'external'), 0) AS paid_in
    FROM postings GROUP BY 1, 2";

/// Into the account and paid in, by the number of closes before it and the unit.
type Sums = BTreeMap<(usize, Option<InstrumentId>), (Decimal, Decimal)>;

fn sums(moved: impl IntoIterator<Item = Moved>) -> Sums {
    let moved = moved
        .into_iter()
        .map(|it| ((it.after, it.instrument_id), (it.held.normalize(), it.paid_in.normalize())));
    moved.filter(|(_, (held, paid_in))| !held.is_zero() || !paid_in.is_zero()).collect()
}

async fn by_entry(
    connection: &mut PgConnection,
    account: AccountId,
    closes: &[ClosedSession],
    (begun, up_to): (u64, u64),
) -> Sums {
    let rows = sqlx::query(BY_ENTRY)
        .bind(account.uuid())
        .bind(up_to.cast_signed())
        .bind(closes.iter().map(|close| close.at).collect::<Vec<_>>())
        .bind(begun.cast_signed())
        .fetch_all(connection)
        .await
        .unwrap();
    sums(rows.iter().map(|row| Moved {
        after: usize::try_from(row.get::<i64, _>("after")).unwrap(),
        instrument_id: row.get::<Option<Uuid>, _>("instrument_id").map(InstrumentId::new),
        held: row.get("held"),
        paid_in: row.get("paid_in"),
    }))
}

/// The time that an event names, to be changed.
fn time_of(payload: &mut Value) -> Option<&mut Value> {
    payload.as_object_mut()?.values_mut().next()?.get_mut("at")
}

/// A history over days. Of the orders that fill every fifth has its first fill some hours before, as an order for a closing auction
/// has whose close is told late; every third deposit and withdrawal names no time.
fn over_days(count: usize, pace: TimeDelta) -> History {
    let mut history = History::begin();
    history.pace = Some(pace);
    for one in some_moves(count) {
        history.try_move(&one);
    }
    let mut filled: BTreeMap<OrderId, u64> = BTreeMap::new();
    let (mut paid, mut set_back) = (0, None);
    for row in &mut history.log {
        let mut payload: Value = serde_json::from_str(&row.payload).unwrap();
        match (row.event_type.as_str(), row.stream) {
            ("OrderFilled", StreamId::Order(id)) => {
                let fills = filled.entry(id).or_default();
                *fills += 1;
                set_back = (*fills == 1 && id.uuid().as_u128() % 5 == 0)
                    .then(|| TimeDelta::hours((id.uuid().as_u128() % 40) as i64));
            }
            ("CashDeposited" | "CashWithdrawn", _) => {
                paid += 1;
                if paid % 3 == 0 {
                    let body = payload.as_object_mut().unwrap().values_mut().next().unwrap();
                    body.as_object_mut().unwrap().remove("at");
                }
            }
            ("FillSettled" | "FeeCharged" | "ReservationsAdjusted", _)
            | (_, StreamId::Position(..)) => {}
            _ => set_back = None,
        }
        let told = |name: &str| {
            [
                "OrderFilled",
                "PositionOpened",
                "PositionIncreased",
                "PositionReduced",
                "PositionClosed",
            ]
            .contains(&name)
        };
        if let Some(back) = set_back.filter(|_| told(&row.event_type)) {
            let at = time_of(&mut payload).unwrap();
            let then: MarketTime = at.as_str().unwrap().parse().unwrap();
            *at = serde_json::to_value(then - back).unwrap();
        }
        row.payload = payload.to_string();
    }
    history
}

/// Closes at whole hours, of which some are the very instants of events.
fn closes(begin: MarketTime, hours: &[u8]) -> Vec<ClosedSession> {
    let mut at: Vec<MarketTime> =
        hours.iter().map(|hour| begin + TimeDelta::hours(i64::from(*hour))).collect();
    at.sort();
    at.dedup();
    at.into_iter().map(|at| ClosedSession { session: at.date_naive(), at, told: 1 }).collect()
}

#[tokio::test]
async fn what_moved_between_any_closes_is_what_the_journal_says_entry_by_entry() {
    let database = TestDatabase::new().await;
    let history = over_days(900, TimeDelta::minutes(7));
    let reset = |row: &&projections::log::Recorded| row.event_type == "AccountReset";
    assert!(history.log.iter().filter(reset).count() > 2);
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    catch_up(&mut connection, Group::Books, 1).await;
    let mut size = 1;
    while let Step::Advanced { .. } =
        Group::Trading.step_up_to(&mut connection, 1, size).await.unwrap()
    {
        // Many a batch ends in the middle of a fill.
        size = size % 13 + 1;
    }
    let stepped = image(&mut connection, Group::Trading, 1).await;
    let generation = rebuild::begin(&mut connection, Group::Trading).await.unwrap();
    catch_up(&mut connection, Group::Trading, generation).await;
    assert_eq!(stepped, image(&mut connection, Group::Trading, generation).await);

    let begin: MarketTime = "2026-11-22T00:00:00Z".parse().unwrap();
    let some_hours = proptest::collection::vec(0..160u8, 0..8);
    let mut runner = TestRunner::deterministic();
    let up_to = history.log.len() as u64;
    let mut found = 0;
    for round in 0..60 {
        let hours = some_hours.new_tree(&mut runner).unwrap().current();
        let closes = closes(begin, &hours);
        let account = account_id(round % 3);
        let begun = query::last_reset(&mut connection, account, up_to).await.unwrap().unwrap_or(0);
        let expected = by_entry(&mut connection, account, &closes, (begun, up_to)).await;
        let moved = query::moved(&mut connection, account, &closes, None).await.unwrap();
        assert_eq!(sums(moved), expected, "{account}: {closes:?}");
        found += expected.len();
        if let Some(base) = closes.first() {
            let moved = query::moved(&mut connection, account, &closes, Some(base)).await.unwrap();
            let later = expected.into_iter().filter(|((after, _), _)| *after > 0);
            assert_eq!(sums(moved), later.collect(), "{account} since {base:?}");
        }
    }
    assert!(found > 300, "{found}");
}

#[tokio::test]
async fn a_database_from_before_is_filled_as_the_projector_would_wherever_that_stood() {
    let migration = include_str!("../../migrations/0025_movements.sql");
    let (begin, end) = ("INSERT INTO movements", "ALTER TABLE events FORCE");
    let fill = &migration[migration.find(begin).unwrap()..migration.find(end).unwrap()];
    let database = TestDatabase::new().await;
    let history = over_days(600, TimeDelta::minutes(11));
    append(database.writer.pool(), &history.log).await;
    let mut connection = database.projector.pool().acquire().await.unwrap();
    let mut superuser = database.superuser().await;
    let (mut rows, mut settled) = (0, 0);
    loop {
        let step = Group::Trading.step_up_to(&mut connection, 1, 97).await.unwrap();
        let Step::Advanced { position, .. } = step else { break };
        let last = &history.log[usize::try_from(position).unwrap() - 1];
        settled += usize::from(last.event_type == "FillSettled");
        let folded = image(&mut connection, Group::Trading, 1).await;
        superuser.execute("TRUNCATE movements").await.unwrap();
        superuser.execute(fill).await.unwrap();
        assert_eq!(image(&mut connection, Group::Trading, 1).await, folded, "{position}");
        rows += folded.iter().filter(|row| row.contains("\"hour\"")).count();
    }
    assert!(rows > 500 && settled > 0, "{rows} {settled}");
}
