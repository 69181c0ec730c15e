//! Orders, their fills and their events.

use aggregates::id::{AccountId, OrderId};
use aggregates::market::MarketTime;
use aggregates::order::{OrderClass, Side};
use aggregates::stream::StreamId;
use sqlx::PgConnection;

use super::{PAGE_MAX, fetch, select};
use crate::error::ProjectionError;
use crate::fills::FillRow;
use crate::group::Group;
use crate::log::{Recorded, read_stream};
use crate::orders::OrderRow;

/// Which orders by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderState {
    /// Taken and not ended.
    Open,
    /// Ended, rejected ones included.
    Closed,
    /// Both.
    #[default]
    All,
}

/// The last order of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCursor {
    /// The place of its first event.
    pub created_position: u64,
    /// Its id.
    pub order_id: OrderId,
}

/// Which orders a page holds. What is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderFilter {
    /// By their end.
    pub state: OrderState,
    /// Of this ticker.
    pub symbol: Option<String>,
    /// Buys or sells.
    pub side: Option<Side>,
    /// Of this class.
    pub class: Option<OrderClass>,
    /// Created after this market time.
    pub after: Option<MarketTime>,
    /// Created at or before this market time.
    pub until: Option<MarketTime>,
    /// Those that follow this one.
    pub cursor: Option<OrderCursor>,
    /// How many, at most [`PAGE_MAX`].
    pub limit: u32,
}

/// A page of an account's orders, newest first.
///
/// # Errors
/// The database failed.
pub async fn orders(
    connection: &mut PgConnection,
    account_id: AccountId,
    filter: &OrderFilter,
) -> Result<Vec<OrderRow>, ProjectionError> {
    // A state of its own in the text, so that the index of open orders can serve it.
    let state = match filter.state {
        OrderState::Open => "AND open",
        OrderState::Closed => "AND NOT open",
        OrderState::All => "",
    };
    let statement = format!(
        "{} AND account_id = $1 {state} AND ($2::text IS NULL OR symbol = $2) AND ($3::text IS NULL OR side = $3) \
         AND ($4::text IS NULL OR order_class = $4) AND ($5::timestamptz IS NULL OR created_at > $5) \
         AND ($6::timestamptz IS NULL OR created_at <= $6) \
         AND ($7::bigint IS NULL OR (created_position, order_id) < ($7, $8)) \
         ORDER BY created_position DESC, order_id DESC LIMIT $9",
        select::<OrderRow>(Group::Trading)
    );
    let statement = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(filter.symbol.as_deref())
        .bind(filter.side.map(Side::word))
        .bind(filter.class.map(OrderClass::word))
        .bind(filter.after)
        .bind(filter.until)
        .bind(filter.cursor.map(|cursor| cursor.created_position.cast_signed()))
        .bind(filter.cursor.map(|cursor| cursor.order_id.uuid()))
        .bind(i64::from(filter.limit.min(PAGE_MAX)));
    fetch(connection, statement).await
}

/// One order of an account.
///
/// # Errors
/// The database failed.
pub async fn order(
    connection: &mut PgConnection,
    account_id: AccountId,
    order_id: OrderId,
) -> Result<Option<OrderRow>, ProjectionError> {
    let statement =
        format!("{} AND order_id = $1 AND account_id = $2", select::<OrderRow>(Group::Trading));
    let statement = sqlx::query(&statement).bind(order_id.uuid()).bind(account_id.uuid());
    Ok(fetch(connection, statement).await?.pop())
}

/// The order that an account's client gave this id.
///
/// # Errors
/// The database failed.
pub async fn order_by_client_id(
    connection: &mut PgConnection,
    account_id: AccountId,
    client_order_id: &str,
) -> Result<Option<OrderRow>, ProjectionError> {
    let statement = format!(
        "{} AND account_id = $1 AND client_order_id = $2",
        select::<OrderRow>(Group::Trading)
    );
    let statement = sqlx::query(&statement).bind(account_id.uuid()).bind(client_order_id);
    Ok(fetch(connection, statement).await?.pop())
}

/// The fills of an order, in order.
///
/// # Errors
/// The database failed.
pub async fn fills(
    connection: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<FillRow>, ProjectionError> {
    let statement = format!("{} AND order_id = $1 ORDER BY n", select::<FillRow>(Group::Trading));
    fetch(connection, sqlx::query(&statement).bind(order_id.uuid())).await
}

/// The events of an order, in order, as they stand in the log; those up to `position`, the checkpoint that the
/// rest of the answer has.
///
/// # Errors
/// The database failed.
pub async fn order_events(
    connection: &mut PgConnection,
    order_id: OrderId,
    position: u64,
) -> Result<Vec<Recorded>, ProjectionError> {
    let mut events = read_stream(connection, StreamId::Order(order_id), 0).await?;
    events.retain(|recorded| recorded.position <= position);
    Ok(events)
}
