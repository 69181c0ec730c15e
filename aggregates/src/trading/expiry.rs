//! The expiry of options, one account at a time: all contracts on one underlying that have expired in a session end in one
//! commit, at the official close of it.
//!
//! | holding | in the money by a cent or more | else |
//! |---|---|---|
//! | long, delivered in shares | exercised, as far as the account can pay; what is beyond that is sold at its last bid, or abandoned if there is none | expired |
//! | long, its owner has said not to exercise | abandoned | expired |
//! | long, settled in cash | the difference is paid to it | expired |
//! | short, delivered in shares | assigned, whether the account can pay or not | expired |
//! | short, settled in cash | the difference is taken from it | expired |
//!
//! Whether the account can pay is asked of all of them together, with what is assigned: no leg of a spread fails because of
//! the order in which they are looked at. A cash account can pay as long as its cash, less what orders reserve and what
//! secures its other short puts, does not fall below zero, and no share is sold that is not held; a margin account as long
//! as its excess over initial margin does not, its shares valued at the official close. If that is not so, contracts are
//! given up one by one, of those first that are least in the money, until it is, and only as long as giving one up helps:
//! the exercise that covers an assignment is never given up. What is sold at its bid pays for nothing here.
//!
//! Where what would move is beyond the bound of amounts, all of the account's contracts expire for nothing instead, so that
//! one account does not hold the settlement up for everybody.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::cover::Shift;
use super::delivery::{Ends, Strikes};
use super::margin::standing_after;
use super::{Desk, Undecided, World};
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::instrument::{Expired, OptionEnd, OptionTerms, Settlement};
use crate::margin::{Mark, Marks, Standing};
use crate::market::{MarketTime, Reference};
use crate::money::{AmountError, Money, Price, Quantity};
use crate::order::{CancelReason, OrderError};
use crate::refusal::{Refusal, RefusalCode};

/// What an option has to be in the money by to be exercised without a word, in cents a share.
const IN_THE_MONEY_CENTS: i64 = 1;

/// One holding of a contract that has expired.
struct Holding<'a> {
    instrument_id: InstrumentId,
    terms: &'a OptionTerms,
    /// Contracts; negative is short.
    qty: Quantity,
    expired: &'a Expired,
    bid: Option<&'a Reference>,
    /// What it is in the money by, in dollars a share.
    intrinsic: Price,
    how: OptionEnd,
}

impl Holding<'_> {
    fn is_long(&self) -> bool {
        self.qty.is_positive()
    }

    /// The end of so many contracts of it.
    fn ends(&self, how: OptionEnd, qty: Quantity) -> Ends {
        Ends {
            instrument_id: self.instrument_id,
            terms: self.terms.clone(),
            long: self.is_long(),
            how,
            qty,
            settlement_price: Some(self.expired.price),
            bid: self.bid.filter(|_| how == OptionEnd::SoldOut).cloned(),
            split: None,
        }
    }

    /// How contracts end that cannot be paid for.
    fn unpaid(&self) -> OptionEnd {
        match self.bid {
            Some(bid) if bid.price.is_positive() => OptionEnd::SoldOut,
            _ => OptionEnd::Abandoned,
        }
    }
}

/// Contracts to exercise, by option.
type Exercised = BTreeMap<InstrumentId, Quantity>;

/// What an account would be left with: it is short of what is below zero.
struct Left {
    /// Of a cash account free cash, of a margin account the excess over initial margin.
    money: Money,
    /// Of a cash account the shares; a margin account may sell what it does not hold, and has 0 here.
    shares: Quantity,
    /// Whether a part of a share would be short.
    part_short: bool,
    standing: Option<Standing>,
}

impl Left {
    /// Whether the account can bear it: it is short of nothing, or no shorter than with one contract `less`.
    fn is_borne(&self, less: &Self) -> bool {
        self.money >= less.money.min(Money::ZERO)
            && self.shares >= less.shares.min(Quantity::ZERO)
            && (!self.part_short || less.part_short)
    }

    fn is_short_of_nothing(&self) -> bool {
        !self.money.is_negative() && !self.shares.is_negative() && !self.part_short
    }
}

/// What is asked of an account together.
struct Question<'a> {
    account_id: AccountId,
    underlying_id: InstrumentId,
    holdings: &'a [Holding<'a>],
    marks: Marks,
}

