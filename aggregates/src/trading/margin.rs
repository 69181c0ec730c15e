//! Margin in decisions: how an account stands at the prices that came with the command, and what of an order closes
//! and what opens.
//!
//! In a margin account an order closes first: it sets aside shares that are held against it and free, and reserves
//! initial margin for the shares beyond those. In a cash account a buy opens and a sell closes, all of it. An exit closes in
//! both, whichever its side.

use std::collections::BTreeMap;

use super::cover::{Shift, naked_puts};
use super::{Desk, MarketView, Undecided, World};
use crate::account::{Account, AccountCommand, AccountError, Opening};
use crate::id::{AccountId, CommandId, InstrumentId, OrderId};
use crate::instrument::OptionTerms;
use crate::margin::{Mark, Marked, Marks, Standing, initial_of};
use crate::market::{MarketTime, Reference};
use crate::money::{AmountError, Money, Price, Quantity};
use crate::order::{Order, OrderEvent, OrderSpec, Part, Side, worst_cost};
use crate::position::Cut;
use crate::refusal::{Refusal, RefusalCode};
use crate::rules::Rules;
use crate::stream::StreamId;

/// The least that an order reserves which has to open: one that works is found by what it reserves.
const LEAST_CENTS: i64 = 1;

/// The least that an order reserves which has to open.
pub(super) fn least() -> Result<Money, AmountError> {
    Money::new(rust_decimal::Decimal::new(LEAST_CENTS, Money::DECIMALS))
}

/// The shares of an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parts {
    /// Those that close what is held against it.
    pub closes: Quantity,
    /// Those that open a position or add to it.
    pub opens: Quantity,
}

/// What a fill leaves reserved, what it takes to open, and what it takes of the shares of other orders.
pub(super) struct Fill {
    pub keep: Money,
    pub opening: Option<Opening>,
    pub cuts: Vec<Cut>,
}

/// How a margin account stands at these prices.
///
/// # Errors
/// A position has none of them, or a figure is beyond the bound of money.
pub fn standing(
    world: &impl World,
    account_id: AccountId,
    marks: &Marks,
) -> Result<Standing, Undecided> {
    standing_after(world, account_id, (Money::ZERO, &[]), marks)
}

/// How a margin account would stand if its cash and its holdings changed so.
///
/// # Errors
/// What it would hold has no price, or a figure is beyond the bound of money.
pub(super) fn standing_after(
    world: &impl World,
    account_id: AccountId,
    (change, shifts): (Money, &[Shift]),
    marks: &Marks,
) -> Result<Standing, Undecided> {
    let absent = || Undecided::Absent(StreamId::Account(account_id));
    let account = world.account(account_id).ok_or_else(absent)?;
    let mut holdings: BTreeMap<InstrumentId, (Quantity, Option<&OptionTerms>)> = BTreeMap::new();
    for instrument_id in world.holdings(account_id).ok_or_else(absent)? {
        let stream = StreamId::Position(account_id, instrument_id);
        let position =
            world.position(account_id, instrument_id).ok_or(Undecided::Absent(stream))?;
        holdings.insert(instrument_id, (position.qty(), position.contract()));
    }
    for Shift { instrument_id, contract, qty, .. } in shifts {
        let held = holdings.entry(*instrument_id).or_insert((Quantity::ZERO, contract.as_ref()));
        held.0 = held.0.plus(*qty)?;
    }
    let mut held: Vec<Marked> = Vec::new();
    let mut on: BTreeMap<InstrumentId, &str> = BTreeMap::new();
    for (instrument_id, (qty, contract)) in holdings {
        if qty.is_zero() {
            continue;
        }
        let Some(mark) = marks.get(&instrument_id) else {
            let symbol = match world.instrument(instrument_id) {
                Some(instrument) => instrument.symbol().to_owned(),
                None => return Err(Undecided::Absent(StreamId::Instrument(instrument_id))),
            };
            return Err(unpriced(&symbol, qty).into());
        };
        if let Some(terms) = contract.filter(|_| qty.is_negative()) {
            on.insert(terms.underlying_id, &terms.underlying);
        }
        held.push(marked((instrument_id, qty), mark, contract.cloned()));
    }
    // What short options are on counts by its price, also where no share of it is held.
    on.retain(|underlying_id, _| held.iter().all(|it| it.instrument_id != *underlying_id));
    for (underlying_id, symbol) in on {
        let none = Quantity::ZERO;
        let mark = marks.get(&underlying_id).ok_or_else(|| unpriced(symbol, none))?;
        held.push(marked((underlying_id, none), mark, None));
    }
    Ok(Standing::of(account.cash().plus(change)?, naked_puts(account), held)?)
}

