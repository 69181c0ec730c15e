//! Why a log could not be checked or exported at all, as opposed to checked and found wrong.

use std::path::PathBuf;

use super::checkpoint::CheckpointError;
use super::custody::CustodyError;
use crate::database::DatabaseError;
use crate::ledger::proof::FrontierError;

/// No verdict.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database failed.
    #[error("the database cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The database cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] DatabaseError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The exported log cannot be read or written.
    #[error("the export cannot be read or written: {0}")]
    Export(#[from] std::io::Error),
    /// A line of an export is none.
    #[error("line {line} of the export: {reason}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The head row holds no frontier.
    #[error("the frontier of the head cannot be read: {0}")]
    Frontier(#[from] FrontierError),
    /// There is no head row.
    #[error("there is no log for shard {0}")]
    NoShard(u16),
    /// An export brings along something else than a checkpoint.
    #[error("{place} is no checkpoint: {source}")]
    Checkpoint {
        /// Where it stands.
        place: String,
        /// Why.
        source: CheckpointError,
    },
    /// A file that was named for its checkpoints has none.
    #[error(
        "{path} holds no whole checkpoint, so nothing can be held against it: save the answer of GET /v1/audit/checkpoint \
         as it is (text, not JSON: the log, its size, its root, an empty line and a signature, with the line break at its \
         end), or name the file checkpoints of the server's data directory"
    )]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// The process's own checkpoints cannot be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
}
