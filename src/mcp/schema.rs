//! Fields of what tools take and answer, as constants, and their JSON schemas.
//!
//! The schemas are portable: an object at the root, no `$ref`, no unions, no lists of types, no formats, since hosts
//! silently drop tools that have them. Decimals are described as strings; exact numbers are read too.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

/// One field.
#[derive(Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    kind: Kind,
    about: &'static str,
    required: bool,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Text, decimals and ids among it.
    Text,
    /// A whole number.
    Whole,
    /// True or false.
    Flag,
    /// One of some words.
    Word(fn() -> Vec<&'static str>),
    /// Some of some words.
    Words(fn() -> Vec<&'static str>),
    /// An object with fields of its own.
    Object,
    /// A list of objects.
    List(&'static [Field]),
    /// A list of objects that are described elsewhere.
    Objects,
}

impl Field {
    /// An argument that may be left out; `about` says its unit, its default and an example.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, about, required: false }
    }

    /// The same argument, where it has to be there.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// A field that is in every answer.
    pub const fn always(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, about: "", required: true }
    }

    /// A field that is absent from an answer when it is not known.
    pub const fn sometimes(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, about: "", required: false }
    }

    /// The same field with a word on what it is.
    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Where an answer does not have what it always has; `None` if it has all of it.
    pub fn missing_in(&self, answer: &Value) -> Option<String> {
        let Some(value) = answer.get(self.name) else {
            return self.required.then(|| self.name.to_owned());
        };
        let Kind::List(fields) = self.kind else { return None };
        let missing = value
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|item| fields.iter().find_map(|field| field.missing_in(item)));
        missing.map(|name| format!("{}.{name}", self.name))
    }

    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Whole => json!({ "type": "integer" }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Word(words) => json!({ "type": "string", "enum": words() }),
            Kind::Words(words) => {
                json!({ "type": "array", "items": { "type": "string", "enum": words() } })
            }
            Kind::Object => json!({ "type": "object" }),
            Kind::Objects => json!({ "type": "array", "items": { "type": "object" } }),
            Kind::List(fields) => json!({ "type": "array", "items": object(fields) }),
        };
        if !self.about.is_empty() {
            schema["description"] = json!(self.about);
        }
        schema
    }
}

/// The schema of an object with these fields, and perhaps others: what a tool answers. Which of them are always there is
/// not said: it would be a fifth of the whole list of tools, and nobody who reads an answer needs it.
pub fn object(fields: &[Field]) -> JsonObject {
    let properties: JsonObject =
        fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema
}

/// The schema of arguments: these fields and no others.
pub fn arguments(fields: &[Field]) -> JsonObject {
    let mut schema = object(fields);
    let required: Vec<_> =
        fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

/// The words of a table of words.
pub fn words<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(word, _)| *word).collect()
}
