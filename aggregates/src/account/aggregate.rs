//! The Account aggregate. In a cash account `0 <= reserved <= cash` holds after every event, except that fees,
//! dividends owed and the assignment of options may leave a deficit. In a margin account cash below zero is borrowed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::AccountCommand;
use super::error::AccountError;
use super::event::{AccountEvent, AccountKind, ReservationChange, TradingState};
use super::grants::{Grant, Grants};
use super::losses::Losses;
use super::policy::Policy;
use crate::id::{AccountId, GrantId, OrderId};
use crate::money::{AmountError, Money, Quantity};
use crate::rules::Rules;
use crate::stream::{Decide, Impossible, event_sourced};

/// One account. `Default` is an account that does not exist yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    account_id: Option<AccountId>,
    kind: Option<AccountKind>,
    option_level: u8,
    cash: Money,
    reserved: Money,
    reservations: BTreeMap<OrderId, Money>,
    policy: Policy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    losses: Option<Losses>,
    /// How often its policy was changed, money came in or went out, or it began again.
    #[serde(default)]
    changes: u64,
    grants: Grants,
}

event_sourced!(Account, "account", AccountCommand, AccountEvent {
    AccountOpened "1.0",
    CashDeposited "1.0",
    CashWithdrawn "1.2",
    CashReserved "1.2",
    ReservationReleased "1.0",
    ReservationsAdjusted "1.2",
    FillSettled "1.2",
    FeeCharged "1.0",
    DividendPaid "1.0",
    CashPaidInLieu "1.0",
    OptionSettled "1.1",
    AccountReset "1.0",
    PolicyChanged "1.3",
    TradingDayBegan "1.1",
    LossLimitReached "1.1",
    LossLimitLifted "1.0",
    AccessOffered "1.0",
    OfferEnded "1.0",
    AccessGranted "1.0",
    AccessRevoked "1.0",
}, AccountError);

impl Account {
    /// Whether the account exists.
    pub fn is_open(&self) -> bool {
        self.kind.is_some()
    }

    /// The balance.
    pub fn cash(&self) -> Money {
        self.cash
    }

    /// What open orders reserve, in all.
    pub fn reserved(&self) -> Money {
        self.reserved
    }

    /// What one order reserves; 0 for none.
    pub fn reservation(&self, order_id: OrderId) -> Money {
        self.reservations.get(&order_id).copied().unwrap_or_default()
    }

    /// Every reservation.
    pub fn reservations(&self) -> &BTreeMap<OrderId, Money> {
        &self.reservations
    }

    /// Cash less reservations: the buying power of a cash account.
    pub fn available(&self) -> Result<Money, AmountError> {
        self.cash.minus(self.reserved)
    }

    /// The limits that it trades under.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What its losses are counted from; `None` while nothing limits them or the count has not begun.
    pub fn losses(&self) -> Option<&Losses> {
        self.losses.as_ref()
    }

    /// How often its policy was changed, money came in or went out, or it began again: what was decided on before such a
    /// change is decided anew.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Every grant that was ever made or offered on it.
    pub fn grants(&self) -> &BTreeMap<GrantId, Grant> {
        self.grants.all()
    }

    /// Which options it may trade: see `docs/rules.md`, Options.
    pub fn option_level(&self) -> u8 {
        self.option_level
    }

    /// Whether it borrows against its positions.
    pub fn is_margin(&self) -> bool {
        self.kind == Some(AccountKind::Margin)
    }

    /// Whether fees, dividends owed or the assignment of options have left a cash account in debt: it may only reduce positions until that is
    /// paid.
    pub fn in_deficit(&self) -> bool {
        !self.is_margin() && self.cash.is_negative()
    }

