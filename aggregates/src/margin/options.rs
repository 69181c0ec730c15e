//! What the options on one underlying need as margin: the least of all ways to cover the short ones.
//!
//! Initial and maintenance margin of options are the same. A long option is paid in full, needs nothing and has no loan
//! value. What shares need by themselves stands beside this, whether they cover an option or not. The ways of covering
//! are told in `cover`, their names in `naming`.
//!
//! Guarantees: never below zero and never above what all shorts need alone; n times the holdings need n times as much; a
//! long option or hundred shares more that cover never raise it; what is long as many options of each right as it is
//! short, and expires together, needs no more than its worst loss. The last three hold for as many contracts as [`most_contracts`] says.

use super::cover::{self, Leg, least};
use super::naked::Naked;
use super::naming::{Strategy, StrategyKind, named};
use crate::instrument::{Contract, MULTIPLIER, Right};
use crate::money::{AmountError, Money, Price, Quantity};

/// The contracts on one underlying that are covered together, where all strikes are multiples of [`EVEN_STRIKE`]. No order
/// opens more of which some are short. More that a log of before that rule holds, or that a split leaves at other strikes,
/// are taken apart in the order of expirations and strikes, and each part is covered by itself with the shares that are left
/// over: what they need is never too little.
pub const MOST_CONTRACTS: usize = 40;

/// The same of other strikes: the less they have in common, the larger are the numbers of the search.
pub const MOST_UNEVEN_CONTRACTS: usize = 24;

/// Half a dollar, in billionths.
const EVEN_STRIKE: i64 = 500_000_000;

/// How many contracts at these strikes are covered together.
pub fn most_contracts(strikes: impl IntoIterator<Item = Price>) -> usize {
    let mut strikes = strikes.into_iter();
    match strikes.all(|strike| strike.billionths() % EVEN_STRIKE == 0) {
        true => MOST_CONTRACTS,
        false => MOST_UNEVEN_CONTRACTS,
    }
}

/// One option holding.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionHolding {
    /// Of what.
    pub contract: Contract,
    /// Contracts; negative is short.
    pub qty: Quantity,
    /// Its mark, in dollars a share.
    pub price: Price,
}

/// What the options are on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Underlying {
    /// Its mark.
    pub price: Price,
    /// Shares that are held and free to cover options; negative is short. Only whole hundreds cover.
    pub shares: Quantity,
    /// Whether it is a broad index, of which a naked option needs less.
    pub broad_index: bool,
}

/// What a short put needs that neither options nor short shares cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NakedPuts {
    /// What the formula says.
    #[default]
    Margined,
    /// Its strike in full: of accounts that may not be naked.
    Secured,
}

impl NakedPuts {
    /// The option level that permits naked short options.
    pub const NAKED_LEVEL: u8 = 4;

    /// Of an account of this option level.
    pub const fn of_level(option_level: u8) -> Self {
        if option_level < Self::NAKED_LEVEL { Self::Secured } else { Self::Margined }
    }
}

/// Short contracts by what covers them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cover {
    /// Calls that nothing covers.
    pub naked_calls: Quantity,
    /// Puts that neither options nor short shares cover.
    pub naked_puts: Quantity,
    /// Those that shares cover.
    pub by_shares: Quantity,
    /// Those that long options cover.
    pub by_options: Quantity,
}

/// What the options on one underlying need, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionsRequirement {
    /// What has to back them, initially and from then on; rounded up to the cent once.
    pub requirement: Money,
    /// The cover that needs least, by the names of its parts. Each requirement is rounded up by itself, so their sum may
    /// be cents more.
    pub strategies: Vec<Strategy>,
}

impl Cover {
    /// The same with what a part of the holdings is covered by.
    fn plus(self, legs: &[Leg], cover: &cover::Cover) -> Result<Self, AmountError> {
        let (each, parts) = cover.parts;
        let contracts = |of: i128| -> Result<Quantity, AmountError> {
            Quantity::of_billionths(of.checked_mul(each).ok_or(AmountError::Inexact)? / parts)
        };
        let (mut calls, mut puts) = (0, 0);
        let pairs = cover.straddles.iter().flat_map(|(call, put, of)| [(*call, *of), (*put, *of)]);
        for (at, of) in cover.naked.iter().copied().chain(pairs) {
            *(if legs[at].is(Right::Call, true) { &mut calls } else { &mut puts }) += of;
        }
        let shorts = cover.spreads.iter().flat_map(|spread| &spread.shorts);
        let by_options: i128 = shorts.map(|(_, of)| of).sum();
        let by_shares: i128 = cover.covered.iter().map(|(_, of)| of).sum();
        Ok(Self {
            naked_calls: self.naked_calls.plus(contracts(calls)?)?,
            naked_puts: self.naked_puts.plus(contracts(puts)?)?,
            by_shares: self.by_shares.plus(contracts(by_shares)?)?,
            by_options: self.by_options.plus(contracts(by_options)?)?,
        })
    }
}

