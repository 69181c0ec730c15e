//! What an exercise or an assignment before expiry did, told by the events of its command: who sends it again under its key is
//! told the same.

use aggregates::account::AccountEvent;
use aggregates::id::{AccountId, CommandId, InstrumentId};
use aggregates::instrument::OptionEnd;
use aggregates::money::{Money, Quantity};
use aggregates::order::Side;
use aggregates::position::PositionEvent;
use aggregates::stream::Event;
use projections::{Group, log, query};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Caller, Fresh, PositionAnswer, Service, ServiceError};
use crate::ledger::{Committed, SHARD};

/// An option of which contracts were exercised or assigned, as it is left, and what that did.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "EndedOption")]
pub struct EndedAnswer {
    /// What is left of the option.
    #[serde(flatten)]
    pub option: PositionAnswer,
    /// What the exercise or the assignment did.
    pub ended: DeliveredAnswer,
}

/// What the end of contracts before expiry did. Amounts are dollars.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Delivered")]
pub struct DeliveredAnswer {
    /// `exercised` or `assigned`, or `cash_settled` of an option that delivers no shares.
    pub end: OptionEnd,
    /// Contracts that ended.
    pub qty: Quantity,
    /// What they are on.
    pub underlying_symbol: String,
    /// Shares of it that came; below zero those that went.
    pub shares: Quantity,
    /// The change of cash: what the strike comes to for the shares, or the difference of an option that is settled in cash;
    /// below zero is paid.
    pub net_amount: Money,
    /// Shares of the underlying held after it; below zero when short.
    pub shares_after: Quantity,
    /// The balance after it.
    pub cash_after: Money,
}

/// What a command wrote, as far as it tells of the end of an option.
#[derive(Default)]
struct Told {
    ended: Option<(OptionEnd, Quantity)>,
    /// Shares that came, and those held then.
    shares: Option<(Quantity, Quantity)>,
    /// The change of cash, and the balance after it.
    paid: Option<(Money, Money)>,
}

impl Told {
    fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut told = Self::default();
        for event in events {
            match event {
                Event::Position(PositionEvent::OptionEnded { how, qty, .. }) => {
                    told.ended = Some((*how, *qty));
                }
                Event::Position(PositionEvent::SharesDelivered {
                    side, qty, position_qty, ..
                }) => {
                    let came = if *side == Side::Buy { *qty } else { qty.negated() };
                    told.shares = Some((came, *position_qty));
                }
                Event::Account(AccountEvent::OptionSettled { amount, cash, .. }) => {
                    told.paid = Some((*amount, *cash));
                }
                _ => {}
            }
        }
        told
    }
}

impl Service {
    /// An option after a command that ended contracts of it.
    pub(super) async fn ended(
        &self,
        caller: &Caller,
        account_id: AccountId,
        symbol: &str,
        committed: &Committed,
    ) -> Result<EndedAnswer, ServiceError> {
        let fresh = self.fresh_after(caller, committed.position).await?;
        let told = match committed.replayed {
            false => Told::of(committed.events.iter().map(|event| &event.event)),
            true => self.told_before(caller, account_id, committed, fresh).await?,
        };
        let option = self.position(caller, account_id, symbol, fresh).await?;
        let underlying = option.contract.as_ref().map(|contract| contract.underlying.clone());
        let lost = || ServiceError::Defect(format!("the end of {symbol} is not in the log"));
        let ((end, qty), underlying_symbol) = told.ended.zip(underlying).ok_or_else(lost)?;
        let group = Group::Trading;
        let mut snapshot = self.snapshot(caller, Some(account_id), group, fresh).await?;
        let (shares, shares_after) = match told.shares {
            Some(shares) => shares,
            None => {
                let id = InstrumentId::of_symbol(&underlying_symbol);
                let held = query::position(snapshot.connection(), account_id, id).await?;
                (Quantity::ZERO, held.map(|held| held.qty).unwrap_or_default())
            }
        };
        let (net_amount, cash_after) = match told.paid {
            Some(paid) => paid,
            None => {
                let account = query::account(snapshot.connection(), account_id).await?;
                (Money::ZERO, account.ok_or_else(ServiceError::no_account)?.cash)
            }
        };
        let ended = DeliveredAnswer {
            end,
            qty,
            underlying_symbol,
            shares,
            net_amount,
            shares_after,
            cash_after,
        };
        Ok(EndedAnswer { option, ended })
    }

    /// What a command wrote that was carried out before.
    async fn told_before(
        &self,
        caller: &Caller,
        account_id: AccountId,
        committed: &Committed,
        fresh: Fresh,
    ) -> Result<Told, ServiceError> {
        let group = Group::Trading;
        let mut snapshot = self.snapshot(caller, Some(account_id), group, fresh).await?;
        let (command, last) = (CommandId::new(committed.outcome), committed.position);
        let rows =
            log::read_command(snapshot.connection(), SHARD, account_id, command, last).await?;
        let events = rows.iter().map(|row| row.event()).collect::<Result<Vec<_>, _>>();
        let events = events.map_err(|error| ServiceError::Defect(error.to_string()))?;
        Ok(Told::of(&events))
    }
}
