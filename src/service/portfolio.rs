//! What an account is worth now, holding by holding, and what the day has brought.
//!
//! Marks are the last prices that the market showed, each with its source and time; a holding without one leaves the
//! sums that need it unknown, and is named. The day begins at the last official close, or with the account: what the
//! account was worth then is what it holds now less what moved since, so a read costs the day's entries of the journal
//! and not those of all days before.

use std::collections::BTreeMap;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::market::MarketTime;
use aggregates::money::{Money, Price, Quantity};
use chrono::NaiveDate;
use projections::Group;
use projections::positions::PositionRow;
use projections::query;
use schemars::JsonSchema;
use serde::Serialize;

use super::backing::Backing;
use super::base::base;
use super::history::named;
use super::market::{AccountGreeksAnswer, ContractAnswer};
use super::positions::{Valued, rate};
use super::{Caller, Fresh, Service, ServiceError, Value};

/// What an account is worth. Amounts are dollars; what depends on a price that is not known is absent.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Portfolio")]
pub struct PortfolioAnswer {
    /// Whose.
    pub account_id: AccountId,
    /// Cash and what the holdings are worth, options too.
    pub equity: Option<Value>,
    /// The balance.
    pub cash: Money,
    /// What open orders have set aside: of the cash; in a margin account, of its margin.
    pub reserved: Money,
    /// What a cash account has set aside for the puts that it is short of: their strikes. 0 in a margin account, where they
    /// are part of `initial_margin`.
    pub collateral: Money,
    /// What new orders may cost; absent for a margin account when a holding has no price, or what a short option is on.
    pub buying_power: Option<Value>,
    /// The same for options, which have no loan value: half of it in a margin account.
    pub options_buying_power: Option<Value>,
    /// What backs the holdings of a margin account when they are opened. 0 in a cash account.
    pub initial_margin: Option<Value>,
    /// What has to back the holdings of a margin account. 0 in a cash account.
    pub maintenance_margin: Option<Value>,
    /// What long holdings are worth.
    pub long_market_value: Option<Value>,
    /// What short holdings are worth, below zero.
    pub short_market_value: Option<Value>,
    /// What the long holdings cost, less what the short ones brought.
    pub cost_basis: Value,
    /// Profit if all were closed at the marks.
    pub unrealized_pl: Option<Value>,
    /// The same as a rate of what all holdings cost or brought, long and short alike: 0.05 is 5 %.
    pub unrealized_plpc: Option<String>,
    /// Profit taken so far in all positions, closed ones included, since the account last began.
    pub realized_pl: Value,
    /// The session whose close the day is compared with; absent when the account began after it.
    pub last_session: Option<NaiveDate>,
    /// Equity at that close, or what the account began with; absent when something then held had no official close.
    pub last_equity: Option<Value>,
    /// What then had none.
    pub last_unmarked: Vec<String>,
    /// The options that are worth the middle of their last quote in it, since they did not trade.
    pub last_at_midpoint: Vec<String>,
    /// Cash paid in since then, less cash paid out.
    pub paid_in: Value,
    /// Equity less `last_equity` and less `paid_in`.
    pub day_change: Option<Value>,
    /// The same as a rate of `last_equity`.
    pub day_change_pct: Option<String>,
    /// Of an account that holds options, the greeks of all that it holds; absent before the market has a time.
    pub greeks: Option<AccountGreeksAnswer>,
    /// The holdings, by symbol.
    pub positions: Vec<PortfolioPosition>,
    /// The holdings without a price.
    pub unmarked: Vec<String>,
    /// The oldest of the marks.
    pub marked_at: Option<MarketTime>,
    /// The market clock.
    pub market_time: Option<MarketTime>,
    /// The last event of the log that this contains.
    pub position: u64,
}

/// A holding of a portfolio.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "PortfolioPosition")]
pub struct PortfolioPosition {
    /// Its ticker.
    pub symbol: String,
    /// Of an option the contract; `null` otherwise.
    pub contract: Option<ContractAnswer>,
    /// Shares, or contracts of an option; below zero when short.
    pub qty: Quantity,
    /// The lots' cost over the shares, to 6 decimals: those that its contracts are on, of an option.
    pub avg_entry_price: Option<Price>,
    /// What the lots cost; below zero what they brought, when short.
    pub cost_basis: Money,
    /// The bid for a long holding, the ask for a short one, else the last price.
    pub current_price: Option<Price>,
    /// What it is worth at that price.
    pub market_value: Option<Value>,
    /// Its part of the equity: 0.25 is 25 %.
    pub weight: Option<String>,
    /// Profit if it were closed at that price.
    pub unrealized_pl: Option<Value>,
    /// The same as a rate of its cost.
    pub unrealized_plpc: Option<String>,
    /// Its last official close.
    pub lastday_price: Option<Price>,
    /// The session of that close.
    pub last_session: Option<NaiveDate>,
    /// The change of the price since then, as a rate.
    pub change_today: Option<String>,
    /// When the price was seen, by the market clock.
    pub marked_at: Option<MarketTime>,
    /// Where the price came from.
    pub mark_source: Option<String>,
}

impl Service {
    /// What an account is worth.
    ///
    /// # Errors
    /// There is no such account.
    pub async fn portfolio(
        &self,
        caller: &Caller,
        account_id: AccountId,
        fresh: Fresh,
    ) -> Result<PortfolioAnswer, ServiceError> {
        caller.on(account_id)?;
        let groups = [Group::Trading, Group::Books, Group::Market];
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &groups, fresh).await?;
        let row = query::account(snapshot.connection(), account_id).await?;
        let row = snapshot.found(row, ServiceError::no_account())?;
        let connection = snapshot.connection();
        let mut held = query::holdings(connection, &[account_id]).await?;
        let mut held = held.remove(&account_id).unwrap_or_default();
        held.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        let realized_pl = Value::sum([query::realized(connection, account_id).await?]);
        let ids: Vec<InstrumentId> = held.iter().map(|row| row.instrument_id).collect();
        let mut closed = query::last_closes(connection, &ids).await?;
        let base = base(&mut snapshot, &row, &held).await?;
        let then = [&base.unmarked[..], &base.at_midpoint].concat();
        let symbols = query::symbols(snapshot.connection(), &then).await?;
        let position = snapshot.position;
        drop(snapshot);

