//! Closing a position: a market order for what is held, placed as any other: a sell of a long position, a buy of a
//! short one.
//!
//! How many shares that is is found once: a repeat under the same `client_order_id` is the same order, whatever is
//! left of the position by then, and another request under it is refused.

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::money::{AmountError, Price, Quantity};
use aggregates::order::{OrderType, Side};
use aggregates::position::PositionError;
use aggregates::refusal::Refusal;
use projections::Group;
use projections::positions::PositionRow;
use projections::query;
use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::Serialize;

use super::accounts::canonical;
use super::error::NAMED_ORDERS;
use super::{
    Caller, Fault, Fresh, OrderAnswer, OrderRequest, SYMBOL_MAX, Service, ServiceError, Written,
    text,
};

/// How much of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All shares or contracts that no open order has reserved to close them.
    #[default]
    All,
    /// So many shares.
    Qty(Quantity),
    /// So many percent of the shares held, rounded down: to whole shares where all that is held is whole.
    Percentage(Price),
}

/// A position to be closed.
#[derive(Clone, Debug, Serialize)]
pub struct ClosePosition {
    /// The ticker.
    pub symbol: String,
    /// How much of it.
    pub part: Part,
    /// The client's own id of the order, unique in the account for ever: sent again, it is the same order. Made if
    /// absent.
    pub client_order_id: Option<String>,
}

impl ClosePosition {
    /// Every field that is wrong by itself.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> =
            text::fault("symbol", &self.symbol, SYMBOL_MAX).into_iter().collect();
        if let Some(id) = &self.client_order_id {
            let most = aggregates::order::CLIENT_ORDER_ID_MAX;
            faults.extend(text::fault("client_order_id", id, most));
        }
        match self.part {
            Part::Qty(qty) if !qty.is_positive() => {
                faults.push(Fault::new("qty", "invalid_amount", "qty has to be above 0"));
            }
            Part::Percentage(percent)
                if !percent.is_positive() || percent.decimal() > Decimal::ONE_HUNDRED =>
            {
                let message = "percentage has to be above 0 and at most 100";
                faults.push(Fault::new("percentage", "invalid_value", message));
            }
            Part::All | Part::Qty(_) | Part::Percentage(_) => {}
        }
        faults
    }
}

/// The order that closes a position, and what it leaves of that.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "ClosingOrder")]
pub struct ClosingAnswer {
    /// The order.
    #[serde(flatten)]
    pub order: OrderAnswer,
    /// What of the position this order does not close, as it is now; absent when it closes all of it.
    pub left: Option<LeftAnswer>,
}

/// What of a position an order that closes it leaves.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "LeftOpen")]
pub struct LeftAnswer {
    /// Shares or contracts that stay once the order has filled.
    pub qty: Quantity,
    /// Those of them that other open orders are to close.
    pub reserved: Quantity,
    /// These orders, ten at the most.
    pub reserved_by: Vec<ReservingOrder>,
    /// What closes the rest.
    pub next_step: String,
}

/// An open order that is to close shares or contracts of a position.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "ReservingOrder")]
pub struct ReservingOrder {
    /// The order; of two exits that are for the same shares, the take-profit.
    pub order_id: OrderId,
    /// What it has reserved.
    pub qty: Quantity,
}

impl LeftAnswer {
    /// What is left of this position by one of the orders that are to close it.
    fn of(held: &PositionRow, by: OrderId) -> Result<Option<Self>, AmountError> {
        let own = held.reservations.get(&by).copied().unwrap_or_default();
        let (qty, reserved) = (held.qty.abs().minus(own)?, held.reserved_qty.minus(own)?);
        if !qty.is_positive() {
            return Ok(None);
        }
        let others = held.reservations.iter().filter(|(order_id, _)| **order_id != by);
        let (count, unit) =
            (others.clone().count(), if held.contract.is_some() { "contracts" } else { "shares" });
        let free = qty.minus(reserved)?;
        let next_step = match (reserved.is_zero(), free.is_zero()) {
            (true, _) => format!("close again for the {free} {unit} that stay"),
            (false, true) => format!(
                "{count} open orders are to close the {reserved} {unit} that stay: let them fill, or cancel them and close again"
            ),
            (false, false) => format!(
                "{count} open orders are to close {reserved} of the {qty} {unit} that stay: let them fill or cancel them, and \
                 close again for the other {free}"
            ),
        };
        let reserved_by = others
            .take(NAMED_ORDERS)
            .map(|(order_id, qty)| ReservingOrder { order_id: *order_id, qty: *qty })
            .collect();
        Ok(Some(Self { qty, reserved, reserved_by, next_step }))
    }
}

