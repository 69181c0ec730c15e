//! Reading what clients send, strictly: fields are taken one by one, and what is left is refused by name.
//!
//! Guarantees: no input panics or reaches the ledger half read; unknown fields, hidden characters, decimals in any
//! other form than ours and what [`body::strict`] does not let pass are refused; all bad fields are named at once. A
//! JSON number is taken by its own digits, never through a float. Costs three passes over the body.

mod nested;
mod unknown;

use std::fmt;
use std::str::FromStr;

use aggregates::money::AmountError;
use chrono::NaiveDate;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::Problem;
use crate::body::{self, DIGITS};
use crate::identity::passwords::Password;
use crate::service::{Fault, ServiceError, new_york_midnight, text};

/// The most fields of one object.
const FIELDS: usize = 64;

/// What a field holds.
enum Value {
    /// A JSON value as it was written.
    Json(Box<RawValue>),
    /// A query parameter.
    Text(String),
}

/// The fields of a body or a query that nobody has taken yet, and what was wrong with those that were.
pub struct Fields {
    left: Vec<(String, Value)>,
    /// The names that were asked for, whether they were there or not.
    known: Vec<String>,
    faults: Vec<Fault>,
}

impl Fields {
    /// Reads a body, which has to be one JSON object.
    pub fn of_body(body: &[u8]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Err(Problem::unreadable(
                "the body is empty: send a JSON object, {} at the least",
            ));
        }
        let body = body::strict(body)
            .map_err(|error| Problem::unreadable(format!("the body cannot be read: {error}")))?;
        if !body.trim_start().starts_with('{') {
            return Err(Problem::unreadable("the body is not a JSON object"));
        }
        let mut reader = serde_json::Deserializer::from_str(body);
        let left = reader
            .deserialize_map(InOrder)
            .map_err(|error| Problem::unreadable(format!("the body cannot be read: {error}")))?;
        Ok(Self::of(left))
    }

    /// Reads the parameters of a query, still encoded.
    pub fn of_query(query: Option<&str>) -> Result<Self, Problem> {
        let mut left: Vec<(String, Value)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if left.len() == FIELDS {
                return Err(Problem::unreadable("the query has more parameters than any takes"));
            }
            if left.iter().any(|(known, _)| *known == name) {
                return Err(Problem::unreadable("a query parameter is given twice"));
            }
            left.push((name, Value::Text(value)));
        }
        Ok(Self::of(left))
    }

    fn of(left: Vec<(String, Value)>) -> Self {
        Self { left, known: Vec::new(), faults: Vec::new() }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.known.push(field.to_owned());
        let index = self.left.iter().position(|(name, _)| name == field)?;
        let value = self.left.swap_remove(index).1;
        match &value {
            Value::Json(raw) if raw.get() == "null" => None,
            _ => Some(value),
        }
    }

    fn fault(&mut self, field: &str, code: &'static str, message: String) {
        self.faults.push(Fault::new(field, code, message));
    }

    /// Says that a field has to be there.
    pub fn need<T>(&mut self, field: &str, read: Option<T>) -> Option<T> {
        if read.is_none() && !self.is_faulty(field) {
            self.fault(field, "missing_field", format!("{field} is missing"));
        }
        read
    }

    /// Whether something was wrong with a field.
    pub fn is_faulty(&self, field: &str) -> bool {
        self.faults.iter().any(|fault| fault.field == field)
    }

    /// A text of 1 to `most` characters.
    pub fn text(&mut self, field: &str, most: usize) -> Option<String> {
        let value = match self.take(field)? {
            Value::Text(text) => text,
            Value::Json(raw) => match serde_json::from_str::<String>(raw.get()) {
                Ok(text) => text,
                Err(_) => {
                    self.fault(field, "invalid_type", format!("{field} has to be a string"));
                    return None;
                }
            },
        };
        match text::fault(field, &value, most) {
            None => Some(value),
            Some(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    /// A secret of any characters, which no message repeats.
    pub fn secret(&mut self, field: &str) -> Option<Password> {
        let read = match self.take(field)? {
            Value::Text(_) => None,
            Value::Json(raw) => serde_json::from_str::<String>(raw.get()).ok(),
        };
        if read.is_none() {
            self.fault(field, "invalid_type", format!("{field} has to be a string"));
        }
        read.map(Password::new)
    }

    /// One of a list of words.
    pub fn word<T: Copy>(&mut self, field: &str, words: &[(&str, T)]) -> Option<T> {
        let word = self.text(field, 64)?;
        let found = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
            self.fault(
                field,
                "invalid_value",
                format!("{field} has to be one of {}", known.join(", ")),
            );
        }
        found
    }

    /// Some of a list of words, with commas between them.
    pub fn words<T: Copy>(&mut self, field: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let text = self.text(field, 256)?;
        let find =
            |word: &str| words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        let found: Option<Vec<T>> = text.split(',').map(find).collect();
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
            let message =
                format!("{field} is a list of {}, with commas between them", known.join(", "));
            self.fault(field, "invalid_value", message);
        }
        found
    }

    /// Yes or no.
    pub fn flag(&mut self, field: &str) -> Option<bool> {
        let found = match self.take(field)? {
            Value::Json(raw) => serde_json::from_str(raw.get()).ok(),
            Value::Text(text) => text.parse().ok(),
        };
        if found.is_none() {
            self.fault(field, "invalid_type", format!("{field} has to be true or false"));
        }
        found
    }

    /// A whole number from `least` to `most`.
    pub fn whole(&mut self, field: &str, least: u64, most: u64) -> Option<u64> {
        let text = match self.take(field)? {
            Value::Json(raw) => raw.get().to_owned(),
            Value::Text(text) => text,
        };
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|n| plain && (least..=most).contains(n));
        if number.is_none() {
            let message = format!("{field} has to be a whole number from {least} to {most}");
            self.fault(field, "invalid_value", message);
        }
        number
    }

    /// An amount: a string in the one form of decimals, or a JSON number of at most 15 significant digits.
    pub fn amount<T: FromStr<Err = AmountError>>(&mut self, field: &str) -> Option<T> {
        let text = match self.take(field)? {
            Value::Text(text) => text,
            Value::Json(raw) => match amount_text(raw.get()) {
                Ok(text) => text,
                Err((code, message)) => {
                    self.fault(field, code, format!("{field} {message}"));
                    return None;
                }
            },
        };
        match text.parse() {
            Ok(amount) => Some(amount),
            Err(error) => {
                self.fault(field, "invalid_amount", format!("{field}: {error}"));
                None
            }
        }
    }

    /// An amount, or `null` for none: `None` if the field is not there at all.
    pub fn amount_or_null<T: FromStr<Err = AmountError>>(
        &mut self,
        field: &str,
    ) -> Option<Option<T>> {
        if self.is_null(field) { Some(None) } else { self.amount(field).map(Some) }
    }

    /// A whole number within bounds, or `null` for none: `None` if the field is not there at all.
    pub fn whole_or_null(&mut self, field: &str, least: u64, most: u64) -> Option<Option<u64>> {
        if self.is_null(field) { Some(None) } else { self.whole(field, least, most).map(Some) }
    }

    /// Takes a field that is `null`; one that is not stays.
    fn is_null(&mut self, field: &str) -> bool {
        let is_null = |value: &Value| matches!(value, Value::Json(raw) if raw.get() == "null");
        match self.left.iter().position(|(name, value)| name == field && is_null(value)) {
            Some(index) => {
                self.left.swap_remove(index);
                self.known.push(field.to_owned());
                true
            }
            None => false,
        }
    }

    /// A moment with its zone, as RFC 3339 has it.
    pub fn time(&mut self, field: &str) -> Option<chrono::DateTime<chrono::Utc>> {
        let text = self.text(field, 64)?;
        let time = chrono::DateTime::parse_from_rfc3339(&text).ok();
        if time.is_none() {
            let message =
                format!("{field} has to be a time with its zone such as 2026-11-23T14:30:00Z");
            self.fault(field, "invalid_value", message);
        }
        Some(time?.to_utc())
    }

    /// A date.
    pub fn date(&mut self, field: &str) -> Option<NaiveDate> {
        let text = self.text(field, 64)?;
        let date = plain_date(&text);
        if date.is_none() {
            let message = format!("{field} has to be a date such as 2026-11-23");
            self.fault(field, "invalid_value", message);
        }
        date
    }

    /// A moment with its zone, or a date for the midnight in New York at which it begins.
    pub fn instant(&mut self, field: &str) -> Option<chrono::DateTime<chrono::Utc>> {
        let text = self.text(field, 64)?;
        let time = chrono::DateTime::parse_from_rfc3339(&text).ok().map(|time| time.to_utc());
        let instant = time.or_else(|| plain_date(&text).map(new_york_midnight));
        if instant.is_none() {
            let message = format!(
                "{field} has to be a time with its zone such as 2026-11-23T14:30:00Z, or a date such as 2026-11-23"
            );
            self.fault(field, "invalid_value", message);
        }
        instant
    }

    /// An id in its hyphenated form.
    pub fn id<T: FromStr>(&mut self, field: &str) -> Option<T> {
        let text = self.text(field, 64)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.fault(
                field,
                "invalid_value",
                format!("{field} has to be an id as the server gives it"),
            );
        }
        id
    }

    /// The end of reading: what nobody has taken is refused, then everything that was wrong, with what the caller
    /// found beside it in fields that could be read.
    pub fn end(mut self, more: impl IntoIterator<Item = Fault>) -> Result<(), Problem> {
        for fault in more {
            if !self.is_faulty(&fault.field) {
                self.faults.push(fault);
            }
        }
        let faults = self.every_fault();
        if faults.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(faults).into()) }
    }
}

