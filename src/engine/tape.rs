//! The tape: every line that the engine worked, in gapless places, written in blocks.
//!
//! A block is newline-delimited JSON, deflated, with the SHA-256 of the text: one entry a line, with its place, the
//! position of the log after which it was worked, its source, the settings of the engine where they change with it,
//! how it stood if it is written later than it came, and the line in its canonical form. Log and tape merge
//! into one order by `after`: the line was worked after that event and before the next.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::core::{Settings, Stood, Written};
use crate::ledger::TapeBlock;
use crate::market::reading::{TickError, parse_line};
use crate::market::tick::Tick;

/// The most lines of one block.
pub const BLOCK_LINES: u64 = 512;

/// The most text of one block, in bytes: a block that claims more is refused.
const BLOCK_TEXT_MAX: u64 = 64 * 1024 * 1024;

/// One line of the tape.
#[derive(Clone, Debug, PartialEq)]
pub struct TapeLine {
    /// Its place, from 1.
    pub place: u64,
    /// The last event of the log before it.
    pub after: u64,
    /// Where it came from.
    pub source: String,
    /// The settings that it and the lines after it were worked by, where they are others than before.
    pub by: Option<Settings>,
    /// How it stood, if it came earlier than it was written.
    pub stood: Option<Stood>,
    /// The line.
    pub tick: Tick,
}

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The bytes are not deflated text.
    #[error("the block at place {place} cannot be unpacked: {source}")]
    Packed {
        /// Its first place.
        place: u64,
        /// Why.
        source: std::io::Error,
    },
    /// The text is another one than was written.
    #[error("the block at place {place} does not have its digest")]
    Digest {
        /// Its first place.
        place: u64,
    },
    /// An entry that is not one.
    #[error("the block at place {place} has an entry that cannot be read: {source}")]
    Entry {
        /// Its first place.
        place: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// A line that is no tick.
    #[error("the line at place {place} is no tick: {source}")]
    Line {
        /// Its place.
        place: u64,
        /// Why.
        source: TickError,
    },
    /// Places that do not follow each other, or do not end where the block says.
    #[error("the block at place {place} has a gap: {found} stands where {expected} belongs")]
    Gap {
        /// Its first place.
        place: u64,
        /// The place that belongs there.
        expected: u64,
        /// The place that stands there.
        found: u64,
    },
}

/// Lines that were worked and are not yet written.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    first: u64,
    last: u64,
    text: Vec<u8>,
}

impl BlockBuilder {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The block has as many lines as one may have.
    pub fn is_full(&self) -> bool {
        !self.is_empty() && self.last - self.first + 1 >= BLOCK_LINES
    }

    /// Adds a line that goes on the tape before the one that was handed in.
    pub fn push_before(&mut self, after: u64, line: &Written) {
        let Written { place, source, by, stood, tick } = line;
        self.push(*place, after, source, by.as_ref(), stood.as_ref(), tick);
    }

