//! Option chains of the simulated market: which contracts a day has, and what is told of them.
//!
//! Like all of it they are a function of seed, hours and time. A contract is listed at the open of the first day that
//! opens near its strike, and is then quoted until it expires, so that who holds one can be rid of it; over a split of
//! its underlying as the contract that the split makes of it, listed on that day. Each is quoted at the moment of its underlying's quote: of the strikes
//! around the money in every third beat, of the others in every fifth, call and put together. So the lines of a beat are
//! bounded by a share of the contracts.
#![expect(
    clippy::float_arithmetic,
    reason = "numbers of contracts of a simulation; prices are whole ticks"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aggregates::instrument::{Contract, ExerciseStyle, Right, Settlement};
use aggregates::market::MarketTime;
use aggregates::money::Price;
use chrono::Datelike;
use rust_decimal::Decimal;

use super::chance::{Chance, Purpose};
use super::days::{Action, Day, to_tick};
use super::expirations;
use super::moments::{BEAT, Manner, Quoted, price, shares};
use super::paths::Paths;
use super::surface::{Quoting, RISK_FREE};
use super::universe::STOCKS;
use crate::market::calendar::options_expire_at;
use crate::market::tick::{Chain, OpenInterest, Quote, Rate, RateKind, Tick};

/// What has options.
pub(super) const UNDERLYINGS: [&str; 3] = ["SPY", "AAPL", "NVDA"];
/// Thousandths in a tick: strikes are listed in ticks, and splits make finer ones of them.
const THOUSANDTHS: i64 = 10;
/// Strikes on each side of the one that is nearest to the open.
const STRIKES: i64 = 4;
/// Strikes of monthlies are so many times as far from each other as those of weeklies.
const MONTHLY_STEPS: i64 = 2;
/// A contract is quoted in one of so many beats, and one around the money in one of these.
const BEATS: usize = 5;
const BEATS_NEAR: usize = 3;
/// Open interest and volume of a contract are told once in so many beats: an hour. They are spread over it, since every
/// one of these lines is recorded.
const INTEREST_BEATS: usize = 3_600 / BEAT as usize;
/// Contracts that are open at the money of a weekly, as a part of the shares that are traded on an ordinary day; and how
/// many times as many of a monthly.
const OPEN_PART: f64 = 1e-4;
const OPEN_MONTHLY: f64 = 4.0;
/// How far from the money half as many are open, as a part of the stock's volatility.
const OPEN_WIDTH: f64 = 0.1;
/// The most of the open contracts that is traded in a session.
const TRADED: f64 = 0.3;
const YEAR_MILLISECONDS: f64 = 365.0 * 86_400_000.0;

/// The contracts of one day, in the order of their underlyings, expirations and strikes.
#[derive(Debug, Default)]
pub(super) struct Chains(Vec<Listed>);

/// A strike of an expiration: a call and a put.
#[derive(Clone, Debug)]
struct Listed {
    stock: usize,
    /// In the order of [`Right::ALL`].
    contracts: [Contract; 2],
    /// In thousandths of a dollar.
    strike: i64,
    expires: MarketTime,
    monthly: bool,
    /// It is quoted in every so many beats,
    beats: usize,
    /// the first of them after so many.
    turn: usize,
}

