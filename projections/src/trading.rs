//! The group `trading`: accounts, orders, fills, positions, lots, activities and what moved by the hour, under one
//! checkpoint, since one answer combines them.
//!
//! A batch costs at most one load a table and one write in all, whatever its length. Accounts, positions, open orders and
//! hours that were touched of late are kept from step to step and cost no load.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::account::{Account, AccountEvent};
use aggregates::id::{AccountId, InstrumentId};
use aggregates::order::{Order, OrderEvent};
use aggregates::position::{Position, PositionEvent};
use aggregates::stream::{Event, StreamId};
use sqlx::PgConnection;

use crate::accounts::AccountRow;
use crate::activities::ActivityRow;
use crate::error::ProjectionError;
use crate::fills::{FillRow, fill_of};
use crate::fold::{Read, fold, read_batch};
use crate::log::Recorded;
use crate::movements::{Movement, MovementRow, When};
use crate::orders::OrderRow;
use crate::positions::{LotRow, PositionRow, closed_lots, fold_lots, splits_lots};
use crate::row::{Kept, Row, Rows};
use crate::writes::Writes;

/// The tables of the group.
pub const TABLES: &[&str] =
    &["accounts", "orders", "fills", "positions", "lots", "activities", "movements"];

/// The rows that a batch touches.
#[derive(Debug, Default)]
pub struct Trading {
    /// Accounts.
    pub accounts: Rows<AccountRow>,
    /// Orders.
    pub orders: Rows<OrderRow>,
    /// Fills.
    pub fills: Rows<FillRow>,
    /// Positions.
    pub positions: Rows<PositionRow>,
    /// Lots.
    pub lots: Rows<LotRow>,
    /// Activities.
    pub activities: Rows<ActivityRow>,
    /// What moved by the hour.
    pub movements: Rows<MovementRow>,
}

/// What is kept from one step to the next of the same generation: rows as they stand in the tables.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    accounts: Kept<AccountRow>,
    orders: Kept<OrderRow>,
    positions: Kept<PositionRow>,
    movements: Kept<MovementRow>,
}

impl Lately {
    /// Keeps the rows of a step that has been written.
    pub(crate) fn take(&mut self, rows: Trading) {
        self.accounts.take(rows.accounts, |_| true);
        // Nothing happens any more to an order that has ended.
        self.orders.take(rows.orders, |order| order.open);
        self.positions.take(rows.positions, |_| true);
        self.movements.take(rows.movements, |_| true);
    }
}

const LOTS_OF_POSITIONS: &str = "SELECT lot_id, tenant_id, account_id, instrument_id, qty, cost, opened_at, \
     opened_position FROM lots JOIN unnest($2, $3) AS wanted (account_id, instrument_id) \
     USING (account_id, instrument_id) WHERE generation = $1";

const MOVEMENTS_OF_ACCOUNTS: &str = "SELECT account_id, hour, unit, tenant_id, held, paid_in \
     FROM movements WHERE generation = $1 AND account_id = ANY ($2)";

fn wants(recorded: &Recorded) -> bool {
    matches!(recorded.stream, StreamId::Account(_) | StreamId::Order(_) | StreamId::Position(..))
}

/// Folds a batch into the tables of `generation`, and tells the rows that it touched.
///
/// # Errors
/// An event of the batch cannot be folded, or the database failed.
pub(crate) async fn project(
    connection: &mut PgConnection,
    generation: i32,
    batch: &[Recorded],
    lately: &Lately,
    writes: &mut Writes,
) -> Result<Trading, ProjectionError> {
    let events = read_batch(batch, wants)?;
    let mut rows = Trading::load(connection, generation, &events, lately).await?;
    for Read { recorded, event } in events {
        rows.fold(recorded, event)?;
    }
    rows.write(writes)?;
    Ok(rows)
}

