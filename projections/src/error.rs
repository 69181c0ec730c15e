//! Why a projection cannot go on, or a view cannot be read.

use crate::log::LogError;

/// What stops a step of a projection, or a read of a view.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The database failed. The step left no trace; it can be tried again.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database has not answered on a connection for so long. What was under way may be done or not.
    #[error("the database has not answered for {} s: its connection is given up", .0.as_secs())]
    Silent(std::time::Duration),
    /// It panicked. The step left no trace; it is tried again, and may well meet the same.
    #[error("it met a defect of its own")]
    Defect,
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An event that cannot be folded: unreadable, of an unknown version, or impossible after what came before it.
    #[error("position {position} cannot be folded: {reason}")]
    Poison {
        /// The event.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that no group of views bears.
    #[error("no projection is named {0}: there are trading, books, market and snapshots")]
    UnknownGroup(String),
    /// A group without a generation to read: the migrations that make it have not run.
    #[error("projection {0} has no active generation")]
    NoGeneration(&'static str),
    /// The aggregate that was folded for a snapshot cannot be written as JSON.
    #[error("a snapshot cannot be written: {0}")]
    Snapshot(#[from] serde_json::Error),
}

impl ProjectionError {
    /// An event that cannot be folded.
    pub(crate) fn poison(position: u64, reason: impl Into<String>) -> Self {
        Self::Poison { position, reason: reason.into() }
    }
}
