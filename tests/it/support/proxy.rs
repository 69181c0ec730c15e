//! A way to Postgres that is cut once, in the middle of a chosen statement: before it is forwarded, or after it was
//! executed and before its answer came back.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use blotter::database::{Connector, WriterPool};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::postgres::Scratch;
use super::{TestDatabase, scratch_directory};

/// Where the way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The statement never arrives.
    Before,
    /// The statement is executed, its answer never arrives.
    After,
    /// The same, and nobody gets through anew before [`Proxy::mend`].
    AfterForGood,
}

/// What is to be cut next: the statement that has these bytes in it.
type Plan = Arc<Mutex<Option<(Vec<u8>, Cut)>>>;
/// Whether new connections are dropped.
type Broken = Arc<AtomicBool>;

/// A listening proxy. It ends with the test's runtime.
pub struct Proxy {
    plan: Plan,
    broken: Broken,
    directory: Scratch,
    options: PgConnectOptions,
}

impl Proxy {
    pub fn new(database: &TestDatabase, name: &str) -> Self {
        let directory = scratch_directory(name);
        let options = PgConnectOptions::from_str(&database.url("blotter_writer")).unwrap();
        let server = options.get_socket().unwrap().join(".s.PGSQL.5432");
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let (plan, broken) = (Plan::default(), Broken::default());
        tokio::spawn(accept(listener, server, Arc::clone(&plan), Arc::clone(&broken)));
        Self { plan, broken, directory, options }
    }

    /// The database as a URL for `login` through the proxy, as `--database-url` takes it.
    pub fn url(&self, login: &str) -> String {
        let socket = self.directory.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{login}@{socket}:5432/{}", self.options.get_database().unwrap())
    }

    /// The writer's pool through the proxy.
    pub fn writer(&self) -> WriterPool {
        Connector::by_login(self.options.clone().socket(self.directory.path())).writer()
    }

    /// Cuts the connection of the next statement that has `marker` in it.
    pub fn cut(&self, marker: &str, cut: Cut) {
        *self.plan.lock().unwrap() = Some((marker.as_bytes().to_vec(), cut));
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.broken.store(false, Ordering::SeqCst);
    }

    /// Whether the cut was made.
    pub fn has_cut(&self) -> bool {
        self.plan.lock().unwrap().is_none()
    }
}

async fn accept(listener: UnixListener, server: PathBuf, plan: Plan, broken: Broken) {
    while let Ok((client, _)) = listener.accept().await {
        if broken.load(Ordering::SeqCst) {
            continue;
        }
        let (server, plan, broken) = (server.clone(), Arc::clone(&plan), Arc::clone(&broken));
        tokio::spawn(async move {
            forward(client, UnixStream::connect(server).await.unwrap(), plan, broken).await
        });
    }
}

fn due(plan: &Plan, sent: &[u8]) -> Option<Cut> {
    let mut plan = plan.lock().unwrap();
    let met = plan.as_ref().is_some_and(|(marker, _)| {
        sent.windows(marker.len()).any(|part| part == marker.as_slice())
    });
    if met { plan.take().map(|(_, cut)| cut) } else { None }
}

async fn forward(mut client: UnixStream, mut server: UnixStream, plan: Plan, broken: Broken) {
    let (mut sent, mut answered) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Ok(length @ 1..) = read else { return };
                let cut = due(&plan, &sent[..length]);
                if cut == Some(Cut::Before) || server.write_all(&sent[..length]).await.is_err() {
                    return;
                }
                if cut == Some(Cut::AfterForGood) {
                    broken.store(true, Ordering::SeqCst);
                }
                if matches!(cut, Some(Cut::After | Cut::AfterForGood)) {
                    // That it answers says that it was executed; nobody hears what.
                    server.readable().await.unwrap();
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
