//! Against numbers worked by hand, figures of numpy and skfolio, and what holds whatever the numbers are.
#![expect(clippy::float_arithmetic, reason = "estimates, no money")]

use std::collections::BTreeMap;
use std::io::Read as _;

use aggregates::instrument::Right;
use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::draws::{Correlated, Draws};
use super::performance::{drawdown, sharpe, sortino, volatility};
use super::sample::{beta, covariance, deviation, mean};
use super::stake::{Ladder, Optioned, Stake};
use super::tail::{Tail, empirical, normal};
use crate::analysis::options::{Claim, Conditions};

const BY: Conditions = Conditions { spot: 100.0, rate: 0.05, dividend_yield: 0.02 };

/// Holds within a billionth of its size.
fn close_to(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
        "{found} is not {expected}"
    );
}

fn option(right: Right, american: bool, shares: f64) -> Optioned {
    let claim = Claim { right, american, strike: 105.0, years: 0.25 };
    Optioned::new(claim, BY, 0.3, shares)
}

#[test]
fn value_at_risk_of_a_hundred_losses_is_one_of_them_and_the_shortfall_the_mean_beyond() {
    let losses: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    for (confidence, value_at_risk, expected_shortfall) in [
        (0.95, 95.0, 98.0),
        (0.99, 99.0, 100.0),
        // Two and a half of them are beyond 97.5 %: half of the 98th, the 99th and the 100th.
        (0.975, 98.0, (49.0 + 99.0 + 100.0) / 2.5),
        (0.999, 100.0, 100.0),
        (0.55, 55.0, 78.0),
    ] {
        let tail = empirical(losses.clone(), confidence).unwrap();
        close_to(tail.value_at_risk, value_at_risk);
        close_to(tail.expected_shortfall, expected_shortfall);
    }
    assert_eq!(empirical(Vec::new(), 0.95), None);
    let gain = empirical(vec![-3.0], 0.6).unwrap();
    assert_eq!(gain, Tail { value_at_risk: -3.0, expected_shortfall: -3.0 });
}

#[test]
fn a_normal_tail_has_its_closed_form() {
    // z of 95 % is 1.6448536269514722, and its density over 5 % 2.0627128075074257.
    let tail = normal(10.0, 100.0, 0.95);
    close_to(tail.value_at_risk, 164.485_362_695_147_22 - 10.0);
    close_to(tail.expected_shortfall, 206.271_280_750_742_57 - 10.0);
    close_to(normal(0.0, 1.0, 0.99).value_at_risk, 2.326_347_874_040_840_8);
    close_to(normal(0.0, 1.0, 0.999).value_at_risk, 3.090_232_306_167_813_5);
}

#[test]
fn figures_of_four_days_are_those_worked_by_hand() {
    let returns = [0.01, -0.01, 0.02, 0.0];
    close_to(mean(&returns).unwrap(), 0.005);
    close_to(covariance(&returns, &returns).unwrap(), 5e-4 / 3.0);
    close_to(volatility(&returns, 252.0).unwrap(), (252.0 * 5e-4 / 3.0_f64).sqrt());
    // A rate of 0.252 is 0.001 a day: 0.004 beyond it.
    close_to(
        sharpe(&returns, 0.252, 252.0).unwrap(),
        0.004 / (5e-4 / 3.0_f64).sqrt() * 252.0_f64.sqrt(),
    );
    // Two days lack 0.011 and 0.001.
    let downside = ((1.21e-4 + 1e-6) / 4.0_f64).sqrt();
    close_to(sortino(&returns, 0.252, 252.0).unwrap(), 0.004 / downside * 252.0_f64.sqrt());
    let fallen = drawdown(&returns).unwrap();
    close_to(fallen.largest, 0.01);
    assert_eq!(fallen.present, 0.0);
    let fallen = drawdown(&[0.5, -0.2, -0.5, 0.25]).unwrap();
    close_to(fallen.largest, 0.6);
    close_to(fallen.present, 0.5);
    // It moves by twice what the benchmark does, whatever is added.
    close_to(beta(&[0.03, -0.01, 0.05, 0.01], &returns).unwrap(), 2.0);
}

#[test]
fn what_a_sample_does_not_tell_is_absent() {
    assert_eq!((mean(&[]), deviation(&[0.1]), drawdown(&[])), (None, None, None));
    assert_eq!((sharpe(&[0.25; 40], 0.0, 252.0), sortino(&[0.25; 40], 0.0, 252.0)), (None, None));
    assert_eq!(beta(&[0.1, 0.2], &[0.25, 0.25]), None);
    assert!(Correlated::of(&[vec![0.1]]).is_none());
}

/// Daily closes of the autumn of 2008, from `data/`.
fn autumn() -> BTreeMap<String, Vec<f64>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/daily-2008-autumn.jsonl.gz");
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let mut closes: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        if line["t"] == "bar" {
            let close = line["close"].as_str().unwrap().parse().unwrap();
            closes.entry(line["symbol"].as_str().unwrap().to_owned()).or_default().push(close);
        }
    }
    closes
}

fn returns(closes: &[f64]) -> Vec<f64> {
    closes.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect()
}

