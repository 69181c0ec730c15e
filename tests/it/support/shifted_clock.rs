//! A wall clock that a test sets under a running server, and under that alone: its Postgres has the right time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use chrono::TimeDelta;

use super::postgres::Scratch;
use super::rest::TOKEN;
use super::{Server, TestDatabase, blotter, scratch_directory};

/// What moves the clock of a process.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/shifted_clock.c");

/// The clock of the servers that were started by it.
pub struct ShiftedClock {
    directory: Scratch,
    shift: File,
}

impl ShiftedClock {
    /// A clock that is right. The C compiler that makes it is the one that links the tests.
    pub fn new() -> Self {
        let directory = scratch_directory("shifted-clock");
        let library = directory.path().join("clock.so");
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
        assert!(compiler.arg(library).arg(SOURCE).status().unwrap().success());
        let shift = File::create_new(directory.path().join("shift")).unwrap();
        let clock = Self { directory, shift };
        clock.set(TimeDelta::zero());
        clock
    }

    /// Sets it ahead by so much, or back.
    pub fn set(&self, ahead: TimeDelta) {
        let nanos = ahead.num_nanoseconds().unwrap();
        self.shift.write_all_at(&nanos.to_ne_bytes(), 0).unwrap();
    }

    /// Starts a server on `database` that goes by this clock, and returns at once. It knows the operator by [`TOKEN`].
    pub fn serve(&self, database: &TestDatabase, data_dir: &Path) -> Server {
        let mut command = blotter(&["serve", "--market", "feed", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(data_dir);
        command.args(["--database-url", &database.url("postgres")]);
        command.env("BLOTTER_OPERATOR_TOKEN", TOKEN);
        command.env("LD_PRELOAD", self.directory.path().join("clock.so"));
        command.env("SHIFTED_CLOCK", self.directory.path().join("shift"));
        Server::spawn(&mut command)
    }
}