impl Chains {
    /// Those of a day; `before` says which day was before another one.
    pub(super) fn of(day: &Arc<Day>, before: impl Fn(&Day) -> Option<Arc<Day>>) -> Self {
        let current = expirations::on(day.session.date);
        let mut strikes: BTreeMap<(usize, usize), BTreeSet<i64>> = BTreeMap::new();
        // Each underlying, with how often it was split since the day that is looked at.
        let mut stocks: Vec<(usize, u32)> = UNDERLYINGS
            .iter()
            .filter_map(|symbol| STOCKS.iter().position(|stock| stock.symbol == *symbol))
            .map(|stock| (stock, 0))
            .collect();
        let mut at = Some(Arc::clone(day));
        while let Some(then) = at {
            let listed = expirations::on(then.session.date);
            let places = current.iter().enumerate().filter(|(_, it)| listed.contains(it));
            let places: Vec<(usize, bool)> = places.map(|(n, it)| (n, it.monthly)).collect();
            if places.is_empty() {
                break;
            }
            for ((stock, splits), (place, monthly)) in
                stocks.iter().flat_map(|stock| places.iter().map(move |place| (*stock, *place)))
            {
                let around = window(then.opens[stock], monthly);
                let now = around.filter_map(|strike| after_splits(strike * THOUSANDTHS, splits));
                strikes.entry((stock, place)).or_default().extend(now);
            }
            for (stock, splits) in &mut stocks {
                *splits += u32::from(then.actions.contains(&(*stock, Action::Split)));
            }
            at = before(&then);
        }
        let mut turns = [0_usize; 2];
        let mut chains = Vec::new();
        for ((stock, place), strikes) in strikes {
            let expirations::Expiration { date, monthly } = current[place];
            let (open, expires) = (day.opens[stock], options_expire_at(date));
            for strike in strikes {
                let near = is_near(strike, open, monthly);
                let (beats, turn) =
                    if near { (BEATS_NEAR, &mut turns[0]) } else { (BEATS, &mut turns[1]) };
                let symbol = STOCKS[stock].symbol;
                let Ok(dollars) = Price::new(Decimal::new(strike, 3)) else { continue };
                let contract = |right| Contract::new(symbol, date, right, dollars).ok();
                let [Some(call), Some(put)] = Right::ALL.map(contract) else { continue };
                let contracts = [call, put];
                chains.push(Listed {
                    stock,
                    contracts,
                    strike,
                    expires,
                    monthly,
                    beats,
                    turn: *turn,
                });
                *turn += 1;
            }
        }
        Self(chains)
    }

    /// Lines that list the contracts which are not among those `before`.
    pub(super) fn listings(&self, before: &Self) -> Vec<Tick> {
        let known: BTreeSet<&Contract> = before.contracts().collect();
        let mut unlisted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for contract in self.contracts().filter(|contract| !known.contains(contract)) {
            unlisted.entry(contract.root()).or_default().push(contract.to_string());
        }
        let chains = unlisted.iter().flat_map(|(underlying, contracts)| {
            contracts.chunks(Chain::MAX_CONTRACTS).map(|contracts| Chain {
                underlying: (*underlying).to_owned(),
                style: Some(ExerciseStyle::American),
                settlement: Some(Settlement::Physical),
                contracts: contracts.to_vec(),
            })
        });
        chains.map(Tick::Chain).collect()
    }

    fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.0.iter().flat_map(|listed| &listed.contracts)
    }

    /// What the beat that begins `second` seconds after the open says of them: quotes, and now and then open interest.
    pub(super) fn beat(&self, seed: u64, paths: &Paths, second: usize) -> Vec<Tick> {
        let beat = second / BEAT.unsigned_abs() as usize;
        let mut spots: BTreeMap<usize, Quoted> = BTreeMap::new();
        let mut lines = Vec::new();
        for listed in
            self.0.iter().filter(|listed| beat % listed.beats == listed.turn % listed.beats)
        {
            let stock = listed.stock;
            let spot = spots
                .entry(stock)
                .or_insert_with(|| Manner::of(seed, stock, &paths.day).moment(paths, second).quote);
            if spot.at >= listed.expires {
                continue;
            }
            let quotes = INTEREST_BEATS / listed.beats;
            let tells = beat / listed.beats % quotes == listed.turn % quotes;
            for contract in &listed.contracts {
                lines.extend(listed.quote(seed, contract, spot));
                let interest = || listed.interest(seed, contract, paths, second, spot.at);
                lines.extend(tells.then(interest));
            }
        }
        lines
    }

    /// The open interest at an instant of a day, as if it had been told then.
    pub(super) fn interest(&self, seed: u64, paths: &Paths, at: MarketTime) -> Vec<Tick> {
        let second = usize::try_from((at - paths.day.session.open).num_seconds()).unwrap_or(0);
        let alive = self.0.iter().filter(|listed| at < listed.expires);
        alive
            .flat_map(|listed| listed.contracts.iter().map(move |contract| (listed, contract)))
            .map(|(listed, contract)| listed.interest(seed, contract, paths, second, at))
            .collect()
    }
}

/// The rates that chains are made with.
pub(super) fn rates(at: MarketTime) -> Vec<Tick> {
    let rate = |kind, symbol, value| Tick::Rate(Rate { kind, symbol, value, at });
    let risk_free = rate(RateKind::RiskFree, None, Decimal::new(RISK_FREE, 4).normalize());
    let yields = UNDERLYINGS.iter().filter_map(|symbol| {
        let stock = STOCKS.iter().find(|stock| stock.symbol == *symbol)?;
        let dividends = Decimal::new(to_tick(stock.dividends * 100.0), 4).normalize();
        Some(rate(RateKind::DividendYield, Some((*symbol).to_owned()), dividends))
    });
    std::iter::once(risk_free).chain(yields).collect()
}

