//! Subscriptions of clients of revisions before 2026-07-28, which know `resources/subscribe`.
//!
//! Over HTTP these need a session, and the server has none. Each becomes a `subscriptions/listen` of 2026-07-28 that
//! is kept open here; when its connection ends it is opened again, and the client is told that the resource was
//! updated, since it may have been.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::envelope::Envelope;
use super::remote::{Remote, RemoteError};
use super::{Out, SUBSCRIBABLE, say};

/// The first and the longest pause before a subscription is opened again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The subscriptions of one client.
pub struct Follower {
    remote: Remote,
    out: Out,
    open: BTreeMap<String, DropGuard>,
}

impl Follower {
    /// A client with no subscriptions.
    pub fn new(remote: Remote, out: Out) -> Self {
        Self { remote, out, open: BTreeMap::new() }
    }

    /// Answers `resources/subscribe`.
    pub async fn subscribe(&mut self, message: &Envelope) {
        let Some(uri) = message.params.get("uri").and_then(Value::as_str) else {
            return self.refuse(message, -32602, "uri is missing: name a resource");
        };
        if self.open.contains_key(uri) {
            return say(&self.out, &message.done());
        }
        let (ended, (told, accepted)) = (CancellationToken::new(), oneshot::channel());
        let stream =
            Stream { remote: self.remote.clone(), out: self.out.clone(), uri: uri.to_owned() };
        let until = ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = until.cancelled() => {}
                () = stream.keep(told) => {}
            }
        });
        match accepted.await {
            Ok(Ok(true)) => {
                self.open.insert(uri.to_owned(), ended.drop_guard());
                say(&self.out, &message.done());
            }
            Ok(Err(error)) => {
                ended.cancel();
                say(&self.out, &message.failed(&error));
            }
            Ok(Ok(false)) | Err(_) => {
                ended.cancel();
                self.refuse(
                    message,
                    -32002,
                    "there is no such resource to follow: see resources/list",
                );
            }
        }
    }

    /// Answers `resources/unsubscribe`.
    pub fn unsubscribe(&mut self, message: &Envelope) {
        if let Some(uri) = message.params.get("uri").and_then(Value::as_str) {
            drop(self.open.remove(uri));
        }
        say(&self.out, &message.done());
    }

    fn refuse(&self, message: &Envelope, code: i32, why: &str) {
        let error =
            json!({ "code": code, "message": why, "data": { "uri": message.params["uri"] } });
        say(&self.out, &json!({ "jsonrpc": "2.0", "id": message.id, "error": error }));
    }
}

/// One subscription.
struct Stream {
    remote: Remote,
    out: Out,
    uri: String,
}

impl Stream {
    /// Keeps it open, and says through `told` whether the server takes it.
    async fn keep(self, told: oneshot::Sender<Result<bool, RemoteError>>) {
        let (mut told, mut pause) = (Some(told), PAUSES.0);
        loop {
            let again = told.is_none();
            let listened = self.listen(again, |accepted| {
                pause = PAUSES.0;
                if let Some(told) = told.take() {
                    // Whoever asked may have gone.
                    drop(told.send(Ok(accepted)));
                }
            });
            let listened = listened.await;
            if let Some(told) = told.take() {
                drop(told.send(Err(listened.err().unwrap_or(RemoteError::Silent))));
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Listens until the connection ends.
    async fn listen(
        &self,
        again: bool,
        mut acknowledged: impl FnMut(bool),
    ) -> Result<(), RemoteError> {
        let (body, message) = self.request();
        self.remote
            .post(body, &message, |text| {
                let Ok(event) = serde_json::from_str::<Value>(&text) else { return };
                match event["method"].as_str() {
                    Some("notifications/subscriptions/acknowledged") => {
                        let taken = &event["params"]["notifications"]["resourceSubscriptions"];
                        let taken = taken.as_array().is_some_and(|uris| {
                            uris.iter().any(|uri| uri.as_str() == Some(self.uri.as_str()))
                        });
                        acknowledged(taken);
                        if again && taken {
                            self.tell();
                        }
                    }
                    Some("notifications/resources/updated") => self.tell(),
                    _ => {}
                }
            })
            .await
    }

    fn tell(&self) {
        let params = json!({ "uri": self.uri });
        let method = "notifications/resources/updated";
        say(&self.out, &json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn request(&self) -> (String, Envelope) {
        let params = json!({
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": SUBSCRIBABLE,
                "io.modelcontextprotocol/clientInfo":
                    { "name": "blotter mcp", "version": env!("CARGO_PKG_VERSION") },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
            "notifications": { "resourceSubscriptions": [self.uri] },
        });
        let (id, method) = (json!("subscription"), "subscriptions/listen");
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let message = Envelope {
            id: Some(id),
            method: Some(method.to_owned()),
            params,
            version: Some(SUBSCRIBABLE.to_owned()),
        };
        (body.to_string(), message)
    }
}
