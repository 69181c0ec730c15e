//! What callers hand to the ledger, and what they get back.

use std::sync::Arc;

use aggregates::id::{ActorId, CommandId, RequestId, TenantId};
use aggregates::refusal::Refusal;
use aggregates::stream::Event;
use aggregates::trading::{Command, Impact};
use projections::log::Recorded;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The way by which a command came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// REST.
    Rest,
    /// MCP.
    Mcp,
    /// The command line, beside the server.
    Cli,
    /// The execution engine.
    Engine,
    /// The ledger itself: take-overs.
    Ledger,
}

/// On whose behalf a command runs, and what caused it: the metadata of its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Whose rows the events are.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: ActorId,
    /// The id of the token that was shown, never the token; empty for the engine.
    pub token: String,
    /// The id of the browser or program that a session was begun by; empty where there is no session.
    pub client: String,
    /// The way in.
    pub interface: Interface,
    /// The request.
    pub request: RequestId,
    /// What made it necessary: `request`, or a place on the tape.
    pub causation: String,
}

/// A key that makes a command happen once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whether it is kept for ever (`client_order_id`) or for 24 hours.
    pub lasting: bool,
    /// The first 16 bytes of SHA-256 over tenant, scope and key.
    pub hash: Uuid,
    /// The first 8 bytes of SHA-256 over the request: another request under the same key is refused.
    pub fingerprint: i64,
}

impl Key {
    /// The key of an order: its `client_order_id` in its account.
    pub fn order(
        tenant: TenantId,
        account: aggregates::id::AccountId,
        id: &str,
        request: &[u8],
    ) -> Self {
        let scope = format!("account/{account}/client_order_id");
        Self { lasting: true, hash: hash(tenant, &scope, id), fingerprint: fingerprint(request) }
    }

    /// An `Idempotency-Key` on a route. `other` is who sent it, if that is not the tenant's own user: each has keys of
    /// their own.
    pub fn request(
        tenant: TenantId,
        other: Option<ActorId>,
        route: &str,
        key: &str,
        request: &[u8],
    ) -> Self {
        let scope = match other {
            None => format!("http/{route}"),
            Some(actor) => format!("http/{actor}/{route}"),
        };
        Self { lasting: false, hash: hash(tenant, &scope, key), fingerprint: fingerprint(request) }
    }
}

fn hash(tenant: TenantId, scope: &str, key: &str) -> Uuid {
    let tenant = tenant.uuid();
    aggregates::id::derived_uuid(
        "blotter/key",
        &[tenant.as_bytes(), scope.as_bytes(), key.as_bytes()],
    )
}

fn fingerprint(request: &[u8]) -> i64 {
    let digest: [u8; 32] = Sha256::digest(request).into();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(bytes)
}

/// One command on its way to the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// On whose behalf.
    pub origin: Origin,
    /// The id of the command: what its events name, and the outcome of a key that is not an order's.
    pub command_id: CommandId,
    /// What to do.
    pub command: Command,
    /// Makes it happen once.
    pub key: Option<Key>,
}

impl Submission {
    /// What the key of this command stands for: the order that it placed, else the command itself.
    pub fn outcome(&self) -> Uuid {
        match &self.command {
            Command::Place { order_id, .. } | Command::Close { order_id, .. } => order_id.uuid(),
            _ => self.command_id.uuid(),
        }
    }
}

/// An event with its place, as it was committed.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedEvent {
    /// The row.
    pub row: Recorded,
    /// The event in it.
    pub event: Event,
}

/// What became of a command that was carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The position of its last event; for a replay, of the first answer where that is known, else of the head.
    pub position: u64,
    /// The order that it placed, else the command itself.
    pub outcome: Uuid,
    /// Its events; none for a replay.
    pub events: Vec<Arc<CommittedEvent>>,
    /// The refusal that was recorded as a rejected order, or that ended the order.
    pub rejected: Option<Refusal>,
    /// What a preview told; then `position` is what it stands on.
    pub impact: Option<Box<Impact>>,
    /// It had been carried out before, under the same key.
    pub replayed: bool,
}

/// Lines of the tape with the events that they caused: appended in one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapeBlock {
    /// The place of its first line: the one after the last that was written.
    pub first_place: u64,
    /// The place of its last line.
    pub last_place: u64,
    /// The lines, compressed.
    pub bytes: Vec<u8>,
    /// SHA-256 of the lines before compression.
    pub digest: [u8; 32],
}

/// Why a command was not carried out, or is not known to have been.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LedgerError {
    /// The domain said no; nothing happened.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many commands are waiting; nothing happened.
    #[error("the ledger is busy: send the command again in a second")]
    Busy,
    /// Another process writes; nothing happened here.
    #[error("this process does not write the ledger: send the command again in a second{}", .owner_url.as_ref().map(|url| format!(", or to {url}")).unwrap_or_default())]
    NotWriter {
        /// Where the writer listens, if it says so.
        owner_url: Option<String>,
    },
    /// The command may or may not have happened.
    #[error(
        "the outcome is unknown: send the command again with the same key, which carries it out at most once"
    )]
    OutcomeUnknown,
    /// The database failed; nothing happened.
    #[error("the ledger's database does not answer: send the command again in a second")]
    Unavailable,
    /// A defect of this program; nothing happened.
    #[error("the command met a defect of the ledger and was not carried out")]
    Defect,
}
