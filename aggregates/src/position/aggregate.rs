//! The Position aggregate. The sum of its lots is the holding; every lot has the sign of the holding.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::command::PositionCommand;
use super::error::PositionError;
use super::event::{ClosedLot, Lot, PositionEvent};
use super::split::split;
use crate::id::OrderId;
use crate::instrument::OptionTerms;
use crate::money::{AmountError, Money, Quantity};
use crate::order::Side;
use crate::rules::Rules;
use crate::stream::{Decide, Impossible, event_sourced};

/// One position. `Default` is one that was never opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub(super) qty: Quantity,
    pub(super) lots: VecDeque<Lot>,
    pub(super) realized_pl: Money,
    reserved_qty: Quantity,
    pub(super) reservations: BTreeMap<OrderId, Quantity>,
    pub(super) splits: BTreeSet<String>,
    /// Dividends earned or owed and not yet paid.
    accrued: BTreeMap<String, Money>,
    dividends: BTreeSet<String>,
    /// Of an option what it is, once it was held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) contract: Option<OptionTerms>,
    /// Of a long option: its owner does not want it exercised when it expires.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) do_not_exercise: bool,
}

event_sourced!(Position, "position", PositionCommand, PositionEvent {
    PositionOpened "1.1",
    PositionIncreased "1.0",
    PositionReduced "1.0",
    PositionClosed "1.0",
    SharesReserved "1.0",
    SharesReservationAdjusted "1.0",
    SharesReleased "1.0",
    PositionSplit "1.0",
    SplitNotFollowed "1.0",
    PositionReset "1.0",
    DividendAccrued "1.0",
    DividendSettled "1.0",
    ExerciseInstructed "1.0",
    OptionEnded "1.1",
    SharesDelivered "1.0",
    ContractAdjusted "1.0",
    AdjustedContractOpened "1.0",
}, PositionError);

impl Position {
    /// Shares held; negative is short.
    pub fn qty(&self) -> Quantity {
        self.qty
    }

    /// Of an option what it is; `None` of a stock, and before it was held.
    pub fn contract(&self) -> Option<&OptionTerms> {
        self.contract.as_ref()
    }

    /// Whether its owner does not want a long option exercised when it expires.
    pub fn do_not_exercise(&self) -> bool {
        self.do_not_exercise
    }

    /// The lots, oldest first.
    pub fn lots(&self) -> impl Iterator<Item = &Lot> {
        self.lots.iter()
    }

    /// Profit taken so far.
    pub fn realized_pl(&self) -> Money {
        self.realized_pl
    }

    /// Shares that open orders have reserved to close the holding: sells of a long one, buys of a short one.
    pub fn reserved_qty(&self) -> Quantity {
        self.reserved_qty
    }

    /// Shares that one open order has reserved to close the holding.
    pub fn reservation(&self, order_id: OrderId) -> Quantity {
        self.reservations.get(&order_id).copied().unwrap_or_default()
    }

    /// Shares held and free; negative is short.
    pub fn available(&self) -> Result<Quantity, AmountError> {
        if self.qty.is_negative() {
            return self.qty.plus(self.reserved_qty);
        }
        self.qty.minus(self.reserved_qty)
    }

    /// The dividend of this action that has accrued and is not yet paid.
    pub fn accrued(&self, action_id: &str) -> Option<Money> {
        self.accrued.get(action_id).copied()
    }

    /// All dividends that have accrued and are not yet paid.
    pub fn dividends_due(&self) -> Result<Money, AmountError> {
        self.accrued.values().try_fold(Money::ZERO, |sum, amount| sum.plus(*amount))
    }

    /// The orders that have reserved shares of it, in order of their ids.
    pub fn reserving_orders(&self) -> impl Iterator<Item = OrderId> {
        self.reservations.keys().copied()
    }

