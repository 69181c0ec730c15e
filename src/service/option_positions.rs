//! Positions in options: one by one, and together with the shares of what they are on.

use std::collections::BTreeMap;

use aggregates::id::AccountId;
use aggregates::instrument::InstrumentKind;
use aggregates::money::{Money, Quantity};
use aggregates::order::Side;
use projections::accounts::AccountRow;
use projections::positions::PositionRow;
use projections::query;
use schemars::JsonSchema;
use serde::Serialize;

use super::backing::Covering;
use super::covers::{Book, CoverAnswer, Needed};
use super::positions::{GROUPS, LISTED_LOTS};
use super::{
    Caller, Fresh, HoldingGreeksAnswer, Page, PageRequest, PositionAnswer, Service, ServiceError,
    Value,
};

/// What an account holds on one underlying of which it holds options.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "UnderlyingPosition")]
pub struct UnderlyingAnswer {
    /// The ticker of the underlying.
    pub underlying_symbol: String,
    /// Its shares held; below zero when short.
    pub shares: Quantity,
    /// Contracts held long.
    pub long_contracts: Quantity,
    /// Contracts held short, below zero.
    pub short_contracts: Quantity,
    /// What the options alone cost, less what short ones brought: nothing of the shares.
    pub cost_basis: Value,
    /// What the options alone are worth, short ones below zero: nothing of the shares. Absent when one has no price.
    pub market_value: Option<Value>,
    /// Profit if all options were closed at their prices: nothing of the shares.
    pub unrealized_pl: Option<Value>,
    /// The options without a price.
    pub unmarked: Vec<String>,
    /// The greeks of options and shares together, other than all figures above: each share adds 1 to `delta` and nothing to the
    /// others. Absent before the market has a time.
    pub greeks: Option<HoldingGreeksAnswer>,
    /// What the options need of margin, whatever shares need by themselves; in a cash account the cash that secures its short
    /// puts. Absent where a price lacks that it takes.
    pub requirement: Option<Money>,
    /// What covers the short options, and the long ones that cover nothing, by name; absent as `requirement` is, which they sum
    /// to.
    pub covers: Option<Vec<CoverAnswer>>,
    /// The symbols of the options.
    pub symbols: Vec<String>,
}

