//! The cover of short options that needs least: which of them is backed by what.
//!
//! Each short contract is in exactly one of these, each long one and each hundred shares in at most one:
//!
//! | cover | needs |
//! |---|---|
//! | none | the formula of `naked` |
//! | a short call by 100 shares that are held, a short put by 100 that are sold short | what it is in the money by: the shares are worth no more than the strike |
//! | a naked call with a naked put | the greater need and the other's premium |
//! | a spread: shorts of one expiration, and of each right at least as many longs that expire no sooner | the worst loss of all its legs together, at any price of the underlying when the shorts expire |
//!
//! A spread may have any number of legs, so a vertical, a condor and a whole book of them are one case: FINRA Rule
//! 4210(f)(2) has defined spreads so since 2012. A long that expires later is counted at what exercising it brings when
//! the shorts expire, and it is worth no less. The loss runs in straight lines from strike to strike, and what bends it down
//! are longs alone. As there are as many longs, it does not rise above the highest strike nor below the lowest. So it is
//! worst at the strike of a long, or there is none.
//!
//! The search is a linear program (`simplex`), so parts of contracts may be covered in different ways: what is
//! needed for n times the holdings is n times as much, and a long or shares more can only make the choice wider.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use num_integer::gcd;

use super::naked::Naked;
use super::simplex::{Program, Solution};
use crate::instrument::{Contract, MULTIPLIER, Right};

/// One contract that is held, in whole numbers.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) contract: Contract,
    /// Billionths of contracts; below zero is short.
    pub(super) qty: i128,
    /// Billionths of a dollar a share.
    pub(super) strike: i128,
    /// What it needs by itself.
    pub(super) naked: Naked,
    /// What one short needs that shares cover, in billionths of a dollar.
    pub(super) covered: i128,
}

impl Leg {
    /// Contracts that belong together stand together: by expiration, then strike, right and root.
    pub(super) fn order(&self) -> (NaiveDate, i128, Right, &str) {
        (self.contract.expiration(), self.strike, self.contract.right(), self.contract.root())
    }

    pub(super) fn is(&self, right: Right, short: bool) -> bool {
        self.contract.right() == right && (self.qty < 0) == short
    }

    /// What exercising one share of it brings at this price.
    pub(super) fn pays(&self, price: i128) -> i128 {
        match self.contract.right() {
            Right::Call => (price - self.strike).max(0),
            Right::Put => (self.strike - price).max(0),
        }
    }
}

/// So many parts of a contract (above zero) of the leg at this place.
pub(super) type Part = (usize, i128);

/// Shorts of one expiration and the longs that bound their loss.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    pub(super) shorts: Vec<Part>,
    pub(super) longs: Vec<Part>,
    /// Its worst loss: parts of contracts times billionths of a dollar a share.
    pub(super) loss: i128,
}

/// The cover that needs least.
#[derive(Clone, Debug)]
pub(super) struct Cover {
    /// What it needs, in billionths of contracts times billionths of a dollar.
    pub(super) cost: i128,
    /// Parts in which the amounts below are counted, `parts.0 / parts.1` billionths of a contract each.
    pub(super) parts: (i128, i128),
    pub(super) naked: Vec<Part>,
    /// By shares.
    pub(super) covered: Vec<Part>,
    /// Naked calls, each with a naked put.
    pub(super) straddles: Vec<(usize, usize, i128)>,
    pub(super) spreads: Vec<Spread>,
    /// Longs that nothing needs.
    pub(super) unused: Vec<Part>,
    /// Hundreds of shares that nothing needs; below zero of a short position.
    pub(super) lots: i128,
}

impl Cover {
    /// Billionths of hundreds of shares that nothing needs; `None` when they do not fit.
    pub(super) fn lots_left(&self) -> Option<i128> {
        Some(self.lots.checked_mul(self.parts.0)? / self.parts.1)
    }
}

/// The most parts in which amounts are told. Where a contract is divided in more, which takes a dozen contracts and more,
/// amounts are told a part too small at most; what they cost is exact all the same.
const MOST_PARTS: i128 = 1_000_000;

/// Finds the cover of `legs` that needs least, with so many billionths of hundreds of shares, below zero of a short
/// position. `None` when a number on the way does not fit.
pub(super) fn least(legs: &[Leg], lots: i128) -> Option<Cover> {
    let unit = legs.iter().fold(lots, |unit, leg| gcd(unit, leg.qty)).abs().max(1);
    let mut search = Search::begin(legs, unit, lots);
    search.straddles();
    let expirations: BTreeSet<NaiveDate> =
        legs.iter().filter(|leg| leg.qty < 0).map(|leg| leg.contract.expiration()).collect();
    for expiration in expirations {
        search.spread(expiration);
    }
    let Search { program, naked, covered, straddles, spreads, grain, .. } = search;
    let solution = program.solve()?;
    let parts = solution.parts(MOST_PARTS);
    let cost = solution.cost(unit)?;
    let found = Found { parts: parts.unwrap_or(MOST_PARTS), solution };
    let mut unused: Vec<i128> = Vec::with_capacity(legs.len());
    for leg in legs {
        unused.push((leg.qty.max(0) / unit).checked_mul(found.parts)?);
    }
    let mut told = Vec::with_capacity(spreads.len());
    for (shorts, longs, loss) in spreads {
        let (shorts, longs) = (found.all(&shorts)?, found.all(&longs)?);
        if shorts.is_empty() {
            continue;
        }
        longs.iter().for_each(|(at, qty)| unused[*at] -= qty);
        told.push(Spread { shorts, longs, loss: found.amount(loss)?.checked_mul(grain)? });
    }
    let covered = found.all(&covered)?;
    // A part more of each where they are told too small: no share covers twice.
    let more = i128::from(parts.is_none());
    let taken: i128 = covered.iter().map(|(_, qty)| qty + more).sum();
    Some(Cover {
        cost,
        parts: (unit, found.parts),
        naked: found.all(&naked)?,
        lots: ((lots / unit).abs().checked_mul(found.parts)? - taken).max(0) * lots.signum(),
        covered,
        straddles: found.pairs(&straddles)?,
        spreads: told,
        unused: unused.into_iter().enumerate().filter(|(_, qty)| *qty > 0).collect(),
    })
}

