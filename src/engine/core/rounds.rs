//! Working one line, in rounds: what the clock causes first, as a barrier, then the tick itself.
//!
//! A round proposes commands on the supposition that each is accepted. The ledger may refuse one (a buy that cannot
//! be paid is canceled, and the size is free again), so after its commands have committed and were observed the
//! stage is looked at again; it is over when it proposes nothing that was not tried. All of it follows from the
//! state, so a restart in the middle goes on where the log stands: what was done is not proposed again.

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::instrument::{Contract, InstrumentCommand, InstrumentKind};
use aggregates::market::{MarketTime, TapePlace};
use aggregates::money::Quantity;
use aggregates::trading::Command;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Core;
use super::matching;
use super::sessions::{is_extended, session_after};
use super::state::{
    Bands, EngineState, Interest, Issue, Last, Mark, Print, Quoted, Standing, Stream, Terms,
    ToldRate, WorkedOn,
};
use crate::market::calendar::new_york_date;
use crate::market::reading::parse_line;
use crate::market::tick::{Luld, OpenInterest, Quote, Rate, RateKind, Span, Tick};

/// The line being worked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its place on the tape.
    pub place: TapePlace,
    /// Where it came from.
    pub source: String,
    /// The line itself.
    #[serde(with = "canonical")]
    pub tick: Tick,
    /// How far it has come.
    pub stage: Stage,
    /// The instant that it moves the clock to: of a bar, its start.
    pub began: MarketTime,
    /// The end of a bar.
    pub ends: Option<MarketTime>,
    /// It moves the clock and does nothing else: a quote that is crossed, say.
    pub void: bool,
    /// It is the daily bar of a session before, and is there for contracts that wait for its close alone.
    pub late: bool,
    /// The market is open at its time.
    pub open: bool,
    /// It is in regular or extended hours.
    pub extended: bool,
    /// It is the first tick of its instrument since the session opened, or since a halt.
    pub first: bool,
    /// The same for orders of extended hours, whose session begins with the pre-market.
    pub first_extended: bool,
    /// The orders that it has triggered, in their order.
    pub sprung: Vec<OrderId>,
}

/// The stages of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// What is due up to its time: expiries, official closes, splits under way, dividends.
    Barrier,
    /// Symbols that are not known are listed.
    Listing,
    /// The tick is taken in: accounts are stopped that have reached a limit on losses by it.
    Limits,
    /// The tick, at each point of its path.
    Work(usize),
}

/// What tells one proposal of a round from another: the same one is not made twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proposal {
    Fill(OrderId, u32, u32, Quantity),
    Trigger(OrderId, u32),
    Cancel(OrderId),
    Expire(OrderId),
    FollowSplit(AccountId, InstrumentId, Vec<OrderId>),
    AccrueDividend(AccountId, InstrumentId, String),
    PayDividend(AccountId, InstrumentId, String),
    SettleExpired(AccountId, InstrumentId, NaiveDate),
    BeginDay(AccountId),
    StopLosses(AccountId),
    Instrument(InstrumentId, &'static str, String),
    Other,
}

