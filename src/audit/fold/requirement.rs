//! What the options of an account need as margin, reckoned again in floating point: the least cost of all ways to cover the
//! short ones, by a linear program of its own that is solved in another way than the ledger's.
//!
//! A figure is compared within [`NEAR`]. Of more than [`EXACT_LEGS`] contracts on one underlying only the least is held
//! against what is stated, and what all shorts need alone as the most; of more than [`MOST_LEGS`] that alone.

#![expect(clippy::float_arithmetic, reason = "a check that allows for rounding; no money")]

use std::collections::BTreeMap;
use std::fmt;

use super::amount::Amount;
use super::fields::Fault;
use super::options::Terms;

/// How near a stated requirement has to be, of its size; and a cent for each underlying, as each is rounded up.
const NEAR: f64 = 1e-7;
/// Contracts on one underlying up to which the least is what belongs.
const EXACT_LEGS: usize = 8;
/// Contracts on one underlying of which the least is reckoned: of more, rounding in floating point does not stay small.
const MOST_LEGS: usize = 24;
/// Numbers below this are none.
const NONE: f64 = 1e-9;
/// Steps after which a program counts as one that has no end.
const STEPS: usize = 10_000;
/// Shares of a contract.
const SHARES: f64 = 100.0;

/// The options on one underlying, and what is held of it.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Shares and the price of one.
    pub(super) underlying: Option<(Amount, Amount)>,
    /// Contracts and their price in dollars a share.
    pub(super) options: Vec<(Terms, Amount, Amount)>,
}

/// What options may be stated to need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    least: f64,
    most: f64,
    /// Some of them are short.
    pub(super) short: bool,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.short {
            write!(f, "{:.2} to {:.2}", self.least.max(0.0), self.most)
        } else {
            f.write_str("0")
        }
    }
}

impl Range {
    pub(super) fn contains(&self, stated: Amount) -> bool {
        let stated = stated.float();
        self.least <= stated && stated <= self.most
    }
}

/// What the options in these books may need together. Secured puts need their strike.
pub(super) fn range<'a>(
    books: impl Iterator<Item = &'a Book>,
    secured: bool,
) -> Result<Range, Fault> {
    let mut all = Range::default();
    for book in books {
        let legs = legs(book, secured)?;
        if !legs.iter().any(|leg| leg.qty < 0.0) {
            continue;
        }
        let (shares, _) =
            book.underlying.ok_or("short options are on something without a price")?;
        let lots = (shares.float() / SHARES).trunc();
        let alone: f64 = legs.iter().map(|leg| (-leg.qty).max(0.0) * leg.naked).sum();
        let least = if legs.len() <= MOST_LEGS { least(&legs, lots)? } else { 0.0 };
        let most = if legs.len() <= EXACT_LEGS { least } else { alone };
        all.least += least - NEAR * least.max(1.0);
        all.most += most + 0.01 + NEAR * most.max(1.0);
        all.short = true;
    }
    Ok(all)
}

/// One contract.
struct Leg {
    expiration: String,
    is_call: bool,
    strike: f64,
    /// Contracts; below zero is short.
    qty: f64,
    premium: f64,
    /// What one needs that nothing covers.
    naked: f64,
    /// What one needs that shares cover.
    covered: f64,
}

impl Leg {
    fn pays(&self, price: f64) -> f64 {
        let gain = if self.is_call { price - self.strike } else { self.strike - price };
        SHARES * gain.max(0.0)
    }

    fn is(&self, call: bool, short: bool) -> bool {
        self.is_call == call && (self.qty < 0.0) == short
    }
}

