//! Failures as RFC 9457 problem documents: `application/problem+json` with the machine word in `code` and every bad
//! field in `errors`.
//!
//! The body of a 404 depends on the kind of thing alone, so that an id of another tenant reads byte for byte as a
//! random one does. What went wrong inside is logged and never shown.

use std::collections::BTreeMap;

use aggregates::id::OrderId;
use aggregates::refusal::{Refusal, RefusalKind};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::body::PATIENCE;
use crate::identity::{Denied, IdentityError, Slow, whole_seconds};
use crate::service::{Fault, ServiceError};

/// Seconds after which a client that was turned away may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// One failure.
#[derive(Debug)]
pub struct Problem(Box<Document>);

/// A failure as it is sent.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Problem")]
pub(super) struct Document {
    /// Always `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    #[serde(serialize_with = "number")]
    #[schemars(with = "u16")]
    status: StatusCode,
    /// The machine word, the same over REST and MCP; never renamed.
    code: &'static str,
    /// What failed, the actual numbers, and the next step.
    detail: String,
    /// Every field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// The numbers of `detail` by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    figures: BTreeMap<String, String>,
    /// The order that is recorded as rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    /// It had been rejected before, under the same `client_order_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
    /// Where the rejection stands in the log, or how far the views are.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// What the header `WWW-Authenticate` adds to `Bearer`.
    #[serde(skip)]
    challenge: Option<String>,
    /// Seconds after which to come again, where it is not [`RETRY_AFTER`].
    #[serde(skip)]
    retry_after: Option<u64>,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// Said of a path that leads nowhere.
const NO_ROUTE: &str =
    "there is nothing at this path: GET /docs shows every path, GET /openapi.json describes them";

impl Problem {
    /// A failure with a word and a sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Document {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            figures: BTreeMap::new(),
            order_id: None,
            replayed: None,
            position: None,
            challenge: None,
            retry_after: None,
        }))
    }

    /// A caller who is not known: it showed no token, or nobody's.
    pub fn unauthenticated(shown: bool, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
        problem.0.challenge = shown.then(|| "error=\"invalid_token\"".to_owned());
        problem
    }

    /// Too many requests.
    pub fn too_many(slow: &Slow) -> Self {
        let mut problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", slow.to_string());
        problem.0.retry_after = Some(slow.wait.as_secs() + 1);
        problem
    }

    /// A request that cannot be read.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable", detail)
    }

    /// A request whose body did not arrive in time.
    pub fn late() -> Self {
        let detail = format!(
            "the body took longer than {} seconds to arrive: nothing was done, send it again",
            PATIENCE.as_secs()
        );
        Self::new(StatusCode::REQUEST_TIMEOUT, "late", detail)
    }

    /// A path that leads nowhere.
    pub fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", NO_ROUTE)
    }

    /// Parameters that the path does not take, at least one, and those that it takes.
    pub fn unknown_parameters(names: &[String], taken: &[&str]) -> Self {
        let fault = |name: &String| {
            Fault::new(name, "unknown_parameter", format!("{name} is not a parameter of this path"))
        };
        let taken = if taken.is_empty() { "none".to_owned() } else { taken.join(", ") };
        let detail =
            format!("this path does not take the parameter {}: it takes {taken}", names.join(", "));
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "unknown_parameter", detail);
        problem.0.errors = names.iter().map(fault).collect();
        problem
    }

    /// Fields that are wrong, at least one.
    fn invalid(faults: Vec<Fault>) -> Self {
        let (code, detail) = match faults.as_slice() {
            [only] => (only.code, only.message.clone()),
            [first, ..] => (first.code, format!("{} fields are wrong", faults.len())),
            [] => ("invalid_request", "the request is malformed".to_owned()),
        };
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        problem.0.errors = faults;
        problem
    }

    fn refused(refusal: Refusal) -> Self {
        let status = match refusal.code.kind() {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Invalid | RefusalKind::Business => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut problem = Self::new(status, refusal.code.word(), refusal.message.clone());
        if refusal.field.is_some() {
            problem.0.errors.push(refusal.into());
        }
        problem
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        error.log_inside();
        let figures = error.figures();
        let mut problem = Self::without_figures(error);
        problem.0.figures = figures;
        problem
    }
}

impl Problem {
    fn without_figures(error: ServiceError) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        let status = match error {
            ServiceError::Invalid(faults) => return Self::invalid(faults),
            ServiceError::Refused(refusal) => return Self::refused(refusal),
            ServiceError::Rejected { refusal, order_id, replayed, position } => {
                let mut problem = Self::refused(refusal);
                problem.0.order_id = Some(order_id);
                problem.0.replayed = Some(replayed);
                problem.0.position = Some(position);
                return problem;
            }
            ServiceError::BadCursor | ServiceError::Unreadable(_) => StatusCode::BAD_REQUEST,
            ServiceError::Denied(denied) => {
                let mut problem = Self::new(StatusCode::FORBIDDEN, code, detail);
                if let Denied::Scope { scope, .. } = denied {
                    let challenge = format!("error=\"insufficient_scope\", scope=\"{scope}\"");
                    problem.0.challenge = Some(challenge);
                }
                return problem;
            }
            ServiceError::Identity(error) => return Self::of_identity(&error, detail),
            ServiceError::NotFound(_) | ServiceError::Unlisted(_) => StatusCode::NOT_FOUND,
            ServiceError::NothingToClose { .. }
            | ServiceError::Conflict(_)
            | ServiceError::Lacking(_) => StatusCode::CONFLICT,
            ServiceError::Behind { position, .. } => {
                let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
                problem.0.position = Some(position);
                return problem;
            }
            ServiceError::Busy | ServiceError::Enough { .. } => StatusCode::TOO_MANY_REQUESTS,
            ServiceError::Degraded(_)
            | ServiceError::Crowded
            | ServiceError::NotHere(_)
            | ServiceError::OutcomeUnknown(_)
            | ServiceError::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            ServiceError::Defect(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, code, detail)
    }
}

impl Problem {
    fn of_identity(error: &IdentityError, detail: String) -> Self {
        let status = match error {
            IdentityError::EmailTaken => StatusCode::CONFLICT,
            IdentityError::RegistrationClosed
            | IdentityError::NotInvited
            | IdentityError::WrongPassword => StatusCode::FORBIDDEN,
            IdentityError::WrongCredentials | IdentityError::SessionOver => {
                StatusCode::UNAUTHORIZED
            }
            IdentityError::NoUser | IdentityError::NoSession => StatusCode::NOT_FOUND,
            IdentityError::Email(_) | IdentityError::Password(_) | IdentityError::SamePassword => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            IdentityError::Throttled(wait) => {
                let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, error.code(), detail);
                problem.0.retry_after = Some(whole_seconds(*wait));
                return problem;
            }
            IdentityError::Busy | IdentityError::Stale | IdentityError::Database(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            IdentityError::Defect(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.code(), detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(document) = self;
        let body = serde_json::to_string(&document).unwrap_or_default();
        let mut response = (document.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let challenge = match (&document.challenge, document.status) {
            (Some(more), _) => HeaderValue::try_from(format!("Bearer {more}")).ok(),
            (None, StatusCode::UNAUTHORIZED) => Some(HeaderValue::from_static("Bearer")),
            (None, _) => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE = document.status {
            let after = document.retry_after.map_or(RETRY_AFTER, HeaderValue::from);
            headers.insert(header::RETRY_AFTER, after);
        }
        response
    }
}
