//! What a model says of one option, and everything that it was made from.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use aggregates::instrument::ExerciseStyle;
use aggregates::market::MarketTime;
use aggregates::money::Price;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;

use super::chains::Row;
use super::{age, computed, figure};
use crate::analysis::options::{Claim, Conditions, Greeks, NoVolatility};
use crate::engine::core::{Glance, Listed, Rates, ToldRate};
use crate::market::calendar::options_expire_at;
use crate::service::{Fault, Service, ServiceError};

/// Seconds of a year of 365 days.
const YEAR: f64 = 365.0 * 86_400.0;
/// The word for what the asker said.
const REQUEST: &str = "request";

/// What the asker wants assumed in place of what the market has told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Assumed {
    /// A yearly rate: 0.045 is 4.5 %.
    pub risk_free_rate: Option<Decimal>,
    /// What holders of the underlying are paid in a year, as a part of its price.
    pub dividend_yield: Option<Decimal>,
}

impl Assumed {
    /// Refuses rates that no market has.
    pub(super) fn checked(self) -> Result<Self, ServiceError> {
        let (least, most) = (Decimal::NEGATIVE_ONE, Decimal::TEN);
        let rates =
            [("risk_free_rate", self.risk_free_rate), ("dividend_yield", self.dividend_yield)];
        let beyond = |rate: Option<Decimal>| rate.is_some_and(|rate| rate < least || rate > most);
        let faults = rates.into_iter().filter(|(_, rate)| beyond(*rate)).map(|(name, _)| {
            let message =
                format!("{name} is a yearly rate from {least} to {most}: 0.045 for 4.5 %");
            Fault::new(name, "invalid_value", message)
        });
        let faults: Vec<Fault> = faults.collect();
        if faults.is_empty() { Ok(self) } else { Err(ServiceError::Invalid(faults)) }
    }
}

/// A price that a model was given.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "OptionPriceBasis")]
pub struct BasisAnswer {
    /// Dollars a share.
    pub price: Price,
    /// `mid` of the standing quote, else `last`.
    pub basis: &'static str,
    /// When, by the market clock.
    pub at: MarketTime,
    /// Seconds since then, by the market clock.
    pub age_seconds: i64,
    /// Where it came from.
    pub source: String,
}

/// A rate that a model was given.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "OptionRate")]
pub struct RateAnswer {
    /// A year's, continuous: 0.045 is 4.5 %.
    pub value: String,
    /// When it was told, by the market clock; absent if the asker said it.
    pub at: Option<MarketTime>,
    /// Where it came from: `request` is the asker.
    pub source: String,
}

/// Why a price implies no volatility.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "NoImpliedVolatility")]
pub struct NoVolatilityAnswer {
    /// The machine word.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
}

/// How an option's value changes: of one share, a contract has `multiplier` times as much.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "OptionGreekFigures")]
pub struct GreeksAnswer {
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
    /// Delta for a point of volatility.
    pub vanna: Option<String>,
    /// Delta as a calendar day passes.
    pub charm: Option<String>,
    /// Vega for a point of volatility; volga is another word for it.
    pub vomma: Option<String>,
    /// Vega as a calendar day passes.
    pub veta: Option<String>,
    /// Gamma for a dollar of the underlying; a tree does not tell it.
    pub speed: Option<String>,
    /// Gamma for a point of volatility; a tree does not tell it.
    pub zomma: Option<String>,
    /// Gamma as a calendar day passes; a tree does not tell it.
    pub color: Option<String>,
}

/// What a model says of an option, and what it was given.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "OptionValuation")]
pub struct ValuationAnswer {
    /// `black_scholes_merton`, or `leisen_reimer` trees where exercising early may be worth it; absent if nothing was computed.
    pub model: Option<&'static str>,
    /// The style that it was valued by: american, where the market has not said.
    pub valued_as: ExerciseStyle,
    /// The option's price.
    pub price: Option<BasisAnswer>,
    /// The underlying's price.
    pub underlying_price: Option<BasisAnswer>,
    /// What money earns without risk.
    pub risk_free_rate: Option<RateAnswer>,
    /// What holders of the underlying are paid.
    pub dividend_yield: Option<RateAnswer>,
    /// Days until it expires, by the market clock, to the second.
    pub days_to_expiration: Option<String>,
    /// What it would bring if it were exercised at once, in dollars a share.
    pub intrinsic_value: Option<Price>,
    /// The rest of its price; below zero of a price below that. Absent once it has expired.
    pub time_value: Option<Price>,
    /// The volatility that its price implies: 0.25 is 25 % a year.
    pub implied_volatility: Option<String>,
    /// Why its price implies none.
    pub no_implied_volatility: Option<NoVolatilityAnswer>,
    /// Its greeks at that volatility.
    pub greeks: Option<GreeksAnswer>,
    /// What the market has not told, so that figures are absent: `option_price`, `underlying_price`, `risk_free_rate`,
    /// `dividend_yield`; of `style` the figures are those of an American option.
    pub missing: Vec<&'static str>,
}

