//! A way to Postgres that is cut once, in the middle of a chosen statement: before it is forwarded, or after it was
//! executed and before its answer came back.

use std::path::PathBuf;
use std::str::FromStr;
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
}

/// What is to be cut next: the statement that has these bytes in it.
type Plan = Arc<Mutex<Option<(Vec<u8>, Cut)>>>;

/// A listening proxy. It ends with the test's runtime.
pub struct Proxy {
    plan: Plan,
    directory: Scratch,
    options: PgConnectOptions,
}

impl Proxy {
    pub fn new(database: &TestDatabase, name: &str) -> Self {
        let directory = scratch_directory(name);
        let options = PgConnectOptions::from_str(&database.url("blotter_writer")).unwrap();
        let server = options.get_socket().unwrap().join(".s.PGSQL.5432");
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let plan = Plan::default();
        tokio::spawn(accept(listener, server, Arc::clone(&plan)));
        Self { plan, directory, options }
    }

    /// The writer's pool through the proxy.
    pub fn writer(&self) -> WriterPool {
        Connector::by_login(self.options.clone().socket(self.directory.path())).writer()
    }

    /// Cuts the connection of the next statement that has `marker` in it.
    pub fn cut(&self, marker: &str, cut: Cut) {
        *self.plan.lock().unwrap() = Some((marker.as_bytes().to_vec(), cut));
    }

    /// Whether the cut was made.
    pub fn has_cut(&self) -> bool {
        self.plan.lock().unwrap().is_none()
    }
}

async fn accept(listener: UnixListener, server: PathBuf, plan: Plan) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, plan) = (server.clone(), Arc::clone(&plan));
        tokio::spawn(async move {
            forward(client, UnixStream::connect(server).await.unwrap(), plan).await
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

async fn forward(mut client: UnixStream, mut server: UnixStream, plan: Plan) {
    let (mut sent, mut answered) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Ok(length @ 1..) = read else { return };
                let cut = due(&plan, &sent[..length]);
                if cut == Some(Cut::Before) || server.write_all(&sent[..length]).await.is_err() {
                    return;
                }
                if cut == Some(Cut::After) {
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
