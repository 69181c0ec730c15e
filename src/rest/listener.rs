//! Accepts connections and speaks HTTP/1.1 on them, within limits that `axum::serve` does not have.
//!
//! Guarantees:
//! - A client that does not send the head of a request in time loses its connection, so slow ones hold nothing.
//! - A client that takes nothing of an answer for [`Limits::answer`] loses its connection, and what was kept for it is
//!   freed: an answer, a stream, the seat of one. Nothing of the database waits for a client, since an answer is read to its
//!   end before it is sent.
//! - Above [`Limits::connections`] a client is told 503 with `Retry-After` instead of waiting unseen. One connection
//!   carries one request at a time, so this bounds the requests under way too.
//! - Of the requests that callers send, [`Limits::requests`] are worked at once: [`Crowd`].
//! - When it stops: requests under way finish, at most [`Limits::drain`]; who comes meanwhile is still accepted, so that
//!   the faces can say that the server is stopping; then every connection is closed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower_http::add_extension::AddExtension;
use tracing::{debug, warn};

use super::crowd::Crowd;
use super::impatient::Impatient;

/// The largest head of a request in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// What is buffered of a connection at once, in bytes.
const BUFFER: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// Before connections are accepted again after the system could not: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a client that has just connected has to send its request when the server stops, before its connection counts
/// as idle and is closed: else its request would meet a closed door instead of an answer.
const GRACE: Duration = Duration::from_millis(100);
/// How long a client that is turned away has to send its request and read the answer.
const GOODBYE: Duration = Duration::from_secs(1);
/// Clients that are told so when they are turned away, at once; the others are just closed.
const GOODBYES: usize = 64;

/// What a client reads that is one too many.
const TURNED_AWAY: &str = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"code":"busy","detail":"too many connections are open: send the request again in a second"}"#;

/// Where a request comes from: the other end of its connection, or the client that a trusted proxy at that end names.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// How much is taken on, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are open at once.
    pub connections: usize,
    /// Requests that are worked at once.
    pub requests: usize,
    /// How long the head of a request may take; an idle connection is closed after this time too.
    pub head: Duration,
    /// How long a client may take nothing of what it is sent.
    pub answer: Duration,
    /// How long requests under way may take after the server was asked to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_048,
            requests: 300,
            head: Duration::from_secs(20),
            answer: Duration::from_secs(20),
            drain: Duration::from_secs(10),
        }
    }
}

/// A listener that serves `faces`.
struct Server {
    http: http1::Builder,
    faces: Router,
    crowd: Crowd,
    answer: Duration,
    places: Arc<Semaphore>,
    goodbyes: Arc<Semaphore>,
    connections: JoinSet<()>,
}

/// Serves `faces` on `listener` until `stop` is cancelled and what was under way has ended. The routes that are `spared` take
/// requests however many are being worked. False when something had to be cut off.
pub async fn serve(
    listener: TcpListener,
    faces: Router,
    spared: impl IntoIterator<Item = (Method, String)>,
    limits: Limits,
    stop: CancellationToken,
) -> bool {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(HEAD_MAX)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS_MAX);
    let mut server = Server {
        http,
        faces,
        crowd: Crowd::new(limits.requests, spared),
        answer: limits.answer,
        places: Arc::new(Semaphore::new(limits.connections)),
        goodbyes: Arc::new(Semaphore::new(GOODBYES)),
        connections: JoinSet::new(),
    };
    let under_way = GracefulShutdown::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            client = accept(&listener) => server.welcome(client, Some(&under_way)),
            Some(_) = server.connections.join_next() => {}
        }
    }
    let ended = timeout(limits.drain, async {
        sleep(GRACE).await;
        under_way.shutdown().await;
    });
    tokio::pin!(ended);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut ended => break ended.is_ok(),
            client = accept(&listener) => server.welcome(client, None),
            Some(_) = server.connections.join_next() => {}
        }
    };
    server.connections.shutdown().await;
    ended
}

