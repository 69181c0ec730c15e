//! The Position aggregate. The sum of its lots is the holding; every lot has the sign of the holding.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use super::command::{PositionCommand, Trade};
use super::error::PositionError;
use super::event::{ClosedLot, Lot, PositionEvent, ShareReservation};
use crate::id::{LotId, OrderId};
use crate::money::{AmountError, Money, Price, Quantity};
use crate::order::Side;
use crate::rules::Rules;
use crate::stream::{Decide, Impossible, event_sourced};

/// One position. `Default` is one that was never opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    qty: Quantity,
    lots: VecDeque<Lot>,
    realized_pl: Money,
    reserved_qty: Quantity,
    reservations: BTreeMap<OrderId, Quantity>,
    splits: BTreeSet<String>,
    /// Dividends earned or owed and not yet paid.
    accrued: BTreeMap<String, Money>,
    dividends: BTreeSet<String>,
}

event_sourced!(Position, "position", PositionCommand, PositionEvent {
    PositionOpened "1.0",
    PositionIncreased "1.0",
    PositionReduced "1.0",
    PositionClosed "1.0",
    SharesReserved "1.0",
    SharesReleased "1.0",
    PositionSplit "1.0",
    DividendAccrued "1.0",
    DividendSettled "1.0",
}, PositionError);

/// The shares that leave the oldest lots.
struct Taken {
    lots: Vec<ClosedLot>,
    cost: Money,
}

impl Position {
    /// Shares held; negative is short.
    pub fn qty(&self) -> Quantity {
        self.qty
    }

    /// The lots, oldest first.
    pub fn lots(&self) -> impl Iterator<Item = &Lot> {
        self.lots.iter()
    }

    /// Profit taken so far.
    pub fn realized_pl(&self) -> Money {
        self.realized_pl
    }

    /// Shares that open sells have reserved.
    pub fn reserved_qty(&self) -> Quantity {
        self.reserved_qty
    }

    /// Shares that one open sell has reserved.
    pub fn reservation(&self, order_id: OrderId) -> Quantity {
        self.reservations.get(&order_id).copied().unwrap_or_default()
    }

    /// Shares held and free.
    pub fn available(&self) -> Result<Quantity, AmountError> {
        self.qty.minus(self.reserved_qty)
    }

    /// The dividend of this action that has accrued and is not yet paid.
    pub fn accrued(&self, action_id: &str) -> Option<Money> {
        self.accrued.get(action_id).copied()
    }

    /// What the lots cost, together.
    pub fn cost(&self) -> Result<Money, AmountError> {
        self.lots.iter().try_fold(Money::ZERO, |sum, lot| sum.plus(lot.cost))
    }

    fn take(&self, qty: Quantity) -> Result<Taken, AmountError> {
        let mut left = qty;
        let mut taken = Taken { lots: Vec::new(), cost: Money::ZERO };
        for lot in &self.lots {
            if left.is_zero() {
                break;
            }
            let part = left.min(lot.qty.abs());
            let cost = lot.cost.share(part, lot.qty.abs())?;
            taken.lots.push(ClosedLot { lot_id: lot.lot_id, qty: part, cost });
            taken.cost = taken.cost.plus(cost)?;
            left = left.minus(part)?;
        }
        Ok(taken)
    }

    fn open(
        &self,
        trade: &Trade,
        qty: Quantity,
        cost: Money,
        from: Quantity,
    ) -> Result<PositionEvent, AmountError> {
        let Trade { account_id, instrument_id, fill_id, order_id, side, price, at, .. } = *trade;
        let signed = if side == Side::Buy { qty } else { qty.negated() };
        let (position_qty, lot_id) = (from.plus(signed)?, LotId::of(fill_id));
        Ok(if from.is_zero() {
            let symbol = trade.symbol.clone();
            PositionEvent::PositionOpened {
                account_id,
                instrument_id,
                symbol,
                fill_id,
                order_id,
                side,
                qty,
                price,
                cost,
                lot_id,
                position_qty,
                at,
            }
        } else {
            PositionEvent::PositionIncreased {
                fill_id,
                order_id,
                side,
                qty,
                price,
                cost,
                lot_id,
                position_qty,
                at,
            }
        })
    }

    fn trade(&self, trade: &Trade) -> Result<Vec<PositionEvent>, PositionError> {
        let Trade { fill_id, order_id, side, qty, price, amount, at, .. } = *trade;
        let held = self.qty.abs();
        let same_side = self.qty.is_zero() || self.qty.is_positive() == (side == Side::Buy);
        if same_side {
            return Ok(vec![self.open(trade, qty, amount, self.qty)?]);
        }
        let closing = qty.min(held);
        // The fill's cash was rounded once; a fill that crosses zero splits it between the closed and the new.
        let proceeds = amount.share(closing, qty)?;
        let taken = self.take(closing)?;
        let realized_pl = match side {
            Side::Sell => proceeds.minus(taken.cost)?,
            Side::Buy => taken.cost.minus(proceeds)?,
        };
        let lots = taken.lots;
        if closing < held {
            let signed = if side == Side::Buy { qty } else { qty.negated() };
            let position_qty = self.qty.plus(signed)?;
            return Ok(vec![PositionEvent::PositionReduced {
                fill_id,
                order_id,
                side,
                qty,
                price,
                proceeds,
                lots,
                realized_pl,
                position_qty,
                at,
            }]);
        }
        let mut events = vec![PositionEvent::PositionClosed {
            fill_id,
            order_id,
            side,
            qty: closing,
            price,
            proceeds,
            lots,
            realized_pl,
            at,
        }];
        let beyond = qty.minus(closing)?;
        if beyond.is_positive() {
            events.push(self.open(trade, beyond, amount.minus(proceeds)?, Quantity::ZERO)?);
        }
        Ok(events)
    }

