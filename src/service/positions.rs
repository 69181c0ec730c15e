//! Positions: what is held, what it cost and what it is worth at the last price.

use aggregates::id::{AccountId, LotId};
use aggregates::instrument::InstrumentKind;
use aggregates::market::MarketTime;
use aggregates::money::{AmountError, Money, Price, Quantity};
use aggregates::order::Side;
use projections::Group;
use projections::positions::{LotRow, PositionRow};
use projections::query::{self, Lots};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

use super::backing::Covering;
use super::market::ContractAnswer;
use super::{Caller, Fresh, Page, PageRequest, Service, ServiceError, Value};
use crate::engine::core::Shown;

/// What positions are read of: they are of instruments that the view of the market knows.
pub(super) const GROUPS: [Group; 2] = [Group::Trading, Group::Market];
/// The most lots of each position in a list, where somebody who trades often has thousands.
pub(super) const LISTED_LOTS: usize = 10;
/// The most lots of a position that is asked for by its symbol.
const LOTS: usize = 1_000;
/// Decimals of a rate of profit.
const RATE_DECIMALS: u32 = 6;

/// One lot.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Lot")]
pub struct LotAnswer {
    /// Its id.
    pub lot_id: LotId,
    /// Shares left of it, or contracts; below zero when short.
    pub qty: Quantity,
    /// What these cost, or brought when short.
    pub cost: Money,
    /// The market time of the fill that opened it.
    pub opened_at: MarketTime,
}

/// A position as its owner sees it. Amounts are dollars; what depends on a price is absent without one.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Position")]
pub struct PositionAnswer {
    /// Its ticker.
    pub symbol: String,
    /// What it is.
    pub kind: InstrumentKind,
    /// Of an option the contract; `null` otherwise.
    pub contract: Option<ContractAnswer>,
    /// Shares, or contracts of an option; below zero when short.
    pub qty: Quantity,
    /// Those that no open order has reserved to close them and that cover no call of a cash account; below zero when short.
    pub qty_available: Quantity,
    /// Shares that cover calls which a cash account is short of: they stay while it is.
    pub qty_covering: Quantity,
    /// `long` or `short`.
    pub side: &'static str,
    /// Of a long option: it is not to be exercised when it expires. `null` of everything else.
    pub do_not_exercise: Option<bool>,
    /// The remaining lots' cost over the shares, to 6 decimals: those that its contracts are on, of an option.
    pub avg_entry_price: Option<Price>,
    /// What the remaining lots cost; below zero what they brought, when short.
    pub cost_basis: Money,
    /// What it is worth at `current_price`; an option is on many shares.
    pub market_value: Option<Value>,
    /// Dollars a share: the bid for a long position, the ask for a short one, else the last price.
    pub current_price: Option<Price>,
    /// Profit if it were closed at `current_price`.
    pub unrealized_pl: Option<Value>,
    /// The same as a rate of its cost: 0.05 is 5 %.
    pub unrealized_plpc: Option<String>,
    /// Profit taken so far.
    pub realized_pl: Money,
    /// What it consists of, in the order in which sells take it: the first 10 lots in a list, the first 1,000 of one
    /// position.
    pub lots: Vec<LotAnswer>,
    /// How many lots there are.
    pub lots_total: u64,
    /// When the price was seen, by the market clock.
    pub marked_at: Option<MarketTime>,
    /// Where the price came from.
    pub mark_source: Option<String>,
    /// The last event of the log that this contains.
    pub position: u64,
}

/// What a holding is worth, and by which price.
pub(super) struct Valued {
    pub(super) value: Value,
    pub(super) mark: Shown,
    /// The price is of before a split or a dividend that has changed what a share is worth.
    pub(super) outdated: bool,
}

impl Valued {
    /// The profit of closing the holding at this price.
    ///
    /// # Errors
    /// The amount cannot be held.
    pub(super) fn profit(&self, row: &PositionRow) -> Result<Value, AmountError> {
        self.value.minus(row.signed_cost())
    }
}

