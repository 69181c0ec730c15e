//! The limits of a policy that look beyond one order by itself: at the market, the position, other orders, the equity.
//!
//! Those of position and concentration suppose that every open order fills that adds to the position, so that many small
//! orders do not slip by. They hold nothing back that only closes. Of an order of several legs each leg is held by them as an
//! order of its own; its net price is held by no collar, since it has no price of the market to be measured by.

use super::margin::{Parts, standing};
use super::{Desk, MarketView, Undecided, World};
use crate::account::Policy;
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::instrument::OptionTerms;
use crate::money::{Money, Price, Quantity};
use crate::order::{Leg, OrderSpec, PositionIntent, Side};
use crate::refusal::{Refusal, RefusalCode};

/// What an order, or a leg of one, adds to a holding.
struct Adds<'a> {
    instrument_id: InstrumentId,
    symbol: &'a str,
    side: Side,
    /// Shares; contracts of an option.
    qty: Quantity,
    contract: Option<&'a OptionTerms>,
}

impl<W: World> Desk<'_, W> {
    /// Whether the policy of its account permits this order, or this change of one, which `leaves` so many shares open.
    pub(super) fn within_policy(
        &self,
        (order_id, spec): (OrderId, &OrderSpec),
        leaves: Quantity,
        parts: &Parts,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let policy = self.look_account(spec.account_id)?.policy();
        if let Some(percent) = policy.price_collar_pct {
            within_collar(spec, percent, market)?;
        }
        self.within_open_orders(order_id, spec)?;
        if parts.opens.is_zero() {
            return Ok(());
        }
        let OrderSpec { instrument_id, side, .. } = *spec;
        let (symbol, contract) = (spec.symbol.as_str(), spec.contract.as_deref());
        let adds = Adds { instrument_id, symbol, side, qty: leaves, contract };
        self.within_position((order_id, spec.account_id), &adds, market)
    }

    /// The same of an order of options: its price where it is of one, the number of open orders, and the contracts and shares
    /// of each position that a leg opens or adds to.
    pub(super) fn within_policy_of_options(
        &self,
        (order_id, spec): (OrderId, &OrderSpec),
        leaves: Quantity,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        if spec.contract.is_none() {
            self.within_open_orders(order_id, spec)?;
            for leg in spec.package().iter().filter(|leg| leg.opens()) {
                let Leg { instrument_id, side, .. } = *leg;
                let (symbol, contract) = (leg.symbol.as_str(), leg.contract.as_ref());
                let qty = leg.qty_of(leaves)?;
                let adds = Adds { instrument_id, symbol, side, qty, contract };
                self.within_position((order_id, spec.account_id), &adds, market)?;
            }
            return Ok(());
        }
        let opens = spec.position_intent.is_some_and(PositionIntent::opens);
        let (opens, closes) =
            if opens { (leaves, Quantity::ZERO) } else { (Quantity::ZERO, leaves) };
        self.within_policy((order_id, spec), leaves, &Parts { closes, opens }, market)
    }

    /// Whether the policy permits the position that this comes to.
    fn within_position(
        &self,
        (order_id, account_id): (OrderId, AccountId),
        adds: &Adds<'_>,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let policy = self.look_account(account_id)?.policy();
        let Policy { max_position_qty, max_concentration_pct, .. } = *policy;
        if max_position_qty.is_none() && max_concentration_pct.is_none() {
            return Ok(());
        }
        let after = self.position_after((order_id, account_id), adds, market)?;
        if let Some(max) = max_position_qty.filter(|max| after > *max) {
            let unit = if adds.contract.is_some() { "contracts" } else { "shares" };
            let message = format!(
                "the position in {} would come to {after} {unit} with its open orders, more than the {max} that the \
                 account's policy allows: lower the quantity, or cancel open orders first",
                adds.symbol
            );
            let refusal = Refusal::new(RefusalCode::PositionLimit, message).field("qty");
            return Err(refusal.figure("position", after).figure("max", max).into());
        }
        match max_concentration_pct {
            Some(percent) => self.within_concentration(account_id, (adds, after), percent, market),
            None => Ok(()),
        }
    }

    fn within_open_orders(&self, order_id: OrderId, spec: &OrderSpec) -> Result<(), Undecided> {
        let policy = self.look_account(spec.account_id)?.policy();
        if let Some(max) = policy.max_open_orders {
            let open = self.reserving_orders(spec.account_id)?;
            let others = open.iter().filter(|open| **open != order_id).count();
            if others >= max as usize {
                let message = format!(
                    "the account has {others} open orders, and its policy allows {max}: cancel one, or wait until one is done"
                );
                let refusal = Refusal::new(RefusalCode::OpenOrdersLimit, message);
                return Err(refusal.figure("open_orders", others).figure("max", max).into());
            }
        }
        Ok(())
    }

    /// The size that the position comes to if this fills, and every other order that goes the same way.
    fn position_after(
        &self,
        (order_id, account_id): (OrderId, AccountId),
        adds: &Adds<'_>,
        market: &MarketView,
    ) -> Result<Quantity, Undecided> {
        let held = self.look_position(account_id, adds.instrument_id)?.qty();
        let wanted = (adds.instrument_id, adds.side);
        let mut more = adds.qty;
        for other in self.reserving_orders(account_id)?.into_iter().filter(|id| *id != order_id) {
            let order = self.look_order(other)?;
            let Some(spec) = order.spec() else { continue };
            let leaves = match (&spec.legs, &market.reference) {
                (Some(legs), _) => {
                    let leg = legs.iter().find(|leg| (leg.instrument_id, leg.side) == wanted);
                    leg.map(|leg| leg.qty_of(order.leaves_qty()?)).transpose()?
                }
                (None, _) if (spec.instrument_id, spec.side) != wanted => None,
                (None, Some(reference)) => Some(order.leaves_at(reference.price)?),
                (None, None) => Some(order.leaves_qty()?),
            };
            more = more.plus(leaves.unwrap_or_default())?;
        }
        let signed = if adds.side == Side::Buy { more } else { more.negated() };
        Ok(held.plus(signed)?.abs())
    }

    fn within_concentration(
        &self,
        account_id: AccountId,
        (adds, after): (&Adds<'_>, Quantity),
        percent: Price,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let equity = standing(self.world, account_id, &market.marks)?.worth()?;
        let Some(mark) = market.marks.get(&adds.instrument_id) else {
            let message = format!(
                "{} has no price, so the part of the equity that it would be is not known: wait for a quote or a trade",
                adds.symbol
            );
            return Err(Refusal::new(RefusalCode::NoMark, message).field("symbol").into());
        };
        let price = if adds.side == Side::Buy { mark.long.price } else { mark.short.price };
        let value = match adds.contract {
            Some(terms) => terms.value(after, price)?,
            None => Money::of_fill(after, price)?,
        };
        let most = equity.percent_down(percent)?;
        if value <= most {
            return Ok(());
        }
        let message = format!(
            "the position in {} would be worth {value} with its open orders, more than {percent} percent of the equity of \
             {equity}, the {most} that the account's policy allows: lower the quantity, or cancel open orders first",
            adds.symbol
        );
        let refusal = Refusal::new(RefusalCode::ConcentrationLimit, message).field("qty");
        let refusal = refusal.figure("value", value).figure("max", most);
        Err(refusal.figure("equity", equity).figure("max_pct", percent).into())
    }
}

