//! Which stops a tick reaches: the rules of `docs/rules.md`, Stops.
//!
//! Triggers come before the fills of the same tick, so what a tick triggers it may fill. Costs O(log n + k), k the
//! orders triggered.

use aggregates::id::InstrumentId;
use aggregates::market::{BarPoint, Evidence, EvidenceTick, MarketTime};
use aggregates::money::Price;
use aggregates::order::{Side, Trigger, TriggerBy};
use aggregates::trading::Command;

use super::book::Reached;
use super::matching::{LAST_POINT, ROUND_CAP, Showing, path};
use super::rounds::{Proposal, Round};
use super::state::{Kinds, Print};
use super::{Core, Settings};
use crate::market::tick::{Bar, Tick, Trade};

/// One price that the stops of one side see.
struct Sight<'a> {
    instrument_id: InstrumentId,
    side: Side,
    price: Price,
    /// Which stops look at it.
    triggers: &'a [TriggerBy],
    /// Orders that were accepted later are not triggered.
    began: Option<MarketTime>,
    evidence: &'a Evidence,
}

impl Kinds {
    /// Which stops a quote triggers: those that look at quotes, and without trades all.
    fn by_quotes(self) -> &'static [TriggerBy] {
        match self {
            Self { trades: true, .. } => &[TriggerBy::Quote],
            Self { trades: false, .. } => &[TriggerBy::Last, TriggerBy::Quote],
        }
    }

    /// Which stops a trade triggers: those that look at the last trade, and without quotes all.
    fn by_trades(self) -> &'static [TriggerBy] {
        match self {
            Self { quotes: true, .. } => &[TriggerBy::Last],
            Self { quotes: false, .. } => &[TriggerBy::Last, TriggerBy::Quote],
        }
    }
}

impl Print {
    /// It as evidence: of a bar, its close.
    fn evidence(&self) -> Option<(Price, Evidence)> {
        let (price, tick) = match &self.tick {
            Tick::Trade(Trade { price, size, .. }) => {
                (*price, EvidenceTick::Trade { price: *price, size: *size })
            }
            Tick::Bar(bar) => (bar.close, bar.evidence(BarPoint::Close)),
            _ => return None,
        };
        let (source, tape_place) = (self.source.clone(), self.place);
        Some((price, Evidence { source, tape_place, at: self.began, tick }))
    }
}

impl Bar {
    /// One point of it as evidence.
    pub(super) fn evidence(&self, point: BarPoint) -> EvidenceTick {
        let Self { open, high, low, close, volume, .. } = *self;
        EvidenceTick::Bar { open, high, low, close, volume, point }
    }
}

impl Core {
    /// The stops that the round's tick reaches at its present point.
    pub(super) fn triggers(&self, round: &Round, point: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        let Some((instrument_id, issue)) = self.trading(round) else { return commands };
        match &round.tick {
            Tick::Quote(_) => {
                let Some(quote) = issue.quote_at(round.place) else { return commands };
                let evidence = quote.evidence();
                for side in [Side::Buy, Side::Sell] {
                    let sight = Sight {
                        instrument_id,
                        side,
                        price: quote.touch(side).0,
                        triggers: issue.kinds.by_quotes(),
                        began: None,
                        evidence: &evidence,
                    };
                    self.look(&sight, &mut commands);
                }
            }
            Tick::Trade(trade) => {
                let Trade { price, size, at, .. } = *trade;
                let evidence = self.evidence(round, at, EvidenceTick::Trade { price, size });
                for side in [Side::Buy, Side::Sell] {
                    let (triggers, began) = (issue.kinds.by_trades(), Some(at));
                    let sight =
                        Sight { instrument_id, side, price, triggers, began, evidence: &evidence };
                    self.look(&sight, &mut commands);
                }
            }
            Tick::Bar(bar) if issue.kinds == Kinds::default() => {
                let point = path(bar)[point];
                let (price, sides): (Price, &[Side]) = match point {
                    BarPoint::Open => (bar.open, &[Side::Buy, Side::Sell]),
                    BarPoint::High => (bar.high, &[Side::Buy]),
                    BarPoint::Low => (bar.low, &[Side::Sell]),
                    // It lies between the extremes: only what follows them may be new.
                    BarPoint::Close => (bar.close, &[Side::Buy, Side::Sell]),
                };
                let evidence = self.evidence(round, round.began, bar.evidence(point));
                for side in sides {
                    let sight = Sight {
                        instrument_id,
                        side: *side,
                        price,
                        triggers: issue.kinds.by_trades(),
                        began: Some(round.began),
                        evidence: &evidence,
                    };
                    self.look(&sight, &mut commands);
                }
            }
            _ => {}
        }
        commands
    }

