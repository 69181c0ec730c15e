//! The risk of an account as it is: exposure, concentration, greeks, stress, value at risk, and how it did.
//!
//! What cannot be told is absent and named in `missing` with the reason and the counts; nothing stands in for data. The
//! account is read in one snapshot, which is given back before anything is computed; a caller has one turn at all of it. Formulas: `docs/risk.md`.

use aggregates::id::AccountId;
use aggregates::market::MarketTime;
use aggregates::money::Money;
use chrono::Days;
use projections::Group;
use projections::query::{self, Reach};
use schemars::JsonSchema;
use serde::Serialize;

use super::figures::{ConcentrationAnswer, ExposureAnswer};
use super::missing::MissingAnswer;
use super::outlook::{About, HistoryRiskAnswer, StressAnswer, ValueAtRiskAnswer};
use super::performance::{PerformanceAnswer, Returns};
use super::scenarios::RiskRequest;
use crate::market::calendar::{Hours, new_york_date};
use crate::service::history::{Now, beginning, timeline, unmarked};
use crate::service::portfolio::Totals;
use crate::service::{AccountGreeksAnswer, Caller, Fresh, Service, ServiceError, Value};

/// How far back the account's closes are looked at, in calendar days.
const LOOKED_BACK: Days = Days::new(366);
/// Trading days of a year on the exchange, and of a market that never closes.
const YEAR: u32 = 252;
const WHOLE_YEAR: u32 = 365;
/// What is told as a part of the equity.
const PARTS_OF_EQUITY: [&str; 7] = [
    "exposure.leverage",
    "exposure.net_rate",
    "stress.equity_change_rate",
    "value_at_risk.value_at_risk_rate",
    "value_at_risk.expected_shortfall_rate",
    "history.volatility",
    "history.beta",
];

/// The risk of an account. Amounts are dollars; what cannot be told is `null`, and `missing` says why.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "PortfolioRisk")]
pub struct PortfolioRiskAnswer {
    /// Whose.
    pub account_id: AccountId,
    /// The balance.
    pub cash: Money,
    /// Cash and what the holdings are worth.
    pub equity: Option<Value>,
    /// What it has in the market.
    pub exposure: Option<ExposureAnswer>,
    /// How much of that is in one place.
    pub concentration: Option<ConcentrationAnswer>,
    /// The greeks of all that it holds.
    pub greeks: AccountGreeksAnswer,
    /// What it would gain if the market moved at once: every underlying by the one part, every implied volatility by the
    /// other.
    pub stress: Option<Vec<StressAnswer>>,
    /// What may be lost.
    pub value_at_risk: Option<ValueAtRiskAnswer>,
    /// What the present holdings would have done on the days that were.
    pub history: Option<HistoryRiskAnswer>,
    /// How the account did.
    pub performance: PerformanceAnswer,
    /// What is absent, and why.
    pub missing: Vec<MissingAnswer>,
    /// Trading days of a year, by which yearly figures are.
    pub days_a_year: u32,
    /// The market's source: where daily bars come from.
    pub source: &'static str,
    /// The market clock.
    pub market_time: MarketTime,
    /// The last event of the log that this contains.
    pub position: u64,
}

impl Service {
    /// The risk of an account.
    ///
    /// # Errors
    /// There is no such account, the confidence is none, or the market has no time yet.
    pub async fn portfolio_risk(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: RiskRequest,
        fresh: Fresh,
    ) -> Result<PortfolioRiskAnswer, ServiceError> {
        caller.on(account_id)?;
        if let Some(fault) = request.fault() {
            return Err(ServiceError::Invalid(vec![fault]));
        }
        let turn = self.revaluing.take(caller.actor).await?;
        let groups = [Group::Trading, Group::Books, Group::Market];
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &groups, fresh).await?;
        let row = query::account(snapshot.connection(), account_id).await?;
        let row = snapshot.found(row, ServiceError::no_account())?;
        let mut held = query::holdings(snapshot.connection(), &[account_id]).await?;
        let held = held.remove(&account_id).unwrap_or_default();
        let market_time = self.market_time().ok_or_else(|| self.no_clock())?;
        let begun = beginning(&mut snapshot, &row).await?;
        let now = Now { account: &row, begun, held: &held };
        let since = new_york_date(market_time).checked_sub_days(LOOKED_BACK);
        let reach = since.map_or(Reach::All, Reach::LaterThan);
        let timeline = timeline(&mut snapshot, now, reach).await?;
        let returns = Returns::of(&timeline)?;
        let unmarked = unmarked(&mut snapshot, &timeline).await?;
        let position = snapshot.position;
        drop(snapshot);

        let year = match self.parts.calendar.hours() {
            Hours::Nyse => YEAR,
            Hours::Always => WHOLE_YEAR,
        };
        let (performance, mut missing) =
            returns.answer(self.risk_free(), f64::from(year), &unmarked);
        let mut totals = Totals::default();
        let mut marked = Vec::with_capacity(held.len());
        for row in &held {
            let valued = self.valued(row)?;
            totals.add(row, valued.as_ref())?;
            marked.extend(valued.map(|valued| (row, valued)));
        }
        let equity = match totals.unmarked.is_empty() {
            true => Some(totals.long.plus(totals.short)?.plus(row.cash)?),
            false => None,
        };
        let exposure = equity.map(|equity| ExposureAnswer::of(&totals, equity)).transpose()?;
        let concentration = match equity {
            Some(_) => ConcentrationAnswer::of(&marked)?,
            None => None,
        };
        if equity.is_none() {
            let why = MissingAnswer::no_price(totals.unmarked);
            missing.push(why.told(&["equity", "exposure", "concentration"]));
        } else if concentration.is_none() {
            missing.push(MissingAnswer::nothing_held().told(&["concentration"]));
        }

        let worth = equity.filter(|equity| *equity > Value::default());
        if equity.is_some() && worth.is_none() {
            missing.push(MissingAnswer::no_equity().told(&PARTS_OF_EQUITY));
        }
        let about = About { worth, year: f64::from(year), now: market_time };
        let outlook = self.outlook(&held, &request, &about, &turn).await?;
        missing.extend(outlook.missing);
        Ok(PortfolioRiskAnswer {
            account_id,
            cash: row.cash,
            equity,
            exposure,
            concentration,
            greeks: outlook.greeks,
            stress: outlook.stress,
            value_at_risk: outlook.value_at_risk,
            history: outlook.history,
            performance,
            missing,
            days_a_year: year,
            source: self.parts.archive.source(),
            market_time,
            position,
        })
    }
}
