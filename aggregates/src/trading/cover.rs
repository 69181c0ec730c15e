//! What the options of an account on one underlying need as they are, and as an order would leave them; and what level of
//! options that takes.
//!
//! | level | permits |
//! |---|---|
//! | 0 | nothing but closing |
//! | 1 | short calls on shares that are held, short puts on cash that is set aside |
//! | 2 | long options |
//! | 3 | short options covered by long ones: spreads |
//! | 4 | naked short options |

use std::collections::{BTreeMap, BTreeSet};

use super::{Desk, Undecided, World};
use crate::account::{Account, AccountKind};
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::instrument::{Contract, ContractError, MULTIPLIER, OptionTerms, Right};
use crate::margin::{
    Cover, Marks, NakedPuts, OptionHolding, Underlying, best_cover, options_requirement,
    secured_requirement,
};
use crate::money::{AmountError, Money, Price, Quantity};
use crate::order::{Leg, OrderSpec, Side};
use crate::refusal::{Refusal, RefusalCode};

/// The level that permits naked short options.
const NAKED: u8 = NakedPuts::NAKED_LEVEL;

/// What an order or another event would add to a holding.
#[derive(Clone, Debug)]
pub(super) struct Shift {
    pub instrument_id: InstrumentId,
    pub contract: Option<OptionTerms>,
    /// Contracts or shares; negative takes away.
    pub qty: Quantity,
    /// Shares of it that the order has set aside already: they are not taken from what is free.
    pub reserved: Quantity,
}

impl Shift {
    /// So many more of an option, or of shares, of which no order has set anything aside.
    pub const fn new(
        instrument_id: InstrumentId,
        contract: Option<OptionTerms>,
        qty: Quantity,
    ) -> Self {
        Self { instrument_id, contract, qty, reserved: Quantity::ZERO }
    }

    /// What so many of a leg add.
    pub fn of(leg: &Leg, qty: Quantity) -> Self {
        let qty = if leg.side == Side::Buy { qty } else { qty.negated() };
        Self::new(leg.instrument_id, leg.contract.clone(), qty)
    }
}

/// What the options on one underlying need.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Need {
    /// Margin; of a cash account the cash that secures its short puts.
    pub money: Money,
    /// Contracts by what covers them.
    pub cover: Cover,
}

/// The options on one underlying, and the shares of it.
#[derive(Default)]
struct Held {
    shares: Quantity,
    free_shares: Quantity,
    options: BTreeMap<InstrumentId, (OptionTerms, Quantity)>,
}

