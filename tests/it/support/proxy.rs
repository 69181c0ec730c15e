//! A way to Postgres that is cut once, in the middle of a chosen statement: before it is forwarded, or after it was
//! executed and before its answer came back. Or it takes its time, or nothing gets through: then what is sent is taken
//! and held, as by a network that loses packets, and gets through once the way is mended. Or the database has moved: what
//! is connected gets nothing through any more, and who connects anew does.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blotter::database::{Connector, ProjectorPool, WriterPool};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

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

/// How long after it was sent a piece gets through, each way; `None` while nothing does.
type Delay = Option<Duration>;

/// The delay of those who are connected and of those who come.
type Shared = Arc<Mutex<watch::Sender<Delay>>>;

/// A listening proxy. It ends with the test's runtime.
pub struct Proxy {
    plan: Plan,
    broken: Broken,
    delay: Shared,
    /// Of what was connected before the database moved: nothing gets through, and nothing ends.
    gone: Mutex<Vec<watch::Sender<Delay>>>,
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
        let delay: Shared = Arc::new(Mutex::new(watch::channel(Some(Duration::ZERO)).0));
        let delays = Arc::clone(&delay);
        tokio::spawn(accept(listener, server, Arc::clone(&plan), Arc::clone(&broken), delays));
        Self { plan, broken, delay, gone: Mutex::default(), directory, options }
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

    /// The projector's pool through the proxy.
    pub fn projector(&self) -> ProjectorPool {
        Connector::by_login(self.options.clone().socket(self.directory.path())).projector()
    }

    /// Cuts the connection of the next statement that has `marker` in it.
    pub fn cut(&self, marker: &str, cut: Cut) {
        *self.plan.lock().unwrap() = Some((marker.as_bytes().to_vec(), cut));
    }

    /// Has everything take `delay` longer, each way.
    pub fn slow_down(&self, delay: Duration) {
        self.delay.lock().unwrap().send_replace(Some(delay));
    }

    /// Lets nothing through, and tells nobody, neither of an end.
    pub fn fall_silent(&self) {
        self.delay.lock().unwrap().send_replace(None);
    }

    /// Lets nothing through of what is connected, for ever, and tells nobody; new connections get through.
    pub fn move_away(&self) {
        let new = watch::channel(Some(Duration::ZERO)).0;
        let old = std::mem::replace(&mut *self.delay.lock().unwrap(), new);
        old.send_replace(None);
        self.gone.lock().unwrap().push(old);
    }

    /// Lets new connections through again, and all at once that is held or late.
    pub fn mend(&self) {
        self.broken.store(false, Ordering::SeqCst);
        self.delay.lock().unwrap().send_replace(Some(Duration::ZERO));
    }

    /// Whether the cut was made.
    pub fn has_cut(&self) -> bool {
        self.plan.lock().unwrap().is_none()
    }
}

async fn accept(
    listener: UnixListener,
    server: PathBuf,
    plan: Plan,
    broken: Broken,
    delays: Shared,
) {
    while let Ok((client, _)) = listener.accept().await {
        if broken.load(Ordering::SeqCst) {
            continue;
        }
        let (server, plan, broken) = (server.clone(), Arc::clone(&plan), Arc::clone(&broken));
        let mut delay = delays.lock().unwrap().subscribe();
        tokio::spawn(async move {
            if delay.wait_for(Option::is_some).await.is_err() {
                return;
            }
            let server = UnixStream::connect(server).await.unwrap();
            forward(client, server, plan, broken, delay).await;
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

/// A way to `end`, on which each piece arrives as late as it has to. What is on it arrives also when its beginning is
/// dropped; then `end` is closed.
fn way(
    mut end: OwnedWriteHalf,
    mut delay: watch::Receiver<Delay>,
) -> mpsc::UnboundedSender<(Instant, Vec<u8>)> {
    let (beginning, mut pieces) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        loop {
            let piece = pieces.recv().await;
            let taken = piece.as_ref().map_or_else(Instant::now, |(taken, _)| *taken);
            loop {
                let late = *delay.borrow_and_update();
                let arrival = async {
                    match late {
                        Some(late) => sleep_until(taken + late).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = arrival => break,
                    changed = delay.changed() => if changed.is_err() { return },
                }
            }
            let Some((_, piece)) = piece else { return };
            if end.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    beginning
}

async fn forward(
    client: UnixStream,
    server: UnixStream,
    plan: Plan,
    broken: Broken,
    delay: watch::Receiver<Delay>,
) {
    let ((mut client, to_client), (mut server, to_server)) =
        (client.into_split(), server.into_split());
    let (to_client, to_server) = (way(to_client, delay.clone()), way(to_server, delay));
    let (mut sent, mut answered) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Ok(length @ 1..) = read else { return };
                let cut = due(&plan, &sent[..length]);
                if cut == Some(Cut::Before)
                    || to_server.send((Instant::now(), sent[..length].to_vec())).is_err()
                {
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
                if to_client.send((Instant::now(), answered[..length].to_vec())).is_err() {
                    return;
                }
            }
        }
    }
}
