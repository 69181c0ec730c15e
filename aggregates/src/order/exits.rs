//! Orders that belong together: an entry with its exits (bracket, oto), or two exits of a position (oco).
//!
//! They are a *family*, named by the order that was asked for, its *parent*. The ids of the others follow from it, so
//! that nobody has to look them up. What one does to the others is decided in `trading`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregate::Order;
use super::error::OrderError;
use super::event::{OrderEvent, ResizeCause};
use super::spec::{OrderClass, OrderSpec, OrderType, Side, TimeInForce};
use super::trail::TriggerBy;
use crate::id::{OrderId, derived_uuid};
use crate::market::MarketTime;
use crate::money::{Price, Quantity};

/// An exit with a profit: a limit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TakeProfit {
    /// Its limit.
    pub limit_price: Price,
}

/// An exit that bounds a loss: a stop order, or a stop_limit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopLoss {
    /// Its stop.
    pub stop_price: Price,
    /// Its limit; a stop order without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Price>,
}

/// The exits that are asked for with an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exits {
    /// The one with a profit. The take-profit of an oco is the order itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<TakeProfit>,
    /// The one that bounds a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<StopLoss>,
}

/// Which exit an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The one with a profit.
    TakeProfit,
    /// The one that bounds a loss.
    StopLoss,
}

/// What an order is in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its fills activate the others.
    Entry,
    /// It leaves what an entry has opened, or what is held.
    Exit(Exit),
}

impl OrderId {
    /// The id of an exit that is placed with this order: it has at most one of each.
    pub fn exit(self, exit: Exit) -> Self {
        let which: &[u8] = match exit {
            Exit::TakeProfit => b"take_profit",
            Exit::StopLoss => b"stop_loss",
        };
        Self::new(derived_uuid("blotter/exit", &[self.uuid().as_bytes(), which]))
    }
}

impl Side {
    /// The other one.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

impl OrderClass {
    /// Whether its orders are a family.
    pub const fn is_family(self) -> bool {
        matches!(self, Self::Bracket | Self::Oco | Self::Oto)
    }
}

impl OrderSpec {
    /// The exits that are asked for with it.
    pub fn asked_exits(&self) -> Exits {
        self.exits.as_deref().copied().unwrap_or_default()
    }

    /// What it is in its family; `None` for an order by itself.
    pub fn part(&self) -> Option<Part> {
        let exit =
            if self.order_type == OrderType::Limit { Exit::TakeProfit } else { Exit::StopLoss };
        match (self.order_class, self.parent_order_id) {
            (OrderClass::Simple | OrderClass::Mleg, _) => None,
            (OrderClass::Bracket | OrderClass::Oto, None) => Some(Part::Entry),
            (OrderClass::Bracket | OrderClass::Oto, Some(_)) => Some(Part::Exit(exit)),
            (OrderClass::Oco, _) => Some(Part::Exit(exit)),
        }
    }

    /// The name of the family of the order `order_id` with this request: its parent.
    pub fn family(&self, order_id: OrderId) -> Option<OrderId> {
        self.order_class.is_family().then(|| self.parent_order_id.unwrap_or(order_id))
    }

    /// The other orders of the family, the parent first.
    pub fn relatives(&self, order_id: OrderId) -> Vec<OrderId> {
        let Some(family) = self.family(order_id) else { return Vec::new() };
        let exits = self.asked_exits();
        let (profit, loss) = match self.order_class {
            OrderClass::Bracket => (true, true),
            OrderClass::Oco => (false, true),
            _ => (exits.take_profit.is_some(), exits.stop_loss.is_some()),
        };
        let profit = profit.then(|| family.exit(Exit::TakeProfit));
        let loss = loss.then(|| family.exit(Exit::StopLoss));
        let all = std::iter::once(family).chain(profit).chain(loss);
        all.filter(|relative| *relative != order_id).collect()
    }

    /// The order under whose name the family's exits reserve their shares, together: the take-profit, or the only exit.
    pub fn reserves_under(&self, order_id: OrderId) -> OrderId {
        match (self.order_class, self.parent_order_id) {
            (OrderClass::Bracket, Some(parent)) => parent.exit(Exit::TakeProfit),
            (OrderClass::Oco, Some(parent)) => parent,
            _ => order_id,
        }
    }

    /// The orders that are placed with the order `order_id` of this request.
    pub fn children(&self, order_id: OrderId) -> Vec<(OrderId, Self)> {
        if self.parent_order_id.is_some() || !self.order_class.is_family() {
            return Vec::new();
        }
        let Exits { take_profit, stop_loss } = self.asked_exits();
        let side = match self.order_class {
            OrderClass::Oco => self.side,
            _ => self.side.opposite(),
        };
        let child = |exit| {
            let child_id = order_id.exit(exit);
            let spec = Self {
                side,
                limit_price: None,
                stop_price: None,
                trail: None,
                limit_offset: None,
                activation_price: None,
                trigger_by: None,
                client_order_id: child_id.to_string(),
                note_digest: None,
                parent_order_id: Some(order_id),
                exits: None,
                ..self.clone()
            };
            (child_id, spec)
        };
        let profit = take_profit.map(|take_profit| {
            let (child_id, spec) = child(Exit::TakeProfit);
            let limit_price = Some(take_profit.limit_price);
            (child_id, Self { order_type: OrderType::Limit, limit_price, ..spec })
        });
        let loss = stop_loss.map(|StopLoss { stop_price, limit_price }| {
            let (child_id, spec) = child(Exit::StopLoss);
            let stops = limit_price.map_or(OrderType::Stop, |_| OrderType::StopLimit);
            let (stop_price, trigger_by) = (Some(stop_price), Some(TriggerBy::default()));
            (child_id, Self { order_type: stops, stop_price, limit_price, trigger_by, ..spec })
        });
        profit.into_iter().chain(loss).collect()
    }