    /// Moves the marks that a point of the round's tick is beyond, once it has triggered what it triggers. A bar moves them
    /// by its extremes, before its close.
    pub(super) fn ratchet(&mut self, round: &Round, point: usize) {
        let Some((instrument_id, issue)) = self.trading(round) else { return };
        let kinds = issue.kinds;
        let quote = issue.quote_at(round.place);
        let (buy, sell, triggers) = match &round.tick {
            Tick::Quote(_) => match quote {
                Some(quote) => (quote.ask, quote.bid, kinds.by_quotes()),
                None => return,
            },
            Tick::Trade(trade) => (trade.price, trade.price, kinds.by_trades()),
            Tick::Bar(bar) if kinds == Kinds::default() && point + 1 == LAST_POINT => {
                (bar.low, bar.high, kinds.by_trades())
            }
            _ => return,
        };
        let orders = &mut self.state.orders;
        orders.ratchet(instrument_id, Side::Buy, triggers, buy);
        orders.ratchet(instrument_id, Side::Sell, triggers, sell);
    }

    fn look(&self, sight: &Sight<'_>, commands: &mut Vec<Command>) {
        let Sight { instrument_id, side, price, triggers, began, evidence } = *sight;
        for reached in self.state.orders.stops_reached(instrument_id, side, triggers, price) {
            let order = reached.order;
            if commands.len() >= ROUND_CAP {
                return;
            }
            let later = began.is_some_and(|began| order.placed_at > began);
            // One that has not been evaluated on its arrival yet meets no tick before that.
            if later || order.is_over(self.state.clock) || self.is_arriving(order.order_id) {
                continue;
            }
            commands.extend(self.trigger(&reached, evidence.clone()));
        }
    }

    /// The proposal to trigger, unless the ledger refused the same one in this round.
    pub(super) fn trigger(&self, reached: &Reached<'_>, evidence: Evidence) -> Option<Command> {
        let Reached { order, stop_price, mark } = *reached;
        let (order_id, revision, at) = (order.order_id, order.revision, self.state.clock?);
        if self.is_tried(&Proposal::Trigger(order_id, revision)) {
            return None;
        }
        let trigger = Trigger { revision, mark, stop_price, evidence };
        Some(Command::Trigger { order_id, trigger, at })
    }
}

impl Showing<'_> {
    /// The standing price that has reached a stop already: of the kind that triggers it, and not older than quotes may
    /// be.
    pub(super) fn reaches(
        self,
        side: Side,
        stop_price: Price,
        by: TriggerBy,
        clock: MarketTime,
        settings: &Settings,
    ) -> Option<Evidence> {
        let (price, evidence) = if self.kinds.quotes && self.kinds.by_quotes().contains(&by) {
            let quote = self.standing(clock, settings)?;
            (quote.touch(side).0, quote.evidence())
        } else {
            let print = self.print.filter(|print| print.eligible && self.trades)?;
            let fresh = settings.is_fresh(print.at, clock);
            print.evidence().filter(|_| fresh)?
        };
        let reached = match side {
            Side::Buy => price >= stop_price,
            Side::Sell => price <= stop_price,
        };
        reached.then_some(evidence)
    }
}
