//! Accounts: open, pay in and out, and what they hold and are worth.
//!
//! The id of an account is that of the command which opened it, so that a repeated request finds the account by its
//! key alone. What depends on a price is computed at read, with the price's source and time; without a price it is
//! absent, never guessed.

use std::collections::BTreeSet;

use aggregates::account::{AccountCommand, AccountKind, Policy};
use aggregates::id::{AccountId, CommandId};
use aggregates::market::MarketTime;
use aggregates::money::Money;
use aggregates::trading::Command;
use aggregates::user::GrantRole;
use projections::Group;
use projections::accounts::AccountRow;
use projections::positions::PositionRow;
use projections::query;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::backing::{Backed, Backing};
use super::losses::LossesAnswer;
use super::placing::ARRIVAL;
use super::positions::Valued;
use super::reading::Snapshot;
use super::{Caller, Fault, Fresh, Service, ServiceError, Value, Written, text};
use crate::engine::core::Counted;
use crate::ledger::{LedgerError, Words};

/// A new account.
#[derive(Clone, Debug, Serialize)]
pub struct OpenAccount {
    /// What its owner calls it, 1 to 100 characters. Erasable, never in the log.
    pub name: String,
    /// Cash or margin.
    pub kind: AccountKind,
    /// The first deposit, in dollars: 0 or more.
    pub starting_balance: Money,
    /// Which options it may trade: 0 to 2 for cash, 0 to 4 for margin; by default 0 for cash, 3 for margin.
    pub option_level: Option<u8>,
}

/// An account as its owner sees it. Amounts are dollars.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Account")]
pub struct AccountAnswer {
    /// Its id.
    pub account_id: AccountId,
    /// What its owner calls it; absent once erased.
    pub name: Option<String>,
    /// What you may do on it: `owner` is everything.
    pub access: GrantRole,
    /// Whether it is another's, and `access` the role that you were granted.
    pub granted: bool,
    /// Cash or margin.
    pub kind: AccountKind,
    /// What it may trade: active, reducing or halted.
    pub status: &'static str,
    /// The balance.
    pub cash: Money,
    /// What open orders have set aside: of the cash; in a margin account, of its margin.
    pub reserved: Money,
    /// What a cash account has set aside for the puts that it is short of: their strikes. 0 in a margin account, where they
    /// are part of `initial_margin`.
    pub collateral: Money,
    /// What new orders may cost: cash less `reserved` and `collateral`; in a margin account, twice what cash
    /// and shares are worth above `initial_margin` and `reserved`, absent when a position has no price, or what a short
    /// option is on.
    pub buying_power: Option<Value>,
    /// The same for options, which have no loan value: in a margin account half of it.
    pub options_buying_power: Option<Value>,
    /// Cash and what the positions are worth, options too; absent when one of them has no price.
    pub equity: Option<Value>,
    /// What backs the positions of a margin account: cash and what its shares are worth, since options back nothing. Absent as
    /// `initial_margin` is, and of a cash account.
    pub margin_equity: Option<Value>,
    /// What long positions are worth.
    pub long_market_value: Option<Value>,
    /// What short positions are worth, below zero.
    pub short_market_value: Option<Value>,
    /// What backs the positions of a margin account when they are opened: 50 % of the value of shares, and what its
    /// short options need. Options back nothing. 0 in a cash account.
    pub initial_margin: Option<Value>,
    /// What has to back the positions of a margin account. 0 in a cash account.
    pub maintenance_margin: Option<Value>,
    /// Which options it may trade: 0 none, 1 covered calls and cash-secured puts, 2 long options too, 3 spreads too, 4 naked
    /// short options too.
    pub option_level: u8,
    /// What is out of the ordinary: `deficit` when the cash, or the equity of a margin account, is below zero;
    /// `margin_call` when `margin_equity` is less than `maintenance_margin`. Then only orders that reduce positions pass.
    pub flags: Vec<&'static str>,
    /// The limits that it trades under.
    pub policy: Policy,
    /// What it has lost and may lose, and whether that stopped it; absent while its policy limits no losses, and until the
    /// first line of the market after that.
    pub losses: Option<LossesAnswer>,
    /// The oldest of the prices that it is valued at, by the market clock; absent without positions.
    pub marked_at: Option<MarketTime>,
    /// Where these prices come from.
    pub mark_sources: Vec<String>,
    /// When it was opened, by the wall clock.
    pub created_at: chrono::DateTime<chrono::Utc>,
    /// The last event of the log that this contains.
    pub position: u64,
}

