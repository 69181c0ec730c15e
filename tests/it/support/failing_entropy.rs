//! Random bytes of the system that fail when a test says so. What makes ids and salts takes that for impossible and
//! panics, wherever it is: in a handler, in the engine, in the Sequencer.

use std::path::Path;

use super::preloaded::Preloaded;
use super::{Server, TestDatabase};

/// Where the numbers stand.
const CALLS: usize = 0;
const FROM: usize = 1;
const TO: usize = 2;

/// The random bytes of the servers that were started by it.
pub struct FailingEntropy(Preloaded);

impl FailingEntropy {
    /// Random bytes that do not fail.
    pub fn new() -> Self {
        Self(Preloaded::new("failing_entropy.c", "FAILING_ENTROPY", &[0, i64::MAX, i64::MAX]))
    }

    /// How often the servers have asked for some.
    pub fn calls(&self) -> i64 {
        self.0.get(CALLS)
    }

    /// Lets `count` calls fail after the next `after`.
    pub fn fail(&self, after: i64, count: i64) {
        let from = self.calls() + after;
        self.0.set(TO, from + count);
        self.0.set(FROM, from);
    }

    /// Lets no call fail.
    pub fn mend(&self) {
        self.0.set(FROM, i64::MAX);
    }

    /// Starts a server on `database` with these, and returns at once.
    pub fn serve(&self, database: &TestDatabase, data_dir: &Path) -> Server {
        self.0.serve(database, data_dir)
    }
}
