//! What a client may send, field by field: parameters of queries, paths and headers, and the fields of bodies.
//!
//! The constructors are those of the reader, `rest::input::Fields`, and take the same lists of words and the same
//! bounds, so that what is written down is what is read.

use serde_json::{Value, json};

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the query.
    Query,
    /// In the path.
    Path,
    /// In a header.
    Header,
}

impl Place {
    const fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Path => "path",
            Self::Header => "header",
        }
    }
}

/// One field: its name, what it means, what it takes.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    about: String,
    required: bool,
    schema: Value,
    example: Option<Value>,
}

impl Field {
    fn new(name: &'static str, about: impl Into<String>, schema: Value) -> Self {
        Self { name, about: about.into(), required: false, schema, example: None }
    }

    /// A text of 1 to `most` characters.
    pub fn text(name: &'static str, most: usize, about: impl Into<String>) -> Self {
        Self::new(name, about, json!({"type": "string", "minLength": 1, "maxLength": most}))
    }

    /// One of a list of words.
    pub fn word<T>(name: &'static str, words: &[(&str, T)], about: impl Into<String>) -> Self {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        Self::new(name, about, json!({"type": "string", "enum": words}))
    }

    /// Some of a list of words, with commas between them.
    pub fn words<T>(name: &'static str, words: &[(&str, T)], about: impl Into<String>) -> Self {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let one = format!("({})", words.join("|"));
        let pattern = format!("^{one}(,{one})*$");
        let about = format!(
            "{} One or more of {}, with commas between them.",
            about.into(),
            words.join(", ")
        );
        Self::new(name, about, json!({"type": "string", "pattern": pattern, "maxLength": 256}))
            .example(words.first().copied().unwrap_or_default())
    }

    /// Yes or no.
    pub fn flag(name: &'static str, about: impl Into<String>) -> Self {
        Self::new(name, about, json!({"type": "boolean"}))
    }

    /// A whole number from `least` to `most`.
    pub fn whole(name: &'static str, least: u64, most: u64, about: impl Into<String>) -> Self {
        Self::new(name, about, json!({"type": "integer", "minimum": least, "maximum": most}))
    }

    /// An amount: a decimal in a string, or a JSON number that loses nothing as one.
    pub fn amount(name: &'static str, about: impl Into<String>) -> Self {
        let schema =
            json!({"type": ["string", "number"], "pattern": r"^-?(0|[1-9]\d{0,17})(\.\d{1,9})?$"});
        Self::new(name, about, schema).example("187.25")
    }

    /// A moment with its zone, as RFC 3339 has it.
    pub fn time(name: &'static str, about: impl Into<String>) -> Self {
        Self::new(name, about, json!({"type": "string", "format": "date-time"}))
            .example("2026-11-23T14:30:00Z")
    }

    /// A date.
    pub fn date(name: &'static str, about: impl Into<String>) -> Self {
        Self::new(name, about, json!({"type": "string", "format": "date"})).example("2026-11-23")
    }

    /// A moment with its zone, or a date for the midnight in New York at which it begins.
    pub fn instant(name: &'static str, about: impl Into<String>) -> Self {
        let forms = json!([{"format": "date-time"}, {"format": "date"}]);
        Self::new(name, about, json!({"type": "string", "anyOf": forms})).example("2026-11-23")
    }

    /// A list of 1 to `most` entries, none twice, each as `entry` has it.
    pub fn list(name: &'static str, most: usize, entry: &Self, about: impl Into<String>) -> Self {
        let schema = json!({
            "type": "array", "items": entry.schema, "minItems": 1, "maxItems": most, "uniqueItems": true,
        });
        Self::new(name, about, schema)
    }

    /// A list of objects with these fields and no others.
    pub fn objects(
        name: &'static str,
        sizes: std::ops::RangeInclusive<usize>,
        fields: &[Self],
        about: impl Into<String>,
    ) -> Self {
        let schema = json!({
            "type": "array", "items": object(fields), "minItems": sizes.start(), "maxItems": sizes.end(),
        });
        Self::new(name, about, schema)
    }

    /// A whole number from `least` to `most`, as a number or in a string.
    pub fn whole_text(name: &'static str, least: u64, most: u64, about: impl Into<String>) -> Self {
        let schema = json!({
            "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": r"^\d+$",
        });
        Self::new(name, about, schema)
    }

    /// An object with these fields and no other.
    pub fn object(name: &'static str, fields: &[Self], about: impl Into<String>) -> Self {
        Self::new(name, about, object(fields))
    }

    /// An id in its hyphenated form.
    pub fn id(name: &'static str, about: impl Into<String>) -> Self {
        Self::new(name, about, json!({"type": "string", "format": "uuid"}))
    }

    /// It has to be there.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What it may look like.
    #[must_use]
    pub fn example(mut self, example: impl Into<Value>) -> Self {
        self.example = Some(example.into());
        self
    }

    /// It as a parameter object.
    pub(super) fn parameter(&self, place: Place) -> Value {
        let mut parameter = json!({
            "name": self.name,
            "in": place.word(),
            "required": self.required || place == Place::Path,
            "description": self.about,
            "schema": self.schema,
        });
        if let Some(example) = &self.example {
            parameter["example"] = example.clone();
        }
        parameter
    }

    /// It as a property of a body. `null` stands for a field that is left out.
    fn property(&self) -> Value {
        let mut property = self.schema.clone();
        if !self.required {
            nullable(&mut property);
        }
        property["description"] = json!(self.about);
        if let Some(example) = &self.example {
            property["examples"] = json!([example]);
        }
        property
    }
}

fn nullable(schema: &mut Value) {
    match &mut schema["type"] {
        Value::Array(types) => types.push(json!("null")),
        single => *single = json!([single.take(), "null"]),
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}

/// The schema of a body with these fields and no other.
pub(super) fn object(fields: &[Field]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field.property())).collect();
    let required: Vec<_> =
        fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The parameter of a path with this name.
pub(super) fn of_path(name: &str) -> Field {
    match name {
        "account_id" => Field::id("account_id", "The account, by the id that it was opened with."),
        "grant_id" => Field::id("grant_id", "The grant, by the id that it was given with."),
        "token_id" => Field::id("token_id", "The token, by the id that it was made with."),
        "order_id" => Field::id("order_id", "The order, by the id that it was placed with."),
        "client_order_id" => {
            Field::text("client_order_id", 128, "The name that its placer gave the order.")
        }
        "symbol" => {
            Field::text("symbol", 32, "The ticker, or the OCC symbol of an option.").example("AAPL")
        }
        "underlying" => {
            Field::text("underlying", 32, "The ticker that the options are on.").example("AAPL")
        }
        "option_symbol" => {
            let about = "The option's OCC symbol; with its root padded by spaces too.";
            Field::text("option_symbol", 32, about).example("AAPL261218C00190000")
        }
        "user_id" => Field::id("user_id", "The user, by the id that registering answered."),
        "session_id" => Field::text("session_id", 36, "The session, by its id.").example("current"),
        other => unreachable!("a path parameter that rest::openapi::field describes, not {other}"),
    }
}
