//! `/v1/market`: quotes, instruments, and the operator's feed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::problem::Problem;
use super::request::{Caller, JsonBody, Lines, Path, Query};
use crate::service::{
    Control, ControlAnswer, Fault, FeedAnswer, InstrumentAnswer, Page, QuoteAnswer, Service,
};

/// The longest search for instruments, in characters.
const SEARCH_MAX: usize = 64;

/// `GET /v1/market/quotes/{symbol}`
pub async fn quote(
    State(service): State<Arc<Service>>,
    Path(symbol): Path<String>,
    query: Query,
) -> Result<Json<QuoteAnswer>, Problem> {
    query.0.end([])?;
    Ok(Json(service.quote(&symbol)?))
}

/// `GET /v1/market/instruments`
pub async fn instruments(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    mut query: Query,
) -> Result<Json<Page<InstrumentAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    let search = query.0.text("query", SEARCH_MAX);
    query.0.end([])?;
    Ok(Json(service.instruments(&caller, search.as_deref(), &page, fresh).await?))
}

/// `POST /v1/market/feed`
pub async fn feed(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Lines(lines): Lines,
) -> Result<Json<FeedAnswer>, Problem> {
    Ok(Json(service.feed(&caller, &lines).await?))
}

/// What a market with a source of its own can be told, as it is written.
#[derive(Clone, Copy, PartialEq)]
enum Action {
    Pause,
    Resume,
    RunTo,
}

/// `POST /v1/market/control`
pub async fn control(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    JsonBody(mut body): JsonBody,
) -> Result<Json<ControlAnswer>, Problem> {
    const ACTIONS: [(&str, Action); 3] =
        [("pause", Action::Pause), ("resume", Action::Resume), ("run_to", Action::RunTo)];
    let action = body.word("action", &ACTIONS);
    let action = body.need("action", action);
    let at = body.time("at");
    let (control, fault) = match (action, at) {
        (Some(Action::Pause), None) => (Some(Control::Pause), None),
        (Some(Action::Resume), None) => (Some(Control::Resume), None),
        (Some(Action::RunTo), Some(at)) => (Some(Control::RunTo(at)), None),
        (Some(Action::RunTo), None) if body.is_faulty("at") => (None, None),
        (Some(Action::RunTo), None) => (None, Some("run_to needs at, the instant to run to")),
        (Some(_), Some(_)) => (None, Some("at belongs to run_to alone")),
        (None, _) => (None, None),
    };
    body.end(fault.map(|message| Fault::new("at", "invalid_value", message)))?;
    let control = control.expect("what leaves the order out is a fault, and faults were answered");
    Ok(Json(service.control(&caller, control).await?))
}
