//! Names of event streams, and what all aggregates have in common.

use std::fmt;
use std::str::FromStr;

use cqrs_es::{Aggregate, DomainEvent};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::account::{Account, AccountEvent};
use crate::id::{AccountId, InstrumentId, OrderId, UserId};
use crate::instrument::{Instrument, InstrumentEvent};
use crate::order::{Order, OrderEvent};
use crate::position::{Position, PositionEvent};
use crate::user::{User, UserEvent};
use crate::writer::{Writer, WriterEvent};

/// One stream of the log: the history of one aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// `account`, `<account_id>`
    Account(AccountId),
    /// `order`, `<order_id>`
    Order(OrderId),
    /// `position`, `<account_id>/<instrument_id>`
    Position(AccountId, InstrumentId),
    /// `instrument`, `<instrument_id>`
    Instrument(InstrumentId),
    /// `user`, `<user_id>`
    User(UserId),
    /// `writer`, `<shard>`: who wrote this shard of the log, and since when
    Writer(u16),
}

/// A pair of aggregate type and id that names no stream of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no stream is named {aggregate_type} {aggregate_id}")]
pub struct UnknownStream {
    /// The type as stored.
    pub aggregate_type: String,
    /// The id as stored.
    pub aggregate_id: String,
}

impl StreamId {
    /// The `aggregate_type` column.
    pub const fn aggregate_type(self) -> &'static str {
        match self {
            Self::Account(_) => Account::TYPE,
            Self::Order(_) => Order::TYPE,
            Self::Position(..) => Position::TYPE,
            Self::Instrument(_) => Instrument::TYPE,
            Self::User(_) => User::TYPE,
            Self::Writer(_) => Writer::TYPE,
        }
    }

    /// The `aggregate_id` column.
    pub fn aggregate_id(self) -> String {
        match self {
            Self::Account(id) => id.to_string(),
            Self::Order(id) => id.to_string(),
            Self::Position(account, instrument) => format!("{account}/{instrument}"),
            Self::Instrument(id) => id.to_string(),
            Self::User(id) => id.to_string(),
            Self::Writer(shard) => shard.to_string(),
        }
    }

    /// The stream that the two columns name.
    pub fn parse(aggregate_type: &str, aggregate_id: &str) -> Result<Self, UnknownStream> {
        fn id<T: FromStr>(text: &str) -> Option<T> {
            text.parse().ok()
        }
        let stream = match aggregate_type {
            Account::TYPE => id(aggregate_id).map(Self::Account),
            Order::TYPE => id(aggregate_id).map(Self::Order),
            Position::TYPE => aggregate_id.split_once('/').and_then(|(account, instrument)| {
                Some(Self::Position(id(account)?, id(instrument)?))
            }),
            Instrument::TYPE => id(aggregate_id).map(Self::Instrument),
            User::TYPE => id(aggregate_id).map(Self::User),
            Writer::TYPE => id(aggregate_id).map(Self::Writer),
            _ => None,
        };
        stream.ok_or_else(|| UnknownStream {
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
        })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.aggregate_type(), self.aggregate_id())
    }
}

/// An aggregate whose decisions are plain values: no future, no I/O.
///
/// `cqrs_es::Aggregate::handle` is the framework's door to the same decision; the Sequencer calls [`Decide::decide`]
/// itself, since `EventSink` locks a tokio mutex for every event.
pub trait Decide: Aggregate + Clone + PartialEq + fmt::Debug {
    /// What `command` makes happen, or why it may not. Never changes the aggregate.
    fn decide(
        &self,
        command: &Self::Command,
        services: &Self::Services,
    ) -> Result<Vec<Self::Event>, Self::Error>;

    /// Takes in one event of this stream. An event that cannot have happened in this state is an error: the log
    /// is corrupt, or the code that wrote it was.
    fn evolve(&mut self, event: &Self::Event) -> Result<(), Impossible>;
}

/// An event that no decision can have made in the state that it meets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("impossible event: {0}")]
pub struct Impossible(pub String);

/// Why a stored event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A type or version that this program does not know.
    #[error(
        "event type {event_type} in version {event_version} is not known to this program: is it older than the log?"
    )]
    Unknown {
        /// The type as stored.
        event_type: String,
        /// The version as stored.
        event_version: String,
    },
    /// A payload that is not what its type and version say.
    #[error("the payload cannot be read: {0}")]
    Payload(#[from] serde_json::Error),
    /// A stream whose name means nothing.
    #[error(transparent)]
    Stream(#[from] UnknownStream),
}

/// An event of any aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Of an account.
    Account(AccountEvent),
    /// Of an order.
    Order(OrderEvent),
    /// Of a position.
    Position(PositionEvent),
    /// Of an instrument.
    Instrument(InstrumentEvent),
    /// Of a user.
    User(UserEvent),
    /// Of the writer of a shard.
    Writer(WriterEvent),
}

macro_rules! from_event {
    ($($event:ident $variant:ident),+) => {$(
        impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$variant(event)
            }
        }
    )+};
}

from_event!(AccountEvent Account, OrderEvent Order, PositionEvent Position, InstrumentEvent Instrument, UserEvent User, WriterEvent Writer);

