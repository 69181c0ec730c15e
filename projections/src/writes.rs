//! What a step writes, gathered and sent as one statement with the move of the checkpoint: all of it happens or nothing,
//! in one round trip, however many tables it touches.
//!
//! Every part reads the row that moved, and there is none where somebody else has moved the checkpoint, or stopped or
//! retired its generation: then nothing is written. A step needs no lock and no transaction of its own. Nothing waits
//! for the disk: what a crash takes back is folded again.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, PgConnection};

use crate::checkpoint::Checkpoint;
use crate::error::ProjectionError;
use crate::row::{Row, keyed, placeholders};

/// What moves the checkpoint, and is the first of the parts. $1 is the generation, $2 the name of the group, $3 where it
/// was, $4 where it goes, $5 its status.
const MOVED: &str = "moved AS (UPDATE projections SET position = $4, updated_at = now()
    WHERE name = $2 AND generation = $1 AND position = $3 AND status = $5
    RETURNING set_config('synchronous_commit', 'off', true))";

/// What a step writes.
#[derive(Debug)]
pub(crate) struct Writes {
    parts: Vec<String>,
    arguments: PgArguments,
}

fn refused(error: sqlx::error::BoxDynError) -> ProjectionError {
    sqlx::Error::Encode(error).into()
}

impl Writes {
    /// Nothing yet, of a step that moves a checkpoint on to `to`.
    ///
    /// # Errors
    /// A value that Postgres cannot take.
    pub(crate) fn of(from: &Checkpoint, to: u64) -> Result<Self, ProjectionError> {
        let mut arguments = PgArguments::default();
        arguments.add(from.generation).map_err(refused)?;
        arguments.add(&from.name).map_err(refused)?;
        arguments.add(from.position.cast_signed()).map_err(refused)?;
        arguments.add(to.cast_signed()).map_err(refused)?;
        arguments.add(from.status.word()).map_err(refused)?;
        Ok(Self { parts: vec![MOVED.to_owned()], arguments })
    }

    /// Rows: new ones are inserted, those whose key is there already are replaced.
    ///
    /// # Errors
    /// A value that Postgres cannot take.
    pub(crate) fn upsert<R: Row>(&mut self, rows: &[&R]) -> Result<(), ProjectionError> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = [R::KEY, R::FACTS].concat();
        let updates = R::FACTS.iter().map(|column| format!("{column} = excluded.{column}"));
        let names = columns.join(", ");
        self.part(&format!(
            "INSERT INTO {} (generation, {names}) SELECT $1, {names} FROM moved, unnest({}) AS new ({names})
             ON CONFLICT (generation, {}) DO UPDATE SET {}",
            R::TABLE,
            placeholders(self.arguments.len() + 1, columns.len()),
            R::KEY.join(", "),
            updates.collect::<Vec<_>>().join(", "),
        ));
        R::add_rows(rows, &mut self.arguments).map_err(refused)
    }

    /// The rows with these keys are deleted.
    ///
    /// # Errors
    /// A value that Postgres cannot take.
    pub(crate) fn delete<R: Row>(&mut self, keys: &[R::Key]) -> Result<(), ProjectionError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.part(&format!(
            "DELETE FROM {} WHERE ctid = ANY (ARRAY (SELECT gone.ctid FROM moved, unnest({}) AS wanted ({})
             CROSS JOIN LATERAL {} AS gone))",
            R::TABLE,
            placeholders(self.arguments.len() + 1, R::KEY.len()),
            R::KEY.join(", "),
            keyed::<R>("ctid"),
        ));
        R::add_keys(keys, &mut self.arguments).map_err(refused)
    }

    fn part(&mut self, statement: &str) {
        self.parts.push(format!("w{} AS ({statement})", self.parts.len()));
    }

    /// Writes all of it. False: the checkpoint is not any more as it was read, and nothing was written.
    ///
    /// # Errors
    /// The database failed; nothing was written.
    pub(crate) async fn send(self, connection: &mut PgConnection) -> Result<bool, ProjectionError> {
        let statement = format!("WITH {} SELECT count(*) FROM moved", self.parts.join(",\n"));
        let moved: i64 =
            sqlx::query_scalar_with(&statement, self.arguments).fetch_one(connection).await?;
        Ok(moved == 1)
    }
}
