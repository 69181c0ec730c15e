//! The server that is relayed to.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::envelope::Envelope;
use super::sse::Events;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// While something is under way, a server is asked this often whether it lives.
const PULSE: Duration = Duration::from_secs(10);
/// How long it may take to say that.
const HANGS: Duration = Duration::from_secs(10);
/// How often a server that is starting is asked whether it is ready.
const BEAT: Duration = Duration::from_millis(50);
/// After so long a server that is ready and does not write leaves that to another one.
const STANDBY: Duration = Duration::from_secs(8);

/// Why there is no answer of the server's.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is none.
    #[error("{0:?} is not the http or https address of a server, such as http://127.0.0.1:8080")]
    Address(String),
    /// The token cannot be sent.
    #[error("the token has characters that a header cannot carry")]
    Token,
    /// The system's certificates cannot be read.
    #[error(
        "the certificates that this system trusts cannot be read, so no https server can be called: {0}"
    )]
    Certificates(#[source] std::io::Error),
    /// The server's certificate is not one that this system trusts for this address.
    #[error(
        "{address} shows a certificate that this system does not trust ({why}): check the address; if the server is \
         yours, name the file with the certificate of its authority, as PEM, in SSL_CERT_FILE"
    )]
    Untrusted {
        /// Where.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers there.
    #[error(
        "no answer from {address}: is the server running? start it with `blotter serve` ({why})"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        why: String,
    },
    /// The token is nobody's.
    #[error(
        "the server does not know the token: set BLOTTER_TOKEN, or BLOTTER_OPERATOR_TOKEN, to one that it gave out"
    )]
    Unauthenticated,
    /// The server answered something that is not MCP.
    #[error("the server answered {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        detail: String,
    },
    /// The connection ended before the answer.
    #[error(
        "the server ended the connection without an answer: repeat the call, an order with the same client_order_id"
    )]
    Silent,
    /// The server neither answers nor says that it lives.
    #[error(
        "{address} does not answer, not even whether it lives, for {} seconds: look after the server, then repeat the \
         call, an order with the same client_order_id",
        HANGS.as_secs()
    )]
    Hangs {
        /// Where.
        address: String,
    },
    /// It does not become ready.
    #[error("the server was not ready after {0} seconds")]
    NotReady(u64),
}

/// Speaks HTTP/1.1, over TLS where the address says so.
pub(super) type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A server's `/mcp`, and what every request to it brings along. Cheap to clone. It follows no redirect: that would take
/// the token elsewhere.
#[derive(Clone, Debug)]
pub struct Remote {
    http: Http,
    endpoint: Uri,
    /// Where it says that it lives.
    pulse: Uri,
    /// When it was asked that last, and whether it said so.
    lived: Arc<Mutex<Option<(Instant, bool)>>>,
    headers: Arc<HeaderMap>,
}

pub(super) fn http(endpoint: &Uri) -> Result<Http, RemoteError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let provider = rustls::crypto::ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if endpoint.scheme_str() == Some("https") {
        builder.with_provider_and_native_roots(provider).map_err(RemoteError::Certificates)?
    } else {
        // Nobody is trusted, and nobody has to be.
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the protocol versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

impl Remote {
    /// The server at `address`, called with `token` and `narrowing` headers.
    ///
    /// # Errors
    /// The address or the token cannot be used.
    pub fn new(
        address: &str,
        token: &str,
        narrowing: &[(&'static str, String)],
    ) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Address(address.to_owned());
        let given: Uri = address.parse().map_err(|_| wrong())?;
        let (Some("http" | "https"), Some(_)) = (given.scheme_str(), given.authority()) else {
            return Err(wrong());
        };
        let base = address.trim_end_matches('/');
        let base = base.strip_suffix("/mcp").unwrap_or(base);
        let endpoint: Uri = format!("{base}/mcp").parse().map_err(|_| wrong())?;
        let pulse: Uri = format!("{base}/livez").parse().map_err(|_| wrong())?;

        let mut headers = HeaderMap::new();
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| RemoteError::Token)?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, accept);
        for (name, value) in narrowing {
            let value = HeaderValue::try_from(value).map_err(|_| RemoteError::Token)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(Self {
            http: http(&endpoint)?,
            endpoint,
            pulse,
            lived: Arc::default(),
            headers: Arc::new(headers),
        })
    }

    /// Posts a message and hands each message that comes back to `each`.
    ///
    /// How long that takes is the server's affair, which has limits of its own, for as long as it lives: while nothing
    /// has ended it is asked for its `/livez` every 10 s, once for all that is under way, and is given up when another
    /// 10 s bring nothing.
    ///
    /// # Errors
    /// See [`RemoteError`]; what came before it has been handed over.
    pub async fn post(
        &self,
        body: String,
        message: &Envelope,
        each: impl FnMut(String),
    ) -> Result<(), RemoteError> {
        tokio::select! {
            biased;
            posted = self.exchange(body, message, each) => posted,
            hangs = self.hangs() => Err(hangs),
        }
    }

    /// Ends when the server hangs. Whatever it answers, it lives.
    async fn hangs(&self) -> RemoteError {
        loop {
            tokio::time::sleep(PULSE).await;
            let mut last = self.lived.lock().await;
            let lives = match *last {
                Some((asked, lives)) if asked.elapsed() < PULSE => lives,
                _ => {
                    let asked = timeout(HANGS, self.http.get(self.pulse.clone())).await;
                    let lives = matches!(asked, Ok(Ok(_)));
                    *last = Some((Instant::now(), lives));
                    lives
                }
            };
            if !lives {
                return RemoteError::Hangs { address: self.endpoint.to_string() };
            }
        }
    }

    async fn exchange(
        &self,
        body: String,
        message: &Envelope,
        mut each: impl FnMut(String),
    ) -> Result<(), RemoteError> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        request.headers_mut().extend((*self.headers).clone());
        for (name, value) in message.headers() {
            // What no header can carry is wrapped already.
            let value = HeaderValue::try_from(value).map_err(|_| RemoteError::Token)?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let response = self.http.request(request).await;
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media_type.starts_with("text/event-stream") {
            let mut events = Events::default();
            while let Some(frame) = response.body_mut().frame().await {
                if let Some(bytes) = frame.map_err(|_| RemoteError::Silent)?.data_ref() {
                    events.take(bytes).into_iter().map(on_one_line).for_each(&mut each);
                }
            }
            return Ok(());
        }
        match answer(response).await? {
            Some(text) => each(on_one_line(text)),
            None if message.id.is_some() => return Err(RemoteError::Silent),
            None => {}
        }
        Ok(())
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> RemoteError {
        let address = self.endpoint.to_string();
        let mut innermost = error;
        while let Some(cause) = cause_of(innermost) {
            innermost = cause;
        }
        let why = innermost.to_string();
        match innermost.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(_)) => RemoteError::Untrusted { address, why },
            _ => RemoteError::Unreachable { address, why },
        }
    }
}

