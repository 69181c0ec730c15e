//! Options that end before they expire, by a command: exercised by their owner, assigned by the operator; and what an owner
//! says about the exercise at expiry.
//!
//! An owner exercises what he can pay for, by the same rule as a fill, with shares that no open order has set aside; the
//! account's level has to permit what that leaves uncovered. An assignment comes as it does: it may leave a debt, a margin
//! call, and shorts that nothing covers. Only american options end early, and once the last session of an option is over
//! none of this is asked of it any more.

use std::collections::BTreeSet;

use super::cover::Shift;
use super::delivery::{Ends, Strikes};
use super::margin::standing_after;
use super::reducing::Changing;
use super::{Desk, Undecided, World};
use crate::account::AccountError;
use crate::id::{AccountId, CommandId, InstrumentId};
use crate::instrument::{ExerciseStyle, OptionEnd, OptionTerms, Settlement};
use crate::margin::{Marks, Standing};
use crate::market::{MarketTime, Reference};
use crate::money::{Money, Quantity};
use crate::position::{PositionCommand, PositionError};
use crate::refusal::{Refusal, RefusalCode};

impl<'a, W: World> Desk<'a, W> {
    /// Exercises a long option early.
    pub(super) fn exercise(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        exercise_id: CommandId,
        (qty, underlying): (Quantity, Option<&Reference>),
        marks: &Marks,
        (contract_end, at): (Option<MarketTime>, MarketTime),
    ) -> Result<(), Undecided> {
        self.is_not_over(instrument_id, contract_end, at)?;
        let terms = self.ends_early((account_id, instrument_id), qty, true)?;
        let position = self.look_position(account_id, instrument_id)?;
        let (free, held) = (position.available()?, position.qty());
        if qty > free {
            let reserved = position.reserved_qty();
            let shares =
                PositionError::InsufficientShares { asked: qty, available: free, held, reserved };
            return Err(Refusal::from(shares).field("qty").into());
        }
        let (how, standing) = match terms.settlement {
            Settlement::Cash => {
                let symbol = self.look_instrument(instrument_id)?.symbol();
                let price = underlying.map(|it| it.price).ok_or_else(|| unpriced(symbol, terms))?;
                if !terms.intrinsic(price)?.is_positive() {
                    let message = format!(
                        "{symbol} is not in the money with {} at {price}: its exercise would pay nothing",
                        terms.underlying
                    );
                    return Err(Refusal::new(RefusalCode::InvalidOrder, message).into());
                }
                self.look_account(account_id)?.permits_order(false, Quantity::ZERO, Money::ZERO)?;
                (OptionEnd::CashSettled, None)
            }
            Settlement::Physical => {
                let of = (account_id, instrument_id);
                (OptionEnd::Exercised, self.can_exercise(of, (terms, qty), marks)?)
            }
        };
        let ends = Ends {
            instrument_id,
            terms: terms.clone(),
            long: true,
            how,
            qty,
            settlement_price: underlying.map(|it| it.price),
            bid: None,
            split: None,
        };
        let cause = exercise_id.uuid();
        self.carry_out(account_id, vec![ends], (cause.as_bytes(), standing.as_ref()), at)
    }

    /// Assigns a short option early.
    pub(super) fn assign(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        assignment_id: CommandId,
        qty: Quantity,
        marks: &Marks,
        (contract_end, at): (Option<MarketTime>, MarketTime),
    ) -> Result<(), Undecided> {
        self.is_not_over(instrument_id, contract_end, at)?;
        let terms = self.ends_early((account_id, instrument_id), qty, false)?;
        let price = marks.get(&terms.underlying_id).map(|mark| mark.long.price);
        if terms.settlement == Settlement::Cash && price.is_none() {
            let symbol = self.look_instrument(instrument_id)?.symbol();
            return Err(unpriced(symbol, terms).into());
        }
        let how = match terms.settlement {
            Settlement::Cash => OptionEnd::CashSettled,
            Settlement::Physical => OptionEnd::Assigned,
        };
        let ends = Ends {
            instrument_id,
            terms: terms.clone(),
            long: false,
            how,
            qty,
            settlement_price: price,
            bid: None,
            split: None,
        };
        self.carry_out(account_id, vec![ends], (assignment_id.uuid().as_bytes(), None), at)
    }

    /// Takes down whether a long option shall be exercised when it expires.
    pub(super) fn instruct_exercise(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        exercise: bool,
        (contract_end, at): (Option<MarketTime>, MarketTime),
    ) -> Result<(), Undecided> {
        self.is_not_over(instrument_id, contract_end, at)?;
        self.held_contract((account_id, instrument_id), true)?;
        let instruct = PositionCommand::InstructExercise { exercise, at };
        self.position(account_id, instrument_id, &instruct)
    }

    /// After the last session of a contract nobody decides any more how it ends.
    fn is_not_over(
        &self,
        instrument_id: InstrumentId,
        contract_end: Option<MarketTime>,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let instrument = self.look_instrument(instrument_id)?;
        let over = contract_end.is_some_and(|end| end <= at);
        if !over && instrument.expired().is_none() {
            return Ok(());
        }
        let message = format!(
            "{} has expired, and is settled at the official close of what it is on: nothing else ends it now",
            instrument.symbol()
        );
        Err(Refusal::new(RefusalCode::ContractExpired, message).field("symbol").into())
    }

