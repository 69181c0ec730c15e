//! The settings of a ledger that decisions depend on, as one plain value.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::money::{AmountError, Money, Price, Quantity};
use crate::order::OrderSpec;

/// What every handler may look at beside its aggregate and its command: `Services` of all aggregates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// A market buy reserves the ask raised by this rate: 0.05 is 5 %.
    #[serde(serialize_with = "plain")]
    pub collar: Decimal,
    /// What fills cost. Nothing, by default.
    pub fees: FeeSchedule,
}

fn plain<S: Serializer>(rate: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(rate)
}

impl Default for Rules {
    fn default() -> Self {
        Self { collar: Decimal::new(5, 2), fees: FeeSchedule::default() }
    }
}

/// A declared schedule of fees: each fill is charged `per_fill + per_share * qty`, rounded up to the cent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeeSchedule {
    /// Charged once a fill.
    pub per_fill: Money,
    /// Charged for each share.
    pub per_share: Price,
    /// Charged for each option contract.
    #[serde(default)]
    pub per_contract: Price,
}

impl FeeSchedule {
    /// The fee of one fill of `qty` of an order: shares, contracts, or packages of several legs.
    ///
    /// # Errors
    /// Beyond the bound of money.
    pub fn of(&self, spec: &OrderSpec, qty: Quantity) -> Result<Money, AmountError> {
        if !spec.is_of_options() {
            return self.fee(qty);
        }
        spec.package().iter().try_fold(self.per_fill, |fee, leg| {
            let each = if leg.contract.is_some() { self.per_contract } else { self.per_share };
            fee.plus(Money::at_most(leg.qty_of(qty)?, each)?)
        })
    }

    /// The fee of one fill of `qty` shares.
    pub fn fee(&self, qty: Quantity) -> Result<Money, AmountError> {
        if self.per_share.is_zero() {
            return Ok(self.per_fill);
        }
        self.per_fill.plus(Money::at_most(qty, self.per_share)?)
    }
}
