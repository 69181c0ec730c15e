//! Orders whose events somebody waits for: what the engine observes of them is kept for whoever placed them, so that
//! the answer needs no view.
//!
//! Each is kept from before its command is handed in until it is taken or dropped, so there are no more than commands
//! under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregates::id::OrderId;
use aggregates::stream::StreamId;

use crate::ledger::CommittedEvent;

/// What was observed of each.
type Kept = BTreeMap<OrderId, Vec<Arc<CommittedEvent>>>;

/// The orders that are followed. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Following(Arc<Mutex<Kept>>);

/// One order that is followed, until this is dropped.
pub struct Followed {
    following: Following,
    order_id: OrderId,
}

impl Following {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked left whole values behind: every change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, order_id: OrderId) -> Followed {
        self.kept().insert(order_id, Vec::new());
        Followed { following: self.clone(), order_id }
    }

    /// Keeps the events of a batch that somebody waits for.
    pub(super) fn observe(&self, batch: &[Arc<CommittedEvent>]) {
        let mut kept = self.kept();
        if kept.is_empty() {
            return;
        }
        for event in batch {
            if let StreamId::Order(order_id) = event.row.stream
                && let Some(events) = kept.get_mut(&order_id)
            {
                events.push(Arc::clone(event));
            }
        }
    }

    /// Follows none any more: what happened meanwhile was not seen.
    pub(super) fn lose_sight(&self) {
        self.kept().clear();
    }
}

impl Followed {
    /// All that was observed of it, if nothing can have been missed.
    pub fn events(&self) -> Option<Vec<Arc<CommittedEvent>>> {
        self.following.kept().get(&self.order_id).cloned()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.following.kept().remove(&self.order_id);
    }
}