impl<W: World> Desk<'_, W> {
    /// What the options on the underlying of an order need once its holdings have changed by these.
    pub(super) fn need(
        &self,
        account_id: AccountId,
        underlying_id: InstrumentId,
        (marks, shifts): (&Marks, &[Shift]),
    ) -> Result<Need, Undecided> {
        let held = self.options_on(account_id, underlying_id, shifts)?;
        let account = self.look_account(account_id)?;
        if held.options.values().all(|(_, qty)| !qty.is_negative()) {
            return Ok(Need::default());
        }
        let mut holdings = Vec::with_capacity(held.options.len());
        for (instrument_id, (terms, qty)) in &held.options {
            let price = match account.is_margin() {
                true => self.marked((*instrument_id, *qty), marks)?,
                false => Price::ZERO,
            };
            holdings.push(OptionHolding { contract: contract_of(terms)?, qty: *qty, price });
        }
        if !account.is_margin() {
            let secured = secured_requirement(held.free_shares, &holdings)?;
            let mut uncovered = secured.uncovered.iter();
            let naked_calls = uncovered.try_fold(Quantity::ZERO, |sum, it| sum.plus(it.qty))?;
            let by_shares = secured.shares.whole_times(terms_unit()?)?;
            let cover = Cover { naked_calls, by_shares, ..Cover::default() };
            return Ok(Need { money: secured.cash, cover });
        }
        let shares = self.look_position(account_id, underlying_id)?.qty();
        let price = self.marked((underlying_id, shares), marks)?;
        let underlying = Underlying { price, shares: held.shares, broad_index: false };
        let puts = naked_puts(account);
        let money = options_requirement(&underlying, &holdings, puts)?.requirement;
        // Whoever may be naked may be covered in any way.
        let cover = match account.option_level() < NAKED {
            true => best_cover(held.shares, &holdings)?,
            false => Cover::default(),
        };
        Ok(Need { money, cover })
    }

    /// Whether legs of a margin account can only make what its options need less: they buy back what is short, or leave no
    /// short option on the underlying. Needs no price.
    pub(super) fn only_reduces(
        &self,
        account_id: AccountId,
        underlying_id: InstrumentId,
        (legs, shifts): (&[Leg], &[Shift]),
    ) -> Result<bool, Undecided> {
        let closes = legs.iter().all(|leg| !leg.opens() && leg.contract.is_some());
        if !closes || !self.look_account(account_id)?.is_margin() {
            return Ok(false);
        }
        if legs.iter().all(|leg| leg.side == Side::Buy) {
            return Ok(true);
        }
        let after = self.options_on(account_id, underlying_id, shifts)?;
        Ok(after.options.values().all(|(_, qty)| !qty.is_negative()))
    }

    /// The options of an account on an underlying and its shares, as these changes would leave them.
    fn options_on(
        &self,
        account_id: AccountId,
        underlying_id: InstrumentId,
        shifts: &[Shift],
    ) -> Result<Held, Undecided> {
        let mut held = Held::default();
        for instrument_id in self.look_holdings(account_id)? {
            let position = self.look_position(account_id, instrument_id)?;
            if instrument_id == underlying_id {
                held.shares = position.qty();
                held.free_shares = position.available()?;
            }
            let on = position.contract().filter(|terms| terms.underlying_id == underlying_id);
            if let Some(terms) = on.filter(|_| !position.qty().is_zero()) {
                held.options.insert(instrument_id, (terms.clone(), position.qty()));
            }
        }
        for Shift { instrument_id, contract, qty, reserved } in shifts {
            if let Some(terms) = contract {
                let entry = held.options.entry(*instrument_id);
                let (_, sum) = entry.or_insert_with(|| (terms.clone(), Quantity::ZERO));
                *sum = sum.plus(*qty)?;
            } else if *instrument_id == underlying_id {
                held.shares = held.shares.plus(*qty)?;
                held.free_shares = held.free_shares.plus(*qty)?.plus(*reserved)?;
            }
        }
        held.options.retain(|_, (_, qty)| !qty.is_zero());
        Ok(held)
    }

    /// The price that something is valued at which an account is short of, or that its options are on.
    fn marked(
        &self,
        (instrument_id, qty): (InstrumentId, Quantity),
        marks: &Marks,
    ) -> Result<Price, Undecided> {
        if let Some(mark) = marks.get(&instrument_id) {
            return Ok(if qty.is_positive() { &mark.long } else { &mark.short }.price);
        }
        let symbol = self.look_instrument(instrument_id)?.symbol();
        let message = format!(
            "{symbol} has no price, so what the options with it need as margin is not known: wait for a quote or a trade"
        );
        Err(Refusal::new(RefusalCode::NoMark, message).figure("symbol", symbol).into())
    }

    /// Whether the account's level permits what an order of options would come to.
    pub(super) fn permits_level(
        &self,
        account_id: AccountId,
        legs: &[Leg],
        (before, after): (&Need, &Need),
    ) -> Result<(), Undecided> {
        let account = self.look_account(account_id)?;
        let (level, what) = level_of(account, legs, (&before.cover, &after.cover));
        let has = account.option_level();
        if has >= level {
            return Ok(());
        }
        let kind = if account.is_margin() { AccountKind::Margin } else { AccountKind::Cash };
        let most = kind.most_option_level();
        let message = if level > most {
            // Of these a cash account has short calls alone: its puts are secured by cash.
            let uncovered = after.cover.naked_calls;
            format!(
                "this leaves {uncovered} short calls uncovered, which takes option level {level}, and a cash account has {most} at \
                 the most: it covers each call by {MULTIPLIER} shares that no order has reserved, so keep or buy those, buy calls \
                 back first, or use a margin account: one of option_level 3 where long calls cover them, of {level} where nothing does"
            )
        } else {
            let next = match level {
                ..=2 => format!(
                    "open one with option_level {level} (POST /v1/accounts) and place the order there"
                ),
                _ => format!(
                    "close what this would leave uncovered first, cover it, or open an account with option_level {level} \
                     (POST /v1/accounts)"
                ),
            };
            format!(
                "this takes option level {level} ({what}), the account has {has}, and an account keeps the level that it was opened \
                 with: {next}"
            )
        };
        let refusal = Refusal::new(RefusalCode::OptionLevel, message);
        Err(refusal.figure("level", level).figure("option_level", has).into())
    }

    /// An account that may not be naked and is left with calls that nothing covers, by an assignment or an expiry, keeps them:
    /// until they are covered it opens no options, but what covers some of them.
    pub(super) fn leaves_none_uncovered(
        &self,
        account_id: AccountId,
        on: InstrumentId,
        (before, after): (&Need, &Need),
    ) -> Result<(), Undecided> {
        let account = self.look_account(account_id)?;
        let has = account.option_level();
        if has >= NAKED || after.cover.naked_calls < before.cover.naked_calls {
            return Ok(());
        }
        let mut shorts: BTreeMap<InstrumentId, &str> = BTreeMap::new();
        for instrument_id in self.look_holdings(account_id)? {
            let position = self.look_position(account_id, instrument_id)?;
            let calls = position.contract().filter(|terms| terms.right == Right::Call);
            if let Some(terms) = calls.filter(|_| position.qty().is_negative()) {
                shorts.insert(terms.underlying_id, &terms.underlying);
            }
        }
        for (underlying_id, underlying) in shorts {
            let uncovered = match underlying_id == on {
                true => before.cover.naked_calls,
                false => self.naked_calls(account_id, underlying_id)?,
            };
            if uncovered.is_positive() {
                let message = format!(
                    "{uncovered} short calls on {underlying} are left uncovered, which takes option level {NAKED}, and the account \
                     has {has}: close or cover them before you open other options"
                );
                let refusal = Refusal::new(RefusalCode::OptionLevel, message);
                let refusal = refusal.figure("level", NAKED).figure("option_level", has);
                return Err(refusal.figure("uncovered", uncovered).into());
            }
        }
        Ok(())
    }

    /// The short calls on an underlying that nothing covers, in an account that may not be naked.
    fn naked_calls(
        &self,
        account_id: AccountId,
        underlying_id: InstrumentId,
    ) -> Result<Quantity, Undecided> {
        let held = self.options_on(account_id, underlying_id, &[])?;
        let holdings = held.options.values().map(|(terms, qty)| {
            Ok(OptionHolding { contract: contract_of(terms)?, qty: *qty, price: Price::ZERO })
        });
        let holdings = holdings.collect::<Result<Vec<_>, Undecided>>()?;
        if self.look_account(account_id)?.is_margin() {
            return Ok(best_cover(held.shares, &holdings)?.naked_calls);
        }
        let uncovered = secured_requirement(held.free_shares, &holdings)?.uncovered;
        Ok(uncovered.iter().try_fold(Quantity::ZERO, |sum, it| sum.plus(it.qty))?)
    }

    /// What a cash account has set aside for the short puts that it holds; nothing of a margin account.
    pub(super) fn collateral(&self, account_id: AccountId) -> Result<Money, Undecided> {
        self.collateral_beside(account_id, &BTreeSet::new())
    }

    /// The same of the short puts other than these.
    pub(super) fn collateral_beside(
        &self,
        account_id: AccountId,
        ended: &BTreeSet<InstrumentId>,
    ) -> Result<Money, Undecided> {
        let account = self.look_account(account_id)?;
        if account.is_margin() || account.option_level() == 0 {
            return Ok(Money::ZERO);
        }
        let mut collateral = Money::ZERO;
        for instrument_id in self.look_holdings(account_id)? {
            let position = self.look_position(account_id, instrument_id)?;
            let puts = position.contract().filter(|terms| terms.right == Right::Put);
            let puts = puts.filter(|_| !ended.contains(&instrument_id));
            if let Some(terms) = puts.filter(|_| position.qty().is_negative()) {
                let strike = terms.exercise_amount(position.qty().abs())?;
                collateral = collateral.plus(strike)?;
            }
        }
        Ok(collateral)
    }

    /// The shares that cover the short calls of an account on an underlying, other than these.
    pub(super) fn covering_beside(
        &self,
        account_id: AccountId,
        underlying_id: InstrumentId,
        ended: &BTreeSet<InstrumentId>,
    ) -> Result<Quantity, Undecided> {
        let mut covering = Quantity::ZERO;
        for instrument_id in self.look_holdings(account_id)? {
            let position = self.look_position(account_id, instrument_id)?;
            let calls = position
                .contract()
                .filter(|terms| terms.right == Right::Call && terms.underlying_id == underlying_id);
            let calls = calls.filter(|_| !ended.contains(&instrument_id));
            if let Some(terms) = calls.filter(|_| position.qty().is_negative()) {
                covering = covering.plus(terms.shares_of(position.qty().abs())?)?;
            }
        }
        Ok(covering)
    }

    /// What a fill of an order of shares makes options of the account need more, since it takes away what covers them.
    ///
    /// # Errors
    /// The account's level does not permit what it would leave.
    pub(super) fn uncovers(
        &self,
        (order_id, spec): (OrderId, &OrderSpec),
        qty: Quantity,
        marks: &Marks,
    ) -> Result<Money, Undecided> {
        if self.look_account(spec.account_id)?.option_level() == 0 {
            return Ok(Money::ZERO);
        }
        let signed = if spec.side == Side::Buy { qty } else { qty.negated() };
        let instrument_id = spec.instrument_id;
        let position = self.look_position(spec.account_id, instrument_id)?;
        let reserved = position.reservation(order_id).min(qty);
        let shift = Shift { instrument_id, contract: None, qty: signed, reserved };
        let before = self.need(spec.account_id, instrument_id, (marks, &[]))?;
        if before == Need::default() {
            return Ok(Money::ZERO);
        }
        let after = self.need(spec.account_id, instrument_id, (marks, &[shift]))?;
        self.permits_level(spec.account_id, &[], (&before, &after))?;
        Ok(after.money.minus(before.money)?.max(Money::ZERO))
    }
}

