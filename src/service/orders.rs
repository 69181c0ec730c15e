//! Orders as they are answered. How they are asked for stands in [`super::asking`], how they are placed and ended in
//! [`super::placing`].

use std::time::Duration;

use aggregates::id::{AccountId, OrderId};
use aggregates::instrument::InstrumentKind;
use aggregates::market::MarketTime;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{
    CancelReason, ExpiryReason, OrderClass, OrderStatus, OrderType, PositionIntent, Side,
    TimeInForce, Trail, TriggerBy,
};
use aggregates::refusal::Refusal;
use aggregates::stream::StreamId;
use projections::Group;
use projections::log::{self, Recorded, Wanted};
use projections::orders::{OrderRow, row_of};
use projections::query::{self, OrdersWanted};
use schemars::JsonSchema;
use serde::Serialize;

use super::families::{ChildAnswer, children};
use super::legs::LegAnswer;
use super::reading::Snapshot;
use super::{Caller, EventAnswer, Fresh, Page, PageRequest, Service, ServiceError, text};
use crate::engine::following::Followed;
use crate::ledger::SHARD;

/// The longest symbol, in characters.
pub const SYMBOL_MAX: usize = 32;

/// How long an answer waits for the marks of trailing stops.
const MARKS: Duration = Duration::from_secs(1);

/// An order as its owner sees it. Times are of the market clock.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Order")]
pub struct OrderAnswer {
    /// Its id.
    pub order_id: OrderId,
    /// Whose.
    pub account_id: AccountId,
    /// The client's own id.
    pub client_order_id: String,
    /// The ticker, or the OCC symbol of an option, when it was placed; absent of an mleg order, whose legs have one each.
    pub symbol: Option<String>,
    /// Buy or sell; absent of an mleg order.
    pub side: Option<Side>,
    /// How the price is found.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// Which other orders it belongs with.
    pub order_class: OrderClass,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// Whether it may fill outside regular hours.
    pub extended_hours: bool,
    /// Shares of a stock, contracts of an option, packages of an mleg order, what has filled included; absent of a notional
    /// order until it is filled.
    pub qty: Option<Quantity>,
    /// Dollars that it buys for, in place of a quantity.
    pub notional: Option<Money>,
    /// The worst price of limit types; of an mleg order the net price of a package, below zero for one that has to bring
    /// money.
    pub limit_price: Option<Price>,
    /// The trigger of stop types.
    pub stop_price: Option<Price>,
    /// The distance of a trailing stop in dollars.
    pub trail_price: Option<Price>,
    /// The distance of a trailing stop in percent.
    pub trail_percent: Option<Price>,
    /// How far the limit of a trailing stop limit is beyond the stop that triggers it, in dollars.
    pub limit_offset: Option<Price>,
    /// The price from which on a trailing type follows the market.
    pub activation_price: Option<Price>,
    /// Which prices trigger stop types.
    pub trigger_by: Option<TriggerBy>,
    /// The mark that a trailing stop follows: the best price since it was accepted, as of now while it waits, and then as of its
    /// trigger. Its `stop_price` is the stop at its distance. Absent before the activation price is reached, and while the
    /// engine starts. A process that does not write tells the mark of the last line that it has read, half a second old at
    /// most; it knows lines that are not recorded as little as a restart does.
    pub hwm: Option<Price>,
    /// Where it stands.
    pub status: OrderStatus,
    /// Shares, contracts or packages filled.
    pub filled_qty: Quantity,
    /// Their average price in dollars a share, to 6 decimals; of an mleg order the net price, which may be below zero.
    pub filled_avg_price: Option<Price>,
    /// What the fills were charged.
    pub fees: Money,
    /// Why the business refused it.
    pub reject: Option<Refusal>,
    /// Why it was canceled.
    pub cancel_reason: Option<CancelReason>,
    /// Which time ended it.
    pub expiry_reason: Option<ExpiryReason>,
    /// How often it was replaced, resized or adjusted.
    pub revision: u32,
    /// The order that it was placed with, as one of its exits.
    pub parent_order_id: Option<OrderId>,
    /// The orders that were placed with it: its exits.
    pub children: Vec<ChildAnswer>,
    /// The ticker of what the option, or the legs, are on; absent of an order of a stock.
    pub underlying_symbol: Option<String>,
    /// What it trades; an mleg order is of options.
    pub kind: InstrumentKind,
    /// Whether an order of one option opens a position or closes one.
    pub position_intent: Option<PositionIntent>,
    /// The legs of an mleg order, in the order in which they were asked for.
    pub legs: Vec<LegAnswer>,
    /// The owner's words; absent once erased.
    pub note: Option<String>,
    /// When it was taken or refused.
    pub created_at: MarketTime,
    /// When anything last happened to it.
    pub updated_at: MarketTime,
    /// When its time is over.
    pub expires_at: Option<MarketTime>,
    /// When its stop was reached.
    pub triggered_at: Option<MarketTime>,
    /// When its owner last changed it.
    pub replaced_at: Option<MarketTime>,
    /// When all of it had filled.
    pub filled_at: Option<MarketTime>,
    /// When it was canceled.
    pub canceled_at: Option<MarketTime>,
    /// When its time was over.
    pub expired_at: Option<MarketTime>,
    /// The last event of the log that this contains.
    pub position: u64,
}