/// The next client, and where it is.
async fn accept(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((client, address)) => return (client, Peer(address.ip())),
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

impl Server {
    /// Serves a client, or turns it away. `under_way` is told to end its connection when the server stops.
    fn welcome(&mut self, (client, peer): (TcpStream, Peer), under_way: Option<&GracefulShutdown>) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            metrics::counter!("blotter_http_turned_away_total").increment(1);
            if let Ok(place) = Arc::clone(&self.goodbyes).try_acquire_owned() {
                self.connections.spawn(async move {
                    turn_away(client).await;
                    drop(place);
                });
            }
            return;
        };
        if let Err(error) = client.set_nodelay(true) {
            debug!(%error, "a connection was lost before its first request");
            return;
        }
        let faces = TowerToHyperService::new(AddExtension::new(self.faces.clone(), peer));
        let crowd = self.crowd.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let admitted = crowd.admit(&request);
            let answer = admitted.map(|admitted| {
                let request = request.map(|body| admitted.body(body));
                (faces.call(request), admitted)
            });
            let crowd = crowd.clone();
            async move {
                let Some((answer, admitted)) = answer else { return Ok(crowd.refusal()) };
                let answer = answer.await;
                if admitted.end() { answer } else { Ok(crowd.refusal()) }
            }
        });
        let client = TokioIo::new(Impatient::new(client, self.answer));
        let connection = self.http.serve_connection(client, service);
        let watcher = under_way.map(GracefulShutdown::watcher);
        self.connections.spawn(async move {
            let open = metrics::gauge!("blotter_http_connections");
            open.increment(1);
            let served = match watcher {
                Some(watcher) => watcher.watch(connection).await,
                None => connection.await,
            };
            open.decrement(1);
            if let Err(error) = served {
                debug!(%error, "a connection ended before its last answer");
            }
            drop(place);
        });
    }
}

