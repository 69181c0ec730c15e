//! What the options on one underlying need, and by which strategies: those of the cover that needs least, as decisions reckon it,
//! and in a cash account each short option by what secures it.

use std::collections::BTreeMap;

use aggregates::account::AccountKind;
use aggregates::instrument::Contract;
use aggregates::margin::{
    NakedPuts, OptionHolding, Strategy, StrategyKind, Underlying, options_requirement,
    secured_requirement, secured_strategies,
};
use aggregates::money::{AmountError, Money, Price, Quantity};
use projections::accounts::AccountRow;
use projections::positions::PositionRow;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

/// A cent: by so much a strategy may be rounded up.
const CENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// Holdings that are backed together.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Cover")]
pub struct CoverAnswer {
    /// What they are called.
    pub name: StrategyKind,
    /// What they are made of.
    pub legs: Vec<CoverLeg>,
    /// What they need, in dollars: margin; in a cash account, cash that is set aside.
    pub requirement: Money,
}

/// One leg of a strategy.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "CoverLeg")]
pub struct CoverLeg {
    /// The OCC symbol of the option, or the ticker of the underlying.
    pub symbol: String,
    /// Contracts or shares; below zero when short. Parts of contracts may be.
    pub qty: Quantity,
}

/// What the options on one underlying need together.
pub(super) struct Needed {
    pub(super) requirement: Money,
    pub(super) covers: Vec<CoverAnswer>,
}

/// The options of an account on one underlying.
pub(super) struct Book<'a> {
    pub(super) account: &'a AccountRow,
    pub(super) underlying: &'a str,
    /// The shares of it, all and those that no open order has reserved.
    pub(super) shares: (Quantity, Quantity),
    /// Its price; a cash account needs none.
    pub(super) price: Option<Price>,
    /// The options, each with its price.
    pub(super) options: Vec<(&'a PositionRow, Option<Price>)>,
}

impl Book<'_> {
    /// What they need; `None` where a price lacks.
    ///
    /// # Errors
    /// A figure cannot be held.
    pub(super) fn needed(&self) -> Result<Option<Needed>, AmountError> {
        let cash = self.account.kind == AccountKind::Cash;
        let (mut holdings, mut symbols) = (Vec::new(), BTreeMap::new());
        for (row, price) in &self.options {
            let Some(terms) = &row.contract else { continue };
            let contract = terms.contract().map_err(|_| AmountError::Inexact)?;
            symbols.insert(contract.clone(), row.symbol.as_str());
            let Some(price) = price.or(cash.then_some(Price::ZERO)) else { return Ok(None) };
            holdings.push(OptionHolding { contract, qty: row.qty, price });
        }
        let (requirement, strategies) = if cash {
            let secured = secured_requirement(self.shares.1, &holdings)?;
            (secured.cash, secured_strategies(&secured, &holdings)?)
        } else {
            let Some(price) = self.price else { return Ok(None) };
            let shares = self.shares.0;
            let underlying = Underlying { price, shares, broad_index: false };
            let puts = NakedPuts::of_level(self.account.option_level);
            let needed = options_requirement(&underlying, &holdings, puts)?;
            (needed.requirement, needed.strategies)
        };
        let covers = strategies.iter().map(|strategy| self.cover(strategy, &symbols));
        let mut covers = covers.collect::<Result<Vec<_>, _>>()?;
        summing_to(requirement, &mut covers)?;
        Ok(Some(Needed { requirement, covers }))
    }

    fn cover(
        &self,
        strategy: &Strategy,
        symbols: &BTreeMap<Contract, &str>,
    ) -> Result<CoverAnswer, AmountError> {
        let legs = strategy.legs.iter().map(|leg| {
            let known = leg.contract.as_ref().and_then(|contract| symbols.get(contract).copied());
            let qty = strategy.units.times(Quantity::new(leg.ratio.into())?)?;
            Ok(CoverLeg { symbol: known.unwrap_or(self.underlying).to_owned(), qty })
        });
        let legs = legs.collect::<Result<_, AmountError>>()?;
        Ok(CoverAnswer { name: strategy.kind, legs, requirement: strategy.requirement })
    }
}

/// Takes off the cents by which each was rounded up for itself, so that they come to what all need.
fn summing_to(requirement: Money, covers: &mut [CoverAnswer]) -> Result<(), AmountError> {
    let mut each = covers.iter().map(|cover| cover.requirement);
    let mut over = each.try_fold(Money::ZERO, |sum, requirement| sum.plus(requirement))?;
    let cent = Money::new(CENT)?;
    for cover in covers.iter_mut() {
        if over <= requirement {
            break;
        }
        if cover.requirement.is_positive() {
            (cover.requirement, over) = (cover.requirement.minus(cent)?, over.minus(cent)?);
        }
    }
    Ok(())
}
