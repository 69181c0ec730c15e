//! The server that is relayed to.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

use super::envelope::Envelope;
use super::sse::Events;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
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
    /// The client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(#[source] reqwest::Error),
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
    /// It does not become ready.
    #[error("the server was not ready after {0} seconds")]
    NotReady(u64),
}

/// A server's `/mcp`, and what every request to it brings along. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    endpoint: Url,
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
        let mut endpoint: Url = address.parse().map_err(|_| wrong())?;
        if !matches!(endpoint.scheme(), "http" | "https") || endpoint.cannot_be_a_base() {
            return Err(wrong());
        }
        let path = endpoint.path().trim_end_matches('/');
        let path = if path.ends_with("/mcp") { path.to_owned() } else { format!("{path}/mcp") };
        endpoint.set_path(&path);

        let mut headers = HeaderMap::new();
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| RemoteError::Token)?;
        bearer.set_sensitive(true);
        headers.insert(reqwest::header::AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, accept);
        for (name, value) in narrowing {
            let value = HeaderValue::try_from(value).map_err(|_| RemoteError::Token)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        // A redirect would take the token elsewhere.
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            .build()
            .map_err(RemoteError::Client)?;
        Ok(Self { client, endpoint })
    }

    /// Posts a message and hands each message that comes back to `each`.
    ///
    /// # Errors
    /// See [`RemoteError`]; what came before it has been handed over.
    pub async fn post(
        &self,
        body: String,
        message: &Envelope,
        mut each: impl FnMut(String),
    ) -> Result<(), RemoteError> {
        let mut request = self.client.post(self.endpoint.clone()).body(body);
        for (name, value) in message.headers() {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media_type.starts_with("text/event-stream") {
            let mut events = Events::default();
            while let Some(bytes) = response.chunk().await.map_err(|_| RemoteError::Silent)? {
                events.take(&bytes).into_iter().map(on_one_line).for_each(&mut each);
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

    fn unreachable(&self, error: &reqwest::Error) -> RemoteError {
        let mut why = String::new();
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(at) = cause {
            why = at.to_string();
            cause = at.source();
        }
        RemoteError::Unreachable { address: self.endpoint.to_string(), why }
    }
}

/// The message in an answer that is no stream; none where nothing had to be said.
async fn answer(response: Response) -> Result<Option<String>, RemoteError> {
    let status = response.status();
    let text = response.text().await.map_err(|_| RemoteError::Silent)?;
    let json: Option<Value> = serde_json::from_str(&text).ok();
    match json {
        Some(message) if message.get("jsonrpc").is_some() => Ok(Some(text)),
        _ if status == StatusCode::UNAUTHORIZED => Err(RemoteError::Unauthenticated),
        _ if status.is_success() => Ok(None),
        problem => {
            let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
            let detail = detail.map_or_else(|| text.chars().take(200).collect(), ToOwned::to_owned);
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
    let (client, start) = (Client::new(), Instant::now());
    let mut beside = None;
    while start.elapsed() < patience {
        match health(&client, address).await {
            Some(health) if health["writer"] == true => return Ok(()),
            Some(_) if beside.get_or_insert_with(Instant::now).elapsed() > STANDBY => return Ok(()),
            _ => tokio::time::sleep(BEAT).await,
        }
    }
    Err(RemoteError::NotReady(patience.as_secs()))
}

/// What a server that is ready says of itself.
async fn health(client: &Client, address: &str) -> Option<Value> {
    let answer = client.get(format!("{address}/readyz")).send().await.ok()?;
    answer.error_for_status().ok()?.json().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_path() {
        for address in ["http://h:1", "http://h:1/", "http://h:1/mcp", "http://h:1/mcp/"] {
            let remote = Remote::new(address, "t", &[]).unwrap();
            assert_eq!(remote.endpoint.as_str(), "http://h:1/mcp", "{address}");
        }
        let below = Remote::new("https://h/blotter", "t", &[]).unwrap();
        assert_eq!(below.endpoint.as_str(), "https://h/blotter/mcp");
        for wrong in ["", "h:1", "ftp://h", "unix:/x"] {
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
