//! The views of positions and of their lots: one row a holding, also after it was closed (its realized profit
//! stays), and one row a lot that is still held.

use std::collections::BTreeMap;

use aggregates::id::{AccountId, InstrumentId, LotId, OrderId, TenantId};
use aggregates::instrument::OptionTerms;
use aggregates::market::MarketTime;
use aggregates::money::{AmountError, Money, Price, Quantity, Ratio};
use aggregates::order::Side;
use aggregates::position::{ClosedLot, Lot, Position, PositionEvent};
use aggregates::stream::{Impossible, StreamId};

use crate::fold::{Mirror, Stamped, inexact};
use crate::log::Recorded;
use crate::row::{Rows, view_row};

view_row! {
    /// One position.
    #[derive(serde::Serialize, serde::Deserialize)]
    PositionRow in "positions",
    key {
        /// Whose.
        account_id: AccountId = 0,
        /// Of what.
        instrument_id: InstrumentId = 1,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Its ticker when it was opened.
        symbol: String,
        /// Of an option what it is.
        contract: Option<OptionTerms>,
        /// Shares held, contracts of an option; negative is short, 0 is closed.
        qty: Quantity,
        /// Shares that open orders have reserved to close the holding.
        reserved_qty: Quantity,
        /// The same by order.
        reservations: BTreeMap<OrderId, Quantity>,
        /// Of a long option: its owner does not want it exercised when it expires.
        do_not_exercise: bool,
        /// What the lots cost, or brought when short.
        cost_basis: Money,
        /// Profit taken so far.
        realized_pl: Money,
        /// The market time at which it was last opened.
        opened_at: MarketTime,
        /// The market time of the last fill, split or dividend.
        updated_at: MarketTime,
        /// The number of its events.
        sequence: u64,
        /// The place of its last event.
        position: u64,
    }
}

view_row! {
    /// One lot that is held.
    LotRow in "lots",
    key {
        /// Its id.
        lot_id: LotId = 0,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Whose.
        account_id: AccountId,
        /// Of what.
        instrument_id: InstrumentId,
        /// Shares left of it; negative is short.
        qty: Quantity,
        /// What these shares cost, or brought when sold short.
        cost: Money,
        /// The market time of the fill.
        opened_at: MarketTime,
        /// The place of the event that opened it: lots are taken in this order.
        opened_position: u64,
    }
}

impl PositionRow {
    /// The remaining lots' cost over the quantity, to 6 decimals: dollars a share.
    pub fn avg_entry_price(&self) -> Option<Price> {
        Price::average(self.cost_basis, self.shares().ok()?)
    }

    /// The shares that the holding is on: those held, or those of its contracts; negative is short.
    ///
    /// # Errors
    /// More than the largest quantity.
    pub fn shares(&self) -> Result<Quantity, AmountError> {
        self.contract.as_ref().map_or(Ok(self.qty), |terms| terms.shares_of(self.qty))
    }

    /// Shares held and not reserved by an open order; negative is short.
    pub fn qty_available(&self) -> Quantity {
        let available = match self.qty.is_negative() {
            true => self.qty.plus(self.reserved_qty),
            false => self.qty.minus(self.reserved_qty),
        };
        available.unwrap_or_default()
    }

    /// What the lots cost; below zero what those brought that were sold short.
    pub fn signed_cost(&self) -> Money {
        if self.qty.is_negative() { self.cost_basis.negated() } else { self.cost_basis }
    }

    fn unreserve(&mut self, order_id: OrderId, qty: Quantity) -> Result<(), Impossible> {
        let Some(held) = self.reservations.remove(&order_id) else {
            return Ok(());
        };
        let part = qty.min(held);
        let left = held.minus(part).map_err(inexact)?;
        self.reserved_qty = self.reserved_qty.minus(part).map_err(inexact)?;
        if !left.is_zero() {
            self.reservations.insert(order_id, left);
        }
        Ok(())
    }

