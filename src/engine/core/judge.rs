//! Whether a line counts: what is older than its kind's last line, or the same, is not worked at all; a quote that
//! cannot fill moves the clock and nothing else.

use aggregates::id::InstrumentId;
use aggregates::instrument::InstrumentKind;
use aggregates::market::MarketTime;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Core;
use super::holders::known_since;
use super::rounds::{Round, Stage};
use super::sessions::{session_after, session_on};
use super::state::{Issue, Stream, Terms};
use crate::market::calendar::new_york_date;
use crate::market::tick::{Bar, Clock, RateKind, Tick, TradingState};

/// Why a line fills nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The bid is above the ask.
    Crossed,
    /// The bid or the ask is missing, or nothing is shown at it.
    OneSided,
    /// A price or a size is zero or less.
    NonPositive,
    /// Older than the market clock allows.
    Stale,
    /// The same line again, or one that says what is known.
    Duplicate,
    /// Older than the last line of its kind.
    OutOfOrder,
    /// At a time that the exchange's calendar does not know, or of an option that expires at one.
    OutsideCalendar,
    /// A dividend whose ex date is so long ago that nobody knows any more who held it then.
    TooLate,
    /// A split of what is held, or on what options are held, and has no price, so that a fraction or a contract could not be paid:
    /// to be sent after a quote.
    Unpriced,
    /// An instrument that is listed already as another kind, or with other terms.
    Contradictory,
    /// Of an option that has expired on a day that is over, and that nobody is in any more.
    Expired,
    /// An option that is held or asked for as another contract: on something else, or of another style or settlement.
    ContradictsHeld,
}

impl Reason {
    /// The machine word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Crossed => "crossed",
            Self::OneSided => "one_sided",
            Self::NonPositive => "non_positive",
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::OutsideCalendar => "outside_calendar",
            Self::TooLate => "too_late",
            Self::Unpriced => "unpriced",
            Self::Contradictory => "contradictory",
            Self::Expired => "expired",
            Self::ContradictsHeld => "contradicts_held",
        }
    }
}

impl Core {
    /// The round of a line, and why it fills nothing if so; or why it is not worked at all.
    pub(super) fn judge(
        &self,
        source: &str,
        tick: &Tick,
    ) -> Result<(Round, Option<Reason>), Reason> {
        if let Some(reason) = self.lists_no_option(tick) {
            return Err(reason);
        }
        let (began, _) = self.extent(tick);
        let late = match self.in_order(tick) {
            Err(Reason::OutOfOrder) if self.is_waited_for(tick) => true,
            judged => judged.map(|()| false)?,
        };
        let new_session = self.state.session.is_none_or(|session| began > session.close);
        if new_session && tick.at().is_some() {
            let known = self.settings.calendar.session_on(new_york_date(began));
            known.map_err(|_| Reason::OutsideCalendar)?;
        }
        let ignored = self.unfit(tick);
        Ok((Round { late, ..self.round(source, tick, ignored) }, ignored))
    }

    /// The round of a line that is the next of the tape, which moves the clock alone if it is `ignored`.
    pub(super) fn round(&self, source: &str, tick: &Tick, ignored: Option<Reason>) -> Round {
        let clock = self.clock();
        let (began, ends) = self.extent(tick);
        let round = Round {
            place: self.state.place + 1,
            source: source.to_owned(),
            tick: tick.clone(),
            stage: if tick.at().is_some() { Stage::Barrier } else { Stage::Listing },
            began: clock.map_or(began, |clock| clock.max(began)),
            ends: ends.filter(|_| ignored.is_none()),
            void: ignored.is_some(),
            late: false,
            open: false,
            extended: false,
            first: false,
            first_extended: false,
            sprung: Vec::new(),
        };
        if matches!(tick, Tick::Bar(_)) { Round { began, ..round } } else { round }
    }

    /// The instant that a line moves the clock to, and the end of a bar.
    fn extent(&self, tick: &Tick) -> (MarketTime, Option<MarketTime>) {
        match tick {
            Tick::Bar(bar) => self.span(bar),
            // An instrument has no time, and may come before the first line that has one.
            _ => (tick.at().or(self.clock()).unwrap_or_default(), None),
        }
    }

