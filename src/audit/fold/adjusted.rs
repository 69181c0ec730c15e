//! Contracts that a split of what they are on made others of, folded again: what left one position came to another, lot by lot
//! and to the cent, at the strike divided by the split. The two have to agree when the command is over, and when the split is,
//! no holding may be left that has not followed.

use std::fmt;

use uuid::Uuid;

use super::Streams;
use super::act::Act;
use super::amount::Amount;
use super::fields::{Fault, Fields};
use super::options::Terms;
use super::position::{Holding, Lot};
use crate::audit::report::{Code, Findings, listed};

/// The digits of a symbol that say the strike, in thousandths.
const STRIKE_DIGITS: usize = 8;

/// Contracts that left a position.
#[derive(Clone, Debug)]
struct Left {
    account: Uuid,
    into: Uuid,
    action: String,
    ratio: (Amount, Amount),
    symbol: String,
    terms: Terms,
    unwanted: bool,
    /// As they were.
    lots: Vec<Lot>,
}

/// Contracts that came to another.
#[derive(Clone, Debug)]
struct Came {
    account: Uuid,
    into: Uuid,
    action: String,
    symbol: String,
    terms: Terms,
}

/// What a command made others of.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct Adjustments {
    left: Vec<Left>,
    came: Vec<Came>,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, into, action, ratio: (numerator, denominator), symbol, .. } = self;
        write!(
            f,
            "{symbol} of account {account} becomes {into} by split {action}, {numerator} for {denominator}"
        )
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, into, action, symbol, terms } = self;
        write!(f, "{symbol} ({into}, {}) of account {account} by split {action}", terms.told)
    }
}

impl Left {
    /// Its lots as the other position has them.
    fn lots_after(&self) -> Option<Vec<Lot>> {
        let (numerator, denominator) = self.ratio;
        let after = |lot: &Lot| {
            let qty = lot.qty.scaled(numerator, denominator)?;
            Some(Lot { qty, ..lot.clone() })
        };
        self.lots.iter().map(after).collect()
    }

    /// Whether a split of this ratio is under way, and makes whole contracts of one.
    fn is_under_way(&self, streams: &Streams) -> bool {
        let underlying = streams.instruments.get(&self.terms.underlying);
        let action = underlying.and_then(|underlying| {
            let gated = underlying.splitting.as_deref() == Some(&*self.action);
            underlying.actions.get(&self.action).filter(|_| gated)
        });
        let (numerator, denominator) = self.ratio;
        let one = Amount::whole(1);
        let times = one.scaled(numerator, denominator);
        let whole = times.filter(|times| times.is_whole() && *times > one);
        // Not cut to something whole.
        let exact = whole.is_some_and(|times| times.times(denominator) == Some(numerator));
        exact && action.is_some_and(|action| action.ratio == Some(self.ratio))
    }

    /// Whether these contracts are what it becomes.
    fn becomes(&self, came: &Came) -> bool {
        let (numerator, denominator) = self.ratio;
        let Some(strike) = self.terms.strike.strike_after(numerator, denominator) else {
            return false;
        };
        let thousandths = strike.times(Amount::whole(1_000)).unwrap_or_default();
        let stem = self.symbol.get(..self.symbol.len().saturating_sub(STRIKE_DIGITS));
        let symbol = stem.map(|stem| format!("{stem}{:0>8}", thousandths.to_string()));
        let mut terms = self.terms.clone();
        if let Some(told) = terms.told.as_object_mut() {
            let strike = came.terms.told.get("strike").cloned().unwrap_or_default();
            told.insert("strike".into(), strike);
        }
        terms.strike = strike;
        (self.account, self.into, &self.action) == (came.account, came.into, &came.action)
            && symbol.as_ref() == Some(&came.symbol)
            && terms == came.terms
    }
}

impl Holding {
    /// Its contracts leave it for another position.
    pub(super) fn leaves(
        &mut self,
        account: Uuid,
        body: Fields<'_>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let (action, qty, cost) =
            (body.text("action_id")?, body.amount("qty")?, body.money("cost")?);
        let first = self.splits.insert(action.to_owned());
        let right =
            (qty, cost) == (self.qty, self.cost()) && !qty.is_zero() && self.reserved.is_zero();
        findings.expect(first && right, act.position, Code::Holding, || {
            format!(
                "split {action} takes {qty} for {cost} away; {} for {} are held",
                self.qty,
                self.cost()
            )
        });
        act.adjusted.left.push(Left {
            account,
            into: body.uuid("into")?,
            action: action.to_owned(),
            ratio: (body.amount("numerator")?, body.amount("denominator")?),
            symbol: self.symbol.clone(),
            terms: self.contract.clone().ok_or("what is adjusted is no option")?,
            unwanted: self.do_not_exercise,
            lots: self.lots.drain(..).collect(),
        });
        self.qty = Amount::ZERO;
        self.updated_at = body.time("at")?;
        Ok(())
    }

