//! Lists and objects inside of a body.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::{Fields, InOrder, Value};
use crate::service::{Fault, text};

/// The most objects of a list.
const LISTED: usize = 64;

impl Fields {
    /// A list of 1 to `most` texts, none twice, of at most `long` characters each.
    pub fn texts(&mut self, field: &str, most: usize, long: usize) -> Option<Vec<String>> {
        let Value::Json(raw) = self.take(field)? else {
            self.fault(field, "invalid_type", format!("{field} has to be a list"));
            return None;
        };
        let Ok(texts) = serde_json::from_str::<Vec<String>>(raw.get()) else {
            self.fault(field, "invalid_type", format!("{field} has to be a list of strings"));
            return None;
        };
        if texts.is_empty() || texts.len() > most {
            let message = format!("{field} has {} entries: it takes 1 to {most}", texts.len());
            self.fault(field, "invalid_value", message);
            return None;
        }
        if texts.iter().collect::<BTreeSet<_>>().len() < texts.len() {
            self.fault(field, "invalid_value", format!("{field} has an entry twice"));
            return None;
        }
        match texts.iter().find_map(|one| text::fault(field, one, long)) {
            None => Some(texts),
            Some(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    /// The same of what is read from a text; `what` says what it is.
    pub fn parsed<T: FromStr>(
        &mut self,
        field: &str,
        most: usize,
        long: usize,
        what: &str,
    ) -> Option<Vec<T>> {
        let texts = self.texts(field, most, long)?;
        let parsed = texts.iter().map(|text| text.parse().map_err(|_| text));
        match parsed.collect::<Result<Vec<T>, &String>>() {
            Ok(parsed) => Some(parsed),
            Err(text) => {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
                let message =
                    format!("each entry of {field} has to be {what}, and {shown:?} is not");
                self.fault(field, "invalid_value", message);
                None
            }
        }
    }

    /// An object, read by `read`: what is wrong in it is named below the name of the field.
    pub fn object<T>(&mut self, field: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let value = self.take(field)?;
        let left = match &value {
            Value::Json(raw) if raw.get().starts_with('{') => {
                serde_json::Deserializer::from_str(raw.get()).deserialize_map(InOrder).ok()
            }
            _ => None,
        };
        let Some(left) = left else {
            self.fault(field, "invalid_type", format!("{field} has to be an object"));
            return None;
        };
        let mut inside = Self::of(left);
        let found = read(&mut inside);
        for fault in inside.every_fault() {
            let name = format!("{field}.{}", fault.field);
            let message = fault.message.replacen(&fault.field, &name, 1);
            self.faults.push(Fault::new(name, fault.code, message));
        }
        Some(found)
    }
}

impl Fields {
    /// A whole number from `least` to `most`, which may also stand in a string.
    pub fn whole_text(&mut self, field: &str, least: u64, most: u64) -> Option<u64> {
        let written = self.left.iter_mut().find(|(name, _)| name == field);
        if let Some((_, value)) = written
            && let Value::Json(raw) = value
            && let Ok(text) = serde_json::from_str::<String>(raw.get())
        {
            *value = Value::Text(text);
        }
        self.whole(field, least, most)
    }

    /// A list of objects, each read by `read`: what is wrong in one is named below its place in the list. How many there may be
    /// is not judged here.
    pub fn objects<T>(
        &mut self,
        field: &str,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let listed = match self.take(field)? {
            Value::Json(raw) => serde_json::from_str::<Vec<Box<RawValue>>>(raw.get()).ok(),
            Value::Text(_) => None,
        };
        let Some(listed) = listed.filter(|listed| listed.len() <= LISTED) else {
            let message = format!("{field} has to be a list of at most {LISTED} objects");
            self.fault(field, "invalid_type", message);
            return None;
        };
        let mut found = Vec::with_capacity(listed.len());
        for (index, entry) in listed.into_iter().enumerate() {
            let name = format!("{field}[{index}]");
            self.left.push((name.clone(), Value::Json(entry)));
            match self.object(&name, &mut read) {
                Some(entry) => found.push(entry),
                None if self.is_faulty(&name) => {}
                None => self.fault(&name, "invalid_type", format!("{name} has to be an object")),
            }
        }
        // No client is told to send an entry by itself.
        self.known.retain(|name| !name.starts_with(&format!("{field}[")));
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Fields {
        Fields::of_body(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_list_has_entries_and_none_twice() {
        let mut fields =
            body(r#"{"a":["x","y"],"b":[],"c":["x","x"],"d":"x","e":[1],"f":["toolong"]}"#);
        assert_eq!(fields.texts("a", 2, 3), Some(vec!["x".to_owned(), "y".to_owned()]));
        for wrong in ["b", "c", "d", "e", "f"] {
            assert_eq!(fields.texts(wrong, 2, 3), None);
            assert!(fields.is_faulty(wrong), "{wrong}");
        }
        assert_eq!(body("{}").texts("a", 2, 3), None);
    }

    #[test]
    fn what_is_wrong_in_an_object_is_named_below_it() {
        let mut fields = body(r#"{"limits":{"most":"x","odd":1},"list":[]}"#);
        let read = fields.object("limits", |inside| inside.whole("most", 1, 9));
        assert_eq!(read, Some(None));
        assert!(fields.is_faulty("limits.most") && fields.is_faulty("limits.odd"));
        assert_eq!(fields.object("list", |_| ()), None);
        assert!(fields.is_faulty("list"));
    }

    #[test]
    fn what_is_wrong_in_an_entry_is_named_by_its_place() {
        let mut fields = body(r#"{"legs":[{"n":1},{"n":"2"},{"n":"x","odd":1},7,null]}"#);
        let read = fields.objects("legs", |inside| inside.whole_text("n", 1, 9));
        assert_eq!(read, Some(vec![Some(1), Some(2), None]));
        for wrong in ["legs[2].n", "legs[2].odd", "legs[3]", "legs[4]"] {
            assert!(fields.is_faulty(wrong), "{wrong}");
        }
        let mut fields = body(r#"{"legs":{}}"#);
        assert_eq!(fields.objects("legs", |_| ()), None);
        assert!(fields.is_faulty("legs"));
    }
}
