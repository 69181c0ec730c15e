//! A split of one holding: lots are multiplied, their cost stays, a fraction that a whole position would be left
//! with is paid in cash.
//!
//! Lots are cut at the running total, so that they always add up to the holding however each rounds. The fraction
//! leaves the newest lots. Nothing of the cost is lost: a lot that rounds to nothing leaves its cost to its
//! neighbour, and if nothing at all is left the cost is realized.

use super::aggregate::Position;
use super::command::PositionCommand;
use super::error::PositionError;
use super::event::{Lot, PositionEvent, ShareReservation};
use crate::id::OrderId;
use crate::money::{AmountError, Money, Quantity, Ratio};

/// The holding after a split.
struct Cut {
    lots: Vec<Lot>,
    /// The cost that left with the fraction.
    fraction_cost: Money,
}

pub(super) fn split(
    position: &Position,
    command: &PositionCommand,
) -> Result<Vec<PositionEvent>, PositionError> {
    let PositionCommand::Split { action_id, numerator, denominator, last_close, keep, at } =
        command
    else {
        return Err(PositionError::NoReservation);
    };
    if position.splits.contains(action_id) {
        return Err(PositionError::AlreadyApplied(action_id.clone()));
    }
    let ratio = Ratio::of_split(*numerator, *denominator)?;
    let exact = position.qty.split_by(ratio, false)?;
    let position_qty = position.qty.split_by(ratio, position.qty.is_whole())?;
    let fraction = exact.minus(position_qty)?;
    let cash_in_lieu = if fraction.is_zero() {
        Money::ZERO
    } else {
        Money::in_lieu(fraction, last_close.ok_or(PositionError::NoLastClose)?, ratio)?
    };
    let Cut { lots, fraction_cost } = cut(position, ratio, fraction.abs())?;
    let realized_pl = if position.qty.is_negative() {
        fraction_cost.plus(cash_in_lieu)?
    } else {
        cash_in_lieu.minus(fraction_cost)?
    };
    Ok(vec![PositionEvent::PositionSplit {
        action_id: action_id.clone(),
        numerator: *numerator,
        denominator: *denominator,
        qty_before: position.qty,
        position_qty,
        fraction,
        cash_in_lieu,
        fraction_cost,
        realized_pl,
        lots,
        reservations: reserved_after(position, keep, position_qty)?,
        at: *at,
    }])
}

/// Multiplies the lots and takes the fraction from the newest.
fn cut(position: &Position, ratio: Ratio, fraction: Quantity) -> Result<Cut, AmountError> {
    let mut lots: Vec<Lot> = Vec::with_capacity(position.lots.len());
    let (mut before, mut after) = (Quantity::ZERO, Quantity::ZERO);
    let mut orphaned = Money::ZERO;
    for lot in &position.lots {
        before = before.plus(lot.qty)?;
        let total = before.split_by(ratio, false)?;
        let qty = total.minus(after)?;
        after = total;
        let cost = lot.cost.plus(orphaned)?;
        orphaned = Money::ZERO;
        if !qty.is_zero() {
            lots.push(Lot { qty, cost, ..lot.clone() });
        } else if let Some(last) = lots.last_mut() {
            last.cost = last.cost.plus(cost)?;
        } else {
            orphaned = cost;
        }
    }
    let (mut left, mut fraction_cost) = (fraction, orphaned);
    while left.is_positive() {
        let Some(last) = lots.last_mut() else { return Err(AmountError::Inexact) };
        let part = left.min(last.qty.abs());
        let cost = last.cost.share(part, last.qty.abs())?;
        let signed = if last.qty.is_negative() { part } else { part.negated() };
        fraction_cost = fraction_cost.plus(cost)?;
        last.cost = last.cost.minus(cost)?;
        last.qty = last.qty.plus(signed)?;
        left = left.minus(part)?;
        if last.qty.is_zero() {
            lots.pop();
        }
    }
    Ok(Cut { lots, fraction_cost })
}

/// What open orders reserve after it: each of them has to be named, and together they fit the holding.
fn reserved_after(
    position: &Position,
    keep: &[(OrderId, Quantity)],
    position_qty: Quantity,
) -> Result<Vec<ShareReservation>, PositionError> {
    let named = |order_id: &OrderId| keep.iter().any(|(id, _)| id == order_id);
    if !position.reservations.keys().all(named) {
        return Err(PositionError::NoReservation);
    }
    let asked = keep.iter().try_fold(Quantity::ZERO, |sum, (_, qty)| sum.plus(*qty))?;
    if asked.is_positive() && asked > position_qty.abs() {
        let (available, reserved) = (position_qty, Quantity::ZERO);
        let held = position_qty;
        return Err(PositionError::InsufficientShares { asked, available, held, reserved });
    }
    let kept = keep.iter().filter(|(_, qty)| !qty.is_zero());
    Ok(kept.map(|(order_id, qty)| ShareReservation { order_id: *order_id, qty: *qty }).collect())
}
