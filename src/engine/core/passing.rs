//! Lines that pass unrecorded: with `record` set to `working`, prices of a symbol that nobody works or holds, and its
//! depth and open interest.
//!
//! What they say is shown and is not yet part of the state, which stays a fold of log and tape. Before anything is
//! decided that stands on it (an order of the symbol, a line about the symbol that is recorded, its official close), it is
//! written: the standing lines of the symbol go on the tape as [`Written`], each with how it [`Stood`], and the clock
//! with them. So what is decided is the same as if everything had been recorded. Why so: `docs/adr/recording.md`.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::InstrumentId;
use aggregates::instrument::Split;
use aggregates::market::{MarketTime, TapePlace};
use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use super::adjusting::changes_contracts;
use super::book::Working;
use super::judge::Reason;
use super::rounds::Round;
use super::state::{EngineState, Interest, Issue, Mark, Standing, Stream, WorkedOn};
use super::{Core, Settings};
use crate::market::calendar::new_york_date;
use crate::market::tick::{Clock, Quote, Span, Tick};

/// The tape's clock is behind the market's by less than this: so far a restart may set the market back that nobody
/// works or holds anything in.
const CLOCK_LAG: TimeDelta = TimeDelta::minutes(1);

/// Which lines are on the tape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Every line that is worked.
    #[default]
    All,
    /// All but prices, depth and open interest of symbols without open orders and without holders; of their trades the
    /// first is kept.
    Working,
}

impl Record {
    /// What a tape without a word about it has.
    pub(super) fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// How a line stands that is written later than it came: it moves no clock, lists nothing, fills nothing, and leaves
/// orders that have arrived to be evaluated against it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stood {
    /// A price that may fill or trigger an order on arrival.
    #[serde(default)]
    pub eligible: bool,
    /// A price that may fill orders of extended hours on arrival.
    #[serde(default)]
    pub extended: bool,
    /// The session of the symbol's last tick that could fill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worked: Option<NaiveDate>,
    /// The same, in regular or extended hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worked_extended: Option<NaiveDate>,
    /// How far lines of its kind have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

impl Stood {
    /// One that fills nothing, of a symbol whose last tick that could fill came in these sessions.
    fn worked(on: WorkedOn) -> Self {
        Self { worked: on.regular, worked_extended: on.extended, ..Self::default() }
    }
}

/// A line that goes on the tape before the one that was handed in.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Its place.
    pub place: TapePlace,
    /// Where it came from.
    pub source: String,
    /// The settings, where the tape does not have them yet.
    pub by: Option<Settings>,
    /// How it stands, if it came earlier; none for a `clock` line, which is worked now.
    pub stood: Option<Stood>,
    /// The line.
    pub tick: Tick,
}

/// What is known beyond the tape.
#[derive(Clone, Debug, Default)]
pub(super) struct Passing {
    clock: Option<(MarketTime, String)>,
    ending: Option<MarketTime>,
    issues: BTreeMap<InstrumentId, Unwritten>,
    /// How far depth and open interest have come.
    notes: BTreeMap<String, BTreeMap<Stream, Mark>>,
    /// Open interest.
    interest: BTreeMap<String, Interest>,
    /// Instruments of which an order is awaited.
    awaited: BTreeSet<InstrumentId>,
}

/// An instrument as the lines left it that are not on the tape.
#[derive(Clone, Debug)]
struct Unwritten {
    issue: Issue,
    /// The latest trade and the latest bar that count, in the order in which they came.
    prices: Vec<(String, Tick)>,
}

/// No line of the tape has this place.
const NO_PLACE: TapePlace = 0;

impl Core {
    /// The market clock: that of the lines which passed too.
    pub fn clock(&self) -> Option<MarketTime> {
        self.state.clock.max(self.passing.clock.as_ref().map(|(at, _)| *at))
    }

