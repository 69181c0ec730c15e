//! A market from a file of tick lines, plain or gzipped (told by its first bytes).
//!
//! Guarantees: lines are delivered in the file's order, which must be that of their times; the first line that is
//! malformed or out of order is reported with its number and ends the recording, so that none is skipped. The file
//! is streamed: one line is held at a time, and a line beyond the longest allowed is refused before it is held.
//! Reading blocks on the disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use aggregates::market::MarketTime;
use flate2::bufread::MultiGzDecoder;

use super::reading::{MAX_LINE_BYTES, parse_told};
use super::source::{Capability, MarketData, SourceError};
use super::tick::Tick;

/// The word for this source.
pub const RECORDED: &str = "recorded";

/// A recorded market.
pub struct Recorded {
    lines: Box<dyn BufRead + Send>,
    line: u64,
    next: Option<Tick>,
    latest: Option<MarketTime>,
    seen: BTreeSet<Capability>,
    failed: bool,
}

impl Recorded {
    /// Opens a file of tick lines.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let unopened = |cause| SourceError::Unopened { path: path.display().to_string(), cause };
        let file = File::open(path).map_err(unopened)?;
        Self::of(BufReader::new(file)).map_err(unopened)
    }

    fn of(mut lines: impl BufRead + Send + 'static) -> std::io::Result<Self> {
        let gzipped = lines.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let lines: Box<dyn BufRead + Send> = if gzipped {
            Box::new(BufReader::new(MultiGzDecoder::new(lines)))
        } else {
            Box::new(lines)
        };
        // hours come from the exchange's calendar, whatever the file holds
        let seen = BTreeSet::from([Capability::Calendar]);
        Ok(Self { lines, line: 0, next: None, latest: None, seen, failed: false })
    }

    /// The number of the line read last, from 1.
    pub const fn line(&self) -> u64 {
        self.line
    }

    fn fill(&mut self) -> Result<(), SourceError> {
        if self.next.is_some() {
            return Ok(());
        }
        if self.failed {
            return Err(SourceError::Stopped { line: self.line });
        }
        let read = self.read();
        self.failed = read.is_err();
        self.next = read?;
        Ok(())
    }

    /// The next tick of the file; `None` at its end.
    fn read(&mut self) -> Result<Option<Tick>, SourceError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line += 1;
            // one byte more than allowed tells a line that is too long; the line break is another
            let mut bounded = (&mut self.lines).take(MAX_LINE_BYTES as u64 + 2);
            let read = bounded.read_until(b'\n', &mut line);
            let read = read.map_err(|cause| SourceError::Unread { line: self.line, cause })?;
            if read == 0 {
                return Ok(None);
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let Some(tick) = parse_told(text, self.line)? else { continue };
            if let (Some(at), Some(before)) = (tick.at(), self.latest)
                && at < before
            {
                return Err(SourceError::OutOfOrder { line: self.line, at, before });
            }
            self.latest = tick.at().or(self.latest);
            return Ok(Some(tick));
        }
    }
}

