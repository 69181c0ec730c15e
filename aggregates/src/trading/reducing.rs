//! What an account that may only reduce may not do beside opening: take away what covers its short options.
//!
//! A sale of shares closes, and where a short call is left by it that nothing covers, the account risks more than before.
//! So does the buying back of shares that cover a short put, and the sale of a long option that covers a short one. What
//! counts is the number of contracts, not money: a naked call may need no more than a covered one did.

use super::cover::{Shift, contract_of};
use super::{Desk, Undecided, World};
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::instrument::{MULTIPLIER, OptionTerms};
use crate::margin::{Cover, OptionHolding, best_cover};
use crate::market::MarketTime;
use crate::money::{Money, Price, Quantity};
use crate::order::{Order, OrderSpec, Side, Trail};
use crate::refusal::Refusal;

/// An order, or the exercise of an option, by the account whose holdings it changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changing {
    pub account_id: AccountId,
    /// What the options are on.
    pub underlying_id: InstrumentId,
    /// The order whose reservations are its own to take.
    pub own: Option<OrderId>,
}

/// What of the holdings on an underlying no other order is to close.
#[derive(Default)]
struct Left {
    shares: Quantity,
    options: Vec<(InstrumentId, OptionTerms, Quantity)>,
}

impl Left {
    /// By what the short ones are covered best.
    fn cover(&self) -> Result<Cover, Undecided> {
        let held = self.options.iter().filter(|(_, _, qty)| !qty.is_zero());
        let holdings = held.map(|(_, terms, qty)| {
            Ok(OptionHolding { contract: contract_of(terms)?, qty: *qty, price: Price::ZERO })
        });
        let holdings = holdings.collect::<Result<Vec<_>, Undecided>>()?;
        Ok(best_cover(self.shares, &holdings)?)
    }

    /// What is left once holdings have changed so. Shares of the other side, which an order never opens here, cover nothing.
    fn after(&mut self, underlying_id: InstrumentId, shifts: &[Shift]) -> Result<(), Undecided> {
        for Shift { instrument_id, contract, qty, .. } in shifts {
            if contract.is_none() && *instrument_id == underlying_id {
                let shares = self.shares.plus(*qty)?;
                let crossed = shares.is_negative() != self.shares.is_negative();
                self.shares = if crossed { Quantity::ZERO } else { shares };
            }
            let held = self.options.iter_mut().find(|(held, ..)| held == instrument_id);
            if let Some((_, _, held)) = held {
                *held = held.plus(*qty)?;
            }
        }
        Ok(())
    }
}