impl Service {
    /// Closes a position of an account, or a part of it, by a market order for the day.
    ///
    /// # Errors
    /// More shares than are held and free; [`ServiceError::NothingToClose`] when nothing is held or open orders have reserved all of it; else what placing
    /// an order answers.
    pub async fn close_position(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: ClosePosition,
    ) -> Result<Written<ClosingAnswer>, ServiceError> {
        let faults = request.faults();
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        caller.on(account_id)?;
        let (side, qty) = self.to_close(caller, account_id, &request).await?;
        let meant = canonical(&request)?;
        let order = OrderRequest {
            client_order_id: request.client_order_id,
            ..OrderRequest::plain(request.symbol.clone(), side, OrderType::Market, qty)
        };
        let Written { answer: order, replayed } =
            self.place(caller, account_id, order, (&meant, true)).await?;
        let left = self.left_by(caller, account_id, &request.symbol, &order).await;
        let left = left.map_err(ServiceError::after_commit)?;
        Ok(Written { answer: ClosingAnswer { order, left }, replayed })
    }

    /// What of a position an order that closes it leaves, as it is now.
    async fn left_by(
        &self,
        caller: &Caller,
        account_id: AccountId,
        symbol: &str,
        order: &OrderAnswer,
    ) -> Result<Option<LeftAnswer>, ServiceError> {
        let fresh = self.fresh_after(caller, order.position).await?;
        let group = Group::Trading;
        let mut snapshot = self.snapshot(caller, Some(account_id), group, fresh).await?;
        let instrument_id = InstrumentId::of_symbol(symbol);
        let held = query::position(snapshot.connection(), account_id, instrument_id).await?;
        let Some(held) = held else { return Ok(None) };
        Ok(LeftAnswer::of(&held, order.order_id)?)
    }

    /// The side and the shares of a request to close: those of the order that it made before, if it is a repeat.
    async fn to_close(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: &ClosePosition,
    ) -> Result<(Side, Quantity), ServiceError> {
        let (group, fresh) = (Group::Trading, Fresh::default());
        let mut snapshot = self.snapshot(caller, Some(account_id), group, fresh).await?;
        if let Some(id) = &request.client_order_id {
            let made = query::order_by_client_id(snapshot.connection(), account_id, id).await?;
            if let Some(made) = made {
                return Ok((made.side, made.qty));
            }
        }
        let instrument_id = InstrumentId::of_symbol(&request.symbol);
        let held = query::position(snapshot.connection(), account_id, instrument_id).await?;
        let free = held.as_ref().filter(|held| !held.qty_available().is_zero());
        if free.is_none() {
            // What was bought just now may be what is to be closed.
            snapshot.is_up_to_date()?;
        }
        let glance = self.parts.engine.board().glance(&request.symbol);
        let is_option = match &held {
            Some(held) => held.contract.is_some(),
            None => glance.is_some_and(|glance| glance.option.is_some()),
        };
        let unit = if is_option { "contracts" } else { "shares" };
        let nothing = |held, reserved, reserved_by| ServiceError::NothingToClose {
            symbol: request.symbol.clone(),
            unit,
            held,
            reserved,
            reserved_by,
        };
        if held.as_ref().is_none_or(|held| held.qty.is_zero()) {
            self.are_contracts_still(&[&request.symbol])?;
        }
        let Some(held) = held else {
            return Err(nothing(Quantity::ZERO, Quantity::ZERO, Vec::new()));
        };
        if held.qty_available().is_zero() {
            let orders = held.reservations.keys().copied().collect();
            return Err(nothing(held.qty, held.reserved_qty, orders));
        }
        let side = if held.qty.is_negative() { Side::Buy } else { Side::Sell };
        Ok((side, part_of(&held, unit, request.part)?))
    }
}

fn part_of(held: &PositionRow, unit: &str, part: Part) -> Result<Quantity, ServiceError> {
    let available = held.qty_available().abs();
    let (asked, field) = match part {
        Part::All => return Ok(available),
        Part::Qty(qty) => (qty, "qty"),
        Part::Percentage(percent) => (percent_of(held, unit, percent.decimal())?, "percentage"),
    };
    if asked > available {
        // It would take shares from the orders that have reserved them, and with those open the other side.
        let (held, reserved) = (held.qty, held.reserved_qty);
        let short = PositionError::InsufficientShares { asked, available, held, reserved };
        return Err(Refusal::from(short).field(field).into());
    }
    Ok(asked)
}

/// So many percent of what is held.
fn percent_of(held: &PositionRow, unit: &str, percent: Decimal) -> Result<Quantity, ServiceError> {
    let decimals = if held.qty.is_whole() { 0 } else { Quantity::DECIMALS };
    let product = held.qty.abs().decimal().checked_mul(percent);
    let exact = product.and_then(|product| product.checked_div(Decimal::ONE_HUNDRED));
    let rounded =
        exact.map(|exact| exact.round_dp_with_strategy(decimals, RoundingStrategy::ToZero));
    match rounded.and_then(|qty| Quantity::new(qty).ok()).filter(|qty| qty.is_positive()) {
        Some(qty) => Ok(qty),
        None => {
            let message = format!(
                "{percent} percent of {} {unit} is less than one: name a qty or a higher percentage",
                held.qty
            );
            Err(ServiceError::Invalid(vec![Fault::new("percentage", "invalid_value", message)]))
        }
    }
}
