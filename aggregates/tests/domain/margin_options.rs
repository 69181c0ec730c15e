//! What options need as margin: the worked examples of `docs/rules.md`, to the cent, with the names of their covers.

use aggregates::margin::{
    MOST_CONTRACTS, NakedPuts, OptionHolding, OptionsRequirement, Strategy, Underlying,
    options_requirement, secured_requirement,
};
use aggregates::money::{AmountError, Money, Price, Quantity};
use chrono::{NaiveDate, TimeDelta};

fn quantity(qty: i64) -> Quantity {
    qty.to_string().parse().unwrap()
}

/// A holding as `-1 C105 @0.80`, of the first expiration, or of a later one as `1 C105+7 @1.00`.
pub fn holding(text: &str) -> OptionHolding {
    let [qty, contract, mark] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let (contract, later) = contract.split_once('+').unwrap_or((contract, "0"));
    let (right, strike) = contract.split_at(1);
    let thousandths: u32 = (strike.parse::<Price>().unwrap().decimal()
        * rust_decimal::Decimal::ONE_THOUSAND)
        .try_into()
        .unwrap();
    let first = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let expiration = first + TimeDelta::days(later.parse().unwrap());
    OptionHolding {
        contract: format!("XYZ{}{right}{thousandths:08}", expiration.format("%y%m%d"))
            .parse()
            .unwrap(),
        qty: quantity(qty.parse().unwrap()),
        price: mark.strip_prefix('@').unwrap().parse().unwrap(),
    }
}

fn holdings(text: &str) -> Vec<OptionHolding> {
    text.split(", ").map(holding).collect()
}

fn underlying(price: &str, shares: i64) -> Underlying {
    let price: Price = price.parse().unwrap();
    Underlying { price, shares: quantity(shares), broad_index: false }
}

fn needs(price: &str, shares: i64, text: &str) -> OptionsRequirement {
    options_requirement(&underlying(price, shares), &holdings(text), NakedPuts::Margined).unwrap()
}