fn legs(book: &Book, secured: bool) -> Result<Vec<Leg>, Fault> {
    let mut held: BTreeMap<(&str, bool, Amount), (Amount, Amount)> = BTreeMap::new();
    for (terms, qty, price) in &book.options {
        let key = (terms.expiration.as_str(), terms.is_call, terms.strike);
        let entry = held.entry(key).or_insert((Amount::ZERO, *price));
        entry.0 += *qty;
    }
    held.retain(|_, (qty, _)| !qty.is_zero());
    let mut legs = Vec::with_capacity(held.len());
    for ((expiration, is_call, strike), (qty, price)) in held {
        let (strike, premium) = (strike.float(), SHARES * price.float());
        let (premium, beyond) = match book.underlying {
            _ if secured && !is_call => (0.0, SHARES * strike),
            Some((_, on)) => {
                let on = on.float();
                let (out, base) = if is_call { (strike - on, on) } else { (on - strike, strike) };
                (premium, SHARES * (0.2 * on - out.max(0.0)).max(0.1 * base))
            }
            None => (premium, 0.0),
        };
        let (expiration, naked) = (expiration.to_owned(), premium + beyond);
        let qty = qty.float();
        let mut leg = Leg { expiration, is_call, strike, qty, premium, naked, covered: 0.0 };
        leg.covered = book.underlying.map_or(0.0, |(_, on)| leg.pays(on.float()));
        legs.push(leg);
    }
    Ok(legs)
}

/// A program: the least `cost * x` where each row of `x` comes to its bound, from a basis that does.
#[derive(Default)]
struct Program {
    costs: Vec<f64>,
    /// Terms by column, and the bound.
    rows: Vec<(BTreeMap<usize, f64>, f64)>,
    basis: Vec<usize>,
}

impl Program {
    fn column(&mut self, cost: f64) -> usize {
        self.costs.push(cost);
        self.costs.len() - 1
    }

    /// A row that `column` fills by itself at first.
    fn row(&mut self, bound: f64, column: usize) -> usize {
        self.rows.push((BTreeMap::from([(column, 1.0)]), bound));
        self.basis.push(column);
        self.rows.len() - 1
    }

    fn at_most(&mut self, bound: f64) -> usize {
        let slack = self.column(0.0);
        self.row(bound, slack)
    }

    fn add(&mut self, row: usize, column: usize, factor: f64) {
        *self.rows[row].0.entry(column).or_default() += factor;
    }

    /// The least cost, by exchanging one column of the basis at a time; the first that lowers it, so that no basis comes
    /// again.
    fn solve(mut self) -> Result<f64, Fault> {
        for _ in 0..STEPS {
            let lowers = |column: &usize| {
                let passed: f64 =
                    self.rows.iter().zip(&self.basis).fold(0.0, |sum, (row, basic)| {
                        sum + self.costs[*basic] * row.0.get(column).copied().unwrap_or_default()
                    });
                self.costs[*column] - passed < -NONE * self.costs[*column].abs().max(1.0)
            };
            let Some(enters) = (0..self.costs.len()).find(lowers) else {
                return Ok(self
                    .rows
                    .iter()
                    .zip(&self.basis)
                    .map(|(row, basic)| row.1 * self.costs[*basic])
                    .sum());
            };
            let mut leaves: Option<(usize, f64)> = None;
            for (n, (terms, bound)) in self.rows.iter().enumerate() {
                let factor = terms.get(&enters).copied().unwrap_or_default();
                if factor <= NONE {
                    continue;
                }
                let ratio = bound / factor;
                let better = leaves.is_none_or(|(other, least)| {
                    ratio < least - NONE
                        || ratio <= least + NONE && self.basis[n] < self.basis[other]
                });
                if better {
                    leaves = Some((n, ratio));
                }
            }
            let (at, _) = leaves.ok_or("a cover of options costs less than all bounds")?;
            self.pivot(at, enters);
        }
        Err("the cover of options was not found".into())
    }

    fn pivot(&mut self, at: usize, enters: usize) {
        let (terms, bound) = self.rows[at].clone();
        let factor = terms.get(&enters).copied().unwrap_or(1.0);
        let terms: BTreeMap<usize, f64> =
            terms.into_iter().map(|(column, term)| (column, term / factor)).collect();
        let bound = bound / factor;
        for (n, row) in self.rows.iter_mut().enumerate() {
            let times = row.0.get(&enters).copied().unwrap_or_default();
            if n == at || times == 0.0 {
                continue;
            }
            for (column, term) in &terms {
                *row.0.entry(*column).or_default() -= times * term;
            }
            row.0.retain(|column, term| *column != enters && term.abs() > NONE);
            row.1 = (row.1 - times * bound).max(0.0);
        }
        self.rows[at] = (terms, bound);
        self.basis[at] = enters;
    }
}

