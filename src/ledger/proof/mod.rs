//! What makes the log provable: the leaf of an event and the Merkle tree over all leaves.
//!
//! Pure functions without I/O, shared by the Sequencer, which writes leaves and frontier, and the audit, which
//! computes both again. The formats are for ever: a changed byte makes every old log unverifiable.

mod leaf;
mod tree;

pub use leaf::{DOMAIN, LeafInput, leaf, salted_digest};
pub use tree::{Frontier, FrontierError, node};
