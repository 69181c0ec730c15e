//! An account that begins again: open orders, positions and cash in one commit.
//!
//! Nothing is erased: the orders are canceled, each position says what it gave up, and the account says what it took
//! to come to the new balance. The journal moves all of it out to where deposits come from. While a split of
//! something that the account holds is being applied, it waits.

use std::collections::BTreeSet;

use super::{Desk, Undecided, World};
use crate::account::{AccountCommand, AccountError};
use crate::id::{AccountId, CommandId, InstrumentId, OrderId};
use crate::market::MarketTime;
use crate::money::Money;
use crate::order::{CancelReason, OrderCommand, OrderError};
use crate::position::PositionCommand;
use crate::refusal::{Refusal, RefusalCode};
use crate::stream::StreamId;

impl<W: World> Desk<'_, W> {
    /// Lets an account begin again.
    pub(super) fn reset(
        &mut self,
        account_id: AccountId,
        reset_id: CommandId,
        balance: Money,
        at: Option<MarketTime>,
    ) -> Result<(), Undecided> {
        let account = self.look_account(account_id)?;
        if !account.is_open() {
            return Err(AccountError::NotFound.into());
        }
        let held = self.world.holdings(account_id);
        let held = held.ok_or(Undecided::Absent(StreamId::Account(account_id)))?;
        // Every open order has reserved something: cash for a buy, shares for a sell.
        let mut orders: BTreeSet<OrderId> = account.reservations().keys().copied().collect();
        let mut touched: BTreeSet<InstrumentId> = BTreeSet::new();
        for instrument_id in held {
            let position = self.look_position(account_id, instrument_id)?;
            if !position.is_blank() {
                orders.extend(position.reserving_orders());
                touched.insert(instrument_id);
            }
        }
        let positions: Vec<InstrumentId> = touched.iter().copied().collect();
        for order_id in &orders {
            let spec = self.look_order(*order_id)?.spec().ok_or(OrderError::NotFound)?;
            touched.insert(spec.instrument_id);
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
