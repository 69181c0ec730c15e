//! The engine as a pure step machine: no I/O, no wall clock, no randomness.
//!
//! Its state is a fold of the log ([`Core::observe`]) and of the tape ([`Core::line`]). It never changes an order: it
//! proposes commands with the tick as evidence, and what the log then says is what happened. One line is worked in
//! rounds ([`Core::again`]); orders that arrive are evaluated once against the standing quote ([`Core::arrivals`]).
//!
//! Guarantee: the same log and tape, merged in the same order, give the same state and the same proposals. A line
//! costs O(log n + k), n the open orders of its instrument and k those that it triggers or fills.

mod actions;
mod adjusting;
mod arrivals;
mod auctions;
mod book;
mod expiry;
mod families;
mod forgetting;
mod holders;
mod interruptions;
mod judge;
mod losses;
mod matching;
mod observe;
mod packages;
mod passing;
mod rescaling;
mod rounds;
mod sessions;
mod state;
#[cfg(test)]
mod tests;
mod triggers;
mod view;

use std::collections::BTreeSet;

use aggregates::id::{AccountId, InstrumentId, MARKET_TENANT, OrderId, TenantId};
use aggregates::market::{MarketTime, TapePlace};
use aggregates::stream::{Event, StreamId};
use aggregates::trading::Command;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::market::calendar::Calendar;
use crate::market::tick::{Clock, Tick};

pub use arrivals::Arrivals;
pub use book::{Orders, Reach, Reached, Sprung, Stop, Trailing, Working};
pub use holders::Holders;
pub use judge::Reason;
pub use losses::{Counted, Watch, Watched};
pub use packages::Package;
pub use passing::{Record, Stood, Written};
pub use rounds::{Round, Stage};
pub use sessions::Session;
pub use state::{
    Adjusted, Bands, EngineState, Interest, Issue, Kinds, Last, Mark, MarketHalt, Print, Quoted,
    Rates, STATE_VERSION, Standing, Taken, Terms, ToldRate, WorkedOn,
};
pub use view::{Glance, Listed, MarketNow, Shown};

use matching::Showing;
use passing::Passing;
use rounds::Proposal;
use sessions::session_not_before;

/// How much of a tick an order may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillModel {
    /// Up to the displayed size, which is not refilled before the next quote.
    #[default]
    DisplayedSize,
    /// The whole order.
    Unlimited,
}

/// The settings that the engine works by. They decide what a line does, so the tape says which were in force: its
/// lines are worked again by those of their time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// When the market is open.
    #[serde(rename = "hours")]
    pub calendar: Calendar,
    /// How much of a tick an order may take.
    pub fill_model: FillModel,
    /// How old a quote may be, by the market clock, and still fill; `None` is no limit.
    #[serde(rename = "max_quote_age_seconds", with = "seconds")]
    pub max_quote_age: Option<TimeDelta>,
    /// Which lines are on the tape.
    #[serde(default, skip_serializing_if = "Record::is_all")]
    pub record: Record,
}

/// A length of time is stored in whole seconds.
mod seconds {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[expect(clippy::ref_option, reason = "the shape that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        age: &Option<TimeDelta>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        age.map(|age| age.num_seconds()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<TimeDelta>, D::Error> {
        let seconds = Option::<i64>::deserialize(deserializer)?;
        let age = |seconds| {
            TimeDelta::try_seconds(seconds).ok_or_else(|| de::Error::custom("too long a time"))
        };
        seconds.map(age).transpose()
    }
}

impl Settings {
    /// Whether a standing price of `at` may still be used.
    fn is_fresh(&self, at: MarketTime, clock: MarketTime) -> bool {
        self.max_quote_age.is_none_or(|age| clock.signed_duration_since(at) <= age)
    }