/// As `2 credit_vertical 500.00`, of every strategy.
fn names(found: &OptionsRequirement) -> String {
    let name = |it: &Strategy| {
        let kind = serde_json::to_value(it.kind).unwrap();
        format!("{} {} {}", it.units, kind.as_str().unwrap(), it.requirement)
    };
    found.strategies.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Shares, holdings, what they need and what they are called, with the underlying at 100.
fn check(table: &[(i64, &str, &str, &str)]) {
    for (shares, text, needed, called) in table {
        let found = needs("100", *shares, text);
        assert_eq!(
            (&*found.requirement.to_string(), &*names(&found)),
            (*needed, *called),
            "{text}"
        );
    }
}

#[test]
fn a_naked_option_needs_its_formula() {
    for (price, text, needed) in [
        ("52", "-1 P50 @1.20", "960.00"),
        ("50", "-1 C55 @0.80", "580.00"),
        ("50", "-1 P30 @0.10", "310.00"),
        ("50", "-3 P30 @0.10", "930.00"),
        ("50", "-1 C80 @0.10", "510.00"),
        ("50", "-1 C45 @6.00", "1600.00"),
    ] {
        assert_eq!(needs(price, 0, text).requirement.to_string(), needed, "{price}: {text}");
    }
    let index = Underlying { broad_index: true, ..underlying("5000", 0) };
    let found =
        options_requirement(&index, &[holding("-1 C5100 @10.00")], NakedPuts::Margined).unwrap();
    assert_eq!(found.requirement.to_string(), "66000.00", "10 + 15 % of 5000 - 100");
}

#[test]
fn long_options_need_nothing_and_are_named() {
    check(&[
        (0, "2 C105 @1.00", "0.00", "2 long_call 0.00"),
        (0, "2 P95 @1.00, 1 C95 @6.00", "0.00", "1 long_straddle 0.00, 1 long_put 0.00"),
        (0, "1 P95 @1.00, 1 C105 @1.00", "0.00", "1 long_strangle 0.00"),
        (0, "1 P95+7 @1.00, 1 C95 @6.00", "0.00", "1 long_call 0.00, 1 long_put 0.00"),
        (100, "2 P95 @1.00", "0.00", "1 protective_put 0.00, 1 long_put 0.00"),
        (-100, "1 C105 @1.00", "0.00", "1 protective_call 0.00"),
        (99, "1 P95 @1.00", "0.00", "1 long_put 0.00"),
    ]);
}

#[test]
fn shares_cover_in_whole_hundreds() {
    check(&[
        (100, "-1 C105 @1.00", "0.00", "1 covered_call 0.00"),
        (-100, "-1 P95 @1.00", "0.00", "1 covered_put 0.00"),
        // The shares bring no more than the strike, so what the option is in the money by is owed.
        (100, "-1 C80 @20.00", "2000.00", "1 covered_call 2000.00"),
        (-100, "-2 P110 @10.50", "4050.00", "1 covered_put 1000.00, 1 naked_put 3050.00"),
        (100, "-1 C105 @1.00, 1 P95 @1.00", "0.00", "1 collar 0.00"),
        (100, "-1 C100 @3.00, 1 P100 @3.00", "0.00", "1 conversion 0.00"),
        (-100, "-1 P100 @3.00, 1 C100 @3.00", "0.00", "1 reversal 0.00"),
        (199, "-2 C105 @1.00", "1600.00", "1 covered_call 0.00, 1 naked_call 1600.00"),
        (99, "-1 C105 @1.00", "1600.00", "1 naked_call 1600.00"),
        (-100, "-1 C105 @1.00", "1600.00", "1 naked_call 1600.00"),
        (100, "-1 P95 @1.00", "1600.00", "1 naked_put 1600.00"),
        (
            100,
            "-1 C105 @1.00, -1 C110 @0.50, 1 C115 @0.25",
            "500.00",
            "1 credit_vertical 500.00, 1 covered_call 0.00",
        ),
    ]);
}

#[test]
fn a_short_and_a_long_need_the_width_that_can_be_lost() {
    check(&[
        (0, "-1 P100 @3.00, 1 P95 @1.50", "500.00", "1 credit_vertical 500.00"),
        (0, "-2 C100 @3.00, 2 C102.50 @1.50", "500.00", "2 credit_vertical 500.00"),
        (0, "1 C100 @3.00, -1 C105 @1.50", "0.00", "1 debit_vertical 0.00"),
        (0, "1 C100+7 @3.00, -1 C100 @1.50", "0.00", "1 calendar 0.00"),
        (0, "1 C102+7 @3.00, -1 C100 @1.50", "200.00", "1 diagonal 200.00"),
        (0, "1 C98+7 @3.00, -1 C100 @1.50", "0.00", "1 diagonal 0.00"),
        // The long expires first.
        (0, "1 C100 @1.50, -1 C100+7 @3.00", "2300.00", "1 naked_call 2300.00, 1 long_call 0.00"),
        // Wider than what the short needs alone.
        (0, "-1 P60 @0.10, 1 P40 @0.05", "610.00", "1 naked_put 610.00, 1 long_put 0.00"),
        // One long for two shorts.
        (
            0,
            "-2 C100 @3.00, 1 C110 @0.50",
            "3300.00",
            "1 credit_vertical 1000.00, 1 naked_call 2300.00",
        ),
    ]);
}

#[test]
fn a_naked_call_and_a_naked_put_need_the_greater_and_the_others_premium() {
    check(&[
        (0, "-1 C100 @3.00, -1 P100 @2.00", "2500.00", "1 short_straddle 2500.00"),
        // As much alone, 23.00 each: the greater premium.
        (0, "-1 C100 @3.00, -1 P95 @8.00", "3100.00", "1 short_strangle 3100.00"),
        (0, "-1 C105 @1.00, -1 P90 @0.50", "1650.00", "1 short_strangle 1650.00"),
        (
            0,
            "-2 C105 @1.00, -1 P90 @0.50",
            "3250.00",
            "1 short_strangle 1650.00, 1 naked_call 1600.00",
        ),
    ]);
}

#[test]
fn spreads_that_cannot_all_lose_need_their_worst_loss_together() {
    check(&[
        (
            0,
            "1 P90 @0.50, -1 P95 @1.50, -1 C105 @1.50, 1 C110 @0.50",
            "500.00",
            "1 iron_condor 500.00",
        ),
        (
            0,
            "1 P85 @0.25, -1 P95 @1.50, -1 C105 @1.50, 1 C110 @0.50",
            "1000.00",
            "1 iron_condor 1000.00",
        ),
        (
            0,
            "1 P90 @0.50, -1 P100 @3.00, -1 C100 @3.00, 1 C110 @0.50",
            "1000.00",
            "1 iron_butterfly 1000.00",
        ),
        (0, "-1 P90 @0.50, 1 P95 @1.50, 1 C105 @1.50, -1 C110 @0.50", "0.00", "1 iron_condor 0.00"),
        (0, "1 C90 @11.00, -2 C100 @3.00, 1 C110 @0.50", "0.00", "1 butterfly 0.00"),
        (0, "-1 C90 @11.00, 2 C100 @3.00, -1 C110 @0.50", "1000.00", "1 butterfly 1000.00"),
        (0, "1 P90 @1, -1 P95 @2, -1 P105 @7, 1 P110 @12", "0.00", "1 condor 0.00"),
        (0, "-1 P90 @1, 1 P95 @2, 1 P105 @7, -1 P110 @12", "500.00", "1 condor 500.00"),
        (0, "1 C95 @6, -1 C105 @1, 1 P105 @6, -1 P95 @1", "0.00", "1 box 0.00"),
        (0, "-1 C95 @6, 1 C105 @1, -1 P105 @6, 1 P95 @1", "1000.00", "1 box 1000.00"),
        // Longs that expire later bound the loss when the shorts expire.
        (
            0,
            "1 P90+7 @1.00, -1 P95 @1.50, -1 C105 @1.50, 1 C110+7 @1.00",
            "500.00",
            "1 spread 500.00",
        ),
        // Shorts of two expirations can both lose.
        (
            0,
            "1 P90+7 @1.00, -1 P95+7 @1.50, -1 C105 @1.50, 1 C110 @0.50",
            "1000.00",
            "1 credit_vertical 500.00, 1 credit_vertical 500.00",
        ),
    ]);
}

#[test]
fn many_spreads_of_one_expiration_need_their_worst_loss_together() {
    check(&[
        (
            0,
            "1 P90 @0.50, -1 P95 @1.50, -2 C105 @1.50, 2 C107.50 @0.75",
            "500.00",
            "1 spread 500.00",
        ),
        (
            0,
            "1 P80 @0.10, 1 P90 @0.50, -2 P95 @1.50, -2 C105 @1.50, 1 C110 @0.50, 1 C120 @0.10",
            "2000.00",
            "1 iron_condor 1500.00, 1 iron_condor 500.00",
        ),
        (
            0,
            "2 P90 @0.50, -2 P95 @1.50, -3 C105 @1.50, 3 C110 @0.50",
            "1500.00",
            "2 iron_condor 1000.00, 1 credit_vertical 500.00",
        ),
    ]);
}

#[test]
fn the_legs_of_a_strategy_are_told_with_what_each_unit_holds() {
    let legs = |shares, text| {
        let found = needs("100", shares, text);
        let leg = |leg: &aggregates::margin::StrategyLeg| {
            let of = leg.contract.as_ref().map_or("shares".into(), ToString::to_string);
            format!("{} {of}", leg.ratio)
        };
        found.strategies[0].legs.iter().map(leg).collect::<Vec<_>>()
    };
    assert_eq!(
        legs(300, "-3 C105 @1.00, 3 P95 @1.00"),
        ["100 shares", "-1 XYZ260101C00105000", "1 XYZ260101P00095000"]
    );
    assert_eq!(
        legs(0, "1 C90 @11.00, -2 C100 @3.00, 1 C110 @0.50"),
        ["1 XYZ260101C00090000", "-2 XYZ260101C00100000", "1 XYZ260101C00110000"]
    );
    assert_eq!(legs(-100, "-1 P95 @1.00")[0], "-100 shares");
}

#[test]
fn a_holding_told_in_parts_and_in_any_order_is_the_same() {
    let whole = needs("100", 0, "-2 C100 @3.00, 2 C105 @1.50");
    assert_eq!(needs("100", 0, "1 C105 @1.50, -2 C100 @3.00, 1 C105 @1.50"), whole);
    assert_eq!(needs("100", 0, "1 C105 @1.50, -1 C105 @1.50").strategies, []);
    assert_eq!(
        options_requirement(&underlying("100", 0), &[], NakedPuts::Margined).unwrap().requirement,
        Money::ZERO
    );
}

#[test]
fn what_is_no_price_and_no_whole_contract_is_refused() {
    let of = |price: &str, mark: &str, qty: &str| {
        let mut held = holding("-1 C105 @1.00");
        held.price = mark.parse().unwrap();
        held.qty = qty.parse().unwrap();
        options_requirement(&underlying(price, 0), &[held], NakedPuts::Margined).unwrap_err()
    };
    assert!(matches!(of("0", "1", "-1"), AmountError::NotPositive { .. }));
    assert!(matches!(of("100", "-1", "-1"), AmountError::NotPositive { .. }));
    assert!(matches!(of("100", "1", "-0.5"), AmountError::TooPrecise { decimals: 0, .. }));
    assert!(matches!(of("10000000", "1", "-1000000000"), AmountError::TooLarge { .. }));
}

#[test]
fn more_contracts_than_are_covered_together_are_covered_in_parts() {
    let mut text = Vec::new();
    for day in 0..MOST_CONTRACTS {
        text.push(format!("-1 C100+{day} @3.00, 1 C105+{day} @1.50"));
    }
    let found = needs("100", 0, &text.join(", "));
    assert_eq!(found.strategies.len(), MOST_CONTRACTS);
    assert_eq!(found.requirement.to_string(), format!("{}.00", 500 * MOST_CONTRACTS));
    let count = i64::try_from(MOST_CONTRACTS).unwrap() + 6;
    let calls: Vec<String> = (0..count).map(|day| format!("-1 C105+{day} @1.00")).collect();
    assert_eq!(needs("100", 100 * count, &calls.join(", ")).requirement, Money::ZERO);
    let short_of_one = needs("100", 100 * (count - 1), &calls.join(", "));
    assert_eq!(short_of_one.requirement.to_string(), "1600.00");
}

#[test]
fn a_long_one_more_parts_no_pair_of_many_contracts() {
    // As one spread the short puts lose 12 times 12 dollars a share; the lower ones need less when they are naked.
    let longs = (70..82).map(|strike| format!("1 P{strike} @0.10"));
    let shorts = (82..94).map(|strike| format!("-1 P{strike} @0.20"));
    let held: Vec<String> = longs.chain(shorts).collect();
    let before = needs("100", 0, &held.join(", ")).requirement;
    assert!(before.is_positive() && before <= "14400".parse().unwrap(), "{before}");
    for hedge in ["68", "81.50", "95"] {
        let after = needs("100", 0, &format!("{}, 1 P{hedge} @0.05", held.join(", "))).requirement;
        assert!(after <= before, "{hedge}: {after}");
    }
    let with_shares = needs("100", 100, &held.join(", ")).requirement;
    assert_eq!(with_shares, before, "shares cover no put");
}

#[test]
fn strikes_without_a_common_tick_are_covered_together_as_exactly() {
    // Strikes in thousandths whose differences have nothing in common: figures on the way are beyond 128 bits.
    let contract = |n: i64| {
        let (sign, right) = (if n % 3 == 0 { "" } else { "-" }, if n % 2 == 0 { 'C' } else { 'P' });
        let strike = 60_000 + n * n * 97 % 79_999;
        format!(
            "{sign}{} {right}{}.{:03}+{} @1.0{}",
            1 + n % 7,
            strike / 1000,
            strike % 1000,
            n % 4,
            n % 10
        )
    };
    let held =
        |count: i64| needs("100.37", 0, &(1..=count).map(contract).collect::<Vec<_>>().join(", "));
    let (held, all) = (held(22), (1..=22).map(contract).collect::<Vec<_>>().join(", "));
    let hedged = needs("100.37", 0, &format!("{all}, 2 C99.001+9 @2.00, 2 P100.999+9 @2.00"));
    assert!(hedged.requirement < held.requirement, "{} {}", hedged.requirement, held.requirement);
    let seven_times: Vec<String> = (1..=22)
        .map(|n| {
            let text = contract(n);
            let (qty, rest) = text.split_once(' ').unwrap();
            format!("{} {rest}", 7 * qty.parse::<i64>().unwrap())
        })
        .collect();
    let cents = |found: &OptionsRequirement| -> i64 {
        (found.requirement.decimal() * rust_decimal::Decimal::ONE_HUNDRED).try_into().unwrap()
    };
    let (one, seven) = (cents(&held), cents(&needs("100.37", 0, &seven_times.join(", "))));
    assert!(seven <= 7 * one && seven > 7 * (one - 1), "{one} {seven}");
}

#[test]
fn a_cash_account_secures_puts_with_cash_and_calls_with_shares() {
    let of = |shares, text| {
        let found = secured_requirement(quantity(shares), &holdings(text)).unwrap();
        let uncovered = found.uncovered.iter().map(|it| format!("{} {}", it.qty, it.contract));
        assert_eq!(found.is_permitted(), found.uncovered.is_empty());
        (found.cash.to_string(), found.shares.to_string(), uncovered.collect::<Vec<_>>().join(", "))
    };
    let told =
        |cash: &str, shares: &str, uncovered: &str| (cash.into(), shares.into(), uncovered.into());
    assert_eq!(of(0, "-2 P50 @1.20, 5 P45 @0.10"), told("10000.00", "0", ""));
    assert_eq!(of(250, "-2 C105 @1.00"), told("0.00", "200", ""));
    assert_eq!(
        of(250, "-1 C110+7 @1.00, -2 C105 @1.00, 1 C110 @1.00"),
        told("0.00", "200", "1 XYZ260108C00110000")
    );
    assert_eq!(of(-200, "-1 C105 @1.00"), told("0.00", "0", "1 XYZ260101C00105000"));
}
