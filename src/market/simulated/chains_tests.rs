//! Which contracts are listed and what is told of them, on the lines of the market.

use aggregates::instrument::ExerciseStyle;
use aggregates::money::Quantity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use rust_decimal::prelude::ToPrimitive;

use super::*;
use crate::market::calendar::Calendar;
use crate::market::simulated::{Model, Simulated};
use crate::market::source::MarketData;

/// Contracts that the open of one day lists: three underlyings, four expirations, nine strikes, call and put.
const OF_AN_OPEN: usize = 3 * 4 * 9 * 2;

fn at(text: &str) -> MarketTime {
    text.parse().unwrap()
}

/// The lines of a market begun at an instant, up to another one.
fn told(seed: u64, calendar: Calendar, from: &str, until: &str) -> Vec<Tick> {
    let (from, until) = (at(from), at(until));
    let mut market = Simulated::new(Arc::new(Model::new(seed, calendar)), from);
    market.begin(None);
    let mut lines = Vec::new();
    while market.peek().unwrap().is_some_and(|tick| tick.at().is_none_or(|at| at <= until)) {
        lines.extend(market.take().unwrap());
    }
    lines
}

fn contract_of(tick: &Tick) -> Option<Contract> {
    tick.symbol()?.parse().ok()
}

fn listed(lines: &[Tick]) -> Vec<Contract> {
    let chains = lines.iter().filter_map(|tick| match tick {
        Tick::Chain(chain) => Some(&chain.contracts),
        _ => None,
    });
    chains.flatten().map(|symbol| symbol.parse().unwrap()).collect()
}

/// The instants at which each contract was quoted.
fn quoted(lines: &[Tick]) -> BTreeMap<Contract, Vec<MarketTime>> {
    let mut quoted: BTreeMap<Contract, Vec<MarketTime>> = BTreeMap::new();
    for tick in lines {
        if let (Tick::Quote(quote), Some(contract)) = (tick, contract_of(tick)) {
            assert!(quote.bid.is_positive() && quote.bid < quote.ask, "{quote:?}");
            quoted.entry(contract).or_default().push(quote.at);
        }
    }
    quoted
}

/// Chains that begin on one day, without those before.
fn of_day(model: &Model, date: &str) -> Chains {
    let open = Calendar::nyse().session_on(date.parse().unwrap()).unwrap().unwrap().open;
    model.chains(&model.day_from(open).unwrap())
}

