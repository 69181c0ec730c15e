//! Tokens that users make for their agents.

use std::collections::BTreeSet;

use aggregates::id::{AccountId, TokenId, UserId};
use aggregates::user::{Scope, TokenLimits};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Caller, Fault, Page, Service, ServiceError, Visitor, text};
use crate::identity::Act;
use crate::identity::tokens::{NewToken, TokenError, TokenRow};

/// Accounts and symbols that a token names at the most.
pub const NAMED_MAX: usize = 100;
/// The most orders a minute that a limit says.
pub const RATE_MAX: u32 = 10_000;

/// A token, without its secret.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Token")]
pub struct TokenAnswer {
    /// Its id.
    pub token_id: TokenId,
    /// What you call it.
    pub name: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The only accounts that it may be used on; `null` for all that you reach.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// What it may do at the most.
    pub limits: TokenLimits,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops; `null` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was shown last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// It was halted: it may read, and change nothing.
    pub halted: bool,
    /// The last event of the log that this contains.
    pub position: u64,
}

/// A token that was just made.
#[derive(Clone, JsonSchema, Serialize)]
#[schemars(rename = "NewToken")]
pub struct NewTokenAnswer {
    /// The secret, to be sent as a bearer token. It is shown this once.
    pub token: String,
    /// What it is.
    #[serde(flatten)]
    pub about: TokenAnswer,
}

/// A token that was revoked.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RevokedToken {
    /// Its id.
    pub token_id: TokenId,
    /// Where that stands in the log.
    pub position: u64,
}

impl TokenAnswer {
    fn new(row: TokenRow, position: u64) -> Self {
        Self {
            token_id: row.agent.token_id,
            name: row.name,
            scopes: row.agent.scopes,
            accounts: row.agent.accounts,
            limits: row.agent.limits,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            halted: row.halted_at.is_some(),
            position,
        }
    }
}

impl Caller {
    /// Whose tokens the caller may stop: everybody's, if it is nobody's in particular.
    fn stops(&self) -> Option<UserId> {
        (!self.is_operator()).then(|| self.user_id())
    }
}

impl Service {
    /// Makes a token of the caller's.
    ///
    /// # Errors
    /// A limit or a time makes no sense, an account is not in the user's reach, the caller is no user or has as many
    /// tokens as there may be.
    pub async fn make_token(
        &self,
        visitor: &Visitor,
        caller: &Caller,
        new: NewToken,
    ) -> Result<NewTokenAnswer, ServiceError> {
        let mut faults = faults(&new);
        for account in new.accounts.iter().flatten() {
            match self.permit(visitor, Act::ReadAccount, Some(*account)).await {
                Ok(_) => {}
                Err(error) if error.code() == "account_not_found" => {
                    let message = format!("there is no account {account}");
                    faults.push(Fault::new("accounts", "account_not_found", message));
                }
                Err(error) => return Err(error),
            }
        }
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let made = self.parts.tokens.make(caller.user_id(), &caller.cause(), new).await;
        let (token, row, position) = made?;
        Ok(NewTokenAnswer { token, about: TokenAnswer::new(row, position) })
    }

    /// The caller's live tokens, oldest first, all on one page.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list_tokens(&self, caller: &Caller) -> Result<Page<TokenAnswer>, ServiceError> {
        let position = self.head(caller).await?;
        let rows = self.parts.tokens.list(caller.user_id()).await?;
        let items = rows.into_iter().map(|row| TokenAnswer::new(row, position)).collect();
        Ok(Page { items, next_cursor: None, position })
    }

    /// One live token of the caller's.
    ///
    /// # Errors
    /// There is none.
    pub async fn token(
        &self,
        caller: &Caller,
        token: TokenId,
    ) -> Result<TokenAnswer, ServiceError> {
        let position = self.head(caller).await?;
        Ok(TokenAnswer::new(self.parts.tokens.get(Some(caller.user_id()), token).await?, position))
    }

    /// Halts a token of the caller's, or lets it go on; the operator does so with anybody's.
    ///
    /// # Errors
    /// There is none.
    pub async fn halt_token(
        &self,
        caller: &Caller,
        token: TokenId,
        halted: bool,
    ) -> Result<TokenAnswer, ServiceError> {
        let (whose, cause) = (caller.stops(), caller.cause());
        let (row, position) = self.parts.tokens.halt(whose, token, &cause, halted).await?;
        let position = match position {
            Some(position) => position,
            None => self.head(caller).await?,
        };
        Ok(TokenAnswer::new(row, position))
    }

    /// Revokes a token of the caller's, for good; the operator anybody's.
    ///
    /// # Errors
    /// There is none.
    pub async fn revoke_token(
        &self,
        caller: &Caller,
        token_id: TokenId,
    ) -> Result<RevokedToken, ServiceError> {
        let revoked = self.parts.tokens.revoke(caller.stops(), token_id, &caller.cause()).await;
        Ok(RevokedToken { token_id, position: revoked? })
    }
}

/// What is wrong with a new token by itself.
fn faults(new: &NewToken) -> Vec<Fault> {
    let mut faults: Vec<_> = text::fault("name", &new.name, text::NAME_MAX).into_iter().collect();
    if new.expires_at.is_some_and(|at| at <= Utc::now()) {
        faults.push(Fault::new("expires_at", "invalid_value", "expires_at is over already"));
    }
    let limits = &new.limits;
    for (field, amount) in [
        ("limits.max_order_notional", limits.max_order_notional),
        ("limits.max_daily_notional", limits.max_daily_notional),
    ] {
        if amount.is_some_and(|amount| !amount.is_positive()) {
            faults.push(Fault::new(field, "invalid_amount", format!("{field} has to be above 0")));
        }
    }
    let small = |symbol: &&String| symbol.contains(|c: char| c.is_lowercase());
    if let Some(symbol) = limits.symbols.iter().flatten().find(small) {
        let message = format!("{symbol} is no symbol: they are written in capitals, such as AAPL");
        faults.push(Fault::new("limits.symbols", "invalid_symbol", message));
    }
    faults
}

impl From<TokenError> for ServiceError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NoUser | TokenError::TooMany => Self::Conflict(error.to_string()),
            TokenError::NotFound => Self::NotFound("token"),
            TokenError::Random(error) => Self::Defect(error.to_string()),
            TokenError::Database(error) => error.into(),
        }
    }
}
