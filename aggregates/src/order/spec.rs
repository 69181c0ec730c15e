//! What a client asks for, and the rules that need nothing but the request itself.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::OrderError;
use super::exits::Exits;
use super::legs::{Leg, PositionIntent};
use super::trail::{Trail, TriggerBy};
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::instrument::OptionTerms;
use crate::market::MarketTime;
use crate::money::{AmountError, Money, Price, Quantity};

/// Buy or sell.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Cash for shares.
    Buy,
    /// Shares for cash.
    Sell,
}

impl Side {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }

    /// The side that it meets.
    pub const fn other(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// How the price of an order is found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OrderType {
    /// At the other side of the quote, whatever it is.
    Market,
    /// At `limit_price` or better.
    Limit,
    /// A market order once `stop_price` is reached.
    Stop,
    /// A limit order once `stop_price` is reached.
    StopLimit,
    /// A stop that follows the market at a distance.
    TrailingStop,
    /// A trailing stop that becomes a limit order.
    TrailingStopLimit,
}

impl OrderType {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::Limit => "limit",
            Self::Stop => "stop",
            Self::StopLimit => "stop_limit",
            Self::TrailingStop => "trailing_stop",
            Self::TrailingStopLimit => "trailing_stop_limit",
        }
    }

    /// Whether it waits for a trigger before it works.
    pub const fn is_stop(self) -> bool {
        !matches!(self, Self::Market | Self::Limit)
    }

    /// Whether its trigger is a price that the order names.
    pub const fn has_stop_price(self) -> bool {
        matches!(self, Self::Stop | Self::StopLimit)
    }

    /// Whether it works at a limit, from the start or once triggered.
    pub const fn has_limit(self) -> bool {
        matches!(self, Self::Limit | Self::StopLimit | Self::TrailingStopLimit)
    }

    /// Whether its limit is a price that the order names.
    pub const fn has_limit_price(self) -> bool {
        matches!(self, Self::Limit | Self::StopLimit)
    }

    /// Whether its stop follows the market.
    pub const fn trails(self) -> bool {
        matches!(self, Self::TrailingStop | Self::TrailingStopLimit)
    }
}

/// How long an order lives.
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
pub enum TimeInForce {
    /// Until the close of its session.
    #[default]
    Day,
    /// Until canceled.
    Gtc,
    /// Until a given time.
    Gtd,
    /// What fills at once; the rest is canceled.
    Ioc,
    /// All at once, or nothing.
    Fok,
    /// In the opening auction only.
    Opg,
    /// In the closing auction only.
    Cls,
}

impl TimeInForce {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Gtc => "gtc",
            Self::Gtd => "gtd",
            Self::Ioc => "ioc",
            Self::Fok => "fok",
            Self::Opg => "opg",
            Self::Cls => "cls",
        }
    }

    /// Whether the order fills in an auction alone.
    pub const fn is_auction(self) -> bool {
        matches!(self, Self::Opg | Self::Cls)
    }

    /// Whether the order never rests: what does not fill on arrival is canceled.
    pub const fn is_immediate(self) -> bool {
        matches!(self, Self::Ioc | Self::Fok)
    }
}

/// Which other orders an order belongs with.
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
pub enum OrderClass {
    /// By itself.
    #[default]
    Simple,
    /// An entry with a take-profit and a stop-loss.
    Bracket,
    /// Two exits, one of which fills.
    Oco,
    /// An entry with one exit.
    Oto,
    /// Two to four legs at one net price.
    Mleg,
}

impl OrderClass {
    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Bracket => "bracket",
            Self::Oco => "oco",
            Self::Oto => "oto",
            Self::Mleg => "mleg",
        }
    }
}

