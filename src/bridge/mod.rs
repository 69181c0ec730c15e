//! Relays MCP between standard input and output and the `/mcp` of a server.
//!
//! A line of input is one JSON-RPC message and is posted as it is, so that the server alone judges it; what the server
//! answers, at once or as a stream of events, becomes lines of output. Calls run beside each other and their answers
//! come as they are ready. Every request with an id is answered, whatever becomes of the server: a failure on the way
//! is a JSON-RPC error that says what to do. At the end of the input, what is under way is answered first.
//!
//! Nothing is without a limit: a line has a longest length, at most [`MOST`] requests are under way, and what a server
//! that hangs was asked is given up (see [`Remote::post`]). Each is told by a JSON-RPC error.
//!
//! Two things are more than relaying. A cancellation closes the request's connection, which is how HTTP says it. And
//! clients of revisions before 2026-07-28 may subscribe to resources, which over HTTP they cannot: see [`follow`].

mod envelope;
mod first;
mod follow;
mod lines;
mod remote;
mod sse;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use envelope::Envelope;
pub use first::first_account;
use follow::Follower;
pub use lines::{Line, next as next_line};
pub use remote::{Remote, RemoteError, ready};

/// Lines of output.
pub type Out = mpsc::UnboundedSender<String>;

/// The code of an error for what is too much at once.
const BUSY: i32 = -32000;
/// The revision that has subscriptions without sessions.
const SUBSCRIBABLE: &str = "2026-07-28";

/// The most requests that are under way at once, each on a connection of its own.
const MOST: usize = 64;
/// How long a request waits for one of them to end before it is refused.
const MOMENT: Duration = Duration::from_millis(100);

/// Relays until the input ends and all that it asked for is answered.
pub async fn relay(remote: Remote, mut lines: mpsc::Receiver<Line>, out: Out) {
    let mut relay = Relay {
        follower: Follower::new(remote.clone(), out.clone()),
        remote: Arc::new(remote),
        out,
        version: None,
        pending: Pending::default(),
        calls: JoinSet::new(),
    };
    while let Some(line) = lines.recv().await {
        // Finished calls are forgotten as others begin.
        while relay.calls.try_join_next().is_some() {}
        relay.take(line).await;
    }
    relay.pending.end_streams();
    while relay.calls.join_next().await.is_some() {}
}

struct Relay {
    remote: Arc<Remote>,
    follower: Follower,
    out: Out,
    /// The revision of the handshake, if there was one.
    version: Option<String>,
    pending: Pending,
    calls: JoinSet<()>,
}

impl Relay {
    async fn take(&mut self, line: Line) {
        let line = match line {
            Line::Text(line) if line.trim().is_empty() => return,
            Line::Text(line) => line,
            Line::TooLong(most) => return say(&self.out, &envelope::too_long(most)),
        };
        let message = match Envelope::read(&line, self.version.as_deref()) {
            Ok(message) => message,
            Err(error) => return say(&self.out, &error),
        };
        match message.method.as_deref() {
            Some("initialize") => self.initialize(line, &message).await,
            Some("notifications/cancelled") => self.pending.cancel(message.params.get("requestId")),
            Some("resources/unsubscribe") if message.is_before(SUBSCRIBABLE) => {
                self.follower.unsubscribe(&message);
            }
            _ if !self.has_room(&message).await => {}
            Some("resources/subscribe") if message.is_before(SUBSCRIBABLE) => {
                let answered = self.follower.subscribe(message);
                self.calls.spawn(answered);
            }
            _ => self.call(line, message),
        }
    }

    /// Whether one more may be under way; if not, it is answered.
    async fn has_room(&mut self, message: &Envelope) -> bool {
        if self.calls.len() >= MOST {
            // An answer is out a moment before its call has ended, and its reader may ask again within that moment. When
            // none ends, the refusal comes all the same.
            let _ = timeout(MOMENT, self.calls.join_next()).await;
        }
        let room = self.calls.len() < MOST;
        match &message.id {
            _ if room => {}
            Some(_) => {
                let why = format!(
                    "{MOST} requests are under way, and more are not taken: wait for an answer, then send it again"
                );
                say(&self.out, &message.refused(BUSY, &why));
            }
            None => warn!(most = MOST, "a notification is left out: too much is under way"),
        }
        room
    }

    /// The handshake: what comes after it needs to know the revision, so nothing overtakes it, and it lasts no longer
    /// than a server that hangs is waited for.
    async fn initialize(&mut self, line: String, message: &Envelope) {
        let mut answer = None;
        let answered = self.remote.post(line, message, |text| answer = Some(text)).await;
        let answer = answer.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        match (answer, answered) {
            (Some(mut answer), _) => {
                let version = answer["result"]["protocolVersion"].as_str();
                self.version = version.map(ToOwned::to_owned);
                if let Some(resources) = answer.pointer_mut("/result/capabilities/resources") {
                    resources["subscribe"] = json!(true);
                }
                say(&self.out, &answer);
            }
            (None, Err(error)) => say(&self.out, &message.failed(&error)),
            (None, Ok(())) => say(&self.out, &message.failed(&RemoteError::Silent)),
        }
    }

    fn call(&mut self, line: String, message: Envelope) {
        let (remote, out) = (Arc::clone(&self.remote), self.out.clone());
        let pending = self.pending.clone();
        let cancelled = pending.begin(&message);
        self.calls.spawn(async move {
            let mut answered = message.id.is_none();
            let posted = remote.post(line, &message, |text| {
                answered |= message.is_answered_by(&text);
                send(&out, text);
            });
            let posted = tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                posted = posted => posted,
            };
            pending.end(&message);
            if !answered {
                let error = posted.err().unwrap_or(RemoteError::Silent);
                say(&out, &message.failed(&error));
            }
        });
    }
}

/// Requests under way, by their ids.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<BTreeMap<String, Under>>>);

struct Under {
    cancelled: CancellationToken,
    endless: bool,
}

impl Pending {
    fn begin(&self, message: &Envelope) -> CancellationToken {
        let cancelled = CancellationToken::new();
        if let Some(id) = &message.id {
            let endless = message.method.as_deref() == Some("subscriptions/listen");
            let under = Under { cancelled: cancelled.clone(), endless };
            self.with(|pending| pending.insert(id.to_string(), under));
        }
        cancelled
    }

    fn end(&self, message: &Envelope) {
        if let Some(id) = &message.id {
            self.with(|pending| pending.remove(&id.to_string()));
        }
    }

    fn cancel(&self, id: Option<&Value>) {
        let ended = id.and_then(|id| self.with(|pending| pending.remove(&id.to_string())));
        if let Some(under) = ended {
            under.cancelled.cancel();
        }
    }

    /// Ends what would never end by itself.
    fn end_streams(&self) {
        self.with(|pending| {
            for under in pending.values().filter(|under| under.endless) {
                under.cancelled.cancel();
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Under>) -> T) -> T {
        // Whoever panicked left a whole map behind: every change is one call.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts a message out. Without a reader of the output the whole relay ends, so nothing is lost by not saying so here.
fn say(out: &Out, message: &Value) {
    send(out, message.to_string());
}

fn send(out: &Out, text: String) {
    drop(out.send(text));
}
