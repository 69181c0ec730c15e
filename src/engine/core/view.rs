//! What others read of the engine: the market clock, quotes, and the market as an order meets it. Every price comes
//! with its source and its market time.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::instrument::{Contract, ExerciseStyle, InstrumentKind, OptionTerms, Settlement};
use aggregates::margin::{Mark, Marks};
use aggregates::market::{AuctionKind, Evidence, MarketTime, Reference, TapePlace};
use aggregates::money::{Price, Quantity};
use aggregates::order::{OrderSpec, Side, TimeInForce, TriggerBy};
use aggregates::trading::{MarketView, Offer};
use serde::Serialize;

use super::book::Working;
use super::expiry::close_of;
use super::matching::Showing;
use super::packages;
use super::sessions::{Session, auction_entry, extended_close_after, is_extended};
use super::state::{Adjusted, Bands, Interest, Issue, Kinds, Last, Print, Standing, Taken};
use super::{Core, Settings};
use crate::market::calendar::Calendar;

/// The market clock and the session that it is in, or the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketNow {
    /// The market clock.
    pub at: MarketTime,
    /// The last line of the tape.
    pub tape_place: TapePlace,
    /// The session that closes next.
    pub session: Session,
    /// What its hours are by.
    pub calendar: Calendar,
}

/// A price as shown to a reader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// The price.
    pub price: Price,
    /// Where it came from.
    pub source: String,
    /// Its market time.
    pub at: MarketTime,
}

/// What a reader sees of one instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct Glance {
    /// Which.
    pub instrument_id: InstrumentId,
    /// Its ticker.
    pub symbol: String,
    /// Trading in it is halted, by itself or with the whole market.
    pub halted: bool,
    /// The latest valid quote, as it was displayed.
    pub quote: Option<Standing>,
    /// The latest price of a trade or a bar.
    pub last: Option<Last>,
    /// The latest trade or bar, as a stop that arrives sees it.
    pub print: Option<Print>,
    /// Which kinds of prices it has had.
    pub kinds: Kinds,
    /// The latest limit-up limit-down bands.
    pub bands: Option<Bands>,
    /// The last official close and its session.
    pub closed: Option<(chrono::NaiveDate, Price)>,
    /// A split is being applied to it.
    pub splitting: bool,
    /// A split or a dividend has changed what a share is worth, and no price has come since: losses are not counted by it.
    pub awaits_price: bool,
    /// What fills took of the latest tick that filled.
    pub taken: Taken,
    /// Its lines are on the tape.
    pub recorded: bool,
    /// Of an option that a split has made another of, which.
    pub adjusted: Option<Adjusted>,
    /// Of an option, what it is.
    pub option: Option<Listed>,
}

/// What a reader sees of an option beyond its prices.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What its symbol says.
    pub contract: Contract,
    /// What it is on: the root of its symbol, where no line has said.
    pub underlying: String,
    /// When it may be exercised, where a line has said.
    pub style: Option<ExerciseStyle>,
    /// What its exercise delivers, where a line has said.
    pub settlement: Option<Settlement>,
    /// How many contracts are open, where a line has said.
    pub interest: Option<Interest>,
    /// The terms that an order of it is taken by.
    pub terms: OptionTerms,
}

impl Listed {
    /// What is known of an option; none of a stock.
    fn of(issue: &Issue, interest: Option<&Interest>) -> Option<Self> {
        let contract: Contract = match issue.kind {
            InstrumentKind::Option => issue.symbol.parse().ok()?,
            InstrumentKind::Stock => return None,
        };
        let taken_by = issue.contract()?;
        let terms = issue.terms.as_ref();
        Some(Self {
            contract,
            underlying: taken_by.underlying.clone(),
            terms: taken_by,
            style: terms.and_then(|terms| terms.style),
            settlement: terms.and_then(|terms| terms.settlement),
            interest: interest.cloned(),
        })
    }
}

