//! Orders of agents, held against the limits of their tokens before they are placed.
//!
//! What an order may come to is what a buy reserves for its shares, and for a sell the
//! higher of its limit and the reference. An order that is not placed, or that had been placed before, gives back what it
//! took of the day.

use aggregates::money::{AmountError, Money};
use aggregates::order::{OrderSpec, Side, worst_cost};
use aggregates::trading::MarketView;
use aggregates::user::Denial;
use chrono::Utc;

use super::{Caller, Service, ServiceError};
use crate::identity::usage::{Asked, Taken, UsageError};
use crate::identity::{AgentToken, Denied};
use crate::market::calendar::new_york_date;

impl Service {
    /// Counts an order of an agent's; `None` where there is nothing to give back.
    pub(super) async fn count_order(
        &self,
        caller: &Caller,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<Option<Taken>, ServiceError> {
        let Some(token) = caller.limited() else { return Ok(None) };
        let asked = self.asked(token, spec, market)?;
        let taken = self.parts.usage.take(token, &asked).await;
        self.within(caller, taken).await
    }

    /// Holds an order of an agent's against its limits, and counts nothing.
    pub(super) async fn check_order(
        &self,
        caller: &Caller,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<(), ServiceError> {
        let Some(token) = caller.limited() else { return Ok(()) };
        let asked = self.asked(token, spec, market)?;
        let checked = self.parts.usage.check(token, &asked).await;
        self.within(caller, checked).await
    }

    /// Gives back what an order took that was not placed now.
    pub(super) async fn uncount_order(&self, taken: Option<Taken>) {
        let Some(taken) = taken else { return };
        if let Err(error) = self.parts.usage.give_back(taken).await {
            tracing::warn!(%error, "what an order took of a token's day could not be given back");
        }
    }

    async fn within<T>(
        &self,
        caller: &Caller,
        counted: Result<T, UsageError>,
    ) -> Result<T, ServiceError> {
        match counted {
            Ok(counted) => Ok(counted),
            Err(UsageError::Database(error)) => Err(error.into()),
            Err(UsageError::Limit(hit)) => {
                self.note_denial(caller, Denial::TokenLimit).await;
                Err(Denied::Limit(hit).into())
            }
        }
    }

    fn asked<'a>(
        &self,
        token: &AgentToken,
        spec: &'a OrderSpec,
        market: &MarketView,
    ) -> Result<Asked<'a>, ServiceError> {
        let limits = &token.limits;
        let priced = limits.max_order_notional.is_some() || limits.max_daily_notional.is_some();
        let notional = if priced { self.notional(spec, market)? } else { None };
        Ok(Asked { symbol: &spec.symbol, notional, day: new_york_date(Utc::now()) })
    }

    /// What an order may come to at worst; `None` if nobody can say.
    fn notional(
        &self,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<Option<Money>, AmountError> {
        let (rules, reference) =
            (&self.parts.rules, market.reference.as_ref().map(|reference| reference.price));
        if spec.notional.is_some() {
            return Ok(spec.notional);
        }
        let price = match spec.side {
            Side::Buy => spec.worst_price(reference, rules.collar)?,
            Side::Sell => reference
                .map(|reference| spec.limit_price.map_or(reference, |limit| limit.max(reference))),
        };
        price.map(|price| worst_cost(spec.qty, price, rules)).transpose()
    }
}
