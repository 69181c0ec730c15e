//! Lists of the options on an underlying: contracts, chains with prices, expirations, strikes.

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregates::instrument::{Contract, Right};
use aggregates::market::MarketTime;
use aggregates::money::Price;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;

use super::valuing::{Implied, Setting};
use super::{
    Assumed, BasisAnswer, ContractAnswer, InterestAnswer, NoVolatilityAnswer, RateAnswer, computed,
    contract_answer, figure, interest_answer,
};
use crate::engine::core::{Glance, Listed};
use crate::market::calendar::{new_york_date, options_expire_at};
use crate::service::market::{StandingQuote, standing};
use crate::service::{Caller, Page, PageRequest, Service, ServiceError};

/// Rows of a chain at the most: each is valued.
pub const CHAIN_MAX: u64 = 100;

/// An option as the board has it.
pub(super) type Row = (Arc<Glance>, Listed);

/// Which options.
#[derive(Clone, Debug, Default)]
pub struct ChainRequest {
    /// On what.
    pub underlying: String,
    /// Those that expire on this day alone.
    pub expiration_date: Option<NaiveDate>,
    /// Calls or puts alone.
    pub right: Option<Right>,
    /// Those with this strike or a higher one.
    pub strike_price_gte: Option<Price>,
    /// Those with this strike or a lower one.
    pub strike_price_lte: Option<Price>,
}

/// One row of a chain.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ChainRow {
    /// What it is.
    #[serde(flatten)]
    pub contract: ContractAnswer,
    /// The standing quote, in dollars a share and contracts.
    pub quote: Option<StandingQuote>,
    /// What it is valued at: the middle of its quote, else its last price.
    pub price: Option<BasisAnswer>,
    /// How many contracts are open.
    pub open_interest: Option<InterestAnswer>,
    /// The volatility that its price implies: 0.25 is 25 % a year.
    pub implied_volatility: Option<String>,
    /// Why its price implies none.
    pub no_implied_volatility: Option<NoVolatilityAnswer>,
    /// Dollars for a dollar of the underlying, at that volatility.
    pub delta: Option<String>,
}

/// A page of a chain, by expiration, strike and type.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionChain")]
pub struct ChainAnswer {
    /// On what.
    pub underlying: String,
    /// Its price.
    pub underlying_price: Option<BasisAnswer>,
    /// What money earns without risk.
    pub risk_free_rate: Option<RateAnswer>,
    /// What holders of the underlying are paid.
    pub dividend_yield: Option<RateAnswer>,
    /// What the market has not told, so that no row has a volatility and a delta.
    pub missing: Vec<&'static str>,
    /// The market clock.
    pub market_time: MarketTime,
    /// The rows.
    #[serde(flatten)]
    pub page: Page<ChainRow>,
}

/// A page of contracts, by expiration, strike and type.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionContracts")]
pub struct ContractsAnswer {
    /// On what.
    pub underlying: String,
    /// The market clock.
    pub market_time: MarketTime,
    /// The contracts.
    #[serde(flatten)]
    pub page: Page<ContractAnswer>,
}

/// One expiration of an underlying's options.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionExpiration")]
pub struct ExpirationAnswer {
    /// The last day on which they can be exercised.
    pub expiration_date: NaiveDate,
    /// When they expire: the close of that day's session.
    pub expires_at: MarketTime,
    /// Calendar days until then, from today in New York.
    pub days: i64,
    /// Calls listed.
    pub calls: usize,
    /// Puts listed.
    pub puts: usize,
}

/// The expirations of an underlying's options, the next one first.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionExpirations")]
pub struct ExpirationsAnswer {
    /// On what.
    pub underlying: String,
    /// The market clock.
    pub market_time: MarketTime,
    /// The expirations.
    #[serde(flatten)]
    pub page: Page<ExpirationAnswer>,
}

