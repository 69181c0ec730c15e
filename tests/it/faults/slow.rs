//! A database that is slow or silent while the server has clients, and then is itself again: callers are told in time
//! what is known, whoever asks whether the process lives is answered at once, and everything goes on by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blotter::ledger::postgres::LEASE;
use reqwest::{Client, StatusCode};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::rivals::epochs;
use super::workload::{Record, Told, Workload};
use super::{
    PATIENCE, says_that_it_is_unknown, says_that_nothing_happened, until, verify_database, writes,
};
use crate::support::proxy::Proxy;
use crate::support::rest::Answer;
use crate::support::{Scratch, Server, TestDatabase, scratch_directory};

/// A request takes no longer, by the document: whatever happens behind it.
const STATED: Duration = Duration::from_secs(30);
/// `/livez` asks nobody.
const AT_ONCE: Duration = Duration::from_secs(2);
/// `/readyz` asks the database, and gives it two seconds.
const SOON: Duration = Duration::from_secs(5);
/// Connections of one server: what its pools have at the most, the writer's own, and one that listens.
const CONNECTIONS: i64 = 4 + 8 + 16 + 8 + 4 + 2;

/// A server that reaches its database by a way that can be made worse.
struct Far {
    server: Server,
    proxy: Proxy,
    _keys: Scratch,
}

impl Far {
    async fn new(database: &TestDatabase, name: &str) -> Self {
        let (proxy, keys) = (Proxy::new(database, &format!("{name}-way")), scratch_directory(name));
        let server = Server::launch_with(keys.path(), &["--database-url", &proxy.url("postgres")]);
        writes(&server).await;
        Self { server, proxy, _keys: keys }
    }
}

/// What whoever asks a path all the time was answered.
#[derive(Debug, Default)]
struct Asked {
    /// How often with which status.
    answers: BTreeMap<u16, u32>,
    slowest: Duration,
}

/// Ask a server all the time whether it lives and whether it is ready.
struct Probes {
    stop: CancellationToken,
    alive: JoinHandle<Asked>,
    ready: JoinHandle<Asked>,
}