impl Service {
    /// Opens an account.
    ///
    /// # Errors
    /// The name or the level does not fit, or the ledger's.
    pub async fn open_account(
        &self,
        caller: &Caller,
        request: OpenAccount,
        once: Option<&str>,
    ) -> Result<Written<AccountAnswer>, ServiceError> {
        let faults = request.faults();
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let command_id = CommandId::new(Uuid::now_v7());
        let account_id = AccountId::new(command_id.uuid());
        let canonical = canonical(&request)?;
        let route = "POST /v1/accounts";
        let key = once.map(|key| caller.key(route, key, &canonical));
        let command = AccountCommand::Open {
            account_id,
            kind: request.kind,
            option_level: request.option_level.unwrap_or(request.kind.usual_option_level()),
            name_digest: Words::digest(&request.name),
            starting_balance: request.starting_balance,
            deposit_id: command_id,
            at: self.market_time(),
        };
        let words = &self.parts.words;
        let naming = words.name_account(caller.tenant, account_id, &request.name);
        self.write_words(caller, naming).await?;
        let command = Command::Account { account_id, command };
        let submitted = Self::submission(caller, command_id, command, key);
        let committed = match self.parts.ledger.submit(submitted).await {
            Ok(committed) => committed,
            Err(unknown @ LedgerError::OutcomeUnknown) => return Err(unknown.into()),
            Err(refused) => {
                words.forget_account(account_id).await?;
                return Err(refused.into());
            }
        };
        let opened = AccountId::new(committed.outcome);
        if opened != account_id {
            let forgotten = words.forget_account(account_id).await;
            forgotten.map_err(|error| ServiceError::from(error).after_commit())?;
        }
        self.remember(caller.tenant, opened);
        let caller = caller.at_own(opened);
        let answer = self.account_after(&caller, opened, committed.position).await?;
        Ok(Written { answer, replayed: committed.replayed })
    }

    /// One account.
    ///
    /// # Errors
    /// There is none with this id, or not for this caller.
    pub async fn account(
        &self,
        caller: &Caller,
        account_id: AccountId,
        fresh: Fresh,
    ) -> Result<AccountAnswer, ServiceError> {
        caller.on(account_id)?;
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Trading, fresh).await?;
        let row = query::account(snapshot.connection(), account_id).await?;
        let row = snapshot.found(row, ServiceError::no_account())?;
        let mut answers = self.account_answers(caller, &mut snapshot, vec![row]).await?;
        answers.pop().ok_or_else(ServiceError::no_account)
    }

    /// Pays money in.
    ///
    /// # Errors
    /// The amount is not above 0, there is no such account, or the ledger's.
    pub async fn deposit(
        &self,
        caller: &Caller,
        account_id: AccountId,
        amount: Money,
        once: Option<&str>,
    ) -> Result<Written<AccountAnswer>, ServiceError> {
        let at = self.market_time();
        let command = |deposit_id| Command::Account {
            account_id,
            command: AccountCommand::Deposit { deposit_id, amount, at },
        };
        let route = format!("POST /v1/accounts/{account_id}/deposits");
        let meant = amount.to_string();
        self.write_account(caller, account_id, &route, &meant, once, command).await
    }

    /// Pays money out.
    ///
    /// # Errors
    /// The amount is not above 0 or more than is available, there is no such account, or the ledger's.
    pub async fn withdraw(
        &self,
        caller: &Caller,
        account_id: AccountId,
        amount: Money,
        once: Option<&str>,
    ) -> Result<Written<AccountAnswer>, ServiceError> {
        let at = self.market_time();
        let marks = self.parts.engine.board().marks(account_id);
        let command =
            |withdrawal_id| Command::Withdraw { account_id, withdrawal_id, amount, marks, at };
        let route = format!("POST /v1/accounts/{account_id}/withdrawals");
        let meant = amount.to_string();
        self.write_account(caller, account_id, &route, &meant, once, command).await
    }

    /// Carries out a command about one account, once under the key of this route, and answers with what it left.
    /// `meant` stands for the request.
    pub(super) async fn write_account(
        &self,
        caller: &Caller,
        account_id: AccountId,
        route: &str,
        meant: &str,
        once: Option<&str>,
        command: impl FnOnce(CommandId) -> Command,
    ) -> Result<Written<AccountAnswer>, ServiceError> {
        caller.on(account_id)?;
        let command_id = CommandId::new(Uuid::now_v7());
        let key = once.map(|key| caller.key(route, key, meant.as_bytes()));
        let submitted = Self::submission(caller, command_id, command(command_id), key);
        let committed = self.parts.ledger.submit(submitted).await?;
        let answer = self.account_after(caller, account_id, committed.position).await?;
        Ok(Written { answer, replayed: committed.replayed })
    }

    /// An account after a command about it was committed at `position`.
    async fn account_after(
        &self,
        caller: &Caller,
        account_id: AccountId,
        position: u64,
    ) -> Result<AccountAnswer, ServiceError> {
        let read = async {
            let fresh = self.fresh_after(caller, position).await?;
            self.account(caller, account_id, fresh).await
        };
        let answer = read.await.map_err(ServiceError::after_commit)?;
        if answer.kind == AccountKind::Margin || answer.policy.needs_engine() {
            // The next order is decided with prices that the engine has to know to send along, and the next line of the
            // market counts losses.
            self.parts.engine.settled(position, ARRIVAL).await;
        }
        Ok(answer)
    }

    /// Rows of accounts with their names and what they are worth, in the same snapshot.
    pub(super) async fn account_answers(
        &self,
        caller: &Caller,
        snapshot: &mut Snapshot,
        rows: Vec<AccountRow>,
    ) -> Result<Vec<AccountAnswer>, ServiceError> {
        let ids: Vec<_> = rows.iter().map(|row| row.account_id).collect();
        let mut names = query::account_names(snapshot.connection(), &ids).await?;
        let mut held = query::holdings(snapshot.connection(), &ids).await?;
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            let holdings = held.remove(&row.account_id).unwrap_or_default();
            let name = names.remove(&row.account_id);
            let (worth, backed) = self.worth(&holdings)?;
            let counted = self.parts.engine.board().counted(row.account_id);
            let (known, position) = (Known { worth, backed, counted }, snapshot.position);
            answers.push(Self::account_worth(caller, &row, name, &known, position)?);
        }
        Ok(answers)
    }

    /// A row of an account, with what is known of it beyond its row.
    pub(super) fn account_worth(
        caller: &Caller,
        row: &AccountRow,
        name: Option<String>,
        known: &Known,
        position: u64,
    ) -> Result<AccountAnswer, ServiceError> {
        let Known { worth, backed, counted } = known;
        let equity = match worth {
            Some(worth) => Some(worth.long.plus(worth.short)?.plus(row.cash)?),
            None => None,
        };
        let backing = Backing::of(row, equity, backed)?;
        let losses = row.losses.as_ref();
        let worth = worth.as_ref();
        let outdated = worth.is_some_and(|worth| worth.outdated);
        let now = equity.filter(|_| !outdated);
        let losses = losses
            .map(|losses| LossesAnswer::of(&row.policy, losses, *counted, now))
            .transpose()?;
        Ok(AccountAnswer {
            account_id: row.account_id,
            name,
            access: caller.granted().unwrap_or(GrantRole::Owner),
            granted: caller.granted().is_some(),
            kind: row.kind,
            status: row.trading_state.word(),
            cash: row.cash,
            reserved: row.reserved,
            collateral: backing.collateral,
            buying_power: backing.buying_power,
            options_buying_power: backing.options_buying_power,
            equity,
            long_market_value: worth.map(|worth| worth.long),
            short_market_value: worth.map(|worth| worth.short),
            margin_equity: backing.margin_equity,
            initial_margin: backing.initial,
            maintenance_margin: backing.maintenance,
            option_level: row.option_level,
            flags: backing.flags,
            policy: row.policy.clone(),
            losses,
            marked_at: worth.and_then(|worth| worth.marked_at),
            mark_sources: worth
                .map(|worth| worth.sources.iter().cloned().collect())
                .unwrap_or_default(),
            created_at: row.opened_at,
            position,
        })
    }

    /// What holdings are worth together, `None` when one of them has no price, and what they ask of what backs them.
    fn worth(&self, holdings: &[PositionRow]) -> Result<(Option<Worth>, Backed), ServiceError> {
        let valued = holdings
            .iter()
            .map(|row| self.valued(row))
            .collect::<Result<Vec<_>, ServiceError>>()?;
        let backed = self.backed(holdings, &valued)?;
        let mut worth = Worth::default();
        for valued in valued {
            let Some(Valued { value, mark, outdated }) = valued else {
                return Ok((None, backed));
            };
            worth.outdated |= outdated;
            if value.is_negative() {
                worth.short = worth.short.plus(value)?;
            } else {
                worth.long = worth.long.plus(value)?;
            }
            worth.marked_at =
                Some(worth.marked_at.map_or(mark.at, |at: MarketTime| at.min(mark.at)));
            worth.sources.insert(mark.source);
        }
        Ok((Some(worth), backed))
    }
}

