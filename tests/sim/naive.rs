//! A second fold of the log, written from the rules and not from the aggregates: JSON in, integers of a billionth.

use std::collections::BTreeMap;

use serde_json::Value;

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
    other: Amount,
    reserved: BTreeMap<String, Amount>,
    /// It has lost as much as it may, and nobody has set it active since.
    stopped: bool,
}

impl Account {
    fn cash(&self) -> Amount {
        self.deposits - self.withdrawals + self.fills - self.fees + self.other
    }
}

#[derive(Default)]
struct Order {
    account: String,
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
}

#[derive(Default)]
struct Position {
    /// By what the position says.
    qty: Amount,
    /// By what orders filled and splits did.
    traded: Amount,
    reserved: BTreeMap<String, Amount>,
}

/// One fill, as the three aggregates tell it.
#[derive(Default)]
struct Fill {
    qty: Amount,
    amount: Amount,
    settled: u32,
    traded: Amount,
}

/// What the log comes to.
#[derive(Default)]
pub struct Naive {
    accounts: BTreeMap<String, Account>,
    orders: BTreeMap<String, Order>,
    positions: BTreeMap<String, Position>,
    fills: BTreeMap<String, Fill>,
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
            _ => Ok(()),
        }
    }

    fn account(&mut self, id: &str, event: &str, fact: &Fact<'_>) -> Result<(), String> {
        let orders = &self.orders;
        let account = self.accounts.entry(id.to_owned()).or_default();
        if account.margin {
            let reserved = account.reserved.values().sum();
            backed(&self.positions, (id, account.cash(), reserved), event, fact)?;
        }
        match event {
            "AccountOpened" => account.margin = fact.text("kind") == "margin",
            "CashDeposited" => account.deposits += fact.amount("amount"),
            "CashWithdrawn" => account.withdrawals += fact.amount("amount"),
            "DividendPaid" | "CashPaidInLieu" => account.other += fact.amount("amount"),
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
                hold("a stopped account opens nothing", !account.stopped)?;
                let order = fact.text("order_id");
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
                hold(
                    "I3: a fill is paid as it was made",
                    fact.amount("amount").abs() == fill.amount,
                )?;
                account.fills += fact.amount("amount");
                let buys = fact.amount("amount") < 0;
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
        let paid = cash - reserved >= -account.sell_fees;
        hold("I4: available is not negative", account.margin || paid)
    }

    fn order(&mut self, id: &str, event: &str, fact: &Fact<'_>) -> Result<(), String> {
        if let "OrderPlaced" | "OrderRejected" = event {
            let spec = Fact(&fact.0["order"]);
            let order = Order {
                account: spec.text("account_id"),
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
                    None => (spec.text("order_class") != "simple").then(|| id.to_owned()),
                },
                entry: matches!(&*spec.text("order_class"), "bracket" | "oto")
                    && spec.0.get("parent_order_id").is_none(),
                held: fact.0["held"].as_bool() == Some(true),
                ..Order::default()
            };
            let before = self.orders.insert(id.to_owned(), order);
            return hold("I8: an order begins once", before.is_none());
        }
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
                let (qty, price) = (fact.amount("qty"), fact.amount("price"));
                order.filled += qty;
                order.fills += 1;
                let fill = Fill { qty, amount: fact.amount("amount"), ..Fill::default() };
                let before = self.fills.insert(fact.text("fill_id"), fill);
                hold("I9: a fill is made once", before.is_none())?;
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

    fn position(&mut self, id: &str, event: &str, fact: &Fact<'_>) -> Result<(), String> {
        let owner = id.split('/').next().unwrap_or_default();
        let margin = self.accounts.get(owner).is_some_and(|account| account.margin);
        let position = self.positions.entry(id.to_owned()).or_default();
        match event {
            "PositionOpened" | "PositionIncreased" | "PositionReduced" | "PositionClosed" => {
                let sell = fact.text("side") == "sell";
                let (qty, order) = (fact.amount("qty"), fact.text("order_id"));
                let fill = self.fills.get_mut(&fact.text("fill_id"));
                fill.ok_or("I6: what is traded was filled")?.traded += qty;
                position.traded += if sell { -qty } else { qty };
                position.qty = fact.optional("position_qty").unwrap_or(0);
                let held = position.reserved.remove(&order).unwrap_or(0);
                if let Some(of) = self.orders.get(&order).filter(|order| order.family.is_some()) {
                    let opens = matches!(event, "PositionOpened" | "PositionIncreased");
                    hold("an entry opens and exits close", opens == of.entry)?;
                }
                // Of a family one order has reserved for both: it gave up before what the other one delivers.
                let beside = held == 0
                    && self.orders.get(&order).is_some_and(|order| order.family.is_some());
                let delivers = margin || !sell || qty <= held || beside;
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
                position.qty = fact.amount("position_qty");
                let lots: Amount = fact.list("lots").iter().map(|lot| lot.amount("qty")).sum();
                hold("I6: lots add up", lots == position.qty)?;
                let kept = fact.list("reservations").into_iter();
                position.reserved =
                    kept.map(|kept| (kept.text("order_id"), kept.amount("qty"))).collect();
            }
            other => return Err(format!("{other} is not simulated")),
        }
        hold("I6: a position is what was traded", position.qty == position.traded)?;
        hold("I6: nothing is short", margin || position.qty >= 0)?;
        hold("I6: shorts are in whole shares", position.qty >= 0 || position.qty % ONE == 0)?;
        let reserved: Amount = position.reserved.values().sum();
        hold("I5: no more shares are reserved than held", reserved <= position.qty.abs())
    }

    /// What holds between commits: an order that ended reserves nothing, one that works reserves what it needs.
    pub fn at_rest(&self) -> Result<(), String> {
        for account in self.accounts.values().filter(|account| !account.margin) {
            for order in account.reserved.keys() {
                let open = self.orders.get(order).is_some_and(|order| !order.ended && !order.sell);
                hold("I5: only open buys reserve cash", open)?;
            }
        }
        for (name, position) in &self.positions {
            let owner = name.split('/').next().unwrap_or_default();
            if self.accounts.get(owner).is_some_and(|account| account.margin) {
                continue;
            }
            for (id, reserved) in &position.reserved {
                let order = self.orders.get(id).filter(|order| !order.ended && order.sell);
                let leaves = order.map(|order| order.qty - order.filled);
                hold("I5: an open sell reserves what it leaves", leaves == Some(*reserved))?;
            }
        }
        self.margin_at_rest()?;
        self.families_at_rest()?;
        for fill in self.fills.values() {
            hold("I6: a fill is settled once", fill.settled == 1)?;
            hold("I6: a fill is traded whole", fill.traded == fill.qty)?;
        }
        for order in self.orders.values() {
            hold("an order belongs to an account", self.accounts.contains_key(&order.account))?;
            hold("I9: filled is between nothing and all", (0..=order.qty).contains(&order.filled))?;
        }
        Ok(())
    }

    /// Exits are open together and for the same shares, which one of them reserves; an entry is open with them alone.
    fn families_at_rest(&self) -> Result<(), String> {
        let mut families: BTreeMap<&str, Vec<(&str, &Order)>> = BTreeMap::new();
        for (id, order) in &self.orders {
            if let Some(family) = &order.family {
                families.entry(family).or_default().push((id, order));
            }
        }
        for orders in families.values() {
            let (entry, exits): (Vec<_>, Vec<_>) =
                orders.iter().partition(|(_, order)| order.entry);
            let open: Vec<_> = exits.iter().filter(|(_, order)| !order.ended).collect();
            hold("no exit is alone", open.is_empty() || open.len() == exits.len())?;
            let leaves: Vec<Amount> =
                open.iter().map(|(_, order)| order.qty - order.filled).collect();
            hold("exits are open for the same", leaves.iter().all(|it| *it == leaves[0]))?;
            let held = open.iter().filter(|(_, order)| order.held).count();
            hold("exits are held together", held == 0 || held == open.len())?;
            if let Some((_, entry)) = entry.first() {
                hold("an entry has its exits", entry.ended || !open.is_empty())?;
                hold(
                    "exits wait for what may fill",
                    held == 0 || !entry.ended && entry.fills == 0,
                )?;
            }
            let reserved: Amount = exits
                .iter()
                .flat_map(|(id, _)| self.positions.values().filter_map(|it| it.reserved.get(*id)))
                .sum();
            let needed = leaves.first().copied().filter(|_| held == 0).unwrap_or(0);
            hold("exits reserve once what they are open for", reserved == needed)?;
        }
        Ok(())
    }
}

