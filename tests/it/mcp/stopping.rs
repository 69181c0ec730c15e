//! What a server that is asked to stop says to agents that wait.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::desk::{Desk, discovery};
use super::resources::Events;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_answered_with_the_order_as_it_stands_and_a_subscription_with_its_end() {
    let mut desk = Desk::start("mcp-stopping").await;
    let client = desk.client(discovery()).await;
    let order = json!({"symbol": "AAPL", "quantity": "1", "limit_price": "99"});
    let order = client.answer("buy_stock_limit", order).await;
    let wait = json!({"order_id": order["order_id"], "status": "filled", "timeout_seconds": 60});
    let wait = tokio::spawn(desk.stateless("wait_for_order", &wait).send());
    let uri = format!("blotter://accounts/{}/orders/open", order["account_id"].as_str().unwrap());
    let wanted = json!({"notifications": {"resourceSubscriptions": [uri]}});
    let followed = desk.modern("subscriptions/listen", None, wanted).send().await.unwrap();
    let mut followed = Events::of(followed);
    let acknowledged = followed.next().await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    tokio::time::sleep(Duration::from_millis(200)).await;

    let asked = Instant::now();
    desk.server.signal(Signal::TERM);
    let waited = wait.await.unwrap().unwrap();
    assert_eq!(waited.status(), 200);
    let waited: Value = waited.json().await.unwrap();
    let answer = &waited["result"]["structuredContent"];
    assert_eq!(
        [&answer["reached"], &answer["stopping"], &answer["status"], &answer["order_id"]],
        [&json!(false), &json!(true), &json!("accepted"), &order["order_id"]],
        "{waited}"
    );
    let ended = followed.next().await;
    assert_eq!((&ended["id"], ended["error"].is_null()), (&json!(7), true), "{ended}");
    assert!(ended["result"].is_object(), "{ended}");
    drop(followed);
    assert_eq!(desk.server.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