    /// Whether it may risk more than it does: open a position, add to one, or take away what covers short options.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_open(&self) -> Result<(), AccountError> {
        let stop = self.losses.as_ref().and_then(|losses| losses.stop.as_ref());
        if let Some(stop) = stop {
            return Err(AccountError::LossLimit(Box::new(stop.clone())));
        }
        match self.policy.trading_state {
            TradingState::Halted => Err(AccountError::Halted(TradingState::Halted)),
            TradingState::Reducing => Err(AccountError::ReduceOnly),
            TradingState::Active if self.in_deficit() => {
                Err(AccountError::InDeficit(self.cash.negated()))
            }
            TradingState::Active => Ok(()),
        }
    }

    /// The account's own word on a new order, before anything is reserved. `opens` says that it opens or adds to a
    /// position, at a worst cost of `cost`.
    pub fn permits_order(
        &self,
        opens: bool,
        qty: Quantity,
        cost: Money,
    ) -> Result<(), AccountError> {
        if !self.is_open() {
            return Err(AccountError::NotFound);
        }
        if opens {
            self.may_open()?;
        }
        if self.policy.trading_state == TradingState::Halted {
            return Err(AccountError::Halted(TradingState::Halted));
        }
        if let Some(max) = self.policy.max_order_qty.filter(|max| qty > *max) {
            return Err(AccountError::OrderQty { qty, max });
        }
        match self.policy.max_order_notional {
            Some(max) if cost > max => Err(AccountError::OrderNotional { cost, max }),
            _ => Ok(()),
        }
    }

    fn follow_split(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, AccountError> {
        let AccountCommand::FollowSplit { action_id, instrument_id, cash_in_lieu, keep, at } =
            command
        else {
            return Err(AccountError::NoReservation);
        };
        let mut events = Vec::new();
        if !cash_in_lieu.is_zero() {
            events.push(AccountEvent::CashPaidInLieu {
                action_id: action_id.clone(),
                instrument_id: *instrument_id,
                amount: *cash_in_lieu,
                cash: self.cash.plus(*cash_in_lieu)?,
                at: *at,
            });
        }
        let mut reserved = self.reserved;
        let mut changes = Vec::new();
        for (order_id, to) in keep {
            let from = self.reservation(*order_id);
            if from != *to {
                reserved = reserved.minus(from)?.plus(*to)?;
                changes.push(ReservationChange { order_id: *order_id, from, to: *to });
            }
        }
        if !changes.is_empty() {
            let action_id = Some(action_id.clone());
            let margin = None;
            events.push(AccountEvent::ReservationsAdjusted {
                action_id,
                changes,
                reserved,
                margin,
            });
        }
        Ok(events)
    }

    fn keep_reservation(&mut self, order_id: OrderId, amount: Money) {
        if amount.is_zero() {
            self.reservations.remove(&order_id);
        } else {
            self.reservations.insert(order_id, amount);
        }
    }
}

fn positive(amount: Money) -> Result<Money, AccountError> {
    if amount.is_positive() { Ok(amount) } else { Err(AccountError::NotPositive(amount)) }
}

