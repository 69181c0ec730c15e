//! `GET /v1/stream`: the events of the caller's tenant as they are committed, as server-sent events.
//!
//! Guarantees: each event once and in order, its `id` its position in the log, so that a client that was cut off goes on
//! where it was by `Last-Event-ID`; when an event comes, reads show it. Nothing is lost or kept on the way: the log itself
//! is read, at the pace of the client. One that does not take what it is sent for [`PATIENCE`] is closed, told `resync`.
//! Costs a read of the log for each stream and growth of it, at most one every [`BEAT`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aggregates::id::AccountId;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, Query, Visitor};
use super::routes::Routes;
use crate::identity::{Act, Full, Seat, Seats};
use crate::service::{self, EventAnswer, Followed, Service, ServiceError};

/// Streams of one process at the most.
const STREAMS: usize = 256;
/// Events between the log and the client's connection at the most.
const BUFFER: usize = 64;
/// How long a client may leave the buffer full.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a stream without events says that it is alive, and how far the log is.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The least time between two reads of the log.
const BEAT: Duration = Duration::from_millis(25);
/// When a client that was cut off shall come again.
const RETRY: Duration = Duration::from_secs(1);
/// The longest list of types, in characters.
const TYPES_MAX: usize = 512;

/// The header with the position that a client has seen.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The route.
pub fn routes() -> Routes {
    let seen = Field::whole(
        "Last-Event-ID",
        0,
        i64::MAX.cast_unsigned(),
        "The position that you have seen: what comes after it is sent first. Without it, the stream begins at the end of the \
         log.",
    );
    Routes::new("stream").get(
        "/stream",
        follow,
        Operation::read(Act::FollowEvents, "stream", "Follow the events of your tenant as they are committed")
            .about(
                "Server-sent events: `id` is the position, `event` the type, `data` the event as `/v1/audit/events` has it. When \
                 one comes, reads show it. A comment with an `id` comes every 15 s without events. `stopping` and `resync` end \
                 a stream: connect again with the last `id`. `over` ends it for good: the caller may not follow any more.",
            )
            .header(seen.example(0))
            .query([
                Field::id("account_id", "Of one account."),
                Field::text("types", TYPES_MAX, "Of these types, with commas between them.")
                    .example("OrderPlaced,OrderFilled"),
            ])
            .may(404)
            .may(409)
            .may(422)
            .may(429)
            .answers_text("text/event-stream", "The stream."),
    )
}

/// The seats of one process.
pub fn streams() -> Seats {
    Seats::new(STREAMS)
}

fn crowded(full: Full) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", full.to_string())
}

