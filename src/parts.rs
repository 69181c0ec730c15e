//! The parts of a server that run beside its requests until it stops.
//!
//! Guarantee: a server never lives on without one of them. A part mends itself what it can, the defects of the engine and
//! of the views among it. One that ends before its time all the same, by a panic as well, takes the server down with an
//! error, so that whoever supervises the process starts it anew.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Starts parts.
#[derive(Clone)]
pub struct Parts {
    ended: mpsc::UnboundedSender<Ended>,
}

/// A part that has ended before its time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has ended before its time: the server cannot go on without it")]
pub struct Ended(&'static str);

/// Parts, and where those are told of that have ended.
pub fn parts() -> (Parts, mpsc::UnboundedReceiver<Ended>) {
    let (ended, told) = mpsc::unbounded_channel();
    (Parts { ended }, told)
}

impl Parts {
    /// Starts a part that is to run until `stop`.
    pub fn spawn(
        &self,
        name: &'static str,
        stop: CancellationToken,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            let ran = AssertUnwindSafe(run).catch_unwind().await;
            if ran.is_err() || !stop.is_cancelled() {
                // Whoever does not listen any more is ending too.
                drop(ended.send(Ended(name)));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_before_its_time_is_told_of_and_one_that_was_stopped_is_not() {
        let (parts, mut told) = parts();
        let stop = CancellationToken::new();
        let panics = parts.spawn("a", stop.clone(), async { panic!("a defect, on purpose") });
        panics.await.unwrap();
        assert_eq!(told.recv().await, Some(Ended("a")));
        parts.spawn("b", stop.clone(), async {}).await.unwrap();
        assert_eq!(told.recv().await, Some(Ended("b")));
        let stopped = parts.spawn("c", stop.clone(), stop.clone().cancelled_owned());
        assert!(told.is_empty());
        stop.cancel();
        stopped.await.unwrap();
        // Nor is a panic on the way down passed over.
        let panics = parts.spawn("d", stop, async { panic!("a defect, on purpose") });
        panics.await.unwrap();
        drop(parts);
        assert_eq!(told.recv().await, Some(Ended("d")));
        assert_eq!(told.recv().await, None);
    }
}
