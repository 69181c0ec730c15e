//! The legs of an mleg order as its row has them: what one package has of each, and how far each has come.
//!
//! Legs fill together, so that the filled quantity of each is that of the order times its ratio.

use aggregates::id::InstrumentId;
use aggregates::instrument::{MULTIPLIER, OptionTerms};
use aggregates::money::{AmountError, Money, Price, Quantity, Residue};
use aggregates::order::{Leg, LegFill, OrderClass, PositionIntent, Side};
use aggregates::stream::Impossible;
use serde::{Deserialize, Serialize};

use crate::fold::inexact;

/// One leg of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderLeg {
    /// What is traded.
    pub instrument_id: InstrumentId,
    /// Its symbol when the order was placed.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// How many of it one package has: contracts of an option, shares of a stock.
    pub ratio_qty: u32,
    /// Whether it opens a position or closes one; absent of an order that was refused before that was known.
    pub position_intent: Option<PositionIntent>,
    /// The contract; absent of a stock.
    pub contract: Option<OptionTerms>,
    /// Contracts of an option, or shares of a stock, that have filled.
    pub filled_qty: Quantity,
    /// What they cost or brought, before fees.
    pub filled_amount: Money,
    /// What rounding each fill of it to the cent left off.
    pub filled_residue: Residue,
}

impl OrderLeg {
    /// A leg of which nothing has filled.
    pub(crate) fn begin(leg: &Leg) -> Self {
        Self {
            instrument_id: leg.instrument_id,
            symbol: leg.symbol.clone(),
            side: leg.side,
            ratio_qty: leg.ratio_qty,
            position_intent: leg.position_intent,
            contract: leg.contract.clone(),
            filled_qty: Quantity::ZERO,
            filled_amount: Money::ZERO,
            filled_residue: Residue::ZERO,
        }
    }

    /// The average price of what has filled of it, to 6 decimals: dollars a share.
    pub fn filled_avg_price(&self) -> Option<Price> {
        let shares = self.shares_of(self.filled_qty).ok()?;
        Price::of_fills(self.filled_amount, self.filled_residue, shares)
    }

    fn shares_of(&self, qty: Quantity) -> Result<Quantity, AmountError> {
        self.contract.as_ref().map_or(Ok(qty), |terms| terms.shares_of(qty))
    }

    fn fill(&mut self, fill: &LegFill) -> Result<(), AmountError> {
        let residue = Residue::of_fill(self.shares_of(fill.qty)?, fill.price, fill.amount)?;
        self.filled_qty = self.filled_qty.plus(fill.qty)?;
        self.filled_amount = self.filled_amount.plus(fill.amount)?;
        self.filled_residue = self.filled_residue.plus(residue)?;
        Ok(())
    }
}

/// Adds the fill of each leg to it.
///
/// # Errors
/// The fill is of other legs, or a sum is beyond its bound.
pub(crate) fn fill_legs(legs: &mut [OrderLeg], fills: &[LegFill]) -> Result<(), Impossible> {
    let same = |(leg, fill): (&OrderLeg, &LegFill)| leg.instrument_id == fill.instrument_id;
    if legs.len() != fills.len() || !legs.iter().zip(fills).all(same) {
        return Err(Impossible("a fill of other legs than those of its order".into()));
    }
    legs.iter_mut().zip(fills).try_for_each(|(leg, fill)| leg.fill(fill)).map_err(inexact)
}

/// The shares that the price of so many of an order of this class is paid for: a contract, and a package of several legs,
/// is on many.
///
/// # Errors
/// More than the largest quantity.
pub(crate) fn priced(
    (class, contract): (OrderClass, Option<&OptionTerms>),
    qty: Quantity,
) -> Result<Quantity, AmountError> {
    match contract {
        Some(terms) => terms.shares_of(qty),
        None if class == OrderClass::Mleg => qty.times(Quantity::new(MULTIPLIER.into())?),
        None => Ok(qty),
    }
}