/// `GET /v1/stream`
async fn follow(
    State(service): State<Arc<Service>>,
    State(streams): State<Seats>,
    State(stop): State<CancellationToken>,
    Visitor(visitor): Visitor,
    Caller(caller): Caller,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    // Who calls was permitted for it.
    let _named: Option<AccountId> = query.0.id("account_id");
    let types = query.0.text("types", TYPES_MAX).unwrap_or_default();
    query.0.end([])?;
    let types = types.split(',').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
    let followed = Followed { types };
    let seen = last_event_id(&headers)?;
    let seat = streams.take(&visitor.principal).map_err(crowded)?;
    let after = service.follow(&caller, &followed, seen).await?;
    let (outlet, stream) = channel(seat);
    tokio::spawn(async move {
        let events = outlet.events.clone();
        let line = Line { service, visitor, caller, followed, events, stop };
        outlet.end(&line.run(after).await);
    });
    Ok(([("x-accel-buffering", "no")], Sse::new(stream)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let position = text.and_then(|text| text.parse().ok()).filter(|at| i64::try_from(*at).is_ok());
    let unreadable =
        || Problem::unreadable("Last-Event-ID is the position of an event, a whole number");
    position.map(Some).ok_or_else(unreadable)
}

/// Why a stream ends.
enum Ending {
    /// The client went away.
    Gone,
    /// The server stops.
    Stopping,
    /// Who follows may not any more.
    Over,
    /// The client does not take what it is sent.
    Lagging,
    /// The log cannot be read.
    Failed(ServiceError),
}

impl Ending {
    /// What the client is told.
    fn event(&self) -> Option<Event> {
        let (name, code, detail) = match self {
            Self::Gone => return None,
            Self::Stopping => (
                "stopping",
                "stopping",
                "the server is stopping: connect again with the last id".to_owned(),
            ),
            Self::Over => (
                "over",
                "forbidden",
                "the token, the session or the grant by which this was followed is over".to_owned(),
            ),
            Self::Lagging => (
                "resync",
                "lagging",
                format!(
                    "nothing was taken for {} s: connect again with the last id",
                    PATIENCE.as_secs()
                ),
            ),
            Self::Failed(error) => {
                ("resync", error.code(), format!("{error}: connect again with the last id"))
            }
        };
        let data = json!({"code": code, "detail": detail}).to_string();
        Some(Event::default().event(name).retry(RETRY).data(data))
    }
}

/// The end of a stream that is fed.
struct Outlet {
    events: mpsc::Sender<Event>,
    ending: oneshot::Sender<Event>,
}

impl Outlet {
    fn end(self, why: &Ending) {
        if let Some(event) = why.event() {
            // A client that went away does not want to know.
            drop(self.ending.send(event));
        }
    }
}

/// A stream and its other end. What is in the buffer comes first, then why it ended.
fn channel(seat: Seat) -> (Outlet, impl Stream<Item = Result<Event, Infallible>>) {
    let (events, taken) = mpsc::channel(BUFFER);
    let (ending, ended) = oneshot::channel();
    let stream = unfold((taken, Some(ended), seat), |(mut taken, ended, seat)| async move {
        if let Some(event) = taken.recv().await {
            return Some((Ok(event), (taken, ended, seat)));
        }
        let event = ended?.await.ok()?;
        Some((Ok(event), (taken, None, seat)))
    });
    (Outlet { events, ending }, stream)
}

/// Sends an event, or finds out why not.
async fn send(
    events: &mpsc::Sender<Event>,
    event: Event,
    patience: Duration,
) -> Result<(), Ending> {
    match timeout(patience, events.send(event)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ending::Gone),
        Err(_) => Err(Ending::Lagging),
    }
}

/// What feeds one stream.
struct Line {
    service: Arc<Service>,
    visitor: service::Visitor,
    caller: service::Caller,
    followed: Followed,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
}

impl Line {
    /// Follows the log from `after` on, until there is a reason to end.
    async fn run(self, after: u64) -> Ending {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Ending::Stopping,
            () = self.events.closed() => Ending::Gone,
            _ = self.service.over(&self.visitor, &self.caller) => Ending::Over,
            failed = self.feed(after) => failed.err().unwrap_or(Ending::Gone),
        }
    }

    async fn feed(&self, mut after: u64) -> Result<Infallible, Ending> {
        self.send(alive(after).retry(RETRY)).await?;
        let mut told = Instant::now();
        loop {
            let stretch = self.service.stretch(&self.caller, &self.followed, after).await;
            let stretch = stretch.map_err(Ending::Failed)?;
            after = stretch.position;
            for event in &stretch.events {
                self.send(shown(event)?).await?;
                told = Instant::now();
            }
            if stretch.more {
                continue;
            }
            if told.elapsed() >= KEEP_ALIVE {
                self.send(alive(after)).await?;
                told = Instant::now();
            }
            sleep(BEAT).await;
            self.service.grown(after, KEEP_ALIVE.saturating_sub(told.elapsed())).await;
        }
    }

    async fn send(&self, event: Event) -> Result<(), Ending> {
        send(&self.events, event, PATIENCE).await
    }
}

/// An event of the log.
fn shown(event: &EventAnswer) -> Result<Event, Ending> {
    let data = serde_json::to_string(event)
        .map_err(|e| Ending::Failed(ServiceError::Defect(e.to_string())))?;
    Ok(Event::default().id(event.position.to_string()).event(&event.event_type).data(data))
}

/// No event, but the news that everything up to `position` was looked at. Has no data, so clients keep the id alone.
fn alive(position: u64) -> Event {
    Event::default().comment("alive").id(position.to_string())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::identity::Principal;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_closed_after_what_was_sent_and_told_to_come_again() {
        let (outlet, stream) = channel(streams().take(&Principal::Operator).unwrap());
        for position in 0..BUFFER as u64 {
            send(&outlet.events, alive(position), PATIENCE).await.ok().unwrap();
        }
        let lagging = send(&outlet.events, alive(0), Duration::from_millis(10)).await.unwrap_err();
        assert!(matches!(lagging, Ending::Lagging));
        outlet.end(&lagging);
        let events: Vec<_> = stream.map(|event| format!("{:?}", event.unwrap())).collect().await;
        assert_eq!(events.len(), BUFFER + 1);
        assert!(
            events[BUFFER].contains("resync") && events[BUFFER].contains("lagging"),
            "{}",
            events[BUFFER]
        );
    }
}
