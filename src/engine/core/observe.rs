//! Folding committed events into the state. The only way in which orders, positions and instruments change here:
//! what the engine proposed counts once the log says so, which is also how a restart finds it again.

use aggregates::account::{AccountEvent, AccountKind};
use aggregates::id::{AccountId, InstrumentId, OrderId, TenantId};
use aggregates::instrument::{DividendStage, InstrumentEvent, OptionTerms};
use aggregates::market::{Evidence, EvidenceTick, MarketTime};
use aggregates::money::{Price, Quantity};
use aggregates::order::{CancelReason, LegFill, OrderEvent, OrderSpec};
use aggregates::position::PositionEvent;
use aggregates::stream::{Event, StreamId};

use super::book::{Sprung, Stop, Trailing, Working};
use super::interruptions::is_interruption;
use super::packages::Package;
use super::rescaling::scaled;
use super::state::{EngineState, Gate, Issue, Payout};
use crate::market::calendar::{new_york_date, new_york_midnight};

impl EngineState {
    /// Takes in the event at `position` of the log. Positions that were seen before change nothing.
    pub fn observe(&mut self, position: u64, tenant: TenantId, stream: StreamId, event: &Event) {
        if position <= self.position {
            return;
        }
        self.position = position;
        // Lines that passed unrecorded had moved the clock that it was told by.
        self.clock = self.clock.map(|clock| told_at(event).map_or(clock, |at| clock.max(at)));
        if let (StreamId::Account(account_id), Event::Account(event)) = (stream, event) {
            let held = self.held.get(&account_id);
            self.watch.observe_account(account_id, event, held);
        }
        match (stream, event) {
            (
                StreamId::Account(account_id),
                Event::Account(AccountEvent::AccountOpened { kind, .. }),
            ) => {
                self.tenants.insert(account_id, tenant);
                if *kind == AccountKind::Margin {
                    self.priced.insert(account_id, *kind);
                }
            }
            (
                StreamId::Account(account_id),
                Event::Account(AccountEvent::PolicyChanged { policy, .. }),
            ) => {
                if policy.needs_prices() {
                    self.priced.entry(account_id).or_insert(AccountKind::Cash);
                } else if self.priced.get(&account_id) == Some(&AccountKind::Cash) {
                    self.priced.remove(&account_id);
                }
            }
            (StreamId::Order(order_id), Event::Order(event)) => {
                self.observe_order(position, order_id, event);
            }
            (StreamId::Position(account_id, instrument_id), Event::Position(event)) => {
                let held = held_after(event);
                let owned = (account_id, instrument_id);
                self.watch.observe_position(owned, event, held.map(|(qty, _)| qty));
                if let Some((qty, at)) = held {
                    if let PositionEvent::PositionOpened { contract: Some(terms), .. } = event {
                        self.expects(instrument_id, terms);
                    }
                    self.take_adjusted(instrument_id, event);
                    self.holds(account_id, instrument_id, qty);
                    let holders = self.holders.entry(instrument_id).or_default();
                    let today = new_york_date(at);
                    if matches!(event, PositionEvent::PositionReset { .. }) {
                        holders.give_up(account_id, today);
                    } else {
                        holders.set(account_id, qty, today);
                    }
                    let is_held = !holders.is_empty();
                    self.is_held_on(instrument_id, is_held);
                }
                if let Some(issue) = self.issues.get_mut(&instrument_id) {
                    issue.observe_position(account_id, event);
                }
                self.follow_with_contract(owned, event);
            }
            (StreamId::Instrument(instrument_id), Event::Instrument(event)) => {
                self.observe_instrument(instrument_id, event);
            }
            _ => {}
        }
    }

    /// An account holds so much of an instrument.
    fn holds(&mut self, account_id: AccountId, instrument_id: InstrumentId, qty: Quantity) {
        if !qty.is_zero() {
            self.held.entry(account_id).or_default().insert(instrument_id);
        } else if let Some(held) = self.held.get_mut(&account_id) {
            held.remove(&instrument_id);
            if held.is_empty() {
                self.held.remove(&account_id);
            }
        }
    }

