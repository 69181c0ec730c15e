//! What a stop watches, and how far a trailing one stays behind it: from which price on, and at what limit once it is
//! triggered.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{OrderSpec, OrderType, Side};
use crate::money::Price;

/// Which prices reach a stop. A symbol that has none of them is watched by the others: trades, quotes, and bars where
/// it has neither.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TriggerBy {
    /// The last trade.
    #[default]
    Last,
    /// The side of the quote that the order would meet: the ask for a buy, the bid for a sell.
    Quote,
}

impl TriggerBy {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Quote => "quote",
        }
    }
}

/// The distance of a trailing stop from its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trail {
    /// In dollars.
    Price(Price),
    /// In percent of the mark: `5` is 5 %.
    Percent(Price),
}

impl Trail {
    /// The largest percentage of a trail: below 100, so that a sell's stop stays above 0.
    const PERCENT_BELOW: Decimal = Decimal::ONE_HUNDRED;
    /// The most decimals of a percentage.
    const PERCENT_DECIMALS: u32 = 4;

    /// Another distance, in the same measure.
    pub fn at(self, distance: Price) -> Self {
        match self {
            Self::Price(_) => Self::Price(distance),
            Self::Percent(_) => Self::Percent(distance),
        }
    }

    /// The stop at this distance from a mark: below it for a sell, above it for a buy, rounded half up to the tick. What
    /// would be below 0 is 0, and what would be beyond the largest price is that: no price reaches it.
    pub fn stop(self, side: Side, mark: Price) -> Price {
        let up = side == Side::Buy;
        let stop = match self {
            Self::Price(distance) => mark.at_distance(distance, up),
            Self::Percent(percent) => mark.at_percent(percent, up),
        };
        stop.map_or(if up { Price::MAX } else { Price::ZERO }, |stop| stop.max(Price::ZERO))
    }

    /// What is wrong with it, and the field.
    pub(super) fn fault(self) -> Option<(&'static str, String)> {
        match self {
            Self::Price(distance) if !distance.is_on_tick() => {
                let message = format!(
                    "trail_price {distance} must be above 0, with at most 2 decimals from 1.00 on and 4 below"
                );
                Some(("trail_price", message))
            }
            Self::Percent(percent) => {
                let within = percent.is_positive()
                    && percent.decimal() < Self::PERCENT_BELOW
                    && percent.decimal().normalize().scale() <= Self::PERCENT_DECIMALS;
                let message = || {
                    format!(
                        "trail_percent {percent} must be above 0 and below {}, with at most {} decimals: 5 is 5 %",
                        Self::PERCENT_BELOW,
                        Self::PERCENT_DECIMALS
                    )
                };
                (!within).then(|| ("trail_percent", message()))
            }
            Self::Price(_) => None,
        }
    }
}

impl OrderSpec {
    /// Which prices a trailing stop follows; `None` for other types.
    pub fn follows(&self) -> Option<TriggerBy> {
        self.trail.map(|_| self.trigger_by.unwrap_or_default())
    }

    /// The stop in force: the one that it names, or the one at its distance from `mark`.
    pub fn stop_at(&self, mark: Option<Price>) -> Option<Price> {
        match self.trail {
            Some(trail) => mark.map(|mark| trail.stop(self.side, mark)),
            None => self.stop_price,
        }
    }

    /// Whether a trailing stop follows the market from `price` on: it has come to the activation price, from above for a
    /// buy and from below for a sell. Always, without one.
    pub fn is_activated_by(&self, price: Price) -> bool {
        self.activation_price.is_none_or(|activation| match self.side {
            Side::Buy => price <= activation,
            Side::Sell => price >= activation,
        })
    }

    /// The limit of a trailing stop limit that is triggered at `stop`: beyond it by the offset, on the tick. What would be
    /// 0 or less is the smallest price, and what would be beyond the largest is that. `None` for other types.
    pub fn limit_once_triggered(&self, stop: Price) -> Option<Price> {
        let offset = self.limit_offset?;
        let limit = stop.at_distance(offset, self.side == Side::Buy).unwrap_or(Price::MAX);
        Some(limit.max(Price::SMALLEST_TICK))
    }

    /// What a trailing stop is once it was triggered: a limit order, or one at the market.
    pub(super) fn once_triggered(&self) -> Self {
        let order_type =
            if self.limit_offset.is_some() { OrderType::Limit } else { OrderType::Market };
        let spec = self.clone();
        Self {
            order_type,
            trail: None,
            limit_offset: None,
            activation_price: None,
            trigger_by: None,
            ..spec
        }
    }

    /// What is wrong with the fields of trailing types, and each one's field.
    pub(super) fn trailing_faults(&self) -> Vec<(&'static str, String)> {
        let word = self.order_type.word();
        let mut faults = Vec::new();
        match (self.trail, self.order_type.trails()) {
            (None, true) => {
                let message = format!("a {word} order needs a trail_price or a trail_percent");
                faults.push(("trail_price", message));
            }
            (Some(_), false) => {
                faults.push(("trail_price", format!("a {word} order takes no trail")));
            }
            (trail, _) => faults.extend(trail.and_then(Trail::fault)),
        }
        let tick = |field: &str, price: Price, from: &str| {
            format!(
                "{field} {price} must be {from}, with at most 2 decimals from 1.00 on and 4 below"
            )
        };
        match (self.limit_offset, self.order_type == OrderType::TrailingStopLimit) {
            (None, true) => {
                let message = format!(
                    "a {word} order needs a limit_offset: how far its limit is beyond the stop that triggers it, in dollars"
                );
                faults.push(("limit_offset", message));
            }
            (Some(_), false) => {
                let message = format!(
                    "a {word} order takes no limit_offset: leave it out, or use type {}",
                    OrderType::TrailingStopLimit.word()
                );
                faults.push(("limit_offset", message));
            }
            (Some(offset), true) if !offset.is_zero() && !offset.is_on_tick() => {
                faults.push(("limit_offset", tick("limit_offset", offset, "0 or more")));
            }
            _ => {}
        }
        match self.activation_price {
            Some(_) if !self.order_type.trails() => {
                let message = format!(
                    "a {word} order takes no activation_price: it does not follow the market"
                );
                faults.push(("activation_price", message));
            }
            Some(price) if !price.is_on_tick() => {
                faults.push(("activation_price", tick("activation_price", price, "above 0")));
            }
            _ => {}
        }
        faults
    }
}
