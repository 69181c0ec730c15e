//! The events of orders.

use super::packages::Leg;
use super::{Amount, Fact, HALF_A_CENT, Naive, ONE, Order, hold, ticked};

impl Naive {
    pub(super) fn order(&mut self, id: &str, event: &str, fact: &Fact<'_>) -> Result<(), String> {
        if let "OrderPlaced" | "OrderRejected" = event {
            let spec = Fact(&fact.0["order"]);
            let account = spec.text("account_id");
            let order = Order {
                of: format!("{account}/{}", spec.text("instrument_id")),
                legs: Leg::of_order(&account, &spec),
                account,
                sell: spec.text("side") == "sell",
                limit: spec.optional("limit_price"),
                stop: spec.optional("stop_price"),
                trails: spec.0.get("trail").is_some(),
                offset: spec.optional("limit_offset"),
                // Of dollars something is open, and only a fill says how much.
                qty: spec.optional("notional").map_or(spec.amount("qty"), |_| 1),
                notional: spec.optional("notional"),
                ended: event == "OrderRejected",
                family: match spec.0["parent_order_id"].as_str() {
                    Some(parent) => Some(parent.to_owned()),
                    None => {
                        let class = spec.text("order_class");
                        (class != "simple" && class != "mleg").then(|| id.to_owned())
                    }
                },
                entry: matches!(&*spec.text("order_class"), "bracket" | "oto")
                    && spec.0.get("parent_order_id").is_none(),
                held: fact.0["held"].as_bool() == Some(true),
                ..Order::default()
            };
            let before = self.orders.insert(id.to_owned(), order);
            return hold("I8: an order begins once", before.is_none());
        }
        let expired = &self.expired;
        let order = self.orders.get_mut(id).ok_or("I8: an order begins with its placing")?;
        hold("I8: nothing happens after the end", !order.ended)?;
        match event {
            "OrderTriggered" => {
                hold("I24: an order is triggered once", order.triggered.is_none())?;
                if order.trails {
                    let (mark, stop) = (fact.amount("mark"), fact.amount("stop_price"));
                    let behind = if order.sell { stop <= mark } else { stop >= mark };
                    hold("I24: a stop trails its mark", behind)?;
                    order.stop = Some(stop);
                    let beyond = |off: Amount| if order.sell { stop - off } else { stop + off };
                    order.limit = fact.optional("limit_price");
                    let near = match (order.limit, order.offset.map(beyond)) {
                        (Some(limit), Some(exact)) => (limit - exact).abs() <= HALF_A_CENT,
                        (limit, exact) => limit == exact,
                    };
                    hold("I24: a limit by its offset", near)?;
                }
                hold("I24: at its stop", order.stop == fact.optional("stop_price"))?;
                let evidence = &fact.0["evidence"];
                let price = ticked(&evidence["tick"], order.sell);
                let reached = order
                    .stop
                    .is_some_and(|stop| if order.sell { price <= stop } else { price >= stop });
                hold("I24: by a tick that reached it", reached)?;
                order.triggered = evidence["tape_place"].as_u64();
            }
            "OrderFilled" => {
                let stops = order.stop.is_some() || order.trails;
                let waits = stops && order.triggered.is_none();
                hold("I24: a stop fills once it is triggered", !waits)?;
                hold("I24: nothing held fills", !order.held)?;
                let at = fact.text("at");
                let mut contracts = order.legs.iter().filter_map(|leg| leg.contract.as_ref());
                hold(
                    "nothing of a contract fills after its end",
                    !contracts.any(|it| it.is_over(&at)),
                )?;
                let (qty, price) = (fact.amount("qty"), fact.amount("price"));
                order.filled += qty;
                order.fills += 1;
                for (id, fill) in order.fills_of(fact)? {
                    let over = fill.of.split('/').nth(1).is_some_and(|id| expired.contains_key(id));
                    hold("nothing of an expired contract fills", !over)?;
                    self.open_fills.insert(id.clone());
                    hold("I9: a fill is made once", self.fills.insert(id, fill).is_none())?;
                }
                hold("I9: a fill is of something", qty > 0)?;
                order.spent += fact.amount("amount");
                let leaves = fact.amount("leaves_qty");
                if let Some(notional) = order.notional {
                    let left = notional - order.spent;
                    hold("I9: no more dollars than was asked", left >= 0)?;
                    let open = left * ONE / price;
                    // A sell is open for what is held of that.
                    let right = if order.sell { leaves <= open } else { leaves == open };
                    hold("I9: what is left buys what is open", right)?;
                    // Its quantity is what has filled and what is open.
                    order.qty = order.filled + leaves;
                }
                hold("I9: no more fills than was asked", order.filled <= order.qty)?;
                hold("I9: fills add up", order.filled == fact.amount("filled_qty"))?;
                hold(
                    "I9: what is left is right",
                    order.qty - order.filled == fact.amount("leaves_qty"),
                )?;
                hold("I9: fills are counted", fact.0["n"].as_u64() == Some(order.fills))?;
                hold(
                    "I24: a fill is of the revision",
                    fact.0["revision"].as_u64() == Some(order.revision),
                )?;
                let respected = order
                    .limit
                    .is_none_or(|limit| if order.sell { price >= limit } else { price <= limit });
                hold("I24: a fill respects the limit", respected)?;
                order.ended = order.filled == order.qty;
            }
            "OrderReplaced" => {
                order.qty = fact.amount("qty");
                order.limit = fact.optional("limit_price");
                order.stop = fact.optional("stop_price").or(order.stop);
                order.revision += 1;
                hold("I9: a replaced order has some open", order.qty > order.filled)?;
                hold(
                    "I24: revisions are counted",
                    fact.0["revision"].as_u64() == Some(order.revision),
                )?;
            }
            "OrderActivated" => {
                hold("I24: an order is activated once", order.held)?;
                (order.held, order.qty) = (false, fact.amount("qty"));
            }
            "OrderResized" => {
                order.qty = fact.amount("qty");
                order.revision += 1;
                hold("I9: a resized order has some open", order.qty > order.filled)?;
            }
            "OrderAdjusted" => {
                order.qty = fact.amount("qty");
                order.limit = fact.optional("limit_price");
                order.stop = fact.optional("stop_price");
                order.offset = fact.optional("limit_offset");
                order.revision += 1;
            }
            "OrderCanceled" | "OrderExpired" => {
                let open = if order.notional.is_some() { 0 } else { order.qty - order.filled };
                hold("I9: what is left is right", open == fact.amount("leaves_qty"))?;
                order.ended = true;
            }
            other => return Err(format!("{other} is not simulated")),
        }
        Ok(())
    }
}