/// Legs at their places, each with the column that says how much of it.
type Columns = Vec<(usize, usize)>;

/// The program as it is written.
struct Search<'a> {
    legs: &'a [Leg],
    program: Program,
    /// Of each leg: all of a short is covered, of a long at most all is used.
    rows: Vec<usize>,
    naked: Columns,
    covered: Columns,
    straddles: Vec<(usize, usize, usize)>,
    /// Shorts, longs and the column of the worst loss.
    spreads: Vec<(Columns, Columns, usize)>,
    /// What all strikes are multiples of: losses are counted in it.
    grain: i128,
}

impl<'a> Search<'a> {
    fn begin(legs: &'a [Leg], unit: i128, lots: i128) -> Self {
        let mut program = Program::default();
        let (mut rows, mut naked, mut covered) = (Vec::new(), Vec::new(), Vec::new());
        for (at, leg) in legs.iter().enumerate() {
            rows.push(if leg.qty < 0 {
                let column = program.column(leg.naked.whole());
                naked.push((at, column));
                program.exactly(-leg.qty / unit, column)
            } else {
                program.at_most(leg.qty / unit)
            });
        }
        if lots != 0 {
            let right = if lots > 0 { Right::Call } else { Right::Put };
            let shares = program.at_most(lots.abs() / unit);
            for (at, leg) in legs.iter().enumerate().filter(|(_, leg)| leg.is(right, true)) {
                let column = program.column(leg.covered);
                program.term(rows[at], column, 1);
                program.term(shares, column, 1);
                covered.push((at, column));
            }
        }
        let grain = legs.iter().fold(0, |grain, leg| gcd(grain, leg.strike)).max(1);
        let (straddles, spreads) = (Vec::new(), Vec::new());
        Self { legs, program, rows, naked, covered, straddles, spreads, grain }
    }

    /// The places of the legs of which this is so.
    fn places(&self, is: impl Fn(&Leg) -> bool) -> Vec<usize> {
        let legs = self.legs.iter().enumerate();
        legs.filter(|(_, leg)| is(leg)).map(|(at, _)| at).collect()
    }

    fn straddles(&mut self) {
        let puts = self.places(|leg| leg.is(Right::Put, true));
        for call in self.places(|leg| leg.is(Right::Call, true)) {
            for put in &puts {
                let needed = self.legs[call].naked.with(self.legs[*put].naked);
                let column = self.program.column(needed);
                self.program.term(self.rows[call], column, 1);
                self.program.term(self.rows[*put], column, 1);
                self.straddles.push((call, *put, column));
            }
        }
    }

    /// The shorts that expire then, as one spread with longs that expire no sooner.
    fn spread(&mut self, expiration: NaiveDate) {
        let (mut shorts, mut longs) = (Vec::new(), Vec::new());
        for right in Right::ALL {
            let short =
                self.places(|leg| leg.is(right, true) && leg.contract.expiration() == expiration);
            let long =
                self.places(|leg| leg.is(right, false) && leg.contract.expiration() >= expiration);
            let as_many = self.program.at_most(0);
            // Shorts that no long bounds are in no spread.
            for at in short.into_iter().filter(|_| !long.is_empty()) {
                let column = self.program.column(0);
                self.program.term(self.rows[at], column, 1);
                self.program.term(as_many, column, 1);
                shorts.push((at, column));
            }
            for at in long {
                let column = self.program.column(0);
                self.program.term(self.rows[at], column, 1);
                self.program.term(as_many, column, -1);
                longs.push((at, column));
            }
        }
        if shorts.is_empty() {
            return;
        }
        let worst = self.program.column(self.grain * i128::from(MULTIPLIER));
        let prices: BTreeSet<i128> = longs.iter().map(|(at, _)| self.legs[*at].strike).collect();
        for price in prices {
            let loss = self.program.at_most(0);
            self.program.term(loss, worst, -1);
            for (at, column) in &shorts {
                let lost = self.legs[*at].pays(price) / self.grain;
                self.program.term(loss, *column, lost);
            }
            for (at, column) in &longs {
                let paid = self.legs[*at].pays(price) / self.grain;
                self.program.term(loss, *column, -paid);
            }
        }
        self.spreads.push((shorts, longs, worst));
    }
}

/// A solution, and the parts in which its amounts are told.
struct Found {
    solution: Solution,
    parts: i128,
}

impl Found {
    fn amount(&self, column: usize) -> Option<i128> {
        self.solution.amount(column, self.parts)
    }

    /// Those of which there are any.
    fn all(&self, columns: &[(usize, usize)]) -> Option<Vec<Part>> {
        let mut parts = Vec::with_capacity(columns.len());
        for (at, column) in columns {
            let qty = self.amount(*column)?;
            if qty > 0 {
                parts.push((*at, qty));
            }
        }
        Some(parts)
    }

    fn pairs(&self, columns: &[(usize, usize, usize)]) -> Option<Vec<(usize, usize, i128)>> {
        let mut pairs = Vec::with_capacity(columns.len());
        for (call, put, column) in columns {
            let qty = self.amount(*column)?;
            if qty > 0 {
                pairs.push((*call, *put, qty));
            }
        }
        Some(pairs)
    }
}
