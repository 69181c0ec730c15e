//! What the Sequencer is asked, and what it answers.

use aggregates::stream::{Event, StreamId};
use aggregates::trading::Trial;

use super::super::log::{Batch, LoadUnit};
use super::super::submission::{Committed, LedgerError, Origin, Submission, TapeBlock};

/// One thing that is decided as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A command.
    Command(Box<Submission>),
    /// Events that were decided already, to be appended to one stream if it has `expected` events.
    Append {
        /// On whose behalf.
        origin: Origin,
        /// The stream.
        stream: StreamId,
        /// The sequence of its last event as the caller knows it.
        expected: u64,
        /// The events.
        events: Vec<Event>,
    },
    /// Lines of the tape, to be appended in one statement with what they caused: the members that follow.
    Tape(TapeBlock),
    /// An order to be tried on the aggregates in memory: decided, and nothing of it appended.
    Preview(Box<Trial>),
}

/// One call of a client: requests that stay together and in order, in one statement. Never empty.
#[derive(Debug)]
pub struct Pending<T> {
    pub(super) members: Vec<Member<T>>,
}

/// One request of a call. `T` finds the caller again.
#[derive(Debug)]
pub(super) struct Member<T> {
    pub request: Request,
    pub ticket: T,
    /// How often it was in a batch that was not written.
    pub attempts: u32,
    /// The log was asked for its key, and does not have it.
    pub key_is_new: bool,
}

impl<T> Member<T> {
    pub fn new(request: Request, ticket: T) -> Self {
        Self { request, ticket, attempts: 0, key_is_new: false }
    }
}

impl<T> Pending<T> {
    /// One request by itself.
    pub fn new(request: Request, ticket: T) -> Self {
        Self { members: vec![Member::new(request, ticket)] }
    }

    /// Requests that stay together and in order; `None` for none.
    pub fn together(requests: Vec<(Request, T)>) -> Option<Self> {
        let members: Vec<_> =
            requests.into_iter().map(|(request, ticket)| Member::new(request, ticket)).collect();
        (!members.is_empty()).then_some(Self { members })
    }

    /// Whom to answer.
    pub fn into_tickets(self) -> impl Iterator<Item = T> {
        self.members.into_iter().map(|member| member.ticket)
    }
}

/// An answer for a caller.
pub type Reply<T> = (T, Result<Committed, LedgerError>);

/// What taking calls into the open batch came to.
#[derive(Debug)]
pub struct Formed<T> {
    /// What can be answered at once: replays and defects.
    pub replies: Vec<Reply<T>>,
    /// What has to be loaded; the commands that need it wait.
    pub loads: Vec<LoadUnit>,
    /// What no longer fitted: to be handed in again, before anything newer.
    pub rest: Vec<Pending<T>>,
}

/// What closing the open batch came to.
#[derive(Debug)]
pub struct Sent<T> {
    /// What to append, if anything.
    pub batch: Option<Batch>,
    /// What is answered without an append: refusals in a batch of nothing else.
    pub replies: Vec<Reply<T>>,
}
