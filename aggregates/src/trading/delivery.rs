//! What the end of options does to their account: the options, the shares that they deliver, and the money, in one commit.
//!
//! Shares that a delivery takes are taken whatever open orders have set aside. Those of these orders that would close more
//! than is left end, the newest first and exits after all others, so that no more is set aside than is held. What adds to
//! a holding of shares is delivered before what takes from it, and money that comes in is booked before money that goes
//! out: a commit that nets out passes no debt and ends no order on its way. Nothing is charged.

use std::cmp::Reverse;

use super::{Desk, Undecided, World};
use crate::account::AccountCommand;
use crate::id::{AccountId, FillId, InstrumentId};
use crate::instrument::{OptionEnd, OptionTerms, Right};
use crate::margin::Standing;
use crate::market::{MarketTime, Reference};
use crate::money::{AmountError, Money, Price, Quantity};
use crate::order::{CancelReason, Side};
use crate::position::{Delivery, Ending, PaidOut, PositionCommand, PositionEvent};
use crate::refusal::{Refusal, RefusalCode};
use crate::stream::Event;

/// Contracts of one option that an account holds and that end alike.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub instrument_id: InstrumentId,
    pub terms: OptionTerms,
    /// Whether they are held long.
    pub long: bool,
    pub how: OptionEnd,
    /// Contracts, above zero.
    pub qty: Quantity,
    pub settlement_price: Option<Price>,
    pub bid: Option<Reference>,
    /// The split that pays them out.
    pub split: Option<PaidOut>,
}

/// Shares and money that the exercise of contracts moves, as its account sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strikes {
    /// Buy if it brings shares.
    pub side: Side,
    /// Shares.
    pub shares: Quantity,
    /// What the strike comes to.
    pub amount: Money,
}

impl Strikes {
    /// Those of so many contracts of a holding.
    pub fn of(terms: &OptionTerms, long: bool, qty: Quantity) -> Result<Self, AmountError> {
        let side = if (terms.right == Right::Call) == long { Side::Buy } else { Side::Sell };
        let (shares, amount) = (terms.shares_of(qty)?, terms.exercise_amount(qty)?);
        Ok(Self { side, shares, amount })
    }

    /// The shares, negative if they go.
    pub fn signed(&self) -> Quantity {
        if self.side == Side::Buy { self.shares } else { self.shares.negated() }
    }

    /// The change of cash.
    pub fn cash(&self) -> Money {
        if self.side == Side::Buy { self.amount.negated() } else { self.amount }
    }
}

impl Ends {
    /// What it delivers; `None` if it delivers nothing.
    pub fn strikes(&self) -> Result<Option<Strikes>, AmountError> {
        match self.how.delivers() {
            true => Strikes::of(&self.terms, self.long, self.qty).map(Some),
            false => Ok(None),
        }
    }
}

/// The order in which contracts end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// They add to a holding of shares, or bring the first.
    Adds,
    /// They take from it, or would with none sell short.
    Takes,
    /// They deliver nothing: of one option those come first that do, with its oldest lots.
    DeliversNothing,
}

