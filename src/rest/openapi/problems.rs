//! The failures that operations share: one answer a status, described once.

use aggregates::refusal::{RefusalCode, RefusalKind};
use serde_json::{Map, Value, json};

/// A status that failures have.
struct Failure {
    status: u16,
    name: &'static str,
    about: &'static str,
    kinds: &'static [RefusalKind],
}

const FAILURES: [Failure; 11] = [
    Failure {
        status: 400,
        name: "Unreadable",
        about: "The request cannot be read: JSON or query that is malformed, a parameter that this operation does not \
                have, a cursor of another list.",
        kinds: &[],
    },
    Failure {
        status: 401,
        name: "Unauthenticated",
        about: "There is no valid bearer token.",
        kinds: &[],
    },
    Failure {
        status: 403,
        name: "Forbidden",
        about: "The caller may not do this, and is told what it needs: `insufficient_scope` a token with that scope, \
                `forbidden` another role on the account, or to be the operator, `token_halted` its token back. See \
                `x-permission` of the operation.",
        kinds: &[],
    },
    Failure {
        status: 404,
        name: "NotFound",
        about: "There is no such thing, or not for this caller: the two read the same.",
        kinds: &[RefusalKind::NotFound],
    },
    Failure {
        status: 408,
        name: "Late",
        about: "The body did not arrive within 20 seconds: nothing was done.",
        kinds: &[],
    },
    Failure {
        status: 409,
        name: "Conflict",
        about: "The thing is not in a state that permits it.",
        kinds: &[RefusalKind::Conflict],
    },
    Failure {
        status: 413,
        name: "TooLarge",
        about: "The body is larger than is taken here.",
        kinds: &[],
    },
    Failure {
        status: 415,
        name: "UnsupportedMediaType",
        about: "The body is of another type, in another encoding, or compressed.",
        kinds: &[],
    },
    Failure {
        status: 422,
        name: "Refused",
        about: "The request can be read and is wrong, every bad field named in `errors`; or a rule of the business \
                refuses it, the numbers in `figures`. An order that the business refuses is recorded as rejected, and \
                the answer has its `order_id`.",
        kinds: &[RefusalKind::Invalid, RefusalKind::Business],
    },
    Failure {
        status: 429,
        name: "Busy",
        about: "Too much is waiting or open, or too many requests were sent: nothing happened. Come back after \
                `Retry-After`.",
        kinds: &[],
    },
    Failure {
        status: 503,
        name: "Unavailable",
        about: "It cannot be served at present: nobody writes, the views are behind, the database does not answer, or \
                the server is stopping. With `outcome_unknown` and `timeout` a write may have happened: repeat it under \
                the same key. Come back after `Retry-After`.",
        kinds: &[],
    },
];

/// A reference to the failure with this status.
pub(super) fn reference(status: u16) -> Value {
    let failure = FAILURES.iter().find(|failure| failure.status == status);
    let failure = failure.expect("operations fail with a status of FAILURES");
    json!({"$ref": format!("#/components/responses/{}", failure.name)})
}

/// Every failure, by name; `problem` is the schema of their bodies.
pub(super) fn components(problem: &Value) -> Map<String, Value> {
    let of = |Failure { status, name, about, kinds }: &Failure| {
        let codes: Vec<_> = RefusalCode::ALL
            .iter()
            .filter(|code| kinds.contains(&code.kind()))
            .map(|code| format!("`{code}`"))
            .collect();
        let mut description = (*about).to_owned();
        if !codes.is_empty() {
            description.push_str(" Rules of the business have the codes ");
            description.push_str(&codes.join(", "));
            description.push('.');
        }
        let content = json!({"application/problem+json": {"schema": problem}});
        let answer =
            json!({"description": description, "headers": headers(*status), "content": content});
        ((*name).to_owned(), answer)
    };
    FAILURES.iter().map(of).collect()
}

/// The headers of an answer with this status.
pub(super) fn headers(status: u16) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let mut headers = json!({"X-Request-Id": reference("X-Request-Id")});
    match status {
        401 | 403 => headers["WWW-Authenticate"] = reference("WWW-Authenticate"),
        429 | 503 => headers["Retry-After"] = reference("Retry-After"),
        _ => {}
    }
    headers
}

/// The headers that answers have.
pub(super) fn header_components() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The id of the request, also in the metadata of the events that it caused and in the log of \
                            the server. A UUID that the request brings in the same header is taken over.",
            "schema": {"type": "string", "format": "uuid"},
        },
        "Retry-After": {
            "description": "Seconds after which to come again.",
            "schema": {"type": "integer", "minimum": 0},
        },
        "WWW-Authenticate": {
            "description": "How to authenticate: `Bearer`, with `error=\"invalid_token\"` where a token was shown that is \
                            nobody's, or `error=\"insufficient_scope\"` and the `scope` that is needed.",
            "schema": {"type": "string", "pattern": "^Bearer"},
        },
    })
}
