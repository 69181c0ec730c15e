//! The shapes that all answers share.

use schemars::JsonSchema;
use serde::Serialize;

/// A page of a list.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins; `null` after the last.
    pub next_cursor: Option<String>,
    /// The last event of the log that the entries contain.
    pub position: u64,
}

/// The answer to a write: what it left behind.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Written{T}")]
pub struct Written<T> {
    /// What it left behind, as of `position`.
    #[serde(flatten)]
    pub answer: T,
    /// It had been carried out before, under the same key: this time nothing happened.
    pub replayed: bool,
}

impl<T> Page<T> {
    /// Cuts `rows`, which were read one beyond the page, and seals where the next page begins.
    pub(super) fn cut<R>(
        mut rows: Vec<R>,
        size: usize,
        position: u64,
        seal: impl FnOnce(&R) -> String,
        answer: impl FnMut(R) -> T,
    ) -> Self {
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = rows.last().filter(|_| more).map(seal);
        Self { items: rows.into_iter().map(answer).collect(), next_cursor, position }
    }
}