/// Reads what the client sends first, which else would take the answer with it when the connection closes, and answers.
async fn turn_away(mut client: TcpStream) {
    let told = async {
        let mut head = Vec::new();
        while head.len() < HEAD_MAX && !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if client.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        let length = TURNED_AWAY.len();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
             cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{TURNED_AWAY}"
        );
        client.write_all(answer.as_bytes()).await?;
        client.shutdown().await
    };
    if !matches!(timeout(GOODBYE, told).await, Ok(Ok(()))) {
        debug!("a client that was turned away did not listen");
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::time::Instant;

    use axum::body::Body;
    use axum::extract::State;
    use axum::routing::{get, post};
    use futures::stream::unfold;

    use super::*;

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        ended: tokio::task::JoinHandle<bool>,
        /// Cancelled when the answer of `/endless` is not kept any more.
        freed: CancellationToken,
    }

    async fn served(limits: Limits) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let slow = async || {
            sleep(Duration::from_millis(400)).await;
            "slow"
        };
        let endless = async |State(freed): State<CancellationToken>| {
            let body = unfold(freed.drop_guard(), async |kept| {
                Some((Ok::<_, Infallible>([0_u8; 4_096].to_vec()), kept))
            });
            Body::from_stream(body)
        };
        let freed = CancellationToken::new();
        let faces = Router::new()
            .route("/endless", get(endless).with_state(freed.clone()))
            .route("/", get(async || "quick"))
            .route("/slow", get(slow))
            .route("/never", get(async || std::future::pending::<&str>().await))
            .route("/v1/echo", post(async |body: String| body))
            .route("/v1/slow", get(slow).delete(async || "spared"));
        let spared = [(Method::DELETE, "/v1/{what}".to_owned())];
        let ended = tokio::spawn(serve(listener, faces, spared, limits, stop.clone()));
        Served { address, stop, ended, freed }
    }

    async fn connect(address: SocketAddr, text: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(text.as_bytes()).await.unwrap();
        client
    }

    async fn read(mut client: TcpStream) -> String {
        let mut text = String::new();
        let read = timeout(Duration::from_secs(5), client.read_to_string(&mut text)).await;
        read.expect("the connection is closed").unwrap();
        text
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_in_time_costs_the_connection() {
        let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
        let served = served(limits).await;
        let began = Instant::now();
        let answer =
            read(connect(served.address, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused_and_costs_the_connection() {
        let served = served(Limits::default()).await;
        let ask = |size: usize| {
            format!(
                "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n",
                "x".repeat(size)
            )
        };
        for (size, begins) in
            [(8 * 1024, "HTTP/1.1 200"), (17 * 1024, "HTTP/1.1 431"), (60 * 1024, "HTTP/1.1 431")]
        {
            let answer = read(connect(served.address, &ask(size)).await).await;
            assert!(answer.starts_with(begins), "{size}: {answer}");
        }
        let many = "x: y\r\n".repeat(HEADERS_MAX);
        let answer = read(
            connect(served.address, &format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await,
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_an_answer_is_cut_off_and_the_answer_freed() {
        let answer = Duration::from_millis(400);
        let served = served(Limits { answer, ..Limits::default() }).await;
        let mut client = connect(served.address, "GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut taken = vec![0; 1024 * 1024];
        // As long as it takes something it is served, however long that goes on.
        let began = Instant::now();
        while began.elapsed() < 4 * answer {
            assert!(client.read(&mut taken).await.unwrap() > 0);
        }
        assert!(!served.freed.is_cancelled());
        timeout(Duration::from_secs(10), served.freed.cancelled()).await.expect("it is freed");
    }

    #[tokio::test]
    async fn one_request_too_many_is_answered_at_once_on_a_connection_that_goes_on() {
        let served = served(Limits { requests: 1, ..Limits::default() }).await;
        let ask = |method: &str, path: &str, connection: &str| {
            format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: {connection}\r\n\r\n")
        };
        let first = connect(served.address, &ask("GET", "/v1/slow", "close")).await;
        sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        let mut second = connect(served.address, &ask("GET", "/v1/slow", "keep-alive")).await;
        let mut answer = vec![0; 4_096];
        let length = second.read(&mut answer).await.unwrap();
        let refusal = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(refusal.starts_with("HTTP/1.1 503") && refusal.contains("busy"), "{refusal}");
        // What is spared, and what is not counted, is served meanwhile.
        for (method, path, answered) in [("DELETE", "/v1/slow", "spared"), ("GET", "/", "quick")] {
            let asked = connect(served.address, &ask(method, path, "close")).await;
            let answer = read(asked).await;
            assert!(answer.ends_with(answered), "{answer}");
        }
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
        assert!(read(first).await.ends_with("slow"));
        second.write_all(ask("GET", "/v1/slow", "close").as_bytes()).await.unwrap();
        assert!(read(second).await.ends_with("slow"), "the place is free again");
    }

    #[tokio::test]
    async fn who_sends_a_body_slowly_has_no_place_meanwhile() {
        let served = served(Limits { requests: 1, ..Limits::default() }).await;
        let post =
            "POST /v1/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbo";
        let get = "GET /v1/slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let mut first = connect(served.address, post).await;
        let mut second = connect(served.address, post).await;
        sleep(Duration::from_millis(50)).await;
        let slow = connect(served.address, get).await;
        sleep(Duration::from_millis(50)).await;
        // Its body has come while another has the place.
        first.write_all(b"dy").await.unwrap();
        let refused = read(first).await;
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("busy"), "{refused}");
        assert!(read(slow).await.ends_with("slow"));
        second.write_all(b"dy").await.unwrap();
        assert!(read(second).await.ends_with("body"));
        assert!(read(connect(served.address, get).await).await.ends_with("slow"));
    }

    #[tokio::test]
    async fn one_client_too_many_is_told_to_come_back() {
        let served = served(Limits { connections: 1, ..Limits::default() }).await;
        let request = "GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let first = connect(served.address, request).await;
        sleep(Duration::from_millis(50)).await;
        let second = read(connect(served.address, request).await).await;
        let (head, body) = second.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head} {}", body.len());
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "busy");
        let with_body = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
        let third = read(connect(served.address, with_body).await).await;
        assert!(third.starts_with("HTTP/1.1 503"), "{third}");
        assert!(read(first).await.ends_with("slow"));
        assert!(read(connect(served.address, request).await).await.ends_with("slow"));
    }

    #[tokio::test]
    async fn what_is_under_way_is_finished_and_newcomers_are_still_answered() {
        let served = served(Limits::default()).await;
        let slow = connect(served.address, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut just_connected = connect(served.address, "").await;
        let _idle = connect(served.address, "").await;
        sleep(Duration::from_millis(50)).await;
        served.stop.cancel();
        let late =
            connect(served.address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(read(late).await.ends_with("quick"));
        just_connected.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(read(just_connected).await.ends_with("quick"));
        assert!(read(slow).await.ends_with("slow"));
        assert!(served.ended.await.unwrap());
    }

    #[tokio::test]
    async fn what_does_not_end_is_cut_off() {
        let limits = Limits { drain: Duration::from_millis(200), ..Limits::default() };
        let served = served(limits).await;
        let _never = connect(served.address, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
        sleep(Duration::from_millis(50)).await;
        served.stop.cancel();
        assert!(!served.ended.await.unwrap());
    }
}
