//! Linear programs in whole numbers: the least cost of amounts that are not below zero, exactly.
//!
//! The simplex method. The column that makes it cheaper at the highest rate enters; while nothing becomes cheaper for
//! long, the first one does, by Bland's rule, under which no round of such steps comes back to where it began. So it ends
//! always, and picks the same answer for the same program. Each row of the tableau is an equation in whole numbers and may
//! be multiplied by any number above zero, so there are no fractions on the way. Numbers of 64 bits are tried first, and
//! where they do not hold the program, numbers without bound.
//!
//! Source: R. G. Bland, New Finite Pivoting Rules for the Simplex Method (1977).

use num_bigint::BigInt;
use num_integer::{Integer, gcd, lcm};
use num_traits::{One, Signed, Zero};

/// A program that is being written: columns are the amounts that are looked for, rows what they have to keep.
#[derive(Default)]
pub(super) struct Program {
    costs: Vec<i128>,
    rows: Vec<Row>,
}

struct Row {
    terms: Vec<(usize, i128)>,
    bound: i128,
    /// The column that the row begins with; `None` for one that is allowed to stay below its bound.
    begin: Option<usize>,
}

/// The amounts that cost least.
pub(super) struct Solution {
    cost: (BigInt, BigInt),
    /// Each as its numerator and its denominator, which is above zero.
    amounts: Vec<(BigInt, BigInt)>,
}

impl Solution {
    /// So many times what they cost, rounded up to a whole number; `None` when that does not fit.
    pub(super) fn cost(&self, times: i128) -> Option<i128> {
        let (cost, over) = &self.cost;
        (cost * times).div_ceil(over).try_into().ok()
    }

    /// So many times the amount of a column, rounded down to a whole number; `None` when that does not fit.
    pub(super) fn amount(&self, column: usize, times: i128) -> Option<i128> {
        let (numerator, denominator) = &self.amounts[column];
        (numerator * times).div_floor(denominator).try_into().ok()
    }

    /// The least number that makes whole numbers of all amounts when they are multiplied by it, if that is at most so
    /// large.
    pub(super) fn parts(&self, most: i128) -> Option<i128> {
        let most = BigInt::from(most);
        let parts =
            self.amounts.iter().try_fold(BigInt::one(), |parts, (numerator, denominator)| {
                let parts = lcm(parts, denominator / numerator.gcd(denominator));
                (parts <= most).then_some(parts)
            });
        parts?.try_into().ok()
    }
}

impl Program {
    /// A new amount, which costs so much each, no less than zero.
    pub(super) fn column(&mut self, cost: i128) -> usize {
        self.costs.push(cost);
        self.costs.len() - 1
    }

    /// A new row: its terms together are `bound`, which is not below zero. `begin` is a column of this row alone, with
    /// which the search begins.
    pub(super) fn exactly(&mut self, bound: i128, begin: usize) -> usize {
        self.rows.push(Row { terms: vec![(begin, 1)], bound, begin: Some(begin) });
        self.rows.len() - 1
    }

    /// A new row: its terms together are at most `bound`, which is not below zero.
    pub(super) fn at_most(&mut self, bound: i128) -> usize {
        self.rows.push(Row { terms: Vec::new(), bound, begin: None });
        self.rows.len() - 1
    }

    /// A term of a row: so many times the amount of a column.
    pub(super) fn term(&mut self, row: usize, column: usize, times: i128) {
        self.rows[row].terms.push((column, times));
    }

    /// The amounts that cost least; `None` when there is no least.
    pub(super) fn solve(mut self) -> Option<Solution> {
        // A cost of billions is a small multiple of what all costs have in common.
        let unit = self.costs.iter().fold(0, |unit, cost| gcd(unit, *cost)).max(1);
        self.costs.iter_mut().for_each(|cost| *cost /= unit);
        let (cost, over, amounts) = Tableau::<i64>::solve(&self)
            .or_else(|| Tableau::<i128>::solve(&self))
            .or_else(|| Tableau::<BigInt>::solve(&self))?;
        Some(Solution { cost: (cost * unit, over), amounts })
    }
}

/// What a tableau is made of.
trait Number: Integer + Signed + Clone + Into<BigInt> + TryFrom<i128> + TryFrom<Self::Product> {
    /// What two of them come to when they are multiplied.
    type Product: Integer + Signed + Clone;

    fn product(&self, other: &Self) -> Self::Product;

    /// How many bits hold each of these, and how many a number has beside its sign. Numbers without bound are always told
    /// to be too large, so that they are divided by what they have in common.
    fn bits(numbers: &[Self]) -> (u32, u32);

    /// Whether each of a row may be multiplied by a number, and the sum of two such products held.
    fn fit(products: [(&[Self], &Self); 2]) -> bool {
        products.into_iter().all(|(row, times)| {
            let (row, held) = Self::bits(row);
            row + Self::bits(std::slice::from_ref(times)).0 < held
        })
    }
}

