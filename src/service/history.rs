//! What an account was worth at each close: cash and shares as they were then, at the official closes of the log.
//!
//! One point a session in which anything closed officially, from the account's beginning or its last reset. A holding
//! whose instrument has no official close in a session leaves that session's equity unknown, and is named; so is an option
//! that closed at the middle of its last quote, since it did not trade.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::instrument::OptionTerms;
use aggregates::market::MarketTime;
use aggregates::money::{AmountError, Money, Quantity};
use chrono::{Days, Months, NaiveDate, TimeDelta};
use projections::Group;
use projections::accounts::AccountRow;
use projections::instruments::CloseRow;
use projections::positions::PositionRow;
use projections::query::{self, ClosedSession, Moved, Reach};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

use super::positions::rate;
use super::reading::{PAGE_MAX, Snapshot};
use super::{Caller, Fresh, Page, PageRequest, Service, ServiceError, Value};
use crate::market::calendar::{new_york_date, new_york_midnight};

/// How far back a history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryPeriod {
    /// So many days before today, today included.
    Days(u32),
    /// So many months.
    Months(u32),
    /// Everything.
    All,
}

/// Points of a page when the caller does not say: also the most, about two years of sessions.
pub const HISTORY_PAGE: u64 = PAGE_MAX;

/// Where a page of a history ended, and where the history begins, whatever the day is by then.
struct Reached {
    later_than: Option<NaiveDate>,
    session: NaiveDate,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.session)?;
        self.later_than.iter().try_for_each(|date| date.fmt(f))
    }
}

impl FromStr for Reached {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let date = |text: &str| text.parse().map_err(|_| ServiceError::BadCursor);
        let (session, begin) = text.split_once('/').ok_or(ServiceError::BadCursor)?;
        let later_than = if begin.is_empty() { None } else { Some(date(begin)?) };
        Ok(Self { later_than, session: date(session)? })
    }
}

impl HistoryPeriod {
    /// A month.
    pub const DEFAULT: Self = Self::Months(1);
    /// What it looks like.
    pub const FORM: &str = "a number and D, W, M or A, such as 1D, 2W, 3M or 1A, or all";

    /// Reads `1D`, `2W`, `3M`, `1A` (a year) or `all`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let plain = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = number.parse().ok().filter(|n| plain && (1..=1_000).contains(n))?;
        match unit {
            "D" => Some(Self::Days(number)),
            "W" => Some(Self::Days(7 * number)),
            "M" => Some(Self::Months(number)),
            "A" => Some(Self::Months(12 * number)),
            _ => None,
        }
    }

    /// The last day before it.
    fn later_than(self, today: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days(days) => today.checked_sub_days(Days::new(u64::from(days))),
            Self::Months(months) => today.checked_sub_months(Months::new(months)),
            Self::All => None,
        }
    }
}

/// The history of an account's worth. Amounts are dollars.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct PortfolioHistory {
    /// Whose.
    pub account_id: AccountId,
    /// One point a session.
    pub timeframe: &'static str,
    /// What profit is counted from: the equity at the close before the first point, or what the account began with.
    /// Absent when that equity is not known.
    pub base_value: Option<Value>,
    /// The session of that close; absent when the account began later.
    pub base_value_asof: Option<NaiveDate>,
    /// The sessions, oldest first.
    pub items: Vec<PortfolioPoint>,
    /// Where the next page begins; `null` after the last.
    pub next_cursor: Option<String>,
    /// The last event of the log that this contains.
    pub position: u64,
}

/// What an account was worth at a close.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct PortfolioPoint {
    /// The session's New York date.
    pub session: NaiveDate,
    /// The instant of its close.
    pub at: MarketTime,
    /// Cash, and the holdings at their official closes; absent when one of them has none in this session.
    pub equity: Option<Value>,
    /// The balance.
    pub cash: Money,
    /// Equity less the base value and less what was paid in since, net.
    pub profit_loss: Option<Value>,
    /// The same as a rate of the base value: 0.05 is 5 %.
    pub profit_loss_pct: Option<String>,
    /// The holdings without an official close in this session.
    pub unmarked: Vec<String>,
    /// The options that did not trade in this session, and are worth the middle of their last quote in it.
    pub at_midpoint: Vec<String>,
}