fn log_returns(closes: &[f64]) -> Vec<f64> {
    closes.windows(2).map(|pair| libm::log(pair[1] / pair[0])).collect()
}

/// 100 AAPL at 85.35 and 200 IBM at 84.16, on the 105 days of the autumn of 2008: with numpy 2.4.6
/// `quantile(losses, c, method="inverted_cdf")`, `mean`, `std(ddof=1)`, `cov(ddof=1)`, and with skfolio 1.12.2
/// `value_at_risk` and `cvar`, which take the same places of the same losses.
#[test]
fn the_autumn_of_2008_has_the_figures_of_numpy_and_skfolio() {
    let closes = autumn();
    let (aapl, ibm) = (&closes["AAPL"], &closes["IBM"]);
    let stakes = [(100.0, aapl), (200.0, ibm)].map(|(shares, closes)| Stake {
        spot: *closes.last().unwrap(),
        shares,
        options: Vec::new(),
    });
    let days = returns(aapl).into_iter().zip(returns(ibm));
    let gains: Vec<f64> =
        days.map(|(a, b)| stakes[0].gain(a, 0.0) + stakes[1].gain(b, 0.0)).collect();
    assert_eq!(gains.len(), 105);
    let losses: Vec<f64> = gains.iter().map(|gain| -gain).collect();
    for (confidence, value_at_risk, expected_shortfall) in [
        (0.95, 1_399.537_319_321_035_7, 1_654.962_753_622_064),
        (0.99, 1_612.364_770_215_980_1, 2_199.191_839_187_73),
    ] {
        let tail = empirical(losses.clone(), confidence).unwrap();
        close_to(tail.value_at_risk, value_at_risk);
        close_to(tail.expected_shortfall, expected_shortfall);
    }
    let (mean, deviation) = (mean(&gains).unwrap(), deviation(&gains).unwrap());
    let tail = normal(mean, deviation, 0.95);
    close_to(tail.value_at_risk, 1_459.557_170_509_175_9);
    close_to(tail.expected_shortfall, 1_805.462_045_478_034);
    let ten = normal(mean * 10.0, deviation * 10.0_f64.sqrt(), 0.95);
    close_to(ten.value_at_risk, 5_285.233_600_715_092_5);
    close_to(beta(&gains, &returns(&closes["MSFT"])).unwrap(), 16_096.960_297_587_033);
    let alone = returns(aapl);
    close_to(volatility(&alone, 252.0).unwrap(), 0.733_313_441_346_386_5);
    close_to(sharpe(&alone, 0.02, 252.0).unwrap(), -1.642_874_358_937_163_5);
    close_to(sortino(&alone, 0.02, 252.0).unwrap(), -2.191_589_676_342_936_8);
    let fallen = drawdown(&alone).unwrap();
    close_to(fallen.largest, 0.551_137_631_050_631_1);
    close_to(fallen.present, 0.524_035_244_256_077_8);
}

/// Four million draws by numpy's `multivariate_normal` of the same means and covariances say 1434.01 and 1756.16 of a day,
/// 4879.2 and 5723.3 of ten; ten thousand of ours are within a fortieth of that.
#[test]
fn draws_have_the_tail_of_the_distribution_that_they_are_of() {
    let closes = autumn();
    let together = [log_returns(&closes["AAPL"]), log_returns(&closes["IBM"])];
    let together = Correlated::of(&together).unwrap();
    for (days, value_at_risk, expected_shortfall) in
        [(1.0, 1_434.01, 1_756.16), (10.0, 4_879.2, 5_723.3)]
    {
        let mut draws = Draws::of(1);
        let loss = |changes: Vec<f64>| -8_535.0 * changes[0] - 16_832.0 * changes[1];
        let losses = (0..10_000).map(|_| loss(together.changes(&mut draws, days))).collect();
        let tail = empirical(losses, 0.95).unwrap();
        assert!((tail.value_at_risk / value_at_risk - 1.0).abs() < 0.025, "{tail:?}");
        assert!((tail.expected_shortfall / expected_shortfall - 1.0).abs() < 0.025, "{tail:?}");
    }
}

#[test]
fn draws_are_the_same_from_the_same_seed_and_normal() {
    let numbers = |seed| -> Vec<f64> {
        let mut draws = Draws::of(seed);
        (0..20_000).map(|_| draws.normal()).collect()
    };
    let first = numbers(1);
    assert_eq!(first, numbers(1));
    assert_ne!(first, numbers(2));
    assert!(mean(&first).unwrap().abs() < 0.02);
    assert!((deviation(&first).unwrap() - 1.0).abs() < 0.02);
    let beyond = first.iter().filter(|it| **it > 1.644_853_6).count();
    assert!((900..1_100).contains(&beyond), "{beyond} of 20,000 are beyond the quantile of 95 %");
}