    /// What is known of an instrument, from the lines which passed too.
    pub(super) fn seen(&self, instrument_id: InstrumentId) -> Option<&Issue> {
        let unwritten = self.passing.issues.get(&instrument_id).map(|unwritten| &unwritten.issue);
        unwritten.or_else(|| self.state.issues.get(&instrument_id))
    }

    /// The end of bars which passed.
    pub(super) fn passing_end(&self) -> Option<MarketTime> {
        self.passing.ending
    }

    /// How far depth or open interest of a symbol has come by the lines which passed.
    pub(super) fn passing_mark(&self, stream: Stream, symbol: &str) -> Option<&Mark> {
        self.passing.notes.get(symbol)?.get(&stream)
    }

    /// The latest open interest of a contract, from the lines which passed too.
    pub(super) fn interest(&self, symbol: &str) -> Option<&Interest> {
        let known = [&self.passing.interest, &self.state.interest].map(|known| known.get(symbol));
        known.into_iter().flatten().max_by_key(|interest| interest.at)
    }

    /// Whether the lines of an instrument are recorded.
    pub(super) fn is_recorded(&self, instrument_id: InstrumentId) -> bool {
        self.settings.record.is_all() || self.is_worked(instrument_id)
    }

    /// Whether it, or an option on it, is held, has open orders or is awaited; a leg of an order is one.
    fn is_worked(&self, instrument_id: InstrumentId) -> bool {
        let Some(issue) = self.state.issues.get(&instrument_id) else { return true };
        let state = &self.state;
        let on = |option: &InstrumentId| state.issues.get(option).and_then(|issue| issue.on);
        state.is_held(instrument_id)
            || issue.gate.is_some()
            || state.orders.has(instrument_id)
            || state.held_on.contains_key(&instrument_id)
            || self
                .passing
                .awaited
                .iter()
                .any(|awaited| *awaited == instrument_id || on(awaited) == Some(instrument_id))
    }

    /// Whether a line that is in order may pass unrecorded. One that fills nothing is recorded, but for a stale one: what
    /// is older than that is stale too, so nothing depends on its having come.
    pub(super) fn may_pass(&self, round: &Round, ignored: Option<Reason>) -> bool {
        if self.settings.record.is_all() {
            return false;
        }
        let known = round.tick.symbol().and_then(|symbol| self.state.symbols.get(symbol));
        let kind = match &round.tick {
            Tick::Quote(_) | Tick::Depth(_) | Tick::OpenInterest(_) => true,
            // Whether a symbol has trades decides what triggers its stops: the first one is kept.
            Tick::Trade(_) => {
                let issue = known.and_then(|id| self.state.issues.get(id));
                issue.is_some_and(|issue| issue.kinds.trades)
            }
            // A daily bar is a day's only line, and makes its official close.
            Tick::Bar(bar) => bar.span != Span::Day,
            _ => false,
        };
        let fit = ignored.is_none_or(|reason| reason == Reason::Stale);
        kind && fit && known.is_some_and(|id| !self.is_recorded(*id))
    }

    /// The instant of a `clock` line that has to be worked before the line of this round.
    pub(super) fn clock_before(&self, round: &Round, passes: bool) -> Option<MarketTime> {
        if passes {
            let at = self.clock().map_or(round.began, |clock| clock.max(round.began));
            return self.is_due(at).then_some(at);
        }
        let behind = self.clock().filter(|clock| self.state.clock.is_none_or(|c| c < *clock))?;
        round.tick.at().is_none_or(|at| at < behind).then_some(behind)
    }

    /// Whether the clock, come to `at`, has to be on the tape: something happens by it, a session or a day begins or
    /// ends, or the tape's clock is too far behind.
    fn is_due(&self, at: MarketTime) -> bool {
        let Some(clock) = self.state.clock else { return true };
        at > clock
            && (at.signed_duration_since(clock) >= CLOCK_LAG
                || new_york_date(at) != new_york_date(clock)
                || self.is_open(at) != self.is_open(clock)
                || self.is_extended(at) != self.is_extended(clock)
                || self.state.session.is_none_or(|session| at > session.close)
                || !self.due(at).is_empty())
    }

