//! How bodies from outside are read, the same on both faces: strictly, before anything looks at what they mean.
//!
//! Guarantees: [`take`] keeps no more than it is allowed; what [`strict`] lets pass is one JSON text, nests no deeper
//! than [`DEPTH`], names no field of an object twice at any depth, and has no string that is not Unicode. [`is_exact`]
//! tells numbers that every JSON library keeps from those that a binary float would round. Costs two passes over the
//! text and recurses no deeper than [`DEPTH`].

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use tokio::time::timeout;

/// How long a body may take to arrive.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The deepest nesting.
pub const DEPTH: usize = 32;
/// The most significant digits of a number.
pub const DIGITS: usize = 15;

/// What is read of a body beyond its limit, and thrown away: a client that is still sending when the connection
/// closes sees a broken pipe instead of the answer.
const DRAINED: usize = 16 * 1024 * 1024;
/// How long that is waited for.
const DRAINING: Duration = Duration::from_secs(2);

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// It is larger than is taken.
    TooLarge,
    /// It did not arrive in time.
    Late,
}

/// Why a text is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    Encoding,
    /// Nested too deep.
    #[error("it is nested deeper than {DEPTH}")]
    Deep,
    /// No JSON, or a field twice.
    #[error("it is not JSON with each field once: {0}")]
    Malformed(serde_json::Error),
}

/// The bytes of a body that has at most `most` of them and arrives within `patience`.
///
/// # Errors
/// It has more: up to [`DRAINED`] of them were read then, as far as they came in time, so that whoever sends them can read
/// the answer. Or it is late.
pub async fn take(body: Body, most: usize, patience: Duration) -> Result<Bytes, Untaken> {
    timeout(patience, whole(body, most)).await.unwrap_or(Err(Untaken::Late))
}

async fn whole(body: Body, most: usize) -> Result<Bytes, Untaken> {
    let declared = body.size_hint().lower();
    if declared > (most + DRAINED) as u64 {
        return Err(Untaken::TooLarge);
    }
    let (mut chunks, mut taken) = (body.into_data_stream(), Vec::new());
    if declared > most as u64 {
        drain(chunks).await;
        return Err(Untaken::TooLarge);
    }
    while let Some(chunk) = chunks.next().await {
        // The only failure is a client that hangs up, who reads no answer.
        let chunk = chunk.map_err(|_| Untaken::TooLarge)?;
        if taken.len() + chunk.len() > most {
            drain(chunks).await;
            return Err(Untaken::TooLarge);
        }
        taken.extend_from_slice(&chunk);
    }
    Ok(taken.into())
}

/// Throws away what comes, as far as [`DRAINED`] and [`DRAINING`] say.
async fn drain(mut chunks: BodyDataStream) {
    let mut length = 0;
    let all = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            length += chunk.len();
            if length > DRAINED {
                return;
            }
        }
    };
    // Who sends no more is answered as well.
    let _in_time = timeout(DRAINING, all).await;
}

/// The text of `bytes`, if it is JSON that may be read.
///
/// # Errors
/// What is wrong with it, without what it holds.
pub fn strict(bytes: &[u8]) -> Result<&str, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Encoding)?;
    if Tokens::of(text).depth > DEPTH {
        return Err(Unreadable::Deep);
    }
    serde_json::from_str::<EachOnce>(text).map_err(Unreadable::Malformed)?;
    Ok(text)
}

/// Whether every number in `json` has at most [`DIGITS`] significant digits and no exponent.
pub fn is_exact(json: &str) -> bool {
    !Tokens::of(json).inexact
}

/// Whether a body says that it is of this type, in UTF-8 and not compressed.
pub fn is_plain(headers: &HeaderMap, media_type: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = given.unwrap_or_default().split(';').map(str::trim);
    let typed = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(media_type));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    let plain = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    typed && utf8 && plain
}

/// What the tokens outside of strings say.
#[derive(Default)]
struct Tokens {
    depth: usize,
    inexact: bool,
}

