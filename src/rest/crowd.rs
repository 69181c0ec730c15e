//! How many requests are worked at once: one more is refused at once, before anything is done for it.
//!
//! More than this bring no more answers, only later ones: a queue that only grows is answered when nobody asks any more. What
//! ends or limits a risk passes always, and so does what has a limit of its own. A request has its place but while its body is
//! on its way, so that who sends slowly keeps nobody out. A refusal costs little, so that a flood of requests leaves the server
//! to those that it works: it is made below the router, and counted, but not logged.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::HttpBody;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use metrics::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::openapi::Operation;
use super::problem::Problem;
use crate::identity::Act;

/// What is below this path is counted: the routes that callers use. A tool of MCP may wait for a minute without costing
/// anything, and health, documents and metrics are for whoever looks after an overload.
const COUNTED: &str = "/v1/";

/// Who is being served.
#[derive(Clone)]
pub struct Crowd {
    places: Arc<Semaphore>,
    spared: Arc<[(Method, String)]>,
    /// What is said of one too many.
    refusal: Arc<str>,
    refused: Counter,
}

impl Crowd {
    /// Nobody yet, and `most` at once. Requests to the routes that are `spared` need no place.
    pub fn new(most: usize, spared: impl IntoIterator<Item = (Method, String)>) -> Self {
        let refusal = format!(
            "{most} requests are being worked, the most at once, and nothing was done of this one: send it again in a second"
        );
        Self {
            places: Arc::new(Semaphore::new(most)),
            spared: spared.into_iter().collect(),
            refusal: refusal.into(),
            refused: metrics::counter!("blotter_http_crowded_out_total"),
        }
    }

    /// Whether what a route does passes always: it cancels orders, stops an account, an agent, a session, a user or a
    /// grant, or has a limit of its own, as what may take minutes has, and what needs no token: log-ins.
    pub(super) fn spares(operation: &Operation) -> bool {
        let act = operation.act();
        let ends = matches!(
            act,
            Some(Act::CancelOrder | Act::ChangePolicy | Act::ManageUsers | Act::ManageGrants)
        );
        act.is_none() || ends || operation.is_stop() || operation.is_slow()
    }

    /// Lets a request pass until its answer begins; `None` if it is to be told the [`refusal`](Self::refusal).
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Option<Admitted> {
        let path = request.uri().path();
        if !path.starts_with(COUNTED) {
            return Some(Admitted(None));
        }
        let place = Place { places: Arc::clone(&self.places), held: Mutex::default() };
        if place.take() {
            return Some(Admitted(Some(Arc::new(place))));
        }
        // A browser asks so whether its page may send the request itself, for which the answer costs nothing.
        let asks = request.method() == Method::OPTIONS;
        let spared =
            |(method, route): &(Method, String)| method == request.method() && leads(path, route);
        (asks || self.spared.iter().any(spared)).then_some(Admitted(None))
    }

    /// What one request too many is answered.
    pub(super) fn refusal(&self) -> Response {
        self.refused.increment(1);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut response = Problem::new(status, "busy", &*self.refusal).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// That a request may pass, with its place if it needs one; that is free again when this and the body are dropped, or at the
/// [`end`](Self::end).
#[derive(Clone, Debug)]
pub(super) struct Admitted(Option<Arc<Place>>);

impl Admitted {
    /// The body of the request, which gives the place back while it is waited for.
    pub(super) fn body<B>(&self, body: B) -> Waited<B> {
        Waited { body, place: self.0.clone() }
    }

    /// Gives the place back. False if it was gone when the body had come: then nothing was done of the request.
    pub(super) fn end(self) -> bool {
        self.0.is_none_or(|place| !matches!(std::mem::take(&mut *place.held()), Held::Gone))
    }
}

/// A place among those that are worked.
#[derive(Debug)]
struct Place {
    places: Arc<Semaphore>,
    held: Mutex<Held>,
}

/// What a request has.
#[derive(Debug, Default)]
enum Held {
    /// Nothing: it waits for its body.
    #[default]
    Nothing,
    /// Its place.
    Permit(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit),
    /// Nothing, and there was no place when it wanted one again.
    Gone,
}

impl Place {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, unless it has one.
    fn take(&self) -> bool {
        let mut held = self.held();
        if matches!(*held, Held::Nothing) {
            let permit = Arc::clone(&self.places).try_acquire_owned();
            *held = permit.map_or(Held::Gone, Held::Permit);
        }
        matches!(*held, Held::Permit(_))
    }

    /// Lets another have it.
    fn leave(&self) {
        let mut held = self.held();
        if matches!(*held, Held::Permit(_)) {
            *held = Held::Nothing;
        }
    }
}

/// The body of a request, which has no place while it is waited for.
pub(super) struct Waited<B> {
    body: B,
    place: Option<Arc<Place>>,
}

impl<B: HttpBody<Error: Into<Box<dyn Error + Send + Sync>>> + Unpin> HttpBody for Waited<B> {
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(place) = &self.place {
            if polled.is_pending() {
                place.leave();
            } else if !place.take() {
                return Poll::Ready(Some(Err("there is no place for the request any more".into())));
            }
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a path is one of a route, whose names in braces stand for anything.
fn leads(path: &str, route: &str) -> bool {
    let (mut parts, mut names) = (path.split('/'), route.split('/'));
    loop {
        match (parts.next(), names.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) if part == name || name.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str) -> Request<()> {
        Request::builder().method(method).uri(path).body(()).unwrap()
    }

    fn crowd(most: usize) -> Crowd {
        Crowd::new(
            most,
            [(Method::DELETE, "/v1/accounts/{account_id}/orders/{order_id}".to_owned())],
        )
    }

    #[tokio::test]
    async fn one_beyond_the_most_is_refused_at_once_and_admitted_when_another_is_answered() {
        let (crowd, request) = (crowd(2), asked(Method::GET, "/v1/accounts?limit=1"));
        let first = crowd.admit(&request).expect("a place");
        let _second = crowd.admit(&request).expect("a place");
        assert!(crowd.admit(&request).is_none());
        let refused = crowd.refusal();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()["retry-after"], "1");
        let body = axum::body::to_bytes(refused.into_body(), 1_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&"busy".into(), &503.into()));
        assert!(problem["detail"].as_str().unwrap().starts_with("2 requests are"), "{problem}");
        drop(first);
        assert!(crowd.admit(&request).is_some());
    }

    #[test]
    fn what_ends_a_risk_and_what_is_not_counted_passes_a_full_house() {
        let crowd = crowd(0);
        for (method, path, passes) in [
            (Method::DELETE, "/v1/accounts/a/orders/o", true),
            (Method::GET, "/v1/accounts/a/orders/o", false),
            (Method::DELETE, "/v1/accounts/a/orders/o/", false),
            (Method::DELETE, "/v1/accounts/a/positions/o", false),
            (Method::POST, "/mcp", true),
            (Method::GET, "/readyz", true),
            (Method::OPTIONS, "/v1/accounts/a/orders", true),
        ] {
            assert_eq!(crowd.admit(&asked(method, path)).is_some(), passes, "{path}");
        }
    }
}
