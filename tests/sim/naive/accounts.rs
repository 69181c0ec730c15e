//! The events of accounts.

use super::margin::backed;
use super::{Amount, Fact, Naive, hold};

impl Naive {
    pub(super) fn account(&mut self, id: &str, event: &str, fact: &Fact<'_>) -> Result<(), String> {
        self.touched.insert(id.to_owned());
        let orders = &self.orders;
        let opens =
            |order: &str| orders.get(order).is_none_or(|it| it.legs.is_empty() || it.opens());
        let account = self.accounts.entry(id.to_owned()).or_default();
        // Of an option that was exercised it says how the account stands afterwards.
        if account.margin && event != "OptionSettled" {
            let reserved = account.reserved.values().sum();
            backed(&self.positions, (id, account.cash(), reserved), event, fact)?;
        }
        match event {
            "AccountOpened" => account.margin = fact.text("kind") == "margin",
            "CashDeposited" => account.deposits += fact.amount("amount"),
            "CashWithdrawn" => account.withdrawals += fact.amount("amount"),
            "DividendPaid" => account.dividends += fact.amount("amount"),
            "CashPaidInLieu" => account.in_lieu += fact.amount("amount"),
            "OptionSettled" => {
                let end = self.ends.get_mut(&fact.text("ending_id")).ok_or("what is paid ended")?;
                end.pay(fact.amount("amount"))?;
                account.ends += fact.amount("amount");
            }
            "LossLimitReached" => {
                let loss = fact.amount("base") - fact.amount("equity");
                hold("a stop is by a loss", loss > 0 && loss >= fact.amount("max_loss"))?;
                hold("a stop restricts", fact.text("trading_state") != "active")?;
                account.stopped = true;
            }
            "LossLimitLifted" => {
                hold("what is lifted was stopped", account.stopped)?;
                account.stopped = false;
            }
            "PolicyChanged" => {
                account.stopped &= fact.0["policy"]["trading_state"] != "active";
            }
            "CashReserved" => {
                let order = fact.text("order_id");
                hold("a stopped account opens nothing", !account.stopped || !opens(&order))?;
                let before = account.reserved.insert(order, fact.amount("amount"));
                hold("I5: an order reserves once", before.is_none())?;
            }
            "ReservationReleased" => {
                let held = account.reserved.remove(&fact.text("order_id"));
                hold("I5: all is released, once", held == Some(fact.amount("amount")))?;
            }
            "ReservationsAdjusted" => {
                for change in fact.list("changes") {
                    let (order, to) = (change.text("order_id"), change.amount("to"));
                    let from = account.reserved.remove(&order).unwrap_or(0);
                    hold(
                        "I5: a reservation changes from what it was",
                        from == change.amount("from"),
                    )?;
                    if to != 0 {
                        account.reserved.insert(order, to);
                    }
                }
            }
            "FillSettled" => {
                let fill = self.fills.get_mut(&fact.text("fill_id"));
                let fill = fill.ok_or("I6: what is settled was filled")?;
                fill.settled += 1;
                hold("I3: a fill is paid as it was made", fact.amount("amount") == fill.cash)?;
                account.fills += fact.amount("amount");
                let buys = fact.amount("amount") < 0 && opens(&fact.text("order_id"));
                hold(
                    "a stopped account buys nothing",
                    !account.stopped || !buys || account.margin,
                )?;
                let (order, released) = (fact.text("order_id"), fact.amount("released"));
                let held = account.reserved.remove(&order).unwrap_or(0);
                hold("I5: no more is released than reserved", (0..=held).contains(&released))?;
                if held != released {
                    account.reserved.insert(order, held - released);
                }
            }
            "FeeCharged" => {
                account.fees += fact.amount("amount");
                if orders.get(&fact.text("order_id")).is_some_and(|order| order.sell) {
                    account.sell_fees += fact.amount("amount");
                }
            }
            _ => {}
        }
        let (cash, reserved) = (account.cash(), account.reserved.values().sum::<Amount>());
        hold(
            "I3: cash is what came less what went",
            fact.optional("cash").is_none_or(|it| it == cash),
        )?;
        hold(
            "I4: what is reserved adds up",
            fact.optional("reserved").is_none_or(|it| it == reserved),
        )?;
        hold("I4: nothing reserved is negative", account.reserved.values().all(|it| *it > 0))?;
        Ok(())
    }
}
