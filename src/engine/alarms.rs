//! What the engine tells whoever watches it: each has a metric and a line of the process's log.

use std::collections::BTreeSet;

use aggregates::id::{InstrumentId, OrderId};
use aggregates::order::{ExpiryReason, OrderEvent};
use aggregates::refusal::{Refusal, RefusalKind};
use aggregates::stream::{Event, StreamId};

use super::core::Core;
use crate::ledger::Submission;

/// A proposal may lose a race: the order was canceled or replaced meanwhile. Any other refusal is for somebody to look
/// at, since the engine proposes nothing that breaks a rule.
pub(super) fn note_refusal(submission: &Submission, refusal: &Refusal) {
    let (code, command) = (refusal.code.word(), &submission.command);
    metrics::counter!("blotter_engine_refused_total", "code" => code).increment(1);
    if refusal.code.kind() == RefusalKind::Conflict {
        tracing::debug!(%refusal, ?command, "a proposal came too late");
    } else {
        tracing::warn!(code, %refusal, figures = ?refusal.figures, ?command, "a proposal was refused");
    }
}

/// The ledger met a defect over a proposal, and again when it was handed in once more: its order ends, or the engine stops.
pub(super) fn note_defect(submission: &Submission, ends: bool) {
    metrics::counter!("blotter_engine_refused_total", "code" => "defect").increment(1);
    let command = &submission.command;
    if ends {
        tracing::error!(?command, "a proposal cannot be carried out: its order ends");
    } else {
        tracing::error!(?command, "a proposal cannot be carried out: the engine stops");
    }
}

/// The market told of no price that the auction of an order could have: neither a line nor what stands in for one.
pub(super) fn note_missed_auction(stream: StreamId, event: &Event) {
    let Event::Order(OrderEvent::OrderExpired { reason: ExpiryReason::AuctionMissed, at, .. }) =
        event
    else {
        return;
    };
    metrics::counter!("blotter_auctions_missed_total").increment(1);
    tracing::warn!(%stream, %at, "the auction of an order had no price");
}

/// The orders for closing auctions, and the options whose last session is over, that wait for an official close which the
/// market did not tell of.
#[derive(Debug, Default)]
pub(super) struct MissingCloses(BTreeSet<OrderId>, BTreeSet<InstrumentId>);

impl MissingCloses {
    /// Tells of each order and option once, and how many there are.
    pub(super) fn note(&mut self, core: &Core) {
        let waiting: BTreeSet<OrderId> = core.without_close().collect();
        let contracts: BTreeSet<InstrumentId> = core.contracts_without_close().collect();
        if waiting == self.0 && contracts == self.1 {
            return;
        }
        for contract in contracts.difference(&self.1) {
            let symbol = core.state().issues.get(contract).map(|issue| issue.symbol.as_str());
            tracing::warn!(%contract, symbol, "an option cannot expire: what it is on has no official close of its last session, and no price before it");
        }
        for order_id in waiting.difference(&self.0) {
            tracing::warn!(%order_id, "an order for the closing auction waits: its session has no official close");
        }
        metrics::gauge!("blotter_closes_missing").set((waiting.len() + contracts.len()) as f64);
        (self.0, self.1) = (waiting, contracts);
    }
}
