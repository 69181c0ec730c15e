//! A server that is asked to stop: it says so at once, finishes what is under way, and leaves the log to others.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::rest::{TOKEN, send};
use crate::support::{Server, TestDatabase, scratch_directory};

/// A request that is under way for as long as the rest of its body does not come.
struct Slow {
    connection: TcpStream,
    rest: String,
}

impl Slow {
    async fn begin(base: &str) -> Self {
        let address = base.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).await.unwrap();
        let body = json!({"name": "slow", "kind": "cash", "starting_balance": "7"}).to_string();
        let head = format!(
            "POST /v1/accounts HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let (now, later) = body.split_at(10);
        connection.write_all(format!("{head}{now}").as_bytes()).await.unwrap();
        Self { connection, rest: later.to_owned() }
    }

    /// Sends the rest and gives the whole answer.
    async fn end(mut self) -> String {
        self.connection.write_all(self.rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        self.connection.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

async fn ready(server: &Server) {
    let http = reqwest::Client::new();
    for _ in 0..1_000 {
        let health: Value = http
            .get(format!("{}/readyz", server.base()))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if health["ready"] == true && health["writer"] == true {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not take commands");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_so_finishes_what_is_under_way_and_gives_the_log_back() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("stopping"));
    let url = database.url("postgres");
    let mut server = Server::launch_with(directory.path(), &["--database-url", &url]);
    ready(&server).await;
    let base = server.base().to_owned();
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let mut stream = http.get(format!("{base}/v1/stream")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let slow = Slow::begin(&base).await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    server.signal(Signal::TERM);
    let asked = Instant::now();
    let health = loop {
        let answer = send(http.get(format!("{base}/readyz"))).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            break answer.json();
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "{answer:?}");
    };
    assert_eq!((&health["stopping"], &health["ready"]), (&json!(true), &json!(false)));
    assert_eq!(send(http.get(format!("{base}/livez"))).await.status, StatusCode::OK);
    let refused =
        send(http.post(format!("{base}/v1/accounts")).bearer_auth(TOKEN).json(&json!({}))).await;
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.expect(503)["code"], "stopping");
    let mut streamed = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        streamed.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(streamed.contains("event: stopping") && streamed.contains("retry: "), "{streamed}");

    let answer = slow.end().await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(server.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let log = server.rest_of_log();
    assert!(log.last().unwrap().contains("stopped: "), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("WARN")), "a stop is no alarm: {log:#?}");
    let held =
        "SELECT count(*) FROM ledger_head WHERE owner IS NOT NULL OR lease_until IS NOT NULL";
    let held: i64 =
        sqlx::query_scalar(held).fetch_one(&mut database.superuser().await).await.unwrap();
    assert_eq!(held, 0, "the lease is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_cut_off_and_the_server_ends_all_the_same() {
    let (database, directory) = (TestDatabase::new().await, scratch_directory("stopping-cut"));
    let url = database.url("postgres");
    let mut server = Server::launch_with(directory.path(), &["--database-url", &url]);
    ready(&server).await;
    let _never = Slow::begin(server.base()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.signal(Signal::TERM);
    let asked = Instant::now();
    assert_eq!(server.wait().code(), Some(0));
    let took = asked.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(15), "{took:?}");
}
