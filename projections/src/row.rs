//! Rows of query views: how a Rust struct becomes a table's row and back, many rows at once.
//!
//! [`view_row!`] declares a row once; writing (an upsert by `unnest` of one array a column), loading by keys and
//! deleting by keys follow from it. A load is one round trip for any number of rows, and none for no rows; what a step
//! writes goes together, see [`Writes`].

use std::collections::BTreeMap;

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};

use crate::error::ProjectionError;
use crate::writes::Writes;

/// A statement under way.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A row of one table, generation apart.
pub trait Row: Sized + Send + Sync {
    /// The primary key after the generation.
    type Key: Ord + Clone + Send + Sync;
    /// The table.
    const TABLE: &'static str;
    /// The columns of the key.
    const KEY: &'static [&'static str];
    /// The other columns.
    const FACTS: &'static [&'static str];

    /// The key of this row.
    fn key(&self) -> Self::Key;
    /// Reads a row that has all columns.
    fn read(row: &PgRow) -> Result<Self, sqlx::Error>;
    /// Adds one array a column, key first.
    ///
    /// # Errors
    /// A value that Postgres cannot take.
    fn add_rows(rows: &[&Self], arguments: &mut PgArguments) -> Result<(), BoxDynError>;
    /// Adds one array a column of the key.
    ///
    /// # Errors
    /// A value that Postgres cannot take.
    fn add_keys(keys: &[Self::Key], arguments: &mut PgArguments) -> Result<(), BoxDynError>;
    /// Binds one array a column of the key.
    fn bind_keys<'q>(keys: &[Self::Key], statement: Statement<'q>) -> Statement<'q>;
}

/// Declares a row: the struct and its [`Row`]. Columns bear the names of the fields.
macro_rules! view_row {
    (
        $(#[$doc:meta])* $name:ident in $table:literal,
        key { $($(#[$key_doc:meta])* $key:ident: $key_type:ty = $index:tt,)+ }
        facts { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$key_doc])* pub $key: $key_type,)+
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl crate::row::Row for $name {
            type Key = ($($key_type,)+);
            const TABLE: &'static str = $table;
            const KEY: &'static [&'static str] = &[$(stringify!($key)),+];
            const FACTS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn key(&self) -> Self::Key {
                ($(self.$key.clone(),)+)
            }

            fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self {
                    $($key: crate::column::read(row, stringify!($key))?,)+
                    $($field: crate::column::read(row, stringify!($field))?,)*
                })
            }

            fn add_rows(
                rows: &[&Self],
                arguments: &mut sqlx::postgres::PgArguments,
            ) -> Result<(), sqlx::error::BoxDynError> {
                use sqlx::Arguments;

                use crate::column::Column;
                $(arguments.add(rows.iter().map(|row| row.$key.stored()).collect::<Vec<_>>())?;)+
                $(arguments.add(rows.iter().map(|row| row.$field.stored()).collect::<Vec<_>>())?;)*
                Ok(())
            }

            fn add_keys(
                keys: &[Self::Key],
                arguments: &mut sqlx::postgres::PgArguments,
            ) -> Result<(), sqlx::error::BoxDynError> {
                use sqlx::Arguments;

                use crate::column::Column;
                $(arguments.add(keys.iter().map(|key| key.$index.stored()).collect::<Vec<_>>())?;)+
                Ok(())
            }

            fn bind_keys<'q>(
                keys: &[Self::Key],
                statement: crate::row::Statement<'q>,
            ) -> crate::row::Statement<'q> {
                use crate::column::Column;
                statement $(.bind(keys.iter().map(|key| key.$index.stored()).collect::<Vec<_>>()))+
            }
        }
    };
}
pub(crate) use view_row;