impl<W: World> Desk<'_, W> {
    /// Settles what an account holds of these contracts.
    pub(super) fn settle_expired(
        &mut self,
        of: (AccountId, InstrumentId, NaiveDate),
        (contracts, orders): (&[(InstrumentId, Option<Reference>)], &[OrderId]),
        marks: &Marks,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let contracts: BTreeMap<InstrumentId, Option<&Reference>> =
            contracts.iter().map(|(id, bid)| (*id, bid.as_ref())).collect();
        match self.settle(of, (&contracts, orders), Some(marks), at) {
            Err(Undecided::Refused(refusal)) if refusal.code == RefusalCode::InvalidAmount => {
                self.decision.events.clear();
                self.settle(of, (&contracts, orders), None, at)
            }
            done => done,
        }
    }

    /// Settles them at these prices; without any all of them expire for nothing.
    fn settle(
        &mut self,
        (account_id, underlying_id, session): (AccountId, InstrumentId, NaiveDate),
        (contracts, orders): (&BTreeMap<InstrumentId, Option<&Reference>>, &[OrderId]),
        marks: Option<&Marks>,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let mut holdings = Vec::with_capacity(contracts.len());
        for (instrument_id, bid) in contracts {
            let of = (*instrument_id, underlying_id, session);
            holdings.extend(self.expired_holding(account_id, of, *bid)?);
        }
        if let Some(holding) = holdings.first() {
            self.not_being_split(holding.terms)?;
        }
        self.end_orders_of(account_id, contracts, orders, at)?;
        let cause = session.to_string();
        let Some(marks) = marks else {
            let expire =
                |holding: &Holding<'_>| holding.ends(OptionEnd::Expired, holding.qty.abs());
            let endings = holdings.iter().map(expire).collect();
            return self.carry_out(account_id, endings, (cause.as_bytes(), None), at);
        };
        let mut marks = marks.clone();
        if let Some(Holding { expired, .. }) = holdings.first() {
            let Expired { price, source, last_price_at, at, .. } = (*expired).clone();
            let close = Reference { price, source, at: last_price_at.unwrap_or(at) };
            marks.insert(underlying_id, Mark { long: close.clone(), short: close });
        }
        let question = Question { account_id, underlying_id, holdings: &holdings, marks };
        let (exercised, standing) = self.payable(&question)?;
        let mut endings = Vec::with_capacity(holdings.len());
        for holding in &holdings {
            let qty = holding.qty.abs();
            if holding.how != OptionEnd::Exercised {
                endings.push(holding.ends(holding.how, qty));
                continue;
            }
            let paid = exercised.get(&holding.instrument_id).copied().unwrap_or_default();
            if paid.is_positive() {
                endings.push(holding.ends(OptionEnd::Exercised, paid));
            }
            let unpaid = qty.minus(paid)?;
            if unpaid.is_positive() {
                endings.push(holding.ends(holding.unpaid(), unpaid));
            }
        }
        self.carry_out(account_id, endings, (cause.as_bytes(), standing.as_ref()), at)
    }

    /// What the account holds of one contract, and how that ends if it can be paid; `None` if it holds nothing.
    fn expired_holding<'h>(
        &self,
        account_id: AccountId,
        (instrument_id, underlying_id, session): (InstrumentId, InstrumentId, NaiveDate),
        bid: Option<&'h Reference>,
    ) -> Result<Option<Holding<'h>>, Undecided>
    where
        Self: 'h,
    {
        let instrument = self.look_instrument(instrument_id)?;
        let expired = instrument.expired();
        let Some(expired) = expired.filter(|it| it.session == session && !it.settled) else {
            let symbol = instrument.symbol();
            let message = format!("{symbol} is not being settled for the session of {session}");
            return Err(Refusal::new(RefusalCode::AlreadyApplied, message).into());
        };
        let position = self.look_position(account_id, instrument_id)?;
        let (qty, terms) = (position.qty(), position.contract());
        if qty.is_zero() {
            return Ok(None);
        }
        let Some(terms) = terms.filter(|terms| terms.underlying_id == underlying_id) else {
            let message = format!("{} is on another underlying", instrument.symbol());
            return Err(Refusal::new(RefusalCode::InvalidOrder, message).into());
        };
        let intrinsic = terms.intrinsic(expired.price)?;
        let least = Price::new(Decimal::new(IN_THE_MONEY_CENTS, Money::DECIMALS))?;
        let how = match (intrinsic >= least, terms.settlement, qty.is_positive()) {
            (false, ..) => OptionEnd::Expired,
            (true, _, true) if position.do_not_exercise() => OptionEnd::Abandoned,
            (true, Settlement::Cash, _) => OptionEnd::CashSettled,
            (true, Settlement::Physical, true) => OptionEnd::Exercised,
            (true, Settlement::Physical, false) => OptionEnd::Assigned,
        };
        Ok(Some(Holding { instrument_id, terms, qty, expired, bid, intrinsic, how }))
    }

    /// Ends the open orders that have one of the contracts as a leg.
    fn end_orders_of(
        &mut self,
        account_id: AccountId,
        contracts: &BTreeMap<InstrumentId, Option<&Reference>>,
        orders: &[OrderId],
        at: MarketTime,
    ) -> Result<(), Undecided> {
        for order_id in orders.iter().copied().collect::<BTreeSet<_>>() {
            let instruments = self.look_spec(order_id)?.instruments();
            if !instruments.iter().any(|instrument_id| contracts.contains_key(instrument_id)) {
                return Err(OrderError::NotFound.into());
            }
            if self.look_order(order_id)?.is_open() {
                self.cancel(account_id, order_id, CancelReason::ContractEnded, at)?;
            }
        }
        Ok(())
    }

    /// How many contracts of each holding the account can pay for that is to be exercised, and how a margin account would
    /// stand then.
    fn payable(&self, question: &Question<'_>) -> Result<(Exercised, Option<Standing>), Undecided> {
        let to_exercise = |holding: &&Holding<'_>| holding.how == OptionEnd::Exercised;
        let mut wanted: Vec<&Holding<'_>> = question.holdings.iter().filter(to_exercise).collect();
        let mut chosen: Exercised =
            wanted.iter().map(|holding| (holding.instrument_id, holding.qty)).collect();
        if wanted.is_empty() {
            return Ok((chosen, None));
        }
        wanted.sort_by_key(|holding| (holding.intrinsic, Reverse(holding.instrument_id)));
        loop {
            let before = chosen.clone();
            for holding in &wanted {
                let left = self.left(question, &chosen)?;
                if left.is_short_of_nothing() {
                    return Ok((chosen, left.standing));
                }
                let most = self.most_of(question, &chosen, holding)?;
                chosen.insert(holding.instrument_id, most);
            }
            if chosen == before {
                let left = self.left(question, &chosen)?;
                return Ok((chosen, left.standing));
            }
        }
    }

    /// The most contracts of one holding, of those that are chosen, that the account can bear beside the others. What it is
    /// left with rises with each more, if at all, up to some number, and falls from there on: halving finds where it is
    /// borne no more.
    fn most_of(
        &self,
        question: &Question<'_>,
        chosen: &Exercised,
        holding: &Holding<'_>,
    ) -> Result<Quantity, Undecided> {
        let chosen_of = chosen.get(&holding.instrument_id).copied().unwrap_or_default();
        let with = |contracts: i64| {
            let mut with = chosen.clone();
            with.insert(holding.instrument_id, Quantity::new(contracts.into())?);
            self.left(question, &with)
        };
        let mut borne = 0;
        let mut beyond =
            i64::try_from(chosen_of.decimal()).map_err(|_| AmountError::Inexact)?.saturating_add(1);
        while beyond - borne > 1 {
            let middle = borne + (beyond - borne) / 2;
            if with(middle)?.is_borne(&with(middle - 1)?) {
                borne = middle;
            } else {
                beyond = middle;
            }
        }
        Ok(Quantity::new(borne.into())?)
    }

    /// What the account would be left with if these were exercised, and all else ended as it does.
    fn left(&self, question: &Question<'_>, exercised: &Exercised) -> Result<Left, Undecided> {
        let Question { account_id, underlying_id, holdings, marks } = question;
        let (mut cash, mut shares) = (Money::ZERO, Quantity::ZERO);
        let mut shifts = Vec::with_capacity(holdings.len() + 1);
        let mut ended = BTreeSet::new();
        for Holding { instrument_id, terms, qty, intrinsic, how, .. } in *holdings {
            let contracts = match how {
                OptionEnd::Exercised => exercised.get(instrument_id).copied().unwrap_or_default(),
                _ => qty.abs(),
            };
            if how.delivers() {
                let strikes = Strikes::of(terms, qty.is_positive(), contracts)?;
                cash = cash.plus(strikes.cash())?;
                shares = shares.plus(strikes.signed())?;
            } else if *how == OptionEnd::CashSettled {
                cash = cash.plus(terms.value(*qty, *intrinsic)?)?;
            }
            ended.insert(*instrument_id);
            shifts.push(Shift::new(*instrument_id, Some((*terms).clone()), qty.negated()));
        }
        let account = self.account_ahead(*account_id)?;
        let after = self.look_position(*account_id, *underlying_id)?.qty().plus(shares)?;
        let part_short = after.is_negative() && !after.is_whole();
        if !account.is_margin() {
            let collateral = self.collateral_beside(*account_id, &ended)?;
            let money = account.available()?.plus(cash)?.minus(collateral)?;
            // Shares that cover calls which live on are not there to be delivered.
            let covering = self.covering_beside(*account_id, *underlying_id, &ended)?;
            let shares = after.minus(covering)?;
            return Ok(Left { money, shares, part_short, standing: None });
        }
        shifts.push(Shift::new(*underlying_id, None, shares));
        let standing = standing_after(self.world, *account_id, (cash, &shifts), marks)?;
        let money = standing.excess(account.reserved())?;
        Ok(Left { money, shares: Quantity::ZERO, part_short, standing: Some(standing) })
    }
}