    fn trade(&mut self, side: Side, qty: Quantity, order_id: OrderId) -> Result<(), Impossible> {
        let signed = if side == Side::Buy { qty } else { qty.negated() };
        self.qty = self.qty.plus(signed).map_err(inexact)?;
        self.unreserve(order_id, qty)
    }

    /// Takes in shares that an option delivered: they close what is held the other way, and open what is beyond.
    fn deliver(&mut self, event: &PositionEvent) -> Result<(), Impossible> {
        let PositionEvent::SharesDelivered { symbol, closed, opened, position_qty, at, .. } = event
        else {
            return Ok(());
        };
        if let Some(closed) = closed {
            self.close_lots(&closed.lots, closed.realized_pl)?;
        }
        if let Some(lot) = opened {
            self.cost_basis = self.cost_basis.plus(lot.cost).map_err(inexact)?;
            if lot.qty == *position_qty {
                self.symbol.clone_from(symbol);
                self.opened_at = *at;
            }
        }
        self.qty = *position_qty;
        self.updated_at = *at;
        Ok(())
    }

    /// Takes in contracts that a split made of others: held since the oldest of their lots was opened.
    fn take_adjusted(&mut self, event: &PositionEvent) -> Result<(), Impossible> {
        let PositionEvent::AdjustedContractOpened {
            symbol,
            contract,
            lots,
            do_not_exercise,
            position_qty,
            at,
            ..
        } = event
        else {
            return Ok(());
        };
        self.symbol.clone_from(symbol);
        self.contract = Some(contract.clone());
        self.qty = *position_qty;
        self.cost_basis =
            lots.iter().try_fold(Money::ZERO, |sum, lot| sum.plus(lot.cost)).map_err(inexact)?;
        self.do_not_exercise = *do_not_exercise;
        self.opened_at = lots.first().map_or(*at, |lot| lot.opened_at);
        self.updated_at = *at;
        Ok(())
    }

    fn close_lots(&mut self, lots: &[ClosedLot], realized_pl: Money) -> Result<(), Impossible> {
        for lot in lots {
            self.cost_basis = self.cost_basis.minus(lot.cost).map_err(inexact)?;
        }
        self.realized_pl = self.realized_pl.plus(realized_pl).map_err(inexact)?;
        Ok(())
    }
}

