//! What backs an account: margin, buying power, and what is out of the ordinary about it.
//!
//! A cash account pays with its cash, less what it has set aside for short puts. A margin account is told by the prices at
//! hand, as a decision about it would find it: without one of them, that of what a short option is on included, or with a
//! figure beyond the bound of money, its margin and buying power are absent.

use std::collections::BTreeMap;

use aggregates::account::AccountKind;
use aggregates::id::InstrumentId;
use aggregates::instrument::Right;
use aggregates::margin::{Marked, NakedPuts, Standing};
use aggregates::money::{AmountError, Money, Quantity};
use aggregates::order::Side;
use projections::accounts::AccountRow;
use projections::positions::PositionRow;

use super::positions::Valued;
use super::{Service, Value};
use crate::engine::core::Shown;

/// What the holdings of an account ask of what backs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Backed {
    /// What a cash account has set aside for the puts that it is short of: their strikes.
    collateral: Money,
    /// The holdings at their prices, with what short options are on; absent when one has no price.
    marked: Option<Vec<Marked>>,
}

impl Backed {
    /// These are held, at no price.
    ///
    /// # Errors
    /// A figure cannot be held.
    pub(super) fn unpriced(held: &[&PositionRow]) -> Result<Self, AmountError> {
        let mut collateral = Money::ZERO;
        for row in held.iter().filter(|row| row.qty.is_negative()) {
            let put = row.contract.as_ref().filter(|terms| terms.right == Right::Put);
            if let Some(terms) = put {
                collateral = collateral.plus(terms.exercise_amount(row.qty.abs())?)?;
            }
        }
        let marked = held.is_empty().then(Vec::new);
        Ok(Self { collateral, marked })
    }
}

impl Service {
    /// These holdings at the prices by which they were valued.
    pub(super) fn backed(
        &self,
        held: &[PositionRow],
        valued: &[Option<Valued>],
    ) -> Result<Backed, AmountError> {
        let rows: Vec<&PositionRow> = held.iter().collect();
        let backed = Backed::unpriced(&rows)?;
        let priced: Option<Vec<Marked>> = rows
            .iter()
            .zip(valued)
            .map(|(row, valued)| Some(at(row, &valued.as_ref()?.mark)))
            .collect();
        let Some(mut marked) = priced else { return Ok(backed) };
        for row in rows.iter().filter(|row| row.qty.is_negative()) {
            let Some(terms) = &row.contract else { continue };
            if marked.iter().any(|known| known.instrument_id == terms.underlying_id) {
                continue;
            }
            // What is held of it, nothing, is valued as a short holding is, as decisions do.
            let glance = self.parts.engine.board().glance(&terms.underlying);
            let Some(Shown { price, source, at }) =
                glance.and_then(|glance| glance.mark(Side::Sell))
            else {
                return Ok(backed);
            };
            let (instrument_id, qty) = (terms.underlying_id, Quantity::ZERO);
            marked.push(Marked { instrument_id, qty, price, source, at, contract: None });
        }
        Ok(Backed { marked: Some(marked), ..backed })
    }
}

fn at(row: &PositionRow, mark: &Shown) -> Marked {
    let Shown { price, source, at } = mark.clone();
    let (instrument_id, qty, contract) = (row.instrument_id, row.qty, row.contract.clone());
    Marked { instrument_id, qty, price, source, at, contract }
}

/// The shares that cover the short calls of a cash account, by what they are of.
#[derive(Clone, Debug, Default)]
pub(super) struct Covering(BTreeMap<InstrumentId, Quantity>);

impl Covering {
    /// Those that the short calls among what a cash account holds take.
    ///
    /// # Errors
    /// A quantity is beyond its bound.
    pub(super) fn of<'a>(
        held: impl IntoIterator<Item = &'a PositionRow>,
    ) -> Result<Self, AmountError> {
        let mut covering: BTreeMap<InstrumentId, Quantity> = BTreeMap::new();
        for row in held.into_iter().filter(|row| row.qty.is_negative()) {
            let call = row.contract.as_ref().filter(|terms| terms.right == Right::Call);
            if let Some(terms) = call {
                let taken = covering.entry(terms.underlying_id).or_default();
                *taken = taken.plus(terms.shares_of(row.qty.abs())?)?;
            }
        }
        Ok(Self(covering))
    }

    /// How many shares of a holding cover calls, and how many are free of that and of open orders.
    ///
    /// # Errors
    /// A quantity is beyond its bound.
    pub(super) fn split(&self, row: &PositionRow) -> Result<(Quantity, Quantity), AmountError> {
        let available = row.qty_available();
        let taken = self.0.get(&row.instrument_id).copied().unwrap_or_default();
        if taken.is_zero() || !row.qty.is_positive() {
            return Ok((Quantity::ZERO, available));
        }
        Ok((taken.min(row.qty), available.minus(taken)?.max(Quantity::ZERO)))
    }
}

/// How an account is backed.
#[derive(Clone, Debug, Default)]
pub(super) struct Backing {
    /// What a cash account has set aside for its short puts.
    pub(super) collateral: Money,
    pub(super) initial: Option<Value>,
    pub(super) maintenance: Option<Value>,
    /// The cost of stock that it may still open.
    pub(super) buying_power: Option<Value>,
    /// What it may still pay for options, which have no loan value.
    pub(super) options_buying_power: Option<Value>,
    /// What cash and shares of a margin account are worth: options back nothing.
    pub(super) margin_equity: Option<Value>,
    pub(super) flags: Vec<&'static str>,
}

impl Backing {
    /// Of an account with this equity, as far as it is known, and these holdings.
    ///
    /// # Errors
    /// A figure cannot be held.
    pub(super) fn of(
        row: &AccountRow,
        equity: Option<Value>,
        backed: &Backed,
    ) -> Result<Self, AmountError> {
        if row.kind == AccountKind::Cash {
            let free = row.cash.minus(row.reserved)?.minus(backed.collateral)?;
            return Ok(Self {
                collateral: backed.collateral,
                initial: Some(Value::default()),
                maintenance: Some(Value::default()),
                buying_power: Some(free.into()),
                options_buying_power: Some(free.into()),
                margin_equity: None,
                flags: row.cash.is_negative().then_some("deficit").into_iter().collect(),
            });
        }
        let standing = backed.marked.as_ref().and_then(|marked| {
            Standing::of(row.cash, NakedPuts::of_level(row.option_level), marked.clone()).ok()
        });
        let Some((equity, standing)) = equity.zip(standing) else {
            return Ok(Self::default());
        };
        let free = Value::from(standing.equity).minus(standing.initial)?.minus(row.reserved)?;
        let free = free.max(Value::default());
        let flags = [
            standing.is_called().then_some("margin_call"),
            equity.is_negative().then_some("deficit"),
        ];
        Ok(Self {
            collateral: Money::ZERO,
            initial: Some(standing.initial.into()),
            maintenance: Some(standing.maintenance.into()),
            buying_power: Some(free.plus(free)?),
            options_buying_power: Some(free),
            margin_equity: Some(standing.equity.into()),
            flags: flags.into_iter().flatten().collect(),
        })
    }
}
