//! The second fold for who has a log in memory and no database: what is wrong with its rows, and where the state of an
//! aggregate, as a snapshot would keep it, is another than its events say.

use serde_json::Value;

use super::fold::{Fold, named};
use super::report::{Findings, Problem};
use super::row::Content;
use super::views;

/// The second fold of a shard's log.
#[derive(Debug, Default)]
pub struct Refold {
    shard: u16,
    fold: Fold,
    findings: Findings,
}

impl Refold {
    /// Takes the next row.
    pub fn row(&mut self, position: u64, content: &Content) {
        self.shard = content.shard;
        self.fold.row(position, content, &mut self.findings);
    }

    /// After the last row: what is wrong with the rows, up to the number that a report lists.
    pub fn problems(mut self) -> Vec<Problem> {
        self.fold.close_command(&mut self.findings);
        self.findings.into_problems()
    }

    /// The first place at which the state of an aggregate is another than its events say, and both values.
    pub fn difference(&self, kind: &str, id: &str, state: &Value) -> Option<String> {
        match named(self.shard, kind, id) {
            Ok(stream) => views::difference(stream, &self.fold.streams, state),
            Err(fault) => Some(fault),
        }
    }
}
