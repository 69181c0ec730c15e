//! The real binary as a child process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

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
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A running server. Dropping it asks it to stop and waits for that.
pub struct Server {
    child: Child,
    log: Receiver<String>,
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
        let mut command = blotter(&["serve", "--data-dir"]);
        let mut child = command.arg(data_dir).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may have ended; the pipe must be drained all the same.
                let _ = sender.send(line);
            }
        });
        Self { child, log }
    }

    /// Waits until the log says `expected`.
    pub fn wait_for_line(&self, expected: &str) {
        let (start, mut seen) = (Instant::now(), Vec::new());
        loop {
            match self.log.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(line) if line.contains(expected) => return,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no {expected:?} in {seen:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended: {seen:#?}"),
            }
        }
    }

    /// Sends a signal to the server alone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the server's end.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
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
