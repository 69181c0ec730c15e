//! Random options on one underlying: what they need never grows with a hedge, grows with their number exactly, is the
//! least that a naive search finds, and is enough for the worst that can happen.

use std::collections::BTreeMap;

use aggregates::margin::{
    MOST_CONTRACTS, NakedPuts, OptionHolding, Underlying, options_requirement,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::margin_options::holding;

/// Contracts (negative is short), whether a call, strike in dollars, days to the expiration, mark in cents.
type Held = (i64, bool, i64, u8, i64);

/// Everything on one underlying: its price in cents, hundreds of shares, options.
type Scene = (i64, i64, Vec<Held>);

fn held(most: i64, days: u8) -> impl Strategy<Value = Held> {
    let qty = (1..=most, any::<bool>()).prop_map(|(qty, short)| if short { -qty } else { qty });
    (qty, any::<bool>(), (0i64..9).prop_map(|step| 80 + 5 * step), 0..=days, 0i64..3_000)
}

fn scene(
    legs: std::ops::RangeInclusive<usize>,
    most: i64,
    days: u8,
) -> impl Strategy<Value = Scene> {
    let options = prop::collection::vec(held(most, days), legs);
    (6_000i64..14_000, -2i64..=2, options).prop_map(|(price, lots, options)| {
        // One of each contract, as a portfolio has it.
        let mut of: BTreeMap<(bool, i64, u8), Held> = BTreeMap::new();
        for it in options {
            of.entry((it.1, it.2, it.3)).or_insert(it);
        }
        (price, lots, of.into_values().collect())
    })
}

fn text(qty: i64, (_, call, strike, day, mark): Held) -> String {
    let right = if call { 'C' } else { 'P' };
    format!("{qty} {right}{strike}+{day} @{}.{:02}", mark / 100, mark % 100)
}

/// What a scene needs, in cents, n times.
fn needed(scene: &Scene, times: i64) -> i64 {
    cover(scene, times).0
}

/// What a scene needs, in cents, n times, and how many units each strategy has.
fn cover((price, lots, options): &Scene, times: i64) -> (i64, Vec<Decimal>) {
    let underlying = Underlying {
        price: format!("{}.{:02}", price / 100, price % 100).parse().unwrap(),
        shares: (lots * 100 * times).to_string().parse().unwrap(),
        broad_index: false,
    };
    let holdings: Vec<OptionHolding> =
        options.iter().map(|it| holding(&text(it.0 * times, *it))).collect();
    let found = options_requirement(&underlying, &holdings, NakedPuts::Margined).unwrap();
    check_strategies(&found, &underlying, &holdings);
    let units = found.strategies.iter().map(|it| it.units.decimal());
    (cents(found.requirement.decimal()), units.collect())
}

/// Whether it is whole but for what was rounded off at the 9th decimal.
fn is_whole(units: Decimal) -> bool {
    (units - units.round()).abs() < Decimal::new(1, 8)
}

fn cents(amount: Decimal) -> i64 {
    (amount * Decimal::ONE_HUNDRED).try_into().unwrap()
}

/// The strategies hold exactly what is held, no more shares than there are, and need what is needed.
fn check_strategies(
    found: &aggregates::margin::OptionsRequirement,
    underlying: &Underlying,
    holdings: &[OptionHolding],
) {
    let mut named = BTreeMap::new();
    let mut sum = 0;
    let mut rounded = Decimal::ZERO;
    for strategy in &found.strategies {
        assert!(strategy.units.is_positive(), "{found:?}");
        sum += cents(strategy.requirement.decimal());
        for leg in &strategy.legs {
            let qty = strategy.units.decimal() * Decimal::from(leg.ratio);
            // Units are told to the 9th decimal.
            rounded += Decimal::new(1, 9) * Decimal::from(leg.ratio.abs());
            *named.entry(leg.contract.clone()).or_insert(Decimal::ZERO) += qty;
        }
    }
    let stock = named.remove(&None).unwrap_or_default();
    let lots = underlying.shares.decimal();
    assert!(stock.is_zero() || stock * lots > 0.into() && stock.abs() <= lots.abs(), "{found:?}");
    for it in holdings {
        let told = named.remove(&Some(it.contract.clone())).unwrap_or_default();
        assert!((told - it.qty.decimal()).abs() <= rounded, "{told} {it:?} {found:?}");
    }
    assert!(named.is_empty(), "{found:?}");
    let least = cents(found.requirement.decimal());
    let most = least + i64::try_from(found.strategies.len()).unwrap();
    assert!((least..=most).contains(&sum), "{sum} {found:?}");
}

/// What exercising a share of it brings, in dollars.
fn pays((_, call, strike, _, _): Held, price: i64) -> i64 {
    if call { (price - strike).max(0) } else { (strike - price).max(0) }
}

/// Premium, and all that one short contract needs by itself, in cents a contract.
fn naked(price: i64, (_, call, strike, _, mark): Held) -> (i64, i64) {
    let strike = strike * 100;
    let out = if call { strike - price } else { price - strike }.max(0);
    let floor = if call { price } else { strike };
    // In tenths of a cent a share; a hundred shares.
    let beyond = (2 * price - 10 * out).max(floor);
    (mark * 100, mark * 100 + beyond * 10)
}

/// A naked call with a naked put, in cents.
fn straddle(one: (i64, i64), other: (i64, i64)) -> i64 {
    let (more, less) =
        if (one.1, other.0) > (other.1, one.0) { (one, other) } else { (other, one) };
    more.1 + less.0
}

/// The least of all ways to put whole contracts into covers, in cents, by trying them all.
fn naive((price, lots, options): &Scene, times: i64) -> i64 {
    let options: Vec<Held> =
        options.iter().map(|it| (it.0 * times, it.1, it.2, it.3, it.4)).collect();
    let rest: Vec<i64> = options.iter().map(|it| it.0).collect();
    let shorts: Vec<usize> = (0..options.len()).filter(|at| options[*at].0 < 0).collect();
    let mut best = i64::MAX;
    let spread = BTreeMap::new();
    let mut pieces = Pieces { price: *price, options, spread, by_shares: 0, best: &mut best };
    pieces.short(&shorts, lots * times, &rest, &[]);
    best
}

struct Pieces<'a> {
    price: i64,
    options: Vec<Held>,
    /// Contracts in the spread of each day, by leg.
    spread: BTreeMap<(u8, usize), i64>,
    /// What those need that shares cover: they bring no more than the strike.
    by_shares: i64,
    best: &'a mut i64,
}

