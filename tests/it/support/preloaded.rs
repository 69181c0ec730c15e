//! A library in C that is loaded into a server in front of the system's, and a file of numbers that both sides map:
//! through it a test sets what that server alone gets from the system. Its Postgres gets the right thing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::postgres::Scratch;
use super::rest::TOKEN;
use super::{Server, TestDatabase, blotter, scratch_directory};

/// The library and its numbers.
pub struct Preloaded {
    name: &'static str,
    directory: Scratch,
    numbers: File,
}

impl Preloaded {
    /// Makes `source`, a file beside this one, which finds its numbers by the environment variable `name`. The C
    /// compiler is the one that links the tests.
    pub fn new(source: &str, name: &'static str, numbers: &[i64]) -> Self {
        let directory = scratch_directory(&name.to_lowercase().replace('_', "-"));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support");
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
        let compiler = compiler.arg(directory.path().join("library.so")).arg(sources.join(source));
        assert!(compiler.status().unwrap().success());
        let file = directory.path().join("numbers");
        let mut options = File::options();
        let numbers_file = options.read(true).write(true).create_new(true).open(file).unwrap();
        let preloaded = Self { name, directory, numbers: numbers_file };
        for (n, number) in numbers.iter().enumerate() {
            preloaded.set(n, *number);
        }
        preloaded
    }

    /// Sets the `n`th number, from 0.
    pub fn set(&self, n: usize, number: i64) {
        self.numbers.write_all_at(&number.to_ne_bytes(), 8 * n as u64).unwrap();
    }

    /// The `n`th number.
    pub fn get(&self, n: usize) -> i64 {
        let mut bytes = [0; 8];
        self.numbers.read_exact_at(&mut bytes, 8 * n as u64).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// Starts a server on `database` with it, and returns at once. It knows the operator by [`TOKEN`].
    pub fn serve(&self, database: &TestDatabase, data_dir: &Path) -> Server {
        let mut command = blotter(&["serve", "--market", "feed", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(data_dir);
        command.args(["--database-url", &database.url("postgres")]);
        command.env("BLOTTER_OPERATOR_TOKEN", TOKEN).env("RUST_BACKTRACE", "0");
        let in_directory = |file| -> PathBuf { self.directory.path().join(file) };
        command.env("LD_PRELOAD", in_directory("library.so"));
        command.env(self.name, in_directory("numbers"));
        Server::spawn(&mut command)
    }
}