/// The cause of an error. An I/O error shows the cause of the error that it was made of, and not that one.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(made_of) => Some(made_of),
        None => error.source(),
    }
}

/// The message in an answer that is no stream; none where nothing had to be said.
async fn answer(response: Response<Incoming>) -> Result<Option<String>, RemoteError> {
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(|_| RemoteError::Silent)?.to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let json: Option<Value> = serde_json::from_str(&text).ok();
    match json {
        Some(message) if message.get("jsonrpc").is_some() => Ok(Some(text)),
        _ if status == StatusCode::UNAUTHORIZED => Err(RemoteError::Unauthenticated),
        _ if status.is_success() => Ok(None),
        problem => {
            let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
            let detail = detail.map_or_else(|| text.chars().take(200).collect(), ToOwned::to_owned);
            let detail = Some(detail).filter(|detail| !detail.trim().is_empty());
            let detail =
                detail.unwrap_or_else(|| "is this the address of blotter serve?".to_owned());
            Err(RemoteError::Refused { status, detail })
        }
    }
}

/// A message as a line of output.
fn on_one_line(text: String) -> String {
    if !text.contains(['\n', '\r']) {
        return text;
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(message) => message.to_string(),
        Err(_) => text.replace(['\n', '\r'], " "),
    }
}

/// Waits until the server at `address` writes the ledger; where another process does, until it serves beside it.
///
/// # Errors
/// It does not within `patience`.
pub async fn ready(address: &str, patience: Duration) -> Result<(), RemoteError> {
    let wrong = |_| RemoteError::Address(address.to_owned());
    let health: Uri = format!("{address}/readyz").parse().map_err(wrong)?;
    let (http, start, mut beside) = (http(&health)?, Instant::now(), None);
    while start.elapsed() < patience {
        match asked(&http, &health).await {
            Some(health) if health["writer"] == true => return Ok(()),
            Some(_) if beside.get_or_insert_with(Instant::now).elapsed() > STANDBY => return Ok(()),
            _ => tokio::time::sleep(BEAT).await,
        }
    }
    Err(RemoteError::NotReady(patience.as_secs()))
}

/// What a server that is ready says of itself.
async fn asked(http: &Http, health: &Uri) -> Option<Value> {
    let answer = http.get(health.clone()).await.ok()?;
    let ready = answer.status().is_success();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok().filter(|_| ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_path() {
        for address in ["http://h:1", "http://h:1/", "http://h:1/mcp", "http://h:1/mcp/"] {
            let remote = Remote::new(address, "t", &[]).unwrap();
            assert_eq!(remote.endpoint.to_string(), "http://h:1/mcp", "{address}");
        }
        let below = Remote::new("http://h/blotter", "t", &[]).unwrap();
        assert_eq!(below.endpoint.to_string(), "http://h/blotter/mcp");
        for wrong in ["", "h:1", "h", "ftp://h", "unix:/x", "/mcp"] {
            assert!(
                matches!(Remote::new(wrong, "t", &[]), Err(RemoteError::Address(_))),
                "{wrong}"
            );
        }
        assert!(matches!(Remote::new("http://h", "a\nb", &[]), Err(RemoteError::Token)));
    }

    #[test]
    fn the_token_is_never_shown() {
        let remote = Remote::new("http://h:1", "secret", &[]).unwrap();
        assert!(!format!("{remote:?}").contains("secret"));
    }
}
