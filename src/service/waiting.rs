//! Waiting for an order.
//!
//! A wait sleeps until the views have moved, so a quiet ledger costs nothing; on a busy one it looks at the order
//! (a short read by its key) at most once a pause, and the pauses grow from [`PAUSES`]'s first to its last. So a
//! fill is seen within 20 ms of its view when it comes soon, and within a quarter of a second when it comes late. A
//! server that stops lets nobody wait: whoever does is answered at once. Nobody waits on by a grant that was taken.

use std::pin::pin;
use std::time::Duration;

use aggregates::id::{AccountId, OrderId};
use aggregates::order::OrderStatus;
use projections::Group;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Caller, Fresh, OrderAnswer, Service, ServiceError, Visitor};

/// The first and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaited {
    /// The order has ended, in whichever way.
    #[default]
    End,
    /// It has this status.
    Status(OrderStatus),
}

/// An order after a wait.
#[derive(Clone, Debug, Serialize)]
pub struct WaitAnswer {
    /// The order as it stands.
    #[serde(flatten)]
    pub order: OrderAnswer,
    /// It has what was waited for. If not, the time was over, or it has ended otherwise, or the server stops.
    pub reached: bool,
    /// The wait was cut short because the server stops.
    pub stopping: bool,
}

impl Awaited {
    fn is_reached(self, status: OrderStatus) -> bool {
        match self {
            Self::End => status.is_terminal(),
            Self::Status(awaited) => status == awaited,
        }
    }
}

impl Service {
    /// Waits until an order has what is awaited, or has ended, or `patience` is over, or the server is asked to `stop`.
    ///
    /// # Errors
    /// There is no such order, or not for this caller, or not any more.
    pub async fn wait_for_order(
        &self,
        (visitor, caller): (&Visitor, &Caller),
        account_id: AccountId,
        order_id: OrderId,
        awaited: Awaited,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Result<WaitAnswer, ServiceError> {
        let (until, mut pause) = (Instant::now() + patience, PAUSES.0);
        let mut taken = pin!(self.over(visitor, caller));
        loop {
            // Before the look: an order that is answered is as it stood when the wait was cut short.
            let stopping = stop.is_cancelled();
            let order = self.order(caller, account_id, order_id, Fresh::default()).await?;
            let reached = awaited.is_reached(order.status);
            let left = until.saturating_duration_since(Instant::now());
            let over = reached || order.status.is_terminal() || left.is_zero();
            if over || stopping {
                return Ok(WaitAnswer { order, reached, stopping: !over });
            }
            let moved = self.parts.views.wait(Group::Trading, order.position + 1, left);
            let paused = async { tokio::join!(moved, tokio::time::sleep(pause.min(left))) };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                over = &mut taken => return Err(over),
                _ = paused => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits until the views of accounts, orders and positions have come beyond `after`, but not longer than
    /// `patience`. Answers how far they have come.
    pub async fn moved(&self, after: u64, patience: Duration) -> u64 {
        self.parts.views.wait(Group::Trading, after + 1, patience).await;
        self.parts.views.progress(Group::Trading).position
    }
}
