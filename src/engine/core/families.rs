//! Orders that belong together, in one round: each proposal supposes that the others are accepted, so of a family one
//! order acts, and the others are looked at again when the log says what came of it. When an order by itself has acted in
//! a margin account, it may have taken of the shares that exits of the account are for, and a family ends when those of its
//! exits are gone: what is behind an order of a family waits with it for the next round. And of two exits that one bar
//! reaches the stop-loss is the one.

use std::collections::BTreeSet;

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::market::{BarPoint, Evidence, EvidenceTick};
use aggregates::order::{Exit, Side};
use aggregates::trading::Command;

use super::Core;
use super::book::Working;
use super::matching::ROUND_CAP;
use super::state::EngineState;

/// The proposals of one round.
#[derive(Debug)]
pub(super) struct Proposals<'a> {
    state: &'a EngineState,
    commands: Vec<Command>,
    /// The families that act.
    bound: BTreeSet<OrderId>,
    /// The positions of margin accounts in which an order by itself acts.
    moved: BTreeSet<(AccountId, InstrumentId)>,
}

impl<'a> Proposals<'a> {
    /// None yet.
    pub(super) fn new(state: &'a EngineState) -> Self {
        Self { state, commands: Vec::new(), bound: BTreeSet::new(), moved: BTreeSet::new() }
    }

    /// No more fit into the round.
    pub(super) fn is_full(&self) -> bool {
        self.commands.len() >= ROUND_CAP
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Another order of its family acts in this round.
    pub(super) fn binds(&self, order: &Working) -> bool {
        order.family.is_some_and(|family| self.bound.contains(&family))
    }

    /// It is of a family, and what acts in this round may end it or leave another number open of it.
    pub(super) fn unsettles(&self, order: &Working) -> bool {
        let position = (order.account_id, order.instrument_id);
        order.family.is_some() && self.moved.contains(&position)
    }

    pub(super) fn push(&mut self, order: &Working, command: Command) {
        self.bound.extend(order.family);
        let of_margin = self.state.priced.get(&order.account_id) == Some(&AccountKind::Margin);
        if order.family.is_none() && of_margin {
            self.moved.insert((order.account_id, order.instrument_id));
        }
        self.commands.push(command);
    }

    pub(super) fn into_commands(self) -> Vec<Command> {
        self.commands
    }
}

impl Core {
    /// Whether an order leaves a bar to the stop-loss of its family: the bar reaches that too, and nobody knows which
    /// price came first. What a bar opens at did.
    pub(super) fn yields(&self, order: &Working, evidence: &Evidence) -> bool {
        let EvidenceTick::Bar { high, low, point, .. } = &evidence.tick else { return false };
        let sibling = order.family.map(|family| family.exit(Exit::StopLoss));
        let sibling = sibling.and_then(|sibling| self.state.orders.get(sibling));
        let Some(sibling) = sibling.filter(|sibling| sibling.order_id != order.order_id) else {
            return false;
        };
        let works = !sibling.held && !sibling.fresh && sibling.placed_at <= evidence.at;
        let waits = sibling.waits_for().filter(|_| works && sibling.side == order.side);
        let Some(stop) = waits else { return false };
        let reached = match sibling.side {
            Side::Sell => *low <= stop.price,
            Side::Buy => *high >= stop.price,
        };
        *point != BarPoint::Open && reached && !sibling.is_over(self.state.clock)
    }
}