impl Proposal {
    fn of(command: &Command) -> Self {
        match command {
            Command::Fill { order_id, execution, .. } => {
                Self::Fill(*order_id, execution.revision, execution.after_fills, execution.qty)
            }
            Command::Trigger { order_id, trigger, .. } => {
                Self::Trigger(*order_id, trigger.revision)
            }
            Command::Cancel { order_id, .. } | Command::GiveUp { order_id, .. } => {
                Self::Cancel(*order_id)
            }
            Command::Expire { order_id, .. } => Self::Expire(*order_id),
            Command::FollowSplit { account_id, instrument_id, orders, .. } => {
                Self::FollowSplit(*account_id, *instrument_id, orders.clone())
            }
            Command::AccrueDividend { account_id, instrument_id, action_id, .. } => {
                Self::AccrueDividend(*account_id, *instrument_id, action_id.clone())
            }
            Command::PayDividend { account_id, instrument_id, action_id, .. } => {
                Self::PayDividend(*account_id, *instrument_id, action_id.clone())
            }
            Command::SettleExpired { account_id, underlying_id, session, .. } => {
                Self::SettleExpired(*account_id, *underlying_id, *session)
            }
            Command::BeginDay { account_id, .. } => Self::BeginDay(*account_id),
            Command::StopLosses { account_id, .. } => Self::StopLosses(*account_id),
            Command::Instrument { instrument_id, command } => {
                let (what, which) = match command {
                    InstrumentCommand::List { .. } => ("list", String::new()),
                    InstrumentCommand::Halt { .. } => ("halt", String::new()),
                    InstrumentCommand::Resume { .. } => ("resume", String::new()),
                    InstrumentCommand::BeginSplit { action_id, .. } => ("begin", action_id.clone()),
                    InstrumentCommand::CompleteSplit { action_id, .. } => {
                        ("complete split", action_id.clone())
                    }
                    InstrumentCommand::DeclareDividend { action_id, .. } => {
                        ("declare", action_id.clone())
                    }
                    InstrumentCommand::CompleteAccrual { action_id, .. } => {
                        ("complete accrual", action_id.clone())
                    }
                    InstrumentCommand::CompleteDividend { action_id, .. } => {
                        ("complete dividend", action_id.clone())
                    }
                    InstrumentCommand::Expire { .. } => ("expire", String::new()),
                    InstrumentCommand::CompleteExpiry { .. } => ("complete expiry", String::new()),
                    InstrumentCommand::Close { session, .. } => ("close", session.to_string()),
                };
                Self::Instrument(*instrument_id, what, which)
            }
            Command::Account { .. }
            | Command::Withdraw { .. }
            | Command::User { .. }
            | Command::Writer { .. }
            | Command::Place { .. }
            | Command::Close { .. }
            | Command::Replace { .. }
            | Command::CancelAll { .. }
            | Command::Exercise { .. }
            | Command::Assign { .. }
            | Command::InstructExercise { .. }
            | Command::Reset { .. } => Self::Other,
        }
    }
}

impl Core {
    /// Whether this proposal was made before in the line being worked, and came to nothing.
    pub(super) fn is_tried(&self, proposal: &Proposal) -> bool {
        !self.tried.is_empty() && self.tried.contains(proposal)
    }

    pub(super) fn is_tried_command(&self, command: &Command) -> bool {
        !self.tried.is_empty() && self.tried.contains(&Proposal::of(command))
    }

    pub(super) fn try_all(&mut self, commands: &[Command]) {
        self.tried.extend(commands.iter().map(Proposal::of));
    }

    /// The next proposals of the line being worked; empty once all that it causes is done. Call it when the
    /// commands of the round before have committed, or were refused, and their events were observed.
    pub fn again(&mut self) -> Vec<Command> {
        while let Some(round) = &self.state.round {
            let commands = self.proposals(round);
            if !commands.is_empty() {
                self.try_all(&commands);
                return commands;
            }
            self.pass_stage();
        }
        Vec::new()
    }

    /// Ends the line being worked as the log left it: a later line shows that all of it was done.
    pub(super) fn settle(&mut self) {
        while self.state.round.is_some() {
            self.pass_stage();
        }
        self.tried.clear();
    }

    fn proposals(&self, round: &Round) -> Vec<Command> {
        let mut commands = match round.stage {
            Stage::Barrier => self.due(round.began),
            Stage::Listing => self.listings(round),
            Stage::Limits => self.stops(round),
            Stage::Work(point) => match &round.tick {
                Tick::Quote(_) | Tick::Trade(_) | Tick::Bar(_) => {
                    let opening = self.opening(round, point);
                    // What the tick triggers it may fill.
                    let first =
                        if opening.is_empty() { self.triggers(round, point) } else { opening };
                    if first.is_empty() { self.matches(round, point) } else { first }
                }
                Tick::Auction(auction) => self.auction(round, auction),
                _ => self.happenings(round),
            },
        };
        commands.truncate(matching::ROUND_CAP);
        commands
    }