    /// The defaults: displayed sizes, quotes up to 60 seconds old, every line recorded.
    pub fn new(calendar: Calendar) -> Self {
        let max_quote_age = Some(TimeDelta::seconds(60));
        let (fill_model, record) = (FillModel::default(), Record::default());
        Self { calendar, fill_model, max_quote_age, record }
    }
}

/// What became of one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worked {
    /// What goes on the tape before it.
    pub before: Vec<Written>,
    /// Its place on the tape; `None` if it is not recorded, because it changed nothing or nobody works its symbol.
    pub place: Option<TapePlace>,
    /// Why it fills nothing, if so.
    pub ignored: Option<Reason>,
    /// The settings that it was worked by, where the tape does not have them yet: they belong beside it.
    pub by: Option<Settings>,
    /// The first proposals. More follow from [`Core::again`].
    pub commands: Vec<Command>,
    /// The line itself was not worked yet, only a clock before it: it is to be handed in again when what that caused
    /// is done.
    pub unfinished: bool,
}

/// The engine.
#[derive(Clone, Debug)]
pub struct Core {
    settings: Settings,
    state: EngineState,
    /// Proposals of the line being worked.
    tried: BTreeSet<Proposal>,
    /// What is known beyond the tape.
    passing: Passing,
    /// Accounts whose highest equity has risen, for who shows it.
    risen: BTreeSet<AccountId>,
}

impl Core {
    /// An engine that goes on from `state`: the default one, or a checkpoint.
    pub fn new(settings: Settings, state: EngineState) -> Self {
        Self {
            settings,
            state,
            tried: BTreeSet::new(),
            passing: Passing::default(),
            risen: BTreeSet::new(),
        }
    }

    /// What it knows.
    pub fn state(&self) -> &EngineState {
        &self.state
    }

    /// What it works by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Works by these settings from now on. All that the lines before caused must be done.
    pub fn work_by(&mut self, settings: Settings) {
        self.settings = settings;
        if let Some(clock) = self.state.clock {
            self.state.session = session_not_before(self.settings.calendar, clock);
        }
    }

    /// Works by the settings that stand on the tape beside the next line, as part of a recovery.
    pub fn work_again_by(&mut self, settings: Settings) {
        self.settle();
        self.state.by = Some(settings.clone());
        self.work_by(settings);
    }

    /// Takes in the event at `position` of the log.
    pub fn observe(&mut self, position: u64, tenant: TenantId, stream: StreamId, event: &Event) {
        self.state.observe(position, tenant, stream, event);
        self.hold_up_passing(stream, event);
    }

    /// The tenant whose rows the events of a proposal are.
    pub fn tenant_of(&self, command: &Command) -> TenantId {
        let order = |order_id: &OrderId| self.state.orders.get(*order_id).map(|o| o.account_id);
        let account_id = match command {
            Command::Account { account_id, .. }
            | Command::Withdraw { account_id, .. }
            | Command::Replace { account_id, .. }
            | Command::Cancel { account_id, .. }
            | Command::CancelAll { account_id, .. }
            | Command::Reset { account_id, .. }
            | Command::FollowSplit { account_id, .. }
            | Command::AccrueDividend { account_id, .. }
            | Command::PayDividend { account_id, .. }
            | Command::SettleExpired { account_id, .. }
            | Command::Exercise { account_id, .. }
            | Command::Assign { account_id, .. }
            | Command::InstructExercise { account_id, .. }
            | Command::BeginDay { account_id, .. }
            | Command::StopLosses { account_id, .. } => Some(*account_id),
            Command::Fill { order_id, .. }
            | Command::Trigger { order_id, .. }
            | Command::GiveUp { order_id, .. }
            | Command::Expire { order_id, .. } => order(order_id),
            Command::Place { spec, .. } | Command::Close { spec, .. } => Some(spec.account_id),
            Command::Instrument { .. } | Command::User { .. } | Command::Writer { .. } => None,
        };
        let tenant = account_id.and_then(|account_id| self.state.tenants.get(&account_id));
        tenant.copied().unwrap_or(MARKET_TENANT)
    }

