//! Contracts that a split makes others of: what leaves one position comes to another, as many times as a share, for what it
//! had cost.

use super::contracts::Contract;
use super::{Amount, Fact, Naive, ONE, hold, owner};

/// What a symbol can say of a strike.
const THOUSANDTH: Amount = ONE / 1_000;

/// Contracts that have left a position.
pub struct Left {
    qty: Amount,
    cost: Amount,
    contract: Contract,
    kept_back: bool,
    times: Amount,
}

impl Naive {
    pub(super) fn leaves(&mut self, id: &str, fact: &Fact<'_>) -> Result<(), String> {
        let position = self.positions.get_mut(id).ok_or("what is adjusted is held")?;
        let contract = position.contract.clone().ok_or("what is adjusted is an option")?;
        let (new, old) = *self.splits.get(&contract.on).ok_or("a split is under way")?;
        let told = (fact.amount("numerator"), fact.amount("denominator"));
        hold("it follows the split that is under way", told == (new, old))?;
        hold("whole contracts come of one", new % old == 0 && new > old)?;
        let told = (fact.amount("qty"), fact.amount("cost"));
        hold("all of it leaves", told == (position.qty, position.cost.abs()) && told.0 != 0)?;
        hold("no order has any of it", position.reserved.is_empty())?;
        let left = Left {
            qty: position.qty,
            cost: position.cost,
            contract,
            kept_back: position.kept_back,
            times: new / old,
        };
        (position.qty, position.traded, position.cost) = (0, position.traded - left.qty, 0);
        position.kept_back = false;
        let into = format!("{}/{}", owner(id), fact.text("into"));
        hold("they come to one position", self.left.insert(into, left).is_none())
    }

    pub(super) fn comes(&mut self, id: &str, fact: &Fact<'_>) -> Result<(), String> {
        let left = self.left.remove(id).ok_or("what comes has left another position")?;
        let contract = Contract::of(fact).ok_or("what comes is an option")?;
        let position = self.positions.entry(id.to_owned()).or_default();
        hold("nothing is held where it comes to", position.qty == 0)?;
        let qty = left.qty * left.times;
        let sign = if qty < 0 { -1 } else { 1 };
        hold("as many come", fact.amount("position_qty") == qty)?;
        hold("lots add up", fact.sum("lots", "qty") == qty)?;
        hold("they have cost what they had", sign * fact.sum("lots", "cost") == left.cost)?;
        let off = (contract.strike * left.times - left.contract.strike).abs();
        hold("the strike is a part of what it was", 2 * off <= THOUSANDTH * left.times)?;
        hold("a strike is in thousandths", contract.strike % THOUSANDTH == 0)?;
        let same = Contract { strike: contract.strike, ..left.contract };
        hold("the other terms stay", same == contract)?;
        let kept_back = fact.0["do_not_exercise"].as_bool() == Some(true);
        hold("what its owner said stays", kept_back == left.kept_back)?;
        (position.qty, position.cost) = (qty, left.cost);
        position.traded += qty;
        (position.contract, position.kept_back) = (Some(contract), kept_back);
        Ok(())
    }

    /// A split is over: nobody holds a contract on what it split by the strike of before.
    pub(super) fn all_have_followed(&mut self, id: &str) -> Result<(), String> {
        let ratio = self.splits.remove(id).ok_or("what is completed has begun")?;
        if ratio.0 == ratio.1 {
            return Ok(());
        }
        let open = self.orders.values().filter(|order| !order.ended);
        let mut legs = open.flat_map(|order| &order.legs);
        let on = |contract: Option<&Contract>| contract.is_some_and(|it| it.on == id);
        hold("orders of options end with a split", !legs.any(|leg| on(leg.contract.as_ref())))
    }
}
