//! Margin: what the holdings of an account are worth at given prices, and what has to back them.
//!
//! [`Requirement`] has the formulas of shares, which an account's [`Standing`] is the sum of;
//! [`options_requirement`] has those of the options on one underlying, and [`secured_requirement`] what a cash account
//! sets aside for the ones that it is short of. A holding without a price is an error that names it, or is the caller's to
//! refuse: unknown is never zero. Sources: FINRA Rule 4210, Regulation T and Cboe Rule 10.3, as `docs/rules.md` states
//! them.

mod cover;
mod naked;
mod naming;
mod naming_spreads;
mod options;
mod secured;
mod simplex;
mod stock;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::InstrumentId;
use crate::instrument::OptionTerms;
use crate::market::{MarketTime, Reference};
use crate::money::{AmountError, Money, Price, Quantity};

pub use naming::{Strategy, StrategyKind, StrategyLeg};
pub use options::{
    Cover, MOST_CONTRACTS, MOST_UNEVEN_CONTRACTS, NakedPuts, OptionHolding, OptionsRequirement,
    Underlying, best_cover, most_contracts, options_requirement,
};
pub use secured::{Secured, Uncovered, secured_requirement, secured_strategies};
pub use stock::{
    INITIAL_PERCENT, LONG_PERCENT, LOW_SHORT_PERCENT, Requirement, SHORT_PERCENT, bought_by,
    initial_of,
};

/// The prices that one instrument is valued at.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// What a share brings: the bid, else the last price.
    pub long: Reference,
    /// What a share costs that was sold short: the ask, else the last price.
    pub short: Reference,
}

/// The prices that a decision may stand on, by instrument.
pub type Marks = BTreeMap<InstrumentId, Mark>;

/// A holding at the price that it was valued at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Marked {
    /// Of what.
    pub instrument_id: InstrumentId,
    /// Shares; negative is short.
    pub qty: Quantity,
    /// The bid of a long holding, the ask of a short one, else the last price.
    pub price: Price,
    /// Where the price came from.
    pub source: String,
    /// Its market time.
    pub at: MarketTime,
    /// Of an option what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<OptionTerms>,
}

impl Marked {
    /// What it is worth: less than nothing of a short holding. An option is on many shares.
    ///
    /// # Errors
    /// Beyond the bound of money.
    pub fn value(&self) -> Result<Money, AmountError> {
        match &self.contract {
            Some(terms) => terms.value(self.qty, self.price),
            None => Money::of_fill(self.qty, self.price),
        }
    }
}

/// What the options among these holdings need, underlying by underlying.
fn options_of(holdings: &[Marked], naked_puts: NakedPuts) -> Result<Money, AmountError> {
    let mut books: BTreeMap<InstrumentId, Vec<OptionHolding>> = BTreeMap::new();
    for holding in holdings {
        let Some(terms) = &holding.contract else { continue };
        let Marked { qty, price, .. } = *holding;
        let contract = terms.contract().map_err(|_| AmountError::Inexact)?;
        books.entry(terms.underlying_id).or_default().push(OptionHolding { contract, qty, price });
    }
    books.retain(|_, options| options.iter().any(|option| option.qty.is_negative()));
    let mut sum = Money::ZERO;
    for (underlying_id, options) in books {
        let on = holdings.iter().find(|holding| holding.instrument_id == underlying_id);
        let Marked { qty, price, .. } = on.ok_or(AmountError::Inexact)?;
        let underlying = Underlying { price: *price, shares: *qty, broad_index: false };
        let needed = options_requirement(&underlying, &options, naked_puts)?;
        sum = sum.plus(needed.requirement)?;
    }
    Ok(sum)
}

/// How a margin account stood when a decision relied on it: all that is needed to compute it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Cash, and what the shares are worth: short ones less than nothing. Options back nothing.
    pub equity: Money,
    /// What backs the holdings when they are opened.
    pub initial: Money,
    /// What has to back the holdings.
    pub maintenance: Money,
    /// Short puts that nothing covers are secured by their strike: the account may not be naked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secured_puts: bool,
    /// The holdings, by instrument.
    pub holdings: Vec<Marked>,
}

impl Standing {
    /// The standing of an account with this cash and these holdings. Where it is short of options, what they are on is
    /// among them, if only for its price.
    ///
    /// # Errors
    /// A figure is beyond the bound of money, or the price of such an underlying is missing.
    pub fn of(
        cash: Money,
        naked_puts: NakedPuts,
        holdings: Vec<Marked>,
    ) -> Result<Self, AmountError> {
        let mut standing = Self {
            equity: cash,
            initial: Money::ZERO,
            maintenance: Money::ZERO,
            secured_puts: false,
            holdings,
        };
        let short = |holding: &Marked| holding.contract.is_some() && holding.qty.is_negative();
        standing.secured_puts =
            naked_puts == NakedPuts::Secured && standing.holdings.iter().any(short);
        for holding in standing.holdings.iter().filter(|holding| holding.contract.is_none()) {
            let Requirement { value, initial, maintenance } =
                Requirement::of(holding.qty, holding.price)?;
            standing.equity = standing.equity.plus(value)?;
            standing.initial = standing.initial.plus(initial)?;
            standing.maintenance = standing.maintenance.plus(maintenance)?;
        }
        let options = options_of(&standing.holdings, naked_puts)?;
        standing.initial = standing.initial.plus(options)?;
        standing.maintenance = standing.maintenance.plus(options)?;
        Ok(standing)
    }

    /// What all holdings are worth and the cash with it: options too, which back nothing.
    ///
    /// # Errors
    /// The sum is beyond the bound of money.
    pub fn worth(&self) -> Result<Money, AmountError> {
        let options = self.holdings.iter().filter(|holding| holding.contract.is_some());
        options.map(Marked::value).try_fold(self.equity, |sum, value| sum.plus(value?))
    }

    /// Equity beyond what backs the holdings and what open orders reserve; below zero when it does not reach.
    pub fn excess(&self, reserved: Money) -> Result<Money, AmountError> {
        self.equity.minus(self.initial)?.minus(reserved)
    }

    /// The cost of stock that the account may still open.
    pub fn buying_power(&self, reserved: Money) -> Result<Money, AmountError> {
        bought_by(self.excess(reserved)?)
    }

    /// Whether the equity is below what has to back the holdings: it may only reduce risk.
    pub fn is_called(&self) -> bool {
        self.equity < self.maintenance
    }
}
