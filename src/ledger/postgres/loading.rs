//! Loading from Postgres: a stream is its last snapshot and the events since; an account comes with all its positions.

use aggregates::position::Position;
use aggregates::stream::StreamId;
use async_trait::async_trait;
use cqrs_es::Aggregate;
use projections::log::{LogError, Recorded, read_stream};
use projections::snapshots;
use sqlx::PgConnection;

use super::{failed, taken_keys};
use crate::database::WriterPool;
use crate::ledger::log::{LoadUnit, Loaded, LoadedStream, Loader, LogFault};

/// Forgets keys of requests after 24 hours.
const PURGE_KEYS: &str = "DELETE FROM request_keys WHERE made_at < now() - interval '24 hours'";

/// The positions of one account: every id that begins with `<account_id>/`, found by one step in the primary key
/// for each, however long their streams are.
const POSITIONS_OF: &str = "WITH RECURSIVE ids AS (
        (SELECT aggregate_id FROM events WHERE aggregate_type = 'position' AND aggregate_id >= $1 AND aggregate_id < $2
            ORDER BY aggregate_id LIMIT 1)
        UNION ALL
        SELECT (SELECT next.aggregate_id FROM events next WHERE next.aggregate_type = 'position'
            AND next.aggregate_id > ids.aggregate_id AND next.aggregate_id < $2 ORDER BY next.aggregate_id LIMIT 1)
        FROM ids WHERE ids.aggregate_id IS NOT NULL
    )
    SELECT aggregate_id FROM ids WHERE aggregate_id IS NOT NULL ORDER BY aggregate_id";

/// The loading side, on pooled connections.
pub struct PostgresLoader {
    pool: WriterPool,
}

impl PostgresLoader {
    /// A loading side over `pool`.
    pub fn new(pool: WriterPool) -> Self {
        Self { pool }
    }
}

fn log_fault(error: &LogError) -> LogFault {
    match error {
        LogError::Database(_) => LogFault::Failed(error.to_string()),
        LogError::Unreadable { .. } => LogFault::Corrupt(error.to_string()),
    }
}

/// One stream: its last snapshot, and the events since. `None` for a stream without events.
async fn load_stream(
    connection: &mut PgConnection,
    stream: StreamId,
) -> Result<Option<LoadedStream>, LogFault> {
    let snapshot = snapshots::stored(connection, stream).await;
    let snapshot = snapshot.map_err(|error| LogFault::Failed(error.to_string()))?;
    let after = snapshot.as_ref().map_or(0, |(sequence, _)| *sequence);
    let rows = read_stream(connection, stream, after).await.map_err(|error| log_fault(&error))?;
    let read = |row: Recorded| match row.event() {
        Ok(event) => Ok((row.sequence, event)),
        Err(error) => Err(LogFault::Corrupt(format!("position {}: {error}", row.position))),
    };
    let events = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok((snapshot.is_some() || !events.is_empty()).then_some(LoadedStream {
        stream,
        snapshot,
        events,
    }))
}

#[async_trait]
impl Loader for PostgresLoader {
    async fn load(&self, unit: LoadUnit) -> Result<Loaded, LogFault> {
        let mut connection = self.pool.pool().acquire().await.map_err(failed)?;
        let stream = match unit {
            LoadUnit::Account(account) => StreamId::Account(account),
            LoadUnit::Stream(stream) => stream,
            LoadUnit::Key(hash) => {
                let keys = taken_keys(&mut connection, &[hash]).await?;
                return Ok(Loaded { streams: Vec::new(), keys });
            }
        };
        let mut streams: Vec<_> = load_stream(&mut connection, stream).await?.into_iter().collect();
        if let LoadUnit::Account(account) = unit {
            let ids: Vec<String> = sqlx::query_scalar(POSITIONS_OF)
                .bind(format!("{account}/"))
                .bind(format!("{account}0"))
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
            for id in ids {
                let stream = StreamId::parse(Position::TYPE, &id)
                    .map_err(|error| LogFault::Corrupt(error.to_string()))?;
                streams.extend(load_stream(&mut connection, stream).await?);
            }
        }
        Ok(Loaded { streams, keys: Vec::new() })
    }

    async fn purge_keys(&self) -> Result<(), LogFault> {
        let purged = sqlx::query(PURGE_KEYS).execute(self.pool.pool()).await;
        purged.map(drop).map_err(failed)
    }
}
