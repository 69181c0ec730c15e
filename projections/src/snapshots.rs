//! Snapshots: aggregates as they are at a position, so that loading one does not read its stream from the start.
//!
//! A projection whose rows are aggregates. At its checkpoint every open order, every instrument and every writer
//! has a row that is live. Accounts, positions and users get a row each time they have grown by [`EVERY`] events. The engine
//! keeps a checkpoint of its own, since what it knows is a fold of log and tape. A snapshot saves reading and is never the only copy: one of
//! another schema version, or whose digest does not match, is ignored with a warning and the stream is read
//! from the log instead.

use std::collections::BTreeMap;

use aggregates::account::Account;
use aggregates::id::AccountId;
use aggregates::instrument::Instrument;
use aggregates::order::Order;
use aggregates::position::Position;
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::user::User;
use aggregates::writer::Writer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use tracing::warn;

use crate::checkpoint;
use crate::error::ProjectionError;
use crate::fold::{Read, read_batch};
use crate::group::Group;
use crate::log::{LogError, Recorded, read_stream};
use crate::row::{Rows, load as load_rows, view_row};
use crate::writes::Writes;

/// The tables of the group.
pub const TABLES: &[&str] = &["snapshots"];

/// The shape of the states. Raise it when an aggregate's fields change: older snapshots are then ignored.
pub const SCHEMA_VERSION: i32 = 8;

/// Accounts, positions and users are kept each time they have grown by this many events.
pub const EVERY: u64 = 100;

view_row! {
    /// One aggregate at one sequence.
    SnapshotRow in "snapshots",
    key {
        /// Its type.
        aggregate_type: String = 0,
        /// Its id.
        aggregate_id: String = 1,
    }
    facts {
        /// The account that it belongs to.
        account_id: Option<AccountId>,
        /// The last of its events that the state contains.
        sequence: u64,
        /// The place of that event.
        position: u64,
        /// The shape of the state.
        schema_version: i32,
        /// Whether it is kept up to date for as long as its aggregate is open.
        live: bool,
        /// The state, as JSON.
        state: String,
        /// SHA-256 of schema version and state.
        digest: Vec<u8>,
    }
}

fn digest(schema_version: i32, state: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(schema_version.to_be_bytes());
    hash.update(state.as_bytes());
    hash.finalize().to_vec()
}

impl SnapshotRow {
    /// The state, unless it is of another schema version or damaged.
    fn checked(&self) -> Option<&str> {
        if self.schema_version != SCHEMA_VERSION {
            warn!(
                aggregate = %self.aggregate_type, id = %self.aggregate_id, version = self.schema_version,
                "a snapshot of another schema version is ignored"
            );
            return None;
        }
        if self.digest != digest(self.schema_version, &self.state) {
            warn!(
                aggregate = %self.aggregate_type, id = %self.aggregate_id,
                "a snapshot that does not match its digest is ignored"
            );
            return None;
        }
        Some(&self.state)
    }

    fn of<A: Serialize>(
        stream: StreamId,
        account_id: Option<AccountId>,
        (sequence, position): (u64, u64),
        live: bool,
        aggregate: &A,
    ) -> Result<Self, ProjectionError> {
        let state = serde_json::to_string(aggregate)?;
        Ok(Self {
            aggregate_type: stream.aggregate_type().to_owned(),
            aggregate_id: stream.aggregate_id(),
            account_id,
            sequence,
            position,
            schema_version: SCHEMA_VERSION,
            live,
            digest: digest(SCHEMA_VERSION, &state),
            state,
        })
    }
}

/// An aggregate and the last of its events that it contains.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot<A> {
    /// The sequence of that event; 0 for an aggregate without events.
    pub sequence: u64,
    /// The aggregate.
    pub state: A,
}

/// An aggregate whose events can be told from those of others.
trait Streamed: Decide + DeserializeOwned + Serialize + Default {
    fn of_event(event: Event) -> Option<Self::Event>;
}

