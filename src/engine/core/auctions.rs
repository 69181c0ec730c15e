//! The auctions of a session: the orders for them fill at one price, the rest of them ends.
//!
//! The price is that of the market's `auction` line, and there are as many shares for each side as it says. A symbol whose
//! auctions the market does not tell of opens at its first price of the session and closes at its official close, and all
//! orders for the auction fill that this price reaches: nobody says how much was traded. One whose auctions it does tell
//! of waits [`AUCTION_WAIT`] for the line. Costs O(log n + k), k the orders for the auction.

use aggregates::id::{InstrumentId, OrderId};
use aggregates::market::{AuctionKind, BarPoint, Evidence, EvidenceTick, MarketTime};
use aggregates::money::{Price, Quantity};
use aggregates::order::{CancelReason, Side, TimeInForce};
use aggregates::trading::Command;
use chrono::{NaiveDate, TimeDelta};

use super::book::Working;
use super::matching::{ROUND_CAP, left_of};
use super::rounds::Round;
use super::sessions::session_on;
use super::state::{Issue, Kinds};
use super::{Core, FillModel};
use crate::market::calendar::new_york_date;
use crate::market::tick::{Auction, Tick};

/// How long after the open or the close the line of an auction is awaited of a symbol that has had such lines.
const AUCTION_WAIT: TimeDelta = TimeDelta::minutes(5);

/// What an auction came to.
struct Cross {
    kind: AuctionKind,
    instrument_id: InstrumentId,
    /// The session: orders for another one wait for theirs.
    session: NaiveDate,
    /// Orders that were accepted later took no part.
    began: MarketTime,
    /// What a buy pays.
    bought_at: Price,
    /// What a sell gets.
    sold_at: Price,
    /// Shares for each side; `None` is without limit.
    size: Option<Quantity>,
    evidence: Evidence,
    at: MarketTime,
}

/// The orders for an auction.
const fn orders_for(kind: AuctionKind) -> TimeInForce {
    match kind {
        AuctionKind::Open => TimeInForce::Opg,
        AuctionKind::Close => TimeInForce::Cls,
    }
}

impl Core {
    /// What the first price of a session makes of the orders for its opening auction.
    pub(super) fn opening(&self, round: &Round, point: usize) -> Vec<Command> {
        let Some((instrument_id, issue)) = self.trading(round).filter(|_| point == 0) else {
            return Vec::new();
        };
        if !self.state.orders.has_auction(TimeInForce::Opg, instrument_id) {
            return Vec::new();
        }
        let (began, at) = (round.began, self.state.clock.unwrap_or(round.began));
        let session = new_york_date(began);
        let open = session_on(self.settings.calendar, session).map(|session| session.open);
        if issue.auctions && open.is_some_and(|open| at < open + AUCTION_WAIT) {
            return Vec::new();
        }
        let (bought_at, sold_at, evidence) = match &round.tick {
            // Trades are what was paid; without them the quote is what would be.
            Tick::Quote(_) if !issue.kinds.trades => {
                let Some(quote) = issue.quote_at(round.place) else { return Vec::new() };
                (quote.ask, quote.bid, quote.evidence())
            }
            Tick::Trade(trade) => {
                let (price, size) = (trade.price, trade.size);
                let tick = EvidenceTick::Trade { price, size };
                (price, price, self.evidence(round, trade.at, tick))
            }
            Tick::Bar(bar) if issue.kinds == Kinds::default() => {
                let tick = bar.evidence(BarPoint::Open);
                (bar.open, bar.open, self.evidence(round, began, tick))
            }
            _ => return Vec::new(),
        };
        let (kind, size) = (AuctionKind::Open, None);
        self.cross(&Cross {
            kind,
            instrument_id,
            session,
            began,
            bought_at,
            sold_at,
            size,
            evidence,
            at,
        })
    }

    /// What the line of an auction makes of the orders for it. One outside the hours of its kind makes nothing.
    pub(super) fn auction(&self, round: &Round, auction: &Auction) -> Vec<Command> {
        let Auction { kind, price, size, at: told_at, .. } = *auction;
        let session = session_on(self.settings.calendar, new_york_date(told_at));
        let found = self.issue(&auction.symbol);
        let found = found.filter(|(_, issue)| issue.trades());
        let (Some((instrument_id, _)), Some(session)) = (found, session) else {
            return Vec::new();
        };
        let in_time = match kind {
            AuctionKind::Open => session.is_open(told_at),
            AuctionKind::Close => told_at >= session.close,
        };
        if !in_time {
            return Vec::new();
        }
        let tick = EvidenceTick::Auction { kind, price, size };
        self.cross(&Cross {
            kind,
            instrument_id,
            session: session.date,
            began: told_at,
            bought_at: price,
            sold_at: price,
            size: Some(size).filter(|_| self.settings.fill_model == FillModel::DisplayedSize),
            evidence: self.evidence(round, told_at, tick),
            at: self.state.clock.unwrap_or(told_at),
        })
    }