    /// The start and the end of a bar: a daily one is its New York session, another ends by its close.
    fn span(&self, bar: &Bar) -> (MarketTime, Option<MarketTime>) {
        let calendar = self.settings.calendar;
        let Some(length) = bar.span.length() else {
            return match session_on(calendar, new_york_date(bar.at)) {
                Some(session) => (session.open, Some(session.close)),
                None => (bar.at, Some(bar.at)),
            };
        };
        let end = bar.at.checked_add_signed(length).unwrap_or(bar.at);
        let close = session_after(calendar, bar.at).filter(|session| session.is_open(bar.at));
        (bar.at, Some(close.map_or(end, |session| session.close.min(end))))
    }

    /// Whether the line comes after the last line of its kind, and is another one.
    fn in_order(&self, tick: &Tick) -> Result<(), Reason> {
        match tick {
            Tick::Status(status) => {
                let halts = status.state == TradingState::Halted;
                let halted = if status.is_of_market() {
                    self.state.market_halt.is_some()
                } else {
                    self.issue(&status.symbol).is_some_and(|(_, issue)| issue.halted)
                };
                if halted == halts {
                    return Err(Reason::Duplicate);
                }
            }
            Tick::Split(split) => {
                let issue = self.issue(&split.symbol);
                let known = issue.is_some_and(|(_, issue)| issue.splits.contains_key(&split.id));
                let price = issue.and_then(|(_, issue)| issue.price_of_a_fraction());
                // Options may be held on what no line has named yet.
                let instrument_id = InstrumentId::of_symbol(&split.symbol);
                let holders = self.state.holders.get(&instrument_id);
                let is_held = holders.is_some_and(|held| !held.is_empty())
                    || self.state.held_on.contains_key(&instrument_id);
                return match (known, is_held && price.is_none()) {
                    (true, _) => Err(Reason::Duplicate),
                    (_, true) => Err(Reason::Unpriced),
                    _ => Ok(()),
                };
            }
            Tick::Dividend(dividend) => {
                let issue = self.issue(&dividend.symbol);
                let known =
                    issue.is_some_and(|(_, issue)| issue.dividends.contains_key(&dividend.id));
                let since = self.clock().map(|clock| known_since(new_york_date(clock)));
                return match (known, since) {
                    (true, _) => Err(Reason::Duplicate),
                    (_, Some(since)) if dividend.ex < since => Err(Reason::TooLate),
                    _ => Ok(()),
                };
            }
            Tick::Instrument(listing) => {
                return self.lists(&listing.symbol, listing.kind, Terms::of(listing).as_ref());
            }
            Tick::Chain(chain) => {
                let terms = Terms::of_chain(chain);
                let mut judged = Err(Reason::Duplicate);
                for symbol in chain.contracts.iter().filter(|symbol| !self.has_left(symbol)) {
                    match self.lists(symbol, InstrumentKind::Option, Some(&terms)) {
                        Ok(()) => judged = Ok(()),
                        Err(Reason::Duplicate) => {}
                        Err(reason) => return Err(reason),
                    }
                }
                return judged;
            }
            Tick::Clock(Clock { at }) => {
                // The market may be there by lines that passed: on the tape it says where a restart begins.
                return match self.clock() {
                    Some(clock) if *at < clock => Err(Reason::OutOfOrder),
                    Some(_) if self.state.clock == Some(*at) => Err(Reason::Duplicate),
                    _ => Ok(()),
                };
            }
            _ => {}
        }
        let (Some(stream), Some(at)) = (Stream::of(tick), tick.at()) else {
            return Ok(());
        };
        let symbol = tick.symbol().unwrap_or_default();
        let issue = self.issue(symbol).map(|(_, issue)| issue);
        if issue.is_some_and(|issue| self.is_before_split(issue, tick)) {
            return Err(Reason::OutOfOrder);
        }
        let marks = if stream.is_note() {
            self.state.notes.get(symbol)
        } else {
            issue.map(|issue| &issue.marks)
        };
        let worked = marks.and_then(|marks| marks.get(&stream));
        // The first line of a symbol is in order.
        for mark in worked.into_iter().chain(self.passing_mark(stream, symbol)) {
            if at < mark.at {
                return Err(Reason::OutOfOrder);
            }
            if at == mark.at && mark.lines.contains(&fingerprint(tick)) {
                return Err(Reason::Duplicate);
            }
        }
        Ok(())
    }

