//! The log as a tenant follows it: its events from any position on, then each as it is committed.
//!
//! Read by the reader role under row-level security, a bounded stretch of the log in one transaction, so that following
//! from the beginning of a long log costs others nothing: a stretch is [`STRETCH`] positions and answers [`PAGE`] events
//! at the most. Nothing is kept for a follower between two reads but its position.

use std::time::Duration;

use aggregates::stream::Event;
use projections::Group;
use projections::log::{self, Recorded};

use super::{Caller, EventAnswer, Fault, Service, ServiceError};
use crate::ledger::SHARD;

/// Positions that one read looks at, at the most.
const STRETCH: u64 = 10_000;
/// Events that one read gives, at the most.
const PAGE: u32 = 256;
/// Between two looks at the log where nobody tells that it has grown.
const POLL: Duration = Duration::from_millis(500);

/// What a follower wants of its tenant's events, or of those of the account that it was permitted for.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// Those of these types; all if empty.
    pub types: Vec<String>,
}

/// The next stretch of the log.
#[derive(Debug)]
pub struct Stretch {
    /// The events in it that are followed, in order.
    pub events: Vec<EventAnswer>,
    /// Where it ends: everything up to here has been looked at.
    pub position: u64,
    /// There is more behind it.
    pub more: bool,
}

impl Service {
    /// Where a follower begins: after `after`, or at the end of the log.
    ///
    /// # Errors
    /// A type that no event has, or the log ends before `after`.
    pub async fn follow(
        &self,
        caller: &Caller,
        followed: &Followed,
        after: Option<u64>,
    ) -> Result<u64, ServiceError> {
        if let Some(unknown) =
            followed.types.iter().find(|word| !Event::types().any(|known| known == *word))
        {
            let known: Vec<_> = Event::types().collect();
            let message = format!("{unknown} is no type of event: those are {}", known.join(", "));
            return Err(ServiceError::Invalid(vec![Fault::new("types", "invalid_value", message)]));
        }
        let head = self.head(caller).await?;
        match after {
            Some(after) if after > head => Err(ServiceError::Conflict(format!(
                "the log ends at position {head}, before {after}: read what you show anew, and follow from its position"
            ))),
            Some(after) => Ok(after),
            None => Ok(head),
        }
    }

    /// The stretch of the log after `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn stretch(
        &self,
        caller: &Caller,
        followed: &Followed,
        after: u64,
    ) -> Result<Stretch, ServiceError> {
        let mut reader = self.parts.reader.begin(caller.tenant, caller.account()).await?;
        let head = log::head(&mut reader, SHARD).await?;
        let to = head.min(after.saturating_add(STRETCH));
        let rows = log::read_tenant(&mut reader, SHARD, caller.tenant, after, to, PAGE).await?;
        let full = rows.len() == PAGE as usize;
        let position = rows.last().filter(|_| full).map_or(to.max(after), |row| row.position);
        let wanted =
            |row: &Recorded| followed.types.is_empty() || followed.types.contains(&row.event_type);
        let events =
            rows.into_iter().filter(wanted).map(EventAnswer::of).collect::<Result<_, _>>()?;
        Ok(Stretch { events, position, more: position < head })
    }

    /// Waits until the log may have grown beyond `position` and the views show it, `patience` at the most.
    pub async fn grown(&self, position: u64, patience: Duration) {
        let shown = self.parts.views.wait(Group::Trading, position + 1, patience.min(POLL)).await;
        if !shown && self.parts.views.progress(Group::Trading).stopped.is_some() {
            // Nobody tells any more: the log is looked at all the same.
            tokio::time::sleep(POLL).await;
        }
    }
}
