//! How much an account has in the market, and how much of it in one place.

use std::collections::BTreeMap;

use projections::positions::PositionRow;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

use crate::service::portfolio::Totals;
use crate::service::positions::{Valued, rate, ratio};
use crate::service::{ServiceError, Value};

/// What an account has in the market, by what its holdings are worth. Rates are of the equity: 0.25 is 25 %.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Exposure")]
pub struct ExposureAnswer {
    /// What long holdings are worth.
    pub long: Value,
    /// What short holdings are worth, below zero.
    pub short: Value,
    /// What all are worth together, long and short ones alike.
    pub gross: Value,
    /// Long and short ones together.
    pub net: Value,
    /// `gross` as a rate of the equity; absent if that is not above zero.
    pub leverage: Option<String>,
    /// `net` as a rate of the equity.
    pub net_rate: Option<String>,
}

/// How much of what an account holds is in one underlying: options count to what they are on, long and short ones alike.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Concentration")]
pub struct ConcentrationAnswer {
    /// The Herfindahl-Hirschman index: the sum of the squares of the underlyings' parts of the gross exposure. 1 is all in
    /// one, 1/n is n alike.
    pub hhi: String,
    /// How many underlyings alike would have that index.
    pub effective_underlyings: String,
    /// How many there are.
    pub underlyings: usize,
    /// The one with the largest part.
    pub largest_symbol: String,
    /// That part: 0.25 is 25 %.
    pub largest_weight: String,
}

impl ExposureAnswer {
    /// Of sums in which every holding has a price.
    pub(super) fn of(totals: &Totals, equity: Value) -> Result<Self, ServiceError> {
        let (gross, net) = (totals.long.minus(totals.short)?, totals.long.plus(totals.short)?);
        let equity = Some(equity).filter(|equity| *equity > Value::default());
        Ok(Self {
            long: totals.long,
            short: totals.short,
            gross,
            net,
            leverage: equity.and_then(|equity| rate(gross, equity)),
            net_rate: equity.and_then(|equity| rate(net, equity)),
        })
    }
}

impl ConcentrationAnswer {
    /// Of holdings that all have a price; `None` if they are worth nothing.
    pub(super) fn of(held: &[(&PositionRow, Valued)]) -> Result<Option<Self>, ServiceError> {
        let mut values: BTreeMap<&str, Value> = BTreeMap::new();
        let mut gross = Value::default();
        for (row, valued) in held {
            let on = row.contract.as_ref().map_or(&row.symbol, |terms| &terms.underlying);
            let value = valued.value.abs();
            let sum = values.entry(on).or_default();
            (*sum, gross) = (sum.plus(value)?, gross.plus(value)?);
        }
        let part = |value: &Value| value.decimal().checked_div(gross.decimal());
        let weights: Option<Vec<(&str, Decimal)>> =
            values.iter().map(|(on, value)| Some((*on, part(value)?))).collect();
        Ok(weights.and_then(|weights| Self::of_weights(&weights)))
    }

    /// Of the underlyings' parts of the gross exposure.
    fn of_weights(weights: &[(&str, Decimal)]) -> Option<Self> {
        let hhi: Decimal = weights.iter().map(|(_, weight)| weight * weight).sum();
        let (symbol, largest) = weights.iter().max_by_key(|(_, weight)| *weight)?;
        Some(Self {
            hhi: ratio(hhi, Decimal::ONE)?,
            effective_underlyings: ratio(Decimal::ONE, hhi)?,
            underlyings: weights.len(),
            largest_symbol: (*symbol).to_owned(),
            largest_weight: ratio(*largest, Decimal::ONE)?,
        })
    }
}
