//! Rebuilding a group: a new generation is filled from the start of the log beside the one that is read, then
//! readers are switched to it in one transaction, then the old rows are deleted in chunks.
//!
//! Every stage is a row of `projections`, so a rebuild that was killed goes on where it was. Readers see the whole
//! of one generation at any time. A rebuild needs room for a second copy of the group's tables.

use sqlx::{Connection, PgConnection, Row};
use tracing::info;

use crate::checkpoint::{self, Checkpoint, Status};
use crate::error::ProjectionError;
use crate::group::{Group, Step};

/// The most rows of one table that one chunk deletes.
const CHUNK: i64 = 10_000;

/// Begins to rebuild `group`, or finds the rebuild that is under way: the generation that is filled.
///
/// # Errors
/// The database failed.
pub async fn begin(connection: &mut PgConnection, group: Group) -> Result<i32, ProjectionError> {
    const BEGIN: &str = "INSERT INTO projections (name, generation, status)
        SELECT $1, max(generation) + 1, 'building' FROM projections WHERE name = $1 RETURNING generation";
    let mut transaction = connection.begin().await?;
    let rows = lock_all(&mut transaction, group).await?;
    let under_way = rows.iter().find(|row| !row.active && row.status != Status::Retired);
    let generation = match under_way {
        Some(row) => row.generation,
        None => {
            let row = sqlx::query(BEGIN).bind(group.name()).fetch_one(&mut *transaction).await?;
            row.try_get("generation")?
        }
    };
    transaction.commit().await?;
    Ok(generation)
}

/// Switches readers to `generation` if it has come as far as the one that they use now.
///
/// # Errors
/// The database failed; nothing was switched.
pub async fn switch(
    connection: &mut PgConnection,
    group: Group,
    generation: i32,
) -> Result<bool, ProjectionError> {
    const RETIRE: &str =
        "UPDATE projections SET status = 'retired', active = false, updated_at = now()
        WHERE name = $1 AND active";
    const ACTIVATE: &str =
        "UPDATE projections SET status = 'live', active = true, updated_at = now()
        WHERE name = $1 AND generation = $2";
    let mut transaction = connection.begin().await?;
    let rows = lock_all(&mut transaction, group).await?;
    let read = rows.iter().find(|row| row.active);
    let filled = rows
        .iter()
        .find(|row| row.generation == generation && row.status == Status::Building)
        .filter(|filled| read.is_none_or(|read| filled.position >= read.position));
    let Some(filled) = filled else {
        return Ok(false);
    };
    sqlx::query(RETIRE).bind(group.name()).execute(&mut *transaction).await?;
    sqlx::query(ACTIVATE).bind(group.name()).bind(generation).execute(&mut *transaction).await?;
    transaction.commit().await?;
    info!(
        group = group.name(),
        generation,
        position = filled.position,
        "a rebuilt view is read now"
    );
    Ok(true)
}

/// Deletes one chunk of a retired generation; true when nothing of it is left.
///
/// # Errors
/// The database failed.
pub async fn sweep(
    connection: &mut PgConnection,
    group: Group,
    generation: i32,
) -> Result<bool, ProjectionError> {
    const FORGET: &str =
        "DELETE FROM projections WHERE name = $1 AND generation = $2 AND status = 'retired'";
    for table in group.tables() {
        let statement = format!(
            "DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE generation = $1 LIMIT $2)"
        );
        let deleted =
            sqlx::query(&statement).bind(generation).bind(CHUNK).execute(&mut *connection).await?;
        if deleted.rows_affected() > 0 {
            return Ok(false);
        }
    }
    sqlx::query(FORGET).bind(group.name()).bind(generation).execute(connection).await?;
    Ok(true)
}

/// Rebuilds `group` from start to end. A running server may work at the same time, and will take part.
///
/// # Errors
/// The database failed, or an event cannot be folded: what is read stays as it was.
pub async fn run(connection: &mut PgConnection, group: Group) -> Result<(), ProjectionError> {
    let generation = begin(connection, group).await?;
    checkpoint::resume(connection, group.name()).await?;
    loop {
        match group.step(connection, generation).await? {
            Step::Advanced { more: true, .. } => {}
            Step::Advanced { .. } | Step::Idle { .. } => {
                if switch(connection, group, generation).await? {
                    break;
                }
            }
            Step::Stopped { position, error } => {
                return Err(ProjectionError::Poison { position: position + 1, reason: error });
            }
            // A running server has switched, or even swept, meanwhile.
            Step::Retired => break,
        }
        if checkpoint::active(connection, group.name()).await?.generation >= generation {
            break;
        }
    }
    let retired: Vec<Checkpoint> = checkpoint::all(connection)
        .await?
        .into_iter()
        .filter(|row| row.name == group.name() && row.status == Status::Retired)
        .collect();
    for row in retired {
        while !sweep(connection, group, row.generation).await? {}
    }
    Ok(())
}

async fn lock_all(
    connection: &mut PgConnection,
    group: Group,
) -> Result<Vec<Checkpoint>, ProjectionError> {
    const LOCK: &str = "SELECT 1 FROM projections WHERE name = $1 ORDER BY generation FOR UPDATE";
    sqlx::query(LOCK).bind(group.name()).execute(&mut *connection).await?;
    let rows = checkpoint::all(connection).await?;
    Ok(rows.into_iter().filter(|row| row.name == group.name()).collect())
}
