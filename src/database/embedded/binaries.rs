//! Finds the server binaries: the directory that was named, else PATH, else the newest of the usual directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

/// The oldest major version whose views can be checked as their caller.
const OLDEST: u32 = 15;

/// Directories of packages; `*` stands for a part with the version in it.
const USUAL: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/usr/local", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// A directory with `postgres` and `initdb` of one version.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub(super) directory: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// All that can be used, the best first.
pub(super) fn candidates(named: Option<&Path>) -> Result<Vec<Binaries>, EmbeddedError> {
    let found: Vec<Binaries> = match named {
        Some(directory) => probe(directory).into_iter().collect(),
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let on_path = std::env::split_paths(&path).filter_map(|directory| probe(&directory));
            on_path.chain(usual()).collect()
        }
    };
    if found.is_empty() {
        let searched = match named {
            Some(directory) => directory.display().to_string(),
            None => "PATH, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin and Homebrew".to_owned(),
        };
        return Err(EmbeddedError::NoBinaries { searched });
    }
    let versions = versions(&found);
    let found: Vec<_> = found.into_iter().filter(|binaries| binaries.major >= OLDEST).collect();
    if found.is_empty() { Err(EmbeddedError::TooOld { found: versions }) } else { Ok(found) }
}

/// The versions for a message.
pub(super) fn versions(found: &[Binaries]) -> String {
    let list: Vec<_> =
        found.iter().map(|b| format!("{} ({})", b.major, b.directory.display())).collect();
    list.join(", ")
}

/// The usual directories, newest version first.
fn usual() -> Vec<Binaries> {
    let mut found: Vec<_> = USUAL
        .iter()
        .filter_map(|(base, bin)| Some((fs::read_dir(base).ok()?, bin)))
        .flat_map(|(entries, bin)| entries.flatten().map(move |entry| entry.path().join(bin)))
        .filter_map(|directory| probe(&directory))
        .collect();
    found.sort_by(|a, b| b.major.cmp(&a.major).then_with(|| a.directory.cmp(&b.directory)));
    found
}

/// The binaries in `directory`, if there are any that run.
fn probe(directory: &Path) -> Option<Binaries> {
    let directory = directory.canonicalize().ok()?;
    if !directory.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    let major = major(std::str::from_utf8(&output.stdout).ok()?)?;
    Some(Binaries { directory, major })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major(version: &str) -> Option<u32> {
    let number =
        version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_releases_and_betas() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major("no such program"), None);
    }

    #[test]
    fn a_missing_server_names_the_packages_to_install() {
        let empty = Path::new("/nonexistent/bin");
        let error = candidates(Some(empty)).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/bin"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
        assert!(error.contains("brew install"), "{error}");
    }
}
