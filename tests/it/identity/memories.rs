//! What a process remembers of strangers is bounded: more of them than are remembered at once cost nobody anything who
//! comes from where they use to be.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use blotter::identity::email::Email;
use blotter::identity::throttle::{Memory, Tries};
use chrono::Utc;
use futures::StreamExt;
use futures::stream;

use crate::support::TestDatabase;

/// More than are remembered of any kind.
const CROWD: u32 = 10_400;
/// As many as are remembered.
const REMEMBERED: usize = 10_000;
/// Tries under way at once.
const AT_ONCE: usize = 8;

fn stranger(n: u32) -> IpAddr {
    Ipv4Addr::from(0x0b00_0000 + n).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_strangers_fills_no_memory_and_keeps_nobody_out_who_comes_from_home() {
    let database = TestDatabase::new().await;
    let (memory, now) = (Memory::default(), Utc::now());
    let ada = Email::read("ada@example.org").unwrap();
    let home = Tries::new(&ada, Ipv4Addr::new(10, 0, 0, 1).into());
    let mut connection = database.identity.pool().acquire().await.unwrap();
    let admitted = home.count(&mut connection, now, &memory).await.unwrap().unwrap();
    admitted.logged_in(&mut connection, now).await.unwrap();
    // A hundred have failed at her: everybody else has to wait.
    let one = Tries::new(&ada, stranger(0));
    let _failed = one.count(&mut connection, now, &memory).await.unwrap().unwrap();
    sqlx::query("UPDATE throttles SET failures = 120 WHERE failures = 1")
        .execute(&mut *connection)
        .await
        .unwrap();
    let crowd: Vec<Tries> = (0..CROWD).map(|n| Tries::new(&ada, stranger(n))).collect();
    let waits: Vec<Duration> = stream::iter(&crowd)
        .map(|tries| async {
            let mut connection = database.identity.pool().acquire().await.unwrap();
            tries.count(&mut connection, now, &memory).await.unwrap().unwrap_err()
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    assert!(waits.iter().all(|wait| *wait == Duration::from_secs(900)), "each has to wait");
    let remembered = crowd.iter().filter(|tries| memory.wait(tries).is_some()).count();
    assert!((REMEMBERED - 1..=REMEMBERED).contains(&remembered), "{remembered} are remembered");
    // Who is not remembered is asked of the database, and waits all the same; who is at home does not.
    let last = crowd.iter().rev().find(|tries| memory.wait(tries).is_none()).unwrap();
    let _wait = last.count(&mut connection, now, &memory).await.unwrap().unwrap_err();
    assert_eq!(memory.wait(&home), None);
    let admitted = home.count(&mut connection, now, &memory).await.unwrap().unwrap();
    admitted.logged_in(&mut connection, now).await.unwrap();
    // So with users who are nobody, and with what is recorded of those who have to wait.
    let nobody =
        |n: u32| Tries::new(&Email::read(&format!("n{n}@example.org")).unwrap(), stranger(n));
    let recorded = (0..CROWD).filter(|n| memory.is_due(&nobody(*n))).count();
    assert_eq!(recorded, REMEMBERED, "one each, until no more are remembered");
    // Nothing of it is kept that is not cleared away.
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM throttles")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    // Two of those counts, the home, and since when each of the crowd has been waiting; the first has failed.
    assert!((i64::from(CROWD)..=i64::from(CROWD) + 4).contains(&kept), "{kept}");
}
