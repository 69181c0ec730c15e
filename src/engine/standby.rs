//! The engine of a process that does not write: it follows log and tape behind the one that does, so that readers here see
//! the market's clock, its prices and the marks of trailing stops too. It proposes nothing.
//!
//! It is where the last line of the tape is, at most [`FOLLOW_EVERY`] later; orders that came after that line are not
//! in it yet. Lines that are not recorded are not known here. Costs what working the recorded lines costs.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use super::core::Settings;
use super::handle::{Call, Works};
use super::history::{History, RecoveryError, Tail};

/// Between two looks at the tape.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Before it begins again after log or tape could not be read.
const PAUSE: Duration = Duration::from_secs(5);

impl Works {
    /// Follows until it is dropped: when a term of this process as the writer begins.
    pub async fn follow<H: History>(&mut self, history: &H, settings: &Settings) -> Infallible {
        loop {
            let followed = AssertUnwindSafe(self.follow_on(history, settings)).catch_unwind().await;
            match followed {
                Ok(Ok(never)) => match never {},
                Ok(Err(error)) => {
                    tracing::warn!(%error, "log and tape cannot be followed; that is tried again");
                }
                Err(_panic) => tracing::error!(
                    "following log and tape met a defect of the engine; it begins anew"
                ),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow_on<H: History>(
        &mut self,
        history: &H,
        settings: &Settings,
    ) -> Result<Infallible, RecoveryError> {
        let state = history.checkpoint().await?.unwrap_or_default();
        let mut tail = Tail::new(history, settings.clone(), state);
        tail.read_on().await?;
        loop {
            self.board.show_all(&tail.core);
            self.board.set_follows(true);
            while !tail.read_on().await? {
                self.answer_for(FOLLOW_EVERY, &tail).await;
            }
        }
    }

    /// Answers what readers ask meanwhile.
    async fn answer_for<H>(&mut self, time: Duration, tail: &Tail<'_, H>) {
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => return,
                Some(call) = self.calls.recv() => match call {
                    Call::Marks { orders, marks } => {
                        // Whoever does not wait any more has no use for them.
                        let _gone = marks.send(tail.core.state().orders.marks(orders));
                    }
                    // An order that is on its way here is refused, and waits for nothing.
                    Call::Await { .. } => {}
                },
            }
        }
    }
}
