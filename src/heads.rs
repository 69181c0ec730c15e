//! Where the log ends, for the projections: told by this process's writer while it writes, and by the notifications
//! of whoever does while it does not.
//!
//! A notification may be lost with its connection, so it only makes the views quicker: they look at the log by
//! themselves as well, every [`projections::runner::POLL`].

use std::time::Duration;

use blotter::database::{DatabaseError, ProjectorPool};
use blotter::ledger::{HeadView, Ledger};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::parts::Parts;

/// The channel of `append.sql`; the payload is the position of the head.
const CHANNEL: &str = "blotter_head";
/// Before it listens again after the database failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The position of the head as far as it is known here, until `stop`.
pub fn follow(
    ledger: &Ledger,
    pool: ProjectorPool,
    parts: &Parts,
    stop: CancellationToken,
) -> watch::Receiver<u64> {
    let head = ledger.head();
    let (positions, receiver) = watch::channel(head.borrow().position);
    let until = stop.clone();
    parts.spawn("the news of the log's head", stop, async move {
        tokio::select! {
            biased;
            () = until.cancelled() => {}
            () = keep_up(head, &pool, &positions) => {}
        }
    });
    receiver
}

/// Passes on what is written here or elsewhere, until the end of the ledger or until nobody listens.
async fn keep_up(
    mut head: watch::Receiver<HeadView>,
    pool: &ProjectorPool,
    positions: &watch::Sender<u64>,
) {
    while !positions.is_closed() {
        if head.borrow_and_update().writing {
            if as_writer(&mut head, positions).await.is_none() {
                return;
            }
        } else if let Err(error) = as_standby(pool, &mut head, positions).await {
            warn!(%error, "nobody tells where the log ends: the views look for themselves");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Passes on what this process writes, until it does not write any more; `None` at the end of the ledger.
async fn as_writer(
    head: &mut watch::Receiver<HeadView>,
    positions: &watch::Sender<u64>,
) -> Option<()> {
    loop {
        let HeadView { position, writing, .. } = *head.borrow_and_update();
        advance(positions, position);
        if !writing {
            return Some(());
        }
        head.changed().await.ok()?;
    }
}

/// Passes on what another process says that it has written, until this one writes.
async fn as_standby(
    pool: &ProjectorPool,
    head: &mut watch::Receiver<HeadView>,
    positions: &watch::Sender<u64>,
) -> Result<(), DatabaseError> {
    let mut listener = pool.listener().await?;
    listener.listen(CHANNEL).await?;
    loop {
        tokio::select! {
            biased;
            writing = head.wait_for(|head| head.writing) => {
                drop(writing);
                return Ok(());
            }
            () = positions.closed() => return Ok(()),
            told = listener.recv() => {
                if let Ok(position) = told?.payload().parse() {
                    advance(positions, position);
                }
            }
        }
    }
}

fn advance(positions: &watch::Sender<u64>, to: u64) {
    positions.send_if_modified(|position| {
        let further = to > *position;
        *position = to.max(*position);
        further
    });
}
