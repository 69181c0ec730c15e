//! Changing open orders.

use aggregates::id::{AccountId, CommandId, OrderId};
use aggregates::order::{OrderChange, OrderClass, OrderSpec, Side};
use aggregates::trading::Command;
use uuid::Uuid;

use super::legs::LegAnswer;
use super::placing::{ARRIVAL, name_contracts};
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
        let revision = order.revision;
        let mut as_it_is = as_asked(order).spec(account_id, "-");
        let market = self.market_of(&as_it_is)?;
        name_contracts(&mut as_it_is, &market);
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
        // What an agent may is judged by this revision, so the change is of no other.
        let seen = caller.limited().map(|_| revision);
        // What cannot be is refused by the ledger.
        let meant = change.of(&as_it_is).unwrap_or_else(|_| as_it_is.clone());
        // A change that asks for more counts as an order against the limits of an agent.
        let counted = seen.is_some() && asks_more(&as_it_is, &meant);
        let taken = match counted {
            true => self.count_order(caller, &meant, &market.once_changed(&meant)).await,
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

/// Whether a change to `meant` can make the order come to more: more shares, or another price.
fn asks_more(order: &OrderSpec, meant: &OrderSpec) -> bool {
    let prices = |spec: &OrderSpec| {
        (spec.limit_price, spec.stop_price, spec.trail, spec.limit_offset, spec.activation_price)
    };
    prices(order) != prices(meant) || meant.qty > order.qty
}

/// What would have to be asked for to have this order as it is.
fn as_asked(order: OrderAnswer) -> OrderRequest {
    let trail = order.trail();
    let legs: Vec<_> = order.legs.iter().map(LegAnswer::as_asked).collect();
    OrderRequest {
        symbol: order.symbol.unwrap_or_default(),
        side: order.side.unwrap_or(Side::Buy),
        order_type: order.order_type,
        qty: order.qty.unwrap_or_default(),
        notional: order.notional.filter(|_| order.qty.is_none()),
        limit_price: order.limit_price,
        // That of a trailing stop is where the market has it.
        stop_price: order.stop_price.filter(|_| trail.is_none()),
        trail,
        limit_offset: order.limit_offset,
        activation_price: order.activation_price,
        trigger_by: order.trigger_by,
        time_in_force: order.time_in_force,
        expires_at: None,
        extended_hours: order.extended_hours,
        order_class: order.order_class,
        exits: None,
        position_intent: order.position_intent,
        legs: (order.order_class == OrderClass::Mleg).then_some(legs),
        client_order_id: None,
        note: None,
    }
}
