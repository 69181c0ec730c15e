//! The end of the log, as the groups of one process read it: a batch that one of them has read serves the others, which
//! come for it at the same moment.

use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::Mutex;

use crate::log::{LogError, Recorded, read_after};

/// The batch that was read last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<Option<Batch>>>);

#[derive(Debug)]
struct Batch {
    shard: u16,
    after: u64,
    limit: u32,
    rows: Arc<[Recorded]>,
}

impl Tail {
    /// Up to `limit` rows of `shard` after `after`, in order: mostly all there are, though more may have come since they
    /// were read. None only if there were none at this moment.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn read_after(
        &self,
        connection: &mut PgConnection,
        shard: u16,
        after: u64,
        limit: u32,
    ) -> Result<Arc<[Recorded]>, LogError> {
        // Held while the batch is read: who asks for the same one meanwhile gets it.
        let mut last = self.0.lock().await;
        if let Some(batch) = &*last
            && (batch.shard, batch.after, batch.limit) == (shard, after, limit)
        {
            return Ok(Arc::clone(&batch.rows));
        }
        let rows: Arc<[Recorded]> = read_after(connection, shard, after, limit).await?.into();
        if !rows.is_empty() {
            *last = Some(Batch { shard, after, limit, rows: Arc::clone(&rows) });
        }
        Ok(rows)
    }
}
