//! The journal of an account, double entry, and its activities.

use std::fmt;
use std::str::FromStr;

use aggregates::id::{AccountId, FillId, InstrumentId, OrderId};
use aggregates::instrument::OptionEnd;
use aggregates::market::MarketTime;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::Side;
use chrono::{DateTime, Utc};
use projections::Group;
use projections::activities::{ActivityRow, ActivityType};
use projections::journal::{Book, Entry, PostingRow};
use projections::query::{self, ActivitiesWanted};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Caller, Fresh, Page, PageRequest, Service, ServiceError};

/// One entry of the journal: what one event moved. Its postings sum to zero in each unit.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "JournalEntry")]
pub struct EntryAnswer {
    /// The place of the event in the log: the id of the entry.
    pub entry: u64,
    /// What happened.
    pub event_type: String,
    /// The order behind it.
    pub order_id: Option<OrderId>,
    /// The fill behind it, or the end of an option.
    pub fill_id: Option<FillId>,
    /// The corporate action behind it.
    pub action_id: Option<String>,
    /// The market time, where the event names it.
    pub at: Option<MarketTime>,
    /// When it was recorded, by the wall clock.
    pub recorded_at: DateTime<Utc>,
    /// What it moved.
    pub postings: Vec<PostingAnswer>,
}

/// One posting.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Posting")]
pub struct PostingAnswer {
    /// Which book it moves.
    pub book: Book,
    /// Cash in dollars if absent, else shares of this instrument.
    pub instrument_id: Option<InstrumentId>,
    /// Into the book, or out of it when below zero.
    pub amount: String,
}

/// What changed an account's cash, or how an option ended.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Activity")]
pub struct ActivityAnswer {
    /// The place of the event in the log: the id of the activity, of a leg together with `leg`.
    pub activity: u64,
    /// Of a fill of an mleg order which of its legs, from 1: it is one activity a leg.
    pub leg: Option<u8>,
    /// Its kind.
    pub activity_type: ActivityType,
    /// The ticker of a fill, or of what paid.
    pub symbol: Option<String>,
    /// Buy or sell, of a fill or of the end of an option: long ones are sold.
    pub side: Option<Side>,
    /// Shares of a fill, contracts of an option.
    pub qty: Option<Quantity>,
    /// The price of a fill, the strike that shares were delivered at, the bid that an option was sold at, or what a share of
    /// one was settled with in cash.
    pub price: Option<Price>,
    /// The change of cash, before the fees of a fill.
    pub net_amount: Money,
    /// The order of a fill or a fee.
    pub order_id: Option<OrderId>,
    /// The fill, the same for all its legs, or that of a fee; the end of an option, the same for the shares that it delivered.
    pub fill_id: Option<FillId>,
    /// The corporate action.
    pub action_id: Option<String>,
    /// How an option ended: `OPEXP` is one that expired or one that was abandoned.
    pub end: Option<OptionEnd>,
    /// The market time; the wall clock's where the market has none yet.
    pub at: MarketTime,
}

/// Which activities a list has. What is absent does not narrow.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    /// Of these kinds; of all for none.
    pub kinds: Vec<ActivityType>,
    /// Later than this, by the market clock.
    pub after: Option<MarketTime>,
    /// No later than this.
    pub until: Option<MarketTime>,
}

/// Where a page of activities ended, in a cursor.
#[derive(Clone, Copy, Debug)]
struct Place {
    activity: u64,
    leg: u8,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.activity, self.leg)
    }
}

impl FromStr for Place {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let (activity, leg) = text.split_once('/').ok_or(ServiceError::BadCursor)?;
        let (activity, leg) =
            activity.parse().ok().zip(leg.parse().ok()).ok_or(ServiceError::BadCursor)?;
        Ok(Self { activity, leg })
    }
}