/// `$2, $3, …`: one placeholder a column, from the `first`.
pub(crate) fn placeholders(first: usize, columns: usize) -> String {
    (first..first + columns).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Looks one of the `wanted` up by its key. As a query of its own, so that no plan reads the table from its start
/// because it was nearly empty when a session planned it.
pub(crate) fn keyed<R: Row>(columns: &str) -> String {
    let same: Vec<_> =
        R::KEY.iter().map(|column| format!("kept.{column} = wanted.{column}")).collect();
    format!(
        "(SELECT {columns} FROM {} AS kept WHERE generation = $1 AND {} OFFSET 0)",
        R::TABLE,
        same.join(" AND ")
    )
}

/// The rows that have these keys.
pub(crate) async fn load<R: Row>(
    connection: &mut PgConnection,
    generation: i32,
    keys: &[R::Key],
) -> Result<Vec<R>, ProjectionError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let columns = [R::KEY, R::FACTS].concat().join(", ");
    let statement = format!(
        "SELECT stored.* FROM unnest({}) AS wanted ({}) CROSS JOIN LATERAL {} AS stored",
        placeholders(2, R::KEY.len()),
        R::KEY.join(", "),
        keyed::<R>(&columns),
    );
    let statement = R::bind_keys(keys, sqlx::query(&statement).bind(generation));
    let rows = statement.fetch_all(connection).await?;
    Ok(rows.iter().map(R::read).collect::<Result<_, _>>()?)
}

/// Rows as the last step left them, so that the next one need not load them. The most recently touched ones: up to two times
/// [`KEPT`], which are forgotten half by half.
#[derive(Debug)]
pub(crate) struct Kept<R: Row> {
    young: BTreeMap<R::Key, R>,
    old: BTreeMap<R::Key, R>,
}

/// Rows of a table that are kept before the older ones are forgotten.
const KEPT: usize = 8_192;

impl<R: Row> Default for Kept<R> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }
}

impl<R: Row> Kept<R> {
    fn get(&self, key: &R::Key) -> Option<&R> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Keeps the rows of a step that has been written, those that are `wanted` again.
    pub(crate) fn take(&mut self, rows: Rows<R>, wanted: impl Fn(&R) -> bool) {
        for (key, slot) in rows.slots {
            match slot {
                Slot::Loaded(row) | Slot::Changed(row) if wanted(&row) => {
                    if self.young.len() >= KEPT {
                        self.old = std::mem::take(&mut self.young);
                    }
                    self.young.insert(key, row);
                }
                Slot::Loaded(_) | Slot::Changed(_) | Slot::Gone => {
                    self.young.remove(&key);
                    self.old.remove(&key);
                }
            }
        }
    }
}

/// What a batch does to one row.
#[derive(Debug)]
enum Slot<R> {
    Loaded(R),
    Changed(R),
    Gone,
}

/// The rows of one table that a batch touches: loaded together before it, written together after it.
#[derive(Debug)]
pub struct Rows<R: Row> {
    slots: BTreeMap<R::Key, Slot<R>>,
}

impl<R: Row> Default for Rows<R> {
    fn default() -> Self {
        Self { slots: BTreeMap::new() }
    }
}

impl<R: Row> Rows<R> {
    /// Takes rows in as they are stored.
    pub(crate) fn take_stored(&mut self, rows: Vec<R>) {
        self.slots.extend(rows.into_iter().map(|row| (row.key(), Slot::Loaded(row))));
    }

    /// Takes the rows that have these keys and exist: those that are kept, and the others from the table.
    pub(crate) async fn find(
        &mut self,
        kept: &Kept<R>,
        connection: &mut PgConnection,
        generation: i32,
        keys: impl IntoIterator<Item = R::Key>,
    ) -> Result<(), ProjectionError>
    where
        R: Clone,
    {
        let mut missing = Vec::new();
        for key in keys {
            match kept.get(&key) {
                Some(row) => {
                    self.slots.insert(key, Slot::Loaded(row.clone()));
                }
                None => missing.push(key),
            }
        }
        self.load(connection, generation, missing).await
    }

