//! What time and the market cause beside fills: expiries, official closes, halts, splits, dividends.

use std::collections::BTreeSet;

use aggregates::id::InstrumentId;
use aggregates::instrument::{
    ClosingQuote, DividendStage, InstrumentCommand, InstrumentKind, Split,
};
use aggregates::market::MarketTime;
use aggregates::money::Price;
use aggregates::order::{ExpiryReason, TimeInForce};
use aggregates::trading::Command;
use chrono::NaiveDate;

use super::Core;
use super::book::Working;
use super::matching::ROUND_CAP;
use super::rounds::Round;
use super::sessions::{Session, session_on};
use super::state::{Issue, Last, Payout};
use crate::market::tick::{Tick, TradingState};

impl Core {
    /// Ends an order at the instant at which its time is over, unless that was tried.
    pub(super) fn expire(&self, order: &Working) -> Option<Command> {
        let order_id = order.order_id;
        let reason = match order.time_in_force {
            TimeInForce::Gtd => ExpiryReason::TimeReached,
            TimeInForce::Opg | TimeInForce::Cls => ExpiryReason::AuctionMissed,
            _ => ExpiryReason::SessionClosed,
        };
        let command = Command::Expire { order_id, reason, at: order.expires_at? };
        (!self.is_tried_command(&command)).then_some(command)
    }

    /// Everything that is due when the clock comes to `now`, one kind after the other: expiries and official closes
    /// in the order of their instants, then closing auctions and what waits for one in vain, then splits under way, then options, then
    /// the trading days of accounts whose losses are limited, then dividends.
    pub(super) fn due(&self, now: MarketTime) -> Vec<Command> {
        let mut ends: Vec<(MarketTime, Command)> = Vec::new();
        let mut families = BTreeSet::new();
        // Held exits end with their entry, and others of a family with the first one.
        let closes = |order: &Working| order.time_in_force == TimeInForce::Cls;
        let over = |order: &Working| !closes(order) && !order.held;
        for (at, order) in self.state.orders.expired(now).filter(|(_, order)| over(order)) {
            if ends.len() >= ROUND_CAP {
                break;
            }
            let Some(command) = self.expire(order) else { continue };
            if order.family.is_none_or(|family| families.insert(family)) {
                ends.push((at, command));
            }
        }
        if let Some(session) = self.state.session.filter(|session| now >= session.close) {
            let closes = self.official_closes(session, now > session.close);
            ends.extend(closes.map(|command| (session.close, command)));
            ends.sort_by_key(|(at, _)| *at);
        }
        if !ends.is_empty() {
            return ends.into_iter().map(|(_, command)| command).collect();
        }
        let late = self.late_closes(now);
        if !late.is_empty() {
            return late;
        }
        let mut closings = self.closings(now);
        if closings.is_empty() {
            closings.extend(self.missed_closings(now).take(ROUND_CAP));
        }
        if !closings.is_empty() {
            return closings;
        }
        for instrument_id in &self.state.gates {
            let commands = self.follow_split(*instrument_id, now);
            if !commands.is_empty() {
                return commands;
            }
        }
        let expiries = self.expiries(now);
        if !expiries.is_empty() {
            return expiries;
        }
        // A dividend accrues before the price knows of it: the day begins with neither.
        let days = self.days(now);
        if !days.is_empty() {
            return days;
        }
        for (at, instrument_id, action_id) in &self.state.awaited {
            if *at > now {
                break;
            }
            let commands = self.dividend_step(*instrument_id, action_id, now);
            if !commands.is_empty() {
                return commands;
            }
        }
        Vec::new()
    }

    /// The official close of every instrument that has one.
    fn official_closes(&self, session: Session, passed: bool) -> impl Iterator<Item = Command> {
        let closes = self.state.issues.iter().filter_map(move |(instrument_id, issue)| match issue
            .last_of(session, passed)
        {
            Some(last) => self.close(*instrument_id, issue, session, last),
            None if passed && self.state.is_held(*instrument_id) => {
                self.close_between(*instrument_id, issue, session)
            }
            None => None,
        });
        closes.take(ROUND_CAP)
    }

