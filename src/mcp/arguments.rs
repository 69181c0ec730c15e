//! Reads the arguments of a tool: every bad one is named, an unknown one too. Models send numbers where text belongs
//! and text where numbers belong; what can be read exactly is read, the rest is refused with what to send instead.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use aggregates::id::{AccountId, OrderId};
use aggregates::money::AmountError;
use aggregates::order::Trail;
use aggregates::refusal::RefusalCode;
use chrono::{DateTime, NaiveDate, Utc};
use rmcp::model::JsonObject;
use serde_json::{Number, Value};

use super::reading::Inexact;
use crate::body::DIGITS;
use crate::service::text::{self, KEY_MAX, NOTE_MAX};
use crate::service::{Fault, HistoryPeriod, ServiceError};

/// The most objects of a list.
const LISTED: usize = 64;
/// The longest word and the longest id, in characters.
const WORD_MAX: usize = 64;

/// The arguments of one call. Take each by name, then [`Arguments::end`].
pub struct Arguments {
    left: JsonObject,
    takes: Vec<&'static str>,
    inexact: BTreeSet<String>,
    faults: Vec<Fault>,
}

impl Arguments {
    /// All that was sent, what of it is not as it was sent, and what the tool takes. A null is an argument that was left out.
    pub fn new(mut sent: JsonObject, Inexact(inexact): Inexact, takes: Vec<&'static str>) -> Self {
        sent.retain(|_, value| !value.is_null());
        Self { left: sent, takes, inexact, faults: Vec::new() }
    }

    fn fault(&mut self, field: &str, code: &'static str, message: impl Into<String>) {
        self.faults.push(Fault::new(field, code, message));
    }

    /// Refuses an argument that could be read and does not fit the others.
    pub fn refuse(&mut self, name: &str, message: &str) {
        self.fault(name, "invalid_value", message);
    }

    /// Text of at most `most` characters, without hidden ones.
    pub fn text(&mut self, name: &str, most: usize) -> Option<String> {
        match self.left.remove(name)? {
            Value::String(value) => match text::fault(name, &value, most) {
                None => Some(value),
                Some(fault) => {
                    self.faults.push(fault);
                    None
                }
            },
            _ => {
                self.fault(name, "invalid_type", format!("{name} has to be a string"));
                None
            }
        }
    }

    /// Text that has to be there.
    pub fn required_text(&mut self, name: &str, most: usize) -> String {
        if !self.left.contains_key(name) {
            self.missing(name);
        }
        self.text(name, most).unwrap_or_default()
    }

    /// Whether it was sent and is not taken yet.
    pub fn is_given(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Whether nothing was wrong so far.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// Says that it has to be there.
    pub fn require(&mut self, name: &str) {
        if !self.left.contains_key(name) {
            self.missing(name);
        }
    }

    fn missing(&mut self, name: &str) {
        self.fault(name, "missing_field", format!("{name} is missing"));
    }

    /// A decimal: a string such as "187.25", or a JSON number that is exact.
    pub fn amount<T: FromStr<Err = AmountError>>(&mut self, name: &str) -> Option<T> {
        let written = match self.left.remove(name)? {
            Value::String(written) => written,
            Value::Number(_) if self.inexact.contains(name) => {
                let message = format!(
                    "{name} is a JSON number of more than {DIGITS} significant digits or with an exponent: send a \
                     string such as \"187.25\""
                );
                self.fault(name, "invalid_amount", message);
                return None;
            }
            Value::Number(number) => plain(&number),
            _ => {
                self.fault(
                    name,
                    "invalid_type",
                    format!("{name} has to be a decimal string such as \"187.25\""),
                );
                return None;
            }
        };
        match written.parse() {
            Ok(amount) => Some(amount),
            Err(error) => {
                self.fault(name, "invalid_amount", format!("{name}: {error}"));
                None
            }
        }
    }

    /// A decimal that has to be there.
    pub fn required_amount<T: FromStr<Err = AmountError> + Default>(&mut self, name: &str) -> T {
        if !self.left.contains_key(name) {
            self.missing(name);
        }
        self.amount(name).unwrap_or_default()
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let word = self.text(name, WORD_MAX)?;
        let found = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.fault(
                name,
                "invalid_value",
                format!("{name} has to be one of {}", known.join(", ")),
            );
        }
        found
    }

