//! What changes an account as a whole: the limits that it trades under, and a new beginning.

use aggregates::account::{AccountCommand, AccountEvent, PolicyChange};
use aggregates::id::AccountId;
use aggregates::money::Money;
use aggregates::stream::{Event, StreamId};
use aggregates::trading::Command;
use projections::log::{self, Wanted};

use super::{AccountAnswer, Caller, Service, ServiceError, Written};
use crate::ledger::SHARD;

impl Service {
    /// Changes limits of an account; what is not named stays as it is.
    ///
    /// # Errors
    /// A limit that is not above 0, there is no such account, or the ledger's.
    pub async fn change_policy(
        &self,
        caller: &Caller,
        account_id: AccountId,
        change: PolicyChange,
        once: Option<&str>,
    ) -> Result<Written<AccountAnswer>, ServiceError> {
        let route = format!("PATCH /v1/accounts/{account_id}/policy");
        let meant = format!("{change:?}");
        let command =
            |_| Command::Account { account_id, command: AccountCommand::ChangePolicy { change } };
        self.write_account(caller, account_id, &route, &meant, once, command).await
    }

    /// Lets an account begin again with `balance`, or with what it was opened with: open orders are canceled, positions
    /// given up. What has happened stays in the log and in every list.
    ///
    /// # Errors
    /// A balance below 0, there is no such account, a split of something that it holds is being applied, or the
    /// ledger's.
    pub async fn reset_account(
        &self,
        caller: &Caller,
        account_id: AccountId,
        balance: Option<Money>,
        once: Option<&str>,
    ) -> Result<Written<AccountAnswer>, ServiceError> {
        let route = format!("POST /v1/accounts/{account_id}/reset");
        let meant = format!("{balance:?}");
        let balance = match balance {
            Some(balance) => balance,
            None => self.opening_balance(caller, account_id).await?,
        };
        let at = self.market_time();
        let command = |reset_id| Command::Reset { account_id, reset_id, balance, at };
        self.write_account(caller, account_id, &route, &meant, once, command).await
    }

    /// What an account was opened with: the deposit of the command that opened it, whose id the account bears.
    async fn opening_balance(
        &self,
        caller: &Caller,
        account_id: AccountId,
    ) -> Result<Money, ServiceError> {
        caller.on(account_id)?;
        let mut reader = self.parts.reader.begin(caller.tenant, Some(account_id)).await?;
        let stream = Some(StreamId::Account(account_id));
        let wanted = Wanted { account: Some(account_id), stream, ..Wanted::default() };
        let opening = log::read_matching(&mut reader, SHARD, &wanted, 0, 2).await?;
        for row in opening {
            let event = row.event().map_err(|error| ServiceError::Defect(error.to_string()))?;
            if let Event::Account(AccountEvent::CashDeposited { deposit_id, amount, .. }) = event
                && deposit_id.uuid() == account_id.uuid()
            {
                return Ok(amount);
            }
        }
        Ok(Money::ZERO)
    }
}