/// An order as its owner means it. A replacement changes quantity and prices, never the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderSpec {
    /// Whose order.
    pub account_id: AccountId,
    /// What is traded.
    pub instrument_id: InstrumentId,
    /// Its ticker when the order was placed.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// How the price is found.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// Shares, above zero; 0 of a notional order until it is filled.
    pub qty: Quantity,
    /// Dollars to buy or to sell for, in place of a quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notional: Option<Money>,
    /// The worst price of limit types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Price>,
    /// The trigger of stop types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Price>,
    /// The distance of trailing types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<Trail>,
    /// How far the limit of a trailing stop limit is beyond the stop that triggers it, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_offset: Option<Price>,
    /// The price from which on a trailing type follows the market: at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_price: Option<Price>,
    /// Which prices reach the stop of stop types: the last trade if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_by: Option<TriggerBy>,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// When a gtd order ends, by the market clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_till: Option<MarketTime>,
    /// Whether it may fill outside regular hours.
    #[serde(default)]
    pub extended_hours: bool,
    /// Which other orders it belongs with.
    pub order_class: OrderClass,
    /// The client's own id, unique in the account for ever. An identifier, not for personal data.
    pub client_order_id: String,
    /// SHA-256 of the note, in hexadecimal; the note itself is erasable and stands in a side table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_digest: Option<String>,
    /// The order that it was placed with, as one of its exits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_order_id: Option<OrderId>,
    /// The exits that are placed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<Box<Exits>>,
    /// Of an order of one option: the contract, as its market tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Box<OptionTerms>>,
    /// Of an order of one option: whether it opens or closes a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_intent: Option<PositionIntent>,
    /// Of an mleg order: what one package has. Its instrument is then the underlying, its side buy, its quantity counts
    /// packages, and its limit is the net price of one in dollars a share: above zero is paid, below received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legs: Option<Vec<Leg>>,
}

/// Nanoseconds in a second; a leap second has more.
const NANOSECONDS: u32 = 1_000_000_000;

/// The longest `client_order_id`, in characters.
pub const CLIENT_ORDER_ID_MAX: usize = 128;

impl OrderSpec {
    /// Every rule that the order breaks by its own terms, its exits and [`Self::fraction_fault`] left out.
    pub(super) fn own_faults(&self) -> Vec<OrderError> {
        let mut faults = Vec::new();
        let mut fault = |field: &'static str, message: String| {
            faults.push(OrderError::Malformed { field, message });
        };
        if let Some(notional) = self.notional {
            let message = self.notional_fault(notional);
            message.into_iter().for_each(|message| fault("notional", message));
        } else if !self.qty.is_positive() {
            fault("qty", format!("qty is {}: an order needs a quantity above 0", self.qty));
        }
        if self.client_order_id.is_empty()
            || self.client_order_id.chars().count() > CLIENT_ORDER_ID_MAX
        {
            fault(
                "client_order_id",
                format!("client_order_id must have 1 to {CLIENT_ORDER_ID_MAX} characters"),
            );
        }
        let word = self.order_type.word();
        // Under `stop` a limit is a `stop_limit`, and under `limit` a stop is one too.
        let both = OrderType::StopLimit;
        let limit_type = if self.order_type.is_stop() { both } else { OrderType::Limit };
        let stop_type = if self.order_type.has_limit() { both } else { OrderType::Stop };
        // The limit of an mleg order is a net price, which may be below zero.
        let net = self.order_class == OrderClass::Mleg;
        let prices = [
            ("limit_price", self.limit_price, self.order_type.has_limit_price(), limit_type),
            ("stop_price", self.stop_price, self.order_type.has_stop_price(), stop_type),
        ];
        for (field, price, takes, instead) in prices.into_iter().skip(usize::from(net)) {
            match price {
                Some(_) if !takes => fault(
                    field,
                    format!(
                        "a {word} order takes no {field}: leave it out, or use type {}",
                        instead.word()
                    ),
                ),
                // The limit of an oco is that of its take-profit.
                None if takes && self.order_class != OrderClass::Oco => {
                    fault(field, format!("a {word} order needs a {field}"));
                }
                Some(price) if !price.is_on_tick() => fault(
                    field,
                    format!(
                        "{field} {price} must be above 0, with at most 2 decimals from 1.00 on and 4 below"
                    ),
                ),
                _ => {}
            }
        }
        let is_stop = self.order_type.is_stop();
        if !is_stop && self.trigger_by.is_some() {
            fault("trigger_by", format!("a {word} order takes no trigger_by: nothing triggers it"));
        }
        if is_stop && (self.time_in_force.is_immediate() || self.time_in_force.is_auction()) {
            let time = self.time_in_force.word();
            fault(
                "time_in_force",
                format!(
                    "a {word} order waits for its stop and cannot be {time}: use day, gtc or gtd"
                ),
            );
        }
        for (field, message) in self.trailing_faults() {
            fault(field, message);
        }
        match (self.time_in_force, self.good_till) {
            (TimeInForce::Gtd, None) => faults.push(OrderError::Malformed {
                field: "expires_at",
                message: "a gtd order needs expires_at: the market time at which it ends".into(),
            }),
            (TimeInForce::Gtd, Some(end)) => {
                let nanoseconds = end.timestamp_subsec_nanos();
                if nanoseconds >= NANOSECONDS || !nanoseconds.is_multiple_of(1_000) {
                    faults.push(OrderError::Malformed {
                        field: "expires_at",
                        message: "expires_at is a time to the microsecond, and no leap second"
                            .into(),
                    });
                }
            }
            (_, None) => {}
            (other, Some(_)) => faults.push(OrderError::Malformed {
                field: "expires_at",
                message: format!(
                    "time_in_force {} takes no expires_at: leave it out, or use gtd",
                    other.word()
                ),
            }),
        }
        let extends = self.order_type == OrderType::Limit
            && matches!(self.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
        if self.extended_hours && !extends {
            let time = self.time_in_force.word();
            faults.push(OrderError::Malformed {
                field: "extended_hours",
                message: format!(
                    "extended_hours is for limit orders that are day or gtc, and this is a {word} order that is {time}: \
                     leave it out"
                ),
            });
        }
        faults.extend(self.class_faults());
        faults.extend(self.option_faults());
        faults
    }

