//! The simulated market as one function of seed, hours and time: its lines, its bars, its books.
//!
//! What was folded of its days is remembered, and so are the daily bars and the daily closes that were asked for; all could be
//! computed again and would be the same. A daily bar costs some hundred microseconds the first time, intraday bars as much for
//! each session that they lie in; a daily close alone a tenth of that, since only the last trade is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregates::instrument::InstrumentKind;
use aggregates::market::MarketTime;
use aggregates::money::Price;
use chrono::{NaiveDate, TimeDelta};

use super::chains::Chains;
use super::days::{Action, Day, Days};
use super::limits;
use super::moments::{BEAT, Manner, Moment, Quoted, Traded, price, shares};
use super::paths::Paths;
use super::universe::STOCKS;
use crate::market::archive::DailyCloses;
use crate::market::bars::{BarQuery, Candle, Joined, Timeframe};
use crate::market::calendar::{Calendar, Hours, new_york_midnight};
use crate::market::tick::{
    Clock, Depth, Dividend, Instrument, Quote, Split, Status, Tick, Trade, TradingState,
};

/// Daily bars that are remembered at the most, and daily closes.
const KEPT_DAYS: usize = 200_000;
/// Between sessions the clock is told this often.
const QUIET_BEAT: TimeDelta = TimeDelta::minutes(1);

/// The market of one seed.
#[derive(Debug)]
pub struct Model {
    seed: u64,
    calendar: Calendar,
    days: Mutex<Days>,
    bars: Mutex<Kept<Candle>>,
    closes: Mutex<Kept<Price>>,
}

/// What is remembered of stocks by the day.
#[derive(Debug)]
struct Kept<T>(BTreeMap<(usize, NaiveDate), T>);

/// What happens from one beat to the next.
pub(super) struct Beat {
    /// The lines, in the order of their times.
    pub(super) lines: Vec<Tick>,
    /// When the next one begins.
    pub(super) next: MarketTime,
}

impl Model {
    /// The market that grows from a seed.
    pub fn new(seed: u64, calendar: Calendar) -> Self {
        let days = Mutex::new(Days::new(seed, calendar));
        Self { seed, calendar, days, bars: Mutex::default(), closes: Mutex::default() }
    }

    /// The day whose session the instant is in, or the first after it.
    pub(super) fn day_from(&self, at: MarketTime) -> Option<Arc<Day>> {
        locked(&self.days).at_or_after(at)
    }

    /// The last day whose session has begun.
    pub(super) fn day_until(&self, at: MarketTime) -> Option<Arc<Day>> {
        locked(&self.days).at_or_before(at)
    }

    /// Where the first session of the calendar opens: nothing is known before it.
    pub(super) fn first_open(&self) -> Option<MarketTime> {
        self.day_from(MarketTime::MIN_UTC).map(|day| day.session.open)
    }

    /// The ways of all stocks through a day.
    pub(super) fn paths(&self, day: &Arc<Day>) -> Paths {
        Paths::of(self.seed, self.calendar, Arc::clone(day), 0..STOCKS.len())
    }

    fn manner(&self, stock: usize, day: &Day) -> Manner {
        Manner::of(self.seed, stock, day)
    }

    /// The beat that begins at an instant of the day that `paths` are of, or between it and the day before.
    pub(super) fn beat(&self, paths: &Paths, chains: &Chains, begins: MarketTime) -> Beat {
        let session = &paths.day.session;
        if begins < session.open {
            let next = (begins + QUIET_BEAT).min(session.open);
            return Beat { lines: vec![Tick::Clock(Clock { at: begins })], next };
        }
        let next = begins + TimeDelta::seconds(BEAT);
        let mut lines = Vec::new();
        if begins == session.open {
            lines.extend(paths.day.actions.iter().map(|action| happening(&paths.day, action)));
        }
        let second = usize::try_from((begins - session.open).num_seconds()).unwrap_or_default();
        for stock in 0..STOCKS.len() {
            let manner = self.manner(stock, &paths.day);
            lines.extend(manner.halt.into_iter().flat_map(|(from, to)| {
                let states = [(from, TradingState::Halted), (to, TradingState::Trading)];
                states.into_iter().filter(|(at, _)| begins <= *at && *at < next).map(
                    |(at, state)| {
                        let reason = (state == TradingState::Halted).then(|| "T1".to_owned());
                        Tick::Status(Status { symbol: symbol(stock), state, reason, at })
                    },
                )
            }));
            let Moment { quote, trade } = manner.moment(paths, second);
            lines.push(Tick::Quote(quote_line(stock, &quote)));
            lines.extend(trade.map(|trade| Tick::Trade(trade_line(stock, &trade))));
        }
        lines.extend(chains.beat(self.seed, paths, second));
        lines.sort_by_key(Tick::at);
        Beat { lines, next: next.min(session.close) }
    }