impl Mirror<Position> for PositionRow {
    fn fold(row: Option<Self>, event: &PositionEvent) -> Result<Self, Impossible> {
        let mut row = match (row, event) {
            (Some(row), _) => row,
            (
                None,
                PositionEvent::PositionOpened { account_id, instrument_id, at, .. }
                | PositionEvent::SharesDelivered { account_id, instrument_id, at, .. }
                | PositionEvent::AdjustedContractOpened { account_id, instrument_id, at, .. },
            ) => Self {
                account_id: *account_id,
                instrument_id: *instrument_id,
                tenant_id: TenantId::default(),
                symbol: String::new(),
                contract: None,
                qty: Quantity::ZERO,
                reserved_qty: Quantity::ZERO,
                reservations: BTreeMap::new(),
                do_not_exercise: false,
                cost_basis: Money::ZERO,
                realized_pl: Money::ZERO,
                opened_at: *at,
                updated_at: *at,
                sequence: 0,
                position: 0,
            },
            (None, _) => return Err(Impossible("a position that was never opened".into())),
        };
        match event {
            PositionEvent::PositionOpened {
                symbol,
                order_id,
                side,
                qty,
                cost,
                contract,
                at,
                ..
            } => {
                row.symbol.clone_from(symbol);
                row.contract.clone_from(contract);
                row.opened_at = *at;
                row.updated_at = *at;
                row.cost_basis = *cost;
                row.trade(*side, *qty, *order_id)?;
            }
            PositionEvent::PositionIncreased { order_id, side, qty, cost, at, .. } => {
                row.cost_basis = row.cost_basis.plus(*cost).map_err(inexact)?;
                row.updated_at = *at;
                row.trade(*side, *qty, *order_id)?;
            }
            PositionEvent::PositionReduced {
                order_id, side, qty, lots, realized_pl, at, ..
            }
            | PositionEvent::PositionClosed {
                order_id, side, qty, lots, realized_pl, at, ..
            } => {
                row.close_lots(lots, *realized_pl)?;
                row.updated_at = *at;
                row.trade(*side, *qty, *order_id)?;
                row.do_not_exercise &= !row.qty.is_zero();
            }
            PositionEvent::ExerciseInstructed { exercise, at } => {
                row.do_not_exercise = !exercise;
                row.updated_at = *at;
            }
            PositionEvent::OptionEnded { lots, realized_pl, position_qty, at, .. } => {
                row.close_lots(lots, *realized_pl)?;
                row.qty = *position_qty;
                row.do_not_exercise &= !row.qty.is_zero();
                row.updated_at = *at;
            }
            PositionEvent::SharesDelivered { .. } => row.deliver(event)?,
            PositionEvent::ContractAdjusted { cost, at, .. } => {
                row.qty = Quantity::ZERO;
                row.cost_basis = row.cost_basis.minus(*cost).map_err(inexact)?;
                row.do_not_exercise = false;
                row.updated_at = *at;
            }
            PositionEvent::AdjustedContractOpened { .. } => row.take_adjusted(event)?,
            PositionEvent::SharesReserved { order_id, qty, reserved_qty } => {
                row.reservations.insert(*order_id, *qty);
                row.reserved_qty = *reserved_qty;
            }
            PositionEvent::SharesReservationAdjusted { order_id, to, reserved_qty, .. } => {
                if to.is_zero() {
                    row.reservations.remove(order_id);
                } else {
                    row.reservations.insert(*order_id, *to);
                }
                row.reserved_qty = *reserved_qty;
            }
            PositionEvent::SharesReleased { order_id, reserved_qty, .. } => {
                row.reservations.remove(order_id);
                row.reserved_qty = *reserved_qty;
            }
            PositionEvent::PositionSplit {
                position_qty,
                fraction_cost,
                realized_pl,
                reservations,
                at,
                ..
            } => {
                row.qty = *position_qty;
                row.cost_basis = row.cost_basis.minus(*fraction_cost).map_err(inexact)?;
                row.realized_pl = row.realized_pl.plus(*realized_pl).map_err(inexact)?;
                row.reservations =
                    reservations.iter().map(|entry| (entry.order_id, entry.qty)).collect();
                row.reserved_qty = reservations
                    .iter()
                    .try_fold(Quantity::ZERO, |sum, entry| sum.plus(entry.qty))
                    .map_err(inexact)?;
                row.updated_at = *at;
            }
            PositionEvent::PositionReset { at, .. } => {
                row.contract = None;
                row.do_not_exercise = false;
                row.qty = Quantity::ZERO;
                row.reserved_qty = Quantity::ZERO;
                row.reservations.clear();
                row.cost_basis = Money::ZERO;
                row.realized_pl = Money::ZERO;
                row.updated_at = *at;
            }
            PositionEvent::SplitNotFollowed { at, .. }
            | PositionEvent::DividendAccrued { at, .. }
            | PositionEvent::DividendSettled { at, .. } => row.updated_at = *at,
        }
        Ok(row)
    }
}

impl Stamped for PositionRow {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn stamp(&mut self, recorded: &Recorded) {
        if recorded.sequence == 1 {
            self.tenant_id = recorded.tenant_id;
        }
        self.sequence = recorded.sequence;
        self.position = recorded.position;
    }
}

