//! `/v1/audit`: the log as it is stored, its verdict, its signed checkpoint.

use std::io;
use std::sync::Arc;

use aggregates::id::AccountId;
use aggregates::stream::StreamId;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures::stream::try_unfold;
use tokio::time::timeout;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, Query};
use super::routes::{LONG_DEADLINE, Routes};
use crate::identity::Act;
use crate::service::{EventAnswer, EventFilter, Fault, Page, Service, VerifyReport};

/// The longest name of a stream: a word and two ids.
const STREAM_MAX: usize = 100;

/// The routes.
pub fn routes() -> Routes {
    Routes::new("audit")
        .get(
            "/audit/events",
            events,
            Operation::read(Act::ReadEvents, "list_events", "Events of the log as they are stored, in order")
                .may(404)
                .about("The operator's are of everybody, those of others of their own tenant.")
                .query([
                    Field::id("account_id", "Of one account."),
                    Field::text("stream", STREAM_MAX, "Of one stream: a type and an id.")
                        .example("order/0190c2f0-0000-7000-8000-000000000000"),
                    Field::whole("after", 0, i64::MAX.cast_unsigned(), "Later than this position.")
                        .example(0),
                ])
                .paged()
                .answers::<Page<EventAnswer>>(200, "A page of events."),
        )
        .get(
            "/audit/export",
            export,
            Operation::read(Act::ReadEvents, "export_log", "Export the log as lines that can be verified")
                .may(404)
                .about(
                    "The operator's is whole. For others, rows that they may not see are a position and a leaf alone, so that \
                     `blotter audit verify --file FILE` still verifies it. Two at the same time.",
                )
                .slow()
                .query([Field::id("account_id", "With the rows of one account alone.")])
                .answers_text("application/x-ndjson", "A header, then a line for each row."),
        )
        .get(
            "/audit/verify",
            verify,
            Operation::read(Act::VerifyLog, "verify", "The verdict on the whole log and every view")
                .about("Reads all of the log: linear in its length, one at a time. Beside the operator's two may be asked for at the \
                     same time, a third is `busy`. What a problem is in detail is told to the operator.")
                .slow()
                .answers::<VerifyReport>(
                    200,
                    "The verdict, also when it is that the log is not valid.",
                ),
        )
        .get(
            "/audit/checkpoint",
            checkpoint,
            Operation::read(Act::VerifyLog, "get_checkpoint", "The last signed checkpoint of the log")
                .may(404)
                .answers_text("text/plain; charset=utf-8", "A C2SP signed note."),
        )
}

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
    let filter =
        EventFilter { stream: parsed, after: query.0.whole("after", 0, i64::MAX.cast_unsigned()) };
    // Who calls was permitted for it.
    let _named: Option<AccountId> = query.0.id("account_id");
    query.0.end(fault)?;
    Ok(Json(service.audit_events(&caller, &filter, &page).await?))
}

/// `GET /v1/audit/export`
async fn export(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    mut query: Query,
) -> Result<impl IntoResponse, Problem> {
    // Who calls was permitted for it.
    let _named: Option<AccountId> = query.0.id("account_id");
    query.0.end([])?;
    let begun = tokio::time::Instant::now();
    let lines = try_unfold(service.export(&caller).await?, move |mut export| async move {
        let left = LONG_DEADLINE.saturating_sub(begun.elapsed());
        let lines = timeout(left, export.next()).await.map_err(io::Error::other)?;
        let lines = lines.map_err(|error| {
            error.log_inside();
            io::Error::other("the log cannot be read on")
        })?;
        Ok::<_, io::Error>(lines.map(|lines| (lines, export)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)))
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
    query: Query,
) -> Result<impl IntoResponse, Problem> {
    query.0.end([])?;
    let note = service.checkpoint()?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note))
}