/// A date of four digits, two and two.
fn plain_date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10)
}

/// The text of an amount, from the JSON token that holds it.
fn amount_text(token: &str) -> Result<String, (&'static str, String)> {
    if token.starts_with('"') {
        let unreadable = |_| ("invalid_amount", "is not Unicode".to_owned());
        return serde_json::from_str(token).map_err(unreadable);
    }
    if !token.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        let message = "has to be a decimal string such as \"187.25\"";
        return Err(("invalid_type", message.to_owned()));
    }
    if !body::is_exact(token) {
        let message = format!(
            "is a JSON number of more than {DIGITS} significant digits or with an exponent: send a string such as \"187.25\""
        );
        return Err(("invalid_amount", message));
    }
    // Of a number, unlike of a string, the zeros at its end say nothing.
    let plain = match token.contains('.') {
        true => token.trim_end_matches('0').trim_end_matches('.'),
        false => token,
    };
    Ok(plain.to_owned())
}

/// Decodes `%41` and `+` of a query.
fn decoded(text: &str) -> Result<String, Problem> {
    let unreadable = || Problem::unreadable("the query is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || {
                    rest.next().and_then(|hex| char::from(hex).to_digit(16)).ok_or_else(unreadable)
                };
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).map_err(|_| unreadable())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| unreadable())
}

