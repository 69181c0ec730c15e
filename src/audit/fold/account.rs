//! Accounts, folded again: cash, reservations, and what may not be at any version.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use super::act::{Act, Moved};
use super::amount::Amount;
use super::ending::Paid;
use super::fields::{Fault, Fields};
use super::losses::Losses;
use crate::audit::report::{Code, Findings, listed};

/// One account.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Account {
    pub(in crate::audit) kind: String,
    pub(in crate::audit) option_level: u64,
    pub(in crate::audit) name_digest: String,
    pub(in crate::audit) trading_state: String,
    pub(in crate::audit) policy: Value,
    /// What its losses are counted from.
    pub(in crate::audit) losses: Option<Losses>,
    /// How often its policy was changed, money came in or went out, or it began again.
    pub(in crate::audit) changes: u64,
    pub(in crate::audit) cash: Amount,
    pub(in crate::audit) reserved: Amount,
    pub(in crate::audit) reservations: BTreeMap<Uuid, Amount>,
    /// Every grant that was made on it.
    pub(in crate::audit) grants: BTreeMap<Uuid, Grant>,
    /// Dividends accrued in its positions and not yet paid.
    pub(in crate::audit) dividends_due: Amount,
    pub(in crate::audit) opened_at: i64,
    pub(in crate::audit) opened_position: u64,
}

/// A role of a user on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::audit) struct Grant {
    pub(in crate::audit) user: Uuid,
    pub(in crate::audit) role: String,
    pub(in crate::audit) revoked: bool,
    /// It was offered and not accepted.
    pub(in crate::audit) offered: bool,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.offered, self.revoked) {
            (true, false) => "offered",
            (true, true) => "offered, which ended",
            (false, false) => "in force",
            (false, true) => "revoked",
        };
        write!(f, "{} for user {} ({state})", self.role, self.user)
    }
}

impl Account {
    /// Takes one event of the account.
    pub(super) fn apply(
        &mut self,
        event_type: &str,
        body: Fields<'_>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let (position, available) = (act.position, self.cash - self.reserved);
        // What a margin account can pay follows from its holdings too.
        let within = |amount: Amount, margin: bool| margin || amount <= available;
        if (event_type == "AccountOpened") != self.kind.is_empty() {
            findings.report(
                position,
                Code::Account,
                format!("{event_type} of an account that was opened before or never"),
            );
        }
        let mut may_leave_deficit = false;
        let changes = ["CashDeposited", "CashWithdrawn", "AccountReset", "PolicyChanged"];
        self.changes += u64::from(changes.contains(&event_type));
        match event_type {
            "AccountOpened" => {
                self.kind = body.text("kind")?.to_owned();
                self.option_level = body.whole("option_level")?;
                self.name_digest = body.text("name_digest")?.to_owned();
                self.trading_state = "active".into();
                self.policy = serde_json::json!({ "trading_state": "active" });
                let id = body.uuid("account_id")?;
                findings.expect(Some(id) == act.account, position, Code::Owner, || {
                    format!("account {id} was opened in another's stream")
                });
            }
            "CashDeposited" => {
                let amount = above_zero(body)?;
                self.move_losses(amount);
                self.receive(amount, body, act, findings)?;
            }
            "CashWithdrawn" => {
                let amount = above_zero(body)?;
                findings.expect(within(amount, self.is_margin()), position, Code::Account, || {
                    format!("{amount} was withdrawn of {available} available")
                });
                self.move_losses(-amount);
                self.receive(-amount, body, act, findings)?;
            }
            "CashReserved" => {
                let (order, amount) = (body.uuid("order_id")?, above_zero(body)?);
                findings.expect(
                    within(amount, self.is_margin()),
                    position,
                    Code::Reservation,
                    || format!("order {order} reserved {amount} of {available} available"),
                );
                if self.reservations.insert(order, amount).is_some() {
                    findings.report(
                        position,
                        Code::Reservation,
                        format!("order {order} reserved twice"),
                    );
                }
                self.reserve(amount, body, act, findings)?;
                act.touched.insert(order);
            }
            "ReservationReleased" => {
                let (order, amount) = (body.uuid("order_id")?, above_zero(body)?);
                let held = self.reservations.remove(&order).unwrap_or_default();
                findings.expect(held == amount, position, Code::Reservation, || {
                    format!("{amount} was released for order {order}, which reserves {held}")
                });
                self.reserve(-amount, body, act, findings)?;
                act.touched.insert(order);
            }
            "ReservationsAdjusted" => {
                let mut change = Amount::ZERO;
                for part in body.list("changes")? {
                    let (order, from, to) =
                        (part.uuid("order_id")?, part.money("from")?, part.money("to")?);
                    let held = self.reservations.remove(&order).unwrap_or_default();
                    findings.expect(held == from && to.sign() >= 0, position, Code::Reservation, || {
                        format!("the reservation of order {order} goes from {from} to {to}, and was {held}")
                    });
                    let paid = within(to - from, self.is_margin());
                    findings.expect(paid, position, Code::Reservation, || {
                        format!("order {order} goes from {from} to {to} with {available} available")
                    });
                    if !to.is_zero() {
                        self.reservations.insert(order, to);
                    }
                    change += to - from;
                    act.touched.insert(order);
                }
                self.reserve(change, body, act, findings)?;
            }
            "FillSettled" => {
                let (order, amount, released) =
                    (body.uuid("order_id")?, body.money("amount")?, body.money("released")?);
                let held = self.reservations.remove(&order).unwrap_or_default();
                findings.expect(released <= held, position, Code::Reservation, || {
                    format!("a fill freed {released} of the {held} that order {order} reserves")
                });
                if held != released {
                    self.reservations.insert(order, held - released);
                }
                self.receive(amount, body, act, findings)?;
                self.reserve(-released, body, act, findings)?;
                act.settled.push((body.uuid("fill_id")?, order, amount));
                act.released += released;
            }
            "FeeCharged" => {
                may_leave_deficit = true;
                let amount = above_zero(body)?;
                self.move_losses(-amount);
                self.receive(-amount, body, act, findings)?;
                act.charged.push((body.uuid("fill_id")?, body.uuid("order_id")?, amount));
            }
            "DividendPaid" | "CashPaidInLieu" => {
                may_leave_deficit = true;
                let amount = body.money("amount")?;
                self.receive(amount, body, act, findings)?;
                let moved = Moved {
                    action: body.text("action_id")?.to_owned(),
                    instrument: body.uuid("instrument_id")?,
                    amount,
                };
                if event_type == "DividendPaid" {
                    self.dividends_due -= amount;
                    act.dividends_paid.push(moved);
                } else {
                    act.in_lieu_paid.push(moved);
                }
            }
            "OptionSettled" => {
                may_leave_deficit = true;
                let amount = body.money("amount")?;
                self.receive(amount, body, act, findings)?;
                let (ending, option) = (body.uuid("ending_id")?, body.uuid("instrument_id")?);
                let how = body.text("how")?.to_owned();
                let margin = body.get("margin").cloned();
                act.ends.paid.push(Paid { ending, option, how, amount, margin });
            }
            "AccountReset" => {
                let (amount, released) = (body.money("amount")?, body.money("released")?);
                let all = self.reserved;
                findings.expect(released == all, position, Code::Reservation, || {
                    format!("{released} were released by the reset, and {all} reserved")
                });
                act.touched.extend(std::mem::take(&mut self.reservations).into_keys());
                self.reserved = Amount::ZERO;
                self.receive(amount, body, act, findings)?;
                let cash = self.cash;
                findings.expect(cash.sign() >= 0, position, Code::Account, || {
                    format!("the account begins again with {cash}")
                });
                body.text("reset_id")?;
                self.end_losses(true);
                act.resets.extend(act.account);
            }
            "PolicyChanged" => {
                let state = body.object("policy")?.text("trading_state")?;
                let stopped = self.losses.as_ref().is_some_and(|losses| losses.stop.is_some());
                let ends_stop = body.get("ends_stop").is_some() && body.flag("ends_stop")?;
                let sets = ends_stop || state != self.trading_state;
                state.clone_into(&mut self.trading_state);
                self.policy = body.value("policy")?.clone();
                if stopped && sets || !self.limits_losses() {
                    self.end_losses(false);
                }
            }
            "TradingDayBegan" | "LossLimitReached" | "LossLimitLifted" => {
                self.count_losses(event_type, body, act)?;
            }
            "AccessOffered" | "OfferEnded" | "AccessGranted" | "AccessRevoked" => {
                self.access(event_type, body, position, findings)?
            }
            other => return Err(format!("an account has no event {other}")),
        }
        let after = self.cash - self.reserved;
        let sound =
            after.sign() >= 0 || after >= available || may_leave_deficit || self.is_margin();
        findings.expect(sound, position, Code::Account, || {
            format!("available cash goes from {available} to {after}")
        });
        findings.expect(self.reserved.sign() >= 0, position, Code::Account, || {
            format!("{} is reserved", self.reserved)
        });
        Ok(())
    }

