//! The names of what covers options, found after the cover is: nothing is needed more or less for them.
//!
//! A spread of many legs is told as verticals, condors and so on where those together need the same; else it is one
//! `spread` with all of its legs. Longs that cover nothing are named with shares that they protect, or with each other.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cover::{Cover, Leg, Part};
use super::naming_spreads::{Piece, pieces};
use crate::instrument::{Contract, MULTIPLIER, Right};
use crate::money::{AmountError, Money, Quantity};

/// What options, and shares with them, are called together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StrategyKind {
    /// A short call that nothing covers.
    NakedCall,
    /// A short put that nothing covers.
    NakedPut,
    /// A short put whose strike a cash account sets aside in full.
    CashSecuredPut,
    /// A short put that nothing covers, of a margin account that may not be naked: its strike is needed in full, of all that
    /// backs the account, so cash need not be there.
    SecuredPut,
    /// A short call and 100 shares.
    CoveredCall,
    /// A short put and 100 shares sold short.
    CoveredPut,
    /// A covered call and a long put of the same expiration and a lower strike.
    Collar,
    /// A covered call and a long put of the same expiration and strike.
    Conversion,
    /// A covered put and a long call of the same expiration and strike.
    Reversal,
    /// 100 shares and a long put.
    ProtectivePut,
    /// 100 shares sold short and a long call.
    ProtectiveCall,
    /// A short call and a short put of one strike and expiration.
    ShortStraddle,
    /// Another short call with a short put, of which the naked one with the greater need leads.
    ShortStrangle,
    /// A short and a long of one right and expiration, which can lose the width of its strikes.
    CreditVertical,
    /// A short and a long of one right and expiration, which can lose no more than was paid for it.
    DebitVertical,
    /// A short and a long of one right and strike, of which the long expires later.
    Calendar,
    /// A short and a long of one right, of which the long expires later at another strike.
    Diagonal,
    /// Two verticals of one right that meet in one strike.
    Butterfly,
    /// Two verticals of one right on four strikes.
    Condor,
    /// A vertical of puts and one of calls that meet in one strike.
    IronButterfly,
    /// A vertical of puts and one of calls above it.
    IronCondor,
    /// A vertical of calls and one of puts on the same two strikes.
    Box,
    /// Other shorts of one expiration and the longs that bound their loss.
    Spread,
    /// A long call.
    LongCall,
    /// A long put.
    LongPut,
    /// A long call and a long put of one strike and expiration.
    LongStraddle,
    /// A long call and a long put of one expiration and two strikes.
    LongStrangle,
}

/// Holdings that are backed together.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// What it is called.
    pub kind: StrategyKind,
    /// How many times its legs are held; parts of contracts may be, down to 9 decimals.
    pub units: Quantity,
    /// What one unit is made of.
    pub legs: Vec<StrategyLeg>,
    /// What all units need, rounded up to the cent.
    pub requirement: Money,
}

/// One leg of a strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategyLeg {
    /// The option; `None` is the underlying itself.
    pub contract: Option<Contract>,
    /// Contracts or shares a unit; negative is short.
    pub ratio: i128,
}

/// The strategies of a cover of these legs.
pub(super) fn named(legs: &[Leg], cover: &Cover) -> Result<Vec<Strategy>, AmountError> {
    let unused = cover.unused.iter().copied().collect();
    let mut names = Names { legs, cover, unused, lots: cover.lots, found: Vec::new() };
    names.spreads()?;
    names.by_shares()?;
    names.naked()?;
    names.longs()?;
    Ok(names.found)
}

struct Names<'a> {
    legs: &'a [Leg],
    cover: &'a Cover,
    /// Longs that have no name yet.
    unused: BTreeMap<usize, i128>,
    /// Hundreds of shares that have none.
    lots: i128,
    found: Vec<Strategy>,
}

