//! The end of options otherwise than by fills, folded again: what their positions lose, the shares that they deliver, and
//! the cash that moves. The parts have to agree when the command is over.
//!
//! A delivered option takes no profit: its shares take over what it had cost or brought, a put's as far as the strike goes.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use super::Streams;
use super::act::Act;
use super::amount::Amount;
use super::fields::{Fault, Fields};
use super::margin;
use super::options::Terms;
use super::order::is_buy;
use super::position::{Holding, Lot};
use crate::audit::report::{Code, Findings, listed};

/// The least by which an option is in the money when it expires.
const IN_THE_MONEY: &str = "0.01";

/// Contracts that ended.
#[derive(Clone, Debug)]
struct Ended {
    id: Uuid,
    option: Uuid,
    terms: Terms,
    how: String,
    long: bool,
    /// Its owner does not want it exercised.
    unwanted: bool,
    qty: Amount,
    price: Option<Amount>,
    proceeds: Amount,
    moved: Amount,
    /// The split that paid it out.
    action: Option<String>,
}

/// Shares that were delivered.
#[derive(Clone, Debug)]
struct Delivered {
    id: Uuid,
    option: Uuid,
    instrument: Uuid,
    is_buy: bool,
    qty: Amount,
    price: Amount,
    amount: Amount,
}

/// Cash that moved.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Paid {
    pub(super) ending: Uuid,
    pub(super) option: Uuid,
    pub(super) how: String,
    pub(super) amount: Amount,
    /// How a margin account stands afterwards.
    pub(super) margin: Option<Value>,
}

/// What a command ended, and what came of that.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Ends {
    ended: Vec<Ended>,
    delivered: Vec<Delivered>,
    pub(super) paid: Vec<Paid>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, option, how, qty, terms, .. } = self;
        let side = if self.long { "long" } else { "short" };
        let right = if terms.is_call { "calls" } else { "puts" };
        let unwanted =
            if self.unwanted { ", whose owner does not want them exercised," } else { "" };
        let strike = terms.strike;
        write!(
            f,
            "the end {id} of {qty} {side} {right} {option} at a strike of {strike}{unwanted}"
        )?;
        match self.price {
            Some(price) => write!(f, " ({how}, at a price of {price})"),
            None => write!(f, " ({how}, without a price)"),
        }
    }
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, instrument, qty, price, amount, .. } = self;
        let did = if self.is_buy { "bought" } else { "sold" };
        write!(f, "{qty} of {instrument} {did} by {option} at {price}, {amount} in all")
    }
}

impl fmt::Display for Paid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({})", self.amount, self.option, self.how)
    }
}

impl Ended {
    fn delivers(&self) -> bool {
        matches!(self.how.as_str(), "exercised" | "assigned")
    }

    /// Whether it brings shares.
    fn buys(&self) -> bool {
        self.terms.is_call == self.long
    }

    /// Whether it may end so by what is known of its expiry.
    fn fits(&self, streams: &Streams) -> bool {
        let expired = streams.instruments.get(&self.option).and_then(|it| it.expired.as_ref());
        let least = Amount::read(IN_THE_MONEY).unwrap_or_default();
        if self.how == "paid_out" {
            return expired.is_none() && self.is_paid_by(streams);
        }
        let inside = self.price.map(|price| self.terms.intrinsic(price) >= least);
        let at_expiry = expired.is_some_and(|expired| Some(expired.price) == self.price);
        let side = match self.how.as_str() {
            "exercised" | "sold_out" | "abandoned" => self.long,
            "assigned" => !self.long,
            "expired" | "cash_settled" => true,
            _ => false,
        };
        side && match self.how.as_str() {
            "expired" => at_expiry && inside == Some(false),
            "sold_out" | "abandoned" => at_expiry && inside == Some(true),
            _ if expired.is_some() => at_expiry && inside == Some(true) && !self.unwanted,
            _ => true,
        }
    }

    /// Whether the split that paid it out is under way, and what is known of that is the price that decided.
    fn is_paid_by(&self, streams: &Streams) -> bool {
        let underlying = streams.instruments.get(&self.terms.underlying);
        let action = self.action.as_deref().zip(underlying).and_then(|(action, underlying)| {
            let gated = underlying.splitting.as_deref() == Some(action);
            underlying.actions.get(action).filter(|_| gated)
        });
        action.is_some_and(|action| self.price.is_none() || self.price == action.close_before)
    }

    /// What it brings by itself; below zero is paid.
    fn own_cash(&self) -> Amount {
        if self.long { self.proceeds } else { -self.proceeds }
    }
}