    /// One of some words that has to be there.
    pub fn required_word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        if !self.left.contains_key(name) {
            self.missing(name);
        }
        self.word(name, words)
    }

    /// How far back, such as 3M.
    pub fn period(&mut self, name: &str) -> Option<HistoryPeriod> {
        let text = self.text(name, WORD_MAX)?;
        let period = HistoryPeriod::parse(&text);
        if period.is_none() {
            let message = format!("{name} has to be {}", HistoryPeriod::FORM);
            self.fault(name, "invalid_value", message);
        }
        period
    }

    /// An instant with its zone.
    pub fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name, WORD_MAX)?;
        let time = DateTime::parse_from_rfc3339(&text).ok();
        if time.is_none() {
            let message =
                format!("{name} has to be a time with its zone such as 2026-11-23T14:30:00Z");
            self.fault(name, "invalid_value", message);
        }
        time.map(|time| time.to_utc())
    }

    /// A date that has to be there.
    pub fn required_date(&mut self, name: &str) -> Option<NaiveDate> {
        if !self.left.contains_key(name) {
            self.missing(name);
        }
        self.date(name)
    }

    /// A date.
    pub fn date(&mut self, name: &str) -> Option<NaiveDate> {
        let text = self.text(name, WORD_MAX)?;
        let date = text.parse().ok().filter(|_| text.len() == "2026-11-27".len());
        if date.is_none() {
            self.fault(
                name,
                "invalid_value",
                format!("{name} has to be a date such as 2026-11-27"),
            );
        }
        date
    }

    /// Some of some words: a list of them, or text with commas between them.
    pub fn words<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let value = self.left.remove(name)?;
        let listed: Option<Vec<&str>> = match &value {
            Value::String(text) => Some(text.split(',').map(str::trim).collect()),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let find = |word: &str| words.iter().find(|(known, _)| *known == word).map(|(_, it)| *it);
        let found =
            listed.and_then(|listed| listed.into_iter().map(find).collect::<Option<Vec<_>>>());
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.fault(
                name,
                "invalid_value",
                format!("{name} has to be a list of some of {}", known.join(", ")),
            );
        }
        found
    }

    /// True or false.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.left.remove(name)?;
        let flag = value.as_bool().or_else(|| value.as_str()?.parse().ok());
        if flag.is_none() {
            self.fault(name, "invalid_type", format!("{name} has to be true or false"));
        }
        flag
    }

    /// A whole number from `least` to `most`.
    pub fn whole<T: TryFrom<u64> + Copy + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        least: T,
        most: T,
    ) -> Option<T> {
        let value = self.left.remove(name)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let number = number.and_then(|number| T::try_from(number).ok());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let message = format!("{name} has to be a whole number from {least} to {most}");
            self.fault(name, "invalid_value", message);
        }
        number
    }

    /// An id.
    pub fn id<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.id_or(name, "invalid_value", "has to be an id")
    }

    /// An id; `code` and `why` are what is said of one that is none.
    fn id_or<T: FromStr>(&mut self, name: &str, code: &'static str, why: &str) -> Option<T> {
        let text = self.text(name, WORD_MAX)?;
        let id = text.parse().ok();
        if id.is_none() {
            let message = format!(
                "{name} {why}: ids are as they were answered, such as 01890a5d-ac96-774b-bcce-b302099a8057"
            );
            self.fault(name, code, message);
        }
        id
    }

    /// The account, if one is named. What is no id is one that nobody has.
    pub fn account_id(&mut self) -> Option<AccountId> {
        self.id_or("account_id", RefusalCode::AccountNotFound.word(), "names no account")
    }

    /// The order. What is no id is one that nobody has.
    pub fn order_id(&mut self) -> OrderId {
        if !self.left.contains_key("order_id") {
            self.missing("order_id");
        }
        let found = self.id_or("order_id", RefusalCode::OrderNotFound.word(), "names no order");
        found.unwrap_or_default()
    }

    /// The client's own id of an order.
    pub fn client_order_id(&mut self) -> Option<String> {
        self.text("client_order_id", KEY_MAX)
    }

    /// The distance of a trailing stop, in dollars or in percent.
    pub fn trail(&mut self) -> Option<Trail> {
        let (price, percent) = (self.amount("trail_price"), self.amount("trail_percent"));
        if price.is_some() && percent.is_some() {
            let message = "an order has a trail_price or a trail_percent, not both: leave one out";
            self.fault("trail_percent", "invalid_order", message.to_owned());
        }
        price.map(Trail::Price).or(percent.map(Trail::Percent))
    }

    /// The key under which a call happens once.
    pub fn idempotency_key(&mut self) -> Option<String> {
        self.text("idempotency_key", KEY_MAX)
    }

    /// The owner's note.
    pub fn note(&mut self) -> Option<String> {
        self.text("note", NOTE_MAX)
    }

    /// An object with these fields, read by `read`: what is wrong in it is named below the name of the argument.
    pub fn object<T>(
        &mut self,
        name: &str,
        takes: &[&'static str],
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let Value::Object(left) = self.left.remove(name)? else {
            self.fault(name, "invalid_type", format!("{name} has to be an object"));
            return None;
        };
        // Which of its numbers is not as it was sent is not known: all of them are refused.
        let inexact = match self.inexact.contains(name) {
            true => left.keys().cloned().collect(),
            false => BTreeSet::new(),
        };
        let mut inside = Self::new(left, Inexact(inexact), takes.to_vec());
        let found = read(&mut inside);
        for fault in inside.every_fault() {
            let below = format!("{name}.{}", fault.field);
            let message = fault.message.replacen(&fault.field, &below, 1);
            self.fault(&below, fault.code, message);
        }
        Some(found)
    }

    /// A list of objects with these fields, or a text that is one in JSON, each read by `read`: what is wrong in one is named
    /// below its place in the list.
    pub fn objects<T>(
        &mut self,
        name: &str,
        takes: &[&'static str],
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let sent = self.left.remove(name)?;
        let listed = match sent {
            Value::Array(listed) => Some(listed),
            Value::String(text) => serde_json::from_str(&text).ok(),
            _ => None,
        };
        let Some(listed) = listed.filter(|listed: &Vec<Value>| listed.len() <= LISTED) else {
            let message = format!("{name} has to be a list of at most {LISTED} objects");
            self.fault(name, "invalid_type", message);
            return None;
        };
        let mut found = Vec::with_capacity(listed.len());
        for (index, entry) in listed.into_iter().enumerate() {
            let place = format!("{name}[{index}]");
            self.left.insert(place.clone(), entry);
            found.extend(self.object(&place, takes, &mut read));
        }
        Some(found)
    }

    /// Everything was taken: what is left is unknown, and every fault is told at once.
    pub fn end(self) -> Result<(), ServiceError> {
        let faults = self.every_fault();
        if faults.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(faults)) }
    }

    fn every_fault(mut self) -> Vec<Fault> {
        let there_are = match self.takes.is_empty() {
            true => "the tool takes none".to_owned(),
            false => format!("the tool takes {}", self.takes.join(", ")),
        };
        let unknown: Vec<String> = self.left.keys().cloned().collect();
        for name in unknown {
            let shown: String = name.chars().filter(|c| !text::is_hidden(*c)).take(64).collect();
            let hint = text::meant(&shown, &self.takes);
            let message = format!("there is no argument {shown}: {hint}{there_are}");
            self.fault(&shown, "unknown_field", message);
        }
        self.faults
    }
}