    /// Whether anybody holds an option.
    fn is_held_on(&mut self, option: InstrumentId, is_held: bool) {
        let Some(OptionTerms { underlying_id, .. }) = self.contracts.get(&option) else { return };
        let held_on = self.held_on.entry(*underlying_id).or_default();
        if is_held {
            held_on.insert(option);
        } else {
            held_on.remove(&option);
        }
        if held_on.is_empty() {
            self.held_on.remove(underlying_id);
        }
    }

    fn observe_order(&mut self, position: u64, order_id: OrderId, event: &OrderEvent) {
        match event {
            OrderEvent::OrderPlaced { order, held, reference, expires_at, at, .. } => {
                // A trailing stop begins at the price that it was accepted by, if it follows the market from there.
                let begun = reference.as_ref().map(|reference| reference.price);
                let mark = begun.filter(|price| order.is_activated_by(*price));
                let stop_price = order.stop_at(mark).or(order.trail.and(begun));
                let OrderSpec { account_id, instrument_id, side, qty, .. } = *order;
                let mut package = Package::of(order);
                for leg in order.package() {
                    let (Some(terms), Some(package)) = (&leg.contract, &mut package) else {
                        continue;
                    };
                    self.expects(leg.instrument_id, terms);
                    package.contradicts |= self.contracts.get(&leg.instrument_id) != Some(terms);
                }
                let mut working = Working {
                    order_id,
                    account_id,
                    instrument_id,
                    side,
                    limit: order.limit_price,
                    stop: stop_price.map(|price| Stop {
                        price,
                        trailing: order.trail.map(|trail| Trailing {
                            trail,
                            activation: order.activation_price,
                            mark,
                            fresh: true,
                        }),
                        by: order.trigger_by.unwrap_or_default(),
                        sprung: None,
                    }),
                    time_in_force: order.time_in_force,
                    extended: order.extended_hours,
                    held: *held,
                    fresh: false,
                    family: order.family(order_id),
                    filled: Quantity::ZERO,
                    leaves: qty,
                    notional: order.notional,
                    revision: 0,
                    fills: 0,
                    placed_at: *at,
                    expires_at: *expires_at,
                    rank: position,
                    unmet: None,
                    package: package.map(Box::new),
                };
                working.expires_at = self.order_ends(&working, *expires_at);
                self.orders.insert(working);
                if !held {
                    self.arrivals.insert(position, order_id);
                    self.arrived.insert(order_id);
                }
            }
            OrderEvent::OrderActivated { qty, at } => {
                self.change(order_id, |order| {
                    (order.held, order.fresh) = (false, true);
                    order.leaves = *qty;
                    // What began before the fill of its entry does not meet it.
                    (order.rank, order.placed_at) = (position, *at);
                });
                self.arrived.insert(order_id);
            }
            OrderEvent::OrderResized { revision, qty, .. } => {
                self.change(order_id, |order| {
                    order.revision = *revision;
                    order.leaves = qty.minus(order.filled).unwrap_or_default();
                });
            }
            OrderEvent::OrderFilled {
                n,
                qty,
                amount,
                filled_qty,
                leaves_qty,
                evidence,
                legs,
                ..
            } => {
                let Some(order) = self.orders.get(order_id) else { return };
                let (instrument_id, side) = (order.instrument_id, order.side);
                self.orders.filled(order_id, (*n, *amount), *filled_qty, *leaves_qty);
                // What fills at an official close takes nothing of the line that told of it.
                let of_line = !matches!(evidence.tick, EvidenceTick::OfficialClose { .. });
                let own = (instrument_id, side, *qty, evidence.tape_place);
                let of_leg = |leg: &LegFill| {
                    let side = leg.position_intent.side();
                    (leg.instrument_id, side, leg.qty, leg.evidence.tape_place)
                };
                let own = Some(own).filter(|_| of_line && legs.is_empty());
                for (instrument_id, side, qty, place) in
                    own.into_iter().chain(legs.iter().map(of_leg))
                {
                    if let Some(issue) = self.issues.get_mut(&instrument_id) {
                        issue.taken.add(place, side, qty);
                    }
                }
                self.forget_ended(order_id);
            }
            OrderEvent::OrderTriggered { stop_price, mark, limit_price, evidence, .. } => {
                let reached = (*stop_price, *mark, *limit_price);
                self.observe_trigger(position, order_id, reached, evidence);
            }
            OrderEvent::OrderReplaced {
                revision,
                qty,
                limit_price,
                stop_price,
                trail,
                activation_price,
                lifetime,
                loses_priority,
                at,
                ..
            } => {
                let ends = self.orders.get(order_id).zip(*lifetime);
                let ends = ends.and_then(|(order, it)| self.order_ends(order, it.expires_at));
                self.change(order_id, |order| {
                    order.move_stop(*stop_price);
                    if let Some((trailing, trail)) = order.trailing_mut().zip(*trail) {
                        trailing.trail = trail;
                    }
                    order.follow_from(*activation_price);
                    if let Some(lifetime) = lifetime {
                        (order.time_in_force, order.expires_at) = (lifetime.time_in_force, ends);
                    }
                    order.revision = *revision;
                    order.leaves = qty.minus(order.filled).unwrap_or_default();
                    order.limit = *limit_price;
                    if *loses_priority {
                        // What began before the change knows nothing of it.
                        (order.rank, order.placed_at) = (position, *at);
                    }
                });
                if self.orders.get(order_id).is_some_and(|order| !order.held) {
                    self.arrivals.insert(position, order_id);
                    self.arrived.insert(order_id);
                }
            }
            OrderEvent::OrderAdjusted {
                revision,
                qty,
                limit_price,
                stop_price,
                trail,
                activation_price,
                numerator,
                denominator,
                ..
            } => {
                self.change(order_id, |order| {
                    order.move_stop(*stop_price);
                    if let Some((trailing, trail)) = order.trailing_mut().zip(*trail) {
                        trailing.trail = trail;
                        trailing.activation = *activation_price;
                        trailing.mark =
                            trailing.mark.map(|mark| scaled(mark, *numerator, *denominator));
                    }
                    order.revision = *revision;
                    order.leaves = qty.minus(order.filled).unwrap_or_default();
                    order.limit = *limit_price;
                });
                self.follow(order_id);
            }
            OrderEvent::OrderCanceled { reason, .. } => {
                if matches!(
                    reason,
                    CancelReason::ReverseSplit
                        | CancelReason::SplitRoundedToNothing
                        | CancelReason::SplitOutOfBounds
                        | CancelReason::ContractAdjusted
                ) {
                    self.follow(order_id);
                }
                self.orders.remove(order_id);
                self.forget_ended(order_id);
            }
            OrderEvent::OrderExpired { .. } => {
                self.orders.remove(order_id);
                self.forget_ended(order_id);
            }
            OrderEvent::OrderRejected { .. } => {}
        }
    }

