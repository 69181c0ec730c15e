//! The greeks of several holdings together: shares count one for one, options by the shares that they are on.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregates::money::Quantity;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;

use super::valuing::{Priced, Setting};
use super::{Assumed, computed, figure};
use crate::analysis::options::Greeks;
use crate::engine::core::{Glance, Listed};
use crate::service::{Service, ServiceError};

/// The greeks of holdings in one underlying together, of all their shares: contracts times the shares that each is on, and shares.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "HoldingGreeks")]
pub struct HoldingGreeksAnswer {
    /// Dollars for a dollar of the underlying.
    pub delta: Option<String>,
    /// Delta for a dollar of the underlying.
    pub gamma: Option<String>,
    /// Dollars as a calendar day passes.
    pub theta: Option<String>,
    /// Dollars for a point of volatility: 0.20 to 0.21.
    pub vega: Option<String>,
    /// Dollars for a percent of the rate: 0.04 to 0.05.
    pub rho: Option<String>,
    /// What cannot be valued, so that no sum is told.
    pub missing: Vec<MissingGreeks>,
}

/// A holding that cannot be valued.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "MissingGreeks")]
pub struct MissingGreeks {
    /// Its OCC symbol, or the ticker of shares.
    pub symbol: String,
    /// What the market has not told: `option_price`, `underlying_price`, `risk_free_rate`, `dividend_yield`; or why its
    /// price implies no volatility.
    pub why: Vec<&'static str>,
}

/// One of the holdings: an option as the board has it, or shares.
enum Held {
    Option(Arc<Glance>, Box<Listed>, Arc<Setting>),
    Shares,
}

impl Service {
    /// The greeks of these holdings together: a symbol, and how many of it; below zero when short.
    ///
    /// # Errors
    /// The market has no time yet.
    pub(in crate::service) async fn greeks_of(
        &self,
        holdings: impl IntoIterator<Item = (String, Quantity)>,
    ) -> Result<HoldingGreeksAnswer, ServiceError> {
        let now = self.now()?;
        let board = self.parts.engine.board();
        let mut settings: BTreeMap<String, Arc<Setting>> = BTreeMap::new();
        let mut held = Vec::new();
        for (symbol, qty) in holdings {
            let glance = board.glance(&symbol);
            let option = glance.and_then(|glance| Some((glance.option.clone()?, glance)));
            let what = match option {
                Some((listed, glance)) => {
                    let setting = settings.entry(listed.underlying.clone()).or_insert_with(|| {
                        Arc::new(self.setting(&listed.underlying, Assumed::default(), now))
                    });
                    Held::Option(glance, Box::new(listed), Arc::clone(setting))
                }
                None => Held::Shares,
            };
            held.push((symbol, qty, what));
        }
        computed(move || sum(&held)).await
    }
}

fn sum(held: &[(String, Quantity, Held)]) -> HoldingGreeksAnswer {
    let mut sums = Sums::default();
    for (symbol, qty, what) in held {
        let qty = qty.decimal().to_f64().unwrap_or(f64::NAN);
        match what {
            Held::Shares => sums.add_shares(qty),
            Held::Option(glance, listed, setting) => {
                let each = listed.terms.shares.decimal().to_f64().unwrap_or(f64::NAN);
                sums.add_option(symbol, qty * each, setting.priced(glance, listed).as_ref());
            }
        }
    }
    sums.answer()
}

/// Greeks of holdings in one underlying as they are added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// Delta, gamma, theta, vega, rho of those that can be valued.
    pub(super) of: [f64; 5],
    missing: Vec<MissingGreeks>,
}

impl Sums {
    pub(super) fn add_shares(&mut self, shares: f64) {
        self.of[0] += shares;
    }

    /// An option on so many shares, or why it cannot be valued.
    pub(super) fn add_option(
        &mut self,
        symbol: &str,
        shares: f64,
        priced: Result<&Priced, &Vec<&'static str>>,
    ) {
        match priced.map(Priced::greeks) {
            Ok(Greeks { delta, gamma, theta, vega, rho, .. }) => {
                for (sum, each) in self.of.iter_mut().zip([delta, gamma, theta, vega, rho]) {
                    *sum += shares * each;
                }
            }
            Err(why) => {
                self.missing.push(MissingGreeks { symbol: symbol.to_owned(), why: why.clone() });
            }
        }
    }

    pub(super) fn answer(self) -> HoldingGreeksAnswer {
        let Self { of, missing } = self;
        if !missing.is_empty() {
            return HoldingGreeksAnswer { missing, ..HoldingGreeksAnswer::default() };
        }
        let [delta, gamma, theta, vega, rho] = of.map(figure);
        HoldingGreeksAnswer { delta, gamma, theta, vega, rho, missing }
    }
}
