//! What holds of the log whatever the events mean: gapless positions, dense streams, time that does not go back,
//! leaves, the tree, epochs, metadata, and the checkpoints on the way.
//!
//! Memory is one number for each stream, and the checkpoints given.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};
use signed_note::StandardVerifier;

use super::checkpoint::{Checkpoint, Signed, origin, signed};
use super::key::verifier;
use super::report::{Code, Findings};
use super::row::{Content, Row};
use crate::ledger::proof::Frontier;

/// What the metadata of every event has, and what it may have beside that.
const REQUIRED: [&str; 6] = ["tenant", "actor", "interface", "request", "command", "epoch"];
const OPTIONAL: [&str; 3] = ["token", "client", "causation"];
/// Names under which nothing may stand in an event.
const SECRETS: [&str; 7] = [
    "password",
    "secret",
    "authorization",
    "api_key",
    "private_key",
    "token_hash",
    "password_hash",
];

/// A checkpoint that somebody kept, and where.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) checkpoint: Checkpoint,
    pub(super) note: String,
    /// The file and the number of the note in it, for messages.
    pub(super) place: String,
    /// It came from outside of what is verified, not with an export.
    pub(super) given: bool,
}

/// Where the head row says that the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: u64,
    pub(super) epoch: Option<u64>,
    pub(super) root: [u8; 32],
}

/// Follows the log, row by row.
pub(super) struct Chain {
    tree: Frontier,
    origin: Option<String>,
    sequences: HashMap<(String, String), u64>,
    recorded_at: i64,
    epoch: u64,
    keys: Vec<StandardVerifier>,
    /// Name and public half of each of them: a process that takes over again names the same key again.
    named: BTreeSet<(String, String)>,
    pending: BTreeMap<u64, Vec<Kept>>,
    passed: Vec<Kept>,
    /// The size of the last checkpoint that the log agreed with.
    agreed: u64,
    pub(super) blanked: u64,
}

/// How many checkpoints prove something.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) known: u64,
    pub(super) unknown: u64,
    /// The size of the largest known one that was given: so many rows are what was signed then.
    pub(super) covered: u64,
}

impl Chain {
    pub(super) fn new(kept: Vec<Kept>) -> Self {
        let mut pending: BTreeMap<u64, Vec<Kept>> = BTreeMap::new();
        for one in kept {
            pending.entry(one.checkpoint.size).or_default().push(one);
        }
        Self {
            tree: Frontier::default(),
            origin: None,
            sequences: HashMap::new(),
            recorded_at: i64::MIN,
            epoch: 0,
            keys: Vec::new(),
            named: BTreeSet::new(),
            pending,
            passed: Vec::new(),
            agreed: 0,
            blanked: 0,
        }
    }

    /// The position of the last row.
    pub(super) fn position(&self) -> u64 {
        self.tree.size()
    }

    pub(super) fn root(&self) -> [u8; 32] {
        self.tree.root()
    }

    pub(super) fn streams(&self) -> u64 {
        self.sequences.len() as u64
    }

    /// Takes the next row. `false` when it is not the next one: what follows cannot be placed in the tree, and is
    /// not looked at.
    pub(super) fn row(&mut self, row: &Row, findings: &mut Findings) -> bool {
        let expected = self.position() + 1;
        if row.position != expected {
            let message = match row.position {
                found if found > expected => {
                    format!("position {expected} is missing: {found} comes next")
                }
                found => format!("position {found} comes again, where {expected} belongs"),
            };
            findings.report(expected, Code::Position, message);
            return false;
        }
        self.origin.get_or_insert_with(|| origin(&row.leaf));
        self.tree.push(row.leaf);
        findings.expect(row.leaf_holds(), row.position, Code::Leaf, || {
            "the row is not what its leaf was made of: something in it was changed".into()
        });
        match &row.content {
            Some(content) => self.content(row.position, content, findings),
            None => self.blanked += 1,
        }
        if let Some(here) = self.pending.remove(&row.position) {
            self.compare(here, findings);
        }
        true
    }

    fn content(&mut self, position: u64, content: &Content, findings: &mut Findings) {
        let stream = (content.aggregate_type.clone(), content.aggregate_id.clone());
        let before = self.sequences.insert(stream, content.sequence).unwrap_or(0);
        findings.expect(content.sequence == before + 1, position, Code::Sequence, || {
            let Content { aggregate_type, aggregate_id, sequence, .. } = content;
            format!("{aggregate_type} {aggregate_id} goes from event {before} to {sequence}")
        });
        findings.expect(content.recorded_at >= self.recorded_at, position, Code::Time, || {
            "recorded_at is before that of the event before".into()
        });
        self.recorded_at = self.recorded_at.max(content.recorded_at);
        self.metadata(position, content, findings);
    }

