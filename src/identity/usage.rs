//! What tokens use up of their limits: orders a minute, dollars a day.
//!
//! Guarantees: no two orders both take the last of a day, on whichever processes they come in, since a day's sum grows by
//! one statement that compares it; what an order took that was not placed is given back. Orders of the last minute are
//! counted by the process that places them, and a restart forgets them. Costs a row a token and day, and nothing without a
//! limit.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregates::id::{TenantId, TokenId};
use aggregates::money::Money;
use aggregates::user::TokenLimits;
use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::AgentToken;
use crate::database::IdentityPool;

/// The time in which orders are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Tokens whose orders are remembered, between two looks at who can be forgotten.
const TOKENS: usize = 10_000;
/// Symbols of a limit that a refusal names.
const NAMED: usize = 10;

const TAKE: &str = "INSERT INTO token_days AS days (tenant_id, token_id, day, notional)
    SELECT $1, $2, $3, $4 WHERE $4 <= $5
    ON CONFLICT (tenant_id, token_id, day) DO UPDATE SET notional = days.notional + excluded.notional
    WHERE days.notional + excluded.notional <= $5 RETURNING notional";
const USED: &str =
    "SELECT notional FROM token_days WHERE tenant_id = $1 AND token_id = $2 AND day = $3";
const GIVE_BACK: &str = "UPDATE token_days SET notional = greatest(notional - $4, 0)
    WHERE tenant_id = $1 AND token_id = $2 AND day = $3";

/// A limit that an order would go beyond.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitHit {
    /// The token trades other symbols.
    #[error("this token may trade {allowed} and not {symbol}")]
    Symbol {
        /// What was asked for.
        symbol: String,
        /// What it trades.
        allowed: String,
    },
    /// One order may cost so much at the most.
    #[error(
        "this token may place orders of at most {max} dollars, and this one may come to {notional}"
    )]
    Order {
        /// What it may come to.
        notional: Money,
        /// What one may.
        max: Money,
    },
    /// All orders of a day may cost so much at the most.
    #[error(
        "this token may order for {max} dollars a day: {used} are used on {day}, and this order may come to {notional}; a day is \
         one of New York by the wall clock, whatever the market's clock says"
    )]
    Day {
        /// What it may come to.
        notional: Money,
        /// What was used before it.
        used: Money,
        /// What all of a day may.
        max: Money,
        /// Which day.
        day: NaiveDate,
    },
    /// So many orders a minute.
    #[error("this token may place {max} orders a minute: come back in {seconds} s")]
    Rate {
        /// How many.
        max: u32,
        /// When there is room for one more.
        seconds: u64,
    },
    /// Nobody can say what the order may come to.
    #[error(
        "{symbol} has no price yet, so the order cannot be held against the limits of this token: wait for a quote"
    )]
    Unpriced {
        /// Of what.
        symbol: String,
    },
}

impl LimitHit {
    /// The numbers of the sentence by name.
    pub fn figures(&self) -> BTreeMap<String, String> {
        let pairs: Vec<(&str, String)> = match self {
            Self::Symbol { .. } | Self::Unpriced { .. } => Vec::new(),
            Self::Order { notional, max } => {
                vec![("notional", notional.to_string()), ("max", max.to_string())]
            }
            Self::Day { notional, used, max, .. } => vec![
                ("notional", notional.to_string()),
                ("used", used.to_string()),
                ("max", max.to_string()),
            ],
            Self::Rate { max, seconds } => {
                vec![("max", max.to_string()), ("retry_after", seconds.to_string())]
            }
        };
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Why an order was not counted.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// It would go beyond a limit.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// An order as the limits of a token see it.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// What it trades: of an order of several legs each of them.
    pub symbols: Vec<&'a str>,
    /// What it may come to at worst; `None` if nobody can say.
    pub notional: Option<Money>,
    /// The day of New York.
    pub day: NaiveDate,
}

/// What an order has taken of a day.
#[derive(Debug)]
#[must_use = "what was taken for an order that is not placed has to be given back"]
pub struct Taken {
    tenant: TenantId,
    token_id: TokenId,
    day: NaiveDate,
    notional: Money,
}

/// Counts what tokens use up.
#[derive(Debug)]
pub struct Usage {
    pool: IdentityPool,
    orders: Mutex<HashMap<TokenId, VecDeque<Instant>>>,
}

impl Usage {
    /// Counts in this database.
    pub fn new(pool: IdentityPool) -> Self {
        Self { pool, orders: Mutex::default() }
    }

    /// Holds an order against the limits of a token and counts nothing.
    ///
    /// # Errors
    /// It would go beyond one, or the database failed.
    pub async fn check(&self, token: &AgentToken, asked: &Asked<'_>) -> Result<(), UsageError> {
        let Some(notional) = alone(&token.limits, asked)? else { return Ok(()) };
        if let Some(max) = token.limits.max_daily_notional {
            let used = self.used(token, asked.day).await?;
            if used.decimal() + notional.decimal() > max.decimal() {
                return Err(LimitHit::Day { notional, used, max, day: asked.day }.into());
            }
        }
        Ok(())
    }

