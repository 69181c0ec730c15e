//! The database: run the private Postgres or connect to one by URL, migrate it, and hand out pools by role.
//!
//! Guarantees: when [`Database::open`] returns, the schema is this binary's and keeps tenants apart, and every pool
//! works as its own role with that role's limits. Costs 0.2 s on a private cluster that exists, about 1.5 s on a new one.

pub mod data_directory;
pub mod embedded;
pub mod isolation;
mod migrate;
mod pools;
mod roles;
mod visit;

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;
use tracing::{info, warn};

pub use embedded::{Embedded, EmbeddedError};
pub use migrate::migrate;
pub use pools::{
    AuditorPool, Connector, IdentityPool, ProjectorPool, Read, ReaderPool, WriterPool,
};
pub use roles::Role;
pub use visit::Visit;

/// How long sessions have to end.
const CLOSING: Duration = Duration::from_secs(2);

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Source {
    /// A private cluster that this process runs.
    Embedded(embedded::Options),
    /// A server that somebody else runs.
    Url {
        /// What the server works with.
        url: String,
        /// What migrates, when the first may not.
        migrate_url: Option<String>,
    },
}

/// Why there is no usable database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The private cluster does not run.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The URL cannot be read. The text of it is left out: it may hold a password.
    #[error("the database URL is not a Postgres URL: {0}")]
    Url(sqlx::Error),
    /// The server is older than what the row-level security of views needs.
    #[error("the database runs Postgres {major}; at least 15 is needed")]
    ServerTooOld {
        /// Its major version.
        major: i32,
    },
    /// The schema is that of another binary, and was not to be changed.
    #[error(
        "the database has schema {found}, and this blotter works with schema {expected}; nothing was changed: {}",
        if found > expected {
            "a newer blotter wrote it, so use that one"
        } else {
            "start the server on it once, which migrates it, or use the blotter that wrote it"
        }
    )]
    OtherSchema {
        /// The newest migration in the database, of one that lacks some the newest before those; 0 when there is none.
        found: i64,
        /// The newest that this binary knows.
        expected: i64,
    },
    /// A migration failed or does not match.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// It does not keep tenants apart, or its log can be changed.
    #[error("the database does not keep the rules of isolation and nothing is served from it: {0}")]
    NotIsolated(isolation::Violations),
    /// As many read as there are connections, and nobody was done in time.
    #[error("every connection for reads is in use: ask again in a second")]
    Crowded,
    /// Postgres refused or cannot be reached.
    #[error("database: {0}")]
    Postgres(#[from] sqlx::Error),
}

/// An open database: the pools of each role, and the private cluster if there is one.
#[derive(Debug)]
pub struct Database {
    writer: WriterPool,
    projector: ProjectorPool,
    reader: ReaderPool,
    identity: IdentityPool,
    auditor: AuditorPool,
    embedded: Option<Embedded>,
}

impl Database {
    /// Starts or reaches the database and migrates it.
    ///
    /// # Errors
    /// See [`DatabaseError`]; a private cluster that was started is stopped again.
    pub async fn open(source: Source) -> Result<Self, DatabaseError> {
        match source {
            Source::Embedded(options) => Self::open_embedded(options).await,
            Source::Url { url, migrate_url } => Self::open_url(&url, migrate_url.as_deref()).await,
        }
    }

    async fn open_embedded(options: embedded::Options) -> Result<Self, DatabaseError> {
        let embedded = Embedded::start(options).await?;
        embedded.create_database(embedded::DATABASE).await?;
        let mut superuser = embedded.superuser(embedded::DATABASE).connect().await?;
        migrate(&mut superuser).await?;
        migrate::allow_login(&mut superuser).await?;
        isolation::check(&mut superuser).await?;
        superuser.close().await?;
        info!(directory = %embedded.directory().display(), "private Postgres is up");
        let connector = Connector::by_login(embedded.superuser(embedded::DATABASE));
        Ok(Self::with(&connector, Some(embedded)))
    }

    async fn open_url(url: &str, migrate_url: Option<&str>) -> Result<Self, DatabaseError> {
        let connector = Connector::by_url(url)?;
        let migrator = migrate_url.map(Connector::by_url).transpose()?;
        let migrator = migrator.as_ref().unwrap_or(&connector);
        let mut connection = migrator.options().connect().await?;
        migrate(&mut connection).await?;
        migrate::grant_roles(&mut connection, connector.options().get_username()).await?;
        isolation::check(&mut connection).await?;
        connection.close().await?;
        let mut connection = connector.options().connect().await?;
        warn_if_privileged(&mut connection).await?;
        connection.close().await?;
        Ok(Self::with(&connector, None))
    }

    fn with(connector: &Connector, embedded: Option<Embedded>) -> Self {
        Self {
            writer: connector.writer(),
            projector: connector.projector(),
            reader: connector.reader(),
            identity: connector.identity(),
            auditor: connector.auditor(),
            embedded,
        }
    }

    /// The sequencer's and engine's pool.
    pub fn writer(&self) -> &WriterPool {
        &self.writer
    }

    /// The projectors' pool.
    pub fn projector(&self) -> &ProjectorPool {
        &self.projector
    }

    /// The pool of requests.
    pub fn reader(&self) -> &ReaderPool {
        &self.reader
    }

    /// The pool of users, sessions, tokens and grants.
    pub fn identity(&self) -> &IdentityPool {
        &self.identity
    }

    /// The auditors' pool.
    pub fn auditor(&self) -> &AuditorPool {
        &self.auditor
    }

    /// Whether the lock on the data directory proves that no other server uses this database.
    pub fn is_sole_owner(&self) -> bool {
        self.embedded.is_some()
    }

    /// Closes the pools, then stops the private cluster. Sessions with a database that does not answer are left to it.
    ///
    /// # Errors
    /// The cluster did not stop cleanly.
    pub async fn close(self) -> Result<(), DatabaseError> {
        let closed = async {
            self.reader.close().await;
            self.identity.pool().close().await;
            self.auditor.pool().close().await;
            self.projector.pool().close().await;
            self.writer.pool().close().await;
        };
        if timeout(CLOSING, closed).await.is_err() {
            warn!("sessions of the database are left open: it does not answer");
        }
        if let Some(embedded) = self.embedded {
            embedded.stop().await?;
        }
        Ok(())
    }
}

/// Whether the database of a private cluster has this binary's schema.
///
/// # Errors
/// There is no database, or its schema is another.
async fn check_schema(superuser: &PgConnectOptions) -> Result<(), DatabaseError> {
    let mut connection = superuser.connect().await?;
    migrate::check(&mut connection).await?;
    Ok(connection.close().await?)
}

/// A superuser or owner works under SET ROLE, which a hostile statement could leave: say so.
async fn warn_if_privileged(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    const PRIVILEGED: &str = "SELECT rolsuper OR rolbypassrls
        OR pg_has_role(current_user, 'blotter_migrator', 'MEMBER') FROM pg_roles WHERE rolname = current_user";
    if sqlx::query_scalar::<_, bool>(PRIVILEGED).fetch_one(connection).await? {
        warn!(
            "the database URL logs in with more rights than the server needs; it works under SET ROLE. \
             Give --migrate-url the privileged login and --database-url a plain one"
        );
    }
    Ok(())
}

/// Where a server without a database URL keeps its cluster, when no directory is named: `/var/lib/blotter` for
/// root (the user that Postgres runs as cannot enter `/root`), else `$XDG_DATA_HOME/blotter` or
/// `~/.local/share/blotter`. None when there is no home either.
pub fn default_data_dir() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/blotter"));
    }
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("blotter"))
}
