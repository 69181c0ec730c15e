//! Subscriptions of clients of revisions before 2026-07-28, which know `resources/subscribe`.
//!
//! Over HTTP these need a session, and the server has none. Each becomes a `subscriptions/listen` of 2026-07-28 that
//! is kept open here; when its connection ends it is opened again, and the client is told that the resource was
//! updated, since it may have been.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::envelope::Envelope;
use super::remote::{Remote, RemoteError};
use super::{BUSY, Out, SUBSCRIBABLE, say};

/// The most resources that one client follows, each on a connection of its own.
const MOST: usize = 64;
/// The first and the longest pause before a subscription is opened again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The subscriptions of one client.
pub struct Follower {
    remote: Remote,
    out: Out,
    open: Arc<Mutex<BTreeMap<String, Open>>>,
}

/// A subscription that was asked for and not ended.
struct Open {
    verdict: watch::Receiver<Option<Verdict>>,
    _until_dropped: DropGuard,
}

/// What became of asking for one.
#[derive(Clone, Debug)]
enum Verdict {
    /// The server takes it.
    Taken,
    /// There is no such resource.
    Unknown,
    /// The server cannot be asked.
    Failed(Arc<RemoteError>),
}

impl Follower {
    /// A client with no subscriptions.
    pub fn new(remote: Remote, out: Out) -> Self {
        Self { remote, out, open: Arc::default() }
    }

    /// Begins what `resources/subscribe` asks for; the future answers it when the server has said whether it takes it.
    pub fn subscribe(&self, message: Envelope) -> impl Future<Output = ()> + Send + use<> {
        let begun = self.begin(&message);
        let (out, open) = (self.out.clone(), Arc::clone(&self.open));
        async move {
            let answer = match begun {
                Ok((uri, verdict)) => settled(&message, &open, &uri, verdict).await,
                Err(refusal) => refusal,
            };
            say(&out, &answer);
        }
    }

    /// The subscription to a resource and its verdict to come, opened if there is none; or why not.
    fn begin(
        &self,
        message: &Envelope,
    ) -> Result<(String, watch::Receiver<Option<Verdict>>), Value> {
        let Some(uri) = message.params.get("uri").and_then(Value::as_str) else {
            return Err(refusal(message, -32602, "uri is missing: name a resource"));
        };
        let mut open = all(&self.open);
        if let Some(same) = open.get(uri) {
            return Ok((uri.to_owned(), same.verdict.clone()));
        }
        if open.len() >= MOST {
            let why =
                format!("{MOST} resources are followed, and more are not: unsubscribe from one");
            return Err(refusal(message, BUSY, &why));
        }
        let (ended, (told, verdict)) = (CancellationToken::new(), watch::channel(None));
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
        let begun = Open { verdict: verdict.clone(), _until_dropped: ended.drop_guard() };
        open.insert(uri.to_owned(), begun);
        Ok((uri.to_owned(), verdict))
    }

    /// Answers `resources/unsubscribe`.
    pub fn unsubscribe(&self, message: &Envelope) {
        if let Some(uri) = message.params.get("uri").and_then(Value::as_str) {
            drop(all(&self.open).remove(uri));
        }
        say(&self.out, &message.done());
    }
}

fn all(open: &Mutex<BTreeMap<String, Open>>) -> MutexGuard<'_, BTreeMap<String, Open>> {
    // Whoever panicked left a whole map behind: every change is one call.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to a subscription when its verdict is there; one that did not come about is forgotten.
async fn settled(
    message: &Envelope,
    open: &Mutex<BTreeMap<String, Open>>,
    uri: &str,
    mut verdict: watch::Receiver<Option<Verdict>>,
) -> Value {
    let told = verdict.wait_for(Option::is_some).await.ok().and_then(|told| (*told).clone());
    if let Some(Verdict::Taken) = told {
        return message.done();
    }
    let mut open = all(open);
    if open.get(uri).is_some_and(|now| now.verdict.same_channel(&verdict)) {
        open.remove(uri);
    }
    match told {
        Some(Verdict::Failed(error)) => message.failed(&error),
        Some(_) => {
            refusal(message, -32002, "there is no such resource to follow: see resources/list")
        }
        None => refusal(message, -32603, "it was unsubscribed from before it came about"),
    }
}

/// The answer that says why a resource is not followed, and which.
fn refusal(message: &Envelope, code: i32, why: &str) -> Value {
    let mut answer = message.refused(code, why);
    answer["error"]["data"] = json!({ "uri": message.params["uri"] });
    answer
}

/// One subscription.
struct Stream {
    remote: Remote,
    out: Out,
    uri: String,
}

impl Stream {
    /// Keeps it open, and says through `told` whether the server takes it; one that was not taken at first is left.
    async fn keep(self, told: watch::Sender<Option<Verdict>>) {
        let mut pause = PAUSES.0;
        loop {
            let again = told.borrow().is_some();
            let listened = self.listen(again, |accepted| {
                pause = PAUSES.0;
                if !again {
                    told.send_replace(Some(if accepted {
                        Verdict::Taken
                    } else {
                        Verdict::Unknown
                    }));
                }
            });
            let listened = listened.await;
            if told.borrow().is_none() {
                let error = Arc::new(listened.err().unwrap_or(RemoteError::Silent));
                told.send_replace(Some(Verdict::Failed(error)));
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
