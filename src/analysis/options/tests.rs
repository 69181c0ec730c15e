//! Against QuantLib, and what holds whatever the numbers are.
#![expect(clippy::float_arithmetic, reason = "estimates under a model, no money")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// How it is made: `scripts/options-reference`.
const REFERENCE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/options/reference.csv"));

const CALL: Claim = Claim { right: Right::Call, american: false, strike: 100.0, years: 0.5 };
const BY: Conditions = Conditions { spot: 100.0, rate: 0.05, dividend_yield: 0.02 };

/// One line of the reference: what is valued, by what, and what QuantLib says of it by name.
fn reference() -> impl Iterator<Item = (Claim, Conditions, f64, Vec<(&'static str, f64)>)> {
    let mut lines = REFERENCE.lines();
    let heading: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(move |line| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse::<f64>().unwrap();
        let right = if fields[1] == "call" { Right::Call } else { Right::Put };
        let claim = Claim {
            right,
            american: fields[0] == "american",
            strike: number(3),
            years: number(4) / DAYS,
        };
        let by = Conditions { spot: number(2), rate: number(5), dividend_yield: number(6) };
        let said = heading.iter().zip(&fields).skip(8).filter(|(_, field)| !field.is_empty());
        let said = said.map(|(name, field)| (*name, field.parse().unwrap())).collect();
        (claim, by, number(7), said)
    })
}

fn named(value: f64, greeks: &Greeks, name: &str) -> Option<f64> {
    Some(match name {
        "value" => value,
        "delta" => greeks.delta,
        "gamma" => greeks.gamma,
        "theta" => greeks.theta,
        "vega" => greeks.vega,
        "rho" => greeks.rho,
        "vanna" => greeks.vanna,
        "charm" => greeks.charm,
        "vomma" => greeks.vomma,
        "veta" => greeks.veta,
        "speed" => greeks.speed?,
        "zomma" => greeks.zomma?,
        "color" => greeks.color?,
        other => panic!("no greek is called {other}"),
    })
}

/// The differences from the reference of each column, as parts of what is a natural size of it, the largest first.
fn differences(american: bool) -> BTreeMap<&'static str, Vec<f64>> {
    let mut differences: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let of_style = reference().filter(|(claim, ..)| claim.american == american);
    for (claim, by, volatility, said) in of_style {
        let scale = |name: &str| match name {
            "theta" => by.spot / DAYS,
            "value" | "rho" => by.spot,
            "vega" => by.spot / HUNDRED,
            "gamma" => 1.0 / (by.spot * volatility * claim.years.sqrt()),
            _ => 1.0,
        };
        let (value, greeks) = (claim.value(&by, volatility), claim.greeks(&by, volatility));
        for (name, expected) in said {
            let found = named(value, &greeks, name).unwrap();
            let size = if american { scale(name) } else { expected.abs() + 1e-7 };
            differences.entry(name).or_default().push((found - expected).abs() / size);
        }
    }
    for of_column in differences.values_mut() {
        assert_eq!(of_column.len(), 300);
        of_column.sort_by(|a, b| b.total_cmp(a));
    }
    differences
}

#[test]
fn european_options_are_quantlibs_to_the_digits_that_differences_keep() {
    for (name, off) in differences(false) {
        let exact = ["value", "delta", "gamma", "theta", "vega", "rho"].contains(&name);
        assert!(off[0] < if exact { 1e-8 } else { 1e-5 }, "{name}: {:?}", &off[..5]);
    }
}

/// Where exercising begins to be worth it gamma falls to nothing at once; a difference over that place shows some of both
/// sides. Two of the points are there.
#[test]
fn american_options_are_quantlibs_within_the_error_of_the_trees() {
    let differences = differences(true);
    let within = |name: &str, allowed: usize, most: f64| {
        let off = &differences[name];
        assert!(off[allowed] < most, "{name}: {:?}", &off[..5]);
    };
    within("value", 0, 1e-4);
    within("theta", 0, 1e-2);
    within("vega", 0, 1e-2);
    within("rho", 0, 1e-2);
    within("delta", 0, 3e-2);
    within("delta", 2, 3e-3);
    within("gamma", 2, 2e-2);
}

#[test]
fn a_well_known_value_is_found() {
    // Hull, Options, Futures, and Other Derivatives, example 15.6: 4.76 and 0.81.
    let by = Conditions { spot: 42.0, rate: 0.1, dividend_yield: 0.0 };
    let call = Claim { strike: 40.0, ..CALL };
    assert!((call.value(&by, 0.2) - 4.759_422_392_871_532).abs() < 1e-12);
    let put = Claim { right: Right::Put, ..call };
    assert!((put.value(&by, 0.2) - 0.808_599_372_900_095_8).abs() < 1e-12);
}