impl Service {
    /// The journal of an account, newest entry first.
    ///
    /// # Errors
    /// There is no such account, or a cursor of another list.
    pub async fn journal(
        &self,
        caller: &Caller,
        account_id: AccountId,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<EntryAnswer>, ServiceError> {
        caller.on(account_id)?;
        let list = format!("{}/{account_id}/journal", caller.tenant);
        let before: Option<u64> = self.after(&list, page)?;
        let mut snapshot = self.snapshot(caller, Some(account_id), Group::Books, fresh).await?;
        let size = page.size();
        let rows = query::journal(snapshot.connection(), account_id, before, size + 1).await?;
        let seal = |row: &Entry| self.parts.cursors.seal(&list, &row.entry.position.to_string());
        Ok(Page::cut(rows, size, snapshot.position, seal, EntryAnswer::from))
    }

    /// What changed an account's cash, newest first.
    ///
    /// # Errors
    /// There is no such account, or a cursor of another list.
    pub async fn activities(
        &self,
        caller: &Caller,
        account_id: AccountId,
        filter: &ActivityFilter,
        page: &PageRequest,
        fresh: Fresh,
    ) -> Result<Page<ActivityAnswer>, ServiceError> {
        caller.on(account_id)?;
        let list = format!("{}/{account_id}/activities/{filter:?}", caller.tenant);
        let before: Option<Place> = self.after(&list, page)?;
        // What paid is named by the view of instruments.
        let groups = [Group::Trading, Group::Market];
        let mut snapshot = self.snapshot_of(caller, Some(account_id), &groups, fresh).await?;
        let size = page.size();
        let wanted = ActivitiesWanted {
            kinds: filter.kinds.clone(),
            after: filter.after,
            until: filter.until,
            before: before.map(|Place { activity, leg }| (activity, leg)),
            rows: size + 1,
        };
        let rows = query::activities(snapshot.connection(), account_id, &wanted).await?;
        let paid_by: Vec<InstrumentId> = rows.iter().filter_map(|row| row.instrument_id).collect();
        let symbols = query::symbols(snapshot.connection(), &paid_by).await?;
        let seal = |row: &ActivityRow| {
            let place = Place { activity: row.position, leg: row.leg };
            self.parts.cursors.seal(&list, &place.to_string())
        };
        let answer = |row: ActivityRow| {
            let paid_by = row.instrument_id.and_then(|id| symbols.get(&id).cloned());
            ActivityAnswer { symbol: row.symbol.clone().or(paid_by), ..ActivityAnswer::from(row) }
        };
        Ok(Page::cut(rows, size, snapshot.position, seal, answer))
    }
}

impl From<Entry> for EntryAnswer {
    fn from(Entry { entry, postings }: Entry) -> Self {
        Self {
            entry: entry.position,
            event_type: entry.event_type,
            order_id: entry.order_id,
            fill_id: entry.fill_id,
            action_id: entry.action_id,
            at: entry.at,
            recorded_at: entry.recorded_at,
            postings: postings.into_iter().map(PostingAnswer::from).collect(),
        }
    }
}

impl From<PostingRow> for PostingAnswer {
    fn from(row: PostingRow) -> Self {
        let amount = match (row.instrument_id, Money::new(row.amount)) {
            (None, Ok(cash)) => cash.to_string(),
            _ => row.amount.normalize().to_string(),
        };
        Self { book: row.book, instrument_id: row.instrument_id, amount }
    }
}

impl From<ActivityRow> for ActivityAnswer {
    fn from(row: ActivityRow) -> Self {
        Self {
            activity: row.position,
            leg: Some(row.leg).filter(|leg| *leg > 0),
            activity_type: row.activity_type,
            symbol: row.symbol,
            side: row.side,
            qty: row.qty,
            price: row.price,
            net_amount: row.net_amount,
            order_id: row.order_id,
            fill_id: row.fill_id,
            action_id: row.action_id,
            end: row.option_end,
            at: row.at,
        }
    }
}