    /// A triggered order works from here on, behind those that work already. What fills it is the tick that triggered
    /// it or one of the same instant or later; a standing quote that is, it meets as an order that arrives does.
    fn observe_trigger(
        &mut self,
        position: u64,
        order_id: OrderId,
        (stop_price, mark, limit_price): (Price, Option<Price>, Option<Price>),
        evidence: &Evidence,
    ) {
        let point = match evidence.tick {
            EvidenceTick::Bar { point, .. } => Some(point),
            _ => None,
        };
        let (place, at) = (evidence.tape_place, evidence.at);
        self.change(order_id, |order| {
            order.rank = position;
            order.limit = limit_price.or(order.limit);
            if let Some(stop) = &mut order.stop {
                stop.price = stop_price;
                // A recovery may see the event before the tick that moved the mark.
                if let Some((trailing, mark)) = stop.trailing.as_mut().zip(mark) {
                    (trailing.mark, trailing.fresh) = (Some(mark), false);
                }
                stop.sprung = Some(Sprung { at, place, point });
            }
        });
        if let Some(round) = self.round.as_mut().filter(|round| round.place == place) {
            round.sprung.push(order_id);
        }
        if matches!(evidence.tick, EvidenceTick::Quote { .. }) {
            return;
        }
        let issue = self.orders.get(order_id).and_then(|o| self.issues.get(&o.instrument_id));
        let quote = issue.and_then(|issue| issue.quote.as_ref());
        if quote.is_some_and(|quote| quote.at >= at) && !self.arrivals.contains(order_id) {
            self.arrivals.insert(position, order_id);
        }
    }