    /// Contracts come to it from another position.
    pub(super) fn comes(
        &mut self,
        (account, instrument): (Uuid, Uuid),
        body: Fields<'_>,
        act: &mut Act,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let position = act.position;
        let named = (body.uuid("account_id")?, body.uuid("instrument_id")?);
        findings.expect(named == (account, instrument), position, Code::Owner, || {
            "contracts come to another's stream".into()
        });
        body.uuid("from")?;
        let action = body.text("action_id")?;
        let unwanted = body.get("do_not_exercise").is_some() && body.flag("do_not_exercise")?;
        let left = act.adjusted.left.iter().rev().find(|left| left.into == instrument);
        let lots = left.and_then(Left::lots_after).unwrap_or_default();
        let mut same = !lots.is_empty() && body.list("lots")?.len() == lots.len();
        for (lot, told) in lots.iter().zip(body.list("lots")?) {
            let stated = (
                told.uuid("lot_id")?,
                told.amount("qty")?,
                told.money("cost")?,
                told.time("opened_at")?,
            );
            same &= stated == (lot.id, lot.qty, lot.cost, lot.opened_at);
        }
        let said = left.is_some_and(|left| left.unwanted == unwanted);
        findings.expect(same && said && self.qty.is_zero(), position, Code::Holding, || {
            format!(
                "split {action} brings other lots than it took away, to a holding of {}",
                self.qty
            )
        });
        self.splits.insert(action.to_owned());
        self.qty = lots.iter().map(|lot| lot.qty).sum();
        self.updated_at = body.time("at")?;
        self.opened_at = lots.first().map_or(self.updated_at, |lot| lot.opened_at);
        self.lots = lots.into();
        self.do_not_exercise = unwanted;
        self.symbol = body.text("symbol")?.to_owned();
        let terms = Terms::of(body, "contract")?.ok_or("contracts have terms")?;
        self.contract = Some(terms.clone());
        act.adjusted.came.push(Came {
            account,
            into: instrument,
            action: action.to_owned(),
            symbol: self.symbol.clone(),
            terms,
        });
        self.states(body, position, findings)
    }
}

impl Adjustments {
    /// Checks that what left is what came, when the command is over.
    pub(super) fn agree(
        &self,
        streams: &Streams,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        findings.expect(self.left.len() == self.came.len(), position, Code::Command, || {
            format!("{} holdings became others, and {} came", self.left.len(), self.came.len())
        });
        for left in &self.left {
            let came: Vec<_> = self.came.iter().filter(|came| came.into == left.into).collect();
            let right = matches!(&came[..], [came] if left.becomes(came));
            findings.expect(right && left.is_under_way(streams), position, Code::Command, || {
                format!("{left}; what came is {}", listed(came.iter()))
            });
            let listed = streams.instruments.get(&left.into);
            let is_option = listed.is_some_and(|it| it.kind == "option");
            findings.expect(is_option, position, Code::Instrument, || {
                format!("contracts become {}, which is no listed option", left.into)
            });
        }
        Ok(())
    }
}

/// Checks that no holding of options on what was split is left that has not followed.
pub(super) fn all_followed(
    streams: &Streams,
    underlying: Uuid,
    action: &str,
    position: u64,
    findings: &mut Findings,
) {
    let ratio = streams.instruments.get(&underlying).and_then(|it| it.actions.get(action)?.ratio);
    if ratio.is_none_or(|(numerator, denominator)| numerator == denominator) {
        return;
    }
    for ((account, option), holding) in &streams.positions {
        let on = holding.contract.as_ref().is_some_and(|terms| terms.underlying == underlying);
        let expired = streams.instruments.get(option).is_some_and(|it| it.expired.is_some());
        let behind = on && !holding.qty.is_zero() && !expired && !holding.splits.contains(action);
        findings.expect(!behind, position, Code::Holding, || {
            format!(
                "split {action} is over, and {} {} of account {account} have not followed",
                holding.qty, holding.symbol
            )
        });
    }
}
