//! Orders that belong together: what placing, a fill or the end of one does to the others, in the same commit.
//!
//! The exits of a family are open together, for the same number of shares, and end together: those shares are what its
//! entry has filled and no exit has closed. They are reserved once, under the name of [`OrderSpec::reserves_under`].
//! While nothing has filled the exits are held and reserve nothing. An entry is never open without its exits.
//!
//! An entry opens a position or adds to it, and never closes one that is held the other way. Its exits close, and never
//! open: what another order closes of their shares they lose, and with the last of them they end.

use super::{Desk, MarketView, Undecided, World};
use crate::account::ReleaseReason;
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::market::MarketTime;
use crate::money::{Price, Quantity};
use crate::order::{
    CancelReason, Exit, Order, OrderClass, OrderCommand, OrderError, OrderSpec, OrderStatus,
    OrderType, Part, ResizeCause, not_apart,
};
use crate::position::{Cut, PositionCommand, PositionError};
use crate::refusal::{Refusal, RefusalCode};

/// How an order has ended otherwise than by a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Canceled,
    Expired,
}

impl<'a, W: World> Desk<'a, W> {
    /// The orders that are placed with an order, in the same market: those of an entry are held.
    pub(super) fn place_children(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        market: &MarketView,
        expires_at: Option<MarketTime>,
    ) -> Result<(), Undecided> {
        for (child_id, child) in spec.children(order_id) {
            let place = OrderCommand::Place {
                spec: child,
                held: spec.order_class != OrderClass::Oco,
                reserve_price: None,
                reference: None,
                expires_at,
                tape_place: market.tape_place,
                at: market.at,
            };
            self.order(child_id, &place)?;
        }
        Ok(())
    }

    /// The other open orders of the family, each with its part in it.
    pub(super) fn open_relatives(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
    ) -> Result<Vec<(OrderId, Part, &'a Order)>, Undecided> {
        let mut open = Vec::new();
        for relative in spec.relatives(order_id) {
            let order = self.look_order(relative)?;
            if let Some(part) = order.spec().and_then(OrderSpec::part).filter(|_| order.is_open()) {
                open.push((relative, part, order));
            }
        }
        Ok(open)
    }

    /// Whether an order that belongs with others opens, if it is their entry, and closes what is free, if it is an exit.
    pub(super) fn keeps_its_part(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
    ) -> Result<(), Undecided> {
        let Some(part) = spec.part() else { return Ok(()) };
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        let (held, asked) = (position.qty(), spec.qty);
        if part == Part::Entry {
            if position.held_against(spec.side).is_zero() {
                return Ok(());
            }
            let (class, side) = (spec.order_class.word(), spec.side.word());
            let message = format!(
                "a {class} opens a position, and its {side} would close the {held} {} that are held: close them first, or \
                 place an oco for them",
                spec.symbol
            );
            let refusal = Refusal::new(RefusalCode::OpposingPosition, message).field("side");
            return Err(refusal.figure("held", held).into());
        }
        let own = self.deliverable(order_id, spec)?;
        let available = position.free_against(spec.side)?.plus(own)?;
        if asked <= available {
            return Ok(());
        }
        let reserved = position.reserved_qty();
        Err(PositionError::InsufficientShares { asked, available, held, reserved }.into())
    }

    /// The other orders that have shares of a position set aside, in the order in which a fill that needs them takes
    /// them: the newest first, and exits, which protect it, after all others.
    pub(super) fn lenders(
        &self,
        account_id: AccountId,
        instrument_id: InstrumentId,
    ) -> Result<Vec<OrderId>, Undecided> {
        let position = self.look_position(account_id, instrument_id)?;
        let mut lenders = Vec::new();
        for order_id in position.reserving_orders() {
            let family = self.look_spec(order_id)?.family(order_id);
            lenders.push((family.is_none(), family.unwrap_or(order_id), order_id));
        }
        lenders.sort_unstable();
        Ok(lenders.into_iter().rev().map(|(.., order_id)| order_id).collect())
    }

