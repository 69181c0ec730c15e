//! Orders of options: of one contract, or of two to four legs at one net price.
//!
//! Either is a *package* of [`Leg`]s that fills as a whole: a package of one contract is an order of that option. The
//! price of an order of several legs is what one package costs in dollars a share; below zero it brings money.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::command::Execution;
use super::error::OrderError;
use super::spec::{OrderClass, OrderSpec, OrderType, Side, TimeInForce};
use crate::id::{FillId, InstrumentId};
use crate::instrument::{Contract, MULTIPLIER, OptionTerms};
use crate::market::Evidence;
use crate::money::{AmountError, Money, Price, Quantity};

/// The fewest and the most legs of one order.
pub const LEGS: std::ops::RangeInclusive<usize> = 2..=4;
/// The most contracts of a leg in one package.
pub const RATIO_MAX: u32 = 100;
/// A leg of a stock is in shares, and these count as one contract.
pub(crate) const STOCK_UNIT: u32 = 100;
/// The most shares of a leg in one package: as many hundreds as there may be contracts.
pub const SHARES_MAX: u32 = RATIO_MAX * STOCK_UNIT;
/// Decimals of an option's price and of a net price.
const DECIMALS: u32 = 2;

/// Whether an order, or a leg of one, opens a position of options or closes one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PositionIntent {
    /// Begins a long position or adds to it.
    BuyToOpen,
    /// Reduces a short position.
    BuyToClose,
    /// Begins a short position or adds to it.
    SellToOpen,
    /// Reduces a long position.
    SellToClose,
}

impl PositionIntent {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::BuyToOpen, Self::BuyToClose, Self::SellToOpen, Self::SellToClose];

    /// That of a side which opens or closes.
    pub const fn of(side: Side, opens: bool) -> Self {
        match (side, opens) {
            (Side::Buy, true) => Self::BuyToOpen,
            (Side::Buy, false) => Self::BuyToClose,
            (Side::Sell, true) => Self::SellToOpen,
            (Side::Sell, false) => Self::SellToClose,
        }
    }

    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BuyToOpen => "buy_to_open",
            Self::BuyToClose => "buy_to_close",
            Self::SellToOpen => "sell_to_open",
            Self::SellToClose => "sell_to_close",
        }
    }

    /// Buy or sell.
    pub const fn side(self) -> Side {
        match self {
            Self::BuyToOpen | Self::BuyToClose => Side::Buy,
            Self::SellToOpen | Self::SellToClose => Side::Sell,
        }
    }

    /// Whether it opens.
    pub const fn opens(self) -> bool {
        matches!(self, Self::BuyToOpen | Self::SellToOpen)
    }
}

/// One leg of an order: what one package has of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    /// What is traded.
    pub instrument_id: InstrumentId,
    /// Its symbol.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// How many of it one package has: contracts of an option, shares of a stock.
    pub ratio_qty: u32,
    /// Whether it opens or closes; absent before the order is taken, if its owner has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_intent: Option<PositionIntent>,
    /// The contract; absent of a stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<OptionTerms>,
}

impl Leg {
    /// How many of it so many packages have.
    ///
    /// # Errors
    /// More than the largest quantity.
    pub fn qty_of(&self, packages: Quantity) -> Result<Quantity, AmountError> {
        packages.times(Quantity::new(self.ratio_qty.into())?)
    }

    /// What so many of it cost or bring at a price: rounded once to the cent.
    ///
    /// # Errors
    /// Beyond the bound of money.
    pub fn value(&self, qty: Quantity, price: Price) -> Result<Money, AmountError> {
        match &self.contract {
            Some(terms) => terms.value(qty, price),
            None => Money::of_fill(qty, price),
        }
    }

    /// Whether it opens a position.
    pub fn opens(&self) -> bool {
        self.position_intent.is_some_and(PositionIntent::opens)
    }
}

/// One leg of an execution as the engine proposes it.
#[derive(Clone, Debug, PartialEq)]
pub struct LegExecution {
    /// What is traded.
    pub instrument_id: InstrumentId,
    /// Dollars a share.
    pub price: Price,
    /// The quote that it fills against.
    pub evidence: Evidence,
}

/// One leg of a fill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LegFill {
    /// What was traded.
    pub instrument_id: InstrumentId,
    /// Its symbol.
    pub symbol: String,
    /// The fill of this leg, which its position names.
    pub fill_id: FillId,
    /// Whether it opened or closed.
    pub position_intent: PositionIntent,
    /// Contracts of an option, shares of a stock.
    pub qty: Quantity,
    /// Dollars a share.
    pub price: Price,
    /// What that cost or brought, rounded once to the cent: never below 0.
    pub amount: Money,
    /// The quote that it filled against.
    pub evidence: Evidence,
}