    /// The halts in force at an instant, as they were told.
    pub(super) fn halts(&self, at: MarketTime) -> Vec<Tick> {
        let Some(day) = self.day_until(at) else { return Vec::new() };
        let halted = |stock| self.manner(stock, &day).halt.map(|halt| (stock, halt));
        let in_force = (0..STOCKS.len()).filter_map(halted);
        let mut lines: Vec<Tick> = in_force
            .filter(|(_, (from, to))| *from < at && at < *to)
            .map(|(stock, (from, _))| {
                let reason = Some("T1".to_owned());
                let state = TradingState::Halted;
                Tick::Status(Status { symbol: symbol(stock), state, reason, at: from })
            })
            .collect();
        lines.sort_by_key(Tick::at);
        lines
    }

    /// The limit-up limit-down bands of the session that `paths` are of.
    pub(super) fn bands(&self, paths: &Paths) -> Vec<Tick> {
        limits::bands(paths, self.calendar.hours() == Hours::Nyse)
    }

    /// The bands in force just before an instant in a session, as they were told; none between sessions.
    pub(super) fn bands_before(&self, at: MarketTime) -> Vec<Tick> {
        let day = self.day_until(at).filter(|day| at < day.session.close);
        let told = day.map(|day| self.bands(&self.paths(&day))).unwrap_or_default();
        let before = told.into_iter().filter(|tick| tick.at() < Some(at));
        let last: BTreeMap<Option<String>, Tick> =
            before.map(|tick| (tick.symbol().map(str::to_owned), tick)).collect();
        last.into_values().collect()
    }

    /// The option contracts of a day.
    pub(super) fn chains(&self, day: &Arc<Day>) -> Chains {
        let moment = TimeDelta::milliseconds(1);
        Chains::of(day, |day| self.day_until(day.session.open - moment))
    }

    /// The open interest of a day's contracts at an instant, as if it had been told then.
    pub(super) fn interest(&self, day: &Arc<Day>, chains: &Chains, at: MarketTime) -> Vec<Tick> {
        chains.interest(self.seed, &self.paths(day), at)
    }

    /// A line for each stock.
    pub(super) fn instruments(&self) -> impl Iterator<Item = Tick> + use<> {
        STOCKS.iter().map(|stock| {
            Tick::Instrument(Instrument {
                symbol: stock.symbol.to_owned(),
                name: Some(stock.name.to_owned()),
                kind: InstrumentKind::Stock,
                tick: Some(price(1)),
                underlying: None,
                style: None,
                settlement: None,
            })
        })
    }

