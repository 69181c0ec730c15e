//! More than the ledger takes: callers are told to come back, nothing is lost, cancels still get through.

use std::time::{Duration, Instant};

use aggregates::account::AccountCommand;
use aggregates::id::{AccountId, CommandId, OPERATOR_TENANT};
use aggregates::trading::Command;
use reqwest::Method;
use serde_json::json;
use sqlx::Connection;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::ledger::submission;
use crate::support::rest::TestRest;

/// More commands than the lane of ordinary commands, the open batch and the one under way hold together.
const FLOOD: usize = 6_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ledger_tells_callers_to_come_back_and_still_takes_cancels() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    rest.quoted().await;
    let account = rest.account("1000").await;
    let orders = format!("/v1/accounts/{account}/orders");
    let rests =
        json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1", "limit_price": "50"});
    let order = rest.post(&orders, rests).await.expect(201);
    let order = format!("{orders}/{}", order["order_id"].as_str().unwrap());

    // Whoever holds the head row keeps every append waiting.
    let mut superuser = database.superuser().await;
    let mut held = superuser.begin().await.unwrap();
    sqlx::query("SELECT * FROM ledger_head FOR UPDATE").execute(&mut *held).await.unwrap();
    let account_id = AccountId::new(account.parse::<Uuid>().unwrap());
    let mut flood = JoinSet::new();
    for _ in 0..FLOOD {
        let deposit_id = CommandId::new(Uuid::now_v7());
        let amount = "0.01".parse().unwrap();
        let command = AccountCommand::Deposit { deposit_id, amount, at: None };
        let sent = submission(OPERATOR_TENANT, Command::Account { account_id, command }, None);
        let ledger = rest.ledger.clone();
        flood.spawn(async move { ledger.submit(sent).await.is_ok() });
    }
    let deposits = format!("/v1/accounts/{account}/deposits");
    let mut refused = rest.post(&deposits, json!({"amount": "1"}));
    let refused = loop {
        match tokio::time::timeout(Duration::from_millis(300), refused).await {
            Ok(answer) => break answer,
            // There was room for this one yet: it waits with the others.
            Err(_) => refused = rest.post(&deposits, json!({"amount": "1"})),
        }
    };
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.expect(429)["code"], "busy");
    let canceled = rest.authorized(Method::DELETE, &order).send();
    let canceled = tokio::spawn(canceled);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!canceled.is_finished(), "it waits for the head as well, in a lane of its own");

    held.rollback().await.unwrap();
    let canceled = canceled.await.unwrap().unwrap();
    assert_eq!(canceled.status().as_u16(), 200);
    let canceled: serde_json::Value = canceled.json().await.unwrap();
    assert_eq!(canceled["status"], "canceled");
    let mut taken = 0;
    while let Some(deposited) = flood.join_next().await {
        taken += u64::from(deposited.unwrap());
    }
    assert!(taken > 0 && taken < FLOOD as u64, "{taken}");
    let count = "SELECT count(*) FROM events WHERE event_type = 'CashDeposited' AND payload->'CashDeposited'->>'amount' = '0.01'";
    let logged: i64 = sqlx::query_scalar(count).fetch_one(database.auditor.pool()).await.unwrap();
    assert_eq!(
        logged.cast_unsigned(),
        taken,
        "what was refused did not happen, what was answered did"
    );
}

/// The connections that requests read on.
const READERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_gets_no_connection_is_told_to_come_back_soon_and_a_write_gets_its_answer() {
    let database = TestDatabase::new().await;
    let rest = TestRest::start(&database).await;
    let account = rest.account("1000").await;
    let account = format!("/v1/accounts/{account}");
    let mut held = Vec::new();
    for _ in 0..READERS {
        held.push(database.reader.begin(OPERATOR_TENANT, None).await.unwrap());
    }
    let began = Instant::now();
    let refused = rest.get(&account).await;
    let took = began.elapsed();
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.expect(503)["code"], "busy");
    assert!(took > Duration::from_millis(400) && took < Duration::from_secs(3), "{took:?}");

    let deposit = rest.authorized(Method::POST, &format!("{account}/deposits"));
    let deposited = tokio::spawn(deposit.json(&json!({"amount": "1"})).send());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!deposited.is_finished(), "it is committed and waits for what it answers");
    drop(held);
    assert_eq!(deposited.await.unwrap().unwrap().status().as_u16(), 201);
    assert_eq!(rest.get(&account).await.expect(200)["cash"], "1001.00");
}