    /// Adds the line at the next place, with the settings that it was worked by where the tape does not have them, and
    /// how it stood if it is written later than it came.
    pub fn push(
        &mut self,
        place: u64,
        after: u64,
        source: &str,
        by: Option<&Settings>,
        stood: Option<&Stood>,
        tick: &Tick,
    ) {
        if self.is_empty() {
            self.first = place;
        }
        debug_assert!(self.text.is_empty() || place == self.last + 1, "places are gapless");
        self.last = place;
        let source = serde_json::Value::from(source);
        let line = tick.to_line();
        let by = by.map(|by| {
            let by = serde_json::to_string(by).expect("settings are words and numbers");
            format!(r#""by":{by},"#)
        });
        let by = by.unwrap_or_default();
        let stood = stood.map(|stood| {
            let stood = serde_json::to_string(stood).expect("words, times and numbers");
            format!(r#""stood":{stood},"#)
        });
        let stood = stood.unwrap_or_default();
        writeln!(
            self.text,
            r#"{{"place":{place},"after":{after},"source":{source},{by}{stood}"tick":{line}}}"#
        )
        .expect("writing to memory does not fail");
    }

    /// The block of all lines that wait; none if there are none.
    pub fn take(&mut self) -> Option<TapeBlock> {
        if self.is_empty() {
            return None;
        }
        let text = std::mem::take(&mut self.text);
        let digest = Sha256::digest(&text).into();
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(&text).and_then(|()| encoder.finish());
        let bytes = packed.expect("packing into memory does not fail");
        Some(TapeBlock { first_place: self.first, last_place: self.last, bytes, digest })
    }
}

#[derive(Deserialize)]
struct Entry {
    place: u64,
    after: u64,
    source: String,
    #[serde(default)]
    by: Option<Settings>,
    #[serde(default)]
    stood: Option<Stood>,
    tick: serde_json::Value,
}

/// The lines of a block, its digest and its places checked.
pub fn decode(block: &TapeBlock) -> Result<Vec<TapeLine>, TapeError> {
    let place = block.first_place;
    let mut text = String::new();
    DeflateDecoder::new(block.bytes.as_slice())
        .take(BLOCK_TEXT_MAX)
        .read_to_string(&mut text)
        .map_err(|source| TapeError::Packed { place, source })?;
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    if digest != block.digest {
        return Err(TapeError::Digest { place });
    }
    let mut lines = Vec::new();
    for (expected, text) in (place..).zip(text.lines()) {
        let entry: Entry =
            serde_json::from_str(text).map_err(|source| TapeError::Entry { place, source })?;
        let Entry { place: found, after, source, by, stood, tick } = entry;
        if found != expected {
            return Err(TapeError::Gap { place, expected, found });
        }
        let line = tick.to_string();
        let tick = parse_line(line.as_bytes(), found)
            .map_err(|source| TapeError::Line { place: found, source })?;
        let Some(tick) = tick else {
            return Err(TapeError::Gap { place, expected, found });
        };
        lines.push(TapeLine { place: found, after, source, by, stood, tick });
    }
    let last = lines.last().map_or(0, |line| line.place);
    if last != block.last_place {
        return Err(TapeError::Gap { place, expected: block.last_place, found: last });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::core::Mark;
    use super::*;
    use crate::market::calendar::Calendar;

    fn block() -> (Vec<TapeLine>, TapeBlock) {
        let mut builder = BlockBuilder::default();
        let texts = [
            r#"{"t":"clock","at":"2026-11-23T14:30:00Z"}"#,
            r#"{"t":"quote","symbol":"AAPL","bid":"187.20","bid_size":"300","ask":"187.25","ask_size":"200","at":"2026-11-23T14:30:00.123456Z"}"#,
            r#"{"t":"split","symbol":"AAPL","numerator":"4","denominator":"1","id":"s\"1","at":"2026-11-24T05:00:00Z"}"#,
        ];
        let mut lines = Vec::new();
        for (place, text) in (7..).zip(texts) {
            let tick = parse_line(text.as_bytes(), 1).unwrap().unwrap();
            let by = (place == 8).then(|| Settings::new(Calendar::always()));
            let mark = Some(Mark { at: tick.at().unwrap(), lines: [u64::MAX].into() });
            let stood = (place == 8).then_some(Stood { eligible: true, mark, ..Stood::default() });
            builder.push(place, place * 10, "feed", by.as_ref(), stood.as_ref(), &tick);
            lines.push(TapeLine {
                place,
                after: place * 10,
                source: "feed".into(),
                by,
                stood,
                tick,
            });
        }
        (lines, builder.take().unwrap())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (lines, block) = block();
        assert_eq!((block.first_place, block.last_place), (7, 9));
        assert_eq!(decode(&block).unwrap(), lines);
    }

    #[test]
    fn a_block_that_was_touched_is_refused() {
        let (_, block) = block();
        let other_digest = TapeBlock { digest: [0; 32], ..block.clone() };
        assert!(matches!(decode(&other_digest), Err(TapeError::Digest { place: 7 })));
        let moved = TapeBlock { first_place: 8, last_place: 10, ..block.clone() };
        assert!(matches!(decode(&moved), Err(TapeError::Gap { expected: 8, found: 7, .. })));
        let longer = TapeBlock { last_place: 10, ..block.clone() };
        assert!(matches!(decode(&longer), Err(TapeError::Gap { expected: 10, found: 9, .. })));
        let mut cut = block;
        cut.bytes.truncate(cut.bytes.len() / 2);
        assert!(decode(&cut).is_err());
    }

    #[test]
    fn an_empty_builder_gives_no_block() {
        let mut builder = BlockBuilder::default();
        assert!(builder.is_empty() && !builder.is_full());
        assert_eq!(builder.take(), None);
    }
}