impl OrderSpec {
    /// Whether it is of options: of one contract, or of several legs.
    pub fn is_of_options(&self) -> bool {
        self.contract.is_some() || self.order_class == OrderClass::Mleg
    }

    /// What it trades: of an mleg order each leg.
    pub fn instruments(&self) -> Vec<InstrumentId> {
        match &self.legs {
            Some(legs) => legs.iter().map(|leg| leg.instrument_id).collect(),
            None => vec![self.instrument_id],
        }
    }

    /// What splits it when that is split: what options are on, else what it trades.
    pub fn splits_with(&self) -> InstrumentId {
        self.contract.as_ref().map_or(self.instrument_id, |terms| terms.underlying_id)
    }

    /// What one package of an order of options consists of; nothing of an order of a stock.
    pub fn package(&self) -> Vec<Leg> {
        match (&self.legs, &self.contract) {
            (Some(legs), _) => legs.clone(),
            (None, Some(contract)) => vec![Leg {
                instrument_id: self.instrument_id,
                symbol: self.symbol.clone(),
                side: self.side,
                ratio_qty: 1,
                position_intent: self.position_intent,
                contract: Some(contract.as_ref().clone()),
            }],
            (None, None) => Vec::new(),
        }
    }

    /// The shares that the price of so many of it is paid for: a contract, and a package of several legs, is on many.
    ///
    /// # Errors
    /// More than the largest quantity.
    pub fn priced(&self, qty: Quantity) -> Result<Quantity, AmountError> {
        match &self.contract {
            Some(terms) => terms.shares_of(qty),
            None if self.order_class == OrderClass::Mleg => {
                qty.times(Quantity::new(MULTIPLIER.into())?)
            }
            None => Ok(qty),
        }
    }

    /// What so many of it cost or bring at a price in dollars a share; a package has the sign of its net price.
    ///
    /// # Errors
    /// Beyond the bound of money.
    pub fn value(&self, qty: Quantity, price: Price) -> Result<Money, AmountError> {
        Money::of_fill(self.priced(qty)?, price)
    }

    /// What an execution fills of each leg of an mleg order; nothing of other orders.
    ///
    /// # Errors
    /// The execution has other legs, or another net price.
    pub(super) fn leg_fills(
        &self,
        fill_id: FillId,
        packages: Quantity,
        execution: &Execution,
    ) -> Result<Vec<LegFill>, OrderError> {
        let legs = self.legs.as_deref().unwrap_or_default();
        let alike = legs.len() == execution.legs.len()
            && legs.iter().zip(&execution.legs).all(|(a, b)| a.instrument_id == b.instrument_id);
        if !alike || !legs.is_empty() && self.is_at_another(execution)? {
            return Err(OrderError::OtherLegs);
        }
        let fills = legs.iter().zip(&execution.legs).map(|(leg, executed)| {
            let LegExecution { instrument_id, price, evidence } = executed.clone();
            let position_intent = leg.position_intent.ok_or(OrderError::OtherLegs)?;
            let qty = leg.qty_of(packages)?;
            Ok(LegFill {
                instrument_id,
                symbol: leg.symbol.clone(),
                fill_id: fill_id.leg(instrument_id),
                position_intent,
                qty,
                price,
                amount: leg.value(qty, price)?,
                evidence,
            })
        });
        fills.collect()
    }

    fn is_at_another(&self, execution: &Execution) -> Result<bool, AmountError> {
        let legs = self.legs.as_deref().unwrap_or_default();
        let prices = execution.legs.iter().map(|leg| leg.price);
        Ok(net_price(legs, prices)? != execution.price)
    }

