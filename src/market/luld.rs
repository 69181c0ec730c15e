//! Limit-up limit-down bands around a reference price, by the plan of the exchanges.
//!
//! Whole cents throughout. A width rounds half up to the cent; a lower band is never below one cent.

/// Which width the plan gives an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Stocks of the large indices, and some funds on them.
    One,
    /// All others.
    Two,
}

/// From this reference on, in cents, a width is the tier's own.
const OWN_ABOVE: i64 = 300;
/// From this reference on, in cents, it is [`MIDDLE_PERCENT`].
const MIDDLE_FROM: i64 = 75;
/// Between the two, in percent of the reference.
const MIDDLE_PERCENT: i64 = 20;
/// Below, the lesser of so many cents and so many percent.
const LOW_CENTS: i64 = 15;
const LOW_PERCENT: i64 = 75;

/// The lower and the upper band around a reference of so many cents. `late` are the last 25 minutes of regular hours:
/// widths are doubled then, but for those of tier 2 above 3.00.
pub fn around(tier: Tier, reference: i64, late: bool) -> (i64, i64) {
    let percent = |percent: i64| (reference * percent + 50) / 100;
    let own = reference > OWN_ABOVE;
    let width = match tier {
        Tier::One if own => percent(5),
        Tier::Two if own => percent(10),
        _ if reference >= MIDDLE_FROM => percent(MIDDLE_PERCENT),
        _ => LOW_CENTS.min(percent(LOW_PERCENT)),
    };
    let doubled = late && !(own && tier == Tier::Two);
    let width = if doubled { 2 * width } else { width };
    ((reference - width).max(1), reference + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_by_tier_and_price_and_doubled_late_in_the_day() {
        for (tier, reference, late, bands) in [
            (Tier::One, 10_000, false, (9_500, 10_500)),
            (Tier::One, 10_000, true, (9_000, 11_000)),
            (Tier::One, 301, false, (286, 316)),
            (Tier::One, 300, false, (240, 360)),
            (Tier::Two, 10_000, false, (9_000, 11_000)),
            (Tier::Two, 10_000, true, (9_000, 11_000)),
            (Tier::Two, 300, false, (240, 360)),
            (Tier::Two, 300, true, (180, 420)),
            (Tier::Two, 75, false, (60, 90)),
            (Tier::Two, 74, false, (59, 89)),
            (Tier::Two, 10, false, (2, 18)),
            (Tier::Two, 10, true, (1, 26)),
        ] {
            assert_eq!(around(tier, reference, late), bands, "{tier:?} {reference} {late}");
        }
    }
}