    /// What a stage leaves behind, and the stage after it.
    fn pass_stage(&mut self) {
        let Some(mut round) = self.state.round.take() else { return };
        let next = match round.stage {
            Stage::Barrier => {
                self.set_clock(round.began);
                self.keep_last_prices(round.began);
                self.forget_contracts(round.began);
                self.forget_expired(round.began);
                if !round.late {
                    self.mark(&round.tick);
                }
                (!round.void).then_some(Stage::Listing)
            }
            Stage::Listing if round.late => {
                self.take_late(&round);
                None
            }
            Stage::Listing => {
                let now = self.state.clock.unwrap_or(round.began);
                (round.open, round.extended) = self.hours_for(&round, now);
                self.mark(&round.tick);
                // A bar may end beyond the close of contracts which the clock has not come to.
                self.keep_last_prices(round.ends.map_or(now, |ends| ends.max(now)));
                self.take_in(&mut round);
                self.keep_last_prices(now);
                Some(Stage::Limits)
            }
            Stage::Limits => Some(Stage::Work(0)),
            Stage::Work(point)
                if matches!(round.tick, Tick::Bar(_)) && point < matching::LAST_POINT =>
            {
                self.ratchet(&round, point);
                Some(Stage::Work(point + 1))
            }
            Stage::Work(point) => {
                self.ratchet(&round, point);
                self.met(&round);
                self.state.ending = self.state.ending.max(round.ends);
                None
            }
        };
        match next {
            Some(stage) => self.state.round = Some(Round { stage, ..round }),
            None => self.tried.clear(),
        }
    }

    /// Remembers the quote or trade that the orders of its symbol have met.
    fn met(&mut self, round: &Round) {
        let Some(issue) = self.state.issue_mut(round.tick.symbol()) else { return };
        let at = match &round.tick {
            Tick::Quote(quote) => quote.at,
            Tick::Trade(trade) if !issue.kinds.quotes => trade.at,
            _ => return,
        };
        if !issue.trades() {
            return;
        }
        if round.open {
            issue.met = Some(at);
        }
        if matches!(round.tick, Tick::Quote(_)) {
            let Quoted { regular, extended } = &mut issue.quoted;
            for (place, meets) in [(regular, round.open), (extended, round.extended)] {
                *place = if meets { round.place } else { *place };
            }
        }
    }

    /// Remembers that this line was worked; one that lists its symbol, once that is known.
    fn mark(&mut self, tick: &Tick) {
        let (Some(stream), Some(at)) = (Stream::of(tick), tick.at()) else { return };
        let symbol = tick.symbol().unwrap_or_default();
        let state = &mut self.state;
        let marks = if stream.is_note() {
            state.notes.entry(symbol.to_owned()).or_default()
        } else {
            let issue = state.symbols.get(symbol).and_then(|id| state.issues.get_mut(id));
            let Some(issue) = issue else { return };
            &mut issue.marks
        };
        marks.entry(stream).or_insert(Mark::new(at)).add(tick);
    }

    /// Whether the line of a round is in regular hours, and whether in regular or extended ones, when the clock is at
    /// `now`. A bar fills when it began in a session, even when it is told after the session's close.
    pub(super) fn hours_for(&self, round: &Round, now: MarketTime) -> (bool, bool) {
        if !matches!(round.tick, Tick::Bar(_)) {
            return (self.is_open(now), self.is_extended(now));
        }
        let (calendar, began) = (self.settings.calendar, round.began);
        let open = session_after(calendar, began).is_some_and(|session| session.is_open(began));
        (open, open || is_extended(calendar, began))
    }

    /// The dates of the sessions that the line of a round is in, when the clock is at `now`.
    pub(super) fn dates_of(&self, round: &Round, now: MarketTime) -> WorkedOn {
        let session = self.state.session_at(self.settings.calendar, now).filter(|_| round.open);
        let regular = session.map(|session| session.date);
        let extended = || round.extended.then(|| new_york_date(now));
        WorkedOn { regular, extended: regular.or_else(extended) }
    }

