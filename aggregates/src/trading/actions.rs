//! Corporate actions, one account at a time: shares, options on them, open orders and reservations follow in one commit.

use std::collections::{BTreeMap, BTreeSet};

use super::adjusting::Contracts;
use super::margin::to_reserve;
use super::{Desk, Undecided, World};
use crate::account::{AccountCommand, ReleaseReason};
use crate::id::{AccountId, InstrumentId, OrderId};
use crate::instrument::{Dividend, DividendStage};
use crate::market::MarketTime;
use crate::money::{Money, Quantity, Ratio};
use crate::order::{CancelReason, OrderCommand, OrderError, OrderEvent, Side};
use crate::position::{PositionCommand, PositionError, PositionEvent};
use crate::refusal::{Refusal, RefusalCode};
use crate::stream::{Decide, Event, StreamId};

impl<W: World> Desk<'_, W> {
    /// The split that gates the instrument, applied to one account. One that would be left with more than there can be
    /// stays as it is, so that it does not hold the split up for everybody.
    pub(super) fn follow_split(
        &mut self,
        of: (AccountId, InstrumentId),
        (orders, contracts): (&[OrderId], &Contracts),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        match self.split(of, (orders, contracts), at) {
            Err(Undecided::Refused(refusal)) if refusal.code == RefusalCode::InvalidAmount => {
                self.decision.events.clear();
                self.stay_behind(of, (orders, contracts), at)
            }
            done => done,
        }
    }

    /// An account keeps what it holds through a split, and its open orders end.
    fn stay_behind(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        (orders, contracts): (&[OrderId], &Contracts),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let mut ended = Vec::new();
        for order_id in orders.iter().copied().collect::<BTreeSet<_>>() {
            if self.look_order(order_id)?.is_open() {
                let reason = CancelReason::SplitOutOfBounds;
                self.order(order_id, &OrderCommand::Cancel { reason, at })?;
                ended.push(order_id);
            }
        }
        self.release(account_id, &ended, ReleaseReason::Canceled)?;
        let splitting = self.look_instrument(instrument_id)?.splitting();
        let Some((action_id, split)) = splitting else { return Ok(()) };
        self.keep_contracts((account_id, instrument_id), (action_id, split), contracts, at)?;
        if self.look_position(account_id, instrument_id)?.qty().is_zero() {
            return Ok(());
        }
        let command = PositionCommand::StayBehind {
            action_id: action_id.to_owned(),
            numerator: split.numerator,
            denominator: split.denominator,
            at,
        };
        self.position(account_id, instrument_id, &command)
    }

    fn split(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        (orders, contracts): (&[OrderId], &Contracts),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let instrument = self.look_instrument(instrument_id)?;
        let Some((action_id, split)) = instrument.splitting() else {
            let message = format!("no split of {} is under way", instrument.symbol());
            return Err(Refusal::new(RefusalCode::AlreadyApplied, message).into());
        };
        let (numerator, denominator) = (split.numerator, split.denominator);
        let action_id = action_id.to_owned();
        let mut keep_cash: Vec<(OrderId, Money)> = Vec::new();
        let mut keep_shares: Vec<(OrderId, Quantity)> = Vec::new();
        let position = self.look_position(account_id, instrument_id)?;
        let account = self.look_account(account_id)?;
        let ratio = Ratio::of_split(numerator, denominator)?;
        let follow = |whole| OrderCommand::Adjust {
            action_id: action_id.clone(),
            numerator,
            denominator,
            whole,
            at,
        };
        for (order_id, events) in self.adjusted(account_id, instrument_id, orders, &follow)? {
            let order = self.look_order(order_id)?;
            let spec = order.spec().ok_or(OrderError::NotFound)?;
            let (mut cash, mut shares) = (Money::ZERO, Quantity::ZERO);
            let whole = spec.side == Side::Sell && position.qty().is_whole();
            let (held, own) = (account.reservation(order_id), position.reservation(order_id));
            if let Some(OrderEvent::OrderAdjusted { qty, reserve_price, .. }) = events.first() {
                let leaves = qty.minus(order.filled_qty())?;
                shares = own.split_by(ratio, whole || own.is_whole())?.min(leaves);
                let opens = leaves.minus(shares)?;
                cash = match reserve_price {
                    _ if opens.is_zero() => Money::ZERO,
                    Some(price) => to_reserve(account, opens, *price, self.rules)?,
                    None => held,
                };
            }
            self.push(StreamId::Order(order_id), events.into_iter().map(Event::Order));
            for leg in spec.instruments().into_iter().filter(|leg| *leg != instrument_id) {
                if !self.look_position(account_id, leg)?.reservation(order_id).is_zero() {
                    let (orders, reason) = (vec![order_id], ReleaseReason::Canceled);
                    self.position(account_id, leg, &PositionCommand::Release { orders, reason })?;
                }
            }
            // Prices and quantities round down; fees for more shares may not make the reservation grow.
            if !held.is_zero() {
                keep_cash.push((order_id, cash.min(held)));
            }
            if !own.is_zero() {
                keep_shares.push((order_id, shares));
            }
        }
        let mut cash_in_lieu = Money::ZERO;
        if !position.qty().is_zero() {
            let command = PositionCommand::Split {
                action_id: action_id.clone(),
                numerator,
                denominator,
                last_close: split.last_close,
                keep: keep_shares,
                at,
            };
            let events = position.decide(&command, self.rules)?;
            if let Some(PositionEvent::PositionSplit { cash_in_lieu: paid, .. }) = events.first() {
                cash_in_lieu = *paid;
            }
            self.push(
                StreamId::Position(account_id, instrument_id),
                events.into_iter().map(Event::Position),
            );
        }
        let follow = AccountCommand::FollowSplit {
            action_id: action_id.clone(),
            instrument_id,
            cash_in_lieu,
            keep: keep_cash,
            at,
        };
        self.account(account_id, &follow)?;
        self.adjust_contracts((account_id, instrument_id), (&action_id, split), contracts, at)
    }

    /// What a split does to open orders, each once, in order of their ids; one that ended meanwhile is left out. Orders
    /// that belong together stay together: where an exit cannot follow, the others do not either.
    fn adjusted(
        &self,
        account_id: AccountId,
        instrument_id: InstrumentId,
        orders: &[OrderId],
        follow: &impl Fn(bool) -> OrderCommand,
    ) -> Result<BTreeMap<OrderId, Vec<OrderEvent>>, Undecided> {
        let holds_whole = self.look_position(account_id, instrument_id)?.qty().is_whole();
        let mut adjusted = BTreeMap::new();
        let mut broken: BTreeMap<OrderId, CancelReason> = BTreeMap::new();
        for order_id in &orders.iter().copied().collect::<BTreeSet<_>>() {
            let order = self.look_order(*order_id)?;
            let spec = order.spec().ok_or(OrderError::NotFound)?;
            if (spec.account_id, spec.splits_with()) != (account_id, instrument_id) {
                return Err(OrderError::NotFound.into());
            }
            if !order.is_open() {
                continue;
            }
            // A whole position stays whole, so fractional sells of it are cut to whole shares with it.
            let whole = spec.side == Side::Sell && holds_whole;
            // The contracts of its legs are other ones after the split.
            let command = match (spec.is_of_options(), follow(whole)) {
                (true, OrderCommand::Adjust { at, .. }) => {
                    OrderCommand::Cancel { reason: CancelReason::ContractAdjusted, at }
                }
                (_, follow) => follow,
            };
            let events = order.decide(&command, self.rules)?;
            if let (Some(OrderEvent::OrderCanceled { reason, .. }), Some(family)) =
                (events.first(), spec.family(*order_id))
            {
                broken.insert(family, *reason);
            }
            adjusted.insert(*order_id, events);
        }
        for (order_id, events) in &mut adjusted {
            let order = self.look_order(*order_id)?;
            let family = order.spec().and_then(|spec| spec.family(*order_id));
            let reason = family.and_then(|family| broken.get(&family));
            if let (Some(reason), Some(OrderEvent::OrderAdjusted { at, .. })) =
                (reason, events.first())
            {
                let cancel = OrderCommand::Cancel { reason: *reason, at: *at };
                *events = order.decide(&cancel, self.rules)?;
            }
        }
        Ok(adjusted)
    }

    /// A dividend accrues in one position: what was held at the close before the ex date earns it, also when the
    /// market tells of it later.
    pub(super) fn accrue_dividend(
        &mut self,
        account_id: AccountId,
        instrument_id: InstrumentId,
        action_id: &str,
        qty: Quantity,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let per_share = self.dividend(instrument_id, action_id, DividendStage::Declared)?.amount;
        let action_id = action_id.to_owned();
        let command = PositionCommand::AccrueDividend { action_id, qty, per_share, at };
        self.position(account_id, instrument_id, &command)
    }

    /// The dividend, if it has come exactly so far: one that is complete accrues nothing and pays nothing any more.
    fn dividend(
        &self,
        instrument_id: InstrumentId,
        action_id: &str,
        stage: DividendStage,
    ) -> Result<&Dividend, Undecided> {
        let dividend = self.look_instrument(instrument_id)?.dividends().get(action_id);
        dividend
            .filter(|dividend| dividend.stage == stage)
            .ok_or_else(|| PositionError::AlreadyApplied(action_id.to_owned()).into())
    }

    /// An accrued dividend is paid.
    pub(super) fn pay_dividend(
        &mut self,
        account_id: AccountId,
        instrument_id: InstrumentId,
        action_id: &str,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        self.dividend(instrument_id, action_id, DividendStage::Accrued)?;
        let position = self.look_position(account_id, instrument_id)?;
        let amount = position
            .accrued(action_id)
            .ok_or(PositionError::AlreadyApplied(action_id.to_owned()))?;
        let settle = PositionCommand::SettleDividend { action_id: action_id.to_owned(), at };
        self.position(account_id, instrument_id, &settle)?;
        let action_id = action_id.to_owned();
        self.account(
            account_id,
            &AccountCommand::PayDividend { action_id, instrument_id, amount, at },
        )
    }
}
