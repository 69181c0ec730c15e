//! A backup that was taken from a running server is a prefix of the log that verifies by itself; what came after it
//! is noticed and named, and nothing is written over it unawares. The commands are those of `docs/operations.md`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Server, blotter, scratch_directory, scratch_with_cluster};

/// The directory of the binaries that a cluster is run by.
fn binaries(cluster: &Path) -> std::path::PathBuf {
    let options = fs::read_to_string(cluster.join("postmaster.opts")).unwrap();
    let program = options.split_whitespace().next().unwrap().trim_matches('"');
    Path::new(program).parent().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success(), "{} to {}", from.display(), to.display());
}

async fn open_account(server: &Server, name: &str) -> u64 {
    let account = json!({ "name": name, "kind": "cash", "starting_balance": "1000" });
    let opened = reqwest::Client::new()
        .post(format!("{}/v1/accounts", server.base()))
        .bearer_auth(server.token())
        .json(&account);
    let opened: Value = opened.send().await.unwrap().json().await.unwrap();
    opened["position"].as_u64().unwrap()
}

fn verify(data_dir: &Path, checkpoints: &Path) -> (Option<i32>, Value) {
    let output = blotter(&["audit", "verify", "--json", "--data-dir"])
        .arg(data_dir)
        .arg("--checkpoints")
        .arg(checkpoints)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|_| panic!("{output:?}")))
}

#[tokio::test]
async fn a_backup_is_a_prefix_that_verifies_and_a_restore_says_what_it_lost() {
    let directory = scratch_with_cluster("backup").await;
    let server = Server::serve(directory.path()).await;
    let kept = open_account(&server, "before").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    let restored = scratch_directory("restored");
    let cluster = directory.path().join("pg");
    let backup = Command::new(binaries(&cluster).join("pg_basebackup"))
        .arg("-h")
        .arg(&cluster)
        .args(["-U", "postgres", "-c", "fast", "-X", "stream", "-D"])
        .arg(restored.path().join("backup"))
        .output()
        .unwrap();
    assert!(backup.status.success(), "{backup:?}");
    let then = restored.path().join("checkpoints.then");
    copy(&directory.path().join("checkpoints"), &then);
    let last = open_account(&server, "after").await;
    drop(server);

    let home = restored.path().join("home");
    fs::create_dir(&home).unwrap();
    copy(&restored.path().join("backup"), &home.join("pg"));
    let owner = format!("--reference={}", cluster.display());
    let owned = Command::new("chown").args(["-R", &owner]).arg(home.join("pg")).status().unwrap();
    assert!(owned.success());
    for file in ["checkpoints", "signing.key", "operator.token"] {
        copy(&directory.path().join(file), &home.join(file));
    }

    let (code, report) = verify(&home, &then);
    assert_eq!((code, &report["valid"]), (Some(0), &json!(true)), "{report}");
    assert_eq!(report["position"], kept);

    let (code, report) = verify(&home, &home.join("checkpoints"));
    assert_eq!((code, &report["valid"]), (Some(1), &json!(false)), "{report}");
    let problem = report["problems"][0].to_string();
    assert!(problem.contains(&(kept + 1).to_string()), "{problem}");
    assert!(last > kept);

    let refused = blotter(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&home).output();
    let refused = refused.unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("--accept-rollback"), "{told}");

    let accepted = Server::launch_with(&home, &["--accept-rollback"]);
    accepted.wait_for_line("a rollback was accepted");
    accepted.wait_for_line("the engine works");
    drop(accepted);
    let (code, report) = verify(&home, &home.join("checkpoints"));
    assert_eq!((code, &report["valid"]), (Some(0), &json!(true)), "{report}");
}