    /// The listings that a line makes necessary: of its symbol, or of those of a chain.
    fn listings(&self, round: &Round) -> Vec<Command> {
        match (&round.tick, round.tick.symbol()) {
            (Tick::Chain(chain), _) => {
                let option = InstrumentKind::Option;
                let contracts = chain.contracts.iter();
                let contracts = contracts.filter(|symbol| !self.has_left(symbol));
                contracts.filter_map(|symbol| self.listing(symbol, symbol, option)).collect()
            }
            (tick, Some(symbol)) => {
                let said = Self::said_of(tick, symbol);
                said.and_then(|(name, kind)| self.listing(symbol, name, kind)).into_iter().collect()
            }
            (_, None) => Vec::new(),
        }
    }

    /// The name and the kind of a symbol that a line is about; none of a line that lists nothing.
    fn said_of<'a>(tick: &'a Tick, symbol: &'a str) -> Option<(&'a str, InstrumentKind)> {
        match tick {
            Tick::Instrument(listing) => {
                Some((listing.name.as_deref().unwrap_or(symbol), listing.kind))
            }
            Tick::Quote(_)
            | Tick::Trade(_)
            | Tick::Bar(_)
            | Tick::Status(_)
            | Tick::Split(_)
            | Tick::Dividend(_) => Some((symbol, kind_of(symbol))),
            _ => None,
        }
    }

    /// Lists a symbol that is not known, unless that was tried.
    pub(super) fn listing(
        &self,
        symbol: &str,
        name: &str,
        kind: InstrumentKind,
    ) -> Option<Command> {
        if self.state.symbols.contains_key(symbol) {
            return None;
        }
        let instrument_id = InstrumentId::of_symbol(symbol);
        // A restart may find the line again before it has moved the clock; one without a time moves none.
        let timed = self.state.round.as_ref().filter(|round| round.tick.at().is_some());
        let began = timed.map(|round| round.began);
        let command = InstrumentCommand::List {
            instrument_id,
            symbol: symbol.to_owned(),
            name: name.to_owned(),
            kind,
            at: self.state.clock.max(began),
        };
        let command = Command::Instrument { instrument_id, command };
        (!self.is_tried_command(&command)).then_some(command)
    }

    /// Takes the tick in: the standing quote, the last price.
    fn take_in(&mut self, round: &mut Round) {
        let now = self.state.clock.unwrap_or(round.began);
        let dates = self.dates_of(round, now);
        if let Tick::Status(status) = &round.tick
            && status.is_of_market()
        {
            self.state.follow_market(status);
        }
        self.state.take_note(round);
        if let Tick::Chain(chain) = &round.tick {
            let terms = Terms::of_chain(chain);
            for symbol in &chain.contracts {
                if let Some(issue) = self.state.issue_mut(Some(symbol)) {
                    issue.terms = Some(terms.clone());
                    issue.adjusted = None;
                }
            }
        }
        let Some(symbol) = round.tick.symbol() else { return };
        let Some(instrument_id) = self.state.symbols.get(symbol).copied() else { return };
        if let Some(issue) = self.state.issues.get_mut(&instrument_id) {
            issue.take_in(round, dates);
            self.state.watch.price_moved(instrument_id);
        }
        if matches!(round.tick, Tick::Instrument(_)) {
            self.state.put_on(instrument_id);
        }
    }
}

impl EngineState {
    /// Takes in what is said of no listed instrument: open interest and rates.
    fn take_note(&mut self, round: &Round) {
        let source = round.source.clone();
        match &round.tick {
            Tick::OpenInterest(told) => {
                self.interest.insert(told.symbol.clone(), Interest::of(told, source));
            }
            Tick::Rate(told) => {
                let Rate { value, at, .. } = *told;
                let rates = self.rates.entry(told.symbol.clone().unwrap_or_default()).or_default();
                let rate = match told.kind {
                    RateKind::RiskFree => &mut rates.risk_free,
                    RateKind::DividendYield => &mut rates.dividend_yield,
                };
                *rate = Some(ToldRate { value, at, source });
            }
            _ => {}
        }
    }
}

