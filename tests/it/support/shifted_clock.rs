//! A wall clock that a test sets under a running server, and under that alone: its Postgres has the right time.

use std::path::Path;

use chrono::TimeDelta;

use super::preloaded::Preloaded;
use super::{Server, TestDatabase};

/// The clock of the servers that were started by it.
pub struct ShiftedClock(Preloaded);

impl ShiftedClock {
    /// A clock that is right.
    pub fn new() -> Self {
        Self(Preloaded::new("shifted_clock.c", "SHIFTED_CLOCK", &[0]))
    }

    /// Sets it ahead by so much, or back.
    pub fn set(&self, ahead: TimeDelta) {
        self.0.set(0, ahead.num_nanoseconds().unwrap());
    }

    /// Starts a server on `database` that goes by this clock, and returns at once.
    pub fn serve(&self, database: &TestDatabase, data_dir: &Path) -> Server {
        self.0.serve(database, data_dir)
    }
}