    /// What a fill has taken of the shares of exits they are for no more; those that are left with none end, and what is
    /// open of their entry with them.
    pub(super) fn after_cuts(&mut self, cuts: &[Cut], at: MarketTime) -> Result<(), Undecided> {
        for Cut { order_id: name, from, to } in cuts {
            let spec = self.look_spec(*name)?;
            if !matches!(spec.part(), Some(Part::Exit(_))) {
                continue;
            }
            let lost = from.minus(*to)?;
            let mut orders = self.open_relatives(*name, spec)?;
            let named = self.look_order(*name)?;
            orders.extend(spec.part().map(|part| (*name, part, named)));
            let mut ended = Vec::new();
            for (order_id, part, order) in orders {
                let command = match part {
                    Part::Entry if !to.is_zero() => continue,
                    Part::Entry => OrderCommand::Cancel { reason: CancelReason::ExitsEnded, at },
                    Part::Exit(_) if to.is_zero() => {
                        OrderCommand::Cancel { reason: CancelReason::PositionClosed, at }
                    }
                    Part::Exit(_) => {
                        let qty =
                            order.spec().map_or(Quantity::ZERO, |spec| spec.qty).minus(lost)?;
                        OrderCommand::Resize { qty, cause: ResizeCause::PositionReduced, at }
                    }
                };
                self.order(order_id, &command)?;
                if part == Part::Entry {
                    ended.push(order_id);
                }
            }
            self.release(spec.account_id, &ended, ReleaseReason::Canceled)?;
        }
        Ok(())
    }

    /// The shares that an order may deliver: its own reservation, or that of its family.
    pub(super) fn deliverable(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
    ) -> Result<Quantity, Undecided> {
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        Ok(position.reservation(spec.reserves_under(order_id)))
    }

    /// A fill of an exit is about to take `qty` shares: those that are reserved under another name are freed for it.
    pub(super) fn free_for(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        qty: Quantity,
    ) -> Result<(), Undecided> {
        let name = spec.reserves_under(order_id);
        if name == order_id {
            return Ok(());
        }
        let left = self.deliverable(order_id, spec)?.minus(qty)?;
        let command = if left.is_zero() {
            let (orders, reason) = (vec![name], ReleaseReason::Canceled);
            PositionCommand::Release { orders, reason }
        } else {
            PositionCommand::Rereserve { order_id: name, qty: left }
        };
        self.position(spec.account_id, spec.instrument_id, &command)
    }

    /// What a fill of `qty` shares, which left `leaves` open, does to the rest of the family.
    pub(super) fn after_fill(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        (qty, leaves): (Quantity, Quantity),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        match spec.part() {
            None => Ok(()),
            Some(Part::Entry) => self.after_entry(order_id, spec, qty, at),
            Some(Part::Exit(_)) => self.after_exit(order_id, spec, (qty, leaves), at),
        }
    }

    /// The exits of an entry work for what it has filled.
    fn after_entry(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        qty: Quantity,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let mut reserve = None;
        for (exit_id, _, exit) in self.open_relatives(order_id, spec)? {
            let exit_spec = exit.spec().ok_or(OrderError::NotFound)?;
            let held = exit.status() == Some(OrderStatus::Held);
            let command = if held {
                OrderCommand::Activate { qty, at }
            } else {
                let (qty, cause) = (exit_spec.qty.plus(qty)?, ResizeCause::EntryFilled);
                OrderCommand::Resize { qty, cause, at }
            };
            self.order(exit_id, &command)?;
            let name = exit_spec.reserves_under(exit_id);
            let total = if held { qty } else { exit.leaves_qty()?.plus(qty)? };
            reserve = Some(if held {
                PositionCommand::Reserve { order_id: name, qty: total }
            } else {
                PositionCommand::Rereserve { order_id: name, qty: total }
            });
        }
        match reserve {
            Some(reserve) => self.position(spec.account_id, spec.instrument_id, &reserve),
            None => Ok(()),
        }
    }

