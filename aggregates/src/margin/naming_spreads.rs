//! The names of spreads: a short with a long, and two of those together.

use num_integer::gcd;

use super::cover::{Leg, Part, Spread};
use super::naming::StrategyKind;
use crate::instrument::Right;

/// A named piece of a spread.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) kind: StrategyKind,
    /// How many times, in parts of contracts.
    pub(super) units: i128,
    /// Legs of one unit, negative is short.
    pub(super) legs: Vec<(usize, i128)>,
    /// The worst loss of all units: parts of contracts times billionths of a dollar a share.
    pub(super) loss: i128,
}

/// A short with a long of the same right.
#[derive(Clone, Copy)]
struct Pair {
    short: usize,
    long: usize,
    units: i128,
    loss: i128,
}

/// The pieces of a spread, which need together what it needs, and the longs that none of them takes.
pub(super) fn pieces(legs: &[Leg], spread: &Spread) -> (Vec<Piece>, Vec<Part>) {
    let (mut pairs, mut surplus) = (Vec::new(), Vec::new());
    for right in Right::ALL {
        pair_up(legs, spread, right, &mut pairs, &mut surplus);
    }
    pairs.sort_by_key(|pair| -pair.loss);
    let needs = |pieces: &[Piece]| pieces.iter().map(|piece| piece.loss).sum::<i128>();
    for told in [in_fours(legs, pairs.clone()), in_twos(legs, &pairs)] {
        if needs(&told) == spread.loss {
            return (told, surplus);
        }
    }
    let all = spread.shorts.iter().map(|(at, qty)| (*at, -qty)).chain(spread.longs.iter().copied());
    let all: Vec<Part> = all.collect();
    let units = all.iter().fold(0, |units, (_, qty)| gcd(units, *qty)).max(1);
    let mut legs: Vec<Part> = all.into_iter().map(|(at, qty)| (at, qty / units)).collect();
    legs.sort_unstable();
    (vec![Piece { kind: StrategyKind::Spread, units, legs, loss: spread.loss }], Vec::new())
}

/// Each short with the long that is nearest to being in the money of those that are left, from there on outwards: no
/// other way loses less in sum.
fn pair_up(
    legs: &[Leg],
    spread: &Spread,
    right: Right,
    pairs: &mut Vec<Pair>,
    surplus: &mut Vec<Part>,
) {
    let sorted = |parts: &[Part]| {
        let mut parts: Vec<Part> =
            parts.iter().copied().filter(|(at, _)| legs[*at].contract.right() == right).collect();
        parts.sort_by_key(|(at, _)| match right {
            Right::Call => legs[*at].strike,
            Right::Put => -legs[*at].strike,
        });
        parts
    };
    let mut longs = sorted(&spread.longs).into_iter();
    let mut long = longs.next();
    for (short, mut qty) in sorted(&spread.shorts) {
        while let Some((at, free)) = long.filter(|_| qty > 0) {
            let units = qty.min(free);
            let loss = worst(legs, &[(short, -1), (at, 1)]);
            pairs.push(Pair { short, long: at, units, loss });
            qty -= units;
            long = if free > units { Some((at, free - units)) } else { longs.next() };
        }
    }
    surplus.extend(long.into_iter().chain(longs));
}

/// The worst loss of a unit of these legs, a share.
fn worst(all: &[Leg], legs: &[(usize, i128)]) -> i128 {
    let prices = legs.iter().map(|(at, _)| all[*at].strike).chain([0]);
    let loss = |price| legs.iter().map(|(at, ratio)| -ratio * all[*at].pays(price)).sum::<i128>();
    prices.map(loss).max().unwrap_or(0).max(0)
}

fn in_twos(legs: &[Leg], pairs: &[Pair]) -> Vec<Piece> {
    pairs.iter().map(|pair| two(legs, *pair)).collect()
}

