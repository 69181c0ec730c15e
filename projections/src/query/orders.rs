//! Orders and their notes.

use std::collections::BTreeMap;

use aggregates::id::{AccountId, OrderId};
use aggregates::instrument::InstrumentKind;
use aggregates::market::MarketTime;
use aggregates::order::{OrderClass, Side};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{limit, read_all, read_one, select};
use crate::error::ProjectionError;
use crate::orders::OrderRow;

/// Which orders of an account, newest first. What is absent does not narrow.
#[derive(Clone, Debug, Default)]
pub struct OrdersWanted {
    /// Those that can still fill, or those that have ended.
    pub open: Option<bool>,
    /// Of one symbol: what is traded, the underlying of an mleg order, or one of its legs.
    pub symbol: Option<String>,
    /// Of one side.
    pub side: Option<Side>,
    /// Of one class.
    pub class: Option<OrderClass>,
    /// Of one kind of instrument; an mleg order is of options.
    pub kind: Option<InstrumentKind>,
    /// Placed later than this, by the market clock.
    pub after: Option<MarketTime>,
    /// Placed no later than this.
    pub until: Option<MarketTime>,
    /// Placed before this position of the log: where the page before ended.
    pub before: Option<u64>,
    /// At most so many.
    pub rows: usize,
}

/// `open` is compared by two conditions, so that the index of open orders is used.
const CONDITIONS: &str = "AND account_id = $1
    AND ($2::bigint IS NULL OR created_position < $2)
    AND ($3::text IS NULL OR symbol = $3 OR legs @> jsonb_build_array(jsonb_build_object('symbol', $3)))
    AND ($4::text IS NULL OR side = $4)
    AND ($5::text IS NULL OR order_class = $5)
    AND ($6::timestamptz IS NULL OR created_at > $6)
    AND ($7::timestamptz IS NULL OR created_at <= $7)
    AND ($8::text IS NULL OR CASE WHEN order_class = 'mleg' THEN $8 = 'option' ELSE
        EXISTS (SELECT FROM instruments i WHERE i.instrument_id = orders.instrument_id
        AND i.generation = blotter_generation('market') AND i.kind = $8) END)";

/// Orders of an account, newest first.
///
/// # Errors
/// The database failed.
pub async fn orders(
    connection: &mut PgConnection,
    account_id: AccountId,
    wanted: &OrdersWanted,
) -> Result<Vec<OrderRow>, ProjectionError> {
    let open = match wanted.open {
        None => "",
        Some(true) => "AND open",
        Some(false) => "AND NOT open",
    };
    let statement = format!(
        "{} {CONDITIONS} {open} ORDER BY created_position DESC LIMIT $9",
        select::<OrderRow>("trading")
    );
    let rows = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(wanted.before.map(u64::cast_signed))
        .bind(&wanted.symbol)
        .bind(wanted.side.map(Side::word))
        .bind(wanted.class.map(OrderClass::word))
        .bind(wanted.after)
        .bind(wanted.until)
        .bind(wanted.kind.map(InstrumentKind::word))
        .bind(limit(wanted.rows))
        .fetch_all(connection)
        .await?;
    read_all(&rows)
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
        format!("{} AND order_id = $1 AND account_id = $2", select::<OrderRow>("trading"));
    let row = sqlx::query(&statement)
        .bind(order_id.uuid())
        .bind(account_id.uuid())
        .fetch_optional(connection)
        .await?;
    read_one(row.as_ref())
}

/// The orders of an account among those named, newest first.
///
/// # Errors
/// The database failed.
pub async fn orders_named(
    connection: &mut PgConnection,
    account_id: AccountId,
    orders: &[OrderId],
) -> Result<Vec<OrderRow>, ProjectionError> {
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    let statement = format!(
        "{} AND order_id = ANY($1) AND account_id = $2 ORDER BY created_position DESC",
        select::<OrderRow>("trading")
    );
    let rows =
        sqlx::query(&statement).bind(ids).bind(account_id.uuid()).fetch_all(connection).await?;
    read_all(&rows)
}

/// The order of an account that its client called so.
///
/// # Errors
/// The database failed.
pub async fn order_by_client_id(
    connection: &mut PgConnection,
    account_id: AccountId,
    client_order_id: &str,
) -> Result<Option<OrderRow>, ProjectionError> {
    let statement =
        format!("{} AND account_id = $1 AND client_order_id = $2", select::<OrderRow>("trading"));
    let row = sqlx::query(&statement)
        .bind(account_id.uuid())
        .bind(client_order_id)
        .fetch_optional(connection)
        .await?;
    read_one(row.as_ref())
}

/// The notes of orders; erased ones are absent.
///
/// # Errors
/// The database failed.
pub async fn order_notes(
    connection: &mut PgConnection,
    orders: &[OrderId],
) -> Result<BTreeMap<OrderId, String>, ProjectionError> {
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query("SELECT order_id, note FROM order_notes WHERE order_id = ANY($1)")
        .bind(ids)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((OrderId::new(row.try_get("order_id")?), row.try_get("note")?)))
        .collect()
}