impl Decide for Account {
    fn decide(
        &self,
        command: &AccountCommand,
        _: &Rules,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        if let AccountCommand::Open {
            account_id,
            kind,
            option_level,
            name_digest,
            starting_balance,
            deposit_id,
            at,
        } = command
        {
            if self.is_open() {
                return Err(AccountError::Exists);
            }
            let most = kind.most_option_level();
            if *option_level > most {
                return Err(AccountError::OptionLevel { asked: *option_level, most });
            }
            if starting_balance.is_negative() {
                return Err(AccountError::NotPositive(*starting_balance));
            }
            let mut events = vec![AccountEvent::AccountOpened {
                account_id: *account_id,
                kind: *kind,
                option_level: *option_level,
                name_digest: name_digest.clone(),
            }];
            if starting_balance.is_positive() {
                events.push(AccountEvent::CashDeposited {
                    deposit_id: *deposit_id,
                    amount: *starting_balance,
                    cash: *starting_balance,
                    at: *at,
                });
            }
            return Ok(events);
        }
        if !self.is_open() {
            return Err(AccountError::NotFound);
        }
        Ok(match command {
            AccountCommand::Open { .. } => return Err(AccountError::Exists),
            AccountCommand::Deposit { deposit_id, amount, at } => {
                vec![AccountEvent::CashDeposited {
                    deposit_id: *deposit_id,
                    amount: positive(*amount)?,
                    cash: self.cash.plus(*amount)?,
                    at: *at,
                }]
            }
            AccountCommand::Withdraw { withdrawal_id, amount, at, margin, collateral } => {
                vec![AccountEvent::CashWithdrawn {
                    withdrawal_id: *withdrawal_id,
                    amount: *amount,
                    cash: self.withdraw(positive(*amount)?, margin.as_ref(), *collateral)?,
                    at: *at,
                    margin: margin.clone(),
                }]
            }
            AccountCommand::Reserve { .. } => vec![self.reserve(command)?],
            AccountCommand::Rereserve { .. } => self.rereserve(command)?.into_iter().collect(),
            AccountCommand::Release { orders, reason } => {
                let (mut reserved, mut events) = (self.reserved, Vec::with_capacity(orders.len()));
                for order_id in orders {
                    let amount = self.reservation(*order_id);
                    if amount.is_zero() {
                        return Err(AccountError::NoReservation);
                    }
                    reserved = reserved.minus(amount)?;
                    let (order_id, reason) = (*order_id, *reason);
                    events.push(AccountEvent::ReservationReleased {
                        order_id,
                        amount,
                        reason,
                        reserved,
                    });
                }
                events
            }
            AccountCommand::Settle { .. } => self.settle(command)?,
            AccountCommand::FollowSplit { .. } => self.follow_split(command)?,
            AccountCommand::PayDividend { action_id, instrument_id, amount, at } => {
                vec![AccountEvent::DividendPaid {
                    action_id: action_id.clone(),
                    instrument_id: *instrument_id,
                    amount: *amount,
                    cash: self.cash.plus(*amount)?,
                    at: *at,
                }]
            }
            AccountCommand::SettleOption { instrument_id, ending_id, how, amount, margin, at } => {
                vec![AccountEvent::OptionSettled {
                    instrument_id: *instrument_id,
                    ending_id: *ending_id,
                    how: *how,
                    amount: *amount,
                    cash: self.cash.plus(*amount)?,
                    margin: margin.clone(),
                    at: *at,
                }]
            }
            AccountCommand::Reset { reset_id, balance, at } => {
                if balance.is_negative() {
                    return Err(AccountError::BalanceNegative(*balance));
                }
                vec![AccountEvent::AccountReset {
                    reset_id: *reset_id,
                    amount: balance.minus(self.cash)?,
                    released: self.reserved,
                    cash: *balance,
                    at: *at,
                }]
            }
            AccountCommand::ChangePolicy { change } => {
                let policy = change.of(&self.policy)?;
                let stopped = self.losses.as_ref().is_some_and(|losses| losses.stop.is_some());
                let ends_stop = stopped && change.trading_state.is_some();
                let changed = ends_stop || policy != self.policy;
                let event = AccountEvent::PolicyChanged { policy, ends_stop };
                changed.then_some(event).into_iter().collect()
            }
            AccountCommand::BeginDay { .. } => self.begin_day(command)?,
            AccountCommand::StopLosses { .. } => vec![self.stop_losses(command)?],
            AccountCommand::Offer { grant_id, user_id, role } => {
                self.grants.offer(*grant_id, *user_id, *role).into_iter().collect()
            }
            AccountCommand::EndOffer { grant_id, reason } => {
                self.grants.end_offer(*grant_id, *reason).into_iter().collect()
            }
            AccountCommand::Grant { grant_id, user_id, role } => {
                self.grants.grant(*grant_id, *user_id, *role).into_iter().collect()
            }
            AccountCommand::Revoke { grant_id } => {
                self.grants.revoke(*grant_id).into_iter().collect()
            }
        })
    }

