//! `/v1/market`: quotes, bars, depth, hours, instruments, and the operator's feed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::json;

use super::openapi::{Field, Operation};
use super::orders::KINDS;
use super::problem::Problem;
use super::request::{Caller, JsonBody, Lines, Path, Query};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    BarsAnswer, BarsRequest, Control, ControlAnswer, DepthAnswer, Fault, FeedAnswer, HoursAnswer,
    InstrumentAnswer, Page, QuoteAnswer, Service, Timeframe,
};

/// The longest search for instruments, in characters.
const SEARCH_MAX: usize = 64;

/// The routes.
pub fn routes() -> Routes {
    Routes::new("market")
        .get(
            "/market/quotes/{symbol}",
            quote,
            Operation::read(Act::ReadMarket, "get_quote", "The last that is known of a symbol's prices, with source and time")
                .answers::<QuoteAnswer>(200, "What is known; what is not is `null`."),
        )
        .get(
            "/market/bars/{symbol}",
            bars,
            Operation::read(Act::ReadMarket, "list_bars", "List a symbol's bars, in the order of their times")
                .about(
                    "Only bars that are over by the market clock, raw: not adjusted for splits and dividends. A market that is \
                     simulated has them from before its start; of others there are those that were told, and longer ones and \
                     those of trades joined from what was. What the source lacks is 409 `capability_missing`. A page begins at `start`, the \
                     oldest bar first: name a `start` close to the market's clock for the newest.",
                )
                .query([
                    Field::word("timeframe", &TIMEFRAMES, "How long a bar is; `1Day` if absent."),
                    Field::instant("start", "Those that begin here or later; if absent today's, of daily bars those of a year."),
                    Field::instant("end", "Those that begin before this; all that are over if absent."),
                ])
                .paged()
                .may(409)
                .answers::<BarsAnswer>(200, "A page of bars."),
        )
        .get(
            "/market/depth/{symbol}",
            depth,
            Operation::read(Act::ReadMarket, "get_depth", "The levels of a symbol's book, best first")
                .may(409)
                .may(422)
                .answers::<DepthAnswer>(200, "The book; 409 `capability_missing` if the market's source has none."),
        )
        .get(
            "/market/hours",
            hours,
            Operation::read(Act::ReadMarket, "get_hours", "When the market is open, by its own clock and the exchange's calendar")
                .query([Field::date("date", "A New York date; the market clock's if absent.")])
                .answers::<HoursAnswer>(200, "The hours of the date, and how the market stands now."),
        )
        .get(
            "/market/instruments",
            instruments,
            Operation::read(Act::ReadMarket, "list_instruments", "List what can be traded, or search it")
                .query([
                    Field::text("query", SEARCH_MAX, "Part of a ticker or a name.").example("apple"),
                    Field::word("kind", &KINDS, "Those of one kind; all if absent."),
                ])
                .paged()
                .fresh()
                .answers::<Page<InstrumentAnswer>>(200, "A page of instruments."),
        )
        .post(
            "/market/feed",
            feed,
            Operation::write(Act::FeedMarket, "feed_market", "Feed lines of the market")
                .about(
                    "At most 8 MiB and 50,000 lines. One malformed line, or one more than ten years ahead without a `clock` line before \
                     it: 400 names it, and nothing is applied. The answer comes when all that the lines caused has committed; a line \
                     sent again is ignored.",
                )
                .slow()
                .lines(LINES)
                .answers::<FeedAnswer>(200, "What became of the lines."),
        )
        .post(
            "/market/control",
            control,
            Operation::write(Act::ControlMarket, "control_market", "Pause, resume or run a market that has a source of its own")
                .about(
                    "`pause` hands no line over any more: the market clock stands, nothing triggers or expires, and orders are taken, \
                     filled at the quotes that stand, and canceled. `resume` goes on from there at the server's speed. `run_to` works everything up \
                     to `at` as fast as it can, paused or not, answers when all that it caused has committed, and pauses there until \
                     `resume` or another run. Each action ends a run that is under way, whose caller gets 409. 409 too with `--market feed`, or if `at` is \
                     before the market clock; 422 if it is beyond the calendar.",
                )
                .slow()
                .body(
                    &[
                        Field::word(
                            "action",
                            &ACTIONS,
                            "`pause`: stop where it is; `resume`: go on at the server's speed; `run_to`: work up to `at`, then pause.",
                        )
                        .required(),
                        Field::time(
                            "at",
                            "The instant to run to, by the market clock and not before it: needed by `run_to`, refused with the others.",
                        ),
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

/// How long a bar may be.
const TIMEFRAMES: [(&str, Timeframe); 5] = {
    let [minute, five, quarter, hour, day] = Timeframe::ALL;
    [
        (minute.word(), minute),
        (five.word(), five),
        (quarter.word(), quarter),
        (hour.word(), hour),
        (day.word(), day),
    ]
};

/// `GET /v1/market/quotes/{symbol}`
pub async fn quote(
    State(service): State<Arc<Service>>,
    Path(symbol): Path<String>,
    query: Query,
) -> Result<Json<QuoteAnswer>, Problem> {
    query.0.end([])?;
    Ok(Json(service.quote(&symbol)?))
}

/// `GET /v1/market/bars/{symbol}`
pub async fn bars(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(symbol): Path<String>,
    mut query: Query,
) -> Result<Json<BarsAnswer>, Problem> {
    let page = query.page();
    let timeframe = query.0.word("timeframe", &TIMEFRAMES).unwrap_or(Timeframe::Day);
    let (start, end) = (query.0.instant("start"), query.0.instant("end"));
    query.0.end([])?;
    let request = BarsRequest { timeframe, start, end, page };
    Ok(Json(service.bars(&caller, &symbol, &request).await?))
}

/// `GET /v1/market/depth/{symbol}`
pub async fn depth(
    State(service): State<Arc<Service>>,
    Path(symbol): Path<String>,
    query: Query,
) -> Result<Json<DepthAnswer>, Problem> {
    query.0.end([])?;
    Ok(Json(service.depth(&symbol).await?))
}

/// `GET /v1/market/hours`
pub async fn hours(
    State(service): State<Arc<Service>>,
    mut query: Query,
) -> Result<Json<HoursAnswer>, Problem> {
    let date = query.0.date("date");
    query.0.end([])?;
    Ok(Json(service.hours(date)?))
}

/// `GET /v1/market/instruments`
pub async fn instruments(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    mut query: Query,
) -> Result<Json<Page<InstrumentAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    let search = query.0.text("query", SEARCH_MAX);
    let kind = query.0.word("kind", &KINDS);
    query.0.end([])?;
    Ok(Json(service.instruments(&caller, kind, search.as_deref(), &page, fresh).await?))
}

/// `POST /v1/market/feed`
pub async fn feed(
    State(service): State<Arc<Service>>,
    Lines(lines): Lines,
) -> Result<Json<FeedAnswer>, Problem> {
    Ok(Json(service.feed(&lines).await?))
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
    Ok(Json(service.control(control).await?))
}
