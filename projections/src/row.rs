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