    /// The end of the order that a proposal is about, in place of what cannot be decided; `None` for a proposal that is about
    /// no order, or is that end.
    pub fn instead_of(&self, command: &Command) -> Option<Command> {
        let is_now = |order_id: &OrderId| Some(self.state.orders.get(*order_id)?.revision);
        let (order_id, revision, at) = match command {
            Command::Fill { order_id, execution, at, .. } => (order_id, execution.revision, at),
            Command::Trigger { order_id, trigger, at } => (order_id, trigger.revision, at),
            Command::Expire { order_id, at, .. } | Command::Cancel { order_id, at, .. } => {
                (order_id, is_now(order_id)?, at)
            }
            _ => return None,
        };
        Some(Command::GiveUp { order_id: *order_id, revision, at: *at })
    }

    /// The end of the bars that were worked, while the clock has not come to it: it has to be told by a `clock` line
    /// when no more bars of the same start follow.
    pub fn pending_end(&self) -> Option<MarketTime> {
        let ending = self.state.ending.max(self.passing_end());
        ending.filter(|end| self.clock().is_none_or(|clock| clock < *end))
    }

    /// Forgets what was tried: proposals that a fault of the ledger kept from being decided are made again.
    pub fn retry(&mut self) {
        self.tried.clear();
    }

    /// Works the next line. All that the line before caused must be done: [`Core::again`] was empty. One that comes
    /// back unfinished is handed in again, when all that it has caused so far is done.
    pub fn line(&mut self, source: &str, tick: &Tick) -> Worked {
        self.settle();
        let (round, ignored) = match self.judge(source, tick) {
            Ok(judged) => judged,
            Err(reason) => return Worked { ignored: Some(reason), ..Worked::default() },
        };
        let passes = self.may_pass(&round, ignored);
        if let Some(at) = self.clock_before(&round, passes) {
            return self.clock_first(source, at);
        }
        if passes {
            let before = self.pass(round).into_iter().collect();
            return Worked { before, ignored, ..Worked::default() };
        }
        let mut before = self.stand_before_close(round.began);
        before.extend(match tick {
            Tick::Status(status) if status.is_of_market() => self.stand_all(),
            Tick::Chain(chain) => {
                let symbols = chain.contracts.iter();
                symbols.flat_map(|symbol| self.stand_by(Some(symbol))).collect()
            }
            _ => self.stand_by(tick.symbol()),
        });
        let by = self.by_beside();
        let place = Some(self.begin(Round { place: self.state.place + 1, ..round }));
        Worked { before, place, ignored, by, commands: self.again(), unfinished: false }
    }

    /// Works a `clock` line before one that needs it.
    fn clock_first(&mut self, source: &str, at: MarketTime) -> Worked {
        let mut before = self.stand_before_close(at);
        let by = self.by_beside();
        let tick = Tick::Clock(Clock { at });
        let place = self.begin(self.round(source, &tick, None));
        before.push(Written { place, source: source.to_owned(), by, stood: None, tick });
        Worked { before, commands: self.again(), unfinished: true, ..Worked::default() }
    }

    /// The settings, if the tape does not have them yet: it has them with the next line.
    fn by_beside(&mut self) -> Option<Settings> {
        let by = (self.state.by.as_ref() != Some(&self.settings)).then(|| self.settings.clone())?;
        self.state.by = Some(by.clone());
        Some(by)
    }

    /// The line that is worked from now on, and its place.
    fn begin(&mut self, round: Round) -> TapePlace {
        let place = round.place;
        self.note_unmet();
        let risen = self.state.look_at_equity();
        self.risen.extend(risen);
        self.state.orders.begin_line();
        self.state.place = place;
        self.state.round = Some(round);
        place
    }