impl Number for i64 {
    type Product = i128;

    fn product(&self, other: &Self) -> i128 {
        i128::from(*self) * i128::from(*other)
    }

    fn bits(numbers: &[Self]) -> (u32, u32) {
        let all = numbers.iter().fold(0, |all, number| all | number.unsigned_abs());
        (u64::BITS - all.leading_zeros(), Self::BITS - 1)
    }
}

impl Number for i128 {
    type Product = BigInt;

    fn product(&self, other: &Self) -> BigInt {
        BigInt::from(*self) * other
    }

    fn bits(numbers: &[Self]) -> (u32, u32) {
        let all = numbers.iter().fold(0, |all, number| all | number.unsigned_abs());
        (u128::BITS - all.leading_zeros(), Self::BITS - 1)
    }
}

impl Number for BigInt {
    type Product = Self;

    fn product(&self, other: &Self) -> Self {
        self * other
    }

    fn bits(_: &[Self]) -> (u32, u32) {
        (0, 0)
    }
}

/// Divides numbers by what they have in common.
fn divide<N: Integer + Signed + Clone>(numbers: &mut [N]) {
    let mut common = N::zero();
    for number in numbers.iter().filter(|number| !number.is_zero()) {
        // The rest is small, and quickly done.
        common = match common.is_zero() {
            true => number.abs(),
            false => common.gcd(&(number.clone() % common.clone())),
        };
        if common.is_one() {
            return;
        }
    }
    if !common.is_zero() {
        numbers.iter_mut().for_each(|number| *number = number.clone() / common.clone());
    }
}

/// Equations, a last one of which is the cost. Behind the columns stands the bound, and behind that the times of the
/// cost itself.
struct Tableau<N> {
    columns: usize,
    rows: Vec<Vec<N>>,
    cost: Vec<N>,
    basis: Vec<usize>,
}

/// What the amounts cost, a fraction, and the amounts.
type Solved = (BigInt, BigInt, Vec<(BigInt, BigInt)>);

impl<N: Number> Tableau<N> {
    /// `None` when a number does not fit.
    fn of(program: &Program) -> Option<Self> {
        let number = |number: i128| N::try_from(number).ok();
        let Program { costs, rows: asked } = program;
        let slacks = asked.iter().filter(|row| row.begin.is_none()).count();
        let columns = costs.len() + slacks;
        let mut cost = costs.iter().map(|cost| number(*cost)).collect::<Option<Vec<N>>>()?;
        let mut slack = cost.len();
        cost.resize(columns, N::zero());
        cost.extend([N::zero(), N::one()]);
        let mut rows = Vec::with_capacity(asked.len());
        let mut basis = Vec::with_capacity(asked.len());
        for Row { terms, bound, begin } in asked {
            let mut row = vec![N::zero(); columns + 2];
            for (column, times) in terms {
                row[*column] = row[*column].clone() + number(*times)?;
            }
            row[columns] = number(*bound)?;
            basis.push(begin.unwrap_or(slack));
            if begin.is_none() {
                row[slack] = N::one();
                slack += 1;
            }
            rows.push(row);
        }
        let mut tableau = Self { columns, rows, cost, basis };
        for (row, column) in tableau.rows.iter().zip(&tableau.basis) {
            eliminate(&mut tableau.cost, row, *column)?;
        }
        Some(tableau)
    }

    /// `None` when a number does not fit, or there is no least.
    fn solve(program: &Program) -> Option<Solved> {
        Self::of(program)?.solved()
    }

    fn solved(mut self) -> Option<Solved> {
        let mut stands = 0;
        while let Some(column) = self.entering(stands > self.rows.len()) {
            let row = self.leaving(column)?;
            // What enters at nothing makes nothing cheaper.
            stands = if self.rows[row][self.columns].is_zero() { stands + 1 } else { 0 };
            self.pivot(row, column)?;
        }
        let columns = self.columns;
        let mut amounts = vec![(BigInt::zero(), BigInt::one()); columns];
        for (mut row, column) in self.rows.into_iter().zip(self.basis) {
            amounts[column] = (row.swap_remove(columns).into(), row.swap_remove(column).into());
        }
        let mut figures = self.cost.into_iter().skip(columns).map(Into::into);
        let (cost, over) = (figures.next().map(|cost: BigInt| -cost)?, figures.next()?);
        Some((cost, over, amounts))
    }

    /// The column that makes it cheaper at the highest rate, or the first that does.
    fn entering(&self, first: bool) -> Option<usize> {
        let mut cheaper = (0..self.columns).filter(|at| self.cost[*at].is_negative());
        if first { cheaper.next() } else { cheaper.min_by_key(|at| &self.cost[*at]) }
    }

