//! Options as everyone reads them: contracts, chains, what a model says of one, and what a chain says as a whole.
//!
//! Prices, open interest and rates come from the engine's board. What nobody has told is absent and named in `missing`; no
//! figure stands in for it. A model's figures are estimates in floating point, written as text of six digits; they come with what they
//! were made from: prices with source and age, rates, model, style. Nothing here moves money.
//!
//! What an account holds is valued in the same way, option by option, and added up by what it is on.
//!
//! Costs: a row of a chain values its option some dozen times, up to a millisecond where exercising it early may be worth
//! it, so chains are short pages, and all of it is computed off the threads that serve requests.

mod analysis;
mod chains;
mod holdings;
mod sums;
mod valuing;

use std::sync::Arc;

use aggregates::instrument::{
    Contract, ContractError, ExerciseStyle, MULTIPLIER, OptionTerms, Right, Settlement,
};
use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

pub use analysis::ChainAnalysis;
use chains::Row;
pub use chains::{
    CHAIN_MAX, ChainAnswer, ChainRequest, ContractsAnswer, ExpirationsAnswer, StrikesAnswer,
};
pub use holdings::AccountGreeksAnswer;
pub(in crate::service) use holdings::OnUnderlying;
pub use sums::HoldingGreeksAnswer;
pub use valuing::{Assumed, RateAnswer};
use valuing::{BasisAnswer, NoVolatilityAnswer, ValuationAnswer};

use super::{LastPrice, StandingQuote};
use crate::engine::core::Listed;
use crate::market::calendar::options_expire_at;
use crate::service::{Fault, Service, ServiceError};

/// Digits of what a model says.
const DIGITS: u32 = 6;

/// Call and put by their words.
pub const RIGHTS: [(&str, Right); 2] = [("call", Right::Call), ("put", Right::Put)];

/// An option contract.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionContract")]
pub struct ContractAnswer {
    /// Its OCC symbol.
    pub symbol: String,
    /// What it is on.
    pub underlying: String,
    /// The last day on which it can be exercised.
    pub expiration_date: NaiveDate,
    /// When it expires: the close of that day's session.
    pub expires_at: MarketTime,
    /// Dollars a share at which it is exercised.
    pub strike_price: Price,
    /// `call` or `put`.
    #[serde(rename = "type")]
    pub right: Right,
    /// When it may be exercised; absent if the market has not said.
    pub style: Option<ExerciseStyle>,
    /// What its exercise delivers; absent if the market has not said.
    pub settlement: Option<Settlement>,
    /// Shares of a contract.
    pub multiplier: u32,
}

/// How many contracts are open.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OpenInterest")]
pub struct InterestAnswer {
    /// Contracts open.
    pub value: Quantity,
    /// Contracts traded in the session of that time, where the source says.
    pub volume: Option<Quantity>,
    /// When, by the market clock.
    pub at: MarketTime,
    /// Seconds since then, by the market clock.
    pub age_seconds: i64,
    /// Where it came from.
    pub source: String,
}

/// What the market and a model say of one option.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionMarket")]
pub struct OptionAnswer {
    /// What it is.
    #[serde(flatten)]
    pub contract: ContractAnswer,
    /// Nothing fills or triggers.
    pub halted: bool,
    /// The standing quote, in dollars a share and contracts.
    pub quote: Option<StandingQuote>,
    /// The latest price of a trade.
    pub last: Option<LastPrice>,
    /// How many contracts are open.
    pub open_interest: Option<InterestAnswer>,
    /// What a model says.
    pub valuation: ValuationAnswer,
    /// The market clock.
    pub market_time: MarketTime,
}

/// The greeks of one option.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionGreeks")]
pub struct OptionGreeksAnswer {
    /// What it is.
    #[serde(flatten)]
    pub contract: ContractAnswer,
    /// What a model says.
    #[serde(flatten)]
    pub valuation: ValuationAnswer,
    /// The market clock.
    pub market_time: MarketTime,
}

impl Service {
    /// What the market and a model say of one option.
    ///
    /// # Errors
    /// The symbol is no OCC symbol, no line of the market has named it, or the market has no time yet.
    pub async fn option(
        &self,
        symbol: &str,
        assumed: Assumed,
    ) -> Result<OptionAnswer, ServiceError> {
        let row = self.listed_option(symbol)?;
        let (glance, listed) = &row;
        let (assumed, now) = (assumed.checked()?, self.now()?);
        let last = glance.last.as_ref().map(|last| LastPrice {
            price: last.price,
            at: last.at,
            source: last.source.clone(),
        });
        Ok(OptionAnswer {
            contract: contract_answer(&glance.symbol, listed),
            halted: glance.halted,
            quote: super::standing(glance),
            last,
            open_interest: interest_answer(listed, now),
            valuation: self.valuation(row.clone(), assumed, now).await?,
            market_time: now,
        })
    }

