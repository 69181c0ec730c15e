//! Lots: what a fill opens and what it takes from the oldest.

use super::aggregate::Position;
use super::command::Trade;
use super::error::PositionError;
use super::event::{ClosedLot, PositionEvent};
use crate::id::LotId;
use crate::money::{AmountError, Money, Quantity};
use crate::order::Side;

/// The shares that leave the oldest lots.
pub(super) struct Taken {
    pub lots: Vec<ClosedLot>,
    pub cost: Money,
}

impl Position {
    pub(super) fn take(&self, qty: Quantity) -> Result<Taken, AmountError> {
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
            let (symbol, contract) = (trade.symbol.clone(), trade.contract.clone());
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
                contract,
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

    pub(super) fn trade(&self, trade: &Trade) -> Result<Vec<PositionEvent>, PositionError> {
        let Trade { fill_id, order_id, side, qty, price, amount, at, .. } = *trade;
        let held = self.qty.abs();
        if !self.qty.is_zero() && trade.contract != self.contract {
            let held = self.contract.as_ref().map_or("shares".into(), ToString::to_string);
            return Err(PositionError::OtherContract { symbol: trade.symbol.clone(), held });
        }
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
}