impl Event {
    /// The `event_type` column.
    pub fn event_type(&self) -> String {
        match self {
            Self::Account(event) => event.event_type(),
            Self::Order(event) => event.event_type(),
            Self::Position(event) => event.event_type(),
            Self::Instrument(event) => event.event_type(),
            Self::User(event) => event.event_type(),
            Self::Writer(event) => event.event_type(),
        }
    }

    /// The `event_version` column.
    pub fn event_version(&self) -> String {
        match self {
            Self::Account(event) => event.event_version(),
            Self::Order(event) => event.event_version(),
            Self::Position(event) => event.event_version(),
            Self::Instrument(event) => event.event_version(),
            Self::User(event) => event.event_version(),
            Self::Writer(event) => event.event_version(),
        }
    }

    /// The `payload` column: these bytes are stored and hashed.
    pub fn payload(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Account(event) => serde_json::to_string(event),
            Self::Order(event) => serde_json::to_string(event),
            Self::Position(event) => serde_json::to_string(event),
            Self::Instrument(event) => serde_json::to_string(event),
            Self::User(event) => serde_json::to_string(event),
            Self::Writer(event) => serde_json::to_string(event),
        }
    }

    /// Reads a stored event. A type or version that this program does not know is an error: it may have been
    /// written by a newer one, and is never guessed at.
    pub fn read(
        stream: StreamId,
        event_type: &str,
        event_version: &str,
        payload: &str,
    ) -> Result<Self, Unreadable> {
        fn of<E: DeserializeOwned>(
            versions: &[(&str, &str)],
            (event_type, event_version): (&str, &str),
            payload: &str,
        ) -> Result<E, Unreadable> {
            let known = |(name, present): &(&str, &str)| {
                *name == event_type && reads(present, event_version)
            };
            if !versions.iter().any(known) {
                return Err(Unreadable::Unknown {
                    event_type: event_type.to_owned(),
                    event_version: event_version.to_owned(),
                });
            }
            Ok(serde_json::from_str(payload)?)
        }
        let name = (event_type, event_version);
        Ok(match stream {
            StreamId::Account(_) => Self::Account(of(AccountEvent::VERSIONS, name, payload)?),
            StreamId::Order(_) => Self::Order(of(OrderEvent::VERSIONS, name, payload)?),
            StreamId::Position(..) => Self::Position(of(PositionEvent::VERSIONS, name, payload)?),
            StreamId::Instrument(_) => {
                Self::Instrument(of(InstrumentEvent::VERSIONS, name, payload)?)
            }
            StreamId::User(_) => Self::User(of(UserEvent::VERSIONS, name, payload)?),
            StreamId::Writer(_) => Self::Writer(of(WriterEvent::VERSIONS, name, payload)?),
        })
    }

    /// Every event type that is written now.
    pub fn types() -> impl Iterator<Item = &'static str> {
        [
            AccountEvent::VERSIONS,
            OrderEvent::VERSIONS,
            PositionEvent::VERSIONS,
            InstrumentEvent::VERSIONS,
            UserEvent::VERSIONS,
            WriterEvent::VERSIONS,
        ]
        .into_iter()
        .flatten()
        .map(|(name, _)| *name)
    }

    /// The JSON Schema of every event, by aggregate type: what `docs/events/` holds.
    pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
        fn of<E: JsonSchema + Serialize>() -> schemars::Schema {
            schemars::schema_for!(E)
        }
        vec![
            (Account::TYPE, of::<AccountEvent>()),
            (Order::TYPE, of::<OrderEvent>()),
            (Position::TYPE, of::<PositionEvent>()),
            (Instrument::TYPE, of::<InstrumentEvent>()),
            (User::TYPE, of::<UserEvent>()),
            (Writer::TYPE, of::<WriterEvent>()),
        ]
    }
}

/// Whether a program that writes version `present` reads `stored`: a minor version adds fields that may be absent, so
/// those before it are read as they are.
fn reads(present: &str, stored: &str) -> bool {
    let parse = |version: &str| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    match (parse(present), parse(stored)) {
        (Some(present), Some(stored)) => present.0 == stored.0 && stored.1 <= present.1,
        _ => false,
    }
}

/// Implements `cqrs_es` traits for an aggregate that implements [`Decide`], and names its events by variant.
macro_rules! event_sourced {
    ($aggregate:ident, $type:literal, $command:ty, $event:ident { $($variant:ident $version:literal),+ $(,)? }, $error:ty) => {
        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                match self { $(Self::$variant { .. } => stringify!($variant),)+ }.to_owned()
            }

            fn event_version(&self) -> String {
                match self { $(Self::$variant { .. } => $version,)+ }.to_owned()
            }
        }

        impl $event {
            /// Every event type with the version that is written now.
            pub const VERSIONS: &'static [(&'static str, &'static str)] = &[$((stringify!($variant), $version)),+];
        }

        impl cqrs_es::Aggregate for $aggregate {
            const TYPE: &'static str = $type;
            type Command = $command;
            type Event = $event;
            type Error = $error;
            type Services = crate::rules::Rules;

            async fn handle(
                &mut self,
                command: Self::Command,
                services: &Self::Services,
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in crate::stream::Decide::decide(self, &command, services)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                crate::stream::Decide::evolve(self, &event)
                    .expect("a stream holds only events that were decided on it, in order");
            }
        }
    };
}
pub(crate) use event_sourced;
