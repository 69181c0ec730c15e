//! Options: what they are, how they end, and what covers those that an account is short of.

use std::collections::BTreeMap;

use super::{Amount, Fact, Naive, ONE, hold, owner, times, to_the_cent};

/// A cent, which is also what an option has to be in the money by to end in more than nothing.
pub const A_CENT: Amount = 10_000_000;

/// What one option is.
#[derive(Clone, PartialEq)]
pub struct Contract {
    pub on: String,
    pub call: bool,
    pub strike: Amount,
    pub shares: Amount,
    pub in_cash: bool,
    pub american: bool,
    /// The day of its last session.
    pub expires: String,
}

impl Contract {
    /// That of a leg, of an order or of a position; none of a stock.
    pub fn of(fact: &Fact<'_>) -> Option<Self> {
        let terms = Fact(fact.0.get("contract").filter(|terms| terms.is_object())?);
        Some(Self {
            on: terms.text("underlying_id"),
            call: terms.text("right") == "call",
            strike: terms.amount("strike"),
            shares: terms.amount("shares") / ONE,
            in_cash: terms.text("settlement") == "cash",
            american: terms.text("style") == "american",
            expires: terms.text("expiration"),
        })
    }

    /// Whether its last session is over: until four in New York, which is at nine in the evening in winter.
    pub fn is_over(&self, at: &str) -> bool {
        let end = format!("{}T21:00:00", self.expires);
        at.get(..end.len()).is_some_and(|at| *at >= *end)
    }

    fn worth_at(&self, price: Amount) -> Amount {
        let gain = if self.call { price - self.strike } else { self.strike - price };
        gain.max(0)
    }
}

/// A contract that has expired.
pub struct Expiry {
    price: Amount,
    pub settled: bool,
}

/// The end of some contracts: what it is to move, and what it has moved.
pub struct End {
    /// The position of shares that it delivers, how many and for what; none delivers nothing.
    delivers: Option<(String, Amount, Amount)>,
    delivered: u32,
    cash: Amount,
    booked: Amount,
}

impl End {
    pub fn is_whole(&self) -> Result<(), String> {
        hold("an end of options pays what it comes to", self.booked == self.cash)?;
        let deliveries = u32::from(self.delivers.is_some());
        hold("an end of options delivers its shares once", self.delivered == deliveries)
    }

    /// It was paid.
    pub fn pay(&mut self, amount: Amount) -> Result<(), String> {
        hold("an end of options is paid once", self.booked == 0)?;
        self.booked = amount;
        Ok(())
    }
}

impl Naive {
    pub(super) fn instrument(
        &mut self,
        id: &str,
        event: &str,
        fact: &Fact<'_>,
    ) -> Result<(), String> {
        match event {
            "SplitBegun" => {
                let split = Fact(&fact.0["split"]);
                let ratio = (split.amount("numerator"), split.amount("denominator"));
                let before = self.splits.insert(id.to_owned(), ratio);
                hold("one split after the other", before.is_none())
            }
            "SplitCompleted" => self.all_have_followed(id),
            "ContractExpired" => {
                let expiry = Expiry { price: fact.amount("price"), settled: false };
                let before = self.expired.insert(id.to_owned(), expiry);
                hold("a contract expires once", before.is_none())
            }
            "ContractSettled" => {
                let expiry = self.expired.get_mut(id).ok_or("what is settled has expired")?;
                hold("a contract is settled once", !expiry.settled)?;
                expiry.settled = true;
                let of = |name: &String| name.split('/').nth(1) == Some(id);
                let mut held = self.positions.iter().filter(|(name, _)| of(name));
                hold("nobody holds a settled contract", held.all(|(_, it)| it.qty == 0))?;
                let open = self.orders.values().filter(|order| !order.ended);
                let mut open = open.flat_map(|order| &order.legs);
                hold("nobody has orders of a settled contract", !open.any(|leg| leg.is_of(id)))
            }
            _ => Ok(()),
        }
    }