impl Glance {
    /// What is known of one instrument.
    fn of(instrument_id: InstrumentId, issue: &Issue, interest: Option<&Interest>) -> Self {
        Self {
            instrument_id,
            symbol: issue.symbol.clone(),
            halted: issue.is_halted(),
            quote: issue.quote.clone(),
            last: issue.last.clone(),
            print: issue.print.clone(),
            kinds: issue.kinds,
            bands: issue.bands,
            closed: issue.closed,
            splitting: issue.gate.is_some(),
            awaits_price: issue.gate.is_some() || issue.awaits_price,
            taken: issue.taken,
            recorded: true,
            adjusted: issue.adjusted.clone(),
            option: Listed::of(issue, interest),
        }
    }

    /// What would trigger an order that arrives now, and what would fill it at once if it waits for no stop.
    pub fn meeting(
        &self,
        spec: &OrderSpec,
        now: &MarketNow,
        settings: &Settings,
    ) -> (Option<Evidence>, Option<Offer>) {
        let showing = self.showing(now, spec.extended_hours);
        let trigger = spec.stop_price.and_then(|stop| {
            let by = spec.trigger_by.unwrap_or_default();
            showing.reaches(spec.side, stop, by, now.at, settings)
        });
        let since = trigger.as_ref().map(|evidence| evidence.at);
        let met = showing.met_by(spec.side, spec.limit_price, now.at, settings);
        let met = met.filter(|(quote, ..)| since.is_none_or(|since| quote.at >= since));
        let met = met.filter(|_| !spec.time_in_force.is_auction());
        let offer = met.map(|(quote, price, left)| {
            let (evidence, legs) = (quote.evidence(), Vec::new());
            Offer { price, left, evidence, legs }
        });
        (trigger, offer)
    }

    /// What it shows to an order of regular or of extended hours.
    fn showing(&self, now: &MarketNow, extended: bool) -> Showing<'_> {
        Showing {
            quote: self.quote.as_ref(),
            print: self.print.as_ref(),
            kinds: self.kinds,
            taken: self.taken,
            trades: now.fills(extended) && self.trades(),
            bands: self.bands_at(now),
            extended,
        }
    }

    /// It is neither halted nor being split.
    fn trades(&self) -> bool {
        !self.halted && !self.splitting
    }

    /// The bands that hold now: those of the session that is under way.
    pub fn bands_at(&self, now: &MarketNow) -> Option<&Bands> {
        let of_session = |bands: &&Bands| now.is_open() && bands.date == now.session.date;
        self.bands.as_ref().filter(of_session)
    }

    /// The price that an order's worst cost is estimated from: the quote's near side, else the last price.
    pub fn reference(&self, side: Side) -> Option<Reference> {
        reference(self.quote.as_ref(), self.last.as_ref(), side)
    }

    /// The prices that holdings are valued at: see [`Self::mark`].
    pub fn marks(&self) -> Option<Mark> {
        mark_of(self.quote.as_ref(), self.last.as_ref())
    }

    /// The price that an order is counted from: of a trailing stop the one that it follows, where its mark begins.
    fn reference_of(&self, side: Side, follows: Option<TriggerBy>) -> Option<Reference> {
        let follows_last =
            follows == Some(TriggerBy::Last) && self.kinds.trades || !self.kinds.quotes;
        match self.last.clone().filter(|_| follows.is_some() && follows_last) {
            Some(Last { price, at, source }) => Some(Reference { price, source, at }),
            None => self.reference(side),
        }
    }

    /// The price that a holding is valued at: the bid for long and the ask for short, else the last price.
    pub fn mark(&self, side: Side) -> Option<Shown> {
        let Reference { price, source, at } = match side {
            Side::Buy => self.reference(Side::Sell)?,
            Side::Sell => self.reference(Side::Buy)?,
        };
        Some(Shown { price, source, at })
    }
}

/// The near side of a quote, else the last price.
fn reference(quote: Option<&Standing>, last: Option<&Last>, side: Side) -> Option<Reference> {
    if let Some(quote) = quote {
        let (price, _): (Price, Quantity) = quote.touch(side);
        return Some(Reference { price, source: quote.source.clone(), at: quote.at });
    }
    let Last { price, at, source } = last?.clone();
    Some(Reference { price, source, at })
}

