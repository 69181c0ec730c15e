//! The journal and the activities of an account.

use std::collections::BTreeMap;

use aggregates::id::AccountId;
use aggregates::market::MarketTime;
use sqlx::PgConnection;

use super::{limit, read_all, select};
use crate::activities::{ActivityRow, ActivityType};
use crate::error::ProjectionError;
use crate::journal::{Entry, EntryRow, PostingRow};

/// Entries of an account's journal before a position of the log, newest first, with their postings.
///
/// # Errors
/// The database failed.
pub async fn journal(
    connection: &mut PgConnection,
    account_id: AccountId,
    before: Option<u64>,
    rows: usize,
) -> Result<Vec<Entry>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND ($2::bigint IS NULL OR position < $2) ORDER BY position DESC LIMIT $3",
        select::<EntryRow>("books")
    );
    let found = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(before.map(u64::cast_signed))
        .bind(limit(rows))
        .fetch_all(&mut *connection)
        .await?;
    let entries: Vec<EntryRow> = read_all(&found)?;
    let places: Vec<i64> = entries.iter().map(|entry| entry.position.cast_signed()).collect();
    let statement =
        format!("{} AND position = ANY($1) ORDER BY position, line", select::<PostingRow>("books"));
    let found = sqlx::query(&statement).bind(places).fetch_all(connection).await?;
    let mut postings: BTreeMap<u64, Vec<PostingRow>> = BTreeMap::new();
    for row in read_all::<PostingRow>(&found)? {
        postings.entry(row.position).or_default().push(row);
    }
    let entries = entries.into_iter().map(|entry| {
        let postings = postings.remove(&entry.position).unwrap_or_default();
        Entry { entry, postings }
    });
    Ok(entries.collect())
}

/// Which activities of an account, newest first. What is absent does not narrow.
#[derive(Clone, Debug, Default)]
pub struct ActivitiesWanted {
    /// Of these kinds; of all for none.
    pub kinds: Vec<ActivityType>,
    /// Later than this, by the market clock.
    pub after: Option<MarketTime>,
    /// No later than this.
    pub until: Option<MarketTime>,
    /// After the activity of this position of the log and this leg: where the page before ended.
    pub before: Option<(u64, u8)>,
    /// At most so many.
    pub rows: usize,
}

/// Activities of an account, newest first; those of one fill by their legs.
///
/// # Errors
/// The database failed.
pub async fn activities(
    connection: &mut PgConnection,
    account_id: AccountId,
    wanted: &ActivitiesWanted,
) -> Result<Vec<ActivityRow>, ProjectionError> {
    let words: Vec<&str> = wanted.kinds.iter().map(|kind| kind.word()).collect();
    let statement = format!(
        "{} AND account_id = $1 AND (cardinality($2::text[]) = 0 OR activity_type = ANY($2)) \
         AND ($3::bigint IS NULL OR position < $3 OR position = $3 AND leg > $4) \
         AND ($5::timestamptz IS NULL OR at > $5) AND ($6::timestamptz IS NULL OR at <= $6) \
         ORDER BY position DESC, leg LIMIT $7",
        select::<ActivityRow>("trading")
    );
    let rows = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(words)
        .bind(wanted.before.map(|(position, _)| position.cast_signed()))
        .bind(wanted.before.map(|(_, leg)| i16::from(leg)))
        .bind(wanted.after)
        .bind(wanted.until)
        .bind(limit(wanted.rows))
        .fetch_all(connection)
        .await?;
    read_all(&rows)
}
