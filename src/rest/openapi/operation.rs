//! What the document says of one operation, and its route keeps: see [`super::super::routes`].

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::field::{self, Field, Place};
use super::problems;
use crate::identity::{Act, Reach, Rule, Showing};
use crate::service::{PAGE, PAGE_MAX, text};

/// How to describe the body of an answer.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// An answer that is no failure.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    about: &'static str,
    media_type: &'static str,
    schema: SchemaOf,
}

/// What is sent in the body.
#[derive(Clone, Debug)]
struct Body {
    media_type: &'static str,
    schema: Value,
    example: Value,
    required: bool,
}

/// One operation: its name, what it takes, what it answers.
#[derive(Clone, Debug)]
pub struct Operation {
    id: &'static str,
    summary: &'static str,
    about: Option<&'static str>,
    act: Option<Act>,
    slow: bool,
    stops: bool,
    query: Vec<Field>,
    headers: Vec<Field>,
    body: Option<Body>,
    answers: Vec<Answer>,
    problems: BTreeSet<u16>,
}

impl Operation {
    fn new(act: Option<Act>, id: &'static str, summary: &'static str, problems: &[u16]) -> Self {
        Self {
            id,
            summary,
            about: None,
            act,
            slow: false,
            stops: false,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: problems.iter().copied().chain([400, 503]).collect(),
        }
    }

    /// Something that is read by whoever may do `act`. `id` is unique and becomes the name of a generated method.
    pub fn read(act: Act, id: &'static str, summary: &'static str) -> Self {
        Self::new(Some(act), id, summary, &[401, 403, 429])
    }

    /// Something that is written: it may be refused, and told to come back.
    pub fn write(act: Act, id: &'static str, summary: &'static str) -> Self {
        Self::new(Some(act), id, summary, &[401, 403, 409, 422, 429])
    }

    /// Something that needs no token.
    pub fn open(id: &'static str, summary: &'static str) -> Self {
        Self::new(None, id, summary, &[])
    }

