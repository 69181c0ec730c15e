//! A batch, open or under way: what it holds, and how its calls come back if it is not written.

use std::ops::Range;
use std::sync::Arc;

use aggregates::refusal::Refusal;
use aggregates::stream::StreamId;
use aggregates::trading::Impact;
use serde::Serialize;

use super::super::log::{Head, KeyRow};
use super::super::submission::{CommittedEvent, Interface, LedgerError, TapeBlock};
use super::request::{Member, Pending};

/// A request in a batch. A refusal waits with the others: it stands on what they did, and is decided
/// again if they do not commit.
#[derive(Debug)]
pub(super) struct InFlight<T> {
    pub member: Member<T>,
    /// The number of its call in the batch: calls come back whole.
    pub call: usize,
    pub decided: Result<Decided, LedgerError>,
    /// Copies of the same command under the same key, answered as replays of it.
    pub followers: Vec<Member<T>>,
}

/// What a command in the batch came to.
#[derive(Debug)]
pub(super) struct Decided {
    /// The rows of its events: a range of the batch.
    pub rows: Range<usize>,
    pub rejected: Option<Refusal>,
    /// What a preview told, and the position of the log that it stands on.
    pub foretold: Option<(Box<Impact>, u64)>,
}

/// A batch, open or under way.
#[derive(Debug)]
pub(super) struct Flight<T> {
    pub epoch: u64,
    /// Position and tape place that the head has before it.
    pub base: (u64, u64),
    pub calls: usize,
    pub commands: Vec<InFlight<T>>,
    pub events: Vec<Arc<CommittedEvent>>,
    /// The head after it.
    pub head: Head,
    pub touched: Vec<StreamId>,
    pub keys: Vec<KeyRow>,
    pub tape: Vec<TapeBlock>,
}

impl<T> Flight<T> {
    /// Whether it has anything to append.
    pub fn writes(&self) -> bool {
        self.moves_the_head() || !self.keys.is_empty()
    }

    /// Whether the log goes on by it: keys of commands that did nothing are kept beside the log.
    pub fn moves_the_head(&self) -> bool {
        !self.events.is_empty() || !self.tape.is_empty()
    }
}

/// The calls of commands that were in a batch, as they were handed in. Copies are calls of their own again: the
/// first may come out differently now.
pub(super) fn regroup<T>(commands: Vec<InFlight<T>>) -> Vec<Pending<T>> {
    let mut calls: Vec<(usize, Pending<T>)> = Vec::new();
    let mut copies = Vec::new();
    for InFlight { member, call, followers, .. } in commands {
        match calls.last_mut() {
            Some((last, pending)) if *last == call => pending.members.push(member),
            _ => calls.push((call, Pending { members: vec![member] })),
        }
        copies.extend(followers.into_iter().map(|member| Pending { members: vec![member] }));
    }
    calls.into_iter().map(|(_, pending)| pending).chain(copies).collect()
}

/// The metadata of an event: strings all, in this order.
#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    pub tenant: String,
    pub actor: String,
    pub token: &'a str,
    pub client: &'a str,
    pub interface: Interface,
    pub request: String,
    pub command: String,
    pub causation: &'a str,
    pub epoch: String,
}

impl Metadata<'_> {
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("strings always serialize")
    }
}
