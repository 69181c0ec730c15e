//! What an order would come to if it arrived now: decided by [`decide`] itself, step by step as the ledger and the
//! engine would, on copies of the aggregates that it touches. Nothing is stored.
//!
//! A refusal is the one that placing would give, with the same code and figures. Costs a copy of one account and one
//! position, and a decision for each step.

use std::collections::{BTreeMap, BTreeSet};

use super::arrival::{Arrival, Offer, arrival, takeable};
use super::margin::standing;
use super::{Command, Decision, Desk, MarketView, Undecided, World, decide};
use crate::account::Account;
use crate::id::{AccountId, InstrumentId, OrderId, UserId};
use crate::instrument::Instrument;
use crate::margin::{Marks, Standing};
use crate::market::Evidence;
use crate::money::{AmountError, Money, Price, Quantity, Residue};
use crate::order::{
    CancelReason, Execution, Order, OrderClass, OrderEvent, OrderSpec, OrderStatus, Trigger,
};
use crate::position::Position;
use crate::rules::Rules;
use crate::stream::{Decide, Event, StreamId};
use crate::user::User;
use crate::writer::Writer;

/// An order on trial, and the market that it would meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// An id that no order has.
    pub order_id: OrderId,
    /// What is asked for.
    pub spec: OrderSpec,
    /// The market that it arrives at.
    pub market: MarketView,
    /// The tick that has reached its stop already.
    pub trigger: Option<Evidence>,
    /// What would fill it at once.
    pub offer: Option<Offer>,
    /// What the stop-loss meets that arrives with the take-profit of an oco.
    pub stop_loss: Met,
}

/// What an order meets on its arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Met {
    /// The tick that has reached its stop already.
    pub trigger: Option<Evidence>,
    /// What would fill it at once.
    pub offer: Option<Offer>,
}

/// The figures of an account that an order can move.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The balance.
    pub cash: Money,
    /// What open orders reserve of it; of the margin of a margin account.
    pub reserved: Money,
    /// What new options may cost, of which nothing is borrowed, and in a cash account all other orders; `None` for a margin
    /// account that holds something without a price.
    pub options_buying_power: Option<Money>,
    /// Whether it is a margin account.
    pub margin: bool,
    /// What the account is worth and what backs a margin account; `None` if a price of what it holds did not come with
    /// the trial.
    pub standing: Option<Standing>,
    /// Shares or contracts held of what the order trades.
    pub qty: Quantity,
    /// The shares that these are on: of contracts more than there are.
    pub shares: Quantity,
    /// Shares or contracts held that no open order has reserved to close them; of a cash account without the shares that cover
    /// its calls.
    pub qty_available: Quantity,
    /// What these shares cost.
    pub cost: Money,
    /// Profit taken in them so far.
    pub realized_pl: Money,
}

/// What an order would come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Impact {
    /// The figures as they are.
    pub before: Figures,
    /// The figures after the order's arrival.
    pub after: Figures,
    /// What it would reserve of the account when it is taken: its worst cost, or the initial margin of it. 0 for an
    /// order that only closes, which reserves shares.
    pub worst_cost: Money,
    /// The price that this is counted at.
    pub reserve_price: Option<Price>,
    /// Where the order would stand.
    pub status: OrderStatus,
    /// Why it would be canceled.
    pub cancel_reason: Option<CancelReason>,
    /// Shares that would fill at once.
    pub filled_qty: Quantity,
    /// What they would cost or bring, before fees.
    pub filled_amount: Money,
    /// What rounding that to the cent left off.
    pub filled_residue: Residue,
    /// What these fills would be charged.
    pub fees: Money,
    /// The fee of one fill of what stays open.
    pub fees_open: Money,
    /// The order as it would be taken: one of options with its contracts, each leg told to open or to close.
    pub taken: OrderSpec,
}

/// The world with copies of what the order touches.
struct Overlay<'a, W> {
    world: &'a W,
    account: (AccountId, Account),
    orders: BTreeMap<OrderId, Order>,
    positions: BTreeMap<InstrumentId, Position>,
}

impl<W: World> World for Overlay<'_, W> {
    fn account(&self, id: AccountId) -> Option<&Account> {
        if id == self.account.0 { Some(&self.account.1) } else { self.world.account(id) }
    }

    fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id).or_else(|| self.world.order(id))
    }

    fn position(&self, account: AccountId, instrument: InstrumentId) -> Option<&Position> {
        let own = self.positions.get(&instrument).filter(|_| account == self.account.0);
        own.or_else(|| self.world.position(account, instrument))
    }

    fn holdings(&self, account: AccountId) -> Option<Vec<InstrumentId>> {
        let mut held = self.world.holdings(account)?;
        for instrument in self.positions.keys().filter(|_| account == self.account.0) {
            if let Err(place) = held.binary_search(instrument) {
                held.insert(place, *instrument);
            }
        }
        Some(held)
    }

    fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.world.instrument(id)
    }

    fn user(&self, id: UserId) -> Option<&User> {
        self.world.user(id)
    }

    fn writer(&self, shard: u16) -> Option<&Writer> {
        self.world.writer(shard)
    }
}

