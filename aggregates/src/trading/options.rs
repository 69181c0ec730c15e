//! Orders of options: what a package opens and closes, what it reserves, and what a fill of it moves. Every leg moves or
//! none does.
//!
//! What an order takes of an account is what it pays (less what it brings) and what the options of that underlying need
//! more of margin once it has filled: held against what backs the account. An order that only closes, and leaves nothing
//! that needs more, takes nothing of a margin account.

use super::cover::{Need, Shift};
use super::margin::standing;
use super::placing::{expiry, unknown_symbol};
use super::reducing::asks_more;
use super::{Desk, MarketView, Undecided, World};
use crate::account::{AccountCommand, AccountError, Opening, TradingState};
use crate::id::{AccountId, FillId, InstrumentId, OrderId};
use crate::instrument::{Contract, InstrumentKind};
use crate::margin::{Marks, Standing, initial_of};
use crate::market::MarketTime;
use crate::money::{Money, Price, Quantity};
use crate::order::{
    Execution, Leg, Order, OrderChange, OrderClass, OrderCommand, OrderError, OrderEvent,
    OrderSpec, PositionIntent, STOCK_UNIT, Side, net_price,
};
use crate::position::{PositionCommand, Trade};
use crate::refusal::{Refusal, RefusalCode};
use crate::stream::{Decide, Event, StreamId};

/// What so many packages of an order take of their account.
struct Plan {
    /// What they need of cash or margin.
    needs: Money,
    /// What is set aside of it.
    reserve: Money,
    /// What the order is measured by against a limit on orders: what it pays, or the margin that it needs.
    cost: Money,
    /// What it closes, by instrument.
    closes: Vec<(InstrumentId, Quantity)>,
    /// Whether a leg opens a position.
    opens: bool,
    /// Whether one does, or what is left of the account's options needs more afterwards.
    risks: bool,
}