    /// Takes in a line that passes. Gives the line that the tape has to have first: that the standing quote on it is
    /// not the latest any more.
    pub(super) fn pass(&mut self, mut round: Round) -> Option<Written> {
        let at = self.clock().map_or(round.began, |clock| clock.max(round.began));
        self.passing.clock = Some((at, round.source.clone()));
        self.passing.ending = self.passing.ending.max(round.ends);
        round.place = NO_PLACE;
        (round.open, round.extended) = self.hours_for(&round, at);
        let dates = self.dates_of(&round, at);
        let (stream, symbol) = (Stream::of(&round.tick)?, round.tick.symbol()?);
        if stream.is_note() {
            let known = self.state.notes.get(symbol).and_then(|marks| marks.get(&stream));
            let mark = self.passing.notes.entry(symbol.to_owned()).or_default().entry(stream);
            let mark = mark.or_insert_with(|| known.cloned().unwrap_or_else(|| Mark::new(at)));
            mark.add(&round.tick);
            if let Tick::OpenInterest(told) = &round.tick {
                let interest = Interest::of(told, round.source.clone());
                self.passing.interest.insert(symbol.to_owned(), interest);
            }
            return None;
        }
        let instrument_id = *self.state.symbols.get(symbol)?;
        let issue = self.state.issues.get(&instrument_id)?;
        let unwritten = self.passing.issues.entry(instrument_id);
        let unwritten =
            unwritten.or_insert_with(|| Unwritten { issue: issue.clone(), prices: Vec::new() });
        unwritten.take_in(&mut round, stream, dates);
        if round.void {
            return None;
        }
        let (source, tick) = if stream == Stream::Quote {
            let outdated = issue.quote.as_ref().filter(|quote| quote.extended)?;
            outdated.line(&issue.symbol)
        } else {
            let outdated = issue
                .print
                .as_ref()
                .filter(|print| print.eligible && Stream::of(&print.tick) == Some(stream))?;
            (outdated.source.clone(), outdated.tick.clone())
        };
        let mark = issue.marks.get(&stream).cloned();
        let stood = Stood { mark, ..Stood::worked(issue.worked) };
        Some(self.write(source, tick, stood))
    }

    /// Writes the standing lines of every instrument whose trade makes its official close, if the clock comes to
    /// `at` beyond the session's close.
    pub(super) fn stand_before_close(&mut self, at: MarketTime) -> Vec<Written> {
        let Some(session) = self.state.session.filter(|session| at >= session.close) else {
            return Vec::new();
        };
        let counts = |unwritten: &Unwritten| {
            let trade = unwritten.issue.trade.as_ref();
            trade.is_some_and(|trade| session.counts_for_close(trade.at))
        };
        let closing = self.passing.issues.iter().filter(|(_, unwritten)| counts(unwritten));
        let closing: Vec<InstrumentId> = closing.map(|(id, _)| *id).collect();
        closing.into_iter().flat_map(|instrument_id| self.stand_of(instrument_id)).collect()
    }

    /// Writes the standing lines of every symbol: something happens to all of them next.
    pub(super) fn stand_all(&mut self) -> Vec<Written> {
        let unwritten: Vec<InstrumentId> = self.passing.issues.keys().copied().collect();
        unwritten.into_iter().flat_map(|instrument_id| self.stand_of(instrument_id)).collect()
    }

    /// Writes the standing lines of a symbol: something is decided by them next.
    pub(super) fn stand_by(&mut self, symbol: Option<&str>) -> Vec<Written> {
        if self.passing.issues.is_empty() {
            return Vec::new();
        }
        let known = symbol.and_then(|symbol| self.state.symbols.get(symbol)).copied();
        known.map(|instrument_id| self.stand_of(instrument_id)).unwrap_or_default()
    }