    fn metadata(&mut self, position: u64, content: &Content, findings: &mut Findings) {
        let parsed: Result<Map<String, Value>, _> = serde_json::from_str(&content.metadata);
        let Ok(metadata) = parsed else {
            return findings.report(position, Code::Metadata, "the metadata is not a JSON object");
        };
        for name in REQUIRED {
            let present =
                metadata.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            findings.expect(present, position, Code::Metadata, || format!("{name} is missing"));
        }
        for (name, value) in &metadata {
            let known = REQUIRED.contains(&name.as_str()) || OPTIONAL.contains(&name.as_str());
            findings.expect(known && value.is_string(), position, Code::Metadata, || {
                format!("{name} does not belong into metadata, or is not a string")
            });
        }
        let epoch =
            metadata.get("epoch").and_then(Value::as_str).and_then(|text| text.parse().ok());
        if content.event_type == "WriterTookOver" {
            self.take_over(position, content, findings);
        }
        findings.expect(epoch == Some(self.epoch), position, Code::Epoch, || {
            let found = epoch.map_or("none".to_owned(), |epoch: u64| epoch.to_string());
            format!(
                "written in epoch {found}, while the writer of epoch {} had taken over",
                self.epoch
            )
        });
        if let Some(name) = secret(&content.payload).or_else(|| secret(&content.metadata)) {
            findings.report(position, Code::Secret, format!("a field is named {name}"));
        }
    }

    fn take_over(&mut self, position: u64, content: &Content, findings: &mut Findings) {
        let payload: Value = serde_json::from_str(&content.payload).unwrap_or_default();
        let body = &payload["WriterTookOver"];
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let epoch = body["epoch"].as_u64().unwrap_or_default();
        findings.expect(epoch > self.epoch, position, Code::Epoch, || {
            format!("epoch {epoch} takes over from epoch {}", self.epoch)
        });
        self.epoch = epoch;
        let (name, public) = (text("key_name"), text("public_key"));
        match verifier(name, public) {
            Some(key) => {
                if self.named.insert((name.to_owned(), public.to_owned())) {
                    self.keys.push(key);
                }
            }
            None => findings.report(position, Code::Payload, "the writer's public key is none"),
        }
    }

    fn compare(&mut self, here: Vec<Kept>, findings: &mut Findings) {
        let root = self.tree.root();
        let mut agreed = self.agreed;
        for kept in here {
            let (from, size) = (self.agreed + 1, kept.checkpoint.size);
            if self.origin.as_ref() != Some(&kept.checkpoint.origin) {
                let message = format!(
                    "{} is of another log, {}: the first event differs",
                    kept.place, kept.checkpoint.origin
                );
                findings.report(1, Code::Checkpoint, message);
            } else if root == kept.checkpoint.root {
                agreed = size;
                self.passed.push(kept);
            } else {
                let message = format!(
                    "{} signed another root ({}) for the first {size} events: something in {from} to {size} was \
                     changed",
                    kept.place,
                    BASE64.encode(kept.checkpoint.root)
                );
                let first = findings.first_changed_row(from, size).unwrap_or(from);
                findings.report(first, Code::Checkpoint, message);
            }
        }
        self.agreed = agreed;
    }

    /// After the last row: the head, the checkpoints beyond it, and who signed.
    pub(super) fn finish(&mut self, head: Option<&Head>, findings: &mut Findings) -> Agreement {
        let position = self.position();
        if let Some(head) = head {
            if head.position != position {
                let first = head.position.min(position) + 1;
                let message = format!(
                    "the head is at position {}, the last event at {position}",
                    head.position
                );
                findings.report(first, Code::Position, message);
            } else {
                let from = self.agreed + 1;
                let first = findings.first_changed_row(from, position).unwrap_or(from);
                findings.expect(head.root == self.root(), first, Code::Root, || {
                    format!(
                        "the tree of the head is not that of the leaves from {from} to {position}"
                    )
                });
            }
            if let Some(epoch) = head.epoch {
                findings.expect(epoch >= self.epoch, position, Code::Epoch, || {
                    format!("the head is in epoch {epoch}, before epoch {} of the log", self.epoch)
                });
            }
        }
        for kept in std::mem::take(&mut self.pending).into_values().flatten() {
            let Checkpoint { origin, size, .. } = &kept.checkpoint;
            let message = if self.origin.as_ref().is_some_and(|own| own != origin) {
                format!("{} is of another log, {origin}", kept.place)
            } else {
                format!("{} signed {size} events: those after {position} are missing", kept.place)
            };
            findings.report(position + 1, Code::Checkpoint, message);
        }
        let mut agreement = Agreement::default();
        for kept in &self.passed {
            let at = kept.checkpoint.size;
            match signed(&kept.note, &self.keys) {
                Ok(Signed::Known) => {
                    agreement.known += 1;
                    if kept.given {
                        agreement.covered = agreement.covered.max(at);
                    }
                }
                Ok(Signed::Unknown) => agreement.unknown += 1,
                Ok(Signed::Forged) => {
                    findings.report(
                        at,
                        Code::Checkpoint,
                        format!("the signature of {} is forged", kept.place),
                    );
                }
                Err(error) => {
                    findings.report(at, Code::Checkpoint, format!("{}: {error}", kept.place))
                }
            }
        }
        agreement
    }
}

/// The name of a field that nothing in an event may have.
fn secret(json: &str) -> Option<&'static str> {
    SECRETS.into_iter().find(|name| {
        json.match_indices(name).any(|(at, _)| {
            json[..at].ends_with('"')
                && json[at + name.len()..].trim_start_matches('"').starts_with(':')
        })
    })
}