    /// What official closes make of the orders for closing auctions, when the clock comes to `now`.
    pub(super) fn closings(&self, now: MarketTime) -> Vec<Command> {
        // What a session under way is to close at is not known: only what was told late of one before it is.
        let instruments = if self.state.session.is_some_and(|session| session.is_open(now)) {
            self.waiting_for_close(now).map(|(order, _)| order.instrument_id).collect()
        } else {
            self.state.orders.in_auctions(TimeInForce::Cls)
        };
        for instrument_id in instruments {
            let Some(issue) = self.state.issues.get(&instrument_id) else { continue };
            let commands = self.closing(instrument_id, issue, now);
            if !commands.is_empty() {
                return commands;
            }
        }
        Vec::new()
    }

    /// The orders for closing auctions whose after-hours are over at `now`, each with the date of its session, the earliest
    /// first.
    pub(super) fn waiting_for_close(
        &self,
        now: MarketTime,
    ) -> impl Iterator<Item = (&Working, NaiveDate)> {
        let over = self.state.orders.expired(now).map(|(ends, order)| (order, new_york_date(ends)));
        over.filter(|(order, _)| order.time_in_force == TimeInForce::Cls)
    }

    /// Those of them that wait, when the market is where it is.
    pub fn without_close(&self) -> impl Iterator<Item = OrderId> {
        let waiting = self.state.clock.map(|now| self.waiting_for_close(now));
        waiting.into_iter().flatten().map(|(order, _)| order.order_id)
    }

    /// The ends of those of them that have no price to come: it is known and could not be had, or the next session has
    /// closed. The others wait for theirs.
    pub(super) fn missed_closings(&self, now: MarketTime) -> impl Iterator<Item = Command> {
        let missed = self.waiting_for_close(now).filter(|(order, session)| {
            let issue = self.state.issues.get(&order.instrument_id);
            issue.and_then(|issue| issue.closed).is_some_and(|(date, _)| date >= *session)
        });
        missed.filter_map(|(order, _)| self.expire(order))
    }

    fn closing(&self, instrument_id: InstrumentId, issue: &Issue, now: MarketTime) -> Vec<Command> {
        let closed = issue.closed.filter(|_| issue.trades());
        let Some((date, price)) = closed else { return Vec::new() };
        let Some(session) = session_on(self.settings.calendar, date) else { return Vec::new() };
        let wait = if issue.auctions { AUCTION_WAIT } else { TimeDelta::zero() };
        let at = session.close + wait;
        if now < at {
            return Vec::new();
        }
        let source = issue.last.as_ref().map(|last| last.source.clone()).unwrap_or_default();
        let evidence = Evidence {
            source,
            tape_place: self.state.place,
            at: session.close,
            tick: EvidenceTick::OfficialClose { session: date, price },
        };
        self.cross(&Cross {
            kind: AuctionKind::Close,
            instrument_id,
            session: date,
            began: session.close,
            bought_at: price,
            sold_at: price,
            size: None,
            evidence,
            at,
        })
    }

    /// The fills of an auction; once there are no more, the ends of the orders that it left.
    fn cross(&self, cross: &Cross) -> Vec<Command> {
        let orders_for = orders_for(cross.kind);
        let issue = self.state.issues.get(&cross.instrument_id);
        let takes_part = |order: &Working| {
            order.placed_at <= cross.began
                && order.expires_at.is_some_and(|ends| new_york_date(ends) == cross.session)
                && !self.is_arriving(order.order_id)
        };
        let mut commands = Vec::new();
        for (side, price) in [(Side::Buy, cross.bought_at), (Side::Sell, cross.sold_at)] {
            let taken = issue.map(|issue| issue.taken.of(cross.evidence.tape_place, side));
            let mut left = cross.size.map(|size| left_of(size, taken.unwrap_or_default()));
            let book = (cross.instrument_id, side);
            for order in self.state.orders.auctioned(orders_for, book, price) {
                let used_up = left.is_some_and(|left| !left.is_positive());
                if used_up || commands.len() >= ROUND_CAP {
                    break;
                }
                if !takes_part(order) {
                    continue;
                }
                let qty = self.takes(order, order.leaves, left);
                let fill = self.fill_at(order, (qty, price), &cross.evidence, Some(cross.at));
                if let Some(fill) = fill {
                    commands.push(fill);
                    left = left.map(|left| left_of(left, qty));
                }
            }
        }
        if !commands.is_empty() {
            return commands;
        }
        let rest = self.state.orders.all_auctioned(orders_for, cross.instrument_id);
        let ends = rest
            .filter(|order| takes_part(order))
            .filter_map(|order| self.end(order, CancelReason::AuctionUnfilled, cross.at));
        ends.take(ROUND_CAP).collect()
    }
}
