//! Placing an order: the request's own rules, the account's word, the reservation, the order; or a rejection.

use chrono::{SecondsFormat, TimeDelta};

use super::margin::to_reserve;
use super::{AuctionEntry, Desk, MarketView, Undecided, World};
use crate::account::AccountCommand;
use crate::id::OrderId;
use crate::instrument::{Contract, InstrumentKind};
use crate::margin::initial_of;
use crate::market::MarketTime;
use crate::money::{Money, Price, Quantity};
use crate::order::{OrderClass, OrderCommand, OrderSpec, OrderType, Side, TimeInForce, worst_cost};
use crate::position::{PositionCommand, PositionError};
use crate::refusal::{Refusal, RefusalCode, RefusalKind};

/// How far ahead of the market's clock a gtd order may end: ten years.
const GOOD_TILL_MOST: TimeDelta = TimeDelta::days(3_653);

impl<W: World> Desk<'_, W> {
    /// An order that arrives. What is malformed is refused and leaves no trace; what the business refuses is
    /// recorded as a rejected order.
    pub(super) fn place(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let faults = spec.faults();
        if let Some(first) = faults.into_iter().next() {
            return Err(first.into());
        }
        let mleg = spec.order_class == OrderClass::Mleg;
        let instrument = self.look_instrument(spec.instrument_id)?;
        if instrument.instrument_id().is_none() && !mleg {
            return Err(unknown_symbol(&spec.symbol).into());
        }
        if mleg || instrument.kind() == InstrumentKind::Option {
            let option = self.resolved(spec, market)?;
            if let Some(fault) = option.faults().into_iter().next() {
                return Err(fault.into());
            }
            return self.arrive(order_id, &option, market);
        }
        if spec.position_intent.is_some() {
            let message = "a position_intent is for options: leave it out of an order of shares";
            let refusal = Refusal::new(RefusalCode::InvalidOrder, message);
            return Err(refusal.field("position_intent").into());
        }
        self.arrive(order_id, spec, market)
    }

    /// Whether an order closes what is held and free, and no more: the rest of it would open the other side.
    pub(super) fn only_closes(&self, spec: &OrderSpec) -> Result<(), Undecided> {
        let position = self.look_position(spec.account_id, spec.instrument_id)?;
        let free = position.available()?;
        let available = match spec.side {
            Side::Sell => free.max(Quantity::ZERO),
            Side::Buy => free.negated().max(Quantity::ZERO),
        };
        if spec.qty <= available {
            return Ok(());
        }
        let (held, reserved) = (position.qty(), position.reserved_qty());
        let asked = spec.qty;
        Err(PositionError::InsufficientShares { asked, available, held, reserved }.into())
    }

    /// An order that makes sense: taken, or recorded as rejected.
    fn arrive(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let instrument = self.look_instrument(spec.instrument_id)?;
        if let Some((action_id, _)) = instrument.splitting() {
            let message = format!(
                "the split {action_id} of {} is being applied: send the order again",
                spec.symbol
            );
            return Err(Refusal::new(RefusalCode::CorporateAction, message).into());
        }
        if !self.look_account(spec.account_id)?.is_open() {
            return Err(
                Refusal::new(RefusalCode::AccountNotFound, "there is no such account").into()
            );
        }
        let accepted = match spec.is_of_options() {
            true => self.accept_options(order_id, spec, market),
            false => self.accept(order_id, spec, market),
        };
        match accepted {
            Err(Undecided::Refused(reject)) if reject.code.kind() == RefusalKind::Business => {
                self.decision.events.clear();
                self.decision.rejected = Some(reject.clone());
                let (tape_place, at) = (market.tape_place, market.at);
                self.order(
                    order_id,
                    &OrderCommand::Reject { spec: spec.clone(), reject, tape_place, at },
                )
            }
            other => other,
        }
    }

    fn accept(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let account = self.look_account(spec.account_id)?;
        if spec.trail.is_some() && market.reference.is_none() {
            let message = format!(
                "{} has no price yet, so there is no mark to follow: wait for a quote or a trade",
                spec.symbol
            );
            let refusal = Refusal::new(RefusalCode::NoReferencePrice, message);
            return Err(refusal.field("symbol").into());
        }
        self.keeps_its_part(order_id, spec)?;
        let qty = match spec.notional {
            Some(notional) => self.shares_for(notional, spec, market)?,
            None => spec.qty,
        };
        let parts = self.parts(order_id, spec, qty)?;
        let reserve_price = match spec.notional {
            Some(_) => None,
            None => self.reserve_price(spec, &parts, market)?,
        };
        let (cost, amount) = match (reserve_price, spec.notional) {
            (Some(price), _) => (
                worst_cost(parts.opens, price, self.rules)?,
                to_reserve(account, parts.opens, price, self.rules)?,
            ),
            (None, Some(notional)) if !spec.sells_for_dollars() => {
                self.opens_long(spec)?;
                let fee = self.rules.fees.fee(qty)?;
                let margin = if account.is_margin() { initial_of(notional)? } else { notional };
                (notional.plus(fee)?, margin.plus(fee)?)
            }
            (None, _) => (Money::ZERO, Money::ZERO),
        };
        account.permits_order(!parts.opens.is_zero(), qty, cost)?;
        self.uncovers((order_id, spec), qty, &market.marks)?;
        self.keeps_covered(order_id, spec, qty)?;
        self.is_whole(spec, &parts)?;
        self.within_policy((order_id, spec), qty, &parts, market)?;
        if spec.order_type == OrderType::Market && !market.open && spec.time_in_force.is_immediate()
        {
            let word = spec.time_in_force.word();
            let message = format!(
                "the market is closed and a market order that is {word} cannot wait: send it as day to queue it for \
                 the next session"
            );
            return Err(Refusal::new(RefusalCode::MarketClosed, message).into());
        }
        takes_part(spec, market)?;
        let expires_at = expiry(spec, market)?;
        self.order(
            order_id,
            &OrderCommand::Place {
                spec: spec.clone(),
                held: false,
                reserve_price,
                reference: market.reference.clone(),
                expires_at,
                tape_place: market.tape_place,
                at: market.at,
            },
        )?;
        if !parts.closes.is_zero() {
            let command = PositionCommand::Reserve { order_id, qty: parts.closes };
            self.position(spec.account_id, spec.instrument_id, &command)?;
        }
        if !parts.opens.is_zero() {
            let margin = self.backing(spec.account_id, &market.marks)?;
            let collateral = self.collateral(spec.account_id)?;
            let reserve =
                AccountCommand::Reserve { order_id, amount, margin, collateral, of_options: false };
            self.account(spec.account_id, &reserve)?;
        }
        self.place_children(order_id, spec, market, expires_at)
    }

    /// The price that a buy reserves for each share: see [`OrderSpec::worst_price`].
    pub(super) fn worst_price(
        &self,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<Price, Undecided> {
        let reference = market.reference.as_ref().map(|reference| reference.price);
        match spec.worst_price(reference, self.rules.collar)? {
            Some(price) => Ok(price),
            None => {
                let message = format!(
                    "{} has no price yet, so the cost of a market order cannot be estimated: send a limit order, or \
                     wait for a quote",
                    spec.symbol
                );
                Err(Refusal::new(RefusalCode::NoReferencePrice, message).field("symbol").into())
            }
        }
    }
}

