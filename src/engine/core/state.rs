//! What the engine remembers: a pure fold of log and tape, so it may be deleted without loss.
//!
//! A checkpoint of it makes starts fast: then only the tails of log and tape after `position` and `place` are folded.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId, OrderId, TenantId};
use aggregates::instrument::{
    Contract, DividendStage, ExerciseStyle, InstrumentKind, OptionTerms, Settlement, Split,
};
use aggregates::market::{Evidence, EvidenceTick, MarketTime, TapePlace};
use aggregates::money::{Price, Quantity};
use aggregates::order::Side;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Settings;
use super::arrivals::Arrivals;
use super::book::Orders;
use super::holders::Holders;
use super::judge::fingerprint;
use super::losses::Watch;
use super::rounds::{Round, canonical};
use super::sessions::Session;
use crate::market::tick::{Chain, Instrument, Tick, as_text};

/// The format of a stored state: another one is ignored, and the state folded anew.
pub const STATE_VERSION: u32 = 20;

/// All that the engine knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineState {
    /// The last event of the log that was observed.
    pub position: u64,
    /// The last line of the tape that was worked.
    pub place: TapePlace,
    /// The settings that the tape says its last line was worked by; `None` if it does not say.
    pub by: Option<Settings>,
    /// The market clock; `None` before the first line.
    pub clock: Option<MarketTime>,
    /// The latest end of a bar that was worked. The clock comes to it by a later line, so that all bars of one start
    /// are worked before any of them is over.
    pub ending: Option<MarketTime>,
    /// The earliest session whose official closes are not all fixed.
    pub session: Option<Session>,
    /// The halt of the whole market, while it lasts.
    pub market_halt: Option<MarketHalt>,
    /// Instruments by symbol.
    pub symbols: BTreeMap<String, InstrumentId>,
    /// What the market says of each instrument.
    pub issues: BTreeMap<InstrumentId, Issue>,
    /// Whose rows the events of each account are.
    pub tenants: BTreeMap<AccountId, TenantId>,
    /// The open orders.
    pub orders: Orders,
    /// Orders that have arrived and were not yet evaluated against the standing quote.
    pub arrivals: Arrivals,
    /// Open orders that came, or were changed, since the last line began.
    pub arrived: BTreeSet<OrderId>,
    /// Who holds each instrument.
    pub holders: BTreeMap<InstrumentId, Holders>,
    /// The contracts that are held or asked for, or were and have not ended.
    pub contracts: BTreeMap<InstrumentId, OptionTerms>,
    /// The same by the close of their last session and what they are on.
    pub expiring: BTreeSet<(MarketTime, InstrumentId, InstrumentId)>,
    /// Of those of them whose last session is over, the last price of what they are on up to its close.
    pub last_before_end: BTreeMap<InstrumentId, Last>,
    /// Every option that is listed and not forgotten, by the date of its expiration.
    pub listed_until: BTreeSet<(NaiveDate, InstrumentId)>,
    /// The options that somebody holds, by what they are on.
    pub held_on: BTreeMap<InstrumentId, BTreeSet<InstrumentId>>,
    /// What each account holds.
    pub held: BTreeMap<AccountId, BTreeSet<InstrumentId>>,
    /// The margin accounts, and those whose policy needs it: the prices of what they hold go with what they ask for.
    pub priced: BTreeMap<AccountId, AccountKind>,
    /// The accounts whose policy limits losses.
    pub watch: Watch,
    /// How far the lines have come that list nothing, by symbol: those of the market itself under an empty one.
    pub notes: BTreeMap<String, BTreeMap<Stream, Mark>>,
    /// The latest open interest of each contract that the market has told it of.
    pub interest: BTreeMap<String, Interest>,
    /// The latest rates, by symbol: those of the market itself under an empty one.
    pub rates: BTreeMap<String, Rates>,
    /// When dividends have their next step.
    pub awaited: BTreeSet<(MarketTime, InstrumentId, String)>,
    /// Instruments in the middle of a split.
    pub gates: BTreeSet<InstrumentId>,
    /// The line being worked, until all that it causes has committed.
    pub round: Option<Round>,
}

