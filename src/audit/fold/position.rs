//! Positions, folded again: shares, lots oldest first, cost, and profit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, NaiveDate};
use chrono_tz::America::New_York;
use uuid::Uuid;

use super::act::{Act, Moved, Traded};
use super::amount::Amount;
use super::fields::{Fault, Fields};
use super::options::Terms;
use super::order::is_buy;
use crate::audit::report::{Code, Findings, listed};

/// One lot.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Lot {
    pub(in crate::audit) id: Uuid,
    pub(in crate::audit) qty: Amount,
    pub(in crate::audit) cost: Amount,
    pub(in crate::audit) opened_at: i64,
    pub(in crate::audit) opened_position: u64,
}

/// One position.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Holding {
    pub(in crate::audit) symbol: String,
    /// Of an option what it is.
    pub(in crate::audit) contract: Option<Terms>,
    /// Its owner does not want it exercised when it expires.
    pub(in crate::audit) do_not_exercise: bool,
    pub(in crate::audit) qty: Amount,
    pub(in crate::audit) reserved: Amount,
    pub(in crate::audit) reservations: BTreeMap<Uuid, Amount>,
    pub(in crate::audit) lots: VecDeque<Lot>,
    pub(in crate::audit) realized: Amount,
    pub(in crate::audit) opened_at: i64,
    pub(in crate::audit) updated_at: i64,
    pub(in crate::audit) accrued: BTreeMap<String, Amount>,
    pub(in crate::audit) splits: BTreeSet<String>,
    pub(in crate::audit) dividends: BTreeSet<String>,
    /// What was held when each New York day began on which that changed.
    held_before: BTreeMap<NaiveDate, Amount>,
}

/// The split and the dividends that the instrument has made known.
pub(super) trait Actions {
    fn ratio(&self, action: &str) -> Option<(Amount, Amount)>;
    fn dividend(&self, action: &str) -> Option<(Amount, &str)>;
}

impl Holding {
    pub(in crate::audit) fn cost(&self) -> Amount {
        self.lots.iter().map(|lot| lot.cost).sum()
    }

    /// Whether it holds nothing, has taken no profit and is due nothing.
    pub(super) fn is_blank(&self) -> bool {
        let amounts = [self.qty, self.reserved, self.realized];
        amounts.iter().all(|amount| amount.is_zero()) && self.accrued.is_empty()
    }