/// An account at a close.
pub(super) struct AtClose {
    pub(super) close: ClosedSession,
    cash: Money,
    /// Absent when a holding has no close.
    pub(super) equity: Option<Value>,
    pub(super) unmarked: Vec<InstrumentId>,
    pub(super) at_midpoint: Vec<InstrumentId>,
    /// Cash paid in since the close before, net.
    pub(super) paid_in: Value,
}

/// An account close by close.
pub(super) struct Timeline {
    /// Its cash when it began, without what was paid in since; absent when the first of the closes is what the others
    /// are compared with.
    pub(super) begun_with: Option<Value>,
    pub(super) closes: Vec<AtClose>,
    /// Cash paid in since the last close, net.
    pub(super) paid_in_since: Value,
}

/// What an account holds at the position of a snapshot.
#[derive(Clone, Copy)]
pub(super) struct Now<'a> {
    pub(super) account: &'a AccountRow,
    /// Where it began: see [`beginning`].
    pub(super) begun: u64,
    pub(super) held: &'a [PositionRow],
}

impl Service {
    /// The last instant before a period that ends today; none for everything, or while the market has no time.
    pub fn before(&self, period: HistoryPeriod) -> Option<MarketTime> {
        let last_day = period.later_than(new_york_date(self.market_time()?))?;
        let begins = new_york_midnight(last_day.succ_opt()?);
        Some(begins - TimeDelta::microseconds(1))
    }

    /// What an account was worth at the close of each session of a period. Every page counts profit from the same base.
    ///
    /// # Errors
    /// There is no such account, or a cursor of another list.
    pub async fn portfolio_history(
        &self,
        caller: &Caller,
        account_id: AccountId,
        period: HistoryPeriod,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<PortfolioHistory, ServiceError> {
        caller.on(account_id)?;
        let list = format!("{}/{account_id}/portfolio/history/{period:?}", caller.tenant);
        let reached: Option<Reached> = self.after(&list, page)?;
        let groups = [Group::Trading, Group::Books, Group::Market];
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &groups, fresh).await?;
        let later_than = match &reached {
            Some(reached) => reached.later_than,
            None => self.market_time().and_then(|at| period.later_than(new_york_date(at))),
        };
        let reach = later_than.map_or(Reach::All, Reach::LaterThan);
        let account = query::account(snapshot.connection(), account_id).await?;
        let account = snapshot.found(account, ServiceError::no_account())?;
        let mut held = query::holdings(snapshot.connection(), &[account_id]).await?;
        let held = held.remove(&account_id).unwrap_or_default();
        let begun = beginning(&mut snapshot, &account).await?;
        let now = Now { account: &account, begun, held: &held };
        let timeline = timeline(&mut snapshot, now, reach).await?;
        let named = timeline.closes.iter().flat_map(|at| at.unmarked.iter().chain(&at.at_midpoint));
        let named: BTreeSet<InstrumentId> = named.copied().collect();
        let named: Vec<_> = named.into_iter().collect();
        let symbols = query::symbols(snapshot.connection(), &named).await?;
        let whole = history_answer(account_id, timeline, later_than, &symbols, snapshot.position)?;
        let mut points = whole.items;
        points.retain(|point| reached.as_ref().is_none_or(|last| point.session > last.session));
        let seal = |last: &PortfolioPoint| {
            let reached = Reached { later_than, session: last.session };
            self.parts.cursors.seal(&list, &reached.to_string())
        };
        let size = page.size_or(HISTORY_PAGE);
        let cut = Page::cut(points, size, whole.position, seal, |point| point);
        Ok(PortfolioHistory { items: cut.items, next_cursor: cut.next_cursor, ..whole })
    }
}

/// Where an account began: its opening, or its last reset.
pub(super) async fn beginning(
    snapshot: &mut Snapshot,
    account: &AccountRow,
) -> Result<u64, ServiceError> {
    let up_to = snapshot.position;
    let reset = query::last_reset(snapshot.connection(), account.account_id, up_to).await?;
    Ok(reset.unwrap_or(account.opened_position))
}

