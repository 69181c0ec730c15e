//! Changing open orders.

use aggregates::id::{AccountId, CommandId, OrderId};
use aggregates::order::OrderChange;
use aggregates::trading::Command;
use uuid::Uuid;

use super::placing::ARRIVAL;
use super::{Caller, Fresh, OrderAnswer, OrderRequest, Service, ServiceError, Written};

impl Service {
    /// Changes an open order: the same order, its next revision. What is not named stays. Answers with the order as
    /// it stands after the change: filled, if the market filled it at once.
    ///
    /// # Errors
    /// There is no such order or it has ended, the change names nothing or what the order does not have, the account
    /// cannot pay what it adds, or the ledger's. Then the order is as it was.
    pub async fn replace_order(
        &self,
        caller: &Caller,
        account_id: AccountId,
        order_id: OrderId,
        change: OrderChange,
        once: Option<&str>,
    ) -> Result<Written<OrderAnswer>, ServiceError> {
        caller.on(account_id)?;
        let order = self.order(caller, account_id, order_id, Fresh::default()).await?;
        let view = self.parts.engine.board().market_view(
            account_id,
            &order.symbol,
            order.side,
            order.trail().and(order.trigger_by),
            order.time_in_force,
        );
        let market = view.ok_or_else(|| self.no_clock())?;
        let route = format!("PATCH /v1/accounts/{account_id}/orders/{order_id}");
        let key = once.map(|key| caller.key(&route, key, format!("{change:?}").as_bytes()));
        let submit = |seen| {
            let command = Command::Replace {
                account_id,
                order_id,
                change: change.clone(),
                seen,
                market: market.clone(),
            };
            let command_id = CommandId::new(Uuid::now_v7());
            self.parts.ledger.submit(Self::submission(caller, command_id, command, key))
        };
        let counted = caller.limited().is_some() && asks_more(&order, &change);
        let seen = counted.then_some(order.revision);
        // A change that asks for more counts as an order against the limits of an agent.
        let meant = replaced(order, &change).spec(account_id, "-");
        let taken = match counted {
            true => self.count_order(caller, &meant, &market).await,
            false => Ok(None),
        };
        let taken = match taken {
            // What was done under its key before is answered as it was, whatever has been used up since; for no
            // revision it is not done now.
            Err(ServiceError::Denied(denied)) if key.is_some() => {
                match submit(Some(u32::MAX)).await {
                    Ok(committed) if committed.replayed => {
                        let position = committed.position;
                        let answer =
                            self.order_after(caller, account_id, order_id, position).await?;
                        return Ok(Written { answer, replayed: true });
                    }
                    _ => return Err(denied.into()),
                }
            }
            taken => taken?,
        };
        let committed = match submit(seen).await {
            Ok(committed) => committed,
            Err(error) => {
                self.uncount_order(taken).await;
                return Err(error.into());
            }
        };
        if committed.replayed || committed.events.is_empty() {
            self.uncount_order(taken).await;
        } else {
            self.parts.engine.settled(committed.position, ARRIVAL).await;
        }
        let answer = self.order_after(caller, account_id, order_id, committed.position).await?;
        Ok(Written { answer, replayed: committed.replayed })
    }
}

/// Whether the change can make the order come to more: more shares, or another price.
fn asks_more(order: &OrderAnswer, change: &OrderChange) -> bool {
    let prices = change.limit_price.or(order.limit_price) != order.limit_price
        || change.stop_price.or(order.stop_price) != order.stop_price
        || change.trail.is_some();
    prices || change.qty.is_some_and(|qty| Some(qty) > order.qty)
}

/// The order that would come to the same as `order` after the change.
fn replaced(order: OrderAnswer, change: &OrderChange) -> OrderRequest {
    OrderRequest {
        symbol: order.symbol,
        side: order.side,
        order_type: order.order_type,
        qty: change.qty.or(order.qty).unwrap_or_default(),
        notional: order.notional.filter(|_| order.qty.is_none()),
        limit_price: change.limit_price.or(order.limit_price),
        stop_price: change.stop_price.or(order.stop_price),
        trail: None,
        limit_offset: None,
        activation_price: None,
        trigger_by: None,
        time_in_force: order.time_in_force,
        expires_at: None,
        extended_hours: order.extended_hours,
        order_class: order.order_class,
        exits: None,
        client_order_id: None,
        note: None,
    }
}