fn two(legs: &[Leg], Pair { short, long, units, loss }: Pair) -> Piece {
    let (one, other) = (&legs[short], &legs[long]);
    let together = one.contract.expiration() == other.contract.expiration();
    let kind = match (together, one.strike == other.strike, loss > 0) {
        (true, _, true) => StrategyKind::CreditVertical,
        (true, _, false) => StrategyKind::DebitVertical,
        (false, true, _) => StrategyKind::Calendar,
        (false, false, _) => StrategyKind::Diagonal,
    };
    Piece { kind, units, legs: vec![(short, -1), (long, 1)], loss: loss * units }
}

/// Pairs two and two where they have a name together, the greatest losses first.
fn in_fours(legs: &[Leg], mut pairs: Vec<Pair>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for at in 0..pairs.len() {
        for with in at + 1..pairs.len() {
            let (one, other) = (pairs[at], pairs[with]);
            let units = one.units.min(other.units);
            if units == 0 {
                continue;
            }
            let Some(kind) = four(legs, one, other) else { continue };
            pairs[at].units -= units;
            pairs[with].units -= units;
            let legs_of =
                unit(&[(one.short, -1), (one.long, 1), (other.short, -1), (other.long, 1)]);
            let loss = worst(legs, &legs_of) * units;
            pieces.push(Piece { kind, units, legs: legs_of, loss });
        }
    }
    pairs.retain(|pair| pair.units > 0);
    pieces.extend(in_twos(legs, &pairs));
    pieces
}

/// The legs by their places, one of each.
fn unit(parts: &[(usize, i128)]) -> Vec<(usize, i128)> {
    let mut legs: Vec<(usize, i128)> = Vec::with_capacity(parts.len());
    for (at, ratio) in parts {
        match legs.iter_mut().find(|(other, _)| other == at) {
            Some((_, sum)) => *sum += ratio,
            None => legs.push((*at, *ratio)),
        }
    }
    legs.sort_unstable();
    legs
}

/// What two pairs are called together; `None` for what has no name.
fn four(legs: &[Leg], one: Pair, other: Pair) -> Option<StrategyKind> {
    let all = [one.short, one.long, other.short, other.long];
    let leg = |at: usize| &legs[at];
    let expires = leg(one.short).contract.expiration();
    if all.iter().any(|at| leg(*at).contract.expiration() != expires) {
        return None;
    }
    let right = |pair: Pair| leg(pair.short).contract.right();
    if right(one) == right(other) {
        return of_one_right(legs, one, other);
    }
    let (put, call) = if right(one) == Right::Put { (one, other) } else { (other, one) };
    let [put_short, put_long, call_short, call_long] =
        [put.short, put.long, call.short, call.long].map(|at| leg(at).strike);
    if put_short == call_long && put_long == call_short {
        return Some(StrategyKind::Box);
    }
    let short = put_long < put_short && call_short < call_long;
    let long = put_short < put_long && call_long < call_short;
    let (low, high) = if short { (put_short, call_short) } else { (put_long, call_long) };
    match (short || long, low.cmp(&high)) {
        (true, std::cmp::Ordering::Less) => Some(StrategyKind::IronCondor),
        (true, std::cmp::Ordering::Equal) => Some(StrategyKind::IronButterfly),
        _ => None,
    }
}

fn of_one_right(legs: &[Leg], one: Pair, other: Pair) -> Option<StrategyKind> {
    let mut strikes = [(one.short, -1), (one.long, 1), (other.short, -1), (other.long, 1)]
        .map(|(at, sign)| (legs[at].strike, sign));
    strikes.sort_unstable();
    let [(low, a), (inner, b), (outer, c), (high, d)] = strikes;
    let wings = low < inner && outer < high && a == d && b == c && a != b;
    match (wings, inner == outer) {
        (true, true) => Some(StrategyKind::Butterfly),
        (true, false) => Some(StrategyKind::Condor),
        (false, _) => None,
    }
}