/// A holding at its price: a long one at what it brings, others at what they cost.
fn marked(
    (instrument_id, qty): (InstrumentId, Quantity),
    mark: &Mark,
    contract: Option<OptionTerms>,
) -> Marked {
    let Reference { price, source, at } =
        if qty.is_positive() { &mark.long } else { &mark.short }.clone();
    Marked { instrument_id, qty, price, source, at, contract }
}

fn unpriced(symbol: &str, qty: Quantity) -> Refusal {
    let message = match qty.is_zero() {
        true => format!(
            "the account is short of options on {symbol}, which has no price: what its margin leaves free is not known; \
             wait for a quote or a trade"
        ),
        false => format!(
            "the account holds {qty} {symbol}, which has no price: what its margin leaves free is not known; wait for a \
             quote or a trade, or close that position"
        ),
    };
    let refusal = Refusal::new(RefusalCode::NoMark, message);
    refusal.figure("symbol", symbol).figure("qty", qty)
}

/// What an order reserves of its account for shares that open at `price` or better, fees included: their cost, or the
/// initial margin of it.
pub(super) fn to_reserve(
    account: &Account,
    opens: Quantity,
    price: Price,
    rules: &Rules,
) -> Result<Money, AmountError> {
    if !account.is_margin() || opens.is_zero() {
        return worst_cost(opens, price, rules);
    }
    initial_of(Money::at_most(opens, price)?)?.plus(rules.fees.fee(opens)?)
}

