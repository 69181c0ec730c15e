//! Orders of agents, held against the limits of their tokens before they are placed.
//!
//! What an order may come to is what a buy reserves for its shares, and for a sell the
//! higher of its limit and the reference. Of options it is what they cost or bring, or what those that the order opens may lose
//! when they expire, if that is more. A token that is limited to symbols trades an option by its own symbol. An order that is not placed, or that had been placed before, gives back what it
//! took of the day.

use aggregates::money::{AmountError, Money};
use aggregates::order::{Leg, OrderClass, OrderSpec, PositionIntent, Side, net_price, worst_cost};
use aggregates::trading::MarketView;
use aggregates::user::Denial;
use chrono::Utc;

use super::placing::symbols;
use super::{Caller, Service, ServiceError, payoff};
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

    /// Holds what an agent says of a symbol, and what costs nothing, against the symbols of its token.
    pub(super) async fn check_symbol(
        &self,
        caller: &Caller,
        symbol: &str,
    ) -> Result<(), ServiceError> {
        let Some(token) = caller.limited() else { return Ok(()) };
        let day = new_york_date(Utc::now());
        let asked = Asked { symbols: vec![symbol], notional: Some(Money::ZERO), day };
        let checked = self.parts.usage.check(token, &asked).await;
        self.within(caller, checked).await
    }

    /// Counts the exercise of an option by an agent, for so much money.
    pub(super) async fn count_exercise(
        &self,
        caller: &Caller,
        symbol: &str,
        amount: Option<Money>,
    ) -> Result<Option<Taken>, ServiceError> {
        let Some(token) = caller.limited() else { return Ok(None) };
        let day = new_york_date(Utc::now());
        let asked = Asked { symbols: vec![symbol], notional: amount, day };
        let taken = self.parts.usage.take(token, &asked).await;
        self.within(caller, taken).await
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
        Ok(Asked { symbols: symbols(spec), notional, day: new_york_date(Utc::now()) })
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
        if spec.is_of_options() {
            return self.notional_of_options(spec, market);
        }
        let price = match spec.side {
            Side::Buy => spec.worst_price(reference, rules.collar)?,
            Side::Sell => reference
                .map(|reference| spec.limit_price.map_or(reference, |limit| limit.max(reference))),
        };
        price.map(|price| worst_cost(spec.qty, price, rules)).transpose()
    }

    /// The same of an order of options. What is not said to close is taken to open.
    fn notional_of_options(
        &self,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<Option<Money>, AmountError> {
        let legs = spec.package();
        let reference = market.reference.as_ref().map(|reference| reference.price);
        let price = match (spec.limit_price, spec.side) {
            (None, _) if spec.order_class == OrderClass::Mleg => {
                let marks = legs.iter().map(|leg| {
                    let mark = market.marks.get(&leg.instrument_id)?;
                    Some(if leg.side == Side::Buy { &mark.short } else { &mark.long }.price)
                });
                let prices = marks.collect::<Option<Vec<_>>>();
                prices.map(|prices| net_price(&legs, prices)).transpose()?
            }
            (Some(limit), Side::Sell) => Some(reference.map_or(limit, |price| price.max(limit))),
            (limit, Side::Sell) => limit.or(reference),
            (_, Side::Buy) => spec.worst_price(reference, self.parts.rules.collar)?,
        };
        let Some(price) = price else { return Ok(None) };
        let opens = |leg: &Leg| leg.position_intent.is_none_or(PositionIntent::opens);
        let opened: Vec<Leg> = legs.into_iter().filter(opens).collect();
        let lost = payoff::most_lost(&opened, spec.qty)?;
        Ok(Some(spec.value(spec.qty, price)?.abs().max(lost)))
    }
}