    /// Every rule that the request breaks by itself, whatever the account and the market say.
    pub fn faults(&self) -> Vec<OrderError> {
        let mut faults = self.own_faults();
        faults.extend(self.fraction_fault());
        faults.extend(self.exit_faults());
        faults
    }

    /// What the class makes wrong with an order's own terms.
    pub(super) fn class_faults(&self) -> Vec<OrderError> {
        let word = self.order_class.word();
        let mut faults = Vec::new();
        let mut fault = |field: &'static str, message: String| {
            faults.push(OrderError::Malformed { field, message });
        };
        let time = self.time_in_force;
        let waits = matches!(time, TimeInForce::Day | TimeInForce::Gtc | TimeInForce::Gtd);
        if self.order_class.is_family() && !waits {
            let time = time.word();
            let message =
                format!("the orders of a {word} wait and cannot be {time}: use day, gtc or gtd");
            fault("time_in_force", message);
        }
        if self.order_class.is_family() && self.extended_hours {
            let message =
                format!("the orders of a {word} are for regular hours: leave extended_hours out");
            fault("extended_hours", message);
        }
        faults
    }

    /// What is wrong with the exits that are asked for.
    fn exit_faults(&self) -> Vec<OrderError> {
        let class = self.order_class;
        let word = class.word();
        let mut faults = Vec::new();
        if self.parent_order_id.is_some() {
            return faults;
        }
        let mut fault = |field: &'static str, message: String| {
            faults.push(OrderError::Malformed { field, message });
        };
        let Exits { take_profit, stop_loss } = self.asked_exits();
        if !class.is_family() {
            let given =
                [("take_profit", take_profit.is_some()), ("stop_loss", stop_loss.is_some())];
            for (field, _) in given.into_iter().filter(|(_, given)| *given) {
                let message =
                    format!("a {word} order takes no {field}: use order_class bracket, oco or oto");
                fault(field, message);
            }
            return faults;
        }
        let article = if class == OrderClass::Bracket { "a" } else { "an" };
        let needs = |field: &str| format!("{article} {word} order needs {field}");
        match class {
            OrderClass::Oto => match (take_profit, stop_loss) {
                (None, None) => fault("take_profit", needs("a take_profit or a stop_loss")),
                (Some(_), Some(_)) => fault(
                    "stop_loss",
                    "an oto order takes one exit: use order_class bracket for both".into(),
                ),
                _ => {}
            },
            OrderClass::Oco => {
                if self.order_type != OrderType::Limit {
                    let message = "an oco order is of type limit: its take-profit".into();
                    fault("type", message);
                } else if self.limit_price.is_none() {
                    fault("take_profit", needs("a take_profit with its limit_price"));
                }
                if stop_loss.is_none() {
                    fault("stop_loss", needs("a stop_loss with its stop_price"));
                }
            }
            _ => {
                if take_profit.is_none() {
                    fault("take_profit", needs("a take_profit with its limit_price"));
                }
                if stop_loss.is_none() {
                    fault("stop_loss", needs("a stop_loss with its stop_price"));
                }
            }
        }
        let prices = [
            ("take_profit.limit_price", take_profit.map(|exit| exit.limit_price)),
            ("stop_loss.stop_price", stop_loss.map(|exit| exit.stop_price)),
            ("stop_loss.limit_price", stop_loss.and_then(|exit| exit.limit_price)),
        ];
        for (field, price) in prices {
            if let Some(price) = price.filter(|price| !price.is_on_tick()) {
                let message = format!(
                    "{field} {price} must be above 0, with at most 2 decimals from 1.00 on and 4 below"
                );
                fault(field, message);
            }
        }
        let profit = match class {
            OrderClass::Oco => self.limit_price,
            _ => take_profit.map(|exit| exit.limit_price),
        };
        let side = if class == OrderClass::Oco { self.side } else { self.side.opposite() };
        if let Some((profit, loss)) = profit.zip(stop_loss.map(|exit| exit.stop_price))
            && let Some(message) = not_apart(side, profit, loss)
        {
            fault("take_profit.limit_price", message);
        }
        faults
    }
}

impl Order {
    /// It works for another quantity: more than what it has filled.
    pub(super) fn resize(
        &self,
        qty: Quantity,
        cause: ResizeCause,
        at: MarketTime,
    ) -> Result<OrderEvent, OrderError> {
        if qty <= self.filled_qty() {
            return Err(OrderError::BelowFilled { qty, filled: self.filled_qty() });
        }
        Ok(OrderEvent::OrderResized { revision: self.revision() + 1, qty, cause, at })
    }
}

/// What is wrong with two exits of this side: one that sells takes a profit above the price at which the other bounds a
/// loss, one that buys below it.
pub(crate) fn not_apart(side: Side, profit: Price, loss: Price) -> Option<String> {
    let (wrong, where_to, what) = match side {
        Side::Sell => (profit <= loss, "above", "sell"),
        Side::Buy => (profit >= loss, "below", "buy"),
    };
    wrong.then(|| {
        format!(
            "the take-profit's limit {profit} must be {where_to} the stop-loss's stop {loss}: both {what}"
        )
    })
}

impl OrderError {
    /// A quantity of an exit that its owner asks for.
    pub(crate) fn follows(qty: Quantity) -> Self {
        Self::Malformed {
            field: "qty",
            message: format!(
                "the qty of an exit follows the fills of its entry and its sibling and is {qty}: leave it out, or cancel \
                 the exits and place others"
            ),
        }
    }
}