    /// An order that has ended has no arrival to wait for, and no line will find whether it met a quote.
    fn forget_ended(&mut self, order_id: OrderId) {
        if self.orders.get(order_id).is_none() {
            self.arrivals.remove(order_id);
            self.arrived.remove(&order_id);
        }
    }

    fn change(&mut self, order_id: OrderId, change: impl FnOnce(&mut Working)) {
        if let Some(mut order) = self.orders.remove(order_id) {
            change(&mut order);
            self.orders.insert(order);
        }
    }

    /// The order's account has followed the split that gates the order's instrument.
    fn follow(&mut self, order_id: OrderId) {
        let Some(order) = self.orders.get(order_id) else { return };
        let issue = self.issues.get_mut(&order.splits_with());
        if let Some(gate) = issue.and_then(|issue| issue.gate.as_mut()) {
            gate.followed.insert(order.account_id);
        }
    }

    fn observe_instrument(&mut self, instrument_id: InstrumentId, event: &InstrumentEvent) {
        if let InstrumentEvent::InstrumentListed { symbol, kind, .. } = event {
            self.symbols.insert(symbol.clone(), instrument_id);
            let issue = self.issues.entry(instrument_id).or_default();
            issue.symbol.clone_from(symbol);
            issue.kind = *kind;
            issue.market_halted = self.market_halt.is_some();
            self.put_on(instrument_id);
            self.is_listed(instrument_id);
            return;
        }
        let Some(issue) = self.issues.get_mut(&instrument_id) else { return };
        match event {
            InstrumentEvent::InstrumentListed { .. } => {}
            InstrumentEvent::ContractExpired { .. } => issue.expired = true,
            InstrumentEvent::ContractSettled { .. } => self.forget_contract(instrument_id),
            InstrumentEvent::TradingHalted { .. } => {
                issue.halted = true;
                issue.interrupt();
            }
            InstrumentEvent::TradingResumed { .. } => {
                issue.halted = false;
                issue.interrupt();
            }
            InstrumentEvent::SplitBegun { action_id, split } => {
                issue.splits.insert(action_id.clone(), split.clone());
                issue.split_at = issue.split_at.max(Some(split.at));
                issue.gate = Some(Gate {
                    action_id: action_id.clone(),
                    split: split.clone(),
                    seen: Default::default(),
                    followed: Default::default(),
                });
                issue.interrupt();
                self.gates.insert(instrument_id);
            }
            InstrumentEvent::SplitCompleted { .. } => {
                if let Some(gate) = issue.gate.take() {
                    issue.rescale(&gate.split);
                    let issues = &self.issues;
                    let on = |option: &InstrumentId| issues.get(option).and_then(|it| it.on);
                    let kept = self.last_before_end.iter_mut();
                    kept.filter(|(option, _)| on(option) == Some(instrument_id))
                        .for_each(|(_, last)| last.rescale(&gate.split));
                }
                self.gates.remove(&instrument_id);
            }
            InstrumentEvent::DividendDeclared { action_id, ex, pay, .. } => {
                issue.dividends.insert(
                    action_id.clone(),
                    Payout {
                        ex: *ex,
                        pay: *pay,
                        stage: DividendStage::Declared,
                        accrued: Default::default(),
                        unpaid: Default::default(),
                    },
                );
                self.awaited.insert((new_york_midnight(*ex), instrument_id, action_id.clone()));
            }
            InstrumentEvent::DividendAccrualCompleted { action_id, .. } => {
                if let Some(payout) = issue.dividends.get_mut(action_id) {
                    payout.stage = DividendStage::Accrued;
                    self.awaited.remove(&(
                        new_york_midnight(payout.ex),
                        instrument_id,
                        action_id.clone(),
                    ));
                    self.awaited.insert((
                        new_york_midnight(payout.pay),
                        instrument_id,
                        action_id.clone(),
                    ));
                }
            }
            InstrumentEvent::DividendCompleted { action_id, .. } => {
                if let Some(payout) = issue.dividends.get_mut(action_id) {
                    payout.stage = DividendStage::Paid;
                    self.awaited.remove(&(
                        new_york_midnight(payout.pay),
                        instrument_id,
                        action_id.clone(),
                    ));
                }
            }
            InstrumentEvent::OfficiallyClosed { session, price, .. } => {
                issue.closed = Some((*session, *price));
            }
        }
        if let InstrumentEvent::SplitBegun { split, .. } = event {
            self.void_contracts(instrument_id, split);
        }
        if is_interruption(event) {
            self.hold_up(instrument_id);
        }
    }
}

