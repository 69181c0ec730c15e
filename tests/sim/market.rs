//! The simulated market: two stocks, one that has options, the options; and what clients are shown of it.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::InstrumentId;
use aggregates::instrument::{Contract, ExerciseStyle, OptionTerms, Settlement};
use aggregates::margin::{Mark, Marks};
use aggregates::market::{MarketTime, Reference};
use aggregates::money::{Price, Quantity};
use aggregates::order::{OrderSpec, Side};
use aggregates::trading::{AuctionEntry, MarketView};
use blotter::engine::core::Core;
use blotter::ledger::memory::Dice;
use chrono::{NaiveDate, TimeDelta};

/// The stocks that nothing is on.
pub const SYMBOLS: [&str; 2] = ["AAPL", "MSFT"];
/// What the options are on.
pub const UNDERLYING: &str = "NVDA";
/// The option that is european and settled in cash.
pub const IN_CASH: &str = "NVDA240117P00097000";
/// The options: most of them end with the first session, the others with the two after it.
pub const OPTIONS: [&str; 8] = [
    "NVDA240117C00095000",
    "NVDA240117C00100000",
    "NVDA240117P00100000",
    "NVDA240117P00104000",
    IN_CASH,
    "NVDA240118C00100000",
    "NVDA240118P00100000",
    "NVDA240119C00103000",
];

/// What a price of an option is made from where nobody has told one, in cents.
const MADE_UP: i64 = 400;
/// A market order is estimated from this, in cents, and a stock is worth it until it is quoted.
const STOCK: i64 = 10_000;

/// The Wednesday on which everything begins.
pub fn noon() -> MarketTime {
    "2024-01-17T17:00:00Z".parse().unwrap()
}

/// Dollars and cents, below zero too.
pub fn price(cents: i64) -> Price {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100).parse().unwrap()
}

/// A price that an engine fills at which does as it likes.
pub fn near(dice: &mut Dice) -> Price {
    price(9_000 + dice.below(2_000) as i64)
}

pub fn size(whole: u64) -> Quantity {
    whole.to_string().parse().unwrap()
}

/// One of these.
pub fn pick<'a, T>(dice: &mut Dice, from: &'a [T]) -> Option<&'a T> {
    if from.is_empty() { None } else { from.get(dice.below(from.len() as u64) as usize) }
}

/// Everything that is listed.
pub fn listed() -> impl Iterator<Item = &'static str> {
    SYMBOLS.into_iter().chain([UNDERLYING]).chain(OPTIONS)
}

pub fn is_option(symbol: &str) -> bool {
    OPTIONS.contains(&symbol)
}

/// The terms of an option.
pub fn terms(symbol: &str) -> OptionTerms {
    let contract: Contract = symbol.parse().unwrap();
    let (style, settlement) = match symbol == IN_CASH {
        true => (ExerciseStyle::European, Settlement::Cash),
        false => (ExerciseStyle::American, Settlement::Physical),
    };
    OptionTerms::of(&contract, UNDERLYING, Some(style), Some(settlement)).unwrap()
}

/// The exchange's close, at which options end: 16:00 in New York, in winter.
fn close_of(date: NaiveDate) -> MarketTime {
    date.and_hms_opt(21, 0, 0).unwrap().and_utc()
}

/// What clients are shown.
#[derive(Clone)]
pub struct Board {
    /// The market clock.
    pub at: MarketTime,
    place: u64,
    session_close: MarketTime,
    pub marks: Marks,
    contracts: BTreeMap<InstrumentId, OptionTerms>,
}

impl Default for Board {
    /// Everything at a price, and noon for ever.
    fn default() -> Self {
        let prices = listed().map(|symbol| {
            let cents = if is_option(symbol) { MADE_UP } else { STOCK };
            let seen = Reference { price: price(cents), source: "feed".to_owned(), at: noon() };
            (InstrumentId::of_symbol(symbol), Mark { long: seen.clone(), short: seen })
        });
        let contracts = OPTIONS.map(|symbol| (InstrumentId::of_symbol(symbol), terms(symbol)));
        Self {
            at: noon(),
            place: 0,
            session_close: noon() + TimeDelta::hours(4),
            marks: prices.collect(),
            contracts: contracts.into_iter().collect(),
        }
    }
}

impl Board {
    /// What an engine knows.
    pub fn look(&mut self, core: &Core) {
        let Some(now) = core.now() else { return };
        (self.at, self.place, self.session_close) = (now.at, now.tape_place, now.session.close);
        // What a split makes of options is known to the engine alone.
        let known = core.state().symbols.keys().cloned();
        let all: BTreeSet<String> = listed().map(str::to_owned).chain(known).collect();
        for symbol in all.iter().map(String::as_str) {
            let instrument_id = InstrumentId::of_symbol(symbol);
            let glance = core.glance(symbol);
            let mark = glance.as_ref().and_then(|glance| glance.marks());
            let of_options = !SYMBOLS.into_iter().chain([UNDERLYING]).any(|stock| stock == symbol);
            if of_options {
                self.marks.remove(&instrument_id);
                self.contracts.remove(&instrument_id);
            }
            self.marks.extend(mark.map(|mark| (instrument_id, mark)));
            let option = glance.and_then(|glance| glance.option);
            self.contracts.extend(option.map(|option| (instrument_id, option.terms)));
        }
    }

    /// The market as an order meets it.
    pub fn view(&self, spec: &OrderSpec) -> MarketView {
        let known = |id: InstrumentId| Some((id, self.contracts.get(&id)?.clone()));
        let contracts: BTreeMap<_, _> = spec.instruments().into_iter().filter_map(known).collect();
        let ends = contracts.values().map(|terms| close_of(terms.expiration));
        let own = self.marks.get(&spec.instrument_id);
        let touch = own.map(|mark| match spec.side {
            Side::Buy => mark.short.clone(),
            Side::Sell => mark.long.clone(),
        });
        let estimate = Reference { price: price(STOCK), source: "feed".to_owned(), at: noon() };
        let of_options = spec.legs.is_some() || is_option(&spec.symbol);
        MarketView {
            at: self.at,
            tape_place: self.place,
            reference: if of_options { touch } else { Some(estimate) },
            session_close: self.session_close,
            extended_close: self.session_close,
            open: true,
            marks: self.marks.clone(),
            auction: Some(AuctionEntry::Taken { ends: self.session_close }),
            contracts_end: ends.min(),
            contracts,
        }
    }

    /// When an option has its last close.
    pub fn end_of(&self, symbol: &str) -> MarketTime {
        close_of(terms(symbol).expiration)
    }

    /// The last price of a symbol, in cents.
    pub fn cents(&self, symbol: &str) -> i64 {
        let mark = self.marks.get(&InstrumentId::of_symbol(symbol));
        let cents = mark.map(|mark| mark.long.price.decimal() * rust_decimal::Decimal::from(100));
        cents.and_then(|cents| i64::try_from(cents.trunc()).ok()).unwrap_or(MADE_UP)
    }
}
