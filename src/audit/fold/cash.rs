//! What a cash account never does: sell shares that it does not hold, leave a call uncovered that it is short of, or spend what
//! secures its short puts.
//!
//! An assignment, or the expiry of what covered, may leave any of these, and says so by its events; so may a split. What is so
//! already may stay so: then a fill, or an exercise of its owner's, makes it no worse. What was before is found from what is
//! after and what moved.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Streams;
use super::act::Act;
use super::amount::Amount;
use super::fields::Fault;
use crate::audit::report::{Code, Findings};

/// Before the command and after it.
type Both = [Amount; 2];

/// The calls on one underlying that an account is short of.
#[derive(Debug, Default)]
struct Calls {
    /// The shares that they are on.
    shares: Both,
    /// Those of the smallest contract: fewer shares cover nothing.
    unit: Option<Amount>,
}

/// Checks a command that is over.
pub(super) fn check(act: &Act, streams: &Streams, findings: &mut Findings) -> Result<(), Fault> {
    let Some((id, account)) = act.account.and_then(|id| Some((id, streams.accounts.get(&id)?)))
    else {
        return Ok(());
    };
    if account.is_margin() || act.traded.is_empty() && !act.ends.any() || act.ends.befell(streams) {
        return Ok(());
    }
    let position = act.position;
    let changed = changed(act);
    let of = |instrument: Uuid| -> Both {
        let after = streams.positions.get(&(id, instrument)).map_or(Amount::ZERO, |held| held.qty);
        [after - changed.get(&instrument).copied().unwrap_or_default(), after]
    };
    for instrument in changed.keys() {
        let holding = streams.positions.get(&(id, *instrument));
        let [before, after] = of(*instrument);
        let short =
            holding.is_some_and(|held| held.contract.is_none()) && after < before.min(Amount::ZERO);
        findings.expect(!short, position, Code::Holding, || {
            format!("a cash account sells shares short: it holds {after} of {instrument}")
        });
    }
    let (mut calls, mut collateral) = (BTreeMap::<Uuid, Calls>::new(), Both::default());
    let range = (id, Uuid::nil())..=(id, Uuid::max());
    for ((_, instrument), holding) in streams.positions.range(range) {
        let Some(terms) = &holding.contract else { continue };
        for (n, qty) in of(*instrument).into_iter().enumerate().filter(|(_, qty)| qty.sign() < 0) {
            if !terms.is_call {
                collateral[n] += terms.exercise(qty.abs()).ok_or("a strike has no bound")?;
                continue;
            }
            let short = calls.entry(terms.underlying).or_default();
            short.shares[n] += qty.abs().times(terms.shares).ok_or("calls are on too much")?;
            short.unit = Some(short.unit.map_or(terms.shares, |unit| unit.min(terms.shares)));
        }
    }
    for (underlying, short) in &calls {
        let (held, unit) = (of(*underlying), short.unit.unwrap_or_default());
        let [before, after] = [0, 1].map(|n| {
            let covers = held[n].max(Amount::ZERO).in_wholes_of(unit);
            (short.shares[n] - covers).max(Amount::ZERO)
        });
        findings.expect(after <= before, position, Code::Holding, || {
            format!(
                "a cash account leaves calls on {after} shares of {underlying} uncovered, where it was {before}"
            )
        });
    }
    let free = account.cash - account.reserved - collateral[1];
    let moved = act.moved() - (collateral[1] - collateral[0]);
    // The fees of a sell may leave a deficit.
    let least = (free - moved).min(Amount::ZERO) - act.fees_of_sells();
    findings.expect(free >= least, position, Code::Account, || {
        format!(
            "a cash account is left with {free} beside the {} that secure its short puts",
            collateral[1]
        )
    });
    Ok(())
}

/// What fills and ends of options changed of each holding.
fn changed(act: &Act) -> BTreeMap<Uuid, Amount> {
    let traded = act
        .traded
        .iter()
        .map(|traded| (traded.instrument, if traded.is_buy { traded.qty } else { -traded.qty }));
    let mut changed = BTreeMap::new();
    for (instrument, qty) in traded.chain(act.ends.changed()) {
        *changed.entry(instrument).or_insert(Amount::ZERO) += qty;
    }
    changed
}
