//! The end of an option otherwise than by a fill, and the shares that it brings or takes.
//!
//! What a delivered option had cost, or had brought, is no profit yet: the shares take it over. Those of a call cost, or
//! bring, that much more than the strike; those of a put that much less, and never less than nothing: what a put had cost
//! or brought beyond its strike is profit or loss of the put. An option that delivers nothing takes its profit by itself.

use super::aggregate::{Position, impossible, stated};
use super::command::{Delivery, Ending};
use super::error::PositionError;
use super::event::{ClosedShares, Lot, PositionEvent};
use super::lots::Taken;
use crate::id::LotId;
use crate::instrument::{OptionEnd, OptionTerms, Right};
use crate::market::MarketTime;
use crate::money::{AmountError, Money, Quantity};
use crate::order::Side;
use crate::stream::Impossible;

impl Position {
    /// None if that is what was said, or is done without a word.
    pub(super) fn instruct(
        &self,
        exercise: bool,
        at: MarketTime,
    ) -> Result<Option<PositionEvent>, PositionError> {
        if self.contract.is_none() || !self.qty.is_positive() {
            return Err(PositionError::CannotEnd { held: self.qty, how: "exercised" });
        }
        let changed = self.do_not_exercise == exercise;
        Ok(changed.then_some(PositionEvent::ExerciseInstructed { exercise, at }))
    }

    pub(super) fn end_option(&self, ending: &Ending) -> Result<PositionEvent, PositionError> {
        let Ending { how, ending_id, qty, settlement_price, at, .. } = *ending;
        let (long, held) = (self.qty.is_positive(), self.qty.abs());
        let cannot = PositionError::CannotEnd { held: self.qty, how: how.word() };
        let Some(terms) = self.contract.as_ref().filter(|_| how.can_end(long)) else {
            return Err(cannot);
        };
        if !qty.is_positive() || qty > held {
            return Err(cannot);
        }
        let Taken { lots, cost } = self.take(qty)?;
        let bid = ending.bid.clone().filter(|_| how == OptionEnd::SoldOut);
        let split = ending.split.clone().filter(|_| how == OptionEnd::PaidOut);
        let (action_id, mark) = split.map_or((None, None), |it| (Some(it.action_id), it.mark));
        if let Some(known) = action_id.as_ref().filter(|action_id| self.has_followed(action_id)) {
            return Err(PositionError::AlreadyApplied(known.clone()));
        }
        let price = match how {
            OptionEnd::PaidOut if mark.is_some() => mark.as_ref().map(|mark| mark.price),
            OptionEnd::CashSettled | OptionEnd::PaidOut => {
                let price = settlement_price.ok_or(PositionError::NoSettlementPrice)?;
                Some(terms.intrinsic(price)?)
            }
            OptionEnd::SoldOut => Some(bid.as_ref().ok_or(PositionError::NoSettlementPrice)?.price),
            _ => None,
        };
        let proceeds = match price {
            Some(price) => terms.value(qty, price)?,
            None => Money::ZERO,
        };
        let moved = moved(how, terms, (qty, cost))?;
        let realized_pl = realized(long, proceeds, cost.minus(moved)?)?;
        self.realized_pl.plus(realized_pl)?;
        Ok(PositionEvent::OptionEnded {
            how,
            ending_id,
            side: if long { Side::Sell } else { Side::Buy },
            qty,
            settlement_price,
            bid,
            action_id,
            mark,
            lots,
            cost,
            proceeds,
            moved,
            realized_pl,
            position_qty: self.qty.minus(if long { qty } else { qty.negated() })?,
            at,
        })
    }

    pub(super) fn deliver(&self, delivery: &Delivery) -> Result<PositionEvent, PositionError> {
        let Delivery { account_id, instrument_id, option_id, ending_id, side, .. } = *delivery;
        let Delivery { qty, price, amount, at, .. } = *delivery;
        let closing = self.held_against(side).min(qty);
        // What crosses zero is shared between the closed and the new, as that of a fill is.
        let proceeds = amount.share(closing, qty)?;
        let closed = match closing.is_zero() {
            true => None,
            false => {
                let Taken { lots, cost } = self.take(closing)?;
                let realized_pl = realized(side == Side::Sell, proceeds, cost)?;
                self.realized_pl.plus(realized_pl)?;
                Some(ClosedShares { qty: closing, proceeds, lots, realized_pl })
            }
        };
        let opening = qty.minus(closing)?;
        let opened = opening.is_positive().then_some(Lot {
            lot_id: LotId::of(ending_id),
            qty: signed(side, opening),
            cost: amount.minus(proceeds)?,
            opened_at: at,
        });
        Ok(PositionEvent::SharesDelivered {
            account_id,
            instrument_id,
            symbol: delivery.symbol.clone(),
            option_id,
            ending_id,
            side,
            qty,
            price,
            amount,
            closed,
            opened,
            position_qty: self.qty.plus(signed(side, qty))?,
            at,
        })
    }

