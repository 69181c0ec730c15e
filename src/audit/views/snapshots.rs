//! Snapshots (I18): each one has to be the fold of its stream up to its own sequence, and at the checkpoint of the
//! group every open order, every instrument and every writer has to have a live one that is up to date.
//!
//! Which positions have a snapshot is read first (some 100 bytes a snapshot); the states are compared chunk by chunk.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::aggregate;
use super::shape::Want;
use crate::audit::error::AuditError;
use crate::audit::fold::{Stream, Streams, stream};
use crate::audit::report::{Code, Findings, listed};
use crate::audit::row::Content;

/// The shape of the states that [`aggregate`] knows. A program ignores snapshots of another one.
const SCHEMA_VERSION: i32 = 8;

const KEPT: &str = "SELECT aggregate_type, aggregate_id, sequence, position, live
    FROM snapshots WHERE generation = $1";
const STATES: &str =
    "SELECT aggregate_type, aggregate_id, account_id, sequence, position, schema_version, live, state, digest
    FROM snapshots WHERE generation = $1 AND position > $2 AND position <= $3
    ORDER BY position, aggregate_type, aggregate_id";

/// The type and the id of an aggregate.
type Name = (String, String);

/// What a snapshot at a position has to be.
#[derive(Debug)]
struct Expected {
    position: u64,
    account: Option<Uuid>,
    sequence: u64,
    live: bool,
    state: Option<Want>,
}

/// The comparison under way.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    generation: i32,
    positions: BTreeSet<u64>,
    /// The sequence of each live one.
    live: BTreeMap<Name, u64>,
    expected: BTreeMap<Name, Expected>,
}

impl Snapshots {
    /// Reads where snapshots are.
    pub(super) async fn open(
        connection: &mut PgConnection,
        generation: i32,
    ) -> Result<Self, AuditError> {
        let mut snapshots = Self { generation, ..Self::default() };
        for row in sqlx::query(KEPT).bind(generation).fetch_all(connection).await? {
            let name = (row.try_get("aggregate_type")?, row.try_get("aggregate_id")?);
            snapshots.positions.insert(row.try_get::<i64, _>("position")?.cast_unsigned());
            if row.try_get("live")? {
                let sequence = row.try_get::<i64, _>("sequence")?.cast_unsigned();
                snapshots.live.insert(name, sequence);
            }
        }
        Ok(snapshots)
    }

    /// Notes what the snapshot at a row has to be, if there is one.
    pub(super) fn after(&mut self, position: u64, content: &Content, streams: &Streams) {
        if !self.positions.contains(&position) {
            return;
        }
        // A row of no stream is a problem of the log, and found there.
        let Ok(stream) = stream(content) else { return };
        let name = (content.aggregate_type.clone(), content.aggregate_id.clone());
        let expected = Expected {
            position,
            account: content.account_id,
            sequence: content.sequence,
            live: matches!(stream, Stream::Order(_) | Stream::Instrument(_) | Stream::Writer),
            state: aggregate::state(stream, streams),
        };
        self.expected.insert(name, expected);
    }

    /// Compares the snapshots at these positions. How many there were comes back.
    pub(super) async fn compare(
        &mut self,
        connection: &mut PgConnection,
        (after, to): (i64, i64),
        findings: &mut Findings,
    ) -> Result<u64, AuditError> {
        let expected = std::mem::take(&mut self.expected);
        let query = sqlx::query(STATES).bind(self.generation).bind(after).bind(to);
        let rows = query.fetch_all(connection).await?;
        for row in &rows {
            let name: Name = (row.try_get("aggregate_type")?, row.try_get("aggregate_id")?);
            let stored: i64 = row.try_get("position")?;
            let version: i32 = row.try_get("schema_version")?;
            let state: String = row.try_get("state")?;
            let digest: Vec<u8> = row.try_get("digest")?;
            let at = u64::try_from(stored).unwrap_or_default().max(1);
            let mut problem = |message: String| {
                findings.report(at, Code::Snapshot, format!("{} {}: {message}", name.0, name.1));
            };
            if digest[..] != own_digest(version, &state)[..] {
                problem("its digest is not that of its state".into());
            }
            let Some(expected) = expected.get(&name).filter(|expected| expected.position == at)
            else {
                problem("its position is not that of an event of its stream".into());
                continue;
            };
            let account: Option<Uuid> = row.try_get("account_id")?;
            let sequence = row.try_get::<i64, _>("sequence")?.cast_unsigned();
            let live: bool = row.try_get("live")?;
            if (account, sequence, live) != (expected.account, expected.sequence, expected.live) {
                problem(format!(
                    "it is of account {}, sequence {sequence}, live {live}; the events say {}, {}, {}",
                    listed(account),
                    listed(expected.account),
                    expected.sequence,
                    expected.live
                ));
            }
            if version != SCHEMA_VERSION {
                continue;
            }
            let state: Value = serde_json::from_str(&state).unwrap_or_default();
            let difference = expected.state.as_ref().and_then(|want| want.difference(&state));
            if let Some(difference) = difference {
                problem(format!("state{difference}"));
            }
        }
        Ok(rows.len() as u64)
    }

    /// Compares what is live with what is open, at the checkpoint of the group.
    pub(super) fn complete(&mut self, streams: &Streams, position: u64, findings: &mut Findings) {
        let mut live = std::mem::take(&mut self.live);
        for (stream, stamp) in &streams.stamps {
            let name = match stream {
                Stream::Order(id) => {
                    if streams.orders.get(id).is_none_or(|order| order.is_terminal()) {
                        continue;
                    }
                    ("order".to_owned(), id.to_string())
                }
                Stream::Instrument(id) => ("instrument".to_owned(), id.to_string()),
                Stream::Writer => ("writer".to_owned(), streams.writer.shard.to_string()),
                Stream::Account(_) | Stream::Position(..) | Stream::User(_) => continue,
            };
            let kept = live.remove(&name);
            findings.expect(kept == Some(stamp.sequence), stamp.position, Code::Snapshot, || {
                format!(
                    "{} {} has no live snapshot at sequence {} (it has {})",
                    name.0,
                    name.1,
                    stamp.sequence,
                    listed(kept)
                )
            });
        }
        for ((kind, id), sequence) in live {
            findings.report(
                position,
                Code::Snapshot,
                format!("{kind} {id} has a live snapshot at sequence {sequence}, and is not open"),
            );
        }
    }
}

fn own_digest(version: i32, state: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(version.to_be_bytes());
    hash.update(state.as_bytes());
    hash.finalize().into()
}