impl<W: World> Desk<'_, W> {
    /// Ends these contracts of an account. `cause` tells one end of the same contracts from another: a session or a command.
    pub(super) fn carry_out(
        &mut self,
        account_id: AccountId,
        endings: Vec<Ends>,
        (cause, margin): (&[u8], Option<&Standing>),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let mut sorted = Vec::with_capacity(endings.len());
        for ends in endings {
            let short =
                self.look_position(account_id, ends.terms.underlying_id)?.qty().is_negative();
            let turn = match ends.strikes()? {
                Some(Strikes { side, .. }) if (side == Side::Sell) == short => Turn::Adds,
                Some(_) => Turn::Takes,
                None => Turn::DeliversNothing,
            };
            sorted.push((turn, ends));
        }
        sorted.sort_by_key(|(turn, _)| *turn);
        let mut payments = Vec::with_capacity(sorted.len());
        for (_, ends) in &sorted {
            let Ends { instrument_id, how, .. } = *ends;
            let ending_id = FillId::of_ending(account_id, instrument_id, cause, how.word());
            let amount = self.end_contracts(account_id, ends, ending_id, at)?;
            if !amount.is_zero() {
                let margin = margin.filter(|_| how == OptionEnd::Exercised).cloned();
                payments.push((
                    Reverse(amount),
                    AccountCommand::SettleOption {
                        instrument_id,
                        ending_id,
                        how,
                        amount,
                        margin,
                        at,
                    },
                ));
            }
        }
        payments.sort_by_key(|(amount, _)| *amount);
        for (_, payment) in &payments {
            self.account(account_id, payment)?;
        }
        Ok(())
    }

    /// Ends contracts, delivers their shares, and gives the change of cash that is to be booked.
    fn end_contracts(
        &mut self,
        account_id: AccountId,
        ends: &Ends,
        ending_id: FillId,
        at: MarketTime,
    ) -> Result<Money, Undecided> {
        let Ends { instrument_id: option_id, terms, long, how, qty, settlement_price, bid, split } =
            ends.clone();
        let closing = if long { Side::Sell } else { Side::Buy };
        let reason = CancelReason::ContractEnded;
        self.make_room((account_id, option_id), (closing, qty), reason, at)?;
        let ending = Ending { how, ending_id, qty, settlement_price, bid, split, at };
        self.position(account_id, option_id, &PositionCommand::EndOption(ending))?;
        let Some((_, Event::Position(PositionEvent::OptionEnded { proceeds, moved, .. }))) =
            self.decision.events.last()
        else {
            return Err(AmountError::Inexact.into());
        };
        let (proceeds, moved) = (*proceeds, *moved);
        let Some(strikes) = ends.strikes()? else {
            return Ok(if long { proceeds } else { proceeds.negated() });
        };
        let amount = match terms.right {
            Right::Call => strikes.amount.plus(moved)?,
            Right::Put => strikes.amount.minus(moved)?,
        };
        let instrument_id = terms.underlying_id;
        let Strikes { side, shares, .. } = strikes;
        let reason = CancelReason::PositionClosed;
        self.make_room((account_id, instrument_id), (side, shares), reason, at)?;
        let delivery = Delivery {
            account_id,
            instrument_id,
            symbol: terms.underlying,
            option_id,
            ending_id,
            side,
            qty: shares,
            price: terms.strike,
            amount,
            at,
        };
        self.position(account_id, instrument_id, &PositionCommand::Deliver(delivery))?;
        Ok(strikes.cash())
    }

    /// Ends orders that have more of a holding set aside than will be left of it once `qty` of it are taken.
    fn make_room(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        (side, qty): (Side, Quantity),
        reason: CancelReason,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let held = self.position_ahead(account_id, instrument_id)?.held_against(side);
        if held.is_zero() {
            return Ok(());
        }
        let left = held.minus(qty.min(held))?;
        for order_id in self.lenders(account_id, instrument_id)? {
            let position = self.position_ahead(account_id, instrument_id)?;
            if position.reserved_qty() <= left {
                break;
            }
            if !position.reservation(order_id).is_zero() {
                self.cancel(account_id, order_id, reason, at)?;
            }
        }
        Ok(())
    }

    /// Shares of what an option is on are not delivered between two counts of them.
    pub(super) fn not_being_split(&self, terms: &OptionTerms) -> Result<(), Undecided> {
        let Some((action_id, _)) = self.look_instrument(terms.underlying_id)?.splitting() else {
            return Ok(());
        };
        let message = format!(
            "the split {action_id} of {} is being applied: try again when it is over",
            terms.underlying
        );
        Err(Refusal::new(RefusalCode::CorporateAction, message).into())
    }
}
