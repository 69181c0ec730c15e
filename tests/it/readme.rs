//! The README's walk is true: its shell blocks run as they stand against the real binary and print what it says.
//!
//! A block fenced as `sh walk` is run; a block fenced as `json` or `text` right behind it is what it prints. There,
//! `…` stands for anything within its line.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::{Server, blotter, scratch_directory, scratch_with_cluster};

/// What the script prints behind each block.
const SEPARATOR: &str = "=== the end of a block ===";

/// A shell block and the output that the README shows for it.
struct Step {
    script: String,
    output: Vec<String>,
}

fn steps() -> Vec<Step> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (mut steps, mut lines, mut behind) = (Vec::<Step>::new(), readme.lines(), false);
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            behind = false;
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if kind == "sh walk" {
            steps.push(Step { script: block.join("\n"), output: Vec::new() });
        } else if behind && (kind == "json" || kind == "text") {
            let step = steps.last_mut().unwrap();
            step.output = block.into_iter().map(ToOwned::to_owned).collect();
        }
        behind = kind == "sh walk";
    }
    steps
}

/// Whether the parts of `shown` between its `…` are in `line`, in order.
fn says(line: &str, shown: &str) -> bool {
    let mut rest = line;
    shown.split('…').map(str::trim).all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[tokio::test]
async fn the_walk_of_the_readme_prints_what_the_readme_shows() {
    let directory = scratch_with_cluster("readme").await;
    let server = Server::serve_with(directory.path(), &["--market", "simulated"]).await;
    let steps = steps();
    assert!(steps.len() >= 7, "the walk is in the README");

    let home = directory.path().join("walk");
    fs::create_dir_all(home.join("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_blotter"), home.join("target/release/blotter")).unwrap();
    let script: String =
        steps.iter().map(|step| format!("{}\necho '{SEPARATOR}'\n", step.script)).collect();
    let output = Command::new("bash")
        .args(["-eu", "-c", &script])
        .current_dir(&home)
        .env("BLOTTER", server.base())
        .env_remove("BLOTTER_OPERATOR_TOKEN")
        .env("BLOTTER_DATA_DIR", directory.path())
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}\n{told}");

    for (step, printed) in steps.iter().zip(printed.split(SEPARATOR)) {
        let mut lines = printed.lines();
        for shown in &step.output {
            assert!(
                lines.any(|line| says(line, shown)),
                "after\n{}\nthere is no line\n{shown}\nin\n{printed}",
                step.script
            );
        }
    }
}

/// The line that starts a second server, run as it stands but for what it names.
#[tokio::test]
async fn a_second_server_runs_beside_the_first_by_the_variables_that_the_readme_names() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let line = readme.lines().find(|line| line.ends_with("DIR=/tmp/second make run")).unwrap();
    let names: Vec<_> = line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
    assert_eq!(names, [("BLOTTER_LISTEN", "127.0.0.1:8081"), ("BLOTTER_DATA_DIR", "/tmp/second")]);
    let (first, second) = (scratch_directory("readme-1"), scratch_directory("readme-2"));
    let servers = [first.path(), &second.path().join("not there yet")].map(|directory| {
        let values = ["127.0.0.1:0".as_ref(), directory.as_os_str()];
        let mut command = blotter(&["serve"]);
        command.envs(names.iter().map(|(name, _)| name).zip(values));
        Server::spawn(&mut command)
    });
    for server in &servers {
        server.wait_for_line("this process writes the log");
    }
}

#[test]
fn a_line_that_does_not_say_what_is_shown_is_found() {
    assert!(says(r#"{"a":1,"b":2,"c":3}"#, r#"{"a":1, … "c":3}"#));
    assert!(!says(r#"{"a":1,"b":2,"c":3}"#, r#"{"a":1, … "c":4}"#));
    assert!(!says(r#"{"c":3,"a":1}"#, r#""a":1 … "c":3"#));
}
