//! What a starting process asks before it writes: does the database still hold what was signed here?

use super::checkpoint::{Checkpoint, origin};
use super::custody::{Rollback, RollbackCheck};
use super::error::AuditError;
use super::source;
use crate::database::AuditorPool;
use crate::ledger::proof::Frontier;

/// Leaves of one round trip.
const LEAVES: i64 = 100_000;

/// The origin of the log of a shard and its tree as the head row keeps it; `None` while the log is empty. What a
/// [`super::Checkpointer`] signs. One round trip.
///
/// # Errors
/// The database cannot be read, or the head row holds no frontier.
pub async fn signable(
    auditor: &AuditorPool,
    shard: u16,
) -> Result<Option<(String, Frontier)>, AuditError> {
    let mut snapshot = auditor.begin().await?;
    let (_, tree) = source::head(&mut snapshot, shard).await?;
    let first = source::leaves(&mut snapshot, shard, 0, 1).await?;
    Ok(first.first().map(|leaf| (origin(leaf), tree)))
}

/// Whether the log of a shard contains what `signed` states. Where it ends where it was signed, the head row tells;
/// else every leaf is read (about a second for a million).
///
/// # Errors
/// The database cannot be read, or the head row holds no frontier.
pub async fn check_rollback(
    auditor: &AuditorPool,
    shard: u16,
    signed: &Checkpoint,
) -> Result<Result<(), Rollback>, AuditError> {
    let mut snapshot = auditor.begin().await?;
    let (_, tree) = source::head(&mut snapshot, shard).await?;
    if let Some(verdict) = RollbackCheck::at_head(signed, &tree) {
        return Ok(verdict);
    }
    let mut check = RollbackCheck::new(signed);
    let mut after = 0;
    loop {
        let leaves = source::leaves(&mut snapshot, shard, after, LEAVES).await?;
        if leaves.is_empty() {
            return Ok(check.finish(&tree));
        }
        after += leaves.len() as u64;
        leaves.into_iter().for_each(|leaf| check.push(leaf));
    }
}
