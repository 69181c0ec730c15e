//! The events of positions.

use super::contracts::Contract;
use super::{Amount, Fact, Naive, ONE, Position, hold};

impl Naive {
    pub(super) fn position(
        &mut self,
        id: &str,
        event: &str,
        fact: &Fact<'_>,
    ) -> Result<(), String> {
        let (account, instrument) = id.split_once('/').ok_or("a position has two names")?;
        self.touched.insert(account.to_owned());
        let settled = self.expired.get(instrument).is_some_and(|expiry| expiry.settled);
        hold("nothing happens to a settled contract", !settled)?;
        let margin = self.accounts.get(account).is_some_and(|account| account.margin);
        let in_parts = |it: &Position| it.qty < 0 && it.qty % ONE != 0;
        // An assignment comes as it does.
        let may = event == "SharesDelivered" || self.positions.get(id).is_some_and(in_parts);
        match event {
            "OptionEnded" => self.option_ends(id, fact)?,
            "SharesDelivered" => self.delivered(id, fact)?,
            "ContractAdjusted" => self.leaves(id, fact)?,
            "AdjustedContractOpened" => self.comes(id, fact)?,
            _ => self.moved(id, margin, event, fact)?,
        }
        let position = self.positions.get(id).ok_or("a position")?;
        let of_option = position.contract.is_some();
        hold("I6: a position is what was traded", position.qty == position.traded)?;
        hold("I6: nothing is short", margin || of_option || position.qty >= 0)?;
        hold("I6: shorts are in whole shares", may || !in_parts(position))?;
        let reserved: Amount = position.reserved.values().sum();
        hold("I5: no more shares are reserved than held", reserved <= position.qty.abs())
    }

    /// What fills, reservations and splits do to a position.
    fn moved(
        &mut self,
        id: &str,
        margin: bool,
        event: &str,
        fact: &Fact<'_>,
    ) -> Result<(), String> {
        let position = self.positions.entry(id.to_owned()).or_default();
        match event {
            "PositionOpened" | "PositionIncreased" | "PositionReduced" | "PositionClosed" => {
                let sell = fact.text("side") == "sell";
                let (qty, order) = (fact.amount("qty"), fact.text("order_id"));
                let fill = self.fills.get_mut(&fact.text("fill_id"));
                let fill = fill.ok_or("I6: what is traded was filled")?;
                hold("I6: a fill moves its own position", fill.of == id && fill.sell == sell)?;
                fill.traded += qty;
                let opens = matches!(event, "PositionOpened" | "PositionIncreased");
                let paid = fact.amount(if opens { "cost" } else { "proceeds" });
                fill.worth += paid;
                let sign = if sell { -1 } else { 1 };
                if opens {
                    position.cost += sign * paid;
                } else {
                    let cost = fact.sum("lots", "cost");
                    let realized = sign * (cost - paid);
                    hold("I3: the profit is told", fact.amount("realized_pl") == realized)?;
                    position.cost += sign * cost;
                    position.realized += realized;
                }
                if event == "PositionOpened" {
                    position.contract = Contract::of(fact);
                }
                position.traded += if sell { -qty } else { qty };
                position.qty = fact.optional("position_qty").unwrap_or(0);
                let held = position.reserved.remove(&order).unwrap_or(0);
                if let Some(of) = self.orders.get(&order).filter(|order| order.family.is_some()) {
                    hold("an entry opens and exits close", opens == of.entry)?;
                }
                let legs = self.orders.get(&order).map(|order| &order.legs);
                let leg = legs.and_then(|legs| legs.iter().find(|leg| leg.trades(id)));
                if let Some(leg) = leg {
                    hold("a leg does what it was to do", leg.opens == opens)?;
                    hold(
                        "a leg closes what it set aside",
                        if opens { held == 0 } else { qty <= held },
                    )?;
                }
                // Of a family one order has reserved for both: it gave up before what the other one delivers.
                let beside = held == 0
                    && self.orders.get(&order).is_some_and(|order| order.family.is_some());
                let delivers = margin || !sell || qty <= held || beside || leg.is_some();
                hold("I5: a sell delivers what it reserved", delivers)?;
                if held > qty {
                    position.reserved.insert(order, held - qty);
                }
            }
            "SharesReserved" => {
                let order = self.orders.get_mut(&fact.text("order_id"));
                if let Some(order) = order.filter(|order| order.notional.is_some()) {
                    // As many as its dollars come to, or as are free.
                    order.qty = fact.amount("qty");
                }
                let before = position.reserved.insert(fact.text("order_id"), fact.amount("qty"));
                hold("I5: an order reserves once", before.is_none())?;
            }
            "SharesReservationAdjusted" => {
                let order = fact.text("order_id");
                let held = position.reserved.remove(&order).unwrap_or(0);
                hold("I5: a reservation changes from what it was", held == fact.amount("from"))?;
                let to = fact.amount("to");
                hold("I5: a sell of a cash account keeps its shares", margin || to > 0)?;
                if to > 0 {
                    position.reserved.insert(order, to);
                }
            }
            "SharesReleased" => {
                let held = position.reserved.remove(&fact.text("order_id"));
                hold("I5: all is released, once", held == Some(fact.amount("qty")))?;
            }
            "PositionSplit" => {
                let (new, old) = (fact.amount("numerator"), fact.amount("denominator"));
                position.traded = position.traded * new / old - fact.amount("fraction");
                position.realized += fact.amount("realized_pl");
                let sign = if position.qty < 0 { -1 } else { 1 };
                position.cost -= sign * fact.amount("fraction_cost");
                position.qty = fact.amount("position_qty");
                let lots: Amount = fact.list("lots").iter().map(|lot| lot.amount("qty")).sum();
                hold("I6: lots add up", lots == position.qty)?;
                let kept = fact.list("reservations").into_iter();
                position.reserved =
                    kept.map(|kept| (kept.text("order_id"), kept.amount("qty"))).collect();
            }
            "ExerciseInstructed" => {
                let kept_back = fact.0["exercise"].as_bool() == Some(false);
                hold("only a long option is kept back", position.qty > 0)?;
                hold("it was not said before", position.kept_back != kept_back)?;
                position.kept_back = kept_back;
            }
            other => return Err(format!("{other} is not simulated")),
        }
        Ok(())
    }
}