impl Interest {
    /// As it was told.
    pub(super) fn of(told: &OpenInterest, source: String) -> Self {
        let OpenInterest { value, volume, at, .. } = *told;
        Self { value, volume, at, source }
    }
}

impl Issue {
    /// Takes the tick of a round in, which came in the sessions of these dates.
    pub(super) fn take_in(&mut self, round: &mut Round, dates: WorkedOn) {
        let issue = self;
        let trading = issue.trades();
        if matches!(round.tick, Tick::Quote(_) | Tick::Trade(_)) {
            let is_first = |date: Option<_>, before| date.is_some() && before != date;
            round.first = is_first(dates.regular, issue.worked.regular);
            round.first_extended = is_first(dates.extended, issue.worked.extended);
            if trading {
                issue.worked.regular = dates.regular.or(issue.worked.regular);
                issue.worked.extended = dates.extended.or(issue.worked.extended);
            }
        }
        let last = |price, at| Last { price, at, source: round.source.clone() };
        let print = |began, at| Print {
            source: round.source.clone(),
            place: round.place,
            began,
            at,
            tick: round.tick.clone(),
            eligible: trading && round.open,
        };
        let priced = match &round.tick {
            Tick::Quote(_) => true,
            // What has quotes is valued by them.
            Tick::Trade(_) | Tick::Bar(_) => !issue.kinds.quotes,
            _ => false,
        };
        issue.awaits_price &= !priced;
        if matches!(
            round.tick,
            Tick::Quote(_) | Tick::Trade(_) | Tick::Bar(_) | Tick::Instrument(_)
        ) {
            issue.adjusted = None;
        }
        match &round.tick {
            Tick::Quote(quote) => {
                let Quote { bid, bid_size, ask, ask_size, at, .. } = *quote;
                issue.kinds.quotes = true;
                issue.quote = Some(Standing {
                    source: round.source.clone(),
                    place: round.place,
                    at,
                    bid,
                    bid_size,
                    ask,
                    ask_size,
                    eligible: trading && round.open,
                    extended: trading && round.extended,
                });
            }
            Tick::Trade(trade) => {
                issue.kinds.trades = true;
                issue.print = Some(print(trade.at, trade.at));
                issue.last = Some(last(trade.price, trade.at));
                issue.trade = issue.last.clone();
            }
            Tick::Bar(bar) => {
                let close = last(bar.close, round.ends.unwrap_or(round.began));
                if issue.last.as_ref().is_none_or(|before| before.at <= close.at) {
                    issue.last = Some(close.clone());
                }
                let earlier = issue.print.as_ref().is_none_or(|before| before.at <= close.at);
                if !issue.kinds.trades && earlier {
                    issue.print = Some(print(round.began, close.at));
                }
                if bar.span == Span::Day {
                    issue.daily = Some((new_york_date(round.began), close));
                }
            }
            Tick::Auction(_) => issue.auctions = true,
            Tick::Instrument(listing) => issue.terms = Terms::of(listing),
            Tick::Luld(luld) => {
                let Luld { down, up, at, .. } = *luld;
                issue.bands = Some(Bands { down, up, at, date: new_york_date(at) });
            }
            _ => {}
        }
    }
}

/// A symbol of the OCC's form is an option until an instrument line says otherwise.
fn kind_of(symbol: &str) -> InstrumentKind {
    let is_occ = symbol.parse::<Contract>().is_ok();
    if is_occ { InstrumentKind::Option } else { InstrumentKind::Stock }
}

/// A tick is stored as its canonical line.
pub(super) mod canonical {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{Tick, parse_line};

    pub(in super::super) fn serialize<S: Serializer>(
        tick: &Tick,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&tick.to_line())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Tick, D::Error> {
        let line = String::deserialize(deserializer)?;
        let tick = parse_line(line.as_bytes(), 1).map_err(de::Error::custom)?;
        tick.ok_or_else(|| de::Error::custom("an empty line is no tick"))
    }
}
