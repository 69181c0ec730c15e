//! The group `books`: the double-entry journal, under one checkpoint.

use std::collections::BTreeSet;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::position::PositionEvent;
use aggregates::stream::{Event, StreamId};
use sqlx::PgConnection;

use crate::error::ProjectionError;
use crate::fold::{Read, read_batch};
use crate::journal::{EntryRow, PostingRow, ShareReservationRow, entry_of};
use crate::log::Recorded;
use crate::positions::PositionRow;
use crate::row::{Row, Rows};
use crate::writes::Writes;

/// The tables of the group.
pub const TABLES: &[&str] = &["journal_entries", "journal_postings", "share_reservations"];

const RESERVATIONS_OF_POSITIONS: &str = "SELECT account_id, instrument_id, order_id, tenant_id, qty
    FROM share_reservations JOIN unnest($2, $3) AS wanted (account_id, instrument_id)
    USING (account_id, instrument_id) WHERE generation = $1";

fn wants(recorded: &Recorded) -> bool {
    matches!(recorded.stream, StreamId::Account(_) | StreamId::Position(..))
}

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
    let events = read_batch(batch, wants)?;
    let mut reserved = load_reservations(connection, generation, &events).await?;
    let mut entries = Vec::new();
    let mut postings = Vec::new();
    for Read { recorded, event } in &events {
        let entry = entry_of(recorded, event, &mut reserved)
            .map_err(|error| ProjectionError::poison(recorded.position, error.to_string()))?;
        if let Some(entry) = entry {
            entries.push(entry.entry);
            postings.extend(entry.postings);
        }
    }
    writes.upsert::<EntryRow>(&entries.iter().collect::<Vec<_>>())?;
    writes.upsert::<PostingRow>(&postings.iter().collect::<Vec<_>>())?;
    reserved.write(writes)
}

/// The share reservations of every position that the batch sells from, or splits.
async fn load_reservations(
    connection: &mut PgConnection,
    generation: i32,
    events: &[Read<'_>],
) -> Result<Rows<ShareReservationRow>, ProjectionError> {
    let mut of_orders = BTreeSet::new();
    let mut of_positions: BTreeSet<(AccountId, InstrumentId)> = BTreeSet::new();
    for Read { recorded, event } in events {
        let (StreamId::Position(account, instrument), Event::Position(event)) =
            (recorded.stream, event)
        else {
            continue;
        };
        match event {
            PositionEvent::PositionOpened { order_id, .. }
            | PositionEvent::PositionIncreased { order_id, .. }
            | PositionEvent::PositionReduced { order_id, .. }
            | PositionEvent::PositionClosed { order_id, .. }
            | PositionEvent::SharesReservationAdjusted { order_id, .. }
            | PositionEvent::SharesReleased { order_id, .. } => {
                of_orders.insert((account, instrument, *order_id));
            }
            PositionEvent::PositionSplit { .. } | PositionEvent::PositionReset { .. } => {
                of_positions.insert((account, instrument));
            }
            // Orders give back what an end takes of their shares before it.
            PositionEvent::OptionEnded { .. }
            | PositionEvent::SharesDelivered { .. }
            | PositionEvent::ContractAdjusted { .. }
            | PositionEvent::AdjustedContractOpened { .. }
            | PositionEvent::ExerciseInstructed { .. }
            | PositionEvent::SharesReserved { .. }
            | PositionEvent::SplitNotFollowed { .. }
            | PositionEvent::DividendAccrued { .. }
            | PositionEvent::DividendSettled { .. } => {}
        }
    }
    let mut rows = Rows::default();
    rows.load(connection, generation, of_orders).await?;
    if !of_positions.is_empty() {
        let keys: Vec<_> = of_positions.into_iter().collect();
        let statement = sqlx::query(RESERVATIONS_OF_POSITIONS).bind(generation);
        let found = PositionRow::bind_keys(&keys, statement).fetch_all(connection).await?;
        let found = found.iter().map(ShareReservationRow::read).collect::<Result<_, _>>()?;
        rows.take_stored(found);
    }
    Ok(rows)
}
