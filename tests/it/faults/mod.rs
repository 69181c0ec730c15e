//! Faults against the real binary on a real Postgres, under load: what was acknowledged is there, once; what was
//! refused is not; what is unknown is settled by asking again; the audit finds nothing wrong.
//!
//! About a minute and a half together, most of it waiting for leases and deadlines while other tests run.

mod clock;
mod crashes;
mod damage;
mod disk;
mod families;
mod feed;
mod hot;
mod long;
mod losses;
mod lost;
mod margin;
mod options;
mod panics;
mod races;
mod rivals;
mod sessions;
mod slow;
mod splits;
mod stops;
mod workload;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::rest::Answer;
use crate::support::{Server, TestDatabase, blotter};

/// How long a server may take to come up or to come back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the server takes commands, and says how long that took.
async fn writes(server: &Server) -> Duration {
    until(server, |status, health| status == 200 && health["writer"] == true).await
}

/// Waits until `/readyz` answers as wanted, and says how long that took.
async fn until(server: &Server, wanted: impl Fn(u16, &Value) -> bool) -> Duration {
    let (start, client) = (Instant::now(), reqwest::Client::new());
    let mut last = None;
    while start.elapsed() < PATIENCE {
        if let Ok(response) = client.get(format!("{}/readyz", server.base())).send().await {
            let status = response.status().as_u16();
            let health = response.json().await.unwrap_or_default();
            if wanted(status, &health) {
                return start.elapsed();
            }
            last = Some((status, health));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("/readyz does not come to it: {last:?}")
}

/// The verdict of `blotter audit verify`: its exit code and its report.
fn verify(arguments: &[&str]) -> (i32, Value) {
    let output = blotter(&["audit", "verify", "--json"]).args(arguments).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().unwrap(), report)
}

/// Has the log in this data directory verified, beside the server if it runs, and the engine run again over it: the report
/// of that.
fn verify_directory(data_dir: &Path) -> Value {
    verify_and_replay(["--data-dir", data_dir.to_str().unwrap()])
}

/// The same of a database that servers share.
async fn verify_database(database: &TestDatabase) -> Value {
    let url = database.url("postgres");
    let verified = tokio::task::spawn_blocking(move || verify_and_replay(["--database-url", &url]));
    verified.await.unwrap()
}

fn verify_and_replay(place: [&str; 2]) -> Value {
    let (code, report) = verify(&place);
    assert_eq!(code, 0, "{report:#}");
    let output = blotter(&["audit", "replay", "--json"]).args(place).output().unwrap();
    let (told, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{told}{errors}");
    serde_json::from_str(&told).unwrap()
}

/// Whether nothing happened, by the answer's own words.
fn says_that_nothing_happened(answer: &Answer) -> bool {
    let word = answer.json()["code"].as_str().unwrap_or_default().to_owned();
    match answer.status.as_u16() {
        503 => ["not_writer", "unavailable", "stopping", "busy"].contains(&word.as_str()),
        429 => word == "busy",
        _ => false,
    }
}

/// Whether it may or may not have happened, by the answer's own words.
fn says_that_it_is_unknown(answer: &Answer) -> bool {
    let word = answer.json()["code"].as_str().unwrap_or_default().to_owned();
    answer.status.as_u16() == 503 && ["outcome_unknown", "timeout"].contains(&word.as_str())
}