/// The lots that `event` names: those that have to be loaded before it is folded. A split names all of its
/// position instead, see [`splits_lots`].
pub(crate) fn closed_lots(event: &PositionEvent) -> &[ClosedLot] {
    match event {
        PositionEvent::PositionReduced { lots, .. }
        | PositionEvent::PositionClosed { lots, .. }
        | PositionEvent::OptionEnded { lots, .. } => lots,
        PositionEvent::SharesDelivered { closed: Some(closed), .. } => &closed.lots,
        _ => &[],
    }
}

/// Whether `event` replaces all lots of its position, or moves them to another one.
pub(crate) fn splits_lots(event: &PositionEvent) -> bool {
    matches!(
        event,
        PositionEvent::PositionSplit { .. }
            | PositionEvent::PositionReset { .. }
            | PositionEvent::ContractAdjusted { .. }
    )
}

fn of_position(
    lots: &Rows<LotRow>,
    account_id: AccountId,
    instrument_id: InstrumentId,
) -> Vec<LotRow> {
    let of_position =
        |lot: &&LotRow| (lot.account_id, lot.instrument_id) == (account_id, instrument_id);
    lots.iter().filter(of_position).cloned().collect()
}

/// Folds one event of a position into its lots.
///
/// # Errors
/// It closes more of a lot than there is, or a lot that is not there.
pub(crate) fn fold_lots(
    lots: &mut Rows<LotRow>,
    recorded: &Recorded,
    event: &PositionEvent,
) -> Result<(), Impossible> {
    let StreamId::Position(account_id, instrument_id) = recorded.stream else {
        return Err(Impossible("a position's event in another stream".into()));
    };
    match event {
        PositionEvent::PositionOpened { side, qty, cost, lot_id, at, .. }
        | PositionEvent::PositionIncreased { side, qty, cost, lot_id, at, .. } => {
            lots.put(LotRow {
                lot_id: *lot_id,
                tenant_id: recorded.tenant_id,
                account_id,
                instrument_id,
                qty: if *side == Side::Buy { *qty } else { qty.negated() },
                cost: *cost,
                opened_at: *at,
                opened_position: recorded.position,
            });
        }
        PositionEvent::PositionReset { .. } => {
            for lot in of_position(lots, account_id, instrument_id) {
                lots.remove(&(lot.lot_id,));
            }
        }
        PositionEvent::PositionSplit { lots: after, .. } => {
            for mut row in of_position(lots, account_id, instrument_id) {
                match after.iter().find(|lot| lot.lot_id == row.lot_id) {
                    Some(lot) => {
                        (row.qty, row.cost) = (lot.qty, lot.cost);
                        lots.put(row);
                    }
                    None => lots.remove(&(row.lot_id,)),
                }
            }
        }
        // The position that they come to says the same of them.
        PositionEvent::ContractAdjusted { numerator, denominator, into, .. } => {
            let ratio = Ratio::of_split(*numerator, *denominator).map_err(inexact)?;
            for mut row in of_position(lots, account_id, instrument_id) {
                row.qty = row.qty.split_by(ratio, false).map_err(inexact)?;
                row.instrument_id = *into;
                lots.put(row);
            }
        }
        _ => {
            for part in closed_lots(event) {
                let lot = lots
                    .get_mut(&(part.lot_id,))
                    .ok_or_else(|| Impossible(format!("lot {} is not held", part.lot_id)))?;
                let signed = if lot.qty.is_negative() { part.qty } else { part.qty.negated() };
                lot.qty = lot.qty.plus(signed).map_err(inexact)?;
                lot.cost = lot.cost.minus(part.cost).map_err(inexact)?;
                if lot.qty.is_zero() {
                    lots.remove(&(part.lot_id,));
                }
            }
        }
    }
    if let PositionEvent::SharesDelivered { opened: Some(lot), .. } = event {
        let Lot { lot_id, qty, cost, opened_at } = *lot;
        lots.put(LotRow {
            lot_id,
            tenant_id: recorded.tenant_id,
            account_id,
            instrument_id,
            qty,
            cost,
            opened_at,
            opened_position: recorded.position,
        });
    }
    Ok(())
}