    /// What one exit has closed the other does not: with the last share it ends, and what is open of the entry with it.
    fn after_exit(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        (qty, leaves): (Quantity, Quantity),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let mut ended = Vec::new();
        for (relative, part, order) in self.open_relatives(order_id, spec)? {
            let command = match part {
                Part::Entry if !leaves.is_zero() => continue,
                Part::Entry => OrderCommand::Cancel { reason: CancelReason::ExitsEnded, at },
                Part::Exit(_) if leaves.is_zero() => {
                    OrderCommand::Cancel { reason: CancelReason::SiblingFilled, at }
                }
                Part::Exit(_) => {
                    let total = order.spec().map_or(Quantity::ZERO, |spec| spec.qty);
                    let (qty, cause) = (total.minus(qty)?, ResizeCause::SiblingFilled);
                    OrderCommand::Resize { qty, cause, at }
                }
            };
            self.order(relative, &command)?;
            if part == Part::Entry {
                ended.push(relative);
            }
        }
        self.release(spec.account_id, &ended, ReleaseReason::Canceled)
    }

    /// Ends what ends with an order that was canceled or whose time is over: the held exits of an entry, and of an exit
    /// the other one and what is open of the entry. Exits that work for what the entry has filled stay. Gives the orders
    /// that it ended.
    pub(super) fn end_with(
        &mut self,
        order_id: OrderId,
        ending: Ending,
        command: &OrderCommand,
        at: MarketTime,
    ) -> Result<Vec<OrderId>, Undecided> {
        let spec = self.look_spec(order_id)?;
        let Some(of) = spec.part() else { return Ok(Vec::new()) };
        let mut ended = Vec::new();
        for (relative, part, order) in self.open_relatives(order_id, spec)? {
            let held = order.status() == Some(OrderStatus::Held);
            let reason = match (of, part) {
                (Part::Entry, _) if !held => continue,
                (Part::Entry, _) => CancelReason::ParentEnded,
                (Part::Exit(_), Part::Exit(_)) => CancelReason::SiblingEnded,
                (Part::Exit(_), Part::Entry) => CancelReason::ExitsEnded,
            };
            // Exits, and an entry that still works, have one time: it is over for all of them.
            let command = match (ending, of) {
                (Ending::Expired, Part::Exit(_)) => command.clone(),
                _ => OrderCommand::Cancel { reason, at },
            };
            self.order(relative, &command)?;
            ended.push(relative);
        }
        Ok(ended)
    }

    /// Whether an exit may be changed so: its quantity follows the fills, and a take-profit stays beyond its stop-loss.
    pub(super) fn permits_exit(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
        replaced: &OrderSpec,
    ) -> Result<(), Undecided> {
        let Some(Part::Exit(exit)) = spec.part() else { return Ok(()) };
        if replaced.qty != spec.qty {
            return Err(OrderError::follows(spec.qty).into());
        }
        for (_, part, sibling) in self.open_relatives(order_id, spec)? {
            let Some(sibling) = sibling.spec().filter(|_| matches!(part, Part::Exit(_))) else {
                continue;
            };
            let (profit, loss) = match exit {
                Exit::TakeProfit => (replaced, sibling),
                Exit::StopLoss => (sibling, replaced),
            };
            let prices: Option<(Price, Price)> = profit.limit_price.zip(loss.stop_price);
            let wrong = prices.and_then(|(profit, loss)| not_apart(spec.side, profit, loss));
            if let Some(message) = wrong {
                let field =
                    if spec.order_type == OrderType::Limit { "limit_price" } else { "stop_price" };
                return Err(OrderError::Malformed { field, message }.into());
            }
        }
        Ok(())
    }
}