    fn split(&self, command: &PositionCommand) -> Result<Vec<PositionEvent>, PositionError> {
        let PositionCommand::Split { action_id, numerator, denominator, last_close, keep, at } =
            command
        else {
            return Err(PositionError::NoReservation);
        };
        if self.splits.contains(action_id) {
            return Err(PositionError::AlreadyApplied(action_id.clone()));
        }
        let scaled = |qty: Quantity| -> Result<Quantity, AmountError> {
            let product =
                qty.decimal().checked_mul(numerator.decimal()).ok_or(AmountError::Inexact)?;
            let exact = product.checked_div(denominator.decimal()).ok_or(AmountError::Inexact)?;
            Quantity::new(
                exact.round_dp_with_strategy(Quantity::DECIMALS, RoundingStrategy::ToZero),
            )
        };
        let mut lots = Vec::with_capacity(self.lots.len());
        let mut sum = Quantity::ZERO;
        for lot in &self.lots {
            let lot = Lot { qty: scaled(lot.qty)?, ..lot.clone() };
            sum = sum.plus(lot.qty)?;
            lots.push(lot);
        }
        // Lots are cut one by one, the holding as a whole: the last lot takes up the difference.
        let whole = scaled(self.qty)?;
        let cut = whole.minus(sum)?;
        if let Some(last) = lots.last_mut() {
            last.qty = last.qty.plus(cut)?;
        }
        let mut fraction = Quantity::ZERO;
        if self.qty.is_whole() {
            fraction = Quantity::new(whole.decimal().fract())?;
        }
        let (mut cash_in_lieu, mut fraction_cost) = (Money::ZERO, Money::ZERO);
        if !fraction.is_zero() {
            let close = last_close.ok_or(PositionError::NoLastClose)?;
            let product =
                close.decimal().checked_mul(denominator.decimal()).ok_or(AmountError::Inexact)?;
            let price = product.checked_div(numerator.decimal()).ok_or(AmountError::Inexact)?;
            let price =
                Price::new(price.round_dp_with_strategy(6, RoundingStrategy::MidpointNearestEven))?;
            cash_in_lieu = Money::of_fill(fraction, price)?;
            let mut left = fraction.abs();
            while let Some(last) = lots.last_mut().filter(|_| left.is_positive()) {
                let part = left.min(last.qty.abs());
                let cost = last.cost.share(part, last.qty.abs())?;
                fraction_cost = fraction_cost.plus(cost)?;
                last.cost = last.cost.minus(cost)?;
                last.qty = if last.qty.is_negative() {
                    last.qty.plus(part)?
                } else {
                    last.qty.minus(part)?
                };
                left = left.minus(part)?;
                if last.qty.is_zero() {
                    lots.pop();
                }
            }
        }
        let gain = if fraction.is_negative() {
            fraction_cost.minus(cash_in_lieu.abs())?
        } else {
            cash_in_lieu.minus(fraction_cost)?
        };
        let reservations = keep
            .iter()
            .filter(|(_, qty)| !qty.is_zero())
            .map(|(order_id, qty)| ShareReservation { order_id: *order_id, qty: *qty })
            .collect();
        Ok(vec![PositionEvent::PositionSplit {
            action_id: action_id.clone(),
            numerator: *numerator,
            denominator: *denominator,
            qty_before: self.qty,
            position_qty: whole.minus(fraction)?,
            fraction,
            cash_in_lieu,
            fraction_cost,
            realized_pl: gain,
            lots,
            reservations,
            at: *at,
        }])
    }