/// An object's fields in order, as they were written.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if fields.len() == FIELDS {
                return Err(A::Error::custom("more fields than any request has"));
            }
            fields.push((name, Value::Json(value)));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use aggregates::money::{Price, Quantity};
    use proptest::prelude::*;

    use super::*;

    fn amount(json: &str) -> Result<String, ()> {
        let body = format!("{{\"qty\":{json}}}");
        let mut fields = Fields::of_body(body.as_bytes()).map_err(drop)?;
        let qty: Option<Quantity> = fields.amount("qty");
        fields.end([]).map_err(drop)?;
        qty.map(|qty| qty.to_string()).ok_or(())
    }

    #[test]
    fn decimals_are_read_exactly_or_refused() {
        for (json, read) in [
            ("\"187.25\"", "187.25"),
            ("\"0\"", "0"),
            ("\"-1\"", "-1"),
            ("\"1.123456789\"", "1.123456789"),
            ("1", "1"),
            ("187.25", "187.25"),
            ("0.000000001", "0.000000001"),
            ("100000.123456789", "100000.123456789"),
            ("1.0000000000", "1"),
            ("100.0", "100"),
        ] {
            assert_eq!(amount(json).as_deref(), Ok(read), "{json}");
        }
        for json in [
            "\"1_000\"",
            "\"1E5\"",
            "\"+5\"",
            "\".5\"",
            "\"5.\"",
            "\"01\"",
            "\"\"",
            "\" 1\"",
            "\"1 \"",
            "\"1,5\"",
            "\"0x10\"",
            "\"NaN\"",
            "\"Infinity\"",
            "\"1.1234567890\"",
            "\"1234567890123456789\"",
            "\"--1\"",
            "\"١\"",
            "\"1\\u0000\"",
            "1e2",
            "1E2",
            "1.5e0",
            "1234567890.123456",
            "0.1000000000000001",
            "true",
            "[]",
            "{}",
            "null",
        ] {
            assert!(amount(json).is_err(), "{json}");
        }
    }

    #[test]
    fn bodies_that_are_not_one_plain_object_are_unreadable() {
        for body in [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{}x",
            "{}{}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":1}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{'a':1}",
            "{\"a\":\"\u{0}\"}",
            "\u{feff}{}",
            "{\"a\":1,}",
        ] {
            assert!(Fields::of_body(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Fields::of_body(&[b'{', 0xff, b'}']).is_err());
    }

    #[test]
    fn all_bad_fields_are_named_at_once_and_hidden_characters_are_bad() {
        let body =
            r#"{"qty":"x","limit_price":"1.2.3","symbol":"A\u202e","other":1,"note":"a\u0000b"}"#;
        let mut fields = Fields::of_body(body.as_bytes()).unwrap();
        let _: Option<Quantity> = fields.amount("qty");
        let _: Option<Price> = fields.amount("limit_price");
        fields.text("symbol", 32);
        fields.text("note", 100);
        let side = fields.word("side", &[("buy", 1), ("sell", 2)]);
        fields.need("side", side);
        let named: Vec<_> = fields.faults.iter().map(|fault| fault.field.clone()).collect();
        assert_eq!(named, ["qty", "limit_price", "symbol", "note", "side"]);
        assert!(fields.end([]).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(body: Vec<u8>, query: String) {
            let _ = Fields::of_body(&body).map(|mut fields| fields.amount::<Quantity>("a"));
            let _ = Fields::of_query(Some(&query)).map(|mut fields| fields.text("a", 10));
        }
    }
}