impl Service {
    /// The positions of an account in options, by symbol: those that are `held`, or closed ones too.
    ///
    /// # Errors
    /// There is no such account, or a cursor of another list.
    pub async fn option_positions(
        &self,
        caller: &Caller,
        account_id: AccountId,
        held: bool,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<PositionAnswer>, ServiceError> {
        caller.on(account_id)?;
        let list = format!("{}/{account_id}/positions/options/{held}", caller.tenant);
        let after: Option<String> = self.after(&list, page)?;
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &GROUPS, fresh).await?;
        let (size, position) = (page.size(), snapshot.position);
        let connection = snapshot.connection();
        let after = after.as_deref();
        let rows = query::option_positions(connection, account_id, held, after, size + 1).await?;
        let ids: Vec<_> = rows.iter().map(|row| row.instrument_id).collect();
        let mut lots = query::lots(connection, account_id, &ids, LISTED_LOTS).await?;
        let seal = |row: &PositionRow| self.parts.cursors.seal(&list, &row.symbol);
        let rows = Page::cut(rows, size, position, seal, |row| row);
        let items = rows.items.into_iter().map(|row| {
            let lots = lots.remove(&row.instrument_id).unwrap_or_default();
            let kind = InstrumentKind::Option;
            self.position_answer(row, lots, (kind, &Covering::default()), position)
        });
        let items = items.collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: rows.next_cursor, position })
    }

    /// What an account holds of options by what they are on, with the shares of that and the greeks of all.
    ///
    /// # Errors
    /// There is no such account.
    pub async fn option_underlyings(
        &self,
        caller: &Caller,
        account_id: AccountId,
        fresh: Fresh,
    ) -> Result<Page<UnderlyingAnswer>, ServiceError> {
        caller.on(account_id)?;
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &GROUPS, fresh).await?;
        let account = query::account(snapshot.connection(), account_id).await?;
        let account = snapshot.found(account, ServiceError::no_account())?;
        let mut held = query::holdings(snapshot.connection(), &[account_id]).await?;
        let position = snapshot.position;
        let held = held.remove(&account_id).unwrap_or_default();
        let mut shares: BTreeMap<String, PositionRow> = BTreeMap::new();
        let mut options: BTreeMap<String, Vec<PositionRow>> = BTreeMap::new();
        for row in held {
            match self.underlying_of(&row.symbol) {
                Some(underlying) => options.entry(underlying).or_default().push(row),
                None => {
                    shares.insert(row.symbol.clone(), row);
                }
            }
        }
        let mut items = Vec::with_capacity(options.len());
        for (underlying, rows) in options {
            let shares = shares.get(&underlying);
            items.push(self.underlying(&account, underlying, shares, &rows).await?);
        }
        Ok(Page { items, next_cursor: None, position })
    }

    /// What an option is on, as far as the market has told it; `None` of a stock.
    pub(super) fn underlying_of(&self, symbol: &str) -> Option<String> {
        let glance = self.parts.engine.board().glance(symbol)?;
        glance.option.as_ref().map(|listed| listed.underlying.clone())
    }

    /// What an instrument is; `None` of one that no line of the market has named.
    pub fn kind_of(&self, symbol: &str) -> Option<InstrumentKind> {
        let glance = self.parts.engine.board().glance(symbol)?;
        Some(if glance.option.is_some() { InstrumentKind::Option } else { InstrumentKind::Stock })
    }

    async fn underlying(
        &self,
        account: &AccountRow,
        underlying_symbol: String,
        held: Option<&PositionRow>,
        rows: &[PositionRow],
    ) -> Result<UnderlyingAnswer, ServiceError> {
        let shares = held.map(|held| held.qty).unwrap_or_default();
        let mut all = UnderlyingAnswer {
            shares,
            long_contracts: Quantity::ZERO,
            short_contracts: Quantity::ZERO,
            cost_basis: Value::default(),
            market_value: Some(Value::default()),
            unrealized_pl: Some(Value::default()),
            unmarked: Vec::new(),
            greeks: None,
            requirement: None,
            covers: None,
            symbols: Vec::new(),
            underlying_symbol,
        };
        let mut holdings = vec![(all.underlying_symbol.clone(), shares)];
        let mut options = Vec::with_capacity(rows.len());
        for row in rows {
            if row.qty.is_negative() {
                all.short_contracts = all.short_contracts.plus(row.qty)?;
            } else {
                all.long_contracts = all.long_contracts.plus(row.qty)?;
            }
            all.cost_basis = all.cost_basis.plus(row.signed_cost())?;
            let valued = self.valued(row)?;
            options.push((row, valued.as_ref().map(|valued| valued.mark.price)));
            match valued {
                Some(valued) => {
                    let profit = valued.profit(row)?;
                    all.market_value =
                        all.market_value.map(|sum| sum.plus(valued.value)).transpose()?;
                    all.unrealized_pl =
                        all.unrealized_pl.map(|sum| sum.plus(profit)).transpose()?;
                }
                None => {
                    (all.market_value, all.unrealized_pl) = (None, None);
                    all.unmarked.push(row.symbol.clone());
                }
            }
            all.symbols.push(row.symbol.clone());
            holdings.push((row.symbol.clone(), row.qty));
        }
        all.symbols.sort_unstable();
        // What is held of it, nothing, is valued as a short holding is, as decisions do.
        let side = if shares.is_positive() { Side::Buy } else { Side::Sell };
        let glance = self.parts.engine.board().glance(&all.underlying_symbol);
        let price = glance.and_then(|glance| glance.mark(side)).map(|mark| mark.price);
        let free = held.map(PositionRow::qty_available).unwrap_or_default();
        let underlying = &all.underlying_symbol;
        let book = Book { account, underlying, shares: (shares, free), price, options };
        if let Some(Needed { requirement, covers }) = book.needed()? {
            (all.requirement, all.covers) = (Some(requirement), Some(covers));
        }
        if self.market_time().is_some() {
            all.greeks = Some(self.greeks_of(holdings).await?);
        }
        Ok(all)
    }
}
