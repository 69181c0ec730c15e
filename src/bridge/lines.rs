//! Lines of input, none of which takes more memory than the largest message.

use std::io::{self, BufRead, Read};

/// A line of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// What stands on it.
    Text(String),
    /// It has more bytes than this, which is the most, and was thrown away.
    TooLong(usize),
}

/// The next line, with at most `most` bytes; none at the end.
///
/// # Errors
/// The input cannot be read.
pub fn next(input: &mut impl BufRead, most: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    if input.take(most as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() > most && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        return Ok(Some(Line::TooLong(most)));
    }
    // What is no UTF-8 is no JSON either, and is answered so.
    Ok(Some(Line::Text(String::from_utf8_lossy(&line).trim_end().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_named_and_the_next_one_is_read() {
        let text = |text: &str| Some(Line::Text(text.to_owned()));
        let mut input = io::Cursor::new("12345\n123456\r\n\n123456789\n12");
        let mut lines = Vec::new();
        while let Some(line) = next(&mut input, 5).unwrap() {
            lines.push(Some(line));
        }
        let long = || Some(Line::TooLong(5));
        assert_eq!(lines, [text("12345"), long(), text(""), long(), text("12")]);
    }

    #[test]
    fn what_never_ends_is_not_kept() {
        let mut input = io::BufReader::new(io::repeat(b'x').take(1 << 26));
        assert_eq!(next(&mut input, 9).unwrap(), Some(Line::TooLong(9)));
        assert_eq!(next(&mut input, 9).unwrap(), None);
    }
}