    /// Finds out which of the orders that came since the last line have met no quote. That stands in the log and on the tape:
    /// a recovery finds the same.
    fn note_unmet(&mut self) {
        let Some(clock) = self.state.clock else { return };
        for order_id in std::mem::take(&mut self.state.arrived) {
            let found = self.state.orders.get(order_id);
            let Some((order, issue)) =
                found.and_then(|order| Some((order, self.state.issues.get(&order.instrument_id)?)))
            else {
                continue;
            };
            // Those of several legs fill at what their legs are quoted at, whenever that is.
            if !order.legs().is_empty() {
                continue;
            }
            let open = if order.extended { self.is_extended(clock) } else { self.is_open(clock) };
            let standing = Showing::of(issue, open, order.extended).standing(clock, &self.settings);
            let unmet = standing.is_none().then_some(self.state.place);
            self.state.orders.set_unmet(order_id, unmet);
        }
    }

    /// Works a line of the tape again, as part of a recovery: what it proposes was decided before, and stands in the
    /// log. Orders that had arrived before it were evaluated before it. After the last one, [`Core::retry`] lets
    /// [`Core::again`] propose what the log lacks.
    ///
    /// Gives its place and, if these rules would not work it, why: it stands on the tape all the same, and then moves
    /// the clock and does nothing else.
    pub fn line_again(&mut self, source: &str, tick: &Tick) -> (TapePlace, Option<Reason>) {
        self.settle();
        self.state.arrivals.clear();
        let (round, refused) = self.judge_again(source, tick);
        let place = self.begin(round);
        let _decided_before = self.again();
        (place, refused)
    }

    /// Works a line of the tape as if it came now: its place, and the first proposals. More follow from
    /// [`Core::again`], as they did.
    pub fn line_anew(&mut self, source: &str, tick: &Tick) -> (TapePlace, Vec<Command>) {
        self.settle();
        let (round, _refused) = self.judge_again(source, tick);
        (self.begin(round), self.again())
    }

    fn judge_again(&mut self, source: &str, tick: &Tick) -> (Round, Option<Reason>) {
        match self.judge(source, tick) {
            Ok((round, _)) => (round, None),
            Err(reason) => (self.round(source, tick, Some(reason)), Some(reason)),
        }
    }

    fn issue(&self, symbol: &str) -> Option<(InstrumentId, &Issue)> {
        let instrument_id = *self.state.symbols.get(symbol)?;
        Some((instrument_id, self.seen(instrument_id)?))
    }

    /// The instrument of a round's tick, if it trades at its time in regular hours.
    fn trading(&self, round: &Round) -> Option<(InstrumentId, &Issue)> {
        self.trading_extended(round).filter(|_| round.open)
    }

    /// The same, in regular or extended hours.
    fn trading_extended(&self, round: &Round) -> Option<(InstrumentId, &Issue)> {
        let found = self.issue(round.tick.symbol()?)?;
        (round.extended && found.1.trades()).then_some(found)
    }

    fn is_arriving(&self, order_id: OrderId) -> bool {
        self.state.arrivals.contains(order_id)
    }

    fn is_open(&self, at: MarketTime) -> bool {
        let session = self.state.session_at(self.settings.calendar, at);
        session.is_some_and(|session| session.is_open(at))
    }

    /// The bands that hold for an instrument at `at`: those of the session that is under way.
    fn bands<'a>(&self, issue: &'a Issue, at: MarketTime) -> Option<&'a Bands> {
        let bands = issue.bands.as_ref()?;
        let session = self.state.session_at(self.settings.calendar, at)?;
        Some(bands).filter(|bands| session.is_open(at) && bands.date == session.date)
    }

    /// Whether orders of extended hours can fill at `at`.
    fn is_extended(&self, at: MarketTime) -> bool {
        self.is_open(at) || sessions::is_extended(self.settings.calendar, at)
    }

    /// The clock goes on, never back, and the session with it.
    fn set_clock(&mut self, at: MarketTime) {
        if self.state.clock.is_none_or(|clock| clock < at) {
            self.state.clock = Some(at);
        }
        if self.state.session.is_none_or(|session| at > session.close) {
            self.state.session = session_not_before(self.settings.calendar, at);
        }
    }
}