/// The least that these need, with so many hundreds of shares.
fn least(legs: &[Leg], lots: f64) -> Result<f64, Fault> {
    let mut program = Program::default();
    let mut rows = Vec::with_capacity(legs.len());
    for leg in legs {
        rows.push(if leg.qty < 0.0 {
            let alone = program.column(leg.naked);
            program.row(-leg.qty, alone)
        } else {
            program.at_most(leg.qty)
        });
    }
    let places = |is: &dyn Fn(&Leg) -> bool| -> Vec<usize> {
        legs.iter().enumerate().filter(|(_, leg)| is(leg)).map(|(at, _)| at).collect()
    };
    let shares = program.at_most(lots.abs());
    for at in places(&|leg| leg.is(lots > 0.0, true)) {
        let covered = program.column(legs[at].covered);
        program.add(rows[at], covered, 1.0);
        program.add(shares, covered, 1.0);
    }
    let puts = places(&|leg| leg.is(false, true));
    for call in places(&|leg| leg.is(true, true)) {
        for put in &puts {
            let (one, other) = (&legs[call], &legs[*put]);
            let needed = match one.naked.total_cmp(&other.naked) {
                std::cmp::Ordering::Greater => one.naked + other.premium,
                std::cmp::Ordering::Less => other.naked + one.premium,
                std::cmp::Ordering::Equal => one.naked + one.premium.max(other.premium),
            };
            let both = program.column(needed);
            program.add(rows[call], both, 1.0);
            program.add(rows[*put], both, 1.0);
        }
    }
    let mut ends: Vec<&str> =
        legs.iter().filter(|leg| leg.qty < 0.0).map(|leg| leg.expiration.as_str()).collect();
    ends.dedup();
    for end in ends {
        spread(&mut program, (legs, &rows), end);
    }
    program.solve()
}

/// The shorts of one expiration with longs that expire no sooner, at least as many of each right: they need the worst loss.
fn spread(program: &mut Program, (legs, rows): (&[Leg], &[usize]), end: &str) {
    let mut parts: Vec<(usize, usize, f64)> = Vec::new();
    let mut strikes = vec![0.0];
    for call in [true, false] {
        let long: Vec<usize> = (0..legs.len())
            .filter(|at| legs[*at].is(call, false) && legs[*at].expiration.as_str() >= end)
            .collect();
        if long.is_empty() {
            continue;
        }
        let as_many = program.at_most(0.0);
        let short =
            (0..legs.len()).filter(|at| legs[*at].is(call, true) && legs[*at].expiration == end);
        for (at, sign) in short.map(|at| (at, 1.0)).chain(long.iter().map(|at| (*at, -1.0))) {
            let column = program.column(0.0);
            program.add(rows[at], column, 1.0);
            program.add(as_many, column, sign);
            parts.push((at, column, sign));
        }
        strikes.extend(long.iter().map(|at| legs[*at].strike));
    }
    let worst = program.column(1.0);
    for price in strikes {
        let loss = program.at_most(0.0);
        program.add(loss, worst, -1.0);
        for (at, column, sign) in &parts {
            program.add(loss, *column, sign * legs[*at].pays(price));
        }
    }
}

