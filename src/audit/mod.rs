//! The audit: checkpoints outside the database, exports, and a verification that shares no code with what it checks.

mod chain;
mod checkpoint;
mod custody;
mod error;
mod evidence;
mod export;
mod fold;
mod key;
mod refold;
mod report;
mod rollback;
mod row;
mod source;
mod verify;
mod views;

pub use checkpoint::{Checkpoint, CheckpointError, Signed, origin, split_notes};
pub use custody::{CHECKPOINT_FILE, Checkpointer, CustodyError, Rollback, RollbackCheck};
pub use error::AuditError;
pub use evidence::Evidence;
pub use export::{Exporting, FORMAT, Scope, export};
pub use key::{KEY_FILE, KeyError, ProcessKey};
pub use refold::Refold;
pub use report::{Code, Findings, Problem, Report};
pub use rollback::{check_rollback, signable};
pub use row::{Content, Row};
pub use verify::{verify_database, verify_export};
