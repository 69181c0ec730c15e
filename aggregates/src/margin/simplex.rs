//! Linear programs in whole numbers: the least cost of amounts that are not below zero, exactly.
//!
//! The simplex method by Bland's rule, which ends always and picks the same answer for the same program. Each row of the
//! tableau is an equation in whole numbers and may be multiplied by any number above zero, so there are no fractions on
//! the way: a row is divided by what its numbers have in common, and what grows beyond 128 bits is told as `None`.
//!
//! Source: R. G. Bland, New Finite Pivoting Rules for the Simplex Method (1977).

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

/// The amounts that cost least. A fraction is its numerator and its denominator, which is above zero.
pub(super) struct Solution {
    /// What they cost.
    pub(super) cost: (i128, i128),
    amounts: Vec<(i128, i128)>,
}

impl Solution {
    /// The amount of a column.
    pub(super) fn amount(&self, column: usize) -> (i128, i128) {
        self.amounts[column]
    }

    /// The least number that makes whole numbers of all amounts when they are multiplied by it.
    pub(super) fn parts(&self) -> Option<i128> {
        self.amounts.iter().try_fold(1i128, |parts, (numerator, denominator)| {
            let denominator = denominator / gcd(*numerator, *denominator);
            (parts / gcd(parts, denominator)).checked_mul(denominator)
        })
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

    /// The amounts that cost least; `None` when a number does not fit, or there is no least.
    pub(super) fn solve(self) -> Option<Solution> {
        let asked = self.costs.len();
        let mut tableau = Tableau::of(self)?;
        while let Some(column) = tableau.entering() {
            let row = tableau.leaving(column)?;
            tableau.pivot(row, column)?;
        }
        tableau.solution(asked)
    }
}

/// Equations, a last one of which is the cost. Behind the columns stands the bound, and behind that the times of the
/// cost itself.
struct Tableau {
    columns: usize,
    rows: Vec<Vec<i128>>,
    cost: Vec<i128>,
    basis: Vec<usize>,
}

impl Tableau {
    fn of(program: Program) -> Option<Self> {
        let Program { costs, rows: asked } = program;
        let columns = costs.len() + asked.iter().filter(|row| row.begin.is_none()).count();
        let mut cost = costs;
        let mut slack = cost.len();
        cost.resize(columns, 0);
        cost.extend([0, 1]);
        let mut rows = Vec::with_capacity(asked.len());
        let mut basis = Vec::with_capacity(asked.len());
        for Row { terms, bound, begin } in asked {
            let mut row = vec![0; columns + 2];
            for (column, times) in terms {
                row[column] += times;
            }
            row[columns] = bound;
            basis.push(begin.unwrap_or(slack));
            if begin.is_none() {
                row[slack] = 1;
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

    /// The first column that makes it cheaper.
    fn entering(&self) -> Option<usize> {
        self.cost[..self.columns].iter().position(|cost| *cost < 0)
    }

    /// The row that bounds the column most closely; of equal ones the one that stands on the first column.
    fn leaving(&self, column: usize) -> Option<usize> {
        let mut closest: Option<usize> = None;
        for at in 0..self.rows.len() {
            if self.rows[at][column] <= 0 {
                continue;
            }
            let Some(best) = closest else {
                closest = Some(at);
                continue;
            };
            let (row, other) = (&self.rows[at], &self.rows[best]);
            let mine = row[self.columns].checked_mul(other[column])?;
            let its = other[self.columns].checked_mul(row[column])?;
            if (mine, self.basis[at]) < (its, self.basis[best]) {
                closest = Some(at);
            }
        }
        closest
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

    fn solution(&self, asked: usize) -> Option<Solution> {
        let mut amounts = vec![(0, 1); asked];
        for (row, column) in self.rows.iter().zip(&self.basis) {
            if *column < asked {
                amounts[*column] = (row[self.columns], row[*column]);
            }
        }
        let cost = (self.cost[self.columns].checked_neg()?, self.cost[self.columns + 1]);
        Some(Solution { cost, amounts })
    }
}

/// Takes the column out of `row` by as many times of `by` as it takes; `by` has it above zero.
fn eliminate(row: &mut [i128], by: &[i128], column: usize) -> Option<()> {
    let (times, unit) = (row[column], by[column]);
    if times == 0 {
        return Some(());
    }
    let common = gcd(times, unit);
    let (times, unit) = (times / common, unit / common);
    for (mine, its) in row.iter_mut().zip(by) {
        if *its != 0 {
            *mine = mine.checked_mul(unit)?.checked_sub(its.checked_mul(times)?)?;
        } else if unit != 1 {
            *mine = mine.checked_mul(unit)?;
        }
    }
    let mut common = 0;
    for number in row.iter() {
        common = gcd(common, *number);
        if common == 1 {
            return Some(());
        }
    }
    if common > 1 {
        row.iter_mut().for_each(|number| *number /= common);
    }
    Some(())
}

/// The greatest common divisor, not below zero; of a zero it is the other.
pub(super) fn gcd(one: i128, other: i128) -> i128 {
    let (mut one, mut other) = (one.unsigned_abs(), other.unsigned_abs());
    while other != 0 {
        (one, other) = match (u64::try_from(one), u64::try_from(other)) {
            (Ok(one), Ok(other)) => (other.into(), (one % other).into()),
            _ => (other, one % other),
        };
    }
    i128::try_from(one).unwrap_or(i128::MAX)
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
        let pairs: Vec<usize> = (0..3).map(|_| program.column(1)).collect();
        for (at, pair) in pairs.iter().enumerate() {
            program.term(rows[at], *pair, 1);
            program.term(rows[(at + 1) % 3], *pair, 1);
        }
        let solution = program.solve().unwrap();
        assert_eq!((solution.cost.0 * 2, solution.parts()), (solution.cost.1 * 3, Some(2)));
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
        let (cost, of) = program.solve().unwrap().cost;
        assert_eq!(cost * 20, -of * 100, "in hundredths: {cost} / {of}");
    }

    #[test]
    fn what_does_not_fit_and_what_has_no_least_is_told() {
        let mut endless = Program::default();
        endless.column(-1);
        assert!(endless.solve().is_none());
        let mut large = Program::default();
        let (alone, other) = (large.column(i128::MAX), large.column(1));
        let row = large.exactly(3, alone);
        large.term(row, other, 2);
        assert!(large.solve().is_none());
    }
}
