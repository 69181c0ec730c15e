//! `blotter mcp` between a host that sends too much and a server that hangs: each has its limit, and is told.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::desk::Desk;
use super::stdio::Pipe;

/// The most requests under way.
const MOST: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_too_long_is_refused_and_the_next_one_is_taken() {
    let desk = Desk::start("stdio-long").await;
    let mut pipe = Pipe::to(&desk);
    pipe.handshake();
    let part = "x".repeat(1024 * 1024);
    let input = pipe.input.as_mut().unwrap();
    for _ in 0..4 {
        input.write_all(part.as_bytes()).unwrap();
    }
    pipe.send("");
    let refused = pipe.next();
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert!(refused["error"]["message"].as_str().unwrap().contains("262144"), "{refused}");
    assert_eq!(pipe.request("ping", &json!({}))["result"], json!({}));
    assert_eq!(pipe.end(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_at_once_than_is_taken_is_refused_and_taken_again_when_there_is_room() {
    let desk = Desk::start("stdio-many").await;
    let mut pipe = Pipe::to(&desk);
    pipe.handshake();
    let order = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99"});
    let order = pipe.tool("buy_stock_limit", &order)["order_id"].clone();
    let wait =
        json!({"name": "wait_for_order", "arguments": {"order_id": order, "timeout_seconds": 5}});
    let waits: Vec<u64> = (0..MOST).map(|_| pipe.ask("tools/call", &wait)).collect();
    let refused = pipe.request("tools/list", &json!({}));
    assert_eq!(refused["error"]["code"], -32000, "{refused}");
    let told = refused["error"]["message"].as_str().unwrap();
    assert!(told.starts_with("64 requests are under way") && told.contains("again"), "{told}");
    for wait in waits {
        let waited = pipe.answer(wait);
        assert_eq!(waited["result"]["structuredContent"]["reached"], false, "{waited}");
    }
    assert!(pipe.request("tools/list", &json!({}))["result"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_given_up_and_called_again_when_it_goes_on() {
    let desk = Desk::start("stdio-hangs").await;
    let (mut pipe, mut fresh) = (Pipe::to(&desk), Pipe::to(&desk));
    pipe.handshake();
    let account = pipe.tool("account_info", &json!({}))["account_id"].clone();
    let uri = format!("blotter://accounts/{}/orders/open", account.as_str().unwrap());

    desk.server.signal(Signal::STOP);
    let began = Instant::now();
    let hello = {
        let client = json!({"name": "test", "version": "1"});
        let version = "2025-11-25";
        json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client})
    };
    let hello = fresh.ask("initialize", &hello);
    let subscribed = pipe.ask("resources/subscribe", &json!({"uri": uri}));
    let called = pipe.ask("tools/list", &json!({}));
    pipe.send("{");
    let unreadable = pipe.next();
    assert_eq!(unreadable["error"]["code"], -32700, "nothing holds up what can be answered");
    let answers = [pipe.answer(subscribed), pipe.answer(called), fresh.answer(hello)];
    desk.server.signal(Signal::CONT);
    for answer in answers {
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        let told = answer["error"]["message"].as_str().unwrap();
        assert!(told.contains("does not answer") && told.contains("client_order_id"), "{told}");
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(15) && took < Duration::from_secs(45), "{took:?}");

    assert_eq!(pipe.request("resources/subscribe", &json!({"uri": uri}))["result"], json!({}));
    assert_eq!(fresh.handshake()["result"]["serverInfo"]["name"], "blotter");
    assert_eq!(pipe.end(), Some(0));
}