/// An account close by close, as far back as `reach` says: what it holds now, less what moved since.
pub(super) async fn timeline(
    snapshot: &mut Snapshot,
    Now { account, begun, held }: Now<'_>,
    reach: Reach,
) -> Result<Timeline, ServiceError> {
    let (account_id, up_to) = (account.account_id, snapshot.position);
    let connection = snapshot.connection();
    let sessions = query::closed_sessions(connection, (begun, up_to), reach).await?;
    let base = sessions.first().filter(|first| match reach {
        Reach::All => false,
        Reach::LaterThan(date) => first.session <= date,
        Reach::Last => true,
    });
    let moved = query::moved(connection, account_id, &sessions, base).await?;
    let mut held: Held =
        held.iter().map(|row| (Some(row.instrument_id), row.qty.decimal())).collect();
    held.insert(None, account.cash.decimal());
    for part in &moved {
        *held.entry(part.instrument_id).or_default() -= part.held;
    }
    let begun_with = match base {
        Some(_) => None,
        None => Some(Value::sum(held.get(&None).copied())),
    };
    let mut prices = Prices::default();
    if !sessions.is_empty() {
        let ids: Vec<InstrumentId> = held.keys().filter_map(|id| *id).collect();
        let dates: Vec<NaiveDate> = sessions.iter().map(|close| close.session).collect();
        let rows = query::closes(connection, &ids, &dates, up_to).await?;
        prices.closes =
            rows.into_iter().map(|row| ((row.instrument_id, row.session), row)).collect();
        prices.contracts = query::contracts(connection, account_id, &ids).await?;
    }
    fold(begun_with, held, &sessions, &moved, &prices)
}

/// Shares by instrument, and cash.
type Held = BTreeMap<Option<InstrumentId>, Decimal>;

/// What is needed to value holdings at closes.
#[derive(Default)]
struct Prices {
    /// Official closes by session.
    closes: BTreeMap<(InstrumentId, NaiveDate), CloseRow>,
    /// What the options are.
    contracts: BTreeMap<InstrumentId, OptionTerms>,
}

impl Prices {
    /// What a holding was worth at a close, and whether that is the middle of a quote; `None` without one.
    fn value(
        &self,
        (instrument_id, qty): (InstrumentId, Decimal),
        session: NaiveDate,
    ) -> Result<Option<(Value, bool)>, AmountError> {
        let Some(close) = self.closes.get(&(instrument_id, session)) else { return Ok(None) };
        let qty = Quantity::new(qty)?;
        let shares = match self.contracts.get(&instrument_id) {
            Some(terms) => terms.shares_of(qty)?,
            None => qty,
        };
        Ok(Some((Value::of_fill(shares, close.price)?, close.quoted_at.is_some())))
    }
}

/// Adds up what moved, close by close, to what was held before.
fn fold(
    begun_with: Option<Value>,
    mut held: Held,
    sessions: &[ClosedSession],
    moved: &[Moved],
    prices: &Prices,
) -> Result<Timeline, ServiceError> {
    let mut by_close: Vec<Vec<&Moved>> = vec![Vec::new(); sessions.len() + 1];
    for part in moved {
        by_close[part.after.min(sessions.len())].push(part);
    }
    let of_cash = |part: &&&Moved| part.instrument_id.is_none();
    let paid_in =
        |parts: &[&Moved]| Value::sum(parts.iter().filter(of_cash).map(|part| part.paid_in));
    let mut closes = Vec::with_capacity(sessions.len());
    for (close, parts) in sessions.iter().zip(&by_close) {
        for part in parts {
            *held.entry(part.instrument_id).or_default() += part.held;
        }
        let cash = Money::new(held.get(&None).copied().unwrap_or_default())?;
        let (mut worth, mut unmarked, mut at_midpoint) =
            (Value::from(cash), Vec::new(), Vec::new());
        for (instrument_id, qty) in &held {
            let Some(instrument_id) = instrument_id.filter(|_| !qty.is_zero()) else { continue };
            match prices.value((instrument_id, *qty), close.session)? {
                Some((value, is_middle)) => {
                    worth = worth.plus(value)?;
                    at_midpoint.extend(is_middle.then_some(instrument_id));
                }
                None => unmarked.push(instrument_id),
            }
        }
        let equity = unmarked.is_empty().then_some(worth);
        let paid_in = paid_in(parts);
        closes.push(AtClose { close: *close, cash, equity, unmarked, at_midpoint, paid_in });
    }
    let since = by_close.last().map(Vec::as_slice).unwrap_or_default();
    Ok(Timeline { begun_with, closes, paid_in_since: paid_in(since) })
}

