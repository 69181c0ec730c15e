//! Numbers that look random and are a function of what they are for.
//!
//! A [`Chance`] is made from the seed and from words that name its purpose (a kind, a stock, an instant), so that any
//! of them is known without the others: nothing has to be replayed to know a price at an instant. Only additions and
//! multiplications of IEEE 754 are used, never a function of a maths library, so that every machine draws the same.

#![expect(clippy::float_arithmetic, reason = "draws of a simulation, far from money")]

/// What a draw is for: the first of the words that it is made from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// The return of a factor over a session.
    Session = 1,
    /// The way of a factor through a session.
    Walk,
    /// How much a week moves.
    Week,
    /// How much a stock trades in a session.
    Volume,
    /// Whether and when a stock is halted in a session.
    Halt,
    /// A quote and a trade.
    Moment,
    /// The book behind a quote.
    Depth,
    /// The sizes of an option's quote.
    Option,
    /// How many contracts are open and traded.
    Interest,
}

/// A sequence of draws.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

/// Steps of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    /// The draws of one purpose for one thing (a stock's or a factor's number) at one time.
    pub(super) fn of(seed: u64, purpose: Purpose, thing: usize, time: i64) -> Self {
        let words = [purpose as u64, thing as u64, time.cast_unsigned()];
        let start = mixed(seed.wrapping_add(STEP));
        Self(words.iter().fold(start, |state, word| mixed(state.wrapping_add(STEP) ^ word)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        // 2^-53: the top bits are exact as a float
        (self.next() >> 11) as f64 * 1.110_223_024_625_156_5e-16
    }

    /// From 0 to below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Mean 0 and variance 1, bell-shaped, never beyond 3.47: the sum of four uniform draws.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum: u32 = (0..4).map(|lane| ((bits >> (16 * lane)) & 0xffff) as u32).sum();
        (f64::from(sum) / 65_535.0 - 2.0) * 1.732_050_807_568_877_2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_every_word_and_on_nothing_else() {
        let draw = |seed, purpose, thing, time| Chance::of(seed, purpose, thing, time).next();
        let first = draw(1, Purpose::Walk, 2, 3);
        assert_eq!(first, draw(1, Purpose::Walk, 2, 3));
        for other in [
            draw(2, Purpose::Walk, 2, 3),
            draw(1, Purpose::Halt, 2, 3),
            draw(1, Purpose::Walk, 3, 2),
            draw(1, Purpose::Walk, 2, 4),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn normal_draws_have_mean_0_variance_1_and_are_bounded() {
        let mut chance = Chance::of(1, Purpose::Walk, 0, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| chance.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 1e5 - mean * mean;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((0.97..1.03).contains(&variance), "{variance}");
        assert!(draws.iter().all(|x| x.abs() < 3.47));
    }

    #[test]
    fn draws_below_an_end_reach_all_that_is_below_it() {
        let mut chance = Chance::of(1, Purpose::Moment, 0, 0);
        let drawn: std::collections::BTreeSet<u64> = (0..1_000).map(|_| chance.below(7)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(chance.below(0), 0);
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&chance.unit())));
    }
}