/// The level that it takes to come from one cover to another by an order of these legs, and why.
fn level_of(
    account: &Account,
    legs: &[Leg],
    (before, after): (&Cover, &Cover),
) -> (u8, &'static str) {
    let buys = |leg: &&Leg| leg.contract.is_some() && leg.opens() && leg.side == Side::Buy;
    let secures = !account.is_margin() || account.option_level() < NAKED;
    if after.naked_calls > before.naked_calls {
        (NAKED, "it leaves short calls uncovered")
    } else if after.naked_puts > before.naked_puts && !secures {
        (NAKED, "it leaves short puts uncovered")
    } else if after.by_options > before.by_options {
        (3, "short options are covered by long ones")
    } else if legs.iter().any(|leg| buys(&leg)) {
        (2, "it opens long options")
    } else if legs.iter().any(Leg::opens) {
        (1, "short options are covered by shares or secured by cash")
    } else {
        (0, "it only closes")
    }
}

/// What short puts of the account need that nothing covers.
pub(super) fn naked_puts(account: &Account) -> NakedPuts {
    NakedPuts::of_level(account.option_level())
}

/// A contract as the margin room takes it.
pub(super) fn contract_of(terms: &OptionTerms) -> Result<Contract, Refusal> {
    let refused =
        |error: ContractError| Refusal::new(RefusalCode::InvalidAmount, error.to_string());
    terms.contract().map_err(refused)
}

/// The shares of one contract.
fn terms_unit() -> Result<Quantity, AmountError> {
    Quantity::new(MULTIPLIER.into())
}