impl Holding {
    /// Takes the end of contracts, shares that one delivered, or what its owner says of the end.
    pub(super) fn ends(
        &mut self,
        (account, instrument): (Uuid, Uuid),
        event_type: &str,
        body: Fields<'_>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let position = act.position;
        match event_type {
            "OptionEnded" => self.ended(instrument, body, act, findings)?,
            "SharesDelivered" => {
                let named = (body.uuid("account_id")?, body.uuid("instrument_id")?);
                findings.expect(named == (account, instrument), position, Code::Owner, || {
                    "shares are delivered in another's stream".into()
                });
                self.delivered(instrument, body, act, findings)?;
            }
            _ => {
                let exercise = body.flag("exercise")?;
                let right = self.do_not_exercise == exercise && self.qty.sign() > 0;
                findings.expect(right && self.contract.is_some(), position, Code::Holding, || {
                    format!("{} are to be exercised: {exercise}, as before", self.qty)
                });
                self.do_not_exercise = !exercise;
            }
        }
        self.updated_at = body.time("at")?;
        Ok(())
    }

    fn ended(
        &mut self,
        instrument: Uuid,
        body: Fields<'_>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let position = act.position;
        let terms = self.contract.clone().ok_or("what ends is no option")?;
        let (qty, buy) = (body.amount("qty")?, is_buy(body)?);
        let [proceeds, moved, cost] =
            [body.money("proceeds")?, body.money("moved")?, body.money("cost")?];
        let ended = Ended {
            id: body.uuid("ending_id")?,
            option: instrument,
            how: body.text("how")?.to_owned(),
            long: self.qty.sign() > 0,
            unwanted: self.do_not_exercise,
            qty,
            price: body.amount_or_none("settlement_price")?,
            proceeds,
            moved,
            terms,
            action: body
                .get("action_id")
                .map(|_| body.text("action_id"))
                .transpose()?
                .map(str::to_owned),
        };
        let shares = qty.times(ended.terms.shares).ok_or("an option is on too many shares")?;
        let strike = ended.terms.exercise(qty).ok_or("a strike has no bound")?;
        let told = |name| body.get(name).map(|_| body.object(name)?.amount("price")).transpose();
        let each = match (ended.how.as_str(), ended.price, told("bid")?, told("mark")?) {
            ("cash_settled" | "paid_out", Some(price), None, None) => ended.terms.intrinsic(price),
            ("sold_out", _, Some(bid), None) => bid,
            ("paid_out", None, None, Some(mark)) => mark,
            ("paid_out", ..) => return Err("a contract is paid out at one price".into()),
            (_, _, None, None) => Amount::ZERO,
            _ => return Err("a bid is what a sold option brings".into()),
        };
        let passes = match (ended.delivers(), ended.terms.is_call) {
            (false, _) => Amount::ZERO,
            (true, true) => cost,
            (true, false) => cost.min(strike),
        };
        let paid_out = ended.how == "paid_out";
        let first = ended.action.as_ref().is_none_or(|action| self.splits.insert(action.clone()));
        let follows =
            first && paid_out == ended.action.is_some() && (!paid_out || qty == self.qty.abs());
        let fits = qty.sign() > 0 && qty <= self.qty.abs() && buy != ended.long && follows;
        let (taken, lots) = self.take(body, (qty, buy), position, findings)?;
        let stays = cost - moved;
        let profit = if ended.long { proceeds - stays } else { stays - proceeds };
        let realized = body.money("realized_pl")?;
        let right = taken == qty
            && lots == cost
            && moved == passes
            && shares.cash(each) == Some(proceeds)
            && profit == realized;
        findings.expect(fits && right, position, Code::Holding, || {
            format!(
                "{ended}: {taken} of {qty} leave the lots with a cost of {lots}, {cost} is stated; {realized} is stated as \
                 realized, and {profit} is; {passes} passes on"
            )
        });
        self.qty += if buy { qty } else { -qty };
        self.realized += realized;
        act.ends.ended.push(ended);
        self.states(body, position, findings)
    }

    fn delivered(
        &mut self,
        instrument: Uuid,
        body: Fields<'_>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let position = act.position;
        let (qty, is_buy, amount) = (body.amount("qty")?, is_buy(body)?, body.money("amount")?);
        let held = self.qty;
        let against = if is_buy { held.sign() < 0 } else { held.sign() > 0 };
        let closing = if against { held.abs().min(qty) } else { Amount::ZERO };
        let mut proceeds = Amount::ZERO;
        if body.get("closed").is_some() {
            let closed = body.object("closed")?;
            let (shares, realized) = (closed.amount("qty")?, closed.money("realized_pl")?);
            proceeds = closed.money("proceeds")?;
            let (taken, cost) = self.take(closed, (shares, is_buy), position, findings)?;
            let profit = if is_buy { cost - proceeds } else { proceeds - cost };
            let right = taken == shares
                && shares == closing
                && profit == realized
                && amount.share(closing, qty) == Some(proceeds);
            findings.expect(right, position, Code::Holding, || {
                format!("{shares} close for {proceeds} with a profit of {realized}; {closing} and {profit} belong")
            });
            self.realized += realized;
        } else {
            findings.expect(closing.is_zero(), position, Code::Holding, || {
                format!("a delivery of {qty} closes nothing of {held}")
            });
        }
        let opening = qty - closing;
        if body.get("opened").is_some() {
            let lot = body.object("opened")?;
            let (signed, cost) = (lot.amount("qty")?, lot.money("cost")?);
            let right = signed == (if is_buy { opening } else { -opening })
                && cost == amount - proceeds
                && cost.sign() >= 0;
            findings.expect(right && opening.sign() > 0, position, Code::Holding, || {
                format!("{signed} open for {cost}, where {opening} belong")
            });
            let opened_at = lot.time("opened_at")?;
            if signed == body.amount("position_qty")? {
                self.symbol = body.text("symbol")?.to_owned();
                self.opened_at = opened_at;
            }
            let id = lot.uuid("lot_id")?;
            self.lots.push_back(Lot {
                id,
                qty: signed,
                cost,
                opened_at,
                opened_position: position,
            });
        } else {
            findings.expect(opening.is_zero(), position, Code::Holding, || {
                format!("a delivery of {qty} on {held} opens nothing")
            });
        }
        self.qty += if is_buy { qty } else { -qty };
        act.ends.delivered.push(Delivered {
            id: body.uuid("ending_id")?,
            option: body.uuid("option_id")?,
            instrument,
            is_buy,
            qty,
            price: body.amount("price")?,
            amount,
        });
        self.states(body, position, findings)
    }
}