#[test]
fn what_implies_no_volatility_says_why() {
    let of = |claim: &Claim, value: f64| claim.implied_volatility(&BY, value).unwrap_err();
    let expired = Claim { years: 0.0, ..CALL };
    assert_eq!(of(&expired, 1.0), NoVolatility::Expired);
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(of(&CALL, value), NoVolatility::NotPositive);
    }
    let deep = Claim { strike: 50.0, ..CALL };
    assert_eq!(of(&deep, 49.0), NoVolatility::BelowIntrinsic);
    assert_eq!(of(&CALL, 100.0), NoVolatility::AboveBound);
    let american = Claim { american: true, ..CALL };
    assert_eq!(of(&american, 100.0), NoVolatility::AboveBound);
    let put = Claim { right: Right::Put, ..CALL };
    assert_eq!(of(&put, 99.0), NoVolatility::AboveBound, "it is paid at the end alone");
    let american = Claim { american: true, strike: 150.0, ..put };
    assert_eq!(of(&american, 49.0), NoVolatility::BelowIntrinsic);
    assert_eq!(of(&american, 50.0), NoVolatility::NoTimeValue);
    let short = Claim { years: 1.0 / DAYS / 24.0, ..CALL };
    assert_eq!(of(&short, 60.0), NoVolatility::AboveLargest);
}

#[test]
fn a_cent_for_an_option_far_out_of_the_money_implies_a_volatility_of_its_own() {
    let far = Claim { strike: 150.0, years: 1.0 / DAYS, ..CALL };
    let volatility = far.implied_volatility(&BY, 0.01).unwrap();
    assert!(volatility > 1.0, "{volatility}");
    assert!((far.value(&BY, volatility) - 0.01).abs() < 1e-8);
}

#[test]
fn delta_alone_is_that_of_all_greeks() {
    for claim in [CALL, Claim { american: true, ..CALL }] {
        for right in [Right::Call, Right::Put] {
            let claim = Claim { right, ..claim };
            assert_eq!(claim.delta(&BY, 0.3).to_bits(), claim.greeks(&BY, 0.3).delta.to_bits());
        }
    }
}

#[test]
fn third_derivatives_of_a_tree_are_left_out_and_those_of_formulas_are_not() {
    let put = Claim { right: Right::Put, american: true, ..CALL };
    let greeks = put.greeks(&BY, 0.3);
    assert_eq!((greeks.speed, greeks.zomma, greeks.color), (None, None, None));
    let call = Claim { american: true, ..CALL };
    let by = Conditions { dividend_yield: 0.0, ..BY };
    assert_eq!(call.greeks(&by, 0.3), CALL.greeks(&by, 0.3), "nobody exercises it early");
    assert!(CALL.greeks(&BY, 0.3).speed.is_some());
}

