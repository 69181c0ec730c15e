//! One type of pool for each role, so that code which serves a request cannot be handed the writer's.
//!
//! Opening a pool opens no connection; the first use does. A connection is made its role once, when it is opened.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aggregates::id::{AccountId, TenantId};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, PgPool, Postgres, Transaction};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::DatabaseError;
use super::roles::Role;

/// How long a read that has changed nothing yet waits for a connection, when all are in use.
const SOON: Duration = Duration::from_millis(500);
/// How long everything else does.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that answered so lately is taken to be alive: to ask each time would be a round trip of each read.
const FRESH: Duration = Duration::from_secs(1);
/// How a read begins.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How to reach the database as a role.
#[derive(Clone, Debug)]
pub struct Connector {
    options: PgConnectOptions,
    /// Connections log in as the role itself, rather than switching to it.
    login: bool,
}

impl Connector {
    /// Reaches a database by its URL and works by `SET ROLE`.
    ///
    /// # Errors
    /// The text is not a Postgres URL.
    pub fn by_url(url: &str) -> Result<Self, DatabaseError> {
        let options = PgConnectOptions::from_str(url).map_err(DatabaseError::Url)?;
        Ok(Self { options, login: false })
    }

    /// Logs in as each role directly; `options` names the host and the database.
    pub fn by_login(options: PgConnectOptions) -> Self {
        Self { options, login: true }
    }

    /// The login that connections start as.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    fn options_for(&self, role: Role) -> PgConnectOptions {
        let options = self.options.clone().application_name(role.name());
        if self.login { options.username(role.name()) } else { options }
    }

    async fn connect(&self, role: Role) -> Result<PgConnection, DatabaseError> {
        let mut connection = self.options_for(role).connect().await?;
        connection.execute(role.session(self.login).as_str()).await?;
        Ok(connection)
    }

    fn pool(&self, role: Role, connections: u32) -> PgPool {
        let session: Arc<str> = role.session(self.login).into();
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .before_acquire(|connection, used| {
                Box::pin(async move {
                    if used.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let session = Arc::clone(&session);
                Box::pin(async move { connection.execute(&*session).await.map(drop) })
            })
            .connect_lazy_with(self.options_for(role))
    }

    /// The sequencer's and engine's pool.
    pub fn writer(&self) -> WriterPool {
        WriterPool { pool: self.pool(Role::Writer, 4), connector: self.clone() }
    }

    /// The projectors' pool.
    pub fn projector(&self) -> ProjectorPool {
        ProjectorPool(self.pool(Role::Projector, 8))
    }

    /// The pool of requests.
    pub fn reader(&self) -> ReaderPool {
        ReaderPool(Readers::new(self.pool(Role::Reader, 16)))
    }

    /// The pool of users, sessions, tokens and grants.
    pub fn identity(&self) -> IdentityPool {
        IdentityPool(self.pool(Role::Identity, 8))
    }

    /// The auditors' pool.
    pub fn auditor(&self) -> AuditorPool {
        AuditorPool(Readers::new(self.pool(Role::Auditor, 4)))
    }
}

/// Appends to log and tape. Held by the sequencer and the engine alone.
#[derive(Clone, Debug)]
pub struct WriterPool {
    pool: PgPool,
    connector: Connector,
}

impl WriterPool {
    /// Connections for loaders, look-ups and the lease.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection outside the pool: appends never queue behind anything else, and a commit whose answer was
    /// lost is settled on a new one.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn connect(&self) -> Result<PgConnection, DatabaseError> {
        self.connector.connect(Role::Writer).await
    }
}

/// Writes query views and their checkpoints. Held by the projectors alone.
#[derive(Clone, Debug)]
pub struct ProjectorPool(PgPool);

impl ProjectorPool {
    /// The connections.
    pub fn pool(&self) -> &PgPool {
        &self.0
    }

    /// A connection outside the pool, for listening.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn listener(&self) -> Result<sqlx::postgres::PgListener, DatabaseError> {
        Ok(sqlx::postgres::PgListener::connect_with(&self.0).await?)
    }
}

