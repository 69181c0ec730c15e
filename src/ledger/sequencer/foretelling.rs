//! Previews: an order is decided on what the batch has left so far, and nothing of it is kept.
//!
//! It waits in the batch like a refusal does, since what it tells is true only if that commits. Costs what deciding
//! the order costs, and no append.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aggregates::trading::{Trial, Undecided, preview};

use super::Sequencer;
use super::flight::Decided;

impl<T> Sequencer<T> {
    /// What an order would come to on the aggregates in memory, of which `position` is the last event; `None` if
    /// deciding it panicked.
    pub(super) fn foretell(
        &self,
        trial: &Trial,
        position: u64,
    ) -> Option<Result<Decided, Undecided>> {
        let foretell = || preview(self.memory(), trial, &self.rules);
        let Ok(foretold) = catch_unwind(AssertUnwindSafe(foretell)) else {
            tracing::error!(?trial, "a preview panicked; it is dropped");
            return None;
        };
        Some(foretold.map(|impact| {
            let foretold = Some((Box::new(impact), position));
            Decided { rows: 0..0, rejected: None, foretold }
        }))
    }
}