    /// What is wrong with an order of options by its own terms; nothing of an order of a stock.
    pub(super) fn option_faults(&self) -> Vec<OrderError> {
        let mut faults = Vec::new();
        let mut fault = |field: &'static str, message: String| {
            faults.push(OrderError::Malformed { field, message });
        };
        let mleg = self.order_class == OrderClass::Mleg;
        if !mleg && self.legs.is_some() {
            fault("legs", "legs are for order_class mleg: name it, or leave the legs out".into());
        }
        if mleg && self.position_intent.is_some() {
            let message = "the legs of an mleg order have a position_intent each, not the order";
            fault("position_intent", message.into());
        }
        if let Some(intent) = self.position_intent.filter(|intent| intent.side() != self.side) {
            let (intent, side) = (intent.word(), self.side.word());
            fault("position_intent", format!("position_intent {intent} does not go with {side}"));
        }
        if mleg {
            for message in self.leg_faults() {
                fault("legs", message);
            }
        }
        if !self.is_of_options() {
            return faults;
        }
        let (word, time) = (self.order_type.word(), self.time_in_force.word());
        if self.order_type.is_stop() {
            fault(
                "type",
                format!("options take limit and market orders, and this is a {word} order"),
            );
        }
        if !matches!(self.time_in_force, TimeInForce::Day | TimeInForce::Gtc) {
            fault("time_in_force", format!("orders of options are day or gtc, and this is {time}"));
        }
        if self.notional.is_some() {
            fault("notional", "options are traded in contracts: name a qty".into());
        }
        if !self.qty.is_whole() {
            fault("qty", format!("qty {}: options are traded in whole contracts", self.qty));
        }
        if self.extended_hours {
            fault("extended_hours", "options trade in regular hours: leave it out".into());
        }
        if self.order_class.is_family() {
            let class = self.order_class.word();
            let message =
                format!("order_class {class} is for stocks: options take simple and mleg");
            fault("order_class", message);
        }
        match self.limit_price {
            Some(price) if price.decimal().normalize().scale() > DECIMALS => {
                fault("limit_price", format!("limit_price {price} has more than 2 decimals"));
            }
            None if mleg && self.order_type == OrderType::Limit => {
                let message = "an mleg limit order needs a limit_price: the net price of one package in dollars a share, \
                               above 0 to pay and below 0 to receive";
                fault("limit_price", message.into());
            }
            Some(_) if mleg && self.order_type == OrderType::Market => {
                fault("limit_price", "a market order takes no limit_price: leave it out".into());
            }
            _ => {}
        }
        faults
    }

    fn leg_faults(&self) -> Vec<String> {
        let Some(legs) = self.legs.as_ref().filter(|legs| LEGS.contains(&legs.len())) else {
            let count = self.legs.as_ref().map_or(0, Vec::len);
            let (least, most) = (LEGS.start(), LEGS.end());
            return vec![format!("an mleg order has {least} to {most} legs, and this has {count}")];
        };
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        let mut common = 0;
        for Leg { instrument_id, symbol, side, ratio_qty, position_intent, .. } in legs {
            if !seen.insert(*instrument_id) {
                faults.push(format!("{symbol} is in two legs: each symbol once"));
            }
            if *ratio_qty == 0 {
                faults.push(format!("ratio_qty of {symbol} is 0: it has to be 1 or more"));
            }
            if position_intent.is_some_and(|intent| intent.side() != *side) {
                faults.push(format!("position_intent of {symbol} does not go with its side"));
            }
            // A leg of shares is in hundreds.
            let is_stock = symbol.parse::<Contract>().is_err();
            let (most, of) = match is_stock {
                true => (SHARES_MAX, "shares"),
                false => (RATIO_MAX, "contracts"),
            };
            if *ratio_qty > most {
                faults.push(format!(
                    "ratio_qty {ratio_qty} of {symbol} is more than {most} {of} of one package: name a lower one and a larger qty"
                ));
            }
            let unit =
                if is_stock && ratio_qty.is_multiple_of(STOCK_UNIT) { STOCK_UNIT } else { 1 };
            common = gcd(common, ratio_qty / unit);
        }
        if common > 1 {
            faults.push(format!(
                "the ratios of the legs are all multiples of {common}: name them in lowest terms and a larger qty"
            ));
        }
        faults
    }
}

/// The net price of one package in dollars a share of its options: what the bought legs cost less what the sold ones bring.
/// A hundred shares of a stock leg count as one contract.
///
/// # Errors
/// Beyond the bound of prices, or finer than they are.
pub fn net_price(
    legs: &[Leg],
    prices: impl IntoIterator<Item = Price>,
) -> Result<Price, AmountError> {
    let mut net = Price::ZERO;
    for (leg, price) in legs.iter().zip(prices) {
        let shares = match &leg.contract {
            Some(terms) => terms.shares.decimal() * Decimal::from(leg.ratio_qty),
            None => Decimal::from(leg.ratio_qty),
        };
        let part = price.decimal().checked_mul(shares).ok_or(AmountError::Inexact)?;
        let part = part.checked_div(MULTIPLIER.into()).ok_or(AmountError::Inexact)?;
        let part = Price::new(part)?;
        net = match leg.side {
            Side::Buy => net.plus(part)?,
            Side::Sell => net.minus(part)?,
        };
    }
    Ok(net)
}

/// What the legs of a fill cost less what they brought.
pub(super) fn net_amount(legs: &[LegFill]) -> Result<Money, AmountError> {
    legs.iter().try_fold(Money::ZERO, |net, leg| match leg.position_intent.side() {
        Side::Buy => net.plus(leg.amount),
        Side::Sell => net.minus(leg.amount),
    })
}

/// The greatest common divisor; that of 0 and another number is the other.
fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