/// What the market says of one instrument.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// Its ticker.
    pub symbol: String,
    /// What it is.
    pub kind: InstrumentKind,
    /// Of an option, what its line says beyond its symbol.
    pub terms: Option<Terms>,
    /// Of an option, what it is on.
    pub on: Option<InstrumentId>,
    /// Of an option: what it is on is halted by itself, or is being split.
    pub held_up: bool,
    /// It is an option that has expired.
    pub expired: bool,
    /// It is an option that a split has made another of, and the market has not told of its symbol since.
    pub adjusted: Option<Adjusted>,
    /// It is halted by itself.
    pub halted: bool,
    /// It is halted with the whole market.
    pub market_halted: bool,
    /// The split that gates it.
    pub gate: Option<Gate>,
    /// The splits that have begun, ever.
    pub splits: BTreeMap<String, Split>,
    /// When the latest of them came into force: what is told of the time before is in shares that are no more.
    pub split_at: Option<MarketTime>,
    /// Its dividends.
    pub dividends: BTreeMap<String, Payout>,
    /// The latest valid quote.
    pub quote: Option<Standing>,
    /// The latest price of a trade or a bar.
    pub last: Option<Last>,
    /// The latest trade.
    pub trade: Option<Last>,
    /// The close of the latest daily bar and its session.
    pub daily: Option<(NaiveDate, Last)>,
    /// A split or a dividend has changed what a share is worth since its last price.
    pub awaits_price: bool,
    /// The last official close.
    pub closed: Option<(NaiveDate, Price)>,
    /// The latest trade, or the latest bar while there is no trade: what a stop that arrives looks at.
    pub print: Option<Print>,
    /// Which kinds of prices it has had.
    pub kinds: Kinds,
    /// The market tells of its auctions.
    pub auctions: bool,
    /// The latest limit-up limit-down bands.
    pub bands: Option<Bands>,
    /// When its last tick came that could fill.
    pub worked: WorkedOn,
    /// What fills took of the latest tick that filled.
    pub taken: Taken,
    /// The instant of the latest quote that orders have met; of the latest trade, without quotes.
    pub met: Option<MarketTime>,
    /// The latest quotes that orders have met.
    pub quoted: Quoted,
    /// How far each kind of line has come.
    pub marks: BTreeMap<Stream, Mark>,
}

/// What became of a contract when what it is on was split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjusted {
    /// New shares.
    pub numerator: Quantity,
    /// Old shares.
    pub denominator: Quantity,
    /// When the split came into force.
    pub at: MarketTime,
    /// How many it has become, of which contract; none where it was paid out.
    pub into: Option<(Quantity, String)>,
}

/// What the line of an option says of it; its symbol says the rest. What the line leaves out is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What it is on.
    pub underlying: String,
    /// When it may be exercised.
    pub style: Option<ExerciseStyle>,
    /// What its exercise delivers.
    pub settlement: Option<Settlement>,
}

impl Terms {
    /// Those of an option's line; a stock has none.
    pub(super) fn of(listing: &Instrument) -> Option<Self> {
        let underlying = listing.underlying.clone()?;
        Some(Self { underlying, style: listing.style, settlement: listing.settlement })
    }

    /// Those that an order was taken by.
    pub(super) fn taken(terms: &OptionTerms) -> Self {
        let OptionTerms { underlying, style, settlement, .. } = terms;
        let (style, settlement) = (Some(*style), Some(*settlement));
        Self { underlying: underlying.clone(), style, settlement }
    }

    /// What an option of this symbol is by them.
    pub(super) fn contract(&self, symbol: &str) -> Option<OptionTerms> {
        let Self { underlying, style, settlement } = self;
        OptionTerms::of(&symbol.parse().ok()?, underlying, *style, *settlement).ok()
    }

    /// Those that a chain's line says of each of its options.
    pub(super) fn of_chain(chain: &Chain) -> Self {
        let Chain { underlying, style, settlement, .. } = chain;
        Self { underlying: underlying.clone(), style: *style, settlement: *settlement }
    }
}

/// How many contracts are open, as the market last told it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interest {
    /// Contracts open.
    pub value: Quantity,
    /// Contracts traded in the session of that time, where the source says.
    pub volume: Option<Quantity>,
    /// The market time.
    pub at: MarketTime,
    /// Where it came from.
    pub source: String,
}