        let with_options = held.iter().any(|row| row.contract.is_some());
        let greeks = match self.market_time().filter(|_| with_options) {
            Some(_) => Some(AccountGreeksAnswer::of(&self.by_underlying(&held).await?)),
            None => None,
        };
        let valued =
            held.iter().map(|row| self.valued(row)).collect::<Result<Vec<_>, ServiceError>>()?;
        let backed = self.backed(&held, &valued)?;
        // What the market has divided by a split since is compared with prices of after it.
        let board = self.parts.engine.board();
        for row in &held {
            let shown = board.glance(&row.symbol).and_then(|glance| glance.closed);
            closed.extend(shown.map(|shown| (row.instrument_id, shown)));
        }
        let mut totals = Totals::default();
        let mut positions = Vec::with_capacity(held.len());
        for (row, valued) in held.iter().zip(valued) {
            totals.add(row, valued.as_ref())?;
            positions.push(portfolio_position(row, valued, &closed)?);
        }
        let equity = match totals.unmarked.is_empty() {
            true => Some(totals.long.plus(totals.short)?.plus(row.cash)?),
            false => None,
        };
        for holding in &mut positions {
            holding.weight = holding.market_value.zip(equity).and_then(|(of, all)| rate(of, all));
        }
        let backing = Backing::of(&row, equity, &backed)?;
        let known = |amount: Value| equity.map(|_| amount);
        let day_change = match (equity, base.value) {
            (Some(equity), Some(before)) => Some(equity.minus(before)?.minus(base.paid_in_since)?),
            _ => None,
        };
        let unrealized = totals.long.plus(totals.short)?.minus(totals.cost_signed)?;
        Ok(PortfolioAnswer {
            account_id,
            equity,
            cash: row.cash,
            reserved: row.reserved,
            collateral: backing.collateral,
            buying_power: backing.buying_power,
            options_buying_power: backing.options_buying_power,
            initial_margin: backing.initial,
            maintenance_margin: backing.maintenance,
            long_market_value: known(totals.long),
            short_market_value: known(totals.short),
            cost_basis: totals.cost_signed,
            unrealized_pl: known(unrealized),
            unrealized_plpc: known(unrealized).and_then(|profit| rate(profit, totals.cost)),
            realized_pl,
            last_session: base.session,
            last_equity: base.value,
            last_unmarked: named(&base.unmarked, &symbols),
            last_at_midpoint: named(&base.at_midpoint, &symbols),
            paid_in: base.paid_in_since,
            day_change,
            day_change_pct: day_change.zip(base.value).and_then(|(of, all)| rate(of, all)),
            greeks,
            positions,
            unmarked: totals.unmarked,
            marked_at: totals.marked_at,
            market_time: self.market_time(),
            position,
        })
    }
}

/// Sums over holdings.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) long: Value,
    pub(super) short: Value,
    cost: Value,
    /// The cost of long holdings less what short ones brought.
    cost_signed: Value,
    pub(super) unmarked: Vec<String>,
    marked_at: Option<MarketTime>,
}

impl Totals {
    pub(super) fn add(
        &mut self,
        row: &PositionRow,
        valued: Option<&Valued>,
    ) -> Result<(), ServiceError> {
        let short = row.qty.is_negative();
        self.cost = self.cost.plus(row.cost_basis)?;
        self.cost_signed = self.cost_signed.plus(row.signed_cost())?;
        let Some(Valued { value, mark, .. }) = valued else {
            self.unmarked.push(row.symbol.clone());
            return Ok(());
        };
        let side = if short { &mut self.short } else { &mut self.long };
        *side = side.plus(*value)?;
        self.marked_at = Some(self.marked_at.map_or(mark.at, |at| at.min(mark.at)));
        Ok(())
    }
}

fn portfolio_position(
    row: &PositionRow,
    valued: Option<Valued>,
    closed: &BTreeMap<InstrumentId, (NaiveDate, Price)>,
) -> Result<PortfolioPosition, ServiceError> {
    let close = closed.get(&row.instrument_id);
    let unrealized = valued.as_ref().map(|valued| valued.profit(row)).transpose()?;
    let (market_value, mark) = valued.map(|valued| (valued.value, valued.mark)).unzip();
    let change = mark.as_ref().zip(close).and_then(|(mark, (_, close))| {
        let change = mark.price.minus(*close).ok()?;
        super::positions::ratio(change.decimal(), close.decimal())
    });
    Ok(PortfolioPosition {
        symbol: row.symbol.clone(),
        contract: row.contract.as_ref().map(|terms| ContractAnswer::of(&row.symbol, terms)),
        qty: row.qty,
        avg_entry_price: row.avg_entry_price(),
        cost_basis: row.signed_cost(),
        current_price: mark.as_ref().map(|mark| mark.price),
        market_value,
        weight: None,
        unrealized_pl: unrealized,
        unrealized_plpc: unrealized.and_then(|profit| rate(profit, row.cost_basis)),
        lastday_price: close.map(|(_, price)| *price),
        last_session: close.map(|(session, _)| *session),
        change_today: change,
        marked_at: mark.as_ref().map(|mark| mark.at),
        mark_source: mark.map(|mark| mark.source),
    })
}