    /// Contracts of a position end otherwise than by a fill.
    pub(super) fn option_ends(&mut self, id: &str, fact: &Fact<'_>) -> Result<(), String> {
        let position = self.positions.get_mut(id).ok_or("what ends is held")?;
        let contract = position.contract.clone().ok_or("what ends is an option")?;
        let instrument = id.split('/').nth(1).unwrap_or_default();
        let expiry = self.expired.get(instrument);
        hold("a settled contract is over", expiry.is_none_or(|expiry| !expiry.settled))?;
        let (qty, how) = (fact.amount("qty"), fact.text("how"));
        let long = position.qty > 0;
        hold("contracts end that are held", qty > 0 && qty <= position.qty.abs())?;
        hold("a long option ends by a sell", (fact.text("side") == "sell") == long)?;
        let settled_at = fact.optional("settlement_price");
        let worth = match fact.0.get("mark").filter(|it| it.is_object()) {
            Some(mark) => Fact(mark).amount("price"),
            None => settled_at.map_or(0, |price| contract.worth_at(price)),
        };
        match expiry {
            Some(expiry) => {
                hold("it ends at the official close", settled_at == Some(expiry.price))?;
                let right = match how.as_str() {
                    "expired" => worth < A_CENT,
                    _ if worth < A_CENT => false,
                    "abandoned" => long && (position.kept_back || !contract.in_cash),
                    _ if long && position.kept_back => false,
                    "cash_settled" => contract.in_cash,
                    "exercised" | "sold_out" => long && !contract.in_cash,
                    "assigned" => !long && !contract.in_cash,
                    _ => false,
                };
                hold("it ends as the rules have it", right)?;
            }
            None if how == "paid_out" => {
                let (new, old) = *self.splits.get(&contract.on).ok_or("a split pays out")?;
                hold("a split pays out what is held", qty == position.qty.abs() && new != old)?;
                hold(
                    "it is paid at one price",
                    fact.0.get("mark").is_some() != settled_at.is_some(),
                )?;
                // Whether there is money for it or not.
                let account = self.accounts.get_mut(owner(id)).ok_or("an account")?;
                account.owed += if long { 0 } else { to_the_cent(qty * contract.shares, worth) };
            }
            None => {
                hold("nobody decides after its end", !contract.is_over(&fact.text("at")))?;
                let right = match how.as_str() {
                    "exercised" => long && !contract.in_cash,
                    "assigned" => !long && !contract.in_cash,
                    "cash_settled" => contract.in_cash,
                    _ => false,
                };
                hold("it ends early as the rules have it", right && contract.american)?;
            }
        }
        let shares = qty * contract.shares;
        let delivers = matches!(how.as_str(), "exercised" | "assigned");
        let proceeds = match how.as_str() {
            "cash_settled" | "paid_out" => to_the_cent(shares, worth),
            "sold_out" => to_the_cent(shares, Fact(&fact.0["bid"]).amount("price")),
            _ => 0,
        };
        hold("it brings what it is worth", fact.amount("proceeds") == proceeds)?;
        let cost = fact.sum("lots", "cost");
        hold("what ends cost what its lots did", fact.amount("cost") == cost)?;
        hold("what ends is of lots", fact.sum("lots", "qty") == qty)?;
        let strike = times(shares, contract.strike);
        let moved = match (delivers, contract.call) {
            (false, _) => 0,
            (true, true) => cost,
            (true, false) => cost.min(strike),
        };
        hold("what it had cost goes over to its shares", fact.amount("moved") == moved)?;
        let stayed = cost - moved;
        let realized = if long { proceeds - stayed } else { stayed - proceeds };
        hold("the profit is what is left", fact.amount("realized_pl") == realized)?;
        let sign = if long { 1 } else { -1 };
        position.realized += realized;
        position.cost -= sign * cost;
        position.traded -= sign * qty;
        position.qty = fact.amount("position_qty");
        position.kept_back &= position.qty != 0;
        let brings_shares = contract.call == long;
        let of_shares = if contract.call { strike + moved } else { strike - moved };
        let shares_of = format!("{}/{}", owner(id), contract.on);
        let end = End {
            delivers: delivers.then(|| {
                let shares = if brings_shares { shares } else { -shares };
                (shares_of, shares, of_shares)
            }),
            delivered: 0,
            cash: match delivers {
                true if brings_shares => -strike,
                true => strike,
                false => sign * proceeds,
            },
            booked: 0,
        };
        let ending = fact.text("ending_id");
        self.open_ends.insert(ending.clone());
        let before = self.ends.insert(ending, end);
        hold("contracts end once", before.is_none())
    }