/// A number without an exponent; its digits are few enough for the float, if it became one, to give them back.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use aggregates::money::{Price, Quantity};
    use serde_json::json;

    use super::*;

    fn arguments(value: &Value) -> Arguments {
        let inexact = ["f", "g"].map(ToOwned::to_owned).into();
        Arguments::new(value.as_object().unwrap().clone(), Inexact(inexact), vec!["a", "b"])
    }

    #[test]
    fn decimals_are_read_from_strings_and_from_exact_numbers() {
        let mut sent = arguments(
            &json!({ "a": "187.25", "b": 187.25, "c": 10, "d": 10.0, "e": 0.000_000_001 }),
        );
        assert_eq!(sent.amount::<Price>("a"), "187.25".parse().ok());
        assert_eq!(sent.amount::<Price>("b"), "187.25".parse().ok());
        assert_eq!(sent.amount::<Quantity>("c"), "10".parse().ok());
        assert_eq!(sent.amount::<Quantity>("d"), "10".parse().ok());
        assert_eq!(sent.amount::<Quantity>("e"), "0.000000001".parse().ok());
        assert!(sent.end().is_ok());
    }

    #[test]
    fn what_is_not_exact_is_refused_by_name_with_all_else_that_is_wrong() {
        let mut sent =
            arguments(&json!({ "a": 1e300, "b": "1_000", "c": [1], "f": 5, "g": 1, "e": 1 }));
        for name in ["a", "b", "c", "f"] {
            assert_eq!(sent.amount::<Price>(name), None);
        }
        assert_eq!(
            sent.whole("g", 0u64, 1),
            Some(1),
            "a whole number that is read as one is exact"
        );
        let Err(ServiceError::Invalid(faults)) = sent.end() else { panic!("it was taken") };
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["a", "b", "c", "f", "e"]);
    }
}