    fn close_lots(&mut self, closed: &[ClosedLot]) -> Result<(), Impossible> {
        for part in closed {
            let Some(lot) = self.lots.front_mut().filter(|lot| lot.lot_id == part.lot_id) else {
                return Err(Impossible(format!("lot {} is not the oldest", part.lot_id)));
            };
            let signed = if lot.qty.is_negative() { part.qty } else { part.qty.negated() };
            lot.qty = lot.qty.plus(signed).map_err(impossible)?;
            lot.cost = lot.cost.minus(part.cost).map_err(impossible)?;
            if lot.qty.is_zero() {
                self.lots.pop_front();
            }
        }
        Ok(())
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

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
fn impossible(error: AmountError) -> Impossible {
    Impossible(error.to_string())
}

impl Decide for Position {
    fn decide(
        &self,
        command: &PositionCommand,
        _: &Rules,
    ) -> Result<Vec<PositionEvent>, PositionError> {
        Ok(match command {
            PositionCommand::Reserve { order_id, qty } => {
                let available = self.available()?;
                if *qty > available {
                    return Err(PositionError::InsufficientShares {
                        asked: *qty,
                        available,
                        held: self.qty,
                        reserved: self.reserved_qty,
                    });
                }
                if self.reservations.contains_key(order_id) {
                    return Err(PositionError::NoReservation);
                }
                let reserved_qty = self.reserved_qty.plus(*qty)?;
                vec![PositionEvent::SharesReserved { order_id: *order_id, qty: *qty, reserved_qty }]
            }
            PositionCommand::Release { order_id, reason } => {
                let qty = self.reservation(*order_id);
                if qty.is_zero() {
                    return Err(PositionError::NoReservation);
                }
                let reserved_qty = self.reserved_qty.minus(qty)?;
                let (order_id, reason) = (*order_id, *reason);
                vec![PositionEvent::SharesReleased { order_id, qty, reason, reserved_qty }]
            }
            PositionCommand::Trade(trade) => self.trade(trade)?,
            PositionCommand::Split { .. } => self.split(command)?,
            PositionCommand::AccrueDividend { action_id, per_share, at } => {
                if self.dividends.contains(action_id) {
                    return Err(PositionError::AlreadyApplied(action_id.clone()));
                }
                vec![PositionEvent::DividendAccrued {
                    action_id: action_id.clone(),
                    qty: self.qty,
                    per_share: *per_share,
                    amount: Money::of_fill(self.qty, *per_share)?,
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
                self.qty = self.qty.plus(signed).map_err(impossible)?;
                self.lots.push_back(Lot {
                    lot_id: *lot_id,
                    qty: signed,
                    cost: *cost,
                    opened_at: *at,
                });
                self.unreserve(*order_id, *qty)?;
                if self.qty != *position_qty {
                    return Err(Impossible(format!(
                        "{position_qty} held is stated, {} computed",
                        self.qty
                    )));
                }
            }
            PositionEvent::PositionReduced { order_id, side, qty, lots, realized_pl, .. }
            | PositionEvent::PositionClosed { order_id, side, qty, lots, realized_pl, .. } => {
                let signed = if *side == Side::Buy { *qty } else { qty.negated() };
                self.close_lots(lots)?;
                self.qty = self.qty.plus(signed).map_err(impossible)?;
                self.realized_pl = self.realized_pl.plus(*realized_pl).map_err(impossible)?;
                self.unreserve(*order_id, *qty)?;
                let closes = matches!(event, PositionEvent::PositionClosed { .. });
                if closes != self.qty.is_zero() {
                    return Err(Impossible(format!(
                        "{} held after a position was reduced or closed",
                        self.qty
                    )));
                }
            }
            PositionEvent::SharesReserved { order_id, qty, reserved_qty } => {
                self.reservations.insert(*order_id, *qty);
                self.reserved_qty = *reserved_qty;
            }
            PositionEvent::SharesReleased { order_id, qty, reserved_qty, .. } => {
                self.unreserve(*order_id, *qty)?;
                if self.reserved_qty != *reserved_qty {
                    return Err(Impossible(format!(
                        "{reserved_qty} reserved is stated, {} computed",
                        self.reserved_qty
                    )));
                }
            }
            PositionEvent::PositionSplit {
                action_id,
                position_qty,
                realized_pl,
                lots,
                reservations,
                ..
            } => {
                if !self.splits.insert(action_id.clone()) {
                    return Err(Impossible(format!("split {action_id} twice")));
                }
                self.qty = *position_qty;
                self.lots = lots.iter().cloned().collect();
                self.realized_pl = self.realized_pl.plus(*realized_pl).map_err(impossible)?;
                self.reservations =
                    reservations.iter().map(|entry| (entry.order_id, entry.qty)).collect();
                self.reserved_qty = reservations
                    .iter()
                    .try_fold(Quantity::ZERO, |sum, entry| sum.plus(entry.qty))
                    .map_err(impossible)?;
            }
            PositionEvent::DividendAccrued { action_id, amount, .. } => {
                if !self.dividends.insert(action_id.clone()) {
                    return Err(Impossible(format!("dividend {action_id} twice")));
                }
                self.accrued.insert(action_id.clone(), *amount);
            }
            PositionEvent::DividendSettled { action_id, .. } => {
                if self.accrued.remove(action_id).is_none() {
                    return Err(Impossible(format!(
                        "dividend {action_id} paid without having accrued"
                    )));
                }
            }
        }
        let lots = self
            .lots
            .iter()
            .try_fold(Quantity::ZERO, |sum, lot| sum.plus(lot.qty))
            .map_err(impossible)?;
        if lots.decimal() == Decimal::ZERO && self.qty.is_zero() || lots == self.qty {
            return Ok(());
        }
        Err(Impossible(format!("lots sum to {lots}, the holding is {}", self.qty)))
    }
}