impl Ends {
    /// Whether anything ended.
    pub(super) fn any(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether something ended that its owner did not decide on: short options, expired ones, or those that a split paid out.
    pub(super) fn befell(&self, streams: &Streams) -> bool {
        let expired =
            |option: &Uuid| streams.instruments.get(option).is_some_and(|it| it.expired.is_some());
        let paid_out = |ended: &Ended| ended.how == "paid_out";
        self.ended.iter().any(|ended| !ended.long || paid_out(ended) || expired(&ended.option))
    }

    /// What changed of each holding.
    pub(super) fn changed(&self) -> impl Iterator<Item = (Uuid, Amount)> {
        let ended = self
            .ended
            .iter()
            .map(|ended| (ended.option, if ended.long { -ended.qty } else { ended.qty }));
        let delivered = self
            .delivered
            .iter()
            .map(|it| (it.instrument, if it.is_buy { it.qty } else { -it.qty }));
        ended.chain(delivered)
    }

    /// Checks that options, shares and cash tell the same, when the command is over.
    pub(super) fn agree(
        &self,
        streams: &Streams,
        account: Option<Uuid>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        for ended in &self.ended {
            findings.expect(ended.fits(streams), position, Code::Command, || {
                format!("{ended} does not fit what is known of its expiry")
            });
            self.agrees(ended, position, findings)?;
        }
        let known = |id: &Uuid| self.ended.iter().any(|ended| ended.id == *id);
        let strays =
            self.delivered.iter().map(|it| &it.id).chain(self.paid.iter().map(|it| &it.ending));
        for id in strays.filter(|id| !known(id)) {
            findings.report(position, Code::Command, format!("no option has the end {id}"));
        }
        let (Some(id), Some(told)) =
            (account, self.paid.iter().find_map(|paid| paid.margin.as_ref()))
        else {
            return Ok(());
        };
        // What was sold for want of money pays for nothing.
        let sold = self.ended.iter().filter(|ended| ended.how == "sold_out");
        let sold: Amount = sold.map(Ended::own_cash).sum();
        let cash = streams.accounts.get(&id).map(|account| account.cash).unwrap_or_default();
        margin::standing(streams, (id, cash - sold), Fields::of(told)?, position, findings)?;
        Ok(())
    }

    fn agrees(&self, ended: &Ended, position: u64, findings: &mut Findings) -> Result<(), Fault> {
        let unbounded = "an option has no bound";
        let shares = ended.qty.times(ended.terms.shares).ok_or(unbounded)?;
        let strike = ended.terms.exercise(ended.qty).ok_or(unbounded)?;
        let delivered: Vec<_> = self.delivered.iter().filter(|it| it.id == ended.id).collect();
        let right = match (&delivered[..], ended.delivers()) {
            ([], delivers) => !delivers,
            ([it], true) => {
                let amount =
                    if ended.terms.is_call { strike + ended.moved } else { strike - ended.moved };
                (it.option, it.instrument) == (ended.option, ended.terms.underlying)
                    && (it.is_buy, it.qty) == (ended.buys(), shares)
                    && (it.price, it.amount) == (ended.terms.strike, amount)
            }
            _ => false,
        };
        findings.expect(right, position, Code::Command, || {
            format!("{ended} delivers {}", listed(&delivered))
        });
        let due = match (ended.delivers(), ended.buys()) {
            (false, _) => ended.own_cash(),
            (true, true) => -strike,
            (true, false) => strike,
        };
        let paid: Vec<_> = self.paid.iter().filter(|it| it.ending == ended.id).collect();
        let right = match &paid[..] {
            [] => due.is_zero(),
            [it] => (it.option, &it.how, it.amount) == (ended.option, &ended.how, due),
            _ => false,
        };
        findings.expect(right, position, Code::Command, || {
            format!("{ended} moves {due}; the account says {}", listed(&paid))
        });
        Ok(())
    }
}