/// The tickers of what had no official close in one of the sessions.
pub(super) async fn unmarked(
    snapshot: &mut Snapshot,
    timeline: &Timeline,
) -> Result<Vec<String>, ServiceError> {
    let lacking: BTreeSet<InstrumentId> =
        timeline.closes.iter().flat_map(|at| at.unmarked.iter().copied()).collect();
    let lacking: Vec<InstrumentId> = lacking.into_iter().collect();
    Ok(named(&lacking, &query::symbols(snapshot.connection(), &lacking).await?))
}

/// The tickers of these instruments.
pub(super) fn named(ids: &[InstrumentId], symbols: &BTreeMap<InstrumentId, String>) -> Vec<String> {
    ids.iter().filter_map(|id| symbols.get(id).cloned()).collect()
}

/// The points later than a date, with the profit since the close before them.
fn history_answer(
    account_id: AccountId,
    timeline: Timeline,
    later_than: Option<NaiveDate>,
    symbols: &BTreeMap<InstrumentId, String>,
    position: u64,
) -> Result<PortfolioHistory, ServiceError> {
    let in_period = |at: &AtClose| later_than.is_none_or(|date| at.close.session > date);
    let mut base_value_asof = None;
    let begun_with = |paid_in| timeline.begun_with.map(|cash| cash.plus(paid_in)).transpose();
    let mut base_value = timeline.begun_with;
    let mut paid_in = Value::default();
    let mut items: Vec<PortfolioPoint> = Vec::new();
    for at in timeline.closes {
        if !in_period(&at) {
            (base_value, base_value_asof) = (at.equity, Some(at.close.session));
            continue;
        }
        if items.is_empty() && base_value_asof.is_none() {
            base_value = begun_with(at.paid_in)?;
        } else {
            paid_in = paid_in.plus(at.paid_in)?;
        }
        let profit_loss = match (at.equity, base_value) {
            (Some(equity), Some(base)) => Some(equity.minus(base)?.minus(paid_in)?),
            _ => None,
        };
        items.push(PortfolioPoint {
            session: at.close.session,
            at: at.close.at,
            equity: at.equity,
            cash: at.cash,
            profit_loss,
            profit_loss_pct: profit_loss.zip(base_value).and_then(|(of, base)| rate(of, base)),
            unmarked: named(&at.unmarked, symbols),
            at_midpoint: named(&at.at_midpoint, symbols),
        });
    }
    let base_value = if items.is_empty() && base_value_asof.is_none() {
        begun_with(timeline.paid_in_since)?
    } else {
        base_value
    };
    Ok(PortfolioHistory {
        account_id,
        timeframe: "1D",
        base_value,
        base_value_asof,
        items,
        next_cursor: None,
        position,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_nothing_else_is() {
        assert_eq!(HistoryPeriod::parse("1D"), Some(HistoryPeriod::Days(1)));
        assert_eq!(HistoryPeriod::parse("2W"), Some(HistoryPeriod::Days(14)));
        assert_eq!(HistoryPeriod::parse("1A"), Some(HistoryPeriod::Months(12)));
        assert_eq!(HistoryPeriod::parse("all"), Some(HistoryPeriod::All));
        for text in ["", "D", "1", "0D", "-1D", "+1D", "1d", "1001D", "1Y", "ö", "1ö"] {
            assert_eq!(HistoryPeriod::parse(text), None, "{text}");
        }
    }
}
