//! The lock of a data directory: one server at a time keeps its keys, its checkpoints and its cluster there.
//!
//! The kernel lets go of it when the process dies, however it dies. A server that is just stopping is waited for.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::supervisor::Stop;
use super::{EmbeddedError, at};

/// How long a directory that another server holds is waited for: a little longer than one takes to stop.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// Takes the directory for this process, until the file is closed, or until it is told to stop.
pub(super) fn take(directory: &Path, stop: &Stop) -> Result<File, EmbeddedError> {
    let lock = Lock::of(directory)?;
    let began = Instant::now();
    while !lock.try_take()? {
        if began.elapsed() >= PATIENCE || stop.within(POLL) {
            return Err(lock.held());
        }
    }
    Ok(lock.file)
}

/// Takes the directory for a server whose database is elsewhere, until the file is closed; makes it, for its owner
/// alone, if it is not there.
///
/// # Errors
/// Another server holds it for longer than one takes to stop, or it cannot be used.
pub async fn claim(directory: &Path) -> Result<File, EmbeddedError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(at(directory))?;
    let lock = Lock::of(directory)?;
    let began = Instant::now();
    while !lock.try_take()? {
        if began.elapsed() >= PATIENCE {
            return Err(lock.held());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(lock.file)
}

/// The file, which may be somebody else's.
struct Lock {
    directory: PathBuf,
    path: PathBuf,
    file: File,
}

impl Lock {
    fn of(directory: &Path) -> Result<Self, EmbeddedError> {
        let path = directory.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(at(&path))?;
        let lock = Self { directory: directory.to_owned(), path, file };
        if !lock.try_take()? {
            tracing::info!(
                directory = %directory.display(),
                "another blotter is running on the data directory; waiting up to {} s for it to stop",
                PATIENCE.as_secs()
            );
        }
        Ok(lock)
    }

    /// Whether it is this process's now.
    fn try_take(&self) -> Result<bool, EmbeddedError> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(other) => Err(at(&self.path)(other.into())),
        }
    }

    fn held(&self) -> EmbeddedError {
        EmbeddedError::Locked { directory: self.directory.clone() }
    }
}
