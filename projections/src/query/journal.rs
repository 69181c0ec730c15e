//! The journal, entry by entry.

use std::collections::BTreeMap;

use aggregates::id::AccountId;
use sqlx::PgConnection;

use super::{PAGE_MAX, fetch, select};
use crate::error::ProjectionError;
use crate::group::Group;
use crate::journal::{EntryRow, PostingRow};

/// An entry with its postings.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    /// The entry.
    pub entry: EntryRow,
    /// What it moves; the sum is zero in each unit.
    pub postings: Vec<PostingRow>,
}

/// A page of an account's journal, newest first: up to `limit` entries before position `before`.
///
/// # Errors
/// The database failed.
pub async fn journal(
    connection: &mut PgConnection,
    account_id: AccountId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<JournalEntry>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND position < $2 ORDER BY position DESC LIMIT $3",
        select::<EntryRow>(Group::Books)
    );
    let statement = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(before.map_or(i64::MAX, u64::cast_signed))
        .bind(i64::from(limit.min(PAGE_MAX)));
    let entries: Vec<EntryRow> = fetch(connection, statement).await?;
    let places: Vec<i64> = entries.iter().map(|entry| entry.position.cast_signed()).collect();
    let statement = format!(
        "{} AND position = ANY ($1) ORDER BY position, line",
        select::<PostingRow>(Group::Books)
    );
    let postings: Vec<PostingRow> = fetch(connection, sqlx::query(&statement).bind(places)).await?;
    let mut by_entry: BTreeMap<u64, Vec<PostingRow>> = BTreeMap::new();
    for posting in postings {
        by_entry.entry(posting.position).or_default().push(posting);
    }
    Ok(entries
        .into_iter()
        .map(|entry| {
            let postings = by_entry.remove(&entry.position).unwrap_or_default();
            JournalEntry { entry, postings }
        })
        .collect())
}