impl Naive {
    /// An order of a margin account sets aside the shares that it closes, and margin if it opens any.
    fn margin_at_rest(&self) -> Result<(), String> {
        for (id, order) in &self.orders {
            let account = self.accounts.get(&order.account).filter(|account| account.margin);
            let Some(account) = account else { continue };
            let shares: Amount = self.positions.values().filter_map(|it| it.reserved.get(id)).sum();
            let cash = account.reserved.get(id).copied().unwrap_or(0);
            if order.family.is_some() && !order.entry {
                hold("I5: an exit reserves shares alone", cash == 0)?;
                continue;
            }
            let opens = if order.ended { 0 } else { order.qty - order.filled - shares };
            hold("I5: an order that ended reserves nothing", !order.ended || shares == 0)?;
            hold("I5: what opens reserves margin, nothing else", (opens > 0) == (cash > 0))?;
            hold("I5: no more is set aside than is open", opens >= 0)?;
        }
        Ok(())
    }
}

/// What an event takes of margin is backed by what it says: by everything that the account holds, at its prices.
fn backed(
    positions: &BTreeMap<String, Position>,
    (id, cash, reserved): (&str, Amount, Amount),
    event: &str,
    fact: &Fact<'_>,
) -> Result<(), String> {
    let told = fact.0.get("margin").map(Fact);
    let takes = matches!(event, "CashReserved" | "CashWithdrawn");
    let Some(told) = told else {
        return hold("I4: what takes margin says how the account stood", !takes);
    };
    let (mut equity, mut initial) = (cash, 0);
    let mut named = 0;
    for holding in told.list("holdings") {
        let (qty, price) = (holding.amount("qty"), holding.amount("price"));
        let name = format!("{id}/{}", holding.text("instrument_id"));
        hold("I4: what is backed is held", positions.get(&name).is_some_and(|it| it.qty == qty))?;
        let value = qty * price / 1_000_000_000;
        equity += value;
        initial += value.abs() / 2;
        named += 1;
    }
    let prefix = format!("{id}/");
    let held = positions.iter().filter(|(name, it)| name.starts_with(&prefix) && it.qty != 0);
    hold("I4: all that is held is backed", held.count() == named)?;
    // Each holding is rounded to the cent, its margin up.
    let cents = (1 + 2 * i128::try_from(named).unwrap_or(i128::MAX)) * 10_000_000;
    let asked = if takes { fact.amount("amount") } else { 0 };
    hold("I4: no more margin is taken than is free", asked <= equity - initial - reserved + cents)
}