    /// Takes one event of the position of `(account, instrument)`. What it changes of the dividends that the account
    /// is due comes back.
    pub(super) fn apply(
        &mut self,
        (account, instrument): (Uuid, Uuid),
        event_type: &str,
        body: Fields<'_>,
        actions: Option<&impl Actions>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<Amount, Fault> {
        let position = act.position;
        let mut due = Amount::ZERO;
        let before = self.qty;
        match event_type {
            "PositionOpened" | "PositionIncreased" => {
                let opens = event_type == "PositionOpened";
                let (qty, cost, buy) = (body.amount("qty")?, body.money("cost")?, is_buy(body)?);
                let signed = if buy { qty } else { -qty };
                let same_side = opens == self.qty.is_zero() && self.qty.sign() * signed.sign() >= 0;
                findings.expect(
                    same_side && qty.sign() > 0 && cost.sign() >= 0,
                    position,
                    Code::Holding,
                    || format!("{event_type} with {signed} while {} are held", self.qty),
                );
                let at = body.time("at")?;
                if opens {
                    self.symbol = body.text("symbol")?.to_owned();
                    self.contract = Terms::of(body, "contract")?;
                    self.opened_at = at;
                    let named = (body.uuid("account_id")?, body.uuid("instrument_id")?);
                    findings.expect(named == (account, instrument), position, Code::Owner, || {
                        "the position is opened in another's stream".into()
                    });
                }
                self.qty += signed;
                self.updated_at = at;
                let id = body.uuid("lot_id")?;
                self.lots.push_back(Lot {
                    id,
                    qty: signed,
                    cost,
                    opened_at: at,
                    opened_position: position,
                });
                self.states(body, position, findings)?;
                self.traded((account, instrument), body, (qty, cost), true, act)?;
            }
            "PositionReduced" | "PositionClosed" => {
                self.reduce(event_type, body, position, findings)?;
                let (qty, proceeds) = (body.amount("qty")?, body.money("proceeds")?);
                self.traded((account, instrument), body, (qty, proceeds), false, act)?;
            }
            "OptionEnded" | "SharesDelivered" | "ExerciseInstructed" => {
                self.ends((account, instrument), event_type, body, act, findings)?;
            }
            "ContractAdjusted" => self.leaves(account, body, act, findings)?,
            "AdjustedContractOpened" => {
                self.comes((account, instrument), body, act, findings)?;
            }
            "SharesReserved" => {
                let (order, qty) = (body.uuid("order_id")?, body.amount("qty")?);
                let free = self.qty.abs() - self.reserved;
                let fresh = self.reservations.insert(order, qty).is_none();
                self.reserved += qty;
                findings.expect(
                    fresh && qty.sign() > 0 && qty <= free,
                    position,
                    Code::Reservation,
                    || format!("order {order} reserves {qty} of {free} free shares"),
                );
                self.states_reserved(body, position, findings)?;
                act.touched.insert(order);
            }
            "SharesReservationAdjusted" => {
                let order = body.uuid("order_id")?;
                let (from, to) = (body.amount("from")?, body.amount("to")?);
                let free = self.qty.abs() - self.reserved;
                let held = self.reservations.remove(&order).unwrap_or_default();
                if !to.is_zero() {
                    self.reservations.insert(order, to);
                }
                self.reserved += to - held;
                // A fill of another order may take all of them.
                let taken = act.fills.iter().any(|fill| fill.order != order) && to < from;
                let least = if taken { to.sign() >= 0 } else { to.sign() > 0 };
                findings.expect(
                    held == from && least && to - held <= free,
                    position,
                    Code::Reservation,
                    || {
                        format!(
                            "order {order} goes from {from} to {to} shares with {free} free, and had {held}"
                        )
                    },
                );
                self.states_reserved(body, position, findings)?;
                act.touched.insert(order);
            }
            "SharesReleased" => {
                let (order, qty) = (body.uuid("order_id")?, body.amount("qty")?);
                let held = self.reservations.remove(&order).unwrap_or_default();
                self.reserved -= held;
                findings.expect(held == qty && !qty.is_zero(), position, Code::Reservation, || {
                    format!("{qty} shares were released for order {order}, which reserves {held}")
                });
                self.states_reserved(body, position, findings)?;
                act.touched.insert(order);
            }
            "PositionSplit" => {
                let ratio = actions.and_then(|actions| actions.ratio(body.text("action_id").ok()?));
                self.split(instrument, body, ratio, act, findings)?;
            }
            "SplitNotFollowed" => {
                let (action, qty) = (body.text("action_id")?, body.amount("position_qty")?);
                let told = (body.amount("numerator")?, body.amount("denominator")?);
                let ratio = actions.map(|actions| actions.ratio(action));
                // That of an option is told by what it is on.
                let known =
                    self.contract.is_some() || ratio.is_none_or(|ratio| ratio == Some(told));
                let first = self.splits.insert(action.to_owned());
                findings.expect(known && first && qty == self.qty, position, Code::Holding, || {
                    format!("split {action} leaves {qty} as they were; {} are held", self.qty)
                });
                self.updated_at = body.time("at")?;
            }
            "PositionReset" => {
                due = -self.accrued.values().copied().sum::<Amount>();
                self.give_up(body, due, position, findings)?;
                act.given_up.push(account);
            }
            "DividendAccrued" => {
                let (action, qty) = (body.text("action_id")?, body.amount("qty")?);
                let (per_share, amount) = (body.amount("per_share")?, body.money("amount")?);
                let dividend = actions.map(|actions| actions.dividend(action));
                let declared = dividend
                    .is_none_or(|dividend| dividend.is_some_and(|(told, _)| told == per_share));
                let ex = dividend.flatten().map(|(_, ex)| ex.parse()).transpose();
                let ex = ex.map_err(|error| format!("the ex date of {action}: {error}"))?;
                let entitled = ex.map_or(qty, |ex| self.held_at_close_before(ex));
                let first = self.dividends.insert(action.to_owned());
                let right = qty == entitled && qty.cash(per_share) == Some(amount);
                findings.expect(declared && first && right, position, Code::Holding, || {
                    format!(
                        "dividend {action} accrues {amount} for {qty} at {per_share}; {entitled} were held before its ex date"
                    )
                });
                self.accrued.insert(action.to_owned(), amount);
                self.updated_at = body.time("at")?;
                due = amount;
            }
            "DividendSettled" => {
                let (action, amount) = (body.text("action_id")?, body.money("amount")?);
                let accrued = self.accrued.remove(action);
                findings.expect(accrued == Some(amount), position, Code::Holding, || {
                    format!(
                        "dividend {action} is settled with {amount}; {} had accrued",
                        listed(accrued)
                    )
                });
                self.updated_at = body.time("at")?;
                act.dividends_settled.push(Moved { action: action.to_owned(), instrument, amount });
            }
            other => return Err(format!("a position has no event {other}")),
        }
        self.do_not_exercise &= !self.qty.is_zero();
        if self.qty != before {
            let before = if event_type == "PositionReset" { Amount::ZERO } else { before };
            self.held_before.entry(new_york_date(self.updated_at)?).or_insert(before);
        }
        let lots: Amount = self.lots.iter().map(|lot| lot.qty).sum();
        let signs = self.lots.iter().all(|lot| lot.qty.sign() == self.qty.sign());
        findings.expect(lots == self.qty && signs, position, Code::Holding, || {
            format!("{} are held, and the lots hold {lots}", self.qty)
        });
        let reserved: Amount = self.reservations.values().copied().sum();
        let covered = self.reserved.is_zero() || self.reserved <= self.qty.abs();
        findings.expect(reserved == self.reserved && covered, position, Code::Reservation, || {
            format!("{} are reserved ({reserved} by order) of {} held", self.reserved, self.qty)
        });
        Ok(due)
    }

    /// What was held when the day began: nothing trades between a close and the midnight after it.
    fn held_at_close_before(&self, day: NaiveDate) -> Amount {
        self.held_before.range(day..).next().map_or(self.qty, |(_, held)| *held)
    }

    /// The account begins again: the event states all that is given up.
    fn give_up(
        &mut self,
        body: Fields<'_>,
        due: Amount,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        body.text("reset_id")?;
        let stated = [
            body.amount("qty")?,
            body.money("cost")?,
            body.money("realized_pl")?,
            body.amount("reserved_qty")?,
            body.money("dividends_due")?,
        ];
        let held = [self.qty, self.cost(), self.realized, self.reserved, -due];
        findings.expect(stated == held, position, Code::Holding, || {
            let told = |[qty, cost, realized, reserved, due]: [Amount; 5]| {
                format!(
                    "{qty} that cost {cost}, a profit of {realized}, {reserved} reserved and dividends of {due}"
                )
            };
            format!("{} are stated as given up; {} are", told(stated), told(held))
        });
        self.contract = None;
        self.do_not_exercise = false;
        self.qty = Amount::ZERO;
        self.reserved = Amount::ZERO;
        self.realized = Amount::ZERO;
        self.lots.clear();
        self.reservations.clear();
        self.accrued.clear();
        // What it had held earns nothing any more.
        self.held_before.values_mut().for_each(|held| *held = Amount::ZERO);
        self.updated_at = body.time("at")?;
        Ok(())
    }

    pub(super) fn states(
        &self,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let stated = body.amount("position_qty")?;
        findings.expect(stated == self.qty, position, Code::Holding, || {
            format!("{stated} held is stated, and {} are", self.qty)
        });
        Ok(())
    }

    fn states_reserved(
        &self,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let stated = body.amount("reserved_qty")?;
        findings.expect(stated == self.reserved, position, Code::Reservation, || {
            format!("{stated} reserved is stated, and {} are", self.reserved)
        });
        Ok(())
    }

    /// A fill takes what it sells out of its order's reservation.
    fn traded(
        &mut self,
        (account, instrument): (Uuid, Uuid),
        body: Fields<'_>,
        (qty, cash): (Amount, Amount),
        opens: bool,
        act: &mut Act,
    ) -> Result<(), Fault> {
        let order = body.uuid("order_id")?;
        if let Some(held) = self.reservations.remove(&order) {
            let part = held.min(qty);
            self.reserved -= part;
            if part < held {
                self.reservations.insert(order, held - part);
            }
        }
        act.touched.insert(order);
        let fill = body.uuid("fill_id")?;
        let (is_buy, price) = (is_buy(body)?, body.amount("price")?);
        act.traded.push(Traded {
            fill,
            order,
            account,
            instrument,
            is_buy,
            qty,
            price,
            cash,
            opens,
            contract: self.contract.clone(),
        });
        Ok(())
    }

    fn reduce(
        &mut self,
        event_type: &str,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let (qty, buy, proceeds) = (body.amount("qty")?, is_buy(body)?, body.money("proceeds")?);
        let against = if buy { self.qty.sign() < 0 } else { self.qty.sign() > 0 };
        let closes = event_type == "PositionClosed";
        let fits = qty.sign() > 0 && qty <= self.qty.abs() && closes == (qty == self.qty.abs());
        findings.expect(against && fits, position, Code::Holding, || {
            format!("{event_type} by {qty} while {} are held", self.qty)
        });
        let (taken, cost) = self.take(body, (qty, buy), position, findings)?;
        self.qty += if buy { qty } else { -qty };
        let realized = body.money("realized_pl")?;
        let profit = if buy { cost - proceeds } else { proceeds - cost };
        findings.expect(taken == qty && profit == realized, position, Code::Holding, || {
            format!(
                "{taken} of {qty} leave the lots; {realized} is stated as realized, and {profit} is"
            )
        });
        self.realized += realized;
        self.updated_at = body.time("at")?;
        if closes { Ok(()) } else { self.states(body, position, findings) }
    }

    /// Takes what an event says of the oldest lots: how much that is, and what it had cost.
    pub(super) fn take(
        &mut self,
        body: Fields<'_>,
        (qty, buy): (Amount, bool),
        position: u64,
        findings: &mut Findings,
    ) -> Result<(Amount, Amount), Fault> {
        let (mut taken, mut cost) = (Amount::ZERO, Amount::ZERO);
        for part in body.list("lots")? {
            let (id, part_qty, part_cost) =
                (part.uuid("lot_id")?, part.amount("qty")?, part.money("cost")?);
            let Some(lot) = self.lots.front_mut().filter(|lot| lot.id == id) else {
                findings.report(position, Code::Holding, format!("lot {id} is not the oldest one"));
                continue;
            };
            let left = qty - taken;
            let expected = left.min(lot.qty.abs());
            let share = lot.cost.share(part_qty, lot.qty.abs());
            findings.expect(part_qty == expected && share == Some(part_cost), position, Code::Holding, || {
                format!("{part_qty} of lot {id} leave with a cost of {part_cost}; it holds {} for {}", lot.qty, lot.cost)
            });
            lot.qty = if buy { lot.qty + part_qty } else { lot.qty - part_qty };
            lot.cost -= part_cost;
            taken += part_qty;
            cost += part_cost;
            if lot.qty.is_zero() {
                self.lots.pop_front();
            }
        }
        Ok((taken, cost))
    }

    fn split(
        &mut self,
        instrument: Uuid,
        body: Fields<'_>,
        ratio: Option<(Amount, Amount)>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let position = act.position;
        let action = body.text("action_id")?;
        let (numerator, denominator) = (body.amount("numerator")?, body.amount("denominator")?);
        let first = self.splits.insert(action.to_owned());
        let known = ratio.is_none_or(|ratio| ratio == (numerator, denominator));
        findings.expect(first && known, position, Code::Holding, || {
            format!(
                "split {action}, {numerator} for {denominator}, is not under way or came before"
            )
        });
        let (before, fraction) = (body.amount("qty_before")?, body.amount("fraction")?);
        let whole = before.scaled(numerator, denominator).ok_or("the split's ratio is none")?;
        let after = body.amount("position_qty")?;
        let cut = if before.is_whole() { whole.fraction() } else { Amount::ZERO };
        findings.expect(before == self.qty && fraction == cut && after == whole - cut, position, Code::Holding, || {
            format!("{before} become {after} and a fraction of {fraction}; {} are held, {whole} belong", self.qty)
        });
        let (in_lieu, gain) = (body.money("cash_in_lieu")?, body.money("realized_pl")?);
        let fraction_cost = body.money("fraction_cost")?;
        let mut lots = VecDeque::new();
        for lot in body.list("lots")? {
            let (id, opened_at) = (lot.uuid("lot_id")?, lot.time("opened_at")?);
            let old = self.lots.iter().find(|old| old.id == id && old.opened_at == opened_at);
            let opened_position = old.map_or(0, |old| old.opened_position);
            findings.expect(old.is_some(), position, Code::Holding, || {
                format!("lot {id} comes from nowhere")
            });
            let (qty, cost) = (lot.amount("qty")?, lot.money("cost")?);
            lots.push_back(Lot { id, qty, cost, opened_at, opened_position });
        }
        let (cost, now) = (self.cost(), lots.iter().map(|lot| lot.cost).sum::<Amount>());
        // Short: the fraction is bought back; what it brought less what that takes is the gain.
        let profit =
            if before.sign() < 0 { fraction_cost - in_lieu.abs() } else { in_lieu - fraction_cost };
        findings.expect(now + fraction_cost == cost && gain == profit, position, Code::Holding, || {
            format!("the lots cost {cost} before, {now} and {fraction_cost} after; {gain} is realized, {profit} belongs")
        });
        self.lots = lots;
        self.qty = after;
        self.realized += gain;
        self.reservations.clear();
        for kept in body.list("reservations")? {
            self.reservations.insert(kept.uuid("order_id")?, kept.amount("qty")?);
        }
        self.reserved = self.reservations.values().copied().sum();
        self.updated_at = body.time("at")?;
        if !in_lieu.is_zero() {
            act.in_lieu_due.push(Moved { action: action.to_owned(), instrument, amount: in_lieu });
        }
        Ok(())
    }
}

fn new_york_date(micros: i64) -> Result<NaiveDate, Fault> {
    let at = DateTime::from_timestamp_micros(micros);
    let at = at.ok_or_else(|| format!("{micros} is no time that a calendar knows"))?;
    Ok(at.with_timezone(&New_York).date_naive())
}
