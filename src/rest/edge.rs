//! What every request and every answer passes, whatever it is for: REST, MCP, pages and metrics alike.
//!
//! Guarantees: an answer has `x-request-id` and the headers that keep browsers from misusing it; it is logged and
//! measured, without query, body or secret; a panic costs its own request alone, also one here at the edge, and is
//! answered, logged and measured as any other end; a server that stops takes nothing new. Costs a few microseconds and a line of the log. See `docs/logging.md`.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use aggregates::id::{ActorId, RequestId};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::listener::Peer;
use super::problem::Problem;
use super::proxies::Proxies;
use super::routes::wrong_method;

/// The header with the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What answers tell browsers, unless a handler said otherwise: run nothing, frame nothing, guess nothing, keep nothing.
/// `Strict-Transport-Security` is for the proxy that speaks TLS.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=()",
    ),
];

/// Paths that answer while the server stops.
const HEALTH: [&str; 2] = ["/livez", "/readyz"];

/// The id of a request, also in the metadata of the events that it causes.
#[derive(Clone, Copy, Debug)]
pub struct Id(pub RequestId);

impl Id {
    /// The id that the request brings if it is a UUID, else a fresh one.
    fn of(headers: &HeaderMap) -> Self {
        let brought = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let brought = brought.and_then(|text| text.parse().ok());
        Self(brought.unwrap_or_else(|| RequestId::new(Uuid::now_v7())))
    }
}

/// Who was found to call, told to the log by the extensions of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Actor(pub ActorId);

/// Puts the edge around all faces, which see the clients of `proxies` as their peers. Once `stop` is cancelled, only the
/// paths of [`HEALTH`] answer.
pub fn around(faces: Router, proxies: Proxies, stop: CancellationToken) -> Router {
    let edge = Edge { proxies, stop };
    faces.layer(from_fn_with_state(edge, pass))
}

/// What the edge works by.
#[derive(Clone)]
struct Edge {
    proxies: Proxies,
    stop: CancellationToken,
}

async fn pass(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut id = None;
    let answered = AssertUnwindSafe(answer(&edge, request, next, &mut id)).catch_unwind().await;
    // The panic hook has told the log of it.
    let mut response = answered.unwrap_or_else(|_panic| panicked());
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if edge.stop.is_cancelled() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let id = id.map(|Id(id)| id.to_string());
    if let Some(Ok(value)) = id.as_deref().map(HeaderValue::from_str) {
        headers.insert(REQUEST_ID, value);
    }
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    tell(&method, route, &response, id.as_deref().unwrap_or("-"), began);
    response
}

/// The answer to a request, and its id once it has one.
async fn answer(edge: &Edge, mut request: Request, next: Next, id: &mut Option<Id>) -> Response {
    let found = Id::of(request.headers());
    *id = Some(found);
    request.extensions_mut().insert(found);
    if let Some(Peer(peer)) = request.extensions().get() {
        let client = Peer(edge.proxies.client(*peer, request.headers()));
        request.extensions_mut().insert(client);
    }
    let stopping = edge.stop.is_cancelled() && !HEALTH.contains(&request.uri().path());
    let response = if stopping {
        stopped()
    } else if has_one_host(&request) {
        next.run(request).await
    } else {
        hosts().into_response()
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return explained(response).await;
    }
    response
}

/// Whether a request names one host, as HTTP/1.1 has it (RFC 9112, 3.2): who stands in front may take another one for
/// meant than we do. HTTP/1.0 may name none.
fn has_one_host(request: &Request) -> bool {
    match request.headers().get_all(header::HOST).iter().count() {
        0 => request.version() < Version::HTTP_11,
        hosts => hosts == 1,
    }
}

fn hosts() -> Problem {
    let detail = "an HTTP/1.1 request has the header Host, and once: send it so";
    Problem::unreadable(detail)
}

