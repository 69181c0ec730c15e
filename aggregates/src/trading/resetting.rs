//! An account that begins again: open orders, positions and cash in one commit.
//!
//! Nothing is erased: the orders are canceled, each position says what it gave up, and the account says what it took
//! to come to the new balance. The journal moves all of it out to where deposits come from. While a split of
//! something that the account holds is being applied, it waits.

use std::collections::BTreeSet;

use super::{Desk, Undecided, World};
use crate::account::AccountCommand;
use crate::id::{AccountId, CommandId, InstrumentId};
use crate::market::MarketTime;
use crate::money::Money;
use crate::order::{CancelReason, OrderCommand};
use crate::position::PositionCommand;
use crate::refusal::{Refusal, RefusalCode};

impl<W: World> Desk<'_, W> {
    /// Lets an account begin again.
    pub(super) fn reset(
        &mut self,
        account_id: AccountId,
        reset_id: CommandId,
        balance: Money,
        at: Option<MarketTime>,
    ) -> Result<(), Undecided> {
        let orders = self.open_orders(account_id)?;
        let mut positions: Vec<InstrumentId> = Vec::new();
        for instrument_id in self.look_holdings(account_id)? {
            if !self.look_position(account_id, instrument_id)?.is_blank() {
                positions.push(instrument_id);
            }
        }
        let mut touched: BTreeSet<InstrumentId> = positions.iter().copied().collect();
        for instrument_id in &positions {
            let position = self.look_position(account_id, *instrument_id)?;
            let held = position.contract().filter(|_| !position.qty().is_zero());
            touched.extend(held.map(|terms| terms.underlying_id));
        }
        for order_id in &orders {
            touched.insert(self.look_spec(*order_id)?.splits_with());
        }
        for instrument_id in touched {
            let instrument = self.look_instrument(instrument_id)?;
            if let Some((action_id, _)) = instrument.splitting() {
                let message = format!(
                    "the split {action_id} of {} is being applied: reset the account when it is over",
                    instrument.symbol()
                );
                return Err(Refusal::new(RefusalCode::CorporateAction, message).into());
            }
        }
        if !orders.is_empty() || !positions.is_empty() {
            let Some(at) = at else {
                let message = "the market has no time yet, so orders and positions cannot end: wait for the first tick";
                return Err(Refusal::new(RefusalCode::MarketClockUnset, message).into());
            };
            let cancel = OrderCommand::Cancel { reason: CancelReason::AccountReset, at };
            for order_id in orders {
                self.order(order_id, &cancel)?;
            }
            for instrument_id in positions {
                let give_up = PositionCommand::Reset { reset_id, at };
                self.position(account_id, instrument_id, &give_up)?;
            }
        }
        self.account(account_id, &AccountCommand::Reset { reset_id, balance, at })
    }
}