    fn evolve(&mut self, event: &AccountEvent) -> Result<(), Impossible> {
        let opens = matches!(event, AccountEvent::AccountOpened { .. });
        if opens == self.is_open() {
            return Err(Impossible(
                if opens { "an account opened twice" } else { "an event before AccountOpened" }
                    .into(),
            ));
        }
        let expected = |name: &str, stated: Money, computed: Result<Money, AmountError>| {
            if computed.as_ref() == Ok(&stated) {
                return Ok(());
            }
            Err(Impossible(format!("{name} is stated as {stated}, computed as {computed:?}")))
        };
        match event {
            AccountEvent::AccountOpened { account_id, kind, option_level, .. } => {
                self.account_id = Some(*account_id);
                self.kind = Some(*kind);
                self.option_level = *option_level;
            }
            AccountEvent::CashDeposited { amount, cash, .. }
            | AccountEvent::DividendPaid { amount, cash, .. }
            | AccountEvent::CashPaidInLieu { amount, cash, .. }
            | AccountEvent::OptionSettled { amount, cash, .. } => {
                expected("cash", *cash, self.cash.plus(*amount))?;
                self.cash = *cash;
            }
            AccountEvent::CashWithdrawn { amount, cash, .. }
            | AccountEvent::FeeCharged { amount, cash, .. } => {
                expected("cash", *cash, self.cash.minus(*amount))?;
                self.cash = *cash;
            }
            AccountEvent::CashReserved { order_id, amount, reserved, .. } => {
                expected("reserved", *reserved, self.reserved.plus(*amount))?;
                expected("the reservation before", Money::ZERO, Ok(self.reservation(*order_id)))?;
                self.reserved = *reserved;
                self.keep_reservation(*order_id, *amount);
            }
            AccountEvent::ReservationReleased { order_id, amount, reserved, .. } => {
                expected("the reservation", *amount, Ok(self.reservation(*order_id)))?;
                expected("reserved", *reserved, self.reserved.minus(*amount))?;
                self.reserved = *reserved;
                self.keep_reservation(*order_id, Money::ZERO);
            }
            AccountEvent::ReservationsAdjusted { changes, reserved, .. } => {
                let mut sum = self.reserved;
                for change in changes {
                    expected(
                        "the reservation",
                        change.from,
                        Ok(self.reservation(change.order_id)),
                    )?;
                    sum = sum
                        .minus(change.from)
                        .and_then(|sum| sum.plus(change.to))
                        .map_err(|error| Impossible(error.to_string()))?;
                    self.keep_reservation(change.order_id, change.to);
                }
                expected("reserved", *reserved, Ok(sum))?;
                self.reserved = *reserved;
            }
            AccountEvent::FillSettled { order_id, amount, released, cash, reserved, .. } => {
                expected("cash", *cash, self.cash.plus(*amount))?;
                expected("reserved", *reserved, self.reserved.minus(*released))?;
                let kept = self
                    .reservation(*order_id)
                    .minus(*released)
                    .map_err(|error| Impossible(error.to_string()))?;
                if kept.is_negative() || released.is_negative() {
                    return Err(Impossible(format!("{released} released of order {order_id}")));
                }
                self.cash = *cash;
                self.reserved = *reserved;
                self.keep_reservation(*order_id, kept);
            }
            AccountEvent::AccountReset { amount, released, cash, .. } => {
                expected("cash", *cash, self.cash.plus(*amount))?;
                expected("what was reserved", *released, Ok(self.reserved))?;
                self.cash = *cash;
                self.reserved = Money::ZERO;
                self.reservations.clear();
            }
            AccountEvent::TradingDayBegan { .. }
            | AccountEvent::LossLimitReached { .. }
            | AccountEvent::LossLimitLifted { .. } => self.counts_losses(event)?,
            AccountEvent::PolicyChanged { .. } => {}
            AccountEvent::AccessOffered { grant_id, user_id, role } => {
                self.grants.offered(*grant_id, *user_id, *role)?;
            }
            AccountEvent::OfferEnded { grant_id, user_id, role, .. } => {
                self.grants.ended(*grant_id, *user_id, *role, true)?;
            }
            AccountEvent::AccessGranted { grant_id, user_id, role } => {
                self.grants.granted(*grant_id, *user_id, *role)?;
            }
            AccountEvent::AccessRevoked { grant_id, user_id, role } => {
                self.grants.ended(*grant_id, *user_id, *role, false)?;
            }
        }
        self.changes += u64::from(event.is_change());
        Losses::follow(&mut self.policy, &mut self.losses, event)
            .map_err(|error| Impossible(error.to_string()))?;
        Ok(())
    }
}
