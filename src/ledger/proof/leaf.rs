//! The leaf of one event: `SHA-256(0x00 || encoding)`, the leaf hash of RFC 6962 over one exact encoding.
//!
//! The encoding is thirteen fields one after another, each as its length in bytes (u64, big-endian) and then its
//! bytes, so that no two rows have one encoding:
//!
//! | # | field | bytes |
//! |---|---|---|
//! | 1 | domain | ASCII `blotter/event/1` |
//! | 2 | shard | u64, big-endian, 8 bytes |
//! | 3 | position | u64, big-endian, 8 bytes |
//! | 4 | tenant | the UUID's 16 bytes |
//! | 5 | account | the UUID's 16 bytes, or none (length 0) for a fact of the market or the writer |
//! | 6 | aggregate_type | UTF-8, as stored |
//! | 7 | aggregate_id | UTF-8, as stored |
//! | 8 | sequence | u64, big-endian, 8 bytes |
//! | 9 | event_type | UTF-8, as stored |
//! | 10 | event_version | UTF-8, as stored |
//! | 11 | recorded_at | microseconds since 1970-01-01T00:00:00Z, u64, big-endian, 8 bytes |
//! | 12 | payload | `SHA-256(salt || payload)`, 32 bytes, the payload being the UTF-8 text as stored |
//! | 13 | metadata | `SHA-256(salt || metadata)`, 32 bytes, likewise |
//!
//! The salt is 16 random bytes of the row, so that somebody who sees only the leaf of a row cannot guess what is in
//! it. A leaf costs three SHA-256 and no allocation.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first field: what is encoded and in which version of the encoding.
pub const DOMAIN: &str = "blotter/event/1";

/// The columns of a row that its leaf covers.
#[derive(Clone, Copy, Debug)]
pub struct LeafInput<'a> {
    /// The shard; 0 unless there are several.
    pub shard: u16,
    /// The place in the shard's order, from 1.
    pub position: u64,
    /// Who may see it.
    pub tenant_id: Uuid,
    /// The account that it belongs to, if any.
    pub account_id: Option<Uuid>,
    /// The kind of stream, as stored.
    pub aggregate_type: &'a str,
    /// The stream, as stored.
    pub aggregate_id: &'a str,
    /// The place in its stream, from 1.
    pub sequence: u64,
    /// What happened, as stored.
    pub event_type: &'a str,
    /// The version of the payload's shape, as stored.
    pub event_version: &'a str,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at_micros: u64,
    /// The row's random bytes.
    pub salt: &'a [u8; 16],
    /// The event as JSON text, byte for byte as stored.
    pub payload: &'a str,
    /// Who, how and why as JSON text, byte for byte as stored.
    pub metadata: &'a str,
}

/// The leaf hash of a row.
pub fn leaf(input: &LeafInput<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([0]);
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(DOMAIN.as_bytes());
    field(&u64::from(input.shard).to_be_bytes());
    field(&input.position.to_be_bytes());
    field(input.tenant_id.as_bytes());
    field(input.account_id.as_ref().map_or(&[][..], |id| id.as_bytes()));
    field(input.aggregate_type.as_bytes());
    field(input.aggregate_id.as_bytes());
    field(&input.sequence.to_be_bytes());
    field(input.event_type.as_bytes());
    field(input.event_version.as_bytes());
    field(&input.recorded_at_micros.to_be_bytes());
    field(&salted_digest(input.salt, input.payload));
    field(&salted_digest(input.salt, input.metadata));
    hash.finalize().into()
}

/// `SHA-256(salt || text)`: what the leaf holds of payload and metadata.
pub fn salted_digest(salt: &[u8; 16], text: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(text).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected leaves were computed apart, with Python's struct, uuid and hashlib, from the table above.
    const WRITER_LEAF: &str = "8c54204be62a10619a650579bc79ea33d18edffd3389dac87b3ed590af0e56bb";
    const ORDER_LEAF: &str = "fd33e44779e1cdaa808d40091449fd60715a1aaf6bf074ba28f74228fb8425c8";
    const AT: u64 = 1_767_323_045_678_901;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn uuid(text: &str) -> Uuid {
        text.parse().expect("a UUID")
    }

    fn order() -> LeafInput<'static> {
        LeafInput {
            shard: 0,
            position: 42,
            tenant_id: uuid("01890a5d-ac96-774b-bcce-b302099a8057"),
            account_id: Some(uuid("01890a5d-ac96-774b-bcce-b302099a8058")),
            aggregate_type: "order",
            aggregate_id: "01890a5d-ac96-774b-bcce-b302099a8059",
            sequence: 7,
            event_type: "OrderFilled",
            event_version: "1.0",
            recorded_at_micros: AT + 1,
            salt: &[255; 16],
            payload: "{\"OrderFilled\":{\"note\":\"\u{e9}\"}}",
            metadata: "{}",
        }
    }

    #[test]
    fn leaves_are_those_of_an_independent_implementation() {
        let salt = std::array::from_fn(|i| u8::try_from(i).expect("below 16"));
        let writer = LeafInput {
            shard: 0,
            position: 1,
            tenant_id: uuid("00000000-0000-8000-8000-000000000001"),
            account_id: None,
            aggregate_type: "writer",
            aggregate_id: "writer",
            sequence: 1,
            event_type: "WriterTookOver",
            event_version: "1.0",
            recorded_at_micros: AT,
            salt: &salt,
            payload: r#"{"WriterTookOver":{"epoch":"1"}}"#,
            metadata: r#"{"actor":"operator"}"#,
        };
        assert_eq!(hex(&leaf(&writer)), WRITER_LEAF);
        assert_eq!(hex(&leaf(&order())), ORDER_LEAF);
    }

    #[test]
    fn every_field_counts() {
        let original = leaf(&order());
        let other = uuid("01890a5d-ac96-774b-bcce-b302099a805a");
        let changed = [
            LeafInput { shard: 1, ..order() },
            LeafInput { position: 43, ..order() },
            LeafInput { tenant_id: other, ..order() },
            LeafInput { account_id: Some(other), ..order() },
            LeafInput { account_id: None, ..order() },
            LeafInput { aggregate_type: "orde", ..order() },
            LeafInput { aggregate_id: "01890a5d-ac96-774b-bcce-b302099a8050", ..order() },
            LeafInput { sequence: 8, ..order() },
            LeafInput { event_type: "OrderPlaced", ..order() },
            LeafInput { event_version: "1.1", ..order() },
            LeafInput { recorded_at_micros: AT, ..order() },
            LeafInput { salt: &[254; 16], ..order() },
            LeafInput { payload: "{}", ..order() },
            LeafInput { metadata: "{ }", ..order() },
        ];
        for input in changed {
            assert_ne!(leaf(&input), original, "{input:?}");
        }
    }

    #[test]
    fn bytes_do_not_move_between_fields() {
        let one = LeafInput { event_type: "ab", event_version: "c", ..order() };
        let other = LeafInput { event_type: "a", event_version: "bc", ..order() };
        assert_ne!(leaf(&one), leaf(&other));
    }
}