#[cfg(test)]
mod tests {
    use aggregates::instrument::{Contract, Right};
    use aggregates::margin::{NakedPuts, OptionHolding, Underlying, options_requirement};
    use proptest::prelude::*;

    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::read(text).expect("an amount")
    }

    /// A book with the underlying at 100.00: right, strike, contracts, price.
    fn book(shares: &str, options: &[(bool, &str, &str, &str)]) -> Book {
        let terms = |is_call, strike: &str| Terms {
            told: serde_json::Value::Null,
            underlying: uuid::Uuid::nil(),
            expiration: "2026-12-18".into(),
            is_call,
            strike: amount(strike),
            shares: amount("100"),
        };
        let option = |(is_call, strike, qty, price): &(bool, &str, &str, &str)| {
            (terms(*is_call, strike), amount(qty), amount(price))
        };
        Book {
            underlying: Some((amount(shares), amount("100"))),
            options: options.iter().map(option).collect(),
        }
    }

    fn needs(book: &Book, secured: bool, dollars: &str) {
        let range = range([book].into_iter(), secured).expect("a range");
        assert!(range.contains(amount(dollars)), "{range:?} and {dollars}");
        let off = |cents: &str| amount(dollars) + amount(cents);
        assert!(!range.contains(off("0.02")) && !range.contains(off("-0.02")), "{range:?}");
    }

    #[test]
    fn covers_need_what_the_rules_say_by_hand() {
        // Naked call at the money: 5.00 of premium and 20 of 100.
        needs(&book("0", &[(true, "100", "-1", "5")]), false, "2500");
        // 10 out of the money: 20 - 10, and 10 at the least; the premium is 1.
        needs(&book("0", &[(true, "110", "-2", "1")]), false, "2200");
        needs(&book("0", &[(false, "90", "-1", "2")]), false, "1200");
        needs(&book("0", &[(false, "90", "-1", "2")]), true, "9000");
        // A vertical, ten wide; an iron condor, five wide on either side: one side alone can lose.
        needs(&book("0", &[(true, "100", "-3", "5"), (true, "110", "3", "1")]), false, "3000");
        let condor = [
            (false, "85", "1", "1"),
            (false, "90", "-1", "2"),
            (true, "110", "-1", "2"),
            (true, "115", "1", "1"),
        ];
        needs(&book("0", &condor), false, "500");
        // Covered by shares, the third one not: 5.00 and 20.
        needs(&book("250", &[(true, "100", "-3", "5")]), false, "2500");
        // A straddle: the greater need, 2,500 each, and the other's premium.
        needs(&book("0", &[(true, "100", "-1", "5"), (false, "100", "-1", "4")]), false, "2900");
    }

    #[test]
    fn long_options_need_nothing() {
        let range = range([&book("0", &[(true, "100", "3", "5")])].into_iter(), false);
        let range = range.expect("a range");
        assert!(range.contains(Amount::ZERO) && !range.short && !range.contains(amount("0.01")));
    }

    /// A book of contracts of two expirations, as both programs take it.
    fn any_book() -> impl Strategy<Value = (Book, i64, Vec<OptionHolding>)> {
        let leg = (any::<bool>(), any::<bool>(), 17..24u32, -3..=3i64, 1..3_000u32);
        let legs = proptest::collection::vec(leg, 1..=EXACT_LEGS);
        (-4..=4i64, legs).prop_map(|(lots, legs)| {
            let mut book = Book {
                underlying: Some((amount(&(lots * 100).to_string()), amount("100"))),
                options: Vec::new(),
            };
            let mut holdings: Vec<OptionHolding> = Vec::new();
            for (is_call, later, fives, qty, cents) in legs {
                let (strike, expiration) =
                    (fives * 5, if later { "2026-12-18" } else { "2026-11-20" });
                let price = format!("{}.{:02}", cents / 100, cents % 100);
                let right = if is_call { Right::Call } else { Right::Put };
                let (at, dollars) =
                    (expiration.parse().unwrap(), strike.to_string().parse().unwrap());
                let contract = Contract::new("X", at, right, dollars).unwrap();
                if qty == 0 || holdings.iter().any(|other| other.contract == contract) {
                    continue;
                }
                let terms = Terms {
                    told: serde_json::Value::Null,
                    underlying: uuid::Uuid::nil(),
                    expiration: expiration.into(),
                    is_call,
                    strike: amount(&strike.to_string()),
                    shares: amount("100"),
                };
                book.options.push((terms, amount(&qty.to_string()), amount(&price)));
                let (qty, price) = (qty.to_string().parse().unwrap(), price.parse().unwrap());
                holdings.push(OptionHolding { contract, qty, price });
            }
            (book, lots, holdings)
        })
    }

    proptest! {
        #[test]
        fn what_the_ledger_asks_for_is_what_belongs((book, lots, holdings) in any_book()) {
            for (secured, puts) in [(false, NakedPuts::Margined), (true, NakedPuts::Secured)] {
                let (price, shares) =
                    ("100".parse().unwrap(), (lots * 100).to_string().parse().unwrap());
                let underlying = Underlying { price, shares, broad_index: false };
                let asked = options_requirement(&underlying, &holdings, puts).unwrap().requirement;
                let range = range([&book].into_iter(), secured).unwrap();
                prop_assert!(range.contains(amount(&asked.to_string())), "{} in {:?}", asked, range);
            }
        }
    }
}
