//! A private Postgres: a cluster in `DIR/pg`, run from the system's binaries for as long as this process lives.
//!
//! Guarantees:
//! - One server per directory: `DIR/lock` is held (flock) until the cluster has stopped.
//! - Durable: fsync on, data checksums on, synchronous commit.
//! - Unreachable from outside: no TCP. The socket lies in a directory of mode 0700 that belongs to the user that
//!   Postgres runs as. Sessions on it are trusted (`pg_hba.conf` says `trust` for local, `reject` for the rest):
//!   whoever may enter that directory is this user or root, and could read the data files anyway.
//! - Stopped with the server: on [`Embedded::stop`], on drop, and by the kernel when the process is killed
//!   (Linux). If a Postgres of this directory is left over all the same, the next start stops it first.
//! - Restarted when it dies while the server lives.
//! - Works as root, whom Postgres refuses: it then runs as `postgres`, else as `nobody`.
//!
//! Costs 1.2 s for a new cluster, 0.2 s later, 0.1 s to stop; none of it on the path of a command.

mod binaries;
mod cluster;
mod lock;
mod supervisor;
mod user;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::oneshot;

pub use self::lock::claim;
use self::supervisor::{Stop, Supervisor};
use super::{DatabaseError, data_directory};

/// The name of the database in the private cluster.
pub const DATABASE: &str = "blotter";

/// The superuser of the private cluster, used to create the database and to migrate.
const SUPERUSER: &str = "postgres";

/// The port is only a part of the socket's name.
const PORT: u16 = 5432;

/// What to run and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; the cluster goes into `pg` in it. It is made when missing, else left as it is.
    pub directory: PathBuf,
    /// Where `postgres` and `initdb` are, when they are not to be searched.
    pub binaries: Option<PathBuf>,
    /// Server settings that come after our own, and win. Tests that are not about durability switch fsync off.
    pub settings: Vec<(String, String)>,
    /// How long another server that holds the directory is waited for.
    pub patience: Duration,
}

impl Options {
    /// A cluster in `directory`, with binaries searched for.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            binaries: None,
            settings: Vec::new(),
            patience: lock::PATIENCE,
        }
    }
}

/// Where in a data directory its cluster is.
pub fn cluster_of(data_dir: &Path) -> PathBuf {
    data_dir.join("pg")
}

/// How to reach the blotter database of the cluster that a server runs on this data directory, by what its Postgres
/// has written down; a role has still to be chosen. `None` when nothing is written down.
pub fn running(directory: &Path) -> Option<PgConnectOptions> {
    let written = std::fs::read_to_string(cluster_of(directory).join("postmaster.pid")).ok()?;
    let mut lines = written.lines().skip(3);
    let port = lines.next()?.trim().parse().ok()?;
    let socket = lines.next().filter(|socket| !socket.is_empty())?;
    let options = PgConnectOptions::new_without_pgpass().socket(socket).port(port);
    Some(options.ssl_mode(PgSslMode::Disable).database(DATABASE))
}

