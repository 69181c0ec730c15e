//! What an account holds, by what it is on: greeks in dollars, which add, and what can be revalued.
//!
//! Shares have a delta of 1. Prices are those that options are valued by: the middle of the standing quote, else the last.
//! What cannot be valued leaves the sums that need it absent, and is named.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use std::collections::BTreeMap;
use std::sync::Arc;

use projections::positions::PositionRow;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;

use super::chains::Row;
use super::sums::{MissingGreeks, Sums};
use super::valuing::{BasisAnswer, Setting, dollars};
use super::{Assumed, HoldingGreeksAnswer, computed};
use crate::analysis::risk::stake::{Optioned, Stake};
use crate::service::{Service, ServiceError, Value};

/// Percents of 1.
const HUNDRED: f64 = 100.0;

/// The greeks of all that an account holds, in dollars, so that they add.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "AccountGreeks")]
pub struct AccountGreeksAnswer {
    /// Dollars of shares that would move as it does: delta times the underlying's price.
    pub dollar_delta: Option<Value>,
    /// Dollars of shares that are added to it when every underlying rises by 1 %: gamma times the square of the underlying's
    /// price, over 100.
    pub dollar_gamma: Option<Value>,
    /// Dollars as a calendar day passes.
    pub theta: Option<Value>,
    /// Dollars for a point of volatility: 0.20 to 0.21.
    pub vega: Option<Value>,
    /// Dollars for a percent of the rate: 0.04 to 0.05.
    pub rho: Option<Value>,
    /// The same by underlying.
    pub underlyings: Vec<UnderlyingGreeksAnswer>,
    /// What cannot be valued, so that no sum is told.
    pub missing: Vec<MissingGreeks>,
}

/// The greeks of what an account holds on one underlying: options and shares.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "UnderlyingGreeks")]
pub struct UnderlyingGreeksAnswer {
    /// The ticker of the underlying.
    pub underlying_symbol: String,
    /// Its price.
    pub underlying_price: Option<BasisAnswer>,
    /// Delta times that price.
    pub dollar_delta: Option<Value>,
    /// Gamma times the square of that price, over 100.
    pub dollar_gamma: Option<Value>,
    /// The greeks of all its shares together.
    #[serde(flatten)]
    pub greeks: HoldingGreeksAnswer,
}

/// What an account holds on one underlying.
#[derive(Clone, Debug)]
pub(in crate::service) struct OnUnderlying {
    pub(in crate::service) greeks: UnderlyingGreeksAnswer,
    /// Dollar delta, dollar gamma, theta, vega and rho.
    dollars: Option<[f64; 5]>,
    /// What can be revalued; absent when something of it cannot.
    pub(in crate::service) stake: Option<Stake>,
}

/// Holdings on one underlying before they are valued.
struct Group {
    setting: Setting,
    shares: f64,
    /// Each with the shares that it is on, and as the board has it.
    options: Vec<(String, f64, Option<Row>)>,
}

impl Service {
    /// What these holdings of an account are, by what they are on. Computed at once where no options are among them.
    ///
    /// # Errors
    /// The market has no time yet.
    pub(in crate::service) async fn by_underlying(
        &self,
        held: &[PositionRow],
    ) -> Result<Vec<OnUnderlying>, ServiceError> {
        let now = self.now()?;
        let board = self.parts.engine.board();
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for row in held {
            let on = row.contract.as_ref().map_or(&row.symbol, |terms| &terms.underlying);
            let group = groups.entry(on.clone()).or_insert_with(|| Group {
                setting: self.setting(on, Assumed::default(), now),
                shares: 0.0,
                options: Vec::new(),
            });
            let shares = row.shares()?.decimal().to_f64().unwrap_or(f64::NAN);
            if row.contract.is_none() {
                group.shares += shares;
                continue;
            }
            let glance = board.glance(&row.symbol);
            let listed =
                glance.and_then(|glance| Some((Arc::clone(&glance), glance.option.clone()?)));
            group.options.push((row.symbol.clone(), shares, listed));
        }
        let with_options = groups.values().any(|group| !group.options.is_empty());
        let valued = move || groups.into_iter().map(|(on, group)| group.valued(on)).collect();
        if with_options { computed(valued).await } else { Ok(valued()) }
    }
}

impl Group {
    fn valued(self, underlying: String) -> OnUnderlying {
        let Self { setting, shares, options } = self;
        let spot = setting.underlying.as_ref().map(|it| dollars(it.price));
        let mut sums = Sums::default();
        sums.add_shares(shares);
        let mut known = Some(Vec::with_capacity(options.len()));
        for (symbol, shares, listed) in options {
            let priced = match &listed {
                Some((glance, listed)) => setting.priced(glance, listed),
                None => Err(vec!["option_price"]),
            };
            sums.add_option(&symbol, shares, priced.as_ref());
            known = known.zip(priced.ok()).map(|(mut known, priced)| {
                known.push(Optioned::new(priced.claim, priced.by, priced.volatility, shares));
                known
            });
        }
        let stake = spot.zip(known).map(|(spot, options)| Stake { spot, shares, options });
        let in_dollars = stake.as_ref().map(|Stake { spot, .. }| {
            let [delta, gamma, theta, vega, rho] = sums.of;
            [delta * spot, gamma * spot * spot / HUNDRED, theta, vega, rho]
        });
        let told = in_dollars.map(|all| all.map(Value::estimated)).unwrap_or_default();
        let mut greeks = sums.answer();
        if spot.is_none() && greeks.missing.is_empty() {
            let why = vec!["underlying_price"];
            greeks.missing.push(MissingGreeks { symbol: underlying.clone(), why });
        }
        let greeks = UnderlyingGreeksAnswer {
            underlying_symbol: underlying,
            underlying_price: setting.underlying,
            dollar_delta: told[0],
            dollar_gamma: told[1],
            greeks,
        };
        OnUnderlying { greeks, dollars: in_dollars, stake }
    }
}

impl AccountGreeksAnswer {
    /// Those of all that is held.
    pub(in crate::service) fn of(held: &[OnUnderlying]) -> Self {
        let missing = held.iter().flat_map(|it| it.greeks.greeks.missing.iter().cloned()).collect();
        let all = held.iter().try_fold([0.0; 5], |sums: [f64; 5], it| {
            let mut each = it.dollars?;
            each.iter_mut().zip(sums).for_each(|(each, sum)| *each += sum);
            Some(each)
        });
        let [dollar_delta, dollar_gamma, theta, vega, rho] =
            all.map(|all| all.map(Value::estimated)).unwrap_or_default();
        let underlyings = held.iter().map(|it| it.greeks.clone()).collect();
        Self { dollar_delta, dollar_gamma, theta, vega, rho, underlyings, missing }
    }
}