    /// The official closes of sessions that are long over, where the market has told of them since: orders for their
    /// auctions still wait for them.
    fn late_closes(&self, now: MarketTime) -> Vec<Command> {
        let closes = self.waiting_for_close(now).filter_map(|(order, date)| {
            let session = session_on(self.settings.calendar, date)?;
            let issue = self.state.issues.get(&order.instrument_id)?;
            self.close(order.instrument_id, issue, session, issue.last_of(session, true)?)
        });
        // Several orders wait for one close.
        let first = closes.take(1).next();
        first.or_else(|| self.late_settlements(now)).into_iter().collect()
    }

    pub(super) fn close(
        &self,
        instrument_id: InstrumentId,
        issue: &Issue,
        session: Session,
        last: &Last,
    ) -> Option<Command> {
        let Last { price, source, .. } = last.clone();
        self.close_at(instrument_id, issue, session, (price, source, None))
    }

    /// An option that did not trade in a session closes at the middle of its last quote in it, as long as somebody holds it:
    /// only what is held has all its quotes on the tape. A quote that a split has divided is of no session any more.
    fn close_between(
        &self,
        instrument_id: InstrumentId,
        issue: &Issue,
        session: Session,
    ) -> Option<Command> {
        let of_option = issue.kind == InstrumentKind::Option && !issue.awaits_price;
        let quote =
            issue.quote.as_ref().filter(|it| of_option && session.counts_for_close(it.at))?;
        let closing = ClosingQuote { bid: quote.bid, ask: quote.ask, at: quote.at };
        let price = closing.middle().ok()?;
        self.close_at(instrument_id, issue, session, (price, quote.source.clone(), Some(closing)))
    }

    fn close_at(
        &self,
        instrument_id: InstrumentId,
        issue: &Issue,
        session: Session,
        (price, source, quote): (Price, String, Option<ClosingQuote>),
    ) -> Option<Command> {
        if issue.closed.is_some_and(|(date, _): (NaiveDate, _)| date >= session.date) {
            return None;
        }
        let (session, at) = (session.date, session.close);
        let command = InstrumentCommand::Close { session, price, source, quote, at };
        let command = Command::Instrument { instrument_id, command };
        (!self.is_tried_command(&command)).then_some(command)
    }

    /// What a line that is no price makes happen: a halt, a split, a dividend.
    pub(super) fn happenings(&self, round: &Round) -> Vec<Command> {
        let found = round.tick.symbol().and_then(|symbol| self.issue(symbol));
        let (Some((instrument_id, issue)), Some(at)) = (found, self.state.clock) else {
            return Vec::new();
        };
        let command = match &round.tick {
            Tick::Status(status) => {
                let reason = status.reason.clone().unwrap_or_default();
                match (status.state, issue.halted) {
                    (TradingState::Halted, false) => InstrumentCommand::Halt { reason, at },
                    (TradingState::Trading, true) => InstrumentCommand::Resume { reason, at },
                    _ => return Vec::new(),
                }
            }
            Tick::Split(split) => {
                if issue.gate.is_some() {
                    return self.follow_split(instrument_id, at);
                }
                if issue.splits.contains_key(&split.id) {
                    return Vec::new();
                }
                let ends = self.end_before_split(instrument_id, split.at, at);
                if !ends.is_empty() {
                    return ends;
                }
                let last_close = issue.price_of_a_fraction();
                let (numerator, denominator) = (split.numerator, split.denominator);
                InstrumentCommand::BeginSplit {
                    action_id: split.id.clone(),
                    split: Split { numerator, denominator, last_close, at },
                }
            }
            Tick::Dividend(dividend) => {
                if issue.dividends.contains_key(&dividend.id) {
                    return self.due(at);
                }
                InstrumentCommand::DeclareDividend {
                    action_id: dividend.id.clone(),
                    amount: dividend.amount,
                    ex: dividend.ex,
                    pay: dividend.pay,
                    at,
                }
            }
            _ => return Vec::new(),
        };
        let command = Command::Instrument { instrument_id, command };
        if self.is_tried_command(&command) { Vec::new() } else { vec![command] }
    }

