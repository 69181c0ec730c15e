//! An account as it was: its events up to a position of the log, folded again.
//!
//! Costs a read of the account's whole history up to there. Prices of then are not known any more, so that what
//! depends on one is absent while something was held.

use std::collections::BTreeMap;

use aggregates::account::AccountKind;
use aggregates::id::AccountId;
use aggregates::money::{Money, Price, Quantity};
use chrono::{DateTime, SecondsFormat, Utc};
use projections::Group;
use projections::log::{self, Wanted};
use projections::query;
use projections::trading::Trading;
use schemars::JsonSchema;
use serde::Serialize;

use super::accounts::{Known, Worth};
use super::backing::{Backed, Covering};
use super::{AccountAnswer, Caller, Fault, Fresh, Service, ServiceError};
use crate::ledger::SHARD;

/// Rows of the log that are read at once.
const CHUNK: u32 = 2_000;

/// A point of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After the event at this position.
    Position(u64),
    /// After the last event that was recorded at this time or before it, by the wall clock.
    Time(DateTime<Utc>),
}

impl AsOf {
    /// Reads a position, which is all digits, or a time with its zone.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let position =
                text.parse().ok().filter(|position| *position <= i64::MAX.cast_unsigned());
            return position.map(Self::Position);
        }
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self::Time(time.to_utc()))
    }

    /// Lets a point pass that the log has come to: of what is not yet, nothing is known that will still hold then.
    fn has_been(self, head: u64, now: DateTime<Utc>) -> Result<(), ServiceError> {
        let (asked, present) = match self {
            Self::Position(position) if position > head => {
                (format!("position {position}"), format!("position {head}"))
            }
            Self::Time(time) if time > now => (shown(time), shown(now)),
            _ => return Ok(()),
        };
        let message = format!(
            "there is no account as of {asked} yet, the log is at {present}: ask for a point up to that, or for the \
             account as it stands"
        );
        Err(ServiceError::Invalid(vec![Fault::new("as_of", "invalid_value", message)]))
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An account as it was.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "AccountThen")]
pub struct AccountThen {
    /// The account. `position` is its last event up to then.
    #[serde(flatten)]
    pub account: AccountAnswer,
    /// What it held.
    pub positions: Vec<HoldingThen>,
    /// The number of its open orders.
    pub open_orders: usize,
}

/// A holding as it was.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "HoldingThen")]
pub struct HoldingThen {
    /// Its ticker.
    pub symbol: String,
    /// Shares.
    pub qty: Quantity,
    /// Shares that no open order had reserved to close them and that covered no call of a cash account.
    pub qty_available: Quantity,
    /// The lots' cost over the quantity, to 6 decimals.
    pub avg_entry_price: Option<Price>,
    /// What the lots had cost; below zero what they brought, when short.
    pub cost_basis: Money,
    /// Profit taken in it by then.
    pub realized_pl: Money,
}

impl Service {
    /// One account as it was.
    ///
    /// # Errors
    /// There was none with this id by then, or there is none for this caller; the log has not come so far.
    pub async fn account_then(
        &self,
        caller: &Caller,
        account_id: AccountId,
        as_of: AsOf,
    ) -> Result<AccountThen, ServiceError> {
        caller.on(account_id)?;
        let head = self.head(caller).await?;
        as_of.has_been(head, Utc::now())?;
        let fresh = match as_of {
            AsOf::Position(_) => Fresh { min_position: Some(head) },
            AsOf::Time(_) => Fresh::default(),
        };
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Trading, fresh).await?;
        let mut names = query::account_names(snapshot.connection(), &[account_id]).await?;
        let wanted = Wanted { account: Some(account_id), ..Wanted::default() };
        let (mut then, mut after, mut over) = (Trading::default(), 0, false);
        while !over {
            let connection = snapshot.connection();
            let rows = log::read_matching(connection, SHARD, &wanted, after, CHUNK).await?;
            over = rows.is_empty();
            for row in rows {
                let later = match as_of {
                    AsOf::Position(position) => row.position > position,
                    AsOf::Time(time) => row.recorded_at > time,
                };
                if later {
                    over = true;
                    break;
                }
                after = row.position;
                let event = row.event().map_err(|error| ServiceError::Defect(error.to_string()))?;
                then.fold(&row, event)?;
            }
        }
        let row = then.accounts.get(&(account_id,)).ok_or_else(ServiceError::no_account)?;
        let held: BTreeMap<&str, _> = then
            .positions
            .iter()
            .filter(|held| !held.qty.is_zero())
            .map(|held| (held.symbol.as_str(), held))
            .collect();
        let rows: Vec<_> = held.values().copied().collect();
        let (worth, backed) = (held.is_empty().then(Worth::default), Backed::unpriced(&rows)?);
        let known = Known { worth, backed, counted: None };
        let account = Self::account_worth(caller, row, names.remove(&account_id), &known, after)?;
        let covering = match row.kind {
            AccountKind::Cash => Covering::of(rows)?,
            AccountKind::Margin => Covering::default(),
        };
        let positions = held.into_values().map(|held| {
            Ok(HoldingThen {
                symbol: held.symbol.clone(),
                qty: held.qty,
                qty_available: covering.split(held)?.1,
                avg_entry_price: held.avg_entry_price(),
                cost_basis: held.signed_cost(),
                realized_pl: held.realized_pl,
            })
        });
        let positions = positions.collect::<Result<_, ServiceError>>()?;
        let open_orders = then.orders.iter().filter(|order| order.open).count();
        Ok(AccountThen { account, positions, open_orders })
    }
}