    /// The contract that is held long, or short.
    fn held_contract(
        &self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        long: bool,
    ) -> Result<&'a OptionTerms, Undecided> {
        if !self.look_account(account_id)?.is_open() {
            return Err(AccountError::NotFound.into());
        }
        let symbol = self.look_instrument(instrument_id)?.symbol();
        let position = self.look_position(account_id, instrument_id)?;
        let held = position.qty();
        let on_side = !held.is_zero() && held.is_positive() == long;
        position.contract().filter(|_| on_side).ok_or_else(|| {
            let side = if long { "long" } else { "short" };
            let message =
                format!("the account holds {held} {symbol}: it has to be {side} of the option");
            Refusal::new(RefusalCode::InsufficientShares, message).figure("held", held).into()
        })
    }

    /// The contract of which `qty` may end before it expires.
    fn ends_early(
        &self,
        of: (AccountId, InstrumentId),
        qty: Quantity,
        long: bool,
    ) -> Result<&'a OptionTerms, Undecided> {
        let terms = self.held_contract(of, long)?;
        let (symbol, held) =
            (self.look_instrument(of.1)?.symbol(), self.look_position(of.0, of.1)?.qty().abs());
        if terms.style == ExerciseStyle::European {
            let message = format!(
                "{symbol} is european: it is exercised when it expires on {}, not before",
                terms.expiration
            );
            return Err(Refusal::new(RefusalCode::InvalidOrder, message).field("symbol").into());
        }
        if !qty.is_positive() || !qty.is_whole() {
            let message = format!("qty {qty}: options end in whole contracts, 1 or more");
            return Err(Refusal::new(RefusalCode::InvalidOrder, message).field("qty").into());
        }
        if qty > held {
            let message =
                format!("qty {qty} is more than the {held} {symbol} that the account holds");
            let refusal = Refusal::new(RefusalCode::InsufficientShares, message).field("qty");
            return Err(refusal.figure("asked", qty).figure("held", held).into());
        }
        self.not_being_split(terms)?;
        Ok(terms)
    }

    /// Whether the account can exercise so many contracts, and how a margin account stands afterwards.
    fn can_exercise(
        &self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        (terms, qty): (&OptionTerms, Quantity),
        marks: &Marks,
    ) -> Result<Option<Standing>, Undecided> {
        let account = self.look_account(account_id)?;
        let strikes = Strikes::of(terms, true, qty)?;
        let shares = self.look_position(account_id, terms.underlying_id)?;
        let closes = shares.held_against(strikes.side).min(strikes.shares);
        let opens = strikes.shares > closes;
        account.permits_order(opens, Quantity::ZERO, Money::ZERO)?;
        let free = shares.free_against(strikes.side)?;
        let sells = strikes.signed().is_negative();
        if closes > free || !account.is_margin() && sells && opens {
            let (held, reserved) = (shares.qty(), shares.reserved_qty());
            let asked = strikes.shares;
            let error =
                PositionError::InsufficientShares { asked, available: free, held, reserved };
            return Err(error.into());
        }
        let after = shares.qty().plus(strikes.signed())?;
        if after.is_negative() && !after.is_whole() && !shares.qty().is_negative() {
            let message = format!(
                "the exercise would leave {after} {}: short positions are in whole shares",
                terms.underlying
            );
            return Err(Refusal::new(RefusalCode::FractionalShort, message).into());
        }
        let (contract, on) = (Some(terms.clone()), terms.underlying_id);
        let shifts = [
            Shift::new(instrument_id, contract, qty.negated()),
            Shift::new(on, None, strikes.signed()),
        ];
        let before = self.need(account_id, on, (marks, &[]))?;
        let need = self.need(account_id, on, (marks, &shifts))?;
        self.permits_level(account_id, &[], (&before, &need))?;
        let changing = Changing { account_id, underlying_id: on, own: None };
        self.uncovers_no_more(changing, &shifts)?;
        self.needs_no_more(changing, (before.money, need.money))?;
        if !account.is_margin() {
            let collateral = self.collateral_beside(account_id, &BTreeSet::new())?;
            let available = account.available()?.minus(collateral)?;
            let needed = strikes.cash().negated();
            return match needed.is_positive() && needed > available {
                true => Err(AccountError::InsufficientBuyingPower { needed, available }.into()),
                false => Ok(None),
            };
        }
        if opens {
            self.backing(account_id, marks)?;
        }
        let now = standing_after(self.world, account_id, (Money::ZERO, &[]), marks)?;
        let then = standing_after(self.world, account_id, (strikes.cash(), &shifts), marks)?;
        let (now, left) = (now.excess(account.reserved())?, then.excess(account.reserved())?);
        if left < now.min(Money::ZERO) {
            let (needed, available) = (now.minus(left)?, now);
            let message = format!(
                "the exercise takes {needed} of margin, and {available} is free: exercise fewer, deposit, or reduce positions"
            );
            let refusal = Refusal::new(RefusalCode::InsufficientBuyingPower, message);
            return Err(refusal.figure("needed", needed).figure("available", available).into());
        }
        Ok(Some(then))
    }
}

fn unpriced(symbol: &str, terms: &OptionTerms) -> Refusal {
    let message = format!(
        "{symbol} is settled in cash, and {} has no price: wait for a quote or a trade",
        terms.underlying
    );
    Refusal::new(RefusalCode::NoMark, message)
}
