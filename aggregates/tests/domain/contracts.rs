//! OCC symbols: parsed and printed without loss, and refused each for its own reason.

use aggregates::instrument::{Contract, ContractError, Right};
use aggregates::money::Price;
use chrono::NaiveDate;
use proptest::prelude::*;
use rust_decimal::Decimal;

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn refused(text: &str) -> ContractError {
    text.parse::<Contract>().unwrap_err()
}

#[test]
fn a_symbol_says_root_expiration_right_and_strike() {
    let contract: Contract = "AAPL240119C00190000".parse().unwrap();
    assert_eq!(contract.root(), "AAPL");
    assert_eq!(contract.expiration(), date(2024, 1, 19));
    assert_eq!(contract.right(), Right::Call);
    assert_eq!(contract.strike(), price("190"));
    let fine: Contract = "F240119P00002010".parse().unwrap();
    assert_eq!((fine.right(), fine.strike()), (Right::Put, price("2.01")));
    let high: Contract = "NVR240119C10000500".parse().unwrap();
    assert_eq!(high.strike(), price("10000.5"));
}

#[test]
fn roots_that_look_like_rights_and_strikes_are_read_from_the_right() {
    for root in ["P0", "C0", "C", "P", "C00001", "AAPL1", "2SPX"] {
        let contract: Contract = format!("{root}240119P00050000").parse().unwrap();
        assert_eq!((contract.root(), contract.right()), (root, Right::Put));
    }
}

#[test]
fn the_padded_spelling_is_read_and_the_unpadded_one_shown() {
    for (padded, plain) in [
        ("AAPL  240119C00190000", "AAPL240119C00190000"),
        ("F     240119P00002010", "F240119P00002010"),
        ("GOOGL 240119C00190000", "GOOGL240119C00190000"),
    ] {
        assert_eq!(padded.parse::<Contract>().unwrap().to_string(), plain);
    }
}

#[test]
fn each_malformed_kind_is_its_own_error() {
    let malformed = [
        ("", ContractError::Length),
        ("AAPL", ContractError::Length),
        ("240119C00190000", ContractError::Length),
        ("ABCDEFG240119C00190000", ContractError::Length),
        ("ÄAPL240119C00190000", ContractError::Length),
        ("aapl240119C00190000", ContractError::Root("aapl".into())),
        ("      240119C00190000", ContractError::Root(String::new())),
        ("AA PL 240119C00190000", ContractError::Root("AA PL".into())),
        (" AAPL 240119C00190000", ContractError::Root(" AAPL".into())),
        ("AAPL 240119C00190000", ContractError::Root("AAPL ".into())),
        ("AAPL240230C00190000", ContractError::Expiration("240230".into())),
        ("AAPL24O119C00190000", ContractError::Expiration("24O119".into())),
        ("AAPL+40119C00190000", ContractError::Expiration("+40119".into())),
        ("AAPL240119X00190000", ContractError::Right('X')),
        ("AAPL240119c00190000", ContractError::Right('c')),
        ("AAPL240119C0019000O", ContractError::Strike("0019000O".into())),
        ("AAPL240119C-0190000", ContractError::Strike("-0190000".into())),
        ("AAPL240119C00000000", ContractError::StrikeZero),
    ];
    for (text, error) in malformed {
        assert_eq!(refused(text), error, "{text:?}");
    }
}

#[test]
fn terms_that_no_symbol_can_say_are_refused() {
    let of = |year, strike: &str| {
        Contract::new("AAPL", date(year, 1, 19), Right::Call, price(strike))
            .map(|it| it.to_string())
    };
    assert_eq!(of(2024, "2.01").unwrap(), "AAPL240119C00002010");
    assert_eq!(of(2024, "99999.999").unwrap(), "AAPL240119C99999999");
    assert_eq!(of(2100, "1").unwrap_err(), ContractError::Year(2100));
    for strike in ["0", "-1", "100000", "1.0005"] {
        assert_eq!(of(2024, strike).unwrap_err(), ContractError::Price(price(strike)), "{strike}");
    }
    let nameless = Contract::new("", date(2024, 1, 19), Right::Call, price("1"));
    assert_eq!(nameless.unwrap_err(), ContractError::Root(String::new()));
}

#[test]
fn a_root_begins_with_the_letters_of_its_underlying() {
    let of = |root: &str| format!("{root}240119C00190000").parse::<Contract>().unwrap();
    for (root, underlying) in
        [("AAPL", "AAPL"), ("AAPL1", "AAPL"), ("SPXW", "SPX"), ("SPXW", "^SPX"), ("BRKB", "BRK.B")]
    {
        assert!(of(root).may_be_on(underlying), "{root} on {underlying}");
    }
    for (root, underlying) in [("AAPL", "MSFT"), ("AA", "AAPL"), ("AAPL", ""), ("AAPL", ".")] {
        assert!(!of(root).may_be_on(underlying), "{root} on {underlying}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(
        root in "[A-Z0-9]{1,6}",
        days in 0_i64..36_524,
        put in any::<bool>(),
        thousandths in 1_i64..100_000_000,
    ) {
        let expiration = date(2000, 1, 1) + chrono::TimeDelta::days(days);
        let right = if put { Right::Put } else { Right::Call };
        let strike = Price::new(Decimal::new(thousandths, 3)).unwrap();
        let contract = Contract::new(&root, expiration, right, strike).unwrap();
        let symbol = contract.to_string();
        prop_assert_eq!(symbol.len(), root.len() + 15);
        prop_assert_eq!(contract.strike(), strike);
        prop_assert_eq!(symbol.parse::<Contract>().unwrap(), contract.clone());
        let padded = format!("{:<6}{}", root, &symbol[root.len()..]);
        prop_assert_eq!(padded.parse::<Contract>().unwrap(), contract);
    }

    #[test]
    fn no_text_panics_and_what_is_read_prints_as_it_was(text in "[ A-Z0-9.]{0,24}|\\PC{0,24}") {
        if let Ok(contract) = text.parse::<Contract>() {
            prop_assert_eq!(contract.to_string(), text.replace(' ', ""));
        }
    }
}
