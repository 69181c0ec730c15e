//! A second fold of the log, written from the rules and not from the aggregates: JSON in, integers of a billionth.

mod accounts;
mod adjusted;
mod contracts;
mod families;
mod margin;
mod orders;
mod packages;
mod positions;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use adjusted::Left;
use contracts::{Contract, End, Expiry};
use packages::Leg;

/// Billionths.
type Amount = i128;

#[derive(Default)]
struct Account {
    /// It borrows, and sells short.
    margin: bool,
    deposits: Amount,
    withdrawals: Amount,
    fills: Amount,
    fees: Amount,
    sell_fees: Amount,
    /// For short options that a split has paid out.
    owed: Amount,
    dividends: Amount,
    /// For parts of shares that a split left.
    in_lieu: Amount,
    /// For options that ended.
    ends: Amount,
    reserved: BTreeMap<String, Amount>,
    /// It has lost as much as it may, and nobody has set it active since.
    stopped: bool,
    /// Cash that neither orders nor short puts need, as the last command left it.
    free: Amount,
}

impl Account {
    fn cash(&self) -> Amount {
        let moved = self.fills + self.dividends + self.in_lieu + self.ends;
        self.deposits - self.withdrawals + moved - self.fees
    }
}

#[derive(Default)]
struct Order {
    account: String,
    /// The position that it trades; of several legs none.
    of: String,
    sell: bool,
    limit: Option<Amount>,
    stop: Option<Amount>,
    /// It follows the market.
    trails: bool,
    offset: Option<Amount>,
    /// The place of the tick that reached the stop.
    triggered: Option<u64>,
    qty: Amount,
    /// Dollars, in place of a quantity.
    notional: Option<Amount>,
    spent: Amount,
    filled: Amount,
    fills: u64,
    revision: u64,
    ended: bool,
    /// The order that the family is named by.
    family: Option<String>,
    /// Its fills open what the others of the family sell.
    entry: bool,
    /// It waits for the entry.
    held: bool,
    /// Of an order of options, what one package has.
    legs: Vec<Leg>,
}

#[derive(Default)]
struct Position {
    /// By what the position says.
    qty: Amount,
    /// By what orders filled, options delivered, and splits did.
    traded: Amount,
    reserved: BTreeMap<String, Amount>,
    /// What it cost; below 0 what it had brought.
    cost: Amount,
    realized: Amount,
    contract: Option<Contract>,
    /// Its owner has said that it is not to be exercised.
    kept_back: bool,
}

/// One fill, as the three aggregates tell it.
struct Fill {
    /// The position that it moves.
    of: String,
    sell: bool,
    qty: Amount,
    /// The change of cash.
    cash: Amount,
    settled: u32,
    traded: Amount,
    /// What the positions say that it cost or brought.
    worth: Amount,
}

impl Fill {
    fn of(position: &str, sell: bool, qty: Amount, amount: Amount) -> Self {
        let cash = if sell { amount } else { -amount };
        Self { of: position.to_owned(), sell, qty, cash, settled: 0, traded: 0, worth: 0 }
    }
}

/// What the log comes to.
#[derive(Default)]
pub struct Naive {
    accounts: BTreeMap<String, Account>,
    orders: BTreeMap<String, Order>,
    positions: BTreeMap<String, Position>,
    fills: BTreeMap<String, Fill>,
    ends: BTreeMap<String, End>,
    /// The contracts that have expired.
    expired: BTreeMap<String, Expiry>,
    /// Fills and ends of the command that is being read, and the accounts that it touches.
    open_fills: BTreeSet<String>,
    /// Contracts that a split has taken from a position, by the position that they are to come to.
    left: BTreeMap<String, Left>,
    /// The splits under way, by what is split.
    splits: BTreeMap<String, (Amount, Amount)>,
    open_ends: BTreeSet<String>,
    touched: BTreeSet<String>,
}

/// What 1 is.
const ONE: Amount = 1_000_000_000;

/// A limit is rounded to the cent.
const HALF_A_CENT: Amount = 5_000_000;

fn amount(text: &str) -> Amount {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let scaled = format!("{whole}{part:0<9}");
    sign * scaled.parse::<Amount>().expect("an amount")
}

/// So many of something at a price.
fn times(qty: Amount, price: Amount) -> Amount {
    qty * price / ONE
}

/// So many of something at a price, to the cent, half to even.
fn to_the_cent(qty: Amount, price: Amount) -> Amount {
    const CENT: Amount = ONE * ONE / 100;
    let (cents, rest) = ((qty * price).div_euclid(CENT), (qty * price).rem_euclid(CENT));
    let up = 2 * rest > CENT || 2 * rest == CENT && cents % 2 != 0;
    (cents + Amount::from(up)) * (ONE / 100)
}