/// What a long holding would be sold at and a short one bought back at.
fn mark_of(quote: Option<&Standing>, last: Option<&Last>) -> Option<Mark> {
    Some(Mark {
        long: reference(quote, last, Side::Sell)?,
        short: reference(quote, last, Side::Buy)?,
    })
}

impl Issue {
    /// The prices that holdings are valued at.
    pub(super) fn mark(&self) -> Option<Mark> {
        mark_of(self.quote.as_ref(), self.last.as_ref())
    }
}

impl Core {
    /// The prices of what an account holds that is decided with them, as far as there are any, and of what it may hold
    /// when `order` comes to be decided: other orders may have filled by then. Of another account those of what an
    /// order of options concerns.
    pub(super) fn marks(&self, account_id: AccountId, order: Option<&Working>) -> Marks {
        let state = self.state();
        let own = order.into_iter().flat_map(Working::concerns);
        if !state.priced.contains_key(&account_id) {
            let of_options = order.is_some_and(|order| order.package.is_some());
            return self.marks_of(own.filter(|_| of_options));
        }
        let arriving = state.arrivals.iter().filter_map(|id| state.orders.get(id));
        let arriving = arriving.filter(|order| order.account_id == account_id);
        let beside = arriving.flat_map(Working::concerns).chain(own);
        self.marks_of(self.valued(account_id).chain(beside))
    }

    /// The prices of what an account holds and of what its options are on, as far as there are any.
    pub(super) fn all_marks(&self, account_id: AccountId) -> Marks {
        self.marks_of(self.valued(account_id))
    }

    fn marks_of(&self, instruments: impl Iterator<Item = InstrumentId>) -> Marks {
        instruments.filter_map(|id| Some((id, self.seen(id)?.mark()?))).collect()
    }

    /// What an account holds, and what its options are on.
    fn valued(&self, account_id: AccountId) -> impl Iterator<Item = InstrumentId> {
        let state = self.state();
        let held = state.held.get(&account_id).into_iter().flatten().copied();
        held.flat_map(|instrument_id| {
            let on = state.contracts.get(&instrument_id).map(|terms| terms.underlying_id);
            [instrument_id].into_iter().chain(on)
        })
    }

    /// The symbols of what an account holds that is decided with their prices, and of what its options are on; `None` for
    /// another one.
    pub fn priced_symbols(&self, account_id: AccountId) -> Option<BTreeSet<String>> {
        let state = self.state();
        state.priced.get(&account_id)?;
        let valued = self.valued(account_id);
        Some(valued.filter_map(|id| Some(state.issues.get(&id)?.symbol.clone())).collect())
    }

    /// The symbols that an open order concerns.
    pub fn symbols_of(&self, order_id: OrderId) -> BTreeSet<String> {
        let state = self.state();
        let concerns = state.orders.get(order_id).into_iter().flat_map(Working::concerns);
        concerns.filter_map(|id| Some(state.issues.get(&id)?.symbol.clone())).collect()
    }

    /// The clock, and the session that closes next; `None` before the first line, and beyond the calendar.
    pub fn now(&self) -> Option<MarketNow> {
        let (at, state) = (self.clock()?, self.state());
        let calendar = self.settings().calendar;
        let session = state.session_at(calendar, at)?;
        Some(MarketNow { at, tape_place: state.place, session, calendar })
    }

    /// What a reader sees of a symbol; `None` if no line has named it.
    pub fn glance(&self, symbol: &str) -> Option<Glance> {
        let instrument_id = *self.state().symbols.get(symbol)?;
        let recorded = self.is_recorded(instrument_id);
        let interest = self.interest(symbol);
        let glance = Glance::of(instrument_id, self.seen(instrument_id)?, interest);
        Some(Glance { recorded, ..glance })
    }
}

/// The market as an order of options meets it beyond what every order does.
#[derive(Clone, Debug, Default, PartialEq)]
struct OfOptions {
    contracts: BTreeMap<InstrumentId, OptionTerms>,
    /// When the first of them has its last close.
    end: Option<MarketTime>,
    marks: Marks,
}