    /// The greeks of one option.
    ///
    /// # Errors
    /// Those of [`Self::option`].
    pub async fn option_greeks(
        &self,
        symbol: &str,
        assumed: Assumed,
    ) -> Result<OptionGreeksAnswer, ServiceError> {
        let row = self.listed_option(symbol)?;
        let (assumed, now) = (assumed.checked()?, self.now()?);
        Ok(OptionGreeksAnswer {
            contract: contract_answer(&row.0.symbol, &row.1),
            valuation: self.valuation(row, assumed, now).await?,
            market_time: now,
        })
    }

    /// What money earns without risk, as the whole market was told.
    pub(in crate::service) fn risk_free(&self) -> Option<(f64, RateAnswer)> {
        valuing::rate(None, self.parts.engine.board().rates("").risk_free)
    }

    /// The symbol of a contract by its terms; the root is the underlying's ticker without punctuation.
    ///
    /// # Errors
    /// No symbol can say these terms.
    pub fn option_symbol(
        &self,
        underlying: &str,
        expiration: NaiveDate,
        right: Right,
        strike: Price,
    ) -> Result<String, ServiceError> {
        let root: String = underlying.chars().filter(char::is_ascii_alphanumeric).collect();
        let contract = Contract::new(&root, expiration, right, strike);
        contract.map(|contract| contract.to_string()).map_err(|error| no_contract(&error))
    }

    /// An option that a line of the market has named, in either spelling.
    fn listed_option(&self, symbol: &str) -> Result<Row, ServiceError> {
        let contract: Contract = symbol.parse().map_err(|error| no_contract(&error))?;
        let glance = self.parts.engine.board().glance(&contract.to_string());
        let listed = glance.and_then(|glance| Some((Arc::clone(&glance), glance.option.clone()?)));
        listed.ok_or_else(|| ServiceError::Unlisted(self.nearest(&contract)))
    }
}

fn no_contract(error: &ContractError) -> ServiceError {
    ServiceError::Invalid(vec![Fault::new("option_symbol", "invalid_value", error.to_string())])
}

impl ContractAnswer {
    /// The contract of an order or of a holding.
    pub(in crate::service) fn of(symbol: &str, terms: &OptionTerms) -> Self {
        Self {
            symbol: symbol.to_owned(),
            underlying: terms.underlying.clone(),
            expiration_date: terms.expiration,
            expires_at: options_expire_at(terms.expiration),
            strike_price: terms.strike,
            right: terms.right,
            style: Some(terms.style),
            settlement: Some(terms.settlement),
            multiplier: MULTIPLIER,
        }
    }
}

fn contract_answer(symbol: &str, listed: &Listed) -> ContractAnswer {
    let contract = &listed.contract;
    ContractAnswer {
        symbol: symbol.to_owned(),
        underlying: listed.underlying.clone(),
        expiration_date: contract.expiration(),
        expires_at: options_expire_at(contract.expiration()),
        strike_price: contract.strike(),
        right: contract.right(),
        style: listed.style,
        settlement: listed.settlement,
        multiplier: MULTIPLIER,
    }
}

fn interest_answer(listed: &Listed, now: MarketTime) -> Option<InterestAnswer> {
    let interest = listed.interest.as_ref()?;
    Some(InterestAnswer {
        value: interest.value,
        volume: interest.volume,
        at: interest.at,
        age_seconds: age(interest.at, now),
        source: interest.source.clone(),
    })
}

/// Seconds since an instant, by the market clock.
fn age(at: MarketTime, now: MarketTime) -> i64 {
    now.signed_duration_since(at).num_seconds().max(0)
}

/// Computes off the threads that serve requests.
pub(in crate::service) async fn computed<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    let done = tokio::task::spawn_blocking(compute).await;
    done.map_err(|panic| ServiceError::Defect(panic.to_string()))
}

/// What a model says, as text of six digits; absent where it is no number.
pub(in crate::service) fn figure(number: f64) -> Option<String> {
    let decimal = Decimal::from_f64_retain(number)?.round_sf(DIGITS)?;
    Some(decimal.normalize().to_string())
}