impl<W: World> Overlay<'_, W> {
    fn figures(
        &self,
        of: InstrumentId,
        (marks, rules): (&Marks, &Rules),
    ) -> Result<Figures, Undecided> {
        let account = &self.account.1;
        let position = World::position(self, self.account.0, of);
        let position = position.ok_or(Undecided::Absent(StreamId::Position(self.account.0, of)))?;
        let standing = match standing(self, self.account.0, marks) {
            // A cash account is decided without prices.
            _ if !account.is_margin() && marks.is_empty() => None,
            Ok(standing) => Some(standing),
            Err(Undecided::Refused(_)) => None,
            Err(absent) => return Err(absent),
        };
        let mut qty_available = position.available()?;
        let options_buying_power = match (account.is_margin(), &standing) {
            (false, _) => {
                let desk = Desk { world: self, rules, decision: Decision::default() };
                let covering = desk.covering_beside(self.account.0, of, &BTreeSet::new())?;
                if covering.is_positive() {
                    qty_available = qty_available.minus(covering)?.max(Quantity::ZERO);
                }
                Some(account.available()?.minus(desk.collateral(self.account.0)?)?)
            }
            (true, Some(standing)) => Some(standing.excess(account.reserved())?.max(Money::ZERO)),
            (true, None) => None,
        };
        Ok(Figures {
            cash: account.cash(),
            reserved: account.reserved(),
            options_buying_power,
            margin: account.is_margin(),
            standing,
            shares: match position.contract() {
                Some(terms) => terms.shares_of(position.qty())?,
                None => position.qty(),
            },
            qty: position.qty(),
            qty_available,
            cost: position.cost()?,
            realized_pl: position.realized_pl(),
        })
    }

    fn order(&self, order_id: OrderId) -> Result<&Order, Undecided> {
        self.orders.get(&order_id).ok_or(Undecided::Absent(StreamId::Order(order_id)))
    }

    fn apply(&mut self, decision: &Decision) {
        let world = self.world;
        for (stream, event) in &decision.events {
            let applied = match (stream, event) {
                (StreamId::Account(_), Event::Account(event)) => self.account.1.evolve(event),
                // A fill may take of the shares of exits that were there before.
                (StreamId::Order(order_id), Event::Order(event)) => {
                    let order = self.orders.entry(*order_id);
                    order
                        .or_insert_with(|| world.order(*order_id).cloned().unwrap_or_default())
                        .evolve(event)
                }
                (StreamId::Position(account_id, instrument_id), Event::Position(event)) => {
                    let position = self.positions.entry(*instrument_id);
                    position
                        .or_insert_with(|| {
                            world.position(*account_id, *instrument_id).cloned().unwrap_or_default()
                        })
                        .evolve(event)
                }
                _ => Ok(()),
            };
            applied.expect("an event follows from the state that it was decided on");
        }
    }
}

/// Tells what the order would come to, or why it would be refused.
pub fn preview(world: &impl World, trial: &Trial, rules: &Rules) -> Result<Impact, Undecided> {
    let Trial { order_id, spec, market, .. } = trial;
    let (account_id, instrument_id) = (spec.account_id, spec.instrument_id);
    let account =
        world.account(account_id).ok_or(Undecided::Absent(StreamId::Account(account_id)))?;
    let mut positions = BTreeMap::new();
    for instrument_id in spec.instruments() {
        let position = world.position(account_id, instrument_id);
        let absent = Undecided::Absent(StreamId::Position(account_id, instrument_id));
        positions.insert(instrument_id, position.ok_or(absent)?.clone());
    }
    let children = spec.children(*order_id);
    let ids = std::iter::once(*order_id).chain(children.iter().map(|(child_id, _)| *child_id));
    let mut overlay = Overlay {
        world,
        account: (account_id, account.clone()),
        orders: ids.map(|order_id| (order_id, Order::default())).collect(),
        positions,
    };
    let before = overlay.figures(instrument_id, (&market.marks, rules))?;
    let place = Command::Place { order_id: *order_id, spec: spec.clone(), market: market.clone() };
    let placed = decide(&overlay, &place, rules)?;
    if let Some(refusal) = placed.rejected {
        return Err(refusal.into());
    }
    overlay.apply(&placed);
    let worst_cost = overlay.account.1.reservation(*order_id);
    let taken = overlay.order(*order_id)?.spec().unwrap_or(spec).clone();
    let mut arrived = Arrived::of(*order_id, &taken);
    let met = Met { trigger: trial.trigger.clone(), offer: trial.offer.clone() };
    arrived.carry_out(&mut overlay, (*order_id, spec), &met, trial, rules)?;
    for (child_id, child) in children.iter().filter(|_| spec.order_class == OrderClass::Oco) {
        arrived.carry_out(&mut overlay, (*child_id, child), &trial.stop_loss, trial, rules)?;
    }
    let order = overlay.order(*order_id)?;
    let open = if order.is_open() { order.leaves_qty()? } else { Quantity::ZERO };
    let fees_open = if open.is_zero() { Money::ZERO } else { rules.fees.of(&taken, open)? };
    Ok(Impact {
        before,
        after: overlay.figures(instrument_id, (&market.marks, rules))?,
        worst_cost,
        reserve_price: order.reserve_price(),
        status: order.status().unwrap_or(OrderStatus::Accepted),
        cancel_reason: arrived.cancel_reason,
        filled_qty: order.filled_qty(),
        filled_amount: arrived.amount,
        filled_residue: arrived.residue,
        fees: arrived.fees,
        fees_open,
        taken,
    })
}

