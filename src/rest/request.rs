//! What every handler takes out of a request: its caller, its query, its body, its key.

use std::str::FromStr;

use aggregates::id::RequestId;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::auth::peer;
use super::edge::Id;
use super::input::Fields;
use super::problem::Problem;
use crate::body::{PATIENCE, Untaken, is_plain, take};
use crate::identity::desk::Guest;
use crate::service::{self, Fresh, Interface, PageRequest, ServiceError, text};

/// The type of a JSON body.
const JSON: &str = "application/json";
/// The largest JSON body, in bytes.
const BODY_MAX: usize = 256 * 1024;
/// The largest body of the feed, in bytes.
const FEED_MAX: usize = 8 * 1024 * 1024;

/// The caller whom [`super::routes`] permitted what the route does.
pub struct Caller(pub service::Caller);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().map(Self).ok_or_else(|| {
            Problem::from(ServiceError::Defect("a route without a permission".to_owned()))
        })
    }
}

/// Who sends a request, as far as is known of somebody who shows nothing.
pub struct Sender(pub Guest);

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        let request = parts.extensions.get().map(|Id(id)| *id);
        Ok(Self(Guest {
            address: peer(&parts.extensions),
            user_agent: user_agent.unwrap_or_default().to_owned(),
            interface: Interface::Rest,
            request: request.unwrap_or_else(|| RequestId::new(Uuid::now_v7())),
        }))
    }
}

/// Who calls, permitted nothing yet.
pub struct Visitor(pub service::Visitor);

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().map(Self).ok_or_else(|| {
            Problem::from(ServiceError::Defect("a route without authentication".to_owned()))
        })
    }
}

/// The query, each parameter once.
pub struct Query(pub Fields);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Fields::of_query(parts.uri.query()).map(Self)
    }
}

impl Query {
    /// How fresh the answer has to be.
    pub fn fresh(&mut self) -> Fresh {
        Fresh { min_position: self.0.whole("min_position", 0, i64::MAX.cast_unsigned()) }
    }

    /// Which page.
    pub fn page(&mut self) -> PageRequest {
        let limit = self.0.whole("limit", 1, service::PAGE_MAX);
        PageRequest { limit, cursor: self.0.text("cursor", 1_024) }
    }
}

/// A JSON object of at most 256 KiB.
pub struct JsonBody(pub Fields);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = take_body(request, JSON, BODY_MAX).await?;
        Fields::of_body(&bytes).map(Self)
    }
}

/// A JSON object as [`JsonBody`] has it, or no body at all for one without fields.
pub struct OptionalBody(pub Fields);

impl<S: Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers();
        let fits = !headers.contains_key(header::CONTENT_TYPE) || is_plain(headers, JSON);
        if fits && request.body().size_hint().exact() == Some(0) {
            return Fields::of_body(b"{}").map(Self);
        }
        JsonBody::from_request(request, state).await.map(|JsonBody(fields)| Self(fields))
    }
}

/// Lines of JSON of at most 8 MiB together.
pub struct Lines(pub Bytes);

impl<S: Sync> FromRequest<S> for Lines {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        take_body(request, "application/x-ndjson", FEED_MAX).await.map(Self)
    }
}

async fn take_body(request: Request, media_type: &str, most: usize) -> Result<Bytes, Problem> {
    if !is_plain(request.headers(), media_type) {
        let detail = format!(
            "the body has to be {media_type} in UTF-8, named so in the header Content-Type, and not compressed"
        );
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        ));
    }
    let too_large = || {
        let detail = format!("the body is larger than the {most} bytes that are taken here");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    };
    take(request.into_body(), most, PATIENCE).await.map_err(|untaken| match untaken {
        Untaken::TooLarge => too_large(),
        Untaken::Late => Problem::late(),
    })
}

/// The `Idempotency-Key`, if there is one.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        idempotency_key(&parts.headers).map(Self)
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(value) = given.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text::fault("", text, text::KEY_MAX).is_none());
    match (text, given.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Problem::unreadable(format!(
            "Idempotency-Key is given once and has 1 to {} printable characters",
            text::KEY_MAX
        ))),
    }
}

/// The parameters of a path. One that is not percent-encoded UTF-8 leads nowhere.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(parameters)| Self(parameters))
            .map_err(|_| Problem::no_route())
    }
}

/// An id out of a path: one that is no id is one that nobody has.
pub fn id<T: FromStr>(text: &str, absent: fn() -> ServiceError) -> Result<T, Problem> {
    text.parse().map_err(|_| absent().into())
}