/// One strike of an underlying's options.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionStrike")]
pub struct StrikeAnswer {
    /// Dollars a share.
    pub strike_price: Price,
    /// Calls listed.
    pub calls: usize,
    /// Puts listed.
    pub puts: usize,
}

/// The strikes of an underlying's options, the lowest first.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "OptionStrikes")]
pub struct StrikesAnswer {
    /// On what.
    pub underlying: String,
    /// The market clock.
    pub market_time: MarketTime,
    /// The strikes.
    #[serde(flatten)]
    pub page: Page<StrikeAnswer>,
}

impl ChainRequest {
    fn wants(&self, contract: &Contract) -> bool {
        let strike = contract.strike();
        self.expiration_date.is_none_or(|date| date == contract.expiration())
            && self.right.is_none_or(|right| right == contract.right())
            && self.strike_price_gte.is_none_or(|least| least <= strike)
            && self.strike_price_lte.is_none_or(|most| strike <= most)
    }

    /// What tells this list from others.
    fn list(&self, of: &str) -> String {
        let Self { underlying, expiration_date, right, strike_price_gte, strike_price_lte } = self;
        let right = right.map(Right::word);
        format!(
            "{of}/{underlying}/{expiration_date:?}/{right:?}/{strike_price_gte:?}/{strike_price_lte:?}"
        )
    }
}

impl Service {
    /// A page of contracts that have not expired, without prices.
    ///
    /// # Errors
    /// No line of the market has named the underlying, the market has no time yet, or a cursor of another list.
    pub async fn option_contracts(
        &self,
        caller: &Caller,
        request: &ChainRequest,
        page: &PageRequest,
    ) -> Result<ContractsAnswer, ServiceError> {
        let now = self.now()?;
        let list = request.list("contracts");
        let rows = self.rows_after(request, now, self.after(&list, page)?)?;
        let position = self.head(caller).await?;
        let seal = |(last, _): &Row| self.parts.cursors.seal(&list, &last.symbol);
        let answer = |(glance, listed): Row| contract_answer(&glance.symbol, &listed);
        Ok(ContractsAnswer {
            underlying: request.underlying.clone(),
            market_time: now,
            page: Page::cut(rows, page.size(), position, seal, answer),
        })
    }

    /// A page of a chain: contracts that have not expired, with prices and what they imply.
    ///
    /// # Errors
    /// Those of [`Self::option_contracts`].
    pub async fn option_chain(
        &self,
        caller: &Caller,
        request: &ChainRequest,
        assumed: Assumed,
        page: &PageRequest,
    ) -> Result<ChainAnswer, ServiceError> {
        let (assumed, now) = (assumed.checked()?, self.now()?);
        let list = request.list("chain");
        let rows = self.rows_after(request, now, self.after(&list, page)?)?;
        let position = self.head(caller).await?;
        let seal = |(last, _): &Row| self.parts.cursors.seal(&list, &last.symbol);
        let size = page.size().min(usize::try_from(CHAIN_MAX).unwrap_or(usize::MAX));
        let Page { items, next_cursor, position } =
            Page::cut(rows, size, position, seal, |row| row);
        let setting = self.setting(&request.underlying, assumed, now);
        let by = setting.clone();
        let items = computed(move || items.iter().map(|row| chain_row(&by, row)).collect()).await?;
        let missing = setting.missing();
        let Setting { underlying, risk_free, dividend_yield, .. } = setting;
        Ok(ChainAnswer {
            underlying: request.underlying.clone(),
            underlying_price: underlying,
            risk_free_rate: risk_free,
            dividend_yield,
            missing,
            market_time: now,
            page: Page { items, next_cursor, position },
        })
    }