/// Why the private cluster does not run, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// There are no server binaries.
    #[error(
        "no Postgres server binaries found (searched {searched}). Install them (Debian, Ubuntu: apt-get install \
         postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@17), name their \
         directory with --postgres-bin-dir, or use another server with --database-url"
    )]
    NoBinaries {
        /// The places that were looked at.
        searched: String,
    },
    /// The binaries cannot run this cluster.
    #[error(
        "the cluster in {directory} was made by Postgres {cluster}, but the binaries found are {found}: install \
         Postgres {cluster} beside them, or upgrade the cluster with pg_upgrade"
    )]
    WrongVersion {
        /// The cluster's directory.
        directory: PathBuf,
        /// The cluster's major version.
        cluster: u32,
        /// The major versions at hand.
        found: String,
    },
    /// The binaries are too old.
    #[error("the Postgres binaries found are {found}; at least 15 is needed")]
    TooOld {
        /// The major versions at hand.
        found: String,
    },
    /// Another server runs on this directory.
    #[error("another blotter is running on the data directory {directory}")]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// Another server holds this directory and has no database to come to.
    #[error(
        "another blotter is running on the data directory {directory}, and has no database there yet: wait until it \
         serves, or name the database that it uses with --database-url"
    )]
    NothingBeside {
        /// The data directory.
        directory: PathBuf,
    },
    /// The user that Postgres must run as cannot get there.
    #[error(
        "Postgres refuses to run as root and runs as user {user:?}, who cannot enter {directory}: every directory \
         above it must be open to that user. Choose another with --data-dir, for example /var/lib/blotter"
    )]
    Unreachable {
        /// The data directory.
        directory: PathBuf,
        /// The user.
        user: String,
    },
    /// Root, and nobody to run as.
    #[error(
        "Postgres refuses to run as root, and there is neither a user postgres nor a user nobody to run as"
    )]
    NoUser,
    /// The short directory for the socket belongs to somebody else.
    #[error(
        "the socket directory {directory} is not a private directory of the user that Postgres runs as"
    )]
    SocketDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb failed: {output}")]
    Initdb {
        /// What it said.
        output: String,
    },
    /// Postgres did not come up.
    #[error("Postgres did not start: {reason}. The end of {log}:\n{tail}")]
    Start {
        /// What happened.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A process of an earlier run holds the cluster and does not end.
    #[error("process {pid} of an earlier run still uses {directory} and does not stop")]
    Orphan {
        /// The process.
        pid: u32,
        /// The cluster's directory.
        directory: PathBuf,
    },
    /// Postgres had to be stopped by force; it recovers at the next start.
    #[error("Postgres did not stop cleanly: {reason}")]
    Stop {
        /// What happened.
        reason: String,
    },
    /// A file or a directory.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// Names the path in an I/O error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError + '_ {
    move |source| EmbeddedError::File { path: path.to_owned(), source }
}

/// A running private cluster. Dropping it stops Postgres and waits for that, up to 15 s.
#[derive(Debug)]
pub struct Embedded {
    directory: PathBuf,
    socket: PathBuf,
    supervisor: Supervisor,
}

impl Embedded {
    /// Starts the cluster, after making it when it is not there, and returns when it takes connections.
    ///
    /// # Errors
    /// See [`EmbeddedError`].
    pub async fn start(options: Options) -> Result<Self, EmbeddedError> {
        let (answer, started) = oneshot::channel();
        let supervisor = Supervisor::spawn(move |stop| {
            let prepared = prepare(options, stop).and_then(|plan| Ok((plan.launch(stop)?, plan)));
            match prepared {
                Ok((child, plan)) => {
                    let places = (plan.directory().to_owned(), plan.socket().to_owned());
                    // Nobody waits any more: the owner is gone, and `stop` says so at once.
                    let _ = answer.send(Ok(places));
                    plan.supervise(child, stop)
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                    Ok(())
                }
            }
        })?;
        let (directory, socket) =
            started.await.expect("the supervisor answers before its thread ends")?;
        Ok(Self { directory, socket, supervisor })
    }

    /// The cluster's directory, `DIR/pg`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How the superuser reaches `database` of this cluster.
    pub fn superuser(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket)
            .port(PORT)
            .ssl_mode(PgSslMode::Disable)
            .username(SUPERUSER)
            .database(database)
    }

    /// Creates `database` unless it is there.
    ///
    /// # Errors
    /// Postgres refuses or cannot be reached.
    pub async fn create_database(&self, database: &str) -> Result<(), DatabaseError> {
        const DUPLICATE_DATABASE: &str = "42P04";
        let mut connection = self.superuser("postgres").connect().await?;
        let created = sqlx::raw_sql(&format!("CREATE DATABASE \"{database}\""))
            .execute(&mut connection)
            .await;
        connection.close().await?;
        match created {
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(DUPLICATE_DATABASE) =>
            {
                Ok(())
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Stops Postgres: open sessions are ended, everything is written down, the lock is let go.
    ///
    /// # Errors
    /// It had to be stopped by force. What was committed is safe, and the next start recovers.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        tokio::task::spawn_blocking(move || self.supervisor.stop())
            .await
            .expect("stopping does not panic and is not aborted")
    }
}

/// Everything before Postgres itself: lock, user, binaries, cluster, orphans, socket.
fn prepare(options: Options, stop: &Stop) -> Result<cluster::Plan, EmbeddedError> {
    data_directory::make(&options.directory).map_err(at(&options.directory))?;
    let directory = options.directory.canonicalize().map_err(at(&options.directory))?;
    let lock = lock::take(&directory, options.patience, stop)?;
    let user = user::User::to_run_as()?;
    let candidates = binaries::candidates(options.binaries.as_deref())?;
    user.check_reaches(&directory)?;
    cluster::Plan::new(&directory, lock, user, &candidates, options.settings)
}