impl<W: World> Desk<'_, W> {
    /// Whether an order of shares takes nothing away that covers short options, where its account may only reduce.
    pub(super) fn keeps_covered(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
        qty: Quantity,
    ) -> Result<(), Undecided> {
        let signed = if spec.side == Side::Buy { qty } else { qty.negated() };
        let changing = Changing {
            account_id: spec.account_id,
            underlying_id: spec.instrument_id,
            own: Some(spec.reserves_under(order_id)),
        };
        self.uncovers_no_more(changing, &[Shift::new(spec.instrument_id, None, signed)])
    }

    /// The same of an order of options.
    pub(super) fn legs_keep_covered(
        &self,
        order_id: OrderId,
        spec: &OrderSpec,
        qty: Quantity,
    ) -> Result<(), Undecided> {
        let legs = spec.package();
        let (account_id, underlying_id) = (spec.account_id, spec.splits_with());
        let shifts = legs.iter().map(|leg| Ok(Shift::of(leg, leg.qty_of(qty)?)));
        let shifts = shifts.collect::<Result<Vec<_>, Undecided>>()?;
        if self.only_reduces(account_id, underlying_id, (&legs, &shifts))? {
            return Ok(());
        }
        let changing = Changing { account_id, underlying_id, own: Some(order_id) };
        self.uncovers_no_more(changing, &shifts)
    }

    /// Refuses what would leave more short options uncovered, where the account may only reduce. Needs no price.
    pub(super) fn uncovers_no_more(
        &self,
        changing: Changing,
        shifts: &[Shift],
    ) -> Result<(), Undecided> {
        let Changing { account_id, underlying_id, .. } = changing;
        let account = self.look_account(account_id)?;
        let Err(barred) = account.may_open() else { return Ok(()) };
        if !account.is_margin() || account.option_level() == 0 {
            return Ok(());
        }
        let mut left = self.left_on(changing)?;
        if left.options.iter().all(|(_, _, qty)| !qty.is_negative()) {
            return Ok(());
        }
        let before = left.cover()?;
        left.after(underlying_id, shifts)?;
        let after = left.cover()?;
        let (right, was, is) = if after.naked_calls > before.naked_calls {
            ("calls", before.naked_calls, after.naked_calls)
        } else if after.naked_puts > before.naked_puts {
            ("puts", before.naked_puts, after.naked_puts)
        } else {
            return Ok(());
        };
        let symbol = self.look_instrument(underlying_id)?.symbol();
        let mut refusal = Refusal::from(barred)
            .figure("uncovered", is)
            .figure("uncovered_before", was)
            .figure("underlying", symbol);
        let moves_shares = shifts.iter().any(|shift| shift.contract.is_none());
        let next = if moves_shares {
            let by_shares = after.by_shares.plus(is.minus(was)?)?;
            let needed = by_shares.times(Quantity::new(MULTIPLIER.into())?)?;
            refusal = refusal.figure("shares_needed", needed).figure("covers", by_shares);
            let way = if right == "calls" { "sell" } else { "buy back" };
            format!(
                "{needed} shares that no other order has reserved have to stay for {by_shares} of them, so {way} fewer, or \
                 buy the {right} back first"
            )
        } else {
            format!("buy the {right} back first, or in the same order")
        };
        refusal.message = format!(
            "the account may only reduce, and this would leave {is} short {right} on {symbol} uncovered, {was} before it: {next}"
        );
        Err(refusal.into())
    }

    /// Refuses what would leave options that need more, where the account may only reduce: what is taken away may have
    /// covered one that something dearer covers then.
    pub(super) fn needs_no_more(
        &self,
        changing: Changing,
        (before, after): (Money, Money),
    ) -> Result<(), Undecided> {
        let Changing { account_id, underlying_id, .. } = changing;
        let Err(barred) = self.look_account(account_id)?.may_open() else { return Ok(()) };
        if after <= before {
            return Ok(());
        }
        let symbol = self.look_instrument(underlying_id)?.symbol();
        let mut refusal = Refusal::from(barred)
            .figure("requirement", after)
            .figure("requirement_before", before)
            .figure("underlying", symbol);
        refusal.message = format!(
            "the account may only reduce, and with this its options on {symbol} would need {after}, {before} before it: buy back \
             first what the option covers"
        );
        Err(refusal.into())
    }

    /// What an account holds on an underlying and no other order is to close; of short options all, whatever is to buy them
    /// back.
    fn left_on(&self, changing: Changing) -> Result<Left, Undecided> {
        let Changing { account_id, underlying_id, own } = changing;
        let mut left = Left::default();
        for instrument_id in self.look_holdings(account_id)? {
            let position = self.look_position(account_id, instrument_id)?;
            let (qty, free) = (position.qty(), position.available()?);
            let own = own.map_or(Quantity::ZERO, |order_id| position.reservation(order_id));
            let free = if qty.is_negative() { free.minus(own)? } else { free.plus(own)? };
            if instrument_id == underlying_id {
                left.shares = free;
            }
            let on = position.contract().filter(|terms| terms.underlying_id == underlying_id);
            if let Some(terms) = on.filter(|_| !qty.is_zero()) {
                let kept = if qty.is_negative() { qty } else { free };
                left.options.push((instrument_id, terms.clone(), kept));
            }
        }
        Ok(left)
    }
}

/// Whether a change makes more of an order fill, or sooner or later than it would have: more shares, a price nearer to the
/// market, or a longer life. It is asked whatever a new order is.
pub(super) fn asks_more(
    order: &Order,
    (spec, replaced): (&OrderSpec, &OrderSpec),
    expires_at: Option<MarketTime>,
) -> bool {
    let (nearer, sooner) = match spec.side {
        Side::Buy => {
            (replaced.limit_price > spec.limit_price, replaced.stop_price < spec.stop_price)
        }
        Side::Sell => {
            (replaced.limit_price < spec.limit_price, replaced.stop_price > spec.stop_price)
        }
    };
    let closer = match (replaced.trail, spec.trail) {
        (
            Some(Trail::Price(is) | Trail::Percent(is)),
            Some(Trail::Price(was) | Trail::Percent(was)),
        ) => is < was,
        _ => false,
    };
    let longer = match (order.expires_at(), expires_at) {
        _ if replaced.lives_as(spec) => false,
        (Some(was), Some(is)) => is > was,
        (was, is) => was.is_some() && is.is_none(),
    };
    replaced.qty > spec.qty
        || nearer
        || sooner
        || closer
        || replaced.limit_offset > spec.limit_offset
        || replaced.activation_price != spec.activation_price
        || longer
}
