//! A trigger, which moves the order alone, and a fill: the order, the cash and the position move together. One that cannot be, because the account cannot pay it
//! beyond its reservation or an amount would be beyond its bound, ends the order instead and says why.

use super::margin::{Fill, standing};
use super::{Desk, Undecided, World};
use crate::account::{AccountCommand, Opening};
use crate::id::{FillId, InstrumentId, OrderId};
use crate::margin::Marks;
use crate::market::MarketTime;
use crate::money::{Money, Quantity};
use crate::order::{
    CancelReason, Execution, Order, OrderCommand, OrderError, OrderEvent, OrderSpec, Part, Side,
    Trigger,
};
use crate::position::{PositionCommand, PositionError, Trade};
use crate::refusal::{Refusal, RefusalCode};
use crate::stream::{Decide, Event, StreamId};

impl<W: World> Desk<'_, W> {
    /// One execution that the engine proposes, or the end of the order that it cannot be made for.
    pub(super) fn fill(
        &mut self,
        order_id: OrderId,
        execution: &Execution,
        marks: &Marks,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let refusal = match self.execute(order_id, execution, marks, at) {
            Err(Undecided::Refused(refusal)) => refusal,
            done => return done,
        };
        let reason = match refusal.code {
            RefusalCode::InsufficientBuyingPower => CancelReason::InsufficientBuyingPower,
            RefusalCode::InvalidAmount => CancelReason::AmountOutOfBounds,
            RefusalCode::OpposingPosition => CancelReason::OpposingPosition,
            RefusalCode::FractionalShort => CancelReason::FractionalShort,
            RefusalCode::OptionLevel => CancelReason::OptionLevel,
            RefusalCode::ContractExpired => CancelReason::ContractEnded,
            RefusalCode::InsufficientShares if self.look_spec(order_id)?.is_of_options() => {
                CancelReason::PositionClosed
            }
            RefusalCode::InsufficientShares if self.look_spec(order_id)?.sells_for_dollars() => {
                CancelReason::SharesGone
            }
            _ => return Err(refusal.into()),
        };
        let account_id = self.look_spec(order_id)?.account_id;
        self.decision.events.clear();
        self.decision.rejected = Some(refusal);
        self.cancel(account_id, order_id, reason, at)
    }

    /// The stop of an order was reached: it works from now on, and what it reserves stays.
    pub(super) fn trigger(
        &mut self,
        order_id: OrderId,
        trigger: &Trigger,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        self.tradable(self.look_spec(order_id)?)?;
        self.order(order_id, &OrderCommand::Trigger { trigger: trigger.clone(), at })
    }

    fn execute(
        &mut self,
        order_id: OrderId,
        execution: &Execution,
        marks: &Marks,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let order = self.look_order(order_id)?;
        let spec = order.spec().ok_or(OrderError::NotFound)?.clone();
        if spec.is_of_options() {
            return self.execute_options((order_id, order), &spec, execution, (marks, at));
        }
        self.tradable(&spec)?;
        let fill_id = FillId::of(
            order_id,
            execution.revision,
            execution.evidence.tape_place,
            execution.after_fills + 1,
        );
        let most = self.sellable(order_id, &spec, execution.qty)?;
        let command = OrderCommand::Fill { fill_id, execution: execution.clone(), most, at };
        let events = order.decide(&command, self.rules)?;
        let Some(filled) = events.first().cloned() else {
            return Err(OrderError::NotFound.into());
        };
        let OrderEvent::OrderFilled { qty, price, amount, fees, leaves_qty, at, .. } = filled
        else {
            return Err(OrderError::NotFound.into());
        };
        self.push(StreamId::Order(order_id), events.into_iter().map(Event::Order));
        let change = if spec.side == Side::Buy { amount.negated() } else { amount };
        let Fill { keep, opening, cuts } = self.backed((order_id, order), &spec, &filled, marks)?;
        let settle =
            AccountCommand::Settle { order_id, fill_id, amount: change, fees, keep, opening };
        self.account(spec.account_id, &settle)?;
        if most.is_some() {
            self.set_aside(order_id, &spec, (qty, leaves_qty))?;
        }
        let trade = Trade {
            account_id: spec.account_id,
            instrument_id: spec.instrument_id,
            symbol: spec.symbol.clone(),
            contract: None,
            fill_id,
            order_id,
            side: spec.side,
            qty,
            price,
            amount,
            cuts: cuts.clone(),
            at,
        };
        self.position(spec.account_id, spec.instrument_id, &PositionCommand::Trade(trade))?;
        self.after_fill(order_id, &spec, (qty, leaves_qty), at)?;
        self.after_cuts(&cuts, at)
    }

    /// What a fill leaves reserved, and what backs it: shares that its order or its family has set aside, cash, or
    /// margin.
    fn backed(
        &mut self,
        (order_id, order): (OrderId, &Order),
        spec: &OrderSpec,
        filled: &OrderEvent,
        marks: &Marks,
    ) -> Result<Fill, Undecided> {
        let OrderEvent::OrderFilled { qty, amount, fees, leaves_qty, .. } = filled else {
            return Err(OrderError::NotFound.into());
        };
        let (part, is_margin) = (spec.part(), self.look_account(spec.account_id)?.is_margin());
        let cuts = Vec::new();
        if part == Some(Part::Entry) {
            self.keeps_its_part(order_id, spec)?;
        }
        if !matches!(part, Some(Part::Exit(_))) && !spec.sells_for_dollars() {
            if is_margin {
                self.opens_long(spec)?;
                self.leaves_whole(spec, *qty)?;
                return self.margin_fill((order_id, order), spec, filled, marks);
            }
            if spec.side == Side::Buy {
                let keep = order.kept_after(*amount, *leaves_qty, self.rules)?;
                let collateral = self.collateral(spec.account_id)?;
                // What secures short puts pays for no shares beyond what the order has reserved.
                let opening = match collateral.is_positive() {
                    true => Some(Opening {
                        needed: amount.plus(*fees)?,
                        margin: None,
                        collateral,
                        of_options: false,
                        passed_on: Vec::new(),
                    }),
                    false => None,
                };
                return Ok(Fill { keep, opening, cuts });
            }
        }
        let more = self.uncovers((order_id, spec), *qty, marks)?;
        if !spec.sells_for_dollars() {
            self.covered(order_id, spec, *qty)?;
            self.free_for(order_id, spec, *qty)?;
        }
        let margin = match is_margin && more.is_positive() {
            true => Some(standing(self.world, spec.account_id, marks)?),
            false => None,
        };
        let collateral = Money::ZERO;
        let closes =
            Opening { needed: more, margin, collateral, of_options: true, passed_on: Vec::new() };
        Ok(Fill { keep: Money::ZERO, opening: is_margin.then_some(closes), cuts })
    }

    /// Nothing fills in a symbol that is halted, or between two counts of its shares.
    fn tradable(&self, spec: &OrderSpec) -> Result<(), Undecided> {
        self.open_for_trading(spec.instrument_id, &spec.symbol)
    }

    /// Whether one instrument has not expired, and is neither halted nor being split.
    pub(super) fn open_for_trading(
        &self,
        instrument_id: InstrumentId,
        symbol: &str,
    ) -> Result<(), Undecided> {
        let instrument = self.look_instrument(instrument_id)?;
        if instrument.expired().is_some() {
            let message = format!("{symbol} has expired: nothing fills");
            return Err(Refusal::new(RefusalCode::ContractExpired, message).into());
        }
        let (code, why) = if instrument.is_halted() {
            (RefusalCode::TradingHalted, "is halted")
        } else if instrument.splitting().is_some() {
            (RefusalCode::CorporateAction, "is being split")
        } else {
            return Ok(());
        };
        Err(Refusal::new(code, format!("{symbol} {why}: nothing fills or triggers")).into())
    }

    /// A sell of a cash account and every exit close shares that they have reserved, never others: no fill of theirs opens
    /// a position the other way.
    fn covered(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
        asked: Quantity,
    ) -> Result<(), Undecided> {
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        let available = self.deliverable(order_id, spec)?;
        if asked <= available {
            return Ok(());
        }
        let (held, reserved) = (position.qty(), position.reserved_qty());
        Err(PositionError::InsufficientShares { asked, available, held, reserved }.into())
    }
}
