//! Orders of options: what a package consists of, its fills, and what holds of it between commits.

use super::contracts::Contract;
use super::{Amount, Fact, Fill, Naive, ONE, Order, hold, ticked, times};

/// Shares in a hundred, which a net price is of.
const HUNDRED: Amount = 100;

/// One leg of a package.
#[derive(Clone)]
pub struct Leg {
    /// The position that it trades.
    of: String,
    instrument: String,
    sell: bool,
    /// Contracts or shares of one package.
    ratio: Amount,
    pub opens: bool,
    pub contract: Option<Contract>,
}

impl Leg {
    /// Those of an order as it was placed; none of an order of a stock.
    pub fn of_order(account: &str, spec: &Fact<'_>) -> Vec<Self> {
        let leg = |fact: &Fact<'_>, ratio: Amount| {
            let instrument = fact.text("instrument_id");
            let intent = fact.0["position_intent"].as_str().unwrap_or_default();
            Self {
                of: format!("{account}/{instrument}"),
                instrument,
                sell: fact.text("side") == "sell",
                ratio,
                opens: intent.ends_with("_to_open"),
                contract: Contract::of(fact),
            }
        };
        let ratio = |fact: &Fact<'_>| i128::from(fact.0["ratio_qty"].as_u64().unwrap_or_default());
        match spec.list("legs") {
            legs if !legs.is_empty() => legs.iter().map(|fact| leg(fact, ratio(fact))).collect(),
            _ if spec.0["contract"].is_object() => vec![leg(spec, 1)],
            _ => Vec::new(),
        }
    }

    /// Shares that one of it is on.
    fn shares(&self) -> Amount {
        self.contract.as_ref().map_or(1, |contract| contract.shares)
    }

    pub fn trades(&self, position: &str) -> bool {
        self.of == position
    }

    pub fn is_of(&self, instrument: &str) -> bool {
        self.instrument == instrument
    }
}

impl Order {
    /// What an open order has to have set aside of a position to close it.
    pub fn closes(&self, position: &str) -> Option<Amount> {
        let leaves = self.qty - self.filled;
        if self.legs.is_empty() {
            return Some(leaves).filter(|_| self.sell);
        }
        let leg = self.legs.iter().find(|leg| leg.trades(position) && !leg.opens)?;
        Some(leaves * leg.ratio)
    }

    /// Whether it opens anything, as far as its words tell.
    pub fn opens(&self) -> bool {
        self.legs.iter().any(|leg| leg.opens)
    }

    /// The fills of an execution, each by the id that its position names: of every leg in proportion, at the price that its
    /// quote had, or none.
    pub fn fills_of(&self, fact: &Fact<'_>) -> Result<Vec<(String, Fill)>, String> {
        let (qty, price, amount) =
            (fact.amount("qty"), fact.amount("price"), fact.amount("amount"));
        let id = fact.text("fill_id");
        let told = fact.list("legs");
        if let [leg] = self.legs.as_slice() {
            hold("an order of one option has no legs", told.is_empty())?;
            hold("contracts are whole", qty % ONE == 0)?;
            let worth = times(qty * leg.shares(), price);
            hold("a contract is paid for all its shares", amount == worth)?;
            return Ok(vec![(id, Fill::of(&self.of, self.sell, qty, amount))]);
        }
        if self.legs.is_empty() {
            return Ok(vec![(id, Fill::of(&self.of, self.sell, qty, amount))]);
        }
        hold("all legs fill together", told.len() == self.legs.len())?;
        hold("packages are whole", qty % ONE == 0)?;
        let (mut net, mut paid) = (0, 0);
        let mut fills = Vec::new();
        for (leg, told) in self.legs.iter().zip(told) {
            hold("legs fill in their order", leg.is_of(&told.text("instrument_id")))?;
            hold("legs fill in proportion", told.amount("qty") == qty * leg.ratio)?;
            let seen = ticked(&told.0["evidence"]["tick"], leg.sell);
            hold("a leg fills at its own quote", seen == told.amount("price"))?;
            let (price, amount) = (told.amount("price"), told.amount("amount"));
            let worth = times(qty * leg.ratio * leg.shares(), price);
            hold("a leg is worth its price", amount == worth)?;
            let sign = if leg.sell { -1 } else { 1 };
            net += sign * price * leg.ratio * leg.shares();
            paid += sign * amount;
            let fill = Fill::of(&leg.of, leg.sell, qty * leg.ratio, amount);
            fills.push((told.text("fill_id"), Fill { settled: 1, ..fill }));
        }
        hold("a package fills at the net of its legs", net == price * HUNDRED)?;
        hold("a package is paid as the net of its legs", paid == amount)?;
        // The account pays once for all of them, and the positions name the legs.
        let whole = Fill::of("", false, qty, amount);
        fills.push((id, Fill { traded: qty, worth: amount.abs(), ..whole }));
        Ok(fills)
    }
}

impl Naive {
    /// What an open order of options closes it has set aside, leg by leg; and what opens reserves something.
    pub(super) fn packages_at_rest(&self) -> Result<(), String> {
        for (id, order) in self.orders.iter().filter(|(_, order)| !order.legs.is_empty()) {
            let account = self.accounts.get(&order.account);
            let cash = account.and_then(|it| it.reserved.get(id)).copied().unwrap_or(0);
            hold("I5: an order of options that ended reserves nothing", !order.ended || cash == 0)?;
            let opens = !order.ended && order.opens();
            hold("I5: what opens options reserves something", !opens || cash > 0)?;
            for leg in &order.legs {
                let position = self.positions.get(&leg.of);
                let aside = position.and_then(|it| it.reserved.get(id)).copied().unwrap_or(0);
                let closes = if order.ended { None } else { order.closes(&leg.of) };
                let needed = closes.unwrap_or(0);
                // Shares that another order of a margin account has taken are gone for it.
                let fits = aside == needed || leg.contract.is_none() && aside < needed;
                hold("I5: a leg that closes has set that aside", fits)?;
                let over = |it: &String| self.expired.get(it).is_some_and(|it| it.settled);
                hold(
                    "nothing works for a settled contract",
                    order.ended || !over(&leg.instrument),
                )?;
            }
        }
        Ok(())
    }
}