    fn stand_of(&mut self, instrument_id: InstrumentId) -> Vec<Written> {
        let Some(unwritten) = self.passing.issues.remove(&instrument_id) else {
            return Vec::new();
        };
        let Unwritten { issue, prices } = unwritten;
        let quote = issue.quote.as_ref().filter(|quote| quote.place == NO_PLACE);
        let may_fill = quote.map_or((false, false), |quote| (quote.eligible, quote.extended));
        let quote = quote.map(|quote| quote.line(&issue.symbol));
        let standing = |tick: &Tick| {
            issue.print.as_ref().is_some_and(|print| print.eligible && print.tick == *tick)
        };
        let lines = prices.into_iter().map(|line| {
            let eligible = standing(&line.1);
            (line, (eligible, false))
        });
        let lines: Vec<_> = lines.chain(quote.map(|line| (line, may_fill))).collect();
        let stood = |tick: &Tick, (eligible, extended)| {
            let mark = Stream::of(tick).and_then(|stream| issue.marks.get(&stream)).cloned();
            Stood { eligible, extended, mark, ..Stood::worked(issue.worked) }
        };
        let written = lines.into_iter().map(|((source, tick), may_fill)| {
            let stood = stood(&tick, may_fill);
            self.write(source, tick, stood)
        });
        written.collect()
    }

    /// What orders that have arrived are evaluated by, as far as it is not on the tape: their standing lines, and
    /// the clock. To be written in one statement with what [`Core::arrivals`] then proposes.
    pub fn before_arrivals(&mut self) -> Vec<Written> {
        if self.state.arrivals.is_empty() {
            return Vec::new();
        }
        let arriving = self.state.arrivals.iter().filter_map(|id| self.state.orders.get(id));
        let arriving: BTreeSet<_> = arriving.flat_map(Working::concerns).collect();
        let mut written = Vec::new();
        for instrument_id in arriving {
            written.extend(self.stand_of(instrument_id));
        }
        written.extend(self.stand_clock());
        written
    }

    /// An order of this symbol is on its way: writes the standing lines of it and of what it is on, and the clock, and has its lines
    /// recorded from now on, until [`Core::await_no_more`].
    pub fn await_order(&mut self, symbol: &str) -> Vec<Written> {
        let known = self.state.symbols.get(symbol).copied();
        let Some(instrument_id) = known.filter(|_| !self.settings.record.is_all()) else {
            return Vec::new();
        };
        self.passing.awaited.insert(instrument_id);
        let mut written = self.stand_of(instrument_id);
        if let Some(on) = self.state.issues.get(&instrument_id).and_then(|issue| issue.on) {
            written.extend(self.stand_of(on));
        }
        written.extend(self.stand_clock());
        written
    }

    /// The order has come, or does not come any more.
    pub fn await_no_more(&mut self, symbol: &str) {
        if let Some(instrument_id) = self.state.symbols.get(symbol) {
            self.passing.awaited.remove(instrument_id);
        }
    }

    /// The clock of the lines which passed, as a line of the tape.
    fn stand_clock(&mut self) -> Option<Written> {
        let state = self.state.clock;
        let (at, source) =
            self.passing.clock.take().filter(|(at, _)| state.is_none_or(|c| c < *at))?;
        Some(self.write(source, Tick::Clock(Clock { at }), Stood::default()))
    }

    fn write(&mut self, source: String, tick: Tick, stood: Stood) -> Written {
        let by = self.by_beside();
        let place = self.stand(&source, &tick, &stood);
        Written { place, source, by, stood: Some(stood), tick }
    }