impl Tokens {
    fn of(json: &str) -> Self {
        let mut tokens = Self::default();
        let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
        let (mut in_number, mut digits) = (false, 0usize);
        for byte in json.bytes() {
            let number = !quoted && matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+')
                || in_number && matches!(byte, b'e' | b'E');
            if !number {
                (in_number, digits) = (false, 0);
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'[' | b'{' => {
                    depth += 1;
                    tokens.depth = tokens.depth.max(depth);
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ if number => {
                    in_number = true;
                    digits += usize::from(byte.is_ascii_digit() && (byte != b'0' || digits > 0));
                    tokens.inexact |= digits > DIGITS || matches!(byte, b'e' | b'E');
                }
                _ => {}
            }
        }
        tokens
    }
}

/// JSON of any shape in which no object names a field twice.
struct EachOnce;

impl<'de> Deserialize<'de> for EachOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = EachOnce;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_bool<E>(self, _: bool) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_i64<E>(self, _: i64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_u64<E>(self, _: u64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_f64<E>(self, _: f64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_str<E>(self, _: &str) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<EachOnce, A::Error> {
        while items.next_element::<EachOnce>()?.is_some() {}
        Ok(EachOnce)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<EachOnce, A::Error> {
        let mut known = BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            fields.next_value::<EachOnce>()?;
            if !known.insert(name) {
                return Err(A::Error::custom("a field is given twice"));
            }
        }
        Ok(EachOnce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_large_is_told_so_also_if_the_rest_of_it_never_comes() {
        let taken = async |body: Body| take(body, 8, PATIENCE).await;
        let whole = taken(Body::from("12345678")).await.unwrap();
        assert_eq!(&whole[..], b"12345678");
        assert_eq!(taken(Body::from("123456789")).await, Err(Untaken::TooLarge));
        let some = futures::stream::iter([Ok::<_, std::io::Error>("12345"), Ok("6789")]);
        let endless = Body::from_stream(some.chain(futures::stream::pending()));
        let told = timeout(2 * DRAINING, taken(endless)).await;
        assert_eq!(told.expect("it is not waited for"), Err(Untaken::TooLarge));
    }

    #[tokio::test]
    async fn what_does_not_arrive_is_told_so_in_time() {
        let some = futures::stream::iter([Ok::<_, std::io::Error>("12345")]);
        let endless = Body::from_stream(some.chain(futures::stream::pending()));
        let told = take(endless, 8, Duration::from_millis(50)).await;
        assert_eq!(told, Err(Untaken::Late));
    }

    #[test]
    fn what_is_no_json_with_each_field_once_is_unreadable() {
        for text in [
            "",
            "{",
            "{}x",
            "{}{}",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{\"a\":\"\u{0}\"}",
            "{\"a\":1} // no",
            "\u{feff}{}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":1}",
            "{\"a\":[{\"b\":1,\"b\":2}]}",
            "\"\\ud800\"",
            "[1e400]",
        ] {
            assert!(strict(text.as_bytes()).is_err(), "{text}");
        }
        assert!(strict(&[b'"', 0xff, b'"']).is_err());
        for text in ["null", "[]", "{\"a\":[{\"b\":1},{\"b\":1}]}", "\"\\ud83d\\ude00\""] {
            assert!(strict(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit_and_brackets_in_strings_do_not_nest() {
        let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(strict(nested(DEPTH).as_bytes()).is_ok());
        assert!(strict(nested(DEPTH + 1).as_bytes()).is_err());
        assert!(strict(nested(100_000).as_bytes()).is_err());
        assert!(strict(format!("\"\\\"{}\"", "[".repeat(100)).as_bytes()).is_ok());
    }

    #[test]
    fn numbers_that_a_float_rounds_are_told_from_those_that_it_keeps() {
        for json in ["1", "-187.25", "0.000000001", "[1,2]", "\"1e5 12345678901234567890\""] {
            assert!(is_exact(json), "{json}");
        }
        for json in ["1e0", "-1E5", "1e-400", "1.00000000000000000001", "[1,1234567890123456]"] {
            assert!(!is_exact(json), "{json}");
        }
    }
}