    /// The expirations of an underlying's options, all on one page.
    ///
    /// # Errors
    /// No line of the market has named the underlying, or the market has no time yet.
    pub async fn option_expirations(
        &self,
        caller: &Caller,
        request: &ChainRequest,
    ) -> Result<ExpirationsAnswer, ServiceError> {
        let now = self.now()?;
        let counts = counts(&self.rows(request, now)?, Contract::expiration);
        let today = new_york_date(now);
        let items = counts.into_iter().map(|(date, [calls, puts])| ExpirationAnswer {
            expiration_date: date,
            expires_at: options_expire_at(date),
            days: date.signed_duration_since(today).num_days(),
            calls,
            puts,
        });
        let position = self.head(caller).await?;
        Ok(ExpirationsAnswer {
            underlying: request.underlying.clone(),
            market_time: now,
            page: Page { items: items.collect(), next_cursor: None, position },
        })
    }

    /// The strikes of an underlying's options, all on one page.
    ///
    /// # Errors
    /// No line of the market has named the underlying, or the market has no time yet.
    pub async fn option_strikes(
        &self,
        caller: &Caller,
        request: &ChainRequest,
    ) -> Result<StrikesAnswer, ServiceError> {
        let now = self.now()?;
        let counts = counts(&self.rows(request, now)?, Contract::strike);
        let position = self.head(caller).await?;
        let items = counts.into_iter().map(|(strike_price, [calls, puts])| StrikeAnswer {
            strike_price,
            calls,
            puts,
        });
        Ok(StrikesAnswer {
            underlying: request.underlying.clone(),
            market_time: now,
            page: Page { items: items.collect(), next_cursor: None, position },
        })
    }

    /// The options asked for that have not expired, by expiration, strike and type.
    pub(super) fn rows(
        &self,
        request: &ChainRequest,
        now: MarketTime,
    ) -> Result<Vec<Row>, ServiceError> {
        let board = self.parts.engine.board();
        let chain = board.chain(&request.underlying, new_york_date(now));
        if chain.is_empty() {
            self.is_listed(&request.underlying)?;
        }
        let rows = chain.into_iter().filter_map(|glance| {
            let listed = glance.option.clone()?;
            let open = options_expire_at(listed.contract.expiration()) > now;
            (open && request.wants(&listed.contract)).then_some((glance, listed))
        });
        Ok(rows.collect())
    }

    /// The same behind the option of this symbol.
    fn rows_after(
        &self,
        request: &ChainRequest,
        now: MarketTime,
        after: Option<String>,
    ) -> Result<Vec<Row>, ServiceError> {
        let mut rows = self.rows(request, now)?;
        if let Some(after) = after {
            let after: Contract = after.parse().map_err(|_| ServiceError::BadCursor)?;
            let place = |contract: &Contract| {
                let (date, right) = (contract.expiration(), contract.right());
                (date, contract.strike(), right, contract.root().to_owned())
            };
            let after = place(&after);
            rows.retain(|(_, listed)| place(&listed.contract) > after);
        }
        Ok(rows)
    }
}

/// How many calls and puts there are, by something that they have.
fn counts<T: Ord>(rows: &[Row], by: impl Fn(&Contract) -> T) -> BTreeMap<T, [usize; 2]> {
    let mut counts: BTreeMap<T, [usize; 2]> = BTreeMap::new();
    for (_, listed) in rows {
        let [calls, puts] = counts.entry(by(&listed.contract)).or_default();
        *match listed.contract.right() {
            Right::Call => calls,
            Right::Put => puts,
        } += 1;
    }
    counts
}

fn chain_row(setting: &Setting, (glance, listed): &Row) -> ChainRow {
    let Implied { price, claim, volatility } = setting.implied(glance, listed);
    let found = volatility.and_then(Result::ok);
    ChainRow {
        contract: contract_answer(&glance.symbol, listed),
        quote: standing(glance),
        price,
        open_interest: interest_answer(listed, setting.now),
        implied_volatility: found.and_then(figure),
        no_implied_volatility: volatility.and_then(Result::err).map(Into::into),
        delta: found.and_then(|volatility| setting.delta(&claim, volatility)),
    }
}