impl MarketData for Recorded {
    fn name(&self) -> &'static str {
        RECORDED
    }

    /// What the lines delivered so far have shown: the rest of the file is not known yet.
    fn capabilities(&self) -> BTreeSet<Capability> {
        self.seen.clone()
    }

    fn peek(&mut self) -> Result<Option<&Tick>, SourceError> {
        self.fill()?;
        Ok(self.next.as_ref())
    }

    fn take(&mut self) -> Result<Option<Tick>, SourceError> {
        self.fill()?;
        let tick = self.next.take();
        self.seen.extend(tick.as_ref().and_then(Capability::shown_by));
        Ok(tick)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use aggregates::money::Quantity;
    use rust_decimal::Decimal;

    use super::*;
    use crate::market::calendar::{Calendar, new_york_date};
    use crate::market::tick::Span;

    fn shipped(name: &str) -> Recorded {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
        Recorded::open(&path).unwrap()
    }

    fn all(mut source: Recorded) -> Vec<Tick> {
        std::iter::from_fn(|| source.take().unwrap()).collect()
    }

    fn of(text: &'static [u8]) -> Recorded {
        Recorded::of(text).unwrap()
    }

    #[test]
    fn every_shipped_bar_is_of_a_new_york_session_and_no_session_is_missing() {
        for (name, symbols) in [("daily-2000-2013.jsonl.gz", 3), ("daily-2008-autumn.jsonl.gz", 4)]
        {
            let mut bars_on: BTreeMap<_, usize> = BTreeMap::new();
            for tick in all(shipped(name)) {
                let Tick::Bar(bar) = tick else { continue };
                let date = new_york_date(bar.at);
                assert!(Calendar::nyse().session_on(date).unwrap().is_some(), "{name}: {date}");
                assert_eq!(bar.span, Span::Day);
                assert!(bar.volume > Quantity::ZERO);
                *bars_on.entry(date).or_default() += 1;
            }
            let (first, last) = (*bars_on.keys().min().unwrap(), *bars_on.keys().max().unwrap());
            for date in first.iter_days().take_while(|date| *date <= last) {
                let session = Calendar::nyse().session_on(date).unwrap();
                let bars = bars_on.get(&date).copied().unwrap_or(0);
                assert_eq!(session.is_some(), bars >= symbols, "{name}: {date} has {bars} bars");
            }
        }
    }

    #[test]
    fn a_split_is_in_force_before_the_first_bar_on_its_terms() {
        let ticks = all(shipped("daily-2000-2013.jsonl.gz"));
        let splits: Vec<usize> =
            (0..ticks.len()).filter(|i| matches!(ticks[*i], Tick::Split(_))).collect();
        assert_eq!(splits.len(), 3);
        for index in splits {
            let same = |tick: &&Tick| {
                matches!(tick, Tick::Bar(_)) && tick.symbol() == ticks[index].symbol()
            };
            let (before, after) = ticks.split_at(index);
            let Some(Tick::Bar(before)) = before.iter().rev().find(same) else { panic!() };
            let Some(Tick::Bar(after)) = after.iter().find(same) else { panic!() };
            assert_eq!(Some(after.at), ticks[index].at());
            let ratio = before.close.decimal() / after.open.decimal();
            let (least, most) = (Decimal::new(18, 1), Decimal::new(22, 1));
            assert!((least..most).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn a_line_out_of_order_is_reported_and_ends_the_recording() {
        let mut source = of(br#"{"t":"clock","at":"2026-11-23T14:30:00Z"}

{"t":"clock","at":"2026-11-23T14:29:59Z"}
{"t":"clock","at":"2026-11-23T14:31:00Z"}
"#);
        assert!(source.take().unwrap().is_some());
        assert!(matches!(source.take(), Err(SourceError::OutOfOrder { line: 3, .. })));
        assert!(matches!(source.take(), Err(SourceError::Stopped { line: 3 })));
    }

    #[test]
    fn a_malformed_line_is_found_when_it_is_reached_and_not_before() {
        let mut source = of(b"{\"t\":\"clock\",\"at\":\"2026-11-23T14:30:00Z\"}\n{}");
        assert!(source.take().unwrap().is_some());
        let error = source.peek().unwrap_err();
        assert!(error.to_string().contains("line 2: field 't' is missing"), "{error}");
    }

    #[test]
    fn a_recording_that_is_cut_off_is_an_error_and_not_an_end() {
        let whole: &'static [u8] = include_bytes!("../../data/daily-2008-autumn.jsonl.gz");
        let mut source = Recorded::of(&whole[..whole.len() / 2]).unwrap();
        let error = loop {
            match source.take() {
                Ok(tick) => assert!(tick.is_some(), "ended as if it were whole"),
                Err(error) => break error,
            }
        };
        // cut in the middle of a block: the decoder's error, never a quiet end
        assert!(matches!(error, SourceError::Unread { .. }), "{error}");
    }

    #[test]
    fn capabilities_are_what_has_been_delivered() {
        let mut source = shipped("daily-2008-autumn.jsonl.gz");
        assert!(source.require(Capability::Bars).is_err());
        while !matches!(source.take().unwrap(), Some(Tick::Bar(_))) {}
        assert!(source.require(Capability::Bars).is_ok());
        assert!(source.require(Capability::Quotes).is_err());
    }
}