impl Issue {
    fn observe_position(&mut self, account_id: AccountId, event: &PositionEvent) {
        match event {
            PositionEvent::PositionSplit { .. } | PositionEvent::SplitNotFollowed { .. } => {
                if let Some(gate) = &mut self.gate {
                    gate.followed.insert(account_id);
                }
            }
            PositionEvent::DividendAccrued { action_id, .. } => {
                if let Some(payout) = self.dividends.get_mut(action_id) {
                    self.awaits_price = true;
                    payout.accrued.insert(account_id);
                    payout.unpaid.insert(account_id);
                }
            }
            // What had accrued is given up: nobody is paid any more.
            PositionEvent::PositionReset { .. } => {
                for payout in self.dividends.values_mut() {
                    payout.unpaid.remove(&account_id);
                }
            }
            PositionEvent::DividendSettled { action_id, .. } => {
                if let Some(payout) = self.dividends.get_mut(action_id) {
                    payout.unpaid.remove(&account_id);
                }
            }
            _ => {}
        }
    }
}

/// The market time that somebody's command was told by: of a line that was worked, or that passed unrecorded.
fn told_at(event: &Event) -> Option<MarketTime> {
    match event {
        Event::Order(
            OrderEvent::OrderPlaced { at, .. }
            | OrderEvent::OrderRejected { at, .. }
            | OrderEvent::OrderReplaced { at, .. }
            | OrderEvent::OrderCanceled { at, .. },
        )
        | Event::Position(PositionEvent::PositionReset { at, .. }) => Some(*at),
        Event::Account(
            AccountEvent::CashDeposited { at, .. }
            | AccountEvent::CashWithdrawn { at, .. }
            | AccountEvent::AccountReset { at, .. },
        ) => *at,
        _ => None,
    }
}

/// The holding after an event of a position and the time of the event, where it changes the holding.
fn held_after(event: &PositionEvent) -> Option<(Quantity, MarketTime)> {
    match event {
        PositionEvent::PositionOpened { position_qty, at, .. }
        | PositionEvent::PositionIncreased { position_qty, at, .. }
        | PositionEvent::PositionReduced { position_qty, at, .. }
        | PositionEvent::OptionEnded { position_qty, at, .. }
        | PositionEvent::SharesDelivered { position_qty, at, .. }
        | PositionEvent::AdjustedContractOpened { position_qty, at, .. }
        | PositionEvent::PositionSplit { position_qty, at, .. } => Some((*position_qty, *at)),
        PositionEvent::PositionClosed { at, .. }
        | PositionEvent::ContractAdjusted { at, .. }
        | PositionEvent::PositionReset { at, .. } => Some((Quantity::ZERO, *at)),
        PositionEvent::SharesReserved { .. }
        | PositionEvent::ExerciseInstructed { .. }
        | PositionEvent::SplitNotFollowed { .. }
        | PositionEvent::SharesReservationAdjusted { .. }
        | PositionEvent::SharesReleased { .. }
        | PositionEvent::DividendAccrued { .. }
        | PositionEvent::DividendSettled { .. } => None,
    }
}
