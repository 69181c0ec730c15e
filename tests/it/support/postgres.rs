//! One private cluster for the whole run, and a database of its own for each test.
//!
//! A pristine cluster with a migrated template is made once for a state of `migrations/` and kept in the target
//! directory (or under `/tmp`, when the user that Postgres runs as cannot get there). Each run works on a copy of
//! it, which is cheaper than dropping what the run before has left. It runs with fsync off and is stopped by the
//! kernel when the test process ends in any way (parent-death signal). A second run at the same time, or another
//! process of this one, takes the next free copy.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use blotter::database::embedded::Options;
use blotter::database::{
    AuditorPool, Connector, Embedded, EmbeddedError, IdentityPool, ProjectorPool, ReaderPool, Role,
    WriterPool, migrate,
};
use rustix::fs::{FlockOperation, flock};
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
    pub identity: IdentityPool,
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
            identity: connector.identity(),
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
    let pristine = pristine().await;
    let state = pristine.parent().unwrap();
    for n in 0.. {
        let copy = state.join(n.to_string());
        // Held until the process ends, which is why it is not closed.
        match lock(&copy.with_extension("lock"), FlockOperation::NonBlockingLockExclusive) {
            Some(held) => std::mem::forget(held),
            None => continue,
        }
        // Of a killed run, Postgres may still be on its way out: then removing fails, and the next copy will do.
        if copy.exists() && std::fs::remove_dir_all(&copy).is_err() {
            continue;
        }
        copy_directory(pristine, &copy);
        return Embedded::start(options(&copy)).await.unwrap();
    }
    unreachable!("numbers do not end")
}

/// The data directory with the cluster that all others are copied from; nothing runs in it.
async fn pristine() -> &'static Path {
    static PRISTINE: OnceCell<PathBuf> = OnceCell::const_new();
    let made = PRISTINE.get_or_init(|| async {
        match pristine_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).await {
            Err(EmbeddedError::Unreachable { .. }) => {
                pristine_in(&std::env::temp_dir().join("blotter-tests")).await
            }
            other => other,
        }
        .unwrap()
    });
    made.await
}

async fn pristine_in(base: &Path) -> Result<PathBuf, EmbeddedError> {
    let state = base.join(format!("postgres-{}", digest_of_migrations()));
    let pristine = state.join("pristine");
    std::fs::create_dir_all(&state).unwrap();
    let _making = lock(&state.join("making"), FlockOperation::LockExclusive).unwrap();
    if !pristine.exists() {
        remove_other_states(base, &state);
        make_pristine(&state.join("new")).await?;
        std::fs::rename(state.join("new"), &pristine).unwrap();
    }
    Ok(pristine)
}

fn copy_directory(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success(), "copying {} to {}", from.display(), to.display());
}

fn options(directory: &Path) -> Options {
    let settings = [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Options { settings, ..Options::new(directory) }
}

async fn make_pristine(directory: &Path) -> Result<(), EmbeddedError> {
    if directory.exists() {
        std::fs::remove_dir_all(directory).unwrap();
    }
    let cluster = Embedded::start(options(directory)).await?;
    cluster.create_database(TEMPLATE).await.unwrap();
    let mut template = cluster.superuser(TEMPLATE).connect().await.unwrap();
    migrate(&mut template).await.unwrap();
    for role in Role::ALL {
        template.execute(format!("ALTER ROLE {} LOGIN", role.name()).as_str()).await.unwrap();
    }
    template.close().await.unwrap();
    cluster.stop().await
}

/// Removes what was made for other migrations, unless a run is using it.
fn remove_other_states(base: &Path, state: &Path) {
    for entry in std::fs::read_dir(base).unwrap() {
        let other = entry.unwrap().path();
        let is_state = other
            .file_name()
            .is_some_and(|name| name.to_str().is_some_and(|name| name.starts_with("postgres-")));
        if is_state && other != state {
            let free = |path: &Path| lock(path, FlockOperation::NonBlockingLockExclusive).is_some();
            if free(&other.join("making")) && free(&other.join("0.lock")) {
                std::fs::remove_dir_all(&other).unwrap();
            }
        }
    }
}

fn digest_of_migrations() -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let files = std::fs::read_dir(directory).unwrap();
    let files: BTreeSet<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(std::fs::read(file).unwrap());
    }
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The file at `path`, locked until it is closed; none when another process holds it.
fn lock(path: &Path, how: FlockOperation) -> Option<File> {
    let file = File::create(path).unwrap();
    match flock(&file, how) {
        Ok(()) => Some(file),
        Err(rustix::io::Errno::WOULDBLOCK) => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
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
        // A process that is being stopped may put one more file there in between.
        for _ in 0..50 {
            if std::fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Makes a directory for one test; `name` tells whose it is.
pub fn scratch_directory(name: &str) -> Scratch {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let (process, n) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(format!("blotter-{process}-{n}-{name}"));
    std::fs::create_dir(&path).unwrap();
    Scratch(path)
}

/// Makes a directory for one test with a cluster in it, for tests that are not about how it is made.
pub async fn scratch_with_cluster(name: &str) -> Scratch {
    let scratch = scratch_directory(name);
    copy_directory(&pristine().await.join("pg"), &scratch.path().join("pg"));
    scratch
}
