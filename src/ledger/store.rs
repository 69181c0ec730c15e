//! `cqrs_es::EventStore` over the Sequencer, so that a `CqrsFramework` runs on our log. For tests and tools: the
//! server itself submits commands.
//!
//! Loads go through `PostgresEventRepository`, commits through the Sequencer as events that were decided already. A
//! stream that has grown meanwhile is `AggregateConflict`. Tenant and actor come from the constructor.

use std::collections::HashMap;

use aggregates::refusal::RefusalCode;
use aggregates::stream::{Decide, Event, StreamId};
use cqrs_es::persist::{EventStoreAggregateContext, PersistedEventRepository, PersistenceError};
use cqrs_es::{AggregateError, EventEnvelope, EventStore};
use postgres_es::PostgresEventRepository;

use super::handle::Ledger;
use super::sequencer::Request;
use super::submission::{LedgerError, Origin};
use crate::database::WriterPool;

/// An event store of the framework on our log.
pub struct SequencedStore {
    ledger: Ledger,
    repository: PostgresEventRepository,
    origin: Origin,
}

impl SequencedStore {
    /// A store whose commits are made on behalf of `origin`.
    pub fn new(ledger: Ledger, pool: &WriterPool, origin: Origin) -> Self {
        Self { ledger, repository: PostgresEventRepository::new(pool.pool().clone()), origin }
    }
}

fn load_fault<E: std::error::Error>(error: PersistenceError) -> AggregateError<E> {
    match error {
        PersistenceError::OptimisticLockError => AggregateError::AggregateConflict,
        PersistenceError::ConnectionError(error) => AggregateError::DatabaseConnectionError(error),
        PersistenceError::DeserializationError(error) => {
            AggregateError::DeserializationError(error)
        }
        PersistenceError::UnknownError(error) => AggregateError::UnexpectedError(error),
    }
}

fn commit_fault<E: std::error::Error>(error: LedgerError) -> AggregateError<E> {
    match error {
        LedgerError::Refused(refusal) if refusal.code == RefusalCode::OrderChanged => {
            AggregateError::AggregateConflict
        }
        LedgerError::Unavailable | LedgerError::NotWriter { .. } | LedgerError::Busy => {
            AggregateError::DatabaseConnectionError(Box::new(error))
        }
        LedgerError::Refused(_) | LedgerError::OutcomeUnknown | LedgerError::Defect => {
            AggregateError::UnexpectedError(Box::new(error))
        }
    }
}

impl<A> EventStore<A> for SequencedStore
where
    A: Decide,
    A::Event: Into<Event>,
{
    type AC = EventStoreAggregateContext<A>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let stored = self.repository.get_events::<A>(aggregate_id).await.map_err(load_fault)?;
        stored.into_iter().map(|event| EventEnvelope::try_from(event).map_err(load_fault)).collect()
    }

    async fn load_aggregate(
        &self,
        aggregate_id: &str,
    ) -> Result<Self::AC, AggregateError<A::Error>> {
        let mut context = EventStoreAggregateContext {
            aggregate_id: aggregate_id.to_owned(),
            aggregate: A::default(),
            current_sequence: 0,
            current_snapshot: None,
        };
        for envelope in EventStore::<A>::load_events(self, aggregate_id).await? {
            context.current_sequence = envelope.sequence;
            let evolved = context.aggregate.evolve(&envelope.payload);
            evolved.map_err(|error| AggregateError::UnexpectedError(Box::new(error)))?;
        }
        Ok(context)
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: Self::AC,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let stream = StreamId::parse(A::TYPE, &context.aggregate_id)
            .map_err(|error| AggregateError::UnexpectedError(Box::new(error)))?;
        let expected = context.current_sequence;
        self.ledger
            .append(Request::Append {
                origin: self.origin.clone(),
                stream,
                expected: expected as u64,
                events: events.iter().cloned().map(Into::into).collect(),
            })
            .await
            .map_err(commit_fault)?;
        Ok((expected + 1..)
            .zip(events)
            .map(|(sequence, payload)| EventEnvelope {
                aggregate_id: context.aggregate_id.clone(),
                sequence,
                payload,
                metadata: metadata.clone(),
            })
            .collect())
    }
}
