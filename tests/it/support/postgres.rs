//! One private cluster for the whole run, and a database of its own for each test.
//!
//! The cluster lies in the target directory (or under `/tmp`, when the user that Postgres runs as cannot get
//! there) and is kept from run to run, so that only the first run pays for making it. It runs with fsync off, is
//! stopped by the kernel when the test process ends in any way (parent-death signal), and leftovers of the run
//! before are dropped at the start. A second run at the same time takes the next free directory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use blotter::database::embedded::Options;
use blotter::database::{
    AuditorPool, Connector, Embedded, EmbeddedError, ProjectorPool, ReaderPool, WriterPool, migrate,
};
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

const TEMPLATE: &str = "template_blotter";

static CLUSTER: OnceCell<Embedded> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A migrated, empty database that only this test uses, with a pool for each role.
pub struct TestDatabase {
    name: String,
    cluster: &'static Embedded,
    pub writer: WriterPool,
    pub projector: ProjectorPool,
    pub reader: ReaderPool,
    pub auditor: AuditorPool,
}

impl TestDatabase {
    /// Copies the template.
    pub async fn new() -> Self {
        Self::copied_from(TEMPLATE).await
    }

    /// A database without any table; its pools work once it is migrated.
    pub async fn unmigrated() -> Self {
        Self::copied_from("template0").await
    }

    async fn copied_from(template: &str) -> Self {
        let cluster = CLUSTER.get_or_init(start).await;
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut superuser = cluster.superuser("postgres").connect().await.unwrap();
        // Unlike FILE_COPY, WAL_LOG makes no checkpoint of the whole cluster.
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG");
        superuser.execute(create.as_str()).await.unwrap();
        superuser.close().await.unwrap();
        let connector = Connector::by_login(cluster.superuser(&name));
        Self {
            name,
            cluster,
            writer: connector.writer(),
            projector: connector.projector(),
            reader: connector.reader(),
            auditor: connector.auditor(),
        }
    }

    /// A connection that row-level security and grants do not bind.
    pub async fn superuser(&self) -> PgConnection {
        self.cluster.superuser(&self.name).connect().await.unwrap()
    }

    /// The database as a URL for `login`, as `--database-url` takes it.
    pub fn url(&self, login: &str) -> String {
        let socket = self.cluster.superuser(&self.name);
        let socket = socket.get_socket().unwrap().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{login}@{socket}:5432/{}", self.name)
    }
}

async fn start() -> Embedded {
    let roles = include_str!("../../../migrations/0001_roles.sql");
    let digest = Sha256::digest(roles);
    let name = format!("postgres-{:02x}{:02x}", digest[0], digest[1]);
    let cluster = match open(Path::new(env!("CARGO_TARGET_TMPDIR")), &name).await {
        Err(EmbeddedError::Unreachable { .. }) => {
            open(&std::env::temp_dir().join("blotter-tests"), &name).await
        }
        other => other,
    };
    let cluster = cluster.unwrap();
    drop_leftovers(&cluster).await;
    cluster.create_database(TEMPLATE).await.unwrap();
    let mut template = cluster.superuser(TEMPLATE).connect().await.unwrap();
    migrate(&mut template).await.unwrap();
    for role in ["writer", "projector", "reader", "auditor"] {
        template.execute(format!("ALTER ROLE blotter_{role} LOGIN").as_str()).await.unwrap();
    }
    template.close().await.unwrap();
    cluster
}

/// Starts the first cluster that no other run is using.
async fn open(base: &Path, name: &str) -> Result<Embedded, EmbeddedError> {
    let settings = [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];
    for n in 0.. {
        let mut options = Options::new(base.join(format!("{name}-{n}")));
        options.settings = settings.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        match Embedded::start(options.clone()).await {
            Err(EmbeddedError::Locked { .. }) => {}
            // Without fsync a crash of the machine may have ruined it: it holds nothing worth keeping.
            Err(EmbeddedError::Start { .. }) => {
                std::fs::remove_dir_all(options.directory.join("pg")).unwrap();
                return Embedded::start(options).await;
            }
            other => return other,
        }
    }
    unreachable!("numbers do not end")
}

async fn drop_leftovers(cluster: &Embedded) {
    let mut superuser = cluster.superuser("postgres").connect().await.unwrap();
    let leftovers: Vec<String> = sqlx::query_scalar(
        "SELECT datname FROM pg_database WHERE datname ~ '^test_' OR datname = $1",
    )
    .bind(TEMPLATE)
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    for name in leftovers {
        superuser.execute(format!("DROP DATABASE {name}").as_str()).await.unwrap();
    }
    superuser.close().await.unwrap();
}

/// A new, empty directory that the user Postgres runs as can enter, removed with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Makes a directory for one test; `name` tells it from those of other tests.
pub fn scratch_directory(name: &str) -> Scratch {
    let path = std::env::temp_dir().join(format!("blotter-{}-{name}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    Scratch(path)
}