    /// Whether a line tells figures of the time before a split of its symbol, or of what that is on, which is worked already.
    fn is_before_split(&self, issue: &Issue, tick: &Tick) -> bool {
        let on = issue.on.and_then(|on| self.state.issues.get(&on));
        let Some(split_at) = issue.split_at.max(on.and_then(|on| on.split_at)) else {
            return false;
        };
        match tick {
            Tick::Bar(bar) => self.span(bar).1.is_some_and(|end| end <= split_at),
            _ => tick.at().is_some_and(|at| at < split_at),
        }
    }

    /// Whether a line that says of a symbol what it is says anything new.
    fn lists(
        &self,
        symbol: &str,
        kind: InstrumentKind,
        terms: Option<&Terms>,
    ) -> Result<(), Reason> {
        let Some((instrument_id, issue)) = self.issue(symbol) else { return Ok(()) };
        let told = terms.and_then(|terms| terms.contract(symbol));
        let open = self.state.open_as(instrument_id);
        match issue.terms.as_ref() {
            _ if issue.kind != kind => Err(Reason::Contradictory),
            _ if open.is_some() && open != told.as_ref() => Err(Reason::ContradictsHeld),
            // An option that its quotes have listed: now it is said what it is.
            None if terms.is_some() => Ok(()),
            known if known == terms => Err(Reason::Duplicate),
            _ => Err(Reason::Contradictory),
        }
    }

    /// Why a line that is in order fills nothing.
    fn unfit(&self, tick: &Tick) -> Option<Reason> {
        let stale = |at: MarketTime, age: TimeDelta| {
            self.clock().is_some_and(|clock| clock.signed_duration_since(at) > age)
        };
        match tick {
            Tick::Quote(quote) => {
                let prices = [quote.bid, quote.ask];
                let sizes = [quote.bid_size, quote.ask_size];
                if prices.iter().any(|price| price.is_negative())
                    || sizes.iter().any(|size| size.is_negative())
                {
                    Some(Reason::NonPositive)
                } else if prices.iter().any(|price| price.is_zero())
                    || sizes.iter().any(|size| size.is_zero())
                {
                    Some(Reason::OneSided)
                } else if quote.bid > quote.ask {
                    Some(Reason::Crossed)
                } else {
                    let age = self.settings.max_quote_age?;
                    stale(quote.at, age).then_some(Reason::Stale)
                }
            }
            _ => None,
        }
    }
}

impl Stream {
    /// The kind of a line whose order counts.
    pub(super) fn of(tick: &Tick) -> Option<Self> {
        match tick {
            Tick::Quote(_) => Some(Self::Quote),
            Tick::Trade(_) => Some(Self::Trade),
            Tick::Bar(_) => Some(Self::Bar),
            Tick::Status(status) if status.is_of_market() => Some(Self::MarketStatus),
            Tick::Status(_) => Some(Self::Status),
            Tick::Luld(_) => Some(Self::Luld),
            Tick::Auction(_) => Some(Self::Auction),
            Tick::Depth(_) => Some(Self::Depth),
            Tick::OpenInterest(_) => Some(Self::OpenInterest),
            Tick::Rate(rate) => Some(match rate.kind {
                RateKind::RiskFree => Self::RiskFree,
                RateKind::DividendYield => Self::DividendYield,
            }),
            Tick::Clock(_)
            | Tick::Split(_)
            | Tick::Dividend(_)
            | Tick::Instrument(_)
            | Tick::Chain(_) => None,
        }
    }

    /// Lines of this kind list no symbol, so there may be no instrument to remember them by.
    pub(super) fn is_note(self) -> bool {
        !matches!(self, Self::Quote | Self::Trade | Self::Bar | Self::Status)
    }
}

/// 64 bits of the line's SHA-256: tells a line that is sent again from another one of the same instant.
pub(super) fn fingerprint(tick: &Tick) -> u64 {
    let digest = Sha256::digest(tick.to_line().as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(bytes)
}