/// What the options of one underlying are valued by.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) now: MarketTime,
    pub(super) underlying: Option<BasisAnswer>,
    pub(super) risk_free: Option<RateAnswer>,
    pub(super) dividend_yield: Option<RateAnswer>,
    by: Option<Conditions>,
}

/// An option's implied volatility and how far it was valued.
pub(super) struct Implied {
    pub(super) price: Option<BasisAnswer>,
    pub(super) claim: Claim,
    /// Absent while something is missing.
    pub(super) volatility: Option<Result<f64, NoVolatility>>,
}

/// An option at the volatility that its price implies.
pub(super) struct Priced {
    pub(super) claim: Claim,
    pub(super) by: Conditions,
    pub(super) volatility: f64,
}

impl Priced {
    pub(super) fn greeks(&self) -> Greeks {
        self.claim.greeks(&self.by, self.volatility)
    }
}

impl Service {
    /// What a model says of an option.
    pub(super) async fn valuation(
        &self,
        (glance, listed): Row,
        assumed: Assumed,
        now: MarketTime,
    ) -> Result<ValuationAnswer, ServiceError> {
        let setting = self.setting(&listed.underlying, assumed, now);
        computed(move || setting.valuation(&glance, &listed)).await
    }

    /// What the options on an underlying are valued by.
    pub(super) fn setting(&self, underlying: &str, assumed: Assumed, now: MarketTime) -> Setting {
        let board = self.parts.engine.board();
        let glance = board.glance(underlying);
        let underlying_price = glance.and_then(|glance| basis(&glance, now));
        Setting::new(underlying_price, board.rates(underlying), assumed, now)
    }
}

impl Setting {
    fn new(
        underlying: Option<BasisAnswer>,
        rates: Rates,
        assumed: Assumed,
        now: MarketTime,
    ) -> Self {
        let risk_free = rate(assumed.risk_free_rate, rates.risk_free);
        let dividend_yield = rate(assumed.dividend_yield, rates.dividend_yield);
        let by = || {
            Some(Conditions {
                spot: dollars(underlying.as_ref()?.price),
                rate: risk_free.as_ref()?.0,
                dividend_yield: dividend_yield.as_ref()?.0,
            })
        };
        let by = by();
        let answer = |rate: Option<(f64, RateAnswer)>| rate.map(|(_, answer)| answer);
        let (risk_free, dividend_yield) = (answer(risk_free), answer(dividend_yield));
        Self { now, underlying, risk_free, dividend_yield, by }
    }

