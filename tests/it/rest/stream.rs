//! The stream of events: each once, in order, from any position on, and only the caller's.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::rest::{TestRest, instrument};

/// One message of a stream.
#[derive(Debug, Default)]
struct Message {
    id: Option<u64>,
    event: Option<String>,
    data: Option<Value>,
    text: String,
}

/// A client of a stream.
struct Follower {
    response: Response,
    buffer: String,
}

impl Follower {
    async fn open(rest: &TestRest, query: &str, seen: Option<u64>) -> Self {
        let mut request = rest.authorized(Method::GET, &format!("/v1/stream{query}"));
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next message, comments too; `None` at the end.
    async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some((text, rest)) = self.buffer.split_once("\n\n") {
                let mut message = Message { text: text.to_owned(), ..Message::default() };
                for line in text.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => message.id = Some(id.parse().unwrap()),
                        Some(("event", name)) => message.event = Some(name.to_owned()),
                        Some(("data", data)) => {
                            message.data = Some(serde_json::from_str(data).unwrap())
                        }
                        _ => {}
                    }
                }
                self.buffer = rest.to_owned();
                return Some(message);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk()).await;
            let chunk = chunk.expect("a stream says something in time").unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next `count` messages that are events.
    async fn events(&mut self, count: usize) -> Vec<Message> {
        let mut events = Vec::new();
        while events.len() < count {
            let message = self.message().await.unwrap();
            if message.event.is_some() {
                events.push(message);
            }
        }
        events
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_as_they_are_committed_and_reads_show_them() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let mut follower = Follower::open(&rest, "", None).await;
    let begin = follower.message().await.unwrap();
    assert!(begin.text.contains("retry: ") && begin.event.is_none(), "{begin:?}");
    let account = rest.account("100").await;
    let events = follower.events(2).await;
    let names: Vec<_> = events.iter().map(|message| message.event.as_deref().unwrap()).collect();
    assert_eq!(names, ["AccountOpened", "CashDeposited"]);
    let data = events[1].data.as_ref().unwrap();
    assert_eq!(data["position"], events[1].id.unwrap());
    assert_eq!(data["account_id"], account);
    let read = rest.get(&format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(read["cash"], "100.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_cut_off_goes_on_where_it_was_with_nothing_lost_or_doubled() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("0").await;
    for _ in 0..300 {
        let amount = json!({"amount": "1"});
        rest.post(&format!("/v1/accounts/{account}/deposits"), amount).await.expect(201);
    }
    let (mut seen, mut positions) = (0, Vec::new());
    for _ in 0..3 {
        let mut follower = Follower::open(&rest, "?types=CashDeposited", Some(seen)).await;
        let events = follower.events(100).await;
        positions.extend(events.iter().map(|message| message.id.unwrap()));
        seen = *positions.last().unwrap();
    }
    assert_eq!(positions.len(), 300);
    assert!(positions.is_sorted_by(|a, b| a < b));
    let all = "SELECT position FROM events WHERE event_type = 'CashDeposited' ORDER BY position";
    let logged: Vec<i64> =
        sqlx::query_scalar(all).fetch_all(database.auditor.pool()).await.unwrap();
    assert_eq!(positions, logged.into_iter().map(i64::cast_unsigned).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_shows_the_callers_tenant_alone_and_one_account_if_asked() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let (one, two) = (rest.account("1").await, rest.account("2").await);
    super::reads::foreign_account(&rest).await;
    rest.feed(&[instrument("AAPL")]).await.expect(200);
    let last = rest.account("3").await;
    let mut follower = Follower::open(&rest, "", Some(0)).await;
    let mut accounts: Vec<_> = follower
        .events(6)
        .await
        .into_iter()
        .map(|message| message.data.unwrap()["account_id"].as_str().unwrap().to_owned())
        .collect();
    accounts.dedup();
    assert_eq!(accounts, [one.clone(), two, last]);
    let mut follower = Follower::open(&rest, &format!("?account_id={one}"), Some(0)).await;
    rest.post(&format!("/v1/accounts/{one}/deposits"), json!({"amount": "5"})).await.expect(201);
    for message in follower.events(3).await {
        assert_eq!(message.data.unwrap()["account_id"], one);
    }
    let nobodys = uuid::Uuid::now_v7();
    rest.get(&format!("/v1/stream?account_id={nobodys}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_is_none_or_beyond_the_log_is_refused_and_so_is_one_stream_too_many() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    for (seen, status) in [("x", 400), ("-1", 400), ("99999999999999999999", 400), ("1000000", 409)]
    {
        let request = rest.authorized(Method::GET, "/v1/stream").header("last-event-id", seen);
        crate::support::rest::send(request).await.expect(status);
    }
    let unknown = rest.get("/v1/stream?types=OrderPlaced,NoSuchType").await.expect(422);
    assert_eq!(unknown["errors"][0]["field"], "types");
    assert!(unknown["detail"].as_str().unwrap().contains("OrderFilled"), "{unknown}");
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Follower::open(&rest, "", None).await);
    }
    let refused = rest.get("/v1/stream").await;
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.expect(429)["code"], "too_many_streams");
    open.pop();
    let mut status = 429;
    for _ in 0..100 {
        status = rest.authorized(Method::GET, "/v1/stream").send().await.unwrap().status().as_u16();
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, 200, "a stream that was closed makes room");
}
