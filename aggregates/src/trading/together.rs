//! How many contracts of one underlying an account may have to cover together.
//!
//! What many contracts need least is found by a search whose time grows faster than they do, so their number is bounded
//! where it grows: an order is refused that would open one too many. What is held and what open orders may still open
//! count, so that whatever fills is covered as a whole.

use std::collections::BTreeMap;

use super::{Desk, Undecided, World};
use crate::id::{InstrumentId, OrderId};
use crate::margin::most_contracts;
use crate::money::Price;
use crate::order::{LEGS, Leg, OrderSpec, Side};
use crate::refusal::{Refusal, RefusalCode};

/// The contracts on an underlying that an account holds or has orders to open.
#[derive(Default)]
struct Together {
    /// Each with its strike.
    contracts: BTreeMap<InstrumentId, Price>,
    /// One of them is short, or may come to be.
    short: bool,
}

impl Together {
    /// How many of these strikes are covered together.
    fn most(&self) -> usize {
        most_contracts(self.contracts.values().copied())
    }

    fn add_order(&mut self, spec: &OrderSpec) {
        for leg in spec.package().into_iter().filter(Leg::opens) {
            if let Some(terms) = leg.contract {
                self.contracts.insert(leg.instrument_id, terms.strike);
                self.short |= leg.side == Side::Sell;
            }
        }
    }
}

impl<W: World> Desk<'_, W> {
    /// Refuses an order of a margin account that would open more contracts than are covered together.
    pub(super) fn covers_together(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
    ) -> Result<(), Undecided> {
        let (account_id, on) = (spec.account_id, spec.splits_with());
        let mut held = Together::default();
        for instrument_id in self.look_holdings(account_id)? {
            let position = self.look_position(account_id, instrument_id)?;
            let contract = position.contract().filter(|terms| terms.underlying_id == on);
            if let Some(terms) = contract.filter(|_| !position.qty().is_zero()) {
                held.contracts.insert(instrument_id, terms.strike);
                held.short |= position.qty().is_negative();
            }
        }
        let before = held.contracts.len();
        held.add_order(spec);
        let account = self.look_account(account_id)?;
        // Of a cash account each short is covered in full, by itself.
        if held.contracts.len() == before || !account.is_margin() {
            return Ok(());
        }
        let orders = self.reserving_orders(account_id)?;
        // Orders are looked at where they might matter.
        if held.contracts.len() + orders.len() * LEGS.end() > held.most() {
            for other in orders.into_iter().filter(|other| *other != order_id) {
                let other = self.look_spec(other)?;
                if other.splits_with() == on {
                    held.add_order(other);
                }
            }
        }
        let (count, most) = (held.contracts.len(), held.most());
        if !held.short || count <= most {
            return Ok(());
        }
        let legs = spec.package();
        let contracts = legs.iter().filter_map(|leg| leg.contract.as_ref());
        let on = contracts.map(|terms| terms.underlying.as_str()).next().unwrap_or_default();
        let message = format!(
            "with this the account would hold or have orders for {count} different contracts on {on}, some of them short, and at most \
             {most} of such strikes are covered together: close some, cancel orders that open others, or use another account"
        );
        let refusal = Refusal::new(RefusalCode::ContractsLimit, message);
        Err(refusal.figure("contracts", count).figure("max_contracts", most).into())
    }
}
