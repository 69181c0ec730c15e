//! Orders that name dollars in place of shares: `docs/rules.md`, Dollars.

use super::aggregate::Order;
use super::spec::{OrderClass, OrderSpec, OrderType, Side, TimeInForce};
use crate::money::{AmountError, Money, Price, Quantity};
use crate::rules::Rules;

impl Order {
    /// What is left of the dollars of a notional order; `None` of others.
    pub fn left_notional(&self) -> Result<Option<Money>, AmountError> {
        let notional = self.spec().and_then(|spec| spec.notional);
        notional.map(|notional| notional.minus(self.filled_amount)).transpose()
    }

    /// Shares still open at `price`: of a notional order those that what is left buys or sells, whether they are held or not.
    pub fn leaves_at(&self, price: Price) -> Result<Quantity, AmountError> {
        match self.left_notional()? {
            Some(left) => left.shares_at(price),
            None => self.leaves_qty(),
        }
    }

    /// What a buy still reserves of a cash account after a fill of `amount` that leaves `leaves` shares open.
    pub fn kept_after(
        &self,
        amount: Money,
        leaves: Quantity,
        rules: &Rules,
    ) -> Result<Money, AmountError> {
        match self.left_notional()? {
            Some(_) if leaves.is_zero() => Ok(Money::ZERO),
            Some(left) => left.minus(amount)?.plus(rules.fees.fee(leaves)?),
            None => self.worst_cost(leaves, rules),
        }
    }
}

impl OrderSpec {
    /// Whether it sells shares for dollars: no more than are held.
    pub fn sells_for_dollars(&self) -> bool {
        self.side == Side::Sell && self.notional.is_some()
    }

    /// What is wrong with the dollars that it is for.
    pub(super) fn notional_fault(&self, notional: Money) -> Option<String> {
        let (word, time) = (self.order_type.word(), self.time_in_force.word());
        if !notional.is_positive() {
            Some(format!("notional {notional} must be above 0, in dollars with at most 2 decimals"))
        } else if !self.qty.is_zero() {
            Some("an order has a qty or a notional, not both: leave one out".into())
        } else if self.order_class != OrderClass::Simple {
            Some("a notional order has no exits: place them once it is filled".into())
        } else if self.order_type != OrderType::Market || self.time_in_force != TimeInForce::Day {
            Some(format!(
                "a notional order is a market order for the day, and this is a {word} order that is {time}: name a qty"
            ))
        } else {
            None
        }
    }
}