/// The rates that option maths uses, as far as the market has told them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// What money earns without risk.
    pub risk_free: Option<ToldRate>,
    /// What holders of a share are paid.
    pub dividend_yield: Option<ToldRate>,
}

/// One rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldRate {
    /// A year's: 0.045 is 4.5 %.
    #[serde(with = "as_text")]
    pub value: Decimal,
    /// The market time.
    pub at: MarketTime,
    /// Where it came from.
    pub source: String,
}

/// A halt of the whole market: nothing fills or triggers in any symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketHalt {
    /// The market's word for why, such as `MWC1`.
    pub reason: Option<String>,
    /// Since when.
    pub at: MarketTime,
}

impl Issue {
    /// Nothing fills while it is halted, by itself, with the whole market or with what it is on.
    pub fn is_halted(&self) -> bool {
        self.halted || self.market_halted || self.held_up
    }

    /// What an option is; `None` of a stock.
    pub fn contract(&self) -> Option<OptionTerms> {
        if self.kind != InstrumentKind::Option {
            return None;
        }
        let contract: Contract = self.symbol.parse().ok()?;
        let (style, settlement) =
            self.terms.as_ref().map_or((None, None), |terms| (terms.style, terms.settlement));
        OptionTerms::of(&contract, self.underlying(&contract), style, settlement).ok()
    }

    /// The ticker of what a contract is on: as its line says, else the root of its symbol.
    fn underlying<'a>(&'a self, contract: &'a Contract) -> &'a str {
        self.terms.as_ref().map_or(contract.root(), |terms| &terms.underlying)
    }

    /// Whether it trades in the hours of the market: it is neither halted nor being split, and has not expired.
    pub(super) fn trades(&self) -> bool {
        !self.is_halted() && self.gate.is_none() && !self.expired
    }

    /// The standing quote, if it is the line at `place`.
    pub(super) fn quote_at(&self, place: TapePlace) -> Option<&Standing> {
        self.quote.as_ref().filter(|quote| quote.place == place)
    }
}

/// The kinds of lines whose order counts, each by itself: a bar's start lies before the quotes inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Quotes.
    Quote,
    /// Trades.
    Trade,
    /// Bars.
    Bar,
    /// Halts and resumptions of a symbol.
    Status,
    /// Halts and resumptions of the whole market.
    MarketStatus,
    /// Limit-up limit-down bands.
    Luld,
    /// Results of auctions.
    Auction,
    /// Levels of the book.
    Depth,
    /// Open interest.
    OpenInterest,
    /// What money earns without risk.
    RiskFree,
    /// What holders are paid.
    DividendYield,
}

/// The latest instant of one kind of line, and the lines that bear it: an older or an identical one is ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The instant.
    pub at: MarketTime,
    /// 64 bits of the SHA-256 of each line.
    pub lines: BTreeSet<u64>,
}

impl Mark {
    /// No line was at `at` yet.
    pub(super) const fn new(at: MarketTime) -> Self {
        Self { at, lines: BTreeSet::new() }
    }

    /// A line of this kind was worked.
    pub(super) fn add(&mut self, tick: &Tick) {
        let Some(at) = tick.at() else { return };
        if self.at < at {
            *self = Self::new(at);
        }
        self.lines.insert(fingerprint(tick));
    }
}

/// The standing quote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Where it came from.
    pub source: String,
    /// Its place on the tape.
    pub place: TapePlace,
    /// Its market time.
    pub at: MarketTime,
    /// Best bid.
    pub bid: Price,
    /// Shares wanted at the bid.
    pub bid_size: Quantity,
    /// Best ask.
    pub ask: Price,
    /// Shares offered at the ask.
    pub ask_size: Quantity,
    /// It came while the symbol traded in an open market, and no halt or split came since: it may fill.
    pub eligible: bool,
    /// The same, in regular or extended hours: it may fill orders of extended hours.
    pub extended: bool,
}

/// The dates of the sessions of a symbol's last tick that could fill; none makes the next tick the first after a halt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkedOn {
    /// In regular hours.
    pub regular: Option<NaiveDate>,
    /// In regular or extended hours.
    pub extended: Option<NaiveDate>,
}