impl OrderAnswer {
    /// The distance of a trailing stop.
    pub(super) fn trail(&self) -> Option<Trail> {
        self.trail_price.map(Trail::Price).or(self.trail_percent.map(Trail::Percent))
    }
}

/// Which orders by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderState {
    /// Those that can still fill.
    Open,
    /// Those that have ended.
    Closed,
    /// Both.
    #[default]
    All,
}

/// Which orders a list has.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// By their end.
    pub state: OrderState,
    /// Of one symbol.
    pub symbol: Option<String>,
    /// Of one side.
    pub side: Option<Side>,
    /// Of one class.
    pub class: Option<OrderClass>,
    /// Of one kind of instrument.
    pub kind: Option<InstrumentKind>,
    /// Placed later than this, by the market clock.
    pub after: Option<MarketTime>,
    /// Placed no later than this.
    pub until: Option<MarketTime>,
}

impl OrderFilter {
    fn wanted(&self, before: Option<u64>, rows: usize) -> OrdersWanted {
        let open = match self.state {
            OrderState::Open => Some(true),
            OrderState::Closed => Some(false),
            OrderState::All => None,
        };
        OrdersWanted {
            open,
            symbol: self.symbol.clone(),
            side: self.side,
            class: self.class,
            kind: self.kind,
            after: self.after,
            until: self.until,
            before,
            rows,
        }
    }
}

impl Service {
    /// One order of an account.
    ///
    /// # Errors
    /// There is none with this id in it, or not for this caller.
    pub async fn order(
        &self,
        caller: &Caller,
        account_id: AccountId,
        order_id: OrderId,
        fresh: Fresh,
    ) -> Result<OrderAnswer, ServiceError> {
        caller.on(account_id)?;
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Trading, fresh).await?;
        let row = query::order(snapshot.connection(), account_id, order_id).await?;
        self.one(snapshot, row).await
    }

    /// The order of an account that its client called `client_order_id`.
    ///
    /// # Errors
    /// There is none, or not for this caller.
    pub async fn order_by_client_id(
        &self,
        caller: &Caller,
        account_id: AccountId,
        client_order_id: &str,
        fresh: Fresh,
    ) -> Result<OrderAnswer, ServiceError> {
        caller.on(account_id)?;
        // No order was ever taken under such an id, and the database does not take a NUL.
        if text::fault("", client_order_id, aggregates::order::CLIENT_ORDER_ID_MAX).is_some() {
            return Err(ServiceError::no_order());
        }
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Trading, fresh).await?;
        let row =
            query::order_by_client_id(snapshot.connection(), account_id, client_order_id).await?;
        self.one(snapshot, row).await
    }

    async fn one(
        &self,
        mut snapshot: Snapshot,
        row: Option<OrderRow>,
    ) -> Result<OrderAnswer, ServiceError> {
        let row = snapshot.found(row, ServiceError::no_order())?;
        let mut answers = order_answers(&mut snapshot, vec![row]).await?;
        self.mark_orders(&mut answers).await;
        answers.pop().ok_or_else(ServiceError::no_order)
    }

    /// An order by what was observed of it up to `position`, as its view will show it. It has no children.
    pub(super) async fn order_followed(
        &self,
        followed: &Followed,
        note: Option<String>,
        position: u64,
    ) -> Option<OrderAnswer> {
        let events = followed.events()?;
        let seen = events.iter().filter(|event| event.row.position <= position);
        let events = seen.map(|event| (&event.row, &event.event));
        let row = row_of(events).inspect_err(|error| {
            tracing::error!(%error, "an order is answered by its view: its events make no row");
        });
        let mut answer = [order_answer(row.ok()??, note, position)];
        self.mark_orders(&mut answer).await;
        let [answer] = answer;
        Some(answer)
    }

    /// Orders of an account, newest first.
    ///
    /// # Errors
    /// There is no such account, or a cursor of another list.
    pub async fn orders(
        &self,
        caller: &Caller,
        account_id: AccountId,
        filter: &OrderFilter,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<OrderAnswer>, ServiceError> {
        caller.on(account_id)?;
        let list = format!("{}/{account_id}/orders/{filter:?}", caller.tenant);
        let before: Option<u64> = self.after(&list, page)?;
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Trading, fresh).await?;
        let size = page.size();
        let wanted = filter.wanted(before, size + 1);
        let rows = query::orders(snapshot.connection(), account_id, &wanted).await?;
        let seal =
            |row: &OrderRow| self.parts.cursors.seal(&list, &row.created_position.to_string());
        let rows = Page::cut(rows, size, snapshot.position, seal, |row| row);
        let mut items = order_answers(&mut snapshot, rows.items).await?;
        self.mark_orders(&mut items).await;
        Ok(Page { items, next_cursor: rows.next_cursor, position: rows.position })
    }

    /// Tells the marks and stops of trailing stops that wait.
    async fn mark_orders(&self, orders: &mut [OrderAnswer]) {
        let waits =
            |order: &OrderAnswer| order.trail().is_some() && order.status == OrderStatus::Accepted;
        let waiting: Vec<OrderId> =
            orders.iter().filter(|order| waits(order)).map(|order| order.order_id).collect();
        if waiting.is_empty() {
            return;
        }
        let Some(marks) = self.parts.engine.marks(waiting, MARKS).await else { return };
        for order in orders.iter_mut().filter(|order| waits(order)) {
            let mark = marks.get(&order.order_id).copied();
            order.hwm = mark;
            let stop = order.trail().zip(mark).zip(order.side);
            let stop = stop.map(|((trail, mark), side)| trail.stop(side, mark));
            order.stop_price = stop;
        }
    }

    /// Everything that happened to an order, in order.
    ///
    /// # Errors
    /// There is no such order, or not for this caller, or a cursor of another list.
    pub async fn order_events(
        &self,
        caller: &Caller,
        account_id: AccountId,
        order_id: OrderId,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<EventAnswer>, ServiceError> {
        let list = format!("{}/{account_id}/orders/{order_id}/events", caller.tenant);
        let after: Option<u64> = self.after(&list, page)?;
        self.order(caller, account_id, order_id, fresh).await?;
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Trading, fresh).await?;
        let wanted = Wanted { stream: Some(StreamId::Order(order_id)), ..Wanted::default() };
        let size = page.size();
        let rows = u32::try_from(size + 1).unwrap_or(u32::MAX);
        let connection = snapshot.connection();
        let rows = log::read_matching(connection, SHARD, &wanted, after.unwrap_or(0), rows).await?;
        let seal = |row: &Recorded| self.parts.cursors.seal(&list, &row.position.to_string());
        let rows = Page::cut(rows, size, snapshot.position, seal, |row| row);
        let items = rows.items.into_iter().map(EventAnswer::of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: rows.next_cursor, position: rows.position })
    }
}

