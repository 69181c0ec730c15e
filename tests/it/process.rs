//! The server as a process: it starts, stops when asked, and comes back after it was killed.

use std::path::Path;

use rustix::process::Signal;
use sqlx::Connection;

use crate::support::rest::TOKEN;
use crate::support::{Server, blotter, scratch_directory, scratch_with_cluster};

/// A session of the private Postgres in `data_dir`, from outside of the server.
async fn session(data_dir: &Path) -> sqlx::PgConnection {
    let socket = data_dir.join("pg").to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://blotter_writer@{socket}:5432/blotter");
    sqlx::PgConnection::connect(&url).await.unwrap()
}

#[tokio::test]
async fn a_server_asked_to_stop_ends_with_success_and_takes_its_postgres_along() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = scratch_with_cluster(&format!("stop-{}", signal.as_raw())).await;
        let mut server = Server::start(directory.path());
        session(directory.path()).await;
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        assert!(!directory.path().join("pg/postmaster.pid").exists());
        let log = server.rest_of_log();
        assert!(log.iter().any(|line| line.contains("INFO") && line.contains("stopping: ")));
        assert!(log.last().unwrap().contains("stopped: "), "{log:#?}");
        assert!(!log.iter().any(|line| line.contains("WARN")), "a stop is no alarm: {log:#?}");
    }
}

#[test]
fn the_page_on_logging_names_the_filter_that_there_is() {
    let printed = blotter(&["config"]).output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    let filter = printed.lines().find_map(|line| line.strip_prefix("log = ")).unwrap();
    let filter = filter.split('"').nth(1).unwrap();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/logging.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("(default `{filter}`)")), "{filter}");
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_everything_that_was_committed() {
    let directory = scratch_with_cluster("killed").await;
    for round in 0..3_i64 {
        let mut server = Server::start(directory.path());
        let mut session = session(directory.path()).await;
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM order_keys")
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(kept, round);
        sqlx::query("INSERT INTO order_keys VALUES (gen_random_uuid(), 1, gen_random_uuid())")
            .execute(&mut session)
            .await
            .unwrap();
        server.signal(Signal::KILL);
        assert!(!server.wait().success());
    }
    drop(Server::start(directory.path()));
}

#[test]
fn a_server_killed_while_it_made_its_cluster_makes_it_anew() {
    let directory = scratch_directory("half-made");
    let mut server = Server::launch(directory.path());
    server.wait_for_line("making a private Postgres cluster");
    std::thread::sleep(std::time::Duration::from_millis(200));
    server.signal(Signal::KILL);
    server.wait();
    assert!(!directory.path().join("pg").exists(), "killed too late to be a test");
    drop(Server::start(directory.path()));
}

/// Where there is no parent-death signal, or it came too early, a whole Postgres is left running.
#[tokio::test]
async fn a_postgres_that_outlived_its_server_is_stopped_by_the_next_start() {
    let directory = scratch_with_cluster("orphan").await;
    let mut server = Server::start(directory.path());
    let mut left = session(directory.path()).await;
    let pid = std::fs::read_to_string(directory.path().join("pg/postmaster.pid")).unwrap();
    let pid = rustix::process::Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()).unwrap();
    // A stopped process keeps the signal of its parent's death pending: it is still there when the next one comes.
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    server.signal(Signal::KILL);
    server.wait();
    let resumed = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        rustix::process::kill_process(pid, Signal::CONT).unwrap();
    });
    let next = Server::start(directory.path());
    resumed.join().unwrap();
    assert!(left.ping().await.is_err(), "the old Postgres is gone");
    drop(next);
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let directory = scratch_directory("config");
    let file = directory.path().join("blotter.toml");
    std::fs::write(&file, "seed = 1\nhours = \"always\"\npaused = true\nspeed = \"2x\"\n").unwrap();
    let output = blotter(&["config", "--speed", "max", "--config", file.to_str().unwrap()])
        .env("BLOTTER_SPEED", "3x")
        .env("BLOTTER_SEED", "2")
        .env("BLOTTER_DATABASE_URL", "")
        .env("DATABASE_URL", "postgres://user:hunter2@db/blotter")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "speed = \"max\"  # flag",
        "seed = \"2\"  # environment",
        "hours = \"always\"  # file",
        "paused = \"true\"  # file",
        "record = \"working\"  # default",
        "database_url = \"postgres://user:redacted@db/blotter\"  # DATABASE_URL",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line:?} is not in\n{printed}");
    }
    assert!(!printed.contains("hunter2"));
}

#[test]
fn speed_hours_and_record_that_are_not_set_follow_the_market() {
    for (market, speed, hours, record) in [
        (&[][..], "10x", "always", "working"),
        (&["--market", "feed"], "60x", "nyse", "all"),
        (&["--market", "recorded:a.jsonl"], "60x", "nyse", "all"),
    ] {
        let output = blotter(&[&["config"], market].concat()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        for (key, value) in [("speed", speed), ("hours", hours), ("record", record)] {
            let line = format!("{key} = \"{value}\"  # default");
            assert!(printed.lines().any(|printed| printed == line), "{line} is not in\n{printed}");
        }
    }
}

#[test]
fn what_is_printed_is_a_configuration_file() {
    let directory = scratch_directory("printed");
    let file = directory.path().join("blotter.toml");
    let first = blotter(&["config", "--seed", "9"]).output().unwrap().stdout;
    std::fs::write(&file, &first).unwrap();
    let second = blotter(&["config", "--config", file.to_str().unwrap()]).output().unwrap();
    assert!(second.status.success());
    let values = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.parse::<toml::Table>().unwrap()
    };
    assert_eq!(values(&first), values(&second.stdout));
}

#[test]
fn a_wrong_or_missing_setting_ends_with_2_and_is_named() {
    let directory = scratch_directory("wrong");
    let file = directory.path().join("blotter.toml");
    let file = file.to_str().unwrap();
    for (content, named) in [
        ("colour = 1", "colour"),
        ("seed = [1]", "seed"),
        ("seed = ", "TOML"),
        ("hours = \"sometimes\"", "--hours"),
        ("record = \"some\"", "--record"),
        ("log = \"foo=bar=baz\"", "--log \"foo=bar=baz\""),
    ] {
        std::fs::write(file, content).unwrap();
        let output = blotter(&["serve", "--config", file]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{content}: {message}");
        assert!(message.contains(named), "{content}: {message}");
    }
}

#[tokio::test]
async fn a_token_in_the_environment_is_taken_without_its_newline_and_only_as_text() {
    use std::os::unix::ffi::OsStrExt;
    let directory = scratch_with_cluster("token").await;
    let token = format!("{TOKEN}\n");
    let server = Server::launch_with_token(directory.path(), token.as_ref());
    let url = format!("{}/v1/accounts", server.base());
    let answer = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(server);

    let mut command = blotter(&["serve", "--data-dir"]);
    let token = std::ffi::OsStr::from_bytes(b"secret\xff");
    let output =
        command.arg(directory.path()).env("BLOTTER_OPERATOR_TOKEN", token).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("BLOTTER_OPERATOR_TOKEN"), "{message}");

    for guessable in ["changeme", "aaaaaaaaaaaa", &"a".repeat(64), &"password".repeat(4)] {
        let mut command = blotter(&["serve", "--data-dir"]);
        let command = command.arg(directory.path()).env("BLOTTER_OPERATOR_TOKEN", guessable);
        let output = command.output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("openssl rand -hex 32"), "{message}");
    }
}
