//! The keys that the Sequencer remembers. One that is not here may still be in the log: its unique index decides.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

/// Keys remembered at the most.
const REMEMBERED: usize = 200_000;

/// A key that was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownKey {
    pub fingerprint: i64,
    pub outcome: Uuid,
    /// `None` while its batch is not yet committed.
    pub position: Option<u64>,
}

/// Keys by hash, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Keys {
    known: HashMap<Uuid, KnownKey>,
    order: VecDeque<Uuid>,
}

impl Keys {
    pub fn get(&self, hash: Uuid) -> Option<KnownKey> {
        self.known.get(&hash).copied()
    }

    pub fn remember(&mut self, hash: Uuid, known: KnownKey) {
        if self.known.insert(hash, known).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// The batch that used the key is committed.
    pub fn settle(&mut self, hash: Uuid, position: u64) {
        if let Some(known) = self.known.get_mut(&hash) {
            known.position = Some(position);
        }
    }

    /// The batches that used these keys, the last ones remembered, were not written.
    pub fn forget(&mut self, hashes: impl DoubleEndedIterator<Item = Uuid>) {
        for hash in hashes.rev() {
            self.known.remove(&hash);
            if self.order.back() == Some(&hash) {
                self.order.pop_back();
            }
        }
    }
}
