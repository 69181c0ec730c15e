//! The engine as everybody else holds it: hands lines in, tells of orders on their way, waits for their evaluation.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregates::id::OrderId;
use aggregates::money::Price;
use tokio::sync::{mpsc, oneshot, watch};

use super::board::{Board, Condition};
use super::core::Reason;
use super::following::{Followed, Following};
use crate::market::tick::Tick;

/// Calls that wait for the engine at the most.
const INBOX: usize = 64;
/// The ledger answers within this time, or the engine shows that it waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of lines that were handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines that were worked.
    pub accepted: u64,
    /// Lines that filled nothing, for the reasons given.
    pub ignored: u64,
    /// How many were ignored for each reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// The last position of the log when all that they caused had committed.
    pub position: u64,
}

/// Why lines were not worked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine does not run here: another process writes, or it is starting.
    #[error("the engine does not run in this process at present: send the lines again in a second")]
    NotRunning,
    /// Some of the lines may have been worked.
    #[error(
        "the engine starts anew, and how far it came with these lines is unknown: send them again, identical lines \
         are ignored"
    )]
    Interrupted,
}

/// Lines that were handed in.
pub(super) struct Ask {
    pub(super) source: String,
    pub(super) ticks: Vec<Tick>,
    pub(super) answer: oneshot::Sender<Report>,
}

/// What is asked of the engine between two lines.
pub(super) enum Call {
    /// An order of a symbol is on its way; told when its standing lines are on the tape.
    Await { symbol: String, written: oneshot::Sender<()> },
    /// The marks of trailing stops that wait.
    Marks { orders: Vec<OrderId>, marks: oneshot::Sender<BTreeMap<OrderId, Price>> },
}

/// The engine, as faces and market sources see it. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inbox: mpsc::Sender<Ask>,
    calls: mpsc::Sender<Call>,
    settled: watch::Receiver<u64>,
    following: Following,
    board: Board,
}

/// The other end of an [`Engine`]: what works.
pub struct Works {
    pub(super) inbox: mpsc::Receiver<Ask>,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) settled: watch::Sender<u64>,
    pub(super) following: Following,
    pub(super) board: Board,
    /// The ledger answers within this time, or the engine shows that it waits.
    pub(super) patience: Duration,
}

/// An engine that does not run yet, and its works.
pub fn engine() -> (Engine, Works) {
    let (inbox, asks) = mpsc::channel(INBOX);
    let (calls, called) = mpsc::channel(INBOX);
    let (settled, settles) = watch::channel(0);
    let (following, board) = (Following::default(), Board::default());
    let works = Works {
        inbox: asks,
        calls: called,
        settled,
        following: following.clone(),
        board: board.clone(),
        patience: PATIENCE,
    };
    (Engine { inbox, calls, settled: settles, following, board }, works)
}

impl Engine {
    /// Works lines in order. Answers when all that they caused has committed. Bars of one start belong in one call:
    /// with its end they are over, and the clock comes to their end by a `clock` line of the engine's own.
    pub async fn lines(&self, source: &str, ticks: Vec<Tick>) -> Result<Report, EngineError> {
        if self.board.condition() == Condition::Idle {
            return Err(EngineError::NotRunning);
        }
        let (answer, report) = oneshot::channel();
        let ask = Ask { source: source.to_owned(), ticks, answer };
        self.inbox.send(ask).await.map_err(|_| EngineError::NotRunning)?;
        report.await.map_err(|_| EngineError::Interrupted)
    }

    /// Tells that an order of `symbol` is on its way: what it will be evaluated by on arrival is on the tape when this
    /// returns, as far as it was not, and its lines are recorded from then on. Waits no longer than `limit`: then it is
    /// written when the order has arrived, and a crash before that costs the order the quote that stood.
    pub async fn await_order(&self, symbol: &str, limit: Duration) {
        if self.board.is_recorded(symbol) || self.board.condition() != Condition::Working {
            return;
        }
        let (written, done) = oneshot::channel();
        let order = Call::Await { symbol: symbol.to_owned(), written };
        let written = async {
            if self.calls.send(order).await.is_ok() {
                // The engine that starts anew has nothing that is not on the tape.
                let _started_anew = done.await;
            }
        };
        if tokio::time::timeout(limit, written).await.is_err() {
            tracing::debug!(symbol, "an order goes ahead of the quote that it will meet");
        }
    }

    /// Follows an order from here on: what is observed of it is kept until the answer is dropped.
    pub fn follow(&self, order_id: OrderId) -> Followed {
        self.following.begin(order_id)
    }

    /// Waits until every order up to `position` of the log was evaluated on its arrival, and what that caused has
    /// committed. Gives the position up to which that is so; none if it takes longer than `limit`.
    pub async fn settled(&self, position: u64, limit: Duration) -> Option<u64> {
        let mut settled = self.settled.clone();
        let reached = settled.wait_for(|reached| *reached >= position);
        let reached = tokio::time::timeout(limit, reached).await.ok()?;
        reached.ok().map(|reached| *reached)
    }

    /// The marks of trailing stops that wait, as they are now: of those among `orders` that there are. Where another process
    /// writes they are those of the last line on the tape. None if the engine is not so far yet, or does not answer
    /// within `limit`.
    pub async fn marks(
        &self,
        orders: Vec<OrderId>,
        limit: Duration,
    ) -> Option<BTreeMap<OrderId, Price>> {
        if !self.board.knows_marks() {
            return None;
        }
        let (marks, told) = oneshot::channel();
        let asked = async {
            self.calls.send(Call::Marks { orders, marks }).await.ok()?;
            told.await.ok()
        };
        tokio::time::timeout(limit, asked).await.ok().flatten()
    }

    /// The read side.
    pub fn board(&self) -> &Board {
        &self.board
    }
}