impl Trading {
    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        events: &[Read<'_>],
        lately: &Lately,
    ) -> Result<Self, ProjectionError> {
        let mut accounts = BTreeSet::new();
        let mut orders = BTreeSet::new();
        // An order's fill comes before the money of it: mostly it is in the same batch.
        let mut filled = BTreeMap::new();
        let mut fills = BTreeSet::new();
        let mut positions = BTreeSet::new();
        let mut lots = BTreeSet::new();
        let mut split: BTreeSet<(AccountId, InstrumentId)> = BTreeSet::new();
        for Read { recorded, event } in events {
            let stored = recorded.sequence > 1;
            match (recorded.stream, event) {
                (StreamId::Account(id), event) if stored => {
                    accounts.insert((id,));
                    if let Event::Account(
                        AccountEvent::FillSettled { fill_id, .. }
                        | AccountEvent::FeeCharged { fill_id, .. },
                    ) = event
                        && !filled.contains_key(fill_id)
                    {
                        fills.insert((*fill_id,));
                    }
                }
                (StreamId::Order(id), event) if stored => {
                    orders.insert((id,));
                    if let Event::Order(OrderEvent::OrderFilled { fill_id, at, .. }) = event {
                        filled.insert(*fill_id, *at);
                    }
                }
                (StreamId::Position(account, instrument), Event::Position(event)) if stored => {
                    positions.insert((account, instrument));
                    lots.extend(closed_lots(event).iter().map(|lot| (lot.lot_id,)));
                    if splits_lots(event) {
                        split.insert((account, instrument));
                    }
                }
                _ => {}
            }
        }
        let mut rows = Self::default();
        rows.accounts.find(&lately.accounts, connection, generation, accounts).await?;
        rows.orders.find(&lately.orders, connection, generation, orders).await?;
        rows.fills.load(connection, generation, fills).await?;
        rows.positions.find(&lately.positions, connection, generation, positions).await?;
        rows.lots.load(connection, generation, lots).await?;
        if !split.is_empty() {
            let split: Vec<_> = split.into_iter().collect();
            let statement = sqlx::query(LOTS_OF_POSITIONS).bind(generation);
            let found =
                PositionRow::bind_keys(&split, statement).fetch_all(&mut *connection).await?;
            let found = found.iter().map(LotRow::read).collect::<Result<_, _>>()?;
            rows.lots.take_stored(found);
        }
        filled.extend(rows.fills.iter().map(|fill| (fill.fill_id, fill.at)));
        let moved = events.iter().filter_map(|read| Movement::of(read.recorded, &read.event));
        let moved: Vec<Movement> = moved.collect();
        let whole: BTreeSet<AccountId> = moved
            .iter()
            .filter(|moved| moved.begins || moved.when == When::Before)
            .map(|moved| moved.account_id)
            .collect();
        let mut hours = BTreeSet::new();
        for moved in moved.iter().filter(|moved| !whole.contains(&moved.account_id)) {
            let hour = moved.hour(|fill_id| filled.get(&fill_id).copied());
            hours.extend(hour.into_iter().flat_map(|hour| moved.keys(hour)));
        }
        rows.movements.find(&lately.movements, connection, generation, hours).await?;
        if !whole.is_empty() {
            let whole: Vec<_> = whole.iter().map(|id| id.uuid()).collect();
            let statement = sqlx::query(MOVEMENTS_OF_ACCOUNTS).bind(generation).bind(whole);
            let found = statement.fetch_all(connection).await?;
            let found = found.iter().map(MovementRow::read).collect::<Result<_, _>>()?;
            rows.movements.take_stored(found);
        }
        Ok(rows)
    }

    /// Folds one event into the rows, which have to hold those that it touches.
    ///
    /// # Errors
    /// The event is impossible after those before it.
    pub fn fold(&mut self, recorded: &Recorded, event: Event) -> Result<(), ProjectionError> {
        if let Some(moved) = Movement::of(recorded, &event) {
            let filled = |fill_id| self.fills.get(&(fill_id,)).map(|fill| fill.at);
            let told = moved.hour(filled);
            if let (When::With(fill_id), None) = (moved.when, told) {
                let reason = format!("fill {fill_id} is settled, and no order has it");
                return Err(ProjectionError::poison(recorded.position, reason));
            }
            moved.add(&mut self.movements, recorded, told)?;
        }
        match (recorded.stream, event) {
            (StreamId::Account(id), Event::Account(event)) => {
                self.fold_account(id, recorded, event)
            }
            (StreamId::Order(id), Event::Order(event)) => {
                let row = self.orders.get(&(id,)).cloned();
                let order = fold::<Order, _>(row, recorded, event.clone())?;
                if matches!(event, OrderEvent::OrderFilled { .. })
                    && let Some(fill) = fill_of(&order, recorded, &event)
                {
                    for activity in ActivityRow::of_fill(recorded, &fill) {
                        self.activities.put(activity);
                    }
                    self.fills.put(fill);
                }
                self.orders.put(order);
                Ok(())
            }
            (StreamId::Position(account, instrument), Event::Position(event)) => {
                self.fold_position((account, instrument), recorded, event)
            }
            _ => Ok(()),
        }
    }

    fn fold_account(
        &mut self,
        id: AccountId,
        recorded: &Recorded,
        event: AccountEvent,
    ) -> Result<(), ProjectionError> {
        if let Some(mut activity) = ActivityRow::of_account(recorded, id, &event) {
            if let Some(fill) = activity.fill_id.and_then(|fill_id| self.fills.get(&(fill_id,))) {
                activity.at = fill.at;
            }
            self.activities.put(activity);
        }
        let row = self.accounts.get(&(id,)).cloned();
        self.accounts.put(fold::<Account, _>(row, recorded, event)?);
        Ok(())
    }

    fn fold_position(
        &mut self,
        key: (AccountId, InstrumentId),
        recorded: &Recorded,
        event: PositionEvent,
    ) -> Result<(), ProjectionError> {
        let poison = |error: &dyn std::fmt::Display| {
            ProjectionError::poison(recorded.position, error.to_string())
        };
        fold_lots(&mut self.lots, recorded, &event).map_err(|error| poison(&error))?;
        let row = self.positions.get(&key).cloned();
        let activity = ActivityRow::of_position(recorded, row.as_ref(), &event);
        if let Some(activity) = activity.map_err(|error| poison(&error))? {
            self.activities.put(activity);
        }
        self.positions.put(fold::<Position, _>(row, recorded, event)?);
        Ok(())
    }

    fn write(&self, writes: &mut Writes) -> Result<(), ProjectionError> {
        self.accounts.write(writes)?;
        self.orders.write(writes)?;
        self.fills.write(writes)?;
        self.positions.write(writes)?;
        self.lots.write(writes)?;
        self.activities.write(writes)?;
        self.movements.write(writes)
    }
}
