//! Decimals: taken exactly when they have the one form, and then with exactly the value that they say.

use std::fmt::Display;
use std::str::FromStr;

use aggregates::money::{Money, Price, Quantity, parse_decimal};

/// The most decimals.
const DECIMALS: usize = 9;

/// A second reader of `^-?(0|[1-9]\d{0,17})(\.\d{1,9})?$`, a character at a time: the value in units of 10^-9.
fn naive(text: &str) -> Option<i128> {
    enum At {
        Start,
        Sign,
        Zero,
        Whole(usize),
        Point,
        Fraction(usize),
    }
    let (mut at, mut value, mut negative) = (At::Start, 0i128, false);
    for c in text.chars() {
        at = match (at, c) {
            (At::Start, '-') => {
                negative = true;
                At::Sign
            }
            (At::Start | At::Sign, '0') => At::Zero,
            (At::Start | At::Sign, '1'..='9') => At::Whole(1),
            (At::Whole(digits), '0'..='9') if digits < 18 => At::Whole(digits + 1),
            (At::Zero | At::Whole(_), '.') => At::Point,
            (At::Point, '0'..='9') => At::Fraction(1),
            (At::Fraction(digits), '0'..='9') if digits < DECIMALS => At::Fraction(digits + 1),
            _ => return None,
        };
        if let Some(digit) = c.to_digit(10) {
            value = value * 10 + i128::from(digit);
        }
    }
    let decimals = match at {
        At::Zero | At::Whole(_) => 0,
        At::Fraction(digits) => digits,
        At::Start | At::Sign | At::Point => return None,
    };
    let value = (decimals..DECIMALS).fold(value, |value, _| value * 10);
    Some(if negative { -value } else { value })
}

/// An amount that was read is written in the same form, and reads back as itself.
fn comes_back<T: FromStr + Display + PartialEq>(text: &str, value: i128) {
    let Ok(amount) = text.parse::<T>() else { return };
    let written = amount.to_string();
    assert_eq!(naive(&written), Some(value), "{text} is written as {written}");
    assert!(written.parse::<T>().is_ok_and(|again| again == amount), "{text}: {written}");
}

pub fn are_read_exactly_or_refused(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let (read, naive) = (parse_decimal(text), naive(text));
    assert_eq!(read.is_ok(), naive.is_some(), "{text:?}");
    let (Ok(read), Some(value)) = (read, naive) else {
        assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        return;
    };
    let scale = DECIMALS - read.scale() as usize;
    let exact = (0..scale).fold(read.mantissa(), |value, _| value * 10);
    assert_eq!(exact, value, "{text}");
    comes_back::<Money>(text, value);
    comes_back::<Price>(text, value);
    comes_back::<Quantity>(text, value);
}