impl<W: World> Desk<'_, W> {
    /// What of `qty` shares of an order closes and what opens; what the order has set aside already is its own.
    pub(super) fn parts(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
        qty: Quantity,
    ) -> Result<Parts, Undecided> {
        let none = Quantity::ZERO;
        if matches!(spec.part(), Some(Part::Exit(_))) {
            return Ok(Parts { closes: qty, opens: none });
        }
        if !self.look_account(spec.account_id)?.is_margin() {
            return Ok(match spec.side {
                Side::Buy => Parts { closes: none, opens: qty },
                Side::Sell => Parts { closes: qty, opens: none },
            });
        }
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        let own = position.reservation(order_id);
        let closes = position.free_against(spec.side)?.plus(own)?.min(qty);
        Ok(Parts { closes, opens: qty.minus(closes)? })
    }

    /// A short position is held in whole shares: an order that opens or closes one is for whole shares.
    pub(super) fn is_whole(&self, spec: &OrderSpec, parts: &Parts) -> Result<(), Undecided> {
        if !self.look_account(spec.account_id)?.is_margin() {
            return Ok(());
        }
        let held = self.look_position(spec.account_id, spec.instrument_id)?.qty();
        let whole = spec.qty.is_whole();
        let fits = match spec.side {
            Side::Sell => parts.opens.is_zero() || whole && parts.opens.is_whole(),
            Side::Buy => parts.closes.is_zero() || whole || !held.is_whole(),
        };
        if fits {
            return Ok(());
        }
        let message = format!(
            "{} shares with {held} held would leave a part of a share short: short positions are in whole shares",
            spec.qty
        );
        let refusal = Refusal::new(RefusalCode::FractionalShort, message).field("qty");
        Err(refusal.figure("qty", spec.qty).figure("held", held).into())
    }

    /// The price that an order reserves for each share that opens; `None` if none does.
    pub(super) fn reserve_price(
        &self,
        spec: &OrderSpec,
        parts: &Parts,
        market: &MarketView,
    ) -> Result<Option<Price>, Undecided> {
        if parts.opens.is_zero() {
            return Ok(None);
        }
        match spec.side {
            Side::Buy => self.worst_price(spec, market).map(Some),
            Side::Sell => {
                let reference = market.reference.as_ref().map(|reference| reference.price);
                match spec.short_price(reference, self.rules.collar)? {
                    Some(price) => Ok(Some(price)),
                    None => {
                        let message = format!(
                            "{} has no price yet, so the margin of a short sale cannot be estimated: wait for a quote",
                            spec.symbol
                        );
                        let refusal = Refusal::new(RefusalCode::NoReferencePrice, message);
                        Err(refusal.field("symbol").into())
                    }
                }
            }
        }
    }

    /// How the account of an order stands that opens something; `None` for a cash account.
    ///
    /// # Errors
    /// It may only reduce risk, or is not known.
    pub(super) fn backing(
        &self,
        account_id: AccountId,
        marks: &Marks,
    ) -> Result<Option<Standing>, Undecided> {
        if !self.look_account(account_id)?.is_margin() {
            return Ok(None);
        }
        let standing = standing(self.world, account_id, marks)?;
        if standing.is_called() {
            let Standing { equity, maintenance, .. } = standing;
            return Err(AccountError::MarginCall { equity, maintenance }.into());
        }
        Ok(Some(standing))
    }

    /// Takes money out of an account.
    pub(super) fn withdraw(
        &mut self,
        account_id: AccountId,
        withdrawal_id: CommandId,
        amount: Money,
        (marks, at): (&Marks, Option<MarketTime>),
    ) -> Result<(), Undecided> {
        let is_margin = self.look_account(account_id)?.is_margin();
        let margin = match is_margin {
            true => Some(standing(self.world, account_id, marks)?),
            false => None,
        };
        let collateral = self.collateral(account_id)?;
        let withdraw = AccountCommand::Withdraw { withdrawal_id, amount, at, margin, collateral };
        self.account(account_id, &withdraw)
    }

    /// What a fill of an order of a margin account comes to, as its order states it.
    pub(super) fn margin_fill(
        &self,
        (order_id, order): (OrderId, &Order),
        spec: &OrderSpec,
        filled: &OrderEvent,
        marks: &Marks,
    ) -> Result<Fill, Undecided> {
        let OrderEvent::OrderFilled { qty, price, amount, fees, leaves_qty, .. } = filled else {
            return Err(crate::order::OrderError::NotFound.into());
        };
        let account = self.look_account(spec.account_id)?;
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        let opens = qty.minus(position.held_against(spec.side).min(*qty))?;
        let own = position.reservation(order_id);
        let rest = leaves_qty.minus(own.minus(own.min(*qty))?)?;
        let held = account.reservation(order_id);
        let left = order.left_notional()?;
        let keep = match (left, order.reserve_price()) {
            _ if rest.is_zero() => Money::ZERO,
            (Some(left), _) => {
                let fee = self.rules.fees.fee(rest)?;
                held.min(initial_of(left.minus(*amount)?)?.plus(fee)?)
            }
            (None, Some(price)) => held.min(to_reserve(account, rest, price, self.rules)?),
            (None, None) => held,
        };
        let released = held.minus(keep)?;
        let needed = match opens.is_zero() {
            true => Money::ZERO,
            false => initial_of(Money::at_most(opens, *price)?)?.plus(*fees)?,
        };
        let needed = needed.plus(self.uncovers((order_id, spec), *qty, marks)?)?;
        let margin = match needed > released {
            true => Some(standing(self.world, spec.account_id, marks)?),
            false => None,
        };
        let lenders = match position.beyond(order_id, spec.side, *qty)?.is_positive() {
            true => self.lenders(spec.account_id, spec.instrument_id)?,
            false => Vec::new(),
        };
        let cuts = position.cuts(order_id, spec.side, *qty, &lenders)?;
        let passed_on = self.passed_on(account, &cuts, released.minus(needed.min(released))?)?;
        let opening =
            Some(Opening { needed, margin, collateral: Money::ZERO, of_options: false, passed_on });
        Ok(Fill { keep, opening, cuts })
    }

    /// Whether a fill leaves no part of a share short.
    pub(super) fn leaves_whole(&self, spec: &OrderSpec, qty: Quantity) -> Result<(), Undecided> {
        let held = self.look_position(spec.account_id, spec.instrument_id)?.qty();
        let signed = if spec.side == Side::Buy { qty } else { qty.negated() };
        let after = held.plus(signed)?;
        if after.is_negative() && !after.is_whole() {
            let message = format!(
                "a fill of {qty} with {held} held would leave a part of a share short: short positions are in whole shares"
            );
            let refusal = Refusal::new(RefusalCode::FractionalShort, message).field("qty");
            return Err(refusal.figure("qty", qty).figure("held", held).into());
        }
        Ok(())
    }

    /// Orders whose shares a fill takes have to open instead: what the fill's order had reserved to open goes over to
    /// them, as far as they need it. What they lack is looked for when they fill. Exits open nothing and get nothing.
    fn passed_on(
        &self,
        account: &Account,
        cuts: &[Cut],
        left: Money,
    ) -> Result<Vec<(OrderId, Money)>, Undecided> {
        let least = least()?;
        let taken = |cut: &Cut| cut.from.minus(cut.to);
        let mut opening = Vec::with_capacity(cuts.len());
        for cut in cuts {
            let order = self.look_order(cut.order_id)?;
            if order.spec().and_then(OrderSpec::part).is_none() {
                opening.push((cut, order));
            }
        }
        let all = opening.iter().try_fold(Quantity::ZERO, |sum, (cut, _)| sum.plus(taken(cut)?))?;
        let mut passed_on = Vec::with_capacity(opening.len());
        for (cut, order) in opening {
            let opens = taken(cut)?;
            let share = left.share(opens, all)?;
            let needed = match order.reserve_price() {
                Some(price) => to_reserve(account, opens, price, self.rules)?,
                None => share,
            };
            passed_on.push((cut.order_id, share.min(needed).max(least)));
        }
        Ok(passed_on)
    }
}
