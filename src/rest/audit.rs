//! `/v1/audit`, for the operator.

use std::sync::Arc;

use aggregates::stream::StreamId;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::problem::Problem;
use super::request::{Caller, Query};
use crate::service::{EventAnswer, EventFilter, Fault, Page, Service, VerifyReport};

/// The longest name of a stream: a word and two ids.
const STREAM_MAX: usize = 100;

/// `GET /v1/audit/events`
pub async fn events(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    mut query: Query,
) -> Result<Json<Page<EventAnswer>>, Problem> {
    let page = query.page();
    let stream = query.0.text("stream", STREAM_MAX);
    let parsed = stream.as_deref().and_then(|name| name.split_once('/')).and_then(
        |(aggregate_type, aggregate_id)| StreamId::parse(aggregate_type, aggregate_id).ok(),
    );
    let fault = (stream.is_some() && parsed.is_none()).then(|| {
        let message =
            "stream is a type and an id, such as order/0190c2f0-0000-7000-8000-000000000000";
        Fault::new("stream", "invalid_value", message)
    });
    let filter = EventFilter {
        account_id: query.0.id("account_id"),
        stream: parsed,
        after: query.0.whole("after", 0, i64::MAX.cast_unsigned()),
    };
    query.0.end(fault)?;
    Ok(Json(service.audit_events(&caller, &filter, &page).await?))
}

/// `GET /v1/audit/verify`
pub async fn verify(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Json<VerifyReport>, Problem> {
    query.0.end([])?;
    Ok(Json(service.verify(&caller).await?))
}

/// `GET /v1/audit/checkpoint`: the note itself, as text.
pub async fn checkpoint(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<impl IntoResponse, Problem> {
    query.0.end([])?;
    let note = service.checkpoint(&caller)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note))
}
