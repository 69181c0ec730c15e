//! Rows of query views: how a Rust struct becomes a table's row and back, many rows in one statement.
//!
//! [`view_row!`] declares a row once; writing (an upsert by `unnest` of one array a column), loading by keys and
//! deleting by keys follow from it. Each is one round trip for any number of rows, and none for no rows.

use std::collections::BTreeMap;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};

use crate::error::ProjectionError;

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
    /// Binds one array a column, key first.
    fn bind_rows<'q>(rows: &[&Self], statement: Statement<'q>) -> Statement<'q>;
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

            fn bind_rows<'q>(
                rows: &[&Self],
                statement: crate::row::Statement<'q>,
            ) -> crate::row::Statement<'q> {
                use crate::column::Column;
                statement
                    $(.bind(rows.iter().map(|row| row.$key.stored()).collect::<Vec<_>>()))+
                    $(.bind(rows.iter().map(|row| row.$field.stored()).collect::<Vec<_>>()))*
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

/// `$2, $3, …`: one placeholder a column, after the generation.
fn placeholders(columns: usize) -> String {
    (0..columns).map(|n| format!("${}", n + 2)).collect::<Vec<_>>().join(", ")
}

/// Writes rows: new ones are inserted, those whose key is there already are replaced.
pub(crate) async fn upsert<R: Row>(
    connection: &mut PgConnection,
    generation: i32,
    rows: &[&R],
) -> Result<(), ProjectionError> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [R::KEY, R::FACTS].concat();
    let updates = R::FACTS.iter().map(|column| format!("{column} = excluded.{column}"));
    let statement = format!(
        "INSERT INTO {} (generation, {}) SELECT $1, * FROM unnest({}) ON CONFLICT (generation, {}) DO UPDATE SET {}",
        R::TABLE,
        columns.join(", "),
        placeholders(columns.len()),
        R::KEY.join(", "),
        updates.collect::<Vec<_>>().join(", "),
    );
    let statement = R::bind_rows(rows, sqlx::query(&statement).bind(generation));
    statement.execute(connection).await?;
    Ok(())
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
    let key = R::KEY.join(", ");
    let statement = format!(
        "SELECT {key}, {} FROM {} JOIN unnest({}) AS wanted ({key}) USING ({key}) WHERE generation = $1",
        R::FACTS.join(", "),
        R::TABLE,
        placeholders(R::KEY.len()),
    );
    let statement = R::bind_keys(keys, sqlx::query(&statement).bind(generation));
    let rows = statement.fetch_all(connection).await?;
    Ok(rows.iter().map(R::read).collect::<Result<_, _>>()?)
}

async fn delete<R: Row>(
    connection: &mut PgConnection,
    generation: i32,
    keys: &[R::Key],
) -> Result<(), ProjectionError> {
    if keys.is_empty() {
        return Ok(());
    }
    let key = R::KEY.join(", ");
    let same: Vec<_> =
        R::KEY.iter().map(|column| format!("gone.{column} = wanted.{column}")).collect();
    let statement = format!(
        "DELETE FROM {} AS gone USING unnest({}) AS wanted ({key}) WHERE gone.generation = $1 AND {}",
        R::TABLE,
        placeholders(R::KEY.len()),
        same.join(" AND "),
    );
    R::bind_keys(keys, sqlx::query(&statement).bind(generation)).execute(connection).await?;
    Ok(())
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

    /// Writes what has changed, deletes what is gone.
    pub(crate) async fn write(
        &self,
        connection: &mut PgConnection,
        generation: i32,
    ) -> Result<(), ProjectionError> {
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for (key, slot) in &self.slots {
            match slot {
                Slot::Changed(row) => changed.push(row),
                Slot::Gone => gone.push(key.clone()),
                Slot::Loaded(_) => {}
            }
        }
        delete::<R>(connection, generation, &gone).await?;
        upsert(connection, generation, &changed).await
    }
}