    /// Takes in a line that is written later than it came; also one of the tape, as part of a recovery. Gives its
    /// place.
    pub fn stand(&mut self, source: &str, tick: &Tick, stood: &Stood) -> TapePlace {
        if self.state.round.is_some() {
            self.settle();
        }
        let mut round = self.round(source, tick, None);
        self.state.place = round.place;
        if let Tick::Clock(Clock { at }) = tick {
            self.state.clock = self.state.clock.max(Some(*at));
        } else if let Some(issue) = self.state.issue_mut(tick.symbol()) {
            issue.take_in(&mut round, WorkedOn::default());
            issue.worked = WorkedOn { regular: stood.worked, extended: stood.worked_extended };
            if let Some((stream, mark)) = Stream::of(tick).zip(stood.mark.clone()) {
                issue.marks.insert(stream, mark);
            }
            let quote = issue.quote.as_mut().filter(|quote| quote.place == round.place);
            if let Some(quote) = quote {
                (quote.eligible, quote.extended) =
                    (stood.eligible, stood.extended || stood.eligible);
                issue.met = issue.met.max(Some(quote.at).filter(|_| stood.eligible));
            } else if let Tick::Trade(trade) = tick {
                issue.met = issue.met.max(Some(trade.at).filter(|_| !issue.kinds.quotes));
            }
            let print = issue.print.as_mut().filter(|print| print.place == round.place);
            if let Some(print) = print {
                print.eligible = stood.eligible;
            }
        }
        round.place
    }
}

impl Passing {
    /// Nothing is left of an option.
    pub(super) fn forget(&mut self, instrument_id: InstrumentId, symbol: &str) {
        self.issues.remove(&instrument_id);
        self.notes.remove(symbol);
        self.interest.remove(symbol);
    }

    /// What these options are on has stopped trading or goes on.
    pub(super) fn hold_up(&mut self, underlying_id: InstrumentId, stopped: bool) {
        let issues = self.issues.values_mut().map(|unwritten| &mut unwritten.issue);
        for issue in issues.filter(|issue| issue.on == Some(underlying_id)) {
            issue.held_up = stopped;
            issue.interrupt();
        }
    }

    /// What was seen of the options on what is split is void: it is of other contracts.
    pub(super) fn void_contracts(&mut self, underlying_id: InstrumentId, split: &Split) {
        if !changes_contracts(split) {
            return;
        }
        for Unwritten { issue, prices } in self.issues.values_mut() {
            if issue.on == Some(underlying_id) {
                issue.void();
                prices.clear();
                self.interest.remove(&issue.symbol);
            }
        }
    }
}

impl Unwritten {
    fn take_in(&mut self, round: &mut Round, stream: Stream, dates: WorkedOn) {
        let mark = self.issue.marks.entry(stream);
        mark.or_insert_with(|| Mark::new(round.tick.at().unwrap_or_default())).add(&round.tick);
        if round.void {
            return;
        }
        let before = self.issue.last.clone();
        self.issue.take_in(round, dates);
        let kept = self.prices.iter().position(|(_, tick)| Stream::of(tick) == Some(stream));
        // A bar that ends before the last price says nothing that one before it did not.
        let says = stream == Stream::Trade || before != self.issue.last || kept.is_none();
        if stream != Stream::Quote && says {
            if let Some(kept) = kept {
                self.prices.remove(kept);
            }
            self.prices.push((round.source.clone(), round.tick.clone()));
        }
    }
}

impl Standing {
    /// The line that it came from.
    fn line(&self, symbol: &str) -> (String, Tick) {
        let Self { bid, bid_size, ask, ask_size, at, .. } = *self;
        let symbol = symbol.to_owned();
        (self.source.clone(), Tick::Quote(Quote { symbol, bid, bid_size, ask, ask_size, at }))
    }
}

impl EngineState {
    pub(super) fn issue_mut(&mut self, symbol: Option<&str>) -> Option<&mut Issue> {
        let instrument_id = self.symbols.get(symbol?)?;
        self.issues.get_mut(instrument_id)
    }
}