    /// The shares of an option come or go.
    pub(super) fn delivered(&mut self, id: &str, fact: &Fact<'_>) -> Result<(), String> {
        let end = self.ends.get_mut(&fact.text("ending_id")).ok_or("what delivers has ended")?;
        let side = if fact.text("side") == "buy" { 1 } else { -1 };
        let (qty, amount) = (side * fact.amount("qty"), fact.amount("amount"));
        let told = Some((id.to_owned(), qty, amount));
        hold("shares are delivered for the strike and what the option cost", end.delivers == told)?;
        end.delivered += 1;
        let position = self.positions.entry(id.to_owned()).or_default();
        let (mut closing, mut proceeds) = (0, 0);
        if let Some(closed) = fact.0.get("closed").filter(|it| it.is_object()) {
            let closed = Fact(closed);
            (closing, proceeds) = (closed.amount("qty"), closed.amount("proceeds"));
            let cost = closed.sum("lots", "cost");
            let realized = side * (cost - proceeds);
            hold("the profit of shares is told", closed.amount("realized_pl") == realized)?;
            hold("what closes is of lots", closed.sum("lots", "qty") == closing)?;
            position.realized += realized;
            position.cost += side * cost;
        }
        let against = (-side * position.qty).max(0).min(side * qty);
        hold("a delivery closes what is held against it first", closing == against)?;
        let (mut opening, mut opened_for) = (0, 0);
        if let Some(lot) = fact.0.get("opened").filter(|it| it.is_object()) {
            (opening, opened_for) = (Fact(lot).amount("qty"), Fact(lot).amount("cost"));
            position.cost += side * opened_for;
        }
        hold("a delivery is whole", side * opening + closing == side * qty)?;
        hold("a delivery costs what its parts do", proceeds + opened_for == amount)?;
        position.traded += qty;
        position.qty = fact.amount("position_qty");
        Ok(())
    }

    /// A cash account is short of no shares; its short calls are covered by shares, and its short puts secured by cash.
    pub(super) fn is_covered(&mut self, id: &str) -> Result<(), String> {
        if self.accounts.get(id).is_none_or(|account| account.margin) {
            return Ok(());
        }
        let (mut secured, mut calls) = (0, BTreeMap::new());
        for (_, position) in self.positions_of(id) {
            let Some(contract) = &position.contract else {
                hold("a cash account is short of no shares", position.qty >= 0)?;
                continue;
            };
            let short = (-position.qty).max(0);
            if contract.call {
                *calls.entry(contract.on.clone()).or_insert(0) += short * contract.shares;
            } else {
                secured += times(short * contract.shares, contract.strike);
            }
            hold("an option is held whole", position.qty % ONE == 0)?;
        }
        for (on, covered) in calls.into_iter().filter(|(_, covered)| *covered > 0) {
            let shares = self.positions.get(&format!("{id}/{on}")).map_or(0, |it| it.qty);
            hold("short calls of a cash account are covered", covered <= shares)?;
        }
        let account = self.accounts.get_mut(id).ok_or("an account")?;
        let free = account.cash() - account.reserved.values().sum::<Amount>() - secured;
        let paid = free >= -account.sell_fees - account.owed;
        hold("short puts of a cash account are secured", paid || free >= account.free)?;
        account.free = free;
        Ok(())
    }

    /// Whether every contract that has expired is settled.
    pub fn all_is_settled(&self) -> Result<(), String> {
        hold("what has expired is settled", self.expired.values().all(|expiry| expiry.settled))
    }
}