    /// Whether it holds nothing, has taken no profit and is due nothing.
    pub fn is_blank(&self) -> bool {
        self.qty.is_zero()
            && self.realized_pl.is_zero()
            && self.reservations.is_empty()
            && self.accrued.is_empty()
    }

    /// What the lots cost, together.
    pub fn cost(&self) -> Result<Money, AmountError> {
        self.lots.iter().try_fold(Money::ZERO, |sum, lot| sum.plus(lot.cost))
    }

    pub(super) fn close_lots(
        &mut self,
        closed: &[ClosedLot],
        qty: Quantity,
    ) -> Result<(), Impossible> {
        let mut taken = Quantity::ZERO;
        for part in closed {
            let Some(lot) = self.lots.front_mut().filter(|lot| lot.lot_id == part.lot_id) else {
                return Err(Impossible(format!("lot {} is not the oldest", part.lot_id)));
            };
            let sign = lot.qty.is_negative();
            let signed = if sign { part.qty } else { part.qty.negated() };
            lot.qty = lot.qty.plus(signed).map_err(impossible)?;
            lot.cost = lot.cost.minus(part.cost).map_err(impossible)?;
            taken = taken.plus(part.qty).map_err(impossible)?;
            let spent = lot.qty.is_zero();
            if lot.cost.is_negative()
                || (spent && !lot.cost.is_zero())
                || (!spent && lot.qty.is_negative() != sign)
            {
                return Err(Impossible(format!("lot {} gave more than it had", part.lot_id)));
            }
            if spent {
                self.lots.pop_front();
            }
        }
        stated("what the lots gave", qty, taken)
    }

    fn unreserve(&mut self, order_id: OrderId, qty: Quantity) -> Result<(), Impossible> {
        let held = self.reservation(order_id);
        let part = qty.min(held);
        let left = held.minus(part).map_err(impossible)?;
        self.reserved_qty = self.reserved_qty.minus(part).map_err(impossible)?;
        if left.is_zero() {
            self.reservations.remove(&order_id);
        } else {
            self.reservations.insert(order_id, left);
        }
        Ok(())
    }
}

pub(super) fn sum(quantities: impl Iterator<Item = Quantity>) -> Result<Quantity, Impossible> {
    let mut sum = Quantity::ZERO;
    for qty in quantities {
        sum = sum.plus(qty).map_err(impossible)?;
    }
    Ok(sum)
}