/// Begins a transaction in a task of its own, which ends as it began. A caller that goes away in the middle would give a
/// connection back on which one is open that nobody knows of: what the next ones write on it would be part of that, and gone
/// with it. Or it would cost the connection.
async fn begun(
    pool: &PgPool,
    statement: impl Into<Cow<'static, str>>,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let (pool, statement) = (pool.clone(), statement.into());
    let begin = tokio::spawn(async move { pool.begin_with(statement).await });
    begin.await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

/// A read-only transaction with one snapshot, and its place among those of the pool.
#[derive(Debug)]
pub struct Read {
    transaction: Transaction<'static, Postgres>,
    _place: OwnedSemaphorePermit,
}

impl Deref for Read {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Read {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}

/// Connections that reads take turns on.
#[derive(Clone, Debug)]
struct Readers {
    pool: PgPool,
    /// One for each connection: who waits, waits here, where it costs nothing to give up.
    places: Arc<Semaphore>,
}

impl Readers {
    fn new(pool: PgPool) -> Self {
        let places = pool.options().get_max_connections();
        let places = Arc::new(Semaphore::new(usize::try_from(places).unwrap_or(usize::MAX)));
        Self { pool, places }
    }

    async fn begin(
        &self,
        patience: Duration,
        statement: impl Into<Cow<'static, str>>,
    ) -> Result<Read, DatabaseError> {
        let place = timeout(patience, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| DatabaseError::Crowded)?;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Read { transaction: begun(&self.pool, statement).await?, _place: place })
    }
}

/// Serves requests: every read is a transaction of one tenant. There is no other way to its connections.
#[derive(Clone, Debug)]
pub struct ReaderPool(Readers);

impl ReaderPool {
    /// Starts a read-only transaction with one snapshot, that sees the rows of `tenant` (those of `account`
    /// alone, if given) and of the market. One round trip; the snapshot is taken by the first query after it.
    ///
    /// # Errors
    /// No connection within 5 s, or the database cannot be reached.
    pub async fn begin(
        &self,
        tenant: TenantId,
        account: Option<AccountId>,
    ) -> Result<Read, DatabaseError> {
        self.begin_within(PATIENCE, tenant, account).await
    }

    /// The same for who had better come again than wait long: where every connection is in use, one has to become free
    /// within half a second. Beyond that the queue only grows, and its end is answered when nobody asks any more.
    ///
    /// # Errors
    /// [`DatabaseError::Crowded`], or the database cannot be reached.
    pub async fn begin_soon(
        &self,
        tenant: TenantId,
        account: Option<AccountId>,
    ) -> Result<Read, DatabaseError> {
        self.begin_within(SOON, tenant, account).await
    }

    async fn begin_within(
        &self,
        patience: Duration,
        tenant: TenantId,
        account: Option<AccountId>,
    ) -> Result<Read, DatabaseError> {
        let account = account.map(|id| id.to_string()).unwrap_or_default();
        // The settings end with the transaction; an id is hex digits and hyphens by construction.
        let begin = format!(
            "{READ}; SET LOCAL blotter.tenant = '{tenant}'; SET LOCAL blotter.account = '{account}'"
        );
        self.0.begin(patience, begin).await
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.0.pool.close().await;
    }
}

/// Keeps users, sessions, tokens and grants. Held by `identity` alone, which asks each time who may.
#[derive(Clone, Debug)]
pub struct IdentityPool(PgPool);

impl IdentityPool {
    /// The connections, for single statements.
    pub fn pool(&self) -> &PgPool {
        &self.0
    }

    /// Starts a transaction.
    ///
    /// # Errors
    /// No connection within 5 s, or the database cannot be reached.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        begun(&self.0, "BEGIN").await
    }
}

/// Reads everything. A request gets it after an explicit check that its caller may.
#[derive(Clone, Debug)]
pub struct AuditorPool(Readers);

impl AuditorPool {
    /// The connections, for single statements.
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// Starts a read-only transaction with one snapshot over everything.
    ///
    /// # Errors
    /// No connection within 5 s, or the database cannot be reached.
    pub async fn begin(&self) -> Result<Read, DatabaseError> {
        self.0.begin(PATIENCE, READ).await
    }
}