    /// The sector of a symbol.
    pub fn sector_of(&self, symbol: &str) -> Option<&'static str> {
        place_of(symbol).map(|stock| STOCKS[stock].sector.name())
    }

    /// The book of a symbol as it stands at an instant; `None` if there is no such symbol, or no market yet.
    pub fn book(&self, symbol: &str, at: MarketTime) -> Option<Depth> {
        let stock = place_of(symbol)?;
        let quote = self.standing(stock, at)?;
        let day = self.day_until(quote.at)?;
        let [bids, asks] = self.manner(stock, &day).book(&quote).map(|levels| {
            levels.into_iter().map(|(ticks, size)| (price(ticks), shares(size))).collect()
        });
        Some(Depth { symbol: symbol.to_owned(), bids, asks, at: quote.at })
    }

    /// The last quote of a stock at an instant.
    fn standing(&self, stock: usize, at: MarketTime) -> Option<Quoted> {
        let mut day = self.day_until(at)?;
        loop {
            let session = day.session;
            let manner = self.manner(stock, &day);
            let last = (at.min(session.close - TimeDelta::milliseconds(1)) - session.open)
                .num_seconds()
                .div_euclid(BEAT)
                * BEAT;
            let paths =
                Paths::of(self.seed, self.calendar, Arc::clone(&day), std::iter::once(stock));
            for second in [last, last - BEAT] {
                let Ok(second) = usize::try_from(second) else { continue };
                let quote = manner.moment(&paths, second).quote;
                if quote.at <= at {
                    return Some(quote);
                }
            }
            day = self.day_until(session.open - TimeDelta::milliseconds(1))?;
        }
    }

    /// The splits of a symbol that are in force at an instant; `None` if there is no such symbol.
    pub fn splits(&self, symbol: &str, now: MarketTime) -> Option<Vec<Split>> {
        let stock = place_of(symbol)?;
        let days = locked(&self.days).until(now);
        let splits = days.iter().flat_map(|day| {
            let own = day.actions.iter().filter(move |(of, _)| *of == stock);
            own.filter_map(move |action| match happening(day, action) {
                Tick::Split(split) => Some(split),
                _ => None,
            })
        });
        Some(splits.collect())
    }

    /// The bars asked for that are over at an instant; `None` if there is no such symbol.
    pub fn candles(&self, query: &BarQuery, now: MarketTime) -> Option<Vec<Candle>> {
        let stock = place_of(&query.symbol)?;
        let (timeframe, mut candles) = (query.timeframe, Vec::new());
        let mut next = self.day_from(query.start);
        while let Some(day) = next.filter(|day| day.session.open < query.end.min(now)) {
            let of_day = if timeframe == Timeframe::Day {
                self.daily(stock, &day, now).into_iter().collect()
            } else {
                self.intraday(stock, &day, timeframe)
            };
            candles.extend(of_day.into_iter().filter(|candle| {
                query.wants(candle.at) && timeframe.end_of(self.calendar, candle.at) <= now
            }));
            if candles.len() >= query.limit {
                candles.truncate(query.limit);
                break;
            }
            next = self.day_from(day.session.close);
        }
        Some(candles)
    }

    fn daily(&self, stock: usize, day: &Arc<Day>, now: MarketTime) -> Option<Candle> {
        if now < day.session.close {
            return None;
        }
        let key = (stock, day.session.date);
        if let Some(candle) = locked(&self.bars).0.get(&key) {
            return Some(candle.clone());
        }
        let candle = self.intraday(stock, day, Timeframe::Day).pop()?;
        locked(&self.bars).keep(key, candle.clone());
        Some(candle)
    }

    /// The closes of the daily bars of several stocks since an instant that are over at another, and the splits in force then;
    /// nothing of a symbol that there is not.
    pub fn daily_closes(
        &self,
        symbols: &[String],
        since: MarketTime,
        now: MarketTime,
    ) -> Vec<DailyCloses> {
        let splits = |symbol: &String| self.splits(symbol, now).unwrap_or_default();
        let told = |symbol| DailyCloses { closes: Vec::new(), splits: splits(symbol) };
        let mut all: Vec<DailyCloses> = symbols.iter().map(told).collect();
        let stocks: Vec<Option<usize>> = symbols.iter().map(|symbol| place_of(symbol)).collect();
        let mut next = self.day_from(since);
        while let Some(day) = next.filter(|day| day.session.close <= now) {
            let at = new_york_midnight(day.session.date);
            let closes = self.closes(&day, stocks.iter().flatten());
            for (told, stock) in all.iter_mut().zip(&stocks).filter(|_| at >= since) {
                let close = stock.and_then(|stock| closes.get(&stock));
                told.closes.extend(close.map(|close| (at, *close)));
            }
            next = self.day_from(day.session.close);
        }
        all
    }

    /// The last trade of a day that is over, by stock. The ways are made together, since stocks share factors.
    fn closes<'a>(
        &self,
        day: &Arc<Day>,
        stocks: impl Iterator<Item = &'a usize>,
    ) -> BTreeMap<usize, Price> {
        let date = day.session.date;
        let wanted: BTreeSet<usize> = stocks.copied().collect();
        let mut found = locked(&self.closes).of(&wanted, date);
        let lacking: Vec<usize> =
            wanted.into_iter().filter(|stock| !found.contains_key(stock)).collect();
        if lacking.is_empty() {
            return found;
        }
        let paths = Paths::of(self.seed, self.calendar, Arc::clone(day), lacking.iter().copied());
        for stock in lacking {
            let manner = self.manner(stock, day);
            let last = moments(day).rev().find_map(|second| manner.moment(&paths, second).trade);
            if let Some(Traded { price: ticks, .. }) = last {
                found.insert(stock, price(ticks));
                locked(&self.closes).keep((stock, date), price(ticks));
            }
        }
        found
    }

    fn intraday(&self, stock: usize, day: &Arc<Day>, timeframe: Timeframe) -> Vec<Candle> {
        let manner = self.manner(stock, day);
        let paths = Paths::of(self.seed, self.calendar, Arc::clone(day), std::iter::once(stock));
        let mut joined = Joined::default();
        for second in moments(day) {
            if let Some(Traded { at, price: ticks, size }) = manner.moment(&paths, second).trade {
                joined.add(timeframe, &Candle::of_trade(at, price(ticks), shares(size)));
            }
        }
        joined.into_candles().collect()
    }
}

