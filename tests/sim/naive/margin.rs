//! What a margin account's orders set aside, and what backs them.

use std::collections::BTreeMap;

use super::contracts::{A_CENT, Contract};
use super::{Amount, Fact, Naive, Position, hold, times};

impl Naive {
    /// An order of a margin account sets aside the shares that it closes, and margin if it opens any.
    pub(super) fn margin_at_rest(&self) -> Result<(), String> {
        for (id, order) in &self.orders {
            let account = self.accounts.get(&order.account).filter(|account| account.margin);
            let Some(account) = account.filter(|_| order.legs.is_empty()) else { continue };
            let shares: Amount = self.positions.values().filter_map(|it| it.reserved.get(id)).sum();
            let cash = account.reserved.get(id).copied().unwrap_or(0);
            if order.family.is_some() && !order.entry {
                hold("I5: an exit reserves shares alone", cash == 0)?;
                continue;
            }
            let opens = if order.ended { 0 } else { order.qty - order.filled - shares };
            hold("I5: an order that ended reserves nothing", !order.ended || shares == 0)?;
            hold("I5: what opens reserves margin, nothing else", (opens > 0) == (cash > 0))?;
            hold("I5: no more is set aside than is open", opens >= 0)?;
        }
        Ok(())
    }
}
/// What an event takes of margin is backed by what it says: by everything that the account holds, at its prices.
pub(super) fn backed(
    positions: &BTreeMap<String, Position>,
    (id, cash, reserved): (&str, Amount, Amount),
    event: &str,
    fact: &Fact<'_>,
) -> Result<(), String> {
    let told = fact.0.get("margin").map(Fact);
    let takes = matches!(event, "CashReserved" | "CashWithdrawn");
    let Some(told) = told else {
        return hold("I4: what takes margin says how the account stood", !takes);
    };
    let (mut equity, mut initial) = (cash, 0);
    let mut named = 0;
    let mut short_options = false;
    for holding in told.list("holdings") {
        let (qty, price) = (holding.amount("qty"), holding.amount("price"));
        let name = format!("{id}/{}", holding.text("instrument_id"));
        // What short options are on is named for its price.
        let held = positions.get(&name).map_or(0, |it| it.qty);
        hold("I4: what is backed is held", held == qty)?;
        named += u32::from(qty != 0);
        if Contract::of(&holding).is_some() {
            // Options back nothing. Long ones need nothing.
            short_options |= qty < 0;
            continue;
        }
        let value = times(qty, price);
        equity += value;
        initial += value.abs() / 2;
    }
    let prefix = format!("{id}/");
    let held = positions.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
    let held = held.filter(|(_, it)| it.qty != 0).count();
    hold("I4: all that is held is backed", Ok(held) == usize::try_from(named))?;
    if short_options {
        // What they need no second fold but the audit's reckons: never less than nothing.
        let needs = told.amount("initial") - initial;
        hold("I4: short options need no less than nothing", needs >= -A_CENT * i128::from(named))?;
        initial = told.amount("initial");
    }
    // Each holding is rounded to the cent, its margin up.
    let cents = (1 + 2 * i128::from(named)) * A_CENT;
    let asked = if takes { fact.amount("amount") } else { 0 };
    hold("I4: no more margin is taken than is free", asked <= equity - initial - reserved + cents)
}