    /// Loads the rows that have these keys and exist.
    pub(crate) async fn load(
        &mut self,
        connection: &mut PgConnection,
        generation: i32,
        keys: impl IntoIterator<Item = R::Key>,
    ) -> Result<(), ProjectionError> {
        let keys: Vec<_> = keys.into_iter().collect();
        self.take_stored(load(connection, generation, &keys).await?);
        Ok(())
    }

    /// The row, if it exists.
    pub fn get(&self, key: &R::Key) -> Option<&R> {
        match self.slots.get(key) {
            Some(Slot::Loaded(row) | Slot::Changed(row)) => Some(row),
            Some(Slot::Gone) | None => None,
        }
    }

    /// The row, to be changed, if it exists.
    pub fn get_mut(&mut self, key: &R::Key) -> Option<&mut R> {
        let slot = self.slots.get_mut(key)?;
        *slot = match std::mem::replace(slot, Slot::Gone) {
            Slot::Loaded(row) | Slot::Changed(row) => Slot::Changed(row),
            Slot::Gone => return None,
        };
        match slot {
            Slot::Changed(row) => Some(row),
            Slot::Loaded(_) | Slot::Gone => None,
        }
    }

    /// Puts a row, new or changed.
    pub fn put(&mut self, row: R) {
        self.slots.insert(row.key(), Slot::Changed(row));
    }

    /// Removes a row.
    pub fn remove(&mut self, key: &R::Key) {
        self.slots.insert(key.clone(), Slot::Gone);
    }

    /// Every row that exists, in order of its key.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Loaded(row) | Slot::Changed(row) => Some(row),
            Slot::Gone => None,
        })
    }

    /// Has what has changed written, and what is gone deleted.
    ///
    /// # Errors
    /// A value that Postgres cannot take.
    pub(crate) fn write(&self, writes: &mut Writes) -> Result<(), ProjectionError> {
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for (key, slot) in &self.slots {
            match slot {
                Slot::Changed(row) => changed.push(row),
                Slot::Gone => gone.push(key.clone()),
                Slot::Loaded(_) => {}
            }
        }
        writes.delete::<R>(&gone)?;
        writes.upsert(&changed)
    }
}

#[cfg(test)]
mod tests {
    use aggregates::id::{AccountId, InstrumentId, OrderId, TenantId};
    use aggregates::money::Quantity;
    use uuid::Uuid;

    use super::*;
    use crate::journal::ShareReservationRow;

    fn row(n: usize, qty: u32) -> ShareReservationRow {
        ShareReservationRow {
            account_id: AccountId::new(Uuid::from_u128(n as u128)),
            instrument_id: InstrumentId::new(Uuid::nil()),
            order_id: OrderId::new(Uuid::nil()),
            tenant_id: TenantId::new(Uuid::nil()),
            qty: Quantity::new(qty.into()).unwrap(),
        }
    }

    fn changed(row: ShareReservationRow) -> Rows<ShareReservationRow> {
        let mut rows = Rows::default();
        rows.put(row);
        rows
    }

    #[test]
    fn the_last_state_of_what_was_touched_of_late_is_kept_and_no_more_than_that() {
        let mut kept = Kept::default();
        for n in 0..3 * KEPT {
            kept.take(changed(row(n, 1)), |_| true);
            kept.take(changed(row(0, 2)), |_| true);
            assert!(kept.young.len() <= KEPT && kept.old.len() <= KEPT);
        }
        assert_eq!(kept.get(&row(0, 2).key()), Some(&row(0, 2)), "touched again and again");
        assert_eq!(kept.get(&row(1, 1).key()), None, "not for long");
        assert_eq!(kept.get(&row(3 * KEPT - 1, 1).key()), Some(&row(3 * KEPT - 1, 1)));
        let mut gone = changed(row(0, 2));
        gone.remove(&row(0, 2).key());
        kept.take(gone, |_| true);
        assert_eq!(kept.get(&row(0, 2).key()), None, "it is gone in both halves");
        kept.take(changed(row(7, 3)), |row| row.qty != Quantity::new(3.into()).unwrap());
        assert_eq!(kept.get(&row(7, 3).key()), None, "nobody wants it again");
    }
}
