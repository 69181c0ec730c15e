//! The real binary as a child process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::rest::TOKEN;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, without settings of the person who runs the tests.
pub fn blotter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blotter"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("BLOTTER_") || name == "DATABASE_URL")
        {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").args(arguments).stdin(Stdio::null());
    command
}

/// The market of a server whose test does not name one: lines that the test posts.
const FEED: [&str; 2] = ["--market", "feed"];

/// A running server. Dropping it asks it to stop and waits for that.
pub struct Server {
    child: Child,
    log: Receiver<String>,
    base: OnceLock<String>,
    token: String,
}

impl Server {
    /// Starts `blotter serve` on `data_dir` and returns when it is ready.
    pub fn start(data_dir: &Path) -> Self {
        let server = Self::launch(data_dir);
        server.wait_for_line("database ready");
        server
    }

    /// Starts `blotter serve` on `data_dir` and returns at once.
    pub fn launch(data_dir: &Path) -> Self {
        Self::on_free_port(blotter(&["serve"]).arg("--data-dir").arg(data_dir).args(FEED))
    }

    /// Starts `blotter serve` with more arguments and returns at once. It knows the operator by [`TOKEN`].
    pub fn launch_with(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut command = blotter(&["serve"]);
        command.arg("--data-dir").arg(data_dir).args(arguments);
        if !arguments.contains(&FEED[0]) {
            command.args(FEED);
        }
        Self::on_free_port(command.env("BLOTTER_OPERATOR_TOKEN", TOKEN))
    }

    /// Starts `blotter serve` with this in place of its operator's token and returns at once.
    pub fn launch_with_token(data_dir: &Path, token: &OsStr) -> Self {
        let mut command = blotter(&["serve"]);
        command.arg("--data-dir").arg(data_dir).args(FEED);
        Self::on_free_port(command.env("BLOTTER_OPERATOR_TOKEN", token))
    }

    /// Starts this command on a free port and returns at once.
    fn on_free_port(command: &mut Command) -> Self {
        Self::spawn(command.args(["--listen", "127.0.0.1:0"]))
    }

    /// Starts this command, which says itself where it listens, and returns at once.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may have ended; the pipe must be drained all the same.
                let _ = sender.send(line);
            }
        });
        Self { child, log, base: OnceLock::new(), token: String::new() }
    }

    /// Starts `blotter serve` on `data_dir`, a free port and its operator's token, and returns when it takes commands.
    pub async fn serve(data_dir: &Path) -> Self {
        Self::serve_with(data_dir, &[]).await
    }

    /// The same with more arguments.
    pub async fn serve_with(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut command = blotter(&["serve"]);
        command.arg("--data-dir").arg(data_dir).args(arguments);
        if !arguments.contains(&FEED[0]) {
            command.args(FEED);
        }
        let mut server = Self::on_free_port(&mut command);
        let base = server.base().to_owned();
        server.token = std::fs::read_to_string(data_dir.join("operator.token")).unwrap();
        let (client, start) = (reqwest::Client::new(), Instant::now());
        loop {
            let health = client.get(format!("{base}/readyz")).send().await.unwrap();
            let health: serde_json::Value = health.json().await.unwrap();
            if health["ready"] == true && health["writer"] == true {
                return server;
            }
            assert!(start.elapsed() < PATIENCE, "{health}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where it listens, such as `http://127.0.0.1:4711`; waits until it does.
    pub fn base(&self) -> &str {
        self.base.get_or_init(|| {
            let line = self.wait_for_line("listening address=");
            let (_, address) = line.split_once("address=").unwrap();
            format!("http://{address}")
        })
    }

    /// The operator's token of a server from [`Server::serve`].
    pub fn token(&self) -> &str {
        self.token.trim()
    }

    /// Waits until the log says `expected`, and gives the line.
    pub fn wait_for_line(&self, expected: &str) -> String {
        let (start, mut seen) = (Instant::now(), Vec::new());
        loop {
            match self.log.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(line) if line.contains(expected) => return line,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no {expected:?} in {seen:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended: {seen:#?}"),
            }
        }
    }

    /// What the log has said since it was last asked.
    pub fn log_so_far(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// What the log says from here to its end, once the server has ended.
    pub fn rest_of_log(&self) -> Vec<String> {
        self.log.iter().collect()
    }

    /// Sends a signal to the server alone. A stopped one has stopped when this returns.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
        while signal == Signal::STOP && !self.has_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether every thread of the server stands still by a signal.
    fn has_stopped(&self) -> bool {
        let threads = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        std::fs::read_dir(threads).unwrap().all(|thread| {
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat"));
            // The name in parentheses may hold anything; the state follows it. A thread that ended is gone.
            stat.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|it| it.starts_with('T')))
        })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// How the server ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the server's end.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            self.wait();
        }
    }
}
