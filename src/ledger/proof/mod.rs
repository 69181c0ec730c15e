//! What makes the log provable: the leaf of an event and the Merkle tree over all leaves.
//!
//! Pure functions without I/O, shared by the Sequencer, which writes leaves and frontier, and the audit, which
//! computes both again. The formats are for ever: a changed byte makes every old log unverifiable.

mod leaf;
mod tree;

pub use leaf::{DOMAIN, LeafInput, leaf, salted_digest};
pub use tree::{Frontier, FrontierError, node};

/// The leaf of a row as it is or will be stored; its `leaf` field is not looked at.
pub fn leaf_of(row: &projections::log::Recorded) -> [u8; 32] {
    leaf(&LeafInput {
        shard: row.shard,
        position: row.position,
        tenant_id: row.tenant_id.uuid(),
        account_id: row.account_id.map(aggregates::id::AccountId::uuid),
        aggregate_type: row.stream.aggregate_type(),
        aggregate_id: &row.stream.aggregate_id(),
        sequence: row.sequence,
        event_type: &row.event_type,
        event_version: &row.event_version,
        recorded_at_micros: row.recorded_at.timestamp_micros().cast_unsigned(),
        salt: &row.salt,
        payload: &row.payload,
        metadata: &row.metadata,
    })
}