/// The places of the latest quotes that orders could meet; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// In regular hours.
    pub regular: TapePlace,
    /// In regular or extended hours.
    pub extended: TapePlace,
}

impl Standing {
    /// The price and size that one side of the book meets.
    pub(super) fn touch(&self, side: Side) -> (Price, Quantity) {
        match side {
            Side::Buy => (self.ask, self.ask_size),
            Side::Sell => (self.bid, self.bid_size),
        }
    }

    /// The quote as evidence of a fill.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence {
            source: self.source.clone(),
            tape_place: self.place,
            at: self.at,
            tick: EvidenceTick::Quote {
                bid: self.bid,
                bid_size: self.bid_size,
                ask: self.ask,
                ask_size: self.ask_size,
            },
        }
    }
}

/// Which kinds of prices an instrument has had: what has quotes is filled by quotes alone, else what has trades by
/// trades, else by bars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// A valid quote.
    pub quotes: bool,
    /// A trade.
    pub trades: bool,
}

/// Limit-up limit-down bands: in regular hours of their date nothing trades beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bands {
    /// The lower one.
    pub down: Price,
    /// The upper one.
    pub up: Price,
    /// The market time.
    pub at: MarketTime,
    /// The New York date of that.
    pub date: NaiveDate,
}

impl Bands {
    /// Whether a trade at `price` can be.
    pub(super) fn hold(&self, price: Price) -> bool {
        self.down <= price && price <= self.up
    }
}

/// The latest trade or bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Print {
    /// Where it came from.
    pub source: String,
    /// Its place on the tape.
    pub place: TapePlace,
    /// Its market time: of a bar, its start.
    pub began: MarketTime,
    /// Its market time: of a bar, its end.
    pub at: MarketTime,
    /// The line.
    #[serde(with = "canonical")]
    pub tick: Tick,
    /// It came while the symbol traded in an open market, and no halt or split came since: it may trigger.
    pub eligible: bool,
}

/// A price with where and when it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Last {
    /// The price.
    pub price: Price,
    /// Its market time: of a bar, its end.
    pub at: MarketTime,
    /// Where it came from.
    pub source: String,
}

/// What was seen of a contract before a split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Its standing quote.
    pub quote: Option<Standing>,
    /// Its last price.
    pub last: Option<Last>,
}

/// Shares that fills took of one tick, by side: fills say so themselves, so a restart finds the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// The tick's place on the tape.
    pub place: TapePlace,
    /// Shares that buys took.
    pub bought: Quantity,
    /// Shares that sells took.
    pub sold: Quantity,
}

impl Taken {
    /// What one side took of the tick at `place`.
    pub fn of(&self, place: TapePlace, side: Side) -> Quantity {
        match (self.place == place, side) {
            (true, Side::Buy) => self.bought,
            (true, Side::Sell) => self.sold,
            (false, _) => Quantity::ZERO,
        }
    }

    /// A fill of `qty` against the tick at `place`.
    pub fn add(&mut self, place: TapePlace, side: Side, qty: Quantity) {
        if place < self.place {
            return;
        }
        if place > self.place {
            *self = Self { place, ..Self::default() };
        }
        let taken = match side {
            Side::Buy => &mut self.bought,
            Side::Sell => &mut self.sold,
        };
        // Beyond the bound of a quantity there is nothing left of any tick.
        *taken = taken.plus(qty).unwrap_or(Quantity::MAX);
    }
}

/// A split under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The corporate action.
    pub action_id: String,
    /// Its ratio.
    pub split: Split,
    /// What was seen before it of the options on it that are held.
    pub seen: BTreeMap<InstrumentId, Seen>,
    /// The accounts that have followed.
    pub followed: BTreeSet<AccountId>,
}

/// A dividend that is not yet paid to everyone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payout {
    /// The first session without it.
    pub ex: NaiveDate,
    /// The day on which it is paid.
    pub pay: NaiveDate,
    /// How far it has come.
    pub stage: DividendStage,
    /// The accounts whose positions have accrued it.
    pub accrued: BTreeSet<AccountId>,
    /// Those of them that were not yet paid.
    pub unpaid: BTreeSet<AccountId>,
}
