//! `/v1/market`: quotes, instruments, and the operator's feed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::json;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, JsonBody, Lines, Path, Query};
use super::routes::Routes;
use crate::service::{
    Control, ControlAnswer, Fault, FeedAnswer, InstrumentAnswer, Page, QuoteAnswer, Service,
};

/// The longest search for instruments, in characters.
const SEARCH_MAX: usize = 64;

/// The routes.
pub fn routes() -> Routes {
    Routes::new("market")
        .get(
            "/market/quotes/{symbol}",
            quote,
            Operation::read("get_quote", "The last that is known of a symbol's prices, with source and time")
                .answers::<QuoteAnswer>(200, "What is known; what is not is `null`."),
        )
        .get(
            "/market/instruments",
            instruments,
            Operation::read("list_instruments", "List what can be traded, or search it")
                .query([Field::text("query", SEARCH_MAX, "Part of a ticker or a name.").example("apple")])
                .paged()
                .fresh()
                .answers::<Page<InstrumentAnswer>>(200, "A page of instruments."),
        )
        .post(
            "/market/feed",
            feed,
            Operation::write("feed_market", "Feed lines of the market")
                .about(
                    "At most 8 MiB and 50,000 lines. One malformed line: 400 names it, and nothing is applied. The answer comes \
                     when all that the lines caused has committed; a line sent again is ignored.",
                )
                .operator()
                .slow()
                .lines(LINES)
                .answers::<FeedAnswer>(200, "What became of the lines."),
        )
        .post(
            "/market/control",
            control,
            Operation::write("control_market", "Pause, resume or run a market that has a source of its own")
                .operator()
                .slow()
                .body(
                    &[
                        Field::word("action", &ACTIONS, "What it shall do.").required(),
                        Field::time("at", "The instant to run to, for `run_to` alone."),
                    ],
                    json!({"action": "run_to", "at": "2008-10-10T14:30:00Z"}),
                )
                .answers::<ControlAnswer>(200, "Where the market stands."),
        )
}

/// Two lines of a market.
const LINES: &str = r#"{"t":"instrument","symbol":"AAPL","name":"Apple Inc.","kind":"stock","tick":"0.01"}
{"t":"quote","symbol":"AAPL","bid":"187.10","bid_size":"100","ask":"187.20","ask_size":"100","at":"2026-11-23T15:00:00Z"}
"#;

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

const ACTIONS: [(&str, Action); 3] =
    [("pause", Action::Pause), ("resume", Action::Resume), ("run_to", Action::RunTo)];

/// `POST /v1/market/control`
pub async fn control(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    JsonBody(mut body): JsonBody,
) -> Result<Json<ControlAnswer>, Problem> {
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