/// Refuses an order for an auction that takes none now.
pub(super) fn takes_part(spec: &OrderSpec, market: &MarketView) -> Result<(), Refusal> {
    if !spec.time_in_force.is_auction() {
        return Ok(());
    }
    let (word, at) = (spec.time_in_force.word(), market.at);
    let refusal = |message: String| Refusal::new(RefusalCode::AuctionClosed, message);
    match market.auction {
        Some(AuctionEntry::Taken { .. }) => Ok(()),
        Some(AuctionEntry::Refused { since, until }) => {
            let [since, until, at] = [since, until, at].map(shown);
            let message = format!(
                "no {word} order is taken or changed from {since} to {until}, and the market's clock is at {at}: send it \
                 at {until} or later for the next session, or as day"
            );
            let refusal = refusal(message).figure("since", since).figure("until", until);
            Err(refusal.figure("market_time", at))
        }
        None => Err(refusal(format!(
            "a market that is always open has no auctions, so no {word} order is taken: send it as day"
        ))),
    }
}

/// A time as requests and answers write it.
fn shown(at: MarketTime) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// When the time of an order that is taken now will be over; `None` is never.
pub(super) fn expiry(
    spec: &OrderSpec,
    market: &MarketView,
) -> Result<Option<MarketTime>, Undecided> {
    match (spec.time_in_force, spec.good_till) {
        (TimeInForce::Day, _) if spec.extended_hours => Ok(Some(market.extended_close)),
        (TimeInForce::Day, _) => Ok(Some(market.session_close)),
        (TimeInForce::Opg | TimeInForce::Cls, _) => Ok(match market.auction {
            Some(AuctionEntry::Taken { ends }) => Some(ends),
            _ => None,
        }),
        (TimeInForce::Gtd, Some(end)) if end <= market.at => {
            let [end, now] = [end, market.at].map(shown);
            let message = format!(
                "expires_at {end} is not after the market's clock, {now}: name a later time"
            );
            Err(Refusal::new(RefusalCode::InvalidOrder, message).field("expires_at").into())
        }
        (TimeInForce::Gtd, Some(end)) if end.signed_duration_since(market.at) > GOOD_TILL_MOST => {
            let years = GOOD_TILL_MOST.num_days() / 365;
            let [end, now] = [end, market.at].map(shown);
            let message = format!(
                "expires_at {end} is more than {years} years after the market's clock, {now}: name an earlier time, or use gtc"
            );
            Err(Refusal::new(RefusalCode::InvalidOrder, message).field("expires_at").into())
        }
        (_, good_till) => Ok(good_till),
    }
}

/// Nothing is listed under this symbol.
pub(super) fn unknown_symbol(symbol: &str) -> Refusal {
    let message = match symbol.parse::<Contract>() {
        Ok(_) => format!(
            "no contract {symbol} is listed: ask for the expirations and the strikes of what it is on"
        ),
        Err(_) => format!(
            "there is no symbol {symbol}: stocks are written in capitals, such as AAPL, and options as AAPL240119C00190000; \
             ask for the list of instruments"
        ),
    };
    Refusal::new(RefusalCode::UnknownSymbol, message).field("symbol")
}