impl<W: World> Desk<'_, W> {
    /// An order of options as it is taken: with its contracts, and each leg told to open or to close.
    pub(super) fn resolved(
        &self,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<OrderSpec, Undecided> {
        let mut resolved = spec.clone();
        if spec.order_class != OrderClass::Mleg {
            let mut leg = Leg {
                instrument_id: spec.instrument_id,
                symbol: spec.symbol.clone(),
                side: spec.side,
                ratio_qty: 1,
                position_intent: spec.position_intent,
                contract: None,
            };
            self.resolve(spec, &mut leg, market)?;
            (resolved.position_intent, resolved.contract) =
                (leg.position_intent, leg.contract.map(Box::new));
            return Ok(resolved);
        }
        let mut legs = spec.legs.clone().unwrap_or_default();
        for leg in &mut legs {
            self.resolve(spec, leg, market)?;
        }
        let malformed = |message: String| {
            Undecided::from(Refusal::new(RefusalCode::InvalidOrder, message).field("legs"))
        };
        let Some(terms) = legs.iter().find_map(|leg| leg.contract.clone()) else {
            return Err(malformed("an mleg order has at least one option leg".into()));
        };
        for leg in &legs {
            let on = leg.contract.as_ref().map_or(leg.instrument_id, |terms| terms.underlying_id);
            if on != terms.underlying_id {
                let (symbol, underlying) = (&leg.symbol, &terms.underlying);
                return Err(malformed(format!(
                    "{symbol} is not on {underlying}: all legs of an order are on one underlying"
                )));
            }
            if leg.contract.is_none() && !leg.ratio_qty.is_multiple_of(STOCK_UNIT) {
                return Err(malformed(format!(
                    "ratio_qty {} of {}: a stock leg is in shares, {STOCK_UNIT} for each contract",
                    leg.ratio_qty, leg.symbol
                )));
            }
        }
        (resolved.instrument_id, resolved.symbol) = (terms.underlying_id, terms.underlying);
        (resolved.side, resolved.legs) = (Side::Buy, Some(legs));
        Ok(resolved)
    }

    fn resolve(
        &self,
        spec: &OrderSpec,
        leg: &mut Leg,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let instrument = self.look_instrument(leg.instrument_id)?;
        if instrument.instrument_id().is_none() {
            return Err(unknown_symbol(&leg.symbol).into());
        }
        let known = market.contracts.get(&leg.instrument_id);
        // The market forgets contracts that nobody holds when they expire.
        let forgotten = || {
            let contract = leg.symbol.parse::<Contract>();
            contract.is_ok_and(|contract| contract.expiration() <= market.at.date_naive())
        };
        let option = instrument.kind() == InstrumentKind::Option;
        if instrument.expired().is_some() || option && known.is_none() && forgotten() {
            let message = format!("{} has expired: choose a later expiration", leg.symbol);
            return Err(Refusal::new(RefusalCode::ContractExpired, message).field("symbol").into());
        }
        if option {
            let Some(terms) = known else {
                let message = format!("the market does not tell what {} is on", leg.symbol);
                return Err(Refusal::new(RefusalCode::Unsupported, message).field("symbol").into());
            };
            leg.contract = Some(terms.clone());
        }
        let position = self.look_position(spec.account_id, leg.instrument_id)?;
        let held = position.contract().filter(|_| !position.qty().is_zero());
        if let (Some(held), Some(taken)) = (held, &leg.contract)
            && held != taken
        {
            let message = format!(
                "{} is held as {held}, and the order takes it as {taken}: a symbol is one contract; ask for it again, and send \
                 the order as it is held",
                leg.symbol
            );
            return Err(Refusal::new(RefusalCode::InvalidOrder, message).field("symbol").into());
        }
        let found = PositionIntent::of(leg.side, position.held_against(leg.side).is_zero());
        leg.position_intent = Some(leg.position_intent.unwrap_or(found));
        Ok(())
    }

    /// Whether nothing that the contracts of an order are on is being split: they are other contracts after it.
    fn not_splitting(&self, spec: &OrderSpec) -> Result<(), Undecided> {
        spec.package()
            .iter()
            .filter_map(|leg| leg.contract.as_ref())
            .try_for_each(|terms| self.not_being_split(terms))
    }

    /// Whether each leg finds what it is to close, and nothing that it would close while it is to open.
    fn intents_hold(&self, spec: &OrderSpec) -> Result<(), Undecided> {
        for leg in spec.package() {
            let position = self.look_position(spec.account_id, leg.instrument_id)?;
            let qty = leg.qty_of(spec.qty)?;
            let (held, free) = (position.held_against(leg.side), position.free_against(leg.side)?);
            let (symbol, side) = (&leg.symbol, leg.side.word());
            if leg.contract.is_none() && leg.position_intent == Some(PositionIntent::SellToOpen) {
                let message = format!(
                    "the order would sell {qty} {symbol} short, and a stock leg sells shares that are held: sell short by an \
                     order of its own, in a margin account"
                );
                let refusal = Refusal::new(RefusalCode::InsufficientShares, message).field("legs");
                return Err(refusal.figure("asked", qty).figure("held", position.qty()).into());
            }
            if leg.opens() && !held.is_zero() {
                let message = format!(
                    "{side}ing to open {qty} of {symbol} is not possible while {held} are held the other way: close them first"
                );
                let refusal = Refusal::new(RefusalCode::OpposingPosition, message);
                return Err(refusal.field("position_intent").figure("held", position.qty()).into());
            }
            if !leg.opens() && qty > free {
                let message = format!(
                    "the order closes {qty} of {symbol}, of which {held} are held against it and {free} are not reserved \
                     by open orders: lower the quantity, or send what is to open as an order of its own"
                );
                let refusal = Refusal::new(RefusalCode::InsufficientShares, message).field("qty");
                let refusal = refusal.figure("asked", qty).figure("available", free);
                return Err(refusal.figure("held", position.qty()).into());
            }
        }
        Ok(())
    }

    /// Takes an order of options whose contracts and intents are told.
    pub(super) fn accept_options(
        &mut self,
        order_id: OrderId,
        spec: &OrderSpec,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        if market.contracts_end.is_some_and(|end| end <= market.at) {
            let ends = spec
                .package()
                .into_iter()
                .filter_map(|leg| Some((leg.contract?.expiration, leg.symbol)));
            let expired = ends.min().map_or(spec.symbol.clone(), |(_, symbol)| symbol);
            let message = format!("{expired} has expired: choose a later expiration");
            return Err(Refusal::new(RefusalCode::ContractExpired, message).field("symbol").into());
        }
        self.not_splitting(spec)?;
        self.intents_hold(spec)?;
        self.covers_together(order_id, spec)?;
        let price = self.worst_net(spec, market)?;
        let plan = self.plan(spec, spec.qty, price, &market.marks)?;
        let account = self.look_account(spec.account_id)?;
        account.permits_order(plan.risks, spec.qty, plan.cost)?;
        self.legs_keep_covered(order_id, spec, spec.qty)?;
        self.within_policy_of_options((order_id, spec), spec.qty, market)?;
        let command = OrderCommand::Place {
            spec: spec.clone(),
            held: false,
            reserve_price: plan.opens.then_some(price),
            reference: market.reference.clone(),
            expires_at: self.life(spec, market)?,
            tape_place: market.tape_place,
            at: market.at,
        };
        self.order(order_id, &command)?;
        for (instrument_id, qty) in &plan.closes {
            let command = PositionCommand::Reserve { order_id, qty: *qty };
            self.position(spec.account_id, *instrument_id, &command)?;
        }
        if plan.reserve.is_zero() {
            return Ok(());
        }
        let margin = self.backing_of(spec.account_id, plan.opens, &market.marks)?;
        let (amount, collateral) = (plan.reserve, self.collateral(spec.account_id)?);
        let reserve =
            AccountCommand::Reserve { order_id, amount, margin, collateral, of_options: true };
        self.account(spec.account_id, &reserve)
    }

    /// Changes quantity, limit or time of an open order of options.
    pub(super) fn replace_options(
        &mut self,
        order_id: OrderId,
        (order, spec, replaced): (&Order, &OrderSpec, &OrderSpec),
        change: &OrderChange,
        market: &MarketView,
    ) -> Result<(), Undecided> {
        let account = self.look_account(spec.account_id)?;
        if account.policy().trading_state == TradingState::Halted {
            return Err(AccountError::Halted(TradingState::Halted).into());
        }
        self.not_splitting(spec)?;
        let leaves = replaced.qty.minus(order.filled_qty())?;
        let price = match order.reserve_price() {
            Some(price) if replaced.limit_price == spec.limit_price => price,
            _ => self.worst_net(replaced, market)?,
        };
        let plan = self.plan(replaced, leaves, price, &market.marks)?;
        let reserved = account.reservation(order_id);
        let more = plan.reserve > reserved;
        if more || replaced.qty > spec.qty {
            account.permits_order(plan.risks, replaced.qty, plan.cost)?;
        }
        let expires_at = match replaced.lives_as(spec) {
            true => None,
            false => self.life(replaced, market)?,
        };
        if asks_more(order, (spec, replaced), expires_at) {
            if plan.risks {
                account.may_open()?;
            }
            self.legs_keep_covered(order_id, replaced, leaves)?;
        }
        self.within_policy_of_options((order_id, replaced), leaves, market)?;
        let reserve_price = plan.opens.then_some(price);
        let command = OrderCommand::Replace {
            change: change.clone(),
            reserve_price,
            expires_at,
            at: market.at,
        };
        self.order(order_id, &command)?;
        for (instrument_id, qty) in &plan.closes {
            let command = PositionCommand::Rereserve { order_id, qty: *qty };
            self.position(spec.account_id, *instrument_id, &command)?;
        }
        if plan.reserve.is_zero() && reserved.is_zero() {
            return Ok(());
        }
        let margin = match more {
            true => self.backing_of(spec.account_id, plan.opens, &market.marks)?,
            false => None,
        };
        let (amount, collateral) = (plan.reserve, self.collateral(spec.account_id)?);
        let command =
            AccountCommand::Rereserve { order_id, amount, margin, collateral, of_options: true };
        self.account(spec.account_id, &command)
    }

    /// When the time of an order of options is over: never later than its first contract's.
    fn life(&self, spec: &OrderSpec, market: &MarketView) -> Result<Option<MarketTime>, Undecided> {
        let until = expiry(spec, market)?;
        Ok(match (until, market.contracts_end) {
            (Some(until), Some(end)) => Some(until.min(end)),
            (until, end) => until.or(end),
        })
    }

    /// How a margin account stands, if it is one: one that is under its maintenance may not open anything.
    fn backing_of(
        &self,
        account_id: AccountId,
        opens: bool,
        marks: &Marks,
    ) -> Result<Option<Standing>, Undecided> {
        match self.look_account(account_id)?.is_margin() {
            _ if opens => self.backing(account_id, marks),
            true => Ok(Some(standing(self.world, account_id, marks)?)),
            false => Ok(None),
        }
    }

    /// The worst price of one package: its limit, else what it would cost now beyond the collar. What is sold is worth nothing
    /// at worst.
    fn worst_net(&self, spec: &OrderSpec, market: &MarketView) -> Result<Price, Undecided> {
        if let Some(limit) = spec.limit_price {
            return Ok(limit);
        }
        if spec.order_class != OrderClass::Mleg {
            return match spec.side {
                Side::Buy => self.worst_price(spec, market),
                Side::Sell => Ok(Price::ZERO),
            };
        }
        let legs = spec.package();
        let executed = legs.iter().map(|leg| {
            let Some(mark) = market.marks.get(&leg.instrument_id) else {
                let message = format!(
                    "{} has no price yet, so the cost of a market order cannot be estimated: name a limit_price",
                    leg.symbol
                );
                let refusal = Refusal::new(RefusalCode::NoReferencePrice, message);
                return Err(Undecided::from(refusal.field("legs")));
            };
            let price = match leg.side {
                Side::Buy => mark.short.price.raised_by(self.rules.collar)?,
                Side::Sell => Price::ZERO,
            };
            Ok(price)
        });
        let prices = executed.collect::<Result<Vec<_>, Undecided>>()?;
        Ok(net_price(&legs, prices)?)
    }

    /// What `qty` packages take of the account at a price of each.
    fn plan(
        &self,
        spec: &OrderSpec,
        qty: Quantity,
        price: Price,
        marks: &Marks,
    ) -> Result<Plan, Undecided> {
        let account = self.look_account(spec.account_id)?;
        let mut closes = Vec::new();
        let mut shifts = Vec::new();
        let mut stock = Money::ZERO;
        let legs = spec.package();
        for leg in &legs {
            let of_leg = leg.qty_of(qty)?;
            if !leg.opens() {
                closes.push((leg.instrument_id, of_leg));
            }
            if leg.contract.is_none() && account.is_margin() {
                stock = stock.plus(self.stock_backs(leg, of_leg, marks)?)?;
            }
            shifts.push(Shift::of(leg, of_leg));
        }
        let paid = match spec.side {
            Side::Buy => spec.value(qty, price)?,
            Side::Sell => spec.value(qty, price)?.negated(),
        };
        let paid = paid.plus(self.rules.fees.of(spec, qty)?)?;
        let on = spec.splits_with();
        // What cannot need more is not reckoned, so that no price that lacks holds it up.
        let reduces = self.only_reduces(spec.account_id, on, (&legs, &shifts))?;
        let need = |shifts: &[Shift]| match reduces {
            true => Ok(Need::default()),
            false => self.need(spec.account_id, on, (marks, shifts)),
        };
        let (before, after) = (need(&[])?, need(&shifts)?);
        let opens = legs.iter().any(Leg::opens);
        self.permits_level(spec.account_id, &legs, (&before, &after))?;
        if opens {
            self.leaves_none_uncovered(spec.account_id, on, (&before, &after))?;
        }
        let more = after.money.minus(before.money)?;
        let effect = paid.plus(more)?.minus(stock)?;
        let closes_only = account.is_margin() && !opens && !more.is_positive();
        let needs = if closes_only { Money::ZERO } else { effect.max(Money::ZERO) };
        Ok(Plan {
            needs,
            reserve: if opens { needs.max(super::margin::least()?) } else { needs },
            cost: paid.max(more).max(Money::ZERO),
            closes,
            opens,
            risks: opens || more.is_positive(),
        })
    }

    /// What shares that a leg buys back by themselves, less what they need: half of their value. Those that it sells take
    /// that away.
    fn stock_backs(&self, leg: &Leg, qty: Quantity, marks: &Marks) -> Result<Money, Undecided> {
        let Some(mark) = marks.get(&leg.instrument_id) else {
            let message = format!("{} has no price yet: wait for a quote or a trade", leg.symbol);
            return Err(Refusal::new(RefusalCode::NoMark, message).field("legs").into());
        };
        let value = Money::of_fill(qty, mark.long.price)?;
        let backs = value.minus(initial_of(value)?)?;
        Ok(if leg.side == Side::Buy { backs } else { backs.negated() })
    }

    /// One execution of an order of options: every leg of it.
    pub(super) fn execute_options(
        &mut self,
        (order_id, order): (OrderId, &Order),
        spec: &OrderSpec,
        execution: &Execution,
        (marks, at): (&Marks, MarketTime),
    ) -> Result<(), Undecided> {
        let legs = spec.package();
        for leg in &legs {
            self.leg_tradable(leg)?;
        }
        let fill_id = FillId::of(
            order_id,
            execution.revision,
            execution.evidence.tape_place,
            execution.after_fills + 1,
        );
        let command = OrderCommand::Fill { fill_id, execution: execution.clone(), most: None, at };
        let events = order.decide(&command, self.rules)?;
        let Some(OrderEvent::OrderFilled {
            qty, amount, fees, leaves_qty, legs: fills, at, ..
        }) = events.first().cloned()
        else {
            return Err(OrderError::NotFound.into());
        };
        self.push(StreamId::Order(order_id), events.into_iter().map(Event::Order));
        let plan = self.plan(spec, qty, execution.price, marks)?;
        let account = self.look_account(spec.account_id)?;
        let held = account.reservation(order_id);
        let keep = match leaves_qty.is_zero() {
            true => Money::ZERO,
            // An order that works is found by what it reserves, however little that is.
            false => {
                let share = held.share(leaves_qty, leaves_qty.plus(qty)?)?;
                share.max(held.min(super::margin::least()?))
            }
        };
        let released = held.minus(keep)?;
        let margin = match account.is_margin() && plan.needs > released {
            true => Some(standing(self.world, spec.account_id, marks)?),
            false => None,
        };
        let collateral = self.collateral(spec.account_id)?;
        let opening = Some(Opening {
            needed: plan.needs,
            margin,
            collateral,
            of_options: true,
            passed_on: Vec::new(),
        });
        let change = if spec.side == Side::Buy { amount.negated() } else { amount };
        let settle =
            AccountCommand::Settle { order_id, fill_id, amount: change, fees, keep, opening };
        self.account(spec.account_id, &settle)?;
        for (index, leg) in legs.iter().enumerate() {
            let leg_fill = fills.get(index);
            let trade = Trade {
                account_id: spec.account_id,
                instrument_id: leg.instrument_id,
                symbol: leg.symbol.clone(),
                contract: leg.contract.clone(),
                fill_id: leg_fill.map_or(fill_id, |fill| fill.fill_id),
                order_id,
                side: leg.side,
                qty: leg.qty_of(qty)?,
                price: leg_fill.map_or(execution.price, |fill| fill.price),
                amount: leg_fill.map_or(amount, |fill| fill.amount),
                cuts: Vec::new(),
                at,
            };
            self.trade_leg(leg, trade)?;
        }
        Ok(())
    }

    /// A leg that opens adds to nothing that is held the other way, and one that closes takes what it has set aside.
    fn trade_leg(&mut self, leg: &Leg, trade: Trade) -> Result<(), Undecided> {
        let position = self.look_position(trade.account_id, leg.instrument_id)?;
        let held = position.held_against(leg.side);
        if leg.opens() && !held.is_zero() {
            let message = format!(
                "the fill would open {} of {}, and {held} are held the other way by now",
                trade.qty, leg.symbol
            );
            let refusal = Refusal::new(RefusalCode::OpposingPosition, message);
            return Err(refusal.figure("held", position.qty()).into());
        }
        let own = position.reservation(trade.order_id);
        if !leg.opens() && trade.qty > own {
            let message = format!(
                "the fill would close {} of {}, and the order has set {own} aside",
                trade.qty, leg.symbol
            );
            return Err(Refusal::new(RefusalCode::InsufficientShares, message).into());
        }
        self.position(trade.account_id, leg.instrument_id, &PositionCommand::Trade(trade))
    }

    /// Nothing fills while the leg or what it is on is halted or being split.
    fn leg_tradable(&self, leg: &Leg) -> Result<(), Undecided> {
        let on = leg.contract.as_ref().map(|terms| (terms.underlying_id, &terms.underlying));
        self.open_for_trading(leg.instrument_id, &leg.symbol)?;
        match on {
            Some((underlying_id, underlying)) => self.open_for_trading(underlying_id, underlying),
            None => Ok(()),
        }
    }
}