    /// What no option on the underlying can be valued without and nobody has told.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let missing = [
            ("underlying_price", self.underlying.is_none()),
            ("risk_free_rate", self.risk_free.is_none()),
            ("dividend_yield", self.dividend_yield.is_none()),
        ];
        missing.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
    }

    /// What an option's price implies.
    pub(super) fn implied(&self, glance: &Glance, listed: &Listed) -> Implied {
        let claim = self.claim(listed);
        let price = basis(glance, self.now);
        let volatility = self
            .by
            .as_ref()
            .zip(price.as_ref())
            .map(|(by, price)| claim.implied_volatility(by, dollars(price.price)));
        Implied { price, claim, volatility }
    }

    /// An option as its price says, or what is in the way of that.
    pub(super) fn priced(
        &self,
        glance: &Glance,
        listed: &Listed,
    ) -> Result<Priced, Vec<&'static str>> {
        let Implied { price, claim, volatility } = self.implied(glance, listed);
        match (volatility, self.by) {
            (Some(Ok(volatility)), Some(by)) => Ok(Priced { claim, by, volatility }),
            (Some(Err(why)), _) => Err(vec![why.word()]),
            (_, _) => {
                let own = price.is_none().then_some("option_price");
                Err(own.into_iter().chain(self.missing()).collect())
            }
        }
    }

    /// Its delta at a volatility.
    pub(super) fn delta(&self, claim: &Claim, volatility: f64) -> Option<String> {
        figure(claim.delta(self.by.as_ref()?, volatility))
    }

    /// What an underlying bought now costs at the end, carried by the rates, as far as they are known: the middle of a smile.
    pub(super) fn forward(&self, years: f64) -> Option<f64> {
        let Conditions { spot, rate, dividend_yield } = self.by?;
        Some(spot * libm::exp((rate - dividend_yield) * years))
    }

    pub(super) fn claim(&self, listed: &Listed) -> Claim {
        let contract = &listed.contract;
        let left = options_expire_at(contract.expiration()).signed_duration_since(self.now);
        Claim {
            right: contract.right(),
            american: listed.style != Some(ExerciseStyle::European),
            strike: dollars(contract.strike()),
            years: left.num_milliseconds() as f64 / 1_000.0 / YEAR,
        }
    }

    fn valuation(self, glance: &Glance, listed: &Listed) -> ValuationAnswer {
        let Implied { price, claim, volatility } = self.implied(glance, listed);
        let own = [("option_price", price.is_none()), ("style", listed.style.is_none())];
        let own = own.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name);
        let missing = own.chain(self.missing()).collect();
        let found = volatility.and_then(Result::ok);
        let greeks = self.by.as_ref().zip(found).map(|(by, at)| claim.greeks(by, at).into());
        let spot = self.underlying.as_ref().map(|underlying| underlying.price);
        let intrinsic = spot.and_then(|spot| {
            let (high, low) = match listed.contract.right() {
                aggregates::instrument::Right::Call => (spot, listed.contract.strike()),
                aggregates::instrument::Right::Put => (listed.contract.strike(), spot),
            };
            Some(high.minus(low).ok()?.max(Price::ZERO))
        });
        // What has expired has no time left to be worth anything.
        let time_value = price.as_ref().zip(intrinsic).filter(|_| claim.years > 0.0);
        let american =
            if claim.american { ExerciseStyle::American } else { ExerciseStyle::European };
        ValuationAnswer {
            model: self.by.as_ref().map(|by| claim.model(by)),
            valued_as: american,
            time_value: time_value.and_then(|(price, intrinsic)| price.price.minus(intrinsic).ok()),
            price,
            underlying_price: self.underlying,
            risk_free_rate: self.risk_free,
            dividend_yield: self.dividend_yield,
            days_to_expiration: (claim.years > 0.0).then(|| figure(claim.years * 365.0)).flatten(),
            intrinsic_value: intrinsic,
            implied_volatility: found.and_then(figure),
            no_implied_volatility: volatility.and_then(Result::err).map(Into::into),
            greeks,
            missing,
        }
    }
}

/// What an instrument is priced at: the middle of its standing quote, else its last price.
pub(super) fn basis(glance: &Glance, now: MarketTime) -> Option<BasisAnswer> {
    if let Some(quote) = &glance.quote {
        return Some(BasisAnswer {
            price: quote.bid.middle(quote.ask).ok()?,
            basis: "mid",
            at: quote.at,
            age_seconds: age(quote.at, now),
            source: quote.source.clone(),
        });
    }
    let last = glance.last.as_ref()?;
    Some(BasisAnswer {
        price: last.price,
        basis: "last",
        at: last.at,
        age_seconds: age(last.at, now),
        source: last.source.clone(),
    })
}

/// A rate as a number, and as it is shown.
pub(super) fn rate(assumed: Option<Decimal>, told: Option<ToldRate>) -> Option<(f64, RateAnswer)> {
    let (value, at, source) = match (assumed, told) {
        (Some(assumed), _) => (assumed, None, REQUEST.to_owned()),
        (None, Some(told)) => (told.value, Some(told.at), told.source),
        (None, None) => return None,
    };
    let shown = value.normalize().to_string();
    Some((value.to_f64()?, RateAnswer { value: shown, at, source }))
}

pub(super) fn dollars(price: Price) -> f64 {
    price.decimal().to_f64().unwrap_or(f64::NAN)
}

impl From<NoVolatility> for NoVolatilityAnswer {
    fn from(why: NoVolatility) -> Self {
        Self { code: why.word(), message: why.to_string() }
    }
}

impl From<Greeks> for GreeksAnswer {
    fn from(greeks: Greeks) -> Self {
        Self {
            delta: figure(greeks.delta),
            gamma: figure(greeks.gamma),
            theta: figure(greeks.theta),
            vega: figure(greeks.vega),
            rho: figure(greeks.rho),
            vanna: figure(greeks.vanna),
            charm: figure(greeks.charm),
            vomma: figure(greeks.vomma),
            veta: figure(greeks.veta),
            speed: greeks.speed.and_then(figure),
            zomma: greeks.zomma.and_then(figure),
            color: greeks.color.and_then(figure),
        }
    }
}