/// What the event says is what the fold computes.
pub(super) fn stated(what: &str, stated: Quantity, computed: Quantity) -> Result<(), Impossible> {
    if stated == computed {
        return Ok(());
    }
    Err(Impossible(format!("{what} is stated as {stated}, computed as {computed}")))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
pub(super) fn impossible(error: AmountError) -> Impossible {
    Impossible(error.to_string())
}

impl Decide for Position {
    fn decide(
        &self,
        command: &PositionCommand,
        _: &Rules,
    ) -> Result<Vec<PositionEvent>, PositionError> {
        Ok(match command {
            PositionCommand::Reserve { order_id, qty } => vec![self.reserve(*order_id, *qty)?],
            PositionCommand::Rereserve { order_id, qty } => {
                self.rereserve(*order_id, *qty)?.into_iter().collect()
            }
            PositionCommand::Release { orders, reason } => {
                let mut reserved_qty = self.reserved_qty;
                let mut events = Vec::with_capacity(orders.len());
                for order_id in orders {
                    let qty = self.reservation(*order_id);
                    if qty.is_zero() {
                        return Err(PositionError::NoReservation);
                    }
                    reserved_qty = reserved_qty.minus(qty)?;
                    let (order_id, reason) = (*order_id, *reason);
                    events.push(PositionEvent::SharesReleased {
                        order_id,
                        qty,
                        reason,
                        reserved_qty,
                    });
                }
                events
            }
            PositionCommand::Trade(trade) => {
                let mut events = self.cut(&trade.cuts)?;
                events.extend(self.trade(trade)?);
                events
            }
            PositionCommand::InstructExercise { exercise, at } => {
                self.instruct(*exercise, *at)?.into_iter().collect()
            }
            PositionCommand::EndOption(ending) => vec![self.end_option(ending)?],
            PositionCommand::Deliver(delivery) => vec![self.deliver(delivery)?],
            PositionCommand::Split { .. } => split(self, command)?,
            PositionCommand::Adjust { .. } => vec![self.adjust(command)?],
            PositionCommand::TakeAdjusted(adjusted) => vec![self.take_adjusted(adjusted)?],
            PositionCommand::StayBehind { action_id, numerator, denominator, at } => {
                if self.splits.contains(action_id) {
                    return Err(PositionError::AlreadyApplied(action_id.clone()));
                }
                vec![PositionEvent::SplitNotFollowed {
                    action_id: action_id.clone(),
                    numerator: *numerator,
                    denominator: *denominator,
                    position_qty: self.qty,
                    at: *at,
                }]
            }
            PositionCommand::Reset { reset_id, at } => vec![PositionEvent::PositionReset {
                reset_id: *reset_id,
                qty: self.qty,
                cost: self.cost()?,
                realized_pl: self.realized_pl,
                reserved_qty: self.reserved_qty,
                dividends_due: self.dividends_due()?,
                at: *at,
            }],
            PositionCommand::AccrueDividend { action_id, qty, per_share, at } => {
                if self.dividends.contains(action_id) {
                    return Err(PositionError::AlreadyApplied(action_id.clone()));
                }
                if qty.is_zero() {
                    return Ok(Vec::new());
                }
                vec![PositionEvent::DividendAccrued {
                    action_id: action_id.clone(),
                    qty: *qty,
                    per_share: *per_share,
                    amount: Money::of_fill(*qty, *per_share)?,
                    at: *at,
                }]
            }
            PositionCommand::SettleDividend { action_id, at } => {
                let Some(amount) = self.accrued(action_id) else {
                    return Err(PositionError::AlreadyApplied(action_id.clone()));
                };
                vec![PositionEvent::DividendSettled {
                    action_id: action_id.clone(),
                    amount,
                    at: *at,
                }]
            }
        })
    }

    fn evolve(&mut self, event: &PositionEvent) -> Result<(), Impossible> {
        match event {
            PositionEvent::PositionOpened {
                order_id,
                side,
                qty,
                cost,
                lot_id,
                position_qty,
                at,
                ..
            }
            | PositionEvent::PositionIncreased {
                order_id,
                side,
                qty,
                cost,
                lot_id,
                position_qty,
                at,
                ..
            } => {
                let signed = if *side == Side::Buy { *qty } else { qty.negated() };
                let opens = matches!(event, PositionEvent::PositionOpened { .. });
                let away = self.qty.is_zero() || self.qty.is_negative() == signed.is_negative();
                if opens != self.qty.is_zero() || !away {
                    return Err(Impossible(format!("a lot of {signed} on top of {}", self.qty)));
                }
                self.qty = self.qty.plus(signed).map_err(impossible)?;
                if let PositionEvent::PositionOpened { contract, .. } = event {
                    self.contract.clone_from(contract);
                }
                let (lot_id, cost, opened_at) = (*lot_id, *cost, *at);
                self.lots.push_back(Lot { lot_id, qty: signed, cost, opened_at });
                self.unreserve(*order_id, *qty)?;
                stated("the holding", *position_qty, self.qty)?;
            }
            PositionEvent::PositionReduced { order_id, side, qty, lots, realized_pl, .. }
            | PositionEvent::PositionClosed { order_id, side, qty, lots, realized_pl, .. } => {
                let signed = if *side == Side::Buy { *qty } else { qty.negated() };
                self.close_lots(lots, *qty)?;
                self.qty = self.qty.plus(signed).map_err(impossible)?;
                self.realized_pl = self.realized_pl.plus(*realized_pl).map_err(impossible)?;
                self.unreserve(*order_id, *qty)?;
                let after = match event {
                    PositionEvent::PositionReduced { position_qty, .. } => *position_qty,
                    _ => Quantity::ZERO,
                };
                self.do_not_exercise &= !self.qty.is_zero();
                stated("the holding", after, self.qty)?;
            }
            PositionEvent::ExerciseInstructed { .. }
            | PositionEvent::OptionEnded { .. }
            | PositionEvent::SharesDelivered { .. } => self.ends(event)?,
            PositionEvent::ContractAdjusted { .. }
            | PositionEvent::AdjustedContractOpened { .. } => self.adjusted(event)?,
            PositionEvent::SharesReserved { order_id, qty, reserved_qty } => {
                if self.reservations.insert(*order_id, *qty).is_some() {
                    return Err(Impossible(format!("order {order_id} reserves twice")));
                }
                self.reserved_qty = self.reserved_qty.plus(*qty).map_err(impossible)?;
                stated("what is reserved", *reserved_qty, self.reserved_qty)?;
            }
            PositionEvent::SharesReservationAdjusted { order_id, from, to, reserved_qty } => {
                stated("the reservation", *from, self.reservation(*order_id))?;
                self.unreserve(*order_id, *from)?;
                if !to.is_zero() {
                    self.reservations.insert(*order_id, *to);
                }
                self.reserved_qty = self.reserved_qty.plus(*to).map_err(impossible)?;
                stated("what is reserved", *reserved_qty, self.reserved_qty)?;
            }
            PositionEvent::SharesReleased { order_id, qty, reserved_qty, .. } => {
                stated("the reservation", *qty, self.reservation(*order_id))?;
                self.unreserve(*order_id, *qty)?;
                stated("what is reserved", *reserved_qty, self.reserved_qty)?;
            }
            PositionEvent::PositionSplit {
                action_id,
                qty_before,
                position_qty,
                realized_pl,
                lots,
                reservations,
                ..
            } => {
                if !self.splits.insert(action_id.clone()) {
                    return Err(Impossible(format!("split {action_id} twice")));
                }
                stated("the holding before", *qty_before, self.qty)?;
                stated("the holding", *position_qty, sum(lots.iter().map(|lot| lot.qty))?)?;
                self.qty = *position_qty;
                self.lots = lots.iter().cloned().collect();
                self.realized_pl = self.realized_pl.plus(*realized_pl).map_err(impossible)?;
                self.reservations =
                    reservations.iter().map(|entry| (entry.order_id, entry.qty)).collect();
                self.reserved_qty = sum(reservations.iter().map(|entry| entry.qty))?;
            }
            PositionEvent::SplitNotFollowed { action_id, position_qty, .. } => {
                if !self.splits.insert(action_id.clone()) {
                    return Err(Impossible(format!("split {action_id} twice")));
                }
                stated("the holding", *position_qty, self.qty)?;
            }
            PositionEvent::PositionReset { qty, reserved_qty, .. } => {
                stated("the holding before", *qty, self.qty)?;
                stated("what was reserved", *reserved_qty, self.reserved_qty)?;
                // The corporate actions that it followed stay: none applies twice.
                let (splits, dividends) =
                    (std::mem::take(&mut self.splits), std::mem::take(&mut self.dividends));
                *self = Self { splits, dividends, ..Self::default() };
            }
            PositionEvent::DividendAccrued { action_id, amount, .. } => {
                if !self.dividends.insert(action_id.clone()) {
                    return Err(Impossible(format!("dividend {action_id} twice")));
                }
                self.accrued.insert(action_id.clone(), *amount);
            }
            PositionEvent::DividendSettled { action_id, amount, .. } => {
                if self.accrued.remove(action_id) != Some(*amount) {
                    return Err(Impossible(format!(
                        "dividend {action_id} paid {amount} without having accrued it"
                    )));
                }
            }
        }
        Ok(())
    }
}