/// What came of an order's arrival, and of that of the stop-loss beside it.
struct Arrived<'a> {
    order_id: OrderId,
    spec: &'a OrderSpec,
    amount: Money,
    residue: Residue,
    fees: Money,
    cancel_reason: Option<CancelReason>,
    /// Shares that were taken of the offer.
    taken: Quantity,
}

impl<'a> Arrived<'a> {
    fn of(order_id: OrderId, spec: &'a OrderSpec) -> Self {
        Self {
            order_id,
            spec,
            amount: Money::ZERO,
            residue: Residue::ZERO,
            fees: Money::ZERO,
            cancel_reason: None,
            taken: Quantity::ZERO,
        }
    }

    /// Lets an order arrive: it is triggered, fills, ends or rests, as the engine would have it.
    fn carry_out<W: World>(
        &mut self,
        overlay: &mut Overlay<'_, W>,
        (order_id, spec): (OrderId, &OrderSpec),
        met: &Met,
        trial: &Trial,
        rules: &Rules,
    ) -> Result<(), Undecided> {
        let (account_id, at) = (spec.account_id, trial.market.at);
        let opens = overlay.order(order_id)?.is_open();
        let reached = met.trigger.clone().zip(spec.stop_price).filter(|_| opens);
        if let Some((evidence, stop_price)) = reached {
            let revision = overlay.order(order_id)?.revision();
            let trigger = Trigger { revision, mark: None, stop_price, evidence };
            let triggered = decide(&*overlay, &Command::Trigger { order_id, trigger, at }, rules)?;
            overlay.apply(&triggered);
        }
        let waits = spec.order_type.is_stop() && met.trigger.is_none();
        let offer = met.offer.as_ref().filter(|_| !waits);
        let mut left = match offer {
            Some(offer) if offer.left > self.taken => offer.left.minus(self.taken)?,
            _ => Quantity::ZERO,
        };
        loop {
            let order = overlay.order(order_id)?;
            if !order.is_open() {
                break;
            }
            let leaves = match offer {
                Some(offer) => order.leaves_at(offer.price)?,
                None => order.leaves_qty()?,
            };
            let takes =
                takeable((overlay.account.1.is_margin(), spec.notional.is_some()), leaves, left);
            let (command, fills) = match (arrival(spec.time_in_force, leaves, takes), offer) {
                (Arrival::Fill(qty), Some(offer)) => {
                    left = left.minus(qty)?;
                    self.taken = self.taken.plus(qty)?;
                    let execution = Execution {
                        revision: order.revision(),
                        after_fills: order.fills(),
                        qty,
                        price: offer.price,
                        evidence: offer.evidence.clone(),
                        legs: offer.legs.clone(),
                    };
                    (
                        Command::Fill {
                            order_id,
                            execution,
                            marks: trial.market.marks.clone(),
                            at,
                        },
                        true,
                    )
                }
                (Arrival::End(reason), _) => {
                    (Command::Cancel { account_id, order_id, reason, at }, false)
                }
                (Arrival::Fill(_) | Arrival::Rest, _) => break,
            };
            match decide(&*overlay, &command, rules) {
                Ok(decision) => {
                    self.take_in(&decision)?;
                    overlay.apply(&decision);
                }
                // The engine does not propose it a second time.
                Err(Undecided::Refused(_)) if fills => left = Quantity::ZERO,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn take_in(&mut self, decision: &Decision) -> Result<(), AmountError> {
        let of_order = StreamId::Order(self.order_id);
        for (_, event) in decision.events.iter().filter(|(stream, _)| *stream == of_order) {
            match event {
                Event::Order(OrderEvent::OrderFilled { qty, price, amount, fees, .. }) => {
                    self.amount = self.amount.plus(*amount)?;
                    let residue = Residue::of_fill(self.spec.priced(*qty)?, *price, *amount)?;
                    self.residue = self.residue.plus(residue)?;
                    self.fees = self.fees.plus(*fees)?;
                }
                Event::Order(OrderEvent::OrderCanceled { reason, .. }) => {
                    self.cancel_reason = Some(*reason);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
