//! The database for a command that is not the server: it comes beside the server that runs there, or starts the private
//! cluster for as long as it works. Nothing is made and nothing is migrated.
//!
//! Costs nothing beside a running server, 0.2 s to start a cluster. A server that is just starting or stopping is
//! waited for, up to 10 s: until it has a database, or has left the directory.

use std::time::{Duration, Instant};

use super::embedded::{self, Embedded, EmbeddedError};
use super::{
    AuditorPool, Connector, DatabaseError, IdentityPool, ProjectorPool, Source, check_schema,
};

const POLL: Duration = Duration::from_millis(100);

/// A database that is there, to look at or to mend.
#[derive(Debug)]
pub struct Visit {
    connector: Connector,
    /// The cluster that was started for it.
    started: Option<Embedded>,
}

impl Visit {
    /// Comes to the database.
    ///
    /// # Errors
    /// See [`DatabaseError`]; a private one is not there, or its schema is not this binary's, and then a cluster that
    /// was started is stopped again.
    pub async fn open(source: Source) -> Result<Self, DatabaseError> {
        let options = match source {
            Source::Url { url, .. } => return Ok(Self::beside(Connector::by_url(&url)?)),
            Source::Embedded(options) => options,
        };
        let began = Instant::now();
        let at_once = embedded::Options { patience: Duration::ZERO, ..options };
        let embedded = loop {
            match Embedded::start(at_once.clone()).await {
                Err(EmbeddedError::Locked { directory }) => {
                    if let Some(login) = embedded::running(&directory) {
                        return Ok(Self::beside(Connector::by_login(login)));
                    }
                    if began.elapsed() >= options.patience {
                        return Err(EmbeddedError::NothingBeside { directory }.into());
                    }
                    tokio::time::sleep(POLL).await;
                }
                started => break started?,
            }
        };
        check_schema(&embedded.superuser(embedded::DATABASE)).await?;
        let connector = Connector::by_login(embedded.superuser(embedded::DATABASE));
        Ok(Self { connector, started: Some(embedded) })
    }

    fn beside(connector: Connector) -> Self {
        Self { connector, started: None }
    }

    /// For reading everything.
    pub fn auditor(&self) -> AuditorPool {
        self.connector.auditor()
    }

    /// For changing users.
    pub fn identity(&self) -> IdentityPool {
        self.connector.identity()
    }

    /// For writing the views.
    pub fn projector(&self) -> ProjectorPool {
        self.connector.projector()
    }

    /// Leaves; a cluster that was started for it is stopped. The pools are closed before.
    ///
    /// # Errors
    /// The cluster did not stop cleanly.
    pub async fn close(self) -> Result<(), DatabaseError> {
        match self.started {
            Some(embedded) => Ok(embedded.stop().await?),
            None => Ok(()),
        }
    }
}
