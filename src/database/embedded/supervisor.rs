//! The thread that Postgres is started from and that waits for its end.
//!
//! It is one thread for the whole life of the cluster because the kernel's parent-death signal follows the thread
//! that forked, not the process: a worker of the async runtime may end long before the server does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::EmbeddedError;

/// Says when to stop.
pub(super) struct Stop(Receiver<()>);

impl Stop {
    /// It is time to stop when the sender is dropped.
    pub(super) fn new() -> (Sender<()>, Self) {
        let (keep, stop) = channel();
        (keep, Self(stop))
    }

    /// Sleeps for `time`; true, at once, when it is time to stop.
    pub(super) fn within(&self, time: Duration) -> bool {
        !matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

/// The running thread.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// Dropped to ask for the stop.
    keep: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), EmbeddedError>>>,
}

impl Supervisor {
    /// Runs `body` on a thread of its own; it returns soon after it was told to stop.
    pub(super) fn spawn(
        body: impl FnOnce(&Stop) -> Result<(), EmbeddedError> + Send + 'static,
    ) -> Result<Self, EmbeddedError> {
        let (keep, stop) = Stop::new();
        let thread = std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || body(&stop))
            .map_err(super::at("thread".as_ref()))?;
        Ok(Self { keep: Some(keep), thread: Some(thread) })
    }

    /// Asks for the stop and waits for it.
    pub(super) fn stop(mut self) -> Result<(), EmbeddedError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), EmbeddedError> {
        drop(self.keep.take());
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                Err(EmbeddedError::Stop { reason: "its supervisor panicked".to_owned() })
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!(%error, "stopping the private Postgres");
        }
    }
}
