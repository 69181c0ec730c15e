//! What is seen of a stock in ten seconds: a quote, perhaps a trade, and the book behind the quote.
//!
//! Each is a function of the seed, the stock and the ten seconds: lines, bars and depth are made from the same ones,
//! so they agree. Prices are whole cents from here on: the way's price is rounded once, by [`to_tick`], and the rest
//! is counted in ticks. The spread is at least one of them.

#![expect(
    clippy::float_arithmetic,
    reason = "sizes and a spread of a simulation; prices are whole ticks"
)]

use aggregates::market::MarketTime;
use aggregates::money::{Price, Quantity};
use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::chance::{Chance, Purpose};
use super::days::{Day, to_tick};
use super::paths::{Paths, shape};
use super::universe::STOCKS;

/// Seconds from one quote of a stock to its next.
pub(super) const BEAT: i64 = 10;
/// Levels of a book, a side.
pub(super) const LEVELS: usize = 10;
/// One of this many moments has a trade.
const TRADES_ONE_OF: u64 = 2;
/// The part of all stocks that are halted on a day, and for how many minutes.
const HALTED: f64 = 0.01;
const HALT_MINUTES: i64 = 5;
/// No halt in the first and in the last minutes of a session.
const NO_HALT_MINUTES: u64 = 30;

/// A quote of whole ticks and shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quoted {
    pub(super) at: MarketTime,
    pub(super) bid: i64,
    pub(super) bid_size: u64,
    pub(super) ask: i64,
    pub(super) ask_size: u64,
}

/// A trade of whole ticks and shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Traded {
    pub(super) at: MarketTime,
    pub(super) price: i64,
    pub(super) size: u64,
}

/// Ten seconds of one stock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) quote: Quoted,
    pub(super) trade: Option<Traded>,
}

/// How a stock is quoted and traded in one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    seed: u64,
    stock: usize,
    /// Shares traded in the session.
    volume: f64,
    pub(super) halt: Option<(MarketTime, MarketTime)>,
}

impl Manner {
    pub(super) fn of(seed: u64, stock: usize, day: &Day) -> Self {
        let mut chance = Chance::of(seed, Purpose::Volume, stock, day.number());
        let volume = STOCKS[stock].volume * (0.6 + 0.8 * chance.unit());
        Self { seed, stock, volume, halt: halt(seed, stock, day) }
    }

    /// The moment that begins `second` seconds after the open.
    pub(super) fn moment(&self, paths: &Paths, second: usize) -> Moment {
        let session = &paths.day.session;
        let began = session.open + TimeDelta::seconds(second as i64);
        let mut chance =
            Chance::of(self.seed, Purpose::Moment, self.stock, began.timestamp() / BEAT);
        let dollars = paths.dollars(self.stock, second);
        let spread = spread(dollars, &mut chance);
        let bid = (to_tick(dollars) - spread / 2).max(1);
        let ask = bid + spread;
        // the trade comes after its quote, and both before the next moment
        let at = began + TimeDelta::milliseconds(chance.below(9_000).cast_signed());
        let quote = Quoted {
            at,
            bid,
            bid_size: self.shown(&mut chance),
            ask,
            ask_size: self.shown(&mut chance),
        };
        let halted = self.halt.is_some_and(|(from, to)| from <= at && at < to);
        let trade = (chance.below(TRADES_ONE_OF) == 0 && !halted).then(|| {
            let bought = chance.below(2) == 0;
            let length = (session.close - session.open).num_seconds().max(1) as f64;
            let share = shape(second as f64 / length) * BEAT as f64 / length;
            let size = self.volume * share * TRADES_ONE_OF as f64 * (0.5 + chance.unit());
            Traded {
                at: at + TimeDelta::milliseconds(1 + chance.below(900).cast_signed()),
                price: if bought { ask } else { bid },
                size: whole(size),
            }
        });
        Moment { quote, trade }
    }

    /// Shares at a price: round lots, more of what trades more.
    fn shown(&self, chance: &mut Chance) -> u64 {
        let lots = whole(STOCKS[self.stock].volume / 1e6).clamp(8, 40);
        100 * (2 + chance.below(lots))
    }

    /// The book behind a quote, best level first: bids, then asks.
    pub(super) fn book(&self, quote: &Quoted) -> [Vec<(i64, u64)>; 2] {
        let mut chance =
            Chance::of(self.seed, Purpose::Depth, self.stock, quote.at.timestamp() / BEAT);
        let (mut bids, mut asks) =
            (vec![(quote.bid, quote.bid_size)], vec![(quote.ask, quote.ask_size)]);
        let step = 1 + (quote.ask - quote.bid).cast_unsigned() / 2;
        for level in 1..LEVELS {
            let mut next = |(price, _): (i64, u64), direction: i64| {
                let away = 1 + chance.below(step).cast_signed();
                (price + direction * away, self.shown(&mut chance) * (1 + level as u64 / 2))
            };
            let (bid, ask) = (next(bids[level - 1], -1), next(asks[level - 1], 1));
            bids.push(bid);
            asks.push(ask);
        }
        bids.retain(|(price, _)| *price > 0);
        [bids, asks]
    }
}

/// Ticks between bid and ask: some hundredths of a percent, at least one tick.
fn spread(dollars: f64, chance: &mut Chance) -> i64 {
    let rate = 0.000_1 + 0.000_2 * chance.unit();
    to_tick(dollars * rate)
}

fn halt(seed: u64, stock: usize, day: &Day) -> Option<(MarketTime, MarketTime)> {
    let mut chance = Chance::of(seed, Purpose::Halt, stock, day.number());
    let halted = chance.unit() < HALTED;
    let minutes = (day.minutes() as u64).saturating_sub(2 * NO_HALT_MINUTES);
    let minute = NO_HALT_MINUTES + chance.below(minutes);
    let from = day.session.open + TimeDelta::minutes(minute.cast_signed());
    halted.then(|| (from, from + TimeDelta::minutes(HALT_MINUTES)))
}

/// A size as whole shares, at least one.
fn whole(size: f64) -> u64 {
    (size as u64).max(1)
}

/// Ticks as a price.
pub(super) fn price(ticks: i64) -> Price {
    Price::new(Decimal::new(ticks, 2)).expect("a path is far below the bound of a price")
}

/// Shares as a quantity.
pub(super) fn shares(shares: u64) -> Quantity {
    Quantity::new(Decimal::from(shares)).expect("a day's volume is below the bound of a quantity")
}