impl Service {
    /// The positions of an account that are held, by symbol.
    ///
    /// # Errors
    /// There is no such account.
    pub async fn positions(
        &self,
        caller: &Caller,
        account_id: AccountId,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<PositionAnswer>, ServiceError> {
        caller.on(account_id)?;
        let list = format!("{}/{account_id}/positions", caller.tenant);
        let after: Option<String> = self.after(&list, page)?;
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &GROUPS, fresh).await?;
        let (size, connection) = (page.size(), snapshot.connection());
        let rows = query::positions(connection, account_id, after.as_deref(), size + 1).await?;
        let ids: Vec<_> = rows.iter().map(|row| row.instrument_id).collect();
        let kinds = query::kinds(connection, &ids).await?;
        let mut lots = query::lots(connection, account_id, &ids, LISTED_LOTS).await?;
        let covering = Covering::of(&query::covered_calls(connection, account_id).await?)?;
        let position = snapshot.position;
        let seal = |row: &PositionRow| self.parts.cursors.seal(&list, &row.symbol);
        let rows = Page::cut(rows, size, position, seal, |row| row);
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            let lots = lots.remove(&row.instrument_id).unwrap_or_default();
            let kind = kinds.get(&row.instrument_id).copied().unwrap_or_default();
            items.push(self.position_answer(row, lots, (kind, &covering), position)?);
        }
        Ok(Page { items, next_cursor: rows.next_cursor, position })
    }

    /// The position of an account in one symbol, also when it is closed: its profit stays.
    ///
    /// # Errors
    /// There is no such account, or it never held the symbol.
    pub async fn position(
        &self,
        caller: &Caller,
        account_id: AccountId,
        symbol: &str,
        fresh: Fresh,
    ) -> Result<PositionAnswer, ServiceError> {
        caller.on(account_id)?;
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &GROUPS, fresh).await?;
        let instrument = aggregates::id::InstrumentId::of_symbol(symbol);
        let row = query::position(snapshot.connection(), account_id, instrument).await?;
        let row = snapshot.found(row, ServiceError::NotFound("position"))?;
        let ids = [row.instrument_id];
        let kinds = query::kinds(snapshot.connection(), &ids).await?;
        let mut lots = query::lots(snapshot.connection(), account_id, &ids, LOTS).await?;
        let kind = kinds.get(&row.instrument_id).copied().unwrap_or_default();
        let lots = lots.remove(&row.instrument_id).unwrap_or_default();
        let calls = query::covered_calls(snapshot.connection(), account_id).await?;
        self.position_answer(row, lots, (kind, &Covering::of(&calls)?), snapshot.position)
    }

    pub(super) fn position_answer(
        &self,
        row: PositionRow,
        lots: Lots,
        (kind, covering): (InstrumentKind, &Covering),
        position: u64,
    ) -> Result<PositionAnswer, ServiceError> {
        let valued = self.valued(&row)?;
        let unrealized = valued.as_ref().map(|valued| valued.profit(&row)).transpose()?;
        let rate = unrealized.and_then(|profit| rate(profit, row.cost_basis));
        let (value, mark) = valued.map(|valued| (valued.value, valued.mark)).unzip();
        let mark: Option<Shown> = mark;
        let (qty_covering, qty_available) = covering.split(&row)?;
        let exercisable = row.contract.is_some() && row.qty.is_positive();
        Ok(PositionAnswer {
            kind,
            contract: row.contract.as_ref().map(|terms| ContractAnswer::of(&row.symbol, terms)),
            qty: row.qty,
            qty_available,
            qty_covering,
            side: if row.qty.is_negative() { "short" } else { "long" },
            do_not_exercise: exercisable.then_some(row.do_not_exercise),
            avg_entry_price: row.avg_entry_price(),
            cost_basis: row.signed_cost(),
            market_value: value,
            current_price: mark.as_ref().map(|mark| mark.price),
            unrealized_pl: unrealized,
            unrealized_plpc: rate,
            realized_pl: row.realized_pl,
            lots: lots.first.into_iter().map(LotAnswer::from).collect(),
            lots_total: lots.total,
            marked_at: mark.as_ref().map(|mark| mark.at),
            mark_source: mark.map(|mark| mark.source),
            symbol: row.symbol,
            position,
        })
    }

    /// What a holding is worth at the last price; `None` without one.
    pub(super) fn valued(&self, row: &PositionRow) -> Result<Option<Valued>, ServiceError> {
        if row.qty.decimal() == Decimal::ZERO {
            return Ok(None);
        }
        let side = if row.qty.is_negative() { Side::Sell } else { Side::Buy };
        let glance = self.parts.engine.board().glance(&row.symbol);
        let Some(glance) = glance else { return Ok(None) };
        let Some(mark) = glance.mark(side) else { return Ok(None) };
        let value = Value::of_fill(row.shares()?, mark.price)?;
        Ok(Some(Valued { value, mark, outdated: glance.awaits_price }))
    }
}

/// An amount as a rate of another, to 6 decimals; `None` of nothing.
pub(super) fn rate(of: Value, whole: impl Into<Value>) -> Option<String> {
    ratio(of.decimal(), whole.into().decimal().abs())
}

/// A number as a rate of another, to 6 decimals; `None` of nothing.
pub(super) fn ratio(of: Decimal, whole: Decimal) -> Option<String> {
    let rate = of.checked_div(whole)?;
    Some(rate.round_dp(RATE_DECIMALS).normalize().to_string())
}

impl From<LotRow> for LotAnswer {
    fn from(row: LotRow) -> Self {
        Self { lot_id: row.lot_id, qty: row.qty, cost: row.cost, opened_at: row.opened_at }
    }
}
