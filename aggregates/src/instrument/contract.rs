//! Option contracts and their OCC symbols.
//!
//! `AAPL240119C00190000` is the root, the expiration as `YYMMDD`, `C` or `P`, and the strike in thousandths of a dollar
//! as eight digits. Guarantees: no floats are met on the way, so a symbol and its contract are the same thing in two
//! forms; the padded spelling (`AAPL  240119C00190000`, the root filled up with spaces to six) is read too, and only
//! the unpadded one is ever shown. The spelling says what a contract is, not that it exists: an instrument's kind does.
//!
//! Source: the OCC's Options Symbology Initiative (2010).

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::{Price, Quantity};

/// The longest root, in characters.
const ROOT_MAX: usize = 6;
/// Characters behind the root: a date, a right and a strike.
const TAIL: usize = 15;
/// Symbols of this form are of this century: there were none before 2010.
const CENTURY: i32 = 2000;

/// Shares that a contract is on, and what its price is multiplied by to give its value.
pub const MULTIPLIER: u32 = 100;

/// Whether an option is one to buy or to sell.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// To buy at the strike.
    Call,
    /// To sell at the strike.
    Put,
}

impl Right {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Call, Self::Put];

    /// The word in fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Put => "put",
        }
    }

    /// The letter in symbols.
    const fn letter(self) -> char {
        match self {
            Self::Call => 'C',
            Self::Put => 'P',
        }
    }
}

/// An option contract as its OCC symbol says it; ordered by root, expiration, strike and right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contract {
    root: String,
    expiration: NaiveDate,
    thousandths: u32,
    right: Right,
}

/// Why a text is not an OCC symbol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// Neither the unpadded nor the padded spelling is as long, or it has other characters than these have.
    #[error(
        "an OCC symbol has 16 to 21 letters and digits, or 21 characters with its root padded by spaces, such as \
         AAPL240119C00190000"
    )]
    Length,
    /// The root is empty, or has other characters than capitals and digits.
    #[error("the root of an OCC symbol is 1 to 6 capitals and digits, found '{0}'")]
    Root(String),
    /// The six characters of the date are no date.
    #[error("the expiration of an OCC symbol is a date as YYMMDD, found '{0}'")]
    Expiration(String),
    /// Neither call nor put.
    #[error("behind the date of an OCC symbol stands C or P, found '{0}'")]
    Right(char),
    /// The strike is not eight digits.
    #[error("the strike of an OCC symbol is eight digits, in thousandths of a dollar, found '{0}'")]
    Strike(String),
    /// A strike of zero.
    #[error("the strike of an OCC symbol is above zero")]
    StrikeZero,
    /// The expiration is in another century than symbols can say.
    #[error("an option expires in the years 2000 to 2099, found {0}")]
    Year(i32),
    /// The strike is zero or less, finer than a thousandth, or larger than symbols can say.
    #[error("a strike is above 0 and below 100000 dollars, with at most 3 decimals, found {0}")]
    Price(Price),
}

impl Contract {
    /// The contract of a root with these terms.
    ///
    /// # Errors
    /// Its symbol cannot say one of them.
    pub fn new(
        root: &str,
        expiration: NaiveDate,
        right: Right,
        strike: Price,
    ) -> Result<Self, ContractError> {
        if !(CENTURY..CENTURY + 100).contains(&expiration.year()) {
            return Err(ContractError::Year(expiration.year()));
        }
        let scaled = strike.decimal().checked_mul(Decimal::ONE_THOUSAND);
        let whole =
            scaled.filter(Decimal::is_integer).and_then(|scaled| u32::try_from(scaled).ok());
        let thousandths = whole.filter(|it| (1..100_000_000).contains(it));
        let thousandths = thousandths.ok_or(ContractError::Price(strike))?;
        Ok(Self { root: root_of(root)?, expiration, thousandths, right })
    }

    /// What stands before the date: mostly the underlying's ticker.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The last day on which it can be traded and exercised.
    pub const fn expiration(&self) -> NaiveDate {
        self.expiration
    }

    /// Call or put.
    pub const fn right(&self) -> Right {
        self.right
    }

    /// Dollars a share at which it is exercised.
    pub fn strike(&self) -> Price {
        Price::new(Decimal::new(i64::from(self.thousandths), 3))
            .expect("eight digits of thousandths are below the bound of a price")
    }

    /// The contract that it becomes when each share becomes `times` as many: the same but for the strike, which is divided by
    /// that, to the thousandth that a symbol can say, half to even.
    ///
    /// # Errors
    /// The strike becomes less than half a thousandth.
    pub fn divided_by(&self, times: Quantity) -> Result<Self, ContractError> {
        let divided = Decimal::from(self.thousandths).checked_div(times.decimal());
        let rounded = divided
            .map(|exact| exact.round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven));
        let thousandths = rounded.and_then(|it| u32::try_from(it).ok()).filter(|it| *it > 0);
        let thousandths = thousandths.ok_or(ContractError::StrikeZero)?;
        Ok(Self { thousandths, ..self.clone() })
    }

    /// Whether its root can be one of options on `underlying`: it begins with the ticker's letters and digits, as
    /// `SPXW` does of `SPX`, `BRKB` of `BRK.B` and the adjusted `AAPL1` of `AAPL`.
    pub fn may_be_on(&self, underlying: &str) -> bool {
        let mut plain = underlying.chars().filter(char::is_ascii_alphanumeric).peekable();
        plain.peek().is_some() && {
            let plain: String = plain.collect();
            self.root.starts_with(&plain)
        }
    }
}

fn root_of(text: &str) -> Result<String, ContractError> {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if (1..=ROOT_MAX).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(ContractError::Root(text.to_owned()))
    }
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn date_of(text: &str) -> Option<NaiveDate> {
    let number = digits(text)?;
    let year = i32::try_from(number / 10_000).ok()?;
    NaiveDate::from_ymd_opt(CENTURY + year, number / 100 % 100, number % 100)
}

impl FromStr for Contract {
    type Err = ContractError;

    fn from_str(text: &str) -> Result<Self, ContractError> {
        let length = text.len().checked_sub(TAIL).filter(|root| (1..=ROOT_MAX).contains(root));
        let length = length.filter(|_| text.is_ascii()).ok_or(ContractError::Length)?;
        let (root, tail) = text.split_at(length);
        let root = if length == ROOT_MAX { root.trim_end_matches(' ') } else { root };
        let root = root_of(root)?;
        let (date, tail) = tail.split_at(6);
        let expiration = date_of(date).ok_or_else(|| ContractError::Expiration(date.to_owned()))?;
        let (letter, strike) = tail.split_at(1);
        let letter = letter.chars().next().ok_or(ContractError::Length)?;
        let right = Right::ALL.into_iter().find(|right| right.letter() == letter);
        let right = right.ok_or(ContractError::Right(letter))?;
        let thousandths = digits(strike).ok_or_else(|| ContractError::Strike(strike.to_owned()))?;
        if thousandths == 0 {
            return Err(ContractError::StrikeZero);
        }
        Ok(Self { root, expiration, thousandths, right })
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, expiration, thousandths, right } = self;
        let (year, letter) = (expiration.year() - CENTURY, right.letter());
        let (month, day) = (expiration.month(), expiration.day());
        write!(f, "{root}{year:02}{month:02}{day:02}{letter}{thousandths:08}")
    }
}
