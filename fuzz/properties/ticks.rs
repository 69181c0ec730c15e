//! Lines of the market: what is read is written as a line that reads as the same tick; what is not is explained briefly.

use aggregates::market::MarketTime;
use blotter::market::reading::{parse_lines, parse_told};
use blotter::service::text::is_hidden;

/// The longest explanation, in characters.
const EXPLAINED: usize = 400;

pub fn are_written_as_they_are_read(input: &[u8]) {
    let mut read = Ok(0);
    for line in input.split(|byte| *byte == b'\n') {
        match parse_told(line, 1) {
            Ok(None) => {}
            Ok(Some(tick)) => {
                let written = tick.to_line();
                let again = parse_told(written.as_bytes(), 1);
                assert_eq!(again, Ok(Some(tick)), "{written}");
                read = read.map(|read| read + 1);
            }
            Err(error) => {
                let error = error.to_string();
                assert!(
                    !error.contains(is_hidden) && error.chars().count() <= EXPLAINED,
                    "{error:?}"
                );
                read = Err(());
            }
        }
    }
    assert_eq!(
        parse_lines(input, usize::MAX, MarketTime::MAX_UTC).map(|ticks| ticks.len()).map_err(drop),
        read
    );
}
