//! Rows that mirror one aggregate, as `cqrs_es` views.
//!
//! A `View` cannot fail, a log can be corrupt: so the view is [`Folding`], a row and the first thing that was
//! impossible about its events. The projector stops at such an event.

use std::collections::HashMap;

use aggregates::stream::{Event, Impossible};
use cqrs_es::{Aggregate, EventEnvelope, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ProjectionError;
use crate::log::Recorded;

/// A row that says what one aggregate says.
pub trait Mirror<A: Aggregate>: Sized {
    /// The row after `event`; `None` before the first event.
    fn fold(row: Option<Self>, event: &A::Event) -> Result<Self, Impossible>;
}

/// A row under way, as a view.
#[derive(Debug, Serialize, Deserialize)]
pub struct Folding<R> {
    /// The row, after its first event.
    pub row: Option<R>,
    /// The first event that cannot have happened; nothing after it counts.
    pub fault: Option<String>,
}

impl<R> Default for Folding<R> {
    fn default() -> Self {
        Self { row: None, fault: None }
    }
}

impl<A, R> View<A> for Folding<R>
where
    A: Aggregate,
    R: Mirror<A> + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync,
{
    fn update(&mut self, event: &EventEnvelope<A>) {
        if self.fault.is_some() {
            return;
        }
        match R::fold(self.row.take(), &event.payload) {
            Ok(row) => self.row = Some(row),
            Err(Impossible(fault)) => self.fault = Some(fault),
        }
    }
}

/// What a row keeps of the log beside its aggregate's facts.
pub trait Stamped {
    /// The sequence of the last event folded in; 0 before the first.
    fn sequence(&self) -> u64;
    /// Notes the place of the event that was folded in.
    fn stamp(&mut self, recorded: &Recorded);
}

/// Folds one event of `A` into its row.
///
/// # Errors
/// The event is impossible, or not the next of its stream.
pub fn fold<A, R>(
    row: Option<R>,
    recorded: &Recorded,
    payload: A::Event,
) -> Result<R, ProjectionError>
where
    A: Aggregate,
    R: Mirror<A> + Stamped + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync,
{
    let before = row.as_ref().map_or(0, R::sequence);
    if recorded.sequence != before + 1 {
        let reason = format!("event {} of {} after {before}", recorded.sequence, recorded.stream);
        return Err(ProjectionError::poison(recorded.position, reason));
    }
    let mut view = Folding { row, fault: None };
    let envelope = EventEnvelope::<A> {
        aggregate_id: recorded.stream.aggregate_id(),
        sequence: usize::try_from(recorded.sequence).unwrap_or(usize::MAX),
        payload,
        metadata: HashMap::new(),
    };
    view.update(&envelope);
    match view {
        Folding { row: Some(mut row), fault: None } => {
            row.stamp(recorded);
            Ok(row)
        }
        Folding { fault, .. } => Err(ProjectionError::poison(
            recorded.position,
            fault.unwrap_or_else(|| format!("{} made no row", recorded.event_type)),
        )),
    }
}

/// One event of a batch, read.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    /// Where it stands in the log.
    pub recorded: &'a Recorded,
    /// What happened.
    pub event: Event,
}

/// Reads the events of a batch that `wants` picks.
///
/// # Errors
/// The first one that this program cannot read.
pub(crate) fn read_batch(
    batch: &[Recorded],
    wants: impl Fn(&Recorded) -> bool,
) -> Result<Vec<Read<'_>>, ProjectionError> {
    batch
        .iter()
        .filter(|recorded| wants(recorded))
        .map(|recorded| {
            let event = recorded
                .event()
                .map_err(|error| ProjectionError::poison(recorded.position, error.to_string()))?;
            Ok(Read { recorded, event })
        })
        .collect()
}

/// An amount that cannot be held, as an impossible event.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
pub(crate) fn inexact(error: aggregates::money::AmountError) -> Impossible {
    Impossible(error.to_string())
}
