//! What a cash account sets aside for the options that it is short of: each is covered in full, by cash or by shares.
//!
//! | a short | is covered by |
//! |---|---|
//! | put | strike * 100 in cash |
//! | call | 100 shares that are held |
//!
//! A long option covers nothing here. Source: Regulation T, 12 CFR 220.8 (the cash account).

use super::naming::{Strategy, StrategyKind, StrategyLeg};
use super::options::{OptionHolding, lots};
use crate::instrument::{Contract, MULTIPLIER, Right};
use crate::money::{AmountError, Money, Quantity};

/// What covers the short options on one underlying in a cash account.
#[derive(Clone, Debug, PartialEq)]
pub struct Secured {
    /// What the strikes of all short puts come to.
    pub cash: Money,
    /// Shares that cover short calls.
    pub shares: Quantity,
    /// The short calls that no shares cover: a cash account may not have them.
    pub uncovered: Vec<Uncovered>,
}

impl Secured {
    /// Whether a cash account may have them, if it has the cash.
    pub fn is_permitted(&self) -> bool {
        self.uncovered.is_empty()
    }
}

/// Short calls that no shares cover.
#[derive(Clone, Debug, PartialEq)]
pub struct Uncovered {
    /// Of what.
    pub contract: Contract,
    /// Contracts, above zero.
    pub qty: Quantity,
}

/// What the short options on one underlying take, out of `shares` of it that are held and free. Shares go to the calls in
/// the order of contracts, only in hundreds.
///
/// # Errors
/// A figure is beyond the bound of money or of a quantity.
pub fn secured_requirement(
    shares: Quantity,
    holdings: &[OptionHolding],
) -> Result<Secured, AmountError> {
    let each = i128::from(MULTIPLIER);
    let mut shorts: Vec<&OptionHolding> =
        holdings.iter().filter(|holding| holding.qty.is_negative()).collect();
    shorts.sort_by(|one, other| one.contract.cmp(&other.contract));
    let mut free = lots(shares)?.max(0);
    let (mut cash, mut covered, mut uncovered) = (Money::ZERO, 0, Vec::new());
    for OptionHolding { contract, qty, .. } in shorts {
        let qty = qty.abs().billionths()?;
        match contract.right() {
            Right::Put => {
                let value = qty * each * i128::from(contract.strike().billionths());
                cash = cash.plus(Money::of_contracts_up(value, 1)?)?;
            }
            Right::Call => {
                let taken = qty.min(free);
                free -= taken;
                covered += taken;
                if taken < qty {
                    let qty = Quantity::of_billionths(qty - taken)?;
                    uncovered.push(Uncovered { contract: contract.clone(), qty });
                }
            }
        }
    }
    Ok(Secured { cash, shares: Quantity::of_billionths(covered * each)?, uncovered })
}

/// What [`secured_requirement`] found, by name, of each contract that is held: what the strategies need is its cash.
///
/// # Errors
/// A figure is beyond the bound of money or of a quantity.
pub fn secured_strategies(
    secured: &Secured,
    holdings: &[OptionHolding],
) -> Result<Vec<Strategy>, AmountError> {
    let mut strategies = Vec::with_capacity(holdings.len());
    let mut add = |kind, contract: &Contract, units: Quantity, (ratio, shares), requirement| {
        let with = StrategyLeg { contract: None, ratio: shares };
        let own = StrategyLeg { contract: Some(contract.clone()), ratio };
        let legs = [with, own].into_iter().filter(|leg| leg.ratio != 0).collect();
        if units.is_positive() {
            strategies.push(Strategy { kind, units, legs, requirement });
        }
    };
    for OptionHolding { contract, qty, .. } in holdings {
        let units = qty.abs();
        match (contract.right(), qty.is_negative()) {
            (Right::Call, false) => {
                add(StrategyKind::LongCall, contract, units, (1, 0), Money::ZERO)
            }
            (Right::Put, false) => add(StrategyKind::LongPut, contract, units, (1, 0), Money::ZERO),
            (Right::Put, true) => {
                let value = units.billionths()?
                    * i128::from(MULTIPLIER)
                    * i128::from(contract.strike().billionths());
                let secured = Money::of_contracts_up(value, 1)?;
                add(StrategyKind::CashSecuredPut, contract, units, (-1, 0), secured);
            }
            (Right::Call, true) => {
                let naked = secured.uncovered.iter().find(|it| it.contract == *contract);
                let naked = naked.map(|it| it.qty).unwrap_or_default();
                let (each, covered) = (i128::from(MULTIPLIER), units.minus(naked)?);
                add(StrategyKind::CoveredCall, contract, covered, (-1, each), Money::ZERO);
                add(StrategyKind::NakedCall, contract, naked, (-1, 0), Money::ZERO);
            }
        }
    }
    Ok(strategies)
}
