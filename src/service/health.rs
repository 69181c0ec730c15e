//! Whether this process can serve, part by part. Costs one round trip.

use std::time::Duration;

use projections::Group;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Connection;

use super::Service;
use crate::engine::Condition;
use crate::engine::player::Player;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A connection that has not answered for so long is given up: it may never answer again.
const SILENT: Duration = Duration::from_secs(5);

/// How this process is.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Health {
    /// Commands are taken here or by another process, reads are served, and a market of its own pace has opened.
    pub ready: bool,
    /// The database answers.
    pub database: bool,
    /// This process writes the ledger.
    pub writer: bool,
    /// The engine: idle (another process writes), recovering, working, waiting for the ledger or restarting.
    pub engine: &'static str,
    /// The market clock, once there is one.
    pub market_time: Option<aggregates::market::MarketTime>,
    /// The last position of the log that this process knows of.
    pub position: u64,
    /// The groups of views.
    pub views: Vec<ViewHealth>,
}

/// How a group of views is.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ViewHealth {
    /// Its name.
    pub name: &'static str,
    /// The last event that its rows contain.
    pub position: u64,
    /// How many events it has yet to take in.
    pub lag: u64,
    /// It met an event that it cannot take in, or a defect, and serves what it has.
    pub degraded: bool,
}

impl Service {
    /// How this process is.
    pub async fn health(&self) -> Health {
        let database = self.database_answers().await;
        let head = *self.parts.ledger.head().borrow();
        let board = self.parts.engine.board();
        let condition = board.condition();
        let views = Group::ALL.map(|group| {
            let progress = self.parts.views.progress(group);
            ViewHealth {
                name: group.name(),
                position: progress.position,
                lag: head.position.saturating_sub(progress.position),
                degraded: progress.stopped.is_some() || progress.defective,
            }
        });
        let open = self.parts.player.as_ref().is_none_or(Player::is_open);
        let working = condition == Condition::Working && open;
        Health {
            ready: database && (working || self.parts.ledger.another_writes()),
            database,
            writer: head.writing,
            engine: match condition {
                Condition::Idle => "idle",
                Condition::Recovering => "recovering",
                Condition::Working => "working",
                Condition::Waiting => "waiting",
                Condition::Restarting(_) => "restarting",
            },
            market_time: self.market_time(),
            position: head.position,
            views: views.into(),
        }
    }

    /// Asked in a task of its own: a connection that takes longer to be made is there for who asks next, and one that does not
    /// answer keeps its place of the pool for [`SILENT`] at the most.
    async fn database_answers(&self) -> bool {
        let pool = self.parts.auditor.pool().clone();
        let asked = tokio::spawn(async move {
            let mut connection = pool.acquire().await?;
            let answered = tokio::time::timeout(SILENT, connection.ping()).await;
            answered.unwrap_or_else(|_| {
                connection.close_on_drop();
                Err(sqlx::Error::PoolTimedOut)
            })
        });
        matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(Ok(()))))
    }
}