    /// More about it than its summary.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = Some(about);
        self
    }

    /// It works through much, and may take minutes.
    #[must_use]
    pub fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    /// A user stops an agent or a session by it: it passes whatever else was sent in their name.
    #[must_use]
    pub fn stops(mut self) -> Self {
        self.stops = true;
        self
    }

    /// It takes these parameters in its query. Others are refused.
    #[must_use]
    pub fn query(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.query.extend(fields);
        self.problems.insert(422);
        self
    }

    /// A read that says how fresh it has to be.
    #[must_use]
    pub fn fresh(self) -> Self {
        let about = "The answer contains this position of the log, or is 503. Without it, the answer contains what was \
                     committed when the request arrived.";
        self.query([Field::whole("min_position", 0, i64::MAX.cast_unsigned(), about).example(1)])
    }

    /// A list, page by page.
    #[must_use]
    pub fn paged(self) -> Self {
        self.paged_by(PAGE)
    }

    /// A list, page by page, of so many entries where the request does not say.
    #[must_use]
    pub fn paged_by(self, default: u64) -> Self {
        let limit = format!("Entries at the most; {default} if absent.");
        self.query([
            Field::whole("limit", 1, PAGE_MAX, limit).example(PAGE),
            Field::text(
                "cursor",
                1_024,
                "Where the page begins: `next_cursor` of the page before.",
            ),
        ])
    }

    /// It takes this header.
    #[must_use]
    pub fn header(mut self, header: Field) -> Self {
        self.headers.push(header);
        self
    }

    /// A write that happens once under each `Idempotency-Key`.
    #[must_use]
    pub fn once(self) -> Self {
        let about = "The request happens once under this key, for 24 hours: sent again it answers the same with \
                     `replayed`; another request under it is refused with `key_reused`.";
        self.header(Field::text("Idempotency-Key", text::KEY_MAX, about))
    }

    /// It takes a JSON object with these fields and no other.
    #[must_use]
    pub fn body(self, fields: &[Field], example: Value) -> Self {
        self.sent("application/json", field::object(fields), example)
    }

    /// No body at all is one without fields.
    #[must_use]
    pub fn or_no_body(mut self) -> Self {
        self.body = self.body.map(|body| Body { required: false, ..body });
        self
    }

    /// It takes lines of JSON.
    #[must_use]
    pub fn lines(self, example: &str) -> Self {
        self.sent("application/x-ndjson", json!({"type": "string"}), json!(example))
    }

    fn sent(mut self, media_type: &'static str, schema: Value, example: Value) -> Self {
        self.body = Some(Body { media_type, schema, example, required: true });
        self.problems.extend([408, 413, 415, 422]);
        self
    }

    /// It answers JSON of this type with this status.
    #[must_use]
    pub fn answers<T: JsonSchema>(mut self, status: u16, about: &'static str) -> Self {
        let schema: SchemaOf = SchemaGenerator::subschema_for::<T>;
        self.answers.push(Answer { status, about, media_type: "application/json", schema });
        self
    }

    /// It answers text of this type with 200.
    #[must_use]
    pub fn answers_text(mut self, media_type: &'static str, about: &'static str) -> Self {
        self.answers.push(Answer {
            status: 200,
            about,
            media_type,
            schema: <String as JsonSchema>::json_schema,
        });
        self
    }

    /// It may also fail with this status.
    #[must_use]
    pub fn may(mut self, status: u16) -> Self {
        self.problems.insert(status);
        self
    }

    /// The parameters that its query may have.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.query.iter().map(|field| field.name)
    }

    /// What a caller does by it, if it needs one.
    pub fn act(&self) -> Option<Act> {
        self.act
    }

    /// Whether it may take minutes.
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    /// Whether a user stops an agent or a session by it.
    pub fn is_stop(&self) -> bool {
        self.stops
    }

    /// Whether it takes a body.
    pub fn takes_body(&self) -> bool {
        self.body.is_some()
    }

    /// It as an operation object.
    pub(super) fn object(&self, path: &str, tag: &str, generator: &mut SchemaGenerator) -> Value {
        let of_path = names(path).map(|name| field::of_path(name).parameter(Place::Path));
        let of_query = self.query.iter().map(|field| field.parameter(Place::Query));
        let of_headers = self.headers.iter().map(|field| field.parameter(Place::Header));
        let parameters: Vec<_> = of_path.chain(of_query).chain(of_headers).collect();
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [tag],
            "parameters": parameters,
            "responses": self.responses(path, generator),
        });
        if let Some(about) = self.about {
            operation["description"] = json!(about);
        }
        match self.act {
            None => operation["security"] = json!([]),
            Some(act) => operation["x-permission"] = permission(act),
        }
        if let Some(Body { media_type, schema, example, required }) = &self.body {
            let content = json!({*media_type: {"schema": schema, "example": example}});
            operation["requestBody"] = json!({"required": required, "content": content});
        }
        operation
    }

    fn responses(&self, path: &str, generator: &mut SchemaGenerator) -> Map<String, Value> {
        let mut responses = Map::new();
        for Answer { status, about, media_type, schema } in &self.answers {
            let content = json!({*media_type: {"schema": schema(generator)}});
            let answer = json!({"description": about, "headers": problems::headers(*status), "content": content});
            responses.insert(status.to_string(), answer);
        }
        let lookup = names(path).next().map(|_| 404);
        for status in self.problems.iter().copied().chain(lookup) {
            let reference = problems::reference(status);
            responses.entry(status.to_string()).or_insert(reference);
        }
        responses
    }
}

/// Who may do this, as the table of acts has it.
fn permission(act: Act) -> Value {
    let Rule { token, roles, reach } = act.rule();
    let (scope, tokens) = match token {
        Showing::Anything => (None, true),
        Showing::Scope(scope) => (Some(scope.word()), true),
        Showing::Nothing => (None, false),
    };
    let tokens = tokens && reach != Reach::Operator;
    let roles: Vec<_> = roles.iter().map(|role| role.word()).collect();
    json!({"act": act.word(), "reach": reach.word(), "tokens": tokens, "scope": scope, "roles": roles})
}

/// The names in braces of a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}