    /// A part of a share is asked for by itself and in the day alone. An exit may be left with one all the same: it follows
    /// fills.
    pub(super) fn fraction_fault(&self) -> Option<OrderError> {
        let qty = self.qty;
        let message = match self.order_class {
            _ if qty.is_whole() => return None,
            class if class.is_family() => {
                format!("qty {qty} is fractional: a {} is of whole shares", class.word())
            }
            _ if self.time_in_force != TimeInForce::Day => {
                format!("qty {qty} is fractional: fractional orders are day orders")
            }
            _ => return None,
        };
        Some(OrderError::Malformed { field: "qty", message })
    }

    /// Whether it lives as long as `other`.
    pub fn lives_as(&self, other: &Self) -> bool {
        (self.time_in_force, self.good_till) == (other.time_in_force, other.good_till)
    }

    /// The price that a buy's worst cost is counted at: its limit, else the higher of its stop and the reference,
    /// raised by the collar. The mark of a trailing stop is at most the reference, and at most the price from which on it
    /// follows. `None` if it has none of them.
    pub fn worst_price(
        &self,
        reference: Option<Price>,
        collar: Decimal,
    ) -> Result<Option<Price>, AmountError> {
        if self.limit_price.is_some() {
            return Ok(self.limit_price);
        }
        let mark = reference.map(|reference| {
            self.activation_price.map_or(reference, |activation| activation.min(reference))
        });
        let stop = self.stop_at(mark);
        if let Some(limit) = stop.and_then(|stop| self.limit_once_triggered(stop)) {
            return Ok(Some(limit));
        }
        stop.max(reference).map(|price| price.raised_by(collar)).transpose()
    }
}

impl OrderSpec {
    /// The price that the margin of a short sale is counted at: the highest of its limit, its stop and the reference
    /// raised by the collar. `None` without a reference.
    pub fn short_price(
        &self,
        reference: Option<Price>,
        collar: Decimal,
    ) -> Result<Option<Price>, AmountError> {
        let raised = reference.map(|price| price.raised_by(collar)).transpose()?;
        let named = self.limit_price.max(self.stop_price);
        Ok(raised.map(|raised| named.map_or(raised, |named| named.max(raised))))
    }
}