impl Probes {
    fn start(server: &Server) -> Self {
        let stop = CancellationToken::new();
        let [alive, ready] = ["/livez", "/readyz"].map(|path| {
            let (stop, url) = (stop.clone(), format!("{}{path}", server.base()));
            tokio::spawn(async move {
                let (client, mut asked) = (Client::new(), Asked::default());
                while !stop.is_cancelled() {
                    let begun = Instant::now();
                    let answer = client.get(&url).send().await.unwrap();
                    asked.slowest = asked.slowest.max(begun.elapsed());
                    *asked.answers.entry(answer.status().as_u16()).or_default() += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                asked
            })
        });
        Self { stop, alive, ready }
    }

    /// How often the server was ready, and how often not; every answer came in time.
    async fn stop(self) -> [u32; 2] {
        self.stop.cancel();
        let (alive, ready) = (self.alive.await.unwrap(), self.ready.await.unwrap());
        println!("alive: {alive:?}, ready: {ready:?}");
        assert!(alive.answers.keys().eq(&[200]), "{alive:?}");
        assert!(alive.slowest < AT_ONCE, "{alive:?}");
        assert!(ready.slowest < SOON, "{ready:?}");
        [200, 503].map(|status| ready.answers.get(&status).copied().unwrap_or_default())
    }
}

/// Waits until the views contain what the log does, so that reads need not wait.
async fn caught_up(server: &Server) {
    let up = |status, health: &Value| {
        let views = health["views"].as_array().into_iter().flatten();
        status == 200 && health["writer"] == true && views.clone().all(|view| view["lag"] == 0)
    };
    until(server, up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distant_database_makes_orders_slow_and_loses_none() {
    const EACH_WAY: Duration = Duration::from_millis(200);
    let database = TestDatabase::new().await;
    let far = Far::new(&database, "distant").await;
    let (server, proxy) = (&far.server, &far.proxy);
    let workload = Workload::begin(server).await;
    proxy.slow_down(EACH_WAY);
    let (probes, begun) = (Probes::start(server), Instant::now());
    let (mut record, load) = (Record::new(), workload.start(server.base(), "distant", 4));
    assert!(matches!(workload.place(server.base(), "one").await, Told::Acked(_)));
    let took = begun.elapsed();
    assert!(took >= 2 * EACH_WAY, "the way is slow: {took:?}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let acked = load.stop(&mut record).await;
    let [ready, unready] = probes.stop().await;
    println!("{acked} orders acknowledged in {:?}, the first in {took:?}", begun.elapsed());
    // A connection that took too long to be made is there for who asks next.
    assert!(ready > 0 && unready < 4, "{ready} times ready, {unready} times not");
    for (id, told) in &record {
        assert!(matches!(told[..], [Told::Acked(_)]), "{id}: {told:?}");
    }
    record.insert("one".to_owned(), vec![workload.place(server.base(), "one").await]);

    proxy.mend();
    caught_up(server).await;
    workload.check(server, &record).await;
    verify_database(&database).await;
}

/// What an answer says that came after so long, in time.
fn told(answer: &Answer, took: Duration) -> Told {
    println!("after {took:?}: {} {}", answer.status, answer.json()["code"]);
    assert!(took < STATED + AT_ONCE, "{took:?}: {answer:?}");
    if answer.status == StatusCode::CREATED {
        return Told::Acked(answer.json()["order_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(answer.headers["retry-after"], "1");
    let unknown = says_that_it_is_unknown(answer);
    assert!(unknown || says_that_nothing_happened(answer), "{answer:?}");
    if unknown { Told::Unknown } else { Told::Refused }
}

/// Has the way of a server made worse under load until clients were told about it, and mended.
async fn told_in_time_and_goes_on(name: &str, worsen: impl Fn(&Proxy)) {
    let database = TestDatabase::new().await;
    let far = Far::new(&database, name).await;
    let (server, proxy) = (&far.server, &far.proxy);
    let workload = Workload::begin(server).await;
    let (mut record, load) = (Record::new(), workload.start(server.base(), name, 2));
    tokio::time::sleep(Duration::from_millis(500)).await;
    worsen(proxy);
    let (probes, begun) = (Probes::start(server), Instant::now());
    // Some are in the batch that meets it, some are sent into it.
    let mut callers = JoinSet::new();
    for n in 0..4 {
        let (workload, base) = (workload.clone(), server.base().to_owned());
        callers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(100) * n).await;
            let (id, sent) = (format!("told-{n}"), Instant::now());
            (workload.place_once(&base, &id).await.unwrap(), id, sent.elapsed())
        });
    }
    // Whoever is told that it could not be done in time is enough; the others hear when the way is mended.
    while let Some(caller) = callers.join_next().await {
        let (answer, id, took) = caller.unwrap();
        let told = told(&answer, took);
        let in_the_dark = told == Told::Unknown;
        record.insert(id, vec![told]);
        if in_the_dark {
            break;
        }
    }
    assert!(record.values().any(|told| told.contains(&Told::Unknown)), "{record:?}");
    let [_, unready] = probes.stop().await;
    assert!(unready > 0, "it said that it is not ready");
    let bad = begun.elapsed();

    proxy.mend();
    let mended = Instant::now();
    writes(server).await;
    workload.settle(server.base(), "again").await;
    record.insert("again".to_owned(), vec![Told::Unknown]);
    println!("commands are taken {:?} after {bad:?} of it", mended.elapsed());
    assert!(mended.elapsed() < PATIENCE / 2);
    while let Some(caller) = callers.join_next().await {
        let (answer, id, took) = caller.unwrap();
        record.insert(id, vec![told(&answer, took)]);
    }
    assert!(load.stop(&mut record).await > 0);
    caught_up(server).await;
    workload.check(server, &record).await;
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND pid <> pg_backend_pid()";
    let mut superuser = database.superuser().await;
    let connections: i64 = sqlx::query_scalar(connections).fetch_one(&mut superuser).await.unwrap();
    assert!(connections <= CONNECTIONS, "{connections} connections are left");
    verify_database(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crawling_database_is_told_of_in_time_and_left_behind_once_it_is_quick() {
    told_in_time_and_goes_on("crawling", |proxy| proxy.slow_down(Duration::from_secs(3))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_is_told_of_in_time_and_heard_again() {
    told_in_time_and_goes_on("silent", Proxy::fall_silent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_database_is_silent_is_followed_within_its_lease_and_writes_no_more() {
    let database = TestDatabase::new().await;
    let far = Far::new(&database, "cut-off").await;
    let (first, proxy) = (&far.server, &far.proxy);
    let workload = Workload::begin(first).await;
    let keys = scratch_directory("heir");
    let url = database.url("postgres");
    let second = Server::launch_with(keys.path(), &["--database-url", &url]);
    until(&second, |status, health| status == 200 && health["writer"] == false).await;
    let (mut record, early) = (Record::new(), workload.start(first.base(), "early", 4));
    tokio::time::sleep(Duration::from_millis(500)).await;

    proxy.fall_silent();
    let silent = Instant::now();
    writes(&second).await;
    let took = silent.elapsed();
    println!("the other writes {took:?} after the writer's database fell silent");
    assert!(took < 2 * LEASE, "{took:?}");
    let later = workload.start(second.base(), "late", 2);
    let sent = Instant::now();
    // It does not know yet, and promises nothing.
    let answer = workload.place_once(first.base(), "in-the-dark").await.unwrap();
    let told = told(&answer, sent.elapsed());
    assert!(!matches!(told, Told::Acked(_)), "{answer:?}");
    record.insert("in-the-dark".to_owned(), vec![told]);
    let position = "SELECT position FROM ledger_head";
    let mut superuser = database.superuser().await;
    let before: i64 = sqlx::query_scalar(position).fetch_one(&mut superuser).await.unwrap();

    // The batch that was under way arrives now, and what its clients sent meanwhile is there to be written.
    proxy.mend();
    until(first, |status, health| status == 200 && health["writer"] == false).await;
    let refused = workload.place_once(first.base(), "refused").await.unwrap();
    assert!(says_that_nothing_happened(&refused), "{refused:?}");
    assert!(early.stop(&mut record).await > 0);
    assert!(later.stop(&mut record).await > 0);
    let epochs = epochs(&database).await;
    assert!(epochs.is_sorted());
    let since = &epochs[usize::try_from(before).unwrap()..];
    assert!(since.iter().all(|epoch| Some(epoch) == epochs.last()), "{since:?}");
    caught_up(&second).await;
    workload.check(&second, &record).await;
    verify_database(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_database_is_silent_stops_all_the_same_and_says_what_it_left() {
    let database = TestDatabase::new().await;
    let mut far = Far::new(&database, "stops").await;
    Workload::begin(&far.server).await;
    far.proxy.fall_silent();
    // By now everything that looks at the database now and then waits for it.
    until(&far.server, |status, _| status == 503).await;
    far.server.signal(Signal::TERM);
    let asked = Instant::now();
    let code = far.server.wait().code();
    println!("stopped in {:?}", asked.elapsed());
    assert_eq!(code, Some(1));
    let log = far.server.rest_of_log();
    assert!(
        log.iter().any(|line| line.starts_with("blotter: the database does not answer")),
        "{log:#?}"
    );
    verify_database(&database).await;
}

/// As by a failover that tells nobody: what is connected never hears anything again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_whether_it_is_ready_keeps_no_connection_that_never_answers_again() {
    /// More than one pool has connections.
    const AT_ONCE: usize = 20;
    let database = TestDatabase::new().await;
    let far = Far::new(&database, "moved-away").await;
    let ask = async || {
        let (client, url) = (Client::new(), format!("{}/readyz", far.server.base()));
        let asked = (0..AT_ONCE).map(|_| async {
            let health: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
            health["database"].as_bool().unwrap()
        });
        futures::future::join_all(asked).await
    };
    // So slow that each waits for another connection than the others.
    far.proxy.slow_down(Duration::from_millis(100));
    ask().await;
    far.proxy.mend();
    assert!(!ask().await.contains(&false));
    far.proxy.move_away();
    let moved = Instant::now();
    assert!(!ask().await.contains(&true), "every connection is of before");
    until(&far.server, |_, health| health["database"] == true).await;
    println!("the database answers again {:?} after it moved", moved.elapsed());
    assert!(!ask().await.contains(&false));
}
