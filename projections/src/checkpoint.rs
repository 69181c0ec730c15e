//! How far each group of views has come: the rows of `projections`.
//!
//! A checkpoint moves only from the position that was read, in the statement that writes the rows: run twice or
//! by two processes, a group folds every event once.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::error::ProjectionError;

/// What a generation of a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It follows the log and is read.
    Live,
    /// It is being filled beside the one that is read.
    Building,
    /// It met an event that it cannot fold.
    Stopped,
    /// Another one is read instead; its rows are being deleted.
    Retired,
}

impl Status {
    const ALL: [Self; 4] = [Self::Live, Self::Building, Self::Stopped, Self::Retired];

    /// The word as stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Building => "building",
            Self::Stopped => "stopped",
            Self::Retired => "retired",
        }
    }
}

/// One generation of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The group.
    pub name: String,
    /// Which filling of its tables.
    pub generation: i32,
    /// The last event that its rows contain.
    pub position: u64,
    /// What it is doing.
    pub status: Status,
    /// Whether readers use it.
    pub active: bool,
    /// Why it stopped.
    pub error: Option<String>,
}

const COLUMNS: &str = "name, generation, position, status, active, error";

impl Checkpoint {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let status: &str = row.try_get("status")?;
        let status =
            Status::ALL.into_iter().find(|known| known.word() == status).ok_or_else(|| {
                let source = format!("no status is called {status}").into();
                sqlx::Error::ColumnDecode { index: "status".into(), source }
            })?;
        Ok(Self {
            name: row.try_get("name")?,
            generation: row.try_get("generation")?,
            position: row.try_get::<i64, _>("position")?.cast_unsigned(),
            status,
            active: row.try_get("active")?,
            error: row.try_get("error")?,
        })
    }
}

/// Every generation of every group, oldest first.
///
/// # Errors
/// The database failed.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<Checkpoint>, ProjectionError> {
    let statement = format!("SELECT {COLUMNS} FROM projections ORDER BY name, generation");
    let rows = sqlx::query(&statement).fetch_all(connection).await?;
    Ok(rows.iter().map(Checkpoint::read).collect::<Result<_, _>>()?)
}

/// The generation of a group that readers use.
///
/// # Errors
/// There is none, or the database failed.
pub async fn active(
    connection: &mut PgConnection,
    name: &'static str,
) -> Result<Checkpoint, ProjectionError> {
    let statement = format!("SELECT {COLUMNS} FROM projections WHERE name = $1 AND active");
    let row = sqlx::query(&statement).bind(name).fetch_optional(connection).await?;
    Ok(Checkpoint::read(&row.ok_or(ProjectionError::NoGeneration(name))?)?)
}

/// One generation, if it is kept.
pub(crate) async fn one(
    connection: &mut PgConnection,
    name: &str,
    generation: i32,
) -> Result<Option<Checkpoint>, ProjectionError> {
    let statement =
        format!("SELECT {COLUMNS} FROM projections WHERE name = $1 AND generation = $2");
    let row =
        sqlx::query(&statement).bind(name).bind(generation).fetch_optional(connection).await?;
    Ok(row.as_ref().map(Checkpoint::read).transpose()?)
}

/// Stops a generation before the event that it cannot fold. False: somebody else has moved it.
pub(crate) async fn stop(
    connection: &mut PgConnection,
    from: &Checkpoint,
    error: &str,
) -> Result<bool, ProjectionError> {
    const STOP: &str = "UPDATE projections SET status = 'stopped', error = $4, updated_at = now()
        WHERE name = $1 AND generation = $2 AND position = $3 AND status IN ('live', 'building')";
    let done = sqlx::query(STOP)
        .bind(&from.name)
        .bind(from.generation)
        .bind(from.position.cast_signed())
        .bind(error)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets a stopped generation try again: this program may know what an older one did not.
pub(crate) async fn resume(
    connection: &mut PgConnection,
    name: &str,
) -> Result<(), ProjectionError> {
    const RESUME: &str = "UPDATE projections SET error = NULL, updated_at = now(),
            status = CASE WHEN active THEN 'live' ELSE 'building' END
        WHERE name = $1 AND status = 'stopped'";
    sqlx::query(RESUME).bind(name).execute(connection).await?;
    Ok(())
}
