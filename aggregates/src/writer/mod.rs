//! Who writes a shard of the log, and since when: epochs and the public keys that sign its checkpoints.
//! Stream id: `<shard>`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::Rules;
use crate::stream::{Decide, Impossible, event_sourced};

/// The writer of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    epoch: u64,
    public_key: String,
}

/// Commands of a writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterCommand {
    /// Record a take-over that the head row has granted.
    TakeOver {
        /// The epoch granted.
        epoch: u64,
        /// The name of the process's key.
        key_name: String,
        /// The process's Ed25519 key, base64.
        public_key: String,
    },
}

/// Facts of a shard's writers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WriterEvent {
    /// A process writes from here on.
    WriterTookOver {
        /// Its epoch: every event after this one carries it, until the next take-over.
        epoch: u64,
        /// The name that its checkpoints are signed under.
        key_name: String,
        /// The Ed25519 key that verifies its checkpoints, base64.
        public_key: String,
    },
}

/// Why a take-over is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriterError {
    /// The epoch is not a later one.
    #[error("epoch {asked} is not after epoch {now}")]
    OldEpoch {
        /// The epoch asked for.
        asked: u64,
        /// The epoch now.
        now: u64,
    },
}

event_sourced!(Writer, "writer", WriterCommand, WriterEvent { WriterTookOver "1.0" }, WriterError);

impl Writer {
    /// The epoch now; 0 before the first writer.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Decide for Writer {
    fn decide(&self, command: &WriterCommand, _: &Rules) -> Result<Vec<WriterEvent>, WriterError> {
        let WriterCommand::TakeOver { epoch, key_name, public_key } = command;
        if *epoch <= self.epoch {
            return Err(WriterError::OldEpoch { asked: *epoch, now: self.epoch });
        }
        Ok(vec![WriterEvent::WriterTookOver {
            epoch: *epoch,
            key_name: key_name.clone(),
            public_key: public_key.clone(),
        }])
    }

    fn evolve(&mut self, event: &WriterEvent) -> Result<(), Impossible> {
        let WriterEvent::WriterTookOver { epoch, public_key, .. } = event;
        if *epoch <= self.epoch {
            return Err(Impossible(format!("epoch {epoch} after epoch {}", self.epoch)));
        }
        self.epoch = *epoch;
        self.public_key.clone_from(public_key);
        Ok(())
    }
}
