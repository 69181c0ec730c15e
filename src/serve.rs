//! `blotter serve`: puts the parts together, runs them, and takes them down in the opposite order.

use anyhow::Context;
use blotter::config::ServerSettings;
use blotter::database::Database;
use blotter::identity::OperatorToken;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Runs until SIGTERM or SIGINT, also while it is still starting.
pub async fn serve(settings: ServerSettings) -> anyhow::Result<()> {
    settings.check_available()?;
    let mut stop = Stop::listen()?;
    let given = std::env::var("BLOTTER_OPERATOR_TOKEN").ok();
    let data_dir = settings.database.data_dir()?;
    OperatorToken::load(given.as_deref(), &data_dir)?;
    let source = settings.database.source()?;
    let database = tokio::select! {
        biased;
        () = stop.asked() => return Ok(()),
        opened = Database::open(source) => opened.context("no database")?,
    };
    info!("database ready");
    stop.asked().await;
    info!("stopping");
    database.close().await?;
    Ok(())
}

/// The two signals that end a server.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