macro_rules! streamed {
    ($($aggregate:ident),+) => {$(
        impl Streamed for $aggregate {
            fn of_event(event: Event) -> Option<Self::Event> {
                match event {
                    Event::$aggregate(event) => Some(event),
                    _ => None,
                }
            }
        }
    )+};
}

streamed!(Account, Order, Position, Instrument, User, Writer);

/// Takes one event into a snapshot.
fn take_in<A: Streamed>(
    snapshot: &mut Snapshot<A>,
    recorded: &Recorded,
    event: Event,
) -> Result<(), ProjectionError> {
    let poison = |reason: String| ProjectionError::poison(recorded.position, reason);
    if recorded.sequence != snapshot.sequence + 1 {
        return Err(poison(format!(
            "event {} of {} after {}",
            recorded.sequence, recorded.stream, snapshot.sequence
        )));
    }
    let event = A::of_event(event)
        .ok_or_else(|| poison(format!("{} in {}", recorded.event_type, recorded.stream)))?;
    snapshot.state.evolve(&event).map_err(|error| poison(error.to_string()))?;
    snapshot.sequence = recorded.sequence;
    Ok(())
}

/// What a stored snapshot holds, or the start of a stream.
fn opened<A: Streamed>(row: Option<&SnapshotRow>) -> Snapshot<A> {
    let start = Snapshot { sequence: 0, state: A::default() };
    let Some(row) = row else { return start };
    let Some(state) = row.checked() else { return start };
    match serde_json::from_str(state) {
        Ok(state) => Snapshot { sequence: row.sequence, state },
        Err(error) => {
            warn!(
                aggregate = %row.aggregate_type, id = %row.aggregate_id, %error,
                "a snapshot that cannot be read is ignored"
            );
            start
        }
    }
}

/// `snapshot` with the events of its stream up to `position` of the log.
async fn caught_up<A: Streamed>(
    connection: &mut PgConnection,
    stream: StreamId,
    mut snapshot: Snapshot<A>,
    position: u64,
) -> Result<Snapshot<A>, ProjectionError> {
    let tail = read_stream(connection, stream, snapshot.sequence).await?;
    for recorded in tail.iter().take_while(|recorded| recorded.position <= position) {
        let event = recorded
            .event()
            .map_err(|source| LogError::Unreadable { position: recorded.position, source })?;
        take_in(&mut snapshot, recorded, event)?;
    }
    Ok(snapshot)
}

/// Folds a batch into the table of `generation`.
///
/// # Errors
/// An event of the batch cannot be folded, or the database failed.
pub(crate) async fn project(
    connection: &mut PgConnection,
    generation: i32,
    batch: &[Recorded],
    writes: &mut Writes,
) -> Result<(), ProjectionError> {
    let end = batch.last().map_or(0, |recorded| recorded.position);
    let mut streams: BTreeMap<StreamId, Vec<Read<'_>>> = BTreeMap::new();
    for read in read_batch(batch, |_| true)? {
        streams.entry(read.recorded.stream).or_default().push(read);
    }
    streams.retain(|stream, events| is_kept(*stream, events));
    let keys =
        streams.keys().map(|stream| (stream.aggregate_type().to_owned(), stream.aggregate_id()));
    let mut rows: Rows<SnapshotRow> = Rows::default();
    rows.load(connection, generation, keys).await?;
    for (stream, events) in streams {
        match stream {
            StreamId::Order(_) => {
                follow::<Order>(connection, &mut rows, stream, events, end, Order::is_open).await?;
            }
            StreamId::Instrument(_) => {
                follow::<Instrument>(connection, &mut rows, stream, events, end, |_| true).await?;
            }
            StreamId::Writer(_) => {
                follow::<Writer>(connection, &mut rows, stream, events, end, |_| true).await?;
            }
            StreamId::Account(_) => {
                refresh::<Account>(connection, &mut rows, stream, end, &events).await?;
            }
            StreamId::Position(..) => {
                refresh::<Position>(connection, &mut rows, stream, end, &events).await?;
            }
            StreamId::User(_) => {
                refresh::<User>(connection, &mut rows, stream, end, &events).await?;
            }
        }
    }
    rows.write(writes)
}