    pub(super) fn is_margin(&self) -> bool {
        self.kind == "margin"
    }

    fn access(
        &mut self,
        event_type: &str,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let id = body.uuid("grant_id")?;
        let (user, role) = (body.uuid("user_id")?, body.text("role")?.to_owned());
        if !["owner", "trader", "viewer", "auditor"].contains(&role.as_str()) {
            return Err(format!("no grant permits {role}"));
        }
        let grant = |revoked, offered| Grant { user, role: role.clone(), revoked, offered };
        let offer = Some(grant(false, true));
        let (before, after) = match event_type {
            "AccessOffered" => (vec![None], grant(false, true)),
            "OfferEnded" => (vec![offer], grant(true, true)),
            "AccessGranted" => (vec![None, offer], grant(false, false)),
            _ => (vec![Some(grant(false, false))], grant(true, false)),
        };
        if event_type == "OfferEnded" {
            let reason = body.text("reason")?;
            if !["declined", "withdrawn", "lapsed", "forgotten"].contains(&reason) {
                return Err(format!("no offer ends as {reason}"));
            }
        }
        let found = self.grants.insert(id, after);
        findings.expect(before.contains(&found), position, Code::Identity, || {
            format!("{event_type} of grant {id}, of which there was {}", listed(&found))
        });
        Ok(())
    }

    fn receive(
        &mut self,
        amount: Amount,
        body: Fields<'_>,
        act: &Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        self.cash += amount;
        let stated = body.money("cash")?;
        findings.expect(stated == self.cash, act.position, Code::Account, || {
            format!("cash is stated as {stated}, and is {}", self.cash)
        });
        Ok(())
    }

    fn reserve(
        &mut self,
        amount: Amount,
        body: Fields<'_>,
        act: &Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        self.reserved += amount;
        let stated = body.money("reserved")?;
        let sum: Amount = self.reservations.values().copied().sum();
        findings.expect(
            stated == self.reserved && sum == stated,
            act.position,
            Code::Reservation,
            || {
                format!(
                    "{stated} is stated as reserved; it is {}, and {sum} by order",
                    self.reserved
                )
            },
        );
        Ok(())
    }
}

fn above_zero(body: Fields<'_>) -> Result<Amount, Fault> {
    let amount = body.money("amount")?;
    if amount.sign() > 0 { Ok(amount) } else { Err(format!("amount is {amount}")) }
}
