//! The group `market`: instruments, official closes and corporate actions, under one checkpoint.

use std::collections::BTreeSet;

use aggregates::instrument::Instrument;
use aggregates::stream::{Event, StreamId};
use sqlx::PgConnection;

use crate::error::ProjectionError;
use crate::fold::{Read, fold, read_batch};
use crate::instruments::{ActionRow, CloseRow, InstrumentRow, action_of, close_of, fold_actions};
use crate::log::Recorded;
use crate::row::Rows;
use crate::writes::Writes;

/// The tables of the group.
pub const TABLES: &[&str] = &["instruments", "official_closes", "corporate_actions"];

/// Folds a batch into the tables of `generation`.
///
/// # Errors
/// An event of the batch cannot be folded, or the database failed.
pub(crate) async fn project(
    connection: &mut PgConnection,
    generation: i32,
    batch: &[Recorded],
    writes: &mut Writes,
) -> Result<(), ProjectionError> {
    let events = read_batch(batch, |recorded| matches!(recorded.stream, StreamId::Instrument(_)))?;
    let mut instruments: Rows<InstrumentRow> = Rows::default();
    let mut closes: Rows<CloseRow> = Rows::default();
    let mut actions: Rows<ActionRow> = Rows::default();
    let mut wanted = BTreeSet::new();
    let mut wanted_actions = BTreeSet::new();
    for Read { recorded, event } in &events {
        if let (StreamId::Instrument(id), Event::Instrument(event)) = (recorded.stream, event) {
            wanted.insert((id,));
            wanted_actions.extend(action_of(event).map(|action| (id, action.to_owned())));
        }
    }
    instruments.load(connection, generation, wanted).await?;
    actions.load(connection, generation, wanted_actions).await?;
    for Read { recorded, event } in events {
        let (StreamId::Instrument(id), Event::Instrument(event)) = (recorded.stream, event) else {
            continue;
        };
        fold_actions(&mut actions, recorded, &event)
            .map_err(|error| ProjectionError::poison(recorded.position, error.to_string()))?;
        if let Some(close) = close_of(recorded, &event) {
            closes.put(close);
        }
        let row = instruments.get(&(id,)).cloned();
        instruments.put(fold::<Instrument, _>(row, recorded, event)?);
    }
    instruments.write(writes)?;
    closes.write(writes)?;
    actions.write(writes)
}