impl Names<'_> {
    /// So many units (in the parts of the cover) of these legs and shares, which need so much together.
    fn add(
        &mut self,
        kind: StrategyKind,
        units: i128,
        legs: &[(usize, i128)],
        lots: i128,
        need: i128,
    ) -> Result<(), AmountError> {
        let (each, parts) = self.cover.parts;
        let times = |amount: i128| amount.checked_mul(each).ok_or(AmountError::Inexact);
        let mut told: Vec<StrategyLeg> = Vec::with_capacity(legs.len() + 1);
        if lots != 0 {
            let ratio = lots * i128::from(MULTIPLIER);
            told.push(StrategyLeg { contract: None, ratio });
        }
        told.extend(legs.iter().map(|(at, ratio)| StrategyLeg {
            contract: Some(self.legs[*at].contract.clone()),
            ratio: *ratio,
        }));
        self.found.push(Strategy {
            kind,
            units: Quantity::of_billionths(times(units)? / parts)?,
            legs: told,
            requirement: Money::of_contracts_up(times(need)?, parts)?,
        });
        Ok(())
    }

    fn spreads(&mut self) -> Result<(), AmountError> {
        for spread in &self.cover.spreads {
            let (pieces, surplus) = pieces(self.legs, spread);
            for Piece { kind, units, legs, loss } in pieces {
                let need = loss.checked_mul(MULTIPLIER.into()).ok_or(AmountError::Inexact)?;
                self.add(kind, units, &legs, 0, need)?;
            }
            for (at, qty) in surplus {
                *self.unused.entry(at).or_default() += qty;
            }
        }
        Ok(())
    }

    /// Takes as much of a long that has no name yet as there is, up to `qty`.
    fn take(&mut self, at: usize, qty: i128) -> i128 {
        let free = self.unused.get_mut(&at);
        free.map_or(0, |free| {
            let taken = qty.min(*free);
            *free -= taken;
            taken
        })
    }

    /// The longs that have no name yet and of which this is so, the ones with the highest strike first.
    fn free(&self, is: impl Fn(&Leg) -> bool) -> Vec<usize> {
        let free = self.unused.iter().filter(|(_, qty)| **qty > 0);
        let mut free: Vec<usize> =
            free.map(|(at, _)| *at).filter(|at| is(&self.legs[*at])).collect();
        free.sort_by_key(|at| -self.legs[*at].strike);
        free
    }

    fn by_shares(&mut self) -> Result<(), AmountError> {
        for (at, qty) in self.cover.covered.iter().copied() {
            let short = &self.legs[at];
            let (kind, lots) = match short.contract.right() {
                Right::Call => (StrategyKind::CoveredCall, 1),
                Right::Put => (StrategyKind::CoveredPut, -1),
            };
            let needed = |of: i128| short.covered.checked_mul(of).ok_or(AmountError::Inexact);
            let mut rest = qty;
            for long in self.free(|long| hedged(short, long).is_some()) {
                let Some(kind) = hedged(short, &self.legs[long]) else { continue };
                let taken = self.take(long, rest);
                if taken > 0 {
                    rest -= taken;
                    self.add(kind, taken, &[(at, -1), (long, 1)], lots, needed(taken)?)?;
                }
            }
            if rest > 0 {
                self.add(kind, rest, &[(at, -1)], lots, needed(rest)?)?;
            }
        }
        Ok(())
    }

    fn naked(&mut self) -> Result<(), AmountError> {
        for (call, put, qty) in self.cover.straddles.iter().copied() {
            let (one, other) = (&self.legs[call], &self.legs[put]);
            let kind = match same(one, other) {
                true => StrategyKind::ShortStraddle,
                false => StrategyKind::ShortStrangle,
            };
            let need = one.naked.with(other.naked).checked_mul(qty);
            let need = need.ok_or(AmountError::Inexact)?;
            self.add(kind, qty, &[(call, -1), (put, -1)], 0, need)?;
        }
        for (at, qty) in self.cover.naked.iter().copied() {
            let kind = match self.legs[at].contract.right() {
                Right::Call => StrategyKind::NakedCall,
                Right::Put => StrategyKind::NakedPut,
            };
            let need = self.legs[at].naked.whole().checked_mul(qty).ok_or(AmountError::Inexact)?;
            self.add(kind, qty, &[(at, -1)], 0, need)?;
        }
        Ok(())
    }

    /// Longs: with shares, with each other, by themselves.
    fn longs(&mut self) -> Result<(), AmountError> {
        let (right, kind) = match self.lots > 0 {
            true => (Right::Put, StrategyKind::ProtectivePut),
            false => (Right::Call, StrategyKind::ProtectiveCall),
        };
        for at in self.free(|leg| leg.contract.right() == right) {
            let taken = self.take(at, self.lots.abs());
            if taken > 0 {
                let sign = self.lots.signum();
                self.lots -= taken * sign;
                self.add(kind, taken, &[(at, 1)], sign, 0)?;
            }
        }
        for call in self.free(|leg| leg.contract.right() == Right::Call) {
            let expires = self.legs[call].contract.expiration();
            let is_put = |leg: &Leg| {
                leg.contract.right() == Right::Put && leg.contract.expiration() == expires
            };
            let mut puts = self.free(is_put);
            // The one at the same strike before others.
            puts.sort_by_key(|put| !same(&self.legs[call], &self.legs[*put]));
            for put in puts {
                let taken = self.take(put, self.unused[&call]);
                if taken > 0 {
                    self.take(call, taken);
                    let kind = match same(&self.legs[call], &self.legs[put]) {
                        true => StrategyKind::LongStraddle,
                        false => StrategyKind::LongStrangle,
                    };
                    self.add(kind, taken, &[(call, 1), (put, 1)], 0, 0)?;
                }
            }
        }
        let rest: Vec<Part> = std::mem::take(&mut self.unused).into_iter().collect();
        for (at, qty) in rest.into_iter().filter(|(_, qty)| *qty > 0) {
            let kind = match self.legs[at].contract.right() {
                Right::Call => StrategyKind::LongCall,
                Right::Put => StrategyKind::LongPut,
            };
            self.add(kind, qty, &[(at, 1)], 0, 0)?;
        }
        Ok(())
    }
}

/// One strike and one expiration.
fn same(one: &Leg, other: &Leg) -> bool {
    one.strike == other.strike && one.contract.expiration() == other.contract.expiration()
}

/// What a short that shares cover is called with a long of the other right.
fn hedged(short: &Leg, long: &Leg) -> Option<StrategyKind> {
    let rights = (short.contract.right(), long.contract.right());
    if short.contract.expiration() != long.contract.expiration() {
        return None;
    }
    match rights {
        (Right::Call, Right::Put) if long.strike == short.strike => Some(StrategyKind::Conversion),
        (Right::Call, Right::Put) if long.strike < short.strike => Some(StrategyKind::Collar),
        (Right::Put, Right::Call) if long.strike == short.strike => Some(StrategyKind::Reversal),
        _ => None,
    }
}