impl Pieces<'_> {
    /// For each short in turn: how many are covered by shares, how many are in the spread of its day; others are naked.
    fn short(&mut self, left: &[usize], lots: i64, rest: &[i64], alone: &[(usize, i64)]) {
        let Some((at, left)) = left.split_first() else {
            let longs: Vec<usize> =
                (0..self.options.len()).filter(|at| self.options[*at].0 > 0).collect();
            return self.long(&longs, rest, alone);
        };
        let (qty, call, _, day, _) = self.options[*at];
        let fits = if call { lots.max(0) } else { (-lots).max(0) };
        let (before, strike) = (self.by_shares, self.options[*at].2 * 100);
        let inside = if call { self.price - strike } else { strike - self.price }.max(0);
        for covered in 0..=fits.min(-qty) {
            self.by_shares = before + covered * inside * 100;
            for spread in 0..=-qty - covered {
                self.spread.insert((day, *at), -spread);
                let lots = if call { lots - covered } else { lots + covered };
                let mut alone = alone.to_vec();
                alone.push((*at, -qty - covered - spread));
                self.short(left, lots, rest, &alone);
            }
        }
        self.by_shares = before;
        self.spread.remove(&(day, *at));
    }

    /// For each long in turn: how many are in the spread of which day.
    fn long(&mut self, left: &[usize], rest: &[i64], alone: &[(usize, i64)]) {
        let Some((at, after)) = left.split_first() else {
            let cost = self.by_shares + self.spreads() + self.strangles(alone);
            *self.best = cost.min(*self.best);
            return;
        };
        let mut days: Vec<u8> = self.spread.keys().map(|(day, _)| *day).collect();
        days.dedup();
        days.retain(|day| *day <= self.options[*at].3);
        self.place(*at, &days, rest[*at], after, rest, alone);
    }

    fn place(
        &mut self,
        at: usize,
        days: &[u8],
        free: i64,
        after: &[usize],
        rest: &[i64],
        alone: &[(usize, i64)],
    ) {
        let Some((day, days)) = days.split_first() else {
            return self.long(after, rest, alone);
        };
        for qty in 0..=free {
            self.spread.insert((*day, at), qty);
            self.place(at, days, free - qty, after, rest, alone);
        }
        self.spread.remove(&(*day, at));
    }

    /// What the spreads need; out of reach when one is short more than it is long of a right.
    fn spreads(&self) -> i64 {
        let mut days: BTreeMap<u8, Vec<(usize, i64)>> = BTreeMap::new();
        for ((day, at), qty) in &self.spread {
            days.entry(*day).or_default().push((*at, *qty));
        }
        let mut sum = 0;
        for legs in days.into_values() {
            for call in [true, false] {
                let of = legs.iter().filter(|(at, _)| self.options[*at].1 == call);
                if of.map(|(_, qty)| qty).sum::<i64>() < 0
                    && legs.iter().any(|(at, qty)| self.options[*at].1 == call && *qty < 0)
                {
                    return i64::MAX / 4;
                }
            }
            let loss = |price| -> i64 {
                legs.iter().map(|(at, qty)| -qty * pays(self.options[*at], price)).sum()
            };
            sum += (0..=40).map(|step| loss(step * 5)).max().unwrap().max(0) * 10_000;
        }
        sum
    }

    /// What is naked needs, with as many calls beside puts as is cheapest.
    fn strangles(&self, alone: &[(usize, i64)]) -> i64 {
        let of = |call| {
            let those = alone.iter().filter(move |(at, _)| self.options[*at].1 == call);
            those.flat_map(|(at, qty)| {
                std::iter::repeat_n(
                    naked(self.price, self.options[*at]),
                    usize::try_from(*qty).unwrap(),
                )
            })
        };
        let (calls, puts): (Vec<_>, Vec<_>) = (of(true).collect(), of(false).collect());
        // The least for these calls, when the puts in `taken` are taken: each call alone, or with one of the others.
        let mut least: BTreeMap<u32, i64> = BTreeMap::from([(0, 0)]);
        for call in &calls {
            let mut next: BTreeMap<u32, i64> = BTreeMap::new();
            let mut note = |taken, cost: i64| {
                let best = next.entry(taken).or_insert(i64::MAX);
                *best = cost.min(*best);
            };
            for (taken, cost) in &least {
                note(*taken, cost + call.1);
                for (at, put) in puts.iter().enumerate().filter(|(at, _)| taken & (1 << at) == 0) {
                    note(taken | 1 << at, cost + straddle(*call, *put));
                }
            }
            least = next;
        }
        let others = |taken: u32| -> i64 {
            puts.iter()
                .enumerate()
                .filter(|(at, _)| taken & (1 << at) == 0)
                .map(|(_, put)| put.1)
                .sum()
        };
        least.into_iter().map(|(taken, cost)| cost + others(taken)).min().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_is_not_below_zero_nor_above_what_all_shorts_need_alone(scene in scene(1..=8, 9, 3)) {
        let found = needed(&scene, 1);
        let alone: i64 = scene.2.iter().filter(|it| it.0 < 0).map(|it| -it.0 * naked(scene.0, *it).1).sum();
        prop_assert!((0..=alone).contains(&found), "{found} {alone}");
    }

    #[test]
    fn a_hedge_never_raises_it(scene in scene(1..=7, 5, 3), hedge in held(5, 3), lots in 0i64..3) {
        let before = needed(&scene, 1);
        let mut hedged = scene.clone();
        // Another mark would make it another market.
        match hedged.2.iter_mut().find(|it| (it.1, it.2, it.3) == (hedge.1, hedge.2, hedge.3)) {
            Some(held) if held.0 > 0 => held.0 += hedge.0.abs(),
            Some(_) => {}
            None => hedged.2.push((hedge.0.abs(), hedge.1, hedge.2, hedge.3, hedge.4)),
        }
        let with_option = needed(&hedged, 1);
        prop_assert!(with_option <= before, "{with_option} {before}");
        hedged.1 += if hedged.1 < 0 { -lots } else { lots };
        let with_shares = needed(&hedged, 1);
        prop_assert!(with_shares <= with_option, "{with_shares} {with_option}");
    }

    #[test]
    fn buying_a_short_back_never_raises_it(scene in scene(1..=7, 5, 3), which in any::<prop::sample::Index>()) {
        let before = needed(&scene, 1);
        let mut closed = scene.clone();
        let at = which.index(closed.2.len());
        if closed.2[at].0 < 0 {
            closed.2[at].0 += 1;
        }
        let after = needed(&closed, 1);
        prop_assert!(after <= before, "{after} {before}");
    }

    #[test]
    fn n_times_the_holdings_need_n_times_as_much(scene in scene(1..=8, 5, 3), times in 2i64..7) {
        let (one, many) = (needed(&scene, 1), needed(&scene, times));
        // Both are rounded up, once.
        prop_assert!(many <= one * times && many > (one - 1) * times, "{one} {many}");
    }

    #[test]
    fn a_bounded_loss_needs_no_more_than_the_worst_when_all_expire_together(scene in scene(1..=8, 5, 0)) {
        let mut scene = (scene.0, 0, scene.2);
        // As many longs of each right as shorts, by a last long far out of the money.
        for call in [true, false] {
            let short: i64 = scene.2.iter().filter(|it| it.1 == call).map(|it| it.0).sum();
            if short < 0 {
                scene.2.push((-short, call, if call { 130 } else { 70 }, 0, 1));
            }
        }
        let loss = |price| scene.2.iter().map(|it| -it.0 * pays(*it, price)).sum::<i64>();
        let worst = (0..=30).map(|step| loss(step * 5)).max().unwrap().max(0) * 10_000;
        prop_assert!(needed(&scene, 1) <= worst);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_hedge_never_raises_what_many_contracts_need(scene in scene(60..=80, 5, 3), hedge in held(5, 3)) {
        let mut scene = scene;
        scene.2.truncate(MOST_CONTRACTS - 1);
        let before = needed(&scene, 1);
        let is_held = scene.2.iter().any(|it| (it.1, it.2, it.3) == (hedge.1, hedge.2, hedge.3));
        scene.2.retain(|it| (it.1, it.2, it.3) != (hedge.1, hedge.2, hedge.3) || it.0 < 0);
        let without = needed(&scene, 1);
        prop_assert!(!is_held || without >= before, "{without} {before}");
        if scene.2.iter().all(|it| (it.1, it.2, it.3) != (hedge.1, hedge.2, hedge.3)) {
            scene.2.push((hedge.0.abs(), hedge.1, hedge.2, hedge.3, hedge.4));
            let after = needed(&scene, 1);
            prop_assert!(after <= without, "{after} {without}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_is_the_least_that_a_search_of_all_covers_finds(scene in scene(1..=4, 2, 1)) {
        let (found, units) = cover(&scene, 1);
        // Parts of contracts are whole contracts of several times the holdings.
        let parts = (1..=3).find(|parts| units.iter().all(|units| is_whole(*units * Decimal::from(*parts))));
        let contracts: i64 = scene.2.iter().map(|it| it.0.abs()).sum();
        let Some(parts) = parts.filter(|parts| parts * contracts <= 14) else {
            return Err(TestCaseError::reject("too many covers to try them all"));
        };
        let least = naive(&scene, parts);
        prop_assert_eq!(found, least.div_euclid(parts) + i64::from(least % parts > 0));
        prop_assert!(found <= naive(&scene, 1));
    }
}