    /// Counts an order, unless it would go beyond a limit.
    ///
    /// # Errors
    /// It would, or the database failed: then nothing was counted.
    pub async fn take(
        &self,
        token: &AgentToken,
        asked: &Asked<'_>,
    ) -> Result<Option<Taken>, UsageError> {
        let notional = alone(&token.limits, asked)?;
        if let Some(max) = token.limits.max_orders_per_minute {
            self.count(token.token_id, max)?;
        }
        let (Some(notional), Some(max)) = (notional, token.limits.max_daily_notional) else {
            return Ok(None);
        };
        let (tenant, token_id, day) = (token.tenant, token.token_id, asked.day);
        let taken: Option<Decimal> = sqlx::query_scalar(TAKE)
            .bind(tenant.uuid())
            .bind(token_id.uuid())
            .bind(day)
            .bind(notional.decimal())
            .bind(max.decimal())
            .fetch_optional(self.pool.pool())
            .await?;
        if taken.is_some() {
            return Ok(Some(Taken { tenant, token_id, day, notional }));
        }
        self.uncount(token_id);
        let used = self.used(token, day).await?;
        Err(LimitHit::Day { notional, used, max, day }.into())
    }

    /// Gives back what an order took that was not placed.
    ///
    /// # Errors
    /// The database failed: it stays taken.
    pub async fn give_back(&self, taken: Taken) -> Result<(), sqlx::Error> {
        sqlx::query(GIVE_BACK)
            .bind(taken.tenant.uuid())
            .bind(taken.token_id.uuid())
            .bind(taken.day)
            .bind(taken.notional.decimal())
            .execute(self.pool.pool())
            .await
            .map(drop)
    }

    async fn used(&self, token: &AgentToken, day: NaiveDate) -> Result<Money, sqlx::Error> {
        let used: Option<Decimal> = sqlx::query_scalar(USED)
            .bind(token.tenant.uuid())
            .bind(token.token_id.uuid())
            .bind(day)
            .fetch_optional(self.pool.pool())
            .await?;
        let used = Money::new(used.unwrap_or_default().normalize());
        used.map_err(|error| sqlx::Error::Decode(error.into()))
    }

    fn count(&self, token: TokenId, max: u32) -> Result<(), LimitHit> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_old = |at: &Instant| now.duration_since(*at) >= MINUTE;
        if orders.len() >= TOKENS {
            orders.retain(|_, times| times.back().is_some_and(|last| !is_old(last)));
        }
        let times = orders.entry(token).or_default();
        while times.front().is_some_and(is_old) {
            times.pop_front();
        }
        if let Some(first) = times.front()
            && times.len() >= max as usize
        {
            let wait = MINUTE.saturating_sub(now.duration_since(*first));
            return Err(LimitHit::Rate { max, seconds: wait.as_secs() + 1 });
        }
        times.push_back(now);
        Ok(())
    }

    fn uncount(&self, token: TokenId) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = orders.get_mut(&token) {
            times.pop_back();
        }
    }
}

/// What can be said of an order alone: its worst cost, if a limit asks for it.
fn alone(limits: &TokenLimits, asked: &Asked<'_>) -> Result<Option<Money>, LimitHit> {
    if let Some(symbols) = &limits.symbols
        && let Some(symbol) = asked.symbols.iter().find(|symbol| !symbols.contains(**symbol))
    {
        let mut allowed: Vec<_> = symbols.iter().take(NAMED).map(String::as_str).collect();
        if symbols.len() > NAMED {
            allowed.push("others");
        }
        let symbol = (*symbol).to_owned();
        return Err(LimitHit::Symbol { symbol, allowed: allowed.join(", ") });
    }
    if limits.max_order_notional.is_none() && limits.max_daily_notional.is_none() {
        return Ok(None);
    }
    let unpriced = || LimitHit::Unpriced { symbol: asked.symbols.join(", ") };
    let notional = asked.notional.ok_or_else(unpriced)?;
    match limits.max_order_notional {
        Some(max) if notional > max => Err(LimitHit::Order { notional, max }),
        _ => Ok(Some(notional)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn asked(symbol: &str, notional: Option<&str>) -> Asked<'static> {
        let symbol: &'static str = symbol.to_owned().leak();
        let day = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
        Asked { symbols: vec![symbol], notional: notional.map(money), day }
    }

    #[test]
    fn an_order_is_held_against_symbols_and_its_own_cost() {
        let none = TokenLimits::default();
        assert_eq!(alone(&none, &asked("AAPL", None)), Ok(None));
        let limits = TokenLimits {
            symbols: Some(["AAPL".to_owned()].into()),
            max_order_notional: Some(money("100")),
            ..TokenLimits::default()
        };
        assert_eq!(alone(&limits, &asked("AAPL", Some("100"))), Ok(Some(money("100"))));
        let beyond = alone(&limits, &asked("AAPL", Some("100.01"))).unwrap_err();
        assert_eq!(beyond.figures()["max"], "100.00");
        assert!(
            beyond.to_string().contains("at most 100.00 dollars, and this one may come to 100.01")
        );
        let other = alone(&limits, &asked("MSFT", Some("1"))).unwrap_err();
        assert_eq!(other.to_string(), "this token may trade AAPL and not MSFT");
        assert!(matches!(alone(&limits, &asked("AAPL", None)), Err(LimitHit::Unpriced { .. })));
    }

    #[tokio::test]
    async fn orders_of_a_minute_are_counted_for_each_token() {
        let url = crate::database::Connector::by_url("postgres://nowhere/none").unwrap();
        let usage = Usage::new(url.identity());
        let token = TokenId::default();
        assert_eq!(usage.count(token, 2), Ok(()));
        assert_eq!(usage.count(token, 2), Ok(()));
        let hit = usage.count(token, 2).unwrap_err();
        assert!(matches!(hit, LimitHit::Rate { max: 2, seconds: 59..=61 }), "{hit:?}");
        assert_eq!(usage.count(TokenId::new(uuid::Uuid::now_v7()), 2), Ok(()));
        usage.uncount(token);
        assert_eq!(usage.count(token, 2), Ok(()));
    }
}