    /// The row that bounds the column most closely; of equal ones the one that stands on the first column.
    fn leaving(&self, column: usize) -> Option<usize> {
        let bounds = (0..self.rows.len()).filter(|at| self.rows[*at][column].is_positive());
        bounds.reduce(|best, at| {
            let (row, other) = (&self.rows[at], &self.rows[best]);
            let mine = row[self.columns].product(&other[column]);
            let its = other[self.columns].product(&row[column]);
            if (mine, self.basis[at]) < (its, self.basis[best]) { at } else { best }
        })
    }

    fn pivot(&mut self, at: usize, column: usize) -> Option<()> {
        let row = std::mem::take(&mut self.rows[at]);
        for other in self.rows.iter_mut().filter(|other| !other.is_empty()) {
            eliminate(other, &row, column)?;
        }
        eliminate(&mut self.cost, &row, column)?;
        self.rows[at] = row;
        self.basis[at] = column;
        Some(())
    }
}

/// Takes the column out of `row` by as many times of `by` as it takes; `by` has it above zero. `None` when what is left
/// does not fit even when it is divided by what its numbers have in common.
fn eliminate<N: Number>(row: &mut [N], by: &[N], column: usize) -> Option<()> {
    if row[column].is_zero() {
        return Some(());
    }
    let mut takes = takes_of(row, by, column);
    if !N::fit([(row, &takes.0), (by, &takes.1)]) {
        divide(row);
        takes = takes_of(row, by, column);
    }
    let (unit, times) = &takes;
    if N::fit([(row, unit), (by, times)]) {
        for (mine, its) in row.iter_mut().zip(by) {
            *mine = mine.clone() * unit.clone() - its.clone() * times.clone();
        }
        return Some(());
    }
    let left = row.iter().zip(by).map(|(mine, its)| mine.product(unit) - its.product(times));
    let mut left: Vec<N::Product> = left.collect();
    divide(&mut left);
    for (mine, left) in row.iter_mut().zip(left) {
        *mine = left.try_into().ok()?;
    }
    Some(())
}

/// How many times a row is left, and how many times `by` is taken from it.
fn takes_of<N: Number>(row: &[N], by: &[N], column: usize) -> (N, N) {
    let common = row[column].gcd(&by[column]);
    (by[column].clone() / common.clone(), row[column].clone() / common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_least_may_be_parts_of_a_whole() {
        // Three things, each of which any two of three pairs have in common: half of each pair is cheapest.
        let mut program = Program::default();
        let rows: Vec<usize> = (0..3)
            .map(|_| {
                let alone = program.column(10);
                program.exactly(1, alone)
            })
            .collect();
        let pairs = [1; 3].map(|cost| program.column(cost));
        for (at, pair) in pairs.iter().enumerate() {
            program.term(rows[at], *pair, 1);
            program.term(rows[(at + 1) % 3], *pair, 1);
        }
        let solution = program.solve().unwrap();
        assert_eq!((solution.cost(1), solution.cost(2)), (Some(2), Some(3)), "3/2");
        assert_eq!((solution.parts(2), solution.parts(1)), (Some(2), None));
        assert_eq!(pairs.map(|pair| solution.amount(pair, 4)), [Some(2); 3]);
    }

    #[test]
    fn a_program_that_cycles_under_other_rules_ends() {
        // E. M. L. Beale's example (1955), where the steepest column comes back to where it began; its least is -1/20.
        let mut program = Program::default();
        let columns: Vec<usize> =
            [-75, 15_000, -2, 600].into_iter().map(|cost| program.column(cost)).collect();
        for (terms, bound) in
            [([25, -6_000, -4, 900], 0), ([50, -9_000, -2, 300], 0), ([0, 0, 1, 0], 1)]
        {
            let row = program.at_most(bound);
            for (column, times) in columns.iter().zip(terms) {
                program.term(row, *column, times);
            }
        }
        assert_eq!(program.solve().unwrap().cost(1), Some(-5), "in hundredths");
    }

    #[test]
    fn what_has_no_least_is_told() {
        let mut endless = Program::default();
        endless.column(-1);
        assert!(endless.solve().is_none());
    }

    #[test]
    fn numbers_of_any_size_come_to_the_same() {
        for large in [1, i128::from(i64::MAX), i128::MAX / 4] {
            let mut program = Program::default();
            let (alone, other) = (program.column(large), program.column(1));
            let row = program.exactly(3, alone);
            program.term(row, other, 2);
            let rest = program.at_most(5);
            program.term(rest, other, large);
            // Of the other as much as there may be: 3/2, or 5 parts of `large`.
            let least = if large == 1 { 2 } else { 3 * large - 9 };
            assert_eq!(program.solve().unwrap().cost(1), Some(least), "{large}");
        }
    }
}