/// The price of a tick that an order sees.
fn ticked(tick: &Value, sell: bool) -> Amount {
    let (kind, body) = tick.as_object().and_then(|map| map.iter().next()).expect("tagged");
    let fact = Fact(body);
    match kind.as_str() {
        "quote" if sell => fact.amount("bid"),
        "quote" => fact.amount("ask"),
        "trade" => fact.amount("price"),
        _ => fact.amount(&fact.text("point")),
    }
}

/// `rule` holds, or the error says which does not.
fn hold(rule: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

/// The account of a position.
fn owner(position: &str) -> &str {
    position.split('/').next().unwrap_or_default()
}

struct Fact<'a>(&'a Value);

impl Fact<'_> {
    fn text(&self, field: &str) -> String {
        self.0[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.0)).to_owned()
    }

    fn amount(&self, field: &str) -> Amount {
        amount(&self.text(field))
    }

    fn optional(&self, field: &str) -> Option<Amount> {
        self.0[field].as_str().map(amount)
    }

    fn list(&self, field: &str) -> Vec<Fact<'_>> {
        self.0[field].as_array().into_iter().flatten().map(Fact).collect()
    }

    /// The sum of a field over a list.
    fn sum(&self, list: &str, field: &str) -> Amount {
        self.list(list).iter().map(|it| it.amount(field)).sum()
    }
}

impl Naive {
    /// Takes in one event.
    pub fn fold(&mut self, kind: &str, id: &str, payload: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(payload).map_err(|error| error.to_string())?;
        let (event, body) = value.as_object().and_then(|map| map.iter().next()).expect("tagged");
        let fact = Fact(body);
        match kind {
            "account" => self.account(id, event, &fact),
            "order" => self.order(id, event, &fact),
            "position" => self.position(id, event, &fact),
            "instrument" => self.instrument(id, event, &fact),
            _ => Ok(()),
        }
    }

    /// What an account holds and has held.
    fn positions_of(&self, account: &str) -> impl Iterator<Item = (&String, &Position)> {
        let all = self.positions.range(format!("{account}/")..);
        all.take_while(move |(name, _)| owner(name) == account)
    }

    /// A command has written all that it does: each fill is paid once and traded whole, by every leg of it; each end of an
    /// option has moved its money and its shares; and no cent has come from nowhere.
    pub fn command_ends(&mut self) -> Result<(), String> {
        for id in std::mem::take(&mut self.open_fills) {
            let fill = &self.fills[&id];
            hold("I6: a fill is settled once", fill.settled == 1)?;
            hold("I6: a fill is traded whole, with all its legs", fill.traded == fill.qty)?;
            hold("I6: a fill is worth what was paid", fill.worth == fill.cash.abs())?;
        }
        hold("contracts that leave a position come to another", self.left.is_empty())?;
        for id in std::mem::take(&mut self.open_ends) {
            self.ends[&id].is_whole()?;
        }
        for id in std::mem::take(&mut self.touched) {
            self.balances(&id)?;
            self.is_covered(&id)?;
        }
        Ok(())
    }

    /// Cash, what is held at cost, and what was realized come to what was paid in.
    fn balances(&self, id: &str) -> Result<(), String> {
        let account = self.accounts.get(id).ok_or("a position belongs to an account")?;
        let (mut cost, mut realized) = (0, 0);
        for (_, position) in self.positions_of(id) {
            cost += position.cost;
            realized += position.realized;
            hold(
                "I3: nothing that is held costs nothing",
                position.qty != 0 || position.cost == 0,
            )?;
        }
        let paid_in = account.deposits - account.withdrawals + account.dividends - account.fees;
        hold("I3: no cent comes from nowhere", account.cash() + cost == paid_in + realized)
    }

    /// What holds between commits: an order that ended reserves nothing, one that works reserves what it needs.
    pub fn at_rest(&self) -> Result<(), String> {
        for account in self.accounts.values().filter(|account| !account.margin) {
            for order in account.reserved.keys() {
                let order = self.orders.get(order).filter(|order| !order.ended);
                let open = order.is_some_and(|order| !order.sell || !order.legs.is_empty());
                hold("I5: only open buys and orders of options reserve cash", open)?;
            }
        }
        for (name, position) in &self.positions {
            if self.accounts.get(owner(name)).is_some_and(|account| account.margin) {
                continue;
            }
            for (id, reserved) in &position.reserved {
                let order = self.orders.get(id).filter(|order| !order.ended);
                let leaves = order.and_then(|order| order.closes(name));
                hold("I5: an open sell reserves what it leaves", leaves == Some(*reserved))?;
            }
        }
        self.margin_at_rest()?;
        self.families_at_rest()?;
        self.packages_at_rest()?;
        for order in self.orders.values() {
            hold("an order belongs to an account", self.accounts.contains_key(&order.account))?;
            hold("I9: filled is between nothing and all", (0..=order.qty).contains(&order.filled))?;
        }
        Ok(())
    }
}