/// What is known of an account beyond its row.
pub(super) struct Known {
    /// What its holdings are worth; absent when one of them has no price.
    pub(super) worth: Option<Worth>,
    /// What they ask of what backs the account.
    pub(super) backed: Backed,
    /// What the engine counts of its losses.
    pub(super) counted: Option<Counted>,
}

/// What holdings are worth, and by which prices. `Default` is nothing held.
#[derive(Default)]
pub(super) struct Worth {
    long: Value,
    short: Value,
    marked_at: Option<MarketTime>,
    sources: BTreeSet<String>,
    /// One of the prices is of before a split or a dividend that has changed what a share is worth.
    outdated: bool,
}

/// The bytes that stand for a request: two requests that mean the same have the same.
pub(super) fn canonical(request: &impl Serialize) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(request).map_err(|error| ServiceError::Defect(error.to_string()))
}

impl OpenAccount {
    /// Every field that is wrong by itself.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> =
            text::fault("name", &self.name, text::NAME_MAX).into_iter().collect();
        if self.starting_balance.is_negative() {
            let message = format!("starting_balance {} has to be 0 or more", self.starting_balance);
            faults.push(Fault::new("starting_balance", "invalid_amount", message));
        }
        let most = self.kind.most_option_level();
        if let Some(level) = self.option_level.filter(|level| *level > most) {
            let kind = self.kind.word();
            let message = format!("option_level {level}: a {kind} account has 0 to {most}");
            faults.push(Fault::new("option_level", "invalid_value", message));
        }
        faults
    }
}