/// Whether these events make a new snapshot of their stream: always, or when they pass a multiple of [`EVERY`].
fn is_kept(stream: StreamId, events: &[Read<'_>]) -> bool {
    match stream {
        StreamId::Order(_) | StreamId::Instrument(_) | StreamId::Writer(_) => true,
        StreamId::Account(_) | StreamId::Position(..) | StreamId::User(_) => {
            events.iter().any(|read| read.recorded.sequence % EVERY == 0)
        }
    }
}

fn place(events: &[Read<'_>]) -> (Option<AccountId>, u64) {
    events.last().map_or((None, 0), |read| (read.recorded.account_id, read.recorded.position))
}

/// A stream that always has a row while it is live: fold the batch into it.
async fn follow<A: Streamed>(
    connection: &mut PgConnection,
    rows: &mut Rows<SnapshotRow>,
    stream: StreamId,
    events: Vec<Read<'_>>,
    end: u64,
    is_live: impl Fn(&A) -> bool,
) -> Result<(), ProjectionError> {
    let key = (stream.aggregate_type().to_owned(), stream.aggregate_id());
    let (account_id, position) = place(&events);
    let mut snapshot = opened::<A>(rows.get(&key));
    let first = events.first().map_or(1, |read| read.recorded.sequence);
    if snapshot.sequence == 0 && first > 1 {
        snapshot = caught_up(connection, stream, snapshot, end).await?;
    } else {
        for Read { recorded, event } in events {
            take_in(&mut snapshot, recorded, event)?;
        }
    }
    if is_live(&snapshot.state) {
        let at = (snapshot.sequence, position);
        rows.put(SnapshotRow::of(stream, account_id, at, true, &snapshot.state)?);
    } else {
        rows.remove(&key);
    }
    Ok(())
}

/// A stream that has grown enough: read what came since its last snapshot.
async fn refresh<A: Streamed>(
    connection: &mut PgConnection,
    rows: &mut Rows<SnapshotRow>,
    stream: StreamId,
    end: u64,
    events: &[Read<'_>],
) -> Result<(), ProjectionError> {
    let key = (stream.aggregate_type().to_owned(), stream.aggregate_id());
    let (account_id, position) = place(events);
    let before = opened::<A>(rows.get(&key));
    let snapshot = caught_up(connection, stream, before, end).await?;
    let at = (snapshot.sequence, position);
    rows.put(SnapshotRow::of(stream, account_id, at, false, &snapshot.state)?);
    Ok(())
}

async fn active_row(
    connection: &mut PgConnection,
    stream: StreamId,
) -> Result<Option<SnapshotRow>, ProjectionError> {
    let generation = checkpoint::active(connection, Group::Snapshots.name()).await?.generation;
    let key = (stream.aggregate_type().to_owned(), stream.aggregate_id());
    Ok(load_rows(connection, generation, &[key]).await?.pop())
}

/// The last snapshot of a stream, if there is one that this program can read: the sequence of the last event in it,
/// and the aggregate as JSON text. What came since is for the caller to read.
///
/// # Errors
/// The database failed.
pub async fn stored(
    connection: &mut PgConnection,
    stream: StreamId,
) -> Result<Option<(u64, String)>, ProjectionError> {
    let Some(row) = active_row(connection, stream).await? else { return Ok(None) };
    let sequence = match stream {
        StreamId::Account(_) => opened::<Account>(Some(&row)).sequence,
        StreamId::Order(_) => opened::<Order>(Some(&row)).sequence,
        StreamId::Position(..) => opened::<Position>(Some(&row)).sequence,
        StreamId::Instrument(_) => opened::<Instrument>(Some(&row)).sequence,
        StreamId::User(_) => opened::<User>(Some(&row)).sequence,
        StreamId::Writer(_) => opened::<Writer>(Some(&row)).sequence,
    };
    Ok((sequence > 0).then_some((sequence, row.state)))
}