/// Logs and measures an answer. The route is its template, so that neither holds what a client made up.
fn tell(method: &Method, route: &str, response: &Response, id: &str, began: Instant) {
    let took = began.elapsed();
    let status = response.status().as_u16();
    let method = if KNOWN_METHODS.contains(method) { method.as_str() } else { "-" };
    let labels = [("method", method.to_owned()), ("route", route.to_owned())];
    metrics::histogram!("blotter_http_seconds", &labels).record(took);
    let labels = [labels.as_slice(), &[("status", status.to_string())]].concat();
    metrics::counter!("blotter_http_requests_total", &labels).increment(1);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let actor =
        response.extensions().get().map_or_else(|| "-".to_owned(), |Actor(id)| id.to_string());
    if response.status().is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        warn!(target: "blotter::access", method, route, status, micros, request = %id, actor, "answered");
    } else {
        info!(target: "blotter::access", method, route, status, micros, request = %id, actor, "answered");
    }
}

/// Methods that are named in log and metrics.
const KNOWN_METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The same refusal of a method as a problem, where the router of another crate made it.
async fn explained(refused: Response) -> Response {
    let allowed = refused.headers().get(header::ALLOW).cloned();
    let (found, _) = refused.into_parts();
    let mut response = wrong_method().await.into_response();
    *response.extensions_mut() = found.extensions;
    if let Some(allowed) = allowed {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

fn stopped() -> Response {
    let detail = "the server is stopping: send the request again in a second, here or to another";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).into_response()
}

/// A panic is a defect of ours. What it said is nobody's who calls.
fn panicked() -> Response {
    let detail = "the request met a defect of this program";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "defect", detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn defective() {
        panic!("a defect, on purpose")
    }

    async fn serve(routes: Router, stop: CancellationToken) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, around(routes, Proxies::default(), stop)).into_future());
        base
    }

    fn routes() -> Router {
        Router::new().route("/panic", get(defective)).route("/livez", get(async || "ok")).route(
            "/id",
            get(async |request: Request| request.extensions().get::<Id>().unwrap().0.to_string()),
        )
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_alone() {
        let base = serve(routes(), CancellationToken::new()).await;
        let client = reqwest::Client::new();
        for _ in 0..2 {
            let answer = client.get(format!("{base}/panic")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(answer.headers().contains_key("x-request-id"));
            let problem: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], "defect");
            assert!(!problem.to_string().contains("on purpose"), "{problem}");
            let alive = client.get(format!("{base}/livez")).send().await.unwrap();
            assert_eq!(alive.status(), StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn the_id_that_a_request_brings_is_taken_over_if_it_is_one() {
        let base = serve(routes(), CancellationToken::new()).await;
        let client = reqwest::Client::new();
        let ask =
            |id: &'static str| client.get(format!("{base}/id")).header("x-request-id", id).send();
        for (brought, taken) in
            [("0190c2f0-0000-7000-8000-000000000000", true), ("mine", false), ("", false)]
        {
            let answer = ask(brought).await.unwrap();
            let named = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
            assert_eq!(named == brought, taken, "{brought}");
            assert_eq!(answer.text().await.unwrap(), named);
        }
    }

    #[tokio::test]
    async fn a_request_names_one_host() {
        let base = serve(routes(), CancellationToken::new()).await;
        for (version, hosts, answered) in [
            ("1.1", "Host: a\r\n", "HTTP/1.1 200"),
            ("1.1", "", "HTTP/1.1 400"),
            ("1.1", "Host: a\r\nHost: a\r\n", "HTTP/1.1 400"),
            ("1.1", "Host: a\r\nhost: b\r\n", "HTTP/1.1 400"),
            ("1.0", "", "HTTP/1.0 200"),
            // A line that ends in LF alone is a line, so that nothing hides behind it; CR alone is in none.
            ("1.1", "Host: a\n", "HTTP/1.1 200"),
            ("1.1", "Host: a\r\nX-Other: b\nHost: c\r\n", "HTTP/1.1 400"),
            ("1.1", "Host: a\r\nX-Other: b\rHost: c\r\n", "HTTP/1.1 400"),
            ("1.1", "Host: a\r\nX-Other: b\r\n c\r\n", "HTTP/1.1 400"),
        ] {
            let mut stream = TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
            let head = format!("GET /livez HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(answered), "{head}{answer}");
        }
    }

    #[tokio::test]
    async fn a_server_that_stops_answers_health_alone() {
        let stop = CancellationToken::new();
        let base = serve(routes(), stop.clone()).await;
        let client = reqwest::Client::new();
        stop.cancel();
        assert_eq!(
            client.get(format!("{base}/livez")).send().await.unwrap().status(),
            StatusCode::OK
        );
        let answer = client.get(format!("{base}/id")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "stopping");
    }
}
