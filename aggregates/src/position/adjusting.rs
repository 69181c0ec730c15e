//! Contracts that a split of what they are on makes other contracts: they leave the position of the one and come into that of
//! the other, lot by lot. What they cost or brought goes with them to the cent, so nothing is realized; lots keep their ids
//! and when they were opened.

use super::aggregate::{Position, impossible, stated, sum};
use super::command::{Adjusted, PositionCommand};
use super::error::PositionError;
use super::event::{Lot, PositionEvent};
use crate::money::{AmountError, Quantity};
use crate::stream::Impossible;

impl Position {
    /// Whether the holding has followed a split, or came by it.
    pub fn has_followed(&self, action_id: &str) -> bool {
        self.splits.contains(action_id)
    }

    /// Its lots once there are `times` as many contracts.
    ///
    /// # Errors
    /// More than there can be.
    pub fn lots_adjusted(&self, times: Quantity) -> Result<Vec<Lot>, AmountError> {
        self.lots().map(|lot| Ok(Lot { qty: lot.qty.times(times)?, ..lot.clone() })).collect()
    }

    pub(super) fn adjust(&self, command: &PositionCommand) -> Result<PositionEvent, PositionError> {
        let PositionCommand::Adjust { action_id, numerator, denominator, into, at } = command
        else {
            return Err(PositionError::NoReservation);
        };
        if self.has_followed(action_id) {
            return Err(PositionError::AlreadyApplied(action_id.clone()));
        }
        if self.contract.is_none() || self.qty.is_zero() {
            return Err(PositionError::CannotEnd { held: self.qty, how: "adjusted" });
        }
        if !self.reservations.is_empty() {
            return Err(PositionError::NoReservation);
        }
        Ok(PositionEvent::ContractAdjusted {
            action_id: action_id.clone(),
            numerator: *numerator,
            denominator: *denominator,
            into: *into,
            qty: self.qty,
            cost: self.cost()?,
            at: *at,
        })
    }

    pub(super) fn take_adjusted(
        &self,
        adjusted: &Adjusted,
    ) -> Result<PositionEvent, PositionError> {
        if !self.qty.is_zero() {
            return Err(PositionError::CannotEnd { held: self.qty, how: "adjusted" });
        }
        let Adjusted { account_id, instrument_id, from, do_not_exercise, at, .. } = *adjusted;
        let quantities = adjusted.lots.iter().map(|lot| lot.qty);
        let position_qty = quantities.into_iter().try_fold(Quantity::ZERO, Quantity::plus)?;
        Ok(PositionEvent::AdjustedContractOpened {
            account_id,
            instrument_id,
            symbol: adjusted.symbol.clone(),
            contract: adjusted.contract.clone(),
            action_id: adjusted.action_id.clone(),
            from,
            lots: adjusted.lots.clone(),
            do_not_exercise,
            position_qty,
            at,
        })
    }

    /// Takes in that its contracts became others, or that it became others' contracts.
    pub(super) fn adjusted(&mut self, event: &PositionEvent) -> Result<(), Impossible> {
        match event {
            PositionEvent::ContractAdjusted { action_id, qty, cost, .. } => {
                if !self.splits.insert(action_id.clone()) {
                    return Err(Impossible(format!("split {action_id} twice")));
                }
                stated("the holding before", *qty, self.qty)?;
                let known = self.cost().map_err(impossible)?;
                let reserves = !self.reservations.is_empty();
                if self.contract.is_none() || self.qty.is_zero() || reserves || known != *cost {
                    let held = self.qty;
                    return Err(Impossible(format!("{held} contracts for {known} were adjusted")));
                }
                self.qty = Quantity::ZERO;
                self.lots.clear();
                self.do_not_exercise = false;
            }
            PositionEvent::AdjustedContractOpened {
                contract,
                action_id,
                lots,
                do_not_exercise,
                position_qty,
                ..
            } => {
                stated("the holding before", Quantity::ZERO, self.qty)?;
                let side = position_qty.is_negative();
                let of_a_side = |lot: &Lot| !lot.qty.is_zero() && lot.qty.is_negative() == side;
                if lots.is_empty() || !lots.iter().all(of_a_side) {
                    return Err(Impossible("lots of both sides, or none".into()));
                }
                if *do_not_exercise && side {
                    return Err(Impossible("an instruction about nothing long".into()));
                }
                // The contracts that it had held before may have left it by the same split.
                self.splits.insert(action_id.clone());
                self.qty = sum(lots.iter().map(|lot| lot.qty))?;
                stated("the holding", *position_qty, self.qty)?;
                self.lots = lots.iter().cloned().collect();
                self.contract = Some(contract.clone());
                self.do_not_exercise = *do_not_exercise;
            }
            _ => {}
        }
        Ok(())
    }
}