    /// What contracts become is listed, then one account after the other follows the split; when all have, the instrument opens
    /// again. An account that
    /// the ledger refuses keeps it closed.
    fn follow_split(&self, instrument_id: InstrumentId, at: MarketTime) -> Vec<Command> {
        let issue = self.state.issues.get(&instrument_id);
        let Some(gate) = issue.and_then(|issue| issue.gate.as_ref()) else { return Vec::new() };
        let accounts = self.to_follow(instrument_id, gate);
        let listings = self.adjusted_listings(gate, &accounts);
        if !listings.is_empty() {
            return listings;
        }
        let commands: Vec<Command> = if accounts.is_empty() {
            let action_id = gate.action_id.clone();
            let command = InstrumentCommand::CompleteSplit { action_id, at };
            vec![Command::Instrument { instrument_id, command }]
        } else {
            let follow =
                |(account_id, part)| self.follow_of(account_id, instrument_id, (gate, part), at);
            accounts.into_iter().map(follow).collect()
        };
        self.untried(commands)
    }

    /// The next step of a dividend that is due: accruals at the ex date, payments at the pay date. Who held it at
    /// the close before the ex date earns it, however late the market tells of it.
    fn dividend_step(
        &self,
        instrument_id: InstrumentId,
        action_id: &str,
        at: MarketTime,
    ) -> Vec<Command> {
        let issue = self.state.issues.get(&instrument_id);
        let Some(payout) = issue.and_then(|issue| issue.dividends.get(action_id)) else {
            return Vec::new();
        };
        let Payout { ex, stage, accrued, unpaid, .. } = payout;
        let name = || action_id.to_owned();
        let commands: Vec<Command> = match stage {
            DividendStage::Declared => {
                let holders = self.state.holders.get(&instrument_id);
                let entitled = holders.into_iter().flat_map(|holders| holders.at_close_before(*ex));
                entitled
                    .filter(|(account_id, _)| !accrued.contains(account_id))
                    .map(|(account_id, qty)| Command::AccrueDividend {
                        account_id,
                        instrument_id,
                        action_id: name(),
                        qty,
                        at,
                    })
                    .collect()
            }
            DividendStage::Accrued => unpaid
                .iter()
                .map(|account_id| Command::PayDividend {
                    account_id: *account_id,
                    instrument_id,
                    action_id: name(),
                    at,
                })
                .collect(),
            DividendStage::Paid => return Vec::new(),
        };
        if !commands.is_empty() {
            return self.untried(commands);
        }
        let command = match stage {
            DividendStage::Declared => InstrumentCommand::CompleteAccrual { action_id: name(), at },
            _ => InstrumentCommand::CompleteDividend { action_id: name(), at },
        };
        self.untried(vec![Command::Instrument { instrument_id, command }])
    }

    fn untried(&self, mut commands: Vec<Command>) -> Vec<Command> {
        commands.retain(|command| !self.is_tried_command(command));
        commands
    }
}

impl Issue {
    /// What a session closed at: the last trade in (open, close], else the daily bar's close. A trade at the close itself
    /// may still come until the clock has `passed` it.
    pub(super) fn last_of(&self, session: Session, passed: bool) -> Option<&Last> {
        let trade = self.trade.as_ref().filter(|trade| session.counts_for_close(trade.at));
        if trade.is_some() && !passed {
            return None;
        }
        let daily = self.daily.as_ref().filter(|(date, _)| *date == session.date);
        trade.or(daily.map(|(_, last)| last))
    }

    /// What a share is paid with that a split leaves a fraction of: the last official close, else the last price,
    /// else the standing bid.
    pub(super) fn price_of_a_fraction(&self) -> Option<Price> {
        let close = self.closed.map(|(_, price)| price);
        let last = || self.last.as_ref().map(|last| last.price);
        let bid = || self.quote.as_ref().map(|quote| quote.bid);
        close.or_else(last).or_else(bid)
    }
}