/// A limit beyond the market by more than the collar is taken for a slip of the finger.
fn within_collar(spec: &OrderSpec, percent: Price, market: &MarketView) -> Result<(), Undecided> {
    let Some(limit) = spec.limit_price else { return Ok(()) };
    let Some(reference) = market.reference.as_ref().map(|reference| reference.price) else {
        let message = format!(
            "{} has no price yet, so a limit cannot be held against the collar of the account's policy: wait for a \
             quote or a trade",
            spec.symbol
        );
        return Err(Refusal::new(RefusalCode::NoReferencePrice, message).field("symbol").into());
    };
    let bound = reference.at_percent(percent, spec.side == Side::Buy)?;
    let (beyond, word) = match spec.side {
        Side::Buy => (limit > bound, "above"),
        Side::Sell => (limit < bound, "below"),
    };
    if !beyond {
        return Ok(());
    }
    let message = format!(
        "limit_price {limit} is {word} {bound}, {percent} percent from the {reference} that {} stands at: name a price \
         nearer to the market, or change the policy",
        spec.symbol
    );
    let refusal = Refusal::new(RefusalCode::PriceCollar, message).field("limit_price");
    let refusal = refusal.figure("limit_price", limit).figure("bound", bound);
    Err(refusal.figure("reference", reference).figure("collar_pct", percent).into())
}