#[test]
fn every_contract_is_listed_before_its_first_line_and_once() {
    for (calendar, from, until) in [
        (Calendar::always(), "2026-11-28T03:50:03.250Z", "2026-11-28T05:10:00Z"),
        (Calendar::nyse(), "2026-11-27T17:50:03Z", "2026-11-30T15:00:00Z"),
    ] {
        let lines = told(3, calendar, from, until);
        let mut known = BTreeSet::new();
        for tick in &lines {
            if let Tick::Chain(chain) = tick {
                assert_eq!(chain.style, Some(ExerciseStyle::American));
                assert!(chain.contracts.len() <= Chain::MAX_CONTRACTS);
                for symbol in &chain.contracts {
                    let contract: Contract = symbol.parse().unwrap();
                    assert!(contract.may_be_on(&chain.underlying));
                    assert!(known.insert(contract), "{symbol} is listed twice");
                }
            } else if let Some(contract) = contract_of(tick) {
                assert!(known.contains(&contract), "{tick:?}");
            }
        }
        let new = known.iter().filter(|it| it.expiration() == date("2026-12-11")).count();
        assert!(new >= 3 * 9 * 2, "what comes next is listed when another is over: {new}");
    }
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[test]
fn a_quote_of_each_that_is_worth_one_opens_the_market_and_none_gets_older_than_a_minute() {
    let (from, until) = ("2026-11-23T15:00:07Z", "2026-11-23T15:20:00Z");
    let lines = told(7, Calendar::always(), from, until);
    let (listed, quoted) = (listed(&lines), quoted(&lines));
    assert!(listed.len() >= OF_AN_OPEN, "{}", listed.len());
    assert!(quoted.len() > listed.len() * 4 / 5, "{} of {}", quoted.len(), listed.len());
    let mut near = 0;
    for (contract, times) in &quoted {
        // What falls below half a cent is quoted now and then.
        if times.len() < 20 {
            continue;
        }
        assert!(times[0] <= at(from), "{contract}");
        let gaps = times.windows(2).map(|two| two[1] - two[0]);
        let longest = gaps.max().unwrap();
        assert!(longest < TimeDelta::minutes(1), "{contract}: {longest}");
        near += usize::from(longest < TimeDelta::seconds(40));
    }
    assert!(near >= 3 * 4 * 3 * 2 - 6, "those around the money come more often: {near}");
}

#[test]
fn the_lines_of_ten_seconds_are_bounded_by_a_share_of_the_contracts() {
    let lines = told(7, Calendar::always(), "2026-11-23T15:00:07Z", "2026-11-23T15:20:00Z");
    let contracts = listed(&lines).len();
    let mut beats: BTreeMap<i64, usize> = BTreeMap::new();
    for times in quoted(&lines).values() {
        for at in times {
            *beats.entry(at.timestamp() / BEAT).or_default() += 1;
        }
    }
    assert!(beats.len() > 120);
    let most = *beats.values().max().unwrap();
    assert!(most <= contracts * 2 / 5, "{most} of {contracts}");
}

#[test]
fn a_contract_that_the_price_has_left_is_quoted_until_it_expires() {
    let model = Model::new(11, Calendar::nyse());
    let mut alive: BTreeSet<Contract> = BTreeSet::new();
    let mut day = model.day_from(at("2026-01-02T15:00:00Z")).unwrap();
    let mut left = 0;
    for _ in 0..80 {
        let today = day.session.date;
        let chains = model.chains(&day);
        let contracts: BTreeSet<Contract> = chains.contracts().cloned().collect();
        for contract in &alive {
            assert!(contract.expiration() < today || contracts.contains(contract), "{contract}");
        }
        assert!(contracts.iter().all(|contract| contract.expiration() >= today), "{today}");
        left = left.max(contracts.len() - OF_AN_OPEN);
        alive = contracts;
        day = model.day_from(day.session.close).unwrap();
    }
    assert!(left > 50, "prices move: {left}");
    assert!(alive.len() < 3 * OF_AN_OPEN, "{}", alive.len());
}

#[test]
fn nothing_is_told_of_a_contract_from_its_expiration_on() {
    // 2026-11-27 is a Friday on which the exchange closes at 13:00 in New York; this market goes on.
    let lines = told(2, Calendar::always(), "2026-11-27T17:50:00Z", "2026-11-27T18:10:00Z");
    let over = at("2026-11-27T18:00:00Z");
    let (mut before, mut after) = (0, 0);
    for tick in &lines {
        let Some(contract) = contract_of(tick) else { continue };
        if contract.expiration() == date("2026-11-27") {
            before += 1;
            assert!(tick.at().unwrap() < over, "{tick:?}");
        } else if tick.at().unwrap() >= over {
            after += 1;
        }
    }
    assert!(before > 100 && after > 100, "{before} {after}");
}

#[test]
fn what_was_listed_before_a_split_is_quoted_on_as_what_it_became() {
    let model = Model::new(1, Calendar::nyse());
    let stocks = UNDERLYINGS.map(|it| STOCKS.iter().position(|stock| stock.symbol == it).unwrap());
    let splits =
        |day: &Day| stocks.iter().find(|it| day.actions.contains(&(**it, Action::Split))).copied();
    let mut before = model.day_from(at("2000-01-03T15:00:00Z")).unwrap();
    let (day, stock) = loop {
        let day = model.day_from(before.session.close).expect("some year has a split");
        if let Some(stock) = splits(&day) {
            break (day, stock);
        }
        before = day;
    };
    let two = Quantity::new(2.into()).unwrap();
    let of = |day| -> BTreeSet<Contract> {
        let chains = model.chains(day);
        let own = chains.contracts().filter(|contract| contract.root() == STOCKS[stock].symbol);
        own.cloned().collect()
    };
    let (old, new) = (of(&before), of(&day));
    let alive = old.iter().filter(|contract| contract.expiration() >= day.session.date);
    let become_others: BTreeSet<Contract> =
        alive.map(|contract| contract.divided_by(two).unwrap()).collect();
    assert!(become_others.len() >= 3 * 9 * 2 && become_others.is_subset(&new));
    let listings = model.chains(&day).listings(&model.chains(&before));
    let listed: BTreeSet<Contract> = listed(&listings).into_iter().collect();
    assert!(become_others.difference(&old).all(|contract| listed.contains(contract)));
    // What kept its symbol is another contract now, and no strike is far from the money.
    let open = day.opens[stock];
    for contract in &new {
        let away = contract.strike().decimal().to_f64().unwrap() / open;
        assert!((0.6..1.6).contains(&away), "{contract} at {open}");
    }
}

#[test]
fn a_strike_is_halved_to_the_thousandth_half_to_even() {
    for (strike, once, twice) in
        [(1_000, 500, 250), (247_500, 123_750, 61_875), (25, 12, 6), (27, 14, 7)]
    {
        assert_eq!((after_splits(strike, 1), after_splits(strike, 2)), (Some(once), Some(twice)));
    }
    assert_eq!((after_splits(7, 0), after_splits(1, 1)), (Some(7), None));
}

#[test]
fn open_interest_is_told_at_the_start_and_each_hour_at_no_one_time_and_volume_grows_in_a_session() {
    let lines = told(7, Calendar::nyse(), "2026-11-23T14:45:00Z", "2026-11-23T20:59:00Z");
    let mut told: BTreeMap<&str, Vec<&OpenInterest>> = BTreeMap::new();
    let mut beats: BTreeMap<i64, usize> = BTreeMap::new();
    for tick in &lines {
        if let Tick::OpenInterest(interest) = tick {
            told.entry(&interest.symbol).or_default().push(interest);
            *beats.entry(interest.at.timestamp() / BEAT).or_default() += 1;
        }
    }
    assert_eq!(told.len(), listed(&lines).len());
    for (symbol, told) in &told {
        assert_eq!(told[0].at, at("2026-11-23T14:44:00Z"), "{symbol}");
        let gaps: Vec<i64> =
            told.windows(2).map(|two| (two[1].at - two[0].at).num_seconds()).collect();
        assert!(
            gaps.len() >= 6 && gaps.iter().all(|gap| *gap <= 3_600 + BEAT),
            "{symbol} {gaps:?}"
        );
        assert!(told.is_sorted_by_key(|interest| interest.volume), "{symbol}");
        assert!(told.iter().all(|interest| interest.value == told[0].value), "{symbol}");
    }
    // After the start, which is the first beat of all.
    let most = beats.values().skip(1).max().unwrap();
    assert!(*most <= 8, "{most}");
    let last = told.values().map(|told| told.last().unwrap().volume.unwrap());
    let sum: i64 = last.map(|volume| volume.decimal().to_i64().unwrap()).sum();
    assert!(sum > 10_000, "{sum}");
}

#[test]
fn rates_are_told_before_the_chains_need_them_and_at_each_open() {
    let lines = told(7, Calendar::nyse(), "2026-11-23T20:55:00Z", "2026-11-24T15:00:00Z");
    let rates: Vec<&Rate> = lines
        .iter()
        .filter_map(|tick| if let Tick::Rate(rate) = tick { Some(rate) } else { None })
        .collect();
    assert_eq!(rates.len(), 2 * (1 + UNDERLYINGS.len()));
    let first_quote = lines.iter().position(|tick| matches!(tick, Tick::Quote(_))).unwrap();
    let first_rate = lines.iter().position(|tick| matches!(tick, Tick::Rate(_))).unwrap();
    assert!(first_rate < first_quote);
    assert_eq!(rates[0].value.to_string(), "0.04");
    assert_eq!(
        (rates[1].symbol.as_deref(), rates[1].value.to_string()),
        (Some("SPY"), "0.013".into())
    );
    assert_eq!(rates[4].at, at("2026-11-24T14:30:00Z"));
}

#[test]
fn no_two_contracts_are_drawn_alike() {
    let chains = of_day(&Model::new(4, Calendar::nyse()), "2026-11-23");
    let things: BTreeSet<usize> = chains
        .0
        .iter()
        .flat_map(|listed| listed.contracts.iter().map(|contract| listed.thing(contract)))
        .collect();
    assert_eq!(things.len(), chains.contracts().count());
}
