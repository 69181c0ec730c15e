//! The lock of a data directory: one server at a time keeps its keys, its checkpoints and its cluster there.
//!
//! The kernel lets go of it when the process dies, however it dies. A server that is just stopping is waited for.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::oneshot;

use super::supervisor::Stop;
use super::{EmbeddedError, at};
use crate::database::data_directory;

/// How long a server waits for another one that holds its directory: a little longer than one takes to stop.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// Takes the directory for this process, until the file is closed. Whoever holds it is waited for, until `patience`
/// is over or it is time to stop.
pub(super) fn take(
    directory: &Path,
    patience: Duration,
    stop: &Stop,
) -> Result<File, EmbeddedError> {
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(at(&path))?;
    let (began, mut told) = (Instant::now(), false);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < patience => {}
            Err(rustix::io::Errno::WOULDBLOCK) => break,
            Err(other) => return Err(at(&path)(other.into())),
        }
        if !told {
            tracing::info!(
                directory = %directory.display(),
                "another blotter is running on the data directory; waiting up to {} s for it to stop",
                patience.as_secs()
            );
            told = true;
        }
        if stop.within(POLL) {
            break;
        }
    }
    Err(EmbeddedError::Locked { directory: directory.to_owned() })
}

/// Takes the directory for a server whose database is elsewhere, until the file is closed; makes it if it is not
/// there. The wait ends when nobody waits for the answer any more.
///
/// # Errors
/// Another server holds it for longer than one takes to stop, or it cannot be used.
pub async fn claim(directory: &Path) -> Result<File, EmbeddedError> {
    data_directory::make(directory).map_err(at(directory))?;
    let directory = directory.to_owned();
    let (_until_dropped, stop) = Stop::new();
    let (answer, taken) = oneshot::channel();
    std::thread::Builder::new()
        .name("lock".to_owned())
        .spawn(move || {
            // Whoever asked may have gone: then the file is closed again.
            drop(answer.send(take(&directory, PATIENCE, &stop)));
        })
        .map_err(at("thread".as_ref()))?;
    taken.await.expect("the thread answers before it ends")
}