fn claims() -> impl Strategy<Value = (Claim, Conditions, f64)> {
    (
        any::<bool>(),
        any::<bool>(),
        0.6..1.6_f64,
        1.0..1_000.0_f64,
        1.0..800.0_f64,
        (0.0..0.1_f64, 0.0..0.1_f64),
        0.05..1.5_f64,
    )
        .prop_map(
            |(put, american, moneyness, spot, days, (rate, dividend_yield), volatility)| {
                let right = if put { Right::Put } else { Right::Call };
                let claim = Claim { right, american, strike: spot * moneyness, years: days / DAYS };
                (claim, Conditions { spot, rate, dividend_yield }, volatility)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_call_less_a_put_is_the_forward((claim, by, volatility) in claims()) {
        let of = |right| Claim { right, american: false, ..claim }.value(&by, volatility);
        let share = by.spot * libm::exp(-by.dividend_yield * claim.years);
        let strike = claim.strike * libm::exp(-by.rate * claim.years);
        prop_assert!((of(Right::Call) - of(Right::Put) - (share - strike)).abs() < 1e-10 * by.spot);
    }

    #[test]
    fn american_is_worth_at_least_european_and_intrinsic((claim, by, volatility) in claims()) {
        let of = |american| Claim { american, ..claim }.value(&by, volatility);
        prop_assert!(of(true) >= of(false));
        prop_assert!(of(true) >= claim.intrinsic(by.spot));
        prop_assert!(of(false) >= 0.0);
    }

    #[test]
    fn value_rises_with_volatility_and_follows_the_strike((claim, by, volatility) in claims()) {
        let value = claim.value(&by, volatility);
        let same = 2e-5 * by.spot;
        prop_assert!(claim.value(&by, volatility * 1.1) >= value - same);
        let higher = Claim { strike: claim.strike * 1.05, ..claim }.value(&by, volatility);
        match claim.right {
            Right::Call => prop_assert!(higher <= value + same),
            Right::Put => prop_assert!(higher >= value - same),
        }
        if claim.american {
            let longer = Claim { years: claim.years * 1.2, ..claim };
            prop_assert!(longer.value(&by, volatility) >= value - same);
        }
    }

    #[test]
    fn greeks_are_the_differences_of_what_they_are_greeks_of((claim, by, volatility) in claims()) {
        let claim = Claim { american: false, ..claim };
        let greeks = |spot: f64, volatility: f64, years: f64| {
            Claim { years, ..claim }.greeks(&Conditions { spot, ..by }, volatility)
        };
        let (s, v, t) = (by.spot, volatility, claim.years);
        let (ds, dv, dt) = (s * 1e-5, v * 1e-5, t * 1e-5);
        let of = claim.greeks(&by, volatility);
        let value = |s: f64, v: f64, t: f64| {
            Claim { years: t, ..claim }.value(&Conditions { spot: s, ..by }, v)
        };
        let by_spot = |f: &dyn Fn(f64) -> f64| (f(s + ds) - f(s - ds)) / (2.0 * ds);
        let by_point = |f: &dyn Fn(f64) -> f64| (f(v + dv) - f(v - dv)) / (2.0 * dv) / HUNDRED;
        let by_day = |f: &dyn Fn(f64) -> f64| (f(t - dt) - f(t + dt)) / (2.0 * dt) / DAYS;
        let same = [
            ("delta", of.delta, by_spot(&|s| value(s, v, t)), 1.0),
            ("gamma", of.gamma, by_spot(&|s| greeks(s, v, t).delta), 1.0 / s),
            ("vega", of.vega, by_point(&|v| value(s, v, t)), s / HUNDRED),
            ("theta", of.theta, by_day(&|t| value(s, v, t)), s / DAYS),
            ("vanna", of.vanna, by_point(&|v| greeks(s, v, t).delta), 1.0 / HUNDRED),
            ("charm", of.charm, by_day(&|t| greeks(s, v, t).delta), 1.0 / DAYS),
            ("vomma", of.vomma, by_point(&|v| greeks(s, v, t).vega), s / 1e4),
            ("veta", of.veta, by_day(&|t| greeks(s, v, t).vega), s / (HUNDRED * DAYS)),
            ("speed", of.speed.unwrap(), by_spot(&|s| greeks(s, v, t).gamma), 1.0 / (s * s)),
            ("zomma", of.zomma.unwrap(), by_point(&|v| greeks(s, v, t).gamma), 1.0 / (s * HUNDRED)),
            ("color", of.color.unwrap(), by_day(&|t| greeks(s, v, t).gamma), 1.0 / (s * DAYS)),
        ];
        for (name, formula, difference, scale) in same {
            let off = (formula - difference).abs() / (scale + difference.abs());
            prop_assert!(off < 1e-4, "{name}: {formula} and {difference}");
        }
    }

    #[test]
    fn the_volatility_that_a_value_implies_is_the_one_it_was_made_with((claim, by, volatility) in claims()) {
        let value = claim.value(&by, volatility);
        let vega = claim.greeks(&by, volatility).vega;
        let slack = if claim.is_european(&by) { 1e-6 } else { 1e-4 };
        prop_assume!(vega > 1e-4 * by.spot / HUNDRED && value > claim.intrinsic(by.spot) + slack * by.spot);
        let implied = claim.implied_volatility(&by, value);
        let implied = implied.map_err(|why| TestCaseError::fail(format!("{why} at {value}")))?;
        prop_assert!((claim.value(&by, implied) - value).abs() < 1e-7 * by.spot);
        prop_assert!((implied - volatility).abs() < slack * 10.0, "{implied} for {volatility}");
    }

    #[test]
    fn no_price_panics_and_an_answer_has_that_price(
        (claim, by, _) in claims(), value in 0.0..1_200.0_f64,
    ) {
        if let Ok(volatility) = claim.implied_volatility(&by, value) {
            prop_assert!((VOLATILITY_MIN..=VOLATILITY_MAX).contains(&volatility));
            prop_assert!((claim.value(&by, volatility) - value).abs() < 1e-6 * by.spot.max(value));
        }
    }
}
