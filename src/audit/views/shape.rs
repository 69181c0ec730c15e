//! A JSON document that is expected, by meaning: `"187.2"` and `"187.20"` are one amount, and two spellings of a
//! moment are one moment; names and words have to be the same text.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde_json::{Map, Value};

use crate::audit::fold::amount::Amount;

/// What has to stand at a place of a document.
#[derive(Clone, Debug)]
pub(super) enum Want {
    /// Nothing, or `null`.
    Nothing,
    /// This, whatever it is.
    Exactly(Value),
    /// A string with this amount.
    Amount(Amount),
    /// A string with this moment, in microseconds since 1970.
    Time(i64),
    /// These items in this order.
    List(Vec<Self>),
    /// These fields and no others.
    Object(BTreeMap<String, Self>),
}

/// Fields by name.
pub(super) fn object<const N: usize>(fields: [(&str, Want); N]) -> Want {
    Want::Object(fields.into_iter().map(|(name, want)| (name.to_owned(), want)).collect())
}

/// A string, a number, true or false.
pub(super) fn exactly(value: impl Into<Value>) -> Want {
    Want::Exactly(value.into())
}

/// What may be absent.
pub(super) fn maybe<T>(value: Option<T>, want: impl FnOnce(T) -> Want) -> Want {
    value.map_or(Want::Nothing, want)
}

/// Amounts by the name of what they are for.
pub(super) fn amounts(of: &BTreeMap<impl ToString, Amount>) -> Want {
    Want::Object(of.iter().map(|(key, amount)| (key.to_string(), Want::Amount(*amount))).collect())
}

/// Names in order.
pub(super) fn names(of: &BTreeSet<String>) -> Want {
    Want::List(of.iter().map(|name| exactly(name.as_str())).collect())
}

impl Want {
    /// The first place at which `found` is something else: its path and what is wrong there.
    pub(super) fn difference(&self, found: &Value) -> Option<String> {
        match (self, found) {
            (Self::Nothing, Value::Null) => None,
            (Self::Exactly(value), found) if value == found => None,
            (Self::Amount(amount), Value::String(text)) if Amount::read(text) == Some(*amount) => {
                None
            }
            (Self::Time(at), Value::String(text))
                if DateTime::parse_from_rfc3339(text)
                    .is_ok_and(|time| time.timestamp_micros() == *at) =>
            {
                None
            }
            (Self::List(wants), Value::Array(items)) if wants.len() == items.len() => wants
                .iter()
                .zip(items)
                .enumerate()
                .find_map(|(n, (want, item))| Some(format!("[{n}]{}", want.difference(item)?))),
            (Self::Object(wants), Value::Object(fields)) => in_fields(wants, fields),
            _ => Some(format!(" is {found}, {self} by the events")),
        }
    }
}

fn in_fields(wants: &BTreeMap<String, Want>, fields: &Map<String, Value>) -> Option<String> {
    let missing = wants.iter().find_map(|(name, want)| {
        let found = fields.get(name).unwrap_or(&Value::Null);
        Some(format!(".{name}{}", want.difference(found)?))
    });
    missing.or_else(|| {
        let stray =
            fields.iter().find(|(name, value)| !wants.contains_key(*name) && !value.is_null());
        stray.map(|(name, value)| format!(".{name} is {value}, nothing by the events"))
    })
}

impl std::fmt::Display for Want {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing"),
            Self::Exactly(value) => write!(f, "{value}"),
            Self::Amount(amount) => write!(f, "{amount}"),
            Self::Time(at) => write!(f, "{at} µs"),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Object(fields) => write!(f, "an object of {} fields", fields.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_differs_at_the_first_place_that_means_something_else() {
        let amount = Amount::read("187.2").expect("an amount");
        let want = object([
            ("amount", Want::Amount(amount)),
            ("at", Want::Time(1_000_000)),
            ("gone", Want::Nothing),
            ("list", Want::List(vec![exactly("1.0"), exactly(2)])),
        ]);
        let right = json!({"amount": "187.20", "at": "1970-01-01T00:00:01Z", "list": ["1.0", 2]});
        assert_eq!(want.difference(&right), None);
        for (field, wrong, place) in [
            ("amount", json!("187.21"), ".amount is"),
            ("amount", json!(187.2), ".amount is"),
            ("at", json!("1970-01-01T00:00:01.000001Z"), ".at is"),
            ("gone", json!("here"), ".gone is"),
            ("list", json!(["1", 2]), ".list[0] is"),
            ("list", json!(["1.0"]), ".list is"),
            ("more", json!(0), ".more is"),
        ] {
            let mut found = right.clone();
            found[field] = wrong;
            let difference = want.difference(&found).expect("a difference");
            assert!(difference.starts_with(place), "{difference}");
        }
        assert_eq!(
            want.difference(&json!({})).as_deref(),
            Some(".amount is null, 187.2 by the events")
        );
    }
}