/// Rows of orders with their notes, in the same snapshot.
pub(super) async fn order_answers(
    snapshot: &mut Snapshot,
    rows: Vec<OrderRow>,
) -> Result<Vec<OrderAnswer>, ServiceError> {
    let ids: Vec<_> = rows.iter().map(|row| row.order_id).collect();
    let mut notes = query::order_notes(snapshot.connection(), &ids).await?;
    let mut children = children(snapshot, &rows).await?;
    let position = snapshot.position;
    Ok(rows
        .into_iter()
        .map(|row| {
            let note = notes.remove(&row.order_id);
            let children = children.remove(&row.order_id).unwrap_or_default();
            OrderAnswer { children, ..order_answer(row, note, position) }
        })
        .collect())
}

fn order_answer(row: OrderRow, note: Option<String>, position: u64) -> OrderAnswer {
    let (trail_price, trail_percent) = match row.trail {
        Some(Trail::Price(price)) => (Some(price), None),
        Some(Trail::Percent(percent)) => (None, Some(percent)),
        None => (None, None),
    };
    let alone = row.order_class != OrderClass::Mleg;
    let kind = match row.is_of_options() {
        true => InstrumentKind::Option,
        false => InstrumentKind::Stock,
    };
    OrderAnswer {
        order_id: row.order_id,
        account_id: row.account_id,
        filled_avg_price: row.filled_avg_price(),
        client_order_id: row.client_order_id,
        underlying_symbol: match &row.contract {
            Some(terms) => Some(terms.underlying.clone()),
            None => (!alone).then(|| row.symbol.clone()),
        },
        kind,
        position_intent: row.position_intent,
        legs: row.legs.into_iter().flatten().map(LegAnswer::from).collect(),
        symbol: alone.then_some(row.symbol),
        side: alone.then_some(row.side),
        order_type: row.order_type,
        order_class: row.order_class,
        time_in_force: row.time_in_force,
        extended_hours: row.extended_hours,
        qty: Some(row.qty).filter(|qty| !qty.is_zero()),
        notional: row.notional,
        limit_price: row.limit_price,
        stop_price: row.stop_price,
        trail_price,
        trail_percent,
        limit_offset: row.limit_offset,
        activation_price: row.activation_price,
        trigger_by: row.trigger_by,
        hwm: row.hwm,
        status: row.status,
        filled_qty: row.filled_qty,
        fees: row.fees,
        reject: row.reject,
        cancel_reason: row.cancel_reason,
        expiry_reason: row.expiry_reason,
        revision: row.revision,
        parent_order_id: row.parent_order_id,
        children: Vec::new(),
        note,
        created_at: row.created_at,
        updated_at: row.updated_at,
        expires_at: row.expires_at,
        triggered_at: row.triggered_at,
        replaced_at: row.replaced_at,
        filled_at: row.filled_at,
        canceled_at: row.canceled_at,
        expired_at: row.expired_at,
        position,
    }
}