/// The least that the options on one underlying need. The holdings are all that an account has of them, in any order.
///
/// # Errors
/// A price is below zero (or that of the underlying zero), contracts are not whole, or a figure is beyond the bound of
/// money.
pub fn options_requirement(
    underlying: &Underlying,
    holdings: &[OptionHolding],
    naked_puts: NakedPuts,
) -> Result<OptionsRequirement, AmountError> {
    if !underlying.price.is_positive() {
        let value = underlying.price.decimal();
        return Err(AmountError::NotPositive { kind: "price of an underlying", value });
    }
    let legs = legs(underlying, holdings, naked_puts)?;
    let mut all = OptionsRequirement { requirement: Money::ZERO, strategies: Vec::new() };
    let mut lots = lots(underlying.shares)?;
    for part in parts(&legs) {
        let cover = least(part, lots).ok_or(AmountError::Inexact)?;
        all.requirement = all.requirement.plus(Money::of_contracts_up(cover.cost, 1)?)?;
        all.strategies.extend(named(part, &cover)?);
        lots = cover.lots_left().ok_or(AmountError::Inexact)?;
    }
    if naked_puts == NakedPuts::Secured {
        let puts = all.strategies.iter_mut().filter(|it| it.kind == StrategyKind::NakedPut);
        puts.for_each(|put| put.kind = StrategyKind::SecuredPut);
    }
    Ok(all)
}

/// By what the short options on one underlying are covered best: no call is naked that a long one or shares can cover, and
/// no put but one whose strike is less than what a spread can lose. What level they take is told by it, since the cover that
/// needs least may leave a call naked beside the long one that could cover it.
///
/// # Errors
/// Contracts are not whole, or a figure is beyond the bound of money.
pub fn best_cover(shares: Quantity, holdings: &[OptionHolding]) -> Result<Cover, AmountError> {
    let underlying = Underlying { price: Price::ZERO, shares, broad_index: false };
    let mut legs = legs(&underlying, holdings, NakedPuts::Secured)?;
    for leg in &mut legs {
        leg.covered = 0;
        if leg.contract.right() == Right::Call {
            leg.naked = Naked::unwanted();
        }
    }
    let (mut all, mut lots) = (Cover::default(), lots(shares)?);
    for part in parts(&legs) {
        let cover = least(part, lots).ok_or(AmountError::Inexact)?;
        all = all.plus(part, &cover)?;
        lots = cover.lots_left().ok_or(AmountError::Inexact)?;
    }
    Ok(all)
}

/// What is covered together.
fn parts(legs: &[Leg]) -> std::slice::Chunks<'_, Leg> {
    legs.chunks(most_contracts(legs.iter().map(|leg| leg.contract.strike())))
}

/// The whole hundreds of shares, in billionths.
pub(super) fn lots(shares: Quantity) -> Result<i128, AmountError> {
    let one = 10i128.pow(Quantity::DECIMALS);
    Ok(shares.billionths()? / (one * i128::from(MULTIPLIER)) * one)
}

/// The holdings in the order of contracts, one of each.
fn legs(
    underlying: &Underlying,
    holdings: &[OptionHolding],
    naked_puts: NakedPuts,
) -> Result<Vec<Leg>, AmountError> {
    let mut legs: Vec<Leg> = Vec::with_capacity(holdings.len());
    for OptionHolding { contract, qty, price } in holdings {
        if price.is_negative() {
            let value = price.decimal();
            return Err(AmountError::NotPositive { kind: "price of an option", value });
        }
        if !qty.is_whole() {
            let (kind, value) = ("number of contracts", qty.decimal());
            return Err(AmountError::TooPrecise { kind, value, decimals: 0 });
        }
        let qty = qty.billionths()?;
        match legs.iter_mut().find(|leg| leg.contract == *contract) {
            Some(leg) => leg.qty += qty,
            None => legs.push(Leg {
                contract: contract.clone(),
                qty,
                strike: contract.strike().billionths().into(),
                naked: match (contract.right(), naked_puts) {
                    (Right::Put, NakedPuts::Secured) => Naked::secured(contract),
                    _ => Naked::of(contract, *price, underlying.price, underlying.broad_index),
                },
                covered: 0,
            }),
        }
    }
    let price = underlying.price.billionths().into();
    for leg in &mut legs {
        leg.covered = leg.pays(price) * i128::from(MULTIPLIER);
    }
    legs.retain(|leg| leg.qty != 0);
    legs.sort_by(|one, other| one.order().cmp(&other.order()));
    Ok(legs)
}
