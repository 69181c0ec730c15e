//! Money at the bounds of its amounts: exact, or refused by name, never rounded in silence.

use aggregates::money::{Money, Price, Quantity};
use aggregates::order::Side;
use aggregates::refusal::RefusalCode;

use crate::book::*;
use crate::oracle::units;

const ACCOUNT: u128 = 1;

#[test]
fn the_largest_quantity_at_the_finest_price_is_exact_to_the_cent() {
    let mut book = Book::default();
    book.list("BIG");
    book.open(account_id(ACCOUNT), "10000000000000");
    let order = spec(account_id(ACCOUNT), "BIG", Side::Buy, "999999999.999999999", Some("9999.99"));
    book.place(1, &order, &market(None));
    // 999999999.999999999 * 9999.99 = 9999989999999.99999000001, up to the cent
    assert_eq!(book.reserved(account_id(ACCOUNT)), "9999990000000.00");
    book.fill(1, "999999999.999999999", "1234.567891234");
    // 999999999.999999999 * 1234.567891234 = 1234567891233.999998765432108766
    assert_eq!(book.cash(account_id(ACCOUNT)), "8765432108766.00");
    assert_eq!(book.reserved(account_id(ACCOUNT)), "0.00");
    let held = &book.positions[&(account_id(ACCOUNT), stock("BIG"))];
    assert_eq!(held.qty().to_string(), "999999999.999999999");
    assert_eq!(held.cost().unwrap(), money("1234567891234"));
}

#[test]
fn amounts_beyond_their_bound_are_refused_and_leave_no_trace() {
    let mut book = Book::default();
    book.list("BIG");
    book.open(account_id(ACCOUNT), "9999999999999.99");
    let order = spec(account_id(ACCOUNT), "BIG", Side::Buy, "1000000000", Some("10000.01"));
    assert_eq!(book.refused(&place(1, &order, &market(None))), RefusalCode::InvalidAmount);
    let command = aggregates::account::AccountCommand::Deposit {
        deposit_id: command_id(1),
        amount: money("0.02"),
        at: None,
    };
    let deposit =
        aggregates::trading::Command::Account { account_id: account_id(ACCOUNT), command };
    assert_eq!(book.refused(&deposit), RefusalCode::InvalidAmount);
}

#[test]
fn the_smallest_lots_keep_their_cost_to_the_last_cent() {
    let mut book = Book::default();
    book.list("DUST");
    let owner = account_id(ACCOUNT);
    book.open(owner, "100000000");
    book.buy(1, owner, "DUST", "0.000000003", "9999999.99");
    assert_eq!(book.cash(owner), "99999999.97");
    for n in 2..5 {
        let sell = spec(owner, "DUST", Side::Sell, "0.000000001", Some("0.01"));
        book.place(n, &sell, &market(None));
        book.fill(n, "0.000000001", "0.01");
    }
    let held = &book.positions[&(owner, stock("DUST"))];
    assert!(held.qty().is_zero() && held.cost().unwrap().is_zero());
    assert_eq!(held.realized_pl(), money("-0.03"));
}

#[test]
fn rounding_agrees_with_whole_numbers_over_the_whole_range() {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    let whole =
        |value: &dyn std::fmt::Display, decimals| units(&value.to_string().into(), decimals);
    proptest!(|(qty in 0i64..=1_000_000_000_000_000_000, price in 0i64..=10_000_000_000_000_000)| {
        let qty = Quantity::new(Decimal::new(qty, 9)).unwrap();
        let price = Price::new(Decimal::new(price, 9)).unwrap();
        let exact = whole(&qty, 9) * whole(&price, 9);
        let cent = 10i128.pow(16);
        let bounded = exact <= 10i128.pow(15) * cent - cent;
        prop_assert!(!bounded || Money::of_fill(qty, price).is_ok());
        if let Ok(fill) = Money::of_fill(qty, price) {
            let twice = 2 * (whole(&fill, 2) * cent - exact);
            prop_assert!(twice.abs() <= cent);
            prop_assert!(twice.abs() < cent || whole(&fill, 2) % 2 == 0, "a tie goes to the even cent");
        }
        if let Ok(most) = Money::at_most(qty, price) {
            let above = whole(&most, 2) * cent - exact;
            prop_assert!((0..cent).contains(&above));
        }
    });
}

#[test]
fn a_price_counts_as_many_billionths_as_its_digits_say_however_it_is_written() {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    proptest!(|(digits in -10_000_000_000_000_000i64..=10_000_000_000_000_000, decimals in 0u32..=9)| {
        let Ok(price) = Price::new(Decimal::new(digits, decimals)) else { return Ok(()) };
        prop_assert_eq!(i128::from(price.billionths()), units(&price.to_string().into(), 9));
        prop_assert_eq!(Price::of_billionths(price.billionths()), price);
    });
}