impl<T: Clone> Kept<T> {
    /// What is remembered of some stocks of one day.
    fn of(&self, stocks: &BTreeSet<usize>, date: NaiveDate) -> BTreeMap<usize, T> {
        let known = |stock: &usize| Some((*stock, self.0.get(&(*stock, date))?.clone()));
        stocks.iter().filter_map(known).collect()
    }

    fn keep(&mut self, key: (usize, NaiveDate), of: T) {
        if self.0.len() >= KEPT_DAYS {
            self.0.clear();
        }
        self.0.insert(key, of);
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// The seconds after the open at which the moments of a day begin.
fn moments(day: &Day) -> impl DoubleEndedIterator<Item = usize> {
    (0..day.minutes() * 60).step_by(BEAT.unsigned_abs() as usize)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // all are only ever added to, one whole value at a time
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place_of(symbol: &str) -> Option<usize> {
    STOCKS.iter().position(|stock| stock.symbol == symbol)
}

fn symbol(stock: usize) -> String {
    STOCKS[stock].symbol.to_owned()
}

fn quote_line(stock: usize, quote: &Quoted) -> Quote {
    Quote {
        symbol: symbol(stock),
        bid: price(quote.bid),
        bid_size: shares(quote.bid_size),
        ask: price(quote.ask),
        ask_size: shares(quote.ask_size),
        at: quote.at,
    }
}

fn trade_line(stock: usize, trade: &Traded) -> Trade {
    let Traded { at, price: ticks, size } = *trade;
    Trade { symbol: symbol(stock), price: price(ticks), size: shares(size), at }
}

/// The line of a corporate action, at the open of its day.
fn happening(day: &Day, (stock, action): &(usize, Action)) -> Tick {
    let (symbol, at, date) = (symbol(*stock), day.session.open, day.session.date);
    match action {
        Action::Split => Tick::Split(Split {
            id: format!("simulated-split-{symbol}-{date}"),
            symbol,
            numerator: shares(2),
            denominator: shares(1),
            at,
        }),
        Action::Dividend(declared) => Tick::Dividend(Dividend {
            id: format!("simulated-dividend-{symbol}-{date}"),
            symbol,
            amount: price(declared.cents),
            ex: declared.ex,
            pay: declared.pay,
            at,
        }),
    }
}