    /// Takes in what ends an option, what it delivers, or what was said about its end.
    pub(super) fn ends(&mut self, event: &PositionEvent) -> Result<(), Impossible> {
        match event {
            PositionEvent::ExerciseInstructed { exercise, .. } => {
                if self.do_not_exercise != *exercise || !self.qty.is_positive() {
                    return Err(Impossible("an instruction twice, or of nothing long".into()));
                }
                self.do_not_exercise = !exercise;
            }
            PositionEvent::OptionEnded { .. } => self.ended(event)?,
            PositionEvent::SharesDelivered { .. } => self.delivered(event)?,
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, event: &PositionEvent) -> Result<(), Impossible> {
        let PositionEvent::OptionEnded {
            how,
            side,
            qty,
            lots,
            cost,
            proceeds,
            moved,
            realized_pl,
            position_qty,
            action_id,
            ..
        } = event
        else {
            return Ok(());
        };
        self.splits.extend(action_id.clone());
        let long = self.qty.is_positive();
        if self.contract.is_none() || !how.can_end(long) || (*side == Side::Sell) != long {
            let (held, how) = (self.qty, how.word());
            return Err(Impossible(format!("{held} contracts ended as {how}")));
        }
        if moved.is_negative() || moved > cost || !moved.is_zero() && !how.delivers() {
            return Err(Impossible(format!("{moved} of {cost} went over to shares")));
        }
        sums("what the contracts cost", *cost, lots.iter().map(|lot| lot.cost))?;
        let stayed = cost.minus(*moved).map_err(impossible)?;
        let computed = realized(long, *proceeds, stayed).map_err(impossible)?;
        sums("the profit", *realized_pl, [computed])?;
        self.close_lots(lots, *qty)?;
        self.realized_pl = self.realized_pl.plus(*realized_pl).map_err(impossible)?;
        self.qty = self.qty.plus(if long { qty.negated() } else { *qty }).map_err(impossible)?;
        self.do_not_exercise &= !self.qty.is_zero();
        stated("the holding", *position_qty, self.qty)
    }

    fn delivered(&mut self, event: &PositionEvent) -> Result<(), Impossible> {
        let PositionEvent::SharesDelivered {
            side, qty, amount, closed, opened, position_qty, ..
        } = event
        else {
            return Ok(());
        };
        let none = Quantity::ZERO;
        let against = self.held_against(*side);
        let closing = closed.as_ref().map_or(none, |closed| closed.qty);
        let opening = opened.as_ref().map_or(none, |lot| lot.qty.abs());
        stated("what closed", closing, against.min(*qty))?;
        stated("what was delivered", *qty, closing.plus(opening).map_err(impossible)?)?;
        let proceeds = closed.iter().map(|closed| closed.proceeds);
        sums("the amount", *amount, proceeds.chain(opened.iter().map(|lot| lot.cost)))?;
        if let Some(ClosedShares { qty, proceeds, lots, realized_pl }) = closed {
            let mut cost = Money::ZERO;
            for lot in lots {
                cost = cost.plus(lot.cost).map_err(impossible)?;
            }
            let computed = realized(*side == Side::Sell, *proceeds, cost).map_err(impossible)?;
            sums("the profit", *realized_pl, [computed])?;
            self.close_lots(lots, *qty)?;
            self.realized_pl = self.realized_pl.plus(*realized_pl).map_err(impossible)?;
        }
        if let Some(lot) = opened {
            stated("the lot", lot.qty, signed(*side, opening))?;
            if lot.cost.is_negative() {
                return Err(Impossible(format!("a lot that cost {}", lot.cost)));
            }
            self.lots.push_back(lot.clone());
        }
        self.qty = self.qty.plus(signed(*side, *qty)).map_err(impossible)?;
        stated("the holding", *position_qty, self.qty)
    }
}

/// The part of the cost of so many contracts that their shares take over.
fn moved(
    how: OptionEnd,
    terms: &OptionTerms,
    (qty, cost): (Quantity, Money),
) -> Result<Money, AmountError> {
    Ok(match (how.delivers(), terms.right) {
        (false, _) => Money::ZERO,
        (true, Right::Call) => cost,
        (true, Right::Put) => cost.min(terms.exercise_amount(qty)?),
    })
}

fn realized(long: bool, proceeds: Money, cost: Money) -> Result<Money, AmountError> {
    if long { proceeds.minus(cost) } else { cost.minus(proceeds) }
}

fn signed(side: Side, qty: Quantity) -> Quantity {
    if side == Side::Buy { qty } else { qty.negated() }
}

/// What the event says is what its parts come to.
fn sums(
    what: &str,
    stated: Money,
    parts: impl IntoIterator<Item = Money>,
) -> Result<(), Impossible> {
    let mut sum = Money::ZERO;
    for part in parts {
        sum = sum.plus(part).map_err(impossible)?;
    }
    if sum == stated {
        return Ok(());
    }
    Err(Impossible(format!("{what} is stated as {stated}, computed as {sum}")))
}