#[test]
fn what_moves_as_another_does_is_drawn_as_it_is() {
    let one = vec![0.01, -0.02, 0.015, 0.0, -0.01];
    let twice: Vec<f64> = one.iter().map(|it| 2.0 * it).collect();
    let together = Correlated::of(&[one, twice, vec![0.0; 5]]).unwrap();
    let mut draws = Draws::of(1);
    for _ in 0..100 {
        let changes = together.changes(&mut draws, 1.0);
        let doubled = libm::expm1(2.0 * libm::log1p(changes[0]));
        assert!((changes[1] - doubled).abs() < 1e-9, "{changes:?}");
        assert_eq!(changes[2], 0.0);
    }
}

#[test]
fn shares_gain_in_proportion_and_options_bend() {
    let shares = Stake { spot: 100.0, shares: -30.0, options: Vec::new() };
    for change in [-0.2, -0.05, 0.0, 0.1] {
        close_to(shares.gain(change, 0.25), -3_000.0 * change);
    }
    for american in [false, true] {
        let long = Stake {
            spot: 100.0,
            shares: 0.0,
            options: vec![
                option(Right::Call, american, 100.0),
                option(Right::Put, american, 100.0),
            ],
        };
        assert_eq!(long.gain(0.0, 0.0), 0.0);
        assert!(long.gain(0.1, 0.0) + long.gain(-0.1, 0.0) > 0.0, "a long straddle bends upwards");
        assert!(long.gain(0.0, 0.25) > 0.0 && long.gain(0.0, -0.25) < 0.0);
    }
}

#[test]
fn a_ladder_is_within_cents_of_what_is_revalued() {
    for american in [false, true] {
        let options =
            vec![option(Right::Put, american, 100.0), option(Right::Call, american, -100.0)];
        let stake = Stake { spot: 100.0, shares: 50.0, options };
        let ladder = Ladder::new(&stake, -0.31, 0.17);
        for step in 0..=60 {
            let change = -0.31 + 0.008 * f64::from(step);
            let (found, exact) = (ladder.gain(change), stake.gain(change, 0.0));
            assert!((found - exact).abs() < 0.05, "{change}: {found} is not {exact}");
        }
    }
    let still = Ladder::new(&Stake { spot: 10.0, shares: 5.0, options: Vec::new() }, 0.0, 0.0);
    assert_eq!(still.gain(0.0), 0.0);
}

proptest! {
    #[test]
    fn the_shortfall_is_never_below_value_at_risk_and_both_are_what_sorting_says(
        losses in prop::collection::vec(-1e4..1e4_f64, 1..80),
        thousandths in 501_u32..=999,
    ) {
        let confidence = f64::from(thousandths) / 1_000.0;
        let tail = empirical(losses.clone(), confidence).unwrap();
        prop_assert!(tail.expected_shortfall >= tail.value_at_risk);
        // Naively: the first loss such that enough of all losses are no larger, in whole numbers.
        let enough = |most: f64| {
            let covered = losses.iter().filter(|loss| **loss <= most).count();
            covered * 1_000 >= thousandths as usize * losses.len()
        };
        let least = losses.iter().copied().filter(|loss| enough(*loss)).fold(f64::INFINITY, f64::min);
        prop_assert_eq!(tail.value_at_risk, least);
        // And the mean of a thousand quantiles beyond the confidence.
        let mut sorted = losses.clone();
        sorted.sort_by(f64::total_cmp);
        let slices = 20_000;
        let quantile = |at: f64| sorted[((at * losses.len() as f64) as usize).min(losses.len() - 1)];
        let width = (1.0 - confidence) / f64::from(slices);
        let beyond = (0..slices).map(|it| quantile(confidence + width * (f64::from(it) + 0.5)));
        let average = beyond.sum::<f64>() / f64::from(slices);
        prop_assert!((average - tail.expected_shortfall).abs() < 2.0, "{} {:?}", average, tail);
    }

    #[test]
    fn a_position_that_is_so_many_times_as_large_gains_so_many_times_as_much(
        times in -50..50_i32, spot_change in -0.5..1.0_f64, volatility_change in -0.5..1.0_f64,
    ) {
        let holding = |times: f64| Stake {
            spot: 100.0,
            shares: 7.0 * times,
            options: vec![option(Right::Put, false, 100.0 * times)],
        };
        let one = holding(1.0).gain(spot_change, volatility_change);
        let many = holding(f64::from(times)).gain(spot_change, volatility_change);
        prop_assert!((many - f64::from(times) * one).abs() < 1e-6);
    }

    #[test]
    fn a_normal_tail_grows_with_confidence_and_with_the_root_of_time(
        deviation in 1.0..1e4_f64, thousandths in 501_u32..=998, days in 1..=30_u32,
    ) {
        let confidence = f64::from(thousandths) / 1_000.0;
        let day = normal(0.0, deviation, confidence);
        prop_assert!(day.expected_shortfall > day.value_at_risk);
        prop_assert!(normal(0.0, deviation, confidence + 0.001).value_at_risk > day.value_at_risk);
        let root = f64::from(days).sqrt();
        let many = normal(0.0, deviation * root, confidence);
        prop_assert!((many.value_at_risk - root * day.value_at_risk).abs() < 1e-6 * deviation);
        prop_assert_eq!(day.times(root).value_at_risk, day.value_at_risk * root);
    }
}
