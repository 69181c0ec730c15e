//! One row of the log as the audit reads it: every column as stored, nothing interpreted.

use uuid::Uuid;

use crate::ledger::proof::{LeafInput, leaf};

/// A row, or only its leaf where the rest was left out of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The place in the shard's order.
    pub position: u64,
    /// The leaf as stored.
    pub leaf: [u8; 32],
    /// The columns that the leaf covers; `None` in a row that an export left out.
    pub content: Option<Content>,
}

/// The columns that a leaf covers, beside the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The shard.
    pub shard: u16,
    /// Who may see it.
    pub tenant_id: Uuid,
    /// The account that it belongs to.
    pub account_id: Option<Uuid>,
    /// The kind of stream.
    pub aggregate_type: String,
    /// The stream.
    pub aggregate_id: String,
    /// The place in the stream.
    pub sequence: u64,
    /// What happened.
    pub event_type: String,
    /// The version of the payload.
    pub event_version: String,
    /// Microseconds since 1970.
    pub recorded_at: i64,
    /// The random bytes.
    pub salt: [u8; 16],
    /// The event, byte for byte.
    pub payload: String,
    /// Who, how and why, byte for byte.
    pub metadata: String,
}

impl Row {
    /// Whether the stored leaf is that of the stored columns; a row without columns is taken at its word.
    pub fn leaf_holds(&self) -> bool {
        let Some(content) = &self.content else { return true };
        let Ok(recorded_at_micros) = u64::try_from(content.recorded_at) else { return false };
        let input = LeafInput {
            shard: content.shard,
            position: self.position,
            tenant_id: content.tenant_id,
            account_id: content.account_id,
            aggregate_type: &content.aggregate_type,
            aggregate_id: &content.aggregate_id,
            sequence: content.sequence,
            event_type: &content.event_type,
            event_version: &content.event_version,
            recorded_at_micros,
            salt: &content.salt,
            payload: &content.payload,
            metadata: &content.metadata,
        };
        leaf(&input) == self.leaf
    }
}