impl OfOptions {
    /// That of an order as it was asked for; nothing of an order of a stock. `glance` tells what is known of a symbol.
    fn of<'a>(spec: &OrderSpec, glance: &impl Fn(&str) -> Option<&'a Glance>) -> Self {
        let legs = spec.legs.iter().flatten().map(|leg| leg.symbol.as_str());
        let own = Some(spec.symbol.as_str()).filter(|_| spec.legs.is_none());
        let mut found = Self::default();
        let glances: Vec<&Glance> = legs.chain(own).filter_map(glance).collect();
        let options = glances.iter().filter_map(|glance| Some((*glance, glance.option.as_ref()?)));
        for (glance_of, Listed { terms, .. }) in options {
            found.end = found.end.into_iter().chain(close_of(terms)).min();
            found.contracts.insert(glance_of.instrument_id, terms.clone());
            let on = glance(&terms.underlying).and_then(Glance::marks);
            found.marks.extend(on.map(|mark| (terms.underlying_id, mark)));
        }
        if !found.contracts.is_empty() {
            let marked = glances.iter().filter_map(|it| Some((it.instrument_id, it.marks()?)));
            found.marks.extend(marked);
        }
        found
    }
}

impl MarketNow {
    /// The market as this order meets it, which may be one as it was asked for: of options its contracts, when the first
    /// of them ends, and the prices of its legs and of what they are on. `glance` tells what is known of a symbol.
    pub fn view_for<'a>(
        &self,
        spec: &OrderSpec,
        glance: &impl Fn(&str) -> Option<&'a Glance>,
    ) -> MarketView {
        let own = glance(&spec.symbol).filter(|_| spec.legs.is_none());
        let view = self.view(own, spec.side, spec.follows(), spec.time_in_force);
        let OfOptions { contracts, end, marks } = OfOptions::of(spec, glance);
        MarketView { contracts, contracts_end: end, marks, ..view }
    }

    /// What would trigger an order that arrives now, and what would fill it at once if it waits for no stop.
    pub fn meeting<'a>(
        &self,
        spec: &OrderSpec,
        settings: &Settings,
        glance: &impl Fn(&str) -> Option<&'a Glance>,
    ) -> (Option<Evidence>, Option<Offer>) {
        if spec.legs.is_none() {
            let own = glance(&spec.symbol);
            return own.map(|own| own.meeting(spec, self, settings)).unwrap_or_default();
        }
        let on = spec.legs.iter().flatten().find_map(|leg| glance(&leg.symbol)?.option.as_ref());
        let on = on.and_then(|option| glance(&option.underlying));
        let showing = |symbol: &str| glance(symbol).map(|it| it.showing(self, false));
        let trades = on.is_none_or(Glance::trades);
        (None, packages::offer(spec, trades, (self.at, settings), showing))
    }

    /// Whether orders can fill at this moment.
    pub fn is_open(&self) -> bool {
        self.session.is_open(self.at)
    }

    /// Whether orders of regular or of extended hours can fill at this moment.
    fn fills(&self, extended: bool) -> bool {
        self.is_open() || extended && is_extended(self.calendar, self.at)
    }

    /// The market as an order of a cash account meets it.
    /// `follows` says which prices a trailing stop does, and `time_in_force` for which auction an order is.
    pub fn view(
        &self,
        glance: Option<&Glance>,
        side: Side,
        follows: Option<TriggerBy>,
        time_in_force: TimeInForce,
    ) -> MarketView {
        let auction = match time_in_force {
            TimeInForce::Opg => Some(AuctionKind::Open),
            TimeInForce::Cls => Some(AuctionKind::Close),
            _ => None,
        };
        MarketView {
            at: self.at,
            tape_place: self.tape_place,
            reference: glance.and_then(|glance| glance.reference_of(side, follows)),
            session_close: self.session.close,
            extended_close: extended_close_after(self.calendar, self.at)
                .unwrap_or(self.session.close),
            open: self.is_open(),
            marks: Marks::new(),
            auction: auction.and_then(|kind| auction_entry(self.calendar, kind, self.at)),
            contracts: BTreeMap::new(),
            contracts_end: None,
        }
    }
}