impl Listed {
    fn quote(&self, seed: u64, contract: &Contract, spot: &Quoted) -> Option<Tick> {
        let quoting = Quoting {
            stock: &STOCKS[self.stock],
            right: contract.right(),
            strike: self.strike as f64 / 1_000.0,
            years: (self.expires - spot.at).num_milliseconds().max(1) as f64 / YEAR_MILLISECONDS,
            spot: (spot.bid + spot.ask) as f64 / 200.0,
        };
        let (bid, ask) = quoting.quote()?;
        let time = spot.at.timestamp().div_euclid(BEAT);
        let mut chance = Chance::of(seed, Purpose::Option, self.thing(contract), time);
        let mut size = || shares(1 + chance.below(200));
        Some(Tick::Quote(Quote {
            symbol: contract.to_string(),
            bid: price(bid),
            bid_size: size(),
            ask: price(ask),
            ask_size: size(),
            at: spot.at,
        }))
    }

    /// Contracts open, more of what is near the money and of monthlies, and those traded so far in the session.
    fn interest(
        &self,
        seed: u64,
        contract: &Contract,
        paths: &Paths,
        second: usize,
        at: MarketTime,
    ) -> Tick {
        let Day { session, opens, .. } = &*paths.day;
        let stock = &STOCKS[self.stock];
        let thing = self.thing(contract);
        let away = self.strike as f64 / 1_000.0 / opens[self.stock] - 1.0;
        let away = away / (stock.volatility * OPEN_WIDTH);
        let months = if self.monthly { OPEN_MONTHLY } else { 1.0 };
        let drawn = 0.5 + Chance::of(seed, Purpose::Interest, thing, 0).unit();
        let open = stock.volume * OPEN_PART * months * drawn / (1.0 + away * away);
        let of_day = Chance::of(seed, Purpose::Interest, thing, paths.day.number()).unit();
        let length = (session.close - session.open).num_seconds().max(1) as f64;
        let traded = open * TRADED * of_day * (second as f64 / length).min(1.0);
        Tick::OpenInterest(OpenInterest {
            symbol: contract.to_string(),
            value: shares(open as u64),
            volume: Some(shares(traded as u64)),
            at,
        })
    }

    /// A number that no other contract has: what draws of it are made from.
    fn thing(&self, contract: &Contract) -> usize {
        let expiration = contract.expiration().num_days_from_ce().unsigned_abs() as usize;
        let right = usize::from(contract.right() == Right::Put);
        let strike = self.strike.unsigned_abs() as usize;
        ((self.stock << 24 | expiration) << 1 | right) << 28 | strike
    }
}

/// The distance of strikes in ticks, of a stock that opens at so many dollars.
fn step(open: f64, monthly: bool) -> i64 {
    let weekly = match to_tick(open) {
        ..2_500 => 50,
        2_500..10_000 => 100,
        10_000..25_000 => 250,
        25_000..50_000 => 500,
        _ => 1_000,
    };
    if monthly { MONTHLY_STEPS * weekly } else { weekly }
}

/// The strikes in ticks that are listed at an open: whole steps, [`STRIKES`] on each side of the nearest one.
fn window(open: f64, monthly: bool) -> impl Iterator<Item = i64> {
    let step = step(open, monthly);
    let nearest = (to_tick(open) + step / 2) / step;
    (nearest - STRIKES..=nearest + STRIKES).filter(|n| *n > 0).map(move |n| n * step)
}

/// A strike in thousandths after so many splits two for one, each to the thousandth, half to even; `None` of nothing.
fn after_splits(strike: i64, splits: u32) -> Option<i64> {
    let halved = |strike: i64, _| strike / 2 + if strike % 4 == 3 { 1 } else { 0 };
    Some((0..splits).fold(strike, halved)).filter(|strike| *strike > 0)
}

/// Whether a strike in thousandths is the nearest to the open, or next to it.
fn is_near(strike: i64, open: f64, monthly: bool) -> bool {
    let step = step(open, monthly) * THOUSANDTHS;
    2 * (strike - to_tick(open) * THOUSANDTHS).abs() <= 3 * step
}

#[cfg(test)]
#[path = "chains_tests.rs"]
mod tests;
