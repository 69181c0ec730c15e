//! What a stop watches, and how far a trailing one stays behind it.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::Side;
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
